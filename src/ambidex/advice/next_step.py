"""What the project needs next: from signals to a recommendation with its evidence."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ambidex.advice.facts import ASKED, KINDS, MEANING, Asked, Signal, Task, check_fact, fresh
from ambidex.advice.matrix import Matrix, matrix_of
from ambidex.advice.rules import Rule, View, decide_role, hire, one_person
from ambidex.advice.sheet import Person
from ambidex.advice.signals import signals as read_signals
from ambidex.advice.state import ProjectState, gather
from ambidex.advice.team import crossovers, reaches, strong_person
from ambidex.errors import Refused
from ambidex.ports import Store
from ambidex.report.answer import Mark, Result
from ambidex.settings import Settings

__all__ = ["SHEET_ROLES", "advise", "as_result", "check_fact", "read_and_advise"]

PAIRING = ("A2", "A3", "A4")
"""Questions that decide more than others do."""

FIRST = ("D3", "P0", "D1", "E4", "E3", "E1", "E2", "D5", "D2", "D4", "A5", "A2", "A1")
"""Whose task comes first where several signals ask for one."""

SHEET_ROLES = {"data_scientist": "data-scientist", "ml_engineer": "ml-engineer", "both": "both", "in_sequence": "both"}
"""Roles of the rules whose levels the skills matrix knows."""

_ORDER = {id: i for i, id in enumerate(MEANING)}

_SIDES = {
    "data_scientist": ("explore",),
    "ml_engineer": ("deliver",),
    "engineer": ("engineer",),
    "in_sequence": ("explore",),
    "both": ("deliver", "explore"),
    "cannot_say": ("deliver", "explore"),
}

_WORDS = {
    "data_scientist": "exploration, a data scientist's work",
    "ml_engineer": "delivery, an ML engineer's work",
    "engineer": "a data pipeline, an engineer's work",
    "in_sequence": "exploration by a data scientist, then delivery by an ML engineer",
    "both": "exploration and delivery, a data scientist and an ML engineer",
    "none": "nothing",
    "cannot_say": "not known yet",
}

_SHORT = {
    "data_scientist": "exploration",
    "ml_engineer": "delivery",
    "engineer": "a data pipeline",
    "in_sequence": "exploration, then delivery",
    "both": "exploration and delivery side by side",
    "none": "nothing",
    "cannot_say": "whose work comes first is not known",
}

_BOTH_IN_DOUBT = "exploration and delivery; whose work comes first is not known yet"


def advise(
    signals: Iterable[Signal],
    *,
    team: int | None = None,
    strong: bool | None = None,
    gap: bool | None = None,
    idle: Task | None = None,
    crossover: Sequence[dict[str, Any]] = (),
    matrix: Matrix | None = None,
) -> dict[str, Any]:
    """The recommendation as the contract's ``data``.

    Args:
        signals: What is so, in any order.
        team: People in the team, None if not said.
        strong: Whether somebody is strong in statistics, analysis, software and infrastructure.
        gap: Whether nobody reaches the role's levels; None without a skills sheet.
        idle: What to do first where no signal asks for anything.
        crossover: Who wants the other role and is near it.
        matrix: Thresholds; those that ship if None.

    >>> advise([])["role"]
    'cannot_say'
    """
    order = sorted(signals, key=lambda s: _ORDER[s.id])
    rule = decide_role(order)
    view = View.of(order)
    limits = matrix or matrix_of(None)
    sizes = {"small_team": limits.small_team, "can_specialise": limits.can_specialise}
    person, because = one_person(order, team=team, strong=strong, **sizes)
    task = _first_task(order, rule.role) or idle or Task("see where everything stands", "ambidex status")
    if rule.name == "R2":
        task = Task("answer what only people know", "ambidex next --ask")
    return {
        "role": rule.role,
        "work": rule.work,
        "rule": rule.name,
        "why": rule.why,
        "strength": {"explore": view.e, "deliver": view.d},
        "hire": hire(order, gap=gap),
        "one_person": {"answer": person, "because": because},
        "first_task": {"what": task.what, "command": task.command},
        "signals": [s.to_dict() for s in order],
        "would_change": _would_change(order, rule.role),
        "questions": [
            {"id": a.id, "text": a.text, "choices": list(a.choices)}
            for a in _questions(order, rule, person, team=team, strong=strong, sizes=sizes)
        ],
        "crossover": list(crossover),
    }


def _first_task(order: Sequence[Signal], role: str) -> Task | None:
    tasks = {s.id: s for s in order if s.state == "yes" and s.task is not None}
    sides = _SIDES.get(role, ())
    return next((tasks[id].task for id in FIRST if id in tasks and tasks[id].points in sides), None)


def _turned(signal: Signal) -> list[Signal]:
    """The same signal with each other answer that it can have."""
    values: list[str | None] = [None, *KINDS.get(signal.id, ("",))]
    now = signal.value if signal.state == "yes" else None if signal.state == "no" else "unknown"
    return [
        replace(signal, state="no" if v is None else "yes", value=v or "", evidence=("supposed",))
        for v in values
        if v != now
    ]


def _would_change(order: Sequence[Signal], role: str) -> list[dict[str, str]]:
    """Single signals that would give another role: first what is not known, then what could be mended."""
    out = []
    places = sorted(range(len(order)), key=lambda i: order[i].id not in PAIRING)
    for state in ("unknown", "yes", "no"):
        for i in places:
            signal = order[i]
            for turned in _turned(signal) if signal.state == state else []:
                other = decide_role([*order[:i], turned, *order[i + 1 :]]).role
                if other != role:
                    out.append({"id": signal.id, "to": turned.value or turned.state, "role": other})
    return out


def _questions(
    order: Sequence[Signal], rule: Rule, person: str, *, team: int | None, strong: bool | None, sizes: dict[str, int]
) -> list[Asked]:
    """Questions to people whose answer could change what is recommended."""
    open_ = [s for s in order if s.state == "unknown" and s.id in ASKED]
    asked = []
    for signal in open_:
        rest = [s for s in order if s is not signal]
        for turned in _turned(signal):
            moves_role = decide_role([*rest, turned]).role != rule.role
            moves_person = one_person([*rest, turned], team=team, strong=strong, **sizes)[0] != person
            # Where too little is known, every answer counts towards enough.
            if moves_role or moves_person or rule.name == "R2":
                asked.append(ASKED[signal.id])
                break
    if person == "cannot_say":
        simple = next((s.state for s in order if s.id == "A7"), "unknown")
        if simple != "no":
            asked += [ASKED["A7"]] if simple == "unknown" and ASKED["A7"] not in asked else []
            asked += [ASKED["TEAM"]] if team is None else []
            asked += [ASKED["STRONG"]] if strong is None else []
    return asked


def read_and_advise(
    folder: Path, store: Store, settings: Settings, *, now: datetime, people: Sequence[Person] | None = None
) -> dict[str, Any]:
    """Read a workspace and say what it needs next.

    Args:
        folder: Where ambidex.toml lies.
        store: Its events and their fold.
        settings: ambidex.toml.
        now: The time, with a zone.
        people: The team's skills sheet, if there is one.

    Raises:
        Refused: ``check.doctor`` if the log of events is not sound: advice that rests on it would have no evidence.
    """
    broken = [c for c in store.check() if not c["passed"]]
    if broken:
        raise Refused(
            "check.doctor",
            "the log of events is not sound, so nothing can be read from it",
            found="; ".join(f"{c['name']}: {c['what']}" for c in broken),
            do="ambidex doctor",
        )
    state = gather(folder, store, settings, now)
    matrix = matrix_of(settings.advice)
    said = fresh(state.facts, now, stale=state.stale)
    signals = read_signals(state)
    team = int(said["TEAM"].value) if "TEAM" in said else None
    strong = said["STRONG"].value == "yes" if "STRONG" in said else None
    if people is None:
        return advise(signals, team=team, strong=strong, idle=_idle(state), matrix=matrix)
    role = SHEET_ROLES.get(decide_role(signals).role)
    reached = None if role is None else reaches(people, matrix, role)
    return advise(
        signals,
        team=len(people),
        strong=strong_person(people, matrix) if strong is None else strong,
        gap=None if reached is None else not reached,
        idle=_idle(state),
        crossover=crossovers(people, matrix),
        matrix=matrix,
    )


def _idle(state: ProjectState) -> Task:
    unjudged = [(m.name, n) for m in state.models for n in m.unjudged if m.live is not None and n > m.live]
    if unjudged:
        name, number = unjudged[-1]
        return Task(f"judge {name}@{number}", f"ambidex gate {name}@{number}")
    fed = [m for m in state.models if m.arrived]
    if fed:
        return Task(f"{fed[0].arrived[0]} arrived: train on it", f"ambidex retrain {fed[0].name}")
    live = [m.name for m in state.models if m.live is not None]
    if live:
        return Task(f"keep watching {live[0]}", f"ambidex monitor {live[0]}")
    return Task("see where everything stands", "ambidex status")


def as_result(data: dict[str, Any], *, ask: bool = False) -> Result:
    """The recommendation as the terminal shows it.

    Args:
        data: What ``advise`` gave.
        ask: Whether the open questions are listed with their commands.
    """
    role = data["role"]
    mark: Mark = "▲" if role == "cannot_say" else "✓"
    strength = data["strength"]
    lines: list[tuple[Mark, str]] = [
        (mark, f"needed next: {_BOTH_IN_DOUBT if data['rule'] == 'R9' else _WORDS[role]}"),
        (" ", f"why         {data['why']} ({data['rule']})"),
        (
            " ",
            f"counted     {strength['explore']} for exploration, {strength['deliver']} for delivery",
        ),
        (" ", f"first task  {data['first_task']['what']}"),
    ]
    for signal in data["signals"]:
        if signal["state"] == "yes":
            for i, seen in enumerate(signal["evidence"][:3]):
                lines.append((" ", f"{signal['id'] if i == 0 else '':<11} {seen}"))
    person = data["one_person"]
    answer = {"works": "works", "does_not_work": "does not work", "cannot_say": "cannot say"}
    lines.append((" ", f"one person  {answer[person['answer']]}: {'; '.join(person['because'])}"))
    if data["hire"] != "unknown":
        words = {"covered": "not needed: the sheet reaches the levels", "yes": "yes: nobody reaches the levels",
                 "not_yet": "not yet: one signal is not enough to hire on"}  # fmt: skip
        lines.append((" ", f"hire        {words[data['hire']]}"))
    for c in data["crossover"]:
        lines.append(
            (" ", f"crossover   {c['person']} wants {c['to']}; to learn: {', '.join(c['learn']) or 'nothing'}")
        )
    for change in data["would_change"][:3]:
        said = f"{change['id']} {change['to']}: {_SHORT[change['role']]}"
        lines.append((" ", f"if instead  {said} ({MEANING[change['id']]})"))
    following = [data["first_task"]["command"]]
    if ask:
        for question in data["questions"]:
            choices = " | ".join(question["choices"]) or "a number"
            lines.append(("▲", f"{question['id']:<6}    {question['text']} {choices}"))
        if data["questions"]:
            lines.append((" ", "answer with ambidex next --answer ID=VALUE"))
            following = [c for c in following if c != "ambidex next --ask"]
    elif data["questions"] and following[0] != "ambidex next --ask":
        following.append("ambidex next --ask")
    return Result(verb="next", data=data, lines=tuple(lines), next=tuple(following))
