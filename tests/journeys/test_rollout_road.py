"""A real server, a version live, one beside it: predict, send labels, `watch --once` again and again, also killed."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
from typing import Any

import numpy as np
import pytest

from terminal import Terminal, ask, served

N = 900


def rows(n: int, seed: int, *, turned: bool = False) -> list[dict[str, Any]]:
    """Customers with what will happen to them; ``turned``: z works the other way."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(size=n), rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x + (-3 if turned else 3) * z))
    return [
        {
            "customer": f"c{seed}-{i}",
            "x": round(float(x[i]), 4),
            "z": round(float(z[i]), 4),
            "y": "yes" if y[i] else "no",
        }
        for i in range(n)
    ]


def csv(table: list[dict[str, Any]]) -> str:
    return "\n".join(["customer,x,z,y", *(f"{r['customer']},{r['x']},{r['z']},{r['y']}" for r in table)]) + "\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """m@1 live; m@2 the same again; m@3 made of rows in which z works the other way, which passed its gates on them."""
    outside = Terminal(tmp_path_factory.mktemp("rollout"))
    outside.run("init", "w")
    here = Terminal(outside.folder / "w")
    (here.folder / "data" / "a.csv").write_text(csv(rows(N, 1)))
    here.run("drivers", "data", "--target", "y", "--positive", "yes", "--keep", "x", "--keep", "z")
    here.run("package", "answer/1", "--name", "m")
    toml = here.folder / "ambidex.toml"
    here_says = toml.read_text() + 'policy = "live"\n\n[rollout]\nshare = 0.4\nsettle = "1s"\n'
    toml.write_text(here_says)
    here.run("promote", "m@1", "--to", "live")
    here.run("train", "m")
    return here


def send(base: str, table: list[dict[str, Any]], *, path: str = "/predict/m") -> list[str]:
    """One request a customer, and the labels by their ids."""
    connection = http.client.HTTPConnection("127.0.0.1", urllib.parse.urlsplit(base).port, timeout=30)
    ids: list[str] = []
    versions: set[int] = set()
    for row in table:
        body = {"rows": [{k: v for k, v in row.items() if k != "y"}]}
        connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        ids.append(answer["ids"][0])
        versions.add(answer["version"])
    connection.close()
    labels = [{"id": identity, "label": row["y"]} for identity, row in zip(ids, table, strict=True)]
    ask(f"{base}/feedback/m", {"labels": labels})
    return sorted({str(v) for v in versions})


def pointers(here: Terminal) -> dict[str, Any]:
    found: dict[str, Any] = here.json("models", "ls")["data"]["models"][0]
    return found


def told(here: Terminal) -> list[tuple[int, str]]:
    from ambidex.workspace import open_workspace

    return [(e.version or 0, e.body["state"]) for e in open_workspace(here.folder).store.events(verbs=("rollout",))]


def once(here: Terminal) -> str:
    data = here.json("watch", "--once")["data"]
    assert data["failed"] == 0, data
    return str(data["models"][0]["text"])


def killed(here: Terminal, after: float) -> None:
    """`watch --once`, killed some moments after its start."""
    child = subprocess.Popen(
        [sys.executable, "-m", "ambidex.cli", "watch", "--once"], cwd=here.folder, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    child.wait()


def serving(here: Terminal, base: str, pointer: str, version: int) -> None:
    """Wait until the server answers at a pointer with a version."""
    end = time.monotonic() + 20
    row = {"customer": "c0", "x": 0.1, "z": 0.1}
    while time.monotonic() < end:
        try:
            if ask(f"{base}/predict/m@{pointer}", {"rows": [row]})["version"] == version:
                return
        except urllib.error.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"{pointer} is not {version}")


def test_one_that_is_the_same_reaches_live_and_one_that_is_worse_does_not(home: Terminal) -> None:
    with served(home, "m") as base:
        home.run("promote", "m@2", "--to", "shadow")
        serving(home, base, "shadow", 2)
        assert send(base, rows(500, 2)) == ["1"]  # callers see live alone
        assert "canary is @2, 40% of the units" in once(home)
        serving(home, base, "canary", 2)
        time.sleep(0.5)
        assert send(base, rows(100, 3)) == ["1", "2"]
        assert send(base, rows(100, 3)) == ["1", "2"]  # sticky: no unit changes sides
        time.sleep(1.0)
        assert "live is @2 (was @1)" in once(home)
        serving(home, base, "live", 2)
        assert told(home) == [(2, "started"), (2, "canary"), (2, "live")]

        (home.folder / "data" / "b.csv").write_text(csv(rows(3 * N, 7, turned=True)))
        home.run("train", "m")
        home.run("promote", "m@3", "--to", "canary")
        serving(home, base, "canary", 3)
        time.sleep(0.5)
        for i in range(3):
            send(base, rows(350, 20 + i))
            killed(home, 0.4 + 0.4 * i)
        said = once(home)
        if "rolled back" not in said:
            assert told(home)[-1] == (3, "rolled-back"), said
        found = pointers(home)
        assert (found["live"], found["canary"], found["shadow"]) == (2, None, None)
        assert "m@3 was rolled back from canary" in found["paused"]
        assert told(home)[3:] == [(3, "started"), (3, "rolled-back")]
        assert set(send(base, rows(40, 40))) == {"2"}
    log = home.run("models", "log", "m")
    assert log.count("to canary") >= 2
    assert home.json("doctor")["data"]["healthy"]


def test_sticky_units(home: Terminal) -> None:
    """What the log says of the canaries above: one arm a unit."""
    from ambidex.data.log import open_log

    sides: dict[tuple[str, int], set[str]] = {}
    with open_log(home.folder / ".ambidex" / "log", "m") as log:
        for page, _ in log.pages():
            for row in page:
                if row.get("arm") == "canary":
                    sides.setdefault((row["riders"]["customer"], 0), set()).add("canary")
                elif row.get("arm") == "live" and row["riders"]["customer"].startswith("c3-"):
                    sides.setdefault((row["riders"]["customer"], 0), set()).add("live")
    split = {unit: arms for unit, arms in sides.items() if unit[0].startswith("c3-")}
    assert len(split) == 100 and all(len(arms) == 1 for arms in split.values())
