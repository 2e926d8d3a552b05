"""Inputs beyond their margin: evidence that grows look by look, against the fixed reference.

Each column is watched by gauges, scores in [0, 1] of each row: a number by its mid-rank and a missing flag, a
category by a flag a level, and each of them turned round for the other direction. A gauge's limit is the
reference's mean plus the margin plus the reference's own error. For each gauge and bet size one R: it starts at
0, each look makes it (R+1)·e, and the mean of all R reaches L/B by chance at most once in L/B looks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.bundle.reference import mid_ranks
from ambidex.stats.detection import LAMBDAS, distance_sequence, log_bets, upper_mean
from ambidex.stats.distance import furthest
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import mean_evidence, step
from ambidex.watch.words import part_names

__all__ = [
    "REFERENCE_ALPHA",
    "Gauge",
    "column_state",
    "distance_of",
    "distance_since",
    "gauges",
    "log_r_of",
    "restart",
    "take_look",
]

Floats = NDArray[np.float64]

REFERENCE_ALPHA = 0.05
"""Chance, over all gauges of a version, that the reference's own error puts a limit too low."""


@dataclass(frozen=True, slots=True)
class Gauge:
    """One score of a column's rows and the limit of its mean.

    Attributes:
        part: Level, ``missing``, or None for a number's values.
        scores: Of each slot, in [0, 1], shape (slots,).
        limit: Largest mean that is within the margin.
    """

    part: str | None
    scores: Floats
    limit: float


def gauges(entry: Mapping[str, Any], margin: float, alpha: float, *, every: bool = False) -> list[Gauge]:
    """A column's gauges whose limit can be passed at all.

    Args:
        entry: The column's reference.
        margin: Distance that counts, in shares.
        alpha: One-sided error rate of each limit.
        every: Those too that cannot: where each weekday has limits of its own, their number must be one.
    """
    out = []
    for part, then, scores in _parts(entry):
        for turned in (False, True):
            g = 1 - scores if turned else scores
            counts = np.asarray(entry["counts"], dtype=np.float64) * then
            limit = upper_mean(counts, g, alpha) + margin
            if limit < 1 or every:
                out.append(Gauge(part, g, limit))
    return out


def column_state(count: int, slots: int) -> dict[str, Any]:
    """A column's evidence before the first look: R 0 for each gauge and bet, no rows."""
    return {
        "log_r": [[None] * len(LAMBDAS) for _ in range(count)],
        "rising": [0.0] * count,
        "window": {"since": None, "counts": [0] * slots},
        "total": [0] * slots,
    }


def restart(state: Mapping[str, Any], *, keep_rows: bool = False) -> dict[str, Any]:
    """The same before its first look; ``keep_rows`` keeps the rows that the bounds since the start rest on."""
    fresh = column_state(len(state["log_r"]), len(state["total"]))
    return {**fresh, "total": state["total"]} if keep_rows else fresh


def take_look(state: Mapping[str, Any], column: Sequence[Gauge], counts: ArrayLike, when: str) -> dict[str, Any]:
    """A column's evidence after one more look.

    The window holds the looks since the evidence of some gauge began to rise: where a change would have begun.

    Args:
        state: As ``column_state`` made it.
        column: Its gauges.
        counts: Rows per slot in this look, shape (slots,).
        when: The look's time.
    """
    now = np.asarray(counts, dtype=np.int64)
    total = (now + np.asarray(state["total"], dtype=np.int64)).tolist()
    if not column:
        return {**state, "total": total}
    log_e = np.stack([log_bets(now, gauge.scores, gauge.limit) for gauge in column])
    log_r = step(_floats(state["log_r"]), log_e)
    rising = [max(was, 0.0) + mean_evidence(e) for was, e in zip(state["rising"], log_e, strict=True)]
    if max(rising) > 0:
        began = state["window"]["since"] is not None
        held = np.asarray(state["window"]["counts"], dtype=np.int64) if began else np.zeros_like(now)
        window = {"since": state["window"]["since"] if began else when, "counts": (held + now).tolist()}
    else:
        window = {"since": None, "counts": [0] * len(now)}
    return {"log_r": _plain(log_r), "rising": [max(r, 0.0) for r in rising], "window": window, "total": total}


def log_r_of(state: Mapping[str, Any]) -> float:
    """Log of a column's mean R."""
    return mean_evidence(_floats(state["log_r"]).ravel())


def distance_of(
    name: str, entry: Mapping[str, Any], state: Mapping[str, Any], *, margin: float, alpha: float
) -> Estimate:
    """A column's distance on all rows since the start, with bounds that hold at every look.

    Args:
        name: Shown name.
        entry: Its reference.
        state: Its evidence.
        margin: Distance that counts.
        alpha: Two-sided error rate of the column, over all its parts.
    """
    each = alpha / len(part_names(entry))
    parts = [_distance(name, entry, state["total"], part, each) for part in _parts(entry)]
    return furthest(parts, margin=margin, alpha=alpha)


def distance_since(
    name: str,
    entry: Mapping[str, Any],
    state: Mapping[str, Any],
    column: Sequence[Gauge],
    *,
    margin: float,
    rate: float,
) -> Estimate:
    """The distance of a column that rang, since its change began, on the part whose evidence is strongest.

    The bounds hold as the detector does: false once in 1/rate looks. What rang has passed its limit, so
    the bound that faces it is at least the margin.
    """
    strength = [mean_evidence(row) for row in _floats(state["log_r"])]
    part = column[int(np.argmax(strength))].part
    chosen = next(p for p in _parts(entry) if p[0] == part)
    counts = state["window"]["counts"] if state["window"]["since"] else state["total"]
    found = _distance(name, entry, counts, chosen, min(4 * rate, 0.5))
    if found.value > 0:
        return replace(found, low=max(found.low, min(margin, found.value)))
    return replace(found, high=min(found.high, max(-margin, found.value)))


def _distance(
    name: str, entry: Mapping[str, Any], counts: Sequence[int], part: tuple[str | None, Floats, Floats], alpha: float
) -> Estimate:
    label, then, scores = part
    reference = np.asarray(entry["counts"]) * then
    return distance_sequence(reference, counts, scores, scores, alpha=alpha, name=name, category=label)


def _parts(entry: Mapping[str, Any]) -> list[tuple[str | None, Floats, Floats]]:
    """(part, which slots make up the reference's mean, scores of the slots)."""
    slots = len(entry["counts"])
    everything = np.ones(slots)
    if entry["kind"] == "number":
        values = everything.copy()
        values[-1] = 0.0
        flag = np.zeros(slots)
        flag[-1] = 1.0
        return [(None, values, mid_ranks(entry)), ("missing", everything, flag)]
    return [(part, everything, np.eye(slots)[i]) for i, part in enumerate(part_names(entry))]


def _floats(values: Sequence[Sequence[float | None]]) -> Floats:
    return np.array([[-math.inf if v is None else v for v in row] for row in values], dtype=np.float64)


def _plain(values: Floats) -> list[list[float | None]]:
    return [[float(v) if math.isfinite(v) else None for v in row] for row in values]
