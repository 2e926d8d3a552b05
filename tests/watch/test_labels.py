"""Late labels find their prediction, count once, and wait until they are mature."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from ambidex.errors import DataError, NotFound
from ambidex.watch.labels import Matched, match_labels
from ambidex.watch.log import due_labels, label_text
from watch.watched import NOON, schema, table

AT = "2026-03-01T12:00:00Z"


def prediction(name: str, key: str | None = None, at: str = "2026-02-01T00:00:00Z", version: int = 1) -> dict[str, Any]:
    riders = {} if key is None else {"customer": key}
    return {"at": at, "model": "churn", "version": version, "id": name, "row": {}, "riders": riders, "p": 0.4}


def label(name: str, value: Any = "yes", at: str = AT) -> dict[str, Any]:
    return {"kind": "label", "at": at, "model": "churn", "id": name, "label": value}


LOG = [prediction("p1", "k1"), prediction("p2", "k2"), prediction("p3", "k1"), prediction("p4", "k4")]


def match(rows: dict[str, list[Any]], log: list[dict[str, Any]] = LOG, **changes: Any) -> Matched:
    return match_labels(log, table(rows), id="who", label="left", schema=schema(**changes), at=AT)


def test_by_prediction_id() -> None:
    found = match({"who": ["p1", "p2", "p9"], "left": ["yes", "no", "no"]})
    assert [(f["id"], f["label"], f["model"], f["kind"]) for f in found.payloads] == [
        ("p1", "yes", "churn", "label"),
        ("p2", "no", "churn", "label"),
    ]
    assert (found.matched, found.unknown, found.duplicates, found.coverage) == (2, 1, 0, 0.5)
    assert found.unknown_ids == ("p9",)


def test_by_key_the_newest_prediction_of_it() -> None:
    found = match({"who": ["k1"], "left": ["yes"]})
    assert [f["id"] for f in found.payloads] == ["p3"]


def test_the_newest_is_told_by_time_not_by_place() -> None:
    log = [prediction("new", "k1", "2026-02-09T00:00:00Z"), prediction("old", "k1", "2026-02-01T00:00:00Z")]
    assert [f["id"] for f in match({"who": ["k1"], "left": ["yes"]}, log).payloads] == ["new"]


def test_giving_the_table_twice_changes_nothing() -> None:
    rows = {"who": ["p1", "k2"], "left": ["yes", "no"]}
    first = match(rows)
    again = match(rows, [*LOG, *first.payloads])
    assert (again.matched, again.duplicates, again.payloads) == (0, 2, [])
    assert again.coverage == first.coverage == 0.5


def test_the_last_of_two_labels_counts_and_a_correction_is_new() -> None:
    found = match({"who": ["p1", "p1"], "left": ["yes", "no"]})
    assert [f["label"] for f in found.payloads] == ["no"]
    assert found.duplicates == 1
    corrected = match({"who": ["p1"], "left": ["yes"]}, [*LOG, *found.payloads])
    assert corrected.matched == 1


def test_rows_without_label_or_id_are_counted() -> None:
    found = match({"who": ["p1", None, "p2"], "left": [None, "yes", "yes"]})
    assert (found.matched, found.unlabelled) == (1, 2)


def test_a_label_that_is_no_class_stops_all() -> None:
    with pytest.raises(DataError) as caught:
        match({"who": ["p1", "p2"], "left": ["yes", "Yes"]})
    assert caught.value.code == "data.no-label"
    assert "data row 2" in str(caught.value.where)
    assert "did you mean `yes`" in caught.value.message


def test_numbers_for_a_model_of_numbers() -> None:
    found = match({"who": ["p1"], "left": [12.5]}, task="regression", classes=())
    assert found.payloads[0]["label"] == "12.5"
    with pytest.raises(DataError) as caught:
        match({"who": ["p1"], "left": ["a lot"]}, task="regression", classes=())
    assert caught.value.code == "data.type"


def test_no_such_column() -> None:
    with pytest.raises(NotFound, match="no column `left`"):
        match({"who": ["p1"], "lost": ["yes"]})


def test_an_empty_log_knows_nobody() -> None:
    found = match({"who": ["p1"], "left": ["yes"]}, [])
    assert (found.matched, found.unknown, found.coverage) == (0, 1, 0.0)


def due(new: list[dict[str, Any]], pending: dict[str, Any] | None = None, **more: Any) -> tuple[Any, Any, int]:
    options = {"predictions": {p["id"]: p for p in LOG}, "counted": set(), "horizon_s": None, "now": NOON, **more}
    return due_labels(new, pending or {}, **options)


def test_each_id_counts_once_and_the_latest_wins() -> None:
    found, waiting, repeated = due([label("p1", "yes", "2026-03-01T09"), label("p1", "no", "2026-03-01T10")])
    assert [(d.id, d.label) for d in found] == [("p1", "no")]
    assert (waiting, repeated) == ({}, 1)
    found, _, repeated = due([label("p1", "yes")], counted={"p1"})
    assert (found, repeated) == ([], 1)


def test_a_label_before_its_prediction_waits_for_it() -> None:
    found, waiting, _ = due([label("p9")])
    assert found == []
    known = {"p9": prediction("p9")}
    found, waiting, _ = due([], waiting, predictions=known)
    assert [d.id for d in found] == ["p9"]
    assert waiting == {}


def test_young_labels_wait_and_may_be_corrected() -> None:
    day = timedelta(days=1).total_seconds()
    found, waiting, _ = due([label("p1", "no")], horizon_s=30 * day)
    assert found == []
    found, waiting, _ = due([label("p1", "yes")], waiting, horizon_s=30 * day, now=NOON + timedelta(days=9))
    assert [(d.id, d.label) for d in found] == [("p1", "yes")]


@pytest.mark.parametrize(("given", "text"), [(1, "1"), (1.0, "1"), (2.5, "2.5"), (True, "True"), ("007", "007")])
def test_labels_are_spelled_as_tables_spell_them(given: Any, text: str) -> None:
    assert label_text(given) == text


def test_one_label_against_all_others_takes_the_others_by_their_names() -> None:
    classes = ("not yes", "yes")
    found = match({"who": ["p1", "p2"], "left": ["retired", "yes"]}, classes=classes)
    assert [f["label"] for f in found.payloads] == ["not yes", "yes"]
    with pytest.raises(DataError, match="did you mean `yes`"):
        match({"who": ["p1"], "left": ["Yes"]}, classes=classes)
