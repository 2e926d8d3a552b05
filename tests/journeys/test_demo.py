"""The demo: the README's first command, on the real data, and on a table of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from terminal import Terminal

STEPS = [
    "data", "question", "answer", "experiment", "report", "package", "test", "gate", "promote", "serve", "score",
    "new data", "monitor", "retrain", "test", "gate", "promote", "rollback", "next",
]  # fmt: skip


def test_the_whole_road_on_real_data(tmp_path: Path) -> None:
    pytest.importorskip("lifetimes", reason="the extra `demo` is not installed", exc_type=ImportError)
    here = Terminal(tmp_path)
    said = here.json("demo")
    steps = said["data"]["steps"]
    assert [s["step"] for s in steps if s["seconds"] is not None] == STEPS
    texts = {s["step"]: s["text"] for s in reversed(steps)}
    assert "69,659 real purchases" in texts["data"] and "23,570 rows" in texts["data"]
    assert "2.11 to 3.12" in texts["experiment"]
    assert "77.2% quiet" in texts["new data"]
    assert "recency_days" in texts["monitor"]
    assert any("did not get worse" in s["text"] for s in steps)
    assert any("AUC 0.80" in s["text"] for s in steps)
    assert any("person-years" in s["text"] for s in steps)
    assert sum("0 requests failed" in s["text"] for s in steps) == 3
    assert not any(s["mark"] == "■" for s in steps)
    assert len(said["next"]) == 3
    folder = tmp_path / "ambidex-demo"
    assert Terminal(folder).json("models", "ls")["data"]["models"][0]["live"] == 2
    assert Terminal(folder).json("doctor")["data"]["healthy"]
    assert here.raw("demo", "--folder", "ambidex-demo").returncode == 0  # an older demo is replaced


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("ten years")
    document = json.loads(Terminal(tmp_path).raw("demo", "--folder", "mine", "--json").stdout)
    assert document["error"]["code"] == "env.not-empty"
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_on_ones_own_table(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    n = 4000
    x, plan = rng.normal(size=n), rng.choice(["basic", "plus"], n)
    gone = rng.random(n) < 1 / (1 + np.exp(-1.5 * x - (plan == "plus")))
    lines = [f"c{i},{x[i]:.3f},{plan[i]},{'yes' if gone[i] else 'no'}" for i in range(n)]
    (tmp_path / "own.csv").write_text("\n".join(["customer,x,plan,gone", *lines]) + "\n")
    said = Terminal(tmp_path).json("demo", "own.csv", "--target", "gone")
    steps = [s["step"] for s in said["data"]["steps"] if s["seconds"] is not None]
    assert steps == [s for s in STEPS if s != "experiment"]
    assert not any(s["mark"] == "■" for s in said["data"]["steps"])
