"""A campaign with a start date and units that did not get it: synthetic and plain difference in differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.errors import DataError
from ambidex.insight.campaign_ask import Ask
from ambidex.insight.campaign_money import Arm
from ambidex.insight.campaign_time import Axis, Grid, Who, grid_of
from ambidex.insight.experiment_metrics import read_values
from ambidex.report.answer import Caution, Check, Figure
from ambidex.report.words import count, listing, number, plural, signed
from ambidex.stats import panel as stats
from ambidex.stats.estimate import Estimate, finite

__all__ = ["Followed", "Staggered", "follow", "lifted", "repeated"]

ENOUGH = 3
"""Periods before the start from which weights on units can be fitted."""
LOOK = 0.05


@dataclass(frozen=True, eq=False)
class Followed:
    """A before/after design, measured.

    Attributes:
        arm: The treatment against what would have been.
        checks, cautions: Of the design.
        ways: The same question answered in other ways, for the table.
        figure: What was seen and what would have been.
        method: In a sentence.
        how_sure: What the interval rests on.
    """

    arm: Arm
    checks: list[Check]
    cautions: list[Caution]
    ways: list[dict[str, Any]]
    figure: Figure | None
    method: str
    how_sure: str


class Staggered(Exception):
    """Units start at different dates.

    Attributes:
        starts: First treated period -> units.
    """

    def __init__(self, starts: dict[str, int]) -> None:
        super().__init__(str(starts))
        self.starts = starts


def follow(ask: Ask, axis: Axis, who: Who) -> Followed:
    """Units followed over time.

    Raises:
        Staggered: Units start at different dates.
        DataError: ``data.start`` if units were treated before the start, or from a later date on.
    """
    read = read_values(ask.source, ask.outcome)
    grid, cautions = grid_of(ask, axis, who, read.values)
    panel = _panel(ask, axis, grid)
    n1, n0 = int(panel.treated.sum()), int((~panel.treated).sum())
    plain = stats.did(panel, alpha=ask.alpha)
    synthetic = panel.start >= ENOUGH and n0 >= 3
    fit = stats.synthetic(panel) if synthetic else None
    effect = stats.synthetic_did(panel, alpha=ask.alpha) if synthetic else plain
    seen = panel.y[panel.treated].mean(axis=0)
    after = float(seen[panel.start :].mean())
    arm = Arm(
        who.label, who.control, effect, lifted(effect, after), n1, after, after - effect.value,
        periods=panel.after,
    )  # fmt: skip
    trend = stats.pre_trend(panel, alpha=ask.alpha)
    checks, more = _checks(panel, trend, effect, ask)
    ways = [_way("synthetic difference in differences", effect)] if synthetic else []
    ways.append(_way("difference in differences", plain))
    cr1 = stats.clustered_se(panel)
    ways.append(
        {
            "way": "two-way fixed effects, clustered by unit (CR1)", "value": plain.value, "se": cr1,
            "low": None, "high": None, "p_value": None,
        }
    )  # fmt: skip
    if fit is not None:
        rank = 1 + round((effect.p_value or 1.0) * (len(effect.law.args) + 1) - 1) if effect.law is not None else None
        if rank is not None and effect.law is not None:
            text = f"rank {rank} of {len(effect.law.args) + 1} by size, {who.label} among the placebos"
            checks.append(Check("placebos in space", True, float(rank), None, text))
    line = fit.path if fit is not None else _parallel(panel)
    method = (
        f"{effect.method}: {plural(n1, 'treated unit')}, {count(n0)} untreated, {panel.start} periods before "
        f"{axis.names[panel.start]} and {panel.after} from then on."
    )
    sure = (
        f"p is the rank among {len(effect.law.args)} placebos"
        if effect.law and effect.law.name == "placebos"
        else ("intervals rest on the spread of the units' changes")
    )
    return Followed(
        arm, checks, [*cautions, *more], ways, _figure(ask, axis, who, seen, line, panel.start),
        method[0].upper() + method[1:], sure,
    )  # fmt: skip


def _panel(ask: Ask, axis: Axis, grid: Grid) -> stats.Panel:
    ever: npt.NDArray[np.bool_] = np.any(grid.on, axis=1)
    if not ever.any():
        raise DataError(
            "data.no-treated",
            "no treated unit has an outcome in every period",
            where=f"{ask.source.name}, column {ask.treatment}",
            do="bring all periods of the treated units",
        )
    changes = not grid.on[ever].all()
    if changes:
        first = grid.on[ever].argmax(axis=1)
        values, counts = np.unique(first, return_counts=True)
        if len(values) > 1:
            raise Staggered({axis.names[int(v)]: int(n) for v, n in zip(values, counts, strict=True)})
        if int(values[0]) != axis.start:
            raise DataError(
                "data.start",
                f"the treated units are treated from {axis.names[int(values[0])]} on, and --start says {ask.start}",
                where=f"{ask.source.name}, column {ask.treatment}",
                found=plural(int(ever.sum()), "treated unit"),
                do=f"--start {axis.names[int(values[0])]}",
            )
        if not grid.on[ever][:, axis.start :].all():
            stopped = int((~grid.on[ever][:, axis.start :].all(axis=1)).sum())
            raise DataError(
                "data.start",
                f"{plural(stopped, 'unit')} stop being treated before the data ends",
                where=f"{ask.source.name}, column {ask.treatment}",
                do="keep the periods up to the end of the campaign, with a SELECT",
            )
    if ever.all():
        raise DataError("data.one-arm", "every unit was treated", where=ask.source.name)
    return stats.Panel(grid.y, ever, axis.start)


def _checks(
    panel: stats.Panel, trend: Estimate | None, effect: Estimate, ask: Ask
) -> tuple[list[Check], list[Caution]]:
    checks, cautions = [], []
    if trend is not None and trend.p_value is not None:
        fine = trend.p_value >= LOOK
        text = f"before the start the treated moved {signed(trend.value)} a period against the untreated"
        checks.append(Check("pre-trend", fine, trend.p_value, LOOK, f"{text}, p = {trend.p_value:.2g}"))
    else:
        cautions.append(
            Caution("pre-trend", "Fewer than 3 periods before the start: parallel trends cannot be checked.")
        )
    placebo = stats.placebo_in_time(panel, alpha=ask.alpha)
    if placebo is not None and placebo.p_value is not None:
        fine = placebo.p_value >= LOOK
        text = f"a start that never was, before the true one, finds {signed(placebo.value)}, p = {placebo.p_value:.2g}"
        if not fine:
            share = "" if effect.value == 0 else f", {abs(placebo.value / effect.value):.0%} of the effect"
            text += f"{share}: part of it may have begun before the campaign"
        checks.append(Check("placebo in time", fine, placebo.p_value, LOOK, text))
    if not math.isfinite(effect.low):
        n0 = int((~panel.treated).sum())
        cautions.append(
            Caution(
                "few-units",
                f"{plural(n0, 'untreated unit')} are too few placebos for an interval at alpha {ask.alpha:g}: "
                f"the smallest p that can come out is 1/{n0 + 1}.",
            )
        )
    return checks, cautions


def _parallel(panel: stats.Panel) -> npt.NDArray[np.float64]:
    """The untreated, moved to the level of the treated before."""
    k = panel.start
    line = panel.y[~panel.treated].mean(axis=0)
    out: npt.NDArray[np.float64] = line + panel.y[panel.treated][:, :k].mean() - line[:k].mean()
    return out


def _way(name: str, e: Estimate) -> dict[str, Any]:
    return {
        "way": name, "value": e.value, "se": e.se, "low": finite(e.low), "high": finite(e.high), "p_value": e.p_value,
    }  # fmt: skip


def lifted(effect: Estimate, seen: float) -> Estimate | None:
    """The effect relative to what would have been, the outcome seen with treatment taken as it is.

    None where what would have been is not above 0 anywhere in the interval.
    """
    without = seen - effect.value
    if not (without > 0 and seen > 0):
        return None

    def relative(e: float) -> float:
        return math.inf if seen - e <= 0 else seen / (seen - e) - 1

    low, high = (relative(b) if math.isfinite(b) else b for b in (effect.low, effect.high))
    return Estimate(
        name="lift", kind="lift", value=relative(effect.value), low=low, high=high, n=effect.n, level=effect.level,
        unit="relative", method=f"{effect.method}, over what would have been", p_value=effect.p_value,
        arm=effect.arm, control=effect.control,
    )  # fmt: skip


def _figure(ask: Ask, axis: Axis, who: Who, seen: Any, line: Any, start: int) -> Figure:
    rows = []
    for i in range(len(axis.names)):
        x: Any = axis.x(i)
        rows.append({"x": x, "value": float(seen[i]), "series": who.label})
        rows.append({"x": x, "value": float(line[i]), "series": "without, expected"})
    gap = float((seen[start:] - line[start:]).mean())
    return Figure(
        form="line-band",
        title=f"{ask.outcome} of {who.label}, and what would have been",
        subtitle=f"per {ask.unit or 'unit'}; the campaign starts at {axis.names[start]}",
        unit=ask.outcome,
        rows=tuple(rows),
        sentence=f"From {axis.names[start]} on, {ask.outcome} lies {signed(gap)} from what was expected.",
        x_title=str(ask.time),
    )


def repeated(ask: Ask, axis: Axis, who: Who) -> Followed:
    """Other units before and after: no unit column.

    Raises:
        DataError: ``data.small-arm`` for a corner with fewer than two rows; ``data.one-arm``.
    """
    read = read_values(ask.source, ask.outcome)
    columns, names = _covariates(ask)
    used = (axis.place >= 0) & who.known & np.isfinite(read.values) & np.isfinite(columns).all(axis=1)
    y, treated, after = read.values[used], who.on[used], axis.place[used] >= axis.start
    corners = {
        f"{'treated' if t else 'untreated'} {'after' if a else 'before'}": int(((treated == t) & (after == a)).sum())
        for t in (False, True)
        for a in (False, True)
    }
    if min(corners.values()) < 2:
        few = min(corners, key=lambda c: corners[c])
        raise DataError(
            "data.small-arm",
            f"{plural(corners[few], 'row')} {few}; each of the four corners needs two",
            where=ask.source.name,
            found=", ".join(f"{k} {v:,}" for k, v in corners.items()),
            do="--treatment a column that is 1 for the treated group before the start too, and 0 for the others",
        )
    effect, alike = stats.cross_section(y, treated, after, columns[used], alpha=ask.alpha)
    seen = float(y[treated & after].mean())
    n1 = int((treated & after).sum())
    ways = [
        _way("difference in differences, HC2", effect),
        {
            "way": "difference in differences, equal variances", "value": effect.value, "se": alike, "low": None,
            "high": None, "p_value": None,
        },
    ]  # fmt: skip
    cautions = [
        Caution("pre-trend", "Without --unit nobody is followed: parallel trends are assumed, and rows as independent.")
    ]
    if not used.all():
        cautions.append(Caution("missing", f"{plural(int((~used).sum()), 'row')} with a missing value left out."))
    arm = Arm(who.label, who.control, effect, lifted(effect, seen), n1, seen, seen - effect.value)
    adjusted = f", adjusted for {listing(names)}" if names else ""
    corner = "; ".join(f"{k} {number(v)}" for k, v in corners.items())
    return Followed(
        arm, [], cautions, ways, None,
        f"{effect.method[0].upper()}{effect.method[1:]}{adjusted}; rows: {corner}.",
        "intervals rest on rows being independent",
    )  # fmt: skip


def _covariates(ask: Ask) -> tuple[npt.NDArray[np.float64], list[str]]:
    from ambidex.insight.campaign_observational import covariate_matrix

    if not ask.covariates:
        return np.empty((ask.source.rows, 0)), []
    matrix, names = covariate_matrix(ask.source, ask.covariates, fill=False)
    return matrix, names
