"""Customers of an order log as of a day."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.orders import FEATURES, customers_at
from ambidex.data.read import read
from ambidex.errors import DataError, NotFound, UsageError
from support import shared

LOG = {
    "who": ["a", "a", "b", "c", "a", None, "b"],
    "day": ["2024-01-01", "2024-01-11", "2024-01-05", "2024-03-01", "2024-02-20", "2024-01-02", "soon"],
    "paid": ["5", "7", "1.5", "9", "2", "3", "4"],
}


def ask(**options: object):
    return customers_at(pa.table(LOG), **{"unit": "who", "time": "day", "value": "paid", **options})


def test_features_are_known_on_the_evening_of_the_cut() -> None:
    table = ask(cut="2024-01-31", horizon_days=30)
    assert table.columns == ["who", *FEATURES, "quiet"]
    assert table.arrow.to_pylist() == [
        {
            "who": "a", "recency_days": 20, "tenure_days": 30, "orders": 2, "total_value": 12.0, "mean_value": 6.0,
            "largest_value": 7.0, "last_value": 7.0, "days_between_orders": 10.0, "quiet": "no",
        },
        {
            "who": "b", "recency_days": 26, "tenure_days": 26, "orders": 1, "total_value": 1.5, "mean_value": 1.5,
            "largest_value": 1.5, "last_value": 1.5, "days_between_orders": None, "quiet": "yes",
        },
    ]  # fmt: skip
    assert "2 of 7 orders are left out: 1 without `who`, 1 without `day`" in table.cautions[-1][1]
    assert table.origin["prepare"]["kind"] == "orders" and table.origin["cut"] == "2024-01-31"


def test_what_comes_after_the_cut_changes_no_feature() -> None:
    early = {k: [v for v, d in zip(column, LOG["day"], strict=True) if d < "2024-02"] for k, column in LOG.items()}
    some = customers_at(pa.table(early), unit="who", time="day", value="paid", cut="2024-01-31")
    assert some.without(["quiet"]).arrow.equals(ask(cut="2024-01-31").without(["quiet"]).arrow)


def test_labels_that_are_not_mature_are_missing_never_yes() -> None:
    table = ask(cut=date(2024, 2, 20), horizon_days=30)
    assert table.text("quiet").tolist() == [None, None]
    assert "not over" in table.cautions[-1][1]
    assert ask(horizon_days=10).text("quiet").tolist() == ["yes", "yes"]  # cut 2024-02-20, mature


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"unit": "whom"}, NotFound),
        ({"time": "paid", "value": "who"}, DataError),
        ({"cut": "2023-01-01"}, DataError),
        ({"cut": "yesterday"}, UsageError),
        ({"horizon_days": 0}, UsageError),
        ({"horizon_days": 2.5}, UsageError),
        ({"horizon_days": 5000}, DataError),
    ],
)
def test_questions_without_an_answer(options: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(**options)


def test_cdnow_at_two_cuts() -> None:
    """The figures of the demo: quiet 72.9% and 77.2%; median recency 122 and 295 days."""
    log = read(shared("data/segments/cdnow_master.csv"))
    names = {"unit": "customer_id", "time": "date", "value": "dollar_value"}
    first, second = (customers_at(log, **names, cut=c) for c in ("1997-06-30", None))
    assert (first.rows, second.rows) == (23_570, 23_570)
    assert round(float((first.text("quiet") == "yes").mean()), 3) == 0.729
    assert round(float((second.text("quiet") == "yes").mean()), 3) == 0.772
    assert second.origin["cut"] == "1997-12-30"
    assert np.median(first.number("recency_days")) == 121.5
    assert np.median(second.number("recency_days")) == 295
    assert first.text("customer_id")[0] == "00001"
    assert first.facts("customer_id").role == "id"
