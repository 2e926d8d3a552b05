"""How often the kernel is wrong, by simulation at fixed seeds, through the functions that decide.

The fast ones keep the build honest; the slow ones have the numbers of runs that the bands ask for.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from ambidex.stats.checks import sample_ratio
from ambidex.stats.claim import Claim, decide, decide_all
from ambidex.stats.compare import difference, mean_level, paired_mean, ratio_level, relative, share_difference, welch
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import Bets, anytime
from ambidex.stats.summaries import Moments

RNG = np.random.default_rng


def normal_pair(rng: np.random.Generator, n: int, gap: float = 0.0) -> Estimate:
    return welch(Moments.of({"x": rng.normal(gap, 2, n)}), Moments.of({"x": rng.normal(0, 1, n)}), "x")


def share_pair(rng: np.random.Generator, n: int, p: float, gap: float = 0.0) -> Estimate:
    return share_difference(int(rng.binomial(n, p + gap)), n, int(rng.binomial(n, p)), n)


def wrong(kind: str, runs: int, seed: int) -> float:
    """Share of identical arms that are told apart, judged once."""
    rng, claim = RNG(seed), Claim(measure="x")
    made = {
        "mean": lambda: normal_pair(rng, 40),
        "share": lambda: share_pair(rng, 400, 0.2),
        "lift": lambda: lift(rng),
        "ratio": lambda: ratio(rng),
    }[kind]
    return sum(decide(claim, made()).outcome != "open" for _ in range(runs)) / runs


def lift(rng: np.random.Generator) -> Estimate:
    arms = [mean_level(Moments.of({"x": rng.gamma(2, 5, 200)}), "x") for _ in range(2)]
    e = relative(*arms)
    assert e is not None
    return e


def ratio(rng: np.random.Generator) -> Estimate:
    """Visits as rows would be wrong in a fifth of runs: users differ in visits and in their rate."""
    arms = []
    for _ in range(2):
        visits = rng.poisson(4, 300) + 1
        rate = rng.beta(2, 5, 300)
        arms.append(ratio_level(Moments.of({"y": rng.binomial(visits, rate), "x": visits}), "y", "x"))
    return difference(*arms)


@pytest.mark.parametrize("kind", ["mean", "share", "lift", "ratio"])
def test_identical_arms_once(kind: str) -> None:
    assert 0.040 <= wrong(kind, 5_000, seed=1) <= 0.060


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mean", "share", "lift", "ratio"])
def test_identical_arms_once_long(kind: str) -> None:
    assert 0.045 <= wrong(kind, 40_000, seed=2) <= 0.055


def looked_at(runs: int, seed: int, looks: Literal["once", "anytime"], kind: str, views: int = 40) -> float:
    """Share of identical arms told apart at any of 40 looks, one every 100 units an arm."""
    rng, claim, condemned = RNG(seed), Claim(measure="x", looks=looks), 0
    for _ in range(runs):
        draw = (
            rng.normal(0, 1, (2, views, 100)) if kind == "mean" else (rng.random((2, views, 100)) < 0.2).astype(float)
        )
        arms = [Moments.empty(("x",)), Moments.empty(("x",))]
        for view in range(views):
            arms = [m + Moments.of({"x": draw[i, view]}) for i, m in enumerate(arms)]
            e = welch(arms[0], arms[1], "x")
            e = anytime(e, fewest=arms[0].n) if looks == "anytime" else e
            if decide(claim, e).outcome != "open":
                condemned += 1
                break
    return condemned / runs


def test_forty_looks() -> None:
    assert looked_at(120, 3, "anytime", "mean") <= 0.057
    assert looked_at(120, 3, "once", "mean") >= 0.20  # what the anytime bounds are for


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["mean", "share"])
def test_forty_looks_long(kind: str) -> None:
    assert looked_at(1_500, 4, "anytime", kind) <= 0.057


def at_margin(runs: int, seed: int, margin: float = 0.05) -> tuple[float, float]:
    """The true difference is the margin: how often it is called inside ±margin, or beyond it."""
    rng, claim = RNG(seed), Claim(measure="x", relation="outside", margin=margin)
    found = [decide(claim, share_pair(rng, 3_000, 0.3, gap=margin)).outcome for _ in range(runs)]
    return found.count("refuted") / runs, found.count("supported") / runs


def test_at_the_margin() -> None:
    inside, beyond = at_margin(4_000, seed=5)
    assert 0.017 <= inside <= 0.033 and 0.017 <= beyond <= 0.033  # alpha/2 each way


@pytest.mark.slow
def test_at_the_margin_long() -> None:
    inside, beyond = at_margin(40_000, seed=6)
    assert 0.022 <= inside <= 0.028 and 0.022 <= beyond <= 0.028


def at_gate(runs: int, seed: int) -> float:
    """A challenger worse by exactly the margin, on the same rows, one side: how often it passes."""
    rng = RNG(seed)
    claim = Claim(measure="loss", relation="below", margin=0.02, sides=1)
    passed = 0
    for _ in range(runs):
        d = rng.choice([1.0, -1.0, 0.0], 1_500, p=[0.05, 0.03, 0.92])
        passed += decide(claim, paired_mean(d)).outcome == "supported"
    return passed / runs


def test_a_challenger_at_the_margin_passes_rarely() -> None:
    assert 0.035 <= at_gate(4_000, seed=7) <= 0.065


def test_several_metrics_under_holm() -> None:
    rng, claims, runs = RNG(8), [Claim(measure=str(i)) for i in range(4)], 400
    told = 0
    for _ in range(runs):
        told += any(v.outcome != "open" for v in decide_all(claims, [normal_pair(rng, 30) for _ in claims]))
    assert told / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


def releases(
    relation: Literal["above", "below"], margin: float, truth: float, runs: int, seed: int, every: int
) -> tuple[float, float]:
    """Share of releases of 5,000 labels in which the claim was supported, and the median labels until then."""
    rng = RNG(seed)
    claim = Claim(measure="loss", relation=relation, margin=margin, looks="anytime", sides=1)
    labels = []
    for _ in range(runs):
        d = rng.choice([1.0, -1.0, 0.0], 5_000, p=[0.03 + truth / 2, 0.03 - truth / 2, 0.94])
        bets = Bets.start(relation, margin)
        for start in range(0, 5_000, every):
            bets = bets.add(d[start : start + every])
            if decide(claim, bets.estimate()).outcome == "supported":
                labels.append(bets.n)
                break
    return len(labels) / runs, float(np.median(labels)) if labels else np.inf


def test_releases() -> None:
    assert releases("above", 0.0, 0.0, 80, 9, 250)[0] <= 0.06  # an identical model rolled back
    assert releases("below", 0.02, 0.0, 60, 10, 250)[0] >= 0.95  # an identical model promoted
    assert releases("above", 0.0, 0.025, 60, 11, 250)[0] >= 0.95  # a worse one rolled back
    assert releases("below", 0.02, 0.02, 80, 12, 250)[0] <= 0.06  # one at the margin promoted


@pytest.mark.slow
def test_releases_long() -> None:
    """The prototype: 1.7%; 99.3% after 1,184 labels; 99.8% after 809; 1.1%; 2.3%."""
    assert releases("above", 0.0, 0.0, 600, 13, 25)[0] <= 0.05
    promoted, labels = releases("below", 0.02, 0.0, 300, 14, 25)
    assert promoted >= 0.98 and labels <= 1.3 * 1_184
    caught, labels = releases("above", 0.0, 0.025, 300, 15, 25)
    assert caught >= 0.98 and labels <= 1.3 * 809
    assert releases("below", 0.02, 0.025, 600, 16, 25)[0] <= 0.05
    assert releases("below", 0.02, 0.02, 600, 17, 25)[0] <= 0.05


@pytest.mark.slow
def test_sample_ratio_at_its_threshold() -> None:
    rng = RNG(18)
    first = rng.binomial(20_000, 0.5, 50_000)
    rang = np.mean([sample_ratio({"a": int(x), "b": 20_000 - int(x)}).p < 0.001 for x in first])
    assert 0.0006 <= rang <= 0.0014


@pytest.mark.slow
def test_coverage_with_few_buyers() -> None:
    """1% buyers, lognormal spend: the interval of the difference holds zero as often as it says."""
    rng, claim, runs = RNG(19), Claim(measure="x"), 2_000
    told = 0
    for _ in range(runs):
        arms = [(rng.random(20_000) < 0.01) * rng.lognormal(3, 1, 20_000) for _ in range(2)]
        told += decide(claim, welch(Moments.of({"x": arms[0]}), Moments.of({"x": arms[1]}), "x")).outcome != "open"
    assert 0.035 <= told / runs <= 0.065
