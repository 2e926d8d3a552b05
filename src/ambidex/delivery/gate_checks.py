"""Further gates: slices, calibration, share of decisions that change, latency, size, data, parity, what was declared.

Each states its claim before it looks, and ``decide`` judges it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of, rows_of
from ambidex.bundle.open import OpenBundle
from ambidex.data.table import Table
from ambidex.records import GateResult, Schema
from ambidex.stats.calibration_gap import calibration_gap
from ambidex.stats.claim import Claim, Verdict, decide, decide_all
from ambidex.stats.compare import paired_mean
from ambidex.stats.estimate import Estimate, exact, finite
from ambidex.stats.quantiles import quantile_level

__all__ = [
    "calibration_gate", "changed", "changed_gate", "counted", "data_gate", "declared_gate", "latency", "latency_gate",
    "loosened", "parity", "parity_gate", "result", "size_gate", "slice_levels", "slices_gate",
]  # fmt: skip

MOST_LEVELS = 50
FEWEST_ROWS = 30
"""Levels with fewer rows are judged together."""
MOVED = 0.1
"""A number counts as changed from so many standard deviations of the live outputs on."""
RARE = 0.01
TIMED_ROWS, TIMED_SECONDS = 1000, 2.0


def result(name: str, verdict: Verdict) -> GateResult:
    """A verdict as the contract shows it."""
    e: Estimate = verdict.estimate
    return GateResult(
        name=name,
        outcome=verdict.outcome,
        because=f"{verdict.claim.measure}: {verdict.because}",
        value=finite(e.value),
        low=finite(e.low),
        high=finite(e.high),
        limit=verdict.claim.margin,
    )


def counted(name: str, measure: str, count: float, n: int, *, limit: float = 1.0) -> GateResult:
    """The gate on a count of things that must not happen."""
    claim = Claim(measure=measure, relation="below", margin=limit)
    return result(name, decide(claim, exact(measure, count, n=n)))


def slice_levels(rows: Table, name: str) -> list[tuple[str, NDArray[np.bool_]]]:
    """The levels of a slice, the most frequent first, with their rows; numbers of many values in quarters.

    Levels of fewer than ``FEWEST_ROWS`` rows, and those beyond the first ``MOST_LEVELS``, are one level together.
    """
    values = rows.number(name)
    seen = values[np.isfinite(values)]
    if seen.size and len(np.unique(seen)) > 20 and rows.facts(name).type in ("number", "integer"):
        cuts = np.unique(np.quantile(seen, [0.25, 0.5, 0.75]))
        place = np.where(np.isfinite(values), np.searchsorted(cuts, values), -1)
        ends = ["", *(f"{c:g}" for c in cuts), ""]
        words = [f"{name} up to {ends[i + 1]}" if not i else f"{name} above {ends[i]}" for i in range(len(cuts) + 1)]
        found = [(words[i], place == i) for i in range(len(cuts) + 1)] + [(f"{name} missing", place == -1)]
    else:
        texts = np.array(["" if v is None else str(v) for v in rows.text(name)], dtype=object)
        levels, counts = np.unique(texts.astype(str), return_counts=True)
        order = np.argsort(-counts, kind="stable")
        found = [(f"{name} = {levels[i] or 'missing'}", texts == levels[i]) for i in order]
    large = [(word, mask) for word, mask in found if mask.sum() >= FEWEST_ROWS][:MOST_LEVELS]
    taken = np.zeros(rows.rows, dtype=bool)
    for _, mask in large:
        taken |= mask
    if (~taken).any():
        large.append((f"other levels of {name}", ~taken))
    return large


def slices_gate(
    rows: Table, names: Sequence[str], differences: NDArray[np.float64], *, margin: float, alpha: float, against: str
) -> GateResult:
    """The worst level of the declared slices: its mean paired loss must stay below +margin too.

    Every level is a claim; Holm's correction counts them all, and the gate is the one that did worst.

    Args:
        rows: Held-out rows, with the slices' columns.
        names: Slices.
        differences: Candidate's loss minus the other's, shape (rows,).
        margin: How much worse a level may be.
        alpha: Error rate of the family.
        against: What the losses are compared with, in words.
    """
    lacking = [name for name in names if name not in rows.columns]
    if lacking:
        return counted("slices", f"declared slices that the newest data lacks ({', '.join(lacking)})", len(lacking), 1)
    levels = [level for name in names for level in slice_levels(rows, name)]
    words = [f"loss against {against} where {word}" for word, _ in levels]
    aim = 0.0 if margin > 0 else None
    claims = [Claim(measure=w, relation="below", margin=margin, alpha=alpha, target=aim) for w in words]
    estimates = [paired_mean(differences[mask], name=w) for w, (_, mask) in zip(words, levels, strict=True)]
    verdicts = decide_all(claims, estimates)
    order = {"refuted": 0, "open": 1, "supported": 2}
    worst = min(verdicts, key=lambda v: (order[v.outcome], -v.estimate.high))
    found = result("slices", worst)
    said = f"worst of {len(verdicts)} levels (Holm): {found.because}"
    return GateResult(
        name="slices", outcome=found.outcome, because=said, value=found.value, low=found.low, high=found.high,
        limit=found.limit,
    )  # fmt: skip


def calibration_gate(
    y: NDArray[np.float64], scores: NDArray[np.float64], *, limit: float, scale: float, alpha: float
) -> GateResult:
    """Predictions and outcomes agree: their root-mean-square gap over tenths of the scores is below the limit."""
    unit = "" if scale == 1 else ", in standard deviations of the target"
    measure = f"squared gap between predicted and observed over tenths of the scores (limit {limit:g}²{unit})"
    claim = Claim(measure=measure, relation="below", margin=limit**2, alpha=alpha, target=0.0)
    return result("calibration", decide(claim, calibration_gap(y, scores, scale=scale, alpha=alpha)))


def changed(
    scores: NDArray[np.float64], before: NDArray[np.float64], schema: Schema, base_rate: float | None = None
) -> tuple[NDArray[np.bool_], str]:
    """Which rows get another decision than before, and what counts as one. Shape (rows,).

    Yes/no: the side of .5; where the version before puts under 1% of rows on one side of it, the side of the score that
    marks off its top base-rate share. Classes and segments: which. Numbers: moved by more than a tenth of the standard
    deviation of the outputs before.
    """
    if scores.ndim == 2:
        return scores.argmax(axis=1) != before.argmax(axis=1), "whose class changes"
    if schema.task == "segments":
        return scores != before, "whose segment changes"
    if schema.task == "binary":
        cut = 0.5
        yes = float((before >= cut).mean()) if len(before) else 0.0
        if min(yes, 1 - yes) < RARE and base_rate is not None and 0 < base_rate < 1:
            cut = float(np.quantile(before, 1 - base_rate))
        return (scores >= cut) != (before >= cut), f"whose decision at {cut:.3g} changes"
    step = MOVED * float(before.std())
    moved: NDArray[np.bool_] = np.abs(scores - before) > step
    return moved, f"whose output moves by more than {step:.3g}, a tenth of the live outputs' sd"


def changed_gate(moved: NDArray[np.bool_], words: str, *, limit: float, alpha: float) -> GateResult:
    """The share of rows that get another decision is below the limit."""
    measure = f"share of rows {words}"
    claim = Claim(measure=measure, relation="below", margin=limit, alpha=alpha)
    return result("changed", decide(claim, paired_mean(moved.astype(np.float64), name=measure)))


def latency(bundle: OpenBundle, *, alpha: float = 0.05) -> Estimate:
    """Milliseconds that 99 of 100 single golden rows take at most to score here, with the interval of the quantile."""
    rows = bundle.golden["rows"]
    taken: list[float] = []
    for row in rows[:20]:
        bundle.scorer.score(row)  # the first calls load what later ones use
    begun = time.perf_counter()
    while len(taken) < TIMED_ROWS and time.perf_counter() - begun < TIMED_SECONDS:
        start = time.perf_counter()
        bundle.scorer.score(rows[len(taken) % len(rows)])
        taken.append((time.perf_counter() - start) * 1e3)
    level, (low, high) = quantile_level(taken, 0.99, alpha=alpha)
    return Estimate(
        name="latency", kind="check", value=level.value, low=low, high=high, n=len(taken), level=1 - alpha, unit="ms",
        method="99th percentile, order statistics",
    )  # fmt: skip


def latency_gate(bundle: OpenBundle, *, limit: float, alpha: float) -> GateResult:
    """One row is scored fast enough, 99 times of 100."""
    measure = "milliseconds for one row, 99th percentile, in this process"
    return result("latency", decide(Claim(measure=measure, relation="below", margin=limit, alpha=alpha),
                                    latency(bundle, alpha=alpha)))  # fmt: skip


def size_gate(bundle: OpenBundle, *, limit: float) -> GateResult:
    """All files of the bundle together are small enough."""
    size = sum(int(entry["size"]) for entry in bundle.manifest["files"].values()) / 1e6
    return counted("size", "megabytes of all files", round(size, 6), len(bundle.manifest["files"]), limit=limit)


def data_gate(table: Table, schema: Schema, reference: Mapping[str, Any], y: NDArray[np.float64]) -> GateResult:
    """The newest rows can be judged on: no input that varied has become empty or constant, and the outcome varies."""
    kept = reference.get("columns", {})
    faults = []
    for column in schema.columns:
        if column.name not in kept:
            continue
        if column.type == "category":
            alike = len({v for v in table.text(column.name) if v is not None}) < 2
        else:
            numbers = table.number(column.name)
            seen = numbers[np.isfinite(numbers)]
            alike = not seen.size or float(np.ptp(seen)) == 0
        varied = sum(n > 0 for n in kept[column.name].get("counts", ())) > 1
        if alike and varied and table.rows > 1:
            faults.append(column.name)
    if len(y) > 1 and schema.task != "segments" and float(np.ptp(y)) == 0:
        faults.append(schema.target)
    named = f" ({', '.join(faults[:4])})" if faults else ""
    return counted("data", f"columns that varied and are empty or constant in the newest data{named}", len(faults), 1)


def parity(bundle: OpenBundle, rows: Table, *, most: int = 200) -> tuple[int, int]:
    """(rows whose output is another one alone than among others, rows tried): golden rows and some of the table's."""
    some = rows.head(min(most, rows.rows))
    tried: list[dict[str, Any]] = list(bundle.golden["rows"])
    columns, _ = columns_of(some, bundle.schema)
    tried += rows_of(columns, bundle.schema, range(some.rows))
    arrays: dict[str, Any] = {}
    for column in bundle.schema.columns:
        cells = [row[column.name] for row in tried]
        if column.type == "category":
            arrays[column.name] = np.array([*cells, None], dtype=object)[:-1]
        else:
            arrays[column.name] = np.array([np.nan if v is None else float(v) for v in cells], dtype=np.float64)
    together = np.asarray(bundle.scorer.score_columns(arrays, len(tried)), dtype=np.float64)
    single = np.array([bundle.scorer.score(row) for row in tried], dtype=np.float64)
    allowed = float(bundle.golden.get("tolerance", 0.0))
    same = np.abs(together - single) <= allowed * np.maximum(1.0, np.abs(single))
    return int((~same).reshape(len(tried), -1).any(axis=1).sum()), len(tried)


def parity_gate(bundle: OpenBundle, rows: Table) -> GateResult:
    """One by one and all at once give the same outputs."""
    differs, tried = parity(bundle, rows)
    return counted("parity", "rows scored otherwise alone than among others", differs, tried)


def declared_gate(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> GateResult:
    """The gates were not made easier after the version was there."""
    easier = loosened(before, now)
    named = f" ({'; '.join(easier[:3])})" if easier else ""
    return counted("declared", f"gates made easier since the version was made{named}", len(easier), 1)


def loosened(before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> list[str]:
    """What today's gates ask less of than those that were written down when the version was made."""
    if not before:
        return []
    found = []
    for key in ("margin", "alpha", "slice_margin", "max_changed", "calibration"):
        then, today = before.get(key), now.get(key)
        if then is not None and (today is None or today > then):
            found.append(f"{key} {then:g} → {'none' if today is None else f'{today:g}'}")
    gone = [s for s in before.get("slices") or () if s not in (now.get("slices") or ())]
    found += [f"slice {s} → none" for s in gone]
    limits, kept = before.get("limits") or {}, now.get("limits") or {}
    for key, then in limits.items():
        today = kept.get(key)
        if then is not None and (today is None or today > then):
            found.append(f"{key} {then:g} → {'none' if today is None else f'{today:g}'}")
    return found
