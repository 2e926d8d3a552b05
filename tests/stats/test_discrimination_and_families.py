"""AUC and its error; families of p-values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from statsmodels.stats.multitest import multipletests

from ambidex.stats.claim import Claim, decide
from ambidex.stats.discrimination import auc, delong, delong_paired
from ambidex.stats.families import benjamini_hochberg, holm

labelled = st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=4, max_size=60)


@given(labelled)
def test_auc_is_scikit_learns(rows: list[tuple[bool, int]]) -> None:
    y, s = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    if y.all() or not y.any():
        assert math.isnan(auc(y, s))
    else:
        assert auc(y, s) == pytest.approx(roc_auc_score(y, s))


@given(labelled)
def test_delong_by_the_pair_matrix(rows: list[tuple[bool, int]]) -> None:
    y, s = np.array([r[0] for r in rows]), np.array([r[1] for r in rows], dtype=float)
    e = delong(y, s)
    if min(y.sum(), (~y).sum()) < 2:
        assert decide(Claim(measure="auc", margin=0.5), e).outcome == "open"
        return
    pairs = (s[y][:, None] > s[~y]) + 0.5 * (s[y][:, None] == s[~y])
    variance = pairs.mean(1).var(ddof=1) / y.sum() + pairs.mean(0).var(ddof=1) / (~y).sum()
    assert e.value == pytest.approx(pairs.mean())
    if variance > 1e-12:
        assert e.se == pytest.approx(math.sqrt(variance))
    assert 0 <= e.low <= e.value <= e.high <= 1


def test_a_perfect_score_is_not_certain() -> None:
    e = delong([0] * 10 + [1] * 10, range(20))
    assert e.value == 1 and 0.8 < e.low < 0.95 and e.high == 1
    more = delong([0] * 1000 + [1] * 1000, range(2000))
    assert more.low > 0.998


def test_one_score_against_itself_differs_by_nothing() -> None:
    rng = np.random.default_rng(0)
    y, s = rng.random(300) < 0.3, rng.normal(size=300)
    e = delong_paired(y, s, np.exp(s))
    assert (e.value, e.low, e.high, e.p_value) == (0, 0, 0, 1)
    assert delong_paired(y, s, s + rng.normal(size=300)).value != 0


@pytest.mark.parametrize(
    ("y", "s", "why"),
    [
        ([0, 1], [1.0], "long"),
        ([0, 2], [1.0, 2.0], "0 and 1"),
        ([0, 1], [1.0, math.nan], "NaN"),
        ([[0]], [[1]], "long"),
    ],
)
def test_scores_that_cannot_be_ranked(y: list[int], s: list[float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        auc(y, s)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_adjusted_p_is_statsmodels(p: list[float]) -> None:
    for mine, name in ((benjamini_hochberg, "fdr_bh"), (holm, "holm")):
        np.testing.assert_allclose(mine(p), multipletests(p, method=name)[1], atol=1e-12)
    assert (holm(p) >= benjamini_hochberg(p) - 1e-15).all() and (holm(p) >= np.array(p) - 1e-15).all()


def test_untested_hypotheses_do_not_count() -> None:
    got = benjamini_hochberg([0.01, math.nan, 0.02])
    assert got[0] == 0.02 and math.isnan(got[1])
    assert benjamini_hochberg([]).size == 0
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([1.2])
