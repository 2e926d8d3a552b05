"""One pass of the watcher over a model: read the log from its cursor, judge, keep state and events together."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from ambidex.bundle.open import OpenBundle, open_bundle
from ambidex.errors import EnvironmentProblem, NotFound, UsageError
from ambidex.ports import Blobs, Clock, Store
from ambidex.records import Schema
from ambidex.settings import LONGEST, Settings, duration
from ambidex.watch import incidents, summary
from ambidex.watch import monitor as passes
from ambidex.watch.arrived import Arrived, arrived, arrived_counted
from ambidex.watch.counted import LARGE, waiting_rows
from ambidex.watch.freshness import freshness
from ambidex.watch.layers import new_layers
from ambidex.watch.levels import service_levels, spent
from ambidex.watch.log import Arrivals, moment
from ambidex.watch.state import migrated

__all__ = ["Watched", "acknowledge", "budget_spent", "document_of", "monitor", "mute", "watched_schema", "with_lease"]

LEASE_S = 600.0
ACK_WAIT_S = 30.0
MOST_COUNTED = 20
"""Versions, newest first, that a pass over millions of rows looks for."""
FORMAT = "ambidex-watch/2"


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
        document = document_of(place, model)
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
    event = {"verb": "ack", "body": {"id": identity}}
    text = f"{identity} is closed, its detectors start again"
    return _changed(
        place,
        model,
        identity,
        lambda s: incidents.acknowledge(s, identity, now=place.clock()),
        event,
        "acknowledged",
        text,
    )


def mute(place: Watched, model: str, identity: str, *, reason: str, until: str = "7d") -> dict[str, Any]:
    """An alert stays open and counted, and pages nobody for a while.

    Args:
        place: The workspace.
        model: Model's name.
        identity: The alert's.
        reason: Why; people read it beside the alert.
        until: A duration from now, ``7d``, or a date or time.

    Raises:
        NotFound: ``data.no-model``; ``data.no-alert`` with the open ones.
        UsageError: ``usage.value`` without a reason, or for a time that has passed.
        EnvironmentProblem: ``env.busy`` if a pass runs that does not end.
    """
    if not reason.strip():
        raise UsageError("usage.value", "a mute needs its reason", do=f'--mute {identity} --reason "TEXT"')
    end = _end(until, place.clock())
    event = {"verb": "mute", "body": {"id": identity, "reason": reason, "until": end}}
    text = f"{identity} is muted until {end}: {reason}"
    return _changed(
        place, model, identity,
        lambda s: incidents.mute(s, identity, reason=reason, until=end, now=place.clock()), event, "muted", text,
    )  # fmt: skip


def _end(until: str, now: datetime) -> str:
    at = moment(until)
    if at is None:
        try:
            at = now + timedelta(seconds=min(duration(until), LONGEST))
        except UsageError as error:
            raise UsageError(
                "usage.value", f"{until[:60]!r} is neither a duration nor a time", do="--until 7d, or 2026-12-24"
            ) from error
    if at <= now:
        raise UsageError("usage.value", f"{until} has passed", found=incidents.timestamp(now), do="--until 7d")
    return incidents.timestamp(at)


def budget_spent(place: Watched, model: str) -> bool:
    """True if the model's availability budget of 30 days is used up: automatic promotion waits then."""
    folder = place.log_folder.parent / "run"
    return spent(folder, model, now=place.clock().timestamp(), availability=place.settings.watch.availability)


def with_lease(place: Watched, model: str, what: Callable[[], Any]) -> Any:
    """Alone with a model's state: a pass that runs beside would write its state over ours, or we ours over its
    cursor.

    Raises:
        EnvironmentProblem: ``env.busy`` if another process does not end.
    """
    give_up = time.monotonic() + ACK_WAIT_S
    while (lease := place.store.lease(f"watch/{model}", seconds=LEASE_S)) is None:
        if time.monotonic() > give_up:
            raise EnvironmentProblem(
                "env.busy", f"another process has watched {model} for {ACK_WAIT_S:g} seconds", do="run it again"
            )
        time.sleep(0.05)
    try:
        return what()
    finally:
        place.store.release(f"watch/{model}", lease)


def _owner(document: Mapping[str, Any], model: str, identity: str) -> str:
    """The version that an open alert is about."""
    for version, state in document["versions"].items():
        if any(alert["id"] == identity for alert in state["alerts"]):
            return str(version)
    raise incidents.no_alert(identity, [a["id"] for a in document["alerts"]], model=model)


def _changed(
    place: Watched, model: str, identity: str, change: Callable[[Mapping[str, Any]], dict[str, Any]],
    event: dict[str, Any], state: str, text: str,
) -> dict[str, Any]:  # fmt: skip
    live = place.store.model(model).live
    _owner(document_of(place, model), model, identity)  # a refusal changes nothing, not even a lease

    def act() -> dict[str, Any]:
        document = document_of(place, model)
        owner = _owner(document, model, identity)
        new = change(document["versions"][owner])
        bundle = _bundle(place, model, int(owner))
        if bundle is not None:
            before = document["reports"].get(owner, {}).get("labels", {})
            waiting = Arrivals(waiting=before.get("immature", 0))
            new, report = _judge(place, model, bundle, new, waiting, document["arming"])
            document["reports"][owner] = {**document["reports"].get(owner, {}), **report.to_dict()}
        document["versions"][owner] = new
        document["alerts"] = _open_alerts(document)
        said = _shown(model, document, live, {}, state=state, text=text)
        place.store.put_document(f"watch/{model}", document, events=[{**event, "model": model, "version": int(owner)}])
        _page(place, model, document, live)
        return said

    found: dict[str, Any] = with_lease(place, model, act)
    return found


def _pass(place: Watched, model: str, live: int | None) -> dict[str, Any]:
    now = place.clock()
    document = document_of(place, model)
    declared = place.settings.models.get(model)
    horizon = duration(declared.horizon) if declared is not None and declared.horizon else None
    if waiting_rows(place.log_folder, model, document["cursor"]) > LARGE:
        new = _counted(place, model, document, live, horizon=horizon, now=now)
    else:
        new = arrived(place.log_folder, model, document, horizon_s=horizon, now=now)
    events: list[dict[str, Any]] = []
    wanted = {*new.versions, *([live] if live is not None else [])}
    if not wanted and document["versions"]:
        wanted = {max(int(v) for v in document["versions"])}
    for version in sorted(wanted):
        bundle = _bundle(place, model, version)
        if bundle is None:
            new.said["foreign"] += len(new.versions[version].frames) if version in new.versions else 0
            continue
        before = document["versions"].get(str(version)) or _first_state(version, document["arming"])
        state, report = _judge(place, model, bundle, before, new.versions.get(version, Arrivals()), document["arming"])
        data = report.to_dict()
        if version == live or (live is None and version == max(wanted)):
            data |= _around(place, model, version, state, now=now, live=version == live)
            data |= {"alerts": [dict(a) for a in state["alerts"]]}
        document["versions"][str(version)] = state
        document["reports"][str(version)] = data
        known = {a["id"] for a in before["alerts"]}
        for alert in state["alerts"]:
            if alert["id"] not in known:
                body = {k: alert[k] for k in ("id", "level", "text", "since")}
                events.append({"verb": "alert", "model": model, "version": version, "body": body})
    document |= {"cursor": new.cursor, "pending": new.pending, "alerts": _open_alerts(document)}
    shown = _shown(model, document, live, new.said, cautions=new.cautions)
    if _news(new, events, document, shown):
        document["seen"] = shown["version"]
        body = {k: shown[k] for k in ("state", "verdict", "rows")}
        events.append({"verb": "monitor", "model": model, "version": shown["version"], "body": body})
        place.store.put_document(f"watch/{model}", document, events=events)
        _page(place, model, document, live)
    return shown


def _counted(
    place: Watched, model: str, document: Mapping[str, Any], live: int | None, *, horizon: float | None, now: datetime
) -> Arrived:
    """A log of millions, counted where it lies: for every version whose inputs are those of the newest one."""
    judged: dict[int, tuple[Mapping[str, Any], Schema]] = {}
    newest: Schema | None = None
    for record in reversed(place.store.versions(model)):
        bundle = _bundle(place, model, record.number)
        if bundle is None:
            continue
        schema = watched_schema(place, model, bundle.schema)
        types = {c.name: c.type for c in schema.columns}
        if newest is None or types.items() <= {c.name: c.type for c in newest.columns}.items():
            newest = newest or schema
            judged[record.number] = (bundle.reference, schema)
        if len(judged) >= MOST_COUNTED and (live is None or live in judged):
            break
    if newest is None:
        return arrived(place.log_folder, model, document, horizon_s=horizon, now=now)
    return arrived_counted(
        place.log_folder, model, document, schema=newest, judged=judged, looks_a_year=place.settings.watch.looks,
        horizon_s=horizon, now=now,
    )  # fmt: skip


def _news(new: Arrived, events: list[Any], document: Mapping[str, Any], shown: Mapping[str, Any]) -> bool:
    return bool(
        new.rows or events or document["seen"] != shown["version"] or any(a.labels for a in new.versions.values())
    )


def _around(
    place: Watched, model: str, version: int, state: dict[str, Any], *, now: datetime, live: bool
) -> dict[str, Any]:
    """Service levels and freshness of the version that answers: they open alerts in its state."""
    declared, when = place.settings.models.get(model), incidents.timestamp(now)
    milliseconds = declared.limits.latency_ms if declared is not None else None
    levels = service_levels(
        place.log_folder.parent / "run", model, now=now.timestamp(), availability=place.settings.watch.availability,
        p99_s=None if milliseconds is None else milliseconds / 1000,
    )  # fmt: skip
    for level in levels:
        if level.alert is not None:
            incidents.open_alert(state, level.alert, f"level:{level.name}", level.text, [], when, when)
    stale = duration(declared.stale) if declared is not None and declared.stale else None
    made = place.store.version(model, version).at
    passed, ages = freshness(state, made=made, stale_s=stale, now=now, live=live)
    for one in passed:
        incidents.open_alert(state, one.level, one.key, one.text, [], one.since, when)
    return {"levels": [level.to_dict() for level in levels], "freshness": ages}


def _judge(
    place: Watched, model: str, bundle: OpenBundle, state: Mapping[str, Any], arrivals: Arrivals,
    arming: Mapping[str, Any] | None,
) -> tuple[dict[str, Any], passes.Report]:  # fmt: skip
    """One version's pass, with its share of the budget: one each for every model that is live."""
    watch = place.settings.watch
    declared = place.settings.models.get(model)
    models = max(1, sum(m.live is not None for m in place.store.models()))
    said = (arming or {}).get("detectors", {})
    armed = {n: d["why"] for n, d in said.items() if d["armed"]}
    silenced = {n: d["why"] for n, d in said.items() if n == "beyond" and not d["armed"]}
    return passes.monitor_pass(
        bundle.reference, watched_schema(place, model, bundle.schema), state, arrivals, margin=watch.margin,
        tolerance=watch.tolerance, budget=watch.budget / models, looks_a_year=watch.looks, armed=armed,
        silenced=silenced, slices=declared.slices if declared is not None else (), now=place.clock(),
    )  # fmt: skip


def watched_schema(place: Watched, model: str, schema: Schema) -> Schema:
    """The inputs whose values the log keeps: those that are hashed or dropped there cannot be judged."""
    declared = place.settings.models.get(model)
    hidden = {*declared.log.hash, *declared.log.drop} if declared is not None else set()
    if not hidden:
        return schema
    return replace(schema, columns=tuple(c for c in schema.columns if c.name not in hidden))


def _first_state(version: int, arming: Mapping[str, Any] | None) -> dict[str, Any]:
    """A new version: what its stream is like is known from the one before."""
    state = passes.new_state(version)
    mode = (arming or {}).get("mode")
    if mode in ("weekday", "hour", "swing"):
        state["layers"] = new_layers(mode if mode != "swing" else None, swing=mode == "swing")
    return state


def _bundle(place: Watched, model: str, version: int) -> OpenBundle | None:
    """The version's bundle; None for a frame of a version that was never registered here."""
    try:
        record = place.store.version(model, version)
    except NotFound:
        return None
    return open_bundle(place.blobs, record.digest, tried=False)


def document_of(place: Watched, model: str) -> dict[str, Any]:
    """A model's state in today's form, whichever release wrote it."""
    fresh: dict[str, Any] = {
        "format": FORMAT, "cursor": {}, "pending": {}, "versions": {}, "reports": {}, "alerts": [], "seen": None,
        "arming": None,
    }  # fmt: skip
    kept = place.store.document(f"watch/{model}")
    if kept is None:
        return fresh
    versions = {v: migrated(s) for v, s in kept["versions"].items()}
    return {**fresh, **kept, "format": FORMAT, "versions": versions}


def _open_alerts(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Open alerts of all versions: harm first, then the other pages, oldest first."""
    alerts = [
        {**{k: a[k] for k in ("id", "level", "kind", "text", "since", "opened", "rings", "muted")}, "version": int(v)}
        for v, state in document["versions"].items()
        for a in sorted(state["alerts"], key=lambda a: (a["kind"] != "harm", str(a["since"])))
    ]
    return sorted(alerts, key=lambda a: a["level"] != "page")


def _page(place: Watched, model: str, document: Mapping[str, Any], live: int | None) -> None:
    """What pages read, small and apart. Written after the state, and again by the next pass if it got lost."""
    version = _version_shown(document, live)
    bundle = None if version is None else _bundle(place, model, version)
    if version is None or bundle is None:
        return
    page = summary.page_of(
        _shown(model, document, live, {}), document["versions"][str(version)], bundle.reference,
        watched_schema(place, model, bundle.schema), arming=document["arming"],
    )  # fmt: skip
    place.store.put_document(f"watch-page/{model}", page)


def _version_shown(document: Mapping[str, Any], live: int | None) -> int | None:
    reports = document["reports"]
    return live if live is not None and str(live) in reports else max((int(v) for v in reports), default=None)


def _shown(
    model: str, document: Mapping[str, Any], live: int | None, said: Mapping[str, int], *,
    state: str | None = None, text: str | None = None, cautions: Any = (),
) -> dict[str, Any]:  # fmt: skip
    """The report of the live version, or of the newest one that has any."""
    version = _version_shown(document, live)
    if version is None:
        data: dict[str, Any] = {
            "state": "nothing-yet", "verdict": "open", "text": "no version is live and no prediction has been logged",
            "rows": 0, "columns": [], "opened": [], "loss": None, "labels": {"immature": 0}, "score": None,
            "detectors": [],
        }  # fmt: skip
    else:
        data = dict(document["reports"][str(version)])
    data |= {"model": model, "version": version, "ref": model if version is None else f"{model}@{version}"}
    data["alerts"] = [
        {**a, "text": a["text"] if a["version"] == version else f"@{a['version']}: {a['text']}"}
        for a in document["alerts"]
    ]
    data["labels"] = {**data["labels"], **said}
    arming = document.get("arming")
    data["arming"] = None if arming is None else {k: arming[k] for k in ("mode", "days", "looks", "text")}
    data["cautions"] = [{"code": code, "text": words} for code, words in cautions]
    if any(incidents.is_page(a) for a in data["alerts"]):
        data["state"] = "page"
    elif data["alerts"] and data["state"] in ("quiet", "nothing-new", "page"):
        data["state"] = "info"
    if state is not None:
        data["state"] = state
    if text is not None:
        data["text"] = text
    return data
