"""Is the database what its log says? Read-only; every fault is named, none is repaired."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Table, exc, select

from ambidex.edges import sql_tables as t
from ambidex.journal import State, answer_key, chain_faults, fold
from ambidex.records import Event, canonical, digest

__all__ = ["check"]


def check(connection: Connection, *, file: bool, anchor: tuple[int, str] | None) -> list[dict[str, Any]]:
    """Verify a workspace's database in one snapshot.

    Args:
        connection: A connection that sees one snapshot.
        file: True for SQLite, whose file is verified page by page too.
        anchor: Number and hash of an event that was written beside the database, if one was.

    Returns:
        ``[{"name", "passed", "what"}]``: ``database``, ``chain``, ``end``, ``models``, ``versions``,
        ``judgements``, ``answers``, ``documents``.
    """
    found: list[dict[str, Any]] = []

    def verify(name: str, good: str, faults: Callable[[], list[str]]) -> None:
        try:
            wrong = faults()
        except exc.DBAPIError as error:
            wrong = [f"it cannot be read: {error.orig}"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            wrong = [f"a row cannot be read: {type(error).__name__}: {error}"]
        found.append({"name": name, "passed": not wrong, "what": "; ".join(wrong[:5]) if wrong else good})

    if file:
        verify("database", "every page of the file is in order", lambda: _pages(connection))
    log: list[Event] = []
    state = State()

    def chain() -> list[str]:
        nonlocal state
        head = connection.execute(select(t.chain.c.seq, t.chain.c.hash).where(t.chain.c.id == 1)).first()
        log.extend(_log(connection))
        if head is None:
            return ["the end of the log is not kept beside it"]
        wrong = chain_faults(log, seq=int(head.seq), head=str(head.hash))
        state = fold(log)
        return wrong

    verify("chain", "each event follows the one before", chain)
    if anchor is not None:
        verify("end", "no event is lost", lambda: _lost(log, *anchor))
    expected: list[tuple[str, Table, tuple[str, ...], Callable[[], Mapping[Any, Any]]]] = [
        ("models", t.models, ("name",), lambda: {k: _model(v) for k, v in state.models.items()}),
        (
            "versions",
            t.versions,
            ("model", "number"),
            lambda: {k: (v.key, v.digest, canonical(v).decode()) for k, v in state.versions.items()},
        ),
        (
            "judgements",
            t.judgements,
            ("model", "version"),
            lambda: {k: (canonical(v).decode(),) for k, v in state.judgements.items()},
        ),
    ]
    for name, table, key, wanted in expected:
        verify(
            name,
            "as the log says",
            lambda table=table, key=key, wanted=wanted: _differs(  # type: ignore[misc]
                _rows(connection, table, key), wanted()
            ),
        )
    verify("answers", "as the log says", lambda: _answers(connection, state))
    verify("documents", "each is what was written", lambda: _documents(connection))
    return found


def _pages(connection: Connection) -> list[str]:
    said = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check(5)")]
    return [] if said == ["ok"] else said


def _lost(log: list[Event], seq: int, head: str) -> list[str]:
    if len(log) < seq:
        said = f"the log ends at event {len(log)}, and event {seq} had been written"
    elif seq and log[seq - 1].hash != head:
        said = f"event {seq} is not the one that had been written"
    else:
        return []
    return [f"{said}: put .ambidex back from a backup, or remove .ambidex/head to accept the loss"]


def _log(connection: Connection) -> Iterator[Event]:
    for row in connection.execute(select(t.events).order_by(t.events.c.seq)):
        values = dict(row._mapping)
        text = values["body"]
        values["body"] = json.loads(text)
        if canonical(values["body"]).decode() != text:
            values["hash"] = f"altered {values['hash']}"  # same meaning, other bytes: still not what was written
        yield Event(**values)


def _model(state: Any) -> tuple[Any, ...]:
    return (state.revision, canonical(state.to_json()).decode())


def _rows(connection: Connection, table: Table, key: tuple[str, ...]) -> dict[Any, Any]:
    rows = {}
    for row in connection.execute(select(table)):
        values = dict(row._mapping)
        name = tuple(values.pop(k) for k in key)
        rows[name[0] if len(name) == 1 else name] = tuple(values.values())
    return rows


def _differs(rows: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> list[str]:
    def shown(key: Any) -> str:
        return "@".join(map(str, key)) if isinstance(key, tuple) else str(key)

    wrong = [f"{shown(k)} is missing" for k in wanted if k not in rows]
    wrong += [f"{shown(k)} is not in the log" for k in rows if k not in wanted]
    wrong += [f"{shown(k)} is not as the log says" for k in wanted if k in rows and rows[k] != wanted[k]]
    return wrong


def _answers(connection: Connection, state: State) -> list[str]:
    rows = {}
    wrong = []
    for row in connection.execute(select(t.answers)):
        rows[row.number] = row.sha256
        if digest(row.body.encode()) != row.sha256 or answer_key(json.loads(row.body)) != row.key:
            wrong.append(f"answer/{row.number} was altered")
    return wrong + _differs(rows, state.answers)


def _documents(connection: Connection) -> list[str]:
    return [
        f"{row.name} was altered"
        for row in connection.execute(select(t.documents))
        if digest(row.body.encode()) != row.sha256
    ]
