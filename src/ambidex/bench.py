"""How many predictions a second a version gives on this machine: a private server, a load generator, a ceiling.

The server is a process of its own with its log in a folder that is thrown away: nothing of the workspace changes.
What one core does is the requests divided by the CPU seconds of the server's processes, which holds whether or not
the load generator, on the same machine, keeps up.
"""

from __future__ import annotations

import json
import math
import os
import random
import selectors
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ambidex.bundle.open import OpenBundle
from ambidex.delivery.references import resolve
from ambidex.desk import Desk
from ambidex.errors import DataError, EnvironmentProblem
from ambidex.report.answer import Mark, Result
from ambidex.report.words import plural
from ambidex.serving.load import STALL_S, Load, closed_loop, open_loop, request_bytes
from ambidex.workspace import Workspace

__all__ = ["bench", "bodies_of"]

BODIES = 1000
"""Distinct requests: few that repeat make a scorer look faster than it is."""
CALM = 0.6
"""Share of what a core can do at most that a core should be given, so that a stall is caught up with."""
READY_S = 60.0


def bench(workspace: Workspace, reference: str, *, target: float | None, seconds: float, batch: int) -> Result:
    """Measure a version: one row a request, a batch a request, at half its rate in an open loop, and the ceiling.

    Args:
        workspace: Where the version is.
        reference: `NAME`, `NAME@7` or `NAME@live`.
        target: Predictions a second that are wanted.
        seconds: Of each of the four measurements.
        batch: Rows of a request of many.

    Raises:
        NotFound: No such model or version.
        Refused: The version does not open.
        EnvironmentProblem: ``env.child`` where the private server does not come up.
    """
    from ambidex.delivery.release import open_version

    model, number = resolve(workspace.store, reference, default="live")
    opened = open_version(workspace, model, number)
    single = bodies_of(opened, rows=1, count=BODIES)
    many = bodies_of(opened, rows=batch, count=20)
    path = f"/predict/{model}"
    one, lot = ([request_bytes(path, b) for b in found] for found in (single, many))
    with _server(workspace.folder, model, number) as (port, pid):
        closed_loop("127.0.0.1", port, one, seconds=min(1.0, seconds / 2))  # warm
        ceiling, ceiling_cpu = _measured(pid, lambda: closed_loop(
            "127.0.0.1", port, [request_bytes("/v2/health/live")], seconds=seconds))  # fmt: skip
        alone, alone_cpu = _measured(pid, lambda: closed_loop("127.0.0.1", port, one, seconds=seconds))
        whole, whole_cpu = _measured(pid, lambda: closed_loop("127.0.0.1", port, lot, connections=4, seconds=seconds))
        calm = max(1.0, alone.rate / 2)
        paced = open_loop("127.0.0.1", port, one, rate=calm, seconds=seconds)
    if not alone.answered:
        raise EnvironmentProblem(
            "env.child", f"no request to {model}@{number} was answered", found=f"{alone.failed} failed",
            do=f"ambidex serve {model}",
        )  # fmt: skip
    per_core, top = alone.answered / alone_cpu, ceiling.answered / ceiling_cpu
    runtime, reason = opened.runtime
    data: dict[str, Any] = {
        "model": model,
        "version": number,
        "runtime": runtime,
        "reason": reason,
        "per_core": per_core,
        "cpu_us": 1e6 / per_core,
        "rate": alone.rate,
        "failed": alone.failed + whole.failed + paced.failed,
        "batch": {"rows": batch, "rows_per_core": whole.answered * batch / whole_cpu},
        "latency": _latency(paced, calm),
        "ceiling": {"per_core": top, "share": per_core / top},
        "target": target,
        "cores": None if target is None else max(1, math.ceil(target / (CALM * per_core))),
        "cores_here": os.cpu_count(),
    }
    return Result(verb="bench", data=data, lines=_lines(data), next=_next(data))


def bodies_of(opened: OpenBundle, *, rows: int, count: int, seed: int = 1) -> list[bytes]:
    """Bodies of requests: each column's values are drawn from those of the golden rows, so that few bodies repeat.

    >>> from types import SimpleNamespace as Made
    >>> golden = {"rows": [{"a": 1.0}, {"a": 2.0}]}
    >>> bodies_of(Made(golden=golden, schema=Made(names=["a"])), rows=1, count=2)[0][:9]
    b'{"rows":['
    """
    golden = opened.golden["rows"]
    if not golden:
        raise DataError("data.empty", "the version has no golden rows to make requests from", do="package it again")
    columns = {name: [row.get(name) for row in golden] for name in opened.schema.names}
    draw = random.Random(seed)  # noqa: S311  # made-up requests, no secret
    made = []
    for _ in range(count):
        body = [{name: draw.choice(values) for name, values in columns.items()} for _ in range(rows)]
        made.append(json.dumps({"rows": body}, separators=(",", ":"), ensure_ascii=False).encode())
    return made


def _latency(load: Load, rate: float) -> dict[str, Any]:
    p50, p99 = load.quantile(0.5), load.quantile(0.99)
    return {
        "at_rate": rate,
        "p50_ms": None if p50 is None else 1000 * p50,
        "p99_ms": None if p99 is None else 1000 * p99,
        "stalls": sum(t > STALL_S for t in load.times),
    }


def _lines(d: Mapping[str, Any]) -> tuple[tuple[Mark, str], ...]:
    latency = d["latency"]
    mark: Mark = "✓" if d["runtime"] == "compiled" else "▲"
    how = "compiled" if d["runtime"] == "compiled" else f"fallback: {d['reason']}"
    lines: list[tuple[Mark, str]] = [
        (mark, f"{d['model']}@{d['version']} answers {d['per_core']:,.0f} one-row requests per core-second ({how})"),
        (" ", f"ceiling    {d['ceiling']['per_core']:,.0f} for an answer that never changes: "
              f"{100 * d['ceiling']['share']:.0f}% of it"),
        (" ", f"many rows  {d['batch']['rows_per_core']:,.0f} rows per core-second, {d['batch']['rows']} a request"),
    ]  # fmt: skip
    if latency["p99_ms"] is not None:
        told = f"p50 {latency['p50_ms']:.2f} ms, p99 {latency['p99_ms']:.2f} ms at {latency['at_rate']:,.0f} a second"
        stalls = f"; {latency['stalls']:,} took over {1000 * STALL_S:.0f} ms" if latency["stalls"] else ""
        lines.append((" ", f"latency    {told}, load generator on the same machine{stalls}"))
    if d["failed"]:
        lines.append(("■", f"{d['failed']:,} requests failed"))
    if d["cores"] is not None:
        cores, here = d["cores"], d["cores_here"]
        told = f"target     {d['target']:,.0f} a second need {plural(cores, 'core')} at {CALM:.0%} load"
        lines.append(("✓" if here and cores <= here else "▲", f"{told}; this machine has {here}"))
    return tuple(lines)


def _next(d: Mapping[str, Any]) -> tuple[str, ...]:
    workers = "" if d["cores"] in (None, 1) else f" --workers {d['cores']}"
    return (f"ambidex serve {d['model']}{workers}",)


# ---------------------------------------------------------------- the private server


class _Pinned(Desk):
    """The workspace as the private server sees it: one version is live, and no roll-out runs."""

    def __init__(self, folder: Path, model: str, number: int) -> None:
        super().__init__(folder, [model])
        self._pinned = {model: {"live": number}}

    def resolve(self) -> dict[str, dict[str, int | None]]:
        return {model: dict(places) for model, places in self._pinned.items()}

    def rollouts(self, models: Sequence[str]) -> dict[str, Any]:
        return {}


@contextmanager
def _server(folder: Path, model: str, number: int) -> Iterator[tuple[int, int]]:
    """Port and process of a server of this version only."""
    with tempfile.TemporaryDirectory(prefix="ambidex-bench-") as log:
        command = [sys.executable, "-m", "ambidex.bench", str(folder), model, str(number), log]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
        try:
            yield _port(child, f"{model}@{number}"), child.pid
        finally:
            child.send_signal(signal.SIGTERM)
            try:
                child.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.communicate()


def _port(child: subprocess.Popen[bytes], ref: str) -> int:
    assert child.stdout is not None
    with selectors.DefaultSelector() as waiting:
        waiting.register(child.stdout, selectors.EVENT_READ)
        line = child.stdout.readline() if waiting.select(READY_S) else b""
    if not line:
        child.kill()
        said = child.communicate()[1].decode(errors="replace").strip().splitlines()
        raise EnvironmentProblem(
            "env.child", f"the private server of {ref} did not come up", found=said[-1][:200] if said else "no word",
            do="ambidex doctor",
        )  # fmt: skip
    return int(line)


def _measured(pid: int, run: Any) -> tuple[Load, float]:
    """A load, and the CPU seconds that the server's processes spent on it."""
    before = _cpu(pid)
    load: Load = run()
    return load, max(_cpu(pid) - before, 1e-6)


def _cpu(pid: int) -> float:
    """CPU seconds of a process and its children, from /proc."""
    tick, total = os.sysconf("SC_CLK_TCK"), 0.0
    parents: dict[int, int] = {}
    spent: dict[int, float] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # ended meanwhile
            parents[int(entry.name)] = int(fields[1])
            spent[int(entry.name)] = (int(fields[11]) + int(fields[12])) / tick
    for process, seconds in spent.items():
        line = process
        while line not in (0, 1, pid) and line in parents:
            line = parents[line]
        total += seconds if line == pid else 0.0
    return total


def _serve(folder: str, model: str, number: str, log: str) -> None:
    from ambidex.serving.supervisor import run

    def ready(address: str, *_: str) -> None:
        print(address.rpartition(":")[2], flush=True)

    run(
        lambda: _Pinned(Path(folder), model, int(number)), host="127.0.0.1", port=0, workers=1, log_folder=Path(log),
        ready=ready,
    )  # fmt: skip


if __name__ == "__main__":
    _serve(*sys.argv[1:])
