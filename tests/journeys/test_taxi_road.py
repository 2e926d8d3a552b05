"""Three months of taxi trips arrive one by one: one new version a month, whoever asks how often; live unharmed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import ambidex as amb
from ambidex.errors import DataError
from ambidex.workspace import open_workspace
from support import shared

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

SOURCE = (
    "SELECT trip_distance, PULocationID AS pickup, DOLocationID AS dropoff, hour(lpep_pickup_datetime) AS hour, "
    "round(epoch(lpep_dropoff_datetime - lpep_pickup_datetime) / 60.0, 2) AS minutes FROM 'data/*.parquet' "
    "WHERE epoch(lpep_dropoff_datetime - lpep_pickup_datetime) BETWEEN 60 AND 3600 AND trip_distance BETWEEN 0 AND 100"
)
MONTHS = ("2021-01", "2021-02", "2021-03")
EVERY = 6
"""Every sixth trip of a month, so that the test is short."""


def month(name: str) -> pa.Table:
    table = parquet.read_table(shared(f"data/streams/green_taxi/green_tripdata_{name}.parquet"))
    return table.take(list(range(0, table.num_rows, EVERY)))


def arrive(folder: Path, name: str, table: pa.Table | None = None) -> None:
    """As a careful writer delivers a file: under another name first."""
    temporary = folder / f"{name}.part"
    parquet.write_table(month(name) if table is None else table, temporary)
    temporary.replace(folder / "data" / f"{name}.parquet")


def together(count: int, work: Callable[[], Any]) -> list[int]:
    """How each of the processes ended that did this at once."""
    children = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                work()
                code = 0
            finally:
                os._exit(code)
        children.append(pid)
    return [os.waitpid(pid, 0)[1] for pid in children]


def versions(folder: Path) -> int:
    return len(open_workspace(folder).store.versions("trips"))


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """January is there, packaged and live."""
    folder = tmp_path_factory.mktemp("taxi") / "w"
    amb.init(folder)
    arrive(folder, MONTHS[0])
    here = Path.cwd()
    try:
        os.chdir(folder)
        answer = amb.drivers(SOURCE, target="minutes")
        amb.package(answer, name="trips")
    finally:
        os.chdir(here)
    amb.promote("trips@1", to="live", at=folder)
    return folder


def test_nothing_new_says_so_and_is_cheap(road: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = amb.retrain("trips", at=road)
    assert said.data["state"] == "nothing-new"
    from ambidex.delivery import release

    monkeypatch.setattr(release, "newest", lambda *a, **k: pytest.fail("the rows were read"))
    again = amb.retrain("trips", at=road)
    assert (again.data["state"], again.lines) == ("nothing-new", said.lines)


@pytest.mark.parametrize("number", [2, 3])
def test_a_month_arrives_and_is_one_version(road: Path, number: int) -> None:
    arrive(road, MONTHS[number - 1])
    assert together(4, lambda: amb.retrain("trips", at=road)) == [0] * 4
    assert versions(road) == number
    for _ in range(20):
        assert amb.retrain("trips", at=road).data["state"] == "nothing-new"
    assert versions(road) == number
    assert open_workspace(road).store.model("trips").live == 1
    state = open_workspace(road).store.model("trips")
    assert (state.candidate, len(open_workspace(road).store.events(verbs=("register",)))) == (number, number)


def test_a_month_again_in_another_order_is_no_version(road: Path) -> None:
    before = versions(road)
    table = month(MONTHS[1])
    arrive(road, MONTHS[1], table.take(list(reversed(range(table.num_rows)))))
    assert amb.retrain("trips", at=road).data["state"] == "nothing-new"
    assert versions(road) == before


def test_a_renamed_column_is_refused_by_name(road: Path) -> None:
    before, live = versions(road), open_workspace(road).store.model("trips").live
    table = month(MONTHS[2])
    renamed = table.rename_columns(["trip_miles" if c == "trip_distance" else c for c in table.column_names])
    arrive(road, MONTHS[2], renamed)
    with pytest.raises(DataError) as caught:
        amb.retrain("trips", at=road)
    assert caught.value.code == "data.schema"
    assert "trip_distance" in caught.value.message and "2021-03.parquet" in caught.value.message
    assert (versions(road), open_workspace(road).store.model("trips").live) == (before, live)
    rows = parquet.read_table(road / "data" / "2021-01.parquet")
    assert rows.num_rows
    arrive(road, MONTHS[2])
    assert amb.retrain("trips", at=road).data["state"] == "nothing-new"


def test_a_file_that_grows_is_waited_for(road: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ambidex.delivery import retrain

    path = road / "data" / "2021-04.parquet"
    path.write_bytes(b"PAR1" + bytes(100))

    def slept(_: float) -> None:
        with path.open("ab") as file:
            file.write(bytes(100))

    monkeypatch.setattr(retrain.time, "sleep", slept)
    said = amb.retrain("trips", at=road)
    assert (said.data["state"], said.data["missing"]) == ("waiting", {"file": "2021-04.parquet"})
    monkeypatch.undo()
    with pytest.raises(DataError):  # it stopped growing, and is half a file
        amb.retrain("trips", at=road)
    path.unlink()
    assert amb.retrain("trips", at=road).data["state"] == "nothing-new"
