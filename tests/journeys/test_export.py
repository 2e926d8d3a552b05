"""A version in other people's forms, and back."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ambidex as amb
from ambidex.errors import Refused, UsageError

pytest.importorskip("skops")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    folder = tmp_path_factory.mktemp("export") / "w"
    amb.init(folder)
    rng = np.random.default_rng(5)
    n = 800
    table = pd.DataFrame({"age": rng.normal(40, 9, n), "plan": rng.choice(list("abc"), n)})
    left = np.where(rng.random(n) < 1 / (1 + np.exp(-(table.age - 40) / 6 - (table.plan == "a"))), "yes", "no")
    encode = ColumnTransformer([
        ("n", StandardScaler(), ["age"]), ("c", OneHotEncoder(handle_unknown="ignore"), ["plan"])
    ])  # fmt: skip
    model = make_pipeline(encode, LogisticRegression()).fit(table, left)
    table.assign(left=left).to_csv(folder / "data" / "left.csv", index=False)
    amb.package(model, name="left", table=folder / "data" / "left.csv", target="left", at=folder)
    return folder


def golden(place: Path) -> tuple[list[dict[str, Any]], list[float]]:
    made = json.loads((place / "packages" / "left" / "src" / "left_model" / "golden.json").read_text())
    return made["rows"], made["expected"]


def test_docker(place: Path, tmp_path: Path) -> None:
    result = amb.export("left@1", to="docker", out=tmp_path / "image", at=place)
    assert {Path(f).name for f in result.data["files"]} == {"Dockerfile", "compose.yaml", ".dockerignore"}
    text = (tmp_path / "image" / "Dockerfile").read_text()
    assert "ambidex[sklearn]" in text
    assert "USER ambidex" in text


def test_mlflow_folder_scores_without_mlflow(place: Path, tmp_path: Path) -> None:
    amb.export("left@1", to="mlflow", out=tmp_path / "m", at=place)
    spec = importlib.util.spec_from_file_location("left_mlflow", tmp_path / "m" / "code" / "left_mlflow.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rows, expected = golden(place)
    frame = pd.DataFrame(rows)
    assert module._load_pyfunc(str(tmp_path / "m" / "data")).predict(frame) == pytest.approx(expected, abs=1e-9)


def test_mlflow_folder_in_a_real_mlflow(place: Path, tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="mlflow lives in an environment of its own")
    amb.export("left@1", to="mlflow", out=tmp_path / "m", at=place)
    rows, expected = golden(place)
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert list(loaded.predict(pd.DataFrame(rows))) == pytest.approx(expected, abs=1e-9)


def test_onnx_predicts_the_same(place: Path, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    result = amb.export("left@1", to="onnx", out=tmp_path / "o", at=place)
    session = runtime.InferenceSession(result.data["files"][0], providers=["CPUExecutionProvider"])
    rows, expected = golden(place)
    whole = [(r, p) for r, p in zip(rows, expected, strict=True) if None not in r.values()]
    kinds = {i.name: i.type for i in session.get_inputs()}
    fed = {
        name: np.array([r[name] for r, _ in whole], dtype=object if kind == "tensor(string)" else np.float64)[:, None]
        for name, kind in kinds.items()
    }
    out = session.run(None, {k: v.astype(np.float32) if kinds[k] == "tensor(float)" else v for k, v in fed.items()})
    assert out[1][:, 1] == pytest.approx([p for _, p in whole], abs=1e-5)


@pytest.mark.slow
def test_an_onnx_that_float32_would_turn_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    from sklearn.ensemble import HistGradientBoostingClassifier

    amb.init(tmp_path / "w")
    seconds = 1_700_000_000.0 + np.arange(200)
    yes = np.where(np.arange(200) // 8 % 2 == 0, "yes", "no")
    model = HistGradientBoostingClassifier(max_iter=10, min_samples_leaf=2).fit(seconds[:, None], yes)
    table = pd.DataFrame({"seconds": seconds, "left": yes})
    amb.package(model, name="left", table=table, target="left", at=tmp_path / "w")
    with pytest.raises(Refused) as error:
        amb.export("left@1", to="onnx", out=tmp_path / "o", at=tmp_path / "w")
    assert error.value.code == "check.parity"
    assert not (tmp_path / "o").exists()


def test_what_is_there_is_not_written_over(place: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError):
        amb.export("left@1", to="docker", out=tmp_path, at=place)
    with pytest.raises(UsageError):
        amb.export("left@1", to="kubernetes", out=tmp_path / "k", at=place)


@pytest.mark.slow
def test_train_makes_a_version_that_was_not_fitted_on_the_held_out_rows(place: Path) -> None:
    result = amb.train("left", at=place)
    assert "not fitted" in result.lines[0][1]
    assert amb.gate(f"left@{result.data['version']}", at=place).data["gates"]
    assert "left_model" not in sys.modules
