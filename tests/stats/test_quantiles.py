"""Quantiles by bootstrap over units."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.claim import Claim, decide, decide_all
from ambidex.stats.quantiles import (
    combined_difference,
    quantile_difference,
    quantile_draws,
    quantile_level,
    quantile_relative,
)


@pytest.mark.parametrize(("n", "q"), [(60, 0.5), (61, 0.5), (101, 0.9), (200, 0.95), (37, 0.25)])
def test_drawn_as_if_resampled(n: int, q: float) -> None:
    rng = np.random.default_rng(n)
    values = np.sort(rng.lognormal(0, 1, n))
    drawn = quantile_draws(values, q, 20_000, rng)
    resampled = np.quantile(rng.choice(values, (20_000, n)), q, axis=1)
    at = np.linspace(*np.quantile(resampled, [0.001, 0.999]), 200)
    below = [np.searchsorted(np.sort(v), at) / len(v) for v in (drawn, resampled)]
    assert float(np.abs(below[0] - below[1]).max()) < 0.02  # two samples of 20,000 of one law
    assert drawn.mean() == pytest.approx(resampled.mean(), abs=5 * resampled.std() / 20_000**0.5)


def test_units_with_several_rows_are_resampled_whole() -> None:
    rng = np.random.default_rng(2)
    levels = rng.normal(0, 1, (2, 300))
    y1, y0 = (np.repeat(v, 10) + rng.normal(0, 0.1, 3000) for v in levels)
    units = np.repeat(np.arange(300), 10)
    rows = quantile_difference(y1, y0, 0.5)
    whole = quantile_difference(y1, y0, 0.5, units1=units, units0=units)
    assert whole.se is not None and rows.se is not None and whole.se > 2.5 * rows.se
    assert whole.value == rows.value and whole.n == 600
    alone = quantile_difference(levels[0], levels[1], 0.5)
    assert whole.se == pytest.approx(alone.se, rel=0.25)


def test_a_unit_of_one_row_is_a_row() -> None:
    y1, y0 = np.arange(100.0), np.arange(100.0) + 1
    e = quantile_difference(y1, y0, 0.9, units1=np.arange(100), units0=[str(i) for i in range(100)])
    assert e == quantile_difference(y1, y0, 0.9)


def test_p_value_and_interval_agree() -> None:
    rng = np.random.default_rng(3)
    for gap in (0.0, 0.2, 0.4, 2.0):
        e = quantile_difference(rng.normal(gap, 1, 200), rng.normal(0, 1, 200), 0.5)
        assert e.p_value is not None
        for alpha in (0.2, 0.05, 0.01):
            if abs(e.p_value / alpha - 1) > 0.03:  # between the bounds that are kept
                assert (e.at(alpha).low > 0 or e.at(alpha).high < 0) is (e.p_value <= alpha)
    assert decide_all([Claim(measure="x")] * 20, [e] * 20)[0].outcome == "supported"
    assert e.at(1e-6).low == -np.inf  # so far out nothing was drawn


def test_lift() -> None:
    rng = np.random.default_rng(4)
    y1, y0 = rng.lognormal(0.3, 1, 3000), rng.lognormal(0, 1, 3000)
    e, gap = quantile_relative(y1, y0, 0.9), quantile_difference(y1, y0, 0.9)
    assert e is not None and e.low < 0.35 < e.high and e.unit == "relative"
    assert e.p_value == gap.p_value
    assert quantile_relative(y1 - 100, y0 - 100, 0.5) is None
    assert quantile_relative(y1, np.zeros(3000), 0.5) is None


def test_ties_are_what_they_are() -> None:
    """Most spend nothing: the median is 0 in both arms, whatever is resampled."""
    rng = np.random.default_rng(5)
    y1, y0 = (rng.random((2, 500)) < 0.1) * rng.gamma(2, 10, (2, 500))
    e = quantile_difference(y1, y0, 0.5)
    assert (e.value, e.low, e.high) == (0.0, 0.0, 0.0)
    assert decide(Claim(measure="x"), e).outcome == "open"


@pytest.mark.parametrize(
    ("y1", "y0", "q"),
    [
        ([], [], 0.5),
        ([1.0], [2.0], 0.5),
        ([1.0] * 50, [2.0] * 50, 0.5),
        (list(range(40)), list(range(40)), 0.9),
        (list(range(100)), [], 0.5),
    ],
)
def test_nothing_to_go_by(y1: list[float], y0: list[float], q: float) -> None:
    e = quantile_difference(y1, y0, q)
    assert (e.low, e.high) == (-np.inf, np.inf)
    assert quantile_relative(y1, y0, q) is None
    assert decide(Claim(measure="x"), e).outcome == "open"


def test_level() -> None:
    level, (low, high) = quantile_level(np.arange(1001.0) + 1e9, 0.5)
    assert level.value == 1e9 + 500 and low < level.value < high and 0 < level.se < 40
    assert quantile_level([3.0], 0.5)[1] == (-np.inf, np.inf)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="lies in"):
        quantile_difference([1.0], [1.0], 1.0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        quantile_difference([1.0, np.nan], [1.0], 0.5)
    with pytest.raises(ValueError, match="a unit for each value"):
        quantile_difference(range(100), range(100), 0.5, units1=[1])


def test_combined_needs_only_the_intervals() -> None:
    e = combined_difference((2.0, 1.0, 3.0), (1.0, 0.0, 2.0), 10)
    assert e.high - e.value == pytest.approx(2**0.5)
