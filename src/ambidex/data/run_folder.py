"""What serving workers tell about themselves in ``.ambidex/run``: for pages, metrics, watching and investigating.

``worker-PID.json``: a snapshot a second, replaced as a whole. ``minutes-DAY-PID.frames``: one record a minute and
version. ``slow-DAY-PID.frames``: the slowest requests of that minute and a uniform sample of all, compressed.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from ambidex.data.frames import Frame, read_payloads

__all__ = [
    "BOUNDS", "RECORD", "STAGES", "append_minute", "clean", "read_minutes", "read_run", "read_slow", "write_snapshot",
]  # fmt: skip

STAGES = ("queue", "parse", "features", "predict", "serialise", "log")
"""What a request goes through, in this order; their times add up to its whole."""
BOUNDS = tuple(round(0.0001 * 2**k, 4) for k in range(17))
"""Upper bounds of the buckets in seconds; one more bucket holds what is beyond the last."""
RECORD = (
    "at", "id", "trace", *(f"{s}_us" for s in STAGES), "total_us", "rows", "bytes", "worker", "gc_us", "cold",
    "connection_ms",
)  # fmt: skip
"""Fields of one kept request; ``at`` is µs since 1970, ``cold`` whether its version had just been loaded."""
MINUTES_DAYS = 14
SLOW_DAYS = 7
_DAY = re.compile(r"(minutes|slow)-(\d{8})-\d+\.frames")


def write_snapshot(folder: Path, said: Mapping[str, Any]) -> None:
    """Replace this process's snapshot; nothing waits for the disk."""
    path = folder / f"worker-{os.getpid()}.json"
    temporary = path.with_suffix(".new")
    temporary.write_bytes(msgspec.json.encode(said))
    temporary.replace(path)


def append_minute(folder: Path, minute: int, versions: list[dict[str, Any]], kept: list[dict[str, Any]]) -> None:
    """Append a minute's records.

    Args:
        folder: ``.ambidex/run``.
        minute: Its first second since 1970.
        versions: One record a version: see ``read_minutes``.
        kept: One record a version: see ``read_slow``.
    """
    day = time.strftime("%Y%m%d", time.gmtime(minute))
    for kind, records in (("minutes", versions), ("slow", kept)):
        if not records:
            continue
        path = folder / f"{kind}-{day}-{os.getpid()}.frames"
        parts = [msgspec.json.encode({"minute": minute, **r}) for r in records]
        data = b"".join(Frame.wrap(p if kind == "minutes" else zlib.compress(p, 1)) for p in parts)
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, data)
        finally:
            os.close(fd)


def read_run(folder: Path) -> list[dict[str, Any]]:
    """The snapshots of the workers of servers that run now: ``alive`` false for one that was replaced.

    Counters of a dead worker stay in the sum as long as its server runs, so that totals never fall. Keys: ``pid,
    server, index, alive, at, started`` (seconds since 1970), ``rss`` (bytes), ``refs``, ``in_flight``,
    ``connections``, ``unlogged`` (rows by model), ``counts`` (the worker's), ``gc`` (``pauses, seconds, longest``),
    ``versions``: a list of ``model, version, requests, rows, failed, refused, shed, shadow_scored, shadow_dropped``,
    ``stages`` (by stage and ``total``: ``sum`` in seconds, ``counts`` a list over ``BOUNDS`` and beyond),
    ``exemplars`` (by bucket: trace id, seconds, time).

    Args:
        folder: The workspace's ``.ambidex/run``.
    """
    found = []
    for path in sorted(folder.glob("worker-*.json")):
        with suppress(OSError, msgspec.DecodeError):
            said = msgspec.json.decode(path.read_bytes())
            if _runs(said["server"]):
                found.append({**said, "alive": _runs(said["pid"])})
    return sorted(found, key=lambda s: (s["server"], s["index"], s["started"]))


def read_minutes(folder: Path, since: float, until: float | None = None) -> list[dict[str, Any]]:
    """One record a minute, version and worker, oldest first.

    Keys: ``minute`` (first second since 1970), ``model, version, worker, requests, rows, failed`` (5xx), ``refused``
    (4xx), ``shed`` (429, 503), ``total`` and each of ``STAGES``: ``[seconds, counts...]`` over ``BOUNDS`` and beyond,
    trailing zeros left out.

    Args:
        folder: The workspace's ``.ambidex/run``.
        since: Seconds since 1970.
        until: The same; None: now.
    """
    return list(_records(folder, "minutes", since, until))


def read_slow(folder: Path, since: float, until: float | None = None) -> list[dict[str, Any]]:
    """Kept requests a minute, version and worker: ``minute, model, version, seen`` (requests of that minute), ``slow``
    (the slowest, up to 50) and ``sample`` (uniform, up to 50), each a list of values in the order of ``RECORD``."""
    return list(_records(folder, "slow", since, until))


def _records(folder: Path, kind: str, since: float, until: float | None) -> Iterator[dict[str, Any]]:
    until = time.time() if until is None else until
    first, last = (time.strftime("%Y%m%d", time.gmtime(max(0.0, t))) for t in (since - 60, until))
    found = []
    for path in folder.glob(f"{kind}-*.frames"):
        named = _DAY.fullmatch(path.name)
        if named is None or not first <= named[2] <= last:
            continue
        with suppress(OSError):
            for payload, _ in read_payloads(path):
                with suppress(zlib.error, msgspec.DecodeError):
                    record = msgspec.json.decode(zlib.decompress(payload) if kind == "slow" else payload)
                    if since - 60 < record["minute"] <= until:
                        found.append(record)
    yield from sorted(found, key=lambda r: (r["minute"], r["model"], r["version"]))


def clean(folder: Path, now: float | None = None) -> None:
    """Remove what servers that are gone have left, and old minutes."""
    now = time.time() if now is None else now
    for path in folder.glob("worker-*.*"):
        with suppress(OSError):
            try:
                server = msgspec.json.decode(path.read_bytes())["server"]
            except (msgspec.DecodeError, KeyError, TypeError):
                server = 0
            if not _runs(server) and now - path.stat().st_mtime > 1:
                path.unlink(missing_ok=True)
    for path in folder.glob("*.frames"):
        named = _DAY.fullmatch(path.name)
        days = MINUTES_DAYS if named and named[1] == "minutes" else SLOW_DAYS
        if named and named[2] < time.strftime("%Y%m%d", time.gmtime(now - 86400 * days)):
            path.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True
