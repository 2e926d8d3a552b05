"""Several arms against one control, all at once: Dunnett's test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate
from ambidex.stats.summaries import Moments

__all__ = ["critical", "dunnett", "family_p"]

Floats = npt.NDArray[np.float64]


def dunnett(
    arms: Mapping[str, Moments], control: str, column: str, *, name: str = "", alpha: float = 0.05, **labels: Any
) -> list[Estimate]:
    """Difference of each arm's mean from the control's, with p-values and bounds that hold for all of them together.

    One variance for all arms is assumed, as Dunnett did. Holm with Welch's t, the default of ``experiment``, does not
    need it; nothing more is to be corrected here.

    Source: Dunnett (1955), JASA 50, 1096-1121.

    Args:
        arms: Arm -> summary, the control among them.
        control: Which is the control.
        column: Column that is compared.
        name: Shown name of the metric.
        alpha: Two-sided error rate of all bounds together.
        **labels: ``unit``, ``method`` of the estimates.

    Raises:
        ValueError: If there is no such control, or no other arm.

    >>> arms = {"c": [7.4, 8.5, 7.2, 8.24, 9.84, 8.32], "a": [9.76, 8.8, 7.68, 9.36]}
    >>> (e,) = dunnett({k: Moments.of({"count": v}) for k, v in arms.items()}, "c", "count")
    >>> round(e.value, 2), round(e.p_value, 3)
    (0.65, 0.309)
    """
    others = [arm for arm in arms if arm != control]
    if control not in arms or not others:
        raise ValueError(f"no control {control!r} and arms beside it among {sorted(arms)}")
    base = arms[control]
    df = sum(m.n - 1 for m in arms.values())
    place = [m.names.index(column) for m in arms.values()]
    squares = sum(float(m.scatter[i, i]) for m, i in zip(arms.values(), place, strict=True))
    loads = tuple(math.sqrt(arms[a].n / (arms[a].n + base.n)) for a in others)
    labels = {"method": "Dunnett", **labels}
    out = []
    for arm in others:
        value, n = arms[arm].mean_of(column) - base.mean_of(column), arms[arm].n + base.n
        bare = Estimate(
            name=name,
            kind="difference",
            value=value,
            low=-math.inf,
            high=math.inf,
            n=n,
            level=1 - alpha,
            arm=arm,
            control=control,
            **labels,
        )
        if df < 1 or min(arms[arm].n, base.n) < 1 or squares <= 0:
            out.append(bare)  # no spread to judge by
            continue
        se = math.sqrt(squares / df * (1 / arms[arm].n + 1 / base.n))
        p_value = family_p(abs(value) / se, df, loads)
        out.append(replace(bare, se=se, law=laws.dunnett(df, loads), p_value=p_value).at(alpha))
    return out


def family_p(t: float, df: float, loads: Sequence[float]) -> float:
    """Chance that the largest of |T₁|…|Tₘ| is at least t, if no arm differs.

    T are Student's t of ``df`` with correlations λᵢλⱼ, λ = ``loads`` = √(nᵢ/(nᵢ+n₀)). Given the control's mean and the
    common variance they are independent, which leaves a double integral: Gauss-Hermite points
    for the mean, the trapezoid rule over the logarithm of the deviation, both exact here to rounding.

    >>> round(family_p(2.0, 10, [0.7]), 4)  # one arm: Student's t
    0.0734
    """
    from scipy import special

    z, wz, s, ws = _points(float(df))
    lam = np.asarray(loads)[:, None, None]
    rest = np.sqrt(1 - lam**2)
    reach, drift = (t * s)[None, None, :], (lam * z[None, :, None])
    inside = special.ndtr((reach + drift) / rest) - special.ndtr((drift - reach) / rest)
    return float(min(max(1 - wz @ inside.prod(axis=0) @ ws, 0.0), 1.0))


@lru_cache(maxsize=256)
def critical(df: float, loads: tuple[float, ...], alpha: float) -> float:
    """t at which ``family_p`` is alpha, by bisection.

    >>> round(critical(10, (0.7,), 0.05), 3)
    2.228
    """
    low, high = 0.0, 8.0
    while family_p(high, df, loads) > alpha and high < 1e6:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if family_p(middle, df, loads) > alpha else (low, middle)
    return high


@lru_cache(maxsize=64)
def _points(df: float) -> tuple[Floats, Floats, Floats, Floats]:
    """Where to evaluate the normal and √(χ²(df)/df), and with what weights."""
    from scipy import special

    z, wz = np.polynomial.hermite_e.hermegauss(61)
    half = df / 2
    ends = np.sqrt(np.array([special.gammaincinv(half, 1e-16), special.gammainccinv(half, 1e-16)]) / half)
    least, most = np.log(ends).tolist()
    log_s = np.linspace(least, most, 241)
    density = df * log_s - half * np.exp(2 * log_s) + half * math.log(half) - special.gammaln(half) + math.log(2)
    ws = np.exp(density) * (log_s[1] - log_s[0])
    return z, wz / wz.sum(), np.exp(log_s), ws / ws.sum()
