"""Evidence that may be looked at as often as one likes.

``anytime`` widens an ordinary estimate to a confidence sequence. ``Bets`` is a betting e-process on
paired losses: what a shadow or canary is judged by. ``step`` is the e-detector's update, what a
monitor keeps between looks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate

__all__ = ["GRID", "TUNED", "Bets", "anytime", "betting", "log_e_from_p", "mean_evidence", "step"]

Floats = NDArray[np.float64]

TUNED = 5000
"""n* of a confidence sequence if nothing else was planned: fixed before the data, as validity asks."""

GRID = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
"""Bet sizes, as shares of the largest bet that cannot ruin (every factor stays above 0)."""

FEWEST = 50
"""Units an arm must have before an asymptotic sequence says anything: it is no exact bound."""


def anytime(estimate: Estimate, *, fewest: int, tuned: int = TUNED) -> Estimate:
    """The estimate with bounds that hold at every look at once.

    Below ``FEWEST`` units in an arm, or without a standard error, the bounds stay open: the
    sequence is asymptotic, and an early look at 0 of 20 against 0 of 20 has no spread to scale it.

    Source: Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas (2021), arXiv:2103.06476, eq. 14; around
    the log ratio for a lift, which is as asymptotically linear.

    Args:
        estimate: Of two arms (or paired), with ``se``; ``n`` counts all units seen.
        fewest: Units in the smaller arm; for shares ten times its fewer of yes and no, if that is less.
        tuned: n*, all units at which the sequence is tightest; fixed before the first look.

    Returns:
        The estimate with ``anytime`` True and an always-valid p-value.

    >>> e = Estimate(name="x", kind="difference", value=0.3, low=0, high=1, n=5000, se=0.1, law=laws.normal())
    >>> a = anytime(e, fewest=2500)
    >>> round(a.low, 3), round(a.high, 3), round(a.p_value, 4)
    (-0.004, 0.604, 0.055)
    """
    alpha = 1 - estimate.level
    law: laws.Law | None = None
    spread = estimate.se
    if estimate.law is not None and estimate.law.name == "log-normal":
        spread = estimate.law.args[0]
        law = laws.log_sequence(spread, estimate.n, tuned)
    elif spread is not None:
        law = laws.asymptotic_sequence(estimate.n, tuned)
    method = f"asymptotic confidence sequence, tuned at {tuned:,} units"
    if law is None or not spread or not math.isfinite(spread) or fewest < FEWEST:
        blank = {"law": None, "low": -math.inf, "high": math.inf, "p_value": None}
        return replace(estimate, anytime=True, method=method, **blank)  # type: ignore[arg-type]  # a mix of types
    centre = math.log1p(estimate.value) if law.name == "log-sequence" else estimate.value
    p_value = _sequence_p(abs(centre), spread, estimate.n, tuned)
    return replace(estimate, anytime=True, method=method, law=law, p_value=p_value).at(alpha)


def _sequence_p(distance: float, se: float, n: int, tuned: int) -> float:
    """Smallest alpha at which the sequence leaves zero out, by bisection on the log of alpha."""
    if distance <= laws.asymptotic_radius(se, n=n, tuned=tuned, alpha=0.999):
        return 1.0
    low, high = math.log(1e-300), math.log(0.999)
    if distance > laws.asymptotic_radius(se, n=n, tuned=tuned, alpha=1e-300):
        return 0.0
    for _ in range(80):
        middle = (low + high) / 2
        out = distance > laws.asymptotic_radius(se, n=n, tuned=tuned, alpha=math.exp(middle))
        low, high = (low, middle) if out else (middle, high)
    return math.exp(high)


@dataclass(frozen=True, slots=True, eq=False)
class Bets:
    """A betting e-process on values in [-reach, reach], kept between looks.

    For the claim "mean above m" each bet λ multiplies its stake by 1 + λ(d - m), against the claim by
    1 + λ(m - d). The evidence is the average of the *products* over the grid; it reaches 1/α with
    probability at most α at any time if the claim is false (for) or true (against).

    Source: Waudby-Smith & Ramdas (2024), JRSS B 86, 1-27, section 4 (betting), with a fixed grid.

    Attributes:
        relation: ``above`` (harm: a candidate's loss less the live one's is above 0) or ``below`` (not worse:
            below +margin).
        margin: In units of d.
        reach: Largest possible |d|.
        log_high: Log products of 1 + λ(d - margin), one a bet, shape (k,).
        log_low: Log products of 1 + λ(margin - d), shape (k,).
        n: Values bet on.
        total: Their sum.
        squares: Sum of their squares.
    """

    relation: Literal["above", "below"]
    margin: float
    reach: float
    log_high: tuple[float, ...]
    log_low: tuple[float, ...]
    n: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def start(cls, relation: Literal["above", "below"], margin: float = 0.0, *, reach: float = 1.0) -> Bets:
        """Before the first value.

        Raises:
            ValueError: If the margin is not smaller than the reach, so that nothing could be decided.
        """
        if relation not in ("above", "below"):
            raise ValueError(f"a bet is on a mean above or below a margin, not {relation!r}")
        if not abs(margin) < reach:
            raise ValueError(f"margin {margin} lies outside what a mean in ±{reach} can reach")
        return cls(relation, margin, reach, (0.0,) * len(GRID), (0.0,) * len(GRID))

    def add(self, d: ArrayLike) -> Bets:
        """After more values; the order within does not matter, the order of looks does not either.

        Raises:
            ValueError: If a value is NaN or lies outside ±reach.

        >>> Bets.start("below", 0.02).add([0.0] * 400).n
        400
        """
        values = _bounded(d, self.reach)
        gap = values - self.margin
        lambdas = self._lambdas
        log_high = [h + float(np.log1p(x * gap).sum()) for h, x in zip(self.log_high, lambdas, strict=True)]
        log_low = [g + float(np.log1p(-x * gap).sum()) for g, x in zip(self.log_low, lambdas, strict=True)]
        return replace(
            self,
            log_high=tuple(log_high),
            log_low=tuple(log_low),
            n=self.n + len(values),
            total=self.total + float(values.sum()),
            squares=self.squares + float((values * values).sum()),
        )

    @property
    def _lambdas(self) -> tuple[float, ...]:
        return tuple(share / (self.reach + abs(self.margin)) for share in GRID)

    def estimate(self, *, name: str = "", alpha: float = 0.05, tuned: int = TUNED, **labels: Any) -> Estimate:
        """Mean so far with its evidence.

        The verdict rests on the evidence alone; ``low`` and ``high`` show the asymptotic confidence
        sequence of the mean.
        """
        for_, against = mean_evidence(self.log_high), mean_evidence(self.log_low)
        if self.relation == "below":
            for_, against = against, for_
        mean = self.total / self.n if self.n else math.nan
        low, high = -self.reach, self.reach
        if self.n >= FEWEST:
            se = math.sqrt(max(self.squares - self.n * mean * mean, 0.0) / (self.n - 1) / self.n)
            if se > 0:
                radius = laws.asymptotic_radius(se, n=self.n, tuned=tuned, alpha=alpha)
                low, high = max(low, mean - radius), min(high, mean + radius)
        labels = {"method": "betting e-process", "kind": "difference", **labels}
        return Estimate(
            name=name,
            value=mean,
            low=low,
            high=high,
            level=1 - alpha,
            n=self.n,
            anytime=True,
            log_e_for=for_,
            log_e_against=against,
            about=(self.relation, self.margin),
            **labels,
        )


def betting(
    d: ArrayLike,
    *,
    relation: Literal["above", "below"],
    margin: float = 0.0,
    reach: float = 1.0,
    name: str = "",
    alpha: float = 0.05,
    **labels: Any,
) -> Estimate:
    """Evidence, valid at any time, on the mean of paired values; all looks so far at once.

    Decide it with a ``Claim`` of the same relation and margin, ``looks="anytime"`` and ``sides=1``:
    it then acts when the e-value reaches 1/alpha.

    Args:
        d: Candidate's loss less the live one's, one per unit, in [-reach, reach], shape (n,).
        relation: ``above`` 0 for harm, ``below`` +margin for not worse.
        margin: In units of d.
        reach: Largest possible |d|; 1 for 0/1 or Brier losses.
        name: Shown name.
        alpha: For the bounds shown; the evidence needs none.
        **labels: ``kind``, ``unit``, ``method``, ``arm``, ``control`` of the estimate.

    Raises:
        ValueError: If a value is NaN or outside ±reach, or the margin cannot be reached.

    >>> from ambidex.stats.claim import Claim, decide
    >>> e = betting([0.0, 0.0, 1.0, -1.0] * 1000, relation="below", margin=0.05, name="error")
    >>> claim = Claim(measure="error", relation="below", margin=0.05, looks="anytime", sides=1)
    >>> decide(claim, e).outcome
    'supported'
    """
    return Bets.start(relation, margin, reach=reach).add(d).estimate(name=name, alpha=alpha, **labels)


def step(log_r: ArrayLike, log_e: ArrayLike) -> Floats:
    """The e-detector's update R <- (R + 1)·e, in logs; R starts at 0, so its log at -inf.

    R reaching L/B rings falsely, on average, once in at least L/B looks.

    Source: Shin, Ramdas & Rinaldo (2023), e-detectors, eq. 11 (Shiryaev-Roberts).

    Args:
        log_r: Log of the evidence so far, any shape.
        log_e: Log of this look's e-value, same shape.

    >>> float(step(-np.inf, np.log(3.0)).round(4)), float(step(np.log(2.0), np.log(3.0)).round(4))
    (1.0986, 2.1972)
    """
    out: Floats = np.logaddexp(np.asarray(log_r, dtype=np.float64), 0.0) + np.asarray(log_e, dtype=np.float64)
    return out


def mean_evidence(log_e: Sequence[float] | Floats) -> float:
    """Log of the mean of e-values (or of R's) given as logs: an average of e-values is an e-value.

    >>> round(mean_evidence([math.log(1.0), math.log(3.0)]), 4)
    0.6931
    """
    values = np.asarray(log_e, dtype=np.float64)
    if not values.size:
        return -math.inf
    top = float(values.max())
    if not math.isfinite(top):
        return top
    return top + math.log(float(np.exp(values - top).mean()))


def log_e_from_p(p: ArrayLike) -> Floats:
    """Log of an e-value made from a p-value: (1 - p + p·ln p) / (p·ln²p).

    Source: Vovk & Wang (2021), Annals of Statistics 49, 1736-1754, eq. 2 (the mixture over κ).

    Args:
        p: p-values in (0, 1]; 0 is taken as 1e-300.

    >>> np.exp(log_e_from_p([0.001, 0.05, 1.0])).round(3).tolist()
    [20.791, 1.783, 0.5]
    """
    values = np.clip(np.asarray(p, dtype=np.float64), 1e-300, 1.0)
    log_p = np.log(values)
    near_one = values > 1 - 1e-4  # both parts vanish there: the limit is 1/2, to first order (1 + (1-p)/3)/2
    safe = np.where(near_one, -1.0, log_p)
    inside = np.where(near_one, 0.5, (1 - values + values * log_p) / (safe * safe))
    out: Floats = np.where(near_one, np.log(0.5) + 2 * (1 - values) / 3, np.log(inside) - log_p)
    return out


def _bounded(d: ArrayLike, reach: float) -> Floats:
    values = np.asarray(d, dtype=np.float64).ravel()
    # Rounding of a difference of two losses may pass the end by some units in the last place.
    if not (np.abs(values) <= reach * (1 + 1e-9)).all():
        raise ValueError(f"every value must lie in ±{reach:g}; NaN and larger ones are not bets")
    return np.clip(values, -reach, reach)
