"""SIGKILL at every statement and commit of every state change, on Postgres.

The points are enumerated while the test runs. Postgres undoes what a killed client had not committed.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from ambidex.edges.sql import SqlStore
from ambidex.testing import HandClock, judge, promote, register

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def judged(store: SqlStore) -> None:
    for version in (1, 2):
        register(store)
        judge(store, version, at=HandClock()())
        if version == 1:
            promote(store, 1)


def live(store: SqlStore) -> None:
    judged(store)
    promote(store, 2)


def three(store: SqlStore) -> None:
    live(store)
    register(store)


def retrain(store: SqlStore) -> None:
    """The store's share of one step: lease, data, register, judge, promote, release."""
    token = store.lease("retrain/churn", seconds=60)
    if token is None:
        return
    store.append(verb="data", model="churn", body={"fingerprint": "d9"})
    number = register(store, key="the run", digest="9" * 64, fence=("retrain/churn", token))
    judge(store, number, at=HandClock()())
    promote(store, number, fence=("retrain/churn", token))
    store.release("retrain/churn", token)


CHANGES: list[tuple[str, Callable[[SqlStore], None], Callable[[SqlStore], Any]]] = [
    ("create", lambda store: None, lambda store: store.events()),
    ("register", judged, lambda store: register(store, key="the next run")),
    ("judge", judged, lambda store: judge(store, 2, at=HandClock()(), outcome="refuted")),
    ("promote", judged, lambda store: promote(store, 2)),
    ("rollback", live, lambda store: promote(store, 1, verb="rollback", judgement=None)),
    ("delete", three, lambda store: store.delete(model="churn", version=3, because="tidy")),
    ("answer", judged, lambda store: store.record_answer({"verb": "drivers", "record": {"seed": 1}})),
    ("document", judged, lambda store: store.put_document("watch", {"n": 2}, events=[{"verb": "monitor"}])),
    ("lease", judged, lambda store: store.lease("retrain/churn", seconds=60)),
    ("retrain", judged, retrain),
]


def killed_at(url: str, point: int, act: Callable[[SqlStore], Any]) -> tuple[int, list[str]]:
    """Run in a fork that kills itself at the n-th step; how it ended, and its steps until then."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code, steps = 1, 0
        try:
            os.close(reader)

            def hook(step: str) -> None:
                nonlocal steps
                os.write(writer, json.dumps(step).encode() + b"\n")
                if steps == point:
                    os.kill(os.getpid(), signal.SIGKILL)
                steps += 1

            act(SqlStore(url, clock=HandClock(), hook=hook))
            os.write(writer, b'"done"\n')
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = [json.loads(line) for line in pipe.read().splitlines()]
    return os.waitpid(pid, 0)[1], told


def there(url: str) -> tuple[list[Any], list[Any]]:
    """Verbs of the log and the models; sound, or this fails."""
    store = SqlStore(url, clock=HandClock())
    try:
        failed = [c for c in store.check() if not c["passed"]]
        assert not failed
        events = store.events()
        for model in store.models():
            moves = [e for e in events if e.model == model.name and e.verb in ("promote", "rollback")]
            assert model.live == (moves[-1].version if moves else None)
            kept = [n for n in range(1, model.versions + 1) if n not in model.deleted]
            assert [v.number for v in store.versions(model.name)] == kept
        return [[e.verb, e.version] for e in events], [m.to_json() for m in store.models()]
    finally:
        store.close()


def prepared(new_database: Callable[[], str], before: Callable[[SqlStore], None]) -> str:
    url = new_database()
    store = SqlStore(url, clock=HandClock())
    before(store)
    store.close()
    return url


_points: dict[str, int] = {}


@pytest.mark.parametrize(("name", "before", "act"), CHANGES, ids=[c[0] for c in CHANGES])
def test_a_kill_at_every_step(new_database: Callable[[], str], name: str, before: Any, act: Any) -> None:
    def base() -> str:
        return new_database() if name == "create" else prepared(new_database, before)

    url = base()
    start = there(url) if name != "create" else ([], [])
    code, steps = killed_at(url, -1, act)
    assert (code, steps[-1]) == (0, "done")
    end = there(url)
    points = [n for n, step in enumerate(steps[:-1]) if step.endswith(":before")]
    _points[name] = len(points)
    every = 3 if name == "retrain" else 1
    for point in points[::every]:
        url = base()
        code, told = killed_at(url, point, act)
        assert code == signal.SIGKILL, told
        assert told == steps[: point + 1], "the steps are the same in every run"
        found = there(url)
        assert found[0] == end[0][: len(found[0])] and len(found[0]) >= len(start[0]), "what is there was whole"
        if name != "retrain":
            assert found in (start, end), steps[point]
            continue
        # The next start takes over the dead holder's lease and goes on; the end is the same, or a version made anew.
        store = SqlStore(url, clock=HandClock())
        retrain(store)
        assert store.lease("retrain/churn", seconds=60) is not None
        state = store.model("churn")
        assert (state.live, state.versions) == (3, 3), steps[point]
        store.close()


def test_enough_points() -> None:
    if len(_points) < len(CHANGES):
        pytest.skip("the tests above did not all run")
    assert sum(_points.values()) >= 150, _points
