"""The whole road by hand on Telco, through the real command, in the order of the README."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.error
from pathlib import Path

import pytest

from support import shared
from terminal import Terminal, ask, served


@pytest.fixture(scope="module")
def road(tmp_path_factory: pytest.TempPathFactory) -> Terminal:
    """A workspace in which the first 80% of Telco lie in data/, the rest beside it."""
    telco = shared("data/churn/telco_customer_churn.csv").read_text().splitlines(keepends=True)
    outside = Terminal(tmp_path_factory.mktemp("road"))
    outside.run("init", "quiet")
    here = Terminal(outside.folder / "quiet")
    cut = 1 + int((len(telco) - 1) * 0.8)
    half = 1 + cut // 2
    (here.folder / "data" / "a.csv").write_text("".join(telco[:half]))
    (here.folder / "data" / "b.csv").write_text("".join([telco[0], *telco[half:cut]]))
    (here.folder / "more.csv").write_text("".join([telco[0], *telco[cut:]]))
    return here


def test_01_profile_reports_the_blanks(road: Terminal) -> None:
    said = road.json("profile", "data", "--target", "Churn")
    assert said["data"]["answer"] == "answer/1"
    column = next(c for c in said["data"]["columns"] if c["name"] == "TotalCharges")
    assert column["problems"]
    assert {c["name"]: c["role"] for c in said["data"]["columns"]}["customerID"] == "id"


def test_02_drivers(road: Terminal) -> None:
    said = road.json("drivers", "data", "--target", "Churn", "--positive", "Yes")["data"]
    assert said["answer"] == "answer/2"
    assert said["fit"]["auc"] == pytest.approx(0.845, abs=0.015)
    assert "customerID" in {left["name"] for left in said["left_out"] if left["code"] == "id"}
    assert "cause" not in json.dumps(said["findings"]).lower().replace("because", "")
    assert any("TotalCharges" in c["text"] for c in said["cautions"])


def test_03_the_same_question_again_is_the_same_answer(road: Terminal) -> None:
    again = road.json("drivers", "data", "--target", "Churn", "--positive", "Yes")["data"]
    assert again["answer"] == "answer/2"


def test_04_experiment(road: Terminal) -> None:
    cookie = str(shared("data/experiments/cookie_cats.csv"))
    said = road.json(
        "experiment", cookie, "--group", "version", "--metric", "retention_7:share", "--control", "gate_30"
    )
    difference = next(e for e in said["data"]["estimates"] if e["kind"] == "difference")
    assert difference["value"] == pytest.approx(-0.008201298, abs=1e-8)
    assert (difference["low"], difference["high"]) == pytest.approx((-0.0132819, -0.0031213), abs=1e-6)
    assert difference["p_value"] == pytest.approx(0.001554250, abs=1e-8)
    srm = next(c for c in said["data"]["checks"] if c["name"] == "srm")
    assert srm["passed"] and srm["value"] == pytest.approx(0.008607988, abs=1e-8)
    assert "srm" in {c["code"] for c in said["data"]["cautions"]}


def test_05_report(road: Terminal) -> None:
    said = road.json("report", "answer/2")
    page = Path(said["data"]["files"][0])
    assert page.stat().st_size < 1_000_000
    assert "<title>" in page.read_text()


def test_06_package(road: Terminal) -> None:
    said = road.json("package", "answer/2", "--name", "churn")["data"]
    assert (said["model"], said["version"]) == ("churn", 1)
    assert said["equal"] == said["of"] == 5634
    assert said["largest_difference"] == 0
    assert "[models.churn]" in (road.folder / "ambidex.toml").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", said["path"]],
        capture_output=True, text=True, cwd=said["path"],
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_07_no_gate_no_promotion_is_judged_on_the_spot(road: Terminal) -> None:
    road.run("promote", "churn@9", "--to", "live", exit=3)
    road.run("promote", "churn@", "--to", "live", exit=2)
    assert road.json("models", "ls")["data"]["models"][0]["live"] is None


def test_08_test_gate_promote(road: Terminal) -> None:
    assert road.json("test", "churn@1")["data"]["passed"]
    gates = road.json("gate", "churn@1")["data"]
    assert gates["passed"] and {g["outcome"] for g in gates["gates"]} == {"supported"}
    moved = road.json("promote", "churn@1", "--to", "live")["data"]
    assert (moved["version"], moved["was"]) == (1, None)


def test_09_serve_over_a_socket(road: Terminal) -> None:
    with served(road, "churn") as base:
        golden = json.loads((road.folder / "packages/churn/src/churn_model/golden.json").read_text())
        answer = ask(f"{base}/predict/churn", {"rows": golden["rows"][:3]})
        assert answer["version"] == 1
        assert [p[1] for p in answer["probabilities"]] == pytest.approx(golden["expected"][:3])
        assert ask(f"{base}/feedback/churn", {"labels": [{"id": answer["ids"][0], "label": "Yes"}]})
        with pytest.raises(urllib.error.HTTPError) as error:
            ask(f"{base}/predict/chrun", {"rows": []})
        assert error.value.code == 404


def test_10_score(road: Terminal) -> None:
    said = road.json("score", "churn", "data", "--out", "scores.parquet")["data"]
    assert (said["rows"], said["version"]) == (5634, 1)
    assert (road.folder / "scores.parquet").is_file()
    road.run("score", "churn", "data", "--out", "no/such/dir/o.csv", exit=3)


def test_11_retrain_with_nothing_new(road: Terminal) -> None:
    said = road.json("retrain", "churn")["data"]
    assert (said["state"], said["version"]) == ("nothing-new", None)


def test_12_more_rows_arrive(road: Terminal) -> None:
    shutil.copy(road.folder / "more.csv", road.folder / "data" / "more.csv")
    look = road.json("drift", "churn", "more.csv")["data"]
    assert look["verdict"] in ("none", "open")
    assert all(
        {"name", "drifted", "size", "low", "high", "margin", "p_value", "what"} <= set(c) for c in look["columns"]
    )
    assert road.json("monitor", "churn")["data"]["alerts"] == []


def test_13_retrain_promote_rollback(road: Terminal) -> None:
    made = road.json("retrain", "churn")["data"]
    assert (made["state"], made["version"]) == ("candidate", 2)
    assert road.json("retrain", "churn")["data"]["state"] == "nothing-new"
    moved = road.json("promote", "churn@2", "--to", "live")["data"]
    assert (moved["version"], moved["was"]) == (2, 1)
    back = road.json("rollback", "churn")["data"]
    assert (back["version"], back["was"]) == (1, 2)
    assert road.json("retrain", "churn")["data"]["state"] == "paused"
    road.run("rollback", "churn", exit=4)
    road.run("resume", "churn")


def test_14_a_model_of_shuffled_labels_is_refused(road: Terminal) -> None:
    lines = (road.folder / "data" / "a.csv").read_text().splitlines()
    labels = [line.rsplit(",", 1)[1] for line in lines[1:]]
    shuffled = [
        line.rsplit(",", 1)[0] + "," + labels[(i * 7919 + 13) % len(labels)] for i, line in enumerate(lines[1:])
    ]
    (road.folder / "shuffled.csv").write_text("\n".join([lines[0], *shuffled]) + "\n")
    made = road.json("train", "churn", "--data", "shuffled.csv")["data"]
    assert made["version"] == 3
    refused = road.json("gate", "churn@3", exit=4)
    assert refused["error"]["code"] == "check.gate"
    assert not refused["data"]["passed"]
    refused = road.json("promote", "churn@3", "--to", "live", exit=4)
    assert {g["name"] for g in refused["data"]["gates"]} >= {"better-than-constant", "not-worse-than-live"}
    assert road.json("models", "ls")["data"]["models"][0]["live"] == 1


def test_15_an_altered_file_is_refused_and_live_is_unharmed(road: Terminal) -> None:
    shown = road.json("models", "show", "churn@2")["data"]
    sha = shown["files"]["model.json"]["sha256"]
    blob = next(
        p for p in (road.folder / ".ambidex" / "blobs").rglob("*") if p.is_file() and sha.endswith(p.name[-20:])
    )
    sound = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(sound.replace(b"0", b"1", 1))
    assert road.json("promote", "churn@2", "--to", "live", exit=4)["error"]["code"] == "check.altered"
    assert not road.json("doctor", exit=4)["data"]["healthy"]
    assert road.json("models", "ls")["data"]["models"][0]["live"] == 1
    blob.write_bytes(sound)
    assert road.json("doctor")["data"]["healthy"]


def test_16_a_missing_column_is_refused(road: Terminal) -> None:
    lines = [
        line.split(",", 2)[0] + "," + line.split(",", 2)[2]
        for line in (road.folder / "more.csv").read_text().splitlines()
    ]
    (road.folder / "narrow.csv").write_text("\n".join(lines) + "\n")
    error = road.json("score", "churn", "narrow.csv", "--out", "x.csv", exit=3)["error"]
    assert error["code"] == "data.schema" and "gender" in error["message"]
    assert road.json("drift", "churn", "narrow.csv", exit=3)["error"]["code"] == "data.schema"
    assert not (road.folder / "x.csv").exists()


def test_17_listing_status_doctor_next_help(road: Terminal) -> None:
    assert road.json("models", "ls")["data"]["models"][0]["versions"] == 3
    assert road.json("models", "show", "churn@live")["data"]["runtime"] == "compiled"
    assert road.json("models", "diff", "churn@1", "churn@2")["data"]["predictions_changed"]["rows"] > 0
    verbs = [e["verb"] for e in road.json("models", "log", "churn")["data"]["events"]]
    assert verbs.count("rollback") == 1 and verbs.count("promote") == 2
    status = road.json("status")["data"]
    assert {"workspace", "models", "alerts", "paused"} <= set(status)
    advice = road.json("next")["data"]
    assert {"role", "work", "rule", "strength", "first_task", "signals", "would_change"} <= set(advice)
    assert "data.no-column" in road.run("help", "data.no-column")
