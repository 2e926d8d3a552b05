"""What parent and children of the server's family of processes have in common."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from ambidex import errors
from ambidex.errors import AmbidexError

__all__ = ["die_with", "error_of", "more_descriptors", "signals_caught"]


def error_of(said: Mapping[str, Any]) -> AmbidexError:
    """An error of our tree that a worker told of."""
    kind = getattr(errors, str(said.get("kind")), None)
    known = isinstance(kind, type) and issubclass(kind, AmbidexError) and kind is not errors.MissingExtra
    make: Any = kind if known else errors.EnvironmentProblem
    rest = {k: said.get(k) for k in ("where", "found", "do")}
    error: AmbidexError = make(str(said.get("code")), str(said.get("message")), **rest)
    return error


def die_with(parent: int) -> None:
    """Let this process be killed when its parent ends."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def more_descriptors() -> None:
    """Ask for as many open files as a busy worker needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


@contextmanager
def signals_caught(stop: Callable[[int], None]) -> Iterator[socket.socket]:
    """Hand the signals that stop a server to ``stop``; gives a socket that becomes readable with each."""
    ours = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    inside, outside = socket.socketpair()
    inside.setblocking(False)
    outside.setblocking(False)

    # What nohup, or a shell's &, has told this process to ignore stays ignored.
    heeded = [n for n in ours if signal.getsignal(n) is not signal.SIG_IGN]
    before = {n: signal.signal(n, lambda number, _: stop(number)) for n in heeded}
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
