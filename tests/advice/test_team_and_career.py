"""``team`` and ``career``: skills against work, blanks that stay blanks, people never compared."""

from __future__ import annotations

import json

import pytest

import ambidex
from ambidex import AmbidexError, UsageError, career, team
from ambidex.advice.lexicon import AREAS
from ambidex.advice.matrix import matrix_of
from ambidex.settings import read_settings

HEAD = "person," + ",".join(AREAS) + ",wants\n"
# statistics, software, modelling, analysis, infrastructure, mlops, communication, domain
TEAM = HEAD + "Ada,3,2,3,3,1,1,3,3,\nBen,2,3,3,1,3,3,2,1,\nCem,3,3,3,3,2,2,3,,ml-engineer\n"


@pytest.fixture
def sheet(tmp_path):
    def write(text: str = TEAM):
        path = tmp_path / "skills.csv"
        path.write_text(text)
        return str(path)

    return write


def test_coverage_is_by_area(sheet):
    data = team(sheet(), for_="ml_engineer").to_dict()
    assert data["for"] == "ml-engineer" and data["people"] == 3
    states = {a: v["state"] for a, v in data["areas"].items()}
    assert states["software"] == "covered" and states["mlops"] == "single" and states["domain"] == "covered"
    assert data["areas"]["mlops"]["holder"] == "Ben" and data["areas"]["software"]["holder"] is None
    assert data["crossover"] == [{"person": "Cem", "to": "ml-engineer", "learn": ["infrastructure", "mlops"]}]


def test_a_blank_is_not_a_level(sheet):
    data = team(
        sheet(HEAD + "Ada,3,,,,,,,,\nBen,2,,,,,,,,\nCem,3,3,,,,,,,ml-engineer\n"), for_="data-scientist"
    ).to_dict()
    assert data["areas"]["statistics"]["state"] == "covered"
    assert data["areas"]["software"]["state"] == "unknown" and data["areas"]["mlops"]["state"] == "unknown"
    assert data["gaps"] == [] and data["crossover"] == []


def test_nobody_is_totalled_or_ranked(sheet):
    text = json.dumps(team(sheet(), for_="both").to_dict())
    assert not any(word in text for word in ("total", "score", "rank", "percent"))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (HEAD.replace("wants", "age") + "Ada,3,2,3,3,1,1,3,3,40\n", "advice.private-column"),
        (HEAD.replace("wants", "Performance rating") + "Ada,3,2,3,3,1,1,3,3,4\n", "advice.private-column"),
        (HEAD + "Ada,7,2,3,3,1,1,3,3,\n", "advice.level"),
        (HEAD + "Ada,2.5,2,3,3,1,1,3,3,\n", "advice.level"),
        (HEAD + "Ada,3,2,3,3,1,1,3,3,\nada,3,2,3,3,1,1,3,3,\n", "advice.same-name"),
        ("name,skill\nAda,3\n", "advice.sheet"),
        (HEAD + ",3,2,3,3,1,1,3,3,\n", "advice.sheet"),
    ],
)
def test_bad_sheets(sheet, text, code):
    with pytest.raises(AmbidexError) as caught:
        team(sheet(text), for_="both")
    assert caught.value.code == code and caught.value.exit_code == 3


def test_roles_and_people_that_do_not_exist(sheet):
    with pytest.raises(UsageError, match="did you mean"):
        career(sheet(), person="Ada", to="ml-enginer")
    with pytest.raises(AmbidexError) as caught:
        career(sheet(), person="Adda", to="ml-engineer")
    assert caught.value.code == "advice.no-person" and caught.value.exit_code == 3
    with pytest.raises(UsageError):
        team(sheet(), for_="cto")


def test_a_scientist_with_strong_engineering(sheet):
    data = career(sheet(HEAD + "Cem,3,3,3,3,2,2,3,3,\n"), person="cem", to="ml_engineer").to_dict()
    assert data["gaps"] == ["infrastructure", "mlops"]
    assert data["areas"]["mlops"] == {
        "now": 2,
        "asked": 3,
        "learn": ["level 3: took a version through canary and rollback"],
        "shows": ["take a version through its gates, live and back: ambidex gate NAME@1"],
    }
    assert any("easier early" in c for c in data["cautions"])


def test_an_engineer_with_both(sheet):
    data = career(sheet(HEAD + "Ben,2,3,3,2,3,3,3,2,\n"), person="Ben", to="senior-mle").to_dict()
    assert {"data-scientist", "technical-product-manager"} <= set(data["near"])


@pytest.mark.parametrize("role", sorted(matrix_of(None).asked))
def test_a_plan_for_each_role(sheet, role):
    data = career(sheet(HEAD + "Eve,1,1,1,1,1,1,1,1,\n"), person="Eve", to=role).to_dict()
    assert data["answer"] == "a_way" and data["first_step"]["learn"]
    for area in data["gaps"]:
        assert data["areas"][area]["learn"] and data["areas"][area]["shows"]
    text = json.dumps(data).lower()
    assert not any(word in text for word in ("year", "month", "salary", "percent", "chance", "odds"))


def test_too_little_said(sheet):
    data = career(sheet(HEAD + "Eve,1,1,1,1,1,,,,\n"), person="Eve", to="ml-engineer").to_dict()
    assert data["answer"] == "cannot_say" and data["first_step"] is None and data["gaps"] == []


def test_a_workspace_names_its_own_work_and_its_own_levels(tmp_path, sheet):
    ambidex.init(tmp_path / "w")
    place = tmp_path / "w"
    with (place / "ambidex.toml").open("a") as file:
        file.write('\n[questions.churn]\nwording = "Who leaves?"\n\n[advice.areas]\nmlops = [1, 2]\n')
    (place / "data").mkdir(exist_ok=True)
    (place / "data" / "t.csv").write_text("a,b\n1,2\n")
    data = career(sheet(HEAD + "Eve,1,1,1,1,1,1,1,1,\n"), person="Eve", to="ml-engineer", at=place).to_dict()
    assert data["areas"]["mlops"]["asked"] == 2
    assert (
        "Who leaves?" in career(sheet(), person="Ben", to="lead-ds", at=place).to_dict()["areas"]["domain"]["shows"][0]
    )
    asked = team(sheet(), for_="next", at=place).to_dict()
    assert asked["for"] in ("both", "data-scientist", "ml-engineer")
    found = ambidex.next(team=sheet(), at=place).to_dict()
    assert found["hire"] in ("covered", "yes", "not_yet", "unknown") and found["one_person"]["answer"] != "works"
    assert found["crossover"] == [{"person": "Cem", "to": "ml-engineer", "learn": ["infrastructure"]}]
    stored = b"".join(p.read_bytes() for p in (place / ".ambidex").rglob("*") if p.is_file())
    assert b"Cem" not in stored


@pytest.mark.parametrize(
    "bad", ["[advice.areas]\nmlop = [1, 2]\n", "[advice.areas]\nmlops = [1, 9]\n", "[advice]\nx = 1\n"]
)
def test_bad_levels_in_the_settings(tmp_path, sheet, bad):
    ambidex.init(tmp_path / "w")
    with (tmp_path / "w" / "ambidex.toml").open("a") as file:
        file.write("\n" + bad)
    with pytest.raises(UsageError) as caught:
        matrix_of(read_settings(tmp_path / "w").advice)
    assert caught.value.code == "usage.config"


def test_pages_of_advice(tmp_path, sheet):
    ambidex.init(tmp_path / "w")
    page, other, third = (tmp_path / n for n in ("team.html", "next.html", "role.html"))
    team(sheet(), for_="ml-engineer", out=page)
    ambidex.next(team=sheet(), at=tmp_path / "w", out=other)
    ambidex.role("What factors predict churn?\nWhich segments exist in our customer base?\n" * 3, out=third)
    assert "infrastructure" in page.read_text() and 'role="img"' in page.read_text()
    assert "What does this project need now?" in other.read_text()
    assert "data scientist" in third.read_text()
