"""Arrow tables made plain: one name a column, text for names, simple types only."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ambidex.errors import DataError

__all__ = ["tidy"]


def tidy(arrow: pa.Table, name: str) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Columns in the types that questions know; and cautions.

    Dictionaries become their values, other string layouts become strings, lists and structs become
    JSON text.

    Raises:
        DataError: ``data.empty`` without rows or columns; ``data.duplicate-column``.
    """
    cautions: list[tuple[str, str]] = []
    if arrow.num_columns == 0 or arrow.num_rows == 0:
        raise DataError(
            "data.empty",
            f"{name} has {arrow.num_rows} rows and {arrow.num_columns} columns",
            where=name,
            found=", ".join(arrow.column_names[:8]) or "no columns",
            do="give a table with rows",
        )
    seen: dict[str, int] = {}
    names = []
    for position, column in enumerate(arrow.column_names, start=1):
        shown = str(column)
        if not shown.strip():
            shown = f"column_{position}"
            cautions.append(
                ("data.no-column-name", f"column {position} of {name} has no name; it is called `{shown}` here")
            )
        if shown in seen:
            raise DataError(
                "data.duplicate-column",
                f"two columns of {name} are called `{shown}`: columns {seen[shown]} and {position}",
                where=name,
                found=", ".join(map(str, arrow.column_names[:12])),
                do=f"rename one of the two `{shown}`",
            )
        seen[shown] = position
        names.append(shown)
    columns = [_plain(arrow.column(i), n, cautions) for i, n in enumerate(names)]
    return pa.table(columns, names=names), cautions


def _plain(column: pa.ChunkedArray, name: str, cautions: list[tuple[str, str]]) -> pa.ChunkedArray:
    kind = column.type
    if pt.is_dictionary(kind) and not isinstance(kind.value_type, pa.BaseExtensionType):
        column = column.cast(kind.value_type)
        kind = column.type
    if pt.is_timestamp(kind) and kind.unit in ("s", "ms"):
        try:
            return column.cast(pa.timestamp("us", kind.tz))
        except pa.ArrowInvalid as e:
            raise DataError(
                "data.range",
                f"`{name}` holds a time outside the years −290,000 to 290,000",
                where=f"column {name}",
                found=str(e)[:120],
                do="turn such times into missing values first",
            ) from e
    if pt.is_duration(kind):
        cautions.append(("data.column-type", f"`{name}` holds durations; read as seconds"))
        per = {"s": 1, "ms": 1e3, "us": 1e6, "ns": 1e9}[kind.unit]
        return pc.divide(column.cast(pa.int64()).cast(pa.float64()), per)
    if pt.is_large_string(kind) or pt.is_string_view(kind):
        return column.cast(pa.string())
    if pt.is_null(kind):
        return column.cast(pa.string())
    if pt.is_float16(kind):
        return column.cast(pa.float32())
    if isinstance(kind, pa.BaseExtensionType) or not _simple(kind):
        cautions.append(("data.column-type", f"`{name}` holds {kind}; read as text"))
        values = [None if v is None else _as_text(v) for v in column.to_pylist()]
        return pa.chunked_array([pa.array(values, pa.string())])
    return column


def _simple(kind: pa.DataType) -> bool:
    return bool(
        pt.is_string(kind)
        or pt.is_boolean(kind)
        or pt.is_integer(kind)
        or pt.is_floating(kind)
        or pt.is_decimal(kind)
        or pt.is_date(kind)
        or pt.is_time(kind)
        or pt.is_timestamp(kind)
    )


def _as_text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    return json.dumps(value, default=str, ensure_ascii=False)
