"""Planned looks: published constants, what is spent when, and bounds of any law at them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ambidex.stats import laws
from ambidex.stats.claim import Claim, decide, decide_all
from ambidex.stats.compare import share_difference
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequential import (
    crossing,
    inflation,
    nominal_alpha,
    obrien_fleming,
    planned,
    planned_p,
    pocock,
    repeated_error,
    spending,
    spending_bounds,
)
from oracle_rows import check


def effect(z: float) -> Estimate:
    return Estimate(
        name="x", kind="difference", value=z, low=0, high=0, n=100, se=1.0, law=laws.normal(), p_value=laws.normal_p(z)
    )


def test_repeated_tests_of_table_2_1():
    check("Q2-22", *(repeated_error(k) for k in (2, 5, 10, 20, 50)))


def test_pocock_s_constants():
    check("Q2-23", *(pocock(k) for k in (2, 3, 4, 5, 10)))


def test_obrien_and_fleming_s_constants():
    check("Q2-24", *(obrien_fleming(k) for k in (2, 3, 4, 5, 10)))


def test_lan_and_demets_bounds():
    check("Q2-25", *spending_bounds([0.2, 0.4, 0.6, 0.8, 1.0]))


@pytest.mark.parametrize("times", [[0.2, 0.4, 0.6, 0.8, 1.0], [0.1, 0.7, 1.0], [0.31, 0.32, 0.9, 1.0], [0.5, 1.3]])
def test_each_look_spends_what_it_may(times):
    above, below = crossing(spending_bounds(times, 0.05), times)
    spent = [spending(t, 0.05) for t in times]
    assert np.cumsum(above + below) == pytest.approx(spent, rel=1e-7)
    assert above == pytest.approx(below)


def test_the_last_look_spends_the_rest_whatever_was_reached():
    for times in ([0.3, 0.8], [0.3, 0.8, 1.4], [0.02], [0.2, 0.9999]):
        above, below = crossing(spending_bounds(times, 0.05, final=True), times)
        assert float((above + below).sum()) == pytest.approx(0.05, rel=1e-7)
    assert spending_bounds([0.4], final=True)[0] == pytest.approx(laws.tail_quantile(0.05))
    assert spending_bounds([1.0, 1.5])[1] == math.inf  # nothing is left


def test_one_look_is_the_ordinary_test():
    assert nominal_alpha([1.0], 0.05) == pytest.approx(0.05)
    assert planned_p([1.0], 0.03) == pytest.approx(0.03)
    assert planned(effect(2.5), (0.6,), final=True).low == pytest.approx(effect(2.5).at(0.05).low)


def test_drift_gives_the_power_it_was_inflated_for():
    for looks in (2, 5, 10):
        times = [k / looks for k in range(1, looks + 1)]
        drift = math.sqrt(inflation(looks)) * (laws.tail_quantile(0.05) + laws.normal_quantile(0.8))
        above, _ = crossing(spending_bounds(times), times, drift=drift)
        assert float(above.sum()) == pytest.approx(0.8, abs=2e-5)
    assert inflation(5, 0.05, 0.9) < inflation(10, 0.05, 0.9) < 1.06


def test_p_and_bounds_turn_at_the_same_alpha():
    times = (0.25, 0.5, 0.8)
    for z in (2.1, 2.6, 3.5, 5.0):
        e = planned(effect(z), times, final=False)
        assert e.at(e.p_value * 1.001).low > 0 > e.at(e.p_value * 0.999).low
    assert planned(effect(0.2), times, final=False).p_value == 1.0
    assert 1e-50 < planned_p((0.2, 0.4), 1e-90) < 1e-30


def test_a_planned_claim_takes_no_estimate_for_one_look():
    claim = Claim(measure="x", looks="planned")
    with pytest.raises(ValueError, match="planned looks"):
        decide(claim, effect(3.0))
    early, late = planned(effect(3.0), (0.2,), final=False), planned(effect(3.0), (0.2, 1.0), final=True)
    assert decide(claim, early).outcome == "open" and decide(claim, late).outcome == "supported"
    assert decide(claim, early).needed is not None


def test_any_law_is_asked_at_the_nominal_alpha():
    e = share_difference(60, 100, 40, 100)
    p = planned(e, (0.5,), final=False)
    assert (p.low, p.high) == pytest.approx((lambda b: (b.low, b.high))(e.at(nominal_alpha((0.5,), 0.05))))
    rare = planned(share_difference(9, 50, 1, 50), (0.5,), final=False)
    assert rare.low <= 0  # Fisher's p of .016 is above what this look may spend


def test_a_family_of_planned_claims_is_that_of_their_repeated_p_values():
    times = (0.3, 0.7)
    zs = [3.2, 2.75, 2.5, 1.0]
    made = [planned(effect(z), times, final=False) for z in zs]
    claims = [Claim(measure=str(z), looks="planned") for z in zs]
    order = [e.p_value for e in made]
    expected, still = [], True
    for rank, p in enumerate(order):
        still = still and p <= 0.05 / (len(order) - rank)
        expected.append("supported" if still else "open")
    assert [v.outcome for v in decide_all(claims, made)] == expected
    assert "supported" in expected and "open" in expected
    one_sided = replace(claims[0], sides=1)
    assert decide_all([one_sided, claims[3]], [made[0], made[3]])[0].outcome == "supported"


def test_what_has_no_error_stays_open():
    e = Estimate(name="x", kind="difference", value=1.0, low=-math.inf, high=math.inf, n=2)
    out = planned(e, (0.5,), final=False)
    assert decide(Claim(measure="x", looks="planned"), out).outcome == "open"


@pytest.mark.parametrize("times", [[], [0.0, 1.0], [0.5, 0.5], [0.6, 0.5], [-1.0], [math.inf], [math.nan]])
def test_times_must_rise(times):
    with pytest.raises(ValueError):
        spending_bounds(times)


def test_alpha_is_between_0_and_1():
    for alpha in (0.0, 1.0, -0.1, 2.0):
        with pytest.raises(ValueError):
            spending_bounds([1.0], alpha)
    with pytest.raises(ValueError):
        crossing([1.96], [0.5, 1.0])
