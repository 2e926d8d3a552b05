"""Where a table came from, as a workspace names it: paths relative to its folder, dataframes kept as files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from ambidex.data.fingerprint import row_hash, row_hashes
from ambidex.data.table import Table

__all__ = ["keep_frame"]


def keep_frame(table: Table, folder: Path) -> Table:
    """The table with ``origin["source"]`` such that the workspace can read it again.

    A file inside the workspace is named relative to it, so that the folder can move; a dataframe is written
    once, under the hash of its columns' names and types and of its rows.
    """
    source = table.origin.get("source", table.source)
    if source is None:
        return replace(table, origin={**table.origin, "source": _write(table, folder)})
    if source.lstrip().upper().startswith("SELECT") or "://" in source:
        return replace(table, origin={**table.origin, "source": source})
    path = Path(source).absolute()
    here = os.path.relpath(path, folder) if path.is_relative_to(folder) else str(path)
    return replace(table, origin={**table.origin, "source": here})


def _write(table: Table, folder: Path) -> str:
    from pyarrow import parquet

    home = folder / ".ambidex" / "tables"
    home.mkdir(parents=True, exist_ok=True)
    # A row's hash knows cells as text, not the columns' names and types; both make another table of the same cells.
    said = [[field.name, str(field.type)] for field in table.arrow.schema]
    name = hashlib.sha256(f"{said!r} {row_hash(row_hashes(table))}".encode()).hexdigest()
    path = home / f"{name[:32]}-{table.rows}.parquet"
    if not path.exists():
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        parquet.write_table(table.arrow, temporary)
        temporary.replace(path)
    return os.path.relpath(path, folder)
