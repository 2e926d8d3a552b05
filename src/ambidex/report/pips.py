"""Pips: how many of how many, a row a thing, with a word at the end."""

from __future__ import annotations

from ambidex.report.answer import Figure
from ambidex.report.ink import COLOURS, width_of
from ambidex.report.parts import Drawn, Rows, drawable, gutter, layer, painted, place, px, written

__all__ = ["pips"]

MOST = 12
"""Pips drawn in a row; a larger count is scaled to as many."""

_GUTTER = 200
_PAINTS = {"explore": "c1", "deliver": "c2", "model": "c3", "ask": "unclear", "ok": "c1", "short": "warn", "gap": "bad"}


def pips(figure: Figure, width: float, narrow: bool) -> Drawn:
    """Rows of ``label``, ``value`` filled pips ``of`` so many, ``side`` (paint) and ``text``."""
    rows = drawable(figure)
    for r in rows:
        r["text"] = str(r.get("text", ""))
    room = max((width_of(r["text"], 13) for r in rows), default=0) + 16
    left = 2.0 if narrow else gutter(rows, _GUTTER)
    right = 2.0 if narrow else min(room, width / 3)
    height, labels = place(rows, room=width if narrow else left - 18, narrow=narrow, mark=14, above=18 if narrow else 0)
    plot = width - left - right
    most = max((int(r.get("of") or r["value"]) for r in rows), default=1) or 1
    steps = min(most, MOST)
    step = min(44.0, plot / steps)
    full: Rows = []
    empty: Rows = []
    for r in rows:
        of = round(int(r.get("of") or r["value"]) * steps / most)
        filled = round(r["value"] * steps / most)
        for k in range(of):
            mark = {"a": k * step, "b": (k + 1) * step - 5, "top": r["y"] - 7, "foot": r["y"] + 7}
            paint = COLOURS[_PAINTS.get(str(r.get("side", "")), "c1")]
            (full if k < filled else empty).append({**mark, "paint": paint if k < filled else COLOURS["unclear"]})
    box = {"x": px("a"), "x2": {"field": "b"}, "y": px("top"), "y2": {"field": "foot"}}
    ink = COLOURS["second"]
    words: Rows = [{"text": r["text"], "y": r["y"] - 18 if narrow else r["y"], "ink": ink} for r in rows if r["text"]]
    after = 0 if narrow else steps * step + 10
    layers = [
        layer(full, "rect", {**box, "color": painted()}, cornerRadius=2),
        layer(
            empty, "rect", {**box, "stroke": painted()}, cornerRadius=2, filled=False, strokeDash=[3, 2], strokeWidth=1
        ),
        written(labels, {"value": -left if narrow else -14}, align="left" if narrow else "right"),
        written(words, {"value": after}, align="left"),
    ]
    return layers, height, (4, right, 4, left)
