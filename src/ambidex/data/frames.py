"""The prediction log on disk: frames of length, CRC32 and payload, appended and never rewritten.

    u32 little-endian length | u32 little-endian CRC32 of the payload | payload

A payload that begins with ``{`` is JSON, one record: a label ``{"kind":"label","at","model","id","label"}``, or a
prediction ``{"at","model","version","id","row":{…},"riders":{…},"p","source"}``. One that begins with byte 1 is a
whole request, written on the hot road without a dict per row:

    u8 1 | u8 flags | u16 head bytes | u32 rows | u32 scores a row | u32 µs | u64 µs since 1970 | first id, 27 bytes
    | head, JSON, the same for every request of a stream: model, version, source, arm, riders, error
    | scores, float64 little-endian | body of the request as it came

Readers see one dict a row either way. Files: ``.ambidex/log/MODEL/*.frames``; sealed ones lie beside them as
Parquet (``data/segments.py``).
"""

from __future__ import annotations

import array
import fcntl
import os
import struct
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import msgspec

__all__ = [
    "HEAD",
    "LIMIT",
    "REQUEST_HEAD",
    "Frame",
    "FrameWriter",
    "RequestFrame",
    "Stream",
    "is_torn",
    "log_files",
    "next_id",
    "read_frames",
    "read_payloads",
    "rider_text",
    "rows_of_payload",
    "stamp_of",
]

LIMIT = 64 << 20
HEAD = 8
REQUEST = 1
LISTED = 1
"""Flag: a row's score is a list, one number a class, however many there are."""
PIECE = 1 << 20
REQUEST_HEAD = struct.Struct("<BBHIIIQ27s")
"""1, flags, bytes of the head, rows, scores a row, µs, time, first id."""
_decode = msgspec.json.decode


def rider_text(value: Any) -> str:
    """A rider as a CSV would write it: whole numbers without a point.

    >>> rider_text(7.0), rider_text("007")
    ('7', '007')
    """
    if isinstance(value, float) and value.is_integer():
        return f"{value:.0f}"
    return str(value)


def next_id(first: str, offset: int) -> str:
    """The id ``offset`` places after a request's first one.

    >>> next_id("0193a4f00001a2b3c4d00000009", 3)
    '0193a4f00001a2b3c4d0000000c'
    """
    return f"{first[:-8]}{(int(first[-8:], 16) + offset) & 0xFFFFFFFF:08x}"


def stamp_of(us: int) -> str:
    """µs since 1970 as the log writes a time: UTC, ISO 8601, Z.

    >>> stamp_of(1_700_000_000_000_001)
    '2023-11-14T22:13:20.000001Z'
    """
    seconds, rest = divmod(us, 1_000_000)
    return f"{_second(seconds)}.{rest:06d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """What all requests of one version in one arm have in common.

    Attributes:
        model: Model's name.
        version: Its number.
        source: Where the rows came from.
        arm: ``live``, ``canary``, ``shadow``, ``unsplit`` (rows of several units while a canary runs).
        riders: Columns that ride along: logged, not scored.
        inputs_too: Those of them that are scored as well.
        listed: True if a row's score is a list.
        error: Code of the failure, for requests the version could not score.
    """

    model: str
    version: int
    source: str = "http"
    arm: str = "live"
    riders: tuple[str, ...] = ()
    inputs_too: tuple[str, ...] = ()
    listed: bool = False
    error: str | None = None
    head: bytes = field(init=False, default=b"", repr=False, compare=False)

    def __post_init__(self) -> None:
        said: dict[str, Any] = {"model": self.model, "version": self.version, "source": self.source, "arm": self.arm}
        said |= {k: v for k in ("riders", "inputs_too", "error") if (v := getattr(self, k))}
        object.__setattr__(self, "head", msgspec.json.encode(said))

    def frame(self, at_us: int, first: bytes, count: int, scores: bytes, body: bytes, us: int = 0) -> bytes:
        """One request as a frame.

        Args:
            at_us: µs since 1970.
            first: Id of the first row, 27 bytes; the others follow it.
            count: Rows.
            scores: float64, little-endian, the scores of a row together; empty: nothing was scored.
            body: The request's JSON: ``{"rows": [...]}`` or one bare object.
            us: Time that encoding and scoring took, µs.
        """
        head = self.head
        width = len(scores) // (8 * count) if count else 0
        start = REQUEST_HEAD.pack(REQUEST, self.listed, len(head), count, width, min(us, 0xFFFFFFFF), at_us, first)
        payload = b"".join((start, head, scores, body))
        return b"%b%b%b" % (len(payload).to_bytes(4, "little"), zlib.crc32(payload).to_bytes(4, "little"), payload)


@dataclass(slots=True)
class RequestFrame:
    """A request frame, taken apart but for its body.

    Attributes:
        at_us: µs since 1970.
        first: Id of its first row.
        count: Rows.
        us: Time that encoding and scoring took, µs.
        head: What the stream said.
        scores: A row's score or list of scores, None if it has none.
        body: JSON.
    """

    at_us: int
    first: str
    count: int
    us: int
    head: Mapping[str, Any]
    scores: list[Any]
    body: bytes

    @staticmethod
    def parse(payload: bytes) -> RequestFrame:
        """A payload that begins with byte 1.

        Raises:
            ValueError: It is shorter than it says.
        """
        try:
            _, flags, size, count, width, us, at_us, first = REQUEST_HEAD.unpack_from(payload)
        except struct.error as error:
            raise ValueError("no request frame") from error
        at = REQUEST_HEAD.size + size
        end = at + 8 * count * width
        if end > len(payload):
            raise ValueError("no request frame")
        numbers = array.array("d")
        numbers.frombytes(payload[at:end])
        if sys.byteorder == "big":
            numbers.byteswap()
        scores: list[Any]
        if width == 0:
            scores = [None] * count
        elif width == 1 and not flags & LISTED:
            scores = numbers.tolist()
        else:
            scores = [numbers[i : i + width].tolist() for i in range(0, count * width, width)]
        head = _head(payload[REQUEST_HEAD.size : at])
        return RequestFrame(at_us, first.decode("ascii", "replace"), count, us, head, scores, payload[end:])

    def ids(self) -> list[str]:
        """Ids of its rows."""
        if self.count == 1:
            return [self.first]
        head, start = self.first[:-8], int(self.first[-8:], 16)
        return [f"{head}{i & 0xFFFFFFFF:08x}" for i in range(start, start + self.count)]

    def rows(self) -> list[dict[str, Any]]:
        """Its rows as readers of the log see them: numbers as they were written, riders as text."""
        try:
            value = _decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            value = {}
        rows = value.get("rows") if isinstance(value, dict) else None
        if not isinstance(rows, list):
            rows = [value]
        if len(rows) != self.count or not all(isinstance(r, dict) for r in rows):
            rows = [{} for _ in range(self.count)]
        head = self.head
        said = {"at": stamp_of(self.at_us), **{k: head.get(k) for k in ("model", "version", "source", "arm")}}
        if self.us:
            said["us"] = self.us
        if "error" in head:
            said["error"] = head["error"]
        riders, too = head.get("riders", ()), head.get("inputs_too", ())
        found = []
        for identity, row, p in zip(self.ids(), rows, self.scores, strict=True):
            ridden = {}
            for name in riders:
                value = row.get(name) if name in too else row.pop(name, None)
                if value is not None:
                    ridden[name] = rider_text(value)
            found.append({**said, "id": identity, "row": row, "riders": ridden, "p": p})
        return found


@lru_cache(maxsize=256)
def _head(head: bytes) -> Mapping[str, Any]:
    said = _decode(head)
    return said if isinstance(said, dict) else {}


class Frame:
    """One JSON record of the log as bytes, and back."""

    @staticmethod
    def encode(payload: Mapping[str, Any]) -> bytes:
        """A payload as a frame.

        >>> Frame.decode(Frame.encode({"id": "a", "p": 0.5}))
        {'id': 'a', 'p': 0.5}
        """
        return Frame.wrap(msgspec.json.encode(payload))

    @staticmethod
    def wrap(body: bytes) -> bytes:
        """An encoded payload as a frame."""
        return len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body

    @staticmethod
    def decode(frame: bytes) -> dict[str, Any]:
        """The payload of one whole frame of one record.

        Raises:
            ValueError: The frame is torn or altered.
        """
        payload, end = _at(frame, 0)
        rows = rows_of_payload(payload) if payload is not None else None
        if rows is None or len(rows) != 1 or end != len(frame):
            raise ValueError("not one whole frame")
        return rows[0]


class FrameWriter:
    """Appends frames to one file, readable by the owner only. One writer a file, which holds its lock.

    ``write`` is one ``os.write`` per batch: when it returns, the rows are in the kernel, and the death
    of the process loses none of them. What a killed writer left torn at the end is cut on opening,
    since it would hide every later frame from readers.

    Args:
        path: File to append to; its folder is made if needed.

    Attributes:
        size: Bytes of whole frames.
        torn: True if half a batch lies at its end and could not be cut: write to another file.

    Raises:
        OSError: It cannot be written, or another process writes it.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "churn" / "1.frames"
        >>> with FrameWriter(path) as log:
        ...     _ = log.write([{"id": "a"}, {"id": "b"}])
        >>> [f["id"] for f in read_frames(path)[0]]
        ['a', 'b']
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = False
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Synchronous by choice of the caller (`sync`), never by O_DSYNC: one wait a tick, not one a frame.
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(
                self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # who seals the log removes only files without a writer
            if os.fstat(self._fd).st_nlink == 0:
                raise OSError(f"{path}: was sealed a moment ago")
            self.size = os.fstat(self._fd).st_size
            if self.size:
                whole = _whole(path)
                if whole < self.size:
                    os.ftruncate(self._fd, whole)
                    self.size = whole
        except BaseException:
            os.close(self._fd)
            self._fd = -1
            raise

    def write(self, payloads: Iterable[Mapping[str, Any]]) -> int:
        """Append a batch; returns the bytes written. Raises OSError if the kernel did not take them all."""
        return self.write_bytes(b"".join(Frame.encode(p) for p in payloads))

    def write_bytes(self, frames: bytes) -> int:
        """Append frames that are encoded already, whole or not at all as far as readers see."""
        if not frames:
            return 0
        written = os.write(self._fd, frames)
        if written != len(frames):
            self._cut()
            raise OSError(f"{self.path}: {written} of {len(frames)} bytes were taken")
        self.size += written
        return written

    def _cut(self) -> None:
        # A torn batch in the middle of a file would hide every later frame from readers.
        self.torn = True
        os.ftruncate(self._fd, self.size)
        self.torn = False

    def sync(self) -> None:
        """Wait until the frames survive power loss."""
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> FrameWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_frames(path: Path, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
    """The rows of the whole frames from ``offset`` on, and the offset after the last of them.

    A torn tail (a write cut short, a frame whose CRC differs) is left out: reading again from the
    returned offset gives it once it is whole.

    Args:
        path: A file of frames.
        offset: Where to start, a frame's first byte.
    """
    rows: list[dict[str, Any]] = []
    for payload, end in read_payloads(path, offset):
        found = rows_of_payload(payload)
        if found is None:
            break
        rows += found
        offset = end
    return rows, offset


def read_payloads(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Payloads of the whole frames from ``offset`` on, each with the offset after its frame; flat memory."""
    with path.open("rb") as file:
        file.seek(offset)
        data = b""
        start = offset  # of `data` in the file
        at = 0
        while True:
            payload, end = _at(data, at)
            if payload is None:
                need = _needed(data, at)
                more = file.read(max(PIECE, need)) if need else b""
                if not more:
                    return
                data, start, at = data[at:] + more, start + at, 0
                continue
            at = end
            yield payload, start + at


def rows_of_payload(payload: bytes) -> list[dict[str, Any]] | None:
    """The records of a payload, or None for one that is none of ours."""
    try:
        if payload[:1] == b"\x01":
            return RequestFrame.parse(payload).rows()
        decoded = _decode(payload)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return [decoded] if isinstance(decoded, dict) else None


def log_files(folder: Path, model: str) -> list[Path]:
    """The files of frames of a model, oldest name first. ``folder`` is the workspace's ``.ambidex/log``."""
    return sorted((folder / model).glob("*.frames"))


def is_torn(tail: bytes) -> bool:
    """Whether what follows the last whole frame is the beginning of one, and not a frame that was altered."""
    length = int.from_bytes(tail[:4], "little")
    return len(tail) < HEAD or (0 < length <= LIMIT and len(tail) < HEAD + length)


def _whole(path: Path) -> int:
    end = 0
    with suppress(FileNotFoundError):
        for payload, after in read_payloads(path):
            if payload[:1] not in (b"\x01", b"{"):
                break
            end = after
    return end


def _needed(data: bytes, at: int) -> int:
    """Bytes that must be read to see the frame at ``at`` whole; 0 if no reading can make it whole."""
    body = at + HEAD
    if body > len(data):
        return HEAD
    length = int.from_bytes(data[at : at + 4], "little")
    if not 0 < length <= LIMIT:
        return 0
    return max(0, body + length - len(data))


def _at(data: bytes, at: int) -> tuple[bytes | None, int]:
    body = at + HEAD
    if body > len(data):
        return None, at
    length = int.from_bytes(data[at : at + 4], "little")
    end = body + length
    if not 0 < length <= LIMIT or end > len(data):
        return None, at
    payload = data[body:end]
    if zlib.crc32(payload) != int.from_bytes(data[at + 4 : body], "little"):
        return None, at
    return payload, end
