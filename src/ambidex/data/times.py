"""Dates and times written as text: how they were read, and what was doubtful about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ambidex.data.cells import Cells

__all__ = ["Times", "read_times"]

Stamps = np.ndarray[Any, np.dtype[np.datetime64]]
Mask = np.ndarray[Any, np.dtype[np.bool_]]

CLOCK = (
    r"(?:[T ,]+(?P<H>\d{1,2}):(?P<M>\d{2})(?::(?P<S>\d{2})(?P<f>\.\d+)?)?\s*(?P<ap>[AaPp][Mm])?)?"
    r"\s*(?P<z>Z|UTC|GMT|[+-]\d{2}:?\d{2})?$"
)
ISO = r"^(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})" + CLOCK
COMPACT = (
    r"^(?P<y>\d{4})(?P<m>\d{2})(?P<d>\d{2})"
    r"(?:T(?P<H>\d{2}):?(?P<M>\d{2}):?(?P<S>\d{2})?(?P<f>\.\d+)?)?(?P<z>Z|[+-]\d{2}:?\d{2})?$"
)
NUMERIC = r"^(?P<a>\d{1,2})(?P<sep>[-/.])(?P<b>\d{1,2})[-/.](?P<y>\d{4})" + CLOCK
DAY_NAME = r"^(?:[A-Za-z]{3,9},? +)?(?P<d>\d{1,2})[- ](?P<mon>[A-Za-z]{3,9})\.?[- ,]+(?P<y>\d{4})" + CLOCK
NAME_DAY = r"^(?:[A-Za-z]{3,9},? +)?(?P<mon>[A-Za-z]{3,9})\.? +(?P<d>\d{1,2})(?:st|nd|rd|th)?,? +(?P<y>\d{4})" + CLOCK
MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
FORMS = ((ISO, "year first"), (COMPACT, "digits only"), (NUMERIC, "year last"), (DAY_NAME, "month by name"),
         (NAME_DAY, "month by name"))  # fmt: skip
GROUPS = ("y", "m", "d", "H", "M", "S", "f", "ap", "z", "a", "b", "sep", "mon")


@dataclass(frozen=True, slots=True)
class Times:
    """A column read as times.

    Attributes:
        values: UTC, datetime64[us]; NaT where a cell is missing or not a time. Shape (rows,).
        zoned: True where the cell says its zone. Shape (rows,).
        naive: True where it does not; those are read as UTC. Shape (rows,).
        offsets: The zones met, as written.
        order: How ``1/2/2024`` was read: ``day first``, ``month first``, or empty if none was met.
        guessed: True if nothing in the column settles that order.
        forms: The ways of writing met, the first of ``FORMS`` first.
    """

    values: Stamps
    zoned: Mask
    naive: Mask
    offsets: tuple[str, ...] = ()
    order: str = ""
    guessed: bool = False
    forms: tuple[str, ...] = ()

    @property
    def read(self) -> Mask:
        """True where the cell is a time."""
        return ~np.isnat(self.values)


def read_times(column: pa.ChunkedArray | pa.Array, cells: Cells) -> Times:
    """Read a column as times, in UTC; a time without a zone is read as UTC.

    Known forms: ISO 8601 (``2024-01-31``, ``2024-01-31T10:00:00+05:30``), compact (``20240131``,
    ``20141013T000000``), numeric with the year last (``31-08-2023``, ``1/31/2024 8:26``), and English
    month names (``14 Oct 2013``, ``Oct 14, 2013``).

    Args:
        column: The column with its own type.
        cells: The same as text, by its different values.

    Example:
        >>> texts = pa.array(["2024-01-01T00:00:00+05:30", "31-08-2023", "soon"])
        >>> read_times(texts, Cells.of(texts)).values.astype("datetime64[m]").tolist()[:2]
        [datetime.datetime(2023, 12, 31, 18, 30), datetime.datetime(2023, 8, 31, 0, 0)]
    """
    kind = column.type
    if pt.is_timestamp(kind) or pt.is_date(kind):
        if isinstance(column, pa.ChunkedArray):
            column = column.combine_chunks()
        tz = kind.tz if pt.is_timestamp(kind) else None
        values = column.cast(pa.timestamp("us", tz), safe=False).to_numpy(zero_copy_only=False)
        stamps = values.astype("datetime64[us]")
        known = ~np.isnat(stamps)
        none = np.zeros(len(stamps), dtype=bool)
        return Times(stamps, known if tz else none, none if tz else known, (tz,) if tz else ())
    parsed = _parse(cells.trimmed)
    return Times(
        cells.spread(parsed.values, np.datetime64("NaT", "us")),
        cells.spread(parsed.zoned, False),
        cells.spread(parsed.naive, False),
        parsed.offsets,
        parsed.order,
        parsed.guessed,
        parsed.forms,
    )


def _parse(text: pa.Array) -> Times:
    rows = len(text)
    values = np.full(rows, np.datetime64("NaT", "us"))
    zoned, naive = np.zeros(rows, dtype=bool), np.zeros(rows, dtype=bool)
    offsets: dict[str, None] = {}
    order, guessed = "", False
    left = np.arange(rows)
    forms: dict[str, None] = {}
    for pattern, form in FORMS:
        if not len(left):
            break
        part = text.take(pa.array(left))
        hits = pc.fill_null(pc.match_substring_regex(part, pattern), False).to_numpy(zero_copy_only=False)
        if not hits.any():
            continue
        at = left[hits]
        groups = _groups(pc.extract_regex(part.filter(pa.array(hits)), pattern))
        if "a" in groups:
            order, guessed = _order(groups)
        stamps = _stamps(groups, order)
        good = ~np.isnat(stamps)
        values[at] = stamps
        if good.any():
            forms[form] = None
        has_zone = groups["z"] != ""
        zoned[at], naive[at] = has_zone & good, ~has_zone & good
        offsets.update(dict.fromkeys(groups["z"][has_zone & good].tolist()))
        left = left[~hits]
    return Times(values, zoned, naive, tuple(offsets), order, guessed, tuple(forms))


def _groups(struct: pa.StructArray) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field in struct.type:
        out[field.name] = pc.fill_null(struct.field(field.name), "").to_numpy(zero_copy_only=False).astype(str)
    return out


def _whole(digits: Any) -> Any:
    return np.where(digits == "", "0", digits).astype(np.int64)


def _order(groups: dict[str, Any]) -> tuple[str, bool]:
    first, second = _whole(groups["a"]), _whole(groups["b"])
    if (groups["sep"] == ".").any() or (first > 12).any():
        return "day first", False
    return "month first", not (second > 12).any()


def _stamps(groups: dict[str, Any], order: str) -> Stamps:
    year = _whole(groups["y"])
    if "a" in groups:
        first, second = _whole(groups["a"]), _whole(groups["b"])
        day, month = (first, second) if order == "day first" else (second, first)
    elif "mon" in groups:
        names = {m: i for i, m in enumerate(MONTHS, start=1)}
        month = np.array([names.get(m[:3].lower(), 0) for m in groups["mon"]], dtype=np.int64)
        day = _whole(groups["d"])
    else:
        month, day = _whole(groups["m"]), _whole(groups["d"])
    hour, minute, second_ = (_whole(groups[k]) for k in "HMS")
    half = np.char.lower(groups["ap"]) if "ap" in groups else np.array([""])
    hour = np.where((half == "pm") & (hour < 12), hour + 12, np.where((half == "am") & (hour == 12), 0, hour))
    micro = np.array([round(float(f) * 1e6) if f else 0 for f in groups["f"]], dtype=np.int64)
    valid = (month >= 1) & (month <= 12) & (day >= 1) & (hour < 24) & (minute < 60) & (second_ < 60)
    valid &= (year >= 1) & (year <= 9999)
    months = np.where(valid, (year - 1970) * 12 + month - 1, 0).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    valid &= days.astype("datetime64[M]") == months  # 31 February rolls over
    shift = np.array([_offset(z) for z in groups["z"]], dtype=np.int64)
    seconds = hour * 3600 + minute * 60 + second_ - shift
    stamps: Stamps = days.astype("datetime64[us]") + (seconds * 1_000_000 + micro)
    stamps[~valid] = np.datetime64("NaT")
    return stamps


def _offset(zone: str) -> int:
    if not zone or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if zone[0] == "-" else seconds
