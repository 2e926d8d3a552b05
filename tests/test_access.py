"""Roles, tokens and their fold."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ambidex import access
from ambidex.records import Event

MADE = "2026-01-01T00:00:00.000000Z"


def new(seq: int, secret: str, **also: Any) -> Event:
    digest = access.secret_digest(secret)
    body = {"do": "new", "id": digest[:8], "name": "a", "role": "caller", "models": [], "expires": 100.0}
    return Event(seq=seq, at=MADE, by="ada", verb="token", body={**body, "sha256": digest, **also})


def revoke(seq: int, secret: str) -> Event:
    body = {"do": "revoke", "id": access.secret_digest(secret)[:8]}
    return Event(seq=seq, at="2026-01-02T00:00:00.000000Z", by="bob", verb="token", body=body)


def test_the_ladder_of_roles() -> None:
    may = {role: {a for a in access.ACTIONS if access.allowed(role, a)} for role in access.ROLES}
    assert may["viewer"] == {"describe", "read"}
    assert may["caller"] == {"describe", "predict", "label"}
    assert may["viewer"] | may["caller"] < may["analyst"] < may["engineer"] < may["admin"] == set(access.ACTIONS)
    assert "promote" in may["engineer"] - may["analyst"] and "token" in may["admin"] - may["engineer"]


@given(st.text(), st.text())
def test_what_is_not_named_is_not_allowed(role: str, action: str) -> None:
    known = role in access.ROLES and action in access.ACTIONS
    assert known or not access.allowed(role, action)


def test_a_secret_has_256_bits_and_only_its_digest_is_kept() -> None:
    secrets = {access.fresh_secret() for _ in range(200)}
    assert len(secrets) == 200 and all(s.startswith("amb_") and len(s) == 4 + 43 for s in secrets)
    secret = secrets.pop()
    token = access.fold([new(1, secret)]).find(secret)
    assert token is not None and token.sha256 == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in repr(token)


def test_active_until_it_expires_or_is_revoked() -> None:
    tokens = access.fold([new(1, "amb_a"), new(2, "amb_b", models=["churn"])])
    assert tokens.holder("amb_a", 99.9) and tokens.holder("amb_a", 100.0) is None
    assert tokens.holder("amb_c", 0) is None and tokens.holder("amb_a ", 0) is None and tokens.holder("", 0) is None
    token = tokens.find(b"amb_b")
    assert token and token.may("predict", "churn") and not token.may("predict", "taxi") and token.may("describe")
    assert not token.may("read", "churn")
    after = access.fold([revoke(7, "amb_b")], tokens)
    assert after.seq == 7 and after.holder("amb_b", 0) is None and after.holder("amb_a", 0)
    assert tokens.holder("amb_b", 0), "what was folded before is not changed"
    found = after.find("amb_b")
    assert found and (found.state(0), found.revoked) == ("revoked", "2026-01-02T00:00:00.000000Z")


def test_a_fold_in_parts_is_the_fold_of_all() -> None:
    events = [new(1, "amb_a"), new(3, "amb_b"), revoke(4, "amb_a"), revoke(9, "amb_x")]
    whole = access.fold(events)
    parts = None
    for event in events:
        parts = access.fold([event], parts)
    assert parts == whole and len(whole) == 2 and whole.seq == 9
    assert access.fold([], whole) is whole
