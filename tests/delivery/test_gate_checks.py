"""Further gates: each with what it lets pass and what it stops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.data.table import Table
from ambidex.delivery import gate_checks as further
from ambidex.errors import UsageError
from ambidex.records import Column, Schema
from ambidex.settings import GateSettings, Limits, ModelSettings, Settings, read_settings
from leavers import HEAD, rows

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
BINARY = Schema(columns=(), target="y", task="binary", classes=("no", "yes"))
NUMBER = Schema(columns=(), target="y", task="regression")


def test_the_worst_slice_decides_and_their_number_counts() -> None:
    rng = np.random.default_rng(0)
    plan = np.repeat(["a", "b", "c", "d"], 300)
    table = Table("t", None, pa.table({"plan": plan}))
    d = rng.normal(0, 0.02, 1200)
    ask: dict[str, Any] = {"margin": 0.02, "alpha": 0.05, "against": "the live version"}
    assert further.slices_gate(table, ["plan"], d, **ask).outcome == "supported"
    worse = d + np.where(plan == "c", 0.05, -0.02)
    assert worse.mean() < 0.02, "on average it is fine"
    found = further.slices_gate(table, ["plan"], worse, **ask)
    assert found.outcome == "refuted" and "plan = c" in found.because and "4 levels" in found.because
    assert further.slices_gate(table, ["region"], d, **ask).outcome == "refuted", "a declared slice that is not there"


def test_rare_levels_are_judged_together_and_numbers_in_quarters() -> None:
    table = Table("t", None, pa.table({"plan": ["a"] * 100 + [f"r{i}" for i in range(40)], "age": np.arange(140.0)}))
    assert [(w, int(m.sum())) for w, m in further.slice_levels(table, "plan")] == [
        ("plan = a", 100), ("other levels of plan", 40)
    ]  # fmt: skip
    quarters = further.slice_levels(table, "age")
    assert len(quarters) == 4 and sum(int(m.sum()) for _, m in quarters) == 140


@pytest.mark.parametrize("noise", [0.0, 50.0])
def test_a_decision_changes_where_it_changes(noise: float) -> None:
    before = np.array([0.2, 0.4, 0.6, 0.8])
    moved, words = further.changed(np.array([0.45, 0.55, 0.61, 0.4]), before, BINARY)
    assert moved.tolist() == [False, True, False, True] and "0.5" in words
    rare = np.linspace(0.001, 0.03, 1000)
    flipped, words = further.changed(rare[::-1], rare, BINARY, 0.01)
    assert int(flipped.sum()) == 20 and "0.5" not in words, "nothing reaches .5: the top base-rate share is what counts"
    numbers = np.array([0.0, 10.0, 20.0, 30.0]) + noise
    moved, _ = further.changed(numbers + np.array([0.5, 2.0, -2.0, 0.0]), numbers, NUMBER)
    assert moved.tolist() == [False, True, True, False]
    several = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3]])
    moved, _ = further.changed(several[:, [0, 2, 1]], several, NUMBER)
    assert moved.tolist() == [False, True]


def test_the_share_of_changes_is_a_claim() -> None:
    moved = np.zeros(2000, dtype=bool)
    assert further.changed_gate(moved, "that change", limit=0.1, alpha=0.05).outcome == "supported"
    moved[:600] = True
    assert further.changed_gate(moved, "that change", limit=0.1, alpha=0.05).outcome == "refuted"


def test_calibration_has_a_limit() -> None:
    rng = np.random.default_rng(4)
    p = rng.uniform(size=4000)
    y = (rng.uniform(size=4000) < p).astype(float)
    assert further.calibration_gate(y, p, limit=0.05, scale=1.0, alpha=0.05).outcome == "supported"
    assert further.calibration_gate(y, np.clip(p + 0.15, 0, 1), limit=0.05, scale=1.0, alpha=0.05).outcome == "refuted"


def test_columns_that_died_stop_a_version() -> None:
    schema = Schema(
        columns=(Column(name="a", type="float"), Column(name="b", type="category")), target="y", task="binary"
    )
    reference = {"columns": {"a": {"counts": [5, 5, 0]}, "b": {"counts": [5, 5]}}}
    fine = Table("t", None, pa.table({"a": [1.0, 2.0, None], "b": ["x", "y", "x"]}))
    assert further.data_gate(fine, schema, reference, np.array([0.0, 1.0, 1.0])).outcome == "supported"
    dead = Table("t", None, pa.table({"a": pa.array([None, None, 1.0]), "b": ["x", "x", None]}))
    found = further.data_gate(dead, schema, reference, np.array([1.0, 1.0, 1.0]))
    assert found.outcome == "refuted" and found.value == 3 and "a, b, y" in found.because


def test_what_counts_as_easier() -> None:
    before = {"margin": 0.005, "alpha": 0.05, "max_changed": 0.1, "slices": ["plan"], "limits": {"latency_ms": 5.0}}
    assert further.loosened(before, before) == [] == further.loosened(None, before)
    stricter = {**before, "margin": 0.001, "slices": ["plan", "age"], "limits": {"latency_ms": 2.0, "size_mb": 9.0}}
    assert further.loosened(before, stricter) == []
    easier = {"margin": 0.01, "alpha": 0.05, "max_changed": None, "slices": [], "limits": {}}
    assert len(further.loosened(before, easier)) == 4


def test_settings_name_the_gates() -> None:
    plain = Settings()
    assert plain.gates_hash("m") == plain.gates.hash
    model = ModelSettings(data="d", target="y", slices=("plan",), limits=Limits(size_mb=1.0))
    other = Settings(models={"m": model})
    assert other.gates_hash("m") != plain.gates.hash == other.gates_hash("n")
    assert other.gates_of("m")["slices"] == ["plan"] and GateSettings(max_changed=0.1).hash != GateSettings().hash


@pytest.mark.parametrize(
    "text",
    ["[gates]\nmax_changed = 5\n", "[gates]\ncalibration = 0\n",
     '[models.m]\ndata = "d"\ntarget = "y"\nlimits = {latency_ms = -1}\n',
     '[models.m]\ndata = "d"\ntarget = "y"\nlimits = {latency = 1}\n',
     '[models.m]\ndata = "d"\ntarget = "y"\nstale = "soon"\n',
     '[models.m]\ndata = "d"\ntarget = "y"\nsearch = {families = ["boost"]}\n'],
)  # fmt: skip
def test_wrong_gates_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "ambidex.toml").write_text(text)
    with pytest.raises(UsageError) as caught:
        read_settings(tmp_path)
    assert caught.value.code == "usage.config"


def test_declared_gates_on_the_road(tmp_path: Path) -> None:
    """A limit that no version meets stops it; dropping the limit afterwards is caught; a waiver stays in the log."""
    amb.init(tmp_path)
    data, settings = tmp_path / "data" / "left.csv", tmp_path / "ambidex.toml"
    data.write_text(HEAD + rows(900, 1))
    amb.package(amb.drivers(data, target="left", exclude=["customer"], at=tmp_path).name, name="left", at=tmp_path)
    before = settings.read_text()
    gates = "\n[gates]\ncalibration = 0.15\nmax_changed = 0.2\n"
    settings.write_text(before + 'slices = ["plan"]\n\n[models.left.limits]\nsize_mb = 0.000001\n' + gates)
    amb.train("left", at=tmp_path)
    judged = amb.gate("left@2", at=tmp_path)
    outcomes = {g["name"]: g["outcome"] for g in judged.data["gates"]}
    assert outcomes.pop("size") == "refuted" and set(outcomes.values()) == {"supported"}
    assert {"slices", "calibration", "data", "parity", "declared"} <= outcomes.keys()
    assert judged.data["holdout"] == {"judgements": 1, "versions": 1}
    settings.write_text(before + 'slices = ["plan"]\n' + gates)
    dropped = amb.gate("left@2", at=tmp_path)
    assert [g["name"] for g in dropped.data["gates"] if g["outcome"] != "supported"] == ["declared"]
    waived = amb.gate("left@2", waive="declared", reason="the limit was a slip", at=tmp_path)
    assert waived.passed and waived.data["waived"] == {"declared": "the limit was a slip"}
    because = [e["because"] for e in amb.models("log", "left", at=tmp_path).data["events"] if e["verb"] == "judge"]
    assert len(because) == 3 and "declared refuted" in because[-1]
