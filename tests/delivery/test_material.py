"""The rows a recipe trains on: labelled, mature, split the same way for ever."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from ambidex.delivery.material import load, outcome
from ambidex.delivery.references import parse
from ambidex.errors import DataError, UsageError
from ambidex.records import Prepare, Recipe

RECIPE = Recipe(data="t.csv", target="y", positive="yes", task="binary", columns=("x",), key="id", time="day")


def write(folder: Path, rows: list[str]) -> Path:
    (folder / "t.csv").write_text("\n".join(["id,x,day,y", *rows]) + "\n")
    return folder


def rows(n: int, start: int = 0) -> list[str]:
    return [f"u{i},{i % 7},2026-0{1 + i % 3}-01,{'yes' if i % 3 else 'no'}" for i in range(start, start + n)]


def test_a_unit_stays_on_its_side_when_rows_arrive(tmp_path: Path) -> None:
    before = load(RECIPE, write(tmp_path, rows(500)))
    after = load(RECIPE, write(tmp_path, list(reversed(rows(900)))))
    side = dict(zip(before.table.text("id"), before.held_out, strict=True))
    later = dict(zip(after.table.text("id"), after.held_out, strict=True))
    assert all(later[unit] == held for unit, held in side.items())
    assert 0.15 < np.mean(before.held_out) < 0.25


def test_another_order_is_the_same_data(tmp_path: Path) -> None:
    first = load(RECIPE, write(tmp_path, rows(50))).manifest.fingerprint
    assert load(RECIPE, write(tmp_path, list(reversed(rows(50))))).manifest.fingerprint == first
    assert load(RECIPE, write(tmp_path, rows(51))).manifest.fingerprint != first


def test_unmatched_and_young_rows_are_excluded_never_negative(tmp_path: Path) -> None:
    text = [*rows(30), "v1,3,2026-01-01,", "v2,3,2026-03-20,yes"]
    made = load(RECIPE, write(tmp_path, text), horizon_s=30 * 86400, now=datetime(2026, 4, 10, tzinfo=UTC))
    assert (made.unlabelled, made.immature) == (1, 1)
    assert made.table.rows == 30
    assert set(outcome(made.table, RECIPE)) == {0.0, 1.0}


def test_a_renamed_column_is_named_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,X2,day,y\n1,2,2026-01-01,yes\n")
    with pytest.raises(DataError) as error:
        load(RECIPE, tmp_path)
    assert error.value.code == "data.schema"
    assert "x" in error.value.message


def test_no_label_at_all(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        load(RECIPE, write(tmp_path, ["a,1,2026-01-01,", "b,2,2026-01-01,"]))
    assert error.value.code == "data.too-few-rows"


def test_orders_make_customers_as_of_the_cut(tmp_path: Path) -> None:
    lines = ["who,day,money"]
    for i in range(40):
        lines.append(f"c{i},2026-01-{1 + i % 28:02d},{10 + i}")
        if i % 2:
            lines.append(f"c{i},2026-08-{1 + i % 28:02d},{5 + i}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    recipe = Recipe(
        data="t.csv", target="quiet", positive="yes", task="binary", columns=("recency_days",), key="who",
        prepare=Prepare(kind="orders", unit="who", time="day", value="money", horizon_days=182),
    )  # fmt: skip
    made = load(recipe, tmp_path)
    assert made.table.rows == 40
    assert outcome(made.table, recipe).mean() == 0.5
    assert [f.name for f in made.manifest.files] == ["t.csv"]


@pytest.mark.parametrize(
    "reference", ["churn@", "churn@0", "churn@-1", "churn@1.5", "churn@lvie", "churn", "Churn@1", "a/b@1"]
)
def test_references_that_name_nothing(reference: str) -> None:
    with pytest.raises(UsageError):
        parse(reference)


def test_a_pointer_is_suggested() -> None:
    with pytest.raises(UsageError, match="did you mean `live`"):
        parse("churn@lvie")
