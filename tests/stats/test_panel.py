"""Difference in differences, plain and synthetic, and its placebos."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.panel import (
    Panel,
    clustered_se,
    cross_section,
    did,
    did_value,
    placebo_in_time,
    placebos_in_space,
    pre_trend,
    synthetic,
    synthetic_did,
)


def panel(units: int = 30, periods: int = 12, treated: int = 1, effect: float = 0.0, seed: int = 0) -> Panel:
    """A factor model: units load differently on a common wave."""
    rng = np.random.default_rng(seed)
    wave = np.cumsum(rng.normal(0, 1, periods))
    y = rng.normal(0, 2, units)[:, None] + np.outer(rng.uniform(0, 2, units), wave)
    y += rng.normal(0, 0.5, (units, periods))
    who = np.zeros(units, dtype=bool)
    who[:treated] = True
    y[who, 8:] += effect
    return Panel(y, who, 8)


def test_an_effect_is_found_and_its_bounds_hold_the_truth() -> None:
    e = synthetic_did(panel(effect=5.0))
    assert e.p_value == pytest.approx(1 / 30) and 0 < e.low < 5 < e.high


def test_weights_are_shares() -> None:
    s = synthetic(panel())
    assert s.units.sum() == pytest.approx(1) and s.times.sum() == pytest.approx(1)
    assert (s.units >= 0).all() and (s.times >= 0).all()


def test_a_level_of_its_own_and_a_shift_of_all_change_nothing() -> None:
    p = panel(effect=2.0)
    moved = Panel(p.y + 1e9 * p.treated[:, None] + np.arange(12), p.treated, p.start)
    assert did_value(moved) == pytest.approx(did_value(p), abs=1e-5)
    assert synthetic(moved).value == pytest.approx(synthetic(p).value, abs=1e-3)


def test_synthetic_follows_the_wave_that_misleads_the_plain_one() -> None:
    rows = [panel(seed=s) for s in range(40)]
    plain = np.array([did_value(p) for p in rows])
    made = np.array([synthetic(p).value for p in rows])
    assert np.sqrt((made**2).mean()) < 0.5 * np.sqrt((plain**2).mean())


def test_many_units_are_compared_by_their_changes() -> None:
    e = did(panel(units=60, treated=25, effect=4.0))
    assert "Welch" in e.method and e.low < 4 < e.high
    assert "placebos" in did(panel(units=60, treated=3)).method


def test_too_few_placebos_leave_it_open() -> None:
    e = synthetic_did(panel(units=8, effect=9.0))
    assert e.low == -np.inf and e.p_value == pytest.approx(1 / 8)
    assert did(panel(units=2)).law is None and len(placebos_in_space(panel(units=2), did_value)) == 0


def test_placebos_leave_the_treated_out_and_are_reproducible() -> None:
    p = panel(units=12, treated=3, effect=100.0)
    first, second = (placebos_in_space(p, did_value, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert np.abs(first).max() < 50


def test_a_run_before_the_start_is_seen() -> None:
    p = panel(units=40)
    y = p.y.copy()
    y[0] += 2.0 * np.arange(12)
    running = pre_trend(Panel(y, p.treated, 8))
    assert running is not None and running.p_value is not None and running.p_value < 0.05
    assert (
        pre_trend(Panel(p.y[:, 6:], p.treated, 2)) is None and placebo_in_time(Panel(p.y[:, 5:], p.treated, 3)) is None
    )


def test_the_clustered_error_is_that_of_the_regression() -> None:
    sm = pytest.importorskip("statsmodels.api")
    p = panel(units=20, treated=6, effect=1.0)
    n, t = p.y.shape
    d = np.zeros((n, t))
    d[p.treated, 8:] = 1
    unit, time = np.repeat(np.arange(n), t), np.tile(np.arange(t), n)
    x = np.column_stack([d.ravel(), np.eye(n)[unit], np.eye(t)[time][:, 1:]])
    fit = sm.OLS(p.y.ravel(), x).fit(cov_type="cluster", cov_kwds={"groups": unit})
    assert did_value(p) == pytest.approx(fit.params[0]) and clustered_se(p) == pytest.approx(fit.bse[0])


def test_a_repeated_cross_section_is_the_regression_with_the_interaction() -> None:
    rng = np.random.default_rng(2)
    t, a, x = rng.random(200) < 0.4, rng.random(200) < 0.5, rng.normal(size=(200, 2))
    y = 3 * t + 2 * a - 4 * (t & a) + x[:, 0] + rng.normal(size=200)
    e, alike = cross_section(y, t, a, x)
    sm = pytest.importorskip("statsmodels.api")
    design = np.column_stack([np.ones(200), t & a, t, a, x]).astype(float)
    fit, robust = sm.OLS(y, design).fit(), sm.OLS(y, design).fit(cov_type="HC2")
    assert (e.value, e.se, alike) == pytest.approx((fit.params[1], robust.bse[1], fit.bse[1]))


@pytest.mark.parametrize(
    ("y", "treated", "start"),
    [
        (np.zeros((2, 3)), [True, True], 1),
        (np.zeros((2, 3)), [False, False], 1),
        (np.zeros((2, 3)), [True, False], 0),
        (np.zeros((2, 3)), [True, False], 3),
        (np.full((2, 3), np.nan), [True, False], 1),
    ],
)
def test_no_panel(y: np.ndarray, treated: list[bool], start: int) -> None:
    with pytest.raises(ValueError, match=r"panel|missing"):
        Panel(y, np.array(treated), start)


def test_constant_outcomes_give_no_error_to_judge_by() -> None:
    e = synthetic_did(Panel(np.ones((30, 6)), np.arange(30) == 0, 4))
    assert e.value == 0 and e.law is None and e.low == -np.inf
