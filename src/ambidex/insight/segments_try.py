"""One approach tried: are its groups apart, how many, do they come again, can a short rule name them?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.bundle.segments import SegmentScorer
from ambidex.bundle.segments_fit import class_codes, fit_groups, inputs_of, scaled
from ambidex.insight.segments_rows import Columns, Rows, jittered, sample, taken
from ambidex.stats import clustering
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.estimate import Estimate
from ambidex.stats.latent import latent_classes
from ambidex.stats.rules import tree_accuracy

__all__ = ["LABELS", "MOST_K", "Tried", "try_approach"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LABELS = {
    "rfm": "RFM tiers", "tiers": "tiers on one axis", "kmeans": "k-means", "mixture": "Gaussian mixture",
    "medoids": "medoids (Gower)", "classes": "latent classes", "hdbscan": "HDBSCAN",
}  # fmt: skip

SEARCHES = ("kmeans", "mixture", "hdbscan")
"""Approaches whose groups can be put to the dip: they look for clusters among numbers. The others cut or count."""

MOST_K = 6
CUT = 4
DEFAULT_K = {"rfm": CUT, "tiers": CUT, "medoids": 3, "classes": 2, "hdbscan": 2}
TESTED, COUNTED, AGAIN = 4_000, 2_000, 1_500
"""Rows, at most, on which separation, the number of groups and stability are measured."""

ROUGH = 1e-4
"""Gain of a mixture's log-likelihood a row below which a search for groups ends; the groups shown go on to 1e-7."""

LEAST = 20
"""Rows below which no valley could be seen."""

EACH = 0.025
"""Alpha of a direction: either half may draw and the other be assigned, and one of the two must tell (.05 together)."""

SECOND = 0.2
"""Alpha of the other direction, where k was searched for: then both must tell. A cloud without groups cut in two passes
the first look once in 20 at worst (a uniform gradient), both once in 100."""


@dataclass(frozen=True)
class Tried:
    """What came of one approach.

    Attributes:
        approach: Its name.
        model: The groups drawn on all rows, as JSON.
        labels: Group of each row, shape (n,).
        valley: The claim that each pair of groups has a valley between them; None for approaches that cut.
        counts: A row a number of groups: k, pairs apart, gap, BIC.
        apart: True if every pair is separated.
        stability: Least stable group's mean Jaccard index over bootstrap samples.
        stable: The claim that it is above .75.
        each_stable: Mean Jaccard of every group.
        figures: ``within`` and ``silhouette`` of k-means; ``log_likelihood`` and ``bic`` of a mixture.
        accuracy: Share of rows that a tree of depth three puts into their group, on rows it was not grown on.
    """

    approach: str
    model: dict[str, Any]
    labels: Ints
    valley: Verdict | None
    counts: list[dict[str, Any]]
    apart: bool
    stability: Estimate
    stable: Verdict
    each_stable: Floats
    accuracy: float
    figures: dict[str, float]

    @property
    def k(self) -> int:
        """Number of groups."""
        return len(self.model["groups"])

    @property
    def names(self) -> list[str]:
        """Names of the groups."""
        return [str(g["name"]) for g in self.model["groups"]]

    @property
    def sizes(self) -> list[int]:
        """Rows of each group."""
        return [int(g["size"]) for g in self.model["groups"]]

    @property
    def types(self) -> bool:
        """True if its groups are apart and come again."""
        return self.apart and self.stable.outcome == "supported"

    @property
    def label(self) -> str:
        """Its name in words."""
        return LABELS[self.approach]


def try_approach(rows: Rows, approach: str, *, k: int | None, scale: str, seed: int) -> Tried:
    """Draw groups by one approach.

    Existence comes first: for each number of groups, fit on half of the rows, assign the other half, and dip every
    pair along the line of its centres. Where several numbers pass, gap (k-means) or BIC (mixture) chooses among
    them. Where none passes the groups are slices, as many as there are tiers.

    Args:
        rows: What is grouped.
        approach: One of ``LABELS``.
        k: Number of groups, or None to look for it.
        scale: See ``inputs_of``.
        seed: Of halves, beginnings and bootstrap samples.

    Raises:
        DataError: ``data.no-inputs``, ``data.too-few-rows``.
    """
    valley: Verdict | None = None
    counts: list[dict[str, Any]] = []
    apart = False
    chosen = k if k is not None else min(DEFAULT_K.get(approach, 3), max(2, rows.count - 1))
    if approach in SEARCHES and rows.numbers and rows.count >= LEAST:
        chosen, counts, apart, valley = _search(rows, approach, k, scale, seed)
    elif approach == "classes" and k is None:
        chosen, counts = _classes(rows, chosen, seed)
    model = fit_groups(rows.columns, approach=approach, k=chosen, seed=seed, scale=scale)
    scorer = SegmentScorer(model)
    labels = scorer.score_columns(rows.columns, rows.count).astype(np.int64)
    stability, each = _again(rows, model, labels, scale, seed)
    stable = decide(Claim(measure=stability.name, relation="above", margin=0.75), stability)
    used = scaled({i["column"]: rows.columns[i["column"]] for i in model["inputs"]}, model["inputs"])
    accuracy = tree_accuracy(used, labels, seed=seed)
    figures = _figures(model, used, labels, seed)
    return Tried(approach, model, labels, valley, counts, apart, stability, stable, each, accuracy, figures)


def _figures(model: dict[str, Any], x: Floats, labels: Ints, seed: int) -> dict[str, float]:
    """What the fit says of itself. None of it tells whether groups exist."""
    rule = model["rule"]
    if rule["kind"] == "centres":
        centres = np.array(rule["centres"])
        some = sample(len(x), COUNTED, seed)
        within = float(((x - centres[labels]) ** 2).sum())
        return {"within": within, "silhouette": clustering.silhouette(x[some], labels[some])}
    if rule["kind"] == "mixture":
        return clustering.mixture_figures(x, rule["means"], rule["precisions"], rule["constants"])
    return {}


def _classes(rows: Rows, otherwise: int, seed: int) -> tuple[int, list[dict[str, Any]]]:
    """How many latent classes: the least BIC among numbers that the cells can tell apart.

    One class says that the columns are independent; then nothing is there to divide, and ``otherwise`` is drawn.
    """
    labels = {n: v for n, v in rows.columns.items() if v.dtype.kind == "O"}
    if not labels:
        return otherwise, []
    inputs = inputs_of(labels)
    some = sample(rows.count, COUNTED, seed)
    codes, _ = class_codes(scaled(taken(labels, some), inputs), inputs)
    each = [int(codes[:, j].max()) for j in range(codes.shape[1])]
    cells = len(np.unique(codes, axis=0))
    bic = {}
    for many in range(1, MOST_K + 1):
        if many > 1 and many - 1 + many * sum(each) >= cells:
            break
        fit = latent_classes(codes, many, seed=seed, starts=4, rounds=300, tolerance=1e-7)
        bic[many] = fit.bic
    says = min(bic, key=lambda m: bic[m])
    table = [{"k": m, "bic": round(v, 1), "chosen_by_index": m == says} for m, v in bic.items()]
    return (says if says > 1 else otherwise), table


def _search(
    rows: Rows, approach: str, k: int | None, scale: str, seed: int
) -> tuple[int, list[dict[str, Any]], bool, Verdict | None]:
    """How many groups: those that are apart, else what gap or BIC says."""
    most = max(2, min(MOST_K, rows.count // 10))
    own = approach == "hdbscan"
    tested = [k] if k is not None and not own else [2] if own else list(range(2, most + 1))
    claims: dict[int, Verdict | None] = {}
    passed = []
    table: dict[int, dict[str, Any]] = {}
    for many in tested:
        looks = [_pairs(rows, approach, many, scale, seed, exchanged=e) for e in (False, True)]
        pairs, others = sorted(looks, key=_largest_p)
        claims[many] = first = _claim(approach, pairs)
        apart = first is not None and first.outcome == "supported"
        if apart and k is None and not own:
            second = _claim(approach, others, alpha=SECOND)
            apart = second is not None and second.outcome == "supported"
        if apart:
            passed.append(many)
        clear = sum(decide(Claim(measure="", alpha=EACH, sides=1), e).outcome == "supported" for e in pairs)
        table[many] = {"k": many, "pairs": len(pairs), "pairs_apart": clear, "all_apart": apart}
    if approach == "hdbscan":
        return 2, [], bool(passed), claims[2]
    if k is not None:
        return k, list(table.values()), k in passed, claims.get(k)
    x = _matrix(rows, scale, COUNTED, seed)
    if approach == "kmeans":
        says, gaps, _ = clustering.gap(x, most, seed=seed)
        for many, value in enumerate(gaps, start=1):
            table.setdefault(many, {"k": many})["gap"] = round(value, 4)
    else:
        fits = {
            many: clustering.mixture(x, many, seed=seed, starts=2, rounds=80, tolerance=ROUGH).bic
            for many in range(1, most + 1)
        }
        says = min(fits, key=lambda m: fits[m])
        for many, value in fits.items():
            table.setdefault(many, {"k": many})["bic"] = round(value, 1)
    for row in table.values():
        row["chosen_by_index"] = row["k"] == says
    # Where nothing is apart, the cloud is cut as finely as the tiers are, so that no approach wins by cutting finer.
    chosen = says if says in passed else max(passed) if passed else min(CUT, most)
    return chosen, [table[m] for m in sorted(table)], chosen in passed, claims.get(chosen)


def _pairs(rows: Rows, approach: str, k: int, scale: str, seed: int, *, exchanged: bool = False) -> list[Estimate]:
    """The dip of each pair of groups, on the half of the rows that the groups were not drawn on."""
    x = _matrix(rows, scale, TESTED, seed, smooth=True)
    half = np.random.default_rng(seed).permutation(len(x)) < len(x) // 2
    return clustering.separation(_fit(approach, k, seed), x, ~half if exchanged else half)


def _p(estimate: Estimate) -> float:
    return estimate.p_value if estimate.p_value is not None else 2.0


def _largest_p(pairs: list[Estimate]) -> float:
    return max((_p(e) for e in pairs), default=2.0)


def _claim(approach: str, pairs: list[Estimate], *, alpha: float = EACH) -> Verdict | None:
    """That every pair is apart: decided on the least separated one, since all must be."""
    if not pairs:
        return None
    least = max(pairs, key=lambda e: (_p(e), -e.value))
    what = "the two segments" if len(pairs) == 1 else f"the two least separated segments of {len(pairs)} pairs"
    measure = f"the valley between {what}, {LABELS[approach]} (dip, on rows that drew none)"
    return decide(Claim(measure=measure, relation="above", margin=0.0, alpha=alpha, sides=1), least)


def _matrix(rows: Rows, scale: str, most: int, seed: int, *, smooth: bool = False) -> Floats:
    some = sample(rows.count, most, seed)
    columns: Columns = taken(rows.numbers, some)
    inputs = inputs_of(rows.numbers, scale=scale)
    return scaled(jittered(columns, seed) if smooth else columns, inputs)


def _fit(approach: str, k: int, seed: int, starts: int = 5) -> Callable[[Floats], tuple[Floats, clustering.Assign]]:
    def fit(x: Floats) -> tuple[Floats, clustering.Assign]:
        many = max(1, min(k, len(x) - 1))
        if approach == "mixture":
            mixed = clustering.mixture(x, many, seed=seed, starts=2 if starts > 2 else 1, rounds=80, tolerance=ROUGH)
            return mixed.means, mixed.assign
        if approach == "hdbscan":
            centres = clustering.density(x)
        else:
            centres = clustering.kmeans(x, many, seed=seed, starts=starts).centres
        return centres, lambda z: clustering.nearest(z, centres)

    return fit


def _again(rows: Rows, model: dict[str, Any], labels: Ints, scale: str, seed: int) -> tuple[Estimate, Floats]:
    """Stability of the groups, by fitting again on bootstrap samples of the rows."""
    approach, k = model["approach"], len(model["groups"])
    slow = approach in ("medoids", "classes", "hdbscan")
    some = sample(rows.count, 400 if slow else AGAIN, seed)
    columns = taken(rows.columns, some)
    name = f"Jaccard index of the least stable segment, {LABELS[approach]}"
    if len(np.unique(labels[some])) < k or k < 2:
        nothing = Estimate(
            name=name, kind="share", value=0.0, low=-np.inf, high=np.inf, n=len(some), unit="share",
            method="bootstrap Jaccard",
        )  # fmt: skip
        return nothing, np.zeros(k)
    if approach in ("kmeans", "mixture"):
        x = scaled({i["column"]: columns[i["column"]] for i in model["inputs"]}, model["inputs"])
        return clustering.stability(
            lambda z, s: _fit(approach, k, s, starts=2)(z), x, labels[some], seed=seed, draws=20, name=name
        )
    index = np.arange(len(some), dtype=np.float64)[:, None]

    def fit(picked: Floats, s: int) -> tuple[Floats, clustering.Assign]:
        chosen = picked[:, 0].astype(np.int64)
        again = SegmentScorer(fit_groups(taken(columns, chosen), approach=approach, k=k, seed=s, scale=scale))
        everyone = again.score_columns(columns, len(some)).astype(np.int64)
        return np.zeros((0, 0)), lambda _: everyone

    return clustering.stability(fit, index, labels[some], seed=seed, draws=10 if slow else 20, name=name)
