"""Pairs of columns whose effects depend on each other: few, corrected for how many were looked at, and large enough."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ambidex.insight.factors import Analysis, Factor
from ambidex.insight.response import Response
from ambidex.stats.claim import Verdict
from ambidex.stats.design import MISSING, Category
from ambidex.stats.effects import depends
from ambidex.stats.estimate import Estimate
from ambidex.stats.regression import added_score

__all__ = ["Cell", "Interaction", "interactions"]

Floats = npt.NDArray[np.float64]

LOOKED = 6
"""Columns whose pairs are looked at: the most important ones."""

SHOWN = 3

LEAST_ROWS = 50
"""Rows that each of the four corners of a pair needs to be told of."""

MATTERS = 0.02
"""Difference between two effects that is worth telling: in shares, or in standard deviations of a number."""

ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Cell:
    """The outcome where two columns have given values, as counted.

    Attributes:
        label: As shown (`Contract: Two year, InternetService: DSL`).
        value: Share, mean or share ended, with its 95% interval.
        rows: Rows there.
    """

    label: str
    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, slots=True)
class Interaction:
    """A pair of columns whose effects depend on each other.

    Attributes:
        first, second: The columns.
        gaps: Difference of the first column where the second is at one value, and at the other.
        corners: Outcome at the four combinations, in that order.
        at: The second column's two values.
        apart: Values of the first column that are compared.
        evidence: Score test of their products, as a normal deviate.
        verdict: Of the claim that the effect of one depends on the other, within the family of pairs.
    """

    first: str
    second: str
    gaps: tuple[float, float]
    corners: tuple[Cell, ...]
    at: tuple[str, str]
    apart: tuple[str, str]
    evidence: Estimate
    verdict: Verdict


def interactions(analysis: Analysis, response: Response) -> tuple[Interaction, ...]:
    """Pairs among the most important columns whose products add to the common regression.

    Each pair is tested by the score test, which needs no new fit; Holm over all pairs at ``ALPHA``. Told are at
    most ``SHOWN`` of those supported, by how far the two effects are apart as counted, if they are apart by
    ``MATTERS`` at least.
    """
    fit, x = analysis.main, analysis.matrix
    heads = [f for f in analysis.factors if f.head and f.supported and f.together is fit][:LOOKED]
    if fit is None or len(heads) < 2 or fit.ridge:
        return ()
    scores, weights = response.working(fit, x)
    pairs, found = [], []
    for a, b in combinations(heads, 2):
        products = _products(a, b)
        if products is None:
            continue
        statistic, df, p = added_score(fit, x, products, scores, weights, response.groups)
        pairs.append((a, b))
        found.append((statistic, df, p))
    names = [f"{a.name} × {b.name}" for a, b in pairs]
    made = depends(names, found, n=len(response.y), outcome=response.words, alpha=ALPHA)
    out = []
    for (a, b), (evidence, verdict) in zip(pairs, made, strict=True):
        if verdict.outcome != "supported":
            continue
        told = _told(a, b, response) or _told(b, a, response)
        if told is not None:
            out.append(Interaction(*told, evidence=evidence, verdict=verdict))
    least = MATTERS if response.binary else MATTERS * float(response.y.std())
    large = [i for i in out if abs(i.gaps[1] - i.gaps[0]) >= least]
    large.sort(key=lambda i: -abs(i.gaps[1] - i.gaps[0]))
    return tuple(large[:SHOWN])


def _products(a: Factor, b: Factor) -> Floats | None:
    """Products of two columns' design columns; a number enters by its straight line, so that few are needed."""
    one, two = _few(a), _few(b)
    if not one.shape[1] or not two.shape[1]:
        return None
    out = (one[:, :, None] * two[:, None, :]).reshape(len(one), -1)
    filled: Floats = out[:, (out != 0).sum(axis=0) >= LEAST_ROWS]
    return filled if filled.shape[1] else None


def _few(factor: Factor) -> Floats:
    place = factor.place if isinstance(factor.term, Category) else slice(factor.place.start, factor.place.start + 1)
    assert factor.together is not None
    kept = factor.together.kept[place]
    out: Floats = factor.matrix[:, place][:, kept]
    return out


_Told = tuple[str, str, tuple[float, float], tuple[Cell, ...], tuple[str, str], tuple[str, str]]


def _told(a: Factor, b: Factor, response: Response) -> _Told | None:
    """The outcome at the corners of a pair; None where a corner has too few rows."""
    first, second = _sides(a), _sides(b)
    if first is None or second is None:
        return None
    cells = []
    for at, there in second:
        for apart, here in first:
            mask = there & here
            if int(mask.sum()) < LEAST_ROWS:
                return None
            value, low, high = response.level(mask)
            cells.append(Cell(f"{a.name} {apart}, {b.name} {at}", value, low, high, int(mask.sum())))
    gaps = (cells[1].value - cells[0].value, cells[3].value - cells[2].value)
    return a.name, b.name, gaps, tuple(cells), (second[0][0], second[1][0]), (first[0][0], first[1][0])


def _sides(factor: Factor) -> list[tuple[str, npt.NDArray[np.bool_]]] | None:
    """Two sets of rows of a column: its two most frequent levels, or its lower and upper third."""
    from ambidex.report.words import number

    if isinstance(factor.term, Category):
        levels = [v for v in factor.term.levels[:2] if v != MISSING]
        return [(v, factor.values == v) for v in levels] if len(levels) == 2 else None
    seen = factor.values[np.isfinite(factor.values)]
    values = np.unique(seen)
    if len(values) == 2:
        return [(number(float(v)), factor.values == v) for v in values]
    low, high = (float(v) for v in np.quantile(seen, [1 / 3, 2 / 3], method="inverted_cdf"))
    if low >= high:
        low, high = float(values[0]), float(values[1])
    return [
        (f"up to {number(low)}" if low > values[0] else number(low), factor.values <= low),
        (f"from {number(high)}" if high < values[-1] else number(high), factor.values >= high),
    ]
