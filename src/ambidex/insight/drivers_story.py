"""What is told of the drivers: the factors worth telling, and where along each the outcome differs most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.insight.common import common_levels, enough
from ambidex.insight.factors import Factor
from ambidex.insight.outcome import Outcome
from ambidex.report.answer import Figure
from ambidex.report.words import number, points, share, signed, signed_points
from ambidex.stats import effects, laws
from ambidex.stats.design import MISSING, OTHER, Category
from ambidex.stats.estimate import Estimate

__all__ = ["SHOWN", "Contrast", "Story", "contrast", "finite", "level_name", "levels_figure", "turned"]

Floats = npt.NDArray[np.float64]

SHOWN = 8
ROWS_OF_A_VALUE = 50
"""Rows with exactly one value from which their own mean is told; the fitted curve is for values that are rarer."""

PERCENTILES = (0.05, 0.25, 0.50, 0.75, 0.95)


@dataclass(frozen=True)
class Contrast:
    """The two values of a column between which the outcome differs most.

    Attributes:
        high: Value with the higher outcome, in words. ``low``: the other.
        at_high: Outcome there, on its own (share or mean). ``at_low``: at the other.
        effect: From the lower to the higher value (category: against the base), other columns held equal.
        label: Of the effect, for pictures.
    """

    high: str
    low: str
    at_high: float
    at_low: float
    effect: Estimate
    label: str


@dataclass(frozen=True)
class Story:
    """What is told.

    Attributes:
        outcome: The outcome.
        y: Its values, shape (n,).
        factors: All factors, most important first.
        fit: AUC or R² on rows not fitted, or None.
        halves: Half-samples of the ranking.
        suspects: Columns that predict suspiciously well alone.
        leaks: Columns left out because they give the outcome away.
    """

    outcome: Outcome
    y: Floats
    factors: Sequence[Factor]
    fit: Estimate | None
    halves: int
    suspects: dict[str, float]
    leaks: tuple[str, ...] = ()

    @property
    def binary(self) -> bool:
        """True for a yes/no outcome."""
        return self.outcome.task == "binary"

    @cached_property
    def set_aside(self) -> list[str]:
        """Suspects that go with the outcome, where the headline is another column's."""
        if not self.top or self.top[0].name in self.suspects:
            return []
        return [f.name for f in self.top if f.name in self.suspects]

    @property
    def events(self) -> float:
        """Rows with the rarer outcome; all rows for a number."""
        return float(min(self.y.sum(), len(self.y) - self.y.sum())) if self.binary else float(len(self.y))

    @cached_property
    def top(self) -> list[Factor]:
        """Factors to tell of: supported, one of each group of twins, suspects last."""
        told = [f for f in self.factors if f.supported and f.head and f.effects]
        return sorted(told, key=lambda f: (f.name in self.suspects, f.name in self.thin))

    @cached_property
    def thin(self) -> set[str]:
        """Columns with no two values that have enough rows each; they are told of last."""
        return {f.name for f in self.factors if not _has_two(f, self)}

    @cached_property
    def contrasts(self) -> dict[str, Contrast]:
        """The widest difference of each factor that is told of."""
        return {f.name: contrast(f, self) for f in self.top[:SHOWN]}

    def level(self, x: float) -> str:
        """A level of the outcome as text."""
        return share(x) if self.binary else number(x)

    def gap(self, x: float, *, sign: bool = False) -> str:
        """A difference of the outcome as text; points are given times 100."""
        if self.binary:
            return (
                signed_points(x / 100, 0 if abs(x) >= 10 else 1)
                if sign
                else points(abs(x) / 100, 0 if abs(x) >= 10 else 1)
            )
        return signed(x) if sign else number(abs(x))


def contrast(factor: Factor, story: Story) -> Contrast:
    """Where the outcome is highest and lowest along a column, and what is left with the others held equal."""
    assert factor.together is not None
    if isinstance(factor.term, Category):
        told = common_levels(factor.term, factor.values, story.y, binary=story.binary)
        known = [e for e in factor.effects if told[str(e.category)][0] and told[str(e.base)][0]] or factor.effects
        clear = [e for e in known if e.low > 0 or e.high < 0] or known
        effect = max(clear, key=lambda e: abs(e.value))
        codes = factor.term.codes(factor.values)
        place = 1 + factor.term.labels.index(str(effect.category))
        here, base = float(story.y[codes == place].mean()), float(story.y[factor.values == effect.base].mean())
        names = (level_name(str(effect.category)), level_name(str(effect.base)))
        label = f"{factor.name}: {names[0]} against {names[1]}"
        if here >= base:
            return Contrast(names[0], names[1], here, base, effect, label)
        return Contrast(names[1], names[0], base, here, effect, label)
    values = factor.values[np.isfinite(factor.values)]
    ends = np.unique(np.quantile(values, PERCENTILES, method="inverted_cdf"))
    if len(ends) < 2:  # one value in most rows: against the middle of the others, not against the furthest
        rest = values[values != ends[0]]
        ends = np.unique([ends[0], float(np.quantile(rest, 0.5, method="inverted_cdf"))])
    rows = factor.term.matrix(ends)
    held = effects.held_equal(factor.together, factor.matrix, factor.place, list(rows))
    i, j = sorted((int(np.argmin(held)), int(np.argmax(held))))
    change = effects.between(factor.term, float(ends[i]), float(ends[j]))
    unit = "" if story.binary else story.outcome.name
    effect = effects.average_effect(
        factor.together, factor.matrix, factor.place, change, name=factor.name, unit=unit, adjusted=True
    )
    effect = replace(effect, q_value=factor.link.q_value if factor.link else None)
    own = np.column_stack([np.ones(2), factor.term.matrix(ends[[i, j]])]) @ factor.alone.coefficients
    alone = 1 / (1 + np.exp(-own)) if story.binary else own
    there = [story.y[factor.values == ends[k]] for k in (i, j)]
    if min(map(len, there)) >= ROWS_OF_A_VALUE:  # as counted, not as the curve has it
        alone = np.array([float(rows_.mean()) for rows_ in there])
    a, b = number(float(ends[i])), number(float(ends[j]))
    label = f"{factor.name}: {b} against {a}"
    if alone[1] >= alone[0]:
        return Contrast(b, a, float(alone[1]), float(alone[0]), effect, label)
    return Contrast(a, b, float(alone[0]), float(alone[1]), effect, label)


def _has_two(f: Factor, story: Story) -> bool:
    if isinstance(f.term, Category):
        told = common_levels(f.term, f.values, story.y, binary=story.binary)
        return told[f.term.levels[0]][0] and sum(ok for ok, _ in told.values()) > 1
    seen, counts = np.unique(f.values[np.isfinite(f.values)], return_counts=True)
    most = f.values == seen[np.argmax(counts)]
    rest = np.isfinite(f.values) & ~most
    return enough(rest, story.y, binary=story.binary) and (len(seen) > 2 or enough(most, story.y, binary=story.binary))


def turned(c: Contrast) -> bool:
    """True if the difference has the other sign once the other columns are held equal."""
    higher_first = c.label.split(": ", 1)[-1].startswith(c.high + " against")
    return (c.effect.value > 0) != higher_first and c.at_high != c.at_low


def level_name(label: str) -> str:
    return {MISSING: "missing", OTHER: "one of the rare values"}.get(label, label)


def levels_figure(story: Story, f: Factor) -> Figure:
    """Outcome by level or by range of the column, on its own."""
    groups: list[tuple[str, npt.NDArray[np.bool_]]] = []
    if isinstance(f.term, Category):
        codes = f.term.codes(f.values)
        labels = [f.term.levels[0], *f.term.labels]
        groups = [(level_name(label), codes == i if i else f.values == label) for i, label in enumerate(labels)]
        c = story.contrasts.get(f.name)
        named = (c.high, c.low) if c else ()
        groups = sorted(groups, key=lambda g: (g[0] not in named, -int(g[1].sum())))[:8]
        groups.sort(key=lambda g: -float(story.y[g[1]].mean()) if g[1].any() else 0.0)
    else:
        seen = f.values[np.isfinite(f.values)]
        distinct = np.unique(seen)
        if len(distinct) <= 6:
            groups = [(number(float(v)), f.values == v) for v in distinct]
        else:
            edges = np.unique(np.quantile(seen, [0, 0.2, 0.4, 0.6, 0.8, 1.0], method="inverted_cdf"))
            for i, (a, b) in enumerate(pairwise(edges)):
                inside = (f.values >= a if i == 0 else f.values > a) & (f.values <= b)
                lower = a if i == 0 else float(seen[seen > a].min())
                groups.append((number(float(b)) if lower == b else f"{number(lower)} to {number(float(b))}", inside))
        gone = ~np.isfinite(f.values)
        if gone.sum() >= 10:
            groups.append(("missing", gone))
    rows = [_dot(story, label, mask) for label, mask in groups if mask.any()]
    word = story.outcome.words
    best, least = max(rows, key=lambda r: r["value"]), min(rows, key=lambda r: r["value"])
    return Figure(
        form="interval-dots",
        title=f"{word} by {f.name}",
        subtitle=f"{'share' if story.binary else 'mean'} of rows, on its own; lines are 95% intervals",
        unit="share" if story.binary else story.outcome.name,
        rows=tuple(rows),
        sentence=(
            f"{word} is {story.level(best['value'])} at {best['label']} "
            f"and {story.level(least['value'])} at {least['label']}."
        ),
    )


def _dot(story: Story, label: str, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    y = story.y[mask]
    n, mean = len(y), float(y.mean())
    if story.binary:
        low, high = laws.wilson(float(y.sum()), n, 0.05)
        return {"label": label, "value": mean, "low": low, "high": high, "n": n}
    half = 1.96 * float(y.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    return {"label": label, "value": mean, "low": finite(mean - half), "high": finite(mean + half), "n": n}


def finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
