"""What the server measured: minutes of requests, answer times, failures, stages; read from what the workers keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["WINDOWS", "Course", "Live", "Minute", "course", "last", "quantile"]

WINDOWS: dict[str, tuple[str, int, int]] = {
    "1h": ("last 60 minutes", 3600, 60), "6h": ("6 h", 6 * 3600, 300), "24h": ("24 h", 24 * 3600, 900),
}  # fmt: skip
"""Name, length and step in seconds of each window that a page shows."""

STALE_S = 30.0
"""Seconds after which a worker that wrote nothing counts as gone."""


@dataclass(slots=True)
class Minute:
    """One minute of one model and version, over all workers.

    Attributes:
        at: Its start, seconds since 1970.
        version: Which version answered.
        requests: Requests that were answered or failed.
        rows: Rows that were scored.
        errors: Requests that failed on our side.
        shed: Requests that were turned away for want of room.
        counts: Requests by answer time, a bucket each of ``Live.bounds`` and one beyond.
    """

    at: float
    version: int
    requests: int = 0
    rows: int = 0
    errors: int = 0
    shed: int = 0
    counts: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Live:
    """All that the workers keep, summed.

    Attributes:
        bounds: Upper bounds of the answer-time buckets, seconds, ascending.
        minutes: By model.
        stages: By model and version: (stage, seconds, observations) each.
        workers: One a process, as it described itself.
        newest: When the last of them wrote, seconds since 1970; None if none ever did.
    """

    bounds: tuple[float, ...] = ()
    minutes: dict[str, list[Minute]] = field(default_factory=dict)
    stages: dict[str, dict[int, list[tuple[str, float, int]]]] = field(default_factory=dict)
    workers: list[dict[str, Any]] = field(default_factory=list)
    newest: float | None = None

    def running(self, now: float) -> bool:
        """Whether a server runs, as far as its last words tell."""
        return self.newest is not None and now - self.newest < STALE_S


@dataclass(frozen=True, slots=True)
class Course:
    """A window of time in steps; None where nothing was asked.

    Attributes:
        times: Start of each step, seconds since 1970.
        rate: Requests a second.
        rows: Rows a second.
        p50: Milliseconds, and so p95 and p99.
        errors: Share of requests that failed on our side.
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
    end = now // step * step
    first = end - length
    count = length // step
    width = len(live.bounds) + 1
    sums = [[0, 0, 0, 0] for _ in range(count)]
    counts = [[0] * width for _ in range(count)]
    for minute in live.minutes.get(model, ()):
        place = int((minute.at - first) // step)
        if not 0 <= place < count:
            continue
        for i, value in enumerate((minute.requests, minute.rows, minute.errors, minute.shed)):
            sums[place][i] += value
        for i, value in enumerate(minute.counts[:width]):
            counts[place][i] += value
    asked = [s[0] > 0 for s in sums]
    began = next((i for i, a in enumerate(asked) if a), count)

    def at(q: float) -> list[float | None]:
        return [_ms(quantile(live.bounds, c, q)) if a else None for c, a in zip(counts, asked, strict=True)]

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
    """The last value that is known."""
    return next((v for v in reversed(values) if v is not None), None)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else 1000 * seconds
