"""The gate on paired losses: exact where nothing differs, and wrong no more often than alpha allows."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.delivery.gates import loss_gate, paired_claim
from ambidex.settings import GateSettings

SETTINGS = GateSettings()


def outcome(differences: np.ndarray, margin: float) -> str:
    return loss_gate("g", "loss", differences, margin, SETTINGS).outcome


def test_the_same_model_again_is_not_worse_on_enough_rows() -> None:
    """No row has differed: that bounds how often one could, 3.7 in n, and by 1 at most."""
    assert outcome(np.zeros(800), 0.005) == "supported"
    assert outcome(np.zeros(300), 0.005) == "open"


def test_the_same_model_again_is_not_better() -> None:
    assert outcome(np.zeros(300), 0.0) != "supported"


def test_too_few_rows_are_open_and_say_how_many_more() -> None:
    rng = np.random.default_rng(1)
    gate = loss_gate("g", "loss", rng.normal(0.0, 0.2, 60), 0.005, SETTINGS)
    assert gate.outcome == "open"
    assert "more units would decide it" in gate.because


def test_no_row_is_open() -> None:
    assert outcome(np.zeros(0), 0.005) == "open"
    assert outcome(np.array([-0.2]), 0.005) == "open"


def test_a_worse_model_is_refuted() -> None:
    rng = np.random.default_rng(2)
    assert outcome(rng.normal(0.03, 0.1, 4000), 0.005) == "refuted"


@pytest.mark.parametrize(("margin", "truth"), [(0.005, 0.005), (0.0, 0.0)])
def test_at_the_boundary_it_passes_in_at_most_half_alpha(margin: float, truth: float) -> None:
    """2,000 releases exactly at the margin: 2.5% would pass at alpha 5%, two-sided; at most 3.6% may (3 se)."""
    rng = np.random.default_rng(3)
    # Differences of Brier losses are skewed: the worse model is wrong in few rows, and there by much.
    passed = 0
    for _ in range(2000):
        d = rng.choice([-0.05, 0.02, 0.3], p=[0.4, 0.5, 0.1], size=1000)
        passed += outcome(d - 0.02 + truth, margin) == "supported"
    assert passed / 2000 <= 0.036


def test_the_claim_is_stated_before_the_data() -> None:
    claim = paired_claim("loss", 0.005, SETTINGS)
    assert (claim.relation, claim.margin, claim.looks, claim.sides) == ("below", 0.005, "once", 2)
