"""Train what a recipe names: one function for every kind of prototype."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from ambidex.errors import DataError
from ambidex.records import Recipe

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ambidex.data.table import Table

__all__ = ["ESTIMATORS", "fit"]

ESTIMATORS = {
    "additive": "ambidex.bundle.additive:fit_additive",
    "trees": "ambidex.bundle.trees_fit:fit_trees",
    "segments": "ambidex.bundle.segments_fit:fit_segments",
    "uplift": "ambidex.bundle.uplift:fit_uplift",
}
"""Estimator of a recipe -> the function (table, recipe, *, rows) that trains it and returns its JSON."""


def fit(table: Table, recipe: Recipe, *, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Train by a recipe; the same rows give the same bytes.

    Args:
        table: Rows with the outcome; rows without it are left out.
        recipe: Outcome, inputs, riders, estimator.
        rows: Which rows to train on, shape (rows,); all by default.

    Returns:
        The model's JSON; its ``format`` says which scorer reads it (``bundle/open.py``).

    Raises:
        DataError: ``data.schema`` for an estimator that this program does not know, and what training raises.
    """
    where = ESTIMATORS.get(recipe.estimator)
    if where is None:
        raise DataError(
            "data.schema",
            f"the recipe's estimator {recipe.estimator[:60]!r} is not known",
            found=f"this program trains {', '.join(ESTIMATORS)}",
            do="upgrade ambidex, or make the answer again",
        )
    module, _, name = where.partition(":")
    model: dict[str, Any] = getattr(importlib.import_module(module), name)(table, recipe, rows=rows)
    return model
