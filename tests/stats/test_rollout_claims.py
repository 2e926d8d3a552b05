"""The kernel of roll-outs against sums done by hand and against `Bets`, step by step."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ambidex.stats.claim import Claim, decide
from ambidex.stats.rollouts import CHUNK, above_limit, blocks, first_crossing, race, split_estimates, units_to_act
from ambidex.stats.sequences import GRID, Bets


def by_hand(d: np.ndarray, relation: str, margin: float, alpha: float, reach: float) -> int:
    """One product after the other."""
    stakes = [1.0] * len(GRID)
    for i, value in enumerate(d, start=1):
        gap = value - margin if relation == "above" else margin - value
        stakes = [s * (1 + share / (reach + margin) * gap) for s, share in zip(stakes, GRID, strict=True)]
        if sum(stakes) / len(stakes) >= 1 / alpha:
            return i
    return 0


@pytest.mark.parametrize("relation", ["above", "below"])
@pytest.mark.parametrize("reach", [1.0, 2.5])
def test_first_crossing_is_what_one_finds_step_by_step(relation: str, reach: float) -> None:
    rng = np.random.default_rng(4)
    for truth in (-0.1, 0.0, 0.03, 0.2):
        d = np.clip(rng.normal(truth, 0.3, 1500), -reach, reach)
        got = int(first_crossing(d, relation=relation, margin=0.05, alpha=0.05, reach=reach))  # type: ignore[arg-type]
        assert got == by_hand(d, relation, 0.05, 0.05, reach)


def test_chunks_do_not_show() -> None:
    d = np.where(np.random.default_rng(1).random((3, 2 * CHUNK + 7)) < 0.511, 0.1, -0.1)
    whole = first_crossing(d, relation="above", margin=0.0, alpha=0.05)
    assert whole.shape == (3,) and (whole > CHUNK).any()
    for row, at in zip(d, whole, strict=True):
        if at:
            before, then = (Bets.start("above").add(row[: at - k]).estimate() for k in (1, 0))
            assert before.log_e_for < math.log(20) <= then.log_e_for + 1e-9


def test_the_first_to_act_decides_and_is_what_decide_says() -> None:
    rng = np.random.default_rng(2)
    seen = set()
    for seed in range(40):
        d = np.where(rng.random(3000) < 0.53, 0.2, -0.2) * (1 if seed % 2 else 0.6)
        r = race(d, margin=0.02, harm_alpha=0.04, better_alpha=0.05)
        seen.add(r.first)
        harm = Claim(measure="x", relation="above", margin=0.0, alpha=0.04, sides=1, looks="anytime")
        better = Claim(measure="x", relation="below", margin=0.02, alpha=0.05, sides=1, looks="anytime")
        verdicts = {"harm": decide(harm, r.harm).outcome, "better": decide(better, r.better).outcome}
        for name, outcome in verdicts.items():
            assert (outcome == "supported") is (r.first == name), (verdicts, r.first)
    assert "harm" in seen


def test_nothing_yet() -> None:
    r = race([], margin=0.02, harm_alpha=0.05, better_alpha=0.05)
    assert (r.first, r.units) == (None, 0) and math.isnan(r.harm.value)
    assert units_to_act([], margin=0.02, alpha=0.05) is None
    assert above_limit(0, 0, 0.01, name="failed").log_e_for == 0.0


def test_blocks_are_ended_by_who_came_only() -> None:
    rng = np.random.default_rng(3)
    arm, losses = rng.random(5000) < 0.2, rng.random(5000)
    values = blocks(arm, losses)
    assert (np.abs(values) <= 1).all() and abs(values.mean()) < 0.05
    other = blocks(arm, 1 - losses)
    assert np.allclose(values, -other)  # the same blocks, whatever the losses are
    assert len(blocks([True] * 5, [0.1] * 5)) == 0


def test_a_season_that_moves_both_arms_moves_no_block() -> None:
    rng = np.random.default_rng(6)
    n = 20_000
    arm = rng.random(n) < 0.3
    season = 0.3 + 0.25 * np.sin(np.arange(n) / 300)
    values = blocks(arm, (rng.random(n) < season).astype(float))
    assert race(values, margin=0.05, harm_alpha=0.05, better_alpha=0.05).first != "harm"


def test_a_split_that_is_off_is_seen() -> None:
    over, under = split_estimates(150, 850, 0.1)
    assert over.log_e_for > math.log(100) and under.log_e_for < 0
    over, under = split_estimates(50, 950, 0.1)
    assert under.log_e_for > math.log(20) and over.log_e_for < 0


def test_units_to_act_have_the_power() -> None:
    d = np.random.default_rng(7).normal(0.3, 0.15, 800).clip(-1, 1)  # its own mean is taken out
    n = units_to_act(d, margin=0.02, alpha=0.05, power=0.8)
    assert n is not None
    rng = np.random.default_rng(8)
    draws = rng.choice(d - d.mean(), size=(400, n))
    share = (first_crossing(draws, relation="below", margin=0.02, alpha=0.05) > 0).mean()
    assert 0.72 <= share <= 0.88
    assert units_to_act(d, margin=1e-6, alpha=0.05, most=2000) is None
