"""What the store reads: models, versions, verdicts, answers, documents and the log."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from ambidex.edges import sql_tables as t
from ambidex.edges.sql_check import check
from ambidex.edges.sql_open import Database
from ambidex.errors import NotFound, did_you_mean
from ambidex.records import NAME, Event, Judgement, ModelState, VersionRecord

__all__ = ["SqlReader", "event_of", "judgement_in", "known_model", "model_in", "version_in"]


class SqlReader:
    """The reading half of ``SqlStore``."""

    _database: Database

    def model(self, name: str) -> ModelState:
        """The state of a model. Raises NotFound ``data.no-model`` with the nearest name."""
        with self._database.reading() as connection:
            return known_model(connection, name)

    def models(self) -> list[ModelState]:
        """All models, by name."""
        with self._database.reading() as connection:
            found = connection.execute(select(t.models.c.state).order_by(t.models.c.name)).scalars()
            return [ModelState.from_json(json.loads(text)) for text in found]

    def version(self, model: str, number: int) -> VersionRecord:
        """One version. Raises NotFound ``data.no-model`` or ``data.no-version``."""
        with self._database.reading() as connection:
            return version_in(connection, model, number)

    def versions(self, model: str) -> list[VersionRecord]:
        """All versions of a model but the deleted, oldest first. Raises NotFound ``data.no-model``."""
        with self._database.reading() as connection:
            deleted = known_model(connection, model).deleted
            query = select(t.versions.c.record).where(t.versions.c.model == model).order_by(t.versions.c.number)
            if deleted:
                query = query.where(t.versions.c.number.not_in(deleted))
            return [VersionRecord.from_json(json.loads(text)) for text in connection.execute(query).scalars()]

    def judgement(self, model: str, version: int) -> Judgement | None:
        """The newest judgement of a version, or None."""
        with self._database.reading() as connection:
            return judgement_in(connection, model, version)

    def answer(self, number: int) -> dict[str, Any]:
        """An answer as it was kept. Raises NotFound ``data.no-answer``."""
        with self._database.reading() as connection:
            count = connection.execute(select(func.count()).select_from(t.answers)).scalar() or 0
            text = None
            if 0 < number <= count:
                query = select(t.answers.c.body).where(t.answers.c.number == number)
                text = connection.execute(query).scalar()
            if text is None:
                raise NotFound(
                    "data.no-answer",
                    f"there is no answer/{number}",
                    found=f"answer/1 to answer/{count}" if count else "no answers yet",
                    do="ambidex status",
                )
            return _object(text)

    def answers(self) -> list[tuple[int, dict[str, Any]]]:
        """All answers with their numbers, oldest first."""
        with self._database.reading() as connection:
            query = select(t.answers.c.number, t.answers.c.body).order_by(t.answers.c.number)
            return [(int(row.number), _object(row.body)) for row in connection.execute(query)]

    def events(self, *, model: str | None = None, after: int = 0, verbs: Sequence[str] = ()) -> list[Event]:
        """The log in order.

        Args:
            model: Only this model's.
            after: Only events with a larger number.
            verbs: Only these.
        """
        query = select(t.events).where(t.events.c.seq > after).order_by(t.events.c.seq)
        if model is not None:
            query = query.where(t.events.c.model == model)
        if verbs:
            query = query.where(t.events.c.verb.in_(list(verbs)))
        with self._database.reading() as connection:
            return [event_of(row) for row in connection.execute(query)]

    def latest(
        self, *, model: str | None = None, verbs: Sequence[str] = (), before: int | None = None, limit: int = 50
    ) -> list[Event]:
        """The end of the log, newest first.

        Args:
            model: Only this model's.
            verbs: Only these.
            before: Only events with a smaller number.
            limit: So many at most.
        """
        query = select(t.events).order_by(t.events.c.seq.desc()).limit(limit)
        if before is not None:
            query = query.where(t.events.c.seq < before)
        if model is not None:
            query = query.where(t.events.c.model == model)
        if verbs:
            query = query.where(t.events.c.verb.in_(list(verbs)))
        with self._database.reading() as connection:
            return [event_of(row) for row in connection.execute(query)]

    def latest_versions(self, model: str, *, before: int | None = None, limit: int = 50) -> list[VersionRecord]:
        """A model's newest versions, newest first. Raises NotFound ``data.no-model``.

        Args:
            model: Its name.
            before: Only versions with a smaller number.
            limit: So many at most.
        """
        query = select(t.versions.c.record).where(t.versions.c.model == model)
        if before is not None:
            query = query.where(t.versions.c.number < before)
        with self._database.reading() as connection:
            if deleted := known_model(connection, model).deleted:
                query = query.where(t.versions.c.number.not_in(deleted))
            found = connection.execute(query.order_by(t.versions.c.number.desc()).limit(limit)).scalars()
            return [VersionRecord.from_json(json.loads(text)) for text in found]

    def document(self, name: str) -> dict[str, Any] | None:
        """A named document of a watcher's state, or None."""
        with self._database.reading() as connection:
            text = connection.execute(select(t.documents.c.body).where(t.documents.c.name == name)).scalar()
            return None if text is None else _object(text)

    def check(self) -> list[dict[str, Any]]:
        """Verify the database, the hash chain, and that the tables are the log's fold.

        Returns:
            ``[{"name", "passed", "what"}]``.
        """
        with self._database.reading() as connection:
            return check(connection, file=self._database.path is not None, anchor=self._database.anchor())


def model_in(connection: Connection, name: str) -> ModelState:
    """A model's state; that of a new one where the name is unknown."""
    text = connection.execute(select(t.models.c.state).where(t.models.c.name == name)).scalar()
    return ModelState(name=name) if text is None else ModelState.from_json(json.loads(text))


def known_model(connection: Connection, name: str) -> ModelState:
    """A model's state. Raises NotFound ``data.no-model`` with the nearest name."""
    text = None
    if NAME.fullmatch(str(name)):
        text = connection.execute(select(t.models.c.state).where(t.models.c.name == name)).scalar()
    if text is None:
        names = list(connection.execute(select(t.models.c.name).order_by(t.models.c.name)).scalars())
        raise NotFound(
            "data.no-model",
            f"there is no model {str(name)[:80]!r} in this workspace{did_you_mean(str(name), names)}",
            found=", ".join(names[:10]) or "no models yet",
            do="ambidex models ls" if names else "ambidex package SOURCE --name NAME",
        )
    return ModelState.from_json(json.loads(text))


def version_in(connection: Connection, model: str, number: int) -> VersionRecord:
    """One version. Raises NotFound ``data.no-model`` or ``data.no-version``."""
    state = known_model(connection, model)
    if number in state.deleted:
        kept = [v for v in range(1, state.versions + 1) if v not in state.deleted]
        raise NotFound(
            "data.no-version",
            f"{model}@{number} was deleted",
            found=f"still there: {', '.join(f'{model}@{v}' for v in kept[-10:]) or 'none'}",
            do=f"ambidex models log {model}",
        )
    text = None
    if 0 < number <= state.versions:
        text = connection.execute(
            select(t.versions.c.record).where(t.versions.c.model == model, t.versions.c.number == number)
        ).scalar()
    if text is None:
        raise NotFound(
            "data.no-version",
            f"there is no {model}@{number}",
            found=f"{model}@1 to {model}@{state.versions}" if state.versions else "no versions yet",
            do=f"ambidex models show {model}",
        )
    return VersionRecord.from_json(json.loads(text))


def judgement_in(connection: Connection, model: str, version: int) -> Judgement | None:
    """The newest judgement of a version, or None."""
    if not NAME.fullmatch(model) or not 0 < version < 2**31:
        return None
    text = connection.execute(
        select(t.judgements.c.record).where(t.judgements.c.model == model, t.judgements.c.version == version)
    ).scalar()
    return None if text is None else Judgement.from_json(json.loads(text))


def event_of(row: Any) -> Event:
    """A row of the log as an event."""
    return Event(
        seq=int(row.seq),
        at=row.at,
        by=row.by,
        verb=row.verb,
        model=row.model,
        version=row.version,
        body=_object(row.body),
        prev=row.prev,
        hash=row.hash,
    )


def _object(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value
