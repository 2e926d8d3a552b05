"""The record under every answer: what reproduces it."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Any

from ambidex.data.fingerprint import content_hash
from ambidex.data.table import Table
from ambidex.records import DataManifest

__all__ = ["command_line", "record"]

PACKAGES = ("ambidex", "numpy", "scipy", "pyarrow", "duckdb")


def record(table: Table, *, verb: str, options: Mapping[str, Any], seed: int | None = None) -> dict[str, Any]:
    """Data fingerprint, rows, options, seed, versions, command, origin of the data, and the caller's kind of table.

    Args:
        table: The table that was asked.
        verb: The verb.
        options: Its options by their Python names; those that are None, False or empty are left out.
        seed: Seed of random steps, if there were any.
    """
    given = {k: v for k, v in options.items() if v is not None and v is not False and v != () and v != []}
    manifest = DataManifest(
        source=table.source or "",
        files=(),
        rows=table.rows,
        columns=tuple(table.columns),
        row_hash=content_hash(table),
    )
    return {
        "fingerprint": manifest.fingerprint,
        "rows": table.rows,
        "columns": len(table.columns),
        "options": given,
        "seed": seed,
        "versions": dict(_versions()),
        "command": command_line(table, verb, given),
        "origin": dict(table.origin),
        "caller": table.caller,
    }


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    # Kept: reading five packages' metadata took half the time of a small answer.
    return (("python", platform.python_version()), *((p, version(p)) for p in PACKAGES))


def command_line(table: Table, verb: str, options: Mapping[str, Any]) -> str:
    """The same question as a command to copy; a dataframe is named TABLE.

    >>> import pyarrow as pa
    >>> from ambidex.data.read import read
    >>> command_line(read(pa.table({"a": [1]})), "drivers", {"target": "Churn", "exclude": ["a b", "c"]})
    "ambidex drivers TABLE --target Churn --exclude 'a b' --exclude c"
    """
    words = ["ambidex", verb, _quoted(_tidy(table.source)) if table.source else "TABLE"]
    for name, value in options.items():
        option = "--" + name.replace("_", "-")
        for one in value if isinstance(value, list | tuple) else [value]:
            words += [option] if one is True else [option, _quoted(str(one))]
    return " ".join(words)


def _tidy(source: str) -> str:
    """A path without `..` and `.` in it; a SELECT or an address as it is."""
    if "://" in source or source.lstrip()[:6].lower() in ("select", "with ("):
        return source
    return os.path.normpath(source) if os.sep in source else source


def _quoted(word: str) -> str:
    """For a shell; text that holds single quotes, as a SELECT does, in double ones.

    >>> print(_quoted("SELECT * FROM 'a.csv'"))
    "SELECT * FROM 'a.csv'"
    """
    if "'" in word and not any(c in word for c in '"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)
