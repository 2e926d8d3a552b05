"""A local level before and after a date."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.series import after_effect, level_fit, placebo_dates
from oracle_rows import check


def nile() -> np.ndarray:
    return np.asarray(pytest.importorskip("statsmodels.datasets").nile.load_pandas().data.volume, dtype=float)


def test_the_nile() -> None:
    fit = level_fit(nile())
    check("Q4-18", fit.irregular, fit.level, fit.loglik)


def test_other_series_are_those_of_statsmodels() -> None:
    sm = pytest.importorskip("statsmodels.api")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(80, 2))
    y = np.cumsum(rng.normal(0, 0.4, 80)) + x @ [2.0, -1.0] + rng.normal(size=80)
    fit = level_fit(y, x)
    model = sm.tsa.UnobservedComponents(y, "llevel", exog=x, mle_regression=False)
    peer = model.smooth([fit.irregular, fit.level])
    np.testing.assert_allclose(fit.beta, peer.smoothed_state[1:, -1], rtol=1e-4)


def test_a_step_is_found_and_a_series_like_the_others_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    x = np.cumsum(rng.normal(size=120))[:, None]
    y = 5 + 3 * x[:, 0] + rng.normal(0, 1, 120)
    quiet, expected = after_effect(y, 100, x)
    assert quiet.low < 0 < quiet.high and expected.shape == (20,)
    y[100:] += 4
    found, _ = after_effect(y, 100, x)
    assert found.low > 0 and found.low < 4 < found.high


def test_scale_and_level_do_not_matter() -> None:
    y = nile()
    e, _ = after_effect(y, 80)
    big, _ = after_effect(1e9 + 1000 * y, 80)
    assert big.value == pytest.approx(1000 * e.value, rel=1e-6) and big.se == pytest.approx(1000 * e.se, rel=1e-6)


def test_placebo_dates_lie_before_the_start_and_are_few() -> None:
    dates = placebo_dates(nile()[:60], None, 10)
    assert 3 <= len(dates) <= 20 and all(10 <= at <= 50 for at, _ in dates)
    assert placebo_dates(nile()[:9], None, 10) == []


def test_too_few_periods_and_a_flat_series() -> None:
    with pytest.raises(ValueError, match="periods"):
        level_fit(np.array([1.0, 2.0]))
    flat, _ = after_effect(np.ones(30), 20)
    assert flat.value == 0 and flat.low == -np.inf
