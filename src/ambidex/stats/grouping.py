"""What groups tell about a value: the share of its variance between them, and each group's mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ambidex.stats.estimate import Estimate
from ambidex.stats.laws import Law, drawn

__all__ = ["Board", "between", "beyond_chance", "bootstrap_law"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LEVELS = (0.002, 0.004, 0.005, 0.01, 0.0125, 0.0167, 0.02, 0.025, 0.04, 0.05, 0.1, 0.2, 0.3173, 0.5)


@dataclass(frozen=True)
class Board:
    """Several ways to group the same rows, measured on the same bootstrap samples.

    Attributes:
        explained: For each way the share of variance between groups (η²).
        means: For each way the mean of each group.
        gains: For each way but the first its η² less the first one's, by name.
        spread: For each way the mean of one group less that of another, named beforehand.
    """

    explained: dict[str, Estimate]
    means: dict[str, list[Estimate]]
    gains: dict[str, Estimate]
    spread: dict[str, Estimate]


def between(
    value: Floats, ways: Mapping[str, Ints], names: Mapping[str, Sequence[str]], *, what: str, unit: str, seed: int,
    draws: int = 500, ends: Mapping[str, tuple[int, int]] = {},
) -> Board:  # fmt: skip
    """Measure groups on a value that took no part in drawing them.

    Args:
        value: Shape (n,), finite.
        ways: For each way of grouping each row's group, shape (n,); the first way is the one to beat.
        names: For each way its groups' names.
        what: What the value is, in words.
        unit: Its unit.
        seed: Of the bootstrap by rows; all ways are measured on the same samples.
        draws: Samples.
        ends: For each way the groups, named beforehand, whose difference ``spread`` measures; first and last if not
            said. Picked from what was seen, they would differ by chance.
    """
    rng = np.random.default_rng(seed)
    n = len(value)
    counts = {w: len(names[w]) for w in ways}
    sums = {w: np.zeros((draws, 3, k)) for w, k in counts.items()}
    for i in range(draws):
        weight = np.bincount(rng.integers(n, size=n), minlength=n).astype(np.float64)
        for w, labels in ways.items():
            for row, amount in enumerate((weight, weight * value)):
                sums[w][i, row] = np.bincount(labels, weights=amount, minlength=counts[w])
            sums[w][i, 2, 0] = float(weight @ value**2)
    explained, means, gains, spread = {}, {}, {}, {}
    drawn_eta: dict[str, Floats] = {}
    for w, labels in ways.items():
        own = np.zeros((1, 3, counts[w]))
        own[0, 0] = np.bincount(labels, minlength=counts[w])
        own[0, 1] = np.bincount(labels, weights=value, minlength=counts[w])
        own[0, 2, 0] = float(value @ value)
        drawn_eta[w] = _eta(sums[w])
        eta = float(_eta(own)[0])
        explained[w] = _estimate(f"{what} told by {w}", "share", eta, drawn_eta[w], n, "share", "η², bootstrap by row")
        each = np.divide(sums[w][:, 1], sums[w][:, 0], out=np.full((draws, counts[w]), np.nan), where=sums[w][:, 0] > 0)
        point = np.divide(own[0, 1], own[0, 0], out=np.full(counts[w], np.nan), where=own[0, 0] > 0)
        means[w] = [
            _estimate(
                f"{what}, {name}", "mean", float(point[g]), each[:, g], int(own[0, 0, g]), unit, "bootstrap by row"
            )
            for g, name in enumerate(names[w])
        ]
        top, bottom = ends.get(w, (0, counts[w] - 1))
        spread[w] = _estimate(
            f"{what}, {names[w][top]} less {names[w][bottom]}", "difference", float(point[top] - point[bottom]),
            each[:, top] - each[:, bottom], n, unit, "bootstrap by row",
        )  # fmt: skip
    first = next(iter(ways))
    for w in ways:
        if w != first:
            gains[w] = _estimate(
                f"{what} told by {w} beyond {first}", "difference", explained[w].value - explained[first].value,
                drawn_eta[w] - drawn_eta[first], n, "share", "difference of η², paired bootstrap",
            )  # fmt: skip
    return Board(explained, means, gains, spread)


def beyond_chance(x: Floats, *, name: str, seed: int, draws: int = 200) -> Estimate:
    """Do the columns go together? Share of the first principal axis, beyond that of the columns shuffled apart.

    Source: Horn (1965), Psychometrika 30, 179-185 (parallel analysis), by permutation (Buja & Eyuboglu 1992).

    Args:
        x: Shape (n, d), finite.
        name: Of the estimate.
        seed: Of the permutations.
        draws: Permutations.
    """
    spread = x.std(axis=0)
    z = ((x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0))[:, spread > 0]
    n, d = z.shape
    if d < 2 or n < 3:
        return Estimate(name=name, kind="share", value=0.0, low=-np.inf, high=np.inf, n=n, unit="share")
    rng = np.random.default_rng(seed)

    def first(rows: Floats) -> float:
        return float(np.linalg.eigvalsh(rows.T @ rows / n)[-1] / d)

    own = first(z)
    chance = np.array([first(rng.permuted(z, axis=0)) for _ in range(draws)])
    return _estimate(name, "share", own - float(chance.mean()), own - chance, n, "share", "parallel analysis")


def bootstrap_law(draws: Floats) -> Law:
    """Percentile bounds of bootstrap draws, as data; wider ones hold between two levels."""
    known = draws[np.isfinite(draws)]
    reach = [a for a in LEVELS if a >= 2 / max(len(known), 1)]
    lows = [float(np.quantile(known, a / 2)) for a in reach]
    highs = [float(np.quantile(known, 1 - a / 2)) for a in reach]
    return drawn(reach, lows, highs)


def _eta(sums: Floats) -> Floats:
    n = sums[:, 0].sum(axis=1)
    mean = sums[:, 1].sum(axis=1) / n
    total = sums[:, 2, 0] - n * mean**2
    share = np.divide(sums[:, 1] ** 2, sums[:, 0], out=np.zeros_like(sums[:, 1]), where=sums[:, 0] > 0).sum(axis=1)
    out: Floats = np.divide(
        share - n * mean**2, total, out=np.zeros(len(n)), where=total > 1e-12 * np.abs(sums[:, 2, 0])
    )
    return np.clip(out, 0.0, 1.0)


def _estimate(name: str, kind: str, value: float, draws: Floats, n: int, unit: str, method: str) -> Estimate:
    if not np.isfinite(value) or np.isfinite(draws).sum() < 40:
        return Estimate(name=name, kind=kind, value=value, low=-np.inf, high=np.inf, n=n, unit=unit, method=method)
    law = bootstrap_law(draws)
    low, high = (float(q) for q in np.quantile(draws[np.isfinite(draws)], [0.025, 0.975]))
    return Estimate(name=name, kind=kind, value=value, low=low, high=high, n=n, unit=unit, method=method, law=law)
