"""The design of an experiment before its result: all checks, and the cautions that temper what is concluded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ambidex.data.table import Table
from ambidex.insight.experiment_checks import (
    check_balance,
    check_exposure,
    check_missing,
    check_ratio,
    check_units,
)
from ambidex.insight.experiment_clusters import Clusters, check_clusters
from ambidex.insight.experiment_compare import ratio_by_rows
from ambidex.insight.experiment_data import Assignment, Reading
from ambidex.insight.experiment_options import Options
from ambidex.insight.experiment_repeats import find_copies
from ambidex.insight.experiment_words import Comparison, Style
from ambidex.report.answer import Caution, Check
from ambidex.report.words import count, listing
from ambidex.stats.compare import difference

__all__ = ["cautions_of", "check_design", "guard_cautions", "is_firm"]

FEW_UNITS = 10
"""Units in an arm below which a mean's interval leans on the shape of the values."""
FEW_NON_ZERO = 30
"""Units other than zero in an arm of many, below which a mean is the sum of a few."""
FEW_CLUSTERS = 6
TEMPERING = (
    "srm", "unit", "two-arms", "outliers", "small-cells", "exposure", "balance", "copies", "clusters", "novelty",
    "assigned-by", "few-units", "constant-arm", "ties",
)  # fmt: skip
"""Cautions under which no evidence is called strong."""


def check_design(
    source: Table,
    asked: Options,
    who: Assignment,
    base: str,
    planned: dict[str, float] | None,
    clusters: Clusters | None,
    readings: list[Reading],
) -> tuple[list[Check], list[Caution]]:
    """Arm sizes, units, clusters, exposure, missing outcomes, balance; in this order."""
    trials = next((r for r in readings if r.metric.kind == "trials" and r.yes is not None), None)
    if clusters is not None and clusters.whole:
        # Clusters were dealt to the arms; their units come along, and vary by more than a deal of units would.
        ratio, cautions = check_ratio(
            dict(zip(who.labels, clusters.sizes, strict=True)), planned, f"clusters of `{clusters.column}`"
        )
    elif trials is not None and trials.yes is not None and asked.unit is None:
        sizes = dict(zip(who.labels, (n for _, n in trials.yes), strict=True))
        ratio, cautions = check_ratio(sizes, planned, f"trials of `{trials.metric.per}`")
    else:
        ratio, cautions = check_ratio(dict(zip(who.labels, who.counts, strict=True)), planned, "units")
    checks = [ratio]
    rows = "rows" if trials is None else "trials"
    units, more = check_units(source, who, asked.unit, asked.used, rows, clustered=clusters is not None)
    checks += units
    cautions += more
    if asked.unit is None:
        copies, more = find_copies(source)
        if copies is not None:
            checks = [replace(c, passed=False, value=copies.value, text=copies.text) if c.name == "unit" else c
                      for c in checks]  # fmt: skip
            checks.append(copies)
        cautions += more
    if clusters is not None:
        enough, more = check_clusters(clusters, who)
        checks.append(enough)
        cautions += more
    if asked.exposure is not None:
        exposed, more = check_exposure(source, who, asked.exposure)
        checks.append(exposed)
        cautions += more
    missing, more = check_missing(who, readings)
    checks += missing
    cautions += more
    if asked.covariates:
        balance, more = check_balance(readings[0], who, base, clusters, source, asked.covariates)
        checks += [balance] if balance else []
        cautions += more
    if who.unassigned:
        what = f"`{asked.group}`" if asked.unit is None else f"`{asked.group}` or `{asked.unit}`"
        cautions.append(Caution("unassigned", f"{count(who.unassigned)} rows without {what} were left out."))
    return checks, cautions


def is_firm(checks: Sequence[Check], cautions: Sequence[Caution]) -> bool:
    """True if nothing about the design tempers what the numbers say."""
    lost = any(not c.passed and c.name.startswith("missing ") for c in checks)
    return not lost and not any(c.code in TEMPERING for c in cautions)


def cautions_of(
    comparisons: Sequence[Comparison],
    who: Assignment,
    picked: str,
    asked: Options,
    readings: Sequence[Reading],
    read_cautions: Sequence[tuple[str, str]],
) -> list[Caution]:
    """What the reader must know of the comparisons."""
    out = [Caution(code, text) for code, text in read_cautions]
    if picked:
        out.append(Caution("control", picked))
    out += _thin(comparisons, asked, who.labels)
    small = list(dict.fromkeys(c.reading.metric.label for c in comparisons if "Fisher" in c.difference.method))
    if small:
        out.append(
            Caution(
                "small-cells", f"{listing(small)}: fewer than 5 are expected in a cell, so p is Fisher's exact one."
            )
        )
    plain = list(dict.fromkeys(c.reading.metric.label for c in comparisons if c.difference.adjusted is None))
    if asked.covariates and plain:
        named = listing([f"`{c}`" for c in asked.covariates])
        quantiles = all(c.reading.metric.kind == "quantile" for c in comparisons if c.difference.adjusted is None)
        why = "a quantile is not adjusted" if quantiles else f"too few units for {named}, or they do not vary"
        out.append(Caution("not-adjusted", f"{listing(plain)} was not adjusted for {named}: {why}."))
    if asked.cluster is not None:
        out += _beside_clusters(comparisons[0], who, asked)
    for r in readings:
        if r.metric.value is not None and "=" not in r.metric.spec:
            out.append(Caution("yes", f"`{r.metric.label}`: the share is that of {r.metric.value!r}."))
        if r.averaged:
            out.append(
                Caution(
                    "averaged",
                    f"`{r.metric.label}`: a unit with several rows enters once, with their mean; "
                    f"{r.metric.column}:count compares totals of counts.",
                )
            )
    trials = [c for c in comparisons if c.reading.metric.kind == "trials" and asked.unit is None]
    out += [_trials(c, who.labels, asked) for c in trials]
    return out


def _thin(comparisons: Sequence[Comparison], asked: Options, arms: Sequence[str]) -> list[Caution]:
    """Intervals that rest on little: few units, an arm in which nothing varies, ties, few deals of clusters."""
    few: dict[str, str] = {}
    flat: dict[str, str] = {}
    tied: dict[str, str] = {}
    dealt: dict[str, str] = {}
    for c in comparisons:
        kind, e, label = c.reading.metric.kind, c.difference, c.reading.metric.label
        sides = ((c.arm, c.candidate), (c.control, c.baseline))
        finite = math.isfinite(e.low) and math.isfinite(e.high)
        if kind == "quantile" and finite and e.low == e.high:
            tied.setdefault(label, f"`{label}`: so many units share one value that the interval has no width. A "
                f"quantile moves in steps here and cannot show a small shift; compare `{c.reading.metric.column}` "
                "as a mean.")  # fmt: skip
        if asked.cluster is None and kind not in ("quantile", "trials") and e.unit != "share":
            least = min(sides, key=lambda s: s[1].n)
            if least[1].n < FEW_UNITS:
                few.setdefault(label, f"{label}: {least[0]} has {count(least[1].n)} units. So few bear an interval "
                    "only if the values are spread like a normal curve.")  # fmt: skip
            elif kind == "mean" and c.reading.values:
                carried = [(int(np.count_nonzero(c.reading.values[i])), arms[i]) for i in _places(c, arms)]
                if (other := min(carried))[0] < FEW_NON_ZERO and least[1].n > 4 * FEW_NON_ZERO:
                    few.setdefault(label, f"{label}: only {count(other[0])} units of {other[1]} are not zero, so its "
                        "mean is the sum of a few. The interval leans on each of them.")  # fmt: skip
        if kind in ("mean", "share", "count"):
            same = [s for s in sides if s[1].n > 1 and (s[1].se == 0 or (kind == "share" and s[1].value in (0, 1)))]
            if len(same) == 1 and same[0][1].n >= FEW_UNITS:
                arm, level = same[0]
                flat.setdefault(label, f"{label} is {level.value:g} for all {count(level.n)} units of {arm}. If it "
                    f"was not recorded there, nothing can be compared.")  # fmt: skip
        if asked.cluster is not None and c.clusters and c.clusters >= FEW_CLUSTERS and not finite:
            dealt.setdefault("", f"{count(c.clusters)} clusters of `{asked.cluster}` can be dealt to the arms in too "
                "few ways for a p-value below alpha, or they do not differ. The verdict stays open.")  # fmt: skip
    named = (("few-units", few), ("constant-arm", flat), ("ties", tied), ("clusters", dealt))
    return [Caution(code, text) for code, found in named for text in found.values()]


def guard_cautions(guarded: Sequence[Comparison]) -> list[Caution]:
    """Guardrails that watch one side while the metric moved clearly, and far, to the other."""
    out = []
    for c in guarded:
        e, claim = c.difference, c.verdict.claim
        bound = abs(claim.margin)
        falls = claim.relation == "above"
        if (e.low > bound) if falls else (e.high < -bound):
            label, style = c.reading.metric.label, Style.of(c.reading, e)
            moved, watched, harm = ("rose", "fall", "rise") if falls else ("fell", "rise", "fall")
            margin = bound if falls else -bound
            out.append(
                Caution(
                    "guardrail-side",
                    f"{label} {moved} with {c.arm} ({style.delta(e.value)}, {style.range(e.low, e.high)}), and its "
                    f"guardrail watches for a {watched} only. If a {harm} is the harm here, write its margin as "
                    f"{margin:g}.",
                )
            )
    return out


def _beside_clusters(c: Comparison, who: Assignment, asked: Options) -> list[Caution]:
    """The interval that takes units as independent, beside that of clusters."""
    e, kind = c.difference, c.reading.metric.kind
    if kind == "quantile" or asked.covariates or not math.isfinite(e.high - e.low):
        return []
    candidate, baseline = (c.reading.levels[i] for i in _places(c, who.labels))
    naive = difference(candidate, baseline, alpha=asked.alpha)
    if not math.isfinite(naive.high - naive.low) or naive.high == naive.low:
        return []
    style, times = Style.of(c.reading, e), (e.high - e.low) / (naive.high - naive.low)
    return [
        Caution(
            "clustered",
            f"By clusters of `{asked.cluster}` the interval is {times:.2g} times as wide as with units taken as "
            f"independent ({style.range(naive.low, naive.high)}).",
        )
    ]


def _trials(c: Comparison, arms: Sequence[str], asked: Options) -> Caution:
    """Trials as units, and beside it what rows as units would say."""
    label, per = c.reading.metric.label, c.reading.metric.per
    text = f"`{label}`: each trial of `{per}` was taken as a unit of its own."
    e = ratio_by_rows(c.reading, *_places(c, arms), {"alpha": asked.alpha})
    width, wide = c.difference.high - c.difference.low, e.high - e.low
    if 0 < width < float("inf") and wide < float("inf"):
        style = Style.of(c.reading, c.difference)
        text += (
            f" With rows as the units ({c.arm}), the difference is {style.delta(e.value)} "
            f"({style.range(e.low, e.high)}), an interval {wide / width:.2g} times as wide: the one to use if trials "
            f"of a row go together."
        )
    return Caution("trials", text)


def _places(c: Comparison, arms: Sequence[str]) -> tuple[int, int]:
    return arms.index(str(c.difference.arm)), arms.index(str(c.difference.control))
