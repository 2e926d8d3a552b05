"""Sample sizes: published figures, inverses of each other, awkward cases."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ambidex.stats.power import (
    Outcome,
    anytime_units,
    design_effect,
    detectable,
    explained,
    intraclass,
    mean_power,
    mean_units,
    share_power,
    share_units,
    units,
)
from oracle_rows import check


def test_published_sizes():
    check("Q2-17", mean_units(0.5), mean_units(0.2))
    check("Q2-19", share_units(0.5, 0.75, power=0.9))
    check("Q2-20", share_units(0.5, 0.75, power=0.9, variance="arcsine"))
    check("Q2-21", share_units(0.2, 0.25, variance="null"))
    assert share_units(0.2, 0.25) == pytest.approx(1093.739, abs=5e-4)


def test_power_of_the_t_test_against_statsmodels():
    from statsmodels.stats.power import TTestIndPower

    for d, n, alpha in ((0.5, 30, 0.05), (0.2, 500, 0.01), (2.0, 4, 0.05), (0.05, 3000, 0.1)):
        ours = mean_power(n, d, alpha=alpha)
        assert ours == pytest.approx(TTestIndPower().power(d, n, alpha, alternative="two-sided"), abs=1e-7)
    assert mean_power(1e7, 0.001) == pytest.approx(mean_power(4.9e5, 0.001 * math.sqrt(1e7 / 4.9e5)), abs=1e-5)


@pytest.mark.parametrize("outcome", [Outcome(share=0.2), Outcome(share=0.9), Outcome(sd=3.0), Outcome(sd=1e9)])
@pytest.mark.parametrize("tuned", [None, 5000.0])
def test_what_is_detectable_is_what_takes_these_units(outcome, tuned):
    for n in (400.0, 20_000.0):
        effect = detectable(outcome, n, factor=1.3, tuned=tuned)
        assert units(outcome, effect, factor=1.3, tuned=tuned) == pytest.approx(n, rel=1e-6)
        down = detectable(outcome, n, tuned=tuned, down=True)
        assert down < 0 and units(outcome, down, tuned=tuned) == pytest.approx(n, rel=1e-6)


def test_share_power_is_the_inverse_of_its_units():
    for p0, p1, power in ((0.2, 0.25, 0.8), (0.01, 0.02, 0.9), (0.5, 0.1, 0.95)):
        assert share_power(share_units(p0, p1, power=power), p0, p1) == pytest.approx(power, abs=1e-9)


def test_a_watched_test_takes_more_and_falls_back_to_no_less():
    for effect in (0.02, 0.1, 0.5):
        assert anytime_units(2.0, effect, tuned=5000) > 1.2 * mean_units(effect)


def test_what_no_test_can_tell():
    assert detectable(Outcome(share=0.2), 2) is None
    assert detectable(Outcome(share=0.01), 100, down=True) is None
    assert detectable(Outcome(sd=1.0), 1.5) is None
    assert units(Outcome(sd=1.0), 1e-8) == math.inf
    assert mean_units(1000.0) == 2.0


def test_icc_of_simulated_clusters():
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(400), 25)
    y = rng.normal(size=400)[cluster] * math.sqrt(0.1) + rng.normal(size=10_000) * math.sqrt(0.9)
    icc, size = intraclass(y + 1e9, cluster)
    assert icc == pytest.approx(0.1, abs=0.02) and size == 25
    assert intraclass(rng.permutation(y), cluster)[0] < 0.01
    assert math.isnan(intraclass(y, np.arange(10_000))[0]) and math.isnan(intraclass(y, np.zeros(10_000, int))[0])
    uneven = np.repeat([0, 1, 2], [1, 2, 7])
    assert intraclass(np.arange(10.0), uneven)[1] == pytest.approx(5.4)
    assert design_effect(25, 0.1) == pytest.approx(3.4) and design_effect(1, 0.5) == 1


def test_r2_of_covariates():
    rng = np.random.default_rng(6)
    x = rng.normal(size=(5000, 3))
    y = x[:, 0] + rng.normal(size=5000)
    assert explained(y, x) == pytest.approx(0.5, abs=0.03)
    assert explained(y, np.column_stack([x, x])) == pytest.approx(explained(y, x), abs=1e-3)  # copies add nothing
    assert explained(y, rng.normal(size=(5000, 5))) < 0.003
    assert explained(y, np.ones((5000, 1))) == 0.0 and explained(np.ones(9), x[:9]) == 0.0
    assert explained(y[:3], x[:3]) == 0.0
