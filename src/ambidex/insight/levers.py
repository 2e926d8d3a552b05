"""Would changing a column help? Cross-fitted AIPW for each lever, its overlap, and what could still be hidden."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.errors import DataError
from ambidex.insight.drivers_story import Story, finite, level_name
from ambidex.insight.outcome import Outcome
from ambidex.insight.response import Response
from ambidex.insight.screens import Screened
from ambidex.report import words
from ambidex.report.answer import Answer, Caution, Check, Figure, Finding, Recommendation
from ambidex.stats import laws
from ambidex.stats.aipw import NEVER, SHARE, Aipw, aipw
from ambidex.stats.claim import Claim, Verdict, decide_all
from ambidex.stats.design import MISSING, OTHER, Category, category
from ambidex.stats.estimate import Estimate
from ambidex.stats.survival import pseudo_shares

__all__ = ["Contrast", "Lever", "pull", "told"]

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[Any]

ARM = 20
"""Rows that a level needs on its side before it is set against another."""

MOST_LEVELS = 12
"""Levels of a lever beyond which it is no lever but a name."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """One level of a lever against its base.

    Attributes:
        arm, control: The two values, as shown.
        rows: Rows at either.
        made: Effect, overlap, sensitivity.
        estimate: The effect in points or the outcome's unit.
        why_not: Why it is refused; empty if it is not.
        code: ``overlap``, ``constant-in-overlap`` or ``hangs-on-suspect`` where refused.
        verdict: Of the claim that the effect is not zero, within the family; None where refused.
        beside: The effect with the suspects held equal too; None where there are none, or no overlap then.
    """

    arm: str
    control: str
    rows: int
    made: Aipw
    estimate: Estimate
    why_not: str = ""
    code: str = ""
    verdict: Verdict | None = None
    beside: Estimate | None = None


@dataclass(frozen=True, eq=False)
class Lever:
    """A column that could be changed, and what changing it would bring.

    Attributes:
        name: The column.
        contrasts: Its values against the base.
    """

    name: str
    contrasts: tuple[Contrast, ...]

    @property
    def estimates(self) -> list[Estimate]:
        """Effects of the contrasts that are not refused."""
        return [c.estimate for c in self.contrasts if not c.why_not]

    def to_dict(self) -> dict[str, Any]:
        """The object of ``levers`` in the JSON contract."""
        return {
            "name": self.name,
            "contrasts": [
                {
                    "arm": c.arm,
                    "control": c.control,
                    "rows": c.rows,
                    "value": None if c.why_not else finite(c.estimate.value),
                    "low": None if c.why_not else finite(c.estimate.low),
                    "high": None if c.why_not else finite(c.estimate.high),
                    "unit": c.estimate.unit,
                    "outcome": "refused" if c.verdict is None else c.verdict.outcome,
                    "because": c.why_not or (c.verdict.because if c.verdict else ""),
                    "code": c.code or None,
                    "share_extreme": finite(c.made.share_extreme),
                    "effective_treated": round(c.made.kish_treated, 1),
                    "effective_control": round(c.made.kish_control, 1),
                    "e_value": [finite(v) for v in c.made.e_value],
                    "robustness_value": [finite(v) for v in c.made.robustness_value],
                }
                for c in self.contrasts
            ],
        }


def pull(name: str, screened: Screened, response: Response, outcome: Outcome, *, seed: int) -> Lever:
    """The lever's values against its base, each refused where the rows at the two are too unlike.

    A category: each level with enough rows against the most frequent. A number of two values: the higher
    against the lower; of more: its upper third against its lower third, the rows between left out.

    Raises:
        DataError: ``data.lever`` for a column with one value, or with too many labels.
    """
    values = screened.columns.get(name)
    if values is None:
        why = next((c["text"] for c in screened.left_out if c["name"] == name), f"{name} is no factor")
        raise DataError(
            "data.lever", f"{name} cannot be a lever: {why.removeprefix(name + ': ')}", where=f"column {name}",
            do="name a column with --levers whose value could be changed before the outcome is known",
        )  # fmt: skip
    y = response.y
    if response.kind == "time":
        assert response.spells is not None and response.ends is not None
        y = pseudo_shares(response.spells.time, response.ends, response.horizon)
    others = _covariates({k: v for k, v in screened.columns.items() if k != name})
    suspects = _covariates(screened.suspects) if screened.suspects else None
    unit = "points" if response.binary else outcome.name
    out = []
    for arm, control, treated, base in _sides(name, values):
        rows = treated | base
        made = aipw(
            y[rows], treated[rows], others[rows], seed=seed, name=name, arm=arm, control=control,
            unit=unit,
        )  # fmt: skip
        told = _contrast(arm, control, made, treated[rows], response, rows)
        if suspects is not None and not told.why_not:
            both = np.column_stack([others[rows], suspects[rows]])
            more = aipw(y[rows], treated[rows], both, seed=seed, name=name, arm=arm, control=control, unit=unit)
            told = _beside(told, _contrast(arm, control, more, treated[rows], response, rows), screened, response)
        out.append(told)
    tested = [c for c in out if not c.why_not]
    claims = [Claim(measure=f"the effect of {name}, {c.arm} against {c.control}") for c in tested]
    judged = iter(decide_all(claims, [c.estimate for c in tested], family="holm"))
    return Lever(name, tuple(c if c.why_not else replace(c, verdict=next(judged)) for c in out))


def _contrast(
    arm: str, control: str, made: Aipw, treated: npt.NDArray[np.bool_], response: Response, rows: npt.NDArray[np.bool_]
) -> Contrast:
    e = made.estimate
    if response.groups is not None and e.se is not None and math.isfinite(e.value):
        e = _by_groups(e, made, response.groups[rows])
    scale = 100.0 if response.binary else 1.0
    if e.se is not None:
        law = e.law if e.law is not None and e.law.name == "student" else laws.normal()
        e = replace(e, value=scale * e.value, se=scale * e.se, law=law, adjusted=True).at(0.05)
    named = made.why_not.replace("controls", f"rows with {control}").replace("treated", f"rows with {arm}")
    why, code = named, "overlap" if named else ""
    inside = (made.propensity >= NEVER) & (made.propensity <= 1 - NEVER)
    if made.why_not and np.isfinite(made.propensity).all():
        sides = (int(treated[inside].sum()), int((~treated[inside]).sum()))
        if min(sides) < ARM:
            only = arm if sides[0] > sides[1] else control
            why = f"among the rows that could have had either, all but {min(sides)} have {only}"
            code = "constant-in-overlap"
    return Contrast(arm, control, int(rows.sum()), made, e, why, code)


def _beside(told: Contrast, more: Contrast, screened: Screened, response: Response) -> Contrast:
    """The contrast beside the one with the suspects held equal too; refused where the two tell different things.

    A suspect that is known before the lever is set must be held equal, one that is known after it must not: the
    table does not say which it is.
    """
    if more.why_not:
        return told
    first, second = told.estimate, more.estimate
    if first.low <= second.value <= first.high:
        return replace(told, beside=second)
    names = words.listing(list(screened.suspects))
    by = [words.signed_points(e.value / 100, 1) if response.binary else words.signed(e.value) for e in (first, second)]
    why = (
        f"the effect hangs on {names}, which may be known before {told.made.estimate.name} is set or only after it: "
        f"{by[0]} without, {by[1]} with {names} held equal"
    )
    return replace(told, beside=second, why_not=why, code="hangs-on-suspect")


def _by_groups(e: Estimate, made: Aipw, groups: npt.NDArray[np.int64]) -> Estimate:
    """The estimate's error read from whole groups."""
    code = np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(code, weights=made.scores - made.scores.mean())
    count = len(sums)
    se = math.sqrt(count / max(count - 1, 1) * float(sums @ sums)) / len(groups)
    p = laws.student_p(e.value / se, count - 1) if se > 0 else None
    return replace(
        e, se=se, law=laws.student(max(count - 1, 1)), p_value=p, method=f"{e.method}, errors by {count:,} groups"
    )


def _sides(name: str, values: Values) -> list[tuple[str, str, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """(value, base, rows at the value, rows at the base) for each contrast."""
    if values.dtype.kind == "f":
        seen = values[np.isfinite(values)]
        distinct = np.unique(seen)
        if len(distinct) < 2:
            raise _no_lever(name, "it has one value")
        if len(distinct) == 2:
            low, high = (float(v) for v in distinct)
            return [(words.number(high), words.number(low), values == high, values == low)]
        low, high = (float(v) for v in np.quantile(seen, [1 / 3, 2 / 3], method="inverted_cdf"))
        if low >= high:
            low, high = float(distinct[distinct <= low][-1]), float(distinct[distinct > low][0])
        return [(f"{words.number(high)} or more", f"{words.number(low)} or less", values >= high, values <= low)]
    term = category(name, values, least=ARM, most=MOST_LEVELS + 1)
    codes = term.codes(values)
    labels = [v for v in term.labels if v not in (OTHER, MISSING)]
    if len(term.levels) > MOST_LEVELS:
        raise _no_lever(name, f"it has more than {MOST_LEVELS} labels with {ARM} rows each")
    if not labels:
        raise _no_lever(name, f"it has one label with {ARM} rows or more")
    base = values == term.levels[0]
    out = []
    for label in labels:
        place = 1 + term.labels.index(label)
        out.append((level_name(label), level_name(term.levels[0]), codes == place, base))
    return out


def _no_lever(name: str, why: str) -> DataError:
    return DataError(
        "data.lever",
        f"{name} cannot be a lever: {why}",
        where=f"column {name}",
        do="name a column with --levers that has two values or more, each in many rows",
    )


def _covariates(columns: dict[str, Values]) -> Floats:
    blocks = []
    for name, values in columns.items():
        if values.dtype.kind == "f":
            blocks.append(values[:, None])
        else:
            term: Category = category(name, values, least=10)
            blocks.append(term.matrix(values))
    rows = len(next(iter(columns.values()))) if columns else 0
    return np.column_stack(blocks) if blocks else np.empty((rows, 0))


# ------------------------------------------------------------------ what is told


def told(answer: Answer, levers: Sequence[Lever], story: Story) -> Answer:
    """The answer with the levers first: they were the question."""
    if not levers:
        return answer
    known = [(p, c) for p in levers for c in p.contrasts if c.verdict is not None]
    moved = [(p, c) for p, c in known if c.verdict is not None and c.verdict.outcome != "open"]
    moved.sort(key=lambda pc: -abs(pc[1].estimate.value))
    checks = tuple(_check(p, c, decides=not known) for p in levers for c in p.contrasts)
    refused = [
        Caution(c.code, f"{p.name}, {c.arm} against {c.control}: refused, because {c.why_not}")
        for p in levers
        for c in p.contrasts
        if c.why_not
    ]
    refused += [
        Caution(
            "lever-suspect",
            f"{p.name}, {c.arm} against {c.control}: with {words.listing(list(story.suspects))} held equal too "
            f"{_by(story, replace(c, estimate=c.beside))}, not far from {_by(story, c)}",
        )
        for p in levers
        for c in p.contrasts
        if c.beside is not None and not c.why_not
    ]
    out = replace(
        answer,
        cautions=tuple(refused),
        checks=(*checks, *answer.checks),
        verdicts=(*(c.verdict for _, c in known if c.verdict), *answer.verdicts),
        unknowns=(*answer.unknowns, *_unknown(story, known)),
    )
    word = story.outcome.words
    if not known:
        first = levers[0].contrasts[0]
        name = words.listing([p.name for p in levers])
        return replace(
            out,
            headline=f"This table cannot say whether changing {name} would change {word}: {first.why_not}.",
            strength="weak",
            recommendation=Recommendation(
                "cannot-answer",
                _instead(levers, story),
            ),
            findings=(_refused(levers, story), *answer.findings)[:5],
        )
    figure = _figure(known, story)
    if not moved:
        p, c = known[0]
        return replace(
            out,
            headline=(
                f"Whether changing {words.listing([p.name for p, _ in known])} would change {word} stays open: "
                f"{_by(story, c)} for {c.arm} instead of {c.control}."
            ),
            strength="weak",
            recommendation=Recommendation(
                "not-enough-evidence",
                f"Test {p.name} on a random part of the rows: these rows cannot tell its effect from none.",
            ),
            numbers=(*answer.numbers[:2], _tile(p, c, story)),
            findings=(_finding(known, moved, figure, story), *answer.findings)[:5],
        )
    p, c = moved[0]
    lower = c.estimate.value < 0
    rest = f" {_also(moved[1:], story)}" if len(moved) > 1 else ""
    return replace(
        out,
        headline=(
            f"{p.name} {c.arm} instead of {c.control} {'cuts' if lower else 'raises'} {word}: {_by(story, c)}, if "
            f"nothing outside this table moves both.{rest}"
        ),
        strength="some",
        recommendation=Recommendation(
            "act",
            f"Try {p.name} {c.arm} instead of {c.control} on a random part first: it was not dealt by chance here, and "
            f"a hidden cause tied to both by a risk ratio of {c.made.e_value[0]:.1f} would explain it away.",
        ),
        numbers=(*answer.numbers[:2], _tile(p, c, story)),
        findings=(_finding(known, moved, figure, story), *answer.findings)[:5],
        actions=(
            (
                f"Change {p.name} to {c.arm} for a random part, and compare",
                "owner of the offer with the analyst",
                "weeks",
                f"{_by(story, c)} of {word} where it was {c.control}, if the estimate holds",
            ),
            *[a for a in answer.actions if not a[0].startswith("Test a change in")],
        ),
    )


def _instead(levers: Sequence[Lever], story: Story) -> str:
    name = levers[0].name
    if all(c.code == "hangs-on-suspect" for p in levers for c in p.contrasts):
        first = story.suspects[0]
        return (
            f"Say what you know: --keep {first} if it is known before {name} is set (it is then held equal), --exclude "
            f"{first} if it is known only after. Else test a change in {name} on a random part of the rows."
        )
    return (
        f"Test a change in {name} on a random part of the rows; or leave out with --exclude the columns that only say "
        "the same in other words."
    )


def _by(story: Story, c: Contrast) -> str:
    e = c.estimate
    scale = 100 if story.binary else 1
    if story.binary:
        return f"{story.gap(e.value, sign=True)} ({words.span(e.low / scale, e.high / scale, words.points)})"
    return f"{words.signed(e.value)} ({words.span(e.low, e.high)})"


def _also(moved: Sequence[tuple[Lever, Contrast]], story: Story) -> str:
    shown = [f"{p.name} {c.arm} instead of {c.control} by {_by(story, c)}" for p, c in moved[:2]]
    return f"Likewise {words.listing(shown)}."


def _tile(p: Lever, c: Contrast, story: Story) -> tuple[str, str, str]:
    e = c.estimate
    scale = 100 if story.binary else 1
    ranged = words.span(e.low / scale, e.high / scale, words.points if story.binary else words.number)
    return f"{p.name}: {c.arm} instead of {c.control}", story.gap(e.value, sign=True), f"{ranged}, AIPW"


def _check(p: Lever, c: Contrast, *, decides: bool) -> Check:
    pair = f"{p.name}, {c.arm} against {c.control}"
    share = c.made.share_extreme
    if c.why_not:
        seen = f"{pair}: refused, because {c.why_not}"
    else:
        seen = f"{pair}: {c.made.kish_treated:,.0f} and {c.made.kish_control:,.0f} effective rows overlap"
    if c.code == "hangs-on-suspect":
        return Check("hangs-on-suspect", False, None, None, seen, decides=decides)
    return Check("overlap", not c.why_not, finite(share), SHARE, seen, decides=decides)


def _figure(known: Sequence[tuple[Lever, Contrast]], story: Story) -> Figure:
    scale = 100.0 if story.binary else 1.0
    rows = tuple(
        {
            "label": f"{p.name}: {c.arm} instead of {c.control}",
            "value": c.estimate.value / scale,
            "low": finite(c.estimate.low / scale),
            "high": finite(c.estimate.high / scale),
            "clear": c.verdict is not None and c.verdict.outcome != "open",
        }
        for p, c in known
    )
    word = story.outcome.words
    p, c = known[0]
    return Figure(
        form="effect-bars",
        title=f"What changing it would bring: {word}",
        subtitle=f"{'points' if story.binary else story.outcome.name}, AIPW; lines are 95% intervals",
        unit="points" if story.binary else story.outcome.name,
        rows=rows,
        sentence=f"{p.name} {c.arm} instead of {c.control} changes {word} by {_by(story, c)}.",
        less=f"less {word}",
        more=f"more {word}",
    )


def _finding(
    known: Sequence[tuple[Lever, Contrast]], moved: Sequence[tuple[Lever, Contrast]], figure: Figure, story: Story
) -> Finding:
    p, c = (moved or known)[0]
    word = story.outcome.words
    point, limit = c.made.e_value
    rv, rv_alpha = c.made.robustness_value
    hidden = (
        f"A hidden cause would need a risk ratio of {point:.1f} with both {p.name} and {word} to explain it away "
        f"({limit:.1f} to make it unclear), or to account for {words.share(rv)} ({words.share(rv_alpha)}) of what "
        "the other columns leave open in each."
    )
    if moved:
        title = f"{p.name} {c.arm} instead of {c.control}: {_by(story, c)} of {word}"
        so_what = "Worth trying on a random part: only that rules out causes which are not in the table."
    else:
        title = f"No lever is clearly worth pulling: {p.name} {_by(story, c)}"
        so_what = "These rows cannot tell its effect from none; a test on a random part can."
    return Finding(
        title=title,
        text=(
            f"Rows with the two values were made alike in all other columns. They overlap: {c.made.kish_treated:,.0f} "
            f"and {c.made.kish_control:,.0f} effective rows."
        ),
        strength="some" if moved else "weak",
        so_what=so_what,
        how_sure=hidden if moved else "Cross-fitted AIPW, 95% interval.",
        figure=figure,
    )


def _refused(levers: Sequence[Lever], story: Story) -> Finding:
    first = levers[0].contrasts[0]
    listed = "; ".join(f"{p.name} {c.arm} against {c.control}: {c.why_not}" for p in levers for c in p.contrasts)
    if all(c.code == "hangs-on-suspect" for p in levers for c in p.contrasts):
        return Finding(
            title=f"What changing {levers[0].name} would do hangs on {words.listing(list(story.suspects))}",
            text=f"{listed}.",
            strength="strong",
            so_what=_instead(levers, story),
            how_sure="Cross-fitted AIPW, without and with these columns held equal.",
        )
    return Finding(
        title=f"No comparison of {levers[0].name} is like with like",
        text=f"{listed}." if len(listed) < 400 else f"{levers[0].name}: {first.why_not}.",
        strength="strong",
        so_what="A difference between rows that are unlike in everything else says nothing about a change. Test it.",
        how_sure="Chance of each value given the other columns, out of fold.",
    )


def _unknown(story: Story, known: Sequence[tuple[Lever, Contrast]]) -> tuple[str, ...]:
    if not known:
        return ()
    name = known[0][0].name
    return (
        f"Causes of both {name} and {story.outcome.words} that are not in this table; and columns that {name} itself "
        "changes: what works through them is not counted. Leave such columns out with --exclude.",
    )
