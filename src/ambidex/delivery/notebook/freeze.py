"""Rewrite statements so that what depends on the rows present is kept by its place in the code (see assets/frozen.py).

The same code fits and predicts: while fitting it does what the notebook says and keeps figures, levels, edges and
fitted transformers; afterwards it gives back what was kept, and leaves no row out.
"""

# ruff: noqa: E501  the sentences of the traps and the programs of the child
from __future__ import annotations

import ast
import copy
from collections.abc import Mapping

from ambidex.delivery.notebook.steps import base_name

__all__ = ["FROZEN", "READERS", "Freezer", "sites_in", "without_prints"]

FROZEN = "frozen"
_REDUCERS = frozenset({
    "mean", "median", "std", "var", "min", "max", "quantile", "mode", "nunique", "unique", "value_counts", "idxmax",
    "idxmin", "describe", "corr", "skew", "kurt", "sem", "mad", "percentile", "nanmean", "nanmedian", "nanpercentile",
    "nanstd", "average", "size", "agg", "aggregate", "nlargest", "nsmallest", "sum", "count", "first", "last", "tolist",
})  # fmt: skip
_KEEPERS = frozenset({
    "drop_duplicates", "dropna", "query", "sample", "sort_values", "reset_index", "head", "tail", "sort_index", "truncate",

})  # fmt: skip
_KINDS = {
    "qcut": "bands", "cut": "bands", "get_dummies": "dummies", "factorize": "codes", "fit_transform": "fitted",
    "train_test_split": "split",
}  # fmt: skip
READERS: dict[str, str] = dict.fromkeys(("read_csv", "read_parquet", "read_excel", "read_feather", "read_json", "read_table", "read_fwf", "read_stata"), "read")  # fmt: skip
_DRAWN = frozenset({"print", "display"})


class Freezer(ast.NodeTransformer):
    """Puts ``frozen.…`` around what depends on the rows.

    Args:
        cell: Its cell, for the names of places.
        known: What each place turned out to be in a run (``value``, ``keep``, ``bands``, …); None before a run, when
            every place that might be one is marked.
    """

    def __init__(self, cell: int, known: Mapping[str, str] | None = None) -> None:
        self.cell = cell
        self.known = known
        self.loops: list[str] = []

    def _site(self, what: str, node: ast.expr) -> str:
        """The name of a place: it holds between runs."""
        return f"{what} {self.cell}.{node.lineno}.{node.col_offset}"

    def _active(self, site: str, kind: str) -> bool:
        return self.known is None or self.known.get(site) == kind

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        outer, self.loops = self.loops, []
        if node.name not in ("fit", "fit_transform", "__init__"):
            node.body = [self.visit(s) for s in node.body]
        self.loops = outer
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is not None:
            node.value = self.visit(node.value)
        return node

    def visit_For(self, node: ast.For) -> ast.AST:
        targets = [n.id for n in ast.walk(node.target) if isinstance(n, ast.Name)]
        node.iter = self.visit(node.iter)
        self.loops += targets
        node.body = [self.visit(s) for s in node.body]
        del self.loops[len(self.loops) - len(targets) :]
        return node

    def _whole(self, node: ast.expr) -> ast.AST:
        """Lists over columns are kept whole, by their name; lambdas belong to their caller."""
        if isinstance(node, ast.ListComp | ast.DictComp | ast.SetComp):
            for part in node.generators:
                part.iter = self.visit(part.iter)
            inner = {n.id for g in node.generators for n in ast.walk(g.target) if isinstance(n, ast.Name)}
            calls = [n for n in ast.walk(node) if isinstance(n, ast.Call) and READERS.get(_name(n))]
            if calls and inner:
                return ast.NodeTransformer.generic_visit(self, node)
        return node

    visit_Lambda = visit_ListComp = visit_DictComp = visit_SetComp = visit_GeneratorExp = _whole

    def visit_Call(self, node: ast.Call) -> ast.AST:
        name = _name(node)
        method = isinstance(node.func, ast.Attribute)
        before = copy.deepcopy(node) if self.known is not None else node
        what = "read" if name in READERS and method else _KINDS.get(name, "")
        if not what and method:
            what = "keep" if name in _KEEPERS else name if name in _REDUCERS else ""
        self.generic_visit(node)
        if not what:
            return node
        site = self._site(what, node)
        if what == "read":
            return self._call("read", site, [node.func, *node.args], node.keywords)
        if what == "split" and self._active(site, "split"):
            return self._call("split", site, [ast.List(list(node.args), ast.Load()), _lambda(node)], [])
        if what == "bands" and node.args and self._active(site, "bands"):
            bands = "q" if name == "qcut" else "bins"
            keywords = [k for k in node.keywords if k.arg not in ("retbins", bands)]
            given = [k.value for k in node.keywords if k.arg == bands]
            args = [node.args[0], *(node.args[1:] or given)]
            return self._call("quantile_bands" if name == "qcut" else "equal_bands", site, args, keywords + self._at())
        if what == "dummies" and node.args and self._active(site, "dummies"):
            return self._call("dummies", site, list(node.args), node.keywords + self._at())
        if what == "codes" and node.args and self._active(site, "codes"):
            return self._call("factorize", site, [node.args[0], *self._names()], [])
        if what == "fitted" and node.args and isinstance(node.func, ast.Attribute) and self._active(site, "fitted"):
            return self._call("fitted", site, [node.func.value, *node.args], node.keywords + self._at())
        if what == "keep" and isinstance(node.func, ast.Attribute) and self._active(site, "keep"):
            if any(k.arg == "inplace" for k in node.keywords):
                return node
            base, node.func.value = node.func.value, ast.Name("rows_", ast.Load())
            return self._call("keep", site, [base, _lambda(node, "rows_")], [])
        if what == name and self._active(site, "value"):
            return self._call("value", site, [_lambda(before), *self._names()], [])
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        self.generic_visit(node)
        if node.attr == "codes" and isinstance(node.value, ast.Attribute) and node.value.attr == "cat":
            site = self._site("codes", node)
            if self._active(site, "codes"):
                return self._call("codes", site, [node.value.value, *self._names()], [])
        return node

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        self.generic_visit(node)
        if not isinstance(node.ctx, ast.Load) or isinstance(node.slice, ast.Constant):
            return node
        site = self._site("keep", node)
        if not self._active(site, "keep"):
            return node
        rows = ast.Name("rows_", ast.Load())
        base, key = node.value, node.slice
        if isinstance(base, ast.Attribute) and base.attr in ("loc", "iloc"):
            how, under = base.attr, base.value
            if isinstance(key, ast.Tuple) and len(key.elts) == 2:
                all_rows = ast.Tuple([ast.Slice(), key.elts[1]], ast.Load())
                columns = ast.Subscript(ast.Attribute(under, how, ast.Load()), all_rows, ast.Load())
                some = ast.Subscript(ast.Attribute(rows, how, ast.Load()), key.elts[0], ast.Load())
                return self._call("keep", site, [columns, _lambda(some, "rows_")], [])
            some = ast.Subscript(ast.Attribute(rows, how, ast.Load()), key, ast.Load())
            return self._call("keep", site, [under, _lambda(some, "rows_")], [])
        if isinstance(base, ast.Attribute) and base.attr in ("str", "dt", "at", "iat", "flat"):
            return node
        return self._call("keep", site, [base, _lambda(ast.Subscript(rows, key, ast.Load()), "rows_")], [])

    def _names(self) -> list[ast.expr]:
        return [ast.Name(n, ast.Load()) for n in self.loops]

    def _at(self) -> list[ast.keyword]:
        return [ast.keyword("at", ast.Tuple(self._names(), ast.Load()))] if self.loops else []

    def _call(self, method: str, site: str, args: list[ast.expr], keywords: list[ast.keyword]) -> ast.Call:
        function = ast.Attribute(ast.Name(FROZEN, ast.Load()), method, ast.Load())
        return ast.Call(function, [ast.Constant(site), *args], keywords)


def _name(node: ast.Call) -> str:
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _lambda(node: ast.expr, *names: str) -> ast.Lambda:
    args = [ast.arg(n) for n in names]
    some = ast.arguments(posonlyargs=[], args=args, vararg=None, kwonlyargs=[], kw_defaults=[], kwarg=None, defaults=[])
    return ast.Lambda(some, node)


def sites_in(node: ast.AST) -> set[str]:
    """Places inside a rewritten statement."""
    out = set()
    for part in ast.walk(node):
        if (
            isinstance(part, ast.Call)
            and isinstance(part.func, ast.Attribute)
            and isinstance(part.func.value, ast.Name)
            and part.func.value.id == FROZEN
            and part.args
            and isinstance(part.args[0], ast.Constant)
        ):
            out.add(str(part.args[0].value))
    return out


class _Silent(ast.NodeTransformer):
    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        drawn = isinstance(node.value, ast.Call) and (
            getattr(node.value.func, "id", "") in _DRAWN
            or base_name(node.value.func) in ("plt", "sns", "fig", "ax", "axes")
        )
        return ast.Pass() if drawn else node


def without_prints(node: ast.stmt) -> ast.stmt:
    """The statement without prints and drawings."""
    out: ast.stmt = _Silent().visit(node)
    return out
