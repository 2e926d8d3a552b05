"""Every form of a report: the same bytes for the same answers, and no label that becomes markup."""

from __future__ import annotations

import io
import json
import zipfile

import pytest

from ambidex.report.page import FORMS, write_report
from report import samples


@pytest.mark.parametrize("ending", sorted(FORMS.values()))
def test_the_same_answers_give_the_same_file(ending, tmp_path):
    answers = [samples.unanswerable().to_dict(), samples.hostile().to_dict()]
    first = write_report(answers, tmp_path / f"a{ending}").read_bytes()
    second = write_report(answers, tmp_path / f"b{ending}").read_bytes()
    assert first == second
    assert len(first) < 5_000_000


def test_hostile_labels_stay_text_in_slides_and_notebooks(tmp_path):
    answers = [samples.hostile().to_dict()]
    archive = zipfile.ZipFile(io.BytesIO(write_report(answers, tmp_path / "a.pptx").read_bytes()))
    slides = [archive.read(n).decode() for n in archive.namelist() if n.startswith("ppt/slides/slide")]
    assert slides
    assert not any("<script" in s for s in slides)
    book = json.loads(write_report(answers, tmp_path / "a.ipynb").read_text())
    assert not any("<script" in "".join(c["source"]) for c in book["cells"] if c["cell_type"] == "markdown")
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            compile("".join(cell["source"]), "cell", "exec")
