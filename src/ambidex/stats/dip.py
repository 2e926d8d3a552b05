"""Hartigan's dip: how far a sample is from having one peak.

The dip of a distribution function F is the smallest sup-distance between F and any unimodal one. For the
uniform, the least favourable unimodal law, sqrt(n)·dip settles quickly; its quantiles below were simulated
(400,000 uniform samples a size up to 200, fewer above, 10,000 at 10,000).

Source: Hartigan & Hartigan (1985), Annals of Statistics 13, 70-84; steps as in their section 3.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate

__all__ = ["dip", "dip_estimate", "dip_p", "dip_quantile"]

Floats = npt.NDArray[np.float64]

LEVELS = (.05, .1, .25, .5, .75, .9, .95, .975, .99, .995, .998, .999, .9995, .9998, .9999)  # fmt: skip
"""Probabilities of the columns of ``TABLE``."""

# fmt: off
TABLE: dict[int, tuple[float, ...]] = {
    4: (.2500, .2500, .2500, .2500, .2892, .3751, .4147, .4412, .4638, .4746, .4838, .4885, .4920, .4948, .4961),
    5: (.2236, .2236, .2236, .2719, .3444, .3953, .4168, .4299, .4395, .4432, .4456, .4464, .4468, .4471, .4471),
    6: (.2041, .2041, .2409, .3015, .3550, .3898, .4037, .4282, .4715, .4970, .5236, .5398, .5517, .5671, .5744),
    8: (.2090, .2319, .2719, .3139, .3475, .4012, .4359, .4625, .4897, .5055, .5271, .5492, .5679, .5876, .6039),
    10: (.2276, .2469, .2784, .3093, .3612, .4126, .4416, .4676, .5047, .5285, .5550, .5717, .5860, .6041, .6228),
    15: (.2361, .2488, .2785, .3237, .3718, .4261, .4599, .4894, .5256, .5506, .5789, .6008, .6250, .6494, .6619),
    20: (.2360, .2540, .2867, .3281, .3812, .4350, .4702, .5019, .5391, .5645, .5968, .6212, .6415, .6696, .6895),
    30: (.2434, .2596, .2928, .3368, .3908, .4469, .4834, .5167, .5561, .5837, .6166, .6388, .6598, .6864, .7046),
    50: (.2498, .2668, .3002, .3455, .4008, .4587, .4969, .5317, .5735, .6036, .6391, .6653, .6897, .7200, .7380),
    72: (.2531, .2708, .3046, .3506, .4066, .4654, .5041, .5392, .5824, .6133, .6483, .6751, .7012, .7324, .7496),
    100: (.2563, .2740, .3082, .3545, .4112, .4710, .5106, .5469, .5918, .6217, .6614, .6885, .7137, .7441, .7639),
    200: (.2620, .2799, .3146, .3616, .4192, .4807, .5213, .5584, .6033, .6345, .6719, .6978, .7255, .7577, .7878),
    500: (.2670, .2849, .3200, .3679, .4266, .4887, .5296, .5676, .6115, .6438, .6835, .7108, .7409, .7704, .7986),
    1000: (.2692, .2876, .3230, .3714, .4304, .4941, .5362, .5743, .6210, .6528, .6974, .7273, .7582, .7886, .8162),
    2000: (.2721, .2902, .3256, .3739, .4333, .4977, .5393, .5773, .6226, .6552, .6951, .7240, .7516, .7882, .8336),
    5000: (.2726, .2909, .3270, .3744, .4345, .4984, .5407, .5785, .6239, .6607, .7086, .7279, .7445, .7562, .7590),
    10000: (.2746, .2933, .3293, .3791, .4385, .5023, .5423, .5786, .6227, .6539, .6965, .7162, .7398, .7537, .7679),
}
# fmt: on
"""Quantiles of sqrt(n)·dip of n uniform values, by n; between two sizes they are interpolated in sqrt(n)."""


def dip(values: npt.ArrayLike) -> float:
    """The dip of a sample: 1/(2n) at least, 1/4 at most.

    Args:
        values: Shape (n,), finite; ties are taken as they are.

    Raises:
        ValueError: Without values, or with one that is not finite.

    >>> round(dip([0.0, 0.1, 0.2, 0.9, 1.0, 1.1]), 4)
    0.1944
    """
    x = np.asarray(values, dtype=np.float64)
    if not x.size or not np.isfinite(x).all():
        raise ValueError("the dip needs finite values, one at least")
    levels, counts = np.unique(x, return_counts=True)
    n, last = x.size, len(levels) - 1
    upto = np.cumsum(counts).astype(np.float64)  # n·F at each level, and just below it
    below = upto - counts
    low, high, widest = 0, last, 1.0
    u, b, t = levels.tolist(), below.tolist(), upto.tolist()
    while last > 0:
        convex, concave = _hull(u, b, low, high, 1), _hull(u, t, low, high, -1)
        gap, left, right = _widest(levels, below, upto, convex, concave)
        if gap <= widest:
            break
        start, end = levels[low : left + 1], levels[right : high + 1]
        over = upto[low : left + 1] - np.interp(start, levels[convex], below[convex])
        under = np.interp(end, levels[concave], upto[concave]) - below[right : high + 1]
        widest = max(widest, float(over.max()), float(under.max()))
        if (left, right) == (low, high):
            break
        low, high = left, right
    return widest / (2 * n)


def dip_p(statistic: float, n: int) -> float:
    """Chance that n uniform values have a dip of at least this: the p-value against one peak.

    Below .0001 it is extended as exp(-c·n·dip²), matched to the last two columns.

    >>> 0.0013 < dip_p(0.0414369, 272) < 0.0023
    True
    """
    if n < 4 or statistic <= 0.5 / n:
        return 1.0  # no smaller dip can be, and three values have no other
    quantiles = _row(n)
    at = math.sqrt(n) * statistic
    i = bisect_left(quantiles, at)
    if i == 0:
        return 1.0
    if i == len(quantiles):
        far, near = math.log(1 - LEVELS[-1]), math.log(1 - LEVELS[-3])
        slope = (far - near) / (quantiles[-1] ** 2 - quantiles[-3] ** 2)
        return math.exp(far + slope * (at**2 - quantiles[-1] ** 2))
    part = (at - quantiles[i - 1]) / (quantiles[i] - quantiles[i - 1])
    upper, lower = 1 - LEVELS[i - 1], 1 - LEVELS[i]
    return upper ** (1 - part) * lower**part if upper < 0.1 else upper + part * (lower - upper)


def dip_quantile(alpha: float, n: int) -> float:
    """The dip that n uniform values exceed with chance ``alpha``.

    >>> round(dip_quantile(0.05, 200), 3)
    0.037
    """
    low, high = 0.5 / n, 0.25
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if dip_p(middle, n) > alpha else (low, middle)
    return high


def dip_estimate(values: npt.ArrayLike, *, name: str, **labels: Any) -> Estimate:
    """The dip with the bound that the uniform law gives: it lies above 0 exactly where p < alpha (one side).

    >>> e = dip_estimate(np.concatenate([np.linspace(0, 1, 50), np.linspace(3, 4, 50)]), name="a, b")
    >>> e.p_value < 0.001
    True
    """
    x = np.asarray(values, dtype=np.float64)
    statistic, law = dip(x), laws.dip(x.size)
    low, high = laws.bounds(law, statistic, None, 0.1)
    return Estimate(
        name=name, kind="distance", value=statistic, low=low, high=high, n=x.size, level=0.9, method="Hartigan dip",
        law=law, p_value=dip_p(statistic, x.size), **labels,
    )  # fmt: skip


def _hull(u: list[float], y: list[float], low: int, high: int, sign: int) -> list[int]:
    """Knots of the greatest convex minorant (sign 1) or the least concave majorant (-1) of the points."""
    knots = [low]
    for i in range(low + 1, high + 1):
        while len(knots) > 1:
            p, q = knots[-2], knots[-1]
            if sign * ((y[q] - y[p]) * (u[i] - u[p]) - (y[i] - y[p]) * (u[q] - u[p])) < 0:
                break
            knots.pop()
        knots.append(i)
    return knots


def _widest(
    levels: Floats, below: Floats, upto: Floats, convex: list[int], concave: list[int]
) -> tuple[float, int, int]:
    """The largest distance between the two hulls, and the modal interval around it."""
    at_convex = np.interp(levels[convex], levels[concave], upto[concave]) - below[convex]
    at_concave = upto[concave] - np.interp(levels[concave], levels[convex], below[convex])
    i, j = int(np.argmax(at_convex)), int(np.argmax(at_concave))
    if at_convex[i] > at_concave[j]:
        left = convex[i]
        return float(at_convex[i]), left, concave[bisect_left(concave, left)]
    right = concave[j]
    inside = bisect_left(convex, right)
    left = right if inside < len(convex) and convex[inside] == right else convex[inside - 1]
    return float(at_concave[j]), left, right


def _row(n: int) -> list[float]:
    sizes = list(TABLE)
    if n <= sizes[0]:
        return list(TABLE[sizes[0]])
    if n >= sizes[-1]:
        return list(TABLE[sizes[-1]])
    for small, large in pairwise(sizes):
        if n <= large:
            part = (math.sqrt(n) - math.sqrt(small)) / (math.sqrt(large) - math.sqrt(small))
            return [a + part * (b - a) for a, b in zip(TABLE[small], TABLE[large], strict=True)]
    raise AssertionError("sizes are sorted")
