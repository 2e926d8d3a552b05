"""What a report says, in reading order and as plain text: page, notebook cell and Markdown are made from this.

Takes an answer's ``to_dict()`` (or the same read back from a workspace, where keys may be missing) and
turns every number into words. Nothing here knows markup.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.forms import MOST_ROWS, value_text
from ambidex.report.words import count, number, plural, share, signed, signed_points, span

__all__ = ["Chip", "Grid", "Notice", "Picture", "Section", "View", "view"]

Rows = Sequence[Mapping[str, Any]]

ABSENT = "–"
MOST_FINDINGS = 5
MOST_NOTICES = 6
MOST_NUMBERS = 200
_LONGEST = 300  # characters of a cell or a heading; the JSON keeps the rest

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
_SAID_ONCE = ("Kind", "Other columns", "Level", "n", "Method")  # below the table, where all rows agree
_HEADS = {"label": "", "left": "From", "right": "To", "n": "n", "value": "Value", "p_value": "p", "q_value": "q"}


@dataclass(frozen=True, slots=True)
class Chip:
    """A word with a shape: ``tone`` is ok, warn, bad or none."""

    tone: str
    mark: str
    word: str


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as text; ``left`` says which columns are words (the others are numbers)."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: tuple[bool, ...]
    note: str = ""

    @property
    def cells(self) -> list[list[tuple[str, bool]]]:
        """Rows of (text, is words)."""
        return [list(zip(r, self.left, strict=True)) for r in self.rows]

    @property
    def heads(self) -> list[tuple[str, bool]]:
        """Heads of (text, is words)."""
        return list(zip(self.head, self.left, strict=True))


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
    """An answer as text, in the order in which it is read. See ``UX``: answer, evidence, method."""

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
    name = _line(answer.get("answer"))
    findings = list(answer.get("findings") or ())[:MOST_FINDINGS]
    chip = Chip("bad", "■", "Cannot be answered") if stopped else _chip(answer.get("strength"))
    return View(
        name=name,
        verb=_line(answer.get("verb")),
        question=_line(answer.get("question")) or "What was found?",
        about=" · ".join(_about(record)),
        headline=_text(answer.get("headline")),
        stopped=stopped,
        chip=chip,
        advice=_ADVICE.get(verdict, "Recommended"),
        advice_text=_text(advice.get("text")),
        tiles=tuple(_tile(t) for t in list(answer.get("numbers") or ())[:3]),
        notices=_notices(answer, stopped),
        sections=tuple(_section(f, i, len(findings)) for i, f in enumerate(findings, 1)),
        actions=_actions(answer.get("actions") or ()),
        unknowns=tuple(_text(u) for u in answer.get("unknowns") or ()),
        method=_text(answer.get("method")),
        command=_text(record.get("command")),
        made=" · ".join(_made(record, name)),
        appendix=tuple(_appendix(answer, most)),
    )


def _text(value: Any) -> str:
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text).strip()


def _line(value: Any, most: int = _LONGEST) -> str:
    text = _text(value)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


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
        parts.append(_line(whole, 60))
    return parts


def _made(record: Mapping[str, Any], name: str) -> list[str]:
    parts = []
    if record.get("fingerprint"):
        parts.append(f"data {_line(record['fingerprint'], 80)}")
    if record.get("seed") is not None:
        parts.append(f"seed {_line(record['seed'], 40)}")
    versions = record.get("versions") or {}
    parts += [f"{_line(k, 40)} {_line(v, 40)}" for k, v in list(versions.items())[:8]]
    return [*parts, name] if name else parts


def _tile(tile: Sequence[Any]) -> tuple[str, str, str]:
    label, value, extent = (*(_line(t, 120) for t in tile), "", "", "")[:3]
    return label, value, extent


def _notices(answer: Mapping[str, Any], stopped: bool) -> tuple[Notice, ...]:
    out: dict[str, Notice] = {}
    for check in answer.get("checks") or ():
        if check.get("passed") is False:
            text = _line(check.get("text") or _check_words(check), 600)
            out[text] = Notice("bad", "■", text) if stopped else Notice("warn", "▲", text)
    for caution in answer.get("cautions") or ():
        text = _line(caution.get("text"), 600)
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
        title=_line(finding.get("title")),
        text=_text(finding.get("text")),
        so_what=_text(finding.get("so_what")),
        how_sure=_text(finding.get("how_sure")),
        chip=_chip(finding.get("strength")),
        picture=_picture(figure) if figure and figure.get("rows") else None,
    )


def _picture(data: Mapping[str, Any]) -> Picture:
    figure = Figure(
        form=data["form"],
        title=_line(data.get("title")),
        subtitle=_line(data.get("subtitle")),
        unit=_line(data.get("unit"), 40),
        rows=tuple(data["rows"]),
        sentence=_line(data.get("sentence"), 600),
        less=_line(data.get("less"), 120),
        more=_line(data.get("more"), 120),
    )
    hidden = len(figure.rows) - MOST_ROWS if figure.form != "histogram" else 0
    note = f"{plural(hidden, 'more row')} in the numbers below." if hidden > 0 else ""
    return Picture(figure, _numbers(figure), note)


def _numbers(figure: Figure) -> Grid:
    """The table under a picture: the same values, the interval as one column, then what else a row holds."""
    rows = figure.rows[:MOST_NUMBERS]
    seen = list(dict.fromkeys(k for r in rows for k in r))
    ranged = any(r.get("low") is not None or r.get("high") is not None for r in rows)
    judged = figure.form == "effect-bars" and "clear" in seen
    rest = [k for k in seen if k not in ("label", "left", "right", "value", "low", "high", "clear")]
    first = ["left", "right"] if figure.form == "histogram" else ["label"]
    head = [_HEADS.get(k, _head(k)) for k in first] + [_value_head(figure)]
    head += ["Range"] * ranged + [_HEADS.get(k, _head(k)) for k in rest] + [""] * judged
    left = [k == "label" for k in first] + [False] + [False] * ranged
    left += [any(isinstance(r.get(k), str) for r in rows) for k in rest] + [True] * judged
    finer = 1 if ranged and figure.form != "interval-dots" else 0
    body = []
    for r in rows:
        line = [_cell(r.get(k)) for k in first] + [value_text(_number(r.get("value")), figure, finer=finer)]
        if ranged:
            low, high = _number(r.get("low")), _number(r.get("high"))
            line.append(span(low, high, lambda v: value_text(v, figure, finer=finer)))
        line += [_cell(r.get(k)) for k in rest]
        if judged:
            line.append("unclear" if r.get("clear") is False else "clear")
        body.append(tuple(line))
    return _counted(Grid("", tuple(head), tuple(body), tuple(left)), len(figure.rows))


def _value_head(figure: Figure) -> str:
    if figure.unit in ("points", "share", "count", ""):
        return {"points": "Difference", "share": "Share", "count": "Count"}.get(figure.unit, "Value")
    return figure.unit[:1].upper() + figure.unit[1:]


def _head(key: str) -> str:
    words = _line(key, 60).replace("_", " ")
    return words[:1].upper() + words[1:]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _cell(value: Any) -> str:
    if value is None or value == "":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return _line(", ".join(f"{k}: {_cell(v)}" for k, v in value.items()))
    if isinstance(value, list | tuple):
        return _line(", ".join(_cell(v) for v in value)) or ABSENT
    return _line(value) or ABSENT


def _actions(actions: Sequence[Sequence[Any]]) -> Grid | None:
    if not actions:
        return None
    rows = tuple(tuple(_line(c, 600) for c in (*a, "", "", "", "")[:4]) for a in actions)
    return Grid("", ("Do this", "Who", "Effort", "Expected effect"), rows, (True, True, True, True))


# The appendix ------------------------------------------------------------------------------------


def _appendix(answer: Mapping[str, Any], most: int) -> list[Grid]:
    makers: list[tuple[Callable[[Rows], Grid | None], Any]] = [
        (_estimates, answer.get("estimates")),
        (_verdicts, answer.get("verdicts")),
        (_checks, answer.get("checks")),
        (_cautions, answer.get("cautions")),
    ]
    for name, rows in (answer.get("tables") or {}).items():
        makers.append((partial(_table, name), rows))
    grids = []
    for make, given in makers:
        rows = [r for r in given if isinstance(r, Mapping)] if isinstance(given, list | tuple) else []
        if most > 0 and (grid := make(rows[:most])):
            grids.append(_counted(grid, len(rows)))
    return grids


def _counted(grid: Grid, of: int) -> Grid:
    """Says how many rows there are where not all are shown."""
    if len(grid.rows) == of:
        return grid
    note = f"The first {count(len(grid.rows))} of {plural(of, 'row')}; all of them are in the JSON."
    return replace(grid, note=f"{grid.note} {note}".strip())


def _estimates(estimates: Rows) -> Grid | None:
    columns: list[tuple[str, bool, list[str]]] = [
        ("What", True, [_line(e.get("name")) for e in estimates]),
        ("Kind", True, [_kind(e) for e in estimates]),
        ("Group", True, [_group(e) for e in estimates]),
        ("Other columns", True, [_others(e.get("adjusted")) for e in estimates]),
        ("Value", False, [_amount(e, e.get("value")) for e in estimates]),
        ("Range", False, [span(e.get("low"), e.get("high"), lambda v, e=e: _amount(e, v)) for e in estimates]),  # type: ignore[misc]
        ("Level", False, [share(e.get("level"), 0 if _whole(e.get("level")) else 1) for e in estimates]),
        ("n", False, [_cell(e.get("n")) for e in estimates]),
        ("p", False, [_chance(e.get("p_value")) for e in estimates]),
        ("q", False, [_chance(e.get("q_value")) for e in estimates]),
        ("Method", True, [_line(e.get("method")) for e in estimates]),
    ]
    alike = [c for c in columns if c[0] in _SAID_ONCE and len(estimates) > 1 and len(set(c[2])) == 1 and c[2][0]]
    grid = _grid("Estimates", [c for c in columns if c not in alike])
    note = " · ".join(f"{head}: {values[0]}" for head, _, values in alike if values[0] != ABSENT)
    return replace(grid, note=note) if grid else None


def _grid(title: str, columns: Sequence[tuple[str, bool, list[str]]]) -> Grid | None:
    """Columns to rows; columns that say nothing are left out."""
    told = [c for c in columns if any(v not in ("", ABSENT) for v in c[2])]
    if not told:
        return None
    rows = tuple(tuple(v or ABSENT for v in row) for row in zip(*(c[2] for c in told), strict=True))
    return Grid(title, tuple(c[0] for c in told), rows, tuple(c[1] for c in told))


def _whole(level: Any) -> bool:
    return isinstance(level, int | float) and abs(100 * level - round(100 * level)) < 1e-9


def _kind(e: Mapping[str, Any]) -> str:
    return _line(e.get("kind"), 40).replace("-", " ")


def _others(adjusted: Any) -> str:
    return "" if adjusted is None else "held equal" if adjusted else "ignored"


def _group(e: Mapping[str, Any]) -> str:
    if e.get("arm") is not None:
        return f"{_line(e['arm'], 120)} against {_line(e.get('control'), 120) or 'the rest'}"
    if e.get("category") is not None:
        against = f" against {_line(e['base'], 120)}" if e.get("base") is not None else ""
        return _line(e["category"], 120) + against
    return ""


def _amount(e: Mapping[str, Any], value: float | None) -> str:
    """An estimate's number in its unit; differences with their sign."""
    kind, unit = e.get("kind"), str(e.get("unit") or "")
    change = kind in ("difference", "marginal-effect", "relative")
    if value is None or not math.isfinite(value):
        return ABSENT
    if unit == "points" or (unit == "share" and kind in ("difference", "marginal-effect")):
        # An estimate in points is in points already; one in shares is a share of one.
        shares = value / 100 if unit == "points" else value
        return signed_points(shares, 2).replace(" points", " pts").replace(" point", " pts")
    if unit == "share" or kind == "relative":
        return ("+" if change and value > 0 else "") + share(value, 2)
    text = signed(value) if change else number(value)
    return f"{text} {_line(unit, 20)}" if unit and len(unit) <= 20 and unit != "AUC" else text


def _chance(p: Any) -> str:
    if p is None:
        return ABSENT
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _verdicts(verdicts: Rows) -> Grid | None:
    return _grid(
        "Verdicts",
        [
            ("Claim", True, [_line(v.get("claim")) for v in verdicts]),
            ("Outcome", True, [_line(v.get("outcome")) for v in verdicts]),
            ("Because", True, [_line(v.get("because")) for v in verdicts]),
            ("Units still needed", False, [_cell(v.get("needed")) for v in verdicts]),
        ],
    )


def _checks(checks: Rows) -> Grid | None:
    return _grid(
        "Checks",
        [
            ("Check", True, [_line(c.get("name")) for c in checks]),
            ("Passed", True, ["✓ yes" if c.get("passed") else "■ no" for c in checks]),
            ("Value", False, [_cell(c.get("value")) for c in checks]),
            ("Threshold", False, [_cell(c.get("threshold")) for c in checks]),
            ("What it says", True, [_line(c.get("text")) for c in checks]),
        ],
    )


def _cautions(cautions: Rows) -> Grid | None:
    codes = [_line(c.get("code"), 60) for c in cautions]
    return _grid(
        "Cautions", [("Code", True, codes), ("What it says", True, [_line(c.get("text"), 600) for c in cautions])]
    )


def _table(name: Any, rows: Rows) -> Grid | None:
    keys = list(dict.fromkeys(k for r in rows for k in r))[:20]
    left = [not all(isinstance(r.get(k), int | float) or r.get(k) is None for r in rows) for k in keys]
    columns = [(_head(k), words, [_cell(r.get(k)) for r in rows]) for k, words in zip(keys, left, strict=True)]
    return _grid(_head(str(name)), columns)
