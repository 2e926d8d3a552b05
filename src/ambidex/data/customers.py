"""From an order log to one row a customer: recency, frequency, money, tenure and breadth, on any day."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ambidex.data.order_problems import OrderColumns, OrderProblem, find_columns, order_problems
from ambidex.data.table import Table
from ambidex.errors import DataError
from ambidex.records import Prepare

__all__ = ["FEATURES", "OrderLog", "customer_table", "open_log"]

FEATURES = ("recency", "frequency", "money", "tenure", "breadth")
"""Days since the last order; order days; money; days since the first order; different items."""

DAY = np.timedelta64(1, "D")
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OrderLog:
    """A log that was cleaned: one entry a customer and order day.

    Attributes:
        table: The log as read.
        unit, time, value: Its columns as named by the caller.
        customers: Their names, by code; text as the file writes it.
        code: Customer of each entry, shape (m,), sorted by customer, then by day.
        day: Its day, datetime64[D], shape (m,).
        money: Value of the day, shape (m,).
        lines: Lines left in the log.
        items: (customer, day, item) of each line where the log names items, else None.
        problems: What was found, and what was left out.
    """

    table: Table
    unit: str
    time: str
    value: str
    customers: npt.NDArray[np.object_]
    code: npt.NDArray[np.int64]
    day: Any
    money: Floats
    lines: int
    items: tuple[npt.NDArray[np.int64], Any, npt.NDArray[np.int64]] | None
    problems: tuple[OrderProblem, ...]

    @property
    def first(self) -> Any:
        """First day of the log."""
        return self.day.min()

    @property
    def last(self) -> Any:
        """Last day of the log."""
        return self.day.max()

    @cached_property
    def middle(self) -> Any:
        """The day that halves the log's time: what is learnt up to it is measured after it."""
        return self.first + (self.last - self.first) // 2

    @property
    def window(self) -> int:
        """Days of its first half: what is known of a customer is counted over as many days at any time."""
        return int((self.middle - self.first) / DAY)

    def features(self, on: Any, window: int) -> tuple[npt.NDArray[np.int64], dict[str, Floats]]:
        """Customers with an order up to a day, and what was known of them on its evening.

        Orders, money and items are those of the last ``window`` days, and tenure ends there, so that customers of
        two days compare: counted since the beginning, everybody would grow with the log.

        Returns:
            Their codes, and ``FEATURES`` by name (breadth only where items are named), each of shape (n,).
        """
        past = self.day <= on
        code, day, money = self.code[past], self.day[past], self.money[past]
        starts = np.flatnonzero(np.diff(code, prepend=-1))
        ends = np.append(starts[1:], len(code)) - 1
        since = on - window * DAY
        inside = day >= since
        sums = [np.add.reduceat(v, starts) if len(starts) else np.zeros(0) for v in (inside * 1.0, inside * money)]
        out = {
            "recency": ((on - day[ends]) / DAY).astype(np.float64),
            "frequency": sums[0],
            "money": np.round(sums[1], 6),
            "tenure": np.minimum(((on - day[starts]) / DAY).astype(np.float64), float(window)),
        }
        codes = code[starts]
        if self.items is not None:
            who, when, item = self.items
            counted = (when <= on) & (when >= since)
            span = int(item.max(initial=0)) + 1
            pairs = np.unique(who[counted] * span + item[counted])
            out["breadth"] = np.bincount(pairs // span, minlength=len(self.customers))[codes].astype(np.float64)
        return codes, out

    def buying(self, on: Any) -> tuple[npt.NDArray[np.int64], Floats, Floats, Floats, Floats]:
        """What BG/NBD and gamma-gamma take: codes, repeat days x, weeks tx and T, mean value of a repeat day."""
        past = self.day <= on
        code, day, money = self.code[past], self.day[past], self.money[past]
        starts = np.flatnonzero(np.diff(code, prepend=-1))
        ends = np.append(starts[1:], len(code)) - 1
        x = (ends - starts).astype(np.float64)
        weeks = 7 * DAY
        tx, t = (day[ends] - day[starts]) / weeks, (on - day[starts]) / weeks
        later = np.add.reduceat(money, starts) - money[starts] if len(starts) else np.zeros(0)
        mean = np.divide(later, x, out=np.zeros(len(x)), where=x > 0)
        return code[starts], x, tx.astype(np.float64), t.astype(np.float64), mean

    def after(self, codes: npt.NDArray[np.int64], on: Any, until: Any = None) -> tuple[Floats, Floats]:
        """Money and order days of customers after a day, 0 where there are none. Shape (n,) each."""
        later = (self.day > on) & (self.day <= (self.last if until is None else until))
        money = np.bincount(self.code[later], weights=self.money[later], minlength=len(self.customers))
        days = np.bincount(self.code[later], minlength=len(self.customers)).astype(np.float64)
        return np.asarray(money[codes], dtype=np.float64), days[codes]


def open_log(table: Table, *, unit: str, time: str, value: str, now: datetime, item: str | None = None) -> OrderLog:
    """Clean a log and count it by customer and day.

    Args:
        table: One line an order or an item.
        unit: Customer column.
        time: Day or time of the order.
        value: Money column, or two with ``*`` between them (``Quantity*UnitPrice``).
        now: Orders after it are in the future.
        item: Column of items, for breadth; found by its name if not said.

    Raises:
        NotFound: ``data.no-column``.
        DataError: ``data.column-type`` where no time or no money is read; ``data.negative-values`` where most
            lines are below 0; ``data.future-dates`` where all are in the future; ``data.one-unit``;
            ``data.one-date``; ``data.too-few-rows`` where nothing is left.
    """
    for name in (unit, time, *([item] if item else [])):
        table.require(name)
    money = _money(table, value)
    when = table.moments(time)
    if np.isnat(when).all():
        raise DataError(
            "data.column-type",
            f"no time is read from `{time}`",
            where=f"{table.name}, column {time}",
            found=", ".join(repr(v) for v in table.text(time)[:3]),
            do="name a column with dates, such as 2024-01-31",
        )
    if np.isnan(money).all():
        raise DataError(
            "data.column-type",
            f"no number is read from `{value}`",
            where=f"{table.name}, column {value}",
            found=", ".join(repr(v) for v in table.text(value.split("*")[0].strip())[:3]),
            do="name a column with money, or two: --value Quantity*UnitPrice",
        )
    where = find_columns(table, taken=(unit, time, value))
    if item is not None:
        where = OrderColumns(where.order, item, where.quantity)
    problems = order_problems(table, unit=unit, time=time, money=money, value=value, now=now, where=where)
    keep = np.ones(table.rows, dtype=bool)
    for problem in problems:
        if problem.drop and problem.rows is not None:
            keep &= ~problem.rows
    _refuse(table, problems, keep, unit=unit, time=time, value=value)
    encoded = table.spelled(unit).filter(pa.array(keep)).dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(names.astype(str), kind="stable")  # the order of the lines must not matter
    codes = np.argsort(order)[codes]
    names = names[order]
    days = when[keep].astype("datetime64[D]")
    if len(names) < 2:
        raise DataError(
            "data.one-unit",
            f"all {int(keep.sum()):,} orders are of one customer, {names[0]!r}; segments need several",
            where=f"{table.name}, column {unit}",
            do="name the customer column: --unit COL",
        )
    if days.min() == days.max():
        raise DataError(
            "data.one-date",
            f"all {int(keep.sum()):,} orders are of one day, {days.min()}; nothing comes before or after it",
            where=f"{table.name}, column {time}",
            do="bring a log of several months, or customer rows without --time",
        )
    items = None
    if where.item is not None:
        labels = table.cells(where.item).codes[keep]
        items = (codes, days, labels.astype(np.int64) + 1)
    number = (days - days.min()).astype(np.int64)
    span = int(number.max()) + 1
    cells, back = np.unique(codes * span + number, return_inverse=True)
    return OrderLog(
        table=table,
        unit=unit,
        time=time,
        value=value,
        customers=names,
        code=cells // span,
        day=days.min() + (cells % span) * DAY,
        money=np.asarray(np.bincount(back.ravel(), weights=money[keep]), dtype=np.float64),
        lines=int(keep.sum()),
        items=items,
        problems=tuple(problems),
    )


def customer_table(table: Table, prepare: Prepare, *, now: datetime, training: bool = False) -> Table:
    """The table that a segment model takes, from an order log: one row a customer.

    Args:
        table: The log.
        prepare: Its columns, and the days that are counted.
        now: Later orders are in the future.
        training: True for the customers at half time, on whom ``segments`` draws and measures; False for all
            customers on the last day, who are to be assigned.
    """
    log = open_log(table, unit=prepare.unit, time=prepare.time, value=prepare.value, now=now)
    on = log.middle if training else log.last
    codes, features = log.features(on, prepare.horizon_days)
    arrow = pa.table({prepare.unit: pa.array(log.customers[codes].tolist(), pa.string()), **_columns(features)})
    return Table(
        name=f"customers of {table.name} on {on}",
        source=table.source,
        arrow=arrow,
        cautions=tuple((p.code, p.text) for p in log.problems),
        origin={"source": table.origin.get("source", table.source), "prepare": prepare.to_json()},
        caller=table.caller,
        files=table.files,
    )


def _columns(features: dict[str, Floats]) -> dict[str, pa.Array]:
    whole = ("recency", "frequency", "tenure", "breadth")
    return {n: pa.array(v.astype(np.int64) if n in whole else v) for n, v in features.items()}


def _money(table: Table, value: str) -> Floats:
    if value not in table.columns and "*" in value:
        one, _, two = value.partition("*")
        product: Floats = table.number(table.require(one.strip())) * table.number(table.require(two.strip()))
        return product
    return table.number(table.require(value))


def _refuse(table: Table, problems: list[OrderProblem], keep: Any, *, unit: str, time: str, value: str) -> None:
    share = {p.code: float(p.rows.mean()) for p in problems if p.rows is not None}
    if share.get("future-dates", 0.0) == 1.0 or (share.get("future-dates", 0.0) > 0.5 and not keep.any()):
        raise DataError(
            "data.future-dates",
            f"every {time} in {table.name} lies in the future",
            where=f"{table.name}, column {time}",
            found=f"{table.moments(time).min().astype('datetime64[D]')} to "
            f"{table.moments(time).max().astype('datetime64[D]')}",
            do="mend the year of the dates",
        )
    if share.get("negative-values", 0.0) > 0.5:
        raise DataError(
            "data.negative-values",
            f"{share['negative-values']:.0%} of the lines in {table.name} have a value below 0",
            where=f"{table.name}, column {value}",
            do="turn the sign, or name the column that holds what customers paid: --value COL",
        )
    if not keep.any():
        raise DataError(
            "data.too-few-rows",
            f"no line of {table.name} is left to count",
            where=table.name,
            found="; ".join(p.text for p in problems[:3]),
            do=f"check the columns: --unit {unit} --time {time} --value {value}",
        )
