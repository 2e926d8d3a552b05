"""Which columns of several tables name the same things, so that the tables can be joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from ambidex.data.facts import named_as_key
from ambidex.data.oddities import snake
from ambidex.data.spelling import spell
from ambidex.data.sql import literal, quote
from ambidex.data.table import Table
from ambidex.data.tally import count_different
from ambidex.report.answer import Caution, Finding
from ambidex.report.words import count, plural, share

__all__ = ["Relation", "relate", "relations_between", "stem"]

SHARED = 0.5
"""Share of the values of the side with fewer that the other side must have."""
FEW = 10
"""Columns of fewer values are labels, not names of things, unless no row shares one."""


@dataclass(frozen=True)
class Relation:
    """Two columns that name the same things.

    Attributes:
        left: Table whose column holds each value once, where one does.
        left_column: Its column.
        right: The other table.
        right_column: Its column.
        kind: ``one-to-one``, ``one-to-many`` or ``many-to-many``.
        left_values: Different values on the left.
        right_values: Different values on the right.
        shared: Values on both sides.
    """

    left: str
    left_column: str
    right: str
    right_column: str
    kind: str
    left_values: int
    right_values: int
    shared: int

    def to_dict(self) -> dict[str, Any]:
        """The object of ``relations`` in ``data``."""
        return asdict(self)


def stem(table: Table) -> str:
    """A table's name without its ending."""
    return Path(table.name).stem or table.name


def relations_between(tables: Sequence[Table]) -> list[Relation]:
    """Keys that pairs of tables share, the most values first."""
    out: list[Relation] = []
    for one, other in combinations(tables, 2):
        pairs = [(a, b) for a in one.columns for b in other.columns if _may(one, a, other, b)]
        found = [r for a, b in pairs if (r := _relation(one, a, other, b)) is not None]
        out += sorted(found, key=lambda r: -r.shared)[:3]
    return out


def _may(one: Table, a: str, other: Table, b: str) -> bool:
    """Whether two columns could name the same things, by what they are called."""
    first, second = snake(a), snake(b)
    if first == second:
        return True
    if not (named_as_key(a) and named_as_key(b)):
        return False
    # `orders.customer_id` and `customers.id`
    pairs = ((first, second, stem(other)), (second, first, stem(one)))
    return any(
        key in ("id", "key", "uuid") and name.removesuffix("_id").rstrip("s") == snake(table).rstrip("s")
        for name, key, table in pairs
    )


def _relation(one: Table, a: str, other: Table, b: str) -> Relation | None:
    left, left_rows = _values(one, a)
    right, right_rows = _values(other, b)
    shared = len(left & right)
    unique = [len(left) == left_rows, len(right) == right_rows]
    if not shared or shared < SHARED * min(len(left), len(right)):
        return None
    if not any(unique) and (min(len(left), len(right)) < FEW or not (named_as_key(a) and named_as_key(b))):
        return None
    if unique[1] and not unique[0]:
        one, a, left, other, b, right = other, b, right, one, a, left
    kind = "one-to-one" if all(unique) else "one-to-many" if any(unique) else "many-to-many"
    return Relation(one.name, a, other.name, b, kind, len(left), len(right), shared)


def _values(table: Table, column: str) -> tuple[set[str], int]:
    """Different values, and rows that have one."""
    if table.is_large:
        levels = spell(table.arrow.different(column)).to_pylist()
        return {v for v in levels if v is not None and v.strip()}, count_different(table.arrow, column)[1]
    cells = table.cells(column)
    blank = cells.is_blank
    levels = [v for v, gone in zip(cells.levels.to_pylist(), blank, strict=True) if not gone]
    return set(levels), cells.known_rows - cells.count(blank)


def relate(tables: Sequence[Table], found: Sequence[Relation]) -> tuple[list[Finding], list[Caution], tuple[str, ...]]:
    """What is said of the relations: a finding, cautions about values without a partner, a command that joins."""
    if not found:
        names = ", ".join(t.name for t in tables)
        text = "No column of one table holds the values of a column of another under a name that fits."
        return [Finding(f"No key joins {names}", text, "some", "Name the columns alike, or join by hand.", "")], [], ()
    lines, cautions = [], []
    for r in found:
        lines.append(f"`{r.left}.{r.left_column}` to `{r.right}.{r.right_column}`: {r.kind}, {count(r.shared)} shared.")
        lost = r.right_values - r.shared
        if lost:
            cautions.append(
                Caution(
                    "unmatched-keys",
                    f"{plural(lost, 'value')} of `{r.right}.{r.right_column}` ({share(lost / r.right_values)}) "
                    f"{'is' if lost == 1 else 'are'} not in `{r.left}.{r.left_column}`: a join loses those rows.",
                )
            )
        if r.kind == "many-to-many":
            cautions.append(
                Caution(
                    "many-to-many",
                    f"`{r.left}.{r.left_column}` and `{r.right}.{r.right_column}` both repeat: a join multiplies rows.",
                )
            )
    first = found[0]
    by_name = {t.name: t for t in tables}
    files = [by_name[n].source or n for n in (first.right, first.left)]
    command: tuple[str, ...] = ()
    if all(Path(f).is_file() for f in files):
        select = (
            f"SELECT * FROM {literal(files[0])} AS a JOIN {literal(files[1])} AS b "
            f"ON a.{_short(first.right_column)} = b.{_short(first.left_column)}"
        )
        command = (f'ambidex profile "{select}"',)
    finding = Finding(
        title=f"`{first.left_column}` of {first.left} and `{first.right_column}` of {first.right} name the same things",
        text=" ".join(lines),
        strength="strong" if first.kind != "many-to-many" else "some",
        so_what="Join on it; count rows before and after, since a key that repeats multiplies them.",
        how_sure="By the names of the columns and by their values, all of them.",
    )
    return [finding], cautions, command


def _short(name: str) -> str:
    # A name in double quotes would end the shell's.
    return name if name.isidentifier() else quote(name).replace('"', '\\"')
