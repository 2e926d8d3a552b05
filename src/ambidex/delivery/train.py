"""Run a recipe: from a data version to the files of a bundle, and the key that names the run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of, rows_of
from ambidex.bundle.compile import compile_model
from ambidex.bundle.fit import fit
from ambidex.bundle.open import load_scorer
from ambidex.bundle.reference import make_reference
from ambidex.data.table import Table
from ambidex.delivery import coded
from ambidex.delivery.environment import environment
from ambidex.delivery.material import Material, outcome, treated
from ambidex.delivery.unlabelled import evaluate_segments
from ambidex.errors import AmbidexError, DataError, did_you_mean
from ambidex.ports import Scorer
from ambidex.records import DataManifest, Recipe, Schema, canonical, digest
from ambidex.stats.compare import paired_mean
from ambidex.stats.discrimination import delong
from ambidex.stats.estimate import finite
from ambidex.stats.laws import wilson
from ambidex.stats.uplift import qini
from ambidex.version import __version__

__all__ = [
    "ELSEWHERE", "TRAINED", "Trained", "code_hash", "constant_of", "evaluate", "losses", "repeated", "run_key", "train",
]  # fmt: skip

GOLDEN_ROWS = 48
PROOF_ROWS = 2_000
"""Held-out rows on which the compiled form must give what the model gives, beside the awkward ones."""
TRAINED, ELSEWHERE = "train", "train-elsewhere"
"""How the key of a run begins that a person asked for: on the model's own data, or on another table."""


@dataclass(frozen=True)
class Trained:
    """What one run made.

    Attributes:
        files: The bundle's files, ready to seal.
        scorer: The model, in memory.
        evaluation: Figures on the held-out rows.
        summary: The few of them that listings show.
    """

    files: dict[str, bytes]
    scorer: Scorer
    evaluation: dict[str, Any]
    summary: dict[str, Any]


def code_hash(recipe: Recipe) -> str:
    """Names recipe and program: another one makes another model from the same rows."""
    # Which rows the state that is there was fitted on says nothing of what a run would make.
    options = {k: v for k, v in recipe.options.items() if k != "fitted"}
    return digest(canonical([replace(recipe, options=options).to_json(), __version__]))[:16]


def run_key(manifest: DataManifest, recipe: Recipe) -> str:
    """Idempotency key of a run: the same data, code and configuration are the same run."""
    return f"{manifest.fingerprint}:{code_hash(recipe)}"


def train(
    material: Material,
    recipe: Recipe,
    *,
    at_least: Schema | None = None,
    code: Mapping[str, bytes] | None = None,
    anew: bool = False,
    search: Mapping[str, Any] | None = None,
) -> Trained:
    """Fit on four fifths of the units, measure on the fifth that no version trains on, write the files.

    Args:
        material: The rows, split.
        recipe: What to fit.
        at_least: The live version's schema: what its callers may send, this version accepts too.
        code: For the estimator ``code``: files of the bundle whose code this is.
        anew: For ``code``: run its train.py on the training rows; else its state is measured as it is.
        search: What was tried before this recipe was chosen, for the lineage.

    Raises:
        DataError: ``data.no-label`` if the labels are written otherwise than the live version knows them;
            ``data.too-few-rows`` if one side of the split is empty or has one class;
            ``data.target-constant`` if there is nothing to learn.
    """
    fit_rows = material.table.take(~material.held_out)
    test_rows = material.table.take(material.held_out)
    y_fit, y_test = outcome(fit_rows, recipe), outcome(test_rows, recipe)
    if len(y_test) < 2 or len(y_fit) < 2:
        raise DataError(
            "data.too-few-rows",
            f"{material.table.rows} rows are too few to train on four fifths and measure on one fifth",
            where=material.table.name,
            do="bring at least a few hundred rows with a label",
        )
    if np.ptp(y_fit) == 0 and recipe.task != "segments":
        raise DataError(
            "data.target-constant",
            f"{recipe.target} has one value in all {len(y_fit)} training rows, so there is nothing to learn",
            where=material.table.name,
        )
    _same_labels(material, recipe, at_least)
    own: dict[str, bytes] = {}
    if recipe.estimator == "code":
        if code is None:
            raise ValueError("a recipe of code needs the bundle whose code it is")
        own, scorer = coded.again(code, fit_rows, recipe, anew=anew)
        recipe = replace(recipe, options={**recipe.options, "fitted": "here"}) if anew else recipe
        model = json.loads(own["model.json"])
    else:
        model = _widened(fit(fit_rows, recipe), at_least)
        scorer = load_scorer(model)
    columns, _ = columns_of(test_rows, scorer.schema.relaxed())
    scores = np.asarray(scorer.score_columns(columns, test_rows.rows))
    constant = constant_of(y_fit, scorer.schema)
    if recipe.task == "segments":
        figures = evaluate_segments(scorer, recipe, fit_rows, test_rows)
    else:
        figures = evaluate(y_test, scores, recipe.task, constant)
    if recipe.estimator == "uplift":
        figures = evaluate_uplift(test_rows, recipe, scores, base=float(model["base"]))
    evaluation = {
        **figures,
        "constant": constant,
        "spread": float(np.var(y_fit)),
        "trained_rows": len(y_fit),
        "held_out_rows": len(y_test),
        **_baselines(recipe, fit_rows, test_rows, y_test, scores, constant),
        "unlabelled": material.unlabelled,
        "immature": material.immature,
        **({"fitted": recipe.options["fitted"]} if recipe.estimator == "code" else {}),
    }
    reference = make_reference(
        test_rows,
        scorer.schema,
        cut_on=fit_rows,
        scores=scores,
        # A label that arrives later does not say what the unit would have done otherwise: no loss to watch.
        losses=None
        if recipe.estimator in ("uplift", "segments")
        else losses(y_test, scores, recipe.task, spread=evaluation["spread"]),
        spread=evaluation["spread"] if recipe.task == "regression" else None,
        outcomes=None if recipe.estimator in ("uplift", "segments") else y_test,
        sample=True,
    )
    golden = json.loads(own["golden.json"]) if own else _golden(scorer, columns, test_rows.rows)
    lineage = {
        "data": material.manifest.to_json(),
        "code": code_hash(recipe),
        "ambidex": __version__,
        "environment": environment(model.get("runtime", ())),
        **({"search": dict(search)} if search is not None else {}),
        "split": "a fifth of the units by the hash of the key, the same in every version",
    }
    files = {
        **own,
        "model.json": canonical(model),
        "schema.json": canonical(scorer.schema.to_json()),
        "recipe.json": canonical(recipe.to_json()),
        "golden.json": canonical(golden),
        "reference.json": canonical(reference),
        "evaluation.json": canonical(evaluation),
        "lineage.json": canonical(lineage),
        "rows.u64": np.sort(material.hashes).tobytes(),
    }
    files |= compile_model(files, scorer, rows_of(columns, scorer.schema, range(min(test_rows.rows, PROOF_ROWS))))
    summary = {
        "rows": evaluation["trained_rows"],
        "metric": evaluation["metric"],
        "value": evaluation["value"],
        "low": evaluation["low"],
        "high": evaluation["high"],
    }
    return Trained(files=files, scorer=scorer, evaluation=evaluation, summary=summary)


def _baselines(
    recipe: Recipe, fit_rows: Table, test_rows: Table, y: NDArray[Any], scores: NDArray[Any], constant: Any
) -> dict[str, Any]:
    """The constant and straight lines on the same held-out rows: what each loses, and what the model loses beyond it.

    ``value``, ``low``, ``high``: the model's loss less the baseline's, below 0 where the model is better.
    """
    if recipe.task not in ("binary", "regression") or recipe.estimator == "uplift":
        return {}
    spread = float(np.var(outcome(fit_rows, recipe)))
    own = losses(y, scores, recipe.task, spread=spread)
    said: list[tuple[str, NDArray[Any]]] = [("constant", repeated(constant, len(y)))]
    plain = replace(recipe, estimator="additive", options={"straight": True})
    try:
        lines = load_scorer(fit(fit_rows, plain))
        columns, _ = columns_of(test_rows, lines.schema.relaxed())
        said.append(("linear", np.asarray(lines.score_columns(columns, test_rows.rows))))
    except (AmbidexError, np.linalg.LinAlgError):  # inputs of a model from elsewhere need not suit straight lines
        pass
    found = []
    for name, theirs in said:
        loss = losses(y, theirs, recipe.task, spread=spread)
        e = paired_mean(own - loss, name="loss")
        found.append({"name": name, "loss": float(loss.mean()), "value": finite(e.value), "low": finite(e.low),
                      "high": finite(e.high)})  # fmt: skip
    return {"loss": float(own.mean()), "baselines": found}


def _same_labels(material: Material, recipe: Recipe, at_least: Schema | None) -> None:
    """A label that nobody has seen would silently count as "no"."""
    if recipe.task != "binary":
        return
    table = material.table
    labels = Counter(str(v) for v in table.text(recipe.target))
    known = at_least.classes if at_least is not None and at_least.target == recipe.target else ()
    where = f"{table.name}, column {recipe.target}"
    found = ", ".join(f"{label} ({n:,})" for label, n in labels.most_common(6))
    if str(recipe.positive) not in labels:
        raise DataError(
            "data.no-label",
            f"no row of {table.name} says {recipe.positive!r} in {recipe.target}"
            f"{did_you_mean(str(recipe.positive), labels)}",
            where=where,
            found=found,
            do="write the labels as before, or mend `positive` in ambidex.toml",
        )
    new = sorted(labels.keys() - set(known))
    if known and known[1] == recipe.positive and known[0] != f"not {recipe.positive}" and new:
        raise DataError(
            "data.no-label",
            f"{new[0][:60]!r} in {recipe.target} is no label that the model knows{did_you_mean(new[0], known)}",
            where=where,
            found=f"{found}; the model knows {' and '.join(known)}",
            do="write the labels as before",
        )


def losses(y: NDArray[Any], scores: NDArray[Any], task: str, *, spread: float) -> NDArray[np.float64]:
    """One loss a row, lower is better. Shape (rows,).

    Yes/no: the Brier score (y - p)², in [0, 1]. Numbers: the squared error as a share of ``spread``, the
    training target's variance, so that 1 is what predicting the mean costs. Several classes: half the Brier score,
    Σ(p − 1 at the class that came)²/2, in [0, 1]; ``y`` holds places of classes, ``scores`` has shape (rows, classes).

    >>> losses(np.array([0, 2]), np.array([[1.0, 0, 0], [0, 1, 0]]), "multiclass", spread=0.0).tolist()
    [0.0, 1.0]
    """
    if task == "multiclass":
        given = np.asarray(scores, dtype=np.float64)
        came = np.zeros_like(given)
        came[np.arange(len(given)), np.asarray(y).astype(np.int64)] = 1.0
        total: NDArray[np.float64] = ((given - came) ** 2).sum(axis=1) / 2
        return total
    squared = (np.asarray(y, dtype=np.float64) - np.asarray(scores, dtype=np.float64)) ** 2
    return squared if task == "binary" else squared / max(spread, np.finfo(float).tiny)


def constant_of(y: NDArray[Any], schema: Schema) -> Any:
    """What a model that says the same of everyone says: the mean, or of several classes the share of each."""
    if schema.task != "multiclass":
        return float(np.mean(y))
    counts = np.bincount(np.asarray(y).astype(np.int64), minlength=len(schema.classes))
    shares: list[float] = (counts / max(1, len(y))).tolist()
    return shares


def repeated(constant: Any, rows: int) -> NDArray[np.float64]:
    """The output of the model that says the same of everyone. Shape (rows,) or (rows, classes)."""
    said = np.asarray(constant, dtype=np.float64)
    return np.full(rows, float(said)) if said.ndim == 0 else np.tile(said, (rows, 1))


def evaluate(y: NDArray[Any], scores: NDArray[Any], task: str, constant: Any) -> dict[str, Any]:
    """Figures on rows that were not fitted: AUC with DeLong's interval and the Brier score, or R².

    Of several classes: how often the likeliest is right, with Wilson's interval, and half the Brier score.
    """
    if task == "multiclass":
        right = int((np.asarray(scores).argmax(axis=1) == y).sum())
        low, high = wilson(right, len(y), 0.05)
        brier = float(losses(y, scores, task, spread=0.0).mean())
        return {
            "metric": "accuracy", "value": right / len(y), "low": low, "high": high, "brier": brier,
            "base_rate": float(max(constant)),
        }  # fmt: skip
    if task == "binary":
        brier = float(np.mean((y - scores) ** 2))
        base = float(np.mean(y))
        auc = delong(y, scores) if 0 < y.sum() < len(y) else None
        value, at_least, at_most = (auc.value, auc.low, auc.high) if auc else (None, None, None)
        return {"metric": "auc", "value": value, "low": at_least, "high": at_most, "brier": brier, "base_rate": base}
    residual = float(np.mean((y - scores) ** 2))
    total = float(np.mean((y - constant) ** 2))
    r2 = 1 - residual / total if total > 0 else None
    return {"metric": "r2", "value": r2, "low": None, "high": None, "rmse": residual**0.5, "base_rate": constant}


def evaluate_uplift(rows: Table, recipe: Recipe, scores: NDArray[Any], *, base: float) -> dict[str, Any]:
    """The Qini of the ranking on rows that were not fitted, with its bootstrap interval, in outcomes per head."""
    if recipe.positive is None:
        y = rows.number(recipe.target)
    else:
        y = np.fromiter((v == recipe.positive for v in rows.text(recipe.target)), dtype=np.float64, count=rows.rows)
    e = qini(y, treated(rows, recipe), np.asarray(scores, dtype=np.float64), seed=recipe.seed)
    value, low, high = (finite(v) for v in (e.value, e.low, e.high))
    return {"metric": "qini", "value": value, "low": low, "high": high, "base_rate": base}


def _widened(model: dict[str, Any], at_least: Schema | None) -> dict[str, Any]:
    """The model with every column nullable, or a fraction, where the live version's is."""
    if at_least is None:
        return model
    live = {c.name: c for c in at_least.columns}
    columns = []
    for column in model["schema"]["columns"]:
        before = live.get(column["name"])
        if before is not None:
            column = {**column, "nullable": column["nullable"] or before.nullable}
            if (column["type"], before.type) == ("integer", "float"):
                column["type"] = "float"
        columns.append(column)
    return {**model, "schema": {**model["schema"], "columns": columns}}


def _golden(scorer: Scorer, columns: Mapping[str, Any], rows: int) -> dict[str, Any]:
    """Held-out rows, evenly spaced, and the awkward ones: missing, never seen, far outside."""
    chosen = np.unique(np.linspace(0, rows - 1, num=min(rows, GOLDEN_ROWS)).astype(int))
    golden = rows_of(columns, scorer.schema, [int(i) for i in chosen])
    base = golden[0]
    for column in scorer.schema.columns:
        if column.nullable:
            golden.append({**base, column.name: None})
        if column.type == "category":
            golden.append({**base, column.name: "never seen before"})
        else:
            golden += [{**base, column.name: extreme} for extreme in (0, -(10**12), 10**12)]
    golden = [json.loads(canonical(row)) for row in golden]
    return {"rows": golden, "expected": [scorer.score(row) for row in golden]}
