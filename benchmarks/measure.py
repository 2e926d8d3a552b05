"""Child processes under the clock: CPU seconds, peak memory, and the answer they print."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any

__all__ = ["Run", "run", "table"]


@dataclass(frozen=True)
class Run:
    """One child.

    Attributes:
        name: What ran.
        cpu: User and system seconds of the child, imports included.
        wall: Seconds.
        peak: Greatest resident memory, MiB.
        said: The JSON of its last line, or None.
        failed: The end of what it wrote to stderr, if it did not end well.
    """

    name: str
    cpu: float
    wall: float
    peak: float
    said: Any = None
    failed: str = ""


def run(
    name: str, code: str, *arguments: str, python: str = sys.executable, environment: dict[str, str] | None = None
) -> Run:
    """Run Python code in a process of its own and wait for it."""
    began = time.perf_counter()
    child = subprocess.Popen(
        [python, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    assert child.stdout is not None and child.stderr is not None
    out = child.stdout.read()
    err = child.stderr.read()
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - began
    peak = used.ru_maxrss / (1024 if sys.platform != "darwin" else 1 << 20)
    lines = out.strip().splitlines()
    if child.returncode:
        return Run(name, used.ru_utime + used.ru_stime, wall, peak, None, " ".join(err.split())[-200:] or "killed")
    try:
        said = json.loads(lines[-1]) if lines else None
    except ValueError:
        said = lines[-1]
    return Run(name, used.ru_utime + used.ru_stime, wall, peak, said)


def table(runs: list[Run], *, against: str) -> str:
    """The runs as Markdown, each as a multiple of one of them."""
    by_name = {r.name: r for r in runs}
    base = by_name[against]
    out = [f"| what | CPU s | wall s | peak MiB | CPU × {against} | memory × {against} |", "|---|---|---|---|---|---|"]
    for r in runs:
        if r.failed:
            out.append(f"| {r.name} | failed | | {r.peak:,.0f} | | {r.failed} |")
            continue
        ratios = f"{r.cpu / base.cpu:.2f} | {r.peak / base.peak:.2f}" if not base.failed else "–|–"
        out.append(f"| {r.name} | {r.cpu:.2f} | {r.wall:.2f} | {r.peak:,.0f} | {ratios} |")
    return "\n".join(out)
