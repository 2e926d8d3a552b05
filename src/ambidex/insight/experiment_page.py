"""The rest of an experiment's page: tiles, what stays unknown, how it was made, the arms as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambidex.insight.experiment_advice import lead_of
from ambidex.insight.experiment_compare import SEED, Family
from ambidex.insight.experiment_data import Assignment, Reading, unit_values
from ambidex.insight.experiment_options import Options
from ambidex.insight.experiment_words import Comparison, Style, percent
from ambidex.report.words import count, listing
from ambidex.stats.laws import bounds, student

__all__ = ["arm_intervals", "arms_table", "method_of", "tiles_of", "unknowns_of"]


def tiles_of(comparisons: Sequence[Comparison], who: Assignment, base: str) -> tuple[tuple[str, str, str], ...]:
    """The headline's comparison, its lift, and the units."""
    first = lead_of(comparisons)
    e, style = first.difference, Style.of(first.reading, first.difference)
    tiles = [
        (f"{first.reading.metric.label}, {first.arm} against {base}", style.delta(e.value), style.range(e.low, e.high))
    ]
    if first.lift is not None:
        lift = first.lift
        tiles.append(("relative to the control", percent(lift.value), f"{percent(lift.low)} to {percent(lift.high)}"))
    sizes = who.counts if first.reading.metric.kind != "trials" else tuple(v.n for v in first.reading.levels)
    arms = " : ".join(f"{a} {count(n)}" for a, n in zip(who.labels, sizes, strict=True))
    tiles.append(("units", count(sum(sizes)), arms))
    return tuple(tiles)


def unknowns_of(comparisons: Sequence[Comparison], asked: Options, *, stopped: bool = False) -> tuple[str, ...]:
    """What this test cannot tell."""
    out = ["Whether the arms were assigned at random: a table cannot show it, and the wording here rests on it."]
    if asked.unit is None and asked.cluster is None:
        out.append("Whether rows are independent: each row was taken as one unit.")
    if asked.cluster is not None:
        out.append(f"Whether units of different `{asked.cluster}` influence each other: they were taken as apart.")
    if asked.covariates:
        named = listing([f"`{c}`" for c in asked.covariates])
        out.append(f"Whether {named} were known before the start: if the treatment can change them, the effect is off.")
    out.append("What happens after the period that was measured, and for other people than these.")
    first = lead_of(comparisons)
    if (size := first.detectable) is not None and not stopped:
        least = Style.of(first.reading, first.difference).delta(size).lstrip("+")
        out.append(
            f"Differences in {first.reading.metric.label} below about {least}: this test would mostly miss them."
        )
    return tuple(out)


def method_of(comparisons: Sequence[Comparison], settings: Family, asked: Options) -> str:
    """How it was made, in one sentence."""
    names = list(dict.fromkeys(c.difference.method for c in comparisons if c.difference.method))
    lifts = " and log ratio for the lift" if any(c.lift is not None for c in comparisons) else ""
    parts = [f"{listing(names) or 'no interval'} for the difference{lifts}"]
    if asked.covariates:
        parts.append(f"adjusted for {listing(list(asked.covariates))}")
    if len(comparisons) > 1:
        parts.append(f"Holm over {len(comparisons)} comparisons at alpha {settings.alpha:g}")
        parts.append("the intervals shown are each comparison's own, the verdicts rest on wider ones")
    else:
        parts.append(f"two-sided at alpha {settings.alpha:g}")
    parts.append("valid for one look at the end" if settings.schedule is None else settings.schedule.method)
    if asked.margin is not None:
        parts.append(f"the same within ±{asked.margin:g} is claimed only if the whole interval lies inside")
    trials = any(m.kind == "trials" for m in asked.metrics)
    unit = asked.unit
    parts.append(f"units by `{unit}`" if unit else "each trial is a unit" if trials else "each row is a unit")
    if asked.cluster is not None:
        parts.append(f"clusters by `{asked.cluster}`")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def arm_intervals(reading: Reading, who: Assignment, settings: Family) -> list[tuple[float, float]]:
    """Each arm's own 95% interval; with clusters, of the clusters."""
    if reading.metric.kind == "quantile":
        from ambidex.stats.quantiles import quantile_level

        owners = reading.owners or (None,) * len(reading.values)
        q = reading.metric.q or 0.5
        return [quantile_level(y, q, seed=SEED, units=u)[1] for y, u in zip(reading.values, owners, strict=True)]
    if settings.clusters is None or settings.source is None:
        return [level.interval() for level in reading.levels]
    from ambidex.stats.clusters import cells_of, cluster_levels

    values = unit_values(settings.source, reading.metric, who)
    kept = values.kept & (settings.clusters.codes >= 0)
    x = None if values.x is None else values.x[kept]
    out = []
    for i in range(len(who.labels)):
        cells = cells_of(values.y[kept], who.arm[kept] == i, settings.clusters.codes[kept], denominator=x)
        level, groups = cluster_levels(cells)[0], cells.treated(1)
        if groups < 2 or not math.isfinite(level.se):
            out.append((-math.inf, math.inf))
        else:
            out.append(bounds(student(groups - 1), level.value, level.se, 0.05))
    return out


def arms_table(readings: Sequence[Reading], who: Assignment, settings: Family) -> list[dict[str, Any]]:
    """Each arm on each metric, with its own 95% interval."""
    rows = []
    for r in readings:
        intervals = arm_intervals(r, who, settings)
        for label, level, missing, (low, high) in zip(who.labels, r.levels, r.missing, intervals, strict=True):
            rows.append(
                {
                    "metric": r.metric.label,
                    "arm": label,
                    "units": level.n,
                    "missing": missing,
                    "value": level.value,
                    "low": low if math.isfinite(low) else None,
                    "high": high if math.isfinite(high) else None,
                }
            )
    return rows
