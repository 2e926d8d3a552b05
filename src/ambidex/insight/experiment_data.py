"""Who was in which arm, and what was measured on them: from rows to summaries of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError, UsageError
from ambidex.insight.experiment_covariates import Covariates
from ambidex.insight.experiment_metrics import Metric, Values, read_outcome, read_values
from ambidex.insight.experiment_reading import (
    CAP,
    Capped,
    Reading,
    check_denominators,
    check_sizes,
    check_varies,
    misfit,
    no_share,
    ratio_levels,
    ratio_names,
    trial_levels,
)
from ambidex.insight.experiment_units import (
    Assignment,
    Codes,
    LargeAssignment,
    arm_table,
    assign,
    codes_of,
    repeats,
    unit_codes,
)
from ambidex.stats.compare import Level, mean_level, share_level

__all__ = [
    "Assignment", "Capped", "Reading", "UnitValues", "arm_table", "assign", "codes_of", "read_metric", "read_metrics",
    "repeats", "unit_codes", "unit_values",
]  # fmt: skip

Floats = NDArray[np.float64]


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
    if isinstance(who, LargeAssignment):
        from ambidex.insight.experiment_large import read_large

        _not_its_own(table, metrics, covariates)
        return read_large(table, metrics, who, covariates)
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
    if isinstance(who, LargeAssignment):
        return read_metrics(table, [metric], who, covariates)[metric.spec]
    return read_rows(table, metric, who, covariates)


def _not_its_own(table: Table, metrics: Sequence[Metric], covariates: Sequence[str]) -> None:
    for name in covariates:
        for metric in metrics:
            if table.require(name) in (metric.column, metric.per):
                raise UsageError("usage.value", f"`{name}` cannot be the metric and a covariate at once")


def read_rows(table: Table, metric: Metric, who: Assignment, covariates: Sequence[str] = ()) -> Reading:
    """``read_metric`` from the rows themselves, in memory."""
    _not_its_own(table, [metric], covariates)
    top = _outcome(table, metric)
    if metric.per is None:
        return _of_column(table, metric, who, top, covariates)
    return _of_two(table, metric, who, top, read_values(table, metric.per), covariates)


def unit_values(table: Table, metric: Metric, who: Assignment) -> UnitValues:
    """A metric unit by unit, for what needs more than sums: quantiles, permutations, days since exposure."""
    top = _outcome(table, metric)
    bottom = None if metric.per is None else read_values(table, metric.per)
    return _units(who, metric, top, bottom)[0]


def _outcome(table: Table, metric: Metric) -> Values:
    """The metric's column as numbers that fit its kind."""
    try:
        top = read_outcome(table, metric)
    except DataError as e:
        if metric.kind == "share" and e.code == "data.column-type":
            raise no_share(table, metric, np.empty(0)) from e
        raise
    if metric.kind == "share" and not top.yes_no:
        raise no_share(table, metric, top.values)
    if metric.kind in ("count", "trials") and not _whole(top.values):
        raise misfit(table, metric, top.values, "counts are whole numbers from 0")
    return top


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
        return _quantiles(plain, who, read)
    levels = tuple(mean_level(m, metric.column) for m in moments)
    capped = None if metric.kind == "share" else _capped(metric, units, who, others)
    return replace(plain, levels=levels, values=tuple(arms), averaged=averaged, capped=capped)


def _quantiles(plain: Reading, who: Assignment, read: Values) -> Reading:
    """A quantile is one of rows (the slowest tenth of page loads), also where units were randomised."""
    owner = who.unit if who.unit is not None else np.arange(len(read.values))
    rows = np.flatnonzero(~np.isnan(read.values) & (owner >= 0))
    arm = who.arm[owner[rows]]
    each = [rows[arm == i] for i in range(len(who.labels))]
    q = plain.metric.q or 0.5
    return replace(
        plain,
        levels=tuple(Level(float(np.quantile(read.values[r], q)), np.nan, len(r), "quantile") for r in each),
        values=tuple(read.values[r] for r in each),
        owners=() if who.unit is None else tuple(owner[r] for r in each),
    )


def _capped(metric: Metric, units: UnitValues, who: Assignment, others: Covariates) -> Capped | None:
    """With a ratio both sums are capped, each at its own bounds; those told are the numerator's."""
    bottom, top = _bounds(units.y[units.kept])
    beyond = (units.y > top) | (units.y < bottom)
    columns = {metric.column: np.clip(units.y, bottom, top)}
    if units.x is not None:
        least, most = _bounds(units.x[units.kept])
        beyond |= (units.x > most) | (units.x < least)
        columns = dict(zip(ratio_names(metric), (columns[metric.column], np.clip(units.x, least, most)), strict=True))
    count = int((beyond & units.kept).sum())
    if not count:
        return None
    pooled = units.y[units.kept]
    mean = float(pooled.mean())
    largest = max((float(pooled.min()), float(pooled.max())), key=lambda v: abs(v - mean))
    return Capped(top, bottom, count, largest, others.moments(columns, who, units.kept))


def _bounds(pooled: Floats) -> tuple[float, float]:
    top = float(np.quantile(pooled, CAP))
    return float(np.quantile(pooled, 1 - CAP)) if pooled.min() < 0 else float(pooled.min()), top


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
            raise misfit(table, metric, bottom.values, "yes and trials are whole numbers, and no more yes than trials")
    others = Covariates.read(table, covariates, who, units.kept)
    # A ratio to itself is 1; its two names must differ all the same.
    names = ratio_names(metric)
    moments = others.moments({names[0]: units.y, names[1]: units.x}, who, units.kept)
    plain = Reading(metric, (), None, (), missing, unread, False, moments, names, others.names)
    if metric.kind == "trials" and who.unit is None:
        yes = tuple((int(units.y[k].sum()), int(units.x[k].sum())) for k in kept)
        return replace(plain, levels=trial_levels(table, metric, yes), yes=yes)
    capped = _capped(metric, units, who, others) if metric.kind == "ratio" else None
    return replace(plain, levels=ratio_levels(table, metric, moments), capped=capped)


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


def _whole(values: Floats) -> bool:
    known = values[~np.isnan(values)]
    return bool((known >= 0).all() and (known == np.floor(known)).all())
