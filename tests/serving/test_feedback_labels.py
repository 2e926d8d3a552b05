"""Labels over HTTP: spelled as people send them, kept as the model's classes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from ambidex.errors import DataError
from ambidex.records import Schema
from ambidex.serving.feedback import read_labels


def read(label: Any, classes: tuple[str, ...]) -> Any:
    task: Any = "binary" if len(classes) == 2 else "multiclass"
    served: Any = SimpleNamespace(model="m", schema=Schema(columns=(), target="y", task=task, classes=classes))
    return read_labels(json.dumps({"labels": [{"id": "a", "label": label}]}).encode(), served)[0][1]


@pytest.mark.parametrize(
    ("label", "classes", "kept"),
    [
        ("retired", ("not left", "left"), "not left"),
        ("left", ("not left", "left"), "left"),
        ("not left", ("not left", "left"), "not left"),
        (3, ("not 1", "1"), "not 1"),
        (1.0, ("not 1", "1"), "1"),
        (True, ("false", "true"), "true"),
        (False, ("not true", "true"), "not true"),
        ("b", ("a", "b", "c"), "b"),
        (2, ("1", "2", "3"), "2"),
        (2.0, ("1", "2", "3"), "2"),
    ],
)
def test_a_label_is_kept_as_a_class(label: Any, classes: tuple[str, ...], kept: str) -> None:
    assert read(label, classes) == kept


@pytest.mark.parametrize(
    ("label", "classes"),
    [
        ("retired", ("stayed", "left")), ("Left", ("not left", "left")), ("", ("not left", "left")),
        (True, ("not left", "left")), (True, ("0", "1")), ("d", ("a", "b", "c")),
        (True, ("a", "b", "c")), (4, ("1", "2", "3")),
    ],
)  # fmt: skip
def test_what_may_be_another_class_is_refused(label: Any, classes: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        read(label, classes)
    assert caught.value.code == "data.no-label"
