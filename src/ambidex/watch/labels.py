"""Late labels from a table: which predictions they belong to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from ambidex.data.labels import class_of
from ambidex.data.log import log_view
from ambidex.data.privacy import Privacy
from ambidex.data.sql import quote
from ambidex.data.table import Table
from ambidex.errors import DataError, did_you_mean
from ambidex.records import Schema
from ambidex.watch.log import label_text

__all__ = ["Matched", "Relevant", "match_labels", "relevant"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """What a table of labels gave.

    Attributes:
        payloads: Label frames to append to the log.
        matched: Rows whose label belongs to a logged prediction and is new.
        unknown: Rows whose id no prediction carries.
        duplicates: Rows that repeat a label already there, or an id within the table (the last one counts).
        unlabelled: Rows without a label or id.
        coverage: Share of logged predictions that have a label now; 0 without predictions.
        unknown_ids: The first few unknown ids.
    """

    payloads: list[dict[str, Any]]
    matched: int
    unknown: int
    duplicates: int
    unlabelled: int
    coverage: float
    unknown_ids: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """``data`` of the JSON contract."""
        return {
            "matched": self.matched,
            "unknown": self.unknown,
            "duplicates": self.duplicates,
            "unlabelled": self.unlabelled,
            "coverage": self.coverage,
            "unknown_ids": list(self.unknown_ids),
        }


@dataclass(frozen=True, slots=True)
class Relevant:
    """What of a log a table of labels can touch.

    Attributes:
        frames: Predictions and labels of the table's ids, and the newest prediction of each of its keys.
        predictions: How many predictions the whole log holds.
        labelled: How many of them have a label.
    """

    frames: list[dict[str, Any]]
    predictions: int
    labelled: int


def relevant(folder: Path, model: str, table: Table, *, id: str, schema: Schema, privacy: Privacy) -> Relevant:
    """What match_labels must see of a log, whatever its size.

    Args:
        folder: The workspace's log folder.
        model: Model's name.
        table: The labels.
        id: Column with the prediction ids, or with values of the declared key.
        schema: The model's: its key.
        privacy: How the log keeps the key.
    """
    import pyarrow as pa

    values = sorted({v for v in table.text(table.require(id)) if v is not None})
    key = schema.key if schema.key and schema.key not in privacy.dropped else None
    hashed = key in privacy.hashed
    asked = pa.table({"value": values, "kept": [privacy.hash(v) if hashed else v for v in values]})
    own = "kind = 'prediction' AND arm IS DISTINCT FROM 'shadow'"
    with log_view(folder, model, schema) as view:
        run = view.connection.execute
        view.connection.register("asked", asked.cast(pa.schema([("value", pa.string()), ("kept", pa.string())])))
        known = f"SELECT DISTINCT id FROM log WHERE {own} AND id IN (SELECT value FROM asked)"
        found = {i for (i,) in run(known).fetchall()}
        frames: list[dict[str, Any]] = [{"model": model, "id": i} for i in found]
        if key is not None:
            column = quote(f"r:{key}")
            newest = run(
                f"SELECT a.value, arg_max(l.id, (coalesce(l.at, '1970-01-01'::TIMESTAMP), l.id)) FROM log l "
                f"JOIN asked a ON l.{column} = a.kept WHERE {own} GROUP BY a.value"
            ).fetchall()
            frames += [{"model": model, "id": i, "riders": {key: value}} for value, i in newest]
            found |= {i for _, i in newest}
        view.connection.register("found", pa.table({"id": pa.array(sorted(found), pa.string())}))
        given = run(
            "SELECT id, arg_max(label, (coalesce(log.at, '1970-01-01'::TIMESTAMP), file, pos)) FROM log "
            "WHERE kind = 'label' AND id IN (SELECT id FROM found) GROUP BY id"
        ).fetchall()
        frames += [{"kind": "label", "id": i, "label": msgspec.json.decode(v)} for i, v in given if v is not None]
        (predictions,) = run(f"SELECT count(DISTINCT id) FROM log WHERE {own}").fetchone()
        (labelled,) = run(
            f"SELECT count(DISTINCT id) FROM log WHERE {own} AND id IN (SELECT id FROM log WHERE kind = 'label')"
        ).fetchone()
    return Relevant(frames, predictions, labelled)


def match_labels(
    frames: Iterable[Mapping[str, Any]] | Relevant, table: Table, *, id: str, label: str, schema: Schema, at: str
) -> Matched:
    """Find each label's prediction, by the prediction's id or by the declared key.

    A key may have been scored many times; its label goes to the newest prediction of it. Giving the same table
    twice changes nothing.

    Args:
        frames: The model's whole log, predictions and labels, or what is relevant of it.
        table: The labels.
        id: Column with the prediction ids, or with values of the declared key.
        label: Column with what really happened.
        schema: The model's: its classes and key.
        at: Time stamp of the new frames.

    Raises:
        NotFound: ``data.no-column``.
        DataError: ``data.no-label`` for a label that is no class of the model, ``data.type`` for one that is no
            number; nothing is matched then.
    """
    ids, labels = table.text(table.require(id)), table.text(table.require(label))
    checked = [None if v is None else _checked(table, schema, label, i, v) for i, v in enumerate(labels)]
    model: dict[str, str] = {}
    by_key: dict[str, tuple[str, str]] = {}
    given: dict[str, str] = {}
    part = frames if isinstance(frames, Relevant) else None
    for frame in part.frames if part is not None else frames:  # type: ignore[union-attr]
        name = str(frame.get("id"))
        if frame.get("kind") == "label":
            given[name] = label_text(frame.get("label"))
            continue
        model[name] = str(frame.get("model", ""))
        key = (frame.get("riders") or {}).get(schema.key) if schema.key else None
        if key is not None:
            made = (str(frame.get("at", "")), name)  # files of the log come in the order of their names, not of time
            by_key[label_text(key)] = max(made, by_key.get(label_text(key), made))
    wanted: dict[str, str] = {}
    unknown: list[str] = []
    repeated = unlabelled = 0
    for value, outcome in zip(ids, checked, strict=True):
        if value is None or outcome is None:
            unlabelled += 1
            continue
        found = value if value in model else by_key.get(value, ("", None))[1]
        if found is None:
            unknown.append(value)
            continue
        repeated += found in wanted
        wanted[found] = outcome
    new = {name: outcome for name, outcome in wanted.items() if given.get(name) != outcome}
    total, labelled = len(model), sum(name in given or name in wanted for name in model)
    if part is not None:
        total, labelled = part.predictions, part.labelled + sum(name not in given for name in wanted)
    return Matched(
        payloads=[{"kind": "label", "at": at, "model": model[n], "id": n, "label": v} for n, v in new.items()],
        matched=len(new),
        unknown=len(unknown),
        duplicates=repeated + len(wanted) - len(new),
        unlabelled=unlabelled,
        coverage=labelled / total if total else 0.0,
        unknown_ids=tuple(dict.fromkeys(unknown))[:5],
    )


def _checked(table: Table, schema: Schema, column: str, row: int, value: str) -> str:
    where = f"{table.name}, data row {row + 1}, column {column}"
    if schema.task in ("binary", "multiclass"):
        named = class_of(value, schema.classes)
        if named is not None:
            return named
        raise DataError(
            "data.no-label",
            f"{value[:60]!r} in {column} is no class of the model{did_you_mean(value, schema.classes)}",
            where=where,
            found=f"the classes are {', '.join(schema.classes)}",
            do="write the labels as in training",
        )
    if schema.task == "segments":
        raise DataError(
            "data.no-label",
            "the model gives segments, and no label says which one is right",
            where=where,
            do="give labels to a model that predicts an outcome",
        )
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return value
    raise DataError(
        "data.type",
        f"{value[:60]!r} in {column} is no number",
        where=where,
        found=f"the model predicts {schema.target}, a number",
        do="mend the cell, or leave the row out",
    )
