"""Does the compiled form give what the model gives? Hypothesis writes the tables, every kind of model is fitted.

``python benchmarks/parity.py`` runs it at 10,000 awkward rows a kind and prints the table of docs/serving.md.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from ambidex.bundle.code import FORMAT
from ambidex.bundle.compile import awkward_rows, compare, compile_model
from ambidex.bundle.compiled import PLAN, open_compiled
from ambidex.edges.code import CodeScorer
from ambidex.edges.frames import frame_of, frame_of_columns, predict_with
from ambidex.records import Column, Schema, canonical

__all__ = ["Found", "examine", "kinds", "rows_of_frame", "scorer_of"]

ROWS = 240
LABELS = ["a", "B", "ä", "", " ", "nan", "None", '"', "\\", "0", "1", "1.0", "true", "x" * 40, "日本", "other"]
NUMBERS = ("normal", "price", "count", "epoch", "id", "tiny", "zero", "heavy", "constant")


@dataclass(frozen=True)
class Drawn:
    """A table and how it is prepared, as Hypothesis wrote it."""

    numbers: tuple[str, ...]
    gaps: tuple[bool, ...]
    labels: tuple[tuple[str, ...], ...]
    label_gaps: bool
    impute: str
    indicator: bool
    scale: str
    encode: str
    seed: int


@st.composite
def drawn(draw: Any) -> Drawn:
    """Tables of one to four numbers and none to two columns of labels."""
    numbers = tuple(draw(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=4)))
    labels = tuple(
        tuple(draw(st.lists(st.sampled_from(LABELS), min_size=2, max_size=6, unique=True)))
        for _ in range(draw(st.integers(0, 2)))
    )
    return Drawn(
        numbers=numbers, gaps=tuple(draw(st.booleans()) for _ in numbers), labels=labels,
        label_gaps=draw(st.booleans()), impute=draw(st.sampled_from(["mean", "median", "constant", "none"])),
        indicator=draw(st.booleans()), scale=draw(st.sampled_from(["none", "standard", "minmax", "robust", "maxabs"])),
        encode=draw(st.sampled_from(["ignore", "first", "infrequent", "ordinal", "target", "refuse"])),
        seed=draw(st.integers(0, 2**20)),
    )  # fmt: skip


def table_of(d: Drawn) -> tuple[pd.DataFrame, np.ndarray[Any, Any]]:
    """Its rows, and a number that they have something to do with."""
    rng = np.random.default_rng(d.seed)
    made: dict[str, Any] = {}
    signal = rng.normal(size=ROWS)
    for i, (kind, gap) in enumerate(zip(d.numbers, d.gaps, strict=True)):
        base = rng.normal(size=ROWS)
        values = {
            "normal": base, "price": np.round(np.exp(base + 3), 2), "count": np.floor(np.abs(base) * 3),
            "epoch": 1.7e9 + base * 600, "id": np.floor(1e8 + np.abs(base) * 3e8), "tiny": base * 1e-33,
            "zero": np.where(base > 0.3, 1.0, np.where(base < -0.3, -1.0, 0.0)), "heavy": base**9,
            "constant": np.full(ROWS, 3.5),
        }[kind]  # fmt: skip
        signal = signal + np.sign(base)
        made[f"n{i}"] = np.where(rng.random(ROWS) < 0.15, np.nan, values) if gap else values
    for i, labels in enumerate(d.labels):
        places = rng.integers(0, len(labels), ROWS)
        values = np.array(labels, dtype=object)[places]
        signal = signal + (places % 2)
        if d.label_gaps:
            values[rng.random(ROWS) < 0.1] = None
        made[f"c{i}"] = values
    return pd.DataFrame(made), signal


def prepared(d: Drawn, frame: pd.DataFrame, *, gaps_stay: bool) -> Any:
    """The steps before the model."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import (
        MaxAbsScaler,
        MinMaxScaler,
        OneHotEncoder,
        OrdinalEncoder,
        RobustScaler,
        StandardScaler,
        TargetEncoder,
    )

    numbers = [c for c in frame if c.startswith("n")]
    labels = [c for c in frame if c.startswith("c")]
    steps: list[Any] = []
    if d.impute != "none" or not gaps_stay:
        how = "median" if d.impute == "none" else d.impute
        steps.append(SimpleImputer(strategy=how, fill_value=-1.0, add_indicator=d.indicator))
    scaler = {
        "standard": StandardScaler, "minmax": lambda: MinMaxScaler(clip=d.indicator), "robust": RobustScaler,
        "maxabs": MaxAbsScaler,
    }.get(d.scale)  # fmt: skip
    steps += [scaler()] if scaler else []
    encoder = {
        "ignore": lambda: OneHotEncoder(handle_unknown="ignore"), "first": lambda: OneHotEncoder(drop="first"),
        "infrequent": lambda: OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=40),
        "ordinal": lambda: OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
        ),
        "target": lambda: TargetEncoder(cv=2, random_state=0), "refuse": lambda: OneHotEncoder(),
    }[d.encode]()  # fmt: skip
    parts = [("n", make_pipeline(*steps) if steps else "passthrough", numbers)]
    if labels:
        filled = [SimpleImputer(strategy="most_frequent")] if d.label_gaps and d.indicator else []
        parts.append(("c", make_pipeline(*filled, encoder), labels))
    return ColumnTransformer(parts)


def scorer_of(model: Any, frame: pd.DataFrame, task: str, classes: tuple[str, ...], place: int = 1) -> CodeScorer:
    """A fitted model as its bundle would open it."""
    kinds = {c: "number" if c.startswith("n") else "text" for c in frame}
    columns = tuple(
        Column(name=c, type="float" if k == "number" else "category", nullable=bool(frame[c].isna().any()))
        for c, k in kinds.items()
    )
    schema = Schema(columns=columns, target="y", task=task, classes=classes)  # type: ignore[arg-type]
    plan = {"names": list(frame), "kinds": kinds, "frame": "pandas", "task": task, "place": place}

    class Predictor:
        def __init__(self) -> None:
            self.model, self.plan = model, plan

        def predict(self, rows: list[dict[str, Any]]) -> list[Any]:
            return predict_with(model, frame_of(rows, plan), plan).tolist()  # type: ignore[no-any-return]

        def predict_columns(self, columns: dict[str, Any], rows: int) -> Any:
            return predict_with(model, frame_of_columns(columns, rows, plan), plan)

    return CodeScorer(schema, Predictor())


def rows_of_frame(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """As a request carries them."""
    return [{k: None if v is None or v != v else v for k, v in row.items()} for row in frame.to_dict("records")]


def kinds() -> dict[str, tuple[str, bool, Callable[[], Any]]]:
    """Every kind of model: its task, whether it takes missing numbers, and how it is made."""
    import lightgbm
    import xgboost
    from sklearn import ensemble as e
    from sklearn import linear_model as lin
    from sklearn import tree

    few = {"n_estimators": 12, "random_state": 0}
    light = {**few, "verbose": -1, "min_child_samples": 5, "num_threads": 1}
    boosted = {**few, "n_jobs": 1}
    made: dict[str, tuple[str, bool, Callable[[], Any]]] = {}
    for task, end in (("binary", "Classifier"), ("multiclass", "Classifier"), ("regression", "Regressor")):
        for short, native, make in (
            ("random forest", True, lambda n=end: getattr(e, f"RandomForest{n}")(**few)),
            ("extra trees", True, lambda n=end: getattr(e, f"ExtraTrees{n}")(**few)),
            ("decision tree", True, lambda n=end: getattr(tree, f"DecisionTree{n}")(random_state=0)),
            ("gradient boosting", False, lambda n=end: getattr(e, f"GradientBoosting{n}")(**few)),
            ("histogram boosting", True, lambda n=end: getattr(e, f"HistGradientBoosting{n}")(max_iter=12)),
            ("LightGBM", True, lambda n=end: getattr(lightgbm, f"LGBM{n}")(**light)),
            ("XGBoost", True, lambda n=end: getattr(xgboost, f"XGB{n}")(**boosted)),
        ):  # fmt: skip
            made[f"{short}, {task}"] = (task, native, make)
    for task in ("binary", "multiclass"):
        made[f"logistic, {task}"] = (task, False, lambda: lin.LogisticRegression(max_iter=200))
        made[f"SGD with log loss, {task}"] = (task, False, lambda: lin.SGDClassifier(loss="log_loss", random_state=0))
    for name, make_ in (
        ("linear", lin.LinearRegression), ("ridge", lin.Ridge), ("lasso", lambda: lin.Lasso(0.01)),
        ("elastic net", lambda: lin.ElasticNet(0.01)), ("Bayesian ridge", lin.BayesianRidge),
    ):  # fmt: skip
        made[f"{name}, regression"] = ("regression", False, make_)
    return made


@dataclass
class Found:
    """What came of one kind."""

    tables: int = 0
    rows: int = 0
    compiled: int = 0
    changed: int = 0
    differ: int = 0
    refused: int = 0
    largest: float = 0.0
    reasons: tuple[str, ...] = ()


def examine(kind: str, *, rows: int, tables: int) -> Found:
    """Fit a kind on tables that Hypothesis writes, and compare on awkward rows.

    Args:
        kind: A key of ``kinds()``.
        rows: Rows in all, at least.
        tables: Tables.
    """
    task, takes_gaps, make = kinds()[kind]
    found = Found()

    @seed(20261124)
    @settings(
        max_examples=tables, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(drawn())
    def one(d: Drawn) -> None:
        _one(d, task, takes_gaps, make(), max(200, rows // tables), found)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one()
    return found


def _one(d: Drawn, task: str, takes_gaps: bool, model: Any, rows: int, found: Found) -> None:
    from sklearn.pipeline import Pipeline

    frame, signal = table_of(d)
    steps = prepared(d, frame, gaps_stay=takes_gaps)
    classes: tuple[str, ...] = ()
    y: Any = signal
    if task == "binary":
        y, classes = (signal > np.median(signal)).astype(int), ("0", "1")
    elif task == "multiclass":
        y, classes = np.digitize(signal, np.quantile(signal, [0.3, 0.7])), ("0", "1", "2")
    fitted = Pipeline([("prepare", steps), ("model", model)]).fit(frame, y)
    place = d.seed % 2 if task == "binary" else 1
    scorer = scorer_of(fitted, frame, task, classes, place)
    own = rows_of_frame(frame)
    files = {"model.json": canonical({"format": FORMAT, "schema": scorer.schema.to_json()})}
    files |= compile_model(files, scorer, own)
    said = json.loads(files[PLAN])
    found.tables += 1
    found.reasons = (*found.reasons, *([said["reason"]] if said["runtime"] != "compiled" else []))
    if said["runtime"] != "compiled":
        return
    found.compiled += 1
    compiled = open_compiled(files)
    from ambidex.edges.compile import plan_of

    plan, _, cuts = plan_of(scorer)
    awkward = awkward_rows(own, scorer.schema, plan, cuts)
    rng = np.random.default_rng(d.seed + 1)
    while len(awkward) < rows:  # several awkward values in one row
        a, b = (awkward[int(i)] for i in rng.integers(0, len(awkward), 2))
        awkward.append({k: (a if rng.random() < 0.5 else b)[k] for k in a})
    some = [awkward[int(i)] for i in np.unique(np.linspace(0, len(awkward) - 1, num=rows).astype(int))]
    parity = compare(scorer, compiled, some, tolerance=said["parity"]["tolerance"])
    found.rows += parity.rows
    found.changed += parity.changed
    found.differ += parity.differ
    found.refused += parity.refused
    found.largest = max(found.largest, parity.largest)
