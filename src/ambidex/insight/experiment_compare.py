"""Arms against the control: claims stated, estimates made, ``decide_all`` asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from ambidex.data.table import Table
from ambidex.insight.experiment_clusters import Clusters
from ambidex.insight.experiment_covariates import Covariates
from ambidex.insight.experiment_data import Assignment, Reading, unit_values
from ambidex.insight.experiment_looks import How, Schedule
from ambidex.insight.experiment_reading import CAP
from ambidex.insight.experiment_words import Comparison, Style, arm_name, in_words
from ambidex.report.answer import Caution
from ambidex.report.words import number, plural
from ambidex.stats.adjustment import adjusted_levels, lin_difference, lin_relative
from ambidex.stats.claim import Claim, Verdict, decide, decide_all
from ambidex.stats.compare import Level, difference, mean_level, ratio_level, relative, share_difference
from ambidex.stats.estimate import Estimate
from ambidex.stats.families import benjamini_hochberg
from ambidex.stats.summaries import Moments

__all__ = ["SEED", "Family", "compare", "judge", "with_outliers_capped"]

Arrays = dict[str, Any]
Pair = tuple[Estimate, Estimate | None, Level, Level]

SEED = 20_110_402
"""Of permutations and bootstraps: fixed, so that the same data gives the same bytes."""


@dataclass(frozen=True, slots=True)
class Family:
    """How claims are judged.

    Attributes:
        alpha: Error rate of the family.
        looks: ``once``, ``planned`` or ``anytime``.
        control: Label of the baseline arm.
        group: Column of the arms, named where a label alone would say nothing (`treat 1`).
        clusters: Clusters of units, if they were named.
        covariates: Columns that the comparison is adjusted for.
        source: The table, for what needs values unit by unit.
        schedule: How this look is judged; None for one look.
    """

    alpha: float
    looks: How
    control: str
    group: str = ""
    clusters: Clusters | None = None
    covariates: tuple[str, ...] = ()
    source: Table | None = None
    schedule: Schedule | None = None


def judge(
    readings: Sequence[Reading],
    who: Assignment,
    settings: Family,
    margin: float | None,
    *,
    family: Literal["holm", "bh"] = "holm",
) -> list[Comparison]:
    """Every metric and treated arm, judged as one family.

    With a margin the claims "outside ±margin" form a second family of their own: it answers another question,
    and either question may be asked at alpha.
    """
    open_ = [c for r in readings for c in compare(r, who, settings)]
    claims = [c.verdict.claim for c in open_]
    estimates = [c.difference for c in open_]
    if family == "bh" and open_:
        estimates = with_q_values(estimates)
    verdicts = decide_all(claims, estimates, family=family)
    out = [replace(c, difference=e, verdict=v) for c, e, v in zip(open_, estimates, verdicts, strict=True)]
    if margin is None:
        return out
    outside = [replace(c, relation="outside", margin=margin) for c in claims]
    return [replace(c, equal=v) for c, v in zip(out, decide_all(outside, estimates, family=family), strict=True)]


def with_q_values(estimates: Sequence[Estimate]) -> list[Estimate]:
    """With the Benjamini-Hochberg q-value of each; one without a p-value counts as 1."""
    known = [1.0 if e.p_value is None else e.p_value for e in estimates]
    return [replace(e, q_value=float(q)) for e, q in zip(estimates, benjamini_hochberg(known), strict=True)]


def compare(reading: Reading, who: Assignment, settings: Family, *, cap: bool = False) -> list[Comparison]:
    """The treated arms against the control, each judged on its own at alpha.

    Args:
        reading: The metric.
        who: The arms.
        settings: How it is judged.
        cap: True for the same with the most extreme thousandth of the values set to ``reading.capped``'s bounds.
    """
    place = who.labels.index(settings.control)
    out = []
    for i, arm in enumerate(who.labels):
        if i == place:
            continue
        e, lift, candidate, baseline = _estimates(reading, i, place, arm, settings, who, cap=cap)
        shown = arm_name(arm, settings.group), arm_name(settings.control, settings.group)
        claim = Claim(
            measure=f"{reading.metric.label}, {shown[0]} against {shown[1]}",
            alpha=settings.alpha,
            looks=settings.looks,
        )
        out.append(
            Comparison(
                reading, *shown, candidate=candidate, baseline=baseline, difference=e, verdict=decide(claim, e),
                lift=lift, clusters=None if settings.clusters is None else settings.clusters.count,
            )
        )  # fmt: skip
    return out


def _estimates(
    reading: Reading, i: int, place: int, arm: str, settings: Family, who: Assignment, *, cap: bool = False
) -> Pair:
    """Difference, lift and the two levels; which method, follows from the metric and the design."""
    labels: Arrays = {
        "name": reading.metric.label,
        "alpha": settings.alpha,
        "arm": arm,
        "control": settings.control,
    }
    moments = reading.capped.moments if cap and reading.capped is not None else reading.moments
    fewest = min(reading.levels[i].n, reading.levels[place].n)
    made: Pair
    if settings.clusters is not None:
        made = _clustered(reading, i, place, settings, who, labels, cap=cap)
        fewest = min(settings.clusters.sizes[i], settings.clusters.sizes[place])
    elif reading.metric.kind == "quantile":
        made = _quantiles(reading, i, place, labels)
    elif reading.covariates:
        made = _adjusted(reading, moments[i], moments[place], labels)
    elif reading.yes is not None:
        (x1, n1), (x0, n0) = reading.yes[i], reading.yes[place]
        pair = reading.levels[i], reading.levels[place]
        made = share_difference(x1, n1, x0, n0, **labels), relative(*pair, **labels), *pair
        fewest = min(fewest, 10 * min(x1, n1 - x1, x0, n0 - x0))
    else:
        pair = reading.levels[i], reading.levels[place]
        if cap:
            level = mean_level if len(reading.outcome) == 1 else ratio_level
            pair = level(moments[i], *reading.outcome), level(moments[place], *reading.outcome)
        unit = "share" if reading.metric.is_share else ""
        made = difference(*pair, unit=unit, **labels), relative(*pair, **labels), *pair
    e, lift, candidate, baseline = made
    if settings.schedule is not None:
        e = settings.schedule.judged(e, fewest=fewest)
        lift = settings.schedule.judged(lift, fewest=fewest) if lift is not None else None
        if lift is not None and lift.law is None:
            lift = None
    return e, lift, candidate, baseline


def _adjusted(reading: Reading, candidate: Moments, baseline: Moments, labels: Arrays) -> Pair:
    """Lin's regression on what was known before the start."""
    top, *below = reading.outcome
    names: Arrays = {"denominator": below[0] if below else None}
    unit = "share" if reading.metric.is_share else ""
    covariates = list(reading.covariates)
    e = lin_difference(candidate, baseline, top, covariates, unit=unit, **names, **labels)
    lift = lin_relative(candidate, baseline, top, covariates, **names, **labels)
    if not e.adjusted:
        e, lift = replace(e, adjusted=None), None if lift is None else replace(lift, adjusted=None)
    return e, lift, *adjusted_levels(candidate, baseline, top, covariates, **names)


def _quantiles(reading: Reading, i: int, place: int, labels: Arrays, clusters: Arrays | None = None) -> Pair:
    """Bootstrap by unit; by cluster, if ``clusters`` names them."""
    from ambidex.stats.quantiles import quantile_difference, quantile_relative

    q = reading.metric.q or 0.5
    y1, y0 = reading.values[i], reading.values[place]
    owners = reading.owners
    units: Arrays = {"units1": owners[i], "units0": owners[place]} if owners else {}
    more: Arrays = {"seed": SEED, **(clusters or units), **labels}
    e = quantile_difference(y1, y0, q, **more)
    return e, quantile_relative(y1, y0, q, **more), reading.levels[i], reading.levels[place]


def _clustered(
    reading: Reading, i: int, place: int, settings: Family, who: Assignment, labels: Arrays, *, cap: bool
) -> Pair:
    """CR1 with t(G-1), below 40 clusters a permutation of the arms."""
    from ambidex.stats.clusters import cells_of, difference_of_cells, relative_of_cells

    assert settings.clusters is not None and settings.source is not None
    values = unit_values(settings.source, reading.metric, who)
    y = values.y if not cap or reading.capped is None else np.clip(values.y, reading.capped.bottom, reading.capped.top)
    kept = values.kept & (settings.clusters.codes >= 0) & np.isin(who.arm, (i, place))
    arm, clusters = (who.arm[kept] == i).astype(np.int64), settings.clusters.codes[kept]
    if reading.metric.kind == "quantile":
        of = (clusters[arm == a] for a in (1, 0))
        if owners := reading.owners:
            of = (settings.clusters.codes[owners[a]] for a in (i, place))
        return _quantiles(reading, i, place, labels, dict(zip(("units1", "units0"), of, strict=True)))
    y, x = y[kept], None if values.x is None else values.x[kept]
    if cap and x is not None:
        x = np.minimum(x, np.quantile(x, CAP))
    more: Arrays = {**labels, "seed": SEED}
    if settings.covariates:
        columns = Covariates.read(settings.source, settings.covariates, who, kept).columns
        if columns:
            y = y if x is None else _linear(y, x, arm)
            y, x = _without(y, np.column_stack([c[kept] for c in columns.values()]), arm), None
            more["adjusted"] = True
    cells, rows = cells_of(y, arm, clusters, denominator=x), (y, arm, clusters, x)
    e = difference_of_cells(cells, rows=rows, unit="share" if reading.metric.is_share else "", **more)
    lift = relative_of_cells(cells, rows=rows, unit="relative", **more)
    candidate, baseline = (
        Level(float(y[arm == a].sum() / (x if x is not None else np.ones_like(y))[arm == a].sum()), np.nan, n, kind)
        for a, n, kind in (
            (1, int(arm.sum()), reading.levels[i].kind),
            (0, int((1 - arm).sum()), reading.levels[i].kind),
        )
    )
    return e, lift, candidate, baseline


def _linear(y: Any, x: Any, arm: Any) -> Any:
    """A ratio's units on the scale of the ratio: R + (y - R·x)/x̄ within each arm, whose mean is the arm's ratio.

    Source: the delta method's linear term, Deng, Knoblich & Lu (2018), KDD, section 3.
    """
    out = np.empty_like(y)
    for a in (0, 1):
        rows = arm == a
        ratio = y[rows].sum() / x[rows].sum()
        out[rows] = ratio + (y[rows] - ratio * x[rows]) / x[rows].mean()
    return out


def _without(y: Any, x: Any, arm: Any) -> Any:
    """Outcomes less what each arm's own regression on the centred covariates says (Lin 2013)."""
    centred = x - x.mean(axis=0)
    out = np.array(y, dtype=np.float64)
    for a in (0, 1):
        rows = arm == a
        design = np.column_stack([np.ones(rows.sum()), centred[rows]])
        slopes, *_ = np.linalg.lstsq(design, y[rows], rcond=None)
        out[rows] = y[rows] - centred[rows] @ slopes[1:]
    return out


def with_outliers_capped(
    comparisons: Sequence[Comparison], who: Assignment, settings: Family
) -> tuple[list[Caution], list[dict[str, Any]]]:
    """Does a verdict change when the largest thousandth of the values is capped? Then a few units carry it.

    Returns:
        Cautions; and where a verdict changes, both results side by side.
    """
    cautions, rows = [], []
    by_spec: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_spec.setdefault(c.reading.metric.spec, []).append(c)
    for mine in by_spec.values():
        reading = mine[0].reading
        if reading.capped is None:
            if reading.metric.kind == "ratio" and settings.source is not None and settings.source.is_large:
                text = f"`{reading.metric.label}`: whether a few units carry it was not looked at, for its size."
                cautions.append(Caution("extremes", text))
            continue
        capped = reading.capped
        again = {d.arm: d for d in compare(reading, who, settings, cap=True)}
        changed = []
        for c in mine:
            claim = replace(c.verdict.claim, alpha=1 - c.verdict.estimate.level)
            verdict = decide(claim, again[c.arm].difference)
            if verdict.outcome != c.verdict.outcome:
                changed.append(c)
                label = f"capped at {number(capped.top)}"
                rows += [_side(c, "as measured", c.difference, c.verdict)]
                rows += [_side(c, label, again[c.arm].difference, verdict)]
        if changed:
            first, then = changed[0], again[changed[0].arm].difference
            style = Style.of(reading, first.difference)
            own = (reading.metric.label, first.arm)
            words = next(r["verdict"] for r in rows if r["values"] != "as measured" and (r["metric"], r["arm"]) == own)
            cautions.append(
                Caution(
                    "outliers",
                    f"`{reading.metric.label}`: {plural(capped.beyond, 'unit')} with extremes, up to "
                    f"{number(capped.largest)}, carry the result. As measured the difference with {first.arm} is "
                    f"{_said(style, first.difference)}, {in_words(first.verdict)}; capped at {number(capped.top)} it "
                    f"is {_said(style, then)}, {words}.",
                )
            )
    return cautions, rows


def _said(style: Style, e: Estimate) -> str:
    return f"{style.delta(e.value)} ({style.range(e.low, e.high)})"


def _side(c: Comparison, values: str, e: Estimate, verdict: Verdict) -> dict[str, Any]:
    return {
        "metric": c.reading.metric.label,
        "arm": c.arm,
        "values": values,
        "difference": e.value,
        "low": e.low,
        "high": e.high,
        "verdict": in_words(verdict),
    }


def ratio_by_rows(reading: Reading, i: int, place: int, labels: Arrays) -> Estimate:
    """A share of trials judged with rows as the units, which is what holds if the trials of a row go together."""
    pair = [ratio_level(reading.moments[a], *reading.outcome) for a in (i, place)]
    return difference(pair[0], pair[1], unit="share", **labels)
