"""The rest of an experiment's page: tiles, what stays unknown, how it was made, the arms as a table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ambidex.insight.experiment_advice import lead_of
from ambidex.insight.experiment_compare import Family
from ambidex.insight.experiment_data import Assignment, Reading
from ambidex.insight.experiment_words import Comparison, Style
from ambidex.report.answer import Check
from ambidex.report.words import count, listing, signed
from ambidex.stats.sequences import TUNED

__all__ = ["arms_table", "looks_check", "method_of", "tiles_of", "unknowns_of"]


def tiles_of(comparisons: Sequence[Comparison], who: Assignment, base: str) -> tuple[tuple[str, str, str], ...]:
    """The headline's comparison, its lift, and the units."""
    first = lead_of(comparisons)
    e, style = first.difference, Style.of(first.reading, first.difference)
    tiles = [
        (f"{first.reading.metric.label}, {first.arm} against {base}", style.delta(e.value), style.range(e.low, e.high))
    ]
    if first.lift is not None:
        lift = first.lift
        tiles.append(
            ("relative to the control", _percent(lift.value), f"{_percent(lift.low)} to {_percent(lift.high)}")
        )
    sizes = who.counts if first.reading.metric.kind != "trials" else tuple(v.n for v in first.reading.levels)
    arms = " : ".join(f"{a} {count(n)}" for a, n in zip(who.labels, sizes, strict=True))
    tiles.append(("units", count(sum(sizes)), arms))
    return tuple(tiles)


def _percent(x: float) -> str:
    return signed(round(100 * x, 1)) + "%" if math.isfinite(x) else "–"


def unknowns_of(comparisons: Sequence[Comparison], unit: str | None) -> tuple[str, ...]:
    """What this test cannot tell."""
    out = ["Whether the arms were assigned at random: a table cannot show it, and the wording here rests on it."]
    if unit is None:
        out.append("Whether rows are independent: each row was taken as one unit.")
    out.append("What happens after the period that was measured, and for other people than these.")
    first = lead_of(comparisons)
    if (size := first.detectable) is not None:
        least = Style.of(first.reading, first.difference).delta(size).lstrip("+")
        out.append(
            f"Differences in {first.reading.metric.label} below about {least}: this test would mostly miss them."
        )
    return tuple(out)


def method_of(
    readings: Sequence[Reading],
    comparisons: Sequence[Comparison],
    settings: Family,
    unit: str | None,
    margin: float | None,
) -> str:
    """How it was made, in one sentence."""
    names = list(dict.fromkeys(c.difference.method for c in comparisons if c.difference.method))
    parts = [f"{listing(names)} for the difference, log ratio for the lift"]
    if len(comparisons) > 1:
        parts.append(f"Holm over {len(comparisons)} comparisons at alpha {settings.alpha:g}")
        parts.append("the intervals shown are each comparison's own, the verdicts rest on wider ones")
    else:
        parts.append(f"two-sided at alpha {settings.alpha:g}")
    if settings.looks == "anytime":
        parts.append(f"valid at every look, tightest at {TUNED:,} units")
    else:
        parts.append("valid for one look at the end")
    if margin is not None:
        parts.append(f"the same within ±{margin:g} is claimed only if the whole interval lies inside")
    trials = any(r.metric.kind == "trials" for r in readings)
    parts.append(f"units by `{unit}`" if unit else "each trial is a unit" if trials else "each row is a unit")
    text = "; ".join(parts) + "."
    return text[0].upper() + text[1:]


def looks_check(anytime: bool) -> Check:
    """Whether the result holds at one look or at every look."""
    text = (
        "holds at every look"
        if anytime
        else "judged once; if it was looked at before and will be again, run it with --anytime"
    )
    return Check("looks", True, None, None, text)


def arms_table(readings: Sequence[Reading], who: Assignment) -> list[dict[str, Any]]:
    """Each arm on each metric, with its own 95% interval."""
    rows = []
    for r in readings:
        for label, level, missing in zip(who.labels, r.levels, r.missing, strict=True):
            low, high = level.interval()
            rows.append(
                {
                    "metric": r.metric.label,
                    "arm": label,
                    "units": level.n,
                    "missing": missing,
                    "value": level.value,
                    "low": low if math.isfinite(low) else None,
                    "high": high if math.isfinite(high) else None,
                }
            )
    return rows
