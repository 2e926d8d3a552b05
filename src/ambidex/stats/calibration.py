"""What scores say before labels come: a calibration curve, and the performance that it expects.

CBPE (confidence-based performance estimation) takes the reference's P(outcome given score) for the present one. It
sees what a change of inputs does to performance and is blind to a change of what the inputs mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats.estimate import Estimate

__all__ = ["KNOTS", "at_knots", "calibration_knots", "expected_accuracy", "expected_auc"]

Floats = NDArray[np.float64]

KNOTS = 200
"""Most points of a stored curve."""

DRAWS = 200


def calibration_knots(scores: ArrayLike, outcomes: ArrayLike) -> tuple[list[float], list[float]]:
    """Outcome rate by score, never falling, as points to interpolate between.

    Source: Zadrozny & Elkan (2002), KDD; least squares under order by ``scipy.optimize.isotonic_regression``.

    Args:
        scores: Shape (n,).
        outcomes: 1 or 0, shape (n,).

    Returns:
        Scores, increasing, and the rate at each; empty without rows.

    >>> calibration_knots([0.1, 0.2, 0.8, 0.9], [0, 1, 0, 1])
    ([0.1, 0.2, 0.8, 0.9], [0.0, 0.5, 0.5, 1.0])
    """
    s, y = np.asarray(scores, dtype=np.float64), np.asarray(outcomes, dtype=np.float64)
    known = np.isfinite(s) & np.isfinite(y)
    s, y = s[known], y[known]
    if not len(s):
        return [], []
    from scipy.optimize import isotonic_regression

    at, inverse, weight = np.unique(s, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, weights=y) / weight
    rate = np.asarray(isotonic_regression(mean, weights=weight.astype(np.float64)).x)
    turns = np.flatnonzero(np.diff(rate) != 0)
    keep = np.unique(np.concatenate([[0], turns, turns + 1, [len(at) - 1]]))
    if len(keep) > KNOTS:
        keep = keep[np.unique(np.linspace(0, len(keep) - 1, KNOTS).astype(int))]
    return at[keep].tolist(), rate[keep].tolist()


def at_knots(knots: tuple[Sequence[float], Sequence[float]], scores: ArrayLike) -> Floats:
    """The curve's rate at scores, flat beyond its ends. Shape as ``scores``.

    >>> at_knots(([0.0, 1.0], [0.0, 0.5]), [0.5, 2.0]).tolist()
    [0.25, 0.5]
    """
    return np.asarray(np.interp(np.asarray(scores, dtype=np.float64), knots[0], knots[1]), dtype=np.float64)


def expected_accuracy(counts: ArrayLike, chosen: ArrayLike, rates: ArrayLike, *, alpha: float = 0.05) -> Estimate:
    """Share of right answers that the curve expects, CBPE.

    Args:
        counts: Rows per score, shape (k,).
        chosen: True where the model answers yes, shape (k,).
        rates: P(yes) at the score, shape (k,).
        alpha: Two-sided error rate of the interval: sampling error only, not that of the curve.

    >>> round(expected_accuracy([50, 50], [False, True], [0.1, 0.8]).value, 3)
    0.85
    """
    c, q = np.asarray(counts, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    right = np.where(np.asarray(chosen), q, 1 - q)
    n = float(c.sum())
    value = float(c @ right / n) if n else math.nan
    from ambidex.stats.laws import normal_quantile

    wide = normal_quantile(1 - alpha / 2) * math.sqrt(max(value * (1 - value), 0.0) / n) if n else math.inf
    return Estimate(
        name="accuracy", kind="share", value=value, low=max(0.0, value - wide) if n else -math.inf,
        high=min(1.0, value + wide) if n else math.inf, n=int(n), level=1 - alpha, unit="share", method="CBPE",
    )  # fmt: skip


def expected_auc(counts: ArrayLike, rates: ArrayLike, *, seed: int = 0, alpha: float = 0.05) -> Estimate:
    """Area under the ROC curve that the calibration curve expects, CBPE; scores in increasing order.

    Σ qᵢ·(sum of 1 - q scored below i, half of those at i) / (Σq·Σ(1 - q)). The interval draws the rows' outcomes
    anew: sampling error only, not that of the curve.

    >>> round(expected_auc([50, 50], [0.1, 0.9]).value, 3)
    0.9
    """
    c, q = np.asarray(counts, dtype=np.float64), np.asarray(rates, dtype=np.float64)
    n = int(c.sum())

    def auc(yes: Floats, no: Floats) -> Floats:
        below = np.cumsum(no, axis=-1) - no / 2
        pairs = yes.sum(axis=-1) * no.sum(axis=-1)
        return np.asarray((yes * below).sum(axis=-1) / np.where(pairs > 0, pairs, np.nan), dtype=np.float64)

    value = float(auc(c * q, c * (1 - q)))
    low, high = -math.inf, math.inf
    if n and math.isfinite(value):
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(n, c / n, size=DRAWS)
        yes = rng.binomial(drawn, np.clip(q, 0, 1)).astype(np.float64)
        found = auc(yes, drawn - yes)
        found = found[np.isfinite(found)]
        if len(found):
            low, high = (float(v) for v in np.quantile(found, [alpha / 2, 1 - alpha / 2]))
    return Estimate(
        name="auc", kind="fit", value=value, low=low, high=high, n=n, level=1 - alpha, unit="", method="CBPE"
    )
