"""What ``package`` can take from elsewhere: fitted estimators, functions, model files. Which one a source is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ambidex.data.table import Table
from ambidex.errors import NotFound, UsageError

__all__ = ["ENDINGS", "is_foreign", "made_from"]

ENDINGS = {".skops": "skops"}
"""Endings of model files -> how they are read. What a file says it is inside is checked by its reader."""
_PICKLES = (".pkl", ".pickle", ".joblib", ".dill", ".cloudpickle", ".pt", ".pth")


def is_foreign(source: Any) -> bool:
    """Whether this is an estimator, a function or a model file (an answer and a notebook are not)."""
    if isinstance(source, str | Path):
        return Path(str(source)).suffix.lower() in (*ENDINGS, *_PICKLES)
    return hasattr(source, "predict") and not isinstance(source, type)


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
    from ambidex.edges import estimators

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
        from ambidex.edges import skops

        source = skops.read(path.read_bytes())
    return estimators.from_estimator(
        source, name=name, table=table, target=target, positive=positive, key=key, time=time, frame=frame
    )
