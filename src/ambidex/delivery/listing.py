"""What stands where: models, versions, differences, the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambidex.delivery import release
from ambidex.delivery.references import resolve
from ambidex.delivery.rollout import open_rollout
from ambidex.ports import Place
from ambidex.records import POINTERS, Event
from ambidex.report.answer import Mark, Result
from ambidex.report.words import plural

__all__ = ["MOVES", "event_row", "list_models", "log", "show_version", "status"]

Lines = list[tuple[Mark, str]]
MOVES = ("promote", "rollback", "register", "judge", "resume", "pause", "delete", "rollout")


def list_models(place: Place) -> Result:
    """Every model with its versions and pointers."""
    models = [
        {"model": s.name, "versions": s.versions, "paused": s.paused, **{p: getattr(s, p) for p in POINTERS}}
        for s in place.store.models()
    ]
    lines: Lines = [("✓" if m["live"] else "▲", _model_line(m)) for m in models]
    if not models:
        lines = [("▲", "no model yet")]
    following = () if models else ("ambidex package answer/1 --name NAME",)
    return Result(verb="models", data={"models": models}, lines=tuple(lines), next=following)


def show_version(place: Place, reference: str) -> Result:
    """One version's record."""
    name, number = resolve(place.store, reference, default="live")
    record = place.store.version(name, number)
    opened = release.open_version(place, name, number)
    judgement = place.store.judgement(name, number)
    state = place.store.model(name)
    pointers = [p for p in POINTERS if getattr(state, p) == number]
    data = {
        **record.to_json(),
        "version": number,
        "pointers": pointers,
        "runtime": opened.runtime[0],
        "reason": opened.runtime[1],
        "schema": opened.schema.to_json(),
        "recipe": opened.recipe.to_json(),
        "evaluation": opened.evaluation,
        "lineage": opened.lineage,
        "files": opened.manifest["files"],
        "judgement": judgement.to_json() if judgement else None,
    }
    e = opened.evaluation
    value = "no figure" if e["value"] is None else f"{e['metric']} {e['value']:.4f}"
    lines: Lines = [("✓", f"{record.ref} {', '.join('@' + p for p in pointers) or 'carries no pointer'}")]
    lines += [
        (" ", f"made       {record.at}"),
        (
            " ",
            f"data       {record.data}, {opened.lineage['data']['rows']:,} rows of {opened.lineage['data']['source']}",
        ),
        (" ", f"figure     {value} on {e['held_out_rows']:,} rows not fitted"),
        (" ", f"columns    {', '.join(opened.schema.names)}"),
        (" ", f"digest     {record.digest}"),
        (" ", "gates      " + (_gates(judgement.gates) if judgement else "not judged")),
        (" ", f"runtime    {data['runtime']}: {data['reason']}"),
    ]
    return Result(verb="models", data=data, lines=tuple(lines))


def log(place: Place, name: str | None) -> Result:
    """Who moved what and why."""
    if name is not None:
        place.store.model(name)
    events = place.store.events(model=name, verbs=MOVES)
    shown = [event_row(e) for e in events]
    lines: Lines = [(" ", _event_line(e)) for e in shown] or [("▲", "nothing has moved yet")]
    return Result(verb="models", data={"events": shown}, lines=tuple(lines))


def status(place: Place) -> Result:
    """Workspace, models, open alerts, pauses."""
    listed = list_models(place)
    alerts = open_alerts(place)
    paused = {s.name: s.paused for s in place.store.models() if s.paused}
    answers = place.store.answers()
    lines: Lines = [
        ("✓", f"{place.folder.name}: {plural(len(answers), 'answer')}, {plural(len(listed.data['models']), 'model')}")
    ]
    lines += list(listed.lines)
    lines += [("■" if a["level"] == "page" else "▲", f"{a['id']} {a['model']}: {a['text']}") for a in alerts]
    lines += [("▲", f"{name}: retraining is paused, {why}") for name, why in paused.items()]
    running = [r for s in place.store.models() if (r := open_rollout(place, s.name)) is not None]
    lines += [("✓", f"{r.model}: {r.stage} @{r.version} against @{r.against} until {r.deadline[:10]}") for r in running]
    return Result(
        verb="status",
        data={
            "workspace": str(place.folder), "models": listed.data["models"], "alerts": alerts, "paused": paused,
            "answers": [f"answer/{n}" for n, _ in answers], "rollouts": [r.to_json() for r in running],
        },
        lines=tuple(lines), next=("ambidex next",),
    )  # fmt: skip


def open_alerts(place: Place) -> list[dict[str, Any]]:
    """Alerts that nobody has acknowledged, of all models."""
    alerts = []
    for state in place.store.models():
        document = place.store.document(f"watch/{state.name}") or {}
        alerts += [{"model": state.name, **a} for a in document.get("alerts", ()) if not a.get("acknowledged")]
        failing = (place.store.document(f"watch-loop/{state.name}") or {}).get("parts", {})
        alerts += [
            {"model": state.name, "id": one["id"], "level": "page", "since": one["since"],
             "text": f"{part} of watch fails since {one['since'][:16]}Z: {one['text']}"}
            for part, one in failing.items()
        ]  # fmt: skip
    return alerts


def event_row(e: Event) -> dict[str, Any]:
    """An event of the log as listings show it."""
    return {
        "seq": e.seq, "at": e.at, "by": e.by, "verb": e.verb, "model": e.model, "version": e.version,
        "was": e.body.get("was"), "because": e.body.get("because") or _judged(e.body), "to": e.body.get("to"),
    }  # fmt: skip


def _judged(body: Mapping[str, Any]) -> str:
    """What a judgement found, in the words of the promotion that follows it."""
    gates = body.get("gates")
    if not isinstance(gates, list):
        return ""
    supported = sum(g.get("outcome") == "supported" for g in gates)
    others = "".join(f", {g['name']} {g['outcome']}" for g in gates if g.get("outcome") != "supported")
    return f"{supported} of {len(gates)} gates supported{others}"


def _event_line(e: dict[str, Any]) -> str:
    place = f" to {e['to']}" if e["to"] else ""
    was = f" (was @{e['was']})" if e["was"] is not None else ""
    because = f": {e['because']}" if e["because"] else ""
    version = f"@{e['version']}" if e["version"] is not None else ""
    return f"{e['seq']:>4}  {e['at'][:19]}Z  {e['by']:<10} {e['verb']} {e['model']}{version}{place}{was}{because}"


def _model_line(m: dict[str, Any]) -> str:
    pointers = ", ".join(f"{p} @{m[p]}" for p in POINTERS if m[p] is not None) or "no pointer set"
    return f"{m['model']}  {plural(m['versions'], 'version')}, {pointers}"


def _gates(gates: Any) -> str:
    return ", ".join(f"{g.name} {g.outcome}" for g in gates)
