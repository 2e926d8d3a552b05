"""The answers of one loop tick: sent together, after the prediction log of that tick was written."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from email.utils import formatdate
from time import perf_counter_ns
from typing import Protocol

from ambidex.serving.coding import pack
from ambidex.serving.messages import JSON, Answer

__all__ = ["Outbox"]


class Sender(Protocol):
    """A connection."""

    def send(self, data: bytes) -> None:
        """Send all that leaves with this tick."""


class Outbox:
    """Collects the answers of a loop tick and sends them after the log was written.

    Args:
        loop: The event loop.
        write_log: Writes the frames of this tick; returns the models whose frames could not be written.
        ticked: Told how long that took, ns.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        write_log: Callable[[], Collection[str]],
        ticked: Callable[[int], None] = lambda ns: None,
    ) -> None:
        self._loop = loop
        self._write_log = write_log
        self._ticked = ticked
        self._waiting: list[tuple[Sender, Answer | None, bytes, bool]] = []
        self._date = (0, b"")

    def put(self, connection: Sender, answer: Answer | None, head: bytes, *, body: bool = True) -> None:
        """Queue an answer (None: bytes that stand for themselves, such as ``100 Continue``)."""
        if not self._waiting:
            self._loop.call_soon(self.flush)
        self._waiting.append((connection, answer, head, body))

    def write_log(self) -> None:
        """Write what the log holds back, unless answers wait for it: then they do."""
        if not self._waiting:
            self._write_log()

    def flush(self) -> None:
        """Write the log, then the answers, each connection's in one write."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        began = perf_counter_ns()
        lost = self._write_log()
        self._ticked(perf_counter_ns() - began)
        parts: dict[Sender, list[bytes]] = {}
        date = self._date_line()
        for connection, answer, head, with_body in waiting:
            out = parts.setdefault(connection, [])
            if answer is None:
                out.append(head)
                continue
            body = answer.body
            if lost and answer.logged_as in lost:
                if answer.media == JSON:
                    body = body[:-1] + b',"logged":false}'
                else:
                    head += b"ambidex-logged: false\r\n"
            if answer.packed:
                body = pack(body)
            out.append(b"%b%bcontent-length: %d\r\n\r\n" % (head, date, len(body)))
            if with_body:
                out.append(body)
        for connection, out in parts.items():
            connection.send(b"".join(out))

    def _date_line(self) -> bytes:
        now = int(time.time())
        if now != self._date[0]:
            self._date = (now, f"date: {formatdate(now, usegmt=True)}\r\n".encode())
        return self._date[1]
