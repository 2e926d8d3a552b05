"""Time until an end: the curve, the share that has ended by a time, whether groups differ, how well a score ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate

__all__ = ["Curve", "concordance", "curve", "ended_by", "log_rank", "mean_until", "pseudo_shares"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Curve:
    """A Kaplan-Meier curve.

    Attributes:
        times: Times at which an end was seen, increasing, shape (g,).
        at_risk: Rows seen up to just before each, shape (g,).
        ends: Ends at each, shape (g,).
        survival: Share that has not ended after each, shape (g,).
        variance: Greenwood's variance of ``survival``, shape (g,).
        rows: All rows.
    """

    times: Floats
    at_risk: Floats
    ends: Floats
    survival: Floats
    variance: Floats
    rows: int

    def at(self, time: float) -> tuple[float, float]:
        """Share not ended after ``time``, and its standard error."""
        place = int(np.searchsorted(self.times, time, side="right")) - 1
        if place < 0:
            return 1.0, 0.0
        return float(self.survival[place]), math.sqrt(float(self.variance[place]))

    @property
    def median(self) -> float:
        """First time at which half have ended; infinite where the curve does not get there."""
        below = np.flatnonzero(self.survival <= 0.5 + 1e-12)
        return float(self.times[below[0]]) if below.size else math.inf


def curve(time: Floats, event: npt.NDArray[np.generic]) -> Curve:
    """The Kaplan-Meier curve with Greenwood's variance.

    Args:
        time: How long each row was seen, shape (n,).
        event: Whether it ended there, shape (n,).

    Source: Kaplan & Meier (1958), JASA 53, 457-481.

    >>> curve(np.array([1.0, 2, 3]), np.array([1, 0, 1])).survival.round(4).tolist()
    [0.6667, 0.0]
    """
    seen = np.asarray(event).astype(bool)
    times, ends = np.unique(time[seen], return_counts=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), times, side="left")
    left = 1 - ends / np.maximum(at_risk, 1)
    survival: Floats = np.cumprod(left).astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(at_risk > ends, ends / (at_risk * np.maximum(at_risk - ends, 1)), 0.0)
    return Curve(
        times.astype(np.float64), at_risk.astype(np.float64), ends.astype(np.float64), survival,
        survival**2 * np.cumsum(terms), len(time),
    )  # fmt: skip


def ended_by(
    time: Floats, ends: Codes, horizon: float, *, name: str = "", end: int = 1, alpha: float = 0.05
) -> Estimate:
    """Share that has ended in one way by ``horizon``, other ways of ending counted as such.

    With one way of ending it is one minus Kaplan-Meier. With several, taking the others as cut off would tell
    the share in a world without them; this is the share that really ends so (Aalen & Johansen 1978), with the
    variance of Marubini & Valsecchi (1995), which is Greenwood's where there are no others. The interval is
    normal on the scale of log(-log).

    Args:
        time: How long each row was seen, shape (n,).
        ends: 0 cut off, else the way it ended, shape (n,).
        horizon: By when.
        name: Shown name.
        end: The way that is asked about.
        alpha: Two-sided error rate.

    >>> e = ended_by(np.array([1.0, 2, 3, 4]), np.array([1, 0, 1, 0]), 3.0)
    >>> round(e.value, 4)
    0.625
    """
    times, at = np.unique(time, return_inverse=True)
    n_at = np.bincount(at, minlength=len(times))
    risk = (len(time) - np.cumsum(n_at) + n_at).astype(np.float64)
    any_ = np.bincount(at[ends > 0], minlength=len(times)).astype(np.float64)
    mine = np.bincount(at[ends == end], minlength=len(times)).astype(np.float64)
    upto = times <= horizon
    risk, any_, mine = risk[upto], any_[upto], mine[upto]
    after = np.cumprod(1 - any_ / risk) if len(risk) else np.empty(0)
    before = np.r_[1.0, after[:-1]] if len(after) else after
    steps = before * mine / risk
    grown = np.cumsum(steps)
    value = float(grown[-1]) if len(grown) else 0.0
    still = value - grown
    room = np.maximum(risk - any_, 1)
    variance = float(
        (still**2 * np.where(risk > any_, any_ / (risk * room), 0.0)).sum()
        + (before**2 * (risk - mine) * mine / risk**3).sum()
        - 2 * (still * before * mine * np.where(risk > any_, 1.0, 0.0) / risk**2).sum()
    )
    se = math.sqrt(max(variance, 0.0))
    low, high = 0.0, 1.0
    if se > 0 and 0 < value < 1:
        inner = math.log(-math.log1p(-value))
        half = laws.tail_quantile(alpha) * se / ((1 - value) * -math.log1p(-value))
        low, high = (1 - math.exp(-math.exp(inner + sign * half)) for sign in (-1, 1))
    return Estimate(
        name=name, kind="share", value=value, low=low, high=high, level=1 - alpha, n=len(time), unit="share",
        method="Kaplan-Meier" if int(ends.max(initial=0)) <= 1 else "Aalen-Johansen", se=se,
    )  # fmt: skip


def mean_until(
    time: Floats, event: npt.NDArray[np.generic], horizon: float, *, name: str = "", unit: str = ""
) -> Estimate:
    """Mean time until the end, time beyond ``horizon`` not counted: the area under the curve up to there.

    Source: Klein & Moeschberger (2003), section 4.5.

    >>> round(mean_until(np.array([1.0, 2, 3]), np.array([1, 1, 1]), 2.0).value, 4)
    1.6667
    """
    made = curve(time, event)
    inside = made.times <= horizon
    t, s = made.times[inside], made.survival[inside]
    edges = np.r_[0.0, t, horizon]
    pieces = np.r_[1.0, s] * np.diff(edges)
    value = float(pieces.sum())
    after = np.cumsum(pieces[::-1])[::-1][1:]
    risk, ends = made.at_risk[inside], made.ends[inside]
    variance = float((after**2 * np.where(risk > ends, ends / (risk * np.maximum(risk - ends, 1)), 0.0)).sum())
    law = laws.normal(0.0, horizon)
    return Estimate(
        name=name, kind="mean", value=value, low=0.0, high=horizon, n=made.rows, unit=unit,
        method=f"restricted mean up to {horizon:g}", se=math.sqrt(variance), law=law,
    ).at(0.05)  # fmt: skip


def log_rank(time: Floats, event: npt.NDArray[np.generic], group: Codes) -> tuple[float, int, float]:
    """Whether the curves of groups differ: statistic, degrees of freedom, p-value.

    Source: Mantel (1966); Peto & Peto (1972), with the hypergeometric variance.

    >>> t, e = np.array([1.0, 2, 3, 4, 5, 6]), np.ones(6)
    >>> round(log_rank(t, e, np.array([0, 0, 0, 1, 1, 1]))[0], 4)
    5.0517
    """
    from scipy import special

    labels, code = np.unique(group, return_inverse=True)
    k = len(labels)
    if k < 2:
        return 0.0, 0, float("nan")
    times, at = np.unique(time, return_inverse=True)
    key = at * k + code
    there = np.bincount(key, minlength=len(times) * k).reshape(-1, k).astype(np.float64)
    ends = np.bincount(key, weights=np.asarray(event, dtype=np.float64), minlength=len(times) * k).reshape(-1, k)
    risk = np.cumsum(there[::-1], axis=0)[::-1]
    d, n = ends.sum(axis=1), risk.sum(axis=1)
    used = d > 0
    risk, ends, d, n = risk[used], ends[used], d[used], n[used]
    share = risk / n[:, None]
    gap = (ends - d[:, None] * share).sum(axis=0)
    factor = np.where(n > 1, d * (n - d) / np.maximum(n - 1, 1), 0.0)
    covariance = np.diag((factor[:, None] * share).sum(axis=0)) - (share * factor[:, None]).T @ share
    statistic = float(gap[1:] @ np.linalg.pinv(covariance[1:, 1:], hermitian=True) @ gap[1:])
    return statistic, k - 1, float(special.chdtrc(k - 1, max(statistic, 0.0)))


MOST_PAIRS = 4e8
"""Pairs of rows beyond which a part of the ends is compared with all rows instead of every end."""


def concordance(
    time: Floats,
    event: npt.NDArray[np.generic],
    score: Floats,
    *,
    fold: Codes | None = None,
    seed: int = 0,
    most: float = MOST_PAIRS,
    inflation: float = 1.0,
    groups: Codes | None = None,
) -> Estimate:
    """Chance that of two rows the one with the higher score ends first; ties of the score count half.

    Pairs whose order cannot be known (the earlier was cut off, or both ended at once) do not count.

    Args:
        time: How long each row was seen, shape (n,).
        event: Whether it ended there, shape (n,).
        score: The higher, the sooner the end is expected, shape (n,).
        fold: Only rows of one fold are compared: each fold's model has a scale of its own. Shape (n,).
        seed: Which ends are compared where there are too many pairs.
        inflation: What the variance is multiplied by; ``discrimination.fold_inflation`` over folds.
        groups: Group of each row where rows of a group may be alike, shape (n,).
        most: Pairs beyond which only some ends are compared.

    Source: Harrell (1982); error by the infinitesimal jackknife of the ratio of pair counts.

    >>> concordance(np.array([1.0, 2, 3]), np.array([1, 1, 0]), np.array([3.0, 2, 1])).value
    1.0
    """
    seen = np.asarray(event).astype(bool)
    right, pairs = np.zeros(len(time)), np.zeros(len(time))
    for k in np.unique(fold) if fold is not None else [0]:
        rows = np.flatnonzero(fold == k) if fold is not None else np.arange(len(time))
        rows = rows[np.argsort(time[rows], kind="stable")]
        ends = np.flatnonzero(seen[rows])
        if len(ends) * len(rows) > most:
            rng = np.random.default_rng([seed, 41])
            ends = np.sort(rng.choice(ends, max(int(most / len(rows)), 1), replace=False))
        t, s, dead = time[rows], score[rows], seen[rows]
        for i in ends:
            first = int(np.searchsorted(t, t[i], side="left"))
            later = np.arange(first, len(t))
            later = later[(t[later] > t[i]) | ~dead[later]]
            good = (s[i] > s[later]) + 0.5 * (s[i] == s[later])
            right[rows[i]] += good.sum()
            pairs[rows[i]] += len(later)
            right[rows[later]] += good
            pairs[rows[later]] += 1
    total = float(pairs.sum())
    if total == 0:
        return Estimate(
            name="concordance", kind="fit", value=math.nan, low=-math.inf, high=math.inf, n=len(time),
            method="no pair whose order is known",
        )  # fmt: skip
    value = float(right.sum() / total)
    influence = 2 * (right - value * pairs) / total
    if groups is not None:
        influence = np.bincount(groups, weights=influence).astype(np.float64)
    se = math.sqrt(inflation * float(influence @ influence))
    smallest = 0.5 / max(int(seen.sum()), 1)
    se = max(se, math.sqrt(smallest * (1 - smallest) / max(int(seen.sum()), 1)) if se == 0 else se)
    return Estimate(
        name="concordance", kind="fit", value=value, low=0.0, high=1.0, n=len(time),
        method="Harrell's concordance", se=se, law=laws.normal(0.0, 1.0), p_value=laws.normal_p((value - 0.5) / se),
    ).at(0.05)  # fmt: skip


def pseudo_shares(time: Floats, ends: Codes, horizon: float) -> Floats:
    """What each row adds to the share that has ended by ``horizon``: n times it less n-1 times it without the row.

    Their mean is the share; without cut-off rows they are 0 and 1. They stand in for the outcome where a method
    takes one number a row. Cutting off must not go with the columns.

    Args:
        time: How long each row was seen, shape (n,).
        ends: 0 cut off, 1 the end asked about, 2 and more the others, shape (n,).
        horizon: By when.

    Source: Andersen, Klein & Rosthøj (2003), Biometrika 90, 15-27.

    >>> pseudo_shares(np.array([1.0, 2, 3, 4]), np.array([1, 1, 0, 0]), 2.0).round(6).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    n = len(time)
    capped = np.where(time <= horizon, time, np.inf)  # beyond the horizon all rows are alike
    times, at = np.unique(capped, return_inverse=True)
    kind = np.where(ends == 1, 1, np.where(ends > 1, 2, 0))
    kind = np.where(np.isfinite(capped), kind, 0)
    inside = np.isfinite(times)
    size = len(times)
    rows = np.bincount(at, minlength=size).astype(np.float64)
    mine = np.bincount(at[kind == 1], minlength=size).astype(np.float64)
    any_ = np.bincount(at[kind > 0], minlength=size).astype(np.float64)
    risk = n - np.cumsum(rows) + rows

    def share(risk: Floats, mine: Floats, any_: Floats) -> float:
        r = np.maximum(risk[inside], 1e-300)
        after = np.cumprod(1 - any_[inside] / r)
        before = np.r_[1.0, after[:-1]]
        return float((before * mine[inside] / r).sum())

    whole = share(risk, mine, any_)
    out = np.empty(n)
    key = at * 3 + kind
    for value in np.unique(key):
        g, k = divmod(int(value), 3)
        fewer = risk - (np.arange(size) <= g)
        mine_ = mine.copy()
        any__ = any_.copy()
        mine_[g] -= k == 1
        any__[g] -= k > 0
        out[key == value] = n * whole - (n - 1) * share(fewer, mine_, any__)
    return out
