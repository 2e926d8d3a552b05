"""The command line: arguments onto the verbs, one form for results, one for errors.

stdout is the result, stderr is everything else. Exit codes: 0 done, 1 our bug, 2 usage,
3 data, 4 a check said no, 5 environment, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["main", "resolve"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Words after ``ambidex``; those of the process if None.

    Returns:
        The exit code.
    """
    # Two threads of linear algebra on tables of this size only wait for each other: `drivers` on 7,043 rows took
    # 8.5 s CPU with two on a busy machine, 1.6 s with one.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    words = list(sys.argv[1:] if argv is None else argv)
    # A column or file name may hold bytes that the terminal's encoding lacks; showing them must not fail.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if "_AMBIDEX_COMPLETE" in os.environ:
        return _complete(os.environ["_AMBIDEX_COMPLETE"])
    from ambidex.cli.run import Run

    return Run(words, resolve).code()


def resolve(verb: str) -> Callable[..., Any]:
    """The public function of a verb."""
    import importlib

    return getattr(importlib.import_module("ambidex.journeys"), verb)  # type: ignore[no-any-return]


def _complete(instruction: str) -> int:
    from click.shell_completion import shell_complete

    from ambidex.cli.parser import Settings, build

    group = build(lambda verb, said: None)
    return shell_complete(group, {"obj": Settings()}, "ambidex", "_AMBIDEX_COMPLETE", instruction)
