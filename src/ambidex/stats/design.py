"""From columns of a table to the columns of a regression: dummies, splines, missing indicators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats.splines import basis, choose_knots

__all__ = ["MISSING", "OTHER", "Category", "Design", "Number", "Term", "category", "number"]

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

LEVELS = 30
"""Levels of one column that get a coefficient of their own; rarer ones share one."""

LARGEST = 1e150
"""Numbers beyond this are read as this, so that no difference of two overflows."""

OTHER, MISSING = "(other)", "(missing)"


class _Places(dict[Any, int]):
    """Places of labels; a label that is not there has place 0."""

    def __missing__(self, label: object) -> int:
        return 0


@dataclass(frozen=True, slots=True)
class Category:
    """Dummies of a column of labels.

    Attributes:
        name: The column.
        levels: Labels with their own coefficient, most frequent first; the first is the base.
        folded: Labels that share one coefficient because they are rare.
        missing: True if missing values get a coefficient of their own.
    """

    name: str
    levels: tuple[str, ...]
    folded: tuple[str, ...] = ()
    missing: bool = False

    @property
    def labels(self) -> tuple[str, ...]:
        """What each design column stands for."""
        return (*self.levels[1:], *((OTHER,) if self.folded else ()), *((MISSING,) if self.missing else ()))

    @property
    def size(self) -> int:
        """Number of design columns."""
        return len(self.labels)

    def codes(self, values: Values) -> npt.NDArray[np.int64]:
        """0 for the base, then the place in ``labels`` plus 1; unknown labels count as the base. Shape (n,)."""
        place = _Places({level: i for i, level in enumerate(self.levels)})
        place.update(dict.fromkeys(self.folded, len(self.levels)))
        place[None] = self.size if self.missing else len(self.levels) if self.folded else 0
        return np.fromiter(map(place.__getitem__, values.tolist()), dtype=np.int64, count=len(values))

    def matrix(self, values: Values) -> Floats:
        """Dummies, shape (n, size)."""
        return np.eye(self.size + 1)[:, 1:][self.codes(values)]


@dataclass(frozen=True, slots=True)
class Number:
    """A straight line or a natural cubic spline of a column of numbers.

    Beyond the outer knots the curve is straight, and one knot span further out it stays flat.

    Attributes:
        name: The column.
        origin: Number that is 0 on the spline's scale: the first knot, or the least value.
        span: Numbers from 0 to 1 on that scale: between the outer knots, or all values; > 0.
        knots: Knots on that scale, shape (k,); empty for a straight line.
        impute: What stands in for a missing value: the median.
        missing: True if missing values get a coefficient of their own.
    """

    name: str
    origin: float
    span: float
    knots: tuple[float, ...] = ()
    impute: float = 0.0
    missing: bool = False

    @property
    def reach(self) -> tuple[float, float]:
        """Numbers outside are read as the nearer of these two."""
        return self.origin - self.span, self.origin + 2 * self.span

    @property
    def curve(self) -> int:
        """Number of design columns without the missing indicator."""
        return max(len(self.knots) - 1, 1)

    @property
    def labels(self) -> tuple[str, ...]:
        """What each design column stands for."""
        bends = tuple(f"bend {i}" for i in range(1, self.curve))
        return ("line", *bends, *((MISSING,) if self.missing else ()))

    @property
    def size(self) -> int:
        """Number of design columns."""
        return self.curve + self.missing

    def matrix(self, values: Values) -> Floats:
        """Spline columns and missing indicator, shape (n, size)."""
        x = np.asarray(values, dtype=np.float64)
        absent = np.isnan(x)
        low, high = self.reach
        u = (np.clip(np.where(absent, self.impute, x), low, high) - self.origin) / self.span
        columns = basis(u, np.array(self.knots))
        if self.missing:
            columns = np.column_stack([columns, absent.astype(np.float64)])
        return columns


Term = Category | Number


@dataclass(frozen=True, slots=True)
class Design:
    """Terms side by side behind an intercept.

    Attributes:
        terms: In the order of their columns in the matrix.
    """

    terms: tuple[Term, ...]

    @property
    def size(self) -> int:
        """Columns of the matrix, the intercept included."""
        return 1 + sum(t.size for t in self.terms)

    @property
    def slices(self) -> dict[str, slice]:
        """Where each term's columns stand in the matrix."""
        out, start = {}, 1
        for term in self.terms:
            out[term.name] = slice(start, start + term.size)
            start += term.size
        return out

    def matrix(self, columns: Mapping[str, Values]) -> Floats:
        """The regression's columns, shape (n, size), intercept first."""
        blocks = [term.matrix(columns[term.name]) for term in self.terms]
        rows = len(blocks[0]) if blocks else len(next(iter(columns.values()), ()))
        return np.column_stack([np.ones(rows), *blocks])

    def without(self, names: Sequence[str]) -> Design:
        """The design less some columns."""
        return Design(tuple(t for t in self.terms if t.name not in names))


def category(name: str, values: Values, *, most: int = LEVELS, least: int = 1) -> Category:
    """Levels of a column of labels.

    Args:
        name: The column.
        values: Labels, None where missing, shape (n,).
        most: Levels with a coefficient of their own.
        least: Rows that a level (or being missing) needs to get its own; rarer levels share one.

    >>> category("plan", np.array(["a", "b", "a", None], dtype=object))
    Category(name='plan', levels=('a', 'b'), folded=(), missing=True)
    """
    counts: dict[Any, int] = Counter(values.tolist())
    absent = counts.pop(None, 0)
    order = sorted(counts, key=lambda level: (-counts[level], level))
    kept = [level for level in order[:most] if counts[level] >= least] or order[:1]
    folded = tuple(level for level in order if level not in set(kept))
    if sum(counts[level] for level in folded) < least:
        folded = ()  # too few even together: they count as the base
    return Category(name, tuple(kept), folded, absent >= max(least, 1))


def number(name: str, values: Values, *, straight: bool = False, least: int = 1) -> Number:
    """Scale and knots of a column of numbers.

    Args:
        name: The column.
        values: Numbers, NaN where missing, shape (n,).
        straight: No knots.
        least: Missing values that get an indicator of their own; fewer count as the median.

    >>> number("n", np.array([0.0, 1.0, 4.0, np.nan])).reach
    (-4.0, 8.0)
    """
    x = np.asarray(values, dtype=np.float64)
    seen = np.clip(x[np.isfinite(x)], -LARGEST, LARGEST)
    missing = int(np.isnan(x).sum()) >= max(least, 1)
    if not seen.size:
        return Number(name, 0.0, 1.0, (), 0.0, missing)
    impute = float(np.median(seen))
    knots = np.empty(0) if straight else choose_knots(seen)
    ends = knots if knots.size else seen
    origin = float(np.min(ends))
    span = float(np.max(ends)) - origin
    if not span > 1e-12 * max(1.0, abs(origin)):
        return Number(name, origin, 1.0, (), impute, missing)
    scaled = tuple(float(k) for k in (knots - origin) / span)
    return Number(name, origin, span, scaled, impute, missing)
