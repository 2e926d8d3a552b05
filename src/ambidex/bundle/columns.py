"""From a table to what a model takes: columns checked against the schema, nothing silently changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError, did_you_mean
from ambidex.records import Column, Schema

__all__ = ["columns_of", "missing_columns", "rows_of"]

Columns = dict[str, NDArray[Any]]
Notes = list[tuple[str, str]]


def missing_columns(table: Table, schema: Schema) -> list[str]:
    """Inputs of the model that the table lacks."""
    there = set(table.columns)
    return [name for name in schema.names if name not in there]


def columns_of(table: Table, schema: Schema) -> tuple[Columns, Notes]:
    """The model's inputs as arrays: float64 with NaN, or objects with None.

    A cell that is no number counts as missing where the column may be missing, and is said; elsewhere it
    is an error that names row and value.

    Returns:
        The arrays by column, and (code, text) notes on cells that were read as missing.

    Raises:
        DataError: ``data.schema`` for a missing column or one whose type is another, ``data.null`` and
            ``data.type`` for a cell, ``data.range`` for a number outside the declared limits.
    """
    lacking = missing_columns(table, schema)
    if lacking:
        raise DataError(
            "data.schema",
            f"{table.name} lacks {_few(lacking)}, which the model takes{did_you_mean(lacking[0], table.columns)}",
            where=table.name,
            found=f"{_few(table.columns)} ({len(table.columns)} columns)",
            do=f"name the columns as in training: {_few(schema.names)}",
        )
    notes: Notes = []
    out: Columns = {}
    for column in schema.columns:
        if column.type == "category":
            out[column.name] = _categories(table, column)
        else:
            out[column.name] = _numbers(table, column, notes)
    return out, notes


def rows_of(columns: Mapping[str, Any], schema: Schema, indices: Sequence[int]) -> list[dict[str, Any]]:
    """Rows as a request would carry them: float, int, str or None by column name."""
    rows = []
    for i in indices:
        row: dict[str, Any] = {}
        for column in schema.columns:
            cell = columns[column.name][i]
            if column.type == "category":
                row[column.name] = cell
            elif np.isnan(cell):
                row[column.name] = None
            else:
                row[column.name] = int(cell) if column.type == "integer" else float(cell)
        rows.append(row)
    return rows


def _categories(table: Table, column: Column) -> NDArray[Any]:
    values = table.text(column.name)
    if not column.nullable:
        empty = np.fromiter((v is None for v in values), dtype=bool, count=len(values))
        if empty.any():
            raise _null(table, column, int(np.flatnonzero(empty)[0]), int(empty.sum()))
    return values


def _numbers(table: Table, column: Column, notes: Notes) -> NDArray[Any]:
    values = table.number(column.name)
    absent = np.isnan(values)
    if absent.any():
        texts = table.text(column.name)
        first = int(np.flatnonzero(absent)[0])
        written = np.fromiter((v is not None and bool(v.strip()) for v in texts), dtype=bool, count=len(texts)) & absent
        if written.any():
            wrong = int(np.flatnonzero(written)[0])
            shown = str(texts[wrong])[:40]
            if written.sum() > len(values) / 2:
                raise DataError(
                    "data.schema",
                    f"{column.name} of {table.name} holds text, the model takes {column.type} numbers",
                    where=f"{table.name}, column {column.name}",
                    found=f"{int(written.sum())} of {len(values)} cells are no number, such as {shown!r}",
                    do=f"give {column.name} as a number, as in training",
                )
            if not column.nullable:
                raise DataError(
                    "data.type",
                    f"{shown!r} in {column.name} is no number",
                    where=f"{table.name}, data row {wrong + 1}, column {column.name}",
                    found=f"{int(written.sum())} such cells",
                    do="mend the cells, or leave the rows out",
                )
            notes.append(
                (
                    "not-a-number",
                    f"{column.name}: {int(written.sum())} cells are no number (such as {shown!r}) "
                    "and were scored as missing",
                )
            )
        elif not column.nullable:
            raise _null(table, column, first, int(absent.sum()))
    infinite = np.isinf(values)
    if infinite.any():
        raise DataError(
            "data.range",
            f"{column.name} holds an infinite value",
            where=f"{table.name}, data row {int(np.flatnonzero(infinite)[0]) + 1}, column {column.name}",
            found=f"{int(infinite.sum())} such cells",
            do="mend the cells, or leave the rows out",
        )
    if column.type == "integer":
        broken = ~np.isnan(values) & (values != np.floor(values))
        if broken.any():
            at = int(np.flatnonzero(broken)[0])
            raise DataError(
                "data.type",
                f"{values[at]:g} in {column.name} is no whole number",
                where=f"{table.name}, data row {at + 1}, column {column.name}",
                found=f"{int(broken.sum())} such cells",
                do="train with such values, or mend the cells",
            )
    for limit, outside in ((column.low, values < _or(column.low)), (column.high, values > _or(column.high))):
        if limit is not None and outside.any():
            at = int(np.flatnonzero(outside)[0])
            raise DataError(
                "data.range",
                f"{values[at]:g} in {column.name} is outside its declared limit {limit:g}",
                where=f"{table.name}, data row {at + 1}, column {column.name}",
            )
    return values


def _or(limit: float | None) -> float:
    return float("nan") if limit is None else limit


def _null(table: Table, column: Column, first: int, count: int) -> DataError:
    return DataError(
        "data.null",
        f"{column.name} is missing, and had no missing value in training",
        where=f"{table.name}, data row {first + 1}, column {column.name}",
        found=f"{count} of {table.rows} rows lack it",
        do="fill the cells, or retrain with rows that lack it",
    )


def _few(names: Sequence[str], most: int = 6) -> str:
    shown = [str(n) for n in names[:most]]
    return ", ".join(shown) + (f", … {len(names) - most} more" if len(names) > most else "")
