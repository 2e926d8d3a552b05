"""What the server measured: minutes of requests, answer times, failures, stages; read from what the workers keep.

The workers append a record a minute and version. Each record is looked at once: only its minute and its model are
read then, the rest when a page asks for that model and that time. Pages read nothing of the prediction log.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from ambidex.data.frames import read_payloads
from ambidex.data.run_folder import BOUNDS, STAGES, read_run

__all__ = ["WINDOWS", "Course", "Live", "Minute", "RunFolder", "course", "last", "quantile"]

WINDOWS: dict[str, tuple[str, int, int]] = {
    "1h": ("last 60 minutes", 3600, 60), "6h": ("6 h", 6 * 3600, 300), "24h": ("24 h", 24 * 3600, 900),
}  # fmt: skip
"""Name, length and step in seconds of each window that a page shows."""

LONGEST_S = 24 * 3600 + 900
BUCKETS = len(BOUNDS) + 1
_NAMED = re.compile(rb'\{"minute":(\d{1,12}),"model":"([^"]{1,64})"')
_decode = msgspec.json.decode


@dataclass(slots=True)
class Minute:
    """One minute of one model and version in one worker.

    Attributes:
        at: Its start, seconds since 1970.
        version: Which version answered.
        requests: All that came.
        rows: Rows that were scored.
        failed: Requests that failed on our side.
        shed: Requests that were turned away for want of room.
        total: Requests by answer time, over ``BOUNDS`` and beyond; trailing zeros left out.
        stages: By stage: seconds, then counts likewise.
    """

    at: float
    version: int
    requests: int = 0
    rows: int = 0
    failed: int = 0
    shed: int = 0
    total: list[int] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=dict)


@dataclass(slots=True)
class Live:
    """What the workers keep.

    Attributes:
        workers: Those of servers that run now, as they described themselves.
        run: Gives the minutes; None where no server has run.
    """

    workers: list[dict[str, Any]] = field(default_factory=list)
    run: RunFolder | None = None

    @property
    def running(self) -> bool:
        """Whether a worker of a server lives."""
        return any(w.get("alive") for w in self.workers)

    @property
    def written(self) -> float | None:
        """When a minute was last written, seconds since 1970."""
        return None if self.run is None else self.run.newest

    def minutes(self, model: str, since: float) -> list[Minute]:
        """A model's minutes from a moment on."""
        return [] if self.run is None else self.run.minutes(model, since)

    def serves(self, model: str) -> bool:
        """Whether a worker that lives has a version of this model."""
        return any(
            str(r).partition("@")[0] == model for w in self.workers if w.get("alive") for r in w.get("refs") or ()
        )


class RunFolder:
    """Reads ``.ambidex/run``, each byte once.

    Args:
        folder: The folder; it need not be there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, int] = {}
        self._raw: dict[str, list[tuple[int, bytes]]] = {}
        self._known: dict[str, dict[int, list[Minute]]] = {}
        self._lock = threading.Lock()
        self.newest: float | None = None

    def look(self, now: float) -> Live:
        """Read what was appended since the last look.

        Args:
            now: Seconds since 1970.
        """
        if not self._folder.is_dir():
            return Live()
        with self._lock:
            first = time.strftime("%Y%m%d", time.gmtime(now - LONGEST_S))
            for path in sorted(self._folder.glob("minutes-*.frames")):
                if path.name[8:16] >= first:
                    self._append(path, now - LONGEST_S)
            self._forget(now - LONGEST_S)
        return Live(workers=read_run(self._folder), run=self)

    def _append(self, path: Path, since: float) -> None:
        offset = self._read.get(path.name, 0)
        try:
            if path.stat().st_size == offset:
                return
            for payload, end in read_payloads(path, offset):
                offset = end
                named = _NAMED.match(payload)
                if named is not None and (at := int(named[1])) >= since:
                    self._raw.setdefault(named[2].decode(), []).append((at, payload))
                    self.newest = max(self.newest or 0.0, float(at + 60))
        except OSError:  # cleaned away, or not ours to read: the page shows what there was
            return
        self._read[path.name] = offset

    def _forget(self, since: float) -> None:
        for known in self._known.values():
            for at in [at for at in known if at < since]:
                del known[at]

    def minutes(self, model: str, since: float) -> list[Minute]:
        """A model's minutes from a moment on; records are decoded when they are first asked for."""
        with self._lock:
            known = self._known.setdefault(model, {})
            waiting = self._raw.get(model, [])
            if any(at >= since for at, _ in waiting):
                for at, payload in waiting:
                    if at >= since and (found := _minute(payload)) is not None:
                        known.setdefault(at, []).append(found)
                self._raw[model] = [(at, payload) for at, payload in waiting if at < since]
            return [m for at, found in known.items() if at >= since for m in found]


def _minute(payload: bytes) -> Minute | None:
    try:
        said = _decode(payload)
        return Minute(
            at=said["minute"], version=said["version"], requests=said["requests"], rows=said["rows"],
            failed=said["failed"], shed=said["shed"], total=said["total"][1:], stages={s: said[s] for s in STAGES},
        )  # fmt: skip
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


@dataclass(frozen=True, slots=True)
class Course:
    """A window of time in steps; None where nothing was asked.

    Attributes:
        times: Start of each step, seconds since 1970.
        rate: Requests a second.
        rows: Rows a second.
        p50: Milliseconds, and so p95 and p99.
        errors: Share of requests that failed on our side.
        shed: Share that was turned away.
    """

    times: list[float]
    rate: list[float | None]
    rows: list[float | None]
    p50: list[float | None]
    p95: list[float | None]
    p99: list[float | None]
    errors: list[float | None]
    shed: list[float | None]


def course(live: Live, model: str, window: str, now: float) -> Course:
    """How a model's answers went over a window.

    Args:
        live: What was measured.
        model: Which model.
        window: A key of ``WINDOWS``.
        now: Seconds since 1970; the last whole step ends there or before.
    """
    _, length, step = WINDOWS[window]
    end = now // 60 * 60
    first = end - length
    count = length // step
    sums = [[0, 0, 0, 0] for _ in range(count)]
    counts = [[0] * BUCKETS for _ in range(count)]
    for minute in live.minutes(model, first):
        place = int((minute.at - first) // step)
        if not 0 <= place < count:
            continue
        part = sums[place]
        part[0] += minute.requests
        part[1] += minute.rows
        part[2] += minute.failed
        part[3] += minute.shed
        bucket = counts[place]
        for i, value in enumerate(minute.total):
            bucket[i] += value
    asked = [s[0] > 0 for s in sums]
    began = next((i for i, a in enumerate(asked) if a), count)

    def at(q: float) -> list[float | None]:
        return [_ms(quantile(BOUNDS, c, q)) if a else None for c, a in zip(counts, asked, strict=True)]

    def rate(part: int) -> list[float | None]:
        return [s[part] / step if i >= began else None for i, s in enumerate(sums)]

    def of_all(part: int) -> list[float | None]:
        return [s[part] / s[0] if a else None for s, a in zip(sums, asked, strict=True)]

    return Course(
        times=[first + i * step for i in range(count)], rate=rate(0), rows=rate(1), p50=at(0.5), p95=at(0.95),
        p99=at(0.99), errors=of_all(2), shed=of_all(3),
    )  # fmt: skip


def quantile(bounds: Sequence[float], counts: Sequence[int], q: float) -> float | None:
    """A quantile from bucket counts, linear inside a bucket; None without a count.

    Beyond the last bound nothing is known: the last bound is given.

    >>> quantile((0.001, 0.002), (10, 10, 0), 0.75)
    0.0015
    """
    total = sum(counts)
    if not total or not bounds:
        return None
    wanted, before = q * total, 0
    for i, count in enumerate(counts):
        if count and before + count >= wanted:
            if i >= len(bounds):
                return float(bounds[-1])
            low = bounds[i - 1] if i else 0.0
            return float(low + (bounds[i] - low) * (wanted - before) / count)
        before += count
    return float(bounds[-1])


def last(values: Sequence[float | None]) -> float | None:
    """The last value that is known.

    >>> last([1.0, 2.0, None])
    2.0
    """
    return next((v for v in reversed(values) if v is not None), None)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
