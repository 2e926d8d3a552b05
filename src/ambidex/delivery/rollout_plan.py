"""ROLLOUT.json: what a roll-out was declared to be before it began, dated and hashed; ``watch`` is held to it.

The log keeps the same words in a ``rollout-plan`` event. A file that was edited afterwards promotes nothing any more,
while what rolls back goes on as it was declared.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from ambidex.errors import DataError, Refused
from ambidex.ports import Place
from ambidex.records import Rollout, canonical, digest
from ambidex.settings import replace_file

__all__ = ["FILE", "SCHEMA", "RolloutPlan", "newest_plan", "plan_fault", "plan_of", "write_rollout_plan"]

SCHEMA = "ambidex-rollout/1"
FILE = "ROLLOUT.json"
LARGEST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutPlan:
    """A plan as it was written down.

    Attributes:
        model, version, against: The candidate, and the version that was live.
        dated: When, ISO 8601 in UTC.
        margin, alpha, power: Of the claim that promotes.
        traffic: Units a day.
        coverage: Share of the units that get a label.
        horizon_days: Age at which a unit's label counts.
        units: Units with a label after which a candidate that is as good is promoted, with the power.
        harm_units: The same for rolling back one that is worse by the margin; None if it takes too long to tell.
        shadow_days: Days that the shadow takes for that, the label's age included.
        share: Share of the units that the canary answers.
        canary_days: Days that a canary without a shadow before it would take; None if too many.
        looks: ``anytime``: the claims hold however often they are looked at.
        deadline_days: Days of a stage after which the champion stays.
        decides: ``watch``, or a ``person``.
        sha256: Of all the above.
    """

    model: str
    version: int
    against: int
    dated: str
    margin: float
    alpha: float
    power: float
    traffic: float
    coverage: float
    horizon_days: float
    units: int
    harm_units: int | None
    shadow_days: int
    share: float
    canary_days: int | None
    looks: str
    deadline_days: int
    decides: Literal["watch", "person"]
    sha256: str = ""

    def content(self) -> dict[str, Any]:
        """What is hashed: everything but the hash."""
        return {"schema": SCHEMA, **{k: v for k, v in asdict(self).items() if k != "sha256"}}

    def sealed(self) -> RolloutPlan:
        """The plan with its hash."""
        return RolloutPlan(**{**asdict(self), "sha256": _hash(self.content())})


def _hash(content: Mapping[str, Any]) -> str:
    return digest(canonical({k: v for k, v in content.items() if k != "sha256"}))


def plan_of(content: Mapping[str, Any]) -> RolloutPlan:
    """The plan in a document that has been checked."""
    known = {f.name for f in fields(RolloutPlan)}
    return RolloutPlan(**{k: v for k, v in content.items() if k in known})


def write_rollout_plan(place: Place, plan: RolloutPlan, out: str | Path | None) -> tuple[RolloutPlan, Path, str]:
    """Write the file and tell the log; a plan that says the same as the newest one keeps its date.

    Args:
        place: The workspace.
        plan: Without its hash.
        out: Where; ``ROLLOUT.json`` in the workspace's folder if None.

    Returns:
        The plan as it holds, its file, and the date of another plan that this one replaced, or empty.

    Raises:
        DataError: ``data.no-out-folder``, ``data.not-a-file``.
    """
    path = (place.folder / FILE if out is None else Path(out)).absolute()
    if not path.parent.is_dir():
        raise DataError("data.no-out-folder", f"the folder {path.parent} does not exist", where="--out",
                        do=f"mkdir -p {path.parent}")  # fmt: skip
    if path.is_dir():
        raise DataError("data.not-a-file", f"{path} is a folder", where="--out", do=f"--out {FILE}")
    before = newest_plan(place, plan.model, plan.version)
    if before is not None and _undated(before) == _undated(plan):
        plan = RolloutPlan(**{**asdict(plan), "dated": before.dated})
    plan = plan.sealed()
    replaced = _replaced(path, plan)
    replace_file(path, json.dumps({**plan.content(), "sha256": plan.sha256}, indent=2, ensure_ascii=False) + "\n")
    if before is None or before.sha256 != plan.sha256 or _file_of(place, plan.sha256) != path:
        shown = str(path.relative_to(place.folder)) if path.is_relative_to(place.folder) else str(path)
        body = {"file": shown, "plan": {**plan.content(), "sha256": plan.sha256}}
        place.store.append(verb="rollout-plan", model=plan.model, version=plan.version, body=body)
    return plan, path, replaced


def _undated(plan: RolloutPlan) -> dict[str, Any]:
    return {k: v for k, v in asdict(plan).items() if k not in ("dated", "sha256")}


def _replaced(path: Path, plan: RolloutPlan) -> str:
    content = _read(path)
    if not isinstance(content, dict) or content.get("schema") != SCHEMA or content.get("sha256") == plan.sha256:
        return ""
    return str(content.get("dated", ""))[:40]


def newest_plan(place: Place, name: str, number: int, *, checked: bool = False) -> RolloutPlan | None:
    """The plan of a version as the log keeps it, or None.

    Args:
        place: The workspace.
        name: Model's name.
        number: Version.
        checked: Refuse if its file was edited.

    Raises:
        Refused: ``check.altered``.
    """
    events = [e for e in place.store.events(model=name, verbs=("rollout-plan",)) if e.version == number]
    if not events:
        return None
    plan = plan_of(events[-1].body["plan"])
    fault = _fault(place, plan.sha256, str(events[-1].body["file"])) if checked else None
    if fault is not None:
        raise Refused(
            "check.altered", fault, where=str(events[-1].body["file"]), found="its hash does not fit its content",
            do=f"restore the file, or plan anew: ambidex plan --rollout {name}@{number}",
            data={"model": name, "version": number, "was": None, "event": None},
        )  # fmt: skip
    return plan


def plan_fault(place: Place, rollout: Rollout) -> str | None:
    """Why a roll-out's plan may not promote any more, or None: its file was edited."""
    if rollout.plan is None:
        return None
    for event in place.store.events(model=rollout.model, verbs=("rollout-plan",)):
        if event.body["plan"].get("sha256") == rollout.plan:
            return _fault(place, rollout.plan, str(event.body["file"]))
    return "its plan is not in the log"


def _fault(place: Place, sha256: str, file: str) -> str | None:
    """A file that is gone, or holds another plan of the log, changes nothing: the log has this one's words."""
    path = place.folder / file
    if not path.exists():
        return None
    content = _read(path)
    name = path.name
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        return f"{name} is no plan any more"
    said = str(content.get("sha256"))
    if said != _hash(content):
        return f"{name} was edited after it was dated ({str(content.get('dated'))[:40]})"
    if said == sha256:
        return None
    known = {e.body["plan"].get("sha256") for e in place.store.events(verbs=("rollout-plan",))}
    return None if said in known else f"{name} holds a plan that `ambidex plan` did not write"


def _file_of(place: Place, sha256: str) -> Path | None:
    """Where the log says that a plan lies."""
    files = [e.body["file"] for e in place.store.events(verbs=("rollout-plan",)) if e.body["plan"]["sha256"] == sha256]
    return (place.folder / files[-1]).absolute() if files else None


def _read(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST:
            return None
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def dated(now: datetime) -> str:
    """As plans write their date."""
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")
