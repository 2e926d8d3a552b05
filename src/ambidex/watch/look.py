"""One look: the rows that arrived, as counts in the cells of the version's reference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import missing_columns
from ambidex.bundle.reference import count
from ambidex.data.table import Table
from ambidex.errors import DataError, did_you_mean
from ambidex.records import Column, Schema

__all__ = ["ColumnLook", "Look", "look_at_rows", "look_at_table"]

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """All columns of one look.

    Attributes:
        rows: Rows in it.
        columns: By name, in the schema's order.
        score: The model's outputs per slot of the score's reference; None if there are none.
    """

    rows: int
    columns: Mapping[str, ColumnLook]
    score: Ints | None = None


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
    columns = {}
    for column in schema.columns:
        entry = reference["columns"][column.name]
        if column.type == "category":
            columns[column.name] = _category(entry, table.text(column.name))
        else:
            columns[column.name] = _number_of_table(entry, column, table)
    return Look(rows=table.rows, columns=columns)


def look_at_rows(
    reference: Mapping[str, Any], schema: Schema, rows: Sequence[Mapping[str, Any]], scores: Sequence[float | None]
) -> Look:
    """Logged rows (column -> float, int, str or None) and their outputs against the reference."""
    columns = {}
    for column in schema.columns:
        entry = reference["columns"][column.name]
        cells = [row.get(column.name) for row in rows]
        if column.type == "category":
            texts = [None if v is None else v if isinstance(v, str) else _spelled(v) for v in cells]
            columns[column.name] = _category(entry, texts)
        else:
            odd = [v for v in cells if v is not None and not isinstance(v, int | float)]
            numbers = np.array([_float(v) for v in cells], dtype=np.float64)
            columns[column.name] = _number(entry, column, numbers, len(odd), str(odd[0]) if odd else None)
    score = None
    if reference.get("score"):
        outputs = np.array([np.nan if p is None else p for p in scores], dtype=np.float64)
        score = count(reference["score"], outputs)
    return Look(rows=len(rows), columns=columns, score=score)


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
