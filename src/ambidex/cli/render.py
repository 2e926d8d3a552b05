"""What a run says in the terminal: lines, tables, what next.

An answer or a result becomes a list of blocks once; ``text`` writes the blocks plainly and
``colour`` writes the same blocks with Rich, so both say the same.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from ambidex.cli.errors import one_line
from ambidex.report import words
from ambidex.report.grids import from_to

__all__ = [
    "Block",
    "Grid",
    "Line",
    "Step",
    "amount",
    "answer_blocks",
    "colour",
    "error_blocks",
    "result_blocks",
    "text",
]

KEY_ESTIMATES = 8
COLUMNS = 40
SEGMENTS = 12
CAUTIONS = 25
"""What a terminal shows of what to look out for; failed checks come first."""


@dataclass(frozen=True)
class Line:
    """A line with its mark. ``lead`` hangs before the text; ``tone`` is bold, dim or plain."""

    text: str = ""
    mark: str = ""
    lead: str = ""
    tone: str = "plain"


@dataclass(frozen=True)
class Grid:
    """A table. ``right`` are the columns that hold numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Step:
    """A step that has happened, and how long it took."""

    mark: str
    name: str
    text: str
    seconds: float | None


Block = Line | Grid | Step
STEP_NAME = 11

_RECOMMENDATION_MARKS = {"act": "✓", "do-not-act": "✓", "not-enough-evidence": "▲", "cannot-answer": "■"}
_COLOURS = {"✓": "green", "▲": "yellow", "■": "red"}


def amount(value: float | None, unit: str = "", *, signed: bool = False) -> str:
    """A number of an estimate as people read it: ``share`` and ``relative`` are fractions of one.

    >>> amount(-19.05, "points", signed=True), amount(-0.0082, "share", signed=True), amount(0.265, "share")
    ('−19.1 points', '−0.8 points', '26.5%')
    >>> amount(-0.033, "relative"), amount(12345.6)
    ('−3.3%', '12,346')
    """
    if value is None:
        return words.ABSENT
    if unit == "points":
        return words.signed_points(value / 100) if signed else words.points(value / 100)
    if unit == "relative":
        return f"{words.signed(100 * value)}%"
    if unit == "share":
        return words.signed_points(value) if signed else words.share(value)
    return words.signed(value) if signed else words.number(value)


def answer_blocks(
    data: Mapping[str, Any], next: Sequence[str], *, quiet: bool = False, verbose: bool = False
) -> list[Block]:
    """An explore verb's answer: the sentence, what to do, what to look out for, the evidence, what next."""
    recommendation = data["recommendation"]
    mark = _RECOMMENDATION_MARKS.get(recommendation["verdict"], "✓")
    blocks: list[Block] = [Line(data["headline"], mark, tone="bold")]
    if recommendation["text"] and recommendation["text"] != data["headline"]:
        blocks.append(Line(recommendation["text"], lead=" "))
    if quiet:
        return blocks
    blocks += _attention(data, verbose)
    blocks += _findings(data, verbose)
    if data.get("segments"):
        blocks += [Line(), *_segment_table(data["segments"], verbose)]
    if data.get("columns"):
        blocks += [Line(), *_column_table(data["columns"], verbose)]
    estimates = data.get("estimates") or []
    if estimates:
        blocks.append(Line())
        if recommendation["verdict"] == "cannot-answer":
            blocks.append(Line("as they came out; not to be used, since a check of the design failed", tone="dim"))
        blocks += _estimate_table(estimates, verbose)
    elif data.get("numbers"):
        blocks += [Line(), Grid((), tuple(tuple(map(str, n)) for n in data["numbers"]))]
    if verbose:
        blocks += _small_print(data)
    source = _source(data)
    if source:
        blocks += [Line(), Line(source, tone="dim")]
    return blocks + _next(next)


def _attention(data: Mapping[str, Any], verbose: bool) -> list[Block]:
    lines: list[Block] = [
        Line(c.get("text") or f"check {c['name']} failed", "▲", lead=c["name"])
        for c in data.get("checks") or []
        if not c["passed"]
    ]
    named = {line.lead for line in lines if isinstance(line, Line)}
    texts = {line.text for line in lines if isinstance(line, Line)}
    lines += [
        Line(c["text"], "▲", lead=c["code"])
        for c in data.get("cautions") or []
        if c["code"] not in named and c["text"] not in texts
    ]
    more = 0 if verbose else max(0, len(lines) - CAUTIONS)
    if more:
        lines = [*lines[:CAUTIONS], Line(f"{more:,} more to look out for: --verbose or --json", tone="dim")]
    return [Line(), *lines] if lines else []


def _findings(data: Mapping[str, Any], verbose: bool) -> list[Block]:
    blocks: list[Block] = []
    said = {c["text"].rstrip(".") for c in data.get("cautions") or []} | {data["headline"].rstrip(".")}
    # What stands above as headline or caution is not said twice.
    findings = [f for f in data.get("findings") or [] if verbose or f["title"].rstrip(".") not in said]
    for number, finding in enumerate(findings[: None if verbose else 5], 1):
        blocks.append(Line(finding["title"], lead=f"{number}"))
        if verbose:
            blocks += [
                Line(part, lead=" ", tone="dim")
                for part in (finding["text"], finding["so_what"], finding["how_sure"])
                if part
            ]
    return [Line(), *blocks] if blocks else []


def _estimate_table(estimates: Sequence[Mapping[str, Any]], verbose: bool) -> list[Block]:
    shown = [e for e in estimates if verbose or (e.get("adjusted") is not False and e["kind"] != "check")]
    cut = shown if verbose else shown[:KEY_ESTIMATES]
    # How well it predicts belongs to the key numbers, wherever it stands.
    fits = [e for e in shown if e["kind"] == "fit"][:1]
    if len(cut) < len(shown) and fits and fits[0] not in cut:
        cut = [*cut[:-1], *fits]
    levels = {e["level"] for e in cut}
    rows: list[tuple[str, ...]] = []
    for e in cut:
        show = partial(amount, unit=e["unit"], signed=e["kind"] in ("difference", "relative", "marginal-effect"))
        interval = words.span(e["low"], e["high"], show) + ("" if len(levels) == 1 else f" ({100 * e['level']:g}%)")
        value = _with_unit(show(e["value"]), e["unit"])
        row = (_estimate_name(e), e["kind"].replace("-", " "), value, interval, words.count(e["n"]))
        rows.append((*row, _chance(e.get("p_value"))) if verbose else row)
    kinds = {row[1] for row in rows}
    header: tuple[str, ...] = ("estimate", "kind", "value", _interval_title(levels), "n", *(("p",) if verbose else ()))
    if len(kinds) == 1:
        rows = [(row[0], *row[2:]) for row in rows]
        header = (kinds.pop(), *header[2:])
    numbers = frozenset(range(header.index("value"), len(header)))
    blocks: list[Block] = [Grid(header, tuple(rows), numbers)]
    if len(cut) < len(estimates):
        blocks.append(Line(f"{len(estimates) - len(cut)} more estimates: --verbose or --json", tone="dim"))
    return blocks


def _chance(p: float | None) -> str:
    return "" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _interval_title(levels: set[float]) -> str:
    return f"{next(iter(levels)) * 100:g}% interval" if len(levels) == 1 else "interval"


def _with_unit(shown: str, unit: str) -> str:
    return shown if unit in ("", "points", "share", "relative") else f"{shown} {unit}"


def _estimate_name(estimate: Mapping[str, Any]) -> str:
    name = str(estimate["name"])
    if estimate.get("arm") is not None:
        name += f", {estimate['arm']}"
        if estimate.get("control") is not None:
            name += f" against {estimate['control']}"
    if estimate["kind"] == "marginal-effect" and (ends := from_to(estimate)):
        name += f", {ends}"
    elif estimate.get("category") is not None:
        name += f" = {estimate['category']}"
        if estimate.get("base") is not None:
            name += f", not {estimate['base']}"
    return f"{name}, alone" if estimate.get("adjusted") is False else name


def _column_table(columns: Sequence[Mapping[str, Any]], verbose: bool) -> list[Block]:
    # Columns with something wrong first: they are what a reader must act on.
    ordered = sorted(columns, key=lambda c: not c.get("problems")) if len(columns) > COLUMNS else list(columns)
    cut = ordered if verbose else ordered[:COLUMNS]
    rows = tuple(
        (
            str(c["name"]),
            str(c["type"]),
            str(c["role"]),
            words.count(c["missing"]),
            words.count(c["unique"]),
            ", ".join(str(p["code"]) if isinstance(p, Mapping) else str(p) for p in c.get("problems") or []),
        )
        for c in cut
    )
    blocks: list[Block] = [Grid(("column", "type", "role", "missing", "unique", "problems"), rows, frozenset({3, 4}))]
    if len(cut) < len(columns):
        blocks.append(Line(f"{len(columns) - len(cut)} more columns: --verbose or --json", tone="dim"))
    return blocks


def _segment_table(segments: Sequence[Mapping[str, Any]], verbose: bool) -> list[Block]:
    """Who is in which segment: size, worth with its range, the short rule and how often it is right."""
    cut = segments if verbose else segments[:SEGMENTS]
    worth = any(s.get("value") is not None for s in cut)
    rows = tuple(
        (
            str(s["name"]),
            words.count(s["size"]),
            words.share(s["share"]),
            *((amount(s.get("value")), words.span(s.get("low"), s.get("high"), amount)) if worth else ()),
            str(s["rule"]),
            words.share(s["accuracy"], 0),
        )
        for s in cut
    )
    header = ("segment", "size", "share", *(("mean value", "95% interval") if worth else ()), "rule", "rule right")
    numbers = frozenset({*range(1, len(header) - 2), len(header) - 1})
    blocks: list[Block] = [Grid(header, rows, numbers)]
    if len(cut) < len(segments):
        blocks.append(Line(f"{len(segments) - len(cut)} more segments: --verbose or --json", tone="dim"))
    return blocks


def _small_print(data: Mapping[str, Any]) -> list[Block]:
    blocks: list[Block] = []
    verdicts = data.get("verdicts") or []
    if verdicts:
        blocks.append(Line())
        blocks += [Line(f"{v['claim']}: {v['because']}", lead=v["outcome"]) for v in verdicts]
    passed = [c for c in data.get("checks") or [] if c["passed"]]
    if passed:
        blocks += [Line(), *(Line(c.get("text") or c["name"], "✓", lead=c["name"]) for c in passed)]
    if data.get("unknowns"):
        blocks += [Line(), *(Line(u, lead="unknown") for u in data["unknowns"])]
    if data.get("method"):
        blocks += [Line(), Line(data["method"], lead="method")]
    return blocks


def _source(data: Mapping[str, Any]) -> str:
    record = data.get("record") or {}
    parts = [str(data["answer"])] if data.get("answer") else []
    if isinstance(record.get("rows"), int):
        parts.append(f"{record['rows']:,} rows")
    if record.get("fingerprint"):
        parts.append(f"data {str(record['fingerprint'])[:16]}")
    if data.get("strength") and data.get("estimates"):
        parts.append(f"{data['strength']} evidence")
    return " · ".join(parts)


def result_blocks(
    lines: Sequence[tuple[str, str]],
    warnings: Sequence[tuple[str, str]],
    next: Sequence[str],
    *,
    quiet: bool = False,
) -> list[Block]:
    """What a deliver or run verb did: its lines, what to look out for, what next."""
    blocks: list[Block] = [
        Line(said, mark.strip() or " ", tone="bold" if i == 0 else "plain") for i, (mark, said) in enumerate(lines)
    ]
    if quiet:
        return blocks[:1]
    if warnings:
        blocks += [Line(), *(Line(said, "▲", lead=code) for code, said in warnings)]
    return blocks + _next(next)


def _next(commands: Sequence[str]) -> list[Block]:
    if not commands:
        return []
    return [Line(), *(Line(c, lead="next" if i == 0 else " ", tone="command") for i, c in enumerate(commands))]


def error_blocks(lines: Sequence[tuple[str, str]]) -> list[Block]:
    """The error form."""
    return [
        Line(said, lead=label, tone={"error": "error", "code": "dim", "do": "command"}.get(label, "plain"))
        for label, said in lines
    ]


def text(blocks: Sequence[Block]) -> str:
    """The blocks as plain text, one line each, however long."""
    out: list[str] = []
    leads = _lead_widths(blocks)
    for block, lead in zip(blocks, leads, strict=True):
        if isinstance(block, Grid):
            out += _plain_grid(block)
        elif isinstance(block, Step):
            spent = "" if block.seconds is None else f"  {block.seconds:.1f} s"
            out.append(f"{block.mark:<2} {block.name:<{STEP_NAME}} {one_line(block.text)}{spent}".rstrip())
        elif block.tone == "error":
            out.append(f"error {one_line(block.text)}")
        else:
            out.append((_prefix(block, lead) + one_line(block.text)).rstrip())
    return "\n".join(out) + "\n"


def _lead_widths(blocks: Sequence[Block]) -> list[int]:
    """Width of the lead column of each line: the widest in its paragraph."""
    widths = [0] * len(blocks)
    start = 0
    for i in range(len(blocks) + 1):
        if i == len(blocks) or blocks[i] == Line():
            paragraph = [b for b in blocks[start:i] if isinstance(b, Line) and b.tone != "error"]
            width = max((_cells(b.lead) for b in paragraph if b.lead), default=0)
            for j in range(start, i):
                widths[j] = width
            start = i + 1
    return widths


def _prefix(line: Line, lead: int) -> str:
    mark = f"{line.mark} " if line.mark else ("  " if line.lead else "")
    return mark + (
        line.lead + " " * (lead - _cells(line.lead) + 2) if line.lead.strip() or (line.lead and lead > 1) else ""
    )


def _cells(said: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 0 if unicodedata.combining(c) else 1 for c in said)


def _plain_grid(grid: Grid) -> list[str]:
    rows = [tuple(one_line(c) for c in row) for row in ((grid.header, *grid.rows) if grid.header else grid.rows)]
    widths = [max(_cells(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            space = " " * (widths[i] - _cells(cell))
            cells.append(space + cell if i in grid.right else cell + space)
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines


def colour(blocks: Sequence[Block], stream: Any, *, no_color: bool = False) -> None:
    """The blocks on a terminal, wrapped to its width."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(file=stream, no_color=no_color or None, highlight=False, markup=False, emoji=False)
    for block, lead in zip(blocks, _lead_widths(blocks), strict=True):
        if isinstance(block, Grid):
            table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=bool(block.header))
            for i in range(len(block.header or block.rows[0])):
                name = block.header[i] if block.header else ""
                table.add_column(
                    Text(one_line(name)),
                    justify="right" if i in block.right else "left",
                    header_style="dim",
                    no_wrap=i in block.right,
                    overflow="fold",
                )
            for row in block.rows:
                table.add_row(*(Text(one_line(c)) for c in row))
            indented = Table.grid(padding=0)
            indented.add_column(width=2)
            indented.add_column()
            indented.add_row("", table)
            console.print(indented)
            continue
        if isinstance(block, Step):
            steps = Table.grid(padding=(0, 1), expand=True)
            steps.add_column(width=2)
            steps.add_column(width=STEP_NAME)
            steps.add_column(ratio=1, overflow="fold")
            steps.add_column(justify="right", no_wrap=True, style="dim")
            spent = "" if block.seconds is None else f"{block.seconds:.1f} s"
            steps.add_row(
                Text(block.mark, _COLOURS.get(block.mark, "")),
                Text(block.name, "bold"),
                Text(one_line(block.text)),
                spent,
            )
            console.print(steps)
            continue
        if block.tone == "error":
            console.print(Text.assemble(("error ", "bold red"), one_line(block.text)), soft_wrap=False)
            continue
        prefix = _prefix(block, lead)
        style = {"bold": "bold", "dim": "dim", "command": "cyan"}.get(block.tone, "")
        said = Text(one_line(block.text), style=style)
        if not prefix:
            console.print(said)
            continue
        mark, rest = prefix[:2], prefix[2:]
        grid = Table.grid(padding=0)
        grid.add_column(width=_cells(prefix), no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(Text.assemble((mark, _COLOURS.get(block.mark, "")), (rest, "dim" if not block.mark else "")), said)
        console.print(grid)
