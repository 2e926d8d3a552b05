"""The dashboard as a process: an address, uvicorn, and an end that is an end."""

from __future__ import annotations

import asyncio
import errno
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import uvicorn

from ambidex.errors import EnvironmentProblem
from ambidex.serving.address import address_of, cannot_listen
from ambidex.ui import render
from ambidex.ui.app import App
from ambidex.ui.desk import Desk
from ambidex.ui.guard import Guard, own_names
from ambidex.ui.looking import House, Verbs

__all__ = ["run"]

TRIES = 20
"""Ports that are tried, one after the other."""
DRAIN_S = 2
MOST_AT_ONCE = 100


def run(
    open_house: Callable[[], House],
    verbs: Verbs,
    *,
    host: str,
    port: int,
    acting_as: Callable[[str], Any],
    ready: Callable[..., object] | None = None,
) -> str:
    """Show the dashboard until SIGTERM (returns) or Ctrl-C (raises ``KeyboardInterrupt``); from the main thread.

    Args:
        open_house: Opens the workspace.
        verbs: What pages act through.
        host: Where to listen; a public address needs a token in the workspace first.
        port: The next free one from here on is taken; 0 takes any.
        acting_as: Names in the log who stands behind a token.
        ready: Called with the address once it listens, and with a word where the port is another one.

    Returns:
        The address.

    Raises:
        UsageError: ``usage.value``: no such port or host.
        EnvironmentProblem: ``env.public-bind`` without a token; ``env.port-taken`` if none of twenty is free.
    """
    render.warm()
    desk = Desk(open_house, verbs)
    names = frozenset(getattr(open_house().settings.serving, "hosts", ()) or ())
    family, _, public = address_of(host, port, tokens=True)  # whether there is one is asked below
    desk.warm()
    guard = Guard(lambda: desk.house().store, public, own_names(host) | names, port)
    if public and not any(t.revoked is None for t in guard.tokens()):
        raise EnvironmentProblem(
            "env.public-bind", f"{host or 'every address'} can be reached from other machines, and no token is set",
            where="--host", found="without a token the dashboard listens on this machine only",
            do="ambidex token new --role viewer, or bind to this machine: --host 127.0.0.1",
        )  # fmt: skip
    listener = _listen(family, host, port)
    try:
        taken = int(listener.getsockname()[1])
        address = f"http://{f'[{host}]' if ':' in host else host or 'localhost'}:{taken}"
        server = _Server(
            uvicorn.Config(
                App(desk, guard, acting_as), http="httptools", ws="none", lifespan="off", log_config=None,
                access_log=False, server_header=False, limit_concurrency=MOST_AT_ONCE, timeout_keep_alive=75,
                timeout_graceful_shutdown=DRAIN_S, backlog=128, proxy_headers=False,
            ),
            lambda: ready(address, *([f"port {port} was taken"] if port and taken != port else [])) if ready else None,
        )  # fmt: skip
        asyncio.run(server.serve(sockets=[listener]))
    finally:
        listener.close()
    if server.ended_by == signal.SIGINT:
        raise KeyboardInterrupt
    return address


class _Server(uvicorn.Server):
    """uvicorn that tells when it listens and by which signal it ended."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], object]) -> None:
        super().__init__(config)
        self._ready = ready
        self.ended_by = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal ends it after draining, the second at once; what was ignored stays ignored."""

        def stop(number: int, _: object) -> None:
            self.force_exit = self.should_exit
            self.should_exit = True
            self.ended_by = self.ended_by or number

        heeded = [
            n for n in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) is not signal.SIG_IGN
        ]
        before = {}
        with suppress(ValueError):  # not the main thread: whoever called ends it by ``should_exit``
            before = {n: signal.signal(n, stop) for n in heeded}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _listen(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    """The port, or the next one that is free."""
    last: OSError | None = None
    for candidate in range(port, min(65535, port + TRIES - 1) + 1 if port else 1):
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError as error:
            listener.close()
            last = error
            if error.errno != errno.EADDRINUSE:
                raise cannot_listen(error, host, candidate) from error
            continue
        listener.setblocking(False)
        return listener
    assert last is not None
    raise cannot_listen(last, host, port) from last
