"""Decoding never raises anything but our errors, and its fast and slow way agree."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambidex.errors import AmbidexError
from ambidex.records import Column, Schema
from ambidex.serving.decode import EXPLAINED, RowDecoder
from ambidex.serving.problems import document

SCHEMA = Schema(
    columns=(
        Column(name="age", type="float", low=0, high=150),
        Column(name="income", type="float", nullable=True),
        Column(name="n", type="integer"),
        Column(name="visits", type="integer", nullable=True, low=0),
        Column(name="plan kind", type="category"),
        Column(name="class", type="category", nullable=True),
    ),
    target="churned",
    task="binary",
    classes=("no", "yes"),
    key="customer id",
    time="when",
)
DECODER = RowDecoder(SCHEMA, limit=5)
ROW = {"age": 41.5, "income": None, "n": 3, "visits": 0, "plan kind": "basic", "class": None}

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-5, 200), st.floats(allow_nan=True), st.text(max_size=5),
    st.sampled_from([2**63, -(2**63), 2**63 - 1, 2**70, 10**400, 1e308, -0.0, "", "\x00", "\ud800"]),
)  # fmt: skip
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner), max_leaves=4
)
names = st.sampled_from([*ROW, "customer id", "when", "churned", "rows", "extra", ""])
rows = st.one_of(
    st.dictionaries(names, values),
    st.dictionaries(names, scalars).map(lambda changes: {**ROW, **changes}),
    st.just(ROW),
    values,
)
bodies = st.one_of(
    st.binary(max_size=60),
    rows.map(json.dumps).map(str.encode),
    st.lists(rows, max_size=7).map(lambda some: json.dumps({"rows": some}).encode()),
    st.lists(rows, max_size=3).map(lambda some: json.dumps({"rows": some, "more": 1}).encode()),
    st.tuples(st.just(json.dumps({"rows": [ROW]}).encode()), st.integers(0, 200), st.binary(max_size=3)).map(
        lambda cut: cut[0][: cut[1]] + cut[2] + cut[0][cut[1] :]
    ),
)


def slow_only(decoder: RowDecoder, body: bytes) -> Any:
    return decoder._explain(body)


@given(bodies)
@settings(max_examples=600, deadline=None)
def test_any_bytes_give_rows_or_our_error(body: bytes) -> None:
    try:
        decoded = DECODER.decode(body)
    except AmbidexError as error:
        assert 400 <= error.http_status < 500
        problem = document(error)
        said = json.loads(problem.body)
        assert said["status"] == error.http_status
        assert len(said["detail"]) < 1500 and len(said.get("errors", [])) <= 20
        with pytest.raises(type(error)):
            slow_only(DECODER, body)
        return
    slow = slow_only(DECODER, body)
    assert repr(slow) == repr(decoded)  # repr: -0.0 is not 0.0
    for row in decoded.inputs:
        assert list(row) == list(SCHEMA.names)
        assert type(row["age"]) is float and 0 <= row["age"] <= 150
        assert row["income"] is None or (type(row["income"]) is float and math.isfinite(row["income"]))
        assert type(row["n"]) is int and -(2**63) <= row["n"] < 2**63
        row["plan kind"].encode()
        msgspec.json.encode(row)


def refused(body: str | bytes) -> dict[str, Any]:
    with pytest.raises(AmbidexError) as caught:
        DECODER.decode(body if isinstance(body, bytes) else body.encode())
    said: dict[str, Any] = json.loads(document(caught.value).body)
    return said


@pytest.mark.parametrize(
    ("changes", "code", "column"),
    [
        ({"age": "41"}, "http.type", "age"),
        ({"age": True}, "http.type", "age"),
        ({"age": [1]}, "http.type", "age"),
        ({"age": 151}, "http.range", "age"),
        ({"age": -0.1}, "http.range", "age"),
        ({"age": None}, "data.null", "age"),
        ({"income": 10**400}, "http.range", "income"),
        ({"n": 3.7}, "http.type", "n"),
        ({"n": 1e300}, "http.range", "n"),
        ({"n": "3"}, "http.type", "n"),
        ({"n": 2**63}, "http.range", "n"),
        ({"visits": -1}, "http.range", "visits"),
        ({"plan kind": 5}, "http.type", "plan kind"),
        ({"plan kind": "x" * 5000}, "http.range", "plan kind"),
        ({"customer id": True}, "http.type", "customer id"),
        ({"customer id": {}}, "http.type", "customer id"),
        ({"plan": "basic"}, "http.column-unknown", "plan"),
        ({"churned": "no"}, "http.column-unknown", "churned"),
    ],
)
def test_the_fault_names_row_and_column(changes: dict[str, Any], code: str, column: str) -> None:
    said = refused(json.dumps({"rows": [ROW, {**ROW, **changes}]}))
    fault = said["errors"][0]
    assert (said["status"], said["code"], fault["row"], fault["column"]) == (422, code, 1, column)
    assert column in said["detail"] and "row 1" in said["detail"] and len(said["detail"]) < 250


def test_numbers_no_float_holds() -> None:
    body = json.dumps({"rows": [ROW]}).replace("41.5", "1e999")
    assert "age is 1e999, out of range" in refused(body)["detail"]
    body = json.dumps({"rows": [ROW]}).replace("41.5", "9" * 5000)
    assert refused(body)["code"] == "http.range" and "rows[0].age" in refused(body)["detail"]
    assert DECODER.decode(json.dumps({"rows": [ROW]}).replace("41.5", "1e-999").encode()).inputs[0]["age"] == 0.0


@pytest.mark.parametrize(
    ("fill", "code"),
    [
        (json.dumps({"rows": [{}] * 500_000}), "http.column-missing"),
        (json.dumps({"rows": [[]] * 500_000}), "http.type"),
        (json.dumps([[]] * 500_000), "http.shape"),
        (json.dumps(dict.fromkeys(range(200_000))), "http.column-unknown"),
        (json.dumps({"rows": [], "more": "x" * 300_000}), "http.shape"),
        (json.dumps({"rows": "x" * 300_000}), "http.shape"),
        (json.dumps({**ROW, "plan kind": "x" * 300_000}), "http.range"),
        (json.dumps({**ROW, "age": None, "plan kind": "x" * 300_000}), "data.null"),
        ('{"rows": [' + " " * 300_000 + "}", "http.json"),
        (json.dumps({"rows": [ROW] * 4_000}), "http.too-many-rows"),
        (json.dumps({"rows": [ROW, ROW, {**ROW, "n": "x", "plan kind": "x" * 300_000}]}), "http.type"),
    ],
)
def test_large_bodies_are_refused_for_their_first_fault_in_no_time(fill: str, code: str) -> None:
    body = fill.encode()
    assert len(body) > EXPLAINED
    began = time.process_time()
    said = refused(body)
    assert time.process_time() - began < 0.5
    assert said["code"] == code and len(said["detail"]) < 400
    if code == "http.type" and "rows[" not in said["detail"] and len(body) < 400_000:
        assert said["errors"][0]["row"] == 2 and said["errors"][0]["column"] == "n"


def test_every_fault_up_to_twenty() -> None:
    many = RowDecoder(SCHEMA)
    with pytest.raises(AmbidexError) as caught:
        many.decode(json.dumps({"rows": [{**ROW, "age": "x", "n": None}] * 500}).encode())
    said = json.loads(document(caught.value).body)
    assert len(said["errors"]) == 20 and "19 or more in" in said["detail"]


def test_riders_are_text() -> None:
    for value, text in (("a", "a"), (7, "7"), (7.0, "7"), (7.5, "7.5"), (2**70, str(2**70))):
        assert DECODER.decode(json.dumps({**ROW, "customer id": value}).encode()).riders == [{"customer id": text}]
    assert DECODER.decode(json.dumps({**ROW, "when": None}).encode()).riders == [{}]


def test_a_rider_that_is_an_input_too() -> None:
    schema = Schema(columns=(Column(name="when", type="float"),), target="y", task="regression", time="when")
    assert RowDecoder(schema).decode(b'{"when": 3}') == ([{"when": 3.0}], [{"when": "3"}])


def test_bodies() -> None:
    assert DECODER.decode(b'{"rows": []}') == ([], [])
    assert refused('{"rows": {}}')["code"] == "http.shape"
    assert "more" in refused('{"rows": [], "more": 1}')["detail"]
    assert "null" in refused('{"rows": [null]}')["detail"]
    assert refused(json.dumps({"rows": [ROW] * 6}))["status"] == 413
    assert "surrogate" in refused(json.dumps({"rows": [{**ROW, "plan kind": "\ud800"}]}))["detail"]
    assert "line 3" in refused('{"rows":\n[\n}')["detail"]
    assert refused(b"\xef\xbb\xbf{}")["code"] == "http.json"


def test_serving_needs_none_of_the_heavy_packages() -> None:
    code = (
        "import sys, ambidex.serving.supervisor, ambidex.serving.worker\n"
        "heavy = {'numpy', 'pandas', 'sqlalchemy', 'duckdb', 'pyarrow', 'scipy', 'click', 'rich'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_column_whose_name_holds_quotes_is_decoded_all_the_same() -> None:
    names = ('na"me "q"', "back\\slash", "tab\there", "plain")
    schema = Schema(columns=tuple(Column(name=n, type="float") for n in names), target="y", task="binary", key='i"d')
    decoder = RowDecoder(schema)
    row = dict.fromkeys(names, 1.5)
    body = json.dumps({"rows": [{**row, 'i"d': 7}]}).encode()
    assert decoder.decode(body) == ([row], [{'i"d': "7"}])
    with pytest.raises(AmbidexError) as caught:
        decoder.decode(json.dumps({**row, "plain": "x"}).encode())
    assert caught.value.code == "http.type"
