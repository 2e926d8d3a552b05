"""Confidence sequences, bets and the e-detector."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambidex.stats import laws
from ambidex.stats.claim import Claim, decide
from ambidex.stats.compare import paired_mean, relative, share_difference, share_level
from ambidex.stats.sequences import GRID, Bets, anytime, betting, log_e_from_p, mean_evidence, step

losses = st.lists(st.floats(-1, 1), min_size=0, max_size=30)


@given(losses, st.floats(-0.9, 0.9))
def test_evidence_is_the_mean_of_products(d: list[float], margin: float) -> None:
    e = betting(d, relation="below", margin=margin)
    sizes = [share / (1 + abs(margin)) for share in GRID]
    for_ = np.mean([np.prod([1 + x * (margin - v) for v in d]) for x in sizes])
    against = np.mean([np.prod([1 + x * (v - margin) for v in d]) for x in sizes])
    assert e.log_e_for == pytest.approx(math.log(for_), abs=1e-9)
    assert e.log_e_against == pytest.approx(math.log(against), abs=1e-9)
    assert not (for_ > 1 + 1e-9 and against > 1 + 1e-9)  # never evidence for both


@given(losses, losses)
def test_bets_add_up_over_looks(a: list[float], b: list[float]) -> None:
    once = Bets.start("above").add(a + b).estimate()
    twice = Bets.start("above").add(a).add(b).estimate()
    assert twice.log_e_for == pytest.approx(once.log_e_for, abs=1e-12) and twice.n == once.n


def test_above_is_the_mirror_of_below() -> None:
    d = np.random.default_rng(0).choice([-1.0, 0, 1], 500)
    assert betting(d, relation="above").log_e_for == pytest.approx(betting(-d, relation="below").log_e_for)
    assert betting(d, relation="above", margin=0.1).log_e_for == betting(d, relation="below", margin=0.1).log_e_against


def test_money_is_bet_in_its_own_unit() -> None:
    d = np.random.default_rng(1).uniform(-1, 1, 300)
    small, large = betting(d, relation="below", margin=0.1), betting(d * 50, relation="below", margin=5, reach=50)
    assert large.log_e_for == pytest.approx(small.log_e_for)


def test_no_value_no_evidence() -> None:
    e = betting([], relation="below", margin=0.02)
    claim = Claim(measure="x", relation="below", margin=0.02, looks="anytime", sides=1)
    assert (e.log_e_for, e.log_e_against, e.n) == (0.0, 0.0, 0)
    assert decide(claim, e).outcome == "open"
    assert decide(claim, betting([0.0] * 2, relation="below", margin=0.02)).outcome == "open"


@pytest.mark.parametrize("d", [[1.1], [-2.0], [math.nan], [math.inf]])
def test_what_no_bet_can_hold(d: list[float]) -> None:
    with pytest.raises(ValueError, match="±1"):
        betting(d, relation="above")


def test_a_margin_out_of_reach() -> None:
    with pytest.raises(ValueError, match="reach"):
        Bets.start("below", 1.0)
    with pytest.raises(ValueError, match="above or below"):
        Bets.start("outside", 0.1)  # type: ignore[arg-type]


def test_rounding_past_the_end_is_no_error() -> None:
    assert betting([1.0 + 1e-12, -1.0 - 1e-12], relation="above").n == 2


def test_a_sequence_is_wider_than_one_look_and_needs_no_relation() -> None:
    e = share_difference(240, 1000, 200, 1000)
    a = anytime(e, fewest=1000)
    assert a.low < e.low and a.high > e.high and a.value == e.value and a.anytime
    assert a.p_value is not None and e.p_value is not None and a.p_value > e.p_value


@given(st.floats(1e-3, 1), st.integers(2, 10**7), st.floats(1e-12, 0.4), st.floats(1e-12, 0.4))
def test_a_sequence_narrows_with_alpha(se: float, n: int, a: float, b: float) -> None:
    small, large = sorted((a, b))
    wide = laws.asymptotic_radius(se, n=n, tuned=5000, alpha=small)
    narrow = laws.asymptotic_radius(se, n=n, tuned=5000, alpha=large)
    assert wide >= narrow > 0


def test_always_valid_p_and_bounds_agree() -> None:
    for x1 in range(200, 320, 7):
        a = anytime(share_difference(x1, 1000, 200, 1000), fewest=1000)
        assert a.p_value is not None
        assert (a.p_value < 0.05) == (a.low > 0 or a.high < 0)
    lift = relative(share_level(300, 1000), share_level(200, 1000))
    assert lift is not None
    watched = anytime(lift, fewest=1000)
    assert watched.law is not None and watched.law.name == "log-sequence"
    assert watched.p_value is not None and (watched.p_value < 0.05) == (watched.low > 0)


@pytest.mark.parametrize("fewest", [0, 10, 49])
def test_a_sequence_says_nothing_on_a_handful(fewest: int) -> None:
    a = anytime(share_difference(10, 20, 0, 20), fewest=fewest)
    assert decide(Claim(measure="x", looks="anytime"), a).outcome == "open" and a.low == -math.inf


def test_a_sequence_needs_a_spread() -> None:
    assert anytime(paired_mean(np.zeros(500)), fewest=500).high == math.inf


def test_the_detector_in_logs() -> None:
    e = np.array([0.5, 3.0, 2.0, 0.1])
    r, log_r = 0.0, np.asarray(-np.inf)
    for x in e:
        r, log_r = (r + 1) * x, step(log_r, np.log(x))
    assert float(log_r) == pytest.approx(math.log(r))
    assert step(np.full(3, -np.inf), np.zeros(3)).shape == (3,)
    assert float(step(800.0, 5.0)) == pytest.approx(805.0)


def test_mean_evidence_neither_overflows_nor_lacks() -> None:
    assert mean_evidence([1000.0, 1000.0]) == pytest.approx(1000.0)
    assert mean_evidence([-np.inf, 0.0]) == pytest.approx(math.log(0.5))
    assert mean_evidence([]) == -math.inf and mean_evidence([-np.inf]) == -math.inf


def test_an_e_from_uniform_p_has_mean_one() -> None:
    p = (np.arange(2_000_000) + 0.5) / 2_000_000
    mean = float(np.exp(log_e_from_p(p)).mean())
    assert 0.85 < mean <= 1.0  # the rest of the mass lies below the first of these p
    grid = np.linspace(0.9, 1, 2001)
    assert (np.diff(log_e_from_p(grid)) < 0).all()  # smooth up to p = 1
