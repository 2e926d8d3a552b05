"""Pictures: drawn from data, escaped, coloured by variables, nothing cut off."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from ambidex.report.answer import Figure
from ambidex.report.charts import MOST_ROWS, altair_chart, spec, svg, value_text
from ambidex.report.ink import COLOURS, width_of
from ambidex.report.view import view
from report import samples

SURVIVAL = Figure(
    "line-band",
    "Customers who stay",
    "Share still here, with the 95% band",
    "share",
    tuple(
        {"x": t, "value": rate**t, "low": 0.97 * rate**t, "high": min(1.0, 1.03 * rate**t), "series": name}
        for name, rate in (("Month-to-month", 0.96), ("One year", 0.99), ("Two years, renewed by itself", 0.991))
        for t in range(0, 72, 6)
    ),
    "Most of those who pay by the month are gone after two years.",
    x_title="months since joining",
    step=True,
)
PROFIT = Figure(
    "line-band",
    "Profit by depth",
    "EUR, with the 95% band",
    "EUR",
    tuple({"x": d / 10, "value": 40 * d - 3 * d * d, "low": -30, "high": 200, "clear": d > 2} for d in range(11)),
    "It pays best for seven in ten.",
    x_title="customers treated, best first",
    x_unit="share",
    reference=0,
    reference_text="no return",
)
COHORTS = Figure(
    "heatmap",
    "Who came back",
    "Share of a cohort, by month",
    "share",
    tuple({"y": f"cohort {c}", "x": f"month {m}", "value": 0.6 / (m + 1)} for c in range(6) for m in range(6 - c)),
    "A tenth is left after half a year.",
)
POINTS = Figure(
    "scatter",
    "Segments",
    "Spend and orders, with the 95% interval",
    "EUR",
    tuple(
        {"x": i % 7, "value": 3.0 * i, "low": 3.0 * i - 2, "high": 3.0 * i + 2, "label": f"no {i}"} for i in range(9)
    ),
    "Those who order more spend more.",
    x_title="orders a year",
)
NEW = [SURVIVAL, PROFIT, COHORTS, POINTS]
FIGURES = [f.figure for make in samples.ALL.values() for f in make().findings] + NEW


def tree(figure, **options):
    return ET.fromstring(svg(figure, **options))


def texts(figure, **options):
    return ["".join(t.itertext()) for t in tree(figure, **options).iter("text")]


@pytest.mark.parametrize("narrow", [False, True])
@pytest.mark.parametrize("figure", FIGURES, ids=lambda f: f"{f.form}-{f.unit}")
def test_every_figure_is_a_safe_picture(figure, narrow):
    drawn = svg(figure, narrow=narrow)
    root = ET.fromstring(drawn)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert {e.tag for e in root.iter()} <= {"svg", "g", "path", "line", "text", "tspan", "rect"}
    names = {a for e in root.iter() for a in e.attrib}
    assert not names & {"style", "class", "href", "id"}
    assert not any(n.startswith("on") for n in names)
    assert "http" not in drawn.replace(samples.HOSTILE, "")
    width = float(root.get("viewBox").split()[2])
    assert width == (340 if narrow else 800)


def test_paint_is_a_variable_with_its_light_colour():
    drawn = svg(FIGURES[0])
    assert "var(--c1, #1C5BC0)" in drawn
    assert not re.search(r'(fill|stroke)="#', drawn)


def test_text_that_looks_like_paint_stays_text():
    assert any('fill="#1C5BC0"' in t for t in [" ".join(texts(samples.hostile().findings[0].figure))])


@pytest.mark.parametrize("narrow", [False, True])
def test_no_text_leaves_the_picture(narrow):
    """Positions of every text, summed over its parents, with its estimated width: inside the frame."""
    for figure in FIGURES:
        root = tree(figure, narrow=narrow)
        width, height = map(float, root.get("viewBox").split()[2:])

        def walk(node, x, y, room=(width, height), shape=figure):
            moved = re.match(r"translate\(([-\d.]+),([-\d.]+)\)", node.get("transform", ""))
            if moved:
                x, y = x + float(moved[1]), y + float(moved[2])
            if node.tag == "text":
                long = width_of("".join(node.itertext()), float(node.get("font-size", "13px").removesuffix("px")))
                start = {"start": x, "middle": x - long / 2, "end": x - long}[node.get("text-anchor", "start")]
                assert start >= -1, (shape.form, "".join(node.itertext()))
                assert start + long <= room[0] + 1, (shape.form, "".join(node.itertext()))
                assert 0 <= y <= room[1], (shape.form, "".join(node.itertext()))
            for child in node:
                walk(child, x, y)

        walk(root, 0.0, 0.0)


def test_names_of_thirty_characters_stay_on_one_line():
    row = {"label": "Households with family plan 12", "value": 0.1, "low": 0.0, "high": 0.2}
    figure = replace(FIGURES[0], rows=(row,))
    assert len(row["label"]) == 30
    assert row["label"] in texts(figure)


def test_bars_start_at_zero_and_intervals_are_drawn():
    domain = spec(FIGURES[1])["layer"][0]["encoding"]["x"]["scale"]["domain"]
    assert domain[0] == 0
    layers = spec(FIGURES[0])["layer"]
    assert [len(layer["data"]["values"]) for layer in layers[1:4]] == [12, 12, 12]


def test_values_carry_sign_unit_and_unclear():
    said = texts(FIGURES[0])
    assert "−14 pts" in said
    assert "+12 pts" in said
    assert said.count("unclear") == 3
    assert "← less churn" in said
    assert "more churn →" in said


def test_digits_follow_the_differences():
    cookie = samples.experiment().findings[0].figure
    assert value_text(0.1902, cookie) == "19.02%"
    assert value_text(-0.0082, Figure("effect-bars", "", "", "points", ({"value": -0.0082},), "")) == "−0.82 pts"


@pytest.mark.parametrize(
    "form", ["effect-bars", "interval-dots", "bars", "histogram", "line-band", "scatter", "heatmap"]
)
@pytest.mark.parametrize(
    "rows",
    [
        (),
        ({"label": "a", "value": 0},),
        ({"label": "a", "value": None, "low": float("nan"), "high": float("inf")},),
        ({"label": "a", "value": 1e300, "low": -1e300, "high": 1e300}, {"label": "a", "value": 1e-300}),
        ({"left": 0, "right": 0, "value": 3},),
        ({"left": None, "right": 4, "value": 3},),
        ({"x": 1, "y": "a", "value": 3.0, "low": 2.0, "high": float("inf"), "series": "s"},),
        ({"x": "2024-01-01", "value": 1.0}, {"x": "2024-03-01", "value": 2.0, "low": None, "high": 3}),
        ({"x": float("nan"), "value": 1.0}, {"x": None, "value": 2.0}),
    ],
    ids=["none", "zero", "undefined", "huge", "no-width", "open", "no-end", "dates", "no-x"],
)
def test_odd_rows_draw_without_noise(form, rows):
    drawn = svg(Figure(form, "t", "s", "", rows, "sentence"))
    assert "NaN" not in drawn
    assert "Infinity" not in drawn


def test_a_picture_draws_the_first_rows_of_many():
    rows = tuple({"label": f"row {i}", "value": i} for i in range(200))
    assert len([t for t in texts(replace(FIGURES[1], rows=rows, unit="count")) if t.startswith("row")]) == MOST_ROWS


def test_altair_chart_can_be_changed():
    chart = altair_chart(FIGURES[0])
    made = chart.properties(title="Mine").to_dict()
    assert made["title"] == "Mine"
    assert made["layer"][0]["data"] is not None
    assert COLOURS["c1"] in str(chart.to_dict())
    assert len(samples.drivers().charts) == 3


def test_lines_are_named_at_their_ends_and_banded():
    said = texts(SURVIVAL)
    assert {"Month-to-month", "One year", "months since joining"} <= set(said)
    layers = spec(SURVIVAL)["layer"]
    band = next(one for one in layers if one["mark"]["type"] == "area")
    assert band["mark"]["interpolate"] == "step-after"
    assert len(band["data"]["values"]) == len(SURVIVAL.rows)


def test_unclear_stretches_are_grey_and_the_axis_says_percent():
    drawn = svg(PROFIT)
    assert "var(--unclear" in drawn
    assert {"no return", "60%", "customers treated, best first"} <= set(texts(PROFIT))


def test_a_fifth_line_is_left_to_the_numbers():
    rows = tuple({"x": x, "value": s + x, "series": f"line {s}"} for s in range(6) for x in range(3))
    many = replace(SURVIVAL, rows=rows, unit="")
    assert [t for t in texts(many) if t.startswith("line")] == ["line 0", "line 1", "line 2", "line 3"]
    shown = view({"findings": [{"title": "t", "figure": many.to_dict()}]}).sections[0].picture
    assert shown.note == "2 more lines in the numbers below."
    assert len(shown.numbers.rows) == 18
    assert shown.numbers.head == ("", "Months since joining", "Value")


def test_what_a_line_needs_comes_back_from_a_stored_answer():
    shown = view({"findings": [{"title": "t", "figure": PROFIT.to_dict()}]}).sections[0].picture
    assert shown.figure == PROFIT
    assert shown.note == ""
    assert shown.numbers.rows[1][0] == "10.0%"


def test_dots_of_shares_show_an_interval_below_zero():
    roi = Figure(
        "interval-dots", "", "", "share", ({"label": "e-mail", "value": 0.27, "low": -0.49, "high": 1.04},), ""
    )
    assert spec(roi)["layer"][0]["data"]["values"][0]["value"] < -0.3


def test_the_title_of_a_chart_starts_at_its_left_edge():
    assert altair_chart(SURVIVAL).to_dict()["title"]["frame"] == "group"
