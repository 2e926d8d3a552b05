"""Short rules, and what groups tell about a value."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.grouping import between, beyond_chance
from ambidex.stats.rules import best_rule, tree_accuracy


def test_a_rule_finds_a_box():
    rng = np.random.default_rng(0)
    age, spend = rng.uniform(20, 70, 500), rng.uniform(0, 100, 500)
    inside = (age > 40) & (spend <= 30)
    rule = best_rule({"age": age, "spend": spend}, inside)
    assert {(c.column, c.sign) for c in rule.conditions} >= {("age", ">"), ("spend", "<=")}
    assert rule.accuracy > 0.95 and len(rule.conditions) <= 3
    assert (rule.holds({"age": age, "spend": spend}, 500) == inside).mean() == rule.accuracy


def test_a_rule_on_labels_and_missing_numbers():
    plan = np.array(["gold", "gold", "basic", None], dtype=object)
    rule = best_rule({"plan": plan, "age": np.array([1.0, np.nan, 3.0, 4.0])}, np.array([True, True, False, False]))
    assert [(c.column, c.sign, c.value) for c in rule.conditions] == [("plan", "is", "gold")]


@pytest.mark.parametrize("inside", [np.zeros(4, bool), np.ones(4, bool)])
def test_nobody_and_everybody(inside):
    rule = best_rule({"age": np.arange(4.0)}, inside)
    assert 0 <= rule.accuracy <= 1 and len(rule.conditions) <= 3


def test_tree_accuracy_is_of_rows_not_seen():
    x = np.random.default_rng(0).normal(size=(400, 3))
    assert tree_accuracy(x, (x[:, 0] > 0).astype(np.int64), seed=0) > 0.95
    assert tree_accuracy(x, np.zeros(400, np.int64), seed=0) == 1.0


def test_eta_squared_by_hand_and_pairs_on_the_same_samples():
    value = np.array([1.0, 1, 1, 5, 5, 5, 9, 9, 9] * 10)
    true = np.array([0, 0, 0, 1, 1, 1, 2, 2, 2] * 10)
    board = between(
        value, {"halves": true // 2, "true": true}, {"halves": ["a", "b"], "true": ["a", "b", "c"]}, what="spend",
        unit="", seed=0,
    )  # fmt: skip
    assert board.explained["true"].value == pytest.approx(1.0)
    assert board.explained["halves"].value == pytest.approx(0.75)
    assert [m.value for m in board.means["true"]] == [1.0, 5.0, 9.0]
    assert board.gains["true"].value == pytest.approx(0.25) and board.gains["true"].low > 0


def test_a_constant_value_is_told_by_nothing():
    board = between(np.ones(50), {"a": np.arange(50) % 2}, {"a": ["x", "y"]}, what="spend", unit="", seed=0)
    assert board.explained["a"].value == 0.0


def test_columns_go_together_beyond_chance_or_not():
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(300, 1))
    assert beyond_chance(factor + rng.normal(size=(300, 4)), name="axis", seed=0).low > 0
    assert beyond_chance(rng.normal(size=(300, 1)), name="axis", seed=0).low == -np.inf
