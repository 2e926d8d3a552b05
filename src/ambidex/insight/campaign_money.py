"""From effects to money: claims stated, judged, and varied over what was assumed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ambidex.insight.campaign_ask import Ask
from ambidex.stats.claim import Claim, Verdict, decide, decide_all
from ambidex.stats.estimate import Estimate, finite
from ambidex.stats.money import Money, Returns, returns

__all__ = ["Arm", "Paid", "judge", "lead_of", "sensitivity"]


@dataclass(frozen=True, eq=False)
class Arm:
    """One treatment against the control, measured.

    Attributes:
        arm, control: Labels as shown.
        effect: Per treated unit, in units of the outcome.
        lift: Relative, or None where it has no meaning.
        treated: Units treated.
        with_it, without: Level of the outcome of the treated, and what it would have been; NaN if not known.
        share: True if the outcome is yes or no.
        periods: Treated periods, where the effect is one of a period; money counts them all.
    """

    arm: str
    control: str
    effect: Estimate
    lift: Estimate | None
    treated: int
    with_it: float
    without: float
    share: bool = False
    periods: int = 1

    def money(self, money: Money) -> Money:
        """Margin for a unit over all its treated periods."""
        return replace(money, value=money.value * self.periods)


@dataclass(frozen=True, eq=False)
class Paid:
    """One treatment, judged.

    Attributes:
        arm: What was measured.
        works: Verdict of "the effect is above 0".
        pays: Verdict of "the profit is above 0"; None where no margin was named.
        money: In money; None where no margin was named.
    """

    arm: Arm
    works: Verdict
    pays: Verdict | None
    money: Returns | None

    @property
    def estimates(self) -> list[Estimate]:
        """All of them, in the order of the contract."""
        out = [self.arm.effect, *([self.arm.lift] if self.arm.lift is not None else [])]
        if (m := self.money) is not None:
            out += [m.total, m.profit, *([m.roi] if m.roi is not None else []), m.break_even_cost]
        return out


def judge(arms: Sequence[Arm], ask: Ask) -> list[Paid]:
    """State the claims, then decide: the effect above 0, and the profit above 0, each a family over the arms (Holm)."""
    works = [Claim(measure=f"effect on {ask.outcome}, {a.arm} against {a.control}", alpha=ask.alpha) for a in arms]
    pays = [Claim(measure=f"profit of {a.arm}", alpha=ask.alpha) for a in arms]
    effects = [replace(a.effect, name="effect", kind="effect") for a in arms]
    lifts = [None if a.lift is None else replace(a.lift, name="lift", kind="lift") for a in arms]
    arms = [replace(a, effect=e, lift=lift) for a, e, lift in zip(arms, effects, lifts, strict=True)]
    worked = decide_all(works, effects)
    if ask.money is None:
        return [Paid(a, v, None, None) for a, v in zip(arms, worked, strict=True)]
    money = [returns(a.effect, a.treated, a.money(ask.money), alpha=ask.alpha) for a in arms]
    paid = decide_all(pays, [m.profit for m in money])
    return [Paid(a, v, p, m) for a, v, p, m in zip(arms, worked, paid, money, strict=True)]


def lead_of(paid: Sequence[Paid]) -> Paid:
    """The treatment that the headline speaks of: supported before open before refuted, then the most money."""
    rank = {"supported": 2, "open": 1, "refuted": 0}

    def key(p: Paid) -> tuple[int, float]:
        verdict = p.pays or p.works
        worth = p.money.profit.value if p.money is not None else p.arm.effect.value
        return rank[verdict.outcome], worth if math.isfinite(worth) else -math.inf

    return max(paid, key=key)


def sensitivity(paid: Paid, money: Money, alpha: float) -> list[dict[str, Any]]:
    """Profit and ROI were the margin half or half as much again, the costs half or double."""
    rows = []
    for times_value in (0.5, 1.0, 1.5):
        for times_cost in (0.5, 1.0, 2.0) if money.cost or money.fixed else (1.0,):
            other = Money(money.value * times_value, money.cost * times_cost, money.fixed * times_cost)
            r = returns(paid.arm.effect, paid.arm.treated, paid.arm.money(other), alpha=alpha)
            rows.append(
                {
                    "value": float(f"{other.value:.6g}"),
                    "cost": float(f"{other.cost:.6g}"),
                    "fixed_cost": float(f"{other.fixed:.6g}"),
                    "profit": finite(r.profit.value),
                    "low": finite(r.profit.low),
                    "high": finite(r.profit.high),
                    "roi": None if r.roi is None else finite(r.roi.value),
                    "p_loss": r.p_loss,
                    "above_0": decide(Claim(measure="profit", alpha=alpha), r.profit).outcome,
                }
            )
    return rows
