"""Look for a better recipe: families and feature steps tried on training rows only, every trial kept, resumable.

The held-out fifth is never seen: trials are compared on validation rows cut out of the training rows, the last quarter
by event time (with an embargo of one label horizon before it) or a quarter of the units. The winner is then trained and
measured as any recipe is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of
from ambidex.bundle.fit import fit
from ambidex.bundle.open import load_scorer
from ambidex.data.table import Table
from ambidex.delivery.material import Material, outcome
from ambidex.delivery.train import losses, repeated
from ambidex.errors import AmbidexError, DataError
from ambidex.ports import Place
from ambidex.records import Recipe, canonical, digest
from ambidex.settings import SearchSettings, duration

__all__ = ["Found", "search", "searchable", "trials"]

Say = Callable[[str], None]
VALIDATION = 4
"""One unit in so many, or the last of so many parts of the time, compares the trials."""


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        recipe: The best one tried.
        record: For the lineage: ``tried``, ``families``, ``trials``, ``split``, ``rows``, ``seconds``, ``stopped``.
    """

    recipe: Recipe
    record: dict[str, Any] = field(default_factory=dict)


def searchable(recipe: Recipe) -> bool:
    """Whether other families can be tried in a recipe's place: a labelled table, no code, segments or uplift."""
    return recipe.task in ("binary", "regression") and recipe.estimator in ("additive", "trees")


def search(
    place: Place, name: str, material: Material, recipe: Recipe, settings: SearchSettings, *, key: str,
    horizon_s: float | None = None, say: Say | None = None,
) -> Found:  # fmt: skip
    """Try recipes until the trials or the time are used up; what was tried before a kill is not tried again.

    A time budget decides how many trials there are, so only ``trials`` alone gives the same model on any machine; the
    record says which of the two ended the search.

    Args:
        place: The workspace; finished trials are kept in its store.
        name: Model's name.
        material: The rows, split; only those that are not held out are used.
        recipe: What is trained today.
        settings: Trials, budget, families.
        key: Names data, code and configuration; another key begins anew.
        horizon_s: Embargo between fitting and validation rows, seconds of event time.
        say: Told one line a trial.

    Raises:
        DataError: ``data.too-few-rows`` if nothing is left to compare on; ``data.no-recipe`` if no trial
            could be fitted, or no other family can be tried in the recipe's place.
    """
    if not searchable(recipe):
        raise DataError(
            "data.no-recipe", f"{name} is a model of {recipe.estimator}, in whose place no other family can be tried",
            found="additive recipes and those of trees", do="ambidex drivers TABLE --target COL, and package that",
        )  # fmt: skip
    rows = material.table.take(~material.held_out)
    checks, split = _validation(rows, recipe, horizon_s)
    fit_on, compare = rows.take(checks == 0), rows.take(checks == 1)
    if min(fit_on.rows, compare.rows) < 20:
        raise DataError(
            "data.too-few-rows",
            f"{rows.rows} training rows are too few to compare recipes on",
            where=material.table.name,
        )
    y = outcome(compare, recipe)
    spread = float(np.var(outcome(fit_on, recipe)))
    document = f"search/{name}"
    kept = place.store.document(document) or {}
    named = digest(canonical([key, [settings.trials, list(settings.families)], recipe.to_json()]))[:16]
    done: list[dict[str, Any]] = list(kept["trials"]) if kept.get("key") == named and not kept.get("ended") else []
    before = float(sum(t["seconds"] for t in done))
    begun, stopped = time.monotonic(), "trials"
    budget = duration(settings.budget) if settings.budget is not None else None
    for number, tried in enumerate(trials(recipe, settings)):
        if number < len(done):
            continue
        if budget is not None and before + time.monotonic() - begun > budget and number > 2:
            stopped = "budget"
            break
        found = _try(tried, fit_on, compare, y, spread)
        done.append({"n": number, **found})
        place.store.put_document(document, {"key": named, "trials": done, "ended": False})
        if say is not None:
            best = min(t["loss"] for t in done if t["loss"] is not None)
            said = "not fitted: " + found["why"] if found["loss"] is None else f"loss {found['loss']:.4f}"
            say(f"{number + 1} {found['what']}: {said}, best {best:.4f}, {found['seconds']:.1f} s")
    place.store.put_document(document, {"key": named, "trials": done, "ended": True})
    usable = [t for t in done if t["loss"] is not None and t["what"] != "constant"]
    if not usable:
        raise DataError("data.no-recipe", "no recipe could be fitted", found=str(done[-1].get("why")))
    best_trial = min(usable, key=lambda t: (t["loss"], t["n"]))
    winner = next(r for n, r in enumerate(trials(recipe, settings)) if n == best_trial["n"])
    record = {
        "tried": len(done), "families": sorted({t["family"] for t in done}), "trials": done, "best": best_trial["n"],
        "split": split, "rows": [fit_on.rows, compare.rows], "stopped": stopped, "resumed": bool(before),
        "seconds": before + time.monotonic() - begun,
    }  # fmt: skip
    return Found(winner, record)


def trials(recipe: Recipe, settings: SearchSettings) -> Iterator[Recipe]:
    """The recipes in the order in which they are tried, the same for the same seed: constant and linear always first.

    ``trials`` counts those after the two. Every family comes once as it is, then with feature steps and other settings.
    """
    plain = replace(recipe, estimator="additive", options={})
    yield replace(plain, columns=())
    yield replace(plain, options={"straight": True})
    rng = np.random.default_rng(recipe.seed)
    steps = ["dates", "means", *(["past"] if recipe.entity and recipe.time else [])]
    seen: set[bytes] = {canonical(replace(plain, options={"straight": True}).to_json())}
    count, misses = 0, 0
    while count < settings.trials and misses < 200:
        family = settings.families[(count + misses) % len(settings.families)]
        first = count < len(settings.families) and not misses
        if family in ("additive", "linear"):
            made = replace(plain, options={"straight": True} if family == "linear" else {})
        else:
            features = ["dates"] if first else [s for s in steps if rng.uniform() < 0.6]
            options = {"family": family, "features": features, "params": _params(family, rng, first)}
            made = replace(recipe, estimator="trees", options=options)
        text = canonical(made.to_json())
        if text in seen:
            misses += 1
            continue
        seen.add(text)
        count += 1
        yield made


def _params(family: str, rng: np.random.Generator, first: bool) -> dict[str, Any]:
    if family == "boosted":
        if first:
            return {"max_iter": 100, "learning_rate": 0.08, "max_leaf_nodes": 15}
        return {
            "max_iter": int(rng.choice([50, 100, 200, 300])),
            "learning_rate": round(float(10 ** rng.uniform(-2, -0.6)), 4),
            "max_leaf_nodes": int(rng.choice([4, 8, 15, 31])), "min_samples_leaf": int(rng.choice([10, 20, 50, 100])),
            "l2_regularization": round(float(10 ** rng.uniform(-2, 1.5)), 4),
        }  # fmt: skip
    if first:
        return {"n_estimators": 60, "min_samples_leaf": 10, "max_features": 0.5}
    return {
        "n_estimators": int(rng.choice([60, 120])), "min_samples_leaf": int(rng.choice([3, 5, 10, 25, 50])),
        "max_features": round(float(rng.uniform(0.2, 0.9)), 3),
    }  # fmt: skip


def _try(tried: Recipe, fit_on: Table, compare: Table, y: NDArray[np.float64], spread: float) -> dict[str, Any]:
    """Fit one recipe and compare it; one that cannot be fitted is a trial too."""
    family = "constant" if not tried.columns else str(tried.options.get("family") or (
        "linear" if tried.options.get("straight") else "additive"))  # fmt: skip
    features = list(tried.options.get("features", ()))
    said: dict[str, Any] = {
        "family": family, "features": features, "params": dict(tried.options.get("params", {})),
        "what": " + ".join([family, *features]),
    }  # fmt: skip
    begun = time.monotonic()
    try:
        if family == "constant":
            scores = repeated(float(outcome(fit_on, tried).mean()), compare.rows)
        else:
            scorer = load_scorer(fit(fit_on, tried))
            columns, _ = columns_of(compare, scorer.schema.relaxed())
            scores = np.asarray(scorer.score_columns(columns, compare.rows), dtype=np.float64)
    except (AmbidexError, ValueError, np.linalg.LinAlgError) as error:
        why = error.message if isinstance(error, AmbidexError) else str(error)
        return {**said, "loss": None, "why": why[:200], "seconds": time.monotonic() - begun}
    loss = float(losses(y, scores, tried.task, spread=spread).mean())
    return {**said, "loss": loss, "why": "", "seconds": time.monotonic() - begun}


def _validation(rows: Table, recipe: Recipe, horizon_s: float | None) -> tuple[NDArray[np.int64], str]:
    """0 to fit on, 1 to compare on, 2 left out as embargo; and the split in words."""
    from ambidex.data.fingerprint import folds

    if recipe.time is not None and recipe.time in rows.columns:
        when = rows.times(recipe.time).values
        known = ~np.isnat(when)
        if known.mean() > 0.9:
            cut = np.sort(when[known])[int(known.sum() * (1 - 1 / VALIDATION))]
            from_ = cut - np.timedelta64(int(horizon_s or 0), "s")
            side = np.where(when >= cut, 1, np.where(when < from_, 0, 2)).astype(np.int64)
            side[~known] = 0
            words = f"the last quarter of the training rows by {recipe.time}"
            return side, words + (f", {horizon_s / 86400:g} days before it left out" if horizon_s else "")
    units = folds(rows, recipe.key if recipe.key in rows.columns else None, VALIDATION)
    return (units == 0).astype(np.int64), f"one of {VALIDATION} parts of the training units, by the hash of the key"
