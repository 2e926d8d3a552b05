"""Rows that are streamed give the model that they give in memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ambidex.data.batches import Batches

lightgbm = pytest.importorskip("lightgbm")
from ambidex.edges.lightgbm_stream import STEADY, train_stream  # noqa: E402

COLUMNS = [f"x{j}" for j in range(5)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], np.ndarray, np.ndarray]:
    folder, rng = tmp_path_factory.mktemp("stream"), np.random.default_rng(0)
    x = rng.normal(size=(9000, 5))
    x[rng.uniform(size=x.shape) < 0.02] = np.nan
    y = (np.nan_to_num(x[:, 0]) * np.nan_to_num(x[:, 1]) + rng.normal(size=9000) * 0.3 > 0).astype(float)
    paths = []
    for k, part in enumerate(np.array_split(np.arange(9000), 3)):
        named = {c: pa.array(x[part, j], from_pandas=True) for j, c in enumerate(COLUMNS)}
        paths.append(folder / f"{k}.parquet")
        parquet.write_table(pa.table({**named, "y": y[part]}), paths[-1], row_group_size=700)
    return paths, x, y


def test_batches_are_the_rows_in_order(files: tuple[list[Path], np.ndarray, np.ndarray]) -> None:
    paths, x, _ = files
    source = Batches(paths, COLUMNS, rows=1000)
    assert len(source) == 9000
    for start, stop in [(0, 10), (990, 1010), (2500, 6100), (8990, 9500), (5, 7), (8999, 9000)]:
        np.testing.assert_array_equal(source.read(start, stop), x[start:stop])
    source.close()


@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_streamed_or_in_memory_the_same_model(files: tuple[list[Path], np.ndarray, np.ndarray], objective: str) -> None:
    paths, x, y = files
    # The bins are cut on a sample of the rows, so that the streamed road's single rows are asked for too.
    params = {"objective": objective, "num_leaves": 15, "bin_construct_sample_cnt": 3000}
    streamed = train_stream(paths, target="y", columns=COLUMNS, params=params, rounds=12, batch=1000)
    settings = {**STEADY, **params}
    data = lightgbm.Dataset(x, label=y.astype(np.float32), feature_name=COLUMNS, params=settings)
    whole = lightgbm.train(settings, data, num_boost_round=12)
    assert streamed == whole.model_to_string()
    assert len(set(lightgbm.Booster(model_str=streamed).predict(x[:50]))) > 10
