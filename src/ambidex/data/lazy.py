"""Parquet files that are too large to load: what they hold is known, and each column is read when it is asked for.

``ParquetColumns`` stands where an Arrow table stands in ``Table.arrow``. Questions that can be answered from sums do
not read columns at all: ``data/aggregate.py`` lets DuckDB stream over the files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ambidex.data.arrows import tidy
from ambidex.data.files import Snapshot, look, snapshot
from ambidex.data.sql import connect, literal, quote
from ambidex.errors import DataError

__all__ = ["LARGE_MIB", "ParquetColumns", "open_large"]

LARGE_MIB = 512
"""A Parquet table that would take more memory than this is not loaded. ``AMBIDEX_LARGE_MIB`` sets another limit."""


def _limit() -> int:
    given = os.environ.get("AMBIDEX_LARGE_MIB", "")
    return (int(given) if given.isdecimal() else LARGE_MIB) << 20


@dataclass(frozen=True, eq=False)
class ParquetColumns:
    """Columns of Parquet files with the same columns, unread.

    Attributes:
        files: As they were when they were opened, in order.
        schema: Names and types, made plain as ``arrows.tidy`` makes them.
        num_rows: Rows that the conditions leave.
        conditions: SQL conditions on the rows.
    """

    files: tuple[Snapshot, ...]
    schema: pa.Schema
    num_rows: int
    conditions: tuple[str, ...] = ()

    @property
    def column_names(self) -> list[str]:
        """Names, in order."""
        names: list[str] = self.schema.names
        return names

    @property
    def num_columns(self) -> int:
        """How many."""
        return len(self.schema)

    @property
    def paths(self) -> list[Path]:
        """The files."""
        return [f.path for f in self.files]

    @property
    def relation(self) -> str:
        """The rows as an SQL expression to select from, on a connection that may open ``paths``."""
        files = ", ".join(literal(str(p)) for p in self.paths)
        scan = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false)"
        return f"(SELECT * FROM {scan} WHERE {' AND '.join(self.conditions)})" if self.conditions else scan

    def connect(self) -> Any:
        """A locked connection that may open the files; close it."""
        return connect(allow=self.paths)

    def query(self, statement: str, parameters: Sequence[Any] = ()) -> pa.Table:
        """Run a statement that selects from ``relation``."""
        connection = self.connect()
        try:
            return connection.sql(statement, params=list(parameters)).to_arrow_table()
        finally:
            connection.close()

    def different(self, name: str, most: int | None = None) -> pa.ChunkedArray:
        """The different values of a column, null left out, in no order; one more than ``most`` at the most."""
        limit = "" if most is None else f" LIMIT {int(most) + 1}"
        column = quote(name)
        statement = f"SELECT DISTINCT {column} FROM {self.relation} WHERE {column} IS NOT NULL{limit}"
        return self.query(statement).column(0)

    def column(self, index: int) -> pa.ChunkedArray:
        """A column, read whole."""
        field = self.schema.field(index)
        if self.conditions:
            read = self.query(f"SELECT {quote(field.name)} FROM {self.relation}").column(0)
        else:
            parts = [_read(path, field.name) for path in self.paths]
            read = pa.chunked_array([c for p in parts for c in p.chunks], type=parts[0].type)
        plain: pa.ChunkedArray = tidy(pa.table({field.name: read}), field.name)[0].column(0)
        return plain if plain.type == field.type else plain.cast(field.type)

    def select(self, names: Sequence[str]) -> ParquetColumns:
        """These columns, in this order."""
        return replace(self, schema=pa.schema([self.schema.field(n) for n in names]))

    def where(self, condition: str) -> ParquetColumns:
        """The rows that meet an SQL condition."""
        some = replace(self, conditions=(*self.conditions, f"({condition})"))
        rows = self.query(f"SELECT count(*) FROM {some.relation}").column(0)[0].as_py()
        return replace(some, num_rows=int(rows))

    def slice(self, start: int, length: int) -> pa.Table:
        """Rows from a place on, in memory."""
        names = ", ".join(quote(n) for n in self.column_names)
        found = self.query(f"SELECT {names} FROM {self.relation} LIMIT {int(length)} OFFSET {int(start)}")
        return tidy(found, "the table")[0].cast(self.schema)

    def take(self, index: Any) -> pa.Table:
        """Rows by place, in memory; one column after another is read."""
        return pa.table([self.column(i).take(index) for i in range(self.num_columns)], schema=self.schema)

    def filter(self, mask: Any) -> pa.Table:
        """Rows by mask, in memory; one column after another is read."""
        return pa.table([self.column(i).filter(mask) for i in range(self.num_columns)], schema=self.schema)

    @cached_property
    def _size(self) -> int:
        return _inflated(self.paths, self.schema, self.num_rows)

    def load(self) -> pa.Table:
        """Everything, in memory.

        Raises:
            DataError: ``data.format`` if that is more than 8 GiB.
        """
        from ambidex.data.columnar import INFLATED

        if self._size > INFLATED:
            raise DataError(
                "data.format",
                f"{self.paths[0].name} would take {self._size / 2**30:.1f} GiB in memory",
                where=str(self.paths[0]),
                found=f"the limit is {INFLATED >> 30} GiB",
                do="select columns or rows first: \"SELECT … FROM '" + self.paths[0].name + "'\"",
            )
        return pa.table([self.column(i) for i in range(self.num_columns)], schema=self.schema)

    def __getattr__(self, name: str) -> Any:
        # Whatever else an Arrow table can do is done in memory.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.load(), name)

    def verify(self) -> None:
        """Raises DataError ``data.changed`` if a file changed since it was opened."""
        for file in self.files:
            file.verify()

    @cached_property
    def _groups(self) -> list[tuple[Path, int]]:
        """Row groups of the files."""
        import pyarrow.parquet as pq

        groups: list[tuple[Path, int]] = []
        for path in self.paths:
            with pq.ParquetFile(path) as file:
                groups += [(path, i) for i in range(file.metadata.num_row_groups)]
        return groups

    def sample(self, names: Sequence[str], *, places: int = 8, rows: int = 4096) -> pa.Table:
        """Some rows from places spread over the files: what the columns are like, nothing more."""
        import pyarrow.parquet as pq

        if self.conditions:
            return self.select(list(names)).slice(0, places * rows)
        chosen = [self._groups[i] for i in np.unique(np.linspace(0, len(self._groups) - 1, places).astype(int))]
        parts, rows = [], places * rows // len(chosen)
        for path, group in chosen:
            with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 16) as file:
                batches = file.iter_batches(batch_size=rows, row_groups=[group], columns=list(names), use_threads=False)
                batch = next(iter(batches), None)
                if batch is not None and batch.num_rows:
                    parts.append(pa.Table.from_batches([batch]).select(list(names)))
        return tidy(pa.concat_tables(parts, promote_options="permissive"), "the table")[0]


def open_large(files: Sequence[Path]) -> tuple[ParquetColumns, list[tuple[str, str]]] | None:
    """Parquet files as columns to be read later, and cautions; None if they fit into memory or are something else.

    Names that are not plain (blank, or twice), and files whose columns differ, are left to the ordinary reader, which
    says what is wrong with them.
    """
    import pyarrow.parquet as pq

    snapshots, schemas, rows = [], [], 0
    for path in files:
        snapshots.append(snapshot(path))
        if look(path).kind != "parquet":
            return None
        try:
            with pq.ParquetFile(path) as file:
                schemas.append(file.schema_arrow.remove_metadata())
                rows += file.metadata.num_rows
        except (pa.ArrowException, OSError, ValueError):
            return None
    if not rows or _inflated(files, schemas[0], rows) <= _limit():
        return None
    names = schemas[0].names
    if any(not n.strip() for n in names) or len(set(names)) < len(names):
        return None
    if any(set(s.names) != set(names) or len(s.names) != len(names) for s in schemas):
        return None
    try:
        common = pa.unify_schemas(
            [pa.schema([s.field(n) for n in names]) for s in schemas], promote_options="permissive"
        )
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return None
    one = pa.table([pa.nulls(1, f.type) for f in common], schema=pa.schema([f.with_nullable(True) for f in common]))
    plain, cautions = tidy(one, files[0].name)
    return ParquetColumns(tuple(snapshots), plain.schema, rows), cautions


def _inflated(files: Sequence[Path], schema: pa.Schema, rows: int) -> int:
    """Bytes in memory, at least: what the columns' types take, and what the file says they take unpacked."""
    import pyarrow.parquet as pq

    said = 0
    for path in files:
        with pq.ParquetFile(path) as file:
            said += sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
    width = 0
    for field in schema:
        try:
            width += max(1, field.type.bit_width // 8)
        except ValueError:
            width += 8
    return max(said, rows * width)


def _read(path: Path, name: str) -> pa.ChunkedArray:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return file.read(columns=[name]).column(name)
    except (pa.ArrowException, OSError, ValueError) as e:
        raise DataError(
            "data.format",
            f"{path.name} starts as a Parquet file but is damaged",
            where=f"{path}, column {name}",
            found=" ".join(str(e).split())[:200],
            do="write or copy the file again",
        ) from e
