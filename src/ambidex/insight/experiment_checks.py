"""Checks of an experiment's design: arm sizes, units, exposure, what is missing, what differed before the start."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ambidex.data.table import Table
from ambidex.errors import DataError, NotFound, UsageError, did_you_mean
from ambidex.insight.experiment_clusters import Clusters
from ambidex.insight.experiment_covariates import Covariates
from ambidex.insight.experiment_data import Assignment, Reading, arm_table, unit_codes
from ambidex.insight.experiment_metrics import NEGATION
from ambidex.insight.experiment_repeats import find_repeats
from ambidex.insight.experiment_words import odds
from ambidex.report.answer import Caution, Check
from ambidex.report.words import count, listing, plural, share
from ambidex.stats.checks import sample_ratio
from ambidex.stats.compare import Level, difference, mean_level
from ambidex.stats.families import holm

__all__ = [
    "check_balance",
    "check_exposure",
    "check_missing",
    "check_ratio",
    "check_units",
    "parse_shares",
    "pick_control",
]

STOP, LOOK = 0.001, 0.01
CROSSED = 0.05
"""Share of units in two arms, or exposed to another arm, from which no verdict is given: leaving them out, or
counting them where they were assigned, is then no small correction."""
LOST = 0.05
"""Difference between arms in the share of missing outcomes that stops a verdict, if chance does not make it. What
Works Clearinghouse (2022), Standards Handbook 5.0: about the cautious boundary of differential attrition."""
UNLIKE = 0.1
"""Difference of a covariate between arms, in standard deviations, that stops a verdict if chance does not make it.
Austin (2009), Statistics in Medicine 28: the usual boundary of negligible imbalance."""
CONTROLS = ("control", "baseline", "placebo", "a", "0", "false", "none", "no", "off")


def pick_control(labels: Sequence[str], control: Any, group: str) -> tuple[str, str]:
    """The control's label, and a sentence on how it was picked (empty if it was named).

    Raises:
        NotFound: ``data.no-label``.
    """
    if control is not None:
        name = str(control)
        if name in labels:
            return name, ""
        near = did_you_mean(name, labels)
        raise NotFound(
            "data.no-label",
            f"`{group}` has no label {name!r}{near}",
            where=f"column {group}",
            found=", ".join(labels),
            do=f"--control '{near.split('`')[1] if near else labels[0]}'",
        )
    folded = {label.strip().casefold(): label for label in reversed(labels)}
    for word in CONTROLS:
        if word in folded:
            return folded[word], f"No control was named; {folded[word]} was taken, from its name."
    for word in ("control", "baseline", "placebo", "none", "no "):
        for label in labels:
            if word in label.casefold().replace("_", " "):
                return label, f"No control was named; {label} was taken, from its name."
    denied = [label for label in labels if NEGATION.search(label.replace("_", " "))]
    if len(denied) == 1:
        return denied[0], f"No control was named; {denied[0]} was taken, from its name."
    return labels[0], f"No control was named; {labels[0]} was taken, the first in sort order. --control names another."


def parse_shares(shares: Any, labels: Sequence[str]) -> dict[str, float] | None:
    """Planned shares, from ``A=.5,B=.5`` or a mapping; None for equal ones, empty for ``unknown``.

    Raises:
        UsageError: ``usage.value`` if they cannot be read, are not positive, miss an arm or do not add up to 1.
        NotFound: ``data.no-label`` for an arm that is not there.
    """
    if shares is None:
        return None
    if shares == "unknown":
        return {}
    do = "--shares " + ",".join(f"{label}={1 / len(labels):.4g}" for label in labels)
    pairs: list[tuple[str, Any]]
    if isinstance(shares, str):
        pairs = [(a.strip(), b) for a, _, b in (p.rpartition("=") for p in shares.split(","))]
    elif isinstance(shares, Mapping):
        pairs = [(str(a), b) for a, b in shares.items()]
    else:
        raise UsageError("usage.type", f"shares must be text or a mapping, not {type(shares).__name__}", do=do)
    planned: dict[str, float] = {}
    for label, text in pairs:
        try:
            share = float(text)
        except (TypeError, ValueError):
            share = float("nan")
        if not 0 < share < 1 or label in planned:
            raise UsageError(
                "usage.value",
                f"shares: cannot read {f'{label}=' if label else ''}{str(text)[:40]}",
                found=str(shares)[:200],
                do=do,
            )
        planned[label] = share
    for label in planned:
        if label not in labels:
            raise NotFound(
                "data.no-label",
                f"shares name an arm {label!r} that is not there{did_you_mean(label, labels)}",
                found=", ".join(labels),
                do=do,
            )
    lacking = [label for label in labels if label not in planned]
    total = sum(planned.values())
    if lacking or abs(total - 1) > 0.01:
        why = f"leave out {listing(lacking)}" if lacking else f"add up to {total:.4g}, not to 1"
        raise UsageError("usage.value", f"shares {why}", found=str(shares)[:200], do=do)
    return planned


def check_ratio(
    counts: Mapping[str, int], shares: Mapping[str, float] | None, what: str
) -> tuple[Check, list[Caution]]:
    """Do the arms have their planned sizes? Below .001 no verdict is given, below .01 it is said."""
    sizes = " : ".join(f"{arm} {count(n)}" for arm, n in counts.items()) + f" {what}"
    if shares is not None and not shares:
        text = f"{sizes}; the planned sizes are not known, so nothing was checked"
        return Check("srm", True, None, STOP, text, decides=True), [
            Caution("srm", f"{text}: units lost from one arm would go unnoticed.")
        ]
    p = sample_ratio(counts, shares).p
    plan = "equal arms assumed"
    if shares is not None:
        plan = "planned " + " : ".join(f"{100 * shares[arm] / sum(shares.values()):.4g}%" for arm in counts)
    text = f"{sizes}; {plan}; {odds(p)}"
    check = Check("srm", p >= STOP, p, STOP, text, decides=True)
    if STOP <= p < LOOK:
        hint = "units may have been lost or added after assignment" if shares else "say --shares if others were planned"
        return check, [Caution("srm", f"The arm sizes are unlikely under the plan: {text}; {hint}.")]
    return check, []


def check_units(
    table: Table, who: Assignment, unit: str | None, used: Sequence[str], what: str = "rows", *, clustered: bool = False
) -> tuple[list[Check], list[Caution]]:
    """Are the units counted once? Checks ``unit`` and, with a unit, ``two-arms``."""
    if unit is not None:
        return _two_arms(who, unit)
    fine = [Check("unit", True, 0.0, 0.0, f"{what} were taken as the units; no column of ids repeats")]
    found = find_repeats(table, who, used)
    if found is None:
        return fine, []
    column, text = found
    if clustered:
        if "never changes" not in text:
            return fine, []
        said = f"{text}: `{column}` is perhaps what was assigned, and the interval is then that of --cluster {column}."
        return fine, [Caution("assigned-by", said)]
    run = f"--unit {column}" if "never changes" not in text else f"--cluster {column}, or --unit {column}"
    caution = Caution(
        "unit",
        f"{text}: rows of one {column} are not independent, so the intervals may be too narrow; run it with {run}.",
    )
    return [Check("unit", False, None, 0.0, caution.text)], [caution]


def _two_arms(who: Assignment, unit: str) -> tuple[list[Check], list[Caution]]:
    units = Check("unit", True, 0.0, 0.0, f"rows were brought together by `{unit}`")
    crossed = len(who.crossed)
    if not crossed:
        return [units, Check("two-arms", True, 0.0, 0.0, "every unit has one arm")], []
    part = crossed / (crossed + sum(who.counts))
    shown = listing([*who.crossed[:3], *(["…"] if crossed > 3 else [])])
    text = f"{plural(crossed, 'unit')} of `{unit}` ({share(part)}) with rows in two arms, left out ({shown})"
    caution = Caution("two-arms", f"{text[0].upper()}{text[1:]}; they are counted in neither arm.")
    check = Check("two-arms", False, float(crossed), 0.0, caution.text, decides=part > CROSSED)
    return [units, check], [caution]


def check_exposure(table: Table, who: Assignment, column: str) -> tuple[Check, list[Caution]]:
    """Did the units see what their arm says?

    Where the labels are those of the arms they must agree; else each arm's commonest label is taken as its own.
    Units without a label were not exposed: they are counted, and stay in the arm that they were assigned to.
    """
    counted = arm_table(table, who, column)
    labels = list(counted)
    arms = len(who.labels)
    seen = np.array([counted[v] for v in labels], dtype=np.int64).reshape(-1, arms).T
    varies = 0 if who.unit is None else unit_codes(table, column, who)[2]
    cautions = []
    absent = sum(who.counts) - int(seen.sum())
    if absent:
        cautions.append(
            Caution(
                "not-exposed",
                f"{plural(absent, 'unit')} without `{column}` saw nothing as far as the table knows. They stay in "
                f"their arm, so the effect shown is that of assignment.",
            )
        )
    if not labels:
        raise DataError("data.all-missing", f"`{column}` holds no value at all", where=f"{table.name}, column {column}")
    if set(who.labels) <= set(labels):
        own = [labels.index(a) for a in who.labels]
    else:
        own = [int(i) for i in seen.argmax(axis=1)]
    if len(set(own)) < arms and seen.sum():
        same = labels[max(set(own), key=own.count)]
        text = f"most units of several arms saw the same ({column} {same}), so the arms were not told apart"
        return Check("exposure", False, None, 0.0, text, decides=True), cautions
    right = int(sum(seen[i, j] for i, j in enumerate(own)))
    wrong, all_ = int(seen.sum()) - right, int(seen.sum())
    if varies:
        cautions.append(
            Caution("exposure", f"{plural(varies, 'unit')} saw more than one `{column}`; the first row's was taken.")
        )
    if not wrong:
        return Check("exposure", True, 0.0, 0.0, f"`{column}` agrees with the arm in {plural(all_, 'unit')}"), cautions
    per_arm = ", ".join(
        f"{a} {count(seen[i].sum() - seen[i, own[i]])} of {count(seen[i].sum())}" for i, a in enumerate(who.labels)
    )
    part = wrong / all_
    text = f"{plural(wrong, 'unit')} ({share(part)}) saw another `{column}` than their arm says ({per_arm})"
    caution = Caution("exposure", f"{text}; they are counted in the arm that they were assigned to.")
    return Check("exposure", False, float(wrong), 0.0, caution.text, decides=part > CROSSED), [caution, *cautions]


def check_missing(who: Assignment, readings: Sequence[Reading]) -> tuple[list[Check], list[Caution]]:
    """Units without an outcome, per arm, and whether one arm lacks more of them."""
    checks, cautions = [], []
    for reading in readings:
        label, total = reading.metric.label, sum(reading.missing)
        if reading.unread[0]:
            cells = plural(reading.unread[0], "cell")
            cautions.append(
                Caution("not-numbers", f"`{label}`: {cells} held no number ({reading.unread[1]}) and count as missing.")
            )
        if not total:
            continue
        per_arm = ", ".join(
            f"{arm} {count(m)} of {count(n)}" for arm, m, n in zip(who.labels, reading.missing, who.counts, strict=True)
        )
        p = _missing_p(reading.missing, who.counts)
        lost = [m / n for m, n in zip(reading.missing, who.counts, strict=True)]
        stop = p < STOP and max(lost) - min(lost) >= LOST
        text = f"`{label}`: {plural(total, 'unit')} without a value were left out ({per_arm})."
        if p < LOOK:
            text += f" The arms lack them unequally ({odds(p)}), which can make a difference where there is none."
        checks.append(Check(f"missing {label}", p >= LOOK, p, LOOK, text, decides=stop))
        cautions.append(Caution("missing", text))
    return checks, cautions


def _missing_p(missing: Sequence[int], counts: Sequence[int]) -> float:
    """p-value of equal shares of missing, chi-square over the arms."""
    from scipy import special

    gone, all_ = np.asarray(missing, float), np.asarray(counts, float)
    share = gone.sum() / all_.sum()
    if share in (0.0, 1.0):
        return 1.0
    chi2 = float((((gone - all_ * share) ** 2) / (all_ * share * (1 - share))).sum())
    return float(special.chdtrc(len(counts) - 1, chi2))


def check_balance(
    reading: Reading,
    who: Assignment,
    control: str,
    clusters: Clusters | None = None,
    source: Table | None = None,
    names: Sequence[str] = (),
) -> tuple[Check | None, list[Caution]]:
    """Did the arms differ before the start, beyond what chance leaves? Holm over columns and arms.

    Args:
        reading: One that carries the covariates in its moments.
        who: The arms.
        control: Label of the baseline.
        clusters: If whole clusters have one arm, they are what is compared.
        source: The table, then needed.
        names: Its columns of covariates, then needed.
    """
    columns = reading.covariates
    if not columns or not reading.moments:
        return None, []
    place = who.labels.index(control)
    pairs, p, gaps = [], [], []
    whole = clusters is not None and clusters.whole and source is not None
    for column in columns:
        if whole and clusters is not None and source is not None:
            levels = _by_cluster(source, names, who, clusters, column)
        else:
            levels = [mean_level(m, column) for m in reading.moments]
        for i, arm in enumerate(who.labels):
            e = difference(levels[i], levels[place])
            if i != place and e.p_value is not None:
                pairs.append((column, arm))
                p.append(e.p_value)
                spread = [m.variance(column) for m in (reading.moments[i], reading.moments[place])]
                gaps.append(abs(e.value) / math.sqrt(sum(spread) / 2) if sum(spread) > 0 else 0.0)
    if not p:
        return None, []
    adjusted = holm(p)
    least = float(adjusted.min())
    found = [f"{c} ({a})" for (c, a), q in zip(pairs, adjusted, strict=True) if q < LOOK]
    if not found:
        return Check("balance", True, least, LOOK, "the arms were alike before the start, as far as chance goes"), []
    text = f"the arms differ in {listing(found[:4])} before the start; {odds(least)}"
    caution = Caution(
        "balance",
        f"{text[0].upper()}{text[1:]}. Either the assignment was not random, or these columns were measured after the "
        f"start: a covariate that the treatment can change hides part of its effect.",
    )
    stop = any(q < STOP and gap >= UNLIKE for q, gap in zip(adjusted, gaps, strict=True))
    return Check("balance", False, least, LOOK, caution.text, decides=stop), [caution]


def _by_cluster(source: Table, names: Sequence[str], who: Assignment, clusters: Clusters, column: str) -> list[Level]:
    """Mean of a covariate in each arm, its error from the clusters."""
    from ambidex.stats.clusters import cells_of, cluster_levels

    kept = (who.arm >= 0) & (clusters.codes >= 0)
    values = Covariates.read(source, names, who, kept).columns.get(column)
    out = []
    for i in range(len(who.labels)):
        if values is None:
            out.append(Level(float("nan"), float("nan"), 0, "mean"))
            continue
        cells = cells_of(values[kept], who.arm[kept] == i, clusters.codes[kept])
        level = cluster_levels(cells)[0]
        out.append(Level(level.value, level.se, cells.treated(1), "mean"))
    return out
