"""Compile a model and prove that the compiled form gives what the model gives, before a bundle is sealed.

The proof: golden rows, the table's rows, missing, new and extreme values, and each threshold with its neighbours in
float64 and float32; one row at a time, many at once, and again from several threads. No decision may change, and no
output may differ by more than the plan states. A model that has no compiled form, or fails, is served by the fallback,
and ``compiled.json`` says why.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.bundle import additive, code, uplift
from ambidex.bundle.compiled import FORMAT, PLAN, CompiledScorer, scorer_of
from ambidex.errors import AmbidexError
from ambidex.ports import Scorer
from ambidex.records import Schema, canonical

__all__ = ["Parity", "awkward_rows", "compare", "compile_model", "decisions"]

Rows = list[dict[str, Any]]
_PLANNED = "ambidex.edges.compile:plan_of"
"""Named, not imported: model formats stand above."""
ROWS = 12_000
"""Rows of the proof, at most."""
PER_COLUMN = 1_500
"""Thresholds of one column that are tried, at most, evenly spaced."""
SINGLE = 400
"""Rows that are also scored one by one."""
THREADS = 4


@dataclass(frozen=True)
class Parity:
    """How equal two ways of scoring are.

    Attributes:
        rows: Rows compared.
        differ: Rows beyond the tolerance.
        changed: Rows whose decision is another one.
        largest: Largest difference, as a share of max(1, |output|).
        refused: Rows that one of the two refuses and the other answers.
    """

    rows: int
    differ: int
    changed: int
    largest: float
    refused: int = 0

    @property
    def passed(self) -> bool:
        """Whether the one may stand for the other."""
        return self.rows > 0 and self.differ == self.changed == self.refused == 0


def compile_model(files: Mapping[str, bytes], scorer: Scorer, rows: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """The files that a bundle gets besides: ``compiled.json``, and the trees where there are any.

    Args:
        files: The bundle's files.
        scorer: The model, opened from them.
        rows: Rows as a request carries them, for the proof.
    """
    try:
        plan, more, cuts = _planned(json.loads(files["model.json"]), scorer)
    except _NoForm as error:
        return _fallback(str(error))
    except Exception as error:  # an estimator of a kind or release that nobody has seen here
        return _fallback(f"it could not be compiled: {type(error).__name__}: {str(error)[:200]}")
    try:
        plan = _without_nan(plan)
        compiled = scorer_of(plan, scorer.schema, {**files, **more})
        proof = awkward_rows(rows, scorer.schema, plan, cuts)
        parity = compare(scorer, compiled, proof, tolerance=plan["tolerance"])
        together = _concurrent(compiled, proof)
    except AmbidexError as error:
        return _fallback(f"the compiled form does not open: {error.message}")
    found = {
        "rows": parity.rows, "largest": parity.largest, "tolerance": plan["tolerance"], "changed": parity.changed,
        "differ": parity.differ, "refused": parity.refused, "concurrent": together,
    }  # fmt: skip
    if not parity.passed or together:
        why = (
            f"{together} rows come out otherwise under concurrency"
            if together
            else f"{parity.refused} of {parity.rows:,} rows are refused by one and answered by the other"
            if parity.refused
            else f"{max(parity.differ, parity.changed):,} of {parity.rows:,} rows differ, by up to {parity.largest:.3g}"
        )
        return _fallback(f"the compiled form does not give what the model gives: {why}", parity=found)
    said = "bit for bit" if parity.largest == 0.0 else f"within {parity.largest:.1g}"
    reason = f"{_KINDS[plan['scorer']['kind']]}, equal {said} on {parity.rows:,} rows, no decision changed"
    document = {"format": FORMAT, "runtime": "compiled", "reason": reason, "parity": found, "plan": plan}
    return {PLAN: canonical(document), **more}


_KINDS = {
    "trees": "trees executed by LightGBM's library", "linear": "a weighted sum", "additive": "the readable model",
    "difference": "the difference of two readable models",
}  # fmt: skip


class _NoForm(Exception):
    pass


def _fallback(reason: str, **more: Any) -> dict[str, bytes]:
    return {PLAN: canonical({"format": FORMAT, "runtime": "fallback", "reason": reason, **more})}


def _planned(model: Mapping[str, Any], scorer: Scorer) -> tuple[dict[str, Any], dict[str, bytes], dict[int, Any]]:
    match model["format"]:
        case additive.FORMAT:
            return {"link": "identity", "tolerance": 0.0, "scorer": {"kind": "additive"}}, {}, {}
        case uplift.FORMAT:
            return {"link": "identity", "tolerance": 0.0, "scorer": {"kind": "difference"}}, {}, {}
        case code.FORMAT:
            module, _, name = _PLANNED.partition(":")
            edge = importlib.import_module(module)
            try:
                made: tuple[dict[str, Any], dict[str, bytes], dict[int, Any]] = getattr(edge, name)(scorer)
            except edge.NotCompiled as error:
                raise _NoForm(str(error)) from error
            return made
        case other:
            raise _NoForm(f"a model of format {other} is scored in plain Python")


# ---------------------------------------------------------------- the rows of the proof


def awkward_rows(
    rows: Sequence[Mapping[str, Any]], schema: Schema, plan: Mapping[str, Any], cuts: Mapping[int, Sequence[float]]
) -> Rows:
    """The rows given, and after them missing, new, extreme and boundary values, one at a time.

    Args:
        rows: Some ordinary rows.
        schema: What a row holds.
        plan: Its expressions say which column a threshold belongs to.
        cuts: Thresholds by number that the trees take.
    """
    base = [dict(r) for r in rows[:64]]
    own = [dict(r) for r in rows[: ROWS // 3]]
    tried: dict[int, set[float]] = {}
    features = plan["scorer"].get("features", ())
    for feature, some in cuts.items():
        values = sorted(set(some))
        step = max(1, len(values) // PER_COLUMN)
        for value in values[::step]:
            _put(features[feature], float(value), tried)
    for output in plan["scorer"].get("outputs", ()) if plan["scorer"]["kind"] == "linear" else ():
        for _, e in output["terms"]:
            _edges(e, tried)
    made: Rows = []
    for j, column in enumerate(schema.columns):
        values_: list[Any] = [None] if column.nullable else []
        if column.type == "category":
            levels = {k for e in _picks(plan) if e[1] == ["raw", j] for k, _ in e[2]}
            values_ += [*column.levels[:200], *sorted(map(str, levels))[:400], "never seen before", "", "nan", "None"]
        else:
            numbers = sorted(tried.get(j, ()))
            seen = sorted({float(r[column.name]) for r in own if r.get(column.name) is not None})
            numbers += seen[:: max(1, len(seen) // 40)]
            values_ += [*_EXTREME, *(n for number in numbers for n in _neighbours(number))]
            values_ = [v for v in values_ if v is None or (math.isfinite(v) and _declared(column, v))]
            if column.type == "integer":
                values_ = [v if v is None else int(v) for v in values_ if v is None or abs(v) < 2**53]
        made += [{**base[(i + j) % len(base)], column.name: v} for i, v in enumerate(dict.fromkeys(values_))]
    if len(made) > ROWS:
        made = [made[i] for i in np.unique(np.linspace(0, len(made) - 1, num=ROWS).astype(int))]
    return own + made


_EXTREME = (0.0, -0.0, 1.0, -1.0, 1e-40, -1e-40, 5e-324, 1e9, -1e9, 1e15, 16777217.0, 1e30, -1e30)


def _declared(column: Any, value: float) -> bool:
    return (column.low is None or value >= column.low) and (column.high is None or value <= column.high)


def _neighbours(value: float) -> list[float]:
    """A value, the floats beside it, and those that float32 makes of it."""
    with np.errstate(over="ignore"):
        single = np.float32(value)
        beside = [float(np.nextafter(single, np.float32(to))) for to in (-np.inf, np.inf)]
    return [
        value, math.nextafter(value, -math.inf), math.nextafter(value, math.inf), float(single), *beside,
        math.nextafter(float(single), -math.inf), math.nextafter(float(single), math.inf),
    ]  # fmt: skip


def _put(e: Sequence[Any], value: float, tried: dict[int, set[float]]) -> None:
    """Which value of a column brings an expression to ``value``; nearly, where it was scaled."""
    match e[0]:
        case "num":
            tried.setdefault(int(e[1]), set()).add(value)
        case "fill" | "tiny" | "below" | "clip":
            _put(e[1], value, tried)
        case "sub":
            _put(e[1], value + float(e[2]), tried)
        case "add":
            _put(e[1], value - float(e[2]), tried)
        case "mul":
            _put(e[1], value / float(e[2]) if float(e[2]) else value, tried)
        case "div":
            _put(e[1], value * float(e[2]), tried)
        case "bin" | "pick" | "prod" | "fn" | "nan":
            _edges(e, tried)


def _edges(e: Any, tried: dict[int, set[float]]) -> None:
    """Values at which an expression jumps."""
    if e[0] == "bin":
        for edge in e[2]:
            _put(e[1], float(edge), tried)
    elif e[0] == "pick" and e[1][0] != "raw":
        for key, _ in e[2][:200]:
            _put(e[1], float(key), tried)
    elif e[0] in ("fn", "prod", "fill", "sub", "add", "mul", "div", "clip", "tiny", "below", "nan"):
        for part in e[1:]:
            if isinstance(part, list | tuple) and part:
                _edges(part, tried)


def _picks(plan: Mapping[str, Any]) -> list[Any]:
    scorer = plan["scorer"]
    all_: list[Any] = list(scorer.get("features", ()))
    if scorer["kind"] == "linear":
        all_ = [e for _, e in scorer["outputs"][0]["terms"]]
    return [e for e in all_ if e[0] == "pick"]


# ---------------------------------------------------------------- comparing


def decisions(outputs: npt.NDArray[np.float64], task: str) -> npt.NDArray[np.int64] | None:
    """What is decided by each output: the class; None where nothing is."""
    if task == "binary":
        return (outputs >= 0.5).astype(np.int64)
    if task == "multiclass":
        likeliest: npt.NDArray[np.int64] = np.argmax(outputs, axis=1).astype(np.int64)
        return likeliest
    return outputs.astype(np.int64) if task == "segments" else None


def compare(scorer: Scorer, compiled: Scorer, rows: Rows, *, tolerance: float) -> Parity:
    """Both ways on the same rows, all at once and some one by one."""
    expected, answered = _scored(scorer, rows)
    got, given = _scored(compiled, rows)
    both = answered & given
    refused = int((answered != given).sum())
    task = scorer.schema.task
    a, b = expected[both], got[both]
    scale = np.maximum(1.0, np.abs(a))
    with np.errstate(invalid="ignore"):
        gap = np.where((a == b) | (np.isnan(a) & np.isnan(b)), 0.0, np.abs(a - b) / scale)
    gap = np.where(np.isnan(gap), np.inf, gap).reshape(len(a), -1).max(axis=1, initial=0.0)
    first, second = decisions(a, task), decisions(b, task)
    changed = 0 if first is None or second is None else int((first != second).sum())
    places = np.flatnonzero(given)
    for i in places[:: max(1, len(places) // SINGLE)]:
        one = np.asarray(compiled.score(rows[int(i)]), dtype=np.float64)
        if not np.array_equal(one, got[i], equal_nan=True):
            refused += 1
    return Parity(len(rows), int((gap > tolerance).sum()), changed, float(gap.max(initial=0.0)), refused)


def _scored(scorer: Scorer, rows: Rows) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Outputs, and which rows were answered: where the whole is refused, halves are asked."""
    width = len(scorer.schema.classes) if scorer.schema.task == "multiclass" else 0
    out = np.full((len(rows), width) if width else (len(rows),), np.nan)
    good = np.zeros(len(rows), dtype=bool)

    def ask(start: int, end: int) -> None:
        some = rows[start:end]
        columns = {
            c.name: np.array([r.get(c.name) for r in some], dtype=object if c.type == "category" else np.float64)
            for c in scorer.schema.columns
        }
        try:
            with np.errstate(all="ignore"):
                made = np.asarray(scorer.score_columns(columns, len(some)), dtype=np.float64)
        except Exception:
            if end - start > 1:
                middle = (start + end) // 2
                ask(start, middle)
                ask(middle, end)
            return
        out[start:end] = made
        good[start:end] = np.isfinite(made).reshape(len(some), -1).all(axis=1)

    if rows:
        ask(0, len(rows))
    return out, good


def _concurrent(compiled: CompiledScorer, rows: Rows) -> int:
    """Rows that come out otherwise when several threads ask at once."""
    some = rows[:: max(1, len(rows) // 1_000)]

    def all_of(shift: int) -> list[Any]:
        out: list[Any] = [None] * len(some)
        for i in range(len(some)):
            place = (i + shift * len(some) // THREADS) % len(some)
            try:
                out[place] = compiled.score(some[place])
            except Exception as error:
                out[place] = type(error).__name__
        return [repr(v) for v in out]

    alone = all_of(0)
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(all_of, range(THREADS)))
    return sum(a != b for other in found for a, b in zip(alone, other, strict=True))


def _without_nan(value: Any) -> Any:
    """NaN and infinities as text: JSON has none."""
    if isinstance(value, float) and not math.isfinite(value):
        return repr(value)
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(v) for v in value]
    return value
