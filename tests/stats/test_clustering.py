"""Groups of rows against scikit-learn, published latent classes, and hand counts."""

from __future__ import annotations

import numpy as np
import pytest

from ambidex.stats.clustering import (
    gap,
    gower,
    kmeans,
    medoids,
    mixture,
    mixture_figures,
    nearest,
    separation,
    silhouette,
    stability,
)
from ambidex.stats.latent import latent_classes
from oracle_rows import check

CELLS = (
    "1111 42, 1112 23, 1121 6, 1122 25, 1211 6, 1212 24, 1221 7, 1222 38, "
    "2111 1, 2112 4, 2121 1, 2122 6, 2211 2, 2212 9, 2221 2, 2222 20"
)


@pytest.fixture(scope="module")
def iris():
    from sklearn.datasets import load_iris

    return load_iris().data


def test_kmeans_and_silhouette_as_scikit_learn(iris):
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    own, other = kmeans(iris, 3, seed=0), KMeans(3, n_init=10, random_state=0).fit(iris)
    assert own.within == pytest.approx(other.inertia_, abs=1e-9)
    assert np.bincount(own.labels).tolist() == [62, 50, 38]
    assert silhouette(iris, own.labels) == pytest.approx(silhouette_score(iris, own.labels), abs=1e-12)


def test_mixture_as_scikit_learn(iris):
    from sklearn.mixture import GaussianMixture

    own = mixture(iris, 2, seed=0)
    other = GaussianMixture(2, n_init=3, random_state=0, tol=1e-8, max_iter=500).fit(iris)
    assert own.log_likelihood == pytest.approx(other.score(iris) * len(iris), abs=2e-3)
    assert own.bic == pytest.approx(other.bic(iris), abs=4e-3)
    figures = mixture_figures(iris, own.means, own.precisions, own.constants)
    assert figures["log_likelihood"] == pytest.approx(own.log_likelihood, abs=1e-6)
    assert (own.assign(iris) == own.labels).all()


def test_latent_classes_of_goodman():
    rows = [[int(c) - 1 for c in cell[:4]] for cell in CELLS.split(", ") for _ in range(int(cell[5:]))]
    fit = latent_classes(np.array(rows), 2, seed=0)
    check("Q3-05", fit.log_likelihood, fit.g2, *fit.shares, fit.bic)
    assert len(fit.labels) == 216 and set(fit.labels) == {0, 1}


def test_gower_by_hand():
    ages, plans = np.array([[20.0], [40.0]]), np.array([[0], [1]])
    d = gower(ages, plans, np.array([40.0]), ages, plans)
    assert d.tolist() == [[0.0, 0.75], [0.75, 0.0]]


def test_medoids_find_two_heaps():
    x = np.array([0.0, 1.0, 2.0, 100.0, 101.0])
    centres, labels = medoids(np.abs(x[:, None] - x[None]), 2, seed=0)
    assert x[centres].tolist() in ([1.0, 100.0], [1.0, 101.0]) and labels.tolist() == [0, 0, 0, 1, 1]


def test_groups_come_again_where_they_are_apart_only():
    rng = np.random.default_rng(0)

    def fit(x, seed):
        centres = kmeans(x, 2, seed=seed, starts=2).centres
        return centres, lambda z: nearest(z, centres)

    apart = np.concatenate([rng.normal(size=(100, 2)), rng.normal(8, 1, (100, 2))])
    estimate, each = stability(fit, apart, kmeans(apart, 2, seed=0).labels, seed=1, name="heaps")
    assert estimate.value == 1.0 and each.tolist() == [1.0, 1.0]
    cloud = rng.normal(size=(200, 2))
    estimate, _ = stability(fit, cloud, kmeans(cloud, 2, seed=0).labels, seed=1, name="cloud")
    assert estimate.value < 0.8


def test_a_pair_with_too_few_rows_is_not_separated():
    x = np.array([[0.0], [0.1], [0.2], [9.0]])

    def fit(part):
        return np.array([[0.0], [9.0]]), lambda z: nearest(z, np.array([[0.0], [9.0]]))

    (pair,) = separation(fit, x, np.array([True, False, False, False]))
    assert pair.low == -np.inf and pair.p_value is None


@pytest.mark.parametrize("x", [np.zeros((5, 2)), np.full((4, 1), 1e9), np.arange(3.0)[:, None]])
def test_constant_columns_and_as_many_groups_as_rows(x):
    fit = kmeans(x, 3, seed=0)
    assert np.isfinite(fit.centres).all() and fit.within >= 0
    assert np.isfinite(mixture(x, 2, seed=0).log_likelihood)


def test_kmeans_far_from_zero():
    x = np.random.default_rng(0).normal(size=(200, 2))
    x[:100] += 6
    assert (kmeans(x, 2, seed=0).labels == kmeans(x + 1e9, 2, seed=0).labels).all()


def test_gap_says_one_for_a_box_and_three_for_three_heaps():
    rng = np.random.default_rng(5)
    assert gap(rng.random((300, 2)), 5, seed=0)[0] == 1
    heaps = np.concatenate([rng.normal(c, 0.3, (100, 2)) for c in ((0, 0), (5, 0), (0, 5))])
    assert gap(heaps, 5, seed=0)[0] == 3
