"""What a version has answered and what became of it, as the prediction log tells it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ambidex.data.frames import log_files, read_frames

__all__ = ["Logged", "logged"]

MOST_BYTES = 32 << 20
"""So much of a log is read, the newest files first."""


@dataclass(frozen=True)
class Logged:
    """Rows that a version has scored.

    Attributes:
        frames: Prediction frames, the newest last.
        labels: Label by id, of those whose label came.
    """

    frames: list[dict[str, Any]] = field(default_factory=list)
    labels: dict[str, Any] = field(default_factory=dict)


def logged(folder: Path, model: str, version: int, *, most: int = 20_000) -> Logged:
    """The newest predictions of a version, and the labels that came for them.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        version: Its version.
        most: Most predictions.
    """
    frames: list[dict[str, Any]] = []
    labels: dict[str, Any] = {}
    left = MOST_BYTES
    for path in sorted(log_files(folder, model), key=lambda p: -p.stat().st_mtime):
        left -= path.stat().st_size
        if left < 0 and frames:
            break
        for frame in read_frames(path)[0]:
            if frame.get("kind") == "label":
                labels[str(frame["id"])] = frame.get("label")
            elif frame.get("version") == version and frame.get("p") is not None and frame.get("arm") != "shadow":
                frames.append(frame)
    frames = sorted(frames, key=lambda f: str(f.get("at")))[-most:]
    mine = {str(f["id"]) for f in frames}
    return Logged(frames, {k: v for k, v in labels.items() if k in mine})
