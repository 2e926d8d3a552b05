"""Time to an end: which label is the end asked about, which says "not yet", which are other ends."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.outcome import NO, SHORT_NO, Outcome, read_outcome
from ambidex.report import words

__all__ = ["Ends", "read_ends"]

NOT_YET = NO | SHORT_NO | {
    "censored", "censor", "alive", "active", "current", "open", "ongoing", "none", "still", "survived", "running",
    "stayed", "stays", "staying", "there", "no event", "not yet", "event free", "lost to follow-up",
}  # fmt: skip
MOST = 8
"""Labels that can be ends; more of them are no ends."""

LEAST_SHARE, LEAST_ROWS = 0.2, 20
"""Chances are told by the last end with so many rows still seen: further out few rows speak for all."""


@dataclass(frozen=True, eq=False)
class Ends:
    """The outcome of a question about time.

    Attributes:
        outcome: 1 where the end asked about was seen, else 0; NaN where target or time is missing.
        time: How long each row was seen, shape (rows,).
        codes: 0 not ended, 1 the end asked about, 2 and more the others, shape (rows,).
        others: Labels of the other ends.
        horizon: Time by which chances are told.
    """

    outcome: Outcome
    time: npt.NDArray[np.float64]
    codes: npt.NDArray[np.int64]
    others: tuple[str, ...]
    horizon: float


def read_ends(table: Table, target: str, positive: str | None, duration: str) -> Ends:
    """Read target and time.

    Two labels are ended and not. With more, one says "not yet" (the one that reads so, else the most frequent,
    which is said), one is asked about (``positive``, or 1 among numbers), the rest are other ends.

    Raises:
        NotFound: ``data.no-column``, ``data.no-label``.
        DataError: ``data.duration`` for a time that is no number, negative or 0 throughout; what
            ``read_outcome`` raises.
    """
    time = _time(table, duration)
    counts = Counter(v for v in table.text(target) if v is not None)
    several = 2 < len(counts) <= MOST
    if positive is None and several and "1" in counts and "0" in counts:
        positive = "1"
    if len(counts) > MOST:
        raise DataError(
            "data.target-levels",
            f"{target} has {len(counts):,} labels; with --duration it says whether, or how, each row ended",
            where=f"{table.name}, column {target}",
            found=", ".join(f"{k} ({n:,})" for k, n in counts.most_common(5)) + ", …",
            do="name a --target of few labels (ended or not, or how) and with --positive the end asked about",
        )
    made = read_outcome(table, target, positive)
    assert made.positive is not None
    cautions = [c for c in made.cautions if not (several and c[0] == "positive-label")]
    labels = table.text(target)
    rest = [v for v in counts if v != made.positive]
    still = [v for v in rest if v.strip().lower() in NOT_YET]
    silent = still[0] if len(still) == 1 else max(still or rest, key=lambda v: (counts[v], v))
    others = tuple(sorted(v for v in rest if v != silent))
    if others:
        named = words.listing([f"{v} ({words.plural(counts[v], 'row')})" for v in others])
        how = "" if still else f"; {silent!r} was taken as not ended yet, being the most frequent"
        cautions.append(
            (
                "competing-ends",
                f"{target}: besides {made.positive} ({words.plural(counts[made.positive], 'row')}) there "
                f"{_is(others)} {named}{how}. "
                f"Shares count them as ends of their own (Aalen-Johansen); hazard ratios, and points with the other "
                f"columns held equal, are about {made.positive} among those who have not ended otherwise",
            )
        )
    place: dict[Any, int] = {made.positive: 1, **{v: i for i, v in enumerate(others, 2)}}
    codes = np.fromiter((place.get(v, 0) for v in labels), dtype=np.int64, count=table.rows)
    values = np.where(np.isfinite(time), made.values, np.nan)
    lost = int((np.isfinite(made.values) & ~np.isfinite(time)).sum())
    if lost:
        cautions.append(("duration-missing", f"{words.plural(lost, 'row')} without a {duration} left out"))
    known = np.isfinite(values)
    if not (values[known] == 1).any() or (codes[known] == 1).all():
        label = made.positive if (codes[known] == 1).any() else "not ended"
        raise DataError(
            "data.target-constant",
            f"{target} has one class where {duration} is known, {words.plural(int(known.sum()), 'row')} "
            f"with {label!r}, so nothing can go with it",
            where=f"{table.name}, column {target}",
            do="bring rows with the other outcome, or name another --target",
        )
    horizon = _horizon(time[known], codes[known] == 1)
    reads = f"{target} = {made.positive}" if made.words != target else target
    outcome = replace(
        made,
        values=values,
        negative=f"not {made.positive}" if others else made.negative,
        cautions=tuple(cautions),
        phrase=f"{reads} by {duration} {words.number(horizon)}",
    )
    return Ends(outcome, time, codes, others, horizon)


def _time(table: Table, duration: str) -> npt.NDArray[np.float64]:
    facts = table.facts(table.require(duration))
    where = f"{table.name}, column {duration}"
    if facts.type not in ("number", "integer"):
        raise DataError(
            "data.duration",
            f"{duration} is no time to an end: it holds {'points in time' if facts.type == 'time' else 'text'}",
            where=where,
            found=facts.type,
            do="name a number: days, weeks or months from a start to the end or to the last look",
        )
    time = table.number(duration)
    below = np.flatnonzero(time < 0)
    if below.size:
        raise DataError(
            "data.duration",
            f"{duration} is negative in {words.plural(below.size, 'row')}, first {time[below[0]]:g}: nothing ends "
            "before it starts",
            where=f"{where}, row {int(below[0]) + 1:,}",
            found=f"{below.size:,} negative values",
            do="mend or drop these rows; a start after the end is usually a swapped pair of dates",
        )
    if not np.nanmax(time, initial=0.0) > 0:
        raise DataError(
            "data.duration",
            f"{duration} is 0 in every row, so no time has passed",
            where=where,
            do="name another --duration",
        )
    return time


def _horizon(time: npt.NDArray[np.float64], event: npt.NDArray[np.bool_]) -> float:
    """The last end with enough rows still seen; the first end where there is none."""
    ends = np.unique(time[event])
    risk = len(time) - np.searchsorted(np.sort(time), ends, side="left")
    enough = ends[risk >= max(LEAST_SHARE * len(time), min(LEAST_ROWS, len(time) / 2))]
    return float(enough[-1]) if enough.size else float(ends[0])


def _is(others: tuple[str, ...]) -> str:
    return "is" if len(others) == 1 else "are"
