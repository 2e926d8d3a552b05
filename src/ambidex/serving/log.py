"""The prediction log of one worker: frames of a tick in one write, before the tick's answers leave.

One file a worker and model, named after this run of the worker: two servers on one workspace never share
one. Labels go to a file of their own and are acknowledged only when they survive power loss.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ambidex.data.frames import Frame, FrameWriter
from ambidex.errors import EnvironmentProblem

__all__ = ["Ids", "PredictionLog", "Report", "utc"]

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

    def take(self, count: int) -> list[str]:
        """The next ids."""
        # A clock set back must not put new ids before old ones.
        self._last = max(self._last, time.time_ns() // 1_000_000)
        start, self._count = self._count, self._count + count
        head = f"{self._last:011x}{self._process}"
        return [f"{head}{i & 0xFFFFFFFF:08x}" for i in range(start, start + count)]


def utc() -> str:
    """The time as the log writes it: UTC, ISO 8601, microseconds, Z."""
    now = time.time_ns() // 1_000
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 1_000_000))}.{now % 1_000_000:06d}Z"


class PredictionLog:
    """Appends what was predicted and what came of it.

    Args:
        folder: The workspace's ``.ambidex/log``.
        report: Told once when a log cannot be written, and once when it can again.

    Attributes:
        unlogged: Rows answered without being logged, by model.
    """

    def __init__(self, folder: Path, report: Report) -> None:
        self._folder = folder
        self._report = report
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{secrets.token_hex(2)}"
        self._waiting: dict[str, list[bytes]] = {}
        self._writers: dict[tuple[str, str], FrameWriter] = {}
        self._broken: set[str] = set()
        self.unlogged: dict[str, int] = {}

    def add(self, model: str, frames: Sequence[bytes]) -> None:
        """Frames to be written with this tick."""
        self._waiting.setdefault(model, []).extend(frames)

    def flush(self) -> set[str]:
        """Write what waits, one write a model; returns the models whose rows did not reach the kernel."""
        if not self._waiting:
            return set()
        waiting, self._waiting = self._waiting, {}
        lost: set[str] = set()
        for model, frames in waiting.items():
            try:
                self._writer(model, "http").write_bytes(b"".join(frames))
            except OSError as error:
                lost.add(model)
                self.unlogged[model] = self.unlogged.get(model, 0) + len(frames)
                if model not in self._broken:
                    self._broken.add(model)
                    self._report("log.unwritable", {"model": model, "why": error.strerror or type(error).__name__})
            else:
                if model in self._broken:
                    self._broken.discard(model)
                    self._report("log.written-again", {"model": model, "unlogged": self.unlogged.get(model, 0)})
        return lost

    def labels(self, model: str, payloads: Sequence[Mapping[str, Any]]) -> None:
        """Append labels and wait until they survive power loss; slow, one caller at a time, off the loop.

        Raises:
            EnvironmentProblem: ``env.disk``; nothing of them counts then.
        """
        try:
            writer = self._writer(model, "labels")
            writer.write_bytes(b"".join(Frame.encode(p) for p in payloads))
            writer.sync()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise EnvironmentProblem("env.disk", f"the labels could not be kept: {why}", do="send them again") from None

    def close(self) -> None:
        """Close the files."""
        for writer in self._writers.values():
            writer.close()
        self._writers.clear()

    def _writer(self, model: str, kind: str) -> FrameWriter:
        writer = self._writers.get((model, kind))
        if writer is None:
            writer = FrameWriter(self._folder / model / f"{kind}-{self._run}.frames")
            self._writers[model, kind] = writer
        return writer
