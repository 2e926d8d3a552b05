"""From an order log to one row a customer, as things stood on a day, with what came after as the outcome."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa

from ambidex.data.read import read
from ambidex.data.table import Table
from ambidex.errors import DataError, UsageError
from ambidex.records import Prepare

__all__ = ["FEATURES", "customers_at"]

FEATURES = (
    "recency_days",
    "tenure_days",
    "orders",
    "total_value",
    "mean_value",
    "largest_value",
    "last_value",
    "days_between_orders",
)
DAY = np.timedelta64(1, "D")


def customers_at(
    orders: Any,
    *,
    unit: str,
    time: str,
    value: str,
    cut: date | str | None = None,
    horizon_days: int = 182,
    target: str = "quiet",
) -> Table:
    """Who are the customers on a day, and who of them then stayed away?

    One row for each customer with an order on or before the cut. Everything but the target is known
    on the evening of the cut; the target looks at the next ``horizon_days`` days only. Each row of the
    log counts as one order; rows without customer, time or value are left out and counted in a caution.

    Args:
        orders: The order log: anything that ``read`` takes.
        unit: Customer column.
        time: Column with the day or time of the order.
        value: Column with the money of the order.
        cut: Day, as a date or ``2024-06-30``. None: the log's last day minus ``horizon_days``, so that
            every label is mature.
        horizon_days: Days after the cut in which an order means that the customer is not quiet.
        target: Name of the outcome column: ``yes`` = no order within the horizon, ``no`` = at least one.

    Returns:
        Columns: the customer; ``recency_days`` and ``tenure_days`` (days from the last and first order to
        the cut); ``orders``; ``total_value``, ``mean_value``, ``largest_value``, ``last_value`` (in the
        log's money); ``days_between_orders`` (null for customers with one order); the target, null
        throughout where the log ends before the horizon does, since the labels are not mature then.

    Raises:
        NotFound: ``data.no-column``.
        UsageError: ``usage.value`` for a cut that is no date or a horizon below one day.
        DataError: ``data.column-type`` if no time is read; ``data.too-few-rows`` if nobody had ordered by
            the cut.

    Example:
        >>> log = pa.table({"who": ["a", "a", "b"], "day": ["2024-01-01", "2024-03-01", "2024-01-05"],
        ...                 "paid": [5.0, 7.0, 1.0]})
        >>> quiet = customers_at(log, unit="who", time="day", value="paid", cut="2024-01-31", horizon_days=30)
        >>> quiet.text("quiet").tolist(), quiet.number("recency_days").tolist()
        (['no', 'yes'], [30.0, 26.0])
    """
    log = read(orders, argument="orders")
    if isinstance(horizon_days, bool) or not isinstance(horizon_days, int) or horizon_days < 1:
        raise UsageError(
            "usage.value", f"horizon_days is {horizon_days!r}; it takes whole days from 1 on", do="horizon_days=182"
        )
    for name in (unit, time, value):
        log.require(name)
    who, when, money = log.spelled(unit), log.moments(time), log.number(value)
    encoded = who.dictionary_encode()
    codes = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    dated = ~np.isnat(when)
    if not dated.any():
        raise DataError(
            "data.column-type",
            f"no time is read from `{time}`",
            where=f"{log.name}, column {time}",
            found=", ".join(repr(v) for v in log.text(time)[:3]),
            do="name a column with dates, such as 2024-01-31",
        )
    usable = dated & (codes >= 0) & ~np.isnan(money)
    cautions = list(log.cautions)
    if not usable.all():
        cautions.append(("data.null", _left_out(usable, codes, dated, money, (unit, time, value))))
    day = when.astype("datetime64[D]")
    last = day[dated].max()
    on = _day(cut) if cut is not None else last - horizon_days * DAY
    past = usable & (day <= on)
    if not past.any():
        raise DataError(
            "data.too-few-rows",
            f"nobody had ordered by {on}",
            where=log.name,
            found=f"orders from {day[dated].min()} to {last}",
            do=f"choose a cut between these days, or a horizon shorter than {horizon_days} days",
        )
    after = usable & (day > on) & (day <= on + horizon_days * DAY)
    columns = _features(codes[past], when[past], day[past], money[past], on)
    customers = columns.pop("customer")
    came_back = np.isin(customers, codes[after])
    outcome: list[str | None] = ["no" if c else "yes" for c in came_back.tolist()]
    if on + horizon_days * DAY > last:
        outcome = [None] * len(customers)
        cautions.append(
            (
                "data.target-missing",
                f"the log ends on {last}, {horizon_days} days after {on} are not over: `{target}` is not known yet",
            )
        )
    arrow = pa.table(
        {
            unit: encoded.dictionary.take(pa.array(customers)),
            **{name: _column(v) for name, v in columns.items()},
            target: pa.array(outcome, pa.string()),
        }
    )
    prepare = Prepare(kind="orders", unit=unit, time=time, value=value, horizon_days=horizon_days)
    return Table(
        name=f"customers of {log.name} on {on}",
        source=log.source,
        arrow=arrow,
        cautions=tuple(cautions),
        origin={"source": log.origin.get("source", log.source), "prepare": prepare.to_json(), "cut": str(on)},
        caller=log.caller,
        files=log.files,
    )


def _features(codes: Any, when: Any, day: Any, money: Any, on: np.datetime64) -> dict[str, Any]:
    order = np.lexsort((when, codes))
    codes, day, money = codes[order], day[order], money[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    ends = np.append(starts[1:], len(codes)) - 1
    orders = ends - starts + 1
    first, last = day[starts], day[ends]
    total = np.add.reduceat(money, starts)
    span = ((last - first) / DAY).astype(float)
    return {
        "customer": codes[starts],
        "recency_days": ((on - last) / DAY).astype(np.int64),
        "tenure_days": ((on - first) / DAY).astype(np.int64),
        "orders": orders.astype(np.int64),
        "total_value": total,
        "mean_value": total / orders,
        "largest_value": np.maximum.reduceat(money, starts),
        "last_value": money[ends],
        "days_between_orders": np.where(orders > 1, span / np.maximum(orders - 1, 1), np.nan),
    }


def _column(values: Any) -> pa.Array:
    return pa.array(np.round(values, 6), from_pandas=True) if values.dtype.kind == "f" else pa.array(values)


def _day(cut: date | str) -> np.datetime64:
    try:
        return np.datetime64(cut if isinstance(cut, str) else cut.isoformat()[:10], "D")
    except (ValueError, AttributeError) as e:
        raise UsageError(
            "usage.value", f"cut is {cut!r}, which is no day", found=str(cut), do="give a day such as 2024-06-30"
        ) from e


def _left_out(usable: Any, codes: Any, dated: Any, money: Any, names: tuple[str, str, str]) -> str:
    parts = [
        f"{int(lacks.sum()):,} without `{name}`"
        for name, lacks in zip(names, (codes < 0, ~dated, np.isnan(money)), strict=True)
        if lacks.any()
    ]
    return f"{int((~usable).sum()):,} of {len(usable):,} orders are left out: {', '.join(parts)}"
