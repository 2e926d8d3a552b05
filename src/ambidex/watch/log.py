"""The prediction log as the watcher reads it: what is new since its cursor, and which labels are due."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from ambidex.data.log import Cursor, open_log

__all__ = ["Arrivals", "Due", "due_labels", "label_text", "read_before", "read_log"]

Payload = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A label that counts now: its prediction is known, it is mature, and it has not counted before."""

    id: str
    version: int
    p: float | list[float]
    label: str
    at: str
    predicted_at: str
    row: Payload = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Arrivals:
    """What one pass has to judge, of one version.

    Attributes:
        frames: New predictions.
        labels: Labels that are due.
        waiting: How many more labels wait for their horizon.
        looks: The predictions counted already, oldest first; ``frames`` is empty then.
    """

    frames: list[Payload] = field(default_factory=list)
    labels: list[Due] = field(default_factory=list)
    waiting: int = 0
    looks: list[Any] = field(default_factory=list)


def read_log(
    folder: Path, model: str, cursor: Mapping[str, list[int]] | None = None
) -> tuple[list[dict[str, Any]], Cursor]:
    """The rows and labels of a model after a cursor, sealed or not; for millions see ``data.log.log_view``.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        cursor: As returned by the pass before; None: everything.

    Returns:
        The rows, and the new cursor: by file of frames, bytes and rows read so far.
    """
    frames: list[dict[str, Any]] = []
    new: Cursor = dict(cursor or {})
    with open_log(folder, model) as log:
        for rows, after in log.pages(cursor):
            frames += rows
            new = after
        return frames, log.end(new)


def read_before(
    folder: Path, model: str, cursor: Mapping[str, list[int]], ids: Collection[str]
) -> list[dict[str, Any]]:  # fmt: skip
    """The rows and labels of some ids up to a cursor, wherever they lie."""
    with open_log(folder, model) as log:
        return log.find(ids, before=cursor)


def label_text(label: Any) -> str:
    """A label as the classes spell it: text as it is, whole numbers without a point.

    >>> label_text(1.0), label_text(True), label_text("Yes")
    ('1', 'True', 'Yes')
    """
    if isinstance(label, float) and label.is_integer():
        return f"{label:.0f}"
    return str(label)


def due_labels(
    new: Iterable[Payload],
    pending: Mapping[str, Payload],
    *,
    predictions: Mapping[str, Payload],
    counted: set[str],
    horizon_s: float | None,
    now: datetime,
) -> tuple[list[Due], dict[str, Payload], int]:
    """Which labels count in this pass. Each prediction's label counts once, the latest before it is mature.

    Args:
        new: Label frames since the cursor.
        pending: Label frames of earlier passes that had no prediction yet or were not mature.
        predictions: Prediction frames by id, of all ids above.
        counted: Ids whose label counted in an earlier pass.
        horizon_s: A label is mature so many seconds after its prediction; None: on arrival.
        now: Time of this pass.

    Returns:
        The due labels in order of arrival; what stays pending, by id; how many came for an id that had counted
        or repeat another in this pass.
    """
    latest: dict[str, Payload] = dict(pending)
    repeated = 0
    for frame in sorted(new, key=lambda f: str(f.get("at", ""))):
        identity = str(frame.get("id"))
        if identity in counted:
            repeated += 1
            continue
        repeated += identity in latest
        latest.pop(identity, None)
        latest[identity] = frame
    due: list[Due] = []
    waiting: dict[str, Payload] = {}
    for identity, frame in latest.items():
        prediction = predictions.get(identity)
        if prediction is None or prediction.get("p") is None or not _mature(prediction, horizon_s, now):
            waiting[identity] = frame
            continue
        due.append(
            Due(
                id=identity,
                version=int(prediction["version"]),
                p=_output(prediction["p"]),
                label=label_text(frame.get("label")),
                at=str(frame.get("at", "")),
                predicted_at=str(prediction.get("at", "")),
                row=prediction.get("row") or {},
            )
        )
    return due, waiting, repeated


def _output(p: Any) -> float | list[float]:
    return [float(v) for v in p] if isinstance(p, list | tuple) else float(p)


def _mature(prediction: Payload, horizon_s: float | None, now: datetime) -> bool:
    if horizon_s is None:
        return True
    made = moment(str(prediction.get("at", "")))
    return made is None or (now - made).total_seconds() >= horizon_s


def moment(text: str) -> datetime | None:
    """A frame's time in UTC, or None."""
    from datetime import UTC

    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
