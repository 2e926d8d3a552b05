"""Small pictures of the dashboard, written as SVG by hand.

The pages of a report draw with Vega (60 ms a picture, half a second for the first); a page that renews itself every
five seconds cannot. These are the same forms in the same colours, as classes that the style sheet paints: one
picture serves light, dark and print, and nothing in it needs a style attribute, which the policy refuses.
Every function escapes what it writes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from ambidex.report.ink import clip, width_of
from ambidex.report.marks import ticks
from ambidex.report.words import fixed

__all__ = ["Line", "Mark", "Span", "histogram", "interval", "lines", "pips", "share_bar", "sparkline"]

Value = float | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a chart: its name, drawn at its end, its paint (a class) and a value a place, None for a gap."""

    name: str
    paint: str
    values: Sequence[Value]


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment with its name, such as a release."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of trouble."""

    start: float
    end: float
    text: str


def sparkline(values: Sequence[Value], said: str, *, paint: str = "c1") -> Markup:
    """The course of one figure, without axes: a line over its wash, from the smallest value to the largest."""
    width, height = 220.0, 36.0
    known = [v for v in values if v is not None and math.isfinite(v)]
    if len(known) < 2:
        return Markup('<svg class="spark" viewBox="0 0 220 36" aria-hidden="true"></svg>')
    low, high = min(known), max(known)
    room = (high - low) or 1.0
    step = width / max(1, len(values) - 1)
    runs = _runs(
        [
            None if v is None or not math.isfinite(v) else (i * step, 3 + (high - v) / room * (height - 8))
            for i, v in enumerate(values)
        ]
        if high > low
        else [None if v is None else (i * step, height / 2) for i, v in enumerate(values)]
    )
    parts = []
    for run in runs:
        path = _path(run)
        parts.append(f'<path class="wash {paint}" d="{path}V{height:g}H{run[0][0]:.1f}Z"/>')
        parts.append(f'<path class="line {paint}" d="{path}"/>')
    return Markup(
        '<svg class="spark" viewBox="0 0 220 36" preserveAspectRatio="none" role="img" aria-label="{}">'
    ).format(said) + Markup("".join(parts) + "</svg>")  # noqa: S704  # numbers and class names of our own


def lines(
    times: Sequence[float],
    series: Sequence[Line],
    said: str,
    *,
    labels: Sequence[tuple[float, str]],
    limit: Value = None,
    limit_text: str = "",
    marks: Sequence[Mark] = (),
    spans: Sequence[Span] = (),
    narrow: bool = False,
) -> Markup:
    """Lines over time from zero, labelled at their ends, with a limit, releases and trouble.

    Args:
        times: A place of each value, ascending, in seconds.
        series: At most four lines.
        said: The picture in a sentence.
        labels: Where the axis is written on, and what.
        limit: A level that is drawn across.
        limit_text: Its name.
        marks: Moments.
        spans: Stretches.
        narrow: For phones: 340 wide.
    """
    width, height = (340.0, 220.0) if narrow else (720.0, 270.0)
    left, right, top, foot = 34.0, 40.0, 30.0, 24.0
    known = [v for s in series for v in s.values if v is not None and math.isfinite(v)]
    most = max([*known, limit or 0.0], default=0.0) or 1.0
    steps = ticks(0.0, most * 1.08, 4)
    highest = max(most * 1.08, steps[-1])
    first, last = (times[0], times[-1]) if len(times) > 1 else (0.0, 1.0)
    across = (width - left - right) / ((last - first) or 1.0)

    def x(t: float) -> float:
        return left + (min(max(t, first), last) - first) * across

    def y(v: float) -> float:
        return top + (highest - v) / highest * (height - top - foot)

    out = [Markup('<svg viewBox="0 0 {:g} {:g}" role="img" aria-label="{}">').format(width, height, said)]
    for span in spans:
        a, b = x(span.start), x(span.end)
        out.append(_box("trouble", a, top, max(2.0, b - a), height - top - foot))
        out.append(_text("bad strong", a + 4, top - 8, clip(span.text, width - a - 8, 11)))
    digits = 0 if steps[-1] >= 10 or all(s == round(s) for s in steps) else 1 if steps[-1] >= 1 else 2
    for tick in steps:
        out.append(_rule("grid", left, y(tick), width - right, y(tick)))
        out.append(_text("tick", left - 8, y(tick) + 4, fixed(tick, digits), anchor="end"))
    for at, text in labels:
        out.append(_text("tick", x(at), height - 6, text, anchor="middle"))
    if limit is not None:
        out.append(_rule("limit", left, y(limit), width - right, y(limit)))
        out.append(_text("tick", left + 6, y(limit) - 6, limit_text))
    taken = -math.inf
    for mark in marks:
        place = x(mark.at)
        out.append(_rule("mark", place, top - 4, place, height - foot))
        half = width_of(mark.text, 11) / 2
        if place - half > taken:
            out.append(_text("tick ink", min(max(place, half + 2), width - half - 2), top - 18 if spans else top - 8,
                             mark.text, anchor="middle"))  # fmt: skip
            taken = place + half + 6
    ends: list[tuple[float, Line]] = []
    for line in series:
        points = [
            None if v is None or not math.isfinite(v) else (x(t), y(v)) for t, v in zip(times, line.values, strict=True)
        ]
        for run in _runs(points):
            out.append(Markup('<path class="line {}" d="{}"/>').format(line.paint, _path(run)))
        final = next((p for p in reversed(points) if p is not None), None)
        if final is not None:
            ends.append((final[1], line))
    above = -math.inf
    for level, line in sorted(ends, key=lambda e: e[0]):
        above = max(level, above + 14)
        out.append(_text(f"name {line.paint}", width - right + 6, above + 4, line.name))
    return Markup("").join(out) + Markup("</svg>")


def histogram(reference: Sequence[float], live: Sequence[float], said: str) -> Markup:
    """Two shares a cell: the reference as an outline, today filled."""
    width, height = 132.0, 30.0
    count = max(len(reference), len(live))
    if not count:
        return Markup("")
    most = max([*reference, *live, 1e-9])
    step = width / count
    bars, outline = [], f"M0 {height - 1:g}"
    for i in range(count):
        r = reference[i] if i < len(reference) else 0.0
        v = live[i] if i < len(live) else 0.0
        top = (height - 3) * v / most
        if top > 0.05:
            bars.append(_box("live", i * step + 0.6, height - 1 - top, max(0.8, step - 1.2), top))
        level = height - 1 - (height - 3) * r / most
        outline += f"V{level:.1f}H{(i + 1) * step:.1f}"
    outline += f"V{height - 1:g}"
    head = Markup('<svg class="pair" viewBox="0 0 132 30" role="img" aria-label="{}">').format(said)
    return head + Markup("").join(bars) + Markup('<path class="outline" d="{}"/></svg>').format(outline)


def interval(size: Value, low: Value, high: Value, margin: float, said: str, *, reach: float) -> Markup:
    """A distance with its interval on a band of the margin, from minus ``reach`` to plus ``reach``."""
    width, height = 180.0, 22.0
    middle, half = width / 2, width / 2 - 4
    reach = max(reach, margin * 1.5, 1e-9)

    def x(v: float) -> float:
        return middle + max(-1.0, min(1.0, v / reach)) * half

    out = [Markup('<svg class="dot" viewBox="0 0 180 22" role="img" aria-label="{}">').format(said)]
    out.append(_box("band", x(-margin), 2, x(margin) - x(-margin), height - 4))
    out.append(_rule("zero", middle, 1, middle, height - 1))
    if low is not None and high is not None:
        out.append(_rule("whisker", x(low), height / 2, x(high), height / 2))
        for end in (low, high):
            out.append(_rule("whisker", x(end), height / 2 - 4, x(end), height / 2 + 4))
    if size is not None:
        out.append(Markup('<circle class="point" cx="{:.1f}" cy="11" r="3.6"/>').format(x(size)))
    return Markup("").join(out) + Markup("</svg>")


def share_bar(parts: Sequence[tuple[str, float]], said: str) -> Markup:
    """Parts of a whole in a row, such as the stages of a request."""
    width = 720.0
    whole = sum(max(0.0, v) for _, v in parts) or 1.0
    out = [Markup('<svg class="stages" viewBox="0 0 720 46" role="img" aria-label="{}">').format(said)]
    place = 0.0
    for i, (name, value) in enumerate(parts):
        wide = max(0.0, value) / whole * width
        if wide > 0.5:
            out.append(_box(f"part p{i % 6}", place, 0, max(0.5, wide - 1.5), 24))
        if wide > width_of(name, 11) + 4:
            out.append(_text("tick ink", place + 1, 40, name))
        place += wide
    return Markup("").join(out) + Markup("</svg>")


def pips(parts: Sequence[tuple[str, int]], said: str) -> Markup:
    """So many of each, one mark a thing; the paint ``ask`` is dashed."""
    count = sum(n for _, n in parts)
    if not count:
        return Markup("")
    step = min(44.0, 330.0 / count)
    out = [Markup('<svg class="pips" viewBox="0 0 330 14" role="img" aria-label="{}">').format(said)]
    place = 0
    for paint, n in parts:
        for _ in range(n):
            out.append(_box(f"pip {paint}", place * step + 0.5, 1.5, step - 5, 11, round=2))
            place += 1
    return Markup("").join(out) + Markup("</svg>")


# ---------------------------------------------------------------- marks


def _runs(points: Sequence[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Stretches without a gap; a single point becomes a short stroke."""
    runs: list[list[tuple[float, float]]] = []
    fresh = True
    for point in points:
        if point is None:
            fresh = True
            continue
        if fresh:
            runs.append([])
            fresh = False
        runs[-1].append(point)
    return [run if len(run) > 1 else [run[0], (run[0][0] + 1.5, run[0][1])] for run in runs]


def _path(run: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{px:.1f} {py:.1f}" for px, py in run)


def _box(paint: str, x: float, y: float, width: float, height: float, *, round: int = 0) -> Markup:
    corner = Markup(' rx="{}"').format(round) if round else Markup("")
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"{}/>').format(
        paint, x, y, width, height, corner
    )


def _rule(paint: str, x1: float, y1: float, x2: float, y2: float) -> Markup:
    return Markup('<path class="{}" d="M{:.1f} {:.1f}L{:.1f} {:.1f}"/>').format(paint, x1, y1, x2, y2)


def _text(paint: str, x: float, y: float, text: Any, *, anchor: str = "") -> Markup:
    side = Markup(' text-anchor="{}"').format(anchor) if anchor else Markup("")
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}"{}>{}</text>').format(paint, x, y, side, escape(text))
