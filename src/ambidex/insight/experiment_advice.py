"""What to do after an experiment: from verdicts to a recommendation."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ambidex.insight.experiment_words import Comparison, Style, roughly, sentence
from ambidex.report.answer import Check, Recommendation
from ambidex.report.words import listing, plural, share

__all__ = ["advise", "advise_stop", "lead_of"]

Actions = tuple[tuple[str, str, str, str], ...]


def advise(
    comparisons: Sequence[Comparison], guarded: Sequence[Comparison], margin: float | None
) -> tuple[str, Recommendation, Actions]:
    """Headline, recommendation and actions.

    Ships an arm if one primary claim is supported, none refuted, and every guardrail non-inferior. Whether more of a
    metric is better is not in the table, so the text says under which reading it holds.
    """
    lead = lead_of(comparisons)
    headline = _headline(lead, comparisons, margin)
    recommendation = _recommend(comparisons, guarded, lead, margin)
    return headline, recommendation, _actions(recommendation, lead)


def advise_stop(checks: Sequence[Check]) -> tuple[str, Recommendation, Actions]:
    """When a check of the design failed that decides."""
    failed = [c for c in checks if c.decides and not c.passed]
    first = failed[0]
    why, text, action = _STOPS.get(first.name.split(" ")[0], _STOPS["missing"])
    headline = f"No verdict: {why}"
    rest = failed[1:]
    more = f" Also: {'; '.join(c.text for c in rest)}." if rest else ""
    return headline, Recommendation("cannot-answer", text + more), (action,)


_STOPS: dict[str, tuple[str, str, tuple[str, str, str, str]]] = {
    "srm": (
        "the arm sizes do not fit the plan",
        "Find out where units were lost or added after assignment, and repeat the test. If other sizes were planned, "
        "say so with --shares.",
        ("Trace assignment and logging by arm", "whoever runs the assignment", "days", "a test that can be judged"),
    ),
    "two-arms": (
        "too many units were in two arms",
        "Find out why units changed their arm, and repeat the test with an assignment that holds for good.",
        ("Trace how units got a second arm", "whoever runs the assignment", "days", "a test that can be judged"),
    ),
    "exposure": (
        "too many units saw what another arm was to see",
        "Find out why assignment and exposure disagree. The difference between the arms is that of a mixture.",
        ("Compare assignment and exposure logs", "whoever runs the assignment", "days", "a test that can be judged"),
    ),
    "missing": (
        "the outcome is missing in one arm more than in another",
        "Find out who lacks an outcome and why. Those who are left are no longer alike in the arms.",
        ("Find the missing outcomes", "whoever collects the outcome", "days", "arms that can be compared"),
    ),
    "balance": (
        "the arms differ in what was to be known before the start",
        "Find out whether these columns were measured before the start. If not, leave them out of --covariate; if so, "
        "the arms were not dealt by lot, and the test is to be repeated.",
        ("Check when each covariate was measured", "whoever built the table", "hours", "arms that can be compared"),
    ),
    "copies": (
        "the rows are copies",
        "Take each row once (SELECT DISTINCT), or name who was assigned with --unit; then ask again.",
        ("Remove the copies, and find where they come from", "whoever built the table", "hours", "a right interval"),
    ),
}


def lead_of(comparisons: Sequence[Comparison]) -> Comparison:
    """The comparison that the headline tells: decided before open, then the smaller p-value."""
    return max(comparisons, key=_weight)


def _weight(c: Comparison) -> tuple[bool, bool, float]:
    p = 1.0 if c.difference.p_value is None else c.difference.p_value
    return c.verdict.outcome != "open", c.same, -p


def _headline(lead: Comparison, comparisons: Sequence[Comparison], margin: float | None) -> str:
    text = sentence(lead, margin)
    rest = len(comparisons) - 1
    if not rest:
        return text
    clear = sum(c.verdict.outcome != "open" for c in comparisons)
    if clear == 0:
        return f"{text}; none of {len(comparisons)} comparisons is clear"
    return f"{text}; {clear} of {len(comparisons)} comparisons {'is' if clear == 1 else 'are'} clear"


def _recommend(
    comparisons: Sequence[Comparison], guarded: Sequence[Comparison], lead: Comparison, margin: float | None
) -> Recommendation:
    control = lead.control
    arms = list(dict.fromkeys(c.arm for c in comparisons))
    up = {a: [c for c in comparisons if c.arm == a and c.verdict.outcome == "supported"] for a in arms}
    down = {a: [c for c in comparisons if c.arm == a and c.verdict.outcome == "refuted"] for a in arms}
    good = [a for a in arms if up[a] and not down[a]]
    held = {a: [c for c in guarded if c.arm == a] for a in arms}
    ready = [a for a in good if all(c.verdict.outcome == "supported" for c in held[a])]
    if ready:
        first = comparisons[0].reading.metric.spec
        best = max(
            ready,
            key=lambda a: next(
                c.difference.value for c in comparisons if c.arm == a and c.reading.metric.spec == first
            ),
        )
        what = listing([c.reading.metric.label for c in up[best]])
        note = (
            " It is the arm with the largest difference; the arms above the control were not compared with each other."
            if len(ready) > 1
            else ""
        )
        guards = f" {_named(held[best])} stays within the guardrail." if held[best] else ""
        small = " The difference lies inside the margin, so it may not pay." if all(c.same for c in up[best]) else ""
        return Recommendation(
            "act", f"Use {best} if more {what} is better; if less is better, keep {control}.{guards}{small}{note}"
        )
    if good:
        broken = [c for c in held[good[0]] if c.verdict.outcome == "refuted"]
        if broken:
            return Recommendation(
                "do-not-act", f"Keep {control}: {_named(broken)} moved beyond the guardrail with {good[0]}."
            )
        waiting = [c for c in held[good[0]] if c.verdict.outcome == "open"]
        return Recommendation(
            "not-enough-evidence",
            f"{good[0]} is ahead, but {_named(waiting)} is not shown to be within the guardrail.{_needed(waiting)}",
        )
    if any(up[a] and down[a] for a in arms):
        arm = next(a for a in arms if up[a] and down[a])
        more, less = (listing([c.reading.metric.label for c in s]) for s in (up[arm], down[arm]))
        return Recommendation(
            "do-not-act", f"Keep {control} until it is decided which counts: {arm} has more {more} and less {less}."
        )
    if any(down.values()):
        lower = [a for a in arms if down[a]]
        arm = next((a for a in lower if all(c.verdict.outcome == "supported" for c in held[a])), lower[0])
        less = listing(list(dict.fromkeys(c.reading.metric.label for a in arms for c in down[a])))
        return Recommendation(
            "do-not-act",
            f"Keep {control} if more {less} is better; if less is better, {arm} is the better arm{_but(held[arm])}.",
        )
    broken = [c for c in guarded if c.verdict.outcome == "refuted"]
    if broken:
        with_ = listing(list(dict.fromkeys(c.arm for c in broken)))
        return Recommendation(
            "do-not-act", f"Keep {control}: {_named(broken)} moved beyond the guardrail with {with_}."
        )
    if margin is not None and all(c.same for c in comparisons):
        bound = Style.of(lead.reading, lead.difference).delta(margin).lstrip("+")
        return Recommendation(
            "do-not-act", f"The arms are the same, give or take {bound}: keep {control}, or choose by cost."
        )
    waiting = [c for c in comparisons if c.verdict.outcome == "open" and not c.same]
    headlined = [c for c in waiting if c is lead] or waiting  # the numbers are those of the headline
    differ = "differs" if len({c.reading.metric.label for c in waiting}) == 1 else "differ"
    text = f"Keep {control} for now: the test does not tell whether {_named(waiting)} {differ}."
    return Recommendation("not-enough-evidence", text + _needed(headlined, margin))


def _but(guards: Sequence[Comparison]) -> str:
    """What speaks against an arm whose primary metric moved as wanted."""
    if broken := [c for c in guards if c.verdict.outcome == "refuted"]:
        return f", but {_named(broken)} moved beyond the guardrail"
    waiting = [c for c in guards if c.verdict.outcome == "open"]
    return f", but {_named(waiting)} is not shown to be within the guardrail" if waiting else ""


def _named(comparisons: Sequence[Comparison]) -> str:
    return listing(list(dict.fromkeys(c.reading.metric.label for c in comparisons)))


def _needed(waiting: Sequence[Comparison], margin: float | None = None) -> str:
    """How many more units would decide the first open claim, and what this test could have seen."""
    if not waiting:
        return ""
    c = waiting[0]
    style = Style.of(c.reading, c.difference)
    out = ""
    if not math.isfinite(c.difference.high - c.difference.low):
        why = c.difference.method if "too few" in c.difference.method else "too few units, or none that differ"
        if c.clusters and "too few" not in c.difference.method:
            why = f"{plural(c.clusters, 'cluster')} can be dealt to the arms in too few ways, or do not differ"
        return f" There is no interval to judge by: {why}."
    if c.more:
        out = f" About {c.more} would tell, if the difference is what it looks like now"
        out += f" ({style.delta(c.difference.value)})."
        if margin is not None and c.equal is not None and (needed := c.equal.needed) is not None:
            bound = style.delta(margin).lstrip("+")
            out = f" About {roughly(needed)} more units would tell whether it is within {bound}, if the difference is "
            out += f"what it looks like now ({style.delta(c.difference.value)})."
    law = c.difference.law
    if law is not None and law.looks and not law.final and not c.difference.anytime:
        return (
            f" Go on to the next planned look: this one is at {share(law.looks[-1], 0)} of the planned units, and "
            "so early only a large difference is told."
        )
    if c.detectable is not None:
        out += f" As it stands it could see differences from about {style.delta(c.detectable).lstrip('+')}."
    return out


def _actions(r: Recommendation, lead: Comparison) -> Actions:
    label = lead.reading.metric.label
    style = Style.of(lead.reading, lead.difference)
    effect = f"{label} {style.delta(lead.difference.value)} ({style.range(lead.difference.low, lead.difference.high)})"
    if r.verdict == "act":
        return (("Roll out the better arm in steps, with the guardrails watched", "product owner", "days", effect),)
    if r.verdict == "do-not-act":
        return (
            (
                f"Keep {lead.control}",
                "product owner",
                "none",
                effect + " not taken" if lead.verdict.outcome != "open" else "none",
            ),
        )
    more = lead.more or "many more units, or a bolder change"
    return (
        (f"Go on with the test, or stop it and keep {lead.control}", "product owner", more, f"a verdict on {label}"),
    )
