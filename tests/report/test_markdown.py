"""Markdown: the page's order, with every text as text."""

from __future__ import annotations

import doctest
import re

import pytest

from ambidex.report import markdown as module
from ambidex.report.markdown import markdown
from ambidex.report.page import write_report
from report import samples


def test_examples():
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("name", samples.ALL)
def test_tables_are_square(name):
    text = markdown([samples.ALL[name]().to_dict()])
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = block.splitlines()
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
        assert set(lines[1]) <= set("| -:")


def test_reading_order():
    text = markdown([samples.drivers().to_dict()])
    order = [
        "# What goes with churn",
        "The kind of contract",
        "● Strong evidence · Recommended:",
        "| 26.5% |",
        "▲ TotalCharges",
        "## The contract matters",
        "| Contract: Two year | −14.3 pts |",
        "- So what:",
        "## What we suggest",
        "## What we do not know",
        "## How this was made",
        "```\nambidex drivers",
        "## Estimates",
    ]
    at = [text.index(words) for words in order]
    assert at == sorted(at)


def test_hostile_text_stays_text():
    text = markdown([samples.hostile().to_dict()])
    bare = re.sub(r"(`{3,})\n.*?\n\1", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<", bare)


def test_what_cannot_be_answered_comes_first_and_findings_last():
    stopped = dict(samples.experiment().to_dict(), recommendation={"verdict": "cannot-answer", "text": "Ask."})
    text = markdown([stopped])
    assert text.index("cannot answer") < text.index("gate_40 cut")
    assert text.index("not to be relied on") > text.index("How this was made")


def test_several_answers(tmp_path):
    both = [samples.drivers().to_dict(), samples.experiment().to_dict()]
    path = write_report(both, tmp_path / "both.md")
    assert path.read_text().startswith("# Answers to 2 questions\n")
    assert path.read_text().count("\n## ") >= 2
