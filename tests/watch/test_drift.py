"""One look: it does not cry wolf, it sees what moved, it says what it cannot tell."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ambidex.bundle.reference import make_reference
from ambidex.data.orders import FEATURES, customers_at
from ambidex.data.read import read
from ambidex.data.table import Table
from ambidex.errors import DataError, UsageError
from ambidex.records import Column, Schema
from ambidex.watch.drift import DriftLook, drift, look_for_drift
from support import shared
from watch.watched import LEVELS, SHARES, columns, reference, schema, table

EDGE = math.sqrt(2) * float(stats.norm.ppf(0.52))
"""Shift, in standard deviations, at which a normal column lies exactly at the margin .02."""


def looks(runs: int, *, m: int, n: int, at_the_edge: bool, alpha: float = 0.05) -> float:
    """Share of looks that call anything outside, though no column is."""
    of, false = schema(6, 4), 0
    shares = np.array(SHARES) + (np.array([-0.02, 0.02, 0, 0]) if at_the_edge else 0)
    for seed in range(runs):
        rng = np.random.default_rng([11, seed])
        then = reference(rng, of, m)
        now = columns(rng, n, of, shift=EDGE if at_the_edge else 0.0, moved=6)
        for i in range(4):
            now[f"c{i}"] = rng.choice(LEVELS, size=n, p=shares)
        false += look_for_drift(then, of, table(now), alpha=alpha).verdict == "drifted"
    return false / runs


@pytest.mark.slow
@pytest.mark.parametrize("at_the_edge", [False, True])
def test_false_alarms_of_a_look(at_the_edge: bool) -> None:
    runs = 300
    rate = looks(runs, m=600, n=500, at_the_edge=at_the_edge)
    assert rate <= stats.binom.ppf(0.999, runs, 0.05) / runs, rate


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("at_the_edge", [False, True])
@pytest.mark.parametrize(("m", "n"), [(1_000, 1_000), (4_000, 500), (300, 60)])
def test_false_alarms_of_many_looks(m: int, n: int, at_the_edge: bool) -> None:
    runs = 2_000
    rate = looks(runs, m=m, n=n, at_the_edge=at_the_edge)
    print(f"m {m}, n {n}, at the edge {at_the_edge}: {rate:.4f} false")
    assert rate <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / runs), rate


def test_sees_what_moved_and_names_it() -> None:
    rng, of = np.random.default_rng(1), schema(6, 2)
    then = reference(rng, of, 5_000)
    now = columns(rng, 3_000, of, shift=0.5, moved=2)
    now["c1"] = rng.choice(LEVELS, size=3_000, p=(0.3, 0.5, 0.15, 0.05))
    look = look_for_drift(then, of, table(now))
    moved = {c["name"]: c for c in look.columns if c["drifted"]}
    assert set(moved) == {"n0", "n1", "c1"}
    truth = float(stats.norm.cdf(0.5 / math.sqrt(2))) - 0.5
    assert moved["n0"]["low"] < truth < moved["n0"]["high"]
    assert "median" in moved["n0"]["what"]
    assert moved["c1"]["what"] in ("basic 50% → 30%", "plus 30% → 50%") or "→" in moved["c1"]["what"]
    assert moved["n0"]["p_value"] < 1e-6
    assert not look.passed
    assert look.text.startswith("3 of 8 columns outside ±.020")


def test_thin_looks_are_open_and_pass() -> None:
    rng, of = np.random.default_rng(2), schema()
    look = look_for_drift(reference(rng, of, 2_000), of, table(columns(rng, 30, of)))
    assert look.verdict == "open"
    assert look.passed
    assert "undecided" in look.text


def test_many_rows_show_that_nothing_moved() -> None:
    rng, of = np.random.default_rng(3), schema(2, 1)
    look = look_for_drift(reference(rng, of, 60_000), of, table(columns(rng, 60_000, of)))
    assert look.verdict == "none"
    assert {c["outcome"] for c in look.columns} == {"inside"}


def test_says_how_many_rows_would_tell() -> None:
    rng, of = np.random.default_rng(4), schema(2, 0)
    then = reference(rng, of, 60_000)
    text = look_for_drift(then, of, table(columns(rng, 1_000, of))).text
    told = int(text.split("about ")[1].split(" rows")[0].replace(",", ""))
    assert 800 < told < 3_000
    assert look_for_drift(then, of, table(columns(rng, 2 * told, of))).verdict == "none"
    few = look_for_drift(reference(rng, of, 300), of, table(columns(rng, 1_000, of))).text
    assert "the reference's own 300 rows are too few" in few


def test_one_row_and_one_value_are_looked_at() -> None:
    rng, of = np.random.default_rng(5), schema()
    then = reference(rng, of, 500)
    assert look_for_drift(then, of, table(columns(rng, 1, of))).verdict == "open"
    same = columns(rng, 400, of) | {"n0": np.zeros(400)}
    stuck = look_for_drift(then, of, table(same))  # at its median, which no mean rank can see
    assert [a["text"] for a in stuck.alerts] == ["n0: stuck: all 400 values are 0"]
    assert not look_for_drift(then, of, table({k: v[:5] for k, v in same.items()})).alerts


def rows_with(of: Schema, n: int = 1_000, **changes: Any) -> Table:
    return table(columns(np.random.default_rng(8), n, of) | changes)


@pytest.fixture(scope="module")
def world() -> tuple[dict[str, Any], Schema]:
    of = schema(2, 1)
    return reference(np.random.default_rng(6), of, 4_000), of


def test_missing_share_beyond_its_limit(world: tuple[dict[str, Any], Schema]) -> None:
    then, of = world
    values = columns(np.random.default_rng(8), 1_000, of)
    values["n0"][:150] = np.nan
    look = look_for_drift(then, of, table(values))
    assert [a["id"] for a in look.alerts] == ["rule:missing:n0"]
    assert next(c for c in look.columns if c["name"] == "n0")["what"] == "missing 0% → 15%, limit 5%"
    assert not look.passed


def test_levels_never_seen(world: tuple[dict[str, Any], Schema]) -> None:
    then, of = world
    values = columns(np.random.default_rng(8), 1_000, of)
    values["c0"][:40] = "platinum"
    look = look_for_drift(then, of, table(values))
    assert [a["id"] for a in look.alerts] == ["rule:unseen:c0"]
    assert "'platinum'" in look.alerts[0]["text"]
    values["c0"][:] = "basic"
    values["c0"][:5] = "platinum"  # half a percent: under the limit
    assert not look_for_drift(then, of, table(values)).alerts


def test_three_odd_rows_of_twenty_page_nobody(world: tuple[dict[str, Any], Schema]) -> None:
    then, of = world
    values = columns(np.random.default_rng(8), 20, of)
    values["n0"][:3] = np.nan
    assert not look_for_drift(then, of, table(values)).alerts


def test_text_in_a_number_column(world: tuple[dict[str, Any], Schema]) -> None:
    then, of = world
    values = columns(np.random.default_rng(8), 1_000, of)
    texts = [f"{x:.3f}" for x in values["n0"]]
    values["n0"] = [*["n/a"] * 100, *texts[100:]]
    look = look_for_drift(then, of, table(values))
    assert look.cautions[0] == ("not-a-number", "n0: 100 cells are no number (such as 'n/a'), counted as missing")
    assert "rule:not-a-number:n0" in [a["id"] for a in look.alerts]
    values["n0"] = ["high"] * 1_000
    with pytest.raises(DataError) as caught:
        look_for_drift(then, of, table(values))
    assert caught.value.code == "data.schema"
    assert "n0" in caught.value.message


def test_a_missing_column_is_named_with_its_neighbour(world: tuple[dict[str, Any], Schema]) -> None:
    then, of = world
    values = columns(np.random.default_rng(8), 10, of)
    values["N0"] = values.pop("n0")
    with pytest.raises(DataError) as caught:
        look_for_drift(then, of, table(values))
    assert caught.value.code == "data.schema"
    assert caught.value.exit_code == 3
    assert "lacks n0" in caught.value.message
    assert "did you mean `N0`" in caught.value.message


def test_declared_limits_and_whole_numbers() -> None:
    columns_ = (Column(name="age", type="integer", low=0, high=120), Column(name="x", type="float"))
    of = Schema(columns=columns_, target="y", task="binary")
    rng = np.random.default_rng(9)

    def rows(n: int) -> dict[str, Any]:
        return {"age": rng.integers(18, 90, n), "x": rng.normal(size=n)}

    then = make_reference(table(rows(2_000)), of, cut_on=table(rows(2_000)))
    now = rows(500)
    now["age"] = [400.0, 30.5, *now["age"][2:].tolist()]
    look = look_for_drift(then, of, table(now))
    assert [a["id"] for a in look.alerts] == ["rule:range:age", "rule:whole:age"]
    assert "outside 0 to 120, such as 400" in look.alerts[0]["text"]


def test_a_null_where_training_had_none_is_a_caution() -> None:
    of = Schema(columns=(Column(name="x", type="float"),), target="y", task="binary")
    rng = np.random.default_rng(9)
    then = make_reference(table({"x": rng.normal(size=900)}), of)
    look = look_for_drift(then, of, table({"x": [np.nan, *rng.normal(size=500)]}))
    assert look.cautions == (
        ("missing", "x: 1 values are missing; it had none in training, so `score` refuses those rows"),
    )
    assert look.passed


def test_data_is_the_contracts(world: tuple[dict[str, Any], Schema]) -> None:
    then, of = world
    data = drift(then, of, rows_with(of))
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert {"state", "verdict", "columns", "alerts"} <= set(data)
    needed = {"name", "drifted", "size", "low", "high", "margin", "p_value", "what"}
    assert all(needed <= set(c) for c in data["columns"])


def test_options_are_checked_and_empty_tables_refused(world: tuple[dict[str, Any], Schema]) -> None:
    then, of = world
    for wrong in ({"margin": 0.0}, {"alpha": 1.0}):
        with pytest.raises(UsageError):
            drift(then, of, rows_with(of), **wrong)
    with pytest.raises(DataError, match="no rows"):
        drift(then, of, rows_with(of).head(0))


TELCO_NUMBERS = ("tenure", "MonthlyCharges", "TotalCharges")


def telco() -> tuple[Table, Schema]:
    rows = read(shared("data/churn/telco_customer_churn.csv"))
    names = [c for c in rows.columns if c not in ("customerID", "Churn")]
    columns_ = tuple(
        Column(name=n, type="float" if n in TELCO_NUMBERS else "category", nullable=n == "TotalCharges") for n in names
    )
    return rows, Schema(columns=columns_, target="Churn", task="binary", classes=("No", "Yes"))


def test_telco_split_at_random_never_drifts() -> None:
    rows, of = telco()
    seen = []
    for seed in range(20):
        u = np.random.default_rng(seed).random(rows.rows)
        then = make_reference(rows.take((u >= 0.64) & (u < 0.8)), of, cut_on=rows.take(u < 0.64))
        look: DriftLook = look_for_drift(then, of, rows.take(u >= 0.8))
        seen.append(look.verdict)
        assert look.passed, look.text
    assert "drifted" not in seen


def test_cdnow_customers_drift_loudly_in_half_a_year() -> None:
    log = shared("data/segments/cdnow_master.csv")
    options = {"unit": "customer_id", "time": "date", "value": "dollar_value"}
    then, now = (customers_at(log, cut=cut, **options) for cut in ("1997-06-30", "1997-12-30"))
    of = Schema(
        columns=tuple(Column(name=f, type="float", nullable=True) for f in FEATURES), target="quiet", task="binary"
    )
    held = np.random.default_rng(0).random(then.rows) < 0.2
    kept = make_reference(then.take(held), of, cut_on=then.take(~held))
    look = look_for_drift(kept, of, now)
    by_name = {c["name"]: c for c in look.columns}
    assert look.verdict == "drifted"
    assert by_name["recency_days"]["drifted"]
    assert by_name["tenure_days"]["drifted"]
    assert by_name["recency_days"]["what"] == "median 122 → 295"
    assert look_for_drift(kept, of, then.take(~held)).passed
