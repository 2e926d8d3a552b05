"""Tests of change: published figures, calibration under no change, awkward counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ambidex.stats.calibration import at_knots, calibration_knots, expected_accuracy, expected_auc
from ambidex.stats.changes import carry_over, change_log_e, change_p, counted_rate, smallest_q, swing, swing_p
from ambidex.stats.relations import separation

R, C = (16, 18, 16, 14, 12, 12), (16, 16, 16, 16, 16, 8)


def test_published_figures_of_two_samples() -> None:
    chi2, ranks = change_p((*R, 0), (*C, 0), ordered=True)
    assert chi2 == pytest.approx(0.89853, abs=5e-6)
    assert ranks == pytest.approx(0.9629, abs=5e-5)
    values = [np.repeat(np.arange(6), n) for n in (R, C)]
    assert ranks == pytest.approx(stats.mannwhitneyu(*values, method="asymptotic").pvalue, rel=1e-9)


def test_swing_is_the_homogeneity_test_of_scipy() -> None:
    counts = np.random.default_rng(1).multinomial(300, [0.4, 0.3, 0.2, 0.1], size=12)
    found = stats.chi2_contingency(counts, correction=False)
    assert swing(counts).value == pytest.approx(found.statistic / found.dof, rel=1e-12)


def test_garwood_bounds_against_scipy() -> None:
    for k in (0, 1, 4, 30):
        e = counted_rate(k)
        assert e.low == pytest.approx(stats.chi2.ppf(0.025, 2 * k) / 2 if k else 0.0, abs=1e-12)
        assert e.high == pytest.approx(stats.chi2.ppf(0.975, 2 * k + 2) / 2, rel=1e-12)


def test_expected_performance_is_the_truth_where_the_curve_holds() -> None:
    rng = np.random.default_rng(2)
    score = rng.random(20_000)
    rate = score**2
    knots = calibration_knots(score, rng.random(20_000) < rate)
    live = np.sort(rng.beta(2, 1, 20_000))
    y = rng.random(20_000) < live**2
    q = at_knots(knots, live)
    auc = expected_auc(np.ones(len(live)), q)
    ranks = stats.rankdata(live)
    n1 = int(y.sum())
    real = (ranks[y].sum() - n1 * (n1 + 1) / 2) / (n1 * (len(y) - n1))
    assert auc.value == pytest.approx(real, abs=0.012)
    assert auc.low < real < auc.high
    accuracy = expected_accuracy(np.ones(len(live)), live >= math.sqrt(0.5), q)
    assert accuracy.value == pytest.approx(float(((live >= math.sqrt(0.5)) == y).mean()), abs=0.012)


def test_e_values_of_no_change_have_mean_one_at_most() -> None:
    rng = np.random.default_rng(3)
    shares = np.array([0.3, 0.3, 0.2, 0.2, 0.0])
    e = [
        math.exp(change_log_e(change_p(rng.multinomial(2_000, shares), rng.multinomial(300, shares), ordered=True)))
        for _ in range(2_000)
    ]
    assert float(np.mean(e)) < 1.15


def test_smallest_q_rejects_as_often_as_it_says() -> None:
    rng = np.random.default_rng(4)
    least = [smallest_q([(p,) for p in rng.random(20)], n=1)[0].value for _ in range(4_000)]
    assert float(np.mean(np.array(least) <= 0.05)) == pytest.approx(0.05, abs=0.012)


def test_ranks_of_exchangeable_looks_are_uniform() -> None:
    rng = np.random.default_rng(5)
    p = [swing_p(list(d[:-1]), d[-1]) for d in rng.random((2_000, 20))]
    assert float(np.mean(np.array(p) <= 0.1)) == pytest.approx(0.1, abs=0.02)
    refused = [carry_over([list(d)]).low > 0 for d in rng.random((400, 40))]
    assert float(np.mean(refused)) < 0.05


def test_awkward_counts() -> None:
    assert change_p([0, 0], [5, 5], ordered=False) == ()
    assert change_p([10, 0], [10, 0], ordered=False) == ()
    assert math.isnan(swing([[5, 5]]).value)
    assert smallest_q([(), ()], n=0)[0].value == 1.0
    assert calibration_knots([], []) == ([], [])
    assert math.isnan(expected_auc([0, 0], [0.1, 0.9]).value)
    few = np.zeros((5, 2), dtype=np.uint8)
    assert separation(few, few, seed=0) is None


@pytest.mark.slow
def test_the_classifier_rings_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(6)
    found = [
        separation(
            rng.integers(0, 17, (4_000, 8)).astype(np.uint8), rng.integers(0, 17, (600, 8)).astype(np.uint8), seed=i
        )
        for i in range(200)
    ]
    p = np.array([f.p_value for f in found if f is not None])
    assert float(np.mean(p <= 0.05)) <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / 200)
