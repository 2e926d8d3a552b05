"""What a report says, in reading order and as plain text: page, notebook cell and Markdown are made from this.

Takes an answer's ``to_dict()`` (or the same read back from a workspace, where keys may be missing) and
turns every number into words. Nothing here knows markup.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.curves import MOST_SERIES
from ambidex.report.grids import Grid, actions_grid, appendix, cell, numbers_grid, plain, short
from ambidex.report.marks import alike
from ambidex.report.parts import MOST_ROWS
from ambidex.report.words import listing, number, plural

__all__ = ["Chip", "Notice", "Picture", "Section", "View", "view"]

MOST_FINDINGS = 5
MOST_NOTICES = 4
MOST_COUNTED = 30

_COUNTED = ("costs",)

_CHIPS = {
    "strong": ("ok", "●", "Strong evidence"),
    "some": ("warn", "▲", "Some evidence"),
    "weak": ("none", "○", "Weak evidence"),
}
_ADVICE = {
    "act": "Recommended",
    "do-not-act": "Recommended",
    "not-enough-evidence": "Not decided yet",
    "cannot-answer": "What to do",
}


@dataclass(frozen=True, slots=True)
class Chip:
    """A word with a shape: ``tone`` is ok, warn, bad or none."""

    tone: str
    mark: str
    word: str


@dataclass(frozen=True, slots=True)
class Notice:
    """A failed check or a caution."""

    tone: str
    mark: str
    text: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with the table that lists its marks."""

    figure: Figure
    numbers: Grid
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A finding."""

    kicker: str
    title: str
    text: str
    so_what: str
    how_sure: str
    chip: Chip
    picture: Picture | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """An answer as text, in the order in which it is read. See ``UX``: answer, evidence, method.

    Attributes:
        told: Findings stand on the page; False on a stopped one, where they are greyed in the appendix.
        counted: Tables of a stopped answer that only count, such as costs: they hold whatever the design is.
        unusable: Why the numbers of a stopped answer are not to be used.
    """

    name: str
    verb: str
    question: str
    about: str
    headline: str
    stopped: bool
    chip: Chip
    advice: str
    advice_text: str
    tiles: tuple[tuple[str, str, str], ...]
    notices: tuple[Notice, ...]
    sections: tuple[Section, ...]
    actions: Grid | None
    unknowns: tuple[str, ...]
    method: str
    command: str
    made: str
    appendix: tuple[Grid, ...]
    told: bool = True
    counted: tuple[Grid, ...] = ()
    unusable: str = ""


def view(answer: Mapping[str, Any], *, most: int = 200) -> View:
    """The report of an answer as plain text.

    Args:
        answer: ``Answer.to_dict()``.
        most: Rows at most in each table of the appendix.

    >>> view({"headline": "It rose.", "strength": "strong"}).chip.word
    'Strong evidence'
    """
    advice = answer.get("recommendation") or {}
    verdict = advice.get("verdict", "not-enough-evidence")
    stopped = verdict == "cannot-answer"
    record = answer.get("record") or {}
    name = short(answer.get("answer"))
    findings = list(answer.get("findings") or ())[:MOST_FINDINGS]
    tables = answer.get("tables") or {}
    only_counted = {"tables": {k: v for k, v in tables.items() if k in _COUNTED}}
    counted = tuple(appendix(only_counted, MOST_COUNTED)) if stopped else ()
    chip = Chip("bad", "■", "Cannot be answered") if stopped else _chip(answer.get("strength"))
    return View(
        name=name,
        verb=short(answer.get("verb")),
        question=short(answer.get("question")) or "What was found?",
        about=" · ".join(_about(record)),
        headline=plain(answer.get("headline")),
        stopped=stopped,
        chip=chip,
        advice=_ADVICE.get(verdict, "Recommended"),
        advice_text=plain(advice.get("text")),
        tiles=tuple(_tile(t) for t in list(answer.get("numbers") or ())[:3]),
        notices=_notices(answer, stopped),
        sections=tuple(_section(f, i, len(findings)) for i, f in enumerate(findings, 1)),
        actions=actions_grid(answer.get("actions") or ()),
        unknowns=tuple(plain(u) for u in answer.get("unknowns") or ()),
        method=plain(answer.get("method")),
        command=plain(record.get("command")),
        made=" · ".join(_made(record, name)),
        appendix=tuple(appendix(answer, most)),
        told=not stopped or bool(counted),
        counted=counted,
        unusable=_unusable(answer) if stopped else "",
    )


def _unusable(answer: Mapping[str, Any]) -> str:
    failed = [short(c.get("name"), 60) for c in answer.get("checks") or () if c.get("passed") is False]
    if not failed:
        return "Not to be used: this data cannot answer the question."
    return f"Not to be used: the {'check' if len(failed) == 1 else 'checks'} {listing(failed)} failed."


def _chip(strength: Any) -> Chip:
    return Chip(*_CHIPS.get(str(strength), _CHIPS["weak"]))


def _about(record: Mapping[str, Any]) -> list[str]:
    parts = []
    if isinstance(record.get("rows"), int):
        parts.append(plural(record["rows"], "row"))
    source = (record.get("origin") or {}).get("source")
    if isinstance(source, str) and source and source != "data":
        whole = (
            source if source.lstrip()[:6].lower() == "select" else source.replace("\\", "/").rstrip("/").split("/")[-1]
        )
        parts.append(short(whole, 60))
    return parts


def _made(record: Mapping[str, Any], name: str) -> list[str]:
    parts = []
    if record.get("fingerprint"):
        parts.append(f"data {short(record['fingerprint'], 80)}")
    if record.get("seed") is not None:
        parts.append(f"seed {short(record['seed'], 40)}")
    versions = record.get("versions") or {}
    parts += [f"{short(k, 40)} {short(v, 40)}" for k, v in list(versions.items())[:8]]
    return [*parts, name] if name else parts


def _tile(tile: Sequence[Any]) -> tuple[str, str, str]:
    label, value, extent = (*(short(t, 120) for t in tile), "", "", "")[:3]
    return label, value, extent


def _notices(answer: Mapping[str, Any], stopped: bool) -> tuple[Notice, ...]:
    out: dict[str, Notice] = {}
    for check in answer.get("checks") or ():
        if check.get("passed") is False:
            text = short(check.get("text") or _check_words(check), 600)
            out[text] = Notice("bad", "■", text) if stopped else Notice("warn", "▲", text)
    for caution in answer.get("cautions") or ():
        text = short(caution.get("text"), 600)
        out.setdefault(text, Notice("warn", "▲", text))
    kept = list(out.values())
    if len(kept) > MOST_NOTICES:
        rest = len(kept) - MOST_NOTICES
        kept = [*kept[:MOST_NOTICES], Notice("none", "○", f"{plural(rest, 'more remark')} in the details below.")]
    return tuple(kept)


def _check_words(check: Mapping[str, Any]) -> str:
    words = f"The check {check.get('name', '')!s} did not pass"
    if check.get("value") is not None and check.get("threshold") is not None:
        words += f": {number(check['value'])} against {number(check['threshold'])}"
    return words + "."


def _section(finding: Mapping[str, Any], i: int, of: int) -> Section:
    figure = finding.get("figure")
    return Section(
        kicker=f"Finding {i} of {of}" if of > 1 else "Finding",
        title=short(finding.get("title")),
        text=plain(finding.get("text")),
        so_what=plain(finding.get("so_what")),
        how_sure=plain(finding.get("how_sure")),
        chip=_chip(finding.get("strength")),
        picture=_picture(figure) if figure and figure.get("rows") else None,
    )


def _picture(data: Mapping[str, Any]) -> Picture:
    figure = Figure(
        form=data["form"],
        title=short(data.get("title")),
        subtitle=short(data.get("subtitle")),
        unit=short(data.get("unit"), 40),
        rows=tuple(data["rows"]),
        sentence=short(data.get("sentence"), 600),
        less=short(data.get("less"), 120),
        more=short(data.get("more"), 120),
        x_title=short(data.get("x_title"), 120),
        x_unit=short(data.get("x_unit"), 40),
        step=data.get("step") is True,
        reference=data.get("reference"),
        reference_text=short(data.get("reference_text"), 120),
    )
    notes = [_left_out(figure)]
    if figure.form == "interval-dots" and alike(figure):
        notes.append(f"n = {cell(figure.rows[0]['n'])} in every row.")
    return Picture(figure, numbers_grid(figure), " ".join(filter(None, notes)))


def _left_out(figure: Figure) -> str:
    """What the picture does not show."""
    if figure.form in ("line-band", "scatter"):
        series = len({str(r.get("series") or "") for r in figure.rows}) - MOST_SERIES
        return f"{plural(series, 'more line')} in the numbers below." if series > 0 else ""
    if figure.form in ("histogram", "heatmap"):
        return ""
    hidden = len(figure.rows) - MOST_ROWS
    return f"{plural(hidden, 'more row')} in the numbers below." if hidden > 0 else ""
