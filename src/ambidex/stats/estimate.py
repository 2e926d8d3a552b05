"""Estimates: the one thing that every method returns and every verdict is made from."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from ambidex.stats import laws

__all__ = ["Estimate", "exact"]

Kind = Literal[
    "difference",
    "relative",
    "marginal-effect",
    "mean",
    "share",
    "ratio",
    "fit",
    "loss",
    "distance",
    "count",
    "check",
    "effect",
    "lift",
    "return",
    "profit",
    "roi",
    "break_even_cost",
    "qini",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A number with what is needed to judge it.

    An estimate carries bounds (with the law that gives them at any other alpha), or
    log-evidence for and against one claim, or both.

    Attributes:
        name: What was measured, as shown (`retention_7`, `Contract`).
        kind: Sort of quantity; see ``Kind``.
        value: The point estimate, in ``unit``.
        low: Lower bound at ``level``; -inf where there is none.
        high: Upper bound at ``level``.
        level: Confidence level of ``low`` and ``high``, in (0, 1).
        n: Units it rests on (people, orders; not rows or requests).
        unit: Unit of ``value`` as text (`share`, `points`, `EUR`, `` for the metric's own).
        method: Standard name of the method.
        se: Standard error, in ``unit``; None where the law has none.
        law: Which sampling law gives the bounds, with its numbers.
        anytime: True if the bounds or evidence hold at every look.
        p_value: Two-sided p-value against zero difference, where the method has one.
        q_value: Benjamini-Hochberg adjusted p-value within its family.
        arm: Treated arm, for comparisons.
        control: Baseline arm, for comparisons.
        category: Category of a categorical column, for effects per category.
        base: Category or level it is measured against.
        adjusted: True if other columns were held equal, False if alone, None if that does not apply.
        log_e_for: Natural log of the e-value against "the claim is false".
        log_e_against: Natural log of the e-value against "the claim is true".
        about: Relation and margin of the claim that the log-evidence speaks about.
        exact: The value before it was rounded up to whole units.
    """

    name: str
    kind: str
    value: float
    low: float
    high: float
    n: int
    level: float = 0.95
    unit: str = ""
    method: str = ""
    se: float | None = None
    law: laws.Law | None = None
    anytime: bool = False
    p_value: float | None = None
    q_value: float | None = None
    arm: str | None = None
    control: str | None = None
    category: str | None = None
    base: str | None = None
    adjusted: bool | None = None
    log_e_for: float | None = None
    log_e_against: float | None = None
    about: tuple[str, float] | None = None
    exact: float | None = None

    def at(self, alpha: float) -> Estimate:
        """The same estimate with its bounds at two-sided ``alpha``.

        >>> e = Estimate(name="x", kind="mean", value=1.0, low=0, high=2, n=9, se=1.0, law=laws.normal())
        >>> round(e.at(0.05).low, 3)
        -0.96
        """
        if self.law is None:
            open_ = self.low == -math.inf and self.high == math.inf
            if not open_ and not math.isclose(alpha, 1 - self.level, rel_tol=1e-9, abs_tol=1e-12):
                raise ValueError(f"estimate {self.name!r} has no law, so no bounds at alpha {alpha}")
            return replace(self, level=1 - alpha) if open_ else self
        low, high = laws.bounds(self.law, self.value, self.se, alpha)
        return replace(self, low=low, high=high, level=1 - alpha)

    def to_dict(self) -> dict[str, Any]:
        """The object of the JSON contract; infinite or undefined numbers become null."""
        out: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "value": finite(self.value),
            "low": finite(self.low),
            "high": finite(self.high),
            "level": round(self.level, 10),
            "n": self.n,
            "unit": self.unit,
            "method": self.method,
        }
        for key in ("p_value", "q_value", "exact"):
            if (number := getattr(self, key)) is not None:
                out[key] = finite(number)
        for key in ("arm", "control", "category", "base", "adjusted"):
            if (field := getattr(self, key)) is not None:
                out[key] = field
        return out


def finite(number: float) -> float | None:
    """The number, or None where JSON has no word for it."""
    return float(number) if math.isfinite(number) else None


def exact(name: str, value: float, *, n: int, kind: str = "check", unit: str = "") -> Estimate:
    """A number that was counted, not sampled: its interval is the number itself.

    >>> exact("altered rows", 0, n=40).high
    0.0
    """
    number = float(value)
    return Estimate(
        name=name,
        kind=kind,
        value=number,
        low=number,
        high=number,
        n=n,
        unit=unit,
        method="counted",
        se=0.0,
        law=laws.counted(),
        anytime=True,
    )
