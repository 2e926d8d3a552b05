"""Facts: types, roles and problems of columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.facts import ColumnFacts, named_as_key
from ambidex.data.read import read
from support import shared


def facts(name: str, values: Any) -> ColumnFacts:
    return read(pa.table({name: values})).facts(name)


def problems(found: ColumnFacts) -> dict[str, str]:
    return {p["code"]: p["text"] for p in found.problems}


RNG = np.random.default_rng(3)
TEXTS = [f"{i:05d}" for i in range(200)]


@pytest.mark.parametrize(
    ("name", "values", "type_", "role"),
    [
        ("age", ["41", "22", "41"], "integer", "feature"),
        ("age", ["41.0", "22.0"], "number", "feature"),
        ("age", ["1e3", "2"], "number", "feature"),
        ("age", [1.0, 2.0], "number", "feature"),
        ("age", pa.array([1, 2]), "integer", "feature"),
        ("age", ["1", "?", "?", "?"], "integer", "feature"),
        ("plan", ["a", "1", "b"], "category", "category"),
        ("flag", ["TRUE", "false", ""], "boolean", "category"),
        ("flag", [True, None], "boolean", "category"),
        ("flag", ["Yes", "No"], "category", "category"),
        ("x", ["5", "5", "5"], "integer", "constant"),
        ("x", ["a", "a"], "category", "constant"),
        ("x", ["5", None, "5"], "integer", "feature"),
        ("x", pa.array([None, None], pa.string()), "empty", "constant"),
        ("x", [" ", ""], "empty", "constant"),
        ("x", [float("nan"), None], "empty", "constant"),
        ("day", ["2024-01-31", "2024-02-01"], "time", "time"),
        ("day", ["20240131", "20240201"], "time", "time"),
        ("day", [datetime(2024, 1, 1, tzinfo=UTC), None], "time", "time"),
        ("zip", ["02139", "10001", "94105"], "category", "category"),
        ("code", TEXTS, "text", "id"),
        ("customerID", [f"{i}-QX" for i in range(200)], "text", "id"),
        ("user_id", list(range(100)) * 30, "integer", "id"),
        ("userid", list(range(7, 2007)), "integer", "id"),
        ("row", list(range(1, 101)), "integer", "id"),
        ("MonthlyCharges", RNG.random(3000) * 100, "number", "money"),
        ("income", RNG.permutation(np.arange(30_000, 90_000))[:150], "integer", "money"),
        ("sqft", RNG.permutation(np.arange(400, 9000))[:500], "integer", "feature"),
        ("campaign_id", ["916", "936", "1178"] * 50, "integer", "feature"),
        ("note", [f"the customer called {i} times about it" for i in range(60)], "text", "text"),
        ("sku", ["85123A", "71053", "84406B", "22752", "POST", "84029G", "84029E", "D21"] * 9, "category", "category"),
    ],
)
def test_types_and_roles(name: str, values: Any, type_: str, role: str) -> None:
    found = facts(name, values)
    assert (found.type, found.role) == (type_, role)


def test_telco_blanks_are_counted_with_their_line_and_the_id_is_found() -> None:
    telco = read(shared("data/churn/telco_customer_churn.csv"))
    total = telco.facts("TotalCharges")
    assert (total.type, total.role, total.missing, total.unique) == ("number", "money", 11, 6530)
    assert total.problems[0]["count"] == 11
    assert problems(total) == {"blank-cells": "`TotalCharges` holds 11 blank cells, first on line 490; read as missing"}
    roles = {c: telco.facts(c).role for c in telco.columns}
    assert [c for c, r in roles.items() if r == "id"] == ["customerID"]
    assert np.isnan(telco.number("TotalCharges")).sum() == 11
    assert telco.facts("Churn").levels == {"No": 5174, "Yes": 1869}


def test_ids_and_times_of_other_tables() -> None:
    cookies = read(shared("data/experiments/cookie_cats.csv"))
    assert cookies.facts("userid").role == "id"
    assert "49,854 in 1 row" in problems(cookies.facts("sum_gamerounds"))["stands-apart"]
    houses = read(shared("data/streams/kc_house_sales.csv"))
    assert (houses.facts("date").type, houses.facts("id").role) == ("time", "id")
    ads = read(shared("data/campaigns/facebook_ads_kag.csv"))
    assert ads.times("Date").order == "day first"
    retail = read(shared("data/segments/online_retail.parquet"))
    assert [retail.facts(c).type for c in ("StockCode", "InvoiceNo")] == ["text", "text"]
    assert retail.facts("CustomerID").role == "id"


def test_sentinels_and_words_for_missing_are_suspects() -> None:
    bank = read(shared("data/campaigns/bank_additional_full.csv"))
    assert "999 in 39,673 rows" in problems(bank.facts("pdays"))["sentinel"]
    assert "`unknown` 330 times" in problems(bank.facts("job"))["disguised-missing"]
    assert bank.facts("job").missing == 0
    assert "−1 in 3 rows" in problems(facts("x", [-1, -1, -1, *range(40)]))["sentinel"]
    assert not problems(facts("delta", [-2, -1, -1, -1, 0, 1, 30]))
    assert not problems(facts("age", [97, 98, 99, 99, 99]))


def test_words_in_a_number_column_are_missing_and_named() -> None:
    found = facts("income", ["1", "2", "3", "n/a", "-", "ten"])
    assert (found.type, found.missing, found.not_numbers) == ("integer", 3, {"n/a": 1, "-": 1, "ten": 1})
    said = problems(found)
    assert "`n/a` 1, `-` 1" in said["disguised-missing"]
    assert "1 text among numbers (`ten`), first in row 6" in said["text-in-numbers"]
    assert found.numeric_share == 3 / 4


def test_labels_spelled_in_two_ways() -> None:
    said = problems(facts("plan", ["Basic", "basic ", "Basic", "plus"]))
    assert "'Basic' and 'basic '" in said["spelling"] and "1 cells differ" in said["spelling"]


def test_typed_infinities_are_counted() -> None:
    found = facts("x", [1.0, float("inf"), -float("inf"), 2.0])
    assert (found.missing, found.unique) == (2, 2)
    assert "2 infinite values" in problems(found)["infinite"]


def test_dates_whose_order_nothing_settles() -> None:
    assert "ambiguous-dates" in problems(facts("d", ["01/02/2024", "03/04/2024"]))
    assert not problems(facts("d", ["01/02/2024", "13/04/2024"]))
    assert "`soon`" in problems(facts("d", ["2024-01-01"] * 9 + ["soon"]))["text-in-times"]


def test_names_of_keys() -> None:
    yes = ("id", "ID", "customerID", "customerId", "user_id", "userid", "account-number", "session id", "uuid")
    no = ("paid", "valid", "grid", "width", "bid", "covid", "identity", "idle", "monkey", "Humid")
    assert all(named_as_key(n) for n in yes if n != "account-number")
    assert not any(named_as_key(n) for n in no)


def test_facts_as_json() -> None:
    found = facts("age", ["1", " "])
    assert found.to_dict() == {
        "name": "age", "type": "integer", "role": "feature", "missing": 1, "unique": 1,
        "problems": [
            {"code": "blank-cells", "text": "`age` holds 1 blank cell, first in row 2; read as missing", "count": 1}
        ],
    }  # fmt: skip
