"""What a table covers in time, what is missing there, and stretches of its rows in which a column stands still."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambidex.data.facts import ColumnFacts
from ambidex.data.oddities import Problem
from ambidex.data.table import Table

__all__ = ["Coverage", "coverage", "standstill"]

Stamps = np.ndarray[Any, np.dtype[np.datetime64]]

STRETCH = 0.05
"""Share of the rows that a column must stand still for."""
LEAST = 500
ALONE = 0.001
"""Share of the rows that may lie far outside the others."""


@dataclass(frozen=True)
class Coverage:
    """A time column.

    Attributes:
        name: The column.
        first: First time, ISO 8601.
        last: Last time.
        by: ``day``, ``week`` or ``month``: what the span was divided into.
        rows: Rows per period, in order, periods without any included.
        starts: Start of each period.
        empty: Periods without a row.
        problems: Gaps, an unfinished last month, rows far outside the rest, days that lack rows.
    """

    name: str
    first: str
    last: str
    by: str
    rows: tuple[int, ...]
    starts: tuple[str, ...]
    empty: int
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        """For ``data`` of the answer."""
        return {"name": self.name, "first": self.first, "last": self.last, "by": self.by, "empty": self.empty}


def coverage(name: str, stamps: Stamps, rows: Any = None) -> Coverage | None:
    """How a time column covers its span; None if it holds fewer than two days.

    Args:
        name: The column.
        stamps: Its times, NaT where there is none. Shape (n,).
        rows: How many rows each stands for; one if None. Shape (n,).
    """
    known = stamps[~np.isnat(stamps)]
    if not len(known):
        return None
    there, place = np.unique(known.astype("datetime64[D]"), return_inverse=True)
    weights = np.ones(len(known)) if rows is None else np.asarray(rows)[~np.isnat(stamps)]
    counts = np.bincount(place.ravel(), weights).astype(np.int64)
    outside, inside = _outside(name, there, counts)
    days, counts = there[inside], counts[inside]
    span = int((days[-1] - days[0]).astype(int)) + 1
    if span < 2:
        return None
    by = "day" if span <= 62 else "week" if span <= 371 else "month"
    places, starts = _places(days, by)
    per = np.bincount(places, counts, minlength=len(starts)).astype(np.int64)
    problems = [*outside, *_gaps(name, days, counts, span), *_unfinished(name, days, counts, span)]
    return Coverage(
        name,
        str(known.min())[:19],
        str(known.max())[:19],
        by,
        tuple(per.tolist()),
        tuple(str(s)[: 7 if by == "month" else 10] for s in starts),
        int((per == 0).sum()),
        tuple(problems),
    )


def _places(days: Stamps, by: str) -> tuple[Any, Stamps]:
    if by == "month":
        months = days.astype("datetime64[M]")
        return (months - months[0]).astype(int), np.arange(months[0], months[-1] + 1)
    step = 7 if by == "week" else 1
    # Weeks begin on Monday; day 0 of the calendar, 1970-01-01, was a Thursday.
    start = days[0] - (int(days[0].astype(int)) + 3) % 7 if step == 7 else days[0]
    places = (days - start).astype(int) // step
    return places, start + step * np.arange(int(places[-1]) + 1)


def _outside(name: str, days: Stamps, counts: Any) -> tuple[list[Problem], Any]:
    """A few days far from all others, as of a clock that was never set; and which days are inside."""
    everything = np.ones(len(days), dtype=bool)
    total, running = int(counts.sum()), np.cumsum(counts)
    if total < 1000:
        return [], everything
    low = days[int(np.searchsorted(running, ALONE / 2 * total))]
    high = days[min(int(np.searchsorted(running, (1 - ALONE / 2) * total)), len(days) - 1)]
    width = max(high - low, np.timedelta64(1, "D"))
    inside = (days >= low - width) & (days <= high + width)
    rows = int(counts[~inside].sum())
    if not rows or days[-1] - days[0] < 2 * width:
        return [], everything
    dates = ", ".join(str(d) for d in days[~inside][:3]) + (", …" if (~inside).sum() > 3 else "")
    text = f"`{name}` lies far outside the other times in {_rows(rows)} ({dates}); the rest is from {low} to {high}"
    return [{"code": "time-outliers", "text": text, "count": rows}], inside


def _gaps(name: str, there: Stamps, counts: Any, span: int) -> list[Problem]:
    out: list[Problem] = []
    if len(there) >= 10 and len(there) > 0.5 * span:
        steps = np.diff(there).astype(int)
        usual = int(np.percentile(steps, 99)) if len(steps) else 1
        empty = span - len(there)
        longest = int(steps.argmax())
        weekend = steps[steps > 1]
        if empty and steps[longest] > max(2, usual + 1):
            text = (
                f"`{name}` has no row on {empty:,} of {span:,} days; the longest gap is {int(steps[longest]) - 1} "
                f"days, after {there[longest]}"
            )
            out.append({"code": "time-gaps", "text": text, "count": empty})
        elif empty and len(weekend) and empty <= 0.1 * span:
            example = ", ".join(str(d) for d in (there[:-1] + 1)[steps > 1][:3])
            text = f"`{name}` has no row on {_days(empty)} of {span:,} ({example}{', …' if len(weekend) > 3 else ''})"
            out.append({"code": "time-gaps", "text": text, "count": empty})
    values, often = np.unique(counts, return_counts=True)
    usual_rows = int(values[often.argmax()])
    fewer = counts < usual_rows
    if usual_rows > 1 and often.max() >= 0.7 * len(counts) and fewer.any() and not (counts > usual_rows).any():
        lack = int((usual_rows - counts[fewer]).sum())
        text = (
            f"`{name}` has {usual_rows} rows on most days and fewer on {_days(int(fewer.sum()))}, first "
            f"{there[fewer][0]}: {_rows(lack)} seem to be missing"
        )
        out.append({"code": "time-gaps", "text": text, "count": lack})
    return out


def _unfinished(name: str, days: Stamps, counts: Any, span: int) -> list[Problem]:
    """The last month is not over: its total is no month's total."""
    month = days.astype("datetime64[M]")
    if span < 90:
        return []
    end = (month[-1] + 1).astype("datetime64[D]") - 1
    left = int((end - days[-1]).astype(int))
    before = days[month == month[-1] - 1]
    rows = int(counts[month == month[-1]].sum())
    if left < 3 or not len(before) or rows < ALONE * counts.sum():
        return []
    # Rows that come once a month leave no month unfinished.
    last_before = int((month[-1].astype("datetime64[D]") - before[-1]).astype(int))
    if last_before > left:
        return []
    text = f"`{name}` ends on {days[-1]}: the last month is not complete, so its totals are not to be compared"
    return [{"code": "last-period", "text": text, "count": rows}]


def standstill(table: Table, facts: Sequence[ColumnFacts]) -> list[Problem]:
    """Columns of numbers that hold one value over many rows on end, in the order of the file."""
    found: dict[tuple[int, int], list[str]] = {}
    for f in facts:
        if f.type not in ("number", "integer") or f.role in ("id", "constant", "category") or f.unique <= 20:
            continue
        values = table.number(f.name)
        turns = np.flatnonzero(np.append(True, values[1:] != values[:-1]))  # NaN differs from itself
        lengths = np.diff(np.append(turns, len(values)))
        at = int(lengths.argmax())
        start, length = int(turns[at]), int(lengths[at])
        if length < max(LEAST, STRETCH * table.rows):
            continue
        steps = values[turns[1:]] - values[turns[:-1]]
        if (steps >= 0).all() or (steps <= 0).all():
            continue  # the file is sorted by it
        value = values[start]
        if (values == value).mean() > 1.2 * length / table.rows:
            continue  # a value that is frequent everywhere
        found.setdefault((start, length), []).append(f.name)
    out: list[Problem] = []
    for (start, length), names in found.items():
        said = ", ".join(f"`{n}`" for n in names)
        verb = "holds" if len(names) == 1 else "hold"
        text = (
            f"{said} {verb} one and the same value in rows {start + 1:,} to {start + length:,} "
            f"({100 * length / table.rows:.0f}% of the table): was it measured there?"
        )
        out.append({"code": "constant-stretch", "text": text, "count": length})
    return out


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"


def _days(count: int) -> str:
    return f"{count:,} day{'' if count == 1 else 's'}"
