"""Contract suites and fakes that ship with the product.

Whoever writes an edge subclasses the suite of its port and gives the fixture that it asks for;
pytest does the rest::

    class TestMyBlobs(BlobsContract):
        @pytest.fixture
        def blobs(self, tmp_path):
            return MyBlobs(tmp_path)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from ambidex.errors import AmbidexError, NotFound
from ambidex.ports import Blobs, Clock, Store
from ambidex.records import Event, GateResult, Judgement, digest

__all__ = ["BlobsContract", "HandClock", "MemoryBlobs", "StoreContract", "judge", "promote", "refuses", "register"]

WEEK_S = 7 * 86400.0


class HandClock:
    """A clock that stands still until it is moved.

    >>> clock = HandClock()
    >>> clock.advance(60)
    >>> clock().isoformat()
    '2026-01-01T00:01:00+00:00'
    """

    def __init__(self, now: datetime | None = None) -> None:
        self.now = now or datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move it, backwards too."""
        self.now += timedelta(seconds=seconds)


class MemoryBlobs:
    """Blobs that last as long as the process; implements ``ports.Blobs``."""

    shared = False

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        """Keep bytes, return their sha256."""
        sha256 = digest(data)
        self._kept[sha256] = bytes(data)
        return sha256

    def get(self, sha256: str) -> bytes:
        """The bytes. Raises NotFound ``data.no-file``."""
        if sha256 not in self._kept:
            raise NotFound("data.no-file", f"no file {str(sha256)[:80]!r} is kept")
        return self._kept[sha256]

    def has(self, sha256: str) -> bool:
        """Whether the bytes are there."""
        return sha256 in self._kept

    def remove(self, sha256: str) -> int:
        """Forget bytes; how many there were."""
        return len(self._kept.pop(sha256, b""))

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._kept))


@contextmanager
def refuses(code: str) -> Iterator[None]:
    """The block must raise an error with this code."""
    try:
        yield
    except AmbidexError as error:
        assert error.code == code, f"refused with {error.code}, not {code}: {error}"
    else:
        raise AssertionError(f"nothing was refused; {code} was expected")


def register(store: Store, model: str = "churn", **changes: Any) -> int:
    """Register a version that nobody trained; returns its number."""
    count = len(store.versions(model)) if any(m.name == model for m in store.models()) else 0
    values: dict[str, Any] = {
        "digest": digest(f"{model} {count + 1}".encode()),
        "data": "d1",
        "code": "c1",
        "key": f"run {count + 1}",
        "summary": {"auc": 0.8},
    }
    return store.register(model=model, **{**values, **changes}).number


def judge(
    store: Store,
    version: int,
    model: str = "churn",
    *,
    at: datetime,
    outcome: str = "supported",
    **changes: Any,
) -> Judgement:
    """Record a judgement of a version against what is live now, and return it."""
    state = store.model(model)
    values: dict[str, Any] = {
        "digest": store.version(model, version).digest,
        "against": state.live,
        "config": state.config or "g1",
        "data": state.data or "d1",
        "at": at.isoformat(),
    }
    gate = GateResult(name="loss", outcome=outcome, because="as told", value=0.1, low=0.0, high=0.2, limit=0.3)
    made = Judgement(model=model, version=version, gates=(gate,), **{**values, **changes})
    store.record_judgement(made)
    return made


def promote(store: Store, version: int | None, model: str = "churn", *, to: str = "live", **changes: Any) -> Event:
    """Promote a version on its newest judgement and the state as it is."""
    values: dict[str, Any] = {
        "expected_revision": store.model(model).revision,
        "judgement": None if version is None else store.judgement(model, version),
        "verb": "promote",
        "max_age_s": WEEK_S,
        "because": "as told",
    }
    return store.move(model=model, to=to, version=version, **{**values, **changes})


class BlobsContract:
    """What every implementation of ``ports.Blobs`` holds. Give the fixture ``blobs``, empty."""

    def test_bytes_come_back(self, blobs: Blobs) -> None:
        for data in (b"", b"abc", bytes(range(256)) * 5000):
            name = blobs.put(data)
            assert name == digest(data)
            assert blobs.has(name)
            assert blobs.get(name) == data

    def test_the_same_bytes_are_one_blob(self, blobs: Blobs) -> None:
        assert blobs.put(b"abc") == blobs.put(b"abc")
        assert list(blobs) == [digest(b"abc")]

    def test_all_are_listed(self, blobs: Blobs) -> None:
        names = {blobs.put(str(n).encode()) for n in range(30)}
        assert set(blobs) == names

    def test_what_is_removed_is_gone_and_may_come_back(self, blobs: Blobs) -> None:
        kept, gone = blobs.put(b"kept"), blobs.put(b"gone!")
        assert (blobs.remove(gone), blobs.remove(gone)) == (5, 0)
        assert list(blobs) == [kept] and not blobs.has(gone)
        assert blobs.put(b"gone!") == gone and blobs.get(gone) == b"gone!"

    def test_what_is_not_there_is_not_found(self, blobs: Blobs) -> None:
        assert not blobs.has(digest(b"nothing"))
        with refuses("data.no-file"):
            blobs.get(digest(b"nothing"))

    def test_a_name_that_is_no_hash_is_not_found(self, blobs: Blobs) -> None:
        for name in ("", "../../etc/passwd", "A" * 64, "a" * 63, "a" * 65):
            with refuses("data.no-file"):
                blobs.get(name)


class StoreContract:
    """What every implementation of ``ports.Store`` holds.

    Give the fixture ``new_store``: a function that takes a clock and returns an empty store.
    """

    def test_versions_are_numbered_without_gaps(self, new_store: Callable[[Clock], Store]) -> None:
        store = new_store(HandClock())
        assert [register(store) for _ in range(3)] == [1, 2, 3]
        assert register(store, "other") == 1
        assert [v.number for v in store.versions("churn")] == [1, 2, 3]
        assert [(m.name, m.versions, m.candidate) for m in store.models()] == [("churn", 3, 3), ("other", 1, 1)]

    def test_the_end_of_the_log_and_the_newest_versions_come_newest_first(
        self, new_store: Callable[[Clock], Store]
    ) -> None:
        store = new_store(HandClock())
        for model in ("churn", "other", "churn", "churn"):
            register(store, model)
        store.append(verb="score", model="churn", version=2)
        assert [e.seq for e in store.latest(limit=2)] == [5, 4]
        assert [e.seq for e in store.latest(model="churn", verbs=("register",), before=4)] == [3, 1]
        assert store.latest(verbs=("promote",)) == []
        assert [v.number for v in store.latest_versions("churn", limit=2)] == [3, 2]
        assert [v.number for v in store.latest_versions("churn", before=3)] == [2, 1]
        with refuses("data.no-model"):
            store.latest_versions("nobody")

    def test_the_same_run_is_the_same_version(self, new_store: Callable[[Clock], Store]) -> None:
        store = new_store(HandClock())
        register(store)
        again = {"key": "run 1", "digest": store.version("churn", 1).digest}
        assert register(store, **again) == 1
        assert register(store, **{**again, "digest": "e" * 64}) == 2
        assert len(store.events()) == 2

    def test_a_pointer_moves_after_its_gates_passed(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        for version, previous in ((1, None), (2, 1)):
            register(store)
            judge(store, version, at=clock())
            event = promote(store, version)
            assert (event.verb, event.version, event.body["was"]) == ("promote", version, previous)
            state = store.model("churn")
            assert (state.live, state.previous, state.candidate) == (version, previous, None)
        assert store.model("churn").passed == (1, 2)

    def test_nothing_moves_without_passed_gates(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        register(store)
        for to in ("live", "staging", "shadow", "canary"):
            with refuses("check.gate"):
                promote(store, 1, to=to)
        for outcome in ("refuted", "open"):
            judge(store, 1, at=clock(), outcome=outcome)
            with refuses("check.gate"):
                promote(store, 1)
        judge(store, 1, at=clock(), outcome="open", waived={"loss": "known"})
        promote(store, 1)
        with refuses("data.no-version"):
            promote(store, 9)

    def test_an_older_judgement_does_not_speak_over_a_newer(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        register(store)
        good = judge(store, 1, at=clock())
        judge(store, 1, at=clock(), outcome="refuted")
        with refuses("check.moved"):
            promote(store, 1, judgement=good)

    def test_a_stale_verdict_moves_nothing(self, new_store: Callable[[Clock], Store]) -> None:
        def live_moved(store: Store, clock: HandClock) -> None:
            register(store)
            judge(store, 3, at=clock())
            promote(store, 3)

        def config_changed(store: Store, clock: HandClock) -> None:
            store.append(verb="config", model="churn", body={"hash": "g2"})

        def data_newer(store: Store, clock: HandClock) -> None:
            store.append(verb="data", model="churn", body={"fingerprint": "d2"})

        def too_old(store: Store, clock: HandClock) -> None:
            clock.advance(WEEK_S + 1)

        def from_the_future(store: Store, clock: HandClock) -> None:
            clock.advance(-3600)

        changes = (live_moved, config_changed, data_newer, too_old, from_the_future)
        for change in changes:
            clock = HandClock()
            store = new_store(clock)
            for version in (1, 2):
                register(store)
                judge(store, version, at=clock())
                if version == 1:
                    promote(store, 1)
            before = store.model("churn")
            change(store, clock)
            for revision in {before.revision, store.model("churn").revision}:
                with refuses("check.moved"):
                    promote(store, 2, expected_revision=revision)
            assert store.model("churn").live == (3 if change is live_moved else 1)
            judge(store, 2, at=clock())
            promote(store, 2)
            assert store.model("churn").live == 2

    def test_a_rollback_goes_where_the_gates_had_passed(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)

        def back(version: int | None = None) -> Event:
            return promote(store, version, verb="rollback", because="worse")

        for version in (1, 2, 3):
            register(store)
            judge(store, version, at=clock())
            if version == 1:
                with refuses("check.no-previous"):
                    back()
            promote(store, version)
        register(store)
        for version in (3, 4):
            with refuses("check.no-previous"):
                back(version)
        with refuses("data.no-version"):
            back(5)
        event = back()
        assert (event.version, event.body["was"]) == (2, 3)
        state = store.model("churn")
        assert (state.live, state.previous, state.passed, state.paused) == (2, 1, (1, 2), "worse")
        with refuses("check.no-previous"):
            back(3)
        with refuses("check.moved"):
            promote(store, 3)
        assert back().version == 1
        with refuses("check.no-previous"):
            back()
        store.append(verb="resume", model="churn", body={"because": "mended"})
        assert store.model("churn").paused is None
        judge(store, 3, at=clock())
        promote(store, 3)
        state = store.model("churn")
        assert (state.live, state.previous, state.passed) == (3, 1, (1, 3))
        assert state.left == (2,)

    def test_who_looked_too_early_moves_nothing(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        register(store)
        judge(store, 1, at=clock())
        revision = store.model("churn").revision
        store.append(verb="pause", model="churn", body={"because": "budget spent"})
        count = len(store.events())
        with refuses("check.moved"):
            promote(store, 1, expected_revision=revision)
        assert store.model("churn").live is None
        assert len(store.events()) == count

    def test_a_pointer_beside_live_can_be_cleared(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        register(store)
        judge(store, 1, at=clock())
        promote(store, 1, to="shadow")
        assert store.model("churn").shadow == 1
        promote(store, None, to="shadow", judgement=None)
        assert store.model("churn").shadow is None
        with refuses("usage.value"):
            promote(store, None, judgement=None)

    def test_answers_are_numbered_and_kept_once(self, new_store: Callable[[Clock], Store]) -> None:
        store = new_store(HandClock())
        one = {"verb": "drivers", "headline": "h", "record": {"seed": 0}, "estimates": [1.5, None]}
        assert store.record_answer(one) == 1
        assert store.record_answer({**one, "record": {"seed": 1}}) == 2
        assert store.record_answer(one) == 1
        assert store.answer(1) == one
        assert store.record_answer({"record": {"command": "profile caf\udce9.csv \x00"}}) == 3
        assert store.answer(3) == {"record": {"command": "profile caf\udce9.csv \x00"}}
        assert [n for n, _ in store.answers()] == [1, 2, 3]
        with refuses("data.no-answer"):
            store.answer(4)
        assert all(c["passed"] for c in store.check())

    def test_a_document_and_its_events_are_one(self, new_store: Callable[[Clock], Store]) -> None:
        store = new_store(HandClock())
        assert store.document("watch") is None
        events: list[dict[str, Any]] = [{"verb": "alert", "model": "churn", "body": {"id": "a1"}}, {"verb": "monitor"}]
        store.put_document("watch", {"looks": 1}, events=events)
        store.put_document("watch", {"looks": 2})
        assert store.document("watch") == {"looks": 2}
        assert [e.verb for e in store.events()] == ["alert", "monitor"]
        with refuses("internal.bug"):
            store.put_document("watch", {"looks": 3}, events=[{"verb": "mute"}, {"verb": "promote"}])
        with refuses("usage.name"):
            store.put_document("watch", {"looks": 3}, events=[{"verb": "mute", "model": "NO"}])
        assert store.document("watch") == {"looks": 2}
        assert len(store.events()) == 2

    def test_a_lease_has_one_holder_and_growing_tokens(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        assert store.lease("retrain churn", seconds=60) == 1
        assert store.lease("retrain churn", seconds=60) is None
        assert store.lease("retrain other", seconds=60) == 1
        clock.advance(61)
        assert store.lease("retrain churn", seconds=60) == 2
        store.release("retrain churn", 1)
        assert store.lease("retrain churn", seconds=60) is None
        store.release("retrain churn", 2)
        assert store.lease("retrain churn", seconds=60) == 3
        clock.advance(-86400)
        assert store.lease("retrain churn", seconds=60) is None
        clock.advance(61)
        assert store.lease("retrain churn", seconds=60) == 4

    def test_who_lost_the_lease_changes_nothing(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        old = store.lease("retrain/churn", seconds=60)
        assert old == 1
        register(store, fence=("retrain/churn", old))
        judge(store, 1, at=clock())
        clock.advance(61)
        new = store.lease("retrain/churn", seconds=60)
        assert new == 2
        count = len(store.events())
        for act in (lambda: register(store, fence=("retrain/churn", old)), lambda: promote(store, 1, fence=("x", 1))):
            with refuses("check.fenced"):
                act()
        with refuses("check.fenced"):
            promote(store, 1, fence=("retrain/churn", old))
        assert len(store.events()) == count
        promote(store, 1, fence=("retrain/churn", new))
        assert store.model("churn").live == 1

    def test_the_log_is_read_in_parts(self, new_store: Callable[[Clock], Store]) -> None:
        store = new_store(HandClock())
        register(store)
        store.append(verb="serve", model="other", body={"text": "ä€\x00 ' \" %"}, by="server")
        store.append(verb="invented-later", model="churn", version=1)
        assert [e.seq for e in store.events()] == [1, 2, 3]
        assert [e.seq for e in store.events(model="churn")] == [1, 3]
        assert [e.seq for e in store.events(after=1)] == [2, 3]
        assert [e.seq for e in store.events(verbs=("register", "serve"))] == [1, 2]
        served = store.events(model="other")[0]
        assert (served.by, served.body) == ("server", {"text": "ä€\x00 ' \" %"})
        assert all(e.computed_hash() == e.hash for e in store.events())

    def test_names_that_are_not_there(self, new_store: Callable[[Clock], Store]) -> None:
        store = new_store(HandClock())
        with refuses("data.no-model"):
            store.model("churn")
        register(store)
        for read in (store.model, store.versions):
            try:
                read("chrun")
            except NotFound as error:
                assert error.code == "data.no-model"
                assert "did you mean `churn`" in error.message
            else:
                raise AssertionError("nothing was raised")
        for number in (2, 0, -1, 10**30):
            with refuses("data.no-version"):
                store.version("churn", number)
            with refuses("data.no-answer"):
                store.answer(number)
            assert store.judgement("churn", number) is None
        for name in ("", "a\x00b", "\udce9", "x" * 10_000):
            with refuses("data.no-model"):
                store.model(name)
        assert store.judgement("churn", 1) is None
        with refuses("usage.name"):
            store.append(verb="serve", model="../x")

    def test_append_cannot_go_round_the_gates(self, new_store: Callable[[Clock], Store]) -> None:
        store = new_store(HandClock())
        for verb in ("promote", "rollback", "register", "judge", "answer"):
            with refuses("internal.bug"):
                store.append(verb=verb, model="churn", version=1, body={"to": "live"})
        assert store.events() == []

    def test_the_tables_are_the_fold(self, new_store: Callable[[Clock], Store]) -> None:
        clock = HandClock()
        store = new_store(clock)
        assert all(c["passed"] for c in store.check()), store.check()
        for version in (1, 2):
            register(store)
            judge(store, version, at=clock())
            promote(store, version)
        promote(store, 1, verb="rollback")
        store.record_answer({"verb": "profile"})
        store.put_document("watch", {"looks": 1})
        failed = [c for c in store.check() if not c["passed"]]
        assert not failed
