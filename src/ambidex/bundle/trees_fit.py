"""Train trees behind feature steps by a recipe: the same rows give the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.steps import DATE_PARTS, function_of, seconds_of
from ambidex.bundle.trees import FORMAT, TreeScorer
from ambidex.data.table import Table
from ambidex.errors import DataError, did_you_mean
from ambidex.records import Column, Recipe, Schema

__all__ = ["FAMILIES", "FEATURES", "fit_trees"]

FAMILIES = ("boosted", "forest")
FEATURES = ("dates", "means", "past")
"""Feature steps that a recipe's ``options`` may ask for: parts of dates, label means, the entity's rows before."""
FOLDS = 5
WEIGHT = 20.0
"""A label's mean counts its rows, and the overall mean as so many."""
MOST_PAST = 200_000
"""Most rows whose past is kept in a model."""


def fit_trees(table: Table, recipe: Recipe, *, rows: NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Train by ``recipe.options``: ``family``, ``features`` (of ``FEATURES``), ``params``.

    Label means are those of other folds while training, and of all training rows afterwards; what is known of an
    entity is counted strictly before each row's event time, in training as in use.

    Args:
        table: Rows with the outcome.
        recipe: Outcome, inputs, riders, options.
        rows: Which rows to train on, shape (rows,); all by default.

    Returns:
        Plain JSON: ``format``, ``schema``, ``steps``, ``trees``, ``link``, ``base`` (base rate or mean), ``rows``.

    Raises:
        DataError: ``data.no-label``, ``data.schema`` for a family that is not known or a past without entity and time.
    """
    from ambidex.stats.ensembles import fit_boosted, fit_forest

    chosen = table if rows is None else table.take(rows)
    y, classes = _outcome(chosen, recipe)
    family = str(recipe.options.get("family", "boosted"))
    if family not in FAMILIES:
        raise DataError("data.schema", f"no family {family[:40]!r}", found=", ".join(FAMILIES))
    features = set(recipe.options.get("features", ()))
    inputs, steps = _steps(chosen, recipe, features, y)
    schema = Schema(
        columns=tuple(inputs), target=recipe.target, task=recipe.task, classes=classes, key=recipe.key,
        entity=recipe.entity, time=recipe.time,
    )  # fmt: skip
    empty: dict[str, Any] = {
        "format": FORMAT, "schema": schema.to_json(), "steps": steps, "trees": [], "base_score": 0.0, "scale": 1.0,
        "link": "identity", "single": False,
    }  # fmt: skip
    columns = {c.name: chosen.text(c.name) if c.type == "category" else chosen.number(c.name) for c in inputs}
    x = TreeScorer(empty).matrix(columns, chosen.rows)
    _means_of_others(x, steps, columns, y)
    fitted = (fit_boosted if family == "boosted" else fit_forest)(
        x, y, binary=recipe.task == "binary", seed=recipe.seed, params=dict(recipe.options.get("params", {}))
    )
    return {
        **empty, "trees": fitted["trees"], "base_score": fitted["base"], "scale": fitted["scale"],
        "link": fitted["link"], "single": fitted["single"], "base": float(y.mean()), "rows": len(y),
    }  # fmt: skip


def _outcome(table: Table, recipe: Recipe) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    if recipe.task != "binary":
        return np.asarray(table.number(recipe.target), dtype=np.float64), ()
    labels, positive = table.text(recipe.target), str(recipe.positive)
    y = np.fromiter((v == positive for v in labels), dtype=np.float64, count=table.rows)
    if not y.any():
        near = did_you_mean(positive, {str(v) for v in labels})
        raise DataError("data.no-label", f"{recipe.target} is never {positive!r}{near}", where=table.name)
    others = sorted({str(v) for v in labels if v is not None and v != positive})
    return y, (others[0] if len(others) == 1 else f"not {positive}", positive)


def _steps(
    table: Table, recipe: Recipe, features: set[str], y: NDArray[np.float64]
) -> tuple[list[Column], list[dict[str, Any]]]:
    """The inputs, and what is made of each."""
    inputs: list[Column] = []
    steps: list[dict[str, Any]] = []
    for name in recipe.columns:
        if table.facts(name).type in ("number", "integer"):
            values = table.number(name)
            seen = values[np.isfinite(values)]
            whole = bool(seen.size) and bool((seen == np.floor(seen)).all())
            missing = bool(np.isnan(values).any())
            inputs.append(Column(name=name, type="integer" if whole else "float", nullable=missing))
            steps.append({"kind": "number", "columns": [name]})
            continue
        texts = table.text(name)
        counts = Counter(v for v in texts if v is not None)
        ordered = sorted(counts, key=lambda v: (-counts[v], v))
        missing = any(v is None for v in texts)
        dated = "dates" in features and _is_dates(ordered)
        inputs.append(Column(name=name, type="category", nullable=missing, levels=() if dated else tuple(ordered)))
        if dated:
            steps += [{"kind": "date", "columns": [name], "part": part} for part in DATE_PARTS]
        elif "means" in features and len(ordered) > 2:
            steps.append({"kind": "mean", "columns": [name], **_means(texts, y)})
        else:
            steps.append({"kind": "levels", "columns": [name], "levels": ordered})
    if "past" in features:
        more, added = _past(table, recipe, {c.name for c in inputs})
        inputs += more
        steps += added
    return inputs, steps


def _is_dates(labels: Sequence[str]) -> bool:
    some = labels[:200]
    return bool(some) and sum(seconds_of(v) == seconds_of(v) for v in some) >= 0.95 * len(some)


def _means(texts: Any, y: NDArray[np.float64]) -> dict[str, Any]:
    overall = float(y.mean())
    labels, codes = np.unique(np.array(["" if v is None else v for v in texts], dtype=object).astype(str),
                              return_inverse=True)  # fmt: skip
    counts = np.bincount(codes, minlength=len(labels))
    sums = np.bincount(codes, weights=y, minlength=len(labels))
    means = (sums + WEIGHT * overall) / (counts + WEIGHT)
    return {"means": {str(v): float(m) for v, m in zip(labels, means, strict=True) if v}, "other": overall}


def _means_of_others(x: NDArray[np.float64], steps: list[dict[str, Any]], columns: Any, y: NDArray[np.float64]) -> None:
    """Put in place what the label means are without the row's own fold: with its own outcome they would tell it."""
    fold = np.arange(len(y)) % FOLDS
    for j, step in enumerate(steps):
        if step["kind"] != "mean":
            continue
        texts = columns[step["columns"][0]]
        for k in range(FOLDS):
            _, one = function_of({**step, **_means(texts[fold != k], y[fold != k])})
            x[fold == k, j] = [one(v) for v in texts[fold == k]]


def _past(table: Table, recipe: Recipe, inputs: set[str]) -> tuple[list[Column], list[dict[str, Any]]]:
    entity, time = recipe.entity, recipe.time
    if entity is None or time is None:
        raise DataError("data.schema", "what is known of an entity needs an entity and an event time",
                        do="write entity and time under [models.NAME]")  # fmt: skip
    if table.rows > MOST_PAST:
        raise DataError("data.schema", f"the past of {table.rows:,} rows is more than a model keeps",
                        found=f"at most {MOST_PAST:,}")  # fmt: skip
    who, when = table.text(entity), np.array([seconds_of(str(v)) for v in table.text(time)])
    numbers = [n for n in recipe.columns if table.facts(n).type in ("number", "integer") and n not in (entity, time)]
    usable = np.flatnonzero(np.isfinite(when) & np.array([v is not None for v in who]))
    usable = usable[np.argsort(when[usable], kind="stable")]

    def kept(values: NDArray[np.float64] | None) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for i in usable:
            if values is not None and np.isnan(values[i]):
                continue
            mine = found.setdefault(str(who[i]), {"at": [], "sum": []})
            mine["at"].append(float(when[i]))
            if values is not None:
                mine["sum"].append((mine["sum"][-1] if mine["sum"] else 0.0) + float(values[i]))
        return found

    visits = kept(None)
    columns = [entity, time]
    steps: list[dict[str, Any]] = [
        {"kind": "past", "columns": columns, "what": what, "past": visits} for what in ("count", "since")
    ]
    steps += [
        {"kind": "past", "columns": columns, "what": "mean", "of": n, "past": kept(table.number(n))} for n in numbers
    ]
    more = [Column(name=n, type="category", nullable=True) for n in columns if n not in inputs]
    return more, steps
