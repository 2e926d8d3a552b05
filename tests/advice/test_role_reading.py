"""``role``: sentences, spans, readings, and what it must never echo."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ambidex import UsageError, role
from ambidex.advice.posting import masked, read_posting
from ambidex.advice.role import read_role
from ambidex.advice.sentences import split
from support import shared

SCIENTIST_WEEK = """A data scientist's typical week
Monday: meet with marketing to understand why churn rose, and define the business question and its metrics.
Tuesday: pull data with SQL, explore it in a notebook, look for patterns.
Wednesday: build and compare predictive models, test hypotheses about what goes with churn.
Thursday: validate findings with statistical tests and make visualizations that explain them.
Friday: present insights and recommendations to executives, plan an A/B test."""

ENGINEER_WEEK = """A machine learning engineer's typical week
Monday: review production models, investigate an alert about latency in the recommendation service.
Tuesday: refactor a notebook into a proper Python package with unit tests.
Wednesday: build an automated retraining pipeline with CI/CD that runs when new data arrives.
Thursday: deploy a version to Kubernetes behind an API, run load tests, set up monitoring for drift.
Friday: code review, documentation, optimize inference for 10,000 predictions per second."""

SCIENTIST_QUESTIONS = """What factors predict customer churn?
Is there a statistically significant difference between treatment groups?
What customer segments exist in our customer base?
What is the expected return on this marketing campaign?"""

ENGINEER_QUESTIONS = """How do we deploy this model to handle 10,000 predictions per second?
How do we automatically retrain when new data arrives?
How do we monitor model performance in production and detect drift?
What is causing latency spikes in our recommendation service?
How do we version, test, and roll back models safely?"""

DASHBOARDS = """Machine Learning Engineer
We are looking for a Machine Learning Engineer to join our analytics team.
Responsibilities:
- Build dashboards in Tableau for the sales and marketing teams
- Analyze customer data to find trends and report weekly KPIs to stakeholders
- Present insights to senior leadership and recommend actions
- Design and analyze A/B tests for pricing and promotions
- Write SQL queries for ad-hoc reports and answer business questions
Qualifications:
- Experience with Excel, SQL and statistics
- Able to explain findings to non-technical people
- Experience with Docker is a plus"""


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        (SCIENTIST_WEEK, "data_scientist"),
        (ENGINEER_WEEK, "ml_engineer"),
        (SCIENTIST_QUESTIONS, "data_scientist"),
        (ENGINEER_QUESTIONS, "ml_engineer"),
        (SCIENTIST_WEEK + "\n\n" + ENGINEER_WEEK, "both_in_one"),
        (SCIENTIST_QUESTIONS + "\n" + ENGINEER_QUESTIONS, "both_in_one"),
    ],
    ids=["their week", "the other week", "their questions", "the other questions", "both weeks", "all questions"],
)
def test_weeks_and_questions_are_read_as_their_roles(text, reading):
    data = role(text).to_dict()
    assert data["reading"] == reading
    if reading == "both_in_one":
        assert data["mixed"] == "two_jobs"
        assert data["split"]["data_scientist"] and data["split"]["ml_engineer"]


def test_a_title_that_does_not_fit_its_work():
    data = role(DASHBOARDS).to_dict()
    assert data["title"] == "Machine Learning Engineer" and data["title_fits"] is False
    assert data["reading"] == "data_scientist" and data["suggested_title"] == "Data Scientist"
    assert any("dashboards" in s["text"] for s in data["against_title"])
    assert [c["text"] for c in data["cut"]] == ["Experience with Docker is a plus"]


@pytest.mark.parametrize(
    ("title", "fits"),
    [
        ("Software Engineer, Machine Learning", True), ("ML Platform Engineer", True), ("MLOps Lead", True),
        ("Data Scientist, Machine Learning", False), ("Business Analyst, Data Science", False),
        ("Data Engineer", False),
    ],
)  # fmt: skip
def test_titles_over_an_engineer_s_week(title, fits):
    assert role(title + "\n" + ENGINEER_WEEK.split("\n", 1)[1]).to_dict()["title_fits"] is fits


def test_an_expected_role():
    assert role(ENGINEER_WEEK, expect="ml-engineer").passed
    refused = role(ENGINEER_WEEK, expect="data_scientist")
    assert not refused.passed and refused.code == "check.role"
    with pytest.raises(UsageError, match="did you mean"):
        role(ENGINEER_WEEK, expect="data-scientst")
    with pytest.raises(UsageError):
        role(ENGINEER_WEEK, kind="novel")
    with pytest.raises(UsageError):
        role(ENGINEER_WEEK, rewrite="docx")


def test_a_rewritten_posting_is_made_of_the_author_s_sentences():
    written = role(DASHBOARDS, rewrite="md").to_dict()["rewritten"]
    for line in written.splitlines():
        if line.startswith("- "):
            assert line[2:] in DASHBOARDS
    assert "## Cut" in written and written.startswith("# Data Scientist")


@pytest.mark.parametrize(
    "text",
    [
        "We want a good person who builds things with care and likes to travel with us to many places every year.",
        "Wir suchen eine Person, die Modelle baut, in Betrieb nimmt und überwacht. " * 10,
        ENGINEER_WEEK[:120],
    ],
    ids=["nothing about work", "German", "short"],
)
def test_cannot_say(text):
    data = role(text + "\n").to_dict()
    assert data["reading"] == "cannot_say" and data["why_not"]


def test_a_cv_shows_work_and_nothing_of_the_person():
    cv = """Curriculum vitae
Jane Example, born 3 May 1990, nationality Swiss, jane@example.org, +41 44 123 45 67
Employment history
2019 - 2022 Built and deployed ML pipelines on Kubernetes with CI/CD and monitoring for drift.
2016 - 2019 Developed APIs in Java, wrote unit tests, ran code reviews and on-call for production systems.
I led the migration of model serving to low-latency inference and retrained models automatically.
I built a feature store and a model registry with MLflow and Docker for twelve teams in production.
"""
    result = role(cv)
    shown = json.dumps(result.to_dict(), ensure_ascii=False) + "".join(text for _, text in result.lines)
    assert result.to_dict()["kind"] == "cv" and result.to_dict()["reading"] == "ml_engineer"
    for private in ("Jane", "1990", "Swiss", "example.org", "123 45 67"):
        assert private not in shown
    assert result.to_dict()["title"] is None


def test_markup_is_blanked_in_place():
    page = "<html><head><title>x</title><script>deploy()</script></head><body><h1>ML Engineer</h1><ul>"
    page += "".join(f"<li>{line}</li>" for line in ENGINEER_WEEK.splitlines()[1:]) + "</ul></body></html>"
    data = read_role(read_posting(page.encode(), "p.html"))
    assert data["reading"] == "ml_engineer"
    assert all(page[e["start"] : e["end"]] == e["text"] for e in data["evidence"])
    assert not any("deploy()" in e["text"] for e in data["evidence"])


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=600))
def test_pieces_are_places_in_any_text(text):
    at = 0
    for piece in split(text):
        assert text[piece.start : piece.end] == piece.text and piece.start >= at
        at = piece.end
    assert len(masked(text)) == len(text)


def test_lost_line_breaks():
    texts = [s.text for s in split("You have experience.We offer moreResponsibilitiesBuild models in PyTorchUse SQL")]
    assert texts == ["You have experience.", "We offer more", "Responsibilities", "Build models in PyTorch", "Use SQL"]


@pytest.mark.parametrize(
    ("raw", "code"),
    [(b"", "advice.empty"), (b"<p></p>", "advice.empty"), (b"a" * 5_000_000, "advice.too-large"),
     (b"\x00\x01", "advice.no-text")],
)  # fmt: skip
def test_no_posting(raw, code, tmp_path):
    path = tmp_path / "p.txt"
    path.write_bytes(raw)
    with pytest.raises(Exception) as caught:
        role(path)
    assert caught.value.code == code


def test_a_posting_in_pdf(tmp_path):
    typst = pytest.importorskip("typst")
    path = tmp_path / "posting.pdf"
    source = "\n\n".join(ENGINEER_WEEK.replace("/", "\\/").splitlines())
    path.write_bytes(typst.compile(source.encode()))
    data = role(path).to_dict()
    assert data["reading"] == "ml_engineer" and any("PDF" in w for w in data["warnings"])


def test_all_postings_are_read_quickly_and_exactly():
    import pyarrow.parquet as pq

    texts = pq.read_table(shared("data/roles/postings.parquet"), columns=["description"])["description"].to_pylist()[
        ::8
    ]
    began = time.process_time()
    for text in texts:
        data = read_role(read_posting(text.encode(), "x"))
        places = [*data["evidence"], *data["cut"], *(e for a in data["areas"].values() for e in a["evidence"])]
        assert all(text[p["start"] : p["end"]] == p["text"] for p in places)
    assert time.process_time() - began < 4 * 20 * len(texts) / 2314
    assert json.dumps(data) == json.dumps(read_role(read_posting(text.encode(), "x")))
