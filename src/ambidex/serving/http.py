"""HTTP/1.1 on an ``asyncio.Protocol``: limits before parsing, answers in order, nothing a caller sends is a 5xx.

Requests of one connection are handled one after the other; those that arrive while one is under way wait, and
the connection is not read meanwhile. All answers of one loop tick leave together, after the prediction log of
that tick was written (``Outbox``).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import httptools

from ambidex.errors import AmbidexError
from ambidex.serving.messages import Answer, Limits, Request, refusal
from ambidex.serving.outbox import Outbox
from ambidex.serving.problems import HttpRefusal

__all__ = ["Connection", "Gate", "Handler"]

_LINES = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n".encode() for s in HTTPStatus}

Handler = Callable[[Request, "Connection"], None]
"""Answers a request by ``connection.answer``, at once or later; it does not raise."""


class Gate:
    """What the connections of one worker share.

    Args:
        loop: The event loop.
        handler: Answers requests.
        outbox: Sends answers.
        limits: What one caller may take.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, handler: Handler, outbox: Outbox, limits: Limits | None = None
    ) -> None:
        self.loop = loop
        self.handler = handler
        self.outbox = outbox
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.draining = False
        self.held = 0

    def new_connection(self) -> Connection:
        """Protocol factory."""
        return Connection(self)

    def sweep(self) -> None:
        """Cut what took too long; call it a few times a second. One pass, not a timer a connection."""
        now = self.loop.time()
        for connection in list(self.connections):
            connection.check(now)

    async def drain(self) -> None:
        """Answer what is under way, close what is idle, at most ``drain_s``; then cut."""
        self.draining = True
        end = self.loop.time() + self.limits.drain_s
        while self.connections and self.loop.time() < end:
            self.sweep()
            await asyncio.sleep(0.05)
        for connection in list(self.connections):
            connection.abort()


class _Stop(Exception):
    """Ends parsing of a connection's bytes; the request that caused it is queued."""


class Connection(asyncio.Protocol):
    """One caller."""

    def __init__(self, gate: Gate) -> None:
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
        self._deadline: float | None = self._active + gate.limits.head_s
        self._in_message = False
        self._held = 0
        self._reset()

    def _reset(self) -> None:
        self._url = b""
        self._fields: dict[bytes, bytes] = {}
        self._hosts = 0
        self._head_size = 0
        self._head_done = False
        self._parts: list[bytes] = []
        self._size = 0
        self._keep_alive = True
        self._method = "GET"

    # ------------------------------------------------------------ asyncio

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        transport.set_write_buffer_limits(high=256 << 10)
        self._gate.connections.add(self)
        if len(self._gate.connections) > self._limits.connections:
            fault = HttpRefusal(
                "http.overload", "the server has no room for another connection", status=503, do="retry after 1 s"
            )
            self._refuse(fault)
            self._gate.loop.call_soon(self._pump)

    def data_received(self, data: bytes) -> None:
        self._active = self._gate.loop.time()
        if self._last:
            return
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
        fault = self._framing(version)
        if fault is not None:
            self._stop(fault)
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
        self._queue.append(Request(self._method, self._path(), self._fields, b"".join(self._parts), keep))
        self._parts = []
        self._last = not keep

    def _hold(self, size: int) -> None:
        size = max(size, -self._held)
        self._held += size
        self._gate.held += size

    def _framing(self, version: str) -> AmbidexError | None:
        """What is wrong with the head, where two readers might disagree about it."""
        fields = self._fields
        why = None
        if version not in ("1.0", "1.1"):
            why = f"HTTP/{version[:8]} is not spoken here"
        elif self._hosts != 1 and (version == "1.1" or self._hosts > 1):
            why = f"{self._hosts} Host fields where one is needed"
        elif self._parser.should_upgrade():
            why = "the connection cannot be upgraded"
        elif (coding := fields.get(b"transfer-encoding")) is not None:
            if b"content-length" in fields:
                why = "Content-Length and Transfer-Encoding together"
            elif version == "1.0" or coding.strip().lower() != b"chunked":
                why = "Transfer-Encoding other than chunked"
        elif not fields.get(b"content-length", b"0").strip().isdigit():
            why = "Content-Length is no number"
        return None if why is None else HttpRefusal("http.malformed", why, status=400)

    def _path(self) -> str:
        url = self._url
        if not url.startswith(b"/"):
            try:
                url = httptools.parse_url(url).path or b"/"
            except httptools.HttpParserInvalidURLError:
                return "?"
        return url.partition(b"?")[0].partition(b"#")[0].decode("latin-1")

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
        while self._queue and self._current is None and self._paused_since is None:
            self._current = request = self._queue.popleft()
            if request.fault is not None:
                self.answer(refusal(request.fault))
            else:
                self._gate.handler(request, self)
        self._pumping = False
        self._read(self._current is None and not self._queue and self._paused_since is None)

    def answer(self, answer: Answer) -> None:
        """Answer the request under way."""
        request, self._current = self._current, None
        if request is not None:
            self._hold(-len(request.body))
        if request is None or self._transport is None or self._transport.is_closing():
            return
        close = not request.keep_alive or ((self._gate.draining or self._eof) and not self._queue)
        head = [_LINES[answer.status], b"content-type: ", answer.media, b"\r\n"]
        head += [f"{k.lower()}: {v}\r\n".encode("latin-1") for k, v in answer.headers.items()]
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
