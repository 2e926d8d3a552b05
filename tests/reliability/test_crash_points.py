"""SIGKILL before and after every step of every state change, and during the opening that follows.

The steps are enumerated while the test runs: whatever sends a statement, commits, syncs or renames
has its points, so a new write cannot be without one.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ambidex.edges.files import FileBlobs
from ambidex.edges.sql import SqlStore
from ambidex.testing import HandClock, judge, promote, register

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def opened(folder: Path, hook: Callable[[str], None] | None = None) -> tuple[SqlStore, FileBlobs]:
    return SqlStore(folder / "meta.sqlite", clock=HandClock(), hook=hook), FileBlobs(folder / "blobs", hook)


def nothing(store: SqlStore, blobs: FileBlobs) -> None:
    """A folder in which no database has been made yet."""


def two_versions(store: SqlStore, blobs: FileBlobs) -> None:
    for version in (1, 2):
        register(store, digest=blobs.put(f"bundle {version}".encode()))
        judge(store, version, at=HandClock()())
        if version == 1:
            promote(store, 1)


def two_live(store: SqlStore, blobs: FileBlobs) -> None:
    two_versions(store, blobs)
    promote(store, 2)


def do_register(store: SqlStore, blobs: FileBlobs) -> None:
    register(store, digest=blobs.put(b"the next bundle" * 1000), key="the next run")


def do_judge(store: SqlStore, blobs: FileBlobs) -> None:
    judge(store, 2, at=HandClock()(), outcome="refuted")


def do_promote(store: SqlStore, blobs: FileBlobs) -> None:
    promote(store, 2)


def do_rollback(store: SqlStore, blobs: FileBlobs) -> None:
    promote(store, 1, verb="rollback", judgement=None)


def do_put(store: SqlStore, blobs: FileBlobs) -> None:
    blobs.put(b"a file of a bundle" * 10_000)


def do_answer(store: SqlStore, blobs: FileBlobs) -> None:
    store.record_answer({"verb": "drivers", "record": {"seed": 1}})


def do_document(store: SqlStore, blobs: FileBlobs) -> None:
    store.put_document("watch", {"looks": 2}, events=[{"verb": "alert", "model": "churn"}, {"verb": "monitor"}])


def do_close(store: SqlStore, blobs: FileBlobs) -> None:
    store.append(verb="serve")
    store.close()


CHANGES = [
    (nothing, do_register),
    (two_versions, do_register),
    (two_versions, do_judge),
    (two_versions, do_promote),
    (two_live, do_rollback),
    (two_versions, do_put),
    (two_versions, do_answer),
    (two_versions, do_document),
    (two_versions, do_close),
]


def child(work: Callable[[Callable[[Any], None]], None]) -> tuple[int, list[Any]]:
    """Run in a fork; returns how it ended and what it told through a pipe before that."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)
            work(lambda value: os.write(writer, json.dumps(value).encode() + b"\n") and None)
            code = 0
        except BaseException as error:
            os.write(writer, json.dumps(repr(error)).encode() + b"\n")
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = [json.loads(line) for line in pipe.read().splitlines()]
    return os.waitpid(pid, 0)[1], told


def killer(at: int) -> Callable[[str], None]:
    """A hook that kills its process at the n-th step, counted from 0."""
    count = -1

    def hook(step: str) -> None:
        nonlocal count
        count += 1
        if count == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return hook


def what_is_there(folder: Path) -> dict[str, Any]:
    """Everything that the workspace holds; sound, or this fails."""
    store, blobs = opened(folder)
    try:
        failed = [c for c in store.check() if not c["passed"]]
        assert not failed
        events = store.events()
        for name in blobs:
            blobs.get(name)
        for model in store.models():
            moves = [e for e in events if e.model == model.name and e.verb in ("promote", "rollback")]
            assert model.live == (moves[-1].version if moves else None)
            records = store.versions(model.name)
            assert [v.number for v in records] == list(range(1, model.versions + 1))
            assert all(blobs.has(v.digest) for v in records)
        assert not list((folder / "blobs").glob("*/.tmp*"))
        return {
            "events": [[e.seq, e.verb, e.model, e.version] for e in events],
            "models": [m.to_json() for m in store.models()],
            "answers": store.answers(),
            "document": store.document("watch"),
            "blobs": sorted(blobs),
        }
    finally:
        store.close()


def without_blobs(there: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in there.items() if k != "blobs"}


@pytest.fixture
def change(request, tmp_path):
    before, act = request.param
    base = tmp_path / "base"
    base.mkdir()

    def prepare(tell: Callable[[Any], None]) -> None:
        store, blobs = opened(base)
        before(store, blobs)
        store.close()

    assert child(prepare) == (0, [])
    steps: list[str] = []
    done = tmp_path / "done"
    shutil.copytree(base, done)

    def rehearse(tell: Callable[[Any], None]) -> None:
        act(*opened(done, steps.append))
        tell(steps)

    code, told = child(rehearse)
    assert code == 0, told
    return base, act, told[0], what_is_there(done)


@pytest.mark.parametrize("change", CHANGES, ids=[f"{a.__name__}-{b.__name__}" for a, b in CHANGES], indirect=True)
def test_a_kill_at_every_step_leaves_all_or_nothing(change, tmp_path):
    base, act, steps, after = change
    untouched = tmp_path / "untouched"
    shutil.copytree(base, untouched)
    before = what_is_there(untouched)
    assert len(steps) >= 8
    outcomes = set()
    # Nothing reaches the disk between "after" one step and "before" the next: one kill is both.
    points = [n for n, step in enumerate(steps) if step.endswith(":before")]
    for point in (*points, len(steps) - 1, len(steps)):
        folder = tmp_path / f"point-{point}"
        shutil.copytree(base, folder)

        def killed(tell: Callable[[Any], None], folder=folder, point=point) -> None:
            store, blobs = opened(folder, killer(point))
            act(store, blobs)
            tell("done")

        code, told = child(killed)
        assert code == (signal.SIGKILL if point < len(steps) else 0), (point, steps[point - 1], told)
        there = what_is_there(folder)
        if told == ["done"]:
            assert there == after
        elif set(there["blobs"]) != set(before["blobs"]) and without_blobs(there) == without_blobs(before):
            outcomes.add("blob only")
            assert set(there["blobs"]) == set(after["blobs"]) > set(before["blobs"])
        else:
            assert there in (before, after), (point, steps[point - 1 : point + 1])
            outcomes.add("all" if there == after else "nothing")
        shutil.rmtree(folder)
    assert "nothing" in outcomes
    assert outcomes & {"all", "blob only"}


def test_a_kill_during_the_opening_that_follows_a_kill(tmp_path):
    """First killed within a registration, then at each step of the next process's work, then looked at."""
    base = tmp_path / "base"
    base.mkdir()

    def prepare(tell: Callable[[Any], None]) -> None:
        two_versions(*opened(base))

    def first(folder: Path, at: int) -> list[str]:
        steps: list[str] = []

        def work(tell: Callable[[Any], None]) -> None:
            kill = killer(at)

            def hook(step: str) -> None:
                tell(step)
                kill(step)

            do_register(*opened(folder, hook))

        _, told = child(work)
        steps.extend(told)
        return steps

    assert child(prepare)[0] == 0
    rehearsed = tmp_path / "rehearsed"
    shutil.copytree(base, rehearsed)
    steps = first(rehearsed, -2)
    places = [steps.index(step) for step in ("write:after", "rename:before", "commit:before", "commit:after")]
    points = 0
    for at in places:
        second = 0
        while True:
            folder = tmp_path / f"{at}-{second}"
            shutil.copytree(base, folder)
            first(folder, at)

            def again(tell: Callable[[Any], None], folder=folder, second=second) -> None:
                do_promote(*opened(folder, killer(second)))
                tell("done")

            code, told = child(again)
            there = what_is_there(folder)
            if told == ["done"]:
                assert code == 0
                assert there["models"][0]["live"] == 2
                break
            assert code == signal.SIGKILL
            points += 1
            second += 6
            shutil.rmtree(folder)
    assert points > 20


def test_kills_at_any_moment(tmp_path):
    """Not between our steps but anywhere: within SQLite's own writes too."""
    acknowledged: list[int] = []
    for round_ in range(25):

        def work(tell: Callable[[Any], None], round_=round_) -> None:
            store, blobs = opened(tmp_path)
            for n in range(1000):
                if n == 2:
                    signal.setitimer(signal.ITIMER_REAL, 0.001 + 0.0007 * round_)
                name = blobs.put(f"{round_} {n}".encode() * 500)
                tell(register(store, digest=name, key=f"{round_} {n}"))

        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # the kernel ends the child, no Python runs
        code, told = child(work)
        assert code == signal.SIGALRM
        acknowledged += told
        there = what_is_there(tmp_path)
        assert there["models"][0]["versions"] in (acknowledged[-1], acknowledged[-1] + 1)
        if there["models"][0]["versions"] > acknowledged[-1]:
            acknowledged.append(there["models"][0]["versions"])
    assert acknowledged == list(range(1, len(acknowledged) + 1))
