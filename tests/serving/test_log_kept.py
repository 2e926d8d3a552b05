"""The prediction log under a server: killed, full, sealed, hashed; what was answered is there, once."""

from __future__ import annotations

import json
import os
import signal
import struct
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from ambidex.data.frames import FrameWriter, Stream, log_files
from ambidex.data.log_locks import written_now
from ambidex.data.privacy import Privacy
from ambidex.data.sealing import seal
from ambidex.data.segments import segment_files
from serving.callers import Callers
from serving.serving_support import ROW, VALID, Server, alive


def killed_again_and_again(folder: Path, kills: int) -> None:
    """Whole server and single workers in turn; a sealing pass in between."""
    answered: set[str] = set()
    for kill in range(kills):
        server = Server(folder, workers=2).start()
        callers = Callers(server, 4, again=kill % 2 == 1)
        time.sleep(0.4)
        assert server.process is not None
        if kill % 2 == 0:
            os.kill(server.process.pid, signal.SIGKILL)
        else:
            os.kill(server.worker_pids()[kill % 2], signal.SIGKILL)
            time.sleep(0.4)
            callers.over.set()
        callers.join()
        ids = callers.ids()
        assert len(ids) > 50
        answered |= ids
        server.stop()
        while any(map(alive, server.worker_pids())):
            time.sleep(0.01)
        if kill % 2 == 0:
            seal(folder / "log", "churn")
    logged = [f["id"] for f in Server(folder).frames()]
    assert len(logged) == len(set(logged))
    assert answered <= set(logged)


def test_killed_five_times_under_load_no_acknowledged_id_is_missing(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path / "s", 5)


@pytest.mark.slow
def test_killed_thirty_times_under_load_no_acknowledged_id_is_missing(tmp_path: Path) -> None:
    killed_again_and_again(tmp_path / "s", 30)


def test_a_full_disk_does_not_stop_answers(tmp_path: Path) -> None:
    """What fits is logged whole, the rest is answered and says so."""
    with Server(tmp_path / "s", fsize=8_000) as server:
        answers = [server.post("/predict/churn", VALID) for _ in range(60)]
        assert {status for status, _ in answers} == {200}
        unlogged = [a for _, a in answers if a.get("logged") is False]
        kept = [a["ids"][0] for _, a in answers if "logged" not in a]
        assert len(unlogged) > 10 and len(kept) > 10
        assert [f["id"] for f in server.frames()] == kept
        status, said = server.post(
            "/feedback/churn", {"labels": [{"id": f"{i:027x}", "label": "1"} for i in range(200)]}
        )
        assert (status, said.get("code")) == (503, "env.disk")
        assert len(server.told("log.unwritable")) >= 1
        answer = server.post("/predict/churn", {"rows": [ROW] * 100})[1]
        assert answer["logged"] is False and len(answer["predictions"]) == 100


def test_hashed_and_dropped_columns_never_reach_the_disk(tmp_path: Path) -> None:
    rule = Privacy(hashed=frozenset({"customer_id", "plan"}), dropped=frozenset({"income"}), key=b"key of the tests")
    row = {**ROW, "customer_id": "anna-4711", "income": 4242.5}
    with Server(tmp_path / "s", logging={"hash": ["customer_id", "plan"], "drop": ["income"]}) as server:
        assert server.post("/predict/churn", {"rows": [row, {**row, "customer_id": None}]})[0] == 200
        bare = server.post("/predict/churn", row)[1]
        plain = [f for f in server.frames() if f["id"] != bare["ids"][0]]
        for frame in server.frames():
            assert frame["row"] == {"age": 41.5, "n": 3, "plan": rule.hash("basic")}
        assert [f["riders"] for f in plain] == [{"customer_id": rule.hash("anna-4711")}, {}]
        for path in (tmp_path / "s").rglob("*"):
            if path.is_file() and path.suffix in (".frames", ".parquet"):
                assert b"anna" not in path.read_bytes() and b"4242" not in path.read_bytes()


def test_durable_rows_are_on_the_disk_before_the_answer(tmp_path: Path) -> None:
    with Server(tmp_path / "s", logging={"durable": True}) as server:
        ids = [server.post("/predict/churn", VALID)[1]["ids"][0] for _ in range(20)]
        assert [f["id"] for f in server.frames()] == ids


def test_files_rotate_and_the_keeper_seals_what_a_dead_server_left(tmp_path: Path) -> None:
    server = Server(tmp_path / "s", logging={"rotate_bytes": 4_000}).start()
    callers = Callers(server, 2, count=150)
    callers.join()
    assert len(log_files(server.folder / "log", "churn")) > 5
    server.stop(signal.SIGKILL)
    ids = callers.ids()
    for path in log_files(server.folder / "log", "churn"):
        os.utime(path, (time.time() - 60, time.time() - 60))
    with Server(tmp_path / "s") as again:
        deadline = time.monotonic() + 20
        while log_files(again.folder / "log", "churn") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not log_files(again.folder / "log", "churn")
        assert len(segment_files(again.folder / "log", "churn")) == 1
        assert again.told("log.sealed")[0]["rows"] == 300
        assert {f["id"] for f in again.frames()} == ids
        assert again.post("/predict/churn", VALID)[0] == 200


def test_sealing_under_load_and_readers_in_between(tmp_path: Path) -> None:
    with Server(tmp_path / "s", logging={"rotate_bytes": 20_000}) as server:
        callers = Callers(server, 3)
        stop = threading.Event()
        wrong: list[Any] = []

        def sealing() -> None:
            while not stop.is_set():
                seal(server.folder / "log", "churn")

        thread = threading.Thread(target=sealing)
        thread.start()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            done = callers.ids()
            logged = [f["id"] for f in server.frames()]
            if len(logged) != len(set(logged)) or not done <= set(logged):
                wrong.append((len(logged), len(set(logged)), len(done - set(logged))))
        callers.over.set()
        callers.join()
        stop.set()
        thread.join()
        assert not wrong and not callers.failures
        assert callers.ids() <= {f["id"] for f in server.frames()}
        assert segment_files(server.folder / "log", "churn")


def test_files_that_have_been_written_for_long_are_left(tmp_path: Path) -> None:
    """So that their rows can expire: predictions and labels alike, on a server nobody asks any more."""
    with Server(tmp_path / "s", logging={"rotate_s": 0.5}) as server:
        answer = server.post("/predict/churn", VALID)[1]
        assert server.post("/feedback/churn", {"labels": [{"id": answer["ids"][0], "label": "1"}]})[0] == 200
        deadline = time.monotonic() + 5
        while any(map(written_now, log_files(server.folder / "log", "churn"))) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert seal(server.folder / "log", "churn", retain_s=1e9).files == 2
        assert seal(server.folder / "log", "churn", retain_s=0.0, now=time.time() + 10).expired == 2
        assert server.post("/predict/churn", VALID)[0] == 200
        assert server.post("/feedback/churn", {"labels": [{"id": answer["ids"][0], "label": "0"}]})[0] == 200
        assert len(server.frames()) == 2


def test_two_servers_on_one_workspace(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as first, Server(tmp_path / "s") as second:
        callers = [Callers(server, 2, count=100) for server in (first, second)]
        seal(first.folder / "log", "churn")
        for some in callers:
            some.join()
        assert not callers[0].failures + callers[1].failures
        ids = callers[0].ids() | callers[1].ids()
        assert len(ids) == 400
        logged = [f["id"] for f in first.frames()]
        assert sorted(logged) == sorted(ids)


def test_a_killed_keeper_comes_back_and_costs_nothing(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        assert server.process is not None
        children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")

        def keepers() -> list[int]:
            return [int(p) for p in children.read_text().split() if int(p) not in server.worker_pids()]

        deadline = time.monotonic() + 5
        while not keepers() and time.monotonic() < deadline:
            time.sleep(0.02)
        (keeper,) = keepers()
        os.kill(keeper, signal.SIGKILL)
        assert server.post("/predict/churn", VALID)[0] == 200
        assert server.told("log.keeper-died")
        while not keepers() and time.monotonic() < deadline + 5:
            time.sleep(0.05)
        assert keepers() and keepers() != [keeper]
        pids = [*keepers(), *server.worker_pids()]
        os.kill(server.process.pid, signal.SIGKILL)
        end = time.monotonic() + 5
        while any(map(alive, pids)):
            assert time.monotonic() < end, "a child outlives its parent"
            time.sleep(0.02)


def test_a_rule_for_a_column_that_is_not_there_stops_the_server(tmp_path: Path) -> None:
    server = Server(tmp_path / "s", logging={"drop": ["incom"]})
    process = server.spawn()
    said = json.loads(process.communicate(timeout=20)[0])
    assert process.returncode == 2
    assert said["code"] == "usage.config" and "income" in said["message"]


def test_a_frame_of_the_largest_request(tmp_path: Path) -> None:
    body = json.dumps({"rows": [ROW] * 10_000}).encode()
    stream = Stream(model="churn", version=1)
    with FrameWriter(tmp_path / "log" / "churn" / "http-1.frames") as log:
        log.write_bytes(stream.frame(1, b"0" * 27, 10_000, struct.pack("<10000d", *[0.5] * 10_000), body))
    assert seal(tmp_path / "log", "churn").rows == 10_000
