"""How often the intervals of the methods for experiments hold the truth; fixed seeds, long ones apart."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ambidex.stats.adjustment import cuped_difference, lin_difference, lin_relative
from ambidex.stats.aipw import aipw
from ambidex.stats.claim import Claim, decide
from ambidex.stats.clusters import cluster_difference, cluster_relative
from ambidex.stats.estimate import Estimate
from ambidex.stats.quantiles import quantile_difference
from ambidex.stats.summaries import Moments

Made = tuple[Estimate | None, float]


def coverage(make: Callable[[np.random.Generator], Made], runs: int, seed: int = 1) -> float:
    rng, held = np.random.default_rng(seed), 0
    for _ in range(runs):
        e, truth = make(rng)
        assert e is not None
        held += e.low <= truth <= e.high
    return held / runs


def arms(rng: np.random.Generator, n: int, *, share: float = 0.5, grows: float = 0.0) -> tuple[Moments, Moments]:
    """An effect of 1 (10%) that grows with the covariate; errors that do too."""
    x, arm = rng.gamma(2, 1, n), rng.permutation(n) < share * n
    y = 10 + 2 * (x - 2) + arm * (1 + grows * (x - 2)) + rng.normal(0, 1, n) * (0.5 + x / 4)
    one, zero = (Moments.of({"y": y[arm == a], "x": x[arm == a]}) for a in (True, False))
    return one, zero


def lin(rng: np.random.Generator) -> Made:
    return lin_difference(*arms(rng, 400, share=0.3, grows=1.0), "y", ["x"]), 1.0


def lin_small(rng: np.random.Generator) -> Made:
    return lin_difference(*arms(rng, 40), "y", ["x"]), 1.0


def lin_lift(rng: np.random.Generator) -> Made:
    return lin_relative(*arms(rng, 400, grows=1.0), "y", ["x"]), 0.1


def cuped(rng: np.random.Generator) -> Made:
    return cuped_difference(*arms(rng, 400, grows=1.0), "y", "x"), 1.0


def shops(
    rng: np.random.Generator, groups: int, treated: int, *, noisy: float = 1.0, inside: bool = False, vary: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shops of 10 to 50 customers, correlation .1, an effect of .3 on a mean of 5."""
    size = rng.integers(10, 51, groups)
    shop = np.repeat(np.arange(groups), size)
    arm = rng.integers(0, 2, len(shop)) if inside else (rng.permutation(groups) < treated)[shop].astype(int)
    level, effect = rng.normal(0, 1 / 3, groups)[shop], 0.3 + rng.normal(0, vary, groups)[shop]
    return 5 + level * np.where(arm == 1, noisy, 1.0) + arm * effect + rng.normal(0, 1, len(shop)), arm, shop


def clusters_40(rng: np.random.Generator) -> Made:
    return cluster_difference(*shops(rng, 40, 20)), 0.3


def clusters_12(rng: np.random.Generator) -> Made:
    return cluster_difference(*shops(rng, 12, 6)), 0.3


def clusters_12_lift(rng: np.random.Generator) -> Made:
    return cluster_relative(*shops(rng, 12, 6)), 0.3 / 5


def clusters_12_noisy_few(rng: np.random.Generator) -> Made:
    return cluster_difference(*shops(rng, 12, 4, noisy=3.0)), 0.3


def clusters_12_inside(rng: np.random.Generator) -> Made:
    return cluster_difference(*shops(rng, 12, 6, inside=True, vary=0.3)), 0.3


def median(rng: np.random.Generator) -> Made:
    return quantile_difference(rng.lognormal(0.2, 1, 300), rng.lognormal(0, 1, 300), 0.5), float(np.exp(0.2) - 1)


def ninetieth(rng: np.random.Generator) -> Made:
    truth = float(np.exp(1.2815515655 + 0.2) - np.exp(1.2815515655))
    return quantile_difference(rng.lognormal(0.2, 1, 500), rng.lognormal(0, 1, 500), 0.9), truth


def median_of_visits(rng: np.random.Generator) -> Made:
    """Three visits to a user, alike: rows as units hold the truth in 83%."""
    y1, y0 = (np.repeat(rng.normal(gap, 1, 200), 3) + rng.normal(0, 0.5, 600) for gap in (0.3, 0.0))
    units = np.repeat(np.arange(200), 3)
    return quantile_difference(y1, y0, 0.5, units1=units, units0=units), 0.3


FAST = {"lin": lin, "lin, 40 units": lin_small, "40 clusters": clusters_40}
LONG = {
    "lin": (lin, 4000, 0.935, 0.965),
    "lin, 40 units": (lin_small, 4000, 0.935, 0.965),
    "lin lift": (lin_lift, 4000, 0.935, 0.965),
    "cuped": (cuped, 4000, 0.935, 0.965),
    "40 clusters": (clusters_40, 2000, 0.935, 0.965),
    "12 clusters": (clusters_12, 1000, 0.92, 0.97),
    "12 clusters, lift": (clusters_12_lift, 500, 0.92, 0.97),
    "12 clusters, 4 noisy ones treated": (clusters_12_noisy_few, 500, 0.90, 0.97),
    "inside 12 clusters": (clusters_12_inside, 200, 0.91, 0.98),
    "median": (median, 2000, 0.935, 0.965),
    "90th percentile": (ninetieth, 2000, 0.935, 0.965),
    "median of visits, by user": (median_of_visits, 60, 0.88, 1.0),
}


@pytest.mark.parametrize("name", FAST)
def test_coverage(name: str) -> None:
    assert 0.92 <= coverage(FAST[name], 400) <= 0.98


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LONG)
def test_coverage_long(name: str) -> None:
    make, runs, least, most = LONG[name]
    share = coverage(make, runs, seed=2)
    print(f"{name}: {share:.4f}")
    assert least <= share <= most


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_identical_clusters_are_not_told_apart() -> None:
    """Through the claim: 12 clusters, no effect; a permutation test of 924 splits decides at 5%."""
    rng, told = np.random.default_rng(3), 0
    for _ in range(1000):
        y, arm, shop = shops(rng, 12, 6)
        told += decide(Claim(measure="y"), cluster_difference(y - 0.3 * arm, arm, shop)).outcome != "open"
    print(f"identical clusters: {told / 1000:.3f}")
    assert 0.03 <= told / 1000 <= 0.068


def confounded(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Treatment and outcome lean on the same columns, one of them bent; the mean effect is 1."""
    x = rng.normal(size=(n, 5))
    t = rng.random(n) < 1 / (1 + np.exp(-(0.8 * x[:, 0] - 0.5 * x[:, 1] + 0.3 * (x[:, 2] ** 2 - 1))))
    y = x[:, 0] + 0.5 * x[:, 1] + 0.5 * x[:, 2] ** 2 + t * (1 + 0.5 * x[:, 0]) + rng.normal(size=n)
    return y, t.astype(float), x


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_effects_without_randomisation() -> None:
    """S10: 500 runs of 2,000 units."""
    rng, held, naive, away, error = np.random.default_rng(4), 0, 0, [], []
    for _ in range(500):
        y, t, x = confounded(rng, 2000)
        e = aipw(y, t, x).estimate
        held += e.low <= 1 <= e.high
        away.append(e.value - 1)
        error.append(e.se or 0.0)
        one, zero = y[t == 1], y[t == 0]
        se = np.sqrt(one.var() / len(one) + zero.var() / len(zero))
        naive += abs(one.mean() - zero.mean() - 1) <= 1.96 * se
    bias = abs(float(np.mean(away))) / float(np.mean(error))
    print(f"AIPW: {held / 500:.3f}, bias {bias:.3f} se, naive {naive / 500:.3f}")
    assert 0.93 <= held / 500 <= 0.97 and bias <= 0.1 + 2 / 500**0.5 and naive / 500 < 0.05


def test_overlap_alarm() -> None:
    """S11: more than 10% of controls whose chance of treatment is below .01."""
    rng = np.random.default_rng(5)
    for _ in range(5):
        x = rng.normal(size=(2000, 2))
        chance = 1 / (1 + np.exp(-(3.5 * x[:, 0] - 1)))
        t = rng.random(2000) < chance
        assert float((chance[~t] < 0.01).mean()) > 0.1
        assert not aipw(x[:, 1] + rng.normal(size=2000), t, x).overlaps
