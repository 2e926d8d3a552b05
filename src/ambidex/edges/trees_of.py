"""Fitted tree models of scikit-learn, LightGBM and XGBoost as plain trees.

What each rounds, compares and adds is followed: scikit-learn's trees and XGBoost round their inputs to float32, XGBoost
sends ``x < c`` to the left (``x <= the float32 before c``), HistGradientBoosting and LightGBM compare in float64.
Sums are made in the order of the original, so that they are equal bit for bit; XGBoost adds in float32, and there the
last digits differ.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambidex.edges.tree_text import Forest, Tree

__all__ = ["MOST_NODES", "NotCompiled", "Scored", "forest_of", "xgboost_forest"]

MOST_NODES = 4_000_000
"""Nodes of one model: beyond them the text is larger than 400 MB."""
EXACT, FLOAT32 = 1e-12, 1e-5


class NotCompiled(Exception):
    """A step that has no compiled form; its text names the step and says why."""


@dataclass(frozen=True)
class Scored:
    """Trees, and how an output is made of them.

    Attributes:
        forest: The trees; None where ``text`` is the model already.
        text: A LightGBM model as it is.
        numbers: ``f32`` where inputs are rounded, ``f64`` where not.
        link: Name of the function from sums to the output.
        tolerance: Largest difference, as a share of max(1, |output|).
        codes: By feature: the code that stands for a missing or new category.
        outputs: Outputs a row.
    """

    forest: Forest | None
    numbers: str
    link: str
    tolerance: float = EXACT
    text: bytes | None = None
    codes: dict[int, int] | None = None
    outputs: int = 1


def forest_of(model: Any, place: int) -> Scored | None:
    """The trees of a fitted model; None if it is no model of trees.

    Args:
        model: Fitted.
        place: For two classes: which one's probability is asked.

    Raises:
        NotCompiled: A setting of it has no form as plain trees.
    """
    kind = type(model).__name__
    module = type(model).__module__.partition(".")[0]
    if module == "lightgbm":
        return _lightgbm(model, place)
    if module == "xgboost":
        booster = model.get_booster()
        best = getattr(model, "best_iteration", None) if booster.attributes().get("best_iteration") else None
        return xgboost_forest(bytes(booster.save_raw("json")), place, best)
    if module != "sklearn":
        return None
    if kind in ("DecisionTreeClassifier", "ExtraTreeClassifier", "DecisionTreeRegressor", "ExtraTreeRegressor"):
        return _averaged([model], model, place)
    if kind in ("RandomForestClassifier", "ExtraTreesClassifier", "RandomForestRegressor", "ExtraTreesRegressor"):
        return _averaged(model.estimators_, model, place)
    if kind in ("GradientBoostingClassifier", "GradientBoostingRegressor"):
        return _gradient_boosting(model, place)
    if kind in ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"):
        return _histogram(model, place)
    return None


def _count(nodes: int, kind: str) -> None:
    if nodes > MOST_NODES:
        raise NotCompiled(f"{kind} has {nodes:,} nodes, more than {MOST_NODES:,}")


def _averaged(estimators: Sequence[Any], model: Any, place: int) -> Scored:
    kind = type(model).__name__
    if getattr(model, "n_outputs_", 1) != 1:
        raise NotCompiled(f"{kind} predicts several outcomes")
    classes = len(getattr(model, "classes_", ()))
    outputs = classes if classes > 2 else 1
    _count(sum(int(e.tree_.node_count) for e in estimators) * outputs, kind)
    trees = []
    for estimator in estimators:
        tree = estimator.tree_
        values = tree.value[:, 0, :]
        if classes:
            for k in range(classes) if classes > 2 else (place,):
                trees.append(_sklearn_tree(tree, values[:, k]))
        else:
            trees.append(_sklearn_tree(tree, values[:, 0]))
    forest = Forest(trees, int(model.n_features_in_), outputs, average=True)
    return Scored(forest, "f32", "identity", outputs=outputs)


def _sklearn_tree(tree: Any, values: Any) -> Tree:
    inner = tree.children_left >= 0
    missing = getattr(tree, "missing_go_to_left", None)
    goes = np.zeros(len(inner), dtype=bool) if missing is None else np.asarray(missing).astype(bool)
    return Tree(
        np.where(inner, tree.feature, -1).tolist(), tree.threshold.tolist(), tree.children_left.tolist(),
        tree.children_right.tolist(), goes.tolist(), np.asarray(values, dtype=np.float64).tolist(),
    )  # fmt: skip


def _gradient_boosting(model: Any, place: int) -> Scored:
    kind = type(model).__name__
    stages = model.estimators_
    outputs = stages.shape[1]
    _count(sum(int(e.tree_.node_count) for e in stages.ravel()), kind)
    features = int(model.n_features_in_)
    start = _constant_start(model, features)
    trees = []
    for i, stage in enumerate(stages):
        for k, estimator in enumerate(stage):
            values = model.learning_rate * estimator.tree_.value[:, 0, 0]
            trees.append(_sklearn_tree(estimator.tree_, start[k] + values if i == 0 else values))
    classes = len(getattr(model, "classes_", ()))
    link = "identity"
    if classes == 2:
        if type(model._loss).__name__ != "HalfBinomialLoss":
            raise NotCompiled(f"{kind} with loss={model.loss!r}")
        link = "expit" if place == 1 else "expit-complement"
    elif classes:
        link = "softmax"
    return Scored(Forest(trees, features, outputs), "f32", link, outputs=outputs)


def _constant_start(model: Any, features: int) -> list[float]:
    """What the first stage starts from; a start that depends on the row has no place in the trees."""
    rows = np.vstack([np.zeros((1, features)), np.random.default_rng(0).normal(size=(7, features)) * 1e3])
    found = model._raw_predict_init(rows)
    if np.ptp(found, axis=0).any():
        raise NotCompiled(f"{type(model).__name__} with an init that is a model of its own")
    return [float(v) for v in found[0]]


def _histogram(model: Any, place: int) -> Scored:
    kind = type(model).__name__
    rounds = model._predictors
    outputs = len(rounds[0]) if rounds else 1
    _count(sum(len(p.nodes) for some in rounds for p in some), kind)
    start = np.asarray(model._baseline_prediction, dtype=np.float64).reshape(-1)
    remapped = model._is_categorical_remapped
    codes = {}
    if remapped is not None:
        lists = list(model._preprocessor.named_transformers_["encoder"].categories_)
        codes = {int(f): len(c) + 1 for f, c in zip(np.flatnonzero(remapped), lists, strict=True)}
    trees = []
    for i, some in enumerate(rounds):
        for k, predictor in enumerate(some):
            trees.append(_histogram_tree(predictor, float(start[k]) if i == 0 else None, codes))
    features = int(model._bin_mapper.n_bins_non_missing_.shape[0])
    link = "identity"
    classes = len(getattr(model, "classes_", ()))
    if classes == 2:
        link = "expit" if place == 1 else "expit-complement"
    elif classes:
        link = "softmax"
    elif type(model._loss).__name__ in ("HalfPoissonLoss", "HalfGammaLoss"):
        link = "exp"
    return Scored(Forest(trees, features, outputs), "f64", link, codes=codes, outputs=outputs)


def _histogram_tree(predictor: Any, start: float | None, codes: dict[int, int]) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    values = nodes["value"].astype(np.float64)
    if start is not None:
        values = start + values
    categories = {}
    for n in np.flatnonzero(nodes["is_categorical"].astype(bool) & ~leaf):
        feature = int(nodes["feature_idx"][n])
        mask = predictor.raw_left_cat_bitsets[int(nodes["bitset_idx"][n])]
        left = [c for c in range(codes[feature]) if int(mask[c // 32]) >> (c % 32) & 1] if feature in codes else None
        if left is None:
            raise NotCompiled("HistGradientBoosting with categories given as numbers")
        if nodes["missing_go_to_left"][n]:
            left.append(codes[feature])
        categories[int(n)] = tuple(left)
    return Tree(
        np.where(leaf, -1, nodes["feature_idx"]).tolist(), nodes["num_threshold"].astype(np.float64).tolist(),
        nodes["left"].tolist(), nodes["right"].tolist(), nodes["missing_go_to_left"].astype(bool).tolist(),
        values.tolist(), categories,
    )  # fmt: skip


def _lightgbm(model: Any, place: int) -> Scored:
    booster = getattr(model, "booster_", model)
    best = getattr(model, "best_iteration_", None) or -1
    text = booster.model_to_string(num_iteration=best if best > 0 else -1)
    if booster.params.get("linear_tree"):
        raise NotCompiled("LightGBM with linear trees")
    outputs = booster.num_model_per_iteration()
    turned = outputs == 1 and place == 0 and hasattr(model, "classes_")
    if hasattr(model, "classes_") and callable(getattr(model, "_objective", None)):
        raise NotCompiled("LightGBM with an objective of the caller's own")
    link = "complement" if turned else "identity"
    return Scored(None, "f64", link, text=text.encode(), outputs=outputs)


def xgboost_forest(data: bytes, place: int, best: int | None = None) -> Scored:
    """The trees of an XGBoost model in JSON.

    Args:
        data: What ``save_raw("json")`` gives.
        place: For two classes: which one's probability is asked.
        best: The last round that counts, or None for all.

    Raises:
        NotCompiled: A booster or an objective that is no sum of trees by number.
    """
    learner = json.loads(data)["learner"]
    booster = learner["gradient_booster"]
    objective = str(learner["objective"]["name"])
    weights = None
    if booster["name"] == "dart":
        weights = [float(w) for w in booster["weight_drop"]]
        booster = booster["gbtree"]
    elif booster["name"] != "gbtree":
        raise NotCompiled(f"XGBoost with booster {booster['name']!r}")
    link = _XGBOOST.get(objective)
    if link is None:
        raise NotCompiled(f"XGBoost with objective {objective!r}")
    said = booster["model"]
    param = learner["learner_model_param"]
    outputs = max(1, int(param["num_class"]))
    if int(param.get("num_target", "1")) > 1:
        raise NotCompiled("XGBoost with several outcomes")
    base = [float(v) for v in str(param["base_score"]).strip("[]").split(",")]
    base = base * outputs if len(base) == 1 else base
    if link == "expit":
        base = [_logit(b) for b in base]
        link = "expit" if place == 1 else "expit-complement"
    elif link == "exp":
        base = [math.log(b) for b in base]
    parallel = int(said["gbtree_model_param"]["num_parallel_tree"])
    count = len(said["trees"]) if best is None else (best + 1) * parallel * outputs
    _count(sum(len(t["left_children"]) for t in said["trees"]), "XGBoost")
    by_output: list[list[Tree]] = [[] for _ in range(outputs)]
    for i, (tree, k) in enumerate(zip(said["trees"][:count], said["tree_info"][:count], strict=True)):
        by_output[k].append(_xgboost_tree(tree, 1.0 if weights is None else weights[i]))
    rounds = max(len(some) for some in by_output)
    trees = []
    for i in range(rounds + 1):
        for k, some in enumerate(by_output):
            # base_score stands before the first tree, as a tree of one leaf
            trees.append(_leaf(base[k]) if i == 0 else some[i - 1] if i <= len(some) else _leaf(0.0))
    forest = Forest(trees, int(param["num_feature"]), outputs)
    return Scored(forest, "f32", link, tolerance=FLOAT32, outputs=outputs)


_XGBOOST = {
    "binary:logistic": "expit", "reg:logistic": "expit", "multi:softprob": "softmax", "multi:softmax": "softmax",
    "reg:squarederror": "identity", "reg:absoluteerror": "identity", "reg:pseudohubererror": "identity",
    "reg:squaredlogerror": "identity", "reg:quantileerror": "identity",
    "count:poisson": "exp", "reg:gamma": "exp", "reg:tweedie": "exp",
}  # fmt: skip


def _leaf(value: float) -> Tree:
    return Tree([-1], [0.0], [-1], [-1], [False], [value])


def _logit(p: float) -> float:
    return -math.log(1.0 / p - 1.0)


def _xgboost_tree(tree: Any, weight: float) -> Tree:
    if any(tree.get("split_type", ())):
        raise NotCompiled("XGBoost with splits by category")
    if int(tree["tree_param"].get("size_leaf_vector", "1")) > 1:
        raise NotCompiled("XGBoost with several outcomes a leaf")
    left = tree["left_children"]
    at = np.array(tree["split_conditions"], dtype=np.float32)
    below = np.nextafter(at, np.float32(-np.inf)).astype(np.float64)  # x < c, for x in float32
    values = (at * np.float32(weight)).astype(np.float64)
    return Tree(
        [f if n >= 0 else -1 for f, n in zip(tree["split_indices"], left, strict=True)], below.tolist(), left,
        tree["right_children"], [bool(d) for d in tree["default_left"]], values.tolist(),
    )  # fmt: skip
