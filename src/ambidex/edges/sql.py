"""The store: one append-only log with a hash chain, and its fold, in one transaction.

SQLite by default, Postgres by URL, the same statements on both. Import this module late: it
brings SQLAlchemy.
"""

from __future__ import annotations

import json
import os
import pwd
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from ambidex.edges import sql_tables as t
from ambidex.edges.files import alive, here
from ambidex.edges.sql_guards import moved, must_be_free, must_be_fresh, must_hold, unguarded, way_back
from ambidex.edges.sql_open import Database
from ambidex.edges.sql_read import SqlReader, known_model, model_in, version_in
from ambidex.errors import InternalError, UsageError
from ambidex.journal import answer_key, answer_of, apply, judgement_of, plain, version_of
from ambidex.ports import Clock, Fence, StepHook
from ambidex.records import POINTERS, Event, Judgement, ModelState, VersionRecord, canonical, check_name, digest

__all__ = ["SqlStore"]


class SqlStore(SqlReader):
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
        unguarded(verb)
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
        complete: Callable[[], None] | None = None,
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
            complete: Called inside the transaction, while no collection runs: puts back what one may have taken
                of a bundle that no version needed yet.

        Raises:
            Refused: ``check.fenced``.
        """
        check_name(model)
        with self._writing() as connection:
            must_hold(connection, fence)
            if complete is not None:
                complete()
            there = connection.execute(
                select(t.versions.c.record)
                .where(t.versions.c.model == model, t.versions.c.key == key, t.versions.c.digest == digest)
                .order_by(t.versions.c.number)
            ).scalar()
            if there is not None:
                return VersionRecord.from_json(json.loads(there))
            number = model_in(connection, model).versions + 1
            body = {"digest": digest, "data": data, "code": code, "key": key, "summary": dict(summary)}
            made = version_of(self._append(connection, "register", model, number, body))
            assert made is not None
            return made

    def delete(self, *, model: str, version: int, because: str) -> Event:
        """Take a version out of use for good; its record and its events stay.

        Raises:
            Refused: ``check.in-use`` where a pointer, or the way back, names it.
            NotFound: ``data.no-model``, ``data.no-version``.
        """
        with self._writing() as connection:
            version_in(connection, model, version)
            must_be_free(known_model(connection, model), version)
            return self._append(connection, "delete", model, version, {"because": because})

    @contextmanager
    def still(self) -> Iterator[None]:
        """Nothing is written to the log while this is open: what no version needs now, none needs until then."""
        with self._writing():
            yield

    def record_judgement(self, judgement: Judgement) -> Event:
        """Keep a version's gate verdicts; they are the version's newest from here on."""
        with self._writing() as connection:
            record = version_in(connection, judgement.model, judgement.version)
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
            must_hold(connection, fence)
            state = known_model(connection, model)
            if state.revision != expected_revision:
                raise moved(f"{model} changed while this ran", f"revision {state.revision}", state)
            if verb == "rollback":
                version = way_back(connection, state, to, version)
            elif version is not None:
                must_be_fresh(connection, state, version, judgement, max_age_s, self._clock())
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
            unguarded(one["verb"])
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
        values = {"revision": after.revision, "state": canonical(after.to_json()).decode()}
        if row is None:
            connection.execute(insert(t.models).values(name=event.model, **values))
            return
        seen = before.revision if expected is None else expected
        changed = connection.execute(
            update(t.models).where(t.models.c.name == event.model, t.models.c.revision == seen).values(**values)
        )
        if changed.rowcount != 1:
            raise moved(f"{event.model} changed while this ran", f"revision {before.revision}", before)

    def _end_of_log(self, connection: Connection) -> tuple[int, str]:
        row = connection.execute(select(t.chain).where(t.chain.c.id == 1).with_for_update()).one()
        return int(row.seq), str(row.hash)


def stamp(at: datetime) -> str:
    """UTC with microseconds and Z; text order is time order."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


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
