"""Training on a table larger than memory: streamed by DuckDB into LightGBM, against LightGBM on the whole matrix.

    python benchmarks/train_stream.py [--rows 50000000] [--columns 20] [--rounds 10]

``streamed`` trains on all rows; its peak memory is what is asked for (4 GiB for 50 million × 20). The two called
``part`` train on the first file only, and must give the same model, byte for byte.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import run, table

STREAMED = """
import hashlib, json, sys
from pathlib import Path
from ambidex.edges.lightgbm_stream import train_stream
files, columns, rounds = sys.argv[1].split(","), sys.argv[2].split(","), int(sys.argv[3])
text = train_stream([Path(f) for f in files], target="y", columns=columns,
                    params={"objective": "binary", "num_leaves": 31}, rounds=rounds)
print(json.dumps(hashlib.sha256(text.encode()).hexdigest()))
"""

IN_MEMORY = """
import hashlib, json, sys
import lightgbm
import numpy as np
import pyarrow.parquet as pq
from ambidex.edges.lightgbm_stream import STEADY
files, columns, rounds = sys.argv[1].split(","), sys.argv[2].split(","), int(sys.argv[3])
read = pq.read_table(files)
x = np.column_stack([read.column(c).to_numpy() for c in columns])
settings = {**STEADY, "objective": "binary", "num_leaves": 31}
data = lightgbm.Dataset(x, label=read.column("y").to_numpy().astype(np.float32), feature_name=columns, params=settings)
text = lightgbm.train(settings, data, num_boost_round=rounds).model_to_string()
print(json.dumps(hashlib.sha256(text.encode()).hexdigest()))
"""
PART = 2_000_000


def generate(folder: Path, rows: int, columns: int) -> list[Path]:
    """Files of at most ``PART`` rows; a few columns matter, two of them together."""
    paths = []
    for number, start in enumerate(range(0, rows, PART)):
        rng = np.random.default_rng(number)
        count = min(PART, rows - start)
        x = rng.normal(size=(columns, count)).astype(np.float32)
        y = (x[0] + x[1] * x[2] + rng.normal(size=count) > 0).astype(np.int8)
        made = {f"x{j}": x[j] for j in range(columns)} | {"y": y}
        paths.append(folder / f"part-{number:03}.parquet")
        pq.write_table(pa.table(made), paths[-1], compression="none")
    return paths


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--columns", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    names = ",".join(f"x{j}" for j in range(options.columns))
    with tempfile.TemporaryDirectory(prefix="ambidex-bench-") as folder:
        paths = [str(p) for p in generate(Path(folder), options.rows, options.columns)]
        rest = (names, str(options.rounds))
        runs = [
            run("in memory, part", IN_MEMORY, paths[0], *rest),
            run("streamed, part", STREAMED, paths[0], *rest),
            run("streamed", STREAMED, ",".join(paths), *rest),
        ]
    print(f"{options.rows:,} rows, {options.columns} columns, {options.rounds} trees\n")
    print(table(runs, against="in memory, part"))
    print(f"\nthe same model streamed and in memory: {runs[0].said is not None and runs[0].said == runs[1].said}")
    print(f"peak of streamed: {runs[2].peak / 1024:.2f} GiB, of 4 GiB")


if __name__ == "__main__":
    main()
