"""The ML test score: 28 checks; a planted fault takes away the point of each one that a machine runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import ambidex as amb
from ambidex.bundle.open import OpenBundle
from ambidex.data.table import Table
from ambidex.delivery import readiness, tested
from ambidex.delivery.logged import Logged
from ambidex.delivery.readiness_checks import Subject
from ambidex.errors import UsageError
from ambidex.records import canonical
from ambidex.settings import Limits
from ambidex.watch.drift import drift
from ambidex.workspace import open_workspace
from leavers import HEAD, rows

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions on two months, the first live, the second in shadow; answers in the log, and their labels."""
    folder = tmp_path_factory.mktemp("ready") / "w"
    amb.init(folder)
    data = folder / "data" / "left.csv"
    data.write_text(HEAD + rows(1500, 1))
    answer = amb.drivers(data, target="left", exclude=["customer"], at=folder)
    amb.package(answer.name, name="left", at=folder)
    settings = folder / "ambidex.toml"
    settings.write_text(
        settings.read_text()
        + 'slices = ["plan"]\nnever = ["sex"]\nstale = "30d"\nkey = "customer"\n'
        + "\n[models.left.limits]\nlatency_ms = 1000\n"
    )
    amb.promote("left@1", to="live", at=folder)
    data.write_text(HEAD + rows(1500, 1) + rows(900, 2))
    amb.train("left", at=folder)
    amb.gate("left@2", at=folder)
    body = {"passed": True, "against": "http://127.0.0.1:8377"}
    open_workspace(folder).store.append(verb="test", model="left", version=2, body=body)
    amb.promote("left@2", to="shadow", at=folder)
    late = folder / "late.csv"
    late.write_text(HEAD + rows(4000, 3))
    amb.score("left@2", late, out=folder / "out.csv", at=folder)
    ids = [line.split(",")[0] for line in (folder / "out.csv").read_text().splitlines()[1:]]
    labels = [line.rpartition(",")[2] for line in late.read_text().splitlines()[1:]]
    came = folder / "labels.csv"
    came.write_text("id,label\n" + "\n".join(map(",".join, zip(ids, labels, strict=True))) + "\n")
    assert amb.feedback("left", came, id="id", label="label", at=folder).data["matched"] == 4000
    return folder


@pytest.fixture(scope="module")
def whole(place: Path) -> Subject:
    """Version 2, and what a search would have left in its lineage."""
    workspace = open_workspace(place)
    subject = tested.subject_of(
        workspace, "left", 2, log_folder=workspace.log_folder,
        drift=lambda opened, table: drift(opened.reference, opened.schema, table, margin=0.02),
    )  # fmt: skip
    return with_file(subject, "lineage.json", search={"tried": 12, "families": ["additive", "boosted"]})


def with_file(s: Subject, name: str, **changes: Any) -> Subject:
    """The subject with another file in its bundle."""
    files = {**s.bundle.files, name: canonical({**json.loads(s.bundle.files[name]), **changes})}
    b = s.bundle
    return replace(s, bundle=OpenBundle(digest=b.digest, scorer=b.scorer, manifest=b.manifest, files=files))


def without(s: Subject, verb: str) -> Subject:
    return replace(s, events=[e for e in s.events if e.verb != verb])


def broken(*names: str) -> Callable[[Subject], Subject]:
    def plant(s: Subject) -> Subject:
        return replace(s, contract={**s.contract, **{n: replace(s.contract[n], passed=False) for n in names}})

    return plant


class Deaf:
    """The scorer, deaf to one input; it explains nothing."""

    def __init__(self, scorer: Any, column: str) -> None:
        self.schema, self._scorer, self._column = scorer.schema, scorer, column

    def score(self, row: Mapping[str, Any]) -> Any:
        return self._scorer.score({**row, self._column: None})

    def score_columns(self, columns: Mapping[str, Any], count: int) -> Any:
        return self._scorer.score_columns({k: v for k, v in columns.items() if k != self._column}, count)


def deaf(column: str) -> Callable[[Subject], Subject]:
    def plant(s: Subject) -> Subject:
        b = s.bundle
        other = OpenBundle(digest=b.digest, scorer=Deaf(b.scorer, column), manifest=b.manifest, files=b.files)
        return replace(s, bundle=other)

    return plant


def other_labels(s: Subject) -> Subject:
    """Live labels that have nothing to do with what was predicted."""
    flipped = {k: "no" if v == "yes" else "yes" for k, v in s.logged.labels.items()}
    return replace(s, logged=Logged(s.logged.frames, flipped))


def newest_labels_flipped(s: Subject) -> Subject:
    table = s.material.table
    turned = pa.array(["no" if v == "yes" else "yes" for v in table.text("left")])
    return replace(s, material=replace(s.material, table=table.with_column("left", turned)))


def one_slice_flipped(s: Subject) -> Subject:
    table: Table = s.material.table
    turned = [
        ("no" if y == "yes" else "yes") if plan == "gold" else y
        for y, plan in zip(table.text("left"), table.text("plan"), strict=True)
    ]
    return replace(s, material=replace(s.material, table=table.with_column("left", pa.array(turned))))


def answered_otherwise(s: Subject) -> Subject:
    frames = [{**f, "p": f["p"] + 0.01} for f in s.logged.frames]
    return replace(s, logged=Logged(frames, s.logged.labels))


FAULTS: dict[str, Callable[[Subject], Subject]] = {
    "data-1": broken("schema fits the data"),
    "data-2": deaf("age"),
    "data-4": lambda s: replace(s, settings=replace_settings(s, never=("plan",))),
    "data-7": broken("one by one and all at once agree"),
    "model-2": other_labels,
    "model-3": lambda s: with_file(s, "lineage.json", search=None),
    "model-4": lambda s: replace(s, earlier=None),
    "model-5": broken("better than a constant"),
    "model-6": one_slice_flipped,
    "infrastructure-1": broken("trained again, the same model"),
    "infrastructure-2": broken("golden rows"),
    "infrastructure-3": lambda s: without(s, "test"),
    "infrastructure-4": lambda s: replace(s, judgement=None),
    "infrastructure-5": deaf("age"),
    "infrastructure-6": lambda s: without(s, "promote"),
    "infrastructure-7": lambda s: replace(s, back=None),
    "monitoring-1": lambda s: replace(s, environment={**s.environment, "numpy": "0.1"}),
    "monitoring-2": lambda s: replace(s, drift={"alerts": [{"text": "age is missing in 40%"}]}),
    "monitoring-3": answered_otherwise,
    "monitoring-4": lambda s: replace(s, now=s.now + timedelta(days=31)),
    "monitoring-5": broken("missing, new and extreme values"),
    "monitoring-6": lambda s: replace(s, settings=replace_settings(s, limits=Limits(latency_ms=1e-6))),
    "monitoring-7": newest_labels_flipped,
}


def replace_settings(s: Subject, **changes: Any) -> Any:
    import msgspec

    return msgspec.structs.replace(s.settings, **changes)


def test_there_are_28_of_which_a_machine_runs_23() -> None:
    assert len(readiness.RUBRIC) == len({i.id for i in readiness.RUBRIC}) == 28
    assert [sum(i.section == s for i in readiness.RUBRIC) for s in readiness.SECTIONS] == [7] * 4
    assert {i.id for i in readiness.RUBRIC if i.check is not None} == FAULTS.keys() and len(FAULTS) == 23


def test_a_sound_version_has_the_point_of_every_check_that_a_machine_runs(whole: Subject) -> None:
    checks = readiness.judge(whole)
    assert [(c.item.id, c.what) for c in checks if c.kind == "automatic" and not c.passed] == []
    assert readiness.points_of(checks) == {"data": 4, "model": 5, "infrastructure": 7, "monitoring": 7}


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_takes_its_point(name: str, whole: Subject) -> None:
    item = next(i for i in readiness.RUBRIC if i.id == name)
    assert item.check(whole)[0]
    try:
        passed, what = item.check(FAULTS[name](whole))
    except Exception:
        return  # a check that raises counts as failed
    assert not passed and what


def test_the_score_is_the_least_section_and_says_what_raises_it(whole: Subject) -> None:
    checks = readiness.judge(FAULTS["data-1"](FAULTS["data-2"](whole)))
    points = readiness.points_of(checks)
    assert min(points.values()) == points["data"] == 2
    ids = [c.item.id for c in readiness.raises(checks)]
    assert ids == ["data-1", "data-2", "data-3", "data-5", "data-6"], "what a machine runs comes first"


def test_people_answer_and_their_answers_go_stale(place: Path) -> None:
    said = amb.test("left@2", ask=True, at=place)
    asked = [c for c in said.data["checks"] if c["kind"] == "asked"]
    assert len(asked) == 5 and all(c["passed"] is None and c["points"] == 0 for c in asked)
    done = amb.test("left@2", answer=["data-5=yes", "model-7=automated", "data-6=no"], because="wiki", at=place)
    by_id = {c["id"]: c for c in done.data["checks"]}
    assert [by_id[i]["points"] for i in ("data-5", "model-7", "data-6")] == [0.5, 1.0, 0.0]
    assert "said yes on " in by_id["data-5"]["what"] and by_id["data-5"]["what"].endswith(": wiki")
    assert done.data["sections"]["data"] == 4.5 and done.data["score"] == min(done.data["sections"].values())
    assert done.data["passed"] and {c["passed"] for c in done.data["contract"]} == {True}
    workspace = open_workspace(place)
    events, later = workspace.store.events(model="left"), workspace.clock() + timedelta(days=181)
    items = {i.id: i for i in readiness.RUBRIC}
    stale = readiness._asked(items["data-5"], readiness._answers(events, later)["data-5"], later)
    assert stale.points == 0 and "answer again" in stale.what
    with pytest.raises(UsageError, match="data-5x"):
        amb.test("left@2", answer="data-5x=yes", at=place)
    with pytest.raises(UsageError, match="maybe"):
        amb.test("left@2", answer="data-5=maybe", at=place)


def test_a_version_that_fails_its_contract_fails_the_test(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ambidex.delivery import contract

    monkeypatch.setattr(contract, "_golden", lambda bundle: (False, "3 of 40 differ"))
    said = amb.test("left@1", at=place)
    assert not said.passed and said.data["passed"] is False
    assert [c["name"] for c in said.data["contract"] if not c["passed"]] == ["golden rows"]
