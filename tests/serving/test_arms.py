"""Versions beside the live one: pointers, canary, shadow."""

from __future__ import annotations

import json
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from ambidex.records import Rollout
from serving.callers import Callers
from serving.serving_support import ROW, VALID, Server

SOME: dict[str, Any] = {
    "model": "churn", "against": 1, "stage": "canary", "started": "", "staged": "", "deadline": "", "margin": 0.02,
    "alpha": 0.05,
}  # fmt: skip


def canary(server: Server, version: int, share: float) -> Rollout:
    rollout = Rollout(**SOME, version=version, share=share)
    (server.folder / "rollouts.new").write_text(json.dumps({"churn": rollout.to_json()}))
    (server.folder / "rollouts.new").replace(server.folder / "rollouts.json")
    server.point(churn={"live": 1, "canary": version})
    return rollout


def until(server: Server, version: int, row: Any = ROW, *, seconds: float = 6) -> None:
    """Ask until a version answers one of many customers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for customer in range(20):
            if server.post("/predict/churn", {"rows": [{**row, "customer_id": customer}]})[1]["version"] == version:
                time.sleep(0.4)  # the other workers have read it too
                return
    raise AssertionError(f"version {version} never answered")


def arms(server: Server) -> Counter[tuple[str, int, bool]]:
    return Counter((f["arm"], f["version"], "error" in f) for f in server.frames())


def test_pointers_are_opened_ahead_and_answer(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        server.point(churn={"live": 1, "staging": 2, "shadow": 3, "canary": 4, "candidate": 14, "previous": 6})
        time.sleep(2.5)  # version 14 takes a second
        for pointer, number in (("staging", 2), ("shadow", 3), ("canary", 4), ("previous", 6), ("candidate", 14)):
            began = time.monotonic()
            assert server.post(f"/predict/churn@{pointer}", VALID)[1]["version"] == number
            assert time.monotonic() - began < 0.9
        assert server.post("/predict/churn", VALID)[1]["version"] == 1  # a canary without a roll-out answers nobody
        assert server.post("/predict/churn@live", VALID)[1]["version"] == 1
        asked = {f["version"] for f in server.frames() if f["arm"] == "asked"}
        assert asked == {2, 3, 4, 6, 14}


def test_a_unit_stays_in_its_arm_in_every_worker_and_after_a_restart(tmp_path: Path) -> None:
    server = Server(tmp_path / "s", workers=2).start()
    rollout = canary(server, 2, 0.3)
    until(server, 2)
    seen: defaultdict[str, set[int]] = defaultdict(set)
    for _ in range(2):
        for _ in range(3):
            for customer in map(str, range(60)):
                answer = server.post("/predict/churn", {"rows": [{**ROW, "customer_id": customer}]})[1]
                seen[customer].add(answer["version"])
        server.stop()
        server = Server(tmp_path / "s", workers=2).start()
        until(server, 2)
    server.stop()
    assert all(len(versions) == 1 for versions in seen.values())
    assert {c for c, v in seen.items() if v == {2}} == {c for c in seen if rollout.takes(c)}
    assert 5 < sum(v == {2} for v in seen.values()) < 35
    for frame in server.frames():
        assert (frame["arm"], frame["version"]) in {("canary", 2), ("live", 1)}


def test_what_cannot_be_split(tmp_path: Path) -> None:
    """Rows of several units; rows that name none; a number and its text are one unit."""
    with Server(tmp_path / "s") as server:
        canary(server, 2, 0.5)
        until(server, 2)
        before = len(server.frames())
        many = [{**ROW, "customer_id": c} for c in range(30)]
        answer = server.post("/predict/churn", {"rows": many})[1]
        assert answer["version"] == 1
        same = [{**ROW, "customer_id": 7}, {**ROW, "customer_id": "7"}, {**ROW, "customer_id": 7.0}]
        one = server.post("/predict/churn", {"rows": same})[1]["version"]
        assert {server.post("/predict/churn", {"rows": [r]})[1]["version"] for r in same} == {one}
        alone = [server.post("/predict/churn", VALID)[1] for _ in range(60)]
        assert {a["version"] for a in alone} == {1, 2}
        assert server.post("/predict/churn", {"rows": [ROW, ROW]})[1]["version"] == 1
        assert server.post("/predict/churn", {"rows": []})[1]["version"] == 1
        assert server.post("/predict/churn", {"rows": [{**ROW, "age": "x"}]})[0] == 422
        frames = server.frames()[before:]
        assert Counter(f["arm"] for f in frames)["unsplit"] == 32
        by_id = {f["id"]: f for f in frames}
        assert all(by_id[a["ids"][0]]["version"] == a["version"] for a in alone)
        rollout = Rollout(**SOME, version=2, share=0.5)
        assert all(rollout.takes(a["ids"][0]) == (a["version"] == 2) for a in alone)


def test_a_canary_that_fails_harms_nobody(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        canary(server, 12, 0.5)
        time.sleep(1)
        for customer in range(40):
            status, answer = server.post("/predict/churn", {"rows": [{**ROW, "customer_id": customer}]})
            assert (status, answer["version"]) == (200, 1)
        found = arms(server)
        assert found["canary", 12, True] == found["unsplit", 1, False] > 5
        assert found["live", 1, False] == 40 - found["canary", 12, True]
        assert len(server.told("canary.failed")) == 1


def test_the_shadow_scores_what_was_answered_under_the_same_ids(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        server.point(churn={"live": 1, "shadow": 2})
        time.sleep(0.8)
        before = len(server.frames())
        answers = [server.post("/predict/churn", {"rows": [ROW] * n})[1] for n in (1, 3, 250)]
        assert {a["version"] for a in answers} == {1}
        time.sleep(0.5)
        frames = server.frames()[before:]
        ids = [i for a in answers for i in a["ids"]]
        for arm, version in (("live", 1), ("shadow", 2)):
            found = [f for f in frames if f["arm"] == arm]
            assert [f["id"] for f in found] == ids
            assert {f["version"] for f in found} == {version} and all(f["p"] == 0.415 for f in found)


def test_a_shadow_that_fails_or_is_slow_is_not_felt(tmp_path: Path) -> None:
    with Server(tmp_path / "s") as server:
        for shadow in (11, 12, 16):
            server.point(churn={"live": 1, "shadow": shadow})
            time.sleep(0.8)
            row = {**ROW, "n": 50}
            began = time.monotonic()
            for _ in range(40):
                assert server.post("/predict/churn", {"rows": [row]})[1]["version"] == 1
            assert time.monotonic() - began < 10
        time.sleep(0.3)
        found = arms(server)
        assert found["shadow", 11, True] == found["shadow", 12, True] == 40
        assert found["shadow", 16, False] >= 1
        server.point(churn={"live": 1, "shadow": 16})
        callers = Callers(server, 4, count=400)
        callers.join()
        assert Counter(s for _, s, _ in callers.answers) == {200: 1600}
        time.sleep(1.5)
        (worker,) = [w for w in server.run_folder() if w["alive"]]
        (said,) = [v for v in worker["versions"] if v["version"] == 16]
        assert said["shadow_dropped"] > 100 and said["shadow_scored"] > 0


def swapped(folder: Path, swaps: int, every: float) -> None:
    with Server(folder, workers=2) as server:
        server.point(churn={"live": 1, "previous": 2})
        callers = Callers(server, 4)
        for i in range(swaps):
            server.point(churn={"live": 2 - i % 2, "previous": 1 + i % 2})
            time.sleep(every)
        callers.over.set()
        callers.join()
        assert not callers.failures
        assert {s for _, s, _ in callers.answers} == {200}
        assert {b["version"] for _, _, b in callers.answers} == {1, 2}
        logged = {f["id"]: f["version"] for f in server.frames()}
        assert all(logged[b["ids"][0]] == b["version"] for _, _, b in callers.answers)


def test_ten_swaps_under_load(tmp_path: Path) -> None:
    swapped(tmp_path / "s", 10, 0.2)


@pytest.mark.slow
def test_a_hundred_swaps_under_load(tmp_path: Path) -> None:
    swapped(tmp_path / "s", 100, 0.17)
