"""Arming: what a detector would have rung on the past, before it may ring.

Detectors of change take rows for independent. Where looks differ more than that allows, a weekday's or an hour's own
pool is tried, then D3; what rings more often on the past than its budget allows stays silent, and so does
everything while less than two cycles of history are there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from ambidex.records import Schema
from ambidex.report.words import plural
from ambidex.stats.changes import carry_over, counted_rate, swing
from ambidex.stats.claim import Claim, decide
from ambidex.watch.budget import share
from ambidex.watch.incidents import parts
from ambidex.watch.inputs import entries_of
from ambidex.watch.layers import FEWEST_PAST, SCORE, Period, counts_of, new_layers, period_key
from ambidex.watch.log import moment
from ambidex.watch.look import Look
from ambidex.watch.monitor import advance
from ambidex.watch.state import new_state

__all__ = ["CYCLE_DAYS", "FEWEST_LOOKS", "MOST_SWING", "Replayed", "replayed"]

CYCLE_DAYS = 7.0
"""People's week: what has been seen for less than two of them may have a season that nobody has seen."""
FEWEST_LOOKS = 14
MOST_SWING = 1.5
"""Variance between looks, as a multiple of the binomial, above which the tests' independence does not hold."""
MOST_DAYS_OF_TREES = 20
NOISE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What the past says.

    Attributes:
        days: Of history.
        looks: In it.
        mode: ``layers``, ``weekday``, ``hour``, ``swing`` (D3), or ``none``: too little history.
        swing: Largest variance between looks over columns, as a multiple of the binomial.
        swings: The column that has it.
        detectors: By name: ``rang``, ``allowed``, ``armed``, ``why``; those that need no arming are there to be seen.
        constant: Columns that held one value up to a look, and no longer: (name, look's number).
        layers: The layers' state after the past, evidence started anew.
        text: In a sentence.
    """

    days: float
    looks: int
    mode: str
    swing: float | None
    swings: str | None
    detectors: dict[str, dict[str, Any]]
    text: str
    constant: tuple[tuple[str, int], ...] = ()
    layers: dict[str, Any] = field(default_factory=new_layers)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, without the layers' state."""
        return {
            "days": self.days, "looks": self.looks, "mode": self.mode, "swing": self.swing, "swings": self.swings,
            "detectors": self.detectors, "constant": [list(c) for c in self.constant], "text": self.text,
        }  # fmt: skip

    @property
    def armed(self) -> dict[str, str]:
        """Detector -> why it may ring."""
        return {name: d["why"] for name, d in self.detectors.items() if d["armed"]}


def replayed(
    reference: Mapping[str, Any],
    schema: Schema,
    looks: Sequence[Look],
    *,
    margin: float = 0.02,
    budget: float = 1.0,
    looks_a_year: float = 365.0,
    trees: bool = True,
) -> Replayed:
    """Run the detectors over past looks, oldest first, and say which of them may ring from now on.

    Args:
        reference: The version's.
        schema: Its inputs.
        looks: Past looks with their times.
        margin: Distance that counts.
        budget: False alarms a year.
        looks_a_year: Looks a year.
        trees: Try the domain classifier too, on twenty of the looks at most.
    """
    rate = min(budget / looks_a_year, 0.5)
    times = [moment(look.began) for look in looks]
    known = [t for t in times if t is not None]
    days = (max(known) - min(known)).total_seconds() / 86_400 + 365.0 / looks_a_year if known else 0.0
    if len(looks) < FEWEST_LOOKS or days < 2 * CYCLE_DAYS:
        why = f"{plural(len(looks), 'look')} over {days:.0f} days; two weeks and {FEWEST_LOOKS} looks are needed"
        silent = {
            n: _said(0, 0.0, False, f"too little history: {why}") for n in ("sudden", "small", "score", "relations")
        }
        return Replayed(
            days=days, looks=len(looks), mode="none", swing=None, swings=None, detectors=silent,
            text=f"silent: too little history, {why}",
        )  # fmt: skip
    ratio, column = _most_swing(reference, schema, looks, None)
    mode: str = "layers"
    period: Period | None = None
    note = ""
    if _swings(ratio):
        mode, period, note = _season(reference, schema, looks, times, looks_a_year)
        note = f"looks differ {ratio.value:.1f}× as much as independent rows would ({column}): {note}"
    state = new_state(0)
    state["layers"] = new_layers(period, swing=mode == "swing")
    rang: dict[str, int] = {}
    every = max(1, -(-len(looks) // MOST_DAYS_OF_TREES))
    tried = 0
    for i, look in enumerate(looks):
        one = look if trees and i % every == every - 1 else _without_cells(look)
        tried += one.cells is not None
        _, rings = advance(state, reference, schema, one, margin=margin, rate=rate, when=look.began)
        for ring in rings:
            rang[ring.detector] = rang.get(ring.detector, 0) + 1
    rang["beyond"] = sum(
        alert["rings"] for alert in state["alerts"] if any(p["kind"] == "drift" for p in alert["parts"])
    )
    rang["rules"] = len(parts(state, "rule"))
    judged = len(looks) - (_seeds(mode, period, times) if mode != "layers" else 0)
    names = ("swing",) if mode == "swing" else ("sudden", "small", "score")
    detectors = {}
    for name in names:
        part = sum(share(n, rate) for n in ("sudden", "small", "score")) if name == "swing" else share(name, rate)
        detectors[name] = _judged(rang.get(name, 0), part * judged)
    if mode == "layers" and trees and tried:
        detectors["relations"] = _judged(rang.get("relations", 0), share("relations", rate) * tried)
    detectors["beyond"] = _judged(rang["beyond"], share("beyond", rate) * len(looks))
    if mode == "layers":  # no season: what lies beyond the margin does
        detectors["beyond"] |= {"armed": True, "why": f"beyond the margin it would have rung {_times(rang['beyond'])}"}
    fixed = "holds rows against a fixed limit"
    detectors["rules"] = _said(rang["rules"], share("rules", rate) * len(looks), True, fixed)
    if mode == "swing" and detectors["swing"]["armed"] and _carries_over(state["layers"]["past"]):
        detectors["swing"] |= {
            "armed": False, "why": "not armed: distances go on from look to look, so a rank among them says nothing",
        }  # fmt: skip
    layers = {**state["layers"], "log_r": {}, "rising": {}, "profiles": state["layers"]["pools"] if period else {}}
    text = _text(days, len(looks), detectors, names, note)
    return Replayed(
        days=days, looks=len(looks), mode=mode, swing=float(ratio.value), swings=column, detectors=detectors,
        text=text, constant=_constant(reference, looks), layers=layers,
    )  # fmt: skip


def _without_cells(look: Look) -> Look:
    from dataclasses import replace

    return replace(look, cells=None)


def _said(rang: int, allowed: float, armed: bool, why: str) -> dict[str, Any]:
    return {"rang": rang, "allowed": allowed, "armed": armed, "why": why}


def _judged(rang: int, allowed: float) -> dict[str, Any]:
    """The claim "it rings more often than allowed": refused if supported."""
    estimate = counted_rate(rang, name="rings", alpha=NOISE)
    claim = Claim(measure="rings on the past", relation="above", margin=allowed, alpha=NOISE)
    if decide(claim, estimate).outcome == "supported":
        return _said(rang, allowed, False, f"not armed: it would have rung {_times(rang)}; allowed {allowed:.2g}")
    return _said(rang, allowed, True, f"on the past it would have rung {_times(rang)}; allowed {allowed:.2g}")


def _times(k: int) -> str:
    return {0: "never", 1: "once"}.get(k, f"{k} times")


def _most_swing(
    reference: Mapping[str, Any], schema: Schema, looks: Sequence[Look], groups: Sequence[str] | None
) -> tuple[Any, str]:
    """The column whose looks differ most for certain, and by how much."""
    entries = entries_of(reference, schema, score=all(look.score is not None for look in looks))
    found = []
    for name in entries:
        table = [counts_of(look.columns, look.score)[name] for look in looks]
        found.append((swing(np.array(table), groups, name=name, alpha=NOISE / len(entries)), name))
    worst, name = max(found, key=lambda pair: pair[0].low)
    return worst, "the prediction mix" if name == SCORE else name


def _swings(ratio: Any) -> bool:
    claim = Claim(measure=f"swing of {ratio.name}", relation="above", margin=MOST_SWING, alpha=1 - ratio.level)
    return decide(claim, ratio).outcome == "supported"


def _season(
    reference: Mapping[str, Any], schema: Schema, looks: Sequence[Look], times: Sequence[datetime | None],
    looks_a_year: float,
) -> tuple[str, Period | None, str]:  # fmt: skip
    """One pool a weekday or hour if that takes the swing away, else D3."""
    length = 365.0 / looks_a_year
    periods: list[Period] = (["weekday"] if length <= 1.01 else []) + (["hour"] if length <= 0.26 else [])  # type: ignore[assignment]  # literals
    for period in periods:
        groups = [period_key(period, t) for t in times]
        ratio, _ = _most_swing(reference, schema, looks, groups)
        if np.isfinite(ratio.value) and not _swings(ratio):
            return period, period, f"one pool for each {period}"
    return "swing", None, "a look is compared with the usual distance of looks (D3)"


def _carries_over(past: Mapping[str, Sequence[float]]) -> bool:
    """The claim "a look's distance goes with the one before": what D3's ranks take to be false."""
    claim = Claim(measure="lag-1 correlation of distances", relation="above", margin=0.0, alpha=NOISE)
    return decide(claim, carry_over(list(past.values()), alpha=NOISE)).outcome == "supported"


def _seeds(mode: str, period: Period | None, times: Sequence[datetime | None]) -> int:
    """Looks that were taken in without being judged."""
    if mode == "swing":
        return min(FEWEST_PAST, len(times))
    return len({period_key(period, t) for t in times})


def _constant(reference: Mapping[str, Any], looks: Sequence[Look]) -> tuple[tuple[str, int], ...]:
    """Number columns that held one value from the first look on, and the look at which that ended."""
    out = []
    for name in looks[0].columns:
        only = [look.columns[name].only for look in looks]
        if only[0] is None or all(v is not None for v in only):
            continue
        first = next(i for i, v in enumerate(only) if v is None)
        if all(v == only[0] for v in only[:first]):
            out.append((name, first))
    return tuple(out)


def _text(days: float, looks: int, detectors: Mapping[str, Mapping[str, Any]], names: Sequence[str], note: str) -> str:
    k, b = sum(detectors[n]["rang"] for n in names), sum(detectors[n]["allowed"] for n in names)
    head = f"on your last {days:.0f} days ({looks} looks) this would have rung {_times(k)}; allowed {b:.2g}"
    armed = [n for n, d in detectors.items() if d["armed"] and n not in ("beyond", "rules")]
    verdict = f"armed: {', '.join(armed)}" if armed else "not armed, it stays silent"
    if armed and (silent := [n for n, d in detectors.items() if not d["armed"]]):
        verdict += f"; silent: {', '.join(silent)}"
    if days < 730:
        years = "no whole year was seen" if days < 365 else "only one year was seen"
        verdict += f"; {years}, so a yearly season is not known of"
    else:
        verdict += f"; only {days / 365.25:.0f} years seen"
    return f"{head}; {note}; {verdict}" if note else f"{head}; {verdict}"
