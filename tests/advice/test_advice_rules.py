"""The rules over facts: the agreed cases, and what must hold for any facts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ambidex.advice.facts import KINDS, MEANING, Signal, Task, check_fact
from ambidex.advice.next_step import advise, as_result
from ambidex.advice.rules import RULES, decide_role, hire
from ambidex.errors import UsageError

TASKS = {
    "E4": Task("look", "ambidex profile data/t.csv"),
    "D1": Task("put live", "ambidex promote churn@1 --to live"),
    "D2": Task("package", "ambidex package answer/1 --name churn"),
}


def facts(**yes: str) -> list[Signal]:
    """Signals that are so; the others are no, as in the table of cases."""
    return [
        Signal(
            id=id,
            state="yes" if id in yes else "no",
            value=yes.get(id, ""),
            evidence=("seen",) if id in yes else (),
            task=TASKS.get(id),
        )
        for id in MEANING
    ]


@pytest.mark.parametrize(
    ("yes", "role", "command"),
    [
        ({"E4": ""}, "data_scientist", "ambidex profile data/t.csv"),
        ({"A2": "advice"}, "data_scientist", None),
        ({"E2": ""}, "data_scientist", None),
        ({"A1": ""}, "data_scientist", None),
        ({"E1": ""}, "data_scientist", None),
        ({"D1": ""}, "ml_engineer", "ambidex promote churn@1 --to live"),
        ({"A5": ""}, "ml_engineer", None),
        ({"D4": ""}, "ml_engineer", None),
        ({"D3": "tight"}, "ml_engineer", None),
        ({"D3": "missed", "E1": "", "E4": "", "P0": ""}, "ml_engineer", None),
        ({"D2": ""}, "ml_engineer", "ambidex package answer/1 --name churn"),
        ({"E1": "", "D1": "", "A3": "sustained"}, "both", None),
        ({"E1": "", "E4": "", "D1": "", "D4": ""}, "both", None),
        ({"E3": "", "D1": "", "A4": ""}, "both", None),
        ({"E1": "", "D1": "", "A3": "one-off"}, "in_sequence", None),
        ({"P0": "", "E2": ""}, "engineer", None),
        ({"E2": "", "E4": "", "A5": ""}, "data_scientist", "ambidex profile data/t.csv"),
        ({"E1": "", "D1": ""}, "cannot_say", "ambidex promote churn@1 --to live"),
        ({}, "none", "ambidex status"),
    ],
)
def test_agreed_cases(yes, role, command):
    data = advise(facts(**yes))
    assert data["role"] == role
    if command:
        assert data["first_task"]["command"] == command


@pytest.mark.parametrize(
    ("yes", "team", "strong", "answer"),
    [
        ({"A7": ""}, 3, True, "works"),
        ({"A7": ""}, 4, True, "cannot_say"),
        ({"A7": ""}, None, True, "cannot_say"),
        ({}, 3, True, "cannot_say"),
        ({"A7": ""}, 3, False, "cannot_say"),
        ({"A7": ""}, 3, None, "cannot_say"),
        ({"A7": "", "D3": "tight"}, 3, True, "does_not_work"),
        ({"A7": "", "A6": "statistics"}, 3, True, "does_not_work"),
        ({"A7": ""}, 6, True, "does_not_work"),
    ],
)
def test_one_person(yes, team, strong, answer):
    person = advise(facts(**yes), team=team, strong=strong)["one_person"]
    assert person["answer"] == answer and person["because"]


def test_hire():
    assert hire(facts(E1=""), gap=None) == "unknown"
    assert hire(facts(E1=""), gap=False) == "covered"
    assert hire(facts(E1=""), gap=True) == "not_yet"
    assert hire(facts(E1="", E4=""), gap=True) == "yes"
    assert hire(facts(A2="software"), gap=True) == "yes"


def test_too_little_known_asks():
    data = advise([Signal(id=id, state="unknown") for id in MEANING])
    assert data["role"] == "cannot_say" and data["rule"] == "R2"
    assert {"A2", "A3"} <= {q["id"] for q in data["questions"]}
    assert data["first_task"]["command"] == "ambidex next --ask"


def test_one_question_decides_between_once_and_for_good():
    signals = [s for s in facts(E1="", D1="") if s.id not in ("A3", "A4")]
    data = advise([*signals, Signal(id="A3", state="unknown"), Signal(id="A4", state="unknown")])
    assert data["rule"] == "R9"
    assert {"A3", "A4"} <= {q["id"] for q in data["questions"]} <= {"A3", "A4", "TEAM", "STRONG"}
    assert {"id": "A3", "to": "one-off", "role": "in_sequence"} in data["would_change"]
    assert {"id": "A3", "to": "sustained", "role": "both"} in data["would_change"]


def test_no_question_is_asked_that_could_change_nothing():
    signals = [s for s in facts(D3="missed") if s.id != "A3"]
    data = advise([*signals, Signal(id="A3", state="unknown")])
    assert data["questions"] == []


def test_shown_in_the_terminal():
    result = as_result(advise(facts(D1="")), ask=True)
    assert result.lines[0][1] == "needed next: delivery, an ML engineer's work"
    assert result.next[0].startswith("ambidex ")
    assert any("seen" in text for _, text in result.lines)


@pytest.mark.parametrize(("id", "value"), [("A9", "yes"), ("A3", "often"), ("TEAM", "0"), ("TEAM", "many")])
def test_facts_that_cannot_be(id, value):
    with pytest.raises(UsageError) as e:
        check_fact(id, value)
    assert e.value.code == "usage.value" and e.value.do


def values(id: str) -> st.SearchStrategy[Signal]:
    kinds = KINDS.get(id, ("",))
    return st.one_of(
        st.just(Signal(id=id, state="unknown")),
        st.just(Signal(id=id, state="no")),
        st.sampled_from(kinds).map(lambda v: Signal(id=id, state="yes", value=v, evidence=("event 7",))),
    )


ANY = st.tuples(*(values(id) for id in MEANING)).map(list)


@given(ANY, st.randoms(use_true_random=False))
def test_the_order_of_facts_does_not_matter(signals, random):
    mixed = list(signals)
    random.shuffle(mixed)
    assert advise(mixed) == advise(signals)


@given(ANY)
def test_unknown_never_counts(signals):
    """Whatever is unknown gives the same counts and, once enough is known, the same role as no."""
    data = advise(signals)
    known = [s for s in signals if s.state != "unknown"]
    assert data["strength"] == advise(known)["strength"]
    if data["rule"] != "R2":
        assert decide_role(known).name == data["rule"]
        as_no = [s if s.state != "unknown" else Signal(id=s.id, state="no") for s in signals]
        assert advise(as_no)["role"] == data["role"]


@given(ANY)
def test_every_answer_has_evidence(signals):
    data = advise(signals)
    assert data["rule"] in {r.name for r in RULES} and data["why"]
    assert all(s["evidence"] for s in data["signals"] if s["state"] == "yes")
    if data["role"] not in ("cannot_say", "none"):
        assert any(s["evidence"] for s in data["signals"] if s["state"] == "yes")
    assert data["first_task"]["command"].startswith("ambidex ")
    for change in data["would_change"]:
        assert change["role"] != data["role"]


def test_a_yes_without_evidence_cannot_be_made():
    with pytest.raises(ValueError, match="without evidence"):
        Signal(id="E1", state="yes")
    with pytest.raises(ValueError, match="must be one of"):
        Signal(id="A3", state="yes", evidence=("x",))
