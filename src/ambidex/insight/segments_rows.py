"""The rows that segments are drawn from: customer rows, or customers counted on an order log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.customers import OrderLog, open_log
from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.report import words

__all__ = ["Rows", "from_log", "from_table", "jittered", "sample", "taken"]

Floats = npt.NDArray[np.float64]
Columns = dict[str, npt.NDArray[Any]]

MANY = 30
"""Labels beyond which a column is no category to be alike by."""

HALF = 0.5
"""Share of cells without a value beyond which a column is left out."""


@dataclass(frozen=True)
class Rows:
    """What is grouped, and what the groups are measured on.

    Attributes:
        columns: Inputs, float64 with NaN or labels with None, shape (n,) each.
        today: The same columns for those who are assigned now; the same rows unless there is a log.
        names: Who they are, shape (m,); None where rows have no name.
        value: What a segment is worth, shape (n,), aligned with ``columns``; None where nothing was named.
        known: Rows whose value is known, shape (n,).
        what: The value in words.
        log: The order log, or None.
        left_out: Columns that are no input, with the reason.
        cautions: (code, text).
    """

    columns: Columns
    today: Columns
    names: npt.NDArray[np.object_] | None
    value: Floats | None
    known: npt.NDArray[np.bool_]
    what: str
    log: OrderLog | None
    left_out: tuple[tuple[str, str], ...]
    cautions: tuple[tuple[str, str], ...]

    @property
    def count(self) -> int:
        """Rows that the groups are drawn from."""
        return len(next(iter(self.columns.values())))

    @property
    def noun(self) -> str:
        """What a row is."""
        return "customer" if self.log is not None else "row"

    @property
    def numbers(self) -> Columns:
        """The inputs that are numbers."""
        return {n: v for n, v in self.columns.items() if v.dtype.kind == "f"}


def from_table(table: Table, *, unit: str | None, value: str | None) -> Rows:
    """Customer rows: every column that is no id, constant, time, free text, nor the value.

    Raises:
        DataError: ``data.no-inputs`` if none is left, ``data.column-type`` for a value that is no number.
    """
    columns: Columns = {}
    left_out: list[tuple[str, str]] = []
    for name in table.columns:
        if name in (unit, value):
            continue
        reason, values = _input(table, name)
        if values is None:
            left_out.append((name, reason))
        else:
            columns[name] = values
    if not columns:
        shown = "; ".join(f"{n}: {why}" for n, why in left_out[:6])
        raise DataError(
            "data.no-inputs",
            f"{table.name} has no column by which rows could be alike",
            where=table.name,
            found=shown or "no other column",
            do="bring columns that describe the rows: numbers, or categories with few labels",
        )
    worth, known = None, np.ones(table.rows, dtype=bool)
    if value is not None:
        worth = table.number(value)
        known = np.isfinite(worth)
        if not known.any():
            raise DataError(
                "data.column-type", f"no number is read from `{value}`", where=f"{table.name}, column {value}",
                do="name a column with numbers: --value COL",
            )  # fmt: skip
    cautions = list(table.cautions)
    if left_out:
        cautions.append(("left-out", "not used: " + words.listing([f"{n} ({why})" for n, why in left_out[:8]])))
    if unit is None and (repeated := _repeated_id(table, left_out)) is not None:
        name, owners = repeated
        times = [n for n, why in left_out if why == "time"]
        log = f"--unit {name}" + (f" --time {times[0]}" if times else "")
        cautions.append(
            ("unit", f"`{name}` has {owners:,} values in {table.rows:,} rows, so a row is no customer: the groups are "
                     f"of rows. For customers ask with {log}")
        )  # fmt: skip
    holes = [f"{n} {int(np.isnan(v).sum()):,}" for n, v in columns.items() if v.dtype.kind == "f" and np.isnan(v).any()]
    if holes:
        cautions.append(("missing", f"cells without a number count as the column's median: {', '.join(holes[:6])}"))
    names = table.text(unit) if unit is not None else None
    if names is not None and len(set(names.tolist())) < len(names):
        repeats = len(names) - len(set(names.tolist()))
        cautions.append(
            ("repeated-units", f"{repeats:,} rows repeat a {unit} of another row; each row is grouped on its own")
        )
    return Rows(columns, columns, names, worth, known, value or "", None, tuple(left_out), tuple(cautions))


def from_log(table: Table, *, unit: str, time: str, value: str, now: datetime) -> Rows:
    """Customers of an order log as they stood at half time; their value is what they spent in the second half."""
    log = open_log(table, unit=unit, time=time, value=value, now=now)
    codes, features = log.features(log.middle, log.window)
    everyone, today = log.features(log.last, log.window)
    money, _ = log.after(codes, log.middle)
    cohort = _cohort(log)
    # In one cohort everybody is as old as the log: tenure tells the day, not the customer.
    kept = {n: v for n, v in features.items() if np.ptp(v) > 0 and not (n == "tenure" and cohort is not None)}
    if not kept:
        raise DataError(
            "data.no-inputs",
            f"the {len(codes):,} customers up to {log.middle} are alike: one order each, that day, of one sum",
            where=table.name,
            do="bring a longer log",
        )
    cautions = [*table.cautions, *((p.code, p.text) for p in log.problems)]
    if cohort is not None:
        cautions.append(cohort)
    return Rows(
        columns=dict(kept), today={n: today[n] for n in kept}, names=log.customers[everyone], value=money,
        known=np.ones(len(codes), dtype=bool), what=f"money after {log.middle}", log=log, left_out=(),
        cautions=tuple(cautions),
    )  # fmt: skip


def _cohort(log: OrderLog) -> tuple[str, str] | None:
    """Customers who all came at the beginning: their orders thin out without any change of behaviour."""
    starts = np.flatnonzero(np.diff(log.code, prepend=-1))
    newest = log.day[starts].max()
    if (newest - log.first) * 2 > (log.last - log.first):
        return None
    return (
        "one-cohort",
        f"no new customer comes after {newest}: it is one cohort, whose orders thin out with time without anybody "
        "behaving differently",
    )


def _input(table: Table, name: str) -> tuple[str, npt.NDArray[Any] | None]:
    facts = table.facts(name)
    if facts.missing > HALF * table.rows:
        return "mostly missing", None
    if facts.role in ("id", "constant", "time", "text"):
        return {"text": "free text"}.get(facts.role, facts.role), None
    if facts.is_code:
        return "numbers that name places or things", None
    if facts.type in ("number", "integer"):
        values = table.number(name)
        if len(np.unique(values[np.isfinite(values)])) > 2:
            return "", values
        return "", table.text(name)  # a flag has two values and nothing between them: a category
    if facts.unique > MANY:
        return f"{facts.unique:,} labels", None
    return "", table.text(name)


def jittered(columns: Columns, seed: int) -> Columns:
    """Whole numbers with noise of half a unit: that a count jumps from 1 to 2 is no valley between groups."""
    rng = np.random.default_rng(seed)
    out: Columns = {}
    for name, values in columns.items():
        known = values[np.isfinite(values)]
        whole = bool(known.size) and bool((known == np.floor(known)).all())
        if whole and len(np.unique(known)) < max(2, len(known) // 2):
            noise = rng.uniform(-0.5, 0.5, len(values))
            out[name] = np.abs(values + noise) if (known >= 0).all() else values + noise
        else:
            out[name] = values
    return out


def sample(count: int, most: int, seed: int) -> npt.NDArray[np.int64]:
    """At most so many rows, in order. Shape (min(count, most),)."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False)).astype(np.int64)


def taken(columns: Columns, rows: Sequence[int] | npt.NDArray[Any]) -> Columns:
    """The columns' rows."""
    return {n: v[rows] for n, v in columns.items()}


def _repeated_id(table: Table, left_out: list[tuple[str, str]]) -> tuple[str, int] | None:
    """A column of ids that come again in other rows, and how many there are."""
    for name, why in left_out:
        if why == "id":
            facts = table.facts(name)
            if 1 < facts.unique < 0.95 * (table.rows - facts.missing):
                return name, facts.unique
    return None
