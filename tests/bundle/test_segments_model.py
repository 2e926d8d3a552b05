"""A segment model read back from JSON: one row and many come out the same, awkward rows too."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ambidex.bundle.open import load_scorer
from ambidex.bundle.segments import SegmentScorer
from ambidex.bundle.segments_fit import fit_groups
from ambidex.errors import DataError

ROWS = 300


@pytest.fixture(scope="module")
def columns():
    rng = np.random.default_rng(0)
    age, spend = rng.normal(40, 12, ROWS), rng.lognormal(3, 1.5, ROWS)
    age[::17] = np.nan
    plan = np.array(rng.choice(["gold", "basic", "free"], ROWS), dtype=object)
    plan[::23] = None
    return {"age": age, "spend": spend, "plan": plan, "sort": np.array(rng.choice(["x", "y"], ROWS), dtype=object)}


def row(columns, i):
    cells = {n: v[i] for n, v in columns.items()}
    return {n: None if v is None or v != v else float(v) if isinstance(v, float) else v for n, v in cells.items()}


@pytest.mark.parametrize("approach", ["tiers", "kmeans", "mixture", "medoids", "classes", "hdbscan"])
def test_one_by_one_is_all_at_once(columns, approach):
    model = json.loads(json.dumps(fit_groups(columns, approach=approach, k=3), allow_nan=False))
    scorer = load_scorer(model)
    many = scorer.score_columns(columns, ROWS)
    assert [scorer.score(row(columns, i)) for i in range(ROWS)] == many.tolist()
    assert len(set(scorer.schema.classes)) == len(model["groups"])
    assert [int((many == g).sum()) for g in range(len(model["groups"]))] == [g["size"] for g in model["groups"]]


def test_rfm_puts_the_best_first():
    rng = np.random.default_rng(1)
    columns = {
        "recency": rng.uniform(0, 300, 200),
        "frequency": rng.poisson(3, 200) + 1.0,
        "money": rng.gamma(2, 50, 200),
    }
    scorer = SegmentScorer(fit_groups(columns, approach="rfm", k=4))
    assert scorer.name({"recency": 1, "frequency": 12, "money": 900}) == "Best"
    assert scorer.name({"recency": 299, "frequency": 1, "money": 1}) == "Lowest"
    assert scorer.schema.names == ("recency", "frequency", "money")


def test_any_row_has_a_segment(columns):
    scorer = SegmentScorer(fit_groups(columns, approach="medoids", k=3))
    for odd in ({}, {"age": None, "plan": "never seen"}, {"age": 10**400, "spend": -1e300}, {"spend": float("nan")}):
        assert scorer.name(odd) in scorer.schema.classes


def test_the_same_rows_give_the_same_model(columns):
    one, two = (json.dumps(fit_groups(columns, approach="mixture", k=2)) for _ in range(2))
    assert one == two


def test_segments_make_rows_more_alike(columns):
    scorer = SegmentScorer(fit_groups(columns, approach="kmeans", k=3))
    own, whole = scorer.misfit(columns, ROWS)
    assert own.mean() < 0.8 * whole.mean()


def test_another_format_and_too_few_rows():
    with pytest.raises(DataError, match="no segment model"):
        SegmentScorer({"format": "pickle"})
    with pytest.raises(DataError, match="cannot make 5 segments"):
        fit_groups({"x": np.arange(3.0)}, approach="kmeans", k=5)
    with pytest.raises(DataError, match="no column to work on"):
        fit_groups({"x": np.arange(30.0)}, approach="classes", k=2)
