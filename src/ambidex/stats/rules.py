"""Short rules for groups: a few conditions that a person can apply, and how often they are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Condition", "Rule", "best_rule", "tree_accuracy"]

CUTS = 40
"""Cuts tried in a number column: quantiles, rounded."""


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        column: The column.
        sign: ``<=``, ``>``, ``is`` or ``is not``.
        value: Number or label.
    """

    column: str
    sign: str
    value: Any

    def holds(self, values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
        """True where it holds; a missing number holds nothing. Shape (n,)."""
        match self.sign:
            case "<=":
                out = values <= self.value
            case ">":
                out = values > self.value
            case "is":
                out = values == self.value
            case _:
                out = values != self.value
        return np.asarray(out, dtype=bool)


@dataclass(frozen=True)
class Rule:
    """Conditions that hold together.

    Attributes:
        conditions: At most three.
        accuracy: Share of the rows on which rule and group agree, in or out.
        precision: Share of the group among rows that the rule names.
        recall: Share of the group that it names.
    """

    conditions: tuple[Condition, ...]
    accuracy: float
    precision: float
    recall: float

    def holds(self, columns: Mapping[str, npt.NDArray[Any]], rows: int) -> npt.NDArray[np.bool_]:
        """True where every condition holds. Shape (rows,)."""
        out = np.ones(rows, dtype=bool)
        for c in self.conditions:
            out &= c.holds(columns[c.column])
        return out


def best_rule(columns: Mapping[str, npt.NDArray[Any]], inside: npt.NDArray[np.bool_], *, most: int = 3) -> Rule:
    """The conditions, added one by one, that name the group best by F1 (harmonic mean of precision and recall).

    Args:
        columns: float64 with NaN, or labels with None; shape (n,) each.
        inside: The group, shape (n,).
        most: Conditions at most.

    >>> rule = best_rule({"age": np.array([20.0, 25.0, 60.0, 70.0])}, np.array([False, False, True, True]))
    >>> rule.conditions[0].sign, rule.accuracy
    ('>', 1.0)
    """
    tried = [(c, c.holds(v)) for name, v in columns.items() for c in _conditions(name, v)]
    group = int(inside.sum())
    held, chosen, score = np.ones(len(inside), dtype=bool), [], _f1(group, len(inside), group)
    if tried:
        matrix = np.stack([h for _, h in tried])
        for _ in range(most):
            hits = (matrix & (held & inside)).sum(axis=1)
            named = (matrix & held).sum(axis=1)
            scores = 2 * hits / np.maximum(named + group, 1)
            best = int(scores.argmax())
            if scores[best] <= score + 1e-3:
                break
            score = float(scores[best])
            chosen.append(tried[best][0])
            held &= matrix[best]
    hits, named = int((held & inside).sum()), int(held.sum())
    return Rule(
        conditions=_merged(chosen),
        accuracy=float((held == inside).mean()) if len(inside) else 0.0,
        precision=hits / named if named else 0.0,
        recall=hits / group if group else 0.0,
    )


def tree_accuracy(x: npt.NDArray[np.float64], labels: npt.NDArray[np.int64], *, seed: int) -> float:
    """Share of rows that a tree of depth three puts into their group, on the half that it was not grown on."""
    from sklearn.tree import DecisionTreeClassifier

    half = np.random.default_rng(seed).permutation(len(x)) < len(x) // 2
    if not half.any() or half.all() or len(np.unique(labels[half])) < 2:
        return float((labels == np.bincount(labels).argmax()).mean())
    tree = DecisionTreeClassifier(max_depth=3, random_state=seed).fit(x[half], labels[half])
    return float((tree.predict(x[~half]) == labels[~half]).mean())


def _f1(hits: int, named: int, group: int) -> float:
    return 2 * hits / max(named + group, 1)


def _conditions(name: str, values: npt.NDArray[Any]) -> list[Condition]:
    if values.dtype.kind == "O":
        levels, counts = np.unique([v for v in values.tolist() if v is not None], return_counts=True)
        kept = levels[np.argsort(-counts, kind="stable")[:20]]
        return [Condition(name, sign, str(v)) for v in kept for sign in ("is", "is not")]
    known = values[np.isfinite(values)]
    if not known.size:
        return []
    distinct = np.unique(known)
    if len(distinct) <= CUTS:
        raw = (distinct[:-1] + distinct[1:]) / 2
        whole = bool((distinct == np.floor(distinct)).all())
        cuts = np.unique(np.floor(raw)) if whole else raw
    else:
        cuts = np.quantile(known, np.arange(1, CUTS) / CUTS)
    shown = sorted({_round(float(c)) for c in cuts})
    return [Condition(name, sign, c) for c in shown for sign in ("<=", ">")]


def _round(number: float) -> float:
    return float(f"{number:.3g}") if abs(number) < 1000 else float(f"{number:.4g}")


def _merged(chosen: list[Condition]) -> tuple[Condition, ...]:
    """Without conditions that a later one of the same column and sign makes needless."""
    out: list[Condition] = []
    for c in chosen:
        out = [o for o in out if not (o.column == c.column and o.sign == c.sign and c.sign in ("<=", ">"))]
        out.append(c)
    return tuple(out)
