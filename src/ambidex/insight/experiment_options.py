"""Options of an experiment: validated at the door, with the columns they name."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ambidex.data.table import Table
from ambidex.errors import UsageError
from ambidex.insight.experiment_metrics import Guardrail, Metric, parse_guardrail, parse_metric
from ambidex.report.words import listing

__all__ = ["Options", "read_options"]

LEAST_ALPHA = 1e-9
"""No approximation used here is known to hold further out."""

ALPHA = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What was asked, every column checked.

    Attributes:
        group: Column of the arms.
        primary, secondary: Metrics.
        guards: Guardrails.
        control: Label of the baseline arm, or None.
        unit, cluster, exposure, time: Columns, or None.
        covariates: Columns known before the start.
        by: Columns of groups of customers.
        shares: As given.
        alpha: Error rate of the family of primary claims.
        anytime: True if it may be looked at as often as one likes.
        margin: Differences inside ±margin do not matter; None if not stated.
    """

    group: str
    primary: tuple[Metric, ...]
    secondary: tuple[Metric, ...]
    guards: tuple[Guardrail, ...]
    control: Any
    unit: str | None
    cluster: str | None
    exposure: str | None
    time: str | None
    covariates: tuple[str, ...]
    by: tuple[str, ...]
    shares: Any
    alpha: float
    anytime: bool
    margin: float | None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All of them, each once."""
        every = [*self.primary, *self.secondary, *(g.metric for g in self.guards)]
        return tuple({m.spec: m for m in every}.values())

    @property
    def used(self) -> list[str]:
        """Columns that were named for some purpose."""
        named = [self.group, self.unit, self.cluster, self.exposure, self.time, *self.covariates, *self.by]
        named += [c for m in self.metrics for c in (m.column, m.per)]
        return [c for c in named if c is not None]

    def recorded(self) -> dict[str, Any]:
        """By their Python names, without those that are at their default."""
        shares = self.shares
        return {
            "group": self.group,
            "metric": [m.spec for m in self.primary],
            "secondary": [m.spec for m in self.secondary],
            "guardrail": [f"{g.metric.spec}:{g.margin:g}" for g in self.guards],
            "control": self.control,
            "unit": self.unit,
            "cluster": self.cluster,
            "covariate": list(self.covariates),
            "shares": ",".join(f"{k}={v}" for k, v in shares.items()) if isinstance(shares, Mapping) else shares,
            "alpha": None if self.alpha == ALPHA else self.alpha,
            "anytime": self.anytime,
            "margin": self.margin,
            "exposure": self.exposure,
            "time": self.time,
            "by": list(self.by),
        }


def read_options(
    source: Table,
    *,
    group: Any,
    metric: Any,
    secondary: Any,
    guardrail: Any,
    control: Any,
    unit: Any,
    cluster: Any,
    covariate: Any,
    shares: Any,
    alpha: Any,
    anytime: Any,
    margin: Any,
    exposure: Any,
    time: Any,
    by: Any,
) -> Options:
    """Check the options of ``experiment`` against the table.

    Raises:
        UsageError: ``usage.metric``, ``usage.value``, ``usage.type``.
        NotFound: ``data.no-column``.
        DataError: From reading a metric's column.
    """
    named = {"group": group, "unit": unit, "cluster": cluster, "exposure": exposure, "time": time, "control": control}
    for name, value in named.items():
        if not (isinstance(value, str | int) or (name != "group" and value is None)):
            raise UsageError("usage.type", f"{name} must be text, not {type(value).__name__} {value!r:.60}")
    _check_numbers(alpha, margin, anytime)
    columns = {n: None if v is None else source.require(v) for n, v in named.items() if n != "control"}
    primary = [parse_metric(source, s) for s in _several(metric, "metric")]
    if not primary:
        raise UsageError("usage.metric", "no metric was named", do="--metric COLUMN")
    if margin is not None and len(primary) > 1 and not all(m.is_share for m in primary):
        raise UsageError(
            "usage.value",
            f"margin {margin:g} has one unit, and the metrics {listing([m.label for m in primary])} have several",
            do="ask about one metric at a time",
        )
    others = [parse_metric(source, s, option="secondary") for s in _several(secondary, "secondary")]
    guards = [parse_guardrail(source, s) for s in _several(guardrail, "guardrail")]
    told_apart = _distinct([*primary, *others, *(g.metric for g in guards)])
    primary = list({told_apart[m.spec].spec: m for m in primary}.values())
    options = Options(
        group=str(columns["group"]),
        primary=tuple(told_apart[m.spec] for m in primary),
        secondary=tuple(dict.fromkeys(told_apart[m.spec] for m in others)),
        guards=tuple(replace(g, metric=told_apart[g.metric.spec]) for g in guards),
        control=control,
        unit=columns["unit"],
        cluster=columns["cluster"],
        exposure=columns["exposure"],
        time=columns["time"],
        covariates=tuple(source.require(c) for c in _several(covariate, "covariate")),
        by=tuple(source.require(c) for c in _several(by, "by")),
        shares=shares,
        alpha=alpha,
        anytime=anytime,
        margin=margin,
    )
    _check_roles(options)
    return options


def _check_numbers(alpha: Any, margin: Any, anytime: Any) -> None:
    for name, value in (("alpha", alpha), ("margin", margin)):
        if name == "margin" and value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UsageError(
                "usage.type", f"{name} must be a number, not {type(value).__name__} {value!r:.60}", do=f"{name}=0.05"
            )
    if not 0 < alpha < 1:
        raise UsageError("usage.value", f"alpha {alpha:g} is not between 0 and 1", do="--alpha 0.05")
    if alpha < LEAST_ALPHA:
        raise UsageError("usage.value", f"alpha {alpha:g} is smaller than {LEAST_ALPHA:g}", do="--alpha 0.001")
    if margin is not None and not (margin > 0 and math.isfinite(margin)):
        raise UsageError("usage.value", f"margin {margin:g} is not above 0", do="--margin 0.01")
    if not isinstance(anytime, bool):
        raise UsageError("usage.type", f"anytime must be True or False, not {anytime!r:.60}")


def _several(given: Any, option: str) -> list[Any]:
    """One text or several, each once."""
    if given is None:
        return []
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list | tuple):
        raise UsageError(
            "usage.type", f"{option} must be text or a list of texts, not {type(given).__name__} {given!r:.60}"
        )
    return list(dict.fromkeys(given)) if all(isinstance(s, str) for s in given) else list(given)


def _distinct(metrics: Sequence[Metric]) -> dict[str, Metric]:
    """By SPEC. Two SPECs that say the same (`spend`, `spend:mean`) are one metric; two of one column that do not
    (`visit` and `visit:mean`) are shown by their SPEC.
    """
    first: dict[tuple[Any, ...], Metric] = {}
    same = {m.spec: first.setdefault((m.kind, m.column, m.per, m.q, m.value), m) for m in metrics}
    labels = [m.label for m in first.values()]
    shown = {m.spec: replace(m, label=m.spec) if labels.count(m.label) > 1 else m for m in first.values()}
    return {spec: shown[m.spec] for spec, m in same.items()}


def _check_roles(o: Options) -> None:
    """No column says two things at once."""
    if o.unit == o.group:
        raise UsageError("usage.value", f"`{o.group}` cannot be the arms and the units at once")
    if o.cluster is not None and o.cluster == o.unit:
        raise UsageError(
            "usage.value",
            f"cluster and unit are both `{o.unit}`; a cluster holds several units",
            do="leave --cluster out: --unit alone brings the rows together",
        )
    if o.cluster == o.group:
        raise UsageError("usage.value", f"`{o.group}` cannot be the arms and the clusters at once")
    said = {o.group: "says who got what", o.unit: "says who was assigned", o.cluster: "names the clusters"}
    outcomes = {c for m in o.metrics for c in (m.column, m.per)}
    for m in o.metrics:
        for column in (m.column, m.per):
            if column is not None and column in said:
                raise UsageError("usage.value", f"`{column}` cannot be a metric: it {said[column]}")
    for option, columns in (("covariate", o.covariates), ("by", o.by)):
        for column in columns:
            if column in (o.group, o.unit) or column in outcomes:
                what = "is an outcome" if column in outcomes else said[column]
                raise UsageError(
                    "usage.value",
                    f"`{column}` cannot be given as --{option}: it {what}",
                    do="name a column that was known before the start",
                )
    if o.exposure == o.group:
        raise UsageError("usage.value", f"`{o.group}` cannot be the arms and the exposure at once")
