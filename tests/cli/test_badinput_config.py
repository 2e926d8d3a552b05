"""Wrong settings and wrong SELECTs: the shared collection of bad input, surfaces config and sql."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import ambidex as amb
from ambidex.errors import AmbidexError
from support import shared
from terminal import Terminal

HERE = Path(__file__).parent


def cases(surface: str) -> list[dict[str, Any]]:
    try:
        lines = shared("badinput/cases.jsonl").read_text().splitlines()
    except pytest.skip.Exception:
        return []
    return [case for line in lines if (case := json.loads(line))["surface"] == surface]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    amb.init(tmp_path / "w")
    return tmp_path / "w"


def state(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def refused(folder: Path, words: list[str], exits: list[int], **environment: str) -> dict[str, Any]:
    """Both forms of one command: a stable code on stderr, the same in one JSON document; nothing changed."""
    before = state(folder)
    terminal = Terminal(folder)
    plain, told = (terminal.raw(*words, *more) for more in ((), ("--json",)))
    for done in (plain, told):
        assert done.returncode in exits, (words, done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in done.stdout + done.stderr
    document = json.loads(told.stdout)
    assert document["error"]["code"] in plain.stderr
    after = state(folder)
    changed = [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    assert not [name for name in changed if not name.endswith(("-wal", "-shm", ".lock", ".next", "lock"))], changed
    return {**document["error"], "stderr": plain.stderr, "stdout": plain.stdout + told.stdout}


INLINE = [c for c in cases("config") if "content" in c["construct"]]


@pytest.mark.parametrize("case", INLINE, ids=[c["id"] for c in INLINE])
def test_settings(case: dict[str, Any], folder: Path) -> None:
    (folder / "ambidex.toml").write_text(case["construct"]["content"])
    said = refused(folder, ["status"], case["expect"]["exit"])
    assert "ambidex.toml" in said["stderr"]
    must = " ".join(case["expect"]["must"])
    if "line and column" in must:
        assert "line" in said["stderr"] and "column" in said["stderr"]
    if "suggests" in must:
        assert "did you mean" in said["stderr"] or "known here: alpha" in said["stderr"]
    if "schemes" in must:
        assert "postgresql://" in said["stderr"]


def test_a_variable_of_a_wrong_type(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMBIDEX_PORT", "abc")
    assert "AMBIDEX_PORT" in refused(folder, ["serve", "churn"], [2])["stderr"]


@pytest.mark.parametrize("case", [c for c in cases("sql") if "run" in c["construct"]], ids=lambda c: c["id"])
def test_selects(case: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shlex

    words = shlex.split(case["construct"]["run"])[1:]
    if case["kind"] == "resources":
        # The limit is ten minutes; the whole road under a limit of one second is walked in this process.
        from ambidex.data import select

        monkeypatch.setattr(select, "DEADLINE_S", 1.0)
        with pytest.raises(AmbidexError) as caught:
            amb.profile(words[-1], at=folder)
        assert caught.value.exit_code in case["expect"]["exit"]
        assert "second" in str(caught.value)
        return
    said = refused(folder, words, case["expect"]["exit"])
    assert not (folder / "out.csv").exists()
    assert "root:" not in said["stdout"] + said["stderr"]


def test_a_variable_of_the_caller(folder: Path) -> None:
    import pandas as pd

    secret = pd.DataFrame({"a": [1, 2, 3]})
    with pytest.raises(AmbidexError) as caught:
        amb.profile("SELECT * FROM secret", at=folder)
    assert "secret" in caught.value.message
    assert len(secret) == 3
