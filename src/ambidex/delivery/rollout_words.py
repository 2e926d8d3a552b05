"""What ``plan --rollout`` says: the plan as an answer."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ambidex.delivery.rollout_plan import RolloutPlan
from ambidex.report.answer import Answer, Caution, Recommendation
from ambidex.stats.estimate import Estimate
from ambidex.version import __version__

__all__ = ["plan_answer"]

SHORT_DAYS = 7
"""A stage shorter than a week has not seen every day of it."""


def plan_answer(plan: RolloutPlan, path: Path, *, replaced: str, command: str) -> Answer:
    """A plan as an answer.

    Args:
        plan: As it was written.
        path: Its file.
        replaced: Date of another plan that it took the place of, or empty.
        command: What was typed.
    """
    ref = f"{plan.model}@{plan.version}"
    last = datetime.fromisoformat(plan.dated) + timedelta(days=plan.deadline_days)
    decide = "decides" if plan.shadow_days == 1 else "decide"
    headline = (
        f"{ref}: {_days(plan.shadow_days)} of shadow {decide} with {plan.power:.0%} power if it is as good as "
        f"@{plan.against}; the champion stays after {_days(plan.deadline_days)}"
    )
    who = "watch promotes it" if plan.decides == "watch" else "a person promotes it; watch only rolls back"
    promotes = f"not worse: its loss is below +{plan.margin:g}, alpha {plan.alpha:g}, looked at any time"
    rows: list[dict[str, Any]] = [
        {"what": "units a day", "value": f"{plan.traffic:,.0f}, {plan.coverage:.0%} of them with a label"},
        {"what": "age of a label", "value": _days(plan.horizon_days)},
        {"what": "units until it is shown to be not worse", "value": f"{plan.units:,}"},
        {"what": "units until one that is worse by the margin is rolled back", "value": _units(plan.harm_units)},
        {"what": "shadow", "value": _days(plan.shadow_days)},
        {"what": "canary", "value": f"{plan.share:.0%} of the units" + _canary(plan)},
        {"what": "looks", "value": plan.looks},
        {"what": "deadline", "value": f"{_days(plan.deadline_days)} a stage, {last:%Y-%m-%d} if it begins today"},
        {"what": "who decides", "value": who},
    ]
    cautions = []
    if replaced:
        said = f"{path.name} held another plan, dated {replaced}; this one took its place."
        cautions.append(Caution("plan-replaced", said))
    if plan.shadow_days < SHORT_DAYS:
        said = f"{_days(plan.shadow_days)} of shadow cannot hold every weekday; a later start may see other units."
        cautions.append(Caution("short-shadow", said))
    if plan.harm_units is None:
        cautions.append(
            Caution("slow-harm", "a candidate that is worse by the margin is not rolled back within 200,000 units.")
        )
    return Answer(
        verb="plan",
        question=f"How is {ref} rolled out?",
        headline=headline,
        strength="strong",
        recommendation=Recommendation("act", f"Begin with: ambidex promote {ref} --to shadow"),
        numbers=(
            ("shadow", _days(plan.shadow_days), f"{plan.units:,} units with a label"),
            ("canary", f"{plan.share:.0%}", "of the units"),
            ("deadline", _days(plan.deadline_days), "then the champion stays"),
        ),
        estimates=(
            _count("units", float(plan.units), "units"),
            _count("shadow_days", float(plan.shadow_days), "days"),
            _count("canary_share", plan.share, "share"),
            _count("deadline_days", float(plan.deadline_days), "days"),
        ),
        cautions=tuple(cautions),
        unknowns=(
            f"Whether losses of live units differ as those of held-out rows do: {plan.units:,} units rest on it.",
            f"What one that is worse by less than {plan.margin:g} does: which claim acts first is close to chance.",
        ),
        method=(
            f"Two claims, watched: {promotes}; harm: its loss is above 0. Betting e-processes on differences of "
            "losses, drawn again from the newest held-out rows as roll-outs of a candidate that is as good."
        ),
        tables={"plan": rows},
        record={
            "command": command, "options": plan.content(), "sha256": plan.sha256, "file": str(path), "seed": 0,
            "version": __version__,
        },
        extra={"plan": {**plan.content(), "sha256": plan.sha256}, "file": str(path)},
        next=(f"ambidex promote {ref} --to shadow", "ambidex watch"),
    )  # fmt: skip


def _count(name: str, value: float, unit: str) -> Estimate:
    return Estimate(name=name, kind="count", value=value, low=float("-inf"), high=float("inf"), n=0, unit=unit,
                    method="drawn roll-outs")  # fmt: skip


def _days(days: float) -> str:
    return "1 day" if days == 1 else f"{days:g} days"


def _units(units: int | None) -> str:
    return "more than 200,000" if units is None else f"{units:,}"


def _canary(plan: RolloutPlan) -> str:
    if plan.canary_days is None:
        return "; without a shadow before it, it would not be decided within a year"
    return f"; without a shadow before it, it would take {_days(plan.canary_days)}"
