"""Natural (restricted) cubic splines: smooth between a few knots, straight lines outside them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["basis", "choose_knots", "pieces"]

Floats = npt.NDArray[np.float64]

FEW = 6
"""Columns with fewer distinct values than this get their knots at values, not at percentiles."""

ROWS_OF_A_KNOT = 20
"""Rows that such a value needs for a knot of its own."""


def choose_knots(values: Floats) -> Floats:
    """Where to put the knots for one column; none means a straight line.

    Four knots at the 5th, 35th, 65th and 95th percentile (three at 10, 50, 90 below 100 values).
    Where ties leave fewer than three of them (a column that is mostly zero), the percentiles of
    the distinct values are taken. Three to five distinct values are knots themselves where enough rows have
    them: a straight line through a code of 0, 1, 2 misses that 1 is the highest.

    Args:
        values: Finite values of the column, shape (n,), in its own unit.

    Returns:
        Increasing knots, shape (k,) with k 0, 3 or 4.

    Source: Harrell, Regression Modeling Strategies (2015), section 2.4.6.

    >>> choose_knots(np.arange(101.0)).tolist()
    [5.0, 35.0, 65.0, 95.0]
    >>> choose_knots(np.array([0.0, 1.0, 1.0])).size
    0
    """
    distinct, rows = np.unique(values, return_counts=True)
    if distinct.size < FEW:
        common: Floats = distinct[rows >= ROWS_OF_A_KNOT]
        if common.size < 3:
            return np.empty(0)
        four: Floats = common[np.linspace(0, common.size - 1, min(common.size, 4)).round().astype(int)]
        return four
    shares = [0.05, 0.35, 0.65, 0.95] if values.size >= 100 else [0.10, 0.50, 0.90]
    for sample in (values, distinct):
        knots = np.unique(np.quantile(sample, shares))
        span = float(knots[-1] - knots[0])
        if knots.size >= 3 and span > 0 and float(np.min(np.diff(knots))) > 1e-3 * span:
            return knots
    return np.empty(0)


def basis(u: Floats, knots: Floats) -> Floats:
    """Basis columns of a natural cubic spline.

    Args:
        u: Where to evaluate, shape (n,), on the scale where the outer knots are 0 and 1.
        knots: Knots on the same scale, shape (k,): 0, ..., 1; empty for a straight line.

    Returns:
        Shape (n, k - 1): ``u`` itself, then k - 2 cubic terms that are straight beyond the outer knots.
        A straight line has the one column ``u``.

    Source: Harrell (2015), eq. 2.26: truncated powers, restricted.

    >>> basis(np.array([-1.0, 0.5, 2.0]), np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [[-1.0, 0.0], [0.5, 0.125], [2.0, 2.25]]
    """
    columns = [u]
    if knots.size:
        cubes = np.maximum(u[:, None] - knots[None, :], 0.0) ** 3
        for weights in _restricted(knots):
            columns.append(cubes @ weights)
    return np.column_stack(columns)


def pieces(coefficients: Floats, knots: Floats) -> list[list[float]]:
    """The same curve as one polynomial a stretch, to be evaluated without cancellation far out.

    Args:
        coefficients: Of the columns of ``basis``, shape (max(k - 1, 1),).
        knots: As for ``basis``.

    Returns:
        A list [start, c0, c1, c2, c3] a stretch: the curve at u is c0 + d(c1 + d(c2 + d·c3)) with
        d = u - start. Stretch i runs from knot i - 1 to knot i; the first and the last are straight lines.

    >>> pieces(np.array([2.0]), np.empty(0))
    [[0.0, 0.0, 2.0, 0.0, 0.0]]
    """
    slope = float(coefficients[0])
    out = [[0.0, 0.0, slope, 0.0, 0.0]]
    if not knots.size:
        return out
    cubic = np.zeros(knots.size)
    for weight, row in zip(coefficients[1:], _restricted(knots), strict=True):
        cubic += weight * row
    for i, start in enumerate(knots):
        gaps = start - knots[: i + 1]
        active = cubic[: i + 1]
        c0 = slope * float(start) + float(np.sum(active * gaps**3))
        c1 = slope + 3 * float(np.sum(active * gaps**2))
        c2, c3 = 3 * float(np.sum(active * gaps)), float(np.sum(active))
        out.append([float(start), c0, c1, c2, c3])
    out[-1][3] = out[-1][4] = 0.0  # zero by construction; rounding would bend the tail
    return out


def _restricted(knots: Floats) -> list[Floats]:
    """Weights of the truncated cubes in each cubic term, shape (k,) each."""
    last, before = knots[-1], knots[-2]
    rows = []
    for j in range(knots.size - 2):
        row = np.zeros(knots.size)
        row[j] = 1.0
        row[-2] -= (last - knots[j]) / (last - before)
        row[-1] += (before - knots[j]) / (last - before)
        rows.append(row)
    return rows
