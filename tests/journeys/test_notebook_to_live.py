"""A colleague's notebook, from .ipynb to live and back: packaged, tested, gated, trained on new rows, rolled back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambidex as amb

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")

CELLS = [
    ("import pandas as pd\nimport numpy as np\nfrom sklearn.ensemble import GradientBoostingClassifier", 1),
    ("raw = pd.read_csv('visits.csv', sep=';')", 2),
    # Two traps: the cap is changed in a cell that ran after the model was fitted, and the median is of all rows.
    ("CAP = 300", 9),
    ("raw['spend'] = raw['spend'].clip(upper=CAP)", 4),
    ("raw['spend'] = raw['spend'].fillna(raw['spend'].median())", 5),
    ("X = pd.get_dummies(raw.drop(columns=['visitor', 'again']), columns=['channel'])", 6),
    ("y = (raw['again'] == 'ja').astype(int)", 7),
    ("model = GradientBoostingClassifier(n_estimators=20, random_state=3).fit(X, y)", 8),
    ("CAP = 250", 3),
    ("model.predict_proba(X)[:3, 1]", 10),
]


def rows(n: int, seed: int) -> str:
    rng = np.random.default_rng(seed)
    spend, channel = np.round(rng.gamma(2.0, 60.0, n), 2), rng.choice(["web", "shop", "phone"], n)
    age = rng.integers(18, 80, n)
    p = 1 / (1 + np.exp(-((spend - 120) / 60 + np.where(channel == "shop", 1.0, -0.4))))
    again = np.where(rng.uniform(size=n) < p, "ja", "nein")
    lines = []
    for i in range(n):
        shown = "" if i % 37 == 5 else f"{spend[i]}"
        lines.append(f"v{seed}-{i};{shown};{channel[i]};{age[i]};{again[i]}")
    return "\n".join(lines) + "\n"


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Any]:
    """The workspace, the notebook's table, and what package said."""
    home = tmp_path_factory.mktemp("colleague")
    table = home / "visits.csv"
    table.write_text("visitor;spend;channel;age;again\n" + rows(1200, 1))
    document = {
        "cells": [
            {"cell_type": "code", "source": text, "execution_count": count, "outputs": [], "metadata": {}}
            for text, count in CELLS
        ],
        "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
    }  # fmt: skip
    (home / "visits.ipynb").write_text(json.dumps(document))
    amb.init(home / "w")
    packaged = amb.package(home / "visits.ipynb", name="again", run=True, at=home / "w")
    return home / "w", table, packaged


def test_it_predicts_the_same_and_the_traps_are_told(road: tuple[Path, Path, Any]) -> None:
    _, _, packaged = road
    assert packaged.data["equal"] == packaged.data["of"] == 1200
    told = {t["kind"] for t in packaged.data["traps"]}
    assert {"order", "fit-on-all-rows"} <= told, told


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_to_live_and_back(road: tuple[Path, Path, Any]) -> None:
    place, table, _ = road
    said = amb.test("again@1", at=place).data
    assert [c for c in said["contract"] if not c["passed"]] == []
    assert amb.gate("again@1", at=place).passed
    amb.promote("again@1", to="live", at=place)
    table.write_text(table.read_text() + rows(6000, 2))
    trained = [amb.train("again", at=place).data["version"] for _ in range(2)]
    assert trained == [2, 3]
    twice = amb.models("diff", "again@2", "again@3", at=place).data
    assert twice["predictions_changed"]["changed"] == 0, "trained twice, the same predictions"
    shown = amb.models("show", "again@2", at=place).data
    assert shown["evaluation"]["fitted"] == "here" and shown["lineage"]["data"]["rows"] == 7200
    diff = amb.models("diff", "again@1", "again@2", at=place).data
    assert diff["data"]["only_to"] == 6000 and diff["predictions_changed"]["changed"] > 0
    judged = amb.gate("again@2", at=place)
    fair = next(g for g in judged.data["gates"] if g["name"] == "not-worse-than-live")
    assert judged.passed and "rows that neither can know" in fair["because"]
    amb.promote("again@2", to="live", at=place)
    amb.rollback("again", at=place)
    assert amb.models("show", "again@live", at=place).data["version"] == 1
    assert amb.doctor(at=place).data["healthy"]
