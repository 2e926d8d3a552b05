"""Can rows of now be told from rows of then? A classifier's answer, where single columns say nothing.

One split: trees learn on one part, the rank test looks at the other. Two folds instead of one rang 10% at a nominal
5%, since the two tests share their rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ambidex.stats import laws

__all__ = ["Separation", "separation"]

TREES = 60
FEWEST = 100
"""Rows on either side below which nothing is tried."""


@dataclass(frozen=True, slots=True)
class Separation:
    """How well the classifier tells them apart.

    Attributes:
        p_value: Of "one distribution", by the rank test on rows that the trees have not seen.
        auc: Their ranking of those rows; .5 is chance.
        importance: Of each column in the trees, summing to 1, shape (columns,).
        n: Rows of now.
    """

    p_value: float
    auc: float
    importance: tuple[float, ...]
    n: int


def separation(then: NDArray[np.uint8], now: NDArray[np.uint8], *, seed: int) -> Separation | None:
    """Tell rows of now from rows of then by the cells they fall in.

    Source: classifier two-sample test, Lopez-Paz & Oquab (2017), ICLR, with the rank statistic of Mann & Whitney.

    Args:
        then: Cells of reference rows, shape (m, columns).
        now: Cells of live rows, shape (n, columns).
        seed: Of the split and the trees.

    Returns:
        None with fewer than 100 rows on a side, or without scikit-learn.
    """
    if min(len(then), len(now)) < FEWEST or then.shape[1] == 0:
        return None
    try:
        from sklearn.ensemble import RandomForestClassifier
    except ImportError:
        return None
    rng = np.random.default_rng(seed)
    then = then[rng.permutation(len(then))[: 4 * len(now)]]
    now = now[rng.permutation(len(now))]
    half_then, half_now = len(then) // 2, len(now) // 2
    x = np.concatenate([then[:half_then], now[:half_now]]).astype(np.float32)
    y = np.repeat([0, 1], [half_then, half_now])
    forest = RandomForestClassifier(
        n_estimators=TREES, max_depth=8, min_samples_leaf=8, max_features=0.5, class_weight="balanced",
        random_state=seed % (1 << 31), n_jobs=1,
    )  # fmt: skip
    forest.fit(x, y)
    rest = np.concatenate([then[half_then:], now[half_now:]]).astype(np.float32)
    from scipy.stats import rankdata

    ranks = rankdata(forest.predict_proba(rest)[:, 1])
    m, n = len(then) - half_then, len(now) - half_now
    above = float(ranks[m:].sum()) - n * (n + 1) / 2
    ties = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    total = m + n
    spread = m * n / 12 * (total + 1 - float((ties**3 - ties).sum()) / (total * (total - 1)))
    z = (above - m * n / 2 - 0.5) / math.sqrt(spread) if spread > 0 else 0.0
    p = laws.normal_p(z) / 2 if z > 0 else 1 - laws.normal_p(z) / 2  # better than chance is the only news
    return Separation(
        p_value=min(1.0, p), auc=above / (m * n), importance=tuple(forest.feature_importances_.tolist()), n=len(now)
    )
