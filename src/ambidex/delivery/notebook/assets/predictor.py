"""Score raw rows as the notebook would have: single or many, the same."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from . import features
from .frozen import Frozen
from .schema import COLUMNS, INPUTS, KEY
from .state import decode, read_pickle

__all__ = ["Predictor", "frame_of", "load"]


def load(folder: Path) -> Predictor:
    """Read the state and make the predictor.

    Args:
        folder: Holds ``state.json`` and the pickles that it names.
    """
    document = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    package = (__package__ or "").strip()

    def value(entry: Any) -> Any:
        if "json" in entry:
            return decode(entry["json"])
        held = json.loads((folder / entry["file"]).read_text(encoding="utf-8"))
        return read_pickle(held, package)

    state = {name: value(entry) for name, entry in document["state"].items()}
    kept = {name: value(entry) for name, entry in document["kept"].items()}
    return Predictor(state, kept)


class Predictor:
    """The model with all that it needs.

    Args:
        state: Fitted objects by name.
        kept: Figures, levels and edges of the training rows.
    """

    def __init__(self, state: dict[str, Any], kept: dict[str, Any]) -> None:
        self.state = state
        self.kept = kept
        self.frozen = Frozen(kept)
        features.bind(state, self.frozen)

    def predict(self, rows: Sequence[Mapping[str, Any]]) -> list[float]:
        """One number a row, in the order of the rows.

        Raises:
            KeyError: A row lacks a column.
            ValueError: A value has another type than the column's.
        """
        return [float(v) for v in self._main(self.outputs(frame_of(rows)))] if rows else []

    def predict_all(self, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """All that the prototype gives for a row."""
        made = self.outputs(frame_of(rows))
        if isinstance(made, pd.DataFrame):
            return [{str(k): _plain(v) for k, v in row.items()} for row in made.to_dict(orient="records")]
        out = [{"prediction": float(v)} for v in made]
        threshold = features.THRESHOLD
        if threshold is not None:
            limit = self.state[threshold]
            return [{**o, "label": int(o["prediction"] >= limit)} for o in out]
        return out

    def outputs(self, raw: pd.DataFrame) -> Any:
        """What the prototype's own expression gives for a frame of raw rows."""
        return features.score(raw, self.state, self.kept, self.frozen)

    @staticmethod
    def _main(made: Any) -> Any:
        if isinstance(made, pd.DataFrame):
            made = made[features.MAIN]
        return np.asarray(made, dtype=float).ravel()


def frame_of(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Plain rows as the frame that the notebook read: the same columns in the same types.

    Columns that were there in training and are no inputs (the target, what is known later) are missing.

    Raises:
        KeyError: A row lacks an input.
        ValueError: A value has another type.
    """
    data: dict[str, Any] = {}
    for name, dtype in COLUMNS.items():
        wanted = name in INPUTS
        cells = [row[name] if wanted else None for row in rows]
        data[name] = _column(
            name, cells, dtype if wanted else "object" if dtype in ("str", "object", "bool") else "float64"
        )
    frame = pd.DataFrame(data)
    frame.index = pd.RangeIndex(len(rows), name=KEY)
    return frame


def _column(name: str, cells: list[Any], dtype: str) -> Any:
    missing = [c is None or c != c for c in cells]
    if dtype.startswith("datetime"):
        made = pd.to_datetime(
            pd.Series([None if m else c for c, m in zip(cells, missing, strict=True)], dtype=object), format="ISO8601"
        )
        return made.astype(dtype)
    if dtype.startswith(("int", "uint")):
        if any(missing):
            if all(missing):
                return pd.Series([np.nan] * len(cells), dtype="float64")
            raise ValueError(f"{name} is missing, and never was in training")
        numbers = [int(c) for c in cells]
        if any(n != float(c) for n, c in zip(numbers, cells, strict=True)):
            raise ValueError(f"{name} takes whole numbers")
        return pd.Series(numbers, dtype=dtype)
    if dtype.startswith("float"):
        return pd.Series([np.nan if m else float(c) for c, m in zip(cells, missing, strict=True)], dtype=dtype)
    if dtype == "bool":
        words = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}
        return pd.Series(
            [None if m else words[str(c).lower()] for c, m in zip(cells, missing, strict=True)],
            dtype=None if any(missing) else bool,
        )
    texts = [None if m else str(c) for c, m in zip(cells, missing, strict=True)]
    plain = "str" if dtype == "str" and int(pd.__version__.split(".")[0]) >= 3 else object
    return pd.Series(texts, dtype=plain)


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
