"""Which columns may be asked about: ids, constants, leaks and free text are left out, and said."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.table import Table
from ambidex.insight.outcome import Outcome
from ambidex.report import words
from ambidex.stats.discrimination import auc

__all__ = ["Screened", "leak", "screen"]

Values = npt.NDArray[Any]

LEVELS = 60
"""Labels with more levels than this are names or free text, not a factor."""

LEAK_AUC = 0.99
SUSPECT_AUC = 0.80
LEAK_R2 = 0.99
SUSPECT_R2 = 0.80

PURE_ROWS = 30
"""Rows that a level needs before "all of them have the rarer outcome" is a leak and not chance."""


@dataclass
class Screened:
    """Columns that stay, those that do not, and why.

    Attributes:
        columns: Name -> values of rows with the outcome: float64 with NaN, or labels with None.
        left_out: ``{name, code, text}`` each.
        cautions: (code, text) each.
        suspects: Column -> how well it predicts alone, where that is suspiciously well.
    """

    columns: dict[str, Values] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)
    cautions: list[tuple[str, str]] = field(default_factory=list)
    suspects: dict[str, float] = field(default_factory=dict)

    def leave(self, name: str, code: str, text: str) -> None:
        """Leave a column out and say why."""
        self.columns.pop(name, None)
        self.left_out.append({"name": name, "code": code, "text": text})


def screen(
    table: Table,
    outcome: Outcome,
    *,
    exclude: Collection[str] = (),
    keep: Collection[str] = (),
    time: str | None = None,
) -> Screened:
    """Go through all columns but the outcome.

    Args:
        table: The table.
        outcome: Its outcome; rows without it are not looked at.
        exclude: Columns to leave out.
        keep: Columns that stay whatever the screens say.
        time: The column that orders the rows.
    """
    out = Screened()
    known = outcome.known
    for name in table.columns:
        if name == outcome.name:
            continue
        if name in exclude:
            out.leave(name, "excluded", f"{name}: left out as asked")
            continue
        facts = table.facts(name)
        out.cautions += [(p["code"], p["text"]) for p in facts.problems if p["code"] != "empty"]
        if name == time:
            out.leave(name, "time", f"{name}: orders the rows")
            continue
        if facts.role == "constant" or facts.type == "empty":
            what = "holds no value" if facts.type == "empty" else "has one value only"
            out.leave(name, "constant", f"{name}: {what}")
            continue
        if name not in keep:
            if facts.role == "id":
                out.leave(name, "id", f"{name}: {facts.unique:,} different values in {table.rows:,} rows name the rows")
                again = table.rows - facts.missing - facts.unique
                if again > 0:
                    out.cautions.append(
                        (
                            "repeated-units",
                            f"{name} repeats: {words.plural(again, 'row')} of {table.rows:,} are of one that is there "
                            "already. Rows are taken as independent: where they are alike the intervals are too narrow",
                        )
                    )
                continue
            if facts.type == "time":
                out.leave(name, "time", f"{name}: points in time")
                continue
            if facts.type == "text" or (facts.type == "category" and facts.unique > LEVELS):
                out.leave(
                    name, "text", f"{name}: {facts.unique:,} different texts; --keep {name} takes the 30 most frequent"
                )
                continue
        numeric = facts.type in ("number", "integer")
        out.columns[name] = (table.number(name) if numeric else table.text(name))[known]
    _constant_now(out)
    return out


def leak(values: Values, y: npt.NDArray[np.float64], *, binary: bool, spread: float) -> tuple[str, float, str]:
    """Whether a column knows the outcome.

    Args:
        values: The column's values, shape (n,).
        y: The outcome, shape (n,).
        binary: Whether it is yes/no.
        spread: For a number: R² of the column alone. For yes/no: AUC of the column alone, as fitted.

    Returns:
        (``leak``, ``suspect`` or empty; the figure it rests on; what was seen).
    """
    if not binary:
        if spread >= LEAK_R2:
            return "leak", spread, f"it gives {words.share(spread)} of the outcome's variance on its own"
        return ("suspect", spread, f"R² {spread:.2f} on its own") if spread >= SUSPECT_R2 else ("", spread, "")
    score = spread
    if values.dtype.kind == "f":
        filled = np.where(np.isfinite(values), values, np.nanmedian(values) if np.isfinite(values).any() else 0.0)
        raw = auc(y, filled)
        score = max(score, raw, 1 - raw)
    if score >= LEAK_AUC:
        return "leak", score, f"on its own it tells the outcome almost perfectly (AUC {score:.3f})"
    pure = _pure_level(values, y)
    if pure:
        return "leak", score, pure
    return ("suspect", score, f"AUC {score:.2f} on its own") if score >= SUSPECT_AUC else ("", score, "")


def _pure_level(values: Values, y: npt.NDArray[np.float64]) -> str:
    """A label whose rows all have the rarer outcome, more of them than chance gives."""
    rarer = 1.0 if y.mean() <= 0.5 else 0.0
    share = float((y == rarer).mean())
    if values.dtype.kind == "f":
        absent = ~np.isfinite(values)
        codes, labels = absent.astype(np.int64), ["(not missing)", "(missing)"]
    else:
        listed = values.tolist()
        place: dict[Any, int] = {v: i for i, v in enumerate(dict.fromkeys(listed))}
        codes = np.fromiter(map(place.__getitem__, listed), dtype=np.int64, count=len(listed))
        labels = ["(missing)" if v is None else str(v) for v in place]
        absent = codes == place.get(None, -1)
    rows = np.bincount(codes, minlength=len(labels))
    rare = np.bincount(codes, weights=y == rarer, minlength=len(labels))
    seen = [(labels[i], int(rows[i]), int(rare[i])) for i in np.flatnonzero(rows)]
    if values.dtype.kind != "f" and absent.any():
        seen.append(("(not missing)", int((~absent).sum()), int((y[~absent] == rarer).sum())))
    for label, size, hits in seen:
        # With this many rows chance gives it less than once in a million levels.
        if PURE_ROWS <= size < len(y) and hits == size and size * math.log10(share) < -6:
            return f"all {size:,} rows with {label} have the same, rarer outcome"
    return ""


def _constant_now(out: Screened) -> None:
    """Columns that hold one value where the outcome is known."""
    for name, values in list(out.columns.items()):
        if values.dtype.kind == "f":
            seen = values[np.isfinite(values)]
            one = not len(seen) or (float(np.ptp(seen)) == 0 and len(seen) == len(values))
        else:
            one = len(set(values)) <= 1
        if one:
            out.leave(name, "constant", f"{name}: has one value only where the outcome is known")
