"""A segment model: which group a row belongs to. Stored as JSON, read without numpy, never pickled.

The JSON names every input's scale, every cut and every centre, so that a person can recompute a group by
hand. One row in plain Python and many in numpy go through the same operations in the same order: the groups
are equal, and so are the figures they are chosen by.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ambidex.errors import DataError
from ambidex.records import Schema

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FORMAT", "SegmentScorer"]

FORMAT = "ambidex-segments/1"


class SegmentScorer:
    """A segment model, opened. Pure, deterministic, safe in threads.

    A missing number counts as the training rows' median, a missing or new label as itself, alike to none.

    Args:
        model: What ``fit_groups`` returned.

    Raises:
        DataError: ``data.schema`` if this is no such model.

    >>> model = {"format": FORMAT, "inputs": [{"column": "age", "kind": "number", "shape": "plain", "unit": 1.0,
    ...   "centre": 40.0, "spread": 10.0, "missing": 40.0}], "rule": {"kind": "centres", "centres": [[-1.0], [1.0]]},
    ...   "schema": {"target": "segment", "task": "segments", "classes": ["low age", "high age"],
    ...              "columns": [{"name": "age", "type": "float", "nullable": True}]}}
    >>> scorer = SegmentScorer(model)
    >>> scorer.name({"age": 51})
    'high age'
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        if model.get("format") != FORMAT:
            raise DataError(
                "data.schema", f"{model.get('format')!r} is no segment model", found=f"this program reads {FORMAT}"
            )
        self.schema = Schema.from_json(model["schema"])
        self.model = model
        self._inputs = [_Label(i) if i["kind"] == "category" else _Number(i) for i in model["inputs"]]
        self._choose: _Rule = _RULES[model["rule"]["kind"]](model["rule"], len(self.schema.classes))

    def score(self, row: Mapping[str, Any]) -> float:
        """Place of the row's segment in ``schema.classes``."""
        return float(self._choose.one([i.one(row.get(i.column)) for i in self._inputs]))

    def name(self, row: Mapping[str, Any]) -> str:
        """The row's segment."""
        return self.schema.classes[int(self.score(row))]

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        """Many rows, column by column; equal to ``score``. Shape (rows,)."""
        import numpy as np

        return np.asarray(self._choose.many(self._values(columns, rows), rows), dtype=np.float64)

    def misfit(self, columns: Mapping[str, Any], rows: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """How unlike its segment each row is, and how unlike all rows taken as one: a loss that needs no label.

        Mean over the inputs: squared distance to the mean as a share of the variance for numbers (at most 9),
        1 less the label's share for categories. Shape (rows,) each.
        """
        import numpy as np

        place = self.score_columns(columns, rows).astype(np.int64)
        values = self._values(columns, rows)
        own, whole = np.zeros(rows), np.zeros(rows)
        for j, given in enumerate(self._inputs):
            everyone = self.model["whole"][j]
            groups = [group["profile"][j] for group in self.model["groups"]]
            if isinstance(given, _Label):
                tables = [{given.code(k): 1.0 - p for k, p in g["shares"].items()} for g in groups]
                all_ = {given.code(k): 1.0 - p for k, p in everyone["shares"].items()}
                own += np.array([tables[g].get(int(v), 1.0) for g, v in zip(place, values[j], strict=True)])
                whole += np.array([all_.get(int(v), 1.0) for v in values[j]])
            else:
                means = np.array([g["mean"] for g in groups])
                variance = max(float(everyone["variance"]), 1e-300)
                own += np.minimum((values[j] - means[place]) ** 2 / variance, 9.0)
                whole += np.minimum((values[j] - everyone["mean"]) ** 2 / variance, 9.0)
        return own / len(self._inputs), whole / len(self._inputs)

    def _values(self, columns: Mapping[str, Any], rows: int) -> list[npt.NDArray[np.float64]]:
        return [i.many(columns.get(i.column), rows) for i in self._inputs]


class _Number:
    """A number on the scale of the model."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.column: str = given["column"]
        self._log = given["shape"] == "log"
        self._unit, self._centre = float(given["unit"]), float(given["centre"])
        self._spread, self._missing = float(given["spread"]), float(given["missing"])

    def one(self, value: Any) -> float:
        x = self._missing if value is None or value != value else float(max(min(value, 1e15), -1e15))
        if self._log:
            x = math.log1p(x / self._unit) if x > 0 else 0.0
        return (x - self._centre) / self._spread

    def many(self, values: Any, rows: int) -> npt.NDArray[np.float64]:
        import numpy as np

        x = np.full(rows, np.nan) if values is None else np.asarray(values, dtype=np.float64)
        x = np.clip(np.where(np.isnan(x), self._missing, x), -1e15, 1e15)
        if self._log:  # numpy's log1p may differ from libm's in the last place
            scaled = np.where(x > 0, x, 0.0) / self._unit
            x = np.fromiter(map(math.log1p, scaled.tolist()), dtype=np.float64, count=rows)
        return (x - self._centre) / self._spread


class _Label:
    """A label as its code: -1 missing, -2 never seen."""

    def __init__(self, given: Mapping[str, Any]) -> None:
        self.column: str = given["column"]
        self._codes: dict[Any, int] = {v: i for i, v in enumerate(given["levels"])}
        self._codes[None] = -1

    def code(self, label: str) -> int:
        return self._codes.get(label, -2)

    def one(self, value: Any) -> float:
        return float(self._codes.get(value, -2))

    def many(self, values: Any, rows: int) -> npt.NDArray[np.float64]:
        import numpy as np

        if values is None:
            return np.full(rows, -1.0)
        get = self._codes.get
        return np.fromiter((get(v, -2) for v in values), dtype=np.float64, count=rows)


class _Rule:
    """From inputs to a group: the one with the least figure, the first where two are alike."""

    def __init__(self, rule: Mapping[str, Any], count: int) -> None:
        self.count = count

    def figure(self, j: int, values: Sequence[Any]) -> Any:
        """Of group j; ``values`` are floats of one row, or arrays of many."""
        raise NotImplementedError

    def one(self, values: Sequence[float]) -> int:
        best, least = 0, math.inf
        for j in range(self.count):
            figure = self.figure(j, values)
            if figure < least:
                best, least = j, figure
        return best

    def many(self, values: Sequence[Any], rows: int) -> Any:
        import numpy as np

        figures = np.stack([np.broadcast_to(self.figure(j, values), (rows,)) for j in range(self.count)])
        return figures.argmin(axis=0)


class _Centres(_Rule):
    """The nearest centre."""

    def __init__(self, rule: Mapping[str, Any], count: int) -> None:
        super().__init__(rule, count)
        self._centres = [[float(v) for v in centre] for centre in rule["centres"]]

    def figure(self, j: int, values: Sequence[Any]) -> Any:
        total: Any = 0.0
        for value, at in zip(values, self._centres[j], strict=True):
            away = value - at
            total = total + away * away
        return total


class _Mixture(_Rule):
    """The likeliest component of a Gaussian mixture."""

    def __init__(self, rule: Mapping[str, Any], count: int) -> None:
        super().__init__(rule, count)
        self._means, self._precisions = rule["means"], rule["precisions"]
        self._constants = rule["constants"]

    def figure(self, j: int, values: Sequence[Any]) -> Any:
        away = [value - at for value, at in zip(values, self._means[j], strict=True)]
        total: Any = 0.0
        for one, row in zip(away, self._precisions[j], strict=True):
            inner: Any = 0.0
            for other, p in zip(away, row, strict=True):
                inner = inner + other * p
            total = total + one * inner
        return 0.5 * total - self._constants[j]


class _Tiers(_Rule):
    """Points of each input added up, and cut into tiers, the highest first."""

    def __init__(self, rule: Mapping[str, Any], count: int) -> None:
        super().__init__(rule, count)
        self._terms = [(float(t["weight"]), [float(c) for c in t["cuts"]]) for t in rule["terms"]]
        self._cuts = [float(c) for c in rule["cuts"]]

    def one(self, values: Sequence[float]) -> int:
        total = 0.0
        for value, (weight, cuts) in zip(values, self._terms, strict=True):
            total = total + weight * (float(bisect_right(cuts, value)) if cuts else value)
        return len(self._cuts) - bisect_right(self._cuts, total)

    def many(self, values: Sequence[Any], rows: int) -> Any:
        import numpy as np

        total = np.zeros(rows)
        for value, (weight, cuts) in zip(values, self._terms, strict=True):
            points = np.searchsorted(cuts, value, side="right").astype(np.float64) if cuts else value
            total = total + weight * points
        return len(self._cuts) - np.searchsorted(self._cuts, total, side="right")


class _Medoids(_Rule):
    """The nearest medoid by Gower's distance."""

    def __init__(self, rule: Mapping[str, Any], count: int) -> None:
        super().__init__(rule, count)
        self._medoids, self._ranges = rule["medoids"], rule["ranges"]

    def figure(self, j: int, values: Sequence[Any]) -> Any:
        total: Any = 0.0
        for value, at, span in zip(values, self._medoids[j], self._ranges, strict=True):
            if span is None:
                part: Any = (value != at) * 1.0
            else:
                part = abs(value - at) / span
                part = part * (part < 1.0) + (part >= 1.0) * 1.0
            total = total + part
        return total


class _Classes(_Rule):
    """The likeliest latent class; a label that is missing or new says nothing."""

    def __init__(self, rule: Mapping[str, Any], count: int) -> None:
        super().__init__(rule, count)
        self._shares = [float(v) for v in rule["log_shares"]]
        # Codes -2 and -1 look at the last two entries.
        self._logs = [[[*(float(v) for v in column), 0.0, 0.0] for column in group] for group in rule["logs"]]

    def figure(self, j: int, values: Sequence[Any]) -> Any:
        total: Any = -self._shares[j]
        for value, logs in zip(values, self._logs[j], strict=True):
            if isinstance(value, float):
                total = total - logs[int(value)]
            else:
                import numpy as np

                total = total - np.asarray(logs)[value.astype(np.int64)]
        return total


_RULES: dict[str, Callable[[Mapping[str, Any], int], _Rule]] = {
    "centres": _Centres,
    "mixture": _Mixture,
    "tiers": _Tiers,
    "medoids": _Medoids,
    "classes": _Classes,
}
