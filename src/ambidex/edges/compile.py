"""A fitted estimator or model file as a plan: the encoder's expressions, and trees or weights.

Called by ``bundle/compile.py``, which proves the plan against the model before anything is sealed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ambidex.bundle.compiled import TREES
from ambidex.bundle.compiled_source import ZERO
from ambidex.edges.features_of import Value, features_of, inputs_of, numbers_of
from ambidex.edges.native import Native
from ambidex.edges.tree_text import near_zero, text_of, thresholds
from ambidex.edges.trees_of import EXACT, FLOAT32, NotCompiled, Scored, forest_of, xgboost_forest

__all__ = ["Planned", "plan_of"]

Expression = list[Any]
_LINEAR = {
    "LinearRegression": "identity", "Ridge": "identity", "RidgeCV": "identity", "Lasso": "identity",
    "LassoCV": "identity", "ElasticNet": "identity", "ElasticNetCV": "identity", "SGDRegressor": "identity",
    "BayesianRidge": "identity", "ARDRegression": "identity", "HuberRegressor": "identity", "Lars": "identity",
    "LassoLars": "identity", "LassoLarsCV": "identity", "LassoLarsIC": "identity", "LarsCV": "identity",
    "LinearSVR": "identity", "QuantileRegressor": "identity", "TheilSenRegressor": "identity",
    "OrthogonalMatchingPursuit": "identity", "PoissonRegressor": "exp", "GammaRegressor": "exp",
    "LogisticRegression": "expit", "LogisticRegressionCV": "expit", "SGDClassifier": "expit",
}  # fmt: skip
_WEIGHT = 1e-9
"""A sum of products is made by BLAS in the original, in another order."""

_HALF_LEAST = 2.0**-150
"""What float32 rounds to zero: up to half of its least number."""

Planned = tuple[dict[str, Any], dict[str, bytes], dict[int, list[float]]]
"""The plan, the files it names, and the thresholds of each number that the trees take."""


def plan_of(scorer: Any) -> Planned:
    """The plan of a bundle of code that was opened.

    Args:
        scorer: What ``edges.code.open_code`` gave.

    Raises:
        NotCompiled: A step has no compiled form.
    """
    predictor = scorer.predictor
    if isinstance(predictor, Native):
        return _native(predictor)
    model, plan = getattr(predictor, "model", None), getattr(predictor, "plan", None)
    if model is None or not isinstance(plan, Mapping) or "kinds" not in plan:
        raise NotCompiled("the model is Python code of its own (predict.py)")
    values = inputs_of([plan["kinds"][name] for name in plan["names"]])
    sparse = False
    while type(model).__name__ == "Pipeline" and type(model).__module__.startswith("sklearn."):
        for _, step in model.steps[:-1]:
            values = features_of(step, values)
            sparse = _gives_sparse(step, sparse)
        model = model.steps[-1][1]
    return _estimator(model, values, int(plan["place"]), sparse=sparse)


def _gives_sparse(step: Any, given: bool) -> bool:
    """Whether a transformer gives a sparse matrix."""
    kind = type(step).__name__
    if kind == "Pipeline":
        for _, part in step.steps:
            given = _gives_sparse(part, given)
        return given
    if kind == "ColumnTransformer":
        return bool(step.sparse_output_)
    if kind == "OneHotEncoder":
        return bool(step.sparse_output)
    if kind == "KBinsDiscretizer":
        return bool(step.encode == "onehot")
    if kind == "FeatureUnion":
        return any(_gives_sparse(part, given) for _, part in step.transformer_list)
    return given


def _estimator(model: Any, values: list[Value], place: int, *, sparse: bool) -> Planned:
    kind = type(model).__name__
    if kind in _LINEAR and type(model).__module__.startswith("sklearn."):
        return _linear(model, numbers_of(values, kind), place)
    if type(model).__module__.startswith("lightgbm") and model.booster_.pandas_categorical:
        values = _lightgbm_categories(model, values)
    scored = forest_of(model, place)
    if scored is None:
        raise NotCompiled(f"{kind} has no compiled form")
    if getattr(model, "_preprocessor", None) is not None:  # HistGradientBoosting with categories
        values = features_of(model._preprocessor, values)
    return _trees(scored, numbers_of(values, kind), sparse=sparse)


def _trees(scored: Scored, features: Sequence[Expression], *, sparse: bool = False) -> Planned:
    cuts: dict[int, list[float]] = {}
    es = list(features)
    for feature, code in (scored.codes or {}).items():
        es[feature] = _coded(es[feature], code)
    if scored.forest is not None:
        least = _HALF_LEAST if scored.numbers == "f32" else 0.0
        for feature in near_zero(scored.forest):
            es[feature] = ["tiny", es[feature], least]
        for feature, threshold in thresholds(scored.forest):
            cuts.setdefault(feature, []).append(threshold)
        try:
            text = text_of(scored.forest, single=scored.numbers == "f32")
        except ValueError as error:
            raise NotCompiled(str(error)) from error
    else:
        text = scored.text or b""
        cuts = _cuts_of_text(text)
        for feature, some in cuts.items():
            if sparse and ZERO in some:
                es[feature] = ["below", es[feature]]
    plan = {
        "link": scored.link, "tolerance": scored.tolerance,
        "scorer": {"kind": "trees", "file": TREES, "numbers": scored.numbers, "outputs": scored.outputs,
                   "features": es},
    }  # fmt: skip
    return plan, {TREES: text}, {f: sorted(set(some)) for f, some in cuts.items()}


def _coded(e: Expression, code: int) -> Expression:
    """A category's code, with one of its own for what is missing or new."""
    if e[0] != "pick":
        raise NotCompiled("HistGradientBoosting with categories given as numbers")
    known = [[k, v] for k, v in e[2] if v is not None and not math.isnan(v)]
    return ["pick", e[1], known, float(code), float(code)]


def _cuts_of_text(text: bytes) -> dict[int, list[float]]:
    cuts: dict[int, list[float]] = {}
    split: list[str] = []
    values: list[str] = []
    for line in text.decode().splitlines():
        key, _, rest = line.partition("=")
        if key == "split_feature":
            split = rest.split()
        elif key == "threshold":
            values = rest.split()
        elif key == "decision_type":
            for f, t, d in zip(split, values, rest.split(), strict=True):
                if not int(d) & 1:
                    cuts.setdefault(int(f), []).append(float(t))
    return cuts


def _lightgbm_categories(model: Any, values: list[Value]) -> list[Value]:
    levels = list(model.booster_.pandas_categorical)
    text = [i for i, v in enumerate(values) if v.kind != "number"]
    if len(text) != len(levels):
        raise NotCompiled("LightGBM with categories of numbers")
    made = list(values)
    for i, known in zip(text, levels, strict=True):
        table = [[str(level), float(code)] for code, level in enumerate(known)]
        made[i] = Value("number", ["pick", values[i].e, table, math.nan, math.nan])
    return made


def _linear(model: Any, features: Sequence[Expression], place: int) -> Planned:
    kind = type(model).__name__
    link = _LINEAR[kind]
    coefficients = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    intercepts = np.broadcast_to(np.atleast_1d(np.asarray(model.intercept_, dtype=np.float64)), len(coefficients))
    if link == "expit":
        several = len(model.classes_) > 2
        if kind == "SGDClassifier":
            if model.loss != "log_loss":
                raise NotCompiled(f"SGDClassifier with loss={model.loss!r}")
            link = "one-against-rest" if several else "expit"
        elif several:
            link = "softmax"
        if not several and place == 0:
            link = "expit-complement"
    elif len(coefficients) > 1:
        raise NotCompiled(f"{kind} predicts several outcomes")
    outputs = [
        {"intercept": float(b), "terms": [[float(w), e] for w, e in zip(row, features, strict=True)]}
        for row, b in zip(coefficients, intercepts, strict=True)
    ]
    cuts: dict[int, list[float]] = {}
    return {"link": link, "tolerance": _WEIGHT, "scorer": {"kind": "linear", "outputs": outputs}}, {}, cuts


def _native(native: Native) -> Planned:
    plan = native.plan
    features: list[Expression] = []
    for j, name in enumerate(plan["names"]):
        if name in plan["levels"]:
            table = [[str(level), float(code)] for code, level in enumerate(plan["levels"][name])]
            features.append(["pick", ["raw", j], table, math.nan, math.nan])
        elif name in plan.get("text", ()):
            raise NotCompiled(f"{name}, a text column of an ONNX model")
        else:
            features.append(["num", j])
    turned = plan["task"] == "binary" and plan["place"] == 0
    if plan["kind"] == "lightgbm":
        booster = native.model.booster
        outputs = booster.num_model_per_iteration()
        link = "complement" if turned else "identity"
        text = booster.model_to_string().encode()
        return _trees(Scored(None, "f64", link, tolerance=EXACT, text=text, outputs=outputs), features)
    if plan["kind"] == "xgboost":
        booster = native.model.booster
        best = booster.attributes().get("best_iteration")
        scored = xgboost_forest(bytes(booster.save_raw("json")), plan["place"], None if best is None else int(best))
        limit = float(np.finfo(np.float32).max)
        assert scored.tolerance == FLOAT32
        return _trees(scored, [["clip", e, -limit, limit] for e in features])
    raise NotCompiled("an ONNX file, executed by onnxruntime")
