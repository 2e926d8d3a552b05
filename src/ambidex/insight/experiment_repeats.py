"""Rows that are not units: copies of rows, ids that repeat, columns by which the arms were given out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ambidex.data.fingerprint import row_hashes
from ambidex.data.table import Table
from ambidex.insight.experiment_data import Assignment, codes_of
from ambidex.insight.experiment_units import repeats
from ambidex.report.answer import Caution, Check
from ambidex.report.words import count

__all__ = ["find_copies", "find_repeats"]

ID_NAME = re.compile(
    r"^(?:user|customer|client|member|account|person|player|visitor|patient|household|device|subject|unit|id)s?$"
    r"|(?:[_\- ]|[a-z](?=I))i?[dD]s?$|^[a-z]+(?:_?id|Id|ID)$",
)
LEAST_ROWS = 20
"""Different rows from which it is no accident that each stands as often as a multiple of the same number."""
EARLY, EACH = 20_000, 5
"""Rows looked at before a column is read whole; values that each arm needs."""
TELLING = 0.9
"""Share of the different rows that one column tells apart, an id or a measured amount: then alike rows are copies.
Without such a column it is only said, since a few round values may recur by design."""
UNLIKELY = math.log(1e-6)
"""How rarely assignment by row would leave the arm constant inside every value of a column."""


def find_copies(table: Table) -> tuple[Check | None, list[Caution]]:
    """Does every row of the table stand in it k times? Then it was copied, and there are fewer units than rows.

    Genuine units may well be alike (96% of 305,866 voters are), but not each as often as a multiple of one number.
    """
    if table.is_large:  # a hash of every row would be a second pass, and the rows need not fit into memory
        return None, []
    hashes = np.asarray(row_hashes(table))
    _, first, times = np.unique(hashes, return_index=True, return_counts=True)
    if len(times) < LEAST_ROWS:
        return None, []
    k = int(np.gcd.reduce(times))
    if k < 2:
        return None, []
    text = f"Every row stands in the table {k} times, or a multiple of it: {count(len(times))} different rows. Copies "
    text += "are no new units."
    once = table.take(np.sort(first))
    telling = any(len(once.cells(c).levels) >= TELLING * len(times) for c in table.columns)
    return Check("copies", False, float(k), 1.0, text, decides=telling), [Caution("copies", text)]


def find_repeats(table: Table, who: Assignment, used: Sequence[str]) -> tuple[str, str] | None:
    """The column whose repeated values are the likelier units, and why; None if there is none.

    Two signs: a column named like an id whose values repeat, or one inside whose values the arm never changes
    although many of them have several rows, which assignment by row would hardly leave so.
    """
    named: tuple[int, str, str] | None = None
    steady: tuple[int, str, str] | None = None
    for column in table.columns:
        if column in used:
            continue
        like_id = ID_NAME.search(column) is not None
        if not like_id and (table.is_large or _changes_early(table, column, who) or not _may_group(table, column)):
            continue
        if not table.is_large and _all_differ(table, column):
            continue
        distinct, known = repeats(table, column)
        if distinct < max(20, 5 * len(who.labels)) or known <= distinct:
            continue  # a flag or a code of a few values, whatever its name
        said = f"`{column}` has {count(distinct)} values in {count(known)} rows"
        if like_id and (named is None or distinct > named[0]):
            named = distinct, column, said
        elif not like_id and _arm_never_changes(table, column, who) and (steady is None or distinct > steady[0]):
            steady = distinct, column, f"{said}, and the arm never changes inside one of them"
    found = named or steady
    return None if found is None else (found[1], found[2])


def _may_group(table: Table, column: str) -> bool:
    """Text, whole numbers or the like; not a measured amount."""
    kind: Any = table.column(column).type
    if str(kind) in ("float", "double", "halffloat", "bool"):
        return False
    numbers = table.number(column) if str(kind) in ("string", "large_string") else None
    if numbers is None:
        return True
    known = numbers[~np.isnan(numbers)]
    return not (len(known) > len(numbers) / 2 and bool((known != np.floor(known)).any()))


def _all_differ(table: Table, column: str) -> bool:
    """True if no value comes twice, told without spelling a million ids as text."""
    cells = table.column(column)
    return bool(len(cells.drop_null().unique()) == len(cells) - cells.null_count)


def _changes_early(table: Table, column: str, who: Assignment) -> bool:
    """True if the first rows already show the arm changing inside a value: most columns are told from these."""
    part = table.select([column]).head(EARLY)
    codes, labels = codes_of(part, column)
    return _mixed(codes, who.arm[: len(codes)], len(labels)) is None


def _mixed(codes: Any, arm: Any, labels: int) -> Any:
    """Arm of each label, -1 where it has no row; None if a label has rows in two arms."""
    there = (codes >= 0) & (arm >= 0)
    low, high = np.full(labels, np.iinfo(np.int64).max), np.full(labels, -1)
    np.minimum.at(low, codes[there], arm[there])
    np.maximum.at(high, codes[there], arm[there])
    return None if ((high >= 0) & (low != high)).any() else high


def _arm_never_changes(table: Table, column: str, who: Assignment) -> bool:
    codes, names = codes_of(table, column)
    labels = len(names)
    own = _mixed(codes, who.arm, labels)
    if own is None or min((own == i).sum() for i in range(len(who.labels))) < EACH:
        return False
    rows = np.bincount(codes[(codes >= 0) & (who.arm >= 0)], minlength=labels)
    shares = np.asarray(who.counts, dtype=float) / sum(who.counts)
    chance = float(((rows - 1) * np.log(shares[np.clip(own, 0, None)]))[rows > 1].sum())
    return chance < UNLIKELY
