"""Published figures, reproduced by the kernel."""

from __future__ import annotations

import csv
import math

import numpy as np
import pytest

from ambidex.stats import laws
from ambidex.stats.checks import sample_ratio
from ambidex.stats.claim import Claim, decide, decide_all
from ambidex.stats.compare import Level, difference, fisher_p, relative, share_difference, welch
from ambidex.stats.discrimination import auc, delong, delong_paired
from ambidex.stats.estimate import Estimate
from ambidex.stats.families import benjamini_hochberg, holm
from ambidex.stats.sequences import anytime
from ambidex.stats.summaries import Moments
from oracle_rows import check, oracle
from support import shared


def rows_of(path: str) -> list[dict[str, str]]:
    with shared(path).open(newline="", encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def test_delong_on_telco() -> None:
    rows = rows_of("data/churn/telco_customer_churn.csv")
    y = np.array([r["Churn"] == "Yes" for r in rows])
    tenure = -np.array([float(r["tenure"]) for r in rows])
    charges = np.array([float(r["MonthlyCharges"]) for r in rows])
    first, second = delong(y, tenure), delong(y, charges)
    paired = delong_paired(y, charges, tenure)
    assert paired.se is not None and second.se is not None
    check("Q1-23", first.value, first.low, first.high, auc(y, charges), second.se, paired.value / paired.se)


def hillstrom(column: str) -> dict[str, Moments]:
    rows = rows_of("data/campaigns/hillstrom_email.csv")
    arms = {"Mens E-Mail", "Womens E-Mail", "No E-Mail"}
    return {arm: Moments.of({column: [float(r[column]) for r in rows if r["segment"] == arm]}) for arm in arms}


@pytest.mark.parametrize(
    ("row", "column", "arm", "parts"),
    [
        ("Q2-02", "visit", "Mens E-Mail", "value se low high"),
        ("Q2-03", "visit", "Womens E-Mail", "value se low high"),
        ("Q2-05", "conversion", "Womens E-Mail", "value p_value"),
        ("Q2-06", "spend", "Mens E-Mail", "value se low high"),
        ("Q2-07", "spend", "Womens E-Mail", "value se low high p_value"),
    ],
)
def test_welch_on_hillstrom(row: str, column: str, arm: str, parts: str) -> None:
    moments = hillstrom(column)
    e = welch(moments[arm], moments["No E-Mail"], column)
    check(row, *(float(getattr(e, part)) for part in parts.split()))


def test_arm_sizes_of_hillstrom() -> None:
    sizes = {arm: m.n for arm, m in hillstrom("visit").items()}
    check("Q2-01", sizes["No E-Mail"], sizes["Mens E-Mail"], sizes["Womens E-Mail"], sample_ratio(sizes).p)


def test_cookie_cats() -> None:
    rows = rows_of("data/experiments/cookie_cats.csv")
    sizes = {a: sum(r["version"] == a for r in rows) for a in ("gate_30", "gate_40")}
    kept = {a: sum(r["version"] == a and r["retention_7"] == "TRUE" for r in rows) for a in sizes}
    check("Q2-08", *sample_ratio(sizes))
    e = share_difference(kept["gate_40"], sizes["gate_40"], kept["gate_30"], sizes["gate_30"])
    assert e.p_value is not None
    z = -laws.normal_quantile(1 - e.p_value / 2)
    check("Q2-09", e.value, z, e.p_value, e.low, e.high)


def test_newcombe_and_wilson() -> None:
    e = share_difference(56, 70, 48, 80)
    check("Q2-11", e.low, e.high)
    check("Q2-12", *laws.wilson(81, 263, 0.05), *laws.wilson(0, 20, 0.05))


def test_welch_on_students_sleep() -> None:
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    e = welch(Moments.of({"extra": first}), Moments.of({"extra": second}), "extra")
    assert e.law is not None and e.se is not None and e.p_value is not None
    check("Q2-13", e.value / e.se, e.law.args[0], e.p_value, e.low, e.high)


def test_fisher_is_scipys() -> None:
    from scipy import stats

    rng = np.random.default_rng(3)
    for n1, n0 in [*rng.integers(1, 300, (40, 2)), (300_000, 290_000)]:
        x1, x0 = int(rng.integers(0, min(n1, 9) + 1)), int(rng.integers(0, min(n0, 9) + 1))
        oracle = stats.fisher_exact([[x1, n1 - x1], [x0, n0 - x0]]).pvalue
        assert fisher_p(x1, int(n1), x0, int(n0)) == pytest.approx(oracle, rel=1e-6)


def test_fisher_on_tea() -> None:
    check("Q2-15", fisher_p(3, 4, 1, 4), of=slice(0, 1))


def test_families() -> None:
    p = [
        0.0001,
        0.0004,
        0.0019,
        0.0095,
        0.0201,
        0.0278,
        0.0298,
        0.0344,
        0.0459,
        0.3240,
        0.4262,
        0.5719,
        0.6528,
        0.759,
        1,
    ]
    check("Q2-26", sum(x <= 0.05 / 15 for x in p), (holm(p) <= 0.05).sum(), (benjamini_hochberg(p) <= 0.05).sum())
    # The same through claims: estimates whose two-sided p are these.
    estimates = []
    for x in p:
        z = -laws.normal_quantile(x / 2) if x < 1 else 0.0
        estimates.append(Estimate(name="x", kind="difference", value=z, low=0, high=0, n=9, se=1.0, law=laws.normal()))
    claims = [Claim(measure="x") for _ in p]
    for family, want in (("bonferroni", 3), ("holm", 3), ("bh", 4)):
        verdicts = decide_all(claims, estimates, family=family)  # type: ignore[arg-type]
        assert sum(v.outcome != "open" for v in verdicts) == want, family


def arm(n: int, mean: float, sd: float) -> Level:
    return Level(mean, sd / math.sqrt(n), n, "mean")


def test_growthbook_difference() -> None:
    e = difference(arm(3461, 0.70, 6.2), arm(3407, 0.41, 3.9))
    assert e.se is not None and e.p_value is not None
    check("Q2-27", e.value, e.se, e.low, e.high, e.p_value)


def test_log_ratio_rather_than_linear_lift() -> None:
    e = relative(arm(3461, 0.70, 6.2), arm(3407, 0.41, 3.9))
    assert e is not None and e.p_value is not None
    rounded = e.at(laws.normal_p(1.96))  # the row's formula rounds z to 1.96
    check("Q2-29", rounded.low, rounded.high, e.p_value, of=slice(2, 5))
    assert e.p_value < 0.05 < oracle("Q2-28")[0][4]  # the linear variant turns the verdict round


def test_asymptotic_sequence() -> None:
    m1, n1, m0, n0 = 2422 / 3461, 3461, 1396 / 3000, 3000
    v1, v0 = m1 * (1 - m1) / n1, m0 * (1 - m0) / n0
    linear = math.sqrt(v1 / m0**2 + v0 * m1**2 / m0**4)  # the row is a linear lift, used here for its formula
    e = Estimate(name="x", kind="relative", value=m1 / m0 - 1, low=0, high=0, n=n1 + n0, se=linear, law=laws.normal())
    a = anytime(e, fewest=3000, tuned=5000)
    check("Q2-31", a.value, a.low, a.high)
    assert decide(Claim(measure="x", looks="anytime"), a).outcome == "supported"


def test_social_pressure() -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(shared("data/experiments/social_pressure_gotv.parquet"))
    messages, voted = np.array(table["messages"].to_pylist()), table["primary2006"].to_numpy()
    arms = {a: Moments.of({"voted": voted[messages == a]}) for a in ("Neighbors", "Control")}
    e = welch(arms["Neighbors"], arms["Control"], "voted")
    assert e.se is not None
    check("Q2-41", e.value, e.se, arms["Control"].mean_of("voted"))
