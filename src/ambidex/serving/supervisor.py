"""The server as a family of processes: one parent that answers nothing, one worker a core that does.

The parent binds the socket, forks the workers, starts to listen when all of them have loaded, replaces a
worker that dies, and passes SIGTERM on. Workers die with their parent. The socket is shared, so a connection
that waits to be accepted survives the death of a worker.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from ambidex import errors
from ambidex.errors import AmbidexError, EnvironmentProblem, UsageError
from ambidex.serving.address import address_of, bind, cannot_listen
from ambidex.serving.entry import Asks, Rates, hosts_of
from ambidex.serving.loader import Registry
from ambidex.serving.log import utc
from ambidex.serving.messages import Limits

__all__ = ["run"]

BACKLOG = 1024
STOP_S = 2.0
"""Beyond the drain time; then workers are killed."""
AGAIN_S = (0.0, 0.2, 0.5, 1.0)
"""Waits before a worker that died is started again, by how often it died young; the last is repeated."""
YOUNG_S = 5.0
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
        _Family(make_models, listener, workers, log_folder, ready, limits or Limits(), host, asked).run()
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
        state: starting, loaded, serving.
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
    ) -> None:
        self._make_models = make_models
        self._listener = listener
        self._count = count
        self._log_folder = log_folder
        self._ready = ready
        self._limits = limits
        self._host = host
        self._asks = asks
        self._rates = None if asks.rate is None else Rates(asks.rate, asks.burst)
        self._workers: dict[int, _Worker] = {}
        self._died_young = dict.fromkeys(range(count), 0)
        self._start_at: dict[int, float] = {}
        self._listening = False
        self._stopped_by = 0
        self._signals = 0
        self._selector = selectors.DefaultSelector()

    def run(self) -> None:
        with self._signals_caught() as wakeup:
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
            case "worker.error":
                worker.error = _error(said["error"])
                if self._listening:
                    self._log({"event": "worker.error", **said["error"]}, worker)
            case _:
                self._log(said, worker)

    def _bury(self) -> None:
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
            if not self._listening:
                raise worker.error or EnvironmentProblem(
                    "env.child", f"a worker ended with status {code} before it was ready", do="ambidex doctor"
                )
            young = time.monotonic() - worker.began < YOUNG_S
            died = self._died_young[worker.index] = self._died_young[worker.index] + 1 if young else 0
            wait = AGAIN_S[min(died, len(AGAIN_S) - 1)]
            self._start_at[worker.index] = time.monotonic() + wait
            self._log({"event": "worker.died", "status": code, "again_in_s": wait}, worker)

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

    @contextmanager
    def _signals_caught(self) -> Iterator[socket.socket]:
        ours = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        inside, outside = socket.socketpair()
        inside.setblocking(False)
        outside.setblocking(False)

        def stop(number: int, _: object) -> None:
            self._stopped_by = self._stopped_by or number
            self._signals += 1

        # What nohup, or a shell's &, has told this process to ignore stays ignored.
        heeded = [n for n in ours if signal.getsignal(n) is not signal.SIG_IGN]
        before = {n: signal.signal(n, stop) for n in heeded}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        wakeup = signal.set_wakeup_fd(inside.fileno(), warn_on_full_buffer=False)
        try:
            yield outside
        finally:
            signal.set_wakeup_fd(wakeup)
            for number, handler in before.items():
                signal.signal(number, handler)
            inside.close()
            outside.close()

    def _log(self, said: Mapping[str, Any], worker: _Worker) -> None:
        """One JSON line on stderr. Nobody may be reading there: a line that would have to wait is dropped."""
        with suppress(OSError, TypeError, ValueError):
            line = _encode({"at": utc(), "worker": worker.index, **said}) + b"\n"
            if select.select([], [STDERR], [], 0)[1]:
                os.write(STDERR, line[: select.PIPE_BUF])

    # ------------------------------------------------------------ the child

    def _fork(self, index: int) -> None:
        said, tells = os.pipe()
        waits, hold = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                for other in self._workers.values():
                    os.close(other.said)
                    os.close(other.hold)
                os.close(said)
                os.close(hold)
                self._child(parent, tells, waits)
            finally:
                os._exit(70)
        os.close(tells)
        os.close(waits)
        os.set_blocking(said, False)
        worker = self._workers[pid] = _Worker(pid, index, said, hold, time.monotonic())
        self._selector.register(said, selectors.EVENT_READ, worker)

    def _child(self, parent: int, tells: int, waits: int) -> NoReturn:
        _die_with(parent)
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

        def go() -> None:
            if not os.read(waits, 1):
                os._exit(0)

        try:
            from ambidex.serving.worker import serve

            _more_descriptors()
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
            )
        except AmbidexError as error:
            tell("worker.error", {"error": {"kind": type(error).__name__, **error.to_dict()}})
            os._exit(error.exit_code)
        except BaseException as error:
            why = f"a worker failed: {type(error).__name__}: {error}"[:500]
            tell("worker.error", {"error": {"kind": "InternalError", "code": "internal.bug", "message": why}})
            os._exit(1)
        os._exit(0)


def _error(said: Mapping[str, Any]) -> AmbidexError:
    """An error of our tree that a worker told of."""
    kind = getattr(errors, str(said.get("kind")), None)
    known = isinstance(kind, type) and issubclass(kind, AmbidexError) and kind is not errors.MissingExtra
    make: Any = kind if known else errors.EnvironmentProblem
    rest = {k: said.get(k) for k in ("where", "found", "do")}
    error: AmbidexError = make(str(said.get("code")), str(said.get("message")), **rest)
    return error


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _more_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
