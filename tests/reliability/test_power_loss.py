"""Power loss under the blobs: a disk that forgets, tears and reorders what was not synced.

The steps that ``Disk`` takes are recorded and played onto a model of a disk. At every prefix the
power goes; each name and each content that no fsync has covered survives or not, as the seed says.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from ambidex.edges.files import Disk, FileBlobs
from ambidex.records import digest

SEEDS = 64


class RecordingDisk(Disk):
    """Does the steps and writes them down."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[tuple] = []
        self.names: dict[int, Path] = {}

    def folder(self, path):
        if not path.exists():
            self.log.append(("name", path, None))
        super().folder(path)

    def create(self, path):
        descriptor = super().create(path)
        self.names[descriptor] = path
        self.log.append(("name", path, path))
        return descriptor

    def write(self, descriptor, data):
        super().write(descriptor, data)
        self.log.append(("write", self.names[descriptor], bytes(data)))

    def sync(self, descriptor):
        super().sync(descriptor)
        self.log.append(("sync", self.names[descriptor]))

    def rename(self, old, new):
        super().rename(old, new)
        self.log.append(("rename", old, new))

    def sync_folder(self, path):
        super().sync_folder(path)
        self.log.append(("sync folder", path))

    def acknowledged(self, sha256):
        self.log.append(("acknowledged", sha256))


def after_power_loss(log: list[tuple], rng: random.Random) -> dict[Path, bytes | None]:
    """What lies where: bytes of files, None for folders."""
    content: dict[Path, bytes] = {}  # by the name a file was made with, which stands for its inode
    synced: dict[Path, bytes] = {}
    now: dict[Path, Path | None] = {}  # name -> inode, or None for a folder
    kept: dict[Path, Path | None] = {}
    changes: list[tuple] = []  # of names, not covered by a sync of their folder
    for entry in log:
        match entry:
            case ("name", path, inode):
                now[path] = inode
                changes.append((path.parent, {path: inode}, ()))
                if inode is not None:
                    content[inode], synced[inode] = b"", b""
            case ("write", inode, data):
                content[inode] += data
            case ("sync", inode):
                synced[inode] = content[inode]
            case ("rename", old, new):
                inode = now.pop(old)
                now[new] = inode
                changes.append((new.parent, {new: inode}, (old,)))
            case ("sync folder", folder):
                for change in [c for c in changes if c[0] == folder]:
                    kept.update(change[1])
                    for old in change[2]:
                        kept.pop(old, None)
                    changes.remove(change)
    rng.shuffle(changes)
    for _, added, gone in changes:
        if rng.random() < 0.5:
            kept.update(added)
            for old in gone:
                if rng.random() < 0.5:
                    kept.pop(old, None)
    there: dict[Path, bytes | None] = {}
    for path, inode in kept.items():
        if inode is None:
            there[path] = None
        elif content[inode] == synced[inode]:
            there[path] = content[inode]
        else:  # any part of what was written since, torn anywhere, with rubbish where nothing arrived
            new = content[inode]
            cut = rng.randrange(len(new) + 1)
            there[path] = rng.choice([synced[inode], new[:cut], new[:cut] + b"\0" * (len(new) - cut), new])
    return there


@pytest.fixture
def recorded(tmp_path):
    folder = tmp_path / "blobs"
    blobs = FileBlobs(folder)
    disk = RecordingDisk()
    blobs._disk = disk
    pieces = [b"one" * 100, b"two" * 5000, b"one" * 100, b"", b"three"]
    same_folder = next(d for d in (f"{n}".encode() for n in range(10_000)) if digest(d)[:2] == digest(pieces[0])[:2])
    for data in (*pieces, same_folder):
        disk.acknowledged(blobs.put(data))
    return folder, disk.log


def broken(folder: Path, log: list[tuple]) -> str | None:
    """The first way in which a power loss breaks a promise, or None."""
    for prefix in range(len(log) + 1):
        told = {entry[1] for entry in log[:prefix] if entry[0] == "acknowledged"}
        for seed in range(SEEDS):
            there = after_power_loss(log[:prefix], random.Random(seed))
            whole = set()
            for path, data in there.items():
                reachable = all(p in there for p in path.parents if p.is_relative_to(folder))
                if data is None or not reachable or path.name.startswith(".tmp-"):
                    continue
                if digest(data) != path.name:
                    return f"torn at {prefix}, seed {seed}: {log[prefix - 1][0]}"
                whole.add(path.name)
            if not told <= whole:
                return f"lost at {prefix}, seed {seed}"
    return None


def test_what_was_acknowledged_is_there_and_nothing_is_torn(recorded):
    folder, log = recorded
    assert len(log) > 30
    assert broken(folder, log) is None


@pytest.mark.parametrize("without", ["sync", "sync folder"])
def test_the_disk_is_cruel_enough(recorded, without):
    """Leaving out either kind of sync is noticed."""
    folder, log = recorded
    assert broken(folder, [entry for entry in log if entry[0] != without]) is not None
