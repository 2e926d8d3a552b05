"""How often a claim is looked at: once, as planned, or as often as one likes; and what earlier looks cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ambidex.errors import DataError
from ambidex.insight.plan_file import Plan
from ambidex.report.answer import Check
from ambidex.report.words import count, plural
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import TUNED, anytime
from ambidex.stats.sequential import planned

__all__ = ["Look", "Schedule", "schedule_of"]

How = Literal["once", "planned", "anytime"]


@dataclass(frozen=True, slots=True)
class Look:
    """An earlier look at the same claim.

    Attributes:
        fingerprint: Of the table it saw.
        rows: Its rows.
        units: Units with a value of the first metric.
        judged: How.
        plan: sha256 of the plan that it was held to, or None.
    """

    fingerprint: str
    rows: int
    units: int
    judged: How
    plan: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """For the record of the look that follows."""
        return {"fingerprint": self.fingerprint, "rows": self.rows, "units": self.units, "judged": self.judged}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Look:
        """From the record of an earlier answer."""
        looks = record.get("looks") or {}
        plan = record.get("plan") or {}
        return cls(
            str(record["fingerprint"]), int(record["rows"]), int(looks.get("units") or record["rows"]),
            looks.get("judged") or "once", plan.get("sha256"),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Schedule:
    """How this look is judged.

    Attributes:
        how: As a ``Claim`` takes it.
        times: Information at the planned looks so far, this one last, over the planned one; else empty.
        final: True if this planned look ends the test.
        check: Check ``looks``.
        said: For a finding: how it was looked at.
        method: For the method sentence.
        units: Units of this look.
        earlier: Looks before it.
    """

    how: How
    check: Check
    said: str
    method: str
    times: tuple[float, ...] = ()
    final: bool = False
    units: int = 0
    earlier: tuple[Look, ...] = ()

    def judged(self, estimate: Estimate, *, fewest: int) -> Estimate:
        """The estimate with bounds that this look may use.

        Args:
            estimate: As a test with one look makes it.
            fewest: As for ``sequences.anytime``.
        """
        if self.how == "anytime":
            return anytime(estimate, fewest=fewest)
        if self.how == "planned":
            return planned(estimate, self.times, final=self.final)
        return estimate

    def to_record(self, plan: Plan | None) -> dict[str, Any]:
        """What the record keeps of it: with it the same record gives the same answer."""
        earlier = [look.to_dict() for look in self.earlier]
        looks: dict[str, Any] = {"judged": self.how, "units": self.units, "earlier": earlier}
        if plan is None:
            return {"looks": looks}
        looks["times"] = list(self.times)
        return {"looks": looks, "plan": {"sha256": plan.sha256, "dated": plan.dated, "looks": plan.looks}}


def schedule_of(
    units: int,
    *,
    alpha: float,
    watched: bool,
    plan: Plan | None = None,
    earlier: Sequence[Look] | None = None,
    arms: int = 2,
) -> Schedule:
    """How this look is judged, and what is to be said about it.

    Args:
        units: Units with a value of the first metric, all arms.
        alpha: Error rate of the claims.
        watched: True if bounds for every look were asked for.
        plan: The plan it is held to.
        earlier: Looks at the same claim on rows that this table holds too, oldest first; None if nobody has kept
            a record of looks.
        arms: Arms found.

    Raises:
        DataError: ``data.plan`` if the table has other arms than the plan.
    """
    before = tuple(earlier or ())
    if plan is not None and plan.arms != arms:
        raise DataError(
            "data.plan", f"the table has {plural(arms, 'arm')}, the plan {plan.arms}", where=plan.name,
            do="leave the other arms out with a SELECT, or judge without --plan and say so",
        )  # fmt: skip
    if plan is not None and not plan.anytime:
        return _planned(units, alpha, plan, before, recorded=earlier is not None)
    if watched and all(look.judged == "anytime" for look in before):
        which = f"look {len(before) + 1}; " if before else ""
        return _watched(units, before, Check("looks", True, None, None, f"{which}holds at every look"))
    if not before:
        text = "judged once; if it was looked at before and will be again, run it with --anytime"
        return Schedule("once", Check("looks", True, None, None, text), "judged at one look",
                        "valid for one look at the end", units=units)  # fmt: skip
    nth = len(before) + 1
    if all(look.judged == "anytime" for look in before):
        text = f"Look {nth} at this claim, so it was judged by bounds that hold at every look, as the looks before it"
        return _watched(units, before, Check("looks", True, float(nth), 1.0, text))
    text = (
        f"Look {nth} at this claim: the table holds the rows of {_seen(before)} and more, so bounds that hold at every "
        f"look were used. {_spent(before)} of {alpha:g}, so a false finding at any look has a chance of up to 2α = "
        f"{2 * alpha:g}."
    )
    return _watched(units, before, Check("looks", False, float(nth), 1.0, text))


def _planned(units: int, alpha: float, plan: Plan, before: tuple[Look, ...], *, recorded: bool) -> Schedule:
    share = units / plan.units
    times = tuple(sorted({look.units / plan.units for look in before if look.units < units}))
    nth = max(1, min(plan.looks, round(share * plan.looks)))
    if not recorded:
        times = tuple(k / plan.looks for k in range(1, nth) if k / plan.looks < share)
    reached = f"{100 * share:.3g}% of the planned {count(plan.units)} units"
    nth = len(times) + 1
    outside = [look for look in before if look.plan != plan.sha256]
    if nth > plan.looks or any(t >= 1 for t in times) or outside:
        why = (
            f"Look {len(before) + 1}, and the plan of {plan.dated[:10]} has {plan.looks}"
            if not outside
            else f"Look {len(before) + 1}, and {_seen(outside)} was not judged by this plan"
        )
        text = (
            f"{why}: its alpha of {alpha:g} is spent, so bounds that hold at every look were used, and a false finding "
            f"at any look has a chance of up to 2α = {2 * alpha:g}."
        )
        return _watched(units, before, Check("looks", False, float(len(before) + 1), float(plan.looks), text))
    final = nth == plan.looks or share >= 1
    name = "the only look" if plan.looks == 1 else f"look {nth} of {plan.looks}"
    text = f"{name} planned on {plan.dated[:10]}, at {reached}"
    if final and plan.looks > 1:
        text += "; it ends the test and spends the rest of alpha"
    if final and share < 0.995:
        text += "; fewer units than planned find less"
    if not recorded and nth > 1:
        text += "; nobody kept a record of looks, so the planned ones before it count as made"
    return Schedule(
        "planned", Check("looks", True, float(nth), float(plan.looks), text), f"judged at {name}, as planned",
        f"Lan-DeMets bounds of the O'Brien-Fleming type at {name} ({reached})", (*times, share), final, units, before,
    )  # fmt: skip


def _watched(units: int, before: tuple[Look, ...], check: Check) -> Schedule:
    return Schedule("anytime", check, "holds at every look", f"valid at every look, tightest at {TUNED:,} units",
                    units=units, earlier=before)  # fmt: skip


def _seen(looks: Sequence[Look]) -> str:
    first = looks[0]
    return f"an earlier look ({count(first.units)} units)" if len(looks) == 1 else f"{len(looks)} earlier looks"


def _spent(looks: Sequence[Look]) -> str:
    return "The first look has spent its alpha" if len(looks) == 1 else "The looks before have spent an alpha"
