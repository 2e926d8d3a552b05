"""Arms against the control: claims stated, estimates made, ``decide_all`` asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from ambidex.insight.experiment_data import Assignment, Reading
from ambidex.insight.experiment_words import Comparison
from ambidex.report.answer import Caution
from ambidex.report.words import number, plural
from ambidex.stats.claim import Claim, decide, decide_all
from ambidex.stats.compare import difference, mean_level, relative, share_difference
from ambidex.stats.estimate import Estimate
from ambidex.stats.families import benjamini_hochberg
from ambidex.stats.sequences import anytime
from ambidex.stats.summaries import Moments

__all__ = ["Family", "compare", "judge", "with_outliers_capped"]

CAP = 0.999


@dataclass(frozen=True, slots=True)
class Family:
    """How claims are judged.

    Attributes:
        alpha: Error rate of the family.
        looks: ``once`` or ``anytime``.
        control: Label of the baseline arm.
    """

    alpha: float
    looks: Literal["once", "anytime"]
    control: str


def judge(
    readings: Sequence[Reading],
    who: Assignment,
    settings: Family,
    margin: float | None,
    *,
    family: Literal["holm", "bh"] = "holm",
) -> list[Comparison]:
    """Every metric and treated arm, judged as one family.

    With a margin the claims "outside ±margin" form a second family of their own: it answers another question,
    and either question may be asked at alpha.
    """
    open_ = [c for r in readings for c in compare(r, who, settings)]
    claims = [c.verdict.claim for c in open_]
    estimates = [c.difference for c in open_]
    if family == "bh" and open_:
        known = [1.0 if e.p_value is None else e.p_value for e in estimates]
        estimates = [replace(e, q_value=float(q)) for e, q in zip(estimates, benjamini_hochberg(known), strict=True)]
    verdicts = decide_all(claims, estimates, family=family)
    out = [replace(c, difference=e, verdict=v) for c, e, v in zip(open_, estimates, verdicts, strict=True)]
    if margin is None:
        return out
    outside = [replace(c, relation="outside", margin=margin) for c in claims]
    return [replace(c, equal=v) for c, v in zip(out, decide_all(outside, estimates, family=family), strict=True)]


def compare(reading: Reading, who: Assignment, settings: Family) -> list[Comparison]:
    """The treated arms against the control, each judged on its own at alpha."""
    place = who.labels.index(settings.control)
    out = []
    for i, arm in enumerate(who.labels):
        if i == place:
            continue
        e, lift = _estimates(reading, i, place, arm, settings)
        claim = Claim(
            measure=f"{reading.metric.label}, {arm} against {settings.control}",
            alpha=settings.alpha,
            looks=settings.looks,
        )
        out.append(
            Comparison(
                reading,
                arm,
                settings.control,
                candidate=reading.levels[i],
                baseline=reading.levels[place],
                difference=e,
                verdict=decide(claim, e),
                lift=lift,
            )
        )
    return out


def _estimates(reading: Reading, i: int, place: int, arm: str, settings: Family) -> tuple[Estimate, Estimate | None]:
    labels = {"name": reading.metric.label, "alpha": settings.alpha, "arm": arm, "control": settings.control}
    candidate, baseline = reading.levels[i], reading.levels[place]
    fewest = min(candidate.n, baseline.n)
    if reading.yes is not None:
        (x1, n1), (x0, n0) = reading.yes[i], reading.yes[place]
        e = share_difference(x1, n1, x0, n0, **labels)  # type: ignore[arg-type]  # labels are of mixed type
        fewest = min(fewest, 10 * min(x1, n1 - x1, x0, n0 - x0))
    else:
        unit = "share" if reading.metric.is_share else ""
        e = difference(candidate, baseline, unit=unit, **labels)  # type: ignore[arg-type]
    lift = relative(candidate, baseline, **labels)  # type: ignore[arg-type]
    if settings.looks == "anytime":
        e = anytime(e, fewest=fewest)
        lift = anytime(lift, fewest=fewest) if lift is not None else None
        if lift is not None and lift.law is None:
            lift = None
    return e, lift


def with_outliers_capped(comparisons: Sequence[Comparison], who: Assignment, settings: Family) -> list[Caution]:
    """Does a verdict change when the largest thousandth of the values is capped? Then a few units carry it."""
    cautions = []
    done: set[str] = set()
    for c in comparisons:
        spec = c.reading.metric.spec
        if spec in done or not c.reading.values or c.reading.metric.is_share:
            continue
        done.add(spec)
        pooled = np.concatenate(c.reading.values)
        top = float(np.quantile(pooled, CAP))
        bottom = float(np.quantile(pooled, 1 - CAP)) if pooled.min() < 0 else float(pooled.min())
        capped = tuple(mean_level(Moments.of({"x": np.clip(v, bottom, top)}), "x") for v in c.reading.values)
        beyond = int(((pooled > top) | (pooled < bottom)).sum())
        if not beyond:
            continue
        again = {d.arm: d for d in compare(replace(c.reading, levels=capped), who, settings)}
        mine = [d for d in comparisons if d.reading.metric.spec == spec]
        changed = [d.arm for d in mine if decide(
            replace(d.verdict.claim, alpha=1 - d.verdict.estimate.level), again[d.arm].difference
        ).outcome != d.verdict.outcome]  # fmt: skip
        if changed:
            largest = float(pooled[np.argmax(np.abs(pooled - np.median(pooled)))])
            cautions.append(
                Caution(
                    "outliers",
                    f"`{c.reading.metric.label}`: {plural(beyond, 'unit')} with extremes, up to {number(largest)}, "
                    f"carry the result: capped at {number(top)}, the verdict on {', '.join(changed)} is another.",
                )
            )
    return cautions
