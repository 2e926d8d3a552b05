"""Estimates as a dataframe of the kind that the caller works with."""

from __future__ import annotations

from typing import Any

from ambidex.report.answer import Answer

__all__ = ["estimates_frame"]

_CALLERS = ("pandas", "polars", "pyarrow")
_FIRST = ("name", "kind", "arm", "control", "category", "base", "adjusted", "value", "low", "high", "level", "n")
_ORDER = (*_FIRST, "unit", "method", "p_value", "q_value")
_TEXTS = ("name", "kind", "unit", "method", "arm", "control", "category", "base")


def estimates_frame(answer: Answer) -> Any:
    """The estimates, a row each, as pandas, polars or (by default) an Arrow table.

    The columns are always the same ones; what an estimate lacks is null.

    Args:
        answer: Its ``record["caller"]`` (or ``extra["caller"]``) names the dataframe library of the
            table that was asked about.

    >>> answer = Answer(verb="x", question="", headline="", recommendation=None)
    >>> estimates_frame(answer).num_rows
    0
    """
    import narwhals.stable.v2 as nw

    rows = [e.to_dict() for e in answer.estimates]
    columns = {name: [r.get(name) for r in rows] for name in _ORDER}
    others: dict[str, Any] = {"n": nw.Int64(), "adjusted": nw.Boolean()}
    schema = {name: others.get(name) or (nw.String() if name in _TEXTS else nw.Float64()) for name in _ORDER}
    frame = nw.from_dict(columns, schema=schema, backend=_caller(answer))
    return frame.to_native()


def _caller(answer: Answer) -> Any:
    named = answer.record.get("caller") or answer.extra.get("caller")
    return named if named in _CALLERS else "pyarrow"
