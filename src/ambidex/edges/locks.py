"""One writer at a time, in the order of arrival, and none while the process forks."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["FairLock", "FileLock", "Gate"]


class FairLock:
    """A lock among threads that is handed to whoever has waited longest.

    ``threading.Lock`` lets the thread that gives it back take it again before the others wake:
    20 threads × 25 registrations then saw a p99 of 1.0 s against 0.1 s.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._held = False
        self._waiting: deque[threading.Event] = deque()

    def acquire(self, timeout: float) -> bool:
        """Wait at most so many seconds; True if the lock is now held."""
        turn = threading.Event()
        with self._guard:
            if not self._held:
                self._held = True
                return True
            self._waiting.append(turn)
        try:
            if turn.wait(timeout):
                return True
        except BaseException:  # Ctrl-C while waiting
            if not self._leave(turn):
                self.release()
            raise
        return not self._leave(turn)

    def _leave(self, turn: threading.Event) -> bool:
        """Stop waiting; False if the lock was handed over in the last moment."""
        with self._guard:
            if turn.is_set():
                return False
            self._waiting.remove(turn)
            return True

    def release(self) -> None:
        """Hand it on."""
        with self._guard:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._held = False


class FileLock:
    """A lock among the processes of a machine; the kernel frees it when its holder dies.

    Two files: whoever holds ``lock.next`` is the next to get ``lock``, so that a process that gives
    the lock back and wants it again cannot overtake those who wait. With one file, polled, 20
    processes × 25 registrations saw a p99 of 2.5 to 5.7 s.

    Args:
        path: The lock's file, made if it is not there; ``.next`` is added for the other.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: tuple[int, int] | None = None

    def acquire(self, timeout: float) -> bool:
        """Wait at most so many seconds; True if the lock is now held.

        Raises:
            OSError: If the files cannot be made.
        """
        following, held = self._open()
        if _try(following) and _try(held):
            fcntl.flock(following, fcntl.LOCK_UN)
            return True
        return self._wait(following, held, timeout)

    def _wait(self, following: int, held: int, timeout: float) -> bool:
        # A blocking flock keeps the order of arrival but cannot give up, so a thread of its own waits.
        # If we give up first, the two files are that thread's to close, which frees what it got.
        guard = threading.Lock()
        done = threading.Event()
        given_up = False

        def wait() -> None:
            with suppress(OSError):
                fcntl.flock(following, fcntl.LOCK_EX)
                fcntl.flock(held, fcntl.LOCK_EX)
                fcntl.flock(following, fcntl.LOCK_UN)
            with guard:
                done.set()
                if given_up:
                    os.close(following)
                    os.close(held)

        threading.Thread(target=wait, name="ambidex-lock", daemon=True).start()
        try:
            done.wait(timeout)
        except BaseException:  # Ctrl-C while waiting
            with guard:
                if done.is_set():
                    self.release()
                else:
                    given_up, self._files = True, None
            raise
        with guard:
            if not done.is_set():
                given_up, self._files = True, None
        return not given_up

    def release(self) -> None:
        """Give it back."""
        if self._files is not None:
            fcntl.flock(self._files[1], fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the files of a process that does not hold the lock, e.g. after a fork."""
        if self._files is not None:
            for descriptor in self._files:
                with suppress(OSError):
                    os.close(descriptor)
            self._files = None

    def _open(self) -> tuple[int, int]:
        if self._files is None:
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
            following = os.open(self._path.with_name(self._path.name + ".next"), flags, 0o600)
            try:
                self._files = following, os.open(self._path, flags, 0o600)
            except OSError:
                os.close(following)
                raise
        return self._files


def _try(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Gate:
    """Counts the threads inside, and can be shut: a fork must not happen while SQLite is at work.

    SQLite keeps its file locks in memory that a fork copies. A child that opened the file while
    the parent had it open would believe in locks that only the parent holds, and the parent
    could then delete the write-ahead log under the child's feet.
    """

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._inside: dict[int, int] = {}
        self._shut = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Come in as soon as the gate is open."""
        me = threading.get_ident()
        with self._change:
            while self._shut and me not in self._inside:
                self._change.wait()
            self._inside[me] = self._inside.get(me, 0) + 1
        try:
            yield
        finally:
            with self._change:
                self._inside[me] -= 1
                if not self._inside[me]:
                    del self._inside[me]
                    self._change.notify_all()

    def shut(self, wait: float) -> bool:
        """Let nobody in and wait for those inside; True if nobody is left after so many seconds."""
        give_up = time.monotonic() + wait
        me = threading.get_ident()
        with self._change:
            self._shut = True
            while set(self._inside) - {me} and time.monotonic() < give_up:
                self._change.wait(0.1)
            return not self._inside

    def open(self) -> None:
        """Let them in again."""
        with self._change:
            self._shut = False
            self._change.notify_all()
