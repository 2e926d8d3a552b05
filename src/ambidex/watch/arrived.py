"""What came since the cursor, by version: predictions, labels that are due, and what could not be placed.

What is odd about the log is named and contained: a label without a prediction waits, a second one is counted, one
from the future counts on arrival, a part of a file that cannot be read is left and said.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ambidex.data.log import Cursor, find_rows, log_view, open_log
from ambidex.records import Schema
from ambidex.watch.counted import PREDICTIONS, looks_of_view
from ambidex.watch.incidents import timestamp
from ambidex.watch.log import Arrivals, due_labels, label_text, moment, read_before

__all__ = ["MOST_LABELS", "MOST_PENDING", "Arrived", "arrived", "arrived_counted"]

MOST_LABELS = 200_000
MOST_PENDING = 100_000
CLOCK_S = 600.0
"""Times of one file that fall back by more than this, or lie so far ahead of now, are a clock that jumped."""
SETTLED_S = 5.0
"""A half-written frame is completed within this; later it is torn."""


@dataclass(slots=True, kw_only=True)
class Arrived:
    """One pass's arrivals of all versions.

    Attributes:
        versions: By number.
        cursor: After them.
        pending: Labels that wait, by id.
        said: Counts: ``unknown`` ids, ``repeated``, ``contradicting`` and ``future`` labels, ``refused`` rows (the
            caller's fault), ``dropped`` labels that would wait beyond the most that are kept.
        cautions: (code, text) on the log.
        rows: Rows and labels read.
    """

    versions: dict[int, Arrivals] = field(default_factory=dict)
    cursor: Cursor = field(default_factory=dict)
    pending: dict[str, Any] = field(default_factory=dict)
    said: dict[str, int] = field(default_factory=dict)
    cautions: list[tuple[str, str]] = field(default_factory=list)
    rows: int = 0


def arrived(
    folder: Path, model: str, document: Mapping[str, Any], *, horizon_s: float | None, now: datetime
) -> Arrived:
    """Read the log from the document's cursor.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        document: Its state: ``cursor`` and ``pending``.
        horizon_s: Seconds after which a label is final; None: on arrival.
        now: Time of the pass.
    """
    found = Arrived()
    frames, labels = _read(folder, model, document["cursor"], found, now)
    found.rows = len(frames) + len(labels)
    shadows = [f for f in frames if f.get("arm") == "shadow"]  # judged beside the live one, by its roll-out
    refused = [f for f in frames if str(f.get("error") or "").startswith("data.")]
    left_out = {id(f) for f in (*shadows, *refused)}
    predictions_new = [f for f in frames if id(f) not in left_out]
    predictions = {str(f.get("id")): f for f in predictions_new}
    counted: dict[str, str] = {}
    asked = {str(f.get("id")) for f in labels} | set(document["pending"])
    if asked:
        for frame in read_before(folder, model, document["cursor"], asked):
            identity = str(frame.get("id"))
            if frame.get("kind") == "label":
                if identity not in document["pending"]:
                    counted[identity] = label_text(frame.get("label"))
            elif frame.get("arm") != "shadow":
                predictions[identity] = frame
    due, pending, repeated = due_labels(
        labels, document["pending"], predictions=predictions, counted=set(counted), horizon_s=horizon_s, now=now
    )
    for frame in predictions_new:
        found.versions.setdefault(int(frame.get("version") or 0), Arrivals()).frames.append(frame)
    for label in due:
        found.versions.setdefault(label.version, Arrivals()).labels.append(label)
    for identity in pending:
        prediction = predictions.get(identity, {})
        if prediction.get("p") is not None:
            found.versions.setdefault(int(prediction.get("version") or 0), Arrivals()).waiting += 1
    found.pending = dict(list(pending.items())[-MOST_PENDING:])
    latest = now + timedelta(seconds=CLOCK_S)
    found.said = {
        "unknown": sum(identity not in predictions for identity in pending),
        "repeated": repeated,
        "contradicting": _contradicting(labels, document["pending"], counted),
        "future": sum((at := moment(str(f.get("at", "")))) is not None and at > latest for f in labels),
        "refused": len(refused),
        "dropped": len(pending) - len(found.pending),
        "foreign": 0,
    }
    if found.said["dropped"]:
        text = f"{found.said['dropped']:,} labels wait beyond the {MOST_PENDING:,} that are kept, and were left out"
        found.cautions.append(("labels-dropped", text))
    return found


def arrived_counted(
    folder: Path, model: str, document: Mapping[str, Any], *, schema: Schema,
    judged: Mapping[int, tuple[Mapping[str, Any], Schema]], looks_a_year: float, horizon_s: float | None, now: datetime,
) -> Arrived:  # fmt: skip
    """The same where the log is too long to be read row by row: predictions are counted where they lie.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        document: Its state.
        schema: Columns to see in the log.
        judged: Reference and inputs of each version that is judged.
        looks_a_year: Looks a year.
        horizon_s: Seconds after which a label is final; None: on arrival.
        now: Time of the pass.
    """
    found = Arrived()
    with log_view(folder, model, schema, cursor=document["cursor"]) as view:
        run = view.connection.execute
        counts = dict(run(f"SELECT version, count(*) FROM log WHERE {PREDICTIONS} GROUP BY 1").fetchall())
        found.rows = int(run("SELECT count(*) FROM log").fetchone()[0])
        for version in counts:
            if version in judged:
                reference, inputs = judged[version]
                looks = looks_of_view(view.connection, reference, inputs, version, looks_a_year=looks_a_year)
                found.versions[int(version)] = Arrivals(looks=looks)
        labels = run(
            "SELECT id, label, \"at\" FROM log WHERE kind = 'label' "
            f"ORDER BY \"at\" LIMIT {MOST_LABELS + 1}"
        ).fetchall()  # fmt: skip
        if len(labels) > MOST_LABELS:
            more = int(run("SELECT count(*) FROM log WHERE kind = 'label'").fetchone()[0]) - MOST_LABELS
            text = f"{more:,} labels beyond the {MOST_LABELS:,} that one pass takes from so long a log did not count"
            found.cautions.append(("labels-dropped", text))
            labels = labels[:MOST_LABELS]
        found.cursor = view.cursor
        refused = int(run("SELECT count(*) FROM log WHERE error LIKE 'data.%'").fetchone()[0])
    frames = [
        {
            "kind": "label",
            "id": i,
            "label": json.loads(text),
            "at": "" if at is None else timestamp(at.replace(tzinfo=UTC)),
        }
        for i, text, at in labels
        if text is not None
    ]
    asked = {str(f["id"]) for f in frames} | set(document["pending"])
    predictions, counted = {}, set()
    for frame in find_rows(folder, model, asked) if asked else ():
        if frame.get("kind") != "label" and frame.get("arm") != "shadow":
            predictions[str(frame.get("id"))] = frame
    for frame in read_before(folder, model, document["cursor"], asked) if asked and document["cursor"] else ():
        if frame.get("kind") == "label" and str(frame.get("id")) not in document["pending"]:
            counted.add(str(frame.get("id")))
    due, pending, repeated = due_labels(
        frames, document["pending"], predictions=predictions, counted=counted, horizon_s=horizon_s, now=now
    )
    for label in due:
        found.versions.setdefault(label.version, Arrivals()).labels.append(label)
    found.pending = dict(list(pending.items())[-MOST_PENDING:])
    found.said = {
        "unknown": sum(i not in predictions for i in pending), "repeated": repeated, "refused": refused,
        "foreign": int(sum(n for v, n in counts.items() if v not in judged)),
    }  # fmt: skip
    return found


def _read(
    folder: Path, model: str, cursor: Mapping[str, list[int]], found: Arrived, now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    frames: list[dict[str, Any]] = []
    labels: list[dict[str, Any]] = []
    back: float = 0.0
    with open_log(folder, model) as log:
        before: Cursor = {name: list(place) for name, place in cursor.items()}
        found.cursor = dict(before)
        for rows, after in log.pages(cursor):
            if any(place[0] for name, place in after.items() if before.get(name) != place):  # one file, in its order
                back = max(back, _falls_back(rows))
            for row in rows:
                (labels if row.get("kind") == "label" else frames).append(row)
            found.cursor = before = after
        gone = sorted(set(found.cursor) - set(log.end(found.cursor)))
        found.cursor = log.end(found.cursor)
        if gone:
            text = f"{len(gone)} parts of the log that were read before are gone, such as {gone[0]}"
            found.cautions.append(("log-gone", text))
        for path, (_, sealed) in log.frames.items():
            end = max(found.cursor.get(path.name, [0, 0])[0], sealed)
            try:
                stat = path.stat()
            except OSError:
                continue
            if stat.st_size > end and now.timestamp() - stat.st_mtime > SETTLED_S:
                text = f"{path.name}: {stat.st_size - end:,} bytes from byte {end:,} on cannot be read"
                found.cautions.append(("log-torn", text))
            elif stat.st_size < end:
                text = f"{path.name} is {end - stat.st_size:,} bytes shorter than when it was read"
                found.cautions.append(("log-cut", text))
    if back > CLOCK_S:
        text = f"the log's clock fell back by {back / 60:.0f} min; rows count in the order of their times"
        found.cautions.append(("clock", text))
    limit = now + timedelta(seconds=CLOCK_S)
    ahead = [at for f in frames if (at := moment(str(f.get("at", "")))) is not None and at > limit]
    if ahead:
        minutes = (max(ahead) - now).total_seconds() / 60
        text = f"{len(ahead):,} rows lie up to {minutes:.0f} min ahead of this clock; they count on arrival"
        found.cautions.append(("clock", text))
    return frames, labels


def _falls_back(rows: list[dict[str, Any]]) -> float:
    """Largest fall from one row of a file to the next, in seconds."""
    last, most = "", 0.0
    for row in rows:
        at = str(row.get("at", ""))
        if at < last and (a := moment(at)) is not None and (b := moment(last)) is not None:
            most = max(most, (b - a).total_seconds())
        last = at or last
    return most


def _contradicting(
    labels: list[dict[str, Any]], pending: Mapping[str, Mapping[str, Any]], counted: Mapping[str, str]
) -> int:
    """Labels that say otherwise than an earlier one of the same id."""
    said = {i: label_text(f.get("label")) for i, f in pending.items()} | dict(counted)
    odd = 0
    for frame in labels:
        identity, label = str(frame.get("id")), label_text(frame.get("label"))
        odd += said.get(identity, label) != label
        said[identity] = label
    return odd
