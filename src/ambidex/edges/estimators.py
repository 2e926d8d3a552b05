"""A fitted scikit-learn estimator as a bundle of code, proven to predict the same.

The estimator is sealed as a skops file, or as plain JSON and LightGBM text where it is made of parts that
``edges/plain.py`` knows and where these predict the same. A pickle is the last resort: only for an estimator that this
process holds in memory, and marked.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.code import State, code_files
from ambidex.data.table import Table
from ambidex.edges import skops as skops_files
from ambidex.edges.proof import PROOF_ROWS, TOLERANCE, Made, answers, finite, golden_of, proof_rows, proven, raw_rows
from ambidex.errors import DataError, Refused, UsageError, did_you_mean
from ambidex.records import Column, Schema, canonical

__all__ = ["from_estimator", "infer_schema", "kinds_of"]


def from_estimator(
    estimator: Any,
    *,
    name: str,
    table: Table,
    target: str,
    positive: str | None = None,
    key: str | None = None,
    time: str | None = None,
    frame: Any = None,
) -> Made:
    """Turn a fitted estimator into a bundle.

    Args:
        estimator: Fitted; a classifier needs ``predict_proba``.
        name: Model's name.
        table: Rows with the columns that it was fitted on, and the target.
        target: Outcome column.
        positive: Label that counts as yes; the estimator's second class by default.
        key: Key column, or None.
        time: Event-time column, or None.
        frame: The same rows as the caller's own dataframe; its types are what the estimator knows.

    Raises:
        DataError: ``data.schema`` if the table lacks a column, or the number of features differs.
        UsageError: ``usage.source`` for an estimator that gives no probability.
        Refused: ``check.parity`` if no way of running it predicts the same.
    """
    table.require(target)
    names, by_name = _inputs(estimator, table, target, (key, time))
    kinds = kinds_of(table, names, frame)
    task, classes, order = _task(estimator, table, target, positive)
    plan: dict[str, Any] = {
        "names": names, "kinds": kinds, "frame": _library(frame) if by_name else "array", "task": task, "place": order,
        "target": target, "classes": list(classes), "labels": _labels(estimator, classes, order),
    }  # fmt: skip
    ask = _asker(estimator, plan)
    schema = infer_schema(
        table, names, target=target, task=task, classes=classes, key=key, time=time, kinds=kinds, ask=ask
    )
    rows, asked = proof_rows(table, schema, ask)
    expected = _own_rows(estimator, plan, table, frame, ask(rows))
    golden, wanted = golden_of(rows, expected, len(asked))
    notes: list[tuple[str, str]] = []
    refused: list[str] = []
    for runtime, state, source in _runtimes(estimator, plan, notes):
        try:
            files = code_files(
                name=name, modules={"predict.py": source, "train.py": _TRAIN}, state=state(), schema=schema,
                golden_rows=golden, golden_predictions=wanted, tolerance=TOLERANCE,
                lineage={"source": _described(estimator)}, runtime=["scikit-learn"],
            )  # fmt: skip
            made = proven(files, rows, expected, runtime, notes)
        except Refused as error:
            refused.append(f"{runtime}: {error.message}")
            notes[:] = [n for n in notes if n[0] != "pickle"]
            continue
        if made.equal == made.of:
            for why in refused:
                made.notes.append(("runtime", f"not used, {why}"))
            return made
        refused.append(f"{runtime}: {made.equal:,} of {made.of:,} rows the same, largest difference {made.largest:.3g}")
    raise Refused(
        "check.parity",
        f"{type(estimator).__name__} could not be sealed so that it predicts the same",
        found="; ".join(refused),
    )


def _runtimes(
    estimator: Any, plan: Mapping[str, Any], notes: list[tuple[str, str]]
) -> Sequence[tuple[str, Callable[[], dict[str, State]], str]]:
    document = State("json", canonical(plan))

    def as_skops() -> dict[str, State]:
        return {"plan.json": document, "model.skops": State("skops", skops_files.dump(estimator))}

    def as_pickle() -> dict[str, State]:
        notes.append(("pickle", "sealed as a pickle, which runs code when it is opened: only this workspace opens it"))
        try:
            return {"plan.json": document, "model.pickle": State("pickle", pickle.dumps(estimator))}
        except Exception as error:
            raise Refused("check.opens", f"it cannot be pickled: {error}") from error

    return [("skops", as_skops, _PREDICT), ("pickle", as_pickle, _PREDICT)]


# ---------------------------------------------------------------- what it takes and gives


def infer_schema(
    table: Table,
    names: Sequence[str],
    *,
    target: str,
    task: str,
    classes: Sequence[str] = (),
    key: str | None = None,
    time: str | None = None,
    kinds: Mapping[str, str] | None = None,
    ask: Callable[[list[dict[str, Any]]], NDArray[np.float64]] | None = None,
) -> Schema:
    """Columns as a sample table shows them; what may be missing is what the model answers without.

    Args:
        table: The sample.
        names: Inputs, in the model's order.
        target: Outcome column.
        task: ``binary``, ``multiclass`` or ``regression``.
        classes: Labels, of a yes/no outcome negative first.
        key: Key column, or None.
        time: Event-time column, or None.
        kinds: ``number``, ``integer``, ``boolean`` or ``text`` by column, where it is known.
        ask: The model on raw rows; without it every column may be missing where the sample lacks it.
    """
    kinds = kinds or kinds_of(table, names, None)
    columns = []
    for name in names:
        text = table.text(name)
        absent = any(v is None for v in text)
        if kinds[name] in ("number", "integer"):
            whole = kinds[name] == "integer"
            columns.append(Column(name=name, type="integer" if whole else "float", nullable=absent))
        else:
            counts: dict[str, int] = {}
            for value in text:
                if value is not None:
                    counts[value] = counts.get(value, 0) + 1
            levels = tuple(sorted(counts, key=lambda v: (-counts[v], v))[:200])
            columns.append(Column(name=name, type="category", nullable=absent, levels=levels))
    schema = Schema(
        columns=tuple(columns), target=target, task=task, classes=tuple(classes), key=key, time=time,  # type: ignore[arg-type]
    )  # fmt: skip
    if ask is None:
        return schema
    base = raw_rows(table, schema, 1)[0]
    without = [{**base, c.name: None} for c in schema.columns]
    try:
        fine = [bool(f) for f in finite(ask(without))]
    except Refused:
        raise
    except Exception:
        fine = [answers(ask, row) for row in without]
    may = tuple(
        Column(**{**c.to_json(), "levels": c.levels, "nullable": c.nullable or good})
        for c, good in zip(schema.columns, fine, strict=True)
    )
    return Schema(columns=may, target=target, task=task, classes=tuple(classes), key=key, time=time)  # type: ignore[arg-type]


def _inputs(estimator: Any, table: Table, target: str, others: Sequence[str | None]) -> tuple[list[str], bool]:
    """The columns that an estimator takes, and whether it takes them by name."""
    known = getattr(estimator, "feature_names_in_", None)
    if known is not None:
        names = [str(n) for n in known]
        for name in names:
            if name not in table.columns:
                raise DataError(
                    "data.schema",
                    f"the estimator was fitted on {name}, which {table.name} lacks{did_you_mean(name, table.columns)}",
                    where=table.name,
                    found=", ".join(table.columns[:8]),
                    do="--table with the columns that it was fitted on",
                )
        return names, True
    names = [c for c in table.columns if c != target and c not in others]
    count = getattr(estimator, "n_features_in_", len(names))
    if count != len(names):
        raise DataError(
            "data.schema",
            f"the estimator takes {count} features, {table.name} has {len(names)} columns beside {target}",
            where=table.name,
            found=", ".join(names[:8]) + (", …" if len(names) > 8 else ""),
            do="give a table with exactly the columns that it was fitted on, in their order, and the target",
        )
    return names, False


def kinds_of(table: Table, names: Sequence[str], frame: Any) -> dict[str, str]:
    """What each column is for the estimator: a pandas type where its frame is known, else as a CSV is usually read."""
    kinds = {}
    for name in names:
        dtype = None if frame is None else getattr(frame, "dtypes", {}).get(name)
        kind = getattr(dtype, "kind", None)
        if kind in ("f", "i", "u", "b"):
            kinds[name] = {"f": "number", "i": "integer", "u": "integer", "b": "boolean"}[kind]
        elif dtype is not None and str(dtype).lower() not in ("object", "str", "string"):
            kinds[name] = "text" if str(dtype) != "category" else "category"
        else:
            type_ = table.facts(name).type
            kinds[name] = {"number": "number", "integer": "integer", "boolean": "boolean"}.get(type_, "text")
            if kinds[name] == "integer" and np.isnan(table.number(name)).any():
                kinds[name] = "number"
            if kinds[name] == "boolean":
                labels = {v for v in table.text(name) if v is not None}
                kinds[name] = "boolean" if labels <= {"True", "False", "true", "false", "TRUE", "FALSE"} else "text"
                if labels <= {"0", "1"}:
                    kinds[name] = "integer"
    return kinds


def _library(frame: Any) -> str:
    module = "" if frame is None else type(frame).__module__.partition(".")[0]
    return module if module in ("pandas", "polars") else "pandas"


def _task(estimator: Any, table: Table, target: str, positive: str | None) -> tuple[str, tuple[str, ...], int]:
    """Task, labels (of two the negative first), and which column of ``predict_proba`` is the positive one."""
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        if not hasattr(estimator, "predict"):
            raise UsageError("usage.source", f"{type(estimator).__name__} has no predict", do="package what predicts")
        return "regression", (), 0
    labels = [_spelled(c) for c in classes]
    if len(labels) < 2:
        raise UsageError(
            "usage.source", f"{type(estimator).__name__} knows one class only", found=", ".join(labels),
            do="fit it on rows of two classes at least",
        )  # fmt: skip
    if not hasattr(estimator, "predict_proba"):
        raise UsageError(
            "usage.source",
            f"{type(estimator).__name__} gives no probabilities",
            do="wrap it: CalibratedClassifierCV(model).fit(X, y)",
        )
    there = {str(v) for v in table.text(target) if v is not None}
    spelled = [_as_in(label, there) for label in labels]
    if positive is not None and positive not in spelled:
        raise DataError(
            "data.no-label", f"{positive!r} is no class of the estimator{did_you_mean(positive, spelled)}",
            found=" and ".join(spelled), do=f"--positive {spelled[1]}",
        )  # fmt: skip
    if len(spelled) > 2:
        if len(set(spelled)) < len(spelled):
            raise DataError("data.no-label", f"two classes of the estimator are spelled alike in {target}")
        return "multiclass", tuple(spelled), 0
    place = 1 if positive is None else spelled.index(positive)
    return "binary", (spelled[1 - place], spelled[place]), place


def _spelled(label: Any) -> str:
    value = label.item() if isinstance(label, np.generic) else label
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _as_in(label: str, there: set[str]) -> str:
    """The label as the table writes it: True is true there, or 1."""
    if label in there:
        return label
    folded = {t.casefold(): t for t in there}
    other = {"true": "1", "false": "0", "1": "true", "0": "false"}.get(label.casefold(), label)
    return folded.get(label.casefold()) or folded.get(other) or label


def _labels(estimator: Any, classes: Sequence[str], place: int) -> dict[str, Any]:
    """The estimator's own value of each label, for training it again."""
    own = getattr(estimator, "classes_", None)
    if own is None:
        return {}
    plain = [c.item() if isinstance(c, np.generic) else c for c in own]
    if len(plain) > 2:
        return dict(zip(classes, plain, strict=True))
    return {classes[0]: plain[1 - place], classes[1]: plain[place]}


def _described(estimator: Any) -> str:
    """An estimator's kind and steps, for the lineage."""
    steps = getattr(estimator, "steps", None)
    kind = type(estimator).__name__
    return f"{kind}({', '.join(type(s).__name__ for _, s in steps)})" if steps else kind


# ---------------------------------------------------------------- asking the original


def _asker(estimator: Any, plan: Mapping[str, Any]) -> Callable[[list[dict[str, Any]]], NDArray[np.float64]]:
    """The original on raw rows, with the frame that the sealed one will build too."""
    from ambidex.edges.frames import frame_of, predict_with

    def ask(rows: list[dict[str, Any]]) -> NDArray[np.float64]:
        return predict_with(estimator, frame_of(rows, plan), plan)

    return ask


def _own_rows(
    estimator: Any, plan: Mapping[str, Any], table: Table, frame: Any, from_raw: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the original predicts, for the table's rows from the caller's own frame where there is one."""
    from ambidex.edges.frames import predict_with

    if frame is None:
        return from_raw
    chosen = np.unique(np.linspace(0, table.rows - 1, num=min(table.rows, PROOF_ROWS)).astype(int))
    own = frame[plan["names"]]
    some = own.iloc[chosen] if hasattr(own, "iloc") else own[chosen]
    given = some if plan["frame"] != "array" else some.to_numpy()
    expected = from_raw.copy()
    expected[: len(chosen)] = predict_with(estimator, given, plan)
    return expected


_PREDICT = '''\
"""Scores raw rows with the fitted estimator."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ambidex.edges.frames import frame_of, frame_of_columns, predict_with, read_model

__all__ = ["Predictor", "load"]


class Predictor:
    """The estimator, and how its frame is built from rows."""

    def __init__(self, model: Any, plan: dict[str, Any]) -> None:
        self.model, self.plan = model, plan

    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """One number a row: the probability of the positive class, or the value."""
        return predict_with(self.model, frame_of(rows, self.plan), self.plan).tolist()

    def predict_columns(self, columns: dict[str, Any], rows: int) -> Any:
        """The same, from arrays."""
        return predict_with(self.model, frame_of_columns(columns, rows, self.plan), self.plan)


def load(folder: Path) -> Predictor:
    """Read the state."""
    return Predictor(read_model(folder), json.loads((folder / "plan.json").read_text(encoding="utf-8")))
'''

_TRAIN = '''\
"""Fits the same estimator, with the same settings, on other rows: ``fit(table, state)``."""

from __future__ import annotations

from pathlib import Path

from ambidex.edges.frames import fit_again

__all__ = ["fit"]


def fit(table: Path, state: Path) -> None:
    """Read the rows, fit a clone of the estimator, write its state."""
    fit_again(table, state)
'''
