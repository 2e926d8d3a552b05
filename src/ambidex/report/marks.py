"""The values of a figure in words: equally many digits throughout a picture, its unit, its ticks."""

from __future__ import annotations

import math
from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.words import count, fixed, share

__all__ = ["alike", "finite", "tick_text", "ticks", "value_text"]


def value_text(value: float | None, figure: Figure, *, sign: bool | None = None, finer: int = 0) -> str:
    """A value of the figure as shown: ``+31 pts``, ``11.9%``, ``7,043``.

    Args:
        value: In the figure's own unit (shares for ``points`` and ``share``).
        figure: Gives unit and digits, so that all values of a picture have equally many.
        sign: Show a plus; by default for differences.
        finer: Digits more than in the picture, for tables.
    """
    if value is None or not math.isfinite(value):
        return "–"
    sign = figure.form == "effect-bars" or figure.unit == "points" if sign is None else sign
    if figure.unit in ("points", "share"):
        text = share(value, min(2, _digits(figure) + finer))
        text = text.removesuffix("%") + " pts" if figure.unit == "points" else text
    elif figure.unit == "count":
        text = count(value)
    else:
        text = fixed(value, _places(figure) + finer * bool(_places(figure)))
        text += f" {figure.unit}" if 0 < len(figure.unit) <= 4 and figure.unit != "AUC" else ""
    nonzero = any(c in text for c in "123456789")
    return "+" + text if sign and value > 0 and nonzero else text


def alike(figure: Figure) -> bool:
    """True if every row rests on the same n, so that saying it once is enough."""
    sizes = {r.get("n") for r in figure.rows}
    return len(figure.rows) > 2 and len(sizes) == 1 and None not in sizes


def _digits(figure: Figure) -> int:
    """Decimals of percentages, for the whole picture."""
    values = [abs(100 * v) for r in figure.rows if (v := finite(r.get("value"))) is not None]
    if figure.form in ("interval-dots", "line-band", "scatter", "heatmap"):
        spread = max(values, default=0.0) - min(values, default=0.0)
        return 2 if len(values) > 1 and 0 < spread < 1 else 1
    told = [abs(100 * v) for r in figure.rows if r.get("clear", True) and (v := finite(r.get("value")))] or values
    if max(told, default=0.0) >= 10 and min(told) >= 1:
        return 0
    return 1 if max(told, default=0.0) >= 1 else 2


def _places(figure: Figure) -> int:
    """Decimals of other numbers: three significant digits of the largest, none for whole numbers."""
    values = [abs(v) for r in figure.rows if (v := finite(r.get("value"))) is not None]
    largest = max(values, default=0.0)
    if all(v == round(v) for v in values) or largest >= 100:
        return 0
    return min(6, max(0, 2 - math.floor(math.log10(largest))))


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round numbers within the range: steps of 1, 2 or 5 times a power of ten."""
    raw = (high - low) / max(1, about)
    if not raw > 0 or not math.isfinite(raw):
        return [low]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, last + 1)]


def tick_text(value: float, all_ticks: list[float], figure: Figure) -> str:
    """A tick's text, as fine as the steps are; the subtitle says the unit of points."""
    step = all_ticks[1] - all_ticks[0] if len(all_ticks) > 1 else 1.0
    percent = figure.unit in ("share", "points")
    digits = max(0, min(6, -math.floor(math.log10(100 * step if percent else step) + 1e-9)))
    if not percent:
        return fixed(value, digits)
    text = share(value, digits)
    if figure.unit == "points":
        text = text.removesuffix("%")
        return "+" + text if value > 0 else text
    return text


def finite(value: Any) -> float | None:
    """The number, or None for what cannot be drawn."""
    if value is None or isinstance(value, str):
        return None
    value = float(value)
    return value if math.isfinite(value) else None
