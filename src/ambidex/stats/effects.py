"""What a regression says about one column: average effects with their errors, evidence, importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ambidex.stats import laws
from ambidex.stats.claim import Claim, Verdict, decide, decide_all
from ambidex.stats.design import Category, Term
from ambidex.stats.estimate import Estimate
from ambidex.stats.families import benjamini_hochberg
from ambidex.stats.regression import Fit, joint_wald

__all__ = [
    "Change", "average_effect", "between", "changes", "depends", "goes_with", "held_equal", "importance", "link",
    "outcome_at", "ratio",
]  # fmt: skip

Floats = npt.NDArray[np.float64]

LEAST_P = 1e-300

_MODELS = {
    "logistic": "logistic regression, delta method",
    "linear": "least squares, HC2",
    "cox": "Cox regression, chance by the horizon, delta method",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One column set from one value to another, all else as it is.

    Attributes:
        column: The column.
        text: In words: `One year against Month-to-month`, `from 9 to 55`.
        category: Level or number that it is set to; numbers as JSON writes them.
        base: Level or number that it is compared with.
        start: Design columns at the start, shape (size,).
        end: Design columns at the end, shape (size,).
    """

    column: str
    text: str
    category: str
    base: str
    start: Floats
    end: Floats


def changes(term: Term, values: npt.NDArray[np.generic]) -> list[Change]:
    """What is reported of a column.

    A category: each level against the base, its most frequent level. A number: from its 25th to its
    75th percentile; from the lower to the higher value if it has two; from further out where ties make
    the quartiles equal.

    Args:
        term: The column's design.
        values: Its values, shape (n,).
    """
    if isinstance(term, Category):
        unit = np.eye(term.size)
        base = term.levels[0] if term.levels else ""
        return [
            Change(term.name, f"{label} against {base}", label, base, np.zeros(term.size), unit[i])
            for i, label in enumerate(term.labels)
        ]
    x = np.asarray(values, dtype=np.float64)
    x = x[np.isfinite(x)]
    if not x.size:
        return []
    low, high, how = _ends(x)
    return [] if low == high else [between(term, low, high, how)]


def between(term: Term, start: float | str, end: float | str, how: str = "") -> Change:
    """A column set from ``start`` to ``end``."""
    if isinstance(term, Category):
        rows = dict(zip(term.labels, np.eye(term.size), strict=True))
        zero = np.zeros(term.size)
        return Change(
            term.name,
            f"{end} against {start}",
            str(end),
            str(start),
            rows.get(str(start), zero),
            rows.get(str(end), zero),
        )
    rows_ = term.matrix(np.array([start, end], dtype=np.float64))
    text = f"from {_plain(float(start))} to {_plain(float(end))}" + (f" ({how})" if how else "")
    return Change(term.name, text, f"{float(end):.12g}", f"{float(start):.12g}", rows_[0], rows_[1])


def average_effect(
    fit: Fit, x: Floats, place: slice, change: Change, *, name: str, unit: str, adjusted: bool
) -> Estimate:
    """By how much the outcome differs, on average over the rows, when one column is set to another value.

    Logistic: the mean difference of fitted probabilities, in points (shares times 100), with the delta
    method's standard error. Linear: the difference in the outcome's own unit. Cox: the mean difference of the
    chance to have ended by the fit's horizon, in points; its error counts the coefficients and the common
    risk. It is what goes with the column, not what changing the column would bring.

    Args:
        fit: The regression.
        x: The matrix it was fitted on, shape (n, k).
        place: Where the column's own design columns stand in it.
        change: From where to where.
        name: Shown name.
        unit: Unit of a linear model's outcome; logistic gives points.
        adjusted: True if the other columns are in the regression.

    Source: Greene, Econometric Analysis (2018), section 17.3.2; Stata's ``margins, dydx``; Cox: the variance of
    Andersen et al. (1993), section VII.2.3, averaged over rows.
    """
    from scipy import special

    b, v = fit.coefficients, fit.covariance
    gradient, extra = np.zeros(len(b)), 0.0
    if fit.family == "linear":
        gradient[place] = change.end - change.start
        value = float(gradient @ b)
        law = laws.student(max(fit.df, 1))
        scale, shown = 1.0, unit
    elif fit.family == "cox":
        assert fit.baseline is not None
        base = fit.baseline
        rest = x @ b - x[:, place] @ b[place]
        r1, r0 = np.exp(rest + float(change.end @ b[place])), np.exp(rest + float(change.start @ b[place]))
        s1, s0 = np.exp(-base.hazard * r1), np.exp(-base.hazard * r0)
        w1, w0 = r1 * s1, r0 * s0  # derivatives of 1 - s by the common hazard
        value = float((s0 - s1).mean())
        by_hazard = float((w1 - w0).mean())
        gradient = base.hazard * (x.T @ (w1 - w0)) / len(x)
        gradient[place] = base.hazard * (float(w1.mean()) * change.end - float(w0.mean()) * change.start)
        gradient = gradient - by_hazard * base.slope
        extra = by_hazard**2 * base.variance
        law = laws.normal(-100.0, 100.0)
        scale, shown = 100.0, "points"
    else:
        rest = x @ b - x[:, place] @ b[place]
        p1 = special.expit(rest + float(change.end @ b[place]))
        p0 = special.expit(rest + float(change.start @ b[place]))
        w1, w0 = p1 * (1 - p1), p0 * (1 - p0)
        gradient = x.T @ (w1 - w0) / len(x)
        gradient[place] = float(w1.mean()) * change.end - float(w0.mean()) * change.start
        value = float((p1 - p0).mean())
        law = laws.normal(-100.0, 100.0)
        scale, shown = 100.0, "points"
    if fit.groups and fit.family != "linear":
        law = laws.student(max(fit.df, 1))
    se = math.sqrt(max(float(gradient @ v @ gradient), 0.0) + extra)
    known = se > 0
    held = "other columns held equal" if adjusted else "alone"
    model = _MODELS[fit.family].replace("HC2", "CR1") if fit.groups else _MODELS[fit.family]
    if fit.groups:
        model += f", errors by {fit.groups:,} groups"
    made = Estimate(
        name=name,
        kind="marginal-effect",
        value=scale * value,
        low=-math.inf,
        high=math.inf,
        n=fit.n,
        unit=shown,
        method=f"average effect, {held}; {model}",
        se=scale * se if known else None,
        law=law if known else None,
        category=change.category,
        base=change.base,
        adjusted=adjusted,
        p_value=_p(value / se, law) if known else None,
    )
    return made.at(0.05) if known else made


def held_equal(fit: Fit, x: Floats, place: slice, rows: Sequence[Floats]) -> list[float]:
    """Mean outcome if every row had the column at one value and kept the rest; one number for each of ``rows``."""
    b = fit.coefficients
    rest = x @ b - x[:, place] @ b[place]
    return [float(outcome_at(fit, rest + float(row @ b[place])).mean()) for row in rows]


def outcome_at(fit: Fit, eta: Floats) -> Floats:
    """The outcome that a linear predictor stands for: a chance, a mean, or the chance to have ended by the horizon."""
    from scipy import special

    if fit.family == "linear":
        return eta
    if fit.family == "cox":
        assert fit.baseline is not None
        out: Floats = -np.expm1(-fit.baseline.hazard * np.exp(eta))
        return out
    chance: Floats = special.expit(eta)
    return chance


def ratio(fit: Fit, place: slice, change: Change, *, name: str, adjusted: bool) -> Estimate:
    """The odds ratio (logistic) or hazard ratio (Cox) of one value of a column against another, less 1.

    Args:
        fit: The regression.
        place: Where the column's own design columns stand in it.
        change: From where to where.
        name: Shown name.
        adjusted: True if the other columns are in the regression.
    """
    move = np.zeros(len(fit.coefficients))
    move[place] = change.end - change.start
    log = float(move @ fit.coefficients)
    se = math.sqrt(max(float(move @ fit.covariance @ move), 0.0))
    law = laws.log_normal(se, float(fit.df)) if fit.groups else laws.log_normal(se)
    return Estimate(
        name=name, kind="relative", value=math.expm1(min(log, 700.0)), low=-1.0, high=math.inf, n=fit.n, unit="share",
        method="hazard ratio less 1, Cox regression" if fit.family == "cox" else "odds ratio less 1",
        law=law, se=None, category=change.category, base=change.base, adjusted=adjusted,
        p_value=_p(log / se, laws.student(max(fit.df, 1)) if fit.groups else laws.normal()) if se > 0 else None,
    ).at(0.05)  # fmt: skip


def link(fit: Fit, place: slice, name: str, *, outcome: str, p_value: float | None = None) -> Estimate:
    """The evidence that a column goes with the outcome at all, on the scale of standard errors.

    The p-value of the joint Wald test over all design columns of the table's column, expressed as the
    standard normal deviate that has it: |z| with P(|Z| > z) = p, standard error 1. A claim "above 0" on
    it is decided at the same alpha as the test, alone and in a family (a test shows it).

    Args:
        fit: The regression.
        place: The column's design columns.
        name: The column.
        outcome: Shown name of the outcome.
        p_value: The same test's p-value from elsewhere, ``shuffled.shuffled_wald``; the F or chi-squared law's if None.
    """
    statistic, df, p = joint_wald(fit, place)
    how = ""
    if p_value is not None and df:
        p, how = p_value, ", against shuffled residuals"
    shown = {"name": f"{name} and {outcome}", "kind": "check", "n": fit.n, "unit": "standard errors"}
    if not df or math.isnan(p):
        return Estimate(
            **shown,  # type: ignore[arg-type]  # values of the dict differ in type
            value=math.nan,
            low=math.nan,
            high=math.nan,
            method="no test: nothing left to vary",
            se=1.0,
            law=laws.normal(),
        )
    z = -laws.normal_quantile(max(p, LEAST_P) / 2) if p < 1 else 0.0
    return Estimate(
        **shown,  # type: ignore[arg-type]  # values of the dict differ in type
        value=z,
        low=z,
        high=z,
        method=f"joint Wald test, {statistic:.4g} on {df} degrees of freedom{how}, as a normal deviate",
        se=1.0,
        law=laws.normal(),
        p_value=max(p, LEAST_P),
    ).at(0.05)


def goes_with(links: Sequence[Estimate], *, alpha: float = 0.10) -> list[Verdict]:
    """Which columns go with the outcome, with a false share of at most ``alpha`` expected among those named.

    Columns without a test stay open and are not counted in the family, as for their q-values.
    """
    claims = [Claim(measure=f"the link between {e.name}", alpha=alpha) for e in links]
    tested = [i for i, e in enumerate(links) if not math.isnan(e.value)]
    judged = decide_all([claims[i] for i in tested], [links[i] for i in tested], family="bh")
    verdicts = dict(zip(tested, judged, strict=True))
    judged = [verdicts[i] if i in verdicts else decide(claims[i], links[i]) for i in range(len(links))]
    q = benjamini_hochberg([math.nan if e.p_value is None else e.p_value for e in links])
    return [_explained(verdict, float(value), alpha) for verdict, value in zip(judged, q, strict=True)]


def depends(
    names: Sequence[str], tests: Sequence[tuple[float, int, float]], *, n: int, outcome: str, alpha: float = 0.05
) -> list[tuple[Estimate, Verdict]]:
    """Which of several tests say that something is there, with a chance of any false one of at most ``alpha`` (Holm).

    Args:
        names: What each test is about.
        tests: Statistic, degrees of freedom and p-value of each.
        n: Rows.
        outcome: Shown name of the outcome.
        alpha: Of the family.
    """
    made = []
    for name, (statistic, df, p) in zip(names, tests, strict=True):
        z = -laws.normal_quantile(max(p, LEAST_P) / 2) if p < 1 else 0.0  # NaN stays 0: nothing was tested
        made.append(
            Estimate(
                name=f"{name} and {outcome}", kind="check", value=z, low=z, high=z, n=n, unit="standard errors",
                method=f"{statistic:.4g} on {df} degrees of freedom, as a normal deviate", se=1.0,
                law=laws.normal(), p_value=None if math.isnan(p) else max(p, LEAST_P),
            ).at(0.05)
        )  # fmt: skip
    verdicts = decide_all([Claim(measure=name, alpha=alpha) for name in names], made, family="holm")
    return list(zip(made, verdicts, strict=True))


def _explained(verdict: Verdict, q: float, alpha: float) -> Verdict:
    """The verdict with its reason as a test statistic: the deviate has no unit that a reader could use."""
    if math.isnan(q) or math.isnan(verdict.estimate.value):
        return replace(verdict, because="no test: there is nothing left to compare")
    shown = "q < .001" if q < 0.001 else f"q = {q:.3f}".replace("0.", ".", 1)
    because = f"joint Wald z {verdict.estimate.value:.1f}, {shown}"
    if verdict.outcome == "open":
        because += f", not below {f'{alpha:.2f}'.removeprefix('0')}"
        if verdict.needed is not None:
            because += f"; about {verdict.needed:,} more rows would decide it if the link is as strong as it looks"
    return replace(verdict, because=because)


def importance(alone: Fit, together: Fit, place: slice | npt.NDArray[np.intp]) -> float:
    """How much of the outcome a column accounts for: the mean of entering first and entering last.

    Entering first: the likelihood ratio of the column alone. Entering last: its joint Wald statistic with
    all other columns there. Each less its degrees of freedom, so that a column of noise scores near 0.
    The mean of the two is what averaging over all orders (Lindeman, Merenda & Gold 1980) comes to with
    two columns, and needs no 2^k fits.
    """
    first = max(2 * (alone.loglik - alone.null) - (int(alone.kept.sum()) - 1), 0.0)
    statistic, df, _ = joint_wald(together, place)
    if together.family == "linear":  # on the likelihood's scale, where a strong column does not outgrow the rest
        statistic = together.n * math.log1p(statistic / max(together.df, 1))
    return 0.5 * first + 0.5 * max(statistic - df, 0.0)


def _ends(x: Floats) -> tuple[float, float, str]:
    distinct = np.unique(x)
    if distinct.size <= 2:
        return float(distinct[0]), float(distinct[-1]), ""
    for share, how in (
        (0.25, "25th to 75th percentile"),
        (0.10, "10th to 90th percentile"),
        (0.02, "2nd to 98th percentile"),
    ):
        low, high = np.quantile(x, [share, 1 - share], method="inverted_cdf")
        if low < high:
            return float(low), float(high), how
    return float(distinct[0]), float(distinct[-1]), "least to most"


def _p(z: float, law: laws.Law) -> float:
    if law.name == "student":
        from scipy import special

        return 2 * float(special.stdtr(law.args[0], -abs(z)))
    return laws.normal_p(z)


def _plain(x: float) -> str:
    return f"{x:.6g}".replace("-", "−")
