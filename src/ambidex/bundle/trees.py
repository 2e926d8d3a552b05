"""Trees behind feature steps, stored as JSON, scored by no library: numpy for many rows, plain Python for one."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ambidex.bundle.steps import function_of
from ambidex.errors import DataError
from ambidex.records import Schema

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FORMAT", "TreeScorer"]

FORMAT = "ambidex-trees/1"
_SINGLE = struct.Struct("f")
_LARGEST = 3.4028234663852886e38


class TreeScorer:
    """Trees, opened: rows in, numbers out. Pure, deterministic, safe in threads.

    A number at or below a node's threshold goes left, a missing one where training sent it. Sums run tree by tree in
    both roads, so that one row alone and among others comes out equal bit for bit.

    Args:
        model: What ``trees_fit.fit_trees`` returned.

    Raises:
        DataError: ``data.schema`` if this is no such model.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        if model.get("format") != FORMAT:
            raise DataError(
                "data.schema", f"{model.get('format')!r} is no model of trees", found=f"this program reads {FORMAT}"
            )
        self.schema = Schema.from_json(model["schema"])
        self._steps = [function_of(step) for step in model["steps"]]
        self._base, self._scale, self._link = float(model["base_score"]), float(model["scale"]), model["link"]
        self._single = bool(model["single"])
        self._trees = [
            tuple(zip(t["feature"], t["threshold"], t["left"], t["right"], t["missing_left"], t["value"], strict=True))
            for t in model["trees"]
        ]
        self._arrays: list[tuple[Any, ...]] | None = None

    def score(self, row: Mapping[str, Any]) -> float:
        """One decoded row. Binary: the probability of ``schema.classes[1]``; else the value."""
        numbers = [one(*(row.get(c) for c in names)) for names, one in self._steps]
        if self._single:
            numbers = [_rounded(v) for v in numbers]
        total = 0.0
        for tree in self._trees:
            feature, threshold, left, right, missing_left, value = tree[0]
            while feature >= 0:
                x = numbers[feature]
                down = left if (missing_left if x != x else x <= threshold) else right
                feature, threshold, left, right, missing_left, value = tree[down]
            total += value
        return self._out(self._base + total * self._scale)

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        """Many rows, column by column; bit-equal to ``score``. Shape (rows,)."""
        import numpy as np

        x = self.matrix(columns, rows)
        total = np.zeros(rows)
        at = np.arange(rows)
        for feature, threshold, left, right, missing_left, value in self._ready():
            node = np.zeros(rows, dtype=np.int64)
            while True:
                asked = feature[node]
                inner = asked >= 0
                if not inner.any():
                    break
                cell = x[at, np.where(inner, asked, 0)]
                goes = np.where(np.isnan(cell), missing_left[node], cell <= threshold[node])
                node = np.where(inner, np.where(goes, left[node], right[node]), node)
            total += value[node]
        sums = (self._base + total * self._scale).tolist()
        return np.fromiter(map(self._out, sums), dtype=np.float64, count=rows)

    def matrix(self, columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        """What the trees see of these rows. Shape (rows, steps)."""
        import numpy as np

        x = np.empty((rows, len(self._steps)))
        for j, (names, one) in enumerate(self._steps):
            cells = [columns.get(n) for n in names]
            lists = [[None] * rows if c is None else np.asarray(c).tolist() for c in cells]
            x[:, j] = [one(*given) for given in zip(*lists, strict=True)]
        if self._single:
            x = np.clip(x, -_LARGEST, _LARGEST).astype(np.float32).astype(np.float64)
        return x

    def _ready(self) -> list[tuple[Any, ...]]:
        import numpy as np

        if self._arrays is None:
            self._arrays = [
                tuple(np.array(part, dtype=kind) for part, kind in zip(zip(*tree, strict=True), _TYPES, strict=True))
                for tree in self._trees
            ]
        return self._arrays

    def _out(self, total: float) -> float:
        if self._link == "logit":
            return (
                1.0 / (1.0 + math.exp(-min(total, 700.0)))
                if total >= 0
                else 1.0 - 1.0 / (1.0 + math.exp(max(total, -700.0)))
            )
        return min(max(total, 0.0), 1.0) if self._link == "share" else total


_TYPES = ("int64", "float64", "int64", "int64", "bool", "float64")


def _rounded(value: float) -> float:
    """In single precision, no larger than its largest number."""
    return float(_SINGLE.unpack(_SINGLE.pack(-_LARGEST if value < -_LARGEST else min(value, _LARGEST)))[0])
