"""Workspaces to look at: nothing yet, one model, many models, an incident; and the dashboard as a process on them."""

from __future__ import annotations

import http.client
import json
import random
import signal
import subprocess
import sys
import urllib.parse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ambidex.data.run_folder import BOUNDS, STAGES, append_minute, write_snapshot
from ambidex.records import GateResult, Judgement, digest
from ambidex.testing import HandClock
from ambidex.workspace import Workspace, create

WEEK_S = 7 * 86400.0


def now() -> datetime:
    """The time, to the second."""
    return datetime.now(UTC).replace(microsecond=0)


def settings(folder: Path, models: list[str], extra: str = "") -> None:
    """ambidex.toml with a promised answer time for the first model."""
    lines = ['name = "telco-churn"', extra]
    for i, name in enumerate(models):
        lines += [f"[models.{name}]", 'data = "data/rows.csv"', 'target = "left"']
        lines += [f"[models.{name}.limits]", "latency_ms = 25"] if i == 0 else []
    (folder / "ambidex.toml").write_text("\n".join(lines) + "\n")


def version(place: Workspace, model: str, *, value: float, outcome: str = "supported", live: bool = False) -> int:
    """A version with its verdicts; live if it is said and they are good."""
    store = place.store
    number = store.register(
        model=model,
        digest=digest(f"{model}{value}{outcome}".encode()),
        data="f00dfeed00000001",
        code="c0de",
        key=f"{model}-{value}-{random.random()}",
        summary={"metric": "auc", "value": value, "low": value - 0.01, "high": value + 0.01, "rows": 7043},
    ).number
    state = store.model(model)
    gates = (
        GateResult(
            name="golden-rows",
            outcome="supported",
            because="golden rows that come out otherwise: 0 counted",
            value=0.0,
            low=0.0,
            high=0.0,
            limit=1,
        ),
        GateResult(
            name="not-worse-than-live",
            outcome=outcome,
            because="loss against the live version: −0.004 (−0.007 to −0.001)",
            value=-0.004,
            low=-0.007,
            high=-0.001,
            limit=0.005,
        ),
    )
    judged = Judgement(
        model=model,
        version=number,
        digest=store.version(model, number).digest,
        against=state.live,
        gates=gates,
        config="g1",
        data="f00dfeed00000001",
        at=place.clock().isoformat(),
    )
    store.record_judgement(judged)
    if live:
        store.move(
            model=model,
            to="live",
            version=number,
            expected_revision=store.model(model).revision,
            verb="promote",
            judgement=judged,
            max_age_s=WEEK_S,
            because="2 of 2 gates supported",
        )
    return number


def minutes(
    place: Workspace,
    model: str,
    number: int,
    *,
    count: int = 60,
    slow_from: int | None = None,
    rate: int = 600,
    index: int = 0,
) -> None:
    """Minutes up to now as a worker writes them; ``features`` becomes slow so many minutes ago."""
    folder = place.hidden / "run"
    folder.mkdir(exist_ok=True)
    rng = random.Random(1)
    last = int(now().timestamp()) // 60 - 1
    for back in range(count, 0, -1):
        slow = slow_from is not None and back <= slow_from
        requests = max(1, round(rate * rng.uniform(0.9, 1.1)))
        middle = 5 if not slow else 7
        counts = [0] * (len(BOUNDS) + 1)
        for bucket, part in (
            (middle - 1, 0.55),
            (middle, 0.35),
            (middle + 1, 0.08),
            (middle + (2 if slow else 1), 0.02),
        ):
            counts[bucket] += max(0, round(requests * part))
        counts[middle] += requests - sum(counts)
        seconds = requests * 0.004
        said: dict[str, Any] = {
            "model": model,
            "version": number,
            "worker": index,
            "requests": requests,
            "rows": requests * 3,
            "failed": 0,
            "refused": 1,
            "shed": 0,
            "total": [seconds, *counts],
        }
        for stage in STAGES:
            part = {"features": 0.86 if slow else 0.3, "predict": 0.4}.get(stage, 0.05)
            said[stage] = [seconds * part, *counts]
        append_minute(folder, (last - back + 1) * 60, [said], [])
    write_snapshot(
        folder,
        {
            "pid": _runs(),
            "server": _runs(),
            "index": index,
            "at": now().timestamp(),
            "started": now().timestamp() - 7200,
            "rss": 48_000_000,
            "refs": [f"{model}@{number}"],
            "in_flight": 1,
            "connections": 12,
            "unlogged": {},
            "versions": [],
        },
    )


def _runs() -> int:
    """A process that lives as long as the test."""
    import os

    return os.getpid()


COLUMNS = [
    (
        "contract",
        "drifted",
        "outside",
        0.25,
        0.22,
        0.28,
        "month-to-month 55% → 80%",
        ["month", "one year", "two years", "missing"],
        [0.55, 0.21, 0.24, 0.0],
        [0.8, 0.1, 0.1, 0.0],
    ),
    (
        "monthly_charges",
        "drifted",
        "outside",
        0.09,
        0.06,
        0.12,
        "median 70 → 78",
        [f"c{i}" for i in range(16)],
        [1 / 16] * 16,
        [max(0.01, (i - 2) / 100) for i in range(16)],
    ),
    (
        "tenure",
        "",
        "inside",
        0.004,
        -0.01,
        0.015,
        "no clear change",
        [f"c{i}" for i in range(16)],
        [1 / 16] * 16,
        [1 / 16] * 16,
    ),
    (
        "support_calls",
        "",
        "open",
        0.01,
        -0.02,
        0.04,
        "no clear change",
        ["0", "1", "2+"],
        [0.6, 0.3, 0.1],
        [0.58, 0.31, 0.11],
    ),
    ("(prediction)", "", "inside", 0.002, -0.01, 0.01, "no clear change", ["low", "high"], [0.7, 0.3], [0.7, 0.3]),
]


def watched(
    place: Workspace, model: str, number: int, *, page: bool = False, quiet: bool = False, since: str = ""
) -> None:
    """What the watcher leaves for pages."""
    ago = (now() - timedelta(minutes=12)).isoformat().replace("+00:00", "Z")
    alerts: list[dict[str, Any]] = []
    if page:
        alerts.append(
            {
                "id": f"a{number}-1",
                "level": "page",
                "kind": "harm",
                "since": since or ago,
                "opened": ago,
                "version": number,
                "muted": None,
                "text": "error .291, at least .258; limit .247 = reference's upper .227 + tolerance .020; 2,140 labels",
            }
        )
    if not quiet:
        alerts.append(
            {
                "id": f"a{number}-2",
                "level": "info",
                "kind": "drift",
                "since": ago,
                "opened": ago,
                "version": number,
                "muted": None,
                "text": "outside ±.020: contract +.250, month-to-month 55% → 80%; "
                "monthly_charges +.090, median 70 → 78",
            }
        )
    columns = [
        {
            "name": name,
            "drifted": bool(moved) and not quiet,
            "outcome": "inside" if quiet else outcome,
            "size": size,
            "low": low,
            "high": high,
            "margin": 0.02,
            "p_value": None,
            "what": what,
            "cells": cells,
            "reference": reference,
            "live": live,
        }
        for name, moved, outcome, size, low, high, what, cells, reference, live in COLUMNS
    ]
    document = {
        "state": "page" if page else "info" if not quiet else "quiet",
        "text": alerts[0]["text"] if alerts else "quiet: nothing rang",
        "model": model,
        "version": number,
        "at": ago,
        "rows": 48_140,
        "columns": columns,
        "alerts": alerts,
        "closed": [],
        "loss": {
            "value": 0.291 if page else 0.2,
            "low": 0.258 if page else 0.19,
            "limit": 0.247,
            "n": 2140,
            "outcome": "supported" if page else "refuted",
        },
        "labels": {"matched": 2140, "coverage": 0.71, "lag_s": 518_400, "immature": 900},
        "score": None,
        "detectors": [{"name": "drift", "state": "armed", "why": ""}, {"name": "harm", "state": "armed", "why": ""}],
        "levels": [],
        "days": [],
        "history": [
            {
                "at": ago,
                "rows": 1000,
                "drifted": 0 if quiet or i < 30 else 1 if i < 45 else 2,
                "loss": 0.2 + (0.003 * i if page else 0.0),
                "loss_limit": 0.247,
            }
            for i in range(60)
        ],
    }
    place.store.put_document(f"watch-page/{model}", document)


def empty(folder: Path) -> Workspace:
    return create(folder)


def one_model(
    folder: Path, *, page: bool = False, quiet: bool = False, serve: bool = True, extra: str = ""
) -> Workspace:
    """churn with four versions: @2 live before @3, one refused, the newest ready."""
    clock = HandClock(now() - timedelta(days=9))
    place = create(folder, clock=clock)
    settings(folder, ["churn"], extra)
    version(place, "churn", value=0.831, live=True)
    clock.advance(6 * 86400)
    version(place, "churn", value=0.838, live=True)
    clock.now = now() - timedelta(minutes=18)
    version(place, "churn", value=0.842, live=True)
    clock.now = now() - timedelta(minutes=5)
    version(place, "churn", value=0.80, outcome="refuted")
    version(place, "churn", value=0.851)
    if serve:
        minutes(place, "churn", 3, slow_from=14 if page else None)
    watched(place, "churn", 3, page=page, quiet=quiet)
    answers(place)
    return place


def many_models(folder: Path, count: int = 30) -> Workspace:
    place = create(folder)
    names = [f"model-{i:02d}" for i in range(count)]
    settings(folder, names)
    for i, name in enumerate(names):
        for _ in range(2 if i % 3 else 1):
            version(place, name, value=round(0.7 + i / 200, 3), live=i % 5 != 4)
        watched(place, name, 1, page=i == 7, quiet=i != 7 and i != 11)
    return place


def answers(place: Workspace) -> None:
    """Two answers, one with words that a careless page would run."""
    hostile = '<script>alert("x")</script> =HYPERLINK("http://e.example") {{7*7}}'
    for headline, verb in (
        ("Contract goes most with churn: 43% month-to-month, 3% two years.", "drivers"),
        (hostile, "experiment"),
    ):
        place.store.record_answer(
            {
                "verb": verb,
                "question": "What goes with churn?",
                "headline": headline,
                "strength": "strong",
                "recommendation": {"verdict": "act", "text": "Offer a year."},
                "record": {"command": f"ambidex {verb}"},
                "estimates": [{"name": "=1+1", "kind": "difference", "value": -0.2, "low": -0.3, "high": -0.1}],
                "verdicts": [],
                "checks": [],
                "cautions": [],
                "findings": [],
                "tables": {},
                "numbers": [],
            }
        )


class shown:
    """``ambidex ui`` on a workspace, until the block ends.

    Attributes:
        base: Its address.
    """

    def __init__(self, folder: Path, *words: str) -> None:
        command = [sys.executable, "-m", "ambidex.cli", "-C", str(folder), "ui", "--port", "0", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.base = ""

    def __enter__(self) -> shown:
        assert self.process.stdout is not None and self.process.stderr is not None
        self.base = self.process.stdout.readline().strip()
        assert self.base.startswith("http://"), self.process.stderr.read()
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=15)
        finally:
            for stream in (self.process.stdout, self.process.stderr):
                if stream is not None:
                    stream.close()

    def ask(
        self, path: str, *, method: str = "GET", form: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], str]:
        """Status, headers (lower case) and text; redirections are not followed."""
        host = self.base.partition("//")[2]
        connection = http.client.HTTPConnection(host, timeout=60)
        body = None if form is None else urllib.parse.urlencode(form)
        said = {k.replace("_", "-"): v for k, v in headers.items()}
        if body is not None:
            said.setdefault("Content-Type", "application/x-www-form-urlencoded")
        try:
            connection.request(method, path, body, said)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
        finally:
            connection.close()

    def json(self, path: str, **headers: str) -> Any:
        status, _, text = self.ask(path, **headers)
        assert status == 200, text
        return json.loads(text)["data"]
