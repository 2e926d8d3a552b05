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
from ambidex.data.log import find_prediction, open_log
from ambidex.data.privacy import privacy_of
from ambidex.data.sealing import erase, seal
from ambidex.settings import read_settings
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


def logged_rows(folder: Path) -> list[dict[str, Any]]:
    with open_log(folder / ".ambidex" / "log", "churn") as log:
        return [row for rows, _ in log.pages() for row in rows]


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
    logged = {f["id"]: f["version"] for f in logged_rows(workspace)}
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
    logged = {f["id"] for f in logged_rows(workspace)}
    assert {body["ids"][0] for _, status, body in seen if status == 200} <= logged
    assert ready < 12  # promised: 3 s
    assert amb.doctor(at=workspace).healthy


def test_a_sealed_log_is_judged_once_found_by_its_hashed_key_and_forgotten(workspace: Path) -> None:
    """The whole way of a row: hashed into the log, sealed, monitored, labelled by its key, looked up, erased."""
    toml = workspace / "ambidex.toml"
    before = toml.read_text()
    assert 'key = "customerID"' in before
    column = rows_of(workspace)[0]
    dropped = next(name for name, value in column.items() if isinstance(value, str))
    rule = f'[models.churn.log]\nhash = ["customerID"]\ndrop = ["{dropped}"]\nretain = "90d"\n'
    toml.write_text(f"{before}\n{rule}\n[serving]\ndurable = true\n")
    folder = workspace / ".ambidex" / "log"
    try:
        with served(Terminal(workspace), "churn") as base:
            seen: list[tuple[float, int, dict[str, Any]]] = []
            rows = [{**row, "customerID": f"Kunde-{i}"} for i, row in enumerate(rows_of(workspace) * 5)]
            client(base, rows, len(rows), seen)
            ids = [body["ids"][0] for _, _, body in seen]
            first = amb.monitor("churn", at=workspace)
            client(base, rows[:7], 7, seen)
            for path in folder.rglob("http-*.frames"):
                os.utime(path, (1, 1))
            seal(folder, "churn")
            assert list(folder.rglob("seg-*.parquet"))
            second = amb.monitor("churn", at=workspace)
        assert first.to_dict()["rows"] >= len(rows) and second.to_dict()["rows"] == 7
        third = amb.monitor("churn", at=workspace).to_dict()
        assert third["rows"] in (0, 7)  # nothing new: the last report stands
        found = find_prediction(folder, "churn", ids[3])
        rule_now = privacy_of(read_settings(workspace), workspace / ".ambidex", "churn")
        assert found is not None and found.riders == {"customerID": rule_now.hash("Kunde-3")}
        assert dropped not in found.row and found.p == pytest.approx(seen[3][2]["probabilities"][0][1])
        for path in folder.rglob("*.*"):
            assert b"Kunde-3" not in path.read_bytes()
        labels = workspace / "labels.csv"
        labels.write_text("who,churned\n" + "".join(f"Kunde-{i},{'Yes' if i % 4 == 0 else 'No'}\n" for i in range(20)))
        told = amb.feedback("churn", labels, id="who", label="churned", at=workspace).to_dict()
        assert (told["matched"], told["unknown"]) == (20, 0)
        again = amb.feedback("churn", labels, id="who", label="churned", at=workspace).to_dict()
        assert (again["matched"], again["duplicates"]) == (0, 20)
        assert amb.doctor(at=workspace).healthy
        erase(folder, "churn", [ids[3]])
        assert find_prediction(folder, "churn", ids[3]) is None
        assert amb.doctor(at=workspace).healthy
    finally:
        toml.write_text(before)
