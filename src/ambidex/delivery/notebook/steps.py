"""What each statement of a notebook reads, defines and changes, and what a name needs: a slice in run order."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from ambidex.delivery.notebook.reader import Cell, Notebook

__all__ = [
    "Step",
    "base_name",
    "calls_of",
    "expand",
    "free_names",
    "last_definition",
    "slice_back",
    "steps_in",
    "steps_of",
]

_BUILTINS = frozenset(dir(builtins)) | {"display", "get_ipython"}
MUTATORS = frozenset({
    "append", "extend", "update", "add", "insert", "pop", "remove", "setdefault", "clear", "sort", "reverse",
    "fit", "partial_fit", "fit_transform", "fit_predict", "train", "discard", "popitem",
    "set_params", "compile", "load_model",
})  # fmt: skip
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True, eq=False)
class Step:
    """One statement at the top of a cell.

    Attributes:
        place: Place in the run order.
        cell: Cell on the page.
        node: The statement.
        defines: Names it binds anew.
        changes: Names whose object it changes in place, or binds on some ways only.
        reads: Names it reads.
        deletes: Names it deletes.
    """

    place: int
    cell: int
    node: ast.stmt
    defines: frozenset[str]
    changes: frozenset[str]
    reads: frozenset[str]
    deletes: frozenset[str]

    @property
    def is_definition(self) -> bool:
        """A function or class."""
        return isinstance(self.node, Function)

    @property
    def is_import(self) -> bool:
        """An import."""
        return isinstance(self.node, ast.Import | ast.ImportFrom)

    @property
    def source(self) -> str:
        """Its code, without comments."""
        return ast.unparse(self.node)


def steps_of(book: Notebook, cells: Sequence[Cell]) -> list[Step]:
    """The statements of these cells, in this order."""
    return steps_in([node for cell in cells for node in book.trees[cell.index].body],
                    [cell.index for cell in cells for _ in book.trees[cell.index].body])  # fmt: skip


def steps_in(nodes: Sequence[ast.stmt], cells: Sequence[int] = ()) -> list[Step]:
    """Statements, analysed in this order."""
    steps: list[Step] = []
    mutated: dict[str, set[int]] = {}
    aliases: dict[str, set[str]] = {}
    for at, node in enumerate(nodes):
        cell = cells[at] if cells else 0
        if isinstance(node, ast.FunctionDef):
            mutated[node.name] = mutated_parameters(node, mutated)
        defines, changes, deletes = _bound(node), _changed(node, mutated), _deleted(node)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    group = aliases.setdefault(node.value.id, {node.value.id}) | {target.id}
                    for name in group:
                        aliases[name] = group
        elif defines:
            for name in defines & aliases.keys():
                group = aliases.pop(name)
                for other in group:
                    aliases[other] = group - {name}
        changes |= {other for name in changes for other in aliases.get(name, ())}
        if isinstance(node, ast.For | ast.While | ast.If):
            changes, defines = changes | defines, set()
        steps.append(
            Step(len(steps), cell, node, frozenset(defines), frozenset(changes - defines),
                 frozenset(_read(node)), frozenset(deletes))
        )  # fmt: skip
    return steps


def last_definition(steps: Sequence[Step], name: str, before: int) -> Step | None:
    """The last step before a place that binds a name."""
    for step in reversed(steps[:before]):
        if name in step.defines or (name in step.changes and not step.is_definition and name in _bound(step.node)):
            return step
    return None


def expand(steps: Sequence[Step], names: Iterable[str], before: int) -> set[str]:
    """Names, and what the functions and classes among them read when they are called."""
    out: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name in out:
            continue
        out.add(name)
        step = last_definition(steps, name, before)
        if step is not None and step.is_definition:
            todo += free_names(step.node)
    return out


def slice_back(steps: Sequence[Step], names: Iterable[str], before: int | None = None) -> list[Step]:
    """The steps that these names need, in run order.

    Args:
        steps: In run order.
        names: Wanted after the last of them.
        before: Only steps before this place count; all if None.
    """
    end = len(steps) if before is None else before
    needed = expand(steps, names, end)
    kept: list[Step] = []
    for step in reversed(steps[:end]):
        touched = (step.defines | step.changes) & needed
        if not touched or (isinstance(step.node, ast.Expr) and not step.changes):
            continue
        kept.append(step)
        needed -= step.defines
        needed |= expand(steps, step.reads, step.place)
        needed |= step.changes
    return kept[::-1]


def base_name(node: ast.expr) -> str | None:
    """The name at the root of ``a.b[c].d(...)``."""
    while True:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
            node = node.value
        elif isinstance(node, ast.Call):
            node = node.func
        else:
            return None


def calls_of(node: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Calls inside a node with the last part of their name, functions' bodies included."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            if isinstance(part.func, ast.Attribute):
                yield part.func.attr, part
            elif isinstance(part.func, ast.Name):
                yield part.func.id, part


def free_names(node: ast.AST) -> set[str]:
    """Names that a function or class reads from around it."""
    loads = {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    own: set[str] = set()
    outer: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store | ast.Del):
            own.add(part.id)
        elif isinstance(part, ast.arg):
            own.add(part.arg)
        elif isinstance(part, Function):
            own.add(part.name)
        elif isinstance(part, ast.Global):
            outer |= set(part.names)
        elif isinstance(part, ast.alias):
            own.add((part.asname or part.name).split(".")[0])
        elif isinstance(part, ast.ExceptHandler) and part.name:
            own.add(part.name)
    return (loads - own - _BUILTINS) | outer


def mutated_parameters(node: ast.FunctionDef, known: dict[str, set[int]]) -> set[int]:
    """Places of parameters whose object the function changes."""
    parameters = [a.arg for a in (*node.args.posonlyargs, *node.args.args)]
    rebound: set[str] = set()
    hit: set[int] = set()
    for statement in node.body:
        for name in _changed(statement, known):
            if name in parameters and name not in rebound:
                hit.add(parameters.index(name))
        rebound |= {n for n in _bound(statement) if n in parameters}
    return hit


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, Function):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(a.asname or a.name).split(".")[0] for a in node.names}
    out: set[str] = set()
    for part in _walk_scope(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            out.add(part.id)
        elif isinstance(part, ast.Import | ast.ImportFrom):
            out |= {(a.asname or a.name).split(".")[0] for a in part.names}
        elif isinstance(part, ast.ExceptHandler | Function) and part is not node and part.name:
            out.add(part.name)
    return out


def _walk_scope(node: ast.AST) -> Iterator[ast.AST]:
    """Walk without entering functions, lambdas and comprehensions (their names are their own)."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Lambda | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
            continue
        if isinstance(child, Function):
            yield child
            continue
        yield from _walk_scope(child)


def _changed(node: ast.stmt, mutated: dict[str, set[int]]) -> set[str]:
    if isinstance(node, Function):
        return set()
    out: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Subscript | ast.Attribute) and isinstance(part.ctx, ast.Store | ast.Del):
            name = base_name(part)
            out |= {name} if name else set()
        elif isinstance(part, ast.AugAssign):
            name = base_name(part.target)
            out |= {name} if name else set()
        elif isinstance(part, ast.Call):
            if isinstance(part.func, ast.Attribute):
                inplace = any(k.arg == "inplace" and getattr(k.value, "value", False) is True for k in part.keywords)
                if part.func.attr in MUTATORS or inplace:
                    name = _own(part.func.value)
                    out |= {name} if name else set()
            elif isinstance(part.func, ast.Name) and part.func.id in mutated:
                handed = [_passed(part.args[place]) for place in mutated[part.func.id] if place < len(part.args)]
                out |= {name for name in handed if name}
    return out


def _own(node: ast.expr) -> str | None:
    """The name whose object a method changes; what a call gave is another object (``clone(m).fit``)."""
    for part in ast.walk(node):
        if isinstance(part, ast.Call):
            inner = part.func.attr if isinstance(part.func, ast.Attribute) else ""
            if inner not in ("setdefault", "get"):
                return None
    return base_name(node)


def _passed(node: ast.expr) -> str | None:
    """The name whose own object is handed over (a copy or a slice is another object)."""
    return node.id if isinstance(node, ast.Name) else None


def _deleted(node: ast.stmt) -> set[str]:
    if not isinstance(node, ast.Delete):
        return set()
    return {t.id for t in node.targets if isinstance(t, ast.Name)}


def _read(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
        # The body runs later; only decorators, defaults and bases are read now.
        now: list[ast.expr] = list(node.decorator_list)
        if isinstance(node, ast.ClassDef):
            now += node.bases
            methods = [m for m in node.body if isinstance(m, ast.FunctionDef)]
            now += [d for m in methods for d in (*m.args.defaults, *m.args.kw_defaults) if d is not None]
        else:
            now += [d for d in (*node.args.defaults, *node.args.kw_defaults) if d is not None]
        return {n.id for e in now for n in ast.walk(e) if isinstance(n, ast.Name)} - _BUILTINS
    inner = _loads(node, frozenset())
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        inner.add(node.target.id)
    return inner - _BUILTINS


def _loads(node: ast.AST, hidden: frozenset[str]) -> set[str]:
    """Names read; those of comprehensions and lambdas are their own."""
    if isinstance(node, ast.Name):
        return {node.id} - hidden if isinstance(node.ctx, ast.Load) else set()
    if isinstance(node, ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp):
        targets = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
        hidden = hidden | targets
    elif isinstance(node, ast.Lambda):
        hidden = hidden | {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
    elif isinstance(node, Function):
        return free_names(node) - hidden
    out: set[str] = set()
    for child in ast.iter_child_nodes(node):
        out |= _loads(child, hidden)
    return out
