"""Write the package: configuration, features, schema, predictor, training, from what was found in the notebook."""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence
from typing import Any

from ambidex.delivery.notebook.freeze import FROZEN, Freezer, without_prints
from ambidex.delivery.notebook.infer import RAW, Inference
from ambidex.delivery.notebook.run import asset
from ambidex.delivery.notebook.steps import Step

__all__ = ["modules_of", "training_source"]


def modules_of(
    found: Inference, *, notebook: str, product: str, method: str, constants: Mapping[str, str], seen: Mapping[str, str],
    columns: Sequence[Mapping[str, Any]], inputs: Sequence[str], key: str | None, main: str | None, threshold: str | None,
    training: str, dropped: bool = False,
) -> dict[str, str]:  # fmt: skip
    """Sources by path inside the package.

    Args:
        found: What is replayed and what is state.
        notebook: Its file name.
        product: Name of the model or function.
        method: ``predict_proba``, ``predict`` or ``function``.
        constants: Literals of the configuration, by name.
        seen: What each place turned out to be.
        columns: Raw columns: name, dtype.
        inputs: Names of those that are inputs.
        key: Name of the index, or None.
        main: Output column, where a function gives a table.
        threshold: Name of a threshold among the state, or None.
        training: Source of ``train.py``.
        dropped: The notebook leaves out rows with missing values: an infinite feature of such a row counts as missing.
    """
    dtypes = {c["name"]: c["dtype"] for c in columns}
    config = ['"""Constants of the notebook."""', "", "from __future__ import annotations", ""]
    config += [f"{name} = {text}" for name, text in constants.items()]
    schema = "\n".join([
        '"""Raw columns: all that were there in training, and those that are inputs."""', "",
        "from __future__ import annotations", "",
        f"COLUMNS: dict[str, str] = {dtypes!r}", f"INPUTS: tuple[str, ...] = {tuple(inputs)!r}",
        f"KEY: str | None = {key!r}", "",
    ])  # fmt: skip
    return {
        "__init__.py": f'"""Made from {notebook}."""\n',
        "config.py": "\n".join(config) + "\n",
        "schema.py": schema,
        "features.py": _features(found, notebook, product, method, constants, seen, main, threshold, dropped),
        "predict.py": asset("predictor.py.in"),
        "frozen.py": asset("frozen.py"),
        "state.py": asset("state.py"),
        "train.py": training,
    }


def _features(
    found: Inference, notebook: str, product: str, method: str, constants: Mapping[str, str], seen: Mapping[str, str],
    main: str | None, threshold: str | None, dropped: bool,
) -> str:  # fmt: skip
    imports = sorted({ast.unparse(n) for n in found.imports.values()})
    helpers = []
    for step in sorted(found.helpers.values(), key=lambda s: s.place):
        node = without_prints(Freezer(step.cell, seen).visit(copy.deepcopy(step.node)))
        helpers.append(ast.unparse(ast.fix_missing_locations(node)))
    states = sorted(n for n in found.state)
    hidden = sorted(n for n in found.globals_ if n in found.state)
    parts = [
        f'"""From raw rows to scores, as cells {", ".join(map(str, found.cells)) or "-"} of {notebook} do it."""', "",
        "from __future__ import annotations", "", "from typing import Any", "", *imports,
        *([f"from .config import {', '.join(sorted(constants))}"] if constants else []),
        "from .frozen import Frozen", "",
        f"MAIN: str | None = {main!r}", f"THRESHOLD: str | None = {threshold!r}", "frozen: Any = Frozen({})",
        *[f"{n}: Any = None" for n in hidden], "",
    ]  # fmt: skip
    for helper in helpers:
        parts += ["", helper, ""]
    hands = "\n".join(f'    {n} = state["{n}"]' for n in hidden)
    parts += [
        "", "def bind(state: dict[str, Any], kept: Any) -> None:",
        '    """Hand the functions above what they read from around them."""',
        f"    global {', '.join(['frozen', *hidden])}", "    frozen = kept", *([hands] if hands else []), "",
    ]  # fmt: skip
    body = "\n".join(ast.unparse(ast.fix_missing_locations(s)) for s in found.body)
    local = [n for n in states if n != product or method == "function"]
    used = {n.id for s in [*found.body, *([found.x] if found.x is not None else [])] for n in ast.walk(s)
            if isinstance(n, ast.Name)}  # fmt: skip
    given = [f'{n} = state["{n}"]' for n in local if n in used and n not in hidden]
    x = ast.unparse(found.x) if found.x is not None else RAW
    ending_lines: list[str] = []
    if dropped and method != "function":
        ending_lines = [
            "# The notebook left out rows with missing values; here what cannot be worked out counts as missing."
        ]
        x = f"{x}.replace([float('inf'), float('-inf')], float('nan'))"
    parts += [
        "", "def features(raw: Any, state: dict[str, Any], kept: dict[str, Any], frozen: Any) -> Any:",
        '    """What the model is given. Rows are neither left out nor reordered, and ``raw`` stays as it is."""',
        *_indented([*given, *body.split("\n"), *ending_lines, f"return {x}"]), "",
        "", "def score(raw: Any, state: dict[str, Any], kept: dict[str, Any], frozen: Any) -> Any:",
        '    """What the prototype gives for raw rows."""',
    ]  # fmt: skip
    if method == "function":
        parts += [f"    return {product}(features(raw, state, kept, frozen))"]
    else:
        ending = "[:, 1]" if method == "predict_proba" else ""
        parts += [f'    return state["{product}"].{method}(features(raw, state, kept, frozen)){ending}']
    return "\n".join(parts) + "\n"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" if line else "" for line in lines if line is not None]


def training_source(
    steps: Sequence[Step], seen: Mapping[str, str], *, notebook: str, shared: Sequence[str], imports: Sequence[str],
    constants: Mapping[str, str], state: Sequence[str], hidden: Sequence[str],
) -> str:  # fmt: skip
    """``train.py``: the cells that matter, in run order, keeping what the features need.

    Args:
        steps: The slice.
        seen: What each place turned out to be.
        notebook: Its file name.
        shared: Functions and classes that ``features.py`` has.
        imports: Import lines that are needed.
        constants: Names that ``config.py`` has.
        state: Names that are saved.
        hidden: Names that the shared functions read from around them.
    """
    lines: list[str] = []
    for step in steps:
        name = getattr(step.node, "name", None)
        if step.is_import or (step.is_definition and name in shared):
            continue
        if step.defines and step.defines <= set(constants):
            continue
        node = without_prints(Freezer(step.cell, seen).visit(copy.deepcopy(step.node)))
        node = _relative(node)
        if isinstance(node, ast.Pass):
            continue
        lines += [f"# cell {step.cell}", *ast.unparse(ast.fix_missing_locations(node)).split("\n")]
        for hid in sorted((step.defines | step.changes) & set(hidden)):
            lines.append(f"_features.{hid} = {hid}")
    used = {n.id for n in ast.walk(ast.parse("\n".join(lines))) if isinstance(n, ast.Name)}
    names = [n for n in shared if n in used]
    settings = [n for n in sorted(constants) if n in used]
    saved = ", ".join(f'"{n}": {n}' for n in state)
    return "\n".join([
        f'"""Fit again: the cells of {notebook} that matter, in the order in which they ran."""', "",
        "from __future__ import annotations", "", "import json", "from pathlib import Path", "from typing import Any", "",
        *imports,
        "from . import features as _features",
        *([f"from .config import {', '.join(settings)}"] if settings else []),
        *([f"from .features import {', '.join(names)}"] if names else []),
        "from .frozen import Frozen", "from .state import encode, write_pickle", "",
        "", "def fit(table: Path, folder: Path) -> None:",
        '    """Train on a table and write the state files.', "",
        "    Args:", "        table: Training rows, with the target.", "        folder: Where the state goes.", '    """',
        f"    {FROZEN} = Frozen()",
        f"    {FROZEN}.find = lambda path: _place(table, path)",
        f"    _features.frozen = {FROZEN}",
        *_indented(lines),
        f"    save({{{saved}}}, {FROZEN}.kept, folder)", "",
        "", "def _place(table: Path, path: Any) -> Path:",
        '    """The table that was given, or the file of that name beside it."""',
        "    beside = table.parent / str(path).replace(chr(92), '/').rsplit('/', 1)[-1] if table.is_file() else table / str(path)",
        "    return beside if beside.exists() else table", "",
        "", "def save(state: dict[str, Any], kept: dict[str, Any], folder: Path) -> None:",
        '    """Write ``state.json`` and one file for each part that has no JSON form."""',
        "    document: dict[str, Any] = {'state': {}, 'kept': {}}",
        "    for part, values in (('state', state), ('kept', kept)):",
        "        for number, (name, value) in enumerate(values.items()):",
        "            try:",
        "                document[part][name] = {'json': encode(value)}",
        "            except (TypeError, ValueError):",
        "                file = f'{part}-{number}.pickle.json'",
        "                (folder / file).write_text(json.dumps(write_pickle(value)), encoding='utf-8')",
        "                document[part][name] = {'file': file}",
        "    (folder / 'state.json').write_text(json.dumps(document), encoding='utf-8')", "",
    ])  # fmt: skip


class _Relative(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if isinstance(node.value, str) and _absolute(node.value):
            name = node.value.replace("\\", "/").rstrip("/").rsplit("/", 1)[-1]
            return ast.copy_location(ast.Constant(name), node)
        return node


def _relative(node: ast.stmt) -> ast.stmt:
    """Without absolute paths: the file's name stays, the folder is the caller's."""
    out: ast.stmt = _Relative().visit(node)
    return out


def _absolute(text: str) -> bool:
    plain = text.replace("\\", "/")
    return (
        "\n" not in text
        and len(plain) > 2
        and ((plain.startswith(("/", "~/")) and plain.count("/") >= 2) or (plain[1:3] == ":/" and plain[0].isalpha()))
    )
