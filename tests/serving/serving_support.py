"""A server with the stub model as a process of its own, and ways to talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ambidex.data.log import open_log
from ambidex.data.run_folder import read_run

STUB = Path(__file__).parent / "stub_server.py"
ROW = {"age": 41.5, "income": 52000.0, "n": 3, "plan": "basic"}
VALID = json.dumps({"rows": [ROW]}).encode()
JSON = {"Content-Type": "application/json"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """``with Server(folder) as server: server.post("/predict/churn", body)``."""

    def __init__(self, folder: Path, *, workers: int = 1, port: int | None = None, **limits: Any) -> None:
        self.folder, self.workers, self.limits = folder, workers, limits
        self.port = port or free_port()
        self.process: subprocess.Popen[str] | None = None
        folder.mkdir(exist_ok=True)
        if not (folder / "pointers.json").exists():
            self.point(churn={"live": 1})

    def point(self, **models: dict[str, int | None]) -> None:
        temporary = self.folder / "pointers.new"
        temporary.write_text(json.dumps(models))
        temporary.replace(self.folder / "pointers.json")

    def start(self) -> Server:
        (self.folder / "ready").unlink(missing_ok=True)
        self.spawn()
        return self.wait()

    def wait(self) -> Server:
        assert self.process is not None
        deadline = time.monotonic() + 30
        while not (self.folder / "ready").exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return self

    def spawn(self, stderr: int | None = None) -> subprocess.Popen[str]:
        command = [sys.executable, str(STUB), str(self.folder), str(self.port), str(self.workers)]
        with (self.folder / "stderr").open("a") as told:
            self.process = subprocess.Popen(
                [*command, json.dumps(self.limits)], stdout=subprocess.PIPE, stderr=stderr or told, text=True
            )
        return self.process

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(timeout=20)
        if self.process.stdout:
            self.process.stdout.close()
        return code

    def __enter__(self) -> Server:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=15)

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        connection = self.connect()
        try:
            connection.request(method, path, body, JSON if headers is None else headers)
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, said = self.ask("POST", path, data)
        return status, json.loads(said)

    def raw(self, data: bytes, *, wait: float = 5.0, eof: bool = False) -> bytes:
        """Send bytes as they are; all that comes back until the server closes or ``wait`` seconds pass."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as sock:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                sock.sendall(data)
            if eof:
                sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

    def frames(self, model: str = "churn") -> list[dict[str, Any]]:
        with open_log(self.folder / "log", model) as log:
            return [row for rows, _ in log.pages() for row in rows]

    def run_folder(self) -> list[dict[str, Any]]:
        return read_run(self.folder / "run")

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "stderr").read_text().splitlines() if line]

    def told(self, name: str, count: int = 1) -> list[dict[str, Any]]:
        """Events of a name, once there are so many: they come a moment after the answer."""
        deadline = time.monotonic() + 5
        while True:
            found = [e for e in self.events() if e["event"] == name]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def worker_pids(self) -> list[int]:
        return [p for p in map(int, (self.folder / "pids").read_text().split()) if alive(p)]


def read_all(sock: socket.socket) -> bytes:
    said = b""
    with contextlib.suppress(TimeoutError, ConnectionResetError):
        while part := sock.recv(65536):
            said += part
    return said


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def check_problem(status: int, headers: dict[str, str], body: bytes) -> dict[str, Any]:
    """What every refusal must be."""
    said: dict[str, Any] = json.loads(body)
    assert headers["content-type"] == "application/problem+json"
    assert {"type", "title", "status", "detail", "code"} <= set(said)
    assert said["status"] == status < 500
    text = body.decode()
    assert "Traceback" not in text
    assert not any(
        place in text for place in ("/home", "/tmp", "/usr", "/work", "/root", os.environ.get("HOME", "/root"))
    )
    return said
