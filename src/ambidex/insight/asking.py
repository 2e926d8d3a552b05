"""What the rows are asked: each column alone, leaks taken out, all together, the fit with and without suspects."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.insight.factors import Analysis, Factor, alone, analyse
from ambidex.insight.fitness import Fitness, Price, challenge, fitness
from ambidex.insight.interactions import Interaction, interactions
from ambidex.insight.response import Response
from ambidex.insight.screens import Screened, leak
from ambidex.records import Schema
from ambidex.report import words
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.design import LEVELS, Category

__all__ = ["Asked", "ask"]

EXACT_R2 = 0.999
"""Columns that together give a number this well add up to it: the strongest of them is a leak."""

FEW_LEVELS = 10
"""Levels of their own for columns with more than ``LEVELS``, where the rows do not suffice for that many."""

FEWEST = 10
"""Rows with the rarer outcome below which no column is called a leak: chance alone separates so few."""


@dataclass(frozen=True)
class Asked:
    """What the rows said.

    Attributes:
        analysis: The factors.
        fit: How well the readable model tells rows not fitted; None where nothing was fitted.
        tested: The fit's claim: better than chance.
        suspect_fits: Fit with each suspect put back, by column.
        price: What reading costs against boosted trees.
        interactions: Pairs of columns whose effects depend on each other.
        notes: (code, text) cautions.
    """

    analysis: Analysis
    fit: Fitness | None
    tested: tuple[Verdict, ...]
    suspect_fits: dict[str, Fitness]
    price: Price | None
    interactions: tuple[Interaction, ...]
    notes: tuple[tuple[str, str], ...]


def ask(
    screened: Screened, response: Response, schema: Schema, *, keep: Collection[str], seed: int,
    order: npt.NDArray[Any] | None,
) -> Asked:  # fmt: skip
    """Ask.

    Args:
        screened: Columns that may be asked about; leaks and suspects found here are left out of it.
        response: The outcome.
        schema: Outcome and task for the prototype.
        keep: Columns that stay whatever the screens say.
        seed: Of folds and half-samples.
        order: Rank in time of each row, or None.
    """
    notes: list[tuple[str, str]] = []
    factors = alone(screened.columns, response) if len(response.y) > 2 else []
    factors = _without_leaks(factors, screened, response, keep)
    analysis = analyse(factors, response, seed=seed)
    wide = {f.name: f.values for f in factors if _levels(f) > LEVELS}
    if not analysis.enough and wide:
        folded = {f.name: f for f in alone(wide, response, most=FEW_LEVELS)}
        factors = [folded.get(f.name, f) for f in factors]
        analysis = analyse(factors, response, seed=seed)
    if not analysis.enough and factors:
        most = FEW_LEVELS if wide else LEVELS
        factors = alone(screened.columns, response, straight=True, most=most)
        analysis = analyse(factors, response, seed=seed)
        if analysis.enough:
            notes.append(("straight-lines", "too few rows for curves: numbers enter as straight lines"))
    if not analysis.enough:
        return Asked(analysis, None, (), {}, None, (), tuple(notes))
    notes += [_folded(f) for f in factors if f.name in wide]

    def measured() -> Fitness:
        return fitness(screened.columns, response, schema=schema, seed=seed, order=order)

    fit = measured()
    while response.kind == "number" and fit.estimate.value >= EXACT_R2 and len(screened.columns) > 1:
        strongest = max((f for f in factors if f.name not in keep), key=lambda f: f.score, default=None)
        if strongest is None:
            break
        what = f"{strongest.name}: together with other columns it gives {schema.target} exactly"
        screened.leave(strongest.name, "leak", what)
        notes.append(("leak", f"{what}; left out"))
        factors = [f for f in factors if f is not strongest]
        analysis = analyse(factors, response, seed=seed)
        fit = measured()
    useful = decide(
        Claim(measure=f"{fit.estimate.name} on rows not fitted", margin=0.5 if response.binary else 0.0), fit.estimate
    )
    back = {}
    for name, values in list(screened.suspects.items()):
        back[name] = fitness({**screened.columns, name: values}, response, schema=schema, seed=seed, order=order)
        e, figure = back[name].estimate, fit.estimate
        named = figure.name[:1].upper() + figure.name[1:]
        if response.kind == "number" and e.value >= EXACT_R2:
            what = f"{name}: together with other columns it gives {schema.target} exactly"
            screened.relabel(name, "leak", what)
            del screened.suspects[name], back[name]
            notes.append(("leak", f"{what}; left out"))
            continue
        notes.append(
            (
                "after-the-fact",
                f"{name} is left out: {screened.seen[name]}, so it may be known only after {schema.target} is. "
                f"{named} without it {figure.value:.3f}, with it {e.value:.3f}. --keep {name} puts it back",
            )
        )
    price = challenge(screened.columns, response, fit, seed=seed)
    together = interactions(analysis, response)
    return Asked(analysis, fit, (useful,), back, price, together, tuple(notes))


def _levels(factor: Factor) -> int:
    return len(factor.term.levels) + len(factor.term.folded) if isinstance(factor.term, Category) else 0


def _folded(factor: Factor) -> tuple[str, str]:
    assert isinstance(factor.term, Category)
    kept, folded = len(factor.term.levels), len(factor.term.folded)
    rows = int(np.isin(factor.values.astype(str), factor.term.folded).sum())
    return (
        "folded-levels",
        f"{factor.name}: {kept + folded} levels; the {kept} most frequent are read one by one, the other {folded} "
        f"({words.plural(rows, 'row')}) as one, so that the rows suffice",
    )


def _without_leaks(
    factors: list[Factor], screened: Screened, response: Response, keep: Collection[str]
) -> list[Factor]:
    if response.binary and response.events < FEWEST:
        return factors
    out = []
    for factor in factors:
        kind, _, seen = leak(factor.values, response, score=factor.score)
        if kind and factor.name in keep:
            screened.cautions.insert(
                0,
                (
                    "after-the-fact",
                    f"{factor.name} was kept as asked: {seen}; check that it is known before the outcome is",
                ),
            )
        elif kind == "leak":
            screened.leave(factor.name, "leak", f"{factor.name}: {seen}")
            screened.cautions.insert(
                0,
                (
                    "leak",
                    f"{factor.name} ({words.plural(len(response.y), 'row')}) was left out: {seen}, so it is most "
                    f"likely the outcome itself or known only afterwards. --keep {factor.name} puts it back",
                ),
            )
            continue
        elif kind:
            screened.suspect(factor.name, seen)
            continue
        out.append(factor)
    return out
