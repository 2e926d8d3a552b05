"""``Idempotency-Key``: a request that changes something, sent again with its key, is answered as before and not
done again; for 24 h, by every worker, also after one died.

A small SQLite file beside the prediction log. The key is kept in the transaction that is open while the request
is carried out, so two workers with one key take turns.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ambidex.errors import EnvironmentProblem
from ambidex.serving.log import Report
from ambidex.serving.problems import HttpRefusal

__all__ = ["Replays", "key_of"]

KEPT_S = 24 * 3600.0
WAIT_S = 0.7
"""Less than the deadline of an answer."""
_KEY = re.compile(rb"[\x21-\x7e]{1,200}")
_TABLE = """
CREATE TABLE IF NOT EXISTS replay (
    scope TEXT NOT NULL, key BLOB NOT NULL, body BLOB NOT NULL, answer BLOB NOT NULL, at REAL NOT NULL,
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS replay_at ON replay (at);
"""


def key_of(said: bytes | None) -> bytes | None:
    """The key of a request, or None.

    Raises:
        HttpRefusal: ``http.key`` (400) for one that is no key.
    """
    if said is None:
        return None
    key = said.strip()
    if _KEY.fullmatch(key) is None:
        raise HttpRefusal(
            "http.key", "Idempotency-Key takes 1 to 200 visible ASCII characters", status=400,
            do="send a random one, such as a UUID",
        )  # fmt: skip
    return key


class Replays:
    """Answers that were given to requests with a key. Used from one thread of each worker.

    Args:
        path: The file.
        report: Told if the file had to be started anew.
        now: Seconds since 1970.
    """

    def __init__(self, path: Path, report: Report, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._report = report
        self._now = now
        self._connection: sqlite3.Connection | None = None

    def once(self, scope: str, key: bytes, body: bytes, act: Callable[[], bytes]) -> tuple[bytes, bool]:
        """Carry out a request unless it was; its answer, and whether that was given before.

        Args:
            scope: Whose key, and for which path.
            key: What the caller sent.
            body: The request's body.
            act: Carries it out and gives the answer.

        Raises:
            HttpRefusal: ``http.key`` (422): the key came with another body before.
            EnvironmentProblem: ``env.disk``, ``env.busy``; nothing was done.
            AmbidexError: What ``act`` raises; the key is free again then.
        """
        digest = hashlib.sha256(body).digest()
        connection = self._begin()
        try:
            now = self._now()
            connection.execute("DELETE FROM replay WHERE at < ?", (now - KEPT_S,))
            row = connection.execute(
                "SELECT body, answer FROM replay WHERE scope = ? AND key = ?", (scope, key)
            ).fetchone()
            if row is not None:
                connection.execute("COMMIT")
                if row[0] != digest:
                    raise HttpRefusal(
                        "http.key", "this Idempotency-Key came with another body before", status=422,
                        do="send another key with another request",
                    )  # fmt: skip
                return bytes(row[1]), True
            answer = act()
            connection.execute("INSERT INTO replay VALUES (?, ?, ?, ?, ?)", (scope, key, digest, answer, now))
            connection.execute("COMMIT")
            return answer, False
        except sqlite3.Error as error:
            raise self._broken(error) from None
        finally:
            if connection.in_transaction:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _begin(self) -> sqlite3.Connection:
        for again in (True, False):
            try:
                if self._connection is None:
                    self._connection = self._open()
                self._connection.execute("BEGIN IMMEDIATE")
                return self._connection
            except sqlite3.OperationalError as error:
                raise self._broken(error) from None
            except sqlite3.DatabaseError as error:  # what is in the file is no database: keys of a day are lost
                self.close()
                if not again:
                    raise self._broken(error) from None
                self._report("keys.lost", {"why": str(error)[:100]})
                self._path.replace(self._path.with_name(f"{self._path.name}.broken"))
        raise AssertionError

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentProblem("env.disk", f"keys cannot be kept: {error.strerror}", do="try again") from None
        connection = sqlite3.connect(self._path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
        # No WAL: its reset can corrupt older SQLite, and nothing here reads while another writes.
        connection.execute("PRAGMA journal_mode=TRUNCATE")
        connection.execute("PRAGMA synchronous=FULL")
        connection.executescript(_TABLE)
        return connection

    def _broken(self, error: sqlite3.Error) -> EnvironmentProblem:
        why = str(error)
        self.close()
        if "locked" in why:
            return EnvironmentProblem("env.busy", "other requests with a key are under way", do="retry after 1 s")
        return EnvironmentProblem("env.disk", f"the key could not be kept: {why[:100]}", do="send it again")
