"""What goes with the outcome: the factors of a yes/no, number or time-to-event outcome, alone and held equal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.read import read
from ambidex.data.record import record
from ambidex.data.table import Table
from ambidex.errors import DataError, UsageError
from ambidex.insight import drivers_words as say
from ambidex.insight import levers as lever_words
from ambidex.insight.asking import Asked, ask
from ambidex.insight.coefficients import straight_lines
from ambidex.insight.drivers_story import Story
from ambidex.insight.duration import told as duration_told
from ambidex.insight.ends import Ends, read_ends
from ambidex.insight.factors import FEW_GROUPS, PER_TERM
from ambidex.insight.levers import pull
from ambidex.insight.outcome import Outcome, read_outcome
from ambidex.insight.response import Response
from ambidex.insight.screens import GROUPED, Screened, screen
from ambidex.records import Prepare, Recipe, Schema
from ambidex.report import words
from ambidex.report.answer import Answer, Caution, Check, Recommendation
from ambidex.stats.cox import Spells

__all__ = ["drivers"]

Floats = npt.NDArray[np.float64]

FAR = 4.0
"""Standard errors beyond which a column stands out even where all columns together tell nothing on new rows."""


def drivers(
    table: Any,
    *,
    target: str,
    positive: str | None = None,
    exclude: Sequence[str] = (),
    keep: Sequence[str] = (),
    time: str | None = None,
    duration: str | None = None,
    levers: Sequence[str] = (),
    group: str | None = None,
    seed: int = 0,
    notes: Sequence[tuple[str, str]] = (),
) -> Answer:
    """What factors go with the outcome, how strongly, how sure that is, and whether changing one would help.

    Every column is asked twice: alone, and with the others held equal (a logistic, linear or Cox regression
    with splines). Claims over all columns are decided with a false share of at most 10% (Benjamini-Hochberg
    on joint Wald tests). Columns that know the outcome beforehand (copies, ids, columns that tell it
    suspiciously well) are left out and named. Only ``levers`` are asked whether changing them would help.

    Args:
        table: What ``data.read.read`` takes.
        target: The outcome: yes/no, or a number; with ``duration`` whether, or how, each row ended.
        positive: Label that counts as yes (as the end asked about); needed with three labels or more.
        exclude: Columns to leave out.
        keep: Columns to leave in, whatever the screens say.
        time: Column that orders the rows; the fit is then measured on the last 30%.
        duration: Column that holds how long each row was seen: the question becomes when, not whether.
        levers: Columns that could be changed: would it help?
        group: Column that names who a row belongs to, where one has several rows: they stay together in folds
            and half-samples, and errors are read from the groups.
        seed: Of the folds and half-samples.
        notes: (code, text) cautions that only people know.

    Raises:
        NotFound: ``data.no-column``, ``data.no-label``.
        DataError: ``data.target-missing``, ``data.target-constant``, ``data.target-levels``,
            ``data.target-time``, ``data.target-text``, ``data.duration``, ``data.lever``, ``data.groups``,
            ``data.too-few-rows`` for more columns than the rows can bear, ``data.column-type`` for ``time``.
    """
    exclude, keep, levers = _names("exclude", exclude), _names("keep", keep), _names("levers", levers)
    source = read(table)
    target = source.require(str(target))
    roles = {"time": time, "duration": duration, "group": group}
    for name in (*exclude, *keep, *levers, *(v for v in roles.values() if v is not None)):
        source.require(name)
    _not_twice(target, exclude, levers, roles)
    _not_too_wide(source)
    ends = read_ends(source, target, positive, duration) if duration is not None else None
    outcome = ends.outcome if ends is not None else read_outcome(source, target, positive)
    riders = {duration: "the time to the end"} if duration is not None else {}
    if group is not None:
        riders[group] = GROUPED
    screened = screen(source, outcome, exclude=exclude, keep=(*keep, *levers), time=time, riders=riders)
    response = _response(source, outcome, ends, group)
    order = _order(source, time, outcome)
    schema = Schema(
        columns=(),
        target=outcome.name,
        task=outcome.task,
        classes=(str(outcome.negative), str(outcome.positive)) if outcome.task == "binary" else (),
    )
    asked = ask(screened, response, schema, keep=(*keep, *levers), seed=seed, order=order)
    pulled = [pull(name, screened, response, outcome, seed=seed) for name in dict.fromkeys(levers)]
    leaks = tuple(c["name"] for c in screened.left_out if c["code"] == "leak")
    story = Story(outcome, response, asked, tuple(screened.suspects), leaks, _sentinels(source, screened))
    if not asked.analysis.enough:
        answer = _open(story, columns=len(screened.columns))
    else:
        answer = _told(story)
    if screened.repeated and answer.strength == "strong":
        answer = replace(answer, strength="some")
    answer = lever_words.told(answer, pulled, story)
    options = {
        "target": target,
        "positive": positive,
        "exclude": list(exclude),
        "keep": list(keep),
        "time": time,
        "duration": duration,
        "levers": list(levers),
        "group": group,
    }
    packaged = screened.columns and ends is None
    recipe = _recipe(source, outcome, screened, time, group, seed)
    tables = {**answer.tables, "Columns": say.table(story), **straight_lines(screened, response, story)}
    answer = replace(
        answer,
        question=f"What goes with {outcome.words}?"
        if not pulled
        else f"Would changing {words.listing([p.name for p in pulled])} change {outcome.words}?",
        estimates=(*_estimates(story), *(e for p in pulled for e in p.estimates)),
        verdicts=(
            *answer.verdicts,
            *(f.verdict for f in asked.analysis.factors if f.verdict),
            *asked.tested,
            *((asked.price.verdict,) if asked.price else ()),
        ),
        cautions=(*answer.cautions, *(Caution(*c) for c in _cautions(source, story, screened, notes))),
        unknowns=(*say.unknowns(story, time), *answer.unknowns),
        method=say.method(story, time, group),
        record=record(source, verb="drivers", options=options, seed=seed),
        tables=tables,
        extra={
            "fit": _fit(story, time, group),
            "left_out": screened.left_out,
            "stability": _stability(asked),
            **({"levers": [p.to_dict() for p in pulled]} if pulled else {}),
        },
        model={"recipe": recipe.to_json()} if packaged else None,
        next=("ambidex report answer/N", *(("ambidex package answer/N --name NAME",) if packaged else ())),
    )
    return duration_told(answer, story, screened) if ends is not None else answer


def _response(source: Table, outcome: Outcome, ends: Ends | None, group: str | None) -> Response:
    known = outcome.known
    y = outcome.values[known]
    groups = _groups(source, group, known) if group is not None else None
    if ends is not None:
        spells = Spells.of(ends.time[known], ends.codes[known] == 1)
        return Response("time", y, outcome.words, "", groups, spells, ends.codes[known], ends.horizon)
    if outcome.task == "binary":
        return Response("yesno", y, outcome.words, "", groups)
    return Response("number", y, outcome.words, outcome.name, groups)


def _groups(source: Table, group: str, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    labels = source.text(group)[known]
    gone = sum(v is None for v in labels)
    distinct = {v for v in labels if v is not None}
    if gone or len(distinct) < 2:
        what = f"{words.plural(gone, 'row')} name no {group}" if gone else f"all rows have one {group}"
        raise DataError(
            "data.groups",
            f"{group} does not group the rows: {what}",
            where=f"{source.name}, column {group}",
            do="name a column that says for every row who it belongs to, or leave --group out",
        )
    place = {v: i for i, v in enumerate(sorted(distinct))}
    return np.fromiter((place[v] for v in labels), dtype=np.int64, count=len(labels))


def _estimates(story: Story) -> list[Any]:
    wide = {f.name: story.contrasts[f.name].effect for f in story.top if f.name in story.contrasts}
    out = []
    for f in story.factors:
        told = [wide[f.name]] if f.name in wide and wide[f.name].category not in {e.category for e in f.effects} else []
        out += list(dict.fromkeys((*f.effects, *told, *f.effects_alone)))
    return [*out, *([story.fit] if story.fit else [])]


def _stability(asked: Asked) -> dict[str, Any] | None:
    steady = asked.analysis.steady
    if not steady.halves:
        return None
    return {"halves": steady.halves, "jaccard": round(steady.jaccard, 4), "read_together": asked.analysis.merged}


def _sentinels(source: Table, screened: Screened) -> dict[str, float]:
    """Numbers that stand for "none", as the profile found them."""
    out = {}
    for name in screened.columns:
        for problem in source.facts(name).problems:
            found = re.search(r" is ([−-]?[\d,.]+) in ", problem["text"]) if problem["code"] == "sentinel" else None
            if found:
                out[name] = float(found[1].replace("−", "-").replace(",", ""))
    return out


def _told(story: Story) -> Answer:
    asked = story.asked
    top = story.top
    checks = (_room(story, asked.analysis.terms, True),)
    if not top:
        return Answer(
            verb="drivers",
            question="",
            headline=say.nothing(story),
            strength="weak",
            recommendation=Recommendation(
                "not-enough-evidence",
                say.look_elsewhere(story),
            ),
            numbers=say.tiles(story),
            checks=checks,
            findings=say.findings(story),
        )
    told, recommendation = say.strength(story), Recommendation("act", say.advice(story))
    link = top[0].link
    if asked.tested[0].outcome != "supported" and link is not None and link.value < FAR:
        told = "weak"
        name = top[0].name
        recommendation = Recommendation(
            "not-enough-evidence",
            f"Bring more rows before testing a change in {name}: it stands out, but all columns together do not tell "
            f"{story.outcome.words} on rows that were not fitted.",
        )
    return Answer(
        verb="drivers",
        question="",
        headline=say.headline(story),
        strength=told,
        recommendation=recommendation,
        numbers=say.tiles(story),
        checks=checks,
        findings=say.findings(story),
        actions=say.actions(story),
    )


def _open(story: Story, *, columns: int) -> Answer:
    y = story.y
    terms = max(story.asked.analysis.terms, columns, 1)
    needed = int(np.ceil(PER_TERM * terms - story.events))
    each = f"{PER_TERM} for each of {words.plural(terms, 'coefficient')}"
    if not columns:
        text = f"No column is left to ask about: {story.outcome.words} stands alone."
        gone = [*story.leaks, *story.suspects]
        if gone:
            text = f"No column is left to ask about: {words.listing(gone[:5])} tell {story.outcome.words} too well."
        advice = "Bring columns that are known before the outcome, or put some back with --keep."
    elif story.response.groups is not None and int(story.response.groups.max()) + 1 < FEW_GROUPS:
        count = int(story.response.groups.max()) + 1
        text = f"Too few groups to say what goes with {story.outcome.words}: {words.plural(count, 'group')}."
        advice = f"Bring rows of {FEW_GROUPS} groups at least: how far groups differ by chance is read from them."
    elif story.response.kind == "time":
        text = (
            f"Too few ends to say what goes with {story.outcome.words}: "
            f"{words.count(story.events)} seen in {words.plural(len(y), 'row')}."
        )
        advice = f"Bring about {needed:,} more rows that ended ({each}), or ask about fewer columns with --exclude."
    elif story.binary:
        rarer = story.outcome.positive if y.mean() <= 0.5 else story.outcome.negative
        text = (
            f"Too few rows to say what goes with {story.outcome.words}: "
            f"{words.count(story.events)} of {words.plural(len(y), 'row')} say {rarer}."
        )
        advice = (
            f"Bring about {needed:,} more rows with {story.outcome.name} = {rarer} ({each}), or ask about fewer "
            "columns with --exclude."
        )
    else:
        text = f"Too few rows to say what goes with {story.outcome.words}: {words.plural(len(y), 'row')}."
        advice = f"Bring about {needed:,} more rows ({each}), or ask about fewer columns with --exclude."
    return Answer(
        verb="drivers",
        question="",
        headline=text,
        strength="weak",
        recommendation=Recommendation("not-enough-evidence", advice),
        numbers=say.tiles(story),
        checks=(_room(story, terms, False),) if columns else (),
    )


def _room(story: Story, terms: int, passed: bool) -> Check:
    kind = "rows with the rarer outcome" if story.binary else "rows"
    value = round(story.events / max(terms, 1), 1)
    return Check(
        "rows-per-coefficient", passed, value, float(PER_TERM), f"{value:g} {kind} a coefficient; {PER_TERM} are needed"
    )


def _cautions(
    source: Table, story: Story, screened: Screened, notes: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    outcome, asked = story.outcome, story.asked
    out = [*notes, *outcome.cautions]
    if story.binary and not asked.analysis.enough and screened.columns:
        kind = "the end was seen" if story.response.kind == "time" else "the rarer outcome is"
        out.append(("few-events", f"{outcome.name}: {kind} in {words.plural(int(story.events), 'row')} only"))
    if not screened.columns and (story.leaks or story.suspects):
        out.append(("all-left-out", "every column was left out as a leak, an id or known only afterwards"))
    out += [
        *asked.notes,
        *screened.cautions,
        *asked.analysis.notes,
        *say.rare(story),
        *say.reversals(asked.analysis.factors),
        *source.cautions,
    ]
    return list(dict.fromkeys(out))


def _fit(story: Story, time: str | None, group: str | None) -> dict[str, Any]:
    asked, y = story.asked, story.y
    name = {"yesno": "auc", "number": "r2", "time": "concordance"}[story.response.kind]
    e = story.fit
    how = "five folds, each scored by a model of the others"
    if group is not None:
        how = f"five folds, all rows of one {group} in one fold, each scored by a model of the others"
    if time is not None:
        how = f"last 30% by {time}, fitted on the rows before"
    base = story.response.level(np.ones(len(y), dtype=bool))[0] if len(y) else None
    out: dict[str, Any] = {
        name: e.value if e else None,
        "low": e.low if e else None,
        "high": e.high if e else None,
        "base_rate": base,
        "rows": e.n if e else 0,
        "how": how,
    }
    if asked.suspect_fits:
        out["with"] = [
            {"name": k, name: v.estimate.value, "low": v.estimate.low, "high": v.estimate.high}
            for k, v in asked.suspect_fits.items()
        ]
    if asked.price is not None:
        out["challenger"] = asked.price.to_dict()
    if story.response.kind == "time":
        out["horizon"] = story.response.horizon
    return out


def _recipe(
    source: Table, outcome: Outcome, screened: Screened, time: str | None, group: str | None, seed: int
) -> Recipe:
    ids = [c["name"] for c in screened.left_out if c["code"] == "id"]
    prepare = source.origin.get("prepare")
    if isinstance(prepare, dict):
        prepare = Prepare.from_json(prepare)
    return Recipe(
        data=str(source.origin.get("source") or source.source or ""),
        target=outcome.name,
        task=outcome.task,
        columns=tuple(c for c in source.columns if c in screened.columns),
        positive=outcome.positive,
        key=ids[0] if len(ids) == 1 else None,
        time=time,
        entity=group,
        prepare=prepare,
        seed=seed,
    )


def _order(source: Table, time: str | None, outcome: Outcome) -> npt.NDArray[Any] | None:
    if time is None:
        return None
    if source.facts(time).type in ("number", "integer"):
        values: npt.NDArray[Any] = source.number(time)
        gone = np.isnan(values)
    else:
        values = source.moments(time)
        gone = np.isnat(values)
    if gone.mean() > 0.5:
        raise DataError(
            "data.column-type",
            f"{time} does not order the rows: {int(gone.sum()):,} of {len(gone):,} cells are neither times nor numbers",
            where=f"{source.name}, column {time}",
            do="name a column of dates, times or numbers with --time",
        )
    return values[outcome.known]


def _not_twice(target: str, exclude: Sequence[str], levers: Sequence[str], roles: dict[str, str | None]) -> None:
    if target in exclude:
        raise UsageError(
            "usage.value",
            f"exclude names {target}, which is the target",
            do="leave it out of --exclude, or name another --target",
        )
    for option, name in roles.items():
        if name is not None and name == target:
            raise UsageError(
                "usage.value",
                f"--{option} names {target}, which is the target",
                do=f"name another column with --{option}",
            )
        if name is not None and name in levers:
            raise UsageError(
                "usage.value", f"--levers names {name}, which is --{option}", do="name another column with --levers"
            )
    for name in levers:
        if name == target or name in exclude:
            what = "the target" if name == target else "left out by --exclude"
            raise UsageError(
                "usage.value", f"--levers names {name}, which is {what}", do="name another column with --levers"
            )


def _not_too_wide(source: Table) -> None:
    inputs = len(source.columns) - 1
    if inputs > max(50, 2 * source.rows):
        raise DataError(
            "data.too-few-rows",
            f"{words.plural(source.rows, 'row')} are too few for {inputs:,} columns",
            where=source.name,
            found=f"{source.rows:,} rows, {inputs:,} columns besides the target",
            do="bring more rows, or leave columns out before asking",
        )


def _names(option: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str):
        return (given,)
    try:
        return tuple(str(n) for n in given)
    except TypeError:
        raise UsageError(
            "usage.type",
            f"{option} takes column names, not {type(given).__name__} {given!r:.60}",
            do=f"{option}=['name']",
        ) from None
