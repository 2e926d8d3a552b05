"""The prediction log on disk: frames of length, CRC32 and JSON, appended and never rewritten.

    u32 little-endian length | u32 little-endian CRC32 of the payload | payload (UTF-8 JSON object)

A prediction: ``{"at","model","version","id","row":{…},"riders":{…},"p","source"}``. A label:
``{"kind":"label","at","model","id","label"}``. Files: ``.ambidex/log/MODEL/*.frames``.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

__all__ = ["Frame", "FrameWriter", "log_files", "read_frames"]

LIMIT = 16 << 20
HEAD = 8


class Frame:
    """One record of the log as bytes, and back."""

    @staticmethod
    def encode(payload: Mapping[str, Any]) -> bytes:
        """A payload as a frame.

        >>> Frame.decode(Frame.encode({"id": "a", "p": 0.5}))
        {'id': 'a', 'p': 0.5}
        """
        return Frame.wrap(msgspec.json.encode(payload))

    @staticmethod
    def wrap(body: bytes) -> bytes:
        """An encoded JSON object as a frame."""
        return len(body).to_bytes(4, "little") + zlib.crc32(body).to_bytes(4, "little") + body

    @staticmethod
    def decode(frame: bytes) -> dict[str, Any]:
        """The payload of one whole frame.

        Raises:
            ValueError: The frame is torn or altered.
        """
        payload, end = _at(frame, 0)
        if payload is None or end != len(frame):
            raise ValueError("not one whole frame")
        return payload


class FrameWriter:
    """Appends frames to one file, readable by the owner only. One writer a file.

    ``write`` is one ``os.write`` per batch: when it returns, the rows are in the kernel, and the death
    of the process loses none of them. What a killed writer left torn at the end is cut on opening,
    since it would hide every later frame from readers.

    Args:
        path: File to append to; its folder is made if needed.

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
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if size := os.fstat(self._fd).st_size:
            whole = read_frames(path)[1]
            if whole < size:
                os.ftruncate(self._fd, whole)

    def write(self, payloads: Iterable[Mapping[str, Any]]) -> int:
        """Append a batch; returns the bytes written. Raises OSError if the kernel did not take them all."""
        return self.write_bytes(b"".join(Frame.encode(p) for p in payloads))

    def write_bytes(self, frames: bytes) -> int:
        """Append frames that are encoded already, whole or not at all as far as readers see."""
        if not frames:
            return 0
        written = os.write(self._fd, frames)
        if written != len(frames):
            self._cut(written)
            raise OSError(f"{self.path}: {written} of {len(frames)} bytes were taken")
        return written

    def _cut(self, written: int) -> None:
        # A torn batch in the middle of a file would hide every later frame from readers.
        size = os.fstat(self._fd).st_size
        os.ftruncate(self._fd, max(0, size - written))

    def sync(self) -> None:
        """Wait until the frames survive power loss."""
        os.fsync(self._fd)

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
    """The whole frames from ``offset`` on, and the offset after the last of them.

    A torn tail (a write cut short, a frame whose CRC differs) is left out: reading again from the
    returned offset gives it once it is whole.

    Args:
        path: A file of frames.
        offset: Where to start, a frame's first byte.
    """
    with path.open("rb") as file:
        file.seek(offset)
        data = file.read()
    frames: list[dict[str, Any]] = []
    at = 0
    while True:
        payload, end = _at(data, at)
        if payload is None:
            return frames, offset + at
        frames.append(payload)
        at = end


def log_files(folder: Path, model: str) -> list[Path]:
    """The log files of a model, oldest name first. ``folder`` is the workspace's ``.ambidex/log``."""
    return sorted((folder / model).glob("*.frames"))


def _at(data: bytes, at: int) -> tuple[dict[str, Any] | None, int]:
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
    try:
        decoded = msgspec.json.decode(payload)
    except msgspec.DecodeError:
        return None, at
    return (decoded, end) if isinstance(decoded, dict) else (None, at)
