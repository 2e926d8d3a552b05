"""What ``package`` can take from elsewhere: fitted estimators, functions, model files. Which one a source is."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ambidex.data.table import Table
from ambidex.edges import function, mlflow
from ambidex.errors import NotFound, UsageError

__all__ = ["ENDINGS", "file_digest", "is_foreign", "made_from"]

ENDINGS = (".skops", ".onnx", ".txt", ".lgb", ".lightgbm", ".model", ".ubj", ".json", ".xgb", ".keras", ".h5", ".zip")
"""Endings of files that may be models; what a file is inside decides how it is read."""
MOST = 1 << 30
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth")


def is_foreign(source: Any) -> bool:
    """Whether this is an estimator, a function or a model file (an answer and a notebook are not)."""
    if isinstance(source, str | Path):
        ending = Path(str(source)).suffix.lower()
        return ending in (*ENDINGS, *_PICKLES) or mlflow.is_folder(source) or function.is_function(source)
    return hasattr(source, "predict") and not isinstance(source, type)


def file_digest(path: Path) -> str:
    """Hex sha256 of a file, read piece by piece."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def made_from(
    source: Any,
    *,
    name: str,
    table: Table,
    target: str,
    positive: str | None = None,
    key: str | None = None,
    time: str | None = None,
    frame: Any = None,
) -> Any:
    """The bundle of a source: ``estimators.Made``.

    Args:
        source: A fitted estimator, or the path of a model file.
        name: Model's name.
        table: Labelled rows.
        target: Outcome column.
        positive: Label that counts as yes.
        key: Key column, or None.
        time: Event-time column, or None.
        frame: The rows as the caller's own dataframe, where they came as one.

    Raises:
        UsageError: ``usage.source``.
        DataError, Refused: By what is wrong with it.
    """
    from ambidex.edges import estimators, model_files, skops

    if function.is_function(source):
        return function.from_function(
            source, name=name, table=table, target=target, positive=positive, key=key, time=time
        )
    if isinstance(source, str | Path):
        path = Path(source)
        if not path.exists():
            raise NotFound("data.no-file", f"no file {path}", where=str(path))
        if path.suffix.lower() in _PICKLES:
            raise UsageError(
                "usage.source",
                f"{path.name} is a pickle, which runs code when it is opened, so it is not opened",
                found="accepted are .skops, .onnx, LightGBM text, XGBoost .json and .ubj, MLflow folders",
                do="package the estimator from Python: ambidex.package(model, name=…, table=…, target=…)",
            )
        if path.is_dir():
            name_, data, names = mlflow.model_of(path)
        elif path.stat().st_size > MOST:
            raise UsageError("usage.source", f"{path.name} holds more than {MOST:,} bytes", where=str(path))
        else:
            name_, data, names = path.name, path.read_bytes(), None
        if not name_.lower().endswith(".skops"):
            return model_files.from_file(
                data, model_files.kind_of(name_, data), name=name, table=table, target=target, positive=positive,
                key=key, time=time, names=names,
            )  # fmt: skip
        source = skops.read(data)
    return estimators.from_estimator(
        source, name=name, table=table, target=target, positive=positive, key=key, time=time, frame=frame
    )
