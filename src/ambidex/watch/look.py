"""One look: the rows that arrived, as counts in the cells of the version's reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import missing_columns
from ambidex.bundle.reference import cells_of, count
from ambidex.bundle.reference_rows import SAMPLE
from ambidex.data.table import Table
from ambidex.errors import DataError, did_you_mean
from ambidex.records import Column, Schema
from ambidex.watch.log import moment

__all__ = ["SCORE_BINS", "ColumnLook", "Look", "binned", "look_at_rows", "look_at_table", "looks_of"]

SCORE_BINS = 500
YEAR_S = 365.0 * 86_400

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnLook:
    """A column's rows in one look.

    Attributes:
        counts: Rows per slot of the reference, shape (slots,).
        quartiles: Of the values; None if there are none.
        not_numbers: Cells of a number column that hold text; they count as missing.
        odd: One of them.
        outside: Values outside the limits that the schema declares.
        extreme: One of them.
        fractions: Values of a whole-number column that are not whole.
        new: Up to three levels never seen in training, most frequent first.
        only: The value that all rows of a number column share, if they do.
        absent: Rows that do not have the column at all (of the missing ones).
    """

    counts: Ints
    quartiles: tuple[float, float, float] | None = None
    not_numbers: int = 0
    odd: str | None = None
    outside: int = 0
    extreme: float | None = None
    fractions: int = 0
    new: tuple[str, ...] = ()
    only: float | None = None
    absent: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All columns of one look.

    Attributes:
        rows: Rows in it.
        columns: By name, in the schema's order.
        score: The model's outputs per slot of the score's reference; None if there are none.
        score_bins: Outputs of a yes/no model in ``SCORE_BINS`` equal bins of [0, 1], shape (SCORE_BINS,); None for
            others.
        failed: Rows without a finite output.
        cells: Which cells up to ``SAMPLE`` of the rows fell in, shape (rows, columns); None where nobody asked.
        began: When the first row came; empty if unknown.
        ended: When the last one came.
    """

    rows: int
    columns: Mapping[str, ColumnLook]
    score: Ints | None = None
    score_bins: Ints | None = None
    failed: int = 0
    cells: NDArray[np.uint8] | None = None
    began: str = ""
    ended: str = ""


def look_at_table(reference: Mapping[str, Any], schema: Schema, table: Table) -> Look:
    """A table against the reference.

    Raises:
        DataError: ``data.empty`` without rows; ``data.schema`` if a column of the model is missing, or holds text
            where the model takes numbers (more than half of its values).
    """
    if table.rows == 0:
        raise DataError("data.empty", f"{table.name} has no rows", where=table.name, do="give a table with rows")
    lacking = missing_columns(table, schema)
    if lacking:
        near = did_you_mean(lacking[0], [c for c in table.columns if c not in schema.names])
        shown = ", ".join(lacking[:6]) + (f", … {len(lacking) - 6} more" if len(lacking) > 6 else "")
        raise DataError(
            "data.schema",
            f"{table.name} lacks {shown}, which the model takes{near}",
            where=table.name,
            found=", ".join(table.columns[:8]) + (", …" if len(table.columns) > 8 else ""),
            do=f"rename {near.split('`')[1]} to {lacking[0]}" if near else f"bring back the column {lacking[0]}",
        )
    if table.is_large:
        from ambidex.watch.counted import look_at_large

        counted = look_at_large(reference, schema, table)
        if counted is not None:
            return counted
    columns = {}
    for column in schema.columns:
        entry = reference["columns"][column.name]
        if column.type == "category":
            columns[column.name] = _category(entry, table.text(column.name))
        else:
            columns[column.name] = _number_of_table(entry, column, table)
    return Look(rows=table.rows, columns=columns)


def look_at_rows(
    reference: Mapping[str, Any],
    schema: Schema,
    rows: Sequence[Mapping[str, Any]],
    scores: Sequence[Any],
    *,
    began: str = "",
    ended: str = "",
) -> Look:
    """Logged rows (column -> float, int, str or None) and their outputs against the reference."""
    columns = {}
    cells = np.empty((min(len(rows), SAMPLE), len(schema.columns)), dtype=np.uint8)
    chosen = np.linspace(0, max(0, len(rows) - 1), len(cells)).astype(np.int64)
    for j, column in enumerate(schema.columns):
        entry, name = reference["columns"][column.name], column.name
        given = [row.get(name) for row in rows]
        absent = sum(name not in row for row, v in zip(rows, given, strict=True) if v is None)
        if column.type == "category":
            texts = [None if v is None else v if isinstance(v, str) else _spelled(v) for v in given]
            look = _category(entry, texts)
            cells[:, j] = cells_of(entry, [texts[i] for i in chosen])
        else:
            odd = [v for v in given if v is not None and not isinstance(v, int | float)]
            numbers = np.array([_float(v) for v in given], dtype=np.float64)
            look = _number(entry, column, numbers, len(odd), str(odd[0])[:40] if odd else None)
            cells[:, j] = cells_of(entry, numbers[chosen])
        columns[name] = replace(look, absent=absent) if absent else look
    score, bins, failed = _scores(reference, schema, scores)
    return Look(
        rows=len(rows), columns=columns, score=score, score_bins=bins, failed=failed, cells=cells, began=began,
        ended=ended,
    )  # fmt: skip


def looks_of(
    reference: Mapping[str, Any], schema: Schema, frames: Sequence[Mapping[str, Any]], *, looks_a_year: float
) -> list[Look]:
    """Logged predictions as looks, oldest first.

    What came since the last pass is one look, unless that is longer than two ordinary ones: then a pass that was
    missed, or a log that was never watched, is taken apart into looks of the ordinary length, so that evidence does
    not depend on who called when.
    """
    if not frames:
        return []
    ordered = sorted(frames, key=lambda f: (str(f.get("at", "")), str(f.get("id", ""))))
    length = YEAR_S / looks_a_year
    times = [moment(str(f.get("at", ""))) for f in ordered]
    known = [t.timestamp() for t in times if t is not None]
    groups: dict[int, list[Mapping[str, Any]]] = {}
    if len(known) == len(ordered) and known[-1] - known[0] > 2 * length:
        for frame, at in zip(ordered, known, strict=True):
            groups.setdefault(int(at // length), []).append(frame)
    else:
        groups[0] = list(ordered)
    looks = []
    for at in sorted(groups):
        part = groups[at]
        began, ended = str(part[0].get("at", "")), str(part[-1].get("at", ""))
        rows, outputs = [f.get("row") or {} for f in part], [f.get("p") for f in part]
        looks.append(look_at_rows(reference, schema, rows, outputs, began=began, ended=ended))
    return looks


def _scores(
    reference: Mapping[str, Any], schema: Schema, scores: Sequence[Any]
) -> tuple[Ints | None, Ints | None, int]:
    """Outputs per slot of the score's reference, in bins, and how many are no number."""
    if schema.task == "multiclass":
        known = [_finite_list(p, len(schema.classes)) for p in scores]
        names = [None if p is None else schema.classes[int(np.argmax(p))] for p in known]
        entry = reference.get("score")
        return (count(entry, names) if entry else None), None, sum(p is None for p in known)
    outputs = np.array([_float(p) for p in scores], dtype=np.float64)
    outputs = np.where(np.isfinite(outputs), outputs, np.nan)
    entry = reference.get("score")
    score = count(entry, outputs) if entry else None
    return score, binned(outputs) if schema.task == "binary" else None, int(np.isnan(outputs).sum())


def binned(outputs: NDArray[np.float64]) -> Ints:
    """Probabilities in equal bins of [0, 1]; NaN is left out. Shape (SCORE_BINS,).

    >>> int(binned(np.array([0.0, 1.0, np.nan])).sum())
    2
    """
    there = outputs[np.isfinite(outputs)]
    place = np.floor(np.clip(there, 0.0, 1.0) * SCORE_BINS).astype(np.int64).clip(0, SCORE_BINS - 1)
    return np.bincount(place, minlength=SCORE_BINS).astype(np.int64)


def _finite_list(p: Any, size: int) -> list[float] | None:
    if not isinstance(p, list | tuple) or len(p) != size:
        return None
    values = [_float(v) for v in p]
    return values if np.isfinite(values).all() else None


def _float(value: Any) -> float:
    try:
        return float(value) if isinstance(value, int | float) else np.nan
    except OverflowError:  # an integer beyond what a float holds
        return np.nan


def _spelled(value: Any) -> str:
    return f"{value:.0f}" if isinstance(value, float) and value.is_integer() else str(value)


def _category(entry: Mapping[str, Any], texts: Sequence[Any] | NDArray[Any]) -> ColumnLook:
    counts = count(entry, texts)
    new: tuple[str, ...] = ()
    if counts[-2]:
        known = {*entry["levels"], *entry["others"], None}
        new = tuple(v for v, _ in Counter(v for v in texts if v not in known).most_common(3))
    return ColumnLook(counts=counts, new=new)


def _number_of_table(entry: Mapping[str, Any], column: Column, table: Table) -> ColumnLook:
    values = table.number(column.name)
    absent = np.isnan(values)
    odd: list[str] = []
    if absent.any():
        texts = table.text(column.name)
        odd = [str(texts[i]) for i in np.flatnonzero(absent) if texts[i] is not None]
    if odd and len(odd) > int((~absent).sum()):
        raise DataError(
            "data.schema",
            f"{column.name} of {table.name} holds text, the model takes {column.type} numbers",
            where=f"{table.name}, column {column.name}",
            found=f"{len(odd):,} of {table.rows:,} cells are no number, such as {odd[0][:40]!r}",
            do=f"give {column.name} as a number, as in training",
        )
    return _number(entry, column, values, len(odd), odd[0][:40] if odd else None)


def _number(
    entry: Mapping[str, Any], column: Column, values: NDArray[np.float64], not_numbers: int, odd: str | None
) -> ColumnLook:
    there = values[~np.isnan(values)]
    low, high = column.low, column.high
    outside = there[(there < (-np.inf if low is None else low)) | (there > (np.inf if high is None else high))]
    quartiles = None
    if len(there):
        a, b, c = np.quantile(there, [0.25, 0.5, 0.75]).tolist()
        quartiles = (a, b, c)
    return ColumnLook(
        counts=count(entry, values),
        quartiles=quartiles,
        not_numbers=not_numbers,
        odd=odd,
        outside=len(outside),
        extreme=float(outside[np.argmax(np.abs(outside))]) if len(outside) else None,
        only=float(there[0]) if len(there) and there.min() == there.max() else None,
        fractions=int((there != np.floor(there)).sum()) if column.type == "integer" else 0,
    )
