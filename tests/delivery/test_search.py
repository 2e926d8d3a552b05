"""Looking for a recipe: what is tried, kept, resumed; what its trees say alone and among others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.bundle.trees import TreeScorer
from ambidex.bundle.trees_fit import fit_trees
from ambidex.data.table import Table
from ambidex.delivery import search as searching
from ambidex.errors import DataError, UsageError
from ambidex.records import Recipe, canonical
from ambidex.settings import SearchSettings
from ambidex.workspace import open_workspace


def table(n: int, seed: int) -> Table:
    """The outcome hangs on an interaction, the month, and how often the shop has come before."""
    rng = np.random.default_rng(seed)
    a, b = rng.normal(size=n).round(3), rng.normal(size=n).round(3)
    day = np.sort(np.datetime64("2025-01-01") + rng.integers(0, 700, n))
    shop = rng.choice([f"s{i}" for i in range(40)], n)
    month = day.astype("datetime64[M]").astype(int) % 12
    p = 1 / (1 + np.exp(-(3.0 * a * b + np.where(month < 6, 1.0, -1.0))))
    left = np.where(rng.uniform(size=n) < p, "yes", "no")
    gap = [None if i % 41 == 3 else float(v) for i, v in enumerate(a)]
    columns = {"id": [f"u{seed}-{i}" for i in range(n)], "a": gap, "b": b, "day": day.astype(str), "shop": shop}
    return Table("t", None, pa.table({**columns, "left": left}))


def recipe(**changes: Any) -> Recipe:
    known = {"data": "data/t.csv", "target": "left", "positive": "yes", "task": "binary", "key": "id",
             "columns": ("a", "b", "day", "shop"), "estimator": "trees"}  # fmt: skip
    return Recipe(**{**known, **changes})


@pytest.mark.parametrize("family", ["boosted", "forest"])
@pytest.mark.parametrize("features", [[], ["dates", "means"], ["dates", "past"]])
def test_alone_and_among_others_to_the_bit(family: str, features: list[str]) -> None:
    rows = table(400, 1)
    params = {"max_iter": 15} if family == "boosted" else {"n_estimators": 8}
    made = recipe(entity="shop", time="day", options={"family": family, "features": features, "params": params})
    model = json.loads(canonical(fit_trees(rows, made)))
    assert canonical(model) == canonical(json.loads(canonical(fit_trees(rows, made)))), "the same rows, the same bytes"
    scorer = TreeScorer(model)
    columns = {
        c.name: rows.text(c.name) if c.type == "category" else rows.number(c.name) for c in scorer.schema.columns
    }
    together = scorer.score_columns(columns, rows.rows)
    for i in range(rows.rows):
        row = {n: (None if v[i] != v[i] else v[i]) for n, v in columns.items()}
        assert scorer.score(row) == together[i]
    odd = [
        {},
        {"a": 1e300, "b": -1e300, "day": "never", "shop": "new"},
        {"a": 10**400 > 1 and 1e18, "day": "1600-01-01"},
    ]
    assert all(0 <= scorer.score(r) <= 1 for r in odd)


@pytest.mark.parametrize("family", ["boosted", "forest"])
def test_trees_say_what_scikit_learn_says(family: str) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor

    rng = np.random.default_rng(3)
    x = np.where(rng.uniform(size=(500, 3)) < 0.1, np.nan, rng.normal(size=(500, 3)))
    y = np.nan_to_num(x[:, 0]) * 2 + np.isnan(x[:, 1]) + rng.normal(size=500) * 0.1
    rows = Table("t", None, pa.table({**{f"x{j}": pa.array(x[:, j], from_pandas=True) for j in range(3)}, "y": y}))
    params = {"max_iter": 25} if family == "boosted" else {"n_estimators": 12}
    made = recipe(target="y", positive=None, task="regression", columns=("x0", "x1", "x2"), key=None,
                  options={"family": family, "params": params})  # fmt: skip
    ours = TreeScorer(fit_trees(rows, made)).score_columns({f"x{j}": x[:, j] for j in range(3)}, 500)
    if family == "boosted":
        theirs = HistGradientBoostingRegressor(random_state=0, early_stopping=False, **params).fit(x, y).predict(x)
    else:
        theirs = RandomForestRegressor(random_state=0, **params).fit(x.astype(np.float32), y).predict(x)
    assert np.abs(ours - theirs).max() < 1e-9


def test_the_past_is_known_strictly_before() -> None:
    rows = Table("t", None, pa.table({
        "shop": ["s", "s", "s", "q"], "day": ["2025-01-01", "2025-01-02", "2025-01-02", "2025-01-05"],
        "a": [1.0, 5.0, 9.0, 2.0], "left": ["yes", "no", "yes", "no"],
    }))  # fmt: skip
    made = recipe(
        columns=("a",), entity="shop", time="day", key=None, options={"features": ["past"], "params": {"max_iter": 1}}
    )
    scorer = TreeScorer(fit_trees(rows, made))
    assert scorer.schema.names == ("a", "shop", "day")
    x = scorer.matrix({"a": rows.number("a"), "shop": rows.text("shop"), "day": rows.text("day")}, 4)
    assert x[:, 1].tolist() == [0, 1, 1, 0], "two of one moment know nothing of each other"
    assert x[1:3, 2].tolist() == [86400, 86400] and np.isnan(x[[0, 3], 2]).all()
    assert x[1:3, 3].tolist() == [1, 1]
    with pytest.raises(DataError, match="entity"):
        fit_trees(rows, recipe(columns=("a",), options={"features": ["past"]}))


def test_label_means_do_not_know_their_own_row() -> None:
    """A label a row: its mean over all rows would tell the outcome; over the other folds it tells nothing."""
    n = 400
    rng = np.random.default_rng(5)
    left = rng.choice(["yes", "no"], n)
    rows = Table("t", None, pa.table({"shop": [f"s{i}" for i in range(n)], "left": left}))
    made = recipe(columns=("shop",), key=None, options={"features": ["means"], "params": {"max_iter": 30}})
    model = fit_trees(rows, made)
    fresh = TreeScorer(model).score_columns({"shop": np.array(["new"] * 50, dtype=object)}, 50)
    assert np.ptp(fresh) == 0 and abs(fresh[0] - (left == "yes").mean()) < 0.15


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pyarrow import csv

    folder = tmp_path_factory.mktemp("search") / "w"
    amb.init(folder)
    csv.write_csv(table(1500, 2).arrow, folder / "data" / "t.csv")
    answer = amb.drivers(folder / "data" / "t.csv", target="left", exclude=["id"], at=folder)
    amb.package(answer.name, name="left", at=folder)
    settings = folder / "ambidex.toml"
    settings.write_text(settings.read_text() + 'key = "id"\n')
    return folder


def test_a_search_finds_trees_and_keeps_what_it_tried(place: Path) -> None:
    told: list[str] = []
    said = amb.train("left", trials=4, say=told.append, at=place)
    record = amb.models("show", f"left@{said.data['version']}", at=place).data["lineage"]["search"]
    assert record["tried"] == len(record["trials"]) == len(told) == 6 and record["stopped"] == "trials"
    assert [t["family"] for t in record["trials"][:5]] == ["constant", "linear", "additive", "boosted", "forest"]
    assert record["trials"][record["best"]]["family"] in ("boosted", "forest"), "only trees see the interaction"
    assert record["trials"][record["best"]]["loss"] < record["trials"][1]["loss"] < record["trials"][0]["loss"] + 0.01
    assert [b["name"] for b in said.data["baselines"]] == ["constant", "linear"]
    assert all(b["high"] < 0 for b in said.data["baselines"])
    again = amb.train("left", trials=4, say=told.append, at=place)
    assert len(told) == 12, "a search that has ended begins anew"
    pair = f"left@{said.data['version']}", f"left@{again.data['version']}"
    assert amb.models("diff", *pair, at=place).data["predictions_changed"]["changed"] == 0
    assert amb.test(pair[0], at=place).data["passed"]
    assert amb.gate(pair[0], at=place).passed


def test_what_was_tried_before_a_kill_is_not_tried_again(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def stops(after: int) -> Callable[[str], None]:
        def say(line: str) -> None:
            told.append(line)
            if len(told) == after:
                raise KeyboardInterrupt

        return say

    with pytest.raises(KeyboardInterrupt):
        amb.train("left", trials=2, say=stops(3), at=place)
    assert not open_workspace(place).store.document("search/left")["ended"]
    rest: list[str] = []
    amb.train("left", trials=2, say=rest.append, at=place)
    assert len(told) == 3 and [line.split()[0] for line in rest] == ["4"]


def test_a_budget_ends_a_search_and_says_that_it_may_end_elsewhere(place: Path) -> None:
    said = amb.train("left", budget="0.001s", say=lambda line: None, at=place)
    assert said.data["search"]["stopped"] == "budget" and said.data["search"]["tried"] == 3
    assert "not-deterministic" in dict(said.warnings)
    with pytest.raises(UsageError, match="duration"):
        amb.train("left", budget="soon", at=place)


def test_an_embargo_lies_before_the_validation_rows() -> None:
    rows = table(600, 4)
    side, words = searching._validation(rows, recipe(time="day"), 30 * 86400.0)
    when = rows.times("day").values
    assert set(side.tolist()) == {0, 1, 2} and "30 days" in words
    assert when[side == 1].min() - when[side == 0].max() >= np.timedelta64(30, "D")


def test_trials_are_the_same_for_the_same_seed() -> None:
    settings = SearchSettings(trials=30)
    first = [canonical(r.to_json()) for r in searching.trials(recipe(), settings)]
    assert first == [canonical(r.to_json()) for r in searching.trials(recipe(), settings)]
    assert len(first) == len(set(first)) == 32
