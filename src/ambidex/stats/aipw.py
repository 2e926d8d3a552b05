"""Effects without randomisation: cross-fitted AIPW, its overlap, and how strong a hidden cause would have to be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from ambidex.stats import laws
from ambidex.stats.design import Number, number
from ambidex.stats.estimate import Estimate
from ambidex.stats.regression import linear, logistic
from ambidex.stats.sensitivity import e_value_of_difference, e_value_of_ratio, robustness_value

__all__ = ["Aipw", "aipw", "aipw_estimate", "kish"]

Floats = npt.NDArray[np.float64]
Learner = Literal["splines", "boosted"]

NEVER, SHARE = 0.01, 0.10
"""Overlap is refused if more than ``SHARE`` of an arm had less than this chance of it, or less of the other."""

FEWEST, PART = 50, 0.02
"""... or if an arm's weights leave fewer than 50 effective units, or 2% of those it has."""

ROWS_EACH = 10
"""Rows of the smaller arm for each column of a spline design; with fewer, numbers enter as straight lines."""

REPEATS, SMALL = 5, 5_000
"""Up to so many units the parts are dealt anew and the fits averaged: dealt once, 445 units move by half an error."""

WIDE = 2_000_000
"""Numbers in a design from which threads pay."""

KNOTTED, OUTER = 400, (0.01, 0.15, 0.5, 0.85, 0.99)
"""From so many values on a number's knots stand at these quantiles."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Aipw:
    """An effect adjusted for what was measured, and what it leans on.

    Attributes:
        estimate: Mean over all units of the outcome if treated less the outcome if not.
        relative: The same as a lift, on the scale of the log ratio; None where a level is not positive.
        treated: Mean outcome if all were treated.
        control: Mean outcome if none were.
        propensity: Chance of treatment, out of fold, shape (n,).
        scores: Each unit's contribution, whose mean is the estimate, shape (n,).
        kish_treated: Effective number of treated units once weighted.
        kish_control: Effective number of controls.
        share_extreme: Share of units whose chance of treatment is below .01 or above .99, in the arm with more of them.
        overlaps: False if the arms are too unlike: the estimate must not be told as an answer.
        why_not: In one sentence, if it does not overlap.
        e_value: Risk ratio that a hidden cause would need with both treatment and outcome to explain the effect
            away, and to move the interval to zero.
        robustness_value: Share of what is left of treatment and outcome that it would have to explain for that.
    """

    estimate: Estimate
    relative: Estimate | None
    treated: float
    control: float
    propensity: Floats
    scores: Floats
    kish_treated: float
    kish_control: float
    share_extreme: float
    overlaps: bool
    why_not: str
    e_value: tuple[float, float]
    robustness_value: tuple[float, float]


def aipw(
    y: ArrayLike,
    treated: ArrayLike,
    covariates: ArrayLike,
    *,
    folds: int = 5,
    seed: int = 0,
    learner: Learner = "splines",
    name: str = "",
    alpha: float = 0.05,
    **labels: Any,
) -> Aipw:
    """Average effect of a treatment that was not dealt by chance, given what was measured before it.

    Chance of treatment and outcome in each arm are fitted on four fifths of the units and read off on the fifth; the
    estimate holds if either of the two fits does.

    Source: Robins, Rotnitzky & Zhao (1994); cross-fitting: Chernozhukov et al. (2018), Econometrics Journal 21, C1-C68,
    eq. 5.3: mean of μ1-μ0+T(y-μ1)/e-(1-T)(y-μ0)/(1-e), standard error sd/√n.

    Args:
        y: Outcomes, shape (n,), finite; 0 and 1 only are taken as a share.
        treated: 1 treated, 0 not, shape (n,).
        covariates: Numbers and indicator columns, shape (n, k); NaN where missing.
        folds: Parts that the units are dealt to.
        seed: Of the parts.
        learner: ``splines``: logistic and linear regression on splines; ``boosted``: gradient-boosted trees.
        name: Shown name.
        alpha: Two-sided error rate of the bounds.
        **labels: ``arm``, ``control``, ``unit``, ``method`` of the estimate.

    Raises:
        ValueError: If lengths differ, treated is not 0 and 1, or an outcome is NaN or infinite.

    >>> rng = np.random.default_rng(1)
    >>> x = rng.normal(size=(1000, 1))
    >>> t = rng.random(1000) < 1 / (1 + np.exp(-x[:, 0]))
    >>> made = aipw(x[:, 0] + 2.0 * t + rng.normal(size=1000), t, x)
    >>> made.overlaps, made.estimate.low < 2 < made.estimate.high
    (True, True)
    """
    outcome, t, x = _checked(y, treated, covariates)
    n, counts = len(outcome), (int((1 - t).sum()), int(t.sum()))
    binary = bool(n) and bool(((outcome == 0) | (outcome == 1)).all())
    labels = {"method": f"AIPW, {folds} folds", "unit": "share" if binary else "", **labels}
    if min(counts) < 2 * folds:
        return _too_few(name, n, alpha, counts, labels)
    design = _design(x, min(counts)) if learner == "splines" else x
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn brings it

    # Threads that wait for each other on a busy machine made 75 small fits take 7 s of CPU, one alone 0.1 s.
    with threadpool_limits(limits=1 if design.size < WIDE else None, user_api="blas"):
        e, mu1, mu0 = _fitted(outcome, t, design, folds, learner, seed, binary=binary)
    return aipw_estimate(outcome, t, mu1, mu0, e, columns=x.shape[1], name=name, alpha=alpha, **labels)


def aipw_estimate(
    y: ArrayLike,
    treated: ArrayLike,
    mu1: ArrayLike,
    mu0: ArrayLike,
    propensity: ArrayLike,
    *,
    columns: int = 0,
    clip: float = NEVER,
    name: str = "",
    alpha: float = 0.05,
    **labels: Any,
) -> Aipw:
    """The estimate and its overlap from fitted chances of treatment and fitted outcomes.

    Args:
        y: Outcomes, shape (n,).
        treated: 1 treated, 0 not, shape (n,).
        mu1: Fitted outcome if treated, shape (n,).
        mu0: Fitted outcome if not, shape (n,).
        propensity: Fitted chance of treatment, shape (n,).
        columns: Covariates behind the fits, which the robustness value takes off the degrees of freedom.
        clip: Weights are taken at no less than this chance and no more than 1 less it.
        name: Shown name.
        alpha: Two-sided error rate of the bounds.
        **labels: ``arm``, ``control``, ``unit``, ``method`` of the estimate.
    """
    outcome, t = np.asarray(y, dtype=np.float64), np.asarray(treated, dtype=np.float64)
    e, one, zero = (np.asarray(a, dtype=np.float64) for a in (propensity, mu1, mu0))
    n, held = len(outcome), np.clip(e, clip, 1 - clip)
    if1 = one + t * (outcome - one) / held
    if0 = zero + (1 - t) * (outcome - zero) / (1 - held)
    scores = if1 - if0
    value, se = float(scores.mean()), float(scores.std(ddof=1)) / math.sqrt(n)
    m1, m0 = float(if1.mean()), float(if0.mean())
    ones, safe = t == 1, np.clip(e, 1e-12, 1 - 1e-12)
    k1, k0 = kish(1 / safe[ones]), kish(1 / (1 - safe[~ones]))
    extreme = (e < NEVER) | (e > 1 - NEVER)
    shares = (float(extreme[~ones].mean()), float(extreme[ones].mean()))
    why_not = _why_not(shares, (k0, k1), (int((~ones).sum()), int(ones.sum())))
    labels = {"method": "AIPW", **labels}
    if not se > 1e-13 * max(abs(m1), abs(m0)):
        estimate = _open(name, value, n, alpha, labels)
    else:
        estimate = Estimate(
            name=name,
            kind="difference",
            value=value,
            low=-math.inf,
            high=math.inf,
            n=n,
            se=se,
            law=laws.normal(),
            p_value=laws.normal_p(value / se),
            **labels,
        ).at(alpha)
    lift = _relative(if1, if0, name, alpha, labels)
    share = bool(((outcome == 0) | (outcome == 1)).all())
    if share and lift is not None:
        strength = e_value_of_ratio(1 + lift.value, 1 + lift.low, 1 + lift.high)
    else:
        strength = e_value_of_difference(value, se, float(outcome.std(ddof=1)), alpha=alpha)
    return Aipw(
        estimate=estimate,
        relative=lift,
        treated=m1,
        control=m0,
        propensity=e,
        scores=scores,
        kish_treated=k1,
        kish_control=k0,
        share_extreme=max(shares),
        overlaps=not why_not,
        why_not=why_not,
        e_value=strength,
        robustness_value=robustness_value(value / se, n - columns - 2, alpha=alpha) if se > 0 else (0.0, 0.0),
    )


def kish(weights: Floats) -> float:
    """Effective number of units: (Σw)²/Σw².

    >>> kish(np.array([1.0, 1, 1, 9]))
    1.7142857142857142
    """
    square = float(weights @ weights)
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def _why_not(shares: tuple[float, float], effective: tuple[float, float], counts: tuple[int, int]) -> str:
    for arm, share, alone, n in zip(("controls", "treated"), shares, effective, counts, strict=True):
        if share > SHARE:
            return f"{100 * share:.0f}% of the {arm} had less than a 1% chance of being on one of the two sides"
        if alone < max(FEWEST, PART * n):
            return f"the {n:,} {arm}, weighted to look like all, count as {alone:.0f}"
    return ""


def _relative(if1: Floats, if0: Floats, name: str, alpha: float, labels: dict[str, Any]) -> Estimate | None:
    m1, m0, n = float(if1.mean()), float(if0.mean()), len(if1)
    if not (m1 > 0 and m0 > 0) or m0 - laws.tail_quantile(alpha) * float(if0.std(ddof=1)) / math.sqrt(n) <= 0:
        return None
    log_se = float((if1 / m1 - if0 / m0).std(ddof=1)) / math.sqrt(n)
    if not log_se > 1e-13:
        return None
    return Estimate(
        name=name,
        kind="relative",
        value=m1 / m0 - 1,
        low=-1.0,
        high=math.inf,
        n=n,
        se=log_se * m1 / m0,
        law=laws.log_normal(log_se),
        p_value=laws.normal_p(math.log(m1 / m0) / log_se),
        **{**labels, "method": f"{labels['method']}, log ratio", "unit": "relative"},
    ).at(alpha)


def _checked(y: ArrayLike, treated: ArrayLike, covariates: ArrayLike) -> tuple[Floats, Floats, Floats]:
    outcome, t = np.asarray(y, dtype=np.float64).ravel(), np.asarray(treated, dtype=np.float64).ravel()
    x = np.asarray(covariates, dtype=np.float64)
    x = x.reshape(len(outcome), -1) if x.size else np.empty((len(outcome), 0))
    if len(t) != len(outcome) or len(x) != len(outcome):
        raise ValueError("outcome, treated and covariates must be as long as each other")
    if not np.isfinite(outcome).all():
        raise ValueError(f"{int((~np.isfinite(outcome)).sum())} outcomes are NaN or infinite")
    if ((t != 0) & (t != 1)).any():
        raise ValueError("treated is 1 or 0")
    return outcome, t, x


def _design(x: Floats, smaller: int) -> Floats:
    """Intercept, splines and missing indicators; straight lines where the smaller arm is too small for splines."""
    least = max(10, smaller // 100)
    blocks = [_curve(x[:, j], least).matrix(x[:, j]) for j in range(x.shape[1])]
    if sum(b.shape[1] for b in blocks) * ROWS_EACH > smaller:
        blocks = [number("", x[:, j], straight=True, least=10).matrix(x[:, j]) for j in range(x.shape[1])]
    return np.column_stack([np.ones(len(x)), *blocks])


def _curve(x: Floats, least: int) -> Number:
    """A spline whose outer knots stand far out: a parabola that is taken for straight there is a bias of .2 errors."""
    made = number("", x, least=least)
    seen = x[np.isfinite(x)]
    if seen.size < KNOTTED or len(made.knots) < 4 or np.unique(seen).size < 20:
        return made
    knots = np.unique(np.quantile(seen, OUTER))
    span = float(knots[-1] - knots[0])
    if knots.size < 4 or float(np.diff(knots).min()) <= 1e-3 * span:
        return made
    scaled = tuple(float(k) for k in (knots - knots[0]) / span)
    return Number("", float(knots[0]), span, scaled, made.impute, made.missing)


def _fitted(
    y: Floats, t: Floats, design: Floats, folds: int, learner: Learner, seed: int, *, binary: bool
) -> tuple[Floats, Floats, Floats]:
    """Chance of treatment, outcome if treated and if not, each read off where it was not fitted; shape (n,) each."""
    n = len(y)
    e, mu1, mu0 = np.zeros(n), np.zeros(n), np.zeros(n)
    times = REPEATS if n <= SMALL and learner == "splines" else 1
    for part in _folds(t, folds, times, seed):
        for fold in range(folds):
            out = part == fold
            fit = ~out
            e[out] += _predict(design[fit], t[fit], design[out], True, learner, seed) / times
            for arm, mu in ((1, mu1), (0, mu0)):
                rows = fit & (t == arm)
                mu[out] += _predict(design[rows], y[rows], design[out], binary, learner, seed) / times
    return e, mu1, mu0


def _folds(t: Floats, folds: int, times: int, seed: int) -> list[npt.NDArray[np.int64]]:
    """Each arm dealt evenly to the parts, as often as asked."""
    rng, out = np.random.default_rng(seed), []
    for _ in range(times):
        part = np.empty(len(t), dtype=np.int64)
        for arm in (0, 1):
            rows = np.flatnonzero(t == arm)
            part[rows] = rng.permutation(np.arange(len(rows)) % folds)
        out.append(part)
    return out


def _predict(x: Floats, y: Floats, new: Floats, binary: bool, learner: Learner, seed: int) -> Floats:
    if float(y.min()) == float(y.max()):
        return np.full(len(new), float(y[0]))
    if learner == "boosted":
        return _boosted(x, y, new, binary, seed)
    from scipy import special

    # A prior of one standard deviation a column: nothing beside a hundred rows, enough where an outcome is separated.
    penalty = np.maximum(x.var(axis=0), 1e-3)
    fit = logistic(x, y, penalty=penalty) if binary else linear(x, y, penalty=penalty)
    line = new @ fit.coefficients
    out: Floats = special.expit(line) if binary else line
    return out


def _boosted(x: Floats, y: Floats, new: Floats, binary: bool, seed: int) -> Floats:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    options = {"max_iter": 100, "learning_rate": 0.06, "max_leaf_nodes": 8, "min_samples_leaf": 20}
    options |= {"early_stopping": False, "random_state": seed}
    if binary:
        out: Floats = HistGradientBoostingClassifier(**options).fit(x, y).predict_proba(new)[:, 1]
    else:
        out = HistGradientBoostingRegressor(**options).fit(x, y).predict(new)
    return out


def _too_few(name: str, n: int, alpha: float, counts: tuple[int, int], labels: dict[str, Any]) -> Aipw:
    return Aipw(
        estimate=_open(name, math.nan, n, alpha, labels),
        relative=None,
        treated=math.nan,
        control=math.nan,
        propensity=np.full(n, math.nan),
        scores=np.full(n, math.nan),
        kish_treated=0.0,
        kish_control=0.0,
        share_extreme=math.nan,
        overlaps=False,
        why_not=f"{counts[1]:,} treated and {counts[0]:,} controls are too few to fit on",
        e_value=(1.0, 1.0),
        robustness_value=(0.0, 0.0),
    )


def _open(name: str, value: float, n: int, alpha: float, labels: dict[str, Any]) -> Estimate:
    """An estimate whose error cannot be told: nothing is decided on it."""
    return Estimate(
        name=name, kind="difference", value=value, low=-math.inf, high=math.inf, n=n, level=1 - alpha, **labels
    )
