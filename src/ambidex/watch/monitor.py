"""One pass of the watcher over one version: a pure function from state and arrivals to state and report.

Harm pages, drift explains, every alarm spends a budget. B false alarms a year are allowed for pages and as many for
infos; with L looks a year each look may spend B/L. Pages share theirs between harm and rules.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ambidex.bundle.reference import slots
from ambidex.errors import UsageError
from ambidex.records import Schema
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.sequences import mean_evidence
from ambidex.watch import evidence, harm
from ambidex.watch.incidents import State, open_alert, timestamp
from ambidex.watch.log import Arrivals, moment
from ambidex.watch.look import ColumnLook, Look, look_at_rows
from ambidex.watch.rules import broken_rules
from ambidex.watch.words import distance, move, plain, span

__all__ = ["Report", "State", "monitor_pass", "new_state"]

SCORE = "(prediction)"
"""The model's output, watched as a column; no table has a column of this name."""

ENOUGH = 100  # rows of a look whose quartiles are worth showing


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What one pass found.

    Attributes:
        version: Which version.
        verdict: ``drifted`` while a drift alert is open; ``none`` if every column lies inside its margin; else
            ``open``.
        text: The state of things in a sentence.
        rows: New rows in this pass.
        columns: As in ``drift``, with bounds that hold at every look; ``p_value`` is None, since what
            is watched is evidence.
        alerts: Open ones: {``id``, ``level``, ``kind``, ``text``, ``since``, ``columns``}.
        opened: Ids of those that this pass opened.
        loss: ``value``, ``low``, ``limit``, ``upper``, ``n``, ``outcome``; None where no loss can be judged.
        labels: ``matched`` (all so far), ``new``, ``unusable``, ``coverage``, ``lag_s`` (median of the new ones),
            ``immature`` (waiting for their horizon).
        score: The prediction mix, like a column; None before the first row.
    """

    version: int
    verdict: Literal["none", "drifted", "open"]
    text: str
    rows: int
    columns: list[dict[str, Any]]
    alerts: list[dict[str, Any]]
    opened: list[str] = field(default_factory=list)
    loss: dict[str, Any] | None = None
    labels: dict[str, Any] = field(default_factory=dict)
    score: dict[str, Any] | None = None

    @property
    def passed(self) -> bool:
        """False while a page is open (exit 4)."""
        return not any(a["level"] == "page" for a in self.alerts)

    def to_dict(self) -> dict[str, Any]:
        """``data`` of the JSON contract."""
        return {
            "state": _word(self),
            "verdict": self.verdict,
            "text": self.text,
            "version": self.version,
            "rows": self.rows,
            "columns": self.columns,
            "alerts": self.alerts,
            "opened": self.opened,
            "loss": self.loss,
            "labels": self.labels,
            "score": self.score,
        }


def new_state(version: int) -> State:
    """A version before its first pass; plain JSON, as every later state."""
    return {
        "version": version, "looks": 0, "rows": 0, "labels": 0, "limits": None, "inputs": {},
        "harm": harm.harm_state(),
        "alerts": [], "closed": [], "opened": 0,
    }  # fmt: skip


def monitor_pass(
    reference: Mapping[str, Any],
    schema: Schema,
    state: Mapping[str, Any],
    arrivals: Arrivals,
    *,
    margin: float = 0.02,
    tolerance: float = 0.02,
    budget: float = 1.0,
    looks_a_year: float = 365.0,
    now: datetime,
) -> tuple[State, Report]:
    """Judge what arrived since the last pass. Without arrivals the state stays as it is.

    Args:
        reference: From the version's bundle.
        schema: Its inputs.
        state: Of this version, as the pass before returned it, or ``new_state``.
        arrivals: New predictions and labels that are due, of this version.
        margin: Distance that counts, in shares.
        tolerance: How much the mean loss may exceed the reference's upper confidence limit.
        budget: False alarms allowed a year, for pages and for infos each.
        looks_a_year: Passes a year.
        now: Time of this pass.

    Returns:
        The new state (store it together with the cursor, in one transaction: then no row is bet on twice), and
        the report.

    Raises:
        UsageError: ``usage.value`` for a budget or number of looks that is not above 0.
    """
    if not budget > 0 or not looks_a_year > 0:
        raise UsageError("usage.value", f"budget {budget} and looks {looks_a_year} must be above 0")
    rate = min(budget / looks_a_year, 0.5)
    when = timestamp(now)
    new: State = {**state, "alerts": [dict(a) for a in state["alerts"]], "inputs": dict(state["inputs"])}
    if new.get("limits") != [margin, tolerance]:  # evidence against another limit says nothing about this one
        new |= {"limits": [margin, tolerance], "inputs": {}, "harm": harm.harm_state()}
    opened: list[str] = []
    began = when
    if arrivals.frames:
        frames = sorted(arrivals.frames, key=lambda f: str(f.get("at", "")))
        outputs = [f.get("p") for f in frames]
        look = look_at_rows(reference, schema, [f.get("row") or {} for f in frames], outputs)
        began = str(frames[0].get("at") or when)
        new["looks"] += 1
        new["rows"] += look.rows
        opened += _drift(new, reference, schema, look, margin=margin, rate=rate, began=began, when=when)
        opened += _rules(new, reference, schema, look, outputs, alpha=rate / 2, began=began, when=when)
    labels = _labels(new, schema, reference, arrivals)
    limits = harm.loss_limit(reference.get("loss") or {}, tolerance, task=schema.task)
    if limits is not None and labels["losses"]:
        new["harm"] = harm.take_losses(new["harm"], labels["losses"], limits[1], labels["began"] or when)
    verdict = None if limits is None else harm.judge_harm(new["harm"], limits[1], rate / 2)
    if verdict is not None and limits is not None and verdict.outcome == "supported":
        opened += _harm(new, verdict, limits, tolerance, labels, when)
    shown = _columns(new, reference, schema, margin=margin, rate=rate)
    # Bounds since the start may leave the margin before the detector rings: the claim is supported all the same.
    opened += _outside(new, {n: c for n, c in shown.items() if c["drifted"]}, margin, began, when)
    score = shown.pop(SCORE, None)
    columns = list(shown.values())
    alerts = new["alerts"]
    drifted = any(a["kind"] == "drift" for a in alerts)
    inside = bool(columns) and all(c["outcome"] == "inside" for c in columns)
    loss = None if limits is None or verdict is None else _loss(verdict, limits)
    for alert in alerts:
        if alert["kind"] == "harm":
            loss = alert["figures"]["loss"]
    report = Report(
        version=int(new["version"]),
        verdict="drifted" if drifted else "none" if inside else "open",
        text=_text(new, columns, alerts, loss, waiting=arrivals.waiting),
        rows=len(arrivals.frames),
        columns=columns,
        alerts=[dict(a) for a in alerts],
        opened=opened,
        loss=loss,
        labels={k: labels[k] for k in ("matched", "new", "unusable", "coverage", "lag_s")}
        | {"immature": arrivals.waiting},
        score=score,
    )
    return new, report


# ---------------------------------------------------------------- detectors


def _rules(
    state: State, reference: Mapping[str, Any], schema: Schema, look: Look, outputs: Sequence[Any], *,
    alpha: float, began: str, when: str,
) -> list[str]:  # fmt: skip
    opened = []
    moved = {name for a in state["alerts"] if a["kind"] == "drift" for name in a["columns"]}
    for broken in broken_rules(reference, schema, look, alpha=alpha):
        if broken.rule == "stuck" and broken.column in moved:
            continue
        opened += open_alert(state, broken.level, broken.id, broken.text, [broken.column], began, when)
    failed = sum(p is None or not math.isfinite(p) for p in outputs)
    if failed:
        text = f"{failed:,} of {look.rows:,} predictions are no number"
        opened += open_alert(state, "page", "rule:output", text, [], began, when)
    return opened


def _drift(
    state: State, reference: Mapping[str, Any], schema: Schema, look: Look, *,
    margin: float, rate: float, began: str, when: str,
) -> list[str]:  # fmt: skip
    """Inputs and the prediction mix beyond their margin: one ring over all of them, then which."""
    entries = {name: reference["columns"][name] for name in schema.names}
    counts = {name: look.columns[name].counts for name in schema.names}
    if look.score is not None:
        entries[SCORE], counts[SCORE] = reference["score"], look.score
    total = sum(2 * (2 if e["kind"] == "number" else len(slots(e))) for e in entries.values())
    kept = state["inputs"]
    gauges = {n: evidence.gauges(e, margin, evidence.REFERENCE_ALPHA / total) for n, e in entries.items()}
    for name, entry in entries.items():
        before = kept.get(name) or evidence.column_state(len(gauges[name]), len(entry["counts"]))
        kept[name] = evidence.take_look(before, gauges[name], counts[name], began)
    each = {name: evidence.log_r_of(kept[name]) for name in entries}
    together = Estimate(
        name="inputs", kind="distance", value=max(each.values()), low=-math.inf, high=math.inf, n=look.rows,
        anytime=True, log_e_for=mean_evidence(list(each.values())), about=("outside", margin),
        method="betting e-detector",
    )  # fmt: skip
    claim = Claim(measure="inputs", relation="outside", margin=margin, alpha=rate, sides=1, looks="anytime")
    if decide(claim, together).outcome != "supported":
        return []
    moved = _which(each, rate)
    shown: dict[str, dict[str, Any]] = {}
    for name in moved:
        estimate = evidence.distance_since(name, entries[name], kept[name], gauges[name], margin=margin, rate=rate)
        what = _move(entries[name], kept[name], estimate.category, look.columns.get(name))
        shown[name] = _row(name, estimate, margin, "outside", what, drifted=True)
    since = min(kept[name]["window"]["since"] or began for name in moved)
    state["inputs"] = {name: evidence.restart(kept[name], keep_rows=name not in moved) for name in entries}
    return _outside(state, shown, margin, since, when)


def _outside(state: State, shown: Mapping[str, dict[str, Any]], margin: float, since: str, when: str) -> list[str]:
    """One alert for all columns outside: those that ring while it is open join it."""
    open_ = next((a for a in state["alerts"] if a["kind"] == "drift"), None)
    figures = {**shown, **(open_["figures"] if open_ else {})}
    if not figures or (open_ and len(figures) == len(open_["figures"])):
        return []
    ranked = sorted(figures, key=lambda name: -abs(figures[name]["size"] or 0.0))
    words = [f"{_shown(n)} {distance(figures[n]['size'])}, {figures[n]['what']}" for n in ranked[:4]]
    more = f"; {len(ranked) - 4} more" if len(ranked) > 4 else ""
    text = f"outside ±{plain(margin)}: {'; '.join(words)}{more}"
    if open_ is None:
        return open_alert(state, "info", "drift", text, ranked, since, when, figures=figures)
    open_ |= {"text": text, "columns": ranked, "figures": figures, "last": when}
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


def _harm(
    state: State, verdict: Verdict, limits: tuple[float, float], tolerance: float, labels: Mapping[str, Any], when: str
) -> list[str]:
    e = verdict.estimate
    text = (
        f"error {plain(e.value)}, at least {plain(e.low)}; limit {plain(limits[1])} = "
        f"reference's upper {plain(limits[0])} + tolerance {plain(tolerance)}; {e.n:,} labels"
    )
    if labels["coverage"] is not None:
        text += f", coverage {labels['coverage']:.0%}"
    if labels["lag_s"]:
        text += f", lag {span(labels['lag_s'])}"
    since = state["harm"]["window"]["since"] or when
    figures = {"loss": _loss(verdict, limits)}
    state["harm"] = harm.harm_state()
    return open_alert(state, "page", "harm", text, [], since, when, figures=figures)


def _labels(state: State, schema: Schema, reference: Mapping[str, Any], arrivals: Arrivals) -> dict[str, Any]:
    loss = reference.get("loss") or {}
    losses, lags, unusable = [], [], 0
    for due in arrivals.labels:
        one = harm.loss_of(schema, loss, due.p, due.label)
        if one is None:
            unusable += 1
            continue
        losses.append(one)
        made, came = moment(due.predicted_at), moment(due.at)
        if made is not None and came is not None:
            lags.append((came - made).total_seconds())
    state["labels"] += len(losses)
    lags.sort()
    return {
        "losses": losses,
        "new": len(losses),
        "unusable": unusable,
        "matched": state["labels"],
        "coverage": state["labels"] / state["rows"] if state["rows"] else None,
        "lag_s": lags[len(lags) // 2] if lags else None,
        "began": min((d.at for d in arrivals.labels), default=None),
    }


# ---------------------------------------------------------------- what is shown


def _columns(
    state: State, reference: Mapping[str, Any], schema: Schema, *, margin: float, rate: float
) -> dict[str, dict[str, Any]]:
    """Each column as reported: as its open alert says, else with the bounds on all rows since the start."""
    entries = {name: reference["columns"][name] for name in schema.names} | {SCORE: reference.get("score")}
    ringing = {name: figures for a in state["alerts"] if a["kind"] == "drift" for name, figures in a["figures"].items()}
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
        out[name] = _row(name, estimate, margin, outcome, what, drifted=outcome == "outside")
    return out


def _row(name: str, e: Estimate, margin: float, outcome: str, what: str, *, drifted: bool) -> dict[str, Any]:
    return {
        "name": name, "drifted": drifted, "size": finite(e.value), "low": finite(e.low), "high": finite(e.high),
        "margin": margin, "p_value": None, "outcome": outcome, "what": what,
    }  # fmt: skip


def _loss(verdict: Verdict, limits: tuple[float, float]) -> dict[str, Any]:
    e = verdict.estimate
    return {
        "value": finite(e.value), "low": finite(e.low), "limit": limits[1], "upper": limits[0], "n": e.n,
        "outcome": verdict.outcome,
    }  # fmt: skip


def _shown(name: str) -> str:
    return "the prediction mix" if name == SCORE else name


def _text(
    state: State,
    columns: Sequence[Mapping[str, Any]],
    alerts: Sequence[Mapping[str, Any]],
    loss: Mapping[str, Any] | None,
    *,
    waiting: int,
) -> str:
    if not state["rows"]:
        return f"no prediction by @{state['version']} has been logged yet"
    pages = sorted((a for a in alerts if a["level"] == "page"), key=lambda a: a["kind"] != "harm")
    parts = []
    if pages:
        parts.append(f"{pages[0]['text']}" + (f"; {len(pages) - 1} more pages" if len(pages) > 1 else ""))
    infos = [name for a in alerts if a["kind"] == "drift" for name in a["columns"]]
    if infos:
        names = [_shown(n) for n in infos]
        parts.append(f"{len(names)} beyond their margin: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}")
    parts += [a["text"] for a in alerts if a["level"] == "info" and a["kind"] != "drift"]
    if not parts:
        inside = sum(c["outcome"] == "inside" for c in columns)
        parts.append(f"quiet: nothing rang; {inside} of {len(columns)} columns shown to lie inside their margin")
    if loss is None:
        parts.append("errors are not judged: the reference has no loss that could be exceeded")
    elif not pages and loss["n"]:
        words = {"refuted": "within its limit", "open": "not decided against its limit", "supported": "above its limit"}
        parts.append(f"error {plain(loss['value'] or 0.0)} {words[loss['outcome']]} {plain(loss['limit'])}")
    elif not loss["n"] and not pages and not waiting:
        parts.append("no label yet")
    if waiting:
        parts.append("1 label waits for its horizon" if waiting == 1 else f"{waiting:,} labels wait for their horizon")
    return "; ".join(parts)


def _word(report: Report) -> str:
    if not report.passed:
        return "page"
    if report.alerts:
        return "info"
    return "quiet" if report.rows or report.labels.get("new") else "nothing-new"
