"""XGBoost model files (.json, .ubj), executed by XGBoost."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.errors import EnvironmentProblem, Refused

__all__ = ["describe", "open_native"]


class _Booster:
    """A booster behind ``predict(matrix)``: P(positive), or the value."""

    def __init__(self, data: bytes) -> None:
        xgboost = _xgboost()
        self.booster = xgboost.Booster()
        self.booster.load_model(bytearray(data))
        self.booster.set_param({"nthread": 1})
        self._all = (0, int(self.booster.best_iteration) + 1) if "best_iteration" in self.booster.attributes() else None

    def predict(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (rows, features) -> (rows,)."""
        rounds = {"iteration_range": self._all} if self._all else {}
        # Values beyond float32 stand for its infinities, which XGBoost refuses.
        limit = float(np.finfo(np.float32).max)
        given = self.booster.inplace_predict(np.clip(inputs, -limit, limit), validate_features=False, **rounds)
        return np.asarray(given, dtype=np.float64).reshape(len(inputs))


def open_native(data: bytes, about: dict[str, Any]) -> _Booster:
    """The model; a child opens it first."""
    del about
    return _Booster(data)


def describe(data: bytes) -> dict[str, Any]:
    """Features and task, as the file says them.

    Raises:
        Refused: ``check.opens``.
    """
    booster = _Booster(data).booster
    learner = json.loads(booster.save_config())["learner"]
    kind = str(learner["objective"]["name"])
    if kind.startswith("multi:"):
        raise Refused("check.opens", "the XGBoost model tells several classes apart; a model here gives one number")
    if "c" in (booster.feature_types or []):
        raise Refused(
            "check.opens", "the XGBoost model has category columns, whose codes the file does not name",
        )  # fmt: skip
    names = list(booster.feature_names or [])
    return {
        "names": names or None, "count": booster.num_features(), "levels": {}, "float32": True,
        "task": "binary" if kind == "binary:logistic" else "regression",
    }  # fmt: skip


def _xgboost() -> Any:
    try:
        import xgboost
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(
            "env.missing-extra", "an XGBoost model needs xgboost, which is not installed", found="no package xgboost",
            do="pip install xgboost-cpu",
        ) from error  # fmt: skip
    return xgboost
