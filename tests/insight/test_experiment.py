"""``experiment``: figures of real tests, claims in words, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.errors import AmbidexError, DataError, NotFound, UsageError
from ambidex.insight.experiment import experiment
from ambidex.insight.experiment_checks import parse_shares, pick_control
from ambidex.insight.experiment_words import Style
from ambidex.report.answer import Answer
from ambidex.stats.estimate import Estimate
from oracle_rows import check
from support import shared


def table(rows: int = 400, seed: int = 0, gap: float = 0.0) -> pa.Table:
    """Two arms, a mean, a share, a ratio and an id that comes twice."""
    rng = np.random.default_rng(seed)
    arm = np.repeat(["A", "B"], rows // 2)
    views = rng.integers(50, 99, rows)
    return pa.table(
        {
            "arm": arm,
            "spend": rng.normal(10, 3, rows) + gap * (arm == "B"),
            "bought": (rng.random(rows) < 0.4 + gap / 10 * (arm == "B")).astype(int),
            "views": views,
            "clicks": rng.binomial(views, 0.3),
            "user": [f"u{i // 2}" for i in range(rows)],
            "word": ["x", "y"] * (rows // 2),
        }
    )


def one(answer: Answer, kind: str, arm: str | None = None, name: str | None = None) -> Estimate:
    (found,) = [
        e
        for e in answer.estimates
        if e.kind == kind and (arm is None or e.arm == arm) and (name is None or e.name == name)
    ]
    return found


def replaced(source: pa.Table, **columns: Any) -> pa.Table:
    for name, values in columns.items():
        source = source.set_column(source.column_names.index(name), name, pa.array(values))
    return source


def codes(answer: Answer) -> list[str]:
    return [c.code for c in answer.cautions]


# ---------------------------------------------------------------- figures


def test_cookie_cats() -> None:
    path = shared("data/experiments/cookie_cats.csv")
    answer = experiment(path, group="version", metric="retention_7:share", control="gate_30")
    e = one(answer, "difference")
    assert (round(e.value, 4), round(e.low, 4), round(e.high, 4)) == (-0.0082, -0.0133, -0.0031)
    assert e.p_value is not None and round(e.p_value, 4) == 0.0016
    check("Q2-09", e.value, e.p_value, e.low, e.high, of=[0, 2, 3, 4])
    assert e.to_dict()["unit"] == "share" and (e.arm, e.control) == ("gate_40", "gate_30")
    srm = next(c for c in answer.checks if c.name == "srm")
    assert srm.passed and srm.value == pytest.approx(0.0086, abs=5e-5) and "srm" in codes(answer)
    assert answer.passed and answer.recommendation.verdict == "do-not-act"
    assert answer.headline == "retention_7 fell from 19.0% to 18.2% with gate_40 (−0.8 points, −1.3 to −0.3)"
    assert answer.strength == "some"  # the arm sizes cast a doubt


def test_cookie_cats_without_a_kind_or_a_control_is_the_same_question() -> None:
    path = shared("data/experiments/cookie_cats.csv")
    answer = experiment(path, group="version", metric="retention_7")
    assert one(answer, "difference").control == "gate_30" and "control" in codes(answer)


def test_hillstrom() -> None:
    path = shared("data/campaigns/hillstrom_email.csv")
    answer = experiment(path, group="segment", metric=["visit:mean", "spend"], secondary="conversion:mean")
    assert next(c for c in answer.checks if c.name == "srm").value == pytest.approx(0.903693, abs=1e-5)
    for row, name, arm in (("Q2-02", "visit", "Mens E-Mail"), ("Q2-03", "visit", "Womens E-Mail")):
        e = one(answer, "difference", arm, name)
        check(row, e.value, e.low, e.high, of=[0, 2, 3])
    womens = one(answer, "difference", "Womens E-Mail", "spend")
    assert womens.p_value is not None
    check("Q2-07", womens.value, womens.low, womens.high, womens.p_value, of=[0, 2, 3, 4])
    conversion = one(answer, "difference", "Womens E-Mail", "conversion")
    assert conversion.p_value is not None and conversion.q_value is not None
    check("Q2-05", conversion.value, conversion.p_value)
    assert conversion.q_value >= conversion.p_value
    assert answer.recommendation.verdict == "act" and "Mens E-Mail" in answer.recommendation.text


def test_social_pressure_needs_its_shares() -> None:
    path = shared("data/experiments/social_pressure_gotv.parquet")
    stopped = experiment(path, group="messages", metric="primary2006")
    assert not stopped.passed and stopped.verdicts == () and "--shares" in stopped.recommendation.text
    plan = {"Control": 0.625, "Civic Duty": 0.125, "Hawthorne": 0.125, "Neighbors": 0.125}
    answer = experiment(path, group="messages", metric="primary2006", shares=plan)
    check("Q2-41", one(answer, "difference", "Neighbors").value, of=[0])
    assert answer.passed and answer.recommendation.verdict == "act"


def test_udacity_counts_of_yes_and_of_trials() -> None:
    both = [shared(f"data/experiments/udacity_free_trial_{a}.csv") for a in ("control", "experiment")]
    parts = [
        f"SELECT *, '{a}' AS arm FROM '{p}' WHERE Enrollments IS NOT NULL"
        for a, p in zip(("c", "e"), both, strict=True)
    ]
    answer = experiment(
        " UNION ALL ".join(parts),
        group="arm",
        metric=["Enrollments/Clicks:share", "Payments/Clicks:share"],
        control="c",
    )
    gross, net = (one(answer, "difference", name=f"{n}/Clicks") for n in ("Enrollments", "Payments"))
    assert [round(x, 4) for x in (gross.value, gross.low, gross.high)] == [-0.0206, -0.0291, -0.0120]
    assert [round(x, 4) for x in (net.value, net.low, net.high)] == [-0.0049, -0.0116, 0.0019]
    assert answer.recommendation.verdict == "do-not-act" and "trials" in codes(answer)


# ---------------------------------------------------------------- one answer, one set of numbers


def test_every_answer_is_plain_json_and_repeats() -> None:
    first, second = (
        experiment(
            table(), group="arm", metric=["spend", "bought"], secondary="clicks/views", guardrail="bought:share:-0.2"
        )
        for _ in range(2)
    )
    text = json.dumps(first.to_dict(), allow_nan=False, sort_keys=True)
    assert text == json.dumps(second.to_dict(), allow_nan=False, sort_keys=True)
    assert {c.name for c in first.checks} >= {"srm", "unit", "looks"}
    assert first.record["options"]["metric"] == ["spend", "bought"] and first.record["rows"] == 400


@pytest.mark.parametrize("seed", range(8))
def test_words_verdicts_and_estimates_agree(seed: int) -> None:
    answer = experiment(table(seed=seed, gap=(seed % 4 - 1) / 2), group="arm", metric="spend", unit=None)
    e, (verdict,) = one(answer, "difference"), answer.verdicts
    clear = e.low > 0 or e.high < 0
    assert (verdict.outcome != "open") == clear
    assert (" rose " in answer.headline or " fell " in answer.headline) == clear
    want = "act" if e.low > 0 else "do-not-act" if e.high < 0 else "not-enough-evidence"
    assert answer.recommendation.verdict == want
    rows = answer.findings[0].figure.rows if answer.findings[0].figure else ()
    assert [(r["value"], r["low"], r["high"], r["clear"]) for r in rows] == [(e.value, e.low, e.high, clear)]


def test_an_open_answer_says_what_it_would_take() -> None:
    answer = experiment(table(), group="arm", metric="spend")
    assert answer.headline.startswith("No clear difference")
    assert (
        "more units would tell" in answer.recommendation.text and "could see differences" in answer.recommendation.text
    )
    assert not any("no difference" in text.lower() for text in (answer.headline, answer.recommendation.text))


def test_the_same_only_inside_the_margin() -> None:
    wide = experiment(table(rows=4000), group="arm", metric="bought", margin=0.1)
    assert wide.recommendation.verdict == "do-not-act" and "the same" in wide.headline
    narrow = experiment(table(rows=4000), group="arm", metric="bought", margin=0.001)
    assert narrow.recommendation.verdict == "not-enough-evidence" and "the same" not in narrow.headline


def test_a_claim_clear_alone_may_be_open_among_many() -> None:
    for seed in range(200):
        source = table(seed=seed)
        alone = experiment(source, group="arm", metric="spend")
        if alone.verdicts[0].outcome != "open":
            break
    many = experiment(source, group="arm", metric=["spend", "bought", "clicks", "views", "clicks/views"])
    e = one(many, "difference", name="spend")
    assert (e.low, e.high) == (one(alone, "difference").low, one(alone, "difference").high)
    if many.verdicts[0].outcome == "open":
        assert many.recommendation.verdict == "not-enough-evidence"
        assert any("not among all comparisons" in f.title + f.text for f in many.findings)


def test_guardrails_stop_a_winner() -> None:
    source = table(rows=2000, gap=0.8)
    ahead = experiment(source, group="arm", metric="spend")
    assert ahead.recommendation.verdict == "act"
    worse = replaced(source, clicks=np.where(np.array(source["arm"].to_pylist()) == "B", 0, 30))
    worse = replaced(worse, clicks=worse["clicks"].to_numpy() + np.arange(2000) % 3)
    held = experiment(worse, group="arm", metric="spend", guardrail="clicks:mean:-5")
    assert held.recommendation.verdict == "do-not-act" and "clicks" in held.recommendation.text
    open_ = experiment(source, group="arm", metric="spend", guardrail="views:mean:-0.05")
    assert open_.recommendation.verdict == "not-enough-evidence"
    fine = experiment(source, group="arm", metric="spend", guardrail="views:mean:-30")
    assert fine.recommendation.verdict == "act"
    cost = experiment(source, group="arm", metric="bought", guardrail="spend:0.1")  # must not rise by more
    assert [v.outcome for v in cost.verdicts][-1] == "refuted"


def test_anytime_is_wider_and_says_so() -> None:
    once, watched = (experiment(table(rows=4000), group="arm", metric="spend", anytime=a) for a in (False, True))
    a, b = one(once, "difference"), one(watched, "difference")
    assert b.low < a.low and b.high > a.high and b.value == a.value
    assert "5,000" in b.method and "every look" in watched.method
    assert watched.verdicts[0].claim.looks == "anytime"


def test_two_specs_of_one_column_are_told_apart() -> None:
    answer = experiment(table(), group="arm", metric=["bought", "bought:mean"], secondary="spend")
    assert {e.name for e in answer.estimates} == {"bought", "bought:mean", "spend"}


def test_columns_named_by_numbers() -> None:
    frame = table().to_pandas()[["arm", "spend"]].set_axis([0, 1], axis=1)
    answer = experiment(frame, group=0, metric="1")  # type: ignore[arg-type]  # pandas allows it
    assert one(answer, "difference").arm == "B"


# ---------------------------------------------------------------- units, arms, missing values


def test_a_unit_in_two_arms_is_named_and_counted_in_neither() -> None:
    rows = table()
    crossed = replaced(rows, user=["u7" if i in (0, 399) else f"v{i}" for i in range(400)])
    answer = experiment(crossed, group="arm", metric="spend", unit="user")
    check_ = next(c for c in answer.checks if c.name == "two-arms")
    assert (check_.passed, check_.value) == (False, 1.0) and "u7" in check_.text and "two-arms" in codes(answer)
    assert one(answer, "difference").n == 398
    assert sum(a["units"] for a in answer.extra["arms"]) == 398


def test_rows_are_brought_together_by_unit() -> None:
    answer = experiment(table(), group="arm", metric=["spend", "clicks:count", "clicks/views"], unit="user")
    assert {e.n for e in answer.estimates} == {200}
    spend, clicks = (one(answer, "difference", name=n) for n in ("spend", "clicks"))
    rows = table().to_pandas()
    by = rows.groupby(["arm", "user"]).agg(spend=("spend", "mean"), clicks=("clicks", "sum")).groupby("arm").mean()
    assert spend.value == pytest.approx(by.loc["B", "spend"] - by.loc["A", "spend"])
    assert clicks.value == pytest.approx(by.loc["B", "clicks"] - by.loc["A", "clicks"])


def test_visits_as_rows_are_noticed() -> None:
    answer = experiment(table(), group="arm", metric="spend")
    unit = next(c for c in answer.checks if c.name == "unit")
    assert not unit.passed and "--unit user" in next(c.text for c in answer.cautions if c.code == "unit")
    unique = replaced(table(), user=[f"u{i}" for i in range(400)])
    assert next(c for c in experiment(unique, group="arm", metric="spend").checks if c.name == "unit").passed


def test_missing_outcomes_are_counted_per_arm() -> None:
    rows = replaced(table(), spend=[None if i < 30 else float(i % 7) for i in range(400)])
    answer = experiment(rows, group="arm", metric="spend")
    text = next(c.text for c in answer.cautions if c.code == "missing")
    assert "A 30 of 200" in text and "B 0 of 200" in text and "unequally" in text
    assert one(answer, "difference").n == 370


def test_rows_without_an_arm_are_counted() -> None:
    rows = replaced(table(), arm=[None if i < 3 else "AB"[i % 2] for i in range(400)])
    answer = experiment(rows, group="arm", metric="spend")
    assert "3 rows" in next(c.text for c in answer.cautions if c.code == "unassigned")


def test_labels_are_text_as_the_file_writes_them(tmp_path: Any) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "arm,paid\n" + "\n".join(f"{'007' if i % 2 else 'TRUE'},{'Yes' if i % 3 else 'No'}" for i in range(60))
    )
    answer = experiment(path, group="arm", metric="paid", control="007")
    assert one(answer, "difference").arm == "TRUE"
    with pytest.raises(NotFound) as raised:
        experiment(path, group="arm", metric="paid", control="7")
    assert raised.value.code == "data.no-label" and "007" in str(raised.value)


def test_a_few_units_that_carry_the_result_are_named() -> None:
    rng = np.random.default_rng(1)
    spend = rng.normal(10, 1, 4000)
    spend[2000:] -= 0.06
    spend[3998:] += 4000
    rows = pa.table({"arm": np.repeat(["A", "B"], 2000), "spend": spend})
    assert one(experiment(rows, group="arm", metric="spend"), "difference").value > 0
    capped = [experiment(replaced(rows, spend=spend - shift * (np.arange(4000) >= 2000)), group="arm", metric="spend")
              for shift in (0.0, 0.3)]  # fmt: skip
    assert "outliers" in codes(capped[1])  # under the cap, B is clearly lower
    calm = pa.table({"arm": np.repeat(["A", "B"], 2000), "spend": rng.normal(10, 1, 4000)})
    assert "outliers" not in codes(experiment(calm, group="arm", metric="spend"))


def test_small_cells_use_fisher() -> None:
    rows = pa.table({"arm": ["A", "B"] * 50, "sale": [1 if i in (1, 3, 5) else 0 for i in range(100)]})
    answer = experiment(rows, group="arm", metric="sale")
    assert "small-cells" in codes(answer) and "Fisher" in one(answer, "difference").method
    assert answer.verdicts[0].outcome == "open"


def test_means_near_a_billion() -> None:
    rows = table(gap=1.0)
    far = replaced(rows, spend=rows["spend"].to_numpy() + 1e9)
    near, moved = (one(experiment(r, group="arm", metric="spend"), "difference") for r in (rows, far))
    assert moved.value == pytest.approx(near.value, abs=1e-5) and moved.p_value == pytest.approx(near.p_value, rel=1e-4)


def test_notes_are_carried_and_temper_the_strength() -> None:
    source = table(rows=2000, gap=2.0)
    plain = experiment(replaced(source, user=[str(i) for i in range(2000)]), group="arm", metric="spend")
    noted = experiment(source, group="arm", metric="spend", notes=[("people", "rows repeat people")])
    assert plain.strength == "strong" and noted.strength == "some" and "people" in codes(noted)


def test_unknown_sizes_are_said_not_checked() -> None:
    rows = pa.table({"arm": ["A"] * 300 + ["B"] * 100, "x": np.random.default_rng(0).normal(size=400)})
    assert not experiment(rows, group="arm", metric="x").passed
    answer = experiment(rows, group="arm", metric="x", shares="unknown")
    srm = next(c for c in answer.checks if c.name == "srm")
    assert answer.passed and srm.value is None and "srm" in codes(answer)


# ---------------------------------------------------------------- refusals

REFUSED: list[tuple[dict[str, Any], str, type[AmbidexError]]] = [
    ({"alpha": "0.05"}, "usage.type", UsageError),
    ({"alpha": True}, "usage.type", UsageError),
    ({"alpha": 1.5}, "usage.value", UsageError),
    ({"alpha": 0}, "usage.value", UsageError),
    ({"alpha": float("nan")}, "usage.value", UsageError),
    ({"margin": -0.1}, "usage.value", UsageError),
    ({"margin": "0.1"}, "usage.type", UsageError),
    ({"margin": 0.1, "metric": ["spend", "bought"]}, "usage.value", UsageError),
    ({"anytime": 1}, "usage.type", UsageError),
    ({"metric": 3}, "usage.type", UsageError),
    ({"metric": []}, "usage.metric", UsageError),
    ({"metric": ""}, "usage.metric", UsageError),
    ({"metric": "spend:q0"}, "usage.metric", UsageError),
    ({"metric": "spend:medain"}, "usage.metric", UsageError),
    ({"metric": "clicks/views:count"}, "usage.metric", UsageError),
    ({"metric": ["spend", None]}, "usage.type", UsageError),
    ({"guardrail": "spend"}, "usage.metric", UsageError),
    ({"guardrail": "spend:0"}, "usage.metric", UsageError),
    ({"unit": "arm"}, "usage.value", UsageError),
    ({"metric": "user:count", "unit": "user"}, "usage.value", UsageError),
    ({"metric": "spnd"}, "data.no-column", NotFound),
    ({"group": "rma"}, "data.no-column", NotFound),
    ({"unit": "usr"}, "data.no-column", NotFound),
    ({"metric": "clicks/vews"}, "data.no-column", NotFound),
    ({"control": "C"}, "data.no-label", NotFound),
    ({"shares": "A=.5,C=.5"}, "data.no-label", NotFound),
    ({"shares": "A=.5,B=.6"}, "usage.value", UsageError),
    ({"shares": "A=.5"}, "usage.value", UsageError),
    ({"shares": "half"}, "usage.value", UsageError),
    ({"shares": 0.5}, "usage.type", UsageError),
    ({"metric": "word"}, "data.column-type", DataError),
    ({"metric": "spend:share"}, "data.metric-values", DataError),
    ({"metric": "spend:count"}, "data.metric-values", DataError),
    ({"metric": "views/clicks:share"}, "data.metric-values", DataError),
    ({"group": "user"}, "data.column-type", DataError),
]


@pytest.mark.parametrize(("options", "code", "kind"), REFUSED)
def test_options_that_cannot_be(options: dict[str, Any], code: str, kind: type[AmbidexError]) -> None:
    with pytest.raises(kind) as raised:
        experiment(table(), **{"group": "arm", "metric": "spend", **options})
    assert raised.value.code == code


@pytest.mark.parametrize(
    ("columns", "metric", "code"),
    [
        ({"arm": ["A"] * 400}, "spend", "data.one-arm"),
        ({"arm": [None] * 400}, "spend", "data.one-arm"),
        ({"arm": ["A"] * 399 + ["B"]}, "spend", "data.small-arm"),
        ({"spend": [5.0] * 400}, "spend", "data.no-variance"),
        ({"bought": [1] * 400}, "bought", "data.no-variance"),
        ({"spend": pa.nulls(400, pa.float64())}, "spend", "data.all-missing"),
        ({"spend": [np.inf] + [1.0, 2.0] * 199 + [3.0]}, "spend", "data.infinite"),
        ({"views": [0] * 400}, "clicks/views", "data.zero-denominator"),
    ],
)
def test_tables_that_cannot_answer(columns: dict[str, Any], metric: str, code: str) -> None:
    with pytest.raises(DataError) as raised:
        experiment(replaced(table(), **columns), group="arm", metric=metric)
    assert raised.value.code == code and raised.value.exit_code == 3


def test_every_unit_in_two_arms() -> None:
    with pytest.raises(DataError) as raised:
        experiment(
            replaced(table(), user=[f"u{i % 200}" for i in range(400)]), group="arm", metric="spend", unit="user"
        )
    assert raised.value.code == "data.one-arm" and "200 units" in str(raised.value)


def test_a_misfit_of_the_arms_stops_every_verdict() -> None:
    rows = pa.table({"arm": ["A"] * 300 + ["B"] * 200, "x": np.r_[np.zeros(250), np.ones(250)]})
    answer = experiment(rows, group="arm", metric="x")
    assert not answer.passed and answer.recommendation.verdict == "cannot-answer"
    assert answer.verdicts == () and answer.findings == () and answer.strength == "weak"
    assert one(answer, "difference").value == 1 - 50 / 300


def test_the_table_is_left_as_it_was() -> None:
    source = table()
    before = source.to_pydict()
    experiment(source, group="arm", metric="spend", unit="user")
    assert source.to_pydict() == before


# ---------------------------------------------------------------- small parts


@pytest.mark.parametrize(
    ("labels", "want"),
    [
        (["B", "Control", "Z"], "Control"), (["B", "a"], "a"), (["1", "0"], "0"), (["True", "False"], "False"),
        (["Mens E-Mail", "No E-Mail"], "No E-Mail"), (["gate_30", "gate_40"], "gate_30"), (["x", "none"], "none"),
    ],
)  # fmt: skip
def test_the_control_by_its_name(labels: list[str], want: str) -> None:
    label, said = pick_control(sorted(labels), None, "arm")
    assert label == want and want in said
    assert pick_control(labels, labels[0], "arm") == (labels[0], "")


def test_shares_in_every_form() -> None:
    labels = ["a=1", "b"]
    assert parse_shares("a=1=.25,b=.75", labels) == parse_shares({"a=1": 0.25, "b": 0.75}, labels)
    assert parse_shares(None, labels) is None and parse_shares("unknown", labels) == {}


def test_numbers_are_as_fine_as_their_interval() -> None:
    assert Style(True, 1).range(-0.0133, -0.0031) == "−1.3 to −0.3"
    assert Style(False, 2).delta(0.0001) == "0.00" and Style(False, 0).level(-1234.5) == "−1,234"


# ---------------------------------------------------------------- calibration through the verb


def told_apart(runs: int, rows: int, seed: int) -> float:
    rng = np.random.default_rng(seed)
    told = 0
    for _ in range(runs):
        source = pa.table({"arm": rng.permutation(np.repeat(["A", "B"], rows // 2)), "x": rng.gamma(2, 3, rows)})
        told += experiment(source, group="arm", metric="x").verdicts[0].outcome != "open"
    return told / runs


def test_identical_arms() -> None:
    assert told_apart(150, 200, seed=1) <= 0.05 + 3 * (0.05 * 0.95 / 150) ** 0.5


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_identical_arms_long() -> None:
    assert 0.040 <= told_apart(4_000, 200, seed=2) <= 0.060


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_visits_of_users_need_their_unit() -> None:
    """Users are randomised, visits are rows, intraclass correlation .3: rows alone condemn far too often."""
    rng, runs, told = np.random.default_rng(3), 500, {"rows": 0, "user": 0}
    for _ in range(runs):
        visits = rng.poisson(3, 200) + 1
        user = np.repeat(np.arange(200), visits)
        x = rng.normal(0, np.sqrt(0.3), 200)[user] + rng.normal(0, np.sqrt(0.7), len(user))
        source = pa.table({"arm": np.where(user % 2 == 0, "A", "B"), "user": user, "x": x})
        for name, unit in (("rows", None), ("user", "user")):
            answer = experiment(source, group="arm", metric="x", unit=unit, shares="unknown")
            told[name] += answer.verdicts[0].outcome != "open"
    assert told["rows"] / runs > 0.12 and told["user"] / runs <= 0.05 + 3 * (0.05 * 0.95 / runs) ** 0.5


# ---------------------------------------------------------------- numbers that nobody would notice


def units(values: Any) -> pa.Table:
    return pa.table({"arm": np.repeat(list("AB"), len(values) // 2), "y": values})


def test_what_adding_up_leaves_is_no_difference() -> None:
    third = [0.1 + 0.2] * 50 + [0.3] * 50
    with pytest.raises(DataError, match="same value"):
        experiment(units(third), group="arm", metric="y")
    rows = [("AB"[i % 2], i, 0.1) for i in range(300) for _ in range(6 + i % 2)]
    by_unit = pa.table(dict(zip(("arm", "who", "y"), map(list, zip(*rows, strict=True)), strict=True)))
    with pytest.raises(DataError, match="same value"):
        experiment(by_unit, group="arm", metric="y", unit="who")
    orders = np.random.default_rng(1).integers(1, 9, 200)
    ratio = pa.table({"arm": ["A", "B"] * 100, "orders": orders, "money": orders * 2.3})
    with pytest.raises(DataError, match="same in every unit"):
        experiment(ratio, group="arm", metric="money/orders")


def test_lift_does_not_contradict_the_difference() -> None:
    few = experiment(units([1.0, 2, 3, 4]), group="arm", metric="y")
    assert [e.kind for e in few.estimates] == ["difference"] and few.verdicts[0].outcome == "open"
    small = experiment(units([5.0, 6, 7, 8, 9, 8, 9, 10, 11, 12]), group="arm", metric="y")
    a, b = one(small, "difference").p_value, one(small, "relative").p_value
    assert a is not None and b is not None and 0.6 < a / b < 1.6
    need = few.verdicts[0].needed
    assert need is not None and need > 5
    exact = experiment(units([1] * 16 + [0] * 4 + [1] * 20), group="arm", metric="y")
    assert [e.kind for e in exact.estimates] == ["difference"] and exact.verdicts[0].outcome == "open"


def test_trials_of_one_unit_are_not_independent() -> None:
    rng = np.random.default_rng(5)
    n = rng.integers(20, 60, 400)
    rates = rng.beta(2, 6, 400)
    yes = rng.binomial(n, rates)
    source = pa.table({"arm": ["A", "B"] * 200, "who": [f"u{i}" for i in range(400)], "yes": yes, "n": n})
    alone = one(experiment(source, group="arm", metric="yes/n:share"), "difference")
    by_unit = experiment(source, group="arm", metric="yes/n:share", unit="who")
    together = one(by_unit, "difference")
    assert together.se is not None and alone.se is not None and together.se > 1.8 * alone.se
    assert together.unit == "share" and "delta" in together.method and "trials" not in codes(by_unit)


def test_outcomes_lost_from_one_arm_are_not_strong_evidence() -> None:
    rng = np.random.default_rng(2)
    y = rng.normal(5, 1, 2000) + 0.5 * (np.arange(2000) >= 1000)
    few, many = ([None if i >= 1000 and i % k == 0 else float(v) for i, v in enumerate(y)] for k in (40, 2))
    assert experiment(units(y), group="arm", metric="y").strength == "strong"
    assert experiment(units(few), group="arm", metric="y").strength == "some"
    stopped = experiment(units(many), group="arm", metric="y")
    assert stopped.recommendation.verdict == "cannot-answer" and "missing in one arm" in stopped.headline
    assert stopped.verdicts == () and one(stopped, "difference").p_value is not None


def test_guardrails_speak_when_the_primary_metric_falls() -> None:
    rng = np.random.default_rng(3)
    b = np.arange(2000) >= 1000
    source = units(rng.normal(5, 1, 2000) - 0.4 * b).append_column("money", pa.array(rng.normal(10, 1, 2000) - b))
    fell = experiment(source, group="arm", metric="y", guardrail="money:-0.2")
    assert "but money moved beyond the guardrail" in fell.recommendation.text
    level = replaced(source, y=rng.normal(5, 1, 2000))
    same = experiment(level, group="arm", metric="y", margin=0.5, guardrail="money:-0.2")
    assert same.recommendation.verdict == "do-not-act" and "beyond the guardrail with B" in same.recommendation.text


def test_alpha_beyond_what_is_known_is_refused() -> None:
    with pytest.raises(UsageError, match="smaller"):
        experiment(table(), group="arm", metric="spend", alpha=1e-17)
