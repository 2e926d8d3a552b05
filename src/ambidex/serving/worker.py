"""One serving process: loads its models, says so, listens when told, drains when told."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ambidex.access import Tokens
from ambidex.serving.app import App
from ambidex.serving.entry import Asks, Entry, Rates
from ambidex.serving.gate import Gate
from ambidex.serving.loader import Models, Registry
from ambidex.serving.log import Logging, PredictionLog, Report
from ambidex.serving.messages import Limits, Tally
from ambidex.serving.outbox import Outbox
from ambidex.serving.replays import Replays
from ambidex.serving.stages import Stages, resident_bytes

__all__ = ["serve"]

SWEEP_S = 0.25
MEMORY = 1 << 30
MEMORY_S = 1.0


def serve(
    registry: Registry,
    listener: socket.socket,
    log_folder: Path,
    *,
    report: Report,
    loaded: Callable[[list[str]], None],
    go: Callable[[], None],
    parent: int,
    limits: Limits | None = None,
    asks: Asks | None = None,
    rates: Rates | None = None,
    logging: Logging | None = None,
    index: int = 0,
) -> None:
    """Serve until SIGTERM, then answer what is under way and return.

    Args:
        registry: The workspace.
        listener: Bound socket, shared by all workers.
        log_folder: The workspace's ``.ambidex/log``.
        report: Told of events.
        loaded: Called with the references served once every model is open, before anything is accepted.
        go: Waits until all workers are loaded and the socket listens.
        parent: Pipe that only the parent holds open.
        limits: What one caller may take.
        asks: What is asked of callers.
        rates: Requests of each token, counted over all workers.
        logging: How predictions are logged.
        index: Place among the workers.

    Raises:
        AmbidexError: A live version does not open.
    """
    entry = Entry(asks or Asks(), registry.tokens(Tokens()), report, rates)
    models = Models(registry, report)
    refs = models.open_all()
    for served in models.served:
        (logging or Logging()).check(served.model, served.schema)
    loaded(refs)
    go()
    import uvloop

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    log = PredictionLog(log_folder, report, logging)
    run_folder = log_folder.parent / "run"
    replays = Replays(run_folder / "keys.sqlite", report)
    entry.follow(registry.tokens)
    stages = Stages(run_folder, index, clock=loop.time)
    loop.run_until_complete(_run(models, listener, log, report, parent, limits or Limits(), entry, replays, stages))


async def _run(
    models: Models,
    listener: socket.socket,
    log: PredictionLog,
    report: Report,
    parent: int,
    limits: Limits,
    entry: Entry,
    replays: Replays,
    stages: Stages,
) -> None:
    loop = asyncio.get_running_loop()
    tally = Tally()
    outbox = Outbox(loop, log.flush, stages.tick)
    app = App(
        models, log, report, loop, entry=entry, limits=limits, tally=tally, replays=replays, stages=stages,
        run_folder=stages.folder, write_log=outbox.write_log,
    )  # fmt: skip
    gate = Gate(loop, app, outbox, limits, tally)
    app.watches(gate)
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.set_exception_handler(lambda _, said: report("loop.error", {"what": str(said.get("message"))[:300]}))
    loop.add_reader(parent, os._exit, 0)  # end of file: the parent is gone, and nobody would stop this worker
    models.follow(loop)
    door = _Door(loop, listener, gate)
    door.open()
    gc.collect()
    gc.freeze()  # what was loaded is never garbage: collections need not walk it
    stages.pauses.start()
    most, looked = limits.memory_bytes or MEMORY + 4 * resident_bytes(), 0.0
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), SWEEP_S)
        gate.sweep()
        stages.sweep(app.figures)
        log.rotate()
        outbox.write_log()  # rows whose caller was gone before the answer
        if loop.time() - looked >= MEMORY_S:
            looked = loop.time()
            if (held := resident_bytes()) > most:
                report("worker.full", {"bytes": held, "most": most})  # every time: the parent may find it too early
    app.draining = True
    await door.close()
    await gate.drain()
    models.stop()
    entry.stop()
    stages.sweep(app.figures, last=True)
    log.close()
    report("worker.drained", dict(app.counts))


class _Door:
    """Accepts connections, one a loop tick: a busy worker leaves the next to an idle one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: socket.socket, gate: Gate) -> None:
        self._loop = loop
        self._listener = listener
        self._gate = gate
        self._entering: set[asyncio.Task[Any]] = set()
        listener.setblocking(False)

    def open(self) -> None:
        self._loop.add_reader(self._listener.fileno(), self._accept)

    async def close(self) -> None:
        """Take in who has connected already, then accept no more."""
        self._loop.remove_reader(self._listener.fileno())
        while self._accept():
            pass
        self._listener.close()
        if self._entering:
            await asyncio.wait(self._entering, timeout=1.0)

    def _accept(self) -> bool:
        try:
            caller, _ = self._listener.accept()
        except (BlockingIOError, ConnectionAbortedError, InterruptedError):
            return False
        except OSError:
            # No descriptors left: look again when some may have been freed, instead of spinning.
            self._loop.remove_reader(self._listener.fileno())
            self._loop.call_later(0.1, self._again)
            return False
        caller.setblocking(False)
        with suppress(OSError):
            caller.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = self._loop.create_task(self._enter(caller))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)
        return True

    async def _enter(self, caller: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._gate.new_connection, caller)
        except OSError:
            caller.close()

    def _again(self) -> None:
        if self._listener.fileno() >= 0 and not self._gate.draining:
            self.open()
