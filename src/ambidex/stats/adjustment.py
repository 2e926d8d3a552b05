"""Covariate adjustment of a randomised comparison, from summaries: Lin's estimator and CUPED.

Each arm is regressed on the covariates and read off at their pooled mean. Categories come as indicator columns,
one less than there are levels. All that is needed is one ``Moments`` per arm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.compare import MANY, ROUNDING, Level, mean_level, ratio_level, relative, welch
from ambidex.stats.compare import difference as unadjusted
from ambidex.stats.estimate import Estimate
from ambidex.stats.summaries import Moments

__all__ = ["Adjusted", "adjust", "adjusted_levels", "cuped_difference", "lin_difference", "lin_relative"]

Floats = npt.NDArray[np.float64]

ALIASED = 1e-9
"""A covariate is left out if, in either arm, less than this share of its variance is left by those before it."""

UNITS = 5
"""Units an arm needs for each covariate; with fewer the regression would say what a few units say."""


@dataclass(frozen=True, slots=True, eq=False)
class Adjusted:
    """One arm's outcomes at the pooled mean of the covariates.

    Attributes:
        n: Units of the arm.
        df: Residual degrees of freedom.
        value: Adjusted means, shape (q,).
        covariance: Of ``value``, given the pooled mean, shape (q, q).
        slopes: Shape (k, q).
    """

    n: int
    df: int
    value: Floats
    covariance: Floats
    slopes: Floats


def adjust(
    candidate: Moments, baseline: Moments, outcomes: Sequence[str], covariates: Sequence[str]
) -> tuple[Adjusted, Adjusted, Floats] | None:
    """Both arms regressed on their covariates, and the covariance of the pooled mean of the covariates.

    Returns:
        Candidate, baseline and a (k, k) covariance; None where an arm has too few units, or where no covariate
        is left that varies in both arms.
    """
    kept = usable(candidate, baseline, covariates)
    if not kept or min(candidate.n, baseline.n) < UNITS * (len(kept) + 1):
        return None
    both = candidate + baseline
    x = [both.names.index(c) for c in kept]
    pooled = both.mean[x]
    spread = both.scatter[np.ix_(x, x)] / (both.n - 1) / both.n
    arms = [_arm(m, list(outcomes), x, pooled) for m in (candidate, baseline)]
    return arms[0], arms[1], spread


def usable(candidate: Moments, baseline: Moments, covariates: Sequence[str]) -> list[str]:
    """Covariates that vary in both arms and are no linear combination of those before them."""
    kept: list[str] = []
    for name in dict.fromkeys(covariates):
        if all(_left(m, name, kept) > ALIASED for m in (candidate, baseline)):
            kept.append(name)
    return kept


def lin_difference(
    candidate: Moments,
    baseline: Moments,
    outcome: str,
    covariates: Sequence[str],
    *,
    denominator: str | None = None,
    name: str = "",
    alpha: float = 0.05,
    **labels: Any,
) -> Estimate:
    """Candidate less baseline, adjusted for what was known of the units before they were assigned.

    Regression of the outcome on arm, covariates centred at the pooled mean, and their products, which is one
    regression per arm. The standard error takes each arm's own residual variance, as HC2 does (without
    covariates it is Welch's), and adds what the pooled mean itself varies, (b1-b0)'Sx(b1-b0)/n: HC2 takes that
    mean as known, which holds for the effect on these units, and is too narrow for units like these when the
    effect varies with a covariate. Where the adjustment cannot be made, the unadjusted difference comes back
    and ``adjusted`` is False.

    Source: Lin (2013), Annals of Applied Statistics 7, 295-318; Negi & Wooldridge (2021), Econometric
    Reviews 40, 504-534, for the last term.

    Args:
        candidate: Summary of the treated arm, with the outcome and the covariates.
        baseline: Summary of the control.
        outcome: Column that is compared, in its own unit.
        covariates: Columns measured before assignment.
        denominator: Column below the outcome, for a ratio of sums.
        name: Shown name of the metric.
        alpha: Two-sided error rate of the bounds.
        **labels: ``arm``, ``control``, ``unit``, ``method`` of the estimate.

    >>> a = Moments.of({"y": [1.0, 2.1, 2.9, 4.2, 5, 6, 7, 8, 9.1, 9.9], "x": list(range(10))})
    >>> b = Moments.of({"y": [2.1, 3, 4.2, 5, 5.9, 7.1, 8, 9, 9.9, 11], "x": list(range(10))})
    >>> e = lin_difference(b, a, "y", ["x"])
    >>> round(e.value, 3), round(e.se, 3), e.method
    (1.0, 0.041, 'Lin, adjusted')
    """
    made = adjust(candidate, baseline, _outcomes(outcome, denominator), covariates)
    if made is None:
        labels = {"adjusted": False, **labels}
        if denominator is None:
            return welch(candidate, baseline, outcome, name=name, alpha=alpha, **labels)
        levels = [ratio_level(m, outcome, denominator) for m in (candidate, baseline)]
        return unadjusted(levels[0], levels[1], name=name, alpha=alpha, **labels)
    one, zero, spread = made
    m1, g1 = _level(one)
    m0, g0 = _level(zero)
    v1, v0, shared = _parts(one, zero, spread, g1, -g0)
    variance, n = v1 + v0 + shared, one.n + zero.n
    labels = {"method": "Lin, adjusted", "adjusted": True, **labels}
    if not math.isfinite(m1 - m0) or not variance > 0:
        return Estimate(
            name=name,
            kind="difference",
            value=m1 - m0,
            low=-math.inf,
            high=math.inf,
            n=n,
            level=1 - alpha,
            **labels,
        )
    se, df = math.sqrt(variance), variance**2 / _squares(v1, v0, shared, one, zero)
    return Estimate(
        name=name,
        kind="difference",
        value=m1 - m0,
        low=-math.inf,
        high=math.inf,
        n=n,
        se=se,
        law=laws.student(df),
        p_value=laws.student_p((m1 - m0) / se, df),
        **labels,
    ).at(alpha)


def lin_relative(
    candidate: Moments,
    baseline: Moments,
    outcome: str,
    covariates: Sequence[str],
    *,
    denominator: str | None = None,
    name: str = "",
    alpha: float = 0.05,
    **labels: Any,
) -> Estimate | None:
    """Lift of the adjusted levels, on the scale of the log ratio; see ``lin_difference`` and ``compare.relative``.

    Returns:
        None where a lift has no meaning: a level that is not positive, or a baseline whose interval reaches zero.

    >>> a = Moments.of({"y": [1.0, 2.1, 2.9, 4.2, 5, 6, 7, 8, 9.1, 9.9], "x": list(range(10))})
    >>> b = Moments.of({"y": [2.1, 3, 4.2, 5, 5.9, 7.1, 8, 9, 9.9, 11], "x": list(range(10))})
    >>> round(lin_relative(b, a, "y", ["x"]).value, 3)
    0.181
    """
    made = adjust(candidate, baseline, _outcomes(outcome, denominator), covariates)
    if made is None:
        labels = {"adjusted": False, **labels}
        levels = [
            mean_level(m, outcome) if denominator is None else ratio_level(m, outcome, denominator)
            for m in (candidate, baseline)
        ]
        return relative(levels[0], levels[1], name=name, alpha=alpha, **labels)
    one, zero, spread = made
    (m1, g1), (m0, g0) = _level(one), _level(zero)
    if not (m1 > 0 and m0 > 0):
        return None
    v1, v0, shared = _parts(one, zero, spread, g1 / m1, -g0 / m0)
    variance = v1 + v0 + shared
    alone = float(g0 @ zero.covariance @ g0)
    if not variance > 0 or laws.bounds(laws.student(zero.df), m0, math.sqrt(alone), alpha)[0] <= 0:
        return None
    df = variance**2 / _squares(v1, v0, shared, one, zero)
    log_se, few = math.sqrt(variance), df < MANY
    return Estimate(
        name=name,
        kind="relative",
        value=m1 / m0 - 1,
        low=-1.0,
        high=math.inf,
        n=one.n + zero.n,
        se=log_se * m1 / m0,
        law=laws.log_normal(log_se, df if few else None),
        p_value=laws.student_p(math.log(m1 / m0) / log_se, df if few else math.inf),
        **{"method": "Lin, adjusted, log ratio", "unit": "relative", "adjusted": True, **labels},
    ).at(alpha)


def adjusted_levels(
    candidate: Moments,
    baseline: Moments,
    outcome: str,
    covariates: Sequence[str],
    *,
    denominator: str | None = None,
) -> tuple[Level, Level]:
    """Both arms' means (or ratios) at the pooled mean of the covariates; unadjusted where that cannot be had.

    For showing beside each other. Their difference is ``lin_difference``; both vary with the pooled mean, so the
    errors of these levels, which are given for that mean, are not those of two samples apart.
    """
    made = adjust(candidate, baseline, _outcomes(outcome, denominator), covariates)
    if made is None:
        first, second = (
            mean_level(m, outcome) if denominator is None else ratio_level(m, outcome, denominator)
            for m in (candidate, baseline)
        )
        return first, second
    out = []
    for arm in made[:2]:
        value, g = _level(arm)
        variance = float(g @ arm.covariance @ g)
        out.append(Level(value, math.sqrt(max(variance, 0.0)), arm.n, "mean" if denominator is None else "ratio"))
    return out[0], out[1]


def cuped_difference(
    candidate: Moments, baseline: Moments, outcome: str, covariate: str, *, name: str = "", **options: Any
) -> Estimate:
    """CUPED: Welch's comparison of y - θ·(x - x̄), with one θ, the slope of both arms pooled.

    Lin with the slopes of the arms set equal. With arms of one size it gives Lin's standard error in large
    samples; with unequal arms, or slopes that differ, Lin's is never larger.

    Source: Deng, Xu, Kohavi & Walker (2013), WSDM, section 3.

    >>> a = Moments.of({"y": [1.0, 2.1, 2.9, 4.2], "x": [0.0, 1, 2, 3]})
    >>> b = Moments.of({"y": [2.1, 3, 4.2, 5], "x": [0.0, 1, 2, 3]})
    >>> round(cuped_difference(b, a, "y", "x").value, 3)
    1.025
    """
    both = candidate + baseline
    variance = both.variance(covariate)
    slope = both.covariance(outcome, covariate) / variance if variance > 0 else 0.0
    centre = both.mean_of(covariate)
    levels = []
    for m in (candidate, baseline):
        value = m.mean_of(outcome) - slope * (m.mean_of(covariate) - centre)
        left = m.variance(outcome) - 2 * slope * m.covariance(outcome, covariate) + slope**2 * m.variance(covariate)
        if left <= ROUNDING * m.variance(outcome):
            left = 0.0
        levels.append(Level(value, math.sqrt(left / m.n) if m.n > 1 else math.nan, m.n, "mean"))
    return unadjusted(levels[0], levels[1], name=name, **{"method": "CUPED", "adjusted": True, **options})


def _outcomes(outcome: str, denominator: str | None) -> list[str]:
    return [outcome] if denominator is None else [outcome, denominator]


def _arm(m: Moments, outcomes: list[str], x: list[int], pooled: Floats) -> Adjusted:
    y = [m.names.index(o) for o in outcomes]
    sxx, sxy, syy = m.scatter[np.ix_(x, x)], m.scatter[np.ix_(x, y)], m.scatter[np.ix_(y, y)]
    scale = np.sqrt(np.diag(sxx))
    inverse = np.linalg.inv(sxx / np.outer(scale, scale)) / np.outer(scale, scale)
    slopes = inverse @ sxy
    away = pooled - m.mean[x]
    df = m.n - 1 - len(x)
    left = syy - sxy.T @ slopes
    own = np.diag(left) <= ROUNDING * np.diag(syy)
    left[own, :] = 0.0
    left[:, own] = 0.0
    covariance = left / df * (1 / m.n + float(away @ inverse @ away))
    return Adjusted(m.n, df, m.mean[y] + away @ slopes, covariance, slopes)


def _level(arm: Adjusted) -> tuple[float, Floats]:
    """Mean or ratio of the arm and its gradient."""
    if len(arm.value) == 1:
        return float(arm.value[0]), np.ones(1)
    top, below = float(arm.value[0]), float(arm.value[1])
    if below == 0:
        return math.nan, np.zeros(2)
    return top / below, np.array([1 / below, -top / below**2])


def _parts(one: Adjusted, zero: Adjusted, spread: Floats, g1: Floats, g0: Floats) -> tuple[float, float, float]:
    """Variance from each arm, and from the pooled mean that both share."""
    slope = one.slopes @ g1 + zero.slopes @ g0
    return float(g1 @ one.covariance @ g1), float(g0 @ zero.covariance @ g0), float(slope @ spread @ slope)


def _squares(v1: float, v0: float, shared: float, one: Adjusted, zero: Adjusted) -> float:
    """Welch-Satterthwaite: the squares of the parts over their degrees of freedom."""
    return v1**2 / one.df + v0**2 / zero.df + shared**2 / (one.n + zero.n - 1)


def _left(m: Moments, name: str, before: list[str]) -> float:
    """Share of a column's variance that the columns before it leave; 0 if it does not vary."""
    j = m.names.index(name)
    own = float(m.scatter[j, j])
    if m.n < 2 or own <= m.n * (ROUNDING * float(m.mean[j])) ** 2 or own == 0:
        return 0.0
    if not before:
        return 1.0
    x = [m.names.index(b) for b in before]
    sxx, sx = m.scatter[np.ix_(x, x)], m.scatter[x, j]
    scale = np.sqrt(np.diag(sxx))
    solved = np.linalg.solve(sxx / np.outer(scale, scale), sx / scale)
    return 1 - float(solved @ (sx / scale)) / own
