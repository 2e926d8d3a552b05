"""µs a step of the compiled way, and the ratio to the bare scorer: ``python benchmarks/hot_path.py [ROUNDS]``.

Twenty raw columns with gaps, imputed and one-hot encoded to 94 numbers, LightGBM with 200 trees of 31 leaves, fixed
seed, 1,000 distinct bodies, ROUNDS (7) times; medians. The last lines are the pipeline itself on the same rows, one by
one and a thousand at once.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from ambidex.bundle.code import FORMAT
from ambidex.bundle.compile import compile_model
from ambidex.bundle.compiled import open_compiled
from ambidex.edges.code import CodeScorer
from ambidex.edges.frames import frame_of, frame_of_columns, predict_with
from ambidex.records import Column, Schema, canonical
from ambidex.serving.decode import RowDecoder
from ambidex.serving.hot import Way
from ambidex.serving.log import Ids

ROWS = 20_000


def table() -> tuple[pd.DataFrame, Any]:
    """Ten numbers and ten columns of labels, a twentieth of each missing, and yes or no."""
    rng = np.random.default_rng(20)
    made: dict[str, Any] = {f"x{i}": rng.normal(size=ROWS) for i in range(10)}
    made |= {f"c{i}": rng.choice([f"v{j}" for j in range(9 if i > 5 else 8)], ROWS) for i in range(10)}
    frame = pd.DataFrame(made)
    odds = frame.x0 + frame.x1 * (frame.c0 == "v1") - (frame.c1 == "v2")
    for name in frame:
        frame.loc[rng.random(ROWS) < 0.05, name] = np.nan if name.startswith("x") else None
    return frame, (rng.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(int)


def fitted(frame: pd.DataFrame, y: Any) -> Pipeline:
    """The pipeline of the task."""
    numbers, labels = [c for c in frame if c[0] == "x"], [c for c in frame if c[0] == "c"]
    encode = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    steps = ColumnTransformer([("n", SimpleImputer(strategy="median"), numbers), ("c", encode, labels)])
    model = lightgbm.LGBMClassifier(n_estimators=200, num_leaves=31, random_state=0, verbose=-1)
    return Pipeline([("prepare", steps), ("model", model)]).fit(frame, y)


def opened(pipe: Pipeline, frame: pd.DataFrame) -> CodeScorer:
    """The pipeline as its bundle would open it."""
    kinds = {c: "number" if c[0] == "x" else "text" for c in frame}
    columns = tuple(
        Column(name=c, type="float" if k == "number" else "category", nullable=True) for c, k in kinds.items()
    )
    schema = Schema(columns=columns, target="y", task="binary", classes=("no", "yes"), key="id")
    plan = {"names": list(frame), "kinds": kinds, "frame": "pandas", "task": "binary", "place": 1}

    class Predictor:
        def __init__(self) -> None:
            self.model, self.plan = pipe, plan

        def predict(self, rows: list[dict[str, Any]]) -> list[Any]:
            return predict_with(pipe, frame_of(rows, plan), plan).tolist()  # type: ignore[no-any-return]

        def predict_columns(self, columns: dict[str, Any], rows: int) -> Any:
            return predict_with(pipe, frame_of_columns(columns, rows, plan), plan)

    return CodeScorer(schema, Predictor())


def median(step: Callable[[Any], Any], given: Sequence[Any], rounds: int) -> float:
    """µs a call: the median over the items of several rounds, which a busy machine moves less than a mean."""
    took = []
    clock = time.perf_counter_ns
    for _ in range(rounds):
        for item in given:
            began = clock()
            step(item)
            took.append(clock() - began)
    return statistics.median(took) / 1e3


def main() -> None:
    """Print the steps."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    warnings.simplefilter("ignore")
    frame, y = table()
    scorer = opened(fitted(frame, y), frame)
    rows = [{k: None if v is None or v != v else v for k, v in r.items()} for r in frame[:1000].to_dict("records")]
    files = {"model.json": canonical({"format": FORMAT, "schema": scorer.schema.to_json()})}
    files |= compile_model(files, scorer, rows)
    said = json.loads(files["compiled.json"])
    print(f"{said['runtime']}: {said['reason']}")
    compiled = open_compiled(files)
    way, ids = Way("churn", 3, scorer.schema, compiled, RowDecoder(scorer.schema)), Ids()
    bodies = [json.dumps({"rows": [{"id": f"u{i}", **row}]}).encode() for i, row in enumerate(rows)]
    records = [way.records(body)[0] for body in bodies]
    assert way.encode is not None
    numbers = [way.encode(record) for record in records]
    stream = way.stream()

    def whole(body: bytes) -> bytes:
        record = way.records(body)[0]
        score = [way.finish(way.encode(record))]  # type: ignore[misc]  # there is one, see above
        first = ids.first(1)
        stream.frame(time.time_ns() // 1000, first.encode(), 1, way.logged(score), body, 9)
        return way.answer(first, score)

    steps: list[tuple[str, Callable[[Any], Any], Sequence[Any]]] = [
        ("decode", way.records, bodies), ("encode", way.encode, records), ("score", way.finish, numbers),
        ("id", lambda _: ids.first(1), bodies),
        ("log frame", lambda body: stream.frame(1, b"0" * 27, 1, way.logged([0.25]), body, 9), bodies),
        ("serialise", lambda score: way.answer("0" * 27, [score]), [0.1 + i / 1234 for i in range(700)]),
        ("the whole", whole, bodies),
    ]  # fmt: skip
    took = {name: median(step, given, rounds) for name, step, given in steps}
    bare = took["score"]
    print(f"{'step':<28}{'µs':>8}{'of the scorer':>16}")
    for name, value in took.items():
        print(f"{name:<28}{value:8.2f}{value / bare:15.2f}x")
    many = median(way.many, [records], rounds) / len(records)
    print(f"{'1,000 rows at once, a row':<28}{many:8.2f}{many / bare:15.2f}x")
    alone = median(scorer.score, rows[:40], 2)
    columns = {c: frame[c][:1000].to_numpy() for c in frame}
    batch = median(lambda c: scorer.score_columns(c, 1000), [columns], rounds) / 1000
    print(f"{'the pipeline, one row':<28}{alone:8.0f}{alone / took['the whole']:15.0f}x the whole")
    print(f"{'the pipeline, 1,000 at once':<28}{batch:8.2f}{batch / many:15.2f}x ours at once")


if __name__ == "__main__":
    main()
