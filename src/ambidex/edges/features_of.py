"""Fitted transformers of scikit-learn as expressions of a plan (``bundle/compiled_source``).

Arithmetic is followed operation by operation. What looks categories up (one-hot, ordinal, target encoding) is not
followed but asked: every category it knows, one it does not, and a missing one go through the transformer itself, and
its answers are the table.
"""

from __future__ import annotations

import functools
import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ambidex.bundle.compiled_source import FUNCTIONS
from ambidex.edges.trees_of import NotCompiled

__all__ = ["Value", "features_of", "inputs_of", "numbers_of"]

Expression = list[Any]
_UNKNOWN_TEXT, _UNKNOWN_NUMBER = "\x00 never seen \x00", -987654321.125
_TABLES = ("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")


class Value(NamedTuple):
    """One column on its way.

    Attributes:
        kind: ``number``, ``text`` or ``boolean``.
        e: Its expression; for text and booleans ``["raw", j]``.
        fill: What a missing text counts as, or None.
    """

    kind: str
    e: Expression
    fill: str | None = None


def inputs_of(kinds: Sequence[str]) -> list[Value]:
    """The columns of a row as they arrive, by kind (number, integer, boolean, text, category)."""
    words = {"number": "number", "integer": "number", "boolean": "boolean", "text": "text", "category": "text"}
    made = []
    for j, kind in enumerate(kinds):
        made.append(Value(words[kind], ["num", j] if words[kind] == "number" else ["raw", j]))
    return made


def numbers_of(values: Sequence[Value], what: str) -> list[Expression]:
    """Columns as the numbers that a model takes.

    Raises:
        NotCompiled: Text reaches it.
    """
    made = []
    for value in values:
        if value.kind == "number":
            made.append(value.e)
        elif value.kind == "boolean":
            made.append(["pick", value.e, [[w, 1.0] for w in _TRUE], 0.0, math.nan])
        else:
            raise NotCompiled(f"{what} is given text")
    return made


_TRUE = ["1", *("".join(w) for w in itertools.product("tT", "rR", "uU", "eE"))]


def features_of(step: Any, values: list[Value]) -> list[Value]:
    """What a fitted transformer makes of columns.

    Raises:
        NotCompiled: It has no compiled form; the text names it.
    """
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return values
    kind = type(step).__name__
    if not type(step).__module__.startswith("sklearn."):
        raise NotCompiled(f"{kind} is no transformer of scikit-learn")
    if kind == "Pipeline":
        for _, part in step.steps:
            values = features_of(part, values)
        return values
    if kind == "ColumnTransformer":
        return _column_transformer(step, values)
    if kind == "FeatureUnion":
        if step.transformer_weights:
            raise NotCompiled("FeatureUnion with weights")
        return [v for _, part in step.transformer_list if part != "drop" for v in features_of(part, values)]
    if kind in _TABLES:
        return _tabulated(step, values)
    follow = _FOLLOWED.get(kind)
    if follow is not None:
        return follow(step, values)
    if hasattr(step, "get_support") and hasattr(step, "transform"):
        return [values[int(i)] for i in step.get_support(indices=True)]
    raise NotCompiled(f"{kind} has no compiled form")


def _column_transformer(step: Any, values: list[Value]) -> list[Value]:
    made: list[Value] = []
    for name, part, _ in step.transformers_:
        places = step._transformer_to_input_indices[name]
        if isinstance(part, str) and part == "drop":
            continue
        if len(places):
            made += features_of(part, [values[int(i)] for i in places])
    if step.transformer_weights:
        raise NotCompiled("ColumnTransformer with weights")
    return made


def _numeric(step: Any, values: list[Value]) -> list[Expression]:
    return numbers_of(values, type(step).__name__)


def _each(op: str, values: list[Expression], by: Any) -> list[Expression]:
    return values if by is None else [[op, e, float(c)] for e, c in zip(values, by, strict=True)]


def _back(values: list[Expression]) -> list[Value]:
    return [Value("number", e) for e in values]


def _standard(step: Any, values: list[Value]) -> list[Value]:
    es = _each("sub", _numeric(step, values), step.mean_ if step.with_mean else None)
    return _back(_each("div", es, step.scale_ if step.with_std else None))


def _min_max(step: Any, values: list[Value]) -> list[Value]:
    es = _each("add", _each("mul", _numeric(step, values), step.scale_), step.min_)
    low, high = step.feature_range
    return _back([["clip", e, float(low), float(high)] for e in es] if step.clip else es)


def _robust(step: Any, values: list[Value]) -> list[Value]:
    es = _each("sub", _numeric(step, values), step.center_ if step.with_centering else None)
    return _back(_each("div", es, step.scale_ if step.with_scaling else None))


def _max_abs(step: Any, values: list[Value]) -> list[Value]:
    if getattr(step, "clip", False):
        raise NotCompiled("MaxAbsScaler with clip")
    return _back(_each("div", _numeric(step, values), step.scale_))


def _imputer(step: Any, values: list[Value]) -> list[Value]:
    marker = step.missing_values
    if not (marker is None or (isinstance(marker, float) and math.isnan(marker)) or str(marker) == "<NA>"):
        raise NotCompiled(f"SimpleImputer with missing_values={marker!r}")
    made: list[Value] = []
    for value, fill in zip(values, step.statistics_, strict=True):
        absent = fill is None or (isinstance(fill, float | np.floating) and math.isnan(fill))
        if absent:
            if not step.keep_empty_features and step.strategy != "constant":
                continue
            fill = step.fill_value if step.strategy == "constant" else 0
        if value.kind == "text":
            made.append(Value("text", value.e, value.fill if value.fill is not None else str(fill)))
        elif value.kind == "number":
            made.append(Value("number", ["fill", value.e, float(fill)]))
        else:
            raise NotCompiled("SimpleImputer is given true and false")
    if step.indicator_ is not None:
        made += _indicator(step.indicator_, values)
    return made


def _indicator(step: Any, values: list[Value]) -> list[Value]:
    made = []
    for i in step.features_:
        value = values[int(i)]
        if value.kind == "number":
            made.append(Value("number", ["nan", value.e]))
        else:
            missing = 1.0 if value.fill is None else 0.0
            made.append(Value("number", ["pick", value.e, [], 0.0, missing]))
    return made


def _function(step: Any, values: list[Value]) -> list[Value]:
    if step.func is None:
        return values
    name = getattr(step.func, "__name__", "")
    inner = step.func.func if isinstance(step.func, functools.partial) else step.func
    checks = str(getattr(inner, "__module__", "")).startswith("sklearn.")
    if checks and getattr(inner, "__name__", "") in ("_identity", "check_array"):  # HistGradientBoosting's own
        return values
    if isinstance(step.func, np.ufunc) and name in FUNCTIONS and not step.kw_args:
        return _back([["fn", name, e] for e in _numeric(step, values)])
    raise NotCompiled(f"FunctionTransformer with the function {name or 'of a class'!r}")


def _bins(step: Any, values: list[Value]) -> list[Value]:
    es = _numeric(step, values)
    codes = [["bin", e, [float(v) for v in edges[1:-1]]] for e, edges in zip(es, step.bin_edges_, strict=True)]
    if step.encode == "ordinal":
        return _back(codes)
    made: list[Expression] = []
    for e, count in zip(codes, step.n_bins_, strict=True):
        made += [["pick", e, [[float(b), 1.0]], 0.0, 0.0] for b in range(int(count))]
    return _back(made)


def _polynomial(step: Any, values: list[Value]) -> list[Value]:
    es = _numeric(step, values)
    made: list[Expression] = []
    for powers in step.powers_:
        factors = [es[i] for i, p in enumerate(powers) for _ in range(int(p))]
        e = factors[0] if factors else ["const", 1.0]
        for factor in factors[1:]:
            e = ["prod", e, factor]
        made.append(e)
    return _back(made)


_FOLLOWED = {
    "StandardScaler": _standard, "MinMaxScaler": _min_max, "RobustScaler": _robust, "MaxAbsScaler": _max_abs,
    "SimpleImputer": _imputer, "MissingIndicator": _indicator, "FunctionTransformer": _function,
    "KBinsDiscretizer": _bins, "PolynomialFeatures": _polynomial,
}  # fmt: skip


# ---------------------------------------------------------------- tables


def _tabulated(step: Any, values: list[Value]) -> list[Value]:
    """Ask the transformer about each category of each column."""
    known = [_categories(c, v) for c, v in zip(step.categories_, values, strict=True)]
    first: list[Any] = [some[0] if some else np.nan for some in known]
    ask = _Asker(step, values)
    base = ask([first])
    if base is None:
        raise NotCompiled(f"{type(step).__name__} does not answer for its own categories")
    tables: list[tuple[list[Any], Any, Any, Any]] = []
    owner = np.full(base.shape[1], -1)
    for j, (value, some) in enumerate(zip(values, known, strict=True)):
        rows = ask([[*first[:j], v, *first[j + 1 :]] for v in some]) if some else np.empty((0, base.shape[1]))
        if rows is None:
            raise NotCompiled(f"{type(step).__name__} does not answer for its own categories")
        new = None
        if value.kind != "boolean":
            never = _UNKNOWN_TEXT if value.kind == "text" else _UNKNOWN_NUMBER
            new = ask([[*first[:j], never, *first[j + 1 :]]])
        gone = ask([[*first[:j], np.nan, *first[j + 1 :]]])
        tables.append((some, rows, new, gone))
        seen = np.vstack([base, rows, *(r for r in (new, gone) if r is not None)])
        moves = np.array([len({repr(v) for v in column}) > 1 for column in seen.T])
        if (owner[moves] >= 0).any():
            raise NotCompiled(f"{type(step).__name__} mixes columns")
        owner[moves] = j
    # A column that refuses what it does not know is asked even where its output never changes.
    for j in range(len(values)):
        if not (owner == j).any() and len(step.categories_) == base.shape[1]:
            owner[j] = j
    made = []
    for place, j in enumerate(owner):
        if j < 0:
            made.append(["const", float(base[0, place])])
            continue
        some, rows, new, gone = tables[j]
        made.append(_pick(values[j], some, rows[:, place], new, gone, place))
    return _back(made)


def _pick(value: Value, keys: list[Any], answers: Any, new: Any, gone: Any, place: int) -> Expression:
    other = None if new is None else float(new[0, place])
    missing = None if gone is None else float(gone[0, place])
    if value.kind == "boolean":
        by = dict(zip(keys, answers.tolist(), strict=True))
        no = by.get(False, other)
        table = [[w, by.get(True)] for w in _TRUE] if by.get(True) is not None else []
        return ["pick", value.e, table, no, missing]
    table = [[k, float(a)] for k, a in zip(keys, answers, strict=True)]
    if value.kind == "text" and value.fill is not None:
        missing = dict(zip(keys, answers.tolist(), strict=True)).get(value.fill, other)
    return ["pick", value.e, table, other, missing]


def _categories(given: Any, value: Value) -> list[Any]:
    out: list[Any] = []
    for item in given.tolist():
        if item is None or (isinstance(item, float) and math.isnan(item)):
            continue
        if value.kind == "number":
            out.append(float(item))
        elif value.kind == "boolean":
            out.append(bool(item))
        elif isinstance(item, str):
            out.append(item)
        else:
            raise NotCompiled(f"an encoder of categories {type(item).__name__} on a text column")
    return out


class _Asker:
    """A transformer on rows of its own columns; None where it raises."""

    def __init__(self, step: Any, values: list[Value]) -> None:
        self._step = step
        self._names = getattr(step, "feature_names_in_", None)
        self._kinds = [v.kind for v in values]

    def __call__(self, rows: list[list[Any]]) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made = self._step.transform(self._frame(rows))
            except (ValueError, TypeError):
                return None
        made = made.toarray() if hasattr(made, "toarray") else np.asarray(made)
        return made.astype(np.float64)

    def _frame(self, rows: list[list[Any]]) -> Any:
        columns = list(zip(*rows, strict=True))
        typed = [
            np.array(c, dtype=np.float64 if k == "number" else object)
            for c, k in zip(columns, self._kinds, strict=True)
        ]
        for i, kind in enumerate(self._kinds):
            if kind == "boolean" and all(isinstance(v, bool) for v in columns[i]):
                typed[i] = typed[i].astype(bool)
        if self._names is not None:
            import pandas

            return pandas.DataFrame(dict(zip(self._names, typed, strict=True)))
        if all(k == "number" for k in self._kinds):
            return np.column_stack(typed)
        out = np.empty((len(rows), len(typed)), dtype=object)
        for j, values in enumerate(typed):
            out[:, j] = values
        return out
