"""Claims, estimates, laws: what holds for every verdict."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambidex.stats import laws
from ambidex.stats.claim import Claim, Verdict, decide, decide_all
from ambidex.stats.estimate import Estimate, exact
from ambidex.stats.families import holm

LAWS = ("normal", "student", "newcombe", "log-normal", "asymptotic-sequence", "log-sequence", "unseen", "logit-normal")


@st.composite
def estimates(draw: st.DrawFn, names: tuple[str, ...] = LAWS) -> Estimate:
    """Any estimate that a method could return."""
    name = draw(st.sampled_from(names))
    value = draw(st.floats(-0.9, 5))
    se = draw(st.floats(1e-6, 10))
    n = draw(st.integers(2, 10**7))
    match name:
        case "student":
            law = laws.student(draw(st.floats(1, 1e8)))
        case "newcombe":
            n1, n0 = draw(st.integers(1, 10_000)), draw(st.integers(1, 10_000))
            x1, x0 = draw(st.integers(0, n1)), draw(st.integers(0, n0))
            law = laws.newcombe(x1, n1, x0, n0, draw(st.none() | st.floats(0, 1)))
            value = x1 / n1 - x0 / n0
        case "log-normal":
            law = laws.log_normal(se)
        case "asymptotic-sequence":
            law = laws.asymptotic_sequence(n, 5000)
        case "log-sequence":
            law = laws.log_sequence(se, n, 5000)
        case "unseen":
            law = laws.unseen(draw(st.floats(0.1, 10)), n)
        case "logit-normal":
            value = draw(st.floats(0, 1))
            law = laws.logit_normal(se)
        case _:
            law = laws.normal()
    return Estimate(name="x", kind="difference", value=value, low=0, high=0, n=n, se=se, law=law, anytime=True)


@st.composite
def claims(draw: st.DrawFn) -> Claim:
    relation = draw(st.sampled_from(("above", "below", "outside")))
    margin = draw(st.floats(0.001, 1)) if relation == "outside" else draw(st.floats(-1, 1))
    return Claim(
        measure="x",
        relation=relation,
        margin=margin,
        alpha=draw(st.floats(1e-6, 0.5)),
        sides=draw(st.sampled_from((1, 2))),
        target=draw(st.none() | st.floats(-1, 1)),
    )


@given(claims(), estimates(), st.floats(1e-6, 0.5))
def test_more_alpha_never_undecides(claim: Claim, e: Estimate, other: float) -> None:
    strict, loose = sorted((claim.alpha, other))
    first = decide(replace(claim, alpha=strict), e)
    if first.outcome != "open":
        assert decide(replace(claim, alpha=loose), e).outcome == first.outcome


@given(claims(), estimates())
def test_bounds_hold_the_verdict(claim: Claim, e: Estimate) -> None:
    """Supported and refuted exclude each other, and each is what the bounds shown say."""
    v = decide(claim, e)
    low, high, m = v.estimate.low, v.estimate.high, claim.margin
    assert low <= high
    says = {
        "above": (low > m, high < m),
        "below": (high < m, low > m),
        "outside": (low > m or high < -m, low > -m and high < m),
    }[claim.relation]
    assert not all(says)
    assert v.outcome == ("supported" if says[0] else "refuted" if says[1] else "open")
    assert v.needed is None or (v.outcome == "open" and v.needed >= 1)


@given(claims(), estimates())
def test_above_mirrors_below(claim: Claim, e: Estimate) -> None:
    if claim.relation == "outside":
        return
    other = replace(claim, relation="below" if claim.relation == "above" else "above")
    mirror = {"supported": "refuted", "refuted": "supported", "open": "open"}
    assert decide(other, e).outcome == mirror[decide(claim, e).outcome]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(claims(), estimates()), min_size=1, max_size=5))
def test_families_never_decide_more_than_none(pairs: list[tuple[Claim, Estimate]]) -> None:
    stated, found = [replace(c, alpha=0.05) for c, _ in pairs], [e for _, e in pairs]
    alone = decide_all(stated, found, family="none")
    decided = {f: decide_all(stated, found, family=f) for f in ("bonferroni", "holm", "bh")}  # type: ignore[arg-type]
    for i, v in enumerate(alone):
        order = [decided[f][i].outcome for f in ("bonferroni", "holm", "bh")] + [v.outcome]
        for stricter, looser in itertools.pairwise(order):
            if stricter != "open":
                assert looser == stricter
        assert decided["holm"][i].claim == stated[i]  # the claim shown is the claim stated


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=8))
def test_holm_through_claims_is_holm_on_p(zs: list[float]) -> None:
    found = [Estimate(name="x", kind="difference", value=z, low=0, high=0, n=9, se=1.0, law=laws.normal()) for z in zs]
    verdicts = decide_all([Claim(measure="x") for _ in zs], found)
    adjusted = holm([laws.normal_p(z) for z in zs])
    for v, p in zip(verdicts, adjusted, strict=True):
        if abs(p - 0.05) > 1e-9:
            assert (v.outcome != "open") == (p < 0.05)


def test_an_order_of_equal_claims_changes_nothing() -> None:
    found = [
        Estimate(name=str(z), kind="difference", value=z, low=0, high=0, n=9, se=1.0, law=laws.normal())
        for z in (2.3, -2.6, 0.1)
    ]
    stated = [Claim(measure=e.name) for e in found]
    forward = {v.claim.measure: v.outcome for v in decide_all(stated, found)}
    backward = {v.claim.measure: v.outcome for v in decide_all(stated[::-1], found[::-1])}
    assert forward == backward


def test_too_little_data_is_open_and_says_what_is_needed() -> None:
    e = Estimate(name="x", kind="difference", value=0.01, low=0, high=0, n=1000, se=0.01, law=laws.normal())
    v = decide(Claim(measure="x"), e)
    assert v.outcome == "open"
    # n((1.96 + .842)·.01/.01)² - n
    assert v.needed == math.ceil(1000 * (1.959964 + 0.841621) ** 2 - 1000)
    assert "more units" in v.because
    aimed = decide(Claim(measure="x", target=0.02), e)
    assert aimed.needed is not None and v.needed is not None and aimed.needed < v.needed


def test_units_needed_to_be_inside_a_margin_count_both_sides() -> None:
    """Two one-sided tests: at truth 0 each side needs power .9 for both to have .8 (Schuirmann 1987)."""
    e = Estimate(name="x", kind="difference", value=0.0, low=0, high=0, n=1000, se=0.01, law=laws.normal())
    v = decide(Claim(measure="x", relation="outside", margin=0.01), e)
    assert v.outcome == "open"
    assert v.needed == pytest.approx(1000 * (1.959964 + 1.281552) ** 2 - 1000, abs=2)
    rng = np.random.default_rng(5)
    se = 0.01 * math.sqrt(1000 / (1000 + v.needed))
    centre = rng.normal(0, se, 40_000)
    inside = (np.abs(centre) + 1.959964 * se < 0.01).mean()
    assert inside == pytest.approx(0.8, abs=0.01)


def test_no_value_is_open() -> None:
    bad = math.nan
    e = Estimate(name="x", kind="difference", value=bad, low=bad, high=bad, n=0, level=0.95)
    assert decide(Claim(measure="x"), e).outcome == "open"
    assert decide(Claim(measure="x"), replace(e, low=-math.inf, high=math.inf)).outcome == "open"


def test_a_watched_claim_takes_anytime_bounds_only() -> None:
    e = Estimate(name="x", kind="difference", value=5, low=0, high=0, n=9, se=1.0, law=laws.normal())
    with pytest.raises(ValueError, match="one look"):
        decide(Claim(measure="x", looks="anytime"), e)


def test_bounds_at_another_level_are_not_taken() -> None:
    e = Estimate(name="x", kind="difference", value=5, low=4, high=6, n=9)
    assert decide(Claim(measure="x"), e).outcome == "supported"
    with pytest.raises(ValueError, match="no law"):
        decide(Claim(measure="x", alpha=0.01), e)


def test_evidence_speaks_about_its_own_claim_only() -> None:
    e = Estimate(
        name="x", kind="loss", value=0, low=-1, high=1, n=9, anytime=True, log_e_for=9.0, about=("below", 0.02)
    )
    claim = Claim(measure="x", relation="below", margin=0.02, looks="anytime", sides=1)
    assert decide(claim, e).outcome == "supported"
    with pytest.raises(ValueError, match="evidence is about"):
        decide(replace(claim, margin=0.05), e)
    with pytest.raises(ValueError, match="evidence is about"):
        decide(replace(claim, relation="above"), e)


def test_evidence_acts_at_its_threshold() -> None:
    def at(log_e: float, sides: int) -> Verdict:
        e = Estimate(name="x", kind="loss", value=0, low=-1, high=1, n=9, anytime=True, log_e_for=log_e)
        return decide(Claim(measure="x", looks="anytime", sides=sides), e)  # type: ignore[arg-type]

    assert at(math.log(20), 1).outcome == "supported"
    assert at(math.log(19.9), 1).outcome == "open"
    assert at(math.log(20), 2).outcome == "open"
    assert at(math.log(40), 2).outcome == "supported"


def test_one_side_spends_alpha_on_it() -> None:
    e = Estimate(name="x", kind="difference", value=1.8, low=0, high=0, n=9, se=1.0, law=laws.normal())
    assert decide(Claim(measure="x", sides=1), e).outcome == "supported"
    assert decide(Claim(measure="x", sides=2), e).outcome == "open"


def test_counted_is_never_open() -> None:
    assert (
        decide(Claim(measure="altered", relation="below", margin=0.5), exact("altered", 0, n=3)).outcome == "supported"
    )
    assert decide(Claim(measure="altered", relation="below", margin=0.5), exact("altered", 1, n=3)).outcome == "refuted"
    assert decide(Claim(measure="altered", relation="below", margin=1.0), exact("altered", 1, n=3)).outcome == "refuted"


def test_tiny_alphas_stay_finite() -> None:
    for law in (laws.normal(), laws.student(50), laws.student(1e9)):
        low, high = laws.bounds(law, 0.0, 1.0, 1e-300)
        assert math.isfinite(low) and low == -high and high > 30
    assert laws.bounds(laws.student(3), 0.0, 1.0, 1e-300)[1] > 1e90  # infinity is as true


def test_wrong_claims_are_refused() -> None:
    for bad in (0.0, 1.0, -1.0, 2.0, math.nan):
        with pytest.raises(ValueError, match="alpha"):
            Claim(measure="x", alpha=bad)
    with pytest.raises(ValueError, match="margin"):
        Claim(measure="x", relation="outside")
    with pytest.raises(ValueError, match="margin"):
        Claim(measure="x", margin=math.nan)
    with pytest.raises(ValueError, match="as many"):
        decide_all([Claim(measure="x")], [])


def test_json_has_no_infinity() -> None:
    e = Estimate(name="x", kind="difference", value=1, low=-math.inf, high=math.inf, n=2, p_value=math.nan)
    assert e.to_dict()["low"] is None and e.to_dict()["p_value"] is None


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("law", [laws.normal(), laws.student(3), laws.normal(0, 1), laws.asymptotic_sequence(9, 100)])
def test_no_value_decides_nothing(value: float, law: laws.Law) -> None:
    e = Estimate(name="x", kind="difference", value=value, low=value, high=value, n=9, se=1.0, law=law, anytime=True)
    for claim in (Claim(measure="x"), Claim(measure="x", relation="outside", margin=0.1)):
        verdict = decide(claim, e)
        assert (verdict.outcome, verdict.because) == ("open", "there is no value to judge")
