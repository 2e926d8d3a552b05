"""Models, versions, pointers, gates and the log, a page at a time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from ambidex.records import POINTERS, Event, Judgement, ModelState, VersionRecord
from ambidex.report.words import fixed, number, plural, span
from ambidex.ui.looking import Look, paged, when

__all__ = ["MOVES", "log_row", "model_page", "models_page", "version_page", "version_row"]

MOVES = (
    "promote",
    "rollback",
    "register",
    "judge",
    "resume",
    "pause",
    "rollout",
    "train-refused",
    "ack",
    "mute",
    "token",
)
"""Verbs of the log that a page shows: what moved, and who answered for it."""

LOG = 20

Row = dict[str, Any]


def models_page(look: Look) -> Row:
    """Every model with its pointers."""
    states = look.models()
    kind = look.choice("show", ("live", "paused", "waiting"))
    wanted = {
        "live": lambda s: s.live is not None,
        "paused": lambda s: s.paused is not None,
        "waiting": lambda s: s.candidate is not None,
    }
    states = [s for s in states if not kind or wanted[kind](s)]
    pages = paged(len(states), look.whole("page", 1))
    rows = [_model_row(look, s) for s in states[pages["first"] - 1 if states else 0 : pages["last"]]]
    return {"models": rows, "pages": pages, "show": kind}


def _model_row(look: Look, state: ModelState) -> Row:
    newest = look.versions(state.name, limit=1)
    moved = look.events("promote", "rollback", model=state.name, limit=1)
    return {
        "model": state.name,
        "versions": state.versions,
        **{p: getattr(state, p) for p in POINTERS},
        "paused": state.paused,
        "newest": newest[0].number if newest else None,
        "figure": figure(newest[0].summary) if newest else "",
        "made": newest[0].at if newest else None,
        "moved": moved[0].at if moved else None,
    }


def model_page(look: Look, state: ModelState) -> Row:
    """A model's versions, newest first, and who moved what."""
    pages = paged(state.versions, look.whole("page", 1))
    before = state.versions - (pages["page"] - 1) * pages["size"] + 1
    records = look.versions(state.name, before=before)
    after = look.whole("before", 0, low=0) or None
    events = look.events(*MOVES, model=state.name, before=after, limit=LOG + 1)
    return {
        "model": state.name,
        "pointers": {p: getattr(state, p) for p in POINTERS},
        "paused": state.paused,
        "versions": [version_row(look, state, r) for r in records],
        "pages": pages,
        "log": [log_row(e, look) for e in events[:LOG]],
        "older": events[LOG - 1].seq if len(events) > LOG else None,
        "rollout": rollout_of(look, state.name),
    }


def version_page(look: Look, state: ModelState, number_: int) -> Row:
    """One version: its record, its gates, what it may become."""
    record = look.house.store.version(state.name, number_)
    judged = look.judged(state.name, number_)
    row = version_row(look, state, record, judged=judged, known=True)
    return {
        **row,
        "record": record.to_json(),
        "gates": [g.to_json() for g in judged.gates] if judged else [],
        "judged": judged.at if judged else None,
        "against": judged.against if judged else None,
        "waived": judged.waived if judged else {},
        "targets": [t for t in ("staging", "shadow", "canary", "live") if getattr(state, t) != number_],
    }


def version_row(
    look: Look, state: ModelState, record: VersionRecord, *, judged: Judgement | None = None, known: bool = False
) -> Row:
    """A version as lists show it."""
    if not known:
        judged = look.judged(record.model, record.number)
    pointers = [p for p in POINTERS if getattr(state, p) == record.number]
    tone, mark, word = _standing(state, record.number, judged, pointers)
    supported = sum(g.outcome == "supported" for g in judged.gates) if judged else 0
    return {
        "model": record.model,
        "version": record.number,
        "pointers": pointers,
        "made": record.at,
        "figure": figure(record.summary),
        "rows": record.summary.get("rows"),
        "gates_passed": supported if judged else None,
        "gates_of": len(judged.gates) if judged else None,
        "failed": [
            {"name": g.name, "outcome": g.outcome, "because": g.because}
            for g in (judged.gates if judged else ())
            if g.outcome != "supported" and g.name not in judged.waived  # type: ignore[union-attr]  # gates only if judged
        ],
        "tone": tone,
        "mark": mark,
        "word": word,
        "data": record.data,
        "digest": record.digest,
    }


def _standing(state: ModelState, number_: int, judged: Judgement | None, pointers: list[str]) -> tuple[str, str, str]:
    """A version's state in a word, with its shape."""
    if "live" in pointers:
        return "ok", "●", "live"
    for pointer in ("canary", "shadow", "staging"):
        if pointer in pointers:
            return "warn", "▲", pointer
    if judged is not None and not judged.passed:
        refuted = any(g.outcome == "refuted" and g.name not in judged.waived for g in judged.gates)
        return ("bad", "■", "rejected") if refuted else ("warn", "▲", "gates open")
    if number_ in state.left:
        return "bad", "■", "rolled back"
    if "previous" in pointers:
        return "none", "○", "way back"
    if number_ in state.passed:
        return "none", "○", "kept"
    if judged is not None:
        return ("ok", "●", "ready") if state.live is None or number_ > state.live else ("none", "○", "kept")
    return "none", "○", "not judged"


def figure(summary: Mapping[str, Any]) -> str:
    """The figure of a version in words: ``AUC 0.842 (0.831 to 0.853)``."""
    metric, value = summary.get("metric"), summary.get("value")
    if metric is None or not isinstance(value, int | float):
        return ""
    shown: Callable[[float | None], str] = partial(fixed, digits=3) if abs(value) < 10 else number
    name = {"auc": "AUC", "r2": "R²", "rmse": "RMSE", "logloss": "log loss"}.get(
        str(metric), str(metric).replace("_", " ")
    )
    low, high = summary.get("low"), summary.get("high")
    about = f" ({span(low, high, shown)})" if isinstance(low, int | float) and isinstance(high, int | float) else ""
    return f"{name} {shown(value)}{about}"


def log_row(event: Event, look: Look) -> Row:
    """An event as a sentence: what was done, to which version, by whom, why."""
    body = event.body
    version = f"@{event.version}" if event.version is not None else ""
    because = str(body.get("because") or "")
    match event.verb:
        case "promote":
            what = f"{version} to {body.get('to')}" + (f", was @{body['was']}" if body.get("was") is not None else "")
        case "rollback":
            what = f"back to {version}"
        case "register":
            what, because = f"{version} registered", figure(body.get("summary") or {})
        case "judge":
            gates = body.get("gates") or []
            passed = sum(g.get("outcome") == "supported" for g in gates)
            others = [f"{g['name']} {g['outcome']}" for g in gates if g.get("outcome") != "supported"]
            what, because = (
                f"{version} judged",
                f"{passed} of {plural(len(gates), 'gate')} supported" + "".join(f", {o}" for o in others),
            )
        case "resume":
            what = "retraining goes on"
        case "pause":
            what = "retraining paused"
        case "ack":
            what = f"alert {body.get('id')} acknowledged"
        case "mute":
            what = f"alert {body.get('id')} muted"
        case _:
            what = f"{event.verb.replace('-', ' ')} {version}".strip()
    return {
        "seq": event.seq,
        "at": event.at,
        "when": when(event.at, look.now),
        "by": event.by,
        "verb": event.verb,
        "model": event.model,
        "version": event.version,
        "what": what,
        "because": because[:300],
    }


def rollout_of(look: Look, model: str) -> Row | None:
    """The roll-out that runs, as the watcher tells it."""
    from ambidex.watch import rollout

    return look.attempt(f"the roll-out of {model}", lambda: rollout.summary(look.house, model), None)
