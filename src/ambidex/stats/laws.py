"""Sampling laws: from a value, its standard error and an alpha to bounds.

A law is data, not code, so that an estimate can be judged at the alpha that a family
correction leaves to it, long after the rows are gone.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

__all__ = [
    "Law",
    "asymptotic_radius",
    "asymptotic_sequence",
    "bounds",
    "counted",
    "dip",
    "drawn",
    "drawn_tails",
    "dunnett",
    "log_normal",
    "log_scale",
    "log_sequence",
    "logit_normal",
    "newcombe",
    "normal",
    "normal_p",
    "normal_quantile",
    "placebos",
    "student",
    "student_p",
    "tail_quantile",
    "unseen",
    "wilson",
]

Name = Literal[
    "counted",
    "normal",
    "student",
    "newcombe",
    "log-normal",
    "asymptotic-sequence",
    "logit-normal",
    "log-sequence",
    "placebos",
    "unseen",
    "drawn",
    "dunnett",
    "dip",
    "log-scale",
]

_STANDARD = NormalDist()


@dataclass(frozen=True, slots=True)
class Law:
    """How an estimate varies from sample to sample.

    Attributes:
        name: Which law.
        args: Its numbers, in the order that the constructor below documents.
        among: How many quantities the one shown was picked from (the most moved of a column's levels):
            its bounds are taken at alpha over this number.
        looks: Information at the planned looks so far over the planned one, this look last; its bounds are taken at
            the nominal alpha that Lan-DeMets spending leaves to this look. Empty for one look.
        final: True if this planned look ends the test.
    """

    name: Name
    args: tuple[float, ...] = ()
    among: int = 1
    looks: tuple[float, ...] = ()
    final: bool = False


def counted() -> Law:
    """No sampling error: the bounds are the value."""
    return Law("counted")


def normal(floor: float = -math.inf, ceiling: float = math.inf) -> Law:
    """value ± z·se, cut at ``floor`` and ``ceiling``: the ends of what the quantity can be."""
    return Law("normal") if math.isinf(floor) and math.isinf(ceiling) else Law("normal", (floor, ceiling))


def student(df: float, floor: float = -math.inf, ceiling: float = math.inf) -> Law:
    """value ± t(df)·se, cut at ``floor`` and ``ceiling`` as for ``normal``."""
    return Law("student", (df,) if math.isinf(floor) and math.isinf(ceiling) else (df, floor, ceiling))


def newcombe(x1: int, n1: int, x0: int, n0: int, exact_p: float | None = None) -> Law:
    """Difference of two shares x1/n1 - x0/n0, Newcombe's (1998) hybrid score method 10.

    ``exact_p``, given for small cells, keeps the bounds from leaving zero out at an alpha below it.
    """
    return Law("newcombe", (x1, n1, x0, n0) if exact_p is None else (x1, n1, x0, n0, exact_p))


def dip(n: int) -> Law:
    """Hartigan's dip of n values against one peak: value ± the dip that n uniform values exceed with chance alpha/2."""
    return Law("dip", (n,))


def log_scale(log_se: float) -> Law:
    """A quantity above 0 that is normal on the log scale (a rate, a sum of money): value·exp(±z·log_se)."""
    return Law("log-scale", (log_se,))


def log_normal(log_se: float, df: float | None = None) -> Law:
    """Relative difference exp(L) - 1: exp(L ± q·log_se) - 1 with q of the normal, or of Student's t at ``df``."""
    return Law("log-normal", (log_se,) if df is None else (log_se, df))


def logit_normal(logit_se: float) -> Law:
    """A quantity in (0, 1) that is normal on the logit scale (an AUC near its ends)."""
    return Law("logit-normal", (logit_se,))


def asymptotic_sequence(n: int, tuned: float) -> Law:
    """Asymptotic confidence sequence of Waudby-Smith et al. (2021).

    Args:
        n: All units seen so far.
        tuned: n*, the sample size at which the sequence is tuned to be tightest.
    """
    return Law("asymptotic-sequence", (n, tuned))


def log_sequence(log_se: float, n: int, tuned: float) -> Law:
    """Relative difference exp(L) - 1, with the asymptotic confidence sequence around L."""
    return Law("log-sequence", (log_se, n, tuned))


def unseen(reach: float, n: int) -> Law:
    """n values, all alike: value ± reach·(1 - (α/2)^(1/n)), for what none of them has shown yet."""
    return Law("unseen", (reach, n))


def placebos(effects: Iterable[float]) -> Law:
    """Effects found where there was none: the bounds are the largest of them that alpha leaves.

    value ± the k-th largest |placebo|, k = ⌊alpha·(m+1)⌋ of m placebos: the interval that inverts the permutation
    test. Open where there are too few placebos for alpha (k = 0).

    Source: Abadie, Diamond & Hainmueller (2010), section 2.4; Firpo & Possebom (2018), section 4, for the interval.
    """
    return Law("placebos", tuple(sorted((abs(float(p)) for p in effects), reverse=True)))


def drawn(levels: Sequence[float], lows: Sequence[float], highs: Sequence[float]) -> Law:
    """Bounds that were drawn, not derived: a permutation turned round, or a bootstrap.

    Args:
        levels: Two-sided error rates, ascending.
        lows: Lower bound at each; ascending, -inf where so small a rate cannot be reached.
        highs: Upper bound at each; descending.

    At an alpha between two levels the lower one's bounds hold, which are wider; below the first they are infinite.
    """
    return Law("drawn", (*map(float, levels), *map(float, lows), *map(float, highs)))


def drawn_tails(lows: Sequence[float], highs: Sequence[float], levels: Sequence[float], *, keep: int = 150) -> Law:
    """``drawn`` with its first ``keep`` entries and, of the rest, every entry that is 2% further on.

    Ten thousand draws become some 350 numbers a side; between those kept, bounds are slightly too wide.
    """
    kept, last = [], -1
    for i in range(len(levels)):
        if i < keep or i >= last * 1.02 or i == len(levels) - 1:
            kept.append(i)
            last = i
    return drawn([levels[i] for i in kept], [lows[i] for i in kept], [highs[i] for i in kept])


def dunnett(df: float, loads: Iterable[float]) -> Law:
    """value ± c·se with Dunnett's c for as many arms as ``loads`` (see ``dunnett.family_p``) against one control."""
    return Law("dunnett", (df, *loads))


def normal_quantile(probability: float) -> float:
    """Quantile of the standard normal.

    >>> round(normal_quantile(0.975), 6)
    1.959964
    """
    return _STANDARD.inv_cdf(probability)


def normal_p(z: float) -> float:
    """Two-sided p-value of a standard normal, accurate far out.

    >>> round(normal_p(-3.164359), 6)
    0.001554
    """
    return math.erfc(abs(z) / math.sqrt(2))


def student_p(t: float, df: float) -> float:
    """Two-sided p-value of Student's t, accurate far out.

    >>> round(student_p(2.0, 10), 5)
    0.07339
    """
    if df > 1e7:
        return normal_p(t)
    from scipy import special

    return min(1.0, 2 * float(special.stdtr(df, -abs(t))))


def wilson(x: float, n: float, alpha: float) -> tuple[float, float]:
    """Wilson's score interval of one share.

    Source: Newcombe (1998), Statistics in Medicine 17, 857-872, method 3.

    >>> [round(b, 4) for b in wilson(81, 263, 0.05)]
    [0.2553, 0.3662]
    """
    if n <= 0:
        return 0.0, 1.0
    z = tail_quantile(alpha)
    p = x / n
    centre = (2 * n * p + z * z) / (2 * (n + z * z))
    half = z * math.sqrt(z * z + 4 * n * p * (1 - p)) / (2 * (n + z * z))
    return max(0.0, centre - half), min(1.0, centre + half)


def bounds(law: Law, value: float, se: float | None, alpha: float) -> tuple[float, float]:
    """Two-sided bounds at ``alpha``.

    Args:
        law: The sampling law.
        value: Point estimate.
        se: Standard error, where the law needs one.
        alpha: Two-sided error rate in (0, 1).

    Raises:
        ValueError: If alpha is outside (0, 1), or the law needs a standard error and has none.

    >>> [round(b, 4) for b in bounds(newcombe(56, 70, 48, 80), 0.2, None, 0.05)]
    [0.0524, 0.3339]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha}")
    alpha /= law.among
    if law.looks:
        from ambidex.stats.sequential import nominal_alpha

        alpha = nominal_alpha(law.looks, alpha, final=law.final)
    match law.name:
        case "counted":
            return value, value
        case "newcombe":
            return _newcombe_bounds(law.args, alpha)
        case "log-normal":
            z = tail_quantile(alpha) if len(law.args) == 1 else _student_tail(alpha, law.args[1])
            centre = math.log1p(value) if value > -1 else -math.inf
            return math.expm1(centre - z * law.args[0]), _expm1(centre + z * law.args[0])
        case "log-sequence":
            radius = asymptotic_radius(law.args[0], n=law.args[1], tuned=law.args[2], alpha=alpha)
            centre = math.log1p(value) if value > -1 else -math.inf
            return math.expm1(centre - radius), _expm1(centre + radius)
        case "drawn":
            many = len(law.args) // 3
            place = bisect_right(law.args, alpha * (1 + 1e-9), 0, many) - 1
            return (-math.inf, math.inf) if place < 0 else (law.args[many + place], law.args[2 * many + place])
        case "unseen":
            far = law.args[0] * -math.expm1(math.log(alpha / 2) / law.args[1])
            return value - far, value + far
        case "placebos":
            k = math.floor(alpha * (len(law.args) + 1) + 1e-9)
            far = law.args[k - 1] if k >= 1 else math.inf
            return value - far, value + far
        case "dip":
            from ambidex.stats.dip import dip_quantile

            far = dip_quantile(alpha / 2, int(law.args[0]))
            return value - far, value + far
        case "log-scale":
            times = math.exp(min(tail_quantile(alpha) * law.args[0], 700.0))
            return value / times, value * times
        case "logit-normal":
            z, inner = tail_quantile(alpha), min(max(value, 1e-12), 1 - 1e-12)
            centre = math.log(inner / (1 - inner))
            return _expit(centre - z * law.args[0]), _expit(centre + z * law.args[0])
    if se is None:
        raise ValueError(f"law {law.name} needs a standard error")
    match law.name:
        case "normal":
            half = tail_quantile(alpha) * se
            if law.args:
                return max(value - half, law.args[0]), min(value + half, law.args[1])
        case "student":
            half = _student_tail(alpha, law.args[0]) * se
            if len(law.args) == 3:
                return max(value - half, law.args[1]), min(value + half, law.args[2])
        case "dunnett":
            from ambidex.stats.dunnett import critical

            half = critical(law.args[0], law.args[1:], alpha) * se
        case "asymptotic-sequence":
            half = asymptotic_radius(se, n=law.args[0], tuned=law.args[1], alpha=alpha)
    return value - half, value + half


def asymptotic_radius(se: float, *, n: float, tuned: float, alpha: float) -> float:
    """Half width of the two-sided asymptotic confidence sequence.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), arXiv:2103.06476, eq. 14
    with rho tuned by their eq. 25.

    Args:
        se: Standard error at this look.
        n: Units seen so far.
        tuned: n*, the size at which the width is least.
        alpha: Two-sided error rate over all looks.
    """
    rho2 = (-2 * math.log(alpha) + math.log(1 - 2 * math.log(alpha))) / tuned
    scaled = n * rho2
    return se * math.sqrt(2 * (scaled + 1) / scaled * math.log(math.sqrt(scaled + 1) / alpha))


def _newcombe_bounds(args: tuple[float, ...], alpha: float) -> tuple[float, float]:
    x1, n1, x0, n0 = args[:4]
    p1, p0 = x1 / n1, x0 / n0
    l1, u1 = wilson(x1, n1, alpha)
    l0, u0 = wilson(x0, n0, alpha)
    d = p1 - p0
    low, high = d - math.hypot(p1 - l1, u0 - p0), d + math.hypot(u1 - p1, p0 - l0)
    if len(args) == 5 and args[4] >= alpha:
        low, high = min(low, 0.0), max(high, 0.0)
    return low, high


def tail_quantile(alpha: float) -> float:
    """z(1-α/2), from the lower tail: 1-α/2 is 1 in floating point below α = 2e-16.

    >>> round(tail_quantile(0.05), 6)
    1.959964
    """
    return -_STANDARD.inv_cdf(alpha / 2)


def _student_tail(alpha: float, df: float) -> float:
    if df > 1e7:
        return tail_quantile(alpha)
    from scipy import special

    # Far out SciPy overflows to an infinity of either sign.
    return abs(float(special.stdtrit(df, alpha / 2)))


def _expm1(x: float) -> float:
    """e^x - 1 that runs to infinity instead of raising."""
    return math.expm1(x) if x < 700 else math.inf


def _expit(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))
