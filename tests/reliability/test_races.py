"""Many at once: versions without gaps, one winner per revision, no "database is locked"."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ambidex.edges.sql import SqlStore
from ambidex.errors import EnvironmentProblem, Refused
from ambidex.testing import HandClock, judge, promote, register

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def store_at(folder: Path) -> SqlStore:
    return SqlStore(folder / "meta.sqlite", clock=HandClock())


def in_processes(count: int, work: Callable[[int], Any]) -> list[Any]:
    """What each of the processes gave, in the order of their numbers; they start together."""
    gate_reader, gate_writer = os.pipe()
    children = []
    for number in range(count):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                os.close(gate_writer)
                os.read(gate_reader, 1)  # returns when the parent closes its end
                with os.fdopen(writer, "w") as pipe:
                    json.dump(work(number), pipe)
                code = 0
            finally:
                os._exit(code)
        os.close(writer)
        children.append((pid, reader))
    os.close(gate_reader)
    os.close(gate_writer)
    given = []
    for pid, reader in children:
        with os.fdopen(reader) as pipe:
            text = pipe.read()
        assert os.waitpid(pid, 0)[1] == 0
        given.append(json.loads(text))
    return given


def registrations(store: SqlStore, who: int, count: int = 25) -> list[tuple[int, float]]:
    """Version and seconds of each."""
    done = []
    for n in range(count):
        start = time.perf_counter()
        made = store.register(
            model="churn", digest=f"{who:032}{n:032}", data="d", code="c", key=f"{who} {n}", summary={}
        )
        done.append((made.number, time.perf_counter() - start))
    return done


def all_there(store: SqlStore, given: list[list[tuple[int, float]]]) -> float:
    """Versions 1 to n without a gap, each given once; returns the p99 in seconds."""
    numbers = sorted(number for one in given for number, _ in one)
    assert numbers == list(range(1, len(numbers) + 1))
    assert [v.number for v in store.versions("churn")] == numbers
    assert all(c["passed"] for c in store.check())
    seconds = sorted(s for one in given for _, s in one)
    return seconds[int(len(seconds) * 0.99)]


def test_20_threads_register(tmp_path):
    """500 registrations; p99 measured 0.09 s (0.5 s on a busy machine), promised 1 s; 4 s fail the build."""
    store = store_at(tmp_path)
    with ThreadPoolExecutor(20) as pool:
        given = list(pool.map(lambda who: registrations(store, who), range(20)))
    p99 = all_there(store, given)
    assert p99 < 4
    store.close()


def test_20_processes_register(tmp_path):
    """500 registrations; p99 measured 0.18 s (0.4 s on a busy machine)."""
    store_at(tmp_path).close()
    given = in_processes(20, lambda who: registrations(store_at(tmp_path), who))
    p99 = all_there(store_at(tmp_path), given)
    assert p99 < 4


def test_processes_make_the_workspace_at_once(tmp_path):
    given = in_processes(8, lambda who: registrations(store_at(tmp_path), who, 1))
    all_there(store_at(tmp_path), given)


def two_judged(folder: Path) -> SqlStore:
    store = store_at(folder)
    for version in (1, 2):
        register(store)
        judge(store, version, at=HandClock()())
    return store


def attempt(store: SqlStore, version: int, revision: int) -> str:
    try:
        promote(store, version, expected_revision=revision)
    except Refused as error:
        return error.code
    return "moved"


def test_of_two_movers_one_wins(tmp_path):
    store = two_judged(tmp_path)
    revision = store.model("churn").revision
    together = threading.Barrier(8)

    def go(n: int) -> str:
        together.wait()
        return attempt(store, 1 + n % 2, revision)

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(go, range(8)))
    assert sorted(outcomes) == ["check.moved"] * 7 + ["moved"]
    assert len(store.events(verbs=("promote",))) == 1
    assert store.model("churn").live == 1 + outcomes.index("moved") % 2
    store.close()


def test_of_movers_in_processes_one_wins(tmp_path):
    for round_ in range(5):
        folder = tmp_path / str(round_)
        folder.mkdir()
        store = two_judged(folder)
        revision = store.model("churn").revision
        store.close()
        outcomes = in_processes(
            4, lambda n, folder=folder, revision=revision: attempt(store_at(folder), 1 + n % 2, revision)
        )
        assert sorted(outcomes) == ["check.moved"] * 3 + ["moved"]
        store = store_at(folder)
        assert store.model("churn").live == 1 + outcomes.index("moved") % 2
        store.close()


def test_readers_do_not_wait_for_writers(tmp_path):
    """A reader sees a whole state at every moment, and is not held up by the writer's fsync."""
    store = two_judged(tmp_path)
    promote(store, 1)
    stop = threading.Event()
    slowest = [0.0]

    def read() -> int:
        count = 0
        while not stop.is_set():
            start = time.perf_counter()
            state = store.model("churn")
            slowest[0] = max(slowest[0], time.perf_counter() - start)
            assert state.live is not None
            assert state.versions >= 2
            count += 1
        return count

    with ThreadPoolExecutor(2) as pool:
        readers = [pool.submit(read) for _ in range(2)]
        for n in range(60):
            store.append(verb="data", model="churn", body={"fingerprint": f"d{n}"})
        stop.set()
        assert all(r.result() > 10 for r in readers)
    assert slowest[0] < 1
    store.close()


def test_forks_while_threads_write(tmp_path):
    """A fork waits for those at work; both sides go on, and no event is lost."""
    store = store_at(tmp_path)
    stop = threading.Event()

    def write() -> int:
        count = 0
        while not stop.is_set():
            store.append(verb="serve", by="thread")
            count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        writers = [pool.submit(write) for _ in range(3)]
        for _ in range(5):
            assert in_processes(2, lambda n: [store.append(verb="serve", by="child").seq for _ in range(5)])
        stop.set()
        counts = [w.result() for w in writers]
    who = [e.by for e in store.events(verbs=("serve",))]
    assert (who.count("thread"), who.count("child")) == (sum(counts), 50)
    assert all(c["passed"] for c in store.check())
    store.close()


def test_a_fork_during_the_first_opening(tmp_path):
    """A child that inherits SQLite in the middle of an opening would wait for locks that nobody holds."""
    for round_ in range(10):
        folder = tmp_path / str(round_)
        folder.mkdir()
        store = store_at(folder)
        with ThreadPoolExecutor(3) as pool:
            writers = [pool.submit(registrations, store, who, 2) for who in range(3)]
            time.sleep(0.002 * round_)
            given = in_processes(1, lambda n, store=store: registrations(store, 9, 2))
            all_there(store, [*given, *(w.result() for w in writers)])
        store.close()


def test_a_child_forked_while_another_thread_is_at_work_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("ambidex.edges.sql_open._FORK_WAIT_S", 0.05)
    store = store_at(tmp_path)
    store.append(verb="init")
    inside, go = threading.Event(), threading.Event()

    def slow() -> None:
        with store._database.reading():
            inside.set()
            go.wait(20)

    def code(n: int) -> list[str]:
        codes = []
        for one in (store, store_at(tmp_path)):
            try:
                one.models()
            except EnvironmentProblem as error:
                codes.append(error.code)
        return codes

    thread = threading.Thread(target=slow)
    thread.start()
    inside.wait()
    assert in_processes(1, code) == [["env.child", "env.child"]]
    go.set()
    thread.join()
    assert in_processes(1, code) == [[]]
    store.close()


def test_a_dead_holder_keeps_no_lease(tmp_path):
    store = store_at(tmp_path)
    (token,) = in_processes(1, lambda n: store.lease("retrain churn", seconds=3600))
    assert token == 1
    assert store.lease("retrain churn", seconds=3600) == 2
    assert store.lease("retrain churn", seconds=3600) is None
    store.close()
