"""What is sent to people: each alert once per incident, at least once per channel, from the log alone.

The outbox is a document of the store: the number of the last event that was looked at, and what is still to be sent. An
alert leaves it channel by channel, when that channel took it. A kill between the two sends it again under the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from ambidex.errors import AmbidexError
from ambidex.ports import Clock, Store
from ambidex.settings import Settings
from ambidex.watch.arms import stamp
from ambidex.watch.log import moment

__all__ = ["Send", "deliver", "waiting"]

NAME = "notices"
LEASE_S = 120.0
FIRST_S, LONGEST_S = 30.0, 3600.0
"""Wait before the second try; it doubles up to the longest."""
GIVE_UP_S = 3 * 86_400.0
OLDEST_S = 86_400.0
"""Alerts older than this when the outbox is first opened are history, not news."""
MOST = 20
"""Sendings of one call: a channel that hangs holds the watcher up for so many of its timeouts at most."""
KEPT = 1000

Send = Callable[[str, Mapping[str, Any]], None]
"""Sends a notice through a channel (``webhook``, ``email``, ``command``); raises if it was not taken."""


class Place(Protocol):
    """What the outbox needs of a workspace."""

    @property
    def store(self) -> Store: ...

    @property
    def settings(self) -> Settings: ...

    @property
    def clock(self) -> Clock: ...

    @property
    def name(self) -> str: ...


def deliver(place: Place, send: Send) -> dict[str, Any]:
    """Send what is due. Without a channel in ``[notify]`` nothing is sent and nothing is kept.

    Args:
        place: The workspace.
        send: Sends one notice through one channel.

    Returns:
        ``sent``, ``failed`` (tries of this call), ``waiting``, ``given_up``, ``why`` (of the last failure),
        ``next`` (when the next try is due).
    """
    done: dict[str, Any] = {"sent": 0, "failed": 0, "waiting": 0, "given_up": 0, "why": None, "next": None}
    channels = place.settings.notify.channels
    if not channels:
        return done
    token = place.store.lease(NAME, seconds=LEASE_S)
    if token is None:
        return done
    try:
        return _deliver(place, send, channels, done)
    finally:
        place.store.release(NAME, token)


def waiting(store: Store) -> list[dict[str, Any]]:
    """What is still to be sent."""
    return list((store.document(NAME) or {}).get("items", ()))


def _deliver(place: Place, send: Send, channels: tuple[str, ...], done: dict[str, Any]) -> dict[str, Any]:
    box = place.store.document(NAME)
    fresh = box is None
    box = box or {"seq": 0, "items": [], "given_up": 0}
    changed = _take_in(place, box, channels, fresh=fresh)
    if changed:
        place.store.put_document(NAME, box)
    tries = 0
    # A channel that did not take one will hardly take the next: it is asked once a call.
    broken: set[str] = set()
    for item in list(box["items"]):
        for channel in list(item["left"]):
            now = place.clock()
            if channel not in channels:
                item["left"].remove(channel)
                continue
            if tries >= MOST or channel in broken or item["next"].get(channel, "") > stamp(now):
                continue
            tries += 1
            why = _try(send, channel, item["notice"])
            if why is None:
                item["left"].remove(channel)
                done["sent"] += 1
            else:
                broken.add(channel)
                _failed(item, channel, why, now)
                done |= {"failed": done["failed"] + 1, "why": f"{channel}: {why}"}
            _keep(place, box)
    _keep(place, box)
    upcoming = sorted(when for item in box["items"] for c, when in item["next"].items() if c in item["left"])
    return done | {
        "waiting": len(box["items"]),
        "given_up": box["given_up"],
        "next": upcoming[0] if upcoming else None,
        "why": done["why"] or next((item["why"] for item in box["items"] if item.get("why")), None),
    }


def _take_in(place: Place, box: dict[str, Any], channels: tuple[str, ...], *, fresh: bool) -> bool:
    """Alerts that opened since the last look, as notices; an id that was taken in is never taken in again."""
    level = place.settings.notify.level
    oldest = stamp(place.clock() - timedelta(seconds=OLDEST_S))
    known = set(box.get("known", ()))
    events = place.store.events(after=box["seq"], verbs=("alert",))
    for event in events:
        box["seq"] = event.seq
        body = event.body
        identity = f"{event.model}/{body.get('id')}"
        if identity in known or body.get("closed") or (fresh and event.at < oldest):
            continue
        known.add(identity)
        box.setdefault("known", []).append(identity)
        if level == "page" and body.get("level") != "page":
            continue
        notice = {
            "id": identity, "workspace": place.name, "model": event.model, "version": event.version,
            "level": body.get("level"), "text": body.get("text"), "since": body.get("since"), "at": event.at,
            "next": f"ambidex investigate {event.model}" if event.model else "ambidex status",
        }  # fmt: skip
        box["items"].append({"notice": notice, "left": list(channels), "tries": {}, "next": {}, "why": None})
    box["known"] = box.get("known", [])[-KEPT:]
    return bool(events)


def _try(send: Send, channel: str, notice: Mapping[str, Any]) -> str | None:
    """Why a channel did not take a notice, or None. Whatever it raises, the watcher goes on."""
    try:
        send(channel, notice)
    except AmbidexError as error:
        return error.message
    except Exception as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


def _failed(item: dict[str, Any], channel: str, why: str, now: datetime) -> None:
    tries = item["tries"].get(channel, 0) + 1
    item["tries"][channel] = tries
    item["next"][channel] = stamp(now + timedelta(seconds=min(FIRST_S * 2 ** (tries - 1), LONGEST_S)))
    item["why"] = f"{channel}: {why}"
    began = moment(str(item["notice"]["at"]))
    if began is not None and (now - began).total_seconds() > GIVE_UP_S:
        item["left"].remove(channel)
        item["lost"] = True


def _keep(place: Place, box: dict[str, Any]) -> None:
    """Write the outbox down without what is done."""
    lost = sum(bool(item.get("lost")) and not item["left"] for item in box["items"])
    left = [item for item in box["items"] if item["left"]]
    after = {**box, "items": left, "given_up": box["given_up"] + lost}
    if place.store.document(NAME) != after:
        place.store.put_document(NAME, after)
    box |= {"items": left, "given_up": after["given_up"]}
