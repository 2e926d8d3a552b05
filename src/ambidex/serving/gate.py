"""What the connections of one worker share: their limits, and whose turn it is.

A tick of the event loop answers ``Limits.tick`` requests. What arrives beyond waits for the next, then is refused by
constant bytes, then is not even read: latency is requests in flight by throughput, and a refusal costs a quarter of
an answer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ambidex.serving.messages import Limits, Request, Tally
from ambidex.serving.outbox import Outbox

if TYPE_CHECKING:
    from ambidex.serving.http import Connection

__all__ = ["Gate", "Handler"]

HEALTH = "/v2/health/"
"""Always answered, or an overloaded server would be taken for a dead one."""
CUT = 64
"""Connections that may be cut for others in one sweep."""

Handler = Callable[[Request, "Connection"], None]
"""Answers a request by ``connection.answer``, at once or later; it does not raise."""


class Gate:
    """What the connections of one worker share.

    Args:
        loop: The event loop.
        handler: Answers requests.
        outbox: Sends answers.
        limits: What one caller may take.
        tally: Counts answers.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handler: Handler,
        outbox: Outbox,
        limits: Limits | None = None,
        tally: Tally | None = None,
    ) -> None:
        self.loop = loop
        self.handler = handler
        self.outbox = outbox
        self.limits = limits or Limits()
        self.connections: set[Connection] = set()
        self.tally = tally or Tally()
        self.shed: Callable[[str], None] | None = None  # told the path of what is refused undecoded
        self.draining = False
        self.held = 0
        self._left = self.limits.tick
        self._refusable = self.limits.tick_refused
        self._ticking = False
        self._waiting: deque[Connection] = deque()
        self._cuttable = CUT

    def new_connection(self) -> Connection:
        """Protocol factory."""
        from ambidex.serving.http import Connection

        return Connection(self)

    def sweep(self) -> None:
        """Cut what took too long; call it a few times a second. One pass, not a timer a connection."""
        now = self.loop.time()
        self._cuttable = CUT
        for connection in list(self.connections):
            connection.check(now)

    # ------------------------------------------------------------ ticks

    def admits(self, connection: Connection, request: Request) -> bool | None:
        """Whether a request is answered in this tick: True; None: refuse it; False: the connection waits its turn."""
        if self._left > 0:
            self._left -= 1
            return True
        if request.path.startswith(HEALTH):
            return True
        if len(self._waiting) >= self.limits.tick_waiting and self._refusable > 0:
            self._refusable -= 1
            if self.shed is not None:
                self.shed(request.path)
            return None
        self._waiting.append(connection)
        return False

    def begun(self) -> None:
        """A request was handled: the next tick comes behind the outbox, which its answer has put on the loop."""
        if not self._ticking:
            self._ticking = True
            self.loop.call_soon(self._next_tick)

    def _next_tick(self) -> None:
        self._ticking = False
        self._left = self.limits.tick
        self._refusable = self.limits.tick_refused
        while self._waiting and self._left > 0:
            self._waiting.popleft().go_on()

    # ------------------------------------------------------------ connections

    @property
    def in_flight(self) -> int:
        """Requests that wait for their answer."""
        return sum(c.waits for c in self.connections)

    def makes_room(self) -> bool:
        """Cut the connection that has gone longest without a whole request, if one has for ``patience_s``."""
        if self._cuttable <= 0:
            return False
        before = self.loop.time() - self.limits.patience_s
        lazy = [c for c in self.connections if c.lazy_since < before]
        if not lazy:
            return False
        self._cuttable -= 1
        min(lazy, key=lambda c: c.lazy_since).abort()
        return True

    async def drain(self) -> None:
        """Answer what is under way, close what is idle, at most ``drain_s``; then cut."""
        self.draining = True
        end = self.loop.time() + self.limits.drain_s
        while self.connections and self.loop.time() < end:
            self.sweep()
            await asyncio.sleep(0.05)
        for connection in list(self.connections):
            connection.abort()
