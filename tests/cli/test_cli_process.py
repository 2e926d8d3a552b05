"""The real process: cost, pipes, signals, terminals."""

from __future__ import annotations

import json
import os
import pty
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

AMBIDEX = [sys.executable, "-m", "ambidex.cli"]
FAKE = """
import sys, types
from ambidex.report.answer import Result
fake = types.ModuleType("ambidex.journeys")
{body}
sys.modules["ambidex.journeys"] = fake
from ambidex.cli import main
sys.exit(main())
"""
LISTING = """
def status(*, at):
    return Result(verb="status", data={}, lines=tuple(("✓", f"line {i}") for i in range(200_000)))
fake.status = status
"""
LONG = """
def status(*, at):
    line = "a sentence that is longer than the terminal is wide, so that it must be wrapped somewhere sensible"
    return Result(verb="status", data={}, lines=(("▲", line),), next=("ambidex next",))
fake.status = status
"""
SLEEPER = """
import time
def status(*, at):
    print("ready", file=sys.stderr, flush=True)
    time.sleep(30)
fake.status = status
"""


def fake(body: str) -> list[str]:
    return [sys.executable, "-c", FAKE.format(body=body), "status"]


def cpu_of(command: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help_costs_little():
    cpu_of([*AMBIDEX, "--help"])
    assert min(cpu_of([*AMBIDEX, "--help"]) for _ in range(3)) < 2 * 0.15


def test_usage_errors_import_nothing_heavy():
    code = (
        "import sys; from ambidex.cli import main; main(['drivers', 't.csv', '--targt', 'y']); main(['--help']);"
        "heavy = {'numpy', 'duckdb', 'pyarrow', 'rich', 'scipy', 'altair', 'sqlalchemy'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_a_reader_that_leaves_is_met_with_silence():
    done = subprocess.run(
        ["bash", "-c", '"$@" | head -1; echo "${PIPESTATUS[0]}"', "bash", *fake(LISTING)],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "✓ line 0\n0\n" and done.stderr == ""


def test_a_full_disk_is_an_environment_problem():
    with open("/dev/full", "w") as full:
        done = subprocess.run([*AMBIDEX, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 5 and "env.disk" in done.stderr and "Traceback" not in done.stderr


def test_ctrl_c_says_so_and_exits_130():
    child = subprocess.Popen([*fake(SLEEPER), "--json"], stdout=-1, stderr=-1, text=True)
    assert child.stderr.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=20)
    assert child.returncode == 130 and "Traceback" not in err
    assert json.loads(out)["error"]["code"] == "env.interrupted"


def test_bytes_that_are_no_text_are_shown_not_fatal(tmp_path):
    for encoding in ("utf-8", "ascii"):
        done = subprocess.run(
            [*AMBIDEX, "drivers", b"t\xff\xc3\xa9.csv", "--targt", "y", "--json"],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        assert done.returncode == 2 and json.loads(done.stdout)["error"]["code"] == "usage.option"
        plain = subprocess.run(
            [*AMBIDEX, "drivers", b"t\xff\xc3\xa9.csv", "--targt", "y"],
            capture_output=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        assert plain.returncode == 2 and plain.stderr.startswith(b"error `drivers` has no option --targt")


def on_terminal(command: list[str], *, columns: int, **env: str) -> str:
    """What a terminal of that width receives on stdout and stderr."""
    import fcntl
    import struct
    import termios

    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLUMNS", "FORCE_COLOR")}
    process = subprocess.Popen(
        command, stdin=child, stdout=child, stderr=child, env={**clean, "TERM": "xterm-256color", **env}
    )
    os.close(child)
    received = b""
    while True:
        try:
            part = os.read(parent, 65536)
        except OSError:
            break
        if not part:
            break
        received += part
    process.wait(timeout=30)
    os.close(parent)
    return received.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours_and_lines_that_fit():
    wide = on_terminal(fake(LONG), columns=60)
    assert "\x1b[33m▲" in wide
    bare = on_terminal([*fake(LONG), "--no-color"], columns=60)
    assert "\x1b[33m" not in bare and "\x1b[33m" not in on_terminal(fake(LONG), columns=60, NO_COLOR="1")
    lines = re.sub(r"\x1b\[[0-9;]*m", "", wide).splitlines()
    assert all(len(line) <= 60 for line in lines)
    assert lines[0].startswith("▲ a sentence") and lines[1].startswith("  ") and lines[1][2] != " "


def test_nobody_is_asked_without_a_terminal():
    started = time.monotonic()
    done = subprocess.run([*AMBIDEX, "rollback", "churn"], stdin=subprocess.DEVNULL, capture_output=True, cwd="/")
    assert time.monotonic() - started < 20 and done.returncode != 0


def test_completion_names_the_verbs():
    done = subprocess.run(
        AMBIDEX,
        capture_output=True,
        text=True,
        env={**os.environ, "_AMBIDEX_COMPLETE": "bash_complete", "COMP_WORDS": "ambidex pro", "COMP_CWORD": "1"},
    )
    assert done.stdout.split() == ["plain,profile", "plain,promote"]


def test_the_script_is_installed():
    script = Path(sys.executable).with_name("ambidex")
    done = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert done.stdout == "ambidex 0.1.0\n"
