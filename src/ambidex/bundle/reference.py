"""What a version's inputs, scores and losses looked like when it was made: cells and how many rows fell in each.

A number's values fall into 16 quantile cells. A value that a sixteenth of the rows share has a cell of its
own, and missing is a cell. A category's values fall into the 16 most frequent levels, the other levels of
training, levels never seen in training, and missing. Cells are cut on training rows and counted on others:
counted on the rows they were cut on they would come out too even.

Everything is plain JSON, so that it is sealed in the bundle and read without trust.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.data.table import Table
from ambidex.records import Schema

__all__ = [
    "CELLS",
    "cells_of",
    "count",
    "labels_of",
    "make_reference",
    "mid_ranks",
    "number_entry",
    "quantile_of",
    "share",
    "slots",
]

CELLS = 16
MOST_OTHERS = 5000
"""Rarer levels kept by name. A column with more is closer to an id: what is new in it cannot be told."""

Entry = Mapping[str, Any]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def make_reference(
    table: Table,
    schema: Schema,
    *,
    cut_on: Table | None = None,
    scores: ArrayLike | None = None,
    losses: ArrayLike | None = None,
    spread: float | None = None,
    outcomes: ArrayLike | None = None,
    sample: bool = False,
) -> dict[str, Any]:
    """The reference of a version.

    Args:
        table: Rows that the version was not trained on; they are counted.
        schema: Its inputs.
        cut_on: Training rows, on which the cells are cut; ``table`` itself where there are no others.
        scores: The version's output for each row of ``table``, shape (rows,); of several classes their
            probabilities, shape (rows, classes): what is watched then is the mix of the likeliest ones.
        losses: Loss of each row of ``table``, shape (rows,); NaN where the label is unknown. In [0, 1] for
            yes/no. For numbers: squared error as a share of ``spread``; what exceeds 1 counts as 1, so
            that one row cannot carry the mean.
        spread: For numbers: the variance of the training target.
        outcomes: What really happened, shape (rows,): 1 and 0, the number, or the place of the class; NaN where
            it is unknown.
        sample: Keep which cells a sample of the rows fell in, to tell live rows from.

    Returns:
        Plain JSON: ``columns`` by name, ``score``, ``loss`` (``n``, ``mean``, ``sd``, ``cap``, ``spread``),
        ``calibration`` (see ``reference_rows.calibration_of``), ``sample`` (``reference_rows.sample_of``), ``rows``.

    Example:
        >>> import pyarrow as pa
        >>> from ambidex.records import Column
        >>> t = Table("t", None, pa.table({"plan": ["a", "a", "b", None]}))
        >>> s = Schema(columns=(Column(name="plan", type="category"),), target="y", task="binary")
        >>> make_reference(t, s)["columns"]["plan"]["counts"]
        [2, 1, 0, 1]
    """
    from ambidex.bundle.reference_rows import rows_of_reference

    cut = table if cut_on is None else cut_on
    columns: dict[str, Any] = {}
    for column in schema.columns:
        if column.type == "category":
            columns[column.name] = _category_entry(table.text(column.name), cut.text(column.name))
        else:
            entry = number_entry(table.number(column.name), cut.number(column.name))
            odd = _not_numbers(table, column.name)
            entry["not_numbers"] = odd
            entry["limits"]["not_numbers"] = _limit(odd, table.rows, slack=0.01)
            columns[column.name] = entry
    return {
        "format": "ambidex-reference/1",
        "rows": table.rows,
        "columns": columns,
        "score": None if scores is None else _score_entry(np.asarray(scores, dtype=np.float64), schema.classes),
        "loss": None if losses is None else _loss(np.asarray(losses, dtype=np.float64), spread),
        **rows_of_reference(
            table, schema, columns, scores=scores, losses=losses, outcomes=outcomes, spread=spread, sample=sample
        ),
    }


def number_entry(values: Floats, cut_on: Floats | None = None) -> dict[str, Any]:
    """Cells and counts of a numeric column; NaN is missing.

    Returns:
        ``edges`` (cell i holds edge[i-1] < x <= edge[i], open at both ends), ``counts`` (a cell each, missing
        last), ``centres`` (median of each cell), ``limits``.
    """
    cut = values if cut_on is None else cut_on
    present = np.sort(cut[~np.isnan(cut)])
    edges = _edges(present)
    place = np.searchsorted(edges, present, side="left")
    centres = []
    for i in range(len(edges) + 1):
        inside = present[place == i]
        nearest = edges[min(i, len(edges) - 1)] if len(edges) else 0.0
        centres.append(float(np.median(inside)) if len(inside) else float(nearest))
    entry: dict[str, Any] = {"kind": "number", "edges": edges.tolist(), "centres": centres}
    counts = count(entry, values)
    there = values[~np.isnan(values)]
    quartiles = np.quantile(there, [0.25, 0.5, 0.75]).tolist() if len(there) else None
    return {
        **entry,
        "counts": counts.tolist(),
        "quartiles": quartiles,
        "limits": {"missing": _limit(int(counts[-1]), len(values), slack=0.05)},
    }


def _score_entry(scores: Floats, classes: Sequence[str]) -> dict[str, Any]:
    """Outputs as a column: numbers in cells, several classes by the likeliest one."""
    if scores.ndim == 1:
        return number_entry(scores)
    names = np.array([*(str(c) for c in classes), None], dtype=object)
    known = np.flatnonzero(np.isfinite(scores).all(axis=1))
    place = np.full(len(scores), len(names) - 1)
    place[known] = scores[known].argmax(axis=1)
    chosen = names[place]
    # Every class is named, seen or not: a class that the model comes to choose is none that it never knew.
    entry: dict[str, Any] = {"kind": "category", "levels": [str(c) for c in classes], "others": [], "many": False}
    counts = count(entry, chosen)
    limits = {"missing": _limit(int(counts[-1]), len(chosen), slack=0.05), "unseen": 0.01}
    return {**entry, "counts": counts.tolist(), "limits": limits}


def _category_entry(values: NDArray[Any], cut_on: NDArray[Any]) -> dict[str, Any]:
    seen = Counter(v for v in cut_on.tolist() if v is not None)
    ordered = [level for level, _ in sorted(seen.items(), key=lambda item: (-item[1], item[0]))]
    entry: dict[str, Any] = {
        "kind": "category",
        "levels": ordered[:CELLS],
        "others": sorted(ordered[CELLS : CELLS + MOST_OTHERS]),
        "many": len(ordered) > CELLS + MOST_OTHERS,
    }
    counts = count(entry, values)
    names = slots(entry)
    return {
        **entry,
        "counts": counts.tolist(),
        "limits": {
            "missing": _limit(int(counts[names.index("missing")]), len(values), slack=0.05),
            "unseen": _limit(int(counts[names.index("unseen")]), len(values), slack=0.01),
        },
    }


def slots(entry: Entry) -> list[str]:
    """What each count is of: ``cell`` or ``level``, then ``other`` (where there are any), ``unseen``, ``missing``.

    >>> slots({"kind": "category", "levels": ["a", "b"], "others": []})
    ['level', 'level', 'unseen', 'missing']
    """
    if entry["kind"] == "number":
        return ["cell"] * (len(entry["edges"]) + 1) + ["missing"]
    other = ["other"] if entry["others"] else []
    return ["level"] * len(entry["levels"]) + other + ["unseen", "missing"]


def labels_of(entry: Entry) -> list[str]:
    """What each count is of, in words."""
    if entry["kind"] == "number":
        edges = list(entry["edges"])
        names = [_cell_name(e, edges[i - 1] if i else None, *edges[i + 1 : i + 2]) for i, e in enumerate(edges)]
        return [*names, f"above {edges[-1]:.6g}" if edges else "any number", "missing"]
    levels = list(entry["levels"])
    for name in (["other"] if entry["others"] else []) + ["never seen", "missing"]:
        levels.append(f"({name})" if name in levels else name)
    return levels


def _cell_name(edge: float, before: float | None, after: float | None = None) -> str:
    """A cell in words; a value that many rows share is a cell of its own, cut just below it."""
    if after is not None and math.nextafter(edge, math.inf) == after:
        return f"below {after:.6g}"
    if before is not None and math.nextafter(before, math.inf) == edge:
        return f"exactly {edge:.6g}"
    return f"up to {edge:.6g}"


def cells_of(entry: Entry, values: Sequence[Any] | NDArray[Any]) -> Ints:
    """Which count each row belongs to. Shape (rows,).

    Args:
        entry: A column's reference.
        values: Floats with NaN, or texts with None, shape (rows,).
    """
    last = len(slots(entry)) - 1
    if entry["kind"] == "number":
        numbers = np.asarray(values, dtype=np.float64)
        place = np.searchsorted(np.asarray(entry["edges"], dtype=np.float64), numbers, side="left")
        return np.where(np.isnan(numbers), last, place).astype(np.int64)
    known: dict[Any, int] = {level: i for i, level in enumerate(entry["levels"])}
    if entry["others"]:
        known |= dict.fromkeys(entry["others"], len(entry["levels"]))
    known[None] = last
    new = len(entry["levels"]) if entry.get("many") else last - 1
    return np.fromiter((known.get(v, new) for v in values), dtype=np.int64, count=len(values))


def count(entry: Entry, values: Sequence[Any] | NDArray[Any]) -> Ints:
    """How many rows fall in each slot; see ``slots``. Counts of parts add up to the counts of the whole.

    >>> count({"kind": "category", "levels": ["a"], "others": []}, ["a", "a", "new", None]).tolist()
    [2, 1, 1]
    """
    return np.bincount(cells_of(entry, values), minlength=len(slots(entry))).astype(np.int64)


def mid_ranks(entry: Entry) -> Floats:
    """Score of each slot of a numeric column: the reference's share below it plus half its own; missing is .5.

    The reference's own mean is .5 by construction, and a live mean is the chance that a live row lies above a
    reference row, ties and missing counting half.

    >>> mid_ranks({"kind": "number", "edges": [1.0], "counts": [1, 3, 0]}).tolist()
    [0.125, 0.625, 0.5]
    """
    counts = np.asarray(entry["counts"], dtype=np.float64)[:-1]
    total = counts.sum()
    if total == 0:
        return np.full(len(counts) + 1, 0.5)
    return np.append((np.cumsum(counts) - counts / 2) / total, 0.5)  # counts add up exactly, shares do not


def share(counts: ArrayLike, slot: int) -> float:
    """Share of one slot; NaN without rows."""
    numbers = np.asarray(counts)
    total = numbers.sum()
    return float(numbers[slot] / total) if total else math.nan


def quantile_of(entry: Entry, counts: ArrayLike, q: float) -> float | None:
    """A quantile read off the cells: the median of the training rows in the cell that holds it. None without rows."""
    numbers = np.asarray(counts, dtype=np.float64)[:-1]
    total = numbers.sum()
    if not total:
        return None
    cell = int(np.searchsorted(np.cumsum(numbers), q * total, side="left"))
    return float(entry["centres"][min(cell, len(numbers) - 1)])


def _edges(present: Floats) -> Floats:
    """Upper edges of the cells: quantiles, and both sides of every value that holds a whole cell's share."""
    n = len(present)
    if n == 0:
        return np.empty(0)
    values, counts = np.unique(present, return_counts=True)
    heavy = values[counts * CELLS >= n]
    cuts = np.quantile(present, np.arange(1, CELLS) / CELLS, method="inverted_cdf")
    edges: Floats = np.unique(np.concatenate([cuts, heavy, np.nextafter(heavy, -np.inf)]))
    edges = edges[np.isfinite(edges)]
    held = np.bincount(np.searchsorted(edges, present, side="left"), minlength=len(edges) + 1)
    # A gap between two values of training joins the cell above it. Beyond a point mass at either end a cell
    # stays though it is empty: a column that was constant must show when it no longer is.
    keep = held[:-1] > 0
    keep[0] = True
    edges = edges[keep]
    if len(edges) and edges[-1] == values[-1] and values[-1] not in heavy:
        edges = edges[:-1]
    return edges


def _limit(offending: int, rows: int, *, slack: float) -> float:
    """A rule's limit on a share: half as much again as in the reference, and at least ``slack`` more."""
    usual = offending / rows if rows else 0.0
    return float(min(1.0, usual + max(slack, usual / 2)))


def _not_numbers(table: Table, name: str) -> int:
    absent = np.isnan(table.number(name))
    if not absent.any():
        return 0
    written = np.fromiter((v is not None for v in table.text(name)), dtype=bool, count=table.rows)
    return int((absent & written).sum())


def _loss(losses: Floats, spread: float | None) -> dict[str, Any]:
    known = np.minimum(losses[~np.isnan(losses)], 1.0)
    n = len(known)
    return {
        "n": n,
        "mean": float(known.mean()) if n else None,
        "sd": float(known.std(ddof=1)) if n > 1 else None,
        "cap": 1.0,
        "spread": spread,
    }
