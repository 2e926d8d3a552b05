"""``career``: from what somebody says of their own skills to a role, as steps that work here would show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.advice.facts import Task
from ambidex.advice.lexicon import AREAS
from ambidex.advice.matrix import Matrix
from ambidex.advice.sheet import Person
from ambidex.advice.state import ProjectState
from ambidex.report.answer import Mark, Result
from ambidex.report.words import listing

__all__ = ["FEWEST_AREAS", "as_result", "career", "work_here"]

FEWEST_AREAS = 6
"""Areas that must be filled in before a way can be drawn."""

DEEP_IN = 3
"""Areas at level 3 from which somebody counts as senior."""

_MANAGES = ("engineering-manager", "analytics-manager", "product-manager", "technical-product-manager", "business-lead")
_SIDE = {
    "data-scientist": "explore", "senior-ds": "explore", "lead-ds": "explore", "analytics-manager": "explore",
    "business-lead": "explore", "ml-engineer": "deliver", "senior-mle": "deliver", "staff-mle": "deliver",
    "engineering-manager": "deliver", "platform-engineer": "deliver", "mlops-lead": "deliver", "architect": "deliver",
}  # fmt: skip

_ANYWHERE: dict[str, Task] = {
    "statistics": Task("plan a test before its data is in", "ambidex plan --baseline .1 --lift .05 --out PLAN.json"),
    "software": Task(
        "turn a prototype into a package and add a test of your own", "ambidex package answer/1 --name NAME"
    ),
    "modelling": Task(
        "find what goes with an outcome and say how far to trust it", "ambidex drivers TABLE --target COL"
    ),
    "analysis": Task("take a raw table apart and name what is wrong with it", "ambidex profile TABLE"),
    "infrastructure": Task("serve a model and find its limit on your machine", "ambidex serve NAME"),
    "mlops": Task("take a version through its gates, live and back", "ambidex gate NAME@1"),
    "communication": Task("write the page that somebody decides on", "ambidex report answer/1"),
    "domain": Task("write down who asks, what they will decide, and by when", "add it to [questions] in ambidex.toml"),
}


def career(person: Person, role: str, matrix: Matrix, *, here: Mapping[str, Task] | None = None) -> dict[str, Any]:
    """The way to a role as the contract's ``data``.

    Args:
        person: From the sheet.
        role: A role with hyphens.
        matrix: What roles ask.
        here: Area -> work in this workspace that would show it.
    """
    asked = matrix.needs(role)
    work = {**_ANYWHERE, **(here or {})}
    areas: dict[str, dict[str, Any]] = {}
    for area in AREAS:
        now = person.levels.get(area)
        steps = range((now or 0) + 1, asked[area] + 1) if now is not None else range(0)
        areas[area] = {
            "now": now,
            "asked": asked[area],
            "learn": [f"level {k}: {matrix.shows[area][k - 1]}" for k in steps],
            "shows": [f"{work[area].what}: {work[area].command}"] if steps else [],
        }
    filled = len(person.levels)
    can = filled >= FEWEST_AREAS
    gaps = {a: v["asked"] - v["now"] for a, v in areas.items() if v["now"] is not None and v["now"] < v["asked"]}
    first = min(gaps, key=lambda a: (gaps[a], -asked[a], AREAS.index(a))) if gaps and can else None
    return {
        "person": person.name,
        "to": role,
        "answer": "a_way" if can else "cannot_say",
        "why_not": "" if can else f"{filled} of {len(AREAS)} areas are filled in, and a way needs {FEWEST_AREAS}",
        "areas": areas,
        "gaps": list(gaps) if can else [],
        "first_step": None if first is None else {
            "area": first, "learn": areas[first]["learn"][0], "what": work[first].what, "command": work[first].command,
        },
        "near": [r for r in matrix.asked if r != role and _near(person, matrix.needs(r))] if can else [],
        "cautions": _cautions(person, role, areas, can=can),
    }  # fmt: skip


def _near(person: Person, asked: Mapping[str, int]) -> bool:
    """Every area that a role asks for was said of, one level short in at most four, never two."""
    if any(a not in person.levels for a in AREAS if asked[a]):
        return False
    short = [asked[a] - person.levels.get(a, 0) for a in AREAS if person.levels.get(a, 0) < asked[a]]
    return len(short) <= 4 and all(gap == 1 for gap in short)


def _cautions(person: Person, role: str, areas: Mapping[str, Any], *, can: bool) -> list[str]:
    out = ["Levels are what the person said; nobody measured them, and the sheet was not kept."]
    blank = [a for a in AREAS if a not in person.levels and areas[a]["asked"]]
    if blank:
        out.append(f"Not said: {listing(blank)}; a blank is not 0, so nothing is planned for it.")
    deep = [a for a in AREAS if person.levels.get(a) == 3]
    short = [a for a, v in areas.items() if v["now"] is not None and v["now"] < v["asked"]]
    if can and len(deep) >= DEEP_IN and _crosses(person, role) and short:
        out.append(f"Crossing is easier early: who is deep in {listing(deep)} starts again lower in {listing(short)}.")
    if role in _MANAGES:
        out.append("Leading people is no area of this sheet; the way shows only the work with data and models.")
    far = [a for a in short if areas[a]["asked"] - areas[a]["now"] >= 2]
    if far:
        out.append(f"More than one level is missing in {listing(far)}; pairing with somebody who holds it helps most.")
    return out


def _crosses(person: Person, role: str) -> bool:
    levels = person.levels
    explore = sum(levels.get(a, 0) for a in ("statistics", "analysis", "communication"))
    deliver = sum(levels.get(a, 0) for a in ("software", "infrastructure", "mlops"))
    side = "explore" if explore > deliver else "deliver" if deliver > explore else ""
    return bool(side) and _SIDE.get(role, side) != side


def work_here(state: ProjectState) -> dict[str, Task]:
    """Area -> work that waits in this workspace and would show the area."""
    out: dict[str, Task] = {}
    question = next((q for q in state.questions if q.settled_by is None), None)
    if question is not None:
        out["domain"] = Task(
            f"settle “{question.wording}” with whoever asked", f"add who and by to [questions.{question.name}]"
        )
        out["analysis"] = Task(
            f"answer “{question.wording}”", "ambidex profile " + (state.tables[0] if state.tables else "TABLE")
        )
    elif state.tables:
        out["analysis"] = Task(f"take {state.tables[0]} apart", f"ambidex profile {state.tables[0]}")
    if state.answers:
        last = state.answers[-1]
        out["communication"] = Task(
            f"write the page of {last.name} that somebody decides on", f"ambidex report {last.name}"
        )
        if last.verdict == "not-enough-evidence":
            out["statistics"] = Task(
                f"plan the test that would settle {last.name}", f"ambidex plan --table {last.source or 'TABLE'}"
            )
        validated = next((a for a in reversed(state.answers) if a.validated), None)
        if validated is not None:
            out["software"] = Task(
                f"make {validated.name} a tested package", f"ambidex package {validated.name} --name NAME"
            )
            out["modelling"] = Task(
                f"judge how far {validated.name} ({validated.validated}) is to be trusted",
                f"ambidex report {validated.name}",
            )
    if state.notebooks:
        out["software"] = Task(
            f"make {state.notebooks[0]} a tested package", f"ambidex package {state.notebooks[0]} --name NAME"
        )
    for model in state.models:
        if model.unjudged:
            out["mlops"] = Task(
                f"judge {model.name}@{model.unjudged[-1]}", f"ambidex gate {model.name}@{model.unjudged[-1]}"
            )
        elif model.live is not None:
            out["mlops"] = Task(
                f"monitor {model.name} and roll it back in a rehearsal", f"ambidex monitor {model.name}"
            )
        if model.live is not None:
            out["infrastructure"] = Task(f"serve {model.name} and find its limit", f"ambidex serve {model.name}")
    return out


def as_result(data: dict[str, Any], *, unread: Sequence[str] = ()) -> Result:
    """The way as the terminal shows it."""
    role = data["to"]
    if data["answer"] == "cannot_say":
        lines: list[tuple[Mark, str]] = [("▲", f"cannot say: {data['why_not']}")]
    else:
        gaps = data["gaps"]
        what = (
            f"to learn on the way to {role}: {listing(gaps)}" if gaps else f"every level that {role} asks for is there"
        )
        lines = [("▲" if gaps else "✓", what)]
        for area, v in data["areas"].items():
            now = (
                "not said"
                if v["now"] is None
                else f"{v['now']} → {v['asked']}"
                if v["now"] < v["asked"]
                else f"{v['now']} (asked {v['asked']})"
            )
            lines.append((" ", f"{area:<15} {now}"))
            lines += [(" ", f"{'':<15} {step}") for step in v["learn"]]
        if data["first_step"]:
            step = data["first_step"]
            lines.append((" ", f"first step  {step['what']}: {step['command']}"))
        if data["near"]:
            lines.append((" ", f"also near   {listing(data['near'])}"))
    lines += [(" ", c) for c in data["cautions"]]
    warnings = [("advice.unread", f"column `{c}` was not read") for c in unread]
    step = data["first_step"]
    following = (step["command"],) if step and step["command"].startswith("ambidex") else ()
    return Result(verb="career", data=data, lines=tuple(lines), warnings=tuple(warnings), next=following)
