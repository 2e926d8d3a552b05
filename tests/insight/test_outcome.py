"""Which label counts as yes."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.insight.outcome import read_outcome


@pytest.mark.parametrize(
    ("labels", "positive", "shown", "said"),
    [
        (["Yes", "No", "No"], "Yes", "y", False),
        (["true", "false", "true"], "true", "y", False),
        ([1, 0, 0], "1", "y", False),
        ([1, -1, 1], "1", "y", False),
        (["y", "n", "y"], "y", "y", False),
        (["churned", "no", "no"], "churned", "y = churned", False),
        ([1, 2, 2], "1", "y = 1", True),
        (["T", "C", "T"], "C", "y = C", True),
        (["left", "stays", "stays"], "left", "y = left", True),
    ],
)
def test_which_label_is_yes(labels: list[object], positive: str, shown: str, said: bool) -> None:
    outcome = read_outcome(read(pa.table({"y": labels, "x": [1, 2, 3]})), "y")
    assert outcome.positive == positive
    assert outcome.words == shown
    assert any(code == "positive-label" for code, _ in outcome.cautions) is said
    assert outcome.values.tolist() == [float(str(v) == positive) for v in labels]


def test_a_number_stays_a_number_unless_a_label_is_named() -> None:
    table = read(pa.table({"y": [1, 2, 3, 3], "x": [1, 2, 3, 4]}))
    assert read_outcome(table, "y").task == "regression"
    named = read_outcome(table, "y", "3")
    assert (named.task, named.negative, named.words) == ("binary", "not 3", "y = 3")
