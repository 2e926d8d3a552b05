"""Answers as slides (.pptx): a sentence a slide, editable text, crisp pictures."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.report.charts import picture_png
from ambidex.report.grids import short
from ambidex.report.ink import COLOURS
from ambidex.report.view import Section, View, view

__all__ = ["slides"]

_WIDE, _HIGH = 13.333, 7.5
_LEFT, _ROOM = 0.75, 11.83
_TONES = {"ok": "ok", "warn": "warn", "bad": "bad", "none": "third"}
_CELLS = (160, 50, 50, 120)
"""Characters of an action's cells: seven rows of these fit one slide."""

_DAY = (1980, 1, 1, 0, 0, 0)
"""Time of every file in the archive, so that the same answers give the same bytes."""


def slides(answers: Sequence[Mapping[str, Any]]) -> bytes:
    """Slides of 16:9: the answer, its numbers, a finding each, what to do, what is not known, how it was made.

    Text is text and can be changed; pictures are PNG, three times as fine as the screen, with their sentence as
    alternative text. Nothing of the clock or the machine is in the file.

    Args:
        answers: ``Answer.to_dict()`` of each, in reading order.

    >>> slides([{"question": "Does it?", "headline": "It does.", "strength": "strong"}])[:2]
    b'PK'
    """
    from pptx import Presentation
    from pptx.util import Inches

    views = [view(a, most=0) for a in answers]
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(_WIDE), Inches(_HIGH)
    if len(views) > 1:
        page = _Page(deck, f"Answers to {len(views)} questions")
        page.words([(f"{v.question}  {v.headline}", 18, "ink") for v in views], top=1.7, high=5.0)
    for v in views:
        _answer(deck, v)
    core = deck.core_properties
    core.author, core.title = "ambidex", _said(views[0].question)
    core.created = core.modified = core.last_printed = _moment()
    made = io.BytesIO()
    deck.save(made)
    return _timeless(made.getvalue())


def _answer(deck: Any, v: View) -> None:
    page = _Page(deck, v.question)
    head = [(v.headline, 28, "ink")]
    if v.stopped:
        head.insert(0, ("■ This data cannot answer the question.", 18, "bad"))
    page.words(head, top=1.75, high=2.2)
    chip = (f"{v.chip.mark} {v.chip.word}", 16, _TONES.get(v.chip.tone, "third"))
    page.words([chip, *([(f"{v.advice}: {v.advice_text}", 18, "second")] if v.advice_text else [])], top=4.0, high=1.4)
    page.tiles(v.tiles, top=5.45, ink="third" if v.stopped else "ink")
    if v.notices:
        page = _Page(deck, "What to look out for" if not v.stopped else "Why it cannot be answered")
        page.words([(f"{n.mark} {n.text}", 16, _TONES.get(n.tone, "second")) for n in v.notices], top=1.7, high=5.2)
    for section in v.sections if v.told else ():
        _finding(deck, section)
    if v.actions:
        page = _Page(deck, "What we suggest doing")
        page.table(
            v.actions.head, [[short(c, most) for c, most in zip(r, _CELLS, strict=True)] for r in v.actions.rows[:7]]
        )
    if v.unknowns:
        page = _Page(deck, "What we do not know")
        page.words([(f"•  {u}", 18, "ink") for u in v.unknowns[:7]], top=1.7, high=5.2)
    page = _Page(deck, "How this was made")
    told = [
        (v.method, 16, "ink"),
        (v.command, 14, "second"),
        (" · ".join(filter(None, (v.about, v.made))), 12, "third"),
    ]
    page.words([t for t in told if t[0]], top=1.7, high=5.0)


def _finding(deck: Any, s: Section) -> None:
    page = _Page(deck, s.title, kicker=s.kicker)
    side = 3.6 if s.picture else _ROOM
    words = [(short(s.text, 600), 16, "second")] if s.text else []
    if s.so_what:
        words.append((f"So what: {short(s.so_what, 400)}", 16, "ink"))
    words.append((f"{s.chip.mark} {s.chip.word}. {short(s.how_sure, 400)}", 14, _TONES.get(s.chip.tone, "third")))
    page.words(words, top=2.05, high=4.9, wide=side)
    if s.picture:
        figure = s.picture.figure
        page.picture(picture_png(figure), figure.sentence or figure.title, left=_LEFT + side + 0.3, top=2.75)
        caption = [(short(figure.title, 90), 14, "ink"), (short(figure.subtitle, 150), 12, "third")]
        page.words(caption, top=2.0, high=0.7, left=_LEFT + side + 0.3, wide=_ROOM - side - 0.3)


class _Page:
    """One slide: its title, and what is put on it."""

    def __init__(self, deck: Any, title: str, *, kicker: str = "") -> None:
        self.slide = deck.slides.add_slide(deck.slide_layouts[5])
        for shape in list(self.slide.placeholders):
            if shape.placeholder_format.type != 1 and shape.placeholder_format.idx != 0:
                shape._element.getparent().remove(shape._element)
        self._title(title)
        if kicker:
            self.words([(kicker, 12, "third")], top=0.25, high=0.35)

    def _title(self, title: str) -> None:
        from pptx.enum.text import MSO_ANCHOR
        from pptx.util import Inches

        box = self.slide.shapes.title
        box.left, box.top, box.width, box.height = Inches(_LEFT), Inches(0.45), Inches(_ROOM), Inches(1.2)
        frame = box.text_frame
        frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.TOP
        text = _said(title)
        _write(frame.paragraphs[0], text, 30 if len(text) <= 70 else 24 if len(text) <= 140 else 18, "ink", bold=True)

    def words(
        self,
        lines: Sequence[tuple[str, float, str]],
        *,
        top: float,
        high: float,
        left: float = _LEFT,
        wide: float = _ROOM,
    ) -> None:
        """Paragraphs of (text, points, colour), made smaller where they would not fit."""
        from pptx.util import Inches, Pt

        frame = self.slide.shapes.add_textbox(Inches(left), Inches(top), Inches(wide), Inches(high)).text_frame
        frame.word_wrap = True
        shrink = _shrink(lines, wide, high)
        for i, (text, size, colour) in enumerate(lines):
            paragraph = frame.paragraphs[0] if i == 0 else frame.add_paragraph()
            paragraph.space_after = Pt(8 * shrink)
            _write(paragraph, _said(text), max(9, size * shrink), colour)

    def tiles(self, tiles: Sequence[tuple[str, str, str]], *, top: float, ink: str = "ink") -> None:
        """Up to three numbers with their ranges, in grey where they are not to be used."""
        wide = (_ROOM - 0.3 * (len(tiles) - 1)) / max(1, len(tiles))
        for i, (label, value, extent) in enumerate(tiles):
            lines = [(label, 12, "third"), (value, 26, ink), (extent, 12, "third")]
            self.words([t for t in lines if t[0]], top=top, high=1.6, left=_LEFT + i * (wide + 0.3), wide=wide)

    def picture(self, png: bytes, said: str, *, left: float, top: float) -> None:
        """A picture as large as its corner allows, with its sentence as alternative text."""
        from pptx.util import Inches

        shape = self.slide.shapes.add_picture(io.BytesIO(png), Inches(left), Inches(top))
        room, high = Inches(_LEFT + _ROOM - left), Inches(_HIGH - 0.4 - top)
        scale = min(room / shape.width, high / shape.height)
        shape.width, shape.height = int(shape.width * scale), int(shape.height * scale)
        shape._element.nvPicPr.cNvPr.set("descr", _said(said))

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table with its head."""
        from pptx.util import Inches

        shape = self.slide.shapes.add_table(
            len(rows) + 1, len(head), Inches(_LEFT), Inches(1.8), Inches(_ROOM), Inches(0.5 * (len(rows) + 1))
        )
        widths = [0.42, 0.16, 0.14, 0.28] if len(head) == 4 else [1 / len(head)] * len(head)
        for column, share in zip(shape.table.columns, widths, strict=True):
            column.width = int(Inches(_ROOM) * share)
        for i, row in enumerate([head, *rows]):
            for j, text in enumerate(row):
                cell = shape.table.cell(i, j)
                cell.fill.solid()
                cell.fill.fore_color.rgb = _colour("ground" if i == 0 else "card")
                cell.text_frame.word_wrap = True
                _write(cell.text_frame.paragraphs[0], _said(text), 13, "third" if i == 0 else "ink", bold=i == 0)


def _write(paragraph: Any, text: str, size: float, colour: str, *, bold: bool = False) -> None:
    from pptx.enum.text import PP_ALIGN
    from pptx.util import Pt

    paragraph.alignment = PP_ALIGN.LEFT
    run = paragraph.add_run()
    run.text = text
    run.font.size, run.font.bold, run.font.name = Pt(round(size * 2) / 2), bold, "Inter"
    run.font.color.rgb = _colour(colour)


def _colour(name: str) -> Any:
    from pptx.dml import color

    maker: Any = color.RGBColor
    return maker.from_string(COLOURS[name][1:])


def _shrink(lines: Sequence[tuple[str, float, str]], wide: float, high: float) -> float:
    """Factor under which the lines fit their box, by the mean width of a letter."""
    scale = 1.0
    while scale > 0.45:
        needed = 0.0
        for text, size, _ in lines:
            letters = max(1.0, wide * 72 / (0.53 * size * scale))
            needed += (1 + len(text) // letters) * size * scale * 1.25 + 8 * scale
        if needed <= high * 72:
            break
        scale -= 0.05
    return scale


def _said(text: str) -> str:
    return text.replace("`", "")


def _moment() -> Any:
    from datetime import datetime

    return datetime(*_DAY[:3])  # the format knows no zone


def _timeless(data: bytes) -> bytes:
    """The archive with one time for every file in it."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as out:
        for item in source.infolist():
            entry = zipfile.ZipInfo(item.filename, _DAY)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            out.writestr(entry, source.read(item.filename))
    return made.getvalue()
