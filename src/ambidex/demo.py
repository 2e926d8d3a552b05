"""``ambidex demo``: the whole road on real data, one timed line a step.

Each step is the verb that a user would type; a line is printed when the step has happened.
"""

from __future__ import annotations

import http.client
import importlib.util
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from ambidex.errors import EnvironmentProblem, MissingExtra, NotFound
from ambidex.report.answer import Answer, Mark, Result
from ambidex.report.words import count, share
from ambidex.workspace import create

__all__ = ["run"]

MODEL = "quiet"
FOLLOW_SECONDS = 10.0
RAND_NOTES = (
    (
        "repeated-people",
        "rows are person-years and no column names the person, so the interval takes them for independent "
        "and is too narrow",
    ),
    (
        "free-care-mixed",
        "0% coinsurance includes the individual-deductible plan (4,175 of 10,997 rows), which was not always free",
    ),
)
Say = Callable[[str, str, str, float | None], None]


@dataclass
class Story:
    """What the demo is about.

    Attributes:
        title: The data in a phrase.
        question: What is asked of it.
        name: Model's name.
        target: Outcome column.
        positive: Label that counts as yes, if it must be named.
        table: Gives the table to ask, as it is now.
        key: Column that names a row's unit, for labels that come later.
        arrive: Puts the new data where the model finds it; returns (what arrived, a file to score).
        trial: A randomised trial to conclude, if the data has one.
        caveats: What must be said of the data.
    """

    title: str
    question: str
    name: str
    target: str
    positive: str | None
    table: Callable[[], Any]
    arrive: Callable[[], tuple[str, Path]]
    key: str | None = None
    trial: Callable[[], Answer] | None = None
    caveats: tuple[str, ...] = ()


@dataclass
class Road:
    """Times and keeps the steps; prints each when it is done.

    Attributes:
        say: Prints (mark, name, text, seconds).
        steps: What was done.
    """

    say: Say
    steps: list[dict[str, Any]] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Callable[..., None]]:
        """One step; the body calls what it is given with the text of the line."""
        began = time.perf_counter()
        said: list[tuple[str, str]] = []
        yield lambda text, mark="✓": said.append((mark, text))
        seconds = time.perf_counter() - began
        for i, (mark, text) in enumerate(said):
            spent = seconds if i == 0 else None
            self.steps.append(
                {"step": name, "mark": mark, "text": text, "seconds": None if spent is None else round(spent, 2)}
            )
            self.say(mark, name if i == 0 else "", text, spent)


def run(verbs: ModuleType, table: Any, *, target: str | None, folder: Path, say: Say | None = None) -> Result:
    """Walk the road in a new folder.

    Args:
        verbs: The main road, whose functions are walked.
        table: The user's own table, or None for the real data of the extra ``demo``.
        target: Its outcome column.
        folder: Where everything goes; a demo that lies there is replaced.
        say: Called for each line as it happens.

    Raises:
        EnvironmentProblem: ``env.not-empty`` if the folder holds something that is no demo.
    """
    began = time.perf_counter()
    road = Road(say or (lambda *_: None))
    story = _orders(verbs, folder) if table is None else _own(table, target, folder)
    _walk(verbs, story, folder, road)
    spent = time.perf_counter() - began
    shown = os.path.relpath(folder)
    shown = shown if shown.startswith("..") else f"./{shown}"
    lines: list[tuple[Mark, str]] = [("✓", f"Done in {spent:.0f} s. Everything is in {shown}")]
    lines += [("▲", caveat) for caveat in story.caveats]
    return Result(
        verb="demo",
        data={"folder": str(folder.resolve()), "steps": road.steps, "seconds": round(spent, 1), "model": story.name},
        lines=tuple(lines),
        next=(
            f"ambidex -C {shown} next",
            f"ambidex -C {shown} models log {story.name}",
            "ambidex init my-project",
        ),
    )


def _walk(verbs: ModuleType, story: Story, folder: Path, road: Road) -> None:
    name, at = story.name, folder
    with road.step("data") as line:
        source = story.table()
        line(f"{story.title}: {count(source.rows)} rows, {len(source.columns)} columns")
    with road.step("question") as line:
        line(story.question)
    with road.step("answer") as line:
        answer = verbs.drivers(source, target=story.target, positive=story.positive, at=at)
        line(answer.headline)
        for caution in answer.cautions[:2]:
            line(caution.text, mark="▲")
    trial = None
    if story.trial is not None:
        with road.step("experiment") as line:
            trial = story.trial()
            line(trial.headline)
            for text in [c.text for c in trial.cautions if c.code in dict(RAND_NOTES)][:1]:
                line(text, mark="▲")
    with road.step("report") as line:
        pages = verbs.report(*[a.name for a in (answer, trial) if a is not None], at=at)
        page = Path(pages.files[0])
        line(f"{page.relative_to(folder.resolve())} ({page.stat().st_size / 1024:.0f} KB, opens offline, prints)")
    with road.step("package") as line:
        made = verbs.package(answer.name, name=name, at=at)
        line(f"{made.lines[0][1]}; equal on {count(made.equal)} of {count(made.of)} rows")
    with road.step("test") as line:
        line(*_tested(verbs.test(f"{name}@1", at=at)))
    with road.step("gate") as line:
        line(*_gate(verbs.gate(f"{name}@1", at=at)))
    with road.step("promote") as line:
        verbs.promote(f"{name}@1", to="live", at=at)
        line(f"{name}@1 is live")
    server = Server(folder, name)
    try:
        with road.step("serve") as line:
            server.start()
            golden = server.golden()
            answered, seconds = server.ask(golden, 1_000)
            line(
                f"http://127.0.0.1:{server.port}  {count(answered)} answers in {seconds:.1f} s, every id is in the log"
            )
        with road.step("score") as line:
            scored = verbs.score(name, source, out=folder / "scores.parquet", at=at)
            line(f"scores.parquet, {count(scored.rows)} rows by {name}@{scored.version}, mean score {scored.mean:.3g}")
        _new_data(verbs, story, folder, road, server, golden)
    finally:
        server.stop()
    with road.step("next") as line:
        advice = verbs.next(at=at)
        line(f"{advice.lines[0][1]}; {advice.why}", mark=advice.lines[0][0])
        line(f"first task: {advice.first_task['what']}, {advice.first_task['command']}", mark=" ")


def _new_data(
    verbs: ModuleType, story: Story, folder: Path, road: Road, server: Server, golden: list[dict[str, Any]]
) -> None:
    name, at = story.name, folder
    with road.step("new data") as line:
        what, arrived = story.arrive()
        line(what)
    with road.step("monitor") as line:
        verbs.score(name, arrived, out=folder / "scores-new.parquet", at=at)
        look = verbs.drift(name, arrived, at=at)
        moved = [c["name"] for c in look.columns if c["drifted"]]
        line(
            f"{len(moved)} of {len(look.columns)} inputs drifted ({', '.join(moved[:3])}{', …' * (len(moved) > 3)})"
            if moved else "no input drifted beyond its margin",
            mark="▲" if moved else "✓",
        )  # fmt: skip
        if story.key is not None:
            verbs.feedback(name, arrived, id=story.key, label=story.target, at=at)
        seen = verbs.monitor(name, at=at)
        pages = [a for a in seen.alerts if a["level"] == "page"]
        line(pages[0]["text"] if pages else _loss_words(seen, story), mark="■" if pages else "✓")
        if (ranking := _ranking(arrived, folder / "scores-new.parquet", story)) is not None:
            line(ranking)
    with road.step("retrain") as line:
        step = verbs.retrain(name, at=at)
        line(step.lines[0][1], mark=step.lines[0][0])
    if step.version is None:
        return
    with road.step("test") as line:
        line(*_tested(verbs.test(f"{name}@{step.version}", at=at)))
    with road.step("gate") as line:
        judged = verbs.gate(f"{name}@{step.version}", at=at)
        line(*_gate(judged))
    if not judged.passed:
        return
    with road.step("promote") as line:
        verbs.promote(f"{name}@{step.version}", to="live", at=at)
        failed, waited = server.follow(golden, step.version)
        line(f"{name}@{step.version} is live, the server followed in {waited:.1f} s, {failed} requests failed")
    with road.step("rollback") as line:
        verbs.rollback(name, at=at)
        failed, waited = server.follow(golden, 1)
        line(f"back to {name}@1 in {waited:.1f} s, {failed} requests failed")
        verbs.promote(f"{name}@{step.version}", to="live", at=at)
        failed, _ = server.follow(golden, step.version)
        verbs.resume(name, at=at)
        line(f"judged again and forward to {name}@{step.version}, {failed} requests failed: the way back works")


def _tested(result: Result) -> tuple[str, str]:
    passed = sum(c["passed"] for c in result.contract)
    text = f"{result.model}@{result.version} passed {passed} of {len(result.contract)} contract checks"
    text += f"; ML test score {result.score:g} of 7"
    return text, "✓" if result.passed else "■"


def _gate(result: Result) -> tuple[str, str]:
    passed = sum(g["outcome"] == "supported" for g in result.gates)
    loss = result.gates[-1]
    figure = f"; {loss['name']} {loss['value']:+.4f} ({loss['low']:+.4f} to {loss['high']:+.4f})".replace("-0.", "−0.")
    text = f"{result.model}@{result.version} passed {passed} of {len(result.gates)} gates"
    return text + (figure if loss["low"] is not None else ""), "✓" if result.passed else "■"


def _loss_words(seen: Result, story: Story) -> str:
    if story.key is None:
        return "no key column, so no late labels were matched; quality is not known yet"
    loss = seen.data.get("loss") or {}
    if loss.get("value") is None:
        return "no label has been matched yet; quality is not known"
    return (
        f"the model did not get worse: loss {loss['value']:.3f} on {count(loss['n'])} labels, limit {loss['limit']:.3f}"
    )


def _ranking(arrived: Path, scores: Path, story: Story) -> str | None:
    """How well the new rows are ranked, now that their labels are known."""
    import numpy as np

    from ambidex.data.read import read
    from ambidex.stats.discrimination import delong

    if story.positive is None:
        return None
    labels = read(str(arrived)).text(story.target)
    y = np.fromiter((v == story.positive for v in labels), dtype=float, count=len(labels))
    scored = read(str(scores)).number(f"probability_{story.positive}")
    auc = delong(y, scored)
    return (
        f"it ranks the new rows with AUC {auc.value:.2f} ({auc.low:.2f} to {auc.high:.2f}), mean score "
        f"{share(float(scored.mean()))} against {share(float(y.mean()))}: inputs that drift and a model that got worse "
        "are two things"
    )


# ---------------------------------------------------------------- the server of the demo


class Server:
    """``ambidex serve`` as a process of its own, asked over a socket."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.port = _free_port()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it is ready."""
        command = [
            sys.executable,
            "-m",
            "ambidex.cli",
            "-C",
            str(self.folder),
            "serve",
            self.name,
            "--port",
            str(self.port),
        ]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                said = self.process.stderr.read().decode(errors="replace") if self.process.stderr else ""
                raise EnvironmentProblem("env.child", f"the server ended before it was ready: {said.strip()[-300:]}")
            try:
                if self._get("/v2/health/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise EnvironmentProblem("env.child", "the server was not ready within 20 s")

    def golden(self) -> list[dict[str, Any]]:
        """Rows that a client may send."""
        home = next_package(self.folder, self.name)
        rows: list[dict[str, Any]] = json.loads((home / "golden.json").read_text(encoding="utf-8"))["rows"]
        return rows

    def ask(self, rows: list[dict[str, Any]], times: int) -> tuple[int, float]:
        """Ask ``times`` times over one connection: answers, seconds."""
        began, answered = time.perf_counter(), 0
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        for i in range(times):
            status, body = self._post(connection, rows[i % len(rows)])
            answered += status == 200 and len(body["ids"]) == 1
        connection.close()
        return answered, time.perf_counter() - began

    def follow(self, rows: list[dict[str, Any]], version: int) -> tuple[int, float]:
        """Ask until the server answers with ``version``: failed requests, seconds."""
        began, failed = time.perf_counter(), 0
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        for i in itertools.count():
            if time.perf_counter() - began > FOLLOW_SECONDS:
                break
            status, body = self._post(connection, rows[i % len(rows)])
            failed += status != 200
            if status == 200 and body["version"] == version:
                connection.close()
                return failed, time.perf_counter() - began
            time.sleep(0.01)
        raise EnvironmentProblem(
            "env.child", f"the server did not follow to {self.name}@{version} within {FOLLOW_SECONDS:g} s"
        )

    def stop(self) -> None:
        """SIGTERM: drain and end."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=12)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.stderr is not None:
            self.process.stderr.close()

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _post(self, connection: http.client.HTTPConnection, row: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        connection.request(
            "POST", f"/predict/{self.name}", json.dumps({"rows": [row]}), {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        return response.status, json.loads(response.read())


def next_package(folder: Path, name: str) -> Path:
    """The folder of a written package's module."""
    from ambidex.delivery.package import module_name

    return folder / "packages" / name / "src" / module_name(name)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# ---------------------------------------------------------------- the stories


def _fresh(folder: Path) -> None:
    """A new workspace; an older demo there is replaced, anything else is left alone."""
    marker = folder / ".ambidex" / "demo"
    if folder.exists() and any(folder.iterdir()):
        if not marker.exists():
            raise EnvironmentProblem(
                "env.not-empty",
                f"{folder} holds something that is no demo",
                where=str(folder),
                do="ambidex demo --folder OTHER",
            )
        shutil.rmtree(folder)
    create(folder)
    marker.write_text("made by ambidex demo; it replaces this folder\n")


def _file_in_wheel(package: str, path: str) -> Path:
    """A data file inside an installed package, which is not imported."""
    spec = importlib.util.find_spec(package)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (Path(place) / path).is_file():
            return Path(place) / path
    raise MissingExtra(package, "demo", "the demo's real data")


def _orders(verbs: ModuleType, folder: Path) -> Story:
    """CDNOW: who has gone quiet?"""
    from ambidex.data.orders import customers_at
    from ambidex.data.read import read

    log = _file_in_wheel("lifetimes", "datasets/CDNOW_master.txt")
    trial_file = _file_in_wheel("statsmodels", "datasets/randhie/randhie.csv")
    _fresh(folder)
    rows = [line.split() for line in log.read_text().splitlines()[1:] if line.strip()]
    first_days = [r for r in rows if r[1] <= "19971229"]
    later_days = [r for r in rows if r[1] > "19971229"]
    _write_orders(folder / "data" / "orders-1997.csv", first_days)
    prepare: dict[str, Any] = {"unit": "customer_id", "time": "date", "value": "dollars", "horizon_days": 182}

    def customers() -> Any:
        return customers_at(read(str(folder / "data")), **prepare, target="quiet")

    def arrive() -> tuple[str, Path]:
        _write_orders(folder / "data" / "orders-1998.csv", later_days)
        newer = customers()
        from pyarrow import parquet

        path = folder / "customers-1997-12-30.parquet"
        parquet.write_table(newer.arrow, path)
        truth = sum(v == "yes" for v in newer.text("quiet")) / newer.rows
        return (
            f"{count(len(later_days))} orders of 1998: the same customers at the cut of 30 December, "
            f"{share(truth)} quiet",
            path,
        )

    def trial() -> Answer:
        answer: Answer = verbs.experiment(
            _randhie(trial_file, folder),
            group="plan",
            metric="doctor_visits:mean",
            control="95% coinsurance",
            shares="unknown",
            notes=RAND_NOTES,
            at=folder,
        )
        return answer

    return Story(
        title=f"CDNOW, {count(len(rows))} real purchases (1997), one row a customer at the cut of 30 June 1997",
        question="Who has gone quiet: no purchase in the next 182 days?",
        name=MODEL,
        target="quiet",
        positive="yes",
        key="customer_id",
        table=customers,
        arrive=arrive,
        trial=trial,
        caveats=(
            'CDNOW is one cohort of 1997, and "quiet" is our definition; 18 months leave no room for an embargo '
            "in time, so both versions are judged on the fifth of the customers that neither was trained on",
        ),
    )


def _write_orders(path: Path, rows: list[list[str]]) -> None:
    lines = ["customer_id,date,items,dollars"]
    lines += [f"{c},{d[:4]}-{d[4:6]}-{d[6:]},{n},{v}" for c, d, n, v in rows]
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(path)


def _randhie(source: Path, folder: Path) -> Path:
    """The RAND trial's two ends: free care, and 95% coinsurance (lncoins is log(coinsurance + 1))."""
    import csv
    import math

    ends = {0.0: "free care", math.log(96): "95% coinsurance"}
    path = folder / "data-rand.csv"
    with source.open(newline="") as file, path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["plan", "doctor_visits"])
        for row in csv.DictReader(file):
            for value, label in ends.items():
                if abs(float(row["lncoins"]) - value) < 1e-3:
                    writer.writerow([label, row["mdvis"]])
    return path


def _own(table: Any, target: str | None, folder: Path) -> Story:
    """The user's own table: its last fifth plays the new data."""
    from pyarrow import parquet

    from ambidex.data.read import read
    from ambidex.errors import UsageError

    if target is None:
        raise UsageError("usage.option", "the demo on your own table needs its outcome column", do="--target COL")
    source = read(table)
    source.require(target)
    _fresh(folder)
    order = _by_time(source)
    cut = source.rows - source.rows // 5
    first, later = source.take(order[:cut]), source.take(order[cut:])
    if later.rows < 2:
        raise NotFound("data.too-few-rows", f"{source.rows} rows are too few for the whole road", where=source.name)
    parquet.write_table(first.arrow, folder / "data" / "part-1.parquet")
    ids = [n for n in source.columns if source.facts(n).role == "id"]

    def arrive() -> tuple[str, Path]:
        path = folder / "new.parquet"
        parquet.write_table(later.arrow, path)
        shutil.copyfile(path, folder / "data" / "part-2.parquet")
        return f"the last fifth of the rows, {count(later.rows)}", path

    return Story(
        title=source.name,
        question=f"What goes with {target}?",
        name="demo",
        target=target,
        positive=None,
        key=ids[0] if len(ids) == 1 else None,
        table=lambda: read(str(folder / "data")),
        arrive=arrive,
    )


def _by_time(source: Any) -> Any:
    """Rows in the order of the table's own time column, if it has one; else as they stand."""
    import numpy as np

    times = [n for n in source.columns if source.facts(n).type == "time"]
    if not times:
        return np.arange(source.rows)
    return np.argsort(source.times(times[0]).values, kind="stable")
