"""The road of a prediction: the bytes of a request are decoded, scored, logged and answered."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

import msgspec

from ambidex.data.frames import Frame
from ambidex.errors import AmbidexError
from ambidex.serving.decode import Rows
from ambidex.serving.http import Connection
from ambidex.serving.loader import Served
from ambidex.serving.log import Ids, PredictionLog, Report, utc
from ambidex.serving.messages import Answer, Request
from ambidex.serving.problems import internal

__all__ = ["Form", "ModelFailed", "Predict"]

SLICE = 100
"""Rows scored before others get their turn: a request of 10,000 rows must not hold up the rest."""

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
        self._ids = Ids()
        self.counts = counts

    def __call__(self, request: Request, connection: Connection, served: Served, form: Form | None = None) -> None:
        """Answer a request, at once or later.

        Args:
            request: Its body is ``{"rows": [...]}`` or one bare object.
            connection: Who asks.
            served: The version that answers.
            form: How the answer is written; as JSON of the public contract if None.

        Raises:
            AmbidexError: What ``RowDecoder.decode`` raises; ``ModelFailed``.
        """
        rows = served.decoder.decode(request.body)
        scores: list[float] = []
        if len(rows.inputs) <= SLICE:
            self._score(served, rows, scores)
            self._answer(connection, served, rows, scores, form)
            return

        def step() -> None:
            if not connection.waits:
                return
            self._score(served, rows, scores)
            if len(scores) < len(rows.inputs):
                self._loop.call_soon(self._guard, connection, step)
            else:
                self._answer(connection, served, rows, scores, form)

        step()

    def _score(self, served: Served, rows: Rows, scores: list[float]) -> None:
        """The next ``SLICE`` rows; all rows or none are answered and logged."""
        score, binary = served.scorer.score, served.schema.task == "binary"
        row = len(scores)
        why = ""
        try:
            for inputs in rows.inputs[row : row + SLICE]:
                value = float(score(inputs))
                if not math.isfinite(value) or (binary and not 0.0 <= value <= 1.0):
                    why = f"gives {value!r}"
                    break
                scores.append(value)
        except Exception as error:  # a model may raise anything; only this request fails
            why = f"raises {type(error).__name__}"
        if why:
            self.counts["model-failed"] += 1
            fault, incident = internal("http.model", f"the model {served.ref} failed on row {len(scores)}")
            where = {"model": served.model, "version": served.number}
            self._report("model.failed", {**where, "row": len(scores), "why": why, "incident": incident})
            raise ModelFailed(fault, incident)

    def _answer(
        self, connection: Connection, served: Served, rows: Rows, scores: list[float], form: Form | None
    ) -> None:
        ids = self._ids.take(len(scores))
        at = utc()
        model, version = served.model, served.number
        said = {"at": at, "model": model, "version": version, "source": "http"}
        parts = zip(ids, rows.inputs, rows.riders, scores, strict=True)
        frames = [Frame.encode({**said, "id": n, "row": row, "riders": riders, "p": p}) for n, row, riders, p in parts]
        self._log.add(model, frames)
        answer: dict[str, Any] = {"model": model, "version": version, "predictions": scores, "ids": ids}
        if served.schema.task == "binary":
            negative, positive = served.schema.classes
            answer["predictions"] = [positive if p >= 0.5 else negative for p in scores]
            answer["classes"] = served.schema.classes
            answer["probabilities"] = [[1.0 - p, p] for p in scores]
        elif served.schema.task == "segments":
            answer["predictions"] = [served.schema.classes[int(p)] for p in scores]
            answer["classes"] = served.schema.classes
        self.counts["answered"] += 1
        self.counts["rows"] += len(scores)
        connection.answer(Answer(200, _encode(answer), logged_as=model) if form is None else form(served, answer))


class ModelFailed(AmbidexError):
    """Carries the incident to the answer."""

    def __init__(self, fault: AmbidexError, incident: str) -> None:
        super().__init__(fault.code, fault.message, do=fault.do)
        self.incident = incident
