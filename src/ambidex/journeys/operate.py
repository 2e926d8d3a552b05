"""What keeps a live model right: watched, explained, retrained, rolled out."""

from __future__ import annotations

import importlib
import re
import secrets
from typing import Any

from ambidex.errors import AmbidexError, UsageError
from ambidex.journeys.shared import At
from ambidex.report.answer import Result
from ambidex.workspace import Workspace, open_workspace

__all__ = ["drift", "feedback", "investigate", "monitor", "resume", "retrain", "ui", "watch"]


def drift(name: str, table: Any, *, at: At = None) -> Result:
    """This table against the version's reference; nothing is kept."""
    from ambidex.data.read import read
    from ambidex.delivery import release, results
    from ambidex.delivery.material import scorable
    from ambidex.delivery.references import resolve
    from ambidex.watch.drift import drift as look

    workspace = open_workspace(at)
    model, number = resolve(workspace.store, name, default="live")
    opened = release.open_version(workspace, model, number)
    source = scorable(read(table), opened.recipe, now=workspace.clock())
    data = look(opened.reference, opened.schema, source, margin=workspace.settings.watch.margin)
    return results.drifted(model, number, data)


def feedback(name: str, table: Any, *, id: str, label: str, at: At = None) -> Result:
    """Late labels from a table, matched to predictions by their id or by the declared key."""
    from ambidex.data.privacy import privacy_of
    from ambidex.data.read import read
    from ambidex.delivery import release, results
    from ambidex.delivery.score import append_log
    from ambidex.records import check_name
    from ambidex.watch.labels import match_labels, relevant

    check_name(name)
    workspace = open_workspace(at)
    workspace.store.model(name)
    source = read(table)
    opened = release.open_version(workspace, name, workspace.store.model(name).answering)
    rule = privacy_of(workspace.settings, workspace.log_folder.parent, name)
    logged = relevant(workspace.log_folder, name, source, id=id, schema=opened.schema, privacy=rule)
    matched = match_labels(
        logged, source, id=id, label=label, schema=opened.schema, at=release.stamp(workspace.clock())
    )
    if matched.payloads:
        run = f"{re.sub('[^0-9]', '', release.stamp(workspace.clock()))}-{secrets.token_hex(4)}"
        append_log(workspace.log_folder / name / f"labels-{run}.frames", matched.payloads)
    data = matched.to_dict()
    workspace.store.append(verb="feedback", model=name, body=data)
    return results.labelled(name, data)


def investigate(name: str, *, since: str | None = None, id: str | None = None, at: At = None) -> Result:
    """Why was it slow or wrong: since when, after which event, in which stage, for which requests; or one row.

    Args:
        name: Model's name.
        since: When it began, as ``14:30``, ``2h`` or an ISO time; looked for where it is not said.
        id: Explain this one prediction: replayed, its unusual values, its times.
    """
    from ambidex.delivery.release import open_version
    from ambidex.records import check_name
    from ambidex.watch.investigate import House, explain_row, since_of
    from ambidex.watch.investigate import investigate as look

    check_name(name)
    workspace = open_workspace(at)
    workspace.store.model(name)
    now = workspace.clock()
    house = House(workspace.log_folder, workspace.log_folder.parent / "run", workspace.store, now)
    if id is not None:
        return explain_row(house, name, id, lambda number: open_version(workspace, name, number))
    return look(house, name, since=None if since is None else since_of(since, now))


def monitor(
    name: str,
    *,
    ack: str | None = None,
    mute: str | None = None,
    reason: str | None = None,
    until: str = "7d",
    replay: bool = False,
    at: At = None,
) -> Result:
    """One pass over what is new in the prediction log: rules, inputs, losses, service levels; alerts."""
    from ambidex.data.sealing import seal_if_due
    from ambidex.delivery import results
    from ambidex.records import check_name
    from ambidex.serving.log import Logging
    from ambidex.watch import run

    check_name(name)
    if sum((ack is not None, mute is not None, replay)) > 1:
        raise UsageError("usage.value", "ack, mute and replay are done one at a time", do=f"ambidex monitor {name}")
    workspace = open_workspace(at)
    if replay:
        from ambidex.watch.replay import replay as past

        return results.replayed(name, past(workspace, name, _own_table(workspace, name)))
    if ack is not None:
        data = run.acknowledge(workspace, name, ack)
    elif mute is not None:
        data = run.mute(workspace, name, mute, reason=reason or "", until=until)
    else:
        data = run.monitor(workspace, name)
        retain = Logging.of(workspace.settings, workspace.log_folder.parent, [name]).retain_s.get(name)
        seal_if_due(workspace.log_folder, name, retain_s=retain)
        if workspace.settings.notify.channels:
            from ambidex.rounds import notify

            notify(workspace)
    return results.monitored(workspace.store.model(name), data)


def retrain(name: str, *, at: At = None) -> Result:
    """At most one step of the loop: train on new data and judge, or say what is missing."""
    from ambidex.delivery import results
    from ambidex.delivery.retrain import retrain as step
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    return results.retrained(name, step(workspace, name))


def resume(name: str, *, at: At = None) -> Result:
    """End a pause of retraining."""
    from ambidex.delivery import results
    from ambidex.records import check_name

    check_name(name)
    workspace = open_workspace(at)
    was = workspace.store.model(name).paused
    event = workspace.store.append(verb="resume", model=name) if was else None
    return results.resumed(name, was=was, event=event.seq if event else None)


def watch(*, once: bool = False, interval: float | str = 60, say: Any = None, at: At = None) -> Result:
    """Monitor, roll-outs and retraining of every model, from the log alone, until stopped.

    Args:
        once: One step, which may be repeated at any time.
        interval: Seconds between steps, or a text such as ``5m``.
        say: Called with (mark, text) for each line, one a model and step.
    """
    from ambidex.rounds import seconds_of
    from ambidex.rounds import watch as go

    seconds = seconds_of(interval)
    open_workspace(at)  # what is wrong with it shows at once; later it is tried again
    return go(lambda: open_workspace(at), once=once, interval=seconds, say=say)


def ui(*, host: str = "127.0.0.1", port: int = 8377, ready: Any = None, grafana: Any = None, at: At = None) -> Result:
    """The dashboard, until stopped: what needs attention, and the verbs to act.

    Args:
        host: Where to listen; a public address needs a token first.
        port: The next free one from here on is taken; 0 takes any.
        ready: Called with the address once it listens.
        grafana: Write a Grafana dashboard and Prometheus rules into this folder instead.
    """
    from ambidex.ui.grafana import write_grafana
    from ambidex.workspace import acting_as

    if type(port) is not int:
        raise UsageError(
            "usage.type", f"port must be a whole number, not {type(port).__name__} {str(port)[:60]!r}",
            where="argument port",
        )  # fmt: skip
    workspace = open_workspace(at)
    if grafana is not None:
        return write_grafana(grafana, workspace)
    from ambidex.ui.server import run

    verbs = importlib.import_module("ambidex.journeys")
    address = run(
        lambda: open_workspace(workspace.folder), verbs, host=host, port=port, acting_as=acting_as,
        ready=ready,
    )  # fmt: skip
    return Result(verb="ui", data={"address": address, "host": host, "port": port}, lines=(("✓", "stopped"),))


def _own_table(workspace: Workspace, name: str) -> Any:
    """The rows that the model is declared to be made from, if they say when they happened; None if they cannot tell."""
    from ambidex.data.read import read
    from ambidex.delivery.material import resolve as located

    declared = workspace.settings.models.get(name)
    if declared is None or declared.time is None or declared.prepare is not None:
        return None
    try:
        return read(located(declared.data, workspace.folder))
    except AmbidexError:
        return None  # a log may be enough, and the verb that needs the file says what is wrong with it
