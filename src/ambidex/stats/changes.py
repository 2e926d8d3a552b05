"""Did anything change? Tests of a new sample's counts against a pool that every earlier sample has joined.

Where ``distance`` asks how far, this asks whether at all. Each test is exact about chance only while rows are
independent: ``swing`` measures how far that is from true, ``swing_p`` asks how a sample compares with the usual swing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats import laws
from ambidex.stats.distance import chi2_p, merged, rank_sum_p
from ambidex.stats.estimate import Estimate, exact
from ambidex.stats.families import benjamini_hochberg
from ambidex.stats.sequences import log_e_from_p, mean_evidence

__all__ = ["carry_over", "change_log_e", "change_p", "counted_rate", "per_df", "smallest_q", "swing", "swing_p"]

Floats = NDArray[np.float64]


def change_p(pool: ArrayLike, live: ArrayLike, *, ordered: bool) -> tuple[float, ...]:
    """p-values of "one distribution" from the tests that a column has; none where it cannot be tested.

    Categories: chi2 on the cells, thin ones merged. Numbers: the rank-sum on the ordered cells beside it.

    Args:
        pool: Counts per cell, missing last, shape (cells,).
        live: Counts of the same cells.
        ordered: True for numbers.

    >>> [round(p, 3) for p in change_p([40, 60, 0], [60, 40, 0], ordered=True)]
    [0.005, 0.005]
    """
    cells = chi2_p(pool, live, ordered=ordered)
    if not ordered:
        return () if cells is None else (cells,)
    ranks = rank_sum_p(np.asarray(pool)[:-1], np.asarray(live)[:-1])
    return tuple(p for p in (cells, ranks) if p is not None)


def smallest_q(p: Sequence[Sequence[float]], *, n: int, name: str = "") -> tuple[Estimate, Floats]:
    """The smallest adjusted p-value over columns, as a number to claim "below level" about; and all of them.

    Several tests of a column count as twice (k times) the smallest; over columns Benjamini-Hochberg: if nothing
    changed anywhere, the smallest lies at or below a level with that probability at most.

    Source: Benjamini & Hochberg (1995), JRSS B 57, 289-300; Simes (1986) for the smallest.

    >>> smallest_q([(0.001, 0.5), (0.2,)], n=100)[1].round(4).tolist()
    [0.004, 0.2]
    """
    one = np.array([min(1.0, len(each) * min(each)) if each else math.nan for each in p], dtype=np.float64)
    q = benjamini_hochberg(one)
    least = float(np.nanmin(q)) if np.isfinite(q).any() else 1.0
    return replace(exact(name, least, n=n), method="chi2 and rank-sum tests, Benjamini-Hochberg"), q


def change_log_e(p: Sequence[float]) -> float:
    """Log of a column's e-value: the mean of its tests' e-values; 0 where it has none.

    >>> round(change_log_e((0.001,)), 3), change_log_e(())
    (3.035, 0.0)
    """
    return mean_evidence(log_e_from_p(p)) if len(p) else 0.0


def per_df(profile: ArrayLike, live: ArrayLike, *, ordered: bool) -> float:
    """Chi2 of a sample against a frozen profile, over its degrees of freedom; about 1 where rows are independent.

    NaN where fewer than two cells are left.

    >>> round(per_df([500, 500], [50, 50], ordered=True), 3)
    0.0
    """
    r, c = merged(profile, live, ordered=ordered)
    if len(r) < 2 or min(r.sum(), c.sum()) == 0:
        return math.nan
    m, n = r.sum(), c.sum()
    return float(((math.sqrt(n / m) * r - math.sqrt(m / n) * c) ** 2 / (r + c)).sum()) / (len(r) - 1)


def swing(looks: ArrayLike, groups: Sequence[Any] | None = None, *, name: str = "", alpha: float = 0.05) -> Estimate:
    """Variance of the cells' shares between looks as a multiple of the binomial: chi2 of homogeneity over its df.

    About 1 for independent rows of one distribution; season and autocorrelation make it larger. The bounds are
    those of a scaled chi2, which is what it is if all variances are larger by one factor.

    Args:
        looks: Counts, shape (looks, cells).
        groups: Of each look, shape (looks,): only looks of one group (weekday, hour) are compared.
        name: Shown name.
        alpha: Two-sided error rate of the bounds.

    >>> swing([[50, 50], [50, 50]]).value, round(swing([[90, 10], [10, 90]]).value, 1)
    (0.0, 128.0)
    """
    from scipy import special

    counts = np.asarray(looks, dtype=np.float64)
    keys = np.zeros(len(counts), dtype=object) if groups is None else np.asarray(groups, dtype=object)
    total, df = 0.0, 0
    for key in dict.fromkeys(keys.tolist()):
        statistic, freedom = _homogeneity(counts[keys == key])
        total, df = total + statistic, df + freedom
    blank = Estimate(
        name=name, kind="ratio", value=math.nan, low=0.0, high=math.inf, n=len(counts), level=1 - alpha,
        method="chi2 of homogeneity over its degrees of freedom",
    )  # fmt: skip
    if df == 0:
        return blank
    low, high = total / special.chdtri(df, alpha / 2), total / special.chdtri(df, 1 - alpha / 2)
    return replace(blank, value=total / df, low=float(low), high=float(high))


def _homogeneity(counts: Floats) -> tuple[float, int]:
    counts = counts[counts.sum(axis=1) > 0]
    if len(counts) < 2:
        return 0.0, 0
    column = counts.sum(axis=0)
    thin = counts.sum(axis=1).min() * column / column.sum() < 1.0
    counts = np.hstack([counts[:, ~thin], counts[:, thin].sum(axis=1, keepdims=True)])
    counts = counts[:, counts.sum(axis=0) > 0]
    if counts.shape[1] < 2:
        return 0.0, 0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0, keepdims=True) / counts.sum()
    return float(((counts - expected) ** 2 / expected).sum()), (len(counts) - 1) * (counts.shape[1] - 1)


def swing_p(past: Sequence[float], now: float) -> float:
    """How unusual a distance is among earlier ones: its rank as a p-value, ties against it.

    Valid while the new distance is exchangeable with the earlier ones.

    Source: Vovk, Gammerman & Shafer (2005), Algorithmic Learning in a Random World, ch. 2 (conformal p-values).

    >>> swing_p([1.0, 2.0, 3.0], 9.0), swing_p([1.0, 2.0, 3.0], 2.0)
    (0.25, 0.75)
    """
    if math.isnan(now):
        return 1.0
    return (1 + sum(d >= now for d in past)) / (len(past) + 1)


def carry_over(distances: Sequence[Sequence[float]], *, alpha: float = 0.05) -> Estimate:
    """Rank correlation of each look's mean distance with the next one's; about 0 where looks are exchangeable.

    Source: Wald & Wolfowitz (1943), Annals of Mathematical Statistics 14, 378-388, serial correlation of ranks;
    standard error 1/√n under exchangeability.

    Args:
        distances: Of each column, oldest look first, shape (columns, looks); columns of fewer looks are left out.
        alpha: Two-sided error rate of the bounds.

    >>> round(carry_over([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]]).value, 2)
    0.67
    """
    longest = max((len(d) for d in distances), default=0)
    n = longest - 1
    blank = Estimate(
        name="carry-over", kind="ratio", value=math.nan, low=-math.inf, high=math.inf, n=longest, level=1 - alpha,
        method="lag-1 rank correlation",
    )  # fmt: skip
    if n < 8:
        return blank
    from scipy.stats import rankdata

    table = np.array([d for d in distances if len(d) == longest], dtype=np.float64)
    ranks = rankdata(np.mean([rankdata(row) for row in table], axis=0))
    ranks = ranks - ranks.mean()
    value = float(ranks[:-1] @ ranks[1:] / (ranks @ ranks)) if ranks.any() else 0.0
    return replace(blank, value=value, se=1 / math.sqrt(longest), law=laws.normal(-1.0, 1.0)).at(alpha)


def counted_rate(k: int, *, name: str = "", alpha: float = 0.05) -> Estimate:
    """A count of rare events with the exact bounds of its expectation.

    Source: Garwood (1936), Biometrika 28, 437-442.

    >>> e = counted_rate(1)
    >>> round(e.low, 4), round(e.high, 3)
    (0.0253, 5.572)
    """
    from scipy import special

    low = float(special.gammaincinv(k, alpha / 2)) if k else 0.0
    high = float(special.gammaincinv(k + 1, 1 - alpha / 2))
    return Estimate(
        name=name, kind="count", value=float(k), low=low, high=high, n=k, level=1 - alpha, method="Garwood interval"
    )
