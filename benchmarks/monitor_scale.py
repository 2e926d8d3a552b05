"""One pass of `monitor` over sealed segments of the prediction log: CPU and memory by rows.

    python benchmarks/monitor_scale.py            # 0.86 and 8.6 million rows
    python benchmarks/monitor_scale.py --full     # and 86 million, a tenth of a day at 10,000 rows a second
                                                  # (needs 12 GB of disk)

20 columns, half of them numbers. The segments are made first, by the writer that serving uses; the pass runs in a
process of its own. The ceiling beside it: DuckDB's own count of the same rows.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import measure

PART = 860_000

WORLD = """
import sys, json
from pathlib import Path
from types import SimpleNamespace
import numpy as np, pyarrow as pa
sys.path.insert(0, sys.argv[1])
from ambidex.records import Column, Schema
from ambidex.bundle.reference import make_reference
from ambidex.data.table import Table
LEVELS = np.array(["basic", "plus", "gold", "trial"], dtype=object)
OF = Schema(columns=(*(Column(name=f"n{i}", type="float", nullable=True) for i in range(10)),
            *(Column(name=f"c{i}", type="category", nullable=True, levels=tuple(LEVELS)) for i in range(10))),
            target="y", task="binary", classes=("no", "yes"))
def columns(rng, n):
    return {f"n{i}": rng.normal(size=n) for i in range(10)} | {
        f"c{i}": pa.array(rng.choice(LEVELS, size=n, p=(.5, .3, .15, .05))) for i in range(10)}
"""

MAKE = (
    WORLD
    + """
import pyarrow.compute as pc
from ambidex.data.segments import Range, write_segment
folder, parts, rows = Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
(folder / "churn").mkdir(parents=True)
rng = np.random.default_rng(1)
made = columns(rng, rows)
p = rng.uniform(.1, .5, rows)
shape = [([*made], [])]
for k in range(parts):
    at = 1_764_000_000_000_000 + (np.arange(rows) + k * rows) * 100
    none = pa.nulls(rows, pa.string())
    table = pa.table({
        "file": pa.array(np.full(rows, "w", dtype=object)), "pos": np.arange(k * rows, (k + 1) * rows),
        "kind": pa.array(np.full(rows, "prediction", dtype=object)), "at": pa.array(at).cast(pa.timestamp("us")),
        "id": pc.utf8_lpad(pc.cast(pa.array(np.arange(rows) + k * rows), pa.string()), 27, "0"),
        "version": pa.array(np.full(rows, 1)), "source": pa.array(np.full(rows, "http", dtype=object)),
        "arm": pa.array(np.full(rows, "live", dtype=object)), "us": pa.array(np.full(rows, 40)), "error": none,
        "p": p, "ps": pa.nulls(rows, pa.list_(pa.float64())), "label": none, "shape": pa.array(np.zeros(rows, int)),
        "x": none, **{("n:" if c[0] == "n" else "t:") + c: v for c, v in made.items()},
    })
    write_segment(folder, "churn", table, [Range("w", k * rows, (k + 1) * rows, 0)], shape, order=k)
print(json.dumps(sum(f.stat().st_size for f in (folder / "churn").iterdir())))
"""
)

PASS = (
    WORLD
    + """
import resource
from ambidex.watch import run
from ambidex.workspace import create
rng = np.random.default_rng(2)
p = rng.uniform(.1, .5, 10_000)
y = (rng.random(10_000) < p).astype(float)
rows = Table("then", None, pa.table(columns(rng, 10_000)))
then = make_reference(rows, OF, scores=p, losses=(y - p) ** 2, outcomes=y)
place = create(Path(sys.argv[2]))
place.store.register(model="churn", digest="d" * 64, data="a", code="b", key="a:b", summary={})
run.open_bundle = lambda *_, **__: SimpleNamespace(reference=then, schema=OF, evaluation={})
shutil = __import__("shutil")
shutil.rmtree(place.log_folder)
Path(place.log_folder).symlink_to(sys.argv[3])
before = resource.getrusage(resource.RUSAGE_SELF)
data = run.monitor(place, "churn")
after = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"rows": data["rows"], "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
                  "state": len(json.dumps(place.store.document("watch/churn")))}))
"""
)

CEILING = """
import sys, json
from pathlib import Path
import duckdb
files = [str(f) for f in (Path(sys.argv[3]) / "churn").glob("*.parquet")]
con = duckdb.connect(config={"threads": "2", "memory_limit": "2GiB"})
names = [f'"n:n{i}"' for i in range(10)] + [f'"t:c{i}"' for i in range(10)]
asked = ", ".join(f"count({n}), max({n})" for n in names)
con.execute(f"SELECT {asked} FROM read_parquet({files!r})").fetchall()
print(json.dumps({}))
"""


def main() -> None:
    source = str(Path(__file__).resolve().parent.parent / "src")
    sizes = [1, 10, *([100] if "--full" in sys.argv else [])]
    print("| rows | pass, CPU s | of it µs a row | peak MiB | state KB | reading alone, CPU s | ratio |")
    print("|---|---|---|---|---|---|---|")
    for parts in sizes:
        with tempfile.TemporaryDirectory() as folder:
            log, place = str(Path(folder) / "log"), str(Path(folder) / "place")
            made = measure.run("make", MAKE, source, log, str(parts), str(PART))
            if made.failed:
                sys.exit(made.failed)
            done = measure.run("pass", PASS, source, place, log)
            if done.failed:
                sys.exit(done.failed)
            ceiling = measure.run("ceiling", CEILING, source, place, log)
            rows, cpu = done.said["rows"], done.said["cpu"]
            print(
                f"| {rows / 1e6:.2f} M | {cpu:.1f} | {1e6 * cpu / rows:.2f} | {done.peak:.0f} "
                f"| {done.said['state'] / 1000:.0f} | {ceiling.cpu:.1f} | {cpu / max(ceiling.cpu, 0.01):.1f}× |",
                flush=True,
            )
            shutil.rmtree(log, ignore_errors=True)


if __name__ == "__main__":
    main()
