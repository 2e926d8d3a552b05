"""Counted where they lie, rows give the same looks as row by row; so does a table that is not loaded."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ambidex.bundle.reference import make_reference
from ambidex.data.frames import FrameWriter
from ambidex.data.read import read
from ambidex.watch import run
from ambidex.watch.drift import look_for_drift
from ambidex.watch.look import look_at_table
from ambidex.workspace import create
from watch.watched import NOON, columns, frames, schema, table

OF = schema(3, 2)


@pytest.fixture(scope="module")
def then() -> dict[str, Any]:
    rng = np.random.default_rng(1)
    p = rng.uniform(0.1, 0.5, 3_000)
    y = (rng.random(3_000) < p).astype(float)
    return make_reference(table(columns(rng, 3_000, OF)), OF, scores=p, losses=(y - p) ** 2, outcomes=y)


def test_a_long_log_is_counted_where_it_lies(
    tmp_path: Path, then: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    payloads = []
    for day in range(4):
        values = columns(rng, 400, OF, shift=0.4, moved=1)
        values["n1"][:7] = np.nan
        values["c0"][:9] = "never"
        at = NOON + timedelta(days=day - 5)
        payloads += frames(values, at=at, start=400 * day, p=rng.uniform(0.1, 0.5, 400))
    for f in payloads:
        f["row"] = {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in f["row"].items()}
    labels = [
        {"kind": "label", "at": "2026-03-01T11:59:00Z", "model": "churn", "id": f"p{i}", "label": "no"}
        for i in range(300)
    ]
    found = {}
    for name, limit in (("rows", 10**9), ("counted", -1)):
        place = create(tmp_path / name, clock=lambda: NOON)
        place.store.register(model="churn", digest="d" * 64, data="a", code="b", key="a:b", summary={})
        opened = SimpleNamespace(reference=then, schema=OF, evaluation={})
        monkeypatch.setattr(run, "open_bundle", lambda *_, o=opened, **__: o)
        monkeypatch.setattr(run, "LARGE", limit)
        with FrameWriter(place.log_folder / "churn" / "1.frames") as log:
            log.write([*payloads, *labels])
        data = run.monitor(place, "churn")
        document = place.store.document("watch/churn")
        assert document is not None
        found[name] = (data, document["versions"]["1"])
        assert run.monitor(place, "churn")["rows"] == 0
    (one, a), (other, b) = found["rows"], found["counted"]
    assert one["rows"] == other["rows"] == 1_600
    assert (a["looks"], a["labels"]) == (b["looks"], b["labels"]) == (4, 300)
    for name in ("n0", "n1", "c0", "(prediction)"):
        assert a["inputs"][name]["total"] == b["inputs"][name]["total"]
        assert a["inputs"][name]["log_r"] == b["inputs"][name]["log_r"]
    assert a["layers"]["pools"] == b["layers"]["pools"]
    assert one["verdict"] == other["verdict"] == "drifted"
    assert sorted(x["kind"] for x in one["alerts"]) == sorted(x["kind"] for x in other["alerts"])


def test_drift_of_a_table_that_is_not_loaded(
    tmp_path: Path, then: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = columns(np.random.default_rng(3), 5_000, OF, shift=0.5, moved=1)
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({k: pa.array(list(v), from_pandas=True) for k, v in values.items()}), path)
    small = look_at_table(then, OF, read(path))
    monkeypatch.setenv("AMBIDEX_LARGE_MIB", "0")
    large = read(path)
    assert large.is_large
    counted = look_at_table(then, OF, large)
    assert counted.rows == 5_000
    for name in OF.names:
        assert (counted.columns[name].counts == small.columns[name].counts).all()
    assert [c["name"] for c in look_for_drift(then, OF, large).columns if c["drifted"]] == ["n0"]
