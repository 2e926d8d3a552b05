"""The loop: monitor, roll-out and retraining of every model, one line a model and turn.

Each part of each model stands alone: what fails is told once, tried again later and later, and stops nothing else. What
the loop knows of failures lies in the store, so that it may be killed at any time, and two loops at once agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from ambidex.errors import AmbidexError
from ambidex.ports import Clock, Store
from ambidex.watch.arms import stamp
from ambidex.watch.log import moment

__all__ = ["Line", "Part", "Said", "Turn", "troubles", "turn"]

FIRST_S, LONGEST_S = 60.0, 3600.0
"""Wait before a part that failed is tried again; it doubles up to the longest."""
ORDER = {"■": 0, "▲": 1, "✓": 2, " ": 3}

Said = tuple[str, str]
"""A mark and a text; an empty text says nothing."""
Part = Callable[[str], Said]
"""One part of the loop for one model: does its idempotent step, says what came of it."""


class Place(Protocol):
    """What the loop needs of a workspace."""

    @property
    def store(self) -> Store: ...

    @property
    def clock(self) -> Clock: ...


@dataclass(frozen=True, slots=True)
class Line:
    """What a turn says of one model.

    Attributes:
        at: When.
        model: Which.
        mark: The worst of its parts: ``■``, ``▲`` or ``✓``.
        text: What its parts said.
        failed: Parts that failed in this turn, with their reason.
    """

    at: datetime
    model: str
    mark: str
    text: str
    failed: Mapping[str, str] = field(default_factory=dict)

    def shown(self, width: int = 0) -> str:
        """`14:00 churn  ✓ quiet`."""
        return f"{self.at:%H:%M} {self.model:<{width}} {self.mark} {self.text}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "at": stamp(self.at),
            "model": self.model,
            "mark": self.mark,
            "text": self.text,
            "failed": dict(self.failed),
        }


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn over all models."""

    lines: tuple[Line, ...]

    @property
    def failed(self) -> int:
        """Parts that failed."""
        return sum(len(line.failed) for line in self.lines)


def turn(
    place: Place,
    names: Sequence[str],
    parts: Mapping[str, Part],
    *,
    say: Callable[[Line], None] = lambda _: None,
    again: bool = False,
    stop: Callable[[], bool] = lambda: False,
) -> Turn:
    """One step of every part of every model.

    Args:
        place: The workspace.
        names: Models.
        parts: By name (``monitor``, ``rollout``, ``retrain``), in the order in which they are done.
        say: Told each line as it is there.
        again: Try what failed before at once, whenever its next try is due.
        stop: Asked between models.
    """
    lines = []
    for name in names:
        if stop():
            break
        line = _model(place, name, parts, again=again)
        lines.append(line)
        say(line)
    return Turn(tuple(lines))


def _model(place: Place, model: str, parts: Mapping[str, Part], *, again: bool) -> Line:
    said: list[Said] = []
    failed: dict[str, str] = {}
    for part, act in parts.items():
        trouble = _trouble(place, model, part)
        now = place.clock()
        if trouble is not None and not again and trouble["next"] > stamp(now):
            said.append(("▲", _waits(part, trouble)))
            continue
        try:
            one = act(model)
        except Exception as error:  # a model may fail in any way; only its own part waits
            why = error.message if isinstance(error, AmbidexError) else f"{type(error).__name__}: {str(error)[:200]}"
            code = error.code if isinstance(error, AmbidexError) else "internal.bug"
            failed[part] = why
            said.append(("▲", _waits(part, _fails(place, model, part, code, why, trouble))))
            continue
        if trouble is not None:
            _works_again(place, model, part, trouble)
        if one[1]:
            said.append(one)
    mark = min((m for m, _ in said), key=lambda m: ORDER.get(m, 3), default="✓")
    return Line(
        place.clock(), model, mark if mark != " " else "✓", "; ".join(t for _, t in said) or "nothing new", failed
    )


def troubles(place: Place, models: Sequence[str]) -> list[dict[str, Any]]:
    """Parts that fail now: ``model``, ``part``, ``id``, ``code``, ``text``, ``since``, ``next``, ``times``."""
    out = []
    for model in models:
        kept = (place.store.document(f"watch-loop/{model}") or {}).get("parts", {})
        out += [{"model": model, "part": part, **one} for part, one in kept.items()]
    return out


def _trouble(place: Place, model: str, part: str) -> dict[str, Any] | None:
    kept = (place.store.document(f"watch-loop/{model}") or {}).get("parts", {})
    found: dict[str, Any] | None = kept.get(part)
    return found


def _fails(
    place: Place, model: str, part: str, code: str, why: str, before: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Note a failure; its first one, and every one of another kind, opens an alert."""
    now = place.clock()
    same = before is not None and before["code"] == code
    times = int(before["times"]) + 1 if before is not None else 1
    since = str(before["since"]) if before is not None and same else stamp(now)
    wait = min(FIRST_S * 2 ** min(times - 1, 10), LONGEST_S)
    one = {
        "id": f"w-{part}-{since[:19]}", "code": code, "text": why, "since": since, "times": times,
        "next": stamp(now + timedelta(seconds=wait)),
    }  # fmt: skip
    events = []
    if not same:
        body = {"id": one["id"], "level": "page", "text": f"{part} fails: {why}", "since": since}
        events.append({"verb": "alert", "model": model, "body": body})
    _put(place, model, part, one, events)
    return one


def _works_again(place: Place, model: str, part: str, trouble: Mapping[str, Any]) -> None:
    now = stamp(place.clock())
    body = {
        "id": trouble["id"],
        "level": "page",
        "text": f"{part} works again",
        "since": trouble["since"],
        "closed": now,
    }
    _put(place, model, part, None, [{"verb": "alert", "model": model, "body": body}])


def _put(place: Place, model: str, part: str, one: dict[str, Any] | None, events: Sequence[Mapping[str, Any]]) -> None:
    kept = dict((place.store.document(f"watch-loop/{model}") or {}).get("parts", {}))
    if one is None:
        kept.pop(part, None)
    else:
        kept[part] = one
    place.store.put_document(f"watch-loop/{model}", {"parts": kept}, events=events)


def _waits(part: str, trouble: Mapping[str, Any]) -> str:
    when = moment(str(trouble["next"]))
    at = f"{when:%H:%M}" if when is not None else "?"
    name = "" if part == "retrain" else f"{part}: "
    return f"{name}{trouble['text']}: alerted, next try {at}"


def pause(
    seconds: float, *, clock: Callable[[], float] = time.monotonic, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Wait; a clock that is set meanwhile changes nothing."""
    end = clock() + seconds
    while (left := end - clock()) > 0:
        sleep(min(left, 1.0))
