"""What a roll-out is judged by: which of its two claims is supported first, the split of the units, limits on shares.

Everything here is evidence that may be looked at as often as one likes, and none of it depends on when one looks: the
order of the units alone says which claim was supported first, so that a watcher that slept finds what one that was
awake had found.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ambidex.stats.detection import evidence_above, log_bets
from ambidex.stats.estimate import Estimate
from ambidex.stats.sequences import GRID, Bets, mean_evidence

__all__ = ["Race", "above_limit", "blocks", "first_crossing", "race", "split_estimates", "units_to_act"]

Floats = NDArray[np.float64]

CHUNK = 4096
"""Units whose evidence is followed at a time: memory stays that of a chunk, however many there are."""


@dataclass(frozen=True, slots=True)
class Race:
    """Which claim was supported first, and both as they stood then.

    Attributes:
        first: ``harm``, ``better`` (not worse), or None while neither is.
        units: Units after which it was; all of them while neither is.
        harm: Evidence for "mean above 0", after ``units``.
        better: Evidence for "mean below +margin", after ``units``.
    """

    first: Literal["harm", "better"] | None
    units: int
    harm: Estimate
    better: Estimate


def first_crossing(
    d: ArrayLike, *, relation: Literal["above", "below"], margin: float, alpha: float, reach: float = 1.0
) -> NDArray[np.int64]:
    """After how many values the evidence for a claim on the mean first reaches 1/alpha.

    The evidence is that of ``sequences.Bets``: by Ville's inequality it ever reaches 1/alpha with probability at most
    alpha if the claim is false.

    Args:
        d: Values in ±reach in their order, shape (..., n).
        relation: ``above`` margin, or ``below`` it.
        margin: In units of d.
        alpha: One-sided error rate.
        reach: Largest possible |d|.

    Returns:
        Shape (...): 1 to n, or 0 where it never does.

    >>> first_crossing([[1.0] * 40, [0.0] * 40], relation="above", margin=0.0, alpha=0.05).tolist()
    [9, 0]
    """
    values = np.atleast_1d(np.asarray(d, dtype=np.float64))
    gap = values - margin if relation == "above" else margin - values
    flat = gap.reshape(-1, gap.shape[-1])
    bets = np.asarray(GRID) / (reach + abs(margin))
    threshold = math.log(1 / alpha)
    found = np.zeros(len(flat), dtype=np.int64)
    stake = np.zeros((len(flat), len(bets)))
    for start in range(0, flat.shape[1], CHUNK):
        waiting = np.flatnonzero(found == 0)
        if not len(waiting):
            break
        part = flat[waiting, start : start + CHUNK]
        best = np.full(part.shape, -math.inf)
        paths = []
        for i, bet in enumerate(bets):
            path = np.cumsum(np.log1p(bet * part), axis=1) + stake[waiting, i][:, None]
            stake[waiting, i] = path[:, -1]
            np.maximum(best, path, out=best)
            paths.append(path)
        total = np.zeros_like(best)
        for path in paths:
            total += np.exp(path - best)
        over = best + np.log(total / len(bets)) >= threshold
        hit = over.any(axis=1)
        found[waiting[hit]] = start + over[hit].argmax(axis=1) + 1
    return found.reshape(gap.shape[:-1])


def race(
    d: ArrayLike, *, margin: float, harm_alpha: float, better_alpha: float, reach: float = 1.0, name: str = "loss"
) -> Race:
    """Which of the two claims of a roll-out was supported first.

    *Harm* is "the mean is above 0", *better* "the mean is below +margin". A candidate that is worse by less than the
    margin can support both; the first to act decides.

    Args:
        d: Candidate's loss less the live version's, one a unit in the order in which they came to count, shape (n,).
        margin: How much worse is still good enough, above 0.
        harm_alpha: Error rate of the claim of harm.
        better_alpha: Error rate of the claim of not worse.
        reach: Largest possible |d|.
        name: Shown name of the loss.

    >>> race([0.0, 0.2, -0.2] * 400, margin=0.05, harm_alpha=0.05, better_alpha=0.05).first
    'better'
    """
    values = np.asarray(d, dtype=np.float64).ravel()
    first: Literal["harm", "better"] | None = None
    units = len(values)
    if units:
        at_harm = int(first_crossing(values, relation="above", margin=0.0, alpha=harm_alpha, reach=reach))
        at_better = int(first_crossing(values, relation="below", margin=margin, alpha=better_alpha, reach=reach))
        if at_harm and (not at_better or at_harm <= at_better):
            first, units = "harm", at_harm
        elif at_better:
            first, units = "better", at_better
    seen = values[:units]
    harm = Bets.start("above", 0.0, reach=reach).add(seen)
    better = Bets.start("below", margin, reach=reach).add(seen)
    return Race(
        first=first,
        units=units,
        harm=harm.estimate(name=name, alpha=2 * harm_alpha, kind="loss"),
        better=better.estimate(name=name, alpha=2 * better_alpha, kind="loss"),
    )


def blocks(canary: ArrayLike, losses: ArrayLike) -> Floats:
    """Differences of two arms that are not paired: canary's mean less live's, block by block in their order.

    A block ends as soon as it holds a unit of each arm, so where it ends depends on who came, never on how they fared.
    What changes with time changes both arms of a block alike.

    Args:
        canary: Whether each unit is the canary's, in the order in which they came to count, shape (n,).
        losses: Their losses, shape (n,).

    Returns:
        One value a block, in ± the largest loss; the open block at the end is left out.

    >>> blocks([False, False, True, True, False], [0.0, 1.0, 1.0, 0.25, 0.75]).tolist()
    [0.5, -0.5]
    """
    arms, values = np.asarray(canary, dtype=bool), np.asarray(losses, dtype=np.float64)
    out: list[float] = []
    sums, counts = [0.0, 0.0], [0, 0]
    for arm, value in zip(arms.tolist(), values.tolist(), strict=True):
        sums[arm] += value
        counts[arm] += 1
        if counts[0] and counts[1]:
            out.append(sums[1] / counts[1] - sums[0] / counts[0])
            sums, counts = [0.0, 0.0], [0, 0]
    return np.array(out, dtype=np.float64)


def split_estimates(canary: int, live: int, share: float) -> tuple[Estimate, Estimate]:
    """Evidence that the canary's share of the units lies above, and below, the share that was declared.

    Decide each with a watched one-sided claim at half of the error rate: the sample-ratio check of a split that is
    looked at all the time.

    Args:
        canary: Units of the canary.
        live: Units of the live version among those that were split.
        share: Declared share of the canary, in (0, 1).

    >>> over, under = split_estimates(100, 900, 0.1)
    >>> over.log_e_for < 0 and under.log_e_for < 0
    True
    """
    over = above_limit(canary, canary + live, share, name="share of units in the canary")
    under = above_limit(live, canary + live, 1 - share, name="share of units outside the canary")
    return over, under


def above_limit(count: int, n: int, limit: float, *, name: str) -> Estimate:
    """Evidence that a share is above its limit, watched.

    Source: ``detection.log_bets``, the mean of its bets' products.

    Args:
        count: Units that did.
        n: Units.
        limit: Largest share allowed, in (0, 1).
        name: What the share is of.

    >>> above_limit(30, 100, 0.01, name="failed").log_e_for > 20
    True
    """
    counts = [n - count, count]
    value = count / n if n else math.nan
    return Estimate(
        name=name,
        kind="share",
        value=value,
        low=min(evidence_above(counts, [0.0, 1.0], math.log(20)), 1.0) if count else 0.0,
        high=1.0,
        n=n,
        level=0.95,
        unit="share",
        method="betting e-process",
        anytime=True,
        log_e_for=mean_evidence(log_bets(counts, [0.0, 1.0], limit)),
        about=("above", limit),
    )


def units_to_act(
    d: ArrayLike,
    *,
    margin: float,
    alpha: float,
    power: float = 0.8,
    truth: float = 0.0,
    relation: Literal["above", "below"] = "below",
    reach: float = 1.0,
    seed: int = 0,
    most: int = 200_000,
    runs: int = 400,
) -> int | None:
    """Units after which a claim is supported with the power, if the candidate's mean difference were ``truth``.

    By drawing roll-outs from differences that were seen, moved so that their mean is ``truth``.

    Args:
        d: Differences of losses on past units, shape (n,).
        margin: Margin of the claim.
        alpha: Its error rate.
        power: Share of the roll-outs in which it must be supported by then.
        truth: Mean difference assumed.
        relation: ``below`` +margin (not worse), or ``above`` 0 (harm).
        reach: Largest possible |d|.
        seed: Of the draws.
        most: Units at most.
        runs: Roll-outs drawn.

    Returns:
        Units, or None if it takes more than ``most``.

    >>> d = np.random.default_rng(0).normal(0, 0.1, 500).clip(-1, 1)
    >>> 100 < units_to_act(d, margin=0.02, alpha=0.05) < 1500
    True
    """
    values = np.asarray(d, dtype=np.float64).ravel()
    if not len(values) or not math.isfinite(float(values.sum())):
        return None
    values = np.clip(values - values.mean() + truth, -reach, reach)
    rng = np.random.default_rng(seed)
    n = 1000
    while True:
        n = min(n, most)
        drawn = np.empty((runs, n))
        for run in range(runs):
            drawn[run] = rng.choice(values, size=n)
        crossed = first_crossing(drawn, relation=relation, margin=margin, alpha=alpha, reach=reach)
        crossed = np.where(crossed == 0, most + 1, crossed)
        needed = int(np.quantile(crossed, power, method="higher"))
        if needed <= n:
            return needed
        if n >= most:
            return None
        n, runs = 4 * n, max(100, runs // 2)
