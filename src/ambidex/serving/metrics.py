"""``/metrics``: what all workers of this server have counted, as Prometheus reads it.

Each worker leaves a snapshot of its counters a second; any worker answers with the sum of all. The counters of a
worker that died stay in it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from ambidex.data.run_folder import BOUNDS, STAGES
from ambidex.version import __version__

__all__ = ["OPEN", "PLAIN", "render"]

PLAIN = b"text/plain; version=0.0.4; charset=utf-8"
OPEN = b"application/openmetrics-text; version=1.0.0; charset=utf-8"
_ESCAPED = re.compile(r'[\\"\n]')

Sample = tuple[Mapping[str, Any], float]


def render(
    workers: Sequence[Mapping[str, Any]],
    live: Mapping[str, int],
    *,
    models: Collection[str] = (),
    openmetrics: bool = False,
) -> bytes:
    """The text.

    Args:
        workers: Snapshots, as ``data.run_folder.read_run`` describes them, with ``statuses`` and ``refusals``.
        live: Live version of each model.
        models: Only these models' figures; empty: all.
        openmetrics: As OpenMetrics, with exemplars, instead of Prometheus' own text.
    """
    page = _Page(openmetrics)
    here = [w for w in workers if w.get("alive", True)]
    page.gauge("ambidex_build_info", "Version of ambidex.", [({"version": __version__}, 1)])
    page.gauge("ambidex_workers", "Worker processes.", [({}, len(here))])
    page.gauge(
        "ambidex_worker_memory_bytes", "Memory that a worker holds.",
        [({"worker": w.get("index", 0)}, w.get("rss", 0)) for w in here],
    )  # fmt: skip
    for key, text in (("connections", "Open connections."), ("in_flight", "Requests that wait for their answer.")):
        page.gauge(f"ambidex_{key}", text, [({}, sum(w.get(key, 0) for w in here))])
    statuses = _added(w.get("statuses", {}) for w in workers)
    page.counter("ambidex_requests", "Requests answered.", [({}, sum(statuses.values()))])
    page.counter("ambidex_answers", "Answers by status.", [({"status": s}, n) for s, n in sorted(statuses.items())])
    refusals = _added(w.get("refusals", {}) for w in workers)
    page.counter("ambidex_refusals", "Refusals by code.", [({"code": c}, n) for c, n in sorted(refusals.items())])
    counts = _added(w.get("counts", {}) for w in workers)
    page.counter("ambidex_rows", "Rows predicted.", [({}, counts.get("rows", 0))])
    page.counter("ambidex_labels", "Labels kept.", [({}, counts.get("labels", 0))])
    page.counter("ambidex_model_failures", "Requests that a model failed on.", [({}, counts.get("model-failed", 0))])
    unlogged = _added(w.get("unlogged", {}) for w in workers)
    page.counter(
        "ambidex_unlogged_rows", "Rows answered that the prediction log could not take.",
        [({"model": m}, n) for m, n in sorted(unlogged.items()) if not models or m in models],
    )  # fmt: skip
    page.counter(
        "ambidex_gc_pause_seconds", "Time the garbage collector took.",
        [({}, sum(w.get("gc", {}).get("seconds", 0.0) for w in workers))],
    )  # fmt: skip
    page.gauge(
        "ambidex_live_version", "Number of the version that answers.",
        [({"model": m}, n) for m, n in sorted(live.items()) if not models or m in models],
    )  # fmt: skip
    _versions(page, [v for w in workers for v in w.get("versions", ())], models)
    return page.done()


def _versions(page: _Page, versions: Iterable[Mapping[str, Any]], models: Collection[str]) -> None:
    """What is counted by version, and the histograms of its stages."""
    by_version: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for version in versions:
        if not models or version["model"] in models:
            by_version.setdefault((version["model"], version["version"]), []).append(version)
    labelled = [({"model": m, "version": n}, found) for (m, n), found in sorted(by_version.items())]
    for key, text in (
        ("requests", "Requests for predictions."), ("rows", "Rows predicted."),
        ("failed", "Requests that failed (5xx)."),
        ("refused", "Requests refused (4xx)."), ("shed", "Requests refused for load."),
        ("shadow_dropped", "Requests that the shadow did not score for load."),
    ):  # fmt: skip
        samples = [(labels, sum(v.get(key, 0) for v in found)) for labels, found in labelled]
        page.counter(f"ambidex_version_{key}", text, samples)
    whole = [(labels, _stage(found, "total")) for labels, found in labelled]
    page.histogram("ambidex_request_duration_seconds", "From a whole request to its answer.", whole)
    parts = [({**labels, "stage": s}, _stage(found, s)) for labels, found in labelled for s in STAGES]
    page.histogram("ambidex_stage_duration_seconds", "The stages of a request.", parts)


def _added(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for one in several:
        for key, value in one.items():
            total[str(key)] = total.get(str(key), 0) + value
    return total


def _stage(found: Sequence[Mapping[str, Any]], stage: str) -> dict[str, Any]:
    stages = [v["stages"][stage] for v in found]
    exemplars: dict[int, Any] = {}
    if stage == "total":
        for version in found:
            exemplars |= {int(k): e for k, e in version.get("exemplars", {}).items()}
    counts = [sum(column) for column in zip(*(s["counts"] for s in stages), strict=True)]
    return {"sum": sum(s["sum"] for s in stages), "counts": counts, "exemplars": exemplars}


class _Page:
    """Puts families of metrics together."""

    def __init__(self, openmetrics: bool) -> None:
        self._open = openmetrics
        self._lines: list[str] = []

    def gauge(self, name: str, text: str, samples: Sequence[Sample]) -> None:
        self._family(name, text, "gauge")
        self._lines += [f"{name}{_labels(labels)} {_number(value)}" for labels, value in samples]

    def counter(self, name: str, text: str, samples: Sequence[Sample]) -> None:
        self._family(name if self._open else f"{name}_total", text, "counter")
        self._lines += [f"{name}_total{_labels(labels)} {_number(value)}" for labels, value in samples]

    def histogram(self, name: str, text: str, found: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> None:
        self._family(name, text, "histogram")
        for labels, histogram in found:
            seen = 0
            for k, count in enumerate(histogram["counts"]):
                seen += count
                bound = repr(BOUNDS[k]) if k < len(BOUNDS) else "+Inf"
                line = f"{name}_bucket{_labels({**labels, 'le': bound})} {seen}"
                self._lines.append(line + self._exemplar(histogram["exemplars"].get(k)))
            self._lines.append(f"{name}_sum{_labels(labels)} {_number(histogram['sum'])}")
            self._lines.append(f"{name}_count{_labels(labels)} {seen}")

    def done(self) -> bytes:
        return "\n".join([*self._lines, *(["# EOF"] if self._open else []), ""]).encode()

    def _family(self, name: str, text: str, kind: str) -> None:
        self._lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]

    def _exemplar(self, kept: Sequence[Any] | None) -> str:
        if kept is None or not self._open:
            return ""
        trace, seconds, at = kept
        return f" # {_labels({'trace_id': trace})} {_number(seconds)} {at:.3f}"


def _labels(labels: Mapping[str, Any]) -> str:
    """Label pairs in braces, escaped.

    >>> _labels({"model": 'a"b'}), _labels({})
    ('{model="a\\\\"b"}', '')
    """
    said = ",".join(f'{k}="{_ESCAPED.sub(_escape, str(v))}"' for k, v in labels.items())
    return f"{{{said}}}" if said else ""


def _escape(found: re.Match[str]) -> str:
    return "\\n" if found[0] == "\n" else f"\\{found[0]}"


def _number(value: float) -> str:
    return repr(value) if isinstance(value, int) else repr(float(value))
