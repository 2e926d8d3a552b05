"""What tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("AMBIDEX_SHARED", ROOT.parent / "shared"))


def shared(path: str) -> Path:
    """A file of the shared data folder, or a skip that names the variable."""
    found = SHARED / path
    if not found.exists():
        pytest.skip(f"AMBIDEX_SHARED: no {path} (set AMBIDEX_SHARED to the folder that holds data/)")
    return found
