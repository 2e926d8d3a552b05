"""Tokens: made, listed, revoked. Each is an event of the log; the secret itself is shown once and kept nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ambidex import access
from ambidex.errors import NotFound, UsageError, did_you_mean
from ambidex.ports import Place
from ambidex.records import check_name
from ambidex.report.answer import Mark, Result
from ambidex.settings import duration

__all__ = ["EXPIRES", "list_tokens", "new_token", "revoke_token"]

EXPIRES = "90d"
LONGEST_S = 10 * 366 * 86400.0


def new_token(
    place: Place, *, role: str | None, models: Sequence[str] = (), expires: str = EXPIRES, name: str | None = None
) -> Result:
    """Make a token; the only moment at which its secret is seen.

    Raises:
        UsageError: ``usage.option``, ``usage.value``, ``usage.name``.
        NotFound: ``data.no-model``.
    """
    if role is None:
        raise UsageError(
            "usage.option", "`token new` needs --role ROLE", where="option --role", found=", ".join(access.ROLES),
            do="ambidex token new --role caller",
        )  # fmt: skip
    if role not in access.ROLES:
        raise UsageError(
            "usage.value", f"there is no role {role[:40]!r}{did_you_mean(role, access.ROLES)}", where="option --role",
            found=", ".join(access.ROLES), do="ambidex token new --role caller",
        )  # fmt: skip
    try:
        seconds = duration(expires)
    except UsageError as error:
        raise UsageError(
            "usage.value", error.message, where="option --expires", found=error.found, do="--expires 90d"
        ) from None
    if not 0 < seconds <= LONGEST_S:
        raise UsageError(
            "usage.value", f"a token cannot hold for {expires}", where="option --expires",
            found="more than 0 s, ten years at most", do="--expires 90d",
        )  # fmt: skip
    for model in models:
        check_name(model)
        place.store.model(model)
    secret = access.fresh_secret()
    digest = access.secret_digest(secret)
    short = digest[: access.ID]
    label = check_name(name) if name else f"{role}-{short}"
    until = place.clock().timestamp() + seconds
    body: dict[str, Any] = {
        "do": "new", "id": short, "name": label, "role": role, "models": list(dict.fromkeys(models)),
        "expires": until, "sha256": digest,
    }  # fmt: skip
    event = place.store.append(verb=access.VERB, body=body)
    token = access.fold([event]).by_digest[digest]
    data = {"token": secret, **token.to_dict(place.clock().timestamp())}
    lines: tuple[tuple[Mark, str], ...] = (
        (" ", secret),
        ("✓", f"{token.name}: {_may(token)}, until {data['expires']}"),
        ("▲", "shown this once: nothing here can show it again"),
    )
    return Result(verb="token", data=data, lines=lines, next=("ambidex token ls", f"ambidex token revoke {short}"))


def list_tokens(place: Place) -> Result:
    """All tokens, newest last, without their secrets."""
    now = place.clock().timestamp()
    tokens = list(_tokens(place))
    marks: dict[str, Mark] = {"active": "✓", "expired": "▲", "revoked": " "}
    lines: list[tuple[Mark, str]] = []
    for token in tokens:
        said = token.to_dict(now)
        state = f"until {said['expires']}" if said["state"] == "active" else said["state"]
        lines.append((marks[said["state"]], f"{token.id}  {token.name}  {_may(token)}, {state}"))
    if not lines:
        lines = [(" ", "no token was made yet: only callers on this machine are answered, and they need none")]
    return Result(
        verb="token", data={"tokens": [t.to_dict(now) for t in tokens]}, lines=tuple(lines),
        next=() if tokens else ("ambidex token new --role caller",),
    )  # fmt: skip


def revoke_token(place: Place, name: str) -> Result:
    """Revoke a token by its id or name; servers that run follow within 5 s.

    Raises:
        NotFound: ``data.no-token``.
    """
    tokens = _tokens(place)
    now = place.clock().timestamp()
    found = tokens.named(name)
    standing = [t for t in found if t.revoked is None] or found
    if not standing:
        known = [t.id for t in tokens] + [t.name for t in tokens]
        raise NotFound(
            "data.no-token", f"there is no token {name[:80]!r}{did_you_mean(name, known)}",
            found=f"{len(tokens)} tokens" if len(tokens) else "no token was made yet", do="ambidex token ls",
        )  # fmt: skip
    if len(standing) > 1:
        raise UsageError(
            "usage.value", f"{len(standing)} tokens have the name {name}", where="the token's name",
            found=", ".join(t.id for t in standing), do=f"ambidex token revoke {standing[0].id}",
        )  # fmt: skip
    token = standing[0]
    if token.revoked is None:
        event = place.store.append(verb=access.VERB, body={"do": "revoke", "id": token.id})
        token = access.fold([event], tokens).by_digest[token.sha256]
        said = "revoked; servers that run refuse it within 5 s"
    else:
        said = f"was revoked already, on {token.revoked}"
    return Result(verb="token", data=token.to_dict(now), lines=(("✓", f"{token.id} {token.name}: {said}"),))


def _tokens(place: Place) -> access.Tokens:
    return access.fold(place.store.events(verbs=(access.VERB,)))


def _may(token: access.Token) -> str:
    return f"{token.role} of {', '.join(token.models) if token.models else 'every model'}"
