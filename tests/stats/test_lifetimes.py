"""BG/NBD and gamma-gamma against the published CDNOW figures, and on simulated customers."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.lifetimes import BgNbd, customer_value, fit_bgnbd, fit_gamma_gamma, simulate_bgnbd
from oracle_rows import check

FADER = BgNbd(0.242593, 4.413532, 0.792886, 2.425754, 0.0, np.zeros((4, 4)), 1)


def test_one_customer_of_the_note():
    x, tx, t = np.array([2.0]), np.array([30.43]), np.array([38.86])
    check("Q3-08", float(FADER.expected(39, x, tx, t)[0]), float(FADER.alive(x, tx, t)[0]))


@pytest.fixture(scope="module")
def summary():
    lifetimes = pytest.importorskip("lifetimes.datasets")
    return lifetimes.load_cdnow_summary_data_with_monetary_value(), lifetimes.load_cdnow_summary()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_cdnow(summary):
    money, counts = summary
    fit = fit_bgnbd(counts["frequency"], counts["recency"], counts["T"])
    check("Q3-07", *fit.parameters, fit.log_likelihood)
    total = fit.total(39, *(counts[c].to_numpy(float) for c in ("frequency", "recency", "T")), name="39 weeks")
    assert round(total.value) == 1653 and total.high < 1882
    buyers = money[money["frequency"] > 0]
    spend = fit_gamma_gamma(buyers["frequency"], buyers["monetary_value"])
    check("Q3-10", *spend.parameters, spend.log_likelihood, spend.mean)


def test_the_mean_of_customers_who_are_all_new_is_the_mean():
    values = fit_gamma_gamma(np.repeat([1.0, 2.0, 5.0], 20), np.random.default_rng(0).gamma(8, 5, 60))
    assert values.expected(np.zeros(1), np.zeros(1))[0] == pytest.approx(values.mean)


def test_value_has_an_interval():
    x, tx, later = simulate_bgnbd(800, (0.5, 6.0, 0.9, 2.5), np.full(800, 50.0), seed=1, further=10)
    z = np.where(x > 0, np.random.default_rng(2).gamma(6, 5, 800), 0.0)
    orders, money = fit_bgnbd(x, tx, np.full(800, 50.0)), fit_gamma_gamma(x, z)
    e = customer_value(orders, money, 10, x, tx, np.full(800, 50.0), z, name="all")
    assert 0 < e.low < e.value < e.high < 3 * e.value
    assert later.sum() > 0


def test_a_parameter_that_the_data_do_not_hold_has_open_bounds():
    # Nobody ever leaves: b runs away, what is forecast does not.
    weeks = np.full(600, 30.0)
    x, tx, _ = simulate_bgnbd(600, (1.0, 5.0, 1e-6, 10.0), weeks, seed=4)
    fit = fit_bgnbd(x, tx, weeks)
    assert any(e.law is None for e in fit.estimates())
    total = fit.total(10, x, tx, weeks, name="orders")
    assert np.isfinite([total.low, total.high]).all()


@pytest.mark.parametrize(
    ("x", "tx", "t"),
    [([1, 2], [1.0, 2.0], [3.0, 3.0]), ([0] * 12, [0.0] * 12, [9.0] * 12), ([1] * 12, [9.0] * 12, [3.0] * 12)],
)
def test_too_few_none_who_came_back_or_times_that_contradict(x, tx, t):
    with pytest.raises(ValueError, match=r"BG/NBD|contradict"):
        fit_bgnbd(x, tx, t)


@pytest.mark.slow
def test_intervals_hold_the_truth_and_totals_are_right():
    """S15: coverage .90 to .98 of each parameter; the 39-week total of simulated logs within 5% on average."""
    truth, weeks = (0.6, 6.0, 0.9, 2.5), np.random.default_rng(0).uniform(30, 50, 1500)
    runs, inside, totals = 120, np.zeros(4), []
    for seed in range(runs):
        x, tx, later = simulate_bgnbd(1500, truth, weeks, seed=seed, further=39)
        fit = fit_bgnbd(x, tx, weeks)
        inside += [e.low <= v <= e.high for e, v in zip(fit.estimates(), truth, strict=True)]
        total = fit.total(39, x, tx, weeks, name="total")
        totals.append((total.value / later.sum(), total.low <= later.sum() <= total.high))
    ratio, held = np.array(totals, dtype=float).T
    print("coverage", inside / runs, "total", ratio.mean(), "held", held.mean())
    assert ((inside / runs >= 0.90) & (inside / runs <= 0.99)).all()
    assert abs(ratio.mean() - 1) < 0.05 and 0.90 <= held.mean() <= 0.99
