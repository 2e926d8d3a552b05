"""How strong a hidden common cause would have to be to explain an effect away."""

from __future__ import annotations

import math

from ambidex.stats import laws

__all__ = ["e_value_of_difference", "e_value_of_odds", "e_value_of_ratio", "robustness_value"]

COMMON = 0.15
"""Outcomes more frequent than this are common: an odds ratio is then no risk ratio."""


def e_value_of_ratio(ratio: float, low: float, high: float) -> tuple[float, float]:
    """E-value of a risk ratio, and of the end of its interval that is nearer to 1.

    A hidden cause would have to go with both treatment and outcome by at least this risk ratio, beyond all that was
    adjusted for, to explain the effect away (to move its interval to no effect).

    Source: VanderWeele & Ding (2017), Annals of Internal Medicine 167, 268-274.

    Args:
        ratio: Risk ratio, > 0.
        low: Lower bound.
        high: Upper bound.

    Returns:
        Both at least 1; the second is 1 where the interval holds 1.

    >>> [round(v, 2) for v in e_value_of_ratio(3.9, 1.8, 8.7)]
    [7.26, 3.0]
    """
    if not ratio > 0 or math.isnan(low + high):
        return 1.0, 1.0
    limit = 1.0 if low <= 1 <= high else low if ratio > 1 else high
    return _e_value(ratio), _e_value(limit)


def e_value_of_odds(odds: float, low: float, high: float, *, share: float) -> tuple[float, float]:
    """E-value of an odds ratio; where the outcome is common (``share`` above 15%) its root stands for the risk ratio.

    >>> [round(v, 2) for v in e_value_of_odds(4.0, 1.21, 9.0, share=0.3)]
    [3.41, 1.43]
    """
    if share > COMMON:
        odds, low, high = (math.sqrt(max(v, 0.0)) for v in (odds, low, high))
    return e_value_of_ratio(odds, low, high)


def e_value_of_difference(value: float, se: float, sd: float, *, alpha: float = 0.05) -> tuple[float, float]:
    """E-value of a difference of means, taken as the risk ratio exp(.91 d) of d = value/sd.

    Source: VanderWeele & Ding (2017), table 2, after Chinn (2000).

    Args:
        value: Difference, in the outcome's unit.
        se: Its standard error.
        sd: Standard deviation of the outcome.
        alpha: Two-sided error rate of the bounds.

    >>> round(e_value_of_difference(0.5, 0.1, 1.0)[0], 2)
    2.53
    """
    if not sd > 0 or not math.isfinite(value) or not math.isfinite(se):
        return 1.0, 1.0
    half = laws.tail_quantile(alpha) * se
    return e_value_of_ratio(*(math.exp(min(0.91 * v / sd, 700.0)) for v in (value, value - half, value + half)))


def robustness_value(t: float, df: float, *, alpha: float = 0.05) -> tuple[float, float]:
    """Share of the rest of both treatment and outcome that a hidden cause must explain.

    Source: Cinelli & Hazlett (2020), JRSS B 82, 39-67, section 4.2: ½(√(f⁴+4f²)-f²), f = |t|/√df; for the interval to
    reach zero f less t*(df-1)/√(df-1).

    Args:
        t: Effect over its standard error.
        df: Residual degrees of freedom.
        alpha: Two-sided error rate of the interval.

    Returns:
        In [0, 1): to bring the effect to zero, and to bring its interval there.

    >>> [round(v, 3) for v in robustness_value(4.18, 783)]
    [0.139, 0.076]
    """
    if not df > 2 or not math.isfinite(t):
        return 0.0, 0.0
    f = abs(t) / math.sqrt(df)
    from scipy import special

    reach = abs(float(special.stdtrit(df - 1, alpha / 2))) / math.sqrt(df - 1)
    return _robust(f), _robust(max(f - reach, 0.0))


def _e_value(ratio: float) -> float:
    if not ratio > 0:
        return math.inf
    above = ratio if ratio >= 1 else 1 / ratio
    return above + math.sqrt(above * (above - 1))


def _robust(f: float) -> float:
    return (math.sqrt(f**4 + 4 * f * f) - f * f) / 2
