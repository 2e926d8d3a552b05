"""What sealed estimators call at run time: rows into the frame that they were fitted on, and out again.

Bundles name these functions, so their names and what they take stay.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.errors import MissingExtra

__all__ = ["fit_again", "frame_of", "frame_of_columns", "predict_with", "read_model"]


def frame_of(rows: Sequence[Mapping[str, Any]], plan: Mapping[str, Any]) -> Any:
    """The estimator's input from raw rows.

    Args:
        rows: float, int, str or None by column name.
        plan: ``names``, ``kinds`` (number, integer, boolean, text, category) and ``frame`` (pandas, polars, array).
    """
    return _built({name: [row.get(name) for row in rows] for name in plan["names"]}, len(rows), plan)


def frame_of_columns(columns: Mapping[str, Any], rows: int, plan: Mapping[str, Any]) -> Any:
    """The same from arrays: float64 with NaN, or objects with None."""
    return _built({name: columns[name] for name in plan["names"]}, rows, plan)


def predict_with(model: Any, frame: Any, plan: Mapping[str, Any]) -> NDArray[np.float64]:
    """P(positive class), or the value, shape (rows,); of several classes all of them, shape (rows, classes)."""
    with _few_threads(len(frame)):
        if plan["task"] == "binary":
            return np.asarray(model.predict_proba(frame), dtype=np.float64)[:, plan["place"]]
        if plan["task"] == "multiclass":
            return np.asarray(model.predict_proba(frame), dtype=np.float64)
        return np.asarray(model.predict(frame), dtype=np.float64).reshape(-1)


_THREADS: list[Any] = []
_FEW_ROWS = 2_000


def _few_threads(rows: int) -> AbstractContextManager[Any]:
    """One thread for few rows: on a busy machine of two cores OpenMP's threads waited 150 ms for each other a row."""
    if rows > _FEW_ROWS:
        return nullcontext()
    if not _THREADS:
        try:
            from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]
        except ModuleNotFoundError:
            return nullcontext()
        _THREADS.append(ThreadpoolController())
    limited: AbstractContextManager[Any] = _THREADS[0].limit(limits=1)
    return limited


def read_model(folder: Path) -> Any:
    """The estimator of a bundle's state."""
    from ambidex.edges import skops

    place = folder / "model.skops"
    if place.exists():
        return skops.read(place.read_bytes())
    # The mark was checked, and the bundle's digest is the one that this workspace's log names.
    return pickle.loads((folder / "model.pickle").read_bytes())  # noqa: S301


def fit_again(table: Path, state: Path) -> None:
    """Fit a clone of the sealed estimator on a table, and write it over the old state."""
    from sklearn.base import clone

    from ambidex.data.read import read
    from ambidex.edges import skops

    plan = json.loads((state / "plan.json").read_text(encoding="utf-8"))
    rows = read(str(table))
    columns = {
        name: rows.number(name) if plan["kinds"][name] in ("number", "integer") else rows.text(name)
        for name in plan["names"]
    }
    if plan["task"] in ("binary", "multiclass"):
        y = np.array([plan["labels"][v] for v in rows.text(plan["target"])])
    else:
        y = rows.number(plan["target"])
    model = clone(read_model(state)).fit(_built(columns, rows.rows, plan), y)
    if (state / "model.skops").exists():
        (state / "model.skops").write_bytes(skops.dump(model))
    else:
        (state / "model.pickle").write_bytes(pickle.dumps(model))


def _built(columns: Mapping[str, Any], rows: int, plan: Mapping[str, Any]) -> Any:
    made = {name: _typed(columns[name], plan["kinds"][name]) for name in plan["names"]}
    if plan["frame"] == "array":
        numeric = all(plan["kinds"][n] in ("number", "integer", "boolean") for n in plan["names"])
        out = np.empty((rows, len(made)), dtype=np.float64 if numeric else object)
        for j, values in enumerate(made.values()):
            out[:, j] = values
        return out
    if plan["frame"] == "polars":
        try:
            import polars
        except ModuleNotFoundError as error:
            raise MissingExtra("polars", "sklearn", "this model") from error
        return polars.DataFrame({n: v if v.dtype != object else v.tolist() for n, v in made.items()}, strict=False)
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise MissingExtra("pandas", "sklearn", "this model") from error
    return pandas.DataFrame({
        name: pandas.Series(values, dtype="category" if plan["kinds"][name] == "category" else None)
        for name, values in made.items()
    })  # fmt: skip


def _typed(values: Any, kind: str) -> NDArray[Any]:
    if kind in ("number", "integer"):
        numbers = np.asarray(values, dtype=np.float64)
        if kind == "integer" and not np.isnan(numbers).any() and (numbers == np.floor(numbers)).all():
            return numbers.astype(np.int64)
        return numbers
    if kind == "boolean":
        truth = [None if v is None or v != v else str(v).casefold() in ("true", "1") for v in values]
        if any(v is None for v in truth):
            return np.array(truth, dtype=object)
        return np.array(truth, dtype=bool)
    return np.array([np.nan if v is None else v for v in values], dtype=object)
