"""A team's skills sheet: one row a person, eight areas, blanks that stay blanks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

from ambidex.advice.lexicon import AREAS
from ambidex.advice.matrix import DEEPEST
from ambidex.data.table import Table
from ambidex.errors import DataError, NotFound, did_you_mean

__all__ = ["Person", "find_person", "read_sheet"]

_PRIVATE = re.compile(
    r"\b(?:age|birth\w*|born|dob|gender|sex|pronouns?|nationality|citizenship|ethnicity|race|religion|health|sick\w*|"
    r"disab\w*|pregnan\w*|marital|children|salary|pay|wage|bonus|compensation|grade|performance|rating|review|score|"
    r"photo|address|phone|email)\b"
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody and what they said of themselves.

    Attributes:
        name: As in the sheet.
        levels: Area -> 0 to 3; areas that were left blank are missing.
        wants: A role they want to cross to, or empty.
    """

    name: str
    levels: dict[str, int]
    wants: str = ""


def read_sheet(table: Table) -> tuple[list[Person], list[str]]:
    """People, and columns that were not read.

    Raises:
        DataError: ``advice.private-column``, ``advice.level``, ``advice.same-name``, ``advice.sheet``.
    """
    names = {c: c.strip().lower().replace(" ", "_") for c in table.columns}
    for column, plain in names.items():
        if plain not in ("person", "wants", *AREAS) and _PRIVATE.search(plain.replace("_", " ")):
            raise DataError(
                "advice.private-column",
                f"column `{column}` says something about a person that is no skill, and is not read",
                where=table.name,
                found=", ".join(table.columns),
                do="take the column out of the sheet",
            )
    place = {plain: c for c, plain in names.items()}
    missing = [c for c in ("person", *AREAS) if c not in place]
    if "person" in missing or len(missing) > 4:
        raise DataError(
            "advice.sheet",
            f"{table.name} is no skills sheet: no column {', '.join(missing)}",
            where=table.name,
            found=", ".join(table.columns),
            do=f"columns person, {', '.join(AREAS)} and, if you like, wants",
        )
    cells: dict[str, list[Any]] = {
        p: [None if v is None else str(v).strip() for v in table.text(c)]
        for p, c in place.items()
        if p in ("person", "wants", *AREAS)
    }
    people = []
    for row in range(table.rows):
        name = cells["person"][row]
        if not name:
            raise DataError(
                "advice.sheet", f"row {row + 1} names nobody", where=f"{table.name}, row {row + 1}, column person",
                do="name the person or take the row out",
            )  # fmt: skip
        levels = {a: _level(cells[a][row], table, row, place[a]) for a in AREAS if a in cells and cells[a][row]}
        people.append(Person(name, levels, (cells.get("wants") or [None] * table.rows)[row] or ""))
    twice = [n for n, k in Counter(p.name.casefold() for p in people).items() if k > 1]
    if twice:
        raise DataError(
            "advice.same-name", f"two people are called {twice[0]}", where=f"{table.name}, column person",
            found=", ".join(sorted(p.name for p in people)), do="tell them apart, for example by a letter",
        )  # fmt: skip
    if not people:
        raise DataError("advice.sheet", f"{table.name} names nobody", where=table.name, do="one row a person")
    return people, [c for c, plain in names.items() if plain not in ("person", "wants", *AREAS)]


def _level(cell: str, table: Table, row: int, column: str) -> int:
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    if value not in range(DEEPEST + 1):
        raise DataError(
            "advice.level",
            f"`{column}` of row {row + 1} is {cell!r}, and levels are 0 to 3 or blank",
            where=f"{table.name}, row {row + 1}, column {column}",
            found=cell,
            do="0 none, 1 aware, 2 working, 3 deep, blank not said",
        )
    return int(value)


def find_person(people: list[Person], said: str) -> Person:
    """The person of that name, or a clear error with the neighbours."""
    for person in people:
        if person.name.casefold() == said.strip().casefold():
            return person
    names = [p.name for p in people]
    raise NotFound(
        "advice.no-person", f"nobody is called {said!r}{did_you_mean(said, names)}", where="option --person",
        found=", ".join(sorted(names)), do=f"--person {names[0]}",
    )  # fmt: skip
