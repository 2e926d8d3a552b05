"""Is a CSV file a rectangle? A fast look at its bytes, before any reader is trusted with it.

DuckDB 2.0 drops surplus empty fields at the end of a line and reads blank lines of a one-column file as
rows, in strict mode too; so the shape is checked here, and what is not plainly right goes the slow way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["Shape", "check_shape"]

CHUNK = 4 << 20
QUOTE, LF, CR = 0x22, 0x0A, 0x0D

Bytes = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What the fast look saw.

    Attributes:
        plain: True if every record has the header's fields and every quote stands where RFC 4180 has it;
            False means "look closely", not "wrong".
        records: Records that are not blank, the header included.
        lines: Physical lines, blank ones included.
    """

    plain: bool
    records: int
    lines: int


def check_shape(path: Path, separator: str, width: int) -> Shape:
    """Look at a UTF-8 file once, in chunks.

    Args:
        path: The file.
        separator: One ASCII character.
        width: Fields of the header.
    """
    plain, records, lines = True, 0, 0
    inside = False  # the chunk begins inside quotes
    rest = b""  # bytes of the record that the chunk before left open
    with path.open("rb") as file:
        first = file.read(3)
        if first != b"\xef\xbb\xbf":
            rest = first
        while True:
            chunk = file.read(CHUNK)
            data = np.frombuffer(rest + chunk, dtype=np.uint8)
            if not len(data):
                break
            last = not chunk
            quotes = data == QUOTE
            # True where the byte lies inside quotes; a doubled quote leaves and enters again.
            within = (np.cumsum(quotes) - quotes) % 2 == 1
            ends = np.flatnonzero((data == LF) & ~within)
            if last and (not len(ends) or ends[-1] != len(data) - 1):
                inside = bool((within[-1]) ^ quotes[-1])
                ends = np.append(ends, len(data))
            elif not len(ends):
                rest += chunk
                if len(rest) > 64 << 20:  # a record of 64 MiB is an unclosed quote
                    return Shape(False, records, lines)
                continue
            stop = int(ends[-1]) + 1
            ok, some = _records(data[: min(stop, len(data))], quotes, within, ends, ord(separator), width)
            plain &= ok
            records += some
            lines += len(ends)
            rest = data[stop:].tobytes()
            if last:
                break
    return Shape(plain and not inside, records, lines)


def _records(data: Bytes, quotes: Any, within: Any, ends: Any, separator: int, width: int) -> tuple[bool, int]:
    size = len(data)
    starts = np.append(0, ends[:-1] + 1)
    returns = np.flatnonzero((data == CR) & ~within[:size])
    # A lone carriage return ends a line for some readers and not for others.
    followed = returns + 1
    lone = (followed < size) & (data[np.minimum(followed, size - 1)] != LF)
    cuts = np.flatnonzero((data == separator) & ~within[:size])
    fields = np.searchsorted(cuts, ends) - np.searchsorted(cuts, starts) + 1
    length = ends - starts
    only_return = (length == 1) & (data[np.minimum(starts, size - 1)] == CR)
    blank = (length == 0) | only_return
    good = bool((fields[~blank] == width).all()) and not lone.any() and not (width == 1 and blank.any())
    if good and quotes[:size].any():
        good = _quotes_stand_right(data, np.flatnonzero(quotes[:size]), within, separator)
    return good, int((~blank).sum())


def _quotes_stand_right(data: Bytes, at: Any, within: Any, separator: int) -> bool:
    edges = np.array([separator, LF, CR, QUOTE], dtype=np.uint8)
    opening = at[~within[at]]
    closing = at[within[at]]
    before = data[opening[opening > 0] - 1]
    after = data[closing[closing < len(data) - 1] + 1]
    return bool(np.isin(before, edges).all() and np.isin(after, edges).all())
