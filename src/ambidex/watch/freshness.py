"""How fresh: whether predictions still come, as many as ever, and how old the version's data is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from ambidex.stats.claim import Claim, decide
from ambidex.stats.estimate import exact
from ambidex.watch.log import moment
from ambidex.watch.words import span

__all__ = ["Stale", "freshness"]

FEWEST_DAYS = 14
"""Two weeks: before, nobody knows what is usual."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Stale:
    """A limit that was passed.

    Attributes:
        key: ``rule:silence``, ``rule:volume`` or ``rule:stale``.
        level: Infos all: what may be done about them can wait until morning.
        text: In words.
        since: When it began.
    """

    key: str
    level: Literal["page", "info"]
    text: str
    since: str


def freshness(
    state: Mapping[str, Any], *, made: str | None, stale_s: float | None, now: datetime, live: bool
) -> tuple[list[Stale], dict[str, Any]]:
    """Limits passed, and what is shown: ``data_age_s``, ``model_age_s``.

    Args:
        state: A version's.
        made: When the version was registered.
        stale_s: Declared age from which a version is stale; None: none was.
        now: Time of the pass.
        live: False for a version that nobody expects to be asked.
    """
    out: list[Stale] = []
    last, born = moment(state.get("last") or ""), moment(made or "")
    age = max(0.0, (now - last).total_seconds()) if last is not None else None
    model_age = max(0.0, (now - born).total_seconds()) if born is not None else None
    days = {d: n for d, n in state["came"].items() if n and moment(d) is not None}
    whole = sorted(d for d in days if d < now.date().isoformat())
    if live and len(whole) >= FEWEST_DAYS and age is not None:
        gaps = [_days_between(a, b) for a, b in itertools.pairwise(whole)]
        limit = 3 * max(gaps) * DAY_S
        if _above("silence", age, limit):
            usual = span(max(gaps) * DAY_S)
            text = f"no prediction for {span(age)}; days with predictions were never more than {usual} apart"
            out.append(Stale("rule:silence", "info", text, state["last"]))
        newest, before = whole[-1], [days[d] for d in whole[:-1]]
        least, most = min(before) / 2, 2 * max(before)
        n = days[newest]
        if newest >= (now.date() - timedelta(days=2)).isoformat() and (
            _above("rows", n, most) or _above("rows lacking", -n, -least)
        ):
            text = f"volume: {n:,} rows on {newest}; earlier days had {min(before):,} to {max(before):,}"
            out.append(Stale("rule:volume", "info", text, newest))
    if live and stale_s is not None and model_age is not None and _above("age", model_age, stale_s):
        text = f"stale: this version is {span(model_age)} old, declared limit {span(stale_s)}"
        since = (born + timedelta(seconds=stale_s)).isoformat() if born is not None else ""
        out.append(Stale("rule:stale", "info", text, since.replace("+00:00", "Z")))
    return out, {"data_age_s": age, "model_age_s": model_age}


def _days_between(a: str, b: str) -> int:
    return (datetime.fromisoformat(b) - datetime.fromisoformat(a)).days


def _above(name: str, value: float, limit: float) -> bool:
    claim = Claim(measure=name, relation="above", margin=limit)
    return decide(claim, exact(name, value, n=1)).outcome == "supported"
