"""Blobs in files: the contract, altered bytes, swept temp files, a disk that refuses."""

from __future__ import annotations

import ast
import errno
import inspect
import os
import random
import stat
import subprocess
import time
from pathlib import Path

import pytest

from ambidex.edges import files
from ambidex.edges.files import FileBlobs, here
from ambidex.errors import EnvironmentProblem, Refused
from ambidex.records import digest
from ambidex.testing import BlobsContract, MemoryBlobs


class TestFileBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self, tmp_path):
        return FileBlobs(tmp_path / "blobs")


class TestMemoryBlobs(BlobsContract):
    @pytest.fixture
    def blobs(self):
        return MemoryBlobs()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "blobs"


def only_file(folder: Path) -> Path:
    (path,) = [p for p in folder.rglob("*") if p.is_file()]
    return path


def test_it_lies_where_its_hash_says_for_its_owner_only(folder):
    name = FileBlobs(folder).put(b"abc")
    path = only_file(folder)
    assert path == folder / name[:2] / name
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_1000_flipped_bits_are_all_found(folder):
    blobs = FileBlobs(folder)
    data = random.Random(5).randbytes(4000)
    name = blobs.put(data)
    path = only_file(folder)
    rng = random.Random(6)
    for _ in range(1000):
        at = rng.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(Refused) as caught:
            blobs.get(name)
        assert caught.value.code == "check.altered"
    assert caught.value.where == f"blobs/{name[:2]}/{name}"
    assert name[:12] in str(caught.value.found)
    for cut in (0, 1, 3999):
        path.write_bytes(data[:cut])
        with pytest.raises(Refused):
            blobs.get(name)
    assert blobs.put(data) == name  # storing it again puts it right
    assert blobs.get(name) == data


def test_temp_files_of_the_dead_and_the_old_are_swept(folder):
    blobs = FileBlobs(folder)
    blobs.put(b"abc")
    inside = only_file(folder).parent
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {
        "dead": f".tmp-{here()}-{dead.pid}-aa",
        "alive": f".tmp-{here()}-{os.getpid()}-aa",
        "elsewhere": f".tmp-00000000-{dead.pid}-aa",
        "old": f".tmp-00000000-{os.getpid()}-bb",
        "odd": ".tmp-x",
    }
    for name in names.values():
        (inside / name).write_bytes(b"half")
    os.utime(inside / names["old"], (time.time() - 3700, time.time() - 3700))
    assert list(blobs) == [digest(b"abc")]
    again = FileBlobs(folder)
    left = {p.name for p in inside.iterdir()} - {digest(b"abc")}
    assert left == {names["alive"], names["elsewhere"], names["odd"]}
    assert again.sweep() == 0
    assert again.get(digest(b"abc")) == b"abc"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EIO, errno.EMFILE])
@pytest.mark.parametrize("call", ["open", "write", "fsync"])
def test_a_disk_that_refuses_leaves_nothing(folder, monkeypatch, call, number):
    blobs = FileBlobs(folder)
    blobs.put(b"abc")
    before = sorted(folder.rglob("*"))
    real = getattr(os, call)

    def refuse(*args, **more):
        if call == "open" and not args[1] & os.O_CREAT:
            return real(*args, **more)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(EnvironmentProblem) as caught:
        blobs.put(b"other bytes")
    monkeypatch.undo()
    assert caught.value.code == "env.disk"
    assert caught.value.found == errno.errorcode[number]
    assert [p for p in sorted(folder.rglob("*")) if p.is_file()] == [p for p in before if p.is_file()]


def test_a_disk_that_is_really_full(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small tmpfs cannot be mounted here")
    try:
        blobs = FileBlobs(small / "blobs")
        kept = [blobs.put(bytes([n]) * 20_000) for n in range(3)]
        with pytest.raises(EnvironmentProblem) as caught:
            blobs.put(b"x" * 300_000)
        assert (caught.value.code, caught.value.found) == ("env.disk", "ENOSPC")
        assert not list(small.rglob(".tmp*"))
        assert sorted(blobs) == sorted(kept)
        kept.append(blobs.put(b"small"))
        assert [len(blobs.get(name)) for name in kept] == [20_000] * 3 + [5]
        remounted = ["mount", "-o", "remount,ro", str(small)]
        subprocess.run(remounted, capture_output=True, check=True)
        with pytest.raises(EnvironmentProblem) as caught:
            blobs.put(b"more")
        assert (caught.value.code, caught.value.found) == ("env.disk", "EROFS")
        assert len(FileBlobs(small / "blobs").get(kept[0])) == 20_000
    finally:
        subprocess.run(["umount", str(small)], capture_output=True, check=True)


def test_short_writes_are_finished(folder, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data[:100])))
    blobs = FileBlobs(folder)
    data = random.Random(7).randbytes(1050)
    assert blobs.get(blobs.put(data)) == data


def test_no_call_that_changes_a_disk_goes_past_its_points():
    """In files.py only ``Disk`` may write, sync, rename or remove, and there only within ``step``."""
    tree = ast.parse(inspect.getsource(files))
    changing = {"write", "fsync", "replace", "rename", "unlink", "mkdir", "open", "write_bytes", "write_text"}

    def calls(node: ast.AST, name: str = "") -> set[str]:
        found = set()
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Lambda):
                continue  # handed to step
            inner = name
            if isinstance(child, ast.FunctionDef):
                inner = child.name
            if isinstance(child, ast.Call) and isinstance(child.func, ast.Attribute):
                owner = ast.unparse(child.func.value)
                if child.func.attr in changing and owner not in ("self", "self._disk", "disk"):
                    found.add(f"{inner}: {ast.unparse(child.func)}")
            found |= calls(child, inner)
        return found

    assert calls(tree) == {
        "sync_folder: os.open",  # opens a folder for reading
        "replace: temp.unlink",  # cleans up after a refusal; a kill there leaves what sweep() takes
    }
