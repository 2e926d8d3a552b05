"""Predictions that are too slow for the event loop: one thread a version; what arrives during one is the next.

No timer, no size to tune: under little load a request is scored alone and at once, under much load the next frame is
as large as what came meanwhile. A request that a model cannot answer is asked again alone, so that it fails by itself
and not those that stood beside it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ambidex.ports import Score, Scorer
from ambidex.serving.problems import HttpRefusal

__all__ = ["Lane"]

Scores = list[Score] | str
"""What came of a request: its scores, or why the model gives none."""
MOST_ROWS = 2_000
"""Rows of one frame, at most: the first of many requests need not wait for the last."""
_SMOOTH = 0.2


class Lane:
    """Scores requests in order, many at once.

    Args:
        scorer: The model.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._waiting: deque[tuple[Sequence[Mapping[str, Any]], Callable[[Scores], None]]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="predict")
        self._busy_until: float | None = None
        self._frame_s = 0.0
        self._row_s = 0.0
        self.rows = 0

    def expected(self, rows: int) -> float:
        """Seconds until so many rows more would be answered, by what was measured; 0 while nothing was.

        With no rows: until a request that comes now would have its turn.
        """
        rest = 0.0 if self._busy_until is None else max(0.0, self._busy_until - time.monotonic())
        waiting = self.rows + rows
        # Who comes now joins the frame that waits: its own frame's time is no wait for its turn.
        frames = math.ceil(waiting / MOST_ROWS) if rows else waiting // MOST_ROWS
        return rest + frames * self._frame_s + waiting * self._row_s

    def ask(
        self, rows: Sequence[Mapping[str, Any]], done: Callable[[Scores], None], *, within: float | None = None
    ) -> None:
        """Score the rows of a request; ``done`` is called on the loop, in the order of asking.

        Args:
            rows: Decoded rows, at least one.
            done: Told what came of it.
            within: Seconds in which it must have its turn; of a model that is slower than that, two predictions.

        Raises:
            HttpRefusal: ``http.overload`` (429): it would not.
        """
        before = self.expected(0)
        if within is not None:
            within = max(within, 2 * self._frame_s)
        if within is not None and before > within and self._busy_until is not None:
            wait = max(1, math.ceil(before - within))
            raise HttpRefusal(
                "http.overload", f"the model has work for {before:.1f} s; a request may wait {within:g} s", status=429,
                headers={"Retry-After": str(wait)}, do=f"send it again in {wait} s",
            )  # fmt: skip
        self._waiting.append((rows, done))
        self.rows += len(rows)
        if self._busy_until is None:
            self._start(asyncio.get_running_loop())

    def close(self) -> None:
        """Finish what is under way, start nothing more."""
        self._waiting.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        frame = [self._waiting.popleft()]
        rows = len(frame[0][0])
        while self._waiting and rows + len(self._waiting[0][0]) <= MOST_ROWS:
            frame.append(self._waiting.popleft())
            rows += len(frame[-1][0])
        self.rows -= rows
        self._busy_until = time.monotonic() + self._frame_s + rows * self._row_s
        asked = [some for some, _ in frame]

        def work() -> None:
            started = time.monotonic()
            found = _scored(self._scorer, asked)
            took = time.monotonic() - started
            loop.call_soon_threadsafe(finish, found, took)

        def finish(found: list[Scores], took: float) -> None:
            self._measured(rows, took)
            self._busy_until = None
            if self._waiting:
                self._start(loop)
            for (_, done), scores in zip(frame, found, strict=True):
                done(scores)

        self._thread.submit(work)

    def _measured(self, rows: int, took: float) -> None:
        """A frame's own time is the least that was seen lately; the rest is its rows'."""
        if rows <= 4:
            self._frame_s = took if not self._frame_s else self._frame_s + _SMOOTH * (took - self._frame_s)
        else:
            each = max(0.0, took - self._frame_s) / rows
            self._row_s = each if not self._row_s else self._row_s + _SMOOTH * (each - self._row_s)


def _scored(scorer: Scorer, requests: Sequence[Sequence[Mapping[str, Any]]]) -> list[Scores]:
    """Every request's scores, in one frame; one by one where the frame does not come out."""
    if len(requests) > 1:
        rows = [row for some in requests for row in some]
        try:
            together = _many(scorer, rows)
        except Exception:  # whatever a model raises: which request it was is found below
            together = None
        if together is not None and _finite(together):
            out: list[Scores] = []
            at = 0
            for some in requests:
                out.append(together[at : at + len(some)])
                at += len(some)
            return out
    found: list[Scores] = []
    for some in requests:
        try:
            found.append(_many(scorer, some))
        except Exception as error:
            found.append(f"raises {type(error).__name__}")
    return found


def _many(scorer: Scorer, rows: Sequence[Mapping[str, Any]]) -> list[Score]:
    if len(rows) == 1:
        return [scorer.score(rows[0])]
    import numpy as np

    columns = {
        c.name: np.array([r[c.name] for r in rows], dtype=object if c.type == "category" else np.float64)
        for c in scorer.schema.columns
    }
    made = np.asarray(scorer.score_columns(columns, len(rows)), dtype=np.float64)
    if len(made) != len(rows):
        raise ValueError(f"{len(made)} scores for {len(rows)} rows")
    return [tuple(row) for row in made.tolist()] if made.ndim == 2 else made.tolist()


def _finite(scores: Sequence[Score]) -> bool:
    return all(all(map(math.isfinite, s)) if isinstance(s, tuple) else math.isfinite(s) for s in scores)
