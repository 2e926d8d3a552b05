"""A version's state between passes: plain JSON with a number of its form, and the way from older forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ambidex.watch import harm
from ambidex.watch.incidents import State
from ambidex.watch.layers import new_layers

__all__ = ["FORM", "migrated", "new_state"]

FORM = 2


def new_state(version: int) -> State:
    """A version before its first pass; plain JSON, as every later state."""
    return {
        "form": FORM, "version": version, "looks": 0, "rows": 0, "labels": 0, "limits": None, "inputs": {},
        "harm": harm.harm_state(), "layers": new_layers(), "relations": None, "calibration": None, "slices": {},
        "scores": None, "recent": {}, "kept": {}, "history": [], "days": {}, "came": {}, "first": None, "last": None,
        "alerts": [], "closed": [], "opened": 0,
    }  # fmt: skip


def migrated(state: Mapping[str, Any]) -> State:
    """A state of any earlier form in today's: what it watched goes on, what is new starts empty.

    >>> migrated({"version": 3, "rows": 5, "alerts": [], "closed": []})["form"]
    2
    """
    if state.get("form") == FORM:
        return dict(state)
    new: State = {**new_state(int(state["version"])), **state, "form": FORM}
    new["alerts"] = [_alert(a) for a in new["alerts"]]
    new["closed"] = [_alert(a) for a in new["closed"]]
    return new


def _alert(old: Mapping[str, Any]) -> dict[str, Any]:
    """Before form 2 an alert had one cause."""
    if "parts" in old:
        return dict(old)
    part = {k: old[k] for k in ("key", "kind", "text", "columns", "since", "figures") if k in old}
    return {"rings": 1, "muted": None, **old, "parts": [part]}
