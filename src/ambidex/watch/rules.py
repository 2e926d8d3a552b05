"""Rules: limits that the schema and the reference set, not tests of change.

A share passes its limit only if its exact interval does, so that three odd rows of twenty do not page anyone.
What the schema makes impossible (a value outside its declared limits, half a piece) passes on its first row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ambidex.bundle.reference import slots
from ambidex.records import Column, Schema
from ambidex.stats.claim import Claim, decide
from ambidex.stats.distance import exact_share
from ambidex.stats.estimate import exact
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
        rule: ``schema``, ``missing``, ``unseen``, ``not-a-number``, ``stuck``, ``range`` or ``whole``.
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

    @property
    def level(self) -> Literal["page", "info"]:
        """A column that holds one value is read in the morning: what moves by the month (rates) does so daily."""
        return "info" if self.rule == "stuck" else "page"


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
    each = alpha / max(1, sum(case.limit is not None for case in cases))
    broken = []
    for case in cases:
        name = f"{case.column} {case.rule}"
        if case.limit is None:
            estimate = exact(name, case.count, n=case.rows)
            claim = Claim(measure=name, relation="above", margin=0.0)
        else:
            estimate = exact_share(case.count, case.rows, name=name, alpha=2 * each)
            claim = Claim(measure=name, relation="above", margin=case.limit, alpha=2 * each)
        if decide(claim, estimate).outcome == "supported":
            broken.append(Broken(case.column, case.rule, case.count, f"{case.column}: {case.text}"))
    return broken


@dataclass(frozen=True, slots=True)
class _Case:
    """A rule to try: ``count`` of ``rows`` against a limit on the share; None if none may be there at all."""

    column: str
    rule: str
    count: int
    rows: int
    text: str
    limit: float | None


def _cases(column: Column, entry: Mapping[str, Any], look: ColumnLook) -> Iterator[_Case]:
    name, kinds, limits = column.name, slots(entry), entry["limits"]
    rows = int(look.counts.sum())
    missing = int(look.counts[-1]) - look.not_numbers
    was = int(entry["counts"][-1]) / max(1, sum(entry["counts"]))
    old, new = percents(was, missing / max(1, rows))
    if look.absent:
        yield _Case(name, "schema", look.absent, rows, f"not in {look.absent:,} of {rows:,} rows", limits["missing"])
    text = f"missing {old} → {new}, limit {_percent(limits['missing'])}"
    yield _Case(name, "missing", missing, rows, text, limits["missing"])
    if entry["kind"] == "category":
        unseen = int(look.counts[kinds.index("unseen")])
        shown = f" ({', '.join(repr(v[:40]) for v in look.new)})" if look.new else ""
        share, limit = percents(unseen / max(1, rows), limits["unseen"])
        text = f"{share} of values never seen in training{shown}, limit {limit}"
        yield _Case(name, "unseen", unseen, rows, text, limits["unseen"])
        return
    odd = f", such as {look.odd!r}" if look.odd else ""
    text = f"{look.not_numbers:,} cells are no number{odd}, limit {_percent(limits['not_numbers'])}"
    yield _Case(name, "not-a-number", look.not_numbers, rows, text, limits["not_numbers"])
    yield _stuck(name, entry, look)
    if column.low is not None or column.high is not None:
        extreme = f", such as {number(look.extreme)}" if look.extreme is not None else ""
        text = f"{look.outside:,} values outside {_end(column.low, '−∞')} to {_end(column.high, '∞')}{extreme}"
        yield _Case(name, "range", look.outside, rows, text, None)
    if column.type == "integer":
        yield _Case(name, "whole", look.fractions, rows, f"{look.fractions:,} values are not whole numbers", None)


def _stuck(name: str, entry: Mapping[str, Any], look: ColumnLook) -> _Case:
    """All rows hold one value, which the mean rank cannot see if it is a middling one."""
    there = look.counts[:-1]
    n = int(there.sum())
    usual = np.asarray(entry["counts"][:-1], dtype=float)
    share = float(usual[int(there.argmax())] / usual.sum()) if usual.sum() else 1.0
    value = "" if look.only is None else number(look.only)
    text = f"stuck: all {n:,} values are {value}"
    return _Case(name, "stuck", n if look.only is not None else 0, n, text, (1 + share) / 2)


def _percent(share: float) -> str:
    return percents(share, share)[0]


def _end(limit: float | None, open_: str) -> str:
    return open_ if limit is None else number(limit)
