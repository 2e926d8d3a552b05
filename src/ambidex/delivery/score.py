"""Score a table with a version: rows in, file out, every row in the prediction log."""

from __future__ import annotations

import glob
import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of, rows_of
from ambidex.bundle.open import OpenBundle
from ambidex.data.fingerprint import content_hash, file_entry
from ambidex.data.frames import FrameWriter, read_frames
from ambidex.data.table import Table
from ambidex.delivery.package import running
from ambidex.errors import DataError, EnvironmentProblem, Refused, UsageError
from ambidex.records import Schema

__all__ = [
    "Run", "Scored", "append_log", "check_out", "log_payloads", "run_key", "score_table", "unfinished",
    "written_scores",
]  # fmt: skip

BATCH = 10_000
"""Frames of one write."""


@dataclass(frozen=True)
class Scored:
    """A scored table.

    Attributes:
        ids: One id a row, unique for ever.
        scores: P(positive) or the value, shape (rows,).
        columns: The model's inputs as they were scored.
        riders: Declared key, entity and time columns that the table has.
        notes: (code, text) on cells that were read as missing.
    """

    ids: list[str]
    scores: NDArray[np.float64]
    columns: dict[str, NDArray[Any]]
    riders: dict[str, NDArray[Any]]
    notes: list[tuple[str, str]]


@dataclass(frozen=True)
class Run:
    """One scoring of a table.

    Attributes:
        name: Prefix of its rows' ids, and the name of its file in the prediction log.
        at: When it began; the time of its rows in the log.
        logged: How many of its rows the log has already.
    """

    name: str
    at: str
    logged: int = 0


def run_key(bundle_digest: str, table: Table, out: Path) -> str:
    """Names what a scoring is: the version's files, the rows, and where the scores go. 12 hex digits."""
    selected = (table.source or "").lstrip().upper().startswith("SELECT")
    files = [] if selected else [file_entry(Path(f)).sha256 for f in sorted(table.files)]
    parts = [bundle_digest, out.name, *(files or [content_hash(table)])]  # names only: a workspace may be moved
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def unfinished(folder: Path, model: str, key: str, finished: Iterable[str]) -> Run | None:
    """The run of this key that was killed after it had begun to log, if there is one: it goes on where it stopped.

    Args:
        folder: The prediction log.
        model: Model's name.
        key: As ``run_key`` gives it.
        finished: Names of runs that were finished.
    """
    done = set(finished)
    for path in sorted((folder / model).glob(f"score-*-{key}.frames"), reverse=True):
        name = path.stem.removeprefix("score-")
        if name in done:
            continue
        frames, _ = read_frames(path)
        if frames:
            return Run(name, str(frames[0]["at"]), len(frames))
    return None


def score_table(bundle: OpenBundle, table: Table, *, stamp: str) -> Scored:
    """All rows or none.

    Args:
        bundle: The version.
        table: Its rows.
        stamp: Prefix of the ids, unique to this call.

    Raises:
        DataError: A row does not fit the schema.
        Refused: ``check.opens`` if the model gives something that is no finite number.
    """
    columns, notes = columns_of(table, bundle.schema)
    scores = np.asarray(bundle.scorer.score_columns(columns, table.rows), dtype=np.float64)
    broken = ~np.isfinite(scores)
    if broken.any():
        raise Refused(
            "check.opens",
            f"the model gives no finite number for {int(broken.sum())} of {table.rows} rows",
            where=f"data row {int(np.flatnonzero(broken)[0]) + 1}",
        )
    riders = {name: table.text(name) for name in bundle.schema.riders if name in table.columns}
    width = len(str(table.rows))
    ids = [f"{stamp}-{i:0{width}d}" for i in range(1, table.rows + 1)]
    return Scored(ids=ids, scores=scores, columns=columns, riders=riders, notes=notes)


def log_payloads(scored: Scored, *, schema: Schema, model: str, version: int, at: str) -> Iterator[dict[str, Any]]:
    """What the prediction log keeps of each row."""
    rows = rows_of(scored.columns, schema, range(len(scored.ids)))
    for i, (row, identity, p) in enumerate(zip(rows, scored.ids, scored.scores, strict=True)):
        riders = {name: values[i] for name, values in scored.riders.items()}
        yield {
            "at": at, "model": model, "version": version, "id": identity, "row": row, "riders": riders,
            "p": float(p), "source": "score",
        }  # fmt: skip


def check_out(out: str | Path, sources: Sequence[str] = (), *, data: Sequence[Path] = ()) -> Path:
    """The output path, before any work is done for it; what killed processes left beside it is removed.

    Args:
        out: As given.
        sources: Files that the scores are made from.
        data: Where models look for their rows.

    Raises:
        UsageError: Neither .csv nor .parquet, a file that is scored, or one in a folder of training rows.
        DataError: ``data.no-out-folder``.
    """
    path = Path(out)
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(
            "usage.value",
            f"cannot write scores to {path.name}",
            found="endings .csv and .parquet",
            do="--out scores.parquet",
        )
    if not path.parent.is_dir():
        raise DataError(
            "data.no-out-folder",
            f"the folder {path.parent} does not exist",
            where="--out",
            do=f"mkdir -p {path.parent}",
        )
    if path.is_dir():
        raise DataError("data.not-a-file", f"{path} is a folder", where="--out", do="--out scores.parquet")
    if path.exists() and any(path.samefile(source) for source in sources if Path(source).exists()):
        raise UsageError(
            "usage.value", f"{path} is the table that is scored", where="--out", do=f"--out scores{path.suffix.lower()}"
        )
    for folder in data:
        if folder.is_dir() and path.resolve().is_relative_to(folder.resolve()):
            raise UsageError(
                "usage.value",
                f"{path} would lie among the rows that a model is trained on, and the next retraining would read it",
                where="--out",
                do=f"--out {path.name}",
            )
    for left in path.parent.glob(f".{glob.escape(path.name)}.*-*.tmp"):
        process = left.name.removeprefix(f".{path.name}.").partition("-")[0]
        if process.isdigit() and not running(int(process)):
            left.unlink(missing_ok=True)
    return path


@contextmanager
def written_scores(scored: Scored, schema: Schema, path: Path) -> Iterator[Callable[[], None]]:
    """id, declared key and entity, prediction, probability_LABEL per class, in the order of the input.

    A key that is called ``id`` keeps its name, and ours is ``prediction_id`` then.

    The rows lie on the disk when the block begins, under a name of their own; the block's caller puts them
    in place, when the log has them too. Without that call nothing is left.
    """
    from pyarrow import csv, parquet

    given = {name: pa.array(list(scored.riders[name]), pa.string()) for name in scored.riders if name != schema.time}
    # The table's own key keeps its name where it is called `id` too: people join by it.
    data: dict[str, Any] = {"prediction_id" if "id" in given else "id": scored.ids, **given}
    if schema.task == "binary":
        negative, positive = schema.classes
        data["prediction"] = [positive if p >= 0.5 else negative for p in scored.scores]
        data[f"probability_{negative}"] = 1 - scored.scores
        data[f"probability_{positive}"] = scored.scores
    elif schema.task == "multiclass":
        data["prediction"] = [schema.classes[int(i)] for i in scored.scores.argmax(axis=1)]
        data |= {f"probability_{label}": scored.scores[:, i] for i, label in enumerate(schema.classes)}
    elif schema.task == "segments":
        data["prediction"] = [schema.classes[int(p)] for p in scored.scores]
    else:
        data["prediction"] = scored.scores
    frame = pa.table(data)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(3)}.tmp")
    try:
        if path.suffix.lower() == ".csv":
            csv.write_csv(frame, temporary)
        else:
            parquet.write_table(frame, temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        yield lambda: _place(temporary, path)
    except OSError as error:
        raise EnvironmentProblem(
            "env.disk", f"cannot write {path}, nothing was scored: {error.strerror or error}", where=str(path)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _place(temporary: Path, path: Path) -> None:
    temporary.replace(path)


def append_log(path: Path, payloads: Iterable[Any]) -> None:
    """A file of the prediction log, on the disk when this returns; all of it or, where the disk refuses, nothing.

    A kill in the middle leaves whole frames: of a scoring, to which a repeated call adds the rest, or labels that
    come again.
    """
    rest = iter(payloads)
    before = path.exists()
    try:
        with FrameWriter(path) as log:
            while batch := list(islice(rest, BATCH)):
                log.write(batch)
            log.sync()
    except OSError as error:
        if not before:
            path.unlink(missing_ok=True)
        raise EnvironmentProblem(
            "env.disk", f"the prediction log cannot be written: {error.strerror or 'the disk took a part of it only'}",
            where=path.name,
            do="free some space and run it again",
        ) from error  # fmt: skip
