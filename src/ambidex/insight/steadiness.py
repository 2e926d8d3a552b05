"""Whether the ranking of the factors holds on half of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ambidex.insight.response import Response
from ambidex.stats.cox import Spells, step
from ambidex.stats.regression import Fit
from ambidex.stats.survival import curve

if TYPE_CHECKING:
    from ambidex.insight.factors import Factor

__all__ = ["Steadiness", "steadiness"]

Floats = npt.NDArray[np.float64]

HALVES = 20
FIVE = 5


@dataclass(frozen=True, slots=True)
class Steadiness:
    """How the ranking fares on half of the rows.

    Attributes:
        halves: Half-samples it was repeated on; 0 if there are too few rows or columns.
        jaccard: Mean likeness of each half's top five with that of all rows: shared over all named, 0 to 1.
    """

    halves: int = 0
    jaccard: float = float("nan")


def steadiness(
    ordered: Sequence[Factor], response: Response, x: Floats, places: Mapping[str, slice], main: Sequence[str],
    fit: Fit, *, seed: int, halves: int = HALVES,
) -> Steadiness:  # fmt: skip
    """Rank again on half-samples and count how often each column is among the top five.

    The ranking of a half is approximate, so that 20 of them are cheap: entering first by the score test,
    entering last by one Newton step from the full fit. Rows of one group go into one half.
    """
    if len(ordered) <= FIVE or len(response.y) < 200:
        return Steadiness()
    index = np.concatenate([[0], *(np.arange(places[n].start, places[n].stop) for n in main)]).astype(int)
    index = index[fit.kept]
    beta = fit.coefficients[fit.kept]
    y = response.y
    if response.kind == "number":  # on a scale near 1, as the columns are
        scale = float(y.std()) or 1.0
        beta, y = np.asarray(beta / scale), np.asarray(y / scale)
    rng = np.random.default_rng([seed, 20])
    counts = dict.fromkeys((f.name for f in ordered), 0)
    top = {f.name for f in sorted(ordered, key=lambda f: -f.importance)[:FIVE]}
    likeness = []
    for _ in range(halves):
        rows = _half(response, rng)
        step_and_error = _last(x[np.ix_(rows, index)], y[rows], beta, response, rows)
        first = _first(x[rows], y[rows], response, rows)
        if step_and_error is None or first is None:
            continue
        moved, inverse = step_and_error
        gram, moment, noise = first
        ranking = {}
        for factor in ordered:
            own = np.arange(places[factor.name].start, places[factor.name].stop) - 1
            score = float(moment[own] @ np.linalg.pinv(gram[np.ix_(own, own)], hermitian=True) @ moment[own])
            at = np.flatnonzero(np.isin(index, own + 1))
            last = 0.0
            if len(at):
                last = float(moved[at] @ np.linalg.pinv(inverse[np.ix_(at, at)], hermitian=True) @ moved[at]) - len(at)
            ranking[factor.name] = max(score / noise - len(own), 0.0) + max(last, 0.0)
        five = sorted(ranking, key=lambda n: -ranking[n])[:FIVE]
        for name in five:
            counts[name] += 1
        likeness.append(len(top & set(five)) / len(top | set(five)))
    for factor in ordered:
        factor.steady = counts[factor.name]
    return Steadiness(halves, float(np.mean(likeness)) if likeness else float("nan"))


def _half(response: Response, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    n = len(response.y)
    if response.groups is None:
        return np.sort(rng.permutation(n)[: n // 2])
    count = int(response.groups.max()) + 1
    chosen = np.zeros(count, dtype=bool)
    chosen[rng.permutation(count)[: count // 2]] = True
    return np.flatnonzero(chosen[response.groups])


def _first(
    half: Floats, y: Floats, response: Response, rows: npt.NDArray[np.intp]
) -> tuple[Floats, Floats, float] | None:
    """Second moments of the columns, their moments with the outcome, and its noise, where nothing is known yet."""
    if response.kind == "time":  # ends seen less ends expected, had all rows the same risk
        assert response.spells is not None
        made = curve(response.spells.time[rows], response.spells.event[rows])
        hazard = np.cumsum(made.ends / made.at_risk)
        place = np.searchsorted(made.times, response.spells.time[rows], side="right")
        y = np.asarray(y - np.r_[0.0, hazard][place], dtype=np.float64)
    mean = float(y.mean())
    noise = mean * (1 - mean) if response.kind == "yesno" else float(y.var())
    if noise <= 0:
        return None
    centred = half[:, 1:] - half[:, 1:].mean(axis=0)
    return centred.T @ centred, centred.T @ (y - mean), noise


def _last(
    z: Floats, y: Floats, beta: Floats, response: Response, rows: npt.NDArray[np.intp]
) -> tuple[Floats, Floats] | None:
    """Coefficients one Newton step from the full fit, and their covariance."""
    from scipy import special

    small = 1e-9 * np.eye(len(beta))
    if response.kind == "time":
        assert response.spells is not None
        gradient, information = step(z, Spells.of(response.spells.time[rows], response.spells.event[rows]), beta)
    elif response.kind == "yesno":
        p = special.expit(z @ beta)
        gradient, information = z.T @ (y - p), z.T @ (z * (p * (1 - p))[:, None])
    else:
        residual = y - z @ beta
        weight = 1 / max(float(np.var(residual)), 1e-300)
        gradient = np.asarray(weight * (z.T @ residual), dtype=np.float64)
        information = np.asarray(weight * (z.T @ z), dtype=np.float64)
    if not np.isfinite(information).all():
        return None
    inverse = np.asarray(np.linalg.pinv(information + small, hermitian=True), dtype=np.float64)
    moved: Floats = beta + inverse @ gradient
    return moved, inverse
