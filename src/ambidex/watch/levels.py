"""Service levels from the workers' minutes: availability, p99, and how fast their budgets burn."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ambidex.data.run_folder import BOUNDS, read_minutes
from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import exact

__all__ = ["BURNS", "Level", "levels_of", "service_levels", "spent"]

HOUR, MINUTE = 3600.0, 60.0
BURNS: tuple[tuple[float, float, float, Literal["page", "info"]], ...] = (
    (14.4, HOUR, 5 * MINUTE, "page"),
    (6.0, 6 * HOUR, 30 * MINUTE, "page"),
    (1.0, 72 * HOUR, 6 * HOUR, "info"),
)
"""Burn above, over both of two windows, and what it asks for. 1× spends exactly the budget."""
FEWEST_BAD = 10
SLOW_SHARE = 0.01
"""A p99 allows one request in a hundred above its limit."""
PERIOD_S = 30 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One service level of a model.

    Attributes:
        name: ``availability`` or ``p99``.
        requests: In the longest window.
        bad: Of them: failed or turned away; slower than the limit.
        allowed: Share that may be bad.
        value: Share that was not bad; the p99 in seconds, None without requests.
        limit: Declared: a share, or seconds.
        burns: {window in seconds: burn}.
        alert: ``page`` or ``info`` where both of a pair of windows burn faster than they may, else None.
        text: In words.
    """

    name: str
    requests: int
    bad: int
    allowed: float
    value: float | None
    limit: float
    burns: dict[float, float]
    alert: Literal["page", "info"] | None
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "name": self.name, "requests": self.requests, "bad": self.bad, "value": self.value, "limit": self.limit,
            "burns": {f"{w:.0f}": b for w, b in self.burns.items()}, "alert": self.alert, "text": self.text,
        }  # fmt: skip


def service_levels(
    folder: Path, model: str, *, now: float, availability: float = 0.999, p99_s: float | None = None
) -> list[Level]:
    """A model's service levels at a time; none where no server ever told anything of it.

    Args:
        folder: The workspace's ``.ambidex/run``.
        model: Its name.
        now: Seconds since 1970.
        availability: Share of requests that must be answered.
        p99_s: Seconds within which 99 of 100 requests must be answered; None: none was declared.
    """
    if not folder.is_dir():
        return []
    longest = max(w for _, w, _, _ in BURNS)
    minutes = [m for m in read_minutes(folder, now - longest, now) if m["model"] == model]
    return levels_of(minutes, now=now, availability=availability, p99_s=p99_s)


def levels_of(
    minutes: Iterable[Mapping[str, Any]], *, now: float, availability: float = 0.999, p99_s: float | None = None
) -> list[Level]:
    """The same from records of minutes (``data.run_folder.read_minutes``)."""
    records = [m for m in minutes if m["minute"] <= now]
    if not records:
        return []
    failed = [(m["minute"], m["requests"] + m["shed"], m["failed"] + m["shed"]) for m in records]
    levels = [_level("availability", failed, 1 - availability, availability, now)]
    if p99_s is not None:
        slow = [(m["minute"], m["requests"], _slower(m, p99_s)) for m in records]
        levels.append(_level("p99", slow, SLOW_SHARE, p99_s, now, value=_p99(records)))
    return levels


def _level(
    name: str, seen: list[tuple[float, int, int]], allowed: float, limit: float, now: float,
    *, value: float | None = None,
) -> Level:  # fmt: skip
    def within(window: float) -> tuple[int, int]:
        part = [(n, bad) for at, n, bad in seen if at > now - window]
        return sum(n for n, _ in part), sum(bad for _, bad in part)

    burns: dict[float, float] = {}
    alert: Literal["page", "info"] | None = None
    worst = ""
    for most, long, short, kind in BURNS:
        fast = True
        for window in (long, short):
            n, bad = within(window)
            burns[window] = bad / n / allowed if n else 0.0
            fast &= _above(f"{name} burn", burns[window], most, n) and (window == short or bad >= FEWEST_BAD)
        if fast and alert is None:
            alert = kind
            worst = (
                f"burns {burns[long]:.1f}× over {_span(long)}, {burns[short]:.1f}× over {_span(short)}; limit {most:g}×"
            )
    n, bad = within(max(w for _, w, _, _ in BURNS))
    if name == "availability":
        value = 1 - bad / n if n else None
        shown = f"availability {100 * (value or 0):.2f}%, limit {100 * limit:g}%" if n else "no request"
    else:
        shown = f"p99 {_ms(value)}, limit {_ms(limit)}"
    text = f"{shown}; {bad:,} of {n:,} requests bad" + (f"; {worst}" if worst else "")
    return Level(
        name=name, requests=n, bad=bad, allowed=allowed, value=value, limit=limit, burns=burns, alert=alert, text=text
    )


def _above(name: str, burn: float, most: float, n: int) -> bool:
    return decide(Claim(measure=name, relation="above", margin=most), exact(name, burn, n=n)).outcome == "supported"


def _slower(record: Mapping[str, Any], limit: float) -> int:
    """Requests in buckets that lie wholly above the limit; a limit inside a bucket counts that one as within."""
    counts = record["total"][1:]
    return int(sum(c for k, c in enumerate(counts) if k and BOUNDS[min(k, len(BOUNDS)) - 1] >= limit))


def _p99(records: list[Mapping[str, Any]]) -> float | None:
    """Upper bound of the bucket that holds the hundredth slowest request of a hundred."""
    sums = [0] * (len(BOUNDS) + 1)
    for record in records:
        for k, c in enumerate(record["total"][1:]):
            sums[k] += c
    total = sum(sums)
    if not total:
        return None
    seen = 0
    for k, c in enumerate(sums):
        seen += c
        if seen >= 0.99 * total:
            return float(BOUNDS[min(k, len(BOUNDS) - 1)])
    return float(BOUNDS[-1])


def spent(folder: Path, model: str, *, now: float, availability: float = 0.999) -> bool:
    """True if the error budget of the last 30 days is used up, as far back as the minutes are kept."""
    if not folder.is_dir():
        return False
    minutes = [m for m in read_minutes(folder, now - PERIOD_S, now) if m["model"] == model]
    n = sum(m["requests"] + m["shed"] for m in minutes)
    bad = sum(m["failed"] + m["shed"] for m in minutes)
    if not n:
        return False
    return bad >= FEWEST_BAD and _above("error budget used", bad / n / (1 - availability), 1.0, n)


def _span(seconds: float) -> str:
    return f"{seconds / HOUR:g} h" if seconds >= HOUR else f"{seconds / MINUTE:g} min"


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else f"{1000 * seconds:.4g} ms"
