"""Tables of a report as text: the numbers under a picture, the actions, the appendix."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ambidex.report.answer import Figure
from ambidex.report.ink import JOINERS
from ambidex.report.marks import value_text
from ambidex.report.words import count, number, plural, share, signed, signed_points, span

__all__ = ["Grid", "actions_grid", "appendix", "cell", "from_to", "numbers_grid", "plain", "short"]

Rows = Sequence[Mapping[str, Any]]

ABSENT = "–"
MOST_NUMBERS = 200
_LONGEST = 300  # characters of a cell or a heading; the JSON keeps the rest
_SAID_ONCE = ("Kind", "Other columns", "Level", "n", "Method")  # below the table, where all rows agree
_HEADS = {
    "label": "",
    "x": "At",
    "series": "",
    "y": "",
    "left": "From",
    "right": "To",
    "n": "n",
    "value": "Value",
    "p_value": "p",
    "q_value": "q",
}


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


def plain(value: Any) -> str:
    """Printable text of any value, nothing for None; line breaks and control characters become spaces."""
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() or c in JOINERS else " " for c in text).strip()


def short(value: Any, most: int = _LONGEST) -> str:
    """``plain``, cut with "…" where it is longer than ``most`` characters."""
    text = plain(value)
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def cell(value: Any) -> str:
    """A value as a table shows it."""
    if value is None or value == "":
        return ABSENT
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return count(value)
    if isinstance(value, float):
        return number(value)
    if isinstance(value, Mapping):
        return short(", ".join(f"{k}: {cell(v)}" for k, v in value.items()))
    if isinstance(value, list | tuple):
        return short(", ".join(cell(v) for v in value)) or ABSENT
    return short(value) or ABSENT


def numbers_grid(figure: Figure) -> Grid:
    """The table under a picture: the same values, the interval as one column, then what else a row holds."""
    rows = figure.rows[:MOST_NUMBERS]
    seen = list(dict.fromkeys(k for r in rows for k in r))
    ranged = any(r.get("low") is not None or r.get("high") is not None for r in rows)
    judged = figure.form in ("effect-bars", "line-band") and any(r.get("clear") is False for r in rows)
    first = _first(figure, seen)
    rest = [k for k in seen if k not in (*first, "value", "low", "high", "clear")]
    names = {"x": figure.x_title[:1].upper() + figure.x_title[1:], "y": ""} if "x" in first else {}
    head = [names.get(k) or _HEADS.get(k, _head(k)) for k in first] + [_value_head(figure)]
    head += ["Range"] * ranged + [_HEADS.get(k, _head(k)) for k in rest] + [""] * judged
    left = [any(isinstance(r.get(k), str) for r in rows) for k in first] + [False] + [False] * ranged
    left += [any(isinstance(r.get(k), str) for r in rows) for k in rest] + [True] * judged
    finer = 1 if ranged and figure.form != "interval-dots" else 0

    def percent(r: Mapping[str, Any]) -> bool:
        return figure.x_unit == "share" and _number(r.get("x")) is not None

    body = []
    for r in rows:
        line = [share(r[k]) if k == "x" and percent(r) else cell(r.get(k)) for k in first] + [
            value_text(_number(r.get("value")), figure, finer=finer)
        ]
        if ranged:
            low, high = _number(r.get("low")), _number(r.get("high"))
            line.append(span(low, high, lambda v: value_text(v, figure, finer=finer)))
        line += [cell(r.get(k)) for k in rest]
        if judged:
            line.append("unclear" if r.get("clear") is False else "clear")
        body.append(tuple(line))
    return _counted(Grid("", tuple(head), tuple(body), tuple(left)), len(figure.rows))


def _first(figure: Figure, seen: Sequence[str]) -> list[str]:
    """The columns that name a row."""
    if figure.form == "histogram":
        return ["left", "right"]
    if figure.form == "heatmap":
        return ["y", "x"]
    if figure.form in ("line-band", "scatter"):
        return [k for k in ("series", "label", "x") if k in seen or k == "x"]
    return ["label"]


def _value_head(figure: Figure) -> str:
    if figure.unit in ("points", "share", "count", ""):
        return {"points": "Difference", "share": "Share", "count": "Count"}.get(figure.unit, "Value")
    return figure.unit[:1].upper() + figure.unit[1:]


def _head(key: str) -> str:
    words = short(key, 60).replace("_", " ")
    return words[:1].upper() + words[1:]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def actions_grid(actions: Sequence[Sequence[Any]]) -> Grid | None:
    if not actions:
        return None
    rows = tuple(tuple(short(c, 600) for c in (*a, "", "", "", "")[:4]) for a in actions)
    return Grid("", ("Do this", "Who", "Effort", "Expected effect"), rows, (True, True, True, True))


def appendix(answer: Mapping[str, Any], most: int) -> list[Grid]:
    """All estimates, verdicts, checks, cautions and tables; ``most`` rows of each."""
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


def _lettered(methods: list[str]) -> tuple[list[str], list[str]]:
    """Letters in place of several long names, and what each letter means."""
    names = [m for m in dict.fromkeys(methods) if m]
    if len(names) < 2 or len(names) > 26 or max(map(len, names)) <= 24:
        return methods, []
    letter = {name: chr(ord("a") + i) for i, name in enumerate(names)}
    return [letter.get(m, "") for m in methods], [f"({letter[n]}) {n}." for n in names]


def _counted(grid: Grid, of: int) -> Grid:
    """Says how many rows there are where not all are shown."""
    if len(grid.rows) == of:
        return grid
    note = f"The first {count(len(grid.rows))} of {plural(of, 'row')}; all of them are in the JSON."
    return replace(grid, note=f"{grid.note} {note}".strip())


def _estimates(estimates: Rows) -> Grid | None:
    letters, meaning = _lettered([short(e.get("method")) for e in estimates])
    columns: list[tuple[str, bool, list[str]]] = [
        ("What", True, [short(e.get("name")) for e in estimates]),
        ("Kind", True, [_kind(e) for e in estimates]),
        ("Group", True, [_group(e) for e in estimates]),
        ("Other columns", True, [_others(e.get("adjusted")) for e in estimates]),
        ("Value", False, [_amount(e, e.get("value")) for e in estimates]),
        ("Range", False, [span(e.get("low"), e.get("high"), lambda v, e=e: _amount(e, v)) for e in estimates]),  # type: ignore[misc]
        ("Level", False, [share(e.get("level"), 0 if _whole(e.get("level")) else 1) for e in estimates]),
        ("n", False, [cell(e.get("n")) for e in estimates]),
        ("p", False, [_chance(e.get("p_value")) for e in estimates]),
        ("q", False, [_chance(e.get("q_value")) for e in estimates]),
        ("Method", True, letters),
    ]
    alike = [c for c in columns if c[0] in _SAID_ONCE and len(estimates) > 1 and len(set(c[2])) == 1 and c[2][0]]
    grid = _grid("Estimates", [c for c in columns if c not in alike])
    note = " · ".join(f"{head}: {values[0]}" for head, _, values in alike if values[0] != ABSENT)
    note = " ".join(filter(None, (note, *meaning)))
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
    return short(e.get("kind"), 40).replace("-", " ")


def _others(adjusted: Any) -> str:
    return "" if adjusted is None else "held equal" if adjusted else "ignored"


def _group(e: Mapping[str, Any]) -> str:
    if e.get("arm") is not None:
        return f"{short(e['arm'], 120)} against {short(e.get('control'), 120) or 'the rest'}"
    if e.get("category") is not None:
        against = f" against {short(e['base'], 120)}" if e.get("base") is not None else ""
        if e.get("kind") == "marginal-effect" and (ends := from_to(e)):
            return ends
        return short(e["category"], 120) + against
    return ""


def from_to(e: Mapping[str, Any]) -> str:
    """`from 9 to 55` where an effect is of a number; empty for labels."""
    try:
        ends = [float(str(e.get(key))) for key in ("base", "category")]
    except ValueError:
        return ""
    return (
        "from {} to {}".format(*(f"{end:.6g}".replace("-", "−") for end in ends))
        if all(map(math.isfinite, ends))
        else ""
    )


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
    return f"{text} {short(unit, 20)}" if unit and len(unit) <= 20 and unit != "AUC" else text


def _chance(p: Any) -> str:
    if p is None:
        return ABSENT
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _verdicts(verdicts: Rows) -> Grid | None:
    return _grid(
        "Verdicts",
        [
            ("Claim", True, [short(v.get("claim")) for v in verdicts]),
            ("Outcome", True, [short(v.get("outcome")) for v in verdicts]),
            ("Because", True, [short(v.get("because")) for v in verdicts]),
            ("Units still needed", False, [cell(v.get("needed")) for v in verdicts]),
        ],
    )


def _checks(checks: Rows) -> Grid | None:
    return _grid(
        "Checks",
        [
            ("Check", True, [short(c.get("name")) for c in checks]),
            ("Passed", True, ["✓ yes" if c.get("passed") else "■ no" for c in checks]),
            ("Value", False, [cell(c.get("value")) for c in checks]),
            ("Threshold", False, [cell(c.get("threshold")) for c in checks]),
            ("What it says", True, [short(c.get("text")) for c in checks]),
        ],
    )


def _cautions(cautions: Rows) -> Grid | None:
    codes = [short(c.get("code"), 60) for c in cautions]
    return _grid(
        "Cautions", [("Code", True, codes), ("What it says", True, [short(c.get("text"), 600) for c in cautions])]
    )


_NUMBERS = ("value", "low", "high", "p_value", "q_value", "n", "units", "missing")


def _in_order(keys: list[str], rows: Rows) -> list[str]:
    """Columns of a table that lost their order when it was stored: what names a row, a value, its range, counts."""
    if len(keys) < 2 or keys != sorted(keys):
        return keys
    words = [k for k in keys if any(isinstance(r.get(k), str) for r in rows)]
    known = [k for k in _NUMBERS if k in keys and k not in words]
    return [*words, *known, *(k for k in keys if k not in words and k not in known)]


def _table(name: Any, rows: Rows) -> Grid | None:
    keys = _in_order(list(dict.fromkeys(k for r in rows for k in r)), rows)[:20]
    left = [not all(isinstance(r.get(k), int | float) or r.get(k) is None for r in rows) for k in keys]
    columns = [(_head(k), words, [cell(r.get(k)) for r in rows]) for k, words in zip(keys, left, strict=True)]
    return _grid(_head(str(name)), columns)
