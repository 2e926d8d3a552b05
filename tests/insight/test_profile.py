"""Profile: what is found, how it is said, and that it is fast."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.cli import render
from ambidex.data import lazy
from ambidex.data.read import read
from ambidex.errors import NotFound
from ambidex.insight.drivers import drivers
from ambidex.insight.profile import profile
from ambidex.insight.segments import segments
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


@pytest.mark.parametrize(
    ("path", "target", "said"),
    [
        ("churn/telco_customer_churn.csv", "Churn", [
            ("adds-up", "`TotalCharges` is close to `tenure` × `MonthlyCharges`"),
            ("same-rows", "`InternetService` = No, `OnlineSecurity` = No internet service"),
            ("two-spellings-of-yes", "`SeniorCitizen` writes yes and no as 1 and 0"),
        ]),
        ("churn/uci_credit_card_default.csv", None, [
            ("zero-unlikely", "`EDUCATION` is 0 in 14 rows"),
            ("zero-unlikely", "5 in 280, 6 in 51"),
            ("zero-unlikely", "`MARRIAGE` is 0 in 54 rows"),
            ("repeats-without-id", "35 rows repeat"),
        ]),
        ("campaigns/bank_additional_full.csv", "y", [
            ("sentinel", "`pdays` is 999 in 39,673 rows"),
            ("after-the-fact", "`duration` alone tells `y` well (AUC 0.82)"),
            ("disguised-missing", "`default` writes `unknown` 8,597 times"),
            ("duplicate-rows", "12 rows repeat"),
        ]),
        ("segments/online_retail.parquet", None, [
            ("shifted-dates", "+12 years"),
            ("cancellations", "9,288 of 541,909"),
            ("non-product-codes", "POST 1,256, DOT 710, M 571"),
            ("negative", "`Quantity` is below 0 in 10,624 rows"),
            ("missing", "`CustomerID` has no value in 135,080"),
            ("duplicate-rows", "5,268 rows"),
            ("mis-encoded", "`Description` holds 32 texts"),
            ("last-period", "ends on 2023-12-09"),
            ("mixed-types", "`InvoiceNo` mixes 9,291 texts"),
        ]),
        ("streams/kc_house_sales.csv", "price", [
            ("outliers", "`bedrooms` is far out in 1 row, up to 33"),
            ("zero-unlikely", "`bathrooms` is 0 in 10 rows"),
            ("adds-up", "`sqft_living` is `sqft_above` + `sqft_basement`"),
            ("last-period", "ends on 2015-05-27"),
            ("id", "177 rows repeat one"),
        ]),
        ("streams/bike_sharing_hour.csv", "cnt", [
            ("leak", "`cnt` is `casual` + `registered` in every row"),
            ("zero-unlikely", "`hum` is 0 in 22 rows"),
            ("time-gaps", "165 rows seem to be missing"),
        ]),
        ("streams/elec2.csv", "class", [
            ("constant-stretch", "`vicprice`, `vicdemand`, `transfer` hold one and the same value in rows 1 to 17,424"),
        ]),
        ("streams/green_taxi", None, [
            ("missing", "have no value in the same 105,690 of 224,917 rows"),
            ("empty", "`ehail_fee`"),
            ("negative", "`fare_amount` is below 0 in 392 rows"),
            ("outliers", "up to 244,152"),
            ("time-outliers", "in 3 rows (2009-01-01)"),
        ]),
        ("segments/mall_customers.csv", None, [("id", "`CustomerID` is an id (200 values)")]),
        ("segments/cdnow_master.csv", None, [
            ("duplicate-rows", "255 rows"),
            ("zero-unlikely", "`dollar_value` is 0 in 80 rows"),
        ]),
        ("churn/mlc_churn.csv", None, [("proportional", "`total_day_charge` and `total_day_minutes`")]),
    ],
)  # fmt: skip
def test_the_traps_of_real_tables_are_named(path: str, target: str | None, said: list[tuple[str, str]]) -> None:
    answer = amb.profile(shared(f"data/{path}"), target=target)
    found = [(c.code, c.text) for c in answer.cautions]
    for code, text in said:
        assert any(code == c and text in t for c, t in found), (code, text, [t for c, t in found if c == code])
    if path.startswith("campaigns/bank"):
        assert "semicolons" in answer.method
        assert {c["name"]: c["role"] for c in answer.extra["columns"]}["duration"] == "suspect"


def test_tables_that_share_keys() -> None:
    rng = np.random.default_rng(1)
    customers = read(pa.table({"id": [f"{i:04d}" for i in range(300)], "country": ["DE", "FR", "US"] * 100}))
    names = [f"{i:04d}" for i in rng.integers(0, 310, 2000)]
    orders = read(pa.table({"customer_id": names, "worth": rng.random(2000)}))
    names = [f"{i:04d}" for i in rng.integers(0, 300, 900)]
    visits = read(pa.table({"customer_id": names, "pages": rng.integers(1, 9, 900)}))
    three = ((orders, "orders.csv"), (customers, "customers.csv"), (visits, "visits.csv"))
    named = [replace(t, name=n) for t, n in three]
    answer = profile(*named)
    relations = answer.to_dict()["relations"]
    kinds = {(r["left"], r["right"]): r["kind"] for r in relations}
    assert kinds == {
        ("customers.csv", "orders.csv"): "one-to-many",
        ("customers.csv", "visits.csv"): "one-to-many",
        ("orders.csv", "visits.csv"): "many-to-many",
    }
    codes = {c.code: c.text for c in answer.cautions}
    assert "of `orders.csv.customer_id`" in codes["unmatched-keys"]
    assert "a join multiplies rows" in codes["many-to-many"]
    alone = profile(named[0], replace(read(pa.table({"x": [1, 2, 3]})), name="other.csv"))
    assert alone.to_dict()["relations"] == [] and alone.findings[0].title.startswith("No key joins")


@pytest.mark.parametrize("path", ["streams/green_taxi", "segments/online_retail.parquet"])
def test_a_table_that_is_not_loaded_is_counted_whole(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source = str(shared(f"data/{path}"))
    here = amb.profile(source).to_dict()
    monkeypatch.setattr(lazy, "LARGE_MIB", 0)
    table = read(source)
    assert table.is_large
    whole = profile(table)
    there = whole.to_dict()
    assert (there["rows"], there["duplicates"]) == (here["rows"], here["duplicates"])
    for one, other in zip(there["columns"], here["columns"], strict=True):
        assert (one["name"], one["type"], one["missing"]) == (other["name"], other["type"], other["missing"])
        assert one["role"] == other["role"], one["name"]
        assert abs(one["unique"] - other["unique"]) <= 0.1 * other["unique"] + 1
    counted = ("negative", "zero-unlikely", "time-outliers", "last-period", "time-gaps", "duplicate-rows", "empty")
    mine, theirs = ({c["text"] for c in d["cautions"] if c["code"] in counted} for d in (there, here))
    assert mine == theirs
    assert "Too large to load" in whole.method


def test_roles() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({
        "customer_id": np.arange(400), "rownames": rng.permutation(4000)[:400],
        "churned": rng.integers(0, 2, 400), "plan": rng.choice(["a", "b", "c"], 400),
        "price": rng.random(400) * 100, "age": rng.integers(18, 90, 400), "k": ["x"] * 400,
        "day": np.datetime64("2024-01-01") + rng.integers(0, 300, 400),
    })  # fmt: skip
    roles = {c["name"]: c["role"] for c in profile(read(table)).extra["columns"]}
    assert roles == {
        "customer_id": "id", "rownames": "id", "churned": "target-like",
        "plan": "category", "price": "money", "age": "feature",
        "k": "constant", "day": "time",
    }  # fmt: skip


def test_numbers_that_are_codes_have_one_rule() -> None:
    """What the profile calls a category is what drivers leaves out and no axis of segments."""
    rng = np.random.default_rng(0)
    n = 400
    rows = {"zipcode": rng.integers(10_000, 10_060, n), "age": rng.integers(18, 80, n), "visits": rng.normal(size=n)}
    y = rng.random(n) < 1 / (1 + np.exp(-(rows["age"] - 50) / 10))
    table = pa.table({**rows, "y": np.where(y, "yes", "no")})
    (code,) = [c for c in profile(read(table)).to_dict()["columns"] if c["name"] == "zipcode"]
    assert (code["type"], code["role"]) == ("integer", "category")
    assert [c["name"] for c in drivers(table, target="y").extra["left_out"] if c["code"] == "id"] == ["zipcode"]
    said = segments(table.drop_columns(["y"]), approach="tiers")
    assert all("zipcode" not in s["rule"] for s in said.extra["segments"])
    assert any("zipcode" in c.text and "places or things" in c.text for c in said.cautions)


def test_a_very_wide_table_is_told_shortly() -> None:
    holes = np.random.default_rng(0).integers(0, 30, 600)
    columns = {f"c{i}": [None if j == h else float(j * i % 7) for j in range(30)] for i, h in enumerate(holes)}
    answer = profile(read(pa.table(columns)))
    missing = [c.text for c in answer.cautions if c.code == "missing"]
    assert len(missing) == 10 and all(" and " in t and "more have no value" in t and len(t) < 200 for t in missing)
    assert len(answer.to_dict()["columns"]) == 600
    shown = render.text(render.answer_blocks(answer.to_dict(), ())).splitlines()
    assert len(shown) < 120 and max(map(len, shown)) < 600
    one = profile(read(pa.table({"a": [1.5, None, 3.5], "b": [1.0, 2.5, 3.0]})))
    assert any(f.title == "1 cell holds no value, all in `a`" for f in one.findings)
