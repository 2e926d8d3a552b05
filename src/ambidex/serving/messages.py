"""Requests and answers, and what one caller may take of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ambidex.errors import AmbidexError
from ambidex.serving.problems import PROBLEM, document

__all__ = ["Answer", "Limits", "Request", "refusal"]

JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one caller may take of the server.

    Attributes:
        head_bytes: Request line and field lines together.
        head_s: Seconds from a request's first byte to the end of its head.
        body_bytes: Body, after its chunks are joined.
        body_s: Seconds for the body.
        held_bytes: Bodies of all callers of one worker together that are not answered yet.
        idle_s: Seconds an idle connection is kept.
        write_s: Seconds a caller may leave its answers unread.
        linger_s: Seconds in which what a refused caller still sends is thrown away, so that it reads its answer.
        connections: Open at a time in one worker; more are told to come back.
        drain_s: Seconds for requests under way once the server was told to stop.
    """

    head_bytes: int = 16 << 10
    head_s: float = 10.0
    body_bytes: int = 10 << 20
    body_s: float = 30.0
    held_bytes: int = 256 << 20
    idle_s: float = 75.0
    write_s: float = 30.0
    linger_s: float = 2.0
    connections: int = 800
    drain_s: float = 10.0


@dataclass(slots=True)
class Request:
    """A request, whole. ``fault`` is set if it broke a rule; then only that is answered."""

    method: str
    path: str
    fields: Mapping[bytes, bytes]
    body: bytes
    keep_alive: bool
    fault: AmbidexError | None = None


@dataclass(slots=True)
class Answer:
    """An answer.

    Attributes:
        status: HTTP status.
        body: Bytes, a JSON object.
        media: Its media type.
        headers: Further field lines.
        logged_as: Model whose log holds this answer's rows; if that cannot be written the answer says so.
    """

    status: int
    body: bytes
    media: bytes = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    logged_as: str | None = None


def refusal(error: AmbidexError, *, incident: str | None = None) -> Answer:
    """An error as an answer."""
    problem = document(error, incident=incident)
    return Answer(problem.status, problem.body, PROBLEM, problem.headers)
