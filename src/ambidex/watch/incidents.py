"""Incidents: opened when something rings, open until somebody acknowledges them. Pages act, infos explain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from ambidex.errors import NotFound
from ambidex.watch import evidence, harm

__all__ = ["Level", "State", "acknowledge", "open_alert", "timestamp"]

CLOSED_KEPT = 50

State = dict[str, Any]
"""Of one version, plain JSON; ``monitor.new_state`` makes the first."""

Level = Literal["page", "info"]


def timestamp(moment: datetime) -> str:
    """UTC to the second, with Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def open_alert(
    state: State, level: Level, key: str, text: str, columns: Sequence[str], since: str, when: str, **extra: Any
) -> list[str]:
    """Open an alert in a state, unless one of the same key is open: that one only rang again.

    Args:
        state: Changed in place.
        level: ``page`` asks someone to act now, ``info`` waits to be read.
        key: Kind, and what it is of: ``harm``, ``drift``, ``rule:missing:tenure``.
        text: What happened, with the figures.
        columns: Columns it speaks of.
        since: When the change began.
        when: Time of the pass.
        **extra: Figures to keep with it.

    Returns:
        The id of the new alert, or nothing.
    """
    for alert in state["alerts"]:
        if alert["key"] == key:
            alert["last"] = when
            return []
    state["opened"] += 1
    identity = f"a{state['version']}-{state['opened']}"
    alert = {
        "id": identity, "level": level, "kind": key.partition(":")[0], "key": key, "text": text, "since": since,
        "opened": when, "last": when, "columns": list(columns), **extra,
    }  # fmt: skip
    state["alerts"].append(alert)
    return [identity]


def acknowledge(state: Mapping[str, Any], identity: str, *, now: datetime) -> State:
    """Close an alert and restart its detectors.

    Raises:
        NotFound: ``data.no-alert`` with the open ones.
    """
    alert = next((a for a in state["alerts"] if a["id"] == identity), None)
    if alert is None:
        there = [a["id"] for a in state["alerts"]]
        raise NotFound(
            "data.no-alert",
            f"no alert {identity} is open",
            found=f"open: {', '.join(there)}" if there else "none is open",
            do=f"ambidex monitor NAME --ack {there[0]}" if there else "ambidex monitor NAME",
        )
    new: State = {**state, "alerts": [a for a in state["alerts"] if a["id"] != identity]}
    closed = {**alert, "closed": timestamp(now)}
    new["closed"] = [*state["closed"], closed][-CLOSED_KEPT:]
    if alert["kind"] == "drift":
        new["inputs"] = {
            name: evidence.restart(kept) if name in alert["columns"] else kept for name, kept in state["inputs"].items()
        }
    elif alert["kind"] == "harm":
        new["harm"] = harm.harm_state()
    return new
