"""How many units a test needs, and what a test of a given size can see.

``units`` and ``detectable`` are each other's inverse; what a unit is worth (clusters, covariates, looks) enters both
as factors on the number of units.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats import laws

__all__ = [
    "Outcome",
    "anytime_units",
    "design_effect",
    "detectable",
    "explained",
    "intraclass",
    "mean_power",
    "mean_units",
    "share_power",
    "share_units",
    "units",
]

Floats = NDArray[np.float64]
Variance = Literal["pooled", "null", "arcsine"]

MOST = 1e12
"""Units beyond which no number is given."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the sample size rests on.

    Attributes:
        share: Share of yes in the control, in (0, 1); None for a mean or ratio.
        sd: Standard deviation between units, above 0, in the metric's unit; None for a share.
    """

    share: float | None = None
    sd: float | None = None

    def variance(self, effect: float) -> float:
        """Variance of a unit, summed over the two arms: what the difference has, times n per arm."""
        if self.share is None:
            assert self.sd is not None
            return 2 * self.sd**2
        other = self.share + effect
        return self.share * (1 - self.share) + other * (1 - other)


def mean_power(n: float, effect: float, *, alpha: float = 0.05) -> float:
    """Power of the two-sided two-sample t-test.

    Source: noncentral t with 2n-2 degrees of freedom and noncentrality effect·√(n/2); Cohen (1988), ch. 2.

    Args:
        n: Units per arm, above 1; need not be whole.
        effect: Difference in standard deviations.
        alpha: Two-sided error rate.

    >>> round(mean_power(64, 0.5), 4)
    0.8015
    """
    from scipy import special

    df, shift = 2 * n - 2, abs(effect) * math.sqrt(n / 2)
    if df > 1e6:  # as good as normal; the noncentral t is slow and loses digits out there
        t = laws.tail_quantile(alpha)
        return float(special.ndtr(shift - t) + special.ndtr(-shift - t))
    t = abs(float(special.stdtrit(df, alpha / 2)))
    if not math.isfinite(t):
        return 0.0
    power = float(1 - special.nctdtr(df, shift, t) + special.nctdtr(df, shift, -t))
    return 1.0 if math.isnan(power) else power  # SciPy has no number far out, where nothing is missed


def mean_units(effect: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Units per arm for a difference of means, not rounded; at least 2.

    Args:
        effect: Difference in standard deviations, not 0.
        alpha: Two-sided error rate.
        power: Chance of finding it.

    >>> round(mean_units(0.5), 4)
    63.7656
    """
    return _solve(lambda n: mean_power(n, effect, alpha=alpha) - power, 2.0)


def share_units(
    baseline: float, other: float, *, alpha: float = 0.05, power: float = 0.8, variance: Variance = "pooled"
) -> float:
    """Units per arm for a difference of two shares, not rounded.

    Source: ``pooled``: ((z(1-α/2)·√(2p̄q̄) + z(power)·√(p1q1+p0q0))/(p1-p0))², Fleiss, Levin & Paik (2003), eq. 4.14,
    R's ``power.prop.test``. Contrasts, not used by ``plan``: ``null`` takes the control's variance for both under the
    null, ``arcsine`` is R's ``pwr.2p.test``.

    >>> round(share_units(0.5, 0.75, power=0.9), 4), round(share_units(0.5, 0.75, power=0.9, variance="arcsine"), 4)
    (76.7069, 76.653)
    >>> round(share_units(0.2, 0.25), 3), round(share_units(0.2, 0.25, variance="null"), 3)
    (1093.739, 1030.219)
    """
    a, b = laws.tail_quantile(alpha), laws.normal_quantile(power)
    if variance == "arcsine":
        return 2 * ((a + b) / (2 * math.asin(math.sqrt(other)) - 2 * math.asin(math.sqrt(baseline)))) ** 2
    middle = (baseline + other) / 2 if variance == "pooled" else baseline
    own = math.sqrt(baseline * (1 - baseline) + other * (1 - other))
    return ((a * math.sqrt(2 * middle * (1 - middle)) + b * own) / (other - baseline)) ** 2


def share_power(n: float, baseline: float, other: float, *, alpha: float = 0.05) -> float:
    """Power of the two-sided test of two shares, pooled variance under the null; the inverse of ``share_units``.

    >>> round(share_power(1093.739, 0.2, 0.25), 4)
    0.8
    """
    from scipy import special

    middle = (baseline + other) / 2
    own = math.sqrt(baseline * (1 - baseline) + other * (1 - other))
    null = math.sqrt(2 * middle * (1 - middle))
    if own == 0:
        return 1.0 if null else 0.0
    gap = abs(other - baseline) * math.sqrt(n) - laws.tail_quantile(alpha) * null
    return float(special.ndtr(gap / own))


def anytime_units(variance: float, effect: float, *, tuned: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Units per arm at which a confidence sequence leaves the power: half width + z(power)·se = effect.

    Looks before it add to the chance of having found it by then, so that the power is at least this.

    Source: the sequence of ``laws.asymptotic_radius``.

    Args:
        variance: Of a unit, summed over the two arms.
        effect: Difference, in the metric's unit, not 0.
        tuned: n* of the sequence.
        alpha: Two-sided error rate over all looks.
        power: Chance of finding it by then.

    >>> round(anytime_units(2.0, 0.1, tuned=5000))
    3008
    """

    def spare(n: float) -> float:
        se = math.sqrt(variance / n)
        return (
            abs(effect)
            - laws.asymptotic_radius(se, n=2 * n, tuned=tuned, alpha=alpha)
            - laws.normal_quantile(power) * se
        )

    return _solve(spare, 1.0)


def units(
    outcome: Outcome,
    effect: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    factor: float = 1.0,
    tuned: float | None = None,
) -> float:
    """Units per arm that find ``effect`` with ``power``, not rounded; infinite beyond 10¹².

    Args:
        outcome: What is measured.
        effect: Difference to the control, in the metric's unit (a share's as a share), not 0.
        alpha: Two-sided error rate.
        power: Chance of finding it.
        factor: What clusters, covariates and looks multiply the units by.
        tuned: n* if the test is watched by a confidence sequence; None if it is judged at the end.

    >>> round(units(Outcome(share=0.2), 0.05, factor=2.0), 3)
    2187.478
    """
    if tuned is not None:
        return anytime_units(outcome.variance(effect) * factor, effect, tuned=tuned, alpha=alpha, power=power)
    if outcome.share is not None:
        return factor * share_units(outcome.share, outcome.share + effect, alpha=alpha, power=power)
    assert outcome.sd is not None
    return factor * mean_units(effect / outcome.sd, alpha=alpha, power=power)


def detectable(
    outcome: Outcome,
    n: float,
    *,
    alpha: float = 0.05,
    power: float = 0.8,
    factor: float = 1.0,
    tuned: float | None = None,
    down: bool = False,
) -> float | None:
    """The smallest effect that n units per arm find with ``power``; the inverse of ``units``.

    Args:
        outcome: What is measured.
        n: Units per arm, at least 2.
        alpha: Two-sided error rate.
        power: Chance of finding it.
        factor: As for ``units``.
        tuned: As for ``units``.
        down: Look for a fall.

    Returns:
        The effect, below 0 if it is a fall; None if even the largest possible one is missed.

    >>> round(detectable(Outcome(share=0.2), 1093.739), 4), round(detectable(Outcome(sd=2.0), 63.7656), 4)
    (0.05, 1.0)
    """
    sign = -1.0 if down else 1.0
    if outcome.share is not None:
        most = (outcome.share if down else 1 - outcome.share) * (1 - 1e-9)
    else:
        assert outcome.sd is not None
        most = outcome.sd * 1e6

    def found(effect: float) -> bool:
        if tuned is not None:
            se = math.sqrt(outcome.variance(sign * effect) * factor / n)
            wide = laws.asymptotic_radius(se, n=2 * n, tuned=tuned, alpha=alpha)
            return effect >= wide + laws.normal_quantile(power) * se
        if outcome.share is not None:
            other = outcome.share + sign * effect
            return factor * share_units(outcome.share, other, alpha=alpha, power=power) <= n * (1 + 1e-12)
        assert outcome.sd is not None
        return n > factor and mean_power(n / factor, effect / outcome.sd, alpha=alpha) >= power

    if n < 2 or not found(most):
        return None
    low, high = math.log(most) - 40, math.log(most)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if found(math.exp(middle)) else (middle, high)
    return sign * math.exp(high)


def design_effect(size: float, icc: float) -> float:
    """What clusters multiply the units by: 1 + (m-1)·ICC; Kish (1965), section 5.4.

    >>> round(design_effect(20, 0.05), 2)
    1.95
    """
    return 1 + (size - 1) * icc


def intraclass(y: ArrayLike, cluster: ArrayLike) -> tuple[float, float]:
    """Correlation of two units of one cluster, and the cluster size that the design effect needs.

    Source: one-way analysis of variance estimator, Donner & Koval (1980), Biometrics 36, 19-25; a negative one is
    taken as 0. Size: Σm²/Σm, which is m̄(1+cv²): Eldridge, Ashby & Kerry (2006), Int. J. Epidemiology 35, 1292-1300.

    Args:
        y: Outcome of each unit, shape (n,).
        cluster: Cluster of each unit as a code from 0, shape (n,).

    Returns:
        ICC in [0, 1] (NaN if there are no two clusters, or no cluster of two), and the size.

    >>> intraclass([1.0, 1.0, 3.0, 3.0], [0, 0, 1, 1])
    (1.0, 2.0)
    """
    values, codes = np.asarray(y, dtype=np.float64), np.asarray(cluster, dtype=np.int64)
    sizes = np.bincount(codes).astype(np.float64)
    sums = np.bincount(codes, values)
    sums, sizes = sums[sizes > 0], sizes[sizes > 0]
    n, k = float(sizes.sum()), len(sizes)
    size = float((sizes**2).sum()) / n if n else math.nan
    if k < 2 or n <= k:
        return math.nan, size
    mean = values.mean()
    between = float((sizes * (sums / sizes - mean) ** 2).sum())
    within = max(float(((values - mean) ** 2).sum()) - between, 0.0)
    ms_between, ms_within = between / (k - 1), within / (n - k)
    usual = (n - size) / (k - 1)
    whole = ms_between + (usual - 1) * ms_within
    return (min(max((ms_between - ms_within) / whole, 0.0), 1.0) if whole > 0 else math.nan), size


def explained(y: ArrayLike, x: ArrayLike) -> float:
    """Share of the outcome's variance that covariates explain: R², adjusted for their number, at least 0.

    Args:
        y: Outcome, shape (n,).
        x: Covariates, shape (n, k), without a constant.

    >>> explained([1.0, 2.0, 3.0, 4.0], [[1.0], [2.0], [3.0], [4.0]])
    1.0
    """
    values, columns = np.asarray(y, dtype=np.float64), np.asarray(x, dtype=np.float64)
    centred = values - values.mean()
    total = float(centred @ centred)
    scale = columns.std(axis=0)
    columns = (columns - columns.mean(axis=0))[:, scale > 0] / scale[scale > 0]
    if total <= 0 or not columns.size:
        return 0.0
    fit, _, rank, _ = np.linalg.lstsq(columns, centred, rcond=None)
    left = centred - columns @ fit
    spare = len(values) - 1 - int(rank)
    if spare <= 0:
        return 0.0
    return min(max(1 - float(left @ left) / spare / (total / (len(values) - 1)), 0.0), 1.0)


def _solve(enough: Callable[[float], float], least: float) -> float:
    """The number of units, from ``least`` on, where a rising function reaches 0."""
    from scipy import optimize

    if enough(least) >= 0:
        return least
    low, high = least, 2 * least
    while enough(high) < 0:
        low, high = high, 4 * high
        if high > MOST:
            return math.inf
    return float(optimize.brentq(enough, low, high, xtol=1e-9, rtol=1e-14))
