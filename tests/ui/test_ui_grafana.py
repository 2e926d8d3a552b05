"""The files for Grafana and Prometheus speak of metrics that the server has."""

from __future__ import annotations

import json
import re

import pytest

import ambidex
from ambidex.data.run_folder import BOUNDS, STAGES
from ambidex.errors import DataError
from ambidex.serving.metrics import render
from ui.rooms import one_model

_OWN = re.compile(r"\bambidex_[a-z_]+")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    base = tmp_path_factory.mktemp("grafana")
    place = one_model(base / "w", quiet=True, serve=False)
    result = ambidex.ui(grafana=base / "out", at=place.folder)
    assert sorted(f.name for f in (base / "out").iterdir()) == ["ambidex-dashboard.json", "ambidex-rules.yml"]
    assert len(result.to_dict()["files"]) == 2
    return {f.name: f.read_text() for f in (base / "out").iterdir()}


def test_every_metric_named_is_one_of_metrics(files):
    counts = [0] * (len(BOUNDS) + 1)
    stages = {s: {"sum": 0.1, "counts": counts} for s in (*STAGES, "total")}
    worker = {
        "pid": 1, "server": 1, "index": 0, "alive": True, "rss": 1, "connections": 1, "in_flight": 0,
        "statuses": {"200": 1}, "refusals": {"http.json": 1}, "counts": {}, "unlogged": {"churn": 1}, "gc": {},
        "versions": [{"model": "churn", "version": 1, "requests": 1, "rows": 1, "failed": 0, "refused": 0, "shed": 0,
                      "shadow_dropped": 0, "stages": stages, "exemplars": {}}],
    }  # fmt: skip
    text = render([worker], {"churn": 1}).decode()
    there = set(re.findall(r"^(ambidex_[a-z_]+)", text, re.MULTILINE))
    for name, content in files.items():
        wanted = {m for m in _OWN.findall(content) if not m.endswith("_")}
        assert wanted, name
        assert wanted <= there, (name, wanted - there)


def test_the_dashboard_is_one_that_grafana_imports(files):
    board = json.loads(files["ambidex-dashboard.json"])
    assert board["uid"] == "ambidex-serving" and len({p["id"] for p in board["panels"]}) == len(board["panels"]) == 12
    assert {v["name"] for v in board["templating"]["list"]} == {"source", "model"}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24 and panel["targets"][0]["expr"]


def test_the_rules_carry_the_promised_answer_times(files):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not here: the rules are read as text only")
    groups = yaml.safe_load(files["ambidex-rules.yml"])["groups"]
    alerts = {r["alert"]: r for g in groups for r in g["rules"] if "alert" in r}
    assert {"AmbidexBurnsFast", "AmbidexBurns", "AmbidexDown", "AmbidexNotLogged", "AmbidexSlow_churn"} <= set(alerts)
    assert "> 0.025" in alerts["AmbidexSlow_churn"]["expr"] and alerts["AmbidexSlow_churn"]["for"] == "5m"


def test_a_folder_that_is_not_there_is_named(tmp_path):
    place = one_model(tmp_path / "w", quiet=True, serve=False)
    with pytest.raises(DataError) as raised:
        ambidex.ui(grafana=tmp_path / "no" / "way", at=place.folder)
    assert raised.value.code == "data.no-out-folder"
