"""The one JSON document of a run, as the contract says."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ambidex.errors import AmbidexError

__all__ = ["SCHEMA", "dumps", "failure", "plain", "success"]

SCHEMA = "ambidex/1"


def plain(value: Any) -> Any:
    """Plain JSON values; what JSON has no word for (NaN, infinities) becomes null.

    >>> plain({"a": (1.0, float("nan")), 2: None})
    {'a': [1.0, None], '2': None}
    """
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, set | frozenset):
        return sorted((plain(v) for v in value), key=repr)
    for turn in ("to_dict", "to_json", "isoformat", "tolist"):
        if hasattr(value, turn):
            return plain(getattr(value, turn)())
    return str(value)


def dumps(document: Mapping[str, Any], *, ascii_only: bool = False) -> str:
    """One line of JSON with its line end."""
    return json.dumps(plain(document), ensure_ascii=ascii_only, allow_nan=False) + "\n"


def success(
    verb: str, data: Any, *, warnings: list[dict[str, str]] | None = None, next: list[str] | None = None
) -> dict[str, Any]:
    """Exit 0: ``ok`` and the data."""
    return {
        "schema": SCHEMA,
        "verb": verb,
        "ok": True,
        "data": data,
        "warnings": warnings or [],
        "next": next or [],
    }


def failure(
    verb: str,
    error: AmbidexError,
    *,
    data: Any = None,
    warnings: list[dict[str, str]] | None = None,
    next: list[str] | None = None,
) -> dict[str, Any]:
    """Any other exit: the error; at exit 4 the full data beside it."""
    document: dict[str, Any] = {"schema": SCHEMA, "verb": verb, "ok": False}
    if error.exit_code == 4:
        document |= {"data": data or {}, "warnings": warnings or [], "next": next or []}
    return document | {"error": error.to_dict()}
