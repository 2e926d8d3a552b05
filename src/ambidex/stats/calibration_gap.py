"""How far predictions are from what happens, on average over bins of like predictions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtr, chndtrinc

from ambidex.stats.estimate import Estimate

__all__ = ["calibration_gap"]


def calibration_gap(
    y: ArrayLike, predicted: ArrayLike, *, bins: int = 10, scale: float = 1.0, alpha: float = 0.05
) -> Estimate:
    """Mean squared gap between outcome and prediction over bins of equally many rows, without the part that is noise.

    The plain binned error is above zero for a perfect model, the more so the fewer the rows; here the sampling variance
    of each bin's gap is taken off. With gap g_b, its variance v_b and the share of rows w_b of bin b the estimate is
    Σ w_b (g_b² − v_b). The sum Σ w_b g_b² is taken as k times a non-central chi-square on d degrees of freedom, k and d
    from its first two moments (Satterthwaite); the bounds are the non-centralities that put it at either tail.

    Source: Kumar, Liang & Ma (2019), "Verified uncertainty calibration", NeurIPS 32, definition 5.1 (their debiased
    estimator, here with each bin's own variance of y − p, so that it serves numbers too).

    Args:
        y: Outcomes, 0/1 or numbers, shape (n,).
        predicted: Probabilities or values, shape (n,).
        bins: How many; fewer where predictions repeat.
        scale: Unit in which gaps are told: 1 for probabilities, the target's standard deviation for numbers.
        alpha: Two-sided error rate of the bounds.

    Returns:
        The estimate, in squares of ``scale``, with bounds at ``alpha``; they are open under four rows.

    >>> rng = np.random.default_rng(0)
    >>> p = rng.uniform(size=4000)
    >>> e = calibration_gap(rng.uniform(size=4000) < p, p)
    >>> e.high < 0.05**2
    True
    """
    outcome = np.asarray(y, dtype=np.float64).ravel()
    given = np.asarray(predicted, dtype=np.float64).ravel()
    gaps = (outcome - given) / scale
    edges = np.unique(np.quantile(given, np.arange(1, bins) / bins)) if len(given) else np.empty(0)
    place = np.searchsorted(edges, given, side="left")
    counts = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    sums = np.bincount(place, weights=gaps, minlength=len(counts))
    squares = np.bincount(place, weights=gaps**2, minlength=len(counts))
    used = counts >= 2
    n = int(counts[used].sum())
    name = "mean squared gap between predicted and observed"
    if not used.any() or n < 4:
        return Estimate(name=name, kind="loss", value=math.nan, low=-math.inf, high=math.inf, n=n, level=1 - alpha)
    k = counts[used]
    gap = sums[used] / k
    variance = np.maximum(squares[used] / k - gap**2, 0.0) / (k - 1)
    share = k / n
    value = float(share @ (gap**2 - variance))
    noise, squared = float(share @ variance), float(share**2 @ variance**2)
    low, high = -noise, math.inf
    if squared > 0:
        unit, degrees = squared / noise, noise**2 / squared
        at = (value + noise) / unit
        below, above = float(chdtr(degrees, at)), alpha / 2
        if below > 1 - above:
            low = unit * float(chndtrinc(at, degrees, 1 - above))
        high = unit * float(chndtrinc(at, degrees, above)) if below > above else max(value, 0.0)
    return Estimate(
        name=name, kind="loss", value=value, low=min(low, value), high=max(high, value), n=n, level=1 - alpha,
        method=f"debiased calibration error, {int(used.sum())} bins",
    )  # fmt: skip
