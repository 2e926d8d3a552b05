"""The readable model: plain JSON, one row in plain Python, many rows bit-equal, finite whatever comes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambidex.bundle.additive import FORMAT, AdditiveScorer, constant, fit_columns
from ambidex.errors import DataError
from ambidex.records import Schema, canonical

BINARY = Schema(columns=(), target="churned", task="binary", classes=("0", "1"))
VALUE = Schema(columns=(), target="spend", task="regression")


def customers(n: int = 600, seed: int = 3) -> tuple[dict[str, Any], np.ndarray]:
    """The columns of the contract: age, income (with gaps), n, plan (with gaps and rare levels)."""
    rng = np.random.default_rng(seed)
    age = rng.uniform(18, 80, n)
    income = rng.lognormal(10, 1, n)
    income[rng.random(n) < 0.1] = np.nan
    plan = rng.choice(np.array(["basic", "plus", "pro", None], dtype=object), n, p=[0.5, 0.3, 0.15, 0.05])
    plan[:40] = [f"rare {i}" for i in range(40)]
    columns = {"age": age, "income": income, "n": rng.integers(0, 9, n).astype(float), "plan": plan}
    logit = -1 + 0.03 * (age - 50) + (plan == "basic") * 0.8
    return columns, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)


@pytest.fixture(scope="module")
def models() -> list[dict[str, Any]]:
    columns, y = customers()
    return [json.loads(canonical(fit_columns(columns, y, s))) for s in (BINARY, VALUE)]


numbers = st.one_of(
    st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, -1e308, 5e-324, 0.0, -0.0, math.inf, -math.inf, 18.0, 80.0]),
    st.integers(min_value=-(2**63), max_value=2**63 - 1),
)
labels = st.one_of(st.none(), st.sampled_from(["basic", "plus", "pro", "rare 3"]), st.text(max_size=8))
rows = st.lists(
    st.fixed_dictionaries({"age": numbers, "income": numbers, "n": numbers, "plan": labels}), min_size=1, max_size=12
)


@settings(max_examples=150, deadline=None)
@given(rows=rows)
def test_many_rows_equal_one_row_bit_for_bit_and_all_are_finite(
    models: list[dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    columns: dict[str, Any] = {
        name: np.array([np.nan if r[name] is None else float(r[name]) for r in rows]) for name in ("age", "income", "n")
    }
    columns["plan"] = np.array([r["plan"] for r in rows], dtype=object)
    for model in models:
        scorer = AdditiveScorer(model)
        many = scorer.score_columns(columns, len(rows))
        one = np.array([scorer.score(r) for r in rows])
        assert many.dtype == np.float64
        assert many.tobytes() == one.tobytes()
        assert np.isfinite(one).all()
        if model["link"] == "logit":
            assert ((one > 0) & (one < 1)).all()


def test_the_schema_says_what_training_rows_held(models: list[dict[str, Any]]) -> None:
    schema = AdditiveScorer(models[0]).schema
    assert [(c.name, c.type, c.nullable) for c in schema.columns] == [
        ("age", "float", False),
        ("income", "float", True),
        ("n", "integer", False),
        ("plan", "category", True),
    ]
    assert schema.columns[3].levels[:3] == ("basic", "plus", "pro")
    assert len(schema.columns[3].levels) == 43
    assert schema.classes == ("0", "1")


def test_the_same_rows_give_the_same_bytes() -> None:
    columns, y = customers()
    assert canonical(fit_columns(columns, y, BINARY)) == canonical(fit_columns(columns, y, BINARY))


def test_rare_levels_share_an_effect_and_a_new_one_gets_it_too(models: list[dict[str, Any]]) -> None:
    scorer = AdditiveScorer(models[0])
    row = {"age": 40.0, "income": 20000.0, "n": 2}
    folded = models[0]["terms"][3]["levels"]
    assert sum(v == models[0]["terms"][3]["other"] for v in folded.values()) == 13  # 43 levels, 30 of their own
    last = scorer.schema.columns[3].levels[-1]
    assert scorer.score({**row, "plan": last}) == scorer.score({**row, "plan": "never seen"})


def test_a_curve_is_straight_beyond_its_knots_and_flat_beyond_its_reach(models: list[dict[str, Any]]) -> None:
    term = models[1]["terms"][0]
    scorer = AdditiveScorer(models[1])

    def at(age: float) -> float:
        return scorer.contributions({"age": age})["age"]

    last, (low, high) = term["knots"][-1], term["reach"]
    step = (high - last) / 4
    assert at(last + step) - at(last) == pytest.approx(at(last + 2 * step) - at(last + step), rel=1e-9)
    assert at(high) == at(high * 10) == at(1e308)
    assert at(low) == at(-1e308)
    assert len(term["knots"]) == 4


def test_the_json_alone_gives_the_spline_that_was_fitted() -> None:
    from ambidex.stats.design import Design, number
    from ambidex.stats.regression import linear

    columns, _ = customers()
    x = columns["age"]
    y = np.sin(x / 12) * 100
    model = fit_columns({"age": x}, y, VALUE)
    design = Design((number("age", x),))
    matrix = design.matrix({"age": x})
    penalty = np.maximum(matrix.var(axis=0), 1e-12)
    expected = matrix @ linear(matrix, y, penalty=penalty).coefficients
    assert AdditiveScorer(model).score_columns({"age": x}, len(x)) == pytest.approx(expected, abs=1e-7)


def test_missing_values_have_an_effect_of_their_own() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=4000)
    gap = rng.random(4000) < 0.3
    y = (rng.random(4000) < np.where(gap, 0.8, 0.2)).astype(float)
    scorer = AdditiveScorer(fit_columns({"x": np.where(gap, np.nan, x)}, y, BINARY))
    assert scorer.score({"x": None}) == pytest.approx(0.8, abs=0.03)
    assert scorer.score({}) == scorer.score({"x": math.nan}) == scorer.score({"x": None})
    assert scorer.score({"x": 0.0}) == pytest.approx(0.2, abs=0.03)


def test_a_perfect_predictor_stays_finite_and_ranks() -> None:
    y = np.array([0.0, 1.0] * 100)
    scorer = AdditiveScorer(fit_columns({"copy": y.copy(), "same": y * 2 + 1}, y, BINARY))
    assert scorer.score({"copy": 1, "same": 3}) > 0.9 > 0.1 > scorer.score({"copy": 0, "same": 1})


@pytest.mark.parametrize(
    "values",
    [np.full(50, np.nan), np.full(50, 7.0), np.array([1e308, -1e308] * 25), np.array([0.0, 5e-324] * 25)],
    ids=["empty", "constant", "huge", "tiny"],
)
def test_awkward_columns_train_and_score(values: np.ndarray) -> None:
    y = np.array([0.0, 1.0, 1.0, 0.0, 1.0] * 10)
    for schema in (BINARY, VALUE):
        model = json.loads(canonical(fit_columns({"x": values}, y, schema)))
        scorer = AdditiveScorer(model)
        for value in (None, 0, 7.0, 1e308, -1e308):
            assert math.isfinite(scorer.score({"x": value}))


def test_large_means_do_not_hide_the_effect() -> None:
    rng = np.random.default_rng(2)
    x = 1e9 + rng.normal(size=3000)
    y = 1e9 + 2 * (x - 1e9)
    scorer = AdditiveScorer(fit_columns({"x": x}, y, VALUE))
    assert scorer.score({"x": 1e9 + 1}) - scorer.score({"x": 1e9}) == pytest.approx(2, abs=0.02)


def test_the_constant_says_the_base_rate(models: list[dict[str, Any]]) -> None:
    for model in models:
        flat = AdditiveScorer(constant(model))
        assert flat.score({"age": 5, "plan": "x"}) == pytest.approx(model["base"], abs=1e-12)


def test_no_columns_is_a_constant() -> None:
    y = np.array([0.0, 1.0, 1.0, 1.0])
    assert AdditiveScorer(fit_columns({}, y, BINARY)).score({}) == pytest.approx(0.75)


def test_threads_agree(models: list[dict[str, Any]]) -> None:
    scorer = AdditiveScorer(models[0])
    row = {"age": 33.5, "income": None, "n": 4, "plan": "plus"}
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda _: scorer.score(row), range(500)))) == 1


def test_another_format_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        AdditiveScorer({"format": "other/1"})
    assert caught.value.code == "data.schema"
    assert FORMAT in str(caught.value)


def test_scoring_one_row_imports_no_numpy() -> None:
    code = (
        "import sys\n"
        "from ambidex.bundle.additive import AdditiveScorer\n"
        "m = {'format': 'ambidex-additive/1', 'link': 'logit', 'intercept': 0.0, 'base': .5, 'rows': 1, 'terms': [],\n"
        "     'schema': {'target': 'y', 'task': 'binary', 'columns': []}}\n"
        "assert AdditiveScorer(m).score({}) == .5\n"
        "assert 'numpy' not in sys.modules, 'numpy'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
