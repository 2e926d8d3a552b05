"""The signals that advice rests on: yes, no or unknown, each yes with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ambidex.errors import UsageError, did_you_mean

__all__ = [
    "ASKED",
    "MEANING",
    "STALE",
    "Asked",
    "Fact",
    "Signal",
    "Task",
    "check_fact",
    "fresh",
]

State = Literal["yes", "no", "unknown"]

STALE = timedelta(days=90)
"""An answer that only people know is forgotten after so long."""


@dataclass(frozen=True, slots=True)
class Task:
    """A first task: in words, and as a command that runs in the workspace as it is."""

    what: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One thing that is so, is not so, or is not known.

    Attributes:
        id: ``P0``, ``E1`` ... ``A7``; ``MEANING`` says what it means.
        state: Unknown never counts.
        value: Which of two, for signals that have kinds (A2 advice | software, A3 sustained | one-off,
            A6 statistics | engineering, D3 tight | missed).
        evidence: What was seen: an event, a file, a dated answer. Never empty for a yes.
        source: Where it was looked up.
        task: What to do first if this is what the work is about.
    """

    id: str
    state: State
    value: str = ""
    evidence: tuple[str, ...] = ()
    source: str = ""
    task: Task | None = None

    def __post_init__(self) -> None:
        if self.id not in MEANING:
            raise ValueError(f"no signal {self.id!r}")
        if self.state == "yes" and not self.evidence:
            raise ValueError(f"signal {self.id} says yes without evidence")
        if self.state == "yes" and self.id in KINDS and self.value not in KINDS[self.id]:
            raise ValueError(f"signal {self.id} must be one of {', '.join(KINDS[self.id])}")

    @property
    def points(self) -> str:
        """To which hand it points."""
        return _points(self.id, self.value)

    def to_dict(self) -> dict[str, Any]:
        """The object of the JSON contract, with its meaning."""
        return {
            "id": self.id,
            "state": self.state,
            "points": self.points,
            "evidence": list(self.evidence),
            "source": self.source,
            "value": self.value,
            "meaning": MEANING[self.id],
        }


MEANING: dict[str, str] = {
    "P0": "no data arrives by itself",
    "E1": "a question is open",
    "E2": "nothing is validated: no version passed its gates, nothing is live",
    "E3": "the last answer is open",
    "E4": "data is unprofiled, a check fails, or drift is unexplained",
    "A1": "people who are not technical must be told",
    "A2": "what is handed over is advice or software",
    "D1": "a version that passed is not live",
    "D2": "a validated prototype is not a package",
    "D3": "a promised limit is tight or missed",
    "D4": "training, evaluation and release are done by hand",
    "D5": "live without tests, monitoring or a way back",
    "A5": "traffic or limits are planned",
    "A3": "the need is sustained or one-off",
    "A4": "research and production must change places quickly",
    "A6": "deep statistics or deep engineering is needed",
    "A7": "methods are known, at most one model is live, load is moderate",
}

KINDS: dict[str, tuple[str, ...]] = {
    "A2": ("advice", "software"),
    "A3": ("sustained", "one-off"),
    "A6": ("statistics", "engineering"),
    "D3": ("tight", "missed"),
}


def _points(id: str, value: str) -> str:
    if id == "A2":
        return {"advice": "explore", "software": "deliver"}.get(value, "explore or deliver")
    if id in ("E1", "E2", "E3", "E4", "A1"):
        return "explore"
    if id in ("D1", "D2", "D3", "D4", "D5", "A5"):
        return "deliver"
    return {"P0": "engineer", "A6": "against one person", "A7": "for one person"}.get(id, "pairing")


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that only people can answer."""

    id: str
    text: str
    choices: tuple[str, ...]


ASKED: dict[str, Asked] = {
    a.id: a
    for a in (
        Asked("P0", "Must somebody fetch the data by hand each time?", ("yes", "no")),
        Asked("A1", "Must people who are not technical be told what was found?", ("yes", "no")),
        Asked("A2", "What is handed over in the end?", ("advice", "software")),
        Asked("A3", "Is the need sustained, or is this one-off?", ("sustained", "one-off")),
        Asked("A4", "Must findings reach production within days, again and again?", ("yes", "no")),
        Asked("A5", "Is traffic, or a limit on it, planned?", ("yes", "no")),
        Asked("A6", "Is deep statistics or deep engineering needed?", ("statistics", "engineering", "no")),
        Asked("A7", "Are the methods known and is the load moderate?", ("yes", "no")),
        Asked("D3", "Is a promised limit (time, accuracy, uptime) tight or missed?", ("tight", "missed", "no")),
        Asked("D4", "Are training, evaluation and release done by hand?", ("yes", "no")),
        Asked("TEAM", "How many people work on this?", ()),
        Asked(
            "STRONG",
            "Is one of them strong in statistics, analysis, software and infrastructure alike?",
            ("yes", "no"),
        ),
    )
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What somebody said, and when."""

    id: str
    value: str
    at: datetime


def check_fact(id: str, value: str) -> tuple[str, str]:
    """The question and the answer as they are kept, or a usage error that lists what is allowed.

    >>> check_fact("a3", "One_Off")
    ('A3', 'one-off')
    """
    name = id.strip().upper()
    if name not in ASKED:
        raise UsageError(
            "usage.value",
            f"there is no question {id!r}{did_you_mean(name, ASKED)}",
            where="option --answer",
            found=", ".join(ASKED),
            do="ambidex next --ask",
        )
    said = value.strip().lower().replace("_", "-")
    if name == "TEAM":
        if not (said.isascii() and said.isdigit() and 1 <= int(said) <= 100_000):
            raise UsageError(
                "usage.value",
                f"TEAM={value} is not a number of people",
                where="option --answer",
                do="ambidex next --answer TEAM=3",
            )
        return name, str(int(said))
    choices = ASKED[name].choices
    if said not in choices:
        raise UsageError(
            "usage.value",
            f"{name} cannot be {value!r}{did_you_mean(said, choices)}",
            where="option --answer",
            found=", ".join(choices),
            do=f"ambidex next --answer {name}={choices[0]}",
        )
    return name, said


def fresh(facts: Iterable[Fact], now: datetime, *, stale: timedelta = STALE) -> Mapping[str, Fact]:
    """The newest answer to each question, as far as it is not stale."""
    newest: dict[str, Fact] = {}
    for fact in facts:
        if fact.id not in newest or fact.at >= newest[fact.id].at:
            newest[fact.id] = fact
    return {id: fact for id, fact in newest.items() if now - fact.at <= stale}
