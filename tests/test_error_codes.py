"""The table of codes and the code base are equal: no code without a meaning, no meaning without a use."""

from __future__ import annotations

import re

from ambidex.errors import CODES, AmbidexError, InternalError, UsageError, explain
from support import ROOT

SOURCES = ROOT / "src" / "ambidex"
CODE = re.compile(r'"((?:usage|data|advice|check|env|http|internal)\.[a-z]+(?:-[a-z]+)*)"')


def used() -> set[str]:
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name == "errors.py" and path.parent == SOURCES:
            text = text.split("CODES: dict", 1)[0]
        found |= set(CODE.findall(text))
    return found


def test_every_code_that_is_raised_has_a_meaning():
    assert used() - set(CODES) == set()


def test_every_meaning_is_of_a_code_that_is_raised():
    assert set(CODES) - used() == set()


def test_the_table_reads_well():
    for code, text in CODES.items():
        assert CODE.fullmatch(f'"{code}"') and text.endswith(".") and "\n" not in text
        assert explain(code) == text


def test_the_tree_gives_every_exit_code():
    def below(kind):
        return {kind, *(k for sub in kind.__subclasses__() for k in below(sub))}

    assert {k.exit_code for k in below(AmbidexError)} == {1, 2, 3, 4, 5}
    assert UsageError.exit_code == 2 and InternalError.exit_code == 1
