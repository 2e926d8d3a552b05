"""Real streams: what the watcher must say of them, and what it must not."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from ambidex.bundle.reference import count, make_reference
from ambidex.data.read import read
from ambidex.data.table import Table
from ambidex.records import Column, Schema
from ambidex.watch.arming import Replayed, replayed
from ambidex.watch.log import Arrivals, Due
from ambidex.watch.look import Look, binned, look_at_table
from ambidex.watch.monitor import Report, monitor_pass, new_state
from support import shared


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def number(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=n, type="float", nullable=True) for n in names)


def category(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name=n, type="category", nullable=True) for n in names)


def look_of(then: dict[str, Any], of: Schema, rows: Table, at: datetime, p: np.ndarray | None = None) -> Look:
    one = replace(look_at_table(then, of, rows), began=stamp(at), ended=stamp(at))
    if p is None:
        return one
    bins = binned(p) if of.task == "binary" else None
    return replace(one, score=count(then["score"], p), score_bins=bins)


def due(p: np.ndarray, y: np.ndarray, at: datetime, of: Schema) -> list[Due]:
    said = [of.classes[int(v)] for v in y] if of.task == "binary" else [repr(float(v)) for v in y]
    when = stamp(at)
    return [
        Due(id=str(i), version=1, p=float(a), label=b, at=when, predicted_at=when)
        for i, (a, b) in enumerate(zip(p, said, strict=True))
    ]


def pages(report: Report) -> list[str]:
    return [a["kind"] for a in report.alerts if a["level"] == "page"]


# ---------------------------------------------------------------- elec2


def elec2(order: np.ndarray, looks: int = 90) -> Replayed:
    table = read(shared("data/streams/elec2.csv"))
    of = Schema(
        columns=number("nswprice", "nswdemand", "vicprice", "vicdemand", "transfer"), target="class", task="binary",
        classes=("DOWN", "UP"),
    )  # fmt: skip
    then = make_reference(table.take(order[10_000:14_800]), of, cut_on=table.take(order[:10_000]))
    start = datetime(1997, 3, 11, tzinfo=UTC)
    past = [
        look_of(then, of, table.take(order[14_800 + 336 * k : 14_800 + 336 * (k + 1)]), start + timedelta(days=7 * k))
        for k in range(looks)
    ]
    return replayed(then, of, past, trees=False)


def test_electricity_refuses_to_arm_and_names_what_was_constant() -> None:
    found = elec2(np.arange(45_312), looks=25)
    assert found.mode == "swing"
    assert found.swing is not None
    assert found.swing > 50
    assert {n for n, d in found.detectors.items() if d["armed"]} == {"rules"}
    assert found.detectors["beyond"]["rang"] == 25
    assert set(found.constant) == {("vicprice", 7), ("vicdemand", 7), ("transfer", 7)}


@pytest.mark.slow
def test_electricity_whole_and_shuffled() -> None:
    found = elec2(np.arange(45_312))
    assert {n for n, d in found.detectors.items() if d["armed"]} == {"rules"}
    mixed = elec2(np.random.default_rng(0).permutation(45_312))
    assert mixed.mode == "layers"
    assert all(d["rang"] == 0 and d["armed"] for d in mixed.detectors.values())


# ---------------------------------------------------------------- bank marketing


def test_bank_marketing_pages_and_expected_performance_misses_it() -> None:
    table = read(shared("data/campaigns/bank_additional_full.csv"))
    numbers = ("age", "campaign", "pdays", "previous", "emp.var.rate", "cons.price.idx", "cons.conf.idx", "euribor3m",
               "nr.employed")  # fmt: skip
    texts = ("job", "marital", "education", "default", "housing", "loan", "contact", "month", "day_of_week", "poutcome")
    of = Schema(columns=number(*numbers) + category(*texts), target="y", task="binary", classes=("no", "yes"))
    y = (table.text("y") == "yes").astype(float)
    x = np.column_stack([table.number(n) for n in numbers])
    codes = [np.unique(table.text(n).astype(str), return_inverse=True)[1] for n in texts]
    x = np.column_stack([x, *codes])
    cut = int(0.7 * len(y))
    rng = np.random.default_rng(0)
    fit = rng.random(cut) < 0.8
    model = HistGradientBoostingClassifier(max_iter=60, random_state=0).fit(x[:cut][fit], y[:cut][fit])
    p = model.predict_proba(x)[:, 1]
    held = np.flatnonzero(~fit)
    then = make_reference(
        table.take(held), of, cut_on=table.take(np.flatnonzero(fit)), scores=p[held], losses=(y[held] - p[held]) ** 2,
        outcomes=y[held],
    )  # fmt: skip
    assert float(y[cut:].mean()) > 0.24
    assert float(p[cut:].mean()) < 0.20
    state, began, kinds = new_state(1), datetime(2009, 6, 1, tzinfo=UTC), []
    month = np.append(0, np.cumsum(table.text("month")[1:] != table.text("month")[:-1]))
    for block in np.unique(month[cut:]):
        rows = cut + np.flatnonzero(month[cut:] == block)
        at = began + timedelta(days=30 * int(block))
        arrivals = Arrivals(
            looks=[look_of(then, of, table.take(rows), at, p[rows])], labels=due(p[rows], y[rows], at, of)
        )
        state, report = monitor_pass(then, of, state, arrivals, now=at)
        kinds += [k for k in pages(report) if k not in kinds]
    assert "harm" in kinds
    assert report.performance is not None
    last = cut + np.flatnonzero(month[cut:] == month[-1])
    right = float(((p[last] >= 0.5) == y[last]).mean())
    assert report.performance["accuracy"]["value"] > right + 0.05  # it cannot see that the answers changed
    assert report.performance["blind"] == "cannot see that what the inputs mean has changed"
    few = due(p[cut : cut + 10], y[cut : cut + 10], began, of)
    _, thin = monitor_pass(then, of, new_state(1), Arrivals(labels=few), now=began)
    assert thin.loss is not None
    assert thin.loss["outcome"] == "open"
    assert thin.passed


# ---------------------------------------------------------------- green taxi


def taxi(month: int) -> tuple[Table, np.ndarray, np.ndarray, np.ndarray]:
    table = read(shared(f"data/streams/green_taxi/green_tripdata_2021-{month:02d}.parquet"))
    trips = pa.table({n: table.arrow.column(n) for n in table.columns})
    minutes = pc.divide(
        pc.cast(pc.subtract(trips["lpep_dropoff_datetime"], trips["lpep_pickup_datetime"]), pa.int64()), 1
    ).to_numpy()
    unit = {"s": 60, "ms": 60e3, "us": 60e6, "ns": 60e9}[trips["lpep_pickup_datetime"].type.unit]
    minutes = minutes / unit
    kept = np.flatnonzero((minutes >= 1) & (minutes <= 60))[::3]
    some = trips.take(pa.array(kept))
    places = np.column_stack([some["PULocationID"].to_numpy(), some["DOLocationID"].to_numpy()])
    view = pa.table({
        "pu": pc.cast(some["PULocationID"], pa.string()), "do": pc.cast(some["DOLocationID"], pa.string()),
        "trip_distance": some["trip_distance"], "passenger_count": pc.cast(some["passenger_count"], pa.float64()),
    })  # fmt: skip
    return Table(f"taxi{month}", None, view), places, some["trip_distance"].to_numpy(), minutes[kept]


def test_green_taxi_is_no_page() -> None:
    of = Schema(
        columns=category("pu", "do") + number("trip_distance", "passenger_count"), target="minutes", task="regression"
    )
    table, places, distance, y = taxi(1)
    coder = OneHotEncoder(handle_unknown="ignore").fit(places)
    from scipy import sparse

    def made(where: np.ndarray, far: np.ndarray) -> Any:
        return sparse.hstack([coder.transform(where), np.clip(far, 0, 100)[:, None]]).tocsr()

    fit = np.random.default_rng(0).random(len(y)) < 0.7
    model = Ridge(alpha=1.0).fit(made(places[fit], distance[fit]), y[fit])
    p, spread = model.predict(made(places, distance)), float(y[fit].var())
    losses = np.minimum((y - p) ** 2 / spread, 1.0)
    then = make_reference(
        table.take(np.flatnonzero(~fit)), of, cut_on=table.take(np.flatnonzero(fit)), scores=p[~fit],
        losses=losses[~fit], spread=spread, outcomes=y[~fit],
    )  # fmt: skip
    state = new_state(1)
    for month in (2, 3):
        rows, where, far, truth = taxi(month)
        said = model.predict(made(where, far))
        assert float(np.sqrt(np.mean((truth - said) ** 2))) < 11
        at = datetime(2021, month, 27, tzinfo=UTC)
        arrivals = Arrivals(looks=[look_of(then, of, rows, at, said)], labels=due(said, truth, at, of))
        state, report = monitor_pass(then, of, state, arrivals, looks_a_year=12, now=at)
        assert not pages(report)
        assert not [a for a in report.alerts if "passenger_count: missing" in a["text"]]  # half of it is always null


# ---------------------------------------------------------------- bike sharing


def test_bikes_of_2012_page_a_model_of_2011_and_nothing_is_armed() -> None:
    table = read(shared("data/streams/bike_sharing_hour.csv"))
    numbers = ("temp", "hum", "windspeed", "hr")
    of = Schema(columns=number(*numbers) + category("weathersit", "workingday"), target="cnt", task="regression")
    x = np.column_stack([table.number(n) for n in (*numbers, "workingday", "mnth", "weathersit")])
    y, day = table.number("cnt"), np.array([str(v)[:10] for v in table.text("dteday")])
    first = np.flatnonzero(day < "2012")
    fit = np.random.default_rng(0).random(len(first)) < 0.7
    model = HistGradientBoostingRegressor(max_iter=60, random_state=0).fit(x[first[fit]], y[first[fit]])
    p, spread = model.predict(x), float(y[first[fit]].var())
    held = first[~fit]
    then = make_reference(
        table.take(held), of, cut_on=table.take(first[fit]), scores=p[held],
        losses=np.minimum((y[held] - p[held]) ** 2 / spread, 1), spread=spread, outcomes=y[held],
    )  # fmt: skip
    days = np.unique(day)
    looks = {d: look_of(then, of, table.take(np.flatnonzero(day == d)), datetime.fromisoformat(d).replace(tzinfo=UTC))
             for d in days[::5]}  # fmt: skip
    found = replayed(then, of, list(looks.values()), trees=False)
    assert found.mode == "swing"
    assert "only 2 years seen" in found.text
    assert not found.armed.keys() & {"sudden", "small", "beyond"}
    state, kinds = new_state(1), []
    for week in range(0, 28, 2):
        at = datetime(2012, 1, 2, tzinfo=UTC) + timedelta(weeks=week)
        rows = np.flatnonzero((day >= stamp(at)[:10]) & (day < stamp(at + timedelta(weeks=2))[:10]))
        state, report = monitor_pass(then, of, state, Arrivals(labels=due(p[rows], y[rows], at, of)), now=at)
        kinds += pages(report)
    assert "harm" in kinds


# ---------------------------------------------------------------- King County


def test_house_sales_thin_looks_are_open() -> None:
    table = read(shared("data/streams/kc_house_sales.csv"))
    of = Schema(columns=number("sqft_living", "grade", "bedrooms", "lat"), target="price", task="regression")
    day = np.array([str(v)[:8] for v in table.text("date")])
    order = np.argsort(day, kind="stable")
    before = order[:12_000]
    then = make_reference(table.take(before[1::2]), of, cut_on=table.take(before[::2]))
    at = datetime(2015, 5, 27, tzinfo=UTC)
    last = np.flatnonzero(day >= "20150514")  # the partial last month
    _, report = monitor_pass(
        then, of, new_state(1), Arrivals(looks=[look_of(then, of, table.take(last[:60]), at)]), now=at
    )
    assert report.verdict == "open"
    assert not pages(report)
    ids = table.text("id")
    names, times = np.unique(ids.astype(str), return_counts=True)
    again = np.flatnonzero(np.isin(ids.astype(str), names[times > 1]))
    _, report = monitor_pass(then, of, new_state(1), Arrivals(looks=[look_of(then, of, table.take(again), at)]), now=at)
    assert not pages(report)


# ---------------------------------------------------------------- CDNOW


def test_cdnow_inputs_are_loud_the_ranking_holds_and_nobody_is_paged() -> None:
    table = read(shared("data/segments/cdnow_master.csv"))
    texts = [c for c in table.columns if "date" in c.lower()]
    who = table.text(table.columns[0]).astype(str)
    when = np.array([np.datetime64(f"{v[:4]}-{v[4:6]}-{v[6:8]}") for v in table.text(texts[0])])
    users, code = np.unique(who, return_inverse=True)

    def at_day(text: str) -> tuple[Table, np.ndarray, np.ndarray]:
        now = np.datetime64(text)
        past, ahead = when <= now, (when > now) & (when <= now + np.timedelta64(90, "D"))
        frequency = np.bincount(code[past], minlength=len(users)).astype(float)
        newest = np.full(len(users), np.datetime64("1996-12-31"))
        np.maximum.at(newest, code[past], when[past])
        recency = (now - newest).astype(float)
        lately = np.bincount(code[past & (when > now - np.timedelta64(90, "D"))], minlength=len(users)).astype(float)
        y = (np.bincount(code[ahead], minlength=len(users)) > 0).astype(float)
        x = np.column_stack([frequency, recency, lately])
        rows = pa.table({"frequency": frequency, "recency": recency, "lately": lately})
        return Table(text, None, rows), x, y

    of = Schema(columns=number("frequency", "recency", "lately"), target="buys", task="binary", classes=("no", "yes"))
    rows, x, y = at_day("1997-06-30")
    fit = np.random.default_rng(0).random(len(y)) < 0.5
    scale = np.array([1.0, 0.01, 1.0])
    model = LogisticRegression(max_iter=500).fit(np.log1p(x[fit] * scale), y[fit])
    p = model.predict_proba(np.log1p(x * scale))[:, 1]
    then = make_reference(
        rows.take(np.flatnonzero(~fit)), of, cut_on=rows.take(np.flatnonzero(fit)), scores=p[~fit],
        losses=(y[~fit] - p[~fit]) ** 2, outcomes=y[~fit],
    )  # fmt: skip
    later, x2, y2 = at_day("1998-03-31")
    q = model.predict_proba(np.log1p(x2 * scale))[:, 1]
    at = datetime(1998, 6, 30, tzinfo=UTC)
    arrivals = Arrivals(looks=[look_of(then, of, later, at, q)], labels=due(q, y2, at, of))
    _, report = monitor_pass(then, of, new_state(1), arrivals, now=at)
    assert report.verdict == "drifted"
    assert {c["name"] for c in report.columns if c["drifted"]} >= {"recency", "lately"}
    assert roc_auc_score(y2, q) > roc_auc_score(y[~fit], p[~fit]) - 0.02
    assert not pages(report)
    assert report.passed
    assert report.calibration is not None
