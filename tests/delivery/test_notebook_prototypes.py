"""The prototypes become packages that predict what their authors saw, row by row and all at once."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import ambidex
from ambidex.delivery.package import module_name
from support import shared

FILES = {
    "hillstrom_uplift.ipynb": "hillstrom",
    "bank_marketing_pipeline.ipynb": "bank",
    "telco_churn_messy.ipynb": "telco",
    "telco_churn_percent.py": "forest",
    "taxi_duration_features.ipynb": "taxi",
    "credit_default_leaky.ipynb": "credit",
}
EXACT = [f for f in FILES if not f.startswith("credit")]
# The taxi notebook's solver stops at 1e-6, so the sums of the linear algebra library show: run plainly, without us, it
# gives the stored values within 7e-4 min (one thread) or 5.5e-3 (more). Equality to the bit is with its run here.
TOLERANCE = {"taxi_duration_features.ipynb": 0.006}


def packaged(folder: Path, file: str, name: str) -> tuple[Any, Any, dict[str, Any], Any]:
    """(result, predictor, expected document, expected rows)."""
    home = shared("data/prototypes/notebooks")
    import pyarrow.parquet as pq

    stem = file.rsplit(".", 1)[0]
    document = json.loads((home / "expected" / f"{stem}.json").read_text())
    rows = home / "expected" / f"{stem}.parquet"
    ambidex.init(folder) if not (folder / "ambidex.toml").exists() else None
    result = ambidex.package(home / file, name=name, run=True, cwd=shared("data"), at=folder)
    return result, predictor(Path(result.data["path"]), name), document, pq.read_table(rows) if rows.exists() else None


def predictor(path: Path, name: str) -> Any:
    """The written package's own predictor, from its folder."""
    sys.path.insert(0, str(path / "src"))
    try:
        module = importlib.import_module(f"{module_name(name)}.predict")
    finally:
        sys.path.pop(0)
    return module.load(path / "src" / module_name(name) / "state")


def raw_rows(table: Any) -> list[dict[str, Any]]:
    """The stored raw rows as plain values."""
    out = []
    for row in table.to_pylist():
        out.append({k: str(v) if hasattr(v, "isoformat") else v for k, v in row.items()})
    return out


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("prototypes")


@pytest.fixture(scope="module")
def made(workspace: Path) -> dict[str, Any]:
    return {}


def _get(made: dict[str, Any], workspace: Path, file: str) -> Any:
    if file not in made:
        made[file] = packaged(workspace, file, FILES[file])
    return made[file]


@pytest.mark.slow
@pytest.mark.parametrize("file", EXACT)
def test_stored_predictions_are_reached(file: str, made: dict[str, Any], workspace: Path) -> None:
    result, model, _, table = _get(made, workspace, file)
    assert result.data["equal"] == result.data["of"] > 1000
    rows = raw_rows(table)
    expected = table.column("prediction").to_pylist()
    known = [i for i, p in enumerate(expected) if p is not None and p == p]
    assert len(known) == 200 or file.endswith(".py")
    tolerance = TOLERANCE.get(file, 1e-12)
    together = model.predict([rows[i] for i in known])
    assert together == pytest.approx([expected[i] for i in known], rel=tolerance, abs=tolerance)
    single = [model.predict([rows[i]])[0] for i in known]
    assert single == pytest.approx(together, rel=1e-12, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("file", list(FILES))
def test_every_trap_that_must_be_reported_is(file: str, made: dict[str, Any], workspace: Path) -> None:
    result, _, document, _ = _get(made, workspace, file)
    told: dict[str, set[int]] = {}
    for trap in result.data["traps"]:
        told.setdefault(trap["kind"], set()).update(trap["cells"])
    for trap in document["traps"]:
        if trap["must_report"]:
            assert trap["kind"] in told, trap
            if isinstance(trap["cells"], list):
                assert set(trap["cells"]) <= told[trap["kind"]], (trap, sorted(told[trap["kind"]]))


@pytest.mark.slow
def test_labels_come_with_the_threshold(made: dict[str, Any], workspace: Path) -> None:
    _, model, _, table = _get(made, workspace, "telco_churn_messy.ipynb")
    got = [bool(p["label"]) for p in model.predict_all(raw_rows(table))]
    assert got == [bool(v) for v in table.column("label").to_pylist()]


@pytest.mark.slow
def test_the_uplift_function_gives_all_its_columns(made: dict[str, Any], workspace: Path) -> None:
    _, model, _, table = _get(made, workspace, "hillstrom_uplift.ipynb")
    got = model.predict_all(raw_rows(table))
    for column in ("p_mail", "p_none"):
        assert [g[column] for g in got] == pytest.approx(table.column(column).to_pylist(), rel=1e-12, abs=1e-12)
    assert [bool(g["send"]) for g in got] == [bool(v) for v in table.column("send").to_pylist()]


@pytest.mark.slow
def test_an_unseeded_notebook_is_equal_to_its_own_run_only(made: dict[str, Any], workspace: Path) -> None:
    result, model, _, table = _get(made, workspace, "credit_default_leaky.ipynb")
    assert result.data["equal"] == result.data["of"]
    assert any("its own run" in text for _, text in result.lines)
    got = model.predict(raw_rows(table))
    low, high = table.column("rerun_low").to_pylist(), table.column("rerun_high").to_pylist()
    inside = sum(a - 1e-6 <= g <= b + 1e-6 for a, g, b in zip(low, got, high, strict=True))
    assert inside > 0.8 * len(got)
