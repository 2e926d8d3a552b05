"""One-row requests per core-second, ours and the peers', in one run: ``python benchmarks/serving/run.py [PEER...]``.

Twenty raw columns with gaps, imputed and one-hot encoded to 94 numbers, LightGBM with 200 trees of 31 leaves
(``hot_path.py`` makes it). Each server alone on one core with everything it needs on (ours: tokens, log, metrics,
declared columns), wrk on the other; 32 connections, 1,000 distinct bodies, a warm-up, the median of three. A peer runs
in an environment of its own, made once beside this file's cache. Values under load are compared with the pipeline's;
an answer that is not 200, or a wrong value, voids the row. The order is: constant answer, ours, peers, ours again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
CACHE = Path(os.environ.get("AMBIDEX_BENCH_CACHE", Path.home() / ".cache" / "ambidex-bench"))
NEEDS = {"fastapi": ["fastapi", "uvicorn[standard]"], "litserve": ["litserve"]}
BODIES = 1_000
PORT = 18_500
LUA = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
if os.getenv("TOKEN") then wrk.headers["Authorization"] = "Bearer " .. os.getenv("TOKEN") end
request = function()
  n = n % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[n])
end
"""


def main() -> None:
    """Build, serve one after the other, press, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peers", nargs="*", default=["fastapi"], help=f"of {', '.join(NEEDS)}; none: only ours")
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--alone", action="store_true", help="no peers")
    said = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        task = build(folder)
        os.sched_setaffinity(0, {cores[0]})
        ours = ["-m", "ambidex.cli", "-C", str(folder / "ws"), "serve", "task", "--port"]
        rows: list[dict[str, Any]] = []
        with serving([sys.executable, *ours, str(PORT)], cores[-1], PORT) as pid:
            rows.append(press("constant answer", pid, said.seconds, folder, "GET", "/v2/health/live", task))
            rows.append(press("ambidex", pid, said.seconds, folder, "POST", "/predict/task", task))
            rows.append(press("ambidex, 1,000 rows", pid, said.seconds, folder, "MANY", "/predict/task", task))
        for peer in [] if said.alone else said.peers:
            python = environment(peer)
            command = [str(python), str(HERE / "peers.py"), peer, str(PORT + 1), str(folder)]
            with serving(command, cores[-1], PORT + 1) as pid:
                rows.append(press(peer, pid, said.seconds, folder, "POST", "/predict/task", task, port=PORT + 1))
                rows.append(
                    press(f"{peer}, 1,000 rows", pid, said.seconds, folder, "MANY", "/predict/task", task, PORT + 1)
                )
        with serving([sys.executable, *ours, str(PORT)], cores[-1], PORT) as pid:
            rows.append(press("ambidex again", pid, said.seconds, folder, "POST", "/predict/task", task))
    shown(rows)
    print(json.dumps(rows))


def build(folder: Path) -> dict[str, Any]:
    """The pipeline, a workspace in which it is live, bodies, and what the pipeline says of them."""
    import joblib
    from hot_path import fitted, table

    import ambidex as amb

    frame, y = table()
    pipe = fitted(frame, y)
    joblib.dump(pipe, folder / "pipe.joblib")
    labelled = frame.assign(id=range(len(frame)), y=[int(v) for v in y])
    ws = folder / "ws"
    amb.init(ws)
    labelled.to_parquet(ws / "data" / "task.parquet")
    amb.package(pipe, name="task", table=str(ws / "data" / "task.parquet"), target="y", positive="1", key="id", at=ws)
    amb.promote("task@1", to="live", at=ws)
    os.environ["TOKEN"] = amb.token("new", "bench", role="caller", at=ws).data["token"]
    shown = amb.models("show", "task@1", at=ws).data
    print(f"runtime: {shown['runtime']} {shown.get('runtime_reason') or ''}")
    some = frame.sample(BODIES, random_state=1)
    records = json.loads(some.to_json(orient="records"))
    (folder / "one.txt").write_text("\n".join(json.dumps({"rows": [r]}) for r in records))
    many = json.loads(frame.head(20_000).to_json(orient="records"))
    (folder / "many.txt").write_text(
        "\n".join(json.dumps({"rows": many[i : i + 1000]}) for i in range(0, 20_000, 1000))
    )
    return {"records": records, "truth": pipe.predict_proba(some)[:, 1].tolist()}


def environment(peer: str) -> Path:
    """A virtual environment with the peer and the pipeline's libraries, made once."""
    place = CACHE / peer
    python = place / "bin" / "python"
    if not (place / "done").exists():
        import lightgbm
        import pandas
        import sklearn

        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        same = [
            f"scikit-learn=={sklearn.__version__}",
            f"lightgbm=={lightgbm.__version__}",
            f"pandas=={pandas.__version__}",
        ]
        subprocess.run([str(python), "-m", "pip", "install", "-q", *same, *NEEDS[peer]], check=True)
        (place / "done").touch()
    return python


@contextmanager
def serving(command: list[str], core: int, port: int) -> Iterator[int]:
    """A server on one core; its process."""
    home = tempfile.mkdtemp()
    child = subprocess.Popen(
        ["taskset", "-c", str(core), *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True, env={**os.environ, "HOME": home, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    try:
        end = time.monotonic() + 90
        while time.monotonic() < end:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/health/live", timeout=2)
            except urllib.error.HTTPError:
                break
            except OSError:
                time.sleep(0.1)
                continue
            break
        else:
            sys.exit(f"{command[1]} did not come up")
        yield child.pid
    finally:
        os.killpg(child.pid, signal.SIGTERM)
        time.sleep(1)
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def press(
    name: str, pid: int, seconds: float, folder: Path, how: str, path: str, task: dict[str, Any], port: int = PORT
) -> dict[str, Any]:
    """Three runs of wrk and what they cost the server; the median."""
    url = f"http://127.0.0.1:{port}{path}"
    script = folder / "post.lua"
    script.write_text(LUA)
    environment = {**os.environ, "BODIES": str(folder / ("many.txt" if how == "MANY" else "one.txt"))}
    wrk = ["wrk", "-t1", "-c4" if how == "MANY" else "-c32", "--latency"] + (
        [] if how == "GET" else ["-s", str(script)]
    )
    subprocess.run([*wrk, "-d1s", url], env=environment, capture_output=True, check=True)
    runs = []
    for _ in range(3):
        before = cpu(pid)
        done = subprocess.run(
            [*wrk, f"-d{seconds:.0f}s", url], env=environment, capture_output=True, text=True, check=True
        )
        spent = cpu(pid) - before
        asked = int(re.search(r"(\d+) requests in", done.stdout)[1])  # type: ignore[index]
        wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
        p99 = re.search(r"99%\s+(\S+)", done.stdout)
        runs.append((asked / spent, asked / seconds, int(wrong[1]) if wrong else 0, p99[1] if p99 else ""))
    rates = [r[0] for r in runs]
    said = {
        "name": name, "per_core": statistics.median(rates), "spread": max(rates) / min(rates) - 1,
        "rate": statistics.median(r[1] for r in runs), "refused": sum(r[2] for r in runs), "p99": runs[-1][3],
        "rss_mb": memory(pid),
    }  # fmt: skip
    if how == "MANY":
        said["per_core"] *= 1000
    if how == "POST":
        said["largest_difference"] = compared(url, task)
    return said


def compared(url: str, task: dict[str, Any]) -> float:
    """Largest difference of a probability from the pipeline's, over all bodies."""
    most = 0.0
    head = {"Content-Type": "application/json", "Authorization": f"Bearer {os.environ.get('TOKEN', '')}"}
    for row, truth in zip(task["records"], task["truth"], strict=True):
        request = urllib.request.Request(url, json.dumps({"rows": [row]}).encode(), head)
        most = max(most, abs(json.load(urllib.request.urlopen(request))["probabilities"][0][1] - truth))
    return most


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = [pid]
    for one in found:
        found += [p for p, parent in parents.items() if parent == one and p not in found]
    return found


def cpu(pid: int) -> float:
    """CPU seconds of a family."""
    total = 0
    for one in family(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def memory(pid: int) -> float:
    """Resident megabytes of a family."""
    pages = 0
    for one in family(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def shown(rows: list[dict[str, Any]]) -> None:
    """The table."""
    top = next(r["per_core"] for r in rows if r["name"] == "constant answer")
    ours = {key: next(r["per_core"] for r in rows if r["name"] == key) for key in ("ambidex", "ambidex, 1,000 rows")}
    print(
        f"{'':<24}{'per core-s':>12}{'spread':>8}{'ours is':>10}{'of const':>10}{'p99':>10}{'RSS MB':>8}{'error':>12}"
    )
    for r in rows:
        many = "1,000 rows" in r["name"]
        times = ours["ambidex, 1,000 rows" if many else "ambidex"] / r["per_core"]
        gap = f"{r['largest_difference']:.1e}" if "largest_difference" in r else ""
        void = "  VOID" if r["refused"] else ""
        share = "" if many else f"{100 * r['per_core'] / top:.1f}%"
        print(f"{r['name']:<24}{r['per_core']:>12,.0f}{100 * r['spread']:>7.0f}%{times:>9.1f}×{share:>10}{r['p99']:>10}"
              f"{r['rss_mb']:>8.0f}{gap:>12}{void}")  # fmt: skip


if __name__ == "__main__":
    main()
