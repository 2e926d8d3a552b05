"""Columns that say the same twice, columns that add up, and cells that are empty together."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from ambidex.data.facts import ColumnFacts
from ambidex.data.oddities import Problem
from ambidex.data.table import Table

__all__ = ["adds_up", "missing_together", "same_columns", "same_labels"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

PAIRED = 200
"""Columns compared pairwise: 200 are 19,900 pairs, 5,000 rows each."""
SAMPLE = 5_000
SUMMED = 30
"""Columns of which sums and products of two are looked for."""
LEAST = 20


def same_columns(table: Table, facts: Sequence[ColumnFacts]) -> list[Problem]:
    """Columns that say the same: as numbers on one straight line, or dividing the rows alike."""
    out: list[Problem] = []
    if table.rows < LEAST:
        return out
    some = spread(table)
    columns, names = [], []
    for f in _numeric(facts)[:PAIRED]:
        values = some.number(f.name)
        known = ~np.isnan(values)
        if not known.any() or np.ptp(values[known]) == 0:
            continue
        filled = np.where(known, values, values[known].mean())
        if filled.std() > 0:
            columns.append((filled - filled.mean()) / filled.std())
            names.append(f.name)
    if len(columns) > 1:
        close = np.abs(np.corrcoef(np.array(columns))) > 0.9999
        for i, j in zip(*np.nonzero(np.triu(close, 1)), strict=True):
            same = bool((some.text(names[i]) == some.text(names[j])).all())
            how = "hold the same numbers" if same else "lie on one straight line: each says what the other says"
            out.append(_problem("proportional", f"`{names[j]}` and `{names[i]}` {how}", table.rows))
    seen: dict[bytes, str] = {}
    for f in facts:
        if f.type not in ("category", "boolean", "text") or f.role in ("id", "constant"):
            continue
        key = table.cells(f.name).codes.tobytes()
        if key in seen:
            out.append(_problem("twins", f"`{f.name}` and `{seen[key]}` divide the rows in the same way", table.rows))
        seen.setdefault(key, f.name)
    return out


def same_labels(table: Table, facts: Sequence[ColumnFacts]) -> list[Problem]:
    """Labels of several columns that stand in the same rows: each says what one column says."""
    marks: dict[bytes, list[tuple[str, str]]] = {}
    rows: dict[bytes, int] = {}
    for f in facts:
        if f.type != "category" or f.role in ("id", "constant") or f.unique > 30:
            continue
        cells = table.cells(f.name)
        for level, label in enumerate(cells.levels.to_pylist()):
            if cells.counts[level] >= max(LEAST, 0.01 * table.rows):
                key = np.packbits(cells.codes == level).tobytes()
                marks.setdefault(key, []).append((f.name, label))
                rows[key] = int(cells.counts[level])
    out = []
    for key, hits in marks.items():
        names = list(dict.fromkeys(n for n, _ in hits))
        if len(names) > 2 or (len(names) == 2 and all(_levels(facts, n) > 2 for n in names)):
            said = ", ".join(f"`{n}` = {label}" for n, label in hits[:3]) + (
                f" and {len(hits) - 3} more" if len(hits) > 3 else ""
            )
            out.append(
                _problem("same-rows", f"{said} stand in the same {rows[key]:,} rows: one fact told again", rows[key])
            )
    return out


def missing_together(table: Table, facts: Sequence[ColumnFacts]) -> list[tuple[list[str], int]]:
    """Groups of three or more columns that lack a value in the same rows, and how many rows those are."""
    groups: dict[bytes, list[str]] = {}
    count: dict[bytes, int] = {}
    for f in facts:
        if f.type != "empty" and 0 < f.missing < table.rows:
            absent = table.column(f.name).is_null().to_numpy()
            if absent.any():
                key = np.packbits(absent).tobytes()
                groups.setdefault(key, []).append(f.name)
                count[key] = int(absent.sum())
    return [(names, count[key]) for key, names in groups.items() if len(names) > 2]


def adds_up(table: Table, facts: Sequence[ColumnFacts], target: str | None) -> list[Problem]:
    """Columns that are the sum or the product of two others in every row."""
    some = spread(table)
    chosen = [f.name for f in _numeric(facts) if f.unique > 10]
    if target is not None and target in table.columns and any(f.name == target and f.unique > 10 for f in facts):
        chosen = [target, *(n for n in chosen if n != target)]
    chosen = chosen[:SUMMED]
    if len(chosen) < 3 or some.rows < LEAST:
        return []
    values = {n: some.number(n) for n in chosen}
    out: list[Problem] = []
    told: set[frozenset[str]] = set()
    for whole in chosen:
        for one, other in combinations([n for n in chosen if n != whole], 2):
            if frozenset((whole, one, other)) in told:
                continue
            for sign, made in (("+", values[one] + values[other]), ("×", values[one] * values[other])):
                if _equal(values[whole], made):
                    told.add(frozenset((whole, one, other)))
                    code = "leak" if target in (whole, one, other) else "adds-up"
                    more = f": they give `{target}` away" if code == "leak" else ": the three are two"
                    text = f"`{whole}` is `{one}` {sign} `{other}` in every row{more}"
                    out.append(_problem(code, text, table.rows))
                elif sign == "×" and _near(values[whole], made):
                    told.add(frozenset((whole, one, other)))
                    text = f"`{whole}` is close to `{one}` × `{other}`: with both it tells little more"
                    out.append(_problem("adds-up", text, table.rows))
    return out


def _equal(whole: Floats, made: Floats) -> bool:
    known = ~(np.isnan(whole) | np.isnan(made))
    if known.sum() < max(LEAST, 0.5 * len(whole)):
        return False
    whole, made = whole[known], made[known]
    if not np.ptp(whole):
        return False
    close = np.abs(whole - made) <= 1e-6 * np.maximum(np.abs(whole), 1.0)
    return bool(close.mean() > 0.995)


def _near(whole: Floats, made: Floats) -> bool:
    known = ~(np.isnan(whole) | np.isnan(made)) & (whole > 0) & (made > 0)
    if known.sum() < max(LEAST, 0.5 * len(whole)):
        return False
    whole, made = whole[known], made[known]
    with np.errstate(divide="ignore"):
        off = np.abs(np.log(whole / made))
    spread = float(np.std(np.log(whole)))
    return spread > 0.5 and float(np.quantile(off, 0.95)) < 0.15


def _numeric(facts: Sequence[ColumnFacts]) -> list[ColumnFacts]:
    return [f for f in facts if f.type in ("number", "integer") and f.role not in ("id", "constant") and not f.is_code]


def _levels(facts: Sequence[ColumnFacts], name: str) -> int:
    return next(f.unique for f in facts if f.name == name)


def spread(table: Table) -> Table:
    """The table, or some of its rows, evenly spread."""
    return table if table.rows <= SAMPLE else table.take(np.linspace(0, table.rows - 1, SAMPLE).astype(int))


def _problem(code: str, text: str, count: int) -> Problem:
    return {"code": code, "text": text, "count": count}
