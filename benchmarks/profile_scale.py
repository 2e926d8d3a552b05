"""A profile at scale: 20 columns of every kind, against what people use for it.

    python benchmarks/profile_scale.py [--rows 10000000] [--growth 1000000,10000000]
                                       [--ydata PYTHON --ydata-rows 100000]

Peers run on the same Parquet file in processes of their own: pandas (``describe``, ``nunique``, ``duplicated``),
DuckDB's own SUMMARIZE (a floor: no repeats, no detector), and, where ``--ydata`` names the Python of an environment
that has ydata-profiling, that one on the first rows only: say how many it survives.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import run, table

CHUNK = 500_000

AMBIDEX = """
import json, sys
import ambidex as amb
answer = amb.profile(sys.argv[1])
print(json.dumps([answer.extra["rows"], answer.extra["duplicates"], len(answer.cautions)]))
"""

SUMMARIZE = """
import json, sys
import duckdb
connection = duckdb.connect(config={"threads": "2", "memory_limit": "2GiB"})
connection.execute("SUMMARIZE SELECT * FROM read_parquet(?)", [sys.argv[1]]).fetchall()
print("null")
"""

PANDAS = """
import json, sys
import pandas as pd
data = pd.read_parquet(sys.argv[1])
data.describe(include="all")
data.nunique()
print(json.dumps([len(data), int(data.duplicated().sum())]))
"""

YDATA = """
import json, sys
import pandas as pd
from ydata_profiling import ProfileReport
data = pd.read_parquet(sys.argv[1]).head(int(sys.argv[2]))
ProfileReport(data, minimal=True, progress_bar=False).to_json()
print(json.dumps([len(data)]))
"""


def generate(path: Path, rows: int, seed: int = 0) -> None:
    """Ids, times, labels, codes, counts, money, shares, constants, empty and missing cells, a few repeated rows."""
    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, rows, CHUNK):
        n = min(CHUNK, rows - start)
        spend = np.round(rng.lognormal(3, 1, n), 2)
        columns = {
            "customer_id": np.arange(start, start + n),
            "session_id": rng.integers(0, max(rows // 5, 10), n),
            "day": pa.array(np.datetime64("2024-01-01T00:00:00", "us") + rng.integers(0, 31_000_000, n) * 1_000_000),
            "country": pa.array(rng.choice(["DE", "FR", "US", "IT", "ES"], n)),
            "city": pa.array(np.char.add("city ", rng.integers(0, 800, n).astype(str))),
            "plan": pa.array(rng.choice(["free", "gold", "unknown"], n)),
            "zip": rng.integers(10_000, 99_999, n),
            "age": np.where(rng.random(n) < 0.01, 999, rng.integers(18, 90, n)),
            "orders": rng.poisson(2, n),
            "spend": spend,
            "tax": np.round(spend * 0.19, 4),
            "balance": rng.normal(0, 100, n),
            "score": np.where(rng.random(n) < 0.05, np.nan, rng.random(n)),
            "height": np.where(rng.random(n) < 0.001, 0.0, rng.normal(170, 10, n)),
            "rate": rng.random(n),
            "churned": rng.random(n) < 0.1,
            "flag": rng.integers(0, 2, n),
            "constant": np.full(n, 7),
            "empty": pa.nulls(n, pa.float64()),
            "noise": rng.normal(0, 1, n),
        }
        part = pa.table(columns)
        if start == 0:
            part = pa.concat_tables([part.slice(0, n - 10), part.slice(0, 10)])
        writer = writer or pq.ParquetWriter(path, part.schema)
        writer.write_table(part)
    assert writer is not None
    writer.close()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--growth", default="", help="rows with commas, ambidex alone")
    parser.add_argument("--ydata", default="", help="Python of an environment with ydata-profiling")
    parser.add_argument("--ydata-rows", type=int, default=100_000)
    options = parser.parse_args()
    large = {"AMBIDEX_LARGE_MIB": "0"}
    with tempfile.TemporaryDirectory(prefix="ambidex-bench-") as folder:
        path = Path(folder) / "t.parquet"
        generate(path, options.rows)
        print(f"{options.rows:,} rows, {path.stat().st_size / 2**20:,.0f} MiB of Parquet\n")
        runs = [
            run("ambidex", AMBIDEX, str(path), environment=large),
            run("SUMMARIZE", SUMMARIZE, str(path)),
            run("pandas", PANDAS, str(path)),
        ]
        if options.ydata:
            name = f"ydata-profiling, {options.ydata_rows:,} rows"
            runs.append(run(name, YDATA, str(path), str(options.ydata_rows), python=options.ydata))
        print(table(runs, against="ambidex"))
        ours, theirs = runs[0].said, runs[2].said
        if ours and theirs:
            print(f"\nrepeated rows: {ours[1]:,} here, {theirs[1]:,} by pandas")
        path.unlink()
        grown = []
        for rows in [int(s) for s in options.growth.split(",") if s]:
            generate(path, rows)
            grown.append(run(f"{rows:,}", AMBIDEX, str(path), environment=large))
            path.unlink()
        if grown:
            print("\nGrowth, ambidex alone\n")
            print(table(grown, against=grown[0].name))


if __name__ == "__main__":
    main()
