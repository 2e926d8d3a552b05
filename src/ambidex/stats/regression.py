"""Logistic and linear regression with honest errors, and what cannot be told apart named.

Columns are expected on a scale near 1 (``design.Design`` gives them so), intercept first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = [
    "Baseline", "Fit", "added_score", "clustered", "independent", "inverse", "joint_wald", "linear", "logistic",
    "spread_out",
]  # fmt: skip

Floats = npt.NDArray[np.float64]

ALIASED = 1e-7
"""A column is aliased if less than this share of it is left once the columns before it are taken out (R's lm)."""

MANY, SPARSE = 10_000, 8
"""From so many rows on Newton's method begins where every eighth row ends."""

RIDGE = 0.04
"""Penalty where the data alone give no finite coefficient: a prior standard deviation of 5 log-odds for a
dummy, or for one standard deviation of any other column."""

WIDE = 30.0
"""A dummy whose log-odds have a standard error above this has one outcome only: separation, not an estimate."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """The common risk of a Cox regression up to one time, for a row whose columns are all 0.

    Attributes:
        horizon: That time, in the table's unit.
        hazard: Cumulative hazard up to it.
        variance: Of the hazard at known coefficients.
        slope: Minus its derivative by the coefficients, shape (k,).
    """

    horizon: float
    hazard: float
    variance: float
    slope: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A fitted regression.

    Attributes:
        family: ``logistic``, ``linear`` or ``cox``.
        coefficients: Shape (k,); 0 for a column that was dropped.
        covariance: Shape (k, k); rows and columns of dropped ones are 0.
        kept: Which columns stayed, shape (k,).
        n: Rows.
        loglik: Log-likelihood (Gaussian for ``linear``).
        null: Log-likelihood of the intercept alone.
        ridge: Penalty that was needed, 0 if none.
        converged: False if the iterations ran out.
        groups: Groups of rows that the errors allow to be alike, 0 if rows are independent.
        baseline: Common risk up to a horizon, for ``cox``.
    """

    family: Literal["logistic", "linear", "cox"]
    coefficients: Floats
    covariance: Floats
    kept: npt.NDArray[np.bool_]
    n: int
    loglik: float
    null: float
    ridge: float = 0.0
    converged: bool = True
    groups: int = 0
    baseline: Baseline | None = None

    @property
    def df(self) -> int:
        """Residual degrees of freedom; one less than the groups, where rows come in groups."""
        if self.groups:
            return self.groups - 1
        return self.n - int(self.kept.sum())

    @property
    def errors(self) -> Floats:
        """Standard errors, shape (k,)."""
        out: Floats = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        return out


def independent(x: Floats, *, tolerance: float = ALIASED) -> npt.NDArray[np.bool_]:
    """Which columns are not a linear combination of columns before them; shape (k,).

    The earlier of two that say the same stays, so the order of the columns is the order of preference.
    Works on the R factor of a QR decomposition, whose columns stand to each other as those of ``x`` do.

    >>> independent(np.array([[1.0, 0, 1], [1, 1, 2], [1, 2, 3]])).tolist()
    [True, True, False]
    """
    r: Floats = np.asarray(np.linalg.qr(x, mode="r"))
    kept = np.zeros(x.shape[1], dtype=bool)
    directions = np.empty((r.shape[0], 0))
    for j in range(x.shape[1]):
        column = r[:, j]
        length = float(np.linalg.norm(column))
        left = column - directions @ (directions.T @ column)
        left = left - directions @ (directions.T @ left)  # twice is enough (Kahan)
        rest = float(np.linalg.norm(left))
        if length > 0 and rest > tolerance * length:
            kept[j] = True
            directions = np.column_stack([directions, left / rest])
    return kept


def logistic(x: Floats, y: Floats, *, penalty: Floats | float = 0.0, separated: bool = False) -> Fit:
    """Logistic regression by Newton's method with step halving.

    Where the outcome is separated (no finite maximum) the fit is repeated with a ridge of ``RIDGE``,
    and says so in ``Fit.ridge``.

    Args:
        x: Columns, shape (n, k), intercept first.
        y: Outcomes 0 and 1, shape (n,).
        penalty: Half of this times the squared coefficient is taken off the log-likelihood; the intercept
            is free. Shape (k,) or one number; 0 is maximum likelihood.
        separated: Take that ridge at once, where a fit on nearly the same columns needed it.

    Source: McCullagh & Nelder (1989), section 4.4; separation: Albert & Anderson (1984).

    >>> x = np.column_stack([np.ones(4), [0.0, 0, 1, 1]])
    >>> fit = logistic(np.repeat(x, 5, axis=0), np.array([1.0, 0, 0, 0] * 5))
    >>> fit.converged, fit.n
    (True, 20)
    """
    n, k = x.shape
    ridge = np.broadcast_to(np.asarray(penalty, dtype=np.float64), (k,)).copy()
    ridge[0] = 0.0
    kept = np.ones(k, dtype=bool) if (ridge[1:] > 0).all() and k > 1 else independent(x)
    design = np.ascontiguousarray(x[:, kept])
    used, free = 0.0, not ridge.any()
    if not (free and separated):
        beta, information, loglik, converged = _newton(design, y, ridge[kept])
        separated = free and (not converged or _separated(design, information, beta))
    if separated:
        used = RIDGE
        weak = RIDGE * np.where(_dummies(design), 1.0, np.maximum(design.var(axis=0), 1e-12))
        weak[0] = 0.0
        beta, information, loglik, converged = _newton(design, y, weak)
    bread = inverse(information)
    share = float(y.mean())
    null = float(n * (_xlogx(share) + _xlogx(1 - share)))
    coefficients, covariance = spread_out(beta, bread, kept)
    return Fit(
        family="logistic",
        coefficients=coefficients,
        covariance=covariance,
        kept=kept,
        n=n,
        loglik=loglik,
        null=null,
        ridge=used,
        converged=converged,
    )


def linear(x: Floats, y: Floats, *, penalty: Floats | float = 0.0) -> Fit:
    """Least squares with HC2 standard errors, which hold where the spread differs between rows.

    Args:
        x: Columns, shape (n, k), intercept first.
        y: Outcomes, shape (n,), in their own unit.
        penalty: As for ``logistic``, on the residual sum of squares over 2.

    Source: MacKinnon & White (1985), HC2.
    """
    n, k = x.shape
    ridge = np.broadcast_to(np.asarray(penalty, dtype=np.float64), (k,)).copy()
    ridge[0] = 0.0
    kept = np.ones(k, dtype=bool) if (ridge[1:] > 0).all() and k > 1 else independent(x)
    design = np.ascontiguousarray(x[:, kept])
    centre, scale = float(y.mean()), float(y.std()) or 1.0
    standard = (y - centre) / scale
    bread = inverse(design.T @ design + np.diag(ridge[kept]))
    beta = bread @ (design.T @ standard)
    residuals = standard - design @ beta
    projected = design @ bread
    room = 1.0 - np.einsum("ij,ij->i", projected, design)
    weights = np.where(room > 1e-10, residuals**2 / np.maximum(room, 1e-10), 0.0)
    meat = projected.T @ (projected * weights[:, None])
    beta = beta * scale
    beta[0] += centre
    coefficients, covariance = spread_out(beta, meat * scale**2, kept)
    return Fit(
        family="linear",
        coefficients=coefficients,
        covariance=covariance,
        kept=kept,
        n=n,
        loglik=_gaussian(residuals * scale),
        null=_gaussian(y - centre),
    )


def joint_wald(fit: Fit, columns: slice | npt.NDArray[np.intp]) -> tuple[float, int, float]:
    """Whether a set of columns goes with the outcome at all: b'V⁻¹b, its degrees of freedom and p-value.

    Chi-squared for ``logistic`` and ``cox``; for ``linear``, and where rows come in groups, F with the
    residual degrees of freedom, reported as statistic = df · F. Columns that were dropped do not count; with
    none left the p-value is NaN.

    Args:
        fit: The regression.
        columns: Which of its columns.
    """
    from scipy import special

    index = np.arange(len(fit.kept))[columns]
    index = index[fit.kept[index]]
    if not index.size:
        return 0.0, 0, float("nan")
    b = fit.coefficients[index]
    v = fit.covariance[np.ix_(index, index)]
    statistic = float(b @ inverse(v) @ b)
    if fit.family != "linear" and not fit.groups:
        p = float(special.chdtrc(index.size, max(statistic, 0.0)))
    else:
        p = float(special.fdtrc(index.size, max(fit.df, 1), max(statistic, 0.0) / index.size))
    return statistic, int(index.size), p


def added_score(
    fit: Fit, x: Floats, further: Floats, residual: Floats, weight: Floats, groups: npt.NDArray[np.intp] | None = None
) -> tuple[float, int, float]:
    """Whether further columns add to a regression: the score test, which needs no new fit, with robust errors.

    The further columns, less what the fitted ones tell of them, are multiplied by the residuals; the sum's
    variance is read from its terms (by groups where there are any), so it holds where the spread differs.

    Args:
        fit: The regression.
        x: The matrix it was fitted on, shape (n, k).
        further: Columns that might be added, shape (n, q).
        residual: Outcome less fitted value of each row, shape (n,).
        weight: Variance that the model gives each row, shape (n,).
        groups: Group of each row, 0 to G-1, or None.

    Returns:
        Statistic (F times degrees of freedom), degrees of freedom, p-value.

    Source: Rao (1948); robust form: Boos (1992), The American Statistician 46, 327-333.
    """
    from scipy import special

    used = x[:, fit.kept]
    weighted = used * weight[:, None]
    left = further - used @ (inverse(used.T @ weighted) @ (weighted.T @ further))
    spread = np.linalg.norm(left, axis=0)
    left = left[:, spread > 1e-6 * np.maximum(np.linalg.norm(further, axis=0), 1e-300)]
    if left.shape[1]:
        left = left[:, independent(left, tolerance=1e-5)]
    q = left.shape[1]
    if not q:
        return 0.0, 0, float("nan")
    terms = left * residual[:, None]
    total = terms.sum(axis=0)
    df = fit.n - int(fit.kept.sum()) - q
    if groups is not None:
        count = int(groups.max()) + 1
        terms = np.column_stack([np.bincount(groups, weights=terms[:, j], minlength=count) for j in range(q)])
        df = count - 1
    statistic = float(total @ inverse(terms.T @ terms) @ total)
    return statistic, q, float(special.fdtrc(q, max(df, 1), max(statistic, 0.0) / q))


def clustered(fit: Fit, x: Floats, scores: Floats, groups: npt.NDArray[np.intp]) -> Fit:
    """The same fit with errors that hold where rows of one group are alike (CR1).

    G/(G-1)·(N-1)/(N-k) times B (Σ s_g s_g') B, B the inverse of the information, s_g what group g adds to the
    gradient; tests and intervals then take G-1 degrees of freedom.

    Args:
        fit: The regression.
        x: The matrix it was fitted on, shape (n, k).
        scores: What each row adds to the gradient of the log-likelihood, shape (n, k).
        groups: Group of each row, 0 to G-1, shape (n,).

    Source: Liang & Zeger (1986); CR1: Cameron & Miller (2015), section 2.
    """
    count = int(groups.max()) + 1
    kept = fit.kept
    if fit.family == "linear":
        bread = inverse(x[:, kept].T @ x[:, kept])
    else:
        bread = fit.covariance[np.ix_(kept, kept)]
    used = scores[:, kept]
    sums = np.column_stack([np.bincount(groups, weights=used[:, j], minlength=count) for j in range(used.shape[1])])
    n, k = fit.n, int(kept.sum())
    scale = count / max(count - 1, 1) * (n - 1) / max(n - k, 1)
    _, covariance = spread_out(fit.coefficients[kept], scale * bread @ (sums.T @ sums) @ bread, kept)
    return replace(fit, covariance=covariance, groups=count)


def _dummies(x: Floats) -> npt.NDArray[np.bool_]:
    out: npt.NDArray[np.bool_] = ((x == 0) | (x == 1)).all(axis=0)
    return out


def _separated(x: Floats, information: Floats, beta: Floats) -> bool:
    """A level with one outcome only, or fitted probabilities so near 0 and 1 that nothing is left to learn from."""
    from scipy import special

    errors = np.sqrt(np.maximum(np.diag(inverse(information)), 0.0))
    p = special.expit(x @ beta)
    return bool((errors[_dummies(x)] > WIDE).any() or float((p * (1 - p)).sum()) < x.shape[1] / 4)


def _newton(x: Floats, y: Floats, ridge: Floats, *, most: int = 40) -> tuple[Floats, Floats, float, bool]:
    from scipy import linalg, special

    def objective(b: Floats) -> tuple[float, float, Floats]:
        eta = x @ b
        loglik = float(y @ eta - np.logaddexp(0.0, eta).sum())
        return loglik, loglik - 0.5 * float(ridge @ b**2), eta

    def curvature(p: Floats) -> Floats:
        weighted = x * np.sqrt(p * (1 - p))[:, None]
        product: Floats = weighted.T @ weighted  # of a matrix with itself: half the work
        return product + np.diag(ridge)

    share = min(max(float(y.mean()), 0.5 / len(y)), 1 - 0.5 / len(y))
    beta = np.zeros(x.shape[1])
    beta[0] = np.log(share / (1 - share))
    loglik, value, eta = objective(beta)
    if len(y) >= MANY and 0 < y[::SPARSE].mean() < 1:  # begin where a part of the rows ends: half the steps
        part, _, _, there = _newton(np.ascontiguousarray(x[::SPARSE]), y[::SPARSE], ridge / SPARSE, most=10)
        begun = objective(part)
        if there and begun[1] > value:
            beta, (loglik, value, eta) = part, begun
    for _ in range(most):
        p = special.expit(eta)
        gradient = x.T @ (y - p) - ridge * beta
        information = curvature(p)
        try:
            step = linalg.cho_solve(linalg.cho_factor(information), gradient)
        except linalg.LinAlgError:
            break
        # Newton's decrement: twice the height still to be gained if the surface were a parabola.
        if float(gradient @ step) < 1e-12 * max(1.0, abs(value)):
            return beta, information, loglik, True
        for _half in range(30):
            trial = objective(beta + step)
            if trial[1] >= value - 1e-12 * abs(value):
                break
            step = step / 2
        beta = beta + step
        loglik, value, eta = trial
    return beta, curvature(special.expit(eta)), loglik, False


def inverse(a: Floats) -> Floats:
    """Inverse of a symmetric matrix after scaling its diagonal to 1; the pseudo-inverse where it is singular."""
    scale = np.sqrt(np.maximum(np.diag(a), 1e-300))
    scaled = a / np.outer(scale, scale)
    try:
        small = np.linalg.inv(scaled)
        if not np.isfinite(small).all():
            raise np.linalg.LinAlgError
    except np.linalg.LinAlgError:
        small = np.linalg.pinv(scaled, hermitian=True)
    out: Floats = small / np.outer(scale, scale)
    return (out + out.T) / 2


def spread_out(beta: Floats, covariance: Floats, kept: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    coefficients = np.zeros(kept.size)
    coefficients[kept] = beta
    full = np.zeros((kept.size, kept.size))
    full[np.ix_(kept, kept)] = covariance
    return coefficients, full


def _xlogx(share: float) -> float:
    return share * float(np.log(share)) if share > 0 else 0.0


def _gaussian(residuals: Floats) -> float:
    n = len(residuals)
    variance = max(float(residuals @ residuals) / n, 1e-300)
    return -0.5 * n * (float(np.log(2 * np.pi * variance)) + 1)
