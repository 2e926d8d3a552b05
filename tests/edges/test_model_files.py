"""Model files of other libraries become versions that predict the same; hostile ones are refused, in a child."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ambidex as amb
from ambidex.errors import AmbidexError
from ambidex.records import digest
from ambidex.workspace import open_workspace

lightgbm = pytest.importorskip("lightgbm")
onnx = pytest.importorskip("onnx")

COLUMNS = ["age", "visits", "plan"]


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(11)
    n = 1200
    made = pd.DataFrame({"age": rng.normal(40, 12, n), "visits": rng.poisson(3, n), "plan": rng.choice(list("abc"), n)})
    made.loc[::13, "age"] = np.nan
    chance = 1 / (1 + np.exp(-(made.age.fillna(40) - 40) / 8 - (made.plan == "a") + made.visits / 4))
    return made.assign(left=np.where(rng.random(n) < chance, "yes", "no"), spend=made.visits * 2.5 + rng.normal(size=n))


@pytest.fixture
def place(tmp_path: Path, frame: pd.DataFrame) -> Path:
    amb.init(tmp_path / "w")
    frame.to_csv(tmp_path / "w" / "data" / "left.csv", index=False)
    frame.drop(columns="plan").to_csv(tmp_path / "w" / "data" / "numbers.csv", index=False)
    return tmp_path / "w"


@pytest.fixture(scope="module")
def booster(frame: pd.DataFrame) -> Any:
    x = frame[COLUMNS].astype({"plan": "category"})
    given = lightgbm.Dataset(x, (frame.left == "yes").astype(int))
    settings = {"objective": "binary", "verbosity": -1, "num_threads": 1, "seed": 1}
    return lightgbm.train(settings, given, num_boost_round=12)


def refused(place: Path, source: Any, **options: Any) -> AmbidexError:
    given = {"name": "x", "table": place / "data" / "numbers.csv", "target": "left", "at": place, **options}
    with pytest.raises(AmbidexError) as error:
        amb.package(source, **given)
    assert error.value.exit_code in (2, 3, 4)
    if isinstance(source, Path) and source.is_file():
        last = open_workspace(place).store.events(verbs=("package-refused",))[-1]
        assert last.body["sha256"] == digest(source.read_bytes())
    assert not [m for m in amb.models(at=place).data["models"] if m["model"] == "x"]
    return error.value


@pytest.mark.slow
def test_a_lightgbm_text_with_its_category_levels(place: Path, booster: Any, frame: pd.DataFrame) -> None:
    file = place / "model.txt"
    booster.save_model(str(file))
    result = amb.package(file, name="left", table=place / "data" / "left.csv", target="left", at=place)
    assert result.data["equal"] == result.data["of"] > 1200
    amb.gate("left@1", at=place)
    amb.promote("left@1", to="live", at=place)
    amb.score("left", place / "data" / "left.csv", out=place / "out.csv", at=place)
    scores = pd.read_csv(place / "out.csv")["probability_yes"].to_numpy()
    own = booster.predict(frame[COLUMNS].astype({"plan": "category"}))
    assert np.abs(scores - own).max() < 1e-12


def test_a_lightgbm_text_that_is_cut_off(place: Path, booster: Any) -> None:
    text = booster.model_to_string()
    (place / "m.txt").write_text(text[: len(text) * 2 // 5])
    assert refused(place, place / "m.txt").code == "check.opens"


def test_a_lightgbm_text_that_is_cut_inside_and_ends_as_it_should(place: Path, booster: Any) -> None:
    text = booster.model_to_string()
    half = text[: len(text) // 3] + "\nend of trees\n" + text.partition("end of trees\n")[2]
    (place / "m.txt").write_text(half)
    assert refused(place, place / "m.txt", table=place / "data" / "left.csv").code == "check.opens"


def test_a_column_that_the_model_takes_and_the_table_lacks(place: Path, booster: Any) -> None:
    booster.save_model(str(place / "m.txt"))
    error = refused(place, place / "m.txt")
    assert error.code == "data.schema"
    assert "plan" in error.message


@pytest.mark.slow
def test_an_xgboost_file(place: Path, frame: pd.DataFrame) -> None:
    xgboost = pytest.importorskip("xgboost")
    model = xgboost.XGBRegressor(n_estimators=10, n_jobs=1).fit(frame[["age", "visits"]], frame.spend)
    model.save_model(place / "m.json")
    table = frame[["age", "visits", "spend"]]
    result = amb.package(place / "m.json", name="spend", table=table, target="spend", at=place)
    assert result.data["equal"] == result.data["of"]


def test_an_onnx_file_and_what_float32_cannot_tell_apart(place: Path, frame: pd.DataFrame) -> None:
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.linear_model import LogisticRegression

    seconds = (1_700_000_000 + np.arange(len(frame))).astype(float)
    x = frame[["visits"]].assign(seconds=seconds).astype(float)
    model = LogisticRegression().fit(x[["visits"]].assign(seconds=0.0).to_numpy(), frame.left)
    made = skl2onnx.to_onnx(model, x.to_numpy(dtype=np.float32)[:1], options={"zipmap": False})
    (place / "m.onnx").write_bytes(made.SerializeToString())
    table = x.assign(left=frame.left)
    result = amb.package(place / "m.onnx", name="left", table=table, target="left", at=place)
    assert result.data["equal"] == result.data["of"]
    notes = [text for code, text in result.warnings if code == "float32"]
    assert notes
    assert notes[0].startswith("seconds:")


def test_an_onnx_file_that_keeps_a_tensor_elsewhere(place: Path) -> None:
    (place / "secret.bin").write_bytes(np.full(2, 7.5, dtype=np.float32).tobytes())
    model = _onnx_sum()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../../secret.bin"
    (place / "m.onnx").write_bytes(model.SerializeToString())
    error = refused(place, place / "m.onnx")
    assert error.code == "check.archive"
    assert "7.5" not in str(error)


def test_an_onnx_file_that_asks_for_terabytes(place: Path) -> None:
    helper = onnx.helper
    shape = helper.make_tensor("shape", onnx.TensorProto.INT64, [3], [100_000, 100_000, 100])
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["big"]),
        helper.make_node("ReduceSum", ["big"], ["total"], keepdims=0),
        helper.make_node("Mul", ["x", "total"], ["y"]),
    ]
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 2])
    graph = helper.make_graph(nodes, "g", [x], [y], [shape])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (place / "m.onnx").write_bytes(model.SerializeToString())
    error = refused(place, place / "m.onnx", table=place / "data" / "numbers.csv", target="left")
    assert error.code in ("check.opens", "data.schema")


def _onnx_sum() -> Any:
    helper = onnx.helper
    weight = helper.make_tensor("w", onnx.TensorProto.FLOAT, [2, 1], np.ones(2, dtype=np.float32).tobytes(), raw=True)
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_pickle_is_never_opened(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    (place / "m.pkl").write_bytes(b"cos\nsystem\n(S'touch PWNED'\ntR.")
    error = refused(place, place / "m.pkl")
    assert ".skops" in str(error.found)
    assert not (place / "PWNED").exists()


def test_a_pickle_under_another_name_is_not_opened_either(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for name in ("m.onnx", "m.skops", "m.txt", "m.json", "m.ubj"):
        (place / name).write_bytes(b"cos\nsystem\n(S'touch PWNED'\ntR.")
        refused(place, place / name)
    assert not (place / "PWNED").exists()


def test_a_skops_file_with_a_function_of_the_operating_system(place: Path, frame: pd.DataFrame) -> None:
    sio = pytest.importorskip("skops.io")
    from sklearn.preprocessing import FunctionTransformer

    sio.dump(FunctionTransformer(os.system), place / "m.skops")
    error = refused(place, place / "m.skops")
    assert error.code == "check.types"
    assert "posix.system" in error.message


def test_a_skops_file_that_inflates(place: Path) -> None:
    with zipfile.ZipFile(place / "m.skops", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("schema.json", "x" * (200 << 20))
    assert (place / "m.skops").stat().st_size < 1 << 20
    assert refused(place, place / "m.skops").code == "check.archive"


@pytest.mark.parametrize("name", ["../../../../tmp/PWNED", "/tmp/PWNED", "..\\PWNED"])
def test_a_skops_file_that_leaves_its_folder(place: Path, name: str) -> None:
    with zipfile.ZipFile(place / "m.skops", "w") as archive:
        archive.writestr(name, "x")
    assert refused(place, place / "m.skops").code == "check.archive"
    assert not Path("/tmp/PWNED").exists()


def test_a_skops_file_with_a_link(place: Path) -> None:
    with zipfile.ZipFile(place / "m.skops", "w") as archive:
        link = zipfile.ZipInfo("schema.json")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    assert refused(place, place / "m.skops").code == "check.archive"


def test_a_keras_file_is_of_no_known_format(place: Path) -> None:
    with zipfile.ZipFile(place / "m.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"class_name": "Lambda"}))
    assert refused(place, place / "m.keras").code == "usage.source"


def test_a_model_that_gives_no_number_for_a_row(place: Path) -> None:
    helper = onnx.helper
    x = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [None, 1])
    nodes = [
        helper.make_node("Log", ["x"], ["l"]),
        helper.make_node("ReduceSum", ["l", "axis"], ["y"], keepdims=1),
    ]
    axis = helper.make_tensor("axis", onnx.TensorProto.INT64, [1], [1])
    graph = helper.make_graph(nodes, "g", [x], [y], [axis])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (place / "m.onnx").write_bytes(model.SerializeToString())
    table = pd.DataFrame({"a": [1.0, -2.0, 3.0] * 40, "b": [1.0] * 120, "spend": range(120)})
    error = refused(place, place / "m.onnx", table=table, target="spend")
    assert error.code == "check.opens"
    assert "row" in str(error.where)


def test_a_function_by_its_name(place: Path, frame: pd.DataFrame) -> None:
    source = "def score(rows):\n    return [0.2 + 0.5 * (r['plan'] == 'a') for r in rows]\n"
    (place / "mine.py").write_text(source)
    result = amb.package(
        f"{place / 'mine.py'}:score", name="left", table=frame.drop(columns="spend"), target="left", at=place
    )
    assert result.data["equal"] == result.data["of"]
    assert amb.test("left@1", at=place).data["checks"]


@pytest.mark.slow
def test_an_mlflow_folder_of_a_booster(place: Path, booster: Any) -> None:
    folder = place / "mlflow"
    (folder / "model.lgb").parent.mkdir()
    booster.save_model(str(folder / "model.lgb"))
    (folder / "MLmodel").write_text(
        "artifact_path: model\nflavors:\n  lightgbm:\n    code: null\n    data: model.lgb\n    lgb_version: 4.7.0\n"
        "  python_function:\n    data: model.lgb\n    loader_module: mlflow.lightgbm\nmlflow_version: 3.1.0\n"
    )
    result = amb.package(folder, name="left", table=place / "data" / "left.csv", target="left", at=place)
    assert result.data["equal"] == result.data["of"]


def test_an_mlflow_folder_with_a_pickle_or_a_path_outside(place: Path) -> None:
    folder = place / "mlflow"
    folder.mkdir()
    (folder / "model.pkl").write_bytes(pickle.dumps({}))
    (folder / "MLmodel").write_text("flavors:\n  sklearn:\n    pickled_model: model.pkl\n")
    assert refused(place, folder).code == "check.types"
    (folder / "MLmodel").write_text("flavors:\n  onnx:\n    data: ../../secret.onnx\n")
    assert refused(place, folder).code == "check.archive"
