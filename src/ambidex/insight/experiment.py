"""``experiment``: is there a difference between treatment groups?

Claims are stated from the options before an outcome is read: for each primary metric and arm "the
difference to the control is above 0", two-sided, Holm over all of them. ``decide_all`` answers; this
module reads rows before it and words after it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ambidex.data.read import read
from ambidex.data.record import command_line, record
from ambidex.data.table import Table
from ambidex.insight.experiment_advice import advise, advise_stop, lead_of
from ambidex.insight.experiment_checks import parse_shares, pick_control
from ambidex.insight.experiment_clusters import find_clusters, inside
from ambidex.insight.experiment_compare import SEED, Family, compare, judge, with_outliers_capped
from ambidex.insight.experiment_data import Assignment, Reading, assign, read_metrics
from ambidex.insight.experiment_design import cautions_of, check_design, guard_cautions, is_firm
from ambidex.insight.experiment_groups import effects_by_group
from ambidex.insight.experiment_looks import Look, schedule_of
from ambidex.insight.experiment_metrics import Guardrail
from ambidex.insight.experiment_novelty import effect_by_age
from ambidex.insight.experiment_options import Options, read_options
from ambidex.insight.experiment_page import arm_intervals, arms_table, method_of, tiles_of, unknowns_of
from ambidex.insight.experiment_repeats import find_repeats
from ambidex.insight.experiment_words import (
    Comparison,
    Style,
    arm_name,
    arms_figure,
    metric_finding,
    secondary_findings,
)
from ambidex.insight.plan_file import Plan
from ambidex.report.answer import Answer, Caution, Check, Finding, Strength
from ambidex.report.words import listing
from ambidex.stats.claim import decide

__all__ = ["experiment"]


def experiment(
    table: Any,
    *,
    group: str,
    metric: str | Sequence[str],
    control: str | None = None,
    unit: str | None = None,
    shares: str | Mapping[str, float] | None = None,
    alpha: float = 0.05,
    anytime: bool = False,
    margin: float | None = None,
    secondary: str | Sequence[str] = (),
    guardrail: str | Sequence[str] = (),
    cluster: str | None = None,
    covariate: str | Sequence[str] = (),
    exposure: str | None = None,
    time: str | None = None,
    by: str | Sequence[str] = (),
    notes: Sequence[tuple[str, str]] = (),
    plan: Plan | None = None,
    earlier: Sequence[Look] | None = None,
) -> Answer:
    """Is there a difference between treatment groups?

    Args:
        table: Anything ``data.read`` reads; one row per unit, or several with ``unit``.
        group: Column of the arms, labels as the file writes them.
        metric: One SPEC or several primary ones: ``col`` (mean, or share of yes), ``col:mean``, ``col:share``,
            ``col=LABEL:share`` (share of one label), ``col:count``, ``col:q90`` (a quantile), ``num/den``,
            ``num/den:share`` (rows hold counts of yes and of trials; the trials of one ``unit`` are not taken as
            independent).
        control: Label of the baseline arm; picked from the names if None, and said.
        unit: Column of what was randomised; rows are brought together by it. Means and shares enter with the
            mean of a unit's rows, counts with their sum, ratios with both sums.
        shares: Planned arm sizes, ``A=.5,B=.5`` or a mapping; equal if None. ``unknown`` leaves the check of the arm
            sizes out, and says so.
        alpha: Error rate of the family of primary claims, in (0, 1).
        anytime: True if the result may be looked at as often as one likes.
        margin: Differences inside ±margin do not matter; also asks whether they lie inside. In the metric's unit.
        secondary: SPECs that are reported under Benjamini-Hochberg.
        guardrail: ``SPEC:MARGIN``: must not fall (margin below 0) or rise (above 0) by more.
        cluster: Column of what units share (a village, a school); intervals count clusters, not units.
        covariate: Columns known before the start, which the comparison is adjusted for (Lin's regression; with one
            column, the outcome before the start, it is CUPED's gain). Labels enter as strata.
        exposure: Column of what a unit really saw; units that disagree with ``group`` are counted.
        time: Column of when a row was measured (or a unit exposed): does the effect change with days since exposure?
        by: Columns of groups of customers: is the effect another in some of them?
        notes: Cautions (code, text) that only people know, carried on.
        plan: The plan whose options these are (``plan_file.hold``); its looks are judged by Lan-DeMets bounds.
        earlier: Looks at the same claim on rows that are in the table too, oldest first; None if nobody has kept a
            record. After one, bounds that hold at every look are used, or the plan's.

    Returns:
        Estimates of kind ``difference`` and ``relative`` per metric and arm, and with ``category`` per group of
        customers; checks ``srm``, ``unit``, ``looks`` and, where they apply, ``two-arms``, ``exposure``,
        ``missing …``, ``balance``, ``clusters``, ``copies`` and ``novelty``.

    Raises:
        UsageError: ``usage.metric``, ``usage.value``, ``usage.type``.
        NotFound: ``data.no-column``, ``data.no-label``.
        DataError: ``data.one-arm``, ``data.small-arm``, ``data.no-variance``, ``data.all-missing``, ``data.infinite``,
            ``data.column-type``, ``data.metric-values``, ``data.zero-denominator``, ``data.cluster``.

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.table({"arm": ["A"] * 400 + ["B"] * 400, "paid": [1, 0, 0, 0] * 100 + [1, 1, 0, 0] * 100})
        >>> experiment(rows, group="arm", metric="paid").headline
        'paid rose from 25.0% to 50.0% with B (+25.0 points, +18.4 to +31.3)'
    """
    source = read(table)
    asked = read_options(
        source, group=group, metric=metric, secondary=secondary, guardrail=guardrail, control=control, unit=unit,
        cluster=cluster, covariate=covariate, shares=shares, alpha=alpha, anytime=anytime, margin=margin,
        exposure=exposure, time=time, by=by,
    )  # fmt: skip
    who = assign(source, asked.group, asked.unit)
    base, picked = pick_control(who.labels, control, asked.group)
    planned = parse_shares(shares, who.labels)
    clusters = None if asked.cluster is None else find_clusters(source, asked.cluster, who)
    if clusters is not None:
        who = inside(who, clusters)
    settings = Family(
        alpha=alpha,
        looks="once",
        control=base,
        group=asked.group,
        clusters=clusters,
        covariates=asked.covariates,
        source=source,
    )
    readings = read_metrics(source, asked.metrics, who, asked.covariates)
    primary = [readings[m.spec] for m in asked.primary]
    schedule = schedule_of(
        sum(level.n for level in primary[0].levels), alpha=alpha, watched=anytime, plan=plan, earlier=earlier,
        arms=len(who.labels),
    )  # fmt: skip
    settings = replace(settings, looks=schedule.how, schedule=schedule)

    checks, cautions = check_design(source, asked, who, base, planned, clusters, list(readings.values()))
    comparisons = judge(primary, who, settings, margin)
    more = judge([readings[m.spec] for m in asked.secondary], who, settings, None, family="bh")
    guarded = _guard(asked.guards, readings, who, settings)
    extremes, beside = with_outliers_capped(comparisons, who, settings)
    cautions += cautions_of(comparisons, who, picked, asked, list(readings.values()), source.cautions)
    cautions += [*extremes, *guard_cautions(guarded)]
    groups = effects_by_group(source, asked, primary, comparisons, settings)
    cautions += groups.cautions
    aged = effect_by_age(source, asked, comparisons, who, settings)
    checks += aged.checks
    cautions += [*aged.cautions, *(Caution(str(code), str(text)) for code, text in notes)]

    stopped = any(c.decides and not c.passed for c in checks)
    strength = _strength(comparisons, firm=is_firm(checks, cautions) and schedule.check.passed and not notes)
    treated = listing([arm_name(a, asked.group) for a in who.labels if a != base], "or")
    if stopped:
        headline, recommendation, actions = advise_stop(checks)
        findings: tuple[Finding, ...] = ()
        strength = "weak"
    else:
        headline, recommendation, actions = advise(comparisons, guarded, margin)
        main = _findings(comparisons, margin, strength, schedule.said)
        findings = (
            *main[:2],
            *groups.findings[:2],
            *aged.findings[:1],
            *main[2:4],
            *secondary_findings(more),
            _arms_finding(lead_of(comparisons), who, strength, settings),
            *groups.findings[2:],
            *aged.findings[1:],
        )
    verdicts = [c.verdict for c in comparisons] + [c.equal for c in comparisons if c.equal is not None]
    verdicts += [c.verdict for c in [*more, *guarded]] + [*groups.verdicts, *aged.verdicts]
    estimates = [e for c in _once([*comparisons, *more, *guarded]) for e in (c.difference, c.lift) if e is not None]
    estimates += [*groups.estimates, *aged.estimates]
    tables = {"arms": arms_table(list(readings.values()), who, settings)}
    if beside:
        tables["extremes capped"] = beside
    tables |= {**groups.tables, **aged.tables}
    told = {} if plan is None else {"plan": plan.name}
    seeded = clusters is not None or any(m.kind == "quantile" for m in asked.metrics)
    return Answer(
        verb="experiment",
        question=f"Does {treated} change {listing([r.metric.label for r in primary])}?",
        headline=headline,
        strength=strength,
        recommendation=recommendation,
        numbers=() if stopped else tiles_of(comparisons, who, base),
        estimates=tuple(estimates),
        verdicts=() if stopped else tuple(verdicts),
        checks=(*checks, schedule.check),
        cautions=tuple(cautions),
        findings=findings,
        actions=actions,
        unknowns=unknowns_of(comparisons, asked, stopped=stopped),
        method=method_of(comparisons, settings, asked),
        tables=tables,
        record={
            **record(source, verb="experiment", options=asked.recorded() | told, seed=SEED if seeded else None),
            **schedule.to_record(plan),
        },
        next=(*(_instead(source, asked, who, checks) if stopped else ()), "ambidex report answer/N"),
        extra={
            "control": base,
            "arms": [{"label": a, "units": n} for a, n in zip(who.labels, who.counts, strict=True)],
        },
    )


def _instead(source: Table, asked: Options, who: Assignment, checks: Sequence[Check]) -> tuple[str, ...]:
    """The command that may answer where this one cannot, or that helps to find out why."""
    failed = {c.name for c in checks if not c.passed}
    given = {k: v for k, v in asked.recorded().items() if v not in (None, False, [], ()) and k != "alpha"}
    repeats = find_repeats(source, who, asked.used) if "unit" in failed and asked.unit is None else None
    if repeats is not None:
        return (command_line(source, "experiment", given | {"unit": repeats[0]}),)
    if failed == {"balance"}:
        return (command_line(source, "experiment", {k: v for k, v in given.items() if k != "covariate"}),)
    return (command_line(source, "profile", {}),)


def _guard(
    guards: Sequence[Guardrail], readings: Mapping[str, Reading], who: Assignment, settings: Family
) -> list[Comparison]:
    """Non-inferiority: alpha is not split over guardrails, since all of them must hold."""
    out = []
    for g in guards:
        for c in compare(readings[g.metric.spec], who, settings):
            claim = replace(c.verdict.claim, relation="above" if g.margin < 0 else "below", margin=g.margin)
            out.append(replace(c, verdict=decide(claim, c.difference)))
    return out


def _strength(comparisons: Sequence[Comparison], *, firm: bool) -> Strength:
    """Strong: decided, would be at a tenth of alpha too, and no caution about the design (``firm``)."""
    decided = [c for c in comparisons if c.verdict.outcome != "open"]
    if not decided:
        return "some" if any(c.same for c in comparisons) else "weak"
    if not firm:
        return "some"
    stricter = [replace(c.verdict.claim, alpha=(1 - c.verdict.estimate.level) / 10) for c in decided]
    again = [decide(claim, c.difference).outcome for claim, c in zip(stricter, decided, strict=True)]
    return "strong" if "open" not in again else "some"


def _findings(
    comparisons: Sequence[Comparison], margin: float | None, strength: Strength, looked: str
) -> list[Finding]:
    by_metric: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_metric.setdefault(c.reading.metric.spec, []).append(c)
    lead = lead_of(comparisons)
    first = sorted(by_metric.values(), key=lambda group: lead not in group)  # the headline's metric first
    findings = []
    for group in first:
        clear = any(c.verdict.outcome != "open" for c in group)
        findings.append(metric_finding(group, margin, strength if clear else "weak", looked, lead))
    return findings


def _arms_finding(first: Comparison, who: Assignment, strength: Strength, settings: Family) -> Finding:
    shares = first.difference.unit == "share"
    style = Style.of(first.reading, first.difference)
    levels = zip(who.labels, first.reading.levels, strict=True)
    before = ", before adjustment" if first.difference.adjusted else ""
    return Finding(
        title=f"{first.reading.metric.label} by arm{before}: "
        + listing([f"{a} {style.level(v.value)}" for a, v in levels]),
        text="",
        strength=strength,
        so_what="The arms themselves, for scale; the comparison above decides.",
        how_sure="Each arm's own 95% interval; two that overlap can still differ.",
        figure=arms_figure(first.reading, who.labels, shares, arm_intervals(first.reading, who, settings)),
    )


def _once(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """A metric that is primary and a guardrail is one estimate, not two."""
    seen: dict[tuple[str, str], Comparison] = {}
    for c in comparisons:
        seen.setdefault((c.reading.metric.spec, c.arm), c)
    return list(seen.values())
