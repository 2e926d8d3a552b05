"""Which columns may be asked about: ids, constants, leaks and free text are left out, and said."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.table import Table
from ambidex.insight.outcome import Outcome
from ambidex.insight.response import Response
from ambidex.report import words
from ambidex.stats.discrimination import midranks

__all__ = ["Screened", "leak", "screen"]

Values = npt.NDArray[Any]

LEVELS = 60
"""Labels with more levels than this are names or free text, not a factor."""

LEAK_AUC = 0.99
SUSPECT_AUC = 0.80
LEAK_R2 = 0.99
SUSPECT_R2 = 0.80
LEAK_CONCORDANCE = 0.97
SUSPECT_TIME = 0.80
"""Rank correlation with the time itself from which a column is taken to be counted up to the end."""

UNIT_NAME = re.compile(
    r"^(?:customer|client|user|member|account|patient|person|subject|household|family|visitor|device|employee|student"
    r"|driver|seller|buyer|company|firm|shop|store|branch|school|hospital)s?(?:[_ ]?(?:id|no|nr|number|name|key))?$",
    re.I,
)
"""Names of those whom rows belong to."""
GROUPED = "names who a row belongs to"

PURE_ROWS = 30
"""Rows that a level needs before "all of them have the rarer outcome" is a leak and not chance."""


@dataclass
class Screened:
    """Columns that stay, those that do not, and why.

    Attributes:
        columns: Name -> values of rows with the outcome: float64 with NaN, or labels with None.
        left_out: ``{name, code, text}`` each.
        cautions: (code, text) each.
        suspects: Column -> values of those left out because they tell the outcome suspiciously well alone.
        seen: Column -> what was seen, for the suspects.
        repeated: Columns that name units, most of whose rows are of a unit that is there already.
    """

    columns: dict[str, Values] = field(default_factory=dict)
    left_out: list[dict[str, str]] = field(default_factory=list)
    cautions: list[tuple[str, str]] = field(default_factory=list)
    suspects: dict[str, Values] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    repeated: list[str] = field(default_factory=list)

    def leave(self, name: str, code: str, text: str) -> None:
        """Leave a column out and say why."""
        self.columns.pop(name, None)
        self.left_out.append({"name": name, "code": code, "text": text})

    def relabel(self, name: str, code: str, text: str) -> None:
        """Give a column that was left out another reason."""
        self.left_out = [c for c in self.left_out if c["name"] != name] + [{"name": name, "code": code, "text": text}]

    def suspect(self, name: str, seen: str) -> None:
        """Leave a suspect out, and keep its values for the fit beside the headline."""
        self.suspects[name], self.seen[name] = self.columns[name], seen
        self.leave(name, "after-the-fact", f"{name}: {seen}; it may be known only after the outcome is")


def screen(
    table: Table,
    outcome: Outcome,
    *,
    exclude: Collection[str] = (),
    keep: Collection[str] = (),
    time: str | None = None,
    riders: Mapping[str, str] | None = None,
) -> Screened:
    """Go through all columns but the outcome.

    Args:
        table: The table.
        outcome: Its outcome; rows without it are not looked at.
        exclude: Columns to leave out.
        keep: Columns that stay whatever the screens say.
        time: The column that orders the rows.
        riders: Column -> why it is no factor (it is the time to the end, it names the groups).
    """
    out = Screened()
    known = outcome.known
    for name in table.columns:
        if name == outcome.name:
            continue
        if name in exclude:
            out.leave(name, "excluded", f"{name}: left out as asked")
            continue
        if riders and name in riders:
            out.leave(name, "role", f"{name}: {riders[name]}")
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
                            "already. Rows are taken as independent: where they are alike the intervals are too narrow "
                            f"(--group {name} reads the errors from them)",
                        )
                    )
                    if 2 * again >= table.rows:
                        out.repeated.append(name)
                continue
            if facts.type == "time":
                out.leave(name, "time", f"{name}: points in time")
                continue
            if facts.type == "text" or (facts.type == "category" and facts.unique > LEVELS):
                out.leave(
                    name, "text", f"{name}: {facts.unique:,} different texts; --keep {name} takes the 30 most frequent"
                )
                continue
            if facts.is_code:
                text = f"{name}: {facts.unique:,} whole numbers that name places or things, not amounts"
                out.leave(name, "id", text)
                out.cautions.append(
                    ("code-as-number", f"{text}; left out. As text labels they would be read one by one")
                )
                continue
        numeric = facts.type in ("number", "integer")
        out.columns[name] = (table.number(name) if numeric else table.text(name))[known]
    _constant_now(out)
    if not riders or all(why != GROUPED for why in riders.values()):
        _units(table, out, known)
    return out


def _units(table: Table, out: Screened, known: npt.NDArray[np.bool_]) -> None:
    """Labels left out that stand for people or places with several rows each: named so, or numbers are one for each."""
    numbers = [v for v in out.columns.values() if v.dtype.kind == "f" and len(np.unique(v[np.isfinite(v)])) > 20]
    for name in [c["name"] for c in out.left_out if c["code"] == "text"]:
        facts = table.facts(name)
        if 2 * facts.unique > table.rows - facts.missing or facts.unique < 10:
            continue
        labels = table.text(name)[known]
        there = np.array([v is not None for v in labels])
        code = np.unique(labels[there].astype(str), return_inverse=True)[1]
        if UNIT_NAME.search(name) or any(_one_each(v[there], code) for v in numbers):
            again = len(code) - int(code.max(initial=-1)) - 1
            out.cautions.append(
                (
                    "repeated-units",
                    f"{name}: {words.plural(facts.unique, 'value')} in {len(code):,} rows look like units with several "
                    "rows each. Rows are taken as independent: where those of one are alike the intervals are too "
                    f"narrow and chance looks like a finding; --group {name} reads the errors from them",
                )
            )
            if 2 * again >= len(code):
                out.repeated.append(name)


def _one_each(values: npt.NDArray[np.float64], code: npt.NDArray[np.intp]) -> bool:
    """True if a number has one value within each group."""
    high = np.full(int(code.max(initial=0)) + 1, -np.inf)
    low = -high
    np.maximum.at(high, code, values)
    np.minimum.at(low, code, values)
    return bool((high == low).all())


def leak(values: Values, response: Response, *, score: float) -> tuple[str, float, str]:
    """Whether a column knows the outcome.

    Args:
        values: The column's values, shape (n,).
        response: The outcome.
        score: How well the column alone tells it, as fitted: AUC, R² or concordance.

    Returns:
        (``leak``, ``suspect`` or empty; the figure it rests on; what was seen).
    """
    if response.kind == "number":
        if score >= LEAK_R2:
            return "leak", score, f"it gives {words.share(score)} of the outcome's variance on its own"
        return ("suspect", score, f"R² {score:.2f} on its own") if score >= SUSPECT_R2 else ("", score, "")
    if response.kind == "time":
        return _leak_in_time(values, response, score)
    if values.dtype.kind == "f":
        filled = np.where(np.isfinite(values), values, np.nanmedian(values) if np.isfinite(values).any() else 0.0)
        raw = response.ranked(filled)
        score = max(score, raw, 1 - raw)
    if score >= LEAK_AUC:
        return "leak", score, f"on its own it tells the outcome almost perfectly (AUC {score:.3f})"
    pure = _pure_level(values, response.y)
    if pure:
        return "leak", score, pure
    return ("suspect", score, f"AUC {score:.2f} on its own") if score >= SUSPECT_AUC else ("", score, "")


def _leak_in_time(values: Values, response: Response, score: float) -> tuple[str, float, str]:
    """A total or a count that runs until the end grows with the time itself: it is known only then."""
    assert response.spells is not None
    if score >= LEAK_CONCORDANCE:
        return "leak", score, f"on its own it tells who ends first almost perfectly (concordance {score:.3f})"
    if values.dtype.kind == "f":
        known = np.isfinite(values)
        x, t = values[known], response.spells.time[known]
        if len(x) > 2 and float(np.ptp(x)) > 0 and float(np.ptp(t)) > 0:
            rho = float(np.corrcoef(midranks(x), midranks(t))[0, 1])
            if abs(rho) >= SUSPECT_TIME:
                return "suspect", abs(rho), f"its ranks go with the time itself (correlation {words.signed(rho)})"
    return "", score, ""


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
