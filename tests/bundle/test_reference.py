"""The reference: cells that hold whole values, counts that add up, plain JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambidex.bundle.reference import (
    cells_of,
    count,
    labels_of,
    make_reference,
    mid_ranks,
    number_entry,
    quantile_of,
    slots,
)
from ambidex.data.read import read
from ambidex.records import Column, Schema, canonical
from support import shared
from watch.watched import columns, schema, table

Numbers = st.lists(st.one_of(st.floats(-1e9, 1e9), st.sampled_from([0.0, 1.0, 72.0])), min_size=0, max_size=200)


def test_cells_hold_about_a_sixteenth_each() -> None:
    rng = np.random.default_rng(2)
    entry = number_entry(rng.normal(size=16_000), rng.normal(size=16_000))
    counts = np.array(entry["counts"])
    assert len(counts) == 17
    assert counts[-1] == 0
    assert counts[:-1].min() > 850
    assert counts[:-1].max() < 1150


def test_a_value_that_many_rows_share_has_its_own_cell() -> None:
    values = np.concatenate([np.zeros(400), np.random.default_rng(1).uniform(0.5, 10, 600)])
    entry = number_entry(values)
    alone = cells_of(entry, np.array([0.0]))[0]
    assert entry["counts"][alone] == 400
    assert cells_of(entry, np.array([0.3]))[0] != alone
    assert cells_of(entry, np.array([-0.1]))[0] != alone


def test_a_constant_column_shows_when_it_no_longer_is() -> None:
    entry = number_entry(np.full(100, 7.0))
    below, same, above = cells_of(entry, np.array([6.0, 7.0, 8.0]))
    assert below < same < above
    assert mid_ranks(entry)[[below, same, above]].tolist() == [0.0, 0.5, 1.0]


@given(Numbers, Numbers)
def test_mid_ranks_average_to_a_half_on_the_reference(values: list[float], cut: list[float]) -> None:
    entry = number_entry(np.array(values), np.array(cut))
    counts, ranks = np.array(entry["counts"]), mid_ranks(entry)
    assert counts.sum() == len(values)
    assert ((ranks >= 0) & (ranks <= 1)).all()
    assert (np.diff(ranks[:-1]) >= 0).all()
    if counts[:-1].sum():
        assert (ranks[:-1] @ counts[:-1]) / counts[:-1].sum() == pytest.approx(0.5)
    assert entry == json.loads(canonical(entry))


@given(Numbers, st.integers(0, 200))
def test_counts_of_parts_add_up(values: list[float], at: int) -> None:
    entry = number_entry(np.random.default_rng(0).normal(size=500) * 1e3)
    whole = count(entry, np.array(values))
    assert (whole == count(entry, np.array(values[:at])) + count(entry, np.array(values[at:]))).all()


def test_categories_rare_unseen_and_missing() -> None:
    levels = [f"l{i:02d}" for i in range(20)]
    train = [v for i, v in enumerate(levels) for _ in range(30 - i)]
    of = Schema(columns=(Column(name="c", type="category"),), target="y", task="binary")
    reference = make_reference(table({"c": ["l00", "l19", "new", None]}), of, cut_on=table({"c": train}))
    entry = reference["columns"]["c"]
    assert entry["levels"] == levels[:16]
    assert entry["others"] == levels[16:]
    assert slots(entry)[-3:] == ["other", "unseen", "missing"]
    assert entry["counts"] == [1, *[0] * 15, 1, 1, 1]


def test_a_level_called_missing_is_not_the_missing_one() -> None:
    of = Schema(columns=(Column(name="c", type="category"),), target="y", task="binary")
    entry = make_reference(table({"c": ["missing", "missing", "x", None]}), of)["columns"]["c"]
    assert labels_of(entry) == ["missing", "x", "never seen", "(missing)"]
    assert entry["counts"] == [2, 1, 0, 1]


def test_medians_are_read_off_the_cells() -> None:
    rng = np.random.default_rng(4)
    entry = number_entry(rng.exponential(size=5_000), rng.exponential(size=5_000))
    assert quantile_of(entry, entry["counts"], 0.5) == pytest.approx(np.log(2), abs=0.1)
    assert quantile_of(entry, [0] * len(entry["counts"]), 0.5) is None


def test_whole_document_is_small_plain_json() -> None:
    rng, of = np.random.default_rng(0), schema(10, 10)
    rows = table(columns(rng, 2_000, of))
    losses = np.append(rng.uniform(size=1_999), np.nan)
    reference = make_reference(rows, of, scores=rng.uniform(size=2_000), losses=losses)
    text = canonical(reference)
    assert json.loads(text) == reference
    assert len(text) < 25_000
    assert reference["loss"]["n"] == 1_999
    assert set(reference["columns"]) == set(of.names)


def test_no_rows_at_all() -> None:
    entry = number_entry(np.array([]))
    assert entry["counts"] == [0, 0]
    assert mid_ranks(entry).tolist() == [0.5, 0.5]
    assert canonical(entry)


def test_losses_above_one_count_as_one() -> None:
    of = schema(1, 0)
    reference = make_reference(table({"n0": [1.0, 2.0]}), of, losses=[0.5, 40.0], spread=9.0)
    assert reference["loss"] == {
        "n": 2,
        "mean": 0.75,
        "sd": pytest.approx(0.35355, abs=1e-5),
        "cap": 1.0,
        "spread": 9.0,
    }


def test_blanks_of_a_real_table_are_missing() -> None:
    telco = read(shared("data/churn/telco_customer_churn.csv"))
    of = Schema(columns=(Column(name="TotalCharges", type="float", nullable=True),), target="Churn", task="binary")
    entry = make_reference(telco, of)["columns"]["TotalCharges"]
    assert entry["counts"][-1] == 11
    assert sum(entry["counts"]) == 7_043


def test_a_value_that_many_rows_share_is_named() -> None:
    values = np.where(np.arange(3000) < 2900, 999.0, np.arange(3000) % 20)
    entry = number_entry(values)
    names = labels_of(entry)
    assert "below 999" in names
    assert names[-2:] == ["above 999", "missing"] or "exactly 999" in names
