"""The serving page: how fast, how much, which stage, which workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambidex.data.run_folder import BOUNDS, STAGES
from ambidex.records import ModelState
from ambidex.report.words import count, fixed, share
from ambidex.ui.live import BUCKETS, WINDOWS, Course, Live, course, last, quantile
from ambidex.ui.looking import Look, moment, when
from ambidex.ui.pictures import Line, Mark, Span, lines, share_bar

__all__ = ["answer_time", "limit_of", "releases", "serving_page", "stage_rows"]

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
    trouble = _over(found, limit)
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
        "windows": {k: v[0] for k, v in WINDOWS.items()}, "running": live.running,
        "written": _iso(live.written) if live.written else None, "workers": [_worker(w) for w in live.workers],
        "stages": [], "rates": [], "time": None,
    }  # fmt: skip
    if state is None:
        return data
    data["time"] = answer_time(look, live, state, window)
    data["stages"] = stage_rows(live, state, window, look.now.timestamp())
    found = course(live, state.name, window, look.now.timestamp())
    data["rates"] = [
        {"what": "requests", "now": _per_second(last(found.rate)), "most": _per_second(_most(found.rate))},
        {"what": "rows", "now": _per_second(last(found.rows)), "most": _per_second(_most(found.rows))},
        {"what": "failed", "now": share(last(found.errors), 2), "most": share(_most(found.errors), 2)},
        {"what": "turned away", "now": share(last(found.shed), 2), "most": share(_most(found.shed), 2)},
    ]
    return data


def _over(found: Course, limit: float | None) -> list[Span]:
    """Stretches of two steps and more in which the 99th percentile lay above what is promised."""
    spans: list[Span] = []
    if limit is None:
        return spans
    step = found.times[1] - found.times[0]
    began: float | None = None
    for t, value in [*zip(found.times, found.p99, strict=True), (found.times[-1] + step, None)]:
        over = value is not None and value > limit
        if over and began is None:
            began = t
        elif not over and began is not None:
            if t - began >= 2 * step:
                spans.append(Span(began, t - step if t < found.times[-1] + step else found.times[-1], "over the limit"))
            began = None
    return spans


def _worker(said: Row) -> Row:
    """A worker as the page lists it."""
    return {
        "index": said.get("index"), "pid": said.get("pid"), "alive": bool(said.get("alive")),
        "refs": [str(r) for r in said.get("refs") or ()], "rss": said.get("rss") or None,
        "started": _iso(float(said["started"])) if said.get("started") else None,
        "unlogged": sum((said.get("unlogged") or {}).values()), "connections": said.get("connections"),
        "in_flight": said.get("in_flight"), "gc": said.get("gc"),
    }  # fmt: skip


def stage_rows(live: Live, state: ModelState, window: str, now: float) -> list[Row]:
    """Where the time of a request goes over a window, a table a version, the live one first."""
    seconds: dict[int, dict[str, float]] = {}
    counts: dict[int, dict[str, list[int]]] = {}
    for minute in live.minutes(state.name, now // 60 * 60 - WINDOWS[window][1]):
        mine = seconds.setdefault(minute.version, dict.fromkeys(STAGES, 0.0))
        buckets = counts.setdefault(minute.version, {s: [0] * BUCKETS for s in STAGES})
        for stage, (spent, *seen) in minute.stages.items():
            mine[stage] += spent
            for i, n in enumerate(seen):
                buckets[stage][i] += int(n)
    out = []
    for version in sorted(seconds, key=lambda v: (v != state.live, -v)):
        whole = sum(seconds[version].values())
        observed = sum(counts[version][STAGES[0]])
        if not observed or not whole:
            continue
        rows: list[Row] = []
        for stage in STAGES:
            spent, slowest = seconds[version][stage], quantile(BOUNDS, counts[version][stage], 0.99)
            rows.append(
                {
                    "stage": stage, "mean_us": 1e6 * spent / observed, "share": spent / whole, "observed": observed,
                    "mean": f"{fixed(1e6 * spent / observed, 1)} µs", "part": share(spent / whole, 0),
                    "p99_ms": None if slowest is None else 1000 * slowest, "p99": _at_most(slowest),
                }
            )  # fmt: skip
        longest = max(rows, key=lambda r: float(r["share"]))
        said = f"@{version}: {longest['stage']} takes {longest['part']} of the time"
        out.append(
            {
                "version": version, "live": version == state.live, "rows": rows, "sentence": said, "observed": observed,
                "picture": share_bar([(str(r["stage"]), float(r["share"])) for r in rows], said),
            }
        )  # fmt: skip
    return out[:6]


def _at_most(seconds: float | None) -> str:
    """A 99th percentile; below the first bucket nothing finer is known."""
    if seconds is None:
        return "–"
    return "under 0.1 ms" if seconds <= BOUNDS[0] else f"{fixed(1000 * seconds, 1)} ms"


def _per_second(value: float | None) -> str:
    return "–" if value is None else f"{count(value) if value >= 10 else fixed(value, 2)} a second"


def _most(values: Sequence[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)
