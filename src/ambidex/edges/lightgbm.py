"""LightGBM model files (text), executed by LightGBM."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.errors import MissingExtra, Refused

__all__ = ["describe", "open_native"]


class _Booster:
    """A booster behind ``predict(matrix)``: P(positive), or the value."""

    def __init__(self, data: bytes) -> None:
        lightgbm = _lightgbm()
        self.booster = lightgbm.Booster(model_str=_complete(data))

    def predict(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Shape (rows, features) -> (rows,)."""
        threads = 1 if len(inputs) < 2_000 else 0
        return np.asarray(self.booster.predict(inputs, num_threads=threads), dtype=np.float64)


def open_native(data: bytes, about: dict[str, Any]) -> _Booster:
    """The model. Truncated or hostile bytes can abort the process: a child opens them first."""
    del about
    return _Booster(data)


def describe(data: bytes) -> dict[str, Any]:
    """Features, task and category levels, as the file says them.

    Raises:
        Refused: ``check.opens`` for a file that is cut off, or of more than two classes.
    """
    text = _complete(data)
    head = text.partition("\nTree=")[0]
    said = dict(line.partition("=")[::2] for line in head.splitlines() if "=" in line)
    objective = said.get("objective", "regression").split()
    kind = objective[0] if objective else "regression"
    if kind.startswith("multiclass") or int(said.get("num_class", "1")) > 1:
        raise Refused("check.opens", "the LightGBM model tells several classes apart; a model here gives one number")
    names = said.get("feature_names", "").split()
    infos = said.get("feature_infos", "").split()
    last = re.search(r"^pandas_categorical:(.*)$", text, re.MULTILINE)
    levels = json.loads(last[1]) if last and last[1] not in ("null", "") else []
    by_name: dict[str, list[Any]] = {}
    categorical = [n for n, info in zip(names, infos, strict=False) if info != "none" and not info.startswith("[")]
    for name, known in zip(categorical, levels or [], strict=False):
        by_name[name] = known
    if levels and len(categorical) != len(levels):
        raise Refused(
            "check.opens", f"the LightGBM model names {len(levels)} category columns, and splits by {len(categorical)}"
        )
    _Booster(data)  # this is the child: what the header says is worth something only if the rest opens
    binary = kind in ("binary", "cross_entropy", "xentropy")
    return {"names": names, "task": "binary" if binary else "regression", "levels": by_name}


def _complete(data: bytes) -> str:
    text = data.decode("utf-8", errors="strict") if data[:5] == b"tree\n" else ""
    if not text:
        raise Refused("check.opens", "this is no LightGBM model in text form")
    if "\nend of trees" not in text:
        raise Refused("check.opens", "the LightGBM model is cut off", found="no line `end of trees`")
    return text


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise MissingExtra("lightgbm", "lightgbm", "a LightGBM model") from error
    return lightgbm
