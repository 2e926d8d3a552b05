"""CSV files: separator and header by our own look, cells by DuckDB, faults by a second look in Python.

A fast look (``shape.py``) decides whether the file is plainly a rectangle. If so DuckDB reads it with
nothing left to guess: separator, quote and columns are given, every cell is text. If not, a slow pass
(``faults.py``) finds the line and says what is wrong there, or finds nothing and Python reads it.
"""

from __future__ import annotations

import codecs
import csv
import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ambidex.data.faults import find_fault
from ambidex.data.files import Content
from ambidex.data.shape import check_shape
from ambidex.data.sql import connect, literal
from ambidex.errors import DataError

__all__ = ["Layout", "read_csv"]

SEPARATORS = (",", ";", "\t", "|")
SAMPLE_BYTES = 1 << 18
SAMPLE_RECORDS = 200
CELL_LIMIT = 8 << 20
WESTERN = "cp1252"
WIDE = 512  # DuckDB takes far longer than Python for files of very many columns and few rows


@dataclass(frozen=True, slots=True)
class Layout:
    """How a CSV file is laid out.

    Attributes:
        separator: One of comma, semicolon, tab, bar.
        names: Column names as read.
        header: True: the first record holds the names.
    """

    separator: str
    names: tuple[str, ...]


def read_csv(path: Path, content: Content) -> tuple[pa.Table, list[tuple[str, str]], int | None]:
    """All cells as text, an empty cell as null; cautions about encoding and names; and the first row's line.

    The line is None where rows and lines do not go together (blank lines, line breaks in quotes).

    Raises:
        DataError: ``data.empty``, ``data.ragged``, ``data.quote``, ``data.duplicate-column``,
            ``data.encoding``, ``data.format``, each with the line.
    """
    cautions: list[tuple[str, str]] = []
    encoding = _encoding(path, content, cautions)
    if encoding == "utf-8":
        table, first_line = _read_utf8(path, path, cautions)
        return table, cautions, first_line
    fd, temporary = tempfile.mkstemp(prefix="ambidex-", suffix=".csv")
    try:
        with os.fdopen(fd, "w", encoding="utf-8", newline="") as out, path.open("rb") as source:
            decoder = _decoder(encoding)
            while chunk := source.read(1 << 20):
                out.write(decoder(chunk, False))
            out.write(decoder(b"", True))
        table, first_line = _read_utf8(Path(temporary), path, cautions)
        return table, cautions, first_line
    except UnicodeDecodeError as e:
        raise DataError(
            "data.encoding",
            f"{path.name} says it is {encoding} by its first bytes, but does not decode as that",
            where=str(path),
            found=f"byte {e.start:,} of a block: {e.reason}",
            do="save it as UTF-8",
        ) from e
    finally:
        Path(temporary).unlink()


def sniff(sample: list[str]) -> str:
    """The separator, from sample lines: the one that cuts most records into as many fields as the first.

    >>> sniff(["a;b;c", "1,5;2;3", "2,5;3;4"])
    ';'
    """
    best, best_score = ",", (0.0, 0)
    for separator in SEPARATORS:
        try:
            counts = [len(record) for record in csv.reader(sample, delimiter=separator) if record][:SAMPLE_RECORDS]
        except csv.Error:
            continue
        if not counts or counts[0] < 2:
            continue
        mode, _ = Counter(counts).most_common(1)[0]
        agree = sum(c == counts[0] for c in counts) / len(counts) if counts[0] == mode or mode == 1 else 0.5
        score = (round(agree, 2), counts[0])
        if score > best_score:
            best, best_score = separator, score
    return best


def separator_of(path: Path) -> str:
    """The separator of a CSV file that was read before."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = file.read(SAMPLE_BYTES).splitlines(keepends=True)
    return sniff([line for line in lines[:-1] or lines if line.strip("\r\n")])


def _encoding(path: Path, content: Content, cautions: list[tuple[str, str]]) -> str:
    """The encoding to read in, with a caution if it is guessed."""
    if content.encoding in ("utf-16", "utf-32"):
        cautions.append(("data.encoding", f"{path.name} is {content.encoding.upper()}; read as that"))
        return content.encoding
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            if b"\x00" in chunk:
                nul = line + chunk[: chunk.index(b"\x00")].count(b"\n")
                raise DataError(
                    "data.format",
                    f"{path.name} holds NUL bytes, so it is not a text table",
                    where=f"{path}, line {nul}",
                    found="byte 0x00",
                    do="give a CSV, Parquet or Arrow file",
                )
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as e:
                bad = e.object[e.start]
                at = line + e.object[: e.start].count(b"\n")
                cautions.append(
                    (
                        "data.encoding",
                        f"{path.name} is not UTF-8 (byte 0x{bad:02x} on line {at}); read as Windows-1252 "
                        "(Latin-1), which is a guess: check names with accents, or save it as UTF-8",
                    )
                )
                return WESTERN
            line += chunk.count(b"\n")
    try:
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        cautions.append(
            ("data.encoding", f"{path.name} ends in the middle of a character; read as Windows-1252 (Latin-1)")
        )
        return WESTERN
    return "utf-8"


def _decoder(encoding: str) -> Callable[[bytes, bool], str]:
    if encoding != WESTERN:
        return codecs.getincrementaldecoder(encoding)().decode
    # The five bytes that Windows-1252 leaves undefined are read as in Latin-1, as browsers do.
    table = "".join(bytes([i]).decode(WESTERN, errors="ignore") or chr(i) for i in range(256))
    return lambda data, final: codecs.charmap_decode(data, "strict", table)[0]


def _read_utf8(path: Path, shown: Path, cautions: list[tuple[str, str]]) -> tuple[pa.Table, int | None]:
    """The cells, and the line of the first row if every row is one line."""
    layout = _layout(path, shown, cautions)
    width = len(layout.names)
    shape = check_shape(path, layout.separator, width)
    table = None
    if shape.plain and width <= WIDE:
        try:
            table = _by_duckdb(path, layout)
        except _Objection:
            table = None
    if table is None or table.num_rows != shape.records - 1:
        table = _slowly(path, shown, layout)
    if table.num_rows == 0:
        raise DataError(
            "data.empty",
            f"{shown.name} has a header and 0 rows",
            where=str(shown),
            found=f"{width} columns: {', '.join(layout.names[:8])}",
            do="check what wrote it: a table needs rows",
        )
    return table, 2 if shape.lines == table.num_rows + 1 else None


def _slowly(path: Path, shown: Path, layout: Layout) -> pa.Table:
    fault = find_fault(path, shown, layout.separator, len(layout.names))
    if fault is not None:
        raise fault
    try:
        return _by_python(path, layout)
    except _Objection as e:
        raise DataError(
            "data.format",
            f"{shown.name} cannot be read as CSV: {e}",
            where=str(shown),
            found=f"separator {layout.separator!r}, {len(layout.names)} columns",
            do="write it again as CSV with quotes around texts, or as Parquet",
        ) from e


class _Objection(Exception):
    """The fast reader did not accept the file."""


def _layout(path: Path, shown: Path, cautions: list[tuple[str, str]]) -> Layout:
    with path.open(encoding="utf-8-sig", newline="") as file:
        text = file.read(SAMPLE_BYTES)
        more = bool(file.read(1))
    lines = text.splitlines(keepends=True)
    if more and len(lines) > 1:
        lines = lines[:-1]
    lines = [line for line in lines if line.strip("\r\n")]
    if not lines:
        raise DataError(
            "data.empty",
            f"{shown.name} holds blank lines only",
            where=str(shown),
            found="0 rows",
            do="check what wrote it",
        )
    separator = sniff(lines)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header = next(r for r in csv.reader(file, delimiter=separator, strict=True) if r)
    except csv.Error as e:
        fault = find_fault(path, shown, separator, None)
        raise fault or DataError(
            "data.quote", f"the header of {shown.name} cannot be read: {e}", where=str(shown)
        ) from e
    return Layout(separator, _names(header, shown, cautions))


def _names(header: list[str], shown: Path, cautions: list[tuple[str, str]]) -> tuple[str, ...]:
    names = [name.strip() for name in header]
    taken = set(names)
    for position, name in enumerate(names, start=1):
        if not name:
            given = f"column_{position}"
            while given in taken:
                given += "_"
            taken.add(given)
            names[position - 1] = given
            cautions.append(
                ("data.no-column-name", f"column {position} of {shown.name} has no name; it is called `{given}` here")
            )
    numbers = sum(bool(re.fullmatch(r"-?[0-9]+(?:[.,][0-9]+)?", name)) for name in names)
    if 2 * numbers > len(names):
        cautions.append(
            (
                "data.no-column-name",
                f"the header of {shown.name} reads like values ({', '.join(names[:3])}): is it missing?",
            )
        )
    seen: dict[str, int] = {}
    for position, name in enumerate(names, start=1):
        if name in seen:
            raise DataError(
                "data.duplicate-column",
                f"two columns of {shown.name} are called `{name}`: columns {seen[name]} and {position}",
                where=f"{shown}, line 1",
                found=", ".join(names[:12]),
                do=f"rename one of the two `{name}` in the header",
            )
        seen[name] = position
    return tuple(names)


def _by_duckdb(path: Path, layout: Layout) -> pa.Table:
    import duckdb

    columns = "{" + ", ".join(f"{literal(f'c{i}')}: 'VARCHAR'" for i in range(len(layout.names))) + "}"
    statement = (
        f"SELECT * FROM read_csv({literal(str(path))}, auto_detect = false, header = true, strict_mode = true,"
        f" delim = {literal(layout.separator)}, quote = '\"', escape = '\"', null_padding = false,"
        f" max_line_size = {CELL_LIMIT}, columns = {columns})"
    )
    connection = connect(allow=[path])
    try:
        table = connection.sql(statement).to_arrow_table()
    except duckdb.Error as e:
        raise _Objection(str(e)) from e
    finally:
        connection.close()
    return table.rename_columns(list(layout.names))


def _by_python(path: Path, layout: Layout) -> pa.Table:
    width = len(layout.names)
    columns: list[list[str | None]] = [[] for _ in range(width)]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=layout.separator, strict=True)
            records = (r for r in reader if r)
            next(records)
            for record in records:
                if len(record) != width:
                    raise _Objection(f"{len(record)} fields")
                for cells, cell in zip(columns, record, strict=True):
                    cells.append(cell or None)
    except csv.Error as e:
        raise _Objection(str(e)) from e
    return pa.table({n: pa.array(c, pa.string()) for n, c in zip(layout.names, columns, strict=True)})
