"""Numbers as people read them."""

from __future__ import annotations

import doctest
import math

import pytest

from ambidex.report import charts, forms, frame, grids, ink, marks, page, view, words


@pytest.mark.parametrize("module", [words, ink, charts, forms, frame, grids, marks, page, view])
def test_examples(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("x", [None, math.nan, math.inf, -math.inf])
def test_what_is_missing_is_a_dash(x):
    for say in (words.count, words.share, words.points, words.signed_points, words.number, words.signed):
        assert say(x) == "–"
    assert words.span(x, x) == "–"


@pytest.mark.parametrize(
    ("x", "text"),
    [(-0.00001, "0.0 points"), (0.00001, "0.0 points"), (-0.0082, "−0.8 points"), (1.5, "+150.0 points")],
)
def test_signed_points(x, text):
    assert words.signed_points(x) == text


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (999.6, "1,000"),
        (0.1 + 0.2, "0.3"),
        (1e-9, "1e−09"),
        (2e15, "2e+15"),
        (-1234567, "−1,234,567"),
        (99.95, "100"),
        (0.0001234, "0.000123"),
    ],
)
def test_number(x, text):
    assert words.number(x) == text


def test_no_hyphen_stands_for_a_minus():
    for say in (words.count, words.share, words.points, words.signed_points, words.number, words.signed):
        assert "-" not in say(-1234.5678)


def test_span_says_the_unit_once():
    assert words.span(-0.02, 0.01, lambda v: words.points(v, 0)) == "−2 to 1 points"
    assert words.span(None, 3) == "up to 3"


def test_wrapped_lines_fit_their_room():
    for text in ("a b c", "x" * 500, "Households with the unlimited family plan", "日本語" * 60, "", "\n\t\x00"):
        lines = ink.wrap(text, 120, size=13, most=3)
        assert 1 <= len(lines) <= 3
        assert all(ink.width_of(line, 13) <= 120 for line in lines)
