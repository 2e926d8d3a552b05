"""Open a bundle: verify every hash, try it in a child, replay the golden rows, and only then load it."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from ambidex.bundle import seal
from ambidex.bundle.additive import AdditiveScorer
from ambidex.bundle.compiled import PLAN, TREES, open_compiled, require_library, runtime_of
from ambidex.bundle.example import example_of
from ambidex.bundle.segments import SegmentScorer
from ambidex.bundle.trees import TreeScorer
from ambidex.bundle.uplift import UpliftScorer
from ambidex.errors import MissingExtra, Refused
from ambidex.ports import Blobs, Scorer
from ambidex.records import Recipe, Schema, canonical

__all__ = [
    "TOLERANCE", "OpenBundle", "Served", "load_scorer", "open_bundle", "open_served", "replay", "try_in_child",
]  # fmt: skip

TOLERANCE = 1e-12
"""Largest difference between a golden row's sealed and replayed output: our own format is bit-equal on one
machine, and a libm may differ in the last place on another."""

_TRIED = ("code/", "state/", PLAN, TREES)
CHILD_SECONDS = 20.0
CODE_SECONDS = 60.0
"""A bundle of code imports what it needs first."""
_WITH_FILES = {"ambidex-code/1": "ambidex.edges.code:open_code"}
"""Formats that are more than one JSON document -> the function (model, files). They import what scoring needs, which
nothing else waits for, so they are named and not imported."""
_READERS: dict[str, Callable[[Mapping[str, Any]], Scorer]] = {
    "ambidex-additive/1": AdditiveScorer,
    "ambidex-segments/1": SegmentScorer,
    "ambidex-trees/1": TreeScorer,
    "ambidex-uplift/1": UpliftScorer,
}


@dataclass(frozen=True)
class OpenBundle:
    """A bundle that was verified, tried and loaded.

    Attributes:
        digest: Names it.
        scorer: The model.
        manifest: File names, sizes and hashes.
        files: The verified bytes by name.
    """

    digest: str
    scorer: Scorer
    manifest: Mapping[str, Any]
    files: Mapping[str, bytes]

    @property
    def schema(self) -> Schema:
        """What the model takes and gives."""
        return self.scorer.schema

    @cached_property
    def runtime(self) -> tuple[str, str]:
        """How it is served: (``compiled`` or ``fallback``, why)."""
        return runtime_of(self.files)

    @cached_property
    def recipe(self) -> Recipe:
        """How to run it again."""
        return Recipe.from_json(json.loads(self.files["recipe.json"]))

    @cached_property
    def reference(self) -> dict[str, Any]:
        """What its inputs, scores and losses looked like when it was made."""
        reference: dict[str, Any] = json.loads(self.files["reference.json"])
        return reference

    @cached_property
    def golden(self) -> dict[str, Any]:
        """Rows and their sealed outputs."""
        golden: dict[str, Any] = json.loads(self.files["golden.json"])
        return golden

    @cached_property
    def evaluation(self) -> dict[str, Any]:
        """Figures on rows that were not fitted."""
        evaluation: dict[str, Any] = json.loads(self.files["evaluation.json"])
        return evaluation

    @cached_property
    def lineage(self) -> dict[str, Any]:
        """Data manifest, code and configuration it came from."""
        lineage: dict[str, Any] = json.loads(self.files["lineage.json"])
        return lineage


@dataclass(frozen=True)
class Served:
    """What answers requests.

    Attributes:
        digest: Names the bundle.
        scorer: The compiled form, or the model.
        runtime: ``compiled`` or ``fallback``.
        reason: Why.
        slow: Whether a prediction takes longer than the event loop of a server may wait.
        example: A row as callers send it.
    """

    digest: str
    scorer: Scorer
    runtime: str
    reason: str
    slow: bool = False
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def schema(self) -> Schema:
        """What the model takes and gives."""
        return self.scorer.schema


def load_scorer(model: Mapping[str, Any], files: Mapping[str, bytes] | None = None) -> Scorer:
    """The scorer of a model document, by what it says it is, never by a file's name.

    Args:
        model: ``model.json``.
        files: The bundle's files, verified, for formats that are more than this document.

    Raises:
        Refused: ``check.opens`` for a format this program does not read.
    """
    kind = str(model.get("format"))
    if kind in _WITH_FILES:
        if files is None:
            raise Refused("check.opens", f"a model of format {kind} is opened with its files")
        module, _, name = _WITH_FILES[kind].partition(":")
        opened: Scorer = getattr(importlib.import_module(module), name)(model, files)
        return opened
    reader = _READERS.get(kind)
    if reader is None:
        raise Refused("check.opens", f"no reader for model format {kind[:60]!r}")
    return reader(model)


def replay(scorer: Scorer, golden: Mapping[str, Any]) -> tuple[int, float]:
    """How many golden rows come out otherwise than sealed, and by how much at most.

    Returns:
        (rows that differ by more than the tolerance sealed with them, else ``TOLERANCE``; largest difference). NaN
        counts as infinitely far.
    """
    tolerance = float(golden.get("tolerance", TOLERANCE))
    differs, largest = 0, 0.0
    for row, expected in zip(golden["rows"], golden["expected"], strict=True):
        got = scorer.score(row)
        pairs = zip(got, expected, strict=True) if isinstance(expected, list) else ((got, expected),)
        worst = 0.0
        for value, wanted in pairs:
            gap = abs(value - wanted)
            gap = gap if gap == gap else float("inf")
            worst = max(worst, gap / max(1.0, abs(wanted)))
            largest = max(largest, gap)
        differs += worst > tolerance
    return differs, largest


def try_in_child(
    model: bytes, golden: bytes, *, files: Mapping[str, bytes] | None = None, seconds: float = CHILD_SECONDS
) -> None:
    """Load a model and replay its golden rows in a child with time and memory limits.

    Args:
        model: ``model.json``.
        golden: ``golden.json``.
        files: The other files that the model names (code and state).
        seconds: How long the child may take.

    Raises:
        Refused: ``check.opens`` if the child says no, dies, or does not answer in time.
    """
    others = {name: data for name, data in sorted((files or {}).items()) if name.startswith(_TRIED)}
    lengths = {name: len(data) for name, data in others.items()}
    sizes: dict[str, Any] = {"model": len(model), "golden": len(golden), "files": lengths}
    message = b"".join([canonical(sizes), b"\n", model, golden, *others.values()])
    seconds = max(seconds, CODE_SECONDS) if others else seconds
    command = [sys.executable, "-I", "-m", "ambidex.bundle.probe"]
    try:
        done = subprocess.run(command, input=message, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Refused("check.opens", f"the model did not open within {seconds:g} s") from error
    try:
        said = json.loads(done.stdout)
    except ValueError:
        said = {"ok": False, "why": f"the child that opened it ended with status {done.returncode}"}
    if not said.get("ok"):
        raise Refused("check.opens", f"the model does not open: {said.get('why', 'no reason given')}")


def open_bundle(blobs: Blobs, bundle: str, *, tried: bool = True) -> OpenBundle:
    """Verify, try and load a bundle.

    Args:
        blobs: Where it lies.
        bundle: Its digest.
        tried: False skips the child, for a bundle that this process has just sealed or tried.

    Raises:
        Refused: ``check.altered`` or ``check.opens``.
    """
    manifest, files = _verified(blobs, bundle)
    if tried:
        try_in_child(files["model.json"], files["golden.json"], files=_without_plan(files))
    return OpenBundle(digest=bundle, scorer=_loaded(files), manifest=manifest, files=files)


def open_served(blobs: Blobs, bundle: str) -> Served:
    """Verify, try and load what answers requests: the compiled form where there is one, else the model itself.

    The compiled form needs neither numpy nor the library that fitted the model. Where the library that executes it is
    not installed, the model itself answers, and ``runtime`` says so.

    Raises:
        Refused: ``check.altered`` or ``check.opens``.
    """
    _, files = _verified(blobs, bundle)
    runtime, reason = runtime_of(files)
    if runtime == "compiled":
        try:
            require_library(files)
        except MissingExtra as error:
            runtime, reason = "fallback", f"{reason}; not here: {error.message}"
        else:
            try_in_child(
                files["model.json"], files["golden.json"], files={n: files[n] for n in (PLAN, TREES) if n in files}
            )
            compiled = open_compiled(files)
            return Served(bundle, compiled, runtime, reason, example=_example(compiled.schema, files))
    try_in_child(files["model.json"], files["golden.json"], files=_without_plan(files))
    slow = json.loads(files["model.json"])["format"] in _WITH_FILES
    scorer = _loaded(files)
    return Served(bundle, scorer, runtime, reason, slow, _example(scorer.schema, files))


def _example(schema: Schema, files: Mapping[str, bytes]) -> dict[str, Any]:
    return example_of(schema, json.loads(files["golden.json"])["rows"])


def _verified(blobs: Blobs, bundle: str) -> tuple[dict[str, Any], dict[str, bytes]]:
    manifest = seal.read_manifest(blobs, bundle)
    files = {name: seal.read_file(blobs, manifest, name) for name in manifest["files"]}
    for needed in ("model.json", "golden.json", "recipe.json", "reference.json", "evaluation.json", "lineage.json"):
        if needed not in files:
            raise Refused("check.opens", f"the bundle has no file {needed}", found=", ".join(sorted(files)))
    return manifest, files


def _without_plan(files: Mapping[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in files.items() if name not in (PLAN, TREES)}


def _loaded(files: Mapping[str, bytes]) -> Scorer:
    try:
        return load_scorer(json.loads(files["model.json"]), files)
    except (ValueError, KeyError, TypeError) as error:
        raise Refused("check.opens", f"the model does not load: {error}") from error
