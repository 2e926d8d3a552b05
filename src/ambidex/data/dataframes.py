"""Dataframes in Python: whatever narwhals or the Arrow capsule protocol understands."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from ambidex.data.arrows import tidy
from ambidex.data.table import Table
from ambidex.errors import DataError, UsageError

__all__ = ["read_dataframe"]


def read_dataframe(what: Any, *, argument: str, may_be: str) -> Table:
    """A dataframe as a ``Table``; the caller's object is not changed.

    Raises:
        UsageError: ``usage.type`` for anything that is not a dataframe.
        DataError: ``data.empty`` without rows; ``data.duplicate-column``.
    """
    cautions: list[tuple[str, str]] = []
    arrow, caller = _to_arrow(what, argument, may_be, cautions)
    arrow, said = tidy(arrow, "the dataframe")
    return Table(
        name=f"{caller or 'Arrow'} dataframe" if caller != "pyarrow" else "Arrow table",
        source=None,
        arrow=arrow,
        cautions=(*cautions, *said),
        origin={},
        caller=caller,
    )


def _to_arrow(what: Any, argument: str, may_be: str, cautions: list[tuple[str, str]]) -> tuple[pa.Table, str]:
    if isinstance(what, pa.Table):
        return what, "pyarrow"
    if isinstance(what, pa.RecordBatch):
        return pa.Table.from_batches([what]), "pyarrow"
    if isinstance(what, pa.RecordBatchReader):
        return what.read_all(), "pyarrow"
    import narwhals.stable.v2 as nw
    from narwhals.stable.v2.dependencies import is_pandas_dataframe

    if is_pandas_dataframe(what):
        return _from_pandas(what, cautions), "pandas"
    try:
        frame = nw.from_native(what, eager_only=False)
    except (TypeError, ValueError, AttributeError) as e:
        if hasattr(what, "__arrow_c_stream__") and hasattr(what, "columns"):
            return pa.table(what), ""
        raise _wrong_type(what, argument, may_be) from e
    if isinstance(frame, nw.LazyFrame):
        try:
            frame = frame.collect()
        except Exception as e:
            raise DataError(
                "data.sql", f"{argument} could not be computed: {' '.join(str(e).split())[:200]}", where=argument
            ) from e
        if isinstance(frame.to_native(), pa.Table):
            return frame.to_native(), "pyarrow"
    objects = [name for name, kind in frame.schema.items() if kind == nw.Object]
    if objects:
        raise DataError(
            "data.column-type",
            f"`{objects[0]}` of {argument} holds Python objects",
            where=f"column {objects[0]}",
            found="Object",
            do="turn the column into text or numbers first",
        )
    try:
        arrow = frame.to_arrow()
    except (pa.ArrowException, TypeError, ValueError) as e:
        raise DataError(
            "data.column-type",
            f"{argument} holds a column that Arrow cannot take",
            where=argument,
            found=" ".join(str(e).split())[:200],
            do="turn the column into text or numbers first",
        ) from e
    return arrow, "polars" if frame.implementation.is_polars() else ""


def _wrong_type(what: Any, argument: str, may_be: str) -> UsageError:
    shown = repr(what) if isinstance(what, int | float | bool | None) else type(what).__name__
    hints = {
        "list": "pandas.DataFrame(rows) makes a table of a list of dicts",
        "dict": "pandas.DataFrame(columns) makes a table of a dict of lists",
        "generator": "a generator can be read once only: pandas.DataFrame(list(rows))",
        "ndarray": "pandas.DataFrame(array, columns=[…]) gives the columns names",
        "Series": ".to_frame() makes a table of a series",
    }
    return UsageError(
        "usage.type",
        f"`{argument}` is {shown}, which is not a table",
        where=f"argument {argument}",
        found=f"{type(what).__module__}.{type(what).__qualname__}",
        do=hints.get(type(what).__name__, f"give {may_be}"),
    )


def _from_pandas(frame: Any, cautions: list[tuple[str, str]]) -> pa.Table:
    named = [str(n) for n in frame.index.names if n is not None]
    if named:
        cautions.append(
            (
                "data.column-type",
                f"the index ({', '.join(named)}) is not read; frame.reset_index() makes a column of it",
            )
        )
    names = [_flat(c) for c in frame.columns]
    columns = [_pandas_column(frame.iloc[:, i]) for i in range(frame.shape[1])]
    if not columns:
        return pa.table({})
    return pa.table(columns, names=names)


def _flat(name: Any) -> str:
    return "_".join(str(p) for p in name if str(p)) if isinstance(name, tuple) else str(name)


def _pandas_column(series: Any) -> pa.Array:
    try:
        array = pa.Array.from_pandas(series)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        # Numbers and texts in one column: keep each as its own text, so that facts can count them.
        array = pa.array([_cell(v) for v in series.tolist()], pa.string())
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    kind = array.type.value_type if pa.types.is_dictionary(array.type) else array.type
    if isinstance(kind, pa.BaseExtensionType):  # intervals, periods: as pandas shows them
        return pa.array([_cell(v) for v in series.tolist()], pa.string())
    return array


def _cell(value: Any) -> str | None:
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT or value != value:
        return None
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return str(int(value))
    return str(value)
