"""Did the inputs change at all: sudden change (layer 1), small lasting change (layer 2), the score's own, and D3.

The pool is the reference and every earlier look; a look joins it after it was judged, rung or not, which makes
successive p-values independent. Where looks differ more than chance lets them, one pool is kept for each weekday or
hour; where that does not help either, D3 asks only whether a look lies farther off than looks usually do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats.changes import change_log_e, change_p, per_df, smallest_q, swing_p
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import log_e_from_p, mean_evidence, step
from ambidex.watch.budget import share

__all__ = [
    "FEWEST_PAST",
    "MOST_PAST",
    "SCORE",
    "Ring",
    "counts_of",
    "judge_look",
    "new_layers",
    "period_key",
    "profile_of",
]

SCORE = "(prediction)"
"""The model's output, watched as a column; no table has a column of this name."""

FEWEST_PAST = 10
"""Earlier looks that D3 ranks a new one among at least."""
MOST_PAST = 366

Period = Literal["weekday", "hour"]
Entries = Mapping[str, Mapping[str, Any]]
Counted = Mapping[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class Ring:
    """A detector that rang at a look.

    Attributes:
        detector: ``sudden``, ``small``, ``score`` or ``swing``.
        columns: Which, strongest first.
        since: When the change began, as far as the evidence tells.
        text: In words.
    """

    detector: str
    columns: tuple[str, ...]
    since: str
    text: str


def new_layers(period: Period | None = None, *, swing: bool = False) -> dict[str, Any]:
    """Plain JSON state before the first look.

    Args:
        period: Keep a pool for each weekday or hour.
        swing: D3 in place of the layers.
    """
    return {
        "period": period, "swing": swing, "pools": {}, "profiles": {}, "log_r": {}, "rising": {}, "past": {}
    }  # fmt: skip


def period_key(period: Period | None, at: datetime | None) -> str:
    """Which pool a look belongs to.

    >>> period_key("weekday", datetime(2026, 3, 2)), period_key(None, None)
    ('0', 'all')
    """
    if period is None or at is None:
        return "all"
    return str(at.weekday() if period == "weekday" else at.hour)


def profile_of(entries: Entries) -> dict[str, list[int]]:
    """The reference's counts by column."""
    return {name: list(entry["counts"]) for name, entry in entries.items()}


def judge_look(
    state: Mapping[str, Any], entries: Entries, counts: Counted, *, rate: float, began: str, at: datetime | None
) -> tuple[dict[str, Any], list[Ring]]:
    """One look: tests against the pool, evidence, rings; then it joins the pool.

    Args:
        state: As ``new_layers`` made it.
        entries: References of the columns, the score's as ``SCORE``.
        counts: The look's rows per slot, by column.
        rate: B/L of all detectors together.
        began: When the look's first row came.
        at: The same as a time, for the periods.
    """
    new = {**state, "pools": dict(state["pools"]), "log_r": dict(state["log_r"]), "rising": dict(state["rising"])}
    key = period_key(state["period"], at)
    pool = new["pools"].get(key)
    if pool is None:
        if state["period"] is not None:  # the reference mixes all periods: the first look of each is its pool
            new["pools"][key] = {name: np.asarray(counts[name]).tolist() for name in counts}
            new["profiles"] = {**state["profiles"], key: new["pools"][key]}
            return new, []
        pool = profile_of(entries)
    if state["swing"]:
        rings = _swing(new, entries, counts, rate=rate, began=began)
        return new, rings
    p = {
        name: change_p(pool[name], now, ordered=entries[name]["kind"] == "number")
        for name, now in counts.items()
        if name in pool
    }
    rings = _sudden({n: v for n, v in p.items() if n != SCORE}, counts, share("sudden", rate), began)
    for name, each in p.items():
        _grow(new, name, change_log_e(each), began)
    inputs = [name for name in p if name != SCORE]
    rings += _evidence(new, "small", inputs, share("small", rate), began)
    if SCORE in p:
        rings += _evidence(new, "score", [SCORE], share("score", rate), began)
    new["pools"][key] = {
        name: (np.asarray(pool[name], dtype=np.int64) + np.asarray(counts[name])).tolist() if name in counts else was
        for name, was in pool.items()
    }
    return new, rings


def _sudden(p: Mapping[str, tuple[float, ...]], counts: Counted, alpha: float, began: str) -> list[Ring]:
    if not p:
        return []
    names = list(p)
    n = int(np.asarray(counts[names[0]]).sum())
    least, q = smallest_q([p[name] for name in names], n=n, name="smallest adjusted p")
    claim = Claim(measure=least.name, relation="below", margin=alpha, alpha=alpha, looks="anytime")
    if decide(claim, least).outcome != "supported":
        return []
    order = [int(i) for i in np.argsort(np.where(np.isnan(q), 2.0, q), kind="stable") if q[i] < alpha]
    columns = tuple(names[i] for i in order)
    return [
        Ring("sudden", columns, began, f"changed suddenly: {_listed(columns)}; smallest adjusted p {least.value:.2g}")
    ]


def _evidence(state: dict[str, Any], detector: str, names: list[str], alpha: float, began: str) -> list[Ring]:
    """Mean R over columns at 1/alpha rings; after a ring R starts at 0 again."""
    logs = np.array([_log(state["log_r"].get(name)) for name in names], dtype=np.float64)
    if not len(logs):
        return []
    together = Estimate(
        name=detector, kind="distance", value=0.0, low=-math.inf, high=math.inf, n=len(names), anytime=True,
        log_e_for=mean_evidence(logs), method="e-detector on p-values",
    )  # fmt: skip
    claim = Claim(measure=detector, alpha=alpha, sides=1, looks="anytime")
    if decide(claim, together).outcome != "supported":
        return []
    order = np.argsort(-logs, kind="stable")
    # e-BH over the columns' own R: those that would ring among so many, the strongest in any case.
    count = max([k for k, i in enumerate(order, 1) if logs[i] >= math.log(len(names) / (k * alpha))], default=1)
    columns = tuple(names[int(i)] for i in order[:count])
    since = min((state["rising"].get(n, {}).get("since") or began for n in columns), default=began)
    for name in names:
        state["log_r"][name] = None
        state["rising"][name] = {"log": 0.0, "since": None}
    if detector == "score":
        text = "the prediction mix moved"
    elif detector == "swing":
        text = f"farther from usual than looks usually are: {_listed(columns)}"
    else:
        text = f"changed a little, and stays so: {_listed(columns)}"
    return [Ring(detector, columns, since, text)]


def _grow(state: dict[str, Any], name: str, log_e: float, began: str) -> None:
    state["log_r"][name] = float(step(_log(state["log_r"].get(name)), log_e))
    was = state["rising"].get(name) or {"log": 0.0, "since": None}
    log = was["log"] + log_e
    state["rising"][name] = {"log": log, "since": was["since"] or began} if log > 0 else {"log": 0.0, "since": None}


def _swing(state: dict[str, Any], entries: Entries, counts: Counted, *, rate: float, began: str) -> list[Ring]:
    """D3: each column's distance to the frozen reference, ranked among earlier looks'."""
    state["past"] = dict(state["past"])
    for name, now in counts.items():
        ordered = entries[name]["kind"] == "number"
        distance = per_df(entries[name]["counts"], now, ordered=ordered)
        past = state["past"].get(name, [])
        if math.isnan(distance):
            continue
        if len(past) >= FEWEST_PAST:
            _grow(state, name, float(log_e_from_p(swing_p(past, distance))), began)
        state["past"][name] = [*past, round(distance, 6)][-MOST_PAST:]
    alpha = share("sudden", rate) + share("small", rate) + share("score", rate)
    return _evidence(state, "swing", [n for n in counts if n in state["log_r"]], alpha, began)


def _log(value: float | None) -> float:
    return -math.inf if value is None else value


def _listed(names: tuple[str, ...]) -> str:
    shown = ["the prediction mix" if n == SCORE else n for n in names]
    return ", ".join(shown[:5]) + (f" and {len(shown) - 5} more" if len(shown) > 5 else "")


def counts_of(columns: Mapping[str, Any], score: ArrayLike | None) -> dict[str, NDArray[np.int64]]:
    """A look's counts by column, the score's as ``SCORE``."""
    out = {name: np.asarray(column.counts) for name, column in columns.items()}
    return out if score is None else out | {SCORE: np.asarray(score)}
