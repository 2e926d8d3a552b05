"""Watching the mean of bounded scores: evidence against a limit, and bounds that hold at every look.

Scores take few distinct values (cells), so a look enters as counts: the evidence does not depend on the
order of its rows, not even in the last bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import mean_evidence

__all__ = ["LAMBDAS", "distance_sequence", "evidence_above", "log_bets", "mean_bounds", "upper_mean"]

Floats = NDArray[np.float64]

LAMBDAS = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Bet sizes λ of the detector, as shares of the largest bet that cannot ruin."""

_FINE = (0.005, 0.01, 0.02, *LAMBDAS)
"""Bet sizes of the bounds: with 0.05 as the smallest they would not get narrower than .004 in any number of rows."""


def log_bets(counts: ArrayLike, scores: ArrayLike, limit: float, lambdas: Sequence[float] = LAMBDAS) -> Floats:
    """Log of the e-value of each bet size against "the mean score is at most ``limit``".

    Each row multiplies the stake by 1 + (λ/l)(g - l), whose mean is at most 1 under the null.

    Source: Waudby-Smith & Ramdas (2024), JRSS B 86, 1-27, section 4 (betting), with a fixed grid.

    Args:
        counts: Rows per cell, shape (cells,).
        scores: g of each cell, in [0, 1], shape (cells,).
        limit: l, in (0, 1].
        lambdas: λ in (0, 1), shape (k,).

    Returns:
        Shape (k,); 0 without rows.

    >>> log_bets([1, 1], [0.0, 1.0], 0.5, [0.8]).round(4).tolist()
    [-1.0217]
    """
    c, g = np.asarray(counts, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    bets = np.asarray(lambdas, dtype=np.float64)
    return np.asarray(np.log1p(np.outer(bets, g / limit - 1)) @ c, dtype=np.float64)


def mean_bounds(counts: ArrayLike, scores: ArrayLike, alpha: float) -> tuple[float, float]:
    """Bounds of a mean score that hold at every look at once, at two-sided ``alpha``.

    The lower bound is the largest limit that the bets refute at 2/alpha; the upper one is the lower one
    of 1 - g. Exact for scores in [0, 1], whatever their distribution.

    Source: Waudby-Smith & Ramdas (2024), section 4: inverted, with the mean of the bets' products.

    Args:
        counts: Rows per cell since the start, shape (cells,).
        scores: g of each cell, in [0, 1], shape (cells,).
        alpha: Chance that the mean ever lies outside.

    >>> [round(b, 3) for b in mean_bounds([500, 500], [0.0, 1.0], 0.05)]
    [0.448, 0.552]
    """
    c, g = np.asarray(counts, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    threshold = math.log(2 / alpha)
    return evidence_above(c, g, threshold), 1 - evidence_above(c, 1 - g, threshold)


def evidence_above(counts: ArrayLike, scores: ArrayLike, threshold: float) -> float:
    """The largest limit that the bets refute with log-evidence ``threshold``; 0 if there is none."""
    c, g = np.asarray(counts, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    used = c > 0
    c, g = c[used], g[used]
    if not len(c) or not (g > 0).any():
        return 0.0

    def refuted(limit: float) -> bool:
        return mean_evidence(log_bets(c, g, limit, _FINE)) >= threshold

    low, high = 0.0, min(1.0, float(c @ g / c.sum()))
    for _ in range(24):
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def upper_mean(counts: ArrayLike, scores: ArrayLike, alpha: float) -> float:
    """One-sided upper confidence limit of a mean score in a sample that was looked at once.

    Normal, with the variance taken with one more row at either end of [0, 1], so that a level that no row
    of a small sample has is not taken for impossible.

    >>> round(upper_mean([1000, 0], [0.0, 1.0], 0.025), 5)
    0.00196
    """
    c, g = np.asarray(counts, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    n = float(c.sum())
    if n == 0:
        return 1.0
    full = n + 2
    centre = float(c @ g + 1) / full
    variance = float(c @ (g - centre) ** 2 + centre**2 + (1 - centre) ** 2) / (full - 1)
    mean = float(c @ g) / n
    return min(1.0, mean + laws.normal_quantile(1 - alpha) * math.sqrt(variance / n))


def distance_sequence(
    reference: ArrayLike,
    live: ArrayLike,
    then: ArrayLike,
    now: ArrayLike,
    *,
    alpha: float,
    name: str = "",
    category: str | None = None,
) -> Estimate:
    """Mean score of the live rows less the reference's, with bounds that hold at every look.

    Half of alpha goes to the live rows' sequence, half to the reference's own error, which is a sample looked
    at once.

    Args:
        reference: Counts of the reference per cell, shape (cells,).
        live: Counts of the live rows since the start, shape (cells,).
        then: Scores of the cells for the reference's mean, in [0, 1].
        now: Scores of the cells for the live mean, in [0, 1]; the same but for what is missing.
        alpha: Two-sided error rate of the whole.
        name: Shown name.
        category: Level it is about.

    >>> e = distance_sequence([500, 500], [200, 800], [0.25, 0.75], [0.25, 0.75], alpha=0.05, name="x")
    >>> round(e.value, 2), round(e.low, 2), round(e.high, 2)
    (0.15, 0.11, 0.19)
    """
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(live, dtype=np.float64)
    a, b = np.asarray(then, dtype=np.float64), np.asarray(now, dtype=np.float64)
    n = int(c.sum())
    value = float(c @ b / n - r @ a / r.sum()) if n and r.sum() else math.nan
    low, high = -math.inf, math.inf
    if not math.isnan(value):
        lowest, highest = mean_bounds(c, b, alpha / 2)
        low = lowest - upper_mean(r, a, alpha / 4)
        high = highest - (1 - upper_mean(r, 1 - a, alpha / 4))
    return Estimate(
        name=name,
        kind="distance",
        value=value,
        low=low,
        high=high,
        level=1 - alpha,
        n=n,
        unit="share",
        method="betting confidence sequence",
        anytime=True,
        category=category,
    )
