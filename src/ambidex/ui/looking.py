"""One look at the workspace for one page: what may fail is read apart, so that a page always comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ambidex.errors import AmbidexError, UsageError, did_you_mean
from ambidex.ports import Place
from ambidex.records import Event, Judgement, ModelState, VersionRecord

__all__ = ["PAGE", "House", "Look", "Verbs", "moment", "paged", "when"]

PAGE = 50
"""Rows of a page, at most."""

T = TypeVar("T")


class House(Place, Protocol):
    """What pages need of a workspace beside a ``Place``."""

    @property
    def name(self) -> str:
        """What people call it."""

    @property
    def hidden(self) -> Path:
        """Where ambidex keeps what is its own."""

    @property
    def log_folder(self) -> Path:
        """The prediction log."""


class Verbs(Protocol):
    """The verbs that pages act through: the very functions of the command line."""

    def promote(self, ref: str, *, to: str, dry_run: bool = False, at: Any = None) -> Any:
        """Move a pointer, if the gates passed."""

    def rollback(self, name: str, *, to: int | str | None = None, dry_run: bool = False, at: Any = None) -> Any:
        """Back to the last version that passed."""

    def resume(self, name: str, *, at: Any = None) -> Any:
        """End a pause of retraining."""

    def monitor(self, name: str, *, at: Any = None) -> Any:
        """Acknowledge or mute an alert."""


@dataclass
class Look:
    """What a page is made from.

    Attributes:
        house: The workspace.
        query: What the address says after ``?``, the last of each name.
        now: The time, with a zone.
        may: Whether the reader may do an action.
        desk: What the dashboard keeps between pages.
        only: Models that the reader may see; empty: all.
        troubles: What could not be read: ``{"what", "code", "message", "do"}``.
    """

    house: House
    query: Mapping[str, str]
    now: datetime
    may: Callable[[str], bool]
    desk: Any
    only: tuple[str, ...] = ()
    troubles: list[dict[str, Any]] = field(default_factory=list)

    def attempt(self, what: str, read: Callable[[], T], default: T) -> T:
        """What ``read`` gives; where the workspace refuses, ``default``, and the page says what is missing."""
        try:
            return read()
        except AmbidexError as error:
            found = {"what": what, "code": error.code, "message": error.message, "do": error.do}
        except (OSError, ValueError, KeyError, TypeError) as error:  # a file of the workspace that is not as written
            found = {
                "what": what, "code": "internal.bug", "message": f"{what} cannot be read: {type(error).__name__}",
                "do": "ambidex doctor",
            }  # fmt: skip
        if not any(t["code"] == found["code"] and t["message"] == found["message"] for t in self.troubles):
            self.troubles.append(found)
        return default

    def events(self, *verbs: str, model: str | None = None, before: int | None = None, limit: int = 50) -> list[Event]:
        """The end of the log, newest first; nothing where the store does not answer."""
        what = "the log" if model is None else f"the log of {model}"
        return self.attempt(
            what, lambda: self.house.store.latest(model=model, verbs=verbs, before=before, limit=limit), list[Event]()
        )

    def versions(self, model: str, *, before: int | None = None, limit: int = PAGE) -> list[VersionRecord]:
        """A model's newest versions, newest first; nothing where the store does not answer."""
        return self.attempt(
            f"the versions of {model}",
            lambda: self.house.store.latest_versions(model, before=before, limit=limit),
            list[VersionRecord](),
        )

    def judged(self, model: str, number: int) -> Judgement | None:
        """A version's newest verdicts."""
        return self.attempt(f"the gates of {model}@{number}", lambda: self.house.store.judgement(model, number), None)

    def models(self) -> list[ModelState]:
        """All models; none where the store does not answer."""
        found = self.attempt("the list of models", self.house.store.models, list[ModelState]())
        return [s for s in found if not self.only or s.name in self.only]

    def chosen(self, states: list[ModelState], first: str | None = None) -> ModelState | None:
        """The model that the address names, else ``first``, else one that is live.

        Raises:
            UsageError: ``usage.value`` for a model that is not there.
        """
        if not states:
            return None
        named = self.query.get("model") or first
        by_name = {s.name: s for s in states}
        if named and named in by_name:
            return by_name[named]
        if named and "model" in self.query:
            near = did_you_mean(named[:80], by_name)
            raise UsageError(
                "usage.value", f"there is no model {named[:80]!r}{near}", found=", ".join(list(by_name)[:10]),
                do="choose a model of the list",
            )  # fmt: skip
        return next((s for s in states if s.live is not None), states[0])

    def whole(self, name: str, default: int, *, low: int = 1, high: int = 10**9) -> int:
        """A whole number of the address.

        Raises:
            UsageError: ``usage.value``.
        """
        text = self.query.get(name)
        if text is None or text == "":
            return default
        if not text.isascii() or not text.isdigit() or not low <= int(text[:12]) <= high:
            raise UsageError(
                "usage.value", f"{name}={text[:40]!r} is no number from {low} to {high}", do=f"{name}={default}"
            )
        return int(text)

    def choice(self, name: str, known: tuple[str, ...], default: str = "") -> str:
        """A word of the address.

        Raises:
            UsageError: ``usage.value`` with the words that are known.
        """
        text = self.query.get(name) or default
        if text and text not in known:
            raise UsageError(
                "usage.value", f"{name}={text[:40]!r} is not known{did_you_mean(text[:40], known)}",
                found=", ".join(known), do=f"{name}={known[0]}",
            )  # fmt: skip
        return text


def moment(text: Any) -> datetime | None:
    """A moment as the workspace writes it, or None."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def when(text: Any, now: datetime) -> str:
    """A moment in UTC as people say it: the time if it is today, else the day too.

    >>> when("2026-11-24T14:32:10Z", datetime(2026, 11, 24, 15, tzinfo=UTC))
    '14:32'
    >>> when("2026-11-22T14:32:10Z", datetime(2026, 11, 24, 15, tzinfo=UTC))
    '22 Nov 14:32'
    >>> when("2025-11-22T14:32:10Z", datetime(2026, 11, 24, 15, tzinfo=UTC)), when(None, datetime.now(UTC))
    ('22 Nov 2025', '–')
    """
    at = moment(text) if not isinstance(text, datetime) else text
    if at is None:
        return "–"
    at, now = at.astimezone(UTC), now.astimezone(UTC)
    if at.date() == now.date():
        return f"{at:%H:%M}"
    return f"{at.day} {at:%b %H:%M}" if at.year == now.year else f"{at.day} {at:%b %Y}"


def paged(count: int, page: int, size: int = PAGE) -> dict[str, int]:
    """Which rows a page holds: ``page``, ``pages``, ``first``, ``last``, ``count``."""
    pages = max(1, -(-count // size))
    page = min(page, pages)
    return {
        "page": page, "pages": pages, "first": min(count, (page - 1) * size + 1), "last": min(count, page * size),
        "count": count, "size": size,
    }  # fmt: skip
