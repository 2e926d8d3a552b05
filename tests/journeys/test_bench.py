"""`bench`: a private server is measured, the workspace stays as it is, and a target becomes cores."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ambidex as amb
from ambidex.bench import CALM
from ambidex.errors import NotFound, UsageError
from ambidex.serving.load import Load


@pytest.fixture(scope="module")
def place(tmp_path_factory: Any) -> Any:
    folder = tmp_path_factory.mktemp("bench") / "ws"
    amb.init(folder)
    rng = np.random.default_rng(4)
    usage, plan = rng.normal(10, 3, 1500), np.array(["basic", "gold"])[rng.integers(0, 2, 1500)]
    left = rng.random(1500) < 1 / (1 + np.exp(-(usage - 10) / 4 + (plan == "gold")))
    table = pa.table({"usage": usage, "plan": plan, "left": np.where(left, "yes", "no")})
    pq.write_table(table, folder / "data" / "people.parquet")
    answer = amb.drivers(str(folder / "data" / "people.parquet"), target="left", positive="yes", at=folder)
    amb.package(answer, name="people", at=folder)
    return folder


def test_a_version_that_is_not_live_is_measured_and_nothing_is_kept(place: Any) -> None:
    before = sorted(p.relative_to(place) for p in (place / ".ambidex").rglob("*") if "log" in p.parts)
    events = len(amb.models("log", at=place).data["events"])
    result = amb.bench("people@1", target=10_000, seconds=0.4, rows=200, at=place)
    d = result.data
    assert (d["model"], d["version"], d["failed"]) == ("people", 1, 0)
    assert d["runtime"] in ("compiled", "fallback")
    assert d["per_core"] > 0 and math.isclose(d["cpu_us"], 1e6 / d["per_core"])
    assert 0 < d["ceiling"]["share"] < 1.5
    assert d["batch"]["rows"] == 200 and d["batch"]["rows_per_core"] > d["per_core"]
    assert d["cores"] == max(1, math.ceil(10_000 / (CALM * d["per_core"])))
    assert d["latency"]["p50_ms"] <= d["latency"]["p99_ms"]
    assert result.next == (f"ambidex serve people{'' if d['cores'] == 1 else ' --workers ' + str(d['cores'])}",)
    assert sorted(p.relative_to(place) for p in (place / ".ambidex").rglob("*") if "log" in p.parts) == before
    assert len(amb.models("log", at=place).data["events"]) == events


def test_what_cannot_be_measured_is_refused(place: Any) -> None:
    with pytest.raises(NotFound):
        amb.bench("nobody", at=place)
    with pytest.raises(UsageError):
        amb.bench("people@1", target=-1, at=place)


def test_quantiles_of_a_load() -> None:
    load = Load(answered=4, seconds=2.0, times=[0.4, 0.1, 0.3, 0.2])
    assert (load.rate, load.quantile(0.5), load.quantile(0.99)) == (2.0, 0.3, 0.4)
    assert Load().quantile(0.5) is None and Load().rate == 0.0
