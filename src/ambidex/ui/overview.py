"""The first page: what needs attention and what to do; then figures, answer times, next step, drift, versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from ambidex.records import ModelState
from ambidex.report.words import count, fixed, listing, number, plural, share
from ambidex.ui import advice
from ambidex.ui.drift import alert_rows, column_rows, watched
from ambidex.ui.investigate import after_release
from ambidex.ui.live import WINDOWS, Live, course, last
from ambidex.ui.looking import Look, moment, when
from ambidex.ui.models import rollout_of, version_row
from ambidex.ui.pictures import sparkline
from ambidex.ui.serving import answer_time, limit_of

__all__ = ["attention", "overview_page"]

Row = dict[str, Any]

SHOWN = 4
"""Columns and versions on the first page."""
_KINDS = {
    "harm": "errors above tolerance", "drift": "inputs moved", "rule": "a rule is broken",
    "level": "a service level is missed", "calibration": "probabilities are off", "slice": "one group is served worse",
}  # fmt: skip
RECENT = 3
"""Steps of a window whose last value is "now"; what is older is shown in the course only."""
SILENT = 2.5
"""Looks that may be missing before the page says that nobody monitors."""


def overview_page(look: Look) -> Row:
    """Everything on the first page."""
    states = look.models()
    found = {s.name: watched(look, s.name) for s in states}
    live = look.desk.live(look)
    needs = attention(look, states, found, live)
    state = look.chosen(states, first=next((n["model"] for n in needs if n.get("model") and n["level"] != "ok"), None))
    window = look.choice("window", tuple(WINDOWS), "1h")
    data: Row = {
        "needs": needs,
        "models": [s.name for s in states],
        "model": state.name if state else None,
        "window": window,
        "windows": {k: v[0] for k, v in WINDOWS.items()},
        "tiles": [],
        "time": None,
        "columns": [],
        "versions": [],
        "next": next_step(look),
        "empty": not states and not look.troubles,
    }
    if state is None:
        return data
    watch = found[state.name] or {}
    alerts = alert_rows(watch, look, state.name)
    spans = [
        {"since": a["since"], "text": "page"}
        for a in alerts
        if a["level"] == "page" and not a["muted"] and a["kind"] == "level"
    ]
    data["tiles"] = tiles(look, state, live, watch, window)
    data["time"] = answer_time(look, live, state, window, spans)
    columns = column_rows(watch.get("columns") or ())
    data["columns"] = columns[:SHOWN]
    data["columns_of"] = len(columns)
    data["watched"] = {"when": when(watch.get("at"), look.now), "rows": watch.get("rows"), "text": watch.get("text")}
    records = look.versions(state.name, limit=SHOWN)
    data["versions"] = [version_row(look, state, r) for r in records]
    return data


# ---------------------------------------------------------------- what needs attention


def attention(
    look: Look, states: Sequence[ModelState], found: Mapping[str, Mapping[str, Any] | None], live: Live
) -> list[Row]:
    """What needs somebody, the most urgent first; one quiet line if nothing does."""
    needs: list[Row] = []
    for state in states:
        watch = found.get(state.name) or {}
        for alert in alert_rows(watch, look, state.name):
            if not alert["muted"]:
                needs.append(_of_alert(look, state, alert))
        needs += _of_rollout(look, state)
        needs += _of_pause(look, state)
        needs += _of_silence(look, state, found.get(state.name), live)
        needs += _of_waiting(look, state)
    needs += _of_watch(look, states)
    needs += _of_server(look, states, live)
    needs += [
        {
            "level": "bad",
            "title": str(t["message"])[:1].upper() + str(t["message"])[1:],
            "text": f"{t['what']} could not be read, so this page is incomplete. Do: {t['do'] or 'ambidex doctor'}",
            "actions": [],
            "rank": 1,
            "code": t["code"],
        }
        for t in look.troubles
    ]
    needs.sort(key=lambda n: n["rank"])
    if not needs:
        needs.append(_quiet(look, states, found))
    return needs


def _of_alert(look: Look, state: ModelState, alert: Row) -> Row:
    page = alert["level"] == "page"
    version = alert["version"]
    mine = version is None or version == state.live
    text = f"{_begun(str(alert['text']))}.{after_release(look, state, str(alert['since'])) if page and mine else ''}"
    kind = _KINDS.get(str(alert["kind"]), str(alert["kind"] or "alert").replace("-", " "))
    actions = [
        _link(f"/investigate/{state.name}?since={alert['since']}", "Investigate", primary=page)
        if page
        else _link(f"/drift?model={state.name}", "See the columns", primary=True)
    ]
    if page and mine and state.live is not None and state.previous is not None and look.may("rollback"):
        actions.append(_link(f"/models/{state.name}/rollback", f"Roll back to @{state.previous}"))
    elif look.may("ack"):
        actions.append(_link(f"/models/{state.name}/alerts/{alert['id']}", "Acknowledge"))
    return {
        "level": "bad" if page else "warn",
        "model": state.name,
        "rank": 0 if page and mine else 2 if page else 5,
        "title": f"{state.name}{f'@{version}' if version else ''}: {kind} since {alert['when']}",
        "text": text,
        "actions": actions,
        "id": alert["id"],
    }


def _of_rollout(look: Look, state: ModelState) -> list[Row]:
    found = rollout_of(look, state.name)
    if not found or found.get("state") not in ("running", "ready", "acting"):
        return []
    name, number_ = f"{state.name}@{found['version']}", found["version"]
    ready = found["state"] == "ready"
    where = f"in {found['stage']}" + (
        f" on {share(found['share'], 0)} of the units" if found["stage"] == "canary" else ""
    )
    text = str((ready and found.get("because")) or found.get("text") or f"Compared with @{found['against']}.")
    tripped = [t["text"] for t in found.get("trips") or () if t.get("outcome") == "supported"]
    actions = [_link(f"/models/{state.name}", "See the roll-out", primary=not ready)]
    if ready and look.may("promote"):
        actions.insert(0, _link(f"/models/{state.name}/{number_}/promote?to=live", "Promote", primary=True))
    return [
        {
            "level": "bad" if tripped else "warn" if ready else "none", "model": state.name,
            "rank": 1.5 if tripped else 3 if ready else 7,
            "title": f"{name} {where}: shown to be not worse, a person decides" if ready else f"{name} is {where}",
            "text": _begun(tripped[0] if tripped else text), "actions": actions,
        }
    ]  # fmt: skip


def _of_watch(look: Look, states: Sequence[ModelState]) -> list[Row]:
    """Parts of `watch` that fail now."""
    from ambidex.watch.loop import troubles

    found = look.attempt("the state of watch", lambda: troubles(look.house, [s.name for s in states]), list[Row]())
    return [
        {
            "level": "warn", "model": t["model"], "rank": 3.5, "text": _begun(str(t["text"])), "id": t["id"],
            "title": f"{t['model']}: {t['part']} fails in watch since {when(t['since'], look.now)}",
            "actions": [_link(f"/models/{t['model']}", f"See {t['model']}", primary=True)],
        }
        for t in found
    ]  # fmt: skip


def _begun(text: str) -> str:
    return text[:1].upper() + text[1:]


def _of_pause(look: Look, state: ModelState) -> list[Row]:
    if state.paused is None:
        return []
    actions = [_link(f"/models/{state.name}/resume", "Resume", primary=True)] if look.may("resume") else []
    return [
        {
            "level": "warn",
            "model": state.name,
            "rank": 4,
            "title": f"{state.name}: retraining is paused",
            "text": f"{state.paused[:1].upper()}{state.paused[1:]}. Until it is resumed no new version is trained.",
            "actions": [*actions, _link(f"/models/{state.name}", "See the log")],
        }
    ]


def _of_silence(look: Look, state: ModelState, watch: Mapping[str, Any] | None, live: Live) -> list[Row]:
    """Nobody watches: the page must not look quiet because monitoring is dead."""
    if state.live is None:
        return []
    every = timedelta(days=365.0 / look.house.settings.watch.looks)
    at = moment(watch.get("at")) if watch else None
    if at is not None and look.now - at <= every * SILENT:
        return []
    if at is None and not live.minutes(state.name, 0.0) and not watch:
        return []  # nothing was predicted yet as far as is known, so there is nothing to watch
    run = f"Run: ambidex monitor {state.name}"
    row: Row = {"level": "warn", "model": state.name, "rank": 4.5}
    if at is None:
        row |= {"title": f"{state.name}: monitor has never run", "text": f"Nobody looks at what it predicts. {run}"}
        return [{**row, "actions": [_link(f"/drift?model={state.name}", "See its drift page", primary=True)]}]
    row |= {
        "title": f"{state.name}: monitor has not run since {when(at, look.now)}",
        "text": f"Drift and errors shown below are as old as that. {run}",
    }
    return [{**row, "actions": [_link(f"/drift?model={state.name}", "See what it found last", primary=True)]}]


def _of_server(look: Look, states: Sequence[ModelState], live: Live) -> list[Row]:
    """A server answered today and none runs now."""
    if live.running or live.written is None or look.now.timestamp() - live.written > 86400:
        return []
    names = [s.name for s in states if s.live is not None and live.minutes(s.name, look.now.timestamp() - 86400)]
    if not names:
        return []
    since = when(datetime.fromtimestamp(live.written, UTC), look.now)
    return [
        {
            "level": "warn", "model": names[0], "rank": 1.2, "title": f"No server runs since {since}",
            "text": f"{listing(names[:4])} answered until then. Run: ambidex serve",
            "actions": [_link(f"/serving?model={names[0]}", "See what it measured last", primary=True)],
        }
    ]  # fmt: skip


def _of_waiting(look: Look, state: ModelState) -> list[Row]:
    if state.candidate is None:
        return []
    judged = look.judged(state.name, state.candidate)
    if judged is None or not judged.passed or (state.live is not None and judged.against != state.live):
        return []
    actions = (
        [_link(f"/models/{state.name}/{state.candidate}/promote?to=live", "Promote", primary=True)]
        if look.may("promote")
        else []
    )
    return [
        {
            "level": "none",
            "model": state.name,
            "rank": 8,
            "title": f"{state.name}@{state.candidate} passed and is not live",
            "text": f"{plural(len(judged.gates), 'gate')} supported, judged {when(judged.at, look.now)}.",
            "actions": [*actions, _link(f"/models/{state.name}/{state.candidate}", "See its gates")],
        }
    ]


def _quiet(look: Look, states: Sequence[ModelState], found: Mapping[str, Mapping[str, Any] | None]) -> Row:
    live = sum(s.live is not None for s in states)
    looks = [at for w in found.values() if w and (at := moment(w.get("at")))]
    if not states:
        return {
            "level": "none",
            "rank": 9,
            "title": "Nothing runs here yet",
            "actions": [],
            "text": "Put a table into data/ and ask it something, or let the demo walk the whole road.",
        }
    watched_at = f" The last look was at {when(max(looks), look.now)}." if looks else " Nothing has been monitored yet."
    return {
        "level": "ok",
        "rank": 9,
        "title": "Nothing needs attention",
        "text": f"{plural(live, 'model')} live, no alert is open.{watched_at}",
        "actions": [_link("/models", "See the models")],
    }


def _link(href: str, text: str, *, primary: bool = False) -> Row:
    return {"href": href, "text": text, "primary": primary}


# ---------------------------------------------------------------- five figures


def tiles(look: Look, state: ModelState, live: Live, watch: Mapping[str, Any], window: str) -> list[Row]:
    """Predictions, answer time, errors, drift, performance: value, state, course."""
    now = look.now.timestamp()
    c = course(live, state.name, window, now)
    running = live.running and live.serves(state.name)
    idle = ("none", "○", "not served") if not running else ("none", "○", "no requests")
    rate, p99, errors = last(c.rows[-RECENT:]), last(c.p99[-RECENT:]), last(c.errors[-RECENT:])
    limit = limit_of(look, state.name)
    slow = limit is not None and p99 is not None and p99 > limit
    level = {str(x.get("name")): x for x in watch.get("levels") or ()}
    failing = bool(errors and errors > 0.001)
    out = [
        _tile(
            "Predictions",
            _rate(rate),
            "a second",
            ("ok", "●", "serving") if running and rate else idle,
            c.rows,
            f"rows scored a second over the {WINDOWS[window][0]}",
        ),
        _tile(
            "p99 time",
            "–" if p99 is None else fixed(p99, 0 if p99 >= 10 else 1),
            "ms",
            idle
            if p99 is None
            else ("none", "○", "no limit")
            if limit is None
            else ("bad", "■", f"over {limit:g}")
            if slow
            else ("ok", "●", f"under {limit:g}"),
            c.p99,
            "99% of the requests are answered faster",
            paint="bad" if slow else "c1",
        ),
        _tile(
            "Failures",
            "–" if errors is None else fixed(100 * errors, 2),
            "%",
            idle if errors is None else ("bad", "■", "over 0.1") if failing else ("ok", "●", "under 0.1"),
            c.errors,
            "share of requests that failed on our side",
            paint="bad" if failing else "c1",
        ),
        _drift_tile(watch),
        _loss_tile(watch),
    ]
    for tile, name in zip(out[1:3], ("p99", "availability"), strict=True):
        if level.get(name, {}).get("alert") == "page":
            tile |= {"tone": "bad", "mark": "■", "word": "budget burns"}
    return out


def _rate(rate: float | None) -> str:
    return "–" if rate is None else count(rate) if rate >= 10 else number(rate)


def _drift_tile(watch: Mapping[str, Any]) -> Row:
    columns = [c for c in watch.get("columns") or () if c.get("name") != "(prediction)"]
    moved = sum(bool(c.get("drifted")) for c in columns)
    inside = sum(c.get("outcome") == "inside" for c in columns)
    history = [h.get("drifted") for h in watch.get("history") or ()]
    state = (
        ("none", "○", "no look yet")
        if not columns
        else ("warn", "▲", "look")
        if moved
        else ("ok", "●", "same")
        if inside == len(columns)
        else ("none", "○", "open")
    )
    return _tile(
        "Drifting features",
        str(moved) if columns else "–",
        f"of {len(columns)}" if columns else "",
        state,
        history,
        "features outside their margin, look by look",
    )


def _loss_tile(watch: Mapping[str, Any]) -> Row:
    loss = watch.get("loss") or {}
    history = [h.get("loss") for h in watch.get("history") or ()]
    n = loss.get("n") or 0
    harmed = loss.get("outcome") == "supported" or any(
        a.get("kind") == "harm" and not a.get("muted") for a in watch.get("alerts") or ()
    )
    state = (
        ("none", "○", "no labels yet")
        if not n
        else ("bad", "■", f"over {number(loss.get('limit'))}")
        if harmed
        else ("ok", "●", "within limit")
        if loss.get("outcome") == "refuted"
        else ("none", "○", "open")
    )
    labels = watch.get("labels") or {}
    side = share(labels["coverage"], 0) + " labelled" if labels.get("coverage") is not None else ""
    return _tile(
        "Model error",
        number(loss.get("value")) if n else "–",
        side if n else "",
        state,
        history,
        "mean loss of the labelled predictions, look by look",
        paint="bad" if harmed else "c1",
    )


def _tile(
    name: str,
    value: str,
    unit: str,
    state: tuple[str, str, str],
    values: Sequence[Any],
    said: str,
    *,
    paint: str = "c1",
) -> Row:
    tone, mark, word = state
    return {
        "name": name,
        "value": value,
        "unit": unit,
        "tone": tone,
        "mark": mark,
        "word": word,
        "said": said,
        "picture": sparkline(list(values), f"{name}: {said}", paint=paint),
        "course": [v for v in values if v is not None],
    }


# ---------------------------------------------------------------- next step


def next_step(look: Look, *, wait: float = 1.5) -> Row | None:
    """What the project needs next; None while it is read, or where the reader may not see it."""
    if not look.desk.whole(look):
        return None
    newest = look.events(limit=1)
    found = look.attempt(
        "the next step", lambda: look.desk.next_step(look.house).get(newest[0].seq if newest else 0, wait=wait), None
    )
    if found is None:
        return None
    return advice.shown(found)
