"""What pages draw: days by event time, and the passes themselves. Evidence never reads this."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.records import Schema
from ambidex.watch.incidents import State
from ambidex.watch.log import Due
from ambidex.watch.look import Look

__all__ = ["LOOKS_KEPT", "count_arrivals", "count_days", "count_losses", "event_day", "remember"]

DAYS_KEPT = 400
LOOKS_KEPT = 120


def event_day(schema: Schema, frame: Mapping[str, Any]) -> tuple[str, bool]:
    """The day of a row's event time, of its arrival where none rode along; and whether it came on a later day.

    >>> s = Schema(columns=(), target="y", task="binary", time="when")
    >>> event_day(s, {"at": "2026-03-04T09:00:00Z", "riders": {"when": "2026-03-01"}})
    ('2026-03-01', True)
    """
    came = str(frame.get("at", ""))[:10]
    rider = (frame.get("riders") or {}).get(schema.time) if schema.time else None
    day = str(rider)[:10] if rider is not None else ""
    if len(day) != 10 or day[4] != "-" or day[7] != "-":
        return came, False
    return day, day < came


def count_days(state: State, schema: Schema, frames: Sequence[Mapping[str, Any]]) -> None:
    """Rows and outputs by day of the event. Changes the state in place."""
    scores: dict[str, list[float]] = {}
    for frame in frames:
        day, late = event_day(schema, frame)
        entry = _day(state, day)
        entry["rows"] += 1
        entry["late"] += late
        p = frame.get("p")
        if isinstance(p, int | float) and math.isfinite(p):
            scores.setdefault(day, []).append(float(p))
    for day, values in scores.items():
        entry = _day(state, day)
        entry["scores"] += len(values)
        entry["score"] += math.fsum(values)  # the order of rows must not show, not even in the last bit
    _trim(state)


def count_arrivals(state: State, looks: Sequence[Look]) -> None:
    """Rows by day of arrival, which is what volume and silence are judged by. Changes the state in place."""
    came = dict(state["came"])
    for look in looks:
        came[look.began[:10]] = came.get(look.began[:10], 0) + look.rows
    state["came"] = dict(sorted(came.items())[-DAYS_KEPT:])


def count_losses(state: State, schema: Schema, losses: Sequence[tuple[Due, float]]) -> None:
    """Losses by day of their prediction. Changes the state in place."""
    found: dict[str, list[float]] = {}
    for due, loss in losses:
        found.setdefault(str(due.predicted_at)[:10], []).append(loss)
    for day, values in found.items():
        entry = _day(state, day)
        entry["labels"] += len(values)
        entry["loss"] += math.fsum(values)
    _trim(state)


def remember(state: State, when: str, *, rows: int, drifted: bool, loss: Mapping[str, Any] | None) -> None:
    """One more pass in the history. Changes the state in place."""
    entry = {
        "at": when, "rows": rows, "drifted": drifted,
        "loss": None if loss is None else loss["value"], "limit": None if loss is None else loss["limit"],
    }  # fmt: skip
    state["history"] = [*state["history"], entry][-LOOKS_KEPT:]


def _day(state: State, day: str) -> dict[str, Any]:
    entry = dict(state["days"].get(day) or {"rows": 0, "late": 0, "scores": 0, "score": 0.0, "labels": 0, "loss": 0.0})
    state["days"][day] = entry
    return entry


def _trim(state: State) -> None:
    if len(state["days"]) > DAYS_KEPT:
        state["days"] = dict(sorted(state["days"].items())[-DAYS_KEPT:])
