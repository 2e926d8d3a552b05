"""The uplift model of a campaign from answer to scores, and the model itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv

import ambidex
from ambidex.bundle.fit import ESTIMATORS, fit
from ambidex.bundle.open import load_scorer
from ambidex.bundle.uplift import UpliftScorer, fit_uplift
from ambidex.data.read import read
from ambidex.delivery.material import outcome
from ambidex.errors import DataError, Refused
from ambidex.records import Recipe


def rows(n: int = 4000, gain: float = 2.0, seed: int = 0) -> pa.Table:
    """New customers respond, old ones do not; a third arm that the model must leave out."""
    rng = np.random.default_rng(seed)
    arm, kind = rng.choice(["none", "mail", "call"], n), rng.choice(["new", "old"], n)
    age = rng.integers(18, 80, n).astype(float)
    spend = 10 + age / 10 + gain * ((arm == "mail") & (kind == "new")) + rng.normal(0, 1, n)
    bought = rng.random(n) < 0.2 + 0.3 * ((arm == "mail") & (kind == "new"))
    return pa.table(
        {
            "arm": arm, "kind": kind, "age": np.where(rng.random(n) < 0.05, np.nan, age), "spend": spend,
            "bought": np.where(bought, "yes", "no"),
        }
    )  # fmt: skip


def recipe(**more: Any) -> Recipe:
    return Recipe(
        data="rows.csv", target="spend", task="regression", columns=("kind", "age"), estimator="uplift",
        options={"treatment": "arm", "arm": "mail", "control": "none"}, **more,
    )  # fmt: skip


def test_the_score_is_the_gain() -> None:
    model = fit_uplift(read(rows()), recipe())
    scorer = UpliftScorer(json.loads(json.dumps(model)))
    assert scorer.score({"kind": "new", "age": 40}) == pytest.approx(2.0, abs=0.3)
    assert scorer.score({"kind": "old", "age": 40}) == pytest.approx(0.0, abs=0.3)
    assert model["rows"] < 3000 and "arm" not in scorer.schema.names


def test_one_row_and_many_give_the_same_bits() -> None:
    table = read(rows())
    scorer = load_scorer(fit(table, recipe()))
    columns = {"kind": table.text("kind"), "age": table.number("age")}
    many = scorer.score_columns(columns, table.rows)
    one = [scorer.score({"kind": k, "age": a}) for k, a in zip(columns["kind"], columns["age"], strict=True)]
    assert many.tolist() == one and np.isfinite(many).all()


def test_a_level_or_a_gap_in_one_arm_only_is_an_ordinary_input() -> None:
    table = rows()
    kind = np.array(table["kind"].to_pylist(), dtype=object)
    kind[(np.array(table["arm"].to_pylist()) == "mail") & (np.arange(4000) % 50 == 0)] = "vip"
    model = fit_uplift(read(table.set_column(1, "kind", pa.array(kind.tolist()))), recipe())
    (column,) = [c for c in model["schema"]["columns"] if c["name"] == "kind"]
    assert "vip" in column["levels"]
    assert np.isfinite(UpliftScorer(model).score({"kind": "vip", "age": None}))


def test_yes_and_no_are_probabilities() -> None:
    model = fit_uplift(read(rows()), Recipe(**{**_plain(recipe(positive="yes")), "target": "bought"}))
    scorer = UpliftScorer(model)
    assert model["treated"]["link"] == "logit"
    assert 0.2 < scorer.score({"kind": "new", "age": 40}) < 0.4


def _plain(r: Recipe) -> dict[str, Any]:
    return {name: getattr(r, name) for name in r.__dataclass_fields__}


def test_the_transformed_outcome_has_the_effect_as_its_mean() -> None:
    table = read(rows(12_000))
    two = table.take(np.isin(table.text("arm").astype(str), ["mail", "none"]))
    y = outcome(two, recipe())
    new = two.text("kind") == "new"
    assert y[new].mean() == pytest.approx(2.0, abs=0.3) and y[~new].mean() == pytest.approx(0.0, abs=0.3)


@pytest.mark.parametrize("change", [{"arm": "fax"}, {"treatment": "kind", "arm": "new", "control": "gone"}])
def test_an_arm_without_rows(change: dict[str, str]) -> None:
    bad = Recipe(**{**_plain(recipe()), "options": {**recipe().options, **change}})
    with pytest.raises(DataError) as caught:
        fit_uplift(read(rows(300)), bad)
    assert caught.value.code == "data.too-few-rows" and caught.value.do


def test_without_a_holdout_nothing_can_be_judged() -> None:
    table = read(rows(300))
    with pytest.raises(DataError) as caught:
        outcome(table.take(table.text("arm") == "mail"), recipe())
    assert caught.value.code == "data.one-arm" and "none" in caught.value.message


def test_an_unknown_estimator_and_format_are_named() -> None:
    assert "uplift" in ESTIMATORS
    with pytest.raises(DataError, match="is not known"):
        fit(read(rows(50)), Recipe(**{**_plain(recipe()), "estimator": "oracle"}))
    with pytest.raises(DataError, match="no uplift model"):
        UpliftScorer({"format": "x"})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    ambidex.init(tmp_path / "shop")
    return tmp_path / "shop"


def ask(shop: Path, gain: float) -> Any:
    csv.write_csv(rows(6000, gain), shop / "rows.csv")
    select = f"SELECT * FROM '{shop / 'rows.csv'}' WHERE arm <> 'call'"
    return ambidex.campaign(
        select,
        treatment="arm",
        outcome="spend",
        control="none",
        value=1.0,
        cost=0.5,
        covariate=["kind", "age"],
        at=shop,
    )


def test_answer_to_scores(shop: Path) -> None:
    answer = ask(shop, 2.0)
    packaged = ambidex.package(answer, name="who", at=shop)
    assert packaged.equal == packaged.of > 3000 and packaged.largest_difference == 0
    assert ambidex.test("who@1", at=shop).passed
    gates = ambidex.gate("who@1", at=shop)
    assert gates.passed, gates.to_dict()
    ambidex.promote("who@1", to="live", at=shop)
    scored = ambidex.score("who", shop / "rows.csv", out=shop / "gains.csv", at=shop)
    assert scored.rows == 6000
    gains = csv.read_csv(shop / "gains.csv")["prediction"].to_numpy()
    new = np.array(rows(6000, 2.0)["kind"].to_pylist()) == "new"
    assert gains[new].mean() > 1.5 > 0.5 > gains[~new].mean()
    assert "not judged" in ambidex.monitor("who", at=shop).lines[0][1]
    readme = (shop / "packages" / "who" / "README.md").read_text()
    assert "rests on a randomised campaign" in readme and "Qini" in readme


def test_a_ranking_that_tells_nothing_does_not_go_live(shop: Path) -> None:
    ambidex.package(ask(shop, 0.0), name="who", at=shop)
    assert not ambidex.test("who@1", at=shop).passed
    with pytest.raises(Refused) as caught:
        ambidex.promote("who@1", to="live", at=shop)
    assert caught.value.code == "check.gate" and "better-than-constant" in str(caught.value)
