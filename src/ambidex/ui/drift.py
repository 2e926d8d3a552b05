"""Columns against the reference, distances with intervals and margin, incidents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.report.words import fixed, plural, share, signed
from ambidex.ui.looking import Look, paged, when
from ambidex.ui.pictures import histogram, interval

__all__ = ["alert_rows", "column_rows", "drift_page", "labels_line", "watched"]

Row = dict[str, Any]

SCORE = "(prediction)"


def watched(look: Look, model: str) -> Row | None:
    """What the watcher last said of a model; None where it has not looked yet."""
    from ambidex.watch.summary import summary

    return look.attempt(f"what monitor found for {model}", lambda: summary(look.house.store, model), None)


def drift_page(look: Look) -> Row:
    """One model's columns and incidents."""
    states = look.models()
    state = look.chosen(states)
    shown = look.choice("state", ("drifted", "open", "inside"))
    data: Row = {
        "models": [s.name for s in states], "model": state.name if state else None, "state": shown, "columns": [],
        "alerts": [], "closed": [], "pages": paged(0, 1), "watch": None,
    }  # fmt: skip
    if state is None:
        return data
    found = watched(look, state.name)
    if found is None:
        return data
    columns = [c for c in found.get("columns") or () if not shown or _state(c) == shown]
    pages = paged(len(columns), look.whole("page", 1))
    data["columns"] = column_rows(columns)[pages["first"] - 1 if columns else 0 : pages["last"]]
    data["pages"] = pages
    data["alerts"] = alert_rows(found, look, state.name)
    data["closed"] = [_alert(a, look, state.name) for a in found.get("closed") or ()][::-1]
    data["watch"] = {
        "at": found.get("at"), "when": when(found.get("at"), look.now), "state": found.get("state"),
        "text": found.get("text"), "version": found.get("version"), "rows": found.get("rows"),
        "loss": found.get("loss"), "labels": found.get("labels"), "label_line": labels_line(found),
        "detectors": found.get("detectors") or [], "levels": found.get("levels") or [],
        "days": (found.get("days") or [])[-60:],
    }  # fmt: skip
    return data


def column_rows(columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Columns as the tables show them: the furthest first, those that drifted before all others."""
    reach = max(
        (abs(v) for c in columns for v in (c.get("low"), c.get("high"), c.get("size")) if v is not None), default=0.0
    )
    reach = min(reach, 0.5)
    ordered = sorted(columns, key=lambda c: (not c.get("drifted"), -abs(c.get("size") or 0.0)))
    return [_column(c, reach) for c in ordered]


def _state(column: Mapping[str, Any]) -> str:
    return "drifted" if column.get("drifted") else "inside" if column.get("outcome") == "inside" else "open"


def _column(c: Mapping[str, Any], reach: float) -> Row:
    name = str(c["name"])
    shown = "the prediction mix" if name == SCORE else name
    tone, mark, word = {
        "drifted": ("bad", "■", "drifted"), "inside": ("ok", "●", "same"), "open": ("none", "○", "open"),
    }[_state(c)]  # fmt: skip
    size, low, high, margin = c.get("size"), c.get("low"), c.get("high"), float(c.get("margin") or 0.0)
    reference, live = c.get("reference") or [], c.get("live") or []
    said = f"{shown}: distance {signed(size)}" if size is not None else f"{shown}: no rows yet"
    if low is not None and high is not None:
        said += f", {signed(low)} to {signed(high)}, margin ±{margin:g}"
    return {
        "name": name, "shown": shown, "drifted": bool(c.get("drifted")), "state": _state(c), "tone": tone, "mark": mark,
        "word": word, "size": size, "low": low, "high": high, "margin": margin, "what": c.get("what") or "",
        "distance": _points(size), "range": f"{_points(low)} to {_points(high)}" if low is not None else "–",
        "sentence": said,
        "picture": histogram(reference, live, f"{shown}: outline reference, filled live; {c.get('what') or ''}")
        if live and reference else None,
        "dot": interval(size, low, high, margin, said, reach=reach),
        "cells": [
            {"cell": cell, "reference": share(r), "live": share(v)}
            for cell, r, v in zip(c.get("cells") or (), reference, live, strict=False)
        ],
    }  # fmt: skip


def _points(x: float | None) -> str:
    return "–" if x is None else ("+" if x > 0 else "") + fixed(x, 3)


def alert_rows(found: Mapping[str, Any], look: Look, model: str) -> list[Row]:
    """Open alerts of a model: pages first, muted ones last."""
    rows = [_alert(a, look, model) for a in found.get("alerts") or ()]
    return sorted(rows, key=lambda a: (bool(a["muted"]), a["level"] != "page"))


def _alert(a: Mapping[str, Any], look: Look, model: str) -> Row:
    muted = a.get("muted") or None
    page = a.get("level") == "page"
    tone, mark = ("none", "○") if muted else ("bad", "■") if page else ("warn", "▲")
    return {
        "id": a.get("id"), "model": model, "level": a.get("level"), "kind": a.get("kind"), "text": a.get("text"),
        "since": a.get("since"), "when": when(a.get("since"), look.now), "version": a.get("version"),
        "opened": a.get("opened"), "closed": a.get("closed"), "ended": when(a.get("closed"), look.now),
        "muted": muted, "tone": tone, "mark": mark,
        "word": "muted" if muted else str(a.get("level") or "info"),
        "until": when(muted.get("until"), look.now) if isinstance(muted, Mapping) else "",
    }  # fmt: skip


def labels_line(found: Mapping[str, Any]) -> str:
    """Labels in a sentence: how many came, what share, how late."""
    labels = found.get("labels") or {}
    matched = labels.get("matched") or 0
    if not matched:
        return "no label yet"
    said = plural(matched, "label")
    if labels.get("coverage") is not None:
        said += f", {share(labels['coverage'], 0)} of the predictions"
    if labels.get("immature"):
        said += f", {plural(labels['immature'], 'more')} waiting for their horizon".replace("mores", "more")
    return said
