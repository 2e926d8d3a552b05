"""Clustered arms: CR1, permutations and the interval that inverts them."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from ambidex.stats.claim import Claim, decide, decide_all
from ambidex.stats.clusters import (
    Cells,
    cells_of,
    cluster_difference,
    cluster_levels,
    cluster_relative,
    difference_of_cells,
    relative_of_cells,
)

Floats = np.ndarray


def villages(
    groups: int, each: int, *, treated: int, seed: int = 1, effect: float = 0.0, mean: float = 10.0
) -> tuple[Floats, Floats, Floats]:
    """Outcome, arm and village of rows; whole villages are treated."""
    rng = np.random.default_rng(seed)
    village = np.repeat(np.arange(groups), each)
    arm = (rng.permutation(groups) < treated).astype(int)[village]
    return rng.normal(0, 1, groups)[village] + rng.normal(0, 1, groups * each) + effect * arm + mean, arm, village


def test_cr1_is_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    for seed, inside in ((1, False), (2, True)):
        y, arm, village = villages(50, 12, treated=20, seed=seed, effect=0.5)
        if inside:
            arm = np.random.default_rng(seed).integers(0, 2, len(y))
        fit = sm.OLS(y, sm.add_constant(arm)).fit(cov_type="cluster", cov_kwds={"groups": village}, use_t=True)
        e = cluster_difference(y, arm, village)
        assert e.value == pytest.approx(fit.params[1]) and e.se == pytest.approx(fit.bse[1])
        assert e.p_value == pytest.approx(fit.pvalues[1])
        assert (e.low, e.high) == pytest.approx(tuple(fit.conf_int()[1]))
        assert e.method == "CR1, t(49), 50 clusters"


def test_cr1_of_units_alone_is_the_robust_error_of_rows() -> None:
    y, arm, _ = villages(100, 1, treated=40)
    e = cluster_difference(y, arm, np.arange(100))
    one, zero = y[arm == 1], y[arm == 0]
    hc1 = np.sqrt((one.var() / len(one) + zero.var() / len(zero)) * 100 / 98)
    assert e.se == pytest.approx(hc1 * np.sqrt(100 / 99 * 99 / 98 * 98 / 100))


def test_ratio_is_a_mean_where_the_denominator_counts_rows() -> None:
    y, arm, village = villages(50, 8, treated=25)
    mean, ratio = cluster_difference(y, arm, village), cluster_difference(y, arm, village, denominator=np.ones(len(y)))
    assert ratio.value == pytest.approx(mean.value) and ratio.se == pytest.approx(mean.se)


def brute(y: Floats, arm: Floats, village: Floats) -> float:
    """p-value over every assignment of whole villages of equal size, by the t of their means."""
    groups, each = int(village.max()) + 1, int((village == 0).sum())
    means = y.reshape(groups, each).mean(axis=1)
    seen = tuple(np.flatnonzero(arm[::each]))

    def t(ones: tuple[int, ...]) -> float:
        one, zero = means[list(ones)], np.delete(means, list(ones))
        return abs(one.mean() - zero.mean()) / np.sqrt(one.var(ddof=1) / len(one) + zero.var(ddof=1) / len(zero))

    reached = np.array([t(ones) for ones in combinations(range(groups), len(seen))])
    return float((reached >= t(seen) * (1 - 1e-9)).mean())


@pytest.mark.parametrize("treated", [4, 5])
def test_interval_inverts_the_permutation_test(treated: int) -> None:
    y, arm, village = villages(10, 6, treated=treated, effect=1.5)
    e, lift = cluster_difference(y, arm, village), cluster_relative(y, arm, village)
    assert e.p_value == pytest.approx(brute(y, arm, village)) and "permutation of 10 clusters" in e.method
    assert lift is not None and lift.p_value == e.p_value  # "nothing at all" is one hypothesis
    for effect, inside in ((e.low + 1e-6, True), (e.low - 1e-6, False), (e.high - 1e-6, True), (e.high + 1e-6, False)):
        assert (brute(y - effect * arm, arm, village) > 0.05) is inside
    for gain, inside in ((lift.low + 1e-6, True), (lift.low - 1e-6, False), (lift.high + 1e-6, False)):
        assert (brute(np.where(arm == 1, y / (1 + gain), y), arm, village) > 0.05) is inside


def test_same_at_a_mean_of_a_billion() -> None:
    y, arm, village = villages(12, 20, treated=5, effect=1.0)
    near, far = cluster_difference(y, arm, village), cluster_difference(y + 1e9, arm, village)
    assert (far.low, far.high, far.se) == pytest.approx((near.low, near.high, near.se), abs=1e-6)
    inside = np.random.default_rng(3).integers(0, 2, len(y))
    near, far = cluster_difference(y, inside, village), cluster_difference(y + 1e9, inside, village)
    assert (far.low, far.high) == pytest.approx((near.low, near.high), abs=1e-3)


def test_few_clusters_stay_open() -> None:
    y, arm, village = villages(5, 50, treated=2, effect=5.0)
    e = cluster_difference(y, arm, village)
    assert (e.low, e.high, e.p_value) == (-np.inf, np.inf, None) and e.method == "5 clusters: too few"
    assert decide(Claim(measure="y"), e).outcome == "open"
    assert cluster_relative(y, arm, village) is None


def test_smallest_reachable_p_above_alpha_stays_open() -> None:
    y, arm, village = villages(6, 50, treated=3, effect=50.0)
    e = cluster_difference(y, arm, village)
    assert e.p_value == pytest.approx(2 / 20)  # each split and its mirror image
    assert (e.low, e.high) == (-np.inf, np.inf)
    assert decide(Claim(measure="y", alpha=0.2), e).outcome == "supported"


def test_family_takes_permutations_at_any_alpha() -> None:
    y, arm, village = villages(12, 20, treated=6, effect=3.0)
    e = cluster_difference(y, arm, village)
    assert e.p_value == pytest.approx(2 / 924)
    for m, outcome in ((1, "supported"), (20, "supported"), (30, "open")):
        verdicts = decide_all([Claim(measure="y")] * m, [e] * m, family="bonferroni")
        assert verdicts[0].outcome == outcome, m
    assert e.at(0.01).low < e.at(0.05).low < e.at(0.3).low < e.value < e.at(0.3).high < e.at(0.05).high


def test_arms_inside_clusters_are_permuted_inside() -> None:
    y, _, village = villages(12, 40, treated=6)
    arm = np.random.default_rng(2).integers(0, 2, len(y))
    made = cells_of(y, arm, village)
    assert made.design == "inside"
    e, sums = (
        cluster_difference(y + 0.6 * arm, arm, village),
        difference_of_cells(cells_of(y + 0.6 * arm, arm, village)),
    )
    assert e.method == "permuted inside 12 clusters"
    assert (sums.low, sums.high) == pytest.approx((e.low, e.high), abs=0.02)
    whole = cluster_difference(*villages(12, 40, treated=6, effect=0.6))
    assert e.high - e.low < 0.5 * (whole.high - whole.low)  # villages' levels cancel
    lift, sums_lift = (
        cluster_relative(y + 0.6 * arm, arm, village),
        relative_of_cells(cells_of(y + 0.6 * arm, arm, village)),
    )
    assert lift is not None and sums_lift is not None
    assert (sums_lift.low, sums_lift.high) == pytest.approx((lift.low, lift.high), abs=0.003)


def test_few_treated_clusters_of_many_are_permuted() -> None:
    y, arm, village = villages(60, 5, treated=4)
    assert "permutation of 60 clusters" in cluster_difference(y, arm, village).method
    y, arm, village = villages(60, 5, treated=12)
    assert cluster_difference(y, arm, village).method.startswith("CR1")


def test_arm_inside_one_cluster_only() -> None:
    y, arm, village = villages(20, 6, treated=10)
    arm[0] = 1 - arm[0]
    assert cells_of(y, arm, village).design == "partly"
    assert cluster_difference(y, arm, village).method == "CR1, t(19), 20 clusters"


def test_sums_are_all_that_is_needed() -> None:
    y, arm, village = villages(50, 12, treated=20, effect=0.5)
    made = cells_of(y, arm, village)
    raw = Cells(made.cluster, made.arm, made.n, made.y + made.shift * made.n)
    assert difference_of_cells(raw).se == pytest.approx(cluster_difference(y, arm, village).se)
    one, zero = cluster_levels(raw)
    assert one.value == pytest.approx(y[arm == 1].mean()) and zero.n == int((arm == 0).sum())


def test_seeded() -> None:
    y, arm, village = villages(30, 4, treated=15)
    first, again = cluster_difference(y, arm, village, seed=4), cluster_difference(y, arm, village, seed=4)
    assert first == again
    assert first.law is not None and len(first.law.args) < 3_000


@pytest.mark.parametrize(
    ("y", "arm", "village"),
    [
        ([], [], []),
        ([1.0], [1], [0]),
        ([1.0, 2.0], [1, 1], [0, 1]),
        ([1.0] * 8, [0, 1] * 4, list(range(8))),
        ([1e9] * 80, [0] * 40 + [1] * 40, list(range(80))),
        ([1.0, 2, 3, 4, 5, 6, 7, 8], [1] * 8, list(range(8))),
    ],
)
def test_nothing_to_go_by(y: list[float], arm: list[int], village: list[int]) -> None:
    e = cluster_difference(y, arm, village)
    assert (e.low, e.high) == (-np.inf, np.inf)
    assert cluster_relative(y, arm, village) is None
    assert decide(Claim(measure="y"), e).outcome == "open"


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        cells_of([1.0, np.nan], [0, 1], [0, 1])
    with pytest.raises(ValueError, match="arms are 0 and 1"):
        cells_of([1.0, 2.0], [0, 2], [0, 1])
    with pytest.raises(ValueError, match="as long as"):
        cells_of([1.0, 2.0], [0, 1], [0, 1, 1])
