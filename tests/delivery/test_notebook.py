"""Notebooks: what reading finds, what is refused, what never happens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambidex
from ambidex.delivery.notebook.reader import read_notebook, split_magics
from ambidex.delivery.notebook.steps import slice_back, steps_of
from ambidex.errors import AmbidexError, DataError, EnvironmentProblem, Refused
from support import shared

COUNTED = "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression"


def notebook(path: Path, *cells: str, counts: list[int | None] | None = None, outputs: Any = None) -> Path:
    numbers = counts if counts is not None else list(range(1, len(cells) + 1))
    document = {
        "cells": [
            {"cell_type": "code", "source": c, "execution_count": n, "outputs": outputs or [], "metadata": {}}
            for c, n in zip(cells, numbers, strict=True)
        ],
        "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "ws"
    ambidex.init(folder)
    rng = np.random.default_rng(1)
    lines = ["id,x,colour,y"]
    for i in range(600):
        x, colour = float(rng.normal()), "rgb"[int(rng.integers(3))]
        blank = "" if i % 50 == 7 else f"{x:.4f}"
        lines.append(f"{i},{blank},{colour},{'yes' if rng.random() < 1 / (1 + np.exp(-2 * x)) else 'no'}")
    (tmp_path / "t.csv").write_text("\n".join(lines) + "\n")
    return folder


MODEL = (
    COUNTED,
    "df = pd.read_csv('t.csv')",
    "mid = df['x'].median()\ndf['x'] = df['x'].fillna(mid)",
    "X = pd.get_dummies(df.drop(columns=['id', 'y']), drop_first=True)",
    "y = (df['y'] == 'yes').astype(int)\nmodel = LogisticRegression().fit(X, y)",
    "p = model.predict_proba(X)[:, 1]",
)


def left(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if "packages" in p.parts}


def kinds(result: Any) -> set[str]:
    return {t["kind"] for t in result.data["traps"]}


def test_without_run_nothing_runs_and_nothing_is_written(place: Path, tmp_path: Path) -> None:
    path = notebook(tmp_path / "nb.ipynb", *MODEL, "open('RAN', 'w')")
    result = ambidex.package(path, name="m", at=place)
    assert result.data["version"] is None
    assert {"fit-on-all-rows", "batch-dependent"} <= kinds(result)
    assert not (tmp_path / "RAN").exists() and not left(place)


def test_a_small_notebook_becomes_a_version(place: Path, tmp_path: Path) -> None:
    path = notebook(tmp_path / "nb.ipynb", *MODEL)
    result = ambidex.package(path, name="m", run=True, at=place)
    assert (result.data["equal"], result.data["of"], result.data["version"]) == (600, 600, 1)
    assert result.data["largest_difference"] == 0
    text = (Path(result.data["path"]) / "src" / "m_model" / "features.py").read_text()
    assert "dropna" not in text and 'state["mid"]' in text
    assert ambidex.gate("m@1", at=place).passed


@pytest.mark.slow
def test_counts_are_followed_and_the_page_is_compared(place: Path, tmp_path: Path) -> None:
    cells = [*MODEL[:2], "df['x'] = df['x'].clip(upper=CAP)", *MODEL[2:], "CAP = 0.5"]
    first = ["CAP = 3.0", *cells]
    path = notebook(tmp_path / "nb.ipynb", *first, counts=[1, 2, 4, 5, 6, 7, 8, 9, 3])
    result = ambidex.package(path, name="m", run=True, at=place)
    told = {t["kind"]: t for t in result.data["traps"]}
    assert result.data["equal"] == result.data["of"] == 600
    assert 8 in told["order"]["cells"]
    assert "other predictions for" in told["page-order"]["what"]


@pytest.mark.slow
def test_a_shell_line_is_named_and_never_run(place: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    path = notebook(tmp_path / "nb.ipynb", "!rm -rf data", *MODEL)
    result = ambidex.package(path, name="m", run=True, at=place)
    assert any(t["kind"] == "shell" and t["cells"] == [0] for t in result.data["traps"])
    assert (tmp_path / "data").is_dir()


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "import os; os.system('touch PWNED')",
        "import subprocess; subprocess.run(['touch', 'PWNED'])",
        "open('PWNED', 'w').write('x')",
        "import socket; socket.create_connection(('127.0.0.1', 9))",
    ],
)
def test_what_a_needed_cell_may_not_do(place: Path, tmp_path: Path, line: str) -> None:
    cells = list(MODEL)
    cells[1] = f"def load():\n    {line}\n    return pd.read_csv('t.csv')\n\ndf = load()"
    path = notebook(tmp_path / "nb.ipynb", *cells)
    with pytest.raises(DataError) as error:
        ambidex.package(path, name="m", run=True, at=place)
    assert error.value.code == "data.notebook-cell" and "cell 1" in error.value.message
    assert not (tmp_path / "PWNED").exists() and not left(place)


@pytest.mark.slow
def test_the_child_sees_no_secret_of_ours(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "hush-hush")
    cells = list(MODEL)
    cells[1] = "import os\nassert 'MY_TOKEN' not in os.environ\ndf = pd.read_csv('t.csv')"
    assert ambidex.package(notebook(tmp_path / "nb.ipynb", *cells), name="m", run=True, at=place).data["version"] == 1


@pytest.mark.slow
def test_a_credential_is_masked_and_copied_nowhere(place: Path, tmp_path: Path) -> None:
    secret = "AKIA" + "ABCDEFGHIJKLMNOP"
    beside = notebook(tmp_path / "a.ipynb", f"key = '{secret}'", *MODEL)
    result = ambidex.package(beside, name="m", run=True, at=place)
    assert "secret" in kinds(result) and secret not in json.dumps(result.to_dict())
    assert not any(secret.encode() in p.read_bytes() for p in place.rglob("*") if p.is_file())
    cells = list(MODEL)
    cells[1] = f"df = pd.read_csv('t.csv', storage_options={{'key': '{secret}'}})"
    with pytest.raises(Refused) as error:
        ambidex.package(notebook(tmp_path / "b.ipynb", *cells), name="n", run=True, at=place)
    assert secret not in str(error.value) + json.dumps(error.value.data)


@pytest.mark.slow
def test_an_absolute_path_is_named_and_not_copied(place: Path, tmp_path: Path) -> None:
    cells = list(MODEL)
    cells[1] = "df = pd.read_csv('/home/ana/t.csv')"
    result = ambidex.package(notebook(tmp_path / "nb.ipynb", *cells), name="m", run=True, at=place)
    assert any("/home/ana/t.csv" in t["what"] for t in result.data["traps"] if t["kind"] == "absolute-path")
    sources = "".join(p.read_text() for p in Path(result.data["path"]).rglob("*.py"))
    assert "/home/ana" not in sources


@pytest.mark.parametrize("text", ["<html>", "", "[1]", '{"cells": 3}'])
def test_what_is_no_notebook(place: Path, tmp_path: Path, text: str) -> None:
    path = tmp_path / "nb.ipynb"
    path.write_text(text)
    with pytest.raises(DataError) as error:
        ambidex.package(path, name="m", at=place)
    assert error.value.code == "data.notebook" and error.value.where


def test_text_cells_only(place: Path, tmp_path: Path) -> None:
    path = tmp_path / "nb.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "markdown", "source": "# hi"}], "nbformat": 4}))
    with pytest.raises(DataError, match="no cell with code"):
        ambidex.package(path, name="m", at=place)


def test_an_endless_loop(place: Path, tmp_path: Path) -> None:
    cells = [*MODEL[:2], "while True:\n    df['x'] = df['x'] + 0", *MODEL[2:]]
    with pytest.raises(DataError, match="cell 2 never ends"):
        ambidex.package(notebook(tmp_path / "nb.ipynb", *cells), name="m", at=place)


def test_a_module_that_is_not_there(place: Path, tmp_path: Path) -> None:
    cells = ["import acme_missing", *MODEL[:4], "df['x'] = acme_missing.f(df['x'])", *MODEL[4:]]
    with pytest.raises((EnvironmentProblem, Refused)) as error:
        ambidex.package(notebook(tmp_path / "nb.ipynb", *cells), name="m", at=place)
    assert "acme_missing" in str(error.value)


def test_outputs_are_passed_over(place: Path, tmp_path: Path) -> None:
    script = [{"output_type": "display_data", "data": {"text/html": '<script>alert(1)</script> "outputs": ]'}}]
    path = notebook(tmp_path / "nb.ipynb", *MODEL, outputs=script)
    book = read_notebook(path)
    assert [c.code for c in book.cells] == list(MODEL) and all(c.ran for c in book.cells)
    assert "<script" not in json.dumps(ambidex.package(path, name="m", at=place).to_dict())


def test_hopeless_runs_nothing_and_writes_nothing(place: Path) -> None:
    path = shared("data/prototypes/notebooks") / "hopeless.ipynb"
    expected = json.loads((path.parent / "expected" / "hopeless.json").read_text())
    with pytest.raises(Refused) as error:
        ambidex.package(path, name="m", run=True, cwd=shared("data"), at=place)
    told = {t["kind"]: set(t["cells"]) for t in error.value.data["traps"]}
    for trap in expected["traps"]:
        assert trap["kind"] in told
        if isinstance(trap["cells"], list):
            assert set(trap["cells"]) <= told[trap["kind"]]
    assert error.value.do and "Parquet" in error.value.do and not left(place)


def test_the_cells_that_matter() -> None:
    home = shared("data/prototypes/notebooks")
    for file, names in (
        ("telco_churn_messy.ipynb", ["final_model", "X_test", "best_thr"]),
        ("bank_marketing_pipeline.ipynb", ["model", "features"]),
        ("credit_default_leaky.ipynb", ["clf", "X"]),
        ("hillstrom_uplift.ipynb", ["predict_uplift"]),
    ):
        book = read_notebook(home / file)
        expected = json.loads((home / "expected" / file.replace(".ipynb", ".json")).read_text())
        assert [c.index for c in book.order()] == expected["run_order"]
        kept = slice_back(steps_of(book, book.order()), names)
        assert sorted({s.cell for s in kept}) == expected["live_cells"]


def test_magics_keep_the_code_under_them() -> None:
    code, magics, shell = split_magics("%%time\nx = 5\n%matplotlib inline\nfiles = !ls\ny = (x\n %2)")
    assert "x = 5" in code and "%2" in code and magics == ("%%time", "%matplotlib inline") and shell == ("files = !ls",)


@pytest.mark.slow
def test_a_colleagues_notebook_with_two_traps_of_its_own(place: Path, tmp_path: Path) -> None:
    """A scaler written by hand inside a helper, and one encoder fitted again for every column."""
    cells = [
        COUNTED + "\nfrom sklearn.preprocessing import LabelEncoder",
        "df = pd.read_csv('t.csv')\ndf['shade'] = df['colour'].str.upper()\nle = LabelEncoder()",
        "for c in ['colour', 'shade']:\n    df[c] = le.fit_transform(df[c])",
        "def scaled(frame):\n    out = frame.copy()\n    out['x'] = out['x'].fillna(0)\n"
        "    out['x'] = (out['x'] - out['x'].mean()) / out['x'].std()\n    return out[['x', 'colour', 'shade']]",
        "X = scaled(df)\ny = (df['y'] == 'yes').astype(int)",
        "best = LogisticRegression().fit(X, y)",
        "best.predict_proba(X)[:, 1][:5]",
    ]
    result = ambidex.package(notebook(tmp_path / "nb.ipynb", *cells), name="colleague", run=True, at=place)
    assert result.data["equal"] == result.data["of"] == 600
    told = {t["kind"]: t["cells"] for t in result.data["traps"]}
    assert told["refitted-in-loop"] == [2] and 3 in told["batch-dependent"]
    assert told["unseen-level"] == [1]
    failed = [c["name"] for c in ambidex.test("colleague@1", at=place).data["contract"] if not c["passed"]]
    assert failed == ["missing, new and extreme values"]  # as the trap says
    ambidex.promote("colleague@1", to="live", at=place)


def test_wrong_names_and_places(place: Path, tmp_path: Path) -> None:
    path = notebook(tmp_path / "nb.ipynb", *MODEL)
    with pytest.raises(AmbidexError):
        ambidex.package(path, name="../../etc/x", at=place)
    with pytest.raises(DataError):
        ambidex.package(path, name="m", cwd=tmp_path / "nowhere", at=place)
    with pytest.raises(DataError):
        ambidex.package(tmp_path / "none.ipynb", name="m", at=place)
    assert os.listdir(place / "packages") == [] if (place / "packages").exists() else True
