"""Names that the written package has for its own: a notebook's variables of that name get an underscore behind them."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping

__all__ = ["OURS", "without_ours"]

OURS = frozenset({"raw", "frozen", "kept", "state", "features", "score", "bind", "fit", "save", "table", "folder"})
"""What ``features.py`` and ``train.py`` call their own; a frame named ``raw`` would count as untouched rows."""

_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


def without_ours(trees: Iterable[ast.Module]) -> dict[str, str]:
    """Rename, in place, the variables that bear one of our names.

    A function or class of that name keeps it, and so does the inside of a function that binds the name for itself.

    Returns:
        The new name of each that was renamed.

    >>> tree = ast.parse("raw = f(1, raw=2)")
    >>> without_ours([tree]), ast.unparse(tree)
    ({'raw': 'raw_'}, 'raw_ = f(1, raw=2)')
    """
    trees = list(trees)
    nodes = [n for tree in trees for n in ast.walk(tree)]
    used = {n.id for n in nodes if isinstance(n, ast.Name)}
    defined = {n.name for n in nodes if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    imported = {(a.asname or a.name).partition(".")[0] for n in nodes if isinstance(n, ast.Import | ast.ImportFrom)
                for a in n.names}  # fmt: skip
    bound = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    new: dict[str, str] = {}
    for name in sorted((OURS & bound) - defined - imported):
        other = f"{name}_"
        while other in used or other in defined:
            other += "_"
        new[name] = other
    if new:
        for tree in trees:
            _Renamed(new).visit(tree)
    return new


class _Renamed(ast.NodeTransformer):
    def __init__(self, new: Mapping[str, str]) -> None:
        self._new = dict(new)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.copy_location(ast.Name(self._new.get(node.id, node.id), node.ctx), node)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return ast.copy_location(ast.Global([self._new.get(n, n) for n in node.names]), node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._inside(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._inside(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        return self._inside(node)

    def _inside(self, node: _Function) -> ast.AST:
        """What the function binds for itself keeps its name there; its defaults are read outside."""
        arguments = node.args
        own = {a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
        own |= {a.arg for a in (arguments.vararg, arguments.kwarg) if a is not None}
        everywhere = {n for part in ast.walk(node) if isinstance(part, ast.Global) for n in part.names}
        if not isinstance(node, ast.Lambda):
            own |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        own -= everywhere
        arguments.defaults = [self.visit(d) for d in arguments.defaults]
        arguments.kw_defaults = [None if d is None else self.visit(d) for d in arguments.kw_defaults]
        inner = _Renamed({k: v for k, v in self._new.items() if k not in own})
        if isinstance(node, ast.Lambda):
            node.body = inner.visit(node.body)
        else:
            node.decorator_list = [self.visit(d) for d in node.decorator_list]
            node.body = [inner.visit(s) for s in node.body]
        return node
