"""Whether the ranking of the factors holds on half of the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ambidex.stats.regression import Fit

if TYPE_CHECKING:
    from ambidex.insight.factors import Factor

__all__ = ["steadiness"]

Floats = npt.NDArray[np.float64]


def steadiness(
    ordered: Sequence[Factor], y: Floats, x: Floats, places: Mapping[str, slice], main: Sequence[str], fit: Fit,
    *, binary: bool, seed: int, halves: int = 20,
) -> int:  # fmt: skip
    """Rank again on half-samples and count how often each column is among the top five.

    The ranking of a half is approximate, so that 20 of them are cheap: entering first by the score test,
    entering last by one Newton step from the full fit.
    """
    from scipy import special

    if len(ordered) <= 5 or len(y) < 200:
        return 0
    index = np.concatenate([[0], *(np.arange(places[n].start, places[n].stop) for n in main)]).astype(int)
    index = index[fit.kept]
    beta = fit.coefficients[fit.kept]
    if not binary:  # on a scale near 1, as the columns are
        scale = float(y.std()) or 1.0
        beta, y = beta / scale, y / scale
    rng = np.random.default_rng([seed, 20])
    counts = dict.fromkeys((f.name for f in ordered), 0)
    for _ in range(halves):
        rows = np.sort(rng.permutation(len(y))[: len(y) // 2])
        half, outcome = x[rows], y[rows]
        mean = float(outcome.mean())
        noise = mean * (1 - mean) if binary else float(outcome.var())
        if noise <= 0:
            continue
        centred = half[:, 1:] - half[:, 1:].mean(axis=0)
        gram, moment = centred.T @ centred, centred.T @ (outcome - mean)
        z = half[:, index]
        eta = z @ beta
        p = special.expit(eta) if binary else eta
        weight = p * (1 - p) if binary else np.full(len(p), 1 / max(float(np.var(outcome - p)), 1e-300))
        pull = (outcome - p) if binary else (outcome - p) * weight[0]
        information = z.T @ (z * weight[:, None]) + 1e-9 * np.eye(len(index))
        inverse = np.linalg.pinv(information, hermitian=True)
        step = beta + inverse @ (z.T @ pull)
        ranking = {}
        for factor in ordered:
            own = np.arange(places[factor.name].start, places[factor.name].stop) - 1
            first = float(
                moment[own] @ np.linalg.pinv(gram[np.ix_(own, own)], hermitian=True) @ moment[own]
            ) / noise - len(own)
            at = np.flatnonzero(np.isin(index, own + 1))
            last = 0.0
            if len(at):
                last = float(step[at] @ np.linalg.pinv(inverse[np.ix_(at, at)], hermitian=True) @ step[at]) - len(at)
            ranking[factor.name] = max(first, 0.0) + max(last, 0.0)
        for name in sorted(ranking, key=lambda n: -ranking[n])[:5]:
            counts[name] += 1
    for factor in ordered:
        factor.steady = counts[factor.name]
    return halves
