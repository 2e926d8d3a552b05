"""A load generator: raw requests over many connections, closed loop or open loop, one process.

Closed loop: every connection asks again when it was answered, which gives the rate. Open loop: requests leave at
times fixed beforehand, and each is timed from the moment it was meant to leave, so that a stall of the server is
seen by every request that it held up (no coordinated omission).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Load", "closed_loop", "open_loop", "request_bytes"]

STALL_S = 0.02
"""A request slower than this, in an open loop, is a stall worth counting."""


@dataclass(slots=True)
class Load:
    """What came of a run.

    Attributes:
        answered: Requests answered.
        failed: Answers that were not 200, and connections that broke.
        seconds: How long it ran.
        times: Seconds of each answered request, in no order.
    """

    answered: int = 0
    failed: int = 0
    seconds: float = 0.0
    times: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.answered / self.seconds if self.seconds else 0.0

    def quantile(self, q: float) -> float | None:
        """A quantile of the times, seconds."""
        if not self.times:
            return None
        ordered = sorted(self.times)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def request_bytes(path: str, body: bytes | None = None, *, host: str = "127.0.0.1") -> bytes:
    """A whole request: POST of JSON, or GET without a body.

    >>> request_bytes("/v2/health/live").split()[:2]
    [b'GET', b'/v2/health/live']
    """
    if body is None:
        return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Caller(asyncio.Protocol):
    """One connection: a request at a time, told when it was answered."""

    def __init__(self, answered: Any) -> None:
        self._answered = answered
        self._buffer = b""
        self.transport: Any = None
        self.since = 0.0
        self.broken = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, request: bytes, since: float) -> None:
        self.since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return
        at = buffer.find(b"content-length: ")
        size = int(buffer[at + 16 : buffer.find(b"\r\n", at)]) if 0 <= at < end else 0
        if len(buffer) < end + 4 + size:
            self._buffer = buffer
            return
        self._buffer = b""
        self._answered(self, buffer[9:12] == b"200")

    def connection_lost(self, error: Exception | None) -> None:
        self.broken = True
        self._answered(self, False)


def closed_loop(
    host: str, port: int, requests: Sequence[bytes], *, connections: int = 32, seconds: float = 3.0
) -> Load:
    """Every connection asks again as soon as it was answered.

    Args:
        host: Where the server listens.
        port: Its port.
        requests: Whole requests, taken in turn.
        connections: How many at once.
        seconds: How long.
    """
    return _on_a_loop(_closed(host, port, requests, connections, seconds))


def open_loop(
    host: str, port: int, requests: Sequence[bytes], *, rate: float, connections: int = 64, seconds: float = 5.0
) -> Load:
    """Requests leave at a fixed rate, whether or not earlier ones were answered.

    Args:
        host: Where the server listens.
        port: Its port.
        requests: Whole requests, taken in turn.
        rate: Requests a second.
        connections: How many; a request for which none is free waits, and its time runs.
        seconds: How long.
    """
    return _on_a_loop(_open(host, port, requests, rate, connections, seconds))


def _on_a_loop(work: Any) -> Load:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)  # type: ignore[no-any-return]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)  # type: ignore[no-any-return]


async def _callers(host: str, port: int, connections: int, answered: Any) -> list[_Caller]:
    loop = asyncio.get_running_loop()
    return [(await loop.create_connection(lambda: _Caller(answered), host, port))[1] for _ in range(connections)]


async def _closed(host: str, port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Load:
    load, clock, turn, over = Load(), time.perf_counter, 0, False
    done = asyncio.Event()

    def answered(caller: _Caller, fine: bool) -> None:
        nonlocal turn
        if over:
            return
        now = clock()
        load.failed += not fine
        if fine:
            load.answered += 1
            load.times.append(now - caller.since)
        if now >= end or caller.broken:
            done.set()
            return
        turn += 1
        caller.send(requests[turn % len(requests)], now)

    end = clock() + seconds + 60
    callers = await _callers(host, port, connections, answered)
    start = clock()
    end = start + seconds
    for caller in callers:
        turn += 1
        caller.send(requests[turn % len(requests)], clock())
    await asyncio.wait_for(done.wait(), seconds + 30)
    load.seconds, over = clock() - start, True
    for caller in callers:
        caller.transport.abort()
    return load


async def _open(host: str, port: int, requests: Sequence[bytes], rate: float, connections: int, seconds: float) -> Load:
    load, clock, over = Load(), time.perf_counter, False
    free: deque[_Caller] = deque()  # the one that waited longest goes first: none is idle for so long that it is cut
    late: deque[float] = deque()  # intended times of requests that no connection was free for, newest last
    sent = 0

    def answered(caller: _Caller, fine: bool) -> None:
        if over:
            return
        load.failed += not fine
        if fine:
            load.answered += 1
            load.times.append(clock() - caller.since)
        if caller.broken:
            return
        if late:
            give(caller, late.popleft())
        else:
            free.append(caller)

    def give(caller: _Caller, intended: float) -> None:
        nonlocal sent
        sent += 1
        caller.send(requests[sent % len(requests)], intended)

    callers = await _callers(host, port, connections, answered)
    free.extend(callers)
    start, total, due = clock(), int(rate * seconds), 0
    while due < total:
        now = clock()
        while due < total and start + due / rate <= now:
            while free and free[0].broken:
                free.popleft()
            if free:
                give(free.popleft(), start + due / rate)
            else:
                late.append(start + due / rate)
            due += 1
        await asyncio.sleep(0.0005 if rate > 1000 else min(0.002, 0.25 / rate))
    deadline = clock() + 5
    while load.answered + load.failed < total and clock() < deadline:
        await asyncio.sleep(0.005)
    load.failed += max(0, total - load.answered - load.failed)
    load.seconds, over = clock() - start, True
    for caller in callers:
        caller.transport.abort()
    return load
