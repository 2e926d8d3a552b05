"""The next step: read from the workspace beside the pages, since reading a long log takes longer than a page may."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ambidex.advice.facts import MEANING
from ambidex.errors import AmbidexError
from ambidex.report.words import listing, plural
from ambidex.ui.pictures import pips

__all__ = ["Later", "shown"]

AGAIN_S = 60.0
"""Seconds between two readings while the log grows, at least."""
PART = 50
"""And so many times as long as the last one took: the machine has other work."""

_TITLE = {
    "data_scientist": "Exploration next: data science",
    "ml_engineer": "Delivery next: ML engineering",
    "engineer": "A data pipeline first: engineering",
    "both": "Exploration and delivery, side by side",
    "in_sequence": "Exploration first, then delivery",
    "none": "Nothing asks for work now",
    "cannot_say": "Not known yet whose work comes first",
}
_SIDE = {"explore": "exploration", "deliver": "delivery"}
_PERSON = {"works": "works", "does_not_work": "does not work", "cannot_say": "cannot be said"}


class Later:
    """A reading that is made beside the pages, one at a time, and kept until the log has moved on.

    Args:
        read: Makes it.
    """

    def __init__(self, read: Callable[[], dict[str, Any]]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._done: dict[str, Any] | None = None
        self._error: AmbidexError | None = None
        self._key: Any = None
        self._began = -1e9
        self._took = 0.0

    def get(self, key: Any, *, wait: float) -> dict[str, Any] | None:
        """The reading; None while the first one runs.

        Args:
            key: Where the log ends now.
            wait: Seconds that the caller can wait for a first reading.

        Raises:
            AmbidexError: What the reading raised.
        """
        with self._lock:
            idle = self._thread is None or not self._thread.is_alive()
            waited = time.monotonic() - self._began > max(AGAIN_S, PART * self._took)
            due = key != self._key and (self._done is None or waited)
            if idle and due:
                self._began = time.monotonic()
                self._thread = threading.Thread(target=self._run, args=(key,), name="advice", daemon=True)
                self._thread.start()
            thread = self._thread
        if self._done is None and self._error is None and thread is not None:
            thread.join(wait)
        if self._error is not None:
            raise self._error
        return self._done

    def forget(self) -> None:
        """Read again at the next page: a fact was given."""
        self._key, self._began, self._took = None, -1e9, 0.0

    def _run(self, key: Any) -> None:
        try:
            self._done, self._error = self._read(), None
        except AmbidexError as error:
            self._error = error
        except Exception as error:  # a thread of ours must not die silently: the page says it
            self._error = AmbidexError("internal.bug", f"the reading failed: {type(error).__name__}: {error}"[:300])
        finally:
            self._key, self._took = key, time.monotonic() - self._began


def shown(data: Mapping[str, Any]) -> dict[str, Any]:
    """Advice as pages show it.

    Args:
        data: ``data`` of ``ambidex next``.
    """
    signals = list(data["signals"])
    known = sum(s["state"] != "unknown" for s in signals)
    asked = len(data["questions"])
    strength = data["strength"]
    counted = [f"{strength['explore']} exploration", f"{strength['deliver']} delivery", f"{asked} to ask"]
    rows = [
        {
            "id": s["id"],
            "meaning": s["meaning"] + (f": {s['value']}" if s["value"] else ""),
            "state": s["state"],
            "points": _SIDE.get(s["points"], s["points"]),
            "evidence": list(s["evidence"]),
            "source": s["source"],
            **dict(zip(("tone", "mark", "word"), _chip(s), strict=True)),
        }
        for s in sorted(signals, key=lambda s: ("yes", "unknown", "no").index(s["state"]))
    ]
    return {
        "title": _TITLE.get(data["role"], data["role"]),
        "role": data["role"],
        "why": data["why"],
        "rule": data["rule"],
        "read": f"{known} of {len(signals)} signals"
        + (f"; {plural(asked, 'question')} only you can answer" if asked else ""),
        "counted": counted,
        "task": data["first_task"],
        "signals": rows,
        "person": {"answer": _PERSON[data["one_person"]["answer"]], "because": list(data["one_person"]["because"])},
        "questions": list(data["questions"]),
        "changes": [
            {
                "if": f"{c['id']} were {c['to']}",
                "meaning": MEANING.get(c["id"], ""),
                "then": _TITLE.get(c["role"], c["role"]),
            }
            for c in data["would_change"]
        ],
        "picture": pips(
            [("c1", strength["explore"]), ("c2", strength["deliver"]), ("ask", asked)], f"Signals: {listing(counted)}."
        ),
    }


def _chip(signal: Mapping[str, Any]) -> tuple[str, str, str]:
    if signal["state"] == "unknown":
        return "none", "○", "not known"
    if signal["state"] == "no":
        return "none", "○", "no"
    side = {"explore": "explore", "deliver": "deliver"}.get(signal["points"], "none")
    return side, "●", _SIDE.get(signal["points"], "yes")
