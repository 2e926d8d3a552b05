"""ambidex.toml: what it takes, and what it says when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from ambidex.errors import UsageError
from ambidex.settings import FILE, ModelSettings, add_model, duration, read_settings

PREPARE = {"kind": "orders", "unit": "who", "time": "day", "value": "money", "horizon_days": 9}


def write(folder: Path, text: str) -> Path:
    (folder / FILE).write_text(text)
    return folder


@pytest.mark.parametrize(("text", "seconds"), [("7d", 604800), ("12h", 43200), ("1.5 m", 90), ("2w", 1209600)])
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["7", "d", "-1d", "1y", ""])
def test_no_durations(text: str) -> None:
    with pytest.raises(UsageError) as error:
        duration(text)
    assert error.value.code == "usage.config"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nmae = 'x'", "unknown key `nmae`; did you mean `name`?"),
        ("[gates]\nmargn = 0.1", "did you mean `margin`?"),
        ("[models.churn]\ndata = 'd'\ntarget = 'y'\ntraget = 'z'", "did you mean `target`?"),
        ("[models.churn]\ndata = 'd'", "target"),
        ("[gates]\nmargin = 'wide'", "float"),
        ("[gates]\nalpha = 2.0", "between 0 and 1"),
        ("[gates]\nmax_age = 'soon'", "no"),
        ("[models.'../x']\ndata = 'd'\ntarget = 'y'", "not a name"),
        ("= 3", "not TOML"),
        ("[models.m]\ndata = 'd'\ntarget = 'y'\nhorizon = '30d'", "horizon needs time"),
        ("[gates]\nmargin = nan", "between -1 and 1"),
        ("[gates]\nmax_age = '99999999999d'", "hundred years"),
        ("[watch]\nlooks = 0.0", "between 0"),
        ("[models.m]\ndata = 'd'\ntarget = 'y'\n[models.m.prepare]\nkind = 'orders'", "lacks unit"),
        ("[models.m]\ndata = 'd'\ntarget = 'y'\n[models.m.prepare]\nunti = 'u'", "did you mean `unit`?"),
        ("[models.m]\ndata = 'd'\ntarget = 'y'\n[models.m.prepare]\nkind = 1", "is no str"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        read_settings(write(tmp_path, text))
    assert error.value.code == "usage.config"
    assert says in str(error.value)


def test_what_people_wrote_stays_when_a_model_is_added(tmp_path: Path) -> None:
    mine = "# my own words\nname = 'quiet'\n\n[gates]\nmargin = 0.01  # agreed with Ada\n"
    hard = ModelSettings(data='a "b"\\c', target="tab\there", key="id", prepare=PREPARE)
    assert add_model(write(tmp_path, mine), "churn", hard)
    assert (tmp_path / FILE).read_text().startswith(mine.rstrip())
    read = read_settings(tmp_path)
    assert read.gates.margin == 0.01
    assert read.models["churn"] == hard
    assert not add_model(tmp_path, "churn", ModelSettings(data="other", target="y"))
    assert read_settings(tmp_path).models["churn"].target == "tab\there"


def test_another_margin_is_another_configuration(tmp_path: Path) -> None:
    a = read_settings(write(tmp_path, "")).gates.hash
    assert a != read_settings(write(tmp_path, "[gates]\nmargin = 0.02")).gates.hash


def test_a_file_that_cannot_be_added_to_is_left_as_it_is(tmp_path: Path) -> None:
    mine = "models = {a = {data = 'd', target = 'y'}}\n"
    with pytest.raises(UsageError, match="cannot be added"):
        add_model(write(tmp_path, mine), "churn", ModelSettings(data="d", target="y"))
    assert (tmp_path / FILE).read_text() == mine
