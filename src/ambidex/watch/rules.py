"""Rules: limits that the schema and the reference set, not tests of change.

A share passes its limit only if its exact interval does, so that three odd rows of twenty do not page anyone.
What the schema makes impossible (a value outside its declared limits, half a piece) passes on its first row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ambidex.bundle.reference import slots
from ambidex.records import Column, Schema
from ambidex.stats.claim import Claim, decide
from ambidex.stats.distance import exact_share
from ambidex.stats.estimate import Estimate, exact
from ambidex.watch.look import ColumnLook, Look
from ambidex.watch.words import number, percents

__all__ = ["RULES_ALPHA", "Broken", "broken_rules"]

RULES_ALPHA = 0.001
"""Chance that a look with every share exactly at its limit passes any of them, where no budget is given."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A broken rule.

    Attributes:
        column: Of which column.
        rule: ``missing``, ``unseen``, ``not-a-number``, ``range`` or ``whole``.
        count: Rows that break it.
        text: Column, count and limit in words.
    """

    column: str
    rule: str
    count: int
    text: str

    @property
    def id(self) -> str:
        """Names the rule of this column."""
        return f"rule:{self.rule}:{self.column}"


def broken_rules(
    reference: Mapping[str, Any], schema: Schema, look: Look, *, alpha: float = RULES_ALPHA
) -> list[Broken]:
    """The rules that a look breaks.

    Args:
        reference: The version's; it keeps the limits.
        schema: Its inputs.
        look: What arrived.
        alpha: One-sided chance, over all rules together, that shares at their limits pass one.
    """
    cases = [
        case
        for column in schema.columns
        for case in _cases(column, reference["columns"][column.name], look.columns[column.name])
    ]
    each = alpha / max(1, sum(limit > 0 for *_, limit in cases))
    broken = []
    for column_name, rule, count, told, limit in cases:
        name = f"{column_name} {rule}"
        estimate = (
            exact_share(count, look.rows, name=name, alpha=2 * each) if limit else _counted(name, count, look.rows)
        )
        claim = Claim(measure=name, relation="above", margin=limit, alpha=2 * each)
        if decide(claim, estimate).outcome == "supported":
            text = told
            if limit:
                text += f", limit {percents(limit, limit)[0]}"
            broken.append(Broken(column_name, rule, count, f"{column_name}: {text}"))
    return broken


def _counted(name: str, count: int, rows: int) -> Estimate:
    return exact(name, count, n=rows)


def _cases(column: Column, entry: Mapping[str, Any], look: ColumnLook) -> Iterator[tuple[str, str, int, str, float]]:
    """(column, rule, count, words, limit on the share; 0 for what must not happen at all)."""
    kinds = slots(entry)
    rows = int(look.counts.sum())
    missing = int(look.counts[-1]) - look.not_numbers
    was = int(entry["counts"][-1]) / max(1, sum(entry["counts"]))
    old, new = percents(was, missing / max(1, rows))
    yield column.name, "missing", missing, f"missing {old} → {new}", entry["limits"]["missing"]
    if entry["kind"] == "category":
        unseen = int(look.counts[kinds.index("unseen")])
        shown = f" ({', '.join(repr(v[:40]) for v in look.new)})" if look.new else ""
        share = percents(unseen / max(1, rows), entry["limits"]["unseen"])[0]
        yield (
            column.name,
            "unseen",
            unseen,
            f"{share} of values never seen in training{shown}",
            entry["limits"]["unseen"],
        )
        return
    odd = f"{look.not_numbers:,} cells are no number" + (f", such as {look.odd!r}" if look.odd else "")
    yield column.name, "not-a-number", look.not_numbers, odd, entry["limits"]["not_numbers"]
    if column.low is not None or column.high is not None:
        limits = f"{_end(column.low, '−∞')} to {_end(column.high, '∞')}"
        extreme = f", such as {number(look.extreme)}" if look.extreme is not None else ""
        yield column.name, "range", look.outside, f"{look.outside:,} values outside {limits}{extreme}", 0.0
    if column.type == "integer":
        yield column.name, "whole", look.fractions, f"{look.fractions:,} values are not whole numbers", 0.0


def _end(limit: float | None, open_: str) -> str:
    return open_ if limit is None else number(limit)
