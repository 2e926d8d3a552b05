"""A server with a small model, as a process: ``python stub_server.py FOLDER PORT WORKERS [LIMITS as JSON]``.

FOLDER/pointers.json holds what ``resolve`` gives, FOLDER/tokens.json the bodies of token events, FOLDER/pids
collects the workers. LIMITS may also hold ``hosts``, ``rate``, ``burst`` and ``host``. Version 11 raises where n is
a multiple of 50, version 12 gives NaN, version 13 does not open, version 14 takes a second to open,
version 15 leaks 4 MB a row, version 16 takes 20 ms a row, version 17 holds up the event loop for ``income`` seconds,
version 18 takes as long in a lane of its own. FOLDER/crash makes workers end as they start.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambidex.access import Tokens, fold
from ambidex.errors import AmbidexError, NotFound, Refused
from ambidex.records import Column, Event, Rollout, Schema

SCHEMA = Schema(
    columns=(
        Column(name="age", type="float"),
        Column(name="income", type="float"),
        Column(name="n", type="integer"),
        Column(name="plan", type="category", levels=("basic", "plus")),
    ),
    target="churned",
    task="binary",
    classes=("0", "1"),
    key="customer_id",
)


LEAK: list[bytes] = []


@dataclass
class StubScorer:
    number: int
    schema: Schema = SCHEMA

    def score(self, row: Mapping[str, Any]) -> float:
        if self.number == 12:
            return float("nan")
        if self.number == 15:
            LEAK.append(b"x" * (4 << 20))
        if self.number in (17, 18):
            time.sleep(row["income"])
        if self.number == 16:
            time.sleep(0.02)
        if self.number == 11 and row["n"] % 50 == 0:
            raise ZeroDivisionError
        return min(1.0, max(0.0, row["age"] / 100 + (0.1 if row["plan"] == "plus" else 0.0)))

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> Any:
        raise NotImplementedError


@dataclass
class Opened:
    scorer: StubScorer
    schema: Schema
    digest: str
    slow: bool = False


class StubRegistry:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: list[str] = []
        with (folder / "pids").open("a") as file:
            file.write(f"{os.getpid()}\n")
        if (folder / "crash").exists():
            os._exit(9)

    def resolve(self) -> dict[str, dict[str, int | None]]:
        pointers: dict[str, dict[str, int | None]] = json.loads((self.folder / "pointers.json").read_text())
        return pointers

    def tokens(self, before: Tokens) -> Tokens:
        file = self.folder / "tokens.json"
        bodies = json.loads(file.read_text()) if file.exists() else []
        made = [
            Event(seq=i + 1, at="2026-01-01T00:00:00.000000Z", by="a", verb="token", body=b)
            for i, b in enumerate(bodies)
        ]
        return fold(made)

    def rollouts(self, models: Sequence[str]) -> dict[str, Rollout]:
        path = self.folder / "rollouts.json"
        said = json.loads(path.read_text()) if path.exists() else {}
        return {name: Rollout.from_json(said[name]) for name in models if name in said}

    def open_version(self, model: str, number: int) -> Opened:
        if number > 20:
            raise NotFound("data.no-version", f"{model} has no version {number}")
        if number == 13:
            raise Refused("check.opens", f"the model does not open: {self.folder}/x is broken")
        if number == 14:
            time.sleep(1)
        return Opened(StubScorer(number), SCHEMA, f"{number:064d}", slow=number == 18)


def main(folder: str, port: str, workers: str, limits: str = "{}") -> int:
    from ambidex.data.privacy import Privacy
    from ambidex.serving.entry import Asks
    from ambidex.serving.log import Logging
    from ambidex.serving.messages import Limits
    from ambidex.serving.supervisor import run

    place = Path(folder)
    said = json.loads(limits)
    logging = said.pop("logging", {})
    rule = Privacy(
        hashed=frozenset(logging.pop("hash", ())), dropped=frozenset(logging.pop("drop", ())), key=b"key of the tests"
    )
    if (most := said.pop("fsize", None)) is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    host, hosts = said.pop("host", "127.0.0.1"), said.pop("hosts", None)
    rate, burst = said.pop("rate", None), said.pop("burst", 1)
    asks = None if hosts is None and rate is None else Asks(frozenset(hosts or ("a",)), None, rate, burst)

    def ready(*said: str) -> None:
        (place / "ready").write_text(" ".join(said))

    try:
        run(
            lambda: StubRegistry(place), host=host, port=int(port), workers=int(workers),
            log_folder=place / "log", ready=ready, limits=Limits(**said), asks=asks,
            tokens=(place / "tokens.json").exists(),
            logging=Logging(privacy={"churn": rule} if rule else {}, **logging),
        )  # fmt: skip
    except AmbidexError as error:
        print(json.dumps(error.to_dict()), flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
