"""Roll-outs from the log alone: shadow and canary, the two claims, trips, deadlines, plans, people, kills."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.bundle.open import open_bundle
from ambidex.data.frames import FrameWriter
from ambidex.errors import Refused
from ambidex.watch.arms import Kept, read_arms, stamp
from ambidex.workspace import open_workspace
from watch.rolled import make, rollout_of, step, told, traffic


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """m@2 a candidate; in shadow; in a canary of 30%."""
    home = tmp_path_factory.mktemp("rolled")
    made = {"candidate": make(home / "candidate")}
    for stage in ("shadow", "canary"):
        made[stage] = home / stage
        shutil.copytree(made["candidate"], made[stage])
        toml = made[stage] / "ambidex.toml"
        toml.write_text(toml.read_text() + "\n[rollout]\nshare = 0.3\n")
        amb.promote("m@2", to=stage, at=made[stage])
    return made


@pytest.fixture
def w(bases: dict[str, Path], tmp_path: Path) -> Path:
    """m@1 live, m@2 a candidate that passed."""
    return Path(shutil.copytree(bases["candidate"], tmp_path / "w"))


@pytest.fixture
def shadow(bases: dict[str, Path], tmp_path: Path) -> Path:
    """m@2 in shadow."""
    return Path(shutil.copytree(bases["shadow"], tmp_path / "w"))


@pytest.fixture
def canary(bases: dict[str, Path], tmp_path: Path) -> Path:
    """m@2 in canary, 30% of the units."""
    return Path(shutil.copytree(bases["canary"], tmp_path / "w"))


def pointers(folder: Path) -> dict[str, Any]:
    state = open_workspace(folder).store.model("m")
    return {"live": state.live, "shadow": state.shadow, "canary": state.canary}


def line(folder: Path, **more: Any) -> str:
    return step(folder, **more).text


def set_policy(folder: Path, policy: str) -> None:
    toml = folder / "ambidex.toml"
    toml.write_text(toml.read_text().replace('policy = "live"', f'policy = "{policy}"'))


def test_one_that_is_as_good_goes_through_shadow_and_canary_to_live(w: Path) -> None:
    moved = amb.promote("m@2", to="shadow", at=w)
    assert moved.data["rollout"]["against"] == 1 and moved.data["rollout"]["decides"] == "watch"
    assert "0 units" in line(w)
    traffic(w, 800)
    assert line(w).startswith("canary is @2, 10% of the units")
    assert pointers(w) == {"live": 1, "shadow": None, "canary": 2}
    assert rollout_of(w).proven
    traffic(w, 800, seed=2)
    assert "no trip in" in line(w)  # it settles first
    assert line(w, days=2).startswith("live is @2 (was @1)")
    assert pointers(w) == {"live": 2, "shadow": None, "canary": None}
    assert told(w) == [(2, "started"), (2, "canary"), (2, "live")]
    assert line(w) == ""
    assert told(w) == [(2, "started"), (2, "canary"), (2, "live")]
    assert amb.doctor(at=w).healthy


def test_a_worse_one_is_rolled_back_and_retraining_pauses(shadow: Path) -> None:
    traffic(shadow, 2500, worse=0.05)
    said = amb.watch(once=True, at=shadow)
    text = said.data["models"][0]["text"]
    assert "is above the live version's" in text and "retraining paused" in text
    assert pointers(shadow) == {"live": 1, "shadow": None, "canary": None}
    assert "rolled back" in str(open_workspace(shadow).store.model("m").paused)
    assert told(shadow) == [(2, "started"), (2, "rolled-back")]
    alerts = [e.body for e in open_workspace(shadow).store.events(verbs=("alert",)) if e.body["id"].startswith("r2")]
    assert [a["level"] for a in alerts] == ["page"]
    before = len(open_workspace(shadow).store.events())
    amb.watch(once=True, at=shadow)
    assert len(open_workspace(shadow).store.events()) == before


def test_how_often_one_looks_changes_nothing(shadow: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(shadow, other)
    began = datetime.now(UTC)
    for i in range(4):
        for folder in (shadow, other):
            traffic(folder, 400, worse=0.05, seed=i, at=began + timedelta(milliseconds=100 * i))
        line(shadow)
    line(other)
    bodies = [
        {k: e.body[k] for k in ("state", "units", "harm_e", "value")}
        for folder in (shadow, other)
        for e in open_workspace(folder).store.events(verbs=("rollout",))
        if e.body["state"] == "rolled-back"
    ]
    assert len(bodies) == 2 and bodies[0] == bodies[1]


def test_a_canary_alone_is_judged_by_its_two_arms(canary: Path) -> None:
    traffic(canary, 6000, worse=0.08)
    said = line(canary)
    assert "rolled back @2" in said and "units is above" in said, said
    assert pointers(canary)["canary"] is None


def test_a_good_canary_goes_live(canary: Path) -> None:
    traffic(canary, 3000)
    assert "live is @2 (was @1)" in line(canary)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ({"fails": 0.2}, "error rate"),
        ({"candidate_us": 9000}, "p99 9 ms"),
        ({"shift": 0.4}, "share of yes predicted"),
        ({"p": 1.5}, "no number or out of range"),
    ],
)
def test_trips_need_no_label(shadow: Path, what: dict[str, Any], says: str) -> None:
    traffic(shadow, 600, labels=False, **what)
    said = line(shadow)
    assert says in said and "rolled back @2" in said, said
    assert pointers(shadow)["live"] == 1


def test_no_label_and_no_trip_promotes_nothing(shadow: Path) -> None:
    traffic(shadow, 2000, labels=False)
    assert "harm e 1, not-worse e 1" in line(shadow)
    assert rollout_of(shadow).state == "running"


def test_a_split_that_is_not_sound_is_withdrawn(canary: Path) -> None:
    began = datetime.now(UTC)
    frames = [
        {"at": stamp(began + timedelta(milliseconds=100 * i)), "model": "m", "id": f"a{i:08x}", "row": {},
         "riders": {"customer": f"k{i}"}, "source": "http", "us": 100, "p": 0.5,
         "version": 2 if i % 2 else 1, "arm": "canary" if i % 2 else "live"}
        for i in range(652)
    ]  # fmt: skip
    with FrameWriter(canary / ".ambidex/log/m/http-x.frames") as log:
        log.write(frames)
    assert "50.1% of 601 units were the canary's, 30.0% were declared" in line(canary)
    assert pointers(canary)["canary"] is None


def test_nothing_decided_by_the_deadline_keeps_the_champion(shadow: Path) -> None:
    traffic(shadow, 30)
    said = step(shadow, days=40)
    assert said.mark == "▲" and "nothing was decided" in said.text
    assert pointers(shadow) == {"live": 1, "shadow": None, "canary": None}
    assert told(shadow)[-1] == (2, "withdrawn")
    assert open_workspace(shadow).store.model("m").paused is None


@pytest.mark.parametrize(("policy", "reached"), [("candidate", "shadow"), ("canary", "canary")])
def test_no_further_than_the_policy(w: Path, policy: str, reached: str) -> None:
    set_policy(w, policy)
    amb.promote("m@2", to="shadow", at=w)
    assert rollout_of(w).decides == "person"
    traffic(w, 800)
    line(w)
    assert pointers(w)[reached] == 2 and pointers(w)["live"] == 1
    if reached == "shadow":
        assert "a person decides: ambidex promote m@2 --to canary" in line(w)
        assert told(w)[-1] == (2, "ready")
        line(w)
        assert told(w).count((2, "ready")) == 1
        amb.promote("m@2", to="live", at=w)
        line(w)
        assert told(w)[-1] == (2, "by-hand")
    else:
        traffic(w, 300, seed=4)
        assert "a person decides: ambidex promote m@2 --to live" in line(w, days=2)


def test_a_horizon_makes_labels_wait_for_their_age(shadow: Path) -> None:
    place = open_workspace(shadow)
    kept = replace(rollout_of(shadow), horizon_s=10 * 86_400.0, deadline="2999-01-01T00:00:00.000000Z")
    place.store.put_document("rollout/m", kept.to_json())
    traffic(shadow, 800)
    assert "0 units, 800 wait" in line(shadow)
    judged = step(shadow, days=11).judged
    assert judged is not None and judged.first == "better" and judged.waiting == 0


def test_a_unit_counts_once(shadow: Path) -> None:
    traffic(shadow, 20)
    traffic(shadow, 20)  # the same customers again
    assert "20 units" in line(shadow)


def test_a_second_candidate_takes_the_place_of_the_first(canary: Path) -> None:
    amb.train("m", at=canary)
    amb.promote("m@3", to="shadow", at=canary)
    assert pointers(canary) == {"live": 1, "shadow": 3, "canary": None}
    assert told(canary) == [(2, "started"), (2, "replaced"), (3, "started")]


def test_live_that_moves_ends_the_comparison(shadow: Path) -> None:
    amb.train("m", at=shadow)
    amb.promote("m@3", to="live", at=shadow)
    assert "live is @3, and m@2 was compared with @1" in line(shadow)
    assert pointers(shadow) == {"live": 3, "shadow": None, "canary": None}


def test_a_pointer_without_a_record_is_taken_up(w: Path) -> None:
    place = open_workspace(w)
    state = place.store.model("m")
    place.store.move(model="m", to="shadow", version=2, expected_revision=state.revision, verb="promote",
                     judgement=place.store.judgement("m", 2), max_age_s=1e6, because="test")  # fmt: skip
    line(w)
    assert told(w) == [(2, "started")] and rollout_of(w).stage == "shadow"


def test_an_error_budget_that_is_spent_holds_promotion_not_rollback(shadow: Path) -> None:
    traffic(shadow, 800)
    said = step(shadow, spent=lambda _: True)
    assert said.mark == "▲" and "held: the error budget is spent" in said.text and pointers(shadow)["shadow"] == 2
    traffic(shadow, 800, labels=False, fails=0.5, seed=5, units="v")
    assert "rolled back" in line(shadow, spent=lambda _: True)


# ---------------------------------------------------------------- after the switch


def test_what_has_just_gone_live_and_fails_goes_back(w: Path) -> None:
    amb.promote("m@2", to="live", at=w)
    now = stamp(datetime.now(UTC))
    frames = [
        {"at": now, "model": "m", "id": f"a{i:08x}", "row": {"x": 0.1, "z": 0.2}, "riders": {"customer": f"k{i}"},
         "source": "http", "us": 100, "version": 2, "arm": "live",
         **({"p": None, "error": "http.model"} if i % 3 else {"p": 0.5})}
        for i in range(300)
    ]  # fmt: skip
    with FrameWriter(w / ".ambidex/log/m/http-x.frames") as log:
        log.write(frames)
    said = amb.watch(once=True, at=w)
    assert "error rate 66.7%, mostly http.model; limit 1.0%: rolled back @2 → @1, retraining paused" in str(said.data)
    assert pointers(w)["live"] == 1
    events = len(open_workspace(w).store.events(verbs=("rollback", "alert")))
    amb.watch(once=True, at=w)
    assert len(open_workspace(w).store.events(verbs=("rollback", "alert"))) == events


# ---------------------------------------------------------------- plans


def test_a_plan_is_written_and_holds(w: Path) -> None:
    answer = amb.plan(rollout="m@2", traffic=200, margin=0.03, at=w)
    written = json.loads((w / "ROLLOUT.json").read_text())
    assert written["margin"] == 0.03 and written["model"] == "m" and len(written["sha256"]) == 64
    assert answer.extra["plan"]["sha256"] == written["sha256"]
    assert {e.name for e in answer.estimates} >= {"units", "shadow_days", "canary_share", "deadline_days"}
    again = amb.plan(rollout="m@2", traffic=200, margin=0.03, at=w)
    assert again.extra["plan"]["dated"] == written["dated"]
    amb.promote("m@2", to="shadow", at=w)
    rollout = rollout_of(w)
    assert (rollout.margin, rollout.plan, rollout.share) == (0.03, written["sha256"], written["share"])


def test_an_edited_plan_is_refused(w: Path) -> None:
    amb.plan(rollout="m@2", traffic=200, at=w)
    path = w / "ROLLOUT.json"
    path.write_text(path.read_text().replace('"margin": 0.02', '"margin": 0.2'))
    with pytest.raises(Refused) as refused:
        amb.promote("m@2", to="shadow", at=w)
    assert refused.value.code == "check.altered" and pointers(w)["shadow"] is None


def test_a_plan_edited_later_promotes_nothing_and_rolls_back_still(w: Path) -> None:
    planned = amb.plan(rollout="m@2", traffic=200, horizon="12h", at=w).extra["plan"]
    assert planned["shadow_days"] >= 1 and planned["deadline_days"] >= 7 and 0 < planned["share"] <= 0.5
    amb.promote("m@2", to="shadow", at=w)
    assert rollout_of(w).horizon_s == 43_200.0
    place = open_workspace(w)
    place.store.put_document("rollout/m", replace(rollout_of(w), horizon_s=None).to_json())
    path = w / "ROLLOUT.json"
    sound = path.read_text()
    path.write_text(sound.replace('"margin": 0.02', '"margin": 0.2'))
    traffic(w, 800)
    assert "held: ROLLOUT.json was edited after it was dated" in line(w)
    path.write_text("{}")
    assert "held: ROLLOUT.json is no plan any more" in line(w)
    path.write_text(sound)
    assert "canary is @2" in line(w)
    path.write_text("{}")
    traffic(w, 600, labels=False, fails=0.5, seed=9, units="v")
    assert "rolled back" in line(w)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"rollout": "m@1", "traffic": 10}, "usage.value"),
        ({"rollout": "m@9", "traffic": 10}, "data.no-version"),
        ({"rollout": "m@2"}, "usage.option"),
        ({"rollout": "m@2", "traffic": 10, "margin": 2.0}, "usage.value"),
        ({"rollout": "m@2", "traffic": 10, "metric": "x"}, "usage.option"),
        ({"traffic": 10}, "usage.option"),
    ],
)
def test_plans_that_cannot_be(w: Path, options: dict[str, Any], code: str) -> None:
    with pytest.raises(amb.AmbidexError) as error:
        amb.plan(**options, at=w)
    assert error.value.code == code


# ---------------------------------------------------------------- reading


def test_what_is_kept_between_steps_changes_nothing(shadow: Path) -> None:
    """A process that steps again and again reads only what is new, and finds what a new one finds."""
    kept = Kept()
    for seed in range(3):
        traffic(shadow, 40, seed=seed, labels=seed != 1)
        step(shadow, kept=kept)
    (_, _, mine) = kept.held["m"]
    rollout = rollout_of(shadow)
    place = open_workspace(shadow)
    bundle = open_bundle(place.blobs, place.store.version("m", 1).digest, tried=False)
    anew = read_arms(
        place.log_folder, "m", bundle.schema, since=rollout.staged, candidate=("shadow", 2), live=("live", 1)
    )
    assert mine == anew and len(anew.live) == 120 and len(anew.labels) == 80


def test_a_label_that_was_read_before_its_prediction_counts(shadow: Path) -> None:
    kept = Kept()
    ids = traffic(shadow, 10, labels=False)
    away = [p.rename(p.with_suffix(".later")) for p in sorted((shadow / ".ambidex/log/m").glob("http-*.frames"))]
    rows = [{"kind": "label", "at": stamp(datetime.now(UTC)), "model": "m", "id": i, "label": "yes"} for i in ids]
    with FrameWriter(shadow / ".ambidex/log/m/labels-first.frames") as log:
        log.write(rows)
    assert "0 units" in step(shadow, kept=kept).text
    for path in away:
        path.rename(path.with_suffix(".frames"))
    assert "10 units" in step(shadow, kept=kept).text


def test_the_monitors_page_takes_back_a_canary_that_was_proven(canary: Path) -> None:
    place = open_workspace(canary)
    place.store.put_document("rollout/m", replace(rollout_of(canary), proven=True).to_json())
    traffic(canary, 50)
    assert "no trip in" in line(canary)
    page = {"id": "a2-1", "level": "page", "kind": "harm", "text": "error .3 above .2", "version": 2, "muted": None}
    place.store.put_document("watch/m", {"alerts": [page]})
    assert "a2-1: error .3 above .2: rolled back @2" in line(canary)


def test_status_says_what_is_rolled_out(shadow: Path) -> None:
    said = amb.status(at=shadow)
    assert [r["version"] for r in said.data["rollouts"]] == [2]
    assert any("shadow @2 against @1 until" in text for _, text in said.lines)
