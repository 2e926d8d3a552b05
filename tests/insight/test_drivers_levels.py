"""Which levels a driver is told by: those with enough rows, in words that agree with the numbers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.errors import NotFound, UsageError
from ambidex.insight.common import common_levels, enough
from ambidex.insight.drivers import drivers
from ambidex.report.answer import Answer
from ambidex.stats.design import Category, category
from support import shared


@pytest.fixture(scope="module")
def bank() -> Answer:
    table = read(shared("data/campaigns/bank_additional_full.csv"))
    return drivers(table.head(int(0.8 * table.rows)), target="y")


def customers(n: int = 3000, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    plan = rng.choice(["basic", "plus", "pro"], n, p=[0.5, 0.3, 0.2]).astype(object)
    age = rng.uniform(18, 80, n).round(1)
    p = 1 / (1 + np.exp(-(-1 + 1.2 * (plan == "basic") + 0.03 * (age - 50))))
    return {"plan": plan, "age": age, "left": np.where(rng.random(n) < p, "yes", "no")}


def test_a_level_of_ten_rows_is_held_equal_but_not_told_of(bank: Answer) -> None:
    said = next(c.text for c in bank.cautions if c.code == "rare-levels" and c.text.startswith("month"))
    assert "dec (10 rows)" in said
    told = bank.headline + str(bank.numbers) + str([(f.title, f.text, f.figure) for f in bank.findings])
    assert not re.search(r"\bdec\b", told)
    assert any(e.name == "month" and e.category == "dec" for e in bank.estimates)
    chart = next(f.figure for f in bank.findings if f.figure and f.figure.title == "y by month")
    high, low = re.findall(r"where (?:it|month) is (\w+)", f"{bank.headline}")[:2]
    assert {high, low} <= {row["label"] for row in chart.rows}
    assert "1% of the rows and 10 rows of each outcome" in bank.method


def test_enough_rows_and_enough_of_each_outcome() -> None:
    y = np.r_[np.ones(10), np.zeros(990)]
    assert not enough(np.arange(1000) < 15, y, binary=True)
    assert enough(np.arange(1000) < 20, y, binary=True)
    assert not enough(np.arange(1000) >= 10, y, binary=True)
    assert enough(np.arange(1000) >= 10, y, binary=False)
    assert not enough(np.arange(5000) < 49, np.arange(5000.0), binary=False)
    values = np.array(["a"] * 900 + ["b"] * 100, dtype=object)
    told = common_levels(category("x", values), values, np.tile([0.0, 1.0], 500), binary=True)
    assert told == {"a": (True, 900), "b": (True, 100)}


def test_a_difference_that_grows_is_said_to_grow() -> None:
    rng = np.random.default_rng(1)
    n = 6000
    money = rng.normal(size=n)
    plan = np.where(money + 0.5 * rng.normal(size=n) > 0, "pro", "basic")
    y = 1.05 * (plan == "pro") - 1.0 * money + 0.1 * rng.normal(size=n)
    answer = drivers(pa.table({"plan": plan, "money": money, "y": y + 3}), target="y")
    finding = next(f for f in answer.findings if "where plan is" in f.title)
    assert "Most of the difference stays" not in finding.so_what
    assert re.search(r"times as large as on its own|turns round", finding.so_what)


def test_one_value_in_most_rows_is_set_against_the_middle_of_the_rest() -> None:
    rng = np.random.default_rng(2)
    n = 4000
    calls = np.where(rng.random(n) < 0.04, rng.integers(1, 5, n), 0).astype(float)
    calls[17] = 900
    y = (rng.random(n) < 0.1 + 0.5 * (calls > 0)).astype(int)
    answer = drivers(pa.table({"calls": calls, "age": rng.normal(size=n), "y": y}), target="y")
    assert "900" not in answer.headline


def test_effects_of_numbers_carry_their_contrast_and_one_method(bank: Answer) -> None:
    effects = [e for e in bank.estimates if e.kind == "marginal-effect" and e.adjusted]
    assert len({e.method for e in effects}) == 1
    ages = [(e.base, e.category) for e in effects if e.name == "age"]
    assert ages[0] == ("33", "47")
    assert len(set(ages)) == len(ages)
    keys = [(e.name, e.base, e.category) for e in effects]
    assert len(set(keys)) == len(keys)


def test_the_reason_of_a_claim_is_a_test_statistic(bank: Answer) -> None:
    reasons = [v.because for v in bank.verdicts if v.claim.measure.startswith("the link between")]
    assert all(re.match(r"joint Wald z \d+\.\d, q |no test", text) for text in reasons)
    assert any("q < .001" in text for text in reasons)


def test_the_column_of_time_keeps_its_cautions(tmp_path: Path) -> None:
    data = customers(600)
    zone = ["Z", "", "+05:30"]
    when = [f"2024-01-{1 + i % 28:02d}T10:00:00{zone[i % 3]}" for i in range(600)]
    rows = zip(when, data["plan"], data["age"], data["left"], strict=True)
    path = tmp_path / "times.csv"
    path.write_text("at,plan,age,left\n" + "".join(f"{a},{b},{c},{d}\n" for a, b, c, d in rows))
    plain = {c.code for c in drivers(path, target="left").cautions}
    ordered = {c.code for c in drivers(path, target="left", time="at").cautions}
    assert [code for code in plain if "zone" in code]
    assert {code for code in plain if "zone" in code} <= ordered


def test_the_target_cannot_be_excluded() -> None:
    with pytest.raises(UsageError) as caught:
        drivers(pa.table(customers(100)), target="left", exclude=["left"])
    assert caught.value.code == "usage.value"


def test_labels_of_numbers_are_read_and_shown_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "ages.csv"
    rng = np.random.default_rng(0)
    path.write_text(
        "age,x\n"
        + "".join(f"{a}.0,{x:.3f}\n" for a, x in zip(rng.integers(50, 60, 400), rng.normal(size=400), strict=True))
    )
    with pytest.raises(NotFound) as caught:
        drivers(path, target="age", positive="40")
    assert "did you mean '50'" in caught.value.message
    assert ".0" not in str(caught.value.found) + str(caught.value.do)
    drivers(path, target="age", positive="54")


def test_nothing_to_ask_about_has_no_prototype() -> None:
    answer = drivers(pa.table(customers(300)), target="left", exclude=["plan", "age"])
    assert answer.model is None
    assert not any("package" in command for command in answer.next)
    assert drivers(pa.table(customers(300)), target="left").model is not None


def test_fifty_one_levels_are_folded_and_said() -> None:
    data = customers(4000)
    rng = np.random.default_rng(5)
    data["state"] = rng.choice([f"S{i:02d}" for i in range(51)], 4000)
    answer = drivers(pa.table(data), target="left")
    assert answer.extra["left_out"] == []
    said = next(c.text for c in answer.cautions if c.code == "folded-levels")
    assert "51 levels; the 30 most frequent" in said
    assert "the other 21" in said
    few = drivers(pa.table({k: v[:600] for k, v in data.items()}), target="left")
    assert any("the 10 most frequent" in c.text for c in few.cautions if c.code == "folded-levels")
    assert not any(c.code == "straight-lines" for c in few.cautions)


def test_codes_of_labels() -> None:
    term = Category("x", ("a", "b"), ("c",), missing=True)
    assert term.codes(np.array(["b", "a", None, "c", "new"], dtype=object)).tolist() == [1, 0, 3, 2, 0]


def test_a_column_that_is_mostly_one_number_has_that_number_apart() -> None:
    rng = np.random.default_rng(0)
    toll = np.where(rng.random(900) < 0.85, 0.0, rng.uniform(1, 30, 900))
    y = 10 + 0.2 * toll + rng.normal(size=900)
    answer = drivers(pa.table({"toll": toll, "x": rng.normal(size=900), "y": y}), target="y")
    figure = next(f.figure for f in answer.findings if f.figure is not None and f.figure.title.endswith(" by toll"))
    assert figure.rows[0]["label"] == "0" and len(figure.rows) == 2
    assert sum(r["n"] for r in figure.rows) == 900
