"""Arming: what would have rung on the past decides what may ring; seasons and short histories stay silent."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from ambidex.bundle.reference_rows import sample_of, unpacked_cells
from ambidex.stats.changes import counted_rate, per_df, swing
from ambidex.watch.arming import replayed
from ambidex.watch.layers import judge_look, new_layers, period_key
from ambidex.watch.log import Arrivals
from ambidex.watch.look import Look, look_at_rows
from ambidex.watch.monitor import monitor_pass, new_state
from watch.watched import NOON, columns, reference, schema

OF = schema(3, 1)


def look(rng: np.random.Generator, then: dict[str, Any], day: int, n: int = 400, **moved: Any) -> Look:
    values = columns(rng, n, OF, **moved)
    at = (NOON + timedelta(days=day)).isoformat().replace("+00:00", "Z")
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return look_at_rows(then, OF, rows, [0.3] * n, began=at, ended=at)


@pytest.fixture(scope="module")
def then() -> dict[str, Any]:
    return reference(np.random.default_rng(1), OF, 4_000)


@pytest.fixture(scope="module")
def quiet(then: dict[str, Any]) -> list[Look]:
    rng = np.random.default_rng(2)
    return [look(rng, then, day) for day in range(28)]


def test_quiet_history_arms_and_says_what_it_would_have_rung(then: dict[str, Any], quiet: list[Look]) -> None:
    found = replayed(then, OF, quiet, trees=False)
    assert found.mode == "layers"
    assert set(found.armed) >= {"sudden", "small"}
    assert "on your last 28 days (28 looks) this would have rung never; allowed" in found.text
    assert "no whole year was seen" in found.text
    assert found.layers["log_r"] == {}
    assert sum(found.layers["pools"]["all"]["n0"]) == 4_000 + 28 * 400


def test_too_little_history_stays_silent_and_says_so(then: dict[str, Any], quiet: list[Look]) -> None:
    for part in (quiet[:10], []):
        found = replayed(then, OF, part)
        assert (found.mode, found.armed) == ("none", {})
        assert "too little history" in found.text


def test_a_week_gets_a_pool_for_each_weekday(then: dict[str, Any]) -> None:
    rng = np.random.default_rng(3)
    looks = [look(rng, then, d, shift=0.6 * np.sin(2 * np.pi * d / 7), moved=3) for d in range(35)]
    found = replayed(then, OF, looks, trees=False)
    assert found.mode == "weekday"
    assert "one pool for each weekday" in found.text
    assert "sudden" in found.armed
    assert set(found.layers["pools"]) == set("0123456")
    layers = found.layers
    rang = []
    for d in range(35, 49):  # the same week goes on, then something changes on top
        after = 0.8 if d >= 42 else 0.0
        one = look(rng, then, d, shift=0.6 * np.sin(2 * np.pi * d / 7) + after, moved=3)
        counts = {name: c.counts for name, c in one.columns.items()}
        layers, rings = judge_look(
            layers, then["columns"], counts, rate=1 / 365, began=one.began, at=NOON + timedelta(d)
        )
        rang += [d] * bool(rings)
    assert rang
    assert 42 <= min(rang) <= 44


def test_autocorrelated_rows_get_no_layers(then: dict[str, Any]) -> None:
    rng, level, looks = np.random.default_rng(4), 0.0, []
    for d in range(30):
        level = 0.97 * level + 0.3 * rng.normal()
        looks.append(look(rng, then, d, shift=level, moved=3))
    found = replayed(then, OF, looks, trees=False)
    assert found.mode == "swing"
    assert "sudden" not in found.detectors
    assert found.swing is not None
    assert found.swing > 1.5
    assert "D3" in found.text


def test_what_rings_too_often_is_not_armed(then: dict[str, Any]) -> None:
    other = reference(np.random.default_rng(9), OF, 4_000)
    rng = np.random.default_rng(5)
    looks = [look(rng, other, d, shift=0.1 * d / 2, moved=1) for d in range(28)]  # a slow climb
    found = replayed(then, OF, looks, trees=False)
    assert not found.armed.keys() & {"sudden", "small"}


def test_a_column_that_was_constant_is_named(then: dict[str, Any], quiet: list[Look]) -> None:
    stuck = [
        replace(one, columns={**one.columns, "n1": replace(one.columns["n1"], only=0.0 if i < 7 else None)})
        for i, one in enumerate(quiet)
    ]
    assert replayed(then, OF, stuck, trees=False).constant == (("n1", 7),)


def test_silent_rings_are_kept_and_armed_ones_sent(then: dict[str, Any]) -> None:
    rng = np.random.default_rng(6)
    # Within the margin of D2, far beyond chance for the layers.
    one = look(rng, then, 0, n=20_000, shift=0.12, moved=1)
    options: dict[str, Any] = {"margin": 0.2, "now": NOON}
    state, report = monitor_pass(then, OF, new_state(1), Arrivals(looks=[one]), **options)
    assert not report.alerts
    assert state["kept"]["sudden"]["count"] == 1
    state, report = monitor_pass(then, OF, new_state(1), Arrivals(looks=[one]), armed={"sudden": "ok"}, **options)
    word = {d["name"]: d["state"] for d in report.detectors}
    assert (word["sudden"], word["small"], word["harm"]) == ("armed", "silent", "armed")
    inside = next(c for c in report.columns if c["name"] == "n0")["outcome"] == "inside"
    assert bool(report.alerts) != inside  # a ring on columns shown to lie inside the margin is kept


def test_the_classifier_sees_that_columns_go_together_differently() -> None:
    of = schema(4, 0)
    rng = np.random.default_rng(7)
    base = reference(rng, of, 3_000)
    from ambidex.bundle.reference import make_reference
    from watch.watched import table

    base = make_reference(table(columns(rng, 3_000, of)), of, sample=True)
    values = columns(rng, 800, of)
    values["n1"] = 0.9 * values["n0"] + 0.4 * values["n1"]
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    one = look_at_rows(base, of, rows, [0.3] * 800, began="2026-03-01T12:00:00Z", ended="2026-03-01T12:00:00Z")
    _, report = monitor_pass(base, of, new_state(1), Arrivals(looks=[one]), armed={"relations": "ok"}, now=NOON)
    (alert,) = report.alerts
    assert alert["kind"] == "relations"
    assert {"n0", "n1"} & set(alert["columns"])
    assert report.passed


def test_swing_and_its_neighbours() -> None:
    rng = np.random.default_rng(8)
    even = rng.multinomial(500, [0.25] * 4, size=40)
    assert 0.7 < swing(even).value < 1.3
    assert swing(even).low < 1.5
    weekly = np.concatenate([rng.multinomial(500, p, size=20) for p in ([0.4, 0.2, 0.2, 0.2], [0.2, 0.4, 0.2, 0.2])])
    groups = ["a"] * 20 + ["b"] * 20
    assert swing(weekly).value > 5
    assert 0.7 < swing(weekly, groups).value < 1.3
    assert per_df([500, 500], [100, 0], ordered=True) > 50
    assert counted_rate(4).low > 0.25  # four rings where a quarter is allowed
    assert period_key("hour", NOON) == "12"
    cells = rng.integers(0, 17, size=(50, 3)).astype(np.uint8)
    assert (unpacked_cells(sample_of(cells)) == cells).all()
    assert new_layers()["pools"] == {}
