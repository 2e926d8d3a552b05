"""Train a segment model: scale the inputs, draw the groups by one approach, name them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.bundle.segments import FORMAT, SegmentScorer
from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.records import Column, Recipe, Schema

__all__ = ["APPROACHES", "class_codes", "fit_groups", "fit_segments", "inputs_of", "scaled"]

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, npt.NDArray[Any]]

APPROACHES = ("rfm", "tiers", "kmeans", "mixture", "medoids", "classes", "hdbscan")

ALIKE = 5.0
"""Columns whose standard deviations differ by less than this are taken to share a unit, and keep it."""

SKEWED = 2.0
"""Skewness from which a column without negative values is read on a log scale."""

LEVELS = 30
SAMPLE = {"medoids": 1_500, "hdbscan": 5_000}
POINTS = (0.2, 0.4, 0.6, 0.8)
FEATURES = {
    "recency": ("long away", "recent"), "frequency": ("frequent", "rare"), "money": ("high spend", "low spend"),
    "tenure": ("old customers", "new customers"), "breadth": ("wide range", "narrow range"),
}  # fmt: skip
"""Words for much and little of what is counted on an order log."""

TIER_NAMES = {
    2: ("Best", "Others"),
    3: ("Best", "Middle", "Lowest"),
    4: ("Best", "Good", "Occasional", "Lowest"),
    5: ("Best", "Good", "Middle", "Occasional", "Lowest"),
}


def inputs_of(columns: Columns, *, scale: str = "auto") -> list[dict[str, Any]]:
    """How each input is read: its shape, centre and spread, as the model keeps them.

    Args:
        columns: float64 with NaN, or labels with None.
        scale: ``auto``, ``none``, ``standard``, ``log``. ``auto``: skewed columns by their logarithm; all in
            their own unit where their spreads are alike, else each divided by its standard deviation.
    """
    out: list[dict[str, Any]] = []
    spreads = []
    for name, values in columns.items():
        if values.dtype.kind == "O":
            levels, counts = np.unique([v for v in values.tolist() if v is not None], return_counts=True)
            order = np.argsort(-counts, kind="stable")[:LEVELS]
            out.append({"column": name, "kind": "category", "levels": [str(v) for v in levels[order]]})
            continue
        known = values[np.isfinite(values)]
        log = scale == "log" or (scale == "auto" and _skewed(known))
        unit = float(np.median(known[known > 0])) if log and (known > 0).any() else 1.0
        shown = np.log1p(np.maximum(known, 0.0) / unit) if log else known
        sd = float(shown.std()) or 1.0
        spreads.append((sd, log))
        out.append({
            "column": name, "kind": "number", "shape": "log" if log else "plain", "unit": _short(unit),
            "centre": _short(float(shown.mean())), "spread": _short(sd), "missing": _short(float(np.median(known))),
        })  # fmt: skip
    sizes = [sd for sd, _ in spreads]
    shared = bool(sizes) and max(sizes) < ALIKE * min(sizes) and len({log for _, log in spreads}) == 1
    if scale == "none" or (scale == "auto" and shared):
        for given in out:
            if given["kind"] == "number":
                given |= {"centre": 0.0, "spread": 1.0}
    return out


def scaled(columns: Columns, inputs: Sequence[Mapping[str, Any]]) -> Floats:
    """The inputs as the model sees them; labels as codes. Shape (n, inputs)."""
    rows = len(next(iter(columns.values())))
    scorer = SegmentScorer({
        "format": FORMAT, "inputs": list(inputs), "rule": {"kind": "tiers", "terms": [], "cuts": []},
        "schema": {"target": "", "task": "segments", "classes": [], "columns": []},
    })  # fmt: skip
    return np.column_stack(scorer._values(columns, rows))


def fit_groups(
    columns: Columns, *, approach: str, k: int, seed: int = 0, scale: str = "auto", target: str = "segment",
) -> dict[str, Any]:  # fmt: skip
    """Draw k groups.

    Args:
        columns: Inputs: float64 with NaN, or labels with None; shape (n,) each.
        approach: One of ``APPROACHES``. ``rfm`` takes recency, frequency, money; ``tiers`` any numbers;
            ``hdbscan`` finds its own k.
        k: Groups.
        seed: Of random beginnings.
        scale: See ``inputs_of``.
        target: What the output is called.

    Returns:
        Plain JSON, read by ``SegmentScorer``: ``inputs``, ``rule``, ``groups`` (name, size, profile), ``whole``.

    Raises:
        DataError: ``data.no-inputs`` if the approach has no column to work on; ``data.too-few-rows``.
    """
    used = {n: v for n, v in columns.items() if _fits(approach, n, v)}
    if not used:
        raise DataError("data.no-inputs", f"{approach} has no column to work on", found=", ".join(columns) or "none")
    rows = len(next(iter(used.values())))
    if rows < max(2, k):
        raise DataError("data.too-few-rows", f"{rows} rows cannot make {k} segments", do="ask for fewer: --k 2")
    inputs = inputs_of(used, scale="none" if approach == "rfm" else scale)
    x = scaled(used, inputs)
    rule = _RULES[approach](x, inputs, k, seed)
    count = _count(rule)
    schema = Schema(
        columns=tuple(_column(n, v) for n, v in used.items()), target=target, task="segments",
        classes=tuple(str(i) for i in range(count)),
    )  # fmt: skip
    model: dict[str, Any] = {
        "format": FORMAT, "approach": approach, "inputs": inputs, "rule": rule, "rows": rows,
        "schema": schema.to_json(),
    }  # fmt: skip
    place = SegmentScorer(model).score_columns(used, rows).astype(np.int64)
    whole = [_profile(given, x[:, j]) for j, given in enumerate(inputs)]
    groups = []
    for g in range(count):
        inside = place == g
        profile = [_profile(given, x[inside, j] if inside.any() else x[:, j]) for j, given in enumerate(inputs)]
        groups.append({"name": "", "size": int(inside.sum()), "profile": profile})
    names = _tier_names(count) if rule["kind"] == "tiers" else _names(groups, whole, inputs)
    for group, name in zip(groups, names, strict=True):
        group["name"] = name
    return {**model, "groups": groups, "whole": whole, "schema": replace(schema, classes=tuple(names)).to_json()}


def fit_segments(table: Table, recipe: Recipe, *, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Train by a recipe; ``options`` hold approach, k, scale and the kinds of the columns."""
    chosen = np.ones(table.rows, dtype=bool) if rows is None else np.asarray(rows, dtype=bool)
    kinds: Mapping[str, str] = recipe.options["columns"]
    columns = {n: (table.number(n) if kinds[n] == "number" else table.text(n))[chosen] for n in recipe.columns}
    for name, values in columns.items():
        if values.dtype.kind == "f" and not np.isfinite(values).any():
            raise DataError("data.all-missing", f"{name} holds no number in the training rows", where=table.name)
    model = fit_groups(
        columns, approach=recipe.options["approach"], k=int(recipe.options["k"]), seed=recipe.seed,
        scale=recipe.options["scale"], target=recipe.target,
    )  # fmt: skip
    schema = replace(Schema.from_json(model["schema"]), key=recipe.key, entity=recipe.entity, time=recipe.time)
    return {**model, "schema": schema.to_json()}


def _fits(approach: str, name: str, values: npt.NDArray[Any]) -> bool:
    number = values.dtype.kind == "f"
    if approach == "rfm":
        return name in ("recency", "frequency", "money") and number
    if approach == "classes":
        return not number
    return number or approach == "medoids"


def _skewed(known: Floats) -> bool:
    if len(known) < 20 or (known < 0).any() or known.std() == 0:
        return False
    return float((((known - known.mean()) / known.std()) ** 3).mean()) > SKEWED


def _column(name: str, values: npt.NDArray[Any]) -> Column:
    if values.dtype.kind == "O":
        levels, counts = np.unique([v for v in values.tolist() if v is not None], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        return Column(name=name, type="category", nullable=True, levels=tuple(str(v) for v in levels[order]))
    return Column(name=name, type="float", nullable=True)


def _profile(given: Mapping[str, Any], values: Floats) -> dict[str, Any]:
    if given["kind"] == "category":
        counts = np.bincount(values[values >= 0].astype(np.int64), minlength=len(given["levels"]))
        return {"shares": {v: _short(float(c) / len(values)) for v, c in zip(given["levels"], counts, strict=True)}}
    return {"mean": _short(float(values.mean())), "variance": _short(float(values.var()))}


def _tier_names(count: int) -> list[str]:
    return list(TIER_NAMES.get(count, [f"Tier {i + 1}" for i in range(count)]))


def _names(groups: list[dict[str, Any]], whole: list[dict[str, Any]], inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """What sets each group off, in one to three words a column; a number where that is not enough."""
    ranked = []
    for group in groups:
        marks = []
        for given, own, all_ in zip(inputs, group["profile"], whole, strict=True):
            if given["kind"] == "category":
                level, gain = max(
                    ((v, p - all_["shares"][v]) for v, p in own["shares"].items()),
                    key=lambda m: m[1],
                    default=("", 0.0),
                )
                marks.append((3 * gain, f"{given['column']} {level}"))
            else:
                away = (own["mean"] - all_["mean"]) / math.sqrt(max(all_["variance"], 1e-300))
                much, little = FEATURES.get(given["column"], (f"high {given['column']}", f"low {given['column']}"))
                marks.append((abs(away), much if away > 0 else little))
        ranked.append([text for size, text in sorted(marks, key=lambda m: -m[0]) if size > 0.3] or ["average"])
    for width in (2, 3, 1):
        names = [", ".join(r[:width]) for r in ranked]
        if len(set(names)) == len(names):
            break
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if names.count(name) == 1 else f"{name} ({seen[name]})")
    return [n[:1].upper() + n[1:] for n in out]


def _rfm(x: Floats, inputs: Sequence[Mapping[str, Any]], k: int, seed: int) -> dict[str, Any]:
    terms = []
    total = np.zeros(len(x))
    for j, given in enumerate(inputs):
        cuts = sorted({_short(float(c)) for c in np.quantile(x[:, j], POINTS, method="inverted_cdf")})
        weight = -1.0 if given["column"] == "recency" else 1.0
        terms.append({"input": given["column"], "weight": weight, "cuts": cuts})
        total += weight * np.searchsorted(cuts, x[:, j], side="right")
    return {"kind": "tiers", "terms": terms, "cuts": _cuts(total, k)}


def _tiers(x: Floats, inputs: Sequence[Mapping[str, Any]], k: int, seed: int) -> dict[str, Any]:
    spread = np.maximum(x.std(axis=0), 1e-300)
    z = (x - x.mean(axis=0)) / spread
    _, vectors = np.linalg.eigh(np.atleast_2d(z.T @ z) / len(z))
    weights = vectors[:, -1] / spread
    if weights @ spread < 0:
        weights = -weights
    weights = np.array([_short(float(w)) for w in weights])
    total = np.zeros(len(x))
    for j in range(x.shape[1]):
        total = total + weights[j] * x[:, j]
    terms = [{"input": g["column"], "weight": float(w), "cuts": []} for g, w in zip(inputs, weights, strict=True)]
    return {"kind": "tiers", "terms": terms, "cuts": _cuts(total, k)}


def _cuts(total: Floats, k: int) -> list[float]:
    """Cuts that make k parts as even as ties allow; fewer where values repeat too much."""
    found = sorted({float(c) for c in np.quantile(total, np.arange(1, k) / k, method="higher")})
    lowest = float(total.min())
    return [c for c in found if c > lowest]


def _kmeans(x: Floats, inputs: Sequence[Mapping[str, Any]], k: int, seed: int) -> dict[str, Any]:
    from ambidex.stats.clustering import kmeans

    return {"kind": "centres", "centres": _matrix(kmeans(x, k, seed=seed).centres)}


def _mixture(x: Floats, inputs: Sequence[Mapping[str, Any]], k: int, seed: int) -> dict[str, Any]:
    from ambidex.stats.clustering import mixture

    fit = mixture(x, k, seed=seed)
    return {
        "kind": "mixture", "means": _matrix(fit.means), "precisions": [_matrix(p) for p in fit.precisions],
        "constants": _matrix(fit.constants[None])[0],
    }  # fmt: skip


def _medoids(x: Floats, inputs: Sequence[Mapping[str, Any]], k: int, seed: int) -> dict[str, Any]:
    from ambidex.stats.clustering import gower, medoids

    number = np.array([g["kind"] == "number" for g in inputs], dtype=bool)
    some = _sample(x, "medoids", seed)
    ranges = np.maximum(np.ptp(x[:, number], axis=0), 1e-12) if number.any() else np.zeros(0)
    n, c = some[:, number], some[:, ~number].astype(np.int64)
    chosen, _ = medoids(gower(n, c, ranges, n, c), k, seed=seed)
    spans = iter(ranges.tolist())
    return {
        "kind": "medoids", "medoids": _matrix(some[chosen]),
        "ranges": [_short(next(spans)) if is_number else None for is_number in number],
    }  # fmt: skip


def class_codes(x: Floats, inputs: Sequence[Mapping[str, Any]]) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Codes of ``scaled`` labels, missing and rare ones as a level of their own; and the levels of each column."""
    codes = x.astype(np.int64)
    sizes = [len(g["levels"]) for g in inputs]
    return np.where(codes < 0, np.array(sizes)[None], codes), sizes


def _classes(x: Floats, inputs: Sequence[Mapping[str, Any]], k: int, seed: int) -> dict[str, Any]:
    from ambidex.stats.latent import latent_classes

    codes, sizes = class_codes(x, inputs)
    fit = latent_classes(codes, k, seed=seed)

    def logs_of(table: Floats, size: int) -> list[float]:
        return [_short(math.log(table[i])) if i < len(table) else -27.0 for i in range(size)]

    logs = [[logs_of(t[g], s) for t, s in zip(fit.tables, sizes, strict=True)] for g in range(k)]
    return {"kind": "classes", "log_shares": [_short(math.log(max(s, 1e-300))) for s in fit.shares], "logs": logs}


def _hdbscan(x: Floats, inputs: Sequence[Mapping[str, Any]], k: int, seed: int) -> dict[str, Any]:
    """HDBSCAN's clusters by their means; a row belongs to the nearest. It finds its own number."""
    from ambidex.stats.clustering import density

    return {"kind": "centres", "centres": _matrix(density(_sample(x, "hdbscan", seed)))}


_RULES = {
    "rfm": _rfm, "tiers": _tiers, "kmeans": _kmeans, "mixture": _mixture, "medoids": _medoids, "classes": _classes,
    "hdbscan": _hdbscan,
}  # fmt: skip


def _count(rule: Mapping[str, Any]) -> int:
    by = {"centres": "centres", "mixture": "means", "medoids": "medoids", "classes": "log_shares"}
    return len(rule["cuts"]) + 1 if rule["kind"] == "tiers" else len(rule[by[rule["kind"]]])


def _sample(x: Floats, approach: str, seed: int) -> Floats:
    most = SAMPLE[approach]
    if len(x) <= most:
        return x
    return x[np.sort(np.random.default_rng(seed).choice(len(x), most, replace=False))]


def _matrix(values: Floats) -> list[list[float]]:
    return [[_short(float(v)) for v in row] for row in values]


def _short(number: float) -> float:
    """Twelve significant digits: readable, and the same on machines whose last bits differ."""
    return float(f"{number:.12g}")
