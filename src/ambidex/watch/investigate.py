"""Why was it slow, or wrong: from what the servers and the watcher kept, to a sentence and a command."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.log import Prediction, find_prediction, log_view
from ambidex.data.run_folder import read_minutes, read_slow
from ambidex.errors import NotFound, UsageError
from ambidex.ports import Store
from ambidex.records import Event
from ambidex.report.answer import Mark, Result
from ambidex.report.words import number
from ambidex.settings import duration
from ambidex.watch.causes import NEAR_S, Facts, cause_of
from ambidex.watch.slowness import (
    Minutes,
    Stretch,
    attributes_of,
    find_stretch,
    minutes_of,
    quantile_seconds,
    records_of,
    stage_changes,
)
from ambidex.watch.summary import summary

__all__ = ["House", "explain_row", "investigate", "since_of"]

BACK_S = 6 * 3600.0
"""How far before the question is looked for what was ordinary; the same hours of the day before are taken too."""
DAY_S = 86400.0
HARM_KINDS = ("harm", "slice", "calibration", "rule:output", "level:")
"""Kinds of alerts, or beginnings of them, that speak of how well rows are answered, not of the rows that come."""
MOVES = ("promote", "rollback", "rollout", "register", "config", "serve")
Lines = list[tuple[Mark, str]]


@dataclass(frozen=True)
class House:
    """What is asked: the workspace's folders, store and clock."""

    log: Path
    run: Path
    store: Store
    now: datetime


def since_of(text: str, now: datetime) -> datetime:
    """A moment: ``14:30`` (the last one), ``2h`` ago, a date or an ISO time; this machine's zone unless it says one.

    Raises:
        UsageError: ``usage.value``.

    >>> since_of("2h", datetime(2026, 5, 1, 12, tzinfo=UTC)).isoformat()
    '2026-05-01T10:00:00+00:00'
    """
    said = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?\s*[smhdw]", said):
        return now - timedelta(seconds=duration(said))
    if clock := re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", said):
        hour, minute, second = int(clock[1]), int(clock[2]), int(clock[3] or 0)
        if hour < 24 and minute < 60 and second < 60:
            found = now.astimezone().replace(hour=hour, minute=minute, second=second, microsecond=0)
            return (found if found <= now else found - timedelta(days=1)).astimezone(UTC)
    try:
        found = datetime.fromisoformat(said)
    except ValueError:
        raise UsageError(
            "usage.value", f"{text[:40]!r} is no moment", where="option --since",
            found="a moment reads as 14:30, 2h or 2026-11-24T14:30", do="--since 2h",
        ) from None  # fmt: skip
    return (found if found.tzinfo else found.astimezone()).astimezone(UTC)


def investigate(house: House, model: str, *, since: datetime | None = None) -> Result:
    """What became slow or wrong, since when, with which event, in which stage, for which requests, and why.

    Args:
        house: The workspace.
        model: Model's name; it exists.
        since: Before this all was well; None: looked for in the last hours.

    Returns:
        ``data``: ``since, until, stage, event, requests, cause, kind, evidence, p99_ms, stages`` and ``wrong``.
        ``cause`` is None where nothing exceeds the noise, and ``unexplained`` where something does and no fact
        carries a cause.
    """
    start = (since or house.now) - timedelta(seconds=BACK_S)
    records = [r for r in read_minutes(house.run, start.timestamp(), house.now.timestamp()) if r["model"] == model]
    minutes = minutes_of(records)
    stretch = find_stretch(minutes, since=None if since is None else since.timestamp())
    wrong = _wrong(house, model, since)
    if stretch is None or stretch.verdict.outcome != "supported":
        return _not_slow(model, minutes, stretch, wrong, since)
    return _slow(house, model, minutes, stretch, wrong)


def _slow(house: House, model: str, minutes: Minutes, stretch: Stretch, wrong: dict[str, Any] | None) -> Result:
    inside, before = stretch.inside, stretch.before
    first, last = int(minutes.at[inside][0]), int(minutes.at[inside][-1])
    p99 = [quantile_seconds(minutes.totals[w].sum(axis=0), 0.99) for w in (before, inside)]
    stages = stage_changes(minutes, stretch)
    kept = [k for k in read_slow(house.run, first, last + 60) if k["model"] == model]
    slow = [r for r in records_of(kept, "slow", (first, last)) if r["total_us"] > 1e6 * stretch.limit]
    attributes = attributes_of(slow, records_of(kept, "sample", (first, last)))
    event = _event(house.store, model, first)
    facts = _facts(house, model, minutes, stretch, stages, attributes, slow, event)
    cause = cause_of(facts, model)
    main = stages[0]
    began = _iso(first)
    data: dict[str, Any] = {
        "model": model, "since": began, "until": _iso(last + 60), "stage": main["stage"] if main["part"] else None,
        "event": None if event is None else {k: event[k] for k in ("seq", "at", "verb", "version", "text")},
        "requests": attributes, "cause": cause.text if cause else "unexplained", "kind": cause.kind if cause else None,
        "evidence": cause.grade if cause else "none", "p99_ms": [1000 * v for v in p99], "stages": stages,
        "because": stretch.verdict.because, "wrong": wrong,
    }  # fmt: skip
    lines: Lines = [("■", f"p99 {_ms(p99[0])} → {_ms(p99[1])} since {_clock(first)}; `{main['stage']}` is "
                          f"{main['part']:.0%} of it. {_graded(data['evidence'])}")]  # fmt: skip
    lines.append((" ", f"cause     {data['cause']}"))
    lines += [(" ", f"requests  {a['text']}: {a['slow']:.0%} of the slow, {a['rest']:.0%} of the rest")
              for a in attributes[:3]]  # fmt: skip
    if event is not None:
        lines.append((" ", f"event     {event['text']}"))
    lines += _wrong_lines(wrong)
    command = f"ambidex {cause.do}" if cause and cause.do else f"ambidex monitor {model}"
    back = event is not None and event["verb"] == "promote" and event["was"] is not None
    if back and cause and cause.kind in ("feature-code", "model"):
        command = f"ambidex rollback {model}"
    return Result(verb="investigate", data=data, lines=tuple(lines), next=(command,))


def _not_slow(
    model: str, minutes: Minutes, stretch: Stretch | None, wrong: dict[str, Any] | None, since: datetime | None
) -> Result:
    asked = int(minutes.requests.sum())
    if stretch is None:
        why = "too few minutes of requests were kept to compare" if asked else "no server has kept any request's times"
    else:
        slow = minutes.totals[:, stretch.bucket + 1 :].sum(axis=1)
        parts = [float(slow[w].sum() / max(1, minutes.requests[w].sum())) for w in (stretch.inside, stretch.before)]
        why = (
            f"at the slowest {parts[0]:.1%} of the requests took over {_ms(stretch.limit)}, otherwise {parts[1]:.1%}, "
            "which minutes do by themselves"
        )
    data: dict[str, Any] = {
        "model": model, "since": None, "until": None, "stage": None, "event": None, "requests": [], "cause": None,
        "kind": None, "evidence": "none", "p99_ms": None, "stages": [], "because": why, "wrong": wrong,
    }  # fmt: skip
    if wrong is None:
        told = "" if since is None else f" since {_clock(since.timestamp())}"
        lines: Lines = [("✓", f"nothing above noise{told}, and no alert is open"), (" ", f"because   {why}")]
        return Result(verb="investigate", data=data, lines=tuple(lines), next=(f"ambidex monitor {model}",))
    data |= {k: wrong[k] for k in ("since", "event", "cause", "evidence")} | {"kind": wrong["kind"]}
    lines = [("■" if wrong["page"] else "▲", wrong["text"]), *_wrong_lines(wrong), (" ", f"not slow  {why}")]
    return Result(verb="investigate", data=data, lines=tuple(lines), next=wrong["next"])


# ---------------------------------------------------------------- facts


def _facts(
    house: House, model: str, minutes: Minutes, stretch: Stretch, stages: Sequence[Mapping[str, Any]],
    attributes: Sequence[Mapping[str, Any]], slow: Sequence[Mapping[str, Any]], event: Mapping[str, Any] | None,
) -> Facts:  # fmt: skip
    def per_request(values: Any, where: Any) -> float:
        return float(values[where].sum() / max(1, minutes.requests[where].sum()))

    def rate(where: Any) -> float:
        return float(minutes.requests[where].sum() / (60 * max(1, where.sum())))

    working = minutes.stages[:, 1:].sum(axis=1)  # all but queueing
    seats = 60.0 * max(1, len(minutes.workers))
    busy = tuple(float(working[w].sum() / (seats * max(1, w.sum()))) for w in (stretch.before, stretch.inside))
    slow_of = {}
    for worker, totals in minutes.workers.items():
        own = totals[stretch.inside]
        if own.sum():
            slow_of[worker] = float(own[:, stretch.bucket + 1 :].sum() / own.sum())
    whole = sum(float(r["total_us"]) for r in slow)
    labelled = _label_minutes(house.log, model, minutes.at)
    return Facts(
        stages=stages, attributes=attributes,
        rate=(rate(stretch.before), rate(stretch.inside)),
        rows=(per_request(minutes.rows, stretch.before), per_request(minutes.rows, stretch.inside)),
        busy=(busy[0], busy[1]),
        pause=sum(float(r["gc_us"] or 0) for r in slow) / whole if whole else 0.0,
        labels=(float(labelled[stretch.inside].mean()), float(labelled[stretch.before].mean())),
        workers=slow_of, event=event,
        cold=sum(bool(r["cold"]) for r in slow) / len(slow) if slow else 0.0,
    )  # fmt: skip


def _label_minutes(log: Path, model: str, at: Any) -> Any:
    """Whether labels came in, minute by minute."""
    if not len(at):
        return np.zeros(0)
    first = datetime.fromtimestamp(int(at[0]), UTC).replace(tzinfo=None)
    with log_view(log, model) as view:
        found = view.connection.execute(
            'SELECT DISTINCT CAST(epoch("at") AS BIGINT) // 60 FROM log WHERE kind = \'label\' AND "at" >= ?', [first]
        ).fetchall()
    there = {int(row[0]) for row in found}
    return np.asarray([float(int(minute) // 60 in there) for minute in at])


def _event(store: Store, model: str, began: float) -> dict[str, Any] | None:
    """The event nearest to the beginning, and not after its second minute."""
    near = [e for e in store.events(model=model, verbs=MOVES) if -NEAR_S <= _second(e) - began <= NEAR_S]
    near = [e for e in near if e.verb != "promote" or e.body.get("to") in ("live", "canary", "shadow")]
    if not near:
        return None
    e = min(near, key=lambda e: (e.verb not in ("promote", "rollback"), abs(_second(e) - began)))
    told = {"seq": e.seq, "at": e.at, "verb": e.verb, "version": e.version, "was": e.body.get("was")}
    return {**told, "text": _told(e)}


def _told(e: Event) -> str:
    at = _clock(_second(e))
    if e.verb in ("promote", "rollback"):
        return f"{e.model}@{e.version} {e.body.get('to', 'live')} at {at} ({e.verb})"
    return f"{e.verb} at {at}"


def _wrong(house: House, model: str, since: datetime | None) -> dict[str, Any] | None:
    """What the watcher knows to be wrong: open alerts, the columns that move with the loss, the worst slice."""
    seen = summary(house.store, model)
    alerts = [a for a in (seen or {}).get("alerts") or [] if not a.get("muted")]
    if seen is None or not alerts:
        return None
    first = min(alerts, key=lambda a: (a["level"] != "page", str(a["since"])))
    began = str(first["since"])
    drifted = [c["name"] for c in seen["columns"] if c.get("drifted")]
    worse = [r["column"] for r in seen.get("ranking") or [] if r["sign"] == "worse"]
    features = [n for n in worse if n in drifted][:3] or drifted[:3]
    second = _moment(began)
    # Rows come as they come, whatever answers them: a release explains harm, never inputs that moved.
    harmed = str(first["kind"]).startswith(HARM_KINDS)
    event = None if second is None or not harmed else _event(house.store, model, second)
    released = event is not None and event["verb"] == "promote" and event["was"] is not None
    if released and event is not None:
        cause, kind, grade = f"{event['text']} came with it", "release", "some"
    elif features:
        cause, kind, grade = f"the inputs moved: {', '.join(features)}", "inputs", "some" if not harmed else "weak"
    else:
        cause, kind, grade = "unexplained", None, "none"
    acts = (f"ambidex rollback {model}",) if released else (f"ambidex retrain {model}",) if harmed else ()
    return {
        "page": first["level"] == "page", "kind": kind, "since": began, "cause": cause, "evidence": grade,
        "text": f"{model}@{seen.get('version')}: {first['text']}", "alerts": [a["id"] for a in alerts],
        "features": features, "slice": next((s for a in alerts for s in a.get("slices") or ()), None),
        "event": event, "next": (*acts, f"ambidex monitor {model} --ack {first['id']}"),
    }  # fmt: skip


def _wrong_lines(wrong: dict[str, Any] | None) -> Lines:
    if wrong is None:
        return []
    lines: Lines = [(" ", f"wrong     since {wrong['since'][:16]}: {wrong['cause']}. {_graded(wrong['evidence'])}")]
    if wrong["features"]:
        lines.append((" ", f"features  {', '.join(wrong['features'])}"))
    if wrong["slice"]:
        lines.append((" ", f"slice     {wrong['slice']}"))
    return lines


# ---------------------------------------------------------------- one row


def explain_row(house: House, model: str, id: str, opened: Callable[[int], Any]) -> Result:
    """One prediction: what was asked, what was said, whether the same comes out again, and what is unusual in it.

    Args:
        house: The workspace.
        model: Model's name.
        id: As the answer gave it.
        opened: Opens a version: ``opened(3)`` has ``scorer``, ``schema`` and ``reference``.

    Raises:
        NotFound: ``data.no-id``.
    """
    found = find_prediction(house.log, model, id)
    if found is None:
        raise NotFound(
            "data.no-id", f"no prediction of {model} has the id {id[:60]!r}", where=f"prediction log of {model}",
            found="rows that are kept; `retain` removes older ones", do=f"ambidex monitor {model}",
        )  # fmt: skip
    version = opened(found.version)
    again, same = _again(version, found)
    unusual = _unusual(version, found.row)
    data: dict[str, Any] = {
        "model": model, "id": id, "version": found.version, "at": found.at, "arm": found.arm, "source": found.source,
        "row": found.row, "riders": found.riders, "p": found.p, "again": again, "same": same, "unusual": unusual,
        "labels": [label.get("label") for label in found.labels], "stages": found.stages, "error": found.error,
        "since": None, "stage": None, "event": None, "requests": [],
        "cause": None if not unusual else "unusual inputs: " + ", ".join(u["name"] for u in unusual),
        "evidence": "some" if unusual else "none",
    }  # fmt: skip
    mark: Mark = "■" if found.error or same is False else "✓"
    said = f"failed: {found.error}" if found.error else f"said {_score(found.p)}"
    lines: Lines = [(mark, f"{model}@{found.version} {said} at {found.at[:19]}Z")]
    told = {True: "the same comes out again", False: f"now it says {_score(again)}", None: "it cannot be scored again"}
    lines.append((" ", f"replay    {told[same]}"))
    lines += [(" ", f"unusual   {u['text']}") for u in unusual[:5]]
    if found.labels:
        lines.append((" ", f"label     {found.labels[-1].get('label')}"))
    if found.stages:
        parts = [f"{k.removesuffix('_us')} {v / 1000:.2f} ms" for k, v in found.stages.items()
                 if k.endswith("_us") and k not in ("gc_us",) and v]  # fmt: skip
        lines.append((" ", f"times     {', '.join(parts)}"))
    return Result(verb="investigate", data=data, lines=tuple(lines), next=(f"ambidex investigate {model}",))


def _again(version: Any, found: Prediction) -> tuple[Any, bool | None]:
    if found.error or not set(version.schema.names) <= set(found.row):
        return None, None  # dropped columns are not kept
    try:
        again = version.scorer.score({name: found.row[name] for name in version.schema.names})
    except Exception:  # a hashed column is no number any more
        return None, None
    again = list(again) if isinstance(again, tuple) else float(again)
    return again, bool(np.allclose(again, found.p, rtol=1e-9, atol=1e-12))


def _unusual(version: Any, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns whose value few rows of the reference have; the rarest first."""
    from ambidex.bundle.reference import cells_of, labels_of, slots

    out = []
    for name, entry in version.reference["columns"].items():
        if name not in row or not sum(entry["counts"]):
            continue
        value = row[name]
        cell = int(cells_of(entry, [np.nan if value is None and entry["kind"] == "number" else value])[0])
        share = entry["counts"][cell] / sum(entry["counts"])
        if share < 0.01 or slots(entry)[cell] == "unseen":
            label = labels_of(entry)[cell]
            shown = "missing" if value is None else number(value) if isinstance(value, float) else str(value)[:40]
            text = f"{name} {shown} ({label}: {share:.1%} of the rows it was trained on)"
            out.append({"name": name, "value": value, "share": share, "text": text})
    return sorted(out, key=lambda u: float(u["share"]))


def _score(p: Any) -> str:
    return ", ".join(f"{v:.3g}" for v in p) if isinstance(p, list | tuple) else "nothing" if p is None else f"{p:.4g}"


def _graded(grade: str) -> str:
    return {"strong": "Strong evidence", "some": "Some evidence", "weak": "Weak evidence"}.get(grade, "No evidence")


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def _second(event: Event) -> float:
    return datetime.fromisoformat(event.at).timestamp()


def _moment(text: str) -> float | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _clock(second: float) -> str:
    return datetime.fromtimestamp(second).astimezone().strftime("%H:%M")


def _iso(second: float) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat().replace("+00:00", "Z")
