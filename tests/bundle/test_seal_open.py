"""A bundle is verified before it is parsed, tried in a child, and refused when anything is off."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ambidex.bundle.open import open_bundle, replay, try_in_child
from ambidex.bundle.seal import read_manifest, seal, verify
from ambidex.errors import Refused
from ambidex.records import canonical, digest

MODEL: dict[str, Any] = {
    "format": "ambidex-additive/1", "link": "logit", "intercept": -1.0, "base": 0.27, "rows": 10,
    "terms": [{"column": "plan", "kind": "category", "levels": {"a": 0.0, "b": 1.0}, "other": 0.5, "missing": 0.5}],
    "schema": {"target": "quiet", "task": "binary", "classes": ["no", "yes"],
               "columns": [{"name": "plan", "type": "category", "levels": ["a", "b"]}]},
}  # fmt: skip
GOLDEN = {"rows": [{"plan": "b"}, {"plan": "never"}], "expected": [0.5, 1 / (1 + 2.718281828459045**0.5)]}


class Shelf:
    """Blobs in a dict that a test can spoil."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        self.kept[digest(data)] = data
        return digest(data)

    def get(self, sha256: str) -> bytes:
        return self.kept[sha256]


def files(model: Any = MODEL, golden: Any = GOLDEN) -> dict[str, bytes]:
    rest = {f"{n}.json": b"{}" for n in ("recipe", "reference", "evaluation", "lineage")}
    return {"model.json": canonical(model), "golden.json": canonical(golden), **rest}


def test_sealing_twice_gives_the_same_digest() -> None:
    shelf = Shelf()
    assert seal(shelf, files()) == seal(shelf, files())  # type: ignore[arg-type]


def test_a_sound_bundle_opens() -> None:
    shelf = Shelf()
    opened = open_bundle(shelf, seal(shelf, files()))  # type: ignore[arg-type]
    assert opened.scorer.score({"plan": "b"}) == 0.5


@pytest.mark.parametrize("name", ["model.json", "golden.json", "lineage.json"])
def test_a_flipped_bit_is_found_before_parsing(name: str) -> None:
    shelf = Shelf()
    bundle = seal(shelf, files())  # type: ignore[arg-type]
    spoiled = read_manifest(shelf, bundle)["files"][name]["sha256"]  # type: ignore[arg-type]
    data = bytearray(shelf.kept[spoiled])
    data[len(data) // 2] ^= 1
    shelf.kept[spoiled] = bytes(data)
    for use in (open_bundle, verify):
        with pytest.raises(Refused) as error:
            use(shelf, bundle)  # type: ignore[operator]
        assert error.value.code == "check.altered"


def test_a_flipped_bit_in_the_manifest_is_found() -> None:
    shelf = Shelf()
    bundle = seal(shelf, files())  # type: ignore[arg-type]
    shelf.kept[bundle] = shelf.kept[bundle].replace(b"golden.json", b"g0lden.json")
    with pytest.raises(Refused, match="not what was sealed"):
        open_bundle(shelf, bundle)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"expected": [0.5, 0.9]}, "golden rows differ"),
        ({"expected": [0.5, float("1e300")]}, "golden rows differ"),
        ({"rows": [{"plan": "b"}]}, "Error"),
    ],
)
def test_golden_rows_that_do_not_come_out_are_refused(change: dict[str, Any], why: str) -> None:
    shelf = Shelf()
    bundle = seal(shelf, files(golden={**GOLDEN, **change}))  # type: ignore[arg-type]
    with pytest.raises(Refused, match=why) as error:
        open_bundle(shelf, bundle)  # type: ignore[arg-type]
    assert error.value.code == "check.opens"


def test_a_format_that_nobody_reads_is_refused_by_content() -> None:
    shelf = Shelf()
    bundle = seal(shelf, files(model={**MODEL, "format": "pickle/4"}))  # type: ignore[arg-type]
    with pytest.raises(Refused, match="no reader"):
        open_bundle(shelf, bundle)  # type: ignore[arg-type]


def test_a_model_that_hangs_is_given_up() -> None:
    deep = json.dumps({"format": "ambidex-additive/1"}).encode()
    with pytest.raises(Refused, match=r"within 0\.001 s"):
        try_in_child(deep, b"{}", seconds=0.001)


def test_not_a_number_counts_as_a_difference() -> None:
    class Broken:
        def score(self, row: dict[str, Any]) -> float:
            return float("nan")

    assert replay(Broken(), GOLDEN) == (2, float("inf"))  # type: ignore[arg-type]


def test_a_half_written_bundle_has_no_name() -> None:
    shelf = Shelf()
    put = shelf.put
    written = 0

    def stop_after_three(data: bytes) -> str:
        nonlocal written
        written += 1
        if written > 3:
            raise OSError("disk full")
        return put(data)

    shelf.put = stop_after_three  # type: ignore[method-assign]
    with pytest.raises(OSError):
        seal(shelf, files())  # type: ignore[arg-type]
    assert not any(b"ambidex-bundle" in data for data in shelf.kept.values())
