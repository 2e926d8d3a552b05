"""Register, resolve, promote and list many versions, against MLflow's registry where it is installed.

    python benchmarks/registry.py --versions 10000
    python benchmarks/registry.py --versions 10000 --mlflow PATH/TO/ENV/bin/python

Both write to SQLite in a fresh folder on the same disk, in one run; MLflow in an environment of its own. Seconds of
wall-clock per operation, and the ratios.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MLFLOW = """
import json, sys, time
import mlflow
from mlflow.tracking import MlflowClient
folder, n, moves = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = MlflowClient(tracking_uri=f"sqlite:///{folder}/mlflow.db", registry_uri=f"sqlite:///{folder}/mlflow.db")
client.create_registered_model("m")
def timed(count, work):
    start = time.perf_counter()
    for i in range(count):
        work(i)
    return (time.perf_counter() - start) / count
said = {"register": timed(n, lambda i: client.create_model_version("m", source=f"{folder}/{i}"))}
said["promote"] = timed(moves, lambda i: client.set_registered_model_alias("m", "live", str(1 + i % n)))
said["resolve"] = timed(moves, lambda i: client.get_model_version_by_alias("m", "live"))
def listed(_):
    token, found = None, 0
    while True:
        page = client.search_model_versions("name='m'", max_results=1000, page_token=token)
        found += len(page)
        token = page.token
        if not token:
            assert found == n, found
            return
said["list"] = timed(1, listed)
print(json.dumps(said))
"""


def timed(count: int, work: Callable[[int], Any]) -> float:
    """Seconds of one call, over ``count`` of them."""
    start = time.perf_counter()
    for i in range(count):
        work(i)
    return (time.perf_counter() - start) / count


def ours(folder: Path, n: int, moves: int) -> dict[str, float]:
    """The store of a workspace, gates and hash chain included."""
    from ambidex.edges.sql import SqlStore
    from ambidex.testing import judge, promote

    store = SqlStore(folder / "meta.sqlite", clock=lambda: datetime.now(UTC))

    def register(i: int) -> None:
        store.register(model="m", digest=f"{i:064x}", data="d1", code="c", key=str(i), summary={"auc": 0.8})

    def move(i: int) -> None:
        version = 1 + i % n
        judge(store, version, "m", at=datetime.now(UTC))
        promote(store, version, "m")

    said = {"register": timed(n, register), "promote": timed(moves, move)}
    said["resolve"] = timed(moves, lambda _: store.version("m", store.model("m").live or 0))
    said["list"] = timed(1, lambda _: store.versions("m"))
    store.close()
    return said


def main() -> None:
    """Run, and print one line an operation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=10_000)
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--mlflow", help="a Python that has MLflow")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambidex-registry-") as name:
        mine = ours(Path(name), said.versions, said.moves)
        theirs: dict[str, float] = {}
        if said.mlflow:
            command = [said.mlflow, "-c", MLFLOW, name, str(said.versions), str(said.moves)]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            theirs = json.loads(done.stdout.splitlines()[-1])
    for what, seconds in mine.items():
        other = theirs.get(what)
        beside = "" if other is None else f"   MLflow {other * 1000:10.2f} ms   {other / seconds:6.1f} times"
        print(f"{what:<9} {seconds * 1000:10.2f} ms{beside}")


if __name__ == "__main__":
    main()
