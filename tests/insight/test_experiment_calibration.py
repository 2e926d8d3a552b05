"""How often `experiment` is wrong, through the public verb at fixed seeds. Figures: docs/calibration.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ambidex
from ambidex.insight.experiment_checks import check_ratio
from ambidex.report.answer import Answer

Rng = np.random.Generator
Made = tuple[pa.Table, dict[str, Any], float, str]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def arms(rng: Rng, n: int) -> Any:
    return rng.permutation(np.repeat(["A", "B"], n // 2))


def normal(rng: Rng) -> Made:
    arm = arms(rng, 120)
    return pa.table({"arm": arm, "y": rng.normal(5, 2, 120) + 0.5 * (arm == "B")}), {"metric": "y"}, 0.5, "difference"


def buyers(rng: Rng) -> Made:
    """1% buy, for a lognormal amount."""
    n = 10_000
    y = (rng.random(n) < 0.01) * rng.lognormal(3, 1, n)
    return pa.table({"arm": arms(rng, n), "y": y}), {"metric": "y:mean"}, 0.0, "difference"


def ratio(rng: Rng) -> Made:
    views = rng.poisson(4, 400) + 1
    clicks = rng.binomial(views, rng.beta(2, 5, 400))
    table = pa.table({"arm": arms(rng, 400), "clicks": clicks, "views": views})
    return table, {"metric": "clicks/views"}, 0.0, "difference"


def lift(rng: Rng) -> Made:
    arm = arms(rng, 300)
    y = rng.gamma(2, 5, 300) * np.where(arm == "B", 1.1, 1.0)
    return pa.table({"arm": arm, "y": y}), {"metric": "y"}, 0.1, "relative"


def lin(rng: Rng) -> Made:
    """The effect varies with what was known before."""
    arm, before = arms(rng, 200), rng.normal(0, 1, 200)
    y = before * np.where(arm == "B", 1.5, 0.5) + rng.normal(0, 1, 200) + 0.4 * (arm == "B")
    table = pa.table({"arm": arm, "y": y, "before": before})
    return table, {"metric": "y", "covariate": "before"}, 0.4, "difference"


def clusters(count: int) -> Callable[[Rng], Made]:
    def made(rng: Rng) -> Made:
        sizes = rng.poisson(8, count) + 2
        village = np.repeat(np.arange(count), sizes)
        arm = arms(rng, count)[village]
        y = rng.normal(0, 0.6, count)[village] + rng.normal(0, 1, len(village))
        table = pa.table({"arm": arm, "y": y, "village": [f"v{v}" for v in village]})
        return table, {"metric": "y", "cluster": "village"}, 0.0, "difference"

    return made


def covered(make: Callable[[Rng], Made], runs: int, seed: int) -> float:
    rng, held = np.random.default_rng(seed), 0
    for _ in range(runs):
        table, options, truth, kind = make(rng)
        answer = ambidex.experiment(table, group="arm", control="A", shares="unknown", **options)
        (e,) = [e for e in answer.estimates if e.kind == kind]
        held += e.low <= truth <= e.high
    return held / runs


@pytest.mark.parametrize(
    ("name", "make", "low", "high", "runs"),
    [
        ("normal", normal, 0.935, 0.965, 2_000),
        ("buyers", buyers, 0.935, 0.965, 2_000),
        ("ratio", ratio, 0.935, 0.965, 2_000),
        ("lift", lift, 0.935, 0.965, 2_000),
        ("lin", lin, 0.935, 0.965, 2_000),
        ("40 clusters", clusters(40), 0.935, 0.965, 2_000),
        ("12 clusters", clusters(12), 0.92, 0.97, 1_000),
    ],
)
def test_coverage(name: str, make: Callable[[Rng], Made], low: float, high: float, runs: int) -> None:
    seen = covered(make, runs, seed=sum(map(ord, name)))
    print(f"S1 {name}: {seen:.4f}")
    assert low <= seen <= high


def decided(answer: Answer) -> bool:
    return any(v.outcome != "open" for v in answer.verdicts)


def test_a_hundred_looks() -> None:
    """Identical arms, looked at after every 40 units; a z-test would tell them apart in 37%."""
    rng, runs, told = np.random.default_rng(31), 60, 0
    for _ in range(runs):
        table = pa.table({"arm": np.tile(["A", "B"], 2_000), "y": rng.gamma(2, 2, 4_000)})
        told += any(
            decided(ambidex.experiment(table.slice(0, n), group="arm", metric="y", anytime=True))
            for n in range(40, 4_001, 40)
        )
    print(f"S3 anytime: {told / runs:.3f}")
    assert told / runs <= 0.057


def test_arm_sizes() -> None:
    """The ratio check at .001; the verb's check is this function's."""
    rng = np.random.default_rng(5)
    stops = sum(not check_ratio({"A": int(x), "B": 20_000 - int(x)}, None, "units")[0].passed
                for x in rng.binomial(20_000, 0.5, 50_000))  # fmt: skip
    print(f"S5: {stops / 50_000:.5f}")
    assert 0.0006 <= stops / 50_000 <= 0.0014
    for share in (0.5, 0.47, 0.44, 0.4):
        arm = np.where(rng.random(2_000) < share, "A", "B")
        table = pa.table({"arm": arm, "y": rng.normal(size=2_000)})
        answer = ambidex.experiment(table, group="arm", metric="y")
        sizes = {a: int((arm == a).sum()) for a in "AB"}
        own = check_ratio(sizes, None, "units")[0]
        assert next(c for c in answer.checks if c.name == "srm").value == own.value
        assert answer.passed == own.passed


def named_groups(runs: int, rows: int, seed: int, effect: float = 0.0) -> tuple[float, float]:
    """How often a group is said to respond where nothing happens, or all respond alike; in a finding, in a verdict."""
    rng, said, judged = np.random.default_rng(seed), 0, 0
    for _ in range(runs):
        arm, segment = arms(rng, rows), rng.integers(0, 20, rows)
        table = pa.table(
            {"arm": arm, "segment": [f"s{s:02d}" for s in segment], "y": rng.normal(0, 1, rows) + effect * (arm == "B")}
        )
        answer = ambidex.experiment(table, group="arm", metric="y", by="segment")
        said += any("differs between groups" in f.title and not f.title.startswith("No sign") for f in answer.findings)
        judged += any("segment s" in v.claim.measure and v.outcome != "open" for v in answer.verdicts)
    return said / runs, judged / runs


def test_twenty_groups_in_which_nothing_happens() -> None:
    said, judged = named_groups(400, 2_000, seed=6)
    print(f"S6: named {said:.3f}, judged alone {judged:.3f}")
    assert said <= 0.06 + 0.02 and judged <= 0.06 + 0.02  # two standard errors of 400 runs


def test_groups_that_all_respond_alike() -> None:
    said, _ = named_groups(200, 2_000, seed=7, effect=0.5)
    print(f"groups alike: named {said:.3f}")
    assert said <= 0.06 + 0.03


def test_quantiles() -> None:
    rng, runs, held = np.random.default_rng(8), 400, 0
    for _ in range(runs):
        table = pa.table({"arm": arms(rng, 800), "y": rng.gamma(2, 2, 800)})
        answer = ambidex.experiment(table, group="arm", metric="y:q90")
        (e,) = [e for e in answer.estimates if e.kind == "difference"]
        held += e.low <= 0 <= e.high
    print(f"quantile: {held / runs:.3f}")
    assert 0.92 <= held / runs <= 0.98
