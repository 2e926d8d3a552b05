"""Roll-outs by simulation: how often a harmless candidate is rolled back and a worse one promoted, and how soon.

    python benchmarks/rollout_simulation.py            # everything, about two minutes
    python benchmarks/rollout_simulation.py --quick    # fewer releases

A release has a candidate whose losses differ from the live version's on 7% of the units (0/1 losses, as a classifier's
errors), up to 5,000 labelled units, margin 2 points, alpha 5% for each claim; it is looked at after every unit. Three
ways: the two claims each by itself (the table of the design), the roll-out as it decides (first to act, harm at the
alpha that the trips leave to it), and whole releases through frames in a log and ``rollout_step``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.stats.rollouts import blocks, first_crossing
from ambidex.watch.rollout_claims import TRIPS_SHARE

UNITS, DIFFER, MARGIN, ALPHA = 5000, 0.07, 0.02, 0.05
TRUTHS = {"the same": 0.0, "1 point worse": 0.01, "at the margin": 0.02, "2.5 points worse": 0.025}
DESIGN = {"better": 1184.0, "harm": 809.0}
"""Median labels of the design's prototype: not worse where it is the same, harm where it is 2.5 points worse."""


def paired(truth: float, releases: int, seed: int, units: int = UNITS) -> Any:
    """Candidate's loss less live's, shape (releases, units)."""
    draws = np.random.default_rng(seed).random((releases, units))
    up, down = (DIFFER + truth) / 2, (DIFFER - truth) / 2
    return np.where(draws < up, 1.0, np.where(draws < up + down, -1.0, 0.0))


def race(d: Any, *, harm_alpha: float, better_alpha: float) -> dict[str, float]:
    """Shares of releases by what acted first, and the median labels until then."""
    harm = first_crossing(d, relation="above", margin=0.0, alpha=harm_alpha)
    better = first_crossing(d, relation="below", margin=MARGIN, alpha=better_alpha)
    far = d.shape[1] + 1
    h, b = np.where(harm == 0, far, harm), np.where(better == 0, far, better)
    back, on = (h <= b) & (h < far), (b < h) & (b < far)
    return {
        "harm": float((harm > 0).mean()), "harm_median": _median(harm[harm > 0]),
        "better": float((better > 0).mean()), "better_median": _median(better[better > 0]),
        "rolled_back": float(back.mean()), "promoted": float(on.mean()), "open": float((~back & ~on).mean()),
        "units": _median(np.minimum(h, b)[back | on]),
    }  # fmt: skip


def _median(values: Any) -> float:
    return float(np.median(values)) if len(values) else float("nan")


def shadow(truth: float, releases: int, seed: int = 1) -> dict[str, float]:
    """The claims each by itself at alpha, and the roll-out as it decides."""
    d = paired(truth, releases, seed)
    alone = race(d, harm_alpha=ALPHA, better_alpha=ALPHA)
    decided = race(d, harm_alpha=ALPHA * (1 - TRIPS_SHARE), better_alpha=ALPHA)
    return {**{f"alone_{k}": alone[k] for k in ("harm", "harm_median", "better", "better_median")}, **decided}


def canary(truth: float, releases: int, *, share: float = 0.5, units: int = 20_000, seed: int = 2) -> dict[str, float]:
    """Two arms that are not paired: Brier losses (mean .10, standard deviation .09), blocks in order of arrival."""
    rng = np.random.default_rng(seed)
    shortest = units // 2
    values = []
    for _ in range(releases):
        arm = rng.random(units) < share
        losses = np.clip(rng.gamma(1.2, 0.1 / 1.2, units) + truth * arm, 0, 1)
        made = blocks(arm, losses)
        shortest = min(shortest, len(made))
        values.append(made)
    d = np.stack([v[:shortest] for v in values])
    return race(d, harm_alpha=ALPHA * (1 - TRIPS_SHARE), better_alpha=ALPHA)


# ---------------------------------------------------------------- through the real step


def made_workspace(folder: Path) -> Path:
    """m@1 live, m@2 a candidate that passed."""
    import ambidex as amb

    rng = np.random.default_rng(0)
    amb.init(folder)
    x = rng.normal(size=900)
    y = rng.random(900) < 1 / (1 + np.exp(-2 * x))
    rows = "\n".join(f"u{i},{x[i]:.4f},{'yes' if y[i] else 'no'}" for i in range(900))
    (folder / "data" / "a.csv").write_text(f"customer,x,y\n{rows}\n")
    amb.package(amb.drivers(folder / "data", target="y", positive="yes", keep=["x"], at=folder), name="m", at=folder)
    toml = folder / "ambidex.toml"
    toml.write_text(toml.read_text() + 'policy = "live"\n')
    amb.promote("m@1", to="live", at=folder)
    amb.train("m", at=folder)
    amb.promote("m@2", to="shadow", at=folder)
    return folder


def real(truth: float, releases: int, base: Path, *, looks: int = 5, seed: int = 3) -> dict[str, float]:
    """Whole releases: frames in a log, labels, ``rollout_step`` at some looks; shares by outcome."""
    from ambidex.data.frames import FrameWriter
    from ambidex.delivery.rollout import Mover
    from ambidex.watch.arms import stamp
    from ambidex.watch.rollout import rollout_step
    from ambidex.workspace import open_workspace

    outcomes: list[str] = []
    for release, d in enumerate(paired(truth, releases, seed)):
        folder = Path(shutil.copytree(base, base.parent / f"r{release}"))
        place, rng = open_workspace(folder), np.random.default_rng([seed, release])
        mover, said = Mover(place), "open"
        for look, part in enumerate(np.array_split(d, looks)):
            yes = rng.random(len(part)) < 0.4
            wrong = part > 0
            right = part < 0
            began = datetime.now(UTC)
            frames, labels = [], []
            for i in range(len(part)):
                at, identity = stamp(began + timedelta(microseconds=i)), f"l{look:02d}i{i:08x}"
                one = {"at": at, "model": "m", "id": identity, "row": {"x": 0.1}, "riders": {"customer": identity},
                       "source": "http", "us": 100}  # fmt: skip
                truth_is = float(yes[i])
                frames.append({**one, "version": 1, "arm": "live", "p": 1 - truth_is if right[i] else truth_is})
                frames.append({**one, "version": 2, "arm": "shadow", "p": 1 - truth_is if wrong[i] else truth_is})
                labels.append(
                    {"kind": "label", "at": at, "model": "m", "id": identity, "label": "yes" if yes[i] else "no"}
                )
            for kind, rows in (("http", frames), ("labels", labels)):
                with FrameWriter(folder / ".ambidex/log/m" / f"{kind}-{look}.frames") as log:
                    log.write(rows)
            stepped = rollout_step(place, "m", mover)
            if stepped.rollout is not None and (stepped.rollout.state == "ended" or stepped.rollout.proven):
                said = "promoted" if stepped.rollout.proven else str(stepped.rollout.outcome)
                break
        outcomes.append(said)
        shutil.rmtree(folder)
    return {name: outcomes.count(name) / releases for name in ("rolled-back", "promoted", "open")}


def main() -> None:
    """Print everything."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    said = parser.parse_args()
    releases, whole = (200, 5) if said.quick else (2000, 50)
    began = time.perf_counter()
    out: dict[str, Any] = {"shadow": {name: shadow(t, releases) for name, t in TRUTHS.items()}}
    out["canary"] = {name: canary(t, max(releases // 2, 100)) for name, t in TRUTHS.items()}
    with tempfile.TemporaryDirectory() as home:
        base = made_workspace(Path(home) / "w")
        out["real"] = {name: real(t, whole, base) for name, t in TRUTHS.items() if name != "1 point worse"}
    if said.json:
        print(json.dumps(out))
        return
    print(
        f"shadow, {releases:,} releases a row, {UNITS:,} labels, margin {MARGIN}, alpha {ALPHA}, a look at every label"
    )
    print("candidate         harm alone      not worse alone   as it decides: back     on   open   median labels")
    for name, r in out["shadow"].items():
        alone = f"{r['alone_harm']:6.1%} {r['alone_harm_median']:6.0f} {r['alone_better']:9.1%}"
        decided = f"{r['rolled_back']:22.1%} {r['promoted']:7.1%} {r['open']:6.1%} {r['units']:9.0f}"
        print(f"{name:<17} {alone} {r['alone_better_median']:6.0f} {decided}")
    better = out["shadow"]["the same"]["units"] / DESIGN["better"]
    harm = out["shadow"]["2.5 points worse"]["units"] / DESIGN["harm"]
    print(f"median labels against the design's table: the same {better:.2f}×, 2.5 points worse {harm:.2f}×")
    print(f"\ncanary of half the units, {max(releases // 2, 100):,} releases a row, 20,000 units, Brier losses")
    for name, r in out["canary"].items():
        shares = f"back {r['rolled_back']:6.1%}  on {r['promoted']:6.1%}  open {r['open']:6.1%}"
        print(f"{name:<17} {shares}  median blocks {r['units']:6.0f}")
    print(f"\nthrough the log and the step, {whole} releases a row, 5 looks")
    for name, r in out["real"].items():
        print(f"{name:<17} back {r['rolled-back']:6.1%}  on {r['promoted']:6.1%}  open {r['open']:6.1%}")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
