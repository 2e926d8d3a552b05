"""What the explore verbs say to data that cannot answer: a code, what was found, what to do; never a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.errors import CODES, AmbidexError
from terminal import Terminal

N = 400


def people(**more: Any) -> pa.Table:
    rng = np.random.default_rng(0)
    plain = {"age": rng.integers(18, 80, N), "plan": rng.choice(["a", "b"], N), "x": rng.normal(size=N)}
    return pa.table({**plain, **more})


def coin(p: float = 0.4, n: int = N) -> Any:
    return np.where(np.random.default_rng(1).random(n) < p, "yes", "no")


def log(**more: Any) -> pa.Table:
    rng = np.random.default_rng(2)
    days = np.datetime64("2024-01-01") + rng.integers(0, 300, N)
    return pa.table({"who": rng.integers(0, 80, N), "day": days, "paid": rng.exponential(20, N).round(2), **more})


def orders(table: pa.Table) -> Any:
    return amb.segments(table, unit="who", time="day", value="paid")


ARMS = np.repeat(["control", "mail"], N // 2)
SPEND = np.random.default_rng(3).exponential(1, N)

ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "one level": (lambda: amb.drivers(people(y=["no"] * N), target="y"), "data.target-constant"),
    "twelve levels": (
        lambda: amb.drivers(people(y=[f"k{i % 12}" for i in range(N)]), target="y"), "data.target-levels",
    ),
    "dates": (
        lambda: amb.drivers(people(y=np.datetime64("2024-01-01") + np.arange(N)), target="y"), "data.target-time",
    ),
    "free text": (
        lambda: amb.drivers(people(y=[f"he said {i} was fine by him" for i in range(N)]), target="y"),
        "data.target-text",
    ),
    "all missing": (lambda: amb.drivers(people(y=pa.nulls(N, pa.string())), target="y"), "data.target-missing"),
    "more columns than rows": (
        lambda: amb.drivers(
            pa.table({**{f"c{i}": np.random.default_rng(i).normal(size=60) for i in range(2000)}, "y": coin(0.4, 60)}),
            target="y",
        ),
        "data.too-few-rows",
    ),
    "one customer": (lambda: orders(log(who=["c1"] * N)), "data.one-unit"),
    "one date": (lambda: orders(log(day=["2024-01-01"] * N)), "data.one-date"),
    "only returns": (lambda: orders(log(paid=-np.arange(1.0, N + 1))), "data.negative-values"),
    "only future dates": (
        lambda: orders(log(day=np.datetime64("2190-01-01") + np.arange(N))), "data.future-dates",
    ),
    "a treatment nobody got": (
        lambda: amb.campaign(pa.table({"arm": ["control"] * N, "spend": SPEND}), treatment="arm", outcome="spend"),
        "data.no-treated",
    ),
    "outcome before treatment": (
        lambda: amb.campaign(
            pa.table({"t": np.arange(N), "spend": SPEND}), outcome="spend", time="t", start=str(N + 5)
        ),
        "data.outcome-before-treatment",
    ),
    "lever that is not there": (lambda: amb.drivers(people(y=coin()), target="y", levers=["plna"]), "data.no-column"),
    "time that is no time": (
        lambda: amb.campaign(
            pa.table({"u": np.arange(N) % 20, "t": ["soon"] * N, "on": np.arange(N) % 2, "y": SPEND}),
            treatment="on", outcome="y", unit="u", time="t", start="2024-01-01",
        ),
        "data.column-type",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(ERRORS))
def test_what_cannot_be_asked_has_a_code_and_a_way_out(case: str) -> None:
    ask, code = ERRORS[case]
    with pytest.raises(AmbidexError) as caught:
        ask()
    error = caught.value
    assert error.code == code and error.code in CODES, (error.code, error.message)
    assert error.do and error.message and "Traceback" not in str(error)


def codes(answer: Any) -> set[str]:
    return {c.code for c in answer.cautions} | {c.name for c in answer.checks if not c.passed}


def test_perfect_separation_is_said_and_held() -> None:
    plan = np.where(np.arange(N) % 4 == 0, "gold", "basic")
    rng = np.random.default_rng(4)
    y = np.where(plan == "gold", "yes", np.where(rng.random(N) < 0.5, "yes", "no"))
    answer = amb.drivers(people(plan=plan, y=y), target="y", keep=["plan"])
    assert "separation" in codes(answer)
    assert all(np.isfinite([e.value, e.low, e.high]).all() for e in answer.estimates if e.kind == "marginal-effect")


def test_all_columns_leak() -> None:
    y = coin()
    answer = amb.drivers(pa.table({"copy": y, "again": np.where(y == "yes", 1, 0), "y": y}), target="y")
    assert "all-left-out" in codes(answer) and answer.recommendation.verdict != "act"
    assert {c["code"] for c in answer.extra["left_out"]} == {"leak"} and "--keep" in answer.recommendation.text


def test_a_lever_that_is_constant_where_the_groups_overlap() -> None:
    rng = np.random.default_rng(5)
    age = rng.integers(18, 80, N * 3)
    lever = np.where(age < 50, "old price", "new price")  # nobody of one age ever had both
    y = np.where(rng.random(N * 3) < 0.3 + 0.2 * (age < 50), "yes", "no")
    answer = amb.drivers(
        pa.table({"age": age, "price": lever, "x": rng.normal(size=N * 3), "y": y}), target="y", levers=["price"]
    )
    assert answer.recommendation.verdict == "cannot-answer" and answer.headline.startswith("This table cannot say")
    said = " ".join([answer.headline, answer.recommendation.text, *(f.title for f in answer.findings)])
    assert "drives" not in said and "causes" not in said and "would cut" not in said


def test_an_order_log_with_some_returns_and_future_dates() -> None:
    paid, rng = np.random.default_rng(6).exponential(20, N), np.random.default_rng(7)
    paid[:9] *= -1
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, N)
    day[9:14] = np.datetime64("2190-05-01")
    answer = orders(log(paid=paid, day=day))
    assert {"negative-values", "future-dates"} <= codes(answer)


def test_a_cost_above_any_return() -> None:
    rows = pa.table({"arm": ARMS, "spend": SPEND + (ARMS == "mail") * 0.3})
    answer = amb.campaign(rows, treatment="arm", outcome="spend", value=1.0, cost=1000.0)
    assert answer.recommendation.verdict == "do-not-act" and "loses money" in answer.headline
    assert answer.extra["p_loss"] > 0.999


def test_the_command_line_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n" + "\n".join(f"{i},no" for i in range(50)) + "\n")
    said = Terminal(tmp_path).raw("drivers", "t.csv", "--target", "y")
    assert said.returncode == 3 and said.stdout == "" and "Traceback" not in said.stderr
    assert "data.target-constant" in said.stderr and "\n  do " in said.stderr
