"""Models without a label: what a segment model is judged by instead.

No row ever says which segment it belongs to. What can be measured on rows that were not fitted: how much more alike
rows are within their segments than all rows are (a loss, lower is better), and whether the segments come again when
the rows are drawn again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of
from ambidex.bundle.segments import SegmentScorer
from ambidex.bundle.segments_fit import fit_groups
from ambidex.data.table import Table
from ambidex.ports import Scorer
from ambidex.records import Recipe
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.clustering import Assign, stability
from ambidex.stats.compare import paired_mean
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.laws import normal

__all__ = ["evaluate_segments", "misfit", "steady"]

Floats = NDArray[np.float64]

AGAIN, DRAWS = 3_000, 60


def misfit(scorer: Scorer, rows: Table) -> tuple[Floats, Floats]:
    """Loss of each row by its segment, and by one segment for all. Shape (rows,) each."""
    assert isinstance(scorer, SegmentScorer)
    columns, _ = columns_of(rows, scorer.schema.relaxed())
    return scorer.misfit(columns, rows.rows)


def evaluate_segments(scorer: Scorer, recipe: Recipe, fit_rows: Table, test_rows: Table) -> dict[str, Any]:
    """Share of the rows' differences that the segments take up, on rows not fitted, and how steady the segments are."""
    own, whole = misfit(scorer, test_rows)
    base = float(whole.mean())
    saved = paired_mean(whole - own, name="misfit saved")
    steadiness = _again(scorer, recipe, fit_rows)
    return {
        "metric": "fit",
        "value": finite(saved.value / base) if base > 0 else None,
        "low": finite(saved.low / base) if base > 0 else None,
        "high": finite(saved.high / base) if base > 0 else None,
        "base_rate": None,
        "stability": {"value": steadiness.value, "se": finite(steadiness.se or 0.0), "n": steadiness.n},
    }


def steady(evaluation: Mapping[str, Any], *, alpha: float) -> Verdict:
    """The claim that the least stable segment's mean Jaccard index over bootstrap samples is above .75."""
    kept = evaluation["stability"]
    name = "Jaccard index of the least stable segment"
    estimate = Estimate(
        name=name, kind="share", value=kept["value"], low=0.0, high=1.0, n=kept["n"], unit="share",
        method="bootstrap Jaccard", se=kept["se"], law=normal(0.0, 1.0),
    )  # fmt: skip
    return decide(Claim(measure=name, relation="above", margin=0.75, alpha=alpha), estimate)


def _again(scorer: Scorer, recipe: Recipe, rows: Table) -> Estimate:
    some = rows.take(np.linspace(0, rows.rows - 1, num=min(rows.rows, AGAIN)).astype(np.int64))
    columns, _ = columns_of(some, scorer.schema.relaxed())
    labels = np.asarray(scorer.score_columns(columns, some.rows)).astype(np.int64)
    options = recipe.options

    def fit(picked: Floats, seed: int) -> tuple[Floats, Assign]:
        index = picked[:, 0].astype(np.int64)
        again = SegmentScorer(
            fit_groups(
                {n: v[index] for n, v in columns.items()}, approach=options["approach"], k=int(options["k"]), seed=seed,
                scale=options["scale"],
            )
        )  # fmt: skip
        everyone = again.score_columns(columns, some.rows).astype(np.int64)
        return np.zeros((0, 0)), lambda _: everyone

    index = np.arange(some.rows, dtype=np.float64)[:, None]
    estimate, _ = stability(fit, index, labels, seed=recipe.seed, draws=DRAWS, name="stability")
    return estimate
