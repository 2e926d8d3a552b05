"""``team``: the people's skills against the work ahead, by area, never by person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambidex.advice.lexicon import AREAS
from ambidex.advice.matrix import BASES, Matrix
from ambidex.advice.sheet import Person
from ambidex.report.answer import Mark, Result
from ambidex.report.words import listing, plural

__all__ = ["as_result", "coverage", "crossovers", "reaches", "strong_person"]

MOST_SHORT = 4
"""Areas in which somebody may be one level short and still be near the other role."""

_WANTS = {"ds": "data-scientist", "mle": "ml-engineer", "scientist": "data-scientist", "engineer": "ml-engineer"}


def coverage(people: Sequence[Person], matrix: Matrix, role: str) -> dict[str, Any]:
    """Who reaches what the work asks, area by area, as the contract's ``data``.

    Args:
        people: From the sheet.
        matrix: What roles ask.
        role: A role with hyphens, or ``both``.
    """
    needed = matrix.needs(role)
    areas: dict[str, dict[str, Any]] = {}
    for area in AREAS:
        said = [p for p in people if area in p.levels]
        reach = [p.name for p in said if p.levels[area] >= needed[area]]
        state = (
            "covered" if len(reach) >= 2
            else "unknown" if 2 * len(said) < len(people)
            else "single" if reach
            else "gap"
        )  # fmt: skip
        areas[area] = {
            "needed": needed[area],
            "reached": len(reach),
            "state": state,
            "holder": reach[0] if state == "single" else None,
            "said": len(said),
        }
    return {
        "for": role,
        "people": len(people),
        "areas": areas,
        "gaps": [a for a in AREAS if areas[a]["state"] == "gap"],
        "single": [a for a in AREAS if areas[a]["state"] == "single"],
        "unknown": [a for a in AREAS if areas[a]["state"] == "unknown"],
        "crossover": crossovers(people, matrix),
    }


def crossovers(people: Sequence[Person], matrix: Matrix) -> list[dict[str, Any]]:
    """Who wants the other role and is near it, in the order of the alphabet, with what there is to learn.

    Near: one level short in at most four areas, and never two; a blank is not a level.
    """
    out = []
    for person in sorted(people, key=lambda p: p.name.casefold()):
        wanted = person.wants.lower().replace("_", "-").replace(" ", "-")
        role = _WANTS.get(wanted, wanted)
        if role not in BASES:
            continue
        needed = matrix.needs(role)
        if any(a not in person.levels for a in AREAS if needed[a]):
            continue
        short = {a: needed[a] - person.levels.get(a, 0) for a in AREAS if person.levels.get(a, 0) < needed[a]}
        if all(gap == 1 for gap in short.values()) and len(short) <= MOST_SHORT:
            out.append({"person": person.name, "to": role, "learn": list(short)})
    return out


def reaches(people: Sequence[Person], matrix: Matrix, role: str) -> bool | None:
    """Whether the people together reach a role's levels; None if blanks leave it open."""
    states = [v["state"] for v in coverage(people, matrix, role)["areas"].values()]
    return False if "gap" in states else None if "unknown" in states else True


def strong_person(people: Sequence[Person], matrix: Matrix) -> bool | None:
    """Whether somebody is strong in statistics, analysis, software and infrastructure; None if blanks hide it."""
    four = ("statistics", "analysis", "software", "infrastructure")
    if any(all(p.levels.get(a, -1) >= matrix.strong for a in four) for p in people):
        return True
    hidden = any(all(p.levels.get(a, matrix.strong) >= matrix.strong for a in four) for p in people)
    return None if hidden else False


def as_result(data: dict[str, Any], *, unread: Sequence[str] = (), said: str = "") -> Result:
    """Coverage as the terminal shows it."""
    gaps, single, unknown = data["gaps"], data["single"], data["unknown"]
    names = {"both": "both roles", "data-scientist": "a data scientist", "ml-engineer": "an ML engineer"}
    work = names.get(data["for"], data["for"])
    mark: Mark = "✓" if not (gaps or single or unknown) else "▲"
    first = (
        f"nobody reaches what the work of {work} needs in {listing(gaps)}"
        if gaps
        else f"every area that was said of is reached for {work}"
    )
    lines: list[tuple[Mark, str]] = [(mark, f"{plural(data['people'], 'person', 'people')}: {first}")]
    if said:
        lines.append((" ", said))
    for area, v in data["areas"].items():
        state = {
            "covered": f"{v['reached']} reach it",
            "gap": "gap: nobody reaches it",
            "single": f"one holder: {v['holder']}",
            "unknown": f"unknown: {v['said']} of {data['people']} said",
        }[v["state"]]
        pips = "●" * v["needed"] + "○" * (3 - v["needed"])
        lines.append((" " if v["state"] == "covered" else "▲", f"{area:<15} {pips}  {state}"))
    for c in data["crossover"]:
        learn = f"to learn: {listing(c['learn'])}" if c["learn"] else "reaches it"
        lines.append((" ", f"{c['person']} wants {c['to']} and is near; {learn}"))
    warnings = [("advice.unread", f"column `{c}` was not read") for c in unread]
    return Result(verb="team", data=data, lines=tuple(lines), warnings=tuple(warnings))
