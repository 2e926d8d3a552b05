"""``import ambidex`` costs next to nothing and starts nothing."""

from __future__ import annotations

import resource
import subprocess
import sys

BUDGET_S = 0.25


def test_import_is_cheap():
    def cpu() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", "import ambidex"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    cpu()
    assert min(cpu() for _ in range(3)) < 2 * BUDGET_S


def test_import_brings_and_starts_nothing():
    code = (
        "import sys, threading, logging; handlers = list(logging.getLogger().handlers); import ambidex\n"
        "heavy = {'numpy', 'click', 'duckdb', 'rich', 'pyarrow', 'scipy', 'sqlalchemy', 'altair'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert threading.active_count() == 1\n"
        "assert logging.getLogger().handlers == handlers\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
