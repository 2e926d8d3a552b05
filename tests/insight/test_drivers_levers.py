"""Would changing it help: effects where rows overlap, refusals where they do not, rows in groups."""

from __future__ import annotations

import functools
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.data.read import read
from ambidex.errors import DataError, UsageError
from ambidex.insight.drivers import drivers
from ambidex.report.answer import Answer
from support import shared

ORDERED = ("age", "educ", "black", "hisp", "marr", "nodegree", "re74", "re75")


def confounded(n: int = 2000, seed: int = 0, effect: float = -0.8, tilt: float = 0.8) -> dict[str, Any]:
    """A mail that goes to those who would rather stay, and an outcome that it moves on the log-odds by ``effect``."""
    rng = np.random.default_rng(seed)
    loyal, age = rng.normal(size=n), rng.normal(size=n)
    mail = rng.random(n) < 1 / (1 + np.exp(-tilt * loyal))
    left = rng.random(n) < 1 / (1 + np.exp(-(-0.4 - loyal + 0.3 * age + effect * mail)))
    return {
        "loyal": loyal,
        "age": age,
        "mail": np.where(mail, "sent", "none"),
        "left": np.where(left, "yes", "no"),
    }


def lever(answer: Answer, at: int = 0) -> dict[str, Any]:
    out: dict[str, Any] = answer.extra["levers"][0]["contrasts"][at]
    return out


@functools.cache
def truth(n: int = 200_000) -> float:
    rng = np.random.default_rng(99)
    loyal, age = rng.normal(size=n), rng.normal(size=n)
    base = -0.4 - loyal + 0.3 * age
    one, none = (1 / (1 + np.exp(-(base + e))) for e in (-0.8, 0.0))
    return 100 * float((one - none).mean())


@pytest.fixture(scope="module")
def mail() -> Answer:
    return drivers(pa.table(confounded(3000)), target="left", levers=["mail"])


def test_a_lever_that_passes_is_told_with_its_range_and_what_could_be_hidden(mail: Answer) -> None:
    c = lever(mail)
    assert {c["arm"], c["control"]} == {"sent", "none"}
    sign = 1 if c["arm"] == "sent" else -1
    assert c["low"] < sign * truth() < c["high"]
    assert c["outcome"] != "open"
    assert mail.headline.startswith(
        f"mail {c['arm']} instead of {c['control']} {'cuts' if sign > 0 else 'raises'} left: "
    )
    assert "if nothing outside this table moves both" in mail.headline
    assert mail.strength == "some"
    assert c["e_value"][0] > c["e_value"][1] > 1
    assert 0 < c["robustness_value"][1] < c["robustness_value"][0] < 1
    assert "risk ratio" in mail.findings[0].how_sure
    assert any("not in this table" in u for u in mail.unknowns)
    assert mail.question == "Would changing mail change left?"
    assert mail.passed


def test_no_other_column_drives_anything(mail: Answer) -> None:
    text = json.dumps([f.to_dict() for f in mail.findings[1:]])
    assert not [w for w in ("cuts", "raises", "drives", "causes") if f" {w} " in text]


def test_no_overlap_is_refused_and_is_exit_4() -> None:
    answer = drivers(pa.table(confounded(3000, tilt=6.0)), target="left", levers=["mail"])
    assert answer.recommendation.verdict == "cannot-answer"
    assert not answer.passed
    assert lever(answer)["outcome"] == "refused"
    assert lever(answer)["value"] is None
    assert any(c.name == "overlap" and not c.passed and c.decides for c in answer.checks)
    assert any(c.code == "overlap" for c in answer.cautions)
    assert answer.headline.startswith("This table cannot say whether changing mail would change left")
    assert not any(e.kind == "difference" for e in answer.estimates)
    json.dumps(answer.to_dict(), allow_nan=False)


def test_a_lever_that_is_constant_within_the_overlap_is_refused() -> None:
    data = confounded(2000)
    data["region"] = np.where(data["loyal"] > 0, "north", "south")
    data["mail"] = np.where(data["loyal"] > 0, "sent", "none")
    answer = drivers(pa.table(data), target="left", levers=["mail"])
    assert lever(answer)["code"] == "constant-in-overlap"
    assert not answer.passed


def lalonde(controls: str) -> pa.Table:
    treated = read(shared("data/experiments/lalonde_nsw.csv"))
    rows = {k: treated.number(k) for k in (*ORDERED, "re78", "treat")}
    if controls == "cps":
        others = read(shared("data/experiments/lalonde_cps_controls.csv"))
        keep = rows["treat"] == 1
        rows = {k: np.r_[v[keep], others.number(k)] for k, v in rows.items()}
    return pa.table(rows)


def test_s11_lalonde_against_cps_is_refused() -> None:
    answer = drivers(lalonde("cps"), target="re78", levers=["treat"])
    c = lever(answer)
    assert answer.recommendation.verdict == "cannot-answer"
    assert c["outcome"] == "refused"
    assert c["share_extreme"] > 0.5


def test_lalondes_own_controls_give_the_benchmark() -> None:
    answer = drivers(lalonde("nsw"), target="re78", levers=["treat"])
    c = lever(answer)
    assert c["outcome"] != "refused"
    assert c["value"] == pytest.approx(1794, abs=400)
    assert c["low"] < 1794 < c["high"]


@pytest.mark.parametrize(
    ("values", "words"),
    [(["x"] * 400, "one value"), ([f"n{i % 13}" for i in range(400)], "more than 12 labels")],
)
def test_columns_that_cannot_be_levers(values: list[str], words: str) -> None:
    data = {k: v[:400] for k, v in confounded(400).items()}
    with pytest.raises(DataError) as caught:
        drivers(pa.table({**data, "lever": values}), target="left", levers=["lever"])
    assert caught.value.code == "data.lever"
    assert words in caught.value.message
    assert caught.value.do


def test_levers_that_clash() -> None:
    table = pa.table(confounded(300))
    with pytest.raises(UsageError):
        drivers(table, target="left", levers=["left"])
    with pytest.raises(UsageError):
        drivers(table, target="left", levers=["mail"], exclude=["mail"])


def test_a_number_lever_is_its_upper_against_its_lower_third() -> None:
    answer = drivers(pa.table(confounded(3000)), target="left", levers="age", exclude=["mail"])
    c = lever(answer)
    assert "or more" in c["arm"] and "or less" in c["control"]
    assert c["value"] > 0


# ---------------------------------------------------------------- rows in groups


def repeated(times: int = 4, customers: int = 400, seed: int = 5) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    age, plan = rng.normal(size=customers), rng.choice(["a", "b"], customers)
    y = rng.random(customers) < 1 / (1 + np.exp(-(0.8 * age + 0.9 * (plan == "b") - 0.5)))
    rows = {"who": np.arange(customers).astype(str), "age": age, "plan": plan, "y": np.where(y, "yes", "no")}
    return {k: np.repeat(v, times) for k, v in rows.items()}


def test_rows_that_say_the_same_again_do_not_narrow_the_intervals() -> None:
    once = drivers(pa.table(repeated(1)), target="y", exclude=["who"])
    again = drivers(pa.table(repeated(4)), target="y", group="who")
    blind = drivers(pa.table(repeated(4)), target="y", exclude=["who"])

    def error(answer: Answer) -> float:
        return float(next(e.se for e in answer.estimates if e.name == "plan" and e.adjusted))  # type: ignore[arg-type]

    assert error(again) == pytest.approx(error(once), rel=0.1)
    assert error(blind) == pytest.approx(error(once) / 2, rel=0.1)
    fits = [a.extra["fit"] for a in (once, again, blind)]
    width = [f["high"] - f["low"] for f in fits]
    assert width[1] > 1.6 * width[2]
    assert {c["name"]: c["code"] for c in again.extra["left_out"]} == {"who": "role"}
    assert "errors by who (CR1)" in again.method
    assert again.model is not None
    assert again.model["recipe"]["entity"] == "who"


def test_one_customer_is_never_on_both_sides_of_a_fold() -> None:
    from ambidex.insight.fitness import _folds
    from ambidex.insight.response import Response

    rng = np.random.default_rng(1)
    who = rng.integers(0, 90, 700)
    who = np.unique(who, return_inverse=True)[1]
    folds = _folds(Response("yesno", (rng.random(700) < 0.3).astype(float), "y", groups=who), 0)
    assert sum(int(f.sum()) for f in folds) == 700
    for held in folds:
        assert not set(who[held]) & set(who[~held])


def test_few_groups_are_open_and_names_that_are_missing_are_an_error() -> None:
    data = repeated(4, 100)
    data["shop"] = np.arange(400) % 4
    answer = drivers(pa.table(data), target="y", group="shop", exclude=["who"])
    assert answer.recommendation.verdict == "not-enough-evidence"
    assert "Too few groups" in answer.headline
    data["shop"] = pa.array([None, *["x"] * 199, *["z"] * 200])
    with pytest.raises(DataError) as caught:
        drivers(pa.table(data), target="y", group="shop")
    assert caught.value.code == "data.groups"


def test_groups_serve_levers_numbers_and_times() -> None:
    data = repeated(3, 500)
    data["spend"] = np.random.default_rng(0).normal(size=1500) + (data["plan"] == "b")
    lever_answer = drivers(pa.table(data), target="y", group="who", levers=["plan"], exclude=["spend"])
    assert "errors by 500 groups" in next(e.method for e in lever_answer.estimates if e.kind == "difference")
    number = drivers(pa.table(data), target="spend", group="who")
    assert number.headline.startswith("plan goes most with spend")
    data["months"] = np.random.default_rng(1).exponential(10, 1500).round(1) + 0.1
    timed = drivers(pa.table(data), target="y", group="who", duration="months", exclude=["spend"])
    for one in (lever_answer, number, timed):
        json.dumps(one.to_dict(), allow_nan=False)


@pytest.mark.slow
def test_s10_a_confounded_lever_is_covered_and_not_biased() -> None:
    """AIPW through the verb's own lever: 95% intervals hold the truth in .93-.97, bias at most a tenth of an error."""
    from ambidex.insight.levers import pull
    from ambidex.insight.outcome import read_outcome
    from ambidex.insight.response import Response
    from ambidex.insight.screens import screen

    right, bias, errors = 0, [], []
    for seed in range(300):
        table = read(pa.table(confounded(2000, seed)))
        outcome = read_outcome(table, "left")
        made = pull("mail", screen(table, outcome), Response("yesno", outcome.values, "left"), outcome, seed=0)
        e = made.contrasts[0].estimate
        sign = 1 if made.contrasts[0].arm == "sent" else -1
        right += e.low < sign * truth() < e.high
        bias.append(sign * e.value - truth())
        errors.append(e.se)
    assert 0.93 - 0.013 <= right / 300 <= 0.97 + 0.013
    assert abs(np.mean(bias)) <= 0.1 * np.mean(errors) + 2 * np.std(bias) / 300**0.5
