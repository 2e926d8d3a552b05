"""Answers as a PDF on A4, set by typst: no browser, no system library, no network."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import resources
from typing import Any

from ambidex.report.charts import print_svg
from ambidex.report.view import Picture, View, view

__all__ = ["sheet"]

MOST = 60
"""Rows at most in each table of the appendix."""

_LONG = re.compile(r"[^\s<>]{16}(?=[^\s<>]{8})")


def sheet(answers: Sequence[Mapping[str, Any]], *, most: int = MOST) -> bytes:
    """The page's order as a document to print or to send.

    The same answers give the same bytes. Text is handed over as data and set as text, so no label can become markup;
    fonts that are used are embedded.

    Args:
        answers: ``Answer.to_dict()`` of each, in reading order.
        most: Rows at most in each table of the appendix.

    >>> sheet([{"question": "Does it?", "headline": "It does.", "strength": "strong"}])[:5]
    b'%PDF-'
    """
    import typst

    views = [view(a, most=most) for a in answers]
    title = views[0].question.replace("`", "") if len(views) == 1 else f"Answers to {len(views)} questions"
    data = {"title": title, "answers": [_told(v) for v in views]}
    source = resources.files("ambidex.report").joinpath("assets/report.typ").read_bytes()
    made: bytes = typst.compile(source, sys_inputs={"data": json.dumps(data, ensure_ascii=False)}, timestamp=0)
    return made


def _told(v: View) -> dict[str, Any]:
    told = asdict(v)
    for section, given in zip(told["sections"], v.sections, strict=True):
        section["picture"] = None if given.picture is None else _drawn(given.picture)
    out: dict[str, Any] = _unticked(told)
    return out


def _drawn(picture: Picture) -> dict[str, Any]:
    figure = picture.figure
    return {
        "title": figure.title,
        "subtitle": figure.subtitle,
        "sentence": figure.sentence,
        "note": picture.note,
        "chart": print_svg(figure),
    }


def _unticked(value: Any) -> Any:
    """Without the backticks that mark names on the page; long words may break. A command stays fit to copy."""
    if isinstance(value, str):
        return value if value.startswith("<svg") else _LONG.sub("\\g<0>\u200b", value.replace("`", ""))
    if isinstance(value, dict):
        return {k: v if k == "command" else _unticked(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_unticked(v) for v in value]
    return value
