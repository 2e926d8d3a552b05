"""Nobody drew lots: compare like with like by what was known before, or refuse."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.insight.campaign_ask import Ask
from ambidex.insight.campaign_money import Arm
from ambidex.insight.campaign_randomised import nobody_treated
from ambidex.insight.experiment_checks import pick_control
from ambidex.insight.experiment_data import codes_of
from ambidex.insight.experiment_metrics import read_values
from ambidex.insight.experiment_words import arm_name
from ambidex.report.answer import Caution, Check
from ambidex.report.words import count, listing, plural, share
from ambidex.stats.aipw import Aipw, aipw, kish
from ambidex.stats.claim import Claim, Verdict, decide
from ambidex.stats.compare import difference, mean_level
from ambidex.stats.estimate import Estimate, exact, finite
from ambidex.stats.regression import linear, logistic
from ambidex.stats.summaries import Moments

__all__ = ["Compared", "covariate_matrix", "observe"]

Floats = npt.NDArray[np.float64]

LEVELS = 20
"""Levels of a text column that get an indicator; rarer ones share one."""
NEVER = 0.01


@dataclass(frozen=True, eq=False)
class Compared:
    """Treated and untreated who differ, compared.

    Attributes:
        arms: Each treatment against the control.
        checks, cautions: Of the overlap.
        ways: Naive, regression, AIPW, for the table.
        why_not: Why no causal answer is given, or empty.
        overlap: Rows of the overlap table.
        unknowns: How strong a hidden cause would have to be, a sentence each.
        verdicts: Of the overlap.
        method: In a sentence.
    """

    arms: list[Arm]
    checks: list[Check]
    cautions: list[Caution]
    ways: list[dict[str, Any]]
    why_not: str
    overlap: list[dict[str, Any]]
    unknowns: list[str]
    verdicts: list[Verdict]
    method: str


def observe(ask: Ask, *, seed: int) -> Compared:
    """Cross-fitted AIPW of each treatment against the control, with its overlap.

    Raises:
        DataError: ``data.no-treated``, ``data.one-arm``, ``data.small-arm`` and what reading the outcome raises.
    """
    source, column = ask.source, str(ask.treatment)
    nobody_treated(source, column, ask.control)
    codes, labels = codes_of(source, column)
    if len(labels) < 2:
        raise DataError(
            "data.one-arm",
            f"everybody got the treatment: `{column}` is {labels[0]!r} in every row",
            where=f"{source.name}, column {column}",
            do="bring rows of people who did not get it",
        )
    if len(labels) > 6:
        raise DataError(
            "data.column-type",
            f"`{column}` has {len(labels):,} labels, too many to compare with one control",
            where=f"{source.name}, column {column}",
            found=", ".join(labels[:3]) + ", …",
            do="--treatment a column that says who got it",
        )
    base, picked = pick_control(labels, ask.control, column)
    read = read_values(source, ask.outcome)
    matrix, names = covariate_matrix(source, ask.covariates)
    known = np.isfinite(read.values)
    cautions = [Caution("control", picked)] if picked else []
    if ask.assumed:
        named = listing([f"`{c}`" for c in ask.assumed[:8]] + (["…"] if len(ask.assumed) > 8 else []))
        cautions.append(
            Caution(
                "covariates",
                f"No --covariate was named: {named} were taken as known before the treatment. One that the treatment "
                "changed hides a part of its effect: name those that were.",
            )
        )
    if (lost := int(((codes < 0) | ~known).sum())) > 0:
        cautions.append(Caution("missing", f"{plural(lost, 'row')} without treatment or outcome left out."))
    place = labels.index(base)
    arms, checks, ways, reasons, overlap, unknowns, verdicts = [], [], [], [], [], [], []
    for i, label in enumerate(labels):
        if i == place:
            continue
        rows = known & ((codes == i) | (codes == place))
        y, t, x = read.values[rows], (codes[rows] == i).astype(np.float64), matrix[rows]
        _enough(source, column, {label: int(t.sum()), base: int((1 - t).sum())})
        shown: dict[str, Any] = {"arm": label, "control": base}
        made = aipw(y, t, x, seed=seed, name="effect", alpha=ask.alpha, **shown)
        naive = difference(_level(y[t == 1]), _level(y[t == 0]), name="naive", alpha=ask.alpha, **shown)
        several = f", {label}" if len(labels) > 2 else ""
        ways += [_way(f"as they are, not adjusted{several}", naive), _regression(y, t, x, label, ask.alpha, several)]
        if made.overlaps:
            ways.append(_way(f"AIPW, like with like{several}", made.estimate))
        diagnosed, found = _overlap(made, t, x, label, (arm_name(label, column), arm_name(base, column)))
        overlap += diagnosed
        checks += found
        verdicts += [_claimed(made, label)]
        if not made.overlaps:
            reasons.append(f"{label}: {made.why_not}" if len(labels) > 2 else made.why_not)
        lift = None if made.relative is None else replace(made.relative, **shown)
        arms.append(
            Arm(
                arm_name(label, column),
                arm_name(base, column),
                made.estimate,
                lift,
                int(t.sum()),
                made.treated,
                made.control,
                share=read.yes_no,
            )
        )
        unknowns += _hidden(made, label, ask.outcome)
    method = (
        f"Cross-fitted AIPW, 5 folds, adjusted for {listing([f'`{c}`' for c in ask.covariates])} "
        f"({plural(len(names), 'column')}); the mean over all units, treated or not."
    )
    return Compared(arms, checks, cautions, ways, "; ".join(reasons), overlap, unknowns, verdicts, method)


def covariate_matrix(source: Table, columns: Sequence[str], *, fill: bool = True) -> tuple[Floats, list[str]]:
    """Numbers as they are, labels as indicators against the most frequent one.

    Args:
        source: The table.
        columns: Columns known before the treatment.
        fill: True puts the mean for a missing number and adds an indicator; False leaves NaN.

    Returns:
        Shape (rows, k), and the k names.

    Raises:
        DataError: ``data.all-missing`` for a column without any value.
    """
    blocks: list[Floats] = []
    names: list[str] = []
    for name in columns:
        if source.facts(name).type in ("number", "integer"):
            values = source.number(name)
            absent = np.isnan(values)
            if absent.all():
                raise DataError("data.all-missing", f"`{name}` holds no value at all", where=source.name)
            if fill and absent.any():
                blocks += [np.where(absent, values[~absent].mean(), values), absent.astype(np.float64)]
                names += [name, f"{name} missing"]
            else:
                blocks.append(values)
                names.append(name)
            continue
        texts = source.text(name).tolist()
        levels = [v for v, _ in Counter(t for t in texts if t is not None).most_common(LEVELS)]
        if not levels:
            raise DataError("data.all-missing", f"`{name}` holds no value at all", where=source.name)
        for level in levels[1:]:
            blocks.append(np.array([float(t == level) for t in texts]))
            names.append(f"{name} = {level}")
        if any(t is None for t in texts):
            blocks.append(np.array([float(t is None) for t in texts]))
            names.append(f"{name} missing")
    return (np.column_stack(blocks) if blocks else np.empty((source.rows, 0))), names


def _level(values: Floats) -> Any:
    return mean_level(Moments.of({"y": values}), "y")


def _way(name: str, e: Estimate) -> dict[str, Any]:
    return {
        "way": name, "value": finite(e.value), "se": e.se, "low": finite(e.low), "high": finite(e.high),
        "p_value": e.p_value,
    }  # fmt: skip


def _scaled(x: Floats) -> Floats:
    spread = x.std(axis=0)
    out: Floats = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    return out


def _regression(y: Floats, t: Floats, x: Floats, label: str, alpha: float, several: str) -> dict[str, Any]:
    """Least squares on treatment and covariates; the error if all units spread alike, as textbooks print it."""
    design = np.column_stack([np.ones(len(y)), t, _scaled(x)])
    fit = linear(design, y)
    kept = design[:, fit.kept]
    residual = y - kept @ fit.coefficients[fit.kept]
    inverse = np.linalg.inv(kept.T @ kept)
    alike = math.sqrt(float(residual @ residual) / max(fit.df, 1) * float(inverse[1, 1]))
    return {
        "way": f"least squares on treatment and covariates{several}", "value": float(fit.coefficients[1]), "se": alike,
        "low": None, "high": None, "p_value": None,
    }  # fmt: skip


def _overlap(
    made: Aipw, t: Floats, x: Floats, label: str, names: tuple[str, str]
) -> tuple[list[dict[str, Any]], list[Check]]:
    """The overlap table and its check.

    The second row is the textbook's: one logistic fit to all rows on the covariates as given, controls weighted by
    the odds of treatment.
    """
    fit = logistic(np.column_stack([np.ones(len(t)), _scaled(x)]), t)
    design = np.column_stack([np.ones(len(t)), _scaled(x)])
    e = 1 / (1 + np.exp(-np.clip(design @ fit.coefficients, -30, 30)))
    control = t == 0
    rows = [
        {
            "fit": "out of fold", "arm": label, "share_extreme": made.share_extreme,
            "effective_treated": made.kish_treated, "effective_control": made.kish_control,
        },
        {
            "fit": "one logistic fit, controls weighted by odds", "arm": label,
            "share_extreme": float((e[control] < NEVER).mean()), "effective_treated": float(t.sum()),
            "effective_control": kish(e[control] / (1 - e[control])),
        },
    ]  # fmt: skip
    text = (
        f"{share(made.share_extreme)} of an arm had less than a 1% chance of being on one of the two sides; "
        f"effective units "
        f"{count(made.kish_treated)} of {count(float(t.sum()))} {names[0]}, {count(made.kish_control)} of "
        f"{count(float((1 - t).sum()))} {names[1]}"
    )
    return rows, [Check("overlap", made.overlaps, made.share_extreme, 0.1, text, decides=True)]


def _claimed(made: Aipw, label: str) -> Verdict:
    """ "What stands against comparing the arms is less than one reason": counted, not sampled."""
    claim = Claim(measure=f"reasons against comparing {label} with the control", relation="below", margin=1)
    return decide(claim, exact("overlap", 0 if made.overlaps else 1, n=len(made.scores)))


def _hidden(made: Aipw, label: str, outcome: str) -> list[str]:
    if not made.overlaps:
        return []
    out = []
    whole, limit = made.robustness_value
    if math.isfinite(whole):
        out.append(
            f"Whether something that was not measured lies behind it: a hidden cause that explains {share(whole)} of "
            f"what is left of both {label} and {outcome} would explain all of it ({share(limit)} to make it unclear)."
        )
    e, e_limit = made.e_value
    if math.isfinite(e):
        out.append(f"E-value {e:.2f} (its limit {e_limit:.2f}): the risk ratio such a cause would need with both.")
    return out


def _enough(source: Table, column: str, sizes: dict[str, int]) -> None:
    for label, n in sizes.items():
        if n < 2:
            raise DataError(
                "data.small-arm",
                f"{label} has {plural(n, 'unit')} with an outcome; a comparison takes two, and many more to be told",
                where=f"{source.name}, column {column}",
                found=", ".join(f"{k} {v:,}" for k, v in sizes.items()),
                do="bring more units, or follow the one over time: --unit COL --time COL --start DATE",
            )
