"""Looks at one claim: the same data again, a grown table, a planned look, one too many."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.stats.sequential import nominal_alpha


@pytest.fixture
def ws(tmp_path, monkeypatch):
    amb.init(tmp_path / "ws")
    monkeypatch.chdir(tmp_path / "ws")
    return tmp_path / "ws"


def rows(n, *, seed=1, effect=0.05):
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    u, spend = rng.random(n), rng.exponential(10, n)
    return pa.table(
        {
            "id": np.arange(n),
            "arm": ["AB"[i] for i in arm],
            "paid": (u < 0.2 + effect * arm).astype(int),
            "spend": spend,
        }
    )


def first(table, n, *, shuffled=False):
    part = table.slice(0, n)
    return part.take(np.random.default_rng(9).permutation(n)) if shuffled else part


def ask(table, **options):
    return amb.experiment(table, **({"group": "arm", "metric": "paid:share", "control": "A"} | options))


def looks(answer):
    return next(c for c in answer.checks if c.name == "looks")


def text(answer):
    return json.dumps(answer.to_dict())


def test_the_same_data_again_gives_the_same_bytes(ws):
    table = rows(4000)
    one = ask(first(table, 2000))
    two = ask(first(table, 4000))
    assert text(ask(first(table, 2000))) == text(one) and one.name == "answer/1"
    assert text(ask(first(table, 4000))) == text(two) and two.name == "answer/2"
    assert text(ask(first(table, 2000, shuffled=True)))[20:200] == text(one)[20:200]


def test_a_grown_table_is_a_second_look(ws):
    table = rows(6000)
    one, two, three = (ask(first(table, n, shuffled=n == 4000)) for n in (2000, 4000, 6000))
    assert looks(one).passed and not looks(two).passed and not looks(three).passed
    assert "Look 2" in looks(two).text and "2α = 0.1" in looks(two).text and "2,000 units" in looks(two).text
    assert all(v.claim.looks == "anytime" and v.estimate.anytime for v in two.verdicts)
    assert [e["units"] for e in three.record["looks"]["earlier"]] == [2000, 4000]
    assert two.strength != "strong" and three.strength != "strong"
    alone = ask(first(table, 4000), at=None)
    assert text(alone) == text(two)


def test_other_claims_and_other_rows_are_no_second_look(ws):
    table = rows(4000)
    ask(first(table, 2000))
    assert looks(ask(table, metric="spend")).passed
    assert looks(ask(table, unit="id")).passed
    assert looks(ask(rows(4000, seed=2))).passed
    assert not looks(ask(table, metric=["paid:share", "spend"], alpha=0.01)).passed


def test_outside_a_workspace_nobody_counts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = rows(4000)
    ask(first(table, 2000))
    assert looks(ask(table)).passed


def test_mended_rows_do_not_hide_a_look(ws):
    table = rows(4000)
    ask(first(table, 2000))
    paid = table["paid"].to_numpy().copy()
    paid[np.random.default_rng(4).choice(2000, 200, replace=False)] = 1
    mended = table.set_column(2, "paid", pa.array(paid))
    assert not looks(ask(mended)).passed
    assert looks(ask(first(table, 1000))).passed  # fewer rows have not grown


def test_a_table_without_ids(ws):
    table = rows(4000).drop_columns(["id", "spend"])
    ask(first(table, 2000))
    assert not looks(ask(table)).passed


def test_a_folder_too_large_for_memory(ws, monkeypatch):
    from pyarrow import parquet

    from ambidex.data import lazy

    monkeypatch.setattr(lazy, "LARGE_MIB", 0)
    table = rows(6000)
    (ws / "data" / "t").mkdir()
    parquet.write_table(first(table, 3000), ws / "data" / "t" / "a.parquet")
    one = ask("data/t")
    assert text(ask("data/t")) == text(one) and looks(one).passed
    parquet.write_table(table.slice(3000), ws / "data" / "t" / "b.parquet")
    assert "3,000 units" in looks(ask("data/t")).text
    (ws / "data" / "t" / "a.parquet").unlink()
    parquet.write_table(rows(5000, seed=3), ws / "data" / "t" / "c.parquet")
    assert looks(ask("data/t")).passed


def test_a_watched_claim_may_be_looked_at(ws):
    table = rows(6000)
    assert looks(ask(first(table, 2000), anytime=True)).passed
    second = ask(first(table, 4000), anytime=True)
    assert looks(second).passed and "look 2" in looks(second).text
    third = ask(table)  # without --anytime, after looks that were
    assert looks(third).passed and third.verdicts[0].claim.looks == "anytime"


def test_a_stopped_look_has_spent_nothing(ws):
    table = rows(6000)
    arm = np.array(table["arm"].to_pylist())
    broken = table.filter(pa.array((arm == "A") | (np.arange(6000) % 3 == 0)))
    stopped = ask(broken)
    assert stopped.recommendation.verdict == "cannot-answer"
    assert looks(ask(table)).passed


def test_planned_looks_at_the_information_reached(ws):
    amb.plan(metric="paid:share", baseline=0.2, difference=0.05, looks=3, group="arm", control="A", out="PLAN.json")
    planned = json.loads((ws / "PLAN.json").read_text())["units"]
    table = rows(6000)
    got = [amb.experiment(first(table, n), plan="PLAN.json") for n in (700, 1500, 2000, 2600)]
    assert [looks(a).passed for a in got] == [True, True, True, False]
    assert [a.record["looks"]["judged"] for a in got] == ["planned"] * 3 + ["anytime"]
    assert got[1].record["looks"]["times"] == pytest.approx([700 / planned, 1500 / planned])
    assert "look 2 of 3" in looks(got[1]).text and "spends the rest" in looks(got[2]).text
    assert "Look 4" in looks(got[3]).text and "spent" in looks(got[3]).text and "2α" in looks(got[3]).text
    assert text(amb.experiment(first(table, 1500), plan="PLAN.json")) == text(got[1])
    e = got[1].estimates[0]
    alone = replace(e, law=replace(e.law, looks=(), final=False))
    nominal = nominal_alpha([700 / planned, 1500 / planned], 0.05)
    assert nominal < 0.02 and (alone.at(nominal).low, alone.at(nominal).high) == pytest.approx((e.low, e.high))


def test_all_units_at_the_first_look_end_the_test(ws):
    amb.plan(metric="paid:share", baseline=0.2, difference=0.05, looks=3, group="arm", control="A", out="PLAN.json")
    table = rows(6000)
    whole = amb.experiment(first(table, 3000), plan="PLAN.json")
    assert looks(whole).passed and "spends the rest" in looks(whole).text
    assert not looks(amb.experiment(table, plan="PLAN.json")).passed


def test_a_look_before_the_plan_counts(ws):
    table = rows(6000)
    ask(first(table, 700))
    amb.plan(metric="paid:share", baseline=0.2, difference=0.05, looks=3, group="arm", control="A", out="PLAN.json")
    held = amb.experiment(first(table, 1500), plan="PLAN.json")
    assert not looks(held).passed and "not judged by this plan" in looks(held).text


def test_without_a_record_the_planned_looks_count_as_made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    amb.plan(metric="paid:share", baseline=0.2, difference=0.05, looks=5, group="arm", control="A", out="PLAN.json")
    held = amb.experiment(first(rows(6000), 1400), plan="PLAN.json")
    assert "look 3 of 5" in looks(held).text and "count as made" in looks(held).text
    assert held.record["looks"]["times"] == pytest.approx([0.2, 0.4, 1400 / 2242])


def test_a_plan_that_is_watched(ws):
    amb.plan(
        metric="paid:share", baseline=0.2, difference=0.05, anytime=True, group="arm", control="A", out="PLAN.json"
    )
    table = rows(6000)
    for n in (1000, 3000, 6000):
        answer = amb.experiment(first(table, n), plan="PLAN.json")
        assert looks(answer).passed and answer.verdicts[0].claim.looks == "anytime"
