"""The outcome of a question: which column, which label counts as yes, which rows carry it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ambidex.data.table import Table
from ambidex.errors import DataError, NotFound, nearest
from ambidex.report import words

__all__ = ["Outcome", "read_outcome"]

YES = frozenset({"yes", "true", "positive", "pos"})
NO = frozenset({"no", "false", "negative", "neg"})
SHORT_YES, SHORT_NO = frozenset({"y", "t", "1"}), frozenset({"n", "f", "0", "-1"})
"""Read as yes and no only side by side: ``1`` beside ``2`` is a code, ``T`` beside ``C`` an arm."""


@dataclass(frozen=True)
class Outcome:
    """The outcome, row by row.

    Attributes:
        name: The column.
        task: ``binary`` or ``regression``.
        values: 0/1 or the number, NaN where the row has none, shape (rows,).
        positive: Label that counts as yes, as the file writes it; None for a number.
        negative: The other label, or `not X` where there are several; None for a number.
        cautions: (code, text): rows left out, a label chosen.
        phrase: As shown, where the question is about more than the label (`arrest by week 52`).
    """

    name: str
    task: Literal["binary", "regression"]
    values: npt.NDArray[np.float64]
    positive: str | None
    negative: str | None
    cautions: tuple[tuple[str, str], ...]
    phrase: str = ""

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Rows that carry the outcome."""
        out: npt.NDArray[np.bool_] = np.isfinite(self.values)
        return out

    @property
    def words(self) -> str:
        """As shown: `Churn` where the label says yes, else `status = left`."""
        if self.phrase:
            return self.phrase
        if self.positive is None or _reads_yes(self.positive, str(self.negative)):
            return self.name
        return f"{self.name} = {self.positive}"


def read_outcome(table: Table, target: str, positive: str | None = None) -> Outcome:
    """Read the outcome column.

    A column of numbers with more than two values is a number, unless ``positive`` is given; two labels are
    yes and no (the one that reads as yes, else the rarer, which is said); with more labels ``positive``
    names the one that counts against all others.

    Raises:
        NotFound: ``data.no-column``; ``data.no-label`` with the labels found.
        DataError: ``data.target-missing``, ``data.target-constant``, ``data.target-levels``,
            ``data.target-time``, ``data.target-text``.
    """
    table.require(target)
    facts = table.facts(target)
    labels = table.text(target)
    counts = Counter(v for v in labels if v is not None)
    if not counts:
        raise DataError(
            "data.target-missing",
            f"{target} is missing in all {words.plural(table.rows, 'row')}",
            where=f"{table.name}, column {target}",
            do="bring rows that carry it, or name another --target",
        )
    numeric = facts.type in ("number", "integer")
    if positive is None and numeric and len(counts) > 2:
        values = table.number(target)
        if not np.isfinite(values).any():
            raise DataError(
                "data.target-missing",
                f"{target} holds no number",
                where=f"{table.name}, column {target}",
                do="bring rows that carry it, or name another --target",
            )
        seen = values[np.isfinite(values)]
        if float(np.ptp(seen)) == 0:
            raise _constant(table, target, _plain(float(seen[0])), len(seen))
        odd = tuple((p["code"], p["text"]) for p in facts.problems)
        return Outcome(target, "regression", values, None, None, (*odd, *_missing(table, target, values)))
    if positive is not None and str(positive) not in counts:
        positive = _same_number(str(positive), counts) or positive
    if positive is not None and str(positive) not in counts:
        near = _nearest(str(positive), counts, numeric=numeric)
        raise NotFound(
            "data.no-label",
            f"{target} has no label {str(positive)!r}" + (f"; did you mean {_readable(near[0])!r}?" if near else ""),
            where=f"{table.name}, column {target}",
            found=_listed(counts),
            do=f"--positive {_shell(_readable((near or list(counts))[0]))}",
        )
    if len(counts) == 1:
        raise _constant(table, target, next(iter(counts)), counts.total())
    if positive is None and len(counts) > 2 and facts.type == "time":
        raise DataError(
            "data.target-time",
            f"{target} holds points in time; drivers takes yes/no, a number, or a time to an end",
            where=f"{table.name}, column {target}",
            found=f"{len(counts):,} different times, such as {next(iter(counts))}",
            do="make a column of yes and no (happened or not), and one of days until it: --target COL --duration COL",
        )
    if positive is None and len(counts) > 2 and facts.type == "text":
        raise DataError(
            "data.target-text",
            f"{target} is free text: {len(counts):,} different texts in {words.plural(counts.total(), 'row')}",
            where=f"{table.name}, column {target}",
            found=f"such as {_short(next(iter(counts)))!r}",
            do="name a column of yes/no or of numbers with --target",
        )
    if positive is None and len(counts) > 2:
        raise DataError(
            "data.target-levels",
            f"{target} has {len(counts):,} labels; drivers takes yes/no or a number",
            where=f"{table.name}, column {target}",
            found=_listed(counts),
            do=f"name the label that counts: --positive {_shell(counts.most_common()[-1][0])}",
        )
    cautions: list[tuple[str, str]] = []
    chosen = str(positive) if positive is not None else _yes(target, counts, cautions)
    rest = sorted(set(counts) - {chosen})
    negative = rest[0] if len(rest) == 1 else f"not {chosen}"
    y = np.array([np.nan if v is None else float(v == chosen) for v in labels])
    if len(rest) > 1:
        cautions.append(
            (
                "positive-label",
                f"{target}: {chosen!r} ({words.plural(counts[chosen], 'row')}) against the "
                f"other {len(rest)} labels together",
            )
        )
    return Outcome(target, "binary", y, chosen, negative, (*cautions, *_missing(table, target, y)))


def _yes(target: str, counts: Counter[str], cautions: list[tuple[str, str]]) -> str:
    first, second = sorted(counts)
    for label, other in ((first, second), (second, first)):
        if _reads_yes(label, other) or (other.strip().lower() in NO and label.strip().lower() not in NO):
            return label
    rare = min(counts, key=lambda v: (counts[v], v))
    other = next(v for v in counts if v != rare)
    cautions.append(
        (
            "positive-label",
            f"{target} says {rare!r} and {other!r}; the rarer, {rare!r} ({words.plural(counts[rare], 'row')}), was "
            f"taken as yes. "
            f"--positive {_shell(other)} turns it round",
        )
    )
    return rare


def _reads_yes(label: str, other: str) -> bool:
    word, beside = label.strip().lower(), other.strip().lower()
    return (word in YES and beside not in YES) or (word in SHORT_YES and beside in SHORT_NO)


def _missing(table: Table, target: str, values: npt.NDArray[Any]) -> tuple[tuple[str, str], ...]:
    gone = int(np.sum(~np.isfinite(values)))
    if not gone:
        return ()
    return (("target-missing", f"{words.plural(gone, 'row')} without a value of {target} left out of {table.rows:,}"),)


def _constant(table: Table, target: str, value: str, rows: int) -> DataError:
    return DataError(
        "data.target-constant",
        f"{target} has one class, {rows:,} of {rows:,} rows say {value!r}, so nothing can go with it",
        where=f"{table.name}, column {target}",
        found=f"one class, {rows:,} of {rows:,}",
        do="bring rows with the other outcome, or name another --target",
    )


def _value(label: str) -> float:
    try:
        return float(label)
    except ValueError:
        return float("nan")


def _readable(label: str) -> str:
    """`54` for a label `54.0`: the file writes a whole number as a decimal, nobody else does."""
    whole = label.removesuffix(".0")
    return whole if whole.lstrip("-").isdecimal() else label


def _same_number(given: str, counts: Counter[str]) -> str | None:
    """The one label that is the same number, however it is written."""
    same = [label for label in counts if _value(label) == _value(given)]
    return same[0] if len(same) == 1 else None


def _nearest(given: str, counts: Counter[str], *, numeric: bool) -> list[str]:
    if numeric and math.isfinite(_value(given)):
        known = [label for label in counts if math.isfinite(_value(label))]
        return sorted(known, key=lambda label: abs(_value(label) - _value(given)))[:1]
    return list(nearest(given, counts))


def _listed(counts: Counter[str], most: int = 8) -> str:
    shown = [f"{_readable(v)} ({n:,})" for v, n in counts.most_common(most)]
    return ", ".join(shown) + (f", … {len(counts) - most:,} more" if len(counts) > most else "")


def _shell(label: str) -> str:
    return (
        label
        if label.replace("-", "").replace("_", "").replace(".", "").isalnum()
        else "'" + label.replace("'", "'\\''") + "'"
    )


def _short(text: str, most: int = 40) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(x: float) -> str:
    return f"{x:.6g}".replace("-", "−")
