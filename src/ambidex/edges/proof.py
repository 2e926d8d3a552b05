"""The proof that a sealed model predicts what the original does: on a table's rows, and on awkward ones."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.open import load_scorer
from ambidex.data.table import Table
from ambidex.errors import Refused
from ambidex.records import Schema

__all__ = [
    "GOLDEN_ROWS", "PROOF_ROWS", "TOLERANCE", "Made", "answers", "boundary_rows", "finite", "golden_of", "proof_rows",
    "proven", "raw_rows",
]  # fmt: skip

TOLERANCE = 1e-9
"""Largest relative difference that counts as the same: batches of another size add up in another order."""
PROOF_ROWS = 5_000
SINGLE_ROWS = 60
GOLDEN_ROWS = 48


@dataclass(frozen=True)
class Made:
    """A bundle of code, and how equal it is to what it was made from.

    Attributes:
        files: What ``code_files`` gave.
        equal: Rows whose prediction is the same within the tolerance, single and batched.
        of: Rows compared: the table's, missing, new and boundary ones.
        largest: Largest difference.
        runtime: What executes it: ``skops``, ``plain``, ``pickle``, …
        notes: (code, text) that people must know.
    """

    files: dict[str, bytes]
    equal: int
    of: int
    largest: float
    runtime: str
    notes: list[tuple[str, str]] = field(default_factory=list)


def proven(
    files: dict[str, bytes],
    rows: list[dict[str, Any]],
    expected: NDArray[np.float64],
    runtime: str,
    notes: list[tuple[str, str]],
) -> Made:
    """Compare a bundle with the predictions of the original, all at once and a few hundred one by one."""
    scorer = load_scorer(json.loads(files["model.json"]), files)
    columns = {
        c.name: np.array([r[c.name] for r in rows], dtype=object if c.type == "category" else np.float64)
        for c in scorer.schema.columns
    }
    together = np.asarray(scorer.score_columns(columns, len(rows)), dtype=np.float64)
    gap = np.abs(together - expected)
    few = np.unique(np.linspace(0, len(rows) - 1, num=min(len(rows), SINGLE_ROWS)).astype(int))
    for i in few:
        gap[i] = np.maximum(gap[i], np.abs(np.asarray(scorer.score(rows[i])) - expected[i]))
    same = (gap <= TOLERANCE * np.maximum(1.0, np.abs(expected))).reshape(len(rows), -1).all(axis=1)
    return Made(files, int(same.sum()), len(rows), float(gap.max(initial=0.0)), runtime, notes)


def raw_rows(table: Table, schema: Schema, most: int = PROOF_ROWS) -> list[dict[str, Any]]:
    """Rows of a table as a request carries them, evenly spaced."""
    from ambidex.bundle.columns import columns_of, rows_of

    some = table.take(np.unique(np.linspace(0, table.rows - 1, num=min(table.rows, most)).astype(int)))
    columns, _ = columns_of(some, schema.relaxed())
    return rows_of(columns, schema, range(some.rows))


def proof_rows(
    table: Table, schema: Schema, ask: Callable[[list[dict[str, Any]]], NDArray[np.float64]]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The table's rows, and after them missing, new, extreme and boundary ones that the original answers.

    Returns:
        (all rows, the table's rows).
    """
    own = raw_rows(table, schema)
    more = boundary_rows(own, schema)
    try:
        answered = finite(ask(more))
    except Refused:
        raise
    except Exception:
        answered = np.array([answers(ask, row) for row in more])
    return own + [row for row, good in zip(more, answered, strict=True) if good], own


def finite(outputs: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Rows with a number, or a number a class."""
    return np.asarray(np.isfinite(outputs).reshape(len(outputs), -1).all(axis=1), dtype=np.bool_)


def golden_of(
    rows: list[dict[str, Any]], expected: NDArray[np.float64], own: int
) -> tuple[list[dict[str, Any]], list[Any]]:
    """Some of the table's rows, and of the awkward ones after them, with their predictions."""
    some = [*range(0, own, max(1, own // GOLDEN_ROWS))][:GOLDEN_ROWS]
    chosen = [*some, *range(own, len(rows))[: 2 * GOLDEN_ROWS]]
    return [rows[i] for i in chosen], [expected[i].tolist() for i in chosen]


def boundary_rows(rows: Sequence[Mapping[str, Any]], schema: Schema, most: int = 400) -> list[dict[str, Any]]:
    """Awkward rows: missing, never seen, far outside, and the two sides of values that float32 cannot tell apart.

    A split or a bin between two such neighbours answers otherwise in float32; the table's own rows seldom show it.
    """
    base = dict(rows[0])
    out: list[dict[str, Any]] = []
    for column in schema.columns:
        if column.nullable:
            out.append({**base, column.name: None})
        if column.type == "category":
            out += [{**base, column.name: level} for level in (*column.levels[:8], "never seen before")]
            continue
        values = sorted({float(r[column.name]) for r in rows if r[column.name] is not None})
        step = max(1, len(values) // 24)
        whole = column.type == "integer"
        for value in [*values[::step], 0.0, -1e6, 1e9]:
            out.append({**base, column.name: int(value) if whole else value})
            if whole:
                out += [{**base, column.name: int(value) + by} for by in (-1, 1)]
            else:
                out += [{**base, column.name: math.nextafter(value, to)} for to in (-math.inf, math.inf)]
                out += [{**base, column.name: float(np.float32(value))}]
    if len(out) > most:
        out = [out[i] for i in np.unique(np.linspace(0, len(out) - 1, num=most).astype(int))]
    return out


def answers(ask: Callable[[list[dict[str, Any]]], NDArray[np.float64]], row: dict[str, Any]) -> bool:
    """Whether the model gives numbers for a row."""
    try:
        return bool(finite(ask([row]))[0])
    except Exception:
        return False
