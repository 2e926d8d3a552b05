"""What in a notebook would mislead whoever takes it over: found by reading, before anything runs."""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ambidex.delivery.notebook.freeze import READERS
from ambidex.delivery.notebook.product import Product
from ambidex.delivery.notebook.reader import Notebook
from ambidex.delivery.notebook.steps import Step, base_name, calls_of, free_names, mutated_parameters

__all__ = ["HOPELESS", "Trap", "reading_traps", "secret_cells"]

HOPELESS = ("spark", "closed-client", "missing-module", "missing-file", "writes-production")
_SPLITS = ("train_test_split", "KFold", "StratifiedKFold", "ShuffleSplit", "StratifiedShuffleSplit")
_SEEDED = {
    "train_test_split": "random_state", "sample": "random_state", "ShuffleSplit": "random_state",
    "RandomForestClassifier": "random_state", "RandomForestRegressor": "random_state", "KMeans": "random_state",
    "GradientBoostingClassifier": "random_state", "ExtraTreesClassifier": "random_state", "shuffle": "random_state",
    "RandomizedSearchCV": "random_state", "default_rng": "", "MLPClassifier": "random_state", "TSNE": "random_state",
}  # fmt: skip
_SECRET = re.compile(
    r"AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{30,}|sk-[A-Za-z0-9_-]{20,}|xox[abp]-[A-Za-z0-9-]{10,}|"
    r"-----BEGIN [A-Z ]*PRIVATE KEY|[a-z]+://[^/\s:@'\"]+:[^/\s:@'\"]+@"
)
_SECRET_NAME = re.compile(r"(secret|password|passwd|api_?key|token|access_?key|private_?key)", re.IGNORECASE)
_PRODUCTION = ("deploy", "overwrite", "saveAsTable", "to_sql", "register", "register_model", "publish")
_NETWORK = ("requests", "urllib", "httpx", "socket", "ftplib", "smtplib", "boto3", "paramiko")
_PLOTTING = ("matplotlib", "seaborn", "plotly", "IPython", "bokeh", "altair")
_PROTECTED = re.compile(
    r"^(sex|gender|age|race|ethnicity|religion|nationality|marital|marriage|disability)$", re.IGNORECASE
)


@dataclass(frozen=True)
class Trap:
    """One of them.

    Attributes:
        kind: A stable word.
        cells: Cells of the page, from 0.
        what: What is there, in words.
    """

    kind: str
    cells: tuple[int, ...]
    what: str

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "cells": list(self.cells), "what": self.what}


def reading_traps(
    book: Notebook, steps: Sequence[Step], product: Product | None, needed: Sequence[Step], *, cwd: Path, ours: bool
) -> list[Trap]:
    """Traps that reading shows.

    Args:
        book: The notebook.
        steps: In run order.
        product: What scores, or None.
        needed: The slice.
        cwd: Where relative paths start.
        ours: True if it would run in this Python, so that modules can be looked up.
    """
    return list(_all(book, steps, product, needed, cwd, ours))


def secret_cells(book: Notebook) -> list[tuple[int, int, str]]:
    """(cell, line, masked) of what looks like a credential."""
    found = []
    for cell in book.code_cells:
        for number, line in enumerate(cell.code.split("\n"), 1):
            hit = _SECRET.search(line)
            if hit:
                found.append((cell.index, number, hit[0][:4] + "…"))
        for node in ast.walk(book.trees[cell.index]):
            if isinstance(node, ast.Assign | ast.keyword):
                names = [base_name(t) or "" for t in node.targets] if isinstance(node, ast.Assign) else [node.arg or ""]
                value = node.value
                if (
                    isinstance(value, ast.Constant)
                    and isinstance(value.value, str)
                    and len(value.value) >= 8
                    and any(_SECRET_NAME.search(n) for n in names)
                ):
                    found.append((cell.index, value.lineno, value.value[:2] + "…"))
    return sorted(set(found))


def _all(
    book: Notebook, steps: Sequence[Step], product: Product | None, needed: Sequence[Step], cwd: Path, ours: bool
) -> Iterator[Trap]:
    live = {s.cell for s in needed}
    yield from _page(book, steps, live)
    yield from _world(book, steps, cwd, ours)
    yield from _names(steps, needed, product)
    yield from _statistics(book, steps, needed, product)
    if product is not None:
        yield from _product(steps, needed, product)
        dead = [c.index for c in book.code_cells if c.index not in live]
        if dead:
            yield Trap("dead-code", tuple(dead), "these cells do not feed the model: displays, plots, other models")


def _page(book: Notebook, steps: Sequence[Step], live: set[int]) -> Iterator[Trap]:
    code = book.code_cells
    if not book.script and not any(c.ran for c in code):
        yield Trap(
            "never-run",
            tuple(c.index for c in code),
            "no cell has a count or an output: there is nothing to be equal to",
        )
    counted = [c for c in code if c.count is not None]
    counts = [c.count or 0 for c in counted]
    if not book.script and counted and counts != sorted(counts):
        moved = []
        highest = 0
        for c in counted:
            if (c.count or 0) < highest:
                moved.append(c.index)
            highest = max(highest, c.count or 0)
        first = sorted(steps, key=lambda s: s.place)
        bound: dict[str, list[int]] = {}
        for s in first:
            for name in s.defines:
                bound.setdefault(name, []).append(s.cell)
        at_odds = {n: cells for n, cells in bound.items() if set(cells) & set(moved)}
        readers = {n: [s.cell for s in steps if n in s.reads and s.cell in live] for n in at_odds}
        cells = {*moved, *(c for cs in at_odds.values() for c in cs), *(c for cs in readers.values() for c in cs)}
        yield Trap(
            "order", tuple(sorted(cells)), f"cells {_list(moved)} ran before cells above them; the counts are followed"
        )
    gone: dict[str, int] = {}
    page = sorted((s for s in steps), key=lambda s: (s.cell, s.place))
    for step in page:
        for name in step.reads & gone.keys():
            if any(name in s.defines | s.changes for s in page if s.cell <= step.cell and s.cell > gone[name]):
                continue
            yield Trap(
                "stale-name",
                (gone[name], step.cell),
                f"cell {step.cell} reads {name}, which cell {gone[name]} above it deletes",
            )
        for name in step.defines:
            gone.pop(name, None)
        for name in step.deletes:
            gone[name] = step.cell
    ever = {n for s in steps for n in s.defines | s.changes}
    for step in steps:
        before = {n for s in steps if s.place < step.place for n in s.defines | s.changes}
        lacking = sorted(n for n in step.reads & ever if n not in before and n not in step.defines | step.changes)
        if lacking and not step.is_definition:
            yield Trap(
                "missing-definition", (step.cell,), f"{_list(lacking)} comes from a cell that was changed or run since"
            )
    magics = [c.index for c in code if c.magics]
    if magics:
        yield Trap("magic", tuple(magics), "magics are left out, the code under them is kept")
    shell = [c.index for c in code if c.shell]
    if shell:
        lines = "; ".join(line[:60] for c in code for line in c.shell)
        yield Trap("shell", tuple(shell), f"shell lines, not run: {lines}")
    interactive = [s.cell for s in steps for n in ast.walk(s.node) if isinstance(n, ast.Name) and n.id == "get_ipython"]
    if interactive:
        yield Trap(
            "interactive-only", tuple(sorted(set(interactive))), "get_ipython is there in a notebook only; left out"
        )
    for cell, line, masked in secret_cells(book):
        yield Trap(
            "secret", (cell,), f"line {line} holds what looks like a credential ({masked}); it is copied nowhere"
        )


def _world(book: Notebook, steps: Sequence[Step], cwd: Path, ours: bool) -> Iterator[Trap]:
    everything = [(c.index, book.trees[c.index]) for c in book.code_cells]
    spark: set[int] = set()
    closed: dict[str, set[int]] = {}
    wanted: dict[str, int] = {}
    carried: dict[str, set[str]] = {"spark": {"spark", "F", "Window"}, "closed": set()}
    for cell, tree in everything:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                roots = (
                    [a.name.split(".")[0] for a in node.names]
                    if isinstance(node, ast.Import)
                    else [(node.module or "").split(".")[0]]
                )
                for root in roots:
                    if root in ("pyspark", "databricks"):
                        spark.add(cell)
                    elif root in _PLOTTING:
                        continue  # left out with the plots, unless a step that is needed fails without it
                    elif root and ours and not node_level(node) and not _there(root, cwd):
                        wanted.setdefault(root, cell)
                        closed.setdefault(root, set()).add(cell)
                        carried["closed"] |= {a.asname or a.name for a in node.names}
    if spark:
        carried["spark"] |= {
            n for s in _page_steps(book) if "pyspark" in s.source for n in s.defines
        }  # fmt: skip
        for step in _page_steps(book):
            if step.reads & carried["spark"] or ".spark_session" in step.source or "spark." in step.source:
                spark.add(step.cell)
                carried["spark"] |= step.defines
        yield Trap("spark", tuple(sorted(spark)), "needs a Spark session and the tables of a cluster")
    for root, cells in closed.items():
        names = set(carried["closed"])
        for step in _page_steps(book):
            direct = {n for n in step.reads if n in names}
            if direct:
                cells.add(step.cell)
                if any(
                    isinstance(p, ast.Call) and (base_name(p.func) in carried["closed"]) for p in ast.walk(step.node)
                ):
                    names |= set(step.defines)
        comment = any(re.search("not installable|internal", c.code) for c in book.code_cells if c.index in cells)
        kind = "closed-client" if comment else "missing-module"
        yield Trap(
            kind,
            tuple(sorted(cells)),
            f"the module {root} is not here; nothing is looked for under that name or installed",
        )
    env: dict[int, list[str]] = {}
    for cell, tree in everything:
        for node in ast.walk(tree):
            key = None
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("os.environ", "environ"):
                key = node.slice
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("os.getenv", "os.environ.get", "getenv"):
                key = node.args[0] if node.args else None
            if isinstance(key, ast.Constant):
                env.setdefault(cell, []).append(str(key.value))
    if env:
        yield Trap(
            "credentials",
            tuple(sorted(env)),
            f"read from the environment: {_list([n for v in env.values() for n in v])}; never read by us",
        )
    for cell, tree in everything:
        tried = {id(n) for t in ast.walk(tree) if isinstance(t, ast.Try) for b in t.body for n in ast.walk(b)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and _absolute(node.value):
                yield Trap(
                    "absolute-path",
                    (cell,),
                    f"line {node.lineno}: {node.value} is a place of one machine; the file's name is kept, the folder becomes a setting",
                )
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in READERS and node.args:
                path = node.args[0]
                named = path.value if isinstance(path, ast.Constant) and isinstance(path.value, str) else None
                if named and id(node) not in tried and "://" not in named and not _found(named, cwd):
                    yield Trap("missing-file", (cell,), f"line {node.lineno}: there is no file {named}")
    writes = sorted({
        s.cell for s in _page_steps(book) for m, c in calls_of(s.node)
        if m in _PRODUCTION or (m == "write" and any(k.arg == "mode" for k in c.keywords))
    })  # fmt: skip
    if writes:
        yield Trap(
            "writes-production", tuple(writes), "registers, deploys or overwrites something that others use; never run"
        )
    nets = sorted({s.cell for s in _page_steps(book) if any(w in s.source for w in _NETWORK) and not s.is_import})
    if nets:
        yield Trap("network", tuple(nets), "reaches for the network; there is none when it runs here")


def node_level(node: ast.Import | ast.ImportFrom) -> bool:
    """A relative import."""
    return isinstance(node, ast.ImportFrom) and node.level > 0


def _page_steps(book: Notebook) -> list[Step]:
    from ambidex.delivery.notebook.steps import steps_of

    return steps_of(book, book.code_cells)


def _there(root: str, cwd: Path) -> bool:
    if root in sys.stdlib_module_names or (cwd / f"{root}.py").exists() or (cwd / root).is_dir():
        return True
    try:
        return importlib.util.find_spec(root) is not None
    except (ImportError, ValueError):
        return False


def _found(path: str, cwd: Path) -> bool:
    name = path.replace("\\", "/").rsplit("/", 1)[-1]
    return (cwd / path).exists() or (cwd / name).exists()


def _absolute(text: str) -> bool:
    plain = text.replace("\\", "/")
    drive = plain[1:3] == ":/" and plain[0].isalpha()
    return (
        "\n" not in text
        and len(plain) > 3
        and " " not in plain[:3]
        and (
            drive
            or (plain.startswith(("/", "~/")) and plain.count("/") >= 2 and bool(re.match(r"[~/][\w./ -]+$", plain)))
        )
    )


def _names(steps: Sequence[Step], needed: Sequence[Step], product: Product | None) -> Iterator[Trap]:
    live = {s.place for s in needed}
    definitions: dict[str, list[Step]] = {}
    for step in steps:
        if step.is_definition:
            definitions.setdefault(next(iter(step.defines)), []).append(step)
    for name, places in definitions.items():
        if len({p.cell for p in places}) > 1:
            yield Trap(
                "function-redefined",
                tuple(p.cell for p in places),
                f"{name} is defined {len(places)} times; the last one counts",
            )
    for name in sorted({n for s in steps for n in s.defines}):
        bound = [s for s in steps if name in s.defines and not s.is_import and not s.is_definition]
        cells = list(dict.fromkeys(s.cell for s in bound))
        used = product is not None and (
            name == product.name or name in _inner(steps, product) or any(s.place in live for s in bound)
        )
        if (
            len(cells) > 1
            and used
            and any(
                isinstance(s.node, ast.Assign)
                and isinstance(s.node.value, ast.Call)
                and "fit" in [m for m, _ in calls_of(s.node)]
                for s in bound
            )
        ):
            yield Trap(
                "name-reused", tuple(cells), f"{name} stands for one fit first, for another later; the later one counts"
            )
    changed: dict[str, list[int]] = {}
    for step in needed:
        for name in step.defines | step.changes:
            if not step.is_import and not step.is_definition:
                changed.setdefault(name, []).append(step.cell)
    for name, cells in changed.items():
        if len(set(cells)) >= 4:
            yield Trap(
                "reassigned",
                tuple(sorted(set(cells))),
                f"{name} is assigned again or changed in place in {len(set(cells))} cells; their order is kept",
            )
    for step in steps:
        node = step.node
        if step.is_definition and step.place in live:
            hidden = sorted(n for n in free_names(node) if any(
                n in s.defines and not s.is_import and not s.is_definition for s in steps))  # fmt: skip
            if hidden and isinstance(node, ast.FunctionDef):
                later = [s.cell for s in steps if s.place > step.place and s.defines & set(hidden)]
                yield Trap(
                    "hidden-global",
                    tuple(dict.fromkeys([step.cell, *later])),
                    f"{node.name} reads {_list(hidden)} from around it; they are handed in",
                )
        if isinstance(node, ast.FunctionDef) and step.place in live:
            hit = mutated_parameters(node, {})
            if hit:
                yield Trap(
                    "mutates-input", (step.cell,), f"{node.name} writes into the table it is given; it gets a copy"
                )
            if any(m == "print" for m, _ in calls_of(node)):
                yield Trap("prints", (step.cell,), f"{node.name} prints on every call; left out")
        if (
            isinstance(node, ast.FunctionDef)
            and step.place in live
            and not any(m in READERS for m, _ in calls_of(node))
        ):
            own = {a.arg for a in node.args.args} | {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            figures = sorted({
                m for m, c in calls_of(node) if m in ("mean", "std", "median", "min", "max", "quantile", "rank", "qcut")
                and isinstance(c.func, ast.Attribute) and base_name(c.func) in own
                and not any(k.arg == "axis" for k in c.keywords)
            })  # fmt: skip
            if figures:
                yield Trap(
                    "batch-dependent",
                    (step.cell,),
                    f"{node.name} uses {_list(figures)} of the rows it is given; those of its first call are kept",
                )
        if isinstance(node, ast.ClassDef) and step.place in live:
            yield Trap(
                "notebook-class", (step.cell,), f"the class {node.name} lives in a cell; it moves into the package"
            )


def _inner(steps: Sequence[Step], product: Product) -> set[str]:
    found: set[str] = set()
    for step in steps:
        if step.is_definition and product.name in step.defines:
            found = free_names(step.node)
    return found


def _statistics(
    book: Notebook, steps: Sequence[Step], needed: Sequence[Step], product: Product | None
) -> Iterator[Trap]:
    live = {s.place for s in needed}
    splits = [s for s in steps if any(m == "train_test_split" for m, _ in calls_of(s.node)) and not s.is_import]
    first_split = splits[0].place if splits else 10**9
    seeded_globally = any("random.seed" in s.source for s in steps)
    for step in steps:
        if step.is_import:
            continue
        for method, call in calls_of(step.node):
            seed = _SEEDED.get(method)
            if seed is None or (step.place not in live and product is not None) or seeded_globally:
                continue
            has = any(k.arg in (seed, None) for k in call.keywords) if seed else bool(call.args or call.keywords)
            shuffle_off = any(k.arg == "shuffle" and getattr(k.value, "value", True) is False for k in call.keywords)
            if not has and not shuffle_off and not (method == "shuffle" and isinstance(call.func, ast.Attribute)):
                yield Trap(
                    "unseeded",
                    (step.cell,),
                    f"{method} has no {seed or 'seed'}: predictions change from run to run; equality holds for this run only",
                )
    for step in needed:
        if step.is_definition:
            continue
        for method, call in calls_of(step.node):
            owner = ast.unparse(call.func.value) if isinstance(call.func, ast.Attribute) else ""
            if (
                method in ("median", "mean", "mode", "std")
                and step.place < first_split
                and not owner.startswith("np")
                and "groupby" not in owner
                and not any(k.arg == "axis" for k in call.keywords)
            ):
                yield Trap(
                    "fit-on-all-rows",
                    (step.cell,),
                    f"the {method} of all rows, before the split; kept as a constant (a mild leak)",
                )
            if method in ("fit_transform", "fit") and step.place < first_split and splits and "model" not in owner:
                yield Trap(
                    "fit-on-all-rows",
                    (step.cell,),
                    f"{owner or method} is fitted on all rows, before the split (a leak)",
                )
            if method in ("qcut", "get_dummies", "factorize", "rank", "transform") and not (
                method == "transform" and "groupby" not in owner
            ):
                yield Trap(
                    "batch-dependent",
                    (step.cell,),
                    f"{method} depends on the rows that are there; levels and edges of training are kept",
                )
            if method in ("drop_duplicates", "dropna"):
                yield Trap(
                    "drops-rows",
                    (step.cell,),
                    f"{method} leaves rows out of training; when predicting none is left out"
                    + (
                        "; the prototype never scored such rows, so nothing is proven for them: what cannot be worked out counts as missing, and the model does with it what it does"
                        if method == "dropna"
                        else ""
                    ),
                )
        text = step.source
        if ".cat.codes" in text:
            yield Trap(
                "batch-dependent",
                (step.cell,),
                "category codes depend on the levels that are there; those of training are kept",
            )
        if (
            isinstance(step.node, ast.Assign)
            and isinstance(step.node.value, ast.ListComp)
            and (".unique()" in text or "is_numeric_dtype" in text or ".dtype" in text or ".nunique()" in text)
        ):
            yield Trap(
                "batch-dependent",
                (step.cell,),
                f"{_list(sorted(step.defines))} is worked out from the rows that are there; kept as it was",
            )
        if isinstance(step.node, ast.Assign) and re.search(r"[<>]=? ?\w+(\[[^]]*\])?\.(mean|median|max|min)\(\)", text):
            yield Trap(
                "batch-dependent", (step.cell,), "compares with a figure of the rows that are there; kept as it was"
            )
        if re.search(r"groupby\([^)]*\)\[[^]]*\]\.(mean|agg|median)\(", text) and ".map(" in text:
            yield Trap("leak-target-encoding" if step.place < first_split else "target-encoding", (step.cell,),
                       "levels are replaced by their rate over all rows, labels included, before the split: a leak")  # fmt: skip
            yield Trap("unseen-level", (step.cell, *[s.cell for s in needed if "fillna" in s.source and s.place > step.place][:1]),
                       "a level that training did not have has no rate: it becomes missing, and what follows fills it")  # fmt: skip
        if re.search(r"\.map\((\w+)\)", text) and not re.search(r"groupby", text):
            mapping = re.search(r"\.map\((\w+)\)", text)
            literal = [
                s
                for s in steps
                if mapping and mapping[1] in s.defines and isinstance(getattr(s.node, "value", None), ast.Dict)
            ]
            if literal:
                yield Trap(
                    "unseen-level",
                    (literal[0].cell,),
                    f"only {ast.unparse(getattr(literal[0].node, 'value', literal[0].node))[:80]} are known; another spelling becomes missing",
                )
    for step in needed:
        if isinstance(step.node, ast.FunctionDef):
            for part in ast.walk(step.node):
                mapping = re.search(r"\.map\((\w+)\)", ast.unparse(part)) if isinstance(part, ast.Assign) else None
                literal = [
                    s
                    for s in steps
                    if mapping and mapping[1] in s.defines and isinstance(getattr(s.node, "value", None), ast.Dict)
                ]
                if literal:
                    yield Trap(
                        "unseen-level",
                        (literal[0].cell,),
                        f"only {ast.unparse(getattr(literal[0].node, 'value', literal[0].node))[:80]} are known; another spelling becomes missing, and the model may refuse it",
                    )
            text = ast.unparse(step.node)
            if any(m in READERS for m, _ in calls_of(step.node)) and re.search(
                r"between\(|[<>]=? ?\d|dropoff|return \w+\[", text
            ):
                yield Trap(
                    "target-filter",
                    (step.cell,),
                    f"{step.node.name} reads, makes the target and leaves rows out by it; when predicting there is no target and no filter",
                )
    over = [s for s in needed if not s.is_definition and s.place < first_split and any(
        m in ("fit_resample", "SMOTE", "resample") or re.search(r"oversampl|upsampl|more_|balance|smote|synth", m, re.IGNORECASE) for m, _ in calls_of(s.node))]  # fmt: skip
    if over and splits:
        functions = [
            s.cell
            for s in needed
            if s.is_definition and any(next(iter(s.defines)) == m for o in over for m, _ in calls_of(o.node))
        ]
        yield Trap(
            "leak-oversampling",
            tuple(sorted({*functions, *[s.cell for s in over], splits[0].cell})),
            "rows are made or repeated before the split, so test rows have near copies in training: a leak",
        )
        cv = [
            s.cell
            for s in steps
            if any(m in ("cross_val_score", "cross_validate") for m, _ in calls_of(s.node))
            and s.reads & {n for o in over for n in o.defines}
        ]
        if cv:
            yield Trap(
                "leak-in-cv", tuple(cv), "cross-validation runs on rows that were made from each other; no evidence"
            )
    tested = {n for s in splits for n in s.defines if "test" in n or "valid" in n}
    for step in steps:
        text = step.source
        if (
            isinstance(step.node, ast.For)
            and re.search(r"arange|linspace", text)
            and re.search(r"thr|cut|proba", text)
            and any(t in text for t in tested)
        ):
            after = [s.cell for s in steps if s.place > step.place and ("idxmax" in s.source or "max(" in s.source)][:1]
            yield Trap(
                "threshold-on-test",
                (step.cell, *after),
                "the threshold is chosen on the test rows; what is shown for it is too good",
            )
    fits = [s for s in steps if not s.is_definition and any(m == "fit" for m, _ in calls_of(s.node))]
    if (
        splits
        and len(fits) > 2
        and product is not None
        and len(product.others) > 1
        and any("roc_auc_score" in s.source or "score(" in s.source for s in fits)
    ):
        picked = [
            s.cell for s in steps if product.name in s.defines and isinstance(getattr(s.node, "value", None), ast.Name)
        ]
        yield Trap(
            "model-picked-on-test",
            tuple(picked or [fits[-1].cell]),
            "several models are compared on the same test rows; the winner's figure is a little too good",
        )
    for step in steps:
        if (
            any(m == "StratifiedKFold" or m == "KFold" for m, _ in calls_of(step.node))
            and "shuffle=True" in step.source
        ):
            yield Trap(
                "time-order",
                (step.cell,),
                "random folds; where rows are in time order, figures of random folds flatter",
            )
    dtype = [
        s
        for s in needed
        if isinstance(s.node, ast.FunctionDef | ast.ClassDef) and re.search(r"\bastype\(str\)", s.source)
    ]
    if dtype:
        yield Trap(
            "dtype-sensitive",
            tuple(s.cell for s in dtype),
            "numbers become text: 74.0 would be another label than 74; the schema takes whole numbers where training had them",
        )
    for step in needed:
        named = [
            n.value
            for n in ast.walk(step.node)
            if isinstance(n, ast.Constant) and isinstance(n.value, str) and _PROTECTED.match(n.value)
        ]
        named += [n.attr for n in ast.walk(step.node) if isinstance(n, ast.Attribute) and _PROTECTED.match(n.attr)]
        if named and "drop(" not in step.source:
            yield Trap(
                "protected-attribute",
                (step.cell,),
                f"{_list(sorted(set(named)))} says what a person is; whether it may be used is for people to say",
            )
            break
    for step in needed:
        if "LabelEncoder(" in step.source:
            yield Trap(
                "unseen-level",
                (step.cell,),
                "LabelEncoder refuses a level that training did not have: such a row gets an error",
            )
    for step in needed:
        if isinstance(step.node, ast.For):
            refit = [c for m, c in calls_of(step.node) if m == "fit_transform" and isinstance(c.func, ast.Attribute)]
            outside = [
                base_name(c.func)
                for c in refit
                if base_name(c.func)
                not in {
                    n.id
                    for s in step.node.body
                    for n in ast.walk(s)
                    if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
                }
            ]
            if outside:
                yield Trap(
                    "refitted-in-loop",
                    (step.cell,),
                    f"{outside[0]} is fitted again for every column, and holds the last one only; each fit is kept",
                )
    for step in needed:
        if "index_col" in step.source:
            yield Trap("index-column", (step.cell,), "the id is the index, no feature; it is the key")


def _product(steps: Sequence[Step], needed: Sequence[Step], product: Product) -> Iterator[Trap]:
    bound = [s.cell for s in steps if product.name in s.defines]
    if product.is_function:
        yield Trap(
            "function-is-the-product",
            (bound[-1],),
            f"{product.name} scores with {_list(sorted(_inner(steps, product) & {n for s in steps for n in s.defines}))}; the function is packaged",
        )
    fitted = [
        s
        for s in steps
        if not s.is_definition and any(m == "fit" for m, _ in calls_of(s.node)) and (s.defines | s.changes)
    ]
    names = sorted({n for s in fitted for n in (s.defines | s.changes)} & ({product.name, *product.others}))
    if len(names) > 1 and not product.is_function:
        chosen = [s for s in fitted if (s.defines | s.changes) & set(names)]
        copied = {
            a.args[0].id
            for s in chosen
            for m, a in calls_of(s.node)
            if m == "clone" and isinstance(a, ast.Call) and a.args and isinstance(a.args[0], ast.Name)
        }
        tried = [  # cross-validation fits copies of its own
            s
            for s in steps
            for m, a in calls_of(s.node)
            if m in ("cross_validate", "cross_val_score", "cross_val_predict")
            and a.args and isinstance(a.args[0], ast.Name) and a.args[0].id in {*names, *copied}
        ]  # fmt: skip
        cells = sorted({s.cell for s in (*chosen, *tried, *(s for s in steps if s.defines & copied))})
        yield Trap("several-fitted", tuple(cells), f"{_list(names)} are fitted; {product.name} is the product")
    saving = [s for s in steps if any(m in ("dump", "save_model", "dumps", "save") for m, _ in calls_of(s.node))]
    called = [
        s
        for s in steps
        if any(
            isinstance(a, ast.Call) and m == "FunctionTransformer" and a.args and isinstance(a.args[0], ast.Name)
            for m, a in calls_of(s.node)
        )
    ]
    for step in called:
        for method, call in calls_of(step.node):
            if method == "FunctionTransformer" and call.args and isinstance(call.args[0], ast.Name):
                home = [s.cell for s in steps if s.is_definition and call.args[0].id in s.defines]
                if home:
                    yield Trap("main-function-in-pickle", tuple(sorted({*home, step.cell, *[s.cell for s in saving]})),
                               f"the pipeline holds {call.args[0].id}, a function of the notebook: its file opens only where __main__ has it; the function moves into the package")  # fmt: skip


def _list(names: Sequence[Any]) -> str:
    shown = [str(n) for n in names]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")
