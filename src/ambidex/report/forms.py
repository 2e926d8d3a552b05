"""How each form of a figure is laid out: a Vega-Lite specification with every position computed here.

Labels are wrapped and rows are as high as their labels, because text is measured with other fonts
where it is drawn than where it is read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.curves import heatmap, line_band, scatter
from ambidex.report.ink import COLOURS, FONT, clip, width_of
from ambidex.report.marks import alike, finite, tick_text, ticks, value_text
from ambidex.report.parts import (
    Drawn,
    Rows,
    drawable,
    ends,
    gutter,
    intervals,
    kept,
    layer,
    painted,
    place,
    px,
    scaled,
    written,
)
from ambidex.report.pips import pips
from ambidex.report.words import count

__all__ = ["spec"]

_WIDE, _NARROW = 800, 340
_GUTTER = 280  # widest label column beside the marks: 32 characters on one line


def spec(figure: Figure, *, narrow: bool = False, titled: bool = False) -> dict[str, Any]:
    """The Vega-Lite specification of a figure, colours as light hex.

    Args:
        figure: What to draw; at most ``MOST_ROWS`` of its rows are drawn.
        narrow: 340 wide instead of 800.
        titled: With title and subtitle (our pages set them in HTML).
    """
    width = _NARROW if narrow else _WIDE
    layers, box, (top, right, bottom, left) = _DRAW[figure.form](figure, width, narrow)
    made: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "width": width - left - right,
        "height": box,
        "autosize": {"type": "none"},
        "padding": {"top": top + (56 if titled else 0), "right": right, "bottom": bottom, "left": left},
        "layer": layers,
        "config": _config(titled),
    }
    if titled:
        made["title"] = {
            "text": figure.title,
            "subtitle": figure.subtitle,
            "anchor": "start",
            "frame": "group",
            "dx": -left,
            "offset": 16,
        }
    return made


def _config(titled: bool) -> dict[str, Any]:
    axis = {
        "domain": False,
        "ticks": False,
        "gridColor": COLOURS["line"],
        "labelColor": COLOURS["third"],
        "labelFontSize": 12,
        "labelPadding": 8,
        "title": None,
    }
    return {
        "aria": False,
        "background": COLOURS["card"] if titled else "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": axis,
        "title": {
            "color": COLOURS["ink"],
            "subtitleColor": COLOURS["third"],
            "fontSize": 15,
            "subtitleFontSize": 13,
            "fontWeight": 600,
        },
    }


# The forms: layers, height of the plot, margins (top, right, bottom, left) ------------------------


def _effects(figure: Figure, width: float, narrow: bool) -> Drawn:
    rows = drawable(figure)
    for r in rows:
        r["shown"] = value_text(r["value"], figure) if r["clear"] else "unclear"
        r["paint"] = COLOURS["unclear"] if not r["clear"] else COLOURS["c2" if r["value"] > 0 else "c1"]
    value_room = max((width_of(r["shown"], 13, bold=True) for r in rows), default=0) + 16
    left = 2 if narrow else gutter(rows, _GUTTER)
    right = 2 if narrow else value_room
    room = width - value_room if narrow else left - 18
    plot = width - left - right
    height, labels = place(rows, room=room, narrow=narrow, mark=12 if narrow else 16)
    low, high = ends(rows, zero=True)
    pad = (high - low) * 0.03
    low, high = _room_for_words(figure, low - pad, high + pad, plot, left, right)
    at_zero = left + plot * -low / (high - low)
    words, top = _directions(figure, width, left, at_zero)

    def x(field: str) -> dict[str, Any]:
        return scaled(field, low, high)

    for r in rows:
        r.update(zero=0, top=r["y"] - (6 if narrow else 8), foot=r["y"] + (6 if narrow else 8))
    values = [
        {
            "text": r["shown"],
            "y": r["first"] if narrow else r["y"],
            "ink": COLOURS["ink" if r["clear"] else "third"],
            "clear": r["clear"],
        }
        for r in rows
    ]
    edge = {"value": width - left}
    bars = {"x": x("zero"), "x2": {"field": "value"}, "y": px("top"), "y2": {"field": "foot"}, "color": painted()}
    zero = {"x": x("zero"), "y": px("y"), "y2": {"field": "foot"}}
    layers = [
        layer(kept(rows, "zero", "value", "top", "foot", "paint", "label"), "rect", bars, cornerRadius=2),
        *intervals(rows, x),
        layer(_zero(rows, height, narrow), "rule", zero, color=COLOURS["reference"], strokeWidth=1),
        written(labels, {"value": -left if narrow else -14}, align="left" if narrow else "right"),
        written([v for v in values if v["clear"]], edge, align="right", fontWeight=600),
        written([v for v in values if not v["clear"]], edge, align="right"),
        *words,
    ]
    return layers, height, (top, right, 4, left)


def _room_for_words(
    figure: Figure, low: float, high: float, plot: float, left: float, right: float
) -> tuple[float, float]:
    """Widen the range so that the words fit beside zero, where a third of the plot is enough for that."""
    more = (width_of(f"{figure.more} →", 12) + 12 - right) / plot if figure.more else 0.0
    less = (width_of(f"← {figure.less}", 12) + 12 - left) / plot if figure.less else 0.0
    if 0 < more < 1 / 3:
        high = max(high, -low * more / (1 - more))
    if 0 < less < 1 / 3:
        low = min(low, -high * less / (1 - less))
    return low, high


def _directions(figure: Figure, width: float, left: float, zero: float) -> tuple[list[dict[str, Any]], float]:
    """The words at the two sides of zero, beside each other or, where that is too tight, on two lines."""
    if not (figure.less or figure.more):
        return [], 4
    less = clip(f"← {figure.less}" if figure.less else "", width, 12)
    more = clip(f"{figure.more} →" if figure.more else "", width, 12)
    ink = COLOURS["third"]
    beside = width_of(less, 12) + 10 <= zero and width_of(more, 12) + 10 <= width - zero
    first, second = {"text": less, "y": -12, "ink": ink}, {"text": more, "y": -12, "ink": ink}
    if beside:
        spots = ((first, zero - left - 10, "right"), (second, zero - left + 10, "left"))
    else:
        first["y"] = -28
        spots = ((first, -left, "left"), (second, width - left, "right"))
    return [written([t], {"value": at}, align=align, fontSize=12) for t, at, align in spots if t["text"]], (
        24 if beside else 40
    )


def _dots(figure: Figure, width: float, narrow: bool) -> Drawn:
    rows = drawable(figure)
    for r in rows:
        r["paint"] = COLOURS["c1" if r["clear"] else "unclear"]
        r["shown"] = value_text(r["value"], figure)
        r["size"] = f"n = {count(r['n'])}" if finite(r.get("n")) is not None and not alike(figure) else ""
    size_room = max((width_of(r["size"], 12) for r in rows), default=0)
    value_room = max((width_of(r["shown"], 13, bold=True) for r in rows), default=0)
    left = max(18, value_room / 2) if narrow else max(gutter(rows, _GUTTER), value_room / 2)
    right = left if narrow else max(size_room + 18, value_room / 2)
    room = width - size_room - 14 if narrow else left - 18
    height, labels = place(rows, room=room, narrow=narrow, mark=12, above=16)
    low, high = ends(rows, zero=False)
    pad, lowest = (high - low) * 0.06, low
    low, high = low - pad, high + pad
    if figure.unit == "share" and rows:
        low, high = (
            max(low, 0.0) if lowest >= 0 else low,
            min(high, 1.0) if high > 1 >= max(r["value"] for r in rows) else high,
        )
    steps = ticks(low, high, 3 if narrow else 5)

    def x(field: str) -> dict[str, Any]:
        return scaled(field, low, high)

    known = [r for r in rows if r["low"] is not None and r["high"] is not None]
    values = [{"value": r["value"], "text": r["shown"], "y": r["y"] - 17, "ink": COLOURS["ink"]} for r in rows]
    sizes = [
        {"text": r["size"], "y": r["first"] if narrow else r["y"], "ink": COLOURS["third"]} for r in rows if r["size"]
    ]
    marks = [{"value": t, "top": 0, "foot": height} for t in steps]
    texts = [
        {"value": t, "text": tick_text(t, steps, figure), "y": height + 16, "ink": COLOURS["third"]} for t in steps
    ]
    grid = {"x": x("value"), "y": px("top"), "y2": {"field": "foot"}}
    line = {"x": x("low"), "x2": {"field": "high"}, "y": px("y"), "color": painted()}
    dot = {"x": x("value"), "y": px("y"), "color": painted()}
    layers = [
        layer(marks, "rule", grid, color=COLOURS["line"], strokeWidth=1),
        layer(kept(known, "low", "high", "y", "paint"), "rule", line, strokeWidth=8, strokeCap="round", opacity=0.35),
        layer(kept(rows, "value", "y", "paint", "label"), "point", dot, filled=True, size=95, opacity=1),
        written(labels, {"value": -left if narrow else -14}, align="left" if narrow else "right"),
        written(values, x("value"), fontWeight=600),
        written(sizes, {"value": width - left}, align="right", fontSize=12),
        written(texts, x("value"), fontSize=12),
    ]
    if low < 0 < high:
        zero = [{"value": 0, "top": 0, "foot": height}]
        layers.insert(1, layer(zero, "rule", grid, color=COLOURS["reference"], strokeWidth=1))
    return layers, height, (6, right, 28, left)


def _bars(figure: Figure, width: float, narrow: bool) -> Drawn:
    rows = drawable(figure)
    for r in rows:
        r["paint"] = COLOURS["c1" if r["clear"] else "unclear"]
        r["shown"] = value_text(r["value"], figure)
    value_room = max((width_of(r["shown"], 13, bold=True) for r in rows), default=0) + 16
    left = 2 if narrow else gutter(rows, _GUTTER)
    right = 2 if narrow else value_room
    height, labels = place(
        rows, room=width - value_room if narrow else left - 18, narrow=narrow, mark=12 if narrow else 16
    )
    low, high = ends(rows, zero=True)
    if all(r["value"] == 0 for r in rows):
        low, high = 0.0, 1.0

    def x(field: str) -> dict[str, Any]:
        return scaled(field, low, high)

    for r in rows:
        r.update(zero=0, top=r["y"] - (6 if narrow else 8), foot=r["y"] + (6 if narrow else 8))
    bars = {"x": x("zero"), "x2": {"field": "value"}, "y": px("top"), "y2": {"field": "foot"}, "color": painted()}
    zero = {"x": x("zero"), "y": px("y"), "y2": {"field": "foot"}}
    values = [{"text": r["shown"], "y": r["first"] if narrow else r["y"], "ink": COLOURS["ink"]} for r in rows]
    layers = [
        layer(kept(rows, "zero", "value", "top", "foot", "paint", "label"), "rect", bars, cornerRadius=2),
        *intervals(rows, x),
        layer(_zero(rows, height, narrow), "rule", zero, color=COLOURS["reference"], strokeWidth=1),
        written(labels, {"value": -left if narrow else -14}, align="left" if narrow else "right"),
        written(values, {"value": width - left}, align="right", fontWeight=600),
    ]
    return layers, height, (4, right, 4, left)


def _histogram(figure: Figure, width: float, narrow: bool) -> Drawn:
    rows: Rows = []
    for r in figure.rows:
        start, end, value = finite(r.get("left")), finite(r.get("right")), finite(r.get("value"))
        if start is not None and end is not None and value is not None:
            paint = COLOURS["unclear" if r.get("clear") is False else "c1"]
            rows.append({"left": start, "right": end, "value": value, "paint": paint})
    low, high = (min(r["left"] for r in rows), max(r["right"] for r in rows)) if rows else (0.0, 1.0)
    high = high if high > low else low + 1
    top_value = max((r["value"] for r in rows), default=0) or 1.0
    ups, steps = ticks(0, top_value, 4), ticks(low, high, 4 if narrow else 8)
    up_texts = [value_text(u, figure, sign=False) for u in ups]
    left = max((width_of(t, 12) for t in up_texts), default=0) + 14
    right, height = 24.0, 170.0 if narrow else 210.0
    gap = (high - low) / (width - left - right) / 2 if len(rows) <= 60 else 0.0
    for r in rows:
        r.update(start=r["left"] + gap, end=r["right"] - gap, top=height * (1 - r["value"] / top_value), foot=height)

    def x(field: str) -> dict[str, Any]:
        return scaled(field, low, high)

    bare = replace(figure, unit="")
    heights = [height * (1 - u / top_value) for u in ups]
    grid = [{"y": y} for y in heights]
    texts = [{"text": t, "y": y, "ink": COLOURS["third"]} for t, y in zip(up_texts, heights, strict=True)]
    feet = [{"value": t, "text": tick_text(t, steps, bare), "y": height + 16, "ink": COLOURS["third"]} for t in steps]
    across = {"x": {"value": 0}, "x2": {"value": width - left - right}, "y": px("y")}
    bars = {"x": x("start"), "x2": {"field": "end"}, "y": px("top"), "y2": {"field": "foot"}, "color": painted()}
    layers = [
        layer(grid, "rule", across, color=COLOURS["line"], strokeWidth=1),
        layer(rows, "rect", bars),
        written(texts, {"value": -10}, align="right", fontSize=12),
        written(feet, x("value"), fontSize=12),
    ]
    return layers, height, (10, right, 28, left)


def _zero(rows: Rows, height: float, narrow: bool) -> Rows:
    """The line at zero: from top to foot, or by row where labels stand above the marks."""
    if not narrow:
        return [{"zero": 0, "y": 0, "foot": height}]
    return [{"zero": 0, "y": r["top"] - 4, "foot": r["foot"] + 4} for r in rows]


_DRAW: dict[str, Callable[[Figure, float, bool], Drawn]] = {
    "effect-bars": _effects,
    "interval-dots": _dots,
    "bars": _bars,
    "histogram": _histogram,
    "line-band": line_band,
    "heatmap": heatmap,
    "scatter": scatter,
    "pips": pips,
}
