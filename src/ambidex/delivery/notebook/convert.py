"""From a notebook to the files of a bundle: run what is needed in a child, freeze, write, prove."""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

import ast
import copy
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ambidex.bundle.code import State, code_files, package_name
from ambidex.delivery.notebook.emit import modules_of, training_source
from ambidex.delivery.notebook.freeze import Freezer, without_prints
from ambidex.delivery.notebook.infer import Inference, infer, with_helpers
from ambidex.delivery.notebook.product import Product
from ambidex.delivery.notebook.reader import Notebook
from ambidex.delivery.notebook.run import CellFailed, Child
from ambidex.delivery.notebook.steps import Step, calls_of, slice_back, steps_of
from ambidex.errors import DataError, EnvironmentProblem, Refused
from ambidex.records import Column, Schema

__all__ = ["Converted", "Proof", "convert", "needed_steps"]

GOLDEN = 48
SINGLE = 100
"""Rows that are scored one by one in the proof; all are scored at once."""


@dataclass(frozen=True)
class Proof:
    """How equal package and notebook are on raw rows.

    Attributes:
        equal: Rows that come out the same (within ``tolerance``), scored at once.
        of: Rows compared.
        largest: Largest difference.
        single: As ``equal``, of the first ``SINGLE`` rows, scored one by one.
        single_of: Rows scored one by one.
        tolerance: 1e-12, as a share of max(1, |prediction|).
        to_the_bit: Rows equal to the last bit.
    """

    equal: int
    of: int
    largest: float
    single: int
    single_of: int
    to_the_bit: int
    tolerance: float = 1e-12


@dataclass
class Converted:
    """A notebook, converted and proven.

    Attributes:
        files: Of the bundle, as ``code_files`` gives them.
        modules: Sources of the package.
        state: State files.
        schema: What it takes.
        proof: Against the notebook's own run.
        table: Path of the table that was read, as the notebook names it.
        target: Raw column of the label, its positive label; None where no raw column is the label.
        seen: What the places turned out to be.
        left: Rows before and after each place that leaves rows out.
        cells: Cells that ran.
        page: What the page's order gives: {"fails": …} or {"largest": …, "changed": …}; None if it is the same order.
        inference: What is replayed.
        golden: Raw rows and predictions.
        pickled: Names of state that has no safe form.
        tables: The tables that were read.
        others: Facts for the traps.
    """

    files: dict[str, bytes]
    modules: dict[str, str]
    state: dict[str, State]
    schema: Schema
    proof: Proof
    table: str
    target: Mapping[str, Any] | None
    seen: Mapping[str, str]
    left: Mapping[str, Sequence[int]]
    cells: list[int]
    page: Mapping[str, Any] | None
    inference: Inference
    golden: list[tuple[dict[str, Any], float]]
    pickled: list[str]
    tables: Mapping[str, Any]
    others: dict[str, Any] = field(default_factory=dict)


def needed_steps(steps: Sequence[Step], product: Product) -> list[Step]:
    """The slice: what the product, and the rows it is given, need."""
    places = {s.place for s in slice_back(steps, [product.name, *_thresholds(steps, product)])}
    for _, arg, place in product.calls[:2]:
        names = {n.id for n in ast.walk(arg) if isinstance(n, ast.Name)}
        places |= {s.place for s in slice_back(steps, names, place)}
    return [s for s in steps if s.place in places]


def _thresholds(steps: Sequence[Step], product: Product) -> list[str]:
    """Names that the product's scores are compared with: a threshold that was worked out."""
    scores: set[str] = set()
    found: list[str] = []
    for step in steps:
        for method, call in calls_of(step.node):
            if method == "predict_proba" and getattr(getattr(call.func, "value", None), "id", "") == product.name:
                scores |= step.defines
        for part in ast.walk(step.node):
            if isinstance(part, ast.Compare) and isinstance(part.left, ast.Name) and part.left.id in scores:
                right = part.comparators[0]
                if isinstance(right, ast.Name) and isinstance(part.ops[0], ast.GtE | ast.Gt) and len(right.id) > 1:
                    found.append(right.id)
    return list(dict.fromkeys(found))


def convert(
    book: Notebook, steps: Sequence[Step], product: Product, name: str, *, cwd: Path, python: str | None, shell: bool,
    seconds: float, memory: int,
) -> Converted:  # fmt: skip
    """Run, freeze, write, prove.

    Raises:
        DataError: ``data.notebook-cell`` if a cell that is needed fails.
        Refused: ``check.tests`` if the package does not run.
        EnvironmentProblem: ``env.child`` on the time or memory limit, ``env.missing-extra`` for a module.
    """
    needed = needed_steps(steps, product)
    child = Child(cwd, python=python, shell=shell, seconds=seconds, memory=memory)
    try:
        ran = child.run([_coded(s) for s in needed])
        made = _built(child, book, needed, product, name, ran, steps)
    except CellFailed as error:
        raise _failed(book, error, child.at) from error
    finally:
        child.close()
    made.page = _page(book, needed, product, made, cwd=cwd, python=python, shell=shell, seconds=seconds, memory=memory)
    return made


def _coded(step: Step, known: Mapping[str, str] | None = None) -> dict[str, Any]:
    node = without_prints(Freezer(step.cell, known).visit(copy.deepcopy(step.node)))
    ast.fix_missing_locations(node)
    return {
        "place": step.place, "cell": step.cell, "code": ast.unparse(node), "names": sorted(step.defines | step.changes),
    }  # fmt: skip


def _built(
    child: Child, book: Notebook, needed: list[Step], product: Product, name: str, ran: dict[str, Any],
    all_steps: Sequence[Step],
) -> Converted:  # fmt: skip
    kinds = {int(place): names for place, names in ran["kinds"].items()}
    seen: dict[str, str] = ran["seen"]
    tables = {s: t for s, t in ran["tables"].items() if s.startswith("read")}
    if not tables:
        raise DataError("data.notebook", "no cell reads a table, so there are no raw rows to score",
                        where=book.path.name, do="read the rows with pandas in a cell")  # fmt: skip
    main = max(tables, key=lambda s: tables[s]["rows"])
    failures: list[str] = []
    for method, arg, place in _ways(product, needed):
        found = infer(needed, kinds, seen, arg, place, model=product.name, main=main)
        try:
            return _tried(child, book, needed, product, name, found, method, arg, place, main, seen, ran, all_steps)
        except (Refused, CellFailed) as error:
            failures.append(f"{ast.unparse(arg)}: {error.message if isinstance(error, Refused) else error.what}")
    raise Refused(
        "check.tests", f"no way was found to score raw rows with {product.name} as the notebook does",
        where=book.path.name, found="; ".join(failures)[:600],
        do="put the steps from raw rows to the model's input into one function, and package again",
    )  # fmt: skip


def _ways(product: Product, needed: Sequence[Step]) -> list[tuple[str, ast.expr, int]]:
    if product.is_function:
        return [("function", ast.Name("raw", ast.Load()), needed[-1].place + 1)]
    methods = [m for m, _, _ in product.calls if m != "fit"]
    method = "predict_proba" if "predict_proba" in methods else methods[0] if methods else "auto"
    return [(method if m == "fit" else m, a, p) for m, a, p in product.calls]


def _tried(
    child: Child, book: Notebook, needed: list[Step], product: Product, name: str, found: Inference, method: str,
    arg: ast.expr, place: int, main: str, seen: Mapping[str, str], ran: Mapping[str, Any], all_steps: Sequence[Step],
) -> Converted:  # fmt: skip
    if method == "auto":
        method = (
            "predict_proba" if child.do(f"answer = hasattr(space[{product.name!r}], 'predict_proba')") else "predict"
        )
    kinds = {int(p): names for p, names in ran["kinds"].items()}
    thresholds = [t for t in _thresholds(all_steps, product) if t in {n for s in needed for n in s.defines}]
    threshold = thresholds[-1] if thresholds and method == "predict_proba" else None
    while True:
        wanted = dict(found.state)
        wanted.setdefault(product.name, needed[-1].place)
        if product.is_function:
            wanted.pop(product.name, None)
        if threshold:
            wanted[threshold] = needed[-1].place
        saved = child.do(CAPTURE.format(wanted=wanted, sites=sorted(found.sites), constants=sorted(found.constants)))
        pickles = [v for part in ("state", "kept") for v in saved[part].values() if "names" in v]
        theirs = sorted({n for v in pickles for m, n in v["names"] if m == "ambidex_package.features"})
        if not with_helpers(found, needed, kinds, theirs, seen):
            break
    constants: dict[str, str] = {}
    for n, (literal, value) in saved["constants"].items():
        if literal is not None:
            constants[n] = literal
        else:
            saved["state"][n] = value
            found.state[n] = found.constants[n]
    proof = _prototype(child, needed, product, method, arg, place, main, all_steps)
    columns = child.do(f"answer = child.profile({main!r})")
    key = ran["tables"][main]["index"]
    target = child.do(f"answer = child.target({main!r}, {_label_names(needed, product)!r})")
    labelled = Path(target["file"]).read_bytes() if target is not None and "file" in target else None
    _, state, pickled = _state_files(saved)
    shared = sorted(n for n in found.helpers)
    training = training_source(
        needed, seen, notebook=book.path.name, shared=shared,
        imports=sorted({ast.unparse(s.node) for s in needed if s.is_import and _public(s)}), constants=constants,
        state=sorted(saved["state"]), hidden=sorted(n for n in found.globals_ if n in found.state),
    )  # fmt: skip

    def written(inputs: Sequence[str]) -> dict[str, str]:
        return modules_of(
            found, notebook=book.path.name, product=product.name, method=method, constants=constants, seen=seen,
            columns=columns, inputs=inputs, key=key, main=proof["main"], threshold=threshold, training=training,
            dropped=any("dropna" in s.source for s in needed) and "DataFrame" in str(child.do(
                f"answer = str(type(eval({ast.unparse(arg)!r}, space)))")),
        )  # fmt: skip

    names = [c["name"] for c in columns]
    inputs = _inputs(package_name(name), written(names), state, proof, product.is_function)
    modules = written(inputs)
    rows = _rows(proof["columns"], inputs)
    measured, predictions = _proven(package_name(name), modules, state, rows, proof["expected"])
    if measured.of and not measured.equal:
        raise Refused("check.tests", f"the package predicts 0 of {measured.of:,} rows as the notebook does",
                      found=f"largest difference {measured.largest:.3g}")  # fmt: skip
    schema = _schema(columns, inputs, target, key, method, product.name)
    picked = sorted({round(i * (len(rows) - 1) / max(1, GOLDEN - 1)) for i in range(min(GOLDEN, len(rows)))})
    golden = [(rows[i], predictions[i]) for i in picked]
    files = code_files(
        name=name, modules=modules, state=state, schema=schema, golden_rows=[r for r, _ in golden],
        golden_predictions=[p for _, p in golden], lineage={"notebook": book.path.name, "cells": sorted({s.cell for s in needed})},
        runtime=_runtime(needed),
    )  # fmt: skip
    return Converted(
        files=files, modules=modules, state=state, schema=schema, proof=measured, table=ran["tables"][main]["path"],
        target=target, seen=seen, left=ran["left"], cells=sorted({s.cell for s in needed}), page=None, inference=found,
        golden=golden, pickled=pickled, tables=ran["tables"],
        others={"columns": columns, "inputs": inputs, "proof": proof, "method": method, "threshold": threshold,
                "constants": constants, "state": sorted(saved["state"]), "labelled": labelled,
                "calls": [(m, a, next((s.source for s in all_steps if s.place == p), "")) for m, a, p in product.calls]},
    )  # fmt: skip


def _prototype(
    child: Child, needed: Sequence[Step], product: Product, method: str, arg: ast.expr, place: int, main: str,
    all_steps: Sequence[Step],
) -> dict[str, Any]:  # fmt: skip
    """Raw rows and what the notebook's own objects give for them."""
    if product.is_function:
        code = (
            f"chosen, places, columns = child.raw({main!r})\n"
            f"table = frozen.tables[{main!r}][1]\n"
            f"made = space[{product.name!r}](table.iloc[places].copy())\n"
            "import pandas as pd, numpy as np\n"
            "column = None\n"
            "if isinstance(made, pd.DataFrame):\n"
            "    numbers = [c for c in made.columns if made[c].dtype.kind == 'f']\n"
            "    known = [c for c in numbers if str(c).lower() in ('uplift', 'prediction', 'score', 'probability', 'proba')]\n"
            "    column = (known or numbers)[-1]\n"
            "    values = made[column]\n"
            "else:\n    values = made\n"
            "values = np.asarray(values, dtype=float).ravel()\n"
            "answer = {'columns': columns, 'expected': values.tolist(), 'main': column, 'places': places}\n"
        )
        answer: dict[str, Any] = child.do(code)
        return answer
    ending = "[:, 1]" if method == "predict_proba" else ""
    ways = []
    for _, x, at in product.calls:
        names = [n.id for n in ast.walk(x) if isinstance(n, ast.Name)]
        for step in reversed(needed):
            if step.place < at and step.defines & set(names) and isinstance(step.node, ast.Assign):
                names += [n.id for n in ast.walk(step.node.value) if isinstance(n, ast.Name)]
                break
        ways.append((ast.unparse(x), list(dict.fromkeys(names))))
    code = (
        f"import numpy as np\nways = {ways!r}\nbest = None\ntable = frozen.tables[{main!r}][1]\n"
        f"model = space[{product.name!r}]\n"
        "def linked(v):\n"
        "    index = getattr(v, 'index', None)\n"
        "    return hasattr(v, 'columns') and child.frozen.row_like(v) and table.index.is_unique and index.isin(table.index).all()\n"
        "parts = {}\n"
        "for text, names in ways:\n"
        "    try:\n        x = eval(text, space)\n    except Exception:\n        continue\n"
        "    length = x.shape[0] if hasattr(x, 'shape') else len(x)\n"
        "    for n in [None, *names]:\n"
        "        v = x if n is None else space.get(n)\n"
        "        if linked(v) and len(v) == length:\n"
        f"            made = np.asarray(model.{method}(x){ending}, dtype=float).ravel()\n"
        "            if len(made) == length:\n"
        "                for label, p in zip(v.index, made.tolist()):\n"
        "                    parts.setdefault(label, p)\n"
        "            break\n"
        "if not parts:\n    answer = None\n"
        "else:\n"
        "    labels = list(parts)\n"
        "    index = table.index[table.index.isin(labels)]\n"
        f"    chosen, places, columns = child.raw({main!r}, index)\n"
        "    answer = {'columns': columns, 'expected': [parts[index[i]] for i in chosen], 'main': None, 'places': places,\n"
        "              'scored': len(labels), 'rows': len(table)}\n"
    )
    found = child.do(code)
    if found is None:
        raise Refused("check.tests", "the rows that the model scored cannot be told among the rows that were read")
    return dict(found)


def _label_names(needed: Sequence[Step], product: Product) -> list[str]:
    """Names that may hold the label: what the fits are given, then the usual ones."""
    found: list[str] = []
    for step in reversed(needed):
        for method, call in calls_of(step.node):
            if method == "fit" and len(call.args) > 1:
                found.append(ast.unparse(call.args[1]))
    bound = sorted({n for s in needed for n in s.defines})
    usual = [n for n in bound if n in ("target", "labels", "label") or re.fullmatch(r"y(_\w+)?", n)]
    return list(dict.fromkeys([*found, *usual]))


def _rows(columns: Mapping[str, Sequence[Any]], inputs: Sequence[str]) -> list[dict[str, Any]]:
    number = len(next(iter(columns.values()))) if columns else 0
    return [{n: columns[n][i] for n in inputs} for i in range(number)]


def _state_files(saved: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, State], list[str]]:
    document: dict[str, Any] = {"state": {}, "kept": {}}
    files: dict[str, State] = {}
    pickled: list[str] = []
    for part in ("state", "kept"):
        for number, (name, value) in enumerate(saved[part].items()):
            if "json" in value:
                document[part][name] = value
                continue
            file = f"{part}-{number}.pickle.json"
            files[file] = State("pickle", json.dumps(value, sort_keys=True).encode())
            document[part][name] = {"file": file}
            pickled.append(name)
    files["state.json"] = State("json", json.dumps(document, sort_keys=True).encode())
    return document, files, pickled


def _public(step: Step) -> bool:
    text = step.source
    return not any(word in text for word in ("matplotlib", "seaborn", "plotly", "IPython"))


def _runtime(needed: Sequence[Step]) -> list[str]:
    names: set[str] = {"pandas", "numpy"}
    for step in needed:
        if isinstance(step.node, ast.Import):
            names |= {a.name.split(".")[0] for a in step.node.names}
        elif isinstance(step.node, ast.ImportFrom) and step.node.module:
            names.add(step.node.module.split(".")[0])
    return sorted(
        n for n in names if n not in sys.stdlib_module_names and n not in ("matplotlib", "seaborn", "IPython")
    )


CAPTURE = """
def held(n, p):
    places = [q for (q, m) in child.held if m == n and q <= p]
    return child.held[max(places), n] if places else space[n]
def literal(v):
    import ast
    text = repr(v)
    try:
        return text if type(v) in (int, bool) or ast.literal_eval(text) == v else None
    except (ValueError, SyntaxError):
        return None
answer = {{
    "state": {{n: child.save(held(n, p)) for n, p in {wanted!r}.items()}},
    "constants": {{n: (literal(space[n]), child.save(space[n])) for n in {constants!r}}},
    "kept": {{k: child.save(v) for k, v in frozen.kept.items()
             if any(k == s or k.startswith(s + " ") for s in {sites!r})}},
}}
"""

PROGRAM = """
import json, sys
sys.path.insert(0, sys.argv[1])
import importlib
from pathlib import Path
import numpy as np
import pandas as pd
module = importlib.import_module(sys.argv[2] + ".predict")
predictor = module.load(Path(sys.argv[1]) / "state")
order = json.load(sys.stdin)
"""

PROVE = (
    PROGRAM
    + """
rows = order["rows"]
together = predictor.predict(rows)
single = [predictor.predict([r])[0] for r in rows[: order["single"]]]
print(json.dumps([together, single]))
"""
)

INPUTS = (
    PROGRAM
    + """
columns = {k: v[:400] for k, v in order["columns"].items()}
names = list(columns)
number = len(next(iter(columns.values())))
rows = [{n: columns[n][i] for n in names} for i in range(number)]
from importlib import import_module
features = import_module(sys.argv[2] + ".features")
schema = import_module(sys.argv[2] + ".schema")

def look(frame):
    import io, contextlib
    with contextlib.redirect_stdout(io.StringIO()):
        made = features.features(frame, predictor.state, predictor.kept, predictor.frozen)
        if order["function"]:
            made = predictor.outputs(frame)
    return made

def same(a, b):
    if isinstance(a, (pd.DataFrame, pd.Series)):
        if list(getattr(a, "columns", [])) != list(getattr(b, "columns", [])) or len(a) != len(b):
            return False
        return a.astype(object).where(a.notna(), None).reset_index(drop=True).equals(b.astype(object).where(b.notna(), None).reset_index(drop=True))
    if hasattr(a, "nnz"):
        return a.shape == b.shape and (a != b).nnz == 0
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
    return a == b

schema.INPUTS = module.INPUTS = tuple(schema.COLUMNS)
base_frame = module.frame_of(rows)
base = look(base_frame)
inputs, silent = [], []
for name in schema.COLUMNS:
    changed = False
    frame = module.frame_of(rows)
    frame[name] = frame[name].to_numpy()[::-1]
    variants = [frame]
    gone = base_frame.copy()
    gone[name] = pd.Series([None] * len(gone), dtype=object if gone[name].dtype.kind not in "iuf" else "float64", index=gone.index)
    variants.append(gone)
    if order["function"]:
        variants.append(base_frame.drop(columns=[name]))
    for variant in variants:
        try:
            changed |= not same(base, look(variant))
        except Exception:
            changed = True
        if changed:
            break
    if changed:
        inputs.append(name)
print(json.dumps(inputs))
"""
)


def _child_run(package: str, modules: Mapping[str, str], state: Mapping[str, State], program: str, order: Any) -> Any:
    folder = Path(tempfile.mkdtemp(prefix="ambidex-package-"))
    try:
        home = folder / package
        home.mkdir()
        (folder / "state").mkdir()
        for path, source in modules.items():
            (home / path).write_text(source, encoding="utf-8")
        for path, part in state.items():
            (folder / "state" / path).write_bytes(part.data)
        try:
            done = subprocess.run(
                [sys.executable, "-c", program, str(folder), package], input=json.dumps(order).encode(),
                capture_output=True, check=False, timeout=600, start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise EnvironmentProblem("env.child", "the written package did not answer within 600 s") from error
        if done.returncode:
            last = done.stderr.decode(errors="replace").strip().splitlines()
            near = [line.strip() for line in last if line.strip().startswith("File")][-1:]
            raise Refused("check.tests", f"the written package does not run: {last[-1] if last else 'no message'}",
                          found="".join(near).replace(str(folder), "")[:200])  # fmt: skip
        return json.loads(done.stdout.decode().strip().splitlines()[-1])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _inputs(
    package: str, modules: Mapping[str, str], state: Mapping[str, State], proof: Mapping[str, Any], function: bool
) -> list[str]:
    """Raw columns that the features depend on: told by changing each."""
    order = {"columns": dict(proof["columns"]), "function": function}
    return [str(n) for n in _child_run(package, modules, state, INPUTS, order)]


def _proven(
    package: str, modules: Mapping[str, str], state: Mapping[str, State], rows: Sequence[dict[str, Any]],
    expected: Sequence[float],
) -> tuple[Proof, list[float]]:  # fmt: skip
    together, single = _child_run(package, modules, state, PROVE, {"rows": list(rows), "single": SINGLE})
    if len(together) != len(expected):
        raise Refused("check.tests", f"the package gave {len(together)} predictions for {len(expected)} rows")

    def near(a: float, b: float) -> bool:
        return abs(a - b) <= 1e-12 * max(1.0, abs(b))

    gaps = [abs(a - b) for a, b in zip(together, expected, strict=True)]
    gaps += [abs(a - b) for a, b in zip(single, expected, strict=False)]
    return Proof(
        equal=sum(near(a, b) for a, b in zip(together, expected, strict=True)), of=len(expected),
        largest=max((g for g in gaps if not math.isnan(g)), default=0.0),
        single=sum(near(a, b) for a, b in zip(single, expected, strict=False)), single_of=len(single),
        to_the_bit=sum(a == b for a, b in zip(together, expected, strict=True)),
    ), [float(p) for p in together]  # fmt: skip


def _schema(
    columns: Sequence[Mapping[str, Any]], inputs: Sequence[str], target: Mapping[str, Any] | None, key: str | None,
    method: str, product: str,
) -> Schema:  # fmt: skip
    def column(c: Mapping[str, Any]) -> Column:
        kind = c["dtype"]
        if kind.startswith(("int", "uint")):
            return Column(name=c["name"], type="integer", nullable=bool(c["missing"]))
        if kind.startswith("float"):
            return Column(name=c["name"], type="float", nullable=bool(c["missing"]))
        return Column(name=c["name"], type="category", nullable=bool(c["missing"]), levels=tuple(c["levels"]))

    binary = method == "predict_proba" and target is not None and target["task"] == "binary"
    classes: tuple[str, ...] = ()
    if binary and target is not None:
        positive = str(target["positive"])
        classes = (next((v for v in target["levels"] if v != positive), f"not {positive}"), positive)
    return Schema(
        columns=tuple(column(c) for c in columns if c["name"] in set(inputs)),
        target=str(target["column"]) if target is not None else product,
        task="binary" if binary else "regression", classes=classes, key=key,
    )  # fmt: skip


def _page(
    book: Notebook, needed: list[Step], product: Product, made: Converted, **options: Any
) -> Mapping[str, Any] | None:
    """What the needed cells give in the order of the page."""
    again = steps_of(book, [c for c in book.code_cells if c.count is not None or book.script])
    page_steps = needed_steps(
        again,
        replace(
            product,
            calls=tuple(
                (m, a, next((s.place for s in again if s.source == needed_at), len(again)))
                for m, a, needed_at in made.others["calls"]
            ),
        ),
    )
    if [(s.cell, s.source) for s in page_steps] == [(s.cell, s.source) for s in needed]:
        return None
    child = Child(
        options["cwd"],
        python=options["python"],
        shell=options["shell"],
        seconds=options["seconds"],
        memory=options["memory"],
    )
    try:
        child.run([_coded(s) for s in page_steps])
        main = max((s for s in made.tables), key=lambda s: made.tables[s]["rows"])
        other = _prototype(
            child, page_steps, product, made.others["method"], ast.Name("raw", ast.Load()), 10**9, main, again
        )
        mine = dict(zip(made.others["proof"]["places"], made.others["proof"]["expected"], strict=True))
        gaps = [abs(mine[p] - e) for p, e in zip(other["places"], other["expected"], strict=True) if p in mine]
        threshold = made.others["threshold"]
        page: dict[str, Any] = {
            "largest": max(gaps, default=0.0),
            "changed": sum(g > 1e-12 for g in gaps),
            "of": len(gaps),
        }
        if threshold:
            limit = child.do(f"answer = float(space[{threshold!r}])")
            state = json.loads(made.state["state.json"].data)["state"][threshold]["json"]
            here = state["v"] if isinstance(state, dict) else state
            page |= {"threshold": limit, "threshold_here": here}
        return page
    except CellFailed as error:
        return {"fails": error.cell, "error": f"{error.kind}: {error.what}"}
    except Refused:
        return None
    finally:
        child.close()


def _failed(book: Notebook, error: CellFailed, at: int | None) -> Exception:
    cell = error.cell if error.cell is not None else at
    where = f"{book.path.name}, cell {cell}" + (f", line {error.line}" if error.line else "")
    if error.kind in ("time", "ended", "MemoryError"):
        return EnvironmentProblem("env.child", f"cell {cell} was ended: {error.what}", where=where,
                                  do="mend the cell, or give more time: --seconds 3600")  # fmt: skip
    if error.kind == "ModuleNotFoundError":
        return EnvironmentProblem(
            "env.missing-extra", f"the notebook needs the module {error.module}, which this Python has not",
            where=where, found=error.what, do="name the Python that runs the notebook: --python PATH",
        )  # fmt: skip
    return DataError("data.notebook-cell", f"cell {cell} fails: {error.kind}: {error.what}", where=where,
                     do="mend the cell, run the notebook once from top to bottom, and save it")  # fmt: skip
