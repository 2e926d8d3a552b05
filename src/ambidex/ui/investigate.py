"""Why was it slow or wrong: what `ambidex investigate` finds, and what is known without it."""

from __future__ import annotations

from typing import Any

from ambidex.records import ModelState
from ambidex.report.words import number, share
from ambidex.ui.drift import alert_rows, watched
from ambidex.ui.looking import Look, moment, when
from ambidex.ui.models import MOVES, log_row
from ambidex.ui.serving import stage_rows

__all__ = ["after_release", "investigate_page"]

Row = dict[str, Any]

NEAR_S = 86400.0
"""A release so long before a trouble is worth a word."""

_MARKS = {"■": "bad", "▲": "warn", "✓": "ok"}
_HEADS = {
    "since": "began",
    "stage": "stage",
    "event": "goes with",
    "requests": "requests",
    "cause": "cause",
    "evidence": "evidence",
    "features": "features",
    "slice": "slice",
}


def investigate_page(look: Look, state: ModelState) -> Row:
    """One model's trouble, its likely cause and the way out."""
    since = look.query.get("since", "")[:40]
    identity = look.query.get("id", "")[:200]
    watch = watched(look, state.name) or {}
    alerts = [a for a in alert_rows(watch, look, state.name) if not a["muted"]]
    began = since or (alerts[0]["since"] if alerts else "")
    found = _asked(look, state, began, identity)
    events = look.events(*MOVES, model=state.name, limit=100)
    at = moment(began)
    if at is not None:
        events = sorted(events, key=lambda e: abs(((moment(e.at) or at) - at).total_seconds()))[:8]
        events = sorted(events, key=lambda e: -e.seq)
    actions = []
    if state.live is not None and state.previous is not None and look.may("rollback"):
        actions.append(
            {"href": f"/models/{state.name}/rollback", "text": f"Roll back to @{state.previous}", "primary": True}
        )
    for alert in alerts[:1]:
        if look.may("ack"):
            actions.append(
                {"href": f"/models/{state.name}/alerts/{alert['id']}", "text": "Acknowledge or mute", "primary": False}
            )
    actions.append({"href": f"/drift?model={state.name}", "text": "See the columns", "primary": False})
    title, text = _known(look, state, alerts, began)
    return {
        "model": state.name,
        "since": began,
        "found": found,
        "alerts": alerts,
        "actions": actions,
        "title": title,
        "text": text,
        "log": [log_row(e, look) for e in events[:8]],
        "stages": stage_rows(look.desk.live(look), state, "6h", look.now.timestamp()),
    }


def _asked(look: Look, state: ModelState, since: str, identity: str) -> Row | None:
    """The verb's own finding."""
    verb = getattr(look.desk.verbs, "investigate", None)
    if verb is None:
        return None
    said: Row = {
        "at": look.house.folder,
        **({"since": since} if since else {}),
        **({"id": identity} if identity else {}),
    }
    result = look.attempt("the investigation", lambda: look.desk.asked(verb, state.name, said), None)
    if result is None:
        return None
    data = result.to_dict()
    lines = [text.replace("`", "") for _, text in result.lines]
    facts = [(_HEADS[k], _text(when(v, look.now) if k == "since" and v else v)) for k, v in data.items() if k in _HEADS]
    return {
        "level": _MARKS.get(result.lines[0][0] if result.lines else "", "warn"),
        "title": lines[0] if lines else "",
        "lines": lines[1:],
        "facts": [f for f in facts if f[1]],
        "next": list(result.next),
        "data": data,
    }


def _text(value: Any) -> str:
    """A value of the finding in words."""
    if value is None or value == [] or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return share(value, 0) if 0 < value < 1 else number(value)
    if isinstance(value, dict):
        return "; ".join(f"{k.replace('_', ' ')} {_text(v)}" for k, v in value.items() if _text(v))
    if isinstance(value, list | tuple):
        return " · ".join(_text(v) for v in value[:8])
    return str(value)


def _known(look: Look, state: ModelState, alerts: list[Row], began: str) -> tuple[str, str]:
    """What can be said from the watcher alone."""
    if not alerts:
        return "No alert is open", "Nothing above noise was found, so nothing asks for a cause."
    first = alerts[0]
    return (
        f"{first['id']}: since {first['when']}",
        f"{first['text'][:1].upper()}{first['text'][1:]}.{after_release(look, state, began)}",
    )


def after_release(look: Look, state: ModelState, began: str) -> str:
    """Which release came shortly before a trouble, as a sentence; nothing if none did."""
    at = moment(began)
    if at is None:
        return ""
    for event in look.events("promote", "rollback", model=state.name, limit=10):
        moved = moment(event.at)
        if moved is None or (event.verb == "promote" and event.body.get("to") != "live"):
            continue
        if 0 <= (gone := (at - moved).total_seconds()) <= NEAR_S:
            return f" It began {_span(gone)} after @{event.version} went live ({when(event.at, look.now)})."
    return ""


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{round(seconds)} s"
    return f"{round(seconds / 60)} minutes" if seconds < 5400 else f"{round(seconds / 3600)} hours"
