"""Blobs in a folder: named by their sha256, written whole or not at all, verified on every read.

A blob is written as temp file (mode 0600) beside its place, fsync, rename, fsync of the folders;
only then is its hash returned. A process that dies leaves a temp file, never half a blob; the
next opening sweeps it up.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from ambidex.errors import EnvironmentProblem, NotFound, Refused
from ambidex.ports import StepHook
from ambidex.records import digest

__all__ = ["Disk", "FileBlobs", "here", "is_hash"]

T = TypeVar("T")
_TEMP = ".tmp-"
_STALE_S = 3600.0
_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSES = {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EFBIG}


class Disk:
    """The calls that change a disk, each one with a step before and after it.

    Whatever writes files goes through here, so that no write lacks a point at which a test can
    kill the process.

    Args:
        hook: Called with the step's name, e.g. ``"fsync:before"``.
    """

    def __init__(self, hook: StepHook | None = None) -> None:
        self.hook = hook

    def step(self, name: str, call: Callable[[], T]) -> T:
        """Do one thing between its two points."""
        if self.hook is None:
            return call()
        self.hook(f"{name}:before")
        value = call()
        self.hook(f"{name}:after")
        return value

    def folder(self, path: Path) -> None:
        """Make a folder, whose parent must be there."""
        self.step("mkdir", lambda: path.mkdir(mode=0o700, exist_ok=True))

    def create(self, path: Path) -> int:
        """Make a file that is not there yet, for its owner only; returns the descriptor."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        return self.step("create", lambda: os.open(path, flags, 0o600))

    def write(self, descriptor: int, data: bytes) -> None:
        """Write all of it; the kernel may take it in pieces."""
        rest = memoryview(data)
        while rest:
            rest = rest[self.step("write", lambda part=rest: os.write(descriptor, part)) :]  # type: ignore[misc]

    def sync(self, descriptor: int) -> None:
        """Wait until the file is on the disk."""
        self.step("fsync", lambda: os.fsync(descriptor))

    def rename(self, old: Path, new: Path) -> None:
        """Put a file in its place in one step."""
        self.step("rename", lambda: old.replace(new))

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        self.step("unlink", lambda: path.unlink(missing_ok=True))

    def sync_folder(self, path: Path) -> None:
        """Wait until a folder's names are on the disk."""
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self.step("fsync folder", lambda: os.fsync(descriptor))
        finally:
            os.close(descriptor)

    def replace(self, path: Path, data: bytes, *, folders: tuple[Path, ...] = (), durable: bool = True) -> None:
        """Put a whole file in its place; durable when this returns.

        Args:
            path: The file.
            data: All of its bytes.
            folders: Folders above the file's own whose names must be durable too.
            durable: False for what may be lost with the power, since something else tells it again.
        """
        temp = path.parent / f"{_TEMP}{here()}-{os.getpid()}-{secrets.token_hex(6)}"
        try:
            descriptor = self.create(temp)
            try:
                self.write(descriptor, data)
                if durable:
                    self.sync(descriptor)
            finally:
                os.close(descriptor)
            self.rename(temp, path)
        except BaseException:
            temp.unlink(missing_ok=True)
            raise
        for folder in (path.parent, *folders) if durable else ():
            self.sync_folder(folder)

    def sweep(self, folder: Path) -> int:
        """Remove a folder's temp files whose writer is dead or that are older than an hour; returns how many."""
        removed = 0
        try:
            temps = [Path(entry.path) for entry in os.scandir(folder) if entry.name.startswith(_TEMP)]
        except OSError:
            return 0
        for temp in temps:
            try:
                if _abandoned(temp):
                    self.remove(temp)
                    removed += 1
            except OSError:
                continue  # swept by another process, or a disk that only reads: nothing depends on it
        return removed


@lru_cache(maxsize=1)
def here() -> str:
    """Names this boot of this machine and its process space: a pid means something only within it."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # not a path: pid:[4026531836]
    except OSError:
        boot, space = os.uname().nodename, ""
    return hashlib.sha256(f"{boot} {space}".encode()).hexdigest()[:8]


def alive(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def disk_problem(error: OSError, path: Path, doing: str) -> EnvironmentProblem:
    """A refusal of the disk, as an error of ours."""
    full = error.errno in _FULL
    return EnvironmentProblem(
        "env.disk",
        f"{doing}: {'the disk is full' if full else (error.strerror or str(error)).lower()}",
        where=path.name,
        found=errno.errorcode.get(error.errno or 0, type(error).__name__),
        do="free some space and run it again" if full else "look at the disk and the folder's permissions",
    )


class FileBlobs:
    """Content-addressed bytes in a folder: ``ab/abcd…``.

    Args:
        folder: Where the blobs lie; made by the first ``put`` in a folder that is there.
        hook: Called before and after each step that changes the disk.

    >>> import tempfile
    >>> blobs = FileBlobs(Path(tempfile.mkdtemp()) / "blobs")
    >>> blobs.get(blobs.put(b"abc"))
    b'abc'
    """

    shared = False

    def __init__(self, folder: str | Path, hook: StepHook | None = None) -> None:
        self.folder = Path(folder)
        self._disk = Disk(hook)
        self.sweep()

    def put(self, data: bytes) -> str:
        """Store bytes; what this returns survives power loss.

        Args:
            data: The bytes.

        Returns:
            Their sha256. The same bytes again are not written again, unless the file that holds
            them was altered: then they are put right.

        Raises:
            EnvironmentProblem: ``env.disk`` where the disk refuses; nothing is left then.
        """
        sha256 = digest(data)
        path = self._path(sha256)
        try:
            if not self.folder.is_dir():
                self._disk.folder(self.folder)
                self._disk.sync_folder(self.folder.parent)
            self._disk.folder(path.parent)
            if _holds(path, data):
                # Whoever renamed it may have died before syncing the folders.
                self._disk.sync_folder(path.parent)
                self._disk.sync_folder(self.folder)
            else:
                self._disk.replace(path, data, folders=(self.folder,))
        except OSError as error:
            raise disk_problem(error, path, "a file of the workspace could not be written") from error
        return sha256

    def get(self, sha256: str) -> bytes:
        """The bytes of a hash, verified.

        Raises:
            NotFound: ``data.no-file`` if no such blob is stored.
            Refused: ``check.altered`` if the file's bytes are not those that were stored.
        """
        path = self._path(sha256)
        try:
            data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            raise NotFound(
                "data.no-file",
                f"the workspace holds no file {sha256[:12]}",
                where=self._shown(path),
                do="ambidex doctor",
            ) from None
        except OSError as error:
            raise disk_problem(error, path, "a file of the workspace could not be read") from error
        found = digest(data)
        if found != sha256:
            raise Refused(
                "check.altered",
                f"{self._shown(path)} is not what was stored",
                where=self._shown(path),
                found=f"sha256 {found[:12]}…, stored as {sha256[:12]}…, {len(data)} bytes",
                do="put the file back from a backup, or train the version again",
            )
        return data

    def has(self, sha256: str) -> bool:
        """Whether a blob is there (not whether it is sound)."""
        return self._path(sha256).is_file()

    def remove(self, sha256: str) -> int:
        """Remove a blob for good; returns its bytes, 0 if it was not there.

        Raises:
            EnvironmentProblem: ``env.disk`` where the disk refuses.
        """
        path = self._path(sha256)
        try:
            size = path.stat().st_size
            self._disk.remove(path)
            self._disk.sync_folder(path.parent)
        except FileNotFoundError:
            return 0
        except OSError as error:
            raise disk_problem(error, path, "a file of the workspace could not be removed") from error
        return size

    def __iter__(self) -> Iterator[str]:
        if not self.folder.is_dir():
            return
        for folder in sorted(self.folder.iterdir()):
            if len(folder.name) == 2 and folder.is_dir():
                yield from sorted(p.name for p in folder.iterdir() if is_hash(p.name))

    def sweep(self) -> int:
        """Remove temp files whose writer is dead or that are older than an hour; returns how many."""
        try:
            folders = [f for f in self.folder.iterdir() if len(f.name) == 2]
        except OSError:
            return 0
        return sum(self._disk.sweep(folder) for folder in folders)

    def _path(self, sha256: str) -> Path:
        if not is_hash(sha256):
            raise NotFound("data.no-file", f"{str(sha256)[:80]!r} is not the hash of a file")
        return self.folder / sha256[:2] / sha256

    def _shown(self, path: Path) -> str:
        return str(path.relative_to(self.folder.parent))


def _holds(path: Path, data: bytes) -> bool:
    try:
        return path.read_bytes() == data
    except OSError:
        return False


def is_hash(text: str) -> bool:
    """Whether a text is a sha256 in lower-case hex."""
    return len(text) == 64 and not set(text) - set("0123456789abcdef")


def _abandoned(temp: Path) -> bool:
    if time.time() - temp.stat().st_mtime > _STALE_S:
        return True
    parts = temp.name.removeprefix(_TEMP).split("-")
    return len(parts) == 3 and parts[0] == here() and parts[1].isdigit() and not alive(int(parts[1]))
