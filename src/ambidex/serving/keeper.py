"""The process that looks after the log while workers serve: to the disk at once, into Parquet now and then.

It holds no table library itself: a pass of sealing is a child of its own, which ends. It may be killed at any time;
the parent starts another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ambidex.data.log_locks import written_now
from ambidex.data.run_folder import clean
from ambidex.serving.log import Logging, Report
from ambidex.serving.processes import die_with

__all__ = ["keep"]

SYNC_S = 0.1
"""Power loss takes at most what was logged since; twice this is promised."""
LOOK_S = 10.0
"""How often it is looked whether something is to be sealed."""
LEAST_BYTES = 8 << 20
"""A file that is written is sealed as far as it goes once so much of it is not sealed yet,"""
LATEST_S = 600.0
"""or once it has not grown for so long."""
UNFINISHED_S = 86400.0
EXPIRE_S = 3600.0
CLEAN_S = 3600.0
NICE = 10


def keep(log_folder: Path, logging: Logging, report: Report, alive: Callable[[], bool]) -> None:
    """Look after a workspace's log until the parent is gone.

    Args:
        log_folder: The workspace's ``.ambidex/log``.
        logging: How long rows are kept.
        report: Told of passes and of their failures.
        alive: Waits a moment; False once the parent is gone.
    """
    with suppress(OSError):
        os.nice(NICE)
    sizes: dict[Path, int] = {}
    unsealed: dict[Path, tuple[int, float]] = {}
    looked = cleaned = float("-inf")
    expired = time.monotonic()
    while alive():
        now = time.monotonic()
        files = _files(log_folder)
        _sync(files, sizes)
        if now - cleaned >= CLEAN_S:
            cleaned = now
            with suppress(OSError):
                clean(log_folder.parent / "run")
        if now - looked >= LOOK_S:
            looked = now
            due = {path.parent.name for path, size in files.items() if _due(path, size, unsealed)}
            if now - expired >= EXPIRE_S:
                expired = now
                due |= set(logging.retain_s)
            if due and _seal_in_child(log_folder, sorted(due), logging, report):
                unsealed |= {path: (size, now) for path, size in files.items() if path.parent.name in due}
            for path in [p for p in unsealed if p not in files]:
                del unsealed[path]


def _files(log_folder: Path) -> dict[Path, int]:
    found = {}
    with suppress(OSError):
        for path in log_folder.glob("*/*.frames"):
            with suppress(OSError):
                found[path] = path.stat().st_size
    return found


def _sync(files: dict[Path, int], sizes: dict[Path, int]) -> None:
    """Files that have grown go to the disk."""
    for path, size in files.items():
        if sizes.get(path) == size:
            continue
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            os.fdatasync(fd)
            sizes[path] = size
        except OSError:
            pass
        finally:
            os.close(fd)
    for path in [p for p in sizes if p not in files]:
        del sizes[path]


def _due(path: Path, size: int, unsealed: dict[Path, tuple[int, float]]) -> bool:
    """Whether a file holds enough that is not sealed, or has not grown for long, or lost its writer."""
    before, when = unsealed.get(path, (0, float("-inf")))
    if size == before:
        # Sealed as far as it goes: only a writer that has gone makes it worth a pass, now and then.
        return size > 0 and time.monotonic() - when > LATEST_S and not written_now(path)
    try:
        still = time.time() - path.stat().st_mtime
    except OSError:
        return False
    if path.name.startswith("score-") and still < UNFINISHED_S:
        return False
    if size - before >= LEAST_BYTES:
        return True
    return still > LATEST_S or (still > LOOK_S and not written_now(path))


def _seal_in_child(log_folder: Path, models: list[str], logging: Logging, report: Report) -> bool:
    """A pass, in a process that ends with it; True if it came to its end."""
    keeper = os.getpid()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            die_with(keeper)
            code = _seal(log_folder, models, logging, report)
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if status != 0:
        report("log.not-sealed", {"status": os.waitstatus_to_exitcode(status)})
    return status == 0


def _seal(log_folder: Path, models: list[str], logging: Logging, report: Report) -> int:
    from ambidex.data.sealing import seal

    wrong = 0
    for model in models:
        began = time.monotonic()
        try:
            said = seal(
                log_folder, model, least_bytes=LEAST_BYTES, wait_s=LATEST_S, retain_s=logging.retain_s.get(model)
            )
        except Exception as error:  # one model's log must not stop the others'
            wrong = 1
            report("log.not-sealed", {"model": model, "why": str(error)[:300] or type(error).__name__})
            continue
        if said.rows or said.expired or said.merged:
            took = round(time.monotonic() - began, 3)
            counts = {"rows": said.rows, "bytes": said.bytes, "expired": said.expired, "merged": said.merged}
            report("log.sealed", {"model": model, **counts, "seconds": took})
    return wrong
