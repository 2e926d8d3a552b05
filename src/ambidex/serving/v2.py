"""The Open Inference Protocol, version 2, over HTTP: tensors in and out, one input a column.

A request for inference is turned into the rows that ``/predict`` takes, checked, scored and logged as those are,
and its answer into tensors. Inputs are the model's columns (``FP64``, ``INT64``, ``BYTES``; narrower numbers are
taken as well), of shape ``[n]`` or ``[n, 1]``; outputs are ``predictions``, ``probabilities`` (``[n, classes]``,
for a classifier) and ``ids``, for labels to come. Numbers may stand behind the JSON (``tensors``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from ambidex.errors import AmbidexError, did_you_mean
from ambidex.records import Column, Schema
from ambidex.serving.decode import NOT_DECODED, not_json
from ambidex.serving.loader import Served
from ambidex.serving.messages import JSON, Answer, Request
from ambidex.serving.predict import Form
from ambidex.serving.problems import HttpRefusal, shortened
from ambidex.serving.tensors import INTEGERS, KINDS, binary_of, flat, from_binary
from ambidex.version import __version__

__all__ = ["Asked", "inputs_of", "model", "only_tensors", "outputs_of", "read", "ready", "refusal", "server", "speaks"]

OCTETS = b"application/octet-stream"
LENGTH = "inference-header-content-length"
EXTENSIONS = ("binary_tensor_data",)
_OF_TYPE = {"float": "FP64", "integer": "INT64", "category": "BYTES"}

_encode = msgspec.json.Encoder().encode
_Scalar = str | bool | int | float | None
_Parameters = dict[str, Any]


class _Tensor(msgspec.Struct):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None
    parameters: _Parameters = msgspec.field(default_factory=dict)


class _Output(msgspec.Struct):
    name: str
    parameters: _Parameters = msgspec.field(default_factory=dict)


class _Infer(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    parameters: _Parameters | None = None
    outputs: list[_Output] | None = None


_infer = msgspec.json.Decoder(_Infer)


class Asked(NamedTuple):
    """A request for inference, as ``/predict`` takes it.

    Attributes:
        body: ``{"rows": [...]}``.
        form: Writes the answer as tensors.
    """

    body: bytes
    form: Form


# ---------------------------------------------------------------- what is there


def speaks(path: str) -> bool:
    """Whether a path is of this protocol."""
    return path == "/v2" or path.startswith("/v2/")


def server() -> Answer:
    """Server metadata."""
    return Answer(200, _encode({"name": "ambidex", "version": __version__, "extensions": EXTENSIONS}))


def model(served: Served, versions: list[int]) -> Answer:
    """Model metadata."""
    said = {
        "name": served.model, "versions": [str(v) for v in versions], "platform": "ambidex",
        "inputs": inputs_of(served.schema), "outputs": outputs_of(served.schema),
        "parameters": {"version": str(served.number), "digest": served.digest},
    }  # fmt: skip
    return Answer(200, _encode(said))


def ready(served: Served) -> Answer:
    """A version that is open is ready."""
    return Answer(200, _encode({"name": served.model, "ready": True}))


def inputs_of(schema: Schema) -> list[dict[str, Any]]:
    """The tensors that a model takes; declared key, entity and time columns may come beside them."""
    found = []
    for column in schema.columns:
        tensor: dict[str, Any] = {"name": column.name, "datatype": _OF_TYPE[column.type], "shape": [-1]}
        found.append(tensor | ({"parameters": {"nullable": True}} if column.nullable else {}))
    return found


def outputs_of(schema: Schema) -> list[dict[str, Any]]:
    """The tensors that a model gives."""
    named = {"name": "predictions", "datatype": "BYTES" if schema.classes else "FP64", "shape": [-1]}
    outputs = [named]
    if schema.task in ("binary", "multiclass"):
        outputs.append({"name": "probabilities", "datatype": "FP64", "shape": [-1, len(schema.classes)]})
    return [*outputs, {"name": "ids", "datatype": "BYTES", "shape": [-1]}]


def refusal(answer: Answer, error: AmbidexError) -> Answer:
    """A refusal as this protocol has it: ``error``, and beside it the members of the problem document."""
    said: dict[str, Any] = {"error": error.message} | msgspec.json.decode(answer.body)
    return Answer(answer.status, _encode(said), JSON, answer.headers, code=answer.code)


# ---------------------------------------------------------------- inference


def only_tensors(request: Request) -> None:
    """JSON, or JSON with tensors behind it.

    Raises:
        HttpRefusal: ``http.media-type`` (415).
    """
    media = request.fields.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if media not in (JSON, OCTETS) and (media or b"origin" in request.fields):
        raise HttpRefusal(
            "http.media-type", f"the body is {shortened(media.decode('latin-1'), 60)}; accepted is application/json",
            status=415, headers={"Accept": "application/json, application/octet-stream"},
            do="send Content-Type: application/json",
        )  # fmt: skip


def read(request: Request, served: Served) -> Asked:
    """A request for inference.

    Raises:
        AmbidexError: ``http.json``, ``http.tensor``: all with status 400.
    """
    head, tail = _parts(request)
    try:
        said = _infer.decode(head)
    except NOT_DECODED as error:
        if not isinstance(error, msgspec.ValidationError):
            raise not_json(head, error) from None
        why, _, place = str(error).partition(" - at ")
        raise _wrong(f"the request does not fit: {why[:200]}", place.strip("`$.")[:100] or None) from None
    schema = served.schema
    wanted = _wanted(said, schema)
    columns = _columns(said.inputs, schema, memoryview(tail))
    names = list(columns)
    count = max((len(c) for c in columns.values()), default=0)
    for name, column in columns.items():
        if len(column) != count:
            raise _wrong(f"{name} has {len(column)} rows, and another input has {count}", f"input {name}")
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    try:
        body = _encode({"rows": rows})
    except (ValueError, OverflowError, UnicodeError):
        raise _wrong("a value is larger than 64 bits, or no text") from None
    return Asked(body, _form(said, wanted))


def _parts(request: Request) -> tuple[bytes, bytes]:
    """JSON, and what stands behind it."""
    length = request.fields.get(LENGTH.encode())
    if length is None:
        return request.body, b""
    if not length.strip().isdigit() or int(length) > len(request.body):
        raise _wrong(f"{LENGTH} is {shortened(length.decode('latin-1'), 30)}, no length within the body")
    return request.body[: int(length)], request.body[int(length) :]


def _wanted(said: _Infer, schema: Schema) -> list[tuple[str, bool]]:
    """Names of the outputs that are asked for, in that order, and whether each goes behind the JSON."""
    known = [o["name"] for o in outputs_of(schema)]
    behind = bool((said.parameters or {}).get("binary_data_output", False))
    if not said.outputs:
        return [(name, behind) for name in known]
    for output in said.outputs:
        if output.name not in known:
            raise _wrong(
                f"there is no output {output.name[:60]}{did_you_mean(output.name[:60], known)}", "outputs",
                found=f"outputs: {', '.join(known)}",
            )  # fmt: skip
    return [(o.name, bool(o.parameters.get("binary_data", behind))) for o in said.outputs]


def _columns(inputs: list[_Tensor], schema: Schema, tail: memoryview) -> dict[str, list[_Scalar]]:
    """Values of each column.

    Raises:
        HttpRefusal: ``http.tensor``: a name, shape, datatype or length does not fit.
    """
    by_name = {c.name: c for c in schema.columns}
    known = [*by_name, *(r for r in schema.riders if r not in by_name)]
    columns: dict[str, list[_Scalar]] = {}
    for tensor in inputs:
        name, where = tensor.name, f"input {tensor.name[:60]}"
        if name not in known:
            raise _wrong(
                f"there is no input {name[:60]}{did_you_mean(name[:60], known)}", where,
                found=f"inputs: {', '.join(known)[:500]}",
            )  # fmt: skip
        if name in columns:
            raise _wrong(f"the input {name} stands there twice", where)
        column = by_name.get(name)
        _check_kind(tensor, column, where)
        shape = tensor.shape
        if len(shape) not in (1, 2) or shape[0] < 0 or (len(shape) == 2 and shape[1] != 1):
            raise _wrong(f"{name} has shape {shape[:8]}, not [n] or [n, 1]", where)
        size = tensor.parameters.get("binary_data_size")
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(tail):
                raise _wrong(f"{name}: binary_data_size is {shortened(size)}, and {len(tail)} bytes are left", where)
            values, tail = from_binary(tensor.datatype, tail[:size], where), tail[size:]
        else:
            values = flat(tensor.data or [], len(shape))
        if len(values) != shape[0]:
            raise _wrong(f"{name} has shape {shape}, and {len(values)} values", where)
        columns[name] = values if tensor.datatype != "BOOL" else [_level(v, column, where) for v in values]
    if len(tail):
        raise _wrong(f"{len(tail)} bytes behind the JSON belong to no input")
    missing = [n for n in by_name if n not in columns]
    if missing:
        raise _wrong(f"the input {missing[0]} is missing", found=f"missing: {', '.join(missing)[:500]}")
    return columns


def _check_kind(tensor: _Tensor, column: Column | None, where: str) -> None:
    kind = tensor.datatype
    if column is None:
        fits: tuple[str, ...] = tuple(KINDS)  # rides along as text
    elif column.type == "category":
        fits = ("BYTES", "BOOL") if {v.lower() for v in column.levels} == {"true", "false"} else ("BYTES",)
    else:
        fits = INTEGERS if column.type == "integer" else ("FP64", "FP32", "FP16", *INTEGERS)
    if kind not in fits:
        raise _wrong(f"{tensor.name} is {shortened(kind, 20)}, and takes {', '.join(fits)}", where)


def _level(value: _Scalar, column: Column | None, where: str) -> _Scalar:
    """A truth value as the category that says it."""
    if not isinstance(value, bool):
        raise _wrong(f"{shortened(value)} is no truth value", where)
    for level in column.levels if column else ():
        if level.lower() == str(value).lower():
            return level
    return str(value).lower()


def _form(said: _Infer, wanted: list[tuple[str, bool]]) -> Form:
    def form(served: Served, document: dict[str, Any]) -> Answer:
        count = len(document["ids"])
        values: Mapping[str, list[Any]] = {
            "predictions": document["predictions"],
            "probabilities": [p for row in document.get("probabilities", ()) for p in row],
            "ids": document["ids"],
        }
        outputs, tail = [], []
        kinds = {o["name"]: o for o in outputs_of(served.schema)}
        for name, behind in wanted:
            tensor = {**kinds[name], "shape": [count, *kinds[name]["shape"][1:]]}
            if behind:
                data = binary_of(tensor["datatype"], values[name])
                tensor["parameters"] = {"binary_data_size": len(data)}
                tail.append(data)
            else:
                tensor["data"] = values[name]
            outputs.append(tensor)
        head: dict[str, Any] = {"model_name": served.model, "model_version": str(served.number)}
        head |= {"id": said.id} if said.id is not None else {}
        echoed = {k: v for k, v in (said.parameters or {}).items() if k != "binary_data_output"}
        head |= {"parameters": echoed} if echoed else {}
        head["outputs"] = outputs
        body = _encode(head)
        if not tail:
            return Answer(200, body, logged_as=served.model)
        return Answer(200, body + b"".join(tail), OCTETS, {LENGTH: str(len(body))}, served.model)

    return form


def _wrong(message: str, where: str | None = None, found: str | None = None) -> HttpRefusal:
    fault = HttpRefusal("http.tensor", message, status=400, found=found, do="GET /v2/models/NAME shows the inputs")
    fault.where = where
    return fault
