"""Callers that ask without a pause."""

from __future__ import annotations

import http.client
import json
import threading
import time
from typing import Any

from serving.serving_support import JSON, VALID, Server


class Callers:
    """Threads that ask, each on its own connection, until told to stop or a count is reached."""

    def __init__(
        self, server: Server, threads: int, *, count: int | None = None, again: bool = False, pause: float = 0
    ) -> None:
        self.server, self.count, self.again, self.pause = server, count, again, pause
        self.answers: list[tuple[float, int, Any]] = []
        self.failures: list[str] = []
        self.over = threading.Event()
        self.threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def _ask(self) -> None:
        connection = self.server.connect()
        left = self.count if self.count is not None else 1 << 30
        while left and not self.over.is_set():
            left -= 1
            time.sleep(self.pause)
            try:
                connection.request("POST", "/predict/churn", VALID, JSON)
                response = connection.getresponse()
                body = json.loads(response.read())
                self.answers.append((time.monotonic(), response.status, body))
            except ConnectionRefusedError:
                return  # it stopped listening
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
                if not self.again:
                    return
        connection.close()

    def join(self) -> None:
        for thread in self.threads:
            thread.join(timeout=60)

    def ids(self) -> set[str]:
        return {body["ids"][0] for _, status, body in self.answers if status == 200}
