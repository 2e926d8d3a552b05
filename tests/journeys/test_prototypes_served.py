"""The prototypes of drivers, segments and campaign, each from its answer to requests over a socket."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

import ambidex as amb
from ambidex.errors import Refused
from terminal import Terminal, ask, served


def customers(n: int = 3000, seed: int = 0) -> pa.Table:
    """Plan and age go with leaving; a mail was sent by lot and makes the new ones spend; three heaps of habits."""
    rng = np.random.default_rng(seed)
    plan, age, kind = rng.choice(["basic", "gold"], n), rng.integers(18, 80, n), rng.choice(["new", "old"], n)
    mail = rng.choice(["none", "mail"], n)
    left = rng.random(n) < 1 / (1 + np.exp(-(np.where(plan == "basic", 1.0, -1.0) + (age - 50) / 20)))
    heap = rng.integers(3, size=n)
    habits = np.array([[0.0, 0], [8, 0], [0, 8]])[heap] + rng.normal(size=(n, 2))
    return pa.table(
        {
            "plan": plan, "age": age, "kind": kind, "mail": mail, "leaves": np.where(left, "went", "stayed"),
            "visits": habits[:, 0].round(4), "returns": habits[:, 1].round(4),
            "spend": (10 + 3.0 * ((mail == "mail") & (kind == "new")) + rng.normal(0, 1, n)).round(4),
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with the three models live."""
    place = tmp_path_factory.mktemp("prototypes") / "shop"
    amb.init(place)
    csv.write_csv(customers(), place / "data" / "all.csv")

    def columns(names: str) -> str:
        return f"SELECT {names} FROM '{place / 'data' / 'all.csv'}'"

    answers = {
        "leavers": amb.drivers(columns("plan, age, leaves"), target="leaves", positive="went", at=place),
        "habits": amb.segments(columns("visits, returns"), approach="kmeans", at=place),
        "mail": amb.campaign(
            columns("kind, age, mail, spend"), treatment="mail", outcome="spend", control="none", value=1.0, cost=0.5,
            covariate=["kind", "age"], at=place,
        ),
    }  # fmt: skip
    for name, answer in answers.items():
        assert answer.prototype()["recipe"]
        packed = amb.package(answer, name=name, at=place)
        assert packed.equal == packed.of > 1000 and packed.largest_difference == 0
        tested = amb.test(f"{name}@1", at=place)
        assert tested.passed, tested.to_dict()
        gates = amb.gate(f"{name}@1", at=place)
        assert gates.passed, gates.to_dict()
        try:
            amb.promote(f"{name}@1", to="live", at=place)
        except Refused as refused:
            raise AssertionError(refused.to_dict()) from refused
    return place


def test_requests_get_what_score_writes(shop: Path, tmp_path: Path) -> None:
    rows = customers(200, seed=1)
    csv.write_csv(rows, tmp_path / "new.csv")
    with served(Terminal(shop)) as address:
        for name, inputs in (
            ("leavers", ["plan", "age"]),
            ("habits", ["visits", "returns"]),
            ("mail", ["kind", "age"]),
        ):
            amb.score(name, tmp_path / "new.csv", out=tmp_path / f"{name}.csv", at=shop)
            written = csv.read_csv(tmp_path / f"{name}.csv")
            said: dict[str, Any] = ask(f"{address}/predict/{name}", {"rows": rows.select(inputs).to_pylist()})
            assert said["model"] == name and said["version"] == 1 and len(said["ids"]) == 200
            assert said["predictions"] == written["prediction"].to_pylist(), name
            if name == "leavers":
                yes = written["probability_went"].to_pylist()
                assert [p[said["classes"].index("went")] for p in said["probabilities"]] == yes


def test_a_segment_is_answered_by_its_name(shop: Path) -> None:
    corners = [{"visits": 0.0, "returns": 0.0}, {"visits": 8.0, "returns": 0.0}, {"visits": 0.0, "returns": 8.0}]
    with served(Terminal(shop), "habits") as address:
        said = ask(f"{address}/predict/habits", {"rows": corners})
        assert ask(f"{address}/predict/habits", {"rows": corners})["predictions"] == said["predictions"]
    names = said["predictions"]
    assert len(set(names)) == 3 and all(isinstance(n, str) and n for n in names)
    assert "high visits" in names[1].lower() and "high returns" in names[2].lower()
    assert "probabilities" not in said  # a segment has no chance of being right
