"""Checks of an experiment's design: arm sizes, units, what is missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ambidex.data.table import Table
from ambidex.errors import NotFound, UsageError, did_you_mean
from ambidex.insight.experiment_data import Assignment, Reading, codes_of
from ambidex.insight.experiment_words import p_text
from ambidex.report.answer import Caution, Check
from ambidex.report.words import count, listing, plural
from ambidex.stats.checks import sample_ratio

__all__ = ["check_missing", "check_ratio", "check_units", "parse_shares", "pick_control"]

STOP, LOOK = 0.001, 0.01
CONTROLS = ("control", "baseline", "placebo", "a", "0", "false", "none", "no", "off")
ID_NAME = re.compile(
    r"^(?:user|customer|client|member|account|person|player|visitor|patient|household|device|subject|unit|id)s?$"
    r"|(?:[_\- ]|[a-z](?=I))i?[dD]s?$|^[a-z]+(?:_?id|Id|ID)$",
)


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
    text = f"{sizes}; {plan}; {p_text(p)}"
    check = Check("srm", p >= STOP, p, STOP, text, decides=True)
    if STOP <= p < LOOK:
        hint = "units may have been lost or added after assignment" if shares else "say --shares if others were planned"
        return check, [Caution("srm", f"The arm sizes are unlikely under the plan: {text}; {hint}.")]
    return check, []


def check_units(
    table: Table, who: Assignment, unit: str | None, used: Sequence[str], what: str = "rows"
) -> tuple[list[Check], list[Caution]]:
    """Are the units counted once? Checks ``unit`` and, with a unit, ``two-arms``."""
    if unit is not None:
        crossed = len(who.crossed)
        text = "every unit has one arm"
        cautions = []
        if crossed:
            shown = listing([*who.crossed[:3], *(["…"] if crossed > 3 else [])])
            text = f"{plural(crossed, 'unit')} of `{unit}` with rows in two arms, left out ({shown})"
            cautions.append(Caution("two-arms", f"{text[0].upper()}{text[1:]}; they are counted in neither arm."))
        units = Check("unit", True, 0.0, 0.0, f"rows were brought together by `{unit}`")
        return [units, Check("two-arms", crossed == 0, float(crossed), 0.0, text)], cautions
    worst: tuple[int, str, int] | None = None
    for column in table.columns:
        if column in used or not ID_NAME.search(column):
            continue
        codes, labels = codes_of(table, column)
        known = int((codes >= 0).sum())
        repeated = known - len(labels)
        # An id has many values; a flag or a code of a few values that is named like one has not.
        if len(labels) >= max(20, 5 * len(who.labels)) and repeated > 0 and (worst is None or len(labels) > worst[2]):
            worst = repeated, column, len(labels)
    if worst is None:
        return [Check("unit", True, 0.0, 0.0, f"{what} were taken as the units; no column of ids repeats")], []
    repeated, column, labels_ = worst
    text = f"`{column}` has {count(labels_)} values in {count(repeated + labels_)} rows"
    caution = Caution(
        "unit",
        f"{text}: rows of one {column} are not independent, so the intervals may be too narrow; "
        f"run it with --unit {column}.",
    )
    return [Check("unit", False, float(repeated), 0.0, text)], [caution]


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
        checks.append(Check(f"missing {label}", p >= LOOK, p, LOOK, f"without a value: {per_arm}; {p_text(p)}"))
        more = " The arms lack them unequally, which can make a difference where there is none." if p < LOOK else ""
        cautions.append(
            Caution("missing", f"`{label}`: {plural(total, 'unit')} without a value were left out ({per_arm}).{more}")
        )
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
