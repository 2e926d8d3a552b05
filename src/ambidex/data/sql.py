"""DuckDB behind a locked door, and the one function that quotes identifiers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["connect", "literal", "quote"]

MEMORY = "2GiB"
SPILL = "20GiB"


def quote(identifier: str) -> str:
    """A name as an SQL identifier. Every statement in the product takes its names from here.

    >>> quote('a"; DROP TABLE t; --')
    '"a""; DROP TABLE t; --"'
    """
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text as an SQL string literal, for the few places that take no parameter.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + text.replace("'", "''") + "'"


def connect(*, allow: Sequence[Path] = ()) -> Any:
    """A DuckDB connection in memory that can open the files in ``allow`` and nothing else.

    No network, no other file, no extension, no Python variable by name, two threads, bounded
    memory and spill; the configuration is locked, so no statement can loosen it.

    Args:
        allow: Files that may be read.

    Returns:
        A ``duckdb.DuckDBPyConnection``; close it.
    """
    import tempfile

    import duckdb

    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "temp_directory": str(Path(tempfile.gettempdir()) / "ambidex-spill"),
            "memory_limit": MEMORY,
            "max_temp_directory_size": SPILL,
            "threads": "2",
            "preserve_insertion_order": "true",
            "python_enable_replacements": "false",
        },
    )
    if allow:
        paths = ", ".join(literal(str(p)) for p in allow)
        connection.execute(f"SET allowed_paths = [{paths}]")
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    return connection
