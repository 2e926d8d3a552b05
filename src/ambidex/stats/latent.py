"""Latent classes: groups of rows that explain why their categories go together."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LatentClasses", "latent_classes"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

SHORT, LONG = 20, 2
"""Steps of each beginning, and the beginnings, best first, that go on from there."""


@dataclass(frozen=True)
class LatentClasses:
    """Latent classes of categories, independent within a class.

    Attributes:
        shares: Shape (k,), the largest first.
        tables: For each column the chance of each code by class, shape (k, codes).
        log_likelihood: In nats.
        g2: Likelihood-ratio chi-square against the saturated table, over the cells that occur.
        bic: -2·log-likelihood + parameters·ln n.
        labels: Most likely class of each row, shape (n,).
    """

    shares: Floats
    tables: tuple[Floats, ...]
    log_likelihood: float
    g2: float
    bic: float
    labels: Ints


def latent_classes(
    codes: Ints, k: int, *, seed: int, starts: int = 20, rounds: int = 500, tolerance: float = 1e-10
) -> LatentClasses:
    """Latent class analysis by EM: many short runs from random beginnings, of which the best two go on.

    Source: Goodman (1974), Biometrika 61, 215-231; short runs first: Biernacki, Celeux & Govaert (2003).

    Args:
        codes: Categories as codes from 0, shape (n, columns).
        k: Classes.
        seed: Of the beginnings.
        starts: Beginnings.
        rounds: Steps, at most.
        tolerance: Relative gain of the log-likelihood at which the steps end.
    """
    cells, back, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    n, sizes = len(codes), [int(codes[:, j].max()) + 1 for j in range(codes.shape[1])]
    ends = np.cumsum([0, *sizes])
    hot = np.zeros((len(cells), int(ends[-1])))
    for j in range(len(sizes)):
        hot[np.arange(len(cells)), ends[j] + cells[:, j]] = 1.0
    weights = counts.astype(np.float64)
    rng = np.random.default_rng(seed)

    def run(resp: Floats, most: int, near: float) -> tuple[float, Floats, Floats, Floats]:
        last = -math.inf
        for _ in range(most):
            mass = resp * weights[:, None]
            shares = mass.sum(axis=0) / n
            table = hot.T @ mass  # levels of all columns below each other, a class a column
            for start, stop in itertools.pairwise(ends):
                table[start:stop] /= np.maximum(table[start:stop].sum(axis=0), 1e-300)
            table = np.maximum(table, 1e-12)
            log_p = np.log(np.maximum(shares, 1e-300)) + hot @ np.log(table)
            top = log_p.max(axis=1, keepdims=True)
            each = top[:, 0] + np.log(np.exp(log_p - top).sum(axis=1))
            total = float(weights @ each)
            resp = np.exp(log_p - each[:, None])
            if total - last < near * abs(total):
                break
            last = total
        return total, shares, table, resp

    short = [run(rng.dirichlet(np.ones(k), size=len(cells)), min(rounds, SHORT), tolerance) for _ in range(starts)]
    short.sort(key=lambda r: -r[0])
    best = max((run(r[3], rounds, tolerance) for r in short[:LONG]), key=lambda r: r[0])
    likelihood, shares, table, resp = best
    order = np.argsort(-shares, kind="stable")
    g2 = 2 * (float((weights * np.log(weights / n)).sum()) - likelihood)
    free = k - 1 + k * sum(s - 1 for s in sizes)
    return LatentClasses(
        shares=shares[order],
        tables=tuple(table[start:stop].T[order] for start, stop in itertools.pairwise(ends)),
        log_likelihood=likelihood,
        g2=g2,
        bic=-2 * likelihood + free * math.log(n),
        labels=resp[:, order].argmax(axis=1)[back.ravel()].astype(np.int64),
    )
