"""Whatever is done in whatever order, the tables are the fold of the log and the rules hold."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ambidex.edges.sql import SqlStore
from ambidex.errors import AmbidexError
from ambidex.journal import fold
from ambidex.testing import WEEK_S, HandClock, judge, promote, register

pytestmark = pytest.mark.timeout(600)
"""Thousands of waits for the disk: 5 s on a quiet machine, minutes on one whose disk is busy."""

POINTERS = st.sampled_from(["live", "staging", "shadow", "canary", "candidate"])
NUMBERS = st.integers(1, 5)
NAMES = st.sampled_from(["churn", "other"])


class Workspace(RuleBasedStateMachine):
    @initialize()
    def start(self):
        self.folder = tempfile.TemporaryDirectory()
        self.clock = HandClock()
        self.store = SqlStore(Path(self.folder.name) / "meta.sqlite", clock=self.clock)
        self.leases: dict[str, int] = {}

    def teardown(self):
        if hasattr(self, "store"):
            assert [c for c in self.store.check() if not c["passed"]] == []
            self.store.close()
            self.folder.cleanup()

    def has(self, name: str, number: int) -> bool:
        return any(m.name == name and m.versions >= number for m in self.store.models())

    @rule(name=NAMES, key=st.sampled_from("abcde"))
    def register(self, name, key):
        register(self.store, name, key=key, digest=key * 64)

    @rule(name=NAMES, number=NUMBERS, outcome=st.sampled_from(["supported", "supported", "refuted"]))
    def judge(self, name, number, outcome):
        if self.has(name, number):
            judge(self.store, number, name, at=self.clock(), outcome=outcome)

    @rule(name=NAMES, number=NUMBERS, to=POINTERS, behind=st.sampled_from([0, 0, 0, 1]))
    def promote(self, name, number, to, behind):
        if not self.has(name, number):
            return
        before = self.store.model(name)
        judgement = self.store.judgement(name, number)
        fresh = (
            behind == 0
            and judgement is not None
            and judgement.passed
            and judgement.against == before.live
            and judgement.data == before.data
            and judgement.config == before.config
            and number not in before.left
            and (self.clock.now.timestamp() - 1767225600) - self.judged_at(judgement) <= WEEK_S
        )
        try:
            promote(self.store, number, name, to=to, expected_revision=before.revision - behind)
        except AmbidexError as error:
            assert not fresh, error
            assert self.store.model(name) == before
        else:
            assert fresh
            assert getattr(self.store.model(name), to) == number or to == "candidate"

    def judged_at(self, judgement) -> float:
        from datetime import datetime

        return datetime.fromisoformat(judgement.at).timestamp() - 1767225600

    @rule(name=NAMES, number=st.one_of(st.none(), NUMBERS))
    def rollback(self, name, number):
        if not self.has(name, 1):
            return
        before = self.store.model(name)
        target = before.previous if number is None else number
        try:
            promote(self.store, number, name, verb="rollback", judgement=None)
        except AmbidexError:
            assert target is None or target not in before.passed or target == before.live
            assert self.store.model(name) == before
        else:
            after = self.store.model(name)
            assert after.live == target
            assert before.live in after.left
            assert after.paused

    @rule(name=NAMES, verb=st.sampled_from(["pause", "resume", "data", "config", "alert", "later"]), what=NUMBERS)
    def append(self, name, verb, what):
        body = {"because": "b", "fingerprint": f"d{what}", "hash": f"g{what}"}
        self.store.append(verb=verb, model=name, body=body)

    @rule(seed=NUMBERS)
    def answer(self, seed):
        body = {"verb": "drivers", "record": {"seed": seed}}
        assert self.store.answer(self.store.record_answer(body)) == body

    @rule(looks=NUMBERS)
    def document(self, looks):
        self.store.put_document("watch", {"looks": looks}, events=[{"verb": "monitor", "model": "churn"}])
        assert self.store.document("watch") == {"looks": looks}

    @rule(seconds=st.sampled_from([1.0, 3600.0, WEEK_S]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    @rule(name=st.sampled_from(["a", "b"]))
    def lease(self, name):
        token = self.store.lease(name, seconds=1800)
        if token is not None:
            assert token == self.leases.get(name, 0) + 1
            self.leases[name] = token

    @precondition(lambda self: self.leases)
    @rule(name=st.sampled_from(["a", "b"]), behind=st.sampled_from([0, 1]))
    def release(self, name, behind):
        if name in self.leases:
            self.store.release(name, self.leases[name] - behind)

    @invariant()
    def tables_are_the_fold(self):
        if not hasattr(self, "store"):
            return
        state = fold(self.store.events())
        assert {m.name: m for m in self.store.models()} == state.models
        for name, model in state.models.items():
            assert [v.number for v in self.store.versions(name)] == list(range(1, model.versions + 1))
            assert model.live is None or model.live in model.passed
            assert model.previous is None or model.previous in model.passed
            assert not set(model.left) & set(model.passed)
            for version in self.store.versions(name):
                assert version == state.versions[name, version.number]
                assert self.store.judgement(name, version.number) == state.judgements.get((name, version.number))


TestWorkspace = Workspace.TestCase
TestWorkspace.settings = settings(
    max_examples=15,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
