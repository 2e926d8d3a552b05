"""Is the workspace sound? Chain, fold, bundles, prediction log, all read in full."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from ambidex.bundle import seal
from ambidex.data.frames import is_torn, log_files, read_frames
from ambidex.data.segments import covered, read_segment, segments
from ambidex.errors import AmbidexError, Refused
from ambidex.ports import Place
from ambidex.report.answer import Mark, Result

__all__ = ["doctor"]

SOUND_SQLITE = (3, 51, 3)


def doctor(place: Place) -> Result:
    """Run every check; anything found is exit 4."""
    checks: list[dict[str, Any]] = [*place.store.check(), *_bundles(place), *_logs(place)]
    failed = [c for c in checks if not c["passed"]]
    warnings = []
    if sqlite3.sqlite_version_info < SOUND_SQLITE:
        warnings.append(
            (
                "old-sqlite",
                f"SQLite {sqlite3.sqlite_version} can corrupt a WAL that is reset under a reader (mended in 3.51.3); "
                "ambidex avoids it by holding its lock around checkpoints",
            )
        )
    lines: list[tuple[Mark, str]] = [
        ("■" if failed else "✓", f"{len(checks) - len(failed)} of {len(checks)} checks passed")
    ]
    lines += [("✓" if c["passed"] else "■", f"{c['name']}: {c['what']}") for c in checks]
    return Result(
        verb="doctor",
        data={"healthy": not failed, "checks": checks},
        lines=tuple(lines),
        passed=not failed,
        code="check.doctor" if failed else None,
        do="restore the named files from a copy of the workspace" if failed else None,
        warnings=tuple(warnings),
    )


def _bundles(place: Place) -> list[dict[str, Any]]:
    checks = []
    for state in place.store.models():
        wrong = []
        versions = place.store.versions(state.name)
        for version in versions:
            try:
                seal.verify(place.blobs, version.digest)
            except AmbidexError as error:
                wrong.append(f"@{version.number}: {error.message}")
        what = "; ".join(wrong) or f"{len(versions)} bundles, every file has its sealed hash"
        checks.append({"name": f"bundles of {state.name}", "passed": not wrong, "what": what})
    return checks


def _logs(place: Place) -> list[dict[str, Any]]:
    checks = []
    folder = place.folder / ".ambidex" / "log"
    for state in place.store.models():
        fresh = torn = 0
        altered: list[str] = []
        sealed, parts = _sealed(folder, state.name, altered)
        for path in log_files(folder, state.name):
            rows, offset = read_frames(path)
            fresh += max(0, len(rows) - sealed.get(path.stem, (0, 0))[0])
            with path.open("rb") as file:
                file.seek(offset)
                tail = file.read()
            if tail and is_torn(tail):
                torn += 1
            elif tail:
                altered.append(f"{path.name} after byte {offset:,}")
        what = f"{parts:,} rows sealed, " if parts else ""
        what += f"{fresh:,} {'fresh ones' if parts else 'rows'}"
        what += f"; unreadable: {', '.join(altered)}" if altered else ""
        what += f"; {torn} files end in a write that a kill cut short" if torn else ""
        checks.append({"name": f"prediction log of {state.name}", "passed": not altered, "what": what})
    return checks


def _sealed(folder: Path, model: str, altered: list[str]) -> tuple[dict[str, tuple[int, int]], int]:
    """What of each file of frames is sealed, and the rows of sealed parts; every byte of them is read."""
    try:
        counting, _ = segments(folder, model)
    except Refused as error:
        altered.append(str(error.where))
        return {}, 0
    rows = 0
    for segment in counting:
        try:
            rows += read_segment(segment).num_rows
        except Refused:
            altered.append(segment.path.name)
    return covered(counting), rows
