"""Numbers that read as numbers and mean something else: zeros that stand for nothing, negatives, slips of the pen."""

from __future__ import annotations

import re
from typing import Any, TypedDict

import numpy as np

__all__ = ["FAR", "FEW_FAR", "HUGE", "Problem", "named_zeros", "negatives", "odd_numbers", "snake"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

NEVER_ZERO = re.compile(
    r"(?:^|_)(?:age|height|weight|bmi|glucose|pressure|hum|humidity|bathrooms?|bedrooms?|sqft|area|price|unit_?price"
    r"|year|salary|income|rent)(?:_|$)"
)
NEVER_NEGATIVE = re.compile(
    r"(?:^|_)(?:price|unit_?price|fare|amount|amt|total|charges?|cost|fee|paid|payment|quantity|qty|units|count|orders?"
    r"|visits|clicks|views|impressions|duration|distance|minutes|hours|age|sqft|area|sales|revenue|spend|spent|tip|tax"
    r"|surcharge)(?:_|$)"
)
RARE = 0.02
"""Zeros in more rows than this are a habit of the column, not a slip."""
NEGATIVE = 0.10
FAR = 3.0
"""Times the .999 quantile of the sizes."""
FEW_FAR = 1e-4
HUGE = 20.0


class Problem(TypedDict):
    """``code`` is stable, ``text`` names column and count, ``count`` is the number of cells."""

    code: str
    text: str
    count: int


def odd_numbers(name: str, values: Floats, counts: Ints) -> list[Problem]:
    """Suspicious values of a column of numbers.

    Args:
        name: The column; some things cannot be 0 or less by what they are called.
        values: Different finite values. Shape (k,).
        counts: Rows that hold each. Shape (k,).

    Example:
        >>> odd_numbers("bedrooms", np.array([0.0, 3.0, 4.0]), np.array([1, 60, 40]))[0]["code"]
        'zero-unlikely'
    """
    known = int(counts.sum())
    if known < 20 or len(values) < 3:
        return []
    order = np.argsort(values)
    values, counts = values[order], counts[order]
    said = snake(name)
    return [*_zeros(name, said, values, counts, known), *_negatives(name, values, counts, known),
            *_far(name, values, counts, known)]  # fmt: skip


def _zeros(name: str, said: str, values: Floats, counts: Ints, known: int) -> list[Problem]:
    zeros = int(counts[values == 0].sum())
    above = values[values > 0]
    if not zeros or len(above) < 2:
        return []
    text = ""
    if zeros <= RARE * known:
        if NEVER_ZERO.search(said):
            return named_zeros(name, zeros, known)
        if values[0] == 0 and len(above) >= 20 and zeros >= 2:
            step = float(np.median(np.diff(above[:50])))
            if step > 0 and above[0] >= 5 * step and 0.02 * np.median(above) < above[0] < np.median(above):
                text = f"and the next value is {_number(above[0])}, far from it; it may mean missing"
    if not text and values[0] == 0 and len(values) <= 12 and (values == np.trunc(values)).all() and above[0] == 1:
        ones = int(counts[values == 1].sum())
        if zeros <= 0.01 * known and ones >= 0.05 * known and len(values) <= 8:
            rare = [(v, int(c)) for v, c in zip(values, counts, strict=True) if v > 0 and c <= 0.01 * known]
            more = "".join(f", {_number(v)} in {c:,}" for v, c in rare[:4])
            text = f"where the codes begin with 1{f' ({more[2:]} too)' if more else ''}: see what such codes mean"
    if not text:
        return []
    return [{"code": "zero-unlikely", "text": f"`{name}` is 0 in {_rows(zeros)}, {text}", "count": zeros}]


def named_zeros(name: str, zeros: int, known: int) -> list[Problem]:
    """Zeros of something that by its name has none, where they are few of the ``known``."""
    if not 0 < zeros <= RARE * known or not NEVER_ZERO.search(snake(name)):
        return []
    text = f"`{name}` is 0 in {_rows(zeros)}, which such a thing can hardly be; it may mean missing"
    return [{"code": "zero-unlikely", "text": text, "count": zeros}]


def _negatives(name: str, values: Floats, counts: Ints, known: int) -> list[Problem]:
    return negatives(name, int(counts[values < 0].sum()), float(values[0]), known)


def negatives(name: str, rows: int, least: float, known: int) -> list[Problem]:
    """Values below 0 of something that by its name has none, where they are few of the ``known``."""
    if not 0 < rows <= NEGATIVE * known or not NEVER_NEGATIVE.search(snake(name)):
        return []
    text = (
        f"`{name}` is below 0 in {_rows(rows)}, down to {_number(least)}: returns, corrections or mistakes; "
        "sums and means take them off"
    )
    return [{"code": "negative", "text": text, "count": rows}]


def _far(name: str, values: Floats, counts: Ints, known: int) -> list[Problem]:
    if known < 1000 or len(values) < 10:
        return []
    size = np.abs(values)
    order = np.argsort(size)
    running = np.cumsum(counts[order])
    usual = float(size[order][np.searchsorted(running, 0.999 * known)])
    far = size > FAR * usual
    rows = int(counts[far].sum())
    if usual <= 0 or not rows or (rows > max(5, FEW_FAR * known) and size.max() < HUGE * usual):
        return []  # a long tail is no slip
    most = values[np.argmax(size)]
    text = (
        f"`{name}` is far out in {_rows(rows)}, up to {_number(most)}, where 99.9% of the values are within "
        f"{_number(usual)}"
    )
    return [{"code": "outliers", "text": text, "count": rows}]


def snake(name: str) -> str:
    """A name in lower case, words divided by underscores.

    >>> snake("UnitPrice"), snake("sqft living")
    ('unit_price', 'sqft_living')
    """
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower())


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _number(value: float) -> str:
    return (f"{value:,.0f}" if value == np.trunc(value) and abs(value) < 1e15 else f"{value:,.6g}").replace("-", "−")
