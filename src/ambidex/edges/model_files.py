"""Model files that arrive from elsewhere as bundles of code: LightGBM text, XGBoost, ONNX."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.code import State, StateFormat, code_files
from ambidex.bundle.open import try_in_child
from ambidex.data.table import Table
from ambidex.edges.estimators import infer_schema, kinds_of
from ambidex.edges.native import KINDS, describe, predict_in_child
from ambidex.edges.proof import TOLERANCE, Made, golden_of, proof_rows, proven
from ambidex.errors import DataError, Refused, UsageError, did_you_mean
from ambidex.records import canonical, digest

__all__ = ["from_file", "kind_of", "yes_and_no"]

_RUNTIMES = {"lightgbm": "lightgbm", "xgboost": "xgboost-cpu", "onnx": "onnxruntime"}


def kind_of(name: str, data: bytes) -> str:
    """What a model file is, by what it holds; its name decides only between formats without a mark.

    Raises:
        UsageError: ``usage.source``.
    """
    if data[:5] == b"tree\n":
        return "lightgbm"
    ending = name.lower().rpartition(".")[2]
    if ending in ("ubj", "xgb", "json") and (b"learner" in data[:4096] or ending != "json"):
        return "xgboost"
    if ending == "onnx":
        return "onnx"
    raise UsageError(
        "usage.source",
        f"{name} is no model file that package can read",
        found="accepted are .skops, .onnx, LightGBM text, XGBoost .json and .ubj, MLflow folders",
    )


def from_file(
    data: bytes,
    kind: str,
    *,
    name: str,
    table: Table,
    target: str,
    positive: str | None = None,
    key: str | None = None,
    time: str | None = None,
    names: Sequence[str] | None = None,
) -> Made:
    """Turn a model file into a bundle; the file is opened in a child only, until it has proven itself there.

    Args:
        data: The file.
        kind: ``lightgbm``, ``xgboost`` or ``onnx``.
        name: Model's name.
        table: Rows with the columns that it takes, and the target.
        target: Outcome column.
        positive: The label that the model's class 1 stands for.
        key: Key column, or None.
        time: Event-time column, or None.
        names: Its inputs in order, where the file does not name them.

    Raises:
        DataError: ``data.schema``.
        Refused: ``check.opens``, ``check.archive``, ``check.parity``.
    """
    about = describe(kind, data)
    inputs = _inputs(about, table, names, {target, key, time})
    task = about["task"]
    classes: tuple[str, ...] = ()
    if task == "binary":
        classes = yes_and_no(table, target, positive)
    elif np.isnan(table.number(target)).all():
        raise DataError(
            "data.schema", f"the {KINDS[kind]} model gives a number, {target} of {table.name} holds labels",
            where=f"{table.name}, column {target}", do="--target with the number that it predicts",
        )  # fmt: skip
    plan = {
        "kind": kind, "names": inputs, "levels": about["levels"], "text": about.get("text", []), "task": task,
        "place": 1,
    }  # fmt: skip
    kinds = kinds_of(table, inputs, None)
    for column in inputs:
        words = column in about["levels"] or column in plan["text"]
        if words:
            kinds[column] = "text"
        elif kinds[column] not in ("number", "integer"):
            raise DataError(
                "data.schema",
                f"{column} of {table.name} holds text, the {KINDS[kind]} model takes numbers",
                where=f"{table.name}, column {column}",
                do="give the table as the model takes it, with labels already turned into numbers",
            )
    ask = _asker(kind, data, plan)
    schema = infer_schema(
        table, inputs, target=target, task=task, classes=classes, key=key, time=time, kinds=kinds, ask=ask
    )
    rows, own = proof_rows(table, schema, ask)
    expected = ask(rows)
    broken = np.flatnonzero(~np.isfinite(expected))
    if len(broken):
        raise Refused(
            "check.opens", f"the {KINDS[kind]} model gives no finite number for {len(broken)} of {len(rows)} rows",
            where=f"row {json.dumps(rows[int(broken[0])])[:200]}",
        )  # fmt: skip
    golden, wanted = golden_of(rows, expected, len(own))
    state: dict[str, State] = {
        "plan.json": State("json", canonical(plan)), "model.bin": State(_state_format(kind), data)
    }  # fmt: skip
    files = code_files(
        name=name, modules={"predict.py": _PREDICT}, state=state, schema=schema, golden_rows=golden,
        golden_predictions=wanted, tolerance=TOLERANCE,
        lineage={"source": f"{KINDS[kind]} file, sha256 {digest(data)}"}, runtime=[_RUNTIMES[kind]],
    )  # fmt: skip
    try_in_child(files["model.json"], files["golden.json"], files=files)
    notes = _float32(table, inputs, kinds) if about.get("float32") else []
    made = proven(files, rows, expected, kind, notes)
    if made.equal != made.of:
        raise Refused(
            "check.parity",
            f"the sealed {KINDS[kind]} model predicts {made.equal:,} of {made.of:,} rows as the file does",
            found=f"largest difference {made.largest:.3g}",
        )
    return made


def yes_and_no(table: Table, target: str, positive: str | None) -> tuple[str, str]:
    """The two labels of an outcome, negative first.

    Raises:
        DataError: ``data.no-label`` for an outcome with another number of labels, or where nobody says which is yes.
    """
    labels = sorted({str(v) for v in table.text(target) if v is not None})
    where = f"{table.name}, column {target}"
    if len(labels) != 2:
        raise DataError(
            "data.no-label", f"{target} has {len(labels)} different labels, the model tells two apart", where=where,
            found=", ".join(labels[:6]),
        )  # fmt: skip
    if positive is None:
        known = [pair for pair in _KNOWN if {p.casefold() for p in labels} == set(pair)]
        if not known:
            raise DataError(
                "data.no-label", f"which label of {target} does the model's class 1 stand for?", where=where,
                found=" and ".join(labels), do=f"--positive {labels[1]}",
            )  # fmt: skip
        positive = next(label for label in labels if label.casefold() == known[0][1])
    if positive not in labels:
        raise DataError(
            "data.no-label", f"no row says {positive!r} in {target}{did_you_mean(positive, labels)}", where=where,
            found=" and ".join(labels),
        )  # fmt: skip
    return next(label for label in labels if label != positive), positive


_KNOWN = (("0", "1"), ("no", "yes"), ("false", "true"), ("n", "y"))


def _state_format(kind: str) -> StateFormat:
    return "lightgbm" if kind == "lightgbm" else "xgboost" if kind == "xgboost" else "onnx"


def _asker(kind: str, data: bytes, plan: dict[str, Any]) -> Callable[[list[dict[str, Any]]], NDArray[np.float64]]:
    return lambda rows: predict_in_child(kind, data, plan, rows)


def _inputs(about: dict[str, Any], table: Table, names: Sequence[str] | None, others: set[str | None]) -> list[str]:
    said = about.get("names")
    generic = said and all(n == f"Column_{i}" or n == f"f{i}" for i, n in enumerate(said))
    if said and not (generic and not set(said) <= set(table.columns)):
        lacking = [n for n in said if n not in table.columns]
        if lacking:
            raise DataError(
                "data.schema",
                f"the model takes {lacking[0]}, which {table.name} lacks{did_you_mean(lacking[0], table.columns)}",
                where=table.name, found=", ".join(table.columns[:8]), do="--table with the columns that it takes",
            )  # fmt: skip
        return list(said)
    inputs = list(names) if names else [c for c in table.columns if c not in others]
    count = about.get("count") or (len(said) if said else len(inputs))
    if len(inputs) != count:
        raise DataError(
            "data.schema",
            f"the model takes {count} columns, {table.name} has {len(inputs)} beside the target",
            where=table.name,
            found=", ".join(inputs[:8]) + (", …" if len(inputs) > 8 else ""),
            do="--table with exactly the columns that it takes, in their order, and the target",
        )
    return inputs


def _float32(table: Table, names: Sequence[str], kinds: dict[str, str]) -> list[tuple[str, str]]:
    """Columns whose values the model cannot tell apart, because it takes them as float32."""
    notes = []
    for name in names:
        if kinds[name] not in ("number", "integer"):
            continue
        values = table.number(name)
        values = np.unique(values[~np.isnan(values)])
        alike = len(values) - len(np.unique(values.astype(np.float32)))
        if alike:
            notes.append(
                ("float32", f"{name}: the model takes it as float32, where {alike:,} of its {len(values):,} different "
                 "values are the same as another one")
            )  # fmt: skip
    return notes


_PREDICT = '''\
"""Scores raw rows with the model file, executed by its own library."""

from __future__ import annotations

from pathlib import Path

from ambidex.edges.native import Native

__all__ = ["load"]


def load(folder: Path) -> Native:
    """Read the state."""
    return Native(folder)
'''
