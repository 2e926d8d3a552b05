"""What stands where: models, versions, differences, the log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambidex.bundle.open import OpenBundle
from ambidex.delivery import release
from ambidex.delivery.references import resolve
from ambidex.errors import AmbidexError
from ambidex.ports import Place
from ambidex.records import POINTERS, Event, VersionRecord
from ambidex.report.answer import Mark, Result
from ambidex.report.words import plural

__all__ = ["MOVES", "diff_versions", "event_row", "list_models", "log", "show_version", "status"]

Lines = list[tuple[Mark, str]]
MOVES = ("promote", "rollback", "register", "judge", "resume", "pause")


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


def diff_versions(place: Place, reference: str, other: str) -> Result:
    """What differs between two versions: data, code, schema, metrics, predictions on the newest held-out rows."""
    from ambidex.delivery.gates import score_rows

    names = [resolve(place.store, r, default="live") for r in (reference, other)]
    records = [place.store.version(*n) for n in names]
    a, b = (release.open_version(place, *n) for n in names)
    material, _, _ = release.newest(place, names[0][0], a.recipe)
    rows = material.table.take(material.held_out)
    try:
        changed = _changed(a, score_rows(a, rows), score_rows(b, rows), rows.rows)
    except AmbidexError as error:
        changed = {"rows": 0, "decisions": None, "largest": None, "why": error.message}
    data = {
        "versions": [r.ref for r in records],
        "data": _pair(records, lambda r: r.data),
        "code": _pair(records, lambda r: r.code),
        "schema": _schema_diff(a, b),
        "metrics": [{"version": r.ref, **o.evaluation} for r, o in zip(records, (a, b), strict=True)],
        "predictions_changed": changed,
    }
    what = "the same" if records[0].data == records[1].data else "different"
    lines: Lines = [
        ("✓", f"{records[0].ref} and {records[1].ref}: {what} data"),
        (" ", f"data       {records[0].data} | {records[1].data}"),
        (" ", f"code       {records[0].code} | {records[1].code}"),
        (" ", f"schema     {_in_words(data['schema'])}"),
        (" ", f"figure     {a.evaluation['metric']} {a.evaluation['value']:.4g} | {b.evaluation['value']:.4g}"),
        (" ", f"decisions  {_differ(changed)}"),
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
    return Result(
        verb="status",
        data={
            "workspace": str(place.folder), "models": listed.data["models"], "alerts": alerts, "paused": paused,
            "answers": [f"answer/{n}" for n, _ in answers],
        },
        lines=tuple(lines), next=("ambidex next",),
    )  # fmt: skip


def open_alerts(place: Place) -> list[dict[str, Any]]:
    """Alerts that nobody has acknowledged, of all models."""
    alerts = []
    for state in place.store.models():
        document = place.store.document(f"watch/{state.name}") or {}
        alerts += [{"model": state.name, **a} for a in document.get("alerts", ()) if not a.get("acknowledged")]
    return alerts


def _changed(a: OpenBundle, mine: Any, theirs: Any, rows: int) -> dict[str, Any]:
    import numpy as np

    gap = np.abs(mine - theirs).reshape(rows, -1).max(axis=1)
    flips = (mine >= 0.5) != (theirs >= 0.5) if a.schema.task == "binary" else gap > 0
    return {"rows": rows, "decisions": int(flips.sum()), "largest": float(gap.max(initial=0.0))}


def _differ(changed: dict[str, Any]) -> str:
    if changed["decisions"] is None:
        return f"cannot be compared: {changed['why']}"
    return f"{changed['decisions']:,} of {changed['rows']:,} held-out rows differ, largest gap {changed['largest']:.3g}"


def _in_words(schema: Any) -> str:
    return "; ".join(f"{what} {', '.join(names)}" for what, names in schema.items() if names) or "the same"


def _pair(records: list[VersionRecord], of: Any) -> dict[str, Any]:
    left, right = (of(r) for r in records)
    return {"from": left, "to": right, "same": left == right}


def _schema_diff(a: OpenBundle, b: OpenBundle) -> dict[str, Any]:
    mine, theirs = ({c.name: c for c in o.schema.columns} for o in (a, b))
    return {
        "added": sorted(theirs.keys() - mine.keys()),
        "removed": sorted(mine.keys() - theirs.keys()),
        "changed": sorted(
            n for n in mine.keys() & theirs.keys()
            if (mine[n].type, mine[n].nullable) != (theirs[n].type, theirs[n].nullable)
        ),
    }  # fmt: skip


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
