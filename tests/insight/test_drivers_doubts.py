"""What drivers must doubt aloud: levers that hang on a suspect, repeated units, other ends, far values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.insight import drivers as asked

N = 1500


def drivers(rows: dict[str, Any], **options: Any) -> Any:
    return asked.drivers(pa.table(rows), **options)


def codes(answer: Any) -> list[str]:
    return [c.code for c in answer.cautions]


@pytest.fixture(scope="module")
def confounded() -> dict[str, Any]:
    """The lever adds 2; `u` moves both, and tells the outcome so well that it is a suspect."""
    rng = np.random.default_rng(1)
    u = rng.normal(size=N)
    lever = rng.random(N) < 1 / (1 + np.exp(-u))
    spend = 10 + 2 * lever + 3 * u + rng.normal(size=N)
    return {"u": u, "k": rng.normal(size=N), "autopay": np.where(lever, "Yes", "No"), "spend": spend}


def test_a_lever_that_hangs_on_a_suspect_is_refused(confounded: dict[str, Any]) -> None:
    answer = drivers(confounded, target="spend", levers=["autopay"])
    assert answer.recommendation.verdict == "cannot-answer"
    assert "hangs on u" in answer.headline and "--keep u" in answer.recommendation.text
    assert "hangs-on-suspect" in codes(answer)
    assert not any(e.kind == "difference" for e in answer.estimates)


def test_what_is_known_of_the_suspect_decides(confounded: dict[str, Any]) -> None:
    answer = drivers(confounded, target="spend", levers=["autopay"], keep=["u"])
    (effect,) = [e for e in answer.estimates if e.kind == "difference"]
    assert (effect.arm, effect.control) == ("No", "Yes") and effect.low < -2 < effect.high
    assert "cuts spend" in answer.headline


def test_labels_that_name_units_are_told_and_weaken_the_evidence() -> None:
    rng = np.random.default_rng(2)
    unit = np.repeat(np.arange(150), 20)
    x, own = rng.normal(size=150)[unit], rng.normal(size=150)[unit]
    y = np.where(rng.random(len(unit)) < 1 / (1 + np.exp(-1.5 * own - 1.0 * x)), "yes", "no")
    rows = {"place": [f"p{i}" for i in unit], "x": x, "y": y}
    answer = drivers(rows, target="y")
    assert "repeated-units" in codes(answer) and answer.strength != "strong"
    assert "--group place" in next(c.text for c in answer.cautions if c.code == "repeated-units")
    assert "repeated-units" not in codes(drivers(rows, target="y", group="place"))


def test_the_headline_counts_other_ends_as_ends() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=N)
    first, other = rng.exponential(20 * np.exp(-0.7 * x)), rng.exponential(30, size=N)
    time = np.minimum(np.minimum(first, other), 40)
    end = np.where(time == 40, "active", np.where(first < other, "left", "died"))
    answer = drivers({"x": x, "months": time, "end": end}, target="end", positive="left", duration="months")
    told = float(answer.headline.split(": ")[1].split("%")[0])
    horizon = float(answer.headline.split("months ")[1].split(":")[0])
    near = np.abs(x - np.quantile(x, 0.95)) <= 0.3
    assert told == pytest.approx(100 * np.mean((end == "left")[near] & (time[near] <= horizon)), abs=10)


def test_a_far_value_of_the_outcome_is_told() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=N)
    spend = np.exp(rng.normal(size=N) + 0.3 * x)
    spend[0] = 1e6
    answer = drivers({"x": x, "spend": spend}, target="spend")
    assert "stands-apart" in codes(answer)
    assert answer.recommendation.text.startswith("See to the far values of spend")
