"""The page: one file that needs nothing else, with every text as text."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from html.parser import HTMLParser

import pytest

from ambidex.errors import DataError, EnvironmentProblem, UsageError
from ambidex.report.ink import COLOURS, DARK, mix
from ambidex.report.markdown import markdown
from ambidex.report.page import LARGEST, cell_html, page_html, write_report
from ambidex.report.sheet import sheet
from ambidex.report.view import view
from report import samples
from report.browser import needs_browser, run, visit

ANSWERS = {name: make().to_dict() for name, make in samples.ALL.items()}
PAGES = {name: page_html([answer]) for name, answer in ANSWERS.items()}
PAGES["many"] = page_html([ANSWERS["drivers"], ANSWERS["experiment"], ANSWERS["unanswerable"]])

VOID = {"meta", "link", "br", "img", "input", "hr"}


class Reader(HTMLParser):
    """Tags, attributes and text; fails on tags that close out of order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(t == tag for t, _ in self.tags)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_one_small_file_without_references(name):
    page = PAGES[name]
    assert len(page.encode()) < 120_000
    read = Reader(page)
    told = page.replace("http-equiv", "")
    assert "http" not in told
    assert "url(" not in told
    assert "@import" not in told
    for tag, attributes in read.tags:
        assert not set(attributes) & {"src", "style", "srcset", "action", "ping"}, tag
        assert not any(a.startswith("on") for a in attributes), tag
        assert attributes.get("href", "#").startswith(("#", "data:,")), tag
    assert read.count("script") == 1
    assert read.count("style") == 1
    assert read.count("h1") == 1
    assert read.count("img") == read.count("iframe") == read.count("object") == 0
    assert "None" not in [w.strip() for w in read.words]


@pytest.mark.parametrize("name", PAGES)
def test_the_policy_admits_our_style_and_script_by_hash_and_nothing_else(name):
    page = PAGES[name]
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for rule, tag in (("style-src", "style"), ("script-src", "script")):
        inner = re.search(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert rules[rule] == f"'sha256-{digest}'"
    assert "unsafe" not in policy
    assert len(re.search("<script>(.*?)</script>", page, re.DOTALL)[1]) < 3000


def test_hostile_text_is_text_everywhere():
    page = PAGES["hostile"]
    read = Reader(page)
    assert read.count("script") == 1
    assert "alert(" not in re.search("<script>(.*?)</script>", page, re.DOTALL)[1]
    shown = "".join(read.words)
    assert samples.HOSTILE in shown
    assert "{{7*7}}" in shown
    assert "49" not in re.sub(r"[\d.]*49[\d.]+|[\d.]+49[\d.]*", "", "".join(read.words[:40]))
    assert samples.LONG in shown


def test_reading_order():
    page = PAGES["drivers"]
    order = [
        "What goes with churn, and what",
        "The kind of contract goes with churn",
        "Strong evidence",
        "Recommended",
        "How well the model ranks",
        "TotalCharges is blank in 11 rows",
        "Finding 1 of 3",
        "Show the numbers",
        "So what",
        "How sure",
        "What we suggest doing",
        "What we do not know",
        "How this was made",
        "telco_customer_churn.csv</span> <span>--target",
        "5f1c09e2a77b4d10",
        "Details: all estimates",
    ]
    at = [page.index(words, page.index("<main>")) for words in order]
    assert at == sorted(at)


def test_a_table_stands_under_every_chart():
    page = PAGES["drivers"]
    assert page.count("Show the numbers") == page.count("<figure") == 3
    assert page.count("<svg") == 6  # wide and narrow
    assert "−16.4 to −12.2 pts" in page


def test_p_values_live_in_the_details_only():
    for name in ("drivers", "experiment"):
        page = PAGES[name]
        before, after = page.split('<details class="details', 1)
        assert ">p</th>" in after
        assert ">p</th>" not in before


def test_an_answer_that_cannot_be_given_says_so_first():
    page = PAGES["unanswerable"]
    main = page[page.index("<main>") :]
    assert main.index("This data cannot answer the question.") < main.index("The arms have sizes")
    assert "■ Cannot be answered" in main
    assert 'class="details grey"' in main
    assert "<figure" not in main.split('<details class="details', 1)[0]
    stopped = dict(ANSWERS["experiment"], recommendation={"verdict": "cannot-answer", "text": "Find out why."})
    shown = page_html([stopped])
    assert shown.index("<figure") > shown.index('class="details grey"')


def test_a_stopped_page_keeps_what_only_counts_and_says_which_check_failed():
    stopped = dict(ANSWERS["unanswerable"], tables={"costs": [{"of": "tv", "spent": 120.5}], "ways": [{"value": 7}]})
    before, after = page_html([stopped]).split('<details class="details', 1)
    assert ">Costs</h2>" in before and ">120<" in before.replace("121", "120")
    assert ">Ways<" in after and ">Ways<" not in before
    assert "Not to be used: the check srm failed." in after
    for write in (markdown, lambda a: sheet(a).hex()):
        assert write([stopped]) == write([stopped])
    assert "Not to be used: the check srm failed." in markdown([stopped])


def test_several_answers_have_contents_and_anchors():
    page = PAGES["many"]
    assert "Answers to 3 questions" in page
    assert re.findall(r'href="#(a\d)"', page) == ["a1", "a2", "a3"]
    assert re.findall(r'id="(a\d)"', page) == ["a1", "a2", "a3"]


def test_the_same_answer_gives_the_same_bytes():
    assert page_html([samples.experiment().to_dict()]) == PAGES["experiment"]


def test_an_answer_read_back_from_json_gives_the_same_page():
    assert page_html([json.loads(json.dumps(ANSWERS["drivers"]))]) == PAGES["drivers"]


def test_an_answer_with_hardly_anything_still_reads():
    page = page_html([{}])
    Reader(page)
    assert "What was found?" in page


def test_at_most_five_findings():
    finding = ANSWERS["bare"] | {"findings": ANSWERS["drivers"]["findings"][1:2] * 9}
    assert len(view(finding).sections) == 5


def test_a_huge_answer_stays_under_a_megabyte():
    rows = [{"column": "c" * 200, "problem": "p" * 250, "example": "e" * 290, "n": i} for i in range(5000)]
    huge = ANSWERS["bare"] | {"tables": {f"t{i}": rows for i in range(8)}}
    page = page_html([huge])
    assert len(page.encode()) <= LARGEST
    assert "of 5,000 rows" in page


def _luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def _contrast(a: str, b: str) -> float:
    light, dark = sorted((_luminance(a), _luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize(("colours", "wash"), [(COLOURS, 0.09), (DARK, 0.14)], ids=["light", "dark"])
def test_contrast_is_aa(colours, wash):
    for name in ("ink", "second", "third", "ok", "warn", "bad", "c1"):
        assert _contrast(colours[name], colours["ground"]) >= 4.5, name
        assert _contrast(colours[name], colours["card"]) >= 4.5, name
    for name in ("ok", "warn", "bad"):
        assert _contrast(colours[name], mix(colours[name], colours["card"], wash)) >= 4.5, name
    assert _contrast(colours["second"], mix(colours["third"], colours["card"], wash)) >= 4.5
    for name in ("c1", "c2", "reference"):
        assert _contrast(colours[name], colours["card"]) >= 3, name


# Cells and files ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", samples.ALL)
def test_a_cell_is_self_contained(name):
    cell = cell_html(ANSWERS[name])
    read = Reader(cell)
    assert read.count("script") == read.count("img") == 0
    assert read.count("style") == 1
    rules = re.search("<style>(.*?)</style>", cell, re.DOTALL)[1]
    assert all(".ambidex" in r for r in re.findall(r"([^{}]+)\{", rules))
    assert samples.ALL[name]()._repr_html_() == cell


def test_a_cell_shows_sentence_picture_and_table():
    cell = cell_html(ANSWERS["experiment"])
    assert cell.index("gate_40 cut") < cell.index("<svg") < cell.index("<table")


def test_write_report_gives_the_page_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "why.html"
    path.write_text("old")
    assert write_report([ANSWERS["drivers"]], path) == path
    assert path.read_text() == PAGES["drivers"]
    assert samples.drivers().report(tmp_path / "x.HTML").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["why.html", "x.HTML"]


def test_write_report_refuses_what_it_cannot_do(tmp_path):
    with pytest.raises(DataError, match="no folder") as raised:
        write_report([ANSWERS["bare"]], tmp_path / "no" / "x.html")
    assert raised.value.code == "data.no-out-folder"
    for name in ("x.docx", "x"):
        with pytest.raises(UsageError) as wrong:
            write_report([ANSWERS["bare"]], tmp_path / name)
        assert wrong.value.code == "usage.value"
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(EnvironmentProblem) as disk:
        write_report([ANSWERS["bare"]], tmp_path / "folder.html")
    assert disk.value.code == "env.disk"
    assert [p.name for p in tmp_path.iterdir()] == ["folder.html"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "why.html"
    path.write_text("old")

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EnvironmentProblem, match="No space left"):
        write_report([ANSWERS["bare"]], path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["why.html"]


# In a browser ------------------------------------------------------------------------------------


@needs_browser
@pytest.mark.parametrize("name", ["many", "hostile"])
def test_a_browser_finds_no_fault_and_asks_nobody(name, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(PAGES[name])
    seen = visit(tmp_path, path)
    assert seen.console == []
    assert seen.requests == []
    assert 'aria-pressed="' in seen.dom
    assert '<div id="tools">' in seen.dom  # the script ran: the buttons are shown
    assert seen.dom.count("<script") == 1
    assert "<img" not in seen.dom


@needs_browser
def test_the_browser_check_would_notice(tmp_path):
    path = tmp_path / "page.html"
    planted = '<img src="http://planted.example/x.png"><script>console.error("planted")</script>'
    path.write_text("<!doctype html>" + planted)
    seen = visit(tmp_path, path)
    assert any("planted" in line for line in seen.console)
    assert any("planted.example" in url for url in seen.requests)
    path.write_text(PAGES["bare"].replace("</main>", planted + "</main>"))
    stopped = visit(tmp_path, path)
    assert stopped.requests == []
    assert len(stopped.console) == 2  # the policy stops both, and says so


@needs_browser
def test_nothing_is_wider_than_a_phone(tmp_path):
    for name in ("drivers", "hostile", "long_names", "unanswerable"):
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", PAGES[name])
        page = page.replace("<details", "<details open")
        frame = json.dumps(page).replace("<", "\\u003c")
        path = tmp_path / f"{name}.html"
        path.write_text(
            "<!doctype html><body><script>const f=document.createElement('iframe');f.width=390;f.height=800;"
            "f.onload=()=>{document.body.dataset.wide=f.contentDocument.documentElement.scrollWidth};"
            f"f.srcdoc={frame};document.body.append(f)</script>"
        )
        done = run(tmp_path, path, "--dump-dom")
        assert int(re.search(r'data-wide="(\d+)"', done.stdout)[1]) <= 390, name


@needs_browser
def test_a_picture_of_the_page_is_not_empty(tmp_path):
    path, picture = tmp_path / "page.html", tmp_path / "page.png"
    path.write_text(PAGES["drivers"])
    run(tmp_path, path, f"--screenshot={picture}", "--window-size=980,1200")
    assert picture.stat().st_size > 40_000


@needs_browser
def test_it_prints(tmp_path):
    path, paper = tmp_path / "page.html", tmp_path / "page.pdf"
    path.write_text(PAGES["drivers"])
    run(tmp_path, path, "--no-pdf-header-footer", f"--print-to-pdf={paper}")
    data = paper.read_bytes()
    pages = len(re.findall(rb"/Type\s*/Page\b", data))
    assert 2 <= pages <= 5
    assert re.search(rb"/MediaBox\s*\[\s*0 0 59[45]\.?\d* 84[12]", data)  # A4


def test_column_names_between_backticks_are_code():
    page = page_html([{"headline": "`a<b>` has 3 blanks, `c` none.", "question": "Is `a` odd?"}])
    assert "<code>a&lt;b&gt;</code> has 3 blanks, <code>c</code> none." in page
    assert "<title>Is a odd?</title>" in page
    assert "one ` alone" in page_html([{"headline": "one ` alone"}])
