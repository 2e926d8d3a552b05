"""Whether effects differ between groups: against statsmodels' Welch ANOVA, under the null, and at its edges."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ambidex.stats.claim import Claim, decide
from ambidex.stats.compare import welch
from ambidex.stats.estimate import Estimate
from ambidex.stats.heterogeneity import heterogeneity, heterogeneity_test
from ambidex.stats.summaries import Moments


@pytest.mark.parametrize("sizes", [(8, 12), (5, 9, 30), (20, 20, 20, 20, 20)])
def test_equals_welchs_anova_of_means(sizes: tuple[int, ...]) -> None:
    oneway = pytest.importorskip("statsmodels.stats.oneway")
    rng = np.random.default_rng(len(sizes))
    samples = [rng.normal(i / 3, 1 + i, n) for i, n in enumerate(sizes)]
    want = oneway.anova_oneway(samples, use_var="unequal", welch_correction=True)
    f, df1, df2, p = heterogeneity_test(
        [s.mean() for s in samples],
        [s.std(ddof=1) / math.sqrt(len(s)) for s in samples],
        [len(s) - 1.0 for s in samples],
    )
    assert (f, df1, df2, p) == pytest.approx((want.statistic, *want.df, want.pvalue), rel=1e-9)


def effects(rng: np.random.Generator, groups: int, n: int, gap: float = 0.0) -> list[Estimate]:
    out = []
    for g in range(groups):
        arms = [Moments.of({"x": rng.exponential(1, n) + (gap if g == 0 and a else 0)}) for a in (0, 1)]
        out.append(welch(arms[1], arms[0], "x", name="x"))
    return out


def test_the_claim_is_decided_as_the_test_is() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        e = heterogeneity(effects(rng, 4, 30, gap=rng.choice([0.0, 0.6])), name="x")
        assert e is not None and e.p_value is not None
        assert (decide(Claim(measure="x"), e).outcome == "supported") == (e.p_value < 0.05)


def test_groups_that_respond_alike() -> None:
    rng, runs = np.random.default_rng(4), 1_500
    found = [heterogeneity(effects(rng, 10, 40), name="x") for _ in range(runs)]
    told = sum(e is not None and e.p_value is not None and e.p_value < 0.05 for e in found)
    assert 0.03 <= told / runs <= 0.065


def test_too_few_groups_or_no_error() -> None:
    one = effects(np.random.default_rng(5), 1, 20)
    blank = Estimate(name="x", kind="difference", value=1.0, low=-math.inf, high=math.inf, n=3)
    assert heterogeneity([], name="x") is None and heterogeneity([*one, blank], name="x") is None
    same = heterogeneity([one[0], one[0]], name="x")
    assert same is not None and same.value == 0 and same.p_value == 1
