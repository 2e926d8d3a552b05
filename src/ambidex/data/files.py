"""Files before they are parsed: are they there, are they regular, what do their first bytes say."""

from __future__ import annotations

import codecs
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from ambidex.errors import DataError, NotFound, did_you_mean, nearest

__all__ = ["Content", "Snapshot", "look", "missing_file", "snapshot"]

MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"FEA1", "a Feather version 1 file"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF8", "a GIF picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (Excel files are ZIP archives too)"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a GZIP archive"),
    (b"BZh", "a BZIP2 archive"),
    (b"\xfd7zXZ\x00", "an XZ archive"),
    (b"\x28\xb5\x2f\xfd", "a ZSTD archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x7fELF", "a program (ELF)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"Obj\x01", "an Avro file"),
    (b"ORC", "an ORC file"),
    (b"\x93NUMPY", "a NumPy array"),
)
HEAD = 1 << 16


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds by its first bytes.

    Attributes:
        kind: ``csv``, ``parquet``, ``arrow`` or ``arrow-stream``.
        encoding: For ``csv``: ``utf-8``, ``utf-8-sig``, ``utf-16`` or ``utf-32``, from its byte order mark.
    """

    kind: str
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file as it was when reading began; ``verify`` finds out whether it still is.

    Attributes:
        path: The file.
        size: Bytes.
        mtime: Time of the last change, in ns.
    """

    path: Path
    size: int
    mtime: int

    def verify(self) -> None:
        """Raises DataError ``data.changed`` if the file changed meanwhile."""
        now = self.path.stat()
        if (now.st_size, now.st_mtime_ns) != (self.size, self.mtime):
            raise DataError(
                "data.changed",
                f"{self.path} changed while it was read",
                where=str(self.path),
                found=f"{self.size:,} bytes at first, {now.st_size:,} bytes now",
                do="wait until it is written, then run again",
            )


def missing_file(path: Path) -> NotFound:
    """The error for a path where nothing is, with the nearest name in its folder."""
    folder = path.parent
    try:
        names = sorted(p.name for p in folder.iterdir() if not p.name.startswith("."))
    except OSError:
        names = []
    if not folder.is_dir():
        found = f"the folder {folder} is not there either"
    elif names:
        found = f"in {folder}: " + ", ".join(names[:8]) + (f" … ({len(names)} files)" if len(names) > 8 else "")
    else:
        found = f"the folder {folder} holds no files"
    hits = nearest(path.name, names, count=1)
    return NotFound(
        "data.no-file",
        f"no such file: {path}{did_you_mean(path.name, names)}",
        where=str(path),
        found=found,
        do=f"ambidex profile {folder / hits[0]}" if hits else "check the path, or give a folder or a glob",
    )


def snapshot(path: Path) -> Snapshot:
    """Check that the path is a regular file that holds something.

    Raises:
        NotFound: ``data.no-file``.
        DataError: ``data.not-a-file`` for a device, pipe or socket; ``data.empty`` for 0 bytes.
    """
    try:
        info = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise missing_file(path) from None
    except (OSError, ValueError) as e:
        raise NotFound(
            "data.no-file", f"cannot look at {str(path)!r}", where=repr(str(path)), found=str(e), do="check the path"
        ) from e
    kinds = {
        stat.S_IFCHR: "a character device",
        stat.S_IFBLK: "a block device",
        stat.S_IFIFO: "a pipe (FIFO)",
        stat.S_IFSOCK: "a socket",
        stat.S_IFDIR: "a folder",
    }
    if not stat.S_ISREG(info.st_mode):
        raise DataError(
            "data.not-a-file",
            f"{path} is {kinds.get(stat.S_IFMT(info.st_mode), 'not a regular file')}",
            where=str(path),
            found="a table is a regular file: CSV, Parquet or Arrow",
            do="write it to a file first, then name the file",
        )
    if info.st_size == 0:
        raise DataError(
            "data.empty",
            f"{path} is empty",
            where=str(path),
            found="0 bytes",
            do="check what wrote it: a CSV has a header line and rows",
        )
    return Snapshot(path, info.st_size, info.st_mtime_ns)


def look(path: Path) -> Content:
    """What a regular file holds, by its first bytes and never by its name.

    Raises:
        DataError: ``data.format`` for anything that is not a table; it says what it is.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as e:
        raise NotFound("data.no-file", f"cannot open {path}: {e.strerror}", where=str(path), do=f"ls -l {path}") from e
    with os.fdopen(fd, "rb") as file:
        head = file.read(HEAD)
    for magic, what in MAGIC:
        if head.startswith(magic):
            if what in ("parquet", "arrow"):
                return Content(what)
            raise _not_a_table(path, f"it is {what}", head)
    if head.startswith(b"\xff\xff\xff\xff") and b"\x00" in head[:16]:
        return Content("arrow-stream")
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return Content("csv", encoding)
    if b"\x00" in head:
        raise _not_a_table(path, "it is a binary file (it holds NUL bytes)", head)
    start = head.lstrip()[:200].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        raise _not_a_table(path, "it is a web page (HTML)", head)
    if start.startswith((b'[{"', b'{"', b"[[", b"[\n", b"{\n")):
        raise _not_a_table(path, "it is JSON", head)
    if start.startswith((b"{\\rtf", b"<?xml")):
        raise _not_a_table(path, "it is an RTF or XML document", head)
    return Content("csv")


def _not_a_table(path: Path, what: str, head: bytes) -> DataError:
    return DataError(
        "data.format",
        f"{path.name} is not a table: {what}",
        where=str(path),
        found=f"first bytes {head[:8].hex(' ')}",
        do="give a CSV, Parquet or Arrow file",
    )
