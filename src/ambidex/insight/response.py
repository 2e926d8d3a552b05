"""The outcome as the regressions take it: yes/no, a number, or a time until an end; rows alone or in groups."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.compare import share_difference
from ambidex.stats.cox import Spells, cox, expected_ends, score_residuals
from ambidex.stats.discrimination import auc
from ambidex.stats.effects import outcome_at
from ambidex.stats.estimate import Estimate
from ambidex.stats.regression import Fit, clustered, linear, logistic
from ambidex.stats.survival import concordance, ended_by

__all__ = ["Response"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

PAIRS = 4e6
"""Pairs of rows compared for one column's own concordance: enough for two places after the point."""


@dataclass(frozen=True, eq=False)
class Response:
    """The outcome of the rows that carry it.

    Attributes:
        kind: ``yesno``, ``number`` or ``time``.
        y: 0/1 (for ``time``: whether the end that is asked about was seen), or the number, shape (n,).
        words: As shown (`Churn`, `arrest by week 52`).
        unit: Unit of a number; empty otherwise.
        groups: Group of each row, 0 to G-1, where rows come in groups; shape (n,).
        spells: Times and ends, for ``time``.
        ends: 0 cut off, 1 the end asked about, 2 and more the others, for ``time``; shape (n,).
        horizon: Time by which chances are told, for ``time``.
    """

    kind: Literal["yesno", "number", "time"]
    y: Floats
    words: str
    unit: str = ""
    groups: Codes | None = None
    spells: Spells | None = None
    ends: Codes | None = None
    horizon: float = math.nan

    @property
    def binary(self) -> bool:
        """True where effects are in points: a yes/no outcome, or an end by a horizon."""
        return self.kind != "number"

    @property
    def events(self) -> float:
        """What coefficients are paid with: rows of the rarer outcome, ends seen, or all rows."""
        if self.kind == "number":
            return float(len(self.y))
        if self.kind == "time":
            return float(self.y.sum())
        return float(min(self.y.sum(), len(self.y) - self.y.sum()))

    def fit(self, x: Floats, *, separated: bool = False) -> Fit:
        """The regression that fits the outcome, with errors by groups where there are any."""
        if self.kind == "time":
            assert self.spells is not None
            made = cox(x, self.spells, horizon=self.horizon, separated=separated)
        else:
            made = logistic(x, self.y, separated=separated) if self.kind == "yesno" else linear(x, self.y)
        if self.groups is None:
            return made
        return clustered(made, x, self.scores(made, x), self.groups)

    def scores(self, fit: Fit, x: Floats) -> Floats:
        """What each row adds to the gradient of the log-likelihood, shape (n, k)."""
        if self.kind == "time":
            assert self.spells is not None
            return score_residuals(fit, x, self.spells)
        residual = self.y - outcome_at(fit, x @ fit.coefficients)
        out: Floats = x * residual[:, None]
        return out

    def working(self, fit: Fit, x: Floats) -> tuple[Floats, Floats]:
        """What a further column would be multiplied by: each row's residual, and its weight; shape (n,) each.

        For a time: ends seen less ends expected, and ends expected (the Poisson form of the Cox model).
        """
        eta = x @ fit.coefficients
        if self.kind == "number":
            residual = self.y - eta
            return residual, np.full(len(self.y), float(residual @ residual) / max(fit.n - int(fit.kept.sum()), 1))
        if self.kind == "yesno":
            p = outcome_at(fit, eta)
            return self.y - p, p * (1 - p)
        assert self.spells is not None
        lived = expected_ends(fit, x, self.spells)
        return self.y - lived, lived

    def told(self, fit: Fit, x: Floats) -> float:
        """How well a fit tells its own rows: AUC, R² or concordance."""
        eta = x @ fit.coefficients
        if self.kind == "number":
            return 1 - float(np.var(self.y - eta) / np.var(self.y))
        return self.ranked(eta)

    def ranked(self, score: Floats) -> float:
        """AUC or concordance of a score on its own rows."""
        if self.kind == "time":
            assert self.spells is not None
            return concordance(self.spells.time, self.spells.event, score, most=PAIRS).value
        return auc(self.y, score)

    def level(self, mask: Mask) -> tuple[float, float, float]:
        """The outcome of some rows, with its 95% interval: share, mean, or share ended by the horizon."""
        if self.kind == "time":
            assert self.spells is not None and self.ends is not None
            e = ended_by(self.spells.time[mask], self.ends[mask], self.horizon)
            return e.value, e.low, e.high
        y = self.y[mask]
        n = len(y)
        mean = float(y.mean()) if n else math.nan
        if self.groups is not None and n > 1:
            sums = np.bincount(np.unique(self.groups[mask], return_inverse=True)[1], weights=y - mean)
            g = len(sums)
            se = math.sqrt(g / (g - 1) * float(sums @ sums)) / n if g > 1 else math.inf
            law = laws.student(max(g - 1, 1))
            low, high = laws.bounds(law, mean, se, 0.05) if math.isfinite(se) else (-math.inf, math.inf)
            return (mean, max(low, 0.0), min(high, 1.0)) if self.kind == "yesno" else (mean, low, high)
        if self.kind == "yesno":
            low, high = laws.wilson(float(y.sum()), n, 0.05) if n else (math.nan, math.nan)
            return mean, low, high
        half = 1.96 * float(y.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
        return mean, mean - half, mean + half

    def apart(self, made: Estimate, here: Mask, base: Mask) -> Estimate:
        """The plain difference of two sets of rows in points, in the place of a fitted one."""
        if self.groups is not None or not self.binary:
            return made
        if self.kind == "yesno":
            y = self.y
            shares = share_difference(int(y[here].sum()), int(here.sum()), int(y[base].sum()), int(base.sum()))
            return replace(
                made, value=100 * shares.value, low=100 * shares.low, high=100 * shares.high, level=0.95,
                n=int(here.sum() + base.sum()), se=None, law=None, p_value=shares.p_value,
                method=f"difference of shares, {made.category} against {made.base}, alone; Newcombe",
            )  # fmt: skip
        assert self.spells is not None and self.ends is not None
        first, second = (ended_by(self.spells.time[m], self.ends[m], self.horizon) for m in (here, base))
        se = 100 * math.hypot(first.se or 0.0, second.se or 0.0)
        gap = 100 * (first.value - second.value)
        return replace(
            made, value=gap, n=first.n + second.n, se=se, law=laws.normal(-100.0, 100.0),
            p_value=laws.normal_p(gap / se) if se else None,
            method=f"difference of shares ended by {self.horizon:g}, {made.category} against {made.base}, alone; "
            f"{first.method}",
        ).at(0.05)  # fmt: skip

    def take(self, rows: npt.NDArray[Any]) -> Response:
        """Some of the rows."""
        groups = None if self.groups is None else np.unique(self.groups[rows], return_inverse=True)[1]
        spells = None if self.spells is None else Spells.of(self.spells.time[rows], self.spells.event[rows])
        ends = None if self.ends is None else self.ends[rows]
        return replace(self, y=self.y[rows], groups=groups, spells=spells, ends=ends)
