"""What a page of the dashboard costs: CPU and bytes, with many versions and a long prediction log beside it.

    python benchmarks/dashboard.py [--versions 10000] [--rows 10000000] [--models 30] [--keep FOLDER]

Makes a workspace: models with that many versions among them, each registered and judged, answers, a day of minutes of
two workers, a monitor's page, and a prediction log of that many rows; then starts ``ambidex ui`` in a process of its
own and asks for each page. The same with a hundredth of both is measured in the same run: the ratio says whether a
page scans. CPU is that of the server's process, read from the system before and after the requests.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

LIMIT_MS, LIMIT_KB = 300.0, 150.0
TURNS = 5


def make(folder: Path, *, versions: int, rows: int, models: int) -> None:
    """The workspace."""
    from ambidex.records import GateResult, Judgement, digest
    from ambidex.workspace import create
    from ui import rooms

    place = create(folder)
    names = [f"model-{i:02d}" for i in range(models)]
    rooms.settings(folder, names)
    store = place.store
    gate = [
        GateResult(
            name=f"gate-{i}", outcome="supported", because="0 counted, limit 1", value=0.0, low=0.0, high=0.0, limit=1
        )
        for i in range(5)
    ]
    began = time.perf_counter()
    # One transaction for all of them: 20,000 with a sync each would take minutes and say nothing about pages.
    with store._writing() as connection:
        for i in range(versions):
            name, number = names[i % models], i // models + 1
            body = {
                "digest": digest(str(i).encode()),
                "data": "f00d" * 4,
                "code": "c0de" * 4,
                "key": f"run-{i}",
                "summary": {"metric": "auc", "value": 0.8, "low": 0.79, "high": 0.81, "rows": 7043},
            }
            store._append(connection, "register", name, number, body)
            judged = Judgement(
                model=name,
                version=number,
                digest=body["digest"],
                against=None,
                gates=tuple(gate),
                config="g1",
                data=body["data"],
                at=place.clock().isoformat(),
            )
            store._append(connection, "judge", name, number, judged.to_json())
    for name in names:
        state = store.model(name)
        for number in (max(1, state.versions - 1), state.versions):
            judged = store.judgement(name, number)
            judged = Judgement.from_json({**judged.to_json(), "against": store.model(name).live})
            store.record_judgement(judged)
            store.move(
                model=name,
                to="live",
                version=number,
                expected_revision=store.model(name).revision,
                verb="promote",
                judgement=judged,
                max_age_s=1e6,
                because="5 of 5 gates supported",
            )
        rooms.watched(place, name, state.versions, page=name == names[0], quiet=name != names[0])
    for i in range(200):
        store.record_answer(
            {
                "verb": "drivers",
                "question": f"Question {i}?",
                "headline": f"Finding {i}.",
                "strength": "some",
                "recommendation": {"verdict": "act", "text": "Do."},
                "record": {"command": f"c {i}"},
                "tables": {"t": [{"column": f"c{j}", "value": j} for j in range(300)]},
            }
        )
    minutes(place, names)
    log(place, names[0], rows)
    print(
        f"  made in {time.perf_counter() - began:.0f} s: {store.latest(limit=1)[0].seq:,} events, "
        f"{sum(f.stat().st_size for f in folder.rglob('*') if f.is_file()) / 1e6:,.0f} MB"
    )
    store.close()


def minutes(place, names: list[str]) -> None:
    """A day of minutes of two workers."""
    from ambidex.data.run_folder import BOUNDS, STAGES, append_minute

    folder = place.hidden / "run"
    folder.mkdir()
    rng = random.Random(0)
    last = int(time.time()) // 60 - 1
    counts = [500, 80, 10, 3, 1, *[0] * (len(BOUNDS) - 4)]
    for back in range(1440, 0, -1):
        said = []
        for name in names:
            for worker in (0, 1):
                n = rng.randint(500, 700)
                one = {
                    "model": name,
                    "version": 1,
                    "worker": worker,
                    "requests": n,
                    "rows": n,
                    "failed": 0,
                    "refused": 0,
                    "shed": 0,
                    "total": [n * 0.001, *counts[:5]],
                }
                said.append({**one, **{s: [n * 0.0001, n] for s in STAGES}})
        append_minute(folder, (last - back) * 60, said, [])


def log(place, name: str, rows: int) -> None:
    """A prediction log of that many rows; pages must not read it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import parquet

    folder = place.log_folder / name
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    piece = 1_000_000
    for i in range(0, rows, piece):
        n = min(piece, rows - i)
        ids = pc.utf8_lpad(pa.array(np.arange(i, i + n)).cast("string"), 27, "0")
        cells = {f"n:c{k}": rng.normal(size=n).astype("float32") for k in range(5)}
        numbers = {"pos": np.arange(i, i + n), "version": np.ones(n, dtype="int32"), "p": rng.random(n)}
        table = pa.table({**numbers, "id": ids, **cells})
        parquet.write_table(table, folder / f"segment-{i // piece:06d}.parquet", compression="zstd")


PAGES = (
    "/",
    "/?window=24h",
    "/insights",
    "/insights?page=3",
    "/models",
    "/models/model-00",
    "/models/model-00?page=3",
    "/models/model-00/2",
    "/serving",
    "/serving?window=24h",
    "/drift?model=model-00",
    "/next",
    "/investigate/model-00",
    "/models/model-00/rollback",
)


def cpu(pid: int) -> float:
    """CPU seconds of a process and all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path) -> dict[str, tuple[float, float, int]]:
    """Milliseconds of CPU of each page, the first time and in the mean of the next, and its bytes."""
    command = [sys.executable, "-m", "ambidex.cli", "-C", str(folder), "ui", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment)
    base = process.stdout.readline().strip()
    found = {"(start)": (1000 * cpu(process.pid), 0.0, 0)}

    def ask(path: str) -> int:
        with urllib.request.urlopen(base + path, timeout=120) as answer:
            return len(answer.read())

    try:
        # The reading of the next step runs beside the pages: it is paid here, so that no page carries it.
        before = cpu(process.pid)
        ask("/next")
        while "is being read" in urllib.request.urlopen(base + "/next").read().decode():
            time.sleep(0.2)
        found["(next step, read beside the pages)"] = (1000 * (cpu(process.pid) - before), 0.0, 0)
        for path in PAGES:
            before = cpu(process.pid)
            size = ask(path)
            first = cpu(process.pid) - before
            before = cpu(process.pid)
            for _ in range(TURNS):
                time.sleep(1.05)  # the server's figures are looked at again after a second
                ask(path)
            found[path] = (1000 * first, 1000 * (cpu(process.pid) - before) / TURNS, size)
        size = sum(ask(p) for p in ("/", "/assets/app.css", "/assets/app.js", "/assets/icon.svg"))
        found["(cold load)"] = (0.0, 0.0, size)
    finally:
        process.terminate()
        process.wait(20)
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--keep", type=Path)
    said = parser.parse_args()
    base = said.keep or Path(tempfile.mkdtemp(prefix="ambidex-dashboard-"))
    try:
        seen = []
        for part in (100, 1):
            versions, rows = max(said.models * 2, said.versions // part), said.rows // part
            print(f"{versions:,} versions, {rows:,} rows in the log")
            folder = base / f"w{part}"
            if not folder.exists():
                make(folder, versions=versions, rows=rows, models=said.models)
            seen.append(measure(folder))
        small, large = seen
        print(f"\n{'page':<38}{'CPU first':>12}{'CPU after':>12}{'a hundredth':>13}{'ratio':>8}{'KB':>8}")
        worst = 0.0
        for name, (first, after, size) in large.items():
            before = small[name][1]
            ratio = f"{after / before:>8.2f}" if before else f"{'':>8}"
            print(f"{name:<38}{first:>9.0f} ms{after:>9.0f} ms{before:>10.0f} ms{ratio}{size / 1024:>8.1f}")
            if not name.startswith(("(", "/investigate")):  # that page asks the verb, which reads and compares
                worst = max(worst, first, after)
        cold = large["(cold load)"][2] / 1024
        print(
            f"\nworst page {worst:.0f} ms CPU of {LIMIT_MS:.0f} ({worst / LIMIT_MS:.2f} x); cold load {cold:.0f} KB of "
            f"{LIMIT_KB:.0f} ({cold / LIMIT_KB:.2f} x)"
        )
    finally:
        if said.keep is None:
            shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
