"""``experiment``: is there a difference between treatment groups?

Claims are stated from the options before an outcome is read: for each primary metric and arm "the
difference to the control is above 0", two-sided, Holm over all of them. ``decide_all`` answers; this
module reads rows before it and words after it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ambidex.data.read import read
from ambidex.data.record import record
from ambidex.errors import UsageError
from ambidex.insight.experiment_advice import advise, advise_stop
from ambidex.insight.experiment_checks import check_missing, check_ratio, check_units, parse_shares, pick_control
from ambidex.insight.experiment_compare import Family, compare, judge, with_outliers_capped
from ambidex.insight.experiment_data import Assignment, Reading, assign, read_metric
from ambidex.insight.experiment_metrics import Guardrail, Metric, parse_guardrail, parse_metric
from ambidex.insight.experiment_page import arms_table, looks_check, method_of, tiles_of, unknowns_of
from ambidex.insight.experiment_words import Comparison, Style, arms_figure, difference_finding
from ambidex.report.answer import Answer, Caution, Check, Finding, Strength
from ambidex.report.words import count, listing
from ambidex.stats.claim import decide

__all__ = ["experiment"]

LEAST_ALPHA = 1e-9
"""No approximation used here is known to hold further out."""

DESIGN_CAUTIONS = ("srm", "unit", "two-arms", "outliers", "small-cells")


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
    notes: Sequence[tuple[str, str]] = (),
) -> Answer:
    """Is there a difference between treatment groups?

    Args:
        table: Anything ``data.read`` reads; one row per unit, or several with ``unit``.
        group: Column of the arms, labels as the file writes them.
        metric: One SPEC or several primary ones: ``col`` (mean, or share of yes), ``col:mean``, ``col:share``,
            ``col:count``, ``num/den``, ``num/den:share`` (rows hold counts of yes and of trials; the trials of one
            ``unit`` are not taken as independent).
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
        notes: Cautions (code, text) that only people know, carried on.

    Returns:
        Estimates of kind ``difference`` and ``relative`` per metric and arm; checks ``srm``, ``unit``, ``looks``
        and, where they apply, ``two-arms`` and ``missing …``.

    Raises:
        UsageError: ``usage.metric``, ``usage.value``, ``usage.type``.
        NotFound: ``data.no-column``, ``data.no-label``.
        DataError: ``data.one-arm``, ``data.small-arm``, ``data.no-variance``, ``data.all-missing``, ``data.infinite``,
            ``data.column-type``, ``data.metric-values``, ``data.zero-denominator``.

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.table({"arm": ["A"] * 400 + ["B"] * 400, "paid": [1, 0, 0, 0] * 100 + [1, 1, 0, 0] * 100})
        >>> experiment(rows, group="arm", metric="paid").headline
        'paid rose from 25.0% to 50.0% with B (+25.0 points, +18.4 to +31.3)'
    """
    _check_options(group, control, unit, alpha, anytime, margin)
    source = read(table)
    group = source.require(group)
    unit = None if unit is None else source.require(unit)
    primary = [parse_metric(source, s) for s in _several(metric, "metric")]
    if not primary:
        raise UsageError("usage.metric", "no metric was named", do="--metric COLUMN")
    if margin is not None and len(primary) > 1 and not all(m.is_share for m in primary):
        raise UsageError(
            "usage.value",
            f"margin {margin:g} has one unit, and the metrics {listing([m.label for m in primary])} have several",
            do="--margin with one --metric at a time",
        )
    others = [parse_metric(source, s, option="secondary") for s in _several(secondary, "secondary")]
    guards = [parse_guardrail(source, s) for s in _several(guardrail, "guardrail")]
    _check_roles(group, unit, [*primary, *others, *(g.metric for g in guards)])
    named = _distinct([*primary, *others, *(g.metric for g in guards)])
    primary, others = [named[m.spec] for m in primary], [named[m.spec] for m in others]
    guards = [replace(g, metric=named[g.metric.spec]) for g in guards]
    options = {
        "group": group, "metric": [m.spec for m in primary], "control": control, "unit": unit,
        "shares": _as_text(shares), "alpha": alpha, "anytime": anytime,
        "margin": margin, "secondary": [m.spec for m in others],
        "guardrail": [f"{g.metric.spec}:{g.margin:g}" for g in guards],
    }  # fmt: skip

    who = assign(source, group, unit)
    base, picked = pick_control(who.labels, control, group)
    planned = parse_shares(shares, who.labels)
    readings: dict[str, Reading] = {}
    for m in [*primary, *others, *(g.metric for g in guards)]:
        if m.spec not in readings:
            readings[m.spec] = read_metric(source, m, who)

    checks, cautions = _check_design(source, group, unit, who, planned, list(readings.values()))
    stopped = any(c.decides and not c.passed for c in checks)
    settings = Family(alpha=alpha, looks="anytime" if anytime else "once", control=base)
    comparisons = judge([readings[m.spec] for m in primary], who, settings, margin)
    more = judge([readings[m.spec] for m in others], who, settings, None, family="bh")
    guarded = _guard(guards, readings, who, settings)
    cautions += _cautions_of(comparisons, who, settings, picked, unit, readings, source.cautions)
    noted = [Caution(str(code), str(text)) for code, text in notes]
    cautions += noted

    lost = any(not c.passed and c.name.startswith("missing ") for c in checks)
    firm = not noted and not lost and not any(c.code in DESIGN_CAUTIONS for c in cautions)
    strength = _strength(comparisons, firm=firm)
    treated = listing([a for a in who.labels if a != base], "or")
    question = f"Does {treated} change {listing([m.label for m in primary])}?"
    looked = "holds at every look" if anytime else "judged at one look"
    if stopped:
        headline, recommendation, actions = advise_stop(checks)
        findings: tuple[Finding, ...] = ()
        strength = "weak"
    else:
        headline, recommendation, actions = advise(comparisons, guarded, margin)
        findings = tuple(_findings(comparisons, margin, strength, looked, who))
    verdicts = [c.verdict for c in comparisons] + [c.equal for c in comparisons if c.equal is not None]
    verdicts += [c.verdict for c in more] + [c.verdict for c in guarded]
    shown = [*comparisons, *more, *guarded]
    return Answer(
        verb="experiment",
        question=question,
        headline=headline,
        strength=strength,
        recommendation=recommendation,
        numbers=() if stopped else tiles_of(comparisons, who, base),
        estimates=tuple(e for c in _once(shown) for e in (c.difference, c.lift) if e is not None),
        verdicts=() if stopped else tuple(verdicts),
        checks=(*checks, looks_check(anytime)),
        cautions=tuple(cautions),
        findings=findings,
        actions=actions,
        unknowns=unknowns_of(comparisons, unit),
        method=method_of(list(readings.values()), comparisons, settings, unit, margin),
        tables={"arms": arms_table(list(readings.values()), who)},
        record=record(source, verb="experiment", options=options),
        next=("ambidex report answer/N",),
        extra={
            "control": base,
            "arms": [{"label": a, "units": n} for a, n in zip(who.labels, who.counts, strict=True)],
        },
    )


def _check_options(group: Any, control: Any, unit: Any, alpha: Any, anytime: Any, margin: Any) -> None:
    for name, value, optional in (("group", group, False), ("control", control, True), ("unit", unit, True)):
        if not (isinstance(value, str) or (optional and value is None) or isinstance(value, int)):
            raise UsageError("usage.type", f"{name} must be text, not {type(value).__name__} {value!r:.60}")
    for name, value in (("alpha", alpha), ("margin", margin)):
        if name == "margin" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(
                "usage.type", f"{name} must be a number, not {type(value).__name__} {value!r:.60}", do=f"{name}=0.05"
            )
    if not 0 < alpha < 1:
        raise UsageError("usage.value", f"alpha {alpha:g} is not between 0 and 1", do="--alpha 0.05")
    if alpha < LEAST_ALPHA:
        raise UsageError("usage.value", f"alpha {alpha:g} is smaller than {LEAST_ALPHA:g}", do="--alpha 0.001")
    if margin is not None and not (margin > 0 and math.isfinite(margin)):
        raise UsageError("usage.value", f"margin {margin:g} is not above 0", do="--margin 0.01")
    if not isinstance(anytime, bool):
        raise UsageError("usage.type", f"anytime must be True or False, not {anytime!r:.60}")


def _as_text(shares: Any) -> Any:
    return ",".join(f"{k}={v}" for k, v in shares.items()) if isinstance(shares, Mapping) else shares


def _several(specs: Any, option: str) -> list[Any]:
    """One SPEC or several, each once."""
    if isinstance(specs, str):
        return [specs]
    if not isinstance(specs, list | tuple):
        raise UsageError(
            "usage.type", f"{option} must be text or a list of texts, not {type(specs).__name__} {specs!r:.60}"
        )
    return (
        list(dict.fromkeys(s if isinstance(s, str) else repr(s) for s in specs))
        if all(isinstance(s, str) for s in specs)
        else list(specs)
    )


def _check_roles(group: str, unit: str | None, metrics: Sequence[Metric]) -> None:
    for m in metrics:
        for column in (m.column, m.per):
            if column in (group, unit) and column is not None:
                raise UsageError("usage.value", f"`{column}` cannot be a metric and say who got what at once")
    if unit == group:
        raise UsageError("usage.value", f"`{group}` cannot be the arms and the units at once")


def _distinct(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """By SPEC; two SPECs of one column (`visit` and `visit:mean`) are shown by their SPEC."""
    by_spec = {m.spec: m for m in metrics}
    labels = [m.label for m in by_spec.values()]
    return {s: replace(m, label=s) if labels.count(m.label) > 1 else m for s, m in by_spec.items()}


def _check_design(
    source: Any,
    group: str,
    unit: str | None,
    who: Assignment,
    planned: dict[str, float] | None,
    readings: list[Reading],
) -> tuple[list[Check], list[Caution]]:
    trials = next((r for r in readings if r.metric.kind == "trials" and r.yes is not None), None)
    if trials is not None and trials.yes is not None and unit is None:
        sizes = dict(zip(who.labels, (n for _, n in trials.yes), strict=True))
        ratio, cautions = check_ratio(sizes, planned, f"trials of `{trials.metric.per}`")
    else:
        ratio, cautions = check_ratio(dict(zip(who.labels, who.counts, strict=True)), planned, "units")
    used = [group, *(c for r in readings for c in (r.metric.column, r.metric.per) if c)]
    units, more = check_units(source, who, unit, used, "rows" if trials is None else "trials")
    missing, lost = check_missing(who, readings)
    if who.unassigned:
        what = f"`{group}`" if unit is None else f"`{group}` or `{unit}`"
        lost.append(Caution("unassigned", f"{count(who.unassigned)} rows without {what} were left out."))
    return [ratio, *units, *missing], [*cautions, *more, *lost]


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


def _cautions_of(
    comparisons: Sequence[Comparison],
    who: Assignment,
    settings: Family,
    picked: str,
    unit: str | None,
    readings: Mapping[str, Reading],
    read_cautions: Sequence[tuple[str, str]],
) -> list[Caution]:
    out = [Caution(code, text) for code, text in read_cautions]
    if picked and len(who.labels) > 1:
        out.append(Caution("control", picked))
    small = list(dict.fromkeys(c.reading.metric.label for c in comparisons if "Fisher" in c.difference.method))
    if small:
        out.append(
            Caution(
                "small-cells", f"{listing(small)}: fewer than 5 are expected in a cell, so p is Fisher's exact one."
            )
        )
    for r in readings.values():
        if r.averaged:
            out.append(
                Caution(
                    "averaged",
                    f"`{r.metric.label}`: a unit with several rows enters once, with their mean; "
                    f"{r.metric.column}:count compares totals of counts.",
                )
            )
        if r.metric.kind == "trials" and unit is None:
            out.append(
                Caution("trials", f"`{r.metric.label}`: each trial of `{r.metric.per}` was taken as a unit of its own.")
            )
    out += with_outliers_capped(comparisons, who, settings)
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
    comparisons: Sequence[Comparison], margin: float | None, strength: Strength, looked: str, who: Assignment
) -> list[Finding]:
    by_metric: dict[str, list[Comparison]] = {}
    for c in comparisons:
        by_metric.setdefault(c.reading.metric.spec, []).append(c)
    findings = []
    for group in list(by_metric.values())[:4]:
        clear = any(c.verdict.outcome != "open" for c in group)
        findings.append(difference_finding(group, margin, strength if clear else "weak", looked))
    first = comparisons[0]
    shares = first.difference.unit == "share"
    style = Style.of(first.reading, first.difference)
    levels = zip(who.labels, first.reading.levels, strict=True)
    findings.append(
        Finding(
            title=f"{first.reading.metric.label} by arm: "
            + listing([f"{a} {style.level(v.value)}" for a, v in levels]),
            text="",
            strength=strength,
            so_what="The arms themselves, for scale; the comparison above decides.",
            how_sure="Each arm's own 95% interval; two that overlap can still differ.",
            figure=arms_figure(first.reading, who.labels, shares),
        )
    )
    return findings


def _once(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """A metric that is primary and a guardrail is one estimate, not two."""
    seen: dict[tuple[str, str], Comparison] = {}
    for c in comparisons:
        seen.setdefault((c.reading.metric.spec, c.arm), c)
    return list(seen.values())
