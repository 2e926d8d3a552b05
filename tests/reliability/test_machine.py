"""Promotions, rollbacks, retrainings, deletions and collections in any order, each acting on what it saw earlier."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ambidex.bundle.seal import read_manifest, register, seal
from ambidex.delivery.collect import collect, needed
from ambidex.edges.files import FileBlobs
from ambidex.edges.sql import SqlStore
from ambidex.errors import AmbidexError
from ambidex.testing import WEEK_S, HandClock, judge

WHO = st.sampled_from(["retrain a", "retrain b", "promote", "rollback"])
REFUSALS = {"check.moved", "check.gate", "check.no-previous", "check.fenced", "check.in-use", "data.no-version",
            "data.no-model"}  # fmt: skip


class Race(RuleBasedStateMachine):
    """Four actors look, and act later on what they saw. Whatever comes of it, live is what the last event said."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        root = Path(self.folder.name)
        self.store = SqlStore(root / "meta.sqlite", clock=HandClock())
        self.place = SimpleNamespace(store=self.store, blobs=FileBlobs(root / "blobs"))
        self.seen: dict[str, Any] = {}
        self.tokens: dict[str, int] = {}
        self.made = 0

    def attempt(self, act: Any) -> Any:
        try:
            return act()
        except AmbidexError as error:
            assert error.code in REFUSALS, error
            return None

    def facts(self) -> dict[str, Any]:
        self.made += 1
        return {"model": "churn", "data": "d1", "code": "c", "key": f"run {self.made}", "summary": {}}

    @initialize()
    def first(self) -> None:
        register(self.store, self.place.blobs, {"m": b"first"}, **self.facts())
        judge(self.store, 1, at=HandClock()())

    @rule(who=WHO)
    def looks(self, who: str) -> None:
        state = self.store.model("churn")
        newest = state.candidate or state.versions
        self.seen[who] = (state, newest, self.store.judgement("churn", newest))

    @rule(who=st.sampled_from(["retrain a", "retrain b"]))
    def takes_the_lease(self, who: str) -> None:
        token = self.store.lease("retrain/churn", seconds=60)
        if token is not None:
            self.tokens[who] = token

    @rule(who=st.sampled_from(["retrain a", "retrain b"]))
    def lets_go(self, who: str) -> None:
        if who in self.tokens:
            self.store.release("retrain/churn", self.tokens[who])

    @rule(who=st.sampled_from(["retrain a", "retrain b"]), passes=st.booleans())
    def retrains(self, who: str, passes: bool) -> None:
        fence = ("retrain/churn", self.tokens.get(who, 0))
        files = {"m": f"model {self.made}".encode(), "shared": b"of all"}
        made = self.attempt(lambda: register(self.store, self.place.blobs, files, fence=fence, **self.facts()))
        if made is not None:
            self.attempt(
                lambda: judge(self.store, made.number, at=HandClock()(), outcome="supported" if passes else "refuted")
            )

    @rule(who=WHO, to=st.sampled_from(["live", "staging", "shadow", "canary"]))
    def moves(self, who: str, to: str) -> None:
        if who not in self.seen:
            return
        state, version, judgement = self.seen[who]
        fence = ("retrain/churn", self.tokens.get(who, 0)) if who.startswith("retrain") else None
        back = who == "rollback"
        self.attempt(
            lambda: self.store.move(
                model="churn", to="live" if back else to, version=None if back else version,
                expected_revision=state.revision, verb="rollback" if back else "promote",
                judgement=None if back else judgement, max_age_s=WEEK_S, because="as told",
                pause="rolled back" if back else None, fence=fence,
            )
        )  # fmt: skip

    @rule(who=WHO)
    def judges_again(self, who: str) -> None:
        if who in self.seen:
            self.attempt(lambda: judge(self.store, self.seen[who][1], at=HandClock()()))

    @rule()
    def resumes(self) -> None:
        self.store.append(verb="resume", model="churn", body={"because": "as told"})

    @rule(version=st.integers(1, 6))
    def deletes(self, version: int) -> None:
        self.attempt(lambda: self.store.delete(model="churn", version=version, because="tidy"))

    @rule()
    def seals_and_dies(self) -> None:
        seal(self.place.blobs, {"m": f"never registered {self.made}".encode()})

    @rule()
    def collects(self) -> None:
        collect(self.place)
        assert set(self.place.blobs) == needed(self.place)

    @invariant()
    def live_is_what_the_last_event_said(self) -> None:
        if not self.store.models():
            return
        state = self.store.model("churn")
        moves = [e for e in self.store.events(model="churn", verbs=("promote", "rollback"))
                 if e.verb == "rollback" or e.body["to"] == "live"]  # fmt: skip
        assert state.live == (moves[-1].version if moves else None)
        assert state.live not in state.deleted and state.previous not in {*state.deleted} - {None}
        assert len(moves) == len({e.seq for e in moves})
        for record in self.store.versions("churn"):
            for entry in read_manifest(self.place.blobs, record.digest)["files"].values():
                assert self.place.blobs.has(entry["sha256"])

    def teardown(self) -> None:
        assert not [c for c in self.store.check() if not c["passed"]]
        self.store.close()
        self.folder.cleanup()


QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]


def test_any_order_of_what_can_happen() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    few = settings(max_examples=8, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=QUIET)
    run_state_machine_as_test(Race, settings=few)


@pytest.mark.slow
def test_any_order_of_what_can_happen_at_length() -> None:
    from hypothesis.stateful import run_state_machine_as_test

    many = settings(max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=QUIET)
    run_state_machine_as_test(Race, settings=many)
