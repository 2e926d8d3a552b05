"""Colours and text widths of the visual language, shared by charts and pages."""

from __future__ import annotations

import unicodedata

__all__ = ["COLOURS", "DARK", "FONT", "JOINERS", "clip", "colour_rules", "mix", "width_of", "wrap"]

FONT = "Inter, system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"

COLOURS = {
    "ground": "#F6F7F9",
    "card": "#FFFFFF",
    "ink": "#14181F",
    "second": "#454D5A",
    "third": "#667080",
    "line": "#E2E6EB",
    "c1": "#1C5BC0",
    "c2": "#C75100",
    "c3": "#3FA495",
    "c4": "#823D69",
    "reference": "#26292E",
    "unclear": "#A9B2BF",
    "ok": "#0B7664",
    "warn": "#945700",
    "bad": "#8E1024",
}
"""Light colours by variable name; the names are the CSS variables of our pages."""

DARK = {
    "ground": "#0F1318",
    "card": "#161B22",
    "ink": "#EBEFF3",
    "second": "#B8C1CD",
    "third": "#8C97A6",
    "line": "#2A323D",
    "c1": "#5A8CDB",
    "c2": "#D57600",
    "c3": "#5AD48D",
    "c4": "#EFAAFF",
    "reference": "#EBEFF3",
    "unclear": "#5B6675",
    "ok": "#4BE3BF",
    "warn": "#FABC00",
    "bad": "#F0655F",
}

JOINERS = frozenset("\u200c\u200d")
"""Letters without width that hold words of Persian and Hindi, and pictures of several signs, together."""

_NARROW = frozenset("iljtfrI.,:;'|!()[]- ·")
_WIDE = frozenset("mwMW@%—→←")


def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line in px, a little too large rather than too small.

    The fonts that readers have differ by a tenth; DejaVu Sans, the widest in use, is the measure.

    >>> 50 < width_of("Contract", 13) < 65
    True
    """
    units = 0.0
    for c in text:
        if c in _NARROW:
            units += 0.38
        elif c in _WIDE or unicodedata.east_asian_width(c) in "WF":
            units += 1.0
        elif unicodedata.combining(c) or c in JOINERS:
            continue
        else:
            units += 0.72 if c.isupper() else 0.64
    return units * size * (1.08 if bold else 1.0)


def clip(text: str, room: float, size: float) -> str:
    """The text, or its beginning and "…" if it is wider than the room."""
    if width_of(text, size) <= room:
        return text
    while text and width_of(text + "…", size) > room:
        text = text[:-1]
    return text.rstrip() + "…"


def wrap(text: str, room: float, *, size: float, most: int) -> list[str]:
    """Lines of about one width, none wider than the room.

    Broken at spaces, in a word only where it alone is too wide.

    Args:
        text: Any text; control characters and line breaks become spaces.
        room: Width in px.
        size: Font size in px.
        most: Lines at most; the last ends in "…" if there is more.

    >>> wrap("Electronic check or credit card", 120, size=13, most=4)
    ['Electronic check', 'or credit card']
    """
    clean = "".join(c if c.isprintable() or c in JOINERS else " " for c in text[:2000])
    room += 0.01  # a room computed from this very width must hold it
    lines = _lines(clean, room, size, most)
    if len(lines) > most:
        return [*lines[: most - 1], clip(f"{lines[most - 1]}…", room - 1, size).replace("……", "…")]
    while len(lines) > 1 and len(even := _lines(clean, room * 0.93, size, most)) == len(lines):
        room, lines = room * 0.93, even
    return lines or ["–"]


def _lines(clean: str, room: float, size: float, most: int) -> list[str]:
    """Greedy lines; stops after the first one too many."""
    lines, line = [], ""
    for word in clean.split():
        while True:
            joined = f"{line} {word}" if line else word
            if width_of(joined, size) <= room:
                line = joined
                break
            if line:
                lines.append(line)
                line = ""
                continue
            fits = max(1, next((i for i in range(1, len(word)) if width_of(word[: i + 1], size) > room), 1))
            lines.append(word[:fits])
            word = word[fits:]
        if len(lines) > most:
            break
    return [*lines, line] if line else lines


def colour_rules(scope: str, *dark: str) -> str:
    """Our colours as CSS variables, light for the scope and dark for each of the given rules."""
    light = _variables(COLOURS, 0.09)
    return f"{scope}{{{light}}}" + "".join(rule % _variables(DARK, 0.14) for rule in dark)


def _variables(colours: dict[str, str], strength: float) -> str:
    named = [f"--{name}:{colour.lower()}" for name, colour in colours.items()]
    washes = [
        f"--{name}-wash:{mix(colours[base], colours['card'], strength)}"
        for name, base in (("ok", "ok"), ("warn", "warn"), ("bad", "bad"), ("none", "third"))
    ]
    return ";".join(named + washes)


def mix(colour: str, ground: str, strength: float) -> str:
    """A colour laid thinly over a ground.

    >>> mix("#000000", "#FFFFFF", 0.5)
    '#808080'
    """
    parts = [(int(colour[i : i + 2], 16), int(ground[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(c * strength + g * (1 - strength)):02x}" for c, g in parts)
