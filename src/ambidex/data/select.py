"""SELECT over files, on a locked DuckDB."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from ambidex.data.arrows import tidy
from ambidex.data.files import look, missing_file, snapshot
from ambidex.data.sql import connect, literal
from ambidex.data.table import Table
from ambidex.errors import DataError

__all__ = ["named_files", "read_select"]

DEADLINE_S = 600.0
LOST = re.compile(r'column "([^"]+)" was read from the original file.*?not be found in file\s+"([^"]+)"', re.DOTALL)
RAW = re.compile(r'\b(read_text|read_blob|read_json\w*|sniff_csv|glob)"?\s*\(', re.IGNORECASE)
"""Functions that hand out a file's bytes, or names of files, whatever the file is."""
ENDING = re.compile(r"\.(csv|tsv|txt|parquet|pq)(\.gz|\.zst)?$", re.IGNORECASE)
TEXT = re.compile(r"'((?:[^']|'')*)'")


def read_select(statement: str) -> Table:
    """Run one SELECT over the files that it names in single quotes.

    Only those files can be opened; types are DuckDB's.

    Raises:
        DataError: ``data.sql`` for more than one statement, for anything but a SELECT, or with DuckDB's
            reason.
    """
    import threading

    import duckdb

    raw = RAW.search(statement)
    if raw is not None:
        raise DataError(
            "data.sql",
            f"a table is read from CSV and Parquet files, not by {raw[1].lower()}",
            where=statement[:200],
            found=raw[0][:40],
            do="name the file in single quotes: SELECT * FROM 'customers.csv'",
        )
    files = _files(statement)
    said, statement = statement, _expanded(statement)
    connection = connect(allow=files)
    try:
        statements = connection.extract_statements(statement)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DataError(
                "data.sql",
                "a table is one SELECT",
                where=said[:200],
                found=f"{len(statements)} statements: " + ", ".join(str(s.type).rsplit(".", 1)[-1] for s in statements),
                do="give one SELECT and nothing else",
            )
        watchdog = threading.Timer(DEADLINE_S, connection.interrupt)
        watchdog.daemon = True
        watchdog.start()
        try:
            arrow = connection.sql(statements[0].query).to_arrow_table()
        finally:
            watchdog.cancel()
    except duckdb.InterruptException as e:
        raise DataError(
            "data.sql",
            f"the SELECT did not end within {DEADLINE_S:g} seconds",
            where=said[:200],
            do="join on a key, or write the result to a file first and name that file",
        ) from e
    except duckdb.Error as e:
        lost = LOST.search(str(e))
        if lost is not None:
            raise DataError(
                "data.schema",
                f"{Path(lost[2]).name} lacks `{lost[1]}`, measured against {files[0].name}",
                where=lost[2],
                do=f"write the file with the column {lost[1]}, as the others have it",
            ) from e
        for name in TEXT.findall(said):
            if re.search(r"[*?\[]", name):
                raise DataError(
                    "data.sql",
                    f"a SELECT names single files, not '{name}'",
                    where=said[:200],
                    found=str(e).splitlines()[0][:200],
                    do=f"name each file, or give the glob itself as the table: {name}",
                ) from e
            if re.search(r"\.(csv|tsv|parquet|arrow)$", name, re.IGNORECASE) and not Path(name).exists():
                raise missing_file(Path(name)) from e
        raise DataError(
            "data.sql",
            f"DuckDB could not run the SELECT: {str(e).splitlines()[0][:300]}",
            where=said[:200],
            do="files are named in single quotes: SELECT * FROM 'customers.csv'",
        ) from e
    finally:
        connection.close()
    arrow, cautions = tidy(arrow, "the SELECT")
    return Table(
        name="SELECT",
        source=said,
        arrow=arrow,
        cautions=tuple(cautions),
        origin={"source": said, "prepare": None},
        files=tuple(str(f) for f in files),
    )


def named_files(statement: str) -> list[Path]:
    """The regular files that a SELECT names in single quotes, one by one or by a glob after FROM or JOIN."""
    found: list[Path] = []
    for text in TEXT.findall(statement):
        name = text.replace("''", "'")
        try:
            found += [Path(name)] if ENDING.search(name) and Path(name).is_file() else _matching(name)
        except (OSError, ValueError):
            continue
    return found


def _matching(pattern: str) -> list[Path]:
    """Files that a pattern matches, in order of their names; none for a text that is no pattern of a table."""
    if not glob.has_magic(pattern) or not ENDING.search(pattern):
        return []
    found = glob.iglob(pattern, recursive=True)  # noqa: PTH207  # may be an absolute pattern
    return sorted(Path(p) for p in found if Path(p).is_file())


def _expanded(statement: str) -> str:
    """The statement with each glob after FROM or JOIN as the list of its files, which all have the first one's columns.

    DuckDB's own glob would have to be let into the folder; a list names what may be opened.
    """

    def expand(match: re.Match[str]) -> str:
        files = _matching(match[2].replace("''", "'"))
        if not files:
            return match[0]
        reader = "read_parquet" if files[0].suffix.lower() == ".parquet" else "read_csv"
        return f"{match[1]} {reader}([{', '.join(literal(str(f)) for f in files)}])"

    return re.sub(r"\b(from|join)\s+'((?:[^']|'')*)'", expand, statement, flags=re.IGNORECASE)


def _files(statement: str) -> list[Path]:
    found: list[Path] = []
    for path in named_files(statement):
        try:
            regular = path.is_file()
        except (OSError, ValueError):
            continue
        if regular:
            snapshot(path)
            look(path)
            found.append(path)
    return found
