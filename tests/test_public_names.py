"""``import ambidex`` gives the public names and nothing else."""

from __future__ import annotations

import ast
import importlib
import tomllib
import types

import pytest

import ambidex
from ambidex.cli.verbs import VERBS
from support import ROOT


def test_every_verb_is_a_public_name():
    assert set(VERBS) <= set(ambidex.__all__)


def test_the_list_is_what_is_there():
    assert list(ambidex.__all__) == sorted(ambidex.__all__)
    public = {n for n in dir(ambidex) if not n.startswith("_")}
    assert public == set(ambidex.__all__)
    tree = ast.parse((ROOT / "src/ambidex/__init__.py").read_text())
    typed = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("ambidex.")
        for alias in node.names
    }
    assert typed - {"__version__"} == set(ambidex.__all__)


@pytest.mark.parametrize("name", ambidex.__all__)
def test_each_name_is_there_and_documented(name):
    value = getattr(ambidex, name)
    assert not isinstance(value, types.ModuleType) and (value.__doc__ or "").strip()


def test_a_room_of_the_same_name_does_not_hide_the_verb():
    importlib.import_module("ambidex.report.answer")
    importlib.reload(importlib.import_module("ambidex.report.words"))
    assert isinstance(ambidex.report, types.FunctionType)
    assert isinstance(ambidex.demo, types.FunctionType)


def test_other_names_are_missing():
    with pytest.raises(AttributeError, match="has no attribute 'analyze'"):
        ambidex.analyze


def test_the_version_is_the_project_s():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert ambidex.__version__ == project["version"]
