"""Planned looks: bounds for a test that is judged a known number of times.

The looks see a Brownian motion: with information t, the test statistic times √t has independent steps of
variance Δt. Armitage, McPherson & Rowe's recursion carries the density of the paths that have not yet crossed from
look to look; every constant here comes from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from ambidex.stats.estimate import Estimate

__all__ = [
    "crossing",
    "inflation",
    "nominal_alpha",
    "obrien_fleming",
    "planned",
    "planned_p",
    "pocock",
    "repeated_error",
    "spending",
    "spending_bounds",
]

Floats = NDArray[np.float64]

MOST_LOOKS = 1000
REACH = 8.0
"""Where nothing stops a path, it is followed as far as this many standard deviations."""

NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
"""Of one panel; a panel is at most three of the smaller step's standard deviations wide."""

SMALLEST_P = 1e-100
"""p-values below this are taken as this before they are spread over looks."""

LEAST = 1e-290
"""Error rates below this are taken as this."""


def crossing(bounds: Sequence[float], times: Sequence[float], *, drift: float = 0.0) -> tuple[Floats, Floats]:
    """Chance of first leaving ±bounds at each look, above and below.

    Source: Armitage, McPherson & Rowe (1969), JRSS A 132, 235-244; Jennison & Turnbull (2000), ch. 19.

    Args:
        bounds: Of |Z| at each look, shape (k,), above 0; infinite where nothing is spent.
        times: Information at each look, shape (k,), above 0 and rising; its unit is free.
        drift: Mean of Z·√t per unit of information; 0 if there is no effect.

    Returns:
        Chance of crossing above, and below, shape (k,) each.

    Raises:
        ValueError: If the times do not rise, or there are not as many bounds.

    >>> above, below = crossing([1.959964, 1.959964], [0.5, 1.0])
    >>> round(float(above.sum() + below.sum()), 5)
    0.08312
    """
    when = _checked(times)
    if len(bounds) != len(when):
        raise ValueError(f"{len(bounds)} bounds for {len(when)} looks")
    above, below = np.zeros(len(when)), np.zeros(len(when))
    path = _Path.start()
    for k, (bound, time) in enumerate(zip(bounds, when, strict=True)):
        above[k], below[k] = path.beyond(float(bound), time, drift)
        if k + 1 < len(when):
            path = path.step(float(bound), time, drift, least=min(time - path.time, when[k + 1] - time))
    return above, below


def repeated_error(looks: int, z: float = 1.959963984540054) -> float:
    """Chance that a test at ±z, repeated at equally spaced looks, rejects at any of them though nothing differs.

    Source: Armitage, McPherson & Rowe (1969), table 2.

    >>> round(repeated_error(5), 5)
    0.14169
    """
    above, _ = crossing([z] * looks, range(1, looks + 1))
    return 2 * float(above.sum())


def pocock(looks: int, alpha: float = 0.05) -> float:
    """Pocock's constant: the same bound of |Z| at every one of the equally spaced looks.

    Source: Pocock (1977), Biometrika 64, 191-199; Jennison & Turnbull (2000), table 2.1.

    >>> round(pocock(5), 4)
    2.4132
    """
    return _root(lambda c: repeated_error(looks, c) - alpha)


def obrien_fleming(looks: int, alpha: float = 0.05) -> float:
    """O'Brien & Fleming's constant C: at look k of K equally spaced ones the bound of |Z| is C·√(K/k).

    Source: O'Brien & Fleming (1979), Biometrics 35, 549-556; Jennison & Turnbull (2000), table 2.3.

    >>> round(obrien_fleming(5), 4)
    2.0401
    """
    times = range(1, looks + 1)

    def excess(c: float) -> float:
        above, _ = crossing([c * math.sqrt(looks / k) for k in times], times)
        return 2 * float(above.sum()) - alpha

    return _root(excess)


def spending(time: float, alpha: float = 0.05) -> float:
    """Two-sided error spent by a share of the planned information.

    Each tail spends 2(1 - Φ(z(1-α/4)/√t)), so that both together have spent α at t = 1.

    Source: Lan & DeMets (1983), Biometrika 70, 659-663, the O'Brien-Fleming type at α/2 a side.

    >>> round(spending(0.2), 10), spending(1.0), spending(2.0)
    (1.0777e-06, 0.05, 0.05)
    """
    from scipy import special

    if time <= 0:
        return 0.0
    if time >= 1:
        return alpha
    z = -float(special.ndtri(alpha / 4))
    return 4 * float(special.ndtr(-z / math.sqrt(time)))


def spending_bounds(times: Sequence[float], alpha: float = 0.05, *, final: bool = False) -> list[float]:
    """Lan-DeMets bounds of |Z| at looks with any information.

    Args:
        times: Information at each look over the planned one, shape (k,), rising; may end below or above 1.
        alpha: Two-sided error rate over all looks.
        final: True if the last of them ends the test: it spends what is left, whatever was reached.

    Raises:
        ValueError: If the times do not rise, or alpha is outside (0, 1).

    >>> [round(b, 4) for b in spending_bounds([0.2, 0.4, 0.6, 0.8, 1.0])]
    [4.8769, 3.357, 2.6803, 2.2898, 2.031]
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha must lie in (0, 1), not {alpha}")
    return list(_spending_bounds(_checked(times), alpha, final))


def nominal_alpha(times: Sequence[float], alpha: float, *, final: bool = False) -> float:
    """Two-sided error rate of the last look's own test, if all looks together may err at ``alpha``.

    >>> round(nominal_alpha((0.5, 1.0), 0.05), 4)
    0.049
    """
    from scipy import special

    return max(2 * float(special.ndtr(-spending_bounds(times, alpha, final=final)[-1])), LEAST)


def planned(estimate: Estimate, times: Sequence[float], *, final: bool) -> Estimate:
    """The estimate with bounds that hold at all planned looks together, whatever its own law is.

    At every alpha its law is asked at the nominal alpha that the spending function leaves to this look.

    Source: Jennison & Turnbull (1989), JRSS B 51, 305-361 (repeated confidence intervals), with Lan-DeMets bounds.

    Args:
        estimate: As a test with one look would make it.
        times: Information at the looks so far, this one last, over the planned one, shape (k,).
        final: True if this look ends the test.

    >>> from ambidex.stats import laws
    >>> e = Estimate(name="x", kind="difference", value=3.0, low=0, high=1, n=9, se=1.0, law=laws.normal())
    >>> e = planned(replace(e, p_value=0.003), (0.5,), final=False)
    >>> round(e.low, 3), round(e.p_value, 3)
    (0.037, 0.05)
    """
    method = f"{estimate.method}, Lan-DeMets at look {len(times)}"
    if estimate.law is None:
        return replace(estimate, method=method, p_value=None)
    law = replace(estimate.law, looks=_checked(times), final=final)
    p = None if estimate.p_value is None else planned_p(times, max(estimate.p_value, LEAST), final=final)
    return replace(estimate, law=law, p_value=p, method=method).at(1 - estimate.level)


def planned_p(times: Sequence[float], p_value: float, *, final: bool = False) -> float:
    """The p-value of the last look among all: the smallest alpha at which its bound is crossed.

    Source: Jennison & Turnbull (2000), section 9.5 (repeated p-values).

    Args:
        times: Information at the looks so far over the planned one.
        p_value: Of the last look's own test.
        final: True if it ends the test.

    >>> round(planned_p((0.5, 1.0), 0.049), 3), planned_p((0.2,), 0.5)
    (0.05, 1.0)
    """
    from scipy import optimize, special

    when = _checked(times)
    z = -float(special.ndtri(min(max(p_value, SMALLEST_P), 1.0) / 2))

    def over(overall: float) -> float:
        """How far the bound at alpha = 2(1 - Φ(overall)) lies beyond z."""
        return min(_spending_bounds(when, 2 * float(special.ndtr(-overall)), final)[-1], 99.0) - z

    if len(when) == 1 and (final or when[0] >= 1):
        return p_value
    overall, bounds = _curve(when, final)
    if z <= bounds[0]:
        return 1.0
    if z < bounds[-1]:
        found = float(np.interp(z, bounds, overall))
    else:
        found = z if over(z) <= 0 else optimize.brentq(over, 0.5, z, xtol=1e-5)
    return max(min(2 * float(special.ndtr(-found)), 1.0), p_value)


@lru_cache(maxsize=64)
def _curve(times: tuple[float, ...], final: bool) -> tuple[Floats, Floats]:
    """z(1-α/2) of many alphas, rising, and the last look's bound of |Z| at each, shape (m,) each.

    Made once for all estimates of a look. On this scale the curve is nearly straight: a cubic through 28 points lies
    within 1e-5 of the recursion. It ends where nothing is left to spend.
    """
    from scipy import interpolate, special

    knots = np.linspace(0.001, 5.0, 28)
    exact = np.array([_spending_bounds(times, 2 * float(special.ndtr(-z)), final)[-1] for z in knots])
    knots = knots[np.isfinite(exact)]
    if len(knots) < 4:
        return np.array([0.0, 0.0]), np.array([math.inf, math.inf])
    fine = np.linspace(knots[0], knots[-1], 4000)
    return fine, interpolate.CubicSpline(knots, exact[np.isfinite(exact)])(fine)


@lru_cache(maxsize=256)
def inflation(looks: int, alpha: float = 0.05, power: float = 0.8) -> float:
    """How many times the units of a test with one look are needed for equally spaced Lan-DeMets looks.

    Source: Jennison & Turnbull (2000), section 7.3: the drift that crosses with the wanted power, squared, over the
    drift of one look, squared.

    >>> round(inflation(5), 4), inflation(1)
    (1.0247, 1.0)
    """
    if looks == 1:
        return 1.0
    times = [k / looks for k in range(1, looks + 1)]
    bounds = spending_bounds(times, alpha)

    def lacks(drift: float, bounds: Sequence[float], times: Sequence[float]) -> float:
        above, below = crossing(bounds, times, drift=drift)
        return power - float(above.sum() + below.sum())

    one = _root(lambda d: lacks(d, spending_bounds([1.0], alpha), [1.0]), 1e-6, 30.0)
    several = _root(lambda d: lacks(d, bounds, times), 1e-6, 30.0)
    return (several / one) ** 2


class _Path:
    """The density of Z·√t over the paths still inside: nodes, weight times density, shape (m,) each."""

    def __init__(self, x: Floats, mass: Floats, time: float) -> None:
        self.x, self.mass, self.time = x, mass, time

    @classmethod
    def start(cls) -> _Path:
        """All of it at 0, before any information."""
        return cls(np.zeros(1), np.ones(1), 0.0)

    def beyond(self, bound: float, time: float, drift: float = 0.0) -> tuple[float, float]:
        """Chance of lying above and below ±bound·√time at the next look."""
        from scipy import special

        step, edge = time - self.time, bound * math.sqrt(time)
        middle = self.x + drift * step
        above = self.mass @ special.ndtr(-(edge - middle) / math.sqrt(step))
        below = self.mass @ special.ndtr((-edge - middle) / math.sqrt(step))
        return float(above), float(below)

    def step(self, bound: float, time: float, drift: float, *, least: float) -> _Path:
        """The paths that stay inside ±bound·√time; ``least`` is the smaller of the steps before and after it."""
        step, edge = time - self.time, min(bound, REACH) * math.sqrt(time)
        low, high = -edge, edge
        if bound > REACH:
            low, high = low + min(drift, 0) * time, high + max(drift, 0) * time
        panels = min(max(math.ceil((high - low) / (3 * math.sqrt(least))), 4), 400)
        ends = np.linspace(low, high, panels + 1)
        half = (ends[1:] - ends[:-1])[:, None] / 2
        x = ((ends[1:] + ends[:-1])[:, None] / 2 + half * NODES).ravel()
        gap = (x[:, None] - self.x - drift * step) / math.sqrt(step)
        density = np.exp(-0.5 * gap * gap) @ self.mass / math.sqrt(2 * math.pi * step)
        return _Path(x, density * (half * WEIGHTS).ravel(), time)


@lru_cache(maxsize=4096)
def _spending_bounds(times: tuple[float, ...], alpha: float, final: bool) -> tuple[float, ...]:
    bounds: list[float] = []
    path, spent = _Path.start(), 0.0
    for k, time in enumerate(times):
        last = k == len(times) - 1
        total = alpha if last and final else spending(time, alpha)
        bounds.append(_bound(path, time, (total - spent) / 2))
        spent = total
        if not last:
            path = path.step(bounds[-1], time, 0.0, least=min(time - path.time, times[k + 1] - time))
    return tuple(bounds)


def _bound(path: _Path, time: float, tail: float) -> float:
    """The bound beyond which ``tail`` of the paths lie on each side."""
    from scipy import optimize, special

    if tail <= LEAST:
        return math.inf

    middle = path.x / math.sqrt(time - path.time)
    scale = math.sqrt(time / (time - path.time))

    def excess(bound: float) -> float:
        return math.log(max(float(path.mass @ special.ndtr(middle - bound * scale)), 1e-320)) - wanted

    wanted = math.log(tail)
    if excess(0.0) <= 0:
        return 0.0
    return float(optimize.brentq(excess, 0.0, 40.0, xtol=1e-11))


def _root(excess: Callable[[float], float], low: float = 0.1, high: float = 10.0) -> float:
    """Where a falling function is 0."""
    from scipy import optimize

    return float(optimize.brentq(excess, low, high, xtol=1e-10))


def _checked(times: Sequence[float]) -> tuple[float, ...]:
    when = tuple(float(t) for t in times)
    if not 0 < len(when) <= MOST_LOOKS:
        raise ValueError(f"a test has 1 to {MOST_LOOKS} looks, not {len(when)}")
    if not when[0] > 0 or not all(a < b for a, b in pairwise(when)) or not math.isfinite(when[-1]):
        raise ValueError(f"the information must rise from look to look: {when}")
    return when
