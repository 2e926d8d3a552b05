"""Tables that cannot show a return: spend, clicks and conversions without anybody left untreated."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ambidex.data.table import Table
from ambidex.insight.campaign_ask import Ask
from ambidex.insight.experiment_checks import CONTROLS
from ambidex.insight.experiment_data import codes_of
from ambidex.report.answer import Figure, Recommendation
from ambidex.report.words import count, listing, number
from ambidex.stats.estimate import finite

__all__ = ["Shown", "attribution", "cost_figure", "cost_table", "cost_tiles", "refusal"]

MOST_ARMS = 20
SPEND = re.compile(
    r"(?:^|[_\W])(?:ad_?)?(?:spend|spent|cost|costs|budget)(?:$|[_\W])|_S$|(?<=[a-z])Spen[dt]$", re.IGNORECASE
)
MEDIA = re.compile(r"click|impression|(?:^|_)reach|(?:^|_)views?$|_I$|_P$|cpm|ctr", re.IGNORECASE)
AD_LEVEL = re.compile(r"impression|(?:^|_)reach|_I$|cpm|ctr", re.IGNORECASE)
PAID = re.compile(r"spent|cost|budget|ad_?spend|_S$", re.IGNORECASE)
RESULT = re.compile(r"conver|sale|revenue|order|purchase|install|lead|sign_?up", re.IGNORECASE)


class Shown(tuple[str, str]):
    """Why the table cannot show a return: (code, sentence)."""

    __slots__ = ()


def attribution(ask: Ask) -> Shown | None:
    """Why this table cannot show a return, or None where it may.

    It cannot where the treatment is an amount (a dose that somebody chose), or names campaigns that all had money
    spent on them, so that nobody was left out.
    """
    source, column = ask.source, str(ask.treatment)
    codes, labels = codes_of(source, column)
    numeric = source.facts(column).type in ("number", "integer")
    if numeric and len(labels) > MOST_ARMS:
        return Shown(("dose", f"`{column}` is an amount that somebody chose, and nobody was left out by lot"))
    if len(labels) < 2:
        return None
    base = _control(labels, ask.control)
    spend = _named(source, SPEND, ask.outcome)
    # `spend` beside clicks may be what customers spend; impressions are counted for ads only.
    paid_for = any(PAID.search(c) for c in spend) and bool(_named(source, MEDIA, ask.outcome))
    if not spend or not (paid_for or _named(source, AD_LEVEL, ask.outcome)):
        return None
    if base is None:
        names = listing(labels[:4])
        return Shown(("no-control", f"each of `{column}` ({names}) had money spent on it, and none is a control"))
    rows = codes == labels.index(base)
    if paid := [c for c in spend if float(np.nansum(np.abs(source.number(c)[rows]))) > 0]:
        return Shown(
            ("no-control", f"`{base}` had money spent on it as well ({listing(paid[:2])}), so it is no control")
        )
    return None


def _control(labels: list[str], named: str | None) -> str | None:
    if named is not None:
        return named if named in labels else None
    for label in labels:
        word = label.strip().casefold()
        if word in CONTROLS or re.search(
            r"\b(?:control|holdout|hold-out|baseline|placebo|none|no)\b", word.replace("_", " ")
        ):
            return label
    return None


def _named(source: Table, pattern: re.Pattern[str], outcome: str) -> list[str]:
    return [
        c
        for c in source.columns
        if c != outcome and pattern.search(c) and source.facts(c).type in ("number", "integer")
    ]


def part_of(ask: Ask) -> str:
    """Heading of what the rows of the cost table are."""
    return f"by {ask.treatment}" if ask.treatment else "part"


def cost_table(ask: Ask) -> list[dict[str, Any]]:
    """What was spent and what was counted, by label of the treatment (or of all rows), and what one of them cost.

    It is a price list: it does not say what the money brought.
    """
    source = ask.source
    codes, labels = codes_of(source, str(ask.treatment)) if ask.treatment else (np.zeros(source.rows, int), ["all"])
    spend = _named(source, SPEND, ask.outcome)
    counted = list(dict.fromkeys([*_named(source, MEDIA, ask.outcome), *_named(source, RESULT, ask.outcome)]))
    counted = [c for c in counted if c not in spend and c != ask.treatment][:6]
    results = [ask.outcome, *(c for c in counted if RESULT.search(c))]
    few = len(labels) <= MOST_ARMS and ask.treatment not in spend
    parts = [(label, codes == i) for i, label in enumerate(labels)] if few else []
    rows = []
    for label, mask in [*parts, ("all", np.ones(source.rows, dtype=bool))]:
        spent = sum(float(np.nansum(source.number(c)[mask])) for c in spend)
        row: dict[str, Any] = {part_of(ask): label, "rows": int(mask.sum())}
        if not few and len(spend) > 1:
            row |= {f"spent {c}": round(float(np.nansum(source.number(c)[mask])), 2) for c in spend}
        row["spent"] = round(spent, 2) if spend else None
        for name in dict.fromkeys([*counted, ask.outcome]):
            row[name] = finite(round(float(np.nansum(source.number(name)[mask])), 2))
        for name in dict.fromkeys([*(c for c in counted if re.search("click", c, re.IGNORECASE)), *results]):
            total = row.get(name)
            row[f"cost per {name}"] = round(spent / total, 4) if spend and total else None
        rows.append(row)
    return rows


def refusal(ask: Ask, why: Shown, table: list[dict[str, Any]]) -> tuple[str, Recommendation]:
    """Headline and what would answer it."""
    whole = table[-1]
    spent, total = whole.get("spent"), whole.get(ask.outcome)
    seen = f"{number(spent)} was spent and {count(total)} {ask.outcome} counted; " if spent and total else ""
    text = (
        f"{seen}how many would have come anyway, nobody knows. Leave some regions or customers out by lot for some "
        "weeks (a geo holdout) and ask again with --treatment, --unit, --time and --start. Until then the cost table "
        "is a price list, not a return."
    )
    return f"This table cannot show a return: {why[1]}", Recommendation("cannot-answer", text[0].upper() + text[1:])


def cost_tiles(ask: Ask, whole: dict[str, Any]) -> list[tuple[str, str, str]]:
    cost = whole.get(f"cost per {ask.outcome}")
    if whole.get("spent") is None or cost is None:
        return []
    return [
        ("spent", number(whole["spent"]), "as counted"),
        (ask.outcome, number(whole[ask.outcome]), "as counted, with or without the campaign"),
        (f"cost per {ask.outcome}", number(cost), "a price, not a return"),
    ]


def cost_figure(ask: Ask, table: list[dict[str, Any]]) -> Figure | None:
    key = f"cost per {ask.outcome}"
    rows = tuple({"label": str(r[part_of(ask)]), "value": r[key]} for r in table if r.get(key) is not None)
    if len(rows) < 2:
        return None
    return Figure(
        form="bars",
        title=f"Cost per {ask.outcome}, as counted",
        subtitle="money spent over what was counted; no return",
        unit="money",
        rows=rows,
        sentence="; ".join(f"{r['label']} {number(r['value'])}" for r in rows) + ".",
    )
