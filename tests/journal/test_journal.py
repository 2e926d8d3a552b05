"""The fold: what each verb does to a model, and what breaks a chain."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ambidex.journal import VERBS, apply, chain_faults, fold, stale
from ambidex.records import Event, GateResult, Judgement, ModelState


def log(*steps: tuple[str, int | None, dict]) -> list[Event]:
    events, prev = [], "0" * 64
    for seq, (verb, version, body) in enumerate(steps, 1):
        at = f"2026-01-01T00:00:{seq:02}.000000Z"
        events.append(
            Event(seq=seq, at=at, by="ada", verb=verb, model="churn", version=version, body=body, prev=prev).sealed()
        )
        prev = events[-1].hash
    return events


def state(*steps: tuple[str, int | None, dict]) -> ModelState:
    return fold(log(*steps)).models["churn"]


def registered(version: int) -> tuple[str, int, dict]:
    return ("register", version, {"digest": "d", "data": "f", "code": "c", "key": str(version)})


def to(version: int | None, pointer: str = "live") -> tuple[str, int | None, dict]:
    return ("promote", version, {"to": pointer})


def test_an_empty_log():
    empty = fold([])
    assert (empty.models, empty.versions, empty.seq, empty.head) == ({}, {}, 0, "0" * 64)


def test_verbs_that_change_nothing_and_verbs_unknown():
    quiet = [v for v in VERBS if v not in ("register", "judge", "answer")]
    start = ModelState(name="churn", live=1, versions=1)
    changing = {"promote", "rollback", "pause", "resume", "data", "config", "delete"}
    for verb in {*quiet, "from-a-later-release"} - changing:
        assert apply(start, log((verb, 1, {"to": "live", "hash": "h", "fingerprint": "f"}))[0]) is start
    assert fold(log(("from-a-later-release", 3, {}))).models == {}


def test_going_live_leaves_the_other_places():
    for pointer in ("staging", "shadow", "canary"):
        after = state(registered(1), to(1, pointer))
        assert (getattr(after, pointer), after.candidate, after.live) == (1, 1, None)
        after = state(registered(1), to(1, pointer), to(1))
        assert (getattr(after, pointer), after.candidate, after.live, after.previous) == (None, None, 1, None)
    after = state(registered(1), registered(2), to(2, "canary"), to(1))
    assert (after.canary, after.candidate, after.live) == (2, 2, 1)


def test_going_live_twice_is_not_its_own_previous():
    after = state(registered(1), registered(2), to(1), to(2), to(2))
    assert (after.live, after.previous, after.passed) == (2, 1, (1, 2))
    after = state(registered(1), registered(2), to(1), to(2), to(1))
    assert (after.live, after.previous, after.passed) == (1, 2, (2, 1))


def test_the_way_back():
    back = ("rollback", 1, {"to": "live", "because": "worse"})
    after = state(registered(1), registered(2), registered(3), to(1), to(2), to(3), back)
    assert (after.live, after.previous, after.passed, after.left) == (1, None, (1, 2), (3,))
    assert after.paused == "worse"
    after = state(registered(1), registered(2), to(1), to(2), back, ("resume", None, {}), to(2))
    assert (after.live, after.previous, after.passed, after.paused) == (2, 1, (1, 2), None)


@pytest.mark.parametrize(
    ("step", "more"),
    [
        (registered(2), 0),
        (("judge", 1, {"data": "f1", "config": "g1"}), 0),
        (("data", None, {"fingerprint": "f1"}), 0),
        (("data", None, {"fingerprint": "f2"}), 1),
        (("config", None, {"hash": "g1"}), 0),
        (("config", None, {"hash": "g2"}), 1),
        (("pause", None, {"because": "budget"}), 1),
        (("resume", None, {}), 0),
        (to(1), 1),
        (to(1, "shadow"), 1),
        (to(1, "nowhere"), 0),
        (("rollback", 1, {}), 1),
        (("alert", 1, {}), 0),
    ],
)
def test_the_revision_counts_what_a_promotion_must_have_seen(step, more):
    start = ModelState(name="churn", versions=2, live=2, passed=(1, 2), data="f1", config="g1", revision=7)
    assert apply(start, log(step)[0]).revision == 7 + more


def test_every_fault_of_a_chain():
    sound = log(*[("serve", n, {"n": n}) for n in range(5)])
    end = {"seq": 5, "head": sound[-1].hash}
    assert chain_faults(sound, **end) == []
    assert chain_faults([], seq=0, head="0" * 64) == []
    for broken in (
        sound[:2] + sound[3:],
        sound[1:],
        sound[:-1],
        [],
        [sound[0], sound[2], sound[1], *sound[3:]],
        [*sound, sound[-1]],
        [*sound[:3], replace(sound[3], by="eve"), sound[4]],
        [*sound[:3], replace(sound[3], by="eve").sealed(), sound[4]],
        [*sound[:4], replace(sound[4], by="eve").sealed()],
        [*sound[:3], replace(sound[3], version=None), sound[4]],
    ):
        assert chain_faults(broken, **end)


def test_why_a_judgement_is_stale():
    now = datetime(2026, 1, 8, tzinfo=UTC)
    gate = GateResult(name="loss", outcome="supported", because="", value=0, low=0, high=0, limit=0)
    judgement = Judgement(
        model="churn",
        version=2,
        digest="b2",
        against=1,
        gates=(gate,),
        config="g1",
        data="f1",
        at="2026-01-07T00:00:00Z",
    )
    at = ModelState(name="churn", live=1, data="f1", config="g1")

    def why(state: ModelState = at, digest: str = "b2", now: datetime = now) -> str | None:
        return stale(state, judgement, digest=digest, now=now, max_age_s=7 * 86400)

    assert why() is None
    assert why(replace(at, data=None, config=None)) is None
    assert "another bundle" in why(digest="b3")
    assert "version 3 is live" in why(replace(at, live=3))
    assert "no version is live" in why(replace(at, live=None))
    assert "data f2 is newer" in why(replace(at, data="f2"))
    assert "configured otherwise" in why(replace(at, config="g2"))
    assert "rolled back" in why(replace(at, left=(2,)))
    assert why(now=now + timedelta(days=6)) is None
    assert "days ago" in why(now=now + timedelta(days=6, seconds=1))
    assert "future" in why(now=now - timedelta(days=2))
    assert why(now=now - timedelta(days=1, minutes=4)) is None
