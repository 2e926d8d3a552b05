"""The store: one append-only log with a hash chain, and its fold, in one transaction.

SQLite by default, Postgres by URL, the same statements on both. Import this module late: it
brings SQLAlchemy.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from ambidex.edges import sql_tables as t
from ambidex.edges.files import alive, here
from ambidex.edges.sql_check import check
from ambidex.edges.sql_open import Database
from ambidex.errors import InternalError, NotFound, Refused, UsageError, did_you_mean
from ambidex.journal import GUARDED, answer_key, answer_of, apply, judgement_of, plain, stale, version_of
from ambidex.ports import Clock, Fence, StepHook
from ambidex.records import NAME, POINTERS, Event, Judgement, ModelState, VersionRecord, canonical, check_name, digest

__all__ = ["SqlStore"]


class SqlStore:
    """Metadata in SQL; implements ``ports.Store``.

    Args:
        place: Path of the SQLite file, or a URL.
        clock: Gives the time, with a zone.
        hook: Called before and after every statement, commit and file step.
        by: Who is written into the log; the operating system's user by default.

    Raises:
        EnvironmentProblem: On first use: ``env.no-workspace``, ``env.newer-workspace``,
            ``env.broken-workspace``, ``env.disk``, ``env.busy``, ``env.no-server``.

    >>> import tempfile
    >>> store = SqlStore(Path(tempfile.mkdtemp()) / "meta.sqlite", clock=lambda: datetime.now(UTC))
    >>> store.register(model="churn", digest="d" * 64, data="f", code="c", key="k", summary={}).ref
    'churn@1'
    """

    def __init__(self, place: str | Path, *, clock: Clock, hook: StepHook | None = None, by: str | None = None) -> None:
        self._database = Database(place, hook)
        self._clock = clock
        self._by = by or _user()

    def close(self) -> None:
        """Give back every connection; the next use opens again."""
        self._database.close()

    # --- writing --------------------------------------------------------------------------

    def append(
        self,
        *,
        verb: str,
        model: str = "",
        version: int | None = None,
        body: Mapping[str, Any] | None = None,
        by: str | None = None,
    ) -> Event:
        """Append one event and fold it.

        Args:
            verb: What was done, see ``journal.VERBS``; not one that has a method of its own.
            model: Model's name, or empty.
            version: Version number.
            body: The rest, plain JSON values.
            by: Who, where it is not the store's own user.
        """
        _unguarded(verb)
        with self._writing() as connection:
            return self._append(connection, verb, model, version, body, by)

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
    ) -> VersionRecord:
        """The next version of a model, which becomes its candidate.

        Args:
            model: Model's name.
            digest: The bundle's digest.
            data: Fingerprint of the training data.
            code: Hash of recipe and code.
            key: Idempotency key of the run: the same key and digest give the version that is there.
            summary: A few figures for listings.
            fence: The lease under which this was made; an older token than its newest registers nothing.

        Raises:
            Refused: ``check.fenced``.
        """
        check_name(model)
        with self._writing() as connection:
            _must_hold(connection, fence)
            there = connection.execute(
                select(t.versions.c.record)
                .where(t.versions.c.model == model, t.versions.c.key == key, t.versions.c.digest == digest)
                .order_by(t.versions.c.number)
            ).scalar()
            if there is not None:
                return VersionRecord.from_json(json.loads(there))
            number = self._state(connection, model).versions + 1
            body = {"digest": digest, "data": data, "code": code, "key": key, "summary": dict(summary)}
            made = version_of(self._append(connection, "register", model, number, body))
            assert made is not None
            return made

    def record_judgement(self, judgement: Judgement) -> Event:
        """Keep a version's gate verdicts; they are the version's newest from here on."""
        with self._writing() as connection:
            record = self._version(connection, judgement.model, judgement.version)
            if record.digest != judgement.digest:
                raise InternalError("internal.bug", f"{record.ref} was judged on another bundle than its own")
            return self._append(connection, "judge", judgement.model, judgement.version, judgement.to_json())

    def record_answer(self, body: Mapping[str, Any]) -> int:
        """Keep an answer; returns its number, the old one if the same record was kept before.

        The log holds the answer's hash, the table its text.
        """
        value = plain(body)
        key, sha256 = answer_key(value), digest(canonical(value))
        with self._writing() as connection:
            there = connection.execute(select(t.answers.c.number).where(t.answers.c.key == key)).scalar()
            if there is not None:
                return int(there)
            number = (connection.execute(select(func.max(t.answers.c.number))).scalar() or 0) + 1
            kept = {"number": number, "sha256": sha256, "verb": value.get("verb")}
            if isinstance(value.get("headline"), str):
                kept["headline"] = value["headline"]
            self._append(connection, "answer", "", None, kept, text=canonical(value).decode(), key=key)
            return number

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
        """Move a pointer, if nothing that the caller looked at has changed since.

        One transaction reads the model again, compares its revision, asks whether the judgement is
        the version's newest, has passed and still speaks about what is live, this bundle, today's
        gate configuration and the newest data; then updates ``WHERE revision = :expected``.

        Args:
            model: Model's name.
            to: Pointer: ``live``, ``staging``, ``shadow``, ``canary`` or ``candidate``.
            version: Where to; None clears a pointer (never ``live``), and rolls back to ``previous``.
            expected_revision: Revision of the state that the caller decided on.
            verb: ``promote``, or ``rollback``, which needs no judgement but a target that has passed.
            judgement: The version's gates, as recorded.
            max_age_s: How old the judgement may be, seconds.
            because: Why, for the log.
            pause: Pause retraining with this reason, in the same transaction.
            fence: The lease under which this was decided; an older token than its newest moves nothing.

        Raises:
            Refused: ``check.fenced``, ``check.moved``, ``check.gate`` or ``check.no-previous``; nothing has
                changed then.
            NotFound: ``data.no-model``, ``data.no-version``.
        """
        if verb not in ("promote", "rollback") or to not in POINTERS or to == "previous":
            raise InternalError("internal.bug", f"a move is no {verb!r} to {to!r}")
        with self._writing() as connection:
            _must_hold(connection, fence)
            state = self._known(connection, model)
            if state.revision != expected_revision:
                raise _moved(f"{model} changed while this ran", f"revision {state.revision}", state)
            if verb == "rollback":
                version = self._way_back(connection, state, to, version)
            elif version is not None:
                self._must_be_fresh(connection, state, version, judgement, max_age_s)
            elif to == "live":
                raise UsageError("usage.value", "live cannot be left empty", do=f"ambidex rollback {model}")
            body: dict[str, Any] = {"to": to, "was": getattr(state, to), "because": because}
            if pause is not None:
                body["pause"] = pause
            return self._append(connection, verb, model, version, body, expected=expected_revision)

    def put_document(self, name: str, value: Mapping[str, Any], *, events: Sequence[Mapping[str, Any]] = ()) -> None:
        """Replace a document and append events in the same transaction.

        Args:
            name: The document's name.
            value: Plain JSON values.
            events: Each with ``verb`` and, where they apply, ``model``, ``version``, ``body``, ``by``.
        """
        for one in events:
            _unguarded(one["verb"])
        text = canonical(value)
        with self._writing() as connection:
            connection.execute(delete(t.documents).where(t.documents.c.name == name))
            connection.execute(insert(t.documents).values(name=name, sha256=digest(text), body=text.decode()))
            for one in events:
                self._append(
                    connection,
                    one["verb"],
                    one.get("model", ""),
                    one.get("version"),
                    one.get("body"),
                    one.get("by"),
                )

    def lease(self, name: str, *, seconds: float) -> int | None:
        """Take a lease.

        Args:
            name: What is leased.
            seconds: How long it holds unless it is given back. A holder on this machine that has
                died holds it no longer, nor does this process what it has given back in vain; a clock
                that was set back cannot prolong it beyond ``seconds``.

        Returns:
            The fencing token, larger than every one before, or None while somebody else holds it.
        """
        now = self._clock().timestamp()
        key, holder = (self._database.name, name), _holder()
        try:
            with self._writing() as connection:
                row = connection.execute(select(t.leases).where(t.leases.c.name == name)).first()
                if row is not None and row.until > now and not _gone(row.holder):
                    if row.until > now + row.granted:
                        connection.execute(
                            update(t.leases).where(t.leases.c.name == name).values(until=now + row.granted)
                        )
                    return None
                token = 1 if row is None else int(row.token) + 1
                connection.execute(delete(t.leases).where(t.leases.c.name == name))
                values = {"name": name, "token": token, "holder": holder, "until": now + seconds, "granted": seconds}
                connection.execute(insert(t.leases).values(**values))
                _held[key] = (token, holder)  # before the commit, after which other threads read of it
                return token
        except BaseException:
            held = _held.get(key)
            if held is not None and held[1] == holder:
                _held.pop(key, None)
            raise

    def release(self, name: str, token: int) -> None:
        """Give a lease back, if the token is still the newest.

        Where the disk refuses to write it down, the lease is free all the same for this process at once, and for
        others when this process has ended.
        """
        key = (self._database.name, name)
        held = _held.get(key)
        if held is not None and held[0] == token:
            _held.pop(key, None)
        with self._writing() as connection:
            connection.execute(
                update(t.leases).where(t.leases.c.name == name, t.leases.c.token == token).values(until=0.0)
            )

    # --- reading --------------------------------------------------------------------------

    def model(self, name: str) -> ModelState:
        """The state of a model. Raises NotFound ``data.no-model`` with the nearest name."""
        with self._database.reading() as connection:
            return self._known(connection, name)

    def models(self) -> list[ModelState]:
        """All models, by name."""
        with self._database.reading() as connection:
            found = connection.execute(select(t.models.c.state).order_by(t.models.c.name)).scalars()
            return [ModelState.from_json(json.loads(text)) for text in found]

    def version(self, model: str, number: int) -> VersionRecord:
        """One version. Raises NotFound ``data.no-model`` or ``data.no-version``."""
        with self._database.reading() as connection:
            return self._version(connection, model, number)

    def versions(self, model: str) -> list[VersionRecord]:
        """All versions of a model, oldest first. Raises NotFound ``data.no-model``."""
        with self._database.reading() as connection:
            self._known(connection, model)
            query = select(t.versions.c.record).where(t.versions.c.model == model).order_by(t.versions.c.number)
            return [VersionRecord.from_json(json.loads(text)) for text in connection.execute(query).scalars()]

    def judgement(self, model: str, version: int) -> Judgement | None:
        """The newest judgement of a version, or None."""
        with self._database.reading() as connection:
            return self._judgement(connection, model, version)

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
            self._known(connection, model)
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

    # --- inside a transaction -------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """The only writer: what is read in here cannot change before the commit, on Postgres neither."""
        with self._database.writing() as connection:
            self._end_of_log(connection)
            yield connection

    def _append(
        self,
        connection: Connection,
        verb: str,
        model: str,
        version: int | None,
        body: Mapping[str, Any] | None,
        by: str | None = None,
        *,
        expected: int | None = None,
        text: str = "",
        key: str = "",
    ) -> Event:
        if model:
            check_name(model)
        seq, prev = self._end_of_log(connection)
        made = Event(
            seq=seq + 1,
            at=stamp(self._clock()),
            by=by or self._by,
            verb=verb,
            model=model,
            version=version,
            body=plain(body),
            prev=prev,
        ).sealed()
        if model:
            self._fold_model(connection, made, expected)
        connection.execute(insert(t.events).values(**{**made.to_json(), "body": canonical(made.body).decode()}))
        advanced = connection.execute(
            update(t.chain).where(t.chain.c.id == 1, t.chain.c.seq == seq).values(seq=made.seq, hash=made.hash)
        )
        if advanced.rowcount != 1:
            raise InternalError("internal.bug", f"the log was written by two at once at event {made.seq}")
        record = version_of(made)
        if record is not None:
            connection.execute(
                insert(t.versions).values(
                    model=record.model,
                    number=record.number,
                    key=record.key,
                    digest=record.digest,
                    record=canonical(record).decode(),
                )
            )
        judged = judgement_of(made)
        if judged is not None:
            where = (t.judgements.c.model == judged.model, t.judgements.c.version == judged.version)
            connection.execute(delete(t.judgements).where(*where))
            connection.execute(
                insert(t.judgements).values(
                    model=judged.model, version=judged.version, record=canonical(judged).decode()
                )
            )
        answer = answer_of(made)
        if answer is not None:
            connection.execute(insert(t.answers).values(number=answer[0], sha256=answer[1], key=key, body=text))
        return made

    def _fold_model(self, connection: Connection, event: Event, expected: int | None) -> None:
        row = connection.execute(select(t.models.c.state).where(t.models.c.name == event.model)).scalar()
        before = ModelState(name=event.model) if row is None else ModelState.from_json(json.loads(row))
        after = apply(before, event)
        if after == before:
            return
        values = {"revision": after.revision, "state": canonical(after).decode()}
        if row is None:
            connection.execute(insert(t.models).values(name=event.model, **values))
            return
        seen = before.revision if expected is None else expected
        changed = connection.execute(
            update(t.models).where(t.models.c.name == event.model, t.models.c.revision == seen).values(**values)
        )
        if changed.rowcount != 1:
            raise _moved(f"{event.model} changed while this ran", f"revision {before.revision}", before)

    def _end_of_log(self, connection: Connection) -> tuple[int, str]:
        row = connection.execute(select(t.chain).where(t.chain.c.id == 1).with_for_update()).one()
        return int(row.seq), str(row.hash)

    def _state(self, connection: Connection, name: str) -> ModelState:
        text = connection.execute(select(t.models.c.state).where(t.models.c.name == name)).scalar()
        return ModelState(name=name) if text is None else ModelState.from_json(json.loads(text))

    def _known(self, connection: Connection, name: str) -> ModelState:
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

    def _version(self, connection: Connection, model: str, number: int) -> VersionRecord:
        state = self._known(connection, model)
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

    def _judgement(self, connection: Connection, model: str, version: int) -> Judgement | None:
        if not NAME.fullmatch(model) or not 0 < version < 2**31:
            return None
        text = connection.execute(
            select(t.judgements.c.record).where(t.judgements.c.model == model, t.judgements.c.version == version)
        ).scalar()
        return None if text is None else Judgement.from_json(json.loads(text))

    def _must_be_fresh(
        self,
        connection: Connection,
        state: ModelState,
        version: int,
        judgement: Judgement | None,
        max_age_s: float,
    ) -> None:
        record = self._version(connection, state.name, version)
        newest = self._judgement(connection, state.name, version)
        if newest is None or judgement is None:
            raise Refused("check.gate", f"{record.ref} has not been judged", do=f"ambidex gate {record.ref}")
        if newest.to_json() != judgement.to_json():
            raise _moved(f"{record.ref} was judged again while this ran", f"judged {newest.at}", state)
        why = stale(state, newest, digest=record.digest, now=self._clock(), max_age_s=max_age_s)
        if why is not None:
            raise _moved(f"the verdict on {record.ref} is stale: {why}", f"judged {newest.at}", state)
        if not newest.passed:
            failed = [g for g in newest.gates if g.outcome != "supported" and g.name not in newest.waived]
            raise Refused(
                "check.gate",
                f"{record.ref} did not pass its gates",
                found="; ".join(f"{g.name}: {g.outcome}, {g.because}" for g in failed) or "no gates",
                do=f"ambidex gate {record.ref}",
                verdicts=failed,
            )

    def _way_back(self, connection: Connection, state: ModelState, to: str, version: int | None) -> int:
        if to != "live":
            raise InternalError("internal.bug", f"a rollback moves live, not {to}")
        target = state.previous if version is None else version
        if target is not None:
            self._version(connection, state.name, target)
        if target is None or target not in state.passed or target == state.live:
            ways = [v for v in state.passed if v != state.live]
            raise Refused(
                "check.no-previous",
                f"{state.name} cannot go back to "
                + ("an earlier version: none has passed its gates" if target is None else f"version {target}"),
                found="passed and not live: " + (", ".join(map(str, ways)) or "none"),
                do=f"ambidex models log {state.name}",
            )
        return target


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


def stamp(at: datetime) -> str:
    """UTC with microseconds and Z; text order is time order."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _object(text: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(text)
    return value


def _unguarded(verb: str) -> None:
    if verb in GUARDED:
        raise InternalError("internal.bug", f"{verb!r} is written by the store's own method, not by append")


def _moved(message: str, found: str, state: ModelState) -> Refused:
    return Refused(
        "check.moved",
        message,
        found=found,
        do="run it again",
        data={"model": state.name, "revision": state.revision, "live": state.live},
    )


def _must_hold(connection: Connection, fence: Fence | None) -> None:
    """A holder that slept through the end of its lease must not act on what it saw before."""
    if fence is None:
        return
    name, token = fence
    newest = connection.execute(select(t.leases.c.token).where(t.leases.c.name == name)).scalar()
    if newest != token:
        raise Refused(
            "check.fenced",
            "this run took longer than its lease, and another one has taken over",
            where=name,
            found=f"token {token}, and {newest} is the newest",
            do="nothing: the other run finishes the step",
        )


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _holder() -> str:
    return f"{here()}-{os.getpid()}-{secrets.token_hex(4)}"


_held: dict[tuple[str, str], tuple[int, str]] = {}
"""What this process holds: (database, lease) -> (token, holder)."""


def _gone(holder: str) -> bool:
    """True only if the holder's process ran on this boot of this machine and is gone, or is this one and has let go."""
    parts = holder.split("-")
    if len(parts) != 3 or parts[0] != here() or not parts[1].isdigit():
        return False
    if int(parts[1]) == os.getpid():
        return all(holder != mine for _, mine in list(_held.values()))
    return not alive(int(parts[1]))
