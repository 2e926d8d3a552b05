"""Numbers and lists as people read them: the same in the terminal, on the page and in findings.

Every function takes a plain number and gives text with a true minus ("−"). A missing or
infinite number reads as "–". Shares are fractions of one: 0.19 is "19.0%".
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

__all__ = ["count", "fixed", "listing", "number", "plural", "points", "share", "signed", "signed_points", "span"]

ABSENT = "–"
_MINUS = "−"


def count(n: float | None) -> str:
    """A whole number with thousands separators.

    >>> count(7043)
    '7,043'
    """
    return ABSENT if _absent(n) else _minus(f"{round(n):,}")  # type: ignore[arg-type]  # not absent


def share(x: float | None, digits: int = 1) -> str:
    """A share of one as a percentage.

    >>> share(0.19), share(0.2654, 0)
    ('19.0%', '27%')
    """
    return ABSENT if _absent(x) else _fixed(100 * x, digits) + "%"  # type: ignore[operator]  # not absent


def points(x: float | None, digits: int = 1) -> str:
    """A difference of shares in percentage points, without a plus sign.

    >>> points(-0.0082), points(0.31, 0), points(0.01, 0)
    ('−0.8 points', '31 points', '1 point')
    """
    return ABSENT if _absent(x) else _with_points(_fixed(100 * x, digits))  # type: ignore[operator]  # not absent


def signed_points(x: float | None, digits: int = 1) -> str:
    """A difference of shares in percentage points, always with its sign.

    >>> signed_points(-0.0082), signed_points(0.31, 0), signed_points(0.0)
    ('−0.8 points', '+31 points', '0.0 points')
    """
    return ABSENT if _absent(x) else _with_points(_plus(_fixed(100 * x, digits)))  # type: ignore[operator]  # not absent


def number(x: float | None) -> str:
    """Three significant digits, thousands separators; whole numbers below a million stay whole.

    >>> number(1234.56), number(0.012345), number(-2.5), number(12), number(7043)
    ('1,235', '0.0123', '−2.5', '12', '7,043')
    """
    if _absent(x):
        return ABSENT
    assert x is not None
    size = abs(x)
    if size == 0:
        return "0"
    if size >= 1e15 or size < 1e-6:
        return _minus(f"{x:.3g}")
    if size >= 100:
        return _minus(f"{round(x):,}")
    digits = max(0, 2 - math.floor(math.log10(size)))
    text = f"{x:,.{digits}f}"
    return _minus(text.rstrip("0").rstrip(".") if "." in text else text)


def fixed(x: float | None, digits: int) -> str:
    """So many decimals, thousands separators; no minus at a zero.

    >>> fixed(1234.5, 0), fixed(-0.004, 2), fixed(2, 2)
    ('1,234', '0.00', '2.00')
    """
    return ABSENT if _absent(x) else _fixed(x, digits)  # type: ignore[arg-type]  # not absent


def signed(x: float | None) -> str:
    """``number`` with its sign, plus included.

    >>> signed(0.894), signed(-3), signed(0)
    ('+0.894', '−3', '0')
    """
    return _plus(number(x))


def span(low: float | None, high: float | None, fmt: Callable[[float | None], str] = number) -> str:
    """A range in words; a unit that both ends share is said once.

    >>> span(-0.0133, -0.0031, points)
    '−1.3 to −0.3 points'
    >>> span(0.842, 0.861), span(0.12, 0.14, share), span(2, None)
    ('0.842 to 0.861', '12.0% to 14.0%', 'from 2')
    """
    if _absent(low) and _absent(high):
        return ABSENT
    if _absent(high):
        return f"from {fmt(low)}"
    if _absent(low):
        return f"up to {fmt(high)}"
    first, last = fmt(low), fmt(high)
    for unit in (" points", " point", " pts"):
        if first.endswith(unit):
            first = first.removesuffix(unit)
            last = last.replace(" point", " points") if last.endswith(" point") else last
            break
    return f"{first} to {last}"


def plural(n: float, noun: str, nouns: str = "") -> str:
    """A count with its noun.

    >>> plural(1, "row"), plural(7043, "row"), plural(2, "category", "categories")
    ('1 row', '7,043 rows', '2 categories')
    """
    return f"{count(n)} {noun if n == 1 else nouns or noun + 's'}"


def listing(names: Sequence[str], last: str = "and") -> str:
    """Names in one phrase.

    >>> listing(["a"]), listing(["a", "b"]), listing(["a", "b", "c"])
    ('a', 'a and b', 'a, b and c')
    """
    names = [str(n) for n in names]
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def _absent(x: float | None) -> bool:
    return x is None or not math.isfinite(x)


def _minus(text: str) -> str:
    return text.replace("-", _MINUS)


def _fixed(x: float, digits: int) -> str:
    text = f"{x:,.{digits}f}"
    return _minus(text.lstrip("-") if not text.strip("-0.,") else text)


def _plus(text: str) -> str:
    return text if text.startswith(_MINUS) or not text.strip("0.,") or text == ABSENT else "+" + text


def _with_points(text: str) -> str:
    return f"{text} point" if text.strip("+−") == "1" else f"{text} points"
