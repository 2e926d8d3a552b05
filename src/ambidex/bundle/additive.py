"""The readable model: one effect a column, added up. Trained here, stored as JSON, scored without numpy.

The JSON names every level and every stretch of every curve, so that a person can recompute a
score with a pocket calculator. ``AdditiveScorer`` does it in plain Python for one row, and with
numpy for many, in the same order of operations: the results are equal bit for bit.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ambidex.errors import DataError, did_you_mean
from ambidex.records import Column, Recipe, Schema

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from ambidex.data.table import Table
    from ambidex.stats.design import Term

__all__ = ["FORMAT", "AdditiveScorer", "constant", "expit", "fit_additive", "fit_columns"]

FORMAT = "ambidex-additive/1"

CLIP = 30.0
"""Log-odds beyond this count as this: probabilities stay within 1e-13 of 0 and 1, and logarithms finite."""

PENALTY = 1.0
"""Ridge of the prototype, a prior standard deviation of 1 on each standardised effect: it keeps rare levels and
columns that say the same thing in bounds. The effects that ``drivers`` reports are fitted without it."""


class AdditiveScorer:
    """A readable model, opened: rows in, numbers out. Pure, deterministic, safe in threads.

    A number beyond the model's reach (one knot span outside the outer knots) is read as the end of
    that reach, so any number gives a finite score. A missing value has an effect of its own; so has
    a level never seen in training (the average effect of the column).

    Args:
        model: What ``fit_additive`` returned.

    Raises:
        DataError: ``data.schema`` if this is no such model.

    >>> model = {"format": FORMAT, "link": "logit", "intercept": -1.0, "base": 0.27, "rows": 10, "terms": [
    ...   {"column": "plan", "kind": "category", "levels": {"a": 0.0, "b": 1.0}, "other": 0.5, "missing": 0.5}],
    ...   "schema": {"target": "quiet", "task": "binary", "classes": ["no", "yes"],
    ...              "columns": [{"name": "plan", "type": "category", "levels": ["a", "b"]}]}}
    >>> AdditiveScorer(model).score({"plan": "b"})
    0.5
    """

    def __init__(self, model: Mapping[str, Any]) -> None:
        if model.get("format") != FORMAT:
            raise DataError(
                "data.schema", f"{model.get('format')!r} is no additive model", found=f"this program reads {FORMAT}"
            )
        self.schema = Schema.from_json(model["schema"])
        self.base = float(model["base"])
        self._intercept = float(model["intercept"])
        self._logit = model["link"] == "logit"
        self._terms = [_Category(t) if t["kind"] == "category" else _Number(t) for t in model["terms"]]

    def score(self, row: Mapping[str, Any]) -> float:
        """One decoded row. Binary: the probability of ``schema.classes[1]``; else the value."""
        total = self._intercept
        for term in self._terms:
            total = total + term.one(row.get(term.column))
        return expit(total) if self._logit else total

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        """Many rows, column by column; bit-equal to ``score``. A column that is absent counts as missing.

        Args:
            columns: Numbers (NaN missing) or labels (None missing) by column, each of length ``rows``.
            rows: Number of rows.

        Returns:
            Shape (rows,).
        """
        import numpy as np

        total = np.full(rows, self._intercept)
        for term in self._terms:
            values = columns.get(term.column)
            total = total + (np.full(rows, term.missing) if values is None else term.many(values, rows))
        return np.fromiter(map(expit, total.tolist()), dtype=np.float64, count=rows) if self._logit else total

    def contributions(self, row: Mapping[str, Any]) -> dict[str, float]:
        """What each column adds for one row, on the scale of the sum (log-odds, or the outcome's unit)."""
        return {term.column: term.one(row.get(term.column)) for term in self._terms}


class _Category:
    """Effect of a column of labels."""

    __slots__ = ("_effects", "_other", "column", "missing")

    def __init__(self, term: Mapping[str, Any]) -> None:
        self.column: str = term["column"]
        self.missing = float(term["missing"])
        self._other = float(term["other"])
        self._effects: dict[Any, float] = {k: float(v) for k, v in term["levels"].items()}
        self._effects[None] = self.missing

    def one(self, value: Any) -> float:
        return self._effects.get(value, self._other)

    def many(self, values: Sequence[Any], rows: int) -> npt.NDArray[np.float64]:
        import numpy as np

        get, other = self._effects.get, self._other
        return np.fromiter((get(v, other) for v in values), dtype=np.float64, count=rows)


class _Number:
    """Effect of a column of numbers: a polynomial a stretch, straight outside, flat beyond the reach."""

    __slots__ = ("_coefficients", "_high", "_knots", "_low", "_origin", "_span", "_starts", "column", "missing")

    def __init__(self, term: Mapping[str, Any]) -> None:
        self.column: str = term["column"]
        self.missing = float(term["missing"])
        self._low, self._high = (float(v) for v in term["reach"])
        self._origin, self._span = float(term["origin"]), float(term["span"])
        stretches = [tuple(float(v) for v in p) for p in term["stretches"]]
        self._starts = [p[0] for p in stretches]
        self._knots = self._starts[1:]
        self._coefficients = [p[1:] for p in stretches]

    def one(self, value: Any) -> float:
        if value is None or value != value:
            return self.missing
        # Compared before it is converted: an integer may be larger than any float.
        x = self._low if value <= self._low else self._high if value >= self._high else float(value)
        u = (x - self._origin) / self._span
        i = bisect_right(self._knots, u)
        d = u - self._starts[i]
        c0, c1, c2, c3 = self._coefficients[i]
        return c0 + d * (c1 + d * (c2 + d * c3))

    def many(self, values: Sequence[Any], rows: int) -> npt.NDArray[np.float64]:
        import numpy as np

        x = np.asarray(values, dtype=np.float64)
        absent = np.isnan(x)
        x = np.where(absent | (x <= self._low), self._low, np.where(x >= self._high, self._high, x))
        u = (x - self._origin) / self._span
        i = np.searchsorted(self._knots, u, side="right")
        d = u - np.array(self._starts)[i]
        c0, c1, c2, c3 = np.array(self._coefficients)[i].T
        out: npt.NDArray[np.float64] = np.where(absent, self.missing, c0 + d * (c1 + d * (c2 + d * c3)))
        return out


def expit(x: float) -> float:
    """1 / (1 + exp(-x)), log-odds beyond ``CLIP`` counted as ``CLIP``."""
    if x >= 0:
        return 1.0 / (1.0 + math.exp(-x if x < CLIP else -CLIP))
    e = math.exp(-CLIP if x <= -CLIP else x)  # asked this way round, NaN stays NaN and is refused
    return e / (1.0 + e)


def constant(model: Mapping[str, Any]) -> dict[str, Any]:
    """The model that says the same of everyone: the base rate, or the mean. What any model must beat.

    >>> constant({"format": FORMAT, "link": "identity", "intercept": 1, "base": 7.5, "rows": 3, "terms": [{}],
    ...           "schema": {}})["intercept"]
    7.5
    """
    base = float(model["base"])
    level = base if model["link"] == "identity" else math.log(base / (1 - base))
    return {**model, "intercept": level, "terms": []}


def fit_additive(table: Table, recipe: Recipe, *, rows: npt.NDArray[np.bool_] | None = None) -> dict[str, Any]:
    """Train the readable model by a recipe.

    Categories get a coefficient a level (the most frequent is the base, at 0), numbers a natural cubic
    spline with four knots, missing values an indicator of their own. A ridge (``PENALTY``) keeps all of
    them finite. The same rows give the same bytes.

    Args:
        table: Rows with the outcome; rows without it are left out.
        recipe: Outcome, inputs, riders.
        rows: Which rows to train on, shape (rows,); all by default.

    Returns:
        Plain JSON: ``format``, ``schema``, ``link``, ``base`` (base rate or mean), ``rows``, ``intercept``, ``terms``.

    Raises:
        NotFound: ``data.no-column`` for an input or outcome that the table lacks.
        DataError: ``data.no-label``, ``data.target-constant``, ``data.too-few-rows``.
    """
    import numpy as np

    chosen = np.ones(table.rows, dtype=bool) if rows is None else np.asarray(rows, dtype=bool)
    table.require(recipe.target)
    classes: tuple[str, ...] = ()
    if recipe.task == "binary":
        labels = table.text(recipe.target)
        known = np.fromiter((v is not None for v in labels), dtype=bool, count=table.rows) & chosen
        positive = str(recipe.positive)
        y = np.fromiter((v == positive for v in labels), dtype=np.float64, count=table.rows)[known]
        if recipe.positive is None or positive not in set(labels[known]):
            raise DataError(
                "data.no-label",
                f"{recipe.target} is never {positive!r}{did_you_mean(positive, {str(v) for v in labels[known]})}",
                where=table.name,
            )
        others = sorted({v for v in labels if v is not None and v != positive})
        classes = (others[0] if len(others) == 1 else f"not {positive}", positive)
    else:
        values = table.number(recipe.target)
        known = np.isfinite(values) & chosen
        y = values[known]
    if y.size < 2:
        raise DataError(
            "data.too-few-rows",
            f"{y.size} rows carry a value of {recipe.target}; a model needs two at least",
            where=table.name,
        )
    if float(np.ptp(y)) == 0:
        raise DataError(
            "data.target-constant",
            f"{recipe.target} has one value in all {y.size} training rows, so there is nothing to learn",
            where=table.name,
        )
    columns: dict[str, npt.NDArray[Any]] = {}
    for name in recipe.columns:
        numeric = table.facts(name).type in ("number", "integer")
        columns[name] = (table.number(name) if numeric else table.text(name))[known]
    schema = Schema(
        columns=(),
        target=recipe.target,
        task=recipe.task,
        classes=classes,
        key=recipe.key,
        entity=recipe.entity,
        time=recipe.time,
    )
    return fit_columns(columns, y, schema, straight=bool(recipe.options.get("straight")))


def fit_columns(
    columns: Mapping[str, npt.NDArray[Any]], y: npt.NDArray[np.float64], schema: Schema, *, straight: bool = False
) -> dict[str, Any]:
    """Train the readable model on arrays.

    Args:
        columns: Inputs by name: float64 with NaN, or objects (labels) with None; shape (n,) each.
        y: Outcome, 0/1 for a binary task, no NaN, shape (n,).
        schema: Outcome and riders; its columns are filled in here.
        straight: Straight lines instead of curves.
    """
    import numpy as np

    from ambidex.stats.design import Design, category, number
    from ambidex.stats.regression import linear, logistic

    terms: list[Term] = [
        number(name, v, straight=straight) if v.dtype.kind in "fiu" else category(name, v)
        for name, v in columns.items()
    ]
    design = Design(tuple(terms))
    x = design.matrix(columns) if terms else np.ones((len(y), 1))
    penalty = np.full(design.size, PENALTY)
    spread = x.var(axis=0)
    for term in terms:
        if term.name and not hasattr(term, "levels"):
            place = design.slices[term.name]
            penalty[place] = PENALTY * np.maximum(spread[place], 1e-12)
    fit = logistic(x, y, penalty=penalty) if schema.task == "binary" else linear(x, y, penalty=penalty)
    written = [
        _written(term, fit.coefficients[place], x[:, place])
        for term, place in zip(terms, design.slices.values(), strict=True)
    ]
    inputs = tuple(_column(term, columns[term.name]) for term in terms)
    full = Schema(
        columns=inputs,
        target=schema.target,
        task=schema.task,
        classes=schema.classes,
        key=schema.key,
        entity=schema.entity,
        time=schema.time,
    )
    return {
        "format": FORMAT,
        "schema": full.to_json(),
        "link": "logit" if schema.task == "binary" else "identity",
        "base": _short(float(y.mean())),
        "rows": len(y),
        "intercept": _short(float(fit.coefficients[0])),
        "terms": written,
    }


def _column(term: Term, values: npt.NDArray[Any]) -> Column:
    import numpy as np

    from ambidex.stats.design import Category

    if isinstance(term, Category):
        return Column(name=term.name, type="category", nullable=term.missing, levels=(*term.levels, *term.folded))
    seen = values[np.isfinite(values)]
    whole = bool(seen.size) and bool((seen == np.floor(seen)).all())
    return Column(name=term.name, type="integer" if whole else "float", nullable=term.missing)


def _written(term: Term, beta: npt.NDArray[np.float64], x: npt.NDArray[np.float64]) -> dict[str, Any]:
    """A term as JSON. Unseen levels, and missing values where training had none, get the column's average effect."""
    import numpy as np

    from ambidex.stats.design import Category
    from ambidex.stats.splines import pieces

    average = _short(float(np.mean(x @ beta))) if beta.size else 0.0
    if isinstance(term, Category):
        own = dict(zip(term.levels[1:], (_short(float(b)) for b in beta), strict=False))
        levels = {**({term.levels[0]: 0.0} if term.levels else {}), **own}
        if term.folded:
            shared = _short(float(beta[len(term.levels) - 1]))
            levels.update(dict.fromkeys(term.folded, shared))
        other = _short(float(beta[len(term.levels) - 1])) if term.folded else average
        missing = _short(float(beta[-1])) if term.missing else average
        return {"column": term.name, "kind": "category", "levels": levels, "other": other, "missing": missing}
    knots = np.array(term.knots)
    stretches = [[_short(v) for v in piece] for piece in pieces(beta[: term.curve], knots)]
    out = {
        "column": term.name,
        "kind": "number",
        "origin": term.origin,
        "span": term.span,
        "knots": [_short(term.origin + k * term.span) for k in term.knots],
        "reach": list(term.reach),
        "stretches": stretches,
        "impute": term.impute,
        "missing": 0.0,
    }
    at_median = _Number(out).one(term.impute)
    out["missing"] = _short(at_median + (float(beta[-1]) if term.missing else 0.0))
    return out


def _short(number: float) -> float:
    """Twelve significant digits: readable, and the same on machines whose last bits differ."""
    return float(f"{number:.12g}")
