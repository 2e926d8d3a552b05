"""The page of a campaign: what was measured, judged and assumed, or why there is no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ambidex.data.record import command_line, record
from ambidex.insight.campaign_ask import Ask
from ambidex.insight.campaign_money import Paid, lead_of, sensitivity
from ambidex.insight.campaign_words import Design, advise, assumptions_finding, effect_finding, money_finding, tiles_of
from ambidex.report.answer import Answer, Caution, Check, Figure, Finding, Recommendation, Strength
from ambidex.report.words import listing, number
from ambidex.stats.claim import Verdict, decide
from ambidex.stats.estimate import Estimate

__all__ = ["SEED", "compose", "given", "refused", "strength_of"]

SEED = 0
DESIGN_CAUTIONS = ("srm", "unit", "two-arms", "no-untreated", "pre-trend", "few-units", "placebo", "covariates",
                   "constant-arm")  # fmt: skip


def compose(
    ask: Ask,
    design: Design,
    paid: Sequence[Paid],
    checks: Sequence[Check],
    cautions: Sequence[Caution],
    *,
    tables: dict[str, list[dict[str, Any]]],
    extra: dict[str, Any],
    method: str,
    more: Sequence[Finding] = (),
    unknowns: Sequence[str] = (),
    verdicts: Sequence[Verdict] = (),
    estimates: Sequence[Estimate] = (),
    model: dict[str, Any] | None = None,
) -> Answer:
    """The page of a campaign that could be measured, or that a check of its design stopped."""
    lead = lead_of(paid)
    noted = [*(Caution(code, text) for code, text in ask.source.cautions), *cautions]
    stopped = [c for c in checks if c.decides and not c.passed]
    if not stopped:
        noted += _money_cautions(ask, lead, design)
    strength = strength_of(lead, checks, noted)
    findings: list[Finding] = []
    if stopped:
        headline, recommendation = _stop(stopped)
        actions: tuple[tuple[str, str, str, str], ...] = ()
        strength = "weak"
    else:
        headline, recommendation, actions = advise(paid, lead, ask, design)
        money = money_finding(paid, lead, ask, strength)
        findings = [*([money] if money is not None else []), effect_finding(paid, ask, design, strength), *more]
    tables = dict(tables)
    if ask.money is not None and not stopped:
        tables["assumptions"] = _assumptions(ask)
        tables["sensitivity"] = sensitivity(lead, ask.money, ask.alpha)
        varied = assumptions_finding(tables["sensitivity"], lead, ask)
        findings += [varied] if varied is not None else []
    decided = [v for p in paid for v in (p.works, p.pays) if v is not None]
    losses = {p.arm.effect.arm or p.arm.arm: p.money.p_loss for p in paid if p.money is not None}
    return Answer(
        verb="campaign",
        question=_question(ask, paid),
        headline=headline,
        strength=strength,
        recommendation=recommendation,
        numbers=() if stopped else tiles_of(lead, ask, design),
        estimates=() if stopped else (*(e for p in paid for e in p.estimates), *estimates),
        verdicts=() if stopped else (*decided, *verdicts),
        checks=tuple(checks),
        cautions=tuple(noted),
        findings=tuple(findings),
        actions=actions,
        unknowns=(*unknowns, *_unknowns(ask, design)),
        method=method,
        tables=tables,
        record=record(ask.source, verb="campaign", options=ask.options, seed=SEED),
        next=(*_instead(ask, stopped), "ambidex report answer/N", *_packaged(None if stopped else model)),
        extra={
            "design": design.name,
            "p_loss": None if stopped or lead.money is None else lead.money.p_loss,
            "p_loss_by_arm": {} if stopped else losses,
            "arm": lead.arm.effect.arm or lead.arm.arm,
            **extra,
        },
        model=None if stopped else model,
    )


def refused(
    ask: Ask,
    design: str,
    headline: str,
    recommendation: Recommendation,
    checks: Sequence[Check],
    *,
    tables: dict[str, list[dict[str, Any]]],
    actions: tuple[tuple[str, str, str, str], ...] = (),
    cautions: Sequence[Caution] = (),
    verdicts: Sequence[Verdict] = (),
    figure: Figure | None = None,
    numbers: Sequence[tuple[str, str, str]] = (),
    method: str = "",
    step: str = "",
) -> Answer:
    found: tuple[Finding, ...] = ()
    if figure is not None:
        found = (
            Finding(
                "What one result cost, as counted",
                "A price list: some of these results would have come without the campaign.",
                "weak",
                "Cheap is not the same as effective: the cheapest may reach those who buy anyway.",
                "Counted, not estimated.",
                figure,
            ),
        )
    return Answer(
        verb="campaign",
        question=f"What did the campaign do to {ask.outcome}?",
        headline=headline,
        strength="weak",
        recommendation=recommendation,
        numbers=tuple(numbers),
        verdicts=tuple(verdicts),
        checks=tuple(checks),
        cautions=(*(Caution(code, text) for code, text in ask.source.cautions), *cautions),
        findings=found,
        actions=actions,
        unknowns=("What would have happened without the campaign.",),
        method=method,
        tables=tables,
        record=record(ask.source, verb="campaign", options=ask.options, seed=SEED),
        next=(*([step] if step else []), "ambidex report answer/N"),
        extra={"design": design, "p_loss": None, "targeting": []},
    )


def given(ask: Ask) -> dict[str, Any]:
    return {k: v for k, v in ask.options.items() if v not in (None, False, []) and k != "alpha"}


def _instead(ask: Ask, stopped: Sequence[Check]) -> tuple[str, ...]:
    """The command that asks what this table can answer."""
    if not any(c.name.startswith("balance") for c in stopped):
        return ()
    named = {**given(ask), "observational": True, "covariate": list(ask.covariates) or ["COL"]}
    return (command_line(ask.source, "campaign", named),)


def _packaged(model: dict[str, Any] | None) -> tuple[str, ...]:
    return ("ambidex package answer/N --name NAME",) if model else ()


def _question(ask: Ask, paid: Sequence[Paid]) -> str:
    return (
        f"What did {listing([p.arm.arm for p in paid], 'or')} return?"
        if ask.money
        else (f"What did {listing([p.arm.arm for p in paid], 'or')} do to {ask.outcome}?")
    )


def _stop(stopped: Sequence[Check]) -> tuple[str, Recommendation]:
    failed = stopped[0]
    reasons = {
        "srm": "the arm sizes do not fit the plan",
        "balance": "the arms differed before the campaign, so nobody drew lots",
        "balance others": "the arms are unlike in other columns, as if nobody had drawn lots",
    }
    advice = {
        "srm": "Find out where units were lost or added after assignment. If other sizes were planned, say --shares.",
        "balance": "Compare like with like: --observational with --covariate for each column known before; better, "
        "keep a holdout drawn by lot next time.",
    }
    advice["balance others"] = f"{advice['balance']} If these columns are outcomes too, leave them out with a SELECT."
    headline = f"No verdict: {reasons.get(failed.name, failed.name)} ({failed.text})"
    return headline, Recommendation("cannot-answer", advice.get(failed.name, failed.text))


def strength_of(lead: Paid, checks: Sequence[Check], cautions: Sequence[Caution] = ()) -> Strength:
    """Strong: decided, would be at a tenth of alpha too, every check passed, and none that could not be made."""
    verdict = lead.pays or lead.works
    if verdict.outcome == "open":
        return "weak"
    if any(not c.passed for c in checks) or any(c.code in DESIGN_CAUTIONS for c in cautions):
        return "some"
    e = verdict.estimate
    if e.law is None or e.law.name == "placebos":
        return "some"
    stricter = decide(replace(verdict.claim, alpha=(1 - e.level) / 10), e)
    return "strong" if stricter.outcome == verdict.outcome else "some"


def _assumptions(ask: Ask) -> list[dict[str, Any]]:
    assert ask.money is not None
    return [
        {"assumed": f"margin per unit of {ask.outcome}", "option": "--value", "money": ask.money.value},
        {"assumed": "cost per treated unit", "option": "--cost", "money": ask.cost},
        {"assumed": "cost of the campaign as a whole", "option": "--fixed-cost", "money": ask.fixed},
    ]


def _money_cautions(ask: Ask, lead: Paid, design: Design) -> list[Caution]:
    out = []
    if ask.money is None:
        out.append(
            Caution(
                "money",
                f"No margin was named, so no return is reckoned: --value is the margin per unit of `{ask.outcome}` "
                "(0.3 if 30% of the money stays).",
            )
        )
    elif not ask.spent_something:
        out.append(
            Caution("money", "No cost was named: --cost per treated unit, --fixed-cost once. No ROI without one.")
        )
    elif not ask.source.is_large and design.name in ("randomised", "observational"):
        values = ask.source.number(ask.outcome) if not lead.arm.share else None
        most = 1.0 if values is None else float(max(values[values == values], default=0.0))
        if ask.money.value > 0 and ask.cost > ask.money.value * most:
            out.append(
                Caution(
                    "cost-above-return",
                    f"The cost of {number(ask.cost)} per treated unit is above the most that any one returned "
                    f"({number(ask.money.value * most)}): no effect could pay for it. Check --cost and --value.",
                )
            )
    return out


def _unknowns(ask: Ask, design: Design) -> list[str]:
    out = []
    if design.name == "randomised":
        out.append("Whether the treatment was drawn by lot: a table cannot show it, and the wording here rests on it.")
        if ask.unit is None:
            out.append("Whether rows are independent: each row was taken as one unit; --unit names who was assigned.")
        out.append("What those who were assigned but not reached would have done: the effect is that of assignment.")
    if ask.money is not None:
        out.append("Margin and costs are taken as given; the table of assumptions varies them.")
    out.append("What happens after the period that was measured, and for other people than these.")
    return out
