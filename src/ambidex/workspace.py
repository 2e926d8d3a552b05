"""open(where): find the workspace and choose its edges. Nothing else."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from ambidex.errors import EnvironmentProblem, UsageError
from ambidex.ports import Blobs, Clock, StepHook, Store
from ambidex.settings import FILE, Settings, quoted, read_settings, replace_file

__all__ = ["Workspace", "acting_as", "create", "find", "now", "open_workspace"]

HIDDEN = ".ambidex"
WAIT_S = 60.0


def now() -> datetime:
    """The clock of the journeys; tests pass another."""
    return datetime.now(UTC)


_acting: ContextVar[str | None] = ContextVar("ambidex_acting", default=None)


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    """What is done inside is written into the log as done by ``name``: the holder of a token, behind a page.

    >>> with acting_as("token:ada"):
    ...     who()
    'token:ada'
    """
    token = _acting.set(name)
    try:
        yield
    finally:
        _acting.reset(token)


def who() -> str:
    """Who acts: the holder of a token inside ``acting_as``, else the operating system's user."""
    if (name := _acting.get()) is not None:
        return name
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


@dataclass
class Workspace:
    """A folder with its settings and its edges.

    Attributes:
        folder: Where ambidex.toml lies.
        settings: Validated when the workspace was opened.
        clock: Where times come from.
        hook: Called before and after each step of the edges that changes the disk, for tests.
    """

    folder: Path
    settings: Settings
    clock: Clock = field(default=now)
    hook: StepHook | None = None

    @cached_property
    def store(self) -> Store:
        """The events and their fold."""
        from ambidex.edges.sql import SqlStore

        place = self.settings.database or self.hidden / "meta.sqlite"
        return SqlStore(place, clock=self.clock, by=who(), hook=self.hook)

    @cached_property
    def blobs(self) -> Blobs:
        """The sealed bytes."""
        if self.settings.artifacts is not None:
            from ambidex.edges.objects import ObjectBlobs

            s3 = self.settings.s3
            return ObjectBlobs(
                self.settings.artifacts, endpoint=s3.endpoint, region=s3.region, alone=s3.alone, hook=self.hook
            )
        from ambidex.edges.files import FileBlobs

        return FileBlobs(self.hidden / "blobs", self.hook)

    @property
    def hidden(self) -> Path:
        """Where ambidex keeps what is its own."""
        return self.folder / HIDDEN

    @property
    def log_folder(self) -> Path:
        """The prediction log."""
        return self.hidden / "log"

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Of all processes of this machine only this one, while files that people see change by several steps.

        Raises:
            EnvironmentProblem: ``env.busy`` if another process does not finish; ``env.disk``.
        """
        from ambidex.edges.locks import FileLock

        lock = FileLock(self.hidden / f"{what}.lock")
        try:
            taken = lock.acquire(WAIT_S)
        except OSError as error:
            raise EnvironmentProblem(
                "env.disk", f"the workspace cannot be locked: {error.strerror}", where=self.name
            ) from error
        if not taken:
            raise EnvironmentProblem(
                "env.busy", f"another process has worked on the {what} for {WAIT_S:g} seconds", where=self.name,
                do="see what runs in this workspace, and try again",
            )  # fmt: skip
        try:
            yield
        finally:
            lock.release()

    @property
    def name(self) -> str:
        """What people call it."""
        return self.settings.name or self.folder.name


def find(at: Path | str | None) -> Path | None:
    """The workspace's folder: ``at`` itself, or the current folder or the nearest one above."""
    if at is not None:
        if not isinstance(at, str | os.PathLike):
            raise UsageError("usage.type", f"at must be a folder, not {type(at).__name__} {str(at)[:60]}", do="at='.'")
        folder = Path(at).resolve()
        return folder if (folder / FILE).is_file() else None
    here = Path.cwd()
    return next((f for f in (here, *here.parents) if (f / FILE).is_file()), None)


def open_workspace(at: Path | str | None = None, *, clock: Clock = now, hook: StepHook | None = None) -> Workspace:
    """The workspace there.

    Raises:
        EnvironmentProblem: ``env.no-workspace``, ``env.newer-workspace``, ``env.broken-workspace``.
        UsageError: ``usage.config``.
    """
    folder = find(at)
    if folder is None:
        where = Path(at).resolve() if at is not None else Path.cwd()
        raise EnvironmentProblem(
            "env.no-workspace",
            f"{where} is not an ambidex workspace" + ("" if at is not None else ", nor is a folder above it"),
            found=f"no {FILE}",
            do="ambidex init",
        )
    if not (folder / HIDDEN).is_dir():
        raise EnvironmentProblem(
            "env.broken-workspace",
            f"{folder} has {FILE} but no {HIDDEN} folder",
            where=str(folder),
            do="restore the folder from its copy, or start a new one with: ambidex init NAME",
        )
    workspace = Workspace(folder=folder, settings=read_settings(folder), clock=clock, hook=hook)
    database = workspace.hidden / "meta.sqlite"
    if workspace.settings.database is None and not (database.is_file() and database.stat().st_size):
        # The settings are written after the first event: an empty database would hide that everything is gone.
        raise EnvironmentProblem(
            "env.broken-workspace",
            f"the database of {folder} is not there any more",
            where=f"{HIDDEN}/{database.name}",
            found="an empty file" if database.exists() else "no such file",
            do=f"put {HIDDEN} back from a backup",
        )
    return workspace


def create(folder: Path, *, clock: Clock = now, hook: StepHook | None = None) -> Workspace:
    """Make a workspace in a folder that holds none.

    Raises:
        EnvironmentProblem: ``env.workspace-exists``, ``env.disk``.
    """
    if (folder / FILE).exists():
        raise _exists(folder)
    try:
        for part in (folder, folder / "data", folder / "reports", folder / HIDDEN, folder / HIDDEN / "log"):
            part.mkdir(parents=True, exist_ok=True)
        (folder / HIDDEN).chmod(0o700)
        workspace = Workspace(folder=folder, settings=Settings(name=folder.resolve().name), clock=clock, hook=hook)
        with workspace.alone("init"):
            if (folder / FILE).exists():
                raise _exists(folder)
            if not workspace.store.events():
                workspace.store.append(verb="init", body={"name": workspace.name})
            # The settings go last: a folder without them is no workspace yet, and `init` there goes on.
            replace_file(folder / FILE, _TEMPLATE.format(name=quoted(workspace.name)))
    except OSError as error:
        raise EnvironmentProblem(
            "env.disk", f"cannot make a workspace in {folder}: {error.strerror}", where=str(folder)
        ) from error
    return workspace


def _exists(folder: Path) -> EnvironmentProblem:
    return EnvironmentProblem(
        "env.workspace-exists", f"{folder} is a workspace already", where=str(folder), do="ambidex status"
    )


_TEMPLATE = """\
# What only people know. `ambidex package` adds a [models.NAME] here; an unknown key is an error.
name = {name}

# [questions.leaving]
# wording = "Why do customers leave?"
# who = "Head of service"
# by = "2027-01-31"

# [gates]
# margin = 0.005     # how much worse the loss may be than the live version's
# max_age = "7d"     # how long a verdict stays fresh
"""
