"""Answers as a notebook that asks the same questions again, compares, and goes on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.report.view import view

__all__ = ["notebook"]

_FURTHER = {
    "drivers": ("Without some columns, or the model itself:", "amb.drivers(table, **{**options, 'exclude': ['…']})"),
    "experiment": ("In groups of customers:", "amb.experiment(table, **{**options, 'by': ['…']})"),
    "segments": ("Another number of segments:", "amb.segments(table, **{**options, 'k': 4})"),
    "campaign": ("Another cost:", "amb.campaign(table, **{**options, 'cost': 0.2})"),
    "plan": ("Another effect:", "amb.plan(**{**options, 'difference': 0.01})"),
    "profile": ("What goes with one column:", "amb.drivers(table, target='…')"),
}


def notebook(answers: Sequence[Mapping[str, Any]]) -> bytes:
    """A notebook (nbformat 4.5) that reproduces answers cell by cell.

    Each answer gets its words, the table's name, the call with the recorded options, the comparison with what was
    recorded (fingerprint of the data, headline), the estimates as a frame and each picture as an Altair chart.
    Nothing was run: there are no outputs. The same answers give the same bytes.

    Args:
        answers: ``Answer.to_dict()`` of each, in reading order.

    >>> made = json.loads(notebook([{"verb": "plan", "question": "How big?", "headline": "77.", "record": {}}]))
    >>> made["nbformat"], made["cells"][1]["cell_type"]
    (4, 'code')
    """
    cells: list[dict[str, Any]] = []
    for i, answer in enumerate(answers):
        shown = view(answer)
        intro = f"# {_text(shown.question)}\n\n**{_text(shown.headline)}**\n\n{shown.chip.mark} {shown.chip.word}"
        if shown.advice_text:
            intro += f" · {shown.advice}: {_text(shown.advice_text)}"
        cells += [_cell(i, n, kind, text) for n, (kind, text) in enumerate([("markdown", intro), *_code(answer)])]
    document = {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _code(answer: Mapping[str, Any]) -> list[tuple[str, str]]:
    record = answer.get("record") or {}
    verb = str(answer.get("verb") or "profile")
    options = {str(k): v for k, v in (record.get("options") or {}).items()}
    source = (record.get("origin") or {}).get("source")
    figures = sum(1 for f in answer.get("findings") or () if f.get("figure"))
    table = "" if verb == "plan" and not record.get("fingerprint") else "table, "
    setup = ["import ambidex as amb", ""]
    if table:
        named = repr(source) if source else "...  # the dataframe that was asked; it had no name"
        setup.append(f"table = {named}")
    setup.append(f"options = {_literal(options)}")
    expected = {"headline": answer.get("headline"), "fingerprint": record.get("fingerprint")}
    compare = [
        f"recorded = {_literal({k: v for k, v in expected.items() if v})}",
        "",
        'same_data = answer.record.get("fingerprint") == recorded.get("fingerprint")',
        'same_answer = answer.headline == recorded["headline"]',
        'print("the data is the same" if same_data else "THE DATA HAS CHANGED")',
        'print("the answer is the same" if same_answer else "THE ANSWER HAS CHANGED: " + answer.headline)',
    ]
    cells = [
        ("code", "\n".join(setup)),
        ("code", f"answer = amb.{verb}({table}**options)\nanswer"),
        ("code", "\n".join(compare)),
        ("code", "answer.to_frame()"),
    ]
    cells += [("code", f"answer.charts[{i}]  # an Altair chart: change it as you like") for i in range(figures)]
    words, call = _FURTHER.get(verb, ("Go on from here:", "answer.to_dict()"))
    cells.append(("code", f'# {words}\n# {call}\n# answer.report("page.html")'))
    return cells


def _literal(options: Mapping[str, Any]) -> str:
    """A dict as Python source, an item a line."""
    if not options:
        return "{}"
    return "{\n" + "".join(f"    {k!r}: {v!r},\n" for k, v in options.items()) + "}"


def _text(text: str) -> str:
    """Words of the data as text: no markup, no HTML."""
    out = " ".join(text.replace("`", "").split())
    for mark in ("\\", "*", "_", "[", "]", "<", "|", "$", "#"):
        out = out.replace(mark, "\\" + mark if mark != "<" else "&lt;")
    return out


def _cell(answer: int, place: int, kind: str, text: str) -> dict[str, Any]:
    lines = text.splitlines(keepends=True)
    name = hashlib.sha256(f"{answer}/{place}/{text}".encode()).hexdigest()[:12]
    cell: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}, "source": lines}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell
