"""What is added where the question is when, not whether: curves, medians, hazard ratios, and whether they hold."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.insight.drivers_story import Story, finite, level_name
from ambidex.insight.factors import Factor
from ambidex.insight.screens import Screened
from ambidex.report import words
from ambidex.report.answer import Answer, Caution, Check, Figure, Finding
from ambidex.stats import effects, laws
from ambidex.stats.cox import proportional
from ambidex.stats.design import Category
from ambidex.stats.estimate import Estimate
from ambidex.stats.survival import curve, log_rank, mean_until

__all__ = ["told"]

Rows = list[dict[str, Any]]

POINTS = 60
"""Points of a curve that are drawn and listed."""

GROUPS = 4
"""Levels of the first column whose curves are drawn."""

ALPHA = 0.05


def told(answer: Answer, story: Story, screened: Screened) -> Answer:
    """The answer with curves, restricted means, hazard ratios and the Schoenfeld test."""
    response = story.response
    assert response.spells is not None and response.ends is not None
    ratios = _ratios(story)
    checks, cautions = _schoenfeld(story)
    tables = {**answer.tables, "Survival": _survival(story), "Groups": _groups(story, screened)}
    if ratios:
        tables["Hazard ratios"] = [_ratio_row(e) for e in ratios]
    restricted = mean_until(
        response.spells.time, response.ends > 0, response.horizon,
        name=f"mean time until {story.outcome.name}, up to {words.number(response.horizon)}",
    )  # fmt: skip
    findings = answer.findings
    if story.top:
        findings = (*findings[:1], _curves(story, story.top[0]), *findings[1:])[:5]
    else:
        findings = (*findings, _curves(story, None))[:5]
    return replace(
        answer,
        estimates=(*answer.estimates, *ratios, restricted),
        checks=(*answer.checks, *checks),
        cautions=(
            *answer.cautions,
            *cautions,
            Caution(
                "no-prototype",
                "no prototype: the packaged model learns from yes and no, and rows that were cut off carry neither. "
                "For one, make a yes/no column of the rows seen long enough, and ask without --duration",
            ),
        ),
        findings=findings,
        tables=tables,
        unknowns=(
            *answer.unknowns,
            "Whether rows that were cut off would have ended like the others: being cut off must not go with the end.",
        ),
    )


def _survival(story: Story) -> Rows:
    """The Kaplan-Meier curve of all rows: share not ended after each time, with its 95% interval."""
    response = story.response
    assert response.spells is not None and response.ends is not None
    made = curve(response.spells.time, response.ends > 0)
    several = int(response.ends.max(initial=0)) > 1
    rows = []
    for i in _spread(len(made.times)):
        low, high = _log_log(float(made.survival[i]), math.sqrt(float(made.variance[i])))
        row: dict[str, Any] = {
            "time": float(made.times[i]),
            "at_risk": int(made.at_risk[i]),
            "ended": int(made.ends[i]),
            "not_ended": float(made.survival[i]),
            "low": low,
            "high": high,
        }
        if several:
            from ambidex.stats.survival import ended_by

            for end in range(1, int(response.ends.max()) + 1):
                name = "ended_as_asked" if end == 1 else f"ended_otherwise_{end - 1}"
                row[name] = ended_by(response.spells.time, response.ends, float(made.times[i]), end=end).value
        rows.append(row)
    return rows


def _groups(story: Story, screened: Screened) -> Rows:
    """For each level of the columns of labels (numbers of two values too): median time, share ended, log-rank test."""
    response = story.response
    assert response.spells is not None
    time, event = response.spells.time, response.spells.event
    rows: Rows = []
    for name, values in screened.columns.items():
        levels = _levels(values)
        if not 2 <= len(levels) <= 12:
            continue
        code = np.full(len(values), -1, dtype=np.int64)
        for i, (_, mask) in enumerate(levels):
            code[mask] = i
        known = code >= 0
        statistic, df, p = log_rank(time[known], event[known], code[known])
        for label, mask in levels:
            made = curve(time[mask], event[mask])
            value, low, high = response.level(mask)
            rows.append(
                {
                    "column": name,
                    "level": label,
                    "rows": int(mask.sum()),
                    "ends": int(event[mask].sum()),
                    "median": finite(made.median),
                    "ended_by_horizon": value,
                    "low": low,
                    "high": high,
                    "log_rank": statistic,
                    "df": df,
                    "p_value": finite(p),
                }
            )
    return rows


def _levels(values: npt.NDArray[Any]) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    if values.dtype.kind == "f":
        distinct = np.unique(values[np.isfinite(values)])
        return [(words.number(float(v)), values == v) for v in distinct] if len(distinct) <= 6 else []
    labels = sorted({v for v in values.tolist() if v is not None})
    return [(level_name(v), values == v) for v in labels] if len(labels) <= 12 else []


def _ratios(story: Story) -> list[Estimate]:
    out = []
    for f in story.factors:
        if f.together is None:
            continue
        for change in effects.changes(f.term, f.values):
            if isinstance(f.term, Category) and ((change.end != change.start) & ~f.together.kept[f.place]).any():
                continue
            made = effects.ratio(f.together, f.place, change, name=f.name, adjusted=True)
            out.append(replace(made, q_value=f.link.q_value if f.link else None))
    return out


def _ratio_row(e: Estimate) -> dict[str, Any]:
    return {
        "column": e.name,
        "level": level_name(str(e.category)),
        "base": level_name(str(e.base)),
        "hazard_ratio": 1 + e.value,
        "low": 1 + e.low,
        "high": finite(1 + e.high),
        "p_value": e.p_value,
    }


def _schoenfeld(story: Story) -> tuple[tuple[Check, ...], tuple[Caution, ...]]:
    """Whether each column's hazard ratio stays the same over time: Holm over all columns."""
    response = story.response
    asked = [f for f in story.factors if f.together is not None and f.head]
    if not asked or response.spells is None:
        return (), ()
    tests = []
    for f in asked:
        assert f.together is not None
        tests.append(proportional(f.together, f.matrix, response.spells, f.place))
    made = effects.depends(
        [f"the change over time of {f.name}" for f in asked], tests, n=len(response.y), outcome=story.outcome.words,
        alpha=ALPHA,
    )  # fmt: skip
    moved = [f.name for f, (_, v) in zip(asked, made, strict=True) if v.outcome == "supported"]
    smallest = min((t[2] for t in tests if math.isfinite(t[2])), default=math.nan)
    text = "hazard ratios stay the same over time (Schoenfeld test, Holm over columns)"
    if moved:
        text = f"the hazard ratio of {words.listing(moved[:4])} changes over time (Schoenfeld test, Holm over columns)"
    check = Check("proportional-hazards", not moved, finite(smallest), ALPHA / len(asked), text)
    if not moved:
        return (check,), ()
    caution = Caution(
        "not-proportional",
        f"{words.listing(moved[:6])}: the hazard ratio changes over time, so one number is an average over it; the "
        f"points by {words.number(response.horizon)} and the curves are the safer reading",
    )
    return (check,), (caution,)


def _curves(story: Story, factor: Factor | None) -> Finding:
    """The curve of all rows, or one for each level of the first column."""
    response = story.response
    assert response.spells is not None and response.ends is not None
    time, event = response.spells.time, response.ends > 0
    parts = [("all rows", np.ones(len(time), dtype=bool))] if factor is None else _parts(factor)
    rows: Rows = []
    medians = []
    for label, mask in parts:
        made = curve(time[mask], event[mask])
        rows.append({"x": 0.0, "value": 1.0, "low": 1.0, "high": 1.0, "series": label})
        for i in _spread(len(made.times)):
            s = float(made.survival[i])
            low, high = _log_log(s, math.sqrt(float(made.variance[i])))
            rows.append({"x": float(made.times[i]), "value": s, "low": low, "high": high, "series": label})
        medians.append((label, made.median))
    said = [f"half by {words.number(m)} for {k}" for k, m in medians if math.isfinite(m)]
    never = [k for k, m in medians if not math.isfinite(m)]
    if never and not said:
        said.append("less than half were seen to end")
    elif never:
        said.append(f"less than half seen to end for {words.listing(never)}")
    name = f"by {factor.name}" if factor is not None else "of all rows"
    target = story.outcome.name
    last = words.number(float(time.max()))
    return Finding(
        title=f"Time until {target} {name}: {said[0]}",
        text=f"{_sentence('; '.join(said))} Rows that were cut off count up to where they were last seen.",
        strength="strong",
        so_what="The curve shows when, and how far the rows reach; it is on its own, with nothing held equal.",
        how_sure=f"Kaplan-Meier, 95% bands, up to {last}.",
        figure=Figure(
            form="line-band",
            title=f"Share not ended yet {name}",
            subtitle="Kaplan-Meier; bands are 95% intervals",
            unit="share",
            rows=tuple(rows),
            sentence=f"Time until {target} {name}: {'; '.join(said)}.",
        ),
    )


def _parts(factor: Factor) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    if isinstance(factor.term, Category):
        labels = list(factor.term.levels[:GROUPS])
        return [(level_name(v), factor.values == v) for v in labels]
    seen = factor.values[np.isfinite(factor.values)]
    distinct = np.unique(seen)
    if len(distinct) <= 3:
        return [(words.number(float(v)), factor.values == v) for v in distinct]
    low, high = (float(v) for v in np.quantile(seen, [1 / 3, 2 / 3], method="inverted_cdf"))
    parts = [
        (f"up to {words.number(low)}", factor.values <= low),
        (f"above {words.number(low)}, to {words.number(high)}", (factor.values > low) & (factor.values <= high)),
        (f"above {words.number(high)}", factor.values > high),
    ]
    return [(k, m) for k, m in parts if m.sum() >= 2]


def _spread(count: int) -> npt.NDArray[np.intp]:
    """Places of at most ``POINTS`` of so many, the last among them; all up to twice as many."""
    if count <= 2 * POINTS:
        return np.arange(count)
    return np.unique(np.linspace(0, count - 1, POINTS).round().astype(np.intp))


def _log_log(s: float, se: float) -> tuple[float, float]:
    """95% interval of a survival share on the scale of log(-log)."""
    if not 0 < s < 1 or se <= 0:
        return s, s
    half = laws.tail_quantile(0.05) * se / (s * -math.log(s))
    centre = math.log(-math.log(s))
    return math.exp(-math.exp(centre + half)), math.exp(-math.exp(centre - half))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
