"""What the reference keeps of its rows beside counts: losses by cell, calibration, and which cells rows fell in.

No value of a row is kept. A sample of up to 10,000 rows is kept as the numbers of the cells they fell in, which is
enough to see whether columns still go together as they did.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.bundle.reference import cells_of, slots
from ambidex.data.table import Table
from ambidex.records import Schema

__all__ = ["SAMPLE", "calibration_of", "gap_of", "packed_cells", "rows_of_reference", "sample_of", "unpacked_cells"]

SAMPLE = 10_000
"""Most rows of the sample."""

Floats = NDArray[np.float64]


def rows_of_reference(
    table: Table,
    schema: Schema,
    columns: dict[str, dict[str, Any]],
    *,
    scores: ArrayLike | None,
    losses: ArrayLike | None,
    outcomes: ArrayLike | None,
    spread: float | None,
    sample: bool,
) -> dict[str, Any]:
    """``calibration`` and ``sample`` of a reference; the sums of losses by cell are added to its columns.

    Args:
        table: The reference's rows.
        schema: The inputs.
        columns: The reference's entries; each gains ``losses``: rows with a loss and their sum, of categories the sum
            of squares as well, a list a slot each.
        scores: As in ``make_reference``.
        losses: Likewise.
        outcomes: Likewise.
        spread: Likewise.
        sample: Likewise.
    """
    lost = None if losses is None else np.minimum(np.asarray(losses, dtype=np.float64), 1.0)
    cells = np.empty((table.rows, len(schema.columns)), dtype=np.uint8)
    for j, column in enumerate(schema.columns):
        entry = columns[column.name]
        values = table.text(column.name) if column.type == "category" else table.number(column.name)
        cells[:, j] = place = cells_of(entry, values)
        if lost is not None:
            known, width = np.isfinite(lost), len(slots(entry))
            place, kept = place[known], lost[known]
            sums = {
                "n": np.bincount(place, minlength=width).tolist(),
                "sum": np.bincount(place, weights=kept, minlength=width).round(4).tolist(),
            }
            if column.type == "category":  # a slice may be declared on it, and then needs its own limit
                sums["squares"] = np.bincount(place, weights=kept**2, minlength=width).round(4).tolist()
            entry["losses"] = sums
    calibration = None
    if scores is not None and outcomes is not None:
        calibration = calibration_of(
            np.asarray(scores, dtype=np.float64),
            np.asarray(outcomes, dtype=np.float64),
            task=schema.task,
            spread=spread,
        )
    return {"calibration": calibration, "sample": sample_of(cells) if sample else None}


def sample_of(cells: NDArray[np.uint8]) -> dict[str, Any]:
    """Evenly spaced rows as packed cell numbers."""
    kept = cells
    if len(cells) > SAMPLE:
        kept = cells[np.linspace(0, len(cells) - 1, SAMPLE).astype(np.int64)]
    return {"rows": len(kept), "columns": int(kept.shape[1]), "cells": packed_cells(kept)}


def packed_cells(cells: NDArray[np.uint8]) -> str:
    """Cell numbers as text; column by column, which packs best."""
    return base64.b64encode(zlib.compress(np.ascontiguousarray(cells.T).tobytes(), 6)).decode()


def unpacked_cells(sample: Mapping[str, Any]) -> NDArray[np.uint8]:
    """The sample's cells, shape (rows, columns).

    >>> unpacked_cells(sample_of(np.array([[1, 2], [3, 4]], dtype=np.uint8))).tolist()
    [[1, 2], [3, 4]]
    """
    rows, columns = int(sample["rows"]), int(sample["columns"])
    if rows * columns == 0:
        return np.empty((rows, columns), dtype=np.uint8)
    # At most what is expected is inflated: the text comes from a file.
    data = zlib.decompressobj().decompress(base64.b64decode(sample["cells"]), rows * columns)
    return np.frombuffer(data, dtype=np.uint8).reshape(columns, rows).T


def gap_of(score: Any, outcome: float, *, task: str, spread: float | None) -> float | None:
    """How far one outcome lies above what the model said, in [-1, 1]; None where that means nothing.

    Yes/no: y - p. Several classes: right or not, less the probability of the likeliest. Numbers: the residual as a
    share of two standard deviations of the training target, cut at ±1.

    >>> gap_of(0.25, 1.0, task="binary", spread=None), gap_of(10.0, 14.0, task="regression", spread=4.0)
    (0.75, 1.0)
    """
    found = _gaps(np.asarray([score], dtype=np.float64), np.asarray([outcome]), task=task, spread=spread)
    return None if found is None or not np.isfinite(found[0]) else float(found[0])


def _gaps(scores: Floats, outcomes: Floats, *, task: str, spread: float | None) -> Floats | None:
    if task == "binary" and scores.ndim == 1:
        return np.asarray(outcomes - scores, dtype=np.float64)
    if task == "multiclass" and scores.ndim == 2:
        right = np.where(np.isfinite(outcomes), scores.argmax(axis=1) == outcomes, np.nan)
        return np.asarray(right - scores.max(axis=1), dtype=np.float64)
    if task == "regression" and scores.ndim == 1 and spread:
        return np.asarray(np.clip((outcomes - scores) / (2 * spread**0.5), -1.0, 1.0), dtype=np.float64)
    return None


def calibration_of(scores: Floats, outcomes: Floats, *, task: str, spread: float | None) -> dict[str, Any] | None:
    """How outcomes lay beside scores: ``gap`` {``n``, ``mean``, ``sd``}, and for yes/no the curve ``knots``."""
    gaps = _gaps(scores, outcomes, task=task, spread=spread)
    if gaps is None:
        return None
    gaps = gaps[np.isfinite(gaps)]
    if len(gaps) < 2:
        return None
    out: dict[str, Any] = {
        "gap": {"n": len(gaps), "mean": float(gaps.mean()), "sd": float(gaps.std(ddof=1))},
        "knots": None,
    }
    if task == "binary":
        from ambidex.stats.calibration import calibration_knots

        at, rate = calibration_knots(scores, outcomes)
        out["knots"] = [at, rate]
    return out
