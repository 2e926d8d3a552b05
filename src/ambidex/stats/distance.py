"""How far a column's rows lie from a reference, looked at once: from two lots of counts to an estimate.

Distances are in shares, from -1 to 1. For a number: the chance that a live row lies above a reference row, ties
counting half, less one half. For a level of a category, and for missing: its share now less its share then. The
reference is a sample as well, so both errors count: taken as exact, a chi2 test of two samples of 88
rows rang 47% of the time at a nominal 5%.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate

__all__ = ["chi2_p", "exact_share", "furthest", "merged", "rank_distance", "rank_sum_p", "share_distance"]

Floats = NDArray[np.float64]


def rank_distance(reference: ArrayLike, live: ArrayLike, *, name: str = "", alpha: float = 0.05) -> Estimate:
    """Mean mid-rank of the live rows in the reference, less one half: P(live above) + P(equal)/2 - 1/2.

    0.14 is what a shift by half a standard deviation of a normal column gives. Rows without a value count as
    ranks of one half. The variance is that of the two-sample rank statistic, from both samples' placements;
    each sample's is taken with one more row at either end, so that three rows in one cell are not taken
    for certainty.

    Source: placements as DeLong, DeLong & Clarke-Pearson (1988), Biometrics 44, 837-845, on cells; two more
    rows as Agresti & Caffo (2000), The American Statistician 54, 280-288.

    Args:
        reference: Counts of the ordered cells, missing last, shape (cells + 1,).
        live: Counts of the same cells, shape (cells + 1,).
        name: Shown name of the column.
        alpha: Two-sided error rate of the bounds.

    Returns:
        Kind ``distance``, in shares, ``n`` the live rows; open bounds if one side has no values.

    >>> e = rank_distance([50, 50, 0], [20, 80, 0], name="tenure")
    >>> round(e.value, 3), round(e.low, 3), round(e.high, 3)
    (0.15, 0.084, 0.216)
    """
    r = np.asarray(reference, dtype=np.float64)[:-1]
    c = np.asarray(live, dtype=np.float64)
    m, n = float(r.sum()), float(c.sum())
    blank = Estimate(
        name=name, kind="distance", value=math.nan, low=-math.inf, high=math.inf, n=int(n), level=1 - alpha,
        unit="share", method="mean mid-rank",
    )  # fmt: skip
    if m == 0 or n == 0 or c[:-1].sum() == 0:
        return blank
    ranks = np.append(np.cumsum(r) - r / 2, m / 2) / m
    shares = c / n
    above = np.append(np.cumsum(c[:-1][::-1])[::-1], 0.0) / n  # above[j] = live share in cell j and higher
    placements = above[1:] + shares[:-1] / 2 + shares[-1] / 2
    se = math.sqrt(_variance(ranks, c) / n + _variance(placements, r) / m)
    law = laws.normal(-0.5, 0.5)
    value = float(shares @ ranks) - 0.5
    return replace(blank, value=value, se=se, law=law).at(alpha)


def share_distance(
    x1: int, n1: int, x0: int, n0: int, *, name: str = "", category: str | None = None, alpha: float = 0.05
) -> Estimate:
    """Share of one level now (x1 of n1) less its share in the reference (x0 of n0); Newcombe's interval.

    >>> e = share_distance(80, 100, 55, 100, name="contract", category="month-to-month")
    >>> round(e.value, 2), round(e.low, 3), round(e.high, 3)
    (0.25, 0.121, 0.368)
    """
    blank = Estimate(
        name=name, kind="distance", value=math.nan, low=-math.inf, high=math.inf, n=n1, level=1 - alpha,
        unit="share", method="Newcombe interval", category=category,
    )  # fmt: skip
    if min(n1, n0) < 1:
        return blank
    p1, p0 = x1 / n1, x0 / n0
    se = math.sqrt(p1 * (1 - p1) / n1 + p0 * (1 - p0) / n0)
    return replace(blank, value=p1 - p0, se=se, law=laws.newcombe(x1, n1, x0, n0)).at(alpha)


def exact_share(x: int, n: int, *, name: str = "", alpha: float = 0.05) -> Estimate:
    """A share with Clopper and Pearson's exact bounds, for limits that are rarely reached.

    Wilson's bound is refused here: at 20 rows, a limit of 1% and an alpha of 10⁻⁵ it rings once in a thousand.

    Source: Clopper & Pearson (1934), Biometrika 26, 404-413.

    >>> e = exact_share(3, 20)
    >>> round(e.low, 4), round(e.high, 4)
    (0.0321, 0.3789)
    """
    from scipy import special

    low = float(special.betaincinv(x, n - x + 1, alpha / 2)) if x > 0 else 0.0
    high = float(special.betaincinv(x + 1, n - x, 1 - alpha / 2)) if x < n else 1.0
    value = x / n if n else math.nan
    return Estimate(
        name=name, kind="share", value=value, low=low, high=high, n=n, level=1 - alpha, unit="share",
        method="Clopper-Pearson interval",
    )  # fmt: skip


def furthest(parts: Sequence[Estimate], *, margin: float, alpha: float) -> Estimate:
    """A column's one distance: the part that decides it, its interval corrected over all of them.

    A column is outside if one part is, and inside only if all are. So: the part that is clearest outside
    ±margin, if there is one; else the part whose interval reaches furthest.

    Args:
        parts: The column's distances; those without a law with their bounds at alpha over the number of parts.
        margin: Distance that counts.
        alpha: Two-sided error rate that the column has for all of them.

    >>> a = share_distance(80, 100, 55, 100, category="monthly")
    >>> b = share_distance(5, 100, 5, 100, category="yearly")
    >>> furthest([a, b], margin=0.02, alpha=0.05).category
    'monthly'
    """
    among = [
        replace(p, level=1 - alpha) if p.law is None else replace(p, law=replace(p.law, among=len(parts))).at(alpha)
        for p in parts
    ]
    clear = max(among, key=lambda e: max(e.low, -e.high))
    if max(clear.low, -clear.high) > margin:
        return clear
    return max(among, key=lambda e: max(-e.low, e.high))


def merged(reference: ArrayLike, live: ArrayLike, *, ordered: bool, least: float = 5.0) -> tuple[Floats, Floats]:
    """The two rows of counts with thin cells merged until each expects at least ``least`` rows in both samples.

    Only the sum of both is looked at, so that merging cannot favour a difference. Ordered cells join the next
    one, others join one "rest".

    >>> merged([40, 1, 39], [38, 2, 40], ordered=True)[0].tolist()
    [40.0, 40.0]
    """
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(live, dtype=np.float64)
    both = r + c
    total = both.sum()
    if total == 0:
        return np.empty(0), np.empty(0)
    expected = both * min(r.sum(), c.sum()) / total
    order = np.arange(len(both)) if ordered else np.argsort(expected, kind="stable")
    groups: list[list[int]] = []
    held = least
    for i in order:
        if held >= least:
            groups.append([])
            held = 0.0
        groups[-1].append(int(i))
        held += float(expected[i])
    if held < least and len(groups) > 1:
        rest = groups.pop()
        groups[-1] += rest
    return np.array([r[g].sum() for g in groups]), np.array([c[g].sum() for g in groups])


def chi2_p(reference: ArrayLike, live: ArrayLike, *, ordered: bool = False) -> float | None:
    """p-value of the two-sample chi2 test that both rows of counts come from one distribution.

    Cells that expect fewer than five rows are merged first. None where fewer than two cells are left.

    Source: Pearson's homogeneity test, cells - 1 degrees of freedom.

    >>> round(chi2_p((16, 18, 16, 14, 12, 12), (16, 16, 16, 16, 16, 8)), 5)
    0.89853
    """
    r, c = merged(reference, live, ordered=ordered)
    if len(r) < 2 or min(r.sum(), c.sum()) == 0:
        return None
    from scipy import special

    m, n = r.sum(), c.sum()
    statistic = float(((math.sqrt(n / m) * r - math.sqrt(m / n) * c) ** 2 / (r + c)).sum())
    return float(special.chdtrc(len(r) - 1, statistic))


def rank_sum_p(reference: ArrayLike, live: ArrayLike) -> float | None:
    """Two-sided p-value of the rank-sum test on ordered cells, corrected for ties and continuity.

    Source: Mann & Whitney (1947) with the tie correction of Lehmann (1975), as
    ``scipy.stats.mannwhitneyu(method="asymptotic")``.

    >>> round(rank_sum_p((16, 18, 16, 14, 12, 12), (16, 16, 16, 16, 16, 8)), 4)
    0.9629
    """
    r, c = np.asarray(reference, dtype=np.float64), np.asarray(live, dtype=np.float64)
    m, n = float(r.sum()), float(c.sum())
    if m == 0 or n == 0:
        return None
    above = float(c @ (np.cumsum(r) - r / 2))
    ties = r + c
    total = m + n
    spread = m * n / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    if spread <= 0:
        return None
    z = max(abs(above - m * n / 2) - 0.5, 0.0) / math.sqrt(spread)
    return laws.normal_p(z)


def _variance(scores: Floats, counts: Floats) -> float:
    """Sample variance of scores in [0, 1] with one more row at 0 and one at 1."""
    n = counts.sum() + 2
    mean = (counts @ scores + 1) / n
    squares = counts @ (scores - mean) ** 2 + mean**2 + (1 - mean) ** 2
    return float(squares / (n - 1))
