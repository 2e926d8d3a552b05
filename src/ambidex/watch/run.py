"""One pass of the watcher over a model: read the log from its cursor, judge, keep state and events together."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ambidex.bundle.open import OpenBundle, open_bundle
from ambidex.errors import EnvironmentProblem, NotFound
from ambidex.ports import Blobs, Clock, Store
from ambidex.settings import Settings, duration
from ambidex.watch import incidents
from ambidex.watch import monitor as passes
from ambidex.watch.log import Arrivals, due_labels, read_before, read_log

__all__ = ["Watched", "acknowledge", "monitor"]

LEASE_S = 600.0
ACK_WAIT_S = 30.0
MOST_PENDING = 100_000


class Watched(Protocol):
    """What a pass needs of a workspace."""

    @property
    def store(self) -> Store:
        """Events and documents."""

    @property
    def blobs(self) -> Blobs:
        """Bundles."""

    @property
    def settings(self) -> Settings:
        """ambidex.toml."""

    @property
    def log_folder(self) -> Path:
        """The prediction log."""

    @property
    def clock(self) -> Clock:
        """Where times come from."""


def monitor(place: Watched, model: str) -> dict[str, Any]:
    """One pass: every version that predictions or labels arrived for is judged against its own reference.

    State, cursor and events are written in one transaction, under a lease: a pass that is killed is simply
    repeated, and no row is bet on twice.

    Returns:
        ``data`` of the JSON contract, for the live version (or the newest with a prediction), with the
        open alerts of all versions. ``state`` is ``busy`` while another pass runs.

    Raises:
        NotFound: ``data.no-model``.
    """
    known = place.store.model(model)
    lease = place.store.lease(f"watch/{model}", seconds=LEASE_S)
    if lease is None:
        document = _document(place, model)
        return _shown(
            model, document, known.live, {}, state="busy", text="another pass is running; this is the last one's result"
        )
    try:
        return _pass(place, model, known.live)
    finally:
        place.store.release(f"watch/{model}", lease)


def acknowledge(place: Watched, model: str, identity: str) -> dict[str, Any]:
    """Close an alert of a model and restart its detectors.

    Raises:
        NotFound: ``data.no-model``; ``data.no-alert`` with the open ones.
        EnvironmentProblem: ``env.busy`` if a pass runs that does not end.
    """
    known = place.store.model(model)
    _owner(_document(place, model), model, identity)  # a refusal changes nothing, not even a lease
    lease = _wait_for_lease(place, model)
    try:
        return _acknowledged(place, model, identity, known.live)
    finally:
        place.store.release(f"watch/{model}", lease)


def _wait_for_lease(place: Watched, model: str) -> int:
    """A pass that runs beside this would write its state over ours, or we ours over its cursor."""
    give_up = time.monotonic() + ACK_WAIT_S
    while (lease := place.store.lease(f"watch/{model}", seconds=LEASE_S)) is None:
        if time.monotonic() > give_up:
            raise EnvironmentProblem(
                "env.busy", f"another process has watched {model} for {ACK_WAIT_S:g} seconds", do="run it again"
            )
        time.sleep(0.05)
    return lease


def _owner(document: Mapping[str, Any], model: str, identity: str) -> str:
    """The version that an open alert is about."""
    for version, state in document["versions"].items():
        if any(alert["id"] == identity for alert in state["alerts"]):
            return str(version)
    there = [a["id"] for a in document["alerts"]]
    raise NotFound(
        "data.no-alert",
        f"no alert {identity[:60]} of {model} is open",
        found=f"open: {', '.join(there)}" if there else "none is open",
        do=f"ambidex monitor {model} --ack {there[0]}" if there else f"ambidex monitor {model}",
    )


def _acknowledged(place: Watched, model: str, identity: str, live: int | None) -> dict[str, Any]:
    document = _document(place, model)
    owner = _owner(document, model, identity)
    state = incidents.acknowledge(document["versions"][owner], identity, now=place.clock())
    bundle = _bundle(place, model, int(owner))
    if bundle is not None:
        before = document["reports"].get(owner, {}).get("labels", {})
        state, report = _judge(place, bundle, state, Arrivals(waiting=before.get("immature", 0)))
        document["reports"][owner] = report.to_dict()
    document["versions"][owner] = state
    document["alerts"] = _open_alerts(document)
    event = {"verb": "ack", "model": model, "version": int(owner), "body": {"id": identity}}
    place.store.put_document(f"watch/{model}", document, events=[event])
    return _shown(
        model, document, live, {}, state="acknowledged", text=f"{identity} is closed, its detectors start again"
    )


def _pass(place: Watched, model: str, live: int | None) -> dict[str, Any]:
    now = place.clock()
    document = _document(place, model)
    frames, cursor = read_log(place.log_folder, model, document["cursor"])
    arrivals, pending, said = _arrivals(place, model, document, frames, now)
    events: list[dict[str, Any]] = []
    wanted = {*arrivals, *([live] if live is not None else [])}
    if not wanted and document["versions"]:
        wanted = {max(int(v) for v in document["versions"])}
    for version in sorted(wanted):
        bundle = _bundle(place, model, version)
        if bundle is None:
            said["foreign"] += len(arrivals[version].frames)
            continue
        before = document["versions"].get(str(version)) or passes.new_state(version)
        state, report = _judge(place, bundle, before, arrivals.get(version, Arrivals()))
        document["versions"][str(version)] = state
        document["reports"][str(version)] = report.to_dict()
        for alert in report.alerts:
            if alert["id"] in report.opened:
                body = {k: alert[k] for k in ("id", "level", "text", "since")}
                events.append({"verb": "alert", "model": model, "version": version, "body": body})
    document |= {"cursor": cursor, "pending": pending, "alerts": _open_alerts(document)}
    shown = _shown(model, document, live, said)
    news = bool(frames) or any(a.labels for a in arrivals.values())
    if news or events or document["seen"] != shown["version"]:
        document["seen"] = shown["version"]
        body = {k: shown[k] for k in ("state", "verdict", "rows")}
        events.append({"verb": "monitor", "model": model, "version": shown["version"], "body": body})
        place.store.put_document(f"watch/{model}", document, events=events)
    return shown


def _judge(
    place: Watched, bundle: OpenBundle, state: Mapping[str, Any], arrivals: Arrivals
) -> tuple[dict[str, Any], passes.Report]:
    """One version's pass, with its share of the budget: one each for every model that is live."""
    watch = place.settings.watch
    models = max(1, sum(m.live is not None for m in place.store.models()))
    return passes.monitor_pass(
        bundle.reference, bundle.schema, state, arrivals, margin=watch.margin, tolerance=watch.tolerance,
        budget=watch.budget / models, looks_a_year=watch.looks, now=place.clock(),
    )  # fmt: skip


def _arrivals(
    place: Watched, model: str, document: Mapping[str, Any], frames: list[dict[str, Any]], now: datetime
) -> tuple[dict[int, Arrivals], dict[str, Any], dict[str, int]]:
    """New predictions and due labels by version, what stays pending, and counts of what could not be placed."""
    new_labels = [f for f in frames if f.get("kind") == "label"]
    new_predictions = [f for f in frames if f.get("kind") != "label"]
    predictions = {str(f.get("id")): f for f in new_predictions}
    counted: set[str] = set()
    asked = {str(f.get("id")) for f in new_labels} | set(document["pending"])
    if asked:
        for frame in read_before(place.log_folder, model, document["cursor"], asked):
            identity = str(frame.get("id"))
            if frame.get("kind") != "label":
                predictions[identity] = frame
            elif identity not in document["pending"]:
                counted.add(identity)
    declared = place.settings.models.get(model)
    horizon = duration(declared.horizon) if declared is not None and declared.horizon else None
    due, pending, repeated = due_labels(
        new_labels, document["pending"], predictions=predictions, counted=counted, horizon_s=horizon, now=now
    )
    arrivals: dict[int, Arrivals] = {}
    for frame in new_predictions:
        arrivals.setdefault(int(frame.get("version") or 0), Arrivals()).frames.append(frame)
    for label in due:
        arrivals.setdefault(label.version, Arrivals()).labels.append(label)
    for identity in pending:
        prediction = predictions.get(identity, {})
        if prediction.get("p") is not None:
            arrivals.setdefault(int(prediction.get("version") or 0), Arrivals()).waiting += 1
    unknown = sum(identity not in predictions for identity in pending)
    kept = dict(list(pending.items())[-MOST_PENDING:])
    said = {"unknown": unknown, "repeated": repeated, "foreign": 0}
    return arrivals, kept, said


def _bundle(place: Watched, model: str, version: int) -> OpenBundle | None:
    """The version's bundle; None for a frame of a version that was never registered here."""
    try:
        record = place.store.version(model, version)
    except NotFound:
        return None
    return open_bundle(place.blobs, record.digest, tried=False)


def _document(place: Watched, model: str) -> dict[str, Any]:
    kept = place.store.document(f"watch/{model}")
    if kept is not None:
        return kept
    return {
        "format": "ambidex-watch/1", "cursor": {}, "pending": {}, "versions": {}, "reports": {}, "alerts": [],
        "seen": None,
    }  # fmt: skip


def _open_alerts(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Open alerts of all versions: harm first, then the other pages, oldest first."""
    alerts = [
        {
            "id": a["id"],
            "level": a["level"],
            "text": a["text"],
            "since": a["since"],
            "version": int(version),
        }
        for version, state in document["versions"].items()
        for a in sorted(state["alerts"], key=lambda a: (a["kind"] != "harm", str(a["since"])))
    ]
    return sorted(alerts, key=lambda a: a["level"] != "page")


def _shown(
    model: str, document: Mapping[str, Any], live: int | None, said: Mapping[str, int], *,
    state: str | None = None, text: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    """The report of the live version, or of the newest one that has any."""
    reports = document["reports"]
    version = live if live is not None and str(live) in reports else max((int(v) for v in reports), default=None)
    if version is None:
        data: dict[str, Any] = {
            "state": "nothing-yet", "verdict": "open", "text": "no version is live and no prediction has been logged",
            "rows": 0, "columns": [], "opened": [], "loss": None, "labels": {"immature": 0}, "score": None,
        }  # fmt: skip
    else:
        data = dict(reports[str(version)])
    data |= {"model": model, "version": version, "ref": model if version is None else f"{model}@{version}"}
    data["alerts"] = [
        {**a, "text": a["text"] if a["version"] == version else f"@{a['version']}: {a['text']}"}
        for a in document["alerts"]
    ]
    data["labels"] = {**data["labels"], **said}
    if any(a["level"] == "page" for a in data["alerts"]):
        data["state"] = "page"
    if state is not None:
        data["state"] = state
    if text is not None:
        data["text"] = text
    return data
