"""What is in this table, and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ambidex.data.facts import ColumnFacts, visible
from ambidex.data.fingerprint import row_hashes
from ambidex.data.record import command_line, record
from ambidex.data.table import Table
from ambidex.insight.profile_target import TargetView, view_target
from ambidex.report.answer import Answer, Caution, Figure, Finding, Recommendation
from ambidex.report.words import count, listing, plural, share

__all__ = ["profile"]

FIRST = 3
SHOWN = 12
CAUTIONS = 200
PAIRED = 200  # columns compared pairwise: 200 are 19,900 pairs, 5,000 rows each
SAMPLE = 5_000
LACKING = 0.05  # a column without a value in so many rows is a thing to look at, not only a bar in the picture
USUAL = 0.1  # few columns of few values repeat by nature: above this share that rows repeat says nothing

# What to look at first, the most harmful kind before the rest; within a kind by share of rows.
ORDER = (
    "target-missing",
    "target-constant",
    "target-few",
    "leak",
    "wide",
    "text-in-numbers",
    "grouped-numbers",
    "infinite",
    "mixed-zones",
    "ambiguous-dates",
    "text-in-times",
    "blank-cells",
    "sentinel",
    "missing",
    "disguised-missing",
    "spelling",
    "stands-apart",
    "duplicate-rows",
    "twins",
    "proportional",
    "empty",
    "constant",
    "repeats-without-id",
    "id",
)


def profile(table: Table, *, target: str | None = None) -> Answer:
    """Types, roles, missing cells, repeats and suspects of a table; with a target, what tells it apart.

    Args:
        table: The table.
        target: Outcome column, or None.

    Returns:
        An answer with ``columns``, ``rows`` and ``duplicates`` in ``data``. Everything found is a caution
        that names the column and counts the cells. That nothing was found is said as such: it never
        means that the table is right.

    Raises:
        NotFound: ``data.no-column``.

    Example:
        >>> import pyarrow as pa
        >>> from ambidex.data.read import read
        >>> answer = profile(read(pa.table({"age": ["41", " ", "3"]})))
        >>> answer.extra["columns"][0]["missing"], answer.cautions[0].code
        (1, 'blank-cells')
    """
    if target is not None:
        target = table.require(target)
    facts = [table.facts(name) for name in table.columns]
    facts = [replace(f, role="target") if f.name == target else f for f in facts]
    repeats = _repeats(table)
    found = _found(table, facts, repeats)
    view = view_target(table, facts, target) if target is not None else None
    if view is not None:
        found = [*view.cautions, *found]
    found = [Caution(c.code, visible(c.text)) for c in found]
    found.sort(key=lambda c: ORDER.index(c.code) if c.code in ORDER else len(ORDER))
    first = found[:FIRST]
    reading = [Caution(code, visible(text)) for code, text in table.cautions]
    shape = f"{plural(table.rows, 'row')}, {plural(len(facts), 'column')}"
    things = plural(len(first), "thing") + " to look at first" if first else "these checks found nothing to look at"
    source = table.source or "TABLE"
    return Answer(
        verb="profile",
        question=f"What is in {table.name}, and what is wrong with it?",
        headline=f"{shape}; {things}",
        strength="strong",
        recommendation=_recommendation(table, first),
        numbers=_numbers(table, facts, view),
        estimates=view.estimates if view else (),
        cautions=(*reading, *_limited(found)),
        findings=tuple(_findings(table, facts, first, view)),
        unknowns=(
            "Whether the values are true: a wrong number that looks like a number is not found here.",
            "Whether a column is known before the outcome is: only people who know its making can say.",
        ),
        method=(
            "Every cell was read once as the file writes it; a column is a number if at least half of its known "
            "values read as one. " + (view.method if view else "")
        ).strip(),
        tables={"columns": [_row(table, f) for f in facts[:CAUTIONS]]},
        record=record(table, verb="profile", options={"target": target}, seed=0 if view else None),
        extra={"columns": [f.to_dict() for f in facts], "rows": table.rows, "duplicates": repeats},
        next=(
            (command_line(table, "drivers", {"target": target}),)
            if target
            else (f"ambidex profile {source} --target COL", f"ambidex drivers {source} --target COL")
        ),
    )


def _found(table: Table, facts: list[ColumnFacts], repeats: int) -> list[Caution]:
    out = [Caution(p["code"], _sentence(p["text"])) for f in facts for p in f.problems]
    if len(facts) > table.rows:
        few = f"{plural(table.rows, 'row')} {'is' if table.rows == 1 else 'are'} too few"
        text = f"{few} for {plural(len(facts), 'column')}: most patterns will be chance."
        out.append(Caution("wide", text))
    if repeats:
        out.append(
            Caution("duplicate-rows", f"{plural(repeats, 'row repeats', 'rows repeat')} an earlier one cell for cell.")
        )
    for f in facts:
        if f.role == "constant" and f.type != "empty" and table.rows > 1:
            out.append(Caution("constant", f"`{f.name}` has one value in all {plural(table.rows, 'row')}."))
    for f in facts:
        if f.type != "empty" and f.missing >= LACKING * table.rows:
            part = f"{count(f.missing)} of {plural(table.rows, 'row')} ({share(f.missing / table.rows)})"
            out.append(Caution("missing", f"`{f.name}` has no value in {part}."))
    ids = [f.name for f in facts if f.role == "id"]
    if ids:
        rest = [f.name for f in facts if f.role != "id"]
        again = _repeats(table.select(rest)) - repeats if rest and not repeats else 0
        if 0 < again < USUAL * table.rows:
            names = listing([f"`{n}`" for n in ids[:3]])
            out.append(
                Caution(
                    "repeats-without-id",
                    f"{plural(again, 'row repeats', 'rows repeat')} an earlier one once {names} is left out.",
                )
            )
        out += [
            Caution("id", f"`{f.name}` is an id ({count(f.unique)} values): it names rows and explains nothing.")
            for f in facts
            if f.role == "id"
        ]
    return out + _pairs(table, facts)


def _repeats(table: Table) -> int:
    hashes = row_hashes(table)
    return len(hashes) - len(np.unique(hashes))


def _pairs(table: Table, facts: list[ColumnFacts]) -> list[Caution]:
    """Columns that say the same twice: cell for cell, or as numbers on one straight line."""
    out: list[Caution] = []
    some = table if table.rows <= SAMPLE else table.take(np.linspace(0, table.rows - 1, SAMPLE).astype(int))
    numeric = [f.name for f in facts if f.type in ("number", "integer") and f.role not in ("id", "constant")][:PAIRED]
    columns, names = [], []
    for name in numeric:
        values = some.number(name)
        known = ~np.isnan(values)
        if not known.any() or np.ptp(values[known]) == 0:
            continue
        filled = np.where(known, values, values[known].mean())
        if filled.std() > 0:
            columns.append((filled - filled.mean()) / filled.std())
            names.append(name)
    if len(columns) > 1 and some.rows >= 20:
        close = np.abs(np.corrcoef(np.array(columns))) > 0.9999
        for i, j in zip(*np.nonzero(np.triu(close, 1)), strict=True):
            text = f"`{names[j]}` and `{names[i]}` lie on one straight line: each says what the other says."
            out.append(Caution("proportional", text))
    seen: dict[bytes, str] = {}
    for f in facts:
        if f.type not in ("category", "boolean", "text") or f.role in ("id", "constant") or table.rows < 20:
            continue
        cells = table.cells(f.name)
        key = cells.codes.tobytes()
        if key in seen:
            out.append(Caution("twins", f"`{f.name}` and `{seen[key]}` divide the rows in the same way."))
        seen.setdefault(key, f.name)
    return out


def _limited(found: list[Caution]) -> list[Caution]:
    if len(found) <= CAUTIONS:
        return found
    rest = Caution("more", f"{plural(len(found) - CAUTIONS, 'more caution')} of the same kinds are not listed here.")
    return [*found[:CAUTIONS], rest]


def _recommendation(table: Table, first: list[Caution]) -> Recommendation:
    if table.rows < 20:
        return Recommendation("not-enough-evidence", f"{plural(table.rows, 'row')}: too few to learn a pattern from.")
    if first:
        return Recommendation("act", "Before using this table: " + " ".join(c.text for c in first))
    return Recommendation(
        "act",
        "Ask the question; these checks found nothing that stands in the way, which does not prove the values right.",
    )


def _numbers(table: Table, facts: list[ColumnFacts], view: TargetView | None) -> tuple[tuple[str, str, str], ...]:
    cells = table.rows * len(facts)
    missing = sum(f.missing for f in facts)
    out = [
        ("rows", count(table.rows), ""),
        ("cells without a value", count(missing), f"{share(missing / cells)} of {count(cells)}"),
    ]
    if view is not None and view.tile:
        out.append(view.tile)
    else:
        out.append(("columns", count(len(facts)), ""))
    return tuple(out)


def _findings(table: Table, facts: list[ColumnFacts], first: list[Caution], view: TargetView | None) -> list[Finding]:
    out = [_missing(table, facts)]
    if view is not None and view.finding is not None:
        out.insert(0, view.finding)
    rest = [c for c in first if c.code != "blank-cells"]
    if rest:
        out.append(
            Finding(
                title=rest[0].text.rstrip("."),
                text=" ".join(c.text for c in rest[1:]),
                strength="strong",
                so_what="Decide for each whether to repair it, leave the column out, or keep it as it is.",
                how_sure="Counted in all rows.",
            )
        )
    return out


def _missing(table: Table, facts: list[ColumnFacts]) -> Finding:
    lacking = sorted((f for f in facts if f.missing), key=lambda f: -f.missing)
    total = sum(f.missing for f in facts)
    sure = f"Counted in all {plural(table.rows, 'row')}; words such as `unknown` in a category are not counted."
    if not lacking:
        return Finding("No cell is empty", "", "strong", "No rows are lost to missing values.", sure)
    worst = lacking[0]
    where = f"all in `{worst.name}`" if len(lacking) == 1 else f"most in `{worst.name}` ({count(worst.missing)})"
    title = f"{plural(total, 'cell')} hold no value, {where}"
    figure = Figure(
        form="bars",
        title="Cells without a value, per column",
        subtitle=f"Share of {plural(table.rows, 'row')}; columns with none are not shown",
        unit="share",
        rows=tuple({"label": f.name, "value": f.missing / table.rows, "n": f.missing} for f in lacking[:SHOWN]),
        sentence=f"{listing([f'{f.name} {share(f.missing / table.rows)}' for f in lacking[:SHOWN]])} without a value.",
    )
    text = "Empty and blank cells, and in number and time columns whatever could not be read."
    return Finding(
        title, text, "strong", "Rows without a value are kept and marked as such, never dropped silently.", sure, figure
    )


def _row(table: Table, f: ColumnFacts) -> dict[str, Any]:
    row: dict[str, Any] = {
        "column": f.name,
        "type": f.type,
        "role": f.role,
        "missing": f.missing,
        "unique": f.unique,
        "lowest": None,
        "middle": None,
        "highest": None,
        "most frequent": None,
    }
    if f.type in ("number", "integer"):
        values = table.number(f.name)
        values = values[~np.isnan(values)]
        row |= {"lowest": float(values.min()), "middle": float(np.median(values)), "highest": float(values.max())}
    elif f.type == "time":
        times = table.moments(f.name)
        times = times[~np.isnat(times)]
        row |= {"lowest": str(times.min())[:19], "highest": str(times.max())[:19]}
    elif f.levels:
        level, rows = next(iter(f.levels.items()))
        row["most frequent"] = f"{level} ({share(rows / table.rows, 0)})"
    return row


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."
