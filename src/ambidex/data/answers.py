"""Answers of a server as an Arrow stream: the columns that ``score`` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["answer_stream", "load"]


def load() -> None:
    """Import what is needed: slow the first time, and best done in a thread."""
    import pyarrow  # noqa: F401


def answer_stream(
    ids: Sequence[str],
    predictions: Sequence[Any],
    classes: Sequence[str] = (),
    probabilities: Sequence[Sequence[float]] = (),
    *,
    about: Mapping[str, str],
) -> bytes:
    """``id``, ``prediction``, and ``probability_LABEL`` a class.

    Args:
        ids: A prediction's name a row.
        predictions: Labels or numbers.
        classes: Labels, in the order of the probabilities.
        probabilities: Shape (rows, classes), or empty.
        about: Metadata of the stream.

    >>> import pyarrow as pa
    >>> stream = answer_stream(["a"], ["Yes"], ["No", "Yes"], [[0.25, 0.75]], about={"model": "churn"})
    >>> pa.ipc.open_stream(stream).read_all().to_pylist()
    [{'id': 'a', 'prediction': 'Yes', 'probability_No': 0.25, 'probability_Yes': 0.75}]
    """
    import pyarrow as pa

    columns = {"id": pa.array(ids, pa.string())}
    columns["prediction"] = pa.array(predictions, pa.string() if classes else pa.float64())
    for k, label in enumerate(classes if probabilities else ()):
        columns[f"probability_{label}"] = pa.array([row[k] for row in probabilities], pa.float64())
    table = pa.table(columns).replace_schema_metadata(dict(about))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    data: bytes = sink.getvalue().to_pybytes()
    return data
