"""How often ``campaign`` is wrong where the truth is known: fixed seeds, the public verb."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.bundle.uplift import FORMAT, UpliftScorer, columns_of_both, fit_pair
from ambidex.insight.campaign import campaign
from ambidex.report.answer import Answer
from ambidex.stats.estimate import Estimate
from ambidex.stats.uplift import out_of_fold, qini

pytestmark = pytest.mark.slow


def one(answer: Answer, name: str) -> Estimate:
    (found,) = [e for e in answer.estimates if e.name == name]
    return found


def within(share: float, low: float, high: float, runs: int) -> bool:
    """Inside the band, give or take three standard errors of so many runs."""
    slack = 3 * np.sqrt(0.95 * 0.05 / runs)
    return low - slack <= share <= high + slack


def test_roi_covers_the_truth_where_one_in_fifty_buys() -> None:
    runs, covered, losses = 300, 0, []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        n = 8000
        arm = rng.permuted(np.repeat(["no", "yes"], n // 2))
        buys = rng.random(n) < np.where(arm == "yes", 0.025, 0.02)
        spend = np.where(buys, rng.lognormal(3.0, 0.8, n), 0.0)
        answer = campaign(
            pa.table({"arm": arm, "spend": spend}), treatment="arm", outcome="spend", value=0.5, cost=0.04
        )
        mean = np.exp(3.0 + 0.32)
        truth = (0.5 * 0.005 * mean - 0.04) / 0.04
        roi = one(answer, "roi")
        covered += roi.low <= truth <= roi.high
        losses.append(answer.extra["p_loss"])
    assert within(covered / runs, 0.935, 0.965, runs), covered / runs
    assert 0.05 < np.mean(losses) < 0.5


def test_identical_arms_pay_nothing_and_are_not_stopped() -> None:
    runs, clear, stopped = 150, 0, 0
    for seed in range(runs):
        rng = np.random.default_rng(10_000 + seed)
        n = 600
        more = {f"x{i}": rng.normal(size=n) for i in range(8)}
        rows = pa.table({"arm": rng.permuted(np.repeat(["no", "yes"], n // 2)), "y": rng.exponential(1, n), **more})
        answer = campaign(rows, treatment="arm", outcome="y", covariate=list(more)[:1])
        stopped += not answer.passed
        clear += bool(answer.verdicts) and answer.verdicts[0].outcome != "open"
    assert within(clear / runs, 0.040, 0.060, runs) and stopped / runs <= 0.01, (clear / runs, stopped / runs)


def test_s13_the_interval_of_qini() -> None:
    runs, covered, zero = 200, 0, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        x, t = rng.random(4000), rng.random(4000) < 0.5
        y = (rng.random(4000) < 0.2 + 0.1 * (x > 0.5) * t).astype(float)
        e = qini(y, t, x, draws=100, seed=seed)
        covered += e.low <= 0.0125 <= e.high
        lot = qini(y, t, rng.random(4000), draws=100, seed=seed)
        zero += lot.low <= 0 <= lot.high
    assert within(covered / runs, 0.93, 0.97, runs) and zero / runs >= 0.93, (covered / runs, zero / runs)


def test_s14_the_true_ranking_beats_a_fitted_one() -> None:
    runs, better = 60, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        x = {f"x{i}": rng.random(4000) for i in range(20)}
        gain = 0.1 * (x["x0"] > 0.5)
        t = rng.random(4000) < 0.5
        y = (rng.random(4000) < 0.2 + 0.2 * x["x1"] + gain * t).astype(float)

        def learn(fit: Any, score: Any, x: Any = x, y: Any = y, t: Any = t) -> Any:
            pair = fit_pair({n: v[fit] for n, v in x.items()}, y[fit], t[fit], binary=True)
            schema = {"target": "y", "task": "regression", "columns": [c.to_json() for c in columns_of_both(*pair)]}
            model = {"format": FORMAT, "base": 0.0, "treated": pair[0], "control": pair[1], "schema": schema}
            return UpliftScorer(model).score_columns({n: v[score] for n, v in x.items()}, len(score))

        _, fitted = out_of_fold(learn, t, seed=seed)
        better += qini(y, t, gain, draws=1).value >= qini(y, t, fitted, draws=1).value
    assert better / runs >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / runs), better / runs


def _panel(seed: int, treated: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    units, periods = 30, 14
    waves = np.cumsum(rng.normal(0, 1, (2, periods)), axis=1)
    y = rng.normal(0, 3, (units, 1)) + rng.uniform(0, 1, (units, 2)) @ waves + rng.normal(0, 0.5, (units, periods))
    return pa.table(
        {
            "unit": np.repeat([f"u{i:02d}" for i in range(units)], periods),
            "t": np.tile(np.arange(periods), units),
            "on": np.repeat((np.arange(units) < treated).astype(int), periods),
            "y": y.ravel(),
        }
    )


@pytest.mark.parametrize("treated", [1, 12])
def test_s16_panels_without_an_effect(treated: int) -> None:
    runs, synthetic, plain, fake = (150 if treated == 1 else 40), 0, 0, 0
    for seed in range(runs):
        answer = campaign(_panel(seed, treated), treatment="on", outcome="y", unit="unit", time="t", start="9")
        synthetic += answer.verdicts[0].outcome != "open"
        way = next(w for w in answer.tables["ways"] if w["way"] == "difference in differences")
        plain += way["p_value"] <= 0.05
        (placebo,) = [c for c in answer.checks if c.name == "placebo in time"]
        fake += not placebo.passed
    seen = synthetic / runs, plain / runs, fake / runs
    assert max(seen) <= 0.10 + 2 * np.sqrt(0.09 / runs), seen


def test_a_series_without_an_effect() -> None:
    runs, found = 150, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        n, wander = 90, (0.0, 0.1, 0.4, 1.0)[seed % 4]
        y = 100 + np.cumsum(rng.normal(0, wander, n)) + rng.normal(size=n)
        rows = pa.table({"t": np.arange(n), "y": y})
        found += campaign(rows, outcome="y", time="t", start="75").verdicts[0].outcome != "open"
    assert found / runs <= 0.10, found / runs


def test_s10_confounded_but_overlapping() -> None:
    runs, covered, naive, gaps = 60, 0, 0, []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        n = 2000
        x = rng.normal(size=(n, 3))
        t = rng.random(n) < 1 / (1 + np.exp(-(0.8 * x[:, 0] - 0.5 * x[:, 1])))
        y = 1 + x[:, 0] + 0.5 * x[:, 1] ** 2 + 0.5 * t + rng.normal(size=n)
        rows = pa.table({"on": t.astype(int), "y": y, **{f"x{i}": x[:, i] for i in range(3)}})
        answer = campaign(rows, treatment="on", outcome="y", observational=True, covariate=["x0", "x1", "x2"])
        e = one(answer, "effect")
        covered += e.low <= 0.5 <= e.high
        gaps.append((e.value - 0.5) / (e.se or 1))
        plain = answer.tables["ways"][0]
        naive += plain["low"] <= 0.5 <= plain["high"]
    assert within(covered / runs, 0.93, 0.97, runs) and naive / runs < 0.1, (covered / runs, naive / runs)
    assert abs(np.mean(gaps)) <= 0.1 + 2 / np.sqrt(runs)
