"""Bad input through the Python functions: the product's own errors, with the codes of the command line."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ambidex as amb
from ambidex.workspace import open_workspace


def frame(rows: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    age, income = rng.normal(40, 9, rows).round(1), rng.normal(5e4, 9e3, rows).round(0)
    return pd.DataFrame(
        {
            "customer_id": [f"c{i}" for i in range(rows)],
            "age": age,
            "income": income,
            "n": rng.integers(0, 6, rows),
            "plan": rng.choice(["basic", "plus"], rows),
            "arm": rng.choice(["A", "B"], rows),
            "spend": rng.gamma(2, 10, rows).round(2),
            "churned": (rng.random(rows) < 1 / (1 + np.exp((age - 40) / 5))).astype(int),
        }
    )


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    amb.init(tmp_path / "w")
    monkeypatch.chdir(tmp_path / "w")
    return tmp_path / "w"


@pytest.mark.parametrize(
    ("call", "kind", "code"),
    [
        (lambda df: amb.drivers(42, target="churned"), amb.UsageError, "usage.type"),
        (lambda df: amb.profile(df.head(0)), amb.DataError, "data.empty"),
        (lambda df: amb.experiment(df, group="arm", metric="spend", alpha="0.05"), amb.UsageError, "usage.type"),
        (lambda df: amb.experiment(df, group="arm", metric="spend", alpha=1.5), amb.UsageError, "usage.value"),
        (lambda df: amb.profile(r for r in [{"a": 1}]), amb.UsageError, "usage.type"),
        (lambda df: amb.drivers(df, target="churn"), amb.NotFound, "data.no-column"),
        (lambda df: amb.drivers(df.assign(churned=1), target="churned"), amb.DataError, "data.target-constant"),
        (lambda df: amb.drivers(df.assign(churned=None), target="churned"), amb.DataError, "data.target-missing"),
        (lambda df: amb.package(3, name="churn"), amb.UsageError, "usage.source"),
        (lambda df: amb.package("answer/9", name="churn"), amb.NotFound, "data.no-answer"),
        (lambda df: amb.gate("chrun@1"), amb.NotFound, "data.no-model"),
        (lambda df: amb.score("churn", df, out="x.csv"), amb.NotFound, "data.no-model"),
        (lambda df: amb.status(at=5), amb.UsageError, "usage.type"),
        (lambda df: amb.serve("churn", port="8377"), amb.UsageError, "usage.type"),
    ],
)
def test_each_gets_its_code(here: Path, call: Callable[[Any], Any], kind: type[Exception], code: str) -> None:
    df = frame()
    before = df.copy()
    with pytest.raises(kind) as error:
        call(df)
    assert error.value.code == code  # type: ignore[attr-defined]
    pd.testing.assert_frame_equal(df, before)


def test_an_unfitted_estimator(here: Path) -> None:
    from sklearn.linear_model import LogisticRegression

    with pytest.raises(amb.UsageError) as error:
        amb.package(LogisticRegression(), name="churn")
    assert error.value.code == "usage.not-fitted"
    assert "fit" in str(error.value.do)


def test_a_lambda_inside_a_pipeline(here: Path) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer

    pipeline = Pipeline([("f", FunctionTransformer(lambda x: x)), ("m", LogisticRegression())])
    with pytest.raises(amb.UsageError) as error:
        amb.package(pipeline, name="churn")
    assert error.value.code == "usage.not-importable"
    assert "module" in str(error.value.do)


def test_integer_column_names(here: Path) -> None:
    rng = np.random.default_rng(1)
    df = pd.DataFrame(np.column_stack([rng.integers(0, 2, 300), rng.normal(size=(300, 3))]))
    answer = amb.drivers(df, target=0)  # type: ignore[arg-type]
    assert {e.name for e in answer.estimates} >= {"1", "2", "3"}


def test_numbers_and_texts_in_one_column_are_counted(here: Path) -> None:
    df = frame()
    df["age"] = [1, "two", 3.0, None] * 50
    answer = amb.drivers(df, target="churned")
    assert any("age" in c.text and "50" in c.text for c in answer.cautions)


def test_twenty_threads_register_one_name(here: Path) -> None:
    """500 versions without a gap or a repeat, none locked out; the deadline is four times the promised second."""
    store = open_workspace(here).store
    seen: list[int] = []
    slow: list[float] = []

    def register() -> None:
        for _ in range(25):
            began = time.perf_counter()
            record = store.register(
                model="churn", digest="0" * 64, data="d", code="c", key=f"{threading.get_ident()}-{began}", summary={}
            )
            slow.append(time.perf_counter() - began)
            seen.append(record.number)

    threads = [threading.Thread(target=register) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(1, 501))
    assert float(np.quantile(slow, 0.99)) < 4


def test_the_road_from_a_dataframe(here: Path) -> None:
    """A dataframe asked inside a workspace is kept, so that its model can be trained again."""
    df = frame(3000)
    answer = amb.drivers(df, target="churned", keep=["age"])
    assert answer.name == "answer/1"
    assert type(answer.to_frame()).__module__.startswith("pandas")
    made = amb.package(answer, name="churn")
    assert made.equal == made.of == 3000
    assert amb.gate("churn@1").passed
    amb.promote("churn@1", to="live")
    scored = amb.score("churn", df.head(10), out=here / "s.csv")
    assert scored.rows == 10
    assert len((here / "s.csv").read_text().splitlines()) == 11
    assert amb.drift("churn", df).passed


def test_outside_a_workspace_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = amb.drivers(frame(), target="churned")
    assert answer.name is None
    assert not any(tmp_path.iterdir())
    with pytest.raises(amb.EnvironmentProblem) as error:
        amb.package(answer, name="churn")
    assert error.value.code == "env.no-workspace"


def test_package_takes_what_prototype_gives(here: Path) -> None:
    answer = amb.drivers(frame(400), target="churned", keep=["age"])
    assert repr(answer) == f"<answer/1 of drivers: {answer.headline}>"
    made = amb.package(answer.prototype(), name="churn")
    assert made.equal == made.of
    assert repr(made).startswith("<package: churn@1 in packages/churn")
    amb.gate("churn@1")
    judged = amb.models("log", "churn").events[-1]
    assert judged["verb"] == "judge"
    assert "gates supported" in judged["because"]


def test_a_dry_run_names_the_command_that_does_it(here: Path) -> None:
    amb.package(amb.drivers(frame(400), target="churned", keep=["age"]), name="churn")
    amb.promote("churn@1", to="live")
    amb.train("churn")
    amb.promote("churn@2", to="live")
    said = amb.rollback("churn", dry_run=True)
    assert (said.version, said.event, said.next) == (1, None, ("ambidex rollback churn",))
    assert amb.status().models[0]["live"] == 2
