"""Dataframes that a workspace keeps: one file for each table, whatever its cells."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.data.tables import keep_frame


def kept(frame: dict[str, Any], folder: Path) -> str:
    return str(keep_frame(read(pa.table(frame)), folder).origin["source"])


def test_a_frame_is_kept_once_and_read_again_as_it_was(tmp_path: Path) -> None:
    first = kept({"a": [1, 2], "b": ["x", None]}, tmp_path)
    assert kept({"a": [1, 2], "b": ["x", None]}, tmp_path) == first
    assert [p.name for p in (tmp_path / ".ambidex" / "tables").iterdir()] == [Path(first).name]
    again = read(tmp_path / first)
    assert again.columns == ["a", "b"]
    assert again.arrow.to_pydict() == {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize(
    "other",
    [
        {"b": [1, 2], "a": [3, 4]},
        {"a": [1, 2], "c": [3, 4]},
        {"a": [1, 2], "b": ["3", "4"]},
        {"a": [1, 2], "b": [3, 5]},
    ],
    ids=["names change places", "another name", "another type", "another cell"],
)
def test_another_table_is_another_file(tmp_path: Path, other: dict[str, Any]) -> None:
    source = kept({"a": [1, 2], "b": [3, 4]}, tmp_path)
    assert kept(other, tmp_path) != source
    assert read(tmp_path / kept(other, tmp_path)).arrow.to_pydict() == other
