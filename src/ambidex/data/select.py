"""SELECT over files, on a locked DuckDB."""

from __future__ import annotations

import re
from pathlib import Path

from ambidex.data.arrows import tidy
from ambidex.data.files import look, missing_file, snapshot
from ambidex.data.sql import connect
from ambidex.data.table import Table
from ambidex.errors import DataError

__all__ = ["read_select"]

DEADLINE_S = 600.0
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

    files = _files(statement)
    connection = connect(allow=files)
    try:
        statements = connection.extract_statements(statement)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise DataError(
                "data.sql",
                "a table is one SELECT",
                where=statement[:200],
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
    except duckdb.Error as e:
        for name in TEXT.findall(statement):
            if re.search(r"[*?\[]", name):
                raise DataError(
                    "data.sql",
                    f"a SELECT names single files, not '{name}'",
                    where=statement[:200],
                    found=str(e).splitlines()[0][:200],
                    do=f"name each file, or give the glob itself as the table: {name}",
                ) from e
            if re.search(r"\.(csv|tsv|parquet|arrow)$", name, re.IGNORECASE) and not Path(name).exists():
                raise missing_file(Path(name)) from e
        raise DataError(
            "data.sql",
            f"DuckDB could not run the SELECT: {str(e).splitlines()[0][:300]}",
            where=statement[:200],
            do="files are named in single quotes: SELECT * FROM 'customers.csv'",
        ) from e
    finally:
        connection.close()
    arrow, cautions = tidy(arrow, "the SELECT")
    return Table(
        name="SELECT",
        source=statement,
        arrow=arrow,
        cautions=tuple(cautions),
        origin={"source": statement, "prepare": None},
        files=tuple(str(f) for f in files),
    )


def _files(statement: str) -> list[Path]:
    found: list[Path] = []
    for text in TEXT.findall(statement):
        path = Path(text.replace("''", "'"))
        try:
            regular = path.is_file()
        except (OSError, ValueError):
            continue
        if regular:
            snapshot(path)
            look(path)
            found.append(path)
    return found
