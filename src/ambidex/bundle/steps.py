"""Feature steps: what is made of raw columns before trees see it. One function a step, for one row and for many.

``number``: the number. ``levels``: the place of a label, most frequent first. ``mean``: the training outcome's mean
at a label, drawn towards the overall one. ``date``: a part of a date. ``past``: what is known of a row's entity from
rows before its event time, never at or after it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

__all__ = ["DATE_PARTS", "PAST", "function_of", "seconds_of"]

DATE_PARTS = ("month", "weekday", "hour", "days")
PAST = ("count", "mean", "since")
NAN = math.nan


@lru_cache(maxsize=65_536)
def seconds_of(text: str) -> float:
    """Seconds since 1970 of a date as ISO 8601 writes it, in UTC where no zone is said; NaN for anything else.

    >>> seconds_of("1970-01-02"), seconds_of("soon")
    (86400.0, nan)
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        return NAN
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _number(step: Mapping[str, Any]) -> Callable[..., float]:
    del step

    def one(value: Any) -> float:
        return NAN if value is None else float(value)

    return one


def _levels(step: Mapping[str, Any]) -> Callable[..., float]:
    places = {label: float(i) for i, label in enumerate(step["levels"])}
    return lambda value: NAN if value is None else places.get(value, -1.0)


def _mean(step: Mapping[str, Any]) -> Callable[..., float]:
    means, other = dict(step["means"]), float(step["other"])
    return lambda value: other if value is None else means.get(value, other)


def _date(step: Mapping[str, Any]) -> Callable[..., float]:
    part = step["part"]

    def one(value: Any) -> float:
        at = NAN if value is None else seconds_of(str(value))
        if at != at:
            return NAN
        if part == "days":
            return at / 86400
        moment = datetime.fromtimestamp(at, UTC)
        return float(moment.weekday() if part == "weekday" else getattr(moment, part))

    return one


def _past(step: Mapping[str, Any]) -> Callable[..., float]:
    known = step["past"]
    what = step["what"]

    def one(entity: Any, when: Any) -> float:
        at = NAN if when is None else seconds_of(str(when))
        found = known.get(entity)
        if at != at or found is None:
            return 0.0 if what == "count" and at == at else NAN
        before = bisect_left(found["at"], at)  # strictly before: a row knows nothing of its own moment
        if what == "count":
            return float(before)
        if not before:
            return NAN
        return float(at - found["at"][before - 1] if what == "since" else found["sum"][before - 1] / before)

    return one


_KINDS: dict[str, Callable[[Mapping[str, Any]], Callable[..., float]]] = {
    "number": _number, "levels": _levels, "mean": _mean, "date": _date, "past": _past,
}  # fmt: skip


def function_of(step: Mapping[str, Any]) -> tuple[Sequence[str], Callable[..., float]]:
    """The columns that a step reads, and the function of their cells.

    >>> names, one = function_of({"kind": "date", "columns": ["day"], "part": "month"})
    >>> one("2026-11-24")
    11.0
    """
    return tuple(step["columns"]), _KINDS[step["kind"]](step)
