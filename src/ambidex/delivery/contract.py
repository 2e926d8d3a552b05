"""Contract tests of a version: what must hold before anybody relies on it.

One that fails fails the version's test. The checks of the ML test score, which says how ready the whole is, stand in
``readiness.py``; several rest on these.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ambidex.bundle.columns import columns_of, rows_of
from ambidex.bundle.open import OpenBundle, replay, try_in_child
from ambidex.delivery.coded import is_code
from ambidex.delivery.material import Material
from ambidex.delivery.train import train
from ambidex.errors import AmbidexError

__all__ = ["TestCheck", "run_checks"]

Outcome = tuple[bool, str]


@dataclass(frozen=True)
class TestCheck:
    """One check: what was tried and what was seen."""

    section: str
    name: str
    passed: bool
    what: str

    __test__ = False  # pytest would collect it by its name

    def to_dict(self) -> dict[str, Any]:
        return {"section": self.section, "name": self.name, "passed": self.passed, "what": self.what}


def run_checks(bundle: OpenBundle, material: Material) -> list[TestCheck]:
    """Run every check; one that raises has failed, and says with what."""
    checks: list[TestCheck] = []
    for section, name, check in _all(bundle, material):
        try:
            passed, what = check()
        except AmbidexError as error:
            passed, what = False, error.message
        except Exception as error:
            passed, what = False, f"{type(error).__name__}: {error}"
        checks.append(TestCheck(section, name, passed, what))
    return checks


def _all(bundle: OpenBundle, material: Material) -> Iterator[tuple[str, str, Callable[[], Outcome]]]:
    yield "data", "schema fits the data", lambda: _schema_fits(bundle, material)
    yield "data", "target is no input", lambda: _no_target(bundle)
    if bundle.recipe.estimator == "uplift":
        yield "data", "treatment is no input", lambda: _no_treatment(bundle)
    yield "data", "key is no input", lambda: _no_key(bundle)
    yield "model", "better than a constant", lambda: _better(bundle)
    yield "model", "trained again, the same model", lambda: _same_again(bundle, material)
    yield "model", "missing, new and extreme values", lambda: _awkward(bundle)
    yield "infrastructure", "golden rows", lambda: _golden(bundle)
    yield "infrastructure", "opens in a child of its own", lambda: _opens(bundle)
    yield "infrastructure", "one by one and all at once agree", lambda: _batched(bundle, material)
    yield "monitoring", "reference of every input", lambda: _reference(bundle)
    yield "monitoring", "reference of the score and the loss", lambda: _reference_of_scores(bundle)
    yield "monitoring", "lineage names its data", lambda: _lineage(bundle)


def _schema_fits(bundle: OpenBundle, material: Material) -> Outcome:
    columns_of(material.table, bundle.schema)
    return True, f"{material.table.rows:,} rows of the newest data have every column in its type"


def _no_target(bundle: OpenBundle) -> Outcome:
    inside = bundle.schema.target in bundle.schema.names
    return (
        not inside,
        f"{bundle.schema.target} is {'' if inside else 'not '}among the {len(bundle.schema.names)} inputs",
    )


def _no_treatment(bundle: OpenBundle) -> Outcome:
    column = bundle.recipe.options["treatment"]
    return column not in bundle.schema.names, f"{column} says who was treated"


def _no_key(bundle: OpenBundle) -> Outcome:
    key = bundle.schema.key
    return key is None or key not in bundle.schema.names, f"key column: {key or 'none declared'}"


def _better(bundle: OpenBundle) -> Outcome:
    e = bundle.evaluation
    floor = {"auc": 0.5, "accuracy": e["base_rate"]}.get(e["metric"], 0.0)
    low = e["low"] if e["low"] is not None else e["value"]
    if low is None:
        return False, "the held-out rows have one class only"
    return low > floor, f"{e['metric']} {e['value']:.3f}, at least {low:.3f} on {e['held_out_rows']:,} rows not fitted"


def _same_again(bundle: OpenBundle, material: Material) -> Outcome:
    sealed = bundle.lineage["data"]
    if sealed["row_hash"] != material.manifest.row_hash:
        differs, largest = replay(bundle.scorer, bundle.golden)
        return (
            differs == 0,
            f"the data has changed since, so the golden rows were replayed: largest difference {largest:.3g}",
        )
    if bundle.recipe.options.get("fitted") == "elsewhere":
        differs, largest = replay(bundle.scorer, bundle.golden)
        return differs == 0, f"fitted elsewhere, so the golden rows were replayed: largest difference {largest:.3g}"
    again = train(material, bundle.recipe, at_least=bundle.schema, code=bundle.files, anew=True)
    rows, before = bundle.golden["rows"], bundle.golden["expected"]
    largest = max((abs(again.scorer.score(r) - p) for r, p in zip(rows, before, strict=True)), default=0.0)
    return largest <= 1e-9, f"largest difference on {len(rows)} golden rows {largest:.3g}"


def _awkward(bundle: OpenBundle) -> Outcome:
    base: Mapping[str, Any] = bundle.golden["rows"][0]
    tried = 0
    for column in bundle.schema.columns:
        values: list[Any] = [None] if column.nullable else []
        values += ["", "never seen"] if column.type == "category" else [0, -1, 1e15, -1e15]
        for value in values:
            tried += 1
            if not math.isfinite(bundle.scorer.score({**base, column.name: value})):
                return False, f"{column.name} = {value!r} gives no finite number"
    return True, f"{tried} awkward rows, each a finite number"


def _golden(bundle: OpenBundle) -> Outcome:
    differs, largest = replay(bundle.scorer, bundle.golden)
    return differs == 0, f"{differs} of {len(bundle.golden['rows'])} differ, largest difference {largest:.3g}"


def _opens(bundle: OpenBundle) -> Outcome:
    try_in_child(bundle.files["model.json"], bundle.files["golden.json"], files=bundle.files)
    return True, "loaded and replayed under time and memory limits"


def _batched(bundle: OpenBundle, material: Material) -> Outcome:
    some = material.table.take(np.arange(min(500, material.table.rows)))
    columns, _ = columns_of(some, bundle.schema)
    together = np.asarray(bundle.scorer.score_columns(columns, some.rows))
    single = np.array([bundle.scorer.score(row) for row in rows_of(columns, bundle.schema, range(some.rows))])
    allowed = float(bundle.golden.get("tolerance", 0.0)) if is_code(bundle.files) else 0.0
    equal = int((np.abs(together - single) <= allowed * np.maximum(1.0, np.abs(single))).sum())
    how = f"equal within {allowed:g}" if allowed else "equal to the bit"
    return equal == some.rows, f"{equal} of {some.rows} rows {how}"


def _reference(bundle: OpenBundle) -> Outcome:
    kept = bundle.reference.get("columns", {})
    lacking = [name for name in bundle.schema.names if name not in kept]
    return not lacking, f"{len(bundle.schema.names) - len(lacking)} of {len(bundle.schema.names)} inputs"


def _reference_of_scores(bundle: OpenBundle) -> Outcome:
    if bundle.recipe.estimator == "uplift":
        # No label shows what a unit would have done otherwise, so only its inputs and scores can be watched.
        kept = bool(bundle.reference.get("score"))
        return kept, "score kept; a gain is never seen, so errors are judged by the next campaign with a holdout"
    if bundle.recipe.task == "segments":
        return bool(bundle.reference.get("score")), "score kept; not applicable to the loss: segments have no label"
    there = bool(bundle.reference.get("score")) and bool(bundle.reference.get("loss"))
    return there, "kept" if there else "missing"


def _lineage(bundle: OpenBundle) -> Outcome:
    data = bundle.lineage["data"]
    return bool(data["row_hash"]), f"{data['rows']:,} rows of {data['source']}, {len(data['files'])} files"
