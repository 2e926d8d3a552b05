"""What the dashboard keeps between pages: the open workspace, answers' chips, the advice, the server's figures."""

from __future__ import annotations

import json
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ambidex.errors import AmbidexError
from ambidex.settings import FILE
from ambidex.ui.advice import Later
from ambidex.ui.live import Live, RunFolder
from ambidex.ui.looking import House, Look, Verbs

__all__ = ["Desk"]

FRESH_S = 1.0
MOST_TOLD = 5000
ASKED_S = 30.0


class Desk:
    """Kept by a running dashboard.

    Args:
        open_house: Opens the workspace; called again when ambidex.toml has changed.
        verbs: What pages act through.
    """

    def __init__(self, open_house: Callable[[], House], verbs: Verbs) -> None:
        self.verbs = verbs
        self._open = open_house
        self._house = open_house()
        self._seen = self._mark()
        self._trouble: AmbidexError | None = None
        self._lock = threading.Lock()
        self._asked: dict[tuple[Any, ...], tuple[float, Any]] = {}
        self._told: dict[int, dict[str, Any]] = {}
        self._advice = Later(self._advise)
        self._live: tuple[float, Live] = (-1e9, Live())
        self._run = RunFolder(self._house.hidden / "run")

    def house(self) -> House:
        """The workspace as ambidex.toml says today; where the file is broken, as it said before."""
        mark = self._mark()
        with self._lock:
            if mark != self._seen:
                self._seen = mark
                try:
                    self._house, self._trouble = self._open(), None
                except AmbidexError as error:
                    self._trouble = error
            return self._house

    def warm(self) -> None:
        """Open the store and read the day's minutes before the first reader comes; from then on only what is new."""
        from ambidex.watch import loop, rollout, summary

        del loop, rollout, summary  # imported, so that no reader waits for it
        with suppress(AmbidexError, OSError):
            self._run.look(self._house.clock().timestamp())
            self._house.store.latest(limit=1)

    @property
    def trouble(self) -> AmbidexError | None:
        """Why ambidex.toml is not taken as it stands, or None."""
        return self._trouble

    def _mark(self) -> tuple[int, int] | None:
        try:
            found = (self._house.folder / FILE).stat() if hasattr(self, "_house") else None
        except OSError:
            return None
        return None if found is None else (found.st_mtime_ns, found.st_size)

    def report(self, error: Exception) -> None:
        """A page failed: one line for whoever watches the terminal."""
        last = traceback.extract_tb(error.__traceback__)[-1:]
        place = f"{last[0].filename.rpartition('/')[2]}:{last[0].lineno}" if last else "?"
        print(
            json.dumps({"event": "page.failed", "why": type(error).__name__, "at": place}), file=sys.stderr, flush=True
        )

    def whole(self, look: Look) -> bool:
        """Whether the reader may see what is of the workspace as a whole."""
        return look.may("whole")

    def live(self, look: Look) -> Live:
        """What the workers last wrote, at most a second old."""
        now = time.monotonic()
        with self._lock:
            if now - self._live[0] > FRESH_S:
                self._live = (
                    now,
                    look.attempt("the server's figures", lambda: self._run.look(look.now.timestamp()), Live()),
                )
            return self._live[1]

    def told(self, house: House, number: int) -> dict[str, Any]:
        """What lists say of an answer; answers never change, so each is read once."""
        if number not in self._told:
            document = house.store.answer(number)
            advice = document.get("recommendation") or {}
            with self._lock:
                while len(self._told) >= MOST_TOLD:
                    del self._told[next(iter(self._told))]
                self._told[number] = {
                    "strength": document.get("strength"), "question": str(document.get("question") or "")[:200],
                    "verdict": advice.get("verdict"),
                }  # fmt: skip
        return self._told[number]

    def asked(self, verb: Callable[..., Any], model: str, said: dict[str, Any]) -> Any:
        """What a slow verb found, at most half a minute old: a page that is loaded again does not ask again."""
        key, now = (verb, model, *sorted((k, str(v)) for k, v in said.items())), time.monotonic()
        with self._lock:
            found = self._asked.get(key)
        if found is None or now - found[0] > ASKED_S:
            found = (now, verb(model, **said))
            with self._lock:
                self._asked = {k: v for k, v in self._asked.items() if now - v[0] <= ASKED_S} | {key: found}
        return found[1]

    def next_step(self, house: House) -> Later:
        """What the project needs next, read beside the pages."""
        del house
        return self._advice

    def _advise(self) -> dict[str, Any]:
        from ambidex.advice.next_step import read_and_advise

        house = self.house()
        return read_and_advise(house.folder, house.store, house.settings, now=house.clock())
