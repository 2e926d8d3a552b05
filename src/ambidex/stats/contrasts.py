"""Methods that other tools use for the same questions: for comparison, and for those who ask for them.

None of them is a default. The linear lift is here so that tests can show where its verdict differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ambidex.stats import laws
from ambidex.stats.compare import Level
from ambidex.stats.estimate import Estimate

__all__ = ["NormalPosterior", "Proportions", "fieller", "k_proportions", "linear_lift", "normal_posterior"]


class Proportions(NamedTuple):
    """Whether k shares are one.

    Attributes:
        chi2: Pearson's statistic, without continuity correction.
        df: k - 1.
        p: Its p-value; NaN where all units agree.
    """

    chi2: float
    df: int
    p: float


def k_proportions(yes: Sequence[int], n: Sequence[int]) -> Proportions:
    """Are k shares yes/n all the same?

    Source: Pearson's chi-square test of homogeneity, as R's ``prop.test`` for more than two groups.

    Args:
        yes: Successes per group, shape (k,).
        n: Units per group, shape (k,).

    Raises:
        ValueError: If there are fewer than two groups, an empty one, or more successes than units.

    >>> chi2, df, p = k_proportions([83, 90, 129, 70], [86, 93, 136, 82])
    >>> round(chi2, 1), df, round(p, 6)
    (12.6, 3, 0.005585)
    """
    if len(yes) != len(n) or len(n) < 2 or any(not 0 <= x <= m or m < 1 for x, m in zip(yes, n, strict=True)):
        raise ValueError(f"no groups to compare: {list(yes)} of {list(n)}")
    share, df = sum(yes) / sum(n), len(n) - 1
    if share in (0.0, 1.0):
        return Proportions(0.0, df, math.nan)
    chi2 = sum((x - m * share) ** 2 / (m * share * (1 - share)) for x, m in zip(yes, n, strict=True))
    from scipy import special

    return Proportions(float(chi2), df, float(special.chdtrc(df, chi2)))


def linear_lift(candidate: Level, baseline: Level, *, name: str = "", alpha: float = 0.05, **labels: Any) -> Estimate:
    """Lift with a standard error by the linear delta method: CONTRAST, refused as a default.

    Its interval is symmetric around the lift, and can disagree with the difference's: p .062 beside .020.

    Source: Deng, Knoblich & Lu (2018), KDD, section 3.1: s1²/m0² + s0²·m1²/m0⁴, Welch's degrees of freedom.

    Raises:
        ValueError: If the baseline is 0 or an error is not known.

    >>> e = linear_lift(Level(0.70, 6.2 / 3461**0.5, 3461, "mean"), Level(0.41, 3.9 / 3407**0.5, 3407, "mean"))
    >>> round(e.value, 4), round(e.p_value, 4)
    (0.7073, 0.0619)
    """
    m1, m0 = candidate.value, baseline.value
    v1, v0 = candidate.se**2, baseline.se**2
    if m0 == 0 or not v1 + v0 > 0:
        raise ValueError(f"no lift over {m0} with errors {candidate.se} and {baseline.se}")
    value, se = m1 / m0 - 1, math.sqrt(v1 / m0**2 + v0 * m1**2 / m0**4)
    df = (v1 + v0) ** 2 / (v1**2 / (candidate.n - 1) + v0**2 / (baseline.n - 1))
    return Estimate(
        name=name,
        kind="relative",
        value=value,
        low=-math.inf,
        high=math.inf,
        n=candidate.n + baseline.n,
        se=se,
        law=laws.student(df),
        p_value=laws.student_p(value / se, df),
        **{"method": "linear delta method", "unit": "relative", **labels},
    ).at(alpha)


def fieller(candidate: Level, baseline: Level, *, alpha: float = 0.05) -> tuple[float, float]:
    """Bounds of the lift by Fieller's theorem: the lifts δ for which m1 - (1+δ)·m0 is not told from 0.

    Source: Fieller (1954), JRSS B 16, 175-185; normal quantiles.

    Returns:
        Infinite both ways where the baseline is not told from 0.

    >>> one, zero = Level(0.70, 6.2 / 3461**0.5, 3461, "mean"), Level(0.41, 3.9 / 3407**0.5, 3407, "mean")
    >>> [round(b, 3) for b in fieller(one, zero)]
    [0.094, 1.708]
    """
    z2 = laws.tail_quantile(alpha) ** 2
    m1, m0, v1, v0 = candidate.value, baseline.value, candidate.se**2, baseline.se**2
    a, b, c = m0**2 - z2 * v0, m1 * m0, m1**2 - z2 * v1
    if a <= 0:
        return -math.inf, math.inf
    root = math.sqrt(max(b * b - a * c, 0.0))
    return (b - root) / a - 1, (b + root) / a - 1


@dataclass(frozen=True, slots=True)
class NormalPosterior:
    """What is believed of an effect after the data, if it is normal.

    Attributes:
        mean: In the effect's unit.
        sd: In the effect's unit.
    """

    mean: float
    sd: float

    @property
    def chance_to_win(self) -> float:
        """Probability that the effect is above 0."""
        return 0.5 * math.erfc(-self.mean / self.sd / math.sqrt(2)) if self.sd > 0 else float(self.mean > 0)

    @property
    def risk_control(self) -> float:
        """Expected loss of staying with the control: the mean of max(effect, 0)."""
        if not self.sd > 0:
            return max(self.mean, 0.0)
        density = math.exp(-((self.mean / self.sd) ** 2) / 2) / math.sqrt(2 * math.pi)
        return self.mean * self.chance_to_win + self.sd * density

    @property
    def risk_treatment(self) -> float:
        """Expected loss of taking the candidate: the mean of max(-effect, 0)."""
        return max(self.risk_control - self.mean, 0.0)


def normal_posterior(
    value: float, se: float, *, prior_mean: float = 0.0, prior_sd: float = math.inf
) -> NormalPosterior:
    """The Bayesian view of an estimate with a normal error and a normal (or flat) prior.

    "95% to win" at repeated looks is a false win in 58.9% of 100 looks: it is no licence to peek.

    Source: Gelman et al. (2013), Bayesian Data Analysis, section 2.5, eq. 2.12.

    Args:
        value: Estimate.
        se: Its standard error, > 0.
        prior_mean: Of the effect, before the data.
        prior_sd: Infinite for a flat prior.

    Raises:
        ValueError: If a standard error or deviation is not positive.

    >>> p = normal_posterior(0.05, 0.03572)
    >>> round(p.chance_to_win, 3), round(p.risk_control, 4), round(p.risk_treatment, 4)
    (0.919, 0.0513, 0.0013)
    """
    if not se > 0 or not prior_sd > 0:
        raise ValueError(f"errors must be positive: se {se}, prior {prior_sd}")
    if math.isinf(prior_sd):
        return NormalPosterior(value, se)
    data, prior = 1 / se**2, 1 / prior_sd**2
    return NormalPosterior((value * data + prior_mean * prior) / (data + prior), math.sqrt(1 / (data + prior)))
