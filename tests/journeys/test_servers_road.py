"""The whole road with the events on Postgres and the versions' files in a bucket, from two folders."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import ambidex as amb
from ambidex.errors import AmbidexError, Refused
from ambidex.workspace import open_workspace
from terminal import Terminal, ask, served


def rows(n: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    y = rng.random(n) < 1 / (1 + np.exp(-2 * x))
    lines = [f"u{seed}-{i},{x[i]:.4f},{rng.choice(['a', 'b'])},{'yes' if y[i] else 'no'}" for i in range(n)]
    return "\n".join(["id,x,plan,y", *lines]) + "\n"


@pytest.fixture
def road(tmp_path: Path, new_database, s3_server) -> Path:
    folder = tmp_path / "w"
    amb.init(folder)
    (folder / "data" / "a.csv").write_text(rows(3000, 1))
    text = (folder / "ambidex.toml").read_text()
    said = f'database = "{new_database()}"\nartifacts = "s3://models/{tmp_path.name}"\n'
    place = text.index("\n", text.index("name =")) + 1
    (folder / "ambidex.toml").write_text(f'{text[:place]}{said}{text[place:]}\n[s3]\nendpoint = "{s3_server}"\n')
    return folder


def test_the_road(road: Path, tmp_path: Path) -> None:
    answer = amb.drivers(road / "data", target="y", positive="yes", keep=["x"], at=road)
    assert answer.name == "answer/1"
    amb.package(answer, name="m", at=road)
    amb.promote("m@1", to="live", at=road)
    (road / "data" / "b.csv").write_text(rows(3000, 2))
    assert amb.retrain("m", at=road).data["state"] == "candidate"
    assert amb.promote("m@2", to="live", at=road).data["was"] == 1
    assert amb.score("m", road / "data" / "b.csv", out=tmp_path / "scores.csv", at=road).data["rows"] == 3000
    assert amb.rollback("m", at=road).data["version"] == 1
    amb.resume("m", at=road)
    assert amb.models("log", "m", at=road).data["events"][-1]["verb"] == "resume"
    assert amb.doctor(at=road).data["healthy"]
    assert not (road / ".ambidex" / "blobs").exists()

    # A second machine: the same settings, another folder, the same state.
    other = tmp_path / "other"
    amb.init(other)
    shutil.copy(road / "ambidex.toml", other / "ambidex.toml")
    assert open_workspace(other).store.model("m").live == 1
    amb.score("m@2", road / "data" / "b.csv", out=tmp_path / "again.csv", at=other)

    with served(Terminal(road), "m") as address:
        said = ask(f"{address}/predict/m", {"rows": [{"x": 1.0, "plan": "a"}]})
        assert said["version"] == 1


def test_an_altered_object_serves_nobody(road: Path) -> None:
    import obstore

    answer = amb.drivers(road / "data", target="y", positive="yes", keep=["x"], at=road)
    amb.package(answer, name="m", at=road)
    blobs = open_workspace(road).blobs
    for sha256 in blobs:
        data = bytearray(blobs.get(sha256))
        data[len(data) // 2] ^= 1
        obstore.put(blobs._store, blobs._path(sha256), bytes(data))
    with pytest.raises(Refused):
        amb.promote("m@1", to="live", at=road)
    assert open_workspace(road).store.model("m").live is None
    assert not amb.doctor(at=road).data["healthy"]


def test_a_bucket_that_is_away(road: Path) -> None:
    answer = amb.drivers(road / "data", target="y", positive="yes", keep=["x"], at=road)
    text = (road / "ambidex.toml").read_text()
    (road / "ambidex.toml").write_text(text.partition("[s3]")[0] + '[s3]\nendpoint = "http://127.0.0.1:9"\n')
    with pytest.raises(AmbidexError) as caught:
        amb.package(answer, name="m", at=road)
    assert caught.value.code == "env.no-objects"
    assert open_workspace(road).store.models() == []
