"""After the switch: a version that has just gone live and fails, or gives no numbers, or is slow, goes back at once.

These trips need no label, so they act in seconds; they never promote. The prediction mix is not judged here: nothing
was answered by both versions, and what moves with the hour would be taken for the model. In the shadow and the canary
it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from ambidex.bundle.open import open_bundle
from ambidex.errors import Refused
from ambidex.records import Event
from ambidex.settings import duration
from ambidex.watch.arms import read_arms, stamp
from ambidex.watch.loop import Said
from ambidex.watch.rollout import Place
from ambidex.watch.rollout_claims import TRIPS_SHARE, answered

__all__ = ["guard_step"]

LEASE_S = 120.0
BEFORE = timedelta(hours=1)
"""How long before the switch the version before is looked at, for its p99."""


def guard_step(place: Place, model: str, back: Callable[[str], tuple[int, int]]) -> Said:
    """Judge a version that has gone live within the settling time, by its log; roll it back if it trips.

    Args:
        place: The workspace.
        model: Model's name.
        back: Rolls a model back; gives (live now, was). Raises ``Refused`` if there is no way back.
    """
    kept = place.store.document(f"guard/{model}") or {}
    if kept.get("state") != "acting" and _fresh(place, model) is None:  # the ordinary case: nothing is written
        return "✓", ""
    token = place.store.lease(f"guard/{model}", seconds=LEASE_S)
    if token is None:
        return " ", ""
    try:
        return _step(place, model, back)
    finally:
        place.store.release(f"guard/{model}", token)


def _step(place: Place, model: str, back: Callable[[str], tuple[int, int]]) -> Said:
    kept = place.store.document(f"guard/{model}") or {}
    if kept.get("state") == "acting":
        return _acted(place, model, kept, back)
    switch = _fresh(place, model)
    if switch is None or switch.version is None:
        return "✓", ""
    live, was = switch.version, int(switch.body["was"])
    began = datetime.fromisoformat(switch.at)
    bundle = open_bundle(place.blobs, place.store.version(model, live).digest, tried=False)
    arms = read_arms(
        place.log_folder, model, bundle.schema, since=stamp(began - BEFORE), candidate=("live", live),
        live=("live", was), labels=False,
    )  # fmt: skip
    arms.candidate = {identity: row for identity, row in arms.candidate.items() if row.at >= switch.at}
    settings = place.settings.rollout
    for trip in answered(arms, bundle.schema, settings, alpha=settings.alpha * TRIPS_SHARE / 2):
        if trip.tripped:
            return _decide(place, model, live, was, trip.text, back)
    return "✓", ""


def _fresh(place: Place, model: str) -> Event | None:
    """The switch that made live what it is, while it is younger than the settling time and there is a way back."""
    live, switch = place.store.model(model).live, _switch(place, model)
    if switch is None or live is None or switch.version != live or switch.body.get("was") in (None, live):
        return None
    settle = timedelta(seconds=duration(place.settings.rollout.settle))
    return switch if place.clock() - datetime.fromisoformat(switch.at) <= settle else None


def _switch(place: Place, model: str) -> Event | None:
    """The event that made live what it is, if that was a promotion."""
    for event in place.store.latest(model=model, verbs=("promote", "rollback"), limit=50):
        if event.verb == "rollback":
            return None
        if event.body.get("to") == "live":
            return event
    return None


def _decide(
    place: Place, model: str, version: int, was: int, because: str, back: Callable[[str], tuple[int, int]]
) -> Said:
    now = stamp(place.clock())
    kept = {"state": "acting", "version": version, "was": was, "because": because, "at": now}
    text = f"{model}@{version} was rolled back from live to @{was}: {because}"
    body = {"id": f"g{version}-{now[:19]}", "level": "page", "text": text, "since": now}
    event = {"verb": "alert", "model": model, "version": version, "body": body}
    place.store.put_document(f"guard/{model}", kept, events=[event])
    return _acted(place, model, kept, back)


def _acted(place: Place, model: str, kept: Mapping[str, Any], back: Callable[[str], tuple[int, int]]) -> Said:
    version, because = int(kept["version"]), str(kept["because"])
    said: Said = "■", f"{because}: rolled back @{version} → @{place.store.model(model).live}, retraining paused"
    if place.store.model(model).live == version:
        try:
            now, _ = back(model)
            said = "■", f"{because}: rolled back @{version} → @{now}, retraining paused"
        except Refused as error:
            if error.code in ("check.moved", "check.fenced"):
                raise
            said = "■", f"{because}; and @{version} cannot go back: {error.message}"
    place.store.put_document(f"guard/{model}", {**kept, "state": "done"})
    return said
