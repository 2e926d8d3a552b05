"""Made-up run folders: an ordinary hour of a server, and what ten things do to its end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.run_folder import BOUNDS, STAGES, append_minute

START = 1_800_000_000 // 60 * 60
USUAL = dict(zip(STAGES, (20e-6, 12e-6, 15e-6, 40e-6, 8e-6, 15e-6), strict=True))
CAUSES = (
    "feature-code", "big-requests", "garbage-collector", "disk", "cold-start", "neighbour", "labels", "capacity",
    "worker", "nothing",
)  # fmt: skip


def requests(rng: np.random.Generator, n: int, cause: str, worker: int, minute: int) -> dict[str, Any]:
    """Times of n requests of one minute of one worker, seconds by stage, and their attributes."""
    load = rng.lognormal(0, 0.1)  # minutes differ by themselves
    rows = rng.choice([1, 1, 1, 1, 5, 20], n)
    times = {s: USUAL[s] * load * rng.lognormal(0, 0.35, n) for s in STAGES}
    for s in ("parse", "features", "predict", "serialise"):
        times[s] *= 1 + 0.02 * (rows - 1)
    stray = rng.random(n) < 0.004  # what happens now and then, for no reason
    times["queue"][stray] += rng.exponential(0.002, int(stray.sum()))
    gc, cold = np.zeros(n), np.zeros(n, bool)
    if cause == "feature-code":
        times["features"] += rng.lognormal(np.log(0.004), 0.4, n) * (rng.random(n) < 0.5)
    elif cause == "big-requests":
        big = rng.random(n) < 0.08
        rows = np.where(big, rng.integers(500, 2000, n), rows)
        for s in ("parse", "features", "predict", "serialise"):
            times[s] = np.where(big, USUAL[s] * rows * 0.5, times[s])
        times["queue"] += (rng.random(n) < 0.1) * rng.exponential(0.004, n)
    elif cause == "garbage-collector":
        hit = rng.random(n) < 0.05
        gc = np.where(hit, rng.uniform(0.02, 0.05, n), 0)
        times["features"] += gc
    elif cause == "disk":
        times["log"] += (rng.random(n) < 0.3) * rng.exponential(0.03, n)
    elif cause == "cold-start":
        cold = rng.random(n) < 0.3
        times["predict"] += cold * rng.exponential(0.01, n)
    elif cause == "neighbour":
        for s in STAGES[:5]:
            times[s] *= rng.lognormal(np.log(6), 0.6, n)
    elif cause == "labels":
        times["queue"] += (rng.random(n) < 0.25) * rng.exponential(0.01, n)
    elif cause == "capacity":
        times["queue"] += rng.exponential(0.02, n)
    elif cause == "worker" and worker == 101:
        times["predict"] += rng.exponential(0.006, n)
        times["queue"] += rng.exponential(0.004, n)
    return {"times": times, "rows": rows, "gc": gc, "cold": cold}


def hour(folder: Path, cause: str, seed: int, *, minutes: int = 60, slow: int = 12, model: str = "churn") -> list[int]:
    """Write an hour whose last minutes are slow for this cause; returns the minutes in which labels came in."""
    folder.mkdir(parents=True, exist_ok=True)
    rng, labelled = np.random.default_rng(seed), []
    for m in range(minutes):
        at, ill = START + 60 * m, cause if m >= minutes - slow else "nothing"
        if rng.random() < (0.9 if ill == "labels" else 0.1):
            labelled.append(at)
        for worker in (100, 101):
            n = int(rng.poisson(300 * (3.0 if ill == "capacity" else 1.0)))
            made = requests(rng, n, ill, worker, m)
            total = sum(made["times"].values())
            record: dict[str, Any] = {
                "model": model, "version": 3, "worker": worker, "requests": n, "rows": int(made["rows"].sum()),
                "failed": 0, "refused": 0, "shed": 0, "total": [float(total.sum()), *counts(total)],
                **{s: [float(t.sum()), *counts(t)] for s, t in made["times"].items()},
            }  # fmt: skip
            kept = [one(made, total, i, at, worker) for i in range(n)]
            order = np.argsort(-total)[:50]
            sample = rng.choice(n, min(50, n), replace=False)
            said = {"model": model, "version": 3, "seen": n, "slow": [kept[i] for i in order],
                    "sample": [kept[i] for i in sample]}  # fmt: skip
            append_minute(folder, at, [record], [said])
    return labelled


def counts(times: np.ndarray) -> list[int]:
    return np.bincount(np.searchsorted(BOUNDS, times, side="left"), minlength=len(BOUNDS) + 1).tolist()


def one(made: dict[str, Any], total: np.ndarray, i: int, at: int, worker: int) -> list[Any]:
    us = [int(1e6 * made["times"][s][i]) for s in STAGES]
    return [at * 1_000_000, f"{i:x}", None, *us, int(1e6 * total[i]), int(made["rows"][i]), int(made["rows"][i]) * 80,
            worker, int(1e6 * made["gc"][i]), bool(made["cold"][i]), 60_000]  # fmt: skip
