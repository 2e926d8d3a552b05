"""A bundle of code and state opens after its hashes are verified, in a child first, and scores as it was sealed."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ambidex.bundle.code import State, code_files
from ambidex.bundle.open import load_scorer, open_bundle, replay, try_in_child
from ambidex.bundle.seal import seal
from ambidex.edges.files import FileBlobs
from ambidex.errors import DataError, Refused
from ambidex.records import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="age", type="integer", nullable=True),
        Column(name="plan", type="category", levels=("a", "b")),
        Column(name="spend", type="float"),
    ),
    target="left",
    task="binary",
    classes=("no", "yes"),
)
PREDICT = """
import json
from .features import weight

class Predictor:
    def __init__(self, state):
        self.state = state

    def predict(self, rows):
        from .features import squash  # at scoring time, when the folder is gone
        return [squash(self.state["base"] + weight(r["plan"]) + (r["age"] or 0) / 100 + r["spend"]) for r in rows]

def load(folder):
    return Predictor(json.loads((folder / "weights.json").read_text()))
"""
FEATURES = """
import math
def weight(plan):
    return {"a": .25, "b": -.5}.get(plan, 0.0)
def squash(x):
    return 1 / (1 + math.exp(-x))
"""
ROWS: list[dict[str, Any]] = [{"age": 40, "plan": "a", "spend": 0.5}, {"age": None, "plan": "new", "spend": -1.0}]


def expected(rows: list[dict[str, Any]], base: float = 0.125) -> list[float]:
    weights = {"a": 0.25, "b": -0.5}
    raw = [base + weights.get(str(r["plan"]), 0.0) + (r["age"] or 0) / 100 + r["spend"] for r in rows]
    return [1 / (1 + float(np.exp(-x))) for x in raw]


def files_of(base: float = 0.125, name: str = "churn-2", **changes: Any) -> dict[str, bytes]:
    given: dict[str, Any] = {
        "name": name, "modules": {"predict.py": PREDICT, "features.py": FEATURES},
        "state": {"weights.json": State("json", json.dumps({"base": base}).encode())}, "schema": SCHEMA,
        "golden_rows": ROWS, "golden_predictions": expected(ROWS, base),
    }  # fmt: skip
    return code_files(**{**given, **changes})


def with_records(files: dict[str, bytes]) -> dict[str, bytes]:
    return {**files, "recipe.json": b"{}", "reference.json": b"{}", "evaluation.json": b"{}"}


def test_single_and_batched_are_what_was_sealed() -> None:
    files = files_of()
    scorer = load_scorer(json.loads(files["model.json"]), files)
    differs, largest = replay(scorer, json.loads(files["golden.json"]))
    assert differs == 0
    assert largest < 1e-15
    columns = {"age": np.array([40.0, np.nan]), "plan": np.array(["a", "new"], dtype=object), "spend": [0.5, -1.0]}
    assert scorer.score_columns(columns, 2).tolist() == [scorer.score(row) for row in ROWS]


def test_two_versions_of_one_package_live_in_one_process() -> None:
    one, two = files_of(0.125), files_of(2.0)
    first = load_scorer(json.loads(one["model.json"]), one)
    second = load_scorer(json.loads(two["model.json"]), two)
    assert [first.score(r) for r in ROWS] == pytest.approx(expected(ROWS, 0.125), abs=1e-15)
    assert [second.score(r) for r in ROWS] == pytest.approx(expected(ROWS, 2.0), abs=1e-15)
    assert "churn_2_model" not in sys.modules


def test_a_module_that_stands_under_the_same_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    there = ModuleType("churn_2_model")
    monkeypatch.setitem(sys.modules, "churn_2_model", there)
    files = files_of()
    load_scorer(json.loads(files["model.json"]), files)
    assert sys.modules["churn_2_model"] is there


def test_absolute_imports_by_the_packages_own_name() -> None:
    source = PREDICT.replace("from .features import weight", "from churn_2_model.features import weight")
    files = files_of(modules={"predict.py": source, "features.py": FEATURES})
    scorer = load_scorer(json.loads(files["model.json"]), files)
    assert scorer.score(ROWS[0]) == pytest.approx(expected(ROWS)[0], abs=1e-15)


def test_it_opens_from_blobs_in_a_child_first(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path / "blobs")
    opened = open_bundle(blobs, seal(blobs, with_records(files_of())))
    assert opened.schema == SCHEMA
    assert opened.scorer.score(ROWS[0]) == pytest.approx(expected(ROWS)[0], abs=1e-15)


def test_golden_rows_that_come_out_otherwise_are_refused_in_the_child() -> None:
    files = files_of(golden_predictions=[0.5, 0.5])
    with pytest.raises(Refused, match="2 of 2 golden rows differ") as refusal:
        try_in_child(files["model.json"], files["golden.json"], files=files)
    assert refusal.value.code == "check.opens"


def test_the_sealed_tolerance_counts() -> None:
    near = [p + 1e-7 for p in expected(ROWS)]
    files = files_of(golden_predictions=near, tolerance=1e-6)
    try_in_child(files["model.json"], files["golden.json"], files=files)


@pytest.mark.parametrize("body", ["import os; os._exit(3)", "raise RuntimeError('no')", "import nosuchpackage"])
def test_a_package_that_dies_does_so_in_the_child(body: str) -> None:
    files = files_of(modules={"predict.py": f"{body}\n{PREDICT}", "features.py": FEATURES})
    with pytest.raises(Refused) as refusal:
        try_in_child(files["model.json"], files["golden.json"], files=files)
    assert refusal.value.code == "check.opens"


def test_nothing_printed_while_loading_is_taken_for_the_answer() -> None:
    files = files_of(modules={"predict.py": f"print('{{}}')\n{PREDICT}", "features.py": FEATURES})
    try_in_child(files["model.json"], files["golden.json"], files=files)


def test_an_altered_state_is_refused_before_anything_runs(tmp_path: Path) -> None:
    files = files_of()
    marker = tmp_path / "PWNED"
    files["code/churn_2_model/predict.py"] = f"open({str(marker)!r}, 'w')".encode()
    with pytest.raises(Refused) as refusal:
        load_scorer(json.loads(files["model.json"]), files)
    assert refusal.value.code == "check.altered"
    assert not marker.exists()


@pytest.mark.parametrize("path", ["../x.py", "/etc/x.py", "a/../../x.py", "..", "a//b.py", ""])
def test_no_file_leaves_its_folder(path: str) -> None:
    with pytest.raises(DataError, match="no file name inside a bundle"):
        files_of(modules={"predict.py": PREDICT, "features.py": FEATURES, path: ""})
    files = files_of()
    model = json.loads(files["model.json"])
    model["files"][f"state/{path}"] = "0" * 64
    with pytest.raises(Refused) as refusal:
        load_scorer(model, files)
    assert refusal.value.code == "check.opens"


def test_a_pickle_without_its_mark_is_not_opened() -> None:
    files = files_of(state={"weights.json": State("pickle", b"{}")})
    model = json.loads(files["model.json"])
    assert model["marks"] == ["pickle"]
    with pytest.raises(Refused, match="not marked"):
        load_scorer({**model, "marks": []}, files)


def test_a_probability_per_class_gives_the_second_classs() -> None:
    source = "def load(folder):\n    class P:\n        def predict(self, rows):\n" \
        "            return [{'no': .75, 'yes': .25} for r in rows]\n    return P()\n"  # fmt: skip
    files = files_of(modules={"predict.py": source}, state={}, golden_predictions=[0.25, 0.25])
    assert load_scorer(json.loads(files["model.json"]), files).score(ROWS[0]) == 0.25
