"""Labels over HTTP: read, checked, kept until they survive power loss; once a key."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ambidex.access import Token
from ambidex.data.labels import class_of
from ambidex.errors import DataError, did_you_mean
from ambidex.serving.decode import NOT_DECODED, not_json
from ambidex.serving.http import Connection
from ambidex.serving.loader import Served
from ambidex.serving.log import PredictionLog, utc
from ambidex.serving.messages import Answer, Request
from ambidex.serving.problems import HttpRefusal, shortened
from ambidex.serving.replays import Replays, key_of

__all__ = ["Feedback", "read_labels"]

LABELS = 10_000
"""Labels of one request, at most."""
SHOWN = 20
"""Ids that an answer names, at most."""
ID = re.compile(r"[0-9a-f]{27}|[\w.-]{1,180}-[0-9]{1,12}", re.ASCII)
"""How ids look that a server or a scoring gave out; no prediction has another one."""

_encode = msgspec.json.Encoder().encode


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=1, max_length=200)]
    label: Annotated[str, Meta(max_length=4096)] | bool | int | float


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: Annotated[list[_Label], Meta(max_length=LABELS)]


_labels = msgspec.json.Decoder(_Labels)


class Feedback:
    """Answers requests with labels.

    Args:
        log: Where labels are kept.
        loop: The event loop.
        counts: The worker's counters; ``labels`` grows here.
        guard: Runs a step of a request, and answers it with the error that the step raised.
        replays: Requests with a key that were carried out before; None: keys are refused.
    """

    def __init__(
        self,
        log: PredictionLog,
        loop: asyncio.AbstractEventLoop,
        counts: dict[str, int],
        guard: Callable[[Connection, Callable[[], None]], None],
        replays: Replays | None = None,
    ) -> None:
        self._log = log
        self._loop = loop
        self._counts = counts
        self._guard = guard
        self._replays = replays
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="labels")  # one: the file has one writer

    def __call__(self, request: Request, connection: Connection, served: Served, token: Token | None) -> None:
        """Keep the labels of a request, all or none of them, then answer.

        Raises:
            AmbidexError: What ``read_labels`` raises; ``http.key``.
        """
        key = key_of(request.fields.get(b"idempotency-key"))
        labels = read_labels(request.body, served)
        known = [(n, v) for n, v in labels if ID.fullmatch(n)]
        unknown = [n for n, _ in labels if not ID.fullmatch(n)]
        at, model = utc(), served.model
        payloads = [{"kind": "label", "at": at, "model": model, "id": n, "label": v} for n, v in known]
        said: dict[str, Any] = {"model": model, "accepted": len(payloads)}
        if unknown:
            said |= {"unknown": unknown[:SHOWN], "unknown_count": len(unknown)}
        body = _encode(said)

        def keep() -> bytes:
            if payloads:
                self._log.labels(model, payloads)
            return body

        def work() -> tuple[bytes, bool]:
            if key is None or self._replays is None:
                return keep(), False
            scope = f"{token.id if token else ''} feedback {model}"
            return self._replays.once(scope, key, request.body, keep)

        def kept(done: asyncio.Future[tuple[bytes, bool]]) -> None:
            def answer() -> None:
                body, again = done.result()
                self._counts["labels"] += 0 if again else len(payloads)
                headers = {"Idempotency-Replayed": "true"} if again else {}
                connection.answer(Answer(200, body, headers=headers))

            self._guard(connection, answer)

        if payloads or key is not None:
            self._loop.run_in_executor(self._thread, work).add_done_callback(kept)
        else:
            connection.answer(Answer(200, body))


def read_labels(body: bytes, served: Served) -> list[tuple[str, Any]]:
    """(id, label) of a request, labels as the classes spell them.

    Raises:
        AmbidexError: ``http.json``, ``http.shape``, ``data.no-label``, ``http.type``; all labels or none.
    """
    try:
        said = _labels.decode(body).labels
    except NOT_DECODED as error:
        if not isinstance(error, msgspec.ValidationError):
            raise not_json(body, error) from None
        why, _, place = str(error).partition(" - at ")
        if "array` of length" in why:
            raise HttpRefusal(
                "http.too-large", f"the request has more than {LABELS:,} labels", status=413,
                do="send fewer at a time, or a table: ambidex feedback NAME TABLE --id COL --label COL",
            ) from None  # fmt: skip
        raise DataError(
            "http.shape", f"the labels do not fit: {why[:200]}", where=place.strip("`")[:100] or None,
            do='send {"labels": [{"id": "...", "label": "..."}]}',
        ) from None  # fmt: skip
    return [(item.id, _label(item.label, index, served)) for index, item in enumerate(said)]


def _label(label: Any, index: int, served: Served) -> Any:
    schema = served.schema
    if schema.task in ("binary", "multiclass"):
        text = _spelled(label)
        spellings = [text]
        if isinstance(label, bool):  # no label of a model that was trained on other words than true and false
            spellings = [text, text.lower()] if any(c.lower() in ("true", "false") for c in schema.classes) else []
        for spelling in spellings:
            if (named := class_of(spelling, schema.classes)) is not None:
                return named
        raise DataError(
            "data.no-label",
            f"label {index} is {shortened(label)}, no class of {served.model}"
            + did_you_mean(text[:100], schema.classes),
            where=f"label {index}",
            found=f"the classes are {', '.join(schema.classes)}",
            do="write the labels as in training",
        )
    if schema.task == "segments":
        raise DataError(
            "data.no-label", f"{served.model} gives segments, and no label says which one is right",
            where=f"label {index}", do="send labels to a model that predicts an outcome",
        )  # fmt: skip
    try:
        number = math.nan if isinstance(label, bool) else float(label)
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(
            "http.type", f"label {index} is {shortened(label)}, no number", where=f"label {index}",
            found=f"{served.model} predicts {schema.target}, a number",
        )  # fmt: skip
    return number


def _spelled(label: Any) -> str:
    return f"{label:.0f}" if isinstance(label, float) and label.is_integer() else str(label)
