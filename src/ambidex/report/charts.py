"""Pictures from figures: one specification, drawn for our pages or handed out as an Altair chart."""

from __future__ import annotations

import html
import re
from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.forms import spec
from ambidex.report.ink import COLOURS, FONT
from ambidex.report.marks import value_text
from ambidex.report.parts import MOST_ROWS

__all__ = ["MOST_ROWS", "altair_chart", "picture_png", "print_svg", "spec", "svg", "value_text"]

_VARIABLES = {colour.lower(): name for name, colour in COLOURS.items()}
_TAG = re.compile(r"<[^>]*>")
_PAINT = re.compile(r'(fill|stroke)="(#[0-9a-fA-F]{6})"')
_NOISE = re.compile(r' (?:class|role|aria-[a-z]+|pointer-events|font-family|xmlns:xlink|xmlns|version)="[^"]*"')
_DIGITS = re.compile(r"-?\d+\.\d{2,}")
_PLACES = re.compile(r'(?:d|transform|[xy][12]?|viewBox)="[^"]*"')
_EMPTY = re.compile(r'<path class="(?:background|foreground)"[^>]*/>')


def altair_chart(figure: Figure) -> Any:
    """The picture as an Altair chart in the light theme, to take and change.

    Returns:
        ``altair.LayerChart`` with title and subtitle.

    >>> bars = Figure(form="bars", title="Rows", subtitle="", unit="count", sentence="a has 3 rows",
    ...               rows=({"label": "a", "value": 3},))
    >>> altair_chart(bars).to_dict()["title"]["text"]
    'Rows'
    """
    import altair

    return altair.Chart.from_dict(spec(figure, titled=True))


def svg(figure: Figure | dict[str, Any], *, narrow: bool = False) -> str:
    """The picture as an ``<svg>`` element for a page that defines our colour variables.

    One picture serves light, dark and print: paint is ``var(--c1, #1C5BC0)``. Text from the data is
    escaped; no ``style``, class, link or namespace is left in it, so a strict policy admits it.

    Args:
        figure: The figure, or its ``to_dict()``.
        narrow: For phones: 340 units wide, labels above their marks.
    """
    import vl_convert

    shape = figure if isinstance(figure, Figure) else Figure(**{**figure, "rows": tuple(figure["rows"])})
    drawn: str = vl_convert.vegalite_to_svg(spec(shape, narrow=narrow))
    drawn = _TAG.sub(_clean, _EMPTY.sub("", drawn))
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', drawn)[0]
    body = drawn[drawn.index(">") + 1 :]
    label = html.escape((shape.sentence or shape.title).replace("`", ""), quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}" font-family="{FONT}">{body}'


def print_svg(figure: Figure) -> str:
    """The picture as SVG in the light colours, for paper and slides; text stays text."""
    import vl_convert

    drawn: str = vl_convert.vegalite_to_svg(spec(figure))
    return drawn


def picture_png(figure: Figure, *, scale: float = 3.0) -> bytes:
    """The picture as PNG in the light colours, ``scale`` times as fine as the screen.

    On white, not transparent: office programs darken thin light lines at a transparent edge.
    """
    import vl_convert

    made = spec(figure)
    made["config"] = {**made["config"], "background": COLOURS["card"]}
    drawn: bytes = vl_convert.vegalite_to_png(made, scale=scale)
    return drawn


def _clean(tag: re.Match[str]) -> str:
    short = _PLACES.sub(lambda place: _DIGITS.sub(lambda d: f"{float(d[0]):.1f}", place[0]), tag[0])
    return _PAINT.sub(_variable, _NOISE.sub("", short))


def _variable(paint: re.Match[str]) -> str:
    name = _VARIABLES.get(paint[2].lower())
    return f'{paint[1]}="var(--{name}, {paint[2]})"' if name else paint[0]
