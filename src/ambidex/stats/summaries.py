"""Mergeable summaries: all that a comparison needs to know of the rows, and what adds up over their parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Counts", "Moments"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Mergeable summary of k columns.

    Attributes:
        names: Column names, length k.
        n: Units summarised (units, not rows).
        mean: Column means, shape (k,), in the columns' own units; NaN if n is 0.
        scatter: Centred cross-products, shape (k, k).
    """

    names: tuple[str, ...]
    n: int
    mean: Floats
    scatter: Floats

    @classmethod
    def of(cls, columns: Mapping[str, ArrayLike]) -> Moments:
        """Summarise columns of equal length.

        Centred before squaring: raw sums of squares lose every digit of the variance near 10⁹.

        Args:
            columns: Name -> values, shape (n,); no NaN (leave such units out first).

        Raises:
            ValueError: If lengths differ or a value is NaN or infinite.

        >>> m = Moments.of({"spend": [1e9 + 1, 1e9 + 2, 1e9 + 3]})
        >>> m.n, m.variance("spend")
        (3, 1.0)
        """
        arrays = [np.asarray(v, dtype=np.float64) for v in columns.values()]
        if len({a.shape for a in arrays}) > 1 or any(a.ndim != 1 for a in arrays):
            raise ValueError(f"columns must be as long as each other: {[a.shape for a in arrays]}")
        values = np.stack(arrays) if arrays else np.empty((0, 0))
        if not np.isfinite(values).all():
            raise ValueError("a value is NaN or infinite")
        n = values.shape[1]
        if n == 0:
            return cls.empty(tuple(columns))
        # A constant column must come out with no scatter at all; its computed mean may be off by rounding.
        first = values[:, :1]
        shifted = values - first
        mean = shifted.mean(axis=1, keepdims=True)
        centred = shifted - mean
        return cls(tuple(columns), n, (first + mean).ravel(), centred @ centred.T)

    @classmethod
    def empty(cls, names: tuple[str, ...]) -> Moments:
        """Of no unit: what ``+`` leaves unchanged."""
        k = len(names)
        return cls(names, 0, np.full(k, np.nan), np.zeros((k, k)))

    def __add__(self, other: Moments) -> Moments:
        """Summary of both parts together, as if summarised at once.

        Source: Chan, Golub & LeVeque (1979), eq. 2.1, for cross-products.

        >>> a, b = Moments.of({"x": [1.0, 2.0]}), Moments.of({"x": [6.0]})
        >>> (a + b).mean.tolist(), (a + b).variance("x")
        ([3.0], 7.0)
        """
        if self.names != other.names:
            raise ValueError(f"summaries of different columns: {self.names} and {other.names}")
        if not self.n or not other.n:
            return other if not self.n else self
        n = self.n + other.n
        step = other.mean - self.mean
        return Moments(
            self.names,
            n,
            self.mean + step * (other.n / n),
            self.scatter + other.scatter + np.outer(step, step) * (self.n * other.n / n),
        )

    def mean_of(self, name: str) -> float:
        """Mean of one column."""
        return float(self.mean[self.names.index(name)])

    def variance(self, name: str) -> float:
        """Sample variance of one column (ddof 1); NaN below two units."""
        return self.covariance(name, name)

    def covariance(self, first: str, second: str) -> float:
        """Sample covariance of two columns (ddof 1); NaN below two units."""
        if self.n < 2:
            return float("nan")
        return float(self.scatter[self.names.index(first), self.names.index(second)]) / (self.n - 1)


@dataclass(frozen=True, slots=True)
class Counts:
    """How often each level occurred.

    Attributes:
        levels: Level -> count, most frequent first where ``of`` made it.
    """

    levels: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, values: Iterable[str]) -> Counts:
        """Count values.

        >>> Counts.of(["b", "a", "b"]).levels
        {'b': 2, 'a': 1}
        """
        return cls(dict(Counter(values).most_common()))

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self.levels.values())

    def __add__(self, other: Counts) -> Counts:
        """Both counted together.

        >>> (Counts({"a": 1}) + Counts({"a": 2, "b": 1})).levels
        {'a': 3, 'b': 1}
        """
        both = dict(self.levels)
        for level, count in other.levels.items():
            both[level] = both.get(level, 0) + count
        return Counts(both)
