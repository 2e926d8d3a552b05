"""Cells as text, spelled the same whichever engine or file they came through."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

__all__ = ["spell"]


def spell(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """A column as strings; null stays null.

    Text stays as written. Whole numbers have no decimal point (``1``, also for the float 1.0), other
    floats have the shortest digits that read back to them, as Python writes them; NaN is null.
    Booleans are ``True`` and ``False``; dates and times are ISO 8601, with ``Z`` in UTC if they
    carry a zone.

    Args:
        column: Any Arrow column. Shape (rows,).

    Example:
        >>> spell(pa.array([1.0, 2.5, None])).to_pylist()
        ['1', '2.5', None]
    """
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    kind = column.type
    if pt.is_dictionary(kind):
        return spell(column.dictionary_decode())
    if pt.is_string(kind):
        return column
    if pt.is_large_string(kind) or pt.is_string_view(kind) or pt.is_integer(kind):
        return pc.cast(column, pa.string())
    if pt.is_boolean(kind):
        return pc.if_else(column, "True", "False")
    if pt.is_floating(kind):
        return _floats(column)
    if pt.is_timestamp(kind):
        return _times(column)
    if pt.is_date(kind):
        return pc.strftime(column, format="%Y-%m-%d")
    if pt.is_decimal(kind):
        text = pc.cast(column, pa.string())
        return pc.replace_substring_regex(text, r"^(-?[0-9]+)\.0*$", r"\1")
    if pt.is_null(kind):
        return pa.nulls(len(column), pa.string())
    return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())


def _floats(column: pa.Array) -> pa.Array:
    values = pc.cast(column, pa.float64())
    array = values.to_numpy(zero_copy_only=False)
    missing = np.isnan(array)
    with np.errstate(invalid="ignore"):
        size = np.abs(array)
        whole = (np.trunc(array) == array) & (size < 2.0**63)
        plain = ~whole & ~missing & (size >= 1e-4) & (size < 1e10)
    # Arrow's cast agrees with Python's repr only where both write plain decimals, [1e-4, 1e10).
    if whole.all():
        return pc.cast(values, pa.int64()).cast(pa.string())
    other = ~whole & ~plain & ~missing
    text = pc.cast(values, pa.string())
    if whole.any():
        integers = pa.array(np.where(whole, array, 0).astype(np.int64)).cast(pa.string())
        text = pc.if_else(pa.array(whole), integers, text)
    if other.any():
        text = pc.replace_with_mask(text, pa.array(other), pa.array([repr(v) for v in array[other].tolist()]))
    return pc.if_else(pa.array(~missing), text, None) if missing.any() else text


def _times(column: pa.Array) -> pa.Array:
    zoned = column.type.tz is not None
    micro = pc.cast(column, pa.timestamp("us", column.type.tz), safe=False)
    if zoned:
        micro = pc.cast(micro, pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
    text = pc.strftime(micro, format="%Y-%m-%dT%H:%M:%S")
    text = pc.replace_substring_regex(text, r"\.0*$", "")
    text = pc.replace_substring_regex(text, r"(\.[0-9]*?)0+$", r"\1")
    if zoned:
        return pc.binary_join_element_wise(text, "Z", "")
    return text
