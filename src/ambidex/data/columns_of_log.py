"""Frames of the prediction log as Arrow columns: requests in bulk, without a dict per row."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import msgspec
import pyarrow as pa

from ambidex.data.frames import REQUEST_HEAD, RequestFrame, rider_text, rows_of_payload
from ambidex.data.segments import microseconds

__all__ = ["LogColumns"]

CHUNK = 20_000
"""Rows that are kept as Python objects before they become columns."""
UNNAMEABLE = re.compile(r'["\\\x00-\x1f]')
"""msgspec cannot carry these in a field's name."""
KNOWN = frozenset(
    ("at", "model", "version", "source", "arm", "us", "error", "id", "row", "riders", "p", "kind", "label")
)  # fmt: skip
TYPES: dict[str, Any] = {
    "file": pa.string(), "pos": pa.int64(), "kind": pa.string(), "at": pa.timestamp("us"), "id": pa.string(),
    "version": pa.int32(), "source": pa.string(), "arm": pa.string(), "us": pa.int64(), "error": pa.string(),
    "p": pa.float64(), "ps": pa.list_(pa.float64()), "label": pa.string(), "shape": pa.int32(), "x": pa.string(),
}  # fmt: skip

_json = msgspec.json.encode
_decode = msgspec.json.decode
Shape = tuple[tuple[str, ...], tuple[str, ...]]


class LogColumns:
    """Collects rows of one model's log; ``take`` gives them as a table in the columns of ``data.segments``.

    Args:
        erased: Ids whose rows are left out.
    """

    def __init__(self, erased: Collection[str] = ()) -> None:
        self._erased = frozenset(erased)
        self._requests: dict[bytes, _Requests | None] = {}
        self._single = _Singles(self)
        self._tables: list[Any] = []
        self.shapes: dict[Shape, int] = {}
        self.rows = 0
        self._held = 0

    def add(self, file: str, pos: int, payload: bytes) -> int | None:
        """The rows of one frame; how many it has, None if the payload is none of ours."""
        if payload[0] == 1:
            try:
                count = self._add_request(file, pos, payload)
            except ValueError:
                return None
        else:
            rows = rows_of_payload(payload)
            if rows is None:
                return None
            self._single.add(file, pos, rows)
            count = len(rows)
        self.rows += count
        self._held += count
        if self._held >= CHUNK:
            self._flush()
        return count

    def shape(self, row: tuple[str, ...], riders: tuple[str, ...]) -> int:
        """The number of a kind of row."""
        return self.shapes.setdefault((row, riders), len(self.shapes))

    def take(self) -> Any:
        """All rows so far, by source and place in it; starts again empty, but for the shapes."""
        self._flush()
        tables, self._tables, self.rows = self._tables, [], 0
        table = pa.concat_tables(tables or [_table({}, 0)], promote_options="default")
        if len(tables) > 1:
            table = table.sort_by([("file", "ascending"), ("pos", "ascending")])
        return table.combine_chunks()

    def _add_request(self, file: str, pos: int, payload: bytes) -> int:
        if len(payload) < REQUEST_HEAD.size:
            raise ValueError("no request frame")
        _, flags, size, count, width, us, at, first = REQUEST_HEAD.unpack_from(payload)
        start = REQUEST_HEAD.size + size
        head = payload[REQUEST_HEAD.size : start]
        bucket = self._requests.get(head)
        if bucket is None and head not in self._requests:
            bucket = self._requests[head] = _Requests.of(self, payload)
        if bucket is not None:
            end = start + 8 * count * width
            if bucket.add(file, pos, count, width, flags, us, at, first, payload[start:end], payload[end:]):
                return int(count)
        request = RequestFrame.parse(payload)
        self._single.add(file, pos, request.rows())
        return request.count

    def _flush(self) -> None:
        self._held = 0
        for bucket in (*self._requests.values(), self._single):
            if bucket is not None and (table := bucket.take()) is not None:
                self._tables.append(self._kept(table))

    def _kept(self, table: Any) -> Any:
        if not self._erased:
            return table
        import pyarrow.compute as pc

        return table.filter(pc.invert(pc.is_in(table["id"], value_set=pa.array(sorted(self._erased), pa.string()))))


class _Requests:
    """Requests of one stream whose rows all have the columns of its first one."""

    def __init__(
        self, owner: LogColumns, head: Mapping[str, Any], names: tuple[str, ...], listed: bool
    ) -> None:  # fmt: skip
        self._owner = owner
        self._head = head
        self._names = names
        self._riders: tuple[str, ...] = tuple(head.get("riders", ()))
        self._too = set(head.get("inputs_too", ()))
        self._listed = listed
        value = int | float | str | None
        ridden = [n for n in self._riders if n not in self._too]
        labels = {n: f"c{i}" for i, n in enumerate([*names, *ridden])}
        fields: list[Any] = [(labels[n], value) for n in names] + [(labels[n], value, None) for n in ridden]
        rename = {v: k for k, v in labels.items()}
        row: Any = msgspec.defstruct("Row", fields, rename=rename, forbid_unknown_fields=True, gc=False)
        body: Any = msgspec.defstruct("Body", [("rows", list[row])], forbid_unknown_fields=True)
        self._body = msgspec.json.Decoder(body).decode
        self._row = msgspec.json.Decoder(row).decode
        self._columns = [*names, *ridden]
        self._clear()

    def _clear(self) -> None:
        self._rows: list[Any] = []
        self._pos: list[int] = []
        self._at: list[int] = []
        self._us: list[int] = []
        self._ids: list[str] = []
        self._file: list[str] = []
        self._scores: list[bytes] = []

    @staticmethod
    def of(owner: LogColumns, payload: bytes) -> _Requests | None:
        """A bucket for the stream of a first request, or None where names cannot be decoded in bulk."""
        request = RequestFrame.parse(payload)
        rows = request.rows()
        if not rows or not rows[0]["row"]:
            return None
        names = tuple(rows[0]["row"])
        if any(UNNAMEABLE.search(n) for n in (*names, *request.head.get("riders", ()))):
            return None
        listed = isinstance(request.scores[0], list)
        return _Requests(owner, request.head, names, listed)

    def add(
        self, file: str, pos: int, count: int, width: int, flags: int, us: int, at: int, first: bytes, scores: bytes,
        body: bytes,
    ) -> bool:  # fmt: skip
        """Take a request; False if it must go the slow way."""
        if (width == 0) != ("error" in self._head) or ((width == 1 and not flags & 1) == self._listed and width):
            return False
        try:
            rows = self._body(body).rows
        except (msgspec.DecodeError, UnicodeDecodeError):
            try:
                rows = [self._row(body)]
            except (msgspec.DecodeError, UnicodeDecodeError):
                return False
        if len(rows) != count or len(scores) != 8 * count * width:
            return False
        text = first.decode()
        if count == 1:
            self._rows.append(rows[0])
            self._pos.append(pos)
            self._at.append(at)
            self._us.append(us)
            self._ids.append(text)
            self._file.append(file)
        else:
            self._rows += rows
            self._pos += range(pos, pos + count)
            self._at += [at] * count
            self._us += [us] * count
            head, start = text[:-8], int(text[-8:], 16)
            self._ids += [f"{head}{i & 0xFFFFFFFF:08x}" for i in range(start, start + count)]
            self._file += [file] * count
        if self._listed:
            self._scores += [scores[i : i + 8 * width] for i in range(0, len(scores), 8 * width)]
        else:
            self._scores.append(scores)
        return True

    def take(self) -> Any | None:
        """The rows as a table; starts again empty."""
        count = len(self._rows)
        if not count:
            return None
        values = dict(zip(self._columns, zip(*map(msgspec.structs.astuple, self._rows), strict=True), strict=True))
        columns: dict[str, Any] = {
            "file": self._file, "pos": self._pos, "at": pa.array(self._at, pa.int64()), "id": self._ids,
            "us": [u or None for u in self._us], **_constants(self._head, count),
        }  # fmt: skip
        if self._listed:
            numbers = pa.Array.from_buffers(
                pa.float64(), sum(map(len, self._scores)) // 8, [None, _buffer(self._scores)]
            )
            ends = [0]
            for one in self._scores:
                ends.append(ends[-1] + len(one) // 8)
            columns["ps"] = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), numbers)
        elif "error" not in self._head:
            columns["p"] = pa.Array.from_buffers(pa.float64(), count, [None, _buffer(self._scores)])
        for name in self._names:
            columns |= _cells(name, values[name])
        riders = []
        for name in self._riders:
            texts = [None if v is None else rider_text(v) for v in values[name]]
            riders.append(texts)
            columns[f"r:{name}"] = pa.array(texts, pa.string())
        # Which riders a row has is read off their nulls: a shape names all that may ride.
        columns["shape"] = [self._owner.shape(self._names, self._riders)] * count
        self._clear()
        return _table(columns, count)


class _Singles:
    """Rows that came as dicts: labels, scored tables, requests of another shape than their stream's first."""

    def __init__(self, owner: LogColumns) -> None:
        self._owner = owner
        self._rows: list[tuple[str, int, dict[str, Any]]] = []

    def add(self, file: str, pos: int, rows: list[dict[str, Any]]) -> None:
        """Rows of one frame."""
        self._rows += [(file, pos + i, row) for i, row in enumerate(rows)]

    def take(self) -> Any | None:
        """The rows as a table; starts again empty."""
        rows, self._rows = self._rows, []
        if not rows:
            return None
        frames = [row for _, _, row in rows]
        labels = [f.get("kind") == "label" for f in frames]
        columns: dict[str, Any] = {
            "file": [file for file, _, _ in rows],
            "pos": [pos for _, pos, _ in rows],
            "kind": ["label" if label else "prediction" for label in labels],
            "at": pa.array([microseconds(f.get("at")) for f in frames], pa.int64()),
            "id": [None if f.get("id") is None else str(f["id"]) for f in frames],
            "label": [_json(f.get("label")).decode() if one else None for f, one in zip(frames, labels, strict=True)],
        }  # fmt: skip
        extras: list[dict[str, Any]] = [{k: v for k, v in f.items() if k not in KNOWN} for f in frames]
        for name, fits in _FITS.items():
            values = [f.get(name) for f in frames]
            columns[name] = [v if v is not None and fits(v) else None for v in values]
            for extra, value in zip(extras, values, strict=True):
                if value is not None and not fits(value):
                    extra[name] = value
        columns["ps"] = [_listed(f.get("p")) for f in frames]
        for extra, frame, at, label in zip(extras, frames, columns["at"].to_pylist(), labels, strict=True):
            if at is None and "at" in frame:
                extra["at"] = frame["at"]
            if not label and frame.get("kind") is not None:
                extra["kind"] = frame["kind"]
        columns["x"] = [_json(extra).decode() if extra else None for extra in extras]
        dicts = [_dict(f.get("row")) for f in frames]
        ridden = [_dict(f.get("riders")) for f in frames]
        columns["shape"] = [
            None if label else self._owner.shape(tuple(row), tuple(n for n, v in riders.items() if v is not None))
            for label, row, riders in zip(labels, dicts, ridden, strict=True)
        ]
        for name in dict.fromkeys(n for row in dicts for n in row):
            columns |= _cells(name, [row.get(name) for row in dicts])
        for name in dict.fromkeys(n for riders in ridden for n, v in riders.items() if v is not None):
            columns[f"r:{name}"] = [None if (v := r.get(name)) is None else rider_text(v) for r in ridden]
        return _table(columns, len(rows))


def _whole(value: Any) -> bool:
    return type(value) is int and -(2**31) <= value < 2**31


def _text(value: Any) -> bool:
    return isinstance(value, str)


_FITS: dict[str, Callable[[Any], bool]] = {
    "version": _whole, "source": _text, "arm": _text, "us": _whole, "error": _text,
    "p": lambda v: isinstance(v, list) or type(v) in (int, float),
}  # fmt: skip


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _listed(value: Any) -> list[float] | None:
    return value if isinstance(value, list) else None


def _buffer(parts: list[bytes]) -> Any:
    return pa.py_buffer(b"".join(parts))


def _constants(head: Mapping[str, Any], count: int) -> dict[str, Any]:
    return {
        "kind": pa.repeat("prediction", count),
        **{n: pa.repeat(pa.scalar(head.get(n), TYPES[n]), count) for n in ("version", "source", "arm", "error")},
    }


def _cells(name: str, values: Any) -> dict[str, Any]:
    """One column of the rows, by the kinds of its values."""
    try:
        found = pa.array(values)
    except (pa.ArrowException, OverflowError, TypeError):
        found = None
    if found is not None:
        match str(found.type):
            case "null":
                return {}
            case "int64":
                return {f"i:{name}": found}
            case "double":
                return {f"n:{name}": found}
            case "string":
                return {f"t:{name}": found}
    parts: dict[str, list[Any]] = {}
    for i, value in enumerate(values):
        if value is None:
            continue
        kind = type(value)
        if kind is int and -(2**63) <= value < 2**63:
            key = f"i:{name}"
        elif kind is float:
            key = f"n:{name}"
        elif kind is str:
            key = f"t:{name}"
        else:
            key, value = f"j:{name}", _json(value).decode()
        parts.setdefault(key, [None] * len(values))[i] = value
    return {key: pa.array(cells) for key, cells in parts.items()}


def _table(columns: dict[str, Any], count: int) -> Any:
    arrays: dict[str, Any] = {}
    for name, kind in TYPES.items():
        values = columns.pop(name, None)
        if name == "p" and isinstance(values, list):
            values = [None if isinstance(v, list) else v for v in values]
        if values is None:
            arrays[name] = pa.nulls(count, kind)
        elif isinstance(values, list):
            arrays[name] = pa.array(values, kind)
        else:
            arrays[name] = values.cast(kind)
    return pa.table({**arrays, **columns})
