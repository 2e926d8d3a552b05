"""A made-up model's inputs, reference and log, for the tests of the watcher."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from ambidex.bundle.reference import make_reference
from ambidex.data.table import Table
from ambidex.records import Column, Schema

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LEVELS = np.array(["basic", "plus", "gold", "trial"], dtype=object)
SHARES = (0.5, 0.3, 0.15, 0.05)


def schema(numbers: int = 3, categories: int = 2, **changes: Any) -> Schema:
    names = [Column(name=f"n{i}", type="float", nullable=True) for i in range(numbers)]
    names += [Column(name=f"c{i}", type="category", nullable=True, levels=tuple(LEVELS)) for i in range(categories)]
    given = {"task": "binary", "classes": ("no", "yes"), "key": "customer", **changes}
    return Schema(columns=tuple(names), target="left", **given)


def columns(rng: np.random.Generator, n: int, of: Schema, *, shift: float = 0.0, moved: int = 0) -> dict[str, Any]:
    """Independent columns; the first ``moved`` numbers are ``shift`` standard deviations higher."""
    out: dict[str, Any] = {}
    for i, column in enumerate(of.columns):
        if column.type == "category":
            out[column.name] = rng.choice(LEVELS, size=n, p=SHARES)
        else:
            out[column.name] = rng.normal(size=n) + (shift if i < moved else 0.0)
    return out


def table(values: dict[str, Any], name: str = "rows.csv") -> Table:
    return Table(name, None, pa.table({k: pa.array(list(v), from_pandas=True) for k, v in values.items()}))


def reference(rng: np.random.Generator, of: Schema, m: int = 10_000, **more: Any) -> dict[str, Any]:
    return make_reference(table(columns(rng, m, of)), of, cut_on=table(columns(rng, m, of)), **more)


def frames(
    values: dict[str, Any], *, at: datetime = NOON, version: int = 1, start: int = 0, p: Any = 0.3
) -> list[dict]:
    names = list(values)
    rows = zip(*(np.asarray(values[n], dtype=object).tolist() for n in names), strict=True)
    stamp = (at - timedelta(minutes=5)).isoformat().replace("+00:00", "Z")
    return [
        {
            "at": stamp, "model": "churn", "version": version, "id": f"p{start + i}",
            "row": dict(zip(names, row, strict=True)), "riders": {"customer": f"k{start + i}"},
            "p": float(np.asarray(p).ravel()[i % np.size(p)]), "source": "score",
        }
        for i, row in enumerate(rows)
    ]  # fmt: skip
