"""``plan`` through the verb: published sizes, a table of the past, words, bad input."""

from __future__ import annotations

import json
import math

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.errors import DataError, NotFound, UsageError
from oracle_rows import check
from support import shared


def plan(**options):
    return amb.plan(**options)


def size(answer):
    return next(e for e in answer.to_dict()["estimates"] if e["name"] == "units_per_arm")


def seen(answer):
    return next(e for e in answer.to_dict()["estimates"] if e["name"] == "detectable")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def past():
    """4,000 visits of 1,000 users in 40 clusters over 20 days; two arms of an older test."""
    rng = np.random.default_rng(11)
    user = np.repeat(np.arange(1000), 4)
    cluster = user // 25
    before = rng.normal(size=1000)
    level = 20 + 3 * before[user] + 2 * rng.normal(size=40)[cluster]
    spend = level + rng.normal(size=4000) * 4
    return pa.table(
        {
            "user": user,
            "village": cluster,
            "arm": np.where(user % 2 == 0, "old", "new").tolist(),
            "spend": spend,
            "before": before[user],
            "segment": np.where(before[user] > 0, "high", "low").tolist(),
            "paid": (rng.random(4000) < 0.2).astype(int),
            "views": rng.integers(1, 5, 4000),
            "day": [f"2026-03-{1 + i % 20:02d}" for i in user],
        }
    )


def test_published_sizes():
    check("Q2-17", size(plan(effect=0.5, sd=1))["exact"], size(plan(effect=0.2, sd=1.0))["exact"])
    check("Q2-19", size(plan(baseline=0.5, difference=0.25, power=0.9))["exact"])
    small = plan(baseline=0.2, difference=0.05)
    assert size(small)["exact"] == pytest.approx(1093.739, abs=1e-3) and size(small)["value"] == 1094


def test_other_people_s_formulas_stand_beside_ours():
    arcsine = plan(baseline=0.5, difference=0.25, power=0.9).tables["formulas"]
    check("Q2-20", next(r["units_per_arm"] for r in arcsine if "arcsine" in r["formula"]))
    online = plan(baseline=0.2, difference=0.05).tables["formulas"]
    check("Q2-21", next(r["units_per_arm"] for r in online if "online" in r["formula"]))


def test_the_same_number_however_it_is_asked():
    by_difference = size(plan(baseline=0.2, difference=0.05))["exact"]
    assert size(plan(baseline=0.2, lift=0.25))["exact"] == pytest.approx(by_difference)
    assert size(plan(baseline=0.2, lift=0.25, metric="paid:share"))["exact"] == pytest.approx(by_difference)
    assert size(plan(effect=3, sd=6))["exact"] == pytest.approx(size(plan(effect=0.5))["exact"])
    assert size(plan(baseline=60, lift=0.05, sd=6))["exact"] == pytest.approx(size(plan(effect=0.5))["exact"])


def test_what_multiplies_the_units():
    plain = size(plan(effect=0.2))["exact"]
    assert size(plan(effect=0.2, icc=0.05, cluster_size=20))["exact"] == pytest.approx(1.95 * plain)
    assert size(plan(effect=0.2, r2=0.3))["exact"] == pytest.approx(0.7 * plain)
    assert size(plan(effect=0.2, looks=5))["exact"] == pytest.approx(1.0247 * plain, rel=1e-4)
    assert size(plan(effect=0.2, arms=3))["exact"] == pytest.approx(size(plan(effect=0.2, alpha=0.025))["exact"])
    assert size(plan(effect=0.2, anytime=True))["exact"] > 1.4 * plain
    half = size(plan(effect=0.2, shares="A=.5,B=.5"))["exact"]
    assert half == pytest.approx(plain) and half < size(plan(effect=0.2, shares={"A": 0.8, "B": 0.2}))["exact"]


def test_a_size_is_answered_with_what_it_sees():
    answer = plan(baseline=0.2, size=1093.739)
    assert seen(answer)["value"] == pytest.approx(0.05, abs=1e-6)
    assert answer.to_dict()["detectable"] == seen(answer)["value"]
    assert answer.recommendation.verdict == "act" and "20.0% to 25.0%" in answer.headline
    both = plan(baseline=0.2, difference=0.05, size=5000)
    assert size(both)["value"] == 1094 and 0.02 < seen(both)["value"] < 0.03
    assert plan(baseline=0.2, size=2).recommendation.verdict == "do-not-act"


def test_the_page_says_units_total_and_formula():
    answer = plan(baseline=0.2, difference=0.05, looks=5)
    data = answer.to_dict()
    assert data["total_units"] == 2 * size(answer)["value"]
    assert f"{data['total_units']:,} in all" in answer.headline
    assert "p̄" in data["formula"] and "1.02" in data["formula"] and "looks" in data["formula"]
    assert [r["look"] for r in data["tables"]["looks"]] == [1, 2, 3, 4, 5]
    assert data["tables"]["looks"][-1]["units"] == data["total_units"]
    figure = data["findings"][0]["figure"]
    assert figure["form"] == "line-band" and len(figure["rows"]) > 20 and figure["reference"] == 0.05
    falls = [r["value"] for r in figure["rows"]]
    assert falls == sorted(falls, reverse=True)
    assert (size(answer)["low"], size(answer)["high"]) == (None, None)
    json.dumps(data, allow_nan=False)


def test_twice_the_same_bytes():
    first, second = (json.dumps(plan(baseline=0.2, lift=0.1, looks=3).to_dict()) for _ in range(2))
    assert first == second


def test_a_table_gives_level_spread_traffic_clusters_and_covariates(past):
    spend = past["spend"].to_numpy().reshape(-1, 4).mean(axis=1)
    answer = plan(table=past, metric="spend", lift=0.05, unit="user", time="day")
    data = answer.to_dict()
    assert data["plan"]["baseline"] == pytest.approx(spend.mean())
    by_hand = size(plan(effect=0.05 * spend.mean(), sd=spend.std(ddof=1)))["exact"]
    assert size(answer)["exact"] == pytest.approx(by_hand) and size(answer)["n"] == 1000
    assert data["per_day"] == 50 and data["days"] == math.ceil(data["total_units"] / 50)
    assert seen(answer)["n"] == 500
    clustered = plan(table=past, metric="spend", lift=0.05, unit="user", cluster="village")
    assert size(clustered)["exact"] > 3 * size(answer)["exact"]
    adjusted = plan(table=past, metric="spend", lift=0.05, unit="user", covariate=["before", "segment"])
    assert size(adjusted)["exact"] < 0.7 * size(answer)["exact"]


def test_a_table_with_arms_is_read_in_its_control(past):
    paid = past["paid"].to_numpy()
    old = np.array(past["arm"].to_pylist()) == "old"
    answer = plan(table=past, metric="paid:share", lift=0.2, group="arm", control="old")
    assert answer.extra["plan"]["baseline"] == pytest.approx(paid[old].mean())
    assert seen(answer)["n"] == 2000
    picked = plan(table=past, metric="paid:share", lift=0.2, group="arm")
    assert any(c.code == "control" for c in picked.cautions)


def test_ratios_by_the_delta_method_and_trials_as_units(past):
    unit = plan(table=past, metric="paid/views", lift=0.2, unit="user")
    assert unit.extra["plan"]["baseline"] == pytest.approx(
        past["paid"].to_numpy().sum() / past["views"].to_numpy().sum()
    )
    assert unit.estimates[0].n == 1000
    trials = plan(table=past, metric="paid/views:share", lift=0.2)
    assert trials.estimates[0].n == past["views"].to_numpy().sum()
    p = trials.extra["plan"]["baseline"]
    assert size(trials)["exact"] == pytest.approx(size(plan(baseline=p, lift=0.2))["exact"])


def test_guardrails_share_the_risk_of_missing(past):
    alone = plan(table=past, metric="spend", lift=0.05)
    tight = plan(table=past, metric="spend", lift=0.05, guardrail="paid:share:-0.005")
    assert size(tight)["value"] > 10 * size(alone)["value"]
    assert any(c.code == "guardrail" and "needs the most units" in c.text for c in tight.cautions)
    loose = plan(table=past, metric="spend", lift=0.05, guardrail="paid:share:-0.3")
    assert size(loose)["exact"] == pytest.approx(size(plan(table=past, metric="spend", lift=0.05, power=0.9))["exact"])
    unsized = plan(baseline=0.2, difference=0.02, guardrail="refund:share:0.01")
    assert any(c.code == "guardrail" for c in unsized.cautions)


def test_real_data_cookie_cats():
    source = str(shared("data/experiments/cookie_cats.csv"))
    answer = plan(table=source, metric="retention_7:share", group="version", control="gate_30", difference=-0.0082)
    assert answer.extra["plan"]["baseline"] == pytest.approx(0.190201, abs=1e-6)
    assert 35_000 < size(answer)["value"] < 36_000
    assert seen(answer)["value"] == pytest.approx(-0.0073, abs=2e-4)


def test_few_clusters_and_long_tests_are_said():
    few = plan(effect=0.8, icc=0.3, cluster_size=50)
    assert any(c.code == "clusters" and "permutes" in c.text for c in few.cautions)
    rare = plan(baseline=0.0005, difference=0.05)
    assert any(c.code == "small-cells" for c in rare.cautions)
    assert "not known" in plan(effect=0.2, metric="y:mean", covariate="x").cautions[0].text
    assert plan(effect=1e-8).recommendation.verdict == "do-not-act"


BAD = [
    ({"baseline": 0.2, "difference": 0}, "usage.value"),
    ({"baseline": 0.2, "lift": 0.0}, "usage.value"),
    ({"effect": 0, "sd": 1}, "usage.value"),
    ({"baseline": 1.2, "difference": 0.1}, "usage.value"),
    ({"baseline": -0.1, "difference": 0.2}, "usage.value"),
    ({"baseline": 0.9, "difference": 0.2}, "usage.value"),
    ({"baseline": 0.6, "lift": 1.0}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "power": 1}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "power": 0.01}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "alpha": 2}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "alpha": 0}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "looks": 0}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "looks": 3, "anytime": True}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "arms": 1}, "usage.value"),
    ({"baseline": 0.2, "difference": 0.1, "lift": 0.1}, "usage.value"),
    ({"baseline": 0.2, "difference": math.nan}, "usage.value"),
    ({"effect": 1, "sd": 0}, "usage.value"),
    ({"effect": 1, "sd": -2}, "usage.value"),
    ({"effect": 1, "r2": 1.0}, "usage.value"),
    ({"effect": 1, "icc": 1.5, "cluster_size": 3}, "usage.value"),
    ({"effect": 1, "shares": "A=.5,B=.7"}, "usage.value"),
    ({"baseline": 0.2, "size": 1}, "usage.value"),
    ({"metric": "x:share", "baseline": 0.2, "sd": 1, "difference": 0.1}, "usage.value"),
    ({"baseline": 0.2}, "usage.option"),
    ({"difference": 0.1}, "usage.option"),
    ({"lift": 0.1, "sd": 1}, "usage.option"),
    ({"metric": "x:mean", "baseline": 20, "difference": 1}, "usage.option"),
    ({"effect": 1, "icc": 0.1}, "usage.option"),
    ({"effect": 1, "time": "day"}, "usage.option"),
    ({"effect": 1, "cluster": "village"}, "usage.option"),
    ({"effect": 1, "out": "PLAN.json"}, "usage.option"),
    ({"metric": "x:q90", "effect": 1}, "usage.metric"),
    ({"metric": "x:sum", "effect": 1}, "usage.metric"),
    ({"effect": 1, "guardrail": "x:share"}, "usage.metric"),
    ({"baseline": "0.2", "difference": 0.1}, "usage.type"),
    ({"baseline": 0.2, "difference": 0.1, "looks": 2.5}, "usage.type"),
    ({"baseline": 0.2, "difference": True}, "usage.type"),
]


@pytest.mark.parametrize(("options", "code"), BAD, ids=[str(o) for o, _ in BAD])
def test_bad_options(options, code):
    with pytest.raises(UsageError) as caught:
        plan(**options)
    assert caught.value.code == code and caught.value.exit_code == 2


def test_bad_tables(past):
    with pytest.raises(NotFound, match="spendd"):
        plan(table=past, metric="spendd", lift=0.1)
    with pytest.raises(UsageError):
        plan(table=past, difference=0.1)
    with pytest.raises(DataError, match="same value"):
        plan(table=pa.table({"x": [3.0] * 9}), metric="x", difference=1)
    with pytest.raises(DataError) as caught:
        plan(table=past, metric="spend", lift=0.1, time="segment")
    assert caught.value.code == "data.column-type"
    with pytest.raises(DataError) as caught:
        plan(table=past, metric="spend", lift=0.1, unit="user", cluster="user")
    assert caught.value.code == "data.too-few-rows"
    with pytest.raises(NotFound, match="no label"):
        plan(table=past, metric="spend", lift=0.1, group="arm", control="older")
    with pytest.raises(DataError):
        plan(table=pa.table({"x": ["a", "b", "c"]}), metric="x", lift=0.1)
