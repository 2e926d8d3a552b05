"""Columns that say the same: numbers that move together, and numbers that the others give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ambidex.stats.regression import independent

if TYPE_CHECKING:
    from ambidex.insight.factors import Factor

__all__ = ["COPY", "TWINS", "twins", "worked_out"]

Floats = npt.NDArray[np.float64]

TWINS = 0.8
"""Columns of numbers whose ranks correlate more than this are read together."""
COPY = 0.98
"""A column of numbers that the others give with more than this R² is left out of their common regression."""
MOST_TERMS = 400
"""Coefficients beyond which columns that can be worked out are not looked for."""


def twins(factors: Sequence[Factor]) -> list[list[str]]:
    """Groups of columns of numbers whose ranks move together, chained."""
    numbers = [f for f in factors if f.values.dtype.kind == "f"]
    if len(numbers) < 2:
        return []
    filled = [np.where(np.isfinite(f.values), f.values, getattr(f.term, "impute", 0.0)) for f in numbers]
    ranks = np.column_stack([_ranks(v) for v in filled])
    spread = ranks.std(axis=0)
    rho = np.abs(np.atleast_2d(np.corrcoef(ranks[:, spread > 0], rowvar=False)))
    names = [f.name for f, s in zip(numbers, spread, strict=True) if s > 0]
    group = list(range(len(names)))
    for i in range(len(names)):
        for j in range(i):
            if rho[i, j] > TWINS:
                old, new = group[i], group[j]
                group = [new if g == old else g for g in group]
    return [[n for n, g in zip(names, group, strict=True) if g == k] for k in sorted(set(group)) if group.count(k) > 1]


def _ranks(values: Floats) -> Floats:
    """Ranks from 1, those of equal numbers averaged."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2.0)[place]


def worked_out(main: Sequence[str], by_name: Mapping[str, Factor], x: Floats, places: Mapping[str, slice]) -> list[str]:
    """Columns of numbers that the others give almost exactly (a bill that is the sum of its services)."""
    gone: list[str] = []
    numbers = [n for n in main if by_name[n].values.dtype.kind == "f"]
    while True:
        stay = [n for n in main if n not in gone]
        index = np.concatenate([np.arange(places[n].start, places[n].stop) for n in stay] or [np.empty(0)]).astype(int)
        if not 2 <= len(index) <= MOST_TERMS:
            return gone
        centred = x[:, index] - x[:, index].mean(axis=0)
        spread = centred.std(axis=0)
        centred = centred / np.where(spread > 0, spread, 1.0)
        usable = independent(centred, tolerance=1e-4)
        centred, index = centred[:, usable], index[usable]
        inverse = np.linalg.pinv(centred.T @ centred / len(centred), hermitian=True)
        worst, value = "", COPY
        for name in numbers:
            own = np.flatnonzero((index >= places[name].start) & (index < places[name].stop))
            if name in gone or not 0 < len(own) < len(index):
                continue
            # The inverse of a block of the inverse is what is left of the block once the others are taken out.
            left = float(np.linalg.pinv(inverse[np.ix_(own, own)], hermitian=True)[0, 0])
            if 1 - left > value:
                worst, value = name, 1 - left
        if not worst:
            return gone
        gone.append(worst)
