"""Does an effect differ between groups? The test of interaction that a claim about one group rests on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ambidex.stats import laws
from ambidex.stats.estimate import Estimate

__all__ = ["heterogeneity", "heterogeneity_test"]

LEAST_P = 1e-300


def heterogeneity_test(
    values: Sequence[float], ses: Sequence[float], dfs: Sequence[float]
) -> tuple[float, float, float, float]:
    """Are k independent effects the same?

    Source: Welch (1951), Biometrika 38, 330-336, eq. 15-17: Cochran's (1937) weighted sum of squares
    Q = Σ w(x - x̄w)², w = 1/se², as F with degrees of freedom that count how well each se is known. With large
    groups it is Cochran's Q on chi-square.

    Args:
        values: Effects, length k of at least 2.
        ses: Their standard errors, above 0.
        dfs: Degrees of freedom of each standard error; infinite where it is as good as known.

    Returns:
        F, its two degrees of freedom, and p.

    >>> f, df1, df2, p = heterogeneity_test([1.0, 3.0], [0.5, 0.5], [math.inf, math.inf])
    >>> round(f, 3), df1, df2, round(p, 5)
    (8.0, 1, inf, 0.00468)
    """
    x, w = np.asarray(values, dtype=np.float64), np.asarray(ses, dtype=np.float64) ** -2.0
    k, total = len(x), float(w.sum())
    centre = float((w * x).sum() / total)
    q = float((w * (x - centre) ** 2).sum())
    unsure = float(((1 - w / total) ** 2 / np.asarray(dfs, dtype=np.float64)).sum())
    f = q / (k - 1) / (1 + 2 * (k - 2) / (k * k - 1) * unsure)
    df2 = (k * k - 1) / (3 * unsure) if unsure > 0 else math.inf
    from scipy import special

    p = float(special.fdtrc(k - 1, df2, f)) if df2 < 1e8 else float(special.chdtrc(k - 1, q))
    return f, k - 1, df2, p


def heterogeneity(effects: Sequence[Estimate], *, name: str, alpha: float = 0.05) -> Estimate | None:
    """The evidence that effects of separate groups differ, on the scale of standard errors.

    The p-value of ``heterogeneity_test`` as the standard normal deviate that has it, so that a claim "above 0" is
    decided at the same alpha as the test.

    Args:
        effects: One per group, of units that no other group holds; those without a standard error are left out.
        name: What may differ, as shown.
        alpha: Two-sided error rate of the bounds.

    Returns:
        None if fewer than two effects have a standard error.
    """
    known = [e for e in effects if e.se and math.isfinite(e.se) and math.isfinite(e.value)]
    if len(known) < 2:
        return None
    f, df1, df2, p = heterogeneity_test([e.value for e in known], [float(e.se or 0) for e in known], _dfs(known))
    z = -laws.normal_quantile(max(p, LEAST_P) / 2) if p < 1 else 0.0
    below = f"{df2:.0f}" if math.isfinite(df2) else "∞"
    return Estimate(
        name=name,
        kind="check",
        value=z,
        low=z,
        high=z,
        n=sum(e.n for e in known),
        unit="standard errors",
        method=f"Welch's test of k effects, F {f:.3g} on {df1:.0f} and {below} degrees of freedom, as a normal deviate",
        se=1.0,
        law=laws.normal(),
        p_value=max(p, LEAST_P),
    ).at(alpha)


def _dfs(effects: Sequence[Estimate]) -> list[float]:
    return [e.law.args[0] if e.law is not None and e.law.name == "student" else max(e.n - 2.0, 1.0) for e in effects]
