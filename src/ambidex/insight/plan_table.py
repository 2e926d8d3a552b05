"""What a table of the past says about a test to come: level, spread, traffic, clusters, covariates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.experiment_checks import pick_control
from ambidex.insight.experiment_data import codes_of
from ambidex.insight.experiment_metrics import Metric, read_values
from ambidex.stats.power import explained, intraclass

__all__ = ["History", "read_history"]

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]

MOST_LEVELS = 30


@dataclass(frozen=True, slots=True)
class History:
    """One metric in a table of the past.

    Attributes:
        metric: What was measured.
        baseline: Its level: mean, share or ratio; of the control arm where the table holds arms.
        sd: Standard deviation between units, in the metric's unit (a ratio's after linearisation).
        binary: True if a unit says yes or no, so that the level alone gives the spread.
        units: Units that the level rests on.
        all_units: Units of all arms.
        icc: Correlation within clusters; None without clusters.
        cluster_size: Cluster size that the design effect needs.
        clusters: How many.
        r2: Share of the variance that the covariates explain; None without covariates.
        per_day: New units a day; None without a time.
        days: Days that the table spans.
        control: The arm that was read; empty if all rows were.
        picked: How the control was picked, if it was not named.
        left_out: Units without a value, a cluster or a covariate.
    """

    metric: Metric
    baseline: float
    sd: float
    binary: bool
    units: int
    all_units: int
    icc: float | None = None
    cluster_size: float | None = None
    clusters: int | None = None
    r2: float | None = None
    per_day: float | None = None
    days: int | None = None
    control: str = ""
    picked: str = ""
    left_out: int = 0


def read_history(
    table: Table,
    metric: Metric,
    *,
    group: str | None = None,
    control: str | None = None,
    unit: str | None = None,
    cluster: str | None = None,
    covariate: Sequence[str] = (),
    time: str | None = None,
) -> History:
    """Level, spread and traffic of a metric.

    Raises:
        NotFound: ``data.no-column``, ``data.no-label``.
        DataError: ``data.no-variance``, ``data.too-few-rows``, ``data.column-type`` and those of reading a metric.
    """
    unit_codes, count = _units(table, unit)
    arm, picked = "", ""
    rows = unit_codes >= 0
    if group is not None:
        arms, labels = codes_of(table, table.require(group))
        arm, picked = pick_control(labels, control, group)
        all_rows = rows & (arms >= 0)
        rows = rows & (arms == labels.index(arm))
    else:
        all_rows = rows
    values, level, binary, size = _outcome(table, metric, unit_codes, count, rows, by_unit=unit is not None)
    known = np.flatnonzero(~np.isnan(values))
    if len(known) < 2 and not binary:
        raise DataError("data.too-few-rows", f"`{metric.label}` has {len(known)} units with a value; it takes two",
                        where=table.name)  # fmt: skip
    sd = math.sqrt(level * (1 - level)) if binary else float(np.std(values[known], ddof=1))
    if not sd > 1e-13 * abs(level):
        raise DataError(
            "data.no-variance", f"`{metric.label}` has the same value in every unit", where=table.name,
            found=f"{level:g} in {len(known):,} units", do="name another metric, or say --baseline and --sd",
        )  # fmt: skip
    icc = m = r2 = per_day = days = clusters = None
    there = known
    if cluster is not None:
        codes, _ = codes_of(table, table.require(cluster))
        of_unit = _first(unit_codes, codes, count, rows & (codes >= 0))
        there = there[of_unit[there] >= 0]
        icc, m = intraclass(values[there], of_unit[there])
        clusters = len(np.unique(of_unit[there]))
        if not math.isfinite(icc):
            raise DataError(
                "data.too-few-rows", f"`{cluster}` has {clusters:,} clusters in {len(there):,} units: no correlation "
                "within them can be read", where=table.name, do="name a column with several units per cluster",
            )  # fmt: skip
    if covariate:
        columns = [c for name in covariate for c in _covariate(table, name, unit_codes, count, rows)]
        x = np.stack(columns, axis=1)
        there = there[~np.isnan(x[there]).any(axis=1)]
        if len(there) < x.shape[1] + 3:
            raise DataError("data.too-few-rows", f"{len(there):,} units have every covariate; it takes more",
                            where=table.name)  # fmt: skip
        r2 = explained(values[there], x[there])
    if time is not None:
        per_day, days = _traffic(table, time, unit_codes, count, all_rows, size)
    return History(
        metric, level, sd, binary, int(size[known].sum()), int(size[np.unique(unit_codes[all_rows])].sum()), icc, m,
        clusters, r2, per_day, days, arm, picked, int(len(np.unique(unit_codes[rows])) - len(there)),
    )  # fmt: skip


def _units(table: Table, unit: str | None) -> tuple[Codes, int]:
    """Unit of each row, -1 for none, and how many units there are."""
    if unit is None:
        return np.arange(table.rows, dtype=np.int64), table.rows
    codes, labels = codes_of(table, table.require(unit))
    return codes, len(labels)


def _outcome(
    table: Table, metric: Metric, units: Codes, count: int, rows: NDArray[np.bool_], *, by_unit: bool
) -> tuple[Floats, float, bool, Floats]:
    """A value per unit (NaN where there is none), the level, whether units say yes or no, and what a unit counts."""
    top = read_values(table, metric.column)
    if metric.kind == "share" and not top.yes_no:
        raise DataError("data.metric-values", f"metric `{metric.spec}`: a share needs a column of yes and no",
                        where=f"{table.name}, column {metric.column}", do=f"--metric {metric.column}:mean")  # fmt: skip
    one = np.ones(count)
    if metric.per is None:
        sums, n = _sums(units, top.values, count, rows)
        values = np.where(n > 0, sums if metric.kind == "count" else sums / np.maximum(n, 1), np.nan)
        known = values[~np.isnan(values)]
        level = float(known.mean()) if known.size else math.nan
        return values, level, metric.is_share and bool(np.isin(known, (0.0, 1.0)).all()), one
    bottom = read_values(table, metric.per)
    both = rows & ~np.isnan(top.values) & ~np.isnan(bottom.values)
    above, n = _sums(units, top.values, count, both)
    below, _ = _sums(units, bottom.values, count, both)
    if not below.sum():
        raise DataError("data.zero-denominator", f"`{metric.per}` adds up to 0", where=table.name,
                        do="name another denominator")  # fmt: skip
    level = float(above.sum() / below.sum())
    mean = below[n > 0].mean()
    values = np.where(n > 0, level + (above - level * below) / mean, np.nan)
    if metric.kind == "trials" and not by_unit:
        return values, level, True, below
    return values, level, False, one


def _sums(units: Codes, values: Floats, count: int, rows: NDArray[np.bool_]) -> tuple[Floats, Codes]:
    there = rows & ~np.isnan(values)
    sums = np.bincount(units[there], values[there], minlength=count).astype(np.float64)
    return sums, np.bincount(units[there], minlength=count).astype(np.int64)


def _first(units: Codes, codes: Codes, count: int, rows: NDArray[np.bool_]) -> Codes:
    """The code on a unit's first row, -1 where it has none."""
    out = np.full(count, -1, dtype=np.int64)
    places = np.flatnonzero(rows)[::-1]
    out[units[places]] = codes[places]
    return out


def _covariate(table: Table, name: str, units: Codes, count: int, rows: NDArray[np.bool_]) -> list[Floats]:
    """A covariate as columns of numbers per unit: the mean of a number, indicators of a category."""
    numbers = table.number(table.require(name))
    texts, labels = codes_of(table, name)
    if np.isnan(numbers[texts >= 0]).mean() < 0.5 if (texts >= 0).any() else True:
        sums, n = _sums(units, numbers, count, rows)
        return [np.where(n > 0, sums / np.maximum(n, 1), np.nan)]
    if len(labels) > MOST_LEVELS:
        raise DataError(
            "data.column-type", f"covariate `{name}` has {len(labels):,} labels, too many to adjust for",
            where=f"{table.name}, column {name}", do="name a number, or a column of fewer labels",
        )  # fmt: skip
    codes = _first(units, texts, count, rows & (texts >= 0))
    return [np.where(codes < 0, np.nan, (codes == i).astype(np.float64)) for i in range(1, len(labels))] or [
        np.zeros(count)
    ]


def _traffic(
    table: Table, time: str, units: Codes, count: int, rows: NDArray[np.bool_], size: Floats
) -> tuple[float, int]:
    """New units a day, and the days from the first to the last."""
    stamps = table.moments(table.require(time))
    there = rows & ~np.isnat(stamps)
    if not there.any():
        raise DataError("data.column-type", f"`{time}` holds no time", where=f"{table.name}, column {time}",
                        do="--time the column that says when a unit came in")  # fmt: skip
    days = stamps[there].astype("datetime64[D]").astype(np.int64)
    span = int(days.max() - days.min()) + 1
    seen = np.unique(units[there])
    return float(size[seen].sum()) / span, span
