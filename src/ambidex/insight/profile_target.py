"""How well each column alone tells the outcome, for a profile with a target."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ambidex.data.facts import ColumnFacts
from ambidex.data.table import Table
from ambidex.insight.outcome import read_outcome
from ambidex.insight.screens import LEAK_AUC, SUSPECT_AUC
from ambidex.report.answer import Caution, Figure, Finding
from ambidex.report.words import count, listing, plural, share
from ambidex.stats.discrimination import delong
from ambidex.stats.estimate import Estimate

__all__ = ["TargetView", "view_target"]

FOLDS = 5
WIDER = 1.45  # out-of-fold scores of noise: standard deviation .034 over 400 draws of 600 rows, DeLong says .0236
COLUMNS = 500
SHOWN = 12
FEW = 10


@dataclass(frozen=True, slots=True)
class TargetView:
    """The outcome as the profile shows it.

    Attributes:
        estimates: Per column the area under the ROC curve, best first.
        cautions: About the target, and columns that tell it too well.
        finding: The picture; None where the outcome does not divide the rows.
        tile: (label, value, range) for the page.
        method: How it was made.
        suspects: Columns that tell the outcome so well that they may be known only after it.
    """

    estimates: tuple[Estimate, ...] = ()
    cautions: tuple[Caution, ...] = ()
    finding: Finding | None = None
    tile: tuple[str, str, str] | None = None
    method: str = ""
    suspects: tuple[str, ...] = ()


def view_target(table: Table, facts: list[ColumnFacts], target: str) -> TargetView:
    """Each column alone against the target.

    Numbers and columns of two labels score by themselves, in the direction that tells more. A column of
    several labels scores by the share of *yes* among other rows with the label, in five folds, so that
    no row helps to score itself. A target with many numbers is cut at
    its median, one with several labels into the most frequent and the rest.
    """
    own = next(f for f in facts if f.name == target)
    yes, known, what = _outcome(table, own)
    yes_no = own.type not in ("number", "integer") or own.unique == 2  # a number cut at its median is easier to tell
    cautions: list[Caution] = []
    if not known.all():
        lacking = int((~known).sum())
        cautions.append(Caution("target-missing", f"The target `{target}` is missing in {plural(lacking, 'row')}."))
    hits = int(yes[known].sum())
    rows = int(known.sum())
    if not 0 < hits < rows:
        value = f"`{target}` has one value in {count(rows)} of {count(table.rows)} rows: nothing can predict it."
        return TargetView(cautions=(*cautions, Caution("target-constant", value)))
    smaller = min(hits, rows - hits)
    if smaller < FEW:
        text = f"The target `{target}` has {plural(smaller, 'row')} on its smaller side; {FEW} or more are needed."
        cautions.append(Caution("target-few", text))
    rng = np.random.default_rng(0)
    fold = rng.permutation(rows) % FOLDS
    usable = [f for f in facts if f.name != target and f.role not in ("id", "constant", "text", "time")]
    usable = [f for f in usable if f.type in ("number", "integer", "category", "boolean")][:COLUMNS]
    estimates = [e for f in usable if (e := _told(table, f, known, yes, fold)) is not None]
    estimates.sort(key=lambda e: -e.value)
    suspects = []
    for e in estimates:
        if e.value >= SUSPECT_AUC and smaller >= FEW:
            suspects.append(e.name)
            if e.value < LEAK_AUC and yes_no:
                text = (
                    f"`{e.name}` alone tells `{target}` well (AUC {e.value:.2f}): make sure that it is known before "
                    f"`{target}` is."
                )
                cautions.append(Caution("after-the-fact", text))
        if e.value >= LEAK_AUC and smaller >= FEW:
            text = (
                f"`{e.name}` alone tells `{target}` almost perfectly (AUC {e.value:.3f} in {count(e.n)} rows): "
                "it may be known only after the outcome."
            )
            cautions.append(Caution("leak", text))
    return TargetView(
        estimates=tuple(estimates),
        cautions=tuple(cautions),
        finding=_finding(estimates, what, rows) if estimates else None,
        suspects=tuple(suspects) if yes_no else tuple(e.name for e in estimates if e.value >= LEAK_AUC),
        tile=(what, share(hits / rows), f"{count(hits)} of {count(rows)} rows"),
        method=(
            f"AUC per column: the chance that a random row with {what} scores above one without. Numbers score by "
            f"themselves where they are known; labels by their share among the other rows ({FOLDS} folds, seed 0), "
            f"their DeLong interval widened {WIDER:.2f} times."
        ),
    )


def _outcome(table: Table, own: ColumnFacts) -> tuple[Any, Any, str]:
    if own.type in ("number", "integer") and own.unique > 2:
        values = table.number(own.name)
        known = ~np.isnan(values)
        middle = float(np.median(values[known])) if known.any() else 0.0
        return values > middle, known, f"{own.name} above {middle:,.6g}"
    labels = table.text(own.name)
    known = np.array([v is not None for v in labels])
    tally: dict[str, int] = {}
    for label in labels[known]:
        tally[label] = tally.get(label, 0) + 1
    ranked = sorted(tally, key=lambda k: -tally[k])
    if not ranked:
        return np.zeros(table.rows, dtype=bool), known, own.name
    if len(ranked) == 2:  # the label that reads as yes, else the rarer: what ``drivers`` takes
        label = str(read_outcome(table, own.name).positive)
    else:
        label = ranked[0]
    return labels == label, known, f"{own.name} = {label}"


def _told(table: Table, f: ColumnFacts, known: Any, yes: Any, fold: Any) -> Estimate | None:
    """The AUC of one column; None where it has too few values beside the two outcomes."""
    if f.type in ("number", "integer"):
        score = table.number(f.name)
        use = known & ~np.isnan(score)
        e = delong(yes[use], score[use], name=f.name)
    else:
        cells = table.cells(f.name)
        blank = np.append(False, cells.is_blank)
        codes = np.where(blank[cells.codes + 1], 0, cells.codes + 1)[known]  # 0 is missing
        if f.unique == 2 and not f.missing:
            e = delong(yes[known], codes, name=f.name)
        else:
            e = delong(yes[known], _score(codes, yes[known], fold), name=f.name)
            if e.se is not None:
                e = replace(e, se=WIDER * e.se, method="DeLong, widened for out-of-fold scores").at(0.05)
    if not (math.isfinite(e.value) and math.isfinite(e.low) and math.isfinite(e.high)):
        return None
    if e.value < 0.5 and e.method == "DeLong":
        e = replace(e, value=1 - e.value, low=1 - e.high, high=1 - e.low)
    return replace(e, unit="AUC")


def _score(codes: Any, yes: Any, fold: Any) -> Any:
    size = int(codes.max()) + 1
    key = fold * size + codes
    rows = np.bincount(key, minlength=FOLDS * size).reshape(FOLDS, size)
    hits = np.bincount(key, weights=yes, minlength=FOLDS * size).reshape(FOLDS, size)
    rows_else, hits_else = rows.sum(0) - rows, hits.sum(0) - hits
    base = yes.mean()
    return ((hits_else + base) / (rows_else + 1))[fold, codes]


def _finding(estimates: list[Estimate], what: str, rows: int) -> Finding:
    best = estimates[0]
    shown = estimates[:SHOWN]
    # An interval that reaches .5 leaves open whether the column tells anything.
    marks = tuple(
        {"label": e.name, "value": e.value, "low": e.low, "high": e.high, "n": e.n, "clear": e.low > 0.5} for e in shown
    )
    told = [e.name for e in shown if e.low > 0.5]
    if told:
        title = f"`{best.name}` alone tells most about {what}"
        text = f"AUC {best.value:.2f} ({best.low:.2f} to {best.high:.2f}), where .5 is chance and 1 is certainty."
    else:
        title = f"No column alone tells {what} from the rest"
        text = f"The best, `{best.name}`, has AUC {best.value:.2f} ({best.low:.2f} to {best.high:.2f}); .5 is chance."
    figure = Figure(
        form="interval-dots",
        title=f"How well each column alone tells {what}",
        subtitle="Area under the ROC curve with 95% intervals; .5 is chance",
        unit="AUC",
        rows=marks,
        sentence="AUC of " + listing([f"{e.name} {e.value:.2f}" for e in shown]) + ".",
    )
    return Finding(
        title=title,
        text=text,
        strength="strong" if best.low > 0.6 else "some" if told else "weak",
        so_what="It goes with the outcome; whether changing it would change the outcome is another question.",
        how_sure=f"Measured on {plural(rows, 'row')}, with 95% intervals.",
        figure=figure,
    )
