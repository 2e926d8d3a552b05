"""What is in this table, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.coverage import Coverage, coverage, standstill
from ambidex.data.facts import ColumnFacts, names_somebody, visible
from ambidex.data.fingerprint import row_hashes
from ambidex.data.order_problems import find_columns, order_problems
from ambidex.data.problems import Problem
from ambidex.data.record import command_line, record
from ambidex.data.relations import adds_up, missing_together, same_columns, same_labels
from ambidex.data.table import Table
from ambidex.insight.profile_keys import relate, relations_between
from ambidex.insight.profile_target import TargetView, view_target
from ambidex.report.answer import Answer, Caution, Figure, Finding, Recommendation
from ambidex.report.words import count, listing, plural, share

__all__ = ["profile"]

FIRST = 3
BY_THE_WAY = ("id", "two-spellings-of-yes")
SHOWN = 12
CAUTIONS = 200
TOGETHER, NAMED = 10, 8
"""Groups of columns empty in the same rows that are told, and columns of each that are named."""
LACKING = 0.05  # a column without a value in so many rows is a thing to look at, not only a bar in the picture
PERIODS = 26
USUAL = 0.1  # few columns of few values repeat by nature: above this share that rows repeat says nothing

# What to look at first, the most harmful kind before the rest; within a kind by share of rows.
ORDER = (
    "many-to-many",
    "unmatched-keys",
    "target-missing",
    "target-constant",
    "target-few",
    "leak",
    "after-the-fact",
    "wide",
    "text-in-numbers",
    "grouped-numbers",
    "decimal-commas",
    "infinite",
    "shifted-dates",
    "cancellations",
    "negative-values",
    "non-product-codes",
    "future-dates",
    "placeholder-dates",
    "mixed-types",
    "mis-encoded",
    "negative",
    "zero-unlikely",
    "outliers",
    "time-outliers",
    "mixed-zones",
    "ambiguous-dates",
    "mixed-dates",
    "text-in-times",
    "blank-cells",
    "sentinel",
    "missing",
    "disguised-missing",
    "spelling",
    "stands-apart",
    "duplicate-rows",
    "adds-up",
    "constant-stretch",
    "time-gaps",
    "last-period",
    "twins",
    "proportional",
    "same-rows",
    "two-spellings-of-yes",
    "empty",
    "constant",
    "repeats-without-id",
    "id",
)


def profile(table: Table, *others: Table, target: str | None = None) -> Answer:
    """Types, roles, missing cells, repeats and suspects of a table; with a target, what tells it apart.

    Args:
        table: The table.
        others: Further tables: which columns join them to it and to each other is looked for.
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
    if table.is_large:
        from ambidex.insight.profile_large import survey_large

        survey = survey_large(table, target)
    else:
        survey = survey_rows(table, target)
    facts, repeats, view, found = survey.facts, survey.repeats, survey.view, survey.found
    tables = [table, *others]
    relations = relations_between(tables) if others else []
    joins, unmatched, command = relate(tables, relations) if others else ([], [], ())
    found = [Caution(c.code, visible(c.text)) for c in (*unmatched, *found)]
    found.sort(key=lambda c: ORDER.index(c.code) if c.code in ORDER else len(ORDER))
    first = [c for c in found if c.code not in BY_THE_WAY][:FIRST]
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
        findings=(*joins, *_findings(table, facts, first, survey)),
        unknowns=(
            "Whether the values are true: a wrong number that looks like a number is not found here.",
            "Whether a column is known before the outcome is: only people who know its making can say.",
        ),
        method=" ".join(filter(None, [survey.method, _layout(table), view.method if view else ""])),
        tables={
            "columns": survey.rows[:CAUTIONS],
            **({"relations": [r.to_dict() for r in relations]} if relations else {}),
        },
        record=record(table, verb="profile", options={"target": target}, seed=0 if view else None),
        extra={
            "columns": [f.to_dict() for f in facts],
            "rows": table.rows,
            "duplicates": repeats,
            "times": [c.to_dict() for c in survey.times],
            **({"relations": [r.to_dict() for r in relations]} if others else {}),
        },
        next=(*command,)
        or (
            (command_line(table, "drivers", {"target": target}),)
            if target
            else (f"ambidex profile {source} --target COL", f"ambidex drivers {source} --target COL")
        ),
    )


@dataclass(frozen=True)
class Survey:
    """What a profile says, however the table was looked at.

    Attributes:
        facts: Per column; the target's role is ``target``.
        repeats: Rows that repeat an earlier one.
        view: The columns against the target.
        found: Cautions, in no order.
        times: Time columns.
        rows: Per column, for the table of the page.
        method: How it was made.
    """

    facts: list[ColumnFacts]
    repeats: int
    view: TargetView | None
    found: list[Caution]
    times: list[Coverage]
    rows: list[dict[str, Any]]
    method: str


def survey_rows(table: Table, target: str | None) -> Survey:
    """Look at every cell."""
    facts = [table.facts(name) for name in table.columns]
    facts = [replace(f, role="target") if f.name == target else f for f in facts]
    repeats = _repeats(table)
    times = [c for f in facts if f.type == "time" and (c := coverage(f.name, table.moments(f.name))) is not None]
    found = found_in(table, facts, repeats, target, times)
    view = view_target(table, facts, target) if target is not None else None
    if view is not None:
        # What adds up to the target was named as such; that each part tells it too need not be said again.
        found = [*view.cautions, *found]
        facts = [replace(f, role="suspect") if f.name in view.suspects else f for f in facts]
    method = (
        "Every cell was read once as the file writes it; a column is a number if at least half of its known "
        "values read as one."
    )
    return Survey(facts, repeats, view, found, times, [row_of(table, f) for f in facts[:CAUTIONS]], method)


def found_in(
    table: Table, facts: list[ColumnFacts], repeats: int, target: str | None, times: list[Coverage]
) -> list[Caution]:
    """Everything to be said of a table in memory."""
    problems = [
        *(p for c in times for p in c.problems),
        *same_columns(table, facts),
        *same_labels(table, facts),
        *adds_up(table, facts, target),
        *standstill(table, facts),
        *order_log(table, facts),
    ]
    return [*_found(table, facts, repeats), *(Caution(p["code"], _sentence(p["text"])) for p in problems)]


def counted_in(table: Table, facts: list[ColumnFacts], repeats: int, times: list[Coverage]) -> list[Caution]:
    """What is to be said from counts alone, without a cell of the table."""
    problems = [p for c in times for p in c.problems]
    return [*_found(table, facts, repeats), *(Caution(p["code"], _sentence(p["text"])) for p in problems)]


def order_log(table: Table, facts: list[ColumnFacts]) -> list[Problem]:
    """What an order log holds beside orders, if the table is one."""
    when = next((f.name for f in facts if f.type == "time"), None)
    who = next((f.name for f in facts if names_somebody(f.name)), None)
    where = find_columns(table, taken=[n for n in (when, who) if n])
    if when is None or who is None or where.order is None or where.item is None:
        return []
    price = next((f.name for f in facts if f.role == "money"), None)
    value = table.number(price) if price else np.full(table.rows, 1.0)
    found = order_problems(
        table, unit=who, time=when, money=value, value=price or "value", now=datetime.now(UTC), where=where
    )
    kinds = (
        "cancellations",
        "negative-values",
        "non-product-codes",
        "shifted-dates",
        "future-dates",
        "placeholder-dates",
    )
    out: list[Problem] = []
    for p in found:
        if p.code in kinds:
            text = p.text.removesuffix("; left out")
            out.append({"code": p.code, "text": text[0].upper() + text[1:], "count": _count(p.rows)})
    return out


def _count(rows: Any) -> int:
    return 0 if rows is None else int(rows.sum())


def _layout(table: Table) -> str:
    """How a CSV file is written, where it is not the usual way."""
    if len(table.files) != 1 or table.first_line is None:
        return ""
    from ambidex.data.csvfile import separator_of

    names = {";": "semicolons", "\t": "tabs", "|": "bars"}
    mark = separator_of(Path(table.files[0]))
    return f"The file divides its cells by {names[mark]}." if mark in names else ""


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
    together = missing_together(table, facts) if not table.is_large else []
    largest = sorted(together, key=lambda t: -len(t[0]) * t[1])[:TOGETHER]
    for names, rows in [t for t in together if t in largest]:
        part = f"{count(rows)} of {plural(table.rows, 'row')} ({share(rows / table.rows)})"
        shown = [f"`{n}`" for n in names[:NAMED]] + ([f"{len(names) - NAMED} more"] if len(names) > NAMED else [])
        out.append(Caution("missing", f"{listing(shown)} have no value in the same {part}."))
    said = {n for names, _ in together for n in names}
    flags = {f.name: {level.lower() for level in f.levels} for f in facts if f.unique == 2 and f.levels}
    yes_no = [n for n, levels in flags.items() if levels in ({"yes", "no"}, {"y", "n"}, {"true", "false"})]
    digits = [f.name for f in facts if f.type == "integer" and f.unique == 2 and f.name in _digits(table, facts)]
    if len(yes_no) > 2 and 0 < len(digits) <= 2:
        verb = "writes" if len(digits) == 1 else "write"
        text = f"{listing([f'`{n}`' for n in digits])} {verb} yes and no as 1 and 0; {listing(yes_no[:3])} use words."
        out.append(Caution("two-spellings-of-yes", text))
    for f in facts:
        if f.type != "empty" and f.missing >= LACKING * table.rows and f.name not in said:
            part = f"{count(f.missing)} of {plural(table.rows, 'row')} ({share(f.missing / table.rows)})"
            out.append(Caution("missing", f"`{f.name}` has no value in {part}."))
    ids = [f.name for f in facts if f.role == "id"]
    if ids and not table.is_large:
        rest = [f.name for f in facts if f.role != "id"]
        again = _repeats(table.select(rest)) - repeats if rest and not repeats else 0
        if 0 < again < USUAL * table.rows:
            named = listing([f"`{n}`" for n in ids[:3]])
            out.append(
                Caution(
                    "repeats-without-id",
                    f"{plural(again, 'row repeats', 'rows repeat')} an earlier one once {named} is left out.",
                )
            )
    if ids:
        out += [
            Caution("id", f"`{f.name}` is an id ({count(f.unique)} values{_again(table, f)}): it explains nothing.")
            for f in facts
            if f.role == "id"
        ]
    return out


def _again(table: Table, f: ColumnFacts) -> str:
    again = table.rows - f.missing - f.unique
    return f"; {plural(again, 'row repeats', 'rows repeat')} one" if again > 0 else ""


def _digits(table: Table, facts: list[ColumnFacts]) -> list[str]:
    if table.is_large:
        return []
    two = [f.name for f in facts if f.type == "integer" and f.unique == 2]
    return [n for n in two if set(np.unique(table.number(n)[~np.isnan(table.number(n))])) == {0.0, 1.0}]


def _repeats(table: Table) -> int:
    hashes = row_hashes(table)
    return len(hashes) - len(np.unique(hashes))


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


def _findings(table: Table, facts: list[ColumnFacts], first: list[Caution], survey: Survey) -> list[Finding]:
    view = survey.view
    out = [_missing(table, facts)]
    if survey.times:
        out.append(_covered(survey.times[0]))
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


def _covered(times: Coverage) -> Finding:
    periods = len(times.rows)
    shown = list(zip(times.starts, times.rows, strict=True))
    if periods > PERIODS:  # the last ones
        shown = shown[-PERIODS:]
    text = f"{plural(times.empty, times.by)} without a row. " if times.empty else f"No {times.by} is empty. "
    text += " ".join(_sentence(p["text"]) for p in times.problems)
    return Finding(
        title=f"`{times.name}` runs from {times.first[:10]} to {times.last[:10]}",
        text=text.strip(),
        strength="strong",
        so_what="Compare whole periods only, and ask why a period has few rows before calling it a fall.",
        how_sure="Counted in all rows.",
        figure=Figure(
            form="bars",
            title=f"Rows per {times.by} by `{times.name}`",
            subtitle=f"{plural(periods, times.by)}" + (f", the last {PERIODS} shown" if periods > PERIODS else ""),
            unit="count",
            rows=tuple({"label": start, "value": rows} for start, rows in shown),
            sentence=f"Between {count(min(times.rows))} and {count(max(times.rows))} rows per {times.by}.",
        ),
    )


def _missing(table: Table, facts: list[ColumnFacts]) -> Finding:
    lacking = sorted((f for f in facts if f.missing), key=lambda f: -f.missing)
    total = sum(f.missing for f in facts)
    sure = f"Counted in all {plural(table.rows, 'row')}; words such as `unknown` in a category are not counted."
    if not lacking:
        return Finding("No cell is empty", "", "strong", "No rows are lost to missing values.", sure)
    worst = lacking[0]
    where = f"all in `{worst.name}`" if len(lacking) == 1 else f"most in `{worst.name}` ({count(worst.missing)})"
    title = f"{plural(total, 'cell holds', 'cells hold')} no value, {where}"
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


def row_of(table: Table, f: ColumnFacts) -> dict[str, Any]:
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
    return text if text.endswith((".", "?")) else text + "."
