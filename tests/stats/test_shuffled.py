"""Wald tests of skewed numbers against shuffled residuals."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.effects import link
from ambidex.stats.families import benjamini_hochberg
from ambidex.stats.regression import joint_wald, linear
from ambidex.stats.shuffled import shuffled_wald, skewed

PLACES = [slice(1, 2), slice(2, 4), slice(4, 5)]


def table(rng: np.random.Generator, n: int) -> np.ndarray:
    """A rare level, a column of two design columns, a number."""
    return np.column_stack(
        [np.ones(n), rng.random(n) < 0.05, np.eye(3)[rng.integers(0, 3, n)][:, 1:], rng.normal(size=n)]
    ).astype(float)


def spend(rng: np.random.Generator, n: int) -> np.ndarray:
    return (rng.random(n) < 0.1) * rng.lognormal(0, 1, n)


def test_near_normal_residuals_keep_the_f_law() -> None:
    rng = np.random.default_rng(1)
    x = table(rng, 400)
    y = x[:, 4] + rng.normal(size=400)
    assert shuffled_wald(x, y, linear(x, y), PLACES) is None
    assert not skewed(np.zeros(9))


def test_strong_effects_stay_strong_and_ordered() -> None:
    rng = np.random.default_rng(2)
    x = table(rng, 600)
    y = rng.exponential(size=600) + 2 * x[:, 4] + 0.5 * x[:, 2]
    p = shuffled_wald(x, y, linear(x, y), PLACES)
    assert p is not None and p[2] < 1e-20 < p[1] < 0.01
    assert p == shuffled_wald(x, y, linear(x, y), PLACES)
    e = link(linear(x, y), PLACES[1], "b", outcome="y", p_value=p[1])
    assert e.p_value == p[1] and "shuffled residuals" in e.method


def test_dropped_columns_have_no_test() -> None:
    rng = np.random.default_rng(3)
    x = table(rng, 300)
    x = np.column_stack([x, x[:, 4]])
    y = rng.exponential(size=300)
    p = shuffled_wald(x, y, linear(x, y), [*PLACES, slice(5, 6)])
    assert p is not None and np.isnan(p[3]) and not np.isnan(p[:3]).any()


def test_large_tables_keep_the_f_law() -> None:
    rng = np.random.default_rng(4)
    x = np.column_stack([np.ones(60_000), rng.normal(size=(60_000, 60))])
    y = rng.exponential(size=60_000)
    assert shuffled_wald(x, y, linear(x, y), [slice(i, i + 1) for i in range(1, 61)]) is None


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_noise_names_no_column_more_often_than_allowed() -> None:
    rng, named = np.random.default_rng(5), {"F": 0, "shuffled": 0}
    for _ in range(300):
        x = table(rng, 1000)
        y = spend(rng, 1000)
        fit = linear(x, y)
        p = shuffled_wald(x, y, fit, PLACES)
        assert p is not None
        named["shuffled"] += bool((benjamini_hochberg(p) <= 0.1).any())
        named["F"] += bool((benjamini_hochberg([joint_wald(fit, place)[2] for place in PLACES]) <= 0.1).any())
    print(f"spend of noise: {named}")
    assert named["shuffled"] / 300 <= 0.1 + 2 * (0.09 / 300) ** 0.5 and named["F"] / 300 > 0.15
