"""Lines with bands, points and heatmaps: the forms whose rows have an ``x``.

At most four series are drawn, each named at the end of its line; what is unclear is grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from itertools import groupby, pairwise
from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.ink import COLOURS, clip, width_of, wrap
from ambidex.report.marks import finite, tick_text, ticks, value_text
from ambidex.report.parts import Drawn, Rows, kept, layer, painted, px, scaled, written
from ambidex.report.words import number

__all__ = ["MOST_SERIES", "heatmap", "line_band", "scatter"]

MOST_SERIES = 4
_MOST_LABELS = 12
_MOST_CELLS = (30, 40)  # rows, columns
_PALETTE = ("c1", "c2", "c3", "c4")
_LINE = 15  # height of a line of 12-px text
_DEEPEST = 0.55  # opacity of the deepest cell: ink on it keeps a contrast above 5 in light and in dark


@dataclass(frozen=True, slots=True)
class _Across:
    """The horizontal axis: where each x lies, and the ticks as (place, text)."""

    places: dict[Any, float]
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


# The two axes ------------------------------------------------------------------------------------


def _across(xs: Sequence[Any], figure: Figure, room: float) -> _Across:
    """Numbers and dates lie where they belong, words at equal distances in the order given."""
    numbers = {x: v for x in xs if not isinstance(x, bool) and (v := finite(x)) is not None}
    if len(numbers) == len(xs):
        low, high = (min(numbers.values()), max(numbers.values())) if numbers else (0.0, 1.0)
        low, high = (low - 0.5, high + 0.5) if low == high else (low, high)
        shape = replace(figure, unit=figure.x_unit if figure.x_unit == "share" else "")
        for about in (8, 6, 4, 3, 2, 1):
            steps = ticks(low, high, about)
            texts = [tick_text(t, steps, shape) for t in steps]
            if _fit(texts, room):
                break
        return _Across(numbers, low, high, tuple(zip(steps, texts, strict=True)))
    days = {x: d for x in xs if (d := _day(x)) is not None}
    if len(days) == len(xs):
        low, high = min(days.values()), max(days.values())
        low, high = (low - 1, high + 1) if low == high else (low, high)
        return _Across(dict(days), low, high, _date_ticks(int(low), int(high), room))
    order = {x: float(i) for i, x in enumerate(xs)}
    every = 1
    labels = [clip(str(x), 130, 12) for x in xs]
    while not _fit(labels[::every], room) and every < len(xs):
        every += 1
    shown = tuple((float(i), labels[i]) for i in range(0, len(xs), every))
    return _Across(order, -0.5 if len(xs) == 1 else 0.0, max(0.5, len(xs) - 1.0), shown)


def _fit(texts: list[str], room: float) -> bool:
    return sum(width_of(t, 12) + 14 for t in texts) <= room + 30


def _day(x: Any) -> float | None:
    try:
        return float(date.fromisoformat(str(x)[:10]).toordinal()) if len(str(x)) >= 10 else None
    except ValueError:
        return None


def _date_ticks(low: int, high: int, room: float) -> tuple[tuple[float, str], ...]:
    """Starts of years, of months, or days, as many as fit."""
    most = max(2, int(room // 80))
    first, last = date.fromordinal(low), date.fromordinal(high)
    for months in (1, 2, 3, 6, 12, 24, 60, 120):
        if high - low < 62:
            break
        spots = [
            date(y, m, 1)
            for y in range(first.year, last.year + 1)
            for m in range(1, 13)
            if ((y - 2000) * 12 + m - 1) % months == 0 and first <= date(y, m, 1) <= last
        ]
        if 0 < len(spots) <= most:
            told = "%Y" if months >= 12 else "%b %Y"
            return tuple((float(d.toordinal()), d.strftime(told)) for d in spots)
    every = max(1, -(-(high - low) // most))
    days = [first + timedelta(days=i) for i in range(0, high - low + 1, every)]
    return tuple((float(d.toordinal()), f"{d.day} {d:%b}") for d in days)


def _up(points: Rows, figure: Figure, *, room: float = 0.04) -> tuple[float, float]:
    seen = [v for p in points for v in (p["value"], p["low"], p["high"]) if v is not None]
    if figure.reference is not None and (level := finite(figure.reference)) is not None:
        seen.append(level)
    low, high = (min(seen), max(seen)) if seen else (0.0, 1.0)
    if low == high:
        half = abs(low) * 0.1 or 1.0
        low, high = low - half, high + half
    pad = (high - low) * room
    bottom, top = low - pad, high + pad
    if low >= 0 > bottom:
        bottom = 0.0
    if figure.unit == "share" and high <= 1 < top:
        top = 1.0
    return bottom, top


@dataclass(frozen=True, slots=True)
class _Plot:
    """Scales, grid and ticks of a plot with two axes."""

    ground: list[dict[str, Any]]
    x: Any
    y: Any
    across: _Across
    low: float
    high: float
    wide: float
    height: float
    margins: tuple[float, float, float, float]

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Pixels of a place."""
        right = (x - self.across.low) / (self.across.high - self.across.low) * self.wide
        return right, (self.high - y) / (self.high - self.low) * self.height

    def back(self, pixel: float) -> float:
        """The value at a height in pixels."""
        return self.high - pixel / self.height * (self.high - self.low)


def _plot(figure: Figure, points: Rows, width: float, narrow: bool, gutter: float, inset: float) -> _Plot:
    low, high = _up(points, figure)
    height = 200.0 if narrow else 260.0
    ups = ticks(low, high, 4 if narrow else 5)
    texts = [tick_text(u, ups, figure) for u in ups]
    left = max((width_of(t, 12) for t in texts), default=0) + 16
    xs = list(dict.fromkeys(p["x"] for p in points))
    across = _across(xs, figure, width - left - gutter)
    half = max((width_of(t, 12) / 2 for _, t in across.ticks), default=0)
    right = max(gutter, half + 2, 10.0)
    left = max(left, half + 2 - inset)
    wide = width - left - right
    grow = (across.high - across.low) * inset / max(1.0, wide - 2 * inset)
    across = replace(across, low=across.low - grow, high=across.high + grow)

    def x(field: str) -> dict[str, Any]:
        return scaled(field, across.low, across.high)

    def y(field: str) -> dict[str, Any]:
        return scaled(field, low, high)

    third = COLOURS["third"]
    full = {"x": {"value": 0}, "x2": {"value": wide}}
    grid = [{"up": u} for u in ups]
    foot = [{"x": at, "text": t, "ink": third, "up": low} for at, t in across.ticks]
    said = {"type": "nominal", "field": "ink", "scale": None, "legend": None}
    ground = [
        layer(grid, "rule", {**full, "y": y("up")}, color=COLOURS["line"], strokeWidth=1),
        layer(
            [{"up": u, "text": t, "ink": third} for u, t in zip(ups, texts, strict=True)],
            "text",
            {"x": {"value": -10}, "y": y("up"), "text": {"field": "text"}, "color": said},
            align="right",
            baseline="middle",
            fontSize=12,
        ),
        layer(
            foot,
            "text",
            {"x": x("x"), "y": {"value": height + 18}, "text": {"field": "text"}, "color": said},
            align="center",
            baseline="middle",
            fontSize=12,
        ),
    ]
    bottom = 30.0
    if figure.x_title:
        title = clip(figure.x_title, wide + left, 12)
        away = {"text": title, "ink": third}
        ground.append(
            layer(
                [away],
                "text",
                {
                    "x": {"value": wide},
                    "y": {"value": height + 40},
                    "text": {"field": "text"},
                    "color": said,
                },
                align="right",
                baseline="middle",
                fontSize=12,
            )
        )
        bottom = 52.0
    if low < 0 < high:
        ground.append(layer([{"up": 0}], "rule", {**full, "y": y("up")}, color=COLOURS["reference"], strokeWidth=1))
    if figure.reference is not None and (level := finite(figure.reference)) is not None:
        ground += _reference(figure, level, y, full, wide, (high - level) / (high - low) * height, said)
    return _Plot(ground, x, y, across, low, high, wide, height, (10.0, right, bottom, left))


def _reference(
    figure: Figure, level: float, y: Any, full: dict[str, Any], wide: float, pixel: float, said: dict[str, Any]
) -> list[dict[str, Any]]:
    line = layer(
        [{"up": level}], "rule", {**full, "y": y("up")}, color=COLOURS["reference"], strokeWidth=1, strokeDash=[5, 4]
    )
    if not figure.reference_text:
        return [line]
    words = {"up": level, "text": clip(figure.reference_text, wide - 8, 12), "ink": COLOURS["second"]}
    spot = {"x": {"value": wide}, "y": y("up"), "text": {"field": "text"}, "color": said}
    below = pixel < 24
    return [
        line,
        layer([words], "text", spot, align="right", baseline="middle", fontSize=12, dy=11 if below else -9),
    ]


def _points(figure: Figure) -> tuple[Rows, list[str]]:
    """Rows that can be drawn, of the first four series, and the names of these."""
    out: Rows = []
    names: list[str] = []
    for row in figure.rows:
        value, x = finite(row.get("value")), row.get("x")
        if value is None or x is None or (isinstance(x, float) and finite(x) is None):
            continue
        name = str(row.get("series") or "")
        if name not in names:
            if len(names) == MOST_SERIES:
                continue
            names.append(name)
        point = {"x": x, "value": value, "low": finite(row.get("low")), "high": finite(row.get("high"))}
        open_below = row.get("high") is not None and point["high"] is not None and point["low"] is None
        open_above = row.get("low") is not None and point["low"] is not None and point["high"] is None
        label = str(row.get("label") or "")
        out.append(
            {**point, "series": name, "clear": row.get("clear") is not False, "label": label}
            | {"open_below": open_below, "open_above": open_above}
        )
    return out, names


# Lines with bands --------------------------------------------------------------------------------


def line_band(figure: Figure, width: float, narrow: bool) -> Drawn:
    """A line a series with its band; runs of unclear rows are grey."""
    points, names = _points(figure)
    several = len(names) > 1
    room = 92.0 if narrow else 170.0
    told = [wrap(n, room, size=12, most=3) for n in names] if several else []
    gutter = max((width_of(line, 12) for lines in told for line in lines), default=0) + 26 if several else 10.0
    few = max((sum(p["series"] == n for p in points) for n in names), default=0) <= 15
    plot = _plot(figure, points, width, narrow, gutter, 6.0 if few else 0.0)
    curve = "step-after" if figure.step else "linear"
    lines: Rows = []
    bands: Rows = []
    dots: Rows = []
    tips: Rows = []
    for i, name in enumerate(names):
        colour = COLOURS[_PALETTE[i]]
        mine = sorted((p for p in points if p["series"] == name), key=lambda p: plot.across.places[p["x"]])
        for p in mine:
            p["at"] = plot.across.places[p["x"]]
            p["paint"] = colour if p["clear"] else COLOURS["unclear"]
        for run, (_, group) in enumerate(groupby(range(len(mine)), key=lambda j: mine[j]["clear"])):
            spots = list(group)
            # A run starts where the one before it ended, so that the line has no gap.
            spots = [spots[0] - 1, *spots] if spots[0] else spots
            paint = mine[spots[-1]]["paint"]
            for j in spots:
                p = mine[j]
                key = f"{i}.{run}"
                lines.append({"at": p["at"], "value": p["value"], "run": key, "paint": paint, "series": name})
        for stretch, (known, group_) in enumerate(groupby(mine, key=_bounded)):
            for p in group_:
                if known:
                    low = plot.low if p["low"] is None else p["low"]
                    high = plot.high if p["high"] is None else p["high"]
                    bands.append({"at": p["at"], "low": low, "high": high, "run": f"{i}.{stretch}", "paint": colour})
        if few:
            dots += kept(mine, "at", "value", "paint", "series")
        if several and mine:
            tips.append({"at": mine[-1]["at"], "value": mine[-1]["value"], "lines": told[i], "paint": colour})
    band = {"x": plot.x("at"), "y": plot.y("low"), "y2": {"field": "high"}, "color": painted(), "detail": _run()}
    line = {"x": plot.x("at"), "y": plot.y("value"), "color": painted(), "detail": _run()}
    layers = [
        *plot.ground,
        layer(bands, "area", band, opacity=0.17, interpolate=curve, line=False),
        layer(lines, "line", line, strokeWidth=2.2, interpolate=curve, strokeJoin="round"),
        layer(
            dots, "point", {**line, "detail": {"field": "series", "type": "nominal"}}, filled=True, size=34, opacity=1
        ),
        *_tips(tips, plot),
    ]
    return layers, plot.height, plot.margins


def _bounded(p: dict[str, Any]) -> bool:
    both = p["low"] is not None and p["high"] is not None
    return bool(both or p["open_below"] or p["open_above"])


def _run() -> dict[str, Any]:
    return {"field": "run", "type": "nominal"}


def _tips(tips: Rows, plot: _Plot) -> list[dict[str, Any]]:
    """The names at the ends of the lines, moved apart where they would touch, with a thread to each line."""
    if not tips:
        return []
    for t in tips:
        t["end"], t["y"] = plot.at(t["at"], t["value"])
        t["half"] = _LINE * len(t["lines"]) / 2
    order = sorted(tips, key=lambda t: t["y"])
    for above, t in pairwise(order):
        t["y"] = max(t["y"], above["y"] + above["half"] + t["half"] + 4)
    floor = plot.height + 8
    for t in reversed(order):
        t["y"] = min(t["y"], floor - t["half"])
        floor = t["y"] - t["half"] - 4
    threads, texts = [], []
    for t in tips:
        start, end = t["end"] + 5, plot.wide + 14
        threads.append({"at": t["at"], "y": t["value"], "end": end, "to": plot.back(t["y"]), "paint": t["paint"]})
        for i, line in enumerate(t["lines"]):
            pixel = t["y"] + (i - (len(t["lines"]) - 1) / 2) * _LINE
            texts.append({"up": plot.back(pixel), "text": line, "ink": COLOURS["ink"]})
        t["start"] = start
    said = {"type": "nominal", "field": "ink", "scale": None, "legend": None}
    out = []
    for t, thread in zip(tips, threads, strict=True):
        out.append(
            layer(
                [{"y": thread["y"], "to": thread["to"]}],
                "rule",
                {
                    "x": {"value": t["start"]},
                    "x2": {"value": thread["end"]},
                    "y": plot.y("y"),
                    "y2": {"field": "to"},
                },
                color=t["paint"],
                strokeWidth=1.4,
            )
        )
    names = {"x": {"value": plot.wide + 19}, "y": plot.y("up"), "text": {"field": "text"}, "color": said}
    return [*out, layer(texts, "text", names, align="left", baseline="middle", fontSize=12)]


# Points ------------------------------------------------------------------------------------------


def scatter(figure: Figure, width: float, narrow: bool) -> Drawn:
    """Points with their intervals; the first labels are written where there is room."""
    points, names = _points(figure)
    plot = _plot(figure, points, width, narrow, 12.0, 14.0)
    several = len(names) > 1
    for p in points:
        p["at"] = plot.across.places[p["x"]]
        p["paint"] = COLOURS[_PALETTE[names.index(p["series"])] if p["clear"] else "unclear"]
    known = [p for p in points if p["low"] is not None and p["high"] is not None]
    spots = [plot.at(p["at"], p["value"]) for p in points]
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots[:400]]
    wanted = [(p["label"], spot) for p, spot in zip(points, spots, strict=True) if p["label"]][:_MOST_LABELS]
    tries = [(label, [spot]) for label, spot in wanted]
    if several:
        # A series is named beside whichever of its points has room, the highest first.
        own = {n: sorted((s for p, s in zip(points, spots, strict=True) if p["series"] == n), key=_high) for n in names}
        tries = [(name, own[name][:60]) for name in names if name] + tries
    texts: Rows = []
    room = plot.wide * (0.6 if narrow else 0.4)
    for label, at in tries:
        label = clip(label, room, 12)
        long = width_of(label, 12)
        for left, middle in (s for x, y in at for s in _beside(x, y, long)):
            box = (left, middle - 7, left + long, middle + 7)
            inside = box[0] >= 0 and box[2] <= plot.wide + 10 and box[1] >= -6 and box[3] <= plot.height
            if inside and not any(_touch(box, other) for other in taken):
                taken.append(box)
                texts.append({"left": left, "up": plot.back(middle), "text": label, "ink": COLOURS["ink"]})
                break
    said = {"type": "nominal", "field": "ink", "scale": None, "legend": None}
    rule = {"x": plot.x("at"), "y": plot.y("low"), "y2": {"field": "high"}, "color": painted()}
    dot = {"x": plot.x("at"), "y": plot.y("value"), "color": painted()}
    layers = [
        *plot.ground,
        layer(kept(known, "at", "low", "high", "paint"), "rule", rule, strokeWidth=1.4, opacity=0.7),
        layer(
            kept(points, "at", "value", "paint", "label"),
            "point",
            dot,
            filled=True,
            size=70 if len(points) <= 60 else 22,
            opacity=0.9 if len(points) <= 60 else 0.5,
        ),
    ]
    for t in texts:
        spot = {"x": {"value": t["left"]}, "y": plot.y("up"), "text": {"field": "text"}, "color": said}
        layers.append(
            layer([kept([t], "up", "text", "ink")[0]], "text", spot, align="left", baseline="middle", fontSize=12)
        )
    return layers, plot.height, plot.margins


def _high(spot: tuple[float, float]) -> float:
    return spot[1]


def _beside(x: float, y: float, long: float) -> tuple[tuple[float, float], ...]:
    """Where a label may stand: left end and middle."""
    return (x + 8, y), (x - 8 - long, y), (x - long / 2, y - 14), (x - long / 2, y + 14)


def _touch(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


# Heatmap -----------------------------------------------------------------------------------------


def heatmap(figure: Figure, width: float, narrow: bool) -> Drawn:
    """A cell for each pair: deeper is more; the value is written in where it fits."""
    cells: dict[tuple[str, str], dict[str, Any]] = {}
    for row in figure.rows:
        cells.setdefault((_word(row.get("y")), _word(row.get("x"))), row)
    downs = list(dict.fromkeys(y for y, _ in cells))[: _MOST_CELLS[0]]
    acrosses = list(dict.fromkeys(x for _, x in cells))[: _MOST_CELLS[1]]
    most = 104.0 if narrow else 220.0
    labels = [wrap(y, most, size=13, most=2) for y in downs]
    left = max((width_of(line, 13) for lines in labels for line in lines), default=0) + 14
    wide = (width - left - 2) / max(1, len(acrosses))
    tall = max(30.0 if narrow else 34.0, 17.0 * max((len(lines) for lines in labels), default=1) + 4)
    values = [v for row in cells.values() if (v := finite(row.get("value"))) is not None]
    largest = max((abs(v) for v in values), default=0.0) or 1.0
    top, heads = _heads(acrosses, wide)
    boxes: Rows = []
    texts: Rows = []
    for i, y in enumerate(downs):
        for j, x in enumerate(acrosses):
            row = cells.get((y, x), {})
            value, clear = finite(row.get("value")), row.get("clear") is not False
            box = {"left": j * wide + 1, "right": (j + 1) * wide - 1, "top": i * tall + 1, "foot": (i + 1) * tall - 1}
            depth = 0.0 if value is None else 0.05 + (_DEEPEST - 0.05) * min(1.0, abs(value) / largest)
            paint = COLOURS["unclear"] if not clear else COLOURS["c2" if (value or 0) < 0 else "c1"]
            boxes.append({**box, "paint": paint, "depth": depth if clear else 0.3})
            text = value_text(value, figure)
            if width_of(text, 12) + 6 <= wide:
                at = {"x": (j + 0.5) * wide, "y": (i + 0.5) * tall}
                texts.append({**at, "text": text, "ink": COLOURS["ink" if value is not None else "third"]})
    names = [
        {"text": line, "y": (i + 0.5) * tall + (k - (len(lines) - 1) / 2) * 17, "ink": COLOURS["ink"]}
        for i, lines in enumerate(labels)
        for k, line in enumerate(lines)
    ]
    deep = {"field": "depth", "type": "quantitative", "scale": None, "legend": None}
    rect = {"x": px("left"), "x2": {"field": "right"}, "y": px("top"), "y2": {"field": "foot"}, "color": painted()}
    layers = [
        layer(boxes, "rect", {**rect, "fillOpacity": deep}, cornerRadius=2),
        written(texts, px("x"), align="center", fontSize=12),
        written(names, {"value": -12}, align="right"),
        written(heads, px("x"), align="center", fontSize=12),
    ]
    height = max(tall * len(downs), 1.0)
    bottom = 6.0
    if figure.x_title:
        title = {"text": clip(figure.x_title, width, 12), "y": height + 14, "ink": COLOURS["third"]}
        layers.append(written([title], {"value": width - left - 2}, align="right", fontSize=12))
        bottom = 28.0
    return layers, height, (top, 2, bottom, left)


def _heads(names: list[str], wide: float) -> tuple[float, Rows]:
    """Column names above the cells; every second or third one where they would touch."""
    every = 1
    while every < len(names) and max(width_of(clip(n, 60, 12), 12) for n in names) + 6 > wide * every:
        every += 1
    lines = {j: wrap(names[j], wide * every - 6, size=12, most=3) for j in range(0, len(names), every)}
    deep = max((len(told) for told in lines.values()), default=1)
    heads = []
    for j, told in lines.items():
        for k, line in enumerate(told):
            y = -10 - (len(told) - 1 - k) * _LINE
            heads.append({"text": line, "x": (j + 0.5) * wide, "y": y, "ink": COLOURS["second"]})
    return deep * _LINE + 10.0, heads


def _word(x: Any) -> str:
    if isinstance(x, int | float) and not isinstance(x, bool):
        return number(float(x))
    return "" if x is None else str(x)
