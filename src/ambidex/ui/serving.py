"""The serving page: how fast, how much, which stage, which workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambidex.records import ModelState
from ambidex.report.words import count, fixed, share
from ambidex.ui.live import WINDOWS, Course, Live, course, last
from ambidex.ui.looking import Look, moment, when
from ambidex.ui.pictures import Line, Mark, Span, lines, share_bar

__all__ = ["STAGES", "answer_time", "limit_of", "releases", "serving_page", "stage_rows"]

STAGES = ("queue", "parse", "features", "predict", "serialise", "log")

Row = dict[str, Any]


def limit_of(look: Look, model: str) -> float | None:
    """The answer time that is promised for a model, milliseconds; None where ambidex.toml promises none."""
    declared = look.house.settings.models.get(model)
    if declared is None:
        return None
    promised = getattr(declared, "p99_ms", None)
    return declared.limits.latency_ms if promised is None else float(promised)


def releases(look: Look, model: str) -> list[Row]:
    """The last moves of live."""
    events = look.events("promote", "rollback", model=model, limit=20)
    live = [e for e in events if e.verb == "rollback" or e.body.get("to") == "live"]
    return [{"at": e.at, "version": e.version, "text": f"@{e.version} live {when(e.at, look.now)}"} for e in live]


def answer_time(look: Look, live: Live, state: ModelState, window: str, spans: Sequence[Row] = ()) -> Row:
    """Answer times over a window: the course, the limit, releases and trouble, drawn and as numbers."""
    now = look.now.timestamp()
    found = course(live, state.name, window, now)
    limit = limit_of(look, state.name)
    known = any(v is not None for v in found.p99)
    shown: Row = {
        "window": window, "words": WINDOWS[window][0], "limit": limit, "known": known,
        "rows": [
            {
                "at": _iso(t), "when": when(_iso(t), look.now), "p50": p50, "p95": p95, "p99": p99, "requests": rate,
                "errors": err,
            }
            for t, p50, p95, p99, rate, err in zip(
                found.times, found.p50, found.p95, found.p99, found.rate, found.errors, strict=True
            )
            if p99 is not None
        ],
    }  # fmt: skip
    if known:
        shown["sentence"] = _sentence(found, limit)
        shown["picture"] = _drawn(
            look, found, limit, releases(look, state.name), spans, shown["sentence"], narrow=False
        )
        shown["slim"] = _drawn(look, found, limit, releases(look, state.name), spans, shown["sentence"], narrow=True)
    return shown


def _sentence(found: Course, limit: float | None) -> str:
    said = (
        f"Answer time now: half within {fixed(last(found.p50), 1)} ms, 95% within {fixed(last(found.p95), 1)} ms, "
        f"99% within {fixed(last(found.p99), 1)} ms"
    )
    return said + (f"; the limit is {limit:g} ms." if limit is not None else ".")


def _drawn(
    look: Look,
    found: Course,
    limit: float | None,
    moved: Sequence[Row],
    spans: Sequence[Row],
    said: str,
    *,
    narrow: bool,
) -> Any:
    first, final = found.times[0], found.times[-1]
    marks = []
    for m in reversed(moved):
        at = moment(m["at"])
        if at is not None and first <= at.timestamp() <= final + 60:
            marks.append(Mark(at.timestamp(), m["text"]))
    trouble = []
    for span in spans:
        since, until = moment(span["since"]), moment(span.get("until")) or look.now
        if since is not None and until.timestamp() > first:
            trouble.append(Span(since.timestamp(), until.timestamp(), str(span["text"])))
    places = 3 if narrow else 5
    step = max(1, (len(found.times) - 1) // (places - 1))
    labels = [(t, when(_iso(t), look.now).rpartition(" ")[2]) for t in found.times[::step]]
    return lines(
        found.times,
        [Line("p99", "worst", found.p99), Line("p95", "c2", found.p95), Line("p50", "c1", found.p50)],
        said,
        labels=labels,
        limit=limit,
        limit_text=f"limit {limit:g} ms" if limit is not None else "",
        marks=marks,
        spans=trouble,
        narrow=narrow,
    )


def _iso(seconds: float) -> str:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def serving_page(look: Look) -> Row:
    """Stage times, rates and workers of one model."""
    states = look.models()
    state = look.chosen(states)
    window = look.choice("window", tuple(WINDOWS), "1h")
    live = look.desk.live(look)
    data: Row = {
        "models": [s.name for s in states], "model": state.name if state else None, "window": window,
        "windows": {k: v[0] for k, v in WINDOWS.items()}, "running": live.running(look.now.timestamp()),
        "written": _iso(live.newest) if live.newest else None, "workers": live.workers, "stages": [], "rates": [],
        "time": None,
    }  # fmt: skip
    if state is None:
        return data
    data["time"] = answer_time(look, live, state, window)
    data["stages"] = stage_rows(live, state)
    found = course(live, state.name, window, look.now.timestamp())
    data["rates"] = [
        {"what": "requests", "now": _per_second(last(found.rate)), "most": _per_second(_most(found.rate))},
        {"what": "rows", "now": _per_second(last(found.rows)), "most": _per_second(_most(found.rows))},
        {"what": "failed", "now": share(last(found.errors), 2), "most": share(_most(found.errors), 2)},
        {"what": "turned away", "now": share(last(found.shed), 2), "most": share(_most(found.shed), 2)},
    ]
    return data


def stage_rows(live: Live, state: ModelState) -> list[Row]:
    """Where the time of a request goes, a row a version and a stage, newest version first."""
    out = []
    versions = live.stages.get(state.name, {})
    for version in sorted(versions, reverse=True):
        named = {name: (seconds, n) for name, seconds, n in versions[version]}
        parts = [(name, *named[name]) for name in (*STAGES, *(n for n in named if n not in STAGES)) if name in named]
        whole = sum(seconds for _, seconds, _ in parts) or 1.0
        rows: list[Row] = [
            {
                "stage": name, "mean_us": 1e6 * seconds / n if n else None, "share": seconds / whole, "observed": n,
                "mean": f"{fixed(1e6 * seconds / n, 1)} µs" if n else "–", "part": share(seconds / whole, 0),
            }
            for name, seconds, n in parts
        ]  # fmt: skip
        if not any(r["observed"] for r in rows):
            continue
        longest = max(rows, key=lambda r: r["share"])
        said = f"@{version}: {longest['stage']} takes {longest['part']} of the time"
        out.append({
            "version": version, "live": version == state.live, "rows": rows, "sentence": said,
            "picture": share_bar([(r["stage"], r["share"]) for r in rows], said),
        })  # fmt: skip
    return out[:6]


def _per_second(value: float | None) -> str:
    return "–" if value is None else f"{count(value) if value >= 10 else fixed(value, 2)} a second"


def _most(values: Sequence[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)
