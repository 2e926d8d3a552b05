"""The drivers of an outcome in a manager's words: headline, tiles, findings, pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.insight.common import LEAST_EVENTS, LEAST_SHARE, common_levels
from ambidex.insight.drivers_story import SHOWN, Contrast, Story, finite, level_name, levels_figure, turned
from ambidex.insight.factors import ALPHA, PER_TERM, Factor
from ambidex.report.answer import Figure, Finding, Strength
from ambidex.report.grids import from_to
from ambidex.report.words import count, fixed, listing, number, plural, points, share, signed, span
from ambidex.stats.design import Category
from ambidex.stats.estimate import Estimate

__all__ = [
    "actions", "advice", "findings", "headline", "look_elsewhere", "method", "nothing", "rare", "reversals", "strength",
    "table", "tiles", "unknowns",
]  # fmt: skip

Floats = npt.NDArray[np.float64]


def headline(story: Story) -> str:
    """The finding in one sentence."""
    first = story.top[0]
    c = story.contrasts[first.name]
    others = [f.name for f in story.top[1:]][:2]
    apart = ""
    if story.suspects:
        apart = f"Without {listing(list(story.suspects))}, which may be known only afterwards: "
    then = f" Then come {listing(others)}." if len(others) == 2 else f" Then comes {others[0]}." if others else ""
    return (
        f"{apart}{first.name} goes most with {story.outcome.words}: {story.level(c.at_high)} "
        f"where it is {c.high}, {story.level(c.at_low)} where it is {c.low} ({_left(story, c)}).{then}"
    )


def nothing(story: Story) -> str:
    """The headline where no claim is supported."""
    gone = list(story.suspects)  # a leak is no factor, so no headline names it; the cautions do
    apart = f"Apart from {listing(gone)}, {_was(gone)} left out, nothing" if gone else "Nothing"
    apart = "Apart from what was left out, nothing" if story.leaks and not gone else apart
    return (
        f"{apart} in this table goes reliably with {story.outcome.words}: "
        f"{_none_of(story)} in {plural(len(story.y), 'row')}."
    )


def _none_of(story: Story) -> str:
    if len(story.factors) == 1:
        return f"{story.factors[0].name}, the one column left, does not stand out"
    return f"none of {len(story.factors)} columns stands out"


def look_elsewhere(story: Story) -> str:
    """What to do where nothing stands out."""
    far = [text for code, text in story.outcome.cautions if code in ("outliers", "stands-apart")]
    if far:
        return (
            f"See to the far values of {story.outcome.name} first: they make most of its spread, so nothing else can "
            "be seen. Cap them, or ask about a column of its logarithm."
        )
    return (
        f"Look for other columns before looking for more rows: nothing here goes reliably with {story.outcome.words}."
    )


def _was(names: Sequence[str]) -> str:
    return "which was" if len(names) == 1 else "which were"


def strength(story: Story) -> Strength:
    """How strong the evidence for the first factor is."""
    first = story.top[0]
    z = first.link.value if first.link else 0.0
    effect = story.contrasts[first.name].effect
    clear = (effect.low > 0 or effect.high < 0) and not turned(story.contrasts[first.name])
    steady = not story.halves or (first.steady or 0) >= 0.8 * story.halves
    doubtful = first.name in story.thin or grown(story, story.contrasts[first.name]) > 3
    if z > 5 and clear and steady and not doubtful:
        return "strong"
    return "some" if clear or z > 3 else "weak"


def advice(story: Story) -> str:
    """What to do, with no promise that it works."""
    first = story.top[0]
    others = ", or in another of these that can be changed," if len(story.top) > 1 else ", if it can be changed,"
    check = ""
    if story.suspects:
        check = f"Check whether {listing(list(story.suspects))} can be known before {story.outcome.name} is. "
    return (
        f"{check}Worth testing: a change in {first.name}{others} on a random part first. This says what goes with "
        f"{story.outcome.words}, not what moves it."
    )


def tiles(story: Story) -> tuple[tuple[str, str, str], ...]:
    """Three numbers: the base, how well the columns tell it, the first factor."""
    out = []
    n = len(story.y)
    if n == 0:
        out.append((story.outcome.words, "unknown", "no row carries it"))
    elif story.binary:
        yes = int(story.y.sum())
        rate, low, high = story.response.level(np.ones(n, dtype=bool))
        ended = "ends seen in" if story.response.kind == "time" else "of"
        out.append(
            (story.outcome.words, share(rate), f"{count(yes)} {ended} {count(n)} rows, {span(low, high, share)}")
        )
    else:
        mean, low, high = story.response.level(np.ones(n, dtype=bool))
        out.append((f"mean {story.outcome.name}", number(mean), f"{count(n)} rows, {span(low, high)}"))
    if story.fit is not None:
        e = story.fit
        back = story.asked.suspect_fits
        doubt = "".join(f"; {v.estimate.value:.3f} with {k}" for k, v in list(back.items())[:2])
        if story.binary:
            name = "AUC" if story.response.kind == "yesno" else "concordance"
            out.append(
                (
                    "pairs ranked right",
                    f"{100 * e.value:.0f} of 100",
                    f"{span(100 * e.low, 100 * e.high)} ({name} {e.value:.3f}, rows not fitted{doubt})",
                )
            )
        else:
            out.append(
                ("spread explained", share(e.value, 0), f"{span(e.low, e.high, share)} (R², rows not fitted{doubt})")
            )
    if story.top and story.fit is not None:
        first = story.top[0]
        effect = story.contrasts[first.name].effect
        out.append(
            (
                story.contrasts[first.name].label,
                story.gap(effect.value, sign=True),
                f"{_range(story, effect)}, other columns held equal",
            )
        )
    return tuple(out)


def findings(story: Story) -> tuple[Finding, ...]:
    """Up to five: all factors side by side, then the first ones in turn."""
    if not story.top:
        return ()
    out = [_side_by_side(story)]
    further = [*_interacting(story), *_left_out(story)][:2]
    if story.fit is not None and story.fit.value < (0.6 if story.binary else 0.1):
        further.insert(0, _weak_fit(story))
    elif story.asked.price is not None:
        further.append(_price(story))
    room = 4 - len(further[:3])
    out += [_one(story, f) for f in story.top[: max(room, 1)]]
    return tuple((*out, *further)[:5])


def actions(story: Story) -> tuple[tuple[str, str, str, str], ...]:
    """Rows for the page: do this, who, effort, expected effect."""
    first = story.top[0]
    c = story.contrasts[first.name]
    rows = []
    if story.suspects:
        names = listing(list(story.suspects))
        rows.append(
            (
                f"Check whether {names} can be known before {story.outcome.name} is",
                "owner of the data",
                "an hour",
                f"decides what may be used; --keep {story.suspects[0]} puts it back",
            )
        )
    rows.append(
        (
            f"Test a change in {first.name} on a random part, if it can be changed",
            "analyst with the owner of the offer",
            "weeks",
            f"open until tested; {_left(story, c)}",
        )
    )
    if story.response.kind != "time":
        rows.append(
            (
                "Package the model and score new rows",
                "engineer",
                "a day",
                f"ranks {_ranks(story)}; gates decide whether it goes live",
            )
        )
    return tuple(rows)


def unknowns(story: Story, time: str | None) -> tuple[str, ...]:
    """What this cannot tell."""
    name = story.top[0].name if story.top else "a column"
    out = [
        f"Whether changing {name} would change {story.outcome.words}: not tested; that takes an experiment.",
        "What columns that are not in the table would explain; and whether it is the same in every group, as effects "
        "are averages over all rows.",
    ]
    if time is None:
        out.append("Whether it holds next year: rows were held out at random, not by time (--time orders them).")
    return tuple(out)


def method(story: Story, time: str | None, group: str | None) -> str:
    """How it was made."""
    analysis = story.asked.analysis
    if analysis.main is None:
        return (
            f"Each column alone. A common regression needs {PER_TERM} rows with the rarer outcome for each coefficient."
        )
    kind = {
        "yesno": "Logistic regression",
        "number": "Least squares with HC2 errors",
        "time": "Cox regression (Efron's ties)",
    }[story.response.kind]
    if group is not None:
        kind = kind.replace(" with HC2 errors", "") + f" with errors by {group} (CR1)"
    held = f"the last 30% by {time}" if time else "five folds" + (f" of whole {group}" if group else "")
    text = (
        f"{kind} on {plural(len(story.y), 'row')} with natural splines for numbers; joint Wald test for each of "
        f"{plural(len(story.factors), 'column')}, false share at most {ALPHA:.0%} (Benjamini-Hochberg); average "
        f"effects by the delta method, of a number from its 25th to its 75th percentile (further out where the two are "
        f"equal) and, for the first {SHOWN}, where it differs most, with an interval that allows for that choice; "
        "ranked by evidence alone and with all others, averaged; "
        f"fit measured on {held}. Levels are told of where they have {LEAST_SHARE:.0%} of the rows"
        + (f" and {LEAST_EVENTS} rows of each outcome." if story.binary else ".")
    )
    if story.response.kind == "time":
        text += f" Points are shares ended by {number(story.response.horizon)}."
    if analysis.halves:
        text += (
            f" Ranking repeated on {analysis.halves} half-samples: the top five shared on average "
            f"{share(analysis.steady.jaccard, 0)} of the columns named (Jaccard)."
        )
    return text


def table(story: Story) -> list[dict[str, Any]]:
    """All columns as rows."""
    total = sum(f.importance for f in story.factors if f.head) or 1.0
    rows = []
    for f in story.factors:
        row: dict[str, Any] = {
            "column": f.name,
            "weight": round(f.importance / total, 4) if f.head else None,
            "verdict": f.verdict.outcome if f.verdict else "open",
            "q_value": f.link.q_value if f.link else None,
            "alone": round(f.score, 4) if math.isfinite(f.score) else None,
            "read_with": ", ".join(f.twins),
        }
        if story.halves and f.steady is not None:
            row["in_top_five"] = f"{f.steady} of {story.halves}"
        rows.append(row)
    return rows


def rare(story: Story) -> list[tuple[str, str]]:
    """Levels of the columns told of that have too few rows to be told of themselves."""
    out = []
    for f in story.top[:SHOWN]:
        if not isinstance(f.term, Category):
            continue
        told = common_levels(f.term, f.values, story.y, binary=story.binary)
        few = [f"{level_name(label)} ({plural(n, 'row')})" for label, (ok, n) in told.items() if not ok and n]
        if few:
            shown = listing(few[:4]) + (f" and {len(few) - 4} more" if len(few) > 4 else "")
            out.append(
                (
                    "rare-levels",
                    f"{f.name}: {shown} {'has' if len(few) == 1 else 'have'} less than {LEAST_SHARE:.0%} of the rows"
                    + (f" or fewer than {LEAST_EVENTS} of either outcome" if story.binary else "")
                    + ", so they are held equal but not told of",
                )
            )
    return out


def reversals(factors: Sequence[Factor]) -> list[tuple[str, str]]:
    """Effects that turn round once the other columns are held equal."""
    out = []
    for f in factors:
        if not f.supported:
            continue
        for held in f.effects:
            plain = next((e for e in f.effects_alone if e.category == held.category), None)
            if plain is None or not ((plain.low > 0 and held.high < 0) or (plain.high < 0 and held.low > 0)):
                continue
            if isinstance(f.term, Category):
                moved = f" {level_name(str(held.category))} against {level_name(str(held.base))}"
            else:
                moved = f", {from_to(held.to_dict())}"
            unit = " points" if held.unit == "points" else ""
            out.append(
                (
                    "sign-reversal",
                    f"{f.name}{moved}: {signed(plain.value)}{unit} alone, {signed(held.value)}{unit} with the other "
                    "columns held equal: the two answer different questions",
                )
            )
    return out


def _side_by_side(story: Story) -> Finding:
    shown = [f for f in story.top if f.name in story.contrasts]
    scale = 100.0 if story.binary else 1.0
    rows = []
    for f in shown:
        c = story.contrasts[f.name]
        e = c.effect
        rows.append(
            {
                "label": c.label,
                "value": e.value / scale,
                "low": finite(e.low / scale),
                "high": finite(e.high / scale),
                "clear": e.low > 0 or e.high < 0,
            }
        )
    names = [f.name for f in shown[:3]]
    word = story.outcome.words
    first = story.contrasts[shown[0].name]
    asked = len(story.factors)
    supported = sum(f.supported for f in story.factors)
    figure = Figure(
        form="effect-bars",
        title=f"What goes with {word}, other columns held equal",
        subtitle=f"{'points' if story.binary else story.outcome.name}; lines are 95% intervals",
        unit="points" if story.binary else story.outcome.name,
        rows=tuple(rows),
        sentence=f"{first.label} goes with {story.gap(first.effect.value, sign=True)} of {word}, all else held equal.",
        less=f"less {word}",
        more=f"more {word}",
    )
    return Finding(
        title=f"{listing(names)} {'go' if len(names) > 1 else 'goes'} most with {word}",
        text=(
            f"{supported} of {plural(asked, 'column')} go with it reliably. Each bar compares two values of one column "
            "with all other columns held equal."
        ),
        strength=strength(story),
        so_what="These are the places to look first and to test. They are not levers until a test says so.",
        how_sure=(
            f"At most {ALPHA:.0%} of the columns named are expected to be false"
            + (
                f"; {names[0]} was among the top five in {shown[0].steady} of {story.halves} half-samples."
                if story.halves
                else "."
            )
        ),
        figure=figure,
    )


def _one(story: Story, f: Factor) -> Finding:
    c = story.contrasts[f.name]
    word = story.outcome.words
    figure = levels_figure(story, f)
    twin = f" It moves with {listing(f.twins[:3])}; they are read together." if f.twins else ""
    clear = c.effect.low > 0 or c.effect.high < 0
    q = f.link.q_value if f.link and f.link.q_value is not None else math.nan
    sure: Strength = "strong" if q < 0.001 and clear else "some" if clear else "weak"
    at_high, at_low = story.level(c.at_high), story.level(c.at_low)
    moved = c.label.removeprefix(f.name + ": ")
    return Finding(
        title=f"{word}: {at_high} where {f.name} is {c.high}, {at_low} where it is {c.low}",
        text=f"With the other columns held equal: {story.gap(c.effect.value, sign=True)} for {moved} "
        f"({_range(story, c.effect)}).{twin}",
        strength=sure,
        so_what=_so_what(story, f, c),
        how_sure=f"Joint test of the whole column: {_q(q)} among {plural(len(story.factors), 'column')}.",
        figure=figure,
    )


def _so_what(story: Story, f: Factor, c: Contrast) -> str:
    alone = c.at_high - c.at_low
    left = abs(c.effect.value) / (100 if story.binary else 1)
    if f.name in story.thin:
        return "Few rows stand behind it: look at them before building on it."
    if not (c.effect.low > 0 or c.effect.high < 0):
        return "With the other columns held equal no difference is clear."
    if turned(c):
        return "Other columns account for this difference and more: with them held equal it turns round."
    if times := grown(story, c):
        return (
            f"With the other columns held equal the difference is {_times(times)} as large as on its own: other "
            "columns hide part of it. Look at them together before a test."
        )
    if alone > 0 and left < 0.6 * alone:
        return f"Part of the difference belongs to other columns that go along with {f.name}."
    return "Most of the difference stays when the other columns are held equal: worth a test, if it can be changed."


def _weak_fit(story: Story) -> Finding:
    assert story.fit is not None
    return Finding(
        title=f"The columns together tell little about {story.outcome.words}",
        text=f"On rows not fitted they rank {_ranks(story)}.",
        strength="strong",
        so_what="Look for other columns before building on this.",
        how_sure=f"{span(story.fit.low, story.fit.high)} (95% interval).",
    )


def _interacting(story: Story) -> list[Finding]:
    if not story.asked.interactions:
        return []
    i = story.asked.interactions[0]
    word = story.outcome.words
    rows = tuple(
        {"label": c.label, "value": c.value, "low": finite(c.low), "high": finite(c.high), "n": c.rows}
        for c in i.corners
    )
    scale = 100 if story.binary else 1
    first, second = (story.gap(scale * g, sign=True) for g in i.gaps)
    others = story.asked.interactions[1:]
    more = f" The same holds for {listing([f'{o.first} with {o.second}' for o in others])}." if others else ""
    return [
        Finding(
            title=f"{i.first} goes with {word} differently by {i.second}: {first} at {i.at[0]}, {second} at {i.at[1]}",
            text=f"{word} at {i.first} {i.apart[1]} less {i.apart[0]}, as counted.{more}",
            strength="some",
            so_what=f"One number for {i.first} hides this: look at the two parts apart before a test.",
            how_sure=(
                f"Score test of the products in the common regression, {_p(i.evidence.p_value)}; Holm over all pairs "
                "that were looked at."
            ),
            figure=Figure(
                form="interval-dots",
                title=f"{word} by {i.first} and {i.second}",
                subtitle="as counted; lines are 95% intervals",
                unit="share" if story.binary else story.outcome.name,
                rows=rows,
                sentence=f"{i.first}: {first} where {i.second} is {i.at[0]}, {second} where it is {i.at[1]}.",
            ),
        )
    ]


def _left_out(story: Story) -> list[Finding]:
    if not story.asked.suspect_fits or story.fit is None:
        return []
    word = story.outcome.words
    rows = [_fit_row(f"without {listing(list(story.suspects))}", story.fit)]
    rows += [_fit_row(f"with {k}", v.estimate) for k, v in story.asked.suspect_fits.items()]
    first, back = next(iter(story.asked.suspect_fits.items()))
    name = story.fit.name
    return [
        Finding(
            title=f"{first} is left out: {name} {story.fit.value:.3f} without it, {back.estimate.value:.3f} with it",
            text=f"On its own it tells {word} suspiciously well. It may be known only after {story.outcome.name} is.",
            strength="some",
            so_what=f"If it is known before, --keep {first} puts it back. If not, no forecast can use it.",
            how_sure="Both measured on rows not fitted, 95% intervals.",
            figure=Figure(
                form="interval-dots",
                title=f"How well the columns tell {word}",
                subtitle=f"{name} on rows not fitted; lines are 95% intervals",
                unit=name,
                rows=tuple(rows),
                sentence=f"{name} {story.fit.value:.3f} without {first}, {back.estimate.value:.3f} with it.",
            ),
        )
    ]


def _fit_row(label: str, e: Estimate) -> dict[str, Any]:
    return {"label": label, "value": e.value, "low": finite(e.low), "high": finite(e.high), "n": e.n}


def _price(story: Story) -> Finding:
    price = story.asked.price
    assert price is not None
    e, name = price.difference, price.readable.name
    both = f"{name} {price.readable.value:.3f} against {price.challenger.value:.3f}"
    match price.verdict.outcome:
        case "refuted":
            said = f"The readable model gives up next to nothing: {both}"
            so_what = "Nothing to gain from a model that nobody can read."
        case "supported":
            said = f"Reading has a price: {both} of boosted trees"
            so_what = (
                "Boosted trees find more than one effect a column: look for what depends on what, or accept them "
                "where only the score counts."
            )
        case _:
            little = e.low > 0
            said = f"Reading {'costs a little' if little else 'may cost something'}: {both} of boosted trees"
            so_what = "Keep the readable model: whether the gain is worth it is not clear from these rows."
    return Finding(
        title=said,
        text=(
            f"Gradient boosted trees on the same {plural(e.n, 'row')}, not fitted: {_thousandths(e.value)} "
            f"({span(e.low, e.high, _thousandths)})."
        ),
        strength="strong" if price.verdict.outcome != "open" else "weak",
        so_what=so_what,
        how_sure=f"Difference with its 95% interval ({e.method}); a gain above {price.verdict.claim.margin:g} counts.",
        figure=Figure(
            form="interval-dots",
            title=f"How well two models tell {story.outcome.words}",
            subtitle=f"{name} on rows not fitted; lines are 95% intervals",
            unit=name,
            rows=(_fit_row("readable", price.readable), _fit_row("boosted trees", price.challenger)),
            sentence=f"{name} {price.readable.value:.3f} readable, {price.challenger.value:.3f} boosted trees.",
        ),
    )


def _thousandths(x: float | None) -> str:
    return ("" if x is None or x <= 0 else "+") + fixed(x, 3)


def _p(p: float | None) -> str:
    if p is None:
        return "not tested"
    return "p below .001" if p < 0.001 else f"p {p:.3f}".replace("0.", ".")


def _left(story: Story, c: Contrast) -> str:
    """What is left of a difference with the others held equal, in words."""
    e = c.effect
    if not (e.low > 0 or e.high < 0):
        return "unclear with the other columns held equal"
    if turned(c):
        return f"with the other columns held equal it turns round: {story.gap(e.value)} the other way"
    more = f", {_times(grown(story, c))} as far as on its own" if grown(story, c) else ""
    return f"{story.gap(e.value)} apart with the other columns held equal{more}"


def grown(story: Story, c: Contrast) -> float:
    """How many times as large the difference is with the others held equal; 0 where it is not clearly larger."""
    alone, scale = c.at_high - c.at_low, 100 if story.binary else 1
    low, left = min(abs(c.effect.low), abs(c.effect.high)) / scale, abs(c.effect.value) / scale
    if turned(c) or c.effect.low <= 0 <= c.effect.high or not low > alone or left < 1.5 * alone:
        return 0.0
    return left / alone if alone > 0 else math.inf


def _times(times: float) -> str:
    return f"{times:.1f} times" if times < 9.95 else f"{times:.0f} times" if times < 100 else "many times"


def _ranks(story: Story) -> str:
    if story.fit is None:
        return "unknown"
    if story.binary:
        return f"{100 * story.fit.value:.0f} of 100 pairs right"
    return f"{share(story.fit.value, 0)} of the spread"


def _range(story: Story, e: Estimate) -> str:
    scale: Callable[[float | None], str] = points if story.binary else number
    factor = 100 if story.binary else 1
    return span(e.low / factor, e.high / factor, scale)


def _q(q: float) -> str:
    return "q below .001" if q < 0.001 else f"q {q:.3f}".replace("0.", ".") if math.isfinite(q) else "not tested"
