"""What differs between two versions, on rows that both are scored on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ambidex as amb
from leavers import HEAD, rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("differ") / "w"
    amb.init(folder)
    data = folder / "data" / "left.csv"
    data.write_text(HEAD + rows(800, 1))
    answer = amb.drivers(data, target="left", exclude=["customer"], at=folder)
    amb.package(answer.name, name="left", at=folder)
    data.write_text(HEAD + rows(800, 1) + rows(400, 2))
    amb.train("left", at=folder)
    return folder


def test_both_are_scored_on_the_newest_rows(place: Path) -> None:
    said = amb.models("diff", "left@1", "left@2", at=place).data
    assert said["versions"] == ["left@1", "left@2"]
    assert (said["data"]["shared_rows"], said["data"]["only_from"], said["data"]["only_to"]) == (800, 0, 400)
    assert not said["data"]["same"] and said["code"]["same"] and said["code"]["recipe"] == []
    assert said["schema"] == {"added": [], "removed": [], "changed": [], "levels": [], "classes": []}
    moved = said["predictions_changed"]
    assert moved["rows"] == 1200 and 0 < moved["decisions"] < moved["changed"] <= 1200
    assert moved["share"] == pytest.approx(moved["decisions"] / 1200)
    newest = said["newest"]
    assert newest["difference"] == pytest.approx(np.subtract(*reversed(newest["losses"])), abs=1e-12)
    assert newest["low"] < newest["difference"] < newest["high"]


def test_a_version_and_itself_are_alike(place: Path) -> None:
    said = amb.models("diff", "left@2", "left@2", at=place).data
    assert said["data"]["same"] and said["data"]["only_to"] == 0
    assert said["predictions_changed"]["changed"] == said["predictions_changed"]["decisions"] == 0


def test_newest_rows_that_do_not_fit_are_told(place: Path) -> None:
    data = place / "data" / "left.csv"
    kept = data.read_text()
    try:
        data.write_text(kept.replace("age", "years", 1))
        result = amb.models("diff", "left@1", "left@2", at=place)
        assert result.data["predictions_changed"]["decisions"] is None
        assert "age" in result.data["predictions_changed"]["why"]
    finally:
        data.write_text(kept)
