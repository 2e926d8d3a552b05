"""Summaries add up; comparisons agree with SciPy and survive awkward arms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from ambidex.stats import laws
from ambidex.stats.checks import sample_ratio
from ambidex.stats.claim import Claim, decide
from ambidex.stats.compare import (
    difference,
    mean_level,
    paired_mean,
    ratio_difference,
    ratio_level,
    relative,
    share_difference,
    share_level,
    welch,
)
from ambidex.stats.summaries import Counts, Moments

values = st.lists(st.floats(-1e6, 1e6), min_size=0, max_size=20)


@given(values, values, values)
def test_parts_add_up_to_the_whole(a: list[float], b: list[float], c: list[float]) -> None:
    def of(x: list[float]) -> Moments:
        return Moments.of({"x": x, "square": [v * v for v in x]})

    left, right, whole = (of(a) + of(b)) + of(c), of(a) + (of(b) + of(c)), of(a + b + c)
    for m in (left, right):
        assert m.n == whole.n
        np.testing.assert_allclose(m.mean, whole.mean, rtol=1e-9, atol=1e-6)
        scale = 1 + np.abs(whole.scatter).max(initial=0)
        np.testing.assert_allclose(m.scatter / scale, whole.scatter / scale, atol=1e-9)


@given(st.lists(st.sampled_from("abc")), st.lists(st.sampled_from("abc")))
def test_counts_add_up(a: list[str], b: list[str]) -> None:
    both, whole = Counts.of(a) + Counts.of(b), Counts.of(a + b)
    assert dict(both.levels) == dict(whole.levels) and both.total == len(a) + len(b)


def test_a_billion_away_from_zero_nothing_changes() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, 500), rng.normal(0.2, 1, 400)
    near = welch(Moments.of({"x": b}), Moments.of({"x": a}), "x")
    parts = [Moments.of({"x": part + 1e9}) for part in np.array_split(b, 7)]
    far = welch(sum(parts[1:], parts[0]), Moments.of({"x": a + 1e9}), "x")
    assert far.value == pytest.approx(near.value, abs=1e-6)
    assert far.se == pytest.approx(near.se, rel=1e-6) and far.p_value == pytest.approx(near.p_value, rel=1e-5)


def test_constants_have_no_scatter_wherever_they_lie() -> None:
    for constant in (0.1, 1e9 + 0.1, -3e-7):
        m = Moments.of({"x": np.full(1001, constant)})
        assert m.variance("x") == 0 and m.mean_of("x") == constant


def test_summaries_refuse_what_they_cannot_hold() -> None:
    with pytest.raises(ValueError, match="NaN"):
        Moments.of({"x": [1.0, math.nan]})
    with pytest.raises(ValueError, match="long"):
        Moments.of({"x": [1.0], "y": [1.0, 2.0]})
    with pytest.raises(ValueError, match="different columns"):
        Moments.of({"x": [1.0]}) + Moments.of({"y": [1.0]})
    assert Moments.of({"x": []}).n == 0 and math.isnan(Moments.of({"x": [2.0]}).variance("x"))


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 60), st.floats(0.1, 30))
def test_welch_is_scipys(seed: int, n1: int, n0: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    b, a = rng.normal(1, spread, n1), rng.normal(0, 1, n0)
    e = welch(Moments.of({"x": b}), Moments.of({"x": a}), "x", alpha=0.1)
    want = stats.ttest_ind(b, a, equal_var=False)
    assert e.p_value == pytest.approx(want.pvalue, rel=1e-8)
    interval = want.confidence_interval(0.9)
    assert (e.low, e.high) == (pytest.approx(interval.low), pytest.approx(interval.high))


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 50), st.integers(1, 50))
def test_shares_are_consistent(x1: int, x0: int, n1: int, n0: int) -> None:
    x1, x0 = min(x1, n1), min(x0, n0)
    if x1 + x0 in (0, n1 + n0):
        return
    e = share_difference(x1, n1, x0, n0)
    assert -1 <= e.low <= e.value <= e.high <= 1
    back = share_difference(x0, n0, x1, n1)
    assert (back.low, back.high) == (pytest.approx(-e.high), pytest.approx(-e.low))
    if "Fisher" in e.method and e.p_value is not None and e.p_value > 0.05:
        assert decide(Claim(measure="x"), e).outcome == "open"  # bounds and p agree in small cells


def test_all_yes_against_all_yes_has_an_interval() -> None:
    e = share_difference(5, 5, 7, 7)
    assert e.value == 0 and e.low < 0 < e.high


def test_ratio_by_delta_is_the_linearised_mean() -> None:
    rng = np.random.default_rng(3)
    x = rng.poisson(5, 400) + 1.0
    y = x * rng.uniform(0, 1, 400)
    level = ratio_level(Moments.of({"y": y, "x": x}), "y", "x")
    linear = (y - level.value * x) / x.mean()
    assert level.se == pytest.approx(linear.std(ddof=1) / 20)
    same = ratio_difference(Moments.of({"y": y, "x": x}), Moments.of({"y": y, "x": x}), "y", "x")
    assert same.value == 0 and same.p_value == 1


def test_units_of_one_row_make_a_ratio_a_mean() -> None:
    rng = np.random.default_rng(4)
    y, ones = rng.normal(3, 1, 50), np.ones(50)
    m = Moments.of({"y": y, "one": ones})
    assert ratio_level(m, "y", "one").se == pytest.approx(mean_level(m, "y").se)


def test_lift_p_and_interval_agree() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        n1, n0 = rng.integers(20, 300, 2)
        e = relative(share_level(int(rng.binomial(n1, 0.4)), int(n1)), share_level(int(rng.binomial(n0, 0.3)), int(n0)))
        assert e is not None and e.p_value is not None
        assert (e.p_value < 0.05) == (e.low > 0 or e.high < 0)


def test_no_lift_over_a_control_that_may_be_zero() -> None:
    assert relative(share_level(5, 100), share_level(1, 100)) is None
    assert relative(share_level(5, 100), share_level(0, 100)) is None
    assert (
        relative(mean_level(Moments.of({"x": [1.0, 2.0]}), "x"), mean_level(Moments.of({"x": [-5.0, -6.0]}), "x"))
        is None
    )


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0, 3.0]), ([1.0, 1.0], [2.0, 2.0]), ([], [1.0, 2.0])])
def test_arms_without_spread_or_units_stay_open(a: list[float], b: list[float]) -> None:
    e = welch(Moments.of({"x": a}), Moments.of({"x": b}), "x")
    assert decide(Claim(measure="x"), e).outcome == "open"
    assert (e.low, e.high) == (-math.inf, math.inf)


def test_one_constant_arm_is_judged_by_the_other() -> None:
    e = welch(Moments.of({"x": [5.0] * 9}), Moments.of({"x": [1.0, 2.0, 3.0]}), "x")
    assert e.se == pytest.approx(1 / math.sqrt(3)) and e.law == laws.student(2.0)


def test_pairs_agree_with_scipy() -> None:
    d = np.random.default_rng(6).normal(0.1, 1, 80)
    e = paired_mean(d)
    assert e.p_value == pytest.approx(stats.ttest_1samp(d, 0).pvalue)


def test_equal_pairs_are_as_sure_as_their_number() -> None:
    few, many = paired_mean(np.zeros(20)), paired_mean(np.zeros(20_000))
    claim = Claim(measure="loss", relation="below", margin=0.005)
    assert decide(claim, few).outcome == "open" and decide(claim, many).outcome == "supported"
    assert few.high == pytest.approx(1 - 0.025 ** (1 / 20))
    assert decide(claim, paired_mean([])).outcome == "open"
    with pytest.raises(ValueError, match="NaN"):
        paired_mean([0.1, math.nan])


def test_sample_ratio_is_chi_square() -> None:
    want = stats.chisquare([110, 90, 200], [100, 100, 200])
    got = sample_ratio({"a": 110, "b": 90, "c": 200}, {"a": 1, "b": 1, "c": 2})
    assert got == (pytest.approx(want.statistic), pytest.approx(want.pvalue))
    for counts, shares in (({"a": 1}, None), ({"a": 0, "b": 0}, None), ({"a": 1, "b": 1}, {"a": 0.5, "b": 0})):
        with pytest.raises(ValueError):
            sample_ratio(counts, shares)


def test_difference_takes_alpha() -> None:
    a, b = share_level(50, 100), share_level(60, 100)
    assert difference(b, a, alpha=0.01).level == pytest.approx(0.99)


def test_pairs_that_differ_by_rounding_are_alike() -> None:
    noise = np.random.default_rng(0).normal(0, 1e-17, 20)
    same, rounded = paired_mean(np.zeros(20)), paired_mean(noise)
    assert rounded.low == pytest.approx(same.low) and rounded.high == pytest.approx(same.high)
