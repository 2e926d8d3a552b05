"""Write the proven package to its folder: sources, state, tests, README, model card, Dockerfile, CI."""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

import json
import os
import secrets
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

from ambidex.bundle.code import package_name
from ambidex.delivery.notebook.convert import Converted
from ambidex.delivery.notebook.traps import Trap
from ambidex.errors import EnvironmentProblem

__all__ = ["write_package"]


def write_package(folder: Path, name: str, made: Converted, traps: Sequence[Trap], *, notebook: str) -> Path:
    """Write it beside its place; ``delivery.package.place_package`` moves it there.

    Args:
        folder: The workspace.
        name: Model's name.
        made: The converted notebook.
        traps: What README and card tell.
        notebook: File name.
    """
    package = package_name(name)
    building = folder / "packages" / f".{name}.{os.getpid()}-{secrets.token_hex(3)}.new"
    try:
        home = building / "src" / package
        (home / "state").mkdir(parents=True)
        (building / "tests").mkdir()
        (building / ".github" / "workflows").mkdir(parents=True)
        for path, source in made.modules.items():
            (home / path).write_text(source, encoding="utf-8")
        for path, part in made.state.items():
            (home / "state" / path).write_bytes(part.data)
        golden = {"rows": [r for r, _ in made.golden], "expected": [p for _, p in made.golden]}
        (building / "tests" / "golden.json").write_text(
            json.dumps(golden, indent=1, ensure_ascii=False), encoding="utf-8"
        )
        (home / "py.typed").write_text("", encoding="utf-8")
        for path, text in _texts(name, package, made, traps, notebook).items():
            (building / path).write_text(text, encoding="utf-8")
    except OSError as error:
        shutil.rmtree(building, ignore_errors=True)
        raise EnvironmentProblem(
            "env.disk", f"the package cannot be written: {error.strerror or error}", where=f"packages/{name}"
        ) from error
    return building


def _texts(name: str, package: str, made: Converted, traps: Sequence[Trap], notebook: str) -> dict[str, str]:
    proof = made.proof
    runtime = [{"sklearn": "scikit-learn"}.get(r, r) for r in json.loads(made.files["model.json"])["runtime"]]
    takes = "\n".join(
        f"| `{c.name}` | {c.type} | {'may be missing' if c.nullable else 'always there'} | {', '.join(c.levels[:8])} |"
        for c in made.schema.columns
    )
    told = "\n".join(
        f"- **{t.kind}** (cells {', '.join(map(str, t.cells[:12])) or '-'}): {t.what}"
        for t in traps
        if t.kind != "dead-code"
    )
    same = (
        f"Predicts as the notebook's own run does on {proof.equal:,} of {proof.of:,} raw rows at once and on "
        f"{proof.single:,} of {proof.single_of:,} one by one (largest difference {proof.largest:.3g})."
    )
    example = json.dumps(made.golden[0][0], ensure_ascii=False) if made.golden else "{}"
    return {
        "pyproject.toml": textwrap.dedent(f"""\
            [build-system]
            requires = ["hatchling"]
            build-backend = "hatchling.build"

            [project]
            name = "{name}-model"
            version = "0"
            requires-python = ">=3.11"
            dependencies = {json.dumps(runtime)}

            [tool.hatch.build.targets.wheel]
            packages = ["src/{package}"]

            [tool.pytest.ini_options]
            pythonpath = ["src"]
            """),
        "README.md": "\n".join([
            f"# {name}", "", f"Made from `{notebook}`. {same}", "", "```python", "from pathlib import Path",
            f"import {package}.predict as p", 'model = p.load(Path(p.__file__).parent / "state")',
            f"model.predict([{example}])", "```", "", "Tests: `python -m pytest`. Train again: `ambidex train " + name + "`.",
            "", "| column | type | missing | values |", "|---|---|---|---|", takes, "", "## What the notebook hid", "", told, "",
        ]),
        "MODEL_CARD.md": "\n".join([
            f"# Model card: {name}", "", f"- Source: `{notebook}`, cells {', '.join(map(str, made.cells))}",
            f"- Outcome: {made.schema.target} ({made.schema.task})", f"- Training rows: `{Path(made.table).name}`", f"- {same}",
            f"- State that is a pickle: {', '.join(made.pickled) or 'none'}", "", "## Limits", "", told, "",
        ]),
        "Dockerfile": textwrap.dedent("""\
            FROM python:3.11-slim
            WORKDIR /model
            COPY pyproject.toml ./
            COPY src ./src
            COPY tests ./tests
            RUN pip install --no-cache-dir . pytest && useradd --create-home model
            USER model
            CMD ["python", "-m", "pytest", "-q", "tests"]
            """),
        ".github/workflows/test.yml": textwrap.dedent("""\
            name: test
            on: [push, pull_request]
            jobs:
              test:
                runs-on: ubuntu-latest
                steps:
                  - uses: actions/checkout@v4
                  - uses: actions/setup-python@v5
                    with:
                      python-version: "3.11"
                  - run: pip install . pytest
                  - run: python -m pytest -q
            """),
        f"tests/test_{package}.py": textwrap.dedent(f'''\
            """What must stay true of {name}, whoever changes it."""

            from __future__ import annotations

            import copy
            import json
            import math
            from pathlib import Path

            import pytest

            import {package}.predict as predict
            from {package}.schema import COLUMNS, INPUTS

            GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
            MODEL = predict.load(Path(predict.__file__).parent / "state")


            def test_golden_rows_come_out_as_sealed() -> None:
                assert MODEL.predict(GOLDEN["rows"]) == pytest.approx(GOLDEN["expected"], rel=1e-9, abs=1e-9)


            def test_one_by_one_is_the_same_as_all_at_once() -> None:
                single = [MODEL.predict([row])[0] for row in GOLDEN["rows"]]
                assert single == pytest.approx(MODEL.predict(GOLDEN["rows"]), rel=1e-12, abs=1e-12)


            def test_outputs_are_finite() -> None:
                assert all(math.isfinite(p) for p in MODEL.predict(GOLDEN["rows"]))


            @pytest.mark.parametrize("column", INPUTS)
            def test_a_missing_column_is_an_error(column: str) -> None:
                row = dict(GOLDEN["rows"][0])
                del row[column]
                with pytest.raises(KeyError):
                    MODEL.predict([row])


            @pytest.mark.parametrize("column", [c for c in INPUTS if COLUMNS[c].startswith("int")])
            def test_whole_numbers_stay_whole(column: str) -> None:
                row = dict(GOLDEN["rows"][0])
                assert MODEL.predict([dict(row, **{{column: float(row[column])}})]) == MODEL.predict([row])
                with pytest.raises(ValueError):
                    MODEL.predict([dict(row, **{{column: row[column] + 0.5}})])


            def test_the_order_of_columns_and_rows_does_not_matter() -> None:
                turned = [dict(reversed(row.items())) for row in reversed(GOLDEN["rows"])]
                assert MODEL.predict(turned)[::-1] == pytest.approx(MODEL.predict(GOLDEN["rows"]), rel=1e-12, abs=1e-12)


            def test_rows_are_left_as_they_are() -> None:
                rows = copy.deepcopy(GOLDEN["rows"])
                MODEL.predict(rows)
                assert rows == GOLDEN["rows"]


            def test_no_rows_give_no_predictions() -> None:
                assert MODEL.predict([]) == []
            '''),
    }  # fmt: skip
