"""Pipelines from memory to a server, one compiled and one not: answers are what the pipelines give."""

from __future__ import annotations

import json
import urllib.error
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import ambidex as amb
from ambidex.bundle.open import open_served
from ambidex.workspace import open_workspace
from terminal import Terminal, ask, served

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("lightgbm")
pytestmark = pytest.mark.slow  # three programs that import scikit-learn, and a server
COLUMNS = ["x", "k", "plan"]


def table(n: int = 300) -> Any:
    rng = np.random.default_rng(8)
    x, k, plan = rng.normal(size=n), rng.integers(0, 9, n), rng.choice(["basic", "gold", "ä"], n)
    frame = pd.DataFrame({"id": [f"u{i}" for i in range(n)], "x": x, "k": k, "plan": plan})
    frame.loc[rng.random(n) < 0.1, "x"] = np.nan
    score = np.nan_to_num(x) + (plan == "gold")
    frame["y"] = np.where(score > 0.4, "yes", "no")
    frame["size"] = np.where(score > 1.0, "large", np.where(score > 0, "middle", "small"))
    return frame


@pytest.fixture(scope="module")
def pipelines() -> dict[str, tuple[Any, str]]:
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder
    from sklearn.tree import DecisionTreeClassifier

    frame = table()

    def fitted(model: Any, target: str) -> tuple[Any, str]:
        encode = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        steps = ColumnTransformer([("n", SimpleImputer(), ["x", "k"]), ("c", encode, ["plan"])])
        return make_pipeline(steps, model).fit(frame[COLUMNS], frame[target]), target

    return {
        "sizes": fitted(DecisionTreeClassifier(max_depth=6, min_samples_leaf=5, random_state=0), "size"),
        "slow": fitted(GaussianNB(), "y"),
    }


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory, pipelines: Any) -> Terminal:
    folder = tmp_path_factory.mktemp("compiled") / "w"
    amb.init(folder)
    table().to_csv(folder / "data" / "t.csv", index=False)
    for name, (pipeline, target) in pipelines.items():
        amb.package(pipeline, name=name, table=folder / "data" / "t.csv", target=target, key="id", at=folder)
        amb.promote(f"{name}@1", to="live", at=folder)
    return Terminal(folder)


@pytest.fixture(scope="module")
def base(here: Terminal) -> Iterator[str]:
    with served(here) as url:
        yield url


def rows() -> list[dict[str, Any]]:
    own = [
        {"id": r["id"], "x": None if r["x"] != r["x"] else r["x"], "k": int(r["k"]), "plan": r["plan"]}
        for r in table()[["id", *COLUMNS]][:40].to_dict("records")
    ]
    return [*own, {"x": 1e6, "k": -5, "plan": "never seen"}, {"x": None, "k": 0, "plan": ""}]


def expected(pipeline: Any) -> Any:
    frame = pd.DataFrame(rows())[COLUMNS]
    return pipeline.predict_proba(frame)


def test_models_show_says_which_way_it_is_served(here: Terminal) -> None:
    shown = {n: here.json("models", "show", f"{n}@1")["data"] for n in ("sizes", "slow")}
    assert {n: d["runtime"] for n, d in shown.items()} == {
        "sizes": "compiled", "slow": "fallback",
    }  # fmt: skip
    assert "equal bit for bit" in shown["sizes"]["reason"]
    assert shown["slow"]["reason"] == "GaussianNB has no compiled form"


@pytest.mark.parametrize(("name", "gap"), [("sizes", 0.0), ("slow", 1e-12)])
def test_answers_are_the_pipelines_own_alone_together_and_under_concurrency(
    base: str, pipelines: Any, name: str, gap: float
) -> None:
    wanted = expected(pipelines[name][0])
    classes = [str(c) for c in pipelines[name][0].classes_]
    together = ask(f"{base}/predict/{name}", {"rows": rows()})
    assert together["classes"] == classes
    got = np.array(together["probabilities"])
    assert np.abs(got - wanted).max() <= gap
    assert together["predictions"] == [classes[i] for i in wanted.argmax(axis=1)]
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda row: ask(f"{base}/predict/{name}", {"rows": [row]}), rows() * 2))
    values = np.array([a["probabilities"][0] for a in alone])
    assert np.abs(values - np.vstack([got, got])).max() <= gap
    assert len({a["ids"][0] for a in alone}) == len(alone)


def test_a_number_that_it_cannot_take_is_the_callers(base: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        ask(f"{base}/predict/sizes", {"rows": [{"x": 1e39, "k": 1, "plan": "gold"}]})
    said = json.load(refused.value)
    assert (refused.value.code, said["code"], said["where"]) == (422, "http.range", "row 0")
    assert "float32" in said["detail"]


def test_what_was_logged_is_what_was_answered(base: str, here: Terminal) -> None:
    row = {"x": 0.5, "k": 3, "plan": "gold", "id": "me"}
    answer = ask(f"{base}/predict/sizes", row)
    from ambidex.data.log import find_prediction

    found = find_prediction(here.folder / ".ambidex" / "log", "sizes", answer["ids"][0])
    assert found is not None
    assert (list(found.p), found.version) == (answer["probabilities"][0], 1)  # type: ignore[arg-type]


def test_without_the_library_the_model_itself_answers_and_says_so(
    here: Terminal, pipelines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ambidex.edges import lightgbm_c
    from ambidex.errors import MissingExtra

    def absent() -> Any:
        raise MissingExtra("lightgbm", "lightgbm", "the compiled form of this model")

    workspace = open_workspace(here.folder)
    digest = workspace.store.version("sizes", 1).digest
    compiled = open_served(workspace.blobs, digest)
    assert (compiled.runtime, compiled.slow) == ("compiled", False)
    monkeypatch.setattr(lightgbm_c, "library", absent)
    opened = open_served(workspace.blobs, digest)
    assert (opened.runtime, opened.slow) == ("fallback", True) and "not here" in opened.reason
    row = rows()[0]
    assert opened.scorer.score(row) == compiled.scorer.score(row)
