"""A campaign's result in a manager's words: headline, recommendation, findings, tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ambidex.insight.campaign_ask import Ask
from ambidex.insight.campaign_money import Arm, Paid
from ambidex.insight.experiment_words import p_text, roughly
from ambidex.report.answer import Figure, Finding, Recommendation, Strength
from ambidex.report.words import count, listing, number, plural, share, signed, signed_points, span
from ambidex.stats.estimate import Estimate

__all__ = [
    "Design",
    "advise",
    "assumptions_finding",
    "effect_finding",
    "effect_text",
    "money_finding",
    "opened",
    "percent",
    "said",
    "tiles_of",
]

Actions = tuple[tuple[str, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class Design:
    """How a design's result may be worded.

    Attributes:
        name: ``randomised``, ``observational``, ``panel`` or ``series``.
        causal: True if the treatment was drawn by lot.
        per: What one effect is of: "per treated unit", "per treated unit and week".
        how_sure: What the intervals rest on.
    """

    name: str
    causal: bool
    per: str
    how_sure: str


def percent(x: float | None) -> str:
    """A relative change as a signed percentage.

    >>> percent(0.2732), percent(-0.493), percent(0.0118), percent(12.3)
    ('+27%', '−49%', '+1.2%', '+1,230%')
    """
    if x is None or not math.isfinite(x):
        return "–"
    whole = abs(x) >= 0.0995
    text = f"{100 * x:+,.{0 if whole else 1}f}%"
    return text.replace("-", "−") if text.strip("+-0.%") else text.lstrip("+-")


def said(e: Estimate, fmt: object = signed) -> str:
    """``+2.1 (+0.4 to +3.8)``; without an interval that is said."""
    f = fmt if callable(fmt) else signed
    if not math.isfinite(e.low) or not math.isfinite(e.high):
        return f"{f(e.value)} (no interval)"
    return f"{f(e.value)} ({span(e.low, e.high, f)})"


def effect_text(arm: Arm) -> str:
    """The effect with its range, in points for a yes/no outcome."""
    return said(arm.effect, signed_points if arm.share else signed)


def _headline(p: Paid, ask: Ask, design: Design) -> str:
    name = p.arm.arm
    if p.pays is None or p.money is None:
        return _effect_title(p, ask, design)
    m = p.money
    money = f"ROI {said(m.roi, percent)}" if m.roi is not None else f"profit {said(m.profit)}"
    loss = "" if m.p_loss is None else f", chance of a loss {_chance(m.p_loss)}"
    if p.pays.outcome == "supported":
        return f"{name} pays: {money}{loss}"
    if p.pays.outcome == "refuted":
        return f"{name} loses money: {money}{loss}"
    return f"Not enough evidence that {name} pays: {money}{loss}"


def _chance(p: float) -> str:
    return "below 0.1%" if p < 0.001 else "above 99.9%" if p > 0.999 else share(p, 0 if 0.01 <= p <= 0.99 else 1)


def advise(paid: Sequence[Paid], lead: Paid, ask: Ask, design: Design) -> tuple[str, Recommendation, Actions]:
    """Headline, what to do, and the rows of the actions table."""
    headline = _headline(lead, ask, design)
    name = lead.arm.arm
    if lead.pays is None:
        costs = "--value (margin per unit of outcome) and --cost" if not ask.spent_something else "--value"
        text = f"Whether it pays depends on what one unit of `{ask.outcome}` is worth: say {costs}."
        if lead.works.outcome == "refuted":
            stop = f"Stop {name}: it lowers {ask.outcome}."
            if not design.causal:
                stop = f"Do not repeat {name} without a holdout drawn by lot: {ask.outcome} was lower with it."
            return (
                opened(headline),
                Recommendation("do-not-act", f"{stop} Where less is better, it did what it should."),
                (),
            )
        action = (f"Name margin and cost: {costs}", "finance", "an hour", "the return with its range")
        return opened(headline), Recommendation("not-enough-evidence", text), (action,)
    rest = [p for p in paid if p is not lead]
    also = [p.arm.arm for p in rest if p.pays is not None and p.pays.outcome == "supported"]
    not_yet = [p.arm.arm for p in rest if p.pays is not None and p.pays.outcome == "open"]
    bad = [p.arm.arm for p in rest if p.pays is not None and p.pays.outcome == "refuted"]
    tail = ""
    tail += f" {listing(also)} {'pays' if len(also) == 1 else 'pay'} as well." if also else ""
    tail += f" For {listing(not_yet)} the evidence is not enough." if not_yet else ""
    tail += f" {listing(bad)} {'loses' if len(bad) == 1 else 'lose'} money." if bad else ""
    m = lead.money
    assert m is not None
    if lead.pays.outcome == "supported":
        until = f" It pays up to a cost of {number(m.break_even_cost.value)} per treated unit."
        if not design.causal:
            text = f"Go on with {name} and keep a holdout drawn by lot next time.{until}{tail}"
        else:
            text = f"Use {name}.{until}{tail}"
        gain = f"{signed(m.profit.value)} on {plural(lead.arm.treated, 'treated unit')}"
        return opened(headline), Recommendation("act", text), ((f"Use {name}", "campaign owner", "none", gain),)
    if lead.pays.outcome == "refuted":
        text = (
            f"Do not repeat {name} at this cost. It would pay below "
            f"{number(max(m.break_even_cost.value, 0.0))} per treated unit.{tail}"
        )
        if m.break_even_cost.value <= 0:
            text = f"Do not repeat {name}: no cost would make it pay.{tail}"
            if m.break_even_cost.high > 0:
                best = number(m.break_even_cost.high)
                text = f"Do not repeat {name} at this cost. At the very best it would pay below {best} per unit.{tail}"
        return opened(headline), Recommendation("do-not-act", text), ((f"Stop {name}", "campaign owner", "none", ""),)
    more = roughly(lead.pays.needed)
    text = "Do not decide on this yet: there is no interval to judge the profit by."
    if math.isfinite(m.profit.low) and math.isfinite(m.profit.high):
        text = f"Do not decide on this yet: profit may be {span(m.profit.low, m.profit.high, signed)}."
    if more:
        text += f" About {more} more units would tell, if the truth is as seen."
    action = (
        f"Repeat {name} with a holdout",
        "campaign owner",
        f"{more or 'more'} more units",
        "a decision either way",
    )
    return opened(headline), Recommendation("not-enough-evidence", text + tail), (action,)


def tiles_of(lead: Paid, ask: Ask, design: Design) -> tuple[tuple[str, str, str], ...]:
    """Effect, ROI or profit, chance of a loss."""
    e, f = lead.arm.effect, signed_points if lead.arm.share else signed
    out = [(f"{ask.outcome} {design.per}, {lead.arm.arm}", f(e.value), span(e.low, e.high, f))]
    if (m := lead.money) is None:
        if (lift := lead.arm.lift) is not None:
            out.append(("lift", percent(lift.value), span(lift.low, lift.high, percent)))
        out.append(("treated units", count(lead.arm.treated), f"against {lead.arm.control}"))
        return tuple(out)
    if m.roi is not None:
        out.append(("return on the money spent", percent(m.roi.value), span(m.roi.low, m.roi.high, percent)))
    else:
        out.append(("profit", signed(m.profit.value), span(m.profit.low, m.profit.high, signed)))
    loss = "–" if m.p_loss is None else _chance(m.p_loss)
    out.append(("chance of a loss", loss, f"pays below {number(max(m.break_even_cost.value, 0.0))} per treated unit"))
    return tuple(out)


def effect_finding(paid: Sequence[Paid], ask: Ask, design: Design, strength: Strength) -> Finding:
    """What the campaign did to the outcome, arm by arm."""
    lead = max(paid, key=lambda p: (p.works.outcome != "open", abs(p.arm.effect.value)))
    title = opened(_effect_title(lead, ask, design))
    others = [_effect_title(p, ask, design) + "." for p in paid if p is not lead]
    rows = tuple(
        {
            "label": p.arm.arm,
            "value": p.arm.effect.value,
            "low": p.arm.effect.low,
            "high": p.arm.effect.high,
            "clear": p.works.outcome != "open",
        }
        for p in paid
        if math.isfinite(p.arm.effect.low) and math.isfinite(p.arm.effect.high)
    )
    level = f"{100 * lead.arm.effect.level:.3g}%"
    figure = Figure(
        form="effect-bars",
        title=f"{ask.outcome} against {lead.arm.control}",
        subtitle=f"{'percentage points' if lead.arm.share else 'difference'} {design.per}, with {level} intervals",
        unit="points" if lead.arm.share else ask.outcome,
        rows=rows,
        sentence=title + ".",
        less=f"less {ask.outcome}",
        more=f"more {ask.outcome}",
    )
    lift = lead.arm.lift
    so_what = f"That is {said(lift, percent)} relative to {lead.arm.control}." if lift is not None else ""
    if lead.works.outcome == "open":
        more = roughly(lead.works.needed)
        so_what = "Not decided." + (f" About {more} more units would tell, if the truth is as seen." if more else "")
    p_value = lead.arm.effect.p_value
    sure = f"{level} interval{'' if p_value is None else ', ' + p_text(p_value)}; {design.how_sure}."
    return Finding(title, " ".join(others[:2]), strength, so_what or "–", sure, figure if rows else None)


def assumptions_finding(rows: Sequence[dict[str, Any]], lead: Paid, ask: Ask) -> Finding | None:
    """Profit were the margin or the costs other than assumed."""
    known = [r for r in rows if r["low"] is not None and r["high"] is not None]
    if len(known) < 2:
        return None
    earns = sum(r["above_0"] == "supported" for r in rows)
    loses = sum(r["above_0"] == "refuted" for r in rows)
    told = [(earns, "earns", "earn"), (loses, "loses", "lose"), (len(rows) - earns - loses, "is open", "are open")]
    parts = [f"{n} {one if n == 1 else many}" for n, one, many in told if n]
    title = f"Of {len(rows)} sets of margin and cost, {', '.join(parts)}"

    def label(r: dict[str, Any]) -> str:
        parts = [f"margin {number(r['value'])}"]
        parts += [f"cost {number(r['cost'])}"] if ask.cost else []
        parts += [f"{number(r['fixed_cost'])} once"] if ask.fixed else []
        return ", ".join(parts)

    figure = Figure(
        form="effect-bars",
        title=f"Profit of {lead.arm.arm} under other margins and costs",
        subtitle=f"money, with {100 * (1 - ask.alpha):.3g}% intervals",
        unit="money",
        rows=tuple(
            {
                "label": label(r),
                "value": r["profit"],
                "low": r["low"],
                "high": r["high"],
                "clear": r["above_0"] != "open",
            }
            for r in known
        ),
        sentence="; ".join(f"{label(r)}: {signed(r['profit'])}" for r in known) + ".",
        less="loses money",
        more="earns money",
    )
    return Finding(
        title,
        "Margin half or half as much again, costs half or double. Nothing here was measured but the effect.",
        "some" if max(earns, loses) == len(rows) else "weak",
        "Settle margin and cost with finance before acting on the return.",
        "Each interval is that of the effect, in money.",
        figure,
    )


def opened(text: str) -> str:
    """A sentence that begins with the campaign begins with a capital; a column's name is left as it is.

    >>> opened("the campaign pays"), opened("re78 rose")
    ('The campaign pays', 're78 rose')
    """
    return "T" + text[1:] if text.startswith("the ") else text


def _effect_title(p: Paid, ask: Ask, design: Design) -> str:
    name, text = p.arm.arm, effect_text(p.arm)
    if p.works.outcome == "open":
        return f"No clear effect of {name} on {ask.outcome}: {text} {design.per}"
    up = p.works.outcome == "supported"
    if design.causal:
        verb = "raised" if up else "lowered"
    elif design.name == "observational":
        verb = "goes with more" if up else "goes with less"
    else:
        return f"{ask.outcome} was {'higher' if up else 'lower'} than expected with {name}: {text} {design.per}"
    return f"{name} {verb} {ask.outcome}: {text} {design.per}"


def money_finding(paid: Sequence[Paid], lead: Paid, ask: Ask, strength: Strength) -> Finding | None:
    """What it returned, with the picture of ROI (or profit) per arm."""
    if lead.money is None or ask.money is None or lead.pays is None:
        return None
    use_roi = lead.money.roi is not None
    rows = []
    for p in paid:
        e = None if p.money is None else p.money.roi if use_roi else p.money.profit
        if e is not None and p.pays is not None and math.isfinite(e.low) and math.isfinite(e.high):
            rows.append(
                {"label": p.arm.arm, "value": e.value, "low": e.low, "high": e.high, "clear": p.pays.outcome != "open"}
            )
    m = lead.money
    verdicts = {"supported": "earned money", "refuted": "lost money", "open": "may have earned or lost money"}
    title = f"{lead.arm.arm} {verdicts[lead.pays.outcome]}: profit {said(m.profit)}"
    assumed = f"margin {number(ask.money.value)} per unit of {ask.outcome}, cost {number(ask.cost)} per treated unit"
    if ask.fixed:
        assumed += f", {number(ask.fixed)} once"
    sentence = "; ".join(
        f"{r['label']} {percent(float(str(r['value']))) if use_roi else signed(float(str(r['value'])))}" for r in rows
    )
    figure = Figure(
        form="effect-bars",
        title="Return on the money spent" if use_roi else "Profit",
        subtitle=f"{'profit as a share of cost' if use_roi else 'money'}, with {100 * m.profit.level:.3g}% intervals",
        unit="share" if use_roi else "money",
        rows=tuple(rows),
        sentence=f"{'ROI' if use_roi else 'Profit'}: {sentence}.",
        less="loses money",
        more="earns money",
    )
    text = f"Return {said(m.total)} on {plural(lead.arm.treated, 'treated unit')}"
    spent = lead.arm.treated * ask.cost + ask.fixed
    text += f", for {number(spent)} spent." if spent else "; no cost was named."
    so_what = f"It pays below a cost of {number(max(m.break_even_cost.value, 0.0))} per treated unit."
    if m.break_even_cost.value <= 0:
        so_what = "No cost would make it pay."
    return Finding(opened(title), text, strength, so_what, f"Assumed: {assumed}.", figure if rows else None)
