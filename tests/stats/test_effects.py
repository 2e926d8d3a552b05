"""Average effects against statsmodels, the evidence of a column, and claims over a family of columns."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from ambidex.stats import effects
from ambidex.stats.design import Design, category, number
from ambidex.stats.families import benjamini_hochberg
from ambidex.stats.laws import normal_quantile
from ambidex.stats.regression import linear, logistic


def table(n: int = 1500, seed: int = 2) -> tuple[dict[str, Any], np.ndarray]:
    rng = np.random.default_rng(seed)
    plan = rng.choice(np.array(["a", "b", "c"], dtype=object), n, p=[0.5, 0.3, 0.2])
    age = rng.uniform(20, 70, n)
    flag = rng.integers(0, 2, n).astype(float)
    logit = -1 + 0.9 * (plan == "b") - 0.8 * (plan == "c") + 0.04 * (age - 45)
    return {"plan": plan, "age": age, "flag": flag}, (rng.random(n) < 1 / (1 + np.exp(-logit))).astype(float)


def design(columns: dict[str, Any], *, straight: bool = False) -> Design:
    return Design(
        (
            category("plan", columns["plan"]),
            number("age", columns["age"], straight=straight),
            number("flag", columns["flag"]),
        )
    )


def test_average_effects_equal_statsmodels() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sm = pytest.importorskip("statsmodels.api")
    columns, y = table()
    one = design(columns)
    x = one.matrix(columns)
    fit = logistic(x, y)
    place = one.slices["plan"]
    made = effects.average_effect(
        fit, x, place, effects.changes(one.terms[0], columns["plan"])[0], name="plan", unit="", adjusted=True
    )
    margins = sm.Logit(y, x).fit(disp=0).get_margeff(dummy=False)
    assert margins is not None
    # statsmodels' discrete effect of one dummy leaves the other level's dummy alone, so it is checked by hand:
    # the mean difference of fitted probabilities, and its error by a numerical gradient.
    oracle = sm.Logit(y, x).fit(disp=0)

    def effect(b: np.ndarray) -> float:
        high, low = x.copy(), x.copy()
        high[:, place], low[:, place] = [1, 0], [0, 0]
        return float((1 / (1 + np.exp(-high @ b)) - 1 / (1 + np.exp(-low @ b))).mean())

    steps = 1e-6 * np.eye(len(oracle.params))
    gradient = np.array([(effect(oracle.params + s) - effect(oracle.params - s)) / 2e-6 for s in steps])
    se = float(np.sqrt(gradient @ oracle.cov_params() @ gradient))
    assert made.value == pytest.approx(100 * effect(oracle.params), abs=1e-6)
    assert made.se == pytest.approx(100 * se, rel=1e-5)
    assert made.low == pytest.approx(100 * (effect(oracle.params) - 1.959964 * se), abs=1e-4)
    assert (made.unit, made.category, made.base, made.adjusted) == ("points", "b", "a", True)


def test_a_two_valued_number_goes_from_0_to_1_and_equals_get_margeff() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sm = pytest.importorskip("statsmodels.api")
    columns, y = table()
    one = design(columns, straight=True)
    x = one.matrix(columns)
    change = effects.changes(one.terms[2], columns["flag"])[0]
    made = effects.average_effect(logistic(x, y), x, one.slices["flag"], change, name="flag", unit="", adjusted=True)
    margins = sm.Logit(y, x).fit(disp=0).get_margeff(dummy=True)
    assert made.value == pytest.approx(100 * margins.margeff[-1], abs=1e-6)
    assert made.se == pytest.approx(100 * margins.margeff_se[-1], rel=1e-5)
    assert change.text == "from 0 to 1"


def test_a_linear_effect_is_the_difference_of_means_with_welchs_error() -> None:
    columns, _ = table()
    rng = np.random.default_rng(0)
    y = np.where(columns["plan"] == "b", 3.0, 1.0) + rng.normal(size=len(columns["plan"]))
    term = category("plan", columns["plan"])
    x = np.column_stack([np.ones(len(y)), term.matrix(columns["plan"])])
    change = effects.changes(term, columns["plan"])[0]
    made = effects.average_effect(linear(x, y), x, slice(1, 3), change, name="plan", unit="EUR", adjusted=False)
    b, a = y[columns["plan"] == "b"], y[columns["plan"] == "a"]
    assert made.value == pytest.approx(b.mean() - a.mean())
    assert made.se == pytest.approx(np.sqrt(b.var(ddof=1) / len(b) + a.var(ddof=1) / len(a)), rel=1e-9)
    assert made.unit == "EUR"


def test_a_number_is_read_between_its_quartiles() -> None:
    x = np.arange(1.0, 101.0)
    (change,) = effects.changes(number("age", x), x)
    assert change.text == "from 25 to 75 (25th to 75th percentile)"
    mostly_zero = np.concatenate([np.zeros(85), np.arange(1.0, 16.0)])
    (change,) = effects.changes(number("calls", mostly_zero), mostly_zero)
    assert change.text == "from 0 to 5 (10th to 90th percentile)"
    assert effects.changes(number("n", np.full(9, 3.0)), np.full(9, 3.0)) == []


def test_the_evidence_is_the_joint_test() -> None:
    columns, y = table()
    one = design(columns)
    fit = logistic(one.matrix(columns), y)
    e = effects.link(fit, one.slices["plan"], "plan", outcome="churn")
    assert e.p_value is not None
    assert 2 * (1 - 0.5) * e.p_value == pytest.approx(e.p_value)
    assert e.value == pytest.approx(-normal_quantile(e.p_value / 2))
    assert e.se == 1


@pytest.mark.parametrize("seed", range(6))
def test_claims_over_a_family_are_benjamini_hochberg_on_the_joint_tests(seed: int) -> None:
    columns, y = table(400, seed)
    rng = np.random.default_rng(seed)
    noise = {f"x{i}": rng.normal(size=400) for i in range(12)}
    everything = {**columns, **noise}
    one = Design((*design(columns).terms, *(number(k, v, straight=True) for k, v in noise.items())))
    fit = logistic(one.matrix(everything), y)
    links = [effects.link(fit, place, name, outcome="y") for name, place in one.slices.items()]
    q = benjamini_hochberg([e.p_value for e in links])
    for alpha in (0.01, 0.10, 0.5):
        verdicts = effects.goes_with(links, alpha=alpha)
        assert [v.outcome == "supported" for v in verdicts] == (q <= alpha).tolist()
        assert all(v.outcome != "refuted" for v in verdicts)


def test_no_evidence_is_open_and_overwhelming_evidence_is_finite() -> None:
    x = np.column_stack([np.ones(4000), np.r_[np.zeros(2000), np.ones(2000)]])
    y = np.r_[np.zeros(2000), np.ones(2000)].copy()
    y[::50] = 1 - y[::50]
    strong = effects.link(linear(x, y), slice(1, 2), "x", outcome="y")
    assert np.isfinite(strong.value)
    assert strong.p_value is not None
    assert strong.p_value > 0
    gone = effects.link(linear(np.column_stack([x, x[:, 1]]), y), slice(2, 3), "twin", outcome="y")
    assert [v.outcome for v in effects.goes_with([strong, gone])] == ["supported", "open"]


def test_importance_of_noise_is_near_zero() -> None:
    columns, y = table()
    rng = np.random.default_rng(9)
    columns["noise"] = rng.normal(size=len(y))
    terms = (*design(columns).terms, number("noise", columns["noise"]))
    one = Design(terms)
    fit = logistic(one.matrix(columns), y)
    score = {}
    for term in terms:
        alone = logistic(np.column_stack([np.ones(len(y)), term.matrix(columns[term.name])]), y)
        score[term.name] = effects.importance(alone, fit, one.slices[term.name])
    assert max(score["noise"], score["flag"]) < 5 < 50 < min(score["plan"], score["age"])


@pytest.mark.slow
def test_s7_false_share_and_power() -> None:
    """30 correlated columns, 8 true: at most 12% of those named are false, at least 90% of the true are named."""
    false, power = [], []
    lag = 0.6 ** np.abs(np.subtract.outer(np.arange(30), np.arange(30)))
    root = np.linalg.cholesky(lag)
    for seed in range(200):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(2000, 30)) @ root.T
        b = np.zeros(30)
        b[rng.permutation(30)[:8]] = 0.35 * rng.choice([-1, 1], 8)
        y = (rng.random(2000) < 1 / (1 + np.exp(-(x @ b)))).astype(float)
        fit = logistic(np.column_stack([np.ones(2000), x]), y)
        links = [effects.link(fit, slice(i, i + 1), f"x{i}", outcome="y") for i in range(1, 31)]
        named = np.array([v.outcome == "supported" for v in effects.goes_with(links)])
        false.append((named & (b == 0)).sum() / max(named.sum(), 1))
        power.append((named & (b != 0)).sum() / 8)
    assert np.mean(false) <= 0.12
    assert np.mean(power) >= 0.90
