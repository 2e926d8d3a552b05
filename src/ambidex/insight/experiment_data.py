"""Who was in which arm, and what was measured on them: from rows to summaries of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.experiment_metrics import Metric, Values, read_values
from ambidex.stats.compare import ROUNDING, Level, mean_level, ratio_level, share_level
from ambidex.stats.summaries import Moments

__all__ = ["Assignment", "Reading", "assign", "codes_of", "read_metric"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MOST_ARMS = 20


@dataclass(frozen=True, eq=False)
class Assignment:
    """Units and their arms.

    Attributes:
        labels: Arms in sort order.
        arm: Arm of each unit as an index into ``labels``, shape (units,); -1 for units left out.
        unit: Unit of each row, shape (rows,); -1 for rows left out. None if rows are the units.
        counts: Units per arm, in the order of ``labels``.
        unassigned: Rows without a label or without a unit.
        crossed: Units with rows in two arms; left out.
    """

    labels: tuple[str, ...]
    arm: Codes
    unit: Codes | None
    counts: tuple[int, ...]
    unassigned: int
    crossed: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """One metric, arm by arm, in the order of the assignment's labels.

    Attributes:
        metric: What was measured.
        levels: Mean, share or ratio of each arm.
        yes: For shares: yes and units of each arm, else None.
        values: For means: each arm's unit values, else empty.
        missing: Units without a value, per arm.
        unread: Cells that were no numbers, with an example; left out.
        averaged: True if units enter with the mean of several rows.
    """

    metric: Metric
    levels: tuple[Level, ...]
    yes: tuple[tuple[int, int], ...] | None
    values: tuple[Floats, ...]
    missing: tuple[int, ...]
    unread: tuple[int, str]
    averaged: bool = False


def codes_of(table: Table, column: str) -> tuple[Codes, list[str]]:
    """A column as codes into its sorted labels; -1 where missing or blank."""
    encoded = table.spelled(column).dictionary_encode()
    found: list[str] = encoded.dictionary.to_pylist()
    labels = sorted(v for v in found if v.strip())
    place = {label: i for i, label in enumerate(labels)}
    lookup = np.array([*(place.get(v, -1) for v in found), -1], dtype=np.int64)
    indices = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return lookup[indices], labels


def assign(table: Table, group: str, unit: str | None) -> Assignment:
    """Arms of the units.

    Raises:
        NotFound: ``data.no-column``.
        DataError: ``data.one-arm``; ``data.column-type`` if the column has more labels than arms can be.
    """
    table.require(group)
    arm, labels = codes_of(table, group)
    if len(labels) > MOST_ARMS:
        raise DataError(
            "data.column-type",
            f"`{group}` has {len(labels):,} labels, too many for arms of an experiment",
            where=f"{table.name}, column {group}",
            found=", ".join(labels[:3]) + ", …",
            do="--group the column that says who got what",
        )
    crossed: tuple[str, ...] = ()
    units: Codes | None = None
    unassigned = int((arm < 0).sum())
    if unit is not None:
        units, names = codes_of(table, unit)
        units = np.where(arm < 0, -1, units)
        unassigned = int((units < 0).sum())
        arm, twice = _arm_of_unit(arm, units, len(names))
        crossed = tuple(names[i] for i in twice)
    counts = np.bincount(arm[arm >= 0], minlength=len(labels))
    if (counts > 0).sum() < 2:
        there = ", ".join(f"{a} {n:,}" for a, n in zip(labels, counts, strict=True))
        raise DataError(
            "data.one-arm",
            f"`{group}` has one arm only, and a comparison needs two"
            if not crossed
            else f"{len(crossed):,} units are in two arms of `{group}`; without them fewer than two arms are left",
            where=f"{table.name}, column {group}",
            found=there or "no label at all",
            do="--group the column that says who got what",
        )
    kept = np.flatnonzero(counts)  # an arm whose every unit crossed is no arm
    moved = np.full(len(labels) + 1, -1)
    moved[kept] = np.arange(len(kept))
    return Assignment(
        tuple(labels[i] for i in kept), moved[arm], units, tuple(int(counts[i]) for i in kept), unassigned, crossed
    )


def _arm_of_unit(arm: Codes, units: Codes, count: int) -> tuple[Codes, Codes]:
    """Arm of each unit, -1 where it has two or none; and which have two."""
    rows = units >= 0
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(low, units[rows], arm[rows])
    np.maximum.at(high, units[rows], arm[rows])
    twice = (high >= 0) & (low != high)
    return np.where(twice, -1, high), np.flatnonzero(twice)


def read_metric(table: Table, metric: Metric, who: Assignment) -> Reading:
    """Summaries of a metric, arm by arm.

    Raises:
        DataError: ``data.small-arm``, ``data.no-variance``, ``data.all-missing``, ``data.infinite``,
            ``data.column-type``, ``data.metric-values`` or ``data.zero-denominator``.
    """
    top = read_values(table, metric.column)
    if metric.kind == "share" and not top.yes_no:
        raise _misfit(table, metric, top.values, "a share needs a column of yes and no, true and false, or 1 and 0")
    if metric.kind in ("count", "trials") and not _whole(top.values):
        raise _misfit(table, metric, top.values, "counts are whole numbers from 0")
    if metric.per is None:
        return _of_column(table, metric, who, top)
    return _of_two(table, metric, who, top, read_values(table, metric.per))


def _of_column(table: Table, metric: Metric, who: Assignment, read: Values) -> Reading:
    (sums,), rows = _by_unit(who, [read.values])  # of one column
    several = who.unit is not None and bool((rows > 1).any())
    values = sums if metric.kind == "count" or who.unit is None else sums / np.maximum(rows, 1)
    arms = [values[(who.arm == i) & (rows > 0)] for i in range(len(who.labels))]
    _enough(table, metric, who, [len(a) for a in arms])
    least, most = min(float(a.min()) for a in arms), max(float(a.max()) for a in arms)
    if most - least <= ROUNDING * max(abs(least), abs(most)):
        raise DataError(
            "data.no-variance",
            f"`{metric.label}` has the same value in every unit",
            where=f"{table.name}, column {metric.column}",
            found=f"{float(arms[0][0]):g} in {sum(map(len, arms)):,} units",
            do="name another metric",
        )
    missing = tuple(n - len(a) for n, a in zip(who.counts, arms, strict=True))
    unread = (read.unread, read.example)
    if metric.kind == "share" and all(np.isin(a, (0.0, 1.0)).all() for a in arms):
        yes = tuple((int(a.sum()), len(a)) for a in arms)
        return Reading(metric, tuple(share_level(x, n) for x, n in yes), yes, (), missing, unread, several)
    levels = tuple(mean_level(Moments.of({"x": a}), "x") for a in arms)
    averaged = several and metric.kind != "count"
    return Reading(metric, levels, None, tuple(arms), missing, unread, averaged)


def _of_two(table: Table, metric: Metric, who: Assignment, top: Values, bottom: Values) -> Reading:
    (above, below), rows = _by_unit(who, [top.values, bottom.values])
    kept = [(who.arm == i) & (rows > 0) for i in range(len(who.labels))]
    _enough(table, metric, who, [int(k.sum()) for k in kept])
    for label, k in zip(who.labels, kept, strict=True):
        if below[k].sum() == 0:
            raise DataError(
                "data.zero-denominator",
                f"`{metric.per}` adds up to 0 in arm {label}",
                where=f"{table.name}, column {metric.per}",
                do="name another denominator",
            )
    missing = tuple(n - int(k.sum()) for n, k in zip(who.counts, kept, strict=True))
    unread = (top.unread + bottom.unread, top.example or bottom.example)
    if metric.kind == "trials":
        both = ~np.isnan(top.values) & ~np.isnan(bottom.values)
        if not _whole(bottom.values) or (top.values[both] > bottom.values[both]).any():
            raise _misfit(table, metric, bottom.values, "yes and trials are whole numbers, and no more yes than trials")
    if metric.kind == "trials" and who.unit is None:
        yes = tuple((int(above[k].sum()), int(below[k].sum())) for k in kept)
        if sum(x for x, _ in yes) in (0, sum(n for _, n in yes)):
            raise DataError("data.no-variance", f"`{metric.label}` is all yes or all no", where=table.name)
        return Reading(metric, tuple(share_level(x, n) for x, n in yes), yes, (), missing, unread)
    moments = [Moments.of({"above": above[k], "below": below[k]}) for k in kept]
    levels = tuple(ratio_level(m, "above", "below") for m in moments)
    values = [level.value for level in levels]
    if all(level.se == 0 for level in levels) and max(values) - min(values) <= ROUNDING * max(map(abs, values)):
        raise DataError("data.no-variance", f"`{metric.label}` is the same in every unit", where=table.name)
    return Reading(metric, levels, None, (), missing, unread)


def _by_unit(who: Assignment, columns: Sequence[Floats]) -> tuple[list[Floats], Codes]:
    """Sums per unit over the rows where all columns have a value, and how many rows those are."""
    there = ~np.isnan(np.stack(columns)).any(axis=0)
    if who.unit is None:
        alone: Codes = np.asarray(there, dtype=np.int64)
        return [np.where(there, c, 0.0) for c in columns], alone
    there = there & (who.unit >= 0)
    units, count = who.unit[there], len(who.arm)
    sums: list[Floats] = [np.bincount(units, c[there], minlength=count).astype(np.float64) for c in columns]
    rows: Codes = np.bincount(units, minlength=count).astype(np.int64)
    return sums, rows


def _enough(table: Table, metric: Metric, who: Assignment, sizes: Sequence[int]) -> None:
    for label, n in zip(who.labels, sizes, strict=True):
        if n < 2:
            raise DataError(
                "data.small-arm",
                f"arm {label} has {n} unit{'' if n == 1 else 's'} with a value of `{metric.label}`; it takes two",
                where=f"{table.name}, column {metric.column}",
                found=", ".join(f"{a} {m:,}" for a, m in zip(who.labels, sizes, strict=True)),
                do="collect more units, or leave this arm out with a SELECT",
            )


def _whole(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool((known >= 0).all() and (known == np.floor(known)).all())


def _misfit(table: Table, metric: Metric, values: Floats, what: str) -> DataError:
    found = np.unique(values[~np.isnan(values)])
    shown = ", ".join(f"{v:g}" for v in found[:3]) + (", …" if len(found) > 3 else "")
    return DataError(
        "data.metric-values",
        f"metric `{metric.spec}`: {what}",
        where=f"{table.name}, column {metric.column}",
        found=f"values {shown}",
        do=f"--metric {metric.column}:mean" if metric.per is None else f"--metric {metric.column}/{metric.per}",
    )
