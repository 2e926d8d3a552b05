"""Which columns may say whom to treat: none that the arms differ in, none that knows the outcome.

A column that was measured after the treatment tells apart those who responded, and cannot be had of anybody who was
not treated yet. Two things give it away, and each is a claim of its own: the treatment moved it, or it tells the
outcome too well.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.table import Table
from ambidex.insight.experiment_data import Assignment
from ambidex.report.answer import Caution
from ambidex.report.words import listing
from ambidex.stats.claim import Claim, Verdict, decide, decide_all
from ambidex.stats.compare import Level, difference, share_difference
from ambidex.stats.discrimination import delong
from ambidex.stats.estimate import Estimate

__all__ = ["Known", "known_before", "moved", "named", "tells"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

DOUBT = 0.01
"""Alpha of "the arms differ in it", each column for itself: to lose a good column once in a hundred costs little, to
take one that the treatment moved spoils the choice."""
LEVELS = 12
"""Labels, most frequent first, whose shares are compared between the arms."""
LEAST = 10
"""Units of an arm below which nothing is compared."""
TELLS = 0.80
"""Area under the ROC curve from which a column alone tells the outcome so well that it may be a part of it."""
FEW = 20
"""Units with the rarer outcome below which no column is said to tell it."""


@dataclass(frozen=True)
class Known:
    """Columns sorted by whether they can be known before.

    Attributes:
        names: Those that may be used, in the table's order.
        cautions: What was left out, and why.
    """

    names: tuple[str, ...]
    cautions: tuple[Caution, ...]


def known_before(source: Table, names: list[str], who: Assignment, outcome: Floats) -> Known:
    """Sort columns that nobody has said anything about.

    Args:
        source: The table.
        names: The columns.
        who: Arms drawn by lot, one row a unit.
        outcome: Of each row, NaN where missing, shape (rows,).
    """
    kept, shifted, telling = [], [], []
    for name in names:
        if moved(source, name, who) is not None:
            shifted.append(name)
        elif tells(source, name, outcome) is not None:
            telling.append(name)
        else:
            kept.append(name)
    cautions = []
    if shifted:
        one = len(shifted) == 1
        cautions.append(
            Caution(
                "after-treatment",
                f"{named(shifted)} {'differs' if one else 'differ'} between the arms more than a lottery leaves: "
                f"{'it was' if one else 'they were'} measured after the treatment, or moved by it, and cannot say whom "
                f"to treat next. Left out; --covariate puts {'it' if one else 'one'} back.",
            )
        )
    if telling:
        one = len(telling) == 1
        cautions.append(
            Caution(
                "after-the-fact",
                f"{named(telling)} {'tells' if one else 'tell'} the outcome so well (AUC above {TELLS:.2f}) that "
                f"{'it' if one else 'each'} may be a part of it, known only afterwards. Left out; --covariate puts "
                f"{'it' if one else 'one'} back.",
            )
        )
    return Known(tuple(kept), tuple(cautions))


def moved(source: Table, name: str, who: Assignment) -> Verdict | None:
    """The claim that the arms differ in a column, if it holds: in its mean, its commonest values, or what is missing.

    Args:
        source: The table.
        name: The column.
        who: Arms, one row a unit.

    Returns:
        The verdict of the part that differs most, None where chance explains all of them.
    """
    values, absent = _read(source, name)
    parts: list[tuple[str, Estimate]] = []
    first, *others = [who.arm == i for i in range(len(who.labels))]
    for label, arm in zip(who.labels[1:], others, strict=True):
        if min(int(first.sum()), int(arm.sum())) < LEAST:
            continue
        against = f"{label} against {who.labels[0]}"
        if absent.any():
            parts.append((f"{name} missing, {against}", _share(absent, arm, first)))
        if values.dtype.kind == "f":
            a, b = (values[p & ~absent] for p in (arm, first))
            if min(len(a), len(b)) >= LEAST:
                parts.append((f"mean of {name}, {against}", difference(_level(a), _level(b), name=name)))
        parts += [(f"{name} = {v}, {against}", _share(values == v, arm, first)) for v in _common(values, absent)]
    if not parts:
        return None
    claims = [Claim(measure=text, relation="above", margin=0.0, alpha=DOUBT) for text, _ in parts]
    found = [v for v in decide_all(claims, [e for _, e in parts], family="bonferroni") if v.outcome != "open"]
    return max(found, key=lambda v: abs(v.estimate.value) / (v.estimate.se or 1.0), default=None)


def tells(source: Table, name: str, outcome: Floats) -> Verdict | None:
    """The claim that a column alone tells the outcome with an AUC above ``TELLS``, if it holds.

    The outcome is split at its most frequent value where half of the rows have it (nothing bought), else at its
    median. A column of labels scores by each label's share of *yes*, read on the other half of the rows.

    Args:
        source: The table.
        name: The column.
        outcome: Of each row, NaN where missing, shape (rows,).
    """
    values, absent = _read(source, name)
    known = np.isfinite(outcome)
    yes = _split(outcome, known)
    rows = np.flatnonzero(known)
    if min(int(yes[rows].sum()), int((~yes[rows]).sum())) < FEW:
        return None
    if values.dtype.kind == "f":
        lowest = float(values[~absent].min()) if not absent.all() else 0.0
        score = np.where(absent, lowest - 1.0, values)[rows]
    else:
        score = _by_label(values[rows], yes[rows])
    e = delong(yes[rows], score, name=f"AUC of {name}")
    if np.isfinite(e.value) and e.value < 0.5 and values.dtype.kind == "f":
        e = delong(yes[rows], -score, name=f"AUC of {name}")
    verdict = decide(Claim(measure=f"how well {name} alone tells the outcome, AUC", margin=TELLS), e)
    return verdict if verdict.outcome == "supported" else None


def _read(source: Table, name: str) -> tuple[npt.NDArray[Any], Flags]:
    """Numbers with NaN or labels with None, and which are missing."""
    if source.facts(name).type in ("number", "integer"):
        numbers = source.number(name)
        return numbers, ~np.isfinite(numbers)
    texts = source.text(name)
    return texts, np.fromiter((t is None for t in texts), dtype=bool, count=len(texts))


def _common(values: npt.NDArray[Any], absent: Flags) -> list[Any]:
    """Values whose shares are compared: labels; of a number the commonest, where a tenth of the rows have it."""
    there = values[~absent]
    if values.dtype.kind != "f":
        return [v for v, _ in Counter(there.tolist()).most_common(LEVELS)]
    distinct, counts = np.unique(there, return_counts=True)
    if len(distinct) < 2 or counts.max() < len(there) / 10:
        return []
    return [float(distinct[counts.argmax()])]


def _share(yes: Flags, arm: Flags, base: Flags) -> Estimate:
    return share_difference(int(yes[arm].sum()), int(arm.sum()), int(yes[base].sum()), int(base.sum()))


def _level(values: Floats) -> Level:
    return Level(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), len(values), "mean")


def _split(outcome: Floats, known: Flags) -> Flags:
    seen = outcome[known]
    distinct, counts = np.unique(seen, return_counts=True)
    if len(distinct) and counts.max() >= len(seen) / 2:
        return np.asarray(known & (outcome != distinct[counts.argmax()]))
    middle = float(np.median(seen)) if len(seen) else 0.0
    return np.asarray(known & (outcome > middle))


def _by_label(labels: npt.NDArray[Any], yes: Flags) -> Floats:
    """Share of yes among the other half's rows with the label, so that no row helps to score itself."""
    code = np.unique(np.array([str(v) for v in labels]), return_inverse=True)[1]
    half = np.arange(len(code)) % 2
    size, base = int(code.max(initial=0)) + 1, float(yes.mean())
    out = np.empty(len(code))
    for h in (0, 1):
        other = half != h
        rows = np.bincount(code[other], minlength=size)
        hits = np.bincount(code[other], weights=yes[other], minlength=size)
        out[half == h] = ((hits + base) / (rows + 1))[code[half == h]]
    return out


def named(names: Sequence[str], most: int = 6) -> str:
    """Columns by name, the rest counted.

    >>> named(list("abcd"), 2)
    '`a`, `b` and 2 more'
    """
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return listing([f"`{c}`" for c in names[:most]] + more)
