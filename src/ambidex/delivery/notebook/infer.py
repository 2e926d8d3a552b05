"""From a run of the notebook to the code that scores: which statements are replayed on new rows, what is state."""

from __future__ import annotations

import ast
import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ambidex.delivery.notebook.freeze import FROZEN, Freezer, sites_in, without_prints
from ambidex.delivery.notebook.steps import Step, calls_of, expand, free_names, steps_in

__all__ = ["RAW", "Inference", "infer", "reading_functions", "with_helpers"]

RAW = "raw"
Kinds = Mapping[int, Mapping[str, Sequence[str]]]


@dataclass
class Inference:
    """What scores new rows.

    Attributes:
        body: Statements from ``raw`` to ``x``, in order.
        cells: Where they come from.
        x: What the model is given, as an expression.
        state: Names of fitted state, and the place whose value counts.
        constants: Names that no row has touched, and the place.
        helpers: Functions and classes, in order.
        imports: Import statements.
        sites: Kept places that the code asks for.
        globals_: Names that the helpers read.
    """

    body: list[ast.stmt] = field(default_factory=list)
    cells: list[int] = field(default_factory=list)
    x: ast.expr | None = None
    state: dict[str, int] = field(default_factory=dict)
    constants: dict[str, int] = field(default_factory=dict)
    helpers: dict[str, Step] = field(default_factory=dict)
    imports: dict[str, ast.stmt] = field(default_factory=dict)
    sites: set[str] = field(default_factory=set)
    globals_: set[str] = field(default_factory=set)


def infer(
    steps: Sequence[Step],
    kinds: Kinds,
    seen: Mapping[str, str],
    x: ast.expr,
    place: int,
    *,
    model: str,
    main: str | None,
) -> Inference:
    """Walk back from what the model is given to the rows as they were read.

    Args:
        steps: Those that ran, in run order (their places may have gaps).
        kinds: What each step's names were after it.
        seen: What each place turned out to be.
        x: What the model is given.
        place: Where.
        model: Name of the product.
        main: The place of the read whose rows are scored.
    """
    out = Inference()
    reading = reading_functions(steps)
    needed: set[str] = set()
    _classify(out, steps, kinds, [model], steps[-1].place + 1, None)
    special = _Special(main, out)
    out.x = special.visit(Freezer(-1, {}).visit(copy.deepcopy(x)))
    _classify(out, steps, kinds, _names(out.x), place, needed)
    body: list[tuple[int, ast.stmt]] = []
    for step in [s for s in reversed(steps) if s.place < place]:
        if step.is_definition or step.is_import or not (step.defines | step.changes) & needed:
            continue
        cut = _cut(step, reading, needed)
        if cut is not None:
            body += [(step.cell, s) for s in reversed(cut)]
            needed -= step.defines
            continue
        node = Freezer(step.cell, seen).visit(copy.deepcopy(step.node))
        node = without_prints(special.narrowed(special.visit(node), needed))
        ast.fix_missing_locations(node)
        again = steps_in([node])[0]
        if not (again.defines | again.changes) & needed or _nothing(node):
            continue
        body.append((step.cell, node))
        needed -= again.defines
        targets = {n.id for f in ast.walk(node) if isinstance(f, ast.For) for n in ast.walk(f.target)
                   if isinstance(n, ast.Name)}  # fmt: skip
        _classify(out, steps, kinds, (again.reads - targets) - {RAW, FROZEN, "kept"}, step.place, needed)
        needed |= {n for n in again.changes - targets if n not in out.state and n not in out.constants}
    _helper_sites(out, seen)
    out.body = [s for _, s in reversed(body)]
    out.cells = sorted({c for c, _ in body})
    for name in [n for n in out.state if n in {d for s in steps_in(out.body) for d in s.defines}]:
        if name != model:
            del out.state[name]
    return out


def with_helpers(
    out: Inference, steps: Sequence[Step], kinds: Kinds, names: Sequence[str], seen: Mapping[str, str]
) -> bool:
    """Add functions and classes that the state refers to; True if any was new."""
    new = [n for n in names if n not in out.helpers]
    _classify(out, steps, kinds, new, steps[-1].place + 1, None)
    _helper_sites(out, seen)
    return bool(new)


def _helper_sites(out: Inference, seen: Mapping[str, str]) -> None:
    """Places inside functions: their figures are kept too."""
    for step in out.helpers.values():
        out.sites |= sites_in(Freezer(step.cell, seen).visit(copy.deepcopy(step.node)))


def reading_functions(steps: Sequence[Step]) -> set[str]:
    """Functions of the notebook that read a table."""
    from ambidex.delivery.notebook.freeze import READERS

    found: set[str] = set()
    for step in steps:
        if isinstance(step.node, ast.FunctionDef) and any(m in READERS or m in found for m, _ in calls_of(step.node)):
            found.add(step.node.name)
    return found


def _classify(
    out: Inference, steps: Sequence[Step], kinds: Kinds, names: Any, before: int, needed: set[str] | None
) -> None:
    """Sort names into rows to be replayed, state, constants, helpers and imports."""
    for name in names:
        touching = [s for s in steps if s.place < before and name in s.defines | s.changes]
        if not touching:
            continue
        last = touching[-1]
        kind = kinds.get(last.place, {}).get(name, ["value", ""])
        if last.is_import:
            out.imports.setdefault(name, last.node)
        elif last.is_definition:
            if name not in out.helpers:
                out.helpers[name] = last
                inner = free_names(last.node)
                out.globals_ |= inner
                _classify(out, steps, kinds, sorted(inner), steps[-1].place + 1, None)
                if isinstance(last.node, ast.FunctionDef | ast.ClassDef):
                    _classify(out, steps, kinds, last.reads, last.place, None)
        elif kind[0] in ("module", "class", "function") and len(touching) == 1 and _try_import(last.node, name):
            out.imports.setdefault(name, last.node)
        elif needed is not None and (kind[0] == "rows" or any(_by_hand(s) for s in touching)):
            needed.add(name)
        elif _untouched(steps, kinds, name, before):
            out.constants.setdefault(name, last.place)
        else:
            out.state.setdefault(name, last.place)


def _untouched(steps: Sequence[Step], kinds: Kinds, name: str, before: int) -> bool:
    """Whether no row has gone into a name."""
    todo, done = [(name, before)], set()
    while todo:
        now, place = todo.pop()
        for step in steps:
            if step.place >= place or now not in step.defines | step.changes or (step.place, now) in done:
                continue
            done.add((step.place, now))
            if any(k[0] in ("rows", "model") for n, k in kinds.get(step.place, {}).items() if n != "-"):
                return False
            if "read" in "".join(m for m, _ in calls_of(step.node)):
                return False
            for read in step.reads:
                todo.append((read, step.place))
    return True


def _try_import(node: ast.stmt, name: str) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def _cut(step: Step, reading: set[str], needed: set[str]) -> list[ast.stmt] | None:
    """Where a function that reads, rows written by hand, or months put together stand: ``name = raw``."""
    names = sorted((step.defines | step.changes) & needed)
    inside = [m for m, _ in calls_of(step.node)]
    by_hand = _by_hand(step)
    joined = (
        isinstance(step.node, ast.Assign)
        and inside[:1] == ["concat"]
        and not any(k.arg == "axis" for c in ast.walk(step.node) if isinstance(c, ast.Call) for k in c.keywords)
    )
    if not (by_hand or joined or any(m in reading for m in inside)):
        return None
    return [ast.parse(f"{name} = {RAW}.copy()").body[0] for name in names]


def _by_hand(step: Step) -> bool:
    """``DataFrame([{…}])``: a row as an application would send it."""
    node = step.node
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Call)
        and getattr(node.value.func, "attr", "") == "DataFrame"
        and any(isinstance(a, ast.List | ast.Dict) for a in node.value.args)
    )


def _names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def _nothing(node: ast.stmt) -> bool:
    """``df = df``."""
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Name)
        and isinstance(node.targets[0], ast.Name)
        and node.targets[0].id == node.value.id
    )


class _Special(ast.NodeTransformer):
    """What ``frozen`` does when it predicts, written out."""

    def __init__(self, main: str | None, out: Inference) -> None:
        self.main = main
        self.out = out

    def visit_Try(self, node: ast.Try) -> ast.AST:
        """A read with a second way: the rows are given."""
        self.generic_visit(node)
        reads = [s for s in node.body if isinstance(s, ast.Assign) and RAW in _names(s.value)]
        ways = [s for h in node.handlers for s in h.body if isinstance(s, ast.Assign) and RAW in _names(s.value)]
        chosen: list[ast.AST] = [*ways, *reads, node]
        return chosen[0]

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if not (isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") == FROZEN):
            return self.generic_visit(node)
        method, site = node.func.attr, str(node.args[0].value) if isinstance(node.args[0], ast.Constant) else ""
        if method == "read":
            if self.main is None or site == self.main:
                return ast.parse(f"{RAW}.copy()", mode="eval").body
            self.out.sites.add(site)  # another table, looked up by its rows
            return ast.Subscript(ast.Name("kept", ast.Load()), ast.Constant(site), ast.Load())
        if method == "keep":
            base: ast.AST = self.visit(node.args[1])
            return base
        self.out.sites.add(site)
        key: ast.expr = ast.Constant(site)
        if method == "value":
            names = [n for n in node.args[2:] if isinstance(n, ast.Name)]
            if names:
                parts: list[ast.expr] = [ast.Constant(site)]
                for n in names:
                    parts += [ast.Constant(" "), ast.FormattedValue(n, -1)]
                key = ast.JoinedStr(parts)
            return ast.Subscript(ast.Name("kept", ast.Load()), key, ast.Load())
        self.generic_visit(node)
        if method == "fitted" and not any(k.arg == "at" for k in node.keywords):
            owner = ast.Subscript(ast.Name("kept", ast.Load()), key, ast.Load())
            return ast.Call(ast.Attribute(owner, "transform", ast.Load()), [node.args[2]], [])
        if method == "split" and isinstance(node.args[1], ast.List):
            self.out.sites.discard(site)
            copies = [ast.Call(ast.Attribute(a, "copy", ast.Load()), [], []) for a in node.args[1].elts for _ in (0, 1)]
            return ast.Tuple(list(copies), ast.Load())
        return node

    def narrowed(self, node: ast.stmt, needed: set[str]) -> ast.stmt:
        """``a, b, c, d = (…)`` with the needed names only."""
        if not (
            isinstance(node, ast.Assign)
            and isinstance(node.targets[0], ast.Tuple)
            and isinstance(node.value, ast.Tuple)
        ):
            return node
        pairs = [
            (t, v) for t, v in zip(node.targets[0].elts, node.value.elts, strict=False)
            if isinstance(t, ast.Name) and t.id in needed
        ]  # fmt: skip
        if len(node.targets[0].elts) != len(node.value.elts) or not pairs:
            return node
        if len(pairs) == 1:
            return ast.Assign([pairs[0][0]], pairs[0][1], lineno=1)
        some = ast.Tuple([t for t, _ in pairs], ast.Store())
        return ast.Assign([some], ast.Tuple([v for _, v in pairs], ast.Load()), lineno=1)


__all__ += ["expand"]
