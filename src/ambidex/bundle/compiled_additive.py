"""The readable model as one generated function: the operations of ``AdditiveScorer``, in its order, bit for bit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ambidex.bundle.additive import expit

__all__ = ["additive_of"]


def additive_of(model: Mapping[str, Any], names: Sequence[str]) -> Callable[[Any], float]:
    """A function from a row (attributes c0, c1, ... in the order of ``names``) to its score.

    Args:
        model: What ``fit_additive`` returned.
        names: Columns of the row.
    """
    scope: dict[str, Any] = {"expit": expit}
    lines = ["def f(r):", f"    t = {_number(model['intercept'])}"]
    for i, term in enumerate(model["terms"]):
        column = term["column"]
        value = f"r.c{names.index(column)}" if column in names else "None"
        if term["kind"] == "category":
            table: dict[Any, float] = {k: float(v) for k, v in term["levels"].items()}
            table[None] = float(term["missing"])
            scope[f"get{i}"] = table.get
            lines.append(f"    t = t + get{i}({value}, {_number(term['other'])})")
        else:
            lines += _curve(term, value)
    lines.append("    return expit(t)" if model["link"] == "logit" else "    return t")
    exec(compile("\n".join(lines), "<compiled>", "exec"), scope)  # noqa: S102  # numbers and places only
    made: Callable[[Any], float] = scope["f"]
    return made


def _curve(term: Mapping[str, Any], value: str) -> list[str]:
    low, high = (_number(v) for v in term["reach"])
    lines = [
        f"    v = {value}",
        "    if v is None or v != v:",
        f"        t = t + {_number(term['missing'])}",
        "    else:",
        f"        x = {low} if v <= {low} else {high} if v >= {high} else float(v)",
        f"        u = (x - {_number(term['origin'])}) / {_number(term['span'])}",
    ]
    stretches = term["stretches"]
    for place, (start, c0, c1, c2, c3) in enumerate([_number(v) for v in p] for p in stretches):
        if place + 1 < len(stretches):
            word = "if" if place == 0 else "elif"
            lines.append(f"        {word} u < {_number(stretches[place + 1][0])}:")
        elif place:
            lines.append("        else:")
        inner = " " * (12 if len(stretches) > 1 else 8)
        lines.append(f"{inner}d = u - {start}")
        lines.append(f"{inner}t = t + ({c0} + d * ({c1} + d * ({c2} + d * {c3})))")
    return lines


def _number(value: Any) -> str:
    """A constant; negative ones in brackets."""
    return f"({float(value)!r})"
