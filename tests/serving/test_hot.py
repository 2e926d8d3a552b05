"""The compiled way gives the answers that the slow way gives; slow models wait in a lane, in order, each by itself."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambidex.bundle.additive import AdditiveScorer, fit_columns
from ambidex.bundle.compile import compile_model
from ambidex.bundle.compiled import open_compiled
from ambidex.errors import AmbidexError
from ambidex.records import Column, Schema, canonical
from ambidex.serving.decode import RowDecoder
from ambidex.serving.hot import Way, valid
from ambidex.serving.lane import Lane
from ambidex.serving.problems import HttpRefusal, document

SCHEMA = Schema(
    columns=(
        Column(name="age", type="float", nullable=True, low=0.0, high=120.0), Column(name="n", type="integer"),
        Column(name="plan", type="category", nullable=True),
    ),
    target="y", task="binary", classes=("no", "yes"), key="id",
)  # fmt: skip


@pytest.fixture(scope="module")
def pair() -> tuple[Way, AdditiveScorer, RowDecoder]:
    rng = np.random.default_rng(2)
    columns = {
        "age": rng.uniform(0, 99, 300), "n": rng.integers(0, 9, 300).astype(float),
        "plan": rng.choice(np.array(["a", "b"], dtype=object), 300),
    }  # fmt: skip
    model = fit_columns(columns, (columns["age"] + rng.normal(size=300) * 9 > 50).astype(float), SCHEMA)
    model = json.loads(canonical({**model, "schema": SCHEMA.to_json()}))
    scorer, files = AdditiveScorer(model), {"model.json": canonical(model)}
    rows = [{k: v[i] for k, v in columns.items()} for i in range(50)]
    rows = [{**r, "n": int(r["n"])} for r in rows]
    compiled = open_compiled({**files, **compile_model(files, scorer, rows)})
    decoder = RowDecoder(SCHEMA)
    return Way("m", 7, SCHEMA, compiled, decoder), scorer, decoder


values = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-(2**70), 2**70), st.text(max_size=4),
    st.sampled_from([3.0, 3.7, 1e308, 41, 2**53 + 1, [], {}]),
)  # fmt: skip
bodies = st.builds(
    lambda rows, bare, extra: json.dumps(
        {**rows[0], **extra} if bare and rows else {"rows": [{**r, **extra} for r in rows]}
    ).encode(),
    st.lists(st.fixed_dictionaries({}, optional={"age": values, "n": values, "plan": values}), max_size=3),
    st.booleans(),
    st.fixed_dictionaries({}, optional={"id": st.one_of(st.text(max_size=3), st.integers(), st.none()), "z": values}),
)


@settings(max_examples=400, deadline=None)
@given(bodies)
def test_the_same_errors_and_the_same_scores_as_the_slow_way(pair: Any, body: bytes) -> None:
    way, scorer, decoder = pair
    try:
        expected: Any = [scorer.score(row) for row in decoder.decode(body).inputs]
    except AmbidexError as error:
        expected = (error.code, error.message, error.where, error.found)
    try:
        got: Any = list(way.many(way.records(body)))
    except AmbidexError as error:
        got = (error.code, error.message, error.where, error.found)
    assert got == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows":[{"age":1,"age":true,"n":1,"plan":null,"plan":"a"}]}', b'{"rows":[{"age":1e999,"n":1,"plan":"a"}]}',
        b'{"rows":[{"age":NaN,"n":1,"plan":"a"}]}', b'{"age":1,"n":3.7,"plan":"a"}', b'{"age":121,"n":3,"plan":"a"}',
        b'{"rows":[{"age":true,"age":1,"n":1,"plan":"a"}]}', b"{", b"", b"\xff", b"[]", b"{}", b'{"rows":{}}',
    ],
)  # fmt: skip
def test_hostile_bodies_as_the_slow_way_has_them(pair: Any, body: bytes) -> None:
    test_the_same_errors_and_the_same_scores_as_the_slow_way.hypothesis.inner_test(pair, body)  # type: ignore[attr-defined]


def test_a_column_twice_counts_as_the_last_one(pair: Any) -> None:
    way, scorer, _ = pair
    records = way.records(b'{"rows":[{"age":true,"age":41,"n":1,"plan":"a"}]}')
    assert way.many(records) == [scorer.score({"age": 41.0, "n": 1, "plan": "a"})]


@pytest.mark.parametrize(
    ("task", "classes", "scores"),
    [
        ("binary", ("no", 'y"es'), [0.25, 0.5, 1e-300, 1.0]),
        ("multiclass", ("a", "b", "ü"), [(0.2, 0.5, 0.3), (1.0, 0.0, 0.0)]),
        ("regression", (), [1.5, -1e300, 5e-324, 12345678901234567890.0]),
        ("segments", ("few", "many"), [0.0, 1.0]),
    ],
)
def test_bytes_of_an_answer_are_its_document(task: Any, classes: Any, scores: list[Any]) -> None:
    class Scorer:
        schema = Schema(columns=(Column(name="x", type="float"),), target="y", task=task, classes=classes)

        def score(self, row: Any) -> Any: ...

    way = Way('m"\\', 3, Scorer.schema, Scorer(), RowDecoder(Scorer.schema))  # type: ignore[arg-type]
    first = "0193a4f00001a2b3c4d0000000e"
    for some in (scores[:1], scores):
        ids = [first, "0193a4f00001a2b3c4d0000000f", "0193a4f00001a2b3c4d00000010", "0193a4f00001a2b3c4d00000011"]
        document = way.document(ids[: len(some)], some)
        assert json.loads(way.answer(first, some)) == json.loads(json.dumps(document))
        assert list(json.loads(way.answer(first, some))) == list(document)
    assert len(way.logged(scores)) == 8 * len(scores) * (len(classes) if task == "multiclass" else 1)


def test_what_is_no_score() -> None:
    assert valid("binary", [0.0, 1.0]) == -1
    assert valid("binary", [0.5, float("nan")]) == valid("binary", [0.5, 1.5]) == 1
    assert valid("multiclass", [(0.5, 0.5), (float("nan"), 1.0)]) == 1
    assert valid("regression", [1e308, float("inf")]) == 1


class Slow:
    """Answers when it may; a row of -1 makes it raise, one of -2 gives NaN."""

    schema = Schema(columns=(Column(name="x", type="float"),), target="y", task="regression")

    def __init__(self) -> None:
        self.go = threading.Event()
        self.frames: list[int] = []

    def score(self, row: Any) -> float:
        return float(self.score_columns({"x": np.array([row["x"]])}, 1)[0])

    def score_columns(self, columns: Any, rows: int) -> Any:
        self.go.wait(5)
        self.frames.append(rows)
        x = columns["x"]
        if (x == -1).any():
            raise ZeroDivisionError
        return np.where(x == -2, np.nan, x * 2)


def asked(model: Slow, requests: list[list[float]], **options: Any) -> list[tuple[int, Any]]:
    """What came of requests, in the order of coming."""

    async def run() -> list[tuple[int, Any]]:
        lane, came = Lane(model), []  # type: ignore[var-annotated]
        over = asyncio.Event()

        def told(i: int, scores: Any) -> None:
            came.append((i, scores))
            if len(came) == len(requests):
                over.set()

        for i, some in enumerate(requests):
            lane.ask([{"x": x} for x in some], lambda scores, i=i: told(i, scores), **options)
        model.go.set()
        await asyncio.wait_for(over.wait(), 20)
        lane.close()
        return came

    return asyncio.run(run())


def test_what_arrives_during_one_prediction_is_the_next_frame() -> None:
    model = Slow()
    came = asked(model, [[float(i)] for i in range(60)])
    assert came == [(i, [2.0 * i]) for i in range(60)]
    assert model.frames == [1, 59]


def test_a_request_that_fails_fails_by_itself() -> None:
    came = dict(asked(Slow(), [[1.0], [2.0, 3.0], [4.0, -1.0], [-2.0], [5.0]]))
    assert came[2] == "raises ZeroDivisionError" and str(came[3]) == "[nan]"
    assert (came[0], came[1], came[4]) == ([2.0], [4.0, 6.0], [10.0])


def test_a_frame_is_not_larger_than_it_may_be() -> None:
    model = Slow()
    came = asked(model, [[1.0] * 900 for _ in range(5)])
    assert len(came) == 5 and model.frames == [900, 1800, 1800]


def test_what_would_come_too_late_is_told_at_once() -> None:
    model = Slow()
    lane = Lane(model)
    lane._row_s = 0.01  # as if it had been measured

    async def run() -> None:
        for _ in range(2):
            lane.ask([{"x": 1.0}] * 90, lambda scores: None, within=1.0)
        with pytest.raises(HttpRefusal, match=r"the model has work for 1\.8 s") as refused:
            lane.ask([{"x": 1.0}], lambda scores: None, within=1.0)
        assert refused.value.code == "http.overload" and json.loads(document(refused.value).body)["status"] == 429
        assert refused.value.headers == {"Retry-After": "1"}
        model.go.set()

    asyncio.run(run())
    lane.close()


def test_a_slow_model_still_takes_who_joins_the_frame_that_waits() -> None:
    model = Slow()
    lane = Lane(model)
    lane._frame_s = 0.5  # as if it had been measured

    async def run() -> None:
        for _ in range(30):
            lane.ask([{"x": 1.0}], lambda scores: None, within=0.2)
        assert 0.4 < lane.expected(0) <= 0.5 < lane.expected(1) <= 1.0
        model.go.set()

    asyncio.run(run())
    lane.close()
