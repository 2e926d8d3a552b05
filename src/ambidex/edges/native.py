"""Model files in their own formats: opened in a child first, then sealed and executed by their own library.

``python -m ambidex.edges.native`` is the child: it describes a file, or predicts with it, under limits of memory and
time, in an empty folder. Native readers abort on bytes they do not expect; that ends the child only.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.errors import AmbidexError, EnvironmentProblem, MissingExtra, Refused
from ambidex.records import canonical

__all__ = ["KINDS", "Native", "describe", "matrix_of", "predict_in_child"]

KINDS = {"lightgbm": "LightGBM", "xgboost": "XGBoost", "onnx": "ONNX"}
SECONDS = 60.0
MEMORY = 4 << 30


class Native:
    """A native model on raw rows; what generated code calls.

    Args:
        folder: Holds ``model.bin`` and ``plan.json``.
    """

    def __init__(self, folder: Path) -> None:
        self.plan = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        module = importlib.import_module(f"ambidex.edges.{self.plan['kind']}")
        self.model = module.open_native((folder / "model.bin").read_bytes(), self.plan)

    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """One number a row."""
        columns = {name: [row.get(name) for row in rows] for name in self.plan["names"]}
        return self.predict_columns(columns, len(rows)).tolist()  # type: ignore[no-any-return]

    def predict_columns(self, columns: Mapping[str, Any], rows: int) -> NDArray[np.float64]:
        """The same, from arrays."""
        return _placed(self.model.predict(matrix_of(columns, rows, self.plan)), self.plan)


def matrix_of(columns: Mapping[str, Any], rows: int, plan: Mapping[str, Any]) -> NDArray[Any]:
    """Columns as the matrix that the model takes: category labels as the codes that its file names."""
    text = set(plan.get("text", ()))
    out = np.empty((rows, len(plan["names"])), dtype=object if text else np.float64)
    for j, name in enumerate(plan["names"]):
        values = columns[name]
        if name in text:
            out[:, j] = list(values)
        elif name in plan["levels"]:
            codes = {str(level): float(i) for i, level in enumerate(plan["levels"][name])}
            out[:, j] = [np.nan if v is None or v != v else codes.get(str(v), np.nan) for v in values]
        else:
            out[:, j] = np.asarray(values, dtype=np.float64)
    return out


def describe(kind: str, data: bytes) -> dict[str, Any]:
    """What a model file says of itself, read in a child.

    Raises:
        Refused: ``check.opens``, ``check.archive``.
    """
    return dict(_in_child({"ask": "describe", "kind": kind}, data))


def predict_in_child(
    kind: str, data: bytes, plan: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> NDArray[np.float64]:
    """The original's predictions on raw rows, made in a child. Shape (rows,)."""
    given = _in_child({"ask": "predict", "kind": kind, "plan": dict(plan), "rows": [dict(r) for r in rows]}, data)
    return np.array([np.nan if v is None else v for v in given], dtype=np.float64)


def _placed(values: NDArray[np.float64], plan: Mapping[str, Any]) -> NDArray[np.float64]:
    """LightGBM and XGBoost give P(second class); asked for the first, it is the rest."""
    turned = plan["task"] == "binary" and plan["place"] == 0 and plan["kind"] != "onnx"
    return 1.0 - values if turned else values


def _in_child(order: Mapping[str, Any], data: bytes) -> Any:
    head = canonical({**order, "size": len(data)})
    label = KINDS[str(order["kind"])]
    command = [sys.executable, "-I", "-m", "ambidex.edges.native"]
    with tempfile.TemporaryDirectory(prefix="ambidex-") as empty:
        try:
            done = subprocess.run(
                command, input=head + b"\n" + data, capture_output=True, timeout=SECONDS, check=False, cwd=empty
            )
        except subprocess.TimeoutExpired as error:
            raise Refused("check.opens", f"the {label} model did not answer within {SECONDS:g} s") from error
    try:
        said = json.loads(done.stdout.decode(errors="replace").rpartition("\nanswer ")[2] or "null")
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise Refused(
            "check.opens",
            f"the {label} model does not open: the child that opened it ended with status {done.returncode}",
            found=f"the child may take {MEMORY >> 30} GiB of memory and {SECONDS:g} s",
        )
    if "why" in said:
        if said["code"] == "env.missing-extra":
            raise (
                MissingExtra(said["package"], said["extra"], f"a {label} model")
                if said.get("extra")
                else (EnvironmentProblem("env.missing-extra", said["why"]))
            )
        raise Refused(said["code"], said["why"], found=said.get("found"))
    return said["answer"]


def main() -> None:
    """The child."""
    order = json.loads(sys.stdin.buffer.readline())
    data = sys.stdin.buffer.read(order["size"])
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print("\nanswer " + json.dumps(_answer(order, data)))


def _answer(order: dict[str, Any], data: bytes) -> dict[str, Any]:
    try:
        module = importlib.import_module(f"ambidex.edges.{order['kind']}")
        if order["ask"] == "describe":
            return {"answer": module.describe(data)}
        plan, rows = order["plan"], order["rows"]
        columns = {name: [row.get(name) for row in rows] for name in plan["names"]}
        values = _placed(module.open_native(data, plan).predict(matrix_of(columns, len(rows), plan)), plan)
        return {"answer": [float(v) if np.isfinite(v) else None for v in values]}
    except MissingExtra as error:
        return {"code": error.code, "why": error.message, "package": error.package, "extra": error.extra}
    except AmbidexError as error:
        return {"code": error.code, "why": error.message, "found": error.found}
    except MemoryError:
        why = f"the model asks for more than the {MEMORY >> 30} GiB that a child may take"
        return {"code": "check.opens", "why": why}
    except Exception as error:
        return {"code": "check.opens", "why": f"the model does not open: {type(error).__name__}: {str(error)[:300]}"}


if __name__ == "__main__":
    main()
