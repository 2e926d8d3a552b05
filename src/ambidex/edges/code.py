"""Open a bundle of code and state: import it under a name of its own, and score with it.

Called by ``bundle/open.py``, which has verified every hash and, in another process, tried the same bytes first.
The files are written afresh each time to a folder that only this user can read, and removed once they are loaded:
a folder that stayed would have to be verified again at each opening, and could be changed after that.
"""

from __future__ import annotations

import importlib
import importlib.util
import linecache
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.code import FORMAT, parts_of
from ambidex.errors import AmbidexError, EnvironmentProblem, MissingExtra, Refused
from ambidex.ports import Score
from ambidex.records import Schema, digest

__all__ = ["CodeScorer", "open_code"]

_IMPORTING = threading.Lock()
_BATCH = 5_000
_EXTRAS = {
    "sklearn": "sklearn",
    "skops": "sklearn",
    "lightgbm": "lightgbm",
    "onnxruntime": "onnx",
    "xgboost": "xgboost",
}


class CodeScorer:
    """A package's predictor behind the same face as every model.

    Args:
        schema: What it takes and gives.
        predictor: What ``load`` of its ``predict.py`` returned.
    """

    def __init__(self, schema: Schema, predictor: Any) -> None:
        self.schema = schema
        self.predictor = predictor
        self._predict = predictor.predict
        self._columns = getattr(predictor, "predict_columns", None)
        self._several = schema.task == "multiclass"
        self._names = schema.names
        self._whole = frozenset(c.name for c in schema.columns if c.type == "integer")

    def score(self, row: Mapping[str, Any]) -> Score:
        """One row."""
        given = {name: row.get(name) for name in self._names}
        return self._number(self._ask([given])[0])

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> NDArray[np.float64]:
        """Many rows, column by column. Shape (rows,), or (rows, classes)."""
        if self._columns is not None:
            return np.asarray(self._columns(columns, rows), dtype=np.float64)
        plain = {name: self._plain(name, columns.get(name), rows) for name in self._names}
        out = np.empty((rows, len(self.schema.classes)) if self._several else rows)
        for start in range(0, rows, _BATCH):
            end = min(rows, start + _BATCH)
            batch = [{name: plain[name][i] for name in self._names} for i in range(start, end)]
            out[start:end] = [self._number(p) for p in self._ask(batch)]
        return out

    def _ask(self, rows: list[dict[str, Any]]) -> Sequence[Any]:
        given = self._predict(rows)
        if len(given) != len(rows):
            raise Refused("check.opens", f"the model gave {len(given)} predictions for {len(rows)} rows")
        return given  # type: ignore[no-any-return]

    def _number(self, prediction: Any) -> Score:
        if self._several:
            if isinstance(prediction, Mapping):
                return tuple(float(prediction[c]) for c in self.schema.classes)
            given = tuple(float(p) for p in prediction)
            if len(given) != len(self.schema.classes):
                raise Refused("check.opens", f"the model gave {len(given)} of {len(self.schema.classes)} classes")
            return given
        if isinstance(prediction, Mapping):
            return float(prediction[self.schema.classes[1]])
        return float(prediction)

    def _plain(self, name: str, values: Any, rows: int) -> list[Any]:
        if values is None:
            return [None] * rows
        if name in self._whole:
            return [None if v is None or v != v else int(v) if v == int(v) else v for v in _list(values)]
        return [None if v is None or v != v else v for v in _list(values)]


def open_code(model: Mapping[str, Any], files: Mapping[str, bytes]) -> CodeScorer:
    """Load the code and state of a verified bundle.

    Args:
        model: ``model.json``.
        files: The bundle's files.

    Raises:
        Refused: ``check.altered``, ``check.opens``.
        MissingExtra: Its state needs a package that is not installed.
    """
    if model.get("format") != FORMAT:
        raise Refused("check.opens", f"{str(model.get('format'))[:40]!r} is no bundle of code")
    parts = parts_of(model, files)
    schema = Schema.from_json(model["schema"])
    try:
        return CodeScorer(schema, _load(str(model["package"]), parts))
    except ModuleNotFoundError as error:
        missing = str(error.name or "").partition(".")[0]
        if missing in _EXTRAS:
            raise MissingExtra(missing, _EXTRAS[missing], "this model") from error
        raise EnvironmentProblem(
            "env.missing-extra",
            f"this model needs the package {missing or error}, which is not installed",
            found=f"no package {missing}",
            do=f"pip install {missing}" if missing else None,
        ) from error
    except AmbidexError:
        raise
    except Exception as error:
        raise Refused("check.opens", f"the model does not load: {type(error).__name__}: {error}") from error


def _load(package: str, parts: Mapping[str, bytes]) -> Any:
    """Import the package under a private name, and let it read its state.

    While it is imported and loads, the package is also known by its own name, for absolute imports among its modules
    and for classes that its state names. What stood under that name is put back: two versions of one package live
    in one process.
    """
    private = f"_ambidex_{digest(b''.join(parts[p] for p in sorted(parts)))[:16]}_{package}"
    with _IMPORTING, tempfile.TemporaryDirectory(prefix="ambidex-") as made:  # mode 0700
        folder = Path(made)
        for path, data in parts.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
        (folder / "state").mkdir(exist_ok=True)
        aside = {n: sys.modules.pop(n) for n in list(sys.modules) if n == package or n.startswith(f"{package}.")}
        before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        try:
            root = _import(private, folder / "code" / package)
            sys.modules[package] = root
            for path in sorted(parts):
                if path.startswith(f"code/{package}/") and path.endswith(".py"):
                    inner = path.removeprefix(f"code/{package}/").removesuffix(".py").removesuffix("/__init__")
                    # train.py is for the child that trains: it may import what scoring does not need.
                    if inner not in ("__init__", "train") and not inner.startswith("tests"):
                        importlib.import_module(f"{private}.{inner.replace('/', '.')}")
            for path, data in parts.items():  # so that a traceback still shows lines
                if path.endswith(".py"):
                    lines = data.decode(errors="replace").splitlines(keepends=True)
                    linecache.cache[str(folder / path)] = (len(data), None, lines, str(folder / path))
            return sys.modules[f"{private}.predict"].load(folder / "state")
        finally:
            sys.dont_write_bytecode = before
            for name in [n for n in sys.modules if n == package or n.startswith(f"{package}.")]:
                del sys.modules[name]
            sys.modules.update(aside)


def _import(name: str, folder: Path) -> ModuleType:
    for known in [n for n in sys.modules if n == name or n.startswith(f"{name}.")]:
        del sys.modules[known]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise Refused("check.opens", "the bundle's package cannot be imported")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _list(values: Any) -> list[Any]:
    return values.tolist() if isinstance(values, np.ndarray) else list(values)
