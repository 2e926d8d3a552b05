"""LightGBM's own library, called by ctypes: no numpy, no package imported, nothing made per row.

The library is found beside the installed package ``lightgbm``, which is not imported: it would bring numpy and SciPy
into a serving process (35 MB become 200).
"""

from __future__ import annotations

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any

from ambidex.errors import MissingExtra, Refused

__all__ = ["Trees", "library"]

_KINDS = {"f32": (0, 4), "f64": (1, 8)}
_NORMAL = 0
_FEW = 6
"""Up to so many rows one by one: setting up a call for many costs as much."""
_ALONE = 2_000
"""Up to so many rows in one thread: waiting for others costs more than they bring."""


@cache
def library() -> tuple[ctypes.CDLL, ctypes.PyDLL]:
    """LightGBM's library twice: calls that let other threads run meanwhile, and calls that do not.

    Raises:
        MissingExtra: LightGBM is not installed.
    """
    spec = importlib.util.find_spec("lightgbm")
    places = [] if spec is None else [Path(p) for p in spec.submodule_search_locations or ()]
    for place in places:
        for name in ("lib/lib_lightgbm.so", "lib/lib_lightgbm.dylib", "lib_lightgbm.so", "bin/lib_lightgbm.dll"):
            if (place / name).is_file():
                try:
                    free, held = ctypes.CDLL(str(place / name)), ctypes.PyDLL(str(place / name))
                except OSError as error:  # the OpenMP runtime is not there, or it is of another machine
                    raise MissingExtra("lightgbm", "lightgbm", f"the compiled form of this model ({error})") from error
                free.LGBM_GetLastError.restype = ctypes.c_char_p
                return free, held
    raise MissingExtra("lightgbm", "lightgbm", "the compiled form of this model")


class Trees:
    """A LightGBM text model: bytes of a row of numbers in, outputs out. Safe in threads.

    Args:
        text: The model.
        features: Numbers a row.
        outputs: Outputs a row.
        kind: ``f64``, or ``f32`` where the model rounds its inputs.

    Raises:
        MissingExtra: LightGBM is not installed.
        Refused: ``check.opens``.
    """

    def __init__(self, text: bytes, features: int, outputs: int, kind: str) -> None:
        self._free, held = library()
        self._type, self._size = _KINDS[kind]
        self._features, self._outputs = features, outputs
        self._handle = ctypes.c_void_p()
        rounds = ctypes.c_int()
        self._check(self._free.LGBM_BoosterLoadModelFromString(text, ctypes.byref(rounds), ctypes.byref(self._handle)))
        self._agree()
        config = ctypes.c_void_p()
        self._check(
            self._free.LGBM_BoosterPredictForMatSingleRowFastInit(
                self._handle, _NORMAL, 0, -1, self._type, features, b"num_threads=1", ctypes.byref(config)
            )
        )
        self._config = config
        # A pointer made once: 8 µs of trees are not worth letting another thread run, nor a new array.
        self._call = held.LGBM_BoosterPredictForMatSingleRowFast
        self._call.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p]
        self._count = ctypes.c_int64()
        self._out = (ctypes.c_double * outputs)()
        self._places = (ctypes.addressof(self._count), ctypes.addressof(self._out))
        self._lock = Lock()

    def one(self, row: bytes) -> Any:
        """One row: its output, or a tuple of them."""
        with self._lock:
            if self._call(self._config, row, *self._places):
                self._check(1)
            return self._out[0] if self._outputs == 1 else tuple(self._out)

    def many(self, rows: list[bytes]) -> list[Any]:
        """Many rows; each comes out as ``one`` gives it."""
        if len(rows) <= _FEW:
            return [self.one(row) for row in rows]
        count, out = ctypes.c_int64(), (ctypes.c_double * (len(rows) * self._outputs))()
        threads = b"num_threads=1" if len(rows) <= _ALONE else b""
        self._check(
            self._free.LGBM_BoosterPredictForMat(
                self._handle, b"".join(rows), self._type, len(rows), self._features, 1, _NORMAL, 0, -1, threads,
                ctypes.byref(count), out,
            )
        )  # fmt: skip
        if self._outputs == 1:
            return list(out)
        k = self._outputs
        return [tuple(out[i : i + k]) for i in range(0, len(out), k)]

    def _agree(self) -> None:
        features, classes = ctypes.c_int(), ctypes.c_int()
        self._check(self._free.LGBM_BoosterGetNumFeature(self._handle, ctypes.byref(features)))
        self._check(self._free.LGBM_BoosterGetNumClasses(self._handle, ctypes.byref(classes)))
        if (features.value, classes.value) != (self._features, self._outputs):
            raise Refused(
                "check.opens",
                f"the trees take {features.value} numbers and give {classes.value}, "
                f"the plan says {self._features} and {self._outputs}",
            )

    def _check(self, code: int) -> None:
        if code:
            said = self._free.LGBM_GetLastError().decode(errors="replace")
            raise Refused("check.opens", f"LightGBM refuses the model: {said[:200]}")

    def __del__(self) -> None:
        for name, free in (("_config", "LGBM_FastConfigFree"), ("_handle", "LGBM_BoosterFree")):
            held = self.__dict__.get(name)
            if held is not None and held.value:
                getattr(self._free, free)(held)
