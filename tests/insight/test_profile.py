"""Profile: what is found, how it is said, and that it is fast."""

from __future__ import annotations

import json
import time

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.errors import NotFound
from ambidex.insight.profile import profile
from ambidex.report.answer import Answer
from support import shared


@pytest.fixture(scope="module")
def telco() -> Answer:
    return profile(read(shared("data/churn/telco_customer_churn.csv")), target="Churn")


def test_telco(telco: Answer) -> None:
    assert telco.headline == "7,043 rows, 21 columns; 3 things to look at first"
    data = telco.to_dict()
    assert (data["rows"], len(data["columns"]), data["duplicates"]) == (7043, 21, 0)
    columns = {c["name"]: c for c in data["columns"]}
    assert set(columns["Churn"]) == {"name", "type", "role", "missing", "unique", "problems"}
    assert (columns["Churn"]["role"], columns["customerID"]["role"]) == ("target", "id")
    texts = [c.text for c in telco.cautions]
    assert "`TotalCharges` holds 11 blank cells, first on line 490; read as missing." in texts
    assert "22 rows repeat an earlier one once `customerID` is left out." in texts
    assert telco.strength == "strong"
    assert "clean" not in json.dumps(data, allow_nan=False).lower()


def test_every_column_alone_against_the_target(telco: Answer) -> None:
    by_name = {e.name: e for e in telco.estimates}
    assert [e.value for e in telco.estimates] == sorted(by_name[e.name].value for e in telco.estimates)[::-1]
    assert telco.estimates[0].name in ("Contract", "tenure")
    assert 0.72 < by_name["Contract"].value < 0.75
    assert by_name["gender"].low < 0.5 < by_name["gender"].high or by_name["gender"].value < 0.52
    assert "customerID" not in by_name and "Churn" not in by_name
    figure = telco.findings[0].figure
    assert figure is not None and figure.form == "interval-dots"
    assert all(r["low"] <= r["value"] <= r["high"] for r in figure.rows)


def test_record_and_next(telco: Answer) -> None:
    record = telco.record
    assert set(record) >= {"fingerprint", "rows", "options", "seed", "versions", "command", "origin"}
    assert record["command"].endswith("telco_customer_churn.csv --target Churn")
    assert record["options"] == {"target": "Churn"}
    assert telco.next == (record["command"].replace("profile", "drivers", 1),)


def test_telco_within_two_seconds() -> None:
    path = shared("data/churn/telco_customer_churn.csv")
    profile(read(path))
    before = time.process_time()
    profile(read(path), target="Churn")
    assert time.process_time() - before < 2  # measured 0.2


def test_pure_noise_is_seldom_told_apart() -> None:
    rng = np.random.default_rng(1)
    told = 0
    for _ in range(20):
        columns = {f"noise{i}": rng.normal(size=600) for i in range(6)}
        columns |= {f"label{i}": rng.integers(0, 30, 600).astype(str) for i in range(6)}
        answer = profile(read(pa.table({**columns, "y": rng.integers(0, 2, 600).astype(str)})), target="y")
        told += sum(e.low > 0.5 for e in answer.estimates)
    assert told <= 21  # 240 columns at 5%: 12 expected, 21 is the 99.5% point


def test_a_leak_is_named_first() -> None:
    rng = np.random.default_rng(2)
    y = rng.integers(0, 2, 300)
    answer = profile(read(pa.table({"refunded": y, "age": rng.integers(18, 80, 300), "churned": y})), target="churned")
    assert answer.cautions[0].code == "leak" and "`refunded`" in answer.cautions[0].text
    assert "`refunded`" in answer.recommendation.text


def test_straight_lines_and_twins_and_constants() -> None:
    rng = np.random.default_rng(3)
    minutes = rng.random(200)
    plan = np.where(minutes > 0.5, "a", "b")
    arrow = pa.table(
        {
            "minutes": minutes,
            "charge": minutes * 0.17,
            "plan": plan,
            "tier": np.where(plan == "a", "1st", "2nd"),
            "k": ["x"] * 200,
        }
    )
    codes = {c.code: c.text for c in profile(read(arrow)).cautions}
    assert "`charge` and `minutes`" in codes["proportional"]
    assert "`tier` and `plan`" in codes["twins"]
    assert "`k` has one value in all 200 rows" in codes["constant"]


@pytest.mark.parametrize(
    ("target", "code"),
    [
        (["0"] * 50, "target-constant"),
        ([None] * 50, "target-constant"),
        (["1", "1"] + ["0"] * 48, "target-few"),
        (["1"] + ["0"] * 49, "target-few"),
        ([None] * 5 + ["a", "b"] * 22 + ["a"], "target-missing"),
    ],
)
def test_odd_targets_are_cautions_of_a_profile(target: list[str | None], code: str) -> None:
    arrow = pa.table({"x": list(range(50)), "z": [1.5, 2.5] * 25, "y": pa.array(target, pa.string())})
    answer = profile(read(arrow), target="y")
    assert code in [c.code for c in answer.cautions]
    json.dumps(answer.to_dict(), allow_nan=False)


def test_a_number_as_target_is_cut_at_its_median() -> None:
    answer = profile(read(shared("data/streams/kc_house_sales.csv")), target="price")
    assert "price above 450,000" in (answer.findings[0].title)


def test_one_row_and_nothing_found() -> None:
    one = profile(read(pa.table({"a": [1]})))
    assert one.recommendation.verdict == "not-enough-evidence"
    rng = np.random.default_rng(4)
    answer = profile(read(pa.table({"a": rng.normal(size=60), "b": rng.normal(size=60)})))
    assert answer.headline == "60 rows, 2 columns; these checks found nothing to look at"
    assert "does not prove" in answer.recommendation.text


def test_no_such_target() -> None:
    with pytest.raises(NotFound, match="did you mean `Churn`"):
        profile(read(pa.table({"Churn": ["a"]})), target="churn")
