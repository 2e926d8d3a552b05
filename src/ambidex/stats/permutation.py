"""Permutations of arms among clusters or inside them, and the interval that inverts them.

Under "the candidate adds τ to every outcome" the outcomes less τ in the candidate's rows are what they would have been
anyhow, and any other assignment could have been drawn. What is compared is the difference over its cluster-robust
standard error: without that division the interval of 3 clusters that vary thrice as much against 9 holds the truth in
78%, with it in 89%. Both are polynomials in τ, so each permutation yields, by a root, the τ that it cannot tell from
what was seen. Source: Wu & Ding (2021), JASA 116, 1898-1913 (studentised randomisation tests).
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Columns", "Draws", "columns_of", "inside_rows", "inside_sums", "invert", "totals", "whole_clusters"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

ALL, MANY, WORK, CHUNK = 13_000, 9_999, 10_000_000, 2_000_000
"""Every assignment is taken if there are no more than ``ALL`` (16 clusters, half of them each), else ``MANY`` are drawn
and the one that was seen counts as one more, or as few as 1,999 where that makes more than ``WORK`` clusters or rows to
shuffle; ``CHUNK`` numbers are held at a time."""


class Columns(NamedTuple):
    """Outcomes as they depend on the unknown x: still + x·moved, over below; at x = 0 the arms do not differ.

    Attributes:
        moved: Shape (m,).
        still: Shape (m,).
        below: Denominators, shape (m,).
    """

    moved: Floats
    still: Floats
    below: Floats


class Draws(NamedTuple):
    """After each permutation the difference between arms is start + slope·x, its variance a + b·x + c·x²; (d,) each."""

    slope: Floats
    start: Floats
    a: Floats
    b: Floats
    c: Floats


def columns_of(y: Floats, x: Floats, arm: Ints, levels: tuple[float, float], *, relative: bool) -> Columns:
    """What is permuted.

    Args:
        y: Outcomes or their sums, shape (m,).
        x: Denominators or their sums (rows, for a mean), shape (m,).
        arm: 0 and 1, shape (m,).
        levels: Ratio of sums of the candidate, and of the baseline.
        relative: The candidate's outcomes are multiplied by (level of the baseline)/(of the candidate) + x; else the
            difference + x is taken off them.
    """
    one, zero = levels
    if relative:
        return Columns(arm * y, np.where(arm == 1, zero / one, 1.0) * y - zero * x, x)
    return Columns(-arm * x, y - np.where(arm == 1, one, zero) * x, x)


def whole_clusters(columns: Columns, arm: Ints, rng: np.random.Generator) -> tuple[Draws, Draws]:
    """Arms dealt anew to whole clusters; what was seen, and the permutations. Columns are sums, shape (g,)."""
    groups, ones = len(arm), int(arm.sum())
    if math.comb(groups, ones) <= ALL:
        chosen = np.array(list(combinations(range(groups), ones)), dtype=np.intp).reshape(-1, ones)
        dealt = np.zeros((len(chosen), groups), dtype=bool)
        np.put_along_axis(dealt, chosen, True, axis=1)
    else:
        many = int(np.clip(WORK // groups, 1_999, MANY))
        dealt = np.concatenate([(arm == 1)[None, :], rng.permuted(np.tile(arm == 1, (many, 1)), axis=1)])
    factors = tuple(k / (k - 1) if k > 1 else 1.0 for k in (ones, groups - ones))
    whole = [np.asarray(c) for c in columns]

    def measured(part: npt.NDArray[np.bool_]) -> Draws:
        return _measured([part * c for c in whole], whole, (factors[0], factors[1]))

    step = max(1, CHUNK // groups)
    parts = [measured(dealt[i : i + step]) for i in range(0, len(dealt), step)]
    return measured((arm == 1)[None, :]), _joined(parts)


def inside_rows(
    columns: Columns, arm: Ints, cluster: npt.NDArray[Any], rng: np.random.Generator
) -> tuple[Draws, Draws]:
    """Arms dealt anew to the rows of each cluster, as many of each as there were. Columns are rows, shape (n,)."""
    codes = np.unique(cluster, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    codes, ones = codes[order], np.asarray(arm)[order] == 1
    values = [np.asarray(c)[order] for c in columns]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    sums = [np.add.reduceat(c, starts) for c in values]

    def measured(dealt: npt.NDArray[np.bool_]) -> Draws:
        return _measured([np.add.reduceat(dealt * c, starts, axis=1) for c in values], sums, (1.0, 1.0))

    seen, n = measured(ones[None, :]), len(codes)
    left, step, parts = int(np.clip(WORK // n, 1_999, MANY)), max(1, CHUNK // n), [seen]
    while left > 0:
        keys = rng.random((min(step, left), n)) + codes
        parts.append(measured(ones[np.argsort(keys, axis=1)]))
        left -= len(keys)
    return seen, _joined(parts)


def inside_sums(
    cluster: Ints,
    arm: Ints,
    n: Floats,
    y: Floats,
    yy: Floats,
    levels: tuple[float, float],
    rng: np.random.Generator,
    *,
    relative: bool,
) -> tuple[Draws, Draws]:
    """As ``inside_rows`` for means, from sums per cluster and arm: drawn from the normal limit of the permutations.

    Moments of a sum drawn without replacement: Cochran (1977), Sampling Techniques, sections 2.5 and 2.6.

    Args:
        cluster: Codes, shape (c,).
        arm: 0 and 1, shape (c,).
        n: Rows, shape (c,).
        y: Sums of the outcome, shape (c,).
        yy: Sums of its squares, shape (c,).
        levels: Mean of the candidate, and of the baseline.
        rng: Random numbers.
        relative: As for ``columns_of``.
    """
    groups, treated, (one, zero) = int(cluster.max()) + 1, arm == 1, levels
    if relative:  # moved = T·y; still = y·(zero/one or 1) - zero
        lines = ((np.where(treated, 1.0, 0.0), 0.0 * n), (np.where(treated, zero / one, 1.0), 0.0 * n - zero))
    else:  # moved = -T; still = y - level of the arm
        lines = ((0.0 * n, np.where(treated, -1.0, 0.0)), (0.0 * n + 1, np.where(treated, -one, -zero)))

    def total(values: Floats, there: npt.NDArray[np.bool_]) -> Floats:
        return totals(cluster[there], values[there], groups)

    n1, n0 = total(n, treated), total(n, ~treated)
    size, everything = n1 + n0, np.ones(len(arm), dtype=bool)
    sums = [slope * y + start * n for slope, start in lines]
    seen_sums = [total(s, treated) for s in sums]
    whole = [total(s, everything) for s in sums]
    share = np.divide(n1 * n0, size * (size - 1), out=np.zeros(groups), where=size > 1)

    def product(i: int, j: int) -> Floats:
        (p, q), (r, s) = lines[i], lines[j]
        raw = total(p * r * yy + (p * s + q * r) * y + q * s * n, everything)
        return (raw - whole[i] * whole[j] / size) * share

    v0, v1, v01 = np.maximum(product(0, 0), 0.0), np.maximum(product(1, 1), 0.0), product(0, 1)
    first, second = rng.standard_normal((2, MANY, groups))
    slope = np.divide(v01, v0, out=np.zeros(groups), where=v0 > 0)
    moved = np.sqrt(v0) * first
    still = slope * moved + np.sqrt(np.maximum(v1 - slope * v01, 0.0)) * second
    parts = [whole[0] * n1 / size + moved, whole[1] * n1 / size + still, np.broadcast_to(n1, moved.shape)]
    all_of = [*whole, size]
    seen = _measured([s[None, :] for s in (*seen_sums, n1)], all_of, (1.0, 1.0))
    return seen, _joined([seen, _measured(parts, all_of, (1.0, 1.0))])


def invert(seen: Draws, draws: Draws) -> tuple[Floats, Floats]:
    """For each permutation the x around 0 at which it is at least as far out as what was seen (which is at 0 there).

    Returns:
        Lower ends (at most 0) and upper ends, shape (d,) each; infinite where 1,000 standard errors do not end it, as
        for permutations that are the same assignment.
    """
    if not float(seen.a[0]) > 0 or float(seen.slope[0]) == 0:  # nothing seen varies by cluster, so nothing is told
        return np.full(len(draws.a), -math.inf), np.full(len(draws.a), math.inf)
    scale = math.sqrt(float(seen.a[0])) / abs(float(seen.slope[0]))
    unit = math.sqrt(float(seen.a[0]))
    b0, c0 = float(seen.b[0]) * scale / unit**2, float(seen.c[0]) * scale**2 / unit**2
    slope, start = draws.slope * scale / unit, draws.start / unit
    a, b, c = draws.a / unit**2, draws.b * scale / unit**2, draws.c * scale**2 / unit**2

    def holds(v: Floats) -> npt.NDArray[np.bool_]:
        permuted = (slope * v + start) ** 2 * (1 + b0 * v + c0 * v * v)
        observed = v * v * (a + b * v + c * v * v)
        return permuted >= observed - 1e-9 * (np.abs(permuted) + np.abs(observed))  # as far out but for rounding

    ends = []
    for side in (-1.0, 1.0):
        good, bad = np.zeros(len(a)), np.full(len(a), math.inf)
        for v in np.geomspace(1e-3, 1e3, 61):
            inside = holds(np.full(len(a), side * v)) & np.isinf(bad)
            bad = np.where(np.isinf(bad) & ~inside, v, bad)
            good = np.where(inside, v, good)
        far = np.isinf(bad)
        bad = np.where(far, good, bad)
        for _ in range(36):
            middle = (good + bad) / 2
            inside = holds(side * middle)
            good, bad = np.where(inside, middle, good), np.where(inside, bad, middle)
        ends.append(side * np.where(far, math.inf, good) * scale)
    return ends[0], ends[1]


def totals(place: Ints, values: Floats, many: int) -> Floats:
    """Sum of values by place, shape (many,)."""
    out: Floats = np.bincount(place, values, many).astype(np.float64, copy=False)
    return out


def _measured(ones: list[Floats], whole: list[Floats], factors: tuple[float, float]) -> Draws:
    """Differences and their cluster-robust variances.

    Args:
        ones: Sums of moved, still and below in the arm that is called candidate, shape (d, g) each.
        whole: The same in both arms, shape (g,) each.
        factors: What the squares of each arm are multiplied by; where a cluster has one arm only they stand apart.
    """
    x1 = ones[2].sum(axis=1, keepdims=True)
    x0 = float(whole[2].sum()) - x1
    with np.errstate(divide="ignore", invalid="ignore"):
        out = []
        for one, both in zip(ones[:2], whole[:2], strict=True):
            zero = both - one
            r1, r0 = one.sum(axis=1, keepdims=True) / x1, zero.sum(axis=1, keepdims=True) / x0
            moves = (one - r1 * ones[2]) / x1 * math.sqrt(factors[0])
            moves = moves - (zero - r0 * (whole[2] - ones[2])) / x0 * math.sqrt(factors[1])
            out.append(((r1 - r0).ravel(), moves))
    (slope, w), (start, u) = out
    squares = [np.einsum("dg,dg->d", p, q) for p, q in ((u, u), (u, w), (w, w))]
    none = ((x1 <= 0) | (x0 <= 0)).ravel()  # an arm without denominators tells nothing: never farther out
    fixed = [np.where(none, 0.0, v) for v in (slope, start)]
    a, b, c = np.where(none, 1.0, squares[0]), np.where(none, 0.0, 2 * squares[1]), np.where(none, 0.0, squares[2])
    return Draws(fixed[0], fixed[1], a, b, c)


def _joined(parts: list[Draws]) -> Draws:
    return Draws(*(np.concatenate(column) for column in zip(*parts, strict=True)))
