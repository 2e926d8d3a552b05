"""One series before and after a date: a local level with other series beside it, and dates on which nothing began.

    y_t = μ_t + x_t'β + ε_t,  ε ~ N(0, σ²_ε);   μ_{t+1} = μ_t + η_t,  η ~ N(0, σ²_η)

The level begins diffuse, β is estimated with it (generalised least squares), the variances by maximum likelihood on
the time before the date. What was seen after is set against the forecast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate

__all__ = ["LocalLevel", "after_effect", "level_fit", "placebo_dates"]

Floats = npt.NDArray[np.float64]

LEAST = 10
"""Periods before the date that a level and its two variances need."""
GRID = np.linspace(-14.0, 8.0, 45)
"""log(σ²_η/σ²_ε), from a level that stands still to one that wanders with every period."""
DATES = 20
"""Placebo dates tried at most."""


@dataclass(frozen=True, slots=True, eq=False)
class LocalLevel:
    """A fitted local level.

    Attributes:
        irregular: σ²_ε, in the outcome's unit squared.
        level: σ²_η.
        loglik: Diffuse log-likelihood (Durbin & Koopman's, over the n - 1 periods after the first).
        beta: Coefficients of the other series, shape (k,).
    """

    irregular: float
    level: float
    loglik: float
    beta: Floats


def level_fit(y: Floats, x: Floats | None = None) -> LocalLevel:
    """Fit by maximum likelihood, with an exact diffuse start.

    Source: Durbin & Koopman (2012), Time Series Analysis by State Space Methods, sections 2.2, 2.9 and 6.2.3.

    Args:
        y: Outcome by period, shape (n,), n >= 3.
        x: Other series, shape (n, k), or None.

    Raises:
        ValueError: If there are fewer periods than are needed.
    """
    from scipy import optimize

    z = np.column_stack([y, x]) if x is not None and x.size else y[:, None]
    n, k = z.shape[0], z.shape[1] - 1
    if n < k + 3:
        raise ValueError(f"{n} periods for a level, its variances and {k} other series")
    scale = np.where(z.std(axis=0) > 0, z.std(axis=0), 1.0)
    z = z / scale

    def profile(log_q: float) -> float:
        return -float(_filter(z, np.array([math.exp(log_q)])).loglik[0])

    values = -_filter(z, np.exp(GRID)).loglik
    best = int(np.argmin(values))
    ends = GRID[max(best - 1, 0)], GRID[min(best + 1, len(GRID) - 1)]
    found = optimize.minimize_scalar(profile, bounds=ends, method="bounded", options={"xatol": 1e-8})
    q = math.exp(float(found.x) if found.fun < values[best] else float(GRID[best]))
    f = _filter(z, np.array([q]))
    unit, by = scale[0], scale[0] / scale[1:]
    return LocalLevel(
        irregular=float(f.sigma[0]) * unit**2,
        level=float(f.sigma[0]) * q * unit**2,
        loglik=float(f.loglik[0]) - (n - 1) * math.log(unit),
        beta=f.beta[0] * by,
    )


def after_effect(
    y: Floats, start: int, x: Floats | None = None, *, name: str = "effect", alpha: float = 0.05, **labels: Any
) -> tuple[Estimate, Floats]:
    """Mean of what was seen from ``start`` on less what was expected, a period.

    The forecast is averaged over how much the level may wander (σ_η/σ_ε with a flat prior, weighted by the likelihood
    of the time before): the one best value is often 0 where the truth is not, and its bounds then leave out zero in
    up to 16% of series without any effect; these in at most 5%.

    Args:
        y: Outcome by period, shape (n,).
        start: Index of the first period with treatment; ``LEAST`` before it at least.
        x: Series that the treatment does not touch, and the calendar, shape (n, k), or None.
        name: Shown name.
        alpha: Two-sided error rate.
        **labels: Labels of the estimate.

    Returns:
        The estimate (Student's t with start - k - 2 degrees of freedom), and the expected outcome after, shape
        (n - start,).

    Source: Brodersen et al. (2015), Annals of Applied Statistics 9, 247-274, section 2, with a grid for the variance.
    """
    z = np.column_stack([y, x]) if x is not None and x.size else y[:, None]
    before, after = z[:start], z[start:]
    scale = np.where(before.std(axis=0) > 0, before.std(axis=0), 1.0)
    before, after = before / scale, after / scale
    k, ahead = z.shape[1] - 1, len(y) - start
    q = np.exp(GRID)
    f = _filter(before, q)
    weight = f.loglik + GRID / 2  # a flat prior on √q is √q on the scale of log q
    if k:
        weight = weight + 0.5 * (k * np.log(f.sigma) - np.linalg.slogdet(f.information)[1])
    weight = np.exp(weight - weight.max())
    weight /= weight.sum()
    steps = np.arange(1, ahead + 1)
    drift = float(np.minimum.outer(steps, steps).sum()) / ahead**2
    level = f.last[:, 0] - (f.last[:, 1:] * f.beta).sum(axis=1)
    lines = level[:, None] + f.beta @ after[:, 1:].T
    gap = after[:, 1:].mean(axis=0) - f.last[:, 1:]
    inverse = np.linalg.pinv(f.information) if k else np.zeros((len(q), 0, 0))
    spread = f.sigma * (f.variance + q * drift + 1 / ahead + np.einsum("gi,gij,gj->g", gap, inverse, gap))
    means = lines.mean(axis=1)
    centre = float(weight @ means)
    se = math.sqrt(float(weight @ (spread + (means - centre) ** 2))) * float(scale[0])
    expected: Floats = (weight @ lines) * scale[0]
    value = float(y[start:].mean() - expected.mean())
    df = max(start - k - 2, 1)
    base = Estimate(
        name=name, kind="effect", value=value, low=-math.inf, high=math.inf, n=len(y), level=1 - alpha,
        **{"method": "local level before, forecast after", **labels},
    )  # fmt: skip
    if not se > 1e-12 * max(1.0, abs(float(y[:start].mean()))):
        return base, expected
    return replace(base, se=se, law=laws.student(df), p_value=laws.student_p(value / se, df)).at(alpha), expected


def placebo_dates(y: Floats, x: Floats | None, ahead: int, *, alpha: float = 0.05) -> list[tuple[int, Estimate]]:
    """The effect of dates on which nothing began: each followed by up to ``ahead`` periods, all before the true start.

    Args:
        y: Outcome before the true start, shape (n,).
        x: Other series there, or None.
        ahead: Periods after each date, at least 1; fewer where the time before is short.
        alpha: Two-sided error rate of each.
    """
    n, k = len(y), 0 if x is None else x.shape[1]
    least = max(LEAST, k + 5)
    ahead = max(1, min(ahead, (n - least) // 2))
    dates = np.unique(np.linspace(least, n - ahead, DATES).astype(int)) if n - ahead >= least else np.empty(0, int)
    out = []
    for date in dates.tolist():
        end = date + ahead
        try:
            e, _ = after_effect(y[:end], date, None if x is None else x[:end], name="placebo date", alpha=alpha)
        except (ValueError, np.linalg.LinAlgError):
            continue
        if e.se:
            out.append((date, e))
    return out


@dataclass(frozen=True, slots=True, eq=False)
class _Filtered:
    """One filter for each q. Variances are over σ²_ε.

    Attributes:
        loglik: Shape (g,).
        sigma: σ²_ε, shape (g,).
        beta: Shape (g, k).
        information: Shape (g, k, k).
        last: Level of (y, x) at the end, shape (g, 1 + k).
        variance: Shape (g,).
    """

    loglik: Floats
    sigma: Floats
    beta: Floats
    information: Floats
    last: Floats
    variance: Floats


def _filter(z: Floats, q: Floats) -> _Filtered:
    """Kalman filter of every column at once for every q = σ²_η/σ²_ε, the level diffuse, σ²_ε taken out.

    Args:
        z: (y, x), shape (n, 1 + k).
        q: Shape (g,).
    """
    n, width = z.shape
    a = np.repeat(z[:1], len(q), axis=0)
    v, sizes = np.empty((n - 1, len(q), width)), np.empty((n - 1, len(q)))
    p = np.ones(len(q))
    for t in range(1, n):
        sizes[t - 1] = p + q + 1.0
        p = (p + q) / sizes[t - 1]
        v[t - 1] = z[t] - a
        a = a + p[:, None] * v[t - 1]
    cross = np.einsum("tgi,tgj->gij", v / sizes[:, :, None], v, optimize=True)
    information, sides = cross[:, 1:, 1:], cross[:, 1:, 0]
    beta = np.einsum("gij,gj->gi", np.linalg.pinv(information), sides) if width > 1 else np.empty((len(q), 0))
    rest = cross[:, 0, 0] - (sides * beta).sum(axis=1)
    sigma = np.maximum(rest / (n - 1), 1e-300)
    loglik = -0.5 * ((n - 1) * (np.log(2 * math.pi * sigma) + 1) + np.log(sizes).sum(axis=0))
    return _Filtered(loglik, sigma, beta, information, a, p)
