"""``experiment``: units, clusters, covariates, exposure, groups of customers, time; and the checks that decide."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ambidex
from ambidex.errors import DataError, UsageError
from ambidex.insight.experiment import experiment
from ambidex.insight.experiment_checks import pick_control
from ambidex.insight.experiment_words import odds
from ambidex.report.answer import Answer, Check
from ambidex.stats.estimate import Estimate

Any_ = dict[str, Any]


def the(answer: Answer, kind: str = "difference", **labels: Any) -> Estimate:
    (found,) = [
        e for e in answer.estimates if e.kind == kind and all(getattr(e, k) == v for k, v in labels.items())
    ]  # fmt: skip
    return found


def check(answer: Answer, name: str) -> Check:
    return next(c for c in answer.checks if c.name == name)


def said(answer: Answer, code: str) -> str:
    return " ".join(c.text for c in answer.cautions if c.code == code)


def shop(rows: int = 2_000, seed: int = 0, **columns: Any) -> pa.Table:
    """Two arms, spend after and before the start, a page that agrees with the arm."""
    rng = np.random.default_rng(seed)
    arm = rng.permutation(np.repeat(["A", "B"], rows // 2))
    before = rng.gamma(2, 5, rows)
    made = {
        "arm": arm,
        "spend": before + rng.normal(0, 2, rows) + 0.4 * (arm == "B"),
        "before": before,
        "country": rng.choice(["DE", "FR", "US"], rows),
        "page": arm,
    }
    return pa.table({**made, **columns})


def villages(count: int, each: int = 20, seed: int = 1, effect: float = 0.0, inside: bool = False) -> pa.Table:
    rng = np.random.default_rng(seed)
    village = np.repeat(np.arange(count), each)
    arm = np.arange(len(village)) % 2 if inside else (np.arange(count) % 2)[village]
    y = rng.normal(0, 1, count)[village] + rng.normal(0, 1, len(village)) + effect * arm
    return pa.table({"arm": np.where(arm == 1, "B", "A"), "y": y, "village": [f"v{v}" for v in village]})


# ---------------------------------------------------------------- clusters


def test_clusters_widen_the_interval_and_the_other_is_shown_beside() -> None:
    source = villages(60, effect=1.0)
    rows = experiment(source, group="arm", metric="y")
    answer = experiment(source, group="arm", metric="y", cluster="village")
    naive, e = the(rows), the(answer)
    assert e.value == pytest.approx(naive.value) and e.high - e.low > 2 * (naive.high - naive.low)
    assert e.method == "CR1, t(59), 60 clusters" and "times as wide" in said(answer, "clustered")
    assert check(answer, "clusters").passed and check(answer, "srm").text.startswith("A 30 : B 30 clusters")
    # Without --cluster the column by which the arms were dealt is found.
    assert not check(rows, "unit").passed and "--cluster village" in said(rows, "unit") and rows.strength != "strong"
    arms = {r["arm"]: r for r in answer.tables["arms"]}
    plain = {r["arm"]: r for r in rows.tables["arms"]}
    assert arms["A"]["high"] - arms["A"]["low"] > 2 * (plain["A"]["high"] - plain["A"]["low"])


def test_few_clusters_are_permuted_and_too_few_stay_open() -> None:
    some = experiment(villages(12, effect=3.0), group="arm", metric="y", cluster="village")
    assert "permutation of 12 clusters" in the(some).method and some.verdicts[0].outcome == "supported"
    few = experiment(villages(4, effect=9.0), group="arm", metric="y", cluster="village")
    assert few.verdicts[0].outcome == "open" and not check(few, "clusters").passed
    assert few.recommendation.verdict == "not-enough-evidence" and "stays open" in said(few, "clusters")
    assert the(few).to_dict()["low"] is None and the(few).p_value is None


def test_an_arm_that_varies_inside_clusters_is_said() -> None:
    answer = experiment(villages(50, inside=True, effect=0.5), group="arm", metric="y", cluster="village")
    assert "varies inside 50 of 50" in said(answer, "arm-inside-clusters")
    rows = experiment(villages(50, inside=True, effect=0.5), group="arm", metric="y")
    assert the(answer).high - the(answer).low < the(rows).high - the(rows).low  # the village's level cancels


def test_clusters_with_ratio_share_covariates_and_quantile() -> None:
    rng = np.random.default_rng(4)
    source = villages(60, effect=0.5)
    views = rng.integers(5, 20, source.num_rows)
    y = source["y"].to_numpy()
    before = y + rng.normal(0, 0.3, len(y))
    source = pa.table(
        {
            **{n: source[n] for n in source.column_names},
            "views": views,
            "clicks": rng.binomial(views, 0.3),
            "won": (y > 0.5).astype(int),
            "before": before,
        }
    )
    answer = experiment(
        source, group="arm", metric=["clicks/views", "won", "y:q75"], cluster="village", control="A"
    )  # fmt: skip
    assert {e.kind for e in answer.estimates} == {"difference", "relative"}
    assert all(np.isfinite(e.low) and np.isfinite(e.high) for e in answer.estimates)
    plain = the(experiment(source, group="arm", metric="y", cluster="village"))
    adjusted = the(experiment(source, group="arm", metric="y", cluster="village", covariate="before"))
    assert adjusted.adjusted and adjusted.high - adjusted.low < 0.7 * (plain.high - plain.low)


@pytest.mark.parametrize(
    ("options", "error", "code"),
    [
        ({"cluster": "user", "unit": "user"}, UsageError, "usage.value"),
        ({"cluster": "user"}, DataError, "data.cluster"),
        ({"cluster": "arm"}, UsageError, "usage.value"),
        ({"cluster": "vilage"}, DataError, "data.no-column"),
        ({"covariate": "spend"}, UsageError, "usage.value"),
        ({"covariate": "arm"}, UsageError, "usage.value"),
        ({"covariate": 3}, UsageError, "usage.type"),
        ({"by": "spend"}, UsageError, "usage.value"),
        ({"by": "user"}, DataError, "data.column-type"),
        ({"by": "one"}, DataError, "data.column-type"),
        ({"time": "country"}, DataError, "data.column-type"),
        ({"exposure": "arm"}, UsageError, "usage.value"),
        ({"exposure": "pge"}, DataError, "data.no-column"),
        ({"shares": "A=-.5,B=1.5"}, UsageError, "usage.value"),
        ({"metric": "spend:q0"}, UsageError, "usage.metric"),
        ({"metric": "spend:q100"}, UsageError, "usage.metric"),
        ({"metric": "country=XX:share"}, DataError, "data.no-label"),
        ({"metric": "country:share"}, DataError, "data.column-type data.metric-values"),
        ({"metric": "two:share"}, DataError, "data.column-type data.metric-values"),
    ],
)
def test_designs_that_cannot_be(options: Any_, error: type[Exception], code: str) -> None:
    source = shop(user=[f"u{i}" for i in range(2_000)], one=["x"] * 2_000, two=["tea", "milk"] * 1_000)
    with pytest.raises(error) as raised:
        experiment(source, **{"group": "arm", "metric": "spend", **options})
    assert raised.value.code in code.split()  # type: ignore[attr-defined]  # both kinds have one


def test_few_clusters_without_any_spread_in_an_arm() -> None:
    """A ratio whose clusters are all alike in what is permuted: open, not an error."""
    source = villages(8)
    flat = source.append_column("one", pa.array(np.where(np.array(source["arm"].to_pylist()) == "A", 1.0, 2.0)))
    flat = flat.append_column("rows", pa.array(np.ones(source.num_rows)))
    answer = experiment(flat, group="arm", metric="one/rows", secondary="y", cluster="village")
    assert answer.verdicts[0].outcome == "open" and "no interval" in answer.recommendation.text


def test_units_without_a_cluster_are_left_out_and_counted() -> None:
    source = villages(50)
    names = [None if i < 7 else v for i, v in enumerate(source["village"].to_pylist())]
    answer = experiment(source.set_column(2, "village", pa.array(names)), group="arm", metric="y", cluster="village")
    assert the(answer).n == 993 and "7 units" in said(answer, "cluster")
    assert sum(a["units"] for a in answer.extra["arms"]) == 993


# ---------------------------------------------------------------- covariates


def test_what_was_known_before_narrows_the_interval() -> None:
    source = shop(seed=1)
    plain, adjusted = (the(experiment(source, group="arm", metric="spend", covariate=c)) for c in ((), "before"))
    assert adjusted.adjusted and adjusted.high - adjusted.low < 0.5 * (plain.high - plain.low)
    assert adjusted.low < 0.4 < adjusted.high
    strata = experiment(source, group="arm", metric="spend", covariate=["before", "country"])
    assert check(strata, "balance").passed and "country" in strata.method
    # The levels in words are the adjusted ones, so that they differ by the difference.
    assert "before adjustment" in strata.findings[-1].title


def test_a_covariate_that_the_treatment_moved_is_told() -> None:
    source = shop()
    after = source["spend"].to_numpy() + 3 * (np.array(source["arm"].to_pylist()) == "B")
    answer = experiment(
        source.append_column("visits", pa.array(after)), group="arm", metric="spend", covariate="visits"
    )
    balance = check(answer, "balance")
    assert not balance.passed and balance.value is not None and balance.value < 0.01
    assert "measured after the start" in said(answer, "balance") and not answer.passed
    assert answer.recommendation.verdict == "cannot-answer" and "--covariate" not in answer.next[0]


def test_balance_holds_for_whole_clusters_of_different_kinds() -> None:
    source = villages(60)
    rng = np.random.default_rng(9)
    rain = rng.normal(0, 1, 60)[np.repeat(np.arange(60), 20)]
    answer = experiment(
        source.append_column("rain", pa.array(rain)), group="arm", metric="y", cluster="village", covariate="rain"
    )
    assert check(answer, "balance").passed  # by rows it would be far from balanced


def test_a_covariate_that_does_not_vary_changes_nothing() -> None:
    source = shop(flat=np.ones(2_000))
    answer = experiment(source, group="arm", metric="spend", covariate="flat")
    assert the(answer).value == pytest.approx(the(experiment(source, group="arm", metric="spend")).value)
    assert "not-adjusted" in {c.code for c in answer.cautions}


# ---------------------------------------------------------------- exposure, two arms, missing


def test_exposure_is_compared_with_the_arm() -> None:
    source = shop()
    assert check(experiment(source, group="arm", metric="spend", exposure="page"), "exposure").passed
    some = ["B" if i < 20 else a for i, a in enumerate(source["arm"].to_pylist())]
    off = sum(a != b for a, b in zip(some, source["arm"].to_pylist(), strict=True))
    few = experiment(shop(page=some), group="arm", metric="spend", exposure="page")
    assert not check(few, "exposure").passed and check(few, "exposure").value == off and few.passed
    assert "assigned to" in said(few, "exposure") and few.strength != "strong"
    many = ["B" if i < 600 else a for i, a in enumerate(source["arm"].to_pylist())]
    stopped = experiment(shop(page=many), group="arm", metric="spend", exposure="page")
    assert stopped.recommendation.verdict == "cannot-answer" and stopped.verdicts == ()
    assert np.isfinite(the(stopped).value)


def test_exposure_by_other_names_and_none() -> None:
    arm = shop()["arm"].to_pylist()
    page = [None if i % 5 == 0 else {"A": "old", "B": "new"}[a] for i, a in enumerate(arm)]
    answer = experiment(shop(page=page), group="arm", metric="spend", exposure="page")
    assert check(answer, "exposure").passed and "400 units" in said(answer, "not-exposed")
    same = experiment(shop(page=["old"] * 2_000), group="arm", metric="spend", exposure="page")
    assert same.recommendation.verdict == "cannot-answer" and "saw" in same.headline


def test_many_units_in_two_arms_stop_the_verdict() -> None:
    rng = np.random.default_rng(2)
    for crossed, stops in ((10, False), (150, True)):
        user = np.r_[np.arange(1_000), np.arange(crossed)]
        arm = np.r_[np.arange(1_000) % 2, (np.arange(crossed) + 1) % 2]
        source = pa.table({"arm": np.where(arm, "B", "A"), "user": user, "y": rng.normal(size=len(user))})
        answer = experiment(source, group="arm", metric="y", unit="user")
        assert (answer.recommendation.verdict == "cannot-answer") == stops
        assert check(answer, "two-arms").value == crossed and not check(answer, "two-arms").passed


def test_outcomes_missing_by_arm() -> None:
    for share, verdict in ((0.0, True), (0.03, True), (0.3, False)):
        spend = shop()["spend"].to_pylist()
        arm = shop()["arm"].to_pylist()
        rng = np.random.default_rng(3)
        lost = [None if a == "B" and rng.random() < share else s for a, s in zip(arm, spend, strict=True)]
        answer = experiment(shop(spend=lost), group="arm", metric="spend")
        assert answer.passed == verdict
        if share:
            assert not check(answer, "missing spend").passed and answer.strength != "strong"
    alike = [None if i % 4 == 0 else s for i, s in enumerate(shop()["spend"].to_pylist())]
    answer = experiment(shop(spend=alike), group="arm", metric="spend")
    assert check(answer, "missing spend").passed and answer.passed


# ---------------------------------------------------------------- repeated rows


def test_copies_of_every_row_stop_the_verdict() -> None:
    source = shop(400)
    five = pa.concat_tables([source] * 5)
    answer = experiment(five, group="arm", metric="spend")
    assert check(answer, "copies").value == 5 and answer.recommendation.verdict == "cannot-answer"
    assert "5 times" in said(answer, "copies") and answer.verdicts == () and not check(answer, "unit").passed
    round_ = pa.table({"arm": np.repeat(["A", "B"], 500), "y": np.tile(np.arange(50), 20)})
    regular = experiment(round_, group="arm", metric="y")
    assert not check(regular, "copies").passed and regular.passed and regular.strength != "strong"
    assert "copies" not in {c.name for c in experiment(source, group="arm", metric="spend").checks}
    few = pa.table({"arm": ["A", "B"] * 200, "paid": [0, 1, 1, 0] * 100})  # four kinds of rows, alike by nature
    assert experiment(few, group="arm", metric="paid").passed


def test_a_column_by_which_arms_were_dealt_is_found_without_a_name() -> None:
    rng = np.random.default_rng(6)
    school = np.repeat(np.arange(40), 25)
    arm = np.where(school % 2, "B", "A")
    source = pa.table(
        {"arm": arm, "y": rng.normal(size=1_000), "school": [f"s{s}" for s in school], "row": np.arange(1_000)}
    )
    assert "--cluster school" in said(experiment(source, group="arm", metric="y"), "unit")
    dealt = source.set_column(0, "arm", pa.array(rng.permutation(arm)))
    assert check(experiment(dealt, group="arm", metric="y"), "unit").passed


# ---------------------------------------------------------------- quantiles, labels, extremes


def test_a_quantile_by_unit() -> None:
    rng = np.random.default_rng(8)
    arm = np.repeat(["A", "B"], 1_500)
    y = rng.gamma(2, 100, 3_000) * np.where(arm == "B", 1.3, 1.0)
    source = pa.table({"arm": arm, "ms": y, "user": [f"u{i // 3}" for i in range(3_000)]})
    answer = experiment(source, group="arm", metric="ms:q90")
    e, lift = the(answer), the(answer, "relative")
    want = np.quantile(y[1_500:], 0.9) - np.quantile(y[:1_500], 0.9)
    assert e.value == pytest.approx(want) and e.low < want < e.high and 0.1 < lift.low < 0.3 < lift.high
    assert e.name == "ms (q90)" and answer.record["seed"] is not None
    assert "bootstrap" in the(experiment(source, group="arm", metric="ms:q90", unit="user")).method


def test_the_share_of_a_label() -> None:
    rng = np.random.default_rng(9)
    arm = rng.permutation(np.repeat(["A", "B"], 300))
    plan = np.where(rng.random(600) < np.where(arm == "B", 0.5, 0.3), "gold", rng.choice(["tin", "wood"], 600))
    answer = experiment(pa.table({"arm": arm, "plan": plan}), group="arm", metric="plan=gold:share")
    assert the(answer).value == pytest.approx((plan[arm == "B"] == "gold").mean() - (plan[arm == "A"] == "gold").mean())
    paid = pa.table({"arm": arm, "paid": np.where(plan == "gold", "Did pay", "Did not pay")})
    same = experiment(paid, group="arm", metric="paid:share")
    assert the(same).value == the(answer).value and "'Did pay'" in said(same, "yes")


def test_both_results_are_shown_where_extremes_carry_one() -> None:
    rng = np.random.default_rng(1)
    spend = rng.normal(10, 1, 4_000)
    spend[2_000:] -= 0.4
    spend[3_998:] += 4_000
    answer = experiment(pa.table({"arm": np.repeat(["A", "B"], 2_000), "spend": spend}), group="arm", metric="spend")
    text = said(answer, "outliers")
    assert "As measured" in text and "capped at" in text and "a clear fall" in text and "not clear" in text
    rows = answer.tables["extremes capped"]
    assert [r["verdict"] for r in rows] == ["not clear", "a clear fall"] and rows[1]["high"] < 0


def test_extremes_of_a_ratio() -> None:
    rng = np.random.default_rng(2)
    sessions = rng.poisson(3, 4_000) + 1
    revenue = sessions * rng.gamma(2, 5, 4_000)
    revenue[2_000:] *= 0.9
    revenue[3_998:] += 9_000
    source = pa.table({"arm": np.repeat(["A", "B"], 2_000), "revenue": revenue, "sessions": sessions})
    answer = experiment(source, group="arm", metric="revenue/sessions")
    assert "carry the result" in said(answer, "outliers") and "a clear fall" in said(answer, "outliers")
    calm = source.set_column(1, "revenue", pa.array(np.where(revenue > 900, 30.0, revenue)))
    assert not said(experiment(calm, group="arm", metric="revenue/sessions"), "outliers")


# ---------------------------------------------------------------- groups of customers


def segments(seed: int = 0, only: bool = False, rows: int = 6_000) -> pa.Table:
    rng = np.random.default_rng(seed)
    arm, segment = rng.permutation(np.repeat(["A", "B"], rows // 2)), rng.integers(0, 6, rows)
    effect = np.where(segment == 2, 1.0, 0.0) if only else 0.5
    y = rng.normal(10, 2, rows) + effect * (arm == "B")
    return pa.table({"arm": arm, "y": y, "segment": [f"s{s}" for s in segment], "age": rng.integers(18, 80, rows)})


def test_a_group_is_named_only_if_groups_differ() -> None:
    differ = experiment(segments(only=True), group="arm", metric="y", by="segment")
    (finding,) = [f for f in differ.findings if "differs between groups" in f.title]
    assert "a rise in s2 (" in finding.title and not any(f"s{i} (" in finding.title for i in (0, 1, 3, 4, 5))
    alike = experiment(segments(), group="arm", metric="y", by=["segment", "age"])
    (finding,) = [f for f in alike.findings if "groups of" in f.title]
    assert finding.title.startswith("No sign that the effect") and "segment or age" in finding.title
    slices = [e for e in alike.estimates if e.category is not None]
    assert len(slices) == 6 + 4 and all(e.q_value is not None for e in slices)
    assert {e.name for e in slices} == {"y by segment", "y by age"}
    assert len(alike.tables["groups"]) == 10
    json.dumps(alike.to_dict(), allow_nan=False)


def test_small_groups_are_left_out_and_said() -> None:
    source = segments()
    names = ["tiny" if i < 30 else s for i, s in enumerate(source["segment"].to_pylist())]
    answer = experiment(source.set_column(2, "segment", pa.array(names)), group="arm", metric="y", by="segment")
    assert "tiny" in said(answer, "small-groups")
    assert "tiny" not in {e.category for e in answer.estimates}


# ---------------------------------------------------------------- time


def visits(fading: bool, seed: int = 5) -> pa.Table:
    rng = np.random.default_rng(seed)
    users, days = 600, np.arange(0, 20, 4)
    user = np.repeat(np.arange(users), len(days))
    age = np.tile(days, users)
    arm = (user % 2).astype(bool)
    effect = 2.0 * np.exp(-age / 5) if fading else 0.8
    start = np.datetime64("2026-03-01") + rng.integers(0, 7, users)[user].astype("timedelta64[D]")
    return pa.table(
        {
            "arm": np.where(arm, "B", "A"),
            "user": user,
            "when": start + age.astype("timedelta64[D]"),
            "y": rng.normal(0, 1, users)[user] + rng.normal(10, 1, len(user)) + effect * arm,
        }
    )


def test_an_effect_that_wears_off() -> None:
    fading = experiment(visits(True), group="arm", metric="y", unit="user", time="when")
    assert not check(fading, "novelty").passed and "fades" in said(fading, "novelty") and fading.strength != "strong"
    figure = next(f.figure for f in fading.findings if "fades" in f.title)
    assert figure is not None and [r["label"] for r in figure.rows] == [f"day {d}" for d in (0, 4, 8, 12, 16)]
    steady = experiment(visits(False, seed=6), group="arm", metric="y", unit="user", time="when")
    assert check(steady, "novelty").passed and any("No sign" in f.title for f in steady.findings)


def test_effect_by_day_of_entry_where_each_unit_has_one_row() -> None:
    source = visits(False).slice(0, 3_000).drop_columns(["user"])
    answer = experiment(source, group="arm", metric="y", time="when")
    assert "days since the first `when`" in check(answer, "novelty").text


# ---------------------------------------------------------------- words, record, the public door


def test_bare_labels_are_named_with_their_column() -> None:
    source = pa.table({"treat": [0, 1] * 200, "y": np.random.default_rng(0).normal(size=400) + [0, 1] * 200})
    answer = experiment(source, group="treat", metric="y")
    assert " with treat 1 " in answer.headline and "Use treat 1" in answer.recommendation.text
    assert (the(answer).arm, the(answer).control) == ("1", "0") and "treat 1" in answer.question
    labels = ["Default is to buy", "Default is to not buy"]
    assert pick_control(labels, None, "d")[0] == labels[1]


def test_no_p_value_stands_on_the_page_before_the_details() -> None:
    source = shop(country=["x"] * 1_200 + ["y"] * 800)
    answer = experiment(source, group="arm", metric="spend", covariate="before", exposure="page")
    for f in answer.findings:
        assert "p = " not in f.title + f.text + f.how_sure + f.so_what and "p <" not in f.how_sure
    texts = [c.text for c in answer.cautions] + [c.text for c in answer.checks]
    assert not any("p = " in t or "p < " in t for t in texts)
    assert odds(0.0086) == "chance does this in 1 of 116 tests"
    assert answer.findings[0].title != answer.headline


def test_the_record_leaves_defaults_out_and_asks_the_same_again() -> None:
    source = shop()
    answer = experiment(source, group="arm", metric=["spend"], covariate=["before", "country"], by="country")
    options = answer.record["options"]
    assert "alpha" not in options and "--alpha" not in answer.record["command"]
    again = experiment(source, **options)
    assert json.dumps(again.to_dict()) == json.dumps(answer.to_dict())
    assert experiment(source, group="arm", metric="spend", alpha=0.01).record["options"]["alpha"] == 0.01


def test_specs_that_say_the_same_are_one_metric() -> None:
    answer = experiment(shop(), group="arm", metric=["spend", "spend:mean"], guardrail="spend:mean:-2")
    assert [e.name for e in answer.estimates] == ["spend", "spend"] and len(answer.verdicts) == 2


def test_the_public_verb_takes_every_option() -> None:
    answer = ambidex.experiment(
        visits(False), group="arm", metric="y", unit="user", time="when", control="A", shares="unknown", alpha=0.1,
        secondary="y:q75", guardrail="y:mean:-1",
    )  # fmt: skip
    assert answer.passed and {"novelty", "srm", "unit", "looks"} <= {c.name for c in answer.checks}
    clustered = ambidex.experiment(villages(50), group="arm", metric="y", cluster="village", anytime=True)
    assert clustered.verdicts[0].outcome == "open" and clustered.verdicts[0].claim.looks == "anytime"


def test_what_an_interval_leans_on_is_said() -> None:
    few = experiment(pa.table({"arm": [*"AAABB"], "y": [1.2, 2.1, 3.3, 9.1, 8.7]}), group="arm", metric="y")
    assert "B has 2 units" in said(few, "few-units") and few.strength != "strong"
    arm = ["A", "B"] * 200
    flat = pa.table({"arm": arm, "y": [5.0 * (i % 8 == 1) for i in range(400)]})
    answer = experiment(flat, group="arm", metric="y")
    assert "for all 200 units of A" in said(answer, "constant-arm") and answer.strength != "strong"
    rare = pa.table({"arm": ["A", "B"] * 1000, "y": [40.0 + i % 7 if i % 100 < 2 else 0.0 for i in range(2000)]})
    answer = experiment(rare, group="arm", metric="y:mean")
    assert "only 20 units of A are not zero" in said(answer, "few-units") and answer.strength != "strong"
    ties = pa.table({"arm": arm, "y": [(i // 2) % 3 for i in range(400)]})
    answer = experiment(ties, group="arm", metric="y:q50")
    assert (the(answer).low, the(answer).high) == (0, 0)
    assert "no width" in said(answer, "ties")
    assert "ties" not in {c.code for c in experiment(shop(), group="arm", metric="spend:q50").cautions}


def test_few_deals_of_clusters_are_the_reason_why_it_stays_open() -> None:
    answer = experiment(villages(6, effect=3), group="arm", metric="y", cluster="village")
    assert answer.verdicts[0].outcome == "open" and answer.verdicts[0].needed is None
    assert "too few ways" in said(answer, "clusters") and "6 clusters" in answer.recommendation.text


def test_a_guardrail_that_watches_the_other_side_is_told() -> None:
    arm, n = ["A", "B"] * 1000, 2000
    buy, back = [int(i % 10 < 2 + (i % 2)) for i in range(n)], [i % 2 * (i % 3 == 0) for i in range(n)]
    table = pa.table({"arm": arm, "buy": buy, "back": back})
    wrong = experiment(table, group="arm", metric="buy:share", guardrail="back:share:-0.01")
    assert "watches for a fall only" in said(wrong, "guardrail-side") and "as 0.01" in said(wrong, "guardrail-side")
    right = experiment(table, group="arm", metric="buy:share", guardrail="back:share:0.01")
    assert not said(right, "guardrail-side")


def test_a_lift_too_small_to_show_is_not_shown_as_nothing() -> None:
    rng = np.random.default_rng(0)
    y = 1e9 + rng.normal(0, 1, 400) + 0.5 * (np.arange(400) % 2)
    answer = experiment(pa.table({"arm": ["A", "B"] * 200, "y": y}), group="arm", metric="y")
    assert "0.0%" not in " ".join(f.title for f in answer.findings)


def test_a_stopped_answer_names_the_command_that_may_answer() -> None:
    rng = np.random.default_rng(1)
    user = np.repeat(np.arange(300), rng.integers(1, 9, 300))
    table = pa.table(
        {"user_id": [f"u{u}" for u in user], "arm": np.where(user < 100, "A", "B"), "y": rng.random(len(user))}
    )
    answer = experiment(table, group="arm", metric="y")
    assert not answer.passed and answer.next[0].endswith("--unit user_id")


def test_with_a_margin_the_units_are_those_that_show_the_same() -> None:
    rng = np.random.default_rng(5)
    table = pa.table({"arm": ["A", "B"] * 1000, "y": rng.normal(5, 2, 2000)})
    answer = experiment(table, group="arm", metric="y", margin=0.05)
    assert answer.recommendation.verdict == "not-enough-evidence"
    assert "would tell whether it is within 0.05" in answer.recommendation.text
