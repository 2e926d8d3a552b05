"""Arms compared where units come in clusters: villages, shops, households.

From 40 clusters on: CR1 with t(G-1). With fewer, or with fewer than ``EACH`` in an arm: a permutation test and the
interval that inverts it, ``permutation.py``. Sums per cluster and arm are enough, so one pass over a table feeds it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike

from ambidex.stats import laws
from ambidex.stats.compare import ROUNDING, Level
from ambidex.stats.estimate import Estimate
from ambidex.stats.permutation import Draws, columns_of, inside_rows, inside_sums, invert, totals, whole_clusters

__all__ = [
    "Cells",
    "cells_of",
    "cluster_difference",
    "cluster_levels",
    "cluster_relative",
    "clustered_covariance",
    "difference_of_cells",
    "relative_of_cells",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Design = Literal["whole", "inside", "partly"]

FEW, EACH, LEAST = 40, 10, 6
"""Below ``FEW`` clusters in all, or ``EACH`` in an arm that is given to whole clusters, arms are permuted (CR1 with
2 treated clusters of 50 rejects a true zero in a third of runs); below ``LEAST`` in all, nothing can be told."""

ROWS = 5_000
"""Up to so many rows are shuffled inside their clusters; with more, the sums are drawn from their normal limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Sums per cluster and arm; c cells, none of them empty, at most two to a cluster.

    Attributes:
        cluster: Codes from 0 to G-1, shape (c,).
        arm: 1 for the candidate, 0 for the baseline, shape (c,).
        n: Rows, shape (c,).
        y: Sum of the outcome less ``shift``, shape (c,).
        yy: Sum of the squares of the outcome less ``shift``, shape (c,); None if not known.
        x: Sum of the denominator, for a ratio, shape (c,); None for a mean.
        shift: Taken off each outcome before summing, so that values near 10⁹ keep their digits; 0 for a ratio.
    """

    cluster: Ints
    arm: Ints
    n: Floats
    y: Floats
    yy: Floats | None = None
    x: Floats | None = None
    shift: float = 0.0

    @property
    def below(self) -> Floats:
        """What the outcome's sum is divided by, shape (c,)."""
        return self.n if self.x is None else self.x

    @property
    def clusters(self) -> int:
        """G."""
        return int(self.cluster.max()) + 1 if self.cluster.size else 0

    @property
    def design(self) -> Design:
        """``whole`` clusters got an arm; the arm varies ``inside`` most clusters; or inside fewer than half."""
        mixed = int((np.bincount(self.cluster, minlength=self.clusters) > 1).sum())
        return "whole" if not mixed else "inside" if 2 * mixed >= self.clusters else "partly"

    def treated(self, arm: int) -> int:
        """Clusters with rows in an arm."""
        return int((self.arm == arm).sum())


def cells_of(y: ArrayLike, arm: ArrayLike, cluster: ArrayLike, *, denominator: ArrayLike | None = None) -> Cells:
    """Sums per cluster and arm of rows.

    Args:
        y: Outcomes, shape (n,), finite.
        arm: 0 and 1, shape (n,).
        cluster: Codes or labels of clusters, shape (n,).
        denominator: For a ratio of sums, shape (n,).

    Raises:
        ValueError: If lengths differ, an arm is not 0 or 1, or a value is NaN or infinite.

    >>> cells_of([1.0, 2, 3], [0, 0, 1], ["a", "a", "b"]).n.tolist()
    [2.0, 1.0]
    """
    values, arms, x = np.asarray(y, dtype=np.float64), np.asarray(arm, dtype=np.int64), None
    if denominator is not None:
        x = np.asarray(denominator, dtype=np.float64)
    _, codes = np.unique(np.asarray(cluster), return_inverse=True)
    if not values.shape == arms.shape == codes.shape or (x is not None and x.shape != values.shape):
        raise ValueError("outcome, arm, cluster and denominator must be as long as each other")
    if ((arms != 0) & (arms != 1)).any():
        raise ValueError("arms are 0 and 1")
    if not np.isfinite(values).all() or (x is not None and not np.isfinite(x).all()):
        raise ValueError("a value is NaN or infinite")
    shift = float(values[0]) if values.size and x is None else 0.0
    keys, place = np.unique(2 * codes + arms, return_inverse=True)
    moved, many = values - shift, len(keys)
    return Cells(
        cluster=keys // 2,
        arm=keys % 2,
        n=np.bincount(place, minlength=many).astype(np.float64),
        y=totals(place, moved, many),
        yy=totals(place, moved**2, many),
        x=None if x is None else totals(place, x, many),
        shift=shift,
    )


def cluster_difference(
    y: ArrayLike,
    arm: ArrayLike,
    cluster: ArrayLike,
    *,
    denominator: ArrayLike | None = None,
    name: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    **labels: Any,
) -> Estimate:
    """Candidate less baseline of means, or of ratios of sums, whose rows come in clusters.

    Source: CR1, G/(G-1)·(N-1)/(N-k), with t(G-1): Cameron & Miller (2015), Journal of Human Resources 50, eq. 11-12.

    Args:
        y: Outcomes, shape (n,).
        arm: 1 for the candidate, 0 for the baseline, shape (n,).
        cluster: Codes or labels, shape (n,).
        denominator: For a ratio of sums, shape (n,).
        name: Shown name of the metric.
        alpha: Two-sided error rate of the bounds.
        seed: Of the permutations, where there are few clusters.
        **labels: ``arm``, ``control``, ``unit``, ``method`` of the estimate.

    Returns:
        ``n`` counts rows. Bounds are open with fewer than 6 clusters, or where the smallest p-value that the
        permutations can reach is above alpha.

    >>> y, arm, shop = [1.0, 2, 3, 4, 6, 5, 7, 8], [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 2, 3, 4, 5, 5]
    >>> e = cluster_difference(y, arm, shop)
    >>> e.value, round(e.p_value, 2), e.low
    (4.0, 0.1, -inf)
    """
    made = cells_of(y, arm, cluster, denominator=denominator)
    rows = (y, arm, cluster, denominator)
    return difference_of_cells(made, rows=rows, name=name, alpha=alpha, seed=seed, **labels)


def cluster_relative(
    y: ArrayLike,
    arm: ArrayLike,
    cluster: ArrayLike,
    *,
    denominator: ArrayLike | None = None,
    name: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    **labels: Any,
) -> Estimate | None:
    """Lift of rows that come in clusters, on the scale of the log ratio; see ``cluster_difference``.

    Returns:
        None where a lift has no meaning: a level that is not positive, or a baseline whose interval reaches zero.
    """
    made = cells_of(y, arm, cluster, denominator=denominator)
    rows = (y, arm, cluster, denominator)
    return relative_of_cells(made, rows=rows, name=name, alpha=alpha, seed=seed, **labels)


def cluster_levels(cells: Cells) -> tuple[Level, Level]:
    """Candidate's and baseline's mean or ratio with the cluster-robust error of each.

    >>> one, zero = cluster_levels(cells_of([1.0, 2, 3, 5], [0, 0, 1, 1], [0, 1, 2, 3]))
    >>> one.value, zero.value
    (4.0, 1.5)
    """
    kind = "mean" if cells.x is None else "ratio"
    out = []
    for arm in (1, 0):
        value, scores = _scores(cells, arm)
        value += cells.shift
        many, n = cells.treated(arm), float(cells.n[cells.arm == arm].sum())
        factor = many / (many - 1) if many > 1 else math.nan
        out.append(Level(value, math.sqrt(factor * float(scores @ scores)), int(n), kind))
    return out[0], out[1]


def difference_of_cells(
    cells: Cells,
    *,
    rows: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike | None] | None = None,
    parameters: int = 2,
    name: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    **labels: Any,
) -> Estimate:
    """``cluster_difference`` from sums per cluster and arm.

    Args:
        cells: The sums.
        rows: Outcome, arm, cluster and denominator of each row, for permutations inside clusters; without them
            these are drawn from their normal limit, for which ``cells.yy`` is needed.
        parameters: k of CR1: coefficients that were fitted.
        name: Shown name of the metric.
        alpha: Two-sided error rate of the bounds.
        seed: Of the permutations.
        **labels: ``arm``, ``control``, ``unit``, ``method`` of the estimate.
    """
    (m1, s1), (m0, s0) = _scores(cells, 1), _scores(cells, 0)
    value, n = m1 - m0, int(cells.n.sum())
    se = _error(cells, s1, s0, parameters)
    if (
        not math.isfinite(value)
        or not math.isfinite(se)
        or se <= ROUNDING * max(abs(m1 + cells.shift), abs(m0 + cells.shift))
    ):
        return _open(name, "difference", value, n, alpha, {"method": "no spread between clusters", **labels})
    if cells.clusters < LEAST:
        method = f"{cells.clusters} clusters: too few"
        return _open(name, "difference", value, n, alpha, {"method": method, "se": se, **labels})
    draws = _draws(cells, rows, seed, relative=False)
    if draws is None:
        df = cells.clusters - 1
        law, p_value = laws.student(df), laws.student_p(value / se, df)
        method = f"CR1, t({df}), {cells.clusters} clusters"
    else:
        low, high = invert(*draws)
        near = 1e-9 * abs(value)  # permutations as far out as what was seen count, whatever the last digits
        law, p_value = _turned(value + low - near, value + high + near, 0.0)
        method = _said(cells)
    return Estimate(
        name=name,
        kind="difference",
        value=value,
        low=-math.inf,
        high=math.inf,
        n=n,
        se=se,
        law=law,
        p_value=p_value,
        **{"method": method, **labels},
    ).at(alpha)


def relative_of_cells(
    cells: Cells,
    *,
    rows: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike | None] | None = None,
    parameters: int = 2,
    name: str = "",
    alpha: float = 0.05,
    seed: int = 0,
    **labels: Any,
) -> Estimate | None:
    """``cluster_relative`` from sums per cluster and arm; options as for ``difference_of_cells``."""
    (m1, s1), (m0, s0) = _scores(cells, 1), _scores(cells, 0)
    m1, m0 = m1 + cells.shift, m0 + cells.shift
    if not (m1 > 0 and m0 > 0) or cells.clusters < LEAST:
        return None
    n, df = int(cells.n.sum()), cells.clusters - 1
    log_se = _error(cells, s1 / m1, s0 / m0, parameters)
    alone = cluster_levels(cells)[1]
    few = max(cells.treated(0) - 1, 1)
    if not log_se > ROUNDING or not math.isfinite(alone.se) or not math.isfinite(log_se):
        return None
    if laws.bounds(laws.student(few), m0, alone.se, alpha)[0] <= 0:
        return None
    draws = _draws(cells, rows, seed, relative=True)
    if draws is None:
        law = laws.log_normal(log_se, df)
        p_value = laws.student_p(math.log(m1 / m0) / log_se, df)
        method = f"CR1, t({df}), {cells.clusters} clusters, log ratio"
    else:
        low, high = (m0 / m1 + end for end in invert(*draws))  # of what makes the candidate's outcomes like the rest
        with np.errstate(divide="ignore"):
            least, most = 1 / high - 1, np.where(low > 0, 1 / low - 1, math.inf)
        law, p_value = _turned(least - 1e-9, most + 1e-9, 0.0)
        method = _said(cells)
    return Estimate(
        name=name,
        kind="relative",
        value=m1 / m0 - 1,
        low=-1.0,
        high=math.inf,
        n=n,
        se=log_se * m1 / m0,
        law=law,
        p_value=p_value,
        **{"method": method, "unit": "relative", **labels},
    ).at(alpha)


def clustered_covariance(x: Floats, residuals: Floats, cluster: ArrayLike, second: ArrayLike | None = None) -> Floats:
    """Covariance of least-squares coefficients, robust to clusters one way (CR1), or two ways.

    Source: Cameron, Gelbach & Miller (2011), JBES 29, eq. 2.12: by the first, plus by the second, less by both.

    Args:
        x: Columns of the regression, shape (n, k), full rank.
        residuals: Shape (n,).
        cluster: Codes or labels, shape (n,).
        second: Other clusters, shape (n,).

    Returns:
        Shape (k, k); two ways it need not be positive definite.

    >>> x = np.column_stack([np.ones(4), [0.0, 0, 1, 1]])
    >>> np.sqrt(clustered_covariance(x, np.array([1.0, -1, 2, -2]), [0, 1, 2, 3])[1, 1]).round(4)
    np.float64(2.2361)
    """
    first = np.unique(np.asarray(cluster), return_inverse=True)[1]
    bread = np.linalg.inv(x.T @ x)
    if second is None:
        return bread @ _meat(x, residuals, first) @ bread
    other = np.unique(np.asarray(second), return_inverse=True)[1]
    both = np.unique(first * (other.max() + 1) + other, return_inverse=True)[1]
    middle = _meat(x, residuals, first) + _meat(x, residuals, other) - _meat(x, residuals, both)
    out: Floats = bread @ middle @ bread
    return out


def _meat(x: Floats, residuals: Floats, codes: npt.NDArray[np.intp]) -> Floats:
    n, k = x.shape
    groups = int(codes.max()) + 1
    scores = np.column_stack([np.bincount(codes, x[:, j] * residuals, groups) for j in range(k)])
    out: Floats = scores.T @ scores * (groups / (groups - 1) * (n - 1) / (n - k))
    return out


def _scores(cells: Cells, arm: int) -> tuple[float, Floats]:
    """Level of an arm, less the shift, and what each cluster moves it by, shape (G,)."""
    there = cells.arm == arm
    below = float(cells.below[there].sum())
    if below == 0:
        return math.nan, np.full(cells.clusters, math.nan)
    level = float(cells.y[there].sum()) / below
    moved = (cells.y[there] - level * cells.below[there]) / below
    return level, totals(cells.cluster[there], moved, cells.clusters)


def _error(cells: Cells, s1: Floats, s0: Floats, parameters: int) -> float:
    groups, n, scores = cells.clusters, float(cells.n.sum()), s1 - s0
    if groups < 2 or n <= parameters:
        return math.nan
    return math.sqrt(groups / (groups - 1) * (n - 1) / (n - parameters) * float(scores @ scores))


def _draws(
    cells: Cells, rows: tuple[ArrayLike, ArrayLike, ArrayLike, ArrayLike | None] | None, seed: int, *, relative: bool
) -> tuple[Draws, Draws] | None:
    """Permutations, or None where CR1 serves or nothing can be permuted."""
    rng = np.random.default_rng(seed)
    back = cells.shift if relative else 0.0  # a difference is the same wherever zero is; a ratio is not
    levels = (_scores(cells, 1)[0] + back, _scores(cells, 0)[0] + back)
    shift = cells.shift - back
    match cells.design:
        case "whole":
            if cells.clusters >= FEW and min(cells.treated(1), cells.treated(0)) >= EACH:
                return None
            made = columns_of(cells.y + back * cells.n, cells.below, cells.arm, levels, relative=relative)
            return whole_clusters(made, cells.arm, rng)
        case "inside" if cells.clusters < FEW:
            if rows is not None and len(np.asarray(rows[0])) <= ROWS:
                outcome, arm = np.asarray(rows[0], dtype=np.float64) - shift, np.asarray(rows[1], dtype=np.int64)
                below = np.ones(len(outcome)) if rows[3] is None else np.asarray(rows[3], dtype=np.float64)
                made = columns_of(outcome, below, arm, levels, relative=relative)
                return inside_rows(made, arm, np.asarray(rows[2]), rng)
            if cells.yy is not None and cells.x is None:
                y = cells.y + back * cells.n
                yy = cells.yy + 2 * back * cells.y + back**2 * cells.n
                return inside_sums(cells.cluster, cells.arm, cells.n, y, yy, levels, rng, relative=relative)
    return None


def _turned(low: Floats, high: Floats, null: float) -> tuple[laws.Law, float]:
    """The law whose bounds at alpha hold what more than alpha of the permutations cannot tell from what was seen."""
    many = len(low)
    levels = np.arange(many) / many
    p_value = float(((low <= null) & (high >= null)).mean())
    return laws.drawn_tails(np.sort(low).tolist(), np.sort(high)[::-1].tolist(), levels.tolist()), p_value


def _said(cells: Cells) -> str:
    where = "permuted inside" if cells.design == "inside" else "permutation of"
    return f"{where} {cells.clusters} clusters"


def _open(name: str, kind: str, value: float, n: int, alpha: float, labels: dict[str, Any]) -> Estimate:
    """An estimate whose error cannot be told: nothing is decided on it."""
    return Estimate(name=name, kind=kind, value=value, low=-math.inf, high=math.inf, n=n, level=1 - alpha, **labels)
