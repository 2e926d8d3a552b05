"""Units over time: which period each row belongs to, who was treated, since when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.errors import DataError, UsageError
from ambidex.insight.campaign_ask import Ask
from ambidex.insight.experiment_checks import pick_control
from ambidex.insight.experiment_data import codes_of
from ambidex.insight.experiment_metrics import read_values
from ambidex.report.answer import Caution
from ambidex.report.words import count, plural

__all__ = ["Axis", "Grid", "Who", "grid_of", "read_axis", "read_who", "seen_once"]

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
DAY = np.timedelta64(1, "D")
PERIOD = re.compile(
    r"(?:(?P<y>\d{4})[-/](?P<m>\d{1,2})|Q(?P<q>[1-4])[ -]?(?P<y2>\d{4})|(?P<y3>\d{4})[ -]?Q(?P<q2>[1-4]))$",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class Axis:
    """The periods of a table.

    Attributes:
        place: Period of each row as an index, shape (rows,); -1 where the row has none.
        names: The periods in order, as text.
        start: Index of the first period with the campaign.
        step: Usual days between periods; None where periods are numbers.
        days: The periods as days, where they are dates.
    """

    place: npt.NDArray[np.int64]
    names: list[str]
    start: int
    step: float | None
    days: Any = None

    def x(self, i: int) -> Any:
        """A period as a chart takes it; a year is a date there, or it would be written 1,993."""
        name = self.names[i]
        if self.days is not None:
            return name
        years = all(n.isdecimal() and 1500 < int(n) < 2500 for n in self.names)
        return f"{name}-01-01" if years else float(name)


@dataclass(frozen=True, eq=False)
class Who:
    """Which rows carry the treatment.

    Attributes:
        on: True where the row says treated, shape (rows,).
        known: True where the row says anything, shape (rows,).
        label: Of the treated, as shown.
        control: Of the others, as shown.
    """

    on: Flags
    known: Flags
    label: str
    control: str


@dataclass(frozen=True, eq=False)
class Grid:
    """One value per unit and period.

    Attributes:
        y: Shape (units, periods); NaN where there is none.
        on: True where the cell says treated, shape (units, periods).
        units: Names.
    """

    y: Floats
    on: Flags
    units: list[str]


def read_axis(ask: Ask) -> Axis:
    """Periods of the rows and the place of the start among them.

    Raises:
        UsageError: ``usage.value`` for a start that is no date or number.
        DataError: ``data.column-type`` for a column without dates; ``data.start``;
            ``data.outcome-before-treatment``.
    """
    source, column, start = ask.source, str(ask.time), str(ask.start)
    days: Any = source.times(column).values.astype("datetime64[D]")
    if np.isnat(days).mean() > 0.5:
        days = _months(source.text(column).tolist())
    dated = bool(np.isnat(days).mean() < 0.5)
    numbers = source.number(column)
    if dated:
        values: Any = days
        known = ~np.isnat(values)
        at: Any = _months([start.strip()])[0]
        try:
            at = np.datetime64(start.strip()[:10], "D") if np.isnat(at) else at
        except ValueError as e:
            raise _no_start(ask, "a day such as 2024-03-01") from e
    elif np.isfinite(numbers).mean() > 0.5:
        values, known = numbers, np.isfinite(numbers)
        try:
            at = float(start)
        except ValueError as e:
            raise _no_start(ask, "a number, as the column has") from e
    else:
        raise DataError(
            "data.column-type",
            f"no time is read from `{column}`",
            where=f"{source.name}, column {column}",
            found=", ".join(repr(v) for v in source.text(column)[:3]),
            do="name a column with dates such as 2024-01-31, or with numbers in the order of time",
        )
    periods, place = np.unique(values[known], return_inverse=True)
    out = np.full(source.rows, -1, dtype=np.int64)
    out[known] = place
    names = [str(p) for p in periods] if dated else [f"{p:g}" for p in periods]
    first = int(np.searchsorted(periods, at, side="left"))
    where = f"{source.name}, column {column}"
    found = f"{names[0]} to {names[-1]}, {plural(len(names), 'period')}"
    if first >= len(periods):
        raise DataError(
            "data.outcome-before-treatment",
            f"every outcome lies before the start {start}: nothing was seen with the campaign",
            where=where,
            found=found,
            do=f"--start a date in the data, up to {names[-1]}, or bring the periods after {start}",
        )
    if first == 0:
        raise DataError(
            "data.start",
            f"the start {start} leaves no period before it to compare with",
            where=where,
            found=found,
            do=f"--start a date after {names[0]}, or bring the periods before {start}",
        )
    step = float(np.median(np.diff(periods) / DAY)) if dated and len(periods) > 1 else None
    return Axis(out, names, first, step, periods if dated else None)


def _months(texts: list[str | None]) -> Any:
    """`2010-04`, `Q2 2010`, `2010Q2` and `Q22010` as their first day; NaT for anything else."""
    found = {}
    for text in set(texts):
        match = PERIOD.match((text or "").strip())
        day = "NaT"
        if match is not None:
            year, month = match["y"] or match["y2"] or match["y3"], match["m"]
            month = int(month) if month else 3 * int(match["q"] or match["q2"]) - 2
            day = f"{year}-{month:02d}-01" if 1 <= month <= 12 else "NaT"
        found[text] = np.datetime64(day, "D")
    return np.array([found[t] for t in texts], dtype="datetime64[D]")


def _no_start(ask: Ask, takes: str) -> UsageError:
    shown = [v for v in ask.source.text(str(ask.time))[:3] if v is not None]
    return UsageError(
        "usage.value",
        f"--start {ask.start!r} cannot be set against `{ask.time}`",
        where="--start",
        found=f"`{ask.time}` says {', '.join(repr(v) for v in shown)}",
        do=f"--start {shown[-1] if shown else '2024-03-01'}; it takes {takes}",
    )


def read_who(ask: Ask) -> Who:
    """Which rows are treated.

    Raises:
        DataError: ``data.column-type`` for more than two labels; ``data.no-treated``.
    """
    source, column = ask.source, str(ask.treatment)
    codes, labels = codes_of(source, column)
    numbers = source.number(column)
    known = codes >= 0
    said = set(np.unique(numbers[np.isfinite(numbers)]).tolist())
    if ask.control is None and (not labels or (said and said <= {0.0, 1.0})):
        if 1.0 not in said:
            raise _nobody(ask, labels)
        return Who(read_values(source, column).values == 1, known, column, "untreated")
    if len(labels) == 1:
        if labels[0] == ask.control:
            raise _nobody(ask, labels)
        return Who(known, known, labels[0], "before")
    if len(labels) > 2 and ask.control is None:
        raise DataError(
            "data.column-type",
            f"`{column}` has {len(labels):,} labels; with --start one treatment is set against the untreated",
            where=f"{source.name}, column {column}",
            found=", ".join(labels[:4]) + (", …" if len(labels) > 4 else ""),
            do="name a column of 1 and 0, or the untreated with --control",
        )
    base, _ = pick_control(labels, ask.control, column)
    treated = [v for v in labels if v != base]
    return Who(known & (codes != labels.index(base)), known, treated[0] if len(treated) == 1 else column, base)


def _nobody(ask: Ask, labels: Sequence[str]) -> DataError:
    return DataError(
        "data.no-treated",
        f"nobody got the treatment: `{ask.treatment}` says {' or '.join(labels) or 'nothing'} in every row",
        where=f"{ask.source.name}, column {ask.treatment}",
        found=f"{count(ask.source.rows)} rows",
        do="bring the rows of the treated too, or name another --treatment",
    )


def seen_once(ask: Ask, axis: Axis) -> bool:
    """True if no unit is seen in two periods: they are other units before and after."""
    codes, names = codes_of(ask.source, str(ask.unit))
    used = (codes >= 0) & (axis.place >= 0)
    return len(np.unique(codes[used] * len(axis.names) + axis.place[used])) == len(np.unique(codes[used])) and bool(
        names
    )


def grid_of(ask: Ask, axis: Axis, who: Who, values: Floats) -> tuple[Grid, list[Caution]]:
    """Rows brought together by unit and period; units that lack a period are left out.

    Raises:
        DataError: ``data.too-few-rows`` if no unit has every period.
    """
    source = ask.source
    codes, names = codes_of(source, str(ask.unit))
    used = (codes >= 0) & (axis.place >= 0) & who.known & np.isfinite(values)
    cautions = []
    if not used.all():
        cautions.append(
            Caution(
                "missing", f"{plural(int((~used).sum()), 'row')} without unit, time, treatment or outcome left out."
            )
        )
    shape = len(names), len(axis.names)
    flat = codes[used] * shape[1] + axis.place[used]
    rows = np.bincount(flat, minlength=shape[0] * shape[1]).reshape(shape)
    sums = np.bincount(flat, values[used], minlength=shape[0] * shape[1]).reshape(shape)
    on = np.bincount(flat, who.on[used], minlength=shape[0] * shape[1]).reshape(shape) > 0
    y = np.where(rows > 0, sums / np.maximum(rows, 1), np.nan)
    if (rows > 1).any():
        cautions.append(Caution("averaged", f"Several rows of one {ask.unit} and {ask.time} enter with their mean."))
    whole: Flags = np.all(rows > 0, axis=1)
    if not whole.any():
        raise DataError(
            "data.too-few-rows",
            f"no `{ask.unit}` has an outcome in every period of `{ask.time}`",
            where=source.name,
            found=f"{count(shape[0])} units, {count(shape[1])} periods, {count(int((rows > 0).sum()))} cells filled",
            do="bring rows together by week or month first, with a SELECT",
        )
    if not whole.all():
        cautions.append(
            Caution("gaps", f"{plural(int((~whole).sum()), 'unit')} of `{ask.unit}` without every period left out.")
        )
    return Grid(y[whole], on[whole], [n for n, w in zip(names, whole, strict=True) if w]), cautions
