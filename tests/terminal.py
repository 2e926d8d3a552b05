"""A shell and a server for tests: the real command, a real socket."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any


class Terminal:
    """A shell in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, exit: int = 0) -> str:
        """Run a command, check its exit code, give stdout."""
        done = self.raw(*words)
        assert done.returncode == exit, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr + done.stdout
        return done.stdout

    def json(self, *words: str, exit: int = 0) -> dict[str, Any]:
        """Run with --json: exactly one document on stdout."""
        document: dict[str, Any] = json.loads(self.run(*words, "--json", exit=exit))
        assert document["schema"] == "ambidex/1"
        assert document["ok"] is (exit == 0)
        return document

    def raw(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ambidex.cli", *words], cwd=self.folder, capture_output=True, text=True, timeout=120
        )


class served:
    """``ambidex serve`` on a free port, until the block ends."""

    def __init__(self, terminal: Terminal, *names: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        command = [sys.executable, "-m", "ambidex.cli", "serve", *names, "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=terminal.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def __enter__(self) -> str:
        base = f"http://127.0.0.1:{self.port}"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"{base}/v2/health/ready", timeout=1):
                    return base
            except OSError:
                assert self.process.poll() is None, self.process.stderr.read().decode()  # type: ignore[union-attr]
                time.sleep(0.05)
        raise AssertionError("not ready within 30 s")

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=15)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()


def ask(url: str, body: Any) -> dict[str, Any]:
    """POST JSON, give JSON."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer
