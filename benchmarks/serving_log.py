"""What the prediction log and the stages cost a request, and what sealing costs a row.

    python benchmarks/serving_log.py [--json FILE] [--seconds 4]

In one process, without a network: a tick of 16 one-row requests of 20 columns (about 430 bytes each) is logged, the
log on, with columns hashed, and ``durable``; the stages counted; decoding a request to dicts and the frame a row of
before stand beside them. Then 200,000 frames are sealed and read. Figures are CPU µs; what matters are the ratios of
one run.
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.frames import Frame, FrameWriter
from ambidex.data.log import log_view, open_log
from ambidex.data.privacy import Privacy
from ambidex.data.sealing import seal
from ambidex.data.segments import segments
from ambidex.records import Column, Schema
from ambidex.serving.decode import RowDecoder
from ambidex.serving.log import Ids, Logging, PredictionLog
from ambidex.serving.stages import Stages

TICK = 16
NUMBERS, LEVELS = 14, ("basic", "plus", "premium", "none")
SCHEMA = Schema(
    columns=tuple(Column(name=f"number_{i}", type="float", nullable=True) for i in range(NUMBERS))
    + tuple(Column(name=f"plan_{i}", type="category", nullable=True) for i in range(6)),
    target="y", task="binary", classes=("0", "1"), key="customer_id",
)  # fmt: skip


def bodies(count: int) -> list[bytes]:
    rng = np.random.default_rng(1)
    made = []
    for i in range(count):
        row: dict[str, Any] = {
            f"number_{k}": None if rng.random() < 0.05 else round(float(rng.lognormal(3, 1)), 2) for k in range(NUMBERS)
        }
        row |= {f"plan_{k}": LEVELS[int(rng.integers(4))] for k in range(6)}
        made.append(json.dumps({"rows": [{**row, "customer_id": i}]}).encode())
    return made


def measured(act: Callable[[], int], seconds: float) -> tuple[float, float]:
    """CPU and wall µs a request, the better of three runs."""
    best = (float("inf"), float("inf"))
    for _ in range(3):
        done, cpu, wall = 0, time.process_time(), time.perf_counter()
        while time.perf_counter() - wall < seconds / 3:
            done += act()
        best = min(best, ((time.process_time() - cpu) / done * 1e6, (time.perf_counter() - wall) / done * 1e6))
    return best


def logged(folder: Path, all_bodies: list[bytes], logging: Logging) -> Callable[[], int]:
    log = PredictionLog(folder, lambda *_: None, logging)
    ids, stream, pack = Ids(), PredictionLog.stream("churn", 1, SCHEMA), struct.Struct("<d").pack
    at = 0

    def tick() -> int:
        nonlocal at
        for _ in range(TICK):
            at += 1
            log.add_request(
                stream, ids.first(1), 1, pack(0.123456789 + at % 97 / 200), all_bodies[at % len(all_bodies)], 9
            )
        if log.flush():
            raise OSError("not logged")
        return TICK

    return tick


def counted() -> Callable[[], int]:
    stages = Stages(None, seed=1)
    version = stages.of("churn", 1)
    now = time.perf_counter_ns

    def tick() -> int:
        for _ in range(TICK):
            version.add((now(), now(), now(), now(), now(), now(), 1, "id", None, None))
        stages.tick(2_000)
        return TICK

    return tick


def run(seconds: float) -> dict[str, Any]:
    some = bodies(20_000)
    decoder = RowDecoder(SCHEMA)
    size = sum(map(len, some)) / len(some)
    said: dict[str, Any] = {"request_bytes": size}

    def decode() -> int:
        for body in some[:TICK]:
            decoder.decode(body)
        return TICK

    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        place = Path(name)
        rule = Privacy(hashed=frozenset({"customer_id"}), dropped=frozenset({"plan_0"}), key=b"k" * 32)
        ways = {
            "decode to dicts": decode,
            "log": logged(place / "on", some, Logging()),
            "log, one column hashed, one dropped": logged(place / "rule", some, Logging(privacy={"churn": rule})),
            "log, durable": logged(place / "durable", some, Logging(durable=True)),
            "stages, with their six clocks": counted(),
        }  # fmt: skip
        for what, act in ways.items():
            cpu, wall = measured(act, seconds)
            said[what] = {"cpu_us": cpu, "wall_us": wall}

        def old() -> int:
            payloads = [
                {"at": "2026-11-24T16:00:00.000000Z", "model": "churn", "version": 1, "id": "0" * 27, "row": row,
                 "riders": {}, "p": 0.5, "source": "http"}
                for body in some[:TICK] for row in decoder.decode(body).inputs
            ]  # fmt: skip
            writer.write_bytes(b"".join(map(Frame.encode, payloads)))
            return TICK

        with FrameWriter(place / "old.frames") as writer:
            cpu, wall = measured(old, seconds)
        said["a dict and a frame a row (as before), with its decode"] = {"cpu_us": cpu, "wall_us": wall}

        tick = logged(place / "seal", some, Logging(rotate_bytes=64 << 20))
        rows = 0
        while rows < 200_000:
            rows += tick()
        cpu, wall = time.process_time(), time.perf_counter()
        sealed = seal(place / "seal", "churn")
        said["sealing"] = {
            "rows": sealed.rows, "cpu_us_a_row": (time.process_time() - cpu) / sealed.rows * 1e6,
            "wall_us_a_row": (time.perf_counter() - wall) / sealed.rows * 1e6,
            "bytes_a_row": sealed.bytes / sealed.rows, "frame_bytes_a_row": size + 130,
        }  # fmt: skip
        counting, _ = segments(place / "seal", "churn")
        began = time.process_time()
        with log_view(place / "seal", "churn", SCHEMA) as view:
            view.connection.execute('SELECT version, avg(p), avg("c:number_3") FROM log GROUP BY version').fetchall()
        duck = (time.process_time() - began) / rows * 1e6
        began = time.process_time()
        with open_log(place / "seal", "churn") as log:
            seen = sum(len(page) for page, _ in log.pages())
        said["reading"] = {
            "segments": len(counting), "duckdb_cpu_us_a_row": duck,
            "dicts_cpu_us_a_row": (time.process_time() - began) / seen * 1e6,
        }  # fmt: skip
    return said


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    said = run(options.seconds)
    base = said["log"]["cpu_us"]
    print(f"one-row requests of {said['request_bytes']:.0f} bytes, ticks of {TICK}; CPU µs a request, × the log's")
    for what, figures in said.items():
        if isinstance(figures, dict) and "cpu_us" in figures:
            ratio = figures["cpu_us"] / base
            print(f"  {what:55s} {figures['cpu_us']:7.2f}  {ratio:5.2f}×   wall {figures['wall_us']:8.2f}")
    for what in ("sealing", "reading"):
        print(f"  {what}: " + ", ".join(f"{k} {v:,.2f}" for k, v in said[what].items()))
    if options.json:
        options.json.write_text(json.dumps(said, indent=1))


if __name__ == "__main__":
    main()
