"""Compiled forms of the formats that are our own: the same bits as the model, whatever comes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambidex.bundle.additive import AdditiveScorer, fit_columns
from ambidex.bundle.compile import compare, compile_model
from ambidex.bundle.compiled import PLAN, open_compiled, runtime_of
from ambidex.bundle.compiled_source import encoder_of, expit, linear_of
from ambidex.bundle.uplift import FORMAT, UpliftScorer, columns_of_both, fit_pair
from ambidex.errors import Refused
from ambidex.ports import Scorer
from ambidex.records import Schema, canonical


def customers(n: int = 400) -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(9)
    age, spend = rng.uniform(18, 80, n), rng.lognormal(3, 1, n)
    spend[rng.random(n) < 0.1] = np.nan
    plan = rng.choice(np.array(["basic", 'p"lus', None], dtype=object), n, p=[0.5, 0.4, 0.1])
    columns = {"age": age, "spend": spend, 'pl"an\\': plan}
    return columns, (rng.random(n) < 1 / (1 + np.exp(-0.05 * (age - 50)))).astype(float)


def rows_of(columns: dict[str, Any]) -> list[dict[str, Any]]:
    lists = {k: [None if v is None or v != v else v for v in values.tolist()] for k, values in columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[Scorer, dict[str, bytes]]]:
    columns, y = customers()
    out: dict[str, tuple[Scorer, dict[str, bytes]]] = {}
    for name, task, classes in (("yes or no", "binary", ("0", "1")), ("a number", "regression", ())):
        schema = Schema(columns=(), target="y", task=task, classes=classes)  # type: ignore[arg-type]
        model = json.loads(canonical(fit_columns(columns, y, schema)))
        out[name] = (AdditiveScorer(model), {"model.json": canonical(model)})
    treated = np.arange(len(y)) % 2 == 0
    first, second = fit_pair(columns, y, treated, binary=True)
    schema = Schema(columns=columns_of_both(first, second), target="y", task="regression")
    model = {"format": FORMAT, "schema": schema.to_json(), "base": 0.1, "treated": first, "control": second}
    model = json.loads(canonical(model))
    out["uplift"] = (UpliftScorer(model), {"model.json": canonical(model)})
    for scorer, files in out.values():
        files |= compile_model(files, scorer, rows_of(columns))
    return out


KINDS = ("yes or no", "a number", "uplift")


@pytest.mark.parametrize("kind", KINDS)
def test_equal_bit_for_bit_on_the_rows_of_the_proof(made: Any, kind: str) -> None:
    scorer, files = made[kind]
    said = json.loads(files[PLAN])
    assert said["runtime"] == "compiled", said["reason"]
    assert "bit for bit" in said["reason"] and said["parity"]["largest"] == 0.0
    assert runtime_of(files) == ("compiled", said["reason"])
    assert compare(scorer, open_compiled(files), rows_of(customers(50)[0]), tolerance=0.0).passed


numbers = st.one_of(
    st.none(), st.floats(allow_nan=False), st.integers(-(2**63), 2**63 - 1),
    st.sampled_from([1e308, -1e308, 5e-324, 0.0, -0.0, math.inf, -math.inf, 18.0, 80.0]),
)  # fmt: skip
labels = st.one_of(st.none(), st.sampled_from(["basic", 'p"lus']), st.text(max_size=6))


@settings(max_examples=150, deadline=None)
@given(numbers, numbers, labels)
def test_whatever_comes(made: Any, age: Any, spend: Any, plan: Any) -> None:
    row = {"age": age, "spend": spend, 'pl"an\\': plan}
    for scorer, files in made.values():
        assert open_compiled(files).score(row) == scorer.score(row)


def test_a_format_that_has_no_compiled_form_says_so() -> None:
    class Other:
        schema = Schema(columns=(), target="y", task="regression")

    files = {"model.json": canonical({"format": "ambidex-segments/1"})}
    files |= compile_model(files, Other(), [])  # type: ignore[arg-type]
    assert runtime_of(files) == ("fallback", "a model of format ambidex-segments/1 is scored in plain Python")
    with pytest.raises(Refused, match="no compiled form"):
        open_compiled(files)
    assert runtime_of({})[0] == "fallback"


def test_a_plan_can_do_no_more_than_its_operations() -> None:
    for e in (["__import__", 1], ["num", "0; import os"], ["fill", ["num", 0], "os"], ["fn", "eval", ["num", 0]]):
        with pytest.raises((Refused, ValueError, KeyError)):
            encoder_of([e], "f64")

    class Row:
        c0 = "'); import os; ('"

    picked = linear_of([{"intercept": 1.0, "terms": [[2.0, ["pick", ["raw", 0], [[Row.c0, 3.0]], 0.0, 0.0]]]}])
    assert picked(Row()) == 7.0


def test_expit_at_the_ends() -> None:
    assert [expit(v) for v in (0.0, 800.0, -800.0)] == [0.5, 1.0, 0.0]
    assert math.isnan(expit(math.nan))


def test_it_opens_without_numpy_and_without_what_fitted_it(made: Any, tmp_path: Any) -> None:
    _, files = made["yes or no"]
    for name in ("model.json", PLAN):
        (tmp_path / name).write_bytes(files[name])
    program = (
        "import sys, pathlib\n"
        "from ambidex.bundle.compiled import open_compiled\n"
        f"p = pathlib.Path({str(tmp_path)!r})\n"
        "s = open_compiled({n: (p / n).read_bytes() for n in ('model.json', 'compiled.json')})\n"
        "s.score({'age': 30.0})\n"
        "print([m for m in ('numpy', 'pandas', 'sklearn', 'lightgbm', 'scipy') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
