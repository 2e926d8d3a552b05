"""Methods beside the defaults, at their edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ambidex.stats.claim import Claim, decide_all
from ambidex.stats.compare import Level, mean_level, relative, welch
from ambidex.stats.contrasts import fieller, k_proportions, linear_lift, normal_posterior
from ambidex.stats.dunnett import critical, dunnett, family_p
from ambidex.stats.laws import student_p
from ambidex.stats.summaries import Moments


def test_two_shares_are_the_pooled_z_test() -> None:
    from scipy import stats

    table = [[30, 70], [45, 80], [20, 90]]
    want = stats.chi2_contingency(table, correction=False)
    got = k_proportions([a for a, _ in table], [a + b for a, b in table])
    assert (got.chi2, got.df, got.p) == pytest.approx((want.statistic, want.dof, want.pvalue))
    assert math.isnan(k_proportions([5, 5], [5, 5]).p)
    for yes, n in (([1], [2]), ([3, 1], [2, 2]), ([0, 0], [0, 1]), ([1, 1], [2, 2, 2])):
        with pytest.raises(ValueError, match="no groups"):
            k_proportions(yes, n)


@pytest.mark.parametrize("df", [1, 2, 5, 30, 1_000, 1_000_000])
def test_dunnett_with_one_arm_is_students_t(df: int) -> None:
    for t in (0.0, 0.5, 2.0, 5.0):
        assert family_p(t, df, [0.6]) == pytest.approx(student_p(t, df), rel=1e-8)


def test_dunnett_by_simulation() -> None:
    rng = np.random.default_rng(1)
    loads, df = (0.8, 0.6, 0.5), 12
    z = rng.normal(size=(400_000, 1)) * loads + rng.normal(size=(400_000, 3)) * np.sqrt(1 - np.array(loads) ** 2)
    t = np.abs(z).max(axis=1) / np.sqrt(rng.chisquare(df, 400_000) / df)
    for at in (1.0, 2.0, 3.0):
        share = float((t >= at).mean())
        assert family_p(at, df, loads) == pytest.approx(share, abs=4 * (share / 400_000) ** 0.5)
    assert family_p(critical(df, loads, 0.05), df, loads) == pytest.approx(0.05, abs=1e-9)


def test_dunnett_bounds_at_another_alpha() -> None:
    rng = np.random.default_rng(2)
    arms = {a: Moments.of({"x": rng.normal(g, 1, 40)}) for a, g in (("c", 0), ("a", 0.1), ("b", 1.5))}
    a, b = dunnett(arms, "c", "x")
    assert a.p_value is not None and b.p_value is not None
    for e, p in ((a, a.p_value), (b, b.p_value)):
        assert min(abs(e.at(p).low), abs(e.at(p).high)) == pytest.approx(0, abs=1e-6)
    assert [v.outcome for v in decide_all([Claim(measure="x")] * 2, [a, b], family="none")] == ["open", "supported"]
    alone = welch(arms["b"], arms["c"], "x")
    assert b.low < alone.low  # the price of two looks at one control


def test_dunnett_without_spread_or_control() -> None:
    arms = {a: Moments.of({"x": [1.0, 1.0]}) for a in "cab"}
    assert all((e.low, e.high) == (-math.inf, math.inf) for e in dunnett(arms, "c", "x"))
    for control, some in (("z", arms), ("c", {"c": arms["c"]})):
        with pytest.raises(ValueError, match="no control"):
            dunnett(some, control, "x")


def test_fieller_is_between_the_two_where_the_control_is_far_from_zero() -> None:
    rng = np.random.default_rng(3)
    one, zero = (mean_level(Moments.of({"x": rng.gamma(4, m, 5000)}), "x") for m in (1.1, 1.0))
    lift, linear = relative(one, zero), linear_lift(one, zero)
    assert lift is not None
    assert fieller(one, zero) == pytest.approx((lift.low, lift.high), abs=2e-3)
    assert fieller(one, zero) == pytest.approx((linear.low, linear.high), abs=2e-3)
    assert fieller(one, Level(0.1, 0.2, 50, "mean")) == (-math.inf, math.inf)
    with pytest.raises(ValueError, match="no lift"):
        linear_lift(one, Level(0.0, 0.1, 9, "mean"))


def test_prior_shrinks() -> None:
    flat, held = normal_posterior(0.2, 0.1), normal_posterior(0.2, 0.1, prior_sd=0.1)
    assert (held.mean, held.sd) == pytest.approx((0.1, 0.1 / 2**0.5))
    assert held.chance_to_win < flat.chance_to_win
    assert normal_posterior(-0.2, 0.1).risk_treatment == pytest.approx(flat.risk_control)
    with pytest.raises(ValueError, match="positive"):
        normal_posterior(0.1, 0.0)
