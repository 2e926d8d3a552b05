"""The commands of docs/http.md, run by a shell against a real server, before and after a token was made."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambidex as amb
from ambidex.errors import AmbidexError
from support import ROOT
from terminal import Terminal, ask, served

DOCS = ROOT / "docs" / "http.md"


def blocks() -> list[tuple[list[int], str]]:
    """Statuses announced and commands, block by block."""
    text = DOCS.read_text(encoding="utf-8")
    found = re.findall(r"```sh\n(.*?)```", text, re.S)
    return [([int(s) for s in re.findall(r"^# (\d{3})$", block, re.M)], block) for block in found if "curl" in block]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """churn@1 live, no token."""
    rng = np.random.default_rng(5)
    x, plan = rng.normal(size=800), rng.choice(["basic", "plus"], 800)
    y = np.where(1.3 * x + (plan == "plus") + rng.normal(size=800) > 0.5, "Yes", "No")
    folder = tmp_path_factory.mktemp("http") / "w"
    amb.init(folder)
    lines = [f"c{i},{x[i]:.3f},{plan[i]},{y[i]}" for i in range(800)]
    (folder / "data" / "churn.csv").write_text("\n".join(["customer,visits,plan,churned", *lines]) + "\n")
    answer = amb.drivers(folder / "data", target="churned", positive="Yes", keep=["visits"], at=folder)
    amb.package(answer, name="churn", at=folder)
    amb.promote("churn@1", to="live", at=folder)
    row = {"visits": 0.25, "plan": "plus"}
    (folder / "row.json").write_text(json.dumps(row))
    tensors = [
        {"name": "visits", "shape": [1], "datatype": "FP64", "data": [0.25]},
        {"name": "plan", "shape": [1, 1], "datatype": "BYTES", "data": ["plus"]},
    ]
    (folder / "tensors.json").write_text(json.dumps({"inputs": tensors}))
    return folder


def run(folder: Path, base: str, block: str, **variables: str) -> list[int]:
    """Statuses of the commands of a block."""
    script = "set -eu\ncurl() { command curl -s -o body -w '%{http_code}\\n' \"$@\"; }\n" + block.replace(
        "http://127.0.0.1:8377", base
    ).replace("-o answer.arrow", "")
    done = subprocess.run(
        ["bash", "-c", script], cwd=folder, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [int(line) for line in done.stdout.split()]


@pytest.mark.skipif(shutil.which("curl") is None, reason="CURL: not here")
def test_the_commands_of_the_page(workspace: Path) -> None:
    terminal = Terminal(workspace)
    open_, closed = [], []
    for expected, block in blocks():
        (closed if "$TOKEN" in block or "$VIEWER" in block else open_).append((expected, block))
    assert len(open_) >= 5 and len(closed) >= 2
    with served(terminal, "churn") as base:
        for expected, block in open_:
            assert expected and run(workspace, base, block) == expected, block
        status = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: evil.example", f"{base}/docs"],
            capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert status == "421"
        example = openapi_example(base)
        assert ask(f"{base}/predict/churn", example)["predictions"][0] in ("Yes", "No")
    secrets = {
        "TOKEN": amb.token("new", "shop", role="caller", model="churn", at=workspace).data["token"],
        "VIEWER": amb.token("new", role="viewer", at=workspace).data["token"],
    }
    with served(terminal, "churn") as base:
        for expected, block in closed:
            assert expected and run(workspace, base, block, **secrets) == expected, block
        amb.token("revoke", "shop", at=workspace)
        seen = []
        for _ in range(50):
            seen = run(workspace, base, closed[0][1], **secrets)
            if seen[1] == 401:
                break
        assert seen[1] == 401


def openapi_example(base: str) -> Any:
    import urllib.request

    with urllib.request.urlopen(f"{base}/openapi.json", timeout=10) as said:
        paths = json.loads(said.read())["paths"]
    return paths["/predict/churn"]["post"]["requestBody"]["content"]["application/json"]["example"]


def test_a_public_address(workspace: Path, tmp_path: Path) -> None:
    """Refused without a token, in the form of every error; nothing listens, nothing is written."""
    fresh = tmp_path / "w"
    amb.init(fresh)
    terminal = Terminal(fresh)
    before = sorted(p for p in fresh.rglob("*") if p.is_file())
    said = terminal.json("serve", "--host", "0.0.0.0", "--port", "0", exit=5)["error"]
    assert said["code"] == "env.public-bind" and "127.0.0.1" in said["do"] and "token" in said["do"]
    assert said["where"] and said["found"]
    assert sorted(p for p in fresh.rglob("*") if p.is_file()) == before
    amb.token("new", "gone", role="caller", at=fresh)
    amb.token("revoke", "gone", at=fresh)
    with pytest.raises(AmbidexError) as caught:
        amb.serve(host="0.0.0.0", port=0, at=fresh)
    assert caught.value.code == "env.public-bind", "a token that nobody can use opens nothing"
