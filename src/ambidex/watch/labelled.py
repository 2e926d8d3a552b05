"""What labels say beside harm: calibration (info) and declared slices (page, corrected over all of them)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.bundle.reference import slots
from ambidex.bundle.reference_rows import gap_of
from ambidex.records import Schema
from ambidex.stats import laws
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.sequences import mean_evidence
from ambidex.watch import harm
from ambidex.watch.incidents import State, open_alert
from ambidex.watch.log import Due
from ambidex.watch.words import distance, plain

__all__ = ["MOST_SLICES", "calibration", "gap_of_label", "slices"]

FEWEST_IN_SLICE = 30
"""Reference rows below which a slice is held against the limit of all rows."""
MOST_SLICES = 200


def gap_of_label(schema: Schema, reference: Mapping[str, Any], due: Due) -> float | None:
    """How far an outcome lies above what the model said, in [-1, 1]; None if it cannot be told."""
    if schema.task in ("binary", "multiclass"):
        if due.label not in schema.classes:
            return None
        outcome = float(schema.classes.index(due.label))
    else:
        try:
            outcome = float(due.label)
        except ValueError:
            return None
    spread = (reference.get("loss") or {}).get("spread")
    return gap_of(due.p, outcome, task=schema.task, spread=spread)


def calibration(
    state: State, reference: Mapping[str, Any], gaps: Sequence[float], *, tolerance: float, rate: float,
    since: str, when: str,
) -> tuple[dict[str, Any] | None, list[str]]:  # fmt: skip
    """Do outcomes lie, on average, above or below what the model says? Evidence in both directions.

    Null: the mean gap lies within the reference's own confidence limits plus the tolerance, given the past.

    Returns:
        What is shown ({``gap``, ``low_limit``, ``high_limit``, ``n``, ``outcome``}), None where nothing is known of
        the reference; ids of alerts.
    """
    known = (reference.get("calibration") or {}).get("gap")
    if not known:
        return None, []
    wide = laws.normal_quantile(0.975) * known["sd"] / math.sqrt(known["n"]) + tolerance
    high, low = known["mean"] + wide, known["mean"] - wide
    limits = {"above": (1 + high) / 2, "below": (1 - low) / 2}
    kept = state.get("calibration") or {"above": harm.harm_state(), "below": harm.harm_state()}
    if gaps:
        turned = {"above": [(1 + g) / 2 for g in gaps], "below": [(1 - g) / 2 for g in gaps]}
        kept = {
            way: harm.take_losses(kept[way], turned[way], limits[way], since) if limits[way] < 1 else kept[way]
            for way in kept
        }
    state["calibration"] = kept
    total = kept["above"]["total"]
    gap = 2 * total["sum"] / total["n"] - 1 if total["n"] else math.nan
    shown = {"gap": finite(gap), "low_limit": low, "high_limit": high, "n": total["n"], "outcome": "open"}
    opened: list[str] = []
    verdicts = {way: harm.judge_harm(kept[way], limits[way], rate / 2) for way in kept if limits[way] < 1}
    if verdicts and all(v.outcome == "refuted" for v in verdicts.values()):
        shown["outcome"] = "refuted"
    for way, verdict in verdicts.items():
        if verdict.outcome != "supported":
            continue
        now = (2 * verdict.estimate.value - 1) * (1 if way == "above" else -1)
        limit = high if way == "above" else low
        shown |= {"gap": now, "n": verdict.estimate.n, "outcome": "supported"}
        text = (
            f"calibration: outcomes lie {distance(now)} from what the model says, limit {distance(limit)}; "
            f"{verdict.estimate.n:,} labels"
        )
        began = kept[way]["window"]["since"] or since
        state["calibration"] = None
        opened += open_alert(state, "info", "calibration", text, [], began, when)
    return shown, opened


def slices(
    state: State, reference: Mapping[str, Any], schema: Schema, declared: Sequence[str],
    losses: Sequence[tuple[Due, float]], *, tolerance: float, rate: float, since: str, when: str,
) -> tuple[list[dict[str, Any]], list[str]]:  # fmt: skip
    """Harm in each level of the declared columns; one ring over all slices, then which.

    A slice is held against its own losses in the reference, where 30 rows or more say them.

    Returns:
        The worst twenty, worst evidence first; ids of alerts.
    """
    kept: dict[str, Any] = dict(state.get("slices") or {})
    limits: dict[str, float] = {}
    new: dict[str, list[float]] = {}
    for due, loss in losses:
        for column in declared:
            if column not in reference["columns"]:
                continue
            level = _level(reference["columns"][column], due.row.get(column))
            new.setdefault(f"{column} = {level}", []).append(loss)
    for name in {*kept, *new}:
        column, _, level = name.partition(" = ")
        limit = _limit(reference, schema, column, level, tolerance)
        if limit is not None:
            limits[name] = limit
    for name, values in new.items():
        if name in limits and (name in kept or len(kept) < MOST_SLICES):
            kept[name] = harm.take_losses(kept.get(name) or harm.harm_state(), values, limits[name], since)
    state["slices"] = kept
    each = {
        n: mean_evidence([-math.inf if v is None else v for v in s["log_r"]]) for n, s in kept.items() if n in limits
    }
    shown = [
        {
            "name": n, "n": kept[n]["total"]["n"], "loss": kept[n]["total"]["sum"] / max(1, kept[n]["total"]["n"]),
            "limit": limits[n],
        }
        for n in sorted(each, key=lambda n: -each[n])[:20]
    ]  # fmt: skip
    if not each:
        return shown, []
    together = Estimate(
        name="slices", kind="loss", value=0.0, low=-math.inf, high=math.inf, n=len(each), anytime=True,
        log_e_for=mean_evidence(list(each.values())), method="betting e-detector",
    )  # fmt: skip
    claim = Claim(measure="slices", alpha=rate, sides=1, looks="anytime")
    if decide(claim, together).outcome != "supported":
        return shown, []
    ranked = sorted(each, key=lambda n: -each[n])
    count = max([k for k, n in enumerate(ranked, 1) if each[n] >= math.log(len(ranked) / (k * rate))], default=1)
    words, worst = [], ranked[:count]
    for n in worst[:4]:
        window = kept[n]["window"]
        words.append(f"{n} error {plain(window['sum'] / max(1, window['n']))}, limit {plain(limits[n])}")
    text = "slices: " + "; ".join(words) + (f"; {len(worst) - 4} more" if len(worst) > 4 else "")
    began = min((kept[n]["window"]["since"] or since for n in worst), default=since)
    columns = list(dict.fromkeys(n.partition(" = ")[0] for n in worst))
    opened = open_alert(state, "page", "slice", text, columns, began, when, slices=worst)
    state["slices"] = {n: s for n, s in kept.items() if n not in worst}
    return shown, opened


def _level(entry: Mapping[str, Any], value: Any) -> str:
    if value is None:
        return "missing"
    if entry["kind"] == "number":
        return "any number"
    return str(value) if value in entry["levels"] else "other"


def _limit(reference: Mapping[str, Any], schema: Schema, column: str, level: str, tolerance: float) -> float | None:
    """A slice's own upper limit plus the tolerance; that of all rows where it is too small to have one."""
    loss = reference.get("loss") or {}
    entry = reference["columns"].get(column, {})
    sums = entry.get("losses") or {}
    if entry.get("kind") == "category" and level in entry["levels"] and "squares" in sums:
        at = slots(entry).index("level") + entry["levels"].index(level)
        n, total, squares = sums["n"][at], sums["sum"][at], sums["squares"][at]
        if n >= FEWEST_IN_SLICE:
            mean = total / n
            sd = math.sqrt(max(0.0, squares - n * mean * mean) / (n - 1))
            loss = {**loss, "n": n, "mean": mean, "sd": max(sd, 1 / n)}
    found = harm.loss_limit(loss, tolerance, task=schema.task)
    return None if found is None else found[1]
