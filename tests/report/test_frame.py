"""Estimates in the caller's kind of dataframe."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from report import samples

KINDS = {"pandas": pd.DataFrame, "polars": pl.DataFrame, "pyarrow": pa.Table, "": pa.Table, None: pa.Table}


@pytest.mark.parametrize("caller", KINDS)
@pytest.mark.parametrize("make", [samples.drivers, samples.hostile, samples.bare])
def test_the_callers_type_comes_back(caller, make):
    answer = make()
    frame = replace(answer, record={**answer.record, "caller": caller}).to_frame()
    assert isinstance(frame, KINDS[caller])
    columns = frame.column_names if isinstance(frame, pa.Table) else list(frame.columns)
    assert columns[:1] == ["name"]
    assert {"value", "low", "high", "level", "n", "p_value", "q_value", "arm", "control"} <= set(columns)
    assert len(frame) == len(answer.estimates)


def test_values_are_the_estimates():
    frame = samples.drivers().to_frame()
    first = frame.to_pylist()[0]
    assert (first["name"], first["category"], round(first["value"], 6), first["adjusted"]) == (
        "Contract",
        "Two year",
        -14.3,
        True,
    )
    assert first["arm"] is None


def test_undefined_numbers_are_null():
    row = samples.hostile().to_frame().to_pylist()[0]
    assert row["value"] is None
    assert row["low"] is None
    assert math.isclose(row["high"], 1)
