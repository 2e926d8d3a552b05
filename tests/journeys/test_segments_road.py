"""From an order log to a segment model that is live: packaged, tested, gated, promoted and scored."""

from __future__ import annotations

import json

import numpy as np
import pytest

from terminal import Terminal


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    outside = Terminal(tmp_path_factory.mktemp("segments"))
    outside.run("init", "shop")
    here = Terminal(outside.folder / "shop")
    rng = np.random.default_rng(0)
    lines = ["customer,day,paid"]
    for c in range(400):
        often, spend = ((1.0, 10.0), (25.0, 80.0))[c % 2]
        days = np.sort(rng.integers(0, 360, 1 + rng.poisson(often)))
        lines += [f"c{c:03d},{np.datetime64('2024-01-01') + int(d)},{spend * rng.uniform(0.5, 2):.2f}" for d in days]
    (here.folder / "data" / "orders.csv").write_text("\n".join(lines) + "\n")
    return here


def test_the_whole_road(road: Terminal) -> None:
    log = ("data/orders.csv", "--unit", "customer", "--time", "day", "--value", "paid")
    said = road.json("segments", *log, "--approach", "rfm,kmeans", "--out", "list.csv")["data"]
    assert said["answer"] == "answer/1" and said["verdict"] in ("tiers", "types")
    names = {s["name"] for s in said["segments"]}
    written = (road.folder / "list.csv").read_text().splitlines()
    assert len(written) == 1 + sum(s["size"] for s in said["segments"])
    packed = road.json("package", "answer/1", "--name", "tiers")["data"]
    assert packed["equal"] == packed["of"] and packed["largest_difference"] == 0
    assert road.json("test", "tiers@1")["data"]["passed"]
    gates = {g["name"]: g["outcome"] for g in road.json("gate", "tiers@1")["data"]["gates"]}
    assert {"golden-rows", "schema", "finite", "steady", "better-than-constant"} <= set(gates)
    assert set(gates.values()) == {"supported"}
    road.json("promote", "tiers@1", "--to", "live")
    scored = road.json("score", "tiers", "data/orders.csv", "--out", "scored.csv")["data"]
    rows = (road.folder / "scored.csv").read_text().splitlines()
    assert scored["rows"] == len(rows) - 1 == len(written) - 1
    kept = json.loads((road.folder / "packages/tiers/src/tiers_model/schema.json").read_text())
    assert kept["task"] == "segments" and len(kept["classes"]) == len(names)
    assert {r.rsplit('","', 1)[1].strip('"') for r in rows[1:]} <= set(kept["classes"])
    assert road.json("train", "tiers")["data"]["version"] == 2
    assert road.json("monitor", "tiers")["data"]["state"]


def test_the_terminal_lists_who_is_in_which(road: Terminal) -> None:
    (road.folder / "data" / "people.csv").write_text(
        "age,visits,paid\n" + "\n".join(f"{20 + i % 50},{i % 50 + i % 3},{i % 7}" for i in range(200)) + "\n"
    )
    words = ("segments", "data/people.csv", "--value", "paid", "--approach", "tiers", "--k", "3")
    said, shown = road.json(*words)["data"], road.run(*words)
    head = next(line for line in shown.splitlines() if line.split()[:3] == ["segment", "size", "share"])
    assert "mean value" in head and head.endswith("rule right")
    for s in said["segments"]:
        (line,) = [t for t in shown.splitlines() if t.strip().startswith(f"{s['name']}  ") and s["rule"] in t]
        assert f" {s['size']:,} " in line
