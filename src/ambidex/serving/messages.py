"""Requests and answers, and what one caller may take of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ambidex.errors import AmbidexError
from ambidex.serving.problems import PROBLEM, document

__all__ = ["Answer", "Limits", "Request", "Tally", "refusal"]

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
        connections: Open at a time in one worker; more are told to come back, unless a caller that has sent no
            whole request for ``patience_s`` can be cut.
        patience_s: Seconds that every new caller gets for its first request, however many wait for its place.
        tick: Requests answered in one turn of the event loop.
        tick_waiting: Beyond them, requests that wait for the next turn.
        tick_refused: Beyond these, requests refused in one turn (a refusal costs a quarter of an answer); callers
            beyond even that are not read, so that what has been read can be answered.
        deadline_s: Seconds from a whole request to its answer; then 504.
        open_s: The same where a version must be opened first.
        drain_s: Seconds for requests under way once the server was told to stop.
        memory_bytes: A worker that holds more is replaced by another; 0: 1 GB beyond four times what it held once it
            was ready.
        full_again_s: Not before it has run so long: what it needs to live is no leak.
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
    patience_s: float = 1.0
    tick: int = 64
    tick_waiting: int = 64
    tick_refused: int = 48
    deadline_s: float = 1.0
    open_s: float = 30.0
    drain_s: float = 10.0
    memory_bytes: int = 0
    full_again_s: float = 30.0


@dataclass(slots=True)
class Request:
    """A request, whole.

    Attributes:
        method: In capitals.
        path: Without query, percent-encoding as sent.
        fields: Header fields, names in lower case; of a repeated one the last.
        body: Chunks joined.
        keep_alive: The caller wants to ask again on this connection.
        fault: Set if it broke a rule; then only that is answered.
        old: HTTP/1.0.
    """

    method: str
    path: str
    fields: Mapping[bytes, bytes]
    body: bytes
    keep_alive: bool
    fault: AmbidexError | None = None
    old: bool = False


@dataclass(slots=True)
class Answer:
    """An answer.

    Attributes:
        status: HTTP status.
        body: Bytes; a JSON object if ``logged_as`` is set and ``media`` is JSON.
        media: Its media type.
        headers: Further field lines.
        logged_as: Model whose log holds this answer's rows; if that cannot be written the answer says so.
        packed: To be sent as gzip.
        code: Of a refusal.
    """

    status: int
    body: bytes
    media: bytes = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    logged_as: str | None = None
    packed: bool = False
    code: str | None = None


@dataclass(slots=True)
class Tally:
    """What a worker has answered.

    Attributes:
        statuses: Answers by HTTP status.
        refusals: Refusals by code.
    """

    statuses: dict[int, int] = field(default_factory=dict)
    refusals: dict[str, int] = field(default_factory=dict)

    def answered(self, answer: Answer) -> None:
        """Count an answer."""
        self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
        if answer.code is not None:
            self.refusals[answer.code] = self.refusals.get(answer.code, 0) + 1


def refusal(error: AmbidexError, *, incident: str | None = None) -> Answer:
    """An error as an answer."""
    problem = document(error, incident=incident)
    return Answer(problem.status, problem.body, PROBLEM, problem.headers, code=error.code)
