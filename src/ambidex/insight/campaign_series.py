"""A series before and after a date, with nobody left untreated: a local level, other series, placebo dates."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.errors import DataError
from ambidex.insight.campaign_ask import Ask
from ambidex.insight.campaign_money import Arm
from ambidex.insight.campaign_panel import Followed, lifted
from ambidex.insight.campaign_time import Axis
from ambidex.insight.experiment_metrics import read_values
from ambidex.report.answer import Caution, Check, Figure
from ambidex.report.words import listing, plural, share, signed
from ambidex.stats import laws
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.series import LEAST, after_effect, placebo_dates

__all__ = ["watch"]

Floats = npt.NDArray[np.float64]
FALSE_ALARMS = 0.2
"""Share of placebo dates with a clear "effect" from which the method is taken to be misled here."""


def watch(ask: Ask, axis: Axis) -> Followed:
    """The series against its own forecast.

    Raises:
        DataError: ``data.start`` with fewer than ``LEAST`` periods before; ``data.all-missing``.
    """
    values, empty, each = _series(ask, axis, ask.outcome)
    where = f"{ask.source.name}, column {ask.time}"
    if axis.start < LEAST:
        raise DataError(
            "data.start",
            f"{plural(axis.start, 'period')} before the start; a forecast needs {LEAST} at least",
            where=where,
            found=f"{axis.names[0]} to {axis.names[axis.start - 1]}",
            do="bring more of the time before, or units that did not get the campaign (--treatment, --unit)",
        )
    columns, names = [], []
    for name in ask.covariates:
        column, lost, _ = _series(ask, axis, name)
        empty += lost
        columns.append(column)
        names.append(name)
    season, kind = _season(axis)
    blocks = [*columns, *season]
    most = max(0, (axis.start - LEAST) // 2)
    dropped = len(blocks) > most
    if dropped:
        blocks = columns if len(columns) <= most else []
        kind = ""
    x = np.column_stack(blocks) if blocks else None
    effect, expected = after_effect(values, axis.start, x, alpha=ask.alpha, unit="")
    placebos = placebo_dates(
        values[: axis.start], None if x is None else x[: axis.start], len(expected), alpha=ask.alpha
    )
    effect, checks, cautions = _against_placebos(effect, placebos, axis, ask)
    cautions.append(
        Caution(
            "no-untreated",
            "Nobody was left untreated: whatever else changed at the same date counts as the campaign's.",
        )
    )
    if each > 1:
        text = f"About {each} rows of one period enter with their mean; money counts them all."
        cautions.append(Caution("averaged", f"{text} If totals are meant, add them up with a SELECT."))
    if empty:
        cautions.append(
            Caution("missing", f"{plural(empty, 'period')} without a value were filled from their neighbours.")
        )
    if dropped:
        cautions.append(
            Caution("short", "The time before is too short for season and all other series: some were left out.")
        )
    after = float(values[axis.start :].mean())
    arm = Arm(
        "the campaign", "before", replace(effect, arm="the campaign", control="before"), lifted(effect, after), each,
        after, after - effect.value, periods=len(expected),
    )  # fmt: skip
    told = listing([*(f"`{n}`" for n in names if x is not None), *([kind] if kind else [])])
    method = (
        f"Local level{' with ' + told if told else ''} on the {axis.start} periods before {axis.names[axis.start]}, "
        f"forecast over the {len(expected)} from then on, averaged over how much the level may wander; "
        f"{plural(len(placebos), 'placebo date')}."
    )
    return Followed(
        arm, checks, cautions, [_row(effect)], _figure(ask, axis, values, expected, effect), method,
        "the interval rests on the series going on as it did before",
    )  # fmt: skip


def _series(ask: Ask, axis: Axis, name: str) -> tuple[Floats, int, int]:
    """A column by period (the mean of its rows, gaps filled), how many gaps, and rows of a treated period."""
    read = read_values(ask.source, name)
    used = (axis.place >= 0) & np.isfinite(read.values)
    size = len(axis.names)
    rows = np.bincount(axis.place[used], minlength=size)
    sums = np.bincount(axis.place[used], read.values[used], minlength=size)
    gaps = np.flatnonzero(rows == 0)
    there = np.flatnonzero(rows > 0)
    if len(there) < 2:
        raise DataError("data.all-missing", f"`{name}` has a value in {len(there)} periods", where=ask.source.name)
    values = sums / np.maximum(rows, 1)
    values[gaps] = np.interp(gaps, there, values[there])
    return values, len(gaps), max(1, round(float(rows[axis.start :].mean())))


def _season(axis: Axis) -> tuple[list[Floats], str]:
    """Indicators of the day of the week (daily data) or of the month or quarter, with two whole rounds before."""
    if axis.days is None or axis.step is None:
        return [], ""
    days = axis.days
    if axis.step < 1.5:
        place, size, kind = (days.astype("datetime64[D]").astype(int) + 3) % 7, 7, "the day of the week"
    elif 27 < axis.step < 93:
        months = days.astype("datetime64[M]").astype(int) % 12
        size = 12 if axis.step < 32 else 4
        place, kind = (months, "the month") if size == 12 else (months // 3, "the quarter")
    else:
        return [], ""
    if axis.start < 2 * size:
        return [], ""
    return [(place == i).astype(np.float64) - (place == 0) for i in range(1, size)], kind


def _against_placebos(
    effect: Estimate, placebos: list[tuple[int, Estimate]], axis: Axis, ask: Ask
) -> tuple[Estimate, list[Check], list[Caution]]:
    """The error is widened by how far off the method was on dates when nothing began."""
    if len(placebos) < 3 or effect.se is None:
        return (
            effect,
            [],
            [
                Caution(
                    "placebo",
                    f"{plural(len(placebos), 'placebo date')} fit before the start: the method is not tested.",
                )
            ],
        )
    z = np.array([e.value / e.se for _, e in placebos if e.se])
    alarms = float(np.mean([not e.low <= 0 <= e.high for _, e in placebos]))
    wider = float(max(1.0, np.sqrt((z**2).mean())))
    text = f"{share(alarms, 0)} of {len(placebos)} dates on which nothing began look like an effect"
    checks = [Check("placebo dates", alarms <= FALSE_ALARMS, alarms, FALSE_ALARMS, text)]
    cautions = []
    if wider > 1.05:
        cautions.append(
            Caution(
                "placebo",
                f"On {len(placebos)} dates on which nothing began the forecast was off by {wider:.1f} times its own "
                "error: the interval is widened by as much.",
            )
        )
    if wider > 1:
        df = effect.law.args[0] if effect.law is not None else math.inf
        effect = replace(
            effect, se=effect.se * wider, p_value=laws.student_p(effect.value / (effect.se * wider), df)
        ).at(ask.alpha)  # fmt: skip
    return effect, checks, cautions


def _row(e: Estimate) -> dict[str, Any]:
    return {
        "way": e.method, "value": e.value, "se": e.se, "low": finite(e.low), "high": finite(e.high),
        "p_value": e.p_value,
    }  # fmt: skip


def _figure(ask: Ask, axis: Axis, values: Floats, expected: Floats, effect: Estimate) -> Figure:
    rows: list[dict[str, Any]] = []
    far = (effect.high - effect.low) / 2 if math.isfinite(effect.high - effect.low) else None
    for i in range(len(axis.names)):
        x: Any = axis.x(i)
        rows.append({"x": x, "value": float(values[i]), "series": ask.outcome})
        if i >= axis.start:
            line = float(expected[i - axis.start])
            band = {} if far is None else {"low": line - far, "high": line + far}
            rows.append({"x": x, "value": line, "series": "expected", **band})
    return Figure(
        form="line-band",
        title=f"{ask.outcome}, and what was expected",
        subtitle=f"the campaign starts at {axis.names[axis.start]}; the band is that of the mean",
        unit=ask.outcome,
        rows=tuple(rows),
        sentence=f"From {axis.names[axis.start]} on, {ask.outcome} lies {signed(effect.value)} from what was expected.",
        x_title=str(ask.time),
    )
