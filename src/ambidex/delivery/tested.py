"""Test a version: its contract tests and its ML test score, from the workspace as it stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ambidex.bundle.open import OpenBundle
from ambidex.data.table import Table
from ambidex.delivery import readiness, release
from ambidex.delivery.contract import TestCheck, run_checks
from ambidex.delivery.environment import environment
from ambidex.delivery.logged import logged
from ambidex.delivery.readiness import Check
from ambidex.delivery.readiness_checks import Subject
from ambidex.errors import AmbidexError
from ambidex.ports import Place
from ambidex.records import VersionRecord
from ambidex.report.answer import Mark, Result

__all__ = ["answer", "subject_of", "tested"]

Drift = Callable[[OpenBundle, Table], Mapping[str, Any]]
Lines = list[tuple[Mark, str]]


def subject_of(place: Place, name: str, number: int, *, log_folder: Path, drift: Drift | None = None) -> Subject:
    """Everything that the checks look at, read once.

    Args:
        place: The workspace.
        name: Model's name.
        number: Its version.
        log_folder: Where predictions are logged.
        drift: Holds a table against a version's reference, as the watcher does; None: it is not looked at.
    """
    store = place.store
    opened = release.open_version(place, name, number)
    material, recipe, state = release.newest(place, name, opened.recipe)
    _, settings = release.configured(place, name, recipe)
    version = store.version(name, number)
    back = state.previous if state.live == number else state.live
    return Subject(
        bundle=opened,
        version=version,
        material=material,
        contract={c.name: c for c in run_checks(opened, material)},
        settings=settings,
        gates=place.settings.gates,
        events=store.events(model=name),
        judgement=store.judgement(name, number),
        now=place.clock(),
        earlier=_earlier(place, version),
        back=back if back is not None and _opens(place, name, back) else None,
        logged=logged(log_folder, name, number),
        drift=None if drift is None else _quietly(drift, opened, material.table),
        environment=environment(opened.lineage.get("environment", ())),
    )


def answer(place: Place, name: str, answers: Sequence[str], because: str | None) -> None:
    """Keep what somebody says of checks that are asked, dated by the event.

    Raises:
        UsageError: ``usage.value`` for a check that is not asked, or another word than yes, automated and no.
    """
    said = [readiness.check_answer(text) for text in answers]
    for identity, word in said:
        body = {"id": identity, "value": word, **({"because": because} if because else {})}
        place.store.append(verb="checked", model=name, body=body)


def tested(ref: str, contract: Sequence[TestCheck], checks: Sequence[Check], *, ask: bool = False) -> Result:
    """What the verb says.

    Args:
        ref: `NAME@7`.
        contract: Its contract tests: one that failed fails the test.
        checks: The 28 of the ML test score.
        ask: Show only the checks that people are asked.
    """
    name, _, number = ref.partition("@")
    failed = [c for c in contract if not c.passed]
    points = readiness.points_of(checks)
    score, following = min(points.values()), readiness.raises(checks)
    said = ", ".join(f"{section} {count:g}" for section, count in points.items())
    lines: Lines = [
        ("■" if failed else "✓", f"{ref}: {len(contract) - len(failed)} of {len(contract)} contract tests passed"),
        (" ", f"ML test score {score:g} of 7, the least of {said}"),
    ]
    lines += [("■", f"{c.name}: {c.what}") for c in failed]
    marks: dict[bool, Mark] = {True: "✓", False: "▲"}
    shown = [c for c in checks if c.kind == "asked"] if ask else checks
    lines += [(marks[c.points == 1], f"{c.item.id:<17}{c.item.name}: {c.what}") for c in shown]
    todo = [_named(c.to_dict(), name, number) for c in following]
    if todo:
        lines.append((" ", f"raises it next: {todo[0]['id']}, {todo[0]['do']}"))
    return Result(
        verb="test",
        data={
            "model": name, "version": int(number), "passed": not failed, "score": score, "sections": points,
            "checks": [_named(c.to_dict(), name, number) for c in checks],
            "contract": [c.to_dict() for c in contract],
            "next": [{"id": c["id"], "name": c["name"], "do": c["do"]} for c in todo],
        },
        lines=tuple(lines), passed=not failed, code="check.tests" if failed else None,
        next=(f"ambidex gate {ref}",) if not failed else (),
    )  # fmt: skip


def _named(check: dict[str, Any], name: str, number: str) -> dict[str, Any]:
    return {**check, "do": str(check["do"]).replace("NAME@N", f"{name}@{number}").replace("NAME", name)}


def _earlier(place: Place, version: VersionRecord) -> tuple[VersionRecord, OpenBundle] | None:
    """The oldest version before this one that was trained on other rows and opens."""
    for record in place.store.versions(version.model):
        if record.number >= version.number:
            break
        if record.data != version.data:
            try:
                return record, release.open_version(place, record.model, record.number)
            except AmbidexError:
                continue
    return None


def _opens(place: Place, name: str, number: int) -> bool:
    try:
        release.open_version(place, name, number)
    except AmbidexError:
        return False
    return True


def _quietly(drift: Drift, opened: OpenBundle, table: Table) -> Mapping[str, Any] | None:
    try:
        return drift(opened, table)
    except AmbidexError:
        return None
