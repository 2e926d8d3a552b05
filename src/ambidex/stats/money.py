"""From an effect per treated unit to money: return, profit, return on the money spent, and the chance of a loss.

Profit, return and ROI are straight lines in the effect, so each keeps the effect's sampling law on the normal
scale. What is assumed (margin, costs) is an argument, never estimated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate

__all__ = ["Money", "Returns", "returns"]

MANY = 1000
"""Degrees of freedom from which Student's t is taken as normal: it is wider by less than 0.2% there."""


@dataclass(frozen=True, slots=True)
class Money:
    """What is assumed about money.

    Attributes:
        value: Margin per unit of outcome, in money (not revenue).
        cost: Per treated unit, in money, >= 0.
        fixed: Once for the campaign, in money, >= 0.
    """

    value: float
    cost: float = 0.0
    fixed: float = 0.0


@dataclass(frozen=True, slots=True)
class Returns:
    """An effect in money.

    Attributes:
        total: Margin that the campaign brought: N·v·τ.
        profit: Less what it cost: N(vτ-c)-F.
        roi: Profit over what it cost; None where it cost nothing.
        break_even_cost: Highest cost per treated unit that pays: vτ-F/N.
        p_loss: Chance that the profit is below 0, on the sampling law of the effect; None where there is none.
    """

    total: Estimate
    profit: Estimate
    roi: Estimate | None
    break_even_cost: Estimate
    p_loss: float | None


def returns(effect: Estimate, treated: int, money: Money, *, alpha: float = 0.05) -> Returns:
    """What an effect on ``treated`` units is worth.

    profit = N(vτ-c)-F, ROI = profit/(Nc+F) with standard error N·v·se(τ)/(Nc+F), break-even cost per treated
    unit vτ-F/N, P(loss) = Φ(-profit/(N·v·se(τ))). An effect judged by Student's t with few degrees of freedom keeps
    it; an effect judged by placebos keeps them, times N·v.

    Args:
        effect: Per treated unit, in units of the outcome.
        treated: Units that were treated, N.
        money: Margin and costs.
        alpha: Two-sided error rate of the bounds.

    Raises:
        ValueError: For no treated unit or a negative cost.

    >>> e = Estimate(name="effect", kind="effect", value=0.5, low=0, high=1, n=200, se=0.1, law=laws.normal())
    >>> r = returns(e, 100, Money(value=0.4, cost=0.1))
    >>> round(r.profit.value, 2), round(r.roi.value, 2), round(r.roi.low, 3), round(r.p_loss, 4)
    (10.0, 1.0, 0.216, 0.0062)
    """
    if treated < 1 or money.cost < 0 or money.fixed < 0:
        raise ValueError(f"{treated} treated units, cost {money.cost}, fixed cost {money.fixed}")
    n, v = treated, money.value
    spent = n * money.cost + money.fixed
    profit = n * (v * effect.value - money.cost) - money.fixed
    labels = {"arm": effect.arm, "control": effect.control}

    def line(name: str, value: float, slope: float, unit: str) -> Estimate:
        return _line(effect, name, value, slope, unit, alpha, labels)

    total = line("return", n * v * effect.value, n * v, "money")
    return Returns(
        total=total,
        profit=line("profit", profit, n * v, "money"),
        roi=line("roi", profit / spent, n * v / spent, "relative") if spent > 0 else None,
        break_even_cost=line("break_even_cost", v * effect.value - money.fixed / n, v, "money per treated unit"),
        p_loss=_chance_below(profit, effect, abs(n * v)),
    )


def _line(
    effect: Estimate, name: str, value: float, slope: float, unit: str, alpha: float, labels: dict[str, Any]
) -> Estimate:
    base = Estimate(
        name=name, kind=name, value=value, low=-math.inf, high=math.inf, n=effect.n, level=1 - alpha, unit=unit,
        method=f"{effect.method}, times money", **labels,
    )  # fmt: skip
    law = _law(effect, abs(slope))
    if law is None or effect.se is None or not math.isfinite(effect.se):
        return base
    return replace(base, se=abs(slope) * effect.se, law=law).at(alpha)


def _law(effect: Estimate, slope: float) -> laws.Law | None:
    """The law of slope times the effect."""
    if effect.law is None:
        return None
    if effect.law.name == "placebos":
        return laws.placebos([slope * p for p in effect.law.args])
    if effect.law.name == "student" and effect.law.args[0] < MANY:
        return effect.law
    return laws.normal()


def _chance_below(profit: float, effect: Estimate, slope: float) -> float | None:
    law = _law(effect, slope)
    if law is None or not effect.se or not math.isfinite(effect.se) or slope == 0:
        return None
    if not math.isfinite(effect.low) and not math.isfinite(effect.high):
        return None  # too few placebos for an interval: a chance would claim what the interval does not
    t = profit / (slope * effect.se)
    two_sided = laws.student_p(t, law.args[0]) if law.name == "student" else laws.normal_p(t)
    return two_sided / 2 if t > 0 else 1 - two_sided / 2
