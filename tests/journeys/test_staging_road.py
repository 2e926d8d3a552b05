"""A version in staging beside live on a real server, and `test NAME@staging --against URL`."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambidex as amb
from ambidex.workspace import open_workspace
from terminal import Terminal, ask, served


def table(n: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    x, k = rng.normal(size=n), rng.integers(0, 9, n)
    plan = rng.choice(["basic", "gold"], n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x + (plan == "gold")))
    lines = [
        f"u{seed}-{i},{'' if i % 9 == 0 else f'{x[i]:.4f}'},{k[i]},{plan[i]},{'yes' if y[i] else 'no'}"
        for i in range(n)
    ]
    return "\n".join(["customer,x,k,plan,y", *lines]) + "\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """m@1 live, m@2 in staging, trained on more rows."""
    folder = tmp_path_factory.mktemp("staging") / "w"
    amb.init(folder)
    (folder / "data" / "a.csv").write_text(table(900, 1))
    answer = amb.drivers(folder / "data", target="y", positive="yes", keep=["x", "k", "plan"], at=folder)
    amb.package(answer, name="m", at=folder)
    amb.promote("m@1", to="live", at=folder)
    (folder / "data" / "b.csv").write_text(table(900, 2))
    amb.retrain("m", at=folder)
    amb.promote("m@2", to="staging", at=folder)
    return Terminal(folder)


@pytest.fixture(scope="module")
def base(here: Terminal) -> Iterator[str]:
    with served(here, "m") as url:
        yield url


def test_staging_answers_beside_live(base: str) -> None:
    row = {"customer": "c", "x": 0.5, "k": 3, "plan": "gold"}
    live, staging = (ask(f"{base}/predict/{name}", {"rows": [row]}) for name in ("m", "m@staging"))
    assert (live["version"], staging["version"]) == (1, 2)
    assert live["probabilities"] != staging["probabilities"]


def test_integration_tests_pass_on_the_server(here: Terminal, base: str) -> None:
    data = here.json("test", "m@staging", "--against", base)["data"]
    assert data["passed"] and data["version"] == 2 and data["score"] >= 1
    assert set(data["sections"]) == {"golden", "boundary", "schema", "latency", "feedback"}
    assert len(data["checks"]) == 16 and all(set(c) == {"section", "name", "passed", "what"} for c in data["checks"])
    assert "/predict/m@staging is answered by m@2" in str(data["checks"])
    event = open_workspace(here.folder).store.events(verbs=("test",))[-1]
    assert (event.version, event.body["passed"], event.body["against"]) == (2, True, base)
    live = here.json("test", "m@1", "--against", base)["data"]
    assert live["passed"] and "/predict/m is answered by m@1" in str(live["checks"])


class Liar(http.server.BaseHTTPRequestHandler):
    """A server that answers everything with the same, in one of several wrong ways."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.how == "hangs up" and text.endswith(b"["):  # type: ignore[attr-defined]
            self.close_connection = True
            return
        n = 1 if text.endswith(b"[") else len(json.loads(text).get("rows", [{}]))
        body: Any = {"model": "m", "version": 2, "predictions": ["yes"] * n, "ids": ["same"] * n,
                     "classes": ["no", "yes"], "probabilities": [[0.5, 0.5]] * n}  # fmt: skip
        if self.server.how == "version":  # type: ignore[attr-defined]
            body["version"] = 1
        if self.server.how == "form":  # type: ignore[attr-defined]
            body = {"model": "m", "version": 2}
        data = b"<html>" if self.server.how == "html" else json.dumps(body).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        return


@pytest.mark.parametrize(
    ("how", "failed"),
    [
        ("values", 10),
        ("version", 1),
        ("html", 1),
        *(pytest.param(h, 10, marks=pytest.mark.slow) for h in ("form", "hangs up")),
    ],
)
def test_a_server_that_answers_otherwise_fails(here: Terminal, how: str, failed: int) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Liar)
    server.how = how  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        found = amb.test("m@2", against=f"http://127.0.0.1:{server.server_address[1]}", at=here.folder)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert not found.passed and found.code == "check.tests"
    assert sum(not c["passed"] for c in found.data["checks"]) >= failed, found.data["checks"]


@pytest.mark.parametrize("url", ["nowhere", "ftp://127.0.0.1/", "http://", "http://a:b@127.0.0.1", "http://[::1"])
def test_what_is_no_address(here: Terminal, url: str) -> None:
    with pytest.raises(amb.UsageError):
        amb.test("m@2", against=url, at=here.folder)


def test_nobody_there(here: Terminal, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        with pytest.raises(amb.EnvironmentProblem) as error:
            amb.test("m@2", against=url, at=here.folder)
    assert error.value.code == "env.no-server"
