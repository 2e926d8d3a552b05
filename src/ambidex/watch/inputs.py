"""Inputs and the prediction mix beyond their margin: D2's ring over all of them, which, and what is shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from ambidex.bundle.reference import slots
from ambidex.records import Schema
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.sequences import mean_evidence
from ambidex.watch import evidence
from ambidex.watch.incidents import State, open_alert, part_of, parts, retext
from ambidex.watch.layers import SCORE, period_key
from ambidex.watch.look import ColumnLook, Look
from ambidex.watch.words import distance, move, plain

__all__ = ["beyond_margin", "entries_of", "join_outside", "shown_columns", "shown_name"]

ENOUGH = 100  # rows of a look whose quartiles are worth showing


def entries_of(reference: Mapping[str, Any], schema: Schema, *, score: bool) -> dict[str, Any]:
    """References of all that is watched as a column."""
    entries = {name: reference["columns"][name] for name in schema.names}
    return entries | {SCORE: reference["score"]} if score and reference.get("score") else entries


def beyond_margin(
    state: State, reference: Mapping[str, Any], schema: Schema, look: Look, *, margin: float, rate: float, when: str,
    at: datetime | None = None, silent: bool = False,
) -> list[str]:  # fmt: skip
    """One look of D2: evidence grows, and opens or joins an alert where the mean over all columns acts.

    Where each weekday or hour has a pool of its own, a look is held against that one's profile as it was when the
    detectors were armed. ``silent`` keeps a ring, and counts it, as a replay has said.
    """
    entries = entries_of(reference, schema, score=look.score is not None)
    counts = {name: look.columns[name].counts for name in schema.names}
    if SCORE in entries and look.score is not None:
        counts[SCORE] = look.score
    kept, period = state["inputs"], state["layers"]["period"]
    profile = None if period is None else state["layers"]["profiles"].get(period_key(period, at))
    held = {n: {**e, "counts": profile[n]} if profile and n in profile else e for n, e in entries.items()}
    total = sum(2 * (2 if e["kind"] == "number" else len(slots(e))) for e in entries.values())
    gauges = {
        n: evidence.gauges(e, margin, evidence.REFERENCE_ALPHA / total, every=period is not None)
        for n, e in held.items()
    }
    for name, entry in entries.items():
        before = kept.get(name) or evidence.column_state(len(gauges[name]), len(entry["counts"]))
        if len(before["log_r"]) != len(gauges[name]):
            before = {**evidence.column_state(len(gauges[name]), len(entry["counts"])), "total": before["total"]}
        known = period is None or profile is not None
        kept[name] = evidence.take_look(before, gauges[name] if known else [], counts[name], look.began)
    each = {name: evidence.log_r_of(kept[name]) for name in entries}
    together = Estimate(
        name="inputs", kind="distance", value=max(each.values(), default=0.0), low=-math.inf, high=math.inf,
        n=look.rows, anytime=True, log_e_for=mean_evidence(list(each.values())), about=("outside", margin),
        method="betting e-detector",
    )  # fmt: skip
    claim = Claim(measure="inputs", relation="outside", margin=margin, alpha=rate, sides=1, looks="anytime")
    if decide(claim, together).outcome != "supported":
        return []
    moved = _which(each, rate)
    if silent:
        was = state["kept"].get("beyond", {"count": 0})
        state["kept"]["beyond"] = {"count": was["count"] + 1, "last": when, "why": "not armed", "columns": moved[:5]}
        state["inputs"] = {name: evidence.restart(kept[name], keep_rows=True) for name in entries}
        return []
    shown: dict[str, dict[str, Any]] = {}
    for name in moved:
        estimate = evidence.distance_since(name, entries[name], kept[name], gauges[name], margin=margin, rate=rate)
        what = _move(entries[name], kept[name], estimate.category, look.columns.get(name))
        shown[name] = _row(name, estimate, margin, "outside", what, drifted=True)
    since = min(kept[name]["window"]["since"] or look.began for name in moved)
    state["inputs"] = {name: evidence.restart(kept[name], keep_rows=name not in moved) for name in entries}
    return join_outside(state, shown, margin, since, when)


def join_outside(state: State, shown: Mapping[str, dict[str, Any]], margin: float, since: str, when: str) -> list[str]:
    """One alert for all columns outside: those that ring while it is open join it."""
    open_ = part_of(state, "drift")
    figures = {**shown, **(open_[1]["figures"] if open_ else {})}
    if not figures or (open_ and len(figures) == len(open_[1]["figures"])):
        if open_ and shown:
            open_[0]["rings"] += 1
            open_[0]["last"] = when
        return []
    ranked = sorted(figures, key=lambda name: -abs(figures[name]["size"] or 0.0))
    words = [f"{shown_name(n)} {distance(figures[n]['size'])}, {figures[n]['what']}" for n in ranked[:4]]
    more = f"; {len(ranked) - 4} more" if len(ranked) > 4 else ""
    text = f"outside ±{plain(margin)}: {'; '.join(words)}{more}"
    if open_ is None:
        return open_alert(state, "info", "drift", text, ranked, since, when, figures=figures)
    open_[1].update(text=text, columns=ranked, figures=figures)
    open_[0]["last"] = when
    open_[0]["rings"] += 1
    retext(open_[0])
    return []


def _move(entry: Mapping[str, Any], kept: Mapping[str, Any], part: str | None, look: ColumnLook | None) -> str:
    """How a column that rang moved: its newest rows if they are enough for quartiles, else all since the change."""
    if part is None and look is not None and look.quartiles is not None and look.counts[:-1].sum() >= ENOUGH:
        return move(entry, look.counts, None, quartiles=look.quartiles)
    return move(entry, kept["window"]["counts"] if kept["window"]["since"] else kept["total"], part)


def _which(each: Mapping[str, float], rate: float) -> list[str]:
    """The columns that the ring speaks of: e-BH over their mean R, and the strongest in any case."""
    ranked = sorted(each, key=lambda name: -each[name])
    count = 1
    for k, name in enumerate(ranked, start=1):
        if each[name] >= math.log(len(ranked) / (k * rate)):
            count = k
    return ranked[:count]


def shown_columns(
    state: State, reference: Mapping[str, Any], schema: Schema, *, margin: float, rate: float
) -> dict[str, dict[str, Any]]:
    """Each column as reported: as its open alert says, else with the bounds on all rows since the start."""
    entries = entries_of(reference, schema, score=True)
    ringing = {name: figures for part in parts(state, "drift") for name, figures in part["figures"].items()}
    out = {}
    for name in (name for name in entries if name in state["inputs"]):
        if name in ringing:
            out[name] = {**ringing[name], "drifted": True}
            continue
        kept, alpha = state["inputs"][name], rate / len(entries)
        estimate = evidence.distance_of(name, entries[name], kept, margin=margin, alpha=alpha)
        claim = Claim(measure=name, relation="outside", margin=margin, alpha=alpha, looks="anytime")
        outcome = {"supported": "outside", "refuted": "inside", "open": "open"}[decide(claim, estimate).outcome]
        what = move(entries[name], kept["total"], estimate.category) if sum(kept["total"]) else "no rows yet"
        # Bounds on all rows since the start know of no season: there only a ring says that a column drifted.
        seasonal = state["layers"]["period"] is not None or state["layers"]["swing"]
        out[name] = _row(name, estimate, margin, outcome, what, drifted=outcome == "outside" and not seasonal)
    return out


def _row(name: str, e: Estimate, margin: float, outcome: str, what: str, *, drifted: bool) -> dict[str, Any]:
    return {
        "name": name, "drifted": drifted, "size": finite(e.value), "low": finite(e.low), "high": finite(e.high),
        "margin": margin, "p_value": None, "outcome": outcome, "what": what,
    }  # fmt: skip


def shown_name(name: str) -> str:
    """A column as people know it."""
    return "the prediction mix" if name == SCORE else name
