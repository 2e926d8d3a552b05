"""The prediction log of one worker: frames of a tick in one write, before the tick's answers leave.

One file a worker and model, named after this run of the worker: two servers on one workspace never share
one. A file that has grown is left for the next; another process seals them. Labels go to a file of their own
and are acknowledged only when they survive power loss.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ambidex.data.frames import Frame, FrameWriter, Stream
from ambidex.data.privacy import Privacy, privacy_of
from ambidex.errors import EnvironmentProblem, UsageError, did_you_mean
from ambidex.records import Schema
from ambidex.settings import FILE, Settings, duration

__all__ = ["Ids", "Logging", "PredictionLog", "Report", "utc"]

Report = Callable[[str, Mapping[str, Any]], None]
"""Told of events (name, fields) for the server's own log; never blocks, never raises."""


class Ids:
    """Names for predictions: unique among all workers and servers, sorted by time within one worker.

    Milliseconds since 1970, four random bytes of this process, a counter; 27 hexadecimal digits.

    >>> a, b = Ids().take(2)
    >>> a < b, len(a)
    (True, 27)
    """

    def __init__(self) -> None:
        self._process = secrets.token_hex(4)
        self._count = 0
        self._last = 0

    def first(self, count: int) -> str:
        """The first of the next ``count`` ids; ``data.frames.next_id`` gives the others."""
        # A clock set back must not put new ids before old ones.
        self._last = max(self._last, time.time_ns() // 1_000_000)
        start, self._count = self._count, self._count + count
        return f"{self._last:011x}{self._process}{start & 0xFFFFFFFF:08x}"

    def take(self, count: int) -> list[str]:
        """The next ids."""
        first = self.first(count)
        head, start = first[:-8], int(first[-8:], 16)
        return [f"{head}{i & 0xFFFFFFFF:08x}" for i in range(start, start + count)]


def utc() -> str:
    """The time as the log writes it: UTC, ISO 8601, microseconds, Z."""
    now = time.time_ns() // 1_000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 1_000_000))}.{now % 1_000_000:06d}Z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Logging:
    """How predictions are logged, as ``[serving]`` and ``[models.NAME]`` say.

    Attributes:
        durable: Wait with the answers of a tick until its rows survive power loss.
        rotate_bytes: A file of frames that is larger is left for the next;
        rotate_s: one that has been written for so long too.
        privacy: Columns that are hashed or dropped, by model.
        retain_s: Seconds that rows are kept, by model; no entry: for ever.
    """

    durable: bool = False
    rotate_bytes: int = 64 << 20
    rotate_s: float = 86400.0
    privacy: Mapping[str, Privacy] = field(default_factory=dict)
    retain_s: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(settings: Settings, folder: Path, models: Iterable[str]) -> Logging:
        """What ``ambidex.toml`` says.

        Args:
            settings: The workspace's.
            folder: The workspace's ``.ambidex``.
            models: All models of the workspace.
        """
        serving = settings.serving
        privacy, retain = {}, {}
        for model in models:
            if rule := privacy_of(settings, folder, model):
                privacy[model] = rule
            said = settings.models.get(model)
            kept = (said.log.retain if said else None) or serving.retain
            if kept is not None:
                retain[model] = duration(kept)
        # A file must be left by its writer before its rows can expire.
        rotate = min([86400.0, *(max(60.0, s / 10) for s in retain.values())])
        return Logging(durable=serving.durable, rotate_s=rotate, privacy=privacy, retain_s=retain)

    def check(self, model: str, schema: Schema) -> None:
        """Refuse rules for columns that the model does not have: a name mistyped would be logged as it is.

        Raises:
            UsageError: ``usage.config``.
        """
        rule = self.privacy.get(model)
        there = {*schema.names, *schema.riders}
        unknown = sorted((rule.hashed | rule.dropped) - there) if rule else []
        if unknown:
            raise UsageError(
                "usage.config",
                f"[models.{model}.log] names {unknown[0][:60]!r}, no column of {model}"
                + did_you_mean(unknown[0][:60], sorted(there)),
                where=FILE, do="name columns as the model does, riders too",
            )  # fmt: skip


class PredictionLog:
    """Appends what was predicted and what came of it.

    Args:
        folder: The workspace's ``.ambidex/log``.
        report: Told once when a log cannot be written, and once when it can again.
        logging: How.

    Attributes:
        unlogged: Rows answered without being logged, by model.
    """

    def __init__(self, folder: Path, report: Report, logging: Logging | None = None) -> None:
        self._folder = folder
        self._report = report
        self._logging = logging or Logging()
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{secrets.token_hex(2)}"
        self._waiting: dict[str, list[bytes]] = {}
        self._rows: dict[str, int] = {}
        self._writers: dict[tuple[str, str], FrameWriter] = {}
        self._labelling = threading.Lock()  # labels are written in a thread
        self._aged: dict[tuple[str, str], tuple[FrameWriter, float]] = {}
        self._parts: dict[tuple[str, str], int] = {}
        self._broken: set[str] = set()
        self.unlogged: dict[str, int] = {}

    @staticmethod
    def stream(
        model: str, version: int, schema: Schema, *, arm: str = "live", source: str = "http", error: str | None = None
    ) -> Stream:
        """What the requests of one version in one arm have in common; make it once, not per request."""
        names = set(schema.names)
        return Stream(
            model=model, version=version, source=source, arm=arm, error=error, riders=schema.riders,
            inputs_too=tuple(r for r in schema.riders if r in names), listed=schema.task == "multiclass",
        )  # fmt: skip

    def add_request(
        self, stream: Stream, first: str, count: int, scores: bytes, body: bytes, us: int = 0, at_us: int = 0
    ) -> None:
        """One request, to be written with this tick.

        Args:
            stream: Its version and arm.
            first: Id of its first row (``Ids.first``).
            count: Rows, at least one.
            scores: float64 of this machine, a row's together; empty: the version failed.
            body: The request's JSON, ``{"rows": [...]}`` or one bare object, valid for the version.
            us: Time that encoding and scoring took, µs.
            at_us: µs since 1970; 0: now.
        """
        model = stream.model
        rule = self._logging.privacy.get(model)
        if rule:
            body = rule.body(body)
        frame = stream.frame(at_us or time.time_ns() // 1_000, first.encode(), count, scores, body, us)
        waiting = self._waiting.get(model)
        if waiting is None:
            self._waiting[model] = [frame]
            self._rows[model] = count
        else:
            waiting.append(frame)
            self._rows[model] += count

    def kept(self, model: str, column: str, value: Any) -> Any:
        """A value as the log keeps it: hashed where the column is, None where it is dropped."""
        rule = self._logging.privacy.get(model)
        return rule.row({column: value}).get(column) if rule else value

    def flush(self) -> set[str]:
        """Write what waits, one write a model; returns the models whose rows did not reach the kernel."""
        if not self._waiting:
            return set()
        waiting, self._waiting = self._waiting, {}
        rows, self._rows = self._rows, {}
        lost: set[str] = set()
        for model, frames in waiting.items():
            try:
                writer = self._writer(model, "http")
                writer.write_bytes(b"".join(frames))
                if self._logging.durable:
                    writer.sync()
            except OSError as error:
                lost.add(model)
                self.unlogged[model] = self.unlogged.get(model, 0) + rows[model]
                broken = self._writers.get((model, "http"))
                if broken is not None and broken.torn:
                    self._drop_writer(model, "http")
                if model not in self._broken:
                    self._broken.add(model)
                    self._report("log.unwritable", {"model": model, "why": error.strerror or type(error).__name__})
            else:
                if writer.size > self._logging.rotate_bytes:
                    self._drop_writer(model, "http")
                if model in self._broken:
                    self._broken.discard(model)
                    self._report("log.written-again", {"model": model, "unlogged": self.unlogged.get(model, 0)})
        return lost

    def labels(self, model: str, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Append labels and wait until they survive power loss; slow, one caller at a time, off the loop.

        Raises:
            EnvironmentProblem: ``env.disk``; nothing of them counts then.
        """
        with self._labelling:
            self._write_labels(model, payloads)

    def _write_labels(self, model: str, payloads: Sequence[Mapping[str, Any]]) -> None:
        try:
            writer = self._writer(model, "labels")
            writer.write_bytes(b"".join(Frame.encode(p) for p in payloads))
            writer.sync()
            if writer.size > self._logging.rotate_bytes:
                self._drop_writer(model, "labels")
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise EnvironmentProblem("env.disk", f"the labels could not be kept: {why}", do="send them again") from None

    def rotate(self) -> None:
        """Leave files that have been written for a day, so that their rows can expire; call it now and then."""
        now = time.monotonic()
        for (model, kind), (writer, since) in list(self._aged.items()):
            if self._writers.get((model, kind)) is not writer:
                del self._aged[model, kind]
            elif now - since > self._logging.rotate_s and self._labelling.acquire(blocking=False):
                try:
                    self._drop_writer(model, kind)
                finally:
                    self._labelling.release()

    def close(self) -> None:
        """Write what waits and close the files."""
        self.flush()
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, model: str, kind: str) -> FrameWriter:
        writer = self._writers.get((model, kind))
        if writer is None:
            part = self._parts.get((model, kind), 1)
            writer = FrameWriter(self._folder / model / f"{kind}-{self._run}-{part:04d}.frames")
            self._writers[model, kind] = writer
            self._aged[model, kind] = (writer, time.monotonic())
        return writer

    def _drop_writer(self, model: str, kind: str) -> None:
        writer = self._writers.pop((model, kind), None)
        if writer is not None:
            writer.close()
            self._parts[model, kind] = self._parts.get((model, kind), 1) + 1
