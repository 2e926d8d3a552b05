"""The regression that a textbook would print: numbers as straight lines, coefficients on their own scale."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.insight.drivers_story import Story, level_name
from ambidex.insight.response import Response
from ambidex.insight.screens import Screened
from ambidex.stats.design import Category, Design, Number, Term, category, number
from ambidex.stats.regression import Fit

__all__ = ["straight_lines"]

Floats = npt.NDArray[np.float64]
Rows = list[dict[str, Any]]

LEAST = 10
"""Rows that a level needs for a coefficient of its own."""


def straight_lines(screened: Screened, response: Response, story: Story) -> dict[str, Rows]:
    """Two tables: every coefficient alone and adjusted, with its error, and the regression's own figures.

    All columns that were not left out stand in one regression, those that move together too, so a column that
    others give exactly is left at no coefficient. Errors are the model's own (HC2 for a number outcome), by
    groups where there are any. Nothing is decided on these: the effects that are told come from curves.
    """
    if not story.asked.analysis.enough or not screened.columns:
        return {}
    terms: list[Term] = []
    for name, values in screened.columns.items():
        if values.dtype.kind == "f":
            terms.append(replace(number(name, values, straight=True, least=2 * LEAST), origin=0.0, span=1.0))
        else:
            terms.append(category(name, values, least=LEAST))
    design = Design(tuple(terms))
    if response.events < design.size:
        return {}
    x, scale = _scaled(design, screened)
    fit = response.fit(x)
    rows: Rows = [] if response.kind == "time" else [_row("(intercept)", "", fit, 0, 1.0, None)]
    for term, place in zip(design.terms, design.slices.values(), strict=True):
        alone = response.fit(np.column_stack([np.ones(len(x)), x[:, place]]))
        for i, label in enumerate(term.labels):
            at = place.start + i
            shown = "" if isinstance(term, Number) and label == "line" else level_name(label)
            rows.append(_row(term.name, shown, fit, at, float(scale[at]), (alone, 1 + i), term))
    return {"Coefficients": rows, "Regression": _figures(fit, x, response)}


def _scaled(design: Design, screened: Screened) -> tuple[Floats, Floats]:
    """The matrix with columns on a scale near 1, and what they were divided by."""
    blocks, scales = [np.ones((len(next(iter(screened.columns.values()))), 1))], [np.ones(1)]
    for term in design.terms:
        values = screened.columns[term.name]
        if isinstance(term, Category):
            block, scale = term.matrix(values), np.ones(term.size)
        else:
            absent = np.isnan(values)
            line = np.where(absent, term.impute, values)
            size = float(np.abs(line - line.mean()).max()) or 1.0
            block, scale = (line / size)[:, None], np.array([size])
            if term.missing:
                block, scale = np.column_stack([block, absent.astype(np.float64)]), np.r_[scale, 1.0]
        blocks.append(block)
        scales.append(scale)
    return np.column_stack(blocks), np.concatenate(scales)


def _row(
    name: str, level: str, fit: Fit, at: int, scale: float, alone: tuple[Fit, int] | None, term: Term | None = None
) -> dict[str, Any]:
    kept = bool(fit.kept[at])
    row: dict[str, Any] = {
        "column": name,
        "level": level,
        "base": level_name(term.levels[0]) if isinstance(term, Category) else "",
        "coefficient": float(fit.coefficients[at]) / scale if kept else None,
        "error": float(fit.errors[at]) / scale if kept else None,
    }
    if fit.family != "linear":
        b = row["coefficient"]
        row["odds ratio" if fit.family == "logistic" else "hazard ratio"] = (
            math.exp(b) if b is not None and abs(b) < 700 else None
        )
    if alone is not None:
        single, place = alone
        there = bool(single.kept[place])
        row["alone"] = float(single.coefficients[place]) / scale if there else None
        row["alone error"] = float(single.errors[place]) / scale if there else None
    else:
        row["alone"] = row["alone error"] = None
    return row


def _figures(fit: Fit, x: Floats, response: Response) -> Rows:
    out: Rows = [
        {"figure": "log-likelihood", "value": fit.loglik},
        {"figure": "log-likelihood without columns", "value": fit.null},
        {"figure": "likelihood ratio chi-squared", "value": 2 * (fit.loglik - fit.null)},
        {"figure": "degrees of freedom", "value": int(fit.kept[1:].sum())},
        {"figure": "rows", "value": fit.n},
    ]
    if response.kind == "time":
        out.append({"figure": "ends", "value": int(response.y.sum())})
    name = {"yesno": "AUC on its own rows", "number": "R² on its own rows", "time": "concordance on its own rows"}
    out.append({"figure": name[response.kind], "value": response.told(fit, x)})
    if fit.ridge:
        out.append({"figure": "ridge, as no finite estimate exists", "value": fit.ridge})
    return out
