"""Who was in which arm, and what was measured on them: from rows to summaries of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError, UsageError
from ambidex.insight.experiment_covariates import Covariates
from ambidex.insight.experiment_metrics import Metric, Values, levels_of, read_outcome, read_values
from ambidex.insight.experiment_units import Assignment, Codes, arm_table, assign, codes_of, unit_codes
from ambidex.stats.compare import ROUNDING, Level, mean_level, ratio_level, share_level
from ambidex.stats.summaries import Moments

__all__ = [
    "Assignment", "Capped", "Reading", "UnitValues", "arm_table", "assign", "codes_of", "read_metric", "read_metrics",
    "unit_codes", "unit_values",
]  # fmt: skip

Floats = NDArray[np.float64]

CAP = 0.999
"""Values beyond this quantile are capped to see whether a few units carry the result."""


@dataclass(frozen=True, eq=False)
class Capped:
    """What is left of a metric when its most extreme thousandth is set to the bounds.

    Attributes:
        top: Upper bound: the .999 quantile of all arms together.
        bottom: Lower bound: the .001 quantile where there are values below 0, else the least value.
        beyond: Units outside the bounds.
        largest: The value farthest from the mean.
        moments: Per arm, of the capped outcome and the covariates.
    """

    top: float
    bottom: float
    beyond: int
    largest: float
    moments: tuple[Moments, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """One metric, arm by arm, in the order of the assignment's labels.

    Attributes:
        metric: What was measured.
        levels: Mean, share, ratio or quantile of each arm.
        yes: For shares: yes and units of each arm, else None.
        values: For means and quantiles: each arm's unit values; empty for a table that is not in memory.
        missing: Units without a value, per arm.
        unread: Cells that were no numbers, with an example; left out.
        averaged: True if units enter with the mean of several rows.
        moments: Per arm, of the outcome's columns and the covariates, over units with a value.
        outcome: Names in ``moments`` of the outcome: the column, or numerator and denominator.
        covariates: Names in ``moments`` of the covariates: a column of numbers by its name, a label of a column
            of labels as ``country=DE`` (the most frequent has none), ``age missing`` where values were filled in.
        capped: For means and counts, where a value lies beyond the bounds; else None.
    """

    metric: Metric
    levels: tuple[Level, ...]
    yes: tuple[tuple[int, int], ...] | None
    values: tuple[Floats, ...]
    missing: tuple[int, ...]
    unread: tuple[int, str]
    averaged: bool = False
    moments: tuple[Moments, ...] = ()
    outcome: tuple[str, ...] = ()
    covariates: tuple[str, ...] = ()
    capped: Capped | None = None


@dataclass(frozen=True, eq=False)
class UnitValues:
    """A metric unit by unit.

    Attributes:
        y: The value, or the numerator. Shape (units,); NaN where there is none.
        x: The denominator of ratios, else None. Shape (units,).
        kept: Units of an arm that have a value. Shape (units,).
    """

    y: Floats
    x: Floats | None
    kept: NDArray[np.bool_]


def read_metrics(
    table: Table, metrics: Sequence[Metric], who: Assignment, covariates: Sequence[str] = ()
) -> dict[str, Reading]:
    """``read_metric`` for several at once, by SPEC: one pass over a table that is not in memory."""
    return {m.spec: read_metric(table, m, who, covariates) for m in metrics}


def read_metric(table: Table, metric: Metric, who: Assignment, covariates: Sequence[str] = ()) -> Reading:
    """Summaries of a metric, arm by arm.

    Args:
        table: The table.
        metric: What is measured.
        who: Units and arms.
        covariates: Columns that were there before the assignment.

    Raises:
        UsageError: ``usage.value`` if a covariate is the metric's own column.
        DataError: ``data.small-arm``, ``data.no-variance``, ``data.all-missing``, ``data.infinite``,
            ``data.column-type``, ``data.metric-values`` or ``data.zero-denominator``.
    """
    for name in covariates:
        if table.require(name) in (metric.column, metric.per):
            raise UsageError("usage.value", f"`{name}` cannot be the metric and a covariate at once")
    top = read_outcome(table, metric)
    _fits(table, metric, top)
    if metric.per is None:
        return _of_column(table, metric, who, top, covariates)
    return _of_two(table, metric, who, top, read_values(table, metric.per), covariates)


def unit_values(table: Table, metric: Metric, who: Assignment) -> UnitValues:
    """A metric unit by unit, for what needs more than sums: quantiles, permutations, days since exposure."""
    top = read_outcome(table, metric)
    _fits(table, metric, top)
    bottom = None if metric.per is None else read_values(table, metric.per)
    return _units(who, metric, top, bottom)[0]


def _fits(table: Table, metric: Metric, top: Values) -> None:
    if metric.kind == "share" and not top.yes_no:
        levels = sorted(v for v in levels_of(table, metric.column, most=12) if v.strip())
        words = bool(levels) and not any(v.strip()[0].isdigit() for v in levels)
        raise _misfit(
            table,
            metric,
            top.values,
            "a share needs a column of yes and no, true and false, or 1 and 0",
            do=f"--metric '{metric.column}={levels[0]}:share'" if words else "",
        )
    if metric.kind in ("count", "trials") and not _whole(top.values):
        raise _misfit(table, metric, top.values, "counts are whole numbers from 0")


def _units(who: Assignment, metric: Metric, top: Values, bottom: Values | None) -> tuple[UnitValues, Codes]:
    """Values of units, and how many rows each stands for."""
    if bottom is None:
        (sums,), rows = _by_unit(who, [top.values])
        whole = metric.kind == "count" or who.unit is None
        values = sums if whole else sums / np.maximum(rows, 1)
        x = None
    else:
        (values, x), rows = _by_unit(who, [top.values, bottom.values])
    kept = (rows > 0) & (who.arm >= 0)
    return UnitValues(np.where(kept, values, np.nan), None if x is None else np.where(kept, x, np.nan), kept), rows


def _of_column(table: Table, metric: Metric, who: Assignment, read: Values, covariates: Sequence[str]) -> Reading:
    units, rows = _units(who, metric, read, None)
    several = who.unit is not None and bool((rows > 1).any())
    arms = [units.y[units.kept & (who.arm == i)] for i in range(len(who.labels))]
    check_sizes(table, metric, who, [len(a) for a in arms])
    least, most = min(float(a.min()) for a in arms), max(float(a.max()) for a in arms)
    check_varies(table, metric, least, most, sum(map(len, arms)))
    missing = tuple(n - len(a) for n, a in zip(who.counts, arms, strict=True))
    unread = (read.unread, read.example)
    others = Covariates.read(table, covariates, who, units.kept)
    moments = others.moments({metric.column: units.y}, who, units.kept)
    plain = Reading(metric, (), None, (), missing, unread, several, moments, (metric.column,), others.names)
    if metric.kind == "share" and all(np.isin(a, (0.0, 1.0)).all() for a in arms):
        yes = tuple((int(a.sum()), len(a)) for a in arms)
        return replace(plain, levels=tuple(share_level(x, n) for x, n in yes), yes=yes)
    averaged = several and metric.kind != "count"
    if metric.kind == "quantile":
        levels = tuple(Level(float(np.quantile(a, metric.q or 0.5)), np.nan, len(a), "quantile") for a in arms)
        return replace(plain, levels=levels, values=tuple(arms), averaged=averaged)
    levels = tuple(mean_level(m, metric.column) for m in moments)
    capped = None if metric.kind == "share" else _capped(metric, units, who, others)
    return replace(plain, levels=levels, values=tuple(arms), averaged=averaged, capped=capped)


def _capped(metric: Metric, units: UnitValues, who: Assignment, others: Covariates) -> Capped | None:
    pooled = units.y[units.kept]
    top = float(np.quantile(pooled, CAP))
    bottom = float(np.quantile(pooled, 1 - CAP)) if pooled.min() < 0 else float(pooled.min())
    beyond = int(((pooled > top) | (pooled < bottom)).sum())
    if not beyond:
        return None
    mean = float(pooled.mean())
    largest = max((float(pooled.min()), float(pooled.max())), key=lambda v: abs(v - mean))
    moments = others.moments({metric.column: np.clip(units.y, bottom, top)}, who, units.kept)
    return Capped(top, bottom, beyond, largest, moments)


def _of_two(
    table: Table, metric: Metric, who: Assignment, top: Values, bottom: Values, covariates: Sequence[str]
) -> Reading:
    units, _ = _units(who, metric, top, bottom)
    assert units.x is not None and metric.per is not None
    kept = [units.kept & (who.arm == i) for i in range(len(who.labels))]
    check_sizes(table, metric, who, [int(k.sum()) for k in kept])
    check_denominators(table, metric, who, [float(units.x[k].sum()) for k in kept])
    missing = tuple(n - int(k.sum()) for n, k in zip(who.counts, kept, strict=True))
    unread = (top.unread + bottom.unread, top.example or bottom.example)
    if metric.kind == "trials":
        both = ~np.isnan(top.values) & ~np.isnan(bottom.values)
        if not _whole(bottom.values) or (top.values[both] > bottom.values[both]).any():
            raise _misfit(table, metric, bottom.values, "yes and trials are whole numbers, and no more yes than trials")
    others = Covariates.read(table, covariates, who, units.kept)
    # A ratio to itself is 1; its two names must differ all the same.
    names = ratio_names(metric)
    moments = others.moments({names[0]: units.y, names[1]: units.x}, who, units.kept)
    plain = Reading(metric, (), None, (), missing, unread, False, moments, names, others.names)
    if metric.kind == "trials" and who.unit is None:
        yes = tuple((int(units.y[k].sum()), int(units.x[k].sum())) for k in kept)
        return replace(plain, levels=trial_levels(table, metric, yes), yes=yes)
    return replace(plain, levels=ratio_levels(table, metric, moments))


def ratio_names(metric: Metric) -> tuple[str, str]:
    """Names in ``moments`` of numerator and denominator."""
    per = metric.per or ""
    return metric.column, per if per != metric.column else f"{per} (denominator)"


def trial_levels(table: Table, metric: Metric, yes: Sequence[tuple[int, int]]) -> tuple[Level, ...]:
    """Shares of the arms. Raises DataError ``data.no-variance``."""
    if sum(x for x, _ in yes) in (0, sum(n for _, n in yes)):
        raise DataError("data.no-variance", f"`{metric.label}` is all yes or all no", where=table.name)
    return tuple(share_level(x, n) for x, n in yes)


def ratio_levels(table: Table, metric: Metric, moments: Sequence[Moments]) -> tuple[Level, ...]:
    """Ratios of the arms. Raises DataError ``data.no-variance``."""
    levels = tuple(ratio_level(m, *ratio_names(metric)) for m in moments)
    values = [level.value for level in levels]
    if all(level.se == 0 for level in levels) and max(values) - min(values) <= ROUNDING * max(map(abs, values)):
        raise DataError("data.no-variance", f"`{metric.label}` is the same in every unit", where=table.name)
    return levels


def check_varies(table: Table, metric: Metric, least: float, most: float, units: int) -> None:
    """Raises DataError ``data.no-variance`` if all values are the same."""
    if most - least <= ROUNDING * max(abs(least), abs(most)):
        raise DataError(
            "data.no-variance",
            f"`{metric.label}` has the same value in every unit",
            where=f"{table.name}, column {metric.column}",
            found=f"{least:g} in {units:,} units",
            do="name another metric",
        )


def check_denominators(table: Table, metric: Metric, who: Assignment, totals: Sequence[float]) -> None:
    """Raises DataError ``data.zero-denominator`` where an arm's adds up to 0."""
    for label, total in zip(who.labels, totals, strict=True):
        if total == 0:
            raise DataError(
                "data.zero-denominator",
                f"`{metric.per}` adds up to 0 in arm {label}",
                where=f"{table.name}, column {metric.per}",
                do="name another denominator",
            )


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


def check_sizes(table: Table, metric: Metric, who: Assignment, sizes: Sequence[int]) -> None:
    """Raises DataError ``data.small-arm`` for an arm of fewer than two."""
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


def _misfit(table: Table, metric: Metric, values: Floats, what: str, *, do: str = "") -> DataError:
    found = np.unique(values[~np.isnan(values)])
    shown = ", ".join(f"{v:g}" for v in found[:3]) + (", …" if len(found) > 3 else "")
    return DataError(
        "data.metric-values",
        f"metric `{metric.spec}`: {what}",
        where=f"{table.name}, column {metric.column}",
        found=f"values {shown}",
        do=do or f"--metric {metric.column}" + (":mean" if metric.per is None else f"/{metric.per}"),
    )
