"""The prediction log as readers see it: sealed segments and fresh frames alike, every row once.

Three ways in. ``Log.pages`` gives dicts, a page at a time, from a cursor on. ``Log.find`` gives the rows of some
ids. ``log_view`` is DuckDB over all of it: nothing but the unsealed rest is held in memory.

A cursor says by file of frames how far it was read: ``{"NAME.frames": [byte, row]}``. It survives sealing, since
segments keep every row's place in its file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from ambidex.data.frames import REQUEST_HEAD, log_files, read_payloads, rows_of_payload
from ambidex.data.log_locks import reading
from ambidex.data.run_folder import RECORD, read_slow
from ambidex.data.sealing import erased_ids
from ambidex.data.segments import Segment, covered, microseconds, read_rows, rows_of, segments
from ambidex.data.sql import connect, literal, quote
from ambidex.records import Schema

__all__ = ["Cursor", "Log", "LogView", "Prediction", "find_prediction", "find_rows", "log_view", "open_log"]

Cursor = dict[str, list[int]]
PAGE = 10_000
ENDING = ".frames"


@contextmanager
def open_log(folder: Path, model: str) -> Iterator[Log]:
    """A model's log as it stands now; while it is open, nothing of it is removed.

    Args:
        folder: The workspace's ``.ambidex/log``.
        model: Model's name.
    """
    place = folder / model
    if not place.is_dir():
        yield Log(folder, model, [], {}, frozenset())
        return
    with reading(place):
        # Files of frames first: one that is sealed in between stands in a segment that is listed after it.
        there = log_files(folder, model)
        counting, _ = segments(folder, model)
        done = covered(counting)
        frames = {path: done.get(path.stem, (0, 0)) for path in there}
        yield Log(folder, model, counting, frames, erased_ids(folder, model))


@dataclass(frozen=True, slots=True)
class Log:
    """A model's log as it stood when it was opened.

    Attributes:
        folder: The workspace's log folder.
        model: Model's name.
        segments: Sealed parts, oldest first.
        frames: Files of frames, each with the rows and bytes of it that segments hold.
        erased: Ids that no reader sees.
    """

    folder: Path
    model: str
    segments: list[Segment]
    frames: dict[Path, tuple[int, int]]
    erased: frozenset[str]

    def pages(self, cursor: Mapping[str, list[int]] | None = None) -> Iterator[tuple[list[dict[str, Any]], Cursor]]:
        """The rows after a cursor, some thousands at a time, each page with the cursor after it.

        Order: by file of frames and place in it; callers who need time sort a page by ``at``.

        Raises:
            Refused: ``check.altered``: a sealed part cannot be read.
        """
        now: Cursor = {name: list(place) for name, place in (cursor or {}).items()}
        before = {name.removesuffix(ENDING): place[1] for name, place in now.items()}
        for segment in self.segments:
            if all(r.end <= before.get(r.file, 0) for r in segment.ranges):
                continue
            for rows in read_rows(segment, after=before):
                for row in rows:
                    file, pos = row.pop("file"), row.pop("pos")
                    now[file + ENDING] = [0, pos + 1]  # within a segment no byte is needed
                yield rows, _copy(now)
            for r in segment.ranges:
                if r.end >= now.get(r.file + ENDING, [0, 0])[1]:
                    now[r.file + ENDING] = [r.offset, r.end]
        for path, (sealed, after) in self.frames.items():
            offset, place = _from(now, path, sealed, after)
            page: list[dict[str, Any]] = []
            for payload, end in read_payloads(path, offset):
                found = rows_of_payload(payload)
                if found is None:
                    break
                page += self._shown(found)
                place, offset = place + len(found), end
                if len(page) >= PAGE:
                    now[path.name] = [offset, place]
                    yield page, _copy(now)
                    page = []
            now[path.name] = [offset, place]
            if page:
                yield page, _copy(now)

    def end(self, cursor: Mapping[str, list[int]]) -> Cursor:
        """A cursor without the files that are gone for good: expired."""
        there = {r.file for s in self.segments for r in s.ranges} | {path.stem for path in self.frames}
        gone = (self.folder / self.model).is_dir()
        return {n: list(p) for n, p in cursor.items() if not gone or n.removesuffix(ENDING) in there}

    def find(self, ids: Collection[str], *, before: Mapping[str, list[int]] | None = None) -> list[dict[str, Any]]:
        """All rows and labels of some ids.

        Args:
            ids: Which.
            before: Only those before this cursor; None: all.

        Raises:
            Refused: ``check.altered``.
        """
        wanted = {str(i) for i in ids} - self.erased
        if not wanted:
            return []
        found: list[dict[str, Any]] = []
        for segment in self.segments:
            for row in _find_sealed(segment, wanted):
                file, pos = row.pop("file"), row.pop("pos")
                if before is None or pos < before.get(file + ENDING, [0, 0])[1]:
                    found.append(row)
        for path, (place, offset) in self.frames.items():
            end = None if before is None else before.get(path.name, [0, 0])[1]
            for payload, _ in read_payloads(path, offset):
                if end is not None and place >= end:
                    break
                place += _count(payload)
                if _may_hold(payload, wanted):
                    found += [r for r in rows_of_payload(payload) or () if str(r.get("id")) in wanted]
        return found

    def fresh(self, cursor: Mapping[str, list[int]] | None = None) -> tuple[Any, list[Any], Cursor]:
        """What no segment holds yet, from the cursor on: Arrow table, its shapes, and the cursor after it."""
        from ambidex.data.columns_of_log import LogColumns

        columns = LogColumns(self.erased)
        now: Cursor = {name: list(place) for name, place in (cursor or {}).items()}
        for segment in self.segments:
            for r in segment.ranges:
                if r.end >= now.get(r.file + ENDING, [0, 0])[1]:
                    now[r.file + ENDING] = [r.offset, r.end]
        for path, (sealed, after) in self.frames.items():
            offset, place = _from(now, path, sealed, after)
            stem = path.stem
            for payload, end in read_payloads(path, offset):
                count = columns.add(stem, place, payload)
                if count is None:
                    break
                place, offset = place + count, end
            now[path.name] = [offset, place]
        return columns.take(), list(columns.shapes), self.end(now)

    def _shown(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [r for r in rows if str(r.get("id")) not in self.erased] if self.erased else rows


def _from(cursor: Cursor, path: Path, sealed: int, after: int) -> tuple[int, int]:
    """(byte, row) from which a file of frames is read: after what is sealed and what was seen."""
    offset, seen = cursor.get(path.name, [0, 0])
    return (offset, seen) if seen > sealed else (after, sealed)  # up to there a cursor's byte means nothing


def _copy(cursor: Cursor) -> Cursor:
    return {name: list(place) for name, place in cursor.items()}


def _count(payload: bytes) -> int:
    """Rows of a frame."""
    return int.from_bytes(payload[4:8], "little") if payload[:1] == b"\x01" else 1


def _may_hold(payload: bytes, wanted: Collection[str]) -> bool:
    """Quick: whether a frame may have a row of one of the ids."""
    if payload[:1] != b"\x01":
        return any(i.encode() in payload for i in wanted) or b"\\" in payload
    _, _, _, count, _, _, _, first = REQUEST_HEAD.unpack_from(payload)
    if count == 1:
        return first.decode("ascii", "replace") in wanted
    head, start = first[:-8].decode("ascii", "replace"), int(first[-8:], 16)
    return any(
        len(i) == len(first) and i[:-8] == head and (int(i[-8:], 16) - start) & 0xFFFFFFFF < count for i in wanted
    )


def _find_sealed(segment: Segment, wanted: Collection[str]) -> list[dict[str, Any]]:
    import pyarrow as pa
    from pyarrow import ArrowException, parquet

    from ambidex.data.segments import altered

    try:
        table = parquet.read_table(segment.path, filters=[("id", "in", sorted(wanted))])
    except (ArrowException, OSError) as error:
        raise altered(segment.path) from error
    assert isinstance(table, pa.Table)
    return rows_of(table, segment.shapes, model=segment.path.parent.name)


def find_rows(folder: Path, model: str, ids: Collection[str]) -> list[dict[str, Any]]:
    """All rows and labels of some ids, wherever they lie."""
    with open_log(folder, model) as log:
        return log.find(ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """One logged prediction and what is known of it.

    Attributes:
        row: What was scored, as the log keeps it (hashed columns hashed, dropped ones absent).
        riders: What rode along.
        version: Who answered.
        p: Its score, or list of scores; None where it failed.
        at: When, as the log writes it.
        arm: ``live``, ``canary``, ``unsplit``, ``asked``; None where it was not served.
        source: ``http`` or ``score``.
        error: Code of the failure, or None.
        us: Time of encoding and scoring, µs, or None.
        others: The same row under other arms: the shadow's score, a canary's failure.
        labels: What was told of it, oldest first.
        stages: Its whole way through the server, by the names of ``run_folder.RECORD``; None where it is not among
            the few a minute that are kept.
    """

    row: dict[str, Any]
    riders: dict[str, str]
    version: int
    p: Any
    at: str
    arm: str | None
    source: str | None
    error: str | None
    us: int | None
    others: tuple[dict[str, Any], ...] = ()
    labels: tuple[dict[str, Any], ...] = ()
    stages: dict[str, Any] | None = None


def find_prediction(folder: Path, model: str, id: str) -> Prediction | None:
    """A prediction by its id, wherever its row lies; None if the log has no such row.

    Args:
        folder: The workspace's ``.ambidex/log``.
        model: Model's name.
        id: As the answer gave it.

    Raises:
        Refused: ``check.altered``.
    """
    found = find_rows(folder, model, [id])
    labels = sorted((r for r in found if r.get("kind") == "label"), key=lambda r: str(r.get("at", "")))
    rows = [r for r in found if r.get("kind") != "label"]
    if not rows:
        return None
    # The one that the caller saw: no shadow, no failure that another version answered for.
    rows.sort(key=lambda r: (r.get("arm") == "shadow", "error" in r))
    first, *others = rows
    at = str(first.get("at", ""))
    return Prediction(
        row=first.get("row") or {}, riders=first.get("riders") or {}, version=int(first.get("version") or 0),
        p=first.get("p"), at=at, arm=first.get("arm"), source=first.get("source"), error=first.get("error"),
        us=first.get("us"), others=tuple(others), labels=tuple(labels),
        stages=_kept(folder.parent / "run", model, id, at),
    )  # fmt: skip


def _kept(run_folder: Path, model: str, id: str, at: str) -> dict[str, Any] | None:
    us = microseconds(at)
    if us is None:
        return None
    for minute in read_slow(run_folder, us / 1e6 - 120, us / 1e6 + 120):
        if minute["model"] == model:
            for record in (*minute["slow"], *minute["sample"]):
                said = dict(zip(RECORD, record, strict=False))
                if said.get("id") == id:
                    return said
    return None


# ---------------------------------------------------------------- DuckDB


@dataclass(frozen=True, slots=True)
class LogView:
    """A DuckDB connection on which the view ``log`` is a model's log.

    Columns: ``file, pos, kind, at, id, version, source, arm, us, error, p, ps, label`` (write ``"at"`` or ``log.at``:
    bare, it is a word of SQL); a row's columns of the schema as ``c:NAME`` (DOUBLE, BIGINT or VARCHAR), riders as
    ``r:NAME`` (VARCHAR). Rows of versions that have no such column give NULL there.

    Attributes:
        connection: Reads the segments and nothing else.
        cursor: Where the view ends: the next one starts there.
        segments: How many sealed parts it reads.
        fresh: Rows that are not sealed yet.
    """

    connection: Any
    cursor: Cursor
    segments: int
    fresh: int


@contextmanager
def log_view(
    folder: Path, model: str, schema: Schema | None = None, *, cursor: Mapping[str, list[int]] | None = None
) -> Iterator[LogView]:
    """A model's log in DuckDB, from a cursor on: lazy over sealed parts; the unsealed rest is an Arrow table.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        schema: Columns and riders to show; None: no columns of the rows.
        cursor: As a view before gave it; None: everything.

    Example:
        >>> import tempfile
        >>> from ambidex.data.frames import FrameWriter
        >>> place = Path(tempfile.mkdtemp())
        >>> with FrameWriter(place / "churn" / "a.frames") as log:
        ...     _ = log.write([{"id": str(i), "version": 1, "row": {}, "p": i / 4} for i in range(4)])
        >>> with log_view(place, "churn") as view:
        ...     view.connection.execute("SELECT count(*), avg(p) FROM log WHERE version = 1").fetchone()
        (4, 0.375)
    """
    with open_log(folder, model) as log:
        seen = {name.removesuffix(ENDING): place[1] for name, place in (cursor or {}).items()}
        chosen = [s for s in log.segments if any(r.end > seen.get(r.file, 0) for r in s.ranges)]
        table, _, new = log.fresh(cursor)
        # A segment's path may be told to DuckDB only as the literal it may read.
        connection = connect(allow=[s.path.resolve() for s in chosen])
        try:
            connection.register("fresh_rows", table)
            parts = [_select("fresh_rows", set(table.column_names), schema)]
            if chosen:
                files = ", ".join(literal(str(s.path.resolve())) for s in chosen)
                names = set().union(*(s.names for s in chosen))
                parts.append(_select(f"read_parquet([{files}], union_by_name = true)", names, schema))
            everything = " UNION ALL ".join(parts)
            partly = {f: n for f, n in seen.items() if n and any(r.file == f for s in chosen for r in s.ranges)}
            if partly:
                import pyarrow as pa

                connection.register(
                    "seen_rows", pa.table({"seen_file": list(partly), "seen_rows": list(partly.values())})
                )
                everything = (
                    f"SELECT e.* FROM ({everything}) e LEFT JOIN seen_rows s ON e.file = s.seen_file "
                    "WHERE e.pos >= coalesce(s.seen_rows, 0)"
                )
            connection.execute(f"CREATE TEMP VIEW log AS {everything}")
            yield LogView(connection, new, len(chosen), table.num_rows)
        finally:
            connection.close()


META = ("file", "pos", "kind", "at", "id", "version", "source", "arm", "us", "error", "p", "ps", "label")


def _select(source: str, names: Collection[str], schema: Schema | None) -> str:
    shown = [quote(n) for n in META]
    if schema is not None:
        shown += [_typed(c.name, c.type, names) for c in schema.columns]
        shown += [
            (quote(f"r:{r}") if f"r:{r}" in names else "CAST(NULL AS VARCHAR)") + f" AS {quote(f'r:{r}')}"
            for r in schema.riders
        ]
    return f"SELECT {', '.join(shown)} FROM {source}"


def _typed(name: str, kind: Literal["float", "integer", "category"], names: Collection[str]) -> str:
    order, sql = {
        "float": (("n", "i"), "DOUBLE"), "integer": (("i", "n"), "BIGINT"), "category": (("t",), "VARCHAR"),
    }[kind]  # fmt: skip
    there = [f"CAST({quote(f'{k}:{name}')} AS {sql})" for k in order if f"{k}:{name}" in names]
    value = f"coalesce({', '.join(there)})" if len(there) > 1 else there[0] if there else f"CAST(NULL AS {sql})"
    return f"{value} AS {quote(f'c:{name}')}"
