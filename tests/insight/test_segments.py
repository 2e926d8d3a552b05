"""segments: published fits, real logs and their traps, what is said where nothing exists, bad input."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from ambidex.errors import DataError, NotFound, UsageError
from ambidex.insight.segments import segments
from ambidex.stats.clustering import kmeans
from oracle_rows import check, oracle
from support import shared

NOW = datetime(2026, 11, 24, tzinfo=UTC)


def adjusted_rand(a, b):
    from sklearn.metrics import adjusted_rand_score

    return adjusted_rand_score(a, b)


def simulated(kind: str, seed: int, n: int = 600):
    rng = np.random.default_rng(seed)
    if kind == "noise":
        return rng.normal(size=(n, 4)), None
    if kind in ("gradient", "broad"):
        return rng.uniform(0, 10, (n, 1)) + rng.normal(0, 1 if kind == "gradient" else 2, size=(n, 4)), None
    if kind in ("skewed", "heavy"):
        return rng.lognormal(0, 0.5 if kind == "skewed" else 1.0, size=(n, 4)), None
    truth = rng.integers(3, size=n)
    row = np.array([[0.0, 0, 0, 0], [4, 0, 0, 0], [8, 0, 0, 0]])
    centres = row if kind == "row" else np.array([[0.0, 0, 0, 0], [4, 0, 0, 0], [2, 12**0.5, 0, 0]])
    return centres[truth] + rng.normal(size=(n, 4)), truth


def table_of(x) -> pa.Table:
    return pa.table({f"c{i}": x[:, i] for i in range(x.shape[1])})


def codes(answer) -> list[str]:
    return [c.code for c in answer.cautions]


def board(answer, approach: str) -> dict:
    return next(b for b in answer.extra["scoreboard"] if b["approach"] == approach)


@pytest.fixture(scope="module")
def iris():
    from sklearn.datasets import load_iris

    return load_iris(as_frame=True)


# ---------------------------------------------------------------- published fits


def test_kmeans_of_iris(iris, tmp_path):
    out = tmp_path / "segments.csv"
    answer = segments(iris.data, approach="kmeans", k=3, out=out)
    found = board(answer, "kmeans")
    sizes = sorted((s["size"] for s in answer.extra["segments"]), reverse=True)
    names = [line.split('","')[-1].strip('"') for line in out.read_text().splitlines()[1:]]
    names = [line.split(",", 1)[1] for line in out.read_text().splitlines()[1:]]
    check("Q3-01", found["within"], *sizes, found["silhouette"], adjusted_rand(names, iris.target))
    assert answer.extra["verdict"] == "tiers"  # two of the three species run into each other
    assert "gap between every two" in answer.headline


def test_mixture_of_iris(iris):
    answer = segments(iris.data, approach="mixture", k=2)
    found = board(answer, "mixture")
    check("Q3-02", found["log_likelihood"], found["bic"])
    assert answer.extra["verdict"] == "types"
    assert all(s["accuracy"] > 0.97 and s["rule"].count(" and ") < 3 for s in answer.extra["segments"])


def test_cdnow_summary_through_the_verb():
    lifetimes = pytest.importorskip("lifetimes.datasets")
    table = lifetimes.load_cdnow_summary().reset_index()
    answer = segments(table, unit="ID", approach="tiers")
    buying = answer.extra["buying"]
    got = [buying["parameters"][f"BG/NBD {p}"] for p in ("r", "alpha", "a", "b")]
    check("Q3-07", *got, buying["log_likelihood"])


@pytest.mark.parametrize("seeds", [(0, 1), pytest.param((2, 3), marks=pytest.mark.slow)])
def test_gap_and_bic_invent_groups_and_do_not_decide(seeds):
    gradient, skewed = [], []
    for seed in seeds:
        x, _ = simulated("broad", seed)
        answer = segments(table_of(x), approach="kmeans")
        gradient.append(next(r["groups"] for r in answer.tables["How many, k-means"] if r["index would choose"]))
        assert answer.extra["verdict"] != "types"
        answer = segments(table_of(simulated("skewed", seed)[0]), approach="mixture", scale="none")
        rows = answer.tables["How many, Gaussian mixture"]
        skewed.append(next(r["groups"] for r in rows if r["index would choose"]))
        assert answer.extra["verdict"] != "types"
    assert gradient == ["3"] * 2
    assert set(skewed) <= {"3", "4", "5"}


# ---------------------------------------------------------------- what exists


@pytest.mark.parametrize("kind", ["noise", "gradient", "heavy"])
def test_no_types_where_there_are_none(kind):
    answer = segments(table_of(simulated(kind, 7)[0]))
    assert answer.extra["verdict"] in ("none", "tiers")
    assert not any(b["apart"] for b in answer.extra["scoreboard"])
    if answer.extra["verdict"] == "none":
        assert answer.extra["segments"] == [] and answer.model is None
        assert answer.recommendation.verdict == "do-not-act"


def test_three_heaps_are_found(tmp_path):
    x, truth = simulated("row", 1)
    out = tmp_path / "s.parquet"
    answer = segments(table_of(x), out=out)
    import pyarrow.parquet as pq

    assert answer.extra["verdict"] == "types" and len(answer.extra["segments"]) == 3
    assert adjusted_rand(truth, pq.read_table(out)["segment"].to_pylist()) >= 0.9
    assert answer.recommendation.verdict == "act" and answer.headline.startswith("There are 3 types of row: “")


def test_no_p_value_on_the_columns_that_drew_the_groups():
    answer = segments(table_of(simulated("blobs", 2)[0]))
    assert all(e.p_value is None for e in answer.estimates)


def test_the_value_is_no_input_and_has_intervals():
    x, truth = simulated("blobs", 3)
    spend = np.where(truth == 1, 50.0, 10.0) + np.random.default_rng(0).normal(size=len(truth))
    answer = segments(table_of(x).append_column("spend", pa.array(spend)), value="spend")
    top, *rest = answer.extra["segments"]
    assert "spend" not in top["rule"] and 45 < top["low"] < top["high"] < 51
    assert all(s["high"] < top["low"] for s in rest)
    assert board(answer, "kmeans")["eta2"] > 0.9 and board(answer, "kmeans")["better"] == "supported"


def test_categories_alone_are_never_types():
    rng = np.random.default_rng(0)
    kind = rng.integers(2, size=400)
    columns = {f"q{i}": np.where(rng.random(400) < np.where(kind, 0.9, 0.1), "yes", "no") for i in range(5)}
    answer = segments(pa.table(columns))
    assert [b["approach"] for b in answer.extra["scoreboard"]] == ["classes"]
    assert answer.extra["verdict"] == "tiers" and len(answer.extra["segments"]) == 2


@pytest.mark.parametrize("true", [1, 2, 3])
def test_the_number_of_latent_classes_is_the_one_of_least_bic(true):
    rng = np.random.default_rng(true)
    kind = rng.integers(true, size=500)
    often = np.array([[0.9, 0.9, 0.1, 0.1, 0.9, 0.1], [0.1, 0.1, 0.9, 0.9, 0.9, 0.1], [0.1, 0.9, 0.9, 0.1, 0.1, 0.9]])
    columns = {f"q{i}": np.where(rng.random(500) < often[kind, i], "yes", "no") for i in range(6)}
    answer = segments(pa.table(columns), approach="classes")
    rows = answer.tables["How many, latent classes"]
    assert [r["groups"] for r in rows if r["index would choose"]] == [str(true)]
    assert board(answer, "classes")["k"] == max(true, 2)
    assert ("one-class" in codes(answer)) == (true == 1) and (answer.extra["verdict"] == "none") == (true == 1)
    assert (
        board(segments(pa.table(columns), approach="classes", k=4), "classes")["k"] == 4
    )  # what is asked for is drawn


def test_mixed_columns_and_every_approach():
    x, truth = simulated("blobs", 4, n=200)
    table = table_of(x).append_column("plan", pa.array(np.where(truth == 0, "gold", "basic")))
    answer = segments(table, approach="tiers,kmeans,mixture,medoids,classes,hdbscan")
    tried = {b["approach"]: b for b in answer.extra["scoreboard"]}
    assert set(tried) == {"tiers", "kmeans", "mixture", "medoids", "classes", "hdbscan"}
    assert tried["hdbscan"]["k"] == 3 and tried["medoids"]["apart"] is None


def test_a_flag_makes_no_types():
    rng = np.random.default_rng(1)
    table = pa.table({"flag": rng.integers(2, size=300), "x": rng.normal(size=300), "y": rng.normal(size=300)})
    assert segments(table).extra["verdict"] == "none"


def test_counts_that_jump_make_no_types():
    rng = np.random.default_rng(0)
    table = pa.table({"visits": rng.poisson(2, 500), "rating": rng.integers(1, 6, size=500)})
    assert segments(table).extra["verdict"] != "types"


def test_same_again():
    import json

    x = table_of(simulated("blobs", 5, n=150)[0])
    one, two = (json.dumps(segments(x).to_dict(), sort_keys=True) for _ in range(2))
    assert one == two


# ---------------------------------------------------------------- real tables


@pytest.fixture(scope="module")
def cdnow(tmp_path_factory):
    datasets = pytest.importorskip("lifetimes.datasets")
    from pathlib import Path

    rows = [line.split() for line in (Path(datasets.__file__).parent / "CDNOW_sample.txt").read_text().splitlines()]
    log = pa.table({
        "id": [r[1] for r in rows if r], "date": [r[2] for r in rows if r], "dollars": [float(r[4]) for r in rows if r]
    })  # fmt: skip
    return segments(log, unit="id", time="date", value="dollars", now=NOW)


def test_the_tenth_of_cdnow(cdnow):
    buying = cdnow.extra["buying"]
    got = [buying["parameters"][f"BG/NBD {p}"] for p in ("r", "alpha", "a", "b")]
    check("Q3-07", *got, of=slice(0, 4))
    assert (round(buying["expected"]), buying["seen"], round(100 * buying["miss"])) == (1653, 1882, -12)
    said = next(c.text for c in cdnow.cautions if c.code == "forecast-miss")
    assert "1,653" in said and "1,882" in said and "−12%" in said
    assert {"compact-dates", "one-cohort", "duplicate-lines", "zero-values"} <= set(codes(cdnow))
    assert cdnow.extra["verdict"] == "tiers"
    assert sum(s["size"] for s in cdnow.extra["segments"]) == 2357


def test_every_segment_has_all_that_is_promised(cdnow):
    for s in cdnow.extra["segments"]:
        assert {"name", "rule", "accuracy", "size", "share", "value", "low", "high", "ahead"} <= set(s)
        assert s["low"] <= s["value"] <= s["high"] and s["rule"].count(" and ") <= 2
        assert s["ahead_low"] <= s["ahead"] <= s["ahead_high"]
    assert len({s["name"] for s in cdnow.extra["segments"]}) == len(cdnow.extra["segments"])
    for b in cdnow.extra["scoreboard"]:
        assert b["eta2_low"] <= b["eta2"] <= b["eta2_high"] and 0 < b["tree_accuracy"] <= 1
    small = [s["name"] for s in cdnow.extra["segments"] if s["share"] < 0.05]
    assert all(any(n in c.text for c in cdnow.cautions if c.code == "small-segment") for n in small)


def test_online_retail_names_its_traps_before_a_segment():
    path = shared("data/segments/online_retail.parquet")
    answer = segments(str(path), unit="CustomerID", time="InvoiceDate", value="Quantity*UnitPrice", now=NOW)
    said = {c.code: c.text for c in answer.cautions}
    assert said["no-customer"].startswith("135,080 ") and said["cancellations"].startswith("9,288 ")
    assert "+12 years" in said["shifted-dates"] and "POST 1,256" in said["non-product-codes"]
    assert said["duplicate-lines"].startswith("5,268 ") and "negative-values" in said and "partial-month" in said
    assert answer.extra["verdict"] == "tiers" and "breadth" in answer.method
    shown = next(b for b in answer.extra["scoreboard"] if b["shown"])
    assert shown["approach"] == "rfm" or (shown["better"] == "supported" and shown["jaccard"] > 0.75)
    top, *_, bottom = answer.extra["segments"]
    assert top["low"] > bottom["high"]


def test_mall_customers_run_clean():
    answer = segments(str(shared("data/segments/mall_customers.csv")))
    assert answer.extra["verdict"] in ("none", "tiers")
    assert any("CustomerID (id)" in c.text for c in answer.cautions)


# ---------------------------------------------------------------- bad input

DAYS = [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(120)]


def log(**columns) -> pa.Table:
    base = {"who": [f"u{i % 30}" for i in range(120)], "day": DAYS, "paid": [float(1 + i % 9) for i in range(120)]}
    return pa.table({**base, **columns})


def ask(table, **options):
    return segments(table, **{"unit": "who", "time": "day", "value": "paid", "now": NOW, **options})


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (log(who=["one"] * 120), "data.one-unit"),
        (log(day=["2024-03-01"] * 120), "data.one-date"),
        (log(day=["2031-03-01", "2032-03-01"] * 60), "data.future-dates"),
        (log(paid=[-5.0] * 100 + [5.0] * 20), "data.negative-values"),
        (log(day=["soon"] * 120), "data.column-type"),
        (log(paid=["free"] * 120), "data.column-type"),
        (log(who=[None] * 120), "data.too-few-rows"),
    ],
)
def test_logs_that_cannot_be_counted(table, code):
    with pytest.raises(DataError) as error:
        ask(table)
    assert error.value.code == code and error.value.do


def test_some_negative_values_and_future_dates_are_named_and_left_out():
    answer = ask(log(paid=[-3.0] * 5 + [4.0] * 115, day=[*DAYS[:110], *["2031-01-01"] * 10]))
    said = {c.code: c.text for c in answer.cautions}
    assert said["negative-values"].startswith("5 of 120") and said["future-dates"].startswith("10 of 120")


def test_k_larger_than_rows():
    with pytest.raises(DataError) as error:
        segments(pa.table({"x": [1.0, 2.0, 3.0, 4.0, 9.0]}), k=20)
    assert error.value.code == "data.too-few-rows"


@pytest.mark.parametrize(
    "table",
    [
        pa.table({"id": [f"user-{i:04d}-x" for i in range(50)]}),
        pa.table({"same": ["a"] * 50, "also": [3.0] * 50}),
    ],
)
def test_no_column_to_be_alike_by(table):
    with pytest.raises(DataError) as error:
        segments(table)
    assert error.value.code == "data.no-inputs" and error.value.found


@pytest.mark.parametrize("options", [{"k": 1}, {"k": 99}, {"approach": "kmean"}, {"scale": "lin"}, {"time": "c0"}])
def test_values_that_no_option_takes(options):
    with pytest.raises(UsageError) as error:
        segments(table_of(simulated("noise", 0, n=40)[0]), **options)
    assert error.value.code == "usage.value"


def test_names_that_are_not_there():
    x = table_of(simulated("noise", 0, n=40)[0])
    for options in ({"unit": "nobody"}, {"value": "paid"}, {"unit": "c0", "time": "when", "value": "c1"}):
        with pytest.raises(NotFound, match=r"data\.no-column"):
            segments(x, **options)


def test_rfm_needs_a_log():
    with pytest.raises(DataError) as error:
        segments(table_of(simulated("noise", 0, n=40)[0]), approach="rfm")
    assert error.value.code == "data.no-inputs" and "order log" in error.value.message


def test_few_rows_and_missing_cells():
    x = simulated("noise", 0, n=12)[0]
    x[3, 0] = np.nan
    answer = segments(table_of(x))
    assert answer.extra["verdict"] in ("none", "tiers") and "missing" in codes(answer)


# ---------------------------------------------------------------- calibration


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_split_half_dip_of_all_pairs_as_simulated():
    """Q3-12, through the verb: the share of 100 seeds in which all pairs pass, at a stated k."""
    kinds = (("noise", 3), ("gradient", 3), ("skewed", 3), ("blobs", 3), ("gradient", 2))
    got = []
    for kind, k in kinds:
        passed = 0
        for seed in range(100):
            x = table_of(simulated(kind, seed)[0])
            passed += bool(board(segments(x, approach="kmeans", k=k, scale="none"), "kmeans")["apart"])
        got.append(passed / 100)
    print("all pairs apart", dict(zip(kinds, got, strict=True)))
    values, near = oracle("Q3-12")
    assert all(abs(g - v) <= t + 1e-9 for g, v, t in zip(got, values, near, strict=True)), got


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_no_types_in_noise_gradients_and_skewed_spend():
    """S12: verdict none or tiers in at least 94 of 100 seeds; three heaps found with an adjusted Rand of .90."""
    out = {}
    for kind in ("noise", "gradient", "broad", "skewed", "heavy"):
        verdicts = [segments(table_of(simulated(kind, s)[0]), approach="kmeans").extra["verdict"] for s in range(100)]
        out[kind] = {v: verdicts.count(v) for v in set(verdicts)}
        assert verdicts.count("types") <= 6, out
    for kind in ("blobs", "row"):
        found, alike = 0, []
        for seed in range(100):
            x, truth = simulated(kind, seed)
            answer = segments(table_of(x), approach="kmeans")
            found += answer.extra["verdict"] == "types" and len(answer.extra["segments"]) == 3
            best = np.argmin([((x - x[truth == g].mean(axis=0)) ** 2).sum(axis=1) for g in range(3)], axis=0)
            alike.append((adjusted_rand(truth, kmeans(x, 3, seed=0).labels), adjusted_rand(truth, best)))
        own, best = np.mean(alike, axis=0)
        print(kind, "found", found, "adjusted Rand", own, "with the true centres", best)
        # In a triangle the heaps overlap so far that the true centres give no more than .88.
        assert found >= 90 and own >= min(0.90, best - 0.01)
    print("verdicts", out)


def test_rows_of_an_order_log_are_no_customers() -> None:
    rng = np.random.default_rng(8)
    days = (np.datetime64("2024-01-01") + rng.integers(0, 300, 900)).astype(str)
    rows = {"customer_id": rng.integers(10_000, 10_200, 900), "date": days.tolist(), "paid": rng.gamma(2, 20, 900)}
    found = {c.code: c.text for c in segments(pa.table(rows)).cautions}
    assert "a row is no customer" in found["unit"] and "--unit customer_id --time date" in found["unit"]
    once = {"customer_id": np.arange(900) + 10_000, "paid": rows["paid"], "age": rng.integers(18, 80, 900)}
    assert "unit" not in {c.code for c in segments(pa.table(once)).cautions}
