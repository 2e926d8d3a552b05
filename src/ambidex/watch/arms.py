"""The prediction log as a roll-out reads it: who was answered by which version, and what came of it.

A unit (a customer, an order: the declared entity or key, else the row) counts once, by its first prediction in the
stage, at one age: when its label is mature. Later predictions, later labels and everything before the stage are left
out, so that reading again finds the same units in the same order, and only more of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from ambidex.data.frames import log_files, read_frames
from ambidex.records import Rollout, Schema
from ambidex.watch.log import label_text, moment

__all__ = ["Arms", "Outcome", "Row", "outcomes", "read_arms", "row_of", "stage_frames", "stamp"]

SLACK_S = 120.0
"""A file whose last change lies so long before the stage holds nothing of it."""


@dataclass(slots=True)
class Row:
    """What one version made of one row.

    Attributes:
        at: When, as the log writes it.
        unit: Whose row it is.
        p: The output: a number, a list of probabilities, or None if it failed.
        us: Microseconds it took, where the log says so.
        error: Code of the failure, where it failed.
    """

    at: str
    unit: str
    p: Any
    us: float | None
    error: str | None


@dataclass(slots=True)
class Arms:
    """A stage's rows.

    Attributes:
        live: Rows of the live version by id, those alone that took part in the split.
        candidate: Rows of the candidate by id.
        labels: (arrived, label) of each id, in order of arrival.
    """

    live: dict[str, Row] = field(default_factory=dict)
    candidate: dict[str, Row] = field(default_factory=dict)
    labels: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A unit that counts.

    Attributes:
        entered: When it began to count: it was old enough and its label was there.
        id: Of its prediction.
        canary: Whether the canary answered it; False in the shadow, where both did.
        label: What happened.
    """

    entered: str
    id: str
    canary: bool
    label: str


def stage_frames(folder: Path, rollout: Rollout) -> Iterator[dict[str, Any]]:
    """The frames of a model in the files that changed since the stage began."""
    began = moment(rollout.staged)
    oldest = 0.0 if began is None else began.timestamp() - SLACK_S
    for path in log_files(folder, rollout.model):
        if path.stat().st_mtime >= oldest:
            yield from read_frames(path)[0]


def read_arms(frames: Iterable[Mapping[str, Any]], rollout: Rollout, schema: Schema) -> Arms:
    """Sort a stage's frames into its arms.

    Args:
        frames: Predictions and labels of the model, in any order.
        rollout: The stage.
        schema: Names the entity and key.
    """
    arms = Arms()
    mine = "shadow" if rollout.stage == "shadow" else "canary"
    for frame in frames:
        identity = str(frame.get("id"))
        if frame.get("kind") == "label":
            entry = (str(frame.get("at", "")), label_text(frame.get("label")))
            arms.labels.setdefault(identity, []).append(entry)
            continue
        at = str(frame.get("at", ""))
        if at < rollout.staged or frame.get("source", "http") != "http":
            continue
        arm, version = frame.get("arm") or "live", frame.get("version")
        if arm == mine and version == rollout.version:
            arms.candidate[identity] = row_of(frame, at, schema)
        elif arm == "live" and version == rollout.against:
            arms.live[identity] = row_of(frame, at, schema)
    for given in arms.labels.values():
        given.sort()
    return arms


def row_of(frame: Mapping[str, Any], at: str, schema: Schema) -> Row:
    """A prediction frame as a row."""
    riders = frame.get("riders") or {}
    named = next((riders[c] for c in (schema.entity, schema.key) if c and riders.get(c) is not None), frame.get("id"))
    us = frame.get("us")
    error = frame.get("error")
    return Row(
        at=at,
        unit=label_text(named),
        p=frame.get("p"),
        us=float(us) if isinstance(us, int | float) else None,
        error=str(error) if error else None,
    )


def outcomes(arms: Arms, rollout: Rollout, *, now: datetime) -> tuple[list[Outcome], int]:
    """The units that count by now, in the order in which they began to, and how many still wait.

    With a horizon a unit counts once its prediction is that old, by the newest label of that age (or the first one
    after it); without one by its first label. In the shadow only units that both versions were asked about count.

    Args:
        arms: The stage's rows.
        rollout: The stage.
        now: Time of this look.
    """
    found: list[Outcome] = []
    waiting = 0
    horizon = timedelta(seconds=rollout.horizon_s or 0.0)
    for canary, identity, row in first_rows(arms, rollout):
        labels = arms.labels.get(identity)
        made = moment(row.at)
        if not labels or made is None or now - made < horizon:
            waiting += 1
            continue
        label = labels[0]
        if rollout.horizon_s:
            due = stamp(made + horizon)
            label = max((one for one in labels if one[0] <= due), default=label)
            entered = max(due, label[0])
        else:
            entered = label[0]
        found.append(Outcome(entered, identity, canary, label[1]))
    found.sort(key=lambda o: (o.entered, o.id))
    return found, waiting


def first_rows(arms: Arms, rollout: Rollout) -> list[tuple[bool, str, Row]]:
    """(canary, id, row) of the first prediction of each unit in the stage, in order of time.

    The row is the one that answered: live's in the shadow, the arm's own in the canary.
    """
    rows = [(row.at, identity, False, row) for identity, row in arms.live.items()]
    if rollout.stage == "shadow":
        rows = [one for one in rows if one[1] in arms.candidate]
    else:
        rows += [(row.at, identity, True, row) for identity, row in arms.candidate.items()]
    rows.sort(key=lambda one: one[:2])
    seen: set[str] = set()
    out = []
    for _, identity, canary, row in rows:
        if row.unit not in seen:
            seen.add(row.unit)
            out.append((canary, identity, row))
    return out


def stamp(at: datetime) -> str:
    """UTC with microseconds and Z: text order is time order."""
    return at.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
