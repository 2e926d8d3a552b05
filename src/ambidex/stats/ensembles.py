"""Ensembles of trees, fitted by scikit-learn and taken out as plain arrays: reading them needs no library."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["fit_boosted", "fit_forest"]

Floats = NDArray[np.float64]


def fit_boosted(x: Floats, y: Floats, *, binary: bool, seed: int, params: dict[str, Any]) -> dict[str, Any]:
    """Boosted trees on histograms; a missing number has a side of its own at every node.

    Source: scikit-learn ``HistGradientBoosting``; Ke et al. (2017), NeurIPS 30, for the algorithm.

    Args:
        x: Inputs, NaN where missing, shape (n, features).
        y: 0/1, or numbers, shape (n,).
        binary: Whether the sum is log-odds.
        seed: Of the bins.
        params: ``max_iter``, ``learning_rate``, ``max_leaf_nodes``, ``l2_regularization``, ``min_samples_leaf``.

    Returns:
        ``trees`` (each ``feature`` (−1 a leaf), ``threshold``, ``left``, ``right``, ``missing_left``, ``value``),
        ``base``, ``link``, ``scale``, ``single``.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]  # scikit-learn needs it itself

    kind = HistGradientBoostingClassifier if binary else HistGradientBoostingRegressor
    with threadpool_limits(1):  # two threads that wait for each other on a busy machine took 50 s for 2,000 rows
        model = kind(random_state=seed, early_stopping=False, **params).fit(x, y)
    trees = []
    for predictor, *_ in model._predictors:
        nodes = predictor.nodes
        leaf = nodes["is_leaf"].astype(bool)
        trees.append(
            {
                "feature": np.where(leaf, -1, nodes["feature_idx"]).tolist(),
                "threshold": _finite(np.where(leaf, 0.0, nodes["num_threshold"])),
                "left": nodes["left"].tolist(),
                "right": nodes["right"].tolist(),
                "missing_left": nodes["missing_go_to_left"].astype(int).tolist(),
                "value": np.where(leaf, nodes["value"], 0.0).tolist(),
            }
        )
    base = float(np.ravel(model._baseline_prediction)[0])
    return {"trees": trees, "base": base, "link": "logit" if binary else "identity", "scale": 1.0, "single": False}


def fit_forest(x: Floats, y: Floats, *, binary: bool, seed: int, params: dict[str, Any]) -> dict[str, Any]:
    """A random forest; its trees compare numbers rounded to single precision, so inputs are rounded first.

    Source: Breiman (2001), Machine Learning 45, 5-32; scikit-learn's trees.

    Args:
        x: Inputs, NaN where missing, shape (n, features).
        y: 0/1, or numbers, shape (n,).
        binary: Whether the mean of the leaves is a probability.
        seed: Of rows and columns drawn.
        params: ``n_estimators``, ``min_samples_leaf``, ``max_features``.

    Returns:
        As ``fit_boosted``.
    """
    from sklearn.ensemble import RandomForestRegressor

    # The mean of 0 and 1 in a leaf is the share of yes; the regressor's splits by variance are Gini's for two classes.
    model = RandomForestRegressor(random_state=seed, n_jobs=1, **params).fit(x.astype(np.float32), y)
    trees = []
    for member in model.estimators_:
        tree = member.tree_
        leaf = tree.children_left < 0
        trees.append(
            {
                "feature": np.where(leaf, -1, tree.feature).tolist(),
                "threshold": _finite(np.where(leaf, 0.0, tree.threshold)),
                "left": np.where(leaf, 0, tree.children_left).tolist(),
                "right": np.where(leaf, 0, tree.children_right).tolist(),
                "missing_left": tree.missing_go_to_left.astype(int).tolist(),
                "value": np.where(leaf, tree.value[:, 0, 0], 0.0).tolist(),
            }
        )
    link = "share" if binary else "identity"
    return {"trees": trees, "base": 0.0, "link": link, "scale": 1.0 / len(trees), "single": True}


def _finite(thresholds: Floats) -> list[float]:
    """A node that only asks whether a number is missing has an infinite threshold; JSON has no word for it."""
    largest = np.finfo(np.float64).max
    out: list[float] = np.clip(thresholds, -largest, largest).tolist()
    return out
