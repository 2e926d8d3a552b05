"""MLflow model folders, read and written without MLflow."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from ambidex.errors import NotFound, Refused, UsageError

__all__ = ["is_folder", "model_of"]

_FLAVOURS = {
    "lightgbm": ("data", "model.lgb"), "xgboost": ("data", "model.xgb"), "onnx": ("data", "model.onnx"),
    "sklearn": ("pickled_model", "model.pkl"),
}  # fmt: skip


def is_folder(source: Any) -> bool:
    """Whether this is an MLflow model folder."""
    return isinstance(source, str | Path) and (Path(source) / "MLmodel").is_file()


def model_of(folder: Path) -> tuple[str, bytes, list[str] | None]:
    """The model file inside an MLflow folder, and its inputs as the signature names them.

    Returns:
        (file name, bytes, input names or None).

    Raises:
        Refused: ``check.archive`` for a path that leaves the folder, ``check.types`` for a pickle.
        UsageError: ``usage.source`` for flavours that cannot be read.
    """
    said = _read_yaml((folder / "MLmodel").read_text(encoding="utf-8"))
    flavours = said.get("flavors", {})
    names = _signature(said.get("signature", {}))
    for flavour, (field, usual) in _FLAVOURS.items():
        if flavour not in flavours:
            continue
        inner = str(flavours[flavour].get(field) or usual)
        path = _inside(folder, inner)
        if path.is_dir():  # LightGBM and XGBoost of some versions write a folder
            found = sorted(p for p in path.iterdir() if p.is_file() and not p.is_symlink())
            path = found[0] if found else path
        if path.suffix in (".pkl", ".pickle", ".joblib") or (flavour == "sklearn" and path.suffix != ".skops"):
            raise Refused(
                "check.types", f"the MLflow folder holds its model as a pickle ({inner}), which is not opened",
                do="log it with serialization_format='skops', or package the estimator from Python",
            )  # fmt: skip
        if not path.is_file():
            raise NotFound("data.no-file", f"the MLflow folder has no file {inner}", where=str(folder))
        return path.name, path.read_bytes(), names
    raise UsageError(
        "usage.source",
        f"the MLflow folder holds no model that package can read: {', '.join(flavours) or 'no flavor'}",
        where=str(folder),
        found="readable are lightgbm, xgboost, onnx, and sklearn as skops",
    )


def _inside(folder: Path, inner: str) -> Path:
    path = folder / inner
    if Path(inner).is_absolute() or not path.resolve().is_relative_to(folder.resolve()):
        raise Refused("check.archive", f"the MLflow folder names a file outside itself: {inner!r}", where=str(folder))
    return path


def _signature(signature: Any) -> list[str] | None:
    given = signature.get("inputs") if isinstance(signature, dict) else None
    try:
        columns = json.loads(given) if isinstance(given, str) else None
    except ValueError:
        return None
    names = [c.get("name") for c in columns or [] if isinstance(c, dict)]
    return [str(n) for n in names] if names and all(names) else None


def _read_yaml(text: str) -> dict[str, Any]:
    """The part of YAML that MLflow writes: nested maps of scalars, quoted text that runs over lines; lists are left."""
    root: dict[str, Any] = {}
    stack: list[tuple[int, dict[str, Any]]] = [(-1, root)]
    lines = text.splitlines()
    i = 0
    while i < len(lines):
        line = lines[i]
        i += 1
        match = re.match(r"^( *)([A-Za-z0-9_.\-]+):(?: (.*))?$", line)
        if match is None:
            continue
        indent, key, value = len(match[1]), match[2], (match[3] or "").strip()
        while stack[-1][0] >= indent:
            stack.pop()
        if value[:1] in ("'", '"'):
            quote = value[0]
            while not (len(value) > 1 and value.endswith(quote)) and i < len(lines):
                value += " " + lines[i].strip()
                i += 1
            value = value[1:-1].replace("''", "'") if quote == "'" else value[1:-1].replace('\\"', '"')
            stack[-1][1][key] = value
        elif value:
            while i < len(lines) and re.match(r"^ {" + str(indent + 1) + r",}[^ ]", lines[i]) and ":" not in lines[i]:
                value += " " + lines[i].strip()
                i += 1
            stack[-1][1][key] = None if value in ("null", "~") else value
        else:
            inner: dict[str, Any] = {}
            stack[-1][1][key] = inner
            stack.append((indent, inner))
    return root
