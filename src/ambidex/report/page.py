"""The page: answers as one HTML file that needs nothing else, and the same as a notebook cell.

The page carries a policy that admits its own style and script by hash and nothing else. Every text
goes through Jinja's autoescaping; the pictures are escaped by the renderer (tests prove both).
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ambidex.errors import DataError, EnvironmentProblem, UsageError
from ambidex.report.ink import colour_rules
from ambidex.report.view import view

__all__ = ["FORMS", "LARGEST", "cell_html", "page_html", "write_report"]

LARGEST = 1_000_000
"""Bytes of a page at most; the appendix gives way first."""

CELL_ROWS = 12

StoredAnswer = Mapping[str, Any]


def page_html(answers: Sequence[StoredAnswer]) -> str:
    """One self-contained page that answers one or several questions.

    Args:
        answers: ``Answer.to_dict()`` of each, in reading order.

    Returns:
        HTML under 1 MB: no request, no inline style attribute, no event attribute.

    >>> page = page_html([{"question": "Does it?", "headline": "It does.", "strength": "strong"}])
    >>> "<h1>Does it?</h1>" in page, "http" in page.replace("http-equiv", "")
    (True, False)
    """
    page = ""
    for most in (200, 40, 8, 0):
        page = _page(answers, most)
        if len(page.encode()) <= LARGEST:
            break
    return page


def _page(answers: Sequence[StoredAnswer], most: int) -> str:
    views = [view(a, most=most) for a in answers]
    style = colour_rules(
        ":root",
        "@media screen and (prefers-color-scheme:dark){:root:not([data-theme=light]){%s}}",
        "@media screen{:root[data-theme=dark]{%s}}",
    ) + _asset("report.css")
    script = _asset("report.js")
    page: str = _template("page.html.jinja").render(
        answers=views,
        title=views[0].question.replace("`", "") if len(views) == 1 else f"Answers to {len(views)} questions",
        style=_markup(style),
        script=_markup(script),
        style_hash=_markup(_hash(style)),
        script_hash=_markup(_hash(script)),
        draw=_draw,
    )
    return page


def cell_html(answer: StoredAnswer) -> str:
    """An answer for a notebook cell: sentence, first picture, its numbers.

    Self-contained; all its rules are inside ``.ambidex``, and it follows a dark notebook.
    """
    shown = view(answer, most=CELL_ROWS)
    picture = next((s.picture for s in shown.sections if s.picture), None)
    table = picture.numbers if picture else next(iter(shown.appendix), None)
    style = colour_rules(".ambidex", "[data-jp-theme-light=false] .ambidex,.vscode-dark .ambidex{%s}") + _asset(
        "cell.css"
    )
    cell: str = _template("cell.html.jinja").render(
        a=shown, picture=picture, table=table, style=_markup(style), draw=_draw
    )
    return cell


def write_report(answers: Sequence[StoredAnswer], path: Path | str) -> Path:
    """Write answers as a page (``.html``), Markdown, PDF, slides (``.pptx``) or a notebook (``.ipynb``).

    The file appears whole or not at all.

    Returns:
        The path, as given.

    Raises:
        UsageError: ``usage.value`` for another ending.
        DataError: ``data.no-out-folder`` if its folder is not there.
        EnvironmentProblem: ``env.disk`` if the disk refuses.
    """
    path = Path(path)
    ending = path.suffix.lower()
    form = _FORMS.get(ending)
    if form is None:
        raise UsageError(
            "usage.value",
            f"a report is written as {', '.join(FORMS)}, not {ending or 'without an ending'}",
            where=str(path),
            found=path.name,
            do=f"name it {path.stem or 'report'}.html",
        )
    if not path.parent.is_dir():
        raise DataError(
            "data.no-out-folder",
            f"no folder {path.parent} for {path.name}",
            where=str(path),
            found="the file was not written",
            do=f"mkdir -p {path.parent}",
        )
    _write(path, form(answers))
    return path


def _page_bytes(answers: Sequence[StoredAnswer]) -> bytes:
    return page_html(answers).encode()


def _markdown_bytes(answers: Sequence[StoredAnswer]) -> bytes:
    from ambidex.report.markdown import markdown

    return markdown(answers).encode()


def _sheet(answers: Sequence[StoredAnswer]) -> bytes:
    from ambidex.report.sheet import sheet

    return sheet(answers)


def _slides(answers: Sequence[StoredAnswer]) -> bytes:
    from ambidex.report.slides import slides

    return slides(answers)


def _notebook(answers: Sequence[StoredAnswer]) -> bytes:
    from ambidex.report.notebook import notebook

    return notebook(answers)


_FORMS: dict[str, Callable[[Sequence[StoredAnswer]], bytes]] = {
    ".html": _page_bytes,
    ".htm": _page_bytes,
    ".md": _markdown_bytes,
    ".pdf": _sheet,
    ".pptx": _slides,
    ".ipynb": _notebook,
}

FORMS = {"html": ".html", "md": ".md", "pdf": ".pdf", "pptx": ".pptx", "notebook": ".ipynb"}
"""Words of ``report --to`` and the endings they write."""


def _write(path: Path, data: bytes) -> None:
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as problem:
        raise EnvironmentProblem(
            "env.disk",
            f"{path.name} could not be written: {problem.strerror or problem}",
            where=str(path),
            do="free some space, or name another folder with --out",
        ) from problem
    finally:
        beside.unlink(missing_ok=True)


# Style, script and pictures ----------------------------------------------------------------------


@cache
def _asset(name: str) -> str:
    return resources.files("ambidex.report").joinpath("assets", name).read_text(encoding="utf-8")


@cache
def _template(name: str) -> Any:
    from jinja2 import Environment

    house = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    house.filters["code"] = _code
    return house.from_string(_asset(name))


def _markup(text: str) -> Any:
    """Text of our own that goes into the page as it is."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704  # assets of the package, hashes, and pictures that the renderer escaped


def _code(text: str) -> Any:
    """Text with what stands between backticks, such as a column's name, set as code."""
    from markupsafe import Markup

    parts = text.split("`")
    if len(parts) % 2 == 0 or "" in parts[1::2]:
        return text
    code = Markup("<code>{}</code>")
    return Markup("").join(code.format(part) if i % 2 else part for i, part in enumerate(parts))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _draw(figure: Any, narrow: bool = False) -> Any:
    from ambidex.report.charts import svg

    return _markup(svg(figure, narrow=narrow))
