"""A small table to a file: CSV or Parquet by the ending, whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ambidex.errors import DataError, EnvironmentProblem, UsageError

__all__ = ["checked_out", "write_columns"]


def checked_out(out: str | Path, sources: Sequence[str] = ()) -> Path:
    """The output path, before any work is done for it.

    Raises:
        UsageError: Neither .csv nor .parquet, or a file that is read.
        DataError: ``data.no-out-folder``, ``data.not-a-file``.
    """
    path = Path(out)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(
            "usage.value", f"cannot write a table to {path.name}", where="--out", found="endings .csv and .parquet",
            do="--out segments.csv",
        )  # fmt: skip
    if not path.parent.is_dir():
        raise DataError(
            "data.no-out-folder",
            f"the folder {path.parent} does not exist",
            where="--out",
            do=f"mkdir -p {path.parent}",
        )
    if path.is_dir():
        raise DataError("data.not-a-file", f"{path} is a folder", where="--out", do="--out segments.csv")
    if path.exists() and any(path.samefile(source) for source in sources if Path(source).exists()):
        raise UsageError("usage.value", f"{path} is the table that is read", where="--out", do="--out segments.csv")
    return path


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Write columns under a temporary name, then put the file in place.

    Raises:
        EnvironmentProblem: ``env.disk``.
    """
    from pyarrow import csv, parquet

    frame = pa.table({name: pa.array(list(values)) for name, values in columns.items()})
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
    try:
        if path.suffix.lower() == ".csv":
            csv.write_csv(frame, temporary)
        else:
            parquet.write_table(frame, temporary)
        temporary.replace(path)
    except OSError as error:
        raise EnvironmentProblem(
            "env.disk", f"cannot write {path}: {error.strerror or error}", where=str(path)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
