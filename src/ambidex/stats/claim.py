"""Claims and verdicts: the one way from an estimate to a decision.

A claim is stated before the data is seen. ``decide`` compares it with an estimate and answers
*supported*, *refuted* or *open*. An A/B test, a release gate, a canary and a drift alarm are
all this act; nothing else in ambidex makes a ``Verdict``, and a test keeps it so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from ambidex.stats.estimate import Estimate
from ambidex.stats.laws import normal_quantile, tail_quantile

__all__ = ["Claim", "Verdict", "decide", "decide_all"]

Outcome = Literal["supported", "refuted", "open"]
Relation = Literal["above", "below", "outside"]
Family = Literal["none", "holm", "bh", "bonferroni"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is to be decided, fixed before the data is seen.

    Attributes:
        measure: What the claim is about, as shown (`retention_7, gate_40 against gate_30`).
        relation: ``above`` margin, ``below`` margin, or ``outside`` ±margin (margin > 0).
        margin: In the estimate's unit.
        alpha: Error rate of the claim (of its family, in ``decide_all``), in (0, 1).
        sides: 2 spends alpha/2 each way; 1 spends alpha on the side that acts (roll-outs).
        looks: ``once``, ``planned`` or ``anytime``; an anytime claim takes anytime-valid estimates only, a planned
            one those and estimates whose law knows the looks.
        power: Power for which ``Verdict.needed`` is computed.
        target: Effect that the claim should be able to see, for ``needed``; the observed one if None.
    """

    measure: str
    relation: Relation = "above"
    margin: float = 0.0
    alpha: float = 0.05
    sides: Literal[1, 2] = 2
    looks: Literal["once", "planned", "anytime"] = "once"
    power: float = 0.8
    target: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha must lie in (0, 1), not {self.alpha}")
        if not math.isfinite(self.margin) or not 0 < self.power < 1 or self.sides not in (1, 2):
            raise ValueError(f"no claim: margin {self.margin}, power {self.power}, sides {self.sides}")
        if self.relation == "outside" and not self.margin > 0:
            raise ValueError("an `outside` claim needs a margin above 0")

    @property
    def text(self) -> str:
        """The claim in words.

        >>> Claim(measure="error", relation="below", margin=0.005).text
        'error is below +0.005'
        """
        if self.relation == "outside":
            return f"{self.measure} is outside ±{self.margin:g}"
        margin = f"{self.margin:+g}".replace("-", "−") if self.margin else "0"
        return f"{self.measure} is {self.relation} {margin}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The answer to a claim.

    Attributes:
        claim: What was claimed.
        outcome: ``supported``, ``refuted`` or ``open``.
        because: The reason in one sentence, with the numbers.
        estimate: What it was decided on, with its bounds at the alpha that was used.
        needed: If open: further units needed to decide it with the claim's power; None if unknown.
    """

    claim: Claim
    outcome: Outcome
    because: str
    estimate: Estimate
    needed: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The object of the JSON contract."""
        return {
            "claim": self.claim.text,
            "outcome": self.outcome,
            "because": self.because,
            "needed": self.needed,
        }


def decide(claim: Claim, estimate: Estimate) -> Verdict:
    """Judge one claim.

    Bounds decide where the estimate has a law or bounds; log-evidence decides where it has
    that instead (e-processes: act when the e-value reaches 1/alpha, 2/alpha if two-sided).

    Args:
        claim: Stated before the data was seen.
        estimate: Of the same measure, in the margin's unit.

    Raises:
        ValueError: If a watched or planned claim is given an estimate that holds at one look only, if log-evidence
            speaks about another relation or margin, or if an estimate without a law has bounds at
            another level than the claim spends.

    >>> e = Estimate(name="lift", kind="difference", value=0.02, low=0.01, high=0.03, n=9000)
    >>> decide(Claim(measure="lift"), e).outcome
    'supported'
    """
    if claim.looks == "anytime" and not estimate.anytime:
        raise ValueError(f"claim {claim.measure!r} is watched; {estimate.method!r} holds at one look only")
    if claim.looks == "planned" and not (estimate.anytime or _knows_looks(estimate)):
        raise ValueError(f"claim {claim.measure!r} has planned looks; {estimate.method!r} holds at one look only")
    if estimate.log_e_for is not None or estimate.log_e_against is not None:
        if estimate.about is not None and estimate.about != (claim.relation, claim.margin):
            raise ValueError(f"the evidence is about {estimate.about}, the claim about {claim.text!r}")
        return _by_evidence(claim, estimate)
    return _by_bounds(claim, estimate)


def decide_all(claims: Sequence[Claim], estimates: Sequence[Estimate], *, family: Family = "holm") -> list[Verdict]:
    """Judge a family of claims with its error rate controlled.

    ``holm`` and ``bonferroni`` hold the chance of any false *supported* or *refuted* at alpha, ``bh``
    the expected share of false ones. Each claim is decided on its own bounds at the alpha that the
    correction leaves to it, so that the interval shown is the interval used. Every estimate
    needs a law, except for a family of one or ``none``.

    Source: Holm (1979); Benjamini & Hochberg (1995), with intervals at the rejected level
    (Benjamini & Yekutieli 2005).
    """
    if len(claims) != len(estimates):
        raise ValueError("as many claims as estimates, please")
    m = len(claims)
    if family == "none" or m <= 1:
        return [decide(c, e) for c, e in zip(claims, estimates, strict=True)]
    if family == "bonferroni":
        return [_decide_at(c, e, c.alpha / m) for c, e in zip(claims, estimates, strict=True)]
    reach = [_smallest_alpha(c, e) for c, e in zip(claims, estimates, strict=True)]
    order = sorted(range(m), key=lambda i: reach[i])
    share: list[float] = [1 / m] * m
    if family == "holm":
        for rank, i in enumerate(order):
            for j in order[rank:]:
                share[j] = 1 / (m - rank)
            if reach[i] > claims[i].alpha / (m - rank):
                break
    else:
        passed = [r for r, i in enumerate(order, start=1) if reach[i] <= r * claims[i].alpha / m]
        share = [max(passed, default=1) / m] * m
    return [_decide_at(c, e, c.alpha * s) for c, e, s in zip(claims, estimates, share, strict=True)]


def _decide_at(claim: Claim, estimate: Estimate, alpha: float) -> Verdict:
    verdict = decide(replace(claim, alpha=alpha), estimate)
    return replace(verdict, claim=claim)


def _two_sided(claim: Claim) -> float:
    """Alpha at which two-sided bounds give each side what the claim spends on it."""
    return claim.alpha if claim.sides == 2 else min(2 * claim.alpha, 1 - 1e-12)


def _smallest_alpha(claim: Claim, estimate: Estimate) -> float:
    """Smallest alpha at which the claim leaves *open*: the p-value of the claim, by bisection."""
    if (law := estimate.law) is not None and law.looks:  # one look's alpha, then what all looks make of it
        from ambidex.stats.sequential import planned_p

        alone = replace(estimate, law=replace(law, looks=(), final=False))
        one = _two_sided(replace(claim, alpha=min(_smallest_alpha(replace(claim, looks="once"), alone), 1 - 1e-9)))
        return min(planned_p(law.looks, one / law.among, final=law.final) * law.among / (3 - claim.sides), 1.0)

    def settled(alpha: float) -> bool:
        return decide(replace(claim, alpha=alpha), estimate).outcome != "open"

    low, high = 1e-300, 1 - 1e-9
    if settled(low):
        return low
    if not settled(high):
        return 1.0
    for _ in range(200):
        middle = math.sqrt(low) * math.sqrt(high) if high < 1e-3 else (low + high) / 2
        low, high = (low, middle) if settled(middle) else (middle, high)
        if high - low <= 1e-10 * high:
            break
    return high


def _knows_looks(estimate: Estimate) -> bool:
    """True if the bounds spend what the plan leaves to this look, or are open at any alpha."""
    if estimate.law is not None:
        return bool(estimate.law.looks)
    return estimate.low == -math.inf and estimate.high == math.inf


def _by_bounds(claim: Claim, estimate: Estimate) -> Verdict:
    e = estimate.at(_two_sided(claim))
    m = claim.margin
    if not math.isfinite(e.value) or math.isnan(e.low) or math.isnan(e.high):
        return Verdict(claim=claim, outcome="open", because="there is no value to judge", estimate=e)
    match claim.relation:
        case "above":
            supported, refuted = e.low > m, e.high < m
        case "below":
            supported, refuted = e.high < m, e.low > m
        case "outside":
            supported, refuted = e.low > m or e.high < -m, -m < e.low and e.high < m
    if e.law is not None and e.law.name == "counted":  # nothing was sampled, so nothing is open
        refuted = not supported
    outcome: Outcome = "supported" if supported else "refuted" if refuted else "open"
    because = f"{_number(e.value)} ({_number(e.low)} to {_number(e.high)}, {100 * e.level:.4g}% interval)"
    needed = _needed(claim, e) if outcome == "open" else None
    if math.isinf(e.low) and math.isinf(e.high):
        needed = None  # more units alone do not bring an interval: clusters, placebos or events are what lacks
        because = f"{_number(e.value)}, but too few units, or none that differ, to tell how far off it may be"
    elif outcome == "open":
        because += f" reaches across {_margin(claim)}"
        if needed is not None:
            because += f"; about {needed:,} more units would decide it if the truth is {_number(_truth(claim, e))}"
    elif e.law is not None and e.law.name == "counted":
        because = f"{_number(e.value)} counted, limit {_margin(claim)}"
    return Verdict(claim=claim, outcome=outcome, because=because, estimate=e, needed=needed)


def _by_evidence(claim: Claim, e: Estimate) -> Verdict:
    threshold = math.log(claim.sides / claim.alpha)
    for_, against = e.log_e_for, e.log_e_against
    best = max(for_ if for_ is not None else -math.inf, against if against is not None else -math.inf)
    outcome: Outcome = "open"
    if for_ is not None and for_ >= threshold:
        outcome = "supported"
    elif against is not None and against >= threshold:
        outcome = "refuted"
    because = f"evidence e = {_e(best)}, acts at {_e(threshold)}; estimate {_number(e.value)}"
    needed = None
    if outcome == "open" and best > 0 and e.n > 0:
        total = e.n * (threshold / best)
        if total <= 1e12:
            needed = max(1, math.ceil(total - e.n))
            because += f"; about {needed:,} more units at this rate"
    return Verdict(claim=claim, outcome=outcome, because=because, estimate=e, needed=needed)


def _truth(claim: Claim, e: Estimate) -> float:
    return e.value if claim.target is None else claim.target


def _needed(claim: Claim, e: Estimate) -> int | None:
    """Further units for the claim's power: n·((z(1-α/2)+z(power))·se/(target-m))² - n."""
    z = tail_quantile(_two_sided(claim))
    wide = (e.high - e.low) / 2
    se = e.se if e.se is not None else wide / z if z > 0 else math.inf
    if not 0 < se < math.inf or e.n <= 0:
        return None
    # The bounds of a planned look are wide for its being early; further units bring the looks that are not.
    wider = e.law is not None and not e.law.looks and e.law.name in ("student", "drawn")
    if (e.anytime or wider) and math.isfinite(wide):
        z = wide / se  # than one look at many units: a sequence, a planned look, t or permutations of few units
    truth = _truth(claim, e)
    if claim.relation == "outside" and abs(truth) < claim.margin:
        times = _times_inside(claim, truth / se, claim.margin / se, z)
    else:
        margins = [claim.margin] if claim.relation != "outside" else [claim.margin, -claim.margin]
        gap = min(abs(truth - m) for m in margins)
        times = (z + normal_quantile(claim.power)) * se / gap if gap else math.inf
    if not 0 < times < 1e6:
        return None
    total = e.n * times * times
    return max(1, math.ceil(total - e.n)) if total <= 1e12 else None


def _times_inside(claim: Claim, truth: float, margin: float, z: float) -> float:
    """How many times smaller the standard error must be for both bounds to lie inside ±margin, by bisection.

    Both one-sided tests must reject: power Φ(k·(m−t) − z) + Φ(k·(m+t) − z) − 1, with t and m in standard errors.
    Source: Schuirmann (1987), two one-sided tests.
    """

    def power(k: float) -> float:
        ends = (k * (margin - truth) - z, k * (margin + truth) - z)
        return sum(math.erfc(-x / math.sqrt(2)) / 2 for x in ends) - 1

    low, high = 0.0, 1.0
    while power(high) < claim.power:
        low, high = high, 2 * high
        if high > 1e6:
            return math.inf
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= claim.power else (middle, high)
    return high


def _margin(claim: Claim) -> str:
    return f"±{claim.margin:g}" if claim.relation == "outside" else _number(claim.margin)


def _number(x: float) -> str:
    return f"{x:.4g}".replace("-", "−")


def _e(log_e: float) -> str:
    return f"{math.exp(log_e):.3g}" if log_e < 30 else f"10^{log_e / math.log(10):.0f}"
