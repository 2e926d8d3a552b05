"""The compiled form of a model: a plan in JSON and, for trees, a LightGBM text. No pickle, no code.

``compiled.json`` in a bundle says how the model is served: ``compiled``, with the plan and the proof that it gives
what the model gives, or ``fallback``, with the step that has no compiled form. The model itself stays in the bundle.

A plan's scorer is ``trees``, ``linear``, ``additive`` or ``difference`` of two such (uplift), and its ``link`` makes
outputs of sums. Opening it writes Python (``compiled_source``) and, for trees, loads LightGBM's library through
``edges/lightgbm_c.py``; it imports neither numpy nor the library that fitted the model.
"""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ambidex.bundle.compiled_additive import additive_of
from ambidex.bundle.compiled_source import encoder_of, expit, linear_of, softmax
from ambidex.errors import Refused
from ambidex.ports import Score
from ambidex.records import Schema

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["FORMAT", "PLAN", "TREES", "CompiledScorer", "open_compiled", "require_library", "runtime_of"]

FORMAT = "ambidex-compiled/1"
PLAN, TREES = "compiled.json", "compiled/model.txt"
_OPEN_TREES = "ambidex.edges.lightgbm_c:Trees"
"""Named, not imported: a step that stands above, and only models of trees need it."""
_BATCH = 10_000

One = Callable[[Any], Any]
Many = Callable[[Sequence[Any]], Sequence[Any]]


class CompiledScorer:
    """A model on its compiled way. Pure, deterministic, safe in threads.

    Args:
        schema: What it takes and gives.
        one: A row whose attributes ``c0``, ``c1``, … are the columns -> its output.
        many: Many such rows; the same outputs.
        encode: The first half of ``one``, a row to its numbers, where there are two.
        finish: The second half.
    """

    def __init__(
        self, schema: Schema, one: One, many: Many, encode: One | None = None, finish: One | None = None
    ) -> None:
        self.schema = schema
        self.encode, self.finish = encode, finish
        self.score_record = one
        self.score_records = many
        self._names = schema.names
        self._record: Any = _record_class(len(self._names))

    def score(self, row: Mapping[str, Any]) -> Score:
        """One decoded row."""
        record = self._record()
        for place, name in enumerate(self._names):
            value = row.get(name)
            setattr(record, f"c{place}", None if value is None or value != value else value)
        score: Score = self.score_record(record)
        return score

    def score_columns(self, columns: Mapping[str, Any], rows: int) -> npt.NDArray[np.float64]:
        """Many rows, column by column. Shape (rows,) or (rows, classes)."""
        import numpy as np

        given = [columns.get(name) for name in self._names]
        out: list[Any] = []
        for start in range(0, rows, _BATCH):
            end = min(rows, start + _BATCH)
            records = [self._record() for _ in range(start, end)]
            for place, values in enumerate(given):
                name = f"c{place}"
                for record, value in zip(records, _plain(values, start, end), strict=True):
                    setattr(record, name, value)
            out += self.score_records(records)
        made = np.asarray(out, dtype=np.float64)
        return made if rows else made.reshape((0, len(self.schema.classes)) if self._several else (0,))

    @property
    def _several(self) -> bool:
        return self.schema.task == "multiclass"


def open_compiled(files: Mapping[str, bytes]) -> CompiledScorer:
    """The compiled scorer of a bundle.

    Args:
        files: The bundle's files, verified.

    Raises:
        Refused: ``check.opens`` if there is no plan, or one that this program does not know.
        MissingExtra: The library that executes the trees is not installed.
    """
    plan = json.loads(files[PLAN]) if PLAN in files else {}
    if plan.get("format") != FORMAT or plan.get("runtime") != "compiled":
        raise Refused("check.opens", "the bundle has no compiled form")
    return scorer_of(plan["plan"], Schema.from_json(json.loads(files["model.json"])["schema"]), files)


def require_library(files: Mapping[str, bytes]) -> None:
    """Find the library that executes a bundle's trees, if it has any; nothing of the bundle is given to it.

    Raises:
        MissingExtra: It is not installed.
    """
    if TREES in files:
        importlib.import_module(_OPEN_TREES.partition(":")[0]).library()


def scorer_of(plan: Mapping[str, Any], schema: Schema, files: Mapping[str, bytes]) -> CompiledScorer:
    """A plan as a scorer; ``files`` hold ``model.json`` and the trees."""
    one, many, encode, finish = _sums(plan["scorer"], files)
    link = _LINKS.get(plan["link"])
    if link is None:
        raise Refused("check.opens", f"the compiled form has a link that is not known: {str(plan['link'])[:40]!r}")
    if plan["link"] == "identity":
        return CompiledScorer(schema, one, many, encode, finish)
    linked = (lambda numbers: link(finish(numbers))) if finish is not None else None
    return CompiledScorer(schema, lambda r: link(one(r)), lambda rows: [link(v) for v in many(rows)], encode, linked)


def runtime_of(files: Mapping[str, bytes]) -> tuple[str, str]:
    """How a bundle's model is served: (``compiled`` or ``fallback``, why)."""
    if PLAN not in files:
        return "fallback", "the version was made before models were compiled; train or package it again"
    plan = json.loads(files[PLAN])
    return str(plan["runtime"]), str(plan["reason"])


def _sums(scorer: Mapping[str, Any], files: Mapping[str, bytes]) -> tuple[One, Many, One | None, One | None]:
    """What the link is applied to, for one row and for many; the halves of the first, where it has two."""
    match scorer["kind"]:
        case "trees":
            features = scorer["features"]
            encode = encoder_of(features, scorer["numbers"])
            module, _, name = _OPEN_TREES.partition(":")
            opened = getattr(importlib.import_module(module), name)
            trees = opened(files[scorer["file"]], len(features), scorer["outputs"], scorer["numbers"])
            ask, ask_many = trees.one, trees.many
            return lambda r: ask(encode(r)), lambda rows: ask_many([encode(r) for r in rows]), encode, ask
        case "linear":
            one = linear_of(scorer["outputs"])
        case "additive":
            model = json.loads(files["model.json"])
            one = additive_of(model, Schema.from_json(model["schema"]).names)
        case "difference":
            model = json.loads(files["model.json"])
            names = Schema.from_json(model["schema"]).names
            first, second = (additive_of(model[part], names) for part in ("treated", "control"))

            def one(record: Any) -> float:
                return first(record) - second(record)
        case other:
            raise Refused("check.opens", f"the compiled form is of a kind that is not known: {str(other)[:40]!r}")
    return one, lambda rows: [one(r) for r in rows], None, None


def _normalised(values: Sequence[float]) -> tuple[float, ...]:
    shares = [expit(v) for v in values]
    total = sum(shares)
    return tuple(s / total for s in shares) if total else tuple(1.0 / len(shares) for _ in shares)


def _exp(value: float) -> float:
    return math.exp(value) if value < 709.0 else math.inf


_LINKS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda v: v,
    "expit": expit,
    "complement": lambda v: 1.0 - v,
    "expit-complement": lambda v: 1.0 - expit(v),
    "softmax": softmax,
    "one-against-rest": _normalised,
    "exp": _exp,
}


def _record_class(count: int) -> type:
    return type("Record", (), {"__slots__": tuple(f"c{i}" for i in range(count))})


def _plain(values: Any, start: int, end: int) -> list[Any]:
    """A stretch of a column as Python values, None where missing."""
    if values is None:
        return [None] * (end - start)
    some = values[start:end]
    return [None if v is None or v != v else v for v in (some.tolist() if hasattr(some, "tolist") else some)]
