"""The uplift model: what a unit is expected to do with the treatment, less what it would do without.

Two readable models, one fitted on the treated and one on the control of a randomised campaign; their difference is
the score. Each is scored by ``AdditiveScorer``, so one row and many give the same bits.

Source: Künzel, Sekhon, Bickel & Yu (2019), PNAS 116, 4156-4165, the T-learner, eq. 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ambidex.bundle.additive import AdditiveScorer, fit_columns
from ambidex.errors import DataError
from ambidex.records import Column, Recipe, Schema

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ambidex.data.table import Table

__all__ = ["FORMAT", "UpliftScorer", "columns_of_both", "fit_pair", "fit_uplift"]

FORMAT = "ambidex-uplift/1"


class UpliftScorer:
    """An uplift model, opened: rows in, expected gain per treated unit out. Pure, deterministic, safe in threads.

    Args:
        model: What ``fit_uplift`` returned.

    Raises:
        DataError: ``data.schema`` if this is no such model.
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        if model.get("format") != FORMAT:
            raise DataError("data.schema", f"{model.get('format')!r} is no uplift model", found=f"it takes {FORMAT}")
        self.schema = Schema.from_json(model["schema"])
        self.base = float(model["base"])
        self._treated, self._control = AdditiveScorer(model["treated"]), AdditiveScorer(model["control"])

    def score(self, row: Mapping[str, Any]) -> float:
        """One decoded row: expected outcome with the treatment less without, in the outcome's unit."""
        return self._treated.score(row) - self._control.score(row)

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        """Many rows; bit-equal to ``score``. Shape (rows,)."""
        return self._treated.score_columns(columns, rows) - self._control.score_columns(columns, rows)


def fit_pair(
    columns: Mapping[str, npt.NDArray[Any]],
    y: npt.NDArray[np.float64],
    treated: npt.NDArray[np.bool_],
    *,
    binary: bool,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """One readable model of the outcome for the treated, one for the control.

    Args:
        columns: Inputs by name, shape (n,) each.
        y: Outcome, 0/1 where ``binary``, shape (n,).
        treated: Who got it, shape (n,).
        binary: Logistic models; else linear ones.

    Returns:
        (treated, control), as ``fit_columns`` gives them.
    """
    schema = Schema(
        columns=(), target="outcome", task="binary" if binary else "regression",
        classes=("no", "yes") if binary else (),
    )  # fmt: skip
    pair = [fit_columns({n: v[part] for n, v in columns.items()}, y[part], schema) for part in (treated, ~treated)]
    return pair[0], pair[1]


def fit_uplift(table: Table, recipe: Recipe, *, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Train the pair by a recipe.

    Args:
        table: Rows of both arms; rows of other arms, or without the outcome, are left out.
        recipe: ``options``: ``treatment`` (column), ``arm`` and ``control`` (labels);
            ``positive`` for a yes/no outcome.
        rows: Which rows to train on, shape (rows,); all by default.

    Raises:
        NotFound: ``data.no-column``.
        DataError: ``data.too-few-rows`` for an arm with fewer than two rows; ``data.target-constant``.
    """
    import numpy as np

    chosen = np.ones(table.rows, dtype=bool) if rows is None else np.asarray(rows, dtype=bool)
    option = recipe.options
    who = table.text(table.require(option["treatment"]))
    arm = np.fromiter((v == option["arm"] for v in who), dtype=bool, count=table.rows)
    base = np.fromiter((v == option["control"] for v in who), dtype=bool, count=table.rows)
    binary = recipe.positive is not None
    if binary:
        labels = table.text(table.require(recipe.target))
        y = np.array([np.nan if v is None else float(v == recipe.positive) for v in labels])
    else:
        y = table.number(recipe.target)
    used = chosen & (arm | base) & np.isfinite(y)
    treated, y = arm[used], y[used]
    if min(int(treated.sum()), int((~treated).sum())) < 2:
        raise DataError(
            "data.too-few-rows",
            f"{int(treated.sum())} rows of {option['arm']} and {int((~treated).sum())} of {option['control']} carry "
            f"{recipe.target}; each arm needs two",
            where=f"{table.name}, column {option['treatment']}",
            do="train on rows of both arms of a randomised campaign",
        )
    if float(np.ptp(y)) == 0:
        raise DataError(
            "data.target-constant", f"{recipe.target} has one value in all {len(y)} training rows", where=table.name
        )
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in recipe.columns:
        numeric = table.facts(name).type in ("number", "integer")
        columns[name] = (table.number(name) if numeric else table.text(name))[used]
    first, second = fit_pair(columns, y, treated, binary=binary)
    schema = Schema(
        columns=columns_of_both(first, second), target=recipe.target, task="regression", key=recipe.key,
        entity=recipe.entity, time=recipe.time,
    )  # fmt: skip
    return {
        "format": FORMAT,
        "schema": schema.to_json(),
        "base": float(f"{y[treated].mean() - y[~treated].mean():.12g}"),
        "rows": len(y),
        "treated": first,
        "control": second,
    }


def columns_of_both(first: dict[str, Any], second: dict[str, Any]) -> tuple[Column, ...]:
    """Inputs of both models: what either may lack may be missing, what either has seen is a level."""
    out = []
    for a, b in zip(Schema.from_json(first["schema"]).columns, Schema.from_json(second["schema"]).columns, strict=True):
        kind = a.type if a.type == b.type else "float"
        levels = tuple(dict.fromkeys((*a.levels, *b.levels)))
        out.append(Column(name=a.name, type=kind, nullable=a.nullable or b.nullable, levels=levels))
    return tuple(out)
