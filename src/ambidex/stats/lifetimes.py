"""How often customers come back and what they spend: BG/NBD for orders, gamma-gamma for their value.

Units of time are weeks throughout; x counts repeat *days* (two orders on one day are one).

Source: Fader, Hardie & Lee (2005), Marketing Science 24, 275-284 ("BG/NBD"); Fader, Hardie & Lee (2005),
Journal of Marketing Research 42, 415-430, and Fader & Hardie (2013) note 025 ("gamma-gamma").
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats.estimate import Estimate
from ambidex.stats.laws import log_scale, normal, tail_quantile

__all__ = ["BgNbd", "GammaGamma", "customer_value", "fit_bgnbd", "fit_gamma_gamma", "simulate_bgnbd"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BgNbd:
    """A fitted BG/NBD model.

    Attributes:
        r, alpha: Shape and rate (weeks) of the gamma law of the customers' buying rates.
        a, b: Of the beta law of their chances to leave after an order.
        log_likelihood: In nats.
        covariance: Of (ln r, ln alpha, ln a, ln b), shape (4, 4), without the directions in which the surface is flat.
        n: Customers.
        loose: Parameters that such a direction moves: the data do not hold them.
    """

    r: float
    alpha: float
    a: float
    b: float
    log_likelihood: float
    covariance: Floats
    n: int
    loose: tuple[bool, ...] = (False,) * 4

    @property
    def parameters(self) -> tuple[float, float, float, float]:
        return self.r, self.alpha, self.a, self.b

    def estimates(self) -> list[Estimate]:
        """The four parameters with intervals from the curvature of the log-likelihood in their logarithms."""
        return _parameters(["r", "alpha", "a", "b"], self.parameters, self.covariance, self.loose, self.n, "BG/NBD")

    def expected(self, weeks: float, x: Floats, tx: Floats, t: Floats) -> Floats:
        """Expected order days in the next ``weeks`` of customers with x, tx, T so far (equation 10). Shape (n,).

        >>> m = BgNbd(.242593, 4.413532, .792886, 2.425754, 0.0, np.zeros((4, 4)), 1)
        >>> round(float(m.expected(39, np.array([2.]), np.array([30.43]), np.array([38.86]))[0]), 3)
        1.226
        """
        return _expected(self.parameters, weeks, x, tx, t)

    def alive(self, x: Floats, tx: Floats, t: Floats) -> Floats:
        """Chance that a customer still buys at all. Shape (n,).

        >>> m = BgNbd(.242593, 4.413532, .792886, 2.425754, 0.0, np.zeros((4, 4)), 1)
        >>> round(float(m.alive(np.array([2.]), np.array([30.43]), np.array([38.86]))[0]), 4)
        0.7266
        """
        r, alpha, a, b = self.parameters
        return 1 / (1 + _gone(r, alpha, a, b, x, tx, t))

    def total(self, weeks: float, x: Floats, tx: Floats, t: Floats, *, name: str) -> Estimate:
        """Order days of all these customers in the next ``weeks``, with an interval for what will be seen.

        The interval holds the parameters' error (delta method) and the customers' own chance: a gamma-mixed
        Poisson count each, m + m²/(r+x).
        """
        (rows, _back, counts) = _alike(x, tx, t)

        def total(theta: Floats) -> float:
            return float(_expected(np.exp(theta), weeks, *rows) @ counts)

        theta = np.log(self.parameters)
        value, gradient = total(theta), _gradient(total, theta)
        each = _expected(self.parameters, weeks, x, tx, t)
        own = float((each + each**2 / (self.r + x)).sum())
        variance = float(gradient @ self.covariance @ gradient) + own
        return _summed(name, value, variance, len(x), unit="order days", method="BG/NBD")


@dataclass(frozen=True)
class GammaGamma:
    """A fitted gamma-gamma model of the mean value of an order day.

    Attributes:
        p, q, v: Parameters as in the note.
        log_likelihood: In nats.
        covariance: Of (ln p, ln q, ln v), shape (3, 3).
        n: Customers with a repeat order.
    """

    p: float
    q: float
    v: float
    log_likelihood: float
    covariance: Floats
    n: int
    loose: tuple[bool, ...] = (False,) * 3

    @property
    def parameters(self) -> tuple[float, float, float]:
        return self.p, self.q, self.v

    @property
    def mean(self) -> float:
        """Mean value of an order day over all customers, p·v/(q-1); infinite for q <= 1."""
        return self.p * self.v / (self.q - 1) if self.q > 1 else math.inf

    def estimates(self) -> list[Estimate]:
        """The three parameters with intervals."""
        return _parameters(["p", "q", "v"], self.parameters, self.covariance, self.loose, self.n, "gamma-gamma")

    def expected(self, x: Floats, z: Floats) -> Floats:
        """Expected mean value of a customer with x repeat days at mean value z; x = 0 gives the mean. Shape (n,)."""
        return _expected_value(self.parameters, x, z)


def fit_bgnbd(x: npt.ArrayLike, tx: npt.ArrayLike, t: npt.ArrayLike) -> BgNbd:
    """Fit BG/NBD by maximum likelihood in its log-gamma form.

    Args:
        x: Repeat order days, shape (n,).
        tx: Weeks from the first to the last order, shape (n,), 0 where x is 0.
        t: Weeks from the first order to the end of observation, shape (n,), >= tx.

    Raises:
        ValueError: Fewer than 10 customers, none who came back, or times that contradict each other.
    """
    x, tx, t = (np.asarray(v, dtype=np.float64) for v in (x, tx, t))
    if len(x) < 10 or not (x > 0).any():
        raise ValueError("BG/NBD needs 10 customers, and some who came back")
    if not ((x >= 0) & (tx >= 0) & (t >= tx) & (t > 0) & ((x > 0) == (tx > 0))).all():
        raise ValueError("x, tx and T contradict each other")
    (rows, _, counts) = _alike(x, tx, t)
    scale = float(np.average(rows[2], weights=counts))  # so that all four parameters are near 1

    def loss(theta: Floats) -> float:
        value = -float(_bgnbd(np.exp(theta), rows[0], rows[1] / scale, rows[2] / scale) @ counts)
        return value / len(x) if math.isfinite(value) else 1e10

    begin = np.log([0.5, 0.3, 1.0, 2.0])
    theta, hessian = _minimise(loss, begin)
    # One observation more than none: the density of the times is per week again.
    shift = np.array([0.0, math.log(scale), 0.0, 0.0])
    likelihood = float(_bgnbd(np.exp(theta + shift), *rows) @ counts)
    r, alpha, a, b = np.exp(theta + shift).tolist()
    covariance, loose = _inverse(hessian * len(x))
    return BgNbd(r, alpha, a, b, likelihood, covariance, len(x), loose)


def fit_gamma_gamma(x: npt.ArrayLike, z: npt.ArrayLike) -> GammaGamma:
    """Fit gamma-gamma by maximum likelihood on customers with a repeat order and a value above 0.

    Args:
        x: Repeat order days, shape (n,); rows with x < 1 or z <= 0 are left out.
        z: Mean value of these days, shape (n,).

    Raises:
        ValueError: Fewer than 10 such customers.
    """
    x, z = (np.asarray(v, dtype=np.float64) for v in (x, z))
    usable = (x >= 1) & (z > 0) & np.isfinite(z)
    x, z = x[usable], z[usable]
    if len(x) < 10:
        raise ValueError("gamma-gamma needs 10 customers with a repeat order of value")
    scale = float(z.mean())

    def loss(theta: Floats) -> float:
        value = -float(_gamma_gamma(np.exp(theta), x, z / scale).mean())
        return value if math.isfinite(value) else 1e10

    theta, hessian = _minimise(loss, np.log([4.0, 4.0, 0.8]))
    shift = np.array([0.0, 0.0, math.log(scale)])
    p, q, v = np.exp(theta + shift).tolist()
    likelihood = float(_gamma_gamma(np.exp(theta + shift), x, z).sum())
    covariance, loose = _inverse(hessian * len(x))
    return GammaGamma(p, q, v, likelihood, covariance, len(x), loose)


def customer_value(
    orders: BgNbd, values: GammaGamma, weeks: float, x: Floats, tx: Floats, t: Floats, z: Floats, *, name: str
) -> Estimate:
    """Mean money of these customers in the next ``weeks``: expected order days times expected value, on average.

    The interval is for the mean of such customers: the parameters' error (delta method, the two models apart)
    and the spread of the expectations among them.
    """
    coming, worth = orders.expected(weeks, x, tx, t), values.expected(x, z)
    each = coming * worth
    rows, back, _ = _alike(x, tx, t)
    weights = np.bincount(back, weights=worth)

    def by_orders(theta: Floats) -> float:
        return float(_expected(np.exp(theta), weeks, *rows) @ weights) / len(x)

    def by_values(theta: Floats) -> float:
        return float((coming * _expected_value(np.exp(theta), x, z)).mean())

    one = _gradient(by_orders, np.log(orders.parameters))
    two = _gradient(by_values, np.log(values.parameters))
    variance = float(one @ orders.covariance @ one + two @ values.covariance @ two)
    variance += float(each.var(ddof=1) / len(each)) if len(each) > 1 else 0.0
    return _summed(name, float(each.mean()), variance, len(each), unit="", method="BG/NBD and gamma-gamma")


def simulate_bgnbd(
    n: int, parameters: tuple[float, float, float, float], weeks: Floats, *, seed: int, further: float = 0.0
) -> tuple[Floats, Floats, Floats]:
    """Customers drawn from the model, for calibration: x, tx and order days in ``further`` weeks after T.

    Args:
        n: Customers.
        parameters: r, alpha, a, b.
        weeks: T of each, shape (n,).
        seed: Of the draws.
        further: Weeks after T whose orders are counted.
    """
    rng = np.random.default_rng(seed)
    r, alpha, a, b = parameters
    rate, leave = rng.gamma(r, 1 / alpha, n), rng.beta(a, b, n)
    x, tx, later = np.zeros(n), np.zeros(n), np.zeros(n)
    now, here = np.zeros(n), np.ones(n, dtype=bool)
    while here.any():
        index = np.flatnonzero(here)
        now[index] += rng.exponential(1, len(index)) / np.maximum(rate[index], 1e-300)
        inside, after = now[index] <= weeks[index], now[index] <= weeks[index] + further
        x[index[inside]] += 1
        tx[index[inside]] = now[index[inside]]
        later[index[after & ~inside]] += 1
        here[index] = after & (rng.random(len(index)) >= leave[index])
    return x, tx, later


def _bgnbd(parameters: Any, x: Floats, tx: Floats, t: Floats) -> Floats:
    """Log-likelihood of each customer."""
    from scipy.special import gammaln

    r, alpha, a, b = parameters
    repeat = x > 0
    one = gammaln(r + x) - gammaln(r) + r * math.log(alpha)
    two = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    three = -(r + x) * np.log(alpha + t)
    four = np.where(repeat, math.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + tx), -np.inf)
    out: Floats = one + two + np.logaddexp(three, four)
    return out


def _gone(r: float, alpha: float, a: float, b: float, x: Floats, tx: Floats, t: Floats) -> Floats:
    odds = a / (b + np.maximum(x, 1) - 1) * np.exp((r + x) * (np.log(alpha + t) - np.log(alpha + tx)))
    out: Floats = np.where(x > 0, odds, 0.0)
    return out


def _expected(parameters: Any, weeks: float, x: Floats, tx: Floats, t: Floats) -> Floats:
    from scipy.special import hyp2f1

    r, alpha, a, b = parameters
    if abs(a - 1) < 1e-6:
        a = 1 + 1e-6  # removable: the formula divides 0 by 0 there
    z = weeks / (alpha + t + weeks)
    shrink = np.exp((r + x) * (np.log(alpha + t) - np.log(alpha + t + weeks)))
    bracket = 1 - shrink * hyp2f1(r + x, b + x, a + b + x - 1, z)
    out: Floats = (a + b + x - 1) / (a - 1) * bracket / (1 + _gone(r, alpha, a, b, x, tx, t))
    return np.maximum(out, 0.0)


def _gamma_gamma(parameters: Any, x: Floats, z: Floats) -> Floats:
    from scipy.special import gammaln

    p, q, v = parameters
    out: Floats = (
        gammaln(p * x + q) - gammaln(p * x) - gammaln(q) + q * math.log(v) + (p * x - 1) * np.log(z)
        + p * x * np.log(x) - (p * x + q) * np.log(v + x * z)
    )  # fmt: skip
    return out


def _expected_value(parameters: Any, x: Floats, z: Floats) -> Floats:
    p, q, v = parameters
    known = np.where(x > 0, z, 0.0)
    out: Floats = p * (v + x * known) / np.maximum(p * x + q - 1, 1e-9)
    return out


def _alike(x: Floats, tx: Floats, t: Floats) -> tuple[tuple[Floats, Floats, Floats], npt.NDArray[np.int64], Floats]:
    rows, back, counts = np.unique(np.column_stack([x, tx, t]), axis=0, return_inverse=True, return_counts=True)
    return (rows[:, 0], rows[:, 1], rows[:, 2]), back.ravel(), counts.astype(np.float64)


def _minimise(loss: Callable[[Floats], float], begin: Floats) -> tuple[Floats, Floats]:
    """Minimum and curvature there: Nelder-Mead to come near, BFGS to arrive."""
    from scipy.optimize import minimize

    near = minimize(loss, begin, method="Nelder-Mead", options={"maxiter": 2000, "xatol": 1e-5, "fatol": 1e-9})
    fit = minimize(loss, near.x, method="BFGS", options={"gtol": 1e-9})
    best = fit.x if fit.fun <= near.fun else near.x
    theta: Floats = np.asarray(np.clip(best, -12, 12), dtype=np.float64)
    step, d = 1e-4, len(theta)
    hessian = np.empty((d, d))
    unit = np.eye(d) * step
    for i in range(d):
        for j in range(i, d):
            value = (
                loss(theta + unit[i] + unit[j]) - loss(theta + unit[i] - unit[j])
                - loss(theta - unit[i] + unit[j]) + loss(theta - unit[i] - unit[j])
            ) / (4 * step * step)  # fmt: skip
            hessian[i, j] = hessian[j, i] = value
    return theta, hessian


def _inverse(hessian: Floats) -> tuple[Floats, tuple[bool, ...]]:
    """Covariance from the curvature. A direction without curvature (less than one unit of log-likelihood for a factor
    of e) is left out: what is forecast does not move along it; parameters that do are named."""
    curvature, directions = np.linalg.eigh((hessian + hessian.T) / 2)
    held = curvature > 1.0
    loose = (np.abs(directions[:, ~held]) > 0.3).any(axis=1)
    kept = directions[:, held]
    covariance: Floats = (kept / curvature[held]) @ kept.T
    return covariance, tuple(bool(v) for v in loose)


def _gradient(function: Callable[[Floats], float], theta: Floats) -> Floats:
    step = 1e-4
    unit = np.eye(len(theta)) * step
    return np.array([(function(theta + u) - function(theta - u)) / (2 * step) for u in unit])


def _parameters(
    names: list[str], values: tuple[float, ...], covariance: Floats, loose: tuple[bool, ...], n: int, method: str
) -> list[Estimate]:
    z = tail_quantile(0.05)
    out = []
    for name, value, variance, flat in zip(names, values, np.diag(covariance), loose, strict=True):
        se = math.sqrt(max(variance, 0.0))
        known = not flat and se > 0
        out.append(
            Estimate(
                name=name, kind="parameter", value=value, low=value * math.exp(-z * se) if known else -math.inf,
                high=value * math.exp(z * se) if known else math.inf, n=n, method=method,
                law=log_scale(se) if known else None,
            )
        )  # fmt: skip
    return out


def _summed(name: str, value: float, variance: float, n: int, *, unit: str, method: str) -> Estimate:
    if not (math.isfinite(value) and math.isfinite(variance) and variance >= 0):
        return Estimate(
            name=name, kind="mean", value=value, low=-math.inf, high=math.inf, n=n, unit=unit, method=method
        )
    se, z = math.sqrt(variance), tail_quantile(0.05)
    return Estimate(
        name=name, kind="mean", value=value, low=max(0.0, value - z * se), high=value + z * se, n=n, unit=unit,
        method=method, se=se, law=normal(0.0, math.inf),
    )  # fmt: skip
