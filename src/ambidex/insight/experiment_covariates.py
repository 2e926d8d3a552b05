"""Columns that were there before the assignment, as numbers beside the outcome.

A column of numbers stays one; where it lacks a value the mean of the others stands in, and an indicator column says
so. A column of labels becomes one indicator column for each label but the most frequent; the rarest beyond thirty
are told from none. What was filled in cannot bias a randomised comparison: it is the same rule in every arm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.experiment_metrics import read_values
from ambidex.insight.experiment_units import Assignment, codes_of
from ambidex.stats.summaries import Moments

__all__ = ["LEVELS", "Covariates", "labels_kept", "named"]

Floats = NDArray[np.float64]

LEVELS = 30


@dataclass(frozen=True, eq=False)
class Covariates:
    """Covariates of units.

    Attributes:
        columns: By name, in order. Shape (units,) each; finite where the unit is kept.
    """

    columns: Mapping[str, Floats]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(self.columns)

    @classmethod
    def read(cls, table: Table, names: Sequence[str], who: Assignment, kept: NDArray[np.bool_]) -> Covariates:
        """From a table's columns; ``kept`` are the units that count."""
        columns: dict[str, Floats] = {}
        for name in names:
            columns.update(_column(table, name, who, kept))
        return cls(columns)

    def moments(self, outcome: Mapping[str, Floats], who: Assignment, kept: NDArray[np.bool_]) -> tuple[Moments, ...]:
        """Per arm, of the outcome's columns and these."""
        both = {**outcome, **self.columns}
        return tuple(
            Moments.of({name: values[kept & (who.arm == i)] for name, values in both.items()})
            for i in range(len(who.labels))
        )


def _column(table: Table, name: str, who: Assignment, kept: NDArray[np.bool_]) -> dict[str, Floats]:
    numbers = _numbers(table, name)
    if numbers is None:
        return _indicators(table, name, who)
    if who.unit is not None:
        there = ~np.isnan(numbers) & (who.unit >= 0)
        rows = np.bincount(who.unit[there], minlength=len(who.arm))
        sums = np.bincount(who.unit[there], numbers[there], minlength=len(who.arm))
        numbers = np.where(rows > 0, sums / np.maximum(rows, 1), np.nan)
    absent = np.isnan(numbers)
    known = kept & ~absent
    if not known.any():
        return {}
    if not (kept & absent).any():
        return {name: numbers}
    shift = float(numbers[known][0])
    mean = shift + float((numbers[known] - shift).mean())
    return {name: np.where(absent, mean, numbers), f"{name} missing": absent.astype(np.float64)}


def _numbers(table: Table, name: str) -> Floats | None:
    """The column as numbers, or None where it holds labels."""
    if table.facts(name).type in ("category", "text"):
        return None
    try:
        return read_values(table, name).values
    except DataError as e:
        if e.code != "data.column-type":
            raise
        return None


def _indicators(table: Table, name: str, who: Assignment) -> dict[str, Floats]:
    """1 where a unit has the label; the share of its rows that have it, where they differ."""
    codes, labels = codes_of(table, name)
    owner = who.unit if who.unit is not None else np.arange(len(codes))
    rows = np.flatnonzero(owner >= 0)
    rows = rows[who.arm[owner[rows]] >= 0]
    counts = np.bincount(codes[rows] + 1, minlength=len(labels) + 1)
    tally = {(label if i else None): int(n) for i, (label, n) in enumerate(zip([None, *labels], counts, strict=True))}
    place = {label: i for i, label in enumerate(labels)}
    size = np.maximum(np.bincount(owner[rows], minlength=len(who.arm)), 1)
    out = {}
    for label in labels_kept(tally):
        has = codes[rows] == (-1 if label is None else place[label])
        out[named(name, label)] = np.bincount(owner[rows][has], minlength=len(who.arm)) / size
    return out


def labels_kept(tally: Mapping[str | None, int]) -> list[str | None]:
    """Labels that get an indicator column: all but the most frequent, at most thirty; None is missing.

    >>> labels_kept({None: 2, "DE": 5, "FR": 3, "US": 0})
    ['FR', None]
    """
    ranked = sorted((k for k, n in tally.items() if n), key=lambda k: (-tally[k], k is None, k or ""))
    return ranked[1 : LEVELS + 1]


def named(column: str, label: str | None) -> str:
    """Name of a label's indicator column."""
    return f"{column} missing" if label is None else f"{column}={label}"
