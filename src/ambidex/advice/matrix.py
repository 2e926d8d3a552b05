"""The skills matrix: eight areas, four levels, what each role asks, what shows a level."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ambidex.advice.lexicon import AREAS
from ambidex.errors import UsageError, did_you_mean
from ambidex.settings import AdviceSettings

__all__ = ["DEEPEST", "Matrix", "matrix_of", "role_name"]

DEEPEST = 3
"""Levels: 0 none, 1 aware, 2 working, 3 deep."""

BASES = ("data-scientist", "ml-engineer")


@dataclass(frozen=True, slots=True)
class Matrix:
    """What the work asks for.

    Attributes:
        asked: Role -> area -> level; "any" is 0.
        shows: Area -> what shows levels 1, 2 and 3.
        small_team, can_specialise: People.
        strong: Level from which somebody counts as strong.
        stale_days: Days after which an answer to a question is forgotten.
    """

    asked: Mapping[str, Mapping[str, int]]
    shows: Mapping[str, tuple[str, ...]]
    small_team: int
    can_specialise: int
    strong: int
    stale_days: int

    def needs(self, role: str) -> dict[str, int]:
        """Levels that a role asks for; ``both`` asks for the deeper of the two.

        >>> matrix_of(None).needs("both")["mlops"]
        3
        """
        if role == "both":
            first, second = (self.asked[b] for b in BASES)
            return {a: max(first[a], second[a]) for a in AREAS}
        return dict(self.asked[role])


def matrix_of(settings: AdviceSettings | None) -> Matrix:
    """The matrix as it ships, with what ``[advice]`` of ambidex.toml replaces."""
    known = _shipped()
    asked: dict[str, dict[str, int]] = {
        base: {a: _level(known["areas"][a][base.replace("-", "_")]) for a in AREAS} for base in BASES
    }
    for area, (scientist, engineer) in (settings.areas if settings else {}).items():
        if area not in AREAS:
            raise UsageError(
                "usage.config", f"there is no area {area!r}{did_you_mean(area, AREAS)}", where="[advice.areas]",
                found=", ".join(AREAS), do="use one of the eight areas",
            )  # fmt: skip
        asked[BASES[0]][area], asked[BASES[1]][area] = _level(scientist), _level(engineer)
    roles = known["roles"]
    asked |= {r: dict(zip(roles["order"], levels, strict=True)) for r, levels in roles.items() if r != "order"}
    limits = known["thresholds"] | ({} if settings is None else settings.thresholds.given())
    return Matrix(asked=asked, shows={a: tuple(known["areas"][a]["shows"]) for a in AREAS}, **limits)


def _level(value: int | str) -> int:
    if value == "any":
        return 0
    if type(value) is not int or not 0 <= value <= DEEPEST:
        raise UsageError(
            "usage.config", f"level {value!r} is not 0 to 3 or \"any\"", where="[advice.areas]",
            do="mlops = [1, 3]",
        )  # fmt: skip
    return value


def role_name(said: str, known: Mapping[str, Any], *, option: str) -> str:
    """A role's name with hyphens, or a usage error with the neighbours.

    >>> role_name("ML_Engineer", matrix_of(None).asked, option="--to")
    'ml-engineer'
    """
    name = said.strip().lower().replace("_", "-").replace(" ", "-")
    if name not in known:
        raise UsageError(
            "usage.value", f"there is no role {said!r}{did_you_mean(name, known)}", where=f"option {option}",
            found=", ".join(known), do=f"{option} {next(iter(known))}",
        )  # fmt: skip
    return name


@cache
def _shipped() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(resources.files("ambidex.advice").joinpath("areas.json").read_text("utf-8"))
    return found
