"""A workspace whose files cannot be written is read all the same, and nothing in it changes."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.edges.sql import SqlStore
from ambidex.errors import EnvironmentProblem
from ambidex.testing import HandClock, register

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def as_anybody() -> None:
    """Root minds permissions from here on, like everybody else (Linux capabilities 1 and 2: CAP_DAC_*)."""
    if os.geteuid():
        return
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.capget(header, data) == 0
    for part in (0, 1):  # effective, permitted
        data[part] &= ~0b110
    assert libc.capset(header, data) == 0


def forked(work: Callable[[], Any]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            as_anybody()
            work()
            os._exit(0)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Callable[[Path], None]]:
    """Takes the right to write from a folder and all in it."""
    yield lambda folder: modes(folder, lambda mode: mode & ~0o222)
    modes(tmp_path, lambda mode: mode | stat.S_IWUSR)


def modes(folder: Path, change: Callable[[int], int]) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(change(stat.S_IMODE(path.stat().st_mode)))


def files(folder: Path) -> list[tuple[str, int, int]]:
    found = [(str(p.relative_to(folder)), p.stat()) for p in folder.rglob("*")]
    return sorted((name, s.st_size, s.st_mtime_ns) for name, s in found)


def written(folder: Path, *, killed: bool) -> Path:
    """A database with two versions of churn; killed leaves the write-ahead log with both in it."""
    folder.mkdir()
    path = folder / "meta.sqlite"

    def write() -> None:
        store = SqlStore(path, clock=HandClock())
        register(store)
        register(store)
        if killed:
            os._exit(0)
        store.close()

    forked(write)
    return path


def read(path: Path) -> None:
    store = SqlStore(path, clock=HandClock())
    for _ in range(2):
        assert store.model("churn").versions == 2
        assert all(c["passed"] for c in store.check())
    with pytest.raises(EnvironmentProblem) as caught:
        store.append(verb="init")
    assert (caught.value.code, caught.value.exit_code) == ("env.disk", 5)
    assert "permission" in str(caught.value.found)
    assert store.model("churn").versions == 2
    store.close()


def test_a_database_without_a_log(tmp_path, closed):
    path = written(tmp_path / "w", killed=False)
    assert not path.with_name("meta.sqlite-wal").exists()
    before = files(path.parent)
    closed(path.parent)
    forked(lambda: read(path))
    assert files(path.parent) == before


@pytest.mark.parametrize("index", [True, False], ids=["with its index", "without its index"])
def test_a_database_that_a_killed_writer_left(tmp_path, closed, index):
    path = written(tmp_path / "w", killed=True)
    assert path.with_name("meta.sqlite-wal").stat().st_size
    if not index:
        path.with_name("meta.sqlite-shm").unlink()
    before = files(path.parent)
    closed(path.parent)
    forked(lambda: read(path))
    assert [f[:2] for f in files(path.parent)] == [f[:2] for f in before]


def test_only_the_database_is_closed(tmp_path, closed):
    path = written(tmp_path / "w", killed=False)
    path.chmod(0o400)
    forked(lambda: read(path))
    assert not path.with_name("meta.sqlite-wal").exists()


def test_a_reader_sees_what_is_written_beside_it_and_writes_once_it_may(tmp_path, closed):
    path = written(tmp_path / "w", killed=False)
    path.chmod(0o400)

    def work() -> None:
        store = SqlStore(path, clock=HandClock())
        assert store.model("churn").versions == 2
        path.chmod(0o600)
        other = SqlStore(path, clock=HandClock())
        register(other)
        path.chmod(0o400)
        assert store.model("churn").versions == 3
        other.close()
        assert store.model("churn").versions == 3
        path.chmod(0o600)
        register(store)
        store.close()

    forked(work)


def test_what_the_verbs_say(tmp_path, closed):
    w = tmp_path / "w"
    amb.init(w)
    (w / "a.csv").write_text("a,b\n" + "".join(f"{i},{i % 7}\n" for i in range(50)))
    amb.profile(w / "a.csv", at=w)
    moved = shutil.copytree(w, tmp_path / "moved")
    before = files(moved)
    closed(moved)

    def work() -> None:
        assert amb.doctor(at=moved).data["healthy"]
        amb.status(at=moved)
        amb.next(at=moved)
        assert amb.models("ls", at=moved) is not None
        with pytest.raises(EnvironmentProblem) as caught:
            amb.profile(moved / "a.csv", target="b", at=moved)
        assert caught.value.code == "env.disk"

    forked(work)
    assert files(moved) == before
