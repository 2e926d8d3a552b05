"""Signals from a real store and a real folder."""

from __future__ import annotations

import os
import shlex
from datetime import UTC, datetime, timedelta

import pytest

from ambidex.advice.next_step import read_and_advise
from ambidex.advice.signals import signals
from ambidex.advice.state import gather
from ambidex.cli.verbs import VERBS
from ambidex.edges.sql import SqlStore
from ambidex.records import GateResult, Judgement
from ambidex.settings import Question, Settings

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Project:
    """A workspace's folder and store, with a clock that can be turned."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "data").mkdir()
        (folder / ".ambidex").mkdir()
        self.now = NOW
        self.store = SqlStore(folder / ".ambidex" / "meta.sqlite", clock=lambda: self.now)
        self.settings = Settings()

    def table(self, name="t.csv"):
        path = self.folder / "data" / name
        path.write_text("a,b\n1,2\n")
        os.utime(path, (self.now.timestamp() - 60,) * 2)  # by this project's clock, not the machine's

    def answer(self, verb="profile", *, source="data/t.csv", verdict="act", command="", options=None, **more):
        return self.store.record_answer(
            {
                "verb": verb,
                "headline": f"{verb} of {source}",
                "recommendation": {"verdict": verdict, "text": ""},
                "record": {"origin": {"source": source}, "command": command, "options": options or {}},
                **more,
            }
        )

    def prototype(self, *, low=0.83):
        return self.answer(
            "drivers",
            options={"target": "Churn"},
            model={"recipe": {}},
            fit={"auc": 0.845, "low": low, "high": 0.86},
        )

    def version(self, key):
        return self.store.register(model="churn", digest=key * 64, data=f"data-{key}", code="c", key=key, summary={})

    def judge(self, number, *, outcome="supported"):
        state = self.store.model("churn")
        judgement = Judgement(
            model="churn",
            version=number,
            digest=self.store.version("churn", number).digest,
            against=state.live,
            gates=(
                GateResult(name="better-than-constant", outcome=outcome, because="", value=0, low=0, high=0, limit=0),
            ),
            config="c",
            data="d",
            at=self.now.isoformat(),
        )
        self.store.record_judgement(judgement)
        return judgement

    def live(self, number):
        judgement = self.judge(number)
        self.store.move(
            model="churn",
            to="live",
            version=number,
            expected_revision=self.store.model("churn").revision,
            verb="promote",
            judgement=judgement,
            max_age_s=1e6,
            because="gates passed",
        )

    def signals(self):
        return {s.id: s for s in signals(gather(self.folder, self.store, self.settings, self.now))}

    def advice(self):
        data = read_and_advise(self.folder, self.store, self.settings, now=self.now)
        program, verb, *_ = shlex.split(data["first_task"]["command"])
        assert program == "ambidex" and verb in VERBS
        return data


@pytest.fixture
def project(tmp_path):
    made = Project(tmp_path)
    yield made
    made.store.close()


def test_an_empty_workspace_cannot_say(project):
    data = project.advice()
    assert data["role"] == "cannot_say" and data["questions"]


def test_the_whole_road(project):
    """Each step of the road changes what is needed next, and the first task is the step that follows."""
    project.table()
    data = project.advice()
    assert (data["role"], data["first_task"]["command"]) == ("data_scientist", "ambidex profile data/t.csv")

    project.answer(columns=[{"name": "id", "unique": 9, "role": "id"}, {"name": "Churn", "unique": 2, "role": "text"}])
    data = project.advice()
    assert data["role"] == "data_scientist"
    assert data["first_task"]["command"] == "ambidex drivers data/t.csv --target Churn"

    project.prototype()
    data = project.advice()
    assert (data["role"], data["first_task"]["command"]) == (
        "ml_engineer",
        "ambidex package answer/2 --name churn",
    )

    project.settings = Settings(models={"churn": _declared()})
    project.version("a")
    data = project.advice()
    assert (data["role"], data["first_task"]["command"]) == ("data_scientist", "ambidex gate churn@1")

    project.judge(1)
    data = project.advice()
    assert (data["role"], data["first_task"]["command"]) == (
        "ml_engineer",
        "ambidex promote churn@1 --to live",
    )

    project.live(1)
    data = project.advice()
    assert (data["role"], data["first_task"]["command"]) == ("ml_engineer", "ambidex test churn@1")

    project.store.append(verb="test", model="churn", version=1, body={"passed": True})
    assert project.advice()["first_task"]["command"] == "ambidex monitor churn"

    project.store.append(verb="monitor", model="churn", body={"state": "quiet"})
    data = project.advice()
    assert data["role"] == "none" and data["first_task"]["command"] == "ambidex monitor churn"

    project.version("b")
    assert project.advice()["first_task"]["command"] == "ambidex gate churn@2"
    project.live(2)
    project.store.append(verb="test", model="churn", version=2, body={"passed": True})
    project.store.append(verb="monitor", model="churn", body={"state": "quiet"})
    data = project.advice()
    assert (data["role"], data["first_task"]["command"]) == ("ml_engineer", "ambidex retrain churn")
    assert "by hand" in project.signals()["D4"].evidence[0]

    workflow = project.folder / ".github" / "workflows" / "loop.yml"
    workflow.parent.mkdir(parents=True)
    workflow.write_text("run: ambidex retrain churn")
    assert project.advice()["role"] == "none"


def _declared():
    from ambidex.settings import ModelSettings

    return ModelSettings(data="data/t.csv", target="Churn")


def test_rows_that_arrived_after_the_training_wait_for_it(project):
    import os

    project.table()
    project.answer(source="data")
    project.settings = Settings(models={"churn": _declared()})
    project.version("a")
    project.live(1)
    project.store.append(verb="test", model="churn", version=1, body={"passed": True})
    project.store.append(verb="monitor", model="churn", body={"state": "quiet"})
    file = project.folder / "data" / "t.csv"
    os.utime(file, times=(NOW.timestamp() - 9, NOW.timestamp() - 9))
    assert project.advice()["first_task"]["command"] == "ambidex monitor churn"
    os.utime(file, times=(NOW.timestamp() + 9, NOW.timestamp() + 9))
    data = project.advice()
    assert data["role"] == "none" and data["first_task"]["command"] == "ambidex retrain churn"


def test_a_refused_version_is_exploration(project):
    project.table()
    project.answer()
    project.version("a")
    project.judge(1, outcome="refuted")
    found = project.signals()
    assert found["E2"].state == "yes" and "better-than-constant" in found["E2"].evidence[0]
    assert project.advice()["first_task"]["command"] == "ambidex models show churn@1"


def test_a_version_that_was_rolled_back_does_not_wait_to_go_live(project):
    for key in "ab":
        project.version(key)
    project.live(1)
    project.live(2)
    state = project.store.model("churn")
    project.store.move(
        model="churn",
        to="live",
        version=1,
        expected_revision=state.revision,
        verb="rollback",
        judgement=None,
        max_age_s=1e6,
        because="it harms",
        pause="rolled back",
    )
    assert project.signals()["D1"].state == "no"


def test_a_page_is_a_missed_limit_and_an_info_is_unexplained_drift(project):
    project.version("a")
    project.live(1)
    alert = {"id": "3", "level": "info", "text": "recency_days is outside its margin"}
    project.store.put_document("watch/churn", {"alerts": [alert]})
    assert project.signals()["E4"].evidence == ("churn, alert 3: recency_days is outside its margin",)
    project.store.put_document("watch/churn", {"alerts": [alert | {"level": "page"}]})
    data = project.advice()
    assert (data["rule"], data["role"]) == ("R0", "ml_engineer")
    project.store.put_document("watch/churn", {"alerts": [alert | {"acknowledged": True}]})
    found = project.signals()
    assert found["D3"].state != "yes" and found["E4"].state != "yes"


def test_a_question_is_open_until_an_answer_names_it(project):
    project.settings = Settings(questions={"leaving": Question(wording="Why do they leave?", who="Ada")})
    found = project.signals()["E1"]
    assert found.state == "yes" and "asked by Ada" in found.evidence[0]
    project.answer("experiment", command="ambidex experiment t.csv --question leaving")
    assert project.signals()["E1"].state == "no"


def test_an_open_answer_asks_for_more_rows(project):
    project.answer("experiment", verdict="not-enough-evidence", command="ambidex experiment data/t.csv --group a")
    found = project.signals()["E3"]
    assert found.state == "yes" and found.task.command == "ambidex experiment data/t.csv --group a"
    project.answer("experiment", source="other", verdict="act")
    assert project.signals()["E3"].state == "no"


def test_failing_checks_put_data_in_doubt(project):
    project.answer("experiment", checks=[{"name": "srm", "passed": False}])
    found = project.signals()["E4"]
    assert found.state == "yes" and found.evidence == ("answer/1: srm failed",)


def test_a_model_no_better_than_chance_is_no_prototype(project):
    project.prototype(low=0.48)
    assert project.signals()["D2"].state == "no"


def test_notebooks_without_a_package(project):
    (project.folder / "notebooks").mkdir()
    (project.folder / "notebooks" / "churn.ipynb").write_text("{}")
    project.table()
    found = project.signals()["D2"]
    assert found.state == "yes" and "notebooks/churn.ipynb" in found.evidence[0]
    (project.folder / "src" / "churn_model").mkdir(parents=True)
    (project.folder / "src" / "churn_model" / "__init__.py").touch()
    assert project.signals()["D2"].state == "no"


def test_what_people_said_counts_for_90_days(project):
    project.store.append(verb="fact", body={"id": "A2", "value": "software"})
    project.store.append(verb="fact", body={"id": "A1", "value": "no"})
    found = project.signals()
    assert found["A2"].state == "yes" and found["A2"].evidence == ("said on 2026-11-24: software",)
    assert found["A1"].state == "no"
    project.now = NOW + timedelta(days=91)
    found = project.signals()
    assert found["A2"].state == "unknown" and "older than 90 days" in found["A2"].evidence[0]


def test_the_newest_word_counts(project):
    project.store.append(verb="fact", body={"id": "A3", "value": "sustained"})
    project.now = NOW + timedelta(days=1)
    project.store.append(verb="fact", body={"id": "A3", "value": "one-off"})
    assert project.signals()["A3"].value == "one-off"


def test_one_person(project):
    project.table()
    for id, value in (("A7", "yes"), ("TEAM", "3"), ("STRONG", "yes")):
        project.store.append(verb="fact", body={"id": id, "value": value})
    assert project.advice()["one_person"]["answer"] == "works"


def test_two_live_models_are_not_simple(project):
    project.store.append(verb="fact", body={"id": "A7", "value": "yes"})
    assert project.signals()["A7"].state == "yes"


def test_a_question_is_shown_where_it_stands(project):
    (project.folder / "ambidex.toml").write_text('name = "x"\n\n[questions.leaving]\nwording = "Why?"\n')
    project.settings = Settings(questions={"leaving": Question(wording="Why?")})
    signal = next(s for s in project.advice()["signals"] if s["id"] == "E1")
    assert signal["evidence"] == ["ambidex.toml:3 [questions.leaving] Why?"]
