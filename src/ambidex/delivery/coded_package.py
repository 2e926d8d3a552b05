"""Write a version of code and state as a Python package with tests."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ambidex.delivery.package import prove
from ambidex.errors import EnvironmentProblem, Refused

__all__ = ["build_coded"]


def build_coded(folder: Path, name: str, files: Mapping[str, bytes]) -> Path:
    """Write the package beside its place, and run it once on the golden rows in a child.

    Args:
        folder: The workspace.
        name: Model's name.
        files: The bundle's files.

    Returns:
        The folder, to be placed (``place_package``).

    Raises:
        Refused: ``check.tests`` if the written package does not predict the golden rows as they were sealed.
        EnvironmentProblem: ``env.disk``.
    """
    model = json.loads(files["model.json"])
    module = model["package"]
    building = folder / "packages" / f".{name}.{os.getpid()}-{secrets.token_hex(3)}.new"
    sources = building / "src" / module
    golden = json.loads(files["golden.json"])
    try:
        sources.mkdir(parents=True)
        (building / "tests").mkdir()
        for path in model["files"]:
            place = sources / path.removeprefix(f"code/{module}/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(files[path])
        for file in ("schema.json", "golden.json"):
            text = json.dumps(json.loads(files[file]), indent=1, ensure_ascii=False)
            (sources / file).write_text(text, encoding="utf-8")
        for path, text in _texts(name, module, model, json.loads(files["evaluation.json"]), golden).items():
            (building / path).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise EnvironmentProblem(
            "env.disk", f"the package cannot be written: {error.strerror or error}", where=f"packages/{name}"
        ) from error
    try:
        parity = prove(building, module, golden["rows"], np.asarray(golden["expected"], dtype=np.float64))
        scale = max(1.0, float(np.abs(np.asarray(golden["expected"], dtype=np.float64)).max(initial=1.0)))
        if parity.largest > golden["tolerance"] * scale:
            raise Refused(
                "check.tests",
                "the written package predicts other values than the sealed version",
                found=f"largest difference {parity.largest:.3g} on {parity.of} golden rows",
            )
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    return building


_RETURNED = {
    False: 'float(p[SCHEMA["classes"][1]] if isinstance(p, dict) else p) for p in given',
    True: '[float(v) for v in ([p[c] for c in SCHEMA["classes"]] if isinstance(p, dict) else p)] for p in given',
}
_RETURNED = {k: f"[{v}]" for k, v in _RETURNED.items()}


def _texts(
    name: str, module: str, model: Mapping[str, Any], evaluation: Mapping[str, Any], golden: Mapping[str, Any]
) -> dict[str, str]:
    schema = model["schema"]
    takes = "\n".join(
        f"| `{c['name']}` | {c['type']} | {'may be missing' if c['nullable'] else 'always there'} |"
        for c in schema["columns"]
    )
    binary = schema["task"] == "binary"
    several = schema["task"] == "multiclass"
    gives = f"the probability of {schema['target']} = {schema['classes'][1]}" if binary else schema["target"]
    if several:
        gives = f"a probability for each {schema['target']}: {', '.join(schema['classes'])}"
    value = evaluation.get("value")
    metric = {"auc": "AUC", "r2": "R²"}.get(evaluation["metric"], evaluation["metric"])
    figure = f"{metric} {value:.3g}" if value is not None else "no figure"
    rows = f"{evaluation['held_out_rows']:,} rows"
    measured = (
        f"On {rows} that were not fitted: {figure}."
        if evaluation.get("fitted") == "here"
        else f"On {rows}, which the model may have been fitted on: {figure}."
    )
    needs = "".join(f'"{r}", ' for r in model["runtime"])
    return {
        "pyproject.toml": textwrap.dedent(f"""\
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "{name}-model"
            version = "0"
            requires-python = ">=3.11"
            dependencies = [{needs}"ambidex"]

            [tool.hatch.build.targets.wheel]
            packages = ["src/{module}"]

            [tool.pytest.ini_options]
            pythonpath = ["src"]
            """),
        f"src/{module}/__init__.py": textwrap.dedent(f'''\
            """Predict {schema["target"]} from plain rows."""

            from __future__ import annotations

            import json
            from collections.abc import Mapping, Sequence
            from pathlib import Path
            from typing import Any

            from .predict import load

            __all__ = ["SCHEMA", "predict"]

            _HERE = Path(__file__).parent
            _PREDICTOR = load(_HERE / "state")
            SCHEMA: dict[str, Any] = json.loads((_HERE / "schema.json").read_text(encoding="utf-8"))
            """The columns it takes: names, types, what may be missing."""


            def predict(rows: Sequence[Mapping[str, Any]]) -> list[{"list[float]" if several else "float"}]:
                """{"A probability a class" if several else "One number"} a row, in the order of the rows.

                Raises:
                    KeyError: A row lacks a column.
                """
                names = [column["name"] for column in SCHEMA["columns"]]
                given = _PREDICTOR.predict([{{name: row[name] for name in names}} for row in rows])
                return {_RETURNED[several]}
            '''),
        f"src/{module}/py.typed": "",
        f"tests/test_{module}.py": textwrap.dedent(f'''\
            """What must stay true of {name}, whoever changes it."""

            from __future__ import annotations

            import json
            import math
            from pathlib import Path

            import {module}
            import pytest

            GOLDEN = json.loads((Path({module}.__file__).parent / "golden.json").read_text(encoding="utf-8"))
            SAME = {{"rel": GOLDEN["tolerance"], "abs": GOLDEN["tolerance"]}}


            def flat(outputs: list) -> list[float]:
                return [p for row in outputs for p in (row if isinstance(row, list) else [row])]


            def test_golden_rows_come_out_as_sealed() -> None:
                assert flat({module}.predict(GOLDEN["rows"])) == pytest.approx(flat(GOLDEN["expected"]), **SAME)


            def test_one_by_one_is_the_same_as_all_at_once() -> None:
                few = GOLDEN["rows"][:12]
                alone = flat([{module}.predict([row])[0] for row in few])
                assert alone == pytest.approx(flat({module}.predict(few)), **SAME)


            def test_outputs_are_finite() -> None:
                assert all(math.isfinite(p) for p in flat({module}.predict(GOLDEN["rows"])))


            @pytest.mark.parametrize("column", [c["name"] for c in {module}.SCHEMA["columns"]])
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
            f"Gives {gives}. {measured}",
            "",
            "```python",
            f"import {module}",
            f"{module}.predict([{json.dumps(golden['rows'][0], ensure_ascii=False)}])",
            "```",
            "",
            f"Tests: `python -m pytest`. Train again: `ambidex train {name}`.",
            "",
            "| column | type | missing |",
            "|---|---|---|",
            takes,
            "",
            "The model describes what goes with the outcome; it does not say what would change it.",
            "",
        ]),
    }  # fmt: skip
