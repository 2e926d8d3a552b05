"""A version as an ONNX file, by skl2onnx, and only if it predicts the same, on the two sides of float32 as well."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ambidex.bundle.open import OpenBundle
from ambidex.edges.native import matrix_of
from ambidex.errors import MissingExtra, Refused

__all__ = ["onnx_of"]

TOLERANCE = 1e-5
"""Most ONNX operators of trees and scalers compute in float32."""


def onnx_of(opened: OpenBundle) -> bytes:
    """The ONNX file of a version that holds a scikit-learn estimator.

    Raises:
        Refused: ``check.parity`` if it has no ONNX form, or predicts otherwise on a golden or boundary row.
        MissingExtra: skl2onnx or onnxruntime is not installed.
    """
    model = json.loads(opened.files["model.json"])
    if model.get("state", {}).get("model.bin") == "onnx":
        return opened.files["state/model.bin"]
    if "model.skops" not in model.get("state", {}):
        raise Refused(
            "check.parity", f"a model of format {model.get('format')} has no ONNX form here",
            found="estimators of scikit-learn and ONNX files can be exported", do="--to mlflow, or --to docker",
        )  # fmt: skip
    plan = json.loads(opened.files["state/plan.json"])
    data = _converted(opened.files["state/model.skops"], plan)
    _prove(data, opened, plan)
    return data


def _converted(skops_file: bytes, plan: dict[str, Any]) -> bytes:
    from ambidex.edges import skops

    try:
        from skl2onnx import convert_sklearn  # type: ignore[import-untyped]
        from skl2onnx.common.data_types import (  # type: ignore[import-untyped]
            DoubleTensorType,
            FloatTensorType,
            StringTensorType,
        )
    except ModuleNotFoundError as error:
        raise MissingExtra("skl2onnx", "onnx", "an export to ONNX") from error
    estimator = skops.read(skops_file)
    problems = []
    for numbers in (DoubleTensorType, FloatTensorType):
        if plan["frame"] == "array":
            inputs = [("x", numbers([None, len(plan["names"])]))]
        else:
            inputs = [
                (n, numbers([None, 1]) if plan["kinds"][n] in ("number", "integer") else StringTensorType([None, 1]))
                for n in plan["names"]
            ]
        options = {id(estimator): {"zipmap": False}} if plan["task"] == "binary" else None
        try:
            made = convert_sklearn(estimator, initial_types=inputs, options=options, target_opset=17)
            data: bytes = made.SerializeToString()
            from ambidex.edges import onnx

            onnx.open_native(data, {"place": plan["place"]})
        except Exception as error:
            problems.append(f"{type(error).__name__}: {str(error)[:160]}")
            continue
        return data
    raise Refused("check.parity", "the estimator has no ONNX form", found="; ".join(problems))


def _prove(data: bytes, opened: OpenBundle, plan: dict[str, Any]) -> None:
    from ambidex.edges import onnx
    from ambidex.edges.proof import boundary_rows

    session = onnx.open_native(data, {"place": plan["place"]})
    golden = opened.golden["rows"]
    own = [row for row in golden if all(v is not None for v in row.values())]
    rows = own + [r for r in boundary_rows(own, opened.schema) if all(v is not None for v in r.values())]
    text = [n for n in plan["names"] if plan["kinds"][n] not in ("number", "integer")]
    columns = {name: [row[name] for row in rows] for name in plan["names"]}
    matrix = matrix_of(columns, len(rows), {"names": plan["names"], "levels": {}, "text": text})
    expected = np.array([opened.scorer.score(row) for row in rows])
    try:
        got = session.predict(matrix)
    except Exception as error:
        raise Refused("check.parity", f"the ONNX form does not run: {str(error)[:200]}") from error
    gap = np.abs(got - expected) / np.maximum(1.0, np.abs(expected))
    worst = int(np.argmax(gap))
    if not gap[worst] <= TOLERANCE:
        differs = int((~(gap <= TOLERANCE)).sum())
        raise Refused(
            "check.parity",
            f"the ONNX form predicts {differs:,} of {len(rows):,} golden and boundary rows otherwise: not written",
            where=f"row {json.dumps(rows[worst])[:200]}",
            found=f"{got[worst]:.6g} for {expected[worst]:.6g}; most ONNX operators round numbers to float32",
            do="--to mlflow, or --to docker",
        )
