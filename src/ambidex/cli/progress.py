"""What is shown while one waits: nothing for quick work, then the seconds, always on stderr."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import TextIO

__all__ = ["Waiting"]

FIRST_S = 0.5
LINE_EVERY_S = 10.0


class Waiting:
    """Says that work goes on and for how long: one line updated in place on a terminal, else one each 10 s.

    Args:
        what: What is under way.
        stream: Where it is said; None says nothing.
    """

    def __init__(self, what: str, stream: TextIO | None) -> None:
        self.what = what
        self.stream = stream
        self._over = threading.Event()
        self._shown = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Waiting:
        if self.stream is not None:
            self._thread = threading.Thread(target=self._tell, args=(self.stream,), daemon=True)
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def _tell(self, stream: TextIO) -> None:
        began = time.monotonic()
        terminal = stream.isatty()
        pause = FIRST_S if terminal else LINE_EVERY_S
        try:
            while not self._over.wait(pause):
                spent = time.monotonic() - began
                if terminal:
                    stream.write(f"\r\x1b[2K{self.what}, {spent:.0f} s")
                    pause = 1.0
                else:
                    stream.write(f"{self.what}, {spent:.0f} s\n")
                stream.flush()
                self._shown = terminal
            if self._shown:
                stream.write("\r\x1b[2K")
                stream.flush()
        except (OSError, ValueError):
            return
