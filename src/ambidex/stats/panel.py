"""Units followed over time, some of them treated from one date on: difference in differences, plain and synthetic.

Inference does not lean on many treated units: an effect is set against the effects that the same method finds
where there was none, in units that were never treated (placebos in space).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.compare import Level, difference
from ambidex.stats.estimate import Estimate

__all__ = [
    "Panel",
    "Synthetic",
    "clustered_se",
    "cross_section",
    "did",
    "did_value",
    "placebo_in_time",
    "placebos_in_space",
    "pre_trend",
    "synthetic",
    "synthetic_did",
]

Floats = npt.NDArray[np.float64]

MANY = 10
"""Treated and untreated units from which their spread is estimated from themselves; below, placebos stand in."""
DRAWS = 300
"""Sets of never-treated units that are tried as if treated, where there are more sets than that."""
FIRM = 1e6
"""Weight of "the weights add up to 1" against one unit of the standardised outcome."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A balanced panel.

    Attributes:
        y: Outcomes, shape (units, periods), periods in order.
        treated: Which units are treated from ``start`` on, shape (units,); some, not all.
        start: Index of the first treated period, >= 1.
    """

    y: Floats
    treated: npt.NDArray[np.bool_]
    start: int

    def __post_init__(self) -> None:
        if not 1 <= self.start < self.y.shape[1] or not 0 < self.treated.sum() < len(self.treated):
            raise ValueError("a panel needs a period before and after, a treated unit and an untreated one")
        if not np.isfinite(self.y).all():
            raise ValueError("an outcome is missing")

    @property
    def after(self) -> int:
        """Treated periods."""
        return int(self.y.shape[1] - self.start)


@dataclass(frozen=True, slots=True, eq=False)
class Synthetic:
    """A synthetic difference in differences.

    Attributes:
        value: Mean effect per treated unit and period.
        units: Weight of each untreated unit, in their order; they add up to 1.
        times: Weight of each period before the start; they add up to 1.
        shift: Level of the treated less that of the weighted controls, over the weighted periods before.
        path: What the treated would have shown, by period: the weighted controls plus ``shift``.
    """

    value: float
    units: Floats
    times: Floats
    shift: float
    path: Floats


def did_value(panel: Panel) -> float:
    """(after - before) of the treated less that of the untreated.

    >>> did_value(Panel(np.array([[1.0, 1, 5, 5], [2, 2, 3, 3]]), np.array([True, False]), 2))
    3.0
    """
    change = _changes(panel)
    return float(change[panel.treated].mean() - change[~panel.treated].mean())


def did(panel: Panel, *, name: str = "effect", alpha: float = 0.05, seed: int = 0, **labels: Any) -> Estimate:
    """Difference in differences.

    With ``MANY`` units on both sides each unit's change is one number and Welch's t compares them (the units may
    be correlated with themselves over time as they like). With fewer, placebos in space give the bounds.

    Source: Bertrand, Duflo & Mullainathan (2004), QJE 119, section IV.C: collapse to before and after.
    """
    labels = {"unit": "", **labels}
    n1, n0 = int(panel.treated.sum()), int((~panel.treated).sum())
    if min(n1, n0) >= MANY:
        change = _changes(panel)
        e = difference(
            _level(change[panel.treated]), _level(change[~panel.treated]), name=name, alpha=alpha,
            **{**labels, "method": "difference in differences, Welch's t on the change of each unit"},
        )  # fmt: skip
        return replace(e, kind="effect")
    method = "difference in differences, placebos in space"
    return _by_placebos(panel, did_value(panel), method, did_value, name, alpha, seed, labels)


def synthetic_did(panel: Panel, *, name: str = "effect", alpha: float = 0.05, seed: int = 0, **labels: Any) -> Estimate:
    """Synthetic difference in differences with placebos in space.

    p is the rank of |effect| among the placebos and itself; the bounds invert that test.

    Source: Arkhangelsky, Athey, Hirshberg, Imbens & Wager (2021), AER 111, 4088-4118, algorithms 1 and 4.
    """
    method = "synthetic difference in differences, placebos in space"
    value = synthetic(panel).value
    return _by_placebos(panel, value, method, lambda p: synthetic(p).value, name, alpha, seed, {"unit": "", **labels})


def synthetic(panel: Panel) -> Synthetic:
    """Weights on units and periods that make the untreated move as the treated did before, then the difference.

    Both fits have an intercept and weights >= 0 that add up to 1. Ridge of the units: ζ²·T_pre with
    ζ = (N_tr·T_post)^¼·sd of the controls' first differences before the start; of the periods: almost none.

    Source: Arkhangelsky et al. (2021), eq. 2.1-2.4.

    >>> y = np.array([[0.0, 1, 2, 8], [0, 1, 2, 3], [1, 2, 3, 4]])
    >>> round(synthetic(Panel(y, np.array([True, False, False]), 3)).value, 6)
    5.0
    """
    k = panel.start
    controls, treated = panel.y[~panel.treated], panel.y[panel.treated].mean(axis=0)
    before, after = controls[:, :k], controls[:, k:].mean(axis=1)
    steps = np.diff(before, axis=1)
    noise = float(steps.std(ddof=1)) if steps.size > 1 else 0.0
    zeta = (int(panel.treated.sum()) * panel.after) ** 0.25 * noise
    units = _weights(before.T, treated[:k], zeta * math.sqrt(k))
    times = _weights(before, after, 1e-6 * noise * math.sqrt(len(controls)))
    line = units @ controls
    shift = float(times @ (treated[:k] - line[:k]))
    value = float(treated[k:].mean() - line[k:].mean()) - shift
    return Synthetic(value, units, times, shift, line + shift)


def cross_section(
    y: Floats,
    treated: npt.NDArray[np.bool_],
    after: npt.NDArray[np.bool_],
    covariates: Floats,
    *,
    name: str = "effect",
    alpha: float = 0.05,
    **labels: Any,
) -> tuple[Estimate, float]:
    """Difference in differences where other units are seen before and after: least squares with the interaction.

    Args:
        y: Outcome, shape (n,).
        treated: Who belongs to the treated group, shape (n,).
        after: Who is seen after the start, shape (n,).
        covariates: Shape (n, k); k may be 0.
        name: Shown name.
        alpha: Two-sided error rate.
        **labels: Labels of the estimate.

    Returns:
        The interaction's coefficient with its HC2 error, and its error if all units spread alike.

    Source: Wooldridge (2010), section 6.5.2; MacKinnon & White (1985) for HC2.
    """
    from ambidex.stats.regression import linear

    d, post = treated.astype(np.float64), after.astype(np.float64)
    scale = covariates.std(axis=0)
    extra = (covariates - covariates.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    x = np.column_stack([np.ones(len(y)), d * post, d, post, extra])
    fit = linear(x, y)
    value, se = float(fit.coefficients[1]), float(fit.errors[1])
    design = x[:, fit.kept]
    residual = y - design @ fit.coefficients[fit.kept]
    inverse = np.linalg.inv(design.T @ design)
    place = int(fit.kept[:1].sum())
    alike = math.sqrt(float(residual @ residual) / fit.df * float(inverse[place, place]))
    base = Estimate(
        name=name, kind="effect", value=value, low=-math.inf, high=math.inf, n=len(y), level=1 - alpha, se=se,
        law=laws.student(fit.df), p_value=laws.student_p(value / se, fit.df) if se > 0 else None,
        **{"method": "difference in differences, least squares, HC2", **labels},
    )  # fmt: skip
    return base.at(alpha), alike


def placebos_in_space(panel: Panel, value: Any, *, seed: int = 0) -> Floats:
    """Effects that the method finds when as many never-treated units are taken as treated.

    Every unit in turn where one was treated; else ``DRAWS`` sets by lot. Empty where too few are untreated.

    Args:
        panel: Its treated units are left out.
        value: Takes a panel, returns the effect.
        seed: Of the lot.
    """
    controls, n1 = panel.y[~panel.treated], int(panel.treated.sum())
    n0 = len(controls)
    if n0 < n1 + 1 or n0 < 2:
        return np.empty(0)
    rng = np.random.default_rng(seed)
    sets = [np.array([i]) for i in range(n0)] if n1 == 1 else [rng.choice(n0, n1, replace=False) for _ in range(DRAWS)]
    out = np.empty(len(sets))
    for j, chosen in enumerate(sets):
        treated = np.zeros(n0, dtype=bool)
        treated[chosen] = True
        out[j] = value(Panel(controls, treated, panel.start))
    return out


def placebo_in_time(panel: Panel, *, alpha: float = 0.05, seed: int = 0) -> Estimate | None:
    """The synthetic effect of a start that never was, two thirds into the time before; None with fewer than 4 periods.

    The true periods with treatment are left out, so the effect is 0 unless the method is misled.
    """
    if panel.start < 4:
        return None
    fake = Panel(panel.y[:, : panel.start], panel.treated, max(2, (2 * panel.start) // 3))
    return synthetic_did(fake, name="placebo in time", alpha=alpha, seed=seed)


def pre_trend(panel: Panel, *, alpha: float = 0.05, seed: int = 0) -> Estimate | None:
    """Did the treated run away from the untreated before the start? Difference of their slopes a period.

    None with fewer than 3 periods before. A unit's slope is one number, compared as ``did`` compares changes.
    """
    k = panel.start
    if k < 3:
        return None
    time = np.arange(k) - (k - 1) / 2
    slopes = panel.y[:, :k] @ time / float(time @ time)
    flat = Panel(np.column_stack([np.zeros(len(slopes)), slopes]), panel.treated, 1)
    return did(flat, name="pre-trend", alpha=alpha, seed=seed)


def clustered_se(panel: Panel) -> float:
    """Standard error of the two-way fixed effects coefficient, clustered by unit (CR1).

    With few treated units it is far too small; shown beside, never judged by.

    Source: Liang & Zeger (1986); G/(G-1)·(N-1)/(N-k), k all coefficients, those of
    the units included.
    """
    n, t = panel.y.shape
    d = np.zeros((n, t))
    d[panel.treated, panel.start :] = 1.0

    def within(a: Floats) -> Floats:
        out: Floats = a - a.mean(axis=1, keepdims=True) - a.mean(axis=0, keepdims=True) + a.mean()
        return out

    x, y = within(d), within(panel.y)
    residual = y - did_value(panel) * x
    scores = (x * residual).sum(axis=1)
    k = n + t  # the treatment, n units and t - 1 periods
    small = n / (n - 1) * (n * t - 1) / (n * t - k)
    return math.sqrt(small * float(scores @ scores)) / float((x * x).sum())


def _changes(panel: Panel) -> Floats:
    out: Floats = panel.y[:, panel.start :].mean(axis=1) - panel.y[:, : panel.start].mean(axis=1)
    return out


def _level(values: Floats) -> Level:
    return Level(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(len(values)), len(values), "mean")


def _by_placebos(
    panel: Panel, value: float, method: str, of: Any, name: str, alpha: float, seed: int, labels: dict[str, Any]
) -> Estimate:
    n = len(panel.treated)
    base = Estimate(
        name=name, kind="effect", value=value, low=-math.inf, high=math.inf, n=n, level=1 - alpha, method=method,
        **labels,
    )  # fmt: skip
    found = placebos_in_space(panel, of, seed=seed)
    if len(found) < 2 or float(np.abs(found).max()) == 0:
        return base
    p = (1 + int((np.abs(found) >= abs(value)).sum())) / (len(found) + 1)
    se = float(np.sqrt((found**2).mean()))
    return replace(base, se=se, law=laws.placebos(found), p_value=p).at(alpha)


def _weights(x: Floats, y: Floats, ridge: float) -> Floats:
    """Weights w >= 0 that add up to 1, with a free intercept: least ‖y - w₀ - xw‖² + ridge²‖w‖²."""
    from scipy import optimize

    k = x.shape[1]
    if k == 1:
        return np.ones(1)
    centred, target = x - x.mean(axis=0), y - y.mean()
    scale = float(np.abs(centred).max()) or 1.0
    rows = np.vstack([centred / scale, np.eye(k) * (ridge / scale), np.full((1, k), FIRM)])
    sides = np.concatenate([target / scale, np.zeros(k), [FIRM]])
    found, _ = optimize.nnls(rows, sides, maxiter=50 * k)
    total = float(found.sum())
    out: Floats = found / total if total > 0 else np.full(k, 1.0 / k)
    return out
