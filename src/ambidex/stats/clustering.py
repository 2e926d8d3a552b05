"""Groups of rows: k-means, Gaussian mixtures, medoids; how many, and whether they come again.

Nothing here says that groups exist. Gap and BIC name a number of groups for a gradient or a skewed column as
readily (measured: 3 on a gradient, 3 to 5 on skewed columns); whether groups are separated is for the dip.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ambidex.stats.dip import dip_estimate
from ambidex.stats.estimate import Estimate
from ambidex.stats.laws import normal

__all__ = [
    "Clusters",
    "Mixture",
    "density",
    "gap",
    "gower",
    "kmeans",
    "medoids",
    "mixture",
    "mixture_figures",
    "nearest",
    "separation",
    "silhouette",
    "stability",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Assign = Callable[[Floats], Ints]


@dataclass(frozen=True)
class Clusters:
    """k-means.

    Attributes:
        centres: Shape (k, d), in the columns' units.
        labels: Nearest centre of each row, shape (n,); the largest cluster is 0.
        within: Sum of squared distances to the nearest centre (WCSS).
    """

    centres: Floats
    labels: Ints
    within: float


def kmeans(x: Floats, k: int, *, seed: int, starts: int = 10, rounds: int = 100) -> Clusters:
    """k-means by Lloyd's rounds from ``starts`` k-means++ beginnings, the best kept.

    Source: Lloyd (1982); Arthur & Vassilvitskii (2007) for the beginnings.

    Args:
        x: Shape (n, d), finite, n >= k.
        k: Number of clusters.
        seed: Of the beginnings.
        starts: Beginnings.
        rounds: Most rounds of each.

    >>> kmeans(np.array([[0.0], [0.1], [5.0], [5.1], [5.2]]), 2, seed=0).labels.tolist()
    [1, 1, 0, 0, 0]
    """
    rng = np.random.default_rng(seed)
    best: tuple[Floats, Floats] | None = None
    within = math.inf
    # All beginnings run together; chunks keep the distances below some 100 MB.
    chunk = max(1, min(starts, int(1.2e7 // max(1, len(x) * k))))
    done = 0
    while done < starts:
        many = min(chunk, starts - done)
        centres = _lloyd(np.broadcast_to(x, (many, *x.shape)), _plus_plus(x, k, many, rng), rounds)
        for candidate in centres:
            far = _squares(x[None], candidate[None])[0].min(axis=1)
            total = float(far.sum())
            if total < within - 1e-12 * max(total, 1.0):
                best, within = (candidate, far), total
        done += many
    assert best is not None
    labels = nearest(x, best[0])
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    return Clusters(best[0][order], np.argsort(order)[labels].astype(np.int64), within)


def nearest(x: Floats, centres: Floats) -> Ints:
    """Index of the nearest centre of each row; the first where two are as near. Shape (n,)."""
    out = np.empty(len(x), dtype=np.int64)
    for start in range(0, len(x), 100_000):
        part = x[start : start + 100_000]
        out[start : start + 100_000] = _squares(part[None], centres[None])[0].argmin(axis=1)
    return out


def _squares(x: Floats, centres: Floats) -> Floats:
    """Squared distances, shape (runs, n, k), from (runs, n, d) and (runs, k, d)."""
    out = np.zeros((x.shape[0], x.shape[1], centres.shape[1]))
    for j in range(x.shape[2]):
        out += (x[:, :, j, None] - centres[:, None, :, j]) ** 2
    return out


def _plus_plus(x: Floats, k: int, many: int, rng: np.random.Generator) -> Floats:
    n = len(x)
    centres = np.empty((many, k, x.shape[1]))
    centres[:, 0] = x[rng.integers(n, size=many)]
    far = ((x[None] - centres[:, 0, None]) ** 2).sum(axis=2)
    for j in range(1, k):
        total = np.cumsum(far, axis=1)
        draw = rng.random(many) * total[:, -1]
        pick = np.array(
            [min(int(np.searchsorted(t, d, side="right")), n - 1) for t, d in zip(total, draw, strict=True)]
        )
        centres[:, j] = x[pick]
        far = np.minimum(far, ((x[None] - centres[:, j, None]) ** 2).sum(axis=2))
    return centres


def _lloyd(x: Floats, centres: Floats, rounds: int) -> Floats:
    """Lloyd's rounds for several runs at once; a run's data may be its own. Shapes (runs, n, d), (runs, k, d)."""
    runs, _, d = x.shape
    k = centres.shape[1]
    centres, active = centres.copy(), np.arange(runs)
    for _ in range(rounds):
        part = x[active]
        labels = _squares(part, centres[active]).argmin(axis=2)
        flat = (labels + k * np.arange(len(active))[:, None]).ravel()
        sizes = np.bincount(flat, minlength=k * len(active)).reshape(-1, k)
        sums = np.stack(
            [np.bincount(flat, weights=part[:, :, j].ravel(), minlength=k * len(active)) for j in range(d)], axis=-1
        ).reshape(-1, k, d)
        old = centres[active]
        new = np.where(sizes[:, :, None] > 0, sums / np.maximum(sizes, 1)[:, :, None], old)
        centres[active] = new
        moved = np.abs(new - old).max(axis=(1, 2)) > 1e-10 * (np.abs(old).max(axis=(1, 2)) + 1e-300)
        active = active[moved]
        if not len(active):
            break
    return centres


@dataclass(frozen=True)
class Mixture:
    """A Gaussian mixture with full covariances.

    Attributes:
        weights: Shape (k,).
        means: Shape (k, d).
        precisions: Inverse covariances, shape (k, d, d).
        constants: log weight - half the log determinant of the covariance, shape (k,).
        log_likelihood: Of the rows it was fitted on, in nats.
        bic: -2·log-likelihood + parameters·ln n; less is better.
        labels: Most likely component of each row, shape (n,); the largest is 0.
    """

    weights: Floats
    means: Floats
    precisions: Floats
    constants: Floats
    log_likelihood: float
    bic: float
    labels: Ints

    def assign(self, x: Floats) -> Ints:
        """Most likely component of each row. Shape (n,)."""
        scores = np.empty((len(x), len(self.weights)))
        for j, (mean, precision) in enumerate(zip(self.means, self.precisions, strict=True)):
            away = x - mean
            scores[:, j] = self.constants[j] - 0.5 * ((away @ precision) * away).sum(axis=1)
        labels: Ints = scores.argmax(axis=1)
        return labels


def mixture(x: Floats, k: int, *, seed: int, starts: int = 3, rounds: int = 300, tolerance: float = 1e-7) -> Mixture:
    """A Gaussian mixture with full covariances by EM, from ``starts`` k-means beginnings, the best kept.

    A millionth of the columns' mean variance is added to each variance, so that no component falls onto a point.

    Source: Dempster, Laird & Rubin (1977); Fraley & Raftery (2002) for BIC, here with the sign by which less is better.

    Args:
        x: Shape (n, d), finite.
        k: Components.
        seed: Of the beginnings.
        starts: Beginnings.
        rounds: Most rounds of each.
        tolerance: Gain of log-likelihood a row below which a run ends.
    """
    ridge = 1e-6 * (float(x.var(axis=0).mean()) or 1.0)
    best: _Normal | None = None
    for i in range(starts):
        labels = kmeans(x, k, seed=seed + i, starts=1 if i else 5).labels
        found = _em(x, np.eye(k)[labels], ridge, rounds, tolerance)
        if best is None or found.log_likelihood > best.log_likelihood + 1e-9:
            best = found
    assert best is not None
    labels = best.responsibility.argmax(axis=1)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    free = k - 1 + k * x.shape[1] + k * x.shape[1] * (x.shape[1] + 1) // 2
    return Mixture(
        weights=best.weights[order], means=best.means[order], precisions=best.precisions[order],
        constants=best.constants[order], log_likelihood=best.log_likelihood,
        bic=-2 * best.log_likelihood + free * math.log(len(x)), labels=np.argsort(order)[labels].astype(np.int64),
    )  # fmt: skip


@dataclass(frozen=True)
class _Normal:
    weights: Floats
    means: Floats
    precisions: Floats
    constants: Floats
    responsibility: Floats
    log_likelihood: float


def _em(x: Floats, responsibility: Floats, ridge: float, rounds: int, tolerance: float) -> _Normal:
    n, d = x.shape
    k = responsibility.shape[1]
    last = -math.inf
    for _ in range(rounds):
        mass = responsibility.sum(axis=0) + 1e-12
        weights, means = mass / mass.sum(), responsibility.T @ x / mass[:, None]
        log_p = np.empty((n, k))
        precisions, constants = np.empty((k, d, d)), np.empty(k)
        for j in range(k):
            away = x - means[j]
            covariance = (away * responsibility[:, j, None]).T @ away / mass[j] + ridge * np.eye(d)
            precisions[j] = np.linalg.inv(covariance)
            constants[j] = math.log(weights[j]) - 0.5 * float(np.linalg.slogdet(covariance)[1])
            log_p[:, j] = constants[j] - 0.5 * ((away @ precisions[j]) * away).sum(axis=1)
        top = log_p.max(axis=1)
        each = top + np.log(np.exp(log_p - top[:, None]).sum(axis=1))
        responsibility = np.exp(log_p - each[:, None])
        total = float(each.sum()) - 0.5 * n * d * math.log(2 * math.pi)
        if total - last < tolerance * n:
            break
        last = total
    return _Normal(weights, means, precisions, constants, responsibility, total)


def mixture_figures(x: Floats, means: Floats, precisions: Floats, constants: Floats) -> dict[str, float]:
    """Log-likelihood and BIC of a mixture on rows; parameters as in ``Mixture``."""
    n, d = x.shape
    log_p = np.stack(
        [
            constant - 0.5 * (((x - mean) @ np.asarray(precision)) * (x - mean)).sum(axis=1)
            for mean, precision, constant in zip(np.asarray(means), precisions, constants, strict=True)
        ]
    )
    top = log_p.max(axis=0)
    total = float((top + np.log(np.exp(log_p - top).sum(axis=0))).sum()) - 0.5 * n * d * math.log(2 * math.pi)
    free = len(log_p) - 1 + len(log_p) * (d + d * (d + 1) // 2)
    return {"log_likelihood": total, "bic": -2 * total + free * math.log(n)}


def silhouette(x: Floats, labels: Ints) -> float:
    """Mean silhouette: how much nearer rows are to their own cluster than to the next, in [-1, 1].

    Source: Rousseeuw (1987). It looks at the rows that drew the clusters, and is high for slices as well.

    Args:
        x: Shape (n, d); the distances of n rows to n rows are taken.
        labels: Shape (n,).

    >>> round(silhouette(np.array([[0.0], [0.1], [5.0], [5.1]]), np.array([0, 0, 1, 1])), 2)
    0.98
    """
    k = int(labels.max()) + 1
    sizes = np.bincount(labels, minlength=k)
    sums = np.zeros((len(x), k))
    for start in range(0, len(x), 500):
        part = x[start : start + 500]
        far = np.sqrt(((part[:, None] - x[None]) ** 2).sum(axis=2))
        for g in range(k):
            sums[start : start + 500, g] = far[:, labels == g].sum(axis=1)
    rows = np.arange(len(x))
    own = sums[rows, labels] / np.maximum(sizes[labels] - 1, 1)
    others = np.where(sizes > 0, sums / np.maximum(sizes, 1), np.inf)
    others[rows, labels] = np.inf
    near = others.min(axis=1)
    each = np.where(sizes[labels] > 1, (near - own) / np.maximum(np.maximum(near, own), 1e-300), 0.0)
    return float(each.mean()) if k > 1 else 0.0


def density(x: Floats) -> Floats:
    """Means of HDBSCAN's clusters (scikit-learn), the largest first; one mean of all where it finds fewer than two.

    Source: Campello, Moulavi & Sander (2013). A cluster holds 2% of the rows at least, and 5.
    """
    from sklearn.cluster import HDBSCAN

    labels = HDBSCAN(min_cluster_size=max(5, len(x) // 50), copy=True).fit_predict(x)
    count = int(labels.max()) + 1
    if count < 2:
        return np.asarray(x.mean(axis=0)[None], dtype=np.float64)
    order = np.argsort(-np.bincount(labels[labels >= 0], minlength=count), kind="stable")
    return np.stack([x[labels == g].mean(axis=0) for g in order])


def gap(x: Floats, most: int, *, seed: int, draws: int = 10) -> tuple[int, list[float], list[float]]:
    """The gap statistic: log WCSS of uniform boxes less that of the data, for 1 to ``most`` clusters.

    Source: Tibshirani, Walther & Hastie (2001), uniform reference over each column's range, one-standard-error rule.

    Returns:
        The k that the rule picks, the gaps, and their standard errors.
    """
    rng = np.random.default_rng(seed)
    low, high = x.min(axis=0), x.max(axis=0)
    boxes = low + (high - low) * rng.random((draws, *x.shape))
    gaps, errors = [], []
    for k in range(1, most + 1):
        own = kmeans(x, k, seed=seed, starts=5).within
        best = np.full(draws, np.inf)
        for _ in range(3):
            begin = np.stack([_plus_plus(box, k, 1, rng)[0] for box in boxes])
            centres = _lloyd(boxes, begin, 60)
            best = np.minimum(best, _squares(boxes, centres).min(axis=2).sum(axis=1))
        logs = np.log(np.maximum(best, 1e-300))
        gaps.append(float(logs.mean() - math.log(max(own, 1e-300))))
        errors.append(float(logs.std() * math.sqrt(1 + 1 / draws)))
    for k in range(1, most):
        if gaps[k - 1] >= gaps[k] - errors[k]:
            return k, gaps, errors
    return most, gaps, errors


def separation(
    fit: Callable[[Floats], tuple[Floats, Assign]],
    x: Floats,
    half: npt.NDArray[np.bool_],
    names: Sequence[str] | None = None,
) -> list[Estimate]:
    """Are the groups apart? Fit on one half, assign the other, and dip each pair along the line of its centres.

    Groups that a method merely cuts out of one cloud have no valley between them on rows that it has not seen.
    An estimate's bound lies above 0 where a pair has two peaks; groups exist where every pair has.

    Args:
        fit: From rows, shape (m, d), to centres, shape (k, d), and a rule that assigns rows.
        x: All rows, shape (n, d).
        half: Rows to fit on, shape (n,); the others are assigned.
        names: Of the groups, for the estimates.

    Returns:
        An estimate a pair; a pair with fewer than 4 rows has none, and counts as not separated.
    """
    centres, assign = fit(x[half])
    rest = x[~half]
    labels = assign(rest)
    out = []
    for a, b in combinations(range(len(centres)), 2):
        name = f"{names[a]} and {names[b]}" if names else f"{a + 1} and {b + 1}"
        line = centres[b] - centres[a]
        rows = rest[(labels == a) | (labels == b)]
        inside = min(int((labels == a).sum()), int((labels == b).sum()))
        if inside < 2 or not float(line @ line) > 0:
            out.append(
                Estimate(name=name, kind="distance", value=0.0, low=-math.inf, high=math.inf, n=len(rows), level=0.9,
                         method="Hartigan dip")
            )  # fmt: skip
            continue
        out.append(dip_estimate(rows @ line, name=name))
    return out


def stability(
    fit: Callable[[Floats, int], tuple[Floats, Assign]],
    x: Floats,
    labels: Ints,
    *,
    seed: int,
    draws: int = 25,
    name: str,
) -> tuple[Estimate, Floats]:
    """Do the groups come again? Mean Jaccard index of each with its likest among those of a bootstrap sample.

    Source: Hennig (2007), Computational Statistics & Data Analysis 52, 258-271.

    Args:
        fit: From rows and a seed to centres and a rule that assigns rows.
        x: Rows, shape (n, d).
        labels: The groups, shape (n,).
        seed: Of the samples.
        draws: Bootstrap samples.
        name: Of the estimate.

    Returns:
        The least stable group's mean over the samples, with the samples' error, and the mean of every group.
    """
    rng = np.random.default_rng(seed)
    k = int(labels.max()) + 1
    found = np.empty((draws, k))
    for i in range(draws):
        rows = rng.integers(len(x), size=len(x))
        _, assign = fit(x[rows], seed + i + 1)
        other = assign(x)
        both = np.zeros((k, int(other.max()) + 1))
        np.add.at(both, (labels, other), 1)
        either = both.sum(axis=1)[:, None] + both.sum(axis=0)[None] - both
        found[i] = (both / np.maximum(either, 1)).max(axis=1)
    means = found.mean(axis=0)
    worst = int(means.argmin())
    se = float(found[:, worst].std(ddof=1) / math.sqrt(draws)) if draws > 1 else math.inf
    value = float(means[worst])
    half = 1.959964 * se
    estimate = Estimate(
        name=name, kind="share", value=value, low=max(0.0, value - half), high=min(1.0, value + half), n=len(x),
        unit="share", method=f"bootstrap Jaccard, {draws} samples", se=se, law=normal(0.0, 1.0),
    )  # fmt: skip
    return estimate, means


def gower(numbers: Floats, codes: Ints, ranges: Floats, to_numbers: Floats, to_codes: Ints) -> Floats:
    """Gower's distance of rows to rows: mean over columns of |difference|/range, and 0 or 1 for categories.

    Source: Gower (1971), Biometrics 27, 857-871, equation 1 with equal weights.

    Args:
        numbers: Shape (n, p).
        codes: Categories as codes, shape (n, q).
        ranges: Of the numbers, shape (p,), above 0.
        to_numbers: Shape (m, p).
        to_codes: Shape (m, q).

    Returns:
        Shape (n, m), in [0, 1].
    """
    out = np.zeros((len(numbers), len(to_numbers)))
    for j in range(numbers.shape[1]):
        out += np.minimum(np.abs(numbers[:, j, None] - to_numbers[None, :, j]) / ranges[j], 1.0)
    for j in range(codes.shape[1]):
        out += codes[:, j, None] != to_codes[None, :, j]
    out /= numbers.shape[1] + codes.shape[1]
    return out


def medoids(distances: Floats, k: int, *, seed: int, starts: int = 5, rounds: int = 50) -> tuple[Ints, Ints]:
    """k rows that are nearest to all others: alternating k-medoids, the best of ``starts`` beginnings.

    Source: Park & Jun (2009), Expert Systems with Applications 36, 3336-3341.

    Args:
        distances: Shape (n, n).
        k: How many.
        seed: Of the beginnings.

    Returns:
        Indices of the medoids, shape (k,), the largest group's first, and each row's group, shape (n,).
    """
    rng = np.random.default_rng(seed)
    n, best, least = len(distances), np.arange(k), math.inf
    for _ in range(starts):
        chosen = [int(rng.integers(n))]
        far = distances[:, chosen[0]]
        for _ in range(1, k):
            weight = far**2
            total = weight.sum()
            chosen.append(int(rng.choice(n, p=weight / total)) if total > 0 else int(rng.integers(n)))
            far = np.minimum(far, distances[:, chosen[-1]])
        centres = np.array(chosen)
        for _ in range(rounds):
            labels = distances[:, centres].argmin(axis=1)
            new = centres.copy()
            for j in range(k):
                inside = np.flatnonzero(labels == j)
                if inside.size:
                    new[j] = inside[distances[np.ix_(inside, inside)].sum(axis=1).argmin()]
            if (new == centres).all():
                break
            centres = new
        cost = float(distances[:, centres].min(axis=1).sum())
        if cost < least - 1e-12:
            best, least = centres, cost
    labels = distances[:, best].argmin(axis=1)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    return best[order], np.argsort(order)[labels].astype(np.int64)
