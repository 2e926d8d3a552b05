"""Any table in: a path, a folder, a glob, a SELECT, or a dataframe; one ``Table`` out."""

from __future__ import annotations

import glob
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ambidex.data.csvfile import read_csv
from ambidex.data.files import look, snapshot
from ambidex.data.table import Table
from ambidex.errors import DataError, NotFound, UsageError

__all__ = ["read", "read_file", "source_files"]

ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".pq", ".arrow", ".feather", ".ipc")
SELECT = re.compile(r"(?:\s|--[^\n]*\n)*(?:select|with|from)\s", re.IGNORECASE)
MAY_BE = (
    "a path to a CSV, Parquet or Arrow file, a folder or glob of them, a SELECT, "
    "or a dataframe (pandas, polars, pyarrow, duckdb)"
)


def read(what: Any, *, argument: str = "table") -> Table:
    """Read a table.

    Args:
        what: A path (text or ``Path``) to a CSV, Parquet or Arrow file; a folder or glob of them with the same
            columns; ``SELECT …`` over such files; any dataframe that narwhals or the Arrow capsule
            protocol knows; or a ``Table``.
        argument: The argument's name, for errors.

    Raises:
        UsageError: ``usage.type`` for anything else.
        NotFound: ``data.no-file`` with the nearest name.
        DataError: What is wrong with the file, and where.

    Example:
        >>> import pyarrow as pa
        >>> read(pa.table({"age": [1, 2]})).columns
        ['age']
    """
    if isinstance(what, Table):
        return what
    if isinstance(what, str | Path):
        text = str(what)
        if isinstance(what, str) and SELECT.match(text) and not _is_path(text):
            from ambidex.data.select import read_select

            return read_select(text)
        return _read_path(text, argument)
    from ambidex.data.dataframes import read_dataframe

    return read_dataframe(what, argument=argument, may_be=MAY_BE)


def source_files(text: str) -> list[Path]:
    """The files that a path, folder, glob or SELECT names at the moment; nothing is opened, and none may be there."""
    if SELECT.match(text) and not _is_path(text):
        from ambidex.data.select import named_files

        return named_files(text)
    path = Path(text).expanduser()
    if path.is_dir():
        try:
            return _inside(path)
        except DataError:
            return []
    if not path.exists() and glob.has_magic(text):
        found = glob.iglob(str(path), recursive=True)  # noqa: PTH207  # an absolute pattern
        return sorted(Path(p) for p in found if Path(p).is_file())
    return [path] if path.is_file() else []


def _is_path(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):
        return False


def _read_path(text: str, argument: str) -> Table:
    if not text.strip():
        raise UsageError("usage.value", f"{argument} is an empty text", found="''", do=f"give {MAY_BE}")
    if re.match(r"[a-z][a-z0-9+]*://", text):
        scheme = text.split(":", 1)[0]
        raise UsageError(
            "usage.value",
            f"tables are not read from {scheme}:// addresses",
            found=text.split("@")[-1][:100],
            do="export the table to a CSV or Parquet file, then name the file",
        )
    try:
        path = Path(text).expanduser()
        folder, there = path.is_dir(), path.exists()
    except (OSError, RuntimeError, ValueError) as e:  # too long, no such user, a NUL in it
        raise NotFound(
            "data.no-file", f"no such file: {text[:80]!r}", where=argument, found=str(e)[:120], do="check the path"
        ) from e
    if folder:
        return _read_many(text, _inside(path))
    if not there and glob.has_magic(text):
        found = sorted(
            Path(p)
            for p in glob.iglob(str(path), recursive=True)  # noqa: PTH207  # an absolute pattern
            if Path(p).is_file()
        )
        if not found:
            raise NotFound(
                "data.no-file",
                f"no file matches {text}",
                where=text,
                found="0 files",
                do=f"ls {path.parent}",
            )
        return _read_many(text, found)
    if (large := _large(text, [path])) is not None:
        return large
    arrow, cautions, first_line = read_file(path)
    return Table(
        name=path.name,
        source=text,
        arrow=arrow,
        cautions=tuple(cautions),
        origin={"source": text, "prepare": None},
        files=(str(path),),
        first_line=first_line,
    )


def read_file(path: Path) -> tuple[pa.Table, list[tuple[str, str]], int | None]:
    """One file's columns, cautions, and the line of its first row, where that is known."""
    before = snapshot(path)
    content = look(path)
    first_line: int | None = None
    if content.kind == "csv":
        arrow, cautions, first_line = read_csv(path, content)
    else:
        from ambidex.data.columnar import read_columnar

        arrow, cautions = read_columnar(path, content.kind)
    before.verify()
    return arrow, cautions, first_line


def _inside(folder: Path) -> list[Path]:
    files = sorted(
        p
        for p in folder.rglob("*")
        if p.suffix.lower() in ENDINGS
        and not any(part.startswith((".", "_")) for part in p.relative_to(folder).parts)
        and p.is_file()
    )
    if not files:
        there = sorted(p.name for p in folder.iterdir())[:8]
        raise DataError(
            "data.empty",
            f"the folder {folder} holds no table",
            where=str(folder),
            found=", ".join(there) or "no files",
            do=f"put files ending in {', '.join(ENDINGS[:4])} there",
        )
    return files


def _large(text: str, files: Sequence[Path]) -> Table | None:
    """The table without its cells in memory, where they would take too much of it."""
    for file in files:
        if snapshot(file).size and look(file).kind != "parquet":
            return None
    from ambidex.data.lazy import open_large

    opened = open_large(files)
    if opened is None:
        return None
    columns, cautions = opened
    return Table(
        name=files[0].name if len(files) == 1 else Path(text).name or text,
        source=text,
        arrow=columns,
        cautions=tuple(cautions),
        origin={"source": text, "prepare": None},
        files=tuple(str(f) for f in files),
    )


def _read_many(text: str, files: Sequence[Path]) -> Table:
    if (large := _large(text, files)) is not None:
        return large
    tables: list[pa.Table] = []
    cautions: list[tuple[str, str]] = []
    for file in files:
        arrow, said, _ = read_file(file)
        tables.append(_aligned(arrow, tables[0], file, files[0]) if tables else arrow)
        cautions += said
    name = Path(text).name or text
    try:
        arrow = pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as e:
        raise _differing_types(tables, files) from e
    return Table(
        name=name if len(files) > 1 else files[0].name,
        source=text,
        arrow=arrow.combine_chunks(),
        cautions=tuple(cautions),
        origin={"source": text, "prepare": None},
        files=tuple(str(f) for f in files),
    )


def _aligned(arrow: pa.Table, first: pa.Table, file: Path, first_file: Path) -> pa.Table:
    missing = [c for c in first.column_names if c not in arrow.column_names]
    extra = [c for c in arrow.column_names if c not in first.column_names]
    if missing or extra:
        what = " and ".join(
            f"{verb} {', '.join(f'`{c}`' for c in names[:5])}"
            for verb, names in (("lacks", missing), ("adds", extra))
            if names
        )
        raise DataError(
            "data.schema",
            f"{file.name} {what}, measured against {first_file.name}",
            where=str(file),
            found=f"{arrow.num_columns} columns: {', '.join(arrow.column_names[:8])}",
            do="give files with the same columns, or name them one by one",
        )
    return arrow.select(first.column_names)


def _differing_types(tables: Sequence[pa.Table], files: Sequence[Path]) -> DataError:
    for table, file in zip(tables[1:], files[1:], strict=True):
        for column in table.column_names:
            one, other = tables[0].schema.field(column).type, table.schema.field(column).type
            if one != other:
                return DataError(
                    "data.schema",
                    f"`{column}` is {other} in {file.name} and {one} in {files[0].name}",
                    where=f"{file}, column {column}",
                    found=str(other),
                    do="write the files with one type for the column",
                )
    return DataError("data.schema", "the files' columns differ in type", where=str(files[0].parent))
