"""How often roll-outs err, by the simulation of `benchmarks/rollout_simulation.py`. Figures: docs/rollout.md."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from support import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def simulation() -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "benchmarks" / "rollout_simulation.py"))


def test_shadow(simulation: dict[str, Any]) -> None:
    shadow, design = simulation["shadow"], simulation["DESIGN"]
    same, edge, worse = (shadow(truth, 1000) for truth in (0.0, 0.02, 0.025))
    assert same["rolled_back"] <= 0.05 and same["promoted"] >= 0.95
    assert edge["promoted"] <= 0.05
    assert worse["rolled_back"] >= 0.99 and worse["promoted"] <= 0.05
    assert same["units"] <= 1.3 * design["better"] and worse["units"] <= 1.3 * design["harm"]
    assert same["alone_better_median"] <= 1.3 * design["better"]
    assert worse["alone_harm_median"] <= 1.3 * design["harm"]


def test_canary(simulation: dict[str, Any]) -> None:
    canary = simulation["canary"]
    same, edge, worse = (canary(truth, 1000) for truth in (0.0, 0.02, 0.025))
    assert same["rolled_back"] <= 0.05 and same["promoted"] >= 0.95
    assert edge["promoted"] <= 0.05 and worse["rolled_back"] >= 0.99


def test_the_step_decides_as_the_claims_do(simulation: dict[str, Any], tmp_path: Path) -> None:
    """Whole releases through frames, segments, labels and looks: as the kernel decides on the same differences."""
    base = simulation["made_workspace"](tmp_path / "w")
    for truth in (0.0, 0.02, 0.025):
        got = simulation["real"](truth, 20, base)
        expected = simulation["race"](simulation["paired"](truth, 20, 3), harm_alpha=0.04, better_alpha=0.05)
        assert got == pytest.approx(
            {"rolled-back": expected["rolled_back"], "promoted": expected["promoted"], "open": expected["open"]}
        )


def test_trips_ring_as_seldom_as_they_may(simulation: dict[str, Any]) -> None:
    """Failures and mean prediction at their limits, a split as declared: watched, each rings in 5% at most."""
    from ambidex.stats.claim import Claim, decide
    from ambidex.stats.rollouts import above_limit, split_estimates
    from ambidex.stats.sequences import Bets

    rng = np.random.default_rng(5)
    rang = np.zeros(4)
    for _ in range(200):
        fails, arm = rng.random(4000) < 0.01, rng.random(4000) < 0.1
        moved = rng.normal(0.1, 0.2, 4000).clip(-1, 1)  # a mean prediction exactly at its margin
        found = np.zeros(4, dtype=bool)
        for n in range(400, 4001, 400):
            k = int(fails[:n].sum())
            estimates = [above_limit(k, n, 0.01, name="failed")]
            estimates += split_estimates(int(arm[:n].sum()), int(n - arm[:n].sum()), 0.1)
            estimates += [Bets.start("above", 0.1).add(moved[:n]).estimate(name="mix")]
            for i, (e, limit) in enumerate(zip(estimates, (0.01, 0.1, 0.9, 0.1), strict=True)):
                claim = Claim(measure=e.name, relation="above", margin=limit, alpha=0.05, sides=1, looks="anytime")
                found[i] |= decide(claim, e).outcome == "supported"
        rang += found
    assert (rang / 200 <= 0.05).all(), rang / 200
