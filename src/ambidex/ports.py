"""What can be replaced: Store, Blobs, Scorer, Clock. As narrow as we can bear."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from ambidex.records import Event, Judgement, ModelState, Schema, VersionRecord
from ambidex.settings import Settings

__all__ = ["Blobs", "Clock", "Compiled", "Fence", "Place", "Score", "Scorer", "StepHook", "Store"]

Clock = Callable[[], datetime]
Fence = tuple[str, int]
"""A lease's name and the token that was given out: who acts on an older token than the newest is refused."""
Score = float | tuple[float, ...]
"""What a model says of a row: P(classes[1]), a value, or for ``multiclass`` a probability per class in their order."""
StepHook = Callable[[str], None]
"""Called with a step's name before and after every write; tests kill the process there."""


class Blobs(Protocol):
    """Content-addressed bytes. What ``put`` returned survives power loss; nothing is ever changed."""

    shared: bool
    """Whether other workspaces may keep their bytes in the same place, so that nothing of it may be removed."""

    def put(self, data: bytes) -> str:
        """Store bytes, return their sha256. Idempotent."""

    def get(self, sha256: str) -> bytes:
        """The bytes, verified. Raises NotFound-like DataError or Refused ``check.altered``."""

    def has(self, sha256: str) -> bool:
        """Whether the bytes are there (not whether they are sound)."""

    def __iter__(self) -> Iterator[str]:
        """Every hash that is stored."""

    def remove(self, sha256: str) -> int:
        """Remove a blob for good; returns its bytes, 0 if it was not there. Only a collection does this."""


class Store(Protocol):
    """Metadata: one append-only event table with a hash chain, and its fold, in one transaction."""

    def append(
        self,
        *,
        verb: str,
        model: str = "",
        version: int | None = None,
        body: Mapping[str, Any] | None = None,
        by: str | None = None,
    ) -> Event:
        """Append one event and fold it."""

    def register(
        self,
        *,
        model: str,
        digest: str,
        data: str,
        code: str,
        key: str,
        summary: Mapping[str, Any],
        fence: Fence | None = None,
        complete: Callable[[], None] | None = None,
    ) -> VersionRecord:
        """The next version of a model; the same ``key`` and digest gives the version that is there already.

        Raises:
            Refused: ``check.fenced`` if ``fence`` is no longer the newest token of its lease; nothing is registered.
        """

    def delete(self, *, model: str, version: int, because: str) -> Event:
        """Take a version out of use; its record and events stay. Raises Refused ``check.in-use``, NotFound."""

    def still(self) -> AbstractContextManager[None]:
        """Nothing is written while this is open: what no version needs now, none needs until it ends."""

    def record_judgement(self, judgement: Judgement) -> Event:
        """Keep a version's gate verdicts."""

    def record_answer(self, body: Mapping[str, Any]) -> int:
        """Keep an answer; returns its number (`answer/12` is 12). The same record twice gives the same number."""

    def move(
        self,
        *,
        model: str,
        to: str,
        version: int | None,
        expected_revision: int,
        verb: str,
        judgement: Judgement | None,
        max_age_s: float,
        because: str,
        pause: str | None = None,
        fence: Fence | None = None,
    ) -> Event:
        """Move a pointer if, in the same transaction, the revision is the expected one and the gates are fresh.

        Raises:
            Refused: ``check.moved`` if the state is no longer what was judged, ``check.fenced`` if somebody else
                holds the lease by now; nothing has changed then.
        """

    def model(self, name: str) -> ModelState:
        """The state of a model. Raises NotFound ``data.no-model`` with the nearest name."""

    def models(self) -> list[ModelState]:
        """All models, by name."""

    def version(self, model: str, number: int) -> VersionRecord:
        """Raises NotFound ``data.no-version``."""

    def versions(self, model: str) -> list[VersionRecord]:
        """All versions of a model, oldest first."""

    def judgement(self, model: str, version: int) -> Judgement | None:
        """The newest judgement of a version."""

    def answer(self, number: int) -> dict[str, Any]:
        """Raises NotFound ``data.no-answer``."""

    def answers(self) -> list[tuple[int, dict[str, Any]]]:
        """All answers, oldest first."""

    def events(self, *, model: str | None = None, after: int = 0, verbs: Sequence[str] = ()) -> list[Event]:
        """The log, in order."""

    def latest(
        self, *, model: str | None = None, verbs: Sequence[str] = (), before: int | None = None, limit: int = 50
    ) -> list[Event]:
        """The end of the log, newest first: what a page shows of a log of any length."""

    def latest_versions(self, model: str, *, before: int | None = None, limit: int = 50) -> list[VersionRecord]:
        """A model's newest versions, newest first. Raises NotFound ``data.no-model``."""

    def document(self, name: str) -> dict[str, Any] | None:
        """A named document of a watcher's state, or None."""

    def put_document(self, name: str, value: Mapping[str, Any], *, events: Sequence[Mapping[str, Any]] = ()) -> None:
        """Replace a document and append events in the same transaction."""

    def lease(self, name: str, *, seconds: float) -> int | None:
        """Take a lease; returns its fencing token, or None while somebody else holds it."""

    def release(self, name: str, token: int) -> None:
        """Give a lease back, if the token is still the newest."""

    def check(self) -> list[dict[str, Any]]:
        """Verify the hash chain and that the tables are its fold: [{name, passed, what}]."""


class Scorer(Protocol):
    """A model that has been opened: rows in, numbers out. Pure, thread-safe, deterministic."""

    schema: Schema

    def score(self, row: Mapping[str, Any]) -> Any:
        """One decoded row (float, int, str or None by column name). Binary: P(classes[1]); multiclass: a tuple of
        probabilities in the order of ``schema.classes``; else the value."""

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> Any:
        """Many rows, column by column (numpy arrays: float64 with NaN, or object with None). Shape (rows,), or
        (rows, classes) for multiclass.

        Bit-equal to ``score`` row by row.
        """


class Compiled(Scorer, Protocol):
    """A scorer for the hot path: no dict and no array a row."""

    def score_record(self, record: Any) -> Score:
        """One row whose attributes ``c0``, ``c1``, … are the schema's columns in their order."""

    def score_records(self, records: Sequence[Any]) -> Sequence[Score]:
        """Many; each comes out as ``score_record`` gives it."""


class Place(Protocol):
    """Where delivery happens: a folder with its settings and its edges (`workspace.Workspace` is one)."""

    @property
    def folder(self) -> Path:
        """The workspace's folder."""

    @property
    def settings(self) -> Settings:
        """ambidex.toml, as read when the workspace was opened."""

    @property
    def store(self) -> Store:
        """Events and their fold."""

    @property
    def blobs(self) -> Blobs:
        """Sealed bytes."""

    @property
    def clock(self) -> Clock:
        """The time."""

    def alone(self, what: str) -> AbstractContextManager[None]:
        """Of all processes of this machine only this one, while files that people see change by several steps."""
