"""Versions that are deleted, and files that nothing needs: kills at every step, registrations beside it, the verb."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ambidex.bundle.seal import read_manifest, register, seal
from ambidex.delivery.collect import collect, needed
from ambidex.edges.files import FileBlobs
from ambidex.edges.sql import SqlStore
from ambidex.errors import NotFound, Refused
from ambidex.testing import HandClock, judge, promote

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def place_at(folder: Path, hook: Callable[[str], None] | None = None) -> Any:
    store = SqlStore(folder / "meta.sqlite", clock=HandClock(), hook=hook)
    return SimpleNamespace(store=store, blobs=FileBlobs(folder / "blobs", hook))


def add(place: Any, number: int, model: str = "churn") -> int:
    files = {"model.json": f"model {number} of {model}".encode() * 100, "schema.json": b"the same for all of them"}
    facts = {"data": "d1", "code": "c1", "key": f"{model} {number}", "summary": {}}
    return int(register(place.store, place.blobs, files, model=model, **facts).number)


def three_versions(place: Any, now: datetime | None = None) -> None:
    for number in (1, 2, 3):
        add(place, number)
    judge(place.store, 1, at=now or HandClock()())
    promote(place.store, 1)
    seal(place.blobs, {"model.json": b"sealed, and its process died before it was registered"})


def whole(place: Any) -> set[str]:
    """Every version that is there opens whole, and the log is sound; the blobs."""
    assert not [c for c in place.store.check() if not c["passed"]]
    for record in place.store.versions("churn"):
        for entry in read_manifest(place.blobs, record.digest)["files"].values():
            place.blobs.get(entry["sha256"])
    return set(place.blobs)


def killed_at(folder: Path, point: int, act: Callable[[Any], Any]) -> tuple[int, list[str]]:
    """Run in a fork that kills itself at the n-th step; how it ended, and its steps."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code, seen = 1, 0
        try:
            os.close(reader)

            def hook(step: str) -> None:
                nonlocal seen
                os.write(writer, json.dumps(step).encode() + b"\n")
                if seen == point:
                    os.kill(os.getpid(), signal.SIGKILL)
                seen += 1

            act(place_at(folder, hook))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        steps = [json.loads(line) for line in pipe.read().splitlines()]
    return os.waitpid(pid, 0)[1], steps


def delete_and_collect(place: Any) -> None:
    place.store.delete(model="churn", version=2, because="an experiment")
    collect(place)


def test_a_kill_at_every_step_of_a_deletion_and_a_collection(tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    place = place_at(base)
    three_versions(place)
    before = whole(place)
    place.store.close()
    rehearsed = tmp_path / "rehearsed"
    shutil.copytree(base, rehearsed)
    code, steps = killed_at(rehearsed, -1, delete_and_collect)
    assert code == 0
    done = place_at(rehearsed)
    after = whole(done)
    assert after < before and after == needed(done)
    assert [e.verb for e in done.store.events()][-2:] == ["delete", "collect"]
    assert steps.count("unlink:before") == len(before - after) == 4
    points = [n for n, step in enumerate(steps) if step.endswith(":before")]
    assert len(points) > 20
    for point in points:
        folder = tmp_path / f"at-{point}"
        shutil.copytree(base, folder)
        code, _ = killed_at(folder, point, delete_and_collect)
        assert code == signal.SIGKILL
        place = place_at(folder)
        assert after <= whole(place) <= before
        if 2 not in place.store.model("churn").deleted:
            place.store.delete(model="churn", version=2, because="an experiment")
        collect(place)
        assert whole(place) == after, steps[point]
        assert collect(place) == (0, 0)
        place.store.close()
        shutil.rmtree(folder)


def objects_that_others_use(place: Any) -> Any:
    """The same files, as if they lay in a bucket of several workspaces."""
    blobs = FileBlobs(place.blobs.folder)
    blobs.shared = True
    return SimpleNamespace(store=place.store, blobs=blobs)


def test_the_only_version_left_stays(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    add(place, 1)
    add(place, 2)
    place.store.delete(model="churn", version=2, because="tidy")
    assert (place.store.model("churn").answering, place.store.model("churn").newest) == (1, 1)
    with pytest.raises(Refused, match="the only version left"):
        place.store.delete(model="churn", version=1, because="tidy")


def test_what_is_in_use_stays_and_what_is_deleted_does_not_come_back(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    three_versions(place)
    store = place.store
    for version, pointer in ((2, "live"), (3, "staging")):
        judge(store, version, at=HandClock()())
        promote(store, version, to=pointer)
    other = objects_that_others_use(place)
    assert collect(other) == (0, 0) and set(other.blobs) == whole(place)
    for version in (1, 2, 3):  # the way back, live, staging
        with pytest.raises(Refused) as caught:
            store.delete(model="churn", version=version, because="tidy")
        assert caught.value.code == "check.in-use"
    fourth = add(place, 4)
    store.delete(model="churn", version=fourth, because="tidy")
    for act in (
        lambda: store.version("churn", fourth),
        lambda: store.delete(model="churn", version=fourth, because="again"),
        lambda: promote(store, fourth),
    ):
        with pytest.raises(NotFound) as caught:
            act()
        assert caught.value.code == "data.no-version"
        assert "was deleted" in caught.value.message
    assert add(place, 5) == 5, "a number is never given again"
    assert [v.number for v in store.versions("churn")] == [1, 2, 3, 5]
    assert [v.number for v in store.latest_versions("churn", limit=2)] == [5, 3]


def contest(place: Any, registrations: int) -> None:
    """Collections while bundles are sealed and registered: every version opens whole."""
    stop = False

    def sweep() -> int:
        removed = 0
        while not stop:
            removed += collect(place)[0]
        return removed

    three_versions(place)
    with ThreadPoolExecutor(4) as pool:
        sweeping = pool.submit(sweep)
        adding = [pool.submit(lambda w=w: [add(place, w * 1000 + n) for n in range(registrations)]) for w in (1, 2, 3)]
        numbers = [number for one in adding for number in one.result()]
        stop = True
        assert sweeping.result() >= 2, "the bundle whose process died went"
    assert sorted(numbers) == list(range(4, 4 + 3 * registrations))
    assert whole(place) == needed(place)


def test_registrations_beside_a_collection(tmp_path: Path) -> None:
    contest(place_at(tmp_path), 12)


def test_registrations_beside_a_collection_on_postgres_and_a_bucket(new_database: Any, s3_server: Any) -> None:
    objects = pytest.importorskip("ambidex.edges.objects")
    pytest.importorskip("obstore", reason="S3: obstore is not installed (pip install 'ambidex[s3]')")
    store = SqlStore(new_database(), clock=HandClock())
    blobs = objects.ObjectBlobs(f"s3://models/{os.urandom(8).hex()}", endpoint=s3_server, alone=True)
    contest(SimpleNamespace(store=store, blobs=blobs), 3)
    store.close()


def test_files_that_went_between_sealing_and_registering_are_sealed_again(tmp_path: Path) -> None:
    place = place_at(tmp_path)
    three_versions(place)
    asked = 0
    plain = place.store.register

    def late(**facts: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            collect(place)
        return plain(**facts)

    place.store.register = late
    assert add(place, 9) == 4
    assert whole(place) == needed(place)


def test_the_verb(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    from ambidex.cli import main

    def said(*words: str) -> tuple[int, dict[str, Any]]:
        code = main(["--json", *words])
        return code, json.loads(capsys.readouterr().out)

    assert main(["init", str(tmp_path / "w")]) == 0
    monkeypatch.chdir(tmp_path / "w")
    capsys.readouterr()
    from ambidex.workspace import open_workspace

    place = open_workspace(None)
    three_versions(place, datetime.now(UTC))
    code, told = said("models", "delete", "churn@1")
    assert (code, told["error"]["code"]) == (4, "check.in-use")
    code, told = said("models", "delete", "churn")
    assert (code, told["error"]["code"]) == (2, "usage.value")
    code, told = said("models", "delete", "churn@2", "--dry-run")
    assert (code, told["data"]["files"], told["data"]["event"]) == (0, 4, None)
    assert len(set(place.blobs)) == 9
    code, told = said("models", "delete", "churn@2", "--reason", "an experiment")
    assert (code, told["data"]["files"]) == (0, 4) and told["data"]["bytes"] > 100
    assert said("models", "delete", "churn@2")[0] == 3
    assert said("models", "show", "churn@2")[1]["error"]["code"] == "data.no-version"
    assert said("models", "ls")[1]["data"]["models"][0]["candidate"] == 3
    assert "an experiment" in json.dumps(said("models", "log", "churn")[1])
    assert said("doctor")[0] == 0
