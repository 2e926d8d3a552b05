"""``campaign``: what did it return, and whom to treat next?

Claims are stated from the options before an outcome is read: for each treatment "the effect is above 0" and, where
margin and costs are named, "the profit is above 0". The design follows from what is given: a holdout drawn by lot, a
comparison of people who differ (``observational``), units before and after a date (``start``), or a series alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambidex.data.read import read
from ambidex.data.record import command_line
from ambidex.insight.campaign_ask import Ask, make_ask
from ambidex.insight.campaign_attribution import Shown, attribution, cost_figure, cost_table, cost_tiles, refusal
from ambidex.insight.campaign_money import judge, lead_of
from ambidex.insight.campaign_observational import observe
from ambidex.insight.campaign_page import SEED, compose, given, refused, strength_of
from ambidex.insight.campaign_panel import Followed, Staggered, follow, repeated
from ambidex.insight.campaign_randomised import Measured, measure, nobody_treated
from ambidex.insight.campaign_series import watch
from ambidex.insight.campaign_targeting import target
from ambidex.insight.campaign_time import Axis, Who, read_axis, read_who, seen_once
from ambidex.insight.campaign_words import Design
from ambidex.insight.experiment_data import codes_of
from ambidex.report.answer import Answer, Check, Finding, Recommendation
from ambidex.report.words import plural, signed
from ambidex.stats.estimate import finite

__all__ = ["campaign"]


def campaign(
    table: Any,
    *,
    outcome: str,
    treatment: str | None = None,
    control: str | None = None,
    value: float | None = None,
    cost: float = 0.0,
    fixed_cost: float = 0.0,
    covariate: str | Sequence[str] = (),
    observational: bool = False,
    unit: str | None = None,
    time: str | None = None,
    start: str | None = None,
    shares: Any = None,
    alpha: float = 0.05,
) -> Answer:
    """What did the campaign return, and whom to treat next?

    Args:
        table: Anything ``data.read`` reads.
        outcome: Column of the outcome: a number, or yes and no.
        treatment: Column that says who got it, labels as the file writes them; with ``start`` a column that is 1
            (or yes) for treated units. None only for a series before and after ``start``.
        control: Label of those who did not get it; picked from the names if None, and said.
        value: Margin per unit of outcome, in money (not revenue). None: no return is reckoned.
        cost: Per treated unit, in money.
        fixed_cost: Once for the campaign, in money.
        covariate: Columns known before the campaign; with ``observational`` and none named, all others, which is said.
        observational: Nobody drew lots: compare like with like by the covariates, or refuse.
        unit: Who was assigned, where one has several rows; with ``start`` the unit that is followed over time.
        time: Column of the dates.
        start: First day or period with the campaign.
        shares: Planned arm sizes, ``A=.9,B=.1`` or a mapping; ``unknown`` leaves their check out.
        alpha: Error rate of each family of claims, in (0, 1).

    Returns:
        Estimates ``effect`` (per treated unit, absolute), ``lift`` (relative) and, with ``value``, ``return``,
        ``profit``, ``roi``, ``break_even_cost``; in ``extra`` ``p_loss`` and ``targeting``.

    Raises:
        UsageError: ``usage.type``, ``usage.value``.
        NotFound: ``data.no-column``, ``data.no-label``.
        DataError: ``data.no-treated``, ``data.start``, ``data.outcome-before-treatment``, ``data.small-arm`` and what
            ``experiment`` raises of a metric.

    Example:
        >>> import pyarrow as pa
        >>> spend = [0.0, 1, 2, 5] * 125 + [2.0, 3, 4, 7] * 125
        >>> rows = pa.table({"mail": ["no"] * 500 + ["yes"] * 500, "spend": spend})
        >>> campaign(rows, treatment="mail", outcome="spend", value=0.5, cost=0.2).headline
        'mail yes pays: ROI +400% (+342% to +458%), chance of a loss below 0.1%'
    """
    source = read(table)
    ask = make_ask(
        source, treatment=treatment, outcome=outcome, control=control, value=value, cost=cost, fixed_cost=fixed_cost,
        covariate=covariate, observational=observational, unit=unit, time=time, start=start, shares=shares, alpha=alpha,
    )  # fmt: skip
    if ask.start is not None:
        return _before_after(ask)
    if source.is_large and not observational:
        return _randomised(ask)  # one pass of sums; the screens below read columns whole
    why = attribution(ask)
    if why is not None:
        return _no_return(ask, why)
    if ask.observational:
        return _observational(ask)
    nobody_treated(source, str(ask.treatment), ask.control)
    labels = codes_of(source, str(ask.treatment))[1]
    if len(labels) == 1:
        return _no_return(ask, Shown(("no-control", f"everybody got {labels[0]!r}: nobody was left out")))
    return _randomised(ask)


def _no_return(ask: Ask, why: Shown) -> Answer:
    """No control, no date: the price list, and what would answer it."""
    table = cost_table(ask)
    headline, recommendation = refusal(ask, why, table)
    action = ("Leave regions or customers out by lot", "campaign owner", "some weeks", "a return with its range")
    return refused(
        ask, "attribution", headline, recommendation, [Check("control", False, 0.0, 1.0, why[1], decides=True)],
        tables={"costs": table}, actions=(action,), figure=cost_figure(ask, table),
        numbers=cost_tiles(ask, table[-1]),
        method="Sums of what the table counts, by campaign; nothing is estimated, because nobody was left out.",
        step=f"ambidex campaign TABLE --treatment on --outcome {ask.outcome} --unit region --time week --start DATE",
    )  # fmt: skip


def _observational(ask: Ask) -> Answer:
    seen = observe(ask, seed=SEED)
    tables = {"ways": seen.ways, "overlap": seen.overlap}
    if seen.why_not:
        headline = f"No causal answer: those with and without {ask.treatment} are too unlike ({seen.why_not})"
        naive = seen.ways[0]
        text = (
            f"Do not use the plain difference ({signed(naive['value'])}): it mixes what the campaign did with who got "
            "it. Keep a holdout drawn by lot, or compare with people who could have been treated."
        )
        return refused(
            ask, "observational", headline, Recommendation("cannot-answer", text), seen.checks, tables=tables,
            cautions=seen.cautions, verdicts=seen.verdicts, method=seen.method,
            actions=(("Keep a holdout drawn by lot", "campaign owner", "next campaign", "an answer about cause"),),
            step=f"ambidex plan --metric {ask.outcome} --table {ask.source.source or 'TABLE'}",
        )  # fmt: skip
    design = Design(
        "observational", False, "per unit", "nobody drew lots: the interval does not cover what was not measured"
    )
    paid = judge(seen.arms, ask)
    return compose(
        ask, design, paid, seen.checks, seen.cautions, tables=tables, extra={"targeting": []}, method=seen.method,
        unknowns=seen.unknowns, verdicts=seen.verdicts,
    )  # fmt: skip


def _before_after(ask: Ask) -> Answer:
    axis = read_axis(ask)
    seen: Followed
    kind = "panel"
    try:
        who = read_who(ask) if ask.treatment is not None else None
        untreated = who is not None and bool((~who.on & who.known & (axis.place >= 0)).any())
        if who is None or not untreated or _only_switched(who, axis):
            kind, seen = "series", watch(ask, axis)
        elif ask.unit is None or seen_once(ask, axis):
            seen = repeated(ask, axis, who)
        else:
            seen = follow(ask, axis, who)
    except Staggered as staggered:
        return _staggered(ask, staggered)
    step = f"per {ask.unit} and period" if kind == "panel" and ask.unit is not None else "per period"
    if kind == "panel" and seen.figure is None:
        step = "per row"
    paid = judge([seen.arm], ask)
    more = []
    if seen.figure is not None:
        more.append(
            Finding(
                seen.figure.sentence.rstrip("."),
                "The lines run together before the start if the comparison is fair.",
                strength_of(lead_of(paid), seen.checks),
                "Look at the time before the start first.",
                seen.how_sure[0].upper() + seen.how_sure[1:] + ".",
                seen.figure,
            )
        )
    return compose(
        ask, Design(kind, False, step, seen.how_sure), paid, seen.checks, seen.cautions, tables={"ways": seen.ways},
        extra={"targeting": []}, method=seen.method, more=more,
        unknowns=("Whether anything else changed for the treated at the same date.",),
    )  # fmt: skip


def _only_switched(who: Who, axis: Axis) -> bool:
    """True if the column only says before and after: no row is untreated once the campaign runs."""
    after = axis.place >= axis.start
    return not (~who.on & who.known & after).any()


def _staggered(ask: Ask, staggered: Staggered) -> Answer:
    starts = ", ".join(f"{plural(n, 'unit')} from {at}" for at, n in list(staggered.starts.items())[:5])
    headline = "No verdict: the treated units start at different dates, which this comparison cannot take together"
    text = (
        "Two-way fixed effects would set late starters against early ones that are treated already, and can turn the "
        "sign round. Take one start date at a time, with the units that never start: a SELECT that leaves the other "
        f"starters out, and --start {next(iter(staggered.starts))}."
    )
    check = Check("one start", False, float(len(staggered.starts)), 1.0, f"starts: {starts}", decides=True)
    table = [{"start": at, "units": n} for at, n in staggered.starts.items()]
    return refused(
        ask, "panel", f"{headline} ({starts})", Recommendation("cannot-answer", text), [check],
        tables={"starts": table},
        step=command_line(ask.source, "campaign", {**given(ask), "start": next(iter(staggered.starts))}),
        method="Goodman-Bacon (2021): with staggered starts the two-way estimate weighs some effects negatively.",
    )  # fmt: skip


def _randomised(ask: Ask) -> Answer:
    measured = measure(ask)
    design = Design("randomised", True, "per treated unit", "the treatment was drawn by lot, judged at one look")
    paid = judge(measured.arms, ask)
    tables: dict[str, list[dict[str, Any]]] = {"arms": _arms(measured)}
    method = f"{measured.method}; profit, return and ROI follow from the effect and what was assumed about money."
    if any(c.decides and not c.passed for c in measured.checks):
        return compose(
            ask, design, paid, measured.checks, measured.cautions, tables=tables,
            extra={"control": measured.base, "targeting": []}, method=method,
        )  # fmt: skip
    whom = target(ask, measured, lead_of(paid), seed=SEED)
    if whom.rows:
        tables["targeting"] = whom.rows
        method += " Whom to treat: two readable models, treated and control, cross-fitted in 5 parts."
    return compose(
        ask,
        design,
        paid,
        measured.checks,
        [*measured.cautions, *whom.cautions],
        tables=tables,
        extra={
            "control": measured.base,
            "targeting": [{k: r[k] for k in ("depth", "profit", "low", "high")} for r in whom.rows],
        },
        method=method,
        more=[whom.finding] if whom.finding is not None else [],
        verdicts=whom.verdicts,
        estimates=whom.estimates,
        model=None if whom.recipe is None else {"recipe": whom.recipe.to_json()},
    )


def _arms(measured: Measured) -> list[dict[str, Any]]:
    rows = []
    for label, level, missing in zip(
        measured.who.labels, measured.reading.levels, measured.reading.missing, strict=True
    ):
        low, high = level.interval()
        rows.append(
            {
                "arm": label, "units": level.n, "missing": missing, "value": finite(level.value), "low": finite(low),
                "high": finite(high),
            }
        )  # fmt: skip
    return rows
