"""Starting, swapping, killing and stopping the server while callers ask."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from ambidex.errors import AmbidexError
from ambidex.serving.address import address_of
from ambidex.serving.supervisor import run
from serving.callers import Callers
from serving.serving_support import VALID, Server, alive, free_port


def test_two_thousand_requests_across_ten_swaps(tmp_path: Path) -> None:
    with Server(tmp_path / "s", workers=2) as server:
        callers = Callers(server, 4, count=500)
        for i in range(10):
            server.point(churn={"live": 2 if i % 2 == 0 else 1})
            time.sleep(0.05)
        callers.join()
        assert not callers.failures
        assert Counter(s for _, s, _ in callers.answers) == {200: 2000}
        server.point(churn={"live": 3})
        moved = time.monotonic()
        last_old = moved
        fresh = []
        while time.monotonic() - moved < 4 and len(fresh) < 200:
            version = server.post("/predict/churn", VALID)[1]["version"]
            if version == 3:
                fresh.append(version)
            else:
                fresh.clear()
                last_old = time.monotonic()
        assert last_old - moved < 4  # promised: 1 s
        assert len(fresh) == 200
        logged = {f["id"]: f["version"] for f in server.frames()}
        assert all(logged[b["ids"][0]] == b["version"] for _, _, b in callers.answers)


def test_a_version_that_does_not_open_leaves_the_old_one_serving(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        server.point(churn={"live": 13})
        time.sleep(0.8)
        assert server.post("/predict/churn", VALID)[1]["version"] == 1
        told = server.told("version.refused")
        assert told and told[0]["version"] == 13 and told[0]["serving"] == 1
        server.point(churn={"live": 2})
        time.sleep(0.8)
        assert server.post("/predict/churn", VALID)[1]["version"] == 2
        (server.folder / "pointers.json").write_text("{")  # the workspace cannot be read
        time.sleep(0.5)
        assert server.post("/predict/churn", VALID)[1]["version"] == 2
        server.point(churn={"live": 1}, other={"live": 3})  # a model that went live later
        time.sleep(0.8)
        assert server.post("/predict/churn", VALID)[1]["version"] == 1
        assert server.post("/predict/other", VALID)[1]["version"] == 3


def test_swap_while_a_slow_version_opens_does_not_hold_up_answers(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        server.point(churn={"live": 14})
        waits = []
        began = time.monotonic()
        versions = []
        while time.monotonic() - began < 2:
            start = time.monotonic()
            versions.append(server.post("/predict/churn", VALID)[1]["version"])
            waits.append(time.monotonic() - start)
        assert versions == sorted(versions) and set(versions) == {1, 14}
        assert max(waits) < 0.5


def test_killed_whole_under_load_loses_no_row_and_is_ready_again(tmp_path: Path) -> None:
    server = Server(tmp_path / "s", workers=2).start()
    callers = Callers(server, 4)
    time.sleep(0.7)
    pids = server.worker_pids()
    assert len(pids) == 2 and server.process is not None
    os.kill(server.process.pid, signal.SIGKILL)
    killed = time.monotonic()
    callers.join()
    server.stop()
    while any(map(alive, pids)):
        assert time.monotonic() - killed < 5, "workers outlive their parent"
        time.sleep(0.01)
    server.start()
    assert time.monotonic() - killed < 12  # promised: 3 s
    assert server.post("/predict/churn", VALID)[0] == 200
    server.stop()
    ids = callers.ids()
    assert len(ids) > 100
    assert ids <= {f["id"] for f in server.frames()}


def test_a_killed_worker_is_replaced_and_only_its_requests_fail(tmp_path: Path) -> None:
    with Server(tmp_path / "s", workers=2) as server:
        callers = Callers(server, 4, again=True)
        time.sleep(0.4)
        victim = server.worker_pids()[0]
        os.kill(victim, signal.SIGKILL)
        killed = time.monotonic()
        while len(server.worker_pids()) < 2:
            assert time.monotonic() - killed < 5  # promised: 2 s
            time.sleep(0.02)
        time.sleep(0.5)
        callers.over.set()
        callers.join()
        assert len(callers.failures) <= 4
        assert {s for _, s, _ in callers.answers} == {200}
        assert callers.ids() <= {f["id"] for f in server.frames()}
        assert victim not in server.worker_pids()
        assert len(server.told("worker.died")) == 1


def test_sigterm_drains_without_a_failed_request(tmp_path: Path) -> None:
    server = Server(tmp_path / "s", workers=2).start()
    callers = Callers(server, 6)
    time.sleep(0.5)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    callers.join()
    assert server.process.wait(timeout=15) == 0
    assert time.monotonic() - began < 10
    server.stop()
    assert not callers.failures
    assert {s for _, s, _ in callers.answers} == {200} and len(callers.answers) > 100
    assert callers.ids() <= {f["id"] for f in server.frames()}


def test_sigterm_answers_what_is_under_way(tmp_path: Path) -> None:
    server = Server(tmp_path / "s").start()
    seen: list[tuple[int, Any]] = []
    thread = threading.Thread(target=lambda: seen.append(server.post("/predict/churn@14", VALID)))  # opens for 1 s
    thread.start()
    time.sleep(0.3)
    assert server.process is not None
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    with pytest.raises(ConnectionRefusedError):
        server.post("/predict/churn", VALID)
    thread.join()
    assert seen[0][0] == 200 and seen[0][1]["version"] == 14
    assert server.stop() == 0


def test_ctrl_c_drains_and_says_interrupted(tmp_path: Path) -> None:
    server = Server(tmp_path / "s").start()
    assert server.post("/predict/churn", VALID)[0] == 200
    assert server.stop(signal.SIGINT) == 130


def test_log_that_cannot_be_written(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        (server.folder / "log").mkdir(exist_ok=True)
        (server.folder / "log" / "churn").write_text("in the way")
        status, answer = server.post("/predict/churn", VALID)
        assert (status, answer["logged"]) == (200, False)
        assert server.post("/feedback/churn", {"labels": [{"id": "a-1", "label": "1"}]})[0] == 503
        (server.folder / "log" / "churn").unlink()
        status, answer = server.post("/predict/churn", VALID)
        assert status == 200 and "logged" not in answer
        assert [f["id"] for f in server.frames()] == answer["ids"]
        assert len(server.told("log.written-again")) == len(server.told("log.unwritable")) == 1


def test_nobody_reads_what_the_server_says(tmp_path: Path) -> None:
    server = Server(tmp_path / "s")
    process = server.spawn(stderr=subprocess.PIPE)
    server.wait()
    body = json.loads(VALID)
    for _ in range(600):  # more lines than a pipe holds
        assert server.post("/predict/churn@12", body)[0] == 500
    assert server.post("/predict/churn", body)[0] == 200
    assert server.stop() == 0
    assert process.stderr is not None
    assert len(process.stderr.read()) > 30_000
    process.stderr.close()


def test_a_worker_that_is_told_to_ignore_hangups_does(tmp_path: Path) -> None:
    server = Server(tmp_path / "s")
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = server.spawn()
    finally:
        signal.signal(signal.SIGHUP, before)
    server.wait()
    for pid in (process.pid, *server.worker_pids()):
        os.kill(pid, signal.SIGHUP)
    time.sleep(0.3)
    assert server.post("/predict/churn", VALID)[0] == 200
    assert server.stop() == 0


@pytest.mark.parametrize(
    ("pointers", "code", "exit"),
    [
        ({"churn": {"live": 13}}, "check.opens", 4),
        ({"churn": {"live": None}}, "data.no-pointer", 3),
        ({}, "data.no-pointer", 3),
    ],
)
def test_nothing_sound_to_serve(tmp_path: Path, pointers: dict[str, Any], code: str, exit: int) -> None:
    server = Server(tmp_path / "s", workers=2)
    server.point(**pointers)
    process = server.spawn()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == exit and json.loads(said)["code"] == code
    assert not (server.folder / "ready").exists()


def test_taken_port(tmp_path: Path) -> None:
    with Server(tmp_path / "a") as first:
        second = Server(tmp_path / "b", port=first.port)
        process = second.spawn()
        said, _ = process.communicate(timeout=20)
        assert process.returncode == 5 and json.loads(said)["code"] == "env.port-taken"
        assert str(first.port) in json.loads(said)["message"]
        assert first.post("/predict/churn", VALID)[0] == 200


@pytest.mark.parametrize(
    ("host", "port", "workers", "code"),
    [
        ("127.0.0.1", 99999, 1, "usage.value"),
        ("127.0.0.1", -1, 1, "usage.value"),
        ("127.0.0.1", 8377, 0, "usage.value"),
        ("0.0.0.0", 8377, 1, "env.public-bind"),
        ("::", 8377, 1, "env.public-bind"),
        ("", 8377, 1, "env.public-bind"),
        ("192.0.2.1", 8377, 1, "env.public-bind"),
        ("no such host", 8377, 1, "usage.value"),
    ],
)
def test_addresses_no_server_gets(tmp_path: Path, host: str, port: int, workers: int, code: str) -> None:
    def never() -> Any:
        raise AssertionError

    with pytest.raises(AmbidexError) as caught:
        run(never, host=host, port=port, workers=workers, log_folder=tmp_path)
    assert caught.value.code == code and caught.value.do


def test_loopback_names() -> None:
    assert address_of("localhost", 0)[1][0] in ("127.0.0.1", "::1")
    assert address_of("127.0.0.2", free_port())[1][0] == "127.0.0.2"
