"""Which earlier answers of a workspace were looks at the same claim."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ambidex.data.sketch import Rows
from ambidex.data.table import Table
from ambidex.insight.experiment_looks import Look

__all__ = ["KEPT", "Ledger", "open_ledger"]

KEPT = "rows_sketch"
"""Where an answer keeps what later looks know its rows by; beside its data, not in it."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the workspace knows of looks at a claim.

    Attributes:
        earlier: Looks on rows that are in this table too, oldest first.
        beside: What the answer keeps for later looks.
    """

    earlier: tuple[Look, ...]
    beside: dict[str, Any]


def open_ledger(
    answers: Iterable[tuple[int, Mapping[str, Any]]], table: Table, *, group: Any, metric: Any, unit: Any
) -> Ledger:
    """Earlier looks at the same claim: same arms and unit, a primary metric in common, rows that this table holds.

    Other options do not make it another claim: a new alpha or covariate on grown data is a look all the same. The
    same rows again are the same look, so what was kept after them does not count: they give the same bytes.

    Args:
        answers: Numbers and kept answers, oldest first.
        table: The table that is asked now.
        group: Column of the arms.
        metric: Primary SPEC or SPECs.
        unit: Column of the units, or None.
    """
    rows = Rows.of(table)
    specs = {metric} if isinstance(metric, str) else set(map(str, metric))
    looks: dict[str, Look] = {}
    for _, answer in answers:
        kept, record = answer.get(KEPT), answer.get("record") or {}
        options = record.get("options") or {}
        if answer.get("verb") != "experiment" or not kept or options.get("group") != str(group):
            continue
        if (answer.get("recommendation") or {}).get("verdict") == "cannot-answer":
            continue  # no verdict was given, so no alpha was spent
        if options.get("unit") != (None if unit is None else str(unit)) or not specs & set(options.get("metric") or ()):
            continue
        if rows.are(kept):
            break
        if kept["content"] not in looks and rows.grew_from(kept):
            looks[kept["content"]] = Look.of(record)
    return Ledger(tuple(looks.values()), {KEPT: rows.sketch})
