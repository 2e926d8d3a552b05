"""The compiled form gives what the model gives, or the model itself answers and the step is named."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ambidex.bundle.code import FORMAT
from ambidex.bundle.compile import compare, compile_model
from ambidex.bundle.compiled import PLAN, TREES, open_compiled
from ambidex.edges import lightgbm_c
from ambidex.edges.compile import plan_of
from ambidex.edges.tree_text import Forest, Tree, text_of
from ambidex.errors import MissingExtra, Refused
from ambidex.records import canonical
from parity_tables import examine, kinds, rows_of_frame, scorer_of

pytest.importorskip("sklearn")
pytest.importorskip("lightgbm")
QUICK = (
    "random forest, binary", "extra trees, multiclass", "decision tree, regression", "gradient boosting, binary",
    "histogram boosting, multiclass", "LightGBM, binary", "logistic, binary", "SGD with log loss, multiclass",
    "ridge, regression",
)  # fmt: skip


@pytest.mark.parametrize("kind", QUICK)
def test_awkward_rows_of_tables_that_hypothesis_writes(kind: str) -> None:
    found = examine(kind, rows=600, tables=3)
    assert found.compiled >= 2 and found.rows >= 400, found.reasons
    assert (found.changed, found.differ, found.refused) == (0, 0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(kinds()))
def test_ten_thousand_awkward_rows(kind: str) -> None:
    found = examine(kind, rows=10_000, tables=10)
    assert found.compiled >= 7, found.reasons
    assert (found.changed, found.differ, found.refused) == (0, 0, 0)
    assert found.largest <= (1e-5 if kind.startswith("XGBoost") else 1e-12)


def table(rows: int = 300) -> tuple[pd.DataFrame, Any]:
    rng = np.random.default_rng(5)
    frame = pd.DataFrame({"n0": rng.normal(size=rows), "n1": rng.normal(size=rows) * 100})
    frame.loc[:20, "n1"] = np.nan
    frame["c0"] = rng.choice(["a", "b", "c"], rows)
    return frame, (frame.n0 + (frame.c0 == "a") > 0.3).astype(int)


def compiled_of(model: Any, frame: pd.DataFrame, task: str = "binary", classes: Any = ("0", "1")) -> dict[str, Any]:
    scorer = scorer_of(model, frame, task, classes)
    files = {"model.json": canonical({"format": FORMAT, "schema": scorer.schema.to_json()})}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files |= compile_model(files, scorer, rows_of_frame(frame))
    return {"files": files, "scorer": scorer, **json.loads(files[PLAN])}


def pipeline(step: Any, frame: pd.DataFrame, y: Any, model: Any = None) -> Any:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    steps = ColumnTransformer([("n", step, ["n0", "n1"])], remainder="drop")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return make_pipeline(steps, model if model is not None else LogisticRegression()).fit(frame, y)


def test_a_step_without_a_compiled_form_is_named() -> None:
    from sklearn.impute import KNNImputer
    from sklearn.neural_network import MLPClassifier

    frame, y = table()
    made = compiled_of(pipeline(KNNImputer(), frame, y), frame)
    assert (made["runtime"], made["reason"]) == ("fallback", "KNNImputer has no compiled form")
    assert TREES not in made["files"]
    from sklearn.impute import SimpleImputer

    made = compiled_of(pipeline(SimpleImputer(), frame, y, MLPClassifier((3,), max_iter=5)), frame)
    assert (made["runtime"], made["reason"]) == ("fallback", "MLPClassifier has no compiled form")


@pytest.mark.parametrize("step", ["bins", "one-hot bins", "products", "log", "chosen"])
def test_other_steps(step: str) -> None:
    from sklearn.feature_selection import SelectKBest
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, PolynomialFeatures

    frame, y = table()
    frame["n1"] = frame.n1.abs()
    made_of = {
        "bins": lambda: KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"),
        "one-hot bins": lambda: KBinsDiscretizer(4, quantile_method="averaged_inverted_cdf"),
        "products": lambda: PolynomialFeatures(2), "log": lambda: FunctionTransformer(np.absolute),
        "chosen": lambda: SelectKBest(k=1),
    }  # fmt: skip
    made = compiled_of(pipeline(make_pipeline(SimpleImputer(), made_of[step]()), frame, y), frame)
    assert made["runtime"] == "compiled", made["reason"]
    assert made["parity"]["changed"] == made["parity"]["differ"] == 0 < made["parity"]["rows"]


def test_histogram_boosting_with_categories_of_a_frame() -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    frame, y = table()
    frame.loc[40:60, "c0"] = None
    frame["c0"] = frame.c0.astype("category")
    model = HistGradientBoostingClassifier(max_iter=10).fit(frame, y)
    scorer = scorer_of(model, frame, "binary", ("0", "1"))
    scorer.predictor.plan["kinds"]["c0"] = "category"
    files = {"model.json": canonical({"format": FORMAT, "schema": scorer.schema.to_json()})}
    said = json.loads(compile_model(files, scorer, rows_of_frame(frame))[PLAN])
    assert (said["runtime"], said["parity"]["largest"]) == ("compiled", 0.0), said["reason"]


def test_a_plan_that_gives_something_else_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.ensemble import RandomForestClassifier

    frame, y = table()
    model = RandomForestClassifier(5, random_state=0).fit(frame[["n0", "n1"]], y)
    planned = plan_of

    def off(scorer: Any) -> Any:
        plan, files, cuts = planned(scorer)
        plan["scorer"]["numbers"] = "f64"  # the forest rounds to float32; boundary rows show it
        return plan, files, cuts

    monkeypatch.setattr("ambidex.edges.compile.plan_of", off)
    made = compiled_of(model, frame[["n0", "n1"]])
    assert made["runtime"] == "fallback"
    assert made["reason"].startswith("the compiled form does not give what the model gives: ")
    assert made["parity"]["differ"] > 0


def test_what_the_model_refuses_is_refused() -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.tree import DecisionTreeClassifier

    frame, y = table()
    steps = ColumnTransformer([("c", OneHotEncoder(), ["c0"]), ("n", "passthrough", ["n0"])])
    model = make_pipeline(steps, DecisionTreeClassifier()).fit(frame, y)
    made = compiled_of(model, frame)
    assert made["runtime"] == "compiled", made["reason"]
    compiled = open_compiled(made["files"])
    row = {"n0": 0.1, "n1": 2.0, "c0": "a"}
    assert compiled.score(row) == made["scorer"].score(row)
    with pytest.raises(KeyError, match="never"):
        compiled.score({**row, "c0": "never"})
    with pytest.raises(OverflowError):
        compiled.score({**row, "n0": 1e39})


def test_without_the_library_it_says_which_one(monkeypatch: pytest.MonkeyPatch) -> None:
    lightgbm_c.library.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match="lightgbm"):
        lightgbm_c.library()
    monkeypatch.undo()
    lightgbm_c.library()


def test_trees_that_are_none_are_refused() -> None:
    with pytest.raises(Refused, match=r"LightGBM refuses|trees take"):
        lightgbm_c.Trees(b"tree\nversion=v4\nnum_class=1\n", 1, 1, "f64")
    stump = Forest([Tree([0, -1, -1], [0.5], [1], [2], [True], [0.0, 1.0, 2.0])], features=1)
    with pytest.raises(Refused, match="take 1 numbers and give 1, the plan says 3 and 1"):
        lightgbm_c.Trees(text_of(stump), 3, 1, "f64")


def test_a_tree_is_followed_as_written() -> None:
    stump = Forest(
        [Tree([0, -1, -1], [0.5], [1], [2], [True], [0.0, 1.0, 2.0]), Tree([-1], [0.0], [-1], [-1], [False], [0.25])],
        features=1,
    )
    trees = lightgbm_c.Trees(text_of(stump), 1, 1, "f64")
    numbers = [0.5, float(np.nextafter(0.5, 1)), float("nan"), -1e300, float("inf")]
    rows = [np.float64(v).tobytes() for v in numbers]
    assert [trees.one(r) for r in rows] == [1.25, 2.25, 1.25, 1.25, 2.25]
    assert trees.many(rows * 10) == [trees.one(r) for r in rows] * 10
    with pytest.raises(ValueError, match="LightGBM reads as zero"):
        text_of(Forest([Tree([0, -1, -1], [1e-40], [1], [2], [True], [0.0, 1.0, 2.0])], features=1))


def test_a_model_file_of_xgboost(tmp_path: Any) -> None:
    xgboost = pytest.importorskip("xgboost")
    from ambidex.edges.native import Native

    frame, y = table()
    names = ["n0", "n1"]
    booster = xgboost.XGBClassifier(n_estimators=10, n_jobs=1).fit(frame[names], y).get_booster()
    plan = {"kind": "xgboost", "names": names, "levels": {}, "text": [], "task": "binary", "place": 1}
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    (tmp_path / "model.bin").write_bytes(bytes(booster.save_raw("ubj")))
    scorer = scorer_of(None, frame[names], "binary", ("0", "1"))
    from ambidex.edges.code import CodeScorer

    opened = CodeScorer(scorer.schema, Native(tmp_path))
    files = {"model.json": canonical({"format": FORMAT, "schema": scorer.schema.to_json()})}
    files |= compile_model(files, opened, rows_of_frame(frame[names]))
    said = json.loads(files[PLAN])
    assert said["runtime"] == "compiled", said["reason"]
    rows = [*rows_of_frame(frame[names]), {"n0": 1e300, "n1": -1e300}]
    parity = compare(opened, open_compiled(files), rows, tolerance=1e-5)
    assert parity.passed
