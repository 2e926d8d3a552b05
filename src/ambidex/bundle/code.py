"""A bundle that holds code and fitted state: files in, files out, nothing is run here.

``code/PACKAGE/*.py`` is a package with ``predict.py``; ``state/*`` is what it reads. The package says::

    def load(folder: Path) -> Predictor: ...   # folder holds state/* under their own names

    class Predictor:
        def predict(self, rows: list[dict[str, Any]]) -> list[float | dict[str, float]]: ...

A row is float, int, str or None by column name. A yes/no model gives P(classes[1]), or a probability per class.
``edges/code.py`` opens such a bundle, after its hashes were verified and in a child first.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ambidex.errors import DataError, Refused
from ambidex.records import Schema, canonical, digest

__all__ = ["FORMAT", "STATE_FORMATS", "State", "StateFormat", "code_files", "package_name", "parts_of"]

FORMAT = "ambidex-code/1"
StateFormat = Literal["json", "npz", "lightgbm", "xgboost", "onnx", "skops", "text", "pickle"]
STATE_FORMATS: tuple[StateFormat, ...] = ("json", "npz", "lightgbm", "xgboost", "onnx", "skops", "text", "pickle")
"""``pickle`` runs code when it is read: it is marked, and read only where this workspace's log names its bundle."""
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]{0,120}")
_MOST_BYTES = 2 << 30


@dataclass(frozen=True)
class State:
    """One file of fitted state.

    Attributes:
        format: How it is read.
        data: Its bytes.
    """

    format: StateFormat
    data: bytes


def package_name(name: str) -> str:
    """The import name of the code inside a bundle: no package that is installed bears such a name.

    >>> package_name("churn-2")
    'churn_2_model'
    """
    plain = f"{name.replace('-', '_')}_model"
    return plain if plain.isidentifier() else f"m_{plain}"


def code_files(
    *,
    name: str,
    modules: Mapping[str, str],
    state: Mapping[str, State],
    schema: Schema,
    golden_rows: Sequence[Mapping[str, Any]],
    golden_predictions: Sequence[Any],
    task: str | None = None,
    classes: Sequence[str] = (),
    tolerance: float = 1e-12,
    lineage: Mapping[str, Any] | None = None,
    runtime: Sequence[str] = (),
) -> dict[str, bytes]:
    """The files of a bundle of code.

    Args:
        name: Model's name; the package is ``package_name(name)``.
        modules: Source by path inside the package (``predict.py``, ``features.py``); imports among them are
            relative (``from .features import ...``) or by the package's name.
        state: Fitted state by file name.
        schema: What it takes and gives.
        golden_rows: Raw rows, as JSON values.
        golden_predictions: What the original predicted for them, shape (golden rows,) or (golden rows, classes).
        task: ``binary``, ``multiclass`` or ``regression``; must be the schema's where it is given.
        classes: As ``task``.
        tolerance: Largest difference, as a share of max(1, |expected|), at which a golden row still counts as equal.
        lineage: Where it comes from.
        runtime: Packages that it needs at run time, for listings and for the Dockerfile.

    Returns:
        Bytes by name: ``model.json``, ``schema.json``, ``golden.json``, ``lineage.json``, ``code/...``, ``state/...``.

    Raises:
        DataError: ``data.schema`` for a module that is no Python, a name that leaves the folder, an unknown format, or
            a schema that says otherwise.
    """
    if (task is not None and task != schema.task) or (classes and tuple(classes) != schema.classes):
        raise DataError("data.schema", f"task {task} with classes {tuple(classes)} is not what the schema says")
    if len(golden_rows) != len(golden_predictions):
        raise DataError("data.schema", f"{len(golden_rows)} golden rows, {len(golden_predictions)} predictions")
    package = package_name(name)
    sources = dict(modules)
    sources.setdefault("__init__.py", "")
    if "predict.py" not in sources:
        raise DataError("data.schema", "the package has no predict.py", found=", ".join(sorted(sources)))
    files: dict[str, bytes] = {}
    for path, source in sources.items():
        _check_path(path)
        try:
            ast.parse(source)
        except (SyntaxError, ValueError) as error:
            raise DataError("data.schema", f"{path} is no Python: {error}", where=path) from error
        files[f"code/{package}/{path}"] = source.encode()
    formats: dict[str, str] = {}
    for path, part in state.items():
        _check_path(path)
        if part.format not in STATE_FORMATS:
            raise DataError("data.schema", f"{part.format!r} is no format of state", found=", ".join(STATE_FORMATS))
        formats[path] = part.format
        files[f"state/{path}"] = part.data
    model = {
        "format": FORMAT,
        "package": package,
        "schema": schema.to_json(),
        "state": formats,
        "files": {path: digest(data) for path, data in sorted(files.items())},
        "marks": sorted({f for f in formats.values() if f == "pickle"}),
        "runtime": sorted(runtime),
    }
    files["model.json"] = canonical(model)
    files["schema.json"] = canonical(schema.to_json())
    files["golden.json"] = canonical(
        {"rows": [dict(r) for r in golden_rows], "expected": list(golden_predictions),
         "tolerance": float(tolerance)}
    )  # fmt: skip
    files["lineage.json"] = canonical(dict(lineage or {}))
    return files


def parts_of(model: Mapping[str, Any], files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The code and state that a model document names, each checked by its hash and its path.

    Raises:
        Refused: ``check.altered`` for a file that is missing or another one, ``check.opens`` for a path that leaves the
            folder or a pickle without its mark.
    """
    parts: dict[str, bytes] = {}
    size = 0
    for path, sha256 in dict(model["files"]).items():
        root, _, rest = str(path).partition("/")
        if root not in ("code", "state") or not _inside(rest):
            raise Refused("check.opens", f"the bundle names a file outside its folder: {str(path)[:80]!r}")
        data = files.get(path)
        if data is None:
            raise Refused("check.altered", f"the bundle has no file {path}", found=", ".join(sorted(files)[:8]))
        if digest(data) != sha256:
            raise Refused("check.altered", f"{path} is not what was sealed", found=f"sha256 {digest(data)[:12]}…")
        size += len(data)
        parts[path] = data
    if size > _MOST_BYTES:
        raise Refused("check.opens", f"the bundle holds {size:,} bytes of code and state, more than {_MOST_BYTES:,}")
    if "pickle" in dict(model.get("state", {})).values() and "pickle" not in model.get("marks", ()):
        raise Refused("check.opens", "the bundle holds a pickle that is not marked as one")
    return parts


def _check_path(path: str) -> None:
    if not _inside(path):
        raise DataError("data.schema", f"{path[:80]!r} is no file name inside a bundle", found="a-z, 0-9, _, - and .")


def _inside(path: str) -> bool:
    pieces = path.split("/")
    return len(pieces) <= 6 and all(_PART.fullmatch(p) and ".." not in p for p in pieces)
