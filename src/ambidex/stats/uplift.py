"""Whom to treat: scores from models that have not seen the row, money by depth, and the Qini of a ranking.

All of it rests on a randomised treatment: among any set of units chosen without looking at their outcome, the
difference of means is the effect on that set.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.compare import Level, difference
from ambidex.stats.estimate import Estimate

__all__ = ["Depth", "effect_among", "out_of_fold", "policy_curve", "qini", "qini_curve", "top"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Learner = Callable[[npt.NDArray[np.intp], npt.NDArray[np.intp]], Floats]

WORK = 15_000_000
"""Units times draws that a bootstrap may take: about a second."""


@dataclass(frozen=True, slots=True)
class Depth:
    """The effect on the best-ranked share of the units.

    Attributes:
        depth: Share of the units that would be treated, in (0, 1].
        effect: Mean effect on them, in units of the outcome; an open estimate where an arm has too few.
    """

    depth: float
    effect: Estimate


def out_of_fold(learn: Learner, treated: Flags, *, folds: int = 5, seed: int = 0) -> tuple[Floats, Floats]:
    """Scores of every unit by a model that was fitted without it, and their ranks.

    Folds hold the same share of each arm. Units are ranked within their fold, from 0 to 1, because the scores of two
    models are on two scales.

    Args:
        learn: Takes the rows to fit on and the rows to score, as indices; returns the scores of the latter.
        treated: Who got it, shape (n,).
        folds: At least 2.
        seed: Of the split.

    Source: Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68, cross-fitting.

    Returns:
        Scores and ranks, shape (n,) each; ties share their mean rank.
    """
    n = len(treated)
    rng = np.random.default_rng(seed)
    fold = np.empty(n, dtype=np.int64)
    for part in (np.flatnonzero(treated), np.flatnonzero(~treated)):
        fold[rng.permutation(part)] = np.arange(len(part)) % folds
    scores, ranks = np.empty(n), np.empty(n)
    for k in range(folds):
        inside = np.flatnonzero(fold == k)
        scores[inside] = np.asarray(learn(np.flatnonzero(fold != k), inside), dtype=np.float64)
        ranks[inside] = _ranks(scores[inside])
    return scores, ranks


def top(scores: Floats, depth: float, *, seed: int = 0) -> Flags:
    """The best-ranked share of the units; ties are broken by lot.

    >>> top(np.array([0.1, 0.9, 0.5, 0.7]), 0.5).tolist()
    [False, True, False, True]
    """
    n = len(scores)
    lot = np.random.default_rng(seed).permutation(n)
    order = np.lexsort((lot, -scores))
    chosen = np.zeros(n, dtype=bool)
    chosen[order[: max(1, round(depth * n))]] = True
    return chosen


def effect_among(y: Floats, treated: Flags, among: Flags, *, name: str, alpha: float = 0.05, **labels: Any) -> Estimate:
    """Mean effect on a set of units of a randomised campaign: difference of means, Welch's t.

    Args:
        y: Outcome, shape (n,).
        treated: Who got it, shape (n,).
        among: The set, chosen without looking at ``y``, shape (n,).
        name: Shown name.
        alpha: Two-sided error rate of the bounds.
        **labels: Labels of the estimate.
    """
    return difference(_level(y[treated & among]), _level(y[~treated & among]), name=name, alpha=alpha, **labels)


def policy_curve(
    y: Floats, treated: Flags, scores: Floats, *, depths: tuple[float, ...], alpha: float = 0.05, seed: int = 0
) -> list[Depth]:
    """The effect on the best-ranked share, at each depth.

    Args:
        y: Outcome, shape (n,).
        treated: Who got it, at random, shape (n,).
        scores: Larger means treat sooner; of models that have not seen the unit, shape (n,).
        depths: Shares of the units.
        alpha: Two-sided error rate of each depth's bounds.
        seed: Breaks ties.
    """
    return [
        Depth(d, effect_among(y, treated, top(scores, d, seed=seed), name=f"effect on the top {d:.0%}", alpha=alpha))
        for d in depths
    ]


def qini_curve(y: Floats, treated: Flags, scores: Floats) -> tuple[Floats, Floats]:
    """Outcomes gained per head of all units when the best-ranked share φ is treated: φ(ȳ1-ȳ0 in the top φ).

    Units with one score are one step.

    Returns:
        (φ, gain), from (0, 0) on.

    >>> phi, gain = qini_curve(np.array([1.0, 0, 0, 0]), np.array([True, False] * 2), np.array([2.0, 2, 1, 1]))
    >>> phi.tolist(), gain.tolist()
    ([0.0, 0.5, 1.0], [0.0, 0.5, 0.5])
    """
    cells = _cells(scores)
    return _curve(*_sums(cells, y, treated, np.ones(len(y))))


def qini(
    y: Floats,
    treated: Flags,
    scores: Floats,
    *,
    name: str = "qini",
    alpha: float = 0.05,
    draws: int = 500,
    seed: int = 0,
    **labels: Any,
) -> Estimate:
    """Area between the curve of the ranking and that of a ranking by lot; 0 for a ranking that tells nothing.

    φ(ȳ1-ȳ0 in the top φ) less φ times its end, by the trapezoid rule, not normalised: in outcomes per head.
    Standard error by bootstrap of the units with the scores held; bounds are the normal's.

    Source: Radcliffe (2007), "Using control groups to target on predicted lift", as a gain per head; the definitions
    in use differ (two libraries give .0026 and .0063 for one ranking).

    Args:
        y: Outcome, shape (n,).
        treated: Who got it, at random, shape (n,).
        scores: Of models that have not seen the unit, shape (n,).
        name: Shown name.
        alpha: Two-sided error rate.
        draws: Bootstrap samples; fewer where there are very many units, at least 100.
        seed: Of the bootstrap.
        **labels: Labels of the estimate.

    >>> rng = np.random.default_rng(0)
    >>> x, t = rng.random(4000), rng.random(4000) < 0.5
    >>> y = (rng.random(4000) < 0.2 + 0.1 * (x > 0.5) * t).astype(float)
    >>> e = qini(y, t, x)
    >>> e.low < 0.0125 < e.high
    True
    """
    cells, n = _cells(scores), len(y)
    value = _area(*_curve(*_sums(cells, y, treated, np.ones(n))))
    rng = np.random.default_rng(seed)
    drawn = np.empty(max(100, min(draws, WORK // max(n, 1))))
    for i in range(len(drawn)):
        weights = np.bincount(rng.integers(0, n, n), minlength=n).astype(np.float64)
        drawn[i] = _area(*_curve(*_sums(cells, y, treated, weights)))
    se = float(drawn.std(ddof=1))
    known = math.isfinite(se) and se > 0
    base = Estimate(
        name=name, kind="qini", value=value, low=-math.inf, high=math.inf, n=n, level=1 - alpha, unit="per head",
        method="area between the curves, bootstrap by unit", se=se if known else None,
        law=laws.normal() if known else None, p_value=laws.normal_p(value / se) if known else None, **labels,
    )  # fmt: skip
    return base.at(alpha) if known else base


def _level(values: Floats) -> Level:
    n = len(values)
    if n == 0:
        return Level(math.nan, math.nan, 0, "mean")
    return Level(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan, n, "mean")


def _ranks(values: Floats) -> Floats:
    """Mean ranks from 0 to 1."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    out: Floats = ((ends - (counts - 1) / 2 - 0.5) / len(values))[place]
    return out


def _cells(scores: Floats) -> npt.NDArray[np.intp]:
    """Steps of the ranking, the best first."""
    _, place = np.unique(-scores, return_inverse=True)
    cells: npt.NDArray[np.intp] = place
    return cells


def _sums(
    cells: npt.NDArray[np.intp], y: Floats, treated: Flags, weights: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """Units and outcomes of the treated, then of the control, by step."""
    size = int(cells.max()) + 1
    one, zero = weights * treated, weights * ~treated
    n1, n0 = np.bincount(cells, one, minlength=size), np.bincount(cells, zero, minlength=size)
    s1, s0 = np.bincount(cells, one * y, minlength=size), np.bincount(cells, zero * y, minlength=size)
    first, second = (np.asarray(s, dtype=np.float64) for s in (s1, s0))
    return n1.astype(np.float64), first, n0.astype(np.float64), second


def _curve(n1: Floats, s1: Floats, n0: Floats, s0: Floats) -> tuple[Floats, Floats]:
    c1, c0 = np.cumsum(n1), np.cumsum(n0)
    phi = (c1 + c0) / max(float(c1[-1] + c0[-1]), 1.0)
    gap = np.divide(np.cumsum(s1), c1, out=np.zeros_like(c1), where=c1 > 0)
    gap -= np.divide(np.cumsum(s0), c0, out=np.zeros_like(c0), where=c0 > 0)
    gap[(c1 == 0) | (c0 == 0)] = 0.0  # one arm has nobody yet: no effect is seen
    return np.concatenate([[0.0], phi]), np.concatenate([[0.0], phi * gap])


def _area(phi: Floats, gain: Floats) -> float:
    above = gain - phi * gain[-1]
    return float(((above[1:] + above[:-1]) / 2 * np.diff(phi)).sum())
