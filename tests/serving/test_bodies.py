"""Packed bodies and answers, Arrow, Idempotency-Key, the smaller methods."""

from __future__ import annotations

import gzip
import json
import os
import signal
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ambidex.errors import AmbidexError, EnvironmentProblem
from ambidex.serving.coding import inflated, takes_gzip
from ambidex.serving.problems import HttpRefusal
from ambidex.serving.replays import Replays
from serving.serving_support import JSON, ROW, VALID, Server, check_problem

GZIP = {**JSON, "Content-Encoding": "gzip"}
MANY = json.dumps({"rows": [ROW] * 3000}).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("bodies") / "s", workers=2) as running:
        yield running


# ---------------------------------------------------------------- gzip


def test_packed_bodies(server: Server) -> None:
    halves = gzip.compress(VALID[:20]) + gzip.compress(VALID[20:])
    for body, rows in (
        (gzip.compress(VALID), 1),
        (halves, 1),
        (gzip.compress(MANY), 3000),
        (gzip.compress(VALID, 0), 1),
    ):
        for path in ("/predict/churn", "/predict/churn@1"):
            status, _, said = server.ask("POST", path, body, GZIP)
            assert status == 200 and len(json.loads(said)["ids"]) == rows
    assert server.ask("POST", "/predict/churn", gzip.compress(VALID), {**JSON, "Content-Encoding": "x-gzip"})[0] == 200
    labels = gzip.compress(b'{"labels":[{"id":"a-1","label":"1"}]}')
    assert server.ask("POST", "/feedback/churn", labels, GZIP)[0] == 200
    logged = server.frames()[-1]
    assert logged.get("row", ROW) == ROW


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (VALID, 400), (b"", 400), (gzip.compress(VALID)[:-1], 400), (gzip.compress(VALID) + b"x", 400),
        (zlib.compress(VALID), 400), (gzip.compress(VALID)[:-8] + b"\0" * 8, 400), (gzip.compress(b"") * 20, 400),
        (gzip.compress(b"{"), 400), (gzip.compress(b" " * (10 << 20) + b"x"), 413),
        (gzip.compress(b"\0" * (200 << 20)), 413),
        (gzip.compress(gzip.compress(VALID)), 400),
    ],
    ids=["plain", "empty", "cut", "tail", "zlib", "sum", "parts", "not json", "limit and one", "bomb", "twice"],
)  # fmt: skip
def test_what_is_not_packed_as_said(server: Server, body: bytes, status: int) -> None:
    logged = len(server.frames())
    got, headers, said = server.ask("POST", "/predict/churn", body, GZIP)
    assert got == status, said
    check_problem(got, headers, said)
    assert len(server.frames()) == logged
    assert server.post("/predict/churn", VALID)[0] == 200


def test_bombs_stop_where_the_limit_is() -> None:
    bomb = gzip.compress(b"\0" * (64 << 20))
    began = time.process_time()
    assert inflated(bomb, 1 << 20) is None
    assert time.process_time() - began < 1.0
    with pytest.raises(HttpRefusal):
        inflated(b"\x1f\x8b", 10)


def test_other_codings(server: Server) -> None:
    for coding in ("br", "deflate", "gzip, gzip", "zstd", "*"):
        status, headers, said = server.ask("POST", "/predict/churn", VALID, {**JSON, "Content-Encoding": coding})
        assert status == 415 and "Content-Encoding" in check_problem(status, headers, said)["detail"]
        assert "gzip" in headers["accept-encoding"]


def test_packed_answers_where_they_are_worth_it(server: Server) -> None:
    takes = {**JSON, "Accept-Encoding": "br, gzip"}
    status, headers, said = server.ask("POST", "/predict/churn", MANY, takes)
    assert (status, headers["content-encoding"], headers["vary"]) == (200, "gzip", "accept-encoding")
    assert len(json.loads(gzip.decompress(said))["predictions"]) == 3000 and len(said) < 120_000
    for body, fields in ((MANY, JSON), (VALID, takes), (MANY, {**JSON, "Accept-Encoding": "gzip;q=0, identity"})):
        status, headers, said = server.ask("POST", "/predict/churn", body, fields)
        assert status == 200 and "content-encoding" not in headers and json.loads(said)
    for path in ("/docs", "/openapi.json", "/metrics"):
        status, headers, said = server.ask("GET", path, None, takes)
        assert headers["content-encoding"] == "gzip" and gzip.decompress(said)
        assert server.ask("HEAD", path, None, takes)[2] == b""


@pytest.mark.parametrize(
    ("said", "takes"),
    [
        (b"gzip", True), (b"GZIP", True), (b"deflate,gzip ; q=0.1", True), (b"gzip;q=0", False),
        (b"gzip; q=0.0", False),
        (b"gzip;q=0.01", True), (b"x-gzip", True), (b"br", False), (b"", False), (b"*", False), (b"gzipx", False),
    ],
)  # fmt: skip
def test_accept_encoding(said: bytes, takes: bool) -> None:
    assert takes_gzip({b"accept-encoding": said}) is takes


# ---------------------------------------------------------------- Arrow


def test_big_batches_as_arrow(server: Server) -> None:
    pa = pytest.importorskip("pyarrow")
    media = "application/vnd.apache.arrow.stream"
    plain = server.post("/predict/churn", MANY)[1]
    status, headers, said = server.ask(
        "POST", "/predict/churn", MANY, {**JSON, "Accept": f"{media}, application/json;q=0.5"}
    )
    assert (status, headers["content-type"]) == (200, media)
    table = pa.ipc.open_stream(said).read_all()
    assert table.column_names == ["id", "prediction", "probability_0", "probability_1"]
    assert table["prediction"].to_pylist() == plain["predictions"]
    assert table["probability_1"].to_pylist() == [p[1] for p in plain["probabilities"]]
    assert table.schema.metadata == {b"model": b"churn", b"version": b"1"}
    logged = {f["id"] for f in server.frames()}
    assert set(table["id"].to_pylist()) <= logged
    status, headers, _ = server.ask("POST", "/predict/churn@2", VALID, {**JSON, "Accept": media})
    assert (status, headers["content-type"]) == (200, media)
    status, headers, said = server.ask("POST", "/predict/churn", b"{", {**JSON, "Accept": media})
    check_problem(status, headers, said)


# ---------------------------------------------------------------- Idempotency-Key


def labels(server: Server, count: int = 1) -> bytes:
    return json.dumps({"labels": [{"id": f"k-{i}", "label": "1"} for i in range(count)]}).encode()


def kept(server: Server) -> int:
    return len([f for f in server.frames() if f.get("kind") == "label"])


def test_the_same_key_is_answered_again_and_done_once(server: Server) -> None:
    body, before = labels(server, 3), kept(server)
    keyed = {**JSON, "Idempotency-Key": "k1"}
    first = server.ask("POST", "/feedback/churn", body, keyed)
    assert first[0] == 200 and json.loads(first[2])["accepted"] == 3 and "idempotency-replayed" not in first[1]
    for _ in range(8):  # both workers
        status, headers, said = server.ask("POST", "/feedback/churn", body, keyed)
        assert (status, said, headers["idempotency-replayed"]) == (200, first[2], "true")
    packed = server.ask("POST", "/feedback/churn", gzip.compress(body), {**keyed, "Content-Encoding": "gzip"})
    assert packed[2] == first[2]
    assert kept(server) == before + 3
    status, headers, said = server.ask("POST", "/feedback/churn", labels(server, 2), keyed)
    assert status == 422 and check_problem(status, headers, said)["code"] == "http.key"
    assert kept(server) == before + 3
    assert server.ask("POST", "/feedback/churn", body, {**JSON, "Idempotency-Key": "k2"})[0] == 200
    assert kept(server) == before + 6


def test_a_key_outlives_its_worker(server: Server) -> None:
    body, keyed = labels(server), {**JSON, "Idempotency-Key": "outlives"}
    assert server.ask("POST", "/feedback/churn", body, keyed)[0] == 200
    before = kept(server)
    for pid in server.worker_pids():
        os.kill(pid, signal.SIGKILL)
    server.told("worker.died", 2)
    end = time.monotonic() + 10
    while True:
        try:
            status, headers, _ = server.ask("POST", "/feedback/churn", body, keyed)
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
    assert (status, headers["idempotency-replayed"], kept(server)) == (200, "true", before)


def test_many_at_once_with_one_key(server: Server) -> None:
    body, before = labels(server, 5), kept(server)
    said: list[tuple[int, dict[str, str], bytes]] = []

    def send() -> None:
        said.append(server.ask("POST", "/feedback/churn", body, {**JSON, "Idempotency-Key": "at-once"}))

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [s for s, _, _ in said] == [200] * 12 and kept(server) == before + 5
    assert sum("idempotency-replayed" in h for _, h, _ in said) == 11


def test_a_refused_request_leaves_its_key_free(server: Server) -> None:
    keyed = {**JSON, "Idempotency-Key": "free"}
    wrong = b'{"labels":[{"id":"a-1","label":"maybe"}]}'
    assert server.ask("POST", "/feedback/churn", wrong, keyed)[0] == 422
    assert server.ask("POST", "/feedback/churn", labels(server), keyed)[0] == 200
    for key in ("", "a b", "x" * 201, "ü", "\t"):
        status, headers, said = server.ask("POST", "/feedback/churn", labels(server), {**JSON, "Idempotency-Key": key})
        assert status == 400 and check_problem(status, headers, said)["code"] == "http.key", key
    assert server.ask("POST", "/predict/churn", VALID, keyed)[0] == 200
    assert len({server.ask("POST", "/predict/churn", VALID, keyed)[2] for _ in range(2)}) == 2, (
        "predictions are made anew"
    )


def told(events: list[Any]) -> Any:
    return lambda event, fields: events.append((event, dict(fields)))


def test_keys_are_forgotten_after_a_day(tmp_path: Path) -> None:
    moment = [1e9]
    replays = Replays(tmp_path / "run" / "keys.sqlite", told([]), now=lambda: moment[0])
    assert replays.once("a", b"k", b"x", lambda: b"1") == (b"1", False)
    moment[0] += 24 * 3600 - 1
    assert replays.once("a", b"k", b"x", lambda: b"2") == (b"1", True)
    assert replays.once("b", b"k", b"y", lambda: b"3") == (b"3", False)
    moment[0] += 2
    assert replays.once("a", b"k", b"z", lambda: b"4") == (b"4", False)
    replays.close()


def test_what_fails_is_not_kept(tmp_path: Path) -> None:
    replays = Replays(tmp_path / "keys.sqlite", told([]))

    def fail() -> bytes:
        raise EnvironmentProblem("env.disk", "full")

    with pytest.raises(EnvironmentProblem):
        replays.once("a", b"k", b"x", fail)
    assert replays.once("a", b"k", b"y", lambda: b"1") == (b"1", False)
    replays.close()


def test_a_broken_file_is_started_anew(tmp_path: Path) -> None:
    events: list[Any] = []
    (tmp_path / "keys.sqlite").write_bytes(b"no database" * 1000)
    replays = Replays(tmp_path / "keys.sqlite", told(events))
    assert replays.once("a", b"k", b"x", lambda: b"1") == (b"1", False)
    assert events[0][0] == "keys.lost" and (tmp_path / "keys.sqlite.broken").exists()
    replays.close()


def test_a_file_that_another_holds(tmp_path: Path) -> None:
    replays = Replays(tmp_path / "keys.sqlite", told([]))
    replays.once("a", b"k", b"x", lambda: b"1")
    other = sqlite3.connect(tmp_path / "keys.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(AmbidexError) as caught:
        replays.once("a", b"l", b"x", lambda: b"2")
    assert caught.value.code == "env.busy"
    other.execute("COMMIT")
    other.close()
    assert replays.once("a", b"l", b"x", lambda: b"2") == (b"2", False)
    replays.close()


# ---------------------------------------------------------------- methods and versions of HTTP


def test_options_and_other_methods(server: Server) -> None:
    for path, allow in (("/predict/churn", "POST"), ("/metrics", "GET, HEAD"), ("/v2/models/churn/infer", "POST")):
        status, headers, said = server.ask("OPTIONS", path, None, {})
        assert (status, headers["allow"], said) == (200, f"{allow}, OPTIONS", b"")
        status, headers, _ = server.ask("PATCH", path, b"{}", JSON)
        assert (status, headers["allow"]) == (405, allow)


def test_http_1_0(server: Server) -> None:
    kept_alive = server.raw(b"GET /v2/health/live HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2, wait=1.0)
    assert kept_alive.count(b"HTTP/1.1 200") == 2 and kept_alive.count(b"connection: keep-alive") == 2
    assert server.raw(b"GET /v2/health/live HTTP/1.0\r\n\r\n" * 2).count(b"HTTP/1.1 200") == 1


def test_no_event_was_our_bug(server: Server) -> None:
    assert not [e for e in server.events() if e["event"] in ("request.failed", "worker.error", "keys.lost")]
