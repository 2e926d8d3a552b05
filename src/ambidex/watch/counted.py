"""Looks counted by DuckDB: rows of a log or table that are too many to become Python objects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.log import open_log
from ambidex.data.slot_counts import CategoryCells, Counted, NumberCells, counted_slots
from ambidex.data.sql import quote
from ambidex.data.table import Table
from ambidex.records import Schema
from ambidex.watch.incidents import timestamp
from ambidex.watch.look import SCORE_BINS, YEAR_S, ColumnLook, Look

__all__ = ["LARGE", "PREDICTIONS", "cells_of_entry", "look_at_large", "look_of", "looks_of_view", "waiting_rows"]

LARGE = 500_000
"""Sealed rows beyond the cursor from which they are counted where they lie."""
PREDICTIONS = "kind = 'prediction' AND arm IS DISTINCT FROM 'shadow' AND coalesce(error, '') NOT LIKE 'data.%'"
_SCORE, _BINS = "(score)", "(bins)"


def waiting_rows(folder: Path, model: str, cursor: Mapping[str, list[int]]) -> int:
    """Sealed rows beyond a cursor, about."""
    seen = {name.removesuffix(".frames"): place[1] for name, place in cursor.items()}
    with open_log(folder, model) as log:
        return sum(max(0, r.end - max(r.start, seen.get(r.file, 0))) for s in log.segments for r in s.ranges)


def cells_of_entry(entry: Mapping[str, Any], value: str, *, low: float | None = None, high: float | None = None,
                   written: str = "") -> NumberCells | CategoryCells:  # fmt: skip
    """A reference's cells as what DuckDB counts."""
    if entry["kind"] == "number":
        return NumberCells(value, tuple(entry["edges"]), low, high, written)
    return CategoryCells(value, tuple(entry["levels"]), tuple(entry["others"]), bool(entry.get("many")))


def look_of(
    schema: Schema, rows: int, counted: Mapping[str, Counted], *, began: str = "", ended: str = "", failed: int = 0
) -> Look:
    """Counts as a look."""
    columns = {}
    for column in schema.columns:
        one = counted[column.name]
        columns[column.name] = ColumnLook(
            counts=one.counts, quartiles=one.quartiles, not_numbers=one.not_numbers, outside=one.outside,
            extreme=one.extreme, fractions=one.fractions if column.type == "integer" else 0, only=one.only, new=one.new,
        )  # fmt: skip
    bins = counted[_BINS].counts[:SCORE_BINS] if _BINS in counted else None
    return Look(
        rows=rows, columns=columns, score=counted[_SCORE].counts if _SCORE in counted else None, score_bins=bins,
        failed=failed, began=began, ended=ended,
    )  # fmt: skip


def look_at_large(reference: Mapping[str, Any], schema: Schema, table: Table) -> Look | None:
    """A table that is not loaded; None where a column's type leaves its spelling to the reader of cells."""
    import pyarrow.types as pt

    files = table.arrow
    asked: dict[str, NumberCells | CategoryCells] = {}
    for column in schema.columns:
        kind, entry = files.schema.field(column.name).type, reference["columns"][column.name]
        if column.type == "category":
            if not (pt.is_string(kind) or pt.is_large_string(kind)):
                return None
            asked[column.name] = cells_of_entry(entry, quote(column.name))
        else:
            if not (pt.is_integer(kind) or pt.is_floating(kind)):
                return None
            value = f"{quote(column.name)}::DOUBLE"
            asked[column.name] = cells_of_entry(entry, value, low=column.low, high=column.high)
    connection = files.connect()
    try:
        rows, counted = counted_slots(connection, files.relation, asked)[0]
    finally:
        connection.close()
    return look_of(schema, rows, counted)


def looks_of_view(
    connection: Any, reference: Mapping[str, Any], schema: Schema, version: int, *, looks_a_year: float
) -> list[Look]:
    """The predictions of a version on a view of the log (``data.log.log_view``), in looks of the ordinary length."""
    length = YEAR_S / looks_a_year
    relation = f"(SELECT * FROM log WHERE {PREDICTIONS} AND version = {int(version)})"
    group = f'coalesce(floor(epoch("at") / {length!r}), 0)'
    asked: dict[str, NumberCells | CategoryCells] = {}
    for column in schema.columns:
        entry = reference["columns"][column.name]
        value = quote(f"c:{column.name}") + ("" if column.type == "category" else "::DOUBLE")
        asked[column.name] = cells_of_entry(entry, value, low=column.low, high=column.high)
    score = reference.get("score")
    if score and score["kind"] == "number":
        asked[_SCORE] = cells_of_entry(score, "p")
        if schema.task == "binary":
            edges = tuple((k + 1) / SCORE_BINS for k in range(SCORE_BINS - 1))
            asked[_BINS] = NumberCells("p", edges)
    found = counted_slots(connection, relation, asked, group=group, quartiles=False)
    bad = "p IS NULL OR NOT isfinite(p)" if schema.task != "multiclass" else "ps IS NULL"
    ends = 'epoch(min("at")), epoch(max("at"))'
    around = connection.execute(
        f"SELECT CAST({group} AS BIGINT), {ends}, count_if({bad}) FROM {relation} GROUP BY 1"
    ).fetchall()
    times = {int(g): (low, high, int(failed)) for g, low, high, failed in around}
    looks = []
    for g in sorted(found):
        rows, counted = found[g]
        low, high, failed = times[g]
        looks.append(look_of(schema, rows, counted, began=_stamp(low), ended=_stamp(high), failed=failed))
    return looks


def _stamp(seconds: float | None) -> str:
    return "" if seconds is None or np.isnan(seconds) else timestamp(datetime.fromtimestamp(float(seconds), UTC))
