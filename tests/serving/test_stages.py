"""Stages: counts, the slowest, a uniform sample, minutes, snapshots."""

from __future__ import annotations

import gc
import json
import os
import random
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ambidex.data import run_folder
from ambidex.data.run_folder import BOUNDS, RECORD, STAGES, clean, read_minutes, read_run, read_slow
from ambidex.serving.stages import COLD_S, KEPT, Pauses, Stages
from serving.serving_support import VALID, Server

US = 1000


def timed(arrived: int, *stages: int, rows: int = 1, id: str = "", request: Any = None) -> tuple[Any, ...]:
    moments = [arrived]
    for took in stages:
        moments.append(moments[-1] + took * US)
    return (*moments, rows, id, request, None)


def test_counts_are_what_a_histogram_by_hand_gives() -> None:
    stages = Stages(None, seed=1)
    version = stages.of("churn", 3)
    rng = random.Random(2)
    expected = {s: Counter[int]() for s in (*STAGES, "total")}
    sums = Counter[str]()

    def bucket(us: float) -> int:
        return next((k for k, bound in enumerate(BOUNDS) if us < bound * 1e6), len(BOUNDS))

    for _ in range(40):
        log = int(rng.lognormvariate(3, 2))
        for _ in range(rng.randint(1, 20)):
            took = [min(int(rng.lognormvariate(3, 2)), 40_000_000) for _ in range(5)]
            version.add(timed(rng.randint(0, 10**12), *took, rows=2))
            for stage, us in zip((*STAGES, "total"), (*took, log, sum(took) + log), strict=True):
                expected[stage][bucket(us)] += 1
                sums[stage] += us
        stages.tick(log * US)
    said = version.counters()
    assert said["rows"] == 2 * said["requests"]
    for stage in (*STAGES, "total"):
        counts = said["stages"][stage]["counts"]
        assert {k: n for k, n in enumerate(counts) if n} == dict(expected[stage]), stage
        assert said["stages"][stage]["sum"] == pytest.approx(sums[stage] / 1e6)


def test_the_slowest_fifty_are_kept_whatever_was_slow() -> None:
    stages = Stages(None, seed=1)
    version = stages.of("churn", 1)
    order = list(range(1, 1001))
    random.Random(3).shuffle(order)
    for us in order:
        version.add(timed(0, us, 0, 0, 0, 0, id=str(us)))
        stages.tick(0)
    version.add(timed(0, 1, 0, 0, 0, 0, id="slow log"))
    stages.tick(5_000 * US)
    taken = version.take_minute()
    assert taken is not None
    slow = [dict(zip(RECORD, r, strict=True)) for r in taken[1]["slow"]]
    assert [r["id"] for r in slow] == ["slow log", *map(str, range(1000, 1000 - KEPT + 1, -1))]
    assert slow[0]["log_us"] == 5_000 and slow[1]["queue_us"] == 1000
    assert version.take_minute() is None


def test_the_sample_is_uniform() -> None:
    seen = Counter[int]()
    for seed in range(400):
        stages = Stages(None, seed=seed)
        version = stages.of("churn", 1)
        for i in range(500):
            version.add(timed(0, 1, 1, 1, 1, 1, id=str(i)))
            if i % 7 == 0:
                stages.tick(0)
        stages.tick(0)
        taken = version.take_minute()
        assert taken is not None and len(taken[1]["sample"]) == KEPT
        ids = [int(r[1]) for r in taken[1]["sample"]]
        assert len(set(ids)) == KEPT
        seen.update(i // 50 for i in ids)
    # Each tenth of the requests gives 2,000 of 20,000; five standard deviations of a hypergeometric share.
    assert all(abs(seen[k] - 2000) < 5 * (20_000 * 0.1 * 0.9) ** 0.5 for k in range(10))


def test_what_a_kept_request_says() -> None:
    stages = Stages(None, 3, seed=1, clock=lambda: 100.0)
    version = stages.of("churn", 1)
    trace = "0af7651916cd43dd8448eb211c80319c"
    request = SimpleNamespace(fields={b"traceparent": f"00-{trace}-b7ad6b7169203331-01".encode()}, body=b"12345")
    connection = SimpleNamespace(opened=99.5)
    now = time.perf_counter_ns()
    version.add((now, now + 1000, now + 2000, now + 3000, now + 4000, now + 250_000, 7, "id", request, connection))
    stages.tick(50_000)
    taken = version.take_minute()
    assert taken is not None
    record = dict(zip(RECORD, taken[1]["slow"][0], strict=True))
    assert record["trace"] == trace and record["bytes"] == 5 and record["rows"] == 7 and record["worker"] == 3
    assert record["connection_ms"] == 500 and record["cold"] is (COLD_S > 0) and record["total_us"] == 300
    assert version.counters()["exemplars"] == {"2": [trace, 0.0003, pytest.approx(time.time(), abs=10)]}
    for hostile in (b"00-zz-1-1", b"", b"00-" + b"0" * 32 + b"-1-1", b"\xff" * 60, b"00-" + b"g" * 32 + b"-1-01"):
        request.fields[b"traceparent"] = hostile
        version.add(timed(now, 1, 1, 1, 1, 1, request=request))
    stages.tick(0)
    taken = version.take_minute()
    assert taken is not None and {r[2] for r in taken[1]["slow"]} == {""}


def test_pauses_of_the_collector_are_counted() -> None:
    pauses = Pauses()
    pauses.start()
    try:
        gc.collect()
    finally:
        pauses.stop()
    assert pauses.count >= 1 and pauses.longest > 0 and pauses.last_end > 0
    before = pauses.count
    gc.collect()
    assert pauses.count == before


def test_minutes_and_snapshots_of_a_server(tmp_path: Path) -> None:
    with Server(tmp_path / "s", workers=2) as server:
        for _ in range(40):
            server.post("/predict/churn", VALID)
        server.post("/predict/churn@2", VALID)
        server.post("/predict/churn", b"{")
        time.sleep(1.6)
        workers = server.run_folder()
        assert [w["index"] for w in workers] == [0, 1] and all(w["alive"] and w["rss"] > 1e6 for w in workers)
        live = [v for w in workers for v in w["versions"] if v["version"] == 1]
        assert sum(v["requests"] for v in live) == 40
        assert sum(sum(v["stages"]["total"]["counts"]) for v in live) == 40
        assert sum(v["refused"] for v in live) == 1
    folder = server.folder / "run"
    minutes = read_minutes(folder, time.time() - 300)
    assert sum(m["requests"] for m in minutes if m["version"] == 1) == 40
    assert {m["version"] for m in minutes} == {1, 2}
    for minute in minutes:
        assert sum(minute["total"][1:]) == minute["requests"]
        parts = sum(minute[s][0] for s in STAGES)
        assert minute["total"][0] == pytest.approx(parts, rel=1e-6)
    slow = [r for s in read_slow(folder, time.time() - 300) for r in s["slow"]]
    assert {len(r) for r in slow} == {len(RECORD)}
    assert {r[1] for r in slow} == {f["id"] for f in server.frames()}
    assert read_minutes(folder, time.time() + 100) == []


def test_what_servers_that_are_gone_have_left(tmp_path: Path) -> None:
    def write(name: str, said: Any) -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(said))
        os.utime(path, (1, 1))
        return path

    gone = write("worker-1.json", {"server": 2**22 + 5, "pid": 1, "index": 0, "started": 0})
    torn = write("worker-2.new", "{")
    here = write("worker-3.json", {"server": os.getpid(), "pid": 2**22 + 5, "index": 0, "started": 0})
    old = [tmp_path / "minutes-20200101-7.frames", tmp_path / "slow-20200101-7.frames"]
    for path in old:
        path.touch()
    today = tmp_path / f"slow-{time.strftime('%Y%m%d', time.gmtime())}-7.frames"
    today.touch()
    clean(tmp_path)
    assert not gone.exists() and not torn.exists() and not any(p.exists() for p in old)
    assert here.exists() and today.exists()
    (said,) = read_run(tmp_path)
    assert said["alive"] is False
    assert run_folder.read_run(tmp_path / "nowhere") == []
