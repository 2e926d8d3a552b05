"""Errors over HTTP: RFC 9457 problem documents with the codes of the command line.

A document holds what the caller can use: what was wrong, in which row and column, what to do. Never a
traceback, a path of this machine, or a value of its environment.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from ambidex.errors import CODES, AmbidexError, DataError, InternalError, UsageError

__all__ = ["PROBLEM", "HttpRefusal", "RowFaults", "document", "internal", "shortened"]

PROBLEM = b"application/problem+json"
SHOWN = 60
"""Characters of a caller's value that a document repeats."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with one row.

    Attributes:
        code: As ``ambidex help CODE`` explains it.
        detail: What is wrong, in one sentence.
        row: Index of the row in the request, from 0.
        column: Its column, or None if the row as a whole is wrong.
        value: What was there, shortened.
    """

    code: str
    detail: str
    row: int
    column: str | None = None
    value: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "code": self.code, "detail": self.detail, "row": self.row, "column": self.column, "value": self.value
        }  # fmt: skip


class RowFaults(DataError):
    """Rows that do not fit the model: all of them are refused.

    Args:
        faults: What is wrong, first row first; at least one.
        more: True if checking stopped before the last row.
    """

    def __init__(self, faults: Sequence[Fault], *, more: bool = False) -> None:
        first = faults[0]
        rest = len(faults) - 1
        tail = f" (and {rest}{' or more' if more else ''} in `errors`)" if rest else ""
        where = f"row {first.row}" + (f", column {first.column}" if first.column is not None else "")
        super().__init__(first.code, first.detail + tail, where=where, found=first.value)
        self.faults = tuple(faults)


class HttpRefusal(UsageError):
    """A request that breaks a rule of HTTP or of this server, with the header fields that say so.

    Args:
        code: As in ``errors.CODES``.
        message: What was wrong.
        status: HTTP status.
        headers: Field lines to add, such as ``Allow``.
        found: What was there.
        do: What would be right.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        found: str | None = None,
        do: str | None = None,
    ) -> None:
        super().__init__(code, message, found=found, do=do, status=status)
        self.headers = dict(headers or {})


@dataclass(frozen=True, slots=True)
class Document:
    """A problem, ready to be sent."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def document(error: AmbidexError, *, incident: str | None = None) -> Document:
    """The problem document of an error.

    Args:
        error: Of our tree; its code, message, where, found and do are shown.
        incident: Names the line of the server's log that says more.

    >>> import json
    >>> json.loads(document(HttpRefusal("http.not-found", "there is no /x", status=404)).body)["code"]
    'http.not-found'
    """
    fields: dict[str, Any] = {
        "type": f"urn:ambidex:problem:{error.code}",
        "title": CODES.get(error.code, "Something went wrong.").partition(". ")[0].rstrip("."),
        "status": error.http_status,
        "detail": error.message,
        "code": error.code,
    }
    fields |= {k: v for k, v in (("where", error.where), ("found", error.found), ("do", error.do)) if v}
    if isinstance(error, RowFaults):
        fields["errors"] = [f.to_dict() for f in error.faults]
    if incident is not None:
        fields["incident"] = incident
    headers = error.headers if isinstance(error, HttpRefusal) else {}
    if error.http_status == 503 and "Retry-After" not in headers:
        headers = {**headers, "Retry-After": "1"}
    return Document(error.http_status, msgspec.json.encode(fields), headers)


def internal(code: str, message: str) -> tuple[InternalError, str]:
    """A fault that is not the caller's, and the incident that names it in the server's log."""
    incident = secrets.token_hex(6)
    return InternalError(code, message, do=f"tell whoever runs this server: incident {incident}"), incident


def shortened(value: Any, limit: int = SHOWN) -> str:
    """A caller's value as JSON, cut.

    >>> shortened("a" * 100, 10)
    '"aaaaaa...'
    >>> shortened(None)
    'null'
    """
    if isinstance(value, str):
        value = value[: limit + 1]
    elif isinstance(value, dict | list | tuple):
        kind = "an object" if isinstance(value, dict) else "an array"
        return f"{kind} of {len(value)}"
    try:
        text = msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, msgspec.MsgspecError):
        text = str(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
