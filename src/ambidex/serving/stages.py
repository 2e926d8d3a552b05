"""Where the time of requests goes: six stages counted per version, and a few requests a minute kept whole.

This must cost less than what it measures. A request leaves a tuple of moments; the tick adds them up in bulk, counts
buckets only if its longest request left the first, and puts records together only for the few that are kept.
Times are whole nanoseconds of ``time.perf_counter_ns``.
"""

from __future__ import annotations

import gc
import heapq
import math
import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from operator import sub
from pathlib import Path
from typing import Any

from ambidex.data.run_folder import BOUNDS, STAGES, append_minute, write_snapshot

__all__ = ["KEPT", "Pauses", "Stages", "VersionStages"]

KEPT = 50
"""Slowest requests, and requests of the sample, that are kept a minute and version."""
COLD_S = 5.0
"""A request counts as a cold start so long after its version was loaded."""
BUCKETS = len(BOUNDS) + 1
UNIT = 100_000
"""First bound, ns; bucket k ends at UNIT·2^k."""
ROOM = 64 + 1
"""Counters a stage: one for every bit an int may have here, so that no bound is checked."""
PLAIN = ("requests", "rows", "failed", "refused", "shed")
COUNTED = (*STAGES, "total")
Timed = tuple[Any, ...]
"""When a request arrived whole, its turn came, it was parsed, encoded, scored, and its answer was made; its rows,
the id of the first one, the request (its ``fields`` and ``body`` are read if it is kept) and the connection (its
``opened``, loop time)."""


class Pauses:
    """What the garbage collector took. ``start`` hooks it, ``stop`` unhooks it."""

    def __init__(self) -> None:
        self.count = 0
        self.ns = 0
        self.longest = 0
        self.last_end = 0
        self.last_ns = 0
        self._began = 0

    def start(self) -> None:
        """Begin to count."""
        gc.callbacks.append(self._hook)

    def stop(self) -> None:
        """Count no more."""
        with suppress(ValueError):
            gc.callbacks.remove(self._hook)

    def _hook(self, phase: str, info: Mapping[str, int]) -> None:
        del info
        now = time.perf_counter_ns()
        if phase == "start":
            self._began = now
            return
        took = now - self._began
        self.count += 1
        self.ns += took
        self.longest = max(self.longest, took)
        self.last_end, self.last_ns = now, took


class VersionStages:
    """The counters of one version in one worker.

    Attributes:
        add: Called with the ``Timed`` of every request whose answer is ready: a list's own ``append``, since this is
            all that the road of a request pays here. The rest is done by the tick, for all its requests together.
        requests: Counted so far; ``rows``, ``failed`` (5xx), ``refused`` (4xx) and ``shed`` (429, 503) likewise.
        shadow_scored: Requests this version scored as the shadow.
        shadow_dropped: Those it did not score because of load.
        exemplars: By bucket of the whole time: trace id, seconds, when.
    """

    def __init__(self, owner: Stages, model: str, version: int) -> None:
        self.model = model
        self.version = version
        self._owner = owner
        self.loaded = time.perf_counter_ns()
        self.requests = self.rows = self.failed = self.refused = self.shed = 0
        self.shadow_scored = self.shadow_dropped = 0
        self._sums = [0] * len(COUNTED)
        self._buckets = [[0] * ROOM for _ in COUNTED]
        self._waiting: list[Timed] = []
        self.add = self._waiting.append
        self._tie = 0
        self.exemplars: dict[int, tuple[str, float, float]] = {}
        self._minute: dict[str, Any] = self._cumulative()
        self._restart()

    # ------------------------------------------------------------ every tick

    def tick(self, log: int) -> None:
        """Count the requests that were added since the last tick.

        Args:
            log: How long the log of this tick took, ns: every request of the tick waited for it.
        """
        waiting = self._waiting
        if not waiting:
            return
        count = len(waiting)
        arrived, began, parsed, encoded, scored, made, rows, *_ = zip(*waiting, strict=True)
        totals = list(map(sub, made, arrived))
        ends = (sum(arrived), sum(began), sum(parsed), sum(encoded), sum(scored), sum(made))
        sums = self._sums
        for k in range(5):
            sums[k] += ends[k + 1] - ends[k]
        sums[5] += log * count
        sums[6] += ends[5] - ends[0] + log * count
        longest = max(totals) + log
        if longest >= UNIT:
            self._spread(waiting, totals, log)
        seen = self.requests
        self.requests = seen + count
        self.rows += sum(rows)
        if longest > self._slow_from or self._next <= self.requests:
            now = time.perf_counter_ns()
            if longest > self._slow_from:
                for one, total in zip(waiting, totals, strict=True):
                    if total + log > self._slow_from:
                        self._keep_slow(total + log, self._record(one, log, now))
            while self._next <= self.requests:
                self._keep_sample(self._record(waiting[self._next - seen - 1], log, now))
        waiting.clear()

    def _spread(self, waiting: list[Timed], totals: list[int], log: int) -> None:
        """Counts beyond the first bucket, which needs none: it is what is left."""
        buckets = self._buckets
        for one, total in zip(waiting, totals, strict=True):
            if total + log >= UNIT:
                buckets[6][((total + log) // UNIT).bit_length()] += 1
            if total >= UNIT:
                for k in range(5):
                    took = one[k + 1] - one[k]
                    if took >= UNIT:
                        buckets[k][(took // UNIT).bit_length()] += 1
        if log >= UNIT:
            buckets[5][(log // UNIT).bit_length()] += len(waiting)

    # ------------------------------------------------------------ the few that are kept

    def _restart(self) -> None:
        self._slow: list[tuple[int, int, list[Any]]] = []
        self._slow_from = -1
        self._sample: list[list[Any]] = []
        self._next = self.requests + 1
        self._weight = math.exp(math.log(self._owner.random()) / KEPT)

    def _record(self, one: Timed, log: int, now: int) -> list[Any]:
        arrived, began, parsed, encoded, scored, made, rows, identity, request, connection = one
        total = made - arrived + log
        owner, pauses = self._owner, self._owner.pauses
        fields = getattr(request, "fields", None) or {}
        trace = _trace(fields.get(b"traceparent", b""))
        opened = getattr(connection, "opened", None)
        if trace:
            bucket = min((total // UNIT).bit_length(), BUCKETS - 1)
            self.exemplars[bucket] = (trace, total / 1e9, time.time())
        stages = (began - arrived, parsed - began, encoded - parsed, scored - encoded, made - scored, log)
        return [
            time.time_ns() // 1000, identity, trace, *(t // 1000 for t in stages),
            total // 1000, rows, len(getattr(request, "body", b"")), owner.index,
            pauses.last_ns // 1000 if pauses.last_end > arrived else 0, now - self.loaded < COLD_S * 1e9,
            None if opened is None else max(0, round((owner.clock() - opened) * 1000)),
        ]  # fmt: skip

    def _keep_slow(self, total: int, record: list[Any]) -> None:
        self._tie += 1
        entry = (total, self._tie, record)
        if len(self._slow) < KEPT:
            heapq.heappush(self._slow, entry)
        elif total > self._slow[0][0]:
            heapq.heapreplace(self._slow, entry)
        if len(self._slow) == KEPT:
            self._slow_from = self._slow[0][0]

    def _keep_sample(self, record: list[Any]) -> None:
        if len(self._sample) < KEPT:
            self._sample.append(record)
            if len(self._sample) < KEPT:
                self._next += 1
                return
        else:
            self._sample[int(self._owner.random() * KEPT)] = record
        # Li's algorithm L: how many requests to let pass, so that every one is kept with the same chance.
        self._next += int(math.log(self._owner.random()) / math.log1p(-self._weight)) + 1
        self._weight *= math.exp(math.log(self._owner.random()) / KEPT)

    # ------------------------------------------------------------ reading

    def counters(self) -> dict[str, Any]:
        """Cumulative counters, as ``data.run_folder.read_run`` describes a version."""
        said = self._cumulative()
        stages = {s: {"sum": said[s][0] / 1e9, "counts": said[s][1]} for s in COUNTED}
        plain = {k: said[k] for k in PLAIN}
        return {
            "model": self.model, "version": self.version, **plain,
            "shadow_scored": self.shadow_scored, "shadow_dropped": self.shadow_dropped,
            "stages": stages, "exemplars": {str(k): list(v) for k, v in self.exemplars.items()},
        }  # fmt: skip

    def take_minute(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """What came since the last call: a record of the minute, and the kept requests; None if nothing did."""
        before, now = self._minute, self._cumulative()
        self._minute = now
        plain = {k: now[k] - before[k] for k in PLAIN}
        if not any(plain.values()):
            return None
        said: dict[str, Any] = {"model": self.model, "version": self.version, "worker": self._owner.index, **plain}
        for stage in COUNTED:
            counts = [a - b for a, b in zip(now[stage][1], before[stage][1], strict=True)]
            while counts and counts[-1] == 0:
                counts.pop()
            said[stage] = [(now[stage][0] - before[stage][0]) / 1e9, *counts]
        slow = [record for _, _, record in sorted(self._slow, reverse=True)]
        kept = {"model": self.model, "version": self.version, "seen": plain["requests"], "slow": slow,
                "sample": self._sample}  # fmt: skip
        self._restart()
        return said, kept

    def _cumulative(self) -> dict[str, Any]:
        said: dict[str, Any] = {k: getattr(self, k) for k in PLAIN}
        for stage, buckets, total in zip(COUNTED, self._buckets, self._sums, strict=True):
            counts = [*buckets[: BUCKETS - 1], sum(buckets[BUCKETS - 1 :])]
            counts[0] = self.requests - sum(counts[1:])
            said[stage] = (total, counts)
        return said


class Stages:
    """All counters of one worker.

    Args:
        folder: The workspace's ``.ambidex/run``; None: nothing is written.
        index: The worker's place among the workers.
        clock: Loop time, seconds.
        server: Process id of the parent.
        seed: Of the sample.

    Attributes:
        pauses: Of the garbage collector.
    """

    def __init__(
        self, folder: Path | None, index: int = 0, *, clock: Callable[[], float] = time.monotonic, server: int = 0,
        seed: int | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.index = index
        self.clock = clock
        self.pauses = Pauses()
        self.random = random.Random(seed).random  # noqa: S311 - which requests are looked at is no secret
        self._server = server or os.getppid()
        self._started = time.time()
        self._versions: dict[tuple[str, int], VersionStages] = {}
        self._active: list[VersionStages] = []
        self._minute = int(time.time()) // 60
        self._written = -1.0

    def of(self, model: str, version: int) -> VersionStages:
        """The counters of a version; keep the object, not the names."""
        found = self._versions.get((model, version))
        if found is None:
            found = self._versions[model, version] = VersionStages(self, model, version)
            self._active = list(self._versions.values())
        return found

    def tick(self, log: int) -> None:
        """Called once a tick, with the time the log took, ns."""
        for version in self._active:
            version.tick(log)

    def versions(self) -> list[dict[str, Any]]:
        """Cumulative counters of every version this worker has served."""
        return [v.counters() for v in self._active]

    def snapshot(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As ``data.run_folder.read_run`` gives it."""
        pauses = self.pauses
        return {
            "pid": os.getpid(), "server": self._server, "index": self.index, "at": time.time(),
            "started": self._started, "rss": resident_bytes(),
            "gc": {"pauses": pauses.count, "seconds": pauses.ns / 1e9, "longest": pauses.longest / 1e9},
            **(more or {}), "versions": self.versions(),
        }  # fmt: skip

    def sweep(self, more: Callable[[], Mapping[str, Any]], *, last: bool = False) -> None:
        """Write the snapshot once a second and the minute once a minute; call it a few times a second.

        Whatever the disk does, serving goes on.
        """
        if self.folder is None:
            return
        now = time.time()
        with suppress(OSError):
            if last or int(now) // 60 != self._minute:
                self._end_minute()
                self._minute = int(now) // 60
            if last or now - self._written >= 1 or now < self._written:
                self._written = now
                if not self.folder.is_dir():
                    self.folder.mkdir(mode=0o700)
                write_snapshot(self.folder, self.snapshot(more()))

    def _end_minute(self) -> None:
        assert self.folder is not None
        taken = [t for v in self._active if (t := v.take_minute()) is not None]
        append_minute(self.folder, self._minute * 60, [a for a, _ in taken], [b for _, b in taken])


def resident_bytes() -> int:
    """Memory this process holds; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - four times a second on the loop
            return int(file.read().split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


_PAGE = os.sysconf("SC_PAGE_SIZE")


def _trace(field: bytes) -> str:
    """The trace id of a W3C ``traceparent``; empty for another."""
    parts: Sequence[bytes] = field.split(b"-")
    ok = len(parts) >= 4 and len(parts[1]) == 32 and parts[1] != b"0" * 32
    if not ok:
        return ""
    try:
        int(parts[1], 16)
    except ValueError:
        return ""
    return parts[1].decode()
