"""Who was in which arm: rows, units, and labels of units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.data.spelling import spell
from ambidex.data.table import Table
from ambidex.data.tally import count_cells, count_different
from ambidex.errors import DataError

__all__ = [
    "Assignment", "LargeAssignment", "arm_table", "arms_of", "assign", "assign_rows", "codes_of", "one_arm_error",
    "repeats", "unit_codes",
]  # fmt: skip

Codes = NDArray[np.int64]

MOST_ARMS = 20


@dataclass(frozen=True, eq=False)
class Assignment:
    """Units and their arms.

    Attributes:
        labels: Arms in sort order.
        arm: Arm of each unit as an index into ``labels``, shape (units,); -1 for units left out.
        unit: Unit of each row, shape (rows,); -1 for rows left out. None if rows are the units.
        counts: Units per arm, in the order of ``labels``.
        unassigned: Rows without a label or without a unit.
        crossed: Units with rows in two arms; left out.
    """

    labels: tuple[str, ...]
    arm: Codes
    unit: Codes | None
    counts: tuple[int, ...]
    unassigned: int
    crossed: tuple[str, ...]


class LargeAssignment(Assignment):
    """Units and arms of a table that is not in memory.

    Its ``arm`` and ``unit`` are read, whole, only when they are asked for.

    Attributes:
        group: Column of the arms.
        unit_column: Column of the units, or None.
        values: For each arm the column's values that mean it.
    """

    group: str
    unit_column: str | None
    values: tuple[tuple[Any, ...], ...]

    def __init__(
        self,
        table: Table,
        group: str,
        unit: str | None,
        *,
        labels: tuple[str, ...],
        counts: tuple[int, ...],
        unassigned: int,
        crossed: tuple[str, ...],
        values: tuple[tuple[Any, ...], ...],
    ) -> None:
        said = {
            "labels": labels, "counts": counts, "unassigned": unassigned, "crossed": crossed,
            "group": group, "unit_column": unit, "values": values, "_table": table, "_read": [],
        }  # fmt: skip
        for name, value in said.items():
            object.__setattr__(self, name, value)

    def _rows(self) -> Assignment:
        read: list[Assignment] = self.__dict__["_read"]
        if not read:
            read.append(assign_rows(self.__dict__["_table"], self.group, self.unit_column))
        return read[0]

    @property
    def arm(self) -> Codes:
        """Arm of each unit."""
        return self._rows().arm

    @property
    def unit(self) -> Codes | None:
        """Unit of each row."""
        return self._rows().unit


def repeats(table: Table, column: str) -> tuple[int, int]:
    """Different labels of a column, and rows that have one."""
    if table.is_large:
        return count_different(table.arrow, table.require(column))
    codes, labels = codes_of(table, column)
    return len(labels), int((codes >= 0).sum())


def codes_of(table: Table, column: str) -> tuple[Codes, list[str]]:
    """A column as codes into its sorted labels; -1 where missing or blank."""
    encoded = table.spelled(column).dictionary_encode()
    found: list[str] = encoded.dictionary.to_pylist()
    labels = sorted(v for v in found if v.strip())
    place = {label: i for i, label in enumerate(labels)}
    lookup = np.array([*(place.get(v, -1) for v in found), -1], dtype=np.int64)
    indices = encoded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return lookup[indices], labels


def assign(table: Table, group: str, unit: str | None) -> Assignment:
    """Arms of the units.

    Raises:
        NotFound: ``data.no-column``.
        DataError: ``data.one-arm``; ``data.column-type`` if the column has more labels than arms can be.
    """
    table.require(group)
    if table.is_large:
        from ambidex.insight.experiment_large import assign_large

        return assign_large(table, group, unit)
    return assign_rows(table, group, unit)


def arms_of(table: Table, group: str, labels: list[str]) -> list[str]:
    """The labels, if they can be arms. Raises DataError ``data.column-type``."""
    if len(labels) > MOST_ARMS:
        raise DataError(
            "data.column-type",
            f"`{group}` has {len(labels):,} labels, too many for arms of an experiment",
            where=f"{table.name}, column {group}",
            found=", ".join(labels[:3]) + ", …",
            do="--group the column that says who got what",
        )
    return labels


def one_arm_error(
    table: Table, group: str, labels: Sequence[str], counts: Sequence[int], crossed: Sequence[str]
) -> DataError:
    """Fewer than two arms have units."""
    there = ", ".join(f"{a} {n:,}" for a, n in zip(labels, counts, strict=True))
    return DataError(
        "data.one-arm",
        f"`{group}` has one arm only, and a comparison needs two"
        if not crossed
        else f"{len(crossed):,} units are in two arms of `{group}`; without them fewer than two arms are left",
        where=f"{table.name}, column {group}",
        found=there or "no label at all",
        do="--group the column that says who got what",
    )


def assign_rows(table: Table, group: str, unit: str | None) -> Assignment:
    """``assign`` from the rows themselves."""
    arm, labels = codes_of(table, group)
    arms_of(table, group, labels)
    crossed: tuple[str, ...] = ()
    units: Codes | None = None
    unassigned = int((arm < 0).sum())
    if unit is not None:
        units, names = codes_of(table, unit)
        units = np.where(arm < 0, -1, units)
        unassigned = int((units < 0).sum())
        arm, twice = _arm_of_unit(arm, units, len(names))
        crossed = tuple(names[i] for i in twice)
    counts = np.bincount(arm[arm >= 0], minlength=len(labels))
    if (counts > 0).sum() < 2:
        raise one_arm_error(table, group, labels, counts.tolist(), crossed)
    kept = np.flatnonzero(counts)  # an arm whose every unit crossed is no arm
    moved = np.full(len(labels) + 1, -1)
    moved[kept] = np.arange(len(kept))
    return Assignment(
        tuple(labels[i] for i in kept), moved[arm], units, tuple(int(counts[i]) for i in kept), unassigned, crossed
    )


def _arm_of_unit(arm: Codes, units: Codes, count: int) -> tuple[Codes, Codes]:
    """Arm of each unit, -1 where it has two or none; and which have two."""
    rows = units >= 0
    low, high = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(low, units[rows], arm[rows])
    np.maximum.at(high, units[rows], arm[rows])
    twice = (high >= 0) & (low != high)
    return np.where(twice, -1, high), np.flatnonzero(twice)


def unit_codes(table: Table, column: str, who: Assignment) -> tuple[Codes, list[str], int]:
    """A column's labels unit by unit.

    Returns:
        The code of each unit's first row with a label, shape (units,), -1 where it has none; the labels that the
        codes count; and how many units have rows with different labels.
    """
    codes, labels = codes_of(table, column)
    if who.unit is None:
        return codes, labels, 0
    rows = np.flatnonzero((who.unit >= 0) & (codes >= 0))
    first = np.full(len(who.arm), len(codes), dtype=np.int64)
    np.minimum.at(first, who.unit[rows], rows)
    out = np.append(codes, -1)[first]
    varies = np.unique(who.unit[rows[codes[rows] != out[who.unit[rows]]]])
    return out, labels, len(varies)


def arm_table(table: Table, who: Assignment, column: str) -> dict[str, tuple[int, ...]]:
    """Units per arm for each label of a column."""
    if isinstance(who, LargeAssignment) and who.unit_column is None:
        place = {v: i for i, values in enumerate(who.values) for v in values}
        cells = count_cells(table.arrow, who.group, table.require(column))
        found: dict[str, list[int]] = {}
        texts, arms_, rows = spell(cells.column("other")), cells.column("value"), cells.column("rows")
        for text, value, n in zip(texts.to_pylist(), arms_.to_pylist(), rows.to_pylist(), strict=True):
            if value in place and text is not None and text.strip():
                found.setdefault(text, [0] * len(who.labels))[place[value]] += n
        return {label: tuple(found[label]) for label in sorted(found)}
    codes, labels, _ = unit_codes(table, column, who)
    out = {}
    for code, label in enumerate(labels):
        arms = who.arm[(codes == code) & (who.arm >= 0)]
        if len(arms):
            out[label] = tuple(int(n) for n in np.bincount(arms, minlength=len(who.labels)))
    return out
