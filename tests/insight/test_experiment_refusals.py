"""What `experiment` refuses, as the command line says it: a code, one document, and never a p-value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ambidex.cli import main

ROWS = 400
GOOD = "--group arm --metric y"


def table(**columns: Any) -> pa.Table:
    rng = np.random.default_rng(0)
    made = {
        "arm": ["A", "B"] * (ROWS // 2),
        "y": rng.normal(5, 1, ROWS),
        "x": rng.integers(1, 9, ROWS),
        "user": [f"u{i}" for i in range(ROWS)],
        **columns,
    }
    return pa.table(made)


CASES: list[tuple[str, dict[str, Any], str, int, str, str]] = [
    ("one arm", {"arm": ["A"] * ROWS}, GOOD, 3, "data.one-arm", "one arm"),
    ("no arm", {"arm": pa.nulls(ROWS, pa.string())}, GOOD, 3, "data.one-arm", ""),
    ("arm of 1", {"arm": ["A"] * (ROWS - 1) + ["B"]}, GOOD, 3, "data.small-arm", "arm B has 1 unit"),
    ("no variance", {"y": [7.0] * ROWS}, GOOD, 3, "data.no-variance", "same value"),
    ("all missing", {"y": pa.nulls(ROWS, pa.float64())}, GOOD, 3, "data.all-missing", "no value"),
    ("all missing in an arm", {"y": [1.0 + i if i % 2 == 0 else None for i in range(ROWS)]}, GOOD, 3,
     "data.small-arm", "arm B has 0 units"),
    ("infinite", {"y": [np.inf, *range(ROWS - 1)]}, GOOD, 3, "data.infinite", "infinite"),
    ("infinite covariate", {"x": [np.inf] + [1.0, 2.0, 3.0] * 133}, f"{GOOD} --covariate x", 3, "data.infinite", ""),
    ("no such control", {}, f"{GOOD} --control C", 3, "data.no-label", "A, B"),
    ("control misspelt", {"arm": ["old", "new"] * (ROWS // 2)}, f"{GOOD} --control odl", 3, "data.no-label", "old"),
    ("no such metric", {}, "--group arm --metric yy", 3, "data.no-column", "y"),
    ("zero denominators", {"x": [0] * ROWS}, "--group arm --metric y/x", 3, "data.zero-denominator", "adds up to 0"),
    ("zero in one arm", {"x": [0, 3] * (ROWS // 2)}, "--group arm --metric y/x", 3, "data.zero-denominator", "arm A"),
    ("cluster is unit", {}, f"{GOOD} --unit user --cluster user", 2, "usage.value", "cluster and unit are both"),
    ("cluster as fine as units", {}, f"{GOOD} --cluster user", 3, "data.cluster", "brings no units together"),
    ("cluster without values", {"user": pa.nulls(ROWS, pa.string())}, f"{GOOD} --cluster user", 3, "data.cluster", ""),
    ("negative shares", {}, f"{GOOD} --shares A=-.5,B=1.5", 2, "usage.value", ""),
    ("shares beyond 1", {}, f"{GOOD} --shares A=.5,B=.6", 2, "usage.value", "1.1"),
    ("shares of another arm", {}, f"{GOOD} --shares A=.5,C=.5", 3, "data.no-label", "C"),
    ("shares of one arm", {}, f"{GOOD} --shares A=1", 2, "usage.value", ""),
    ("alpha 2", {}, f"{GOOD} --alpha 2", 2, "usage.value", ""),
    ("margin 0", {}, f"{GOOD} --margin 0", 2, "usage.value", ""),
    ("a quantile of 100", {}, "--group arm --metric y:q100", 2, "usage.metric", ""),
    ("too many groups", {}, f"{GOOD} --by user", 3, "data.column-type", "too many"),
    ("times that are none", {}, f"{GOOD} --time user", 3, "data.column-type", "no times"),
    ("every unit in two arms", {"user": [f"u{i // 2}" for i in range(ROWS)]}, f"{GOOD} --unit user", 3, "data.one-arm",
     "two arms"),
]  # fmt: skip


@pytest.mark.parametrize(("columns", "options", "code", "stable", "words"), [c[1:] for c in CASES],
                         ids=[c[0] for c in CASES])  # fmt: skip
def test_refused(
    columns: dict[str, Any], options: str, code: int, stable: str, words: str, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(table(**columns), path)
    exit_code = main(["experiment", str(path), *options.split(), "--json"])
    out = capsys.readouterr().out
    document = json.loads(out)
    assert (exit_code, document["ok"], document["error"]["code"]) == (code, False, stable), out
    assert words in out and "p_value" not in out and "data" not in document
    assert all(document["error"][k] for k in ("message", "where", "found", "do"))


def test_a_design_that_cannot_answer_gives_both(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(table(arm=["A"] * 100 + ["B"] * 300), path)
    assert main(["experiment", str(path), *GOOD.split(), "--json"]) == 4
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"] and document["error"]["code"] == "check.design"
    assert document["data"]["verdicts"] == [] and document["data"]["estimates"]
    assert main(["experiment", str(path), *GOOD.split(), "--shares", "unknown", "--json"]) == 0
    capsys.readouterr()
    assert main(["experiment", str(path), *GOOD.split()]) == 4
    shown = capsys.readouterr()
    assert "not to be used" in shown.out and "check.design" in shown.err


def test_the_line_to_copy_puts_the_label_right_not_the_column(tmp_path: Path, capsys: Any) -> None:
    pq.write_table(table(paid=["Not bought", "Has bought it"] * (ROWS // 2)), tmp_path / "t.parquet")
    words = ["--json", "experiment", str(tmp_path / "t.parquet"), "--group", "arm", "--metric", "paid=Has bought:share"]
    assert main(words) == 3
    do = json.loads(capsys.readouterr().out)["error"]["do"]
    assert "'paid=Has bought it:share'" in do
