"""The prediction log as a roll-out reads it: who was answered by which version, and what came of it.

A unit (a customer, an order: the declared entity or key, else the row) counts once, by its first prediction in the
stage, at one age: when its label is mature. Later predictions, later labels and everything before the stage are left
out, so that reading again finds the same units in the same order, and only more of them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ambidex.data.log import log_view
from ambidex.records import Rollout, Schema
from ambidex.watch.log import label_text, moment

__all__ = ["Arms", "Kept", "Outcome", "Row", "first_rows", "outcomes", "read_arms", "stamp"]

PAGE = 50_000


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


@dataclass(slots=True)
class Kept:
    """Stages as they were read so far, by model; a new process reads them from their beginning.

    Attributes:
        held: What was wanted, the cursor in the log, the rows.
    """

    held: dict[str, tuple[Any, dict[str, list[int]], Arms]] = field(default_factory=dict)


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


def read_arms(
    folder: Path, model: str, schema: Schema, *, since: str, candidate: tuple[str, int], live: tuple[str, int],
    labels: bool = True, kept: Kept | None = None,
) -> Arms:  # fmt: skip
    """The rows of two versions and their labels, from the log.

    Only what a caller asked over HTTP counts: a table that was scored had no split.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        schema: Names the entity and key.
        since: From when on, as the log writes it.
        candidate: Arm (``shadow``, ``canary``, ``live``) and version of the candidate.
        live: The same of the version that it is compared with.
        labels: Whether labels are wanted.
        kept: What the call before had read, in a process that looks again and again; only what is new is read then.
    """
    wanted = (str(folder), since, candidate, live)
    before = None if kept is None else kept.held.get(model)
    cursor, arms = (before[1], before[2]) if before is not None and before[0] == wanted else (None, Arms())
    riders = [f'"r:{c}"' for c in (schema.entity, schema.key) if c]
    unit = f"coalesce({', '.join([*riders, 'id'])})"
    at = "strftime(\"at\", '%Y-%m-%dT%H:%M:%S.%fZ')"
    began = datetime.fromisoformat(since).astimezone(UTC).replace(tzinfo=None)
    asked = (
        f"SELECT id, {at}, {unit}, p, ps, us, error, version, coalesce(arm, 'live') "
        "FROM log WHERE kind = 'prediction' AND coalesce(source, 'http') = 'http' AND \"at\" >= ? AND "
        "((coalesce(arm, 'live') = ? AND version = ?) OR (coalesce(arm, 'live') = ? AND version = ?))"
    )
    given = [began, candidate[0], candidate[1], live[0], live[1]]
    fresh: set[str] = set()
    with log_view(folder, model, replace(schema, columns=()), cursor=cursor) as view:
        found = view.connection.execute(asked, given)
        while rows := found.fetchmany(PAGE):
            for identity, when, who, p, ps, us, error, version, arm in rows:
                row = Row(when, str(who), ps if ps is not None else p, us, error)
                (arms.candidate if (arm, version) == candidate else arms.live)[identity] = row
        if labels:
            found = view.connection.execute(
                f"SELECT id, {at}, label FROM log WHERE kind = 'label' AND \"at\" >= ?", [began]
            )
            while rows := found.fetchmany(PAGE):
                for identity, when, label in rows:  # also of predictions that are read later
                    arms.labels.setdefault(identity, []).append((when, label_text(json.loads(label))))
                    fresh.add(identity)
        end = view.cursor
    for identity in fresh:
        arms.labels[identity].sort()
    if kept is not None:
        kept.held[model] = (wanted, end, arms)
    return arms


def outcomes(
    arms: Arms, rollout: Rollout, firsts: list[tuple[bool, str, Row]], *, now: datetime
) -> tuple[list[Outcome], int]:
    """The units that count by now, in the order in which they began to, and how many still wait.

    With a horizon a unit counts once its prediction is that old, by the newest label of that age (or the first one
    after it); without one by its first label. In the shadow only units that both versions were asked about count.

    Args:
        arms: The stage's rows.
        rollout: The stage.
        firsts: Of ``first_rows``.
        now: Time of this look.
    """
    found: list[Outcome] = []
    waiting = 0
    horizon = timedelta(seconds=rollout.horizon_s or 0.0)
    due_by = stamp(now - horizon)
    for canary, identity, row in firsts:
        labels = arms.labels.get(identity)
        if not labels or (rollout.horizon_s and row.at > due_by):
            waiting += 1
            continue
        label = labels[0]
        made = moment(row.at) if rollout.horizon_s else None
        if made is not None:
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
