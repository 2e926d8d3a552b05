"""Whom to treat: rankings, their Qini, and models that have not seen the unit."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.data.read import read
from ambidex.stats.uplift import effect_among, out_of_fold, policy_curve, qini, qini_curve, top
from support import shared


def campaign(n: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, t = rng.random(n), rng.random(n) < 0.5
    return x, t, (rng.random(n) < 0.2 + 0.1 * (x > 0.5) * t).astype(float)


def test_qini_of_hillstrom_in_the_first_library_s_scale() -> None:
    """scikit-uplift divides the area by that of a ranking that knows the outcome; ours is the area itself."""
    table = read(shared("data/campaigns/hillstrom_email.csv"))
    arm = table.text("segment")
    rows = (arm == "Womens E-Mail") | (arm == "No E-Mail")
    y, t, score = table.number("visit")[rows], arm[rows] == "Womens E-Mail", table.number("history")[rows]
    knows = 2.0 * (y == t) + np.where(np.sum((y == 1) & ~t) > np.sum((y == 1) & t), y, t)
    # Its curve counts the mean of an arm that has nobody yet as 0, ours no effect there.
    _, cells = np.unique(-knows, return_inverse=True)
    n1, n0, s1, s0 = (np.cumsum(np.bincount(cells, w)) for w in (t, ~t, t * y, ~t * y))
    gap = s1 / np.maximum(n1, 1) - s0 / np.maximum(n0, 1)
    phi = np.concatenate([[0.0], (n1 + n0) / len(y)])
    best = np.trapezoid(np.concatenate([[0.0], phi[1:] * gap]), phi) - gap[-1] / 2
    at, gain = qini_curve(y, t, score)
    area = np.trapezoid(gain - at * gain[-1], at)
    assert area / best == pytest.approx(0.0010476, rel=0.02)  # Q4-15
    assert area == pytest.approx(qini(y, t, score, draws=100).value)


def test_the_truth_of_the_simulated_campaign() -> None:
    big = [qini(y, t, x, draws=100).value for x, t, y in (campaign(20_000, s) for s in range(8))]
    assert np.mean(big) == pytest.approx(0.0125, abs=0.0015)  # Q4-16, closed form


def test_ties_are_one_step_and_order_does_not_matter() -> None:
    x, t, y = campaign(800)
    coarse = np.round(x, 1)
    order = np.random.default_rng(1).permutation(len(x))
    first, second = qini_curve(y, t, coarse), qini_curve(y[order], t[order], coarse[order])
    assert len(first[0]) == len(np.unique(coarse)) + 1
    np.testing.assert_allclose(first[1], second[1])


def test_one_score_for_all_has_no_area_and_no_interval() -> None:
    _, t, y = campaign(500)
    e = qini(y, t, np.zeros(500))
    assert e.value == 0 and e.low == -np.inf and e.p_value is None


def test_scores_come_from_models_that_did_not_see_the_unit() -> None:
    x, t, _ = campaign(400)
    seen: list[set[int]] = []

    def learn(fit: np.ndarray, score: np.ndarray) -> np.ndarray:
        assert not set(fit.tolist()) & set(score.tolist())
        seen.append(set(score.tolist()))
        return x[score] * 1e9

    scores, ranks = out_of_fold(learn, t)
    assert set.union(*seen) == set(range(400)) and sum(map(len, seen)) == 400
    np.testing.assert_array_equal(scores, x * 1e9)
    assert ranks.min() > 0 and ranks.max() < 1


def test_depth_one_is_everybody() -> None:
    x, t, y = campaign(1000)
    curve = policy_curve(y, t, x, depths=(0.5, 1.0))
    whole = effect_among(y, t, np.ones(1000, bool), name="all")
    assert curve[1].effect.value == whole.value and top(x, 0.5).sum() == 500


def test_an_arm_that_is_missing_at_a_depth_is_open() -> None:
    y, t, x = np.array([1.0, 0, 1, 0]), np.array([True, True, False, False]), np.array([4.0, 3, 2, 1])
    assert policy_curve(y, t, x, depths=(0.5,))[0].effect.low == -np.inf
