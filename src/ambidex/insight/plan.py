"""``plan``: how big must the test be?

Options, or a table of the past, give the control's level and spread; ``stats.power`` gives the units. Nothing is
claimed and nothing decided here: the plan is what ``experiment --plan`` later holds the analyst to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ambidex.data.read import read
from ambidex.data.table import Table
from ambidex.errors import UsageError
from ambidex.insight.experiment_metrics import parse_guardrail, parse_metric
from ambidex.insight.plan_design import Design, Factor, Guard, factors_of
from ambidex.insight.plan_options import Asked, check_options, effect_of, kind_of
from ambidex.insight.plan_page import answer_of
from ambidex.insight.plan_table import History, read_history
from ambidex.report.answer import Answer
from ambidex.stats.power import Outcome

__all__ = ["plan"]


def plan(
    *,
    table: Any = None,
    metric: str | None = None,
    baseline: float | None = None,
    difference: float | None = None,
    lift: float | None = None,
    effect: float | None = None,
    sd: float | None = None,
    power: float = 0.8,
    alpha: float = 0.05,
    arms: int = 2,
    looks: int = 1,
    anytime: bool = False,
    group: str | None = None,
    control: str | None = None,
    unit: str | None = None,
    cluster: str | None = None,
    covariate: str | Sequence[str] = (),
    time: str | None = None,
    shares: str | Mapping[str, float] | None = None,
    icc: float | None = None,
    cluster_size: float | None = None,
    r2: float | None = None,
    size: float | None = None,
    guardrail: str | Sequence[str] = (),
    out: str | None = None,
) -> Answer:
    """How big must the test be?

    Args:
        table: A table of the past, read for the level, the spread and, where columns are named, for traffic
            (``time``), correlation within clusters (``cluster``) and what covariates explain (``covariate``).
        metric: SPEC as for ``experiment``; its kind is read from the table, from ``sd`` (a mean) or from a baseline
            alone (a share).
        baseline: The control's level.
        difference: Smallest effect that matters, in the metric's unit (a share's as a share: 0.05 is 5 points).
        lift: The same relative to the baseline: 0.05 is 5% more.
        effect: The same for a mean, with ``sd``; in standard deviations without it.
        sd: Standard deviation between units.
        power: Chance of finding that effect.
        alpha: Two-sided error rate of all comparisons with the control.
        arms: Arms, the control among them.
        looks: Planned looks, equally spaced.
        anytime: True if the test will be watched.
        group, control, unit: As ``experiment`` will be asked; a table with ``group`` is read in its control arm.
        cluster: Column of what is randomised as one.
        covariate: Pre-period columns that the experiment will adjust for.
        time: When a unit came in.
        shares: Planned arm sizes.
        icc, cluster_size: Correlation within clusters and units per cluster, where no table tells them.
        r2: Share of the variance that covariates will explain, where no table tells it.
        size: Units per arm: what can such a test see?
        guardrail: ``SPEC:MARGIN``; alpha is not split over guardrails, the risk of missing is.
        out: Where PLAN.json will be written; only named in the record here.

    Returns:
        Estimates ``units_per_arm`` (rounded up, with ``exact``) and, with a size or a table, ``detectable``; in
        ``extra`` also ``total_units``, ``formula``, ``days``.

    Raises:
        UsageError: ``usage.value``, ``usage.type``, ``usage.option``, ``usage.metric``.
        NotFound, DataError: As ``experiment`` does for a table.

    Example:
        >>> plan(baseline=0.2, difference=0.05).estimates[0].value
        1094.0
    """
    said = {
        "metric": metric, "baseline": baseline, "difference": difference, "lift": lift, "effect": effect, "sd": sd,
        "power": power, "alpha": alpha, "arms": arms, "looks": looks, "anytime": anytime, "group": group,
        "control": control, "unit": unit, "cluster": cluster, "covariate": covariate, "time": time, "shares": shares,
        "icc": icc, "cluster_size": cluster_size, "r2": r2, "size": size, "guardrail": guardrail,
    }  # fmt: skip
    asked = check_options(said, table=table is not None)
    if out is not None and metric is None:
        raise UsageError("usage.option", "a written plan names its metric", do="--metric COLUMN:share")
    if out is not None and not asked.has_effect:
        raise UsageError(
            "usage.option", "a written plan names the smallest effect that matters", do="--difference 0.05"
        )
    source = None if table is None else read(table)
    history = None if source is None else _history(source, asked)
    design = _design(asked, source, history)
    return answer_of(design, asked, source, {name: getattr(asked, name) for name in said} | {"out": out})


def _history(table: Table, asked: Asked) -> History:
    if asked.metric is None:
        raise UsageError("usage.option", "plan needs the metric to read from the table", do="--metric COLUMN")
    return _read(table, asked.metric, asked)


def _read(table: Table, spec: str, asked: Asked) -> History:
    kind_of(spec if spec not in table.columns else None)
    return read_history(
        table, parse_metric(table, spec), group=asked.group, control=asked.control, unit=asked.unit,
        cluster=asked.cluster, covariate=asked.covariate, time=asked.time,
    )  # fmt: skip


def _design(asked: Asked, source: Table | None, history: History | None) -> Design:
    kind = history.metric.kind if history is not None else kind_of(asked.metric)
    if history is not None:
        binary = history.binary and asked.sd is None
    elif kind in ("share", "trials"):
        if asked.sd is not None:
            raise UsageError("usage.value", "a share's spread follows from its baseline: --sd belongs to a mean",
                             do=f"--metric {str(asked.metric).rpartition(':')[0]}:mean")  # fmt: skip
        binary = True
    else:
        standard = asked.sd is not None or (asked.effect is not None and asked.baseline is None)
        if kind and not standard:
            raise UsageError("usage.option", f"a {kind} needs the standard deviation between units",
                             do="--sd 12, or --table TABLE")  # fmt: skip
        binary = not standard and not kind
    baseline = asked.baseline if asked.baseline is not None or history is None else history.baseline
    points = binary or kind in ("share", "trials")
    effect = effect_of(asked, shares=points, baseline=baseline)
    if binary:
        assert baseline is not None  # effect_of has asked for it
        if baseline in (0, 1) and effect is None:
            raise UsageError("usage.value", f"baseline {baseline:g} has no spread, so a size alone tells nothing",
                             do="--difference 0.01")  # fmt: skip
        outcome = Outcome(share=baseline)
    else:
        sd = asked.sd if asked.sd is not None else history.sd if history is not None else 1.0
        outcome = Outcome(sd=sd)
    spread = outcome.sd or 1.0
    if effect is not None and not 1e-9 <= abs(effect) / spread <= 1e6:
        raise UsageError("usage.value", f"an effect of {effect:g} against a spread of {spread:g}: one of them is in "
                         "another unit", do="--difference and --sd in the metric's own unit")  # fmt: skip
    factors = factors_of(asked, history)
    guards = _guards(asked, source, factors)
    standard_unit = asked.sd is None and history is None and not binary
    return Design(
        kind=kind or ("share" if binary else "mean"), points=points, outcome=outcome, baseline=baseline, effect=effect,
        alpha=asked.alpha / (asked.arms - 1), power=1 - (1 - asked.power) / (1 + len(asked.guardrail)),
        factors=factors, anytime=asked.anytime, history=history, guards=guards, in_sd=standard_unit,
    )  # fmt: skip


def _guards(asked: Asked, source: Table | None, factors: Sequence[Factor]) -> tuple[Guard, ...]:
    """What each guardrail is measured by; without a table only its margin is known."""
    guards = []
    for text in asked.guardrail:
        if source is not None:
            parsed = parse_guardrail(source, text)
            past = _read(source, parsed.metric.spec, asked)
            outcome = Outcome(share=past.baseline) if past.binary else Outcome(sd=past.sd)
            own = [f for f in factors if f.name not in ("clusters", "covariates")]
            own += [f for f in factors_of(asked, past) if f.name in ("clusters", "covariates")]
            guards.append(Guard(parsed.metric.spec, parsed.margin, outcome, math.prod(f.value for f in own)))
            continue
        body, _, margin = text.rpartition(":")
        try:
            number = float(margin)
        except ValueError:
            number = math.nan
        if not body or not math.isfinite(number) or number == 0:
            raise UsageError("usage.metric", f"guardrail {text!r:.80} needs a margin other than 0 at its end",
                             do="--guardrail COLUMN:share:-0.01")  # fmt: skip
        guards.append(Guard(body, number, None, 1.0))
    return tuple(replace(g) for g in guards)
