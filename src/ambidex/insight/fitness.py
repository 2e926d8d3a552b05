"""How well the readable model does on rows it was not fitted on, and what a boosted challenger does there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.bundle.additive import PENALTY, AdditiveScorer, fit_columns
from ambidex.insight.response import Response
from ambidex.records import Schema
from ambidex.stats import laws
from ambidex.stats.challenger import boosted
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.cox import cox
from ambidex.stats.design import Design, category, number
from ambidex.stats.discrimination import delong, delong_paired, fold_inflation
from ambidex.stats.estimate import Estimate
from ambidex.stats.survival import concordance

__all__ = ["Fitness", "Price", "challenge", "fitness"]

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

FOLDS = 5
LAST = 0.3
"""Share of the rows, latest by time, that the fit is measured on where ``--time`` orders them."""

COMMON = 2_000
"""Rows that every fold's model scores, to see how far the models agree."""

CHALLENGED = 500
"""Rows below which no challenger is fitted: its trees need them, and the interval would tell nothing."""

MANY = 50_000
"""Rows beyond which the challenger is measured on one fold of the five."""

WORTH = 0.01
"""AUC or R² that an unreadable model must bring to be worth it."""


@dataclass(frozen=True, eq=False)
class Fitness:
    """How well the readable model tells rows it was not fitted on.

    Attributes:
        estimate: AUC, R² or concordance, with its interval.
        scores: Of the rows scored, NaN elsewhere, shape (n,).
        folds: Rows held out in turn.
        inflation: See ``fold_inflation``.
    """

    estimate: Estimate
    scores: Floats
    folds: tuple[Mask, ...]
    inflation: float


@dataclass(frozen=True, slots=True)
class Price:
    """What reading costs: the challenger's figure, the difference with its interval, the verdict.

    Attributes:
        challenger: AUC or R² of the boosted trees on the same rows.
        readable: The readable model's there.
        difference: Challenger less readable.
        verdict: Of the claim that the challenger is better by more than ``WORTH``.
    """

    challenger: Estimate
    readable: Estimate
    difference: Estimate
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """The object under ``fit`` in the JSON contract."""
        e = self.difference
        return {
            "name": "gradient boosted trees",
            "value": self.challenger.value,
            "low": self.challenger.low,
            "high": self.challenger.high,
            "readable": self.readable.value,
            "difference": e.value,
            "difference_low": e.low,
            "difference_high": e.high,
            "rows": e.n,
            "outcome": self.verdict.outcome,
        }


def fitness(
    columns: Mapping[str, Values], response: Response, *, schema: Schema, seed: int, order: Values | None = None
) -> Fitness:
    """How well the prototype (for a time: a Cox regression on the same terms) tells rows it was not fitted on.

    Five folds by default, rows of one group in one fold; with ``order`` (a rank in time) the last 30% after
    fitting on the rest.
    """
    y, n = response.y, len(response.y)
    folds = _late(order, n, response.groups) if order is not None else _folds(response, seed)
    common = np.random.default_rng([seed, 7]).permutation(n)[:COMMON]
    scores, shared, used = np.full(n, np.nan), [], []
    for held in folds:
        train = ~held
        if not held.any() or float(np.ptp(y[train])) == 0:
            continue
        tell = _fitted({k: v[train] for k, v in columns.items()}, response.take(np.flatnonzero(train)), schema)
        scores[held] = tell({k: v[held] for k, v in columns.items()}, int(held.sum()))
        shared.append(tell({k: v[common] for k, v in columns.items()}, len(common)))
        used.append(held)
    inflation = fold_inflation(np.array(shared)) if len(shared) > 1 else 1.0
    estimate = _measured(response, scores, used, inflation)
    return Fitness(estimate, scores, tuple(used), inflation)


def challenge(columns: Mapping[str, Values], response: Response, plain: Fitness, *, seed: int) -> Price | None:
    """The boosted challenger on the same folds; None where there is nothing to compare it by.

    The difference is paired (DeLong for AUC, row by row for R²), and its variance is widened by the larger of
    the two models' disagreement between folds.
    """
    n = len(response.y)
    if response.kind == "time" or n < CHALLENGED or not columns or not plain.folds:
        return None
    if response.binary and response.events < 10 * FOLDS:
        return None
    folds = plain.folds[:1] if n > MANY else plain.folds
    common = np.random.default_rng([seed, 7]).permutation(n)[:COMMON]
    scores, shared = boosted(columns, response.y, folds, binary=response.binary, seed=seed, common=common)
    both = np.isfinite(scores) & np.isfinite(plain.scores)
    wide = max(fold_inflation(shared), plain.inflation) if len(folds) > 1 else 1.0
    groups = None if response.groups is None else response.groups[both]
    y, one, two = response.y[both], plain.scores[both], scores[both]
    if response.binary:
        difference = delong_paired(y, one, two, name="challenger less readable", inflation=wide, groups=groups)
        challenger = delong(y, two, name="AUC of boosted trees", inflation=wide, groups=groups)
        readable = delong(y, one, inflation=wide, groups=groups)
    else:
        challenger = _r_squared(response, scores, folds, wide, name="R² of boosted trees")
        readable = _r_squared(response, plain.scores, folds, wide)
        difference = _gain(response, plain.scores, scores, folds, wide)
    claim = Claim(measure="the challenger's gain over the readable model", margin=WORTH)
    return Price(challenger, readable, difference, decide(claim, difference))


def _fitted(columns: Mapping[str, Values], response: Response, schema: Schema) -> Any:
    """A function from columns to scores."""
    if response.kind != "time":
        return AdditiveScorer(fit_columns(columns, response.y, schema)).score_columns
    assert response.spells is not None
    terms = tuple(number(k, v) if v.dtype.kind == "f" else category(k, v) for k, v in columns.items())
    design = Design(terms)
    x = design.matrix(columns)
    fit = cox(x, response.spells, penalty=PENALTY)

    def tell(rows: Mapping[str, Values], count: int) -> Floats:
        del count
        out: Floats = design.matrix(rows) @ fit.coefficients
        return out

    return tell


def _measured(response: Response, scores: Floats, folds: Sequence[Mask], inflation: float) -> Estimate:
    scored = np.isfinite(scores)
    groups = None if response.groups is None else response.groups[scored]
    if response.kind == "yesno":
        return delong(response.y[scored], scores[scored], inflation=inflation, groups=groups)
    if response.kind == "number":
        return _r_squared(response, scores, folds, inflation)
    assert response.spells is not None
    fold = np.zeros(len(scores), dtype=np.int64)
    for i, held in enumerate(folds):
        fold[held] = i
    return concordance(
        response.spells.time[scored], response.spells.event[scored], scores[scored], fold=fold[scored],
        inflation=inflation, groups=groups,
    )  # fmt: skip


def _late(order: Values, n: int, groups: npt.NDArray[np.int64] | None) -> list[Mask]:
    """The last part of the rows; a group with any row there is held out whole, unless that leaves none to fit on."""
    rank = np.argsort(np.argsort(order, kind="stable"), kind="stable")
    held = rank >= int((1 - LAST) * n)
    if groups is not None:
        held = np.bincount(groups, weights=held)[groups] > 0
        if held.all():
            held = rank >= int((1 - LAST) * n)
    return [held]


def _folds(response: Response, seed: int) -> list[Mask]:
    """Five folds. For yes/no both outcomes are spread evenly: a fold with more of one leaves fewer of it to fit
    on, so scores pooled over uneven folds rank worse than chance where there is nothing to find.
    """
    y, groups = response.y, response.groups
    rng = np.random.default_rng(seed)
    if groups is None:
        units, weight = np.arange(len(y)), y
    else:
        units, weight = np.arange(int(groups.max()) + 1), np.bincount(groups, weights=y).astype(np.float64)
    shuffled = rng.permutation(len(units))
    if response.binary:
        shuffled = shuffled[np.argsort(weight[shuffled], kind="stable")]
    place = np.empty(len(units), dtype=np.int64)
    place[shuffled] = np.arange(len(units)) % FOLDS
    fold = place if groups is None else place[groups]
    return [fold == k for k in range(FOLDS)]


def _errors(response: Response, scores: Floats, folds: Sequence[Mask]) -> tuple[Floats, Floats, npt.NDArray[np.intp]]:
    """Squared error and squared distance from the training mean of the rows held out, and which they are."""
    y = response.y
    error, spread, rows = [], [], []
    for held in folds:
        error.append((y[held] - scores[held]) ** 2)
        spread.append((y[held] - float(y[~held].mean())) ** 2)
        rows.append(np.flatnonzero(held))
    return np.concatenate(error), np.concatenate(spread), np.concatenate(rows)


def _spread(response: Response, influence: Floats, rows: npt.NDArray[np.intp]) -> float:
    """Standard error of a mean from what each row adds, by groups where there are any."""
    n = len(influence)
    if response.groups is None:
        return float(np.std(influence, ddof=1) / np.sqrt(n))
    sums = np.bincount(response.groups[rows], weights=influence - influence.mean())
    return float(np.sqrt(sums @ sums) / n)


def _r_squared(
    response: Response, scores: Floats, folds: Sequence[Mask], inflation: float, *, name: str = "R²"
) -> Estimate:
    """1 - mean squared error over that of the training mean, with the delta method's error for a ratio."""
    a, b, rows = _errors(response, scores, folds)
    ratio = float(a.mean() / b.mean())
    se = _spread(response, a - ratio * b, rows) / float(b.mean()) * float(np.sqrt(inflation))
    made = Estimate(
        name=name, kind="fit", value=1 - ratio, low=-np.inf, high=1.0, n=len(a), se=se,
        law=laws.normal(ceiling=1.0), method="share of squared error removed, on rows not fitted",
    )  # fmt: skip
    return made.at(0.05)


def _gain(response: Response, one: Floats, two: Floats, folds: Sequence[Mask], inflation: float) -> Estimate:
    """R² of the second score less that of the first, row by row."""
    a1, b, rows = _errors(response, one, folds)
    a2, _, _ = _errors(response, two, folds)
    value = float((a1 - a2).mean() / b.mean())
    se = _spread(response, (a1 - a2) - value * b, rows) / float(b.mean()) * float(np.sqrt(inflation))
    return Estimate(
        name="challenger less readable", kind="difference", value=value, low=-np.inf, high=np.inf, n=len(b), se=se,
        law=laws.normal(), method="squared errors, paired row by row",
        p_value=laws.normal_p(value / se) if se else None,
    ).at(0.05)  # fmt: skip
