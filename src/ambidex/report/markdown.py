"""Answers as Markdown: the page's order, tables for pictures."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.report.grids import Grid
from ambidex.report.view import Section, View, view

__all__ = ["markdown"]

_MARKUP = re.compile(r"([\\`*\[\]<|~&$]|(?<![^\W_])_|_(?![^\W_]))")
_STARTS = re.compile(r"^([-+=#>]|\d+(?=[.)]\s))")


def markdown(answers: Sequence[Mapping[str, Any]], *, most: int = 200) -> str:
    """Answers as one Markdown text (GitHub's tables).

    Texts of the data are escaped, so that no label can become markup, a link or HTML.

    Args:
        answers: ``Answer.to_dict()`` of each, in reading order.
        most: Rows at most in each table of the appendix.

    >>> print(markdown([{"question": "Does it?", "headline": "a*b rose.", "strength": "strong"}]).splitlines()[2])
    **a\\*b rose.**
    """
    views = [view(a, most=most) for a in answers]
    many = len(views) > 1
    lines: list[str] = []
    if many:
        lines += [f"# Answers to {len(views)} questions", ""]
        lines += [f"- {_safe(v.question)}: {_safe(v.headline)}" for v in views] + [""]
    for v in views:
        lines += _answer(v, "##" if many else "#")
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def _answer(v: View, level: str) -> list[str]:
    out = [f"{level} {_safe(v.question)}", ""]
    if v.stopped:
        out += ["■ **This data cannot answer the question.**", ""]
    out += [f"**{_safe(v.headline)}**", "", f"{v.chip.mark} {v.chip.word}"]
    if v.advice_text:
        out[-1] += f" · {v.advice}: {_safe(v.advice_text)}"
    out.append("")
    if v.tiles:
        out += _table(Grid("", ("", "Value", "Range"), v.tiles, (True, False, True)))
    out += [f"- {n.mark} {_safe(n.text)}" for n in v.notices] + [""]
    if v.told:
        for s in v.sections:
            out += _section(s, level + "#")
    for grid in v.counted:
        out += [f"{level}# {_safe(grid.title)}", "", *_table(grid)]
    if v.actions:
        out += [f"{level}# What we suggest doing", "", *_table(v.actions)]
    if v.unknowns:
        out += [f"{level}# What we do not know", "", *(f"- {_safe(u)}" for u in v.unknowns), ""]
    out += [f"{level}# How this was made", ""]
    out += [
        line
        for text in (_safe(v.method), _code(v.command), _safe(" · ".join(filter(None, (v.about, v.made)))))
        if text
        for line in (text, "")
    ]
    if v.stopped and v.appendix:
        out += [f"**{_safe(v.unusable)}**", ""]
    if v.sections and not v.told:
        out += [f"{level}# Seen, but not to be relied on", ""]
        for s in v.sections:
            out += _section(s, level + "##")
    for grid in v.appendix:
        out += [f"{level}# {_safe(grid.title)}", "", *_table(grid)]
    return out


def _section(s: Section, level: str) -> list[str]:
    out = [f"{level} {_safe(s.title)}", "", _safe(s.text), ""]
    if s.picture:
        title, subtitle = s.picture.figure.title, s.picture.figure.subtitle
        out += [f"**{_safe(title)}** {_safe(subtitle)}".strip(), "", *_table(s.picture.numbers)]
    if s.so_what:
        out += [f"- So what: {_safe(s.so_what)}"]
    return [*out, f"- How sure: {s.chip.mark} {s.chip.word}. {_safe(s.how_sure)}".rstrip(), ""]


def _table(grid: Grid) -> list[str]:
    def row(cells: Sequence[str]) -> str:
        return "| " + " | ".join(_inline(c) or " " for c in cells) + " |"

    marks = "| " + " | ".join("---" if words else "---:" for words in grid.left) + " |"
    note = ["", _safe(grid.note)] if grid.note else []
    return [row(grid.head), marks, *(row(r) for r in grid.rows), *note, ""]


def _safe(text: str) -> str:
    """``_inline``, and nothing at its start that opens a list, a heading or a quotation."""
    return _STARTS.sub(lambda start: start[0] + "\\" if start[0].isdigit() else "\\" + start[0], _inline(text))


def _inline(text: str) -> str:
    """Text as text, on one line: markup characters escaped, except inside backticks that pair up."""
    one = " ".join(text.split())
    parts = one.split("`")
    if len(parts) % 2 == 0 or "" in parts[1::2]:
        parts = [one]
    told = ["`" + p.replace("|", "\\|") + "`" if i % 2 else _MARKUP.sub(r"\\\1", p) for i, p in enumerate(parts)]
    return "".join(told)


def _code(text: str) -> str:
    if not text:
        return ""
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence}\n{' '.join(text.split())}\n{fence}"
