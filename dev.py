#!/usr/bin/env python3
"""One word does the whole job: ``python3 dev.py demo|test|check|lint|slow``.

Needs Python 3.11 or newer and a package index, nothing else. The first run makes ``.venv`` and installs the
locked versions into it; later runs reuse it until the lock changes.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = Path(os.environ.get("AMBIDEX_VENV", ROOT / ".venv"))
BIN = VENV / "bin"
LOCK = ROOT / "requirements.lock"


def run(*command: str | Path, env: dict[str, str] | None = None) -> int:
    """Run in the project's folder; returns the exit code."""
    # As the command line does: threads of linear algebra on small tables only wait for each other.
    threads = {"OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "1")}
    return subprocess.call([str(part) for part in command], cwd=ROOT, env={**os.environ, **threads, **(env or {})})


def must(*command: str | Path) -> None:
    """Run, and stop with its exit code if it fails."""
    if code := run(*command):
        sys.exit(code)


def set_up(*, everything: bool) -> None:
    """Make the virtual environment, unless one from this lock is there."""
    kind = "dev" if everything else "demo"
    wanted = hashlib.sha256(LOCK.read_bytes() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    stamps = [VENV / f"stamp-{k}" for k in ("dev", "demo") if k in (kind, "dev")]
    if any(s.exists() and s.read_text() == wanted for s in stamps):
        return
    print(f"setting up {VENV.name} (once)", file=sys.stderr, flush=True)
    if not (BIN / "python").exists():
        venv.create(VENV, with_pip=True)
    pip = (BIN / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    if everything:
        must(*pip, "-r", LOCK)
        must(*pip, "--no-deps", "--editable", ROOT)
    else:
        must(*pip, "-c", LOCK, "--editable", f"{ROOT}[demo]")
    (VENV / f"stamp-{kind}").write_text(wanted)


def lint() -> None:
    """Format, lint, types, the staircase of imports."""
    must(BIN / "ruff", "format", "--check", "src", "tests", "dev.py")
    must(BIN / "ruff", "check", "src", "tests", "dev.py")
    must(BIN / "mypy")
    must(BIN / "lint-imports", "--no-cache")


def main() -> None:
    """Do what the word says."""
    words = sys.argv[1:] or ["help"]
    word, rest = words[0], words[1:]
    if word == "demo":
        set_up(everything=False)
        sys.exit(run(BIN / "ambidex", "demo", *rest))
    if word not in ("test", "check", "lint", "slow"):
        print(__doc__)
        sys.exit(2)
    set_up(everything=True)
    if word in ("check", "lint"):
        lint()
    if word in ("check", "test"):
        # Two processes, a file each at a time: the road's tests follow each other in one workspace.
        side = () if "-n" in rest else ("-n", "2", "--dist", "loadfile")
        sys.exit(run(BIN / "python", "-m", "pytest", "-m", "not slow", *side, *rest))
    if word == "slow":
        side = () if "-n" in rest else ("-n", "2", "--dist", "worksteal")
        sys.exit(run(BIN / "python", "-m", "pytest", "-m", "slow", "--timeout", "3600", *side, *rest))


if __name__ == "__main__":
    main()
