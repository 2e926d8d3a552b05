"""What is odd about the log, labels and old states: each is contained and named."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ambidex.bundle.reference import make_reference
from ambidex.data.frames import FrameWriter
from ambidex.data.run_folder import append_minute
from ambidex.errors import NotFound, UsageError
from ambidex.records import Column, Schema
from ambidex.settings import read_settings
from ambidex.watch import replay as past
from ambidex.watch import run
from ambidex.watch.harm import loss_of
from ambidex.watch.levels import levels_of
from ambidex.watch.log import Arrivals, Due
from ambidex.watch.monitor import monitor_pass, new_state
from ambidex.watch.state import FORM, migrated
from ambidex.watch.summary import summary
from ambidex.workspace import Workspace, create
from watch.watched import NOON, columns, frames, reference, schema, table

OF = schema(2, 1)


@pytest.fixture(scope="module")
def then() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 0.5, 4_000)
    y = (rng.random(4_000) < p).astype(float)
    return make_reference(table(columns(rng, 4_000, OF)), OF, scores=p, losses=(y - p) ** 2, outcomes=y, sample=True)


@pytest.fixture
def place(tmp_path: Path, then: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Workspace:
    workspace = create(tmp_path / "odd", clock=lambda: NOON)
    workspace.store.register(model="churn", digest="d" * 64, data="a", code="b", key="a:b", summary={})
    opened = SimpleNamespace(reference=then, schema=OF, evaluation={})
    monkeypatch.setattr(run, "open_bundle", lambda *_, **__: opened)
    monkeypatch.setattr(past, "open_bundle", lambda *_, **__: opened)
    return workspace


def write(place: Workspace, payloads: list[dict[str, Any]], name: str = "1") -> None:
    with FrameWriter(place.log_folder / "churn" / f"{name}.frames") as log:
        log.write(payloads)


def label(identity: str, value: str = "no", at: str = "2026-03-01T11:59:00Z") -> dict[str, Any]:
    return {"kind": "label", "at": at, "model": "churn", "id": identity, "label": value}


def rows(n: int, seed: int = 2, **more: Any) -> list[dict[str, Any]]:
    return frames(columns(np.random.default_rng(seed), n, OF), **more)


def test_labels_late_twice_contradicting_future_and_unknown(place: Workspace) -> None:
    write(place, [label("p0"), label("p1")], "labels")
    first = run.monitor(place, "churn")["labels"]
    assert (first["unknown"], first.get("matched", 0)) == (2, 0)
    write(place, rows(50))
    more = [label("p1", "yes"), label("p2"), label("p2"), label("p3", at="2026-03-01T18:00:00Z"), label("nobody")]
    write(place, more, "more")
    said = run.monitor(place, "churn")["labels"]
    assert said["matched"] == 4  # p0 to p3
    assert said["contradicting"] == 1
    assert said["future"] == 1
    assert said["repeated"] >= 1
    assert said["unknown"] == 1
    write(place, [label("p0", "yes")], "again")
    again = run.monitor(place, "churn")["labels"]
    assert (again["matched"], again["repeated"], again["contradicting"]) == (4, 1, 1)


def test_a_torn_file_is_named_and_the_rest_counts(place: Workspace) -> None:
    write(place, rows(40), "1")
    write(place, rows(40, 3, start=40), "2")
    path = place.log_folder / "churn" / "1.frames"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    os.utime(path, (NOON.timestamp() - 600, NOON.timestamp() - 600))
    data_ = run.monitor(place, "churn")
    assert 40 < data_["rows"] < 80
    assert [c["code"] for c in data_["cautions"]] == ["log-torn"]
    assert "1.frames" in data_["cautions"][0]["text"]


def test_a_file_that_is_gone_is_named(place: Workspace) -> None:
    write(place, rows(40), "1")
    write(place, rows(40, 3, start=40), "2")
    run.monitor(place, "churn")
    (place.log_folder / "churn" / "1.frames").unlink()
    again = run.monitor(place, "churn")
    assert "log-gone" in [c["code"] for c in again["cautions"]]
    assert again["state"] in ("nothing-new", "quiet", "info")


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_jumps_an_hour(place: Workspace, hours: int) -> None:
    early = rows(60, at=NOON)
    late = rows(60, 3, at=NOON + timedelta(hours=hours), start=60)
    write(place, early + late)
    data = run.monitor(place, "churn")
    assert data["rows"] == 120
    assert "clock" in [c["code"] for c in data["cautions"]]
    assert not [a for a in data["alerts"] if a["level"] == "page"]


def test_a_column_that_disappears_or_changes_type_mid_stream_pages(place: Workspace) -> None:
    gone = [{**f, "row": {k: v for k, v in f["row"].items() if k != "n0"}} for f in rows(300)]
    retyped = [{**f, "row": {**f["row"], "n1": "many"}} for f in gone]
    write(place, retyped)
    data = run.monitor(place, "churn")
    (page,) = [a for a in data["alerts"] if a["level"] == "page"]  # one onset, one incident
    assert "n0" in page["text"]
    assert "n1" in page["text"]
    assert "not in" in page["text"]
    assert data["state"] == "page"


def test_shadow_rows_are_left_out_and_the_callers_faults_counted(place: Workspace) -> None:
    shadow = [{**f, "arm": "shadow", "p": 0.9} for f in rows(30)]
    faults = [{**f, "p": None, "error": "data.schema", "id": f"x{i}"} for i, f in enumerate(rows(5))]
    write(place, rows(30) + shadow + faults)
    data = run.monitor(place, "churn")
    assert data["rows"] == 30
    assert data["labels"]["refused"] == 5
    assert not data["alerts"]


def test_mute_keeps_counting_and_ends(place: Workspace) -> None:
    write(place, rows(800, p=0.3))
    write(place, [label(f"p{i}", "yes") for i in range(500)], "labels")
    data = run.monitor(place, "churn")
    (page,) = [a for a in data["alerts"] if a["level"] == "page"]
    with pytest.raises(UsageError):
        run.mute(place, "churn", page["id"], reason=" ")
    with pytest.raises(UsageError):
        run.mute(place, "churn", page["id"], reason="known", until="2020-01-01")
    with pytest.raises(NotFound):
        run.mute(place, "churn", "a9-9", reason="known")
    muted = run.mute(place, "churn", page["id"], reason="a known import fault", until="2d")
    assert muted["alerts"][0]["muted"]["reason"] == "a known import fault"
    write(place, rows(300, 5, start=800, p=0.3), "2")
    write(place, [label(f"p{i}", "yes") for i in range(800, 1_000)], "labels2")
    again = run.monitor(place, "churn")
    assert again["state"] == "info"
    assert again["alerts"][0]["rings"] > page["rings"]
    assert place.store.events()[-1].verb in ("monitor", "alert")
    assert [e.verb for e in place.store.events()].count("mute") == 1
    place.clock = lambda: NOON + timedelta(days=3)
    assert run.monitor(place, "churn")["state"] == "page"
    assert summary(place.store, "churn")["alerts"][0]["id"] == page["id"]


def test_replay_from_the_log_arms_once_two_weeks_are_there(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for day in range(20):
        at = NOON + timedelta(days=day - 20)
        p = np.random.default_rng([4, day]).uniform(0.1, 0.5, 200)
        write(place, rows(200, 10 + day, at=at, start=200 * day, p=p), f"{day:02d}")
    live = SimpleNamespace(**{**vars(SimpleNamespace()), "answering": 1, "live": 1})
    monkeypatch.setattr(place.store, "model", lambda _: live)
    before = run.monitor(place, "churn")
    assert [d["name"] for d in before["detectors"] if d["state"] == "silent"] == [
        "sudden",
        "small",
        "score",
        "relations",
    ]
    assert before["arming"] is None
    said = past.replay(place, "churn")
    assert said["state"] == "armed"
    assert said["looks"] >= 19
    assert "would have rung" in said["text"]
    assert json.loads(json.dumps(said)) == said
    write(place, rows(100, 99, start=9_000), "z")
    after = run.monitor(place, "churn")
    assert "sudden" in [d["name"] for d in after["detectors"] if d["state"] == "armed"]
    days = summary(place.store, "churn")["days"]
    assert len(days) >= 20


def test_states_of_the_first_form_go_on(then: dict[str, Any]) -> None:
    old = {
        "version": 1, "looks": 3, "rows": 600, "labels": 10, "limits": [0.02, 0.02], "inputs": {},
        "harm": new_state(1)["harm"], "opened": 1, "closed": [],
        "alerts": [{
            "id": "a1-1", "level": "page", "kind": "rule", "key": "rule:missing:n0", "text": "n0: missing 0% → 9%",
            "since": "2026-02-01T00:00:00Z", "opened": "2026-02-01T00:00:00Z", "last": "2026-02-01T00:00:00Z",
            "columns": ["n0"],
        }],
    }  # fmt: skip
    state, report = monitor_pass(then, OF, old, Arrivals(), now=NOON)
    assert state["form"] == FORM == migrated(old)["form"]
    assert state["rows"] == 600
    assert (report.alerts[0]["id"], report.alerts[0]["rings"], report.passed) == ("a1-1", 1, False)


def test_a_document_of_the_first_form_is_read(place: Workspace) -> None:
    old = {
        "format": "ambidex-watch/1", "cursor": {}, "pending": {}, "alerts": [], "seen": 1, "reports": {},
        "versions": {"1": {k: v for k, v in new_state(1).items() if k in ("version", "looks", "rows", "labels",
                     "limits", "inputs", "harm", "alerts", "closed", "opened")}},
    }  # fmt: skip
    place.store.put_document("watch/churn", old)
    write(place, rows(30))
    assert run.monitor(place, "churn")["rows"] == 30
    kept = place.store.document("watch/churn")
    assert kept is not None
    assert (kept["format"], kept["versions"]["1"]["form"]) == ("ambidex-watch/2", FORM)


def test_a_reference_with_one_class() -> None:
    rng = np.random.default_rng(3)
    one = make_reference(
        table(columns(rng, 500, OF)), OF, scores=np.full(500, 0.2), losses=np.full(500, 0.04), outcomes=np.zeros(500),
        sample=True,
    )  # fmt: skip
    _, report = monitor_pass(one, OF, new_state(1), Arrivals(frames=rows(200, p=0.2)), now=NOON)
    assert report.passed
    assert report.performance is not None
    assert report.performance["auc"]["value"] is None  # one class: nothing to rank


def test_three_classes() -> None:
    of = Schema(
        columns=(Column(name="n0", type="float", nullable=True),),
        target="y",
        task="multiclass",
        classes=("a", "b", "c"),
    )
    rng = np.random.default_rng(4)
    values = {"n0": rng.normal(size=900)}
    p = rng.dirichlet([2, 2, 2], 900)
    y = (rng.random((900, 1)) > np.cumsum(p, axis=1)[:, :2]).sum(axis=1).astype(float)
    losses = np.array([loss_of(of, {}, list(q), of.classes[int(k)]) for q, k in zip(p, y, strict=True)])
    then = make_reference(table(values), of, scores=p, losses=losses, outcomes=y)
    assert then["score"]["levels"] == ["a", "b", "c"]
    logged = [{**f, "p": list(q)} for f, q in zip(frames(values), p, strict=True)]
    due = [
        Due(id=f"p{i}", version=1, p=list(q), label=of.classes[int((k + 1) % 3)], at="", predicted_at="")
        for i, (q, k) in enumerate(zip(p, y, strict=True))
    ]
    _, report = monitor_pass(then, of, new_state(1), Arrivals(frames=logged), now=NOON)
    assert not report.alerts
    _, report = monitor_pass(then, of, new_state(1), Arrivals(frames=logged, labels=due), now=NOON)
    assert [a["kind"] for a in report.alerts if a["level"] == "page"] == ["harm"]
    broken = [{**logged[0], "p": [0.2, float("nan"), 0.3]}]
    _, report = monitor_pass(then, of, new_state(1), Arrivals(frames=broken), now=NOON)
    assert report.alerts[0]["text"] == "1 of 1 predictions are no number"


def test_calibration_informs_and_slices_page() -> None:
    rng = np.random.default_rng(5)
    p = rng.uniform(0.1, 0.5, 6_000)
    values = columns(rng, 6_000, OF)
    y = (rng.random(6_000) < p).astype(float)
    then = make_reference(table(values), OF, scores=p, losses=(y - p) ** 2, outcomes=y)
    live = columns(rng, 4_000, OF)
    q = rng.uniform(0.1, 0.5, 4_000)
    bad = live["c0"] == "gold"
    outcome = rng.random(4_000) < np.where(bad, 0.95, q)
    due = [
        Due(id=f"p{i}", version=1, p=float(a), label="yes" if b else "no", at="", predicted_at="", row={"c0": level})
        for i, (a, b, level) in enumerate(zip(q, outcome, live["c0"], strict=True))
    ]
    _, report = monitor_pass(then, OF, new_state(1), Arrivals(labels=due), slices=("c0",), now=NOON, tolerance=0.02)
    texts = " ".join(a["text"] for a in report.alerts)
    assert "c0 = gold" in texts
    assert "calibration: outcomes lie +." in texts
    assert report.slices[0]["name"] == "c0 = gold"
    by = {a["level"] for a in report.alerts if "calibration" in a["text"]}
    assert by == {"info"}


def minute(at: float, requests: int, failed: int = 0, *, slow: int = 0) -> dict[str, Any]:
    counts = [requests - slow, *([0] * 10), slow]
    return {
        "minute": at, "model": "churn", "version": 1, "requests": requests, "rows": requests, "failed": failed,
        "refused": 0, "shed": 0, "total": [1.0, *counts],
    }  # fmt: skip


def test_burn_rates() -> None:
    now = 1_000_000.0
    calm = [minute(now - 60 * i, 1_000) for i in range(600)]
    (level,) = levels_of(calm, now=now)
    assert (level.alert, level.bad, level.value) == (None, 0, 1.0)
    fire = [minute(now - 60 * i, 1_000, 30 if i < 60 else 0) for i in range(600)]
    (level,) = levels_of(fire, now=now)
    assert level.alert == "page"
    assert level.burns[3600.0] == pytest.approx(30, rel=0.05)
    over = [minute(now - 60 * i, 1_000, 30 if 30 < i < 60 else 0) for i in range(600)]
    assert levels_of(over, now=now)[0].alert != "page" or levels_of(over, now=now)[0].burns[300.0] > 6
    drip = [minute(now - 60 * i, 1_000, 2 if i < 400 else 1) for i in range(600)]
    assert levels_of(drip, now=now)[0].alert == "info"
    few = [minute(now - 60 * i, 1, 1 if i < 5 else 0) for i in range(60)]
    assert levels_of(few, now=now)[0].alert is None  # ten bad ones at least
    crawl = [minute(now - 60 * i, 1_000, slow=300) for i in range(60)]
    p99 = levels_of(crawl, now=now, p99_s=0.05)[1]
    assert p99.alert == "page"
    assert p99.value is not None
    assert p99.value > 0.05
    assert levels_of([], now=now) == []


def test_service_levels_and_staleness_reach_the_alerts(place: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = place.log_folder.parent / "run"
    folder.mkdir(exist_ok=True)
    for i in range(30):
        at = int(NOON.timestamp()) - 60 * i
        append_minute(folder, at, [{k: v for k, v in minute(at, 500, 50).items() if k != "minute"}], [])
    write(place, rows(30))
    data = run.monitor(place, "churn")
    assert data["levels"][0]["alert"] == "page"
    assert data["state"] == "page"
    assert run.budget_spent(place, "churn")
    assert "availability" in next(a for a in data["alerts"] if a["level"] == "page")["text"]


def test_hashed_and_dropped_columns_are_not_judged(place: Workspace) -> None:
    (place.folder / "ambidex.toml").write_text(
        '[models.churn]\ndata = "d.csv"\ntarget = "left"\n[models.churn.log]\ndrop = ["n0"]\nhash = ["c0"]\n'
    )
    place.settings = read_settings(place.folder)
    write(place, [{**f, "row": {"n1": f["row"]["n1"], "c0": "ab" * 12}} for f in rows(300)])
    data = run.monitor(place, "churn")
    assert [c["name"] for c in data["columns"]] == ["n1"]
    assert not data["alerts"]


def test_the_same_input_twice_gives_the_same_alerts_once(place: Workspace) -> None:
    write(place, rows(800, p=0.3))
    write(place, [label(f"p{i}", "yes") for i in range(500)], "labels")
    first, second = run.monitor(place, "churn"), run.monitor(place, "churn")
    assert [a["id"] for a in first["alerts"]] == [a["id"] for a in second["alerts"]]
    assert [e.verb for e in place.store.events()].count("alert") == len(first["alerts"])


def test_an_unlabelled_reference_still_watches_inputs() -> None:
    then = reference(np.random.default_rng(8), OF, 1_000)
    _, report = monitor_pass(then, OF, new_state(1), Arrivals(frames=rows(100)), now=NOON)
    assert (report.loss, report.calibration, report.performance) == (None, None, None)
