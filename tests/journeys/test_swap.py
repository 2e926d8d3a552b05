"""Promote and roll back under load: no failed request, one version an answer, nothing acknowledged is lost."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.data.frames import log_files, read_frames
from support import shared
from terminal import Terminal, served

REQUESTS = 2_000
MOVES = 10


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """churn@1 live, churn@2 a candidate that passed."""
    telco = shared("data/churn/telco_customer_churn.csv").read_text().splitlines(keepends=True)
    folder = tmp_path_factory.mktemp("swap") / "w"
    amb.init(folder)
    (folder / "data" / "a.csv").write_text("".join(telco[:5600]))
    answer = amb.drivers(folder / "data", target="Churn", positive="Yes", at=folder)
    amb.package(answer, name="churn", at=folder)
    amb.promote("churn@1", to="live", at=folder)
    (folder / "data" / "b.csv").write_text("".join([telco[0], *telco[5600:]]))
    assert amb.retrain("churn", at=folder).version == 2
    return folder


def rows_of(folder: Path) -> list[dict[str, Any]]:
    golden = json.loads((folder / "packages/churn/src/churn_model/golden.json").read_text())
    rows: list[dict[str, Any]] = golden["rows"]
    return rows


def client(base: str, rows: list[dict[str, Any]], count: int, seen: list[tuple[float, int, dict[str, Any]]]) -> None:
    port = urllib.parse.urlsplit(base).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    for i in range(count):
        connection.request("POST", "/predict/churn", json.dumps({"rows": [rows[i % len(rows)]]}),
                           {"Content-Type": "application/json"})  # fmt: skip
        response = connection.getresponse()
        seen.append((time.monotonic(), response.status, json.loads(response.read())))
        time.sleep(0.005)
    connection.close()


def test_swaps_under_load(workspace: Path) -> None:
    rows = rows_of(workspace)
    seen: list[tuple[float, int, dict[str, Any]]] = []
    moved: list[tuple[float, int]] = []
    with served(Terminal(workspace), "churn", "--workers", "2") as base:
        threads = [threading.Thread(target=client, args=(base, rows, REQUESTS // 4, seen)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for i in range(MOVES):
            if i % 2 == 0:
                amb.promote("churn@2", to="live", at=workspace)
                moved.append((time.monotonic(), 2))
            else:
                amb.rollback("churn", at=workspace)
                moved.append((time.monotonic(), 1))
        for thread in threads:
            thread.join()
        last = moved[-1]
        late: list[tuple[float, int, dict[str, Any]]] = []
        time.sleep(max(0.0, 4 - (time.monotonic() - last[0])))
        client(base, rows, 40, late)
        assert {body["version"] for _, _, body in late} == {last[1]}
    assert len(seen) == REQUESTS
    assert {status for _, status, _ in seen} == {200}
    assert {body["version"] for _, _, body in seen} == {1, 2}
    logged = {
        f["id"]: f["version"]
        for path in log_files(workspace / ".ambidex" / "log", "churn")
        for f in read_frames(path)[0]
    }
    for _, _, body in seen:
        assert logged[body["ids"][0]] == body["version"]


def test_killed_and_ready_again_without_losing_a_row(workspace: Path) -> None:
    rows = rows_of(workspace)
    seen: list[tuple[float, int, dict[str, Any]]] = []

    def ask_until_it_breaks(base: str) -> None:
        try:
            client(base, rows, 10_000, seen)
        except (OSError, http.client.HTTPException):
            return

    server = served(Terminal(workspace), "churn")
    base = server.__enter__()
    thread = threading.Thread(target=ask_until_it_breaks, args=(base,))
    thread.start()
    time.sleep(1.0)
    os.kill(server.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    server.process.wait()
    for stream in (server.process.stdout, server.process.stderr):
        stream.close()  # type: ignore[union-attr]
    thread.join()
    with served(Terminal(workspace), "churn"):
        ready = time.monotonic() - killed
    assert len(seen) > 20
    logged = {f["id"] for path in log_files(workspace / ".ambidex" / "log", "churn") for f in read_frames(path)[0]}
    assert {body["ids"][0] for _, status, body in seen if status == 200} <= logged
    assert ready < 12  # promised: 3 s
    assert amb.doctor(at=workspace).healthy
