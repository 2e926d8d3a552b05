"""A model's pass on a real log and store: nothing is bet on twice, whatever is killed or repeated."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ambidex.data.frames import FrameWriter
from ambidex.errors import NotFound
from ambidex.settings import read_settings
from ambidex.watch import run
from ambidex.watch.log import read_log
from ambidex.workspace import Workspace, create
from watch.watched import NOON, columns, frames, reference, schema


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    rng, of = np.random.default_rng(1), schema(2, 1)
    losses = np.where(rng.random(4_000) < 0.3, 0.49, 0.09)
    kept = reference(rng, of, 4_000, scores=rng.uniform(0.1, 0.5, 4_000), losses=losses)
    workspace = create(tmp_path / "quiet", clock=lambda: NOON)
    workspace.store.register(model="churn", digest="d" * 64, data="a", code="b", key="a:b", summary={})
    monkeypatch.setattr(run, "open_bundle", lambda *_, **__: SimpleNamespace(reference=kept, schema=of, evaluation={}))
    return workspace


def write(place: Workspace, payloads: list[dict[str, Any]], name: str = "1") -> None:
    with FrameWriter(place.log_folder / "churn" / f"{name}.frames") as log:
        log.write(payloads)


def labels(count: int, value: str = "yes", start: int = 0) -> list[dict[str, Any]]:
    return [
        {"kind": "label", "at": "2026-03-01T11:59:00Z", "model": "churn", "id": f"p{start + i}", "label": value}
        for i in range(count)
    ]


def test_nothing_logged_yet(place: Workspace) -> None:
    data = run.monitor(place, "churn")
    assert (data["state"], data["verdict"], data["columns"], data["alerts"]) == ("nothing-yet", "open", [], [])
    with pytest.raises(NotFound):
        run.monitor(place, "chrun")


def test_a_pass_repeated_bets_once(place: Workspace) -> None:
    rng, of = np.random.default_rng(2), schema(2, 1)
    write(place, frames(columns(rng, 500, of)))
    write(place, labels(200), "labels")
    first = run.monitor(place, "churn")
    kept = place.store.document("watch/churn")
    events = len(place.store.events())
    assert first["labels"]["matched"] == 200
    assert first["rows"] == 500
    again = run.monitor(place, "churn")
    assert again["state"] in ("nothing-new", "page", "info")
    after = place.store.document("watch/churn")
    assert kept is not None
    assert after is not None
    assert after["versions"] == kept["versions"]
    assert len(place.store.events()) == events


def test_a_killed_pass_is_repeated(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    rng, of = np.random.default_rng(3), schema(2, 1)
    write(place, frames(columns(rng, 500, of)))
    with monkeypatch.context() as killed:
        killed.setattr(place.store, "put_document", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run.monitor(place, "churn")
    assert place.store.document("watch/churn") is None
    assert run.monitor(place, "churn")["rows"] == 500


def test_in_parts_or_repeated_the_rows_are_the_same(place: Workspace) -> None:
    rng, of = np.random.default_rng(4), schema(2, 1)
    payloads = frames(columns(rng, 600, of))
    for part in range(3):
        write(place, payloads[200 * part : 200 * part + 200])
        write(place, labels(100, start=200 * part), "labels")
        run.monitor(place, "churn")
    document = place.store.document("watch/churn")
    assert document is not None
    state = document["versions"]["1"]
    assert (state["rows"], state["labels"], state["looks"]) == (600, 300, 3)
    assert sum(state["inputs"]["n0"]["total"]) == 600
    assert document["cursor"]["1.frames"][1] == 600


def test_labels_count_once_across_passes(place: Workspace) -> None:
    rng, of = np.random.default_rng(5), schema(2, 1)
    write(place, labels(50), "labels")
    early = run.monitor(place, "churn")
    assert early["labels"]["unknown"] == 50
    write(place, frames(columns(rng, 100, of)))
    assert run.monitor(place, "churn")["labels"]["matched"] == 50
    write(place, labels(60, "no"), "labels")
    last = run.monitor(place, "churn")
    assert last["labels"]["matched"] == 60
    assert last["labels"]["repeated"] == 50


def test_harm_pages_until_it_is_acknowledged(place: Workspace) -> None:
    rng, of = np.random.default_rng(6), schema(2, 1)
    write(place, frames(columns(rng, 800, of)))
    write(place, labels(500), "labels")  # all of them left: the scores said 30%
    data = run.monitor(place, "churn")
    pages = [a for a in data["alerts"] if a["level"] == "page"]
    assert data["state"] == "page"
    assert len(pages) == 1
    alert = next(e for e in place.store.events() if e.verb == "alert" and e.body["level"] == "page")
    assert alert.body["id"] == pages[0]["id"]
    with pytest.raises(NotFound) as caught:
        run.acknowledge(place, "churn", "a9-9")
    assert caught.value.code == "data.no-alert"
    after = run.acknowledge(place, "churn", pages[0]["id"])
    assert not [a for a in after["alerts"] if a["level"] == "page"]
    assert run.monitor(place, "churn")["state"] != "page"
    assert place.store.events()[-1].verb in ("ack", "monitor")
    document = place.store.document("watch/churn")
    assert document is not None
    assert not [a for a in document["alerts"] if a["level"] == "page"]


def test_a_second_pass_at_the_same_time_waits_its_turn(place: Workspace) -> None:
    lease = place.store.lease("watch/churn", seconds=60)
    assert lease is not None
    assert run.monitor(place, "churn")["state"] == "busy"
    place.store.release("watch/churn", lease)
    assert run.monitor(place, "churn")["state"] == "nothing-yet"


def test_frames_of_a_version_that_is_not_here_are_counted(place: Workspace) -> None:
    rng, of = np.random.default_rng(7), schema(2, 1)
    write(place, frames(columns(rng, 30, of), version=8))
    assert run.monitor(place, "churn")["labels"]["foreign"] == 30


def test_log_is_read_from_the_cursor(place: Workspace) -> None:
    rng, of = np.random.default_rng(8), schema(2, 1)
    write(place, frames(columns(rng, 5, of)))
    found, cursor = read_log(place.log_folder, "churn")
    assert len(found) == 5
    assert read_log(place.log_folder, "churn", cursor) == ([], cursor)
    write(place, frames(columns(rng, 2, of)), "2")
    more, later = read_log(place.log_folder, "churn", cursor)
    assert len(more) == 2
    assert later["1.frames"] == cursor["1.frames"]


def test_labels_that_wait_for_their_horizon_are_said(place: Workspace) -> None:
    rng, of = np.random.default_rng(10), schema(2, 1)
    (place.folder / "ambidex.toml").write_text(
        '[models.churn]\ndata = "d.csv"\ntarget = "left"\ntime = "day"\nhorizon = "30d"\n'
    )
    place.settings = read_settings(place.folder)
    write(place, frames(columns(rng, 300, of)))
    assert "no label yet" in run.monitor(place, "churn")["text"]
    write(place, labels(200), "labels")
    for _ in range(2):  # the second pass finds nothing new, and they wait all the same
        data = run.monitor(place, "churn")
        assert (data["labels"]["matched"], data["labels"]["immature"]) == (0, 200)
        assert data["text"].endswith("200 labels wait for their horizon")
        assert "no label yet" not in data["text"]
    place.clock = lambda: NOON + timedelta(days=31)
    data = run.monitor(place, "churn")
    assert (data["labels"]["matched"], data["labels"]["immature"]) == (200, 0)
    assert "wait" not in data["text"]
