"""/metrics: every worker is in the sum, and Prometheus' own parser reads it."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ambidex.data.run_folder import BOUNDS, STAGES
from ambidex.serving.metrics import render
from serving.serving_support import JSON, ROW, VALID, Server

LINE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)*)\})? (-?[0-9.e+-]+|\+Inf)(?: # \{.*\} \S+ \S+)?')
PAIR = re.compile(r'([a-z_]+)="((?:[^"\\\n]|\\.)*)"')

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parse(text: str) -> Samples:
    """Every sample, or an assertion: a strict reading of the text format."""
    found: Samples = {}
    kinds: dict[str, str] = {}
    for line in text.removesuffix("# EOF\n").splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in kinds, name
            kinds[name] = kind
        elif not line.startswith("# HELP "):
            match = LINE.fullmatch(line)
            assert match, line
            key = (match[1], frozenset(PAIR.findall(match[2] or "")))
            assert key not in found, line
            assert any(match[1] == n or match[1].startswith(f"{n}_") for n in kinds), line
            found[key] = float(match[3].replace("+Inf", "inf"))
    return found


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0.0)


def scrape(server: Server, accept: str | None = None) -> str:
    status, headers, said = server.ask("GET", "/metrics", None, {"Accept": accept} if accept else {})
    assert status == 200 and headers["content-type"].startswith(
        "application/openmetrics" if accept else "text/plain; v"
    )
    return said.decode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("metrics") / "s", workers=2) as running:
        yield running


def settled(server: Server, name: str, wanted: float, **labels: str) -> Samples:
    """Samples once the workers' snapshots hold what was asked: they are written once a second."""
    end = time.monotonic() + 10
    while value(samples := parse(scrape(server)), name, **labels) != wanted:
        assert time.monotonic() < end, (name, value(samples, name, **labels), wanted)
        time.sleep(0.2)
    return samples


def test_all_workers_are_summed(server: Server) -> None:
    for _ in range(30):
        assert server.post("/predict/churn", {"rows": [ROW] * 2})[0] == 200
    for _ in range(4):
        assert server.post("/predict/churn", {"rows": [{}]})[0] == 422
    assert server.post("/predict/nobody", VALID)[0] == 404
    assert server.post("/predict/churn@11", {"rows": [{**ROW, "n": 50}]})[0] == 500
    assert server.post("/feedback/churn", {"labels": [{"id": "a-1", "label": "1"}] * 3})[0] == 200
    samples = settled(server, "ambidex_rows_total", 60)
    assert value(samples, "ambidex_answers_total", status="422") == 4
    assert value(samples, "ambidex_refusals_total", code="http.column-missing") == 4
    assert value(samples, "ambidex_refusals_total", code="data.no-model") == 1
    assert value(samples, "ambidex_model_failures_total") == 1
    assert value(samples, "ambidex_labels_total") == 3
    assert value(samples, "ambidex_live_version", model="churn") == 1
    assert value(samples, "ambidex_workers") == 2
    assert value(samples, "ambidex_connections") >= 1
    assert value(samples, "ambidex_version_refused_total", model="churn", version="1") == 4
    assert value(samples, "ambidex_unlogged_rows_total", model="churn") == 0
    requests = value(samples, "ambidex_version_requests_total", model="churn", version="1")
    assert requests == 30
    for stage in STAGES:
        of = {"model": "churn", "version": "1", "stage": stage}
        assert value(samples, "ambidex_stage_duration_seconds_count", **of) == requests
        assert value(samples, "ambidex_stage_duration_seconds_bucket", le="+Inf", **of) == requests
        steps = [value(samples, "ambidex_stage_duration_seconds_bucket", le=repr(b), **of) for b in BOUNDS]
        assert steps == sorted(steps)
    whole = value(samples, "ambidex_request_duration_seconds_sum", model="churn", version="1")
    parts = [value(samples, "ambidex_stage_duration_seconds_sum", model="churn", version="1", stage=s) for s in STAGES]
    assert whole == pytest.approx(sum(parts), rel=0.01) and whole > 0


def test_a_dead_worker_stays_in_the_sum(server: Server) -> None:
    before = value(parse(scrape(server)), "ambidex_rows_total")
    time.sleep(1.2)
    os.kill(server.worker_pids()[0], signal.SIGKILL)
    server.told("worker.died")
    end = time.monotonic() + 10
    while len(server.worker_pids()) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    time.sleep(0.5)
    assert value(parse(scrape(server)), "ambidex_rows_total") >= before


def test_the_parsers_of_prometheus_read_it(server: Server) -> None:
    plain = pytest.importorskip("prometheus_client.parser", reason="PROMETHEUS: no prometheus_client here")
    from prometheus_client.openmetrics import parser as strict

    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    server.ask("POST", "/predict/churn", VALID, {**JSON, "traceparent": trace})
    families = {f.name: f for f in plain.text_string_to_metric_families(scrape(server))}
    assert families["ambidex_requests"].type == "counter"
    assert families["ambidex_stage_duration_seconds"].type == "histogram"
    opened = scrape(server, "application/openmetrics-text; version=1.0.0,text/plain;q=0.5")
    assert opened.endswith("# EOF\n")
    assert {f.name for f in strict.text_string_to_metric_families(opened)} >= set(families) - {"ambidex_build"}


def test_figures_of_other_models_are_not_shown() -> None:
    stages = {s: {"sum": 1.0, "counts": [1] * (len(BOUNDS) + 1)} for s in (*STAGES, "total")}
    versions: list[Any] = [{"model": m, "version": 1, "requests": 5, "stages": stages} for m in ("a", 'b"\\\n')]
    workers = [{"index": 0, "versions": versions, "unlogged": {"a": 1, 'b"\\\n': 2}}]
    whole = parse(render(workers, {"a": 1, 'b"\\\n': 2}).decode())
    assert value(whole, "ambidex_version_requests_total", model='b\\"\\\\\\n', version="1") == 5
    part = render(workers, {"a": 1, 'b"\\\n': 2}, models=("a",)).decode()
    assert 'model="b' not in part and value(parse(part), "ambidex_version_requests_total", model="a", version="1") == 5
    versions[0]["exemplars"] = {"3": ["4bf92f3577b34da6a3ce929d0e0e4736", 0.0005, 1.5]}
    opened = render(workers, {}, openmetrics=True).decode()
    assert opened.count('# {trace_id="4bf92f3577b34da6a3ce929d0e0e4736"} 0.0005 1.500') == 1
    assert "#  {" not in opened and json.dumps(part)
