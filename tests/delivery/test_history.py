"""What was live when, who moved it, on what evidence; and a scoring that is killed logs its rows once."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.data.frames import read_frames
from ambidex.errors import NotFound, UsageError
from ambidex.settings import read_settings
from ambidex.testing import HandClock, judge, promote, register
from ambidex.workspace import Workspace

T0 = datetime(2027, 11, 24, 13, 0, tzinfo=UTC)


@pytest.fixture
def place(tmp_path: Path) -> tuple[Workspace, HandClock]:
    """churn@1 live at 13:10, churn@2 at 14:00, back at 14:40."""
    amb.init(tmp_path / "w")
    clock = HandClock(T0)
    workspace = Workspace(tmp_path / "w", read_settings(tmp_path / "w"), clock=clock)
    store = workspace.store
    for version, minutes in ((1, 10), (2, 50)):
        register(store)
        judge(store, version, at=clock())
        clock.advance(60 * minutes)
        promote(store, version)
    clock.advance(60 * 40)
    promote(store, 1, verb="rollback", judgement=None, because="errors rose")
    clock.advance(60 * 60)
    return workspace, clock


def asked(place: tuple[Workspace, HandClock], when: str, name: str | None = "churn") -> dict[str, Any]:
    from ambidex.delivery.history import then

    return then(place[0], name, when).data["then"][0]


def test_what_was_live_at(place: Any) -> None:
    found = asked(place, "2027-11-24T13:05Z")
    assert (found["live"], found["evidence"]) == (None, None)
    found = asked(place, "2027-11-24T13:30Z")
    assert (found["live"], found["verb"], found["was"]) == (1, "promote", None)
    found = asked(place, "2027-11-24T14:32Z")
    assert (found["live"], found["was"], found["since"][:16]) == (2, 1, "2027-11-24T14:00")
    assert found["by"]
    assert (found["evidence"]["against"], [g["name"] for g in found["evidence"]["gates"]]) == (1, ["loss"])
    found = asked(place, "2027-11-24T14:41Z", None)
    assert (found["live"], found["verb"], found["because"], found["was"]) == (1, "rollback", "errors rose", 2)
    assert found["paused"]


def test_the_moment_itself_counts_and_zones_are_heard(place: Any) -> None:
    assert asked(place, "2027-11-24T14:00:00Z")["live"] == 2
    assert asked(place, "2027-11-24T13:59:59.9Z")["live"] == 1
    assert asked(place, "2027-11-24T15:59+02:00")["live"] == 1
    assert asked(place, "2027-11-24T15:00+01:00")["live"] == 2


def test_local_time_unless_it_names_its_zone(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert asked(place, "2027-11-24T14:59")["live"] == 1
        assert asked(place, "2027-11-24T15:00")["live"] == 2
    finally:
        monkeypatch.undo()
        time.tzset()


def test_moments_that_are_none(place: Any) -> None:
    for when, kind in (
        ("Tuesday", UsageError), ("", UsageError), ("2028-01-01", UsageError), ("2027-11-24T12:59Z", NotFound),
    ):  # fmt: skip
        with pytest.raises(kind):
            asked(place, when)
    with pytest.raises(NotFound):
        asked(place, "2027-11-24T14:00Z", "chrun")


def test_a_clock_that_was_set_back_is_said(place: Any) -> None:
    from ambidex.delivery.history import then

    workspace, clock = place
    register(workspace.store)
    clock.advance(-3600)
    judge(workspace.store, 3, at=clock())
    result = then(workspace, "churn", "2027-11-24T15:40Z")
    assert not result.warnings and result.data["then"][0]["live"] == 1
    clock.advance(10)
    result = then(workspace, "churn", "2027-11-24T14:40:05Z")
    assert result.warnings[0][0] == "clock"


def test_the_command(place: Any) -> None:
    with pytest.raises(NotFound):
        amb.models("log", "chrun", when="2020-01-01", at=place[0].folder)
    with pytest.raises(UsageError):
        amb.models("ls", when="2020-01-01", at=place[0].folder)


# ---------------------------------------------------------------- a scoring that is killed


def table(path: Path, n: int = 3000) -> Path:
    lines = [f"u{i},{i % 37},{'ab'[i % 2]},{'yes' if (i % 37 > 17) ^ (i * 31 % 10 < 2) else 'no'}" for i in range(n)]
    path.write_text("\n".join(["id,x,plan,y", *lines]) + "\n")
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored") / "w"
    amb.init(folder)
    table(folder / "data" / "a.csv")
    answer = amb.drivers(folder / "data", target="y", positive="yes", at=folder)
    amb.package(answer, name="m", at=folder)
    return folder


def logged(folder: Path) -> list[str]:
    files = sorted((folder / ".ambidex" / "log" / "m").glob("score-*.frames"))
    return [f["id"] for path in files for f in read_frames(path)[0]]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("moment", ["log", "place", "event"])
def test_a_killed_scoring_logs_its_rows_once(model: Path, tmp_path: Path, monkeypatch: Any, moment: str) -> None:
    from ambidex.data.frames import FrameWriter
    from ambidex.delivery import score
    from ambidex.edges.sql import SqlStore

    rows = table(tmp_path / f"{moment}.csv", 1000)
    out = tmp_path / "scores.csv"
    before = len(logged(model))

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        if moment == "log":
            write = FrameWriter.write

            def half(self: Any, payloads: Any) -> int:
                write(self, list(payloads)[:400])
                raise Killed

            patch.setattr(FrameWriter, "write", half)
        elif moment == "place":
            patch.setattr(score, "_place", kill)
        else:
            append = SqlStore.append
            patch.setattr(SqlStore, "append", lambda self, **e: kill() if e["verb"] == "score" else append(self, **e))
        with pytest.raises(Killed):
            amb.score("m@1", rows, out=out, at=model)
    amb.score("m@1", rows, out=out, at=model)
    ids = logged(model)
    assert len(ids) - before == 1000
    assert len(set(ids)) == len(ids)
    written = [line.partition(",")[0].strip('"') for line in out.read_text().splitlines()[1:]]
    assert set(written) <= set(ids) or {line.split(",")[1] for line in out.read_text().splitlines()[1:]} <= set(ids)
    amb.score("m@1", rows, out=out, at=model)
    assert len(logged(model)) - before == 2000, "asked for anew, it predicts anew"
