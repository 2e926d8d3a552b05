"""A version tried beside the live one: the canary answers its share of the units, the shadow scores unseen.

Which arm a unit is in is ``Rollout.takes``: the same in every worker, after every restart. An answer names one
version, so a request is never divided: with rows of several units it is answered by live, and its rows are in the
log as ``unsplit``. Where the canary cannot answer, its failure is logged and live answers.

The shadow scores what was answered after the answer left, at most a fourth of the worker's time. What would wait
behind too much is dropped and counted: the shadow never costs a caller more than a millisecond.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter_ns
from typing import Any

import msgspec

from ambidex.data.frames import rider_text
from ambidex.errors import AmbidexError
from ambidex.serving.hot import valid
from ambidex.serving.http import Connection
from ambidex.serving.loader import Served, Split
from ambidex.serving.log import PredictionLog, Report
from ambidex.serving.messages import Request
from ambidex.serving.predict import Form, ModelFailed, Predict
from ambidex.serving.problems import HttpRefusal
from ambidex.serving.stages import Stages

__all__ = ["Arms"]

WAITING = 256
"""Requests that may wait for the shadow."""
WAITING_BYTES = 8 << 20
SLICE_NS = 1_000_000
"""The shadow works so long at a time, at most a row longer."""
REST = 3
"""Then it rests so many times as long."""
ROWS = 20
WITHIN_S = 5.0
"""A shadow that is too slow for the loop drops what it would answer later than this."""


class Arms:
    """Answers requests of models that have a canary or a shadow.

    Args:
        predict: Answers a request with one version.
        log: The prediction log.
        loop: The event loop.
        stages: Counts what the shadow drops.
        report: Told of a canary's and a shadow's failures, once a version and kind.
        write_log: Writes what the log holds back if no answer waits for it.
    """

    def __init__(
        self,
        predict: Predict,
        log: PredictionLog,
        loop: asyncio.AbstractEventLoop,
        stages: Stages,
        report: Report,
        write_log: Callable[[], None],
    ) -> None:
        self._predict = predict
        self._log = log
        self._loop = loop
        self._stages = stages
        self._report = report
        self._write_log = write_log
        self._waiting: deque[tuple[Served, bytes, str, int]] = deque()
        self._bytes = 0
        self._work: Iterator[None] | None = None
        self._scheduled = False
        self._told: set[tuple[str, int, str]] = set()

    def __call__(
        self, request: Request, connection: Connection, served: Served, form: Form | None, split: Split
    ) -> None:  # fmt: skip
        """Answer a request that asked for the live version.

        Raises:
            AmbidexError: As ``Predict``.
        """
        body = request.body
        then = None
        if (shadow := split.shadow) is not None:

            def then(first: str, count: int) -> None:
                self._follow(shadow, body, first, count)

        arm, first = "live", None
        if split.canary is not None and split.rollout is not None:
            unit = self._unit(served, body)
            if unit is None:
                arm = "unsplit"
            else:
                if unit == "":  # no entity, no key: the row's id stands for it
                    unit = first = self._predict.ids.first(1)
                if split.rollout.takes(unit):
                    try:
                        self._predict(request, connection, split.canary, form, "canary", first, then)
                    except AmbidexError as error:
                        if error.code == "http.overload":
                            raise
                        if not isinstance(error, ModelFailed):
                            # What live refuses too is the caller's mistake: refused here.
                            count = len(served.way.records(body))
                            stream = split.canary.way.stream("canary", "data.schema")
                            self._log.add_request(stream, self._predict.ids.first(count), count, b"", body)
                        self._failed(split.canary, error)
                    else:
                        return
                    first, arm = None, "unsplit"
        self._predict(request, connection, served, form, arm, first, then)

    def _unit(self, served: Served, body: bytes) -> str | None:
        """What the rows belong to: "" for one row that names nothing, None for several units."""
        schema = served.schema
        try:
            said = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None
        rows = said.get("rows") if isinstance(said, dict) else None
        rows = rows if isinstance(rows, list) else [said]
        units = {self._named(served, schema.entity, schema.key, row) for row in rows}
        if len(units) != 1:
            return None
        (unit,) = units
        return unit if unit or len(rows) == 1 else None

    def _named(self, served: Served, entity: str | None, key: str | None, row: Any) -> str:
        for column in (entity, key):
            value = row.get(column) if column and isinstance(row, dict) else None
            if value is not None and not isinstance(value, dict | list):
                kept = self._log.kept(served.model, column or "", value)
                if kept is not None:
                    return rider_text(kept)
        return ""

    def _failed(self, served: Served, error: AmbidexError, arm: str = "canary") -> None:
        if (served.model, served.number, error.code) not in self._told:
            self._told.add((served.model, served.number, error.code))
            said = {"model": served.model, "version": served.number, "code": error.code, "why": error.message[:300]}
            self._report(f"{arm}.failed", said)

    # ------------------------------------------------------------ the shadow

    def _follow(self, shadow: Served, body: bytes, first: str, count: int) -> None:
        if len(self._waiting) >= WAITING or self._bytes + len(body) > WAITING_BYTES:
            self._stages.of(shadow.model, shadow.number).shadow_dropped += 1
            return
        self._waiting.append((shadow, body, first, count))
        self._bytes += len(body)
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._step)  # the outbox's flush was queued before: the answers leave first

    def _step(self) -> None:
        """Score for a moment, rest for longer."""
        began = now = perf_counter_ns()
        while now - began < SLICE_NS:
            if self._work is None:
                if not self._waiting:
                    break
                shadow, body, first, count = self._waiting.popleft()
                self._bytes -= len(body)
                self._work = self._score(shadow, body, first, count)
            try:
                if next(self._work, self) is self:
                    self._work = None
            except Exception as error:  # a shadow harms nothing
                self._work = None
                self._report("shadow.failed", {"why": type(error).__name__})
            now = perf_counter_ns()
        self._write_log()
        if self._waiting or self._work is not None:
            self._loop.call_later(REST * (now - began) / 1e9, self._step)
        else:
            self._scheduled = False

    def _score(self, shadow: Served, body: bytes, first: str, count: int) -> Iterator[None]:
        """One request, some rows at a time."""
        way = shadow.way
        try:
            rows = way.records(body)
        except AmbidexError as error:
            self._keep(shadow, body, first, count, [], 0, "data.schema")
            self._failed(shadow, error, "shadow")
            return
        if way.lane is not None:
            began = perf_counter_ns()

            def done(scores: list[Any] | str) -> None:
                us = (perf_counter_ns() - began) // 1000
                found, error = ([], "http.model") if isinstance(scores, str) else (scores, None)
                self._keep(shadow, body, first, count, found, us, error)
                self._write_log()

            try:
                way.lane.ask(rows, done, within=WITHIN_S)
            except HttpRefusal:
                self._stages.of(shadow.model, shadow.number).shadow_dropped += 1
            return
        scores: list[Any] = []
        spent = 0
        for at in range(0, len(rows), ROWS):
            began = perf_counter_ns()
            try:
                scores += way.many(rows[at : at + ROWS])
            except Exception:  # whatever a model raises
                self._keep(shadow, body, first, count, [], 0, "http.model")
                return
            spent += perf_counter_ns() - began
            yield
        self._keep(shadow, body, first, count, scores, spent // 1000, None)

    def _keep(
        self, shadow: Served, body: bytes, first: str, count: int, scores: list[Any], us: int, error: str | None
    ) -> None:  # fmt: skip
        way = shadow.way
        if error is None and (len(scores) != count or valid(way.task, scores) >= 0):
            error = "http.model"
        self._stages.of(shadow.model, shadow.number).shadow_scored += error is None
        scored = b"" if error is not None else way.logged(scores)
        self._log.add_request(way.stream("shadow", error), first, count, scored, body, us)
