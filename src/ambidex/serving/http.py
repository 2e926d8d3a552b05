"""HTTP/1.1 on an ``asyncio.Protocol``: limits before parsing, answers in order, nothing a caller sends is a 5xx.

Requests of one connection are handled one after the other; those that arrive while one is under way wait, and
the connection is not read meanwhile. All answers of one loop tick leave together, after the prediction log of
that tick was written (``Outbox``).
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from http import HTTPStatus
from time import perf_counter_ns
from typing import Any

import httptools

from ambidex.errors import AmbidexError
from ambidex.serving.coding import WORTH, takes_gzip
from ambidex.serving.framing import fault_of, path_of
from ambidex.serving.gate import Gate
from ambidex.serving.messages import Answer, Request, refusal
from ambidex.serving.problems import HttpRefusal

__all__ = ["Connection"]

FULL = refusal(
    HttpRefusal("http.overload", "the server is asked for more than it can", status=503, do="retry after 1 s")
)
"""Answers what is refused undecoded."""

_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}


class _Stop(Exception):
    """Ends parsing of a connection's bytes; the request that caused it is queued."""


class Connection(asyncio.Protocol):
    """One caller.

    Attributes:
        opened: Loop time at which it was opened.
        arrived: ``time.perf_counter_ns`` of what came last: the whole request that is under way.
    """

    def __init__(self, gate: Gate) -> None:
        self.opened = gate.loop.time()
        self.arrived = 0
        self._gate = gate
        self._limits = gate.limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: Any = None
        self._queue: deque[Request] = deque()
        self._current: Request | None = None  # under way, not answered
        self._pumping = False
        self._unsent = 0  # answers in the outbox
        self._last = False  # nothing more is read: the last request is queued or was answered
        self._close_after = False
        self._cut_short = False  # the caller may still be sending: linger
        self._eof = False
        self._paused_since: float | None = None
        self._reading = True
        self._active = gate.loop.time()
        self._since = self._active  # of its opening, or of its last answer
        self._due: float | None = None  # when the request under way must be answered
        self._in_line = False
        self._deadline: float | None = self._active + gate.limits.head_s
        self._in_message = False
        self._held = 0
        self._extra = 0  # of them, beyond bodies: what was inflated
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._fields: dict[bytes, bytes] = {}
        self._hosts = 0
        self._head_size = 0
        self._head_done = False
        self._parts: list[bytes] = []
        self._size = 0
        self._method = "GET"
        self._old = False

    # ------------------------------------------------------------ asyncio

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=256 << 10)
        self._gate.connections.add(self)
        if len(self._gate.connections) > self._limits.connections and not self._gate.makes_room():
            fault = HttpRefusal(
                "http.overload", "the server has no room for another connection", status=503, do="retry after 1 s"
            )
            self._refuse(fault)
            self._gate.loop.call_soon(self._pump)

    def data_received(self, data: bytes) -> None:
        self._active = self._gate.loop.time()
        if self._last:
            return
        self.arrived = perf_counter_ns()
        in_head = self._in_message and not self._head_done
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserCallbackError, httptools.HttpParserUpgrade):
            if not self._last:  # not by _Stop
                self._refuse(HttpRefusal("http.malformed", "the request is not valid HTTP", status=400))
        except httptools.HttpParserError as error:
            if not self._last:
                why = str(error).strip().rstrip(".")[:100]
                self._refuse(HttpRefusal("http.malformed", f"the request is not valid HTTP: {why}", status=400))
        if not self._last and self._in_message:
            if not self._head_done:
                # A field that never ends reaches no callback: count the bytes of reads that lie in the head.
                self._head_size += len(data) if in_head else 0
                if self._head_size > self._limits.head_bytes:
                    self._refuse(self._head_too_large())
            if self._deadline is None:
                wait = self._limits.body_s if self._head_done else self._limits.head_s
                self._deadline = self._active + wait
        self._pump()

    def eof_received(self) -> bool:
        self._eof = True
        if self._in_message and not self._last:
            self._refuse(HttpRefusal("http.malformed", "the request ends before it is whole", status=400))
            self._pump()
        return bool(self._current or self._queue or self._unsent)

    def connection_lost(self, exc: Exception | None) -> None:
        self._gate.connections.discard(self)
        self._queue.clear()
        self._parts = []
        self._hold(-self._held)
        self._last = True
        self._current = None

    def pause_writing(self) -> None:
        self._paused_since = self._gate.loop.time()
        self._read(False)

    def resume_writing(self) -> None:
        self._paused_since = None
        self._pump()

    # ------------------------------------------------------------ httptools

    def on_message_begin(self) -> None:
        self._reset()
        self._in_message = True
        self._deadline = None

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if self._head_done:
            return  # a trailer
        name = name.lower()
        if name == b"host":
            self._hosts += 1
        elif name in (b"transfer-encoding", b"content-length") and name in self._fields:
            self._stop(HttpRefusal("http.malformed", f"{name.decode()} stands there twice", status=400))
        self._fields[name] = value

    def on_headers_complete(self) -> None:
        self._method = self._parser.get_method().decode("ascii", "replace")
        version = self._parser.get_http_version()
        why = fault_of(self._fields, self._hosts, version, upgrade=self._parser.should_upgrade())
        if why is not None:
            self._stop(HttpRefusal("http.malformed", why, status=400))
        self._old = version == "1.0"
        self._head_done = True
        self._deadline = None
        length = self._fields.get(b"content-length")
        if length is not None and int(length) > self._limits.body_bytes:
            self._stop(self._body_too_large())
        if (expect := self._fields.get(b"expect")) is not None and version == "1.1":
            if expect.strip().lower() != b"100-continue":
                self._stop(
                    HttpRefusal("http.malformed", "the expectation is unknown", status=417, do="leave out Expect")
                )
            if not self._queue and self._current is None:
                self._unsent += 1
                self._gate.outbox.put(self, None, b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size > self._limits.body_bytes:
            self._stop(self._body_too_large())
        if self._gate.held + len(body) > self._limits.held_bytes:
            self._stop(
                HttpRefusal("http.overload", "the server holds as much as it can", status=503, do="retry after 1 s")
            )
        self._hold(len(body))
        self._parts.append(body)

    def on_message_complete(self) -> None:
        self._in_message = False
        self._deadline = None
        keep = bool(self._parser.should_keep_alive())
        body = b"".join(self._parts)
        self._queue.append(Request(self._method, path_of(self._url), self._fields, body, keep, None, self._old))
        self._parts = []
        self._last = not keep

    def _hold(self, size: int) -> None:
        size = max(size, -self._held)
        self._held += size
        self._gate.held += size

    def _count(self, size: int) -> None:
        self._head_size += size
        if self._head_size > self._limits.head_bytes:
            self._stop(self._head_too_large())

    def _head_too_large(self) -> AmbidexError:
        limit = self._limits.head_bytes
        return HttpRefusal("http.too-large", f"the head is larger than {limit:,} bytes", status=431)

    def _body_too_large(self) -> AmbidexError:
        limit = self._limits.body_bytes
        return HttpRefusal(
            "http.too-large", f"the body is larger than {limit:,} bytes", status=413,
            do="send fewer rows at a time, or score a table: ambidex score NAME TABLE --out FILE",
        )  # fmt: skip

    def _refuse(self, fault: AmbidexError) -> None:
        """Queue a refusal as the last answer of this connection."""
        head_only = "HEAD" if self._in_message and self._method == "HEAD" else "?"
        self._queue.append(Request(head_only, "", {}, b"", False, fault))
        self._last = self._cut_short = True
        self._in_message = False
        self._deadline = None
        self._parts = []
        self._hold(-self._size)

    def _stop(self, fault: AmbidexError) -> None:
        self._refuse(fault)
        raise _Stop

    # ------------------------------------------------------------ answering

    def _pump(self) -> None:
        if self._pumping or self._transport is None:
            return
        self._pumping = True
        while self._queue and self._current is None and self._paused_since is None and not self._in_line:
            request = self._queue[0]
            if request.fault is not None:
                self._current = self._queue.popleft()
                self.answer(refusal(request.fault))
                continue
            admitted = self._gate.admits(self, request)
            if admitted is False:
                self._in_line = True
                break
            self._current = self._queue.popleft()
            if admitted is None:
                self.answer(FULL)
            else:
                self._due = self._gate.loop.time() + self._limits.deadline_s
                self._gate.handler(request, self)
                self._gate.begun()
        self._pumping = False
        self._read(self._current is None and not self._queue and self._paused_since is None)

    def go_on(self) -> None:
        """Its turn has come."""
        self._in_line = False
        self._pump()

    @property
    def waits(self) -> bool:
        """Whether anybody still waits for the answer to the request under way."""
        return self._current is not None and not self._transport.is_closing()

    @property
    def path(self) -> str:
        """Of the request under way."""
        return "" if self._current is None else self._current.path

    @property
    def lazy_since(self) -> float:
        """Since when the caller has sent no whole request; infinity while it has one under way."""
        return math.inf if self._current or self._queue or self._unsent or self._last else self._since

    def allow(self, seconds: float) -> None:
        """The request under way may take so long from now on."""
        self._due = self._gate.loop.time() + seconds

    def hold(self, size: int) -> None:
        """The request under way takes so many bytes more, until it is answered.

        Raises:
            HttpRefusal: ``http.overload``: the worker holds as much as it can.
        """
        if self._gate.held + size > self._limits.held_bytes:
            raise HttpRefusal("http.overload", "the server holds as much as it can", status=503, do="retry after 1 s")
        self._hold(size)
        self._extra += size

    def answer(self, answer: Answer) -> None:
        """Answer the request under way; nothing happens if it was answered or its caller is gone."""
        request, self._current = self._current, None
        self._due = None
        if request is not None:
            self._hold(-len(request.body) - self._extra)
            self._extra = 0
        if request is None or self._transport is None or self._transport.is_closing():
            return
        self._since = self._gate.loop.time()
        self._gate.tally.answered(answer)
        close = not request.keep_alive or ((self._gate.draining or self._eof) and not self._queue)
        head = [_LINES[answer.status], b"content-type: ", answer.media, b"\r\n"]
        head += [f"{k.lower()}: {v}\r\n".encode("latin-1") for k, v in answer.headers.items()]
        if len(answer.body) >= WORTH:
            answer.packed = takes_gzip(request.fields)
            head.append(b"vary: accept-encoding\r\n")
        if answer.packed:
            head.append(b"content-encoding: gzip\r\n")
        if request.old and not close:
            head.append(b"connection: keep-alive\r\n")
        if close:
            head.append(b"connection: close\r\n")
            self._last = self._close_after = True
            self._queue.clear()
        self._unsent += 1
        self._gate.outbox.put(self, answer, b"".join(head), body=request.method != "HEAD")
        if not self._pumping:
            self._pump()

    def send(self, data: bytes) -> None:
        """Called by the outbox with all that is to leave now."""
        self._unsent = 0
        self._active = self._gate.loop.time()
        if self._transport.is_closing():
            return
        self._transport.write(data)
        idle = self._current is None and not self._queue
        if not (self._close_after or (self._eof and idle)) or not idle:
            return
        if self._cut_short and not self._eof and self._transport.can_write_eof():
            # Closing on unread bytes resets the connection, and the caller would never see the answer.
            self._transport.write_eof()
            self._deadline = self._active + self._limits.linger_s
            self._read(True)
        else:
            self._transport.close()

    def _read(self, on: bool) -> None:
        if on != self._reading and not self._transport.is_closing():
            self._reading = on
            (self._transport.resume_reading if on else self._transport.pause_reading)()

    # ------------------------------------------------------------ time

    def check(self, now: float) -> None:
        """Cut the connection if something took too long."""
        if self._transport is None:
            return
        if self._paused_since is not None and now - self._paused_since > self._limits.write_s:
            self.abort()
        elif self._due is not None and now > self._due and self._current is not None:
            late = "the answer took longer than it may"
            self._current.keep_alive = False  # whatever comes of the request later finds no caller
            self.answer(refusal(HttpRefusal("http.deadline", late, status=504, do="retry, or send fewer rows")))
        elif self._deadline is not None and now > self._deadline:
            if self._last or not self._in_message:  # lingering, or never sent a byte
                self.abort()
            else:
                what = "body" if self._head_done else "head"
                self._refuse(HttpRefusal("http.timeout", f"the {what} of the request came too slowly", status=408))
                self._pump()
        elif not (self._in_message or self._current or self._queue or self._unsent):
            still = now - self._active
            # A short wait while draining: a request may be on its way, and its answer will say close.
            if still > self._limits.idle_s or (self._gate.draining and still > 1.0):
                self._transport.close()

    def abort(self) -> None:
        """Close without further ado."""
        if self._transport is not None:
            self._transport.abort()
