"""Parquet and Arrow files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from ambidex.data.arrows import tidy
from ambidex.errors import DataError

__all__ = ["read_columnar"]

INFLATED = 8 << 30


def read_columnar(path: Path, kind: str) -> tuple[pa.Table, list[tuple[str, str]]]:
    """A Parquet or Arrow file's columns with their types, and cautions.

    Raises:
        DataError: ``data.format`` for a file that is cut off or damaged; ``data.empty`` for no rows.
    """
    try:
        arrow = _parquet(path) if kind == "parquet" else _arrow(path, kind)
    except (pa.ArrowException, OSError, ValueError) as e:
        raise DataError(
            "data.format",
            f"{path.name} starts as {'a Parquet' if kind == 'parquet' else 'an Arrow'} file but {_why(path, kind)}",
            where=str(path),
            found=" ".join(str(e).split())[:200],
            do="write or copy the file again: its end is probably missing",
        ) from e
    return tidy(arrow, path.name)


def _parquet(path: Path) -> pa.Table:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        inflated = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if inflated > INFLATED:
            raise DataError(
                "data.format",
                f"{path.name} would take {inflated / 2**30:.1f} GiB in memory",
                where=str(path),
                found=f"the limit is {INFLATED >> 30} GiB",
                do="select columns or rows first: \"SELECT … FROM '" + path.name + "'\"",
            )
        return file.read()


def _arrow(path: Path, kind: str) -> pa.Table:
    with pa.OSFile(str(path)) as file:
        reader = pa.ipc.open_stream(file) if kind == "arrow-stream" else pa.ipc.open_file(file)
        with reader:
            return reader.read_all()


def _why(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        file.seek(-min(6, path.stat().st_size), 2)
        tail = file.read()
    end = b"PAR1" if kind == "parquet" else b"ARROW1"
    return "is damaged" if tail.endswith(end) else f"is cut off: it does not end in {end.decode()}"
