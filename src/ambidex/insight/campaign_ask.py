"""What is asked of a campaign: columns, money, design. Checked at the door."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ambidex.data.table import Table
from ambidex.errors import UsageError
from ambidex.stats.money import Money

__all__ = ["LEAST_ALPHA", "Ask", "make_ask", "names_rows"]

LEAST_ALPHA = 1e-9
"""No approximation used here is known to hold further out."""


@dataclass(frozen=True, eq=False)
class Ask:
    """One question about one campaign.

    Attributes:
        source: The table.
        treatment: Column that says who got it; None for a series before and after a date.
        outcome: Column of the outcome.
        control: Label of those who did not, or None.
        money: Margin and costs; None where no margin was named.
        cost, fixed: Costs as given, kept where no margin was named.
        covariates: Columns known before the campaign.
        observational: True if nobody drew lots.
        unit, time, start: Before/after designs.
        shares: Planned arm sizes.
        alpha: Error rate of each family of claims.
        assumed: Columns taken as known before because none was named.
        options: As the record keeps them.
    """

    source: Table
    treatment: str | None
    outcome: str
    control: str | None
    money: Money | None
    cost: float
    fixed: float
    covariates: tuple[str, ...]
    observational: bool
    unit: str | None
    time: str | None
    start: str | None
    shares: Any
    alpha: float
    assumed: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def spent_something(self) -> bool:
        """True if any cost was named."""
        return self.cost > 0 or self.fixed > 0


def make_ask(
    source: Table,
    *,
    treatment: Any,
    outcome: Any,
    control: Any,
    value: Any,
    cost: Any,
    fixed_cost: Any,
    covariate: Any,
    observational: Any,
    unit: Any,
    time: Any,
    start: Any,
    shares: Any,
    alpha: Any,
) -> Ask:
    """Check the options against each other and against the table.

    Raises:
        UsageError: ``usage.type``, ``usage.value``.
        NotFound: ``data.no-column``.
    """
    names = {"treatment": treatment, "outcome": outcome, "unit": unit, "time": time}
    for name, column in names.items():
        if not (column is None or isinstance(column, str | int)) or isinstance(column, bool):
            raise UsageError("usage.type", f"{name} must be text, not {type(column).__name__} {column!r:.60}")
    if outcome is None:
        raise UsageError("usage.value", "no outcome was named", do="--outcome COLUMN")
    if treatment is None and start is None:
        raise UsageError(
            "usage.value",
            "no column says who was treated, and no date says since when",
            do="--treatment COLUMN, or --time COLUMN --start DATE for a series before and after",
        )
    if start is not None and time is None:
        raise UsageError("usage.value", "--start needs the column of the dates", do="--time COLUMN")
    if not isinstance(observational, bool):
        raise UsageError("usage.type", f"observational must be True or False, not {observational!r:.60}")
    if observational and start is not None:
        raise UsageError(
            "usage.value",
            "--observational and --start are two designs",
            do="leave one of them out: --start compares before and after, --observational people who differ",
        )
    columns = {k: (None if c is None else source.require(str(c))) for k, c in names.items()}
    covariates = tuple(dict.fromkeys(source.require(str(c)) for c in _several(covariate)))
    roles = [(k, c) for k, c in columns.items() if c is not None] + [("covariate", c) for c in covariates]
    for i, (kind, column) in enumerate(roles):
        for other, same in roles[:i]:
            if same == column:
                raise UsageError(
                    "usage.value", f"`{column}` cannot be {other} and {kind} at once", do=f"--{kind} another column"
                )
    assumed: tuple[str, ...] = ()
    if observational and not covariates:
        taken = {c for c in columns.values() if c is not None}
        assumed = tuple(c for c in source.columns if c not in taken and not names_rows(source, c))
        if not assumed:
            raise UsageError(
                "usage.value",
                "--observational needs what was known before: without it, nothing is adjusted for",
                found=f"columns {', '.join(source.columns[:12])}",
                do="--covariate COLUMN, once for each",
            )
    cost, fixed = _amount("cost", cost), _amount("fixed_cost", fixed_cost)
    margin = None if value is None else _margin(value)
    a = _number("alpha", alpha)
    if not 0 < a < 1:
        raise UsageError("usage.value", f"alpha {a:g} is not between 0 and 1", do="--alpha 0.05")
    if a < LEAST_ALPHA:
        raise UsageError("usage.value", f"alpha {a:g} is smaller than {LEAST_ALPHA:g}", do="--alpha 0.001")
    options = {
        "treatment": columns["treatment"], "outcome": columns["outcome"], "control": control, "value": margin,
        "cost": cost or None, "fixed_cost": fixed or None, "covariate": list(covariates),
        "observational": observational, "unit": columns["unit"], "time": columns["time"],
        "start": None if start is None else str(start),
        "shares": ",".join(f"{k}={v}" for k, v in shares.items()) if isinstance(shares, dict) else shares, "alpha": a,
    }  # fmt: skip
    return Ask(
        source=source,
        treatment=columns["treatment"],
        outcome=str(columns["outcome"]),
        control=None if control is None else str(control),
        money=None if margin is None else Money(margin, cost, fixed),
        cost=cost,
        fixed=fixed,
        covariates=covariates or assumed,
        assumed=assumed,
        observational=observational,
        unit=columns["unit"],
        time=columns["time"],
        start=None if start is None else str(start),
        shares=shares,
        alpha=a,
        options=options,
    )


def names_rows(source: Table, name: str) -> bool:
    """Whether a column names the rows or places, is a time, or is free text: nothing to compare people by."""
    facts = source.facts(name)
    return facts.role in ("id", "time", "constant", "text") or facts.is_code


def _several(given: Any) -> Sequence[Any]:
    if given is None:
        return ()
    if isinstance(given, str | int):
        return (given,)
    if not isinstance(given, list | tuple):
        raise UsageError("usage.type", f"covariate must be text or a list of texts, not {type(given).__name__}")
    return given


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UsageError("usage.type", f"{name} must be a number, not {type(value).__name__} {value!r:.60}")
    if not math.isfinite(value):
        raise UsageError("usage.value", f"{name} must be a finite number, not {value}")
    return float(value)


def _amount(name: str, value: Any) -> float:
    number = 0.0 if value is None else _number(name, value)
    if number < 0:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(
            "usage.value",
            f"{option} {number:g} is below 0; a cost is what you pay",
            where=option,
            do=f"{option} {-number:g}, or a larger --value if each treated unit brings money in",
        )
    return number


def _margin(value: Any) -> float:
    number = _number("value", value)
    if number == 0:
        raise UsageError(
            "usage.value",
            "--value 0 makes every outcome worth nothing",
            where="--value",
            do="--value 0.3 for a margin of 30% on money, or the margin of one sale",
        )
    return number
