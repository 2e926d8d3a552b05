"""Does the effect change with the days since a unit was first exposed? What is new wears off, or is learned."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.experiment_compare import Family
from ambidex.insight.experiment_data import Assignment
from ambidex.insight.experiment_metrics import Metric, read_outcome, read_values
from ambidex.insight.experiment_options import Options
from ambidex.insight.experiment_words import Comparison, Style
from ambidex.report.answer import Caution, Check, Figure, Finding
from ambidex.report.words import number, plural
from ambidex.stats.claim import Claim, Verdict, decide_all
from ambidex.stats.compare import Level, difference
from ambidex.stats.estimate import Estimate

__all__ = ["Aged", "effect_by_age"]

Floats = NDArray[np.float64]

ALPHA = 0.01
"""Of the check: it tempers a result, and asked at .05 it would temper every twentieth for nothing."""
BINS = 8
DAY = np.timedelta64(86_400_000_000, "us")


@dataclass
class Aged:
    """What ``--time`` adds to an answer."""

    checks: list[Check] = field(default_factory=list)
    estimates: list[Estimate] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cautions: list[Caution] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def effect_by_age(
    source: Table, asked: Options, comparisons: Sequence[Comparison], who: Assignment, settings: Family
) -> Aged:
    """The slope of the effect on the day, for each mean and share among the primary comparisons.

    With several rows of a unit, days run from its first row. With one row per unit they run from the first day of
    the test: the effect on those who came early against that on those who came late.

    Raises:
        DataError: ``data.column-type`` if the column holds no times.
    """
    out = Aged()
    if asked.time is None:
        return out
    if source.is_large:
        text = f"`{asked.time}` and the outcomes were read whole for the effect over time."
        out.cautions.append(Caution("read-whole", text))
    days, since = _days(source, asked, who)
    unit = np.arange(source.rows) if who.unit is None else who.unit
    arm = np.where(unit >= 0, who.arm[unit], -1)
    kept = [c for c in comparisons if c.reading.metric.kind in ("mean", "share", "count")]
    slopes = []
    for c in kept:
        y = _values(source, c.reading.metric)
        rows = ~np.isnan(y) & ~np.isnan(days) & (arm >= 0)
        code = settings.clusters.codes[unit] if settings.clusters is not None else unit
        pair = [
            _slope(y[m], days[m], code[m])
            for m in (rows & (arm == who.labels.index(str(a))) for a in (c.difference.arm, c.difference.control))
        ]
        e = difference(
            pair[0], pair[1], name=f"{c.reading.metric.label}: change of the effect per day", alpha=ALPHA,
            arm=c.difference.arm, control=c.difference.control, unit=_per_day(c),
            method="slope on days in each arm, clustered by unit",
        )  # fmt: skip
        slopes.append((c, e, y, rows))
    if not slopes:
        return out
    verdicts = decide_all([Claim(measure=e.name, alpha=ALPHA) for _, e, _, _ in slopes], [s[1] for s in slopes])
    out.estimates += [e for _, e, _, _ in slopes]
    out.verdicts += verdicts
    moving = []
    for (c, e, y, rows), verdict in zip(slopes, verdicts, strict=True):
        shown = _finding(c, e, verdict, y, days, rows, arm, who, since)
        if shown is not None and (verdict.outcome != "open" or c is slopes[0][0]):
            out.findings.append(shown)
        if verdict.outcome != "open":
            moving.append(f"{_title(c, e, since)}. The average hides what it will be.")
            out.cautions.append(Caution("novelty", moving[-1]))
    p = min((e.p_value for _, e, _, _ in slopes if e.p_value is not None), default=None)
    text = " ".join(moving) or f"no sign that the effect changes with {since}"
    out.checks.append(Check("novelty", not moving, p, ALPHA, text))
    return out


def _days(source: Table, asked: Options, who: Assignment) -> tuple[Floats, str]:
    """Days of each row, and since what; NaN where there is no time."""
    assert asked.time is not None
    times = source.moments(asked.time)
    known = ~np.isnat(times)
    if not known.any():
        raise DataError(
            "data.column-type",
            f"`{asked.time}` holds no times",
            where=f"{source.name}, column {asked.time}",
            found=", ".join(repr(str(v)) for v in source.spelled(asked.time).drop_null()[:3].to_pylist()),
            do="name a column of dates or times",
        )
    days = np.full(source.rows, np.nan)
    several = who.unit is not None and int((who.unit >= 0).sum()) > len(np.unique(who.unit[who.unit >= 0]))
    if several:
        assert who.unit is not None
        rows = known & (who.unit >= 0)
        first = np.full(len(who.arm), np.iinfo(np.int64).max)
        np.minimum.at(first, who.unit[rows], times[rows].astype(np.int64))
        start = first[who.unit[rows]].astype("datetime64[us]")
        days[rows] = (times[rows] - start) / DAY
        return days, f"days since a unit's first `{asked.time}`"
    days[known] = (times[known] - times[known].min()) / DAY
    return days, f"days since the first `{asked.time}`"


def _values(source: Table, metric: Metric) -> Floats:
    return (
        read_outcome(source, metric).values if metric.value is not None else read_values(source, metric.column).values
    )


def _slope(y: Floats, days: Floats, code: NDArray[Any]) -> Level:
    """Slope of the outcome on days, its error clustered by unit."""
    n = len(np.unique(code))
    if n < 3 or np.ptp(days) == 0:
        return Level(math.nan, math.nan, n, "mean")
    centred = days - days.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread
    scores = centred * (y - y.mean() - slope * centred)
    _, place = np.unique(code, return_inverse=True)
    summed = np.bincount(place, scores)
    return Level(slope, math.sqrt(n / (n - 1) * float(summed @ summed)) / spread, n, "mean")


def _per_day(c: Comparison) -> str:
    return "share a day" if c.difference.unit == "share" else "a day"


def _title(c: Comparison, e: Estimate, since: str) -> str:
    label = c.reading.metric.label
    level = c.difference.value
    grows = (e.value > 0) == (level > 0)
    what = "grows" if grows else "fades"
    size = f"{100 * e.value:+.2g} points" if c.difference.unit == "share" else f"{e.value:+.2g}"
    return f"The effect of {c.arm} on {label} {what} with {since} ({size.replace('-', '−')} a day)"


def _finding(
    c: Comparison, e: Estimate, verdict: Verdict, y: Floats, days: Floats, rows: NDArray[np.bool_],
    arm: NDArray[np.int64], who: Assignment, since: str,
) -> Finding | None:  # fmt: skip
    label, style = c.reading.metric.label, Style.of(c.reading, c.difference)
    shown = []
    for low, high, inside in _bins(days, rows):
        pair = []
        for a in (c.difference.arm, c.difference.control):
            values = y[inside & (arm == who.labels.index(str(a)))]
            n = len(values)
            pair.append(
                Level(
                    float(values.mean()) if n else math.nan,
                    float(values.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan,
                    n,
                    "mean",
                )
            )
        d = difference(pair[0], pair[1])
        if math.isfinite(d.low) and math.isfinite(d.high):
            name = f"day {low:.0f}" if high - low < 1 else f"days {low:.0f} to {high:.0f}"
            shown.append({"label": name, "value": d.value, "low": d.low, "high": d.high, "n": d.n})
    if len(shown) < 2:
        return None
    moved = verdict.outcome != "open"
    title = _title(c, e, since) if moved else f"No sign that the effect of {c.arm} on {label} changes over time"
    return Finding(
        title=title,
        text="" if moved else f"The slope is {number(e.value)} a day ({number(e.low)} to {number(e.high)}).",
        strength="some" if moved else "weak",
        so_what="Watch it longer before the average is taken for what will last." if moved else "The average will do.",
        how_sure=f"{100 * e.level:.3g}% interval of the slope, by unit; {plural(len(shown), 'period')} shown.",
        figure=Figure(
            form="interval-dots",
            title=f"{label}, {c.arm} against {c.control}, by {since.replace('`', '')}",
            subtitle=f"{'difference in shares' if style.shares else 'difference'}, with 95% intervals",
            unit="points" if style.shares else label,
            rows=tuple(shown),
            sentence=title + ".",
        ),
    )


def _bins(days: Floats, rows: NDArray[np.bool_]) -> list[tuple[float, float, NDArray[np.bool_]]]:
    """Up to eight periods with about as many rows each; whole days where there are few."""
    whole = np.floor(days)
    found = np.unique(whole[rows])
    if len(found) <= BINS:
        return [(float(d), float(d), rows & (whole == d)) for d in found]
    cuts = np.unique(np.quantile(whole[rows], np.linspace(0, 1, BINS + 1), method="lower"))
    out = []
    for i in range(len(cuts) - 1):
        last = i == len(cuts) - 2
        inside = rows & (whole >= cuts[i]) & ((whole <= cuts[i + 1]) if last else (whole < cuts[i + 1]))
        high = float(cuts[i + 1]) if last else float(cuts[i + 1]) - 1
        out.append((float(cuts[i]), high, inside))
    return out
