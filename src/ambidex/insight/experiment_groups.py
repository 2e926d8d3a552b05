"""The effect in groups of customers: judged as slices, and never named alone unless the groups differ.

Twenty groups in which nothing happens hold one with p < .05. So two things must hold before a group is said to
respond: the test of interaction tells that the groups differ at all, and the group's own claim stands under
Benjamini-Hochberg over all slices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.experiment_clusters import find_clusters, inside
from ambidex.insight.experiment_compare import Family, compare, with_q_values
from ambidex.insight.experiment_data import Reading, arm_table, assign, codes_of, read_metrics
from ambidex.insight.experiment_options import Options
from ambidex.insight.experiment_words import Comparison, Style, arm_name
from ambidex.report.answer import Caution, Figure, Finding
from ambidex.report.words import count, listing, plural
from ambidex.stats.claim import Claim, Verdict, decide_all
from ambidex.stats.estimate import Estimate
from ambidex.stats.heterogeneity import heterogeneity

__all__ = ["Groups", "effects_by_group"]

MOST = 30
"""Labels that a column of groups may have."""
QUARTERS = 12
"""Different numbers from which a column of numbers is cut into quarters."""
LEAST = 20
"""Units that each arm of a slice needs; fewer say nothing worth a line."""


@dataclass
class Groups:
    """What ``--by`` adds to an answer."""

    estimates: list[Estimate] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    cautions: list[Caution] = field(default_factory=list)
    tables: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Slice:
    """One metric and arm in one group of customers."""

    column: str
    label: str
    made: Comparison

    @property
    def name(self) -> str:
        """As shown."""
        return arm_name(self.label, self.column)


def effects_by_group(
    source: Table, asked: Options, primary: Sequence[Reading], comparisons: Sequence[Comparison], settings: Family
) -> Groups:
    """The primary comparisons in each group of each column, and whether groups differ.

    Raises:
        DataError: ``data.column-type`` if a column has too many labels to be groups.
    """
    out = Groups()
    if not asked.by:
        return out
    slices: list[Slice] = []
    for column in asked.by:
        small = []
        for label, part in _parts(source, asked, column):
            made = _slice(part, asked, primary, settings)
            if made is None:
                small.append(label)
            else:
                slices += [Slice(column, label, c) for c in made]
        if small:
            out.cautions.append(
                Caution(
                    "small-groups", f"Too few units in {plural(len(small), 'group')} of `{column}`: {_some(small)}."
                )
            )
        out.cautions += _unstable(source, asked, column)
    if not slices:
        return out
    _judge(out, slices, asked, comparisons, settings)
    return out


def _judge(
    out: Groups, slices: list[Slice], asked: Options, comparisons: Sequence[Comparison], settings: Family
) -> None:
    estimates = with_q_values([replace(s.made.difference, category=s.label) for s in slices])
    claims = [
        replace(s.made.verdict.claim, measure=f"{s.made.verdict.claim.measure}, {s.column} {s.label}") for s in slices
    ]
    verdicts = decide_all(claims, estimates, family="bh")
    slices = [
        replace(s, made=replace(s.made, difference=e, verdict=v))
        for s, e, v in zip(slices, estimates, verdicts, strict=True)
    ]
    families = _families(slices)
    tests = {
        key: heterogeneity(
            [s.made.difference for s in mine],
            name=f"{key[1]}, {key[2]}: difference between groups of {key[0]}",
            alpha=asked.alpha,
        )
        for key, mine in families.items()
    }
    tested = {key: e for key, e in tests.items() if e is not None}
    differ = dict(
        zip(
            tested,
            decide_all([Claim(measure=e.name, alpha=asked.alpha) for e in tested.values()], list(tested.values())),
            strict=True,
        )
    )
    alike = []
    for key, mine in families.items():
        whole = next(c for c in comparisons if c.reading.metric.label == key[1] and c.arm == key[2])
        verdict = differ.get(key)
        if verdict is not None and verdict.outcome == "supported":
            out.findings.append(_differ(key, mine, whole))
        else:
            alike.append((key, mine, whole))
        out.estimates += [replace(s.made.difference, name=f"{key[1]} by {key[0]}") for s in mine]
        if verdict is not None:
            out.verdicts.append(verdict)
            out.estimates.append(verdict.estimate)
    if alike:
        out.findings.append(_alike(alike, others=len(alike) < len(families)))
    out.verdicts += [s.made.verdict for s in slices]
    out.tables["groups"] = [_row(s) for s in slices]


def _families(slices: Sequence[Slice]) -> dict[tuple[str, str, str], list[Slice]]:
    """By column, metric and arm."""
    out: dict[tuple[str, str, str], list[Slice]] = {}
    for s in slices:
        out.setdefault((s.column, s.made.reading.metric.label, s.made.arm), []).append(s)
    return out


def _parts(source: Table, asked: Options, column: str) -> Iterator[tuple[str, Table]]:
    """Each group with its rows."""
    if source.is_large:
        labels = sorted(arm_table(source, assign(source, asked.group, asked.unit), column))
        _check_labels(source, column, labels)
        for label in labels:
            yield label, source.where(column, label)
        return
    codes, labels = _groups(source, column)
    used = source.select(list(dict.fromkeys(asked.used)))
    for i, label in enumerate(labels):
        yield label, used.take(codes == i)


def _groups(source: Table, column: str) -> tuple[NDArray[np.int64], list[str]]:
    """Group of each row, -1 where missing: labels, or quarters of a column of numbers."""
    codes, labels = codes_of(source, column)
    numbers = source.number(column)
    known = numbers[~np.isnan(numbers)]
    if len(labels) > QUARTERS and len(known) > 0.9 * (codes >= 0).sum():
        cuts = np.unique(np.quantile(known, [0.25, 0.5, 0.75], method="lower"))
        cuts = cuts[cuts < known.max()]
        place = np.where(np.isnan(numbers), -1, np.searchsorted(cuts, numbers, side="left"))
        names = [f"up to {cuts[0]:g}", *(f"above {a:g} to {b:g}" for a, b in pairwise(cuts))]
        return place.astype(np.int64), [*names, f"above {cuts[-1]:g}"]
    _check_labels(source, column, labels)
    return codes, labels


def _check_labels(source: Table, column: str, labels: Sequence[str]) -> None:
    if len(labels) > MOST:
        raise DataError(
            "data.column-type",
            f"`{column}` has {count(len(labels))} labels, too many for groups of customers",
            where=f"{source.name}, column {column}",
            found=_some(labels),
            do="name a column of a few groups",
        )
    if len(labels) < 2:
        raise DataError(
            "data.column-type",
            f"`{column}` has one value only, so it makes no groups",
            where=f"{source.name}, column {column}",
            found=_some(labels) or "no value at all",
            do="name a column of several groups",
        )


def _slice(part: Table, asked: Options, primary: Sequence[Reading], settings: Family) -> list[Comparison] | None:
    """The comparisons among these rows; None where there are too few units to say anything."""
    if not part.rows:
        return None
    made: list[Comparison] = []
    try:
        who = assign(part, asked.group, asked.unit)
        clusters = None if asked.cluster is None else find_clusters(part, asked.cluster, who)
        if clusters is not None:
            who = inside(who, clusters)
        if settings.control not in who.labels:
            return None
        for again in read_metrics(part, [r.metric for r in primary], who, asked.covariates).values():
            made += compare(again, who, replace(settings, clusters=clusters, source=part))
    except DataError as e:
        if e.code in ("data.one-arm", "data.small-arm", "data.no-variance", "data.all-missing", "data.cluster",
                      "data.zero-denominator"):  # fmt: skip
            return None
        raise
    made = [c for c in made if min(c.candidate.n, c.baseline.n) >= LEAST]
    return made or None


def _unstable(source: Table, asked: Options, column: str) -> list[Caution]:
    """Units whose rows fall in two groups stand in both."""
    if asked.unit is None or source.is_large:
        return []
    codes, _ = codes_of(source, column)
    units, names = codes_of(source, asked.unit)
    there = (codes >= 0) & (units >= 0)
    low, high = np.full(len(names), np.iinfo(np.int64).max), np.full(len(names), -1)
    np.minimum.at(low, units[there], codes[there])
    np.maximum.at(high, units[there], codes[there])
    moved = int(((high >= 0) & (low != high)).sum())
    if not moved:
        return []
    return [Caution("groups", f"{plural(moved, 'unit')} with rows in two groups of `{column}` stand in both of them.")]


def _differ(key: tuple[str, str, str], mine: list[Slice], whole: Comparison) -> Finding:
    """The groups differ: which of them respond."""
    column, label, arm = key
    style = Style.of(mine[0].made.reading, whole.difference)
    ranked = sorted(mine, key=lambda s: -s.made.difference.value)
    up = [s for s in ranked if s.made.verdict.outcome == "supported"]
    down = [s for s in ranked if s.made.verdict.outcome == "refuted"]
    parts = [f"a rise in {_each(up, style)}"] * bool(up) + [f"a fall in {_each(down, style)}"] * bool(down)
    unclear = len(mine) - len(up) - len(down)
    text = f"Over all it is {style.delta(whole.difference.value)}."
    if unclear:
        text = f"{unclear} of {len(mine)} groups are not clear alone. {text}"
    title = f"The effect of {arm} on {label} differs between groups of {column}"
    title += f": {listing(parts)}" if parts else ""
    return Finding(
        title=title,
        text=text,
        strength="some",
        so_what="Decide by group, and confirm it in a test that was planned for it.",
        how_sure=_how_sure(mine),
        figure=_figure(key, mine, whole, title, told=True),
    )


def _alike(families: list[tuple[tuple[str, str, str], list[Slice], Comparison]], *, others: bool) -> Finding:
    """The groups were not shown to differ, so no group is named; the first family is drawn."""
    columns, metrics, arms = (list(dict.fromkeys(key[i] for key, _, _ in families)) for i in range(3))
    title = f"No sign that the effect of {listing(arms, 'or')} on {listing(metrics, 'or')} differs between groups of "
    title += listing(columns, "or")
    if others:
        title = f"No sign of other differences between groups of {listing(columns, 'or')}"
    key, mine, whole = families[0]
    return Finding(
        title=title,
        text="The differences between the groups are as chance leaves them.",
        strength="weak",
        so_what="Decide for all groups together. None was shown to respond differently.",
        how_sure=_how_sure(mine),
        figure=_figure(key, mine, whole, title, told=False),
    )


def _how_sure(mine: list[Slice]) -> str:
    return (
        f"{100 * mine[0].made.difference.level:.3g}% intervals. A group is named only if the groups differ, and if it "
        f"is clear after all of them are counted."
    )


def _figure(
    key: tuple[str, str, str], mine: list[Slice], whole: Comparison, title: str, *, told: bool
) -> Figure | None:
    column, label, arm = key
    shares = whole.difference.unit == "share"
    rows = tuple(
        {
            "label": s.name,
            "value": s.made.difference.value,
            "low": s.made.difference.low,
            "high": s.made.difference.high,
            "n": s.made.difference.n,
            "clear": told and s.made.verdict.outcome != "open",
        }
        for s in sorted(mine, key=lambda s: -s.made.difference.value)
        if math.isfinite(s.made.difference.low) and math.isfinite(s.made.difference.high)
    )
    if not rows:
        return None
    if not told:
        rows = tuple({k: v for k, v in r.items() if k != "clear"} for r in rows)
    return Figure(
        form="effect-bars" if told else "interval-dots",
        title=f"{label}, {arm} against {whole.control}, by {column}",
        subtitle=f"{'percentage points' if shares else 'difference'}, with "
        f"{100 * mine[0].made.difference.level:.3g}% intervals",
        unit="points" if shares else label,
        rows=rows,
        sentence=title + ".",
        less=f"less {label}",
        more=f"more {label}",
    )


def _each(slices: Sequence[Slice], style: Style) -> str:
    shown = [f"{s.name} ({style.delta(s.made.difference.value)})" for s in slices[:3]]
    return listing([*shown, *([f"{len(slices) - 3} more"] if len(slices) > 3 else [])])


def _row(s: Slice) -> dict[str, Any]:
    e = s.made.difference
    return {
        "groups of": s.column,
        "group": s.label,
        "metric": s.made.reading.metric.label,
        "arm": s.made.arm,
        "units": e.n,
        "difference": e.value,
        "low": e.low if math.isfinite(e.low) else None,
        "high": e.high if math.isfinite(e.high) else None,
        "q": e.q_value,
    }


def _some(labels: Sequence[str]) -> str:
    return ", ".join([*labels[:4], *(["…"] if len(labels) > 4 else [])])
