"""What is told of the drivers: the factors worth telling, and where along each the outcome differs most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.insight.asking import Asked
from ambidex.insight.common import common_levels, enough
from ambidex.insight.factors import Factor
from ambidex.insight.outcome import Outcome
from ambidex.insight.response import Response
from ambidex.report.answer import Figure
from ambidex.report.words import number, points, share, signed, signed_points
from ambidex.stats import effects
from ambidex.stats.design import MISSING, OTHER, Category
from ambidex.stats.estimate import Estimate

__all__ = ["SHOWN", "Contrast", "Story", "contrast", "finite", "level_name", "levels_figure", "turned"]

Floats = npt.NDArray[np.float64]

SHOWN = 8
ROWS_OF_A_VALUE = 50
"""Rows with exactly one value from which their own mean is told; the fitted curve is for values that are rarer."""

PARTS_OF = 0.2
"""Share of the rows from which one value is a part of a chart by itself; ranges hold about as many."""
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
        response: Its values as the regressions take them.
        asked: What the rows said.
        suspects: Columns left out because they tell the outcome suspiciously well alone.
        leaks: Columns left out because they give the outcome away.
        sentinels: Column -> the number in it that stands for "none" (999 in `pdays`).
    """

    outcome: Outcome
    response: Response
    asked: Asked
    suspects: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()
    sentinels: dict[str, float] = field(default_factory=dict)

    @property
    def y(self) -> Floats:
        """Values of the outcome, shape (n,)."""
        return self.response.y

    @property
    def factors(self) -> Sequence[Factor]:
        """All factors, most important first."""
        return self.asked.analysis.factors

    @property
    def fit(self) -> Estimate | None:
        """AUC, R² or concordance on rows not fitted."""
        return self.asked.fit.estimate if self.asked.fit is not None else None

    @property
    def halves(self) -> int:
        """Half-samples of the ranking."""
        return self.asked.analysis.halves

    @property
    def binary(self) -> bool:
        """True where effects are in points."""
        return self.response.binary

    @property
    def events(self) -> float:
        """Rows with the rarer outcome, ends seen, or all rows."""
        return self.response.events

    @property
    def competing(self) -> bool:
        """True where rows can end in another way than the one asked about."""
        return self.response.ends is not None and int(self.response.ends.max(initial=0)) > 1

    @cached_property
    def top(self) -> list[Factor]:
        """Factors to tell of: supported, one of each group of twins, those with few rows last."""
        told = [f for f in self.factors if f.supported and f.head and f.effects]
        return sorted(told, key=lambda f: f.name in self.thin)

    @cached_property
    def thin(self) -> set[str]:
        """Columns with no two values that have enough rows each; they are told of last."""
        return {f.name for f in self.factors if not _has_two(f, self)}

    @cached_property
    def contrasts(self) -> dict[str, Contrast]:
        """The widest difference of each factor that is told of."""
        return {f.name: contrast(f, self) for f in self.top[:SHOWN]}

    def value(self, name: str, x: float) -> str:
        """A number of a column as text; one that stands for "none" says so."""
        return number(x) + (" (stands for none)" if self.sentinels.get(name) == x else "")

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
        here, base = (story.response.level(m)[0] for m in (codes == place, factor.values == effect.base))
        effect = _among(effect, max(len(known), 1))
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
    effect = effects.average_effect(
        factor.together, factor.matrix, factor.place, change, name=factor.name, unit=story.response.unit, adjusted=True
    )
    effect = _among(effect, len(ends) * (len(ends) - 1) // 2)
    effect = replace(effect, q_value=factor.link.q_value if factor.link else None)
    own = np.column_stack([np.ones(2), factor.term.matrix(ends[[i, j]])]) @ factor.alone.coefficients
    alone = effects.outcome_at(factor.alone, own)
    there = [factor.values == ends[k] for k in (i, j)]
    if min(int(mask.sum()) for mask in there) >= ROWS_OF_A_VALUE:  # as counted, not as the curve has it
        alone = np.array([story.response.level(mask)[0] for mask in there])
    elif story.competing:  # the curve of one end takes the others as cut off: not the share that ends so
        there = [_nearest(factor.values, float(ends[k])) for k in (i, j)]
        alone = np.array([story.response.level(mask)[0] for mask in there])
    a, b = story.value(factor.name, float(ends[i])), story.value(factor.name, float(ends[j]))
    label = f"{factor.name}: {b} against {a}"
    if alone[1] >= alone[0]:
        return Contrast(b, a, float(alone[1]), float(alone[0]), effect, label)
    return Contrast(a, b, float(alone[0]), float(alone[1]), effect, label)


def _nearest(values: npt.NDArray[Any], x: float) -> npt.NDArray[np.bool_]:
    """The twentieth of the rows whose values are nearest to one, fifty at least."""
    far = np.abs(np.where(np.isfinite(values), values, np.inf) - x)
    many = min(max(ROWS_OF_A_VALUE, len(values) // 20), len(values))
    near: npt.NDArray[np.bool_] = far <= np.partition(far, many - 1)[many - 1]
    return near


def _among(effect: Estimate, pairs: int) -> Estimate:
    """Bounds that hold for the widest of so many differences, since that one was picked after looking."""
    if effect.law is None or pairs < 2:
        return effect
    return replace(effect, law=replace(effect.law, among=pairs)).at(0.05)


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


def ranges(seen: Floats) -> list[tuple[float, float]]:
    """About five ranges of a column of numbers, ends included: a value that a fifth of the rows have stands alone.

    >>> ranges(np.r_[np.zeros(80), np.arange(1.0, 21.0)])
    [(0.0, 0.0), (1.0, 20.0)]
    >>> ranges(np.arange(10.0))
    [(0.0, 1.0), (2.0, 3.0), (4.0, 5.0), (6.0, 7.0), (8.0, 9.0)]
    """
    distinct, counts = np.unique(seen, return_counts=True)
    alone = distinct[counts >= PARTS_OF * len(seen)]
    out = [(float(v), float(v)) for v in alone]
    for below, above in pairwise([-np.inf, *alone.tolist(), np.inf]):
        part = seen[(seen > below) & (seen < above)]
        if not len(part):
            continue
        many = max(1, round(len(part) / len(seen) / PARTS_OF))
        ends = np.unique(np.quantile(part, np.arange(1, many + 1) / many, method="inverted_cdf"))
        for low, high in pairwise([-np.inf, *ends.tolist()]):
            out.append((float(part[part > low].min()), float(high)))
    return sorted(out)


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
        groups.sort(key=lambda g: -story.response.level(g[1])[0] if g[1].any() else 0.0)
    else:
        seen = f.values[np.isfinite(f.values)]
        distinct = np.unique(seen)
        if len(distinct) <= 6:
            groups = [(story.value(f.name, float(v)), f.values == v) for v in distinct]
        else:
            for low, high in ranges(seen):
                last = story.value(f.name, high)
                groups.append(
                    (last if low == high else f"{number(low)} to {last}", (f.values >= low) & (f.values <= high))
                )
        gone = ~np.isfinite(f.values)
        if gone.sum() >= 10:
            groups.append(("missing", gone))
    rows = [_dot(story, label, mask) for label, mask in groups if mask.any()]
    word = story.outcome.words
    best, least = max(rows, key=lambda r: r["value"]), min(rows, key=lambda r: r["value"])
    return Figure(
        form="interval-dots",
        title=f"{word} by {f.name}",
        subtitle=f"{_of(story)}, on its own; lines are 95% intervals",
        unit="share" if story.binary else story.outcome.name,
        rows=tuple(rows),
        sentence=(
            f"{word} is {story.level(best['value'])} at {best['label']} "
            f"and {story.level(least['value'])} at {least['label']}."
        ),
    )


def _dot(story: Story, label: str, mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    value, low, high = story.response.level(mask)
    return {"label": label, "value": value, "low": finite(low), "high": finite(high), "n": int(mask.sum())}


def _of(story: Story) -> str:
    if story.response.kind == "time":
        return f"share of rows that ended by {number(story.response.horizon)}"
    return f"{'share' if story.binary else 'mean'} of rows"


def finite(x: float) -> float | None:
    return x if math.isfinite(x) else None
