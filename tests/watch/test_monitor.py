"""One pass: what arrived is bet on once, harm pages, drift informs, and nothing rings by itself."""

from __future__ import annotations

import json
import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ambidex.errors import NotFound, UsageError
from ambidex.records import Schema, canonical
from ambidex.watch.harm import harm_state, judge_harm, loss_limit, loss_of, take_losses
from ambidex.watch.incidents import State, acknowledge
from ambidex.watch.log import Arrivals, Due
from ambidex.watch.monitor import Report, monitor_pass, new_state
from watch.watched import NOON, columns, frames, reference, schema

MARGIN = 0.02


def labels(rng: np.random.Generator, n: int, *, p: float = 0.3, truth: float = 0.3, start: int = 0) -> list[Due]:
    stamp = NOON.isoformat().replace("+00:00", "Z")
    return [
        Due(id=f"p{start + i}", version=1, p=p, label="yes" if x < truth else "no", at=stamp, predicted_at=stamp)
        for i, x in enumerate(rng.random(n))
    ]


def losses_of(rng: np.random.Generator, n: int, *, p: float = 0.3, truth: float = 0.3) -> np.ndarray:
    return np.where(rng.random(n) < truth, (1 - p) ** 2, p**2)


def world(seed: int, numbers: int = 3, categories: int = 2, m: int = 4_000) -> tuple[np.random.Generator, dict, Schema]:
    rng, of = np.random.default_rng(seed), schema(numbers, categories)
    then = reference(rng, of, m, scores=rng.uniform(0.1, 0.5, m), losses=losses_of(rng, m))
    return rng, then, of


def run(
    then: dict[str, Any], of: Schema, state: State, arrivals: Arrivals, day: int = 0, **options: Any
) -> tuple[State, Report]:
    before = canonical(state)
    new, report = monitor_pass(then, of, state, arrivals, now=NOON + timedelta(days=day), **options)
    assert canonical(state) == before  # pure
    assert json.loads(canonical(new)) == new
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False)) == report.to_dict()
    return new, report


def test_quiet_while_nothing_happens() -> None:
    rng, then, of = world(1)
    state = new_state(1)
    for day in range(5):
        new = frames(columns(rng, 300, of), start=300 * day, p=rng.uniform(0.1, 0.5, 300))
        state, report = run(then, of, state, Arrivals(frames=new, labels=labels(rng, 200, start=300 * day)), day)
        assert report.passed
        assert not report.alerts
        assert report.to_dict()["state"] == "quiet"
    assert report.labels["matched"] == 1_000
    assert report.labels["coverage"] == pytest.approx(1_000 / 1_500)
    assert report.loss is not None
    assert report.loss["outcome"] != "supported"


def test_no_arrivals_no_bet() -> None:
    rng, then, of = world(2)
    state, _ = run(then, of, new_state(1), Arrivals(frames=frames(columns(rng, 200, of))))
    again, report = run(then, of, state, Arrivals(), 1)
    assert again == state
    assert report.to_dict()["state"] == "nothing-new"


def test_before_the_first_prediction() -> None:
    _, then, of = world(3)
    state, report = run(then, of, new_state(1), Arrivals())
    assert state == new_state(1) | {"limits": [0.02, 0.02]}
    assert report.columns == []
    assert report.text == "no prediction by @1 has been logged yet"


def test_order_within_a_look_does_not_matter() -> None:
    rng, then, of = world(4)
    new, outcomes = frames(columns(rng, 400, of)), labels(rng, 300)
    one, _ = run(then, of, new_state(1), Arrivals(frames=new, labels=outcomes))
    mixed = Arrivals(frames=[new[i] for i in rng.permutation(400)], labels=[outcomes[i] for i in rng.permutation(300)])
    other, _ = run(then, of, new_state(1), mixed)
    assert canonical(one) == canonical(other)


def test_moved_inputs_inform_and_do_not_page() -> None:
    rng, then, of = world(5)
    _, report = run(then, of, new_state(1), Arrivals(frames=frames(columns(rng, 1_000, of, shift=0.5, moved=2))))
    assert report.passed
    assert report.verdict == "drifted"
    (alert,) = report.alerts
    assert (alert["level"], alert["kind"], set(alert["columns"])) == ("info", "drift", {"n0", "n1"})
    moved = {c["name"]: c for c in report.columns if c["drifted"]}
    assert set(moved) == {"n0", "n1"}
    truth = float(stats.norm.cdf(0.5 / math.sqrt(2))) - 0.5
    assert moved["n0"]["low"] < truth < moved["n0"]["high"]
    assert moved["n0"]["low"] >= MARGIN
    assert "outside ±.020" in alert["text"]
    assert alert["since"] == "2026-03-01T11:55:00Z"


def test_one_incident_until_it_is_acknowledged() -> None:
    rng, then, of = world(6)
    state, opened = new_state(1), []
    for day in range(4):
        state, report = run(then, of, state, Arrivals(frames=frames(columns(rng, 800, of, shift=0.5, moved=1))), day)
        opened += report.opened
    assert opened == ["a1-1"]
    assert [c["name"] for c in report.columns if c["drifted"]] == ["n0"]
    state = acknowledge(state, "a1-1", now=NOON)
    assert state["alerts"] == []
    assert state["closed"][0]["id"] == "a1-1"
    assert sum(state["inputs"]["n0"]["total"]) == 0
    assert sum(state["inputs"]["n1"]["total"]) == 3_200
    state, report = run(then, of, state, Arrivals(frames=frames(columns(rng, 800, of))), 5)
    assert not report.alerts
    state, report = run(then, of, state, Arrivals(frames=frames(columns(rng, 800, of, shift=0.5, moved=1))), 6)
    assert report.opened == ["a1-2"]
    with pytest.raises(NotFound) as caught:
        acknowledge(state, "a1-1", now=NOON)
    assert caught.value.code == "data.no-alert"
    assert "a1-2" in str(caught.value.found)


def test_the_change_is_found_where_it_began() -> None:
    rng, then, of = world(7)
    state = new_state(1)
    for day in range(6):
        shift = 0.3 if day >= 3 else 0.0
        at = NOON + timedelta(days=day)
        state, report = run(
            then, of, state, Arrivals(frames=frames(columns(rng, 400, of, shift=shift, moved=1), at=at)), day
        )
        if report.alerts:
            break
    assert report.alerts[0]["columns"] == ["n0"]
    assert report.alerts[0]["since"][:10] == "2026-03-04"


def test_later_columns_join_the_open_incident() -> None:
    rng, then, of = world(16)
    state = new_state(1)
    for day, moved in enumerate((1, 1, 3, 3)):
        new = frames(columns(rng, 800, of, shift=0.5, moved=moved))
        state, report = run(then, of, state, Arrivals(frames=new), day)
    (alert,) = report.alerts
    assert alert["id"] == "a1-1"
    assert set(alert["columns"]) == {"n0", "n1", "n2"}
    assert {c["name"] for c in report.columns if c["drifted"]} == {"n0", "n1", "n2"}


def test_a_stuck_column_informs() -> None:
    rng, then, of = world(17)
    values = columns(rng, 300, of) | {"n1": np.zeros(300)}
    _, report = run(then, of, new_state(1), Arrivals(frames=frames(values)))
    assert [(a["level"], a["text"]) for a in report.alerts] == [("info", "n1: stuck: all 300 values are 0")]
    assert report.passed


def test_the_prediction_mix_is_watched() -> None:
    rng, then, of = world(8)
    new = frames(columns(rng, 800, of), p=rng.uniform(0.4, 0.9, 800))
    _, report = run(then, of, new_state(1), Arrivals(frames=new))
    assert report.alerts[0]["columns"] == ["(prediction)"]
    assert "the prediction mix" in report.alerts[0]["text"]
    assert report.score is not None
    assert report.score["drifted"]
    assert "(prediction)" not in [c["name"] for c in report.columns]


def test_errors_above_tolerance_page() -> None:
    rng, then, of = world(9)
    state, _ = run(then, of, new_state(1), Arrivals(frames=frames(columns(rng, 3_000, of))))
    state, report = run(then, of, state, Arrivals(labels=labels(rng, 1_500, truth=0.55)), 1)
    (alert,) = report.alerts
    assert (alert["level"], alert["kind"]) == ("page", "harm")
    assert not report.passed
    assert report.to_dict()["state"] == "page"
    assert report.loss is not None
    assert report.loss["limit"] <= report.loss["low"] <= report.loss["value"]
    assert "1,500 labels, coverage 50%" in alert["text"]
    state, report = run(then, of, state, Arrivals(labels=labels(rng, 1_000, truth=0.55)), 2)
    assert report.opened == []
    state = acknowledge(state, alert["id"], now=NOON)
    assert state["harm"] == harm_state()


def test_errors_within_tolerance_are_shown_to_be() -> None:
    rng, then, of = world(10)
    state, _ = run(then, of, new_state(1), Arrivals(frames=frames(columns(rng, 9_000, of))))
    state, report = run(then, of, state, Arrivals(labels=labels(rng, 9_000, truth=0.28)), 1)
    assert report.loss is not None
    assert report.loss["outcome"] == "refuted"
    assert "within its limit" in report.text


def test_broken_rules_page_once() -> None:
    rng, then, of = world(11)
    values = columns(rng, 500, of)
    values["n0"][:200] = np.nan
    new = [f | {"row": f["row"] | ({"n0": None} if np.isnan(f["row"]["n0"]) else {})} for f in frames(values)]
    state, report = run(then, of, new_state(1), Arrivals(frames=new))
    pages = [a for a in report.alerts if a["level"] == "page"]
    assert [a["key"] for a in pages] == ["rule:missing:n0"]
    state, report = run(then, of, state, Arrivals(frames=new), 1)
    assert not [i for i in report.opened if i in {a["id"] for a in report.alerts if a["level"] == "page"}]


def test_an_output_that_is_no_number_pages() -> None:
    rng, then, of = world(12)
    new = frames(columns(rng, 50, of))
    new[7]["p"] = None
    _, report = run(then, of, new_state(1), Arrivals(frames=new))
    assert [a["text"] for a in report.alerts if a["level"] == "page"] == ["1 of 50 predictions are no number"]


def test_labels_that_are_no_class_are_counted_and_left_out() -> None:
    rng, then, of = world(13)
    odd = [Due(id="x", version=1, p=0.2, label="maybe", at="", predicted_at="")]
    _, report = run(then, of, new_state(1), Arrivals(frames=frames(columns(rng, 50, of)), labels=odd))
    assert report.labels["unusable"] == 1
    assert report.labels["matched"] == 0


def test_numbers_are_judged_on_the_scaled_error() -> None:
    of = schema(1, 0, task="regression", classes=())
    loss = {"n": 1_000, "mean": 0.3, "sd": 0.3, "cap": 1.0, "spread": 4.0}
    assert loss_of(of, loss, 10.0, "11") == pytest.approx(0.25)
    assert loss_of(of, loss, 10.0, "99") == 1.0
    assert loss_of(of, loss, 10.0, "much") is None
    assert loss_limit(loss, 0.02, task="regression") == pytest.approx((0.31859, 0.33859), abs=1e-5)
    assert loss_limit(loss | {"spread": None}, 0.02, task="regression") is None


def test_another_margin_starts_the_evidence_again() -> None:
    rng, then, of = world(15)
    state, _ = run(then, of, new_state(1), Arrivals(frames=frames(columns(rng, 300, of))))
    state, report = run(then, of, state, Arrivals(frames=frames(columns(rng, 300, of))), 1, margin=0.9)
    assert sum(state["inputs"]["n0"]["total"]) == 300
    assert {c["margin"] for c in report.columns} == {0.9}


def test_budget_and_looks_are_checked() -> None:
    _, then, of = world(14)
    with pytest.raises(UsageError):
        monitor_pass(then, of, new_state(1), Arrivals(), budget=0, now=NOON)


# ---------------------------------------------------------------- calibration


def rings(runs: int, looks: int, *, budget: float, at_the_edge: bool) -> float:
    """Share of runs in which D2 rang in so many looks, though no column is outside."""
    edge = math.sqrt(2) * float(stats.norm.ppf(0.5 + MARGIN)) if at_the_edge else 0.0
    rang = 0
    for seed in range(runs):
        rng, of = np.random.default_rng([3, seed]), schema(3, 1)
        then = reference(rng, of, 2_000)
        state = new_state(1)
        for day in range(looks):
            new = frames(columns(rng, 100, of, shift=edge, moved=3))
            state, report = monitor_pass(
                then, of, state, Arrivals(frames=new), now=NOON + timedelta(days=day), budget=budget
            )
            if report.opened:
                rang += 1
                break
    return rang / runs


def test_no_ring_in_forty_looks_at_the_edge_of_the_margin() -> None:
    """With B/L = .05/40, forty looks ring with a chance of at most .05."""
    assert rings(8, 40, budget=365 * 0.05 / 40, at_the_edge=True) <= 0.25


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("at_the_edge", [False, True])
def test_no_ring_in_forty_looks_many(at_the_edge: bool) -> None:
    runs = 150
    rate = rings(runs, 40, budget=365 * 0.05 / 40, at_the_edge=at_the_edge)
    print(f"D2, 40 looks, at the edge {at_the_edge}: {rate:.4f} of {runs} runs rang")
    assert rate <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize("size", [5, 100])
def test_harm_at_the_edge_in_forty_looks(size: int) -> None:
    """Losses whose mean is exactly the limit; alpha .05/40 a look allows .05 in all."""
    rng, runs, rang = np.random.default_rng(21), 300, 0
    p = 0.3
    limit = 0.25
    truth = (limit - p**2) / ((1 - p) ** 2 - p**2)
    for _ in range(runs):
        state = harm_state()
        for look in range(40):
            state = take_losses(state, losses_of(rng, size, p=p, truth=truth), limit, str(look))
            if judge_harm(state, limit, 0.05 / 40).outcome == "supported":
                rang += 1
                break
    assert rang / runs <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / runs), rang / runs


def test_harm_is_never_called_fine_at_the_edge() -> None:
    rng, runs, wrong = np.random.default_rng(22), 300, 0
    p, limit = 0.3, 0.25
    truth = (limit - p**2) / ((1 - p) ** 2 - p**2)
    for _ in range(runs):
        state = harm_state()
        for look in range(40):
            state = take_losses(state, losses_of(rng, 50, p=p, truth=truth), limit, str(look))
            if judge_harm(state, limit, 0.05).outcome == "refuted":
                wrong += 1
                break
    assert wrong / runs <= 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / runs), wrong / runs


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_delays_of_what_changes() -> None:
    """Looks of 1,000 rows, 20 columns, reference 10,000: looks from the change to the ring, 0 = the first."""
    found: dict[str, list[int]] = {"four columns .5 sd": [], "one column .3 sd": [], "harm +8 points of Brier": []}
    for seed in range(8):
        rng, of = np.random.default_rng([9, seed]), schema(10, 10)
        then = reference(rng, of, 10_000, losses=losses_of(rng, 10_000))
        for name, shift, moved in (("four columns .5 sd", 0.5, 4), ("one column .3 sd", 0.3, 1)):
            state = new_state(1)
            for day in range(25):
                now = columns(rng, 1_000, of, shift=shift if day >= 5 else 0.0, moved=moved)
                state, report = monitor_pass(
                    then, of, state, Arrivals(frames=frames(now)), now=NOON + timedelta(days=day)
                )
                if report.opened:
                    found[name].append(day - 5)
                    break
            else:
                found[name].append(99)
        limits = loss_limit(then["loss"], 0.02, task="binary")
        assert limits is not None
        kept = harm_state()
        for look in range(40):
            truth = 0.3 if look < 10 else 0.5
            kept = take_losses(kept, losses_of(rng, 200, truth=truth), limits[1], str(look))
            if judge_harm(kept, limits[1], 0.5 / 365).outcome == "supported":
                found["harm +8 points of Brier"].append(look - 10)
                break
    print(found)
    assert min(min(v) for v in found.values()) >= 0  # never before the change
    assert np.median(found["four columns .5 sd"]) <= 1
    assert np.median(found["one column .3 sd"]) <= 4
    assert np.median(found["harm +8 points of Brier"]) <= 4
