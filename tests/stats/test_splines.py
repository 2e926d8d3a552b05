"""Natural splines: straight outside, smooth inside, and the same as polynomials a stretch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ambidex.stats.design import MISSING, OTHER, category, number
from ambidex.stats.splines import basis, choose_knots, pieces

knots_of = hnp.arrays(float, 2, elements=st.floats(0.05, 0.95)).map(np.sort).filter(lambda k: k[1] - k[0] > 0.02)


@given(knots_of, hnp.arrays(float, 3, elements=st.floats(-3, 3)), st.floats(-2, 3))
def test_the_pieces_are_the_basis(inner: np.ndarray, weights: np.ndarray, u: float) -> None:
    knots = np.concatenate([[0.0], inner, [1.0]])
    start, c0, c1, c2, c3 = (
        next(p for p in reversed(pieces(weights, knots)) if u >= p[0] or p is None)
        if u >= 0
        else (pieces(weights, knots)[0])
    )
    d = u - start
    expected = float((basis(np.array([u]), knots) @ weights)[0])
    # Truncated cubes cancel: with knots .02 apart their weights reach 50, and so does the rounding.
    assert c0 + d * (c1 + d * (c2 + d * c3)) == pytest.approx(expected, abs=1e-9)


def test_straight_outside_and_smooth_inside() -> None:
    knots = np.array([0.0, 0.3, 0.7, 1.0])
    for tail in (np.linspace(-2, 0, 9), np.linspace(1, 3, 9)):
        assert np.diff(basis(tail, knots), 2, axis=0) == pytest.approx(0, abs=1e-12)
    grid = np.linspace(-0.5, 1.5, 4001)
    assert np.abs(np.diff(basis(grid, knots), 2, axis=0)).max() < 1e-4  # no corner


def test_it_spans_what_patsy_spans() -> None:
    patsy = pytest.importorskip("patsy")
    x = np.sort(np.random.default_rng(0).uniform(0, 1, 200))
    knots = np.quantile(x, [0.05, 0.35, 0.65, 0.95])
    theirs = np.asarray(
        patsy.dmatrix(
            "cr(x, knots=inner, lower_bound=a, upper_bound=b) - 1",
            {"x": x, "inner": knots[1:3], "a": knots[0], "b": knots[3]},
        )
    )
    inside = (x >= knots[0]) & (x <= knots[3])
    u = (x - knots[0]) / (knots[3] - knots[0])
    ours = np.column_stack([np.ones(len(x)), basis(u, (knots - knots[0]) / (knots[3] - knots[0]))])
    gap = ours[inside] - theirs[inside] @ np.linalg.lstsq(theirs[inside], ours[inside], rcond=None)[0]
    assert np.abs(gap).max() < 1e-9


def test_knots() -> None:
    assert choose_knots(np.array([0.0, 1.0] * 60)).size == 0
    assert choose_knots(np.full(200, 3.0)).size == 0
    assert choose_knots(np.array([0.0, 1.0, 2.0] * 60)).tolist() == [0.0, 1.0, 2.0]
    assert choose_knots(np.array([0.0, 1.0] * 60 + [2.0] * 5)).size == 0
    mostly_zero = np.concatenate([np.zeros(190), np.arange(1.0, 11.0)])
    assert 3 <= choose_knots(mostly_zero).size <= 4
    assert choose_knots(np.arange(50.0)).size == 3


def test_categories_fold_what_is_rare() -> None:
    values = np.array(["a"] * 50 + ["b"] * 30 + ["c"] * 6 + ["d"] * 6 + [None] * 12, dtype=object)
    term = category("plan", values, least=10)
    assert term.levels == ("a", "b")
    assert term.folded == ("c", "d")
    assert term.labels == ("b", OTHER, MISSING)
    assert term.matrix(values).sum(axis=0).tolist() == [30, 12, 12]
    assert term.matrix(np.array(["never seen"], dtype=object)).tolist() == [[0, 0, 0]]
    lone = category("plan", values[:86], least=10)
    assert lone.folded == ()  # six rows are too few for a coefficient, even shared


def test_missing_numbers_are_the_median_and_say_so() -> None:
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, np.nan])
    term = number("x", values)
    assert term.impute == 3
    matrix = term.matrix(values)
    assert matrix[-1].tolist() == [matrix[2, 0], 1.0]
    assert not number("x", values, least=5).missing
