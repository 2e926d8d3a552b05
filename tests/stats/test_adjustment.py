"""Lin's adjustment from summaries."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from ambidex.stats.adjustment import adjusted_levels, cuped_difference, lin_difference, lin_relative, usable
from ambidex.stats.claim import Claim, decide
from ambidex.stats.compare import mean_level, ratio_difference, relative, welch
from ambidex.stats.summaries import Moments
from support import shared


def hc2(y: np.ndarray, arm: np.ndarray, x: np.ndarray) -> tuple[float, float, float]:
    """Lin's regression on rows: effect, its HC2 error, and the variance of the pooled mean that HC2 leaves out."""
    sm = pytest.importorskip("statsmodels.api")
    centred = x - x.mean(axis=0)
    k = x.shape[1]
    fit = sm.OLS(y, np.column_stack([np.ones(len(y)), arm, centred, arm[:, None] * centred])).fit(cov_type="HC2")
    apart = fit.params[2 + k :]
    return (
        float(fit.params[1]),
        float(fit.bse[1]),
        float(apart @ np.atleast_2d(np.cov(x, rowvar=False)) @ apart) / len(y),
    )


def arms_of(columns: dict[str, np.ndarray], arm: np.ndarray) -> tuple[Moments, Moments]:
    one, zero = (Moments.of({name: v[arm == a] for name, v in columns.items()}) for a in (1, 0))
    return one, zero


@pytest.mark.parametrize("outcome", ["spend", "visit"])
def test_lin_on_hillstrom_is_the_regression_on_rows(outcome: str) -> None:
    with shared("data/campaigns/hillstrom_email.csv").open(newline="", encoding="utf-8-sig") as file:
        rows = [r for r in csv.DictReader(file) if r["segment"] != "Mens E-Mail"]
    arm = np.array([r["segment"] == "Womens E-Mail" for r in rows]).astype(float)
    columns = {outcome: np.array([float(r[outcome]) for r in rows])}
    covariates = ["history", "recency", "newbie"]
    columns |= {c: np.array([float(r[c]) for r in rows]) for c in covariates}
    columns |= {c: np.array([float(r["channel"] == c) for r in rows]) for c in ("Web", "Phone")}
    names = [*covariates, "Web", "Phone"]
    value, se, extra = hc2(columns[outcome], arm, np.column_stack([columns[c] for c in names]))
    e = lin_difference(*arms_of(columns, arm), outcome, names)
    assert e.value == pytest.approx(value, rel=1e-9)
    assert e.se == pytest.approx((se**2 + extra) ** 0.5, rel=1e-3)  # errors that vary with a covariate: HC2 weighs rows
    assert e.adjusted is True and e.method == "Lin, adjusted"


def test_a_category_adjusts_as_its_strata() -> None:
    rng = np.random.default_rng(4)
    level, arm = rng.integers(0, 3, 3000), rng.integers(0, 2, 3000)
    y = np.array([0.0, 5.0, 9.0])[level] + arm + rng.normal(0, 1, 3000)
    columns = {"y": y, "b": (level == 1).astype(float), "c": (level == 2).astype(float)}
    e = lin_difference(*arms_of(columns, arm), "y", ["b", "c"])
    share = np.bincount(level) / 3000
    gaps = [y[(level == s) & (arm == 1)].mean() - y[(level == s) & (arm == 0)].mean() for s in range(3)]
    assert e.value == pytest.approx(float(share @ gaps))
    assert e.se is not None and e.se == pytest.approx(2 / np.sqrt(3000), rel=0.05)


def test_pooled_mean_varies_too() -> None:
    """An effect that grows with the covariate: HC2 alone is too narrow for units like these."""
    rng = np.random.default_rng(5)
    inside = {"with": 0, "hc2": 0}
    for _ in range(400):
        x, arm = rng.normal(0, 1, 400), np.repeat([1, 0], 200)
        y = 2 * x + arm * (1 + 2 * x) + rng.normal(0, 1, 400)
        e = lin_difference(*arms_of({"y": y, "x": x}, arm), "y", ["x"])
        assert e.se is not None
        apart = np.polyfit(x[:200], y[:200], 1)[0] - np.polyfit(x[200:], y[200:], 1)[0]
        narrow = np.sqrt(e.se**2 - apart**2 * x.var(ddof=1) / 400)
        inside["with"] += e.low <= 1 <= e.high
        inside["hc2"] += abs(e.value - 1) <= 1.966 * narrow
    assert 0.92 <= inside["with"] / 400 <= 0.98 and inside["hc2"] / 400 < 0.90


def test_without_covariates_it_is_welch() -> None:
    rng = np.random.default_rng(6)
    one, zero = arms_of({"y": rng.normal(0, 1, 50), "x": np.full(50, 3.0)}, rng.integers(0, 2, 50))
    for covariates in ([], ["x"]):
        e, plain = lin_difference(one, zero, "y", covariates), welch(one, zero, "y")
        assert (e.value, e.low, e.high) == (plain.value, plain.low, plain.high)
        assert e.adjusted is False and e.method == "Welch's t"


def test_ratio_adjusts_both_sums() -> None:
    rng = np.random.default_rng(7)
    n = 4000
    rate, arm = rng.gamma(4, 0.5, n), rng.integers(0, 2, n)
    views = rng.poisson(5 * rate) + 1.0
    clicks = rng.binomial(views.astype(int), np.clip(0.1 * rate + 0.02 * arm, 0, 1)).astype(float)
    before = rng.poisson(5 * rate).astype(float)
    one, zero = arms_of({"clicks": clicks, "views": views, "before": before}, arm)
    e = lin_difference(one, zero, "clicks", ["before"], denominator="views")
    plain = ratio_difference(one, zero, "clicks", "views")
    assert e.se is not None and plain.se is not None and e.se < plain.se
    assert e.value == pytest.approx(plain.value, abs=2 * plain.se)
    lift = lin_relative(one, zero, "clicks", ["before"], denominator="views")
    levels = adjusted_levels(one, zero, "clicks", ["before"], denominator="views")
    assert lift is not None and lift.value == pytest.approx(levels[0].value / levels[1].value - 1)
    assert e.value == pytest.approx(levels[0].value - levels[1].value)


def test_lift_and_difference_agree() -> None:
    rng = np.random.default_rng(8)
    x, arm = rng.gamma(2, 10, 3000), rng.integers(0, 2, 3000)
    columns = {"y": x + rng.gamma(2, 2, 3000) * (1 + 0.1 * arm), "x": x}
    one, zero = arms_of(columns, arm)
    e, lift = lin_difference(one, zero, "y", ["x"]), lin_relative(one, zero, "y", ["x"])
    plain = relative(mean_level(one, "y"), mean_level(zero, "y"))
    assert lift is not None and plain is not None and lift.se is not None and plain.se is not None
    assert lift.p_value == pytest.approx(e.p_value, rel=0.1)
    assert lift.se < 0.4 * plain.se
    assert lin_relative(*arms_of({"y": -columns["y"], "x": x}, arm), "y", ["x"]) is None


def test_columns_that_say_the_same_count_once() -> None:
    rng = np.random.default_rng(9)
    x, arm = rng.normal(5, 1, 200), np.tile([0, 1], 100)
    columns = {"y": x + rng.normal(0, 1, 200), "x": x, "twice": 2 * x, "same": np.full(200, 1e9), "arm_only": x * arm}
    one, zero = arms_of(columns, arm)
    assert usable(one, zero, ["x", "twice", "same", "x", "arm_only"]) == ["x"]
    e = lin_difference(one, zero, "y", ["x", "twice", "same"])
    assert e == lin_difference(one, zero, "y", ["x"])


def test_same_at_a_mean_of_a_billion() -> None:
    rng = np.random.default_rng(10)
    x, arm = rng.normal(0, 1, 500), rng.integers(0, 2, 500)
    y = x + rng.normal(0, 1, 500)
    near = lin_difference(*arms_of({"y": y, "x": x}, arm), "y", ["x"])
    far = lin_difference(*arms_of({"y": y + 1e9, "x": x * 1e6 + 1e9}, arm), "y", ["x"])
    assert (far.low, far.high) == pytest.approx((near.low, near.high), abs=1e-5)


def test_cuped_is_lin_with_one_slope() -> None:
    rng = np.random.default_rng(11)
    x, arm = rng.normal(0, 1, 5000), np.tile([0, 1], 2500)
    one, zero = arms_of({"y": 2 * x + arm * x + rng.normal(0, 1, 5000), "x": x}, arm)
    lin, cuped = lin_difference(one, zero, "y", ["x"]), cuped_difference(one, zero, "y", "x")
    assert lin.se == pytest.approx(cuped.se, rel=1e-3) and lin.value == pytest.approx(cuped.value, abs=0.1 * lin.se)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 9])
def test_few_units_are_not_adjusted(n: int) -> None:
    rng = np.random.default_rng(12)
    one, zero = (Moments.of({"y": rng.normal(0, 1, m), "x": rng.normal(0, 1, m)}) for m in (n, 100))
    e = lin_difference(one, zero, "y", ["x"])
    assert e.adjusted is False
    if n < 2:
        assert decide(Claim(measure="y"), e).outcome == "open"


def test_outcome_that_the_covariate_tells_exactly() -> None:
    x, arm = np.arange(100.0), np.tile([0, 1], 50)
    e = lin_difference(*arms_of({"y": 3 * x + 2, "x": x}, arm), "y", ["x"])
    assert (e.low, e.high) == (-np.inf, np.inf) and e.value == pytest.approx(0, abs=1e-9)
