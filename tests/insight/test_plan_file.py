"""PLAN.json: dated, hashed, readable; what it holds an experiment to."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.errors import AmbidexError, DataError, NotFound, Refused, UsageError
from ambidex.insight.plan_file import digest, hold, read_plan, write_plan

MOMENT = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def table(n=3000, effect=0.0, seed=1, arms=2):
    rng = np.random.default_rng(seed)
    arm = rng.integers(0, arms, n)
    return pa.table(
        {
            "id": np.arange(n),
            "arm": [["A", "B", "C"][i] for i in arm],
            "paid": (rng.random(n) < 0.2 + effect * (arm == 1)).astype(int),
            "spend": rng.exponential(10, n),
        }
    )


def read(name: str = "PLAN.json") -> str:
    return Path(name).read_text(encoding="utf-8")


def write(**options):
    options = {"metric": "paid:share", "baseline": 0.2, "difference": 0.05, "group": "arm", "control": "A"} | options
    return amb.plan(out="PLAN.json", **options)


def code(error: type[AmbidexError], **options) -> str:
    with pytest.raises(error) as caught:
        amb.experiment(options.pop("table", table()), plan=options.pop("plan", "PLAN.json"), **options)
    return caught.value.code


def test_it_says_what_was_planned_and_can_be_read():
    write(looks=3, shares="A=.7,B=.3", guardrail="spend:-0.5", unit="id")
    content = json.loads(read())
    assert content["schema"] == "ambidex-plan/1" and content["sha256"] == digest(content)
    assert datetime.fromisoformat(content["dated"]).tzinfo is not None
    expected = {"metric": "paid:share", "unit": "id", "arms": 2, "control": "A", "baseline": 0.2, "effect": 0.05,
                "alpha": 0.05, "power": 0.8, "looks": 3, "shares": {"A": 0.7, "B": 0.3},
                "guardrails": ["spend:-0.5"], "group": "arm"}  # fmt: skip
    assert {k: content[k] for k in expected} == expected
    assert content["units"] == 2 * content["units_per_arm"] > 2188


def test_the_experiment_takes_its_options_from_it():
    write(alpha=0.01, shares={"A": 0.5, "B": 0.5}, guardrail="spend:-5")
    answer = amb.experiment(table(), plan="PLAN.json")
    options = answer.record["options"]
    assert options["group"] == "arm" and options["metric"] == ["paid:share"] and options["alpha"] == 0.01
    assert options["control"] == "A" and options["guardrail"] == ["spend:-5"] and options["plan"] == "PLAN.json"
    assert answer.record["plan"]["sha256"] == read_plan("PLAN.json").sha256
    assert all(v.claim.looks == "planned" for v in answer.verdicts)
    same = amb.experiment(table(), plan="PLAN.json", group="arm", metric=["paid:share"], alpha=0.01, control="A")
    assert json.dumps(same.to_dict()) == json.dumps(answer.to_dict())


def test_one_planned_look_is_the_ordinary_test():
    write()
    planned = amb.experiment(table(), plan="PLAN.json")
    alone = amb.experiment(table(), group="arm", metric="paid:share", control="A")
    for a, b in zip(planned.estimates, alone.estimates, strict=True):
        assert (a.low, a.high, a.p_value) == pytest.approx((b.low, b.high, b.p_value))
    check = next(c for c in planned.checks if c.name == "looks")
    assert check.passed and "the only look" in check.text


@pytest.mark.parametrize(
    "other",
    [
        {"metric": "spend"}, {"metric": ["paid:share", "spend"]}, {"group": "id"}, {"alpha": 0.1}, {"control": "B"},
        {"unit": "id"}, {"guardrail": "spend:-1"}, {"anytime": True}, {"covariate": "spend"},
        {"shares": "A=.6,B=.4"}, {"shares": "unknown"}, {"cluster": "id"},
    ],
)  # fmt: skip
def test_another_question_than_the_planned_one(other):
    write()
    assert code(UsageError, **other) == "usage.plan"


def test_what_a_plan_leaves_open():
    write(group=None, control=None)
    assert code(UsageError) == "usage.option"
    assert amb.experiment(table(), plan="PLAN.json", group="arm", secondary=["spend"], margin=0.01).passed
    with pytest.raises(UsageError) as caught:
        amb.experiment(table(), group="arm")
    assert caught.value.code == "usage.option"


def test_other_arms_than_planned():
    write()
    assert code(DataError, table=table(arms=3)) == "data.plan"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"alpha": 0.05', '"alpha": 0.1'),
        ("paid:share", "spend"),
        ('"dated": "2', '"dated": "1'),
        ('"sha256": "', '"sha256": "0'),
    ],
)
def test_edited_after_it_was_dated(before, after):
    write()
    text = read()
    assert before in text
    Path("PLAN.json").write_text(text.replace(before, after, 1))
    with pytest.raises(Refused) as caught:
        amb.experiment(table(), plan="PLAN.json")
    assert caught.value.code == "check.altered" and caught.value.exit_code == 4


def test_other_white_space_is_no_edit():
    write()
    content = json.loads(read())
    Path("PLAN.json").write_text(json.dumps(dict(reversed(content.items()))))
    assert read_plan("PLAN.json").metric == "paid:share"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        "null",
        '{"schema": "ambidex-plan/9"}',
        '{"metric": "x"}',
        "id,arm\n1,A\n",
        "[" * 100_000,
        "\udcff",
    ],
)
def test_no_plan(text):
    Path("x.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert code(DataError, plan="x.json") == "data.plan"


def test_a_plan_with_fields_of_another_kind():
    write()
    content = json.loads(read())
    for change in ({"alpha": "x"}, {"looks": 0}, {"arms": 1}, {"units": None}, {"metric": None}, {"looks": True},
                   {"guardrails": "x"}, {"alpha": 3}):  # fmt: skip
        edited = {**content, **change}
        edited["sha256"] = digest(edited)
        Path("y.json").write_text(json.dumps(edited))
        assert code(DataError, plan="y.json") == "data.plan"


def test_no_such_file():
    write()
    with pytest.raises(NotFound, match=r"PLAN\.json"):
        amb.experiment(table(), plan="PLAM.json")
    assert code(UsageError, plan=7) == "usage.type"


def test_the_date_stays_with_the_content():
    content = {"metric": "x", "alpha": 0.05}
    assert write_plan(content, "P.json", moment=MOMENT) == ""
    first = read("P.json")
    later = datetime(2026, 4, 1, tzinfo=UTC)
    assert write_plan(content, "P.json", moment=later) == "" and read("P.json") == first
    assert write_plan({**content, "alpha": 0.01}, "P.json", moment=later) == "2026-03-01T12:00:00Z"
    with pytest.raises(DataError) as caught:
        write_plan(content, "no/where/P.json", moment=MOMENT)
    assert caught.value.code == "data.no-out-folder"
    with pytest.raises(DataError):
        write_plan(content, ".", moment=MOMENT)


def test_a_replaced_plan_is_said():
    write()
    again = write(difference=0.04)
    assert [c.code for c in again.cautions] == ["plan-replaced"]


def test_hold_compares_by_meaning():
    write(shares={"A": 0.5, "B": 0.5})
    plan = read_plan("PLAN.json")
    assert hold(plan, {"shares": "B=0.5, A=.5", "metric": "paid:share"})["shares"] == {"A": 0.5, "B": 0.5}


def test_an_early_look_that_is_open_points_to_the_next_one():
    write(looks=3)
    units = json.loads(read())["units"]
    answer = amb.experiment(table(units // 3, effect=0.03), plan="PLAN.json")
    assert answer.recommendation.verdict == "not-enough-evidence"
    assert "the next planned look: this one is at 33% of the planned units" in answer.recommendation.text


def test_unequal_shares_are_no_number_per_arm():
    answer = amb.plan(effect=2, sd=12, shares="A=.8,B=.2")
    assert answer.headline.startswith("1,770 units in all, 885 per arm on average")
    assert "A 1,416 and B 354 units" in answer.recommendation.text
