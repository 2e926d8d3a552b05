"""``campaign`` on what cannot be right: a code for each, and what to do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from ambidex.errors import AmbidexError, DataError, NotFound, UsageError
from ambidex.insight.campaign import campaign


def lot(n: int = 200, **more: Any) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table({"arm": ["no", "yes"] * (n // 2), "x": rng.normal(size=n), "y": rng.normal(10, 2, n), **more})


def shops(units: int = 25, treated: int = 1, periods: int = 10) -> pa.Table:
    rng = np.random.default_rng(1)
    day = (np.datetime64("2024-01-01") + 7 * np.arange(periods)).astype(str)
    return pa.table(
        {
            "shop": np.repeat([f"s{i:02d}" for i in range(units)], periods),
            "on": np.repeat([int(i < treated) for i in range(units)], periods),
            "week": np.tile(day, units),
            "sales": rng.normal(100, 5, units * periods),
        }
    )


PANEL = {"treatment": "on", "outcome": "sales", "unit": "shop", "time": "week"}


@pytest.mark.parametrize(
    ("options", "kind", "code", "do"),
    [
        ({"cost": -1}, UsageError, "usage.value", "--cost 1"),
        ({"fixed_cost": -5.0}, UsageError, "usage.value", "--fixed-cost 5"),
        ({"cost": math.nan}, UsageError, "usage.value", None),
        ({"cost": "1"}, UsageError, "usage.type", None),
        ({"value": 0}, UsageError, "usage.value", "--value 0.3"),
        ({"value": True}, UsageError, "usage.type", None),
        ({"alpha": 2}, UsageError, "usage.value", "--alpha 0.05"),
        ({"alpha": 1e-12}, UsageError, "usage.value", None),
        ({"treatment": None}, UsageError, "usage.value", "--treatment"),
        ({"treatment": "arn"}, NotFound, "data.no-column", "arm"),
        ({"outcome": "arm"}, UsageError, "usage.value", None),
        ({"covariate": ["y"]}, UsageError, "usage.value", None),
        ({"covariate": 3.5}, UsageError, "usage.type", None),
        ({"control": "nope"}, NotFound, "data.no-label", "--control"),
        ({"start": "2024-01-01"}, UsageError, "usage.value", "--time"),
        ({"observational": 1}, UsageError, "usage.type", None),
        ({"shares": "no=.5"}, UsageError, "usage.value", "--shares"),
    ],
)
def test_options_that_no_run_could_satisfy(
    options: dict[str, Any], kind: type[AmbidexError], code: str, do: str | None
) -> None:
    with pytest.raises(kind) as caught:
        campaign(lot(), **{"treatment": "arm", "outcome": "y", **options})
    assert caught.value.code == code
    assert do is None or do in str(caught.value.do)


def test_observational_without_anything_known_before() -> None:
    with pytest.raises(UsageError, match="nothing is adjusted for"):
        campaign(lot().select(["arm", "y"]), treatment="arm", outcome="y", observational=True)
    answer = campaign(lot(600), treatment="arm", outcome="y", observational=True)
    assert "covariates" in [c.code for c in answer.cautions] and answer.strength != "strong"


def test_observational_and_a_date_are_two_designs() -> None:
    with pytest.raises(UsageError, match="two designs"):
        campaign(shops(), **PANEL, start="2024-02-05", observational=True, covariate="sales")


# ---------------------------------------------------------------- nobody, everybody, one


@pytest.mark.parametrize("labels", [["no"] * 20, ["control"] * 20, ["0"] * 20, [None] * 20])
def test_a_treatment_that_nobody_got(labels: list[Any]) -> None:
    with pytest.raises(DataError) as caught:
        campaign(pa.table({"arm": pa.array(labels, pa.string()), "y": range(20)}), treatment="arm", outcome="y")
    assert caught.value.code == "data.no-treated" and caught.value.do


def test_nobody_by_the_named_control() -> None:
    with pytest.raises(DataError) as caught:
        campaign(pa.table({"arm": ["x"] * 9, "y": range(9)}), treatment="arm", outcome="y", control="x")
    assert caught.value.code == "data.no-treated"


def test_nobody_in_a_panel() -> None:
    with pytest.raises(DataError) as caught:
        campaign(shops(treated=0), **PANEL, start="2024-02-05")
    assert caught.value.code == "data.no-treated"


def test_one_unit_treated() -> None:
    rows = pa.table({"arm": ["no"] * 50 + ["yes"], "y": np.arange(51.0)})
    with pytest.raises(DataError) as caught:
        campaign(rows, treatment="arm", outcome="y")
    assert caught.value.code == "data.small-arm"
    with pytest.raises(DataError) as caught:
        campaign(rows.append_column("x", pa.array(np.arange(51.0))), treatment="arm", outcome="y", observational=True,
                 covariate="x")  # fmt: skip
    assert caught.value.code == "data.small-arm" and "--start" in str(caught.value.do)
    followed = campaign(shops(treated=1), **PANEL, start="2024-02-05")
    assert followed.passed and followed.extra["design"] == "panel"


def test_few_untreated_units_leave_it_open() -> None:
    answer = campaign(shops(units=6), **PANEL, start="2024-02-05", value=1.0, cost=1)
    assert answer.verdicts[0].outcome == "open" and "few-units" in [c.code for c in answer.cautions]
    assert answer.verdicts[0].needed is None and answer.to_dict().get("p_loss") is None
    assert answer.extra["p_loss"] is None or 0 <= answer.extra["p_loss"] <= 1


# ---------------------------------------------------------------- money that cannot be


def test_a_cost_above_any_return() -> None:
    answer = campaign(lot(), treatment="arm", outcome="y", value=0.5, cost=1000)
    assert answer.recommendation.verdict == "do-not-act"
    (said,) = [c for c in answer.cautions if c.code == "cost-above-return"]
    assert "--cost" in said.text and answer.extra["p_loss"] > 0.999


def test_no_cost_has_no_roi_and_says_so() -> None:
    answer = campaign(lot(), treatment="arm", outcome="y", value=0.5)
    assert "roi" not in [e.name for e in answer.estimates] and "money" in [c.code for c in answer.cautions]
    assert "ROI" not in answer.headline


def test_no_margin_no_return() -> None:
    answer = campaign(lot(), treatment="arm", outcome="y", cost=3)
    assert [e.name for e in answer.estimates if e.name in ("profit", "return", "roi")] == []
    assert "--value" in answer.recommendation.text and answer.extra["p_loss"] is None


# ---------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("start", "kind", "code"),
    [
        ("2030-01-01", DataError, "data.outcome-before-treatment"),
        ("2020-01-01", DataError, "data.start"),
        ("2024-01-01", DataError, "data.start"),
        ("soon", UsageError, "usage.value"),
    ],
)
def test_a_start_that_cannot_be(start: str, kind: type[AmbidexError], code: str) -> None:
    with pytest.raises(kind) as caught:
        campaign(shops(), **PANEL, start=start)
    assert caught.value.code == code and caught.value.do and caught.value.found


def test_a_time_that_is_none() -> None:
    with pytest.raises(DataError) as caught:
        campaign(lot(when=["abc"] * 200), treatment="arm", outcome="y", time="when", start="2024-01-01")
    assert caught.value.code == "data.column-type"


def test_units_that_switch_on_another_date_or_off_again() -> None:
    rows = shops()
    week, shop = np.array(rows["week"].to_pylist()), np.array(rows["shop"].to_pylist())
    late = ((shop == "s00") & (week >= "2024-02-19")).astype(int)
    again = ((shop == "s00") & (week >= "2024-02-05") & (week < "2024-02-19")).astype(int)
    for on, words in ((late, "--start 2024-02-19"), (again, "end of the campaign")):
        with pytest.raises(DataError) as caught:
            campaign(rows.set_column(1, "on", pa.array(on)), **PANEL, start="2024-02-05")
        assert caught.value.code == "data.start" and words in str(caught.value.do)


def test_three_labels_need_a_control_over_time() -> None:
    rows = shops().set_column(1, "on", pa.array((["a", "b", "c"] * 84)[:250]))
    with pytest.raises(DataError) as caught:
        campaign(rows, **PANEL, start="2024-02-05")
    assert caught.value.code == "data.column-type" and "--control" in str(caught.value.do)


def test_no_unit_has_every_period() -> None:
    rows = shops(units=4, periods=6)
    keep = [i for i in range(rows.num_rows) if i % 5]
    with pytest.raises(DataError) as caught:
        campaign(rows.take(keep), **PANEL, start="2024-01-15")
    assert caught.value.code == "data.too-few-rows"


def test_a_series_too_short() -> None:
    rows = pa.table({"t": range(15), "y": np.arange(15.0)})
    with pytest.raises(DataError) as caught:
        campaign(rows, outcome="y", time="t", start="5")
    assert caught.value.code == "data.start" and "10" in caught.value.message


def test_a_corner_without_rows() -> None:
    rows = pa.table({"near": [0] * 40 + [1] * 20, "year": [1978] * 20 + [1981] * 40, "y": np.arange(60.0)})
    with pytest.raises(DataError) as caught:
        campaign(rows, treatment="near", outcome="y", time="year", start="1981")
    assert caught.value.code == "data.small-arm" and "before" in caught.value.message


# ---------------------------------------------------------------- awkward values


@pytest.mark.parametrize("y", [[5.0] * 200, [None] * 200])
def test_outcomes_that_say_nothing(y: list[Any]) -> None:
    rows = lot().set_column(2, "y", pa.array(y, pa.float64()))
    with pytest.raises(DataError) as caught:
        campaign(rows, treatment="arm", outcome="y", value=1, cost=1)
    assert caught.value.code in ("data.no-variance", "data.all-missing")


def test_text_is_no_outcome_and_one_row_is_no_campaign() -> None:
    with pytest.raises(DataError) as caught:
        campaign(lot(word=["a b", "c d", "e f", "g h"] * 50), treatment="arm", outcome="word")
    assert caught.value.code == "data.column-type"
    with pytest.raises(DataError):
        campaign(lot().slice(0, 2), treatment="arm", outcome="y")


def test_means_near_a_billion() -> None:
    near = campaign(lot(), treatment="arm", outcome="y", value=1, cost=1)
    far_rows = lot().set_column(2, "y", pa.array(np.array(lot()["y"]) + 1e9))
    far = campaign(far_rows, treatment="arm", outcome="y", value=1, cost=1)
    a, b = (next(e for e in x.estimates if e.name == "profit") for x in (near, far))
    assert (a.value, a.low) == pytest.approx((b.value, b.low), abs=1e-3)


def test_a_constant_panel_is_open_and_json() -> None:
    rows = shops()
    rows = rows.set_column(3, "sales", pa.array(np.full(rows.num_rows, 7.0)))
    answer = campaign(rows, **PANEL, start="2024-02-05", value=1, cost=1)
    import json

    assert json.dumps(answer.to_dict(), allow_nan=False) and answer.verdicts[0].outcome == "open"


def test_a_control_in_which_nothing_happened_is_told() -> None:
    rows = pa.table({"t": ["mail", "none"] * 300, "y": [5.0 if i % 20 == 0 else 0.0 for i in range(600)]})
    answer = campaign(rows, treatment="t", outcome="y", value=1, cost=0.1)
    (said,) = [c.text for c in answer.cautions if c.code == "constant-arm"]
    assert "for all 300 units of none" in said


def test_a_gross_difference_in_unequal_arms_is_no_lottery() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 1, 1500)
    rows = pa.table({"t": (x > 0.9).astype(int), "x": x + rng.normal(0, 0.3, 1500), "y": x + rng.normal(0, 1, 1500)})
    answer = campaign(rows, treatment="t", outcome="y", value=1, cost=0.1)
    assert answer.recommendation.verdict == "cannot-answer" and "--observational" in answer.next[0]
