"""An experiment at scale: 10 metrics and a covariate in two arms, against what people use for it.

    python benchmarks/experiment_scale.py [--rows 10000000] [--growth 1000000,10000000,100000000] [--only NAME,…]

Peers run on the same Parquet file in processes of their own: tea-tasting on DuckDB, a bare GROUP BY on DuckDB (the
same means, variances and covariances, nothing else), pandas with statsmodels (OLS, HC2, arm × centred covariate). The
differences and their standard errors are compared with each other. ``--growth`` also runs larger tables through
ambidex alone: CPU should grow with the rows and peak memory should not. Files go to a temporary folder and are deleted.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import Run, run, table

METRICS = [f"m{i}" for i in range(10)]
CHUNK = 500_000

AMBIDEX = """
import json, sys
import ambidex as amb
metrics = [f"m{i}" for i in range(10)]
answer = amb.experiment(sys.argv[1], group="arm", metric=metrics, covariate=["pre"], control="A")
found = {e.name: [e.value, e.se] for e in answer.estimates if e.kind == "difference"}
print(json.dumps(found))
"""

BARE = """
import json, sys
import duckdb
metrics = [f"m{i}" for i in range(10)]
sums = ", ".join(f"avg({m}), var_samp({m}), covar_samp({m}, pre)" for m in metrics)
connection = duckdb.connect(config={"threads": "2", "memory_limit": "2GiB"})
connection.execute(
    f"SELECT arm, count(*), avg(pre), var_samp(pre), {sums} FROM read_parquet(?) GROUP BY arm", [sys.argv[1]]
).fetchall()
print("null")
"""

TEA_TASTING = """
import json, sys
import tea_tasting as tt

def analyze(data):
    metrics = {f"m{i}": tt.Mean(f"m{i}", "pre") for i in range(10)}
    return tt.Experiment(metrics, variant="arm").analyze(data, control="A")

try:
    import ibis
    connection = ibis.duckdb.connect(threads=2, memory_limit="2GiB")
    result = analyze(connection.read_parquet(sys.argv[1]))
except ImportError:  # Ibis does not know this DuckDB yet: its other road, Narwhals over a DuckDB relation
    import duckdb
    connection = duckdb.connect(config={"threads": "2", "memory_limit": "2GiB"})
    result = analyze(connection.read_parquet(sys.argv[1]))
print(json.dumps({name: [r.effect_size, None] for name, r in result.items()}))
"""

PANDAS = """
import json, sys
import numpy as np
import pandas as pd
import statsmodels.api as sm
data = pd.read_parquet(sys.argv[1])
treated = (data["arm"] == "B").to_numpy(float)
pre = data["pre"].to_numpy()
x = np.column_stack([np.ones(len(pre)), treated, pre - pre.mean(), treated * (pre - pre.mean())])
found = {}
for name in [f"m{i}" for i in range(10)]:
    fit = sm.OLS(data[name].to_numpy(), x).fit(cov_type="HC2")
    found[name] = [float(fit.params[1]), float(fit.bse[1])]
print(json.dumps(found))
"""


def generate(path: Path, rows: int, seed: int = 0) -> None:
    """Six metrics that go with the covariate, two shares, two heavy tails; written part by part."""
    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        pre = rng.normal(100, 20, n)
        arm = rng.random(n) < 0.5
        columns = {"arm": pa.array(np.where(arm, "B", "A")), "pre": pre}
        for i, name in enumerate(METRICS):
            if i < 6:
                columns[name] = 0.5 * pre + rng.normal(0, 10, n) + 0.01 * i * arm
            elif i < 8:
                columns[name] = (rng.random(n) < 0.1 + 0.001 * arm).astype(np.float64)
            else:
                columns[name] = rng.lognormal(0, 1, n)
        part = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()


def agree(runs: list[Run]) -> str:
    """The greatest relative difference between the standard errors and estimates that were found."""
    ours = next(r.said for r in runs if r.name == "ambidex")
    worst = 0.0
    for r in runs:
        for name, (value, se) in (r.said or {}).items():
            worst = max(worst, abs(value - ours[name][0]) / ours[name][1])
            if se is not None:
                worst = max(worst, abs(se / ours[name][1] - 1))
    return f"estimates agree within {worst:.1e} standard errors"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--growth", default="", help="rows with commas, ambidex alone")
    parser.add_argument("--tea", default="", help="Python of an environment with tea-tasting and an Ibis that works")
    parser.add_argument("--only", default="ambidex,tea-tasting,bare GROUP BY,pandas")
    options = parser.parse_args()
    codes = {"ambidex": AMBIDEX, "tea-tasting": TEA_TASTING, "bare GROUP BY": BARE, "pandas": PANDAS}
    large = {"AMBIDEX_LARGE_MIB": "0"}
    with tempfile.TemporaryDirectory(prefix="ambidex-bench-") as folder:
        path = Path(folder) / "t.parquet"
        generate(path, options.rows)
        print(f"{options.rows:,} rows, {path.stat().st_size / 2**20:,.0f} MiB of Parquet\n")
        pythons = {"tea-tasting": options.tea or sys.executable}
        runs = [
            run(n, codes[n], str(path), python=pythons.get(n, sys.executable), environment=large)
            for n in options.only.split(",")
        ]
        print(table(runs, against="ambidex"))
        if all(r.said for r in runs if r.name == "ambidex"):
            print("\n" + agree([r for r in runs if isinstance(r.said, dict)]))
        path.unlink()
        sizes = [int(s) for s in options.growth.split(",") if s]
        grown = []
        for rows in sizes:
            generate(path, rows)
            grown.append(run(f"{rows:,}", AMBIDEX, str(path), environment=large))
            path.unlink()
        if grown:
            print("\nGrowth, ambidex alone\n")
            print(table(grown, against=grown[0].name))


if __name__ == "__main__":
    main()
