"""Who may touch a model's log: one process seals it, readers keep what they read from being removed."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["may_remove", "reading", "sealing", "written_now"]

SEALING = ".sealing"
READING = ".reading"


@contextmanager
def sealing(place: Path, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Whether this process may seal the log in a folder; True for one process at a time."""
    with _held(place / SEALING, fcntl.LOCK_EX, wait_s) as ours:
        yield ours


@contextmanager
def reading(place: Path) -> Iterator[None]:
    """While it lasts, no file of the log is removed."""
    with _held(place / READING, fcntl.LOCK_SH, 30.0):
        yield


@contextmanager
def may_remove(place: Path, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Whether nobody reads the log at the moment, so that files may be removed."""
    with _held(place / READING, fcntl.LOCK_EX, wait_s) as ours:
        yield ours


def written_now(path: Path) -> bool:
    """True while a writer has the file of frames open."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


@contextmanager
def _held(path: Path, kind: int, wait_s: float) -> Iterator[bool]:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:  # no such log, or a workspace that cannot be written: then nobody removes anything either
        yield kind == fcntl.LOCK_SH
        return
    try:
        end = time.monotonic() + wait_s
        ours = False
        while True:
            with suppress(OSError):
                fcntl.flock(fd, kind | fcntl.LOCK_NB)
                ours = True
            if ours or time.monotonic() >= end:
                break
            time.sleep(0.01)
        yield ours
    finally:
        os.close(fd)
