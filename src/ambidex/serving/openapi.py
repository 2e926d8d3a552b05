"""``/openapi.json``: what this server answers now, with a schema for the rows of each model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from ambidex.errors import CODES
from ambidex.records import Column, Schema
from ambidex.serving.coding import ARROW
from ambidex.serving.decode import INT_HIGH, INT_LOW, ROWS, TEXT
from ambidex.serving.feedback import LABELS
from ambidex.serving.loader import Served
from ambidex.serving.routes import ROUTES
from ambidex.serving.tensors import KINDS
from ambidex.serving.v2 import inputs_of, outputs_of
from ambidex.version import __version__

__all__ = ["answer_example", "document", "row_schema"]

_REFUSED = (400, 404, 405, 408, 413, 415, 421, 422, 429, 431, 500, 503, 504)
_CLOSED = (401, 403)
Object = dict[str, Any]


def document(served: Iterable[Served], *, closed: bool) -> Object:
    """The document.

    Args:
        served: The live versions.
        closed: Whether callers need a token.
    """
    models = sorted(served, key=lambda s: s.model)
    schemas: Object = {"Problem": _PROBLEM, "V2Error": _V2_ERROR, "Tensor": _TENSOR}
    paths: Object = {}
    for route in ROUTES:
        if route.name in ("docs", "root"):
            continue
        if "{model}" in route.path:
            for one in models:
                if route.name == "feedback" and one.schema.task == "segments":
                    continue  # no label says which segment is right
                paths[route.path.replace("{model}", one.model)] = _of_model(route.name, one, "{version}" in route.path)
        else:
            paths[route.path] = {"get": _GENERAL[route.name]}
    for one in models:
        schemas |= _schemas(one)
    for path, operations in paths.items():
        for operation in operations.values():
            health = path.startswith("/v2/health/")
            kind = "v2" if path.startswith("/v2") else "any"
            statuses = [*_REFUSED, *(_CLOSED if closed and not health else ())]
            operation["responses"] |= {str(s): {"$ref": f"#/components/responses/{kind}.{s}"} for s in sorted(statuses)}
            if closed and health:
                operation["security"] = []
    said: Object = {
        "openapi": "3.1.0",
        "info": {"title": "ambidex", "version": __version__, "summary": "Predictions of " + _listed(models)},
        "servers": [{"url": "/"}], "paths": paths,
        "components": {"schemas": schemas, "responses": _refusals()},
    }  # fmt: skip
    if closed:
        said["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        said["security"] = [{"token": []}]
    return said


def row_schema(schema: Schema, example: Mapping[str, Any]) -> Object:
    """One row, as ``/predict`` takes it."""
    properties = {c.name: _column(c) for c in schema.columns}
    for rider in schema.riders:
        kept = {"type": ["string", "number", "null"], "maxLength": TEXT,
                "description": "Rides along: logged, never scored."}  # fmt: skip
        properties.setdefault(rider, kept)
    return {
        "type": "object", "properties": properties, "required": list(schema.names), "additionalProperties": False,
        "examples": [dict(example)],
    }  # fmt: skip


def answer_example(one: Served) -> Object:
    """An answer of ``/predict``, in form; the numbers are made up."""
    schema = one.schema
    said: Object = {"model": one.model, "version": one.number}
    if schema.task in ("binary", "multiclass"):
        share = round(1 / len(schema.classes), 3)
        said |= {"predictions": [schema.classes[0]], "classes": list(schema.classes)}
        said["probabilities"] = [[share] * len(schema.classes)]
    elif schema.task == "segments":
        said |= {"predictions": [schema.classes[0]], "classes": list(schema.classes)}
    else:
        said["predictions"] = [0.5]
    return {**said, "ids": ["1a20e893c29745c936b00000000"]}


def _column(column: Column) -> Object:
    null = ["null"] if column.nullable else []
    if column.type == "category":
        said: Object = {"type": ["string", *null], "maxLength": TEXT}
        if column.levels:
            shown = ", ".join(column.levels[:20]) + (", ..." if len(column.levels) > 20 else "")
            said["description"] = f"Seen in training: {shown}. Another text is scored as other."
        return said
    said = {"type": ["integer" if column.type == "integer" else "number", *null]}
    if column.type == "integer":
        said |= {"format": "int64", "minimum": INT_LOW, "maximum": INT_HIGH}
    if column.low is not None:
        said["minimum"] = column.low
    if column.high is not None:
        said["maximum"] = column.high
    return said


def _schemas(one: Served) -> Object:
    schema, name = one.schema, one.model
    row = {"$ref": f"#/components/schemas/{name}.row"}
    rows = {"type": "object", "properties": {"rows": {"type": "array", "items": row, "maxItems": ROWS}},
            "required": ["rows"], "additionalProperties": False}  # fmt: skip
    prediction: Object = {"type": "number"}
    if schema.classes:
        prediction = {"type": "string", "enum": list(schema.classes)}
    answer: Object = {
        "model": {"const": name}, "version": {"type": "integer"},
        "predictions": {"type": "array", "items": prediction},
        "ids": {"type": "array", "items": {"type": "string"}, "description": "For /feedback."},
        "logged": {"const": False, "description": "Only if the prediction log could not be written."},
    }  # fmt: skip
    needed = ["model", "version", "predictions", "ids"]
    if schema.classes:
        answer["classes"] = {"type": "array", "items": prediction}
        needed.append("classes")
    if schema.task in ("binary", "multiclass"):
        number = {"type": "number", "minimum": 0, "maximum": 1}
        size = len(schema.classes)
        each = {"type": "array", "items": number, "minItems": size, "maxItems": size}
        answer["probabilities"] = {"type": "array", "items": each, "description": "In the order of classes."}
        needed.append("probabilities")
    label: Object = {"type": "number"} if not schema.classes else {"enum": _labels(schema.classes)}
    return {
        f"{name}.row": row_schema(schema, one.example),
        f"{name}.rows": {"anyOf": [rows, row]},
        f"{name}.answer": {"type": "object", "properties": answer, "required": needed},
        f"{name}.labels": {
            "type": "object", "required": ["labels"], "additionalProperties": False,
            "properties": {"labels": {"type": "array", "maxItems": LABELS, "items": {
                "type": "object", "required": ["id", "label"], "additionalProperties": False,
                "properties": {"id": {"type": "string", "minLength": 1, "maxLength": 200}, "label": label},
            }}},
        },
    }  # fmt: skip


def _labels(classes: tuple[str, ...]) -> list[Any]:
    """Classes as a label may write them: also as numbers and truth values, where they read so.

    >>> _labels(("0", "1")), _labels(("No", "Yes"))
    (['0', '1', 0, 1], ['No', 'Yes'])
    """
    numbers = [int(c) for c in classes if c.isascii() and c.isdigit() and str(int(c)) == c]
    truths = [c.lower() == "true" for c in classes if c.lower() in ("true", "false")]
    return [*classes, *numbers, *(truths if len(truths) == 2 else ())]


def _of_model(route: str, one: Served, versioned: bool) -> Object:
    """Operations of a model's path."""
    name = one.model
    version = {
        "name": "version", "in": "path", "required": True, "description": "A number, or a pointer such as staging.",
        "schema": {"type": "string"}, "example": str(one.number),
    }  # fmt: skip
    common: Object = {"tags": [name]} | ({"parameters": [version]} if versioned else {})
    match route:
        case "predict":
            example = {"rows": [dict(one.example)]}
            said = _operation(f"Predictions of {name}", f"{name}.answer", answer_example(one))
            said["description"] = (
                f"Rows, or one bare row. `/predict/{name}@7` and `/predict/{name}@staging` ask another version."
            )
            said["responses"]["200"]["content"][ARROW] = {"schema": {"type": "string", "contentMediaType": ARROW}}
            return {"post": common | said | _body(f"{name}.rows", example)}
        case "feedback":
            label = one.schema.classes[-1] if one.schema.classes else 0.5
            example = {"labels": [{"id": answer_example(one)["ids"][0], "label": label}]}
            kept = {"model": name, "accepted": 1}
            said = _operation(f"What became of predictions of {name}", None, kept)
            said["parameters"] = [_KEY]
            return {"post": common | said | _body(f"{name}.labels", example)}
        case "v2_infer":
            said = _operation(f"Inference with {name}, as tensors", None, None)
            tensors = {
                "type": "array", "items": {"$ref": "#/components/schemas/Tensor"},
                "minItems": len(one.schema.columns), "description": "One a column.",
            }  # fmt: skip
            form = {"type": "object", "required": ["inputs"], "properties": {
                "id": {"type": ["string", "null"]}, "parameters": {"type": ["object", "null"]}, "inputs": tensors,
                "outputs": {"type": ["array", "null"], "items": {
                    "type": "object", "required": ["name"],
                    "properties": {"name": {"enum": [o["name"] for o in outputs_of(one.schema)]}},
                }},
            }}  # fmt: skip
            inputs = [
                {"name": i["name"], "shape": [1], "datatype": i["datatype"], "data": [one.example.get(i["name"])]}
                for i in inputs_of(one.schema)
            ]
            body = {"required": True, "content": {"application/json": {"schema": form, "example": {"inputs": inputs}}}}
            return {"post": common | said | {"requestBody": body}}
        case "v2_ready":
            return {"get": common | _operation(f"Whether {name} is ready", None, {"name": name, "ready": True})}
        case _:
            return {"get": common | _operation(f"Inputs and outputs of {name}", None, None)}


def _operation(summary: str, answer: str | None, example: Any) -> Object:
    media: Object = {"schema": {"$ref": f"#/components/schemas/{answer}"} if answer else {"type": "object"}}
    if example is not None:
        media["example"] = example
    return {"summary": summary, "responses": {"200": {"description": "OK", "content": {"application/json": media}}}}


def _body(schema: str, example: Any) -> Object:
    media = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": media}}}


def _refusals() -> Object:
    """Refusals by kind of path and status."""
    problem: Object = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    # What is wrong with a request as HTTP is said before its path is known, so both forms can come below /v2.
    both = {"application/json": {"schema": {"$ref": "#/components/schemas/V2Error"}}} | problem
    return {
        f"{kind}.{s}": {"description": HTTPStatus(s).phrase, "content": content}
        for kind, content in (("any", problem), ("v2", both))
        for s in (*_REFUSED, *_CLOSED)
    }


def _listed(models: list[Served]) -> str:
    return ", ".join(s.ref for s in models) or "no model"


_KEY: Object = {
    "name": "Idempotency-Key", "in": "header", "required": False,
    "description": "Sent again with the same key within 24 h, a request is answered as before and not done again.",
    "schema": {"type": "string", "pattern": "^[!-~]{1,200}$"},
}  # fmt: skip
_PROBLEM: Object = {
    "type": "object", "description": "RFC 9457.", "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"}, "title": {"type": "string"}, "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"enum": sorted(c for c in CODES if c.startswith(("http.", "data.", "check.", "env.", "internal.")))},
        "where": {"type": "string"}, "found": {"type": "string"}, "do": {"type": "string"},
        "incident": {"type": "string", "description": "Names the line of the server's log."},
        "errors": {"type": "array", "items": {"type": "object", "properties": {
            "code": {"type": "string"}, "detail": {"type": "string"}, "row": {"type": "integer"},
            "column": {"type": ["string", "null"]}, "value": {"type": ["string", "null"]},
        }}},
    },
}  # fmt: skip
_V2_ERROR: Object = {**_PROBLEM, "required": ["error"], "properties": {
    "error": {"type": "string"}, **_PROBLEM["properties"],
}}  # fmt: skip
_TENSOR: Object = {
    "type": "object", "required": ["name", "shape", "datatype"],
    "properties": {
        "name": {"type": "string"}, "shape": {"type": "array", "items": {"type": "integer"}},
        "datatype": {"enum": list(KINDS)}, "data": {"type": ["array", "null"]},
        "parameters": {"type": "object"},
    },
}  # fmt: skip
_GENERAL: Object = {
    "live": _operation("Whether the server runs", None, {"live": True}),
    "ready": _operation("Whether it answers; 503 while it does not", None, {"ready": True}),
    "v2_server": _operation("Name, version and extensions", None, None),
    "openapi": _operation("This document", None, None),
    "metrics": {
        "summary": "Figures of all workers, for Prometheus",
        "responses": {"200": {"description": "OK", "content": {"text/plain": {"schema": {"type": "string"}}}}},
    },
}  # fmt: skip
