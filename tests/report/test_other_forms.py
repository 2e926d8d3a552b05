"""Reports as PDF, slides and a notebook: whole, safe, the same bytes for the same answer."""

from __future__ import annotations

import io
import json
import shlex

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ambidex as amb
from ambidex import UsageError, cli
from ambidex.report.notebook import notebook
from ambidex.report.sheet import sheet
from ambidex.report.slides import slides

HOSTILE = [
    "<script>alert(1)</script>",
    '=HYPERLINK("http://x")',
    "客户流失率",
    "معدل الرحيل",
    "🙂 smile",
    "#let x = 1; $x$ *b* _i_ @cite",
    "a" * 200,
]


@pytest.fixture(scope="module")
def rows() -> pa.Table:
    rng = np.random.default_rng(3)
    arm = np.array(["A", "B"])[rng.integers(0, 2, 1200)]
    spend = rng.lognormal(2, 1, 1200) * np.where(arm == "B", 1.3, 1.0)
    paid = rng.random(1200) < np.where(arm == "B", 0.5, 0.35)
    return pa.table({
        "arm": arm, "spend": spend, "paid": np.where(paid, "yes", "no"), "age": rng.integers(18, 80, 1200),
        "city": np.array(HOSTILE[:4])[rng.integers(0, 4, 1200)],
    })  # fmt: skip


@pytest.fixture(scope="module")
def file(rows, tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("t") / "shop.parquet"
    pq.write_table(rows, path)
    return str(path)


@pytest.fixture(scope="module")
def answers(file):
    return {
        "experiment": amb.experiment(file, group="arm", metric=["spend", "paid:share"], control="A"),
        "drivers": amb.drivers(file, target="paid", positive="yes"),
        "plan": amb.plan(baseline=0.2, difference=0.02),
        "profile": amb.profile(file, target="paid"),
        "campaign": amb.campaign(file, treatment="arm", outcome="spend", control="A", value=0.3, cost=0.1),
        "segments": amb.segments(file),
    }


def hostile() -> list[dict]:
    figure = {
        "form": "bars", "title": HOSTILE[0], "subtitle": HOSTILE[5], "unit": HOSTILE[1], "sentence": HOSTILE[2],
        "less": "", "more": "", "rows": [{"label": h, "value": i + 1.0} for i, h in enumerate(HOSTILE)],
    }  # fmt: skip
    finding = {
        "title": HOSTILE[6], "text": HOSTILE[3], "strength": "some", "so_what": HOSTILE[0], "how_sure": HOSTILE[5],
        "figure": figure,
    }  # fmt: skip
    return [
        {
            "verb": "drivers", "question": h, "headline": h, "strength": "strong", "findings": [finding],
            "recommendation": {"verdict": verdict, "text": h}, "numbers": [[h, h, h]], "unknowns": [h],
            "cautions": [{"code": "x", "text": h}], "actions": [[h, h, h, h]], "tables": {h: [{h: h, "n": 1}]},
            "record": {"command": h, "options": {h: h}, "origin": {"source": h}},
        }
        for h in HOSTILE for verdict in ("act", "cannot-answer")
    ]  # fmt: skip


@pytest.mark.parametrize("form", [sheet, slides, notebook])
def test_hostile_labels_are_text_and_bytes_are_the_same(form):
    documents = hostile()
    made = form(documents)
    assert made == form(documents)
    for document in documents:
        form([document])


def test_a_sheet_says_what_the_page_says(answers):
    pypdf = pytest.importorskip("pypdf")
    made = sheet([a.to_dict() for a in answers.values()])
    pages = pypdf.PdfReader(io.BytesIO(made)).pages
    text = " ".join(" ".join(page.extract_text() for page in pages).split())
    for answer in answers.values():
        assert " ".join(answer.question.replace("`", "").split())[:40] in text
    assert "What we do not know" in text and "How this was made" in text
    assert all(round(float(p.mediabox.width)) == 595 for p in pages) and len(made) < 1_500_000


def test_slides_hold_what_they_show(answers):
    from pptx import Presentation

    deck = Presentation(io.BytesIO(slides([a.to_dict() for a in answers.values()])))
    pictures = 0
    for slide in deck.slides:
        assert slide.shapes.title.text_frame.text
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.top >= 0
            assert shape.left + shape.width <= deck.slide_width and shape.top + shape.height <= deck.slide_height
            if shape.shape_type == 13:
                pictures += 1
                assert shape._element.nvPicPr.cNvPr.get("descr")
    assert pictures >= 4
    headlines = {s.text_frame.text for slide in deck.slides for s in slide.shapes if s.has_text_frame}
    assert any(answers["experiment"].headline in h for h in headlines)


@pytest.mark.parametrize(
    "verb",
    [
        *("experiment", "drivers", "plan", "profile"),
        *(pytest.param(v, marks=pytest.mark.slow) for v in ("campaign", "segments")),
    ],
)
def test_the_notebook_gives_the_answer_again(answers, verb):
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    page = nbformat.reads(notebook([answers[verb].to_dict()]).decode(), as_version=4)
    nbformat.validate(page)
    nbclient.NotebookClient(page, timeout=120, kernel_name="python3").execute()
    said = "".join(o.get("text", "") for c in page.cells for o in c.get("outputs", ()))
    assert "the answer is the same" in said and "CHANGED" not in said
    shown = [o for c in page.cells for o in c.get("outputs", ()) if "text/html" in o.get("data", {})]
    assert shown and answers[verb].headline.split()[0] in json.dumps(shown, ensure_ascii=False)


@pytest.mark.parametrize("verb", ["experiment", "drivers", "plan", "profile", "campaign", "segments"])
def test_the_recorded_command_gives_the_same_json(answers, verb, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    program, *words = shlex.split(answers[verb].record["command"])
    assert program == "ambidex" and cli.main(["--json", *words]) == 0
    told = json.loads(capsys.readouterr().out)["data"]
    assert json.dumps(told) == json.dumps(json.loads(json.dumps(answers[verb].to_dict())))


def test_report_writes_every_form(answers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    both = [answers["experiment"], answers["plan"]]
    files = amb.report(*both, to="html,pdf,pptx,md,notebook", out="both").to_dict()["files"]
    assert [f.rpartition(".")[2] for f in files] == ["html", "pdf", "pptx", "md", "ipynb"]
    assert all((tmp_path / f).stat().st_size > 1000 for f in files)
    assert amb.report(both[0], to=["pdf"]).to_dict()["files"] == ["experiment.pdf"]
    assert both[0].report("one.pptx").exists()
    with pytest.raises(UsageError, match="did you mean"):
        amb.report(both[0], to="pptxx")
