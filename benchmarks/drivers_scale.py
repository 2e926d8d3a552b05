"""Drivers at scale: 100,000 rows and 50 columns, against the same models fitted by hand.

    python benchmarks/drivers_scale.py [--rows 100000] [--columns 50]

By hand: a statsmodels Logit of each column alone and one of all together (straight lines and dummies, no splines),
and scikit-learn's boosting in five folds beside a logistic regression in five folds. ``one Logit`` is the fit of all
columns together, alone: the unit in which models are counted.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from measure import run, table

AMBIDEX = """
import json, sys
import ambidex as amb
answer = amb.drivers(sys.argv[1], target="left")
print(json.dumps([answer.headline, len(answer.estimates)]))
"""

DESIGN = """
import json, sys
import numpy as np
import pandas as pd
import statsmodels.api as sm
data = pd.read_parquet(sys.argv[1])
y = (data.pop("left") == "yes").to_numpy(float)
parts = {n: pd.get_dummies(data[[n]], drop_first=True, dtype=float).to_numpy() for n in data}
whole = sm.add_constant(np.column_stack(list(parts.values())))
"""

ONE = (
    DESIGN
    + """
sm.Logit(y, whole).fit(disp=0)
print(json.dumps([whole.shape[1]]))
"""
)

BY_HAND = (
    DESIGN
    + """
for part in parts.values():
    sm.Logit(y, sm.add_constant(part)).fit(disp=0)
sm.Logit(y, whole).fit(disp=0)
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
plain = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
for model in (HistGradientBoostingClassifier(random_state=0), plain):
    cross_val_predict(model, whole, y, cv=5, method="predict_proba")
print(json.dumps([len(parts) + 1]))
"""
)


def generate(path: Path, rows: int, columns: int, seed: int = 0) -> None:
    """Four fifths numbers, the rest labels; every fourth column matters."""
    rng = np.random.default_rng(seed)
    out, score = {}, np.full(rows, -1.5)
    for i in range(columns):
        if i % 5 == 4:
            codes = rng.integers(0, 4, rows)
            out[f"kind{i}"] = pa.array(np.array(["a", "b", "c", "d"])[codes])
            score += 0.2 * (codes == 1) * (i % 4 == 0)
        else:
            values = rng.normal(0, 1, rows)
            out[f"x{i}"] = values
            score += 0.15 * values * (i % 4 == 0)
    out["left"] = pa.array(np.where(rng.random(rows) < 1 / (1 + np.exp(-score)), "yes", "no"))
    pq.write_table(pa.table(out), path)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ambidex-bench-") as folder:
        path = Path(folder) / "t.parquet"
        generate(path, options.rows, options.columns)
        runs = [run(n, code, str(path)) for n, code in (("one Logit", ONE), ("by hand", BY_HAND), ("ambidex", AMBIDEX))]
        print(f"{options.rows:,} rows, {options.columns} columns\n")
        print(table(runs, against="one Logit"))
        if runs[1].said and not runs[2].failed:
            fits = runs[1].said[0]
            print(f"\nCPU of ambidex over {fits} × one Logit: {runs[2].cpu / (fits * runs[0].cpu):.2f}")


if __name__ == "__main__":
    main()
