"""The server as a family of processes: one parent that answers nothing, one worker a core that does.

The parent binds the socket, forks the workers, starts to listen when all of them have loaded, replaces a
worker that dies, and passes SIGTERM on. Workers die with their parent. The socket is shared, so a connection
that waits to be accepted survives the death of a worker.
"""

from __future__ import annotations

import os
import select
import selectors
import signal
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from ambidex.errors import AmbidexError, EnvironmentProblem, UsageError
from ambidex.serving.address import address_of, bind, cannot_listen
from ambidex.serving.entry import Asks, Rates, hosts_of
from ambidex.serving.loader import Registry
from ambidex.serving.log import Logging, Report, utc
from ambidex.serving.messages import Limits
from ambidex.serving.processes import die_with, error_of, more_descriptors, signals_caught

__all__ = ["run"]

BACKLOG = 1024
STOP_S = 2.0
"""Beyond the drain time; then workers are killed."""
AGAIN_S = (0.0, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Waits before a worker that died is started again, by how often it died young; the last is repeated."""
YOUNG_S = 5.0
LOOP = 4
"""Deaths in a row so young that the server says it is going round in circles."""
KEEPER = -1
KEEPER_AGAIN_S = (0.5, 5.0, 30.0, 60.0)
MOST_WORKERS = 64
LINE = 3800
STDERR = 2

_encode = msgspec.json.Encoder().encode


def run(
    make_models: Callable[[], Registry],
    *,
    host: str = "127.0.0.1",
    port: int = 8377,
    workers: int = 1,
    log_folder: Path,
    ready: Callable[..., object] | None = None,
    limits: Limits | None = None,
    asks: Asks | None = None,
    tokens: bool = False,
    logging: Logging | None = None,
) -> None:
    """Serve until SIGTERM (returns) or Ctrl-C (raises ``KeyboardInterrupt``), both after draining.

    Call it from the main thread.

    Args:
        make_models: Called inside each worker, after the fork: opens the workspace there.
        host: Address or name; one that other machines can reach needs a token.
        port: 0 to 65535; 0 takes a free one.
        workers: Processes, 1 to 64.
        log_folder: The workspace's ``.ambidex/log``.
        ready: Called once all workers are loaded and the socket listens, with the address and the versions
            that answer: ``ready("http://127.0.0.1:8377", "churn@3")``.
        limits: What one caller may take.
        asks: What is asked of callers; if None any Host is answered, and a token is asked for once one was made.
        tokens: Whether a token exists that somebody could use.
        logging: How predictions are logged.

    Raises:
        UsageError: Port, host or workers no server can have.
        EnvironmentProblem: ``env.port-taken``, ``env.public-bind``, ``env.child``.
        Refused: ``check.opens``, ``check.altered``: a live version does not open; nothing was listening.
        NotFound: ``data.no-model``, ``data.no-pointer``: there is nothing to serve.
    """
    if not 1 <= workers <= MOST_WORKERS:
        raise UsageError("usage.value", f"cannot run {workers} workers", found=f"1 to {MOST_WORKERS}", do="--workers 1")
    asked = asks or Asks()
    where = address_of(host, port, tokens=tokens and asked.tokens != "off")
    listener = bind(where, host, port)
    hosts = None if asks is None else hosts_of(host, public=where.public, named=tuple(asked.hosts or ()))
    asked = replace(asked, hosts=hosts, tokens="on" if where.public else asked.tokens)
    try:
        _Family(
            make_models, listener, workers, log_folder, ready, limits or Limits(), host, asked, logging or Logging()
        ).run()
    finally:
        listener.close()


@dataclass(slots=True)
class _Worker:
    """A child, as the parent sees it.

    Attributes:
        pid: Process id.
        index: Place among the workers.
        said: Read end of what it tells, non-blocking.
        hold: Write end: a byte tells it to go, the end of file that the parent is gone.
        state: starting, loaded, serving; full (another is to take its place), leaving.
    """

    pid: int
    index: int
    said: int
    hold: int
    began: float
    state: str = "starting"
    buffer: bytes = b""
    refs: list[str] = field(default_factory=list)
    error: AmbidexError | None = None


class _Family:
    """The parent."""

    def __init__(
        self,
        make_models: Callable[[], Registry],
        listener: socket.socket,
        count: int,
        log_folder: Path,
        ready: Callable[..., object] | None,
        limits: Limits,
        host: str,
        asks: Asks,
        logging: Logging,
    ) -> None:
        self._make_models = make_models
        self._listener = listener
        self._count = count
        self._log_folder = log_folder
        self._ready = ready
        self._limits = limits
        self._host = host
        self._asks = asks
        self._logging = logging
        self._keeper: _Worker | None = None
        self._keeper_died = 0
        self._keeper_at = 0.0
        self._rates = None if asks.rate is None else Rates(asks.rate, asks.burst)
        self._workers: dict[int, _Worker] = {}
        self._died_young = dict.fromkeys(range(count), 0)
        self._start_at: dict[int, float] = {}
        self._listening = False
        self._stopped_by = 0
        self._signals = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        with signals_caught(self._stop) as wakeup:
            self._selector.register(wakeup, selectors.EVENT_READ)
            try:
                for index in range(self._count):
                    self._fork(index)
                while not self._stopped_by:
                    self._turn()
                self._drain()
            finally:
                self._kill()
                self._selector.close()
        if self._stopped_by == signal.SIGINT:
            raise KeyboardInterrupt

    def _stop(self, number: int) -> None:
        self._stopped_by = self._stopped_by or number
        self._signals += 1

    # ------------------------------------------------------------ one turn

    def _turn(self, most: float = 1.0) -> None:
        """Wait for something to happen and see to it."""
        now = time.monotonic()
        due = min(self._start_at.values(), default=now + most)
        for key, _ in self._selector.select(max(0.0, min(most, due - now))):
            if isinstance(key.data, _Worker):
                self._hear(key.data)
            else:
                with suppress(BlockingIOError):
                    os.read(key.fd, 4096)
        self._bury()
        if self._stopped_by:
            return
        for index, at in list(self._start_at.items()):
            if at <= time.monotonic():
                del self._start_at[index]
                self._fork(index)
        if self._listening and self._keeper is None and time.monotonic() >= self._keeper_at:
            self._keep()
        if not self._listening and self._workers and all(w.state == "loaded" for w in self._workers.values()):
            self._listen()

    def _hear(self, worker: _Worker) -> None:
        try:
            data = os.read(worker.said, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._selector.unregister(worker.said)
            return
        *lines, worker.buffer = (worker.buffer + data).split(b"\n")
        for line in lines:
            with suppress(msgspec.DecodeError, UnicodeDecodeError):
                self._told(worker, msgspec.json.decode(line))

    def _told(self, worker: _Worker, said: dict[str, Any]) -> None:
        match said.get("event"):
            case "worker.loaded":
                worker.state, worker.refs = "loaded", list(said["refs"])
                if self._listening:
                    self._go(worker)
            case "worker.full":
                self._replace(worker, said)
            case "worker.error":
                worker.error = error_of(said["error"])
                if self._listening:
                    self._log({"event": "worker.error", **said["error"]}, worker)
            case _:
                self._log(said, worker)

    def _replace(self, worker: _Worker, said: Mapping[str, Any]) -> None:
        """Start the one that takes the place of a worker that has grown too large; that one leaves when it serves."""
        if worker.state != "serving" or time.monotonic() - worker.began < self._limits.full_again_s:
            return
        worker.state = "full"
        self._log(said, worker)
        self._fork(worker.index)

    def _bury(self) -> None:
        self._bury_keeper()
        for worker in list(self._workers.values()):
            try:
                pid, status = os.waitpid(worker.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = worker.pid, 0
            if pid == 0:
                continue
            self._hear_out(worker)
            del self._workers[worker.pid]
            if self._stopped_by:
                continue
            code = os.waitstatus_to_exitcode(status)
            if worker.state == "leaving":
                self._log({"event": "worker.replaced", "status": code}, worker)
                continue
            if any(w.index == worker.index for w in self._workers.values()):  # its place is taken, or will be
                self._log({"event": "worker.died", "status": code, "again_in_s": None}, worker)
                if not any(w.index == worker.index and w.state != "full" for w in self._workers.values()):
                    self._start_at[worker.index] = time.monotonic() + AGAIN_S[2]
                continue
            if not self._listening:
                raise worker.error or EnvironmentProblem(
                    "env.child", f"a worker ended with status {code} before it was ready", do="ambidex doctor"
                )
            young = time.monotonic() - worker.began < YOUNG_S
            died = self._died_young[worker.index] = self._died_young[worker.index] + 1 if young else 0
            wait = AGAIN_S[min(died, len(AGAIN_S) - 1)]
            self._start_at[worker.index] = time.monotonic() + wait
            self._log({"event": "worker.died", "status": code, "again_in_s": wait}, worker)
            if died >= LOOP:
                self._log({"event": "worker.crash-loop", "deaths": died, "again_in_s": wait}, worker)

    def _hear_out(self, worker: _Worker) -> None:
        with suppress(KeyError, ValueError):
            while worker.said in self._selector.get_map():
                before = len(worker.buffer)
                self._hear(worker)
                if len(worker.buffer) == before:
                    break
        with suppress(KeyError, ValueError):
            self._selector.unregister(worker.said)
        os.close(worker.said)
        os.close(worker.hold)

    def _listen(self) -> None:
        try:
            self._listener.listen(BACKLOG)
        except OSError as error:
            raise cannot_listen(error, self._host, self._listener.getsockname()[1]) from error
        self._listening = True
        refs: dict[str, None] = {}
        for worker in self._workers.values():
            self._go(worker)
            refs |= dict.fromkeys(worker.refs)
        if self._ready is not None:
            name = f"[{self._host}]" if ":" in self._host else self._host
            self._ready(f"http://{name}:{self._listener.getsockname()[1]}", *refs)

    def _go(self, worker: _Worker) -> None:
        worker.state = "serving"
        with suppress(BrokenPipeError):
            os.write(worker.hold, b"g")
        for other in self._workers.values():
            if other.index == worker.index and other.state == "full":
                other.state = "leaving"
                with suppress(ProcessLookupError):
                    os.kill(other.pid, signal.SIGTERM)

    # ------------------------------------------------------------ the end

    def _drain(self) -> None:
        self._listener.close()
        self._tell(signal.SIGTERM)
        end = time.monotonic() + self._limits.drain_s + STOP_S
        while self._workers and time.monotonic() < end and self._signals < 2:
            self._turn(0.1)

    def _tell(self, number: int) -> None:
        for pid in self._workers:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _kill(self) -> None:
        self._tell(signal.SIGKILL)
        for worker in self._workers.values():
            with suppress(ChildProcessError):
                os.waitpid(worker.pid, 0)
            os.close(worker.said)
            os.close(worker.hold)
        self._workers.clear()
        if self._keeper is not None:
            with suppress(ProcessLookupError):
                os.kill(self._keeper.pid, signal.SIGKILL)  # a pass of sealing may end at any step
            with suppress(ChildProcessError):
                os.waitpid(self._keeper.pid, 0)
            os.close(self._keeper.said)
            os.close(self._keeper.hold)
            self._keeper = None

    def _log(self, said: Mapping[str, Any], worker: _Worker) -> None:
        """One JSON line on stderr. Nobody may be reading there: a line that would have to wait is dropped."""
        with suppress(OSError, TypeError, ValueError):
            line = _encode({"at": utc(), "worker": worker.index, **said}) + b"\n"
            out = select.poll()  # select() takes no descriptor beyond 1,023
            out.register(STDERR, select.POLLOUT)
            if any(event & select.POLLOUT for _, event in out.poll(0)):
                os.write(STDERR, line[: select.PIPE_BUF])

    # ------------------------------------------------------------ who looks after the log

    def _keep(self) -> None:
        self._keeper = self._forked(KEEPER, self._child_keeper)

    def _bury_keeper(self) -> None:
        keeper = self._keeper
        if keeper is None:
            return
        try:
            pid, status = os.waitpid(keeper.pid, os.WNOHANG)
        except ChildProcessError:
            pid, status = keeper.pid, 0
        if pid == 0:
            return
        self._hear_out(keeper)
        self._keeper = None
        self._keeper_died = self._keeper_died + 1 if time.monotonic() - keeper.began < 60 else 0
        wait = KEEPER_AGAIN_S[min(max(self._keeper_died - 1, 0), len(KEEPER_AGAIN_S) - 1)]
        self._keeper_at = time.monotonic() + wait
        self._log({"event": "log.keeper-died", "status": os.waitstatus_to_exitcode(status), "again_in_s": wait}, keeper)

    def _child_keeper(self, tell: Report, waits: int) -> None:
        from ambidex.serving.keeper import SYNC_S, keep

        self._listener.close()

        hold = select.poll()
        hold.register(waits, select.POLLIN)

        def alive() -> bool:
            return not hold.poll(1000 * SYNC_S)

        keep(self._log_folder, self._logging, tell, alive)

    # ------------------------------------------------------------ the child

    def _fork(self, index: int) -> None:
        worker = self._forked(index, lambda tell, waits: self._child_worker(index, tell, waits))
        self._workers[worker.pid] = worker

    def _forked(self, index: int, main: Callable[[Report, int], None]) -> _Worker:
        said, tells = os.pipe()
        waits, hold = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                for other in (*self._workers.values(), *([self._keeper] if self._keeper else [])):
                    os.close(other.said)
                    os.close(other.hold)
                os.close(said)
                os.close(hold)
                _child(parent, tells, waits, main)
            finally:
                os._exit(70)
        os.close(tells)
        os.close(waits)
        os.set_blocking(said, False)
        worker = _Worker(pid, index, said, hold, time.monotonic())
        self._selector.register(said, selectors.EVENT_READ, worker)
        return worker

    def _child_worker(self, index: int, tell: Report, waits: int) -> None:
        from ambidex.serving.worker import serve

        def go() -> None:
            if not os.read(waits, 1):
                os._exit(0)

        more_descriptors()
        serve(
            self._make_models(),
            self._listener,
            self._log_folder,
            report=tell,
            loaded=lambda refs: tell("worker.loaded", {"refs": refs}),
            go=go,
            parent=waits,
            limits=self._limits,
            asks=self._asks,
            rates=self._rates,
            logging=self._logging,
            index=index,
        )


def _child(parent: int, tells: int, waits: int, main: Callable[[Report, int], None]) -> NoReturn:
    die_with(parent)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGHUP):  # these reach the whole group; the parent passes them on
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    os.set_blocking(tells, False)

    def tell(event: str, fields: Mapping[str, Any]) -> None:
        with suppress(OSError, TypeError, ValueError):
            line = _encode({"event": event, **fields})
            os.write(tells, line[:LINE] + b"\n")

    try:
        main(tell, waits)
    except AmbidexError as error:
        tell("worker.error", {"error": {"kind": type(error).__name__, **error.to_dict()}})
        os._exit(error.exit_code)
    except BaseException as error:
        why = f"a worker failed: {type(error).__name__}: {error}"[:500]
        tell("worker.error", {"error": {"kind": "InternalError", "code": "internal.bug", "message": why}})
        os._exit(1)
    os._exit(0)
