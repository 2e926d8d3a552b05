"""Incidents: opened when something rings, open until somebody acknowledges them. Pages act, infos explain.

One incident an onset, pages and infos apart: what rings at the same time, or goes on ringing, joins the one that is
open. A muted incident is listed and counted, and does not page.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from ambidex.errors import NotFound
from ambidex.watch import evidence, harm

__all__ = [
    "Level", "State", "acknowledge", "is_page", "mute", "no_alert", "open_alert", "part_of", "parts", "retext",
    "timestamp", "unmute_due",
]  # fmt: skip

CLOSED_KEPT = 50

State = dict[str, Any]
"""Of one version, plain JSON; ``monitor.new_state`` makes the first."""

Level = Literal["page", "info"]


def timestamp(moment: datetime) -> str:
    """UTC to the second, with Z."""
    return moment.isoformat(timespec="seconds").replace("+00:00", "Z")


def parts(state: Mapping[str, Any], kind: str) -> list[dict[str, Any]]:
    """The open parts of a kind."""
    return [part for alert in state["alerts"] for part in alert["parts"] if part["kind"] == kind]


def part_of(state: Mapping[str, Any], key: str) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The open alert and its part of that key."""
    return next(((a, part) for a in state["alerts"] for part in a["parts"] if part["key"] == key), None)


def is_page(alert: Mapping[str, Any]) -> bool:
    """True if it asks someone to act now: a page that is not muted."""
    return alert["level"] == "page" and not alert.get("muted")


def open_alert(
    state: State, level: Level, key: str, text: str, columns: Sequence[str], since: str, when: str, **extra: Any
) -> list[str]:
    """Open an alert, or let it join the open one of its onset; one of the same key that is open only rang again.

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
    found = part_of(state, key)
    if found is not None:
        found[0]["last"] = when
        found[0]["rings"] += 1
        return []
    part = {
        "key": key, "kind": key.partition(":")[0], "text": text, "columns": list(columns), "since": since, **extra
    }  # fmt: skip
    for alert in state["alerts"]:
        if alert["level"] == level and (alert["since"] == since or (level == "info" and _shared(alert, columns))):
            alert["parts"].append(part)
            alert["last"] = when
            alert["rings"] += 1
            retext(alert)
            return []
    state["opened"] += 1
    identity = f"a{state['version']}-{state['opened']}"
    alert = {
        "id": identity, "level": level, "kind": part["kind"], "key": key, "text": text, "since": since,
        "opened": when, "last": when, "columns": list(columns), "parts": [part], "rings": 1, "muted": None,
    }  # fmt: skip
    state["alerts"].append(alert)
    return [identity]


def _shared(alert: Mapping[str, Any], columns: Sequence[str]) -> bool:
    """Half of the columns that ring now ring in it already: the same thing, seen by another detector."""
    return bool(columns) and 2 * len({*columns} & {*alert["columns"]}) >= len(columns)


def retext(alert: dict[str, Any]) -> None:
    """An alert's own text and columns, from its parts."""
    first, *others = alert["parts"]
    alert["text"] = first["text"] + "".join(f"; {part['text']}" for part in others)
    alert["columns"] = list(dict.fromkeys(c for part in alert["parts"] for c in part["columns"]))


def no_alert(identity: str, there: Sequence[str], *, model: str = "NAME") -> NotFound:
    """No such alert is open."""
    return NotFound(
        "data.no-alert",
        f"no alert {identity[:60]} is open" if model == "NAME" else f"no alert {identity[:60]} of {model} is open",
        found=f"open: {', '.join(there)}" if there else "none is open",
        do=f"ambidex monitor {model} --ack {there[0]}" if there else f"ambidex monitor {model}",
    )


def _chosen(state: Mapping[str, Any], identity: str) -> dict[str, Any]:
    alert = next((a for a in state["alerts"] if a["id"] == identity), None)
    if alert is None:
        raise no_alert(identity, [a["id"] for a in state["alerts"]])
    return dict(alert)


def mute(state: Mapping[str, Any], identity: str, *, reason: str, until: str, now: datetime) -> State:
    """An alert stays in the list and goes on counting, and pages nobody until then.

    Raises:
        NotFound: ``data.no-alert`` with the open ones.
    """
    _chosen(state, identity)
    muted = {"reason": reason, "until": until, "at": timestamp(now)}
    return {**state, "alerts": [{**a, "muted": muted} if a["id"] == identity else a for a in state["alerts"]]}


def unmute_due(state: State, now: str) -> None:
    """Mutes that have run out end. Changes the state in place."""
    for alert in state["alerts"]:
        if alert.get("muted") and alert["muted"]["until"] <= now:
            alert["muted"] = None


def acknowledge(state: Mapping[str, Any], identity: str, *, now: datetime) -> State:
    """Close an alert and restart its detectors.

    Raises:
        NotFound: ``data.no-alert`` with the open ones.
    """
    alert = _chosen(state, identity)
    new: State = {**state, "alerts": [a for a in state["alerts"] if a["id"] != identity]}
    new["closed"] = [*state["closed"], {**alert, "closed": timestamp(now)}][-CLOSED_KEPT:]
    for part in alert["parts"]:
        kind, columns = part["kind"], part["columns"]
        if kind == "drift":
            new["inputs"] = {
                name: evidence.restart(kept) if name in columns else kept for name, kept in new["inputs"].items()
            }
        elif kind == "harm":
            new["harm"] = harm.harm_state()
        elif kind == "calibration":
            new["calibration"] = None
        elif kind == "slice":
            slices = {k: v for k, v in new.get("slices", {}).items() if k not in part["slices"]}
            new["slices"] = slices
        elif kind in ("sudden", "small", "score", "swing"):
            layers = dict(new["layers"])
            layers["log_r"] = {n: None if n in columns else v for n, v in layers["log_r"].items()}
            new["layers"] = layers
    return new
