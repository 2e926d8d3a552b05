"""Order logs: what is wrong is named, and customers of two days are counted alike."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.customers import customer_table, open_log
from ambidex.data.order_problems import find_columns
from ambidex.data.read import read
from ambidex.errors import NotFound
from ambidex.records import Prepare

NOW = datetime(2026, 11, 24, tzinfo=UTC)
ROWS = [
    ("1", "ann", "2024-01-01 10:00", "85123A", 2, 5.0),
    ("1", "ann", "2024-01-01 10:00", "71053", 1, 3.0),
    ("1", "ann", "2024-01-01 10:00", "71053", 1, 3.0),  # the same line twice
    ("2", "bob", "2024-01-20", "85123A", 1, 5.0),
    ("C3", "bob", "2024-01-21", "85123A", -1, 5.0),
    ("4", None, "2024-02-01", "85123A", 1, 5.0),
    ("5", "ann", "2024-03-01", "POST", 1, 9.0),
    ("6", "ann", "2024-03-05", "22752", 1, 7.0),
    ("7", "cas", "2030-01-01", "22752", 1, 7.0),
    ("8", "bob", "2024-03-10", "22752", 3, 0.0),
    *[(str(10 + i), "dee", f"2024-02-{1 + i:02d}", "84406B", 1, 1.0) for i in range(20)],
]
NAMES = ("InvoiceNo", "Customer", "Date", "StockCode", "Quantity", "Price")


@pytest.fixture(scope="module")
def log():
    table = read(pa.table({n: list(c) for n, c in zip(NAMES, zip(*ROWS, strict=True), strict=True)}))
    return open_log(table, unit="Customer", time="Date", value="Quantity*Price", now=NOW)


def test_everything_is_named(log):
    said = {p.code: p for p in log.problems}
    lines = {c: int(p.rows.sum()) for c, p in said.items() if p.rows is not None}
    assert lines == {
        "duplicate-lines": 1, "negative-values": 1, "cancellations": 1, "no-customer": 1, "non-product-codes": 1,
        "future-dates": 1, "zero-values": 1,
    }  # fmt: skip
    assert "partial-month" in said and not said["zero-values"].drop
    assert log.lines == len(ROWS) - 5  # the cancellation is a negative line as well
    assert log.last == np.datetime64("2024-03-10") and "2024-03-10" in said["partial-month"].text


def test_features_by_hand(log):
    codes, f = log.features(np.datetime64("2024-03-10"), 400)
    ann = log.customers[codes].tolist().index("ann")
    assert {n: v[ann] for n, v in f.items()} == {
        "recency": 5.0, "frequency": 2.0, "money": 20.0, "tenure": 69.0, "breadth": 3.0,
    }  # fmt: skip


def test_a_window_counts_its_days_only(log):
    codes, f = log.features(np.datetime64("2024-03-10"), 10)
    ann = log.customers[codes].tolist().index("ann")
    assert (f["frequency"][ann], f["money"][ann], f["tenure"][ann], f["breadth"][ann]) == (1.0, 7.0, 10.0, 1.0)


def test_nothing_after_the_day_is_known(log):
    early = log.features(np.datetime64("2024-01-31"), 400)[1]
    assert early["money"].sum() == 18.0
    money, days = log.after(log.features(np.datetime64("2024-01-31"), 400)[0], np.datetime64("2024-01-31"))
    assert (money.sum(), days.sum()) == (7.0, 2.0)


def test_buying_counts_repeat_days_in_weeks(log):
    codes, x, tx, t, z = log.buying(np.datetime64("2024-03-10"))
    ann = log.customers[codes].tolist().index("ann")
    assert (x[ann], round(tx[ann] * 7), round(t[ann] * 7), z[ann]) == (1.0, 64, 69, 7.0)


def test_the_order_of_the_lines_does_not_matter(log):
    table = read(pa.table({n: list(c) for n, c in zip(NAMES, zip(*ROWS[::-1], strict=True), strict=True)}))
    again = open_log(table, unit="Customer", time="Date", value="Quantity*Price", now=NOW)
    assert again.customers.tolist() == log.customers.tolist() and again.money.tolist() == log.money.tolist()


def test_the_scored_table_has_every_customer(log):
    prepare = Prepare(kind="customers", unit="Customer", time="Date", value="Quantity*Price", horizon_days=35)
    everyone = customer_table(log.table, prepare, now=NOW)
    trained = customer_table(log.table, prepare, now=NOW, training=True)
    assert everyone.rows == 3 and trained.columns == ["Customer", "recency", "frequency", "money", "tenure", "breadth"]
    assert "2024-02-04" in trained.name and "2024-03-10" in everyone.name


def test_a_factor_of_the_value_that_is_not_there(log):
    with pytest.raises(NotFound, match="Prise"):
        open_log(log.table, unit="Customer", time="Date", value="Quantity*Prise", now=NOW)


def test_columns_known_by_name():
    found = find_columns(read(pa.table({"order_id": ["1"], "SKU": ["a"], "Qty": [1]})))
    assert (found.order, found.item, found.quantity) == ("order_id", "SKU", "Qty")
