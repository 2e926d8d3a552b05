"""`monitor --replay`: the past of a model through the detectors; then they are armed, or stay silent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ambidex.bundle.columns import columns_of
from ambidex.bundle.open import OpenBundle, open_bundle
from ambidex.bundle.reference import count
from ambidex.data.log import open_log
from ambidex.data.table import Table
from ambidex.errors import NotFound
from ambidex.records import Schema
from ambidex.watch import evidence
from ambidex.watch.arming import Replayed, replayed
from ambidex.watch.incidents import timestamp
from ambidex.watch.look import YEAR_S, Look, binned, look_at_table, looks_of
from ambidex.watch.run import Watched, document_of, watched_schema, with_lease

__all__ = ["looks_of_table", "replay"]

MOST_ROWS = 2_000_000
"""Rows of the past that are replayed, newest first."""


def replay(place: Watched, model: str, table: Table | None = None) -> dict[str, Any]:
    """Replay the past of a model, say how often each detector would have rung, and arm those that may ring.

    Args:
        place: The workspace.
        model: Model's name.
        table: The model's own rows with an event time, for a model whose log is still short; None: the log alone.

    Returns:
        ``data`` of the JSON contract: ``state`` (armed, silent), ``text``, ``days``, ``looks``, ``mode``, ``detectors``
        {name: {rang, allowed, armed, why}}, ``source`` (log, table), ``model``, ``version``, ``alerts``.

    Raises:
        NotFound: ``data.no-model``, ``data.no-pointer`` if no version ever answered.
        EnvironmentProblem: ``env.busy``.
    """
    known = place.store.model(model)
    version = known.answering
    if version is None:
        raise NotFound(
            "data.no-pointer", f"no version of {model} is live", found="nothing to replay",
            do=f"ambidex promote {model}@1 --to live",
        )  # fmt: skip
    bundle = open_bundle(place.blobs, place.store.version(model, version).digest, tried=False)
    schema = watched_schema(place, model, bundle.schema)
    source, found = "log", _of(place, bundle.reference, schema, _looks_of_log(place, model, version, bundle, schema))
    if found.mode == "none" and table is not None and schema.time is not None and schema.time in table.columns:
        looks = looks_of_table(bundle, schema, table, looks_a_year=place.settings.watch.looks)
        longer = _of(place, bundle.reference, schema, looks)
        if longer.looks > found.looks:
            source, found = "table", longer
    when = timestamp(place.clock())
    arming = {**found.to_dict(), "at": when, "version": version, "source": source}

    def keep() -> dict[str, Any]:
        document = document_of(place, model)
        document["arming"] = arming
        state = document["versions"].get(str(version))
        if state is not None and found.mode != "none":
            inputs = {name: evidence.restart(kept, keep_rows=True) for name, kept in state["inputs"].items()}
            document["versions"][str(version)] = {**state, "layers": found.layers, "kept": {}, "inputs": inputs}
        body = {k: arming[k] for k in ("mode", "days", "looks", "source", "text")}
        event = {"verb": "replay", "model": model, "version": version, "body": body}
        place.store.put_document(f"watch/{model}", document, events=[event])
        return document

    document = with_lease(place, model, keep)
    return {
        "state": "armed" if any(_armable(n, d) for n, d in found.detectors.items()) else "silent", "verdict": "open",
        "model": model, "version": version, "ref": f"{model}@{version}", "columns": [], "alerts": document["alerts"],
        **arming,
    }  # fmt: skip


def _armable(name: str, said: Mapping[str, Any]) -> bool:
    return bool(said["armed"]) and name not in ("beyond", "rules")


def _of(place: Watched, reference: Mapping[str, Any], schema: Schema, looks: list[Look]) -> Replayed:
    watch = place.settings.watch
    models = max(1, sum(m.live is not None for m in place.store.models()))
    return replayed(
        reference, schema, looks, margin=watch.margin, budget=watch.budget / models, looks_a_year=watch.looks
    )


def _looks_of_log(place: Watched, model: str, version: int, bundle: OpenBundle, schema: Schema) -> list[Look]:
    """The version's own logged rows, newest two million, in looks of the ordinary length."""
    frames: list[dict[str, Any]] = []
    with open_log(place.log_folder, model) as log:
        for rows, _ in log.pages():
            frames += [
                f for f in rows
                if f.get("kind") != "label" and f.get("version") == version and f.get("arm") != "shadow"
                and not str(f.get("error") or "").startswith("data.")
            ]  # fmt: skip
            del frames[:-MOST_ROWS]
    return looks_of(bundle.reference, schema, frames, looks_a_year=place.settings.watch.looks)


def looks_of_table(
    bundle: OpenBundle, schema: Schema, table: Table, *, looks_a_year: float, scored: bool = True
) -> list[Look]:
    """A table's rows in looks by their event time, scored by the version.

    Args:
        bundle: The version; its reference gives the cells.
        schema: Inputs that are watched, with the time's name.
        table: Rows.
        looks_a_year: Looks a year.
        scored: False leaves the outputs out.
    """
    assert schema.time is not None
    times = table.times(schema.time).values.astype("datetime64[us]")
    known = np.flatnonzero(~np.isnat(times))
    known = known[np.argsort(times[known], kind="stable")][-MOST_ROWS:]
    seconds = times[known].astype(np.int64) / 1e6
    groups = np.floor(seconds / (YEAR_S / looks_a_year)).astype(np.int64)
    looks = []
    for group in np.unique(groups):
        rows = known[groups == group]
        part = table.take(np.isin(np.arange(table.rows), rows))
        looks.append(
            _with_scores(bundle, look_at_table(bundle.reference, schema, part), part, scored, seconds[groups == group])
        )
    return looks


def _with_scores(bundle: OpenBundle, look: Look, part: Table, scored: bool, seconds: Any) -> Look:
    from dataclasses import replace
    from datetime import UTC, datetime

    began, ended = (timestamp(datetime.fromtimestamp(float(s), UTC)) for s in (seconds.min(), seconds.max()))
    look = replace(look, began=began, ended=ended)
    entry = bundle.reference.get("score")
    if not scored or not entry or entry["kind"] != "number":
        return look
    columns, _ = columns_of(part, bundle.schema.relaxed())
    outputs = np.asarray(bundle.scorer.score_columns(columns, part.rows), dtype=np.float64)
    bins = binned(outputs) if bundle.schema.task == "binary" else None
    return replace(look, score=count(entry, outputs), score_bins=bins)
