"""SIGKILL at every step of the disk while a roll-out is driven: run again, the same events and pointers are there."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.delivery.rollout import Mover
from ambidex.watch.rollout import rollout_step
from ambidex.workspace import open_workspace
from watch.rolled import make, traffic

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@2 in shadow."""
    folder = make(tmp_path_factory.mktemp("killed") / "w")
    amb.promote("m@2", to="shadow", at=folder)
    return folder


def forked(act: Callable[[], Any]) -> int:
    """Wait status of a child that does it."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1]


def drive(folder: Path, *, kill_at: int = 0) -> int:
    """Steps until nothing more is decided, killed at the n-th step of the disk; the wait status."""
    count = 0

    def hook(_: str) -> None:
        nonlocal count
        count += 1
        if count == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def act() -> None:
        for _ in range(2):
            place = open_workspace(folder, hook=hook)
            rollout_step(place, "m", Mover(place))

    return forked(act)


def seen(folder: Path) -> Any:
    place = open_workspace(folder)
    events = [
        (e.verb, e.version, e.body.get("state"), e.body.get("to"), e.body.get("because"), e.body.get("level"))
        for e in place.store.events(verbs=("rollout", "promote", "rollback", "alert", "pause"))
    ]
    rollout = {k: v for k, v in (place.store.document("rollout/m") or {}).items() if k not in ("staged", "started")}
    return events, place.store.model("m").to_json() | {"data": None}, rollout


def killed_everywhere(base: Path, home: Path, *, every: int, **kind: Any) -> int:
    """Kill at each ``every``-th step; how many kills there were."""
    start = Path(shutil.copytree(base, home / "start"))
    traffic(start, 1500, **kind)
    whole = Path(shutil.copytree(start, home / "whole"))
    assert drive(whole) == 0
    expected = seen(whole)
    kills, n = 0, 1
    while True:
        folder = Path(shutil.copytree(start, home / f"at{n}"))
        status = drive(folder, kill_at=n)
        if not os.WIFSIGNALED(status):
            assert status == 0
            break
        kills += 1
        assert drive(folder) == 0
        assert seen(folder) == expected, f"killed at step {n}"
        assert all(c["passed"] for c in open_workspace(folder).store.check())
        shutil.rmtree(folder)
        n += every
    return kills


def test_killed_while_it_rolls_back(base: Path, tmp_path: Path) -> None:
    assert killed_everywhere(base, tmp_path, every=29, worse=0.08) >= 3


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("worse", [0.0, 0.08])
def test_killed_at_every_fifth_step(base: Path, tmp_path: Path, worse: float) -> None:
    assert killed_everywhere(base, tmp_path, every=5, worse=worse) >= 40
