"""S3 and S4: what planned looks, further looks and planned sizes do, simulated through the public verbs."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.insight.experiment import experiment
from ambidex.insight.experiment_looks import Look
from ambidex.stats.laws import normal_quantile
from ambidex.stats.sequential import spending_bounds

RUNS = 800
"""Of each planned size: the standard error of a power of .80 is .014."""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def size(**options):
    return int(next(e.value for e in amb.plan(**options).estimates if e.name == "units_per_arm"))


def power(make, runs=RUNS, **options):
    """Share of simulated experiments whose primary claim is supported."""
    found = [
        amb.experiment(make(np.random.default_rng(seed)), group="arm", control="A", **options).verdicts[0].outcome
        for seed in range(runs)
    ]
    return found.count("supported") / runs


def arms(n):
    return pa.array(["A"] * n + ["B"] * n)


def in_band(name, got, low, high):
    print(f"\n{name}: {got:.4f} (allowed {low} to {high})")
    assert low <= got <= high, f"{name}: {got}"


@pytest.mark.slow
def test_s4_mean():
    n = size(effect=0.3)
    treated = np.repeat([0.0, 0.3], n)
    got = power(lambda r: pa.table({"arm": arms(n), "y": r.normal(size=2 * n) + treated}), metric="y:mean")
    in_band("S4 mean", got, 0.77, 0.83)


@pytest.mark.slow
def test_s4_share():
    n = size(baseline=0.2, difference=0.1)
    p = np.repeat([0.2, 0.3], n)
    got = power(lambda r: pa.table({"arm": arms(n), "y": (r.random(2 * n) < p).astype(int)}), metric="y:share")
    in_band("S4 share", got, 0.77, 0.83)


@pytest.mark.slow
def test_s4_ratio():
    """Clicks per view, users randomised: the table of the past gives the delta method's spread."""

    def users(r, n, rate):
        views = 1 + r.poisson(3, n)
        return views, r.binomial(views, np.clip(r.beta(4 * rate, 4 * (1 - rate), n), 0, 1))

    views, clicks = users(np.random.default_rng(10**6), 40_000, np.full(40_000, 0.2))
    n = size(table=pa.table({"clicks": clicks, "views": views}), metric="clicks/views", difference=0.02)

    def make(r):
        views, clicks = users(r, 2 * n, np.repeat([0.2, 0.22], n))
        return pa.table({"arm": arms(n), "clicks": clicks, "views": views})

    in_band("S4 ratio", power(make, metric="clicks/views"), 0.77, 0.83)


@pytest.mark.slow
def test_s4_clusters():
    """Villages of 10 randomised, correlation .1 read from a table."""
    m = 10

    def people(r, clusters):
        return np.repeat(r.normal(size=clusters), m) * np.sqrt(0.1) + r.normal(size=clusters * m) * np.sqrt(0.9)

    past = people(np.random.default_rng(10**6), 4000)
    table = pa.table({"y": past, "village": np.arange(len(past)) // m})
    n = -(-size(table=table, metric="y:mean", difference=0.25, cluster="village") // m) * m
    village, treated = np.arange(2 * n) // m, np.repeat([0.0, 0.25], n)

    def make(r):
        return pa.table({"arm": arms(n), "y": people(r, 2 * n // m) + treated, "village": village})

    in_band("S4 clusters", power(make, metric="y:mean", cluster="village"), 0.77, 0.83)


@pytest.mark.slow
def test_s4_covariates():
    def people(r, n):
        before = r.normal(size=n)
        return before, 10 + before + r.normal(size=n)

    before, y = people(np.random.default_rng(10**6), 40_000)
    n = size(table=pa.table({"y": y, "before": before}), metric="y:mean", difference=0.4, covariate="before")
    assert n < 0.55 * size(effect=0.4, sd=float(np.std(y)))
    treated = np.repeat([0.0, 0.4], n)

    def make(r):
        before, y = people(r, 2 * n)
        return pa.table({"arm": arms(n), "y": y + treated, "before": before})

    in_band("S4 covariates", power(make, metric="y:mean", covariate="before"), 0.77, 0.83)


@pytest.mark.slow
def test_s4_three_arms_and_guardrail():
    """At least .80 for each arm: Holm gives back what alpha/(arms-1) takes."""
    n = size(effect=0.3, arms=3)
    treated = np.repeat([0.0, 0.3, 0.0], n)
    labels = pa.array(["A"] * n + ["B"] * n + ["C"] * n)
    got = power(lambda r: pa.table({"arm": labels, "y": r.normal(size=3 * n) + treated}), metric="y:mean", runs=500)
    in_band("S4 three arms", got, 0.77, 0.85)


@pytest.mark.slow
def test_s4_a_watched_test_reaches_its_power():
    n = size(baseline=0.2, difference=0.1, anytime=True)
    p = np.repeat([0.2, 0.3], n)
    got = power(
        lambda r: pa.table({"arm": arms(n), "y": (r.random(2 * n) < p).astype(int)}), metric="y:share", anytime=True,
        runs=500,
    )  # fmt: skip
    in_band("S4 anytime, at its end", got, 0.77, 0.83)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_s3_planned_looks_through_the_verb():
    """Identical arms, five looks by the plan; a claim alone per metric, 100 metrics a table, 30 tables."""
    amb.plan(metric="m0", effect=0.25, looks=5, group="arm", control="A", out="PLAN.json")
    planned = json.loads(open("PLAN.json", encoding="utf-8").read())["units"]  # noqa: SIM115
    wrong = []
    for seed in range(30):
        r = np.random.default_rng(seed)
        arm = np.where(np.arange(planned) % 2, "B", "A").tolist()
        table = pa.table({"arm": arm} | {f"m{i}": r.normal(size=planned) for i in range(100)})
        crossed = np.zeros(100, dtype=bool)
        for look in range(1, 6):
            part = table.slice(0, round(planned * look / 5))
            answer = amb.experiment(part, plan="PLAN.json", secondary=[f"m{i}" for i in range(1, 100)])
            told = {e.name: e for e in answer.estimates if e.kind == "difference"}
            crossed |= np.array([told[f"m{i}"].low > 0 or told[f"m{i}"].high < 0 for i in range(100)])
        wrong += crossed.tolist()
    in_band("S3 five planned looks", float(np.mean(wrong)), 0.043, 0.057)


@pytest.mark.slow
def test_s3_planned_looks_at_any_times():
    """The bounds themselves, 400,000 paths."""
    r = np.random.default_rng(3)
    for times in ([0.2, 0.4, 0.6, 0.8, 1.0], [0.13, 0.5, 0.55, 1.2], [0.4, 0.7]):
        steps = r.normal(size=(400_000, len(times))) * np.sqrt(np.diff([0.0, *times]))
        z = np.cumsum(steps, axis=1) / np.sqrt(times)
        out = (np.abs(z) > spending_bounds(times, 0.05, final=True)).any(axis=1).mean()
        in_band(f"S3 bounds at {times}", float(out), 0.049, 0.051)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_s3_a_first_look_and_four_more_stay_below_two_alpha():
    """Identical arms; the first look spends alpha, the four that follow on grown data are judged at any time.

    Against it: the same five looks, each judged as if it were the only one.
    """
    runs, n, naive_runs = 500, 2000, 0
    wrong = first = 0
    for seed in range(runs):
        r = np.random.default_rng(seed)
        y = r.normal(size=n)
        table = pa.table({"arm": np.where(r.random(n) < 0.5, "A", "B").tolist(), "y": y})
        earlier: list[Look] = []
        outcomes = []
        for look in range(1, 6):
            part = table.slice(0, n * look // 5)
            answer = experiment(part, group="arm", metric="y:mean", control="A", earlier=earlier)
            earlier.append(Look.of(answer.record))
            outcomes.append(answer.verdicts[0].outcome != "open")
        wrong += any(outcomes)
        first += outcomes[0]
        z = [_z(y, table["arm"].to_pylist(), n * look // 5) for look in range(1, 6)]
        naive_runs += max(z) > normal_quantile(0.975)
    print(f"\nfirst look {first / runs:.4f}, each as the only one {naive_runs / runs:.4f}")
    in_band("S3 up to 2α", wrong / runs, 0.03, 0.10)
    assert naive_runs / runs > 0.10 > wrong / runs


def _z(y, arm, n):
    b = np.array(arm[:n]) == "B"
    y1, y0 = y[:n][b], y[:n][~b]
    return abs(y1.mean() - y0.mean()) / np.sqrt(y1.var(ddof=1) / len(y1) + y0.var(ddof=1) / len(y0))
