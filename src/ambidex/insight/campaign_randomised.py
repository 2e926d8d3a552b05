"""A randomised campaign: effect of assignment, arm by arm, with the checks that an experiment has."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.campaign_ask import Ask
from ambidex.insight.campaign_money import Arm
from ambidex.insight.experiment_checks import check_missing, check_ratio, check_units, parse_shares, pick_control
from ambidex.insight.experiment_compare import Family, compare
from ambidex.insight.experiment_data import Assignment, Reading, assign, codes_of, read_metric
from ambidex.insight.experiment_metrics import parse_metric, read_values
from ambidex.insight.experiment_words import arm_name
from ambidex.report.answer import Caution, Check
from ambidex.report.words import count, listing, plural
from ambidex.stats.checks import sample_ratio

__all__ = ["GROSS", "Measured", "balance", "measure", "nobody_treated"]

GROSS = 0.5
"""Standardised difference between the arms that no lottery leaves in a table of more than a few dozen rows."""
STOP = 0.001
MOST_GROSS = 1
"""Columns that may differ grossly without stopping the verdict: a second outcome does."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A randomised campaign, measured.

    Attributes:
        who: Units and arms.
        base: The control.
        reading: The outcome, arm by arm.
        arms: Each treatment against the control.
        checks, cautions: Of the design.
        method: How the effect was measured.
    """

    who: Assignment
    base: str
    reading: Reading
    arms: list[Arm]
    checks: list[Check]
    cautions: list[Caution]
    method: str


def measure(ask: Ask) -> Measured:
    """Effect of assignment of each arm against the control.

    Raises:
        DataError: ``data.no-treated``, ``data.small-arm`` and what ``experiment`` raises of a metric.
    """
    source, column = ask.source, str(ask.treatment)
    if not source.is_large:
        nobody_treated(source, column, ask.control)
    source, added = _totals(ask)
    who = assign(source, column, ask.unit)
    base, picked = pick_control(who.labels, ask.control, column)
    metric = parse_metric(source, ask.outcome, option="outcome")
    reading = (
        read_metric(source, metric, who, covariates=ask.covariates)
        if ask.covariates
        else read_metric(source, metric, who)
    )
    checks, cautions = _design(ask, who, reading)
    cautions += added
    if picked:
        cautions.append(Caution("control", picked))
    arms = []
    settings = Family(alpha=ask.alpha, looks="once", control=base, group=column, source=source)
    for c in compare(reading, who, settings):
        i = who.labels.index(str(c.difference.arm))
        arms.append(
            Arm(
                c.arm, c.control, c.difference, c.lift, who.counts[i], c.candidate.value, c.baseline.value,
                share=c.difference.unit == "share",
            )
        )  # fmt: skip
    level = reading.levels[who.labels.index(base)]
    if level.n > 1 and (level.se == 0 or (arms[0].share and level.value in (0, 1))):
        text = f"`{ask.outcome}` is {level.value:g} for all {count(level.n)} units of {arms[0].control}. "
        text += "If it was not recorded there, nothing can be compared."
        cautions.append(Caution("constant-arm", text))
    method = arms[0].effect.method or "difference of means"
    return Measured(who, base, reading, arms, checks, cautions, method)


def _totals(ask: Ask) -> tuple[Table, list[Caution]]:
    """The table with each row's outcome replaced by its unit's total, which is what money is paid for.

    The metric then takes the mean of a unit's rows, which is that total.
    """
    source = ask.source
    if ask.unit is None or source.is_large:
        return source, []
    codes, names = codes_of(source, ask.unit)
    rows = codes >= 0
    if int(rows.sum()) == len(names):
        return source, []
    values = read_values(source, ask.outcome).values
    known = rows & ~np.isnan(values)
    sums = np.bincount(codes[known], values[known], minlength=len(names))
    there = np.bincount(codes[known], minlength=len(names)) > 0
    totals = np.where(rows, np.where(there, sums, np.nan)[np.where(rows, codes, 0)], np.nan)
    text = f"Several rows of one `{ask.unit}` are added up: `{ask.outcome}` is the total of each."
    return source.with_column(ask.outcome, totals), [Caution("added-up", text)]


def nobody_treated(source: Table, column: str, control: str | None) -> None:
    """Raise if the column says that nobody got it.

    Raises:
        DataError: ``data.no-treated``.
    """
    codes, labels = codes_of(source, column)
    if not labels:
        raise DataError(
            "data.no-treated",
            f"`{column}` is empty, so nobody is known to have been treated",
            where=f"{source.name}, column {column}",
            found=f"{count(len(codes))} rows, all missing",
            do="--treatment the column that says who got it",
        )
    if len(labels) > 1:
        return
    reads_control = not pick_control([labels[0], "\uffff"], None, column)[1].endswith(
        "sort order. --control names another."
    )
    if labels[0] == control or (control is None and reads_control):
        raise DataError(
            "data.no-treated",
            f"nobody got the treatment: `{column}` is {labels[0]!r} in every row",
            where=f"{source.name}, column {column}",
            found=f"{labels[0]} {count(len(codes))}",
            do="bring the rows of the treated too, or name another --treatment",
        )


def _design(ask: Ask, who: Assignment, reading: Reading) -> tuple[list[Check], list[Caution]]:
    sizes = dict(zip(who.labels, who.counts, strict=True))
    planned = parse_shares(ask.shares, who.labels)
    cautions: list[Caution] = []
    if ask.shares is None and sample_ratio(sizes).p < STOP:
        # A holdout is seldom as large as the campaign: unequal arms without a plan say nothing.
        text = " : ".join(f"{arm_name(a, str(ask.treatment))} {count(n)}" for a, n in sizes.items())
        checks = [Check("srm", True, None, STOP, f"{text}; the planned sizes are not known, so nothing was checked")]
        cautions.append(
            Caution(
                "srm",
                f"The arms are not of one size ({text}). If other sizes were planned, units were lost: say --shares.",
            )
        )
    else:
        ratio, cautions = check_ratio(sizes, planned, "units")
        checks = [ratio]
    used = [str(ask.treatment), ask.outcome, *ask.covariates]
    units, more = check_units(ask.source, who, ask.unit, used)
    missing, lost = check_missing(who, [reading])
    if who.unassigned:
        lost.append(Caution("unassigned", f"{plural(who.unassigned, 'row')} without `{ask.treatment}` were left out."))
    fair, uneven = balance(ask, who)
    return [*checks, *units, *missing, *fair], [*cautions, *more, *lost, *uneven]


def balance(ask: Ask, who: Assignment) -> tuple[list[Check], list[Caution]]:
    """Do columns known before differ between the arms more than a lottery lets them?

    Declared covariates decide: p < .001, Bonferroni over them, and no verdict is given. Of other columns nobody has
    said when they were known, so a gross difference is said and not judged.
    """
    checks: list[Check] = []
    if who.unit is not None or ask.source.is_large:
        return [], []
    gaps = [g for name in ask.covariates for g in _gaps(ask.source, name, who)]
    if gaps:
        worst = min(gaps)
        p = min(1.0, worst[0] * len(gaps))
        text = f"largest difference between the arms: `{worst[1]}`, {worst[2]:.2f} standard deviations"
        checks.append(Check("balance", p >= STOP, p, STOP, text, decides=True))
    # A column that is constant in an arm (opened, for those who got no mail) is an outcome, not a history.
    others = [c for c in ask.source.columns if c not in {ask.treatment, ask.outcome, ask.time, *ask.covariates}]
    gross = []
    for name in others[:60]:
        far = [g for p, _, g in _gaps(ask.source, name, who) if p < STOP / len(others)]
        if far and max(far) > GROSS:
            gross.append(name)
    if not gross:
        return checks, []
    # Unequal arms that nobody planned, and a gross difference: together they are no lottery.
    odd = ask.shares is None and sample_ratio(dict(zip(who.labels, who.counts, strict=True))).p < STOP
    shown = listing([f"`{c}`" for c in gross[:4]] + (["…"] if len(gross) > 4 else []))
    text = f"{shown} {'differs' if len(gross) == 1 else 'differ'} by more than half a standard deviation"
    checks.append(
        Check(
            "balance others", False, float(len(gross)), float(MOST_GROSS), text, decides=len(gross) > MOST_GROSS or odd
        )
    )
    return checks, [
        Caution(
            "balance",
            f"{shown} {'differs' if len(gross) == 1 else 'differ'} grossly between the arms. What was known before the "
            "campaign says then that nobody drew lots: use --observational with --covariate for each. What is an "
            "outcome too is to be left out with a SELECT.",
        )
    ]


def _gaps(source: Table, name: str, who: Assignment) -> list[tuple[float, str, float]]:
    """(p, column, standardised difference) of each arm against the first, for a number or the commonest labels."""
    from ambidex.stats.laws import normal_p

    facts = source.facts(name)
    numeric = facts.type in ("number", "integer")
    if numeric:
        columns = [(name, source.number(name))]
    else:
        texts = source.text(name)
        counts = Counter(texts[[t is not None for t in texts]].tolist())
        if not 1 < len(counts) <= 30:
            return []
        common = [level for level, _ in counts.most_common(3)]
        columns = [(f"{name} = {v}", np.array([np.nan if t is None else float(t == v) for t in texts])) for v in common]
    out = []
    for label, values in columns:
        parts = [values[(who.arm == i) & ~np.isnan(values)] for i in range(len(who.labels))]
        for part in parts[1:]:
            first = parts[0]
            if min(len(first), len(part)) < 10:
                continue
            v1, v0 = float(part.var(ddof=1)), float(first.var(ddof=1))
            gap, se = abs(float(part.mean() - first.mean())), math.sqrt(v1 / len(part) + v0 / len(first))
            spread = math.sqrt((v1 + v0) / 2)
            if se > 0:
                out.append((normal_p(gap / se), label, gap / spread if min(v1, v0) > 0 else 0.0))
    return out
