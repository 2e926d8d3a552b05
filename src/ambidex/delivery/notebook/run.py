"""Run cells in a child: own process group, limits, no network as far as can be done, nobody's variables."""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

import contextlib
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ambidex.errors import EnvironmentProblem

__all__ = ["MEMORY", "SECONDS", "CellFailed", "Child", "asset"]

SECONDS = 900
MEMORY = 8 << 30
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TZ", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")


class CellFailed(Exception):
    """A cell raised, ran out of time or of memory.

    Attributes:
        cell: Its place on the page, or None.
        line: Line of the cell, from 1; 0 if not known.
        kind: Name of the exception, ``time`` or ``memory``.
        what: Its words.
        module: The module that is missing, for an import.
    """

    def __init__(self, answer: Mapping[str, Any]) -> None:
        super().__init__(answer.get("what", ""))
        self.cell = answer.get("cell")
        self.line = int(answer.get("line") or 0)
        self.kind = str(answer.get("error"))
        self.what = str(answer.get("what"))
        self.module = answer.get("module")
        self.trace = str(answer.get("trace", ""))


def asset(name: str) -> str:
    """The text of a file that goes to the child or into the package."""
    return (Path(__file__).parent / "assets" / name).read_text(encoding="utf-8")


class Child:
    """A child that runs cells and answers questions about what came out.

    Args:
        cwd: Where relative paths start.
        python: The interpreter.
        shell: Whether programs may be started.
        seconds: Time limit of the whole.
        memory: Limit of the address space, bytes.
    """

    def __init__(
        self, cwd: Path, *, python: str | None = None, shell: bool = False, seconds: float = SECONDS,
        memory: int = MEMORY, files: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.scratch = Path(tempfile.mkdtemp(prefix="ambidex-notebook-"))
        self.scratch.chmod(0o700)
        self.ends = time.monotonic() + seconds
        self.seconds = seconds
        self.at: int | None = None
        home = self.scratch / "home"
        home.mkdir()
        environment = {k: os.environ[k] for k in _KEPT if k in os.environ}
        environment |= {
            "HOME": str(home), "TMPDIR": str(self.scratch), "MPLCONFIGDIR": str(home), "MPLBACKEND": "Agg",
            "XDG_CACHE_HOME": str(home), "LOKY_MAX_CPU_COUNT": "1", "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
        }  # fmt: skip
        program = self.scratch / "child.py"
        program.write_text(asset("child.py.in"), encoding="utf-8")
        try:
            self.process = subprocess.Popen(
                [python or sys.executable, "-I", str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, env=environment, start_new_session=True, cwd=str(self.scratch),
            )  # fmt: skip
        except OSError as error:
            shutil.rmtree(self.scratch, ignore_errors=True)
            raise EnvironmentProblem(
                "env.child", f"{python} does not start: {error.strerror}", where="--python"
            ) from error
        self._buffer = b""
        self._send({
            "frozen": asset("frozen.py"), "state": asset("state.py"), "scratch": str(self.scratch), "cwd": str(cwd), "shell": shell,
            "memory": memory, "seconds": int(seconds) + 5, "files": list(files),
            "paths": [str(cwd)],
        })  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the child and all that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def run(self, steps: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Run statements: [{place, cell, code, names}].

        Raises:
            CellFailed: One raised, or the limits were reached.
        """
        return self._ask({"op": "run", "steps": list(steps)})

    def do(self, code: str) -> Any:
        """Run code of ours in the child; returns what it set as ``answer``."""
        return self._ask({"op": "do", "code": code})["answer"]

    def _ask(self, order: Mapping[str, Any]) -> dict[str, Any]:
        self._send(order)
        while True:
            answer = self._line()
            if "ok" not in answer:
                self.at = answer.get("at")
                continue
            if not answer["ok"]:
                raise CellFailed(answer)
            return answer

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError:
            return  # it has ended: reading says so

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        out = self.process.stdout.fileno()
        with selectors.DefaultSelector() as waiting:
            waiting.register(out, selectors.EVENT_READ)
            while b"\n" not in self._buffer:
                left = self.ends - time.monotonic()
                if left <= 0:
                    what = f"no end within {self.seconds:g} s"
                    raise CellFailed({"cell": self.at, "error": "time", "what": what})
                if not waiting.select(min(left, 1.0)):
                    continue
                some = os.read(out, 1 << 20)
                if not some:
                    code = self.process.wait()
                    what = f"the child ended with status {code} (time or memory limit)"
                    raise CellFailed({"cell": self.at, "error": "ended", "what": what})
                self._buffer += some
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer
