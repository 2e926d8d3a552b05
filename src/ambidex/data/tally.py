"""Counts by group over files that are never loaded, and columns as SQL expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from ambidex.data.lazy import ParquetColumns
from ambidex.data.sql import literal, quote

__all__ = [
    "among", "constant", "count_cells", "count_different", "count_groups", "count_units",
    "indicator_expression", "is_known", "label_expression", "number_expression", "real", "text_expression",
]  # fmt: skip


def count_groups(columns: ParquetColumns, group: str) -> pa.Table:
    """Rows per value of a column: ``value`` (null for none), ``rows``."""
    return columns.query(f"SELECT {quote(group)} AS value, count(*) AS rows FROM {columns.relation} GROUP BY 1")


def count_units(columns: ParquetColumns, group: str, values: Sequence[Any], unit: str) -> tuple[pa.Table, pa.Table]:
    """Units per value of a column, where the rows of one unit may have two.

    Returns:
        ``value``, ``rows``, ``units``, over units with one value; and ``unit``, ``rows`` of those with two.
    """
    u, g = quote(unit), quote(group)
    units = (
        f"SELECT {u} AS unit, min({g}) AS low, max({g}) AS high, count(*) AS rows FROM {columns.relation} "
        f"WHERE {among(group, values)} AND {is_known(columns, unit)} GROUP BY 1"
    )
    connection = columns.connect()
    try:
        connection.execute(f"CREATE TEMP TABLE units AS {units}")
        counts = connection.sql(
            "SELECT low AS value, sum(rows)::BIGINT AS rows, count(*) AS units FROM units WHERE low = high GROUP BY 1"
        ).to_arrow_table()
        crossed = connection.sql("SELECT unit, rows FROM units WHERE low <> high").to_arrow_table()
        return counts, crossed
    finally:
        connection.close()


def count_cells(columns: ParquetColumns, group: str, other: str) -> pa.Table:
    """Rows per pair of values of two columns: ``value``, ``other``, ``rows``."""
    return columns.query(
        f"SELECT {quote(group)} AS value, {quote(other)} AS other, count(*) AS rows "
        f"FROM {columns.relation} GROUP BY 1, 2"
    )


def count_different(columns: ParquetColumns, name: str) -> tuple[int, int]:
    """Different known values of a column, and rows with one; exact, in bounded memory."""
    found = columns.query(
        f"SELECT count(*) AS d, coalesce(sum(n), 0)::BIGINT AS n FROM (SELECT {quote(name)} AS v, count(*) AS n "
        f"FROM {columns.relation} WHERE {is_known(columns, name)} GROUP BY 1)"
    )
    return int(found.column("d")[0].as_py()), int(found.column("n")[0].as_py())


def number_expression(columns: ParquetColumns, name: str) -> str:
    """A column of numbers, or of true and false, as an SQL expression that gives a DOUBLE."""
    kind = columns.schema.field(name).type
    return f"{quote(name)}::INTEGER::DOUBLE" if pt.is_boolean(kind) else f"{quote(name)}::DOUBLE"


def text_expression(name: str, pattern: str) -> str:
    """A column of texts as numbers where they match a pattern of RE2, else NULL."""
    trimmed = f"trim({quote(name)}, ' \t\r\n')"
    return f"CASE WHEN regexp_matches({trimmed}, {literal(pattern)}) THEN TRY_CAST({trimmed} AS DOUBLE) END"


def label_expression(name: str, meaning: Mapping[Any, float | None], otherwise: float | None = None) -> str:
    """A column's values turned into numbers one by one."""
    cases = " ".join(f"WHEN {constant(v)} THEN {_number(x)}" for v, x in meaning.items())
    column = quote(name)
    if not cases:
        return f"CASE WHEN {column} IS NOT NULL THEN {_number(otherwise)} END"
    return f"CASE WHEN {column} IS NULL THEN NULL ELSE CASE {column} {cases} ELSE {_number(otherwise)} END END"


def _number(value: float | None) -> str:
    return "NULL" if value is None or np.isnan(value) else real(value)


def indicator_expression(columns: ParquetColumns, name: str, value: Any) -> str:
    """1 where the column has the value, 0 elsewhere; with the value None, 1 where it has none."""
    if value is None:
        return f"CASE WHEN {is_known(columns, name)} THEN 0.0 ELSE 1.0 END::DOUBLE"
    return f"CASE WHEN {quote(name)} = {constant(value)} THEN 1.0 ELSE 0.0 END::DOUBLE"


def among(name: str, values: Sequence[Any]) -> str:
    return f"{quote(name)} IN ({', '.join(constant(v) for v in values)})"


def is_known(columns: ParquetColumns, name: str) -> str:
    """A condition: the cell is neither null nor blank nor NaN."""
    column, kind = quote(name), columns.schema.field(name).type
    if pt.is_string(kind):
        return f"regexp_matches({column}, '\\S')"
    return f"isfinite({column})" if pt.is_floating(kind) else f"{column} IS NOT NULL"


def real(value: float) -> str:
    """A number as SQL, every digit of it."""
    return f"({float(value)!r})::DOUBLE"


def constant(value: Any) -> str:
    """A value of a column as SQL."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return real(value)
    return literal(str(value))
