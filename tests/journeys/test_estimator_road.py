"""A fitted scikit-learn pipeline from Python to live."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ambidex as amb
from ambidex.errors import DataError, UsageError

pytest.importorskip("skops")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    n = 900
    made = pd.DataFrame({"a": rng.normal(size=n), "b": rng.choice(list("xyz"), n), "c": rng.integers(0, 5, n)})
    made.loc[::17, "a"] = np.nan
    return made.assign(left=np.where(made.a.fillna(0) + rng.normal(size=n) > 0, "yes", "no"))


@pytest.mark.slow
def test_from_python_to_live(tmp_path: Path, frame: pd.DataFrame) -> None:
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    x = frame.drop(columns="left")
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = ColumnTransformer([("o", codes, ["b"])], remainder="passthrough")
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=10)).fit(x, frame.left)
    amb.init(tmp_path)
    frame.to_csv(tmp_path / "data" / "left.csv", index=False)
    made = amb.package(model, name="left", table=tmp_path / "data" / "left.csv", target="left", at=tmp_path)
    assert made.data["equal"] == made.data["of"] > len(frame)
    assert "fitted-elsewhere" in dict(made.warnings)
    assert amb.test("left@1", at=tmp_path).data["passed"]
    assert amb.gate("left@1", at=tmp_path).passed
    amb.promote("left@1", to="live", at=tmp_path)
    amb.score("left", tmp_path / "data" / "left.csv", out=tmp_path / "out.csv", at=tmp_path)
    scores = pd.read_csv(tmp_path / "out.csv")["probability_yes"].to_numpy()
    assert np.abs(scores - model.predict_proba(x)[:, 1]).max() < 1e-12
    assert amb.monitor("left", at=tmp_path).data["version"] == 1
    assert amb.doctor(at=tmp_path).data["healthy"]


def test_what_cannot_be_packaged_says_why(tmp_path: Path, frame: pd.DataFrame) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import LinearSVC

    amb.init(tmp_path)
    x = frame[["c"]].to_numpy()
    given = {"name": "x", "table": frame[["c", "left"]], "target": "left", "at": tmp_path}
    with pytest.raises(UsageError, match="no probabilities"):
        amb.package(LinearSVC().fit(x, frame.left), **given)
    with pytest.raises(DataError, match="no label that the model knows"):
        amb.package(LogisticRegression().fit(x, frame.b), **given)
    with pytest.raises(DataError, match="takes 2 features"):
        amb.package(LogisticRegression().fit(np.hstack([x, x]), frame.left), **given)
    with pytest.raises(UsageError, match="--table"):
        amb.package(LogisticRegression().fit(x, frame.left), name="x", at=tmp_path)
