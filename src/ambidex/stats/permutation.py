"""Permutations of arms among clusters or inside them, and the interval that inverts them.

Under "the candidate adds τ to every outcome" the outcomes less τ in the candidate's rows are what they would have been
anyhow, and any other assignment could have been drawn. The difference between arms is then linear in τ, both as seen
and after each permutation, so each permutation yields the τ that it cannot tell from what was seen, in closed form.
"""

from __future__ import annotations

import math
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Draws", "inside_rows", "inside_sums", "invert", "totals", "whole_clusters"]

Floats = npt.NDArray[np.float64]

ALL, MANY, WORK = 20_000, 9_999, 10_000_000
"""Every assignment is taken if there are no more than ``ALL``, else ``MANY`` are drawn (the one that was seen counts as
one more); inside clusters no more than ``WORK`` rows are shuffled."""


class Draws(NamedTuple):
    """After each permutation the difference between arms is slope·τ + start; the first is the one seen, if drawn.

    Attributes:
        slope: Shape (b,).
        start: Shape (b,).
    """

    slope: Floats
    start: Floats


def whole_clusters(
    y: Floats, x: Floats, arm: npt.NDArray[np.int64], rng: np.random.Generator, *, relative: bool
) -> Draws:
    """Arms dealt anew to whole clusters.

    Args:
        y: Sums of the outcome, shape (g,).
        x: Sums of the denominator (rows, for a mean), shape (g,).
        arm: 0 and 1, shape (g,).
        rng: Draws the assignments where there are too many to take all.
        relative: The unknown is κ, by which the candidate's outcomes are multiplied, not the τ taken off them.
    """
    groups, ones = len(arm), int(arm.sum())
    if math.comb(groups, ones) <= ALL:
        chosen = np.array(list(combinations(range(groups), ones)), dtype=np.intp).reshape(-1, ones)
        dealt = np.zeros((len(chosen), groups))
        np.put_along_axis(dealt, chosen, 1.0, axis=1)
    else:
        shuffled = rng.permuted(np.tile(arm, (MANY, 1)), axis=1)
        dealt = np.vstack([arm, shuffled]).astype(np.float64)
    moved, still = _columns(y, x, arm, relative)
    return _differences(dealt, moved, still, x)


def inside_rows(
    y: Floats,
    arm: npt.NDArray[np.int64],
    cluster: npt.NDArray[Any],
    denominator: Floats | None,
    rng: np.random.Generator,
    *,
    relative: bool,
) -> Draws:
    """Arms dealt anew to the rows of each cluster, as many of each as there were. Shapes (n,)."""
    codes = np.unique(cluster, return_inverse=True)[1]
    order = np.argsort(codes, kind="stable")
    codes, arm = codes[order].astype(np.float64), np.asarray(arm)[order].astype(np.int64)
    values = np.asarray(y, dtype=np.float64)[order]
    x = np.ones(len(values)) if denominator is None else np.asarray(denominator, dtype=np.float64)[order]
    if not relative:
        values = values - values.sum() / x.sum() * x
    moved, still = _columns(values, x, arm, relative)
    slopes, starts = [], []
    left, step = int(np.clip(WORK // len(values), 1_999, MANY)), max(1, 2_000_000 // len(values))
    first = _differences(arm[None, :].astype(np.float64), moved, still, x)
    slopes.append(first.slope)
    starts.append(first.start)
    while left > 0:
        keys = rng.random((min(step, left), len(values))) + codes
        dealt = arm[np.argsort(keys, axis=1)].astype(np.float64)
        part = _differences(dealt, moved, still, x)
        slopes.append(part.slope)
        starts.append(part.start)
        left -= len(dealt)
    return Draws(np.concatenate(slopes), np.concatenate(starts))


def inside_sums(
    cluster: npt.NDArray[np.int64],
    arm: npt.NDArray[np.int64],
    n: Floats,
    y: Floats,
    yy: Floats,
    shift: float,
    rng: np.random.Generator,
    relative: bool,
) -> Draws:
    """As ``inside_rows`` for means, from sums per cluster and arm: drawn from the normal limit of the permutations.

    Moments of a sum drawn without replacement: Cochran (1977), Sampling Techniques, section 2.5.
    """
    groups = int(cluster.max()) + 1

    def spread_out(values: Floats, a: int) -> Floats:
        there = arm == a
        return totals(cluster[there], values[there], groups)

    if relative:
        yy = yy + 2 * shift * y + n * shift**2
        y = y + shift * n
    n1, n0 = spread_out(n, 1), spread_out(n, 0)
    y1, y0, q1, q0 = spread_out(y, 1), spread_out(y, 0), spread_out(yy, 1), spread_out(yy, 0)
    size = n1 + n0
    if relative:  # columns T·y and (1-T)·y
        sums = np.stack([y1, y0])
        squares = np.array([[q1, np.zeros(groups)], [np.zeros(groups), q0]])
    else:  # columns -T and y
        sums = np.stack([-n1, y1 + y0])
        squares = np.array([[n1, -y1], [-y1, q1 + q0]])
    products = squares - sums[:, None, :] * sums[None, :, :] / size
    share = np.divide(n1 * n0, size * (size - 1), out=np.zeros(groups), where=size > 1)
    covariance = (products * share).sum(axis=2)
    mean = (sums * n1 / size).sum(axis=1)
    drawn = rng.multivariate_normal(mean, covariance, size=MANY, method="eigh")
    seen = np.array([y1.sum(), 0.0]) if relative else np.array([-n1.sum(), y1.sum()])
    treated = np.vstack([seen, drawn])
    total = sums.sum(axis=1)
    both = treated / n1.sum() - (total - treated) / n0.sum()
    return Draws(both[:, 0], both[:, 1])


def invert(draws: Draws, slope: float, start: float, centre: float) -> tuple[Floats, Floats]:
    """For each permutation the ends of the τ around ``centre`` at which it is at least as far out as what was seen.

    As seen the difference is ``slope``·τ + ``start``, which is 0 at ``centre``.

    Returns:
        Lower and upper ends, shape (b,) each; infinite for permutations that are the same assignment.
    """
    s1, c1 = slope - draws.slope, start - draws.start  # seen less permuted, seen plus permuted: of opposite sign there
    s2, c2 = slope + draws.slope, start + draws.start
    size, reach = abs(slope), max(abs(start), float(np.abs(draws.start).max(initial=0.0)))
    flat1, flat2 = np.abs(s1) <= 1e-9 * size, np.abs(s2) <= 1e-9 * size
    with np.errstate(divide="ignore", invalid="ignore"):
        r1, r2 = -c1 / s1, -c2 / s2
    low, high = np.minimum(r1, r2), np.maximum(r1, r2)
    open_ = s1 * s2 < 0  # beyond the roots, not between them
    low, high = (
        np.where(open_, np.where(centre >= high, high, -math.inf), low),
        np.where(open_, np.where(centre >= high, math.inf, low), high),
    )
    for flat, c, s, r in ((flat1, c1, s2, r2), (flat2, c2, s1, r1)):
        same = flat & (np.abs(c) <= 1e-9 * reach)
        low = np.where(flat, np.where(same | (c * s > 0), -math.inf, r), low)
        high = np.where(flat, np.where(same | (c * s <= 0), math.inf, r), high)
    return np.minimum(low, centre), np.maximum(high, centre)


def totals(place: npt.NDArray[np.int64], values: Floats, many: int) -> Floats:
    """Sum of values by place, shape (many,)."""
    out: Floats = np.bincount(place, values, many).astype(np.float64, copy=False)
    return out


def _columns(y: Floats, x: Floats, arm: npt.NDArray[np.int64], relative: bool) -> tuple[Floats, Floats]:
    """What is multiplied by the unknown, and what stands beside it."""
    return (arm * y, (1 - arm) * y) if relative else (-arm * x, y)


def _differences(dealt: Floats, moved: Floats, still: Floats, x: Floats) -> Draws:
    below = dealt @ x
    rest = float(x.sum()) - below
    with np.errstate(divide="ignore", invalid="ignore"):
        out = [(dealt @ c) / below - (float(c.sum()) - dealt @ c) / rest for c in (moved, still)]
    empty = (below <= 0) | (rest <= 0)
    return Draws(np.where(empty, 0.0, out[0]), np.where(empty, 0.0, out[1]))
