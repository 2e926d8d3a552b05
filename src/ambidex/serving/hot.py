"""How one version answers: bytes to records, records to scores, scores to the bytes of an answer.

Made once a version. On the compiled way a row is a record of one C decoder, a generated function packs its numbers, a
native scorer reads them, and the answer is put together from bytes made beforehand: no dict, frame or array a row.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from ambidex.data.frames import Stream, next_id
from ambidex.ports import Score, Scorer
from ambidex.records import Schema
from ambidex.serving.decode import NOT_DECODED, RowDecoder
from ambidex.serving.lane import Lane
from ambidex.serving.log import PredictionLog
from ambidex.serving.stages import VersionStages

__all__ = ["Way", "valid"]

_json = msgspec.json.Encoder().encode
_double = struct.Struct("<d").pack


class Way:
    """How a version answers.

    Args:
        model: Model's name.
        number: Version.
        schema: What it takes and gives.
        scorer: Scores rows; on the compiled way if it has ``score_record``.
        decoder: Its decoder.
        slow: Whether a prediction is too slow for the event loop.

    Attributes:
        compiled: Whether it is the compiled way.
        lane: Where slow predictions wait, or None.
        one: A record to its score.
        many: Records to their scores.
        encode: A record to what ``finish`` takes, or None where the two are one step.
        finish: What ``encode`` gave to the score.
        timed: Where its time is counted, once it was asked.
    """

    def __init__(
        self, model: str, number: int, schema: Schema, scorer: Scorer, decoder: RowDecoder, *, slow: bool = False
    ) -> None:
        self.schema = schema
        self.task = schema.task
        one = getattr(scorer, "score_record", None)
        self.compiled = one is not None and decoder.fast
        self.one: Callable[[Any], Score] = one if self.compiled else scorer.score  # type: ignore[assignment]
        self.many: Callable[[Sequence[Any]], Sequence[Score]] = (
            getattr(scorer, "score_records") if self.compiled else partial(_one_by_one, scorer.score)  # noqa: B009
        )
        self.encode: Callable[[Any], Any] | None = getattr(scorer, "encode", None) if self.compiled else None
        self.finish: Callable[[Any], Score] = getattr(scorer, "finish", None) or scorer.score
        self.timed: VersionStages | None = None
        self.lane = Lane(scorer) if slow and not self.compiled else None
        self._decoder = decoder
        self._name, self._number = model, number
        self._streams: dict[tuple[str, str | None], Stream] = {}
        self._write = self._writer()

    def records(self, body: bytes) -> Sequence[Any]:
        """The rows of a request, each as ``one`` takes it.

        Raises:
            AmbidexError: What ``RowDecoder.decode`` raises.
        """
        if self.compiled:
            try:
                return self._decoder.records(body)
            except NOT_DECODED:  # the slow way finds what is wrong; where nothing is, its rows count
                return self._decoder.as_records(self._decoder.decode(body))
        return self._decoder.decode(body).inputs

    def stream(self, arm: str = "live", error: str | None = None) -> Stream:
        """What the log is told once about this version in an arm."""
        stream = self._streams.get((arm, error))
        if stream is None:
            stream = PredictionLog.stream(self._name, self._number, self.schema, arm=arm, error=error)
            self._streams[arm, error] = stream
        return stream

    def logged(self, scores: Sequence[Any]) -> bytes:
        """Scores as the log keeps them: float64, a row's together."""
        if self.task == "multiclass":
            return array("d", [p for row in scores for p in row]).tobytes()
        if len(scores) == 1:
            return _double(scores[0])
        return array("d", scores).tobytes()

    def answer(self, first: str, scores: Sequence[Score]) -> bytes:
        """The answer of the public contract.

        Args:
            first: Id of the first row.
            scores: One a row, at least one row.
        """
        return self._write(first, scores)

    def document(self, ids: Sequence[str], scores: Sequence[Score]) -> dict[str, Any]:
        """The same as a document, for answers in other forms."""
        classes = self.schema.classes
        said: dict[str, Any] = {"model": self._name, "version": self._number, "predictions": list(scores), "ids": ids}
        if self.task == "binary":
            negative, positive = classes
            said["predictions"] = [positive if p >= 0.5 else negative for p in scores]  # type: ignore[operator]
            said["classes"] = classes
            said["probabilities"] = [[1.0 - p, p] for p in scores]  # type: ignore[operator]
        elif self.task == "multiclass":
            said["predictions"] = [classes[_likeliest(row)] for row in scores]  # type: ignore[arg-type]
            said["classes"] = classes
            said["probabilities"] = [list(row) for row in scores]  # type: ignore[arg-type]
        elif self.task == "segments":
            said["predictions"] = [classes[int(p)] for p in scores]  # type: ignore[arg-type]
            said["classes"] = classes
        return said

    def _writer(self) -> Callable[[str, Sequence[Score]], bytes]:
        head = f'{{"model":{_text(self._name)},"version":{self._number},"predictions":['
        names = [_text(c) for c in self.schema.classes]
        classes = f',"classes":[{",".join(names)}]'

        def ids(first: str, count: int) -> str:
            rest = [f'"{next_id(first, i)}"' for i in range(count)] if count > 1 else [f'"{first}"']
            return ",".join(rest)

        if self.task == "binary":
            no, yes = names
            middle = f'{classes},"probabilities":['

            def binary(first: str, scores: Sequence[Any]) -> bytes:
                if len(scores) == 1:
                    p = scores[0]
                    label = yes if p >= 0.5 else no
                    return f'{head}{label}],"ids":["{first}"]{middle}[{1.0 - p!r},{p!r}]]}}'.encode()
                labels = ",".join([yes if p >= 0.5 else no for p in scores])
                shares = ",".join([f"[{1.0 - p!r},{p!r}]" for p in scores])
                return f'{head}{labels}],"ids":[{ids(first, len(scores))}]{middle}{shares}]}}'.encode()

            return binary
        if self.task == "multiclass":

            def several(first: str, scores: Sequence[Any]) -> bytes:
                labels = ",".join([names[_likeliest(row)] for row in scores])
                shares = ",".join(["[" + ",".join([repr(p) for p in row]) + "]" for row in scores])
                said = f'{head}{labels}],"ids":[{ids(first, len(scores))}]{classes},"probabilities":[{shares}]}}'
                return said.encode()

            return several
        if self.task == "segments":

            def segments(first: str, scores: Sequence[Any]) -> bytes:
                labels = ",".join([names[int(p)] for p in scores])
                return f'{head}{labels}],"ids":[{ids(first, len(scores))}]{classes}}}'.encode()

            return segments

        def numbers(first: str, scores: Sequence[Any]) -> bytes:
            values = ",".join([repr(v) for v in scores])
            return f'{head}{values}],"ids":[{ids(first, len(scores))}]}}'.encode()

        return numbers


def valid(task: str, scores: Sequence[Any]) -> int:
    """Place of the first score that is none: not finite, or no probability; -1 if all are."""
    for place, score in enumerate(scores):
        if task == "multiclass":
            if not all(0.0 <= p <= 1.0 for p in score):
                return place
        elif task == "binary":
            if not 0.0 <= score <= 1.0:
                return place
        elif not math.isfinite(score):
            return place
    return -1


def _likeliest(row: Sequence[float]) -> int:
    return row.index(max(row))


def _one_by_one(score: Callable[[Any], Any], rows: Sequence[Any]) -> list[Any]:
    return [score(row) for row in rows]


def _text(value: str) -> str:
    said: bytes = _json(value)
    return said.decode()
