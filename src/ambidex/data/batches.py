"""Rows of files larger than memory, in order, a batch at a time: read by DuckDB, only ever forward."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.sql import connect, literal, quote

__all__ = ["Batches"]

Floats = np.ndarray[Any, np.dtype[np.float64]]


class Batches:
    """Numeric columns of Parquet files as a matrix that is never whole in memory.

    Reading goes forward; asking for rows that have passed begins anew. One batch is kept.

    Args:
        paths: Files, read in this order.
        columns: Numeric columns.
        rows: Rows of a batch.
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[str], *, rows: int = 1 << 18) -> None:
        self.columns = tuple(columns)
        self.batch = rows
        self._paths = [Path(p).resolve() for p in paths]
        self._from = f"read_parquet([{', '.join(literal(str(p)) for p in self._paths)}])"
        self._connection = connect(allow=self._paths)
        counted = self._connection.sql(f"SELECT count(*) FROM {self._from}").fetchall()
        self.rows = int(counted[0][0])
        self._reader: Any = None
        self._held: Floats = np.empty((0, len(self.columns)))
        self._start = 0

    def __len__(self) -> int:
        return self.rows

    def read(self, start: int, stop: int) -> Floats:
        """Rows [start, stop), missing values NaN. Shape (rows, columns)."""
        if start < self._start or self._reader is None:
            self._begin()
        parts: list[Floats] = []
        at = start
        while at < min(stop, self.rows):
            end = self._start + len(self._held)
            if at >= end:
                self._next()
                continue
            upto = min(stop, end)
            parts.append(self._held[at - self._start : upto - self._start])
            at = upto
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def _begin(self) -> None:
        named = ", ".join(f"{quote(c)}::DOUBLE AS {quote(c)}" for c in self.columns)
        self._connection.close()  # with what an earlier reader has not fetched
        self._connection = connect(allow=self._paths)
        self._reader = self._connection.sql(f"SELECT {named} FROM {self._from}").to_arrow_reader(self.batch)
        self._held, self._start = np.empty((0, len(self.columns))), 0

    def _next(self) -> None:
        batch = self._reader.read_next_batch()
        self._start += len(self._held)
        self._held = np.empty((batch.num_rows, len(self.columns)))
        for j in range(len(self.columns)):
            self._held[:, j] = batch.column(j).to_numpy(zero_copy_only=False)
