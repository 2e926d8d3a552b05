"""Distances at one look: against SciPy and the published figures, at their error rates, and on awkward counts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from ambidex.stats.claim import Claim, decide
from ambidex.stats.distance import (
    chi2_p,
    exact_share,
    furthest,
    merged,
    rank_distance,
    rank_sum_p,
    share_distance,
)

REFERENCE, CURRENT = (16, 18, 16, 14, 12, 12), (16, 16, 16, 16, 16, 8)
Counts = st.lists(st.integers(0, 60), min_size=2, max_size=12)


def test_chi2_takes_the_reference_as_a_sample() -> None:
    assert chi2_p(REFERENCE, CURRENT) == pytest.approx(0.89853, abs=5e-6)
    taken_as_exact = stats.chisquare(CURRENT, np.array(REFERENCE) * sum(CURRENT) / sum(REFERENCE)).pvalue
    assert taken_as_exact == pytest.approx(0.67309, abs=5e-6)  # what it must not be


def test_rank_sum_agrees_with_the_published_figure_and_scipy() -> None:
    assert rank_sum_p(REFERENCE, CURRENT) == pytest.approx(0.9629, abs=5e-5)
    r, c = np.repeat(np.arange(6), REFERENCE), np.repeat(np.arange(6), (4, 4, 9, 20, 31, 8))
    expected = stats.mannwhitneyu(c, r, method="asymptotic").pvalue
    assert rank_sum_p(REFERENCE, (4, 4, 9, 20, 31, 8)) == pytest.approx(expected, rel=1e-10)


def test_unmerged_chi2_is_scipys() -> None:
    expected = stats.chi2_contingency([REFERENCE, CURRENT], correction=False).pvalue
    assert chi2_p(REFERENCE, CURRENT, ordered=True) == pytest.approx(expected, rel=1e-10)


def test_distance_is_the_chance_to_lie_above_less_a_half() -> None:
    rng = np.random.default_rng(1)
    r, c = rng.integers(0, 8, 300), rng.integers(2, 9, 200)
    u = stats.mannwhitneyu(c, r).statistic / (300 * 200)
    e = rank_distance([*np.bincount(r, minlength=9), 0], [*np.bincount(c, minlength=9), 0])
    assert e.value == pytest.approx(u - 0.5, abs=1e-12)


def test_rows_without_a_value_count_as_one_half() -> None:
    whole = rank_distance([50, 50, 0], [0, 100, 0]).value
    assert rank_distance([50, 50, 0], [0, 50, 50]).value == pytest.approx(whole / 2)


@pytest.mark.parametrize(
    ("reference", "live"),
    [([10, 10, 0], [0, 0, 0]), ([0, 0, 5], [3, 3, 0]), ([10, 10, 0], [0, 0, 7]), ([0, 0, 0], [0, 0, 0])],
)
def test_nothing_to_compare_is_open(reference: list[int], live: list[int]) -> None:
    e = rank_distance(reference, live)
    assert math.isnan(e.value)
    assert decide(Claim(measure="x", relation="outside", margin=0.02), e).outcome == "open"


def test_three_rows_in_one_cell_are_no_certainty() -> None:
    e = rank_distance([1000, 0], [3, 0])
    assert e.value == 0
    assert decide(Claim(measure="x", relation="outside", margin=0.02), e).outcome == "open"
    many = rank_distance([10_000, 0], [5_000, 0])
    assert decide(Claim(measure="x", relation="outside", margin=0.02), many).outcome == "refuted"


def test_exact_share_is_scipys() -> None:
    interval = stats.binomtest(3, 20).proportion_ci(0.99, method="exact")
    e = exact_share(3, 20, alpha=0.01)
    assert (e.low, e.high) == pytest.approx((interval.low, interval.high), rel=1e-9)
    assert exact_share(0, 5).low == 0
    assert exact_share(5, 5).high == 1


def test_a_column_is_inside_only_if_all_its_parts_are() -> None:
    inside = share_distance(5_000, 10_000, 5_000, 10_000, category="a")
    thin = share_distance(3, 10, 5_000, 10_000, category="b")
    assert furthest([inside, thin], margin=0.05, alpha=0.05).category == "b"
    far = share_distance(9_000, 10_000, 5_000, 10_000, category="c")
    assert furthest([inside, thin, far], margin=0.05, alpha=0.05).category == "c"


def test_bounds_are_corrected_over_the_parts() -> None:
    part = share_distance(60, 100, 50, 100)
    assert furthest([part], margin=0.02, alpha=0.05).low == pytest.approx(part.low)
    assert furthest([part] * 5, margin=0.02, alpha=0.05).low == pytest.approx(part.at(0.01).low)


@given(Counts, Counts, st.booleans())
def test_merging_keeps_every_row(r: list[int], c: list[int], ordered: bool) -> None:
    size = min(len(r), len(c))
    a, b = merged(r[:size], c[:size], ordered=ordered)
    assert (a.sum(), b.sum()) == (sum(r[:size]), sum(c[:size])) or sum(r[:size]) + sum(c[:size]) == 0
    if len(a) > 1:
        assert ((a + b) * min(a.sum(), b.sum()) / (a.sum() + b.sum())).min() >= 5 - 1e-9


@given(Counts, Counts)
def test_distances_stay_in_range_and_turn_with_the_order(r: list[int], c: list[int]) -> None:
    size = min(len(r), len(c))
    r, c = r[:size], c[:size]
    e = rank_distance([*r, 0], [*c, 0])
    if math.isnan(e.value):
        return
    assert -0.5 <= e.low <= e.value <= e.high <= 0.5
    turned = rank_distance([*r[::-1], 0], [*c[::-1], 0])
    assert turned.value == pytest.approx(-e.value, abs=1e-12)
    assert turned.se == pytest.approx(e.se, rel=1e-9)


@pytest.mark.parametrize(("m", "n"), [(1000, 1000), (1000, 50), (60, 2000)])
def test_coverage_without_and_with_a_shift(m: int, n: int) -> None:
    rng = np.random.default_rng(7)
    runs = 1500
    for shift in (0.0, 0.4):
        truth = float(stats.norm.cdf(shift / math.sqrt(2))) - 0.5
        edges = np.linspace(-2.5, 2.5, 60)  # many cells, so that the truth is the normal one
        covered = 0
        for _ in range(runs):
            r = np.bincount(np.searchsorted(edges, rng.normal(size=m)), minlength=61)
            c = np.bincount(np.searchsorted(edges, rng.normal(size=n) + shift), minlength=61)
            e = rank_distance([*r, 0], [*c, 0])
            covered += e.low <= truth <= e.high
        assert 0.935 <= covered / runs <= 0.970, (m, n, shift, covered / runs)
