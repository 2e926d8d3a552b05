"""An effect in money: formulas, laws, and what cannot be told."""

from __future__ import annotations

import math

import pytest

from ambidex.stats import laws
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import Estimate
from ambidex.stats.money import Money, returns


def effect(value: float = 0.5, se: float | None = 0.1, law: laws.Law | None = None, **more: float) -> Estimate:
    return Estimate(
        name="effect", kind="effect", value=value, low=-math.inf, high=math.inf, n=200, se=se,
        law=laws.normal() if law is None else law, **more,  # type: ignore[arg-type]
    ).at(0.05) if se is not None else Estimate(
        name="effect", kind="effect", value=value, low=-math.inf, high=math.inf, n=200
    )  # fmt: skip


def test_the_formulas() -> None:
    r = returns(effect(), 100, Money(value=0.4, cost=0.1, fixed=3.0))
    assert r.total.value == pytest.approx(20) and r.profit.value == pytest.approx(20 - 10 - 3)
    assert r.roi is not None and r.roi.value == pytest.approx(7 / 13)
    half = laws.normal_quantile(0.975) * 100 * 0.4 * 0.1 / 13
    assert (r.roi.low, r.roi.high) == pytest.approx((7 / 13 - half, 7 / 13 + half))
    assert r.break_even_cost.value == pytest.approx(0.4 * 0.5 - 3 / 100)
    assert r.p_loss == pytest.approx(0.5 * math.erfc(7 / 4 / math.sqrt(2)))


def test_at_the_break_even_cost_nothing_is_earned() -> None:
    at = returns(effect(), 100, Money(0.4, 0.1, 3.0)).break_even_cost.value
    assert returns(effect(), 100, Money(0.4, at, 3.0)).profit.value == pytest.approx(0)


def test_profit_is_above_nothing_exactly_where_the_effect_is_above_what_it_costs() -> None:
    for value in (0.05, 0.3, 0.45, 0.6):
        r = returns(effect(value), 100, Money(0.4, 0.1))
        paid = decide(Claim(measure="profit"), r.profit).outcome
        assert paid == decide(Claim(measure="effect", margin=0.25), effect(value)).outcome


def test_nothing_spent_has_no_roi_and_a_harmful_margin_turns_the_sign() -> None:
    assert returns(effect(), 100, Money(0.4)).roi is None
    r = returns(effect(), 100, Money(-0.4))
    assert r.profit.value < 0 and r.profit.low < r.profit.high and r.p_loss is not None and r.p_loss > 0.99


def test_few_degrees_of_freedom_stay_student_and_placebos_stay_placebos() -> None:
    r = returns(effect(law=laws.student(8)), 10, Money(1.0, 0.1))
    assert r.profit.law is not None and r.profit.law.name == "student" and r.profit.high - r.profit.value > 2.3
    placebos = [0.01 * i for i in range(1, 41)]
    r = returns(effect(law=laws.placebos(placebos)), 10, Money(2.0, 0.1))
    assert r.total.law is not None and r.total.high - r.total.value == pytest.approx(20 * 0.39)


def test_an_effect_without_an_error_has_no_chance_of_a_loss() -> None:
    r = returns(effect(se=None), 10, Money(1.0, 0.1))
    assert r.p_loss is None and math.isinf(r.profit.low) and math.isinf(r.break_even_cost.high)


@pytest.mark.parametrize(("n", "money"), [(0, Money(1)), (5, Money(1, -1)), (5, Money(1, 0, -1))])
def test_nonsense_is_refused(n: int, money: Money) -> None:
    with pytest.raises(ValueError, match="treated units"):
        returns(effect(), n, money)


def test_the_law_of_placebos_inverts_the_permutation_test() -> None:
    law = laws.placebos([3.0, -1.0, 2.0] * 13)  # 39: at .05 the second largest, at .02 none
    assert laws.bounds(law, 10.0, None, 0.05) == (7.0, 13.0)
    assert laws.bounds(law, 10.0, None, 0.02) == (-math.inf, math.inf)
