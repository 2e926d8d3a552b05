"""What the prediction log may keep of a row: each column as it is, as a keyed hash, or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ambidex.data.frames import rider_text
from ambidex.settings import Settings

__all__ = ["Privacy", "log_key", "privacy_of"]

KEY = "log.key"
BYTES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Privacy:
    """Columns that do not enter the log as they are.

    A hash is keyed: who has the log but not the key cannot try values. The same value gives the same hash in
    every worker and for ever, so that hashed keys and entities still join.

    Attributes:
        hashed: Columns logged as a hash.
        dropped: Columns not logged.
        key: Of this workspace.
    """

    hashed: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    key: bytes = b""

    def __bool__(self) -> bool:
        return bool(self.hashed or self.dropped)

    def hash(self, value: Any) -> str:
        """A value's hash, 24 hexadecimal digits; a number and its text have the same.

        >>> rule = Privacy(hashed=frozenset({"email"}), key=b"k")
        >>> rule.hash(7) == rule.hash("7") == rule.hash(7.0)
        True
        """
        return hashlib.blake2b(rider_text(value).encode(), digest_size=BYTES, key=self.key).hexdigest()

    def row(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A row as the log keeps it; a missing value stays missing."""
        hashed, dropped = self.hashed, self.dropped
        return {
            n: self.hash(v) if n in hashed and v is not None else v for n, v in row.items() if n not in dropped
        }  # fmt: skip

    def body(self, body: bytes) -> bytes:
        """A request's bytes as the log keeps them.

        >>> Privacy(dropped=frozenset({"b"})).body(b'{"rows": [{"a": 1, "b": 2}]}')
        b'{"rows":[{"a":1}]}'
        """
        value = msgspec.json.decode(body)
        rows = value.get("rows")
        bare = not isinstance(rows, list)
        kept = [self.row(r) for r in ([value] if bare else rows)]
        return msgspec.json.encode({"rows": kept})

    def payload(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """A record of the log, its row and riders as the log keeps them."""
        kept = dict(payload)
        for part in ("row", "riders"):
            if isinstance(found := payload.get(part), dict):
                kept[part] = self.row(found)
        return kept


def privacy_of(settings: Settings, folder: Path, model: str) -> Privacy:
    """What ``[models.NAME.log]`` says.

    Args:
        settings: The workspace's.
        folder: The workspace's ``.ambidex``.
        model: Model's name.
    """
    said = settings.models.get(model)
    if said is None or not (said.log.hash or said.log.drop):
        return Privacy()
    key = log_key(folder) if said.log.hash else b""
    return Privacy(hashed=frozenset(said.log.hash), dropped=frozenset(said.log.drop), key=key)


def log_key(folder: Path) -> bytes:
    """The key of the hashes of a workspace's log, made the first time: ``.ambidex/log.key``, for its owner only.

    Without it hashes that were logged can no longer be matched to values.

    Args:
        folder: The workspace's ``.ambidex``.
    """
    path = folder / KEY
    with suppress(FileNotFoundError):
        return bytes.fromhex(path.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{KEY}.{os.getpid()}-{secrets.token_hex(3)}.new")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)  # whoever comes first makes it; the others read it
    finally:
        temporary.unlink(missing_ok=True)
    return bytes.fromhex(path.read_text())
