"""How many rows fall in each cell of a reference, column by column: one pass of DuckDB, no row in Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.data.sql import literal
from ambidex.data.tally import real

__all__ = ["CategoryCells", "Counted", "NumberCells", "counted_slots"]

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NumberCells:
    """A column of numbers.

    Attributes:
        value: SQL that gives a DOUBLE, NULL where there is none.
        edges: Upper edges of the cells, the last one open.
        low: Declared limit; None: none.
        high: As ``low``.
        written: SQL condition: something stands in the cell; empty where that is the same as having a value.
    """

    value: str
    edges: tuple[float, ...]
    low: float | None = None
    high: float | None = None
    written: str = ""


@dataclass(frozen=True, slots=True)
class CategoryCells:
    """A column of texts.

    Attributes:
        value: SQL that gives a VARCHAR, NULL where there is none.
        levels: With a cell each.
        others: Known, in one cell together; none: no such cell.
        many: True if what is new cannot be told: it counts as known.
    """

    value: str
    levels: tuple[str, ...]
    others: tuple[str, ...] = ()
    many: bool = False


@dataclass(frozen=True, slots=True)
class Counted:
    """One column in one group of rows.

    Attributes:
        counts: Rows per cell, missing last.
        quartiles: Approximate; None without values.
        not_numbers: Cells that hold something that is no number.
        outside: Values outside the declared limits.
        extreme: One of them.
        fractions: Values that are not whole.
        only: The value that all rows share, if they do.
        new: Up to three levels never seen, most frequent first.
    """

    counts: Ints
    quartiles: tuple[float, float, float] | None = None
    not_numbers: int = 0
    outside: int = 0
    extreme: float | None = None
    fractions: int = 0
    only: float | None = None
    new: tuple[str, ...] = ()


def counted_slots(
    connection: Any,
    relation: str,
    columns: Mapping[str, NumberCells | CategoryCells],
    *,
    group: str = "0",
    quartiles: bool = True,
) -> dict[int, tuple[int, dict[str, Counted]]]:
    """Count a relation's rows.

    Args:
        connection: DuckDB, that may read the relation.
        relation: What to select from.
        columns: By name.
        group: SQL that gives a whole number a row: rows are counted apart by it.
        quartiles: Estimate them (t-digest); half of the time goes there.

    Returns:
        By group: rows, and each column's counts.
    """
    asked = [f"CAST({group} AS BIGINT) AS g", "count(*) AS n"]
    for i, column in enumerate(columns.values()):
        v = column.value
        if isinstance(column, NumberCells):
            there = f"CASE WHEN NOT isnan({v}) THEN {v} END"
            edges = ", ".join(real(e) for e in column.edges)
            asked.append(
                f"histogram({there}, [{edges}]::DOUBLE[]) AS h{i}" if column.edges else f"count({there}) AS h{i}"
            )
            beyond = [f"{there} < {real(column.low)}"] if column.low is not None else []
            beyond += [f"{there} > {real(column.high)}"] if column.high is not None else []
            far = " OR ".join(beyond) or "false"
            written = column.written or "false"
            asked += [
                f"count({there}) AS k{i}", f"min({there}) AS a{i}", f"max({there}) AS b{i}",
                f"count_if({far}) AS o{i}", f"arg_max({there}, abs({there})) FILTER (WHERE {far}) AS e{i}",
                f"count_if({there} <> floor({there})) AS f{i}", f"count_if(({written}) AND {there} IS NULL) AS w{i}",
            ]  # fmt: skip
            if quartiles:
                asked.append(f"approx_quantile({there}, [0.25, 0.5, 0.75]) AS q{i}")
        else:
            levels = ", ".join(literal(x) for x in column.levels)
            asked.append(
                f"histogram_exact({v}, [{levels}]::VARCHAR[]) AS h{i}" if column.levels else f"count({v}) AS h{i}"
            )
            asked.append(f"count({v}) AS k{i}")
            known = ", ".join(literal(x) for x in column.others)
            asked.append(f"count_if({v} IN ({known})) AS o{i}" if known else f"0 AS o{i}")
    found = connection.execute(f"SELECT {', '.join(asked)} FROM {relation} GROUP BY 1")
    names = [d[0] for d in found.description]
    out: dict[int, tuple[int, dict[str, Counted]]] = {}
    for values in found.fetchall():
        row = dict(zip(names, values, strict=True))
        n = int(row["n"])
        made: dict[str, Counted] = {}
        for i, (name, column) in enumerate(columns.items()):
            if isinstance(column, NumberCells):
                made[name] = _number(column, row, i, n)
            else:
                made[name] = _category(column, row, i, n)
        out[int(row["g"])] = (n, made)
    return out


def _number(column: NumberCells, row: Mapping[str, Any], i: int, n: int) -> Counted:
    known = int(row[f"k{i}"])
    if column.edges:
        held = dict(row[f"h{i}"] or {})
        cells = [int(held.get(e, 0)) for e in column.edges]
        cells.append(known - sum(cells))
    else:
        cells = [known]
    least, most = row[f"a{i}"], row[f"b{i}"]
    quartiles = row.get(f"q{i}")
    return Counted(
        counts=np.array([*cells, n - known], dtype=np.int64),
        quartiles=None if not quartiles or known == 0 else (quartiles[0], quartiles[1], quartiles[2]),
        not_numbers=int(row[f"w{i}"] or 0),
        outside=int(row[f"o{i}"] or 0),
        extreme=row[f"e{i}"],
        fractions=int(row[f"f{i}"] or 0),
        only=float(least) if known and least == most else None,
    )


def _category(column: CategoryCells, row: Mapping[str, Any], i: int, n: int) -> Counted:
    known = int(row[f"k{i}"])
    held = dict(row[f"h{i}"] or {}) if column.levels else {}
    cells = [int(held.get(level, 0)) for level in column.levels]
    others, rest = int(row[f"o{i}"] or 0), known - sum(cells)
    new = rest - others
    if column.many:  # what is new counts as known: the slot after the levels
        others, new = rest, 0
    slots: Sequence[int] = [*cells, *([others] if column.others else []), new, n - known]
    return Counted(counts=np.array(slots, dtype=np.int64))
