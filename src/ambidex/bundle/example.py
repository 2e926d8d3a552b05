"""A row as callers send it, for documentation: typical values, nobody's row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ambidex.records import Column, Schema

__all__ = ["example_of"]


def example_of(schema: Schema, rows: Iterable[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """The middle of each number and the most frequent category.

    Args:
        schema: The model's.
        rows: Golden rows; whole values of persons are not shown, so none of them is taken as it is.

    >>> schema = Schema(columns=(Column(name="age", type="float"),), target="y", task="regression")
    >>> example_of(schema, [{"age": 30.0}, {"age": 41.0}, {"age": None}, {"age": 60.0}])
    {'age': 41.0}
    """
    known = list(rows)
    return {c.name: _typical(c, [v for r in known if (v := r.get(c.name)) is not None]) for c in schema.columns}


def _typical(column: Column, values: list[Any]) -> Any:
    if column.type == "category":
        return column.levels[0] if column.levels else "text"
    numbers = sorted(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    middle = float(numbers[len(numbers) // 2]) if numbers else 0.0
    low = middle if column.low is None else max(middle, column.low)
    middle = low if column.high is None else min(low, column.high)
    return int(middle) if column.type == "integer" else middle
