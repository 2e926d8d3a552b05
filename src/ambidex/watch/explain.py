"""What explains and never rings by itself: performance expected without labels, column harm, the classifier's day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

from ambidex.bundle.reference_rows import packed_cells, unpacked_cells
from ambidex.records import Schema
from ambidex.stats.calibration import at_knots, expected_accuracy, expected_auc
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import exact, finite
from ambidex.watch.incidents import State
from ambidex.watch.layers import Ring
from ambidex.watch.look import SCORE_BINS, Look

__all__ = ["column_harm", "expected_performance", "relations", "take_scores"]

ENOUGH_SCORES = 1_000
DAY_S = 86_400.0
MOST_CELLS = 2_000
"""Live rows a day that the classifier looks at; its state is rewritten at every pass."""
FEWEST_CELLS = 200

BLIND = "cannot see that what the inputs mean has changed"


def take_scores(state: State, look: Look) -> None:
    """Keep the newest thousand outputs or more, in bins. Changes the state in place."""
    if look.score_bins is None:
        return
    kept = state.get("scores") or {"n": 0, "bins": {}}
    n = int(look.score_bins.sum())
    if n >= ENOUGH_SCORES or kept["n"] >= ENOUGH_SCORES:
        kept = {"n": 0, "bins": {}}
    bins = dict(kept["bins"])
    for i in np.flatnonzero(look.score_bins):
        bins[str(i)] = bins.get(str(i), 0) + int(look.score_bins[i])
    state["scores"] = {"n": kept["n"] + n, "bins": bins}


def expected_performance(state: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, Any] | None:
    """CBPE of the newest outputs: shown, never rung. None without a curve or without outputs."""
    knots = (reference.get("calibration") or {}).get("knots")
    kept = state.get("scores")
    if not knots or not knots[0] or not kept or not kept["n"]:
        return None
    counts = np.zeros(SCORE_BINS)
    for i, n in kept["bins"].items():
        counts[int(i)] = n
    middle = (np.arange(SCORE_BINS) + 0.5) / SCORE_BINS
    rates = at_knots((knots[0], knots[1]), middle)
    auc = expected_auc(counts, rates)
    accuracy = expected_accuracy(counts, middle >= 0.5, rates)
    return {
        "method": "CBPE", "n": kept["n"], "blind": BLIND,
        **{
            name: {"value": finite(e.value), "low": finite(e.low), "high": finite(e.high)}
            for name, e in (("auc", auc), ("accuracy", accuracy))
        },
    }  # fmt: skip


def column_harm(
    reference: Mapping[str, Any], schema: Schema, counts: Mapping[str, Sequence[int]]
) -> list[dict[str, Any]]:
    """Which columns' moves would make errors worse, by the reference's own losses: rank and sign, never a size.

    Mean over labelled reference rows of (w - 1)(loss - mean loss), w = live over reference share of the row's cell.
    The sums came out three times too high on a known case, so they are not shown.
    """
    mean = (reference.get("loss") or {}).get("mean")
    if mean is None:
        return []
    found = []
    for name in schema.names:
        entry = reference["columns"][name]
        sums, live = entry.get("losses"), np.asarray(counts.get(name, ()), dtype=np.float64)
        if not sums or not live.sum():
            continue
        n, total = np.asarray(sums["n"], dtype=np.float64), np.asarray(sums["sum"], dtype=np.float64)
        there = n > 0
        w = (live / live.sum())[there] / (n / n.sum())[there]
        found.append((name, float(((w - 1) * (total[there] - n[there] * mean)).sum() / n.sum())))
    ranked = sorted(found, key=lambda item: -abs(item[1]))
    return [{"column": name, "sign": "worse" if x > 0 else "better"} for name, x in ranked if abs(x) > 0]


def relations(
    state: State, reference: Mapping[str, Any], schema: Schema, look: Look, *, alpha: float, at: datetime | None
) -> list[Ring]:
    """The domain classifier, once a day, on up to 2,000 of the day's rows. Changes the state in place."""
    sample = reference.get("sample")
    kept = dict(state.get("relations") or {"cells": None, "rows": 0, "last": None, "result": None, "since": None})
    state["relations"] = kept
    if not sample or look.cells is None or sample["columns"] != look.cells.shape[1]:
        kept["result"] = {"state": "not run", "why": "the version's reference keeps no sample of rows"}
        return []
    width = sample["columns"]
    held = (
        unpacked_cells({"rows": kept["rows"], "columns": width, "cells": kept["cells"]})
        if kept["cells"]
        else np.empty((0, width), dtype=np.uint8)
    )
    cells = np.concatenate([held, look.cells])
    if len(cells) > MOST_CELLS:
        cells = cells[np.linspace(0, len(cells) - 1, MOST_CELLS).astype(np.int64)]
    began = kept["since"] or look.began
    now = None if at is None else at.timestamp()
    young = now is not None and kept["last"] is not None and now - kept["last"] < 0.9 * DAY_S
    if len(cells) < FEWEST_CELLS or young:
        kept |= {"cells": packed_cells(cells), "rows": len(cells), "since": began}
        return []
    from ambidex.stats.relations import separation

    found = separation(unpacked_cells(sample), cells, seed=int(state["looks"]))
    kept |= {"cells": None, "rows": 0, "since": None, "last": now}
    if found is None:
        kept["result"] = {"state": "not run", "why": "scikit-learn is not there, or too few rows"}
        return []
    names = [schema.names[int(i)] for i in np.argsort(-np.asarray(found.importance), kind="stable")[:5]]
    kept["result"] = {"state": "run", "p_value": found.p_value, "auc": found.auc, "columns": names, "n": found.n}
    claim = Claim(measure="relations", relation="below", margin=alpha, alpha=alpha, looks="anytime")
    if decide(claim, exact("p of one distribution", found.p_value, n=found.n)).outcome != "supported":
        return []
    text = f"columns go together differently: live rows are told from the reference's, AUC {found.auc:.2f}; "
    text += f"likely {', '.join(names[:3])}"
    return [Ring("relations", tuple(names[:3]), began, text)]
