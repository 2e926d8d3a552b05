"""A Python function that scores rows, as a bundle of code: ``module:function``, sealed with its module's source."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.code import State, code_files
from ambidex.data.table import Table
from ambidex.edges.estimators import infer_schema, kinds_of
from ambidex.edges.frames import frame_of
from ambidex.edges.model_files import yes_and_no
from ambidex.edges.proof import TOLERANCE, Made, golden_of, proof_rows, proven, raw_rows
from ambidex.errors import NotFound, Refused, UsageError, did_you_mean
from ambidex.records import canonical

__all__ = ["from_function", "is_function"]


def is_function(source: Any) -> bool:
    """Whether this names a function: ``module:function`` or ``file.py:function``."""
    if not isinstance(source, str) or source.count(":") != 1 or "://" in source:
        return False
    module, function = source.split(":")
    return function.isidentifier() and (module.endswith(".py") or all(p.isidentifier() for p in module.split(".")))


def from_function(
    source: str,
    *,
    name: str,
    table: Table,
    target: str,
    positive: str | None = None,
    key: str | None = None,
    time: str | None = None,
) -> Made:
    """Turn a function into a bundle. It takes a list of rows, or a dataframe, and gives a number a row.

    Its module is imported here, as Python would: name only modules whose code you would run. The module's source is
    sealed; what it imports must be installed wherever the version is served.

    Raises:
        NotFound: ``data.no-file`` if there is no such module or function.
        UsageError: ``usage.source`` if it gives no numbers.
        Refused: ``check.opens``, ``check.parity``.
    """
    path, word = _place(source)
    module = _imported(path)
    function = getattr(module, word, None)
    if not callable(function):
        known = [n for n, v in vars(module).items() if inspect.isfunction(v)]
        near = did_you_mean(word, known)
        raise NotFound("data.no-file", f"{path.name} has no function {word}{near}", where=str(path))
    names = [c for c in table.columns if c not in (target, key, time)]
    kinds = kinds_of(table, names, None)
    labels = sorted({str(v) for v in table.text(target) if v is not None})
    binary = len(labels) == 2
    classes: tuple[str, ...] = yes_and_no(table, target, positive) if binary else ()
    plan = {"names": names, "kinds": kinds, "frame": "pandas", "function": word, "rows": True, "classes": list(classes)}
    draft = infer_schema(table, names, target=target, task="binary" if binary else "regression", classes=classes)
    some = raw_rows(table, draft, 5)
    plan["rows"] = _takes_rows(function, some, plan, source)
    ask = _asker(function, plan)
    schema = infer_schema(
        table, names, target=target, task=draft.task, classes=classes, key=key, time=time, kinds=kinds, ask=ask
    )
    rows, own = proof_rows(table, schema, ask)
    expected = ask(rows)
    golden, wanted = golden_of(rows, expected, len(own))
    files = code_files(
        name=name, modules={"predict.py": _PREDICT, "source.py": path.read_text(encoding="utf-8")},
        state={"plan.json": State("json", canonical(plan))}, schema=schema, golden_rows=golden,
        golden_predictions=wanted, tolerance=TOLERANCE, lineage={"source": f"{path.name}:{word}"},
    )  # fmt: skip
    made = proven(files, rows, expected, "python", [])
    if made.equal != made.of:
        raise Refused(
            "check.parity", f"the sealed function predicts {made.equal:,} of {made.of:,} rows as the original does",
            found=f"largest difference {made.largest:.3g}",
        )  # fmt: skip
    return made


def _place(source: str) -> tuple[Path, str]:
    module, word = source.split(":")
    if module.endswith(".py"):
        path = Path(module)
    else:
        path = Path(*module.split(".")).with_suffix(".py")
        if not path.exists():
            try:
                spec = importlib.util.find_spec(module)
            except (ImportError, ValueError):
                spec = None
            path = Path(spec.origin) if spec is not None and spec.origin else path
    if not path.is_file() or path.suffix != ".py":
        raise NotFound(
            "data.no-file", f"no module {module} here", where=str(path), do="name its file: model.py:predict"
        )
    return path, word


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"_ambidex_source_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise NotFound("data.no-file", f"{path} is no Python module", where=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(
            "usage.source", f"{path.name} cannot be imported: {type(error).__name__}: {error}", where=str(path)
        ) from error
    return module


def _takes_rows(function: Callable[..., Any], rows: list[dict[str, Any]], plan: dict[str, Any], source: str) -> bool:
    problems = []
    for by_rows in (True, False):
        try:
            given = numbers(function(rows if by_rows else frame_of(rows, plan)), plan)
        except Exception as error:
            problems.append(f"{'rows' if by_rows else 'a dataframe'}: {type(error).__name__}: {error}")
            continue
        if given.shape == (len(rows),) and np.isfinite(given).all():
            return by_rows
        problems.append(f"{'rows' if by_rows else 'a dataframe'}: {given.shape} for {len(rows)} rows")
    raise UsageError(
        "usage.source", f"{source} gives no number for each row", found="; ".join(problems)[:400],
        do="a function that takes a list of dicts, or a dataframe, and returns one number a row",
    )  # fmt: skip


def _asker(function: Callable[..., Any], plan: dict[str, Any]) -> Callable[[list[dict[str, Any]]], NDArray[np.float64]]:
    return lambda rows: numbers(function(rows if plan["rows"] else frame_of(rows, plan)), plan)


def numbers(given: Any, plan: dict[str, Any]) -> NDArray[np.float64]:
    """What a function gave, as one number a row: itself, or the positive class's probability."""
    listed = list(given) if not hasattr(given, "shape") else given
    if isinstance(listed, list) and listed and isinstance(listed[0], dict):
        listed = [row[plan["classes"][1]] for row in listed]
    values = np.asarray(listed, dtype=np.float64)
    return values[:, 1] if values.ndim == 2 and values.shape[1] == 2 else values.reshape(-1)


_PREDICT = '''\
"""Scores raw rows with the function of source.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ambidex.edges.frames import frame_of
from ambidex.edges.function import numbers

from . import source

__all__ = ["Predictor", "load"]


class Predictor:
    """The function, and what it takes."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan, self.function = plan, getattr(source, plan["function"])

    def predict(self, rows: list[dict[str, Any]]) -> list[float]:
        """One number a row."""
        return numbers(self.function(rows if self.plan["rows"] else frame_of(rows, self.plan)), self.plan).tolist()


def load(folder: Path) -> Predictor:
    """Read the state."""
    return Predictor(json.loads((folder / "plan.json").read_text(encoding="utf-8")))
'''
