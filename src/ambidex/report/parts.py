"""What the forms of a figure share: layers, places of rows, scales and intervals."""

from __future__ import annotations

from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.ink import COLOURS, width_of, wrap
from ambidex.report.marks import finite

__all__ = [
    "LINE",
    "MOST_ROWS",
    "Drawn",
    "Rows",
    "drawable",
    "ends",
    "gutter",
    "intervals",
    "kept",
    "layer",
    "painted",
    "place",
    "px",
    "scaled",
    "written",
]

MOST_ROWS = 30
"""Marks drawn in one picture; the table under it lists every row."""

LINE = 17
"""Height of a line of 13-px text."""

Rows = list[dict[str, Any]]

Drawn = tuple[list[dict[str, Any]], float, tuple[float, float, float, float]]
"""Layers, height of the plot, margins (top, right, bottom, left)."""


def layer(values: Rows, mark: str, encoding: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"data": {"values": values}, "mark": {"type": mark, **properties}, "encoding": encoding}


def px(field: str) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "scale": None, "axis": None}


def written(values: Rows, x: dict[str, Any], **style: Any) -> dict[str, Any]:
    paint = {"field": "ink", "type": "nominal", "scale": None, "legend": None}
    style = {"fontSize": 13, "baseline": "middle", **style}
    return layer(values, "text", {"x": x, "y": px("y"), "text": {"field": "text"}, "color": paint}, **style)


def drawable(figure: Figure) -> Rows:
    """Rows with finite values, their interval (None where there is none) and their words."""
    out: Rows = []
    for row in figure.rows:
        value = finite(row.get("value"))
        if value is None:
            continue
        low, high = finite(row.get("low")), finite(row.get("high"))
        clear = row.get("clear") is not False
        out.append(
            {**row, "label": str(row.get("label", "")), "value": value, "low": low, "high": high, "clear": clear}
        )
    return out[:MOST_ROWS]


def place(rows: Rows, *, room: float, narrow: bool, mark: float, above: float = 0) -> tuple[float, Rows]:
    """Give each row its ``y`` in px and its label lines; the height of all and the label texts.

    Args:
        rows: Changed in place: ``y`` is the middle of the mark.
        room: Width for a label.
        narrow: Labels above the marks instead of beside them.
        mark: Height of a mark.
        above: Room that a mark needs above itself, for its value.
    """
    y, labels = 0.0, []
    for row in rows:
        lines = wrap(row["label"], room, size=13, most=2 if narrow else 4)
        if narrow:
            first = y + 10
            row["y"] = y + LINE * len(lines) + 6 + above + mark / 2
            y = row["y"] + mark / 2 + 16
        else:
            high = max(LINE * len(lines) + 14, mark + 18 + above)
            row["y"] = y + above / 2 + high / 2
            first = row["y"] - LINE * (len(lines) - 1) / 2
            y += high
        row["first"] = first
        ink = COLOURS["second"] if narrow else COLOURS["ink"]
        labels += [{"text": text, "y": first + LINE * i, "ink": ink} for i, text in enumerate(lines)]
    return y, labels


def gutter(rows: Rows, most: float) -> float:
    return min(most, max((width_of(r["label"], 13) for r in rows), default=0) + 18)


def ends(rows: Rows, *, zero: bool) -> tuple[float, float]:
    seen = [v for r in rows for v in (r["value"], r["low"], r["high"]) if v is not None] or [0.0]
    if zero:
        seen.append(0.0)
    low, high = min(seen), max(seen)
    if low == high:
        half = abs(low) * 0.1 or 1.0
        return low - half, high + half
    return low, high


def scaled(field: str, low: float, high: float, axis: dict[str, Any] | None = None) -> dict[str, Any]:
    scale = {"domain": [low, high], "nice": False, "zero": False}
    return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def painted(field: str = "paint") -> dict[str, Any]:
    return {"field": field, "type": "nominal", "scale": None, "legend": None}


def intervals(rows: Rows, x: Any) -> list[dict[str, Any]]:
    """Thin lines with caps."""
    known = [
        {"low": r["low"], "high": r["high"], "y": r["y"], "top": r["y"] - 4, "foot": r["y"] + 4}
        for r in rows
        if r["low"] is not None and r["high"] is not None
    ]
    dark = {"color": COLOURS["reference"], "strokeWidth": 1.2}
    caps = {"y": px("top"), "y2": {"field": "foot"}}
    return [
        layer(known, "rule", {"x": x("low"), "x2": {"field": "high"}, "y": px("y")}, **dark),
        layer(known, "rule", {"x": x("low"), **caps}, **dark),
        layer(known, "rule", {"x": x("high"), **caps}, **dark),
    ]


def kept(rows: Rows, *fields: str) -> Rows:
    return [{f: r[f] for f in fields} for r in rows]
