"""One pass of the watcher over one version: a pure function from state and arrivals to state and report.

Harm pages, drift explains, every alarm spends a budget. B false alarms a year are allowed for pages and as many for
infos; with L looks a year each look may spend B/L, split as ``budget`` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ambidex.errors import UsageError
from ambidex.records import Schema
from ambidex.stats.claim import Verdict
from ambidex.stats.estimate import finite
from ambidex.watch import charts, explain, harm, labelled
from ambidex.watch.budget import share
from ambidex.watch.incidents import State, is_page, open_alert, parts, timestamp, unmute_due
from ambidex.watch.inputs import beyond_margin, entries_of, join_outside, shown_columns, shown_name
from ambidex.watch.layers import SCORE, Ring, counts_of, judge_look
from ambidex.watch.log import Arrivals, moment
from ambidex.watch.look import Look, looks_of
from ambidex.watch.rules import broken_rules
from ambidex.watch.state import migrated, new_state
from ambidex.watch.words import plain, span

__all__ = ["ALWAYS", "SCORE", "Report", "State", "advance", "monitor_pass", "new_state"]

ALWAYS = ("beyond", "rules", "harm", "slices", "calibration")
"""Detectors that hold rows against a fixed limit: they need no replay before they ring."""


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
        alerts: Open ones: {``id``, ``level``, ``kind``, ``text``, ``since``, ``columns``, ``rings``, ``muted``}.
        opened: Ids of those that this pass opened.
        loss: ``value``, ``low``, ``limit``, ``upper``, ``n``, ``outcome``; None where no loss can be judged.
        labels: ``matched`` (all so far), ``new``, ``unusable``, ``coverage``, ``lag_s`` (median of the new ones),
            ``immature`` (waiting for their horizon).
        score: The prediction mix, like a column; None before the first row.
        detectors: {``name``, ``state``: armed | silent | not run, ``why``, ``kept``}: what rings, and what was kept.
        performance: Expected without labels (CBPE); None where it cannot be.
        calibration: ``gap``, its limits, ``n``, ``outcome``; None where the reference says nothing of it.
        slices: The worst of the declared slices.
        ranking: Columns by what their move does to errors, by the reference's losses.
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
    detectors: list[dict[str, Any]] = field(default_factory=list)
    performance: dict[str, Any] | None = None
    calibration: dict[str, Any] | None = None
    slices: list[dict[str, Any]] = field(default_factory=list)
    ranking: list[dict[str, Any]] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """False while a page is open that is not muted (exit 4)."""
        return not any(is_page(a) for a in self.alerts)

    def to_dict(self) -> dict[str, Any]:
        """``data`` of the JSON contract."""
        fields = (
            "verdict", "text", "version", "rows", "columns", "alerts", "opened", "loss", "labels", "score",
            "detectors", "performance", "calibration", "slices", "ranking",
        )  # fmt: skip
        return {"state": _word(self), **{name: getattr(self, name) for name in fields}}


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
    armed: Mapping[str, str] | None = None,
    silenced: Mapping[str, str] | None = None,
    slices: Sequence[str] = (),
    now: datetime,
) -> tuple[State, Report]:
    """Judge what arrived since the last pass. Without arrivals the state stays as it is.

    Args:
        reference: From the version's bundle.
        schema: Its inputs.
        state: Of this version, as the pass before returned it, or ``new_state``; older forms are migrated.
        arrivals: New predictions and labels that are due, of this version.
        margin: Distance that counts, in shares.
        tolerance: How much the mean loss may exceed the reference's upper confidence limit.
        budget: False alarms allowed a year, for pages and for infos each.
        looks_a_year: Passes a year.
        armed: Detector -> what its replay said; the rings of others, beside those that need none, are kept.
        silenced: Detector -> why its replay refused it, for those that need no arming otherwise.
        slices: Columns whose levels are watched one by one.
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
    old = migrated(state)
    new: State = {**old, "alerts": [_copied(a) for a in old["alerts"]], "inputs": dict(old["inputs"])}
    new |= {"kept": dict(old["kept"]), "days": dict(old["days"])}
    if new.get("limits") != [margin, tolerance]:  # evidence against another limit says nothing about this one
        new |= {
            "limits": [margin, tolerance],
            "inputs": {},
            "harm": harm.harm_state(),
            "calibration": None,
            "slices": {},
        }
    unmute_due(new, when)
    opened: list[str] = []
    rings: list[Ring] = []
    began = when
    looks = arrivals.looks or looks_of(reference, schema, arrivals.frames, looks_a_year=looks_a_year)
    for look in looks:
        found, rang = advance(
            new, reference, schema, look, margin=margin, rate=rate, when=when, silent="beyond" in (silenced or {})
        )
        opened += found
        rings += rang
    if looks:
        began = looks[0].began or when
        charts.count_days(new, schema, arrivals.frames)
        charts.count_arrivals(new, looks)
    labels = _labels(new, schema, reference, arrivals)
    charts.count_losses(new, schema, labels["each"])
    limits = harm.loss_limit(reference.get("loss") or {}, tolerance, task=schema.task)
    alone = 1.0 if slices else (share("harm", 1.0) + share("slices", 1.0)) / share("harm", 1.0)
    alpha = share("harm", rate) * alone
    if limits is not None and labels["losses"]:
        new["harm"] = harm.take_losses(new["harm"], labels["losses"], limits[1], labels["began"] or when)
    verdict = None if limits is None else harm.judge_harm(new["harm"], limits[1], alpha)
    if verdict is not None and limits is not None and verdict.outcome == "supported":
        opened += _harm(new, verdict, limits, tolerance, labels, when)
    since = labels["began"] or when
    calibration, found = labelled.calibration(
        new, reference, labels["gaps"], tolerance=tolerance, rate=share("calibration", rate), since=since, when=when
    )
    opened += found
    worst: list[dict[str, Any]] = []
    if slices:
        worst, found = labelled.slices(
            new,
            reference,
            schema,
            slices,
            labels["each"],
            tolerance=tolerance,
            rate=share("slices", rate),
            since=since,
            when=when,
        )
        opened += found
    shown = shown_columns(new, reference, schema, margin=margin, rate=share("beyond", rate))
    # Bounds since the start may leave the margin before the detector rings: the claim is supported all the same.
    if "beyond" not in (silenced or {}):
        opened += join_outside(new, {n: c for n, c in shown.items() if c["drifted"]}, margin, began, when)
    opened += _rung(new, rings, shown, armed or {}, when)
    score = shown.pop(SCORE, None)
    columns = list(shown.values())
    loss = None if limits is None or verdict is None else _loss(verdict, limits)
    for part in parts(new, "harm"):
        loss = part["figures"]["loss"]
    drifted = bool(parts(new, "drift"))
    if looks or labels["losses"]:
        charts.remember(new, when, rows=sum(look.rows for look in looks), drifted=drifted, loss=loss)
    inside = bool(columns) and all(c["outcome"] == "inside" for c in columns)
    report = Report(
        version=int(new["version"]),
        verdict="drifted" if drifted else "none" if inside else "open",
        text=_text(new, columns, loss, waiting=arrivals.waiting),
        rows=sum(look.rows for look in looks),
        columns=columns,
        alerts=[_copied(a) for a in new["alerts"]],
        opened=opened,
        loss=loss,
        labels={k: labels[k] for k in ("matched", "new", "unusable", "coverage", "lag_s")}
        | {"immature": arrivals.waiting},
        score=score,
        detectors=_detectors(new, armed or {}, silenced or {}, slices),
        performance=explain.expected_performance(new, reference),
        calibration=calibration,
        slices=worst,
        ranking=explain.column_harm(reference, schema, new["recent"])[:5] if drifted else [],
    )
    return new, report


def advance(
    state: State, reference: Mapping[str, Any], schema: Schema, look: Look, *, margin: float, rate: float, when: str,
    silent: bool = False,
) -> tuple[list[str], list[Ring]]:  # fmt: skip
    """One look at inputs and outputs: ids of the alerts it opened, and rings of the detectors that must be armed.

    Changes the state in place; what is shown of columns is not computed here.
    """
    at = moment(look.began) or moment(when)
    look = look if look.began else _dated(look, when)
    state["looks"] += 1
    state["rows"] += look.rows
    state["first"] = state["first"] or look.began
    state["last"] = max(state["last"] or "", look.ended or look.began)
    opened = beyond_margin(
        state, reference, schema, look, margin=margin, rate=share("beyond", rate), when=when, at=at, silent=silent
    )
    entries = entries_of(reference, schema, score=look.score is not None)
    counts = counts_of(look.columns, look.score)
    state["layers"], rings = judge_look(state["layers"], entries, counts, rate=rate, began=look.began, at=at)
    if not state["layers"]["swing"] and state["layers"]["period"] is None:  # it knows of no season
        rings += explain.relations(state, reference, schema, look, alpha=share("relations", rate), at=at)
    explain.take_scores(state, look)
    state["recent"] = {name: column.counts.tolist() for name, column in look.columns.items()}
    opened += _rules(state, reference, schema, look, alpha=share("rules", rate), when=when)
    return opened, rings


def _dated(look: Look, when: str) -> Look:
    from dataclasses import replace

    return replace(look, began=when, ended=when)


def _copied(alert: Mapping[str, Any]) -> dict[str, Any]:
    return {**alert, "parts": [dict(part) for part in alert["parts"]]}


# ---------------------------------------------------------------- what rang


def _rung(
    state: State, rings: Sequence[Ring], shown: Mapping[str, Mapping[str, Any]], armed: Mapping[str, str], when: str
) -> list[str]:
    """Rings of armed detectors open an info; those of silent ones, and of columns shown to lie inside, are kept."""
    opened = []
    for ring in rings:
        inside = bool(ring.columns) and all(shown.get(c, {}).get("outcome") == "inside" for c in ring.columns)
        if ring.detector in armed and not inside:
            opened += open_alert(state, "info", ring.detector, ring.text, ring.columns, ring.since, when)
            continue
        was = state["kept"].get(ring.detector, {"count": 0})
        why = "inside the margin" if ring.detector in armed else "not armed"
        state["kept"][ring.detector] = {
            "count": was["count"] + 1, "last": when, "why": why, "columns": list(ring.columns[:5])
        }  # fmt: skip
    return opened


def _rules(
    state: State, reference: Mapping[str, Any], schema: Schema, look: Look, *, alpha: float, when: str
) -> list[str]:
    opened = []
    moved = {name for part in parts(state, "drift") for name in part["columns"]}
    for broken in broken_rules(reference, schema, look, alpha=alpha):
        if broken.rule == "stuck" and broken.column in moved:
            continue
        opened += open_alert(state, broken.level, broken.id, broken.text, [broken.column], look.began, when)
    if look.failed:
        text = f"{look.failed:,} of {look.rows:,} predictions are no number"
        opened += open_alert(state, "page", "rule:output", text, [], look.began, when)
    return opened


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
    each, gaps, lags, unusable = [], [], [], 0
    for due in arrivals.labels:
        one = harm.loss_of(schema, loss, due.p, due.label)
        if one is None:
            unusable += 1
            continue
        each.append((due, one))
        gap = labelled.gap_of_label(schema, reference, due)
        if gap is not None:
            gaps.append(gap)
        made, came = moment(due.predicted_at), moment(due.at)
        if made is not None and came is not None:
            lags.append((came - made).total_seconds())
    state["labels"] += len(each)
    lags.sort()
    return {
        "each": each,
        "losses": [one for _, one in each],
        "gaps": gaps,
        "new": len(each),
        "unusable": unusable,
        "matched": state["labels"],
        "coverage": state["labels"] / state["rows"] if state["rows"] else None,
        "lag_s": lags[len(lags) // 2] if lags else None,
        "began": min((d.at for d in arrivals.labels), default=None),
    }


# ---------------------------------------------------------------- what is shown


def _detectors(
    state: Mapping[str, Any], armed: Mapping[str, str], silenced: Mapping[str, str], slices: Sequence[str]
) -> list[dict[str, Any]]:
    layers = state["layers"]
    quiet: tuple[str, ...] = ("swing",) if layers["swing"] else ("sudden", "small", "score")
    if not layers["swing"] and layers["period"] is None:
        quiet = (*quiet, "relations")
    out = []
    for name in (*(n for n in ALWAYS if n != "slices" or slices), *quiet):
        kept = state["kept"].get(name)
        result = (state.get("relations") or {}).get("result") or {}
        why = "holds rows against a fixed limit" if name in ALWAYS else armed.get(name, "not armed: no replay yet")
        word = "armed" if name in ALWAYS or name in armed else "silent"
        if name in silenced:
            word, why = "silent", silenced[name]
        if name == "relations" and result.get("state") == "not run":
            word, why = "not run", result["why"]
        out.append({"name": name, "state": word, "why": why, "kept": kept["count"] if kept else 0})
    return out


def _loss(verdict: Verdict, limits: tuple[float, float]) -> dict[str, Any]:
    e = verdict.estimate
    return {
        "value": finite(e.value), "low": finite(e.low), "limit": limits[1], "upper": limits[0], "n": e.n,
        "outcome": verdict.outcome,
    }  # fmt: skip


def _text(state: State, columns: Sequence[Mapping[str, Any]], loss: Mapping[str, Any] | None, *, waiting: int) -> str:
    alerts = state["alerts"]
    if not state["rows"]:
        return f"no prediction by @{state['version']} has been logged yet"
    pages = sorted((a for a in alerts if is_page(a)), key=lambda a: a["kind"] != "harm")
    said = []
    if pages:
        said.append(f"{pages[0]['text']}" + (f"; {len(pages) - 1} more pages" if len(pages) > 1 else ""))
    infos = [name for part in parts(state, "drift") for name in part["columns"]]
    if infos:
        names = [shown_name(n) for n in infos]
        said.append(f"{len(names)} beyond their margin: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}")
    said += [a["text"] for a in alerts if a["level"] == "info" and a["kind"] != "drift"]
    if muted := sum(a["level"] == "page" and bool(a["muted"]) for a in alerts):
        said.append(f"{muted} muted")
    if not said:
        inside = sum(c["outcome"] == "inside" for c in columns)
        said.append(f"quiet: nothing rang; {inside} of {len(columns)} columns shown to lie inside their margin")
    if loss is None:
        said.append("errors are not judged: the reference has no loss that could be exceeded")
    elif not pages and loss["n"]:
        words = {"refuted": "within its limit", "open": "not decided against its limit", "supported": "above its limit"}
        said.append(f"error {plain(loss['value'] or 0.0)} {words[loss['outcome']]} {plain(loss['limit'])}")
    elif not loss["n"] and not pages and not waiting:
        said.append("no label yet")
    if waiting:
        said.append("1 label waits for its horizon" if waiting == 1 else f"{waiting:,} labels wait for their horizon")
    return "; ".join(said)


def _word(report: Report) -> str:
    if not report.passed:
        return "page"
    if report.alerts:
        return "info"
    return "quiet" if report.rows or report.labels.get("new") else "nothing-new"
