"""From the log to the state: pure, and the only place that knows what an event means.

The store's transaction applies the very functions that ``fold`` applies, so its tables are the
fold of its log by construction; ``Store.check`` compares the two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from ambidex.records import POINTERS, Event, Judgement, ModelState, VersionRecord, canonical, digest

__all__ = [
    "GUARDED",
    "VERBS",
    "State",
    "answer_of",
    "apply",
    "chain_faults",
    "fold",
    "judgement_of",
    "stale",
    "version_of",
]

VERBS: dict[str, str] = {
    # verbs that change what the tables say
    "answer": "An answer was kept: number, sha256, verb, headline.",
    "register": "A version was registered; it becomes the candidate: digest, data, code, key, summary.",
    "judge": "A version's gates were judged: the Judgement.",
    "promote": "A pointer moved: to, was, because.",
    "rollback": "Live went back to a version that had passed; retraining is paused: to, was, because, pause.",
    "delete": "A version was taken out of use: because. Its files go with the next collection.",
    "pause": "Retraining was paused: because.",
    "resume": "The pause ended: because.",
    "data": "The newest data of a model was seen: fingerprint.",
    "config": "The gates' configuration was seen: hash.",
    # verbs that are kept, and change nothing
    "init": "The workspace was made.",
    "profile": "A table was profiled.",
    "package": "A package was written from a source.",
    "package-refused": "A model file was not taken over: file, sha256, code, because.",
    "train-refused": "A run gave nothing that could be registered: because.",
    "test": "A version's contract tests ran.",
    "score": "A table was scored: rows, out.",
    "export": "A version was written in another form: to, files.",
    "serve": "A server opened or closed a version.",
    "token": "A token was made or revoked: do, id, name, role, models, expires, sha256 of the secret.",
    "feedback": "Labels came in: matched, unknown, duplicates.",
    "monitor": "One pass of the watcher: state.",
    "alert": "An alert opened or closed: id, level, text.",
    "ack": "An alert was acknowledged: id.",
    "mute": "An alert was muted: id, because.",
    "retrain": "One step of the loop: state, because.",
    "rollout": "A roll-out began, went on or ended: state, stage, because, the evidence.",
    "rollout-plan": "A roll-out was planned: file, plan with its sha256.",
    "collect": "Files that no version needs were removed: files, bytes.",
    "checked": "What somebody said of a check of the ML test score that is asked: id, value, because.",
    "fact": "A fact that only people know: question, value.",
}
"""What each verb of the log says, and the keys of its body. Verbs outside the table are kept too."""

GUARDED = frozenset({"answer", "register", "judge", "promote", "rollback", "delete"})
"""Verbs that only the store's own methods write, since each has conditions of its own."""

_CLOCK_SLACK_S = 300.0


@dataclass(slots=True)
class State:
    """What a log amounts to.

    Attributes:
        models: State of each model, by name.
        versions: Registered versions, by model and number.
        judgements: Newest judgement of a version, by model and number.
        answers: sha256 of each answer's canonical JSON, by number.
        seq: Number of the last event, 0 for an empty log.
        head: Hash of the last event, 64 zeros for an empty log.
    """

    models: dict[str, ModelState] = field(default_factory=dict)
    versions: dict[tuple[str, int], VersionRecord] = field(default_factory=dict)
    judgements: dict[tuple[str, int], Judgement] = field(default_factory=dict)
    answers: dict[int, str] = field(default_factory=dict)
    seq: int = 0
    head: str = "0" * 64


def fold(events: Iterable[Event]) -> State:
    """The state that a log amounts to.

    Args:
        events: Events in order.

    Returns:
        The state; verbs that change nothing and verbs unknown to this program only count.

    >>> event = Event(seq=1, at="2026-01-01T00:00:00.000000Z", by="ada", verb="pause", model="churn",
    ...               body={"because": "budget spent"}).sealed()
    >>> fold([event]).models["churn"].paused
    'budget spent'
    """
    state = State()
    for event in events:
        state.seq, state.head = event.seq, event.hash
        if event.model:
            before = state.models.get(event.model, ModelState(name=event.model))
            after = apply(before, event)
            if after != before:
                state.models[event.model] = after
        version = version_of(event)
        if version is not None:
            state.versions[version.model, version.number] = version
        judgement = judgement_of(event)
        if judgement is not None:
            state.judgements[judgement.model, judgement.version] = judgement
        answer = answer_of(event)
        if answer is not None:
            state.answers[answer[0]] = answer[1]
    return state


def apply(state: ModelState, event: Event) -> ModelState:
    """A model's state after one of its events.

    The revision counts what a promotion must have seen: pointers that moved through ``promote`` or
    ``rollback``, newer data, another gate configuration, a pause or its end. A registration and a
    judgement leave it alone, or every retraining would make the promotion beside it fail; the
    newest judgement is compared by ``Store.move`` itself.

    Args:
        state: State before; of the event's model.
        event: The event.

    Returns:
        The state after; ``state`` itself where the event changes nothing.
    """
    body = event.body
    match event.verb:
        case "register":
            return replace(state, versions=event.version or 0, candidate=event.version)
        case "judge":
            return replace(
                state,
                data=body.get("data") if state.data is None else state.data,
                config=body.get("config") if state.config is None else state.config,
                left=tuple(v for v in state.left if v != event.version),
            )
        case "promote":
            return _promoted(state, str(body.get("to")), event.version, body.get("pause"))
        case "rollback":
            return _rolled_back(state, event.version, body)
        case "delete" if event.version is not None and event.version not in state.deleted:
            return replace(
                state,
                deleted=(*state.deleted, event.version),
                passed=tuple(v for v in state.passed if v != event.version),
                candidate=None if state.candidate == event.version else state.candidate,
                revision=state.revision + 1,
            )
        case "data":
            return _seen(state, "data", body.get("fingerprint"))
        case "config":
            return _seen(state, "config", body.get("hash"))
        case "pause":
            return replace(state, paused=str(body.get("because") or "paused"), revision=state.revision + 1)
        case "resume" if state.paused is not None:
            return replace(state, paused=None, revision=state.revision + 1)
    return state


def _seen(state: ModelState, what: str, value: Any) -> ModelState:
    if value is None or value == getattr(state, what):
        return state
    changes: dict[str, Any] = {what: str(value), "revision": state.revision + 1}
    return replace(state, **changes)


def _promoted(state: ModelState, to: str, version: int | None, pause: str | None) -> ModelState:
    if to not in POINTERS or to == "previous":
        return state
    changes: dict[str, Any] = {to: version, "revision": state.revision + 1}
    if pause is not None:
        changes["paused"] = pause
    if to == "live" and version is not None:
        for pointer in ("candidate", "staging", "shadow", "canary"):
            if getattr(state, pointer) == version:
                changes[pointer] = None
        if version != state.live:
            changes["previous"] = state.live
        changes["passed"] = (*(v for v in state.passed if v != version), version)
    return replace(state, **changes)


def _rolled_back(state: ModelState, target: int | None, body: Mapping[str, Any]) -> ModelState:
    """The version that left is no way back any more: its verdicts are stale, since live has changed."""
    passed = tuple(v for v in state.passed if v != state.live or v == target)
    earlier = passed[: passed.index(target)] if target in passed else ()
    left = () if state.live is None or state.live == target else (state.live,)
    return replace(
        state,
        live=target,
        previous=earlier[-1] if earlier else None,
        passed=passed,
        left=(*(v for v in state.left if v not in left), *left),
        paused=str(body.get("pause") or body.get("because") or "rolled back"),
        revision=state.revision + 1,
    )


def version_of(event: Event) -> VersionRecord | None:
    """The version that an event registers, or None."""
    if event.verb != "register" or event.version is None:
        return None
    body = event.body
    return VersionRecord(
        model=event.model,
        number=event.version,
        digest=body["digest"],
        at=event.at,
        data=body["data"],
        code=body["code"],
        key=body["key"],
        summary=dict(body.get("summary") or {}),
    )


def judgement_of(event: Event) -> Judgement | None:
    """The judgement that an event records, or None."""
    return Judgement.from_json(event.body) if event.verb == "judge" else None


def answer_of(event: Event) -> tuple[int, str] | None:
    """Number and sha256 of the answer that an event keeps, or None."""
    return (int(event.body["number"]), str(event.body["sha256"])) if event.verb == "answer" else None


def stale(state: ModelState, judgement: Judgement, *, digest: str, now: datetime, max_age_s: float) -> str | None:
    """Why a judgement no longer speaks about the world as it is, or None if it does.

    Args:
        state: The model as it stands now.
        judgement: What was judged.
        digest: The version's bundle as registered.
        now: Time now, with a zone.
        max_age_s: How old a judgement may be, seconds.

    Returns:
        A clause such as ``"it was judged against version 1, and version 2 is live"``, or None.
    """
    if judgement.version in state.left:
        return "it was judged before it was rolled back"
    if judgement.digest != digest:
        return "it was judged on another bundle than the version's"
    if judgement.against != state.live:
        return f"it was judged against {_live(judgement.against)}, and {_live(state.live)} is live"
    if state.config is not None and judgement.config != state.config:
        return "the gates were configured otherwise when it was judged"
    if state.data is not None and judgement.data != state.data:
        return f"it was judged on data {judgement.data}, and data {state.data} is newer"
    age = (now - datetime.fromisoformat(judgement.at)).total_seconds()
    if age > max_age_s:
        return f"it was judged {age / 86400:.1f} days ago, and {max_age_s / 86400:g} days are allowed"
    if age < -_CLOCK_SLACK_S:
        return f"it is dated {judgement.at}, which lies in the future of this machine's clock"
    return None


def _live(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"


def chain_faults(events: Iterable[Event], *, seq: int, head: str) -> list[str]:
    """What is wrong with a log: gaps, edits, another order, a lost end.

    Args:
        events: All events in order of their numbers.
        seq: Number of the last event as the store keeps it beside the log.
        head: Hash of the last event, kept likewise.

    Returns:
        One clause per kind of fault, the first place of each; empty for a sound log.
    """
    faults: dict[str, str] = {}
    expected, prev = 1, "0" * 64
    for event in events:
        if event.seq != expected:
            faults.setdefault("gap", f"event {expected} is missing")
            expected = event.seq
        elif event.prev != prev:
            faults.setdefault("prev", f"event {event.seq} does not follow the one before it")
        if event.computed_hash() != event.hash:
            faults.setdefault("hash", f"event {event.seq} was altered")
        expected, prev = expected + 1, event.hash
    if not faults and (expected - 1, prev) != (seq, head):
        faults["end"] = f"the log ends at event {expected - 1}, and event {seq} had been written"
    return list(faults.values())


def plain(body: Mapping[str, Any] | None) -> dict[str, Any]:
    """A body as it will read back from disk."""
    value: dict[str, Any] = json.loads(canonical(body or {}))
    return value


def answer_key(body: Mapping[str, Any]) -> str:
    """What makes two answers the same: the record of how they came about, or else all of them."""
    return digest(canonical([body.get("verb"), body.get("record") or body]))
