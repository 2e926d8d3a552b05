"""Drift, looked at once: a table against the reference of a version. Nothing is stored."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ambidex.data.table import Table
from ambidex.errors import UsageError
from ambidex.records import Schema
from ambidex.report.answer import Mark
from ambidex.stats import laws
from ambidex.stats.claim import Claim, Verdict, decide_all
from ambidex.stats.distance import chi2_p, furthest, rank_distance, rank_sum_p, share_distance
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.families import benjamini_hochberg
from ambidex.watch.look import ColumnLook, Look, look_at_table
from ambidex.watch.rules import Broken, broken_rules
from ambidex.watch.words import distance, move, p_text, part_names

__all__ = ["DriftLook", "column_p", "column_parts", "drift", "look_for_drift"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftLook:
    """What one look at a table says.

    Attributes:
        verdict: ``drifted`` if a column lies outside its margin or a rule is broken; ``none`` if every column
            lies inside; ``open`` if rows are too few to tell for some.
        text: The same in a sentence.
        rows: Rows looked at.
        reference_rows: Rows of the reference.
        columns: One dict a column: ``name``, ``drifted``, ``size``, ``low``, ``high``, ``margin``, ``p_value``,
            ``q_value``, ``outcome``, ``what``.
        alerts: Broken rules, as {``id``, ``level``, ``text``, ``since``}.
        cautions: (code, text) on cells that the model would refuse or read as missing.
        verdicts: The claims "outside ±margin", one a column.
    """

    verdict: Literal["none", "drifted", "open"]
    text: str
    rows: int
    reference_rows: int
    columns: tuple[dict[str, Any], ...]
    alerts: tuple[dict[str, Any], ...] = ()
    cautions: tuple[tuple[str, str], ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def passed(self) -> bool:
        """False if a column lies outside its margin or a rule is broken (exit 4)."""
        return self.verdict != "drifted"

    @property
    def lines(self) -> tuple[tuple[Mark, str], ...]:
        """For the terminal: the answer, then the columns that moved and the broken rules."""
        mark: Mark = "■" if not self.passed else "✓" if self.verdict == "none" else "▲"
        moved = sorted((c for c in self.columns if c["drifted"]), key=lambda c: -abs(c["size"] or 0))
        width = max((len(c["name"]) for c in moved), default=0)
        rows: list[tuple[Mark, str]] = [
            (
                " ",
                f"{c['name']:<{width}}  {distance(c['size'])} [{distance(c['low'])}, {distance(c['high'])}]  "
                f"{p_text(c['p_value'])}  {c['what']}",
            )
            for c in moved
        ]
        return ((mark, self.text), *rows)

    def to_dict(self) -> dict[str, Any]:
        """``data`` of the JSON contract."""
        return {
            "state": {"none": "inside", "open": "too-few-rows", "drifted": "outside"}[self.verdict],
            "verdict": self.verdict,
            "text": self.text,
            "rows": self.rows,
            "reference_rows": self.reference_rows,
            "columns": [dict(c) for c in self.columns],
            "alerts": [dict(a) for a in self.alerts],
            "verdicts": [v.to_dict() for v in self.verdicts],
            "cautions": [{"code": code, "text": text} for code, text in self.cautions],
        }


def drift(
    reference: Mapping[str, Any], schema: Schema, table: Table, *, margin: float = 0.02, alpha: float = 0.05
) -> dict[str, Any]:
    """``look_for_drift`` as ``data`` of the JSON contract."""
    return look_for_drift(reference, schema, table, margin=margin, alpha=alpha).to_dict()


def look_for_drift(
    reference: Mapping[str, Any], schema: Schema, table: Table, *, margin: float = 0.02, alpha: float = 0.05
) -> DriftLook:
    """Does a table look like what the version was measured on?

    Each column makes one claim, "its distance is outside ±margin", at alpha over the number of columns
    (Bonferroni, so that all intervals shown have one level): the chance that any column is called outside
    though none is, is at most alpha. The p-value beside it asks another question, whether anything changed
    at all; in many rows it always has.

    Args:
        reference: From the version's bundle.
        schema: Its inputs.
        table: The rows to look at.
        margin: Distance that counts, a share in (0, 0.5).
        alpha: Error rate of the whole look, in (0, 1).

    Raises:
        UsageError: ``usage.value`` for a margin or alpha outside its range.
        DataError: ``data.empty``, or ``data.schema`` for a column that is missing or holds text for numbers.

    Example:
        >>> import pyarrow as pa
        >>> from ambidex.bundle.reference import make_reference
        >>> from ambidex.records import Column
        >>> of = Schema(columns=(Column(name="plan", type="category"),), target="left", task="binary")
        >>> then = Table("then", None, pa.table({"plan": ["basic", "plus"] * 500}))
        >>> now = Table("now", None, pa.table({"plan": ["basic", "plus", "plus"] * 300}))
        >>> look_for_drift(make_reference(then, of), of, now).columns[0]["what"]
        'basic 50% → 33%'
    """
    if not 0 < margin < 0.5:
        raise UsageError("usage.value", f"margin {margin} is not between 0 and 0.5", do="--margin 0.02")
    if not 0 < alpha < 1:
        raise UsageError("usage.value", f"alpha {alpha} is not between 0 and 1", do="--alpha 0.05")
    look = look_at_table(reference, schema, table)
    names = list(schema.names)
    entries = [reference["columns"][name] for name in names]
    each = alpha / max(1, len(names))
    estimates = [
        furthest(column_parts(name, entry, look.columns[name]), margin=margin, alpha=each)
        for name, entry in zip(names, entries, strict=True)
    ]
    claims = [Claim(measure=name, relation="outside", margin=margin, alpha=alpha) for name in names]
    verdicts = decide_all(claims, estimates, family="bonferroni")
    broken = broken_rules(reference, schema, look)
    p_values = [column_p(entry, look.columns[name]) for name, entry in zip(names, entries, strict=True)]
    q_values = benjamini_hochberg([math.nan if p is None else p for p in p_values])
    columns = tuple(
        _column(entry, look.columns[name], verdict, p, float(q), [b for b in broken if b.column == name])
        for name, entry, verdict, p, q in zip(names, entries, verdicts, p_values, q_values, strict=True)
    )
    outside = sum(v.outcome == "supported" for v in verdicts)
    undecided = [v for v in verdicts if v.outcome == "open"]
    verdict: Literal["none", "drifted", "open"] = "drifted" if outside or broken else "open" if undecided else "none"
    return DriftLook(
        verdict=verdict,
        text=_text(len(names), outside, undecided, broken, margin, int(reference["rows"])),
        rows=look.rows,
        reference_rows=int(reference["rows"]),
        columns=columns,
        alerts=tuple({"id": b.id, "level": b.level, "text": b.text, "since": None} for b in broken),
        cautions=_cautions(schema, look),
        verdicts=tuple(verdicts),
    )


def column_parts(name: str, entry: Mapping[str, Any], look: ColumnLook) -> list[Estimate]:
    """A column's distances: a number's mean mid-rank and its missing share; a category's share of each level."""
    then, now = [int(x) for x in entry["counts"]], [int(x) for x in look.counts]
    total_then, total_now = sum(then), sum(now)
    parts = []
    for slot, part in enumerate(part_names(entry)):
        if part is None:
            parts.append(rank_distance(then, now, name=name))
            continue
        at = len(now) - 1 if entry["kind"] == "number" else slot
        parts.append(share_distance(now[at], total_now, then[at], total_then, name=name, category=part))
    return parts


def column_p(entry: Mapping[str, Any], look: ColumnLook) -> float | None:
    """p-value of "nothing changed": chi2 on the merged cells; for numbers twice the smaller of it and the rank-sum."""
    if entry["kind"] == "category":
        return chi2_p(entry["counts"], look.counts)
    both = [
        p
        for p in (
            chi2_p(entry["counts"], look.counts, ordered=True),
            rank_sum_p(entry["counts"][:-1], look.counts[:-1]),
        )
        if p is not None
    ]
    return min(1.0, len(both) * min(both)) if both else None


def _column(
    entry: Mapping[str, Any], look: ColumnLook, verdict: Verdict, p: float | None, q: float, broken: Sequence[Broken]
) -> dict[str, Any]:
    e = verdict.estimate
    what = [move(entry, look.counts, e.category, quartiles=look.quartiles)]
    for rule in (b.text.partition(": ")[2] for b in broken):
        what = [w for w in what if not rule.startswith(w)] + [rule]
    return {
        "name": e.name,
        "drifted": verdict.outcome == "supported" or bool(broken),
        "size": finite(e.value),
        "low": finite(e.low),
        "high": finite(e.high),
        "margin": verdict.claim.margin,
        "p_value": p,
        "q_value": finite(q),
        "outcome": {"supported": "outside", "refuted": "inside", "open": "open"}[verdict.outcome],
        "what": "; ".join(what),
    }


def _text(
    columns: int, outside: int, undecided: Sequence[Verdict], broken: Sequence[Broken], margin: float, m: int
) -> str:
    rules = f"{len(broken)} rule{'s' * (len(broken) != 1)} broken" if broken else ""
    shown = f"±{margin:.3f}".replace("0.", ".")
    if outside or broken:
        head = f"{outside} of {columns} columns outside {shown}"
        return f"{head}; {rules}" if rules else head
    if undecided:
        return f"no column outside {shown}; {len(undecided)} of {columns} undecided, {_needed(undecided, margin, m)}"
    return f"all {columns} columns inside {shown}"


def _needed(undecided: Sequence[Verdict], margin: float, m: int) -> str:
    """Live rows that would put the open columns inside if nothing has moved; the reference's own error stays."""
    most = 0.0
    for verdict in undecided:
        e = verdict.estimate
        if e.law is None or not e.se or e.n == 0 or m == 0:
            continue
        z = laws.normal_quantile(1 - (1 - e.level) / e.law.among / 2)
        spread = e.se**2 * e.n * m / (e.n + m)  # se² = spread·(1/n + 1/m)
        room = margin**2 / (z * z * spread) - 1 / m
        if room <= 0:
            return f"and the reference's own {m:,} rows are too few to tell"
        most = max(most, 1 / room)
    return f"about {math.ceil(most):,} rows would tell" if most else "too few rows to tell"


def _cautions(schema: Schema, look: Look) -> tuple[tuple[str, str], ...]:
    """Cells that the model would refuse, or read as missing."""
    out = []
    for column in schema.columns:
        seen = look.columns[column.name]
        if seen.not_numbers:
            text = f"{column.name}: {seen.not_numbers:,} cells are no number (such as {seen.odd!r}), counted as missing"
            out.append(("not-a-number", text))
        absent = int(seen.counts[-1]) - seen.not_numbers
        if absent and not column.nullable:
            text = (
                f"{column.name}: {absent:,} values are missing; it had none in training, so `score` refuses those rows"
            )
            out.append(("missing", text))
    return tuple(out)
