"""What is wrong with an order log, line by line: named before anybody counts customers on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from ambidex.data.cells import Cells
from ambidex.data.fingerprint import row_hashes
from ambidex.data.table import Table

__all__ = ["OrderColumns", "OrderProblem", "find_columns", "order_problems"]

Mask = npt.NDArray[np.bool_]

ORDER = ("invoiceno", "invoice", "invoiceid", "orderid", "orderno", "ordernumber", "order", "transactionid", "basketid")
ITEM = ("stockcode", "sku", "itemid", "item", "productid", "productcode", "product", "articleid", "article")
QUANTITY = ("quantity", "qty", "units", "amountofitems")
"""Names, without case and signs, by which the further columns of a log are known."""

PUBLIC_LOGS = {
    "536365": ("UCI Online Retail", "2010-12-01T08:26"),
    "489434": ("UCI Online Retail II", "2009-12-01T07:45"),
}
"""First invoice of well-known logs, and the moment at which it was written: copies with moved dates go about."""

PLACEHOLDERS = np.array(["1900-01-01", "1970-01-01", "9999-12-31"], dtype="datetime64[D]")


@dataclass(frozen=True)
class OrderColumns:
    """Further columns of a log, where it has them."""

    order: str | None = None
    item: str | None = None
    quantity: str | None = None


@dataclass(frozen=True)
class OrderProblem:
    """One kind of trouble.

    Attributes:
        code: Stable code of the caution.
        text: The caution: column, count, an example, and what is done about it.
        rows: The lines concerned, shape (rows,); None where it concerns the log as a whole.
        drop: True if these lines are left out.
    """

    code: str
    text: str
    rows: Mask | None = None
    drop: bool = False


def find_columns(table: Table, *, taken: Sequence[str] = ()) -> OrderColumns:
    """The columns that hold order number, item and quantity, by their names.

    >>> import pyarrow as pa
    >>> from ambidex.data.read import read
    >>> find_columns(read(pa.table({"Invoice No": ["1"], "SKU": ["a"]})))
    OrderColumns(order='Invoice No', item='SKU', quantity=None)
    """
    plain = {re.sub("[^a-z]", "", name.lower()): name for name in reversed(table.columns) if name not in taken}

    def first(names: tuple[str, ...]) -> str | None:
        return next((plain[n] for n in names if n in plain), None)

    return OrderColumns(first(ORDER), first(ITEM), first(QUANTITY))


def order_problems(
    table: Table,
    *,
    unit: str,
    time: str,
    money: npt.NDArray[np.float64],
    value: str,
    now: datetime,
    where: OrderColumns,
) -> list[OrderProblem]:
    """Everything that must be said of a log before customers are counted on it, the most lines first.

    Args:
        table: The log, one line an order or an item.
        unit: Customer column.
        time: Column with day or time.
        money: Value of each line, NaN where there is none, shape (rows,).
        value: How the value is called.
        now: Later dates are future dates.
        where: Further columns; see ``find_columns``.
    """
    when = table.moments(time)
    found = [
        _no_customer(table, unit),
        _no_time(table, time, when),
        _placeholder(time, when),
        _future(time, when, now),
        _cancelled(table, where.order),
        _negative(table, where.quantity, money, value),
        _no_value(money, value),
        _not_products(table, where.item),
        _repeated(table, where.order),
        _free(money, value),
    ]
    lines = sorted((p for p in found if p is not None), key=lambda p: -int(p.rows.sum()) if p.rows is not None else 0)
    kept = np.ones(table.rows, dtype=bool)
    for problem in lines:
        if problem.drop and problem.rows is not None:
            kept &= ~problem.rows
    whole = [_shifted(table, where.order, when), _compact(table, time), _partial(when[kept])]
    return [*lines, *(p for p in whole if p is not None)]


def _no_customer(table: Table, unit: str) -> OrderProblem | None:
    lacks = table.cells(unit).spread(table.cells(unit).is_blank, True).astype(bool)
    return _lines("no-customer", lacks, f"lines have no {unit}: nobody can be followed there", drop=True)


def _no_time(table: Table, time: str, when: Any) -> OrderProblem | None:
    return _lines("no-time", np.isnat(when), f"lines have no readable {time}", drop=True)


def _placeholder(time: str, when: Any) -> OrderProblem | None:
    hit = np.isin(when.astype("datetime64[D]"), PLACEHOLDERS)
    return _lines("placeholder-dates", hit, f"lines carry a placeholder for {time} (1900-01-01 or the like)", drop=True)


def _future(time: str, when: Any, now: datetime) -> OrderProblem | None:
    late = when > np.datetime64(now.replace(tzinfo=None))
    last = f", the last {when[late].max().astype('datetime64[D]')}" if late.any() else ""
    return _lines("future-dates", late, f"lines have a {time} in the future{last}", drop=True)


def _cancelled(table: Table, order: str | None) -> OrderProblem | None:
    if order is None:
        return None
    cells = table.cells(order)
    levels = [str(v or "").strip() for v in cells.levels.to_pylist()]
    plain = sum(v.isdigit() for v in levels)
    hit = np.array([bool(re.fullmatch(r"[Cc]\d+", v)) for v in levels], dtype=bool)
    if plain < hit.sum():
        return None
    return _lines("cancellations", _spread(cells, hit), f"lines are cancellations ({order} begins with C)", drop=True)


def _negative(table: Table, quantity: str | None, money: Any, value: str) -> OrderProblem | None:
    below = money < 0
    named = value
    if quantity is not None:
        below = below | (table.number(quantity) < 0)
        named = f"{quantity} or {value}"
    return _lines("negative-values", below, f"lines have a {named} below 0 (returns, corrections)", drop=True)


def _no_value(money: Any, value: str) -> OrderProblem | None:
    return _lines("no-value", np.isnan(money), f"lines have no {value}", drop=True)


def _not_products(table: Table, item: str | None) -> OrderProblem | None:
    """Codes of postage, fees and corrections among article numbers."""
    if item is None:
        return None
    cells = table.cells(item)
    levels = [str(v or "").strip() for v in cells.levels.to_pylist()]
    digits = np.array([sum(c.isdigit() for c in v) >= 3 for v in levels], dtype=bool)
    numbered = _spread(cells, digits)
    if numbered.mean() < 0.9 or numbered.all():
        return None
    named = np.array([bool(v) for v in levels], dtype=bool)
    hit = _spread(cells, ~digits & named)
    texts = table.text(item)[hit]
    codes, counts = np.unique(texts.astype(str), return_counts=True)
    most = [f"{codes[i]} {counts[i]:,}" for i in np.argsort(-counts, kind="stable")[:4]]
    return _lines("non-product-codes", hit, f"lines are no products by their {item} ({', '.join(most)})", drop=True)


def _repeated(table: Table, order: str | None) -> OrderProblem | None:
    hashes = row_hashes(table)
    _, first = np.unique(hashes, return_index=True)
    again = np.ones(table.rows, dtype=bool)
    again[first] = False
    if order is not None:
        return _lines(
            "duplicate-lines", again, f"lines repeat another line of the same {order} in every cell", drop=True
        )
    text = "lines repeat another line in every cell; without an order number they may be true, and are kept"
    return _lines("duplicate-lines", again, text, drop=False)


def _free(money: Any, value: str) -> OrderProblem | None:
    return _lines(
        "zero-values", money == 0, f"lines have a {value} of 0; they count as orders without money", drop=False
    )


def _shifted(table: Table, order: str | None, when: Any) -> OrderProblem | None:
    """Dates of a well-known log that a copier moved by whole years."""
    if order is None:
        return None
    texts = table.text(order)
    for first, (name, moment) in PUBLIC_LOGS.items():
        hit = np.flatnonzero(texts == first)
        if not hit.size or np.isnat(when[hit[0]]):
            continue
        found, true = when[hit[0]].astype("datetime64[m]"), np.datetime64(moment, "m")
        years = int(str(found)[:4]) - int(moment[:4])
        if years and str(found)[4:] == str(true)[4:]:
            return OrderProblem(
                "shifted-dates",
                f"the dates were moved by {years:+d} years: {order} {first} of {name} is of {moment[:10]}, here of "
                f"{str(found)[:10]}. Distances between days hold, weekdays do not",
            )
    return None


def _compact(table: Table, time: str) -> OrderProblem | None:
    cells = table.cells(time)
    levels = [str(v or "").strip() for v in cells.levels.to_pylist()]
    if not levels or sum(bool(re.fullmatch(r"(19|20)\d{6}", v)) for v in levels) < 0.9 * len(levels):
        return None
    return OrderProblem("compact-dates", f"{time} is written as {levels[0]}, without separators; read as such")


def _partial(when: Any) -> OrderProblem | None:
    days = when[~np.isnat(when)].astype("datetime64[D]")
    if not days.size:
        return None
    last = days.max()
    end = (last.astype("datetime64[M]") + 1).astype("datetime64[D]") - 1
    if (end - last) / np.timedelta64(1, "D") < 3:
        return None
    return OrderProblem(
        "partial-month", f"the last month is not whole: the log ends on {last}; compare months without it"
    )


def _spread(cells: Cells, hit: Mask) -> Mask:
    return np.asarray(cells.spread(hit, False)).astype(bool)


def _lines(code: str, rows: Any, text: str, *, drop: bool) -> OrderProblem | None:
    count = int(rows.sum())
    if not count:
        return None
    what = f"{count:,} of {len(rows):,} {text}"
    if count == 1:
        what = what.replace(" lines are ", " lines is ", 1)
    return OrderProblem(code, what + ("; left out" if drop else ""), np.asarray(rows, dtype=bool), drop)
