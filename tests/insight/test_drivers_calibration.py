"""How often ``drivers`` is wrong where the truth is known: fixed seeds, the public verb."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.insight.drivers import drivers
from support import shared

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def correlated(seed: int, n: int = 2000, k: int = 30) -> tuple[pa.Table, set[str]]:
    """Columns of an AR(.6) chain, eight of which move the log-odds by .4 each; and which."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, k))
    x = z.copy()
    for j in range(1, k):
        x[:, j] = 0.6 * x[:, j - 1] + 0.8 * z[:, j]
    true = rng.choice(k, 8, replace=False)
    b = np.zeros(k)
    b[true] = 0.4 * rng.choice([-1, 1], 8)
    y = rng.random(n) < 1 / (1 + np.exp(-(x @ b - 0.5)))
    columns = {f"x{i}": x[:, i] for i in range(k)}
    return pa.table({**columns, "y": np.where(y, "yes", "no")}), {f"x{i}" for i in true}


def test_s7_false_share_and_power_through_the_verb() -> None:
    """At most 12% of those named are false, at least 90% of the true are named."""
    false, power = [], []
    for seed in range(40):
        table, true = correlated(seed)
        answer = drivers(table, target="y")
        named = {r["column"] for r in answer.tables["Columns"] if r["verdict"] == "supported"}
        false.append(len(named - true) / max(len(named), 1))
        power.append(len(named & true) / 8)
    print("false share", np.mean(false), "power", np.mean(power))
    assert np.mean(false) <= 0.12 and np.mean(power) >= 0.90


@pytest.mark.parametrize("part", range(4))
def test_s8_a_permuted_outcome_is_nothing_reliable(part: int) -> None:
    """Telco's columns with a shuffled outcome, 400 times: at least 85% of the answers say that nothing is reliable."""
    table = read(shared("data/churn/telco_customer_churn.csv")).head(1500)
    labels = table.text("Churn")
    quiet = 0
    for seed in range(100 * part, 100 * part + 100):
        shuffled = np.random.default_rng(seed).permutation(labels)
        answer = drivers(table.with_column("Churn", pa.array(shuffled.tolist())), target="Churn")
        quiet += answer.headline.startswith("Nothing")
    print("nothing reliable", quiet)
    assert quiet >= 85
