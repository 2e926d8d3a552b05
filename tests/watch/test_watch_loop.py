"""The loop: one line a model, errors that wait and stop nobody, kills that cost nothing, two at once, signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.errors import DataError, UsageError
from ambidex.rounds import seconds_of
from ambidex.watch.loop import troubles, turn
from ambidex.workspace import Workspace, open_workspace
from watch.rolled import make


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m@1 live, m@2 a candidate."""
    return make(tmp_path_factory.mktemp("loop") / "w", policy="candidate")


@pytest.fixture
def w(base: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(base, tmp_path / "w"))


def at(folder: Path, seconds: float) -> Workspace:
    return open_workspace(folder, clock=lambda: datetime.now(UTC) + timedelta(seconds=seconds))


def alerts(folder: Path) -> list[tuple[str, str, bool]]:
    events = open_workspace(folder).store.events(verbs=("alert",))
    return [(e.model, e.body["text"], "closed" in e.body) for e in events]


def test_an_error_in_one_model_is_told_once_waits_and_stops_no_other(w: Path) -> None:
    calls: list[str] = []

    def monitor(model: str) -> tuple[str, str]:
        calls.append(model)
        if model == "bad":
            raise DataError("data.schema", "`zip` missing in the newest file")
        return "✓", "quiet"

    names, parts = ["bad", "good"], {"monitor": monitor, "rollout": lambda _: ("✓", "")}
    done = turn(at(w, 0), names, parts)
    assert [line.model for line in done.lines] == names
    assert done.lines[0].mark == "▲" and "`zip` missing in the newest file: alerted, next try" in done.lines[0].text
    assert done.lines[1].text == "quiet" and done.failed == 1
    assert done.lines[1].shown(5)[5:] == " good  ✓ quiet"
    for seconds, tried in ((10, False), (61, True), (100, False), (61 + 121, True)):
        calls.clear()
        turn(at(w, seconds), names, parts)
        assert ("bad" in calls) is tried, seconds
        assert "good" in calls
    assert alerts(w) == [("bad", "monitor fails: `zip` missing in the newest file", False)]
    assert [t["times"] for t in troubles(open_workspace(w), names)] == [3]
    calls.clear()
    turn(at(w, 200), names, parts, again=True)  # --once: whoever asks now wants to know now
    assert "bad" in calls
    turn(at(w, 8000), names, {"monitor": lambda _: ("✓", "quiet")})
    assert alerts(w)[1:] == [("bad", "monitor works again", True)]
    assert troubles(open_workspace(w), names) == []


def test_another_error_is_another_incident(w: Path) -> None:
    errors: list[Exception] = [DataError("data.schema", "one"), DataError("data.schema", "two"), ValueError("three")]

    def fails(_: str) -> tuple[str, str]:
        raise errors.pop(0)

    for _ in range(3):
        turn(at(w, 0), ["m"], {"retrain": fails}, again=True)
    assert [text for _, text, _ in alerts(w)] == ["retrain fails: one", "retrain fails: ValueError: three"]


def test_once_is_repeatable_and_says_one_line_a_model(w: Path) -> None:
    said = amb.watch(once=True, at=w)
    assert len(said.lines) == 1 and said.lines[0][1][6:].startswith("m no prediction") is False
    before = len(open_workspace(w).store.events())
    again = amb.watch(once=True, at=w)
    assert len(open_workspace(w).store.events()) == before
    assert again.data["failed"] == 0 and again.data["turns"] == 1
    assert set(again.data["models"][0]) == {"at", "model", "mark", "text", "failed"}


def test_a_half_written_file_alerts_and_monitoring_goes_on(w: Path) -> None:
    (w / "data" / "b.csv").write_text("customer,x,y\nq1,0.1,yes\n")
    os.utime(w / "data" / "b.csv", (1, 1))
    said = amb.watch(once=True, at=w).data["models"][0]
    assert set(said["failed"]) == {"retrain"} and "z" in said["failed"]["retrain"]
    (w / "data" / "b.csv").unlink()
    assert amb.watch(once=True, at=w).data["failed"] == 0
    assert [closed for _, _, closed in alerts(w)] == [False, True]


@pytest.mark.parametrize("interval", ["0", "0.1", "2d", "soon", True])
def test_intervals_that_cannot_be(interval: Any) -> None:
    with pytest.raises(UsageError):
        seconds_of(interval)


# ---------------------------------------------------------------- processes


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ambidex.cli", "watch", *words], cwd=folder, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def first_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def ended(child: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = child.communicate(timeout=30)
    return child.returncode, out, err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_signals_end_it_cleanly(w: Path, number: int, code: int) -> None:
    child = start(w, "--interval", "60")
    assert " m " in first_line(child)
    began = time.monotonic()
    child.send_signal(number)
    got, out, err = ended(child)
    assert got == code and time.monotonic() - began < 10
    assert "Traceback" not in out + err
    if code == 0:
        assert "stopped after " in out  # 0 turns where the signal came before the first had ended
    assert all(c["passed"] for c in open_workspace(w).store.check())


def test_two_watches_at_once_and_a_kill_leave_one_set_of_events(w: Path) -> None:
    (w / "data" / "c.csv").write_text((w / "data" / "a.csv").read_text().replace("\nu", "\nv"))
    os.utime(w / "data" / "c.csv", (1, 1))
    first, second = start(w, "--once", "--json"), start(w, "--once", "--json")
    third = start(w, "--once")
    threading.Timer(1.0, third.kill).start()
    for child in (first, second):
        code, out, err = ended(child)
        assert code == 0, err
        assert json.loads(out)["ok"] is True
    ended(third)
    amb.watch(once=True, at=w)
    store = open_workspace(w).store
    assert len(store.versions("m")) == 3  # one new version of the new rows, however many looked
    assert [e.version for e in store.events(verbs=("register",))] == [1, 2, 3]
    assert alerts(w) == []
    assert all(c["passed"] for c in store.check())


def test_training_runs_beside_the_loop(w: Path) -> None:
    """New rows: the loop goes round while a child trains, and tells what came of it."""
    child = start(w, "--interval", "1")
    first_line(child)
    (w / "data" / "d.csv").write_text((w / "data" / "a.csv").read_text().replace("\nu", "\nw"))
    os.utime(w / "data" / "d.csv", (1, 1))
    lines: list[str] = []
    assert child.stdout is not None
    end = time.monotonic() + 60
    while time.monotonic() < end and not any("m@3" in one for one in lines):
        lines.append(child.stdout.readline())
    child.send_signal(signal.SIGTERM)
    assert ended(child)[0] == 0
    assert any("retraining for" in one for one in lines), lines
    assert any("m@3 passed its gates and waits as candidate" in one for one in lines), lines
