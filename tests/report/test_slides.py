"""Slides: text that can be edited and fits, pictures with their sentence, the same bytes again."""

from __future__ import annotations

import io
import re
import zipfile

import pytest

from ambidex.report.slides import slides
from report import samples

pptx = pytest.importorskip("pptx")


@pytest.fixture(scope="module")
def decks():
    made = {name: slides([make().to_dict()]) for name, make in samples.ALL.items()}
    return {name: (data, pptx.Presentation(io.BytesIO(data))) for name, data in made.items()}


def said(deck):
    return [s.text_frame.text for slide in deck.slides for s in slide.shapes if s.has_text_frame]


@pytest.mark.parametrize("name", samples.ALL)
def test_every_shape_stays_on_its_slide(decks, name):
    deck = decks[name][1]
    for slide in deck.slides:
        for shape in slide.shapes:
            assert shape.left >= 0
            assert shape.top >= 0
            assert shape.left + shape.width <= deck.slide_width
            assert shape.top + shape.height <= deck.slide_height


def test_the_answer_comes_first_and_a_finding_a_slide(decks):
    answer, deck = samples.drivers(), decks["drivers"][1]
    first = "\n".join(s.text_frame.text for s in deck.slides[0].shapes if s.has_text_frame)
    assert answer.question in first
    assert answer.headline in first
    assert answer.recommendation.text in first
    titles = [slide.shapes.title.text_frame.text for slide in deck.slides]
    assert [f.title for f in answer.findings] == [t for t in titles if t in {f.title for f in answer.findings}]
    assert titles[-3:] == ["What we suggest doing", "What we do not know", "How this was made"]


def test_pictures_have_their_sentence_and_are_fine(decks):
    answer, deck = samples.drivers(), decks["drivers"][1]
    pictures = [s for slide in deck.slides for s in slide.shapes if s.shape_type == 13]
    assert [p._element.nvPicPr.cNvPr.get("descr") for p in pictures] == [f.figure.sentence for f in answer.findings]
    assert min(p.image.size[0] for p in pictures) >= 2000


def test_a_stopped_answer_says_so_and_shows_no_finding(decks):
    deck = decks["unanswerable"][1]
    text = "\n".join(said(deck))
    assert "This data cannot answer the question." in text
    assert "Why it cannot be answered" in text
    assert "Finding" not in text


def test_markup_of_the_data_stays_text(decks):
    data, deck = decks["hostile"]
    assert samples.HOSTILE in "\n".join(said(deck))
    with zipfile.ZipFile(io.BytesIO(data)) as parts:
        for part in parts.namelist():
            if part.startswith("ppt/slides/"):
                assert b"<script" not in parts.read(part)


def test_names_in_other_scripts_and_long_ones(decks):
    words = ("مرحبا بالعملاء", "长期合同客户", "families 👨‍👩‍👧", "x" * 200)
    answer = samples.drivers().to_dict()
    answer["findings"][0]["title"] = " ".join(words)
    text = "\n".join(said(pptx.Presentation(io.BytesIO(slides([answer])))))
    assert all(w in text for w in words[:3])


def test_the_same_answers_give_the_same_bytes(decks):
    again = slides([samples.drivers().to_dict()])
    assert again == decks["drivers"][0]
    with zipfile.ZipFile(io.BytesIO(again)) as parts:
        assert {i.date_time[0] for i in parts.infolist()} == {1980}
        assert not re.search(rb"20[2-9]\d-\d\d-\d\dT", parts.read("docProps/core.xml"))


def test_several_answers_open_with_their_questions():
    both = [samples.drivers(), samples.experiment()]
    deck = pptx.Presentation(io.BytesIO(slides([a.to_dict() for a in both])))
    first = "\n".join(s.text_frame.text for s in deck.slides[0].shapes if s.has_text_frame)
    for answer in both:
        assert answer.question in first
        assert answer.headline in first
