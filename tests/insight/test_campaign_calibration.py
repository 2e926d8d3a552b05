"""How often ``campaign`` is wrong where the truth is known: fixed seeds, the public verb."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.bundle.uplift import UpliftScorer, fit_uplift
from ambidex.data.read import read
from ambidex.insight.campaign import campaign
from ambidex.records import Recipe
from ambidex.report.answer import Answer
from ambidex.stats.estimate import Estimate
from ambidex.stats.uplift import qini

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


@pytest.mark.timeout(900)
def test_s14_the_true_ranking_beats_a_fitted_one() -> None:
    """The prototype's ranking against the truth, on 20,000 units that it has not seen.

    On the 4,000 units of the campaign itself the difference is .0072 with a standard deviation of .0048 between
    campaigns, so a Qini read there puts the truth first in .91 to .94 of them, however the ranking was made. More
    units do not help: the fitted ranking comes nearer to the truth as fast as the noise falls.
    """
    runs, fresh, own = 100, 0, 0
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        rows, gain = _responders(rng, 4000)
        answer = campaign(rows, treatment="arm", outcome="bought", covariate=[f"x{i}" for i in range(20)])
        assert answer.model is not None
        scorer = UpliftScorer(fit_uplift(read(rows), Recipe.from_json(answer.model["recipe"])))
        new, truth = _responders(rng, 20_000)
        y, t = np.array(new["bought"]) == "yes", np.array(new["arm"]) == "mail"
        columns = {f"x{i}": np.array(new[f"x{i}"]) for i in range(20)}
        fitted = qini(y.astype(float), t, scorer.score_columns(columns, len(y)), draws=1).value
        fresh += qini(y.astype(float), t, truth, draws=1).value >= fitted
        mine = one(answer, "qini")
        y, t = np.array(rows["bought"]) == "yes", np.array(rows["arm"]) == "mail"
        own += qini(y.astype(float), t, gain, draws=1).value >= mine.value
    print("true first, on fresh units", fresh / runs, "on its own", own / runs)
    assert fresh / runs >= 0.95 and own / runs >= 0.85, (fresh / runs, own / runs)


def _responders(rng: np.random.Generator, n: int) -> tuple[pa.Table, Any]:
    """Twenty columns, of which one says who responds and another who buys anyway; and the true gain of each."""
    x = {f"x{i}": rng.random(n) for i in range(20)}
    gain, arm = 0.1 * (x["x0"] > 0.5), rng.choice(["none", "mail"], n)
    bought = rng.random(n) < 0.2 + 0.2 * x["x1"] + gain * (arm == "mail")
    return pa.table({"arm": arm, "bought": np.where(bought, "yes", "no"), **x}), gain


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
