"""Opening a workspace's database: locks, forks, and errors in our words.

SQLite runs in WAL with ``synchronous=FULL``; writers and checkpoints take one advisory lock on a
file beside the database (``wal_autocheckpoint=0``), which is fair enough to never show
"database is locked" and keeps checkpoints away from writers: SQLite before 3.51.3 can lose
pages when the two meet. Postgres writers take the lock of the one ``chain`` row.

Where files cannot be written (a read-only mount, another user's workspace), reading goes on.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event, exc, insert, inspect, make_url, select, text
from sqlalchemy.pool import NullPool, QueuePool

from ambidex.edges import sql_tables as t
from ambidex.edges.files import Disk, disk_problem
from ambidex.edges.locks import FairLock, FileLock, Gate
from ambidex.errors import AmbidexError, EnvironmentProblem, MissingExtra, UsageError
from ambidex.ports import StepHook

__all__ = ["Database"]

_WAIT_S = 30.0
_FORK_WAIT_S = 5.0
_CHECKPOINT_BYTES = 4_000_000
_CREATION_LOCK = 0x616D6269  # an advisory lock of Postgres, so that two processes do not both make the tables


class Database:
    """One database, opened when first used and again after a fork.

    Args:
        place: Path of a SQLite file, or a URL (``sqlite:///…``, ``postgresql://…``).
        hook: Called before and after every statement, commit and file step.

    Attributes:
        path: The SQLite file, or None.
    """

    def __init__(self, place: str | Path, hook: StepHook | None = None) -> None:
        self.disk = Disk(hook)
        self.url: str | None = None
        self.path: Path | None = None
        place = str(place)
        if place.startswith("sqlite:///"):
            self.path = Path(place.removeprefix("sqlite:///"))
        elif "://" in place:
            self.url = _postgres(place)
        else:
            self.path = Path(place)
        self._reset()
        _opened.add(self)

    @property
    def name(self) -> str:
        """The same for every way to write the same place."""
        return self.url or str(self.path and self.path.resolve())

    def _reset(self) -> None:
        self._engine: Engine | None = None
        self._read_only = False
        self._opening = threading.Lock()
        self._threads = FairLock()
        self._processes = FileLock((self.path.parent if self.path else Path()) / "lock")
        self._gate = Gate()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A connection that sees one snapshot; never waits for writers."""
        with self._gate.inside(), self._in_our_words(), self._connect() as connection:
            if self.path is None:
                connection = connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """The only writer's connection, in one transaction: committed at the end, or nothing was done."""
        with self._gate.inside():  # an opening is SQLite at work too: no fork during it
            self._engine_now()  # makes the tables, under the lock that is taken next
            if self._read_only:
                raise self._not_ours_to_write()
        with self._alone(), self._gate.inside(), self._in_our_words():
            with self._connect() as connection, connection.execution_options(ambidex_write=True).begin():
                whole = self._whole(connection)
                yield connection
                end = connection.execute(select(t.chain.c.seq, t.chain.c.hash)).first()
            if whole and end is not None and end.seq:
                self._tie(int(end.seq), str(end.hash))
            self._checkpoint(at_least=_CHECKPOINT_BYTES)

    def anchor(self) -> tuple[int, str] | None:
        """The end of the log as it was written beside the database, or None."""
        if self.path is None:
            return None
        try:
            seq, head = (self.path.parent / "head").read_text().split()
            return int(seq), head
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Give back every connection; the next use opens again."""
        if self._engine is None:
            return
        with nullcontext() if self._read_only else self._alone(), self._gate.inside():
            self._checkpoint(at_least=1)
            self._engine.dispose()
            self._engine = None
            self._farewell.detach()

    # --- engine ---------------------------------------------------------------------------

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        with self._engine_now().connect() as connection:
            yield connection

    def _engine_now(self) -> Engine:
        if self.path is not None and str(self.path.absolute()) in _unsafe:
            raise EnvironmentProblem(
                "env.child",
                "this process was forked while another thread used the workspace",
                do="open the workspace in the new process",
            )
        engine = self._engine
        if engine is None or (self._read_only and self._may_write()):
            with self._opening:
                engine = self._engine
                if engine is None or (self._read_only and self._may_write()):
                    with self._in_our_words():
                        engine = self._open()
                    self._engine = engine
                    # A connection that waits for the garbage collector would be open at the next fork.
                    self._farewell = weakref.finalize(self, engine.dispose)
                    self._farewell.atexit = False
        return engine

    def _open(self) -> Engine:
        self._read_only = self.path is not None and self.path.exists() and not self._may_write()
        if self._read_only:
            engine = _local(self._to_read, poolclass=NullPool)
        else:
            engine = self._sqlite() if self.path is not None else self._server()
        _watch(engine, self.disk.hook)
        try:
            with engine.connect() as connection:
                schema = _schema(connection, self._where)
            if schema is None and self._read_only:
                raise self._not_ours_to_write()
            if schema is None:
                self._create(engine)
            elif schema > t.SCHEMA:
                raise EnvironmentProblem(
                    "env.newer-workspace",
                    "this workspace was written by a newer ambidex",
                    where=self._where,
                    found=f"schema {schema}, and this program knows up to {t.SCHEMA}",
                    do="pip install --upgrade ambidex",
                )
        except BaseException:
            engine.dispose()
            raise
        if self.path is not None and not self._read_only:
            self.disk.sweep(self.path.parent)
        return engine

    def _may_write(self) -> bool:
        """Whether this user may write the database, and beside it."""
        assert self.path is not None
        return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)

    def _to_read(self) -> sqlite3.Connection:
        """A connection for one reading where nothing can be written; a new one each time, as a writer may come.

        SQLite reads a write-ahead log only beside its index, which it cannot make here. So without a log the file
        is read as it is (``immutable``: no locks, no index); a log that lost its index, which a killed writer
        leaves to a copy of the folder, is taken in by a copy. A reader beside a living writer has both files.
        """
        assert self.path is not None
        log = self.path.with_name(self.path.name + "-wal")
        path, mode = self.path.absolute(), "mode=ro"
        if not log.exists() or not log.stat().st_size:
            mode += "&immutable=1"
        elif not self.path.with_name(self.path.name + "-shm").exists():
            with tempfile.TemporaryDirectory(prefix="ambidex-") as folder:
                copy = Path(shutil.copyfile(path, Path(folder) / path.name))
                shutil.copyfile(log, copy.with_name(log.name))
                raw = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
                with closing(sqlite3.connect(copy)) as whole:
                    whole.execute("PRAGMA journal_mode=DELETE").fetchall()  # memory has no write-ahead log
                    whole.backup(raw)
            return raw
        where = f"file:{quote(str(path))}?{mode}"
        return sqlite3.connect(where, uri=True, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)

    def _not_ours_to_write(self) -> EnvironmentProblem:
        assert self.path is not None
        mounted = os.statvfs(self.path.parent).f_flag & os.ST_RDONLY
        return EnvironmentProblem(
            "env.disk",
            "this workspace can be read here and not written",
            where=self._where,
            found="a read-only file system" if mounted else "no permission to write the folder and the database",
            do="run it where the folder can be written" if mounted else "look at the owner and the permissions",
        )

    def _sqlite(self) -> Engine:
        path = self.path
        assert path is not None
        if not path.parent.is_dir():
            raise EnvironmentProblem(
                "env.no-workspace", "there is no workspace here", where=self._where, do="ambidex init"
            )
        if not path.exists():
            if self.anchor() is not None:
                raise self._broken("the file is not there any more")
            # Before SQLite makes it, so that nobody but its owner can ever read it.
            with suppress(FileExistsError):
                os.close(self.disk.create(path))
            self.disk.sync_folder(path.parent)

        def connect() -> sqlite3.Connection:
            raw = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            try:
                raw.execute("PRAGMA synchronous=FULL")
                raw.execute("PRAGMA wal_autocheckpoint=0")
            except BaseException:
                raw.close()
                raise
            return raw

        return _local(connect, poolclass=QueuePool, pool_size=4, max_overflow=-1)

    def _server(self) -> Engine:
        assert self.url is not None
        url = make_url(self.url)
        try:
            return create_engine(url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, max_overflow=20)
        except ModuleNotFoundError as error:
            raise MissingExtra("psycopg", "postgres", "a workspace on Postgres") from error

    def _create(self, engine: Engine) -> None:
        with self._alone():
            if self.path is not None:
                raw = engine.raw_connection()
                try:
                    mode = "PRAGMA journal_mode=WAL"
                    self.disk.step(mode, lambda: raw.cursor().execute(mode).fetchall())
                finally:
                    raw.close()
            with engine.connect() as connection, connection.execution_options(ambidex_write=True).begin():
                if self.path is None:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:n)"), {"n": _CREATION_LOCK})
                if _schema(connection, self._where) is None:
                    t.tables.create_all(connection)
                    connection.execute(insert(t.meta).values(name="schema", value=str(t.SCHEMA)))
                    connection.execute(insert(t.chain).values(id=1, seq=0, hash="0" * 64))

    def _tie(self, seq: int, head: str) -> None:
        """Write the end of the log beside the database, after the commit.

        A database that is restored, swapped, or loses the end of its write-ahead log to a flipped bit is
        sound in itself; only something outside it can tell that events are gone.
        """
        if self.path is not None and self.anchor() != (seq, head):
            with suppress(OSError):  # the event is committed, and the next one writes it again
                self.disk.replace(self.path.parent / "head", f"{seq} {head}\n".encode(), durable=False)

    def _whole(self, connection: Connection) -> bool:
        """Whether the log holds the event that was last seen; if not, the evidence is left alone."""
        anchor = self.anchor()
        if anchor is None:
            return True
        found = connection.execute(select(t.events.c.hash).where(t.events.c.seq == anchor[0])).scalar()
        return bool(found == anchor[1])

    # --- locks ----------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of all threads and processes of this machine, only this one; no lock at all for a server."""
        if self.path is None:
            yield
            return
        if not self._threads.acquire(_WAIT_S):
            raise _busy(self._where)
        try:
            try:
                taken = self.disk.step("lock", lambda: self._processes.acquire(_WAIT_S))
            except OSError as error:
                raise disk_problem(error, self.path, "the workspace cannot be locked") from error
            if not taken:
                raise _busy(self._where)
            try:
                yield
            finally:
                self._processes.release()
        finally:
            self._threads.release()

    def _checkpoint(self, *, at_least: int) -> None:
        """Move the write-ahead log into the database, under the lock; never fails what is committed."""
        if self.path is None or self._engine is None:
            return
        try:
            if self.path.with_name(self.path.name + "-wal").stat().st_size < at_least:
                return
            raw = self._engine.raw_connection()
            try:
                command = "PRAGMA wal_checkpoint(PASSIVE)"
                self.disk.step(command, lambda: raw.cursor().execute(command).fetchall())
            finally:
                raw.close()
        except (OSError, sqlite3.Error, exc.SQLAlchemyError):
            return

    # --- errors ---------------------------------------------------------------------------

    @property
    def _where(self) -> str:
        if self.path is not None:
            return f"{self.path.parent.name}/{self.path.name}"
        return make_url(self.url or "").render_as_string(hide_password=True)

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        try:
            yield
        except (exc.DBAPIError, sqlite3.Error) as error:
            ours = self._problem(error)
            if ours is None:
                raise
            raise ours from error
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise self._broken(str(error)) from error
        except OSError as error:
            raise disk_problem(error, self.path or Path(), "the workspace's database") from error

    def _problem(self, error: exc.DBAPIError | sqlite3.Error) -> AmbidexError | None:
        cause = error.orig if isinstance(error, exc.DBAPIError) else error
        said = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
        words = said.lower()
        if "locked" in words or "busy" in words:
            return _busy(self._where)
        if any(w in words for w in ("disk i/o", "disk is full", "readonly", "unable to open")):
            return EnvironmentProblem(
                "env.disk",
                "the workspace's database cannot be written or read",
                where=self._where,
                found=said,
                do="look at the disk's free space and the folder's permissions",
            )
        if any(w in words for w in ("not a database", "malformed", "no such table", "no such column", "utf-8")):
            return self._broken(said)
        if self.path is None and isinstance(error, exc.OperationalError):
            return EnvironmentProblem(
                "env.no-server",
                "the workspace's database does not answer",
                where=self._where,
                found=said,
                do="look at `database` in ambidex.toml and at the server",
            )
        return None

    def _broken(self, said: str) -> EnvironmentProblem:
        return EnvironmentProblem(
            "env.broken-workspace",
            "the workspace's database cannot be read",
            where=self._where,
            found=said,
            do="put .ambidex back from a backup",
        )


def _local(connect: Callable[[], sqlite3.Connection], **pool: Any) -> Engine:
    engine = create_engine("sqlite://", creator=connect, **pool)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("ambidex_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgres(url: str) -> str:
    try:
        backend = make_url(url).get_backend_name()
    except (exc.ArgumentError, ValueError):
        backend = "no URL"
    if backend != "postgresql":
        raise UsageError(
            "usage.config",
            "`database` is a file's path or a Postgres URL",
            where="ambidex.toml, database",
            found=backend,
            do='database = "postgresql://user@host/name"',
        )
    return url


def _schema(connection: Connection, where: str) -> int | None:
    """The shape's number, or None where there is nothing yet."""
    names = inspect(connection).get_table_names()
    if "meta" in names:
        value = connection.execute(select(t.meta.c.value).where(t.meta.c.name == "schema")).scalar()
        if value is not None and value.isdigit():
            return int(value)
    elif not set(names) & set(t.tables.tables):
        return None
    raise EnvironmentProblem(
        "env.broken-workspace",
        "the workspace's database is not one that ambidex made",
        where=where,
        found=f"tables {', '.join(sorted(names)[:5])}",
        do="put .ambidex back from a backup",
    )


def _watch(engine: Engine, hook: StepHook | None) -> None:
    """A point before and after every statement and every commit, whoever sends it."""
    if hook is None:
        return

    def name(statement: str) -> str:
        return " ".join(statement.split()[:3])

    @event.listens_for(engine, "before_cursor_execute")
    def before(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        hook(f"{name(statement)}:before")

    @event.listens_for(engine, "after_cursor_execute")
    def after(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        hook(f"{name(statement)}:after")

    commit = engine.dialect.do_commit

    def hooked(connection: Any) -> None:
        hook("commit:before")
        commit(connection)
        hook("commit:after")

    engine.dialect.do_commit = hooked  # type: ignore[method-assign,assignment]  # this engine's own dialect, for tests


def _busy(where: str) -> EnvironmentProblem:
    return EnvironmentProblem(
        "env.busy",
        f"another process has held the workspace's lock for {_WAIT_S:g} seconds",
        where=where,
        do="see what runs in this workspace, and try again",
    )


_opened: weakref.WeakSet[Database] = weakref.WeakSet()
_unsafe: set[str] = set()  # files that another thread used while this process was forked off
_busy_at_fork: set[str] = set()


def _before_fork() -> None:
    for database in list(_opened):
        if database._gate.shut(_FORK_WAIT_S):
            if database._engine is not None:
                database._engine.dispose()
        elif database.path is not None:
            _busy_at_fork.add(str(database.path.absolute()))


def _after_fork_in_parent() -> None:
    for database in list(_opened):
        database._gate.open()
    _busy_at_fork.clear()


def _after_fork_in_child() -> None:
    _unsafe.update(_busy_at_fork)
    _busy_at_fork.clear()
    for database in list(_opened):
        database._processes.close()
        if database._engine is not None:
            database._engine.dispose(close=False)
        database._reset()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
