"""Effects without randomisation: AIPW, overlap, sensitivity."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from ambidex.stats.aipw import Aipw, aipw, aipw_estimate, kish
from ambidex.stats.claim import Claim, decide
from ambidex.stats.sensitivity import (
    e_value_of_difference,
    e_value_of_odds,
    e_value_of_ratio,
    robustness_value,
)
from support import shared

COVARIATES = ("age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75")


def confounded(n: int, seed: int, *, binary: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4))
    t = (rng.random(n) < 1 / (1 + np.exp(-0.8 * x[:, 0] + 0.5 * x[:, 1]))).astype(float)
    line = x[:, 0] + 0.5 * x[:, 1]
    if not binary:
        return line + t * (1 + 0.5 * x[:, 0]) + rng.normal(size=n), t, x, 1.0
    chance = [1 / (1 + np.exp(1 - 0.5 * line - 0.5 * arm)) for arm in (0, 1)]
    return (rng.random(n) < np.where(t == 1, chance[1], chance[0])).astype(float), t, x, math.nan


def naive(y: np.ndarray, t: np.ndarray) -> float:
    return float(y[t == 1].mean() - y[t == 0].mean())


def test_takes_the_confounding_out() -> None:
    y, t, x, truth = confounded(3000, 1)
    made = aipw(y, t, x, name="y", arm="a", control="b")
    e = made.estimate
    assert e.low < truth < e.high and abs(naive(y, t) - truth) > 0.5
    assert made.overlaps and not made.why_not
    assert (e.method, e.arm, e.control, e.n) == ("AIPW, 5 folds", "a", "b", 3000)
    assert e.value == pytest.approx(made.scores.mean()) == pytest.approx(made.treated - made.control)
    assert e.se == pytest.approx(made.scores.std(ddof=1) / 3000**0.5)
    assert decide(Claim(measure="y"), e).outcome == "supported"
    assert made.robustness_value == pytest.approx(robustness_value(e.value / e.se, 3000 - 6))


def test_shares() -> None:
    y, t, x, _ = confounded(6000, 2, binary=True)
    made = aipw(y, t, x)
    assert made.relative is not None and made.estimate.unit == "share"
    assert made.relative.value == pytest.approx(made.treated / made.control - 1)
    assert made.e_value == e_value_of_ratio(
        *(1 + v for v in (made.relative.value, made.relative.low, made.relative.high))
    )
    assert made.relative.p_value == pytest.approx(made.estimate.p_value, abs=0.02)


def test_seeded() -> None:
    y, t, x, _ = confounded(600, 3)
    first, again, other = (aipw(y, t, x, seed=s).estimate for s in (1, 1, 2))
    assert first == again and first != other
    assert abs(first.value - other.value) < 0.3 * (first.se or 0)


@pytest.mark.slow
def test_trees_find_what_splines_cannot() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(1000, 3))
    both = np.where(x[:, 0] * x[:, 1] > 0, 1.0, -1.0)
    t = (rng.random(1000) < 0.5 + 0.3 * both).astype(float)
    y = 2 * both + rng.normal(size=1000)
    boosted, splines = (aipw(y, t, x, learner=learner).estimate for learner in ("boosted", "splines"))  # type: ignore[arg-type]
    assert boosted.low < 0.1 and boosted.value < 0.5 < 1.5 < splines.value


def test_missing_covariates_are_a_level_of_their_own() -> None:
    y, t, x, truth = confounded(3000, 4)
    hidden = np.random.default_rng(4).random(x.shape) < 0.1
    hidden[:, :2] = False
    e = aipw(y, t, np.where(hidden, np.nan, x)).estimate
    assert e.low < truth < e.high


def test_a_constant_covariate_changes_nothing_much() -> None:
    y, t, x, _ = confounded(1000, 5)
    with_it = aipw(y, t, np.column_stack([x, np.full(1000, 1e9)])).estimate
    assert with_it.value == pytest.approx(aipw(y, t, x).estimate.value, abs=0.01)


def test_same_at_a_mean_of_a_billion() -> None:
    y, t, x, _ = confounded(1000, 6)
    near, far = aipw(y, t, x).estimate, aipw(y + 1e9, t, x).estimate
    assert (far.low, far.high) == pytest.approx((near.low, near.high), abs=1e-3)


def lalonde() -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    out = []
    for path in ("data/experiments/lalonde_nsw.csv", "data/experiments/lalonde_cps_controls.csv"):
        with shared(path).open(newline="", encoding="utf-8-sig") as file:
            out.append(list(csv.DictReader(file)))
    return out[0], out[1]


def job_training(rows: list[dict[str, str]]) -> Aipw:
    y, t = (np.array([float(r[c]) for r in rows]) for c in ("re78", "treat"))
    return aipw(y, t, np.array([[float(r[c]) for c in COVARIATES] for r in rows]))


def test_trial_overlaps() -> None:
    trial, _ = lalonde()
    made = job_training(trial)
    assert made.overlaps and made.share_extreme == 0.0
    assert made.estimate.low < 1794 < made.estimate.high


def test_no_overlap_is_refused() -> None:
    trial, controls = lalonde()
    made = job_training([r for r in trial if r["treat"].startswith("1")] + controls)
    assert not made.overlaps and made.share_extreme > 0.85
    assert "of the controls had less than a 1% chance" in made.why_not


def test_few_effective_units_are_refused() -> None:
    n, rng = 4000, np.random.default_rng(7)
    t = (np.arange(n) < 400).astype(float)
    chance = np.where(rng.random(n) < 0.03, 0.015, 0.6)
    none = np.zeros(n)
    rare = aipw_estimate(rng.normal(size=n), t, none, none, chance)
    assert not rare.overlaps and rare.why_not == "the 400 treated, weighted to look like all, count as 38"
    assert aipw_estimate(rng.normal(size=n), t, none, none, np.maximum(chance, 0.3)).overlaps
    few = aipw_estimate(rng.normal(size=60), np.arange(60) < 30, np.zeros(60), np.zeros(60), np.full(60, 0.5))
    assert not few.overlaps and few.why_not == "the 30 controls, weighted to look like all, count as 30"


@pytest.mark.parametrize("n", [0, 1, 9, 19])
def test_too_few_units(n: int) -> None:
    y, t, x, _ = confounded(max(n, 1), 8)
    made = aipw(y[:n], t[:n], x[:n])
    assert not made.overlaps and "too few to fit on" in made.why_not
    assert decide(Claim(measure="y"), made.estimate).outcome == "open"


def test_constant_outcome_stays_open() -> None:
    _, t, x, _ = confounded(500, 9)
    made = aipw(np.full(500, 7.0), t, x)
    assert (made.estimate.value, made.estimate.low, made.estimate.high) == (0.0, -np.inf, np.inf)
    assert made.relative is None and made.robustness_value == (0.0, 0.0)


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        aipw([1.0, np.nan], [0, 1], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="treated is 1 or 0"):
        aipw([1.0, 2.0], [0, 2], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="as long as"):
        aipw([1.0, 2.0], [0, 1, 1], [[1.0], [2.0]])


def test_kish() -> None:
    assert kish(np.ones(40)) == 40 and kish(np.array([])) == 0.0


def test_e_values() -> None:
    assert e_value_of_ratio(math.nan, 1, 2) == (1.0, 1.0)
    assert e_value_of_ratio(2.0, 0.9, 3.0)[1] == 1.0
    assert e_value_of_odds(4.0, 1.2, 9.0, share=0.05) == e_value_of_ratio(4.0, 1.2, 9.0)
    assert e_value_of_difference(0.0, 1.0, 0.0) == (1.0, 1.0)
    # EValue's evalues.MD(.5, .25): d is already in standard deviations.
    assert e_value_of_difference(0.5, 0.25, 1.0)[0] == pytest.approx(2.5295, abs=1e-3)
    assert e_value_of_difference(0.5, 0.25, 1.0)[1] == pytest.approx(1.104, abs=0.05)
    assert e_value_of_difference(-0.5, 0.25, 1.0) == pytest.approx(e_value_of_difference(0.5, 0.25, 1.0))


def test_robustness_value_needs_degrees_of_freedom() -> None:
    assert robustness_value(3.0, 1.0) == (0.0, 0.0) and robustness_value(math.nan, 100) == (0.0, 0.0)
    assert robustness_value(-4.18, 783) == robustness_value(4.18, 783)
