"""From a plan to Python: the encoder of a row, or a linear score, as one function without a loop.

A plan is JSON. Its expressions are lists, the operation first:

- ``["num", j]``: the number of column j; missing is NaN. ``["raw", j]``: its text, only inside ``pick``.
- ``["pick", x, [[key, number], ...], other, missing]``: a table; ``null`` in place of a number refuses the value.
- ``["fill", x, c]``: c where x is missing. ``["nan", x]``: 1 where x is missing, else 0.
- ``["add" | "sub" | "mul" | "div", x, c]``, ``["prod", x, y]``, ``["const", c]``, ``["clip", x, low, high]``.
- ``["bin", x, [edges]]``: how many edges are at or below x. ``["fn", name, x]``: ``FUNCTIONS``.
- ``["tiny", x, least]``: x kept apart from zero, for trees that read numbers within 1e-35 of zero as zero; up to
  ``least`` it is zero to the model, too.
- ``["below", x]``: x, but the one number that LightGBM reads otherwise in a sparse matrix goes below its threshold.

Nothing of a plan is written into the source but numbers and places: texts stand in tables. So the source can do no
more than these operations, whoever wrote the plan.
"""

from __future__ import annotations

import math
import struct
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ambidex.errors import Refused

__all__ = ["FUNCTIONS", "TINY", "ZERO", "encoder_of", "expit", "linear_of", "softmax"]

Expression = list[Any]
TINY = 1e-30
ZERO = -1.0000000180025095e-35
"""LightGBM's own limit of zero, -1e-35 as a float32: it splits there, and a dense row of it counts as zero."""


def _safe(function: Callable[[float], float], below: float) -> Callable[[float], float]:
    """As numpy has it: infinite at the edge of its range, NaN outside, never an error."""

    def value(x: float) -> float:
        try:
            return function(x)
        except ValueError:
            return -math.inf if x == below else math.nan
        except OverflowError:
            return math.inf

    return value


FUNCTIONS: dict[str, Callable[[float], float]] = {
    "log1p": _safe(math.log1p, -1.0),
    "log": _safe(math.log, 0.0),
    "log10": _safe(math.log10, 0.0),
    "log2": _safe(math.log2, 0.0),
    "sqrt": _safe(math.sqrt, math.nan),
    "exp": _safe(math.exp, math.nan),
    "expm1": _safe(math.expm1, math.nan),
    "absolute": abs,
    "square": lambda x: x * x,
}


def expit(x: float) -> float:
    """1 / (1 + exp(-x)), without an error where exp is beyond float64."""
    return 1.0 / (1.0 + math.exp(-x)) if x > -709.0 else math.exp(x) if x == x else x


def softmax(values: Sequence[float]) -> tuple[float, ...]:
    """Exponentials as shares of their sum."""
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    total = sum(powers)
    return tuple(p / total for p in powers)


class _Writer:
    """Lines of one function, and the constants that they name."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"nan": math.nan, "inf": math.inf, "bisect": bisect_right}
        self.lines: list[str] = []
        self._known: dict[str, str] = {}

    def constant(self, value: Any) -> str:
        name = f"k{len(self.names)}"
        self.names[name] = value
        return name

    def number(self, value: Any) -> str:
        value = float(value)
        return repr(value) if value >= 0 or value != value else f"({value!r})"  # "nan" and "inf" are names here

    def variable(self, source: str) -> str:
        name = f"v{len(self.lines)}"
        self.lines.append(f"    {name} = {source}")
        return name

    def raw(self, column: Any) -> str:
        """The value of a column as it came."""
        return self._once(f"raw {int(column)}", lambda: f"r.c{int(column)}")

    def _once(self, key: str, source: Callable[[], str]) -> str:
        name = self._known.get(key)
        if name is None:
            name = self._known[key] = self.variable(source())
        return name

    def value(self, expression: Expression) -> str:
        """The name of a variable that holds the expression's value."""
        return self._once(repr(expression), lambda: self._source(expression))

    def _source(self, e: Expression) -> str:
        match e[0]:
            case "num":
                x = self.raw(e[1])
                return f"nan if {x} is None else {x}"
            case "const":
                return self.number(e[1])
            case "fill" if e[1][0] == "num":
                x = self.raw(e[1][1])
                return f"{self.number(e[2])} if {x} is None else {x}"
            case "fill":
                x = self.value(e[1])
                return f"{x} if {x} == {x} else {self.number(e[2])}"
            case "nan" if e[1][0] == "num":
                return f"1.0 if {self.raw(e[1][1])} is None else 0.0"
            case "nan":
                x = self.value(e[1])
                return f"0.0 if {x} == {x} else 1.0"
            case "add" | "sub" | "mul" | "div":
                sign = {"add": "+", "sub": "-", "mul": "*", "div": "/"}[e[0]]
                return f"{self.value(e[1])} {sign} {self.number(e[2])}"
            case "prod":
                return f"{self.value(e[1])} * {self.value(e[2])}"
            case "clip":
                x, low, high = self.value(e[1]), self.number(e[2]), self.number(e[3])
                return f"{low} if {x} < {low} else {high} if {x} > {high} else {x}"
            case "bin":
                edges = self.constant([float(v) for v in e[2]])
                x = self.value(e[1])
                return f"float(bisect({edges}, {x}))"
            case "fn":
                function = self.constant(FUNCTIONS[e[1]])
                return f"{function}({self.value(e[2])})"
            case "tiny":
                x, t, zero = self.value(e[1]), repr(TINY), self.number(e[2])
                return (
                    f"{x} if {x} > {t} or {x} < -{t} or {x} != {x} else 0.0 if -{zero} <= {x} <= {zero} "
                    f"else {t} if {x} > 0 else -{t}"
                )
            case "below":
                x = self.value(e[1])
                return f"{2 * ZERO!r} if {x} == {ZERO!r} else {x}"
            case "pick":
                return self.pick(e[1], _table(e), _maybe(e[3]), _maybe(e[4]))
        raise Refused("check.opens", f"the compiled form holds an operation that is not known: {str(e[0])[:40]!r}")

    def pick(self, x: Expression, table: Mapping[Any, Any], other: Any, missing: Any) -> str:
        """A look-up; None as ``other`` or ``missing`` refuses the value (KeyError)."""
        if x[0] == "raw":
            key, known = self.raw(x[1]), dict(table)
        else:  # a number is found by its value as a float64, a missing one by None
            inner = self.value(x)
            key = self._once(f"key {inner}", lambda: f"float({inner}) if {inner} == {inner} else None")
            known = {float(k): v for k, v in table.items()}
        if missing is not None:
            known[None] = missing
        if other is None:
            return f"{self.constant(known)}[{key}]"
        if missing is None:
            return f"{self.constant(_Strict(known, other))}[{key}]"
        return f"{self.constant(known.get)}({key}, {self.constant(other)})"

    def function(self, returned: str) -> Callable[[Any], Any]:
        source = "\n".join(["def f(r):", *self.lines, f"    return {returned}"])
        scope = dict(self.names)
        exec(compile(source, "<compiled>", "exec"), scope)  # noqa: S102  # numbers, places and operations of ours
        made: Callable[[Any], Any] = scope["f"]
        return made


class _Strict(dict[Any, Any]):
    """A table for everything but what is missing."""

    def __init__(self, known: Mapping[Any, Any], other: Any) -> None:
        super().__init__(known)
        self._other = other

    def __missing__(self, key: Any) -> Any:
        if key is None:
            raise KeyError("a missing value")
        return self._other


def encoder_of(features: Sequence[Expression], kind: str) -> Callable[[Any], bytes]:
    """A function from a row (attributes c0, c1, ...) to the bytes of its numbers.

    Args:
        features: One expression a number.
        kind: ``f64`` or ``f32``.
    """
    code = {"f64": "d", "f32": "f"}[kind]
    writer = _Writer()
    parts: list[str] = []
    plain: list[str] = []

    def packed() -> None:
        if plain:
            pack = writer.constant(struct.Struct(f"<{len(plain)}{code}").pack)
            parts.append(f"{pack}({', '.join(plain)})")
            plain.clear()

    place = 0
    while place < len(features):
        run = place
        first = features[place]
        while run < len(features) and features[run][0] == first[0] == "pick" and features[run][1] == first[1]:
            run += 1
        if run - place < 2:
            plain.append(writer.value(first))
            place += 1
            continue
        packed()  # several numbers of one look-up: their bytes together
        some = features[place:run]
        keys = dict.fromkeys(k for e in some for k, _ in e[2])
        tables = [_table(e) for e in some]
        others, missing = [_maybe(e[3]) for e in some], [_maybe(e[4]) for e in some]
        block = struct.Struct(f"<{len(some)}{code}")
        table = {}
        for key in keys:
            numbers = [t.get(key, other) for t, other in zip(tables, others, strict=True)]
            if None not in numbers:
                table[key] = block.pack(*numbers)
        parts.append(
            writer.pick(
                first[1], table, None if None in others else block.pack(*others),
                None if None in missing else block.pack(*missing),
            )
        )  # fmt: skip
        place = run
    packed()
    if len(parts) == 1:
        return writer.function(parts[0])
    return writer.function(f"{writer.constant(b''.join)}(({', '.join(parts)}))")


def linear_of(outputs: Sequence[Mapping[str, Any]]) -> Callable[[Any], Any]:
    """A function from a row to a weighted sum, or to a tuple of them.

    Args:
        outputs: Each ``{"intercept": c, "terms": [[weight, expression], ...]}``. Look-ups of one thing are one table.
    """
    writer = _Writer()
    sums = []
    for output in outputs:
        total = [writer.number(output["intercept"])]
        looked: dict[str, list[tuple[float, Expression]]] = {}
        for weight, e in output["terms"]:
            if e[0] == "pick":
                looked.setdefault(repr(e[1]), []).append((float(weight), e))
            else:
                total.append(f"{writer.number(weight)} * {writer.value(e)}")
        for some in looked.values():
            total.append(_added(writer, some))
        sums.append(writer.variable(" + ".join(total)))
    return writer.function(sums[0] if len(sums) == 1 else f"({', '.join(sums)})")


def _added(writer: _Writer, some: Sequence[tuple[float, Expression]]) -> str:
    keys = dict.fromkeys(k for _, e in some for k, _ in e[2])
    tables = [_table(e) for _, e in some]
    others, missing = [_maybe(e[3]) for _, e in some], [_maybe(e[4]) for _, e in some]

    def total(numbers: Sequence[float | None]) -> float | None:
        terms = [w * n for (w, _), n in zip(some, numbers, strict=True) if n is not None]
        return sum(terms) if len(terms) == len(numbers) else None

    table = {}
    for key in keys:
        value = total([t.get(key, other) for t, other in zip(tables, others, strict=True)])
        if value is not None:
            table[key] = value
    return writer.variable(writer.pick(some[0][1][1], table, total(others), total(missing)))


def _maybe(value: Any) -> float | None:
    """A number of a plan; JSON has no NaN, which is written as text."""
    return None if value is None else float(value)


def _table(e: Expression) -> dict[Any, float | None]:
    return {k: _maybe(v) for k, v in e[2]}
