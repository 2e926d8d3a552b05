"""What an experiment's metric came to, arm by arm; and what makes it no metric at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.experiment_metrics import Metric, levels_of
from ambidex.insight.experiment_units import Assignment, Codes
from ambidex.stats.compare import ROUNDING, Level, ratio_level, share_level
from ambidex.stats.summaries import Moments

__all__ = [
    "CAP", "Capped", "Reading", "check_denominators", "check_sizes", "check_varies", "misfit", "no_share",
    "ratio_levels", "ratio_names", "trial_levels",
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
        values: For means each arm's unit values, empty for a table that is not in memory; for quantiles each arm's
            values, row by row.
        missing: Units without a value, per arm.
        unread: Cells that were no numbers, with an example; left out.
        averaged: True if units enter with the mean of several rows.
        owners: For quantiles with units: the unit of each value, arm by arm; else empty.
        moments: Per arm, of the outcome's columns and the covariates, over units with a value.
        outcome: Names in ``moments`` of the outcome: the column, or numerator and denominator.
        covariates: Names in ``moments`` of the covariates: a column of numbers by its name, a label of a column
            of labels as ``country=DE`` (the most frequent has none), ``age missing`` where values were filled in.
        capped: For means, counts and, in memory, ratios, where a value lies beyond the bounds; else None.
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
    owners: tuple[Codes, ...] = ()


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
                found=", ".join(f"{a} {t:,.6g}" for a, t in zip(who.labels, totals, strict=True)),
                do="name another denominator",
            )


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


def misfit(table: Table, metric: Metric, values: Floats, what: str, *, do: str = "") -> DataError:
    """The column does not hold what the metric's kind needs."""
    found = np.unique(values[~np.isnan(values)])
    shown = ", ".join(f"{v:g}" for v in found[:3]) + (", …" if len(found) > 3 else "")
    return DataError(
        "data.metric-values",
        f"metric `{metric.spec}`: {what}",
        where=f"{table.name}, column {metric.column}",
        found=f"values {shown}",
        do=do or f"--metric {metric.column}" + (":mean" if metric.per is None else f"/{metric.per}"),
    )


def no_share(table: Table, metric: Metric, values: Floats) -> DataError:
    """A share of a column that does not say yes and no, with a label to ask for where it holds labels."""
    levels = sorted(v for v in levels_of(table, metric.column, most=12) if v.strip())
    words = bool(levels) and not any(v.strip()[0].isdigit() or v.strip()[0] in "-+." for v in levels)
    text = "a share needs a column of yes and no, true and false, or 1 and 0"
    error = misfit(table, metric, values, text, do=f"--metric '{metric.column}={levels[0]}:share'" if words else "")
    if words:
        error.found = "labels " + ", ".join(levels[:5]) + (", …" if len(levels) > 5 else "")
    return error
