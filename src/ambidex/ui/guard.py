"""The one choke point in front of every page and action: host, origin, token, role. Deny by default.

While no token was ever made, whoever reaches the loopback address acts as the workspace's owner, as at the command
line. From the first token on every route but the sign-in asks for one; a public address needs one before it listens.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ambidex import access
from ambidex.errors import AmbidexError
from ambidex.ports import Store

__all__ = ["COOKIE", "POLICY", "Denied", "Guard", "Reader", "own_names"]

COOKIE = "ambidex-session"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; frame-ancestors 'none'; form-action 'self'"
)
"""Content-Security-Policy of every page."""
FRESH_S = 2.0
"""How long the list of tokens is believed: one that is revoked is refused within 5 s."""
SESSION_S = 12 * 3600.0
MOST_SESSIONS = 1000
TRIES, TRY_S = 20, 60.0
"""Wrong tokens in so many seconds, of all callers together: no one guesses 256 bits, and no one fills the log."""


class Denied(AmbidexError):
    """This reader may not do this."""

    exit_code = 4
    http_status = 403


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks.

    Attributes:
        name: As written into the log; empty for the owner of the workspace.
        role: Of ``access.ROLES``.
        models: Models that the token is for; empty: all.
        session: Names the browser's session, or empty for a bearer token.
    """

    name: str
    role: str
    models: tuple[str, ...] = ()
    session: str = ""

    def may(self, action: str, model: str | None = None) -> bool:
        """Whether the role and the scope allow it."""
        return access.allowed(self.role, action) and (model is None or not self.models or model in self.models)


@dataclass
class _Session:
    secret: str
    began: float


@dataclass
class Guard:
    """Answers who asks, and whether they may.

    Attributes:
        store: Gives the store, as it is now.
        public: The server listens where other machines reach it.
        hosts: Names by which it may be asked, beside its own addresses.
        port: Where it listens.
    """

    store: Callable[[], Store]
    public: bool
    hosts: frozenset[str]
    port: int
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    _sessions: dict[str, _Session] = field(default_factory=dict)
    _tokens: access.Tokens = field(default_factory=access.Tokens)
    _seen: int = 0
    _read: float = -1e9
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _failed: list[float] = field(default_factory=list)

    # ------------------------------------------------------------ who

    def tokens(self) -> access.Tokens:
        """All tokens, at most two seconds old.

        Raises:
            AmbidexError: The store does not answer, and nothing was read before.
        """
        now = time.monotonic()
        with self._lock:
            if now - self._read > FRESH_S:
                try:
                    self._follow()
                except AmbidexError:
                    # Without a token ever made a store that is gone opens nothing that was closed, and the page can say
                    # what is wrong. Tokens that could have been revoked meanwhile are believed by nobody.
                    if self._read < 0 or len(self._tokens):
                        raise
                self._read = now
            return self._tokens

    def _follow(self) -> None:
        store = self.store()
        newest = store.latest(limit=1)
        end = newest[0].seq if newest else 0
        if end != self._seen:
            events = store.events(after=self._seen, verbs=(access.VERB,))
            self._tokens, self._seen = access.fold(events, self._tokens), end

    def open_to_all(self) -> bool:
        """No token was ever made, and only this machine can ask."""
        return not self.public and not len(self.tokens())

    def reader(self, headers: Mapping[str, str], cookies: Mapping[str, str]) -> Reader | None:
        """Who asks, by a bearer token or a session; None if nobody that is known."""
        bearer = headers.get("authorization", "")
        if bearer[:7].lower() == "bearer ":
            return self._holder(bearer[7:].strip(), "")
        session = cookies.get(COOKIE, "")
        if self.open_to_all():
            return Reader("", "admin", session=session if self._known(session) else "")
        kept = self._sessions.get(session)
        if kept is None or time.monotonic() - kept.began > SESSION_S or not kept.secret:
            return None
        return self._holder(kept.secret, session)

    def _holder(self, secret: str, session: str) -> Reader | None:
        token = self.tokens().holder(secret, time.time())
        if token is None:
            return None
        return Reader(f"token:{token.name or token.id}", token.role, token.models, session)

    # ------------------------------------------------------------ sessions

    def sign_in(self, secret: str) -> str | None:
        """A new session for an active token's holder, or None."""
        now = time.monotonic()
        with self._lock:
            self._failed = [t for t in self._failed if now - t < TRY_S]
            if len(self._failed) >= TRIES:
                raise Denied(
                    "http.rate", "too many wrong tokens in the last minute", do="wait a minute, then try again"
                )
        if self.tokens().holder(secret.strip(), time.time()) is None:
            with self._lock:
                self._failed.append(now)
            return None
        return self._begin(secret.strip())

    def local_session(self) -> str:
        """A session of the workspace's owner: only a name that forms are tied to."""
        return self._begin("")

    def _begin(self, secret: str) -> str:
        session = secrets.token_urlsafe(24)
        with self._lock:
            while len(self._sessions) >= MOST_SESSIONS:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[session] = _Session(secret, time.monotonic())
        return session

    def sign_out(self, session: str) -> None:
        """Forget a session."""
        with self._lock:
            self._sessions.pop(session, None)

    def _known(self, session: str) -> bool:
        return session in self._sessions

    # ------------------------------------------------------------ forms

    def ticket(self, session: str) -> str:
        """The CSRF token that a form of this session carries."""
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()

    def check_form(self, reader: Reader, headers: Mapping[str, str], form: Mapping[str, str]) -> None:
        """A change comes from our own page, or from a program that shows its token.

        Raises:
            Denied: ``http.origin``, ``http.form``.
        """
        origin = headers.get("origin")
        if origin is not None and not self._ours(origin, headers.get("host", "")):
            raise Denied("http.origin", "the request comes from another page", found=origin[:80])
        if not reader.session and headers.get("authorization"):
            return
        if origin is None and headers.get("sec-fetch-site", "") != "same-origin":
            raise Denied("http.origin", "the request does not say which page it comes from")
        if not reader.session or not hmac.compare_digest(form.get("ticket", ""), self.ticket(reader.session)):
            raise Denied("http.form", "this page is older than the server or the session", do="load the page again")

    def _ours(self, origin: str, host: str) -> bool:
        parts = urlsplit(origin)
        return parts.scheme in ("http", "https") and parts.netloc.lower() == host.lower() != ""

    def known_host(self, host: str, local: Sequence[Any] | None) -> bool:
        """Whether a Host header names this server: a name of the list, or the address that was asked.

        Args:
            host: The header.
            local: (address, port) of this end of the connection.
        """
        name = _name_of(host)
        if name in self.hosts:
            return True
        try:
            asked = ipaddress.ip_address(name)
        except ValueError:
            return False
        if not self.public and asked.is_loopback:
            return True
        return bool(local) and local is not None and str(asked) == str(local[0])


def _name_of(host: str) -> str:
    """The name in a Host header, without its port."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1 : host.find("]")] if "]" in host else ""
    return host.rpartition(":")[0] if host.count(":") == 1 and host.rpartition(":")[2].isdigit() else host


def own_names(host: str) -> frozenset[str]:
    """Names by which a server that listens on ``host`` is asked."""
    names = {host.lower().strip("[]"), "localhost"}
    with suppress(OSError):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(n for n in names if n)
