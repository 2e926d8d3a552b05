"""More requests than the server can answer: ``python benchmarks/serving_overload.py [--seconds 10]``.

One worker on one core, the caller on another. Capacity first (wrk, 128 connections), then an open loop: requests leave
when they are due, whether or not others were answered, and an answer's time counts from when its request was due.
1.5 times the capacity of a compiled model, 4 times that of a fallback; then 500 callers that never finish a request.
Printed: goodput as a share of the capacity of the same run, the times of accepted answers, what was refused, what was
never answered, memory. Above 1.5 times its capacity a compiled model's sockets are not read, so callers wait: times at
4 times say nothing of the server, only goodput does.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS = 3_000
BODIES = 1_000
PORT = 18_377
STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
LUA = """
local bodies = {}
for line in io.lines(os.getenv("BODIES")) do bodies[#bodies + 1] = line end
local n = 0
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
request = function()
  n = n % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[n])
end
"""


def main() -> None:
    """Build, serve, press, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--connections", type=int, default=256)
    said = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("wrk is not installed")
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[0]})  # the caller; the server gets the other one
    with tempfile.TemporaryDirectory() as folder:
        bodies = build(Path(folder))
        (Path(folder) / "bodies").write_text("\n".join(b.decode() for b in bodies))
        (Path(folder) / "wrk.lua").write_text(LUA)
        print("| model | capacity/s | offered | sent/s | good/s | of it | p50, p99 ms | refused | lost | RSS + MiB |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for model, times in (("fast", 1.5), ("fast", 4.0), ("slow", 4.0)):
            with server(Path(folder), cores[-1]) as pid:
                press(Path(folder), model, times, bodies, pid, said.seconds, said.connections)
        with server(Path(folder), cores[-1]) as pid:
            slow_callers(bodies)


def build(folder: Path) -> list[bytes]:
    """A workspace with one compiled model and one that falls back; request bodies of their rows."""
    import numpy as np
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.naive_bayes import GaussianNB
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    import ambidex as amb

    rng = np.random.default_rng(0)
    numbers = {f"x{i}": rng.normal(size=ROWS).round(4) for i in range(12)}
    words = {f"c{i}": rng.choice([f"l{k}" for k in range(9)], ROWS) for i in range(8)}
    frame = pd.DataFrame(numbers | words)
    frame.loc[::13, "x0"] = np.nan
    left = np.where(frame.x1 + frame.x2 * (frame.c0 == "l1") + rng.normal(size=ROWS) > 0, "yes", "no")
    encode = ColumnTransformer(
        [("n", SimpleImputer(), list(numbers)), ("c", OneHotEncoder(sparse_output=False), list(words))]
    )
    table = frame.assign(left=left)
    amb.init(folder / "w")
    table.to_csv(folder / "w" / "data" / "left.csv", index=False)
    trees = HistGradientBoostingClassifier(max_iter=200, early_stopping=False)
    for name, model in (("fast", trees), ("slow", GaussianNB())):
        fitted = make_pipeline(encode, model).fit(frame, left)
        amb.package(fitted, name=name, table=folder / "w" / "data" / "left.csv", target="left", at=folder / "w")
        shown = amb.models("show", f"{name}@1", at=folder / "w").data
        print(f"{name}: {shown.get('runtime')} ({shown.get('reason') or shown.get('runtime_reason')})", file=sys.stderr)
        amb.gate(f"{name}@1", at=folder / "w")
        amb.promote(f"{name}@1", to="live", at=folder / "w")
    rows = json.loads(frame.head(BODIES).to_json(orient="records"))
    return [json.dumps({"rows": [r]}).encode() for r in rows]


@contextlib.contextmanager
def server(folder: Path, core: int) -> Iterator[int]:
    """``ambidex serve`` on one core; the worker's process id."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", PORT)) == 0:
            sys.exit(f"port {PORT} is taken")
    command = [sys.executable, "-m", "ambidex.cli", "-C", str(folder / "w"), "serve", "--port", str(PORT)]
    if shutil.which("taskset"):
        command = ["taskset", "-c", str(core), *command]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", PORT)) != 0:
            if process.poll() is not None or time.monotonic() > end:
                sys.exit("the server did not start")
            time.sleep(0.1)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield max(map(int, children), key=resident)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def resident(pid: int) -> int:
    """Memory of a process, bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def press(
    folder: Path, model: str, times: float, bodies: list[bytes], pid: int, seconds: float, connections: int
) -> None:
    """Capacity, then an open loop at a multiple of it; one line."""
    wrk = ["wrk", "-t1", "-c128", "-s", str(folder / "wrk.lua"), f"http://127.0.0.1:{PORT}/predict/{model}"]
    environment = {**os.environ, "BODIES": str(folder / "bodies")}
    for length in ("2s", f"{max(3, int(seconds / 2))}s"):
        text = subprocess.run([*wrk, f"-d{length}"], env=environment, capture_output=True, text=True, check=True).stdout
    capacity = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])  # type: ignore[index]
    before = resident(pid)
    peak = [before]
    sent, good, refused, lost, took = open_loop(model, bodies, capacity * times, seconds, connections, pid, peak)
    took.sort()
    p50, p99 = (1000 * took[int(len(took) * q)] if took else float("nan") for q in (0.5, 0.99))
    grown = (peak[0] - before) / 2**20
    refusals = ", ".join(f"{status} × {count:,}" for status, count in sorted(refused.items())) or "none"
    print(
        f"| {model} | {capacity:,.0f} | {times:g} × | {sent / seconds:,.0f} | {good / seconds:,.0f} | "
        f"{good / seconds / capacity:.2f} | {p50:.1f}, {p99:.1f} | {refusals} | {lost:,} | {grown:.0f} |",
        flush=True,
    )


def open_loop(
    model: str, bodies: list[bytes], rate: float, seconds: float, connections: int, pid: int, peak: list[int]
) -> tuple[int, int, dict[int, int], int, list[float]]:
    """Requests at a rate, whatever becomes of them.

    Returns:
        Sent, good, refused by status, never answered, and the times of the good ones in seconds.
    """
    head = f"POST /predict/{model} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: "
    ready = [f"{head}{len(b)}\r\n\r\n".encode() + b for b in bodies]
    socks: list[Any] = []
    poll = select.epoll()
    by_fd: dict[int, tuple[socket.socket, collections.deque[float]]] = {}
    waiting: collections.deque[float] = collections.deque()

    def connect() -> None:
        sock = socket.create_connection(("127.0.0.1", PORT))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        poll.register(sock, select.EPOLLIN)
        by_fd[sock.fileno()] = (sock, collections.deque())
        socks.append(sock)

    for _ in range(connections):
        connect()
    idle = collections.deque(by_fd)
    sent = good = lost = 0
    refused: dict[int, int] = {}
    took: list[float] = []
    start = now = time.monotonic()
    due, looked = 0, now
    while now < start + seconds + 4:
        while due < min(now - start, seconds) * rate:
            waiting.append(start + due / rate)
            due += 1
        while waiting and idle:
            fd = idle.popleft()
            sock, asked = by_fd[fd]
            asked.append(waiting.popleft())
            sock.send(ready[sent % len(ready)])
            sent += 1
        if now >= start + seconds and not any(a for _, a in by_fd.values()):
            break
        for fd, _ in poll.poll(0.001):
            sock, asked = by_fd[fd]
            try:
                said = sock.recv(1 << 16)
            except OSError:
                said = b""
            now = time.monotonic()
            for status in map(int, STATUS.findall(said)):
                since = asked.popleft()
                if status == 200:
                    good += 1
                    took.append(now - since)
                else:
                    refused[status] = refused.get(status, 0) + 1
            if not said:
                lost += len(asked)
                poll.unregister(fd)
                del by_fd[fd]
                sock.close()
                connect()
                fd = socks[-1].fileno()
                idle.append(fd)
            elif not asked:
                idle.append(fd)
        now = time.monotonic()
        if now - looked > 0.2:
            looked = now
            peak[0] = max(peak[0], resident(pid))
    lost += sum(len(a) for _, a in by_fd.values())
    for sock in socks:
        sock.close()
    return sent, good, refused, lost, took


def slow_callers(bodies: list[bytes]) -> None:
    """500 callers that send half a head; twenty good requests meanwhile."""
    slow = [socket.create_connection(("127.0.0.1", PORT)) for _ in range(500)]
    for sock in slow:
        sock.sendall(b"POST /predict/fast HTTP/1.1\r\nHos")
    took = []
    for body in bodies[:20]:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", PORT), timeout=5) as sock:
            head = f"POST /predict/fast HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            if b" 200 " in sock.recv(1 << 16)[:20]:
                took.append(time.monotonic() - began)
    print(f"\n500 slow callers: {len(took)} of 20 good requests served, the slowest in {1000 * max(took):.1f} ms")
    began = time.monotonic()
    for sock in slow:
        sock.settimeout(20)
        while sock.recv(1 << 16):
            pass
        sock.close()
    print(f"all of them cut within {time.monotonic() - began + sum(took):.1f} s")


if __name__ == "__main__":
    main()
