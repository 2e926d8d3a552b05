"""The routes of the server (``routes.ROUTES``): one door, then the handler of the route.

Never raises: what a handler raises is the answer, as a problem document, or in the form of the Open Inference
Protocol below ``/v2``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from ambidex.access import Token, Tokens
from ambidex.data.answers import answer_stream, load
from ambidex.data.run_folder import read_run
from ambidex.errors import AmbidexError, did_you_mean
from ambidex.serving import coding, metrics, v2
from ambidex.serving.arms import Arms
from ambidex.serving.entry import Asks, Entry
from ambidex.serving.feedback import Feedback
from ambidex.serving.gate import Gate
from ambidex.serving.http import Connection
from ambidex.serving.loader import Models, Served
from ambidex.serving.log import PredictionLog, Report
from ambidex.serving.messages import Answer, Limits, Request, Tally, refusal
from ambidex.serving.predict import Form, ModelFailed, Predict
from ambidex.serving.problems import HttpRefusal, internal
from ambidex.serving.replays import Replays
from ambidex.serving.routes import ROUTES, Place, find
from ambidex.serving.stages import Stages

__all__ = ["App"]

PLACES = 1024
"""Paths whose route is remembered."""
AT_ONCE = 256 << 10
"""Bytes that are inflated on the event loop; more in a thread."""

Handler = Callable[[Request, Connection, Place, Token | None], None]


class App:
    """Answers requests; one instance a worker.

    Args:
        models: What can be asked.
        log: Where predictions and labels are kept.
        report: Told of failures of a model and of our own.
        loop: The event loop.
        entry: Who may come in; everybody if None.
        limits: What one caller may take.
        tally: Counts answers, also those that never came here.
        replays: Requests with a key that were carried out before.
        stages: Where the time of requests goes.
        run_folder: Where the workers leave their snapshots.
        write_log: Writes what the log holds back where no answer waits for it.

    Attributes:
        gate: The connections of this worker.
        counts: Requests by outcome, rows, failures of models.
        draining: True once the worker was told to stop: not ready any more.
    """

    def __init__(
        self,
        models: Models,
        log: PredictionLog,
        report: Report,
        loop: asyncio.AbstractEventLoop,
        *,
        entry: Entry | None = None,
        limits: Limits | None = None,
        tally: Tally | None = None,
        replays: Replays | None = None,
        stages: Stages | None = None,
        run_folder: Path | None = None,
        write_log: Callable[[], None] | None = None,
    ) -> None:
        self.gate: Gate | None = None
        self._models = models
        self._log = log
        self._report = report
        self._stages = stages
        self._run_folder = run_folder
        self._loop = loop
        self._entry = entry or Entry(Asks(), Tokens(), report)
        self._limits = limits or Limits()
        self._places: dict[str, Place | None] = {}
        self.tally = tally or Tally()
        self.counts: dict[str, int] = {"answered": 0, "refused": 0, "rows": 0, "labels": 0, "model-failed": 0}
        self.draining = False
        self._predict = Predict(log, report, loop, self.counts, self._guard, stages)
        self._arms = Arms(self._predict, log, loop, stages or Stages(None), report, write_log or (lambda: None))
        self._feedback = Feedback(log, loop, self.counts, self._guard, replays)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self._handlers: dict[str, Handler] = {
            "predict": self._to_predict, "feedback": self._to_feedback, "live": self._live, "ready": self._ready,
            "v2_server": self._v2_server, "v2_model": self._v2_model, "v2_ready": self._v2_ready,
            "v2_infer": self._v2_infer, "metrics": self._metrics, "openapi": self._openapi,
            "docs": self._docs, "root": self._root,
        }  # fmt: skip

    # ------------------------------------------------------------ the way of a request

    def __call__(self, request: Request, connection: Connection) -> None:
        """Answer a request, at once or later. Never raises."""
        try:
            self._route(request, connection)
        except Exception as error:
            self._caught(connection, error)

    def _guard(self, connection: Connection, act: Callable[[], None]) -> None:
        try:
            act()
        except Exception as error:
            self._caught(connection, error)

    def _caught(self, connection: Connection, error: Exception) -> None:
        if isinstance(error, AmbidexError):
            self._fail(connection, error, error.incident if isinstance(error, ModelFailed) else None)
            return
        fault, incident = internal("internal.bug", "the server failed on this request")
        self._report("request.failed", {"incident": incident, "why": type(error).__name__, "at": _place(error)})
        self._fail(connection, fault, incident)

    def _fail(self, connection: Connection, error: AmbidexError, incident: str | None = None) -> None:
        self.counts["refused"] += 1
        answer = refusal(error, incident=incident)
        if incident is None:
            self._count(connection.path, answer.status)
        connection.answer(v2.refusal(answer, error) if v2.speaks(connection.path) else answer)

    def _count(self, path: str, status: int = 503) -> None:
        """A refusal of a prediction is counted with the version that was asked."""
        place = self._places.get(path)
        if self._stages is None or place is None or place.route.action != "predict":
            return
        number = self._models.live_number(place.model)
        if number is not None:
            of = self._stages.of(place.model, number)
            if status in (429, 503, 504):
                of.shed += 1
            elif status < 500:
                of.refused += 1

    def _route(self, request: Request, connection: Connection) -> None:
        path = request.path
        try:
            place = self._places[path]
        except KeyError:
            if len(self._places) >= PLACES:
                self._places.clear()
            place = self._places[path] = find(path)
        if place is None:
            self._entry.admit(request, "describe", None)
            if path == "*" and request.method == "OPTIONS":
                self._other_method(request, connection, ("GET", "HEAD", "POST"))
                return
            raise _no_route(path)
        route = place.route
        token = self._entry.admit(request, route.action, place.model or None)
        if request.method not in route.methods:
            self._other_method(request, connection, route.methods)
            return
        self._handlers[route.name](request, connection, place, token)

    def _other_method(self, request: Request, connection: Connection, methods: tuple[str, ...]) -> None:
        if request.method == "OPTIONS":
            connection.answer(Answer(200, b"", headers={"Allow": ", ".join([*methods, "OPTIONS"])}))
            return
        allow = ", ".join(methods)
        raise HttpRefusal(
            "http.method", f"{request.path[:100]} takes {allow}, not {request.method[:20]}", status=405,
            headers={"Allow": allow}, do=f"send {methods[0]}",
        )  # fmt: skip

    # ------------------------------------------------------------ bodies and versions

    def _with_body(self, request: Request, connection: Connection, then: Callable[[Request], None]) -> None:
        """Go on with the request unpacked; a bomb is refused while it inflates."""
        if not coding.coding_of(request):
            then(request)
            return
        most = self._limits.body_bytes
        body = coding.inflated(request.body, min(most, AT_ONCE))
        if body is not None:
            then(replace(request, body=body))
            return
        if most <= AT_ONCE:
            raise _inflates(most)

        def unpacked(done: asyncio.Future[bytes | None]) -> None:
            def go_on() -> None:
                body = done.result()
                if body is None:
                    raise _inflates(most)
                connection.hold(len(body))
                then(replace(request, body=body))

            self._guard(connection, go_on)

        self._loop.run_in_executor(self._aside, coding.inflated, request.body, most).add_done_callback(unpacked)

    def _with_version(self, connection: Connection, place: Place, then: Callable[[Served], None]) -> None:
        """Go on with the version that the path names, opened if it must be."""
        if not place.ref:
            then(self._models.live(place.model))
            return

        def found(served: Served | AmbidexError) -> None:
            if isinstance(served, AmbidexError):
                self._fail(connection, served)
            else:
                connection.allow(self._limits.deadline_s)
                self._guard(connection, lambda: then(served))

        connection.allow(self._limits.open_s)
        self._models.find(place.model, place.ref, found)

    # ------------------------------------------------------------ predictions and labels

    def _to_predict(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        coding.only_json(request)
        if b"arrow" in request.fields.get(b"accept", b"") and coding.wants(request, coding.ARROW):
            self._loaded(connection, load, lambda: self._at_length(request, connection, place, _as_arrow))
        elif not place.ref and b"content-encoding" not in request.fields:  # the ordinary case
            self._by_arm(request, connection, self._models.live(place.model), None, "")
        else:
            self._at_length(request, connection, place, None)

    def _at_length(self, request: Request, connection: Connection, place: Place, form: Form | None) -> None:
        """The way of a request for another version, or with a packed body, or for another kind of answer."""
        self._with_version(
            connection,
            place,
            lambda served: self._with_body(
                request, connection, lambda unpacked: self._by_arm(unpacked, connection, served, form, place.ref)
            ),
        )

    def _by_arm(
        self, request: Request, connection: Connection, served: Served, form: Form | None, ref: str
    ) -> None:  # fmt: skip
        """A version that was asked for by number or pointer answers; else live, and what is tried beside it."""
        if ref not in ("", "live"):
            self._predict(request, connection, served, form, "asked")
        elif (split := self._models.splits.get(served.model)) is None:
            self._predict(request, connection, served, form)
        else:
            self._arms(request, connection, served, form, split)

    def _to_feedback(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        served = self._models.live(place.model)
        if place.ref:
            raise _no_route(request.path)
        coding.only_json(request)
        self._with_body(request, connection, lambda r: self._feedback(r, connection, served, token))

    # ------------------------------------------------------------ health

    def _live(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        connection.answer(Answer(200, b'{"live":true}'))

    def _ready(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        ready = self._models.ready and not self.draining
        connection.answer(Answer(200, b'{"ready":true}') if ready else Answer(503, b'{"ready":false}'))

    # ------------------------------------------------------------ figures

    def watches(self, gate: Gate) -> None:
        """Take the connections of this worker into the figures."""
        self.gate = gate
        gate.shed = self._count

    def figures(self) -> dict[str, Any]:
        """What this worker counts beside the stages; part of its snapshot."""
        gate = self.gate
        return {
            "counts": dict(self.counts), "statuses": {str(s): n for s, n in self.tally.statuses.items()},
            "refusals": dict(self.tally.refusals), "unlogged": dict(self._log.unlogged), "refs": self._models.refs,
            "connections": len(gate.connections) if gate else 0, "in_flight": gate.in_flight if gate else 0,
        }  # fmt: skip

    def _metrics(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        mine = {"pid": os.getpid(), "index": 0, "versions": [], **self.figures()}
        if self._stages is not None:
            mine = self._stages.snapshot(self.figures())
        live = {s.model: s.number for s in self._models.served}
        opened = coding.wants(request, "application/openmetrics-text")
        scope = token.models if token is not None else ()

        def read() -> bytes:
            others = [] if self._run_folder is None else read_run(self._run_folder)
            family = [o for o in others if o["server"] == mine.get("server") and o["pid"] != mine["pid"]]
            return metrics.render([mine, *family], live, models=scope, openmetrics=opened)

        self._later(connection, read, lambda text: Answer(200, text, metrics.OPEN if opened else metrics.PLAIN))

    def _seen(self, token: Token | None) -> list[Served]:
        """The live versions that a token is for."""
        return [s for s in self._models.served if token is None or token.may("describe", s.model)]

    def _openapi(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        def make() -> bytes:
            from ambidex.serving.openapi import document

            return msgspec.json.encode(document(self._seen(token), closed=self._entry.closed))

        self._later(connection, make, lambda body: Answer(200, body))

    def _docs(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        from ambidex.serving import docs_page

        if place.file:
            found = docs_page.asset(place.file)
            if found is None:
                raise _no_route(request.path)
            connection.answer(replace(found))
            return
        host = request.fields.get(b"host", b"127.0.0.1").decode("latin-1")
        connection.answer(docs_page.page(self._seen(token), closed=self._entry.closed, host=host))

    def _root(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        connection.answer(Answer(303, b"", headers={"Location": "/docs"}))

    def _loaded(self, connection: Connection, load: Callable[[], None], then: Callable[[], None]) -> None:
        """Go on once a thread has imported what is needed."""

        def done(made: asyncio.Future[None]) -> None:
            connection.allow(self._limits.deadline_s)

            def go_on() -> None:
                made.result()
                then()

            self._guard(connection, go_on)

        connection.allow(self._limits.open_s)
        self._loop.run_in_executor(self._aside, load).add_done_callback(done)

    def _later(self, connection: Connection, work: Callable[[], bytes], form: Callable[[bytes], Answer]) -> None:
        """Answer with what a thread makes."""

        def done(made: asyncio.Future[bytes]) -> None:
            self._guard(connection, lambda: connection.answer(form(made.result())))

        self._loop.run_in_executor(self._aside, work).add_done_callback(done)

    # ------------------------------------------------------------ Open Inference Protocol

    def _v2_server(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        connection.answer(v2.server())

    def _v2_model(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        versions = self._models.versions(place.model)
        self._with_version(connection, place, lambda served: connection.answer(v2.model(served, versions)))

    def _v2_ready(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        self._with_version(connection, place, lambda served: connection.answer(v2.ready(served)))

    def _v2_infer(self, request: Request, connection: Connection, place: Place, token: Token | None) -> None:
        def infer(served: Served, unpacked: Request) -> None:
            asked = v2.read(unpacked, served)
            self._by_arm(replace(unpacked, body=asked.body), connection, served, asked.form, place.ref)

        v2.only_tensors(request)
        self._with_version(
            connection, place, lambda s: self._with_body(request, connection, lambda unpacked: infer(s, unpacked))
        )


def _as_arrow(served: Served, document: dict[str, Any]) -> Answer:
    """The answer as an Arrow stream: the columns that ``score`` writes."""
    about = {"model": served.model, "version": str(served.number)}
    said = (document["ids"], document["predictions"], document.get("classes", ()), document.get("probabilities", ()))
    body = answer_stream(*said, about=about)
    return Answer(200, body, coding.ARROW.encode(), logged_as=served.model)


def _no_route(path: str) -> HttpRefusal:
    known = [r.path for r in ROUTES if r.name != "docs"]
    return HttpRefusal(
        "http.not-found", f"there is no {path[:100]}{did_you_mean(path[:100], known)}", status=404,
        found=", ".join(dict.fromkeys(known)),
    )  # fmt: skip


def _inflates(most: int) -> HttpRefusal:
    return HttpRefusal(
        "http.too-large", f"the body inflates to more than {most:,} bytes", status=413,
        do="send fewer rows at a time, or score a table: ambidex score NAME TABLE --out FILE",
    )  # fmt: skip


def _place(error: BaseException) -> str:
    """Module and line where it was raised, for the server's own log."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_globals.get('__name__', '')}:{trace.tb_lineno}"
