"""The tables of a workspace, the same on SQLite and Postgres."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Float, Index, Integer, MetaData, Table, Text

__all__ = [
    "SCHEMA",
    "answers",
    "chain",
    "documents",
    "events",
    "judgements",
    "leases",
    "meta",
    "models",
    "tables",
    "versions",
]

SCHEMA = 1
"""Version of the shape below. A changed shape gets the next number and a step that brings the old one up."""

tables = MetaData()

meta = Table("meta", tables, Column("name", Text, primary_key=True), Column("value", Text, nullable=False))

chain = Table(
    "chain",
    tables,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
    Column("hash", Text, nullable=False),
)
"""One row: the end of the log. Writers take its lock on Postgres; a log that lost its end is found by it."""

events = Table(
    "event",
    tables,
    Column("seq", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False),
    Column("at", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("verb", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("version", Integer),
    Column("body", Text, nullable=False),
    Column("prev", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("event_by_model", "model", "seq"),
)

# What follows down to `answers` is the fold of `events`, kept by the transaction that appends.

models = Table(
    "model",
    tables,
    Column("name", Text, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
)

versions = Table(
    "version",
    tables,
    Column("model", Text, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False),
    Column("digest", Text, nullable=False),
    Column("record", Text, nullable=False),
    Index("version_by_key", "model", "key"),
)

judgements = Table(
    "judgement",
    tables,
    Column("model", Text, primary_key=True),
    Column("version", Integer, primary_key=True, autoincrement=False),
    Column("record", Text, nullable=False),
)

answers = Table(
    "answer",
    tables,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", Text, nullable=False, unique=True),
    Column("sha256", Text, nullable=False),
    Column("body", Text, nullable=False),
)

# What follows is no history: a watcher's place, and who works on what at the moment.

documents = Table(
    "document",
    tables,
    Column("name", Text, primary_key=True),
    Column("sha256", Text, nullable=False),
    Column("body", Text, nullable=False),
)

leases = Table(
    "lease",
    tables,
    Column("name", Text, primary_key=True),
    Column("token", BigInteger, nullable=False),
    Column("holder", Text, nullable=False),
    Column("until", Float, nullable=False),
    Column("granted", Float, nullable=False),
)
