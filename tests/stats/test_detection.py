"""Evidence on bounded scores: the same as row by row, and at its error rates under peeking."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambidex.stats.detection import _FINE, distance_sequence, log_bets, mean_bounds, upper_mean
from ambidex.stats.sequences import mean_evidence


def test_counts_give_the_product_over_rows() -> None:
    rng = np.random.default_rng(3)
    scores = np.linspace(0, 1, 7)
    cells = rng.integers(0, 7, 500)
    product = np.prod(1 + (0.2 / 0.55) * (scores[cells] - 0.55))
    assert log_bets(np.bincount(cells, minlength=7), scores, 0.55, [0.2])[0] == pytest.approx(np.log(product))


@given(st.lists(st.integers(0, 300), min_size=3, max_size=8))
def test_bounds_hold_the_mean_and_turn_round(counts: list[int]) -> None:
    scores = np.linspace(0, 1, len(counts))
    low, high = mean_bounds(counts, scores, 0.05)
    if sum(counts) == 0:
        assert (low, high) == (0.0, 1.0)
        return
    mean = float(np.dot(counts, scores) / sum(counts))
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1
    turned = mean_bounds(counts[::-1], scores, 0.05)
    assert turned == pytest.approx((1 - high, 1 - low), abs=1e-6)


def test_bounds_get_narrow() -> None:
    low, high = mean_bounds([100_000, 100_000], [0.0, 1.0], 0.05)
    assert high - low < 0.02


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5])
def test_bounds_hold_at_forty_looks_at_once(p: float) -> None:
    """A bound leaves the truth out exactly when the bets against it reach 2/alpha; asked so, it is fast."""
    rng = np.random.default_rng(5)
    alpha, runs, missed = 0.1, 400, 0
    for _ in range(runs):
        yes = np.cumsum(rng.binomial(50, p, size=40))
        for look, x in enumerate(yes, start=1):
            counts, scores = [50 * look - x, x], np.array([0.0, 1.0])
            above = mean_evidence(log_bets(counts, scores, p, _FINE))
            below = mean_evidence(log_bets(counts, 1 - scores, 1 - p, _FINE))
            if max(above, below) >= np.log(2 / alpha):
                missed += 1
                low, high = mean_bounds(counts, scores, alpha)
                assert not low < p < high
                break
    assert missed / runs <= alpha + 0.02, missed / runs


def test_upper_limit_of_what_was_never_seen() -> None:
    assert 0 < upper_mean([500, 0], [0.0, 1.0], 0.025) < 0.01
    assert upper_mean([0, 0], [0.0, 1.0], 0.025) == 1.0


def test_distance_counts_the_references_own_error() -> None:
    wide = distance_sequence([50, 50], [5_000, 5_000], [0, 1], [0, 1], alpha=0.05)
    narrow = distance_sequence([50_000, 50_000], [5_000, 5_000], [0, 1], [0, 1], alpha=0.05)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)
