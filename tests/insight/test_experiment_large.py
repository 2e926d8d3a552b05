"""A table on disk gives the numbers of the same table in memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ambidex as amb
from ambidex.data import lazy
from ambidex.data.read import read
from ambidex.errors import AmbidexError
from ambidex.insight.experiment_data import Reading, arm_table, assign, read_metrics, repeats
from ambidex.insight.experiment_metrics import parse_metric

ROWS = 20_000


def rows() -> pa.Table:
    rng = np.random.default_rng(5)
    arm = rng.choice(["A", "B", "C"], ROWS, p=[0.4, 0.4, 0.2]).astype(object)
    arm[rng.random(ROWS) < 0.01] = None
    pre = rng.normal(50, 10, ROWS)
    spend = np.where(rng.random(ROWS) < 0.2, rng.lognormal(3, 1.5, ROWS), 0.0) + (arm == "B")
    views = rng.poisson(6, ROWS) + 1
    lost = rng.random(ROWS) < 0.02
    country = rng.choice(["DE", "FR", "US"], ROWS, p=[0.3, 0.5, 0.2]).astype(object)
    country[rng.random(ROWS) < 0.01] = None
    return pa.table(
        {
            "user": rng.integers(0, 6_000, ROWS),
            "arm": pa.array(arm, pa.string()),
            "pre": pa.array(np.where(rng.random(ROWS) < 0.03, np.nan, pre)),
            "country": pa.array(country, pa.string()),
            "spend": pa.array(spend, mask=lost),
            "balance": pre * 3 + rng.normal(0, 5, ROWS) - 150,
            "huge": 1e9 + rng.normal(0, 1, ROWS),
            "paid": rng.random(ROWS) < 0.1,
            "said": pa.array(np.where(rng.random(ROWS) < 0.3, "yes", "No"), pa.string()),
            "plan": pa.array(rng.choice(["gold", "silver", "free"], ROWS), pa.string()),
            "clicks": rng.binomial(views, 0.3),
            "views": views,
            "typed": pa.array(np.char.add(rng.integers(0, 500, ROWS).astype(str), ".5"), pa.string()),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("parts")
    table = rows()
    for i in range(4):
        part = table.slice(i * ROWS // 4, ROWS // 4)
        pq.write_table(part, where / f"part-{i}.parquet", row_group_size=1_000)
    return where


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lazy, "LARGE_MIB", 0)


SPECS = ["spend", "balance", "huge", "paid", "said", "plan=gold:share", "views:count", "clicks/views", "typed"]


def same(one: Reading, other: Reading) -> None:
    assert (one.missing, one.yes, one.averaged, one.unread) == (other.missing, other.yes, other.averaged, other.unread)
    assert (one.outcome, one.covariates) == (other.outcome, other.covariates)
    close(one.moments, other.moments)
    for a, b in zip(one.levels, other.levels, strict=True):
        np.testing.assert_allclose((a.value, a.se, a.n), (b.value, b.se, b.n), rtol=1e-10)
    if one.metric.kind == "ratio":  # two columns to cap at once: in memory only, and said
        return
    assert (one.capped is None) == (other.capped is None)
    if one.capped is not None and other.capped is not None:
        a, b = one.capped, other.capped
        assert a.beyond == b.beyond
        np.testing.assert_allclose((a.top, a.bottom, a.largest), (b.top, b.bottom, b.largest), rtol=1e-10)
        close(a.moments, b.moments)


def close(one: Any, other: Any) -> None:
    for a, b in zip(one, other, strict=True):
        assert (a.names, a.n) == (b.names, b.n)
        np.testing.assert_allclose(a.mean, b.mean, rtol=1e-10)
        spread = np.sqrt(np.outer(np.diag(b.scatter), np.diag(b.scatter)))
        np.testing.assert_allclose(a.scatter / spread, b.scatter / spread, atol=1e-10)


@pytest.mark.parametrize("unit", [None, "user"])
@pytest.mark.parametrize("covariates", [(), ("pre", "country")])
def test_readings_are_those_of_the_table_in_memory(
    folder: Path, large: None, unit: str | None, covariates: tuple[str, ...]
) -> None:
    there = read(folder)
    here = read(pa.concat_tables([pq.read_table(p) for p in sorted(folder.iterdir())]))
    assert there.is_large and not here.is_large
    one, other = assign(there, "arm", unit), assign(here, "arm", unit)
    assert (one.labels, one.counts, one.unassigned, one.crossed) == (
        other.labels, other.counts, other.unassigned, other.crossed,
    )  # fmt: skip
    # The mean of a unit's rows near 10⁹ has 1e-7 of rounding in it, whichever way it is summed.
    specs = [s for s in SPECS if s != "huge" or unit is None]
    metrics = [parse_metric(there, s) for s in specs]
    assert metrics == [parse_metric(here, s) for s in specs]
    first, second = (read_metrics(t, metrics, w, covariates) for t, w in ((there, one), (here, other)))
    for spec in specs:
        same(first[spec], second[spec])


def test_the_verb_gives_the_same_answer(folder: Path, large: None) -> None:
    here = pa.concat_tables([pq.read_table(p) for p in sorted(folder.iterdir())])
    options: dict[str, Any] = {
        "group": "arm", "metric": ["spend", "paid", "clicks/views"], "secondary": ["balance", "views:count"],
        "guardrail": ["said:share:-0.05"], "control": "A", "shares": {"A": 0.4, "B": 0.4, "C": 0.2},
    }  # fmt: skip
    one, other = (amb.experiment(t, **options).to_dict() for t in (str(folder), here))
    assert read(folder).is_large
    assert one["cautions"].pop(-1)["code"] == "extremes"  # of a ratio: in memory only
    for a, b in zip(one["estimates"], other["estimates"], strict=True):
        for key in ("value", "low", "high", "p_value"):
            if b.get(key) is not None:
                np.testing.assert_allclose(a[key], b[key], rtol=1e-10, atol=1e-14)
    for key in ("headline", "recommendation", "checks", "cautions", "findings"):
        assert json.loads(rounded(one[key])) == json.loads(rounded(other[key])), key


def rounded(value: Any) -> str:
    def near(x: Any) -> Any:
        if isinstance(x, float):
            return float(f"{x:.9g}")
        if isinstance(x, dict):
            return {k: near(v) for k, v in x.items()}
        return [near(v) for v in x] if isinstance(x, list | tuple) else x

    return json.dumps(near(value))


def test_counts_without_reading(folder: Path, large: None) -> None:
    there, here = read(folder), read(rows())
    one, other = assign(there, "arm", None), assign(here, "arm", None)
    assert arm_table(there, one, "country") == arm_table(here, other, "country")
    assert repeats(there, "user") == repeats(here, "user")
    part = there.where("country", "DE")
    assert part.is_large and part.rows == here.where("country", "DE").rows
    assert read_metrics(part, [parse_metric(part, "spend")], assign(part, "arm", None))["spend"].moments[0].n > 100
    np.testing.assert_array_equal(one.arm, other.arm)


@pytest.mark.parametrize(
    ("change", "metric", "code"),
    [
        ({"spend": np.full(ROWS, 3.0)}, "spend", "data.no-variance"),
        ({"spend": np.full(ROWS, np.nan)}, "spend", "data.all-missing"),
        ({"spend": np.where(np.arange(ROWS) == 7, np.inf, 1.0)}, "spend", "data.infinite"),
        ({"views": np.zeros(ROWS, dtype=int)}, "clicks/views", "data.zero-denominator"),
        ({"arm": ["A"] * ROWS}, "spend", "data.one-arm"),
        ({"arm": ["A"] * (ROWS - 1) + ["B"]}, "spend", "data.small-arm"),
        ({"arm": np.arange(ROWS)}, "spend", "data.column-type"),
        ({}, "plan", "data.column-type"),
        ({}, "spend:share", "data.metric-values"),
        ({}, "balance:count", "data.metric-values"),
        ({}, "views/clicks:share", "data.metric-values"),
    ],
)
def test_what_is_no_experiment_is_refused_alike(
    tmp_path: Path, large: None, change: dict[str, Any], metric: str, code: str
) -> None:
    table = rows()
    for name, values in change.items():
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=3_000)
    said = []
    for source in (str(tmp_path / "t.parquet"), table):
        with pytest.raises(AmbidexError) as raised:
            amb.experiment(source, group="arm", metric=metric)
        said.append((raised.value.code, raised.value.message))
    assert said[0][0] == code
    assert said[0] == said[1]


def test_sorted_values_do_not_mislead_the_sample(tmp_path: Path, large: None) -> None:
    """The largest values all stand at the end, far from the first ones; one arm is a thousand times the other."""
    rng = np.random.default_rng(1)
    values = np.sort(np.concatenate([np.zeros(30_000), rng.lognormal(3, 2, 10_000)]))
    values[:15_000] += 1e9
    arm = np.where(np.arange(40_000) % 2 == 0, "A", "B")
    table = pa.table({"arm": arm, "x": values, "z": np.where(arm == "A", 1e9, 0) + rng.normal(0, 1, 40_000)})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=2_000)
    there, here = read(tmp_path / "t.parquet"), read(table)
    metrics = [parse_metric(here, s) for s in ("x", "z")]
    one, other = (read_metrics(t, metrics, assign(t, "arm", None)) for t in (there, here))
    same(one["x"], other["x"])
    close(one["z"].moments, other["z"].moments)


def test_a_file_that_changes_meanwhile_is_said(tmp_path: Path, large: None) -> None:
    pq.write_table(rows(), tmp_path / "t.parquet")
    table = read(tmp_path / "t.parquet")
    pq.write_table(rows().slice(0, 9_000), tmp_path / "t.parquet")
    with pytest.raises(AmbidexError, match="changed") as raised:
        amb.experiment(table, group="arm", metric="spend")
    assert raised.value.code == "data.changed"
