"""A table as every question sees it: named columns of Arrow, read once, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ambidex.data.cells import Cells
from ambidex.data.numbers import Parsed, parse
from ambidex.data.spelling import spell
from ambidex.errors import DataError, NotFound, did_you_mean

if TYPE_CHECKING:
    from ambidex.data.facts import ColumnFacts
    from ambidex.data.times import Times

__all__ = ["Table"]

Floats = np.ndarray[Any, np.dtype[np.float64]]
Objects = np.ndarray[Any, np.dtype[np.object_]]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows and named columns, and what the reader noticed on the way in.

    Attributes:
        name: As shown (`telco.csv`).
        source: Path or SELECT as given; None for a dataframe.
        arrow: The columns. From CSV all are text as the file writes it, an empty cell is null;
            from Parquet, Arrow and dataframes they keep their types. A ``ParquetColumns`` where they are too
            large to load: it reads a column when it is asked for.
        cautions: (code, text) pairs from reading.
        origin: How the table is made from its source: ``source``, ``prepare``.
        caller: ``pandas``, ``polars``, ``pyarrow`` or empty: the type that answers give back.
        files: Files that were read.
        first_line: Line of the file on which the first row stands, where every row is one line; else None.
    """

    name: str
    source: str | None
    arrow: Any  # pa.Table, or ParquetColumns, which answers as one
    cautions: tuple[tuple[str, str], ...] = ()
    origin: dict[str, Any] = field(default_factory=dict)
    caller: str = ""
    files: tuple[str, ...] = ()
    first_line: int | None = None
    _cache: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)

    @property
    def rows(self) -> int:
        """Number of rows."""
        count: int = self.arrow.num_rows
        return count

    @property
    def columns(self) -> list[str]:
        """Column names, in order."""
        return list(self._positions)

    @property
    def _positions(self) -> dict[str, int]:
        # Kept: at 20,000 columns a list built anew at each look-up took minutes.
        key = ("", "positions")
        if key not in self._cache:
            self._cache[key] = {name: i for i, name in enumerate(self.arrow.column_names)}
        positions: dict[str, int] = self._cache[key]
        return positions

    def column(self, name: str) -> pa.ChunkedArray:
        """A column as Arrow holds it."""
        return self.arrow.column(self._positions[self.require(name)])

    def require(self, name: str) -> str:
        """The name, if such a column is there.

        Raises:
            NotFound: ``data.no-column`` with the nearest name and the names found.
        """
        name = str(name)  # dataframes may have integers for names
        if name in self._positions:
            return name
        columns = self.columns
        shown = columns if len(columns) <= 12 else [*columns[:10], "…", columns[-1]]
        near = did_you_mean(str(name), columns)
        raise NotFound(
            "data.no-column",
            f"no column `{name}` in {self.name}{near}",
            where=self.source or self.name,
            found=f"{', '.join(shown)} ({len(columns):,} columns)",
            do=f"use {near.split('`')[1]}" if near else f"ambidex profile {self.source or 'TABLE'}",
        )

    def number(self, name: str) -> Floats:
        """A column as float64; NaN where it is missing, not a number or infinite. Shape (rows,).

        Text is read by ``numbers.parse``; a column that says only true and false gives 1 and 0; times
        give NaN. ``facts(name)`` counts what was not read.
        """
        numbers: Floats = self._once("number", name, self._number)
        return numbers

    def text(self, name: str) -> Objects:
        """A column as labels, spelled as the file writes them; None where missing or blank. Shape (rows,).

        Whole floats and integers are both ``1``; Booleans of a typed file are ``True`` and ``False``.
        """
        texts: Objects = self._once("text", name, self._text)
        return texts

    def spelled(self, name: str) -> pa.Array:
        """A column as Arrow strings, white space kept, null for null."""
        spelled: pa.Array = self._once("spelled", name, lambda n: spell(self.column(n)))
        return spelled

    def cells(self, name: str) -> Cells:
        """A column by its different values as text."""
        cells: Cells = self._once("cells", name, lambda n: Cells.of(self.spelled(n)))
        return cells

    def parsed(self, name: str) -> Parsed:
        """What each different value of a text column reads as, one for each of ``cells(name).levels``."""
        parsed: Parsed = self._once("parsed", name, lambda n: parse(self.cells(n).levels))
        return parsed

    def times(self, name: str) -> Times:
        """A column as times in UTC, and how they were read; see ``data/times.py``."""
        from ambidex.data.times import read_times

        times: Times = self._once("times", name, lambda n: read_times(self.column(n), self.cells(n)))
        return times

    def moments(self, name: str) -> np.ndarray[Any, np.dtype[np.datetime64]]:
        """A column as datetime64[us] in UTC, NaT where it is missing or no time. Shape (rows,)."""
        return self.times(name).values

    def facts(self, name: str) -> ColumnFacts:
        """What the column is and what is wrong with it; computed once."""
        from ambidex.data.facts import column_facts

        facts: ColumnFacts = self._once("facts", name, lambda n: column_facts(self, n))
        return facts

    def select(self, names: Sequence[str]) -> Table:
        """These columns, in this order."""
        return self._with(self.arrow.select([self.require(n) for n in names]))

    def without(self, names: Sequence[str]) -> Table:
        """All columns but these."""
        drop = {self.require(n) for n in names}
        return self._with(self.arrow.select([c for c in self.columns if c not in drop]))

    def take(self, rows: Any) -> Table:
        """Rows by Boolean mask, shape (rows,), or by index, in the order given."""
        index = np.asarray(rows)
        if index.dtype == bool:
            return self._with(self.arrow.filter(pa.array(index)), first_line=None)
        return self._with(self.arrow.take(pa.array(index.astype(np.int64))), first_line=None)

    @property
    def is_large(self) -> bool:
        """True if the cells are not in memory: then a question should ask DuckDB for sums, not for columns."""
        return not isinstance(self.arrow, pa.Table)

    def where(self, name: str, label: str) -> Table:
        """The rows whose cell is spelled so."""
        if not self.is_large:
            return self.take(pc.fill_null(pc.equal(self.spelled(name), label), False).to_numpy(zero_copy_only=False))
        from ambidex.data.sql import literal, quote

        column = quote(self.require(name))
        found = self.arrow.query(f"SELECT DISTINCT {column} AS v, {column}::VARCHAR AS t FROM {self.arrow.relation}")
        hits = pc.fill_null(pc.equal(spell(found.column("v")), label), False)
        texts = [literal(t) for t in found.column("t").filter(hits).to_pylist()]
        return self._with(self.arrow.where(f"{column}::VARCHAR IN ({', '.join(texts)})" if texts else "false"))

    def head(self, count: int) -> Table:
        """The first rows."""
        return self._with(self.arrow.slice(0, count))

    def with_column(self, name: str, values: Any) -> Table:
        """The table with a column added at the end, or replaced where it stands."""
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else to_array(values)
        if len(column) != self.rows:
            raise DataError(
                "data.ragged",
                f"column `{name}` has {len(column):,} values for {self.rows:,} rows",
                where=self.name,
            )
        if name in self._positions:
            return self._with(self.arrow.set_column(self._positions[name], name, column))
        return self._with(self.arrow.append_column(name, column))

    def _with(self, arrow: pa.Table, **changes: Any) -> Table:
        return replace(self, arrow=arrow, _cache={}, **changes)

    def _once(self, kind: str, name: str, make: Any) -> Any:
        name = self.require(name)
        if (kind, name) not in self._cache:
            made = make(name)
            if self.is_large and kind != "facts":
                return made  # kept, every column that was ever asked for would stay in memory
            if isinstance(made, np.ndarray):
                made.flags.writeable = False  # shared by all who ask
            self._cache[kind, name] = made
        return self._cache[kind, name]

    def _number(self, name: str) -> Floats:
        column = self.column(name)
        kind = column.type
        if pt.is_boolean(kind) or pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
            values: Floats = column.cast(pa.float64(), safe=False).to_numpy()
            if not np.isinf(values).any():
                return values
            return np.where(np.isinf(values), np.nan, values)
        if pt.is_temporal(kind):
            return np.full(self.rows, np.nan)
        cells, parsed = self.cells(name), self.parsed(name)
        if not parsed.number.any():
            truth = cells.truth()
            return truth if truth is not None else np.full(self.rows, np.nan)
        numbers: Floats = cells.spread(parsed.values, np.nan)
        return numbers

    def _text(self, name: str) -> Objects:
        cells = self.cells(name)
        levels = np.array(cells.levels.to_pylist(), dtype=object)
        levels[cells.is_blank] = None
        texts: Objects = cells.spread(levels, None)
        return texts


def to_array(values: Any) -> pa.Array:
    """Values as an Arrow column: NaN in a float array is a missing value."""
    if isinstance(values, np.ndarray):
        if values.dtype.kind == "f":
            return pa.array(values, from_pandas=True)
        if values.dtype.kind in "OU":
            return pa.array(values.tolist())
    return pa.array(values)
