"""What pages show of a model's watch: one small document, readable without opening a bundle or the state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambidex.bundle.reference import labels_of
from ambidex.ports import Store
from ambidex.records import Schema

__all__ = ["page_of", "summary"]


def summary(store: Store, model: str) -> dict[str, Any] | None:
    """The last pass as pages show it; None before the first."""
    found: dict[str, Any] | None = store.document(f"watch-page/{model}")
    return found


def page_of(
    shown: Mapping[str, Any], state: Mapping[str, Any], reference: Mapping[str, Any], schema: Schema, *,
    arming: Mapping[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    """That document.

    Args:
        shown: ``data`` of the pass.
        state: The shown version's.
        reference: Its reference.
        schema: Its inputs.
        arming: What the last replay said.
    """
    columns = []
    for column in shown["columns"]:
        entry, kept = reference["columns"].get(column["name"]), state["inputs"].get(column["name"])
        more = {} if entry is None or kept is None else {
            "cells": labels_of(entry), "reference": _shares(entry["counts"]), "live": _shares(kept["total"])
        }  # fmt: skip
        columns.append({**column, **more})
    days = [
        {
            "day": day, "rows": e["rows"], "late": e["late"], "labels": e["labels"],
            "score": e["score"] / e["scores"] if e["scores"] else None,
            "loss": e["loss"] / e["labels"] if e["labels"] else None,
        }
        for day, e in sorted(state["days"].items())[-120:]
    ]  # fmt: skip
    fields = (
        "state", "text", "model", "version", "rows", "alerts", "loss", "labels", "score", "detectors", "performance",
        "calibration", "slices", "ranking", "verdict", "cautions",
    )  # fmt: skip
    closed = [
        {k: a[k] for k in ("id", "level", "kind", "text", "since", "opened", "closed")} for a in state["closed"][-20:]
    ]
    return {
        **{k: shown.get(k) for k in fields}, "columns": columns, "closed": closed, "days": days,
        "levels": shown.get("levels") or [], "freshness": shown.get("freshness"), "history": state["history"],
        "at": state["history"][-1]["at"] if state["history"] else None,
        "arming": None if arming is None else {k: arming[k] for k in ("mode", "text")},
    }  # fmt: skip


def _shares(counts: Any) -> list[float]:
    total = sum(counts)
    return [round(n / total, 5) if total else 0.0 for n in counts]
