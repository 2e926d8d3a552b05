"""What moved, in words, and numbers as they are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ambidex.bundle.reference import labels_of, quantile_of, share

__all__ = ["distance", "move", "number", "p_text", "part_names", "percents", "plain", "span"]


def number(x: float) -> str:
    """A value of the data, four digits at most, true minus.

    >>> number(-12345.678), number(0.5)
    ('−12,346', '0.5')
    """
    text = f"{x:,.0f}" if abs(x) >= 1000 else f"{x:.4g}"
    return text.replace("-", "−")


def percents(first: float, second: float) -> tuple[str, str]:
    """Two shares as percentages, with as many decimals as it takes to tell them apart (two at most).

    >>> percents(0.55, 0.8), percents(0.101, 0.104)
    (('55%', '80%'), ('10.1%', '10.4%'))
    """
    for digits in (0, 1, 2):
        pair = f"{100 * first:.{digits}f}%", f"{100 * second:.{digits}f}%"
        if pair[0] != pair[1]:
            return pair
    return f"{100 * first:.0f}%", f"{100 * second:.0f}%"


def distance(x: float | None) -> str:
    """A distance with its sign: three decimals, no leading zero.

    >>> distance(0.0412), distance(-0.5)
    ('+.041', '−.500')
    """
    return "?" if x is None else f"{x:+.3f}".replace("0.", ".", 1).replace("-", "−")


def plain(x: float) -> str:
    """A share or loss without a sign.

    >>> plain(0.2468), plain(1.5)
    ('.247', '1.500')
    """
    text = f"{x:.3f}"
    return (text[1:] if text.startswith("0.") else text).replace("-", "−")


def span(seconds: float) -> str:
    """How long, in one unit.

    >>> span(6.2 * 86400), span(0.4), span(7200)
    ('6 d', '0 s', '2 h')
    """
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def p_text(p: float | None) -> str:
    """A p-value.

    >>> p_text(0.0004), p_text(0.0123)
    ('p <.001', 'p .012')
    """
    if p is None:
        return "p ?"
    return "p <.001" if p < 0.001 else f"p {plain(p)}"


def move(
    entry: Mapping[str, Any], counts: ArrayLike, part: str | None, *, quartiles: Sequence[float] | None = None
) -> str:
    """How a column moved from the reference to these counts.

    Args:
        entry: Its reference.
        counts: Rows per slot now.
        part: The level that moved, ``missing``, or None for a number's values.
        quartiles: Of the values now, where they are known better than by cells.

    >>> e = {"kind": "category", "levels": ["monthly"], "others": [], "counts": [55, 0, 45]}
    >>> move(e, [80, 0, 20], "monthly")
    'monthly 55% → 80%'
    """
    now, then = np.asarray(counts), np.asarray(entry["counts"])
    if entry["kind"] == "category" or part == "missing":
        slot = len(now) - 1 if entry["kind"] == "number" else labels_of(entry).index(part or "")
        first, second = percents(share(then, slot), share(now, slot))
        return f"{part} {first} → {second}"
    old = entry["quartiles"]
    new = list(quartiles) if quartiles is not None else _from_cells(entry, counts)
    if old is None or new is None:
        first, second = percents(share(then, -1), share(now, -1))
        return f"missing {first} → {second}"
    before = old if quartiles is not None else _from_cells(entry, then) or old
    for which, name in ((1, "median"), (2, "upper quartile"), (0, "lower quartile")):
        pair = number(before[which]), number(new[which])
        if pair[0] != pair[1]:
            return f"{name} {pair[0]} → {pair[1]}"
    return _cell_that_moved(entry, now, then)


def _cell_that_moved(entry: Mapping[str, Any], now: ArrayLike, then: ArrayLike) -> str:
    """The stretch of values whose share changed most, where the quartiles say nothing."""
    names = labels_of(entry)
    shares = [(share(then, i), share(now, i)) for i in range(len(names))]
    most = max(range(len(names)), key=lambda i: abs(shares[i][1] - shares[i][0]))
    first, second = percents(*shares[most])
    return f"{names[most]} {first} → {second}"


def _from_cells(entry: Mapping[str, Any], counts: ArrayLike) -> list[float] | None:
    found = [quantile_of(entry, counts, q) for q in (0.25, 0.5, 0.75)]
    return None if any(q is None for q in found) else [q for q in found if q is not None]


def part_names(entry: Mapping[str, Any]) -> list[str | None]:
    """The parts that a column's distance is looked for in: its values and ``missing``, or each of its slots."""
    if entry["kind"] == "number":
        return [None, "missing"]
    return list(labels_of(entry))
