"""The statistics of ``drivers``: every column alone and with the others held equal, ranked, judged, measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.insight.common import common_places
from ambidex.insight.overlaps import COPY, TWINS, twins, worked_out
from ambidex.insight.response import Response
from ambidex.insight.steadiness import Steadiness, steadiness
from ambidex.stats import effects, laws
from ambidex.stats.claim import Verdict
from ambidex.stats.design import LEVELS, Category, Design, Term, category, number
from ambidex.stats.estimate import Estimate
from ambidex.stats.families import benjamini_hochberg
from ambidex.stats.regression import Fit
from ambidex.stats.shuffled import shuffled_wald

__all__ = ["Analysis", "Factor", "alone", "analyse"]

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

ALPHA = 0.10
PER_TERM = 10
"""Rows with the rarer outcome that each coefficient needs."""
FEW_GROUPS = 10
"""Groups below which nothing is decided where rows come in groups: their errors are read from the groups."""
LEAST_ROWS = 10
"""Rows that a level needs for a coefficient of its own."""


@dataclass
class Factor:
    """One column of the table as a factor.

    Attributes:
        name: The column.
        term: Its design.
        values: Its values where the outcome is known, shape (n,).
        alone: Regression on this column only.
        score: AUC (yes/no) or R² (number) of that regression on its own rows.
        twins: Columns that move with it; its adjusted effect does not hold them equal.
        together: Regression with the other columns, None if there are too few rows for it.
        place: Where its design columns stand in that regression.
        matrix: That regression's columns.
        effects_alone: Average effects on their own.
        effects: Average effects with the other columns held equal.
        link: Evidence that it goes with the outcome at all.
        verdict: The claim about it, within the family of all columns.
        importance: Share of what all columns account for, the larger the more; see ``effects.importance``.
        steady: In how many of the half-samples it was among the top five.
        head: False for a twin of a stronger column, and for one that the others give almost exactly.
    """

    name: str
    term: Term
    values: Values
    alone: Fit
    score: float
    twins: tuple[str, ...] = ()
    together: Fit | None = None
    place: slice = field(default_factory=lambda: slice(0, 0))
    matrix: Floats = field(default_factory=lambda: np.empty((0, 0)))
    effects_alone: list[Estimate] = field(default_factory=list)
    effects: list[Estimate] = field(default_factory=list)
    link: Estimate | None = None
    verdict: Verdict | None = None
    importance: float = 0.0
    steady: int | None = None
    head: bool = True

    @property
    def supported(self) -> bool:
        """True if the claim that it goes with the outcome is supported."""
        return self.verdict is not None and self.verdict.outcome == "supported"


@dataclass
class Analysis:
    """All factors, most important first, and what was found on the way.

    Attributes:
        factors: Every column that was asked about.
        main: The common regression, or None.
        notes: (code, text) cautions.
        steady: How the ranking fares on half-samples.
        enough: False if there are too few rows for a common regression.
        terms: Coefficients of the common regression (that it would have had).
        matrix: Columns of the common regression, shape (n, k).
        merged: Groups of columns that move together, read as one.
    """

    factors: list[Factor]
    main: Fit | None
    notes: list[tuple[str, str]]
    steady: Steadiness
    enough: bool
    terms: int
    matrix: Floats = field(default_factory=lambda: np.empty((0, 0)))
    merged: Sequence[Sequence[str]] = ()

    @property
    def halves(self) -> int:
        """Half-samples that the ranking was repeated on."""
        return self.steady.halves


def alone(
    columns: Mapping[str, Values], response: Response, *, straight: bool = False, most: int = LEVELS
) -> list[Factor]:
    """Each column on its own; numbers as ``straight`` lines if asked, labels with ``most`` levels of their own."""
    out = []
    y = response.y
    least = LEAST_ROWS if len(y) >= 200 else 5
    for name, values in columns.items():
        term: Term = (
            number(name, values, straight=straight, least=2 * least)
            if values.dtype.kind == "f"
            else category(name, values, least=least, most=most)
        )
        x = np.column_stack([np.ones(len(y)), term.matrix(values)])
        fit = response.fit(x)
        factor = Factor(name, term, values, fit, response.told(fit, x))
        factor.effects_alone = _effects_alone(factor, x, response)
        out.append(factor)
    return out


def analyse(factors: Sequence[Factor], response: Response, *, seed: int) -> Analysis:
    """All columns together: twins, effects with the others held equal, claims, ranking, stability.

    Args:
        factors: What ``alone`` returned, leaks removed.
        response: The outcome.
        seed: Of the half-samples.
    """
    y, outcome, binary = response.y, response.words, response.binary
    notes: list[tuple[str, str]] = []
    if not factors:
        return Analysis([], None, notes, Steadiness(), False, 0)
    by_name = {f.name: f for f in factors}
    full = Design(tuple(f.term for f in factors))
    x_all = full.matrix({f.name: f.values for f in factors})
    places = full.slices
    groups = twins(factors)
    for group in groups:
        for name in group:
            by_name[name].twins = tuple(n for n in group if n != name)
    heads = {max(group, key=lambda n: (by_name[n].score, -list(by_name).index(n))) for group in groups}
    main = [f.name for f in factors if not f.twins or f.name in heads]
    given = worked_out(main, by_name, x_all, places)
    main = [n for n in main if n not in given]

    for factor in factors:
        factor.head = factor.name in main

    def common(names: Sequence[str], *, separated: bool = False) -> tuple[Fit, Floats, Design]:
        design = Design(tuple(by_name[n].term for n in names))
        index = np.concatenate([[0], *(np.arange(places[n].start, places[n].stop) for n in names)]).astype(int)
        x = np.ascontiguousarray(x_all[:, index])
        return response.fit(x, separated=separated), x, design

    terms = sum(by_name[n].term.size for n in main)
    few = response.groups is not None and int(response.groups.max()) + 1 < FEW_GROUPS
    if few or response.events < PER_TERM * max(terms, 1):
        for factor in factors:
            factor.link = _untested(factor, outcome, len(y))
        for factor, verdict in zip(factors, effects.goes_with([_link(f) for f in factors], alpha=ALPHA), strict=True):
            factor.verdict = verdict
        ordered = sorted(factors, key=lambda f: -(f.alone.loglik - f.alone.null))
        return Analysis(ordered, None, notes, Steadiness(), False, terms)

    fit, x, design = common(main)
    shuffle = response.kind == "number" and response.groups is None
    chances = shuffled_wald(x, y, fit, [design.slices[n] for n in main], seed=seed) if shuffle else None
    shuffled = dict(zip(main, chances or (), strict=False))
    for factor in factors:
        if factor.name in main:
            factor.together, factor.matrix, factor.place = fit, x, design.slices[factor.name]
        else:
            others = [n for n in main if n not in factor.twins]
            order = [f.name for f in factors if f.name in others or f.name == factor.name]
            own, own_x, own_design = common(order, separated=fit.ridge > 0)
            factor.together, factor.matrix, factor.place = own, own_x, own_design.slices[factor.name]
            if chances is not None and (twin := shuffled_wald(own_x, y, own, [factor.place], seed=seed)):
                shuffled[factor.name] = twin[0]
        chance = shuffled.get(factor.name)
        factor.link = effects.link(factor.together, factor.place, factor.name, outcome=outcome, p_value=chance)
        told = common_places(factor.term, factor.values, y, factor.place, binary=binary)
        factor.importance = effects.importance(factor.alone, factor.together, told)
    _judge(factors)
    for factor in factors:
        factor.effects = _effects_together(factor, response)
    notes += _said(fit, design, groups, given, by_name, y)
    ordered = sorted(factors, key=lambda f: (not f.supported, not f.head, -f.importance))
    steady = steadiness([f for f in ordered if f.head], response, x_all, places, main, fit, seed=seed)
    return Analysis(ordered, fit, notes, steady, True, terms, x, groups)


def _effects_alone(factor: Factor, x: Floats, response: Response) -> list[Estimate]:
    out = []
    codes = factor.term.codes(factor.values) if isinstance(factor.term, Category) else np.empty(0, dtype=np.int64)
    for change in effects.changes(factor.term, factor.values):
        made = effects.average_effect(
            factor.alone, x, slice(1, x.shape[1]), change, name=factor.name, unit=response.unit, adjusted=False
        )
        if response.binary and isinstance(factor.term, Category):
            # Rows of labels too rare for a coefficient have code 0 as well, but are not of the base.
            base, level = factor.values == change.base, codes == 1 + factor.term.labels.index(str(change.category))
            if not base.any() or not level.any():
                continue
            made = response.apart(made, level, base)
        out.append(made)
    return out


def _effects_together(factor: Factor, response: Response) -> list[Estimate]:
    assert factor.together is not None
    out = []
    own = factor.together.kept[factor.place]
    for change in effects.changes(factor.term, factor.values):
        moved = (change.end != change.start) & ~own
        if isinstance(factor.term, Category) and moved.any():
            continue  # this level says the same as another column: there is nothing left to hold apart
        if not own.any():
            continue
        made = effects.average_effect(
            factor.together, factor.matrix, factor.place, change, name=factor.name, unit=response.unit, adjusted=True
        )
        link = factor.link
        out.append(replace(made, q_value=link.q_value if link else None))
    return out


def _link(factor: Factor) -> Estimate:
    assert factor.link is not None
    return factor.link


def _untested(factor: Factor, outcome: str, n: int) -> Estimate:
    nothing = float("nan")
    return Estimate(
        name=f"{factor.name} and {outcome}",
        kind="check",
        value=nothing,
        low=nothing,
        high=nothing,
        n=n,
        method="not tested: too few rows for all columns together",
        se=1.0,
        law=laws.normal(),
    )


def _judge(factors: Sequence[Factor]) -> None:
    """Claims over the family of all columns, Benjamini-Hochberg at ``ALPHA``."""
    p = [_link(f).p_value for f in factors]
    q = benjamini_hochberg([np.nan if v is None else v for v in p])
    verdicts = effects.goes_with([_link(f) for f in factors], alpha=ALPHA)
    for factor, value, verdict in zip(factors, q, verdicts, strict=True):
        factor.link = replace(_link(factor), q_value=None if np.isnan(value) else float(value))
        factor.verdict = verdict


def _said(
    fit: Fit,
    design: Design,
    groups: Sequence[Sequence[str]],
    given: Sequence[str],
    by_name: Mapping[str, Factor],
    y: Floats,
) -> list[tuple[str, str]]:
    notes: list[tuple[str, str]] = []
    for group in groups:
        first = next(n for n in (*group, group[0]) if by_name[n].head or n == group[-1])
        rest = [n for n in group if n != first]
        notes.append(
            (
                "read-together",
                f"{first} moves with {_and(rest)} (rank correlation above {TWINS:g}): their effects cannot be told "
                "apart. They are read together; the effect of one does not hold the other equal",
            )
        )
    for name in given:
        notes.append(
            (
                "worked-out",
                f"{name} can be worked out from the other columns (R² above {COPY:g}), so the effects of the others "
                "are given without holding it equal",
            )
        )
    aliased = []
    for term in design.terms:
        gone = ~fit.kept[design.slices[term.name]]
        aliased += [f"{term.name} {label}" for label, g in zip(term.labels, gone, strict=True) if g]
    if aliased:
        shown = _and([*aliased[:6], *([f"{len(aliased) - 6} more"] if len(aliased) > 6 else [])])
        notes.append(("aliased", f"{shown}: the same rows as a value of a column before; counted there"))
    if fit.ridge:
        pure = [name for term in design.terms for name in _pure(term, by_name[term.name].values, y)]
        if pure:
            seen = f"{_and(pure[:4])} {'goes' if len(pure) == 1 else 'go'} with one outcome only"
        else:
            seen = "some columns together cannot be told apart, or give the outcome of some rows exactly"
        text = f"{seen}, so there is no finite estimate; effects were held near zero by a weak penalty"
        notes.append(("separation", f"{text} (ridge {fit.ridge:g})"))
    return notes


def _pure(term: Term, values: Values, y: Floats) -> list[str]:
    """Levels of a category whose rows all have the same outcome."""
    if not isinstance(term, Category):
        return []
    codes = term.codes(values)
    labels = (term.levels[0], *term.labels) if term.levels else term.labels
    rows = [y[codes == i] for i in range(len(labels))]
    return [f"{term.name} {label}" for label, r in zip(labels, rows, strict=True) if len(r) and np.ptp(r) == 0]


def _and(names: Sequence[str]) -> str:
    from ambidex.report import words

    return words.listing(list(names))
