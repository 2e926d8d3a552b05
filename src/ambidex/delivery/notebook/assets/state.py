"""Fitted state as JSON where it has such a form; what has none is a pickle, read with its list of names only."""

from __future__ import annotations

import base64
import datetime
import io
import math
import pickle
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["decode", "encode", "read_pickle", "write_pickle"]


def encode(value: Any) -> Any:
    """JSON values; raises TypeError for what has no such form."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, np.generic):
        if isinstance(value, np.datetime64 | np.timedelta64):
            raise TypeError("no JSON form")
        return {"~": "scalar", "type": value.dtype.str, "v": encode(value.item())}
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"~": "float", "v": str(value)}
    if isinstance(value, list):
        return [encode(v) for v in value]
    if isinstance(value, tuple | set | frozenset):
        parts = list(value) if isinstance(value, tuple) else sorted(value, key=repr)
        return {"~": type(value).__name__, "v": [encode(v) for v in parts]}
    if type(value) is dict:
        return {"~": "dict", "v": [[encode(k), encode(v)] for k, v in value.items()]}
    if isinstance(value, pd.Timestamp):
        return {"~": "timestamp", "v": value.isoformat()}
    if isinstance(value, datetime.datetime):
        return {"~": "datetime", "v": value.isoformat()}
    if isinstance(value, datetime.date):
        return {"~": "date", "v": value.isoformat()}
    if isinstance(value, datetime.timedelta):
        return {"~": "timedelta", "v": value.total_seconds()}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return {"~": "array", "type": value.dtype.str, "shape": list(value.shape), "v": encode(value.ravel().tolist())}
    if isinstance(value, pd.Interval):
        return {"~": "interval", "v": [encode(value.left), encode(value.right)], "closed": value.closed}
    if isinstance(value, pd.Index) and not isinstance(value, pd.MultiIndex | pd.DatetimeIndex | pd.CategoricalIndex):
        return {"~": "index", "type": str(value.dtype), "v": encode(value.tolist()), "name": encode(value.name)}
    if isinstance(value, pd.Series) and value.dtype.kind in "biufO" and not isinstance(value.index, pd.MultiIndex):
        return {"~": "series", "type": str(value.dtype), "v": encode(value.tolist()), "index": encode(value.index),
                "name": encode(value.name)}  # fmt: skip
    raise TypeError(f"{type(value).__name__} has no JSON form")


def decode(value: Any) -> Any:
    """What ``encode`` wrote."""
    if isinstance(value, list):
        return [decode(v) for v in value]
    if not isinstance(value, dict):
        return value
    kind, v = value["~"], value["v"]
    if kind == "dict":
        return {decode(k): decode(x) for k, x in v}
    if kind == "float":
        return float(v)
    if kind == "scalar":
        return np.dtype(value["type"]).type(decode(v))
    if kind in ("tuple", "set", "frozenset"):
        return {"tuple": tuple, "set": set, "frozenset": frozenset}[kind](decode(x) for x in v)
    if kind == "timestamp":
        return pd.Timestamp(v)
    if kind == "datetime":
        return datetime.datetime.fromisoformat(v)
    if kind == "date":
        return datetime.date.fromisoformat(v)
    if kind == "timedelta":
        return datetime.timedelta(seconds=v)
    if kind == "array":
        return np.array(decode(v), dtype=np.dtype(value["type"])).reshape(value["shape"])
    if kind == "interval":
        return pd.Interval(decode(v[0]), decode(v[1]), closed=value["closed"])
    if kind == "index":
        return pd.Index(decode(v), dtype=_dtype(value["type"]), name=decode(value["name"]))
    if kind == "series":
        return pd.Series(
            decode(v), index=decode(value["index"]), dtype=_dtype(value["type"]), name=decode(value["name"])
        )
    raise ValueError(f"no such kind of state: {kind!r}")


def _dtype(name: str) -> Any:
    return None if name == "str" else name


def write_pickle(value: Any) -> dict[str, Any]:
    """A pickle in base64, and the names that it needs to be read."""
    data = pickle.dumps(value, protocol=5)
    names: set[tuple[str, str]] = set()

    class Listing(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            names.add((module, name))
            return super().find_class(module, name)

    Listing(io.BytesIO(data)).load()
    return {"pickle": base64.b64encode(data).decode("ascii"), "names": sorted(names),
            "package": __name__.rpartition(".")[0]}  # fmt: skip


def read_pickle(document: dict[str, Any], package: str) -> Any:
    """Read a pickle that holds the listed names only; those of the notebook are this package's."""
    origin = document["package"]
    allowed = {tuple(pair) for pair in document["names"]}

    class Reading(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) not in allowed:
                raise pickle.UnpicklingError(f"{module}.{name} is not on the list")
            if module == origin or module.startswith(f"{origin}."):
                module = package + module.removeprefix(origin)
            return super().find_class(module, name)

    return Reading(io.BytesIO(base64.b64decode(document["pickle"]))).load()
