"""Who may do what: roles, tokens, scopes. Pure: no clock, no disk; tokens are folded from the log.

A token is ``amb_`` and 256 random bits. Only its sha256 is kept, in the event that made it, so nobody can read
a token back. Lookup and compare both happen on the digest: what a caller sends steers neither.

===========  =====================================================================
role         may
===========  =====================================================================
viewer       see what is served, metrics, pages
caller       see what is served; predict, send labels
analyst      what viewer and caller may; register versions
engineer     what analyst may; gate, promote, roll back, retrain, resume, alerts
admin        what engineer may; tokens, trust, waivers, retention
===========  =====================================================================

Whoever can write the workspace's folder is admin, with or without a token.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol

__all__ = [
    "ACTIONS", "PREFIX", "ROLES", "VERB", "Token", "TokenEvent", "Tokens", "allowed", "fold", "fresh_secret",
    "secret_digest",
]  # fmt: skip

PREFIX = "amb_"
VERB = "token"
"""Verb of the events that make and revoke tokens."""
ROLES = ("viewer", "caller", "analyst", "engineer", "admin")
BITS = 256
ID = 8
"""Hexadecimal digits of a token's id: the start of its digest, enough to name it, nothing to guess it by."""

_VIEWER = frozenset({"describe", "read"})
_CALLER = frozenset({"describe", "predict", "label"})
_ANALYST = _VIEWER | _CALLER | {"register"}
_ENGINEER = _ANALYST | {"gate", "promote", "rollback", "retrain", "resume", "ack", "mute"}
_ADMIN = _ENGINEER | {"token", "trust", "waive", "retention"}
_MAY: Mapping[str, frozenset[str]] = {
    "viewer": _VIEWER, "caller": _CALLER, "analyst": _ANALYST, "engineer": _ENGINEER, "admin": _ADMIN,
}  # fmt: skip
ACTIONS = tuple(sorted(_ADMIN))
"""Everything that can be allowed; what is not here nobody may do."""


def allowed(role: str, action: str) -> bool:
    """Whether a role may do something; unknown roles and actions may and are nothing.

    >>> allowed("caller", "predict"), allowed("viewer", "promote"), allowed("root", "read"), allowed("admin", "fly")
    (True, False, False, False)
    """
    return action in _MAY.get(role, frozenset())


def fresh_secret() -> str:
    """A new token, 256 random bits.

    >>> secret = fresh_secret()
    >>> secret.startswith("amb_"), len(secret)
    (True, 47)
    """
    return PREFIX + secrets.token_urlsafe(BITS // 8)


def secret_digest(secret: str | bytes) -> str:
    """sha256 of a token, hexadecimal: the only thing about it that is kept."""
    data = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else secret
    return hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without its secret.

    Attributes:
        id: Names it in lists and in the log.
        name: What people call it.
        role: One of ``ROLES``.
        sha256: Digest of the secret.
        models: Models it is for; empty: all.
        expires: Seconds since 1970 after which it is no longer taken.
        made: When it was made, as the log writes it.
        by: Who made it.
        revoked: When it was revoked, as the log writes it, or None.
    """

    id: str
    name: str
    role: str
    sha256: str
    models: tuple[str, ...]
    expires: float
    made: str
    by: str
    revoked: str | None = None

    def state(self, now: float) -> str:
        """``active``, ``expired`` or ``revoked``.

        Args:
            now: Seconds since 1970.
        """
        if self.revoked is not None:
            return "revoked"
        return "active" if now < self.expires else "expired"

    def may(self, action: str, model: str | None = None) -> bool:
        """Whether its holder may do this, to this model."""
        return allowed(self.role, action) and (model is None or not self.models or model in self.models)

    def to_dict(self, now: float) -> dict[str, Any]:
        """As ``token ls`` lists it."""
        return {
            "id": self.id, "name": self.name, "role": self.role, "models": list(self.models),
            "expires": datetime.fromtimestamp(self.expires, UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "state": self.state(now), "made": self.made, "by": self.by, "revoked": self.revoked,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tokens:
    """All tokens ever made.

    Attributes:
        by_digest: Each by the digest of its secret.
        seq: Number of the last event that was folded.
    """

    by_digest: Mapping[str, Token] = field(default_factory=dict)
    seq: int = 0

    def __iter__(self) -> Iterator[Token]:
        return iter(self.by_digest.values())

    def __len__(self) -> int:
        return len(self.by_digest)

    def find(self, secret: str | bytes) -> Token | None:
        """The token with this secret, whatever its state, or None.

        >>> Tokens().find("amb_x") is None
        True
        """
        digest = secret_digest(secret)
        token = self.by_digest.get(digest)
        return token if token is not None and hmac.compare_digest(token.sha256, digest) else None

    def holder(self, secret: str | bytes, now: float) -> Token | None:
        """The token with this secret, if it is active now (seconds since 1970)."""
        token = self.find(secret)
        return token if token is not None and token.state(now) == "active" else None

    def named(self, name: str) -> list[Token]:
        """Tokens with this id, or else with this name."""
        return [t for t in self if t.id == name] or [t for t in self if t.name == name]


class TokenEvent(Protocol):
    """An event of the log (``records.Event``)."""

    @property
    def seq(self) -> int: ...
    @property
    def at(self) -> str: ...
    @property
    def by(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def body(self) -> Mapping[str, Any]: ...


def fold(events: Iterable[TokenEvent], before: Tokens | None = None) -> Tokens:
    """The tokens after these events.

    Args:
        events: Events in order; of other verbs only their number counts.
        before: The tokens after the events before.

    Returns:
        ``before`` itself where nothing is new.
    """
    before = before or Tokens()
    tokens, seq = dict(before.by_digest), before.seq
    for event in events:
        seq = max(seq, event.seq)
        if event.verb != VERB:
            continue
        body = event.body
        if body.get("do") == "new":
            digest = str(body["sha256"])
            tokens[digest] = Token(
                id=str(body["id"]), name=str(body.get("name") or ""), role=str(body["role"]), sha256=digest,
                models=tuple(map(str, body.get("models") or ())), expires=float(body["expires"]),
                made=event.at, by=event.by,
            )  # fmt: skip
        elif body.get("do") == "revoke":
            for digest, token in tokens.items():
                if token.id == body.get("id") and token.revoked is None:
                    tokens[digest] = Token(
                        token.id, token.name, token.role, token.sha256, token.models, token.expires, token.made,
                        token.by, revoked=event.at,
                    )  # fmt: skip
    return before if seq == before.seq else Tokens(tokens, seq)
