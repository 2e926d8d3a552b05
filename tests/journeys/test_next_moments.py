"""``next`` at the moments of a project's life, each made by running the verbs."""

from __future__ import annotations

import csv
import shlex

import pytest

import ambidex
from ambidex.cli.verbs import VERBS
from support import shared


def yes(data) -> set[str]:
    return {s["id"] for s in data["signals"] if s["state"] == "yes"}


@pytest.fixture(scope="module")
def telco():
    with shared("data/churn/telco_customer_churn.csv").open() as file:
        return list(csv.reader(file))


def write(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def ask(place, **more):
    data = ambidex.next(at=place, **more).to_dict()
    program, verb, *_ = shlex.split(data["first_task"]["command"])
    assert program == "ambidex" and verb in VERBS
    for signal in data["signals"]:
        assert signal["evidence"] or signal["state"] != "yes"
    assert data == ambidex.next(at=place).to_dict(), "the same state gives the same answer"
    return data


def test_the_moments_of_a_project(tmp_path, telco):
    place = tmp_path / "w"
    ambidex.init(place)
    (place / "data").mkdir(exist_ok=True)
    head, *rows = telco
    write(place / "data" / "telco.csv", [head, *rows[:4000]])

    fresh = ask(place)
    assert fresh["role"] == "data_scientist" and yes(fresh) == {"E2", "E4"}
    assert fresh["first_task"]["command"] == "ambidex profile data/telco.csv"

    ambidex.profile(str(place / "data" / "telco.csv"), target="Churn", at=place)
    why = ambidex.drivers(str(place / "data" / "telco.csv"), target="Churn", positive="Yes", at=place)
    prototype = ask(place)
    assert prototype["role"] == "ml_engineer" and prototype["first_task"]["command"].startswith(
        "ambidex package answer/2"
    )

    ambidex.package(why, name="churn", at=place)
    assert ambidex.gate("churn@1", at=place).passed
    validated = ask(place)
    assert validated["role"] == "ml_engineer" and yes(validated) == {"D1"}
    assert validated["first_task"]["command"] == "ambidex promote churn@1 --to live"

    with (place / "ambidex.toml").open("a") as file:
        file.write('\n[questions.leaving]\nwording = "Which customers leave for price?"\nwho = "sales"\n')
    torn = ask(place)
    assert torn["role"] == "cannot_say" and torn["rule"] == "R9"
    assert any(q["id"] == "A3" for q in torn["questions"])
    both = ask(place, answer="A3=sustained")
    assert both["role"] == "both" and both["rule"] == "R8"
    once = ask(place, answer="A3=one-off")
    assert once["role"] == "in_sequence" and once["rule"] == "R7"

    ambidex.promote("churn@1", to="live", at=place)
    ambidex.test("churn@1", at=place)
    charge, tenure = head.index("MonthlyCharges"), head.index("tenure")
    moved = [list(r) for r in rows[4000:]]
    for row in moved:
        row[charge] = f"{float(row[charge]) + 25:.2f}"
        row[tenure] = str(max(0, int(row[tenure]) - 15))
    write(tmp_path / "new.csv", [head, *moved])
    ambidex.score("churn", str(tmp_path / "new.csv"), out=tmp_path / "s.parquet", at=place)
    ambidex.monitor("churn", at=place)
    drifting = ask(place)
    assert {"E1", "E4"} <= yes(drifting) and "D1" not in yes(drifting)
    alert = next(s for s in drifting["signals"] if s["id"] == "E4")
    assert any("MonthlyCharges" in seen for seen in alert["evidence"])
    assert drifting["role"] == "data_scientist"


def test_a_broken_chain_of_events_is_said(tmp_path):
    import sqlite3

    place = tmp_path / "w"
    ambidex.init(place)
    ambidex.next(answer="A2=software", at=place)
    ambidex.next(answer="A3=sustained", at=place)
    with sqlite3.connect(place / ".ambidex" / "meta.sqlite") as base:
        names = [r[0] for r in base.execute("SELECT name FROM sqlite_master WHERE type='trigger'")]
        for name in names:
            base.execute(f'DROP TRIGGER "{name}"')
        base.execute("UPDATE event SET body = replace(body, 'software', 'advice')")
    with pytest.raises(ambidex.AmbidexError) as caught:
        ambidex.next(at=place)
    assert caught.value.code == "check.doctor" and caught.value.exit_code == 4
