"""Find what scores: the function or the fitted model that the notebook ends with, and what it is given."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from ambidex.delivery.notebook.steps import Step, base_name, calls_of, free_names

__all__ = ["Product", "find_product", "saved_names"]

_PREDICT = ("predict_proba", "predict", "decision_function", "predict_uplift")
_SAVE = ("dump", "save_model", "dumps", "log_model", "to_disk", "save")
_NARROWING = ("head", "tail", "sample", "copy")


@dataclass(frozen=True)
class Product:
    """What scores.

    Attributes:
        name: Of the function or model.
        is_function: A function of the notebook, not a fitted object.
        calls: Ways to give it rows: (method, what it is given, place); the likeliest first.
        others: Other names that predict.
        saved: Names that the notebook saves.
    """

    name: str
    is_function: bool
    calls: tuple[tuple[str, ast.expr, int], ...]
    others: tuple[str, ...]
    saved: tuple[str, ...]


def find_product(steps: Sequence[Step]) -> Product | None:
    """The product, or None where nothing predicts."""
    saved = saved_names(steps)
    functions = _functions(steps)
    models = _models(steps)
    if functions:
        return Product(functions[-1], True, (), tuple(n for n in models if n not in functions), saved)
    if not models:
        return None
    name = max(models, key=lambda n: _weight(n, models, saved))
    names = _aliases(steps, name)
    calls: list[tuple[int, int, str, ast.expr, int]] = []
    for step in steps:
        if step.is_definition:
            continue
        for method, call in calls_of(step.node):
            if not isinstance(call.func, ast.Attribute) or not call.args:
                continue
            owner = call.func.value
            if isinstance(owner, ast.Name) and owner.id in names and method in _PREDICT:
                calls.append(
                    (_rank(call.args[0], steps, step.place), -step.place, method, _whole(call.args[0]), step.place)
                )
            elif method == "fit" and _binds(step, names) and (base_name(owner) in names or name in step.defines):
                calls.append((1, -step.place, "fit", _whole(call.args[0]), step.place))
    calls.sort(key=lambda c: (c[0], c[1]))
    ordered = tuple((method, arg, place) for _, _, method, arg, place in calls)
    return Product(name, False, ordered, tuple(n for n in models if n not in names), saved)


def saved_names(steps: Sequence[Step]) -> tuple[str, ...]:
    """Names that a step saves."""
    out: list[str] = []
    for step in steps:
        for method, call in calls_of(step.node):
            if method not in _SAVE:
                continue
            parts: list[ast.AST] = list(call.args[:1])
            if isinstance(call.func, ast.Attribute) and base_name(call.func) not in (
                "joblib",
                "pickle",
                "json",
                "torch",
                "np",
            ):
                parts.append(call.func.value)
            if base_name(call.func) == "json":
                continue
            for part in parts:
                out += [n.id for n in ast.walk(part) if isinstance(n, ast.Name)]
    return tuple(dict.fromkeys(out))


def _functions(steps: Sequence[Step]) -> list[str]:
    """Functions that predict with models of the notebook and are called, the last one last."""
    called = {name for s in steps if not s.is_definition for name, _ in calls_of(s.node)}
    out: list[str] = []
    for step in steps:
        node = step.node
        if not isinstance(node, ast.FunctionDef) or not node.args.args or node.name not in called:
            continue
        outer = free_names(node)
        uses = [
            base_name(c.func.value) for m, c in calls_of(node) if m in _PREDICT and isinstance(c.func, ast.Attribute)
        ]
        gives = any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(node))
        if gives and any(u in outer for u in uses):
            out = [n for n in out if n != node.name] + [node.name]
    return out


def _models(steps: Sequence[Step]) -> list[str]:
    found: list[str] = []
    for step in steps:
        if step.is_definition:
            continue
        loops = {
            n.id for f in ast.walk(step.node) if isinstance(f, ast.For) for n in ast.walk(f.target)
            if isinstance(n, ast.Name)
        }  # fmt: skip
        for method, call in calls_of(step.node):
            if not isinstance(call.func, ast.Attribute):
                continue
            owner = call.func.value
            if method in _PREDICT and isinstance(owner, ast.Name) and owner.id not in loops:
                found.append(owner.id)
            elif method == "fit" and isinstance(step.node, ast.Assign) and isinstance(step.node.targets[0], ast.Name):
                found.append(step.node.targets[0].id)
    loaded = {
        n for s in steps for m, _ in calls_of(s.node) if m in ("load", "loads", "load_model") and not s.is_definition
        for n in s.defines
    }  # fmt: skip
    return [n for n in dict.fromkeys(found) if n not in loaded]


def _weight(name: str, models: Sequence[str], saved: Sequence[str]) -> tuple[int, int, int]:
    word = any(w in name.lower() for w in ("final", "best", "prod", "chosen"))
    return (name in saved, word, list(models).index(name))


def _aliases(steps: Sequence[Step], name: str) -> set[str]:
    names = {name}
    for step in steps:
        node = step.node
        plain = isinstance(node, ast.Assign) and isinstance(node.value, ast.Name)
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if plain and isinstance(target, ast.Name) and target.id in names and isinstance(node, ast.Assign):
            names.add(base_name(node.value) or target.id)
    return names


def _binds(step: Step, names: set[str]) -> bool:
    return bool((step.defines | step.changes) & names)


def _whole(node: ast.expr) -> ast.expr:
    """Without ``.head(3)``, ``.iloc[...]``: the frame that the rows come from."""
    while True:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _NARROWING:
            node = node.func.value
        elif isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "iloc":
            node = node.value.value
        else:
            return node


def _rank(node: ast.expr, steps: Sequence[Step], place: int) -> int:
    """0 for rows written by hand, as an application would send them; 1 for a frame; 2 for one that was altered."""
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    for step in reversed(steps[:place]):
        if isinstance(step.node, ast.Assign) and step.defines & set(names):
            value = step.node.value
            if isinstance(value, ast.Call) and getattr(value.func, "attr", "") == "DataFrame" and _literal(value):
                return 0
            if any(m == "assign" for m, _ in calls_of(value)) and len(names) == 1:
                return 3
    return 1


def _literal(call: ast.Call) -> bool:
    return any(isinstance(p, ast.List | ast.Dict) for p in call.args)
