"""Sealed parts of the prediction log: Parquet files that say which rows of which files of frames they hold.

A segment names its ranges (source, first row, end, offset in the file of frames after the last), so that a reader
takes every row from one place: from the segment, or from the frames beyond what segments cover. A segment whose
ranges all lie in a larger one is ignored. Nothing else says what is sealed: a rename makes a segment count, and a
crash at any step leaves rows that stand twice on the disk and once for readers.

Columns: ``file, pos`` (source and row in it), ``kind`` (prediction, label), ``at``, ``id``, ``version``, ``source``,
``arm``, ``us``, ``error``, ``p`` or ``ps`` (a list), ``label`` (JSON), ``shape`` (which columns the row has), ``x``
(JSON of what else stood in the frame), and a row's cells by their kind: ``i:NAME`` int64, ``n:NAME`` float64,
``t:NAME`` text, ``j:NAME`` JSON of anything else, ``r:NAME`` a rider. Two versions that disagree about a column's
type never meet in one column.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

from ambidex.data.frames import stamp_of
from ambidex.errors import Refused

__all__ = [
    "ENDING",
    "PLAIN",
    "Range",
    "Segment",
    "altered",
    "covered",
    "microseconds",
    "read_rows",
    "read_segment",
    "rows_of",
    "segment_files",
    "segments",
    "sync_folder",
    "write_segment",
]

ENDING = ".parquet"
FORMAT = "ambidex-log/1"
META = b"ambidex"
GROUP = 1 << 16
BATCH = 10_000
PLAIN = ("file", "pos", "kind", "at", "id", "version", "source", "arm", "us", "error", "p", "ps", "label", "shape", "x")

_json = msgspec.json.encode
_decode = msgspec.json.decode


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Rows of one file of frames.

    Attributes:
        file: Its name without ``.frames``.
        start: First row.
        end: Row after the last.
        offset: Byte of the file after the last row's frame.
    """

    file: str
    start: int
    end: int
    offset: int


@dataclass(frozen=True, slots=True)
class Segment:
    """What the foot of a segment says.

    Attributes:
        path: The file.
        ranges: What it holds.
        shapes: Columns and riders of each kind of row.
        names: Its Parquet columns.
        order: Place among the segments: of one source, earlier rows lie in earlier segments.
        rows: Rows in it; erased ones are gone.
        size: Bytes.
        first: Earliest time in it, µs since 1970.
        last: Latest.
    """

    path: Path
    ranges: tuple[Range, ...]
    shapes: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    names: frozenset[str]
    order: int
    rows: int
    size: int
    first: int
    last: int


def microseconds(text: Any) -> int | None:
    """µs since 1970 of a time in the log's form; None for another.

    >>> microseconds("2023-11-14T22:13:20.000001Z")
    1700000000000001
    """
    try:
        found = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    if found.tzinfo is None:
        return None
    delta = found - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


# ---------------------------------------------------------------- which segments count


def segment_files(folder: Path, model: str) -> list[Path]:
    """The Parquet files of a model's log, superseded ones too."""
    return sorted((folder / model).glob(f"seg-*{ENDING}"))


def segments(folder: Path, model: str) -> tuple[list[Segment], list[Segment]]:
    """The segments that count, in their order, and those that a larger one has taken the place of."""
    found = []
    for path in segment_files(folder, model):
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        found.append(_foot(path, stat.st_mtime_ns, stat.st_size, stat.st_ino))
    counting: list[Segment] = []
    superseded: list[Segment] = []
    ends: dict[str, list[tuple[int, int]]] = {}
    for segment in sorted(found, key=lambda s: (-sum(r.end - r.start for r in s.ranges), s.path.name)):
        inside = segment.ranges and all(
            any(a <= r.start and r.end <= b for a, b in ends.get(r.file, ())) for r in segment.ranges
        )
        (superseded if inside else counting).append(segment)
        if not inside:
            for r in segment.ranges:
                ends.setdefault(r.file, []).append((r.start, r.end))
    return sorted(counting, key=lambda s: (s.order, s.path.name)), superseded


def covered(counting: Iterable[Segment]) -> dict[str, tuple[int, int]]:
    """By source: rows that segments hold, and the offset in the file of frames after them."""
    found: dict[str, tuple[int, int]] = {}
    for segment in counting:
        for r in segment.ranges:
            if r.end > found.get(r.file, (0, 0))[0]:
                found[r.file] = (r.end, r.offset)
    return found


@lru_cache(maxsize=4096)
def _foot(path: Path, changed: int, size: int, inode: int) -> Segment:
    del changed, inode  # part of the key: a segment that was written anew is read anew
    from pyarrow import ArrowException, parquet

    try:
        meta = parquet.read_metadata(path)
        said = _decode(meta.metadata[META])
        if said["format"] != FORMAT:
            raise ValueError
        return Segment(
            path,
            tuple(Range(*r) for r in said["ranges"]),
            tuple((tuple(row), tuple(riders)) for row, riders in said["shapes"]),
            frozenset(meta.schema.to_arrow_schema().names),
            said["order"], meta.num_rows, size, said["first"], said["last"],
        )  # fmt: skip
    except (ArrowException, OSError, KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
        raise altered(path) from error


def altered(path: Path) -> Refused:
    """What readers raise for a segment that is not what was written."""
    return Refused(
        "check.altered", f"a sealed part of the prediction log cannot be read: {path.name}",
        where=f"{path.parent.name}/{path.name}", do="restore the file from a copy of the workspace",
    )  # fmt: skip


# ---------------------------------------------------------------- writing


def write_segment(
    folder: Path,
    model: str,
    table: Any,
    ranges: Sequence[Range],
    shapes: Sequence[tuple[Sequence[str], Sequence[str]]],
    *,
    order: int,
    path: Path | None = None,
) -> Path:
    """Put a segment in its place, on the disk when this returns.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        table: Arrow table with the columns of this module.
        ranges: What it holds.
        shapes: What its ``shape`` numbers mean.
        order: Its place among the segments.
        path: Take the place of this segment.
    """
    import pyarrow.compute as pc
    from pyarrow import parquet

    place = folder / model
    times = pc.min_max(table["at"].cast("int64")).as_py() if table.num_rows else {"min": None, "max": None}
    meta = {
        "format": FORMAT, "model": model, "shapes": shapes, "order": order,
        "first": times["min"] or 0, "last": times["max"] or 0,
        "ranges": [[r.file, r.start, r.end, r.offset] for r in _joined(ranges)],
    }  # fmt: skip
    table = table.replace_schema_metadata({META: _json(meta)})
    if path is None:
        stamp = stamp_of(times["min"] or 0)[:19].replace("-", "").replace(":", "")
        path = place / f"seg-{stamp}-{secrets.token_hex(4)}{ENDING}"
    temporary = path.with_suffix(f".{os.getpid()}.new")
    encodings = {"pos": "DELTA_BINARY_PACKED", "at": "DELTA_BINARY_PACKED", "id": "DELTA_BYTE_ARRAY"}
    encodings |= {"p": "BYTE_STREAM_SPLIT", "us": "DELTA_BINARY_PACKED"}
    present = set(table.column_names)
    plain = [n for n in present if n.startswith("n:")]
    encodings |= dict.fromkeys(plain, "BYTE_STREAM_SPLIT")
    encodings = {n: e for n, e in encodings.items() if n in present}
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "wb") as file:
            parquet.write_table(
                table, file, compression="zstd", row_group_size=GROUP, write_page_checksum=True,
                use_dictionary=[n for n in table.column_names if n not in encodings and n != "ps"],
                column_encoding=encodings, write_statistics=["file", "pos", "at", "version", "id"],
            )  # fmt: skip
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(place)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder survive power loss."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _joined(ranges: Sequence[Range]) -> list[Range]:
    joined: list[Range] = []
    for r in sorted(ranges):
        if joined and joined[-1].file == r.file and joined[-1].end == r.start:
            joined[-1] = Range(r.file, joined[-1].start, r.end, r.offset)
        else:
            joined.append(r)
    return joined


# ---------------------------------------------------------------- reading


def read_segment(segment: Segment, columns: Sequence[str] | None = None) -> Any:
    """A segment as an Arrow table.

    Raises:
        Refused: ``check.altered``.
    """
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(segment.path, page_checksum_verification=True) as file:
            return file.read(columns=columns)
    except (ArrowException, OSError) as error:
        raise altered(segment.path) from error


def read_rows(segment: Segment, *, after: Mapping[str, int] | None = None) -> Iterator[list[dict[str, Any]]]:
    """The rows of a segment as the frames gave them, a group at a time; each has ``file`` and ``pos`` besides.

    Args:
        segment: Which.
        after: By source: rows before this one are left out.

    Raises:
        Refused: ``check.altered``.
    """
    from pyarrow import ArrowException, parquet

    try:
        with parquet.ParquetFile(segment.path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(batch_size=BATCH):
                rows = rows_of(batch, segment.shapes, model=segment.path.parent.name, after=after)
                if rows:
                    yield rows
    except (ArrowException, OSError) as error:
        raise altered(segment.path) from error


def rows_of(
    table: Any,
    shapes: Sequence[tuple[Sequence[str], Sequence[str]]],
    *,
    model: str,
    after: Mapping[str, int] | None = None,
) -> list[dict[str, Any]]:
    """The rows of a table or batch in this module's columns."""
    import pyarrow as pa

    columns = {n: table.column(n).cast(pa.int64()) if n == "at" else table.column(n) for n in table.schema.names}
    get = {n: c.to_pylist() for n, c in columns.items()}
    cells: dict[str, list[list[Any]]] = {}
    for name, values in get.items():
        kind, sep, column = name.partition(":")
        if sep and kind in ("i", "n", "t"):
            cells.setdefault(column, []).append(values)
        elif sep and kind == "j":
            cells.setdefault(column, []).append([None if v is None else _decode(v) for v in values])
    merged = {name: parts[0] if len(parts) == 1 else _first(parts) for name, parts in cells.items()}
    nothing = [None] * table.num_rows
    rows = []
    for i, (file, pos, kind) in enumerate(zip(get["file"], get["pos"], get["kind"], strict=True)):
        if after is not None and pos < after.get(file, 0):
            continue
        row: dict[str, Any] = {"file": file, "pos": pos}
        if (at := get["at"][i]) is not None:
            row["at"] = stamp_of(at)
        row["model"] = model
        for name in ("version", "source", "arm", "us", "error"):
            if (value := get[name][i]) is not None:
                row[name] = value
        row["id"] = get["id"][i]
        if kind == "label":
            row["kind"] = "label"
            row["label"] = None if get["label"][i] is None else _decode(get["label"][i])
        else:
            names, riders = shapes[get["shape"][i]]
            row["row"] = {n: merged.get(n, nothing)[i] for n in names}
            row["riders"] = {n: v for n in riders if (v := get.get(f"r:{n}", nothing)[i]) is not None}
            p = get["p"][i]
            row["p"] = p if p is not None else get["ps"][i]
        if (extra := get["x"][i]) is not None:
            row |= _decode(extra)
        rows.append(row)
    return rows


def _first(parts: list[list[Any]]) -> list[Any]:
    return [next((v for v in cell if v is not None), None) for cell in zip(*parts, strict=True)]
