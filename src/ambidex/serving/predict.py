"""The road of a prediction: the bytes of a request are decoded, scored, logged and answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import Any

import msgspec

from ambidex.data.frames import next_id
from ambidex.errors import AmbidexError, DataError
from ambidex.serving.hot import valid
from ambidex.serving.http import Connection
from ambidex.serving.loader import Served
from ambidex.serving.log import Ids, PredictionLog, Report
from ambidex.serving.messages import Answer, Request
from ambidex.serving.problems import internal, shortened
from ambidex.serving.stages import Stages

__all__ = ["Form", "ModelFailed", "Predict"]

SLICE = 100
"""Rows scored before others get their turn: a request of 10,000 rows must not hold up the rest."""
TURN_S = 0.2
"""A slow model's request that would wait longer for its turn is told at once to come back."""
DEADLINE_S = 1.0
"""Seconds that a slow model may take beyond what is measured, halved."""

Then = Callable[[str, int], None]
Form = Callable[[Served, dict[str, Any]], Answer]
"""Writes an answer otherwise than as ``/predict`` does: from the version and the document of the public contract."""

_encode = msgspec.json.Encoder().encode


@dataclass(slots=True)
class _Asked:
    """A request on its way; the moments are perf_counter_ns."""

    request: Request
    connection: Connection
    served: Served
    form: Form | None
    arm: str
    first: str | None
    then: Then | None
    began: int
    parsed: int = 0
    encoded: int = 0
    scored: int = 0


class Predict:
    """Answers requests for predictions.

    Args:
        log: Where predictions are kept.
        report: Told of failures of a model.
        loop: The event loop.
        counts: The worker's counters; ``answered``, ``rows`` and ``model-failed`` grow here.
        guard: Runs a step of a request, and answers it with the error that the step raised.
        stages: Where the time of requests is counted, or None.
    """

    def __init__(
        self,
        log: PredictionLog,
        report: Report,
        loop: asyncio.AbstractEventLoop,
        counts: dict[str, int],
        guard: Callable[[Connection, Callable[[], None]], None],
        stages: Stages | None = None,
    ) -> None:
        self._log = log
        self._report = report
        self._loop = loop
        self._guard = guard
        self._stages = stages
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
            AmbidexError: What ``RowDecoder.decode`` raises; ``http.range`` for a value that the model refuses;
                ``ModelFailed``; ``http.overload``.
        """
        asked = _Asked(request, connection, served, form, arm, first, then, perf_counter_ns())
        way = served.way
        rows = way.records(request.body)
        asked.parsed = asked.encoded = perf_counter_ns()
        if len(rows) == 1 and way.lane is None:
            try:
                if way.encode is not None:
                    numbers = way.encode(rows[0])
                    asked.encoded = perf_counter_ns()
                    scores: Sequence[Any] = [way.finish(numbers)]
                else:
                    scores = [way.one(rows[0])]
            except Exception as error:  # a model may raise anything; only this request fails
                raise self._failed(asked, 1, 0, error) from None
            asked.scored = perf_counter_ns()
            self._answer(asked, scores)
        elif way.lane is not None and rows:
            self._slowly(asked, rows)
        else:
            self._by_slices(asked, rows)

    def _by_slices(self, asked: _Asked, rows: Sequence[Any]) -> None:
        """All rows or none are answered; after each slice others get their turn."""
        way, count = asked.served.way, len(rows)
        scores: list[Any] = []

        def step() -> None:
            if not asked.connection.waits:
                return
            at = len(scores)
            some = rows[at : at + SLICE]
            try:
                scores.extend(way.many(some))
            except Exception as error:
                raise self._failed(asked, count, at + _culprit(way.one, some), error) from None
            if len(scores) < count:
                self._loop.call_soon(self._guard, asked.connection, step)
            else:
                asked.scored = perf_counter_ns()
                self._answer(asked, scores)

        step()

    def _slowly(self, asked: _Asked, rows: Sequence[Any]) -> None:
        """In the lane of a model that is too slow for the loop."""
        lane = asked.served.way.lane
        assert lane is not None

        def done(scores: list[Any] | str) -> None:
            def answer() -> None:
                if isinstance(scores, str):
                    raise self._failed(asked, len(rows), 0, scores)
                asked.scored = perf_counter_ns()
                self._answer(asked, scores)

            if asked.connection.waits:
                self._guard(asked.connection, answer)

        lane.ask(rows, done, within=TURN_S)
        asked.connection.allow(2 * (DEADLINE_S + lane.expected(0)))

    def _answer(self, asked: _Asked, scores: Sequence[Any]) -> None:
        served, connection, form, first = asked.served, asked.connection, asked.form, asked.first
        way, count = served.way, len(scores)
        wrong = valid(way.task, scores)
        if wrong >= 0:
            raise self._failed(asked, count, wrong, f"gives {scores[wrong]!r}")
        self.counts["answered"] += 1
        self.counts["rows"] += count
        if count == 0:
            document = way.document([], scores)
            connection.answer(Answer(200, _encode(document)) if form is None else form(served, document))
            return
        if first is None or count > 1:
            first = self.ids.first(count)
        us = (asked.scored - asked.parsed) // 1_000
        self._log.add_request(way.stream(asked.arm), first, count, way.logged(scores), asked.request.body, us)
        if form is None:
            answer = Answer(200, way.answer(first, scores), logged_as=served.model)
        else:
            answer = form(served, way.document([next_id(first, i) for i in range(count)], scores))
        if self._stages is not None:
            if way.timed is None:
                way.timed = self._stages.of(served.model, served.number)
            moments = (connection.arrived, asked.began, asked.parsed, asked.encoded, asked.scored, perf_counter_ns())
            way.timed.add((*moments, count, first, asked.request, connection))
        connection.answer(answer)
        if asked.then is not None:
            asked.then(first, count)

    def _failed(self, asked: _Asked, count: int, row: int, why: Exception | str) -> AmbidexError:
        """A version that gives no score: counted, reported, and in the log, where a roll-out is judged.

        A value that a compiled form refuses as its model does (a category that it was fitted to refuse, a number beyond
        float32) is the caller's to mend.
        """
        served = asked.served
        if served.way.compiled and isinstance(why, KeyError | OverflowError):
            known = f"{shortened(why.args[0])} is no value that it knows" if isinstance(why, KeyError) else ""
            said = known or "a number is beyond what it can tell apart (float32)"
            return DataError(
                "http.range", f"row {row}: {served.model} refuses a value: {said}", where=f"row {row}",
                do="send values like those of the training table",
            )  # fmt: skip
        if isinstance(why, Exception):
            why = f"raises {type(why).__name__}"
        self.counts["model-failed"] += 1
        if self._stages is not None:
            self._stages.of(served.model, served.number).failed += 1
        fault, incident = internal("http.model", f"the model {served.ref} failed on row {row}")
        where = {"model": served.model, "version": served.number}
        self._report("model.failed", {**where, "row": row, "why": why, "incident": incident})
        stream = served.way.stream(asked.arm, "http.model")
        self._log.add_request(stream, self.ids.first(count), count, b"", asked.request.body)
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
