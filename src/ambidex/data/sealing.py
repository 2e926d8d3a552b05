"""Sealing: frames become Parquet segments, small segments one, old ones leave, and rows of an id are erased.

Every step may be the last of this process. A segment counts from its rename on; what it took the place of (files of
frames, smaller segments) is ignored from then on and removed later, when nobody reads.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ambidex.data.frames import is_torn, log_files, read_payloads, stamp_of
from ambidex.data.log_locks import may_remove, sealing, written_now
from ambidex.data.segments import Range, Segment, covered, read_segment, segments, sync_folder, write_segment
from ambidex.errors import EnvironmentProblem
from ambidex.settings import replace_file

__all__ = ["ERASED", "Sealed", "erase", "erased_ids", "seal", "seal_if_due"]

ROWS = 200_000
"""Rows of one segment that is made from frames, and of one that is made from small ones."""
SMALL = 50_000
"""Segments with fewer rows are put together, once there are ``MANY``."""
MANY = 8
DAY_US = 86_400_000_000
ERASED = "erased.json"
DUE_BYTES = 8 << 20
UNFINISHED_S = 86400.0
"""A scoring that was killed goes on in its own file of frames: such a file is left alone so long."""


@dataclass(slots=True)
class Sealed:
    """What a pass did.

    Attributes:
        rows: Rows that went into segments.
        bytes: Size of these segments.
        files: Files of frames removed.
        merged: Segments put together.
        expired: Rows that were older than the log is kept.
        busy: True if another process was at it; nothing was done then.
    """

    rows: int = 0
    bytes: int = 0
    files: int = 0
    merged: int = 0
    expired: int = 0
    busy: bool = False


def seal(
    folder: Path,
    model: str,
    *,
    least_bytes: int = 0,
    wait_s: float = 0.0,
    retain_s: float | None = None,
    now: float | None = None,
    step: Any = None,
) -> Sealed:
    """One pass over a model's log. Repeatable; a pass that is killed loses and doubles nothing.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        least_bytes: A file that is still written is left for later while it holds fewer unsealed bytes than this
            and has grown within ``wait_s``.
        wait_s: See there, seconds.
        retain_s: Segments whose newest row is older are removed; None: kept for ever.
        now: Seconds since 1970.
        step: Called with a name before each step that changes the disk; for tests.

    Raises:
        OSError: The disk is full or broken; frames are kept.
        Refused: ``check.altered``: a segment cannot be read.
    """
    place = folder / model
    said = Sealed()
    before: Any = step or (lambda name: None)
    if not place.is_dir():
        return said
    now = time.time() if now is None else now
    with sealing(place) as ours:
        if not ours:
            said.busy = True
            return said
        for left in place.glob("seg-*.new"):
            left.unlink(missing_ok=True)
        counting, _ = segments(folder, model)
        _seal_frames(folder, model, counting, said, now - wait_s, least_bytes, now, before)
        _merge(folder, model, said, before)
        _remove(folder, model, said, before)
        if retain_s is not None:
            _expire(folder, model, now - retain_s, said, before)
    return said


def seal_if_due(folder: Path, model: str, *, retain_s: float | None = None) -> Sealed:
    """A pass where it is worth one and no server may be there to make it: many unsealed bytes, or rows to expire.

    A log that cannot be written is left as it is: reading it goes on.
    """
    try:
        unsealed = sum(path.stat().st_size for path in log_files(folder, model))
        if unsealed < DUE_BYTES and retain_s is None:
            return Sealed()
        return seal(folder, model, least_bytes=DUE_BYTES, wait_s=600.0, retain_s=retain_s)
    except OSError:
        return Sealed()


def _seal_frames(
    folder: Path, model: str, counting: list[Segment], said: Sealed, before_s: float, least: int, now: float, step: Any
) -> None:  # fmt: skip
    from ambidex.data.columns_of_log import LogColumns

    done = covered(counting)
    columns = LogColumns(erased_ids(folder, model))
    ranges: list[Range] = []
    order = max((s.order for s in counting), default=0)

    def write() -> None:
        nonlocal order
        order += 1
        step("segment")
        path = write_segment(folder, model, columns.take(), ranges, list(columns.shapes), order=order)
        said.rows += sum(r.end - r.start for r in ranges)
        said.bytes += path.stat().st_size
        columns.shapes.clear()
        ranges.clear()

    for path in log_files(folder, model):
        row, offset = done.get(path.stem, (0, 0))
        try:
            stat = path.stat()
        except FileNotFoundError:
            continue
        if stat.st_size <= offset:
            continue
        if path.name.startswith("score-") and now - stat.st_mtime < UNFINISHED_S:
            continue
        if stat.st_size - offset < least and stat.st_mtime > before_s and written_now(path):
            continue
        start, stem, add = row, path.stem, columns.add
        for payload, end in read_payloads(path, offset):
            count = add(stem, row, payload)
            if count is None:
                break
            row, offset = row + count, end
            if columns.rows >= ROWS:
                ranges.append(Range(stem, start, row, offset))
                write()
                start = row
        if row > start:
            ranges.append(Range(stem, start, row, offset))
    if ranges:
        write()


def _merge(folder: Path, model: str, said: Sealed, step: Any) -> None:
    """Put small segments together: neighbours, so that their order stays one, and of a day, so that they expire."""
    counting, _ = segments(folder, model)
    run: list[Segment] = []
    for segment in [*counting, None]:
        fits = segment is not None and segment.rows < SMALL
        if run and (not fits or segment is None or segment.last // DAY_US != run[0].last // DAY_US
                    or sum(s.rows for s in run) + segment.rows > ROWS):  # fmt: skip
            if len(run) >= MANY:
                step("merge")
                _write_merged(folder, model, run)
                said.merged += len(run)
            run = []
        if fits and segment is not None:
            run.append(segment)


def _write_merged(folder: Path, model: str, chosen: list[Segment]) -> None:
    import pyarrow as pa

    shapes: dict[Any, int] = {}
    tables = []
    for segment in chosen:
        table = read_segment(segment)
        numbers = pa.array([shapes.setdefault(s, len(shapes)) for s in segment.shapes] or [0], pa.int32())
        at = table.schema.get_field_index("shape")
        old = table.column("shape").combine_chunks()
        tables.append(table.set_column(at, "shape", numbers.take(old)).replace_schema_metadata(None))
    table = pa.concat_tables(tables, promote_options="default").sort_by([("file", "ascending"), ("pos", "ascending")])
    ranges = [r for s in chosen for r in s.ranges]
    write_segment(folder, model, table.combine_chunks(), ranges, list(shapes), order=chosen[0].order)


def _remove(folder: Path, model: str, said: Sealed, step: Any) -> None:
    """Files of frames that are sealed whole and have no writer, and segments that a larger one replaced."""
    place = folder / model
    counting, superseded = segments(folder, model)
    done = covered(counting)
    with may_remove(place) as ours:
        if not ours:
            return
        for segment in superseded:
            step("superseded")
            segment.path.unlink(missing_ok=True)
        for path in log_files(folder, model):
            if path.stem not in done or written_now(path):
                continue
            with path.open("rb") as file:
                file.seek(done[path.stem][1])
                tail = file.read()
            if not tail or is_torn(tail):
                step("frames")
                path.unlink(missing_ok=True)
                said.files += 1
        for path in log_files(folder, model):  # a worker that answered nothing leaves an empty file
            if path.stat().st_size == 0 and not path.name.startswith("score-") and not written_now(path):
                path.unlink(missing_ok=True)
        sync_folder(place)


def _expire(folder: Path, model: str, oldest_s: float, said: Sealed, step: Any) -> None:
    counting, _ = segments(folder, model)
    frames = {path.stem for path in log_files(folder, model)}
    with may_remove(folder / model) as ours:
        for segment in counting if ours else ():
            # A source whose frames are still there would come back from them.
            if segment.last < oldest_s * 1e6 and not any(r.file in frames for r in segment.ranges):
                step("expire")
                segment.path.unlink(missing_ok=True)
                said.expired += segment.rows


# ---------------------------------------------------------------- erasing


def erased_ids(folder: Path, model: str) -> frozenset[str]:
    """Ids whose rows no reader sees, though a file of frames may still hold them."""
    try:
        said = msgspec.json.decode((folder / model / ERASED).read_bytes())
    except FileNotFoundError:
        return frozenset()
    return frozenset(i for entry in said for i in entry["ids"])


def erase(folder: Path, model: str, ids: Collection[str], *, wait_s: float = 30.0) -> int:
    """Take the rows and labels of some ids out of the log, for ever.

    At once for every reader; from the disk at once where they are sealed, and where they are not when their file
    is: at the next pass after its writer has left it (a server's: at most a day).

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        ids: Prediction ids.
        wait_s: How long to wait for a pass of sealing that is under way.

    Returns:
        Rows and labels taken out of segments now.

    Raises:
        EnvironmentProblem: ``env.busy``.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = sorted({str(i) for i in ids})
    place = folder / model
    if not place.is_dir() or not wanted:
        return 0
    with sealing(place, wait_s=wait_s) as ours:
        if not ours:
            raise EnvironmentProblem("env.busy", f"another process has sealed the log of {model} for {wait_s:g} s",
                                     do="run it again")  # fmt: skip
        _remember(place, wanted, [path.stem for path in log_files(folder, model)])
        gone = 0
        counting, superseded = segments(folder, model)
        value_set = pa.array(wanted, pa.string())
        with may_remove(place, wait_s=wait_s):  # a reader of the old file may go on: it is replaced, not changed
            for segment in counting:
                if not pc.any(pc.is_in(read_segment(segment, ["id"])["id"], value_set=value_set)).as_py():
                    continue
                table = read_segment(segment).replace_schema_metadata(None)
                kept = table.filter(pc.invert(pc.is_in(table["id"], value_set=value_set)))
                write_segment(
                    folder, model, kept, segment.ranges, segment.shapes, order=segment.order, path=segment.path
                )
                gone += table.num_rows - kept.num_rows
            for segment in superseded:
                segment.path.unlink(missing_ok=True)
        return gone


def _remember(place: Path, ids: Iterable[str], files: list[str]) -> None:
    """Add to the list of erased ids; entries whose files of frames are all gone are of no use any more."""
    path = place / ERASED
    entries = msgspec.json.decode(path.read_bytes()) if path.exists() else []
    there = set(files)
    entries = [e for e in entries if there & set(e["files"])]
    if files:
        entries.append({"ids": list(ids), "files": files, "at": stamp_of(time.time_ns() // 1000)})
    if entries:
        replace_file(path, msgspec.json.encode(entries).decode())
    else:
        path.unlink(missing_ok=True)
