"""The road of a prediction: the bytes of a request are decoded, scored, logged and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter_ns
from typing import Any

import msgspec

from ambidex.data.frames import next_id
from ambidex.errors import AmbidexError
from ambidex.serving.hot import valid
from ambidex.serving.http import Connection
from ambidex.serving.loader import Served
from ambidex.serving.log import Ids, PredictionLog, Report
from ambidex.serving.messages import Answer, Request
from ambidex.serving.problems import internal

__all__ = ["Form", "ModelFailed", "Predict"]

SLICE = 100
"""Rows scored before others get their turn: a request of 10,000 rows must not hold up the rest."""
DEADLINE_S = 1.0
"""A slow model's request that would wait longer is told at once to come back."""

Then = Callable[[str, int], None]
Form = Callable[[Served, dict[str, Any]], Answer]
"""Writes an answer otherwise than as ``/predict`` does: from the version and the document of the public contract."""

_encode = msgspec.json.Encoder().encode


class Predict:
    """Answers requests for predictions.

    Args:
        log: Where predictions are kept.
        report: Told of failures of a model.
        loop: The event loop.
        counts: The worker's counters; ``answered``, ``rows`` and ``model-failed`` grow here.
        guard: Runs a step of a request, and answers it with the error that the step raised.
    """

    def __init__(
        self,
        log: PredictionLog,
        report: Report,
        loop: asyncio.AbstractEventLoop,
        counts: dict[str, int],
        guard: Callable[[Connection, Callable[[], None]], None],
    ) -> None:
        self._log = log
        self._report = report
        self._loop = loop
        self._guard = guard
        self.ids = Ids()
        self.counts = counts

    def __call__(
        self,
        request: Request,
        connection: Connection,
        served: Served,
        form: Form | None = None,
        arm: str = "live",
        first: str | None = None,
        then: Then | None = None,
    ) -> None:
        """Answer a request, at once or later.

        Args:
            request: Its body is ``{"rows": [...]}`` or one bare object.
            connection: Who asks.
            served: The version that answers.
            form: How the answer is written; as JSON of the public contract if None.
            arm: What the log calls it.
            first: Id of its row, where it has one row; None: the next one.
            then: Told the first id and the number of rows once it is answered and in the log of this tick.

        Raises:
            AmbidexError: What ``RowDecoder.decode`` raises; ``ModelFailed``; ``http.overload``.
        """
        way, body = served.way, request.body
        rows = way.records(body)
        count = len(rows)
        if way.lane is not None and count:
            self._slowly(connection, served, rows, body, form, arm, first, then)
            return
        if count == 1:
            began = perf_counter_ns()
            try:
                scores: list[Any] = [way.one(rows[0])]
            except Exception as error:  # a model may raise anything; only this request fails
                raise self._failed(served, arm, body, count, 0, f"raises {type(error).__name__}") from None
            us = (perf_counter_ns() - began) // 1_000
            self._answer(connection, served, scores, body, us, form, arm, first, then)
            return
        if count <= SLICE:
            us = self._score(served, rows, scores := [], body, arm)
            self._answer(connection, served, scores, body, us, form, arm, first, then)
            return
        scores, spent = [], [0]

        def step() -> None:
            if not connection.waits:
                return
            spent[0] += self._score(served, rows, scores, body, arm)
            if len(scores) < count:
                self._loop.call_soon(self._guard, connection, step)
            else:
                self._answer(connection, served, scores, body, spent[0], form, arm, first, then)

        step()

    def _score(self, served: Served, rows: Sequence[Any], scores: list[Any], body: bytes, arm: str) -> int:
        """The next ``SLICE`` rows; all rows or none are answered. Returns µs."""
        at = len(scores)
        some = rows[at : at + SLICE]
        began = perf_counter_ns()
        try:
            scores += served.way.many(some)
        except Exception as error:
            place = _culprit(served.way.one, some)
            raise self._failed(served, arm, body, len(rows), at + place, f"raises {type(error).__name__}") from None
        return (perf_counter_ns() - began) // 1_000

    def _slowly(
        self,
        connection: Connection,
        served: Served,
        rows: Sequence[Any],
        body: bytes,
        form: Form | None,
        arm: str,
        first: str | None,
        then: Then | None,
    ) -> None:
        """In the lane of a model that is too slow for the loop."""
        lane, began = served.way.lane, perf_counter_ns()
        assert lane is not None

        def done(scores: list[Any] | str) -> None:
            def answer() -> None:
                if isinstance(scores, str):
                    raise self._failed(served, arm, body, len(rows), 0, scores)
                us = (perf_counter_ns() - began) // 1_000
                self._answer(connection, served, scores, body, us, form, arm, first, then)

            if connection.waits:
                self._guard(connection, answer)

        lane.ask(rows, done, within=DEADLINE_S)

    def _answer(
        self,
        connection: Connection,
        served: Served,
        scores: Sequence[Any],
        body: bytes,
        us: int,
        form: Form | None,
        arm: str,
        first: str | None,
        then: Then | None,
    ) -> None:
        way, count = served.way, len(scores)
        wrong = valid(way.task, scores)
        if wrong >= 0:
            raise self._failed(served, arm, body, count, wrong, f"gives {scores[wrong]!r}")
        self.counts["answered"] += 1
        self.counts["rows"] += count
        if count == 0:
            document = way.document([], scores)
            connection.answer(Answer(200, _encode(document)) if form is None else form(served, document))
            return
        if first is None or count > 1:
            first = self.ids.first(count)
        self._log.add_request(way.stream(arm), first, count, way.logged(scores), body, us)
        if form is None:
            connection.answer(Answer(200, way.answer(first, scores), logged_as=served.model))
        else:
            ids = [next_id(first, i) for i in range(count)]
            connection.answer(form(served, way.document(ids, scores)))
        if then is not None:
            then(first, count)

    def _failed(self, served: Served, arm: str, body: bytes, count: int, row: int, why: str) -> ModelFailed:
        """A version that gives no score: counted, reported, and in the log, where a roll-out is judged."""
        self.counts["model-failed"] += 1
        fault, incident = internal("http.model", f"the model {served.ref} failed on row {row}")
        where = {"model": served.model, "version": served.number}
        self._report("model.failed", {**where, "row": row, "why": why, "incident": incident})
        stream = served.way.stream(arm, "http.model")
        self._log.add_request(stream, self.ids.first(count), count, b"", body)
        return ModelFailed(fault, incident)


def _culprit(one: Callable[[Any], Any], rows: Sequence[Any]) -> int:
    """The first row that a model does not answer."""
    for place, row in enumerate(rows):
        try:
            one(row)
        except Exception:
            return place
    return 0


class ModelFailed(AmbidexError):
    """Carries the incident to the answer."""

    def __init__(self, fault: AmbidexError, incident: str) -> None:
        super().__init__(fault.code, fault.message, do=fault.do)
        self.incident = incident
