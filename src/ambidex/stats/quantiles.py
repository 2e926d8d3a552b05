"""Quantiles compared, by bootstrap over units.

Where each value is a unit of its own, nothing is resampled: an order statistic of a resample is the order statistic of
uniform ranks, whose law is a beta, so its bootstrap distribution is drawn exactly in the time of one sort.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from ambidex.stats import laws
from ambidex.stats.compare import Level
from ambidex.stats.estimate import Estimate

__all__ = ["combined_difference", "quantile_difference", "quantile_draws", "quantile_level", "quantile_relative"]

Floats = npt.NDArray[np.float64]

DRAWS, RESAMPLED, WORK, FEWEST = 9_999, 3_999, 200_000_000, 400
"""Draws where each is a beta; of whole units, ``RESAMPLED`` or what ``WORK`` rows allow, ``FEWEST`` at least."""

BEYOND = 5
"""Units that should lie beyond the quantile, on its thinner side, in each arm; with fewer it rests on the extremes."""


def quantile_difference(
    y1: ArrayLike,
    y0: ArrayLike,
    q: float,
    *,
    name: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    units1: ArrayLike | None = None,
    units0: ArrayLike | None = None,
    **labels: Any,
) -> Estimate:
    """Candidate's quantile less the baseline's.

    Percentile bootstrap of the difference; the bounds are open where fewer than 5 units lie beyond the quantile in
    an arm, and where no arm varies.

    Source: Efron & Tibshirani (1993), An Introduction to the Bootstrap, chapter 13; quantiles by linear
    interpolation (Hyndman & Fan 1996, type 7).

    Args:
        y1: Candidate's outcomes, shape (n1,), finite.
        y0: Baseline's outcomes, shape (n0,).
        q: In (0, 1).
        name: Shown name of the metric.
        alpha: Two-sided error rate of the bounds.
        seed: Of the bootstrap.
        units1: Unit of each of the candidate's rows, where a unit has several, shape (n1,).
        units0: The same for the baseline.
        **labels: ``arm``, ``control``, ``unit``, ``method`` of the estimate.

    Raises:
        ValueError: If q is outside (0, 1), or a value is NaN or infinite.

    >>> e = quantile_difference(range(10, 210), range(200), 0.5)
    >>> e.value, e.low < 10 < e.high
    (10.0, True)
    """
    one, zero, n, enough = _both(y1, y0, q, units1, units0, seed)
    value = one[0] - zero[0]
    labels = {"method": "bootstrap by unit", **labels}
    if not enough or not math.isfinite(value):
        return _open(name, "difference", value, n, alpha, labels)
    moved = np.sort(one[1] - zero[1])
    if moved[0] == moved[-1] and one[2] == 0 and zero[2] == 0:
        return _open(name, "difference", value, n, alpha, labels)
    return _estimate(name, "difference", value, moved, n, alpha, labels)


def quantile_relative(
    y1: ArrayLike,
    y0: ArrayLike,
    q: float,
    *,
    name: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    units1: ArrayLike | None = None,
    units0: ArrayLike | None = None,
    **labels: Any,
) -> Estimate | None:
    """Candidate's quantile over the baseline's, less 1; from the same draws as ``quantile_difference``.

    Returns:
        None where a lift has no meaning: a quantile, or one of the baseline's draws, that is not positive.
    """
    one, zero, n, enough = _both(y1, y0, q, units1, units0, seed)
    if not enough or not (one[0] > 0 and zero[0] > 0) or float(zero[1].min()) <= 0:
        return None
    if one[2] == 0 and zero[2] == 0:
        return None
    moved = np.sort(one[1] / zero[1] - 1)
    labels = {"method": "bootstrap by unit", "unit": "relative", **labels}
    return _estimate(name, "relative", one[0] / zero[0] - 1, moved, n, alpha, labels)


def quantile_level(
    y: ArrayLike, q: float, *, alpha: float = 0.05, seed: int = 0, units: ArrayLike | None = None
) -> tuple[Level, tuple[float, float]]:
    """One arm's quantile, and its bounds at two-sided ``alpha``.

    >>> level, (low, high) = quantile_level(range(1001), 0.9)
    >>> level.value, low < 900 < high
    (900.0, True)
    """
    value, draws, _, n, enough = _arm(y, q, units, np.random.default_rng(seed))
    level = Level(value, float(draws.std()) if draws.size else math.nan, n, "mean")
    if not enough:
        return level, (-math.inf, math.inf)
    return level, (float(np.quantile(draws, alpha / 2)), float(np.quantile(draws, 1 - alpha / 2)))


def combined_difference(
    one: tuple[float, float, float],
    zero: tuple[float, float, float],
    n: int,
    *,
    level: float = 0.95,
    name: str = "",
    alpha: float = 0.05,
    **labels: Any,
) -> Estimate:
    """Difference of two numbers that come with their intervals, from someone else's summary.

    The half widths are those of normal intervals, and add up in squares.

    Args:
        one: Candidate's value, lower and upper bound.
        zero: Baseline's.
        n: Units of both.
        level: Confidence level of those bounds.
        name: Shown name.
        alpha: Two-sided error rate of the bounds.
        **labels: ``arm``, ``control``, ``unit``, ``method`` of the estimate.

    >>> e = combined_difference((7.7, 7.6, 7.8), (7.2, 7.1, 7.3), 20_000)
    >>> round(e.low, 3), round(e.high, 3)
    (0.359, 0.641)
    """
    half = math.hypot((one[2] - one[1]) / 2, (zero[2] - zero[1]) / 2)
    se, value = half / laws.tail_quantile(1 - level), one[0] - zero[0]
    return Estimate(
        name=name,
        kind="difference",
        value=value,
        low=-math.inf,
        high=math.inf,
        n=n,
        se=se,
        law=laws.normal(),
        p_value=laws.normal_p(value / se) if se > 0 else None,
        **{"method": "two intervals combined", **labels},
    ).at(alpha)


def quantile_draws(values: Floats, q: float, draws: int, rng: np.random.Generator) -> Floats:
    """Bootstrap distribution of a quantile of independent values, drawn exactly.

    The k-th of n uniform ranks drawn with replacement is ⌈n·U⌉ with U ~ Beta(k, n-k+1); given it, the next one
    follows the least of the n-k that are left (David & Nagaraja 2003, Order Statistics, section 2.5).

    Args:
        values: Ascending, shape (n,).
        q: In (0, 1).
        draws: How many.
        rng: Random numbers.
    """
    n = len(values)
    place = (n - 1) * q
    k = min(math.floor(place) + 1, n)
    part = place - (k - 1)
    first = rng.beta(k, n - k + 1, draws)
    out: Floats = values[_rank(first, n)]
    if k < n and part > 0:
        second = first + (1 - first) * rng.beta(1, n - k, draws)
        out = out + part * (values[_rank(second, n)] - out)
    return out


def _rank(u: Floats, n: int) -> npt.NDArray[np.intp]:
    return np.clip(np.ceil(n * u).astype(np.intp) - 1, 0, n - 1)


def _both(
    y1: ArrayLike, y0: ArrayLike, q: float, units1: ArrayLike | None, units0: ArrayLike | None, seed: int
) -> tuple[tuple[float, Floats, float], tuple[float, Floats, float], int, bool]:
    rng = np.random.default_rng(seed)
    v1, d1, r1, n1, e1 = _arm(y1, q, units1, rng)
    v0, d0, r0, n0, e0 = _arm(y0, q, units0, rng)
    many = min(len(d1), len(d0))
    return (v1, d1[:many], r1), (v0, d0[:many], r0), n1 + n0, e1 and e0


def _arm(
    y: ArrayLike, q: float, units: ArrayLike | None, rng: np.random.Generator
) -> tuple[float, Floats, float, int, bool]:
    """Quantile, its draws, range of the values, units, and whether there are enough of them."""
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies in (0, 1), not {q}")
    values = np.asarray(y, dtype=np.float64).ravel()
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} values are NaN or infinite")
    if not values.size:
        return math.nan, np.empty(0), 0.0, 0, False
    order = np.argsort(values, kind="stable")
    values = values[order]
    value = float(np.quantile(values, q))
    spread = float(values[-1] - values[0])
    n = len(values)
    if units is not None:
        codes = np.unique(np.asarray(units).ravel(), return_inverse=True)[1]
        if len(codes) != len(values):
            raise ValueError("a unit for each value, please")
        n = int(codes.max()) + 1
    enough = n * min(q, 1 - q) >= BEYOND
    if not enough:
        return value, np.empty(0), spread, n, False
    if units is None or n == len(values):
        return value, quantile_draws(values, q, DRAWS, rng), spread, n, True
    return value, _resampled(values, codes[order], n, q, rng), spread, n, True


def _resampled(values: Floats, codes: npt.NDArray[np.intp], units: int, q: float, rng: np.random.Generator) -> Floats:
    """Draws of the quantile with whole units resampled; values ascending, with the unit of each."""
    many = int(np.clip(WORK // len(values), FEWEST, RESAMPLED))
    out = np.empty(many)
    for i in range(many):
        times = np.bincount(rng.integers(0, units, units), minlength=units)
        reached = np.cumsum(times[codes])
        place = (reached[-1] - 1) * q
        low = math.floor(place)
        first = values[np.searchsorted(reached, low + 1)]
        if place > low:
            first += (place - low) * (values[np.searchsorted(reached, low + 2)] - first)
        out[i] = first
    return out


def _estimate(
    name: str, kind: str, value: float, moved: Floats, n: int, alpha: float, labels: dict[str, Any]
) -> Estimate:
    many = len(moved)
    half = many // 2
    levels = 2 * np.arange(1, half + 1) / (many + 1)
    law = laws.drawn_tails(moved[:half].tolist(), moved[::-1][:half].tolist(), levels.tolist())
    fewer = min(int((moved <= 0).sum()), int((moved >= 0).sum()))
    return Estimate(
        name=name,
        kind=kind,
        value=value,
        low=-math.inf,
        high=math.inf,
        n=n,
        se=float(moved.std()),
        law=law,
        p_value=min(1.0, 2 * (fewer + 1) / (many + 1)),
        **labels,
    ).at(alpha)


def _open(name: str, kind: str, value: float, n: int, alpha: float, labels: dict[str, Any]) -> Estimate:
    """An estimate whose error cannot be told: nothing is decided on it."""
    return Estimate(name=name, kind=kind, value=value, low=-math.inf, high=math.inf, n=n, level=1 - alpha, **labels)
