"""A few of a table's rows as hashes: enough to tell later whether another table holds them all."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.fingerprint import Hashes, content_hash, row_hash, row_hashes
from ambidex.data.table import Table

__all__ = ["Rows"]

LEAST = 64
"""Rows kept: those with the smallest hashes, which in a grown table are still among its rows."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a table, to be known again.

    Attributes:
        hashes: One a row; None for a table that is not in memory, which is known by its files.
        sketch: JSON to keep: ``rows``, ``content`` (hash of all of them), and ``least`` (the rows with the smallest
            hashes and how often each occurs) or ``files`` (a hash of each Parquet file's footer).
    """

    hashes: Hashes | None
    sketch: dict[str, Any]

    @classmethod
    def of(cls, table: Table) -> Rows:
        """From a table."""
        if table.is_large:
            files = sorted(_footer(path) for path in table.arrow.paths)
            return cls(None, {"rows": table.rows, "content": content_hash(table), "files": files})
        return cls.of_hashes(row_hashes(table))

    @classmethod
    def of_hashes(cls, hashes: Hashes) -> Rows:
        """From one hash a row.

        >>> Rows.of_hashes(np.array([3, 1, 3], dtype=np.uint64)).sketch["least"]
        [['1', 1], ['3', 2]]
        """
        values, counts = np.unique(hashes, return_counts=True)
        least = [[f"{int(v):x}", int(c)] for v, c in zip(values[:LEAST], counts[:LEAST], strict=True)]
        return cls(hashes, {"rows": len(hashes), "content": row_hash(hashes), "least": least})

    def are(self, other: Mapping[str, Any]) -> bool:
        """Whether a sketch is of the same rows, in any order."""
        return bool(self.sketch["content"] == other["content"])

    def grew_from(self, earlier: Mapping[str, Any]) -> bool:
        """Whether the table has the rows of an earlier one, as far as its sketch tells, and more.

        Half of the sketched rows are enough: a few rows that were mended or whose outcome came late do not make it a
        table of other units. Tables without an id hold few different rows; there each must occur as often as before.
        Tables that are not in memory must hold all files of the earlier one as they were.

        >>> old = Rows.of_hashes(np.array([3, 1, 3], dtype=np.uint64)).sketch
        >>> [Rows.of_hashes(np.array(h, dtype=np.uint64)).grew_from(old) for h in ([1, 3, 3, 9], [1, 3, 7, 9])]
        [True, False]
        """
        if self.sketch["rows"] <= earlier["rows"]:
            return False
        if self.hashes is None or "least" not in earlier:
            files = set(earlier.get("files") or ())
            return bool(files) and files <= set(self.sketch.get("files") or ())
        wanted = np.array([int(v, 16) for v, _ in earlier["least"]], dtype=np.uint64)
        found = self.hashes[np.isin(self.hashes, wanted)]
        values, counts = np.unique(found, return_counts=True)
        there = dict(zip(values.tolist(), counts.tolist(), strict=True))
        held = sum(there.get(int(v, 16), 0) >= c for v, c in earlier["least"])
        return bool(held >= (len(wanted) / 2 if len(wanted) == LEAST else len(wanted)))


def _footer(path: Path) -> str:
    """sha256 of a Parquet file's footer, which has the sizes, places and extremes of all its columns."""
    with path.open("rb") as file:
        file.seek(-8, 2)
        length = int.from_bytes(file.read(4), "little")
        file.seek(-8 - length, 2)
        return hashlib.sha256(file.read(length)).hexdigest()
