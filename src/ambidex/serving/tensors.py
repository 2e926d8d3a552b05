"""Tensors of the Open Inference Protocol as plain values: nested lists, and the bytes of the binary extension."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from ambidex.serving.problems import HttpRefusal

__all__ = ["INTEGERS", "KINDS", "binary_of", "flat", "from_binary"]

INTEGERS = ("INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
_CODES = {
    "BOOL": "?", "UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q", "INT8": "b", "INT16": "h", "INT32": "i",
    "INT64": "q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip
KINDS = (*_CODES, "BYTES")
"""Datatypes that are read."""


def flat(data: list[Any], depth: int) -> list[Any]:
    """Values of a tensor in row order, given flat or nested.

    >>> flat([[1], [2]], 2), flat([1, 2], 2), flat([[1]], 1)
    ([1, 2], [1, 2], [[1]])
    """
    if depth == 2 and data and all(type(v) is list and len(v) == 1 for v in data):
        return [v[0] for v in data]
    return data


def from_binary(kind: str, data: memoryview, where: str) -> list[Any]:
    """Values of a tensor of the binary extension: little-endian, row order; not-a-number is a missing value.

    Raises:
        HttpRefusal: ``http.tensor``.

    >>> from_binary("INT16", memoryview(b"\\x01\\x00\\xff\\xff"), "x")
    [1, -1]
    >>> from_binary("BYTES", memoryview(b"\\x02\\x00\\x00\\x00hi\\x00\\x00\\x00\\x00"), "x")
    ['hi', '']
    """
    if kind == "BYTES":
        return _texts(data, where)
    code = _CODES[kind]
    width = struct.calcsize(code)
    if len(data) % width:
        raise _broken(f"{len(data)} bytes are no whole number of {kind}", where)
    values: list[Any] = list(struct.unpack(f"<{len(data) // width}{code}", data))
    if code in "efd":
        if any(math.isinf(v) for v in values):
            raise _broken("a value is infinite", where)
        return [None if v != v else v for v in values]
    return values


def _texts(data: memoryview, where: str) -> list[str]:
    values: list[str] = []
    at = 0
    while at < len(data):
        end = at + 4
        size = int.from_bytes(data[at:end], "little") if end <= len(data) else len(data)
        if end + size > len(data):
            raise _broken("a text ends before it is whole", where)
        try:
            values.append(str(data[end : end + size], "utf-8"))
        except UnicodeDecodeError:
            raise _broken("a text is not UTF-8", where) from None
        at = end + size
    return values


def binary_of(kind: str, values: Sequence[Any]) -> bytes:
    """A tensor as the binary extension writes it.

    >>> binary_of("BYTES", ["hi"]), binary_of("FP64", [0.5])
    (b'\\x02\\x00\\x00\\x00hi', b'\\x00\\x00\\x00\\x00\\x00\\x00\\xe0?')
    """
    if kind == "BYTES":
        texts = [str(v).encode() for v in values]
        return b"".join(part for t in texts for part in (len(t).to_bytes(4, "little"), t))
    return struct.pack(f"<{len(values)}{_CODES[kind]}", *values)


def _broken(message: str, where: str) -> HttpRefusal:
    fault = HttpRefusal("http.tensor", message, status=400, do="send the tensor's values as JSON, in data")
    fault.where = where
    return fault
