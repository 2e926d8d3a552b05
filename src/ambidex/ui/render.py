"""Pages as HTML, JSON and CSV: every text escaped, nothing written by hand."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlencode

from jinja2 import DictLoader, Environment, StrictUndefined, pass_context

from ambidex.report import words
from ambidex.report.ink import colour_rules
from ambidex.ui.looking import when

__all__ = ["ASSETS", "asset", "csv_text", "html", "json_text", "link_to", "stamp", "warm"]

ASSETS = {"app.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
"""What a page loads, and its type; nothing else is handed out."""

_PICTURES = ("picture", "slim", "dot")
"""Keys of page data that hold drawings, which JSON leaves out."""

_RISKY = ("=", "+", "-", "@", "\t", "\r")


@cache
def asset(name: str) -> bytes:
    """A file that pages load; the style sheet begins with the colours of the report."""
    text = resources.files("ambidex.ui").joinpath("assets", name).read_text(encoding="utf-8")
    if name == "app.css":
        colours = colour_rules(":root", "@media screen and (prefers-color-scheme:dark){:root{%s}}")
        text = f"{colours}\n{text}"
    return text.encode()


@cache
def stamp() -> str:
    """Changes when an asset does, so that they can be kept for long."""
    return hashlib.sha256(b"".join(asset(name) for name in ASSETS)).hexdigest()[:12]


@cache
def _house() -> Environment:
    folder = resources.files("ambidex.ui").joinpath("assets")
    sources = {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.name.endswith("jinja")}
    house = Environment(
        loader=DictLoader(sources), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    house.filters |= {
        "count": words.count, "fixed": words.fixed, "share": words.share, "number": words.number,
        "when": pass_context(lambda context, at: when(at, context["now"])),
        "first_up": lambda text: str(text)[:1].upper() + str(text)[1:],
    }  # fmt: skip
    return house


def warm() -> None:
    """Compile every page now, so that no reader waits for it."""
    for name in _house().list_templates():
        _house().get_template(name)
    stamp()


def html(template: str, data: Mapping[str, Any], *, now: datetime, **around: Any) -> str:
    """A page, or only its inside where ``fragment`` is said."""
    page: str = _house().get_template(f"{template}.html.jinja").render(data=data, stamp=stamp(), now=now, **around)
    return page


def link_to(path: str, query: Mapping[str, str]) -> Callable[..., str]:
    """Makes addresses of the same page with some words of the query changed; what is empty is left out."""

    def link(**changes: Any) -> str:
        merged = {**query, **{k: str(v) for k, v in changes.items()}}
        if not {"page", "before"} & set(changes):
            merged.pop("page", None)
        kept = {k: v for k, v in merged.items() if v != ""}
        return f"{path}?{urlencode(kept)}" if kept else path

    return link


def json_text(page: str, data: Mapping[str, Any]) -> str:
    """The data of a page as one document; raw, since programs read it."""
    document = {"schema": "ambidex/1", "page": page, "data": _plain(data)}
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items() if k not in _PICTURES}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def csv_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows for people: a cell that a spreadsheet would run as a formula gets a ``'`` before it.

    >>> csv_text([{"name": "=1+1", "size": -0.5, "gone": None}])
    "name,size,gone\\r\\n'=1+1,-0.5,\\r\\n"
    """
    names = list(dict.fromkeys(k for row in rows for k in row if k not in _PICTURES))
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_cell(n) for n in names])
    for row in rows:
        writer.writerow([_cell(row.get(n)) for n in names])
    return out.getvalue()


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(_plain(value), ensure_ascii=False)
    return f"'{text}" if text.startswith(_RISKY) else text
