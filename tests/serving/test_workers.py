"""Workers come and go: memory limits, crash loops."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from serving.callers import Callers
from serving.serving_support import VALID, Server, alive


def test_a_worker_that_grows_is_replaced_without_a_failed_request(tmp_path: Path) -> None:
    with Server(tmp_path / "s", memory_bytes=160 << 20, full_again_s=0.5) as server:
        (first,) = server.worker_pids()
        server.point(churn={"live": 15})
        time.sleep(0.5)
        callers = Callers(server, 3, pause=0.03)
        deadline = time.monotonic() + 20
        while not server.told("worker.replaced") and time.monotonic() < deadline:
            time.sleep(0.1)
        callers.over.set()
        callers.join()
        assert not callers.failures
        assert {s for _, s, _ in callers.answers} == {200}
        assert server.told("worker.full") and server.told("worker.replaced")[0]["status"] == 0
        assert not alive(first)
        assert callers.ids() <= {f["id"] for f in server.frames()}
        assert not server.told("worker.died", 0)


@pytest.mark.slow
def test_a_crash_loop_backs_off_and_is_told(tmp_path: Path) -> None:
    with Server(tmp_path / "s", workers=2) as server:
        (server.folder / "crash").touch()
        victim, other = server.worker_pids()
        os.kill(victim, signal.SIGKILL)
        time.sleep(4.5)
        died = server.told("worker.died", 4)
        assert [e["again_in_s"] for e in died][:4] == [0.2, 0.5, 1.0, 2.0]
        assert len(died) < 7
        assert server.told("worker.crash-loop")
        assert alive(other)
        assert server.post("/predict/churn", VALID)[0] == 200
        (server.folder / "crash").unlink()
        end = time.monotonic() + 12
        while len(server.worker_pids()) < 2 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(server.worker_pids()) == 2
