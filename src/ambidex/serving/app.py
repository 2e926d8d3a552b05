"""The routes of the server: predict, feedback, health.

``POST /predict/NAME`` or ``/predict/NAME@REF`` · ``POST /feedback/NAME`` · ``GET /v2/health/live|ready``
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any
from urllib.parse import unquote

import msgspec
from msgspec import Meta

from ambidex.data.labels import class_of
from ambidex.errors import AmbidexError, DataError, did_you_mean
from ambidex.serving.decode import NOT_DECODED, not_json
from ambidex.serving.http import Connection
from ambidex.serving.loader import Models, Served
from ambidex.serving.log import PredictionLog, Report, utc
from ambidex.serving.messages import Answer, Request, refusal
from ambidex.serving.predict import ModelFailed, Predict
from ambidex.serving.problems import HttpRefusal, internal, shortened

__all__ = ["App"]

LABELS = 10_000
"""Labels of one request, at most."""
ROUTES = ("/predict/{model}", "/feedback/{model}", "/v2/health/live", "/v2/health/ready")

_encode = msgspec.json.Encoder().encode


class _Label(msgspec.Struct, forbid_unknown_fields=True):
    id: Annotated[str, Meta(min_length=1, max_length=200)]
    label: Annotated[str, Meta(max_length=4096)] | bool | int | float


class _Labels(msgspec.Struct, forbid_unknown_fields=True):
    labels: Annotated[list[_Label], Meta(max_length=LABELS)]


_labels = msgspec.json.Decoder(_Labels)


class App:
    """Answers requests; one instance a worker.

    Args:
        models: What can be asked.
        log: Where predictions and labels are kept.
        report: Told of failures of a model and of our own.
        loop: The event loop.

    Attributes:
        counts: Requests by outcome, rows, failures of models.
        draining: True once the worker was told to stop: not ready any more.
    """

    def __init__(self, models: Models, log: PredictionLog, report: Report, loop: asyncio.AbstractEventLoop) -> None:
        self._models = models
        self._log = log
        self._report = report
        self._loop = loop
        self.counts: dict[str, int] = {"answered": 0, "refused": 0, "rows": 0, "labels": 0, "model-failed": 0}
        self.draining = False
        self._predict = Predict(log, report, loop, self.counts, self._guard)
        self._labels = ThreadPoolExecutor(1, thread_name_prefix="labels")  # one: the file has one writer

    # ------------------------------------------------------------ the way of a request

    def __call__(self, request: Request, connection: Connection) -> None:
        """Answer a request, at once or later. Never raises."""
        self._guard(connection, lambda: self._route(request, connection))

    def _guard(self, connection: Connection, act: Callable[[], None]) -> None:
        try:
            act()
        except AmbidexError as error:
            self._fail(connection, error, error.incident if isinstance(error, ModelFailed) else None)
        except Exception as error:
            fault, incident = internal("internal.bug", "the server failed on this request")
            self._report("request.failed", {"incident": incident, "why": type(error).__name__, "at": _place(error)})
            self._fail(connection, fault, incident)

    def _fail(self, connection: Connection, error: AmbidexError, incident: str | None = None) -> None:
        self.counts["refused"] += 1
        connection.answer(refusal(error, incident=incident))

    def _route(self, request: Request, connection: Connection) -> None:
        place, _, name = request.path[1:].partition("/")
        if place in ("predict", "feedback") and name and "/" not in name:
            model, at, ref = unquote(name).partition("@")
            served = self._models.live(model)
            _only(request, "POST")
            _json_only(request)
            if place == "feedback":
                self._feedback(request, connection, served)
            elif at:
                self._models.find(model, ref, lambda found: self._found(request, connection, found))
            else:
                self._predict(request, connection, served)
        elif request.path == "/v2/health/live":
            _only(request, "GET", "HEAD")
            connection.answer(Answer(200, b'{"live":true}'))
        elif request.path == "/v2/health/ready":
            _only(request, "GET", "HEAD")
            ready = self._models.ready and not self.draining
            connection.answer(Answer(200, b'{"ready":true}') if ready else Answer(503, b'{"ready":false}'))
        else:
            path = request.path[:100]
            raise HttpRefusal(
                "http.not-found",
                f"there is no {path}{did_you_mean(path, ROUTES)}",
                status=404,
                found=", ".join(ROUTES),
            )

    # ------------------------------------------------------------ predict

    def _found(self, request: Request, connection: Connection, found: Served | AmbidexError) -> None:
        if isinstance(found, AmbidexError):
            self._fail(connection, found)
        else:
            self._guard(connection, lambda: self._predict(request, connection, found))

    # ------------------------------------------------------------ feedback

    def _feedback(self, request: Request, connection: Connection, served: Served) -> None:
        labels = _read_labels(request.body, served)
        at, model = utc(), served.model
        payloads = [{"kind": "label", "at": at, "model": model, "id": n, "label": v} for n, v in labels]
        if not payloads:
            connection.answer(Answer(200, _encode({"model": model, "accepted": 0})))
            return

        def kept(done: asyncio.Future[None]) -> None:
            def answer() -> None:
                done.result()
                self.counts["labels"] += len(payloads)
                connection.answer(Answer(200, _encode({"model": model, "accepted": len(payloads)})))

            self._guard(connection, answer)

        self._loop.run_in_executor(self._labels, self._log.labels, model, payloads).add_done_callback(kept)


def _read_labels(body: bytes, served: Served) -> list[tuple[str, Any]]:
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
    if schema.task == "binary":
        text = _spelled(label)
        spellings = [text]
        if isinstance(label, bool):  # no label of a model that was trained on other words than true and false
            spellings = [text, text.lower()] if schema.classes[1].lower() in ("true", "false") else []
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


def _only(request: Request, *methods: str) -> None:
    if request.method not in methods:
        allow = ", ".join(methods)
        raise HttpRefusal(
            "http.method", f"{request.path[:100]} takes {allow}, not {request.method[:20]}", status=405,
            headers={"Allow": allow}, do=f"send {methods[0]}",
        )  # fmt: skip


def _json_only(request: Request) -> None:
    """JSON, unpacked. A request without a media type counts as JSON, except a browser's: a page of another
    origin may send such a body without asking."""
    coding = request.fields.get(b"content-encoding", b"").strip().lower()
    if coding not in (b"", b"identity"):
        said = shortened(coding.decode("latin-1"), 40)
        raise HttpRefusal(
            "http.media-type", f"Content-Encoding {said} is not accepted", status=415,
            headers={"Accept-Encoding": "identity"}, do="send the body as it is, without Content-Encoding",
        )  # fmt: skip
    media, _, rest = request.fields.get(b"content-type", b"").decode("latin-1").lower().partition(";")
    media, charset = media.strip(), rest.replace(" ", "").replace('"', "")
    fits = media == "application/json" or (media == "" and b"origin" not in request.fields)
    if not fits or (charset.startswith("charset=") and charset not in ("charset=utf-8", "charset=utf8")):
        said = shortened(f"{media}; {rest.strip()}" if fits else media, 60) if media else "of no stated type"
        raise HttpRefusal(
            "http.media-type", f"the body is {said}; accepted is application/json in UTF-8", status=415,
            headers={"Accept": "application/json"}, do="send Content-Type: application/json",
        )  # fmt: skip


def _place(error: BaseException) -> str:
    """Module and line where it was raised, for the server's own log."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_globals.get('__name__', '')}:{trace.tb_lineno}"
