"""The strict rule for numbers, and the forms of times."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambidex.data import numbers
from ambidex.data.cells import Cells
from ambidex.data.times import Times, read_times


def parse_one(text: str) -> float:
    return float(numbers.parse(pa.array([text])).values[0])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1), ("-1.5", -1.5), ("+2", 2), (" 3 ", 3), (".5", 0.5), ("5.", 5), ("1e3", 1000), ("1E-2", 0.01),
        ("007", 7),
        ("1,234", 1234), ("-1,234,567.5", -1234567.5), ("12345678901234567890", 12345678901234567890.0), ("\u00a04", 4),
    ],
)  # fmt: skip
def test_numbers(text: str, value: float) -> None:
    assert parse_one(text) == value


@pytest.mark.parametrize(
    "text",
    ["", " ", "abc", "1_000", "0x1F", "$5", "5%", "1 2", "12,34,567", "--1", "1e", "e5",
     "NaN", "true",
     "inf", "1e400", "٣", "1.2.3", "1,234,56", "½", "1-2"],
)  # fmt: skip
def test_not_numbers(text: str) -> None:
    assert math.isnan(parse_one(text))


def test_one_decimal_comma_makes_all_commas_decimal() -> None:
    parsed = numbers.parse(pa.array(["1,234", "2,5", "3", "-1.234,5"]))
    assert parsed.values.tolist() == [1.234, 2.5, 3.0, -1234.5]
    assert parsed.decimal.tolist() == [True, True, False, True] and not parsed.grouped.any()


def test_a_decimal_point_beside_makes_commas_doubtful() -> None:
    parsed = numbers.parse(pa.array(["1,234", "2,5", "3.5"]))
    assert np.isnan(parsed.values[:2]).all() and not parsed.decimal.any()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.floats(-1e9, 1e9).map(str),
            st.integers(-999, 999).map(str),
            st.sampled_from(["", "007", "1.50", " 2", "x", "0.5"]),
        ),
        max_size=12,
    )
)
def test_the_short_way_reads_what_the_long_way_reads(cells: list[str]) -> None:
    short = numbers.parse(pa.array(cells, pa.string()))
    small, numbers.SMALL = numbers.SMALL, -1
    try:
        long = numbers.parse(pa.array(cells, pa.string()))
    finally:
        numbers.SMALL = small
    for field in ("values", "number", "infinite", "grouped", "blank", "pointed", "padded"):
        np.testing.assert_array_equal(getattr(short, field), getattr(long, field), err_msg=field)


def read(*texts: str | None) -> Times:
    column = pa.array(texts, pa.string())
    return read_times(column, Cells.of(column))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2024-01-31", "2024-01-31"),
        ("2024/1/5 9:07", "2024-01-05T09:07"),
        ("2024-01-31T10:00:00.25Z", "2024-01-31T10:00:00.250"),
        ("2024-01-31 10:00:00-0330", "2024-01-31T13:30"),
        ("20141013T000000", "2014-10-13"),
        ("20240131", "2024-01-31"),
        ("31-08-2023", "2023-08-31"),
        ("12/31/2010 8:26", "2010-12-31T08:26"),
        ("31.12.2010", "2010-12-31"),
        ("14 Oct 2013", "2013-10-14"),
        ("Monday, October 14, 2013 5:30 PM", "2013-10-14T17:30"),
        ("1/13/2024 12:05 AM", "2024-01-13T00:05"),
        ("0001-01-01", "0001-01-01"),
        ("2024-02-29", "2024-02-29"),
    ],
)  # fmt: skip
def test_times(text: str, value: str) -> None:
    assert read(text).values[0] == np.datetime64(value, "us")


@pytest.mark.parametrize(
    "text",
    [
        "2024-02-30",
        "2023-02-29",
        "2024-13-01",
        "32/01/2024",
        "Sat, Oct 11",
        "10:00",
        "2024",
        "soon",
        "",
        "2024-01-01T25:00",
    ],
)
def test_not_times(text: str) -> None:
    assert np.isnat(read(text).values[0])


def test_zones_are_told_apart_and_order_is_settled_by_the_column() -> None:
    times = read("2024-01-01T00:00Z", "2024-01-01", None, "2024-01-01T00:00+05:30")
    assert times.zoned.tolist() == [True, False, False, True]
    assert times.naive.tolist() == [False, True, False, False]
    assert times.offsets == ("Z", "+05:30")
    assert (read("1/2/2024", "13/2/2024").order, read("1/2/2024", "1/13/2024").order) == ("day first", "month first")
    assert (read("1/2/2024").order, read("1/2/2024").guessed) == ("month first", True)
