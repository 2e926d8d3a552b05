"""``token new|ls|revoke``, as people type it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

import ambidex
from ambidex import access
from ambidex.errors import AmbidexError
from ambidex.workspace import now, open_workspace


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("token") / "w"
    ambidex.init(home)
    return home


def test_made_listed_revoked(home: Path) -> None:
    made = ambidex.token("new", "shop", role="caller", at=home)
    secret = made.data["token"]
    assert made.data["state"] == "active" and secret in made.lines[0][1]
    listed = ambidex.token(at=home)
    assert [t["name"] for t in listed.data["tokens"]] == ["shop"]
    assert secret not in str(listed.data) + str(listed.lines)
    tokens = access.fold(open_workspace(home).store.events(verbs=("token",)))
    moment = now()
    assert tokens.holder(secret, moment.timestamp())
    assert tokens.holder(secret, (moment + timedelta(days=91)).timestamp()) is None
    assert ambidex.token("revoke", made.data["id"], at=home).data["state"] == "revoked"
    assert "already" in ambidex.token("revoke", "shop", at=home).lines[0][1]
    assert ambidex.token(at=home).data["tokens"][0]["state"] == "revoked"
    assert ambidex.doctor(at=home).passed


def test_the_secret_is_nowhere_in_the_workspace(home: Path) -> None:
    secret = ambidex.token("new", role="admin", expires="1h", at=home).data["token"]
    parts = [secret.encode(), secret[4:].encode()]
    for path in home.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert not any(p in data for p in parts), path


@pytest.mark.parametrize(
    ("what", "name", "options", "code"),
    [
        ("new", None, {}, "usage.option"),
        ("new", None, {"role": "root"}, "usage.value"),
        ("new", None, {"role": "caller", "expires": "soon"}, "usage.value"),
        ("new", None, {"role": "caller", "expires": "0s"}, "usage.value"),
        ("new", None, {"role": "caller", "expires": "99w99"}, "usage.value"),
        ("new", None, {"role": "caller", "expires": "5000w"}, "usage.value"),
        ("new", "A B", {"role": "caller"}, "usage.name"),
        ("new", None, {"role": "caller", "model": "churn"}, "data.no-model"),
        ("new", None, {"role": "caller", "model": ["../x"]}, "usage.name"),
        ("revoke", "nobody", {}, "data.no-token"),
        ("revoke", None, {}, "usage.value"),
        ("ls", None, {"role": "caller"}, "usage.value"),
        ("burn", None, {}, "usage.value"),
    ],
)
def test_refusals_change_nothing(home: Path, what: str, name: str | None, options: dict, code: str) -> None:
    store = open_workspace(home).store
    before = len(store.events())
    with pytest.raises(AmbidexError) as caught:
        ambidex.token(what, name, at=home, **options)
    assert caught.value.code == code
    assert len(store.events()) == before
