"""Which rows a table holds, in any order; what is new in it; and the fifth that is held out.

The hash of a row is stated here so that any engine can compute it: the cells as text
(``data/spelling.py``), each followed in column order and joined by U+001F, U+001E for a missing
cell, in UTF-8; md5 of that; its last 8 bytes read as a little-endian integer (DuckDB:
``md5_number_lower``). The hash of a table is the number of rows and the sum of its rows' hashes
modulo 2^64.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ambidex.data.table import Table
from ambidex.records import DataManifest, FileEntry

__all__ = ["content_hash", "file_entry", "folds", "holdout", "manifest", "new_rows", "row_hash", "row_hashes"]

Hashes = np.ndarray[Any, np.dtype[np.uint64]]


def row_hashes(table: Table) -> Hashes:
    """One hash a row, of its cells as text. Shape (rows,).

    Columns count in their order in the table; their names do not enter.
    """
    if not table.columns:
        return np.zeros(table.rows, dtype=np.uint64)
    key = ("", "row hashes")
    if key not in table._cache:
        cells = [pc.fill_null(table.spelled(name), "\x1e") for name in table.columns]
        made = _md5(cells[0] if len(cells) == 1 else pc.binary_join_element_wise(*cells, "\x1f"))
        made.flags.writeable = False  # shared by all who ask
        table._cache[key] = made
    hashes: Hashes = table._cache[key]
    return hashes


def row_hash(hashes: Hashes) -> str:
    """The hash of a whole table: rows, and the sum of the rows' hashes modulo 2^64, in hex.

    >>> row_hash(np.array([1, 2], dtype=np.uint64))
    '2-0000000000000003'
    """
    with np.errstate(over="ignore"):
        total = int(np.sum(hashes, dtype=np.uint64)) if len(hashes) else 0
    return f"{len(hashes)}-{total:016x}"


def content_hash(table: Table) -> str:
    """What the table holds as one hash: of its rows in any order, or of its files where it is not in memory.

    Raises:
        DataError: ``data.changed`` if a file changed since the table was opened.
    """
    if not table.is_large:
        return row_hash(row_hashes(table))
    key = ("", "content")
    if key not in table._cache:
        columns = table.arrow
        columns.verify()
        sha = hashlib.sha256("\n".join(columns.conditions).encode())
        for file in sorted(file_entry(path).sha256 for path in columns.paths):
            sha.update(bytes.fromhex(file))
        table._cache[key] = f"{table.rows}-files-{sha.hexdigest()[:32]}"
    found: str = table._cache[key]
    return found


def manifest(
    table: Table, *, base: Path | None = None, parent: str | None = None, as_of: str | None = None
) -> DataManifest:
    """The data version that a table is: its files byte for byte, its rows in any order.

    Args:
        table: The table.
        base: Folder that the source is named relative to, where it lies inside.
        parent: Fingerprint of the version before.
        as_of: Last value of the declared event time.
    """
    source = table.source or ""
    if base is not None and source and Path(source).is_absolute():
        inside = Path(source)
        if inside.is_relative_to(base):
            source = inside.relative_to(base).as_posix()
    return DataManifest(
        source=source,
        files=tuple(file_entry(Path(f), base) for f in sorted(table.files)),
        rows=table.rows,
        columns=tuple(table.columns),
        row_hash=row_hash(row_hashes(table)),
        parent=parent,
        as_of=as_of,
    )


def file_entry(path: Path, base: Path | None = None) -> FileEntry:
    """Name, size and sha256 of a file."""
    sha, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            sha.update(chunk)
            size += len(chunk)
    resolved = path.resolve()
    inside = base is not None and resolved.is_relative_to(base.resolve())
    name = resolved.relative_to(base.resolve()).as_posix() if inside and base else path.name
    return FileEntry(name=name, size=size, sha256=sha.hexdigest())


def holdout(table: Table, key: str | None) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """True for the fifth of the units that no version trains on. Shape (rows,).

    The side depends on the unit alone (the text of its key, or all cells of the row where there is
    no key), so that it is the same in every data version. A missing key falls on the training side.
    """
    if key is None:
        return _fifth(row_hashes(table))
    text = table.spelled(table.require(key))
    known: np.ndarray[Any, np.dtype[np.bool_]] = pc.is_valid(text).to_numpy(zero_copy_only=False)
    return _fifth(_md5(pc.fill_null(text, "\x1e"))) & known


def folds(table: Table, key: str | None, count: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A part 0 ... count-1 for each row, by the lower digits of its unit's hash. Shape (rows,).

    ``holdout`` cuts by the upper ones, so that parts of what is not held out stay balanced.
    """
    if key is None:
        hashes = row_hashes(table)
    else:
        hashes = _md5(pc.fill_null(table.spelled(table.require(key)), "\x1e"))
    return ((hashes & np.uint64(0xFFFFFFFF)) % np.uint64(count)).astype(np.int64)


def new_rows(hashes: Hashes, parent_hashes: Hashes) -> int:
    """How many rows of a version its parent does not hold, counting repeats.

    >>> new_rows(np.array([1, 1, 2, 3], dtype=np.uint64), np.array([1, 3], dtype=np.uint64))
    2
    """
    values, counts = np.unique(hashes, return_counts=True)
    old, old_counts = np.unique(parent_hashes, return_counts=True)
    at = np.searchsorted(old, values)
    at[at == len(old)] = 0
    before = np.where(old[at] == values, old_counts[at], 0) if len(old) else np.zeros_like(counts)
    return int(np.maximum(counts - before, 0).sum())


def _fifth(hashes: Hashes) -> np.ndarray[Any, np.dtype[np.bool_]]:
    # The upper half, so that folds cut by the lower digits of the same hash stay balanced.
    side: np.ndarray[Any, np.dtype[np.bool_]] = (hashes >> np.uint64(32)) % np.uint64(5) == 0
    return side


def _md5(text: pa.Array) -> Hashes:
    md5 = hashlib.md5
    tails = b"".join(md5(cell, usedforsecurity=False).digest()[8:] for cell in _bytes(text))
    return np.frombuffer(tails, dtype="<u8").astype(np.uint64)


def _bytes(text: pa.Array) -> list[bytes]:
    cells: list[bytes] = pc.cast(text, pa.binary()).to_pylist()
    return cells
