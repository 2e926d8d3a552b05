"""Cox regression: which rows end sooner, whatever the shape of the common risk over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ambidex.stats.regression import RIDGE, WIDE, Baseline, Fit, independent, inverse, spread_out

__all__ = ["Spells", "cox", "expected_ends", "proportional", "score_residuals", "step"]

Floats = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spells:
    """How long each row was seen, and whether it ended there; sorted once, used by every fit.

    Attributes:
        time: How long, shape (n,), 0 or more, in any unit.
        event: Whether the end was seen; if not the row is cut off (censored), shape (n,).
        order: Rows by time.
        starts: Where each different time begins in that order, shape (g,).
        at: Which of the times each row has, shape (n,).
        deaths: Ends at each time, shape (g,).
        group: Time of each end, shape (m,), ends of one time side by side.
        share: l/d of each end, shape (m,): Efron's weight of its time's ends that are taken off.
    """

    time: Floats
    event: Flags
    order: Indices
    starts: Indices
    at: Indices
    deaths: Indices
    group: Indices
    share: Floats

    @staticmethod
    def of(time: Floats, event: Floats | Flags) -> Spells:
        """Sort the rows.

        >>> Spells.of(np.array([3.0, 1.0, 3.0]), np.array([1.0, 0.0, 1.0])).share.tolist()
        [0.0, 0.5]
        """
        seen = np.asarray(event).astype(bool)
        order = np.argsort(time, kind="stable")
        values, at = np.unique(time, return_inverse=True)
        starts = np.searchsorted(time[order], values)
        deaths = np.bincount(at[seen], minlength=len(values))
        group = np.repeat(np.arange(len(values)), deaths)
        first = np.cumsum(deaths) - deaths
        rank = np.arange(len(group)) - first[group]
        return Spells(time, seen, order, starts, at.ravel(), deaths, group, rank / np.maximum(deaths[group], 1))

    @property
    def times(self) -> Floats:
        """The different times, increasing, shape (g,)."""
        out: Floats = self.time[self.order][self.starts]
        return out

    def sums(self, values: Floats) -> Floats:
        """Sum over the rows of each time, shape (g, ...)."""
        out: Floats = np.add.reduceat(values[self.order], self.starts, axis=0)
        return out


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The partial likelihood at one coefficient vector."""

    loglik: float
    gradient: Floats
    information: Floats
    means: Floats  # weighted mean of the columns among those at risk, for each end
    risk: Floats  # their summed weight, for each end


def _pieces(x: Floats, spells: Spells, beta: Floats) -> _Pieces:
    """Efron's partial likelihood, gradient and information, in one pass over the different times.

    The second moments among those at risk are not kept for each time: their sum over the ends is X'WX with
    each row weighted by the risk it has lived through.
    """
    eta = x @ beta
    eta = eta - float(eta.max())
    w = np.exp(eta)
    wx = x * w[:, None]
    s0 = np.cumsum(spells.sums(w)[::-1])[::-1]
    s1 = np.cumsum(spells.sums(wx)[::-1], axis=0)[::-1]
    dead = spells.event
    d0 = spells.sums(np.where(dead, w, 0.0))
    d1 = spells.sums(wx * dead[:, None])
    g, share = spells.group, spells.share
    risk = s0[g] - share * d0[g]
    means = (s1[g] - share[:, None] * d1[g]) / risk[:, None]
    size = len(s0)
    lived = np.cumsum(np.bincount(g, weights=1 / risk, minlength=size))[spells.at]
    lived = lived - np.where(dead, np.bincount(g, weights=share / risk, minlength=size)[spells.at], 0.0)
    loglik = float(eta[dead].sum() - np.log(risk).sum())
    gradient = x[dead].sum(axis=0) - means.sum(axis=0)
    information = x.T @ (wx * lived[:, None]) - means.T @ means
    return _Pieces(loglik, gradient, information, means, risk)


def step(x: Floats, spells: Spells, beta: Floats) -> tuple[Floats, Floats]:
    """Gradient and information at ``beta``: what one Newton step takes. Shapes (k,) and (k, k)."""
    pieces = _pieces(x, spells, beta)
    return pieces.gradient, pieces.information


def cox(
    x: Floats, spells: Spells, *, horizon: float | None = None, penalty: float = 0.0, separated: bool = False
) -> Fit:
    """Cox regression with Efron's treatment of ties, by Newton's method with step halving.

    Args:
        x: Columns on a scale near 1, shape (n, k); the first is an intercept and is dropped, so that the
            designs of the other regressions serve.
        spells: Times and ends.
        horizon: Time at which chances are told; ``Fit.baseline`` then carries the common risk up to there.
        penalty: Ridge on each column's variance; 0 is maximum partial likelihood.
        separated: Take the weak ridge at once, where a fit on nearly the same columns needed it.

    Returns:
        Family ``cox``; ``coefficients`` are logs of hazard ratios.

    Source: Cox (1972); ties: Efron (1977), JASA 72, 557-565.

    >>> spells = Spells.of(np.array([1.0, 2, 3, 4, 5, 6]), np.array([1.0, 1, 0, 1, 1, 0]))
    >>> x = np.column_stack([np.ones(6), [1.0, 0, 1, 0, 1, 0]])
    >>> round(float(cox(x, spells).coefficients[1]), 4)
    0.2739
    """
    kept = np.zeros(x.shape[1], dtype=bool)
    kept[1:] = independent(x - x.mean(axis=0))[1:] & (x[:, 1:].std(axis=0) > 0)
    centre = x[:, kept].mean(axis=0)
    design = np.ascontiguousarray(x[:, kept] - centre)
    spread = np.maximum(design.var(axis=0), 1e-12)
    null = _pieces(design, spells, np.zeros(design.shape[1]))
    dummies = ((x[:, kept] == 0) | (x[:, kept] == 1)).all(axis=0)
    used = penalty
    beta, pieces, converged = np.zeros(design.shape[1]), null, True
    if not separated:
        beta, pieces, converged = _newton(design, spells, penalty * spread)
        if not penalty and design.shape[1]:
            errors = np.sqrt(np.maximum(np.diag(inverse(pieces.information)), 0.0))
            far = float(np.ptp(design @ beta)) > WIDE  # risks e^30 apart: some rows never end
            separated = not converged or far or bool((errors[dummies] > WIDE).any())
    if separated:
        used = RIDGE
        beta, pieces, converged = _newton(design, spells, RIDGE * np.where(dummies, 1.0, spread))
    weak = used * (np.where(dummies, 1.0, spread) if separated else spread)
    coefficients, covariance = spread_out(beta, inverse(pieces.information + np.diag(weak)), kept)
    # The weights were taken around the largest linear predictor, the columns around their means.
    top = float((design @ beta).max()) if len(beta) else 0.0
    return Fit(
        family="cox",
        coefficients=coefficients,
        covariance=covariance,
        kept=kept,
        n=len(x),
        loglik=pieces.loglik,
        null=null.loglik,
        ridge=used if separated else 0.0,
        converged=converged,
        baseline=None if horizon is None else _baseline(pieces, spells, horizon, kept, centre, beta, top),
    )


def _baseline(
    pieces: _Pieces, spells: Spells, horizon: float, kept: Flags, centre: Floats, beta: Floats, top: float
) -> Baseline:
    """Cumulative risk up to ``horizon`` of a row whose columns are all 0 (Breslow's sum over Efron's risk sets)."""
    upto = spells.times[spells.group] <= horizon
    # S0 was summed over exp(eta - top) of centred columns: at x = 0 the weight is exp(-centre'b).
    scale = float(np.exp(-top - centre @ beta)) if len(beta) else 1.0
    one = scale / pieces.risk[upto]
    slope = np.zeros(len(kept))
    slope[kept] = one @ (pieces.means[upto] + centre)
    return Baseline(horizon=horizon, hazard=float(one.sum()), variance=float((one**2).sum()), slope=slope)


def _newton(x: Floats, spells: Spells, ridge: Floats, *, most: int = 40) -> tuple[Floats, _Pieces, bool]:
    beta = np.zeros(x.shape[1])
    pieces = _pieces(x, spells, beta)
    if not x.shape[1]:
        return beta, pieces, True

    def height(p: _Pieces, b: Floats) -> float:
        return p.loglik - 0.5 * float(ridge @ b**2)

    for _ in range(most):
        gradient = pieces.gradient - ridge * beta
        try:
            move = np.linalg.solve(pieces.information + np.diag(ridge), gradient)
        except np.linalg.LinAlgError:
            return beta, pieces, False
        value = height(pieces, beta)
        if abs(float(gradient @ move)) < 1e-12 * max(1.0, abs(value)):
            return beta, pieces, True
        for _half in range(30):
            trial = beta + move
            made = _pieces(x, spells, trial)
            if np.isfinite(made.loglik) and height(made, trial) >= value - 1e-12 * abs(value):
                break
            move = move / 2
        beta, pieces = trial, made
    return beta, pieces, False


def score_residuals(fit: Fit, x: Floats, spells: Spells) -> Floats:
    """What each row adds to the gradient, shape (n, k): for errors that hold where rows of a group are alike.

    Source: Lin & Wei (1989), JASA 84, 1074-1078.
    """
    design = x[:, fit.kept]
    beta = fit.coefficients[fit.kept]
    pieces = _pieces(design, spells, beta)
    eta = design @ beta
    w = np.exp(eta - float(eta.max()))
    size, g = len(spells.starts), spells.group
    one, tied = 1 / pieces.risk, spells.share / pieces.risk

    def upto(weights: Floats, ties: Floats) -> Floats:
        total = np.zeros((size, *weights.shape[1:]))
        np.add.at(total, g, weights)
        own = np.zeros_like(total)
        np.add.at(own, g, ties)
        flags = spells.event.reshape(-1, *([1] * (weights.ndim - 1)))
        out: Floats = np.cumsum(total, axis=0)[spells.at] - np.where(flags, own[spells.at], 0.0)
        return out

    lived = upto(one, tied)
    mean = upto(pieces.means * one[:, None], pieces.means * tied[:, None])
    average = np.zeros((size, design.shape[1]))
    np.add.at(average, g, pieces.means)
    average /= np.maximum(spells.deaths, 1)[:, None]
    ended = np.where(spells.event[:, None], design - average[spells.at], 0.0)
    out = np.zeros_like(x)
    out[:, fit.kept] = ended - w[:, None] * (design * lived[:, None] - mean)
    return out


def expected_ends(fit: Fit, x: Floats, spells: Spells) -> Floats:
    """Ends that the fit expects of each row up to the time it was seen (cumulative hazard), shape (n,).

    They sum to the ends that were seen.
    """
    eta = x[:, fit.kept] @ fit.coefficients[fit.kept]
    pieces = _pieces(x[:, fit.kept], spells, fit.coefficients[fit.kept])
    w = np.exp(eta - float(eta.max())) if len(eta) else eta
    size, g = len(spells.starts), spells.group
    lived = np.cumsum(np.bincount(g, weights=1 / pieces.risk, minlength=size))[spells.at]
    tied = np.bincount(g, weights=spells.share / pieces.risk, minlength=size)[spells.at]
    out: Floats = w * (lived - np.where(spells.event, tied, 0.0))
    return out


def proportional(fit: Fit, x: Floats, spells: Spells, columns: slice) -> tuple[float, int, float]:
    """Whether a column's hazard ratio stays the same over time: scaled Schoenfeld residuals against the rank of time.

    Args:
        fit: The Cox regression.
        x: The matrix it was fitted on.
        spells: Times and ends.
        columns: The column's design columns.

    Returns:
        Statistic, degrees of freedom, p-value; a small p says that it changes.

    Source: Grambsch & Therneau (1994), Biometrika 81, 515-526.
    """
    from scipy import special

    index = np.arange(len(fit.kept))[columns]
    index = index[fit.kept[index]]
    events = int(spells.event.sum())
    if not index.size or events < 3:
        return 0.0, 0, float("nan")
    pieces = _pieces(x[:, fit.kept], spells, fit.coefficients[fit.kept])
    size = len(spells.starts)
    total = np.zeros((size, int(fit.kept.sum())))
    np.add.at(total, spells.group, pieces.means)
    ends = spells.sums(np.where(spells.event[:, None], x[:, fit.kept], 0.0))
    residual = ends - total  # of each time, its ends summed
    last = np.cumsum(spells.deaths)
    rank = last - (spells.deaths - 1) / 2
    centred = rank - float((spells.deaths @ rank) / events)
    spread = float(spells.deaths @ centred**2)
    if spread <= 0:
        return 0.0, 0, float("nan")
    full = fit.covariance[np.ix_(fit.kept, fit.kept)]
    at = np.flatnonzero(np.isin(np.flatnonzero(fit.kept), index))
    slope = (full @ (centred @ residual))[at]
    statistic = float(slope @ inverse(full[np.ix_(at, at)]) @ slope) * events / spread
    return statistic, len(at), float(special.chdtrc(len(at), max(statistic, 0.0)))
