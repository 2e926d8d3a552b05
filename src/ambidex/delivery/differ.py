"""What differs between two versions: rows, code, schema, figures, and what they say of the same newest rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambidex.bundle.open import OpenBundle
from ambidex.data.table import Table
from ambidex.delivery import release
from ambidex.delivery.gate_checks import changed
from ambidex.delivery.gates import score_rows
from ambidex.delivery.material import Material, outcome
from ambidex.delivery.references import resolve
from ambidex.delivery.train import losses
from ambidex.errors import AmbidexError
from ambidex.ports import Place
from ambidex.records import VersionRecord
from ambidex.report.answer import Mark, Result
from ambidex.stats.compare import paired_mean
from ambidex.stats.estimate import finite

__all__ = ["diff_versions"]

Lines = list[tuple[Mark, str]]
MOST_ROWS = 50_000


def diff_versions(place: Place, reference: str, other: str) -> Result:
    """What differs between two versions; both are scored on the newest data.

    Raises:
        NotFound: ``data.no-model``, ``data.no-version``.
    """
    names = [resolve(place.store, r, default="live") for r in (reference, other)]
    records = [place.store.version(*n) for n in names]
    a, b = (release.open_version(place, *n) for n in names)
    nothing = {"rows": 0, "changed": None, "decisions": None, "largest": None, "why": ""}
    data: dict[str, Any] = {
        "versions": [r.ref for r in records],
        "data": _data(records, a, b),
        "code": _code(records, a, b),
        "schema": schema_diff(a, b),
        "metrics": [{"version": r.ref, **o.evaluation} for r, o in zip(records, (a, b), strict=True)],
        "predictions_changed": nothing,
        "newest": None,
    }
    try:
        material, _, _ = release.newest(place, names[0][0], a.recipe)
        rows = material.table.head(MOST_ROWS)
        mine, theirs = score_rows(a, rows), score_rows(b, rows)
        data["predictions_changed"] = _moved(a, mine, theirs, rows)
        data["newest"] = _newest(a, b, material)
    except AmbidexError as error:
        data["predictions_changed"] = {**nothing, "why": error.message}
    return Result(verb="models", data=data, lines=tuple(_lines(data, a, b)))


def _data(records: list[VersionRecord], a: OpenBundle, b: OpenBundle) -> dict[str, Any]:
    left, right = (np.frombuffer(o.files["rows.u64"], dtype=np.uint64) for o in (a, b))
    shared = _common(left, right)
    sides = [
        {"fingerprint": r.data, "rows": o.lineage["data"]["rows"], "source": o.lineage["data"]["source"]}
        for r, o in zip(records, (a, b), strict=True)
    ]
    return {
        "from": records[0].data, "to": records[1].data, "same": records[0].data == records[1].data, "sides": sides,
        "shared_rows": shared, "only_from": len(left) - shared, "only_to": len(right) - shared,
    }  # fmt: skip


def _common(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> int:
    values, counts = np.unique(left, return_counts=True)
    others, theirs = np.unique(right, return_counts=True)
    _, i, j = np.intersect1d(values, others, assume_unique=True, return_indices=True)
    return int(np.minimum(counts[i], theirs[j]).sum())


def _code(records: list[VersionRecord], a: OpenBundle, b: OpenBundle) -> dict[str, Any]:
    recipes = [o.recipe.to_json() for o in (a, b)]
    keys = recipes[0].keys() | recipes[1].keys()
    different = sorted(k for k in keys if recipes[0].get(k) != recipes[1].get(k))
    entries = [{n: e["sha256"] for n, e in o.manifest["files"].items() if n.startswith("code/")} for o in (a, b)]
    files = sorted(n for n in entries[0].keys() | entries[1].keys() if entries[0].get(n) != entries[1].get(n))
    worlds = [{**o.lineage.get("environment", {}), "ambidex": o.lineage.get("ambidex")} for o in (a, b)]
    libraries = {
        n: [worlds[0].get(n), worlds[1].get(n)]
        for n in sorted(worlds[0].keys() | worlds[1].keys())
        if worlds[0].get(n) != worlds[1].get(n)
    }
    return {
        "from": records[0].code, "to": records[1].code, "same": records[0].code == records[1].code,
        "estimators": [a.recipe.estimator, b.recipe.estimator], "recipe": different, "files": files,
        "libraries": libraries,
    }  # fmt: skip


def schema_diff(a: OpenBundle, b: OpenBundle) -> dict[str, list[str]]:
    """Columns that only one takes, and those that each takes otherwise."""
    left, right = ({c.name: c for c in o.schema.columns} for o in (a, b))
    return {
        "added": sorted(right.keys() - left.keys()),
        "removed": sorted(left.keys() - right.keys()),
        "changed": sorted(
            n
            for n in left.keys() & right.keys()
            if (left[n].type, left[n].nullable) != (right[n].type, right[n].nullable)
        ),
        "levels": sorted(n for n in left.keys() & right.keys() if set(left[n].levels) != set(right[n].levels)),
        "classes": [] if a.schema.classes == b.schema.classes else [" or ".join(b.schema.classes)],
    }


def _moved(a: OpenBundle, mine: NDArray[Any], theirs: NDArray[Any], rows: Table) -> dict[str, Any]:
    gap = np.abs(theirs - mine).reshape(rows.rows, -1).max(axis=1) if rows.rows else np.empty(0)
    flips, words = changed(theirs, mine, a.schema, a.evaluation.get("base_rate") if a.schema.classes else None)
    return {
        "rows": rows.rows, "changed": int((gap > 1e-9).sum()), "decisions": int(flips.sum()),
        "share": float(flips.mean()) if rows.rows else None, "what": words, "largest": float(gap.max(initial=0.0)),
        "median": float(np.median(gap)) if rows.rows else None,
    }  # fmt: skip


def _newest(a: OpenBundle, b: OpenBundle, material: Material) -> dict[str, Any] | None:
    """Both versions' losses on the newest held-out rows, and the difference with its interval."""
    if a.recipe.task == "segments":
        return None
    rows = material.table.take(material.held_out)
    y, spread = outcome(rows, a.recipe), a.evaluation["spread"]
    left, right = (losses(y, score_rows(o, rows), a.recipe.task, spread=spread) for o in (a, b))
    e = paired_mean(right - left, name="loss")
    return {
        "rows": rows.rows, "losses": [float(left.mean()), float(right.mean())], "difference": finite(e.value),
        "low": finite(e.low), "high": finite(e.high),
    }  # fmt: skip


def _lines(data: Mapping[str, Any], a: OpenBundle, b: OpenBundle) -> Lines:
    first, second = data["versions"]
    rows, code, moved, newest = data["data"], data["code"], data["predictions_changed"], data["newest"]
    words = {k: v for k, v in data["schema"].items() if v}
    lines: Lines = [
        ("✓", f"{first} and {second}: {'the same' if rows['same'] else 'different'} data, "
              f"{'the same' if code['same'] else 'different'} code"),
        (" ", f"data       {rows['from']} | {rows['to']}: {rows['shared_rows']:,} rows in both, "
              f"{rows['only_from']:,} | {rows['only_to']:,} in one"),
        (" ", f"code       {code['from']} | {code['to']}" + _in_code(code)),
        (" ", "schema     " + ("; ".join(f"{k} {', '.join(v)}" for k, v in words.items()) or "the same")),
        (" ", f"figure     {a.evaluation['metric']} {_figure(a)} | {_figure(b)}, each on its own held-out rows"),
    ]  # fmt: skip
    if newest is not None:
        left, right = newest["losses"]
        span = "" if newest["low"] is None else f" ({newest['low']:+.4f} to {newest['high']:+.4f})"
        apart = f"{newest['difference']:+.4f}{span}".replace("-", "−")
        text = f"loss       {left:.4f} | {right:.4f} on the newest {newest['rows']:,} held-out rows, difference {apart}"
        lines.append((" ", text))
    if moved["decisions"] is None:
        lines.append(("▲", f"outputs    cannot be compared: {moved['why']}"))
    else:
        lines.append((" ", f"outputs    {moved['changed']:,} of {moved['rows']:,} newest rows differ, largest gap "
                           f"{moved['largest']:.3g}; {moved['decisions']:,} {moved['what']}"))  # fmt: skip
    return [(mark, text.replace(" -", " −")) for mark, text in lines]


def _in_code(code: Mapping[str, Any]) -> str:
    told = []
    if code["recipe"]:
        told.append(f"recipe differs in {', '.join(code['recipe'])}")
    if code["files"]:
        told.append(f"{len(code['files'])} files differ")
    if code["libraries"]:
        told.append("libraries " + ", ".join(f"{k} {v[0]} → {v[1]}" for k, v in code["libraries"].items()))
    return ": " + "; ".join(told) if told else ""


def _figure(o: OpenBundle) -> str:
    value = o.evaluation["value"]
    return "no figure" if value is None else f"{value:.4g}"
