"""Flipped bits in the database and in its write-ahead log: found, or without any effect."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from ambidex.edges.sql import SqlStore
from ambidex.errors import AmbidexError
from ambidex.testing import HandClock, judge, promote, register

SEED = 20261124


def everything(store: SqlStore) -> Any:
    return (
        store.events(),
        [(m, [(v, store.judgement(m.name, v.number)) for v in store.versions(m.name)]) for m in store.models()],
        store.answers(),
        store.document("watch"),
    )


@pytest.fixture
def workspace(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    clock = HandClock()
    store = SqlStore(folder / "meta.sqlite", clock=clock)
    for version in range(1, 4):
        register(store)
        judge(store, version, at=clock())
        promote(store, version)
        store.record_answer({"verb": "drivers", "record": {"seed": version}, "text": "x" * 900})
    for n in range(120):
        store.append(verb="score", model="churn", version=3, body={"rows": n, "text": f"{n} " * 300})
    promote(store, 2, verb="rollback", judgement=None)
    store.put_document("watch", {"looks": 1}, events=[{"verb": "monitor", "model": "churn"}])
    return folder, store


def flipped(folder: Path, name: str, count: int, truth: Any, tmp_path: Path) -> tuple[int, int]:
    """How many were found, and how many changed nothing that can be read."""
    data = (folder / name).read_bytes()
    rng = random.Random(SEED)
    found = harmless = 0
    for n in range(count):
        at = rng.randrange(len(data) * 8)
        bad = bytearray(data)
        bad[at // 8] ^= 1 << at % 8
        copy = tmp_path / f"flip-{n}"
        shutil.copytree(folder, copy)
        (copy / name).write_bytes(bad)
        store = SqlStore(copy / "meta.sqlite", clock=HandClock())
        try:
            sound = all(c["passed"] for c in store.check())
            if sound:
                assert everything(store) == truth, f"seed {SEED}, flip {n}: bit {at} of {name} was not found"
                harmless += 1
        except AmbidexError as error:
            assert error.code == "env.broken-workspace", error
            sound = False
        finally:
            store.close()
        found += not sound
        shutil.rmtree(copy)
    return found, harmless


def test_300_bits_of_the_database(workspace, tmp_path):
    """Measured: 185 found; the others lie in bytes that no page uses."""
    folder, store = workspace
    truth = everything(store)
    store.close()
    found, harmless = flipped(folder, "meta.sqlite", 300, truth, tmp_path)
    assert found + harmless == 300
    assert found > 100


def test_100_bits_of_the_write_ahead_log(workspace, tmp_path):
    """SQLite cuts its log at the first bad frame without a word; the end that lies beside it tells."""
    folder, store = workspace
    truth = everything(store)
    assert (folder / "meta.sqlite-wal").stat().st_size > 100_000
    copy = tmp_path / "running"
    shutil.copytree(folder, copy)
    store.close()
    (copy / "meta.sqlite-shm").unlink()
    found, harmless = flipped(copy, "meta.sqlite-wal", 100, truth, tmp_path)
    assert found + harmless == 100
    assert found > 90
