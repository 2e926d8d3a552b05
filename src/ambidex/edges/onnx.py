"""ONNX model files, executed by onnxruntime; everything that a file may name outside itself is refused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.errors import MissingExtra, Refused

__all__ = ["describe", "external_files", "open_native"]

_NUMBERS = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64, "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}  # fmt: skip


class _Session:
    """A session behind ``predict(matrix)``: P(positive), or the value."""

    def __init__(self, data: bytes, place: int) -> None:
        runtime = _runtime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 4
        self.session = runtime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self.inputs = self.session.get_inputs()
        self.output = _chosen(self.session.get_outputs())
        self.place = place

    def predict(self, inputs: NDArray[Any]) -> NDArray[np.float64]:
        """Shape (rows, features) -> (rows,)."""
        out = self.session.run([self.output], self._fed(inputs))[0]
        if isinstance(out, list):  # a map per row: class -> probability
            labels = list(out[0]) if out else []
            return np.array([row[labels[self.place]] for row in out], dtype=np.float64)
        values = np.asarray(out, dtype=np.float64)
        return values[:, self.place] if values.ndim == 2 and values.shape[1] == 2 else values.reshape(len(inputs))

    def _fed(self, inputs: NDArray[Any]) -> dict[str, Any]:
        if len(self.inputs) == 1:
            return {self.inputs[0].name: inputs.astype(_NUMBERS[self.inputs[0].type])}
        fed = {}
        for j, one in enumerate(self.inputs):
            column = inputs[:, j]
            if one.type == "tensor(string)":
                fed[one.name] = np.array(["" if v is None or v != v else str(v) for v in column], dtype=object)[:, None]
            else:
                fed[one.name] = np.asarray(column, dtype=np.float64).astype(_NUMBERS[one.type])[:, None]
        return fed


def open_native(data: bytes, about: dict[str, Any]) -> _Session:
    """The model; a child opens it first."""
    return _Session(data, int(about.get("place", 1)))


def external_files(data: bytes) -> list[str]:
    """Places outside the file where its tensors claim to lie."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise MissingExtra("onnx", "onnx", "an ONNX model") from error
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:
        raise Refused("check.opens", f"this is no ONNX model: {type(error).__name__}") from error
    found: list[str] = []
    _walk(model.graph, found, onnx.TensorProto.EXTERNAL, 0)
    for function in model.functions:
        for node in function.node:
            _walk_node(node, found, onnx.TensorProto.EXTERNAL, 0)
    return found


def describe(data: bytes) -> dict[str, Any]:
    """Features and task, as the file says them.

    Raises:
        Refused: ``check.opens`` for inputs or outputs that no table gives; ``check.archive`` for tensors kept
            elsewhere.
    """
    outside = external_files(data)
    if outside:
        raise Refused("check.archive", f"the ONNX model keeps a tensor outside its file: {outside[0][:80]!r}")
    opened = _Session(data, 1)
    inputs = opened.inputs
    if len(inputs) == 1:
        if inputs[0].type not in _NUMBERS or len(inputs[0].shape) != 2:
            raise Refused("check.opens", f"the ONNX model takes {inputs[0].type} of shape {inputs[0].shape}")
        width = inputs[0].shape[1]
        names, count = None, width if isinstance(width, int) else None
    else:
        names, count = [i.name for i in inputs], len(inputs)
        odd = [i.name for i in inputs if i.type not in (*_NUMBERS, "tensor(string)")]
        if odd:
            raise Refused("check.opens", f"the ONNX model's input {odd[0]} is of a type that no table gives")
    out = next(o for o in opened.session.get_outputs() if o.name == opened.output)
    binary = out.type.startswith("seq(map") or (len(out.shape) == 2 and out.shape[1] == 2)
    return {
        "names": names, "count": count, "levels": {}, "task": "binary" if binary else "regression",
        "text": [i.name for i in inputs if i.type == "tensor(string)"],
        "float32": any(i.type == "tensor(float)" for i in inputs), "separate": len(inputs) > 1,
    }  # fmt: skip


def _chosen(outputs: Sequence[Any]) -> str:
    for out in outputs:
        number = out.type in ("tensor(float)", "tensor(double)") and "label" not in out.name
        if number or out.type.startswith("seq(map"):
            return str(out.name)
    shown = ", ".join(f"{o.name}: {o.type}" for o in outputs)
    raise Refused("check.opens", "the ONNX model gives no number", found=shown)


def _walk(graph: Any, found: list[str], external: int, depth: int) -> None:
    for tensor in graph.initializer:
        _look(tensor, found, external)
    for sparse in graph.sparse_initializer:
        _look(sparse.values, found, external)
        _look(sparse.indices, found, external)
    for node in graph.node:
        _walk_node(node, found, external, depth)


def _walk_node(node: Any, found: list[str], external: int, depth: int) -> None:
    if depth > 40:
        raise Refused("check.opens", "the ONNX model nests graphs too deep")
    for attribute in node.attribute:
        for tensor in (attribute.t, *attribute.tensors):
            _look(tensor, found, external)
        for graph in (attribute.g, *attribute.graphs):
            _walk(graph, found, external, depth + 1)


def _look(tensor: Any, found: list[str], external: int) -> None:
    if tensor.data_location == external or tensor.external_data:
        places = [e.value for e in tensor.external_data if e.key == "location"]
        found.append(places[0] if places else "elsewhere")


def _runtime() -> Any:
    try:
        import onnxruntime  # type: ignore[import-untyped]
    except ModuleNotFoundError as error:
        raise MissingExtra("onnxruntime", "onnx", "an ONNX model") from error
    return onnxruntime
