"""What goes with the outcome: the factors of a yes/no or number column, alone and with the others held equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.read import read
from ambidex.data.record import record
from ambidex.data.table import Table
from ambidex.errors import DataError, UsageError
from ambidex.insight import drivers_words as say
from ambidex.insight.drivers_story import Story
from ambidex.insight.factors import PER_TERM, Analysis, Factor, alone, analyse, measure_fit
from ambidex.insight.outcome import Outcome, read_outcome
from ambidex.insight.screens import Screened, leak, screen
from ambidex.records import Prepare, Recipe, Schema
from ambidex.report import words
from ambidex.report.answer import Answer, Caution, Check, Recommendation
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.design import LEVELS, Category
from ambidex.stats.estimate import Estimate

__all__ = ["drivers"]

Floats = npt.NDArray[np.float64]

EXACT_R2 = 0.999
"""Columns that together give a number this well add up to it: the strongest of them is a leak."""

FAR = 4.0
"""Standard errors beyond which a column stands out even where all columns together tell nothing on new rows."""

FEW_LEVELS = 10
"""Levels of their own for columns with more than ``LEVELS``, where the rows do not suffice for that many."""

FEWEST = 10
"""Rows with the rarer outcome below which no column is called a leak: chance alone separates so few."""


def drivers(
    table: Any,
    *,
    target: str,
    positive: str | None = None,
    exclude: Sequence[str] = (),
    keep: Sequence[str] = (),
    time: str | None = None,
    seed: int = 0,
    notes: Sequence[tuple[str, str]] = (),
) -> Answer:
    """What factors go with the outcome, how strongly, and how sure that is.

    Every column is asked twice: alone, and with the others held equal (a logistic or linear regression
    with splines). Claims over all columns are decided with a false share of at most 10% (Benjamini-Hochberg
    on joint Wald tests). Columns that know the outcome beforehand (copies, ids) are left out and named.
    Nothing here says that changing a column would change the outcome.

    Args:
        table: What ``data.read.read`` takes.
        target: The outcome: yes/no, or a number.
        positive: Label that counts as yes; needed with three labels or more.
        exclude: Columns to leave out.
        keep: Columns to leave in, whatever the screens say.
        time: Column that orders the rows; the fit is then measured on the last 30%.
        seed: Of the folds and half-samples.
        notes: (code, text) cautions that only people know.

    Raises:
        NotFound: ``data.no-column``, ``data.no-label``.
        DataError: ``data.target-missing``, ``data.target-constant``, ``data.target-levels``,
            ``data.too-few-rows`` for more columns than the rows can bear, ``data.column-type`` for ``time``.
    """
    exclude, keep = _names("exclude", exclude), _names("keep", keep)
    source = read(table)
    target = source.require(str(target))
    for name in (*exclude, *keep, *((time,) if time else ())):
        source.require(name)
    if target in exclude:
        raise UsageError(
            "usage.value",
            f"exclude names {target}, which is the target",
            do="leave it out of --exclude, or name another --target",
        )
    _not_too_wide(source)
    outcome = read_outcome(source, target, positive)
    binary = outcome.task == "binary"
    screened = screen(source, outcome, exclude=exclude, keep=keep, time=time)
    y = outcome.values[outcome.known]
    order = _order(source, time, outcome)
    asked = _ask(screened, y, outcome, keep=keep, seed=seed, order=order)
    recipe = _recipe(source, outcome, screened, time, seed)
    options = {
        "target": target,
        "positive": positive,
        "exclude": list(exclude),
        "keep": list(keep),
        "time": time,
    }
    leaks = tuple(c["name"] for c in screened.left_out if c["code"] == "leak")
    story = Story(outcome, y, asked.analysis.factors, asked.fit, asked.analysis.halves, screened.suspects, leaks)
    if not asked.analysis.enough:
        answer = _open(story, asked.analysis, y, binary, columns=len(screened.columns))
    else:
        answer = _told(story, asked)
    wide = {f.name: story.contrasts[f.name].effect for f in story.top if f.name in story.contrasts}
    estimates = [
        e
        for f in asked.analysis.factors
        for e in dict.fromkeys((*f.effects, *([wide[f.name]] if f.name in wide else []), *f.effects_alone))
    ]
    return replace(
        answer,
        question=f"What goes with {outcome.words}?",
        estimates=(*estimates, *([asked.fit] if asked.fit else [])),
        verdicts=tuple(f.verdict for f in asked.analysis.factors if f.verdict) + asked.verdicts,
        cautions=tuple(Caution(*c) for c in _cautions(source, outcome, screened, asked, notes, story)),
        unknowns=say.unknowns(story, time),
        method=say.method(story, asked.analysis, time),
        record=record(source, verb="drivers", options=options, seed=seed),
        tables={"Columns": say.table(story)},
        extra={"fit": _fit(asked, y, outcome, time), "left_out": screened.left_out},
        model={"recipe": recipe.to_json()} if screened.columns else None,
        next=("ambidex report answer/N", *(("ambidex package answer/N --name NAME",) if screened.columns else ())),
    )


@dataclass(frozen=True)
class _Asked:
    """What the rows said."""

    analysis: Analysis
    fit: Estimate | None
    verdicts: tuple[Verdict, ...]
    notes: tuple[tuple[str, str], ...]


def _ask(
    screened: Screened, y: Floats, outcome: Outcome, *, keep: Sequence[str], seed: int, order: npt.NDArray[Any] | None
) -> _Asked:
    binary = outcome.task == "binary"
    unit = "" if binary else outcome.name
    schema = Schema(
        columns=(),
        target=outcome.name,
        task=outcome.task,
        classes=(str(outcome.negative), str(outcome.positive)) if binary else (),
    )
    notes: list[tuple[str, str]] = []
    factors = alone(screened.columns, y, binary=binary, unit=unit) if len(y) > 2 else []
    factors = _without_leaks(factors, screened, y, binary, keep)
    analysis = analyse(factors, y, binary=binary, outcome=outcome.words, unit=unit, seed=seed)
    wide = {f.name: f.values for f in factors if _levels(f) > LEVELS}
    if not analysis.enough and wide:
        folded = {f.name: f for f in alone(wide, y, binary=binary, unit=unit, most=FEW_LEVELS)}
        factors = [folded.get(f.name, f) for f in factors]
        analysis = analyse(factors, y, binary=binary, outcome=outcome.words, unit=unit, seed=seed)
    if not analysis.enough and factors:
        most = FEW_LEVELS if wide else LEVELS
        factors = alone(screened.columns, y, binary=binary, unit=unit, straight=True, most=most)
        analysis = analyse(factors, y, binary=binary, outcome=outcome.words, unit=unit, seed=seed)
        if analysis.enough:
            notes.append(("straight-lines", "too few rows for curves: numbers enter as straight lines"))
    if not analysis.enough:
        return _Asked(analysis, None, (), tuple(notes))
    notes += [_folded(f) for f in factors if f.name in wide]
    fit, _, _ = measure_fit(screened.columns, y, schema=schema, seed=seed, order=order)
    while not binary and fit.value >= EXACT_R2 and len(screened.columns) > 1:
        strongest = max((f for f in factors if f.name not in keep), key=lambda f: f.score, default=None)
        if strongest is None:
            break
        what = f"{strongest.name}: together with other columns it gives {outcome.name} exactly"
        screened.leave(strongest.name, "leak", what)
        notes.append(("leak", f"{what}; left out"))
        factors = [f for f in factors if f is not strongest]
        analysis = analyse(factors, y, binary=binary, outcome=outcome.words, unit=unit, seed=seed)
        fit, _, _ = measure_fit(screened.columns, y, schema=schema, seed=seed, order=order)
    useful = decide(Claim(measure=f"{fit.name} on rows not fitted", margin=0.5 if binary else 0.0), fit)
    present = [n for n in screened.suspects if n in screened.columns]
    if present and len(present) < len(screened.columns):
        others = {k: v for k, v in screened.columns.items() if k not in present}
        without, _, _ = measure_fit(others, y, schema=schema, seed=seed, order=order)
        said, left = ("predicts", "it") if len(present) == 1 else ("each predicts", "them")
        notes.append(
            (
                "after-the-fact",
                f"{words.listing(present)}: {said} suspiciously well on its own; check that it is known before "
                f"{outcome.name} is. All columns: {fit.name} {fit.value:.3f}; without {left} {without.value:.3f}. "
                f"--exclude {present[0]} leaves it out",
            )
        )
    return _Asked(analysis, fit, (useful,), tuple(notes))


def _levels(factor: Factor) -> int:
    return len(factor.term.levels) + len(factor.term.folded) if isinstance(factor.term, Category) else 0


def _folded(factor: Factor) -> tuple[str, str]:
    assert isinstance(factor.term, Category)
    kept, folded = len(factor.term.levels), len(factor.term.folded)
    rows = int(np.isin(factor.values.astype(str), factor.term.folded).sum())
    return (
        "folded-levels",
        f"{factor.name}: {kept + folded} levels; the {kept} most frequent are read one by one, the other {folded} "
        f"({words.plural(rows, 'row')}) as one, so that the rows suffice",
    )


def _without_leaks(
    factors: list[Factor], screened: Screened, y: Floats, binary: bool, keep: Sequence[str]
) -> list[Factor]:
    if binary and min(y.sum(), len(y) - y.sum()) < FEWEST:
        return factors
    out = []
    for factor in factors:
        kind, figure, seen = leak(factor.values, y, binary=binary, spread=factor.score)
        if kind == "leak" and factor.name not in keep:
            screened.leave(factor.name, "leak", f"{factor.name}: {seen}")
            screened.cautions.insert(
                0,
                (
                    "leak",
                    f"{factor.name} ({words.plural(len(y), 'row')}) was left out: {seen}, so it is most likely the "
                    f"outcome itself or known only afterwards. --keep {factor.name} puts it back",
                ),
            )
            continue
        if kind:
            screened.suspects[factor.name] = figure
        out.append(factor)
    return out


def _told(story: Story, asked: _Asked) -> Answer:
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
                f"Look for other columns before looking for more rows: none of these {len(story.factors)} goes "
                f"reliably with {story.outcome.words}.",
            ),
            numbers=say.tiles(story),
            checks=checks,
            findings=say.findings(story),
        )
    told, recommendation = say.strength(story), Recommendation("act", say.advice(story))
    link = top[0].link
    if asked.verdicts[0].outcome != "supported" and link is not None and link.value < FAR:
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


def _open(story: Story, analysis: Analysis, y: Floats, binary: bool, *, columns: int) -> Answer:
    terms = max(analysis.terms, columns, 1)
    needed = int(np.ceil(PER_TERM * terms - story.events))
    each = f"{PER_TERM} for each of {words.plural(terms, 'coefficient')}"
    if not columns:
        text = f"No column is left to ask about: {story.outcome.words} stands alone."
        advice = "Bring columns that are known before the outcome, or put some back with --keep."
    elif binary:
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
    source: Table,
    outcome: Outcome,
    screened: Screened,
    asked: _Asked,
    notes: Sequence[tuple[str, str]],
    story: Story,
) -> list[tuple[str, str]]:
    out = [*notes, *outcome.cautions]
    events = int(min(outcome.values[outcome.known].sum(), (1 - outcome.values[outcome.known]).sum()))
    if outcome.task == "binary" and not asked.analysis.enough and screened.columns:
        out.append(("few-events", f"{outcome.name}: the rarer outcome is in {words.plural(events, 'row')} only"))
    out += [
        *asked.notes,
        *screened.cautions,
        *asked.analysis.notes,
        *say.rare(story),
        *say.reversals(asked.analysis.factors),
        *source.cautions,
    ]
    return list(dict.fromkeys(out))


def _fit(asked: _Asked, y: Floats, outcome: Outcome, time: str | None) -> dict[str, Any]:
    base = float(y.mean()) if len(y) else None
    name = "auc" if outcome.task == "binary" else "r2"
    e = asked.fit
    return {
        name: e.value if e else None,
        "low": e.low if e else None,
        "high": e.high if e else None,
        "base_rate": base,
        "rows": e.n if e else 0,
        "how": f"last 30% by {time}, fitted on the rows before"
        if time
        else "five folds, each scored by a model of the others",
    }


def _recipe(source: Table, outcome: Outcome, screened: Screened, time: str | None, seed: int) -> Recipe:
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
