"""Write a version as a Python package with tests, and prove that it predicts the same."""

from __future__ import annotations

import json
import keyword
import os
import secrets
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.columns import columns_of, rows_of
from ambidex.bundle.fit import fit
from ambidex.bundle.open import OpenBundle, load_scorer
from ambidex.delivery.material import Material
from ambidex.errors import EnvironmentProblem, InternalError, Refused
from ambidex.records import Recipe, canonical

__all__ = ["Parity", "build_package", "module_name", "place_package", "prove", "prove_against_prototype"]


PROOF_ROWS = 20_000


@dataclass(frozen=True)
class Parity:
    """How equal two sets of predictions are.

    Attributes:
        equal: Rows whose prediction is the same to the bit, single and batched.
        of: Rows compared.
        largest: Largest difference.
    """

    equal: int
    of: int
    largest: float


def module_name(name: str) -> str:
    """The import name of a model's package.

    >>> module_name("churn-2")
    'churn_2_model'
    """
    plain = f"{name.replace('-', '_')}_model"
    return f"m_{plain}" if plain[0].isdigit() or keyword.iskeyword(plain) else plain


def build_package(folder: Path, name: str, files: Mapping[str, bytes], *, rows: Sequence[dict[str, Any]]) -> Path:
    """Write a package beside its place, where nobody takes it for one: sources, sealed model, tests, README.

    Args:
        folder: The workspace.
        name: Model's name.
        files: The bundle's files.
        rows: A few rows for the README's example.

    Returns:
        The folder, to be proven and then placed.
    """
    module = module_name(name)
    _sweep(folder, name)
    building = folder / "packages" / f".{name}.{os.getpid()}-{secrets.token_hex(3)}.new"
    try:
        _write(building, name, module, files, rows)
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise EnvironmentProblem(
            "env.disk", f"the package cannot be written: {error.strerror or error}", where=f"packages/{name}"
        ) from error
    return building


def _write(building: Path, name: str, module: str, files: Mapping[str, bytes], rows: Sequence[dict[str, Any]]) -> None:
    sources = building / "src" / module
    sources.mkdir(parents=True)
    (building / "tests").mkdir()
    for file in ("model.json", "schema.json", "recipe.json", "golden.json"):
        (sources / file).write_bytes(json.dumps(json.loads(files[file]), indent=1, ensure_ascii=False).encode())
    schema = json.loads(files["schema.json"])
    texts = _texts(name, module, schema, json.loads(files["evaluation.json"]), rows[0] if rows else {})
    for path, text in texts.items():
        (building / path).write_text(text, encoding="utf-8")


def place_package(building: Path, folder: Path, name: str) -> Path:
    """Move a proven package to ``packages/NAME``; an older one there is replaced whole. One process at a time.

    Between the two moves there is no package; a process that dies there leaves both, and packaging again
    puts one in its place.
    """
    home = folder / "packages" / name
    if home.exists():
        old = building.with_suffix(".old")
        home.replace(old)
        building.replace(home)
        shutil.rmtree(old, ignore_errors=True)
    else:
        building.replace(home)
    return home


def _sweep(folder: Path, name: str) -> None:
    """Remove what killed processes left beside the package: nobody else would."""
    for left in (folder / "packages").glob(f".{name}.*-*.*"):
        process = left.name.removeprefix(f".{name}.").partition("-")[0]
        if left.suffix in (".new", ".old") and process.isdigit() and not running(int(process)):
            shutil.rmtree(left, ignore_errors=True)


def running(process: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    return True


def prove(package: Path, module: str, rows: Sequence[dict[str, Any]], expected: NDArray[np.float64]) -> Parity:
    """Predict the rows with the written package, in a child of its own, one by one and all at once.

    Raises:
        Refused: ``check.tests`` if the package does not run.
    """
    program = textwrap.dedent(f"""
        import json, sys
        sys.path.insert(0, {str(package / "src")!r})
        import {module}
        rows = json.load(sys.stdin)
        print(json.dumps([[{module}.predict([r])[0] for r in rows], {module}.predict(rows)]))
    """)
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], input=canonical(rows), capture_output=True, check=False, timeout=300
        )
    except subprocess.TimeoutExpired as error:
        raise Refused("check.tests", "the written package did not answer within 300 s") from error
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()
        raise Refused("check.tests", f"the written package does not run: {last[-1] if last else 'no message'}")
    single, batched = (np.asarray(part, dtype=np.float64) for part in json.loads(done.stdout))
    if single.shape != expected.shape or batched.shape != expected.shape:
        raise InternalError("internal.bug", "the package gave another number of predictions than rows")
    gap = np.maximum(np.abs(single - expected), np.abs(batched - expected))
    return Parity(equal=int((gap == 0).sum()), of=len(expected), largest=float(gap.max(initial=0.0)))


def prove_against_prototype(
    building: Path, name: str, opened: OpenBundle, material: Material, recipe: Recipe
) -> tuple[Parity, list[tuple[str, str]]]:
    """Compare the written package with the prototype, fitted anew in memory, on the data's own rows.

    Returns:
        How equal they are, and notes on cells that were read as missing.

    Raises:
        Refused: ``check.tests`` unless every prediction is the same; the package is removed then.
    """
    try:
        prototype = load_scorer(fit(material.table.take(~material.held_out), recipe))
        some = material.table.head(PROOF_ROWS)
        schema = opened.schema.relaxed()
        columns, notes = columns_of(some, schema)
        expected = np.asarray(prototype.score_columns(columns, some.rows), dtype=np.float64)
        parity = prove(building, module_name(name), rows_of(columns, schema, range(some.rows)), expected)
        if parity.equal != parity.of:
            raise Refused(
                "check.tests",
                f"the package predicts {parity.equal:,} of {parity.of:,} rows as the prototype does",
                found=f"largest difference {parity.largest:.3g}",
                data={
                    "model": name, "version": None, "path": None, "equal": parity.equal, "of": parity.of,
                    "largest_difference": parity.largest, "traps": [],
                },
            )  # fmt: skip
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return parity, notes


def _texts(
    name: str, module: str, schema: Mapping[str, Any], evaluation: Mapping[str, Any], row: Mapping[str, Any]
) -> dict[str, str]:
    value = evaluation.get("value")
    metric = {"auc": "AUC", "r2": "R²", "qini": "Qini"}.get(evaluation["metric"], evaluation["metric"])
    fit = f"{metric} {value:.3g}" if value is not None else "no figure"
    example = json.dumps(row, ensure_ascii=False)
    takes = "\n".join(
        f"| `{c['name']}` | {c['type']} | {'may be missing' if c['nullable'] else 'always there'} |"
        for c in schema["columns"]
    )
    binary = schema["task"] == "binary"
    gives = f"the probability of {schema['target']} = {schema['classes'][1]}" if binary else schema["target"]
    says = "The model describes what goes with the outcome; it does not say what would change it."
    if evaluation["metric"] == "qini":
        gives = f"what the treatment adds to {schema['target']}, expected, per treated unit"
        says = "The model rests on a randomised campaign: the score is an effect, for units like those of the campaign."
    if schema["task"] == "segments":
        gives = "the segment, as its place in " + ", ".join(f"{i} {n}" for i, n in enumerate(schema["classes"]))
        fit = f"{value:.0%} of the differences between rows taken up by the segments" if value is not None else fit
        says = "The segments describe who is alike; they do not say what an offer would change."
    return {
        "pyproject.toml": textwrap.dedent(f"""\
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "{name}-model"
            version = "0"
            requires-python = ">=3.11"
            dependencies = ["ambidex"]

            [tool.hatch.build.targets.wheel]
            packages = ["src/{module}"]

            [tool.pytest.ini_options]
            pythonpath = ["src"]
            """),
        f"src/{module}/__init__.py": textwrap.dedent(f'''\
            """Predict {schema["target"]} from plain rows."""

            from {module}.predict import SCHEMA, predict

            __all__ = ["SCHEMA", "predict"]
            '''),
        f"src/{module}/py.typed": "",
        f"src/{module}/predict.py": textwrap.dedent('''\
            """The scoring function: rows in, numbers out, nothing else needed at run time."""

            from __future__ import annotations

            import json
            from collections.abc import Mapping, Sequence
            from pathlib import Path
            from typing import Any

            from ambidex.bundle.open import load_scorer

            __all__ = ["SCHEMA", "predict"]

            _HERE = Path(__file__).parent
            _SCORER = load_scorer(json.loads((_HERE / "model.json").read_text(encoding="utf-8")))

            SCHEMA = _SCORER.schema
            """The columns it takes: names, types, what may be missing."""


            def predict(rows: Sequence[Mapping[str, Any]]) -> list[float]:
                """One number a row, in the order of the rows.

                Raises:
                    KeyError: A row lacks a column.
                """
                wanted = SCHEMA.names
                return [_SCORER.score({name: row[name] for name in wanted}) for row in rows]
            '''),
        f"src/{module}/train.py": textwrap.dedent(f'''\
            """Run the recipe again: ``python -m {module}.train`` inside the workspace."""

            from __future__ import annotations

            import ambidex

            if __name__ == "__main__":
                print(ambidex.train("{name}").to_dict())
            '''),
        f"tests/test_{module}.py": textwrap.dedent(f'''\
            """What must stay true of {name}, whoever changes it."""

            from __future__ import annotations

            import json
            import math
            from pathlib import Path

            import {module}
            import pytest

            GOLDEN = json.loads((Path({module}.__file__).parent / "golden.json").read_text(encoding="utf-8"))


            def test_golden_rows_come_out_as_sealed() -> None:
                got = {module}.predict(GOLDEN["rows"])
                assert got == pytest.approx(GOLDEN["expected"], rel=1e-12, abs=1e-12)


            def test_one_by_one_is_the_same_as_all_at_once() -> None:
                together = {module}.predict(GOLDEN["rows"])
                assert [{module}.predict([row])[0] for row in GOLDEN["rows"]] == together


            def test_outputs_are_finite() -> None:
                assert all(math.isfinite(p) for p in {module}.predict(GOLDEN["rows"]))


            @pytest.mark.parametrize("column", {module}.SCHEMA.names)
            def test_a_missing_column_is_an_error(column: str) -> None:
                row = dict(GOLDEN["rows"][0])
                del row[column]
                with pytest.raises(KeyError):
                    {module}.predict([row])


            def test_the_order_of_columns_does_not_matter() -> None:
                row = GOLDEN["rows"][0]
                assert {module}.predict([dict(reversed(row.items()))]) == {module}.predict([row])
            '''),
        "README.md": "\n".join([
            f"# {name}",
            "",
            f"Gives {gives}. On rows that were not fitted: {fit} ({evaluation['held_out_rows']:,} rows).",
            "",
            "```python",
            f"import {module}",
            f"{module}.predict([{example}])",
            "```",
            "",
            "Tests: `python -m pytest`. Train again: `ambidex train " + name + "`.",
            "",
            "| column | type | missing |",
            "|---|---|---|",
            takes,
            "",
            says,
            "",
        ]),
    }  # fmt: skip
