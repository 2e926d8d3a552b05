"""A test's design: what multiplies its units, and its size in numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ambidex.insight.plan_options import Asked
from ambidex.insight.plan_table import History
from ambidex.report.words import count, plural
from ambidex.stats.power import Outcome, design_effect, detectable, units
from ambidex.stats.sequences import TUNED
from ambidex.stats.sequential import inflation

__all__ = ["Design", "Factor", "Guard", "factors_of"]


@dataclass(frozen=True, slots=True)
class Factor:
    """What multiplies the units: ``clusters``, ``covariates``, ``looks`` or ``shares``, by how much, and why."""

    name: str
    value: float
    text: str


@dataclass(frozen=True, slots=True)
class Guard:
    """A guardrail: SPEC, margin, spread (None without a table), and what multiplies its units."""

    spec: str
    margin: float
    outcome: Outcome | None
    factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What the number of units follows from.

    Attributes:
        kind: ``share``, ``mean``, ``count``, ``ratio`` or ``trials``.
        points: True if the metric is a share, shown in per cent and points.
        outcome: The control's spread.
        baseline: The control's level; None if only a mean's spread is known.
        effect: Smallest effect that matters, in the metric's unit; None if a size was given instead.
        alpha: Error rate of each comparison.
        power: Chance that each claim is found.
        factors: What multiplies the units.
        anytime: True if the test is watched.
        history: The table of the past.
        guards: Guardrails.
        in_sd: True if the effect is in standard deviations.
    """

    kind: str
    points: bool
    outcome: Outcome
    baseline: float | None
    effect: float | None
    alpha: float
    power: float
    factors: tuple[Factor, ...]
    anytime: bool
    history: History | None
    guards: tuple[Guard, ...]
    in_sd: bool

    @property
    def factor(self) -> float:
        """All factors together."""
        return math.prod(f.value for f in self.factors)

    @property
    def tuned(self) -> float | None:
        """n* of the sequence that will judge, if the test is watched."""
        return TUNED if self.anytime else None

    def bare(self, effect: float) -> float:
        """Units per arm for independent units, without covariates, with one look."""
        return units(self.outcome, effect, alpha=self.alpha, power=self.power)

    def units(self, effect: float) -> float:
        """Units per arm that find this effect, not rounded."""
        return units(self.outcome, effect, alpha=self.alpha, power=self.power, factor=self.factor, tuned=self.tuned)

    def detectable(self, n: float) -> float | None:
        """The smallest effect that n units per arm find, in the direction that is asked; None if none is."""
        down = self.effect is not None and self.effect < 0
        found = self._detectable(n, down=down)
        return found if found is not None or self.effect is not None else self._detectable(n, down=True)

    def _detectable(self, n: float, *, down: bool) -> float | None:
        return detectable(
            self.outcome, n, alpha=self.alpha, power=self.power, factor=self.factor, tuned=self.tuned, down=down
        )

    def guard_units(self, guard: Guard, *, alpha: float) -> float | None:
        """Units per arm that show no harm beyond the margin if there is none; alpha is not split."""
        if guard.outcome is None:
            return None
        share = guard.outcome.share
        spread = Outcome(sd=math.sqrt(share * (1 - share))) if share is not None else guard.outcome
        return units(spread, guard.margin, alpha=alpha, power=self.power, factor=guard.factor, tuned=self.tuned)


def factors_of(asked: Asked, history: History | None) -> tuple[Factor, ...]:
    """Clusters, covariates, looks and unequal arms, where they apply."""
    out = []
    icc = asked.icc if asked.icc is not None or history is None else history.icc
    size = asked.cluster_size if asked.cluster_size is not None or history is None else history.cluster_size
    if icc is not None and size is not None:
        out.append(
            Factor(
                "clusters",
                design_effect(size, icc),
                f"1 + ({size:.4g} − 1) × {icc:.3g}: units of one cluster are alike",
            )
        )
    r2 = asked.r2 if asked.r2 is not None or history is None else history.r2
    if r2 is not None:
        out.append(Factor("covariates", 1 - r2, f"1 − {r2:.3g}: what the covariates explain"))
    if asked.looks > 1:
        power = 1 - (1 - asked.power) / (1 + len(asked.guardrail))
        grown = inflation(asked.looks, asked.alpha / (asked.arms - 1), power)
        out.append(Factor("looks", grown, f"{plural(asked.looks, 'look')} at equal steps, Lan-DeMets"))
    if asked.shares is not None:
        out += _unequal(asked)
    return tuple(out)


def _unequal(asked: Asked) -> list[Factor]:
    """Arms of other sizes: 1/n1 + 1/n0 of the smallest treated arm, against equal ones."""
    assert asked.shares is not None
    control = asked.control if asked.control in asked.shares else next(iter(asked.shares))
    total = sum(asked.shares.values())
    base = asked.shares[str(control)] / total
    least = min(v / total for k, v in asked.shares.items() if k != control)
    value = (1 / base + 1 / least) / (2 * asked.arms)
    if math.isclose(value, 1):
        return []
    shown = " : ".join(f"{100 * v / total:.3g}%" for v in asked.shares.values())
    return [Factor("shares", value, f"arms {shown}, {control} the control, against equal ones; on average per arm")]


def rounded(n: float) -> int:
    """Up to whole units.

    >>> rounded(63.77), rounded(64.0000000001)
    (64, 64)
    """
    return math.ceil(n - 1e-7 * max(1.0, n * 1e-3))


def units_text(n: float) -> str:
    """A number of units, or that it is beyond all."""
    return count(rounded(n)) if math.isfinite(n) else "more than 1,000,000,000,000"
