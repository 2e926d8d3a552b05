"""A few of a table's rows as hashes: enough to tell later whether another table holds them all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ambidex.data.fingerprint import Hashes, row_hash, row_hashes
from ambidex.data.table import Table

__all__ = ["hashes_of", "holds", "same", "sketch"]

LEAST = 64
"""Rows kept: those with the smallest hashes, which in a grown table are still among its rows."""


def sketch(hashes: Hashes) -> dict[str, Any]:
    """Rows, hash of all of them, and the rows with the smallest hashes with how often each occurs.

    >>> sketch(np.array([3, 1, 3], dtype=np.uint64))["least"]
    [['1', 1], ['3', 2]]
    """
    values, counts = np.unique(hashes, return_counts=True)
    least = [[f"{int(v):x}", int(c)] for v, c in zip(values[:LEAST], counts[:LEAST], strict=True)]
    return {"rows": len(hashes), "content": row_hash(hashes), "least": least}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two sketches are of the same rows, in any order."""
    return bool(one["content"] == other["content"])


def holds(hashes: Hashes, earlier: Mapping[str, Any]) -> bool:
    """Whether a table has the rows of an earlier one, as far as its sketch tells, and more.

    Half of the sketched rows are enough: a few rows that were mended or whose outcome came late do not make it a
    table of other units. Tables without an id hold few different rows; there each must occur as often as before.

    >>> old = sketch(np.array([3, 1, 3], dtype=np.uint64))
    >>> holds(np.array([1, 3, 3, 9], dtype=np.uint64), old), holds(np.array([1, 3, 7, 9], dtype=np.uint64), old)
    (True, False)
    """
    if len(hashes) <= earlier["rows"]:
        return False
    wanted = np.array([int(v, 16) for v, _ in earlier["least"]], dtype=np.uint64)
    found = hashes[np.isin(hashes, wanted)]
    values, counts = np.unique(found, return_counts=True)
    there = dict(zip(values.tolist(), counts.tolist(), strict=True))
    held = sum(there.get(int(v, 16), 0) >= c for v, c in earlier["least"])
    return held >= (len(wanted) / 2 if len(wanted) == LEAST else len(wanted))


def hashes_of(table: Table) -> Hashes | None:
    """The rows' hashes; None for a table that is not in memory."""
    return None if getattr(table, "is_large", False) else row_hashes(table)
