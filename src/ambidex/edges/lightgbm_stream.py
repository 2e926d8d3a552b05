"""LightGBM on rows larger than memory: DuckDB reads them a batch at a time into its ``Sequence``.

What stays in memory is one byte a value (the bins), the target, and LightGBM's own sums a row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.data.batches import Batches
from ambidex.errors import MissingExtra

__all__ = ["STEADY", "train_stream"]

STEADY: dict[str, Any] = {"deterministic": True, "force_row_wise": True, "verbosity": -1, "num_threads": 2}
"""Settings under which the same rows give the same trees. No ``seed``: it moves the sample that bins are cut on for a
matrix, and not for a ``Sequence``; LightGBM's own seeds are fixed."""


def train_stream(
    paths: Sequence[Path], *, target: str, columns: Sequence[str], params: Mapping[str, Any], rounds: int = 100,
    batch: int = 1 << 18,
) -> str:  # fmt: skip
    """Train on Parquet files without ever holding their rows.

    The bins are cut on a sample that LightGBM draws by ``bin_construct_sample_cnt`` from all rows, as it does in
    memory: the same rows give the same model, streamed or not.

    Args:
        paths: Files, in order.
        target: A column of 0 and 1, or of numbers.
        columns: Numeric inputs.
        params: LightGBM's, over ``STEADY``.
        rounds: Trees.
        batch: Rows read at a time.

    Returns:
        The model as LightGBM's text, which ``package`` takes.

    Raises:
        MissingExtra: LightGBM is not installed.
    """
    try:
        import lightgbm
    except ModuleNotFoundError as error:
        raise MissingExtra("lightgbm", "lightgbm", "training on a stream") from error

    class Rows(lightgbm.Sequence):
        """The inputs; asked for single rows in order while the bins are cut, then for slices."""

        def __init__(self, source: Batches) -> None:
            self.source = source
            self.batch_size = source.batch

        def __getitem__(self, index: Any) -> Any:
            if isinstance(index, slice):
                return self.source.read(index.start or 0, self.source.rows if index.stop is None else index.stop)
            if isinstance(index, list | np.ndarray):
                return np.stack([self.source.read(int(i), int(i) + 1)[0] for i in index])
            return self.source.read(int(index), int(index) + 1)[0]

        def __len__(self) -> int:
            return self.source.rows

    labels, inputs = Batches(paths, [target], rows=batch), Batches(paths, columns, rows=batch)
    try:
        y = np.empty(labels.rows, dtype=np.float32)
        for start in range(0, labels.rows, batch):
            part = labels.read(start, start + batch)
            y[start : start + len(part)] = part[:, 0]
        settings = {**STEADY, **params}
        data = lightgbm.Dataset(Rows(inputs), label=y, feature_name=list(columns), params=settings).construct()
        text: str = lightgbm.train(settings, data, num_boost_round=rounds).model_to_string()
        return text
    finally:
        labels.close()
        inputs.close()
