"""The rules, in one place: from signals to whose work is needed. First match wins.

The thresholds and the order are those that the project agreed on; nothing else decides.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ambidex.advice.facts import Signal

__all__ = ["RULES", "View", "decide_role", "hire", "one_person"]

SMALL_TEAM = 3
CAN_SPECIALISE = 5
ENOUGH_KNOWN = 5

EXPLORE = ("E1", "E2", "E3", "E4", "A1")
DELIVER = ("D1", "D2", "D3", "D4", "D5", "A5")


@dataclass(frozen=True, slots=True)
class View:
    """What the rules look at.

    Attributes:
        yes: Value of each signal that is so (empty text where it has no kinds).
        known: How many signals are not unknown.
        asked: Ids that are not unknown.
    """

    yes: Mapping[str, str]
    known: int
    asked: frozenset[str]

    @classmethod
    def of(cls, signals: Iterable[Signal]) -> View:
        """The view on some signals, in any order."""
        listed = list(signals)
        known = [s for s in listed if s.state != "unknown"]
        return cls(
            yes={s.id: s.value for s in listed if s.state == "yes"},
            known=len(known),
            asked=frozenset(s.id for s in known),
        )

    @property
    def e(self) -> int:
        """Signals that point to exploration."""
        return sum(id in self.yes for id in EXPLORE) + (self.yes.get("A2") == "advice")

    @property
    def d(self) -> int:
        """Signals that point to delivery."""
        return sum(id in self.yes for id in DELIVER) + (self.yes.get("A2") == "software")


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the table."""

    name: str
    when: Callable[[View], bool]
    role: str
    work: str
    why: str


RULES: tuple[Rule, ...] = (
    Rule(
        "R0",
        lambda v: v.yes.get("D3") == "missed",
        "ml_engineer",
        "delivery",
        "a promised limit is missed: mend that, then ask again",
    ),
    Rule(
        "R1",
        lambda v: "P0" in v.yes,
        "engineer",
        "data pipeline",
        "no data arrives by itself: build the pipeline first",
    ),
    Rule(
        "R2",
        lambda v: v.known < ENOUGH_KNOWN and "A2" not in v.asked,
        "cannot_say",
        "unknown",
        "too little is known here to say",
    ),
    Rule(
        "R3",
        lambda v: "E2" in v.yes and v.d >= 1,
        "data_scientist",
        "exploration",
        "nothing is validated yet, so there is nothing to deliver",
    ),
    Rule("R4", lambda v: v.e == 0 and v.d == 0, "none", "nothing", "nothing asks for work now"),
    Rule("R5", lambda v: v.d == 0, "data_scientist", "exploration", "all signals point to exploration"),
    Rule("R6", lambda v: v.e == 0, "ml_engineer", "delivery", "all signals point to delivery"),
    Rule(
        "R7",
        lambda v: v.yes.get("A3") == "one-off",
        "in_sequence",
        "exploration, then delivery",
        "both are needed, once: explore, then deliver",
    ),
    Rule(
        "R8",
        lambda v: v.yes.get("A3") == "sustained" or "A4" in v.yes or (v.e >= 2 and v.d >= 2),
        "both",
        "exploration and delivery",
        "both are needed, and go on being needed",
    ),
    Rule(
        "R9",
        lambda v: True,
        "cannot_say",
        "exploration and delivery",
        "both are needed; whether once or for good decides who comes first",
    ),
)


def decide_role(signals: Iterable[Signal]) -> Rule:
    """The first rule that matches. The order of the signals does not matter.

    >>> decide_role([]).name
    'R2'
    """
    view = View.of(signals)
    return next(rule for rule in RULES if rule.when(view))


Hire = Literal["covered", "yes", "not_yet", "unknown"]


def hire(signals: Iterable[Signal], *, gap: bool | None) -> Hire:
    """Should somebody be hired for this role?

    Args:
        signals: The signals.
        gap: True if nobody reaches the role's levels, False if somebody does, None without a sheet.
    """
    if gap is None:
        return "unknown"
    if not gap:
        return "covered"
    view = View.of(signals)
    return "yes" if max(view.e, view.d) >= 2 or "A2" in view.yes else "not_yet"


def one_person(
    signals: Iterable[Signal],
    *,
    team: int | None,
    strong: bool | None,
    small_team: int = SMALL_TEAM,
    can_specialise: int = CAN_SPECIALISE,
) -> tuple[Literal["works", "does_not_work", "cannot_say"], list[str]]:
    """Can one person do both hands' work here?

    Args:
        signals: The signals.
        team: People in the team, None if not said.
        strong: Whether somebody is strong in statistics, analysis, software and infrastructure.
        small_team: Most people for whom one person can do both.
        can_specialise: Fewest people that can divide the work.

    Returns:
        The answer, and the reasons.
    """
    view = View.of(signals)
    against = []
    if "D3" in view.yes:
        against.append(f"a promised limit is {view.yes['D3']}")
    if "A6" in view.yes:
        against.append(f"deep {view.yes['A6']} is needed")
    if team is not None and team >= can_specialise:
        against.append(f"a team of {team} can specialise")
    if against:
        return "does_not_work", against
    missing = []
    if team is None:
        missing.append("TEAM not known")
    elif team > small_team:
        missing.append(f"a team of {team} is neither small nor large")
    if "A7" not in view.yes:
        missing.append("methods, models or load are not simple" if "A7" in view.asked else "A7 not known")
    if not strong:
        missing.append("nobody is strong in all four areas" if strong is False else "STRONG not known")
    if missing:
        return "cannot_say", missing
    return "works", [f"a team of {team}, known methods, and somebody strong in all four areas"]
