"""A profile of a table that is not in memory: counts by DuckDB in two passes, shapes from a sample of rows.

What is counted is counted in all rows: missing cells, lowest and highest, labels of columns of few, repeats, sentinels,
zeros, negatives. How a column reads, and which columns say the same, is seen in rows spread over the files.
"""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as pt

from ambidex.data.coverage import Coverage, coverage
from ambidex.data.facts import ColumnFacts
from ambidex.data.lazy import ParquetColumns
from ambidex.data.oddities import FAR, FEW_FAR, HUGE, named_zeros, negatives
from ambidex.data.problems import Problem
from ambidex.data.sql import quote
from ambidex.data.table import Table
from ambidex.data.tally import is_known
from ambidex.insight.profile import Survey, counted_in, found_in, row_of
from ambidex.insight.profile_target import view_target
from ambidex.report.words import count

__all__ = ["survey_large"]

PLACES, ROWS = 16, 3_000
FEW = 1_000
"""Columns of so many different values or fewer are counted value by value, in all rows."""
SEEN_WHOLE = ("empty", "infinite", "blank-cells", "outliers", "stands-apart", "negative")
RECOUNTED = {"zero-unlikely": "zeros"}
SIGNS = (("zeros", "="), ("below", "<"))
PLACE = re.compile(r", first (?:on line|in row) [\d,]+")


def survey_large(table: Table, target: str | None) -> Survey:
    """Look at counts of all rows and at the cells of some."""
    columns: ParquetColumns = table.arrow
    some = replace(table, arrow=columns.sample(table.columns, places=PLACES, rows=ROWS), _cache={})
    seen = _counts(columns)
    facts = []
    for name in table.columns:
        whole = _by_value(columns, name) if seen[name]["unique"] <= FEW else None
        facts.append(_facts(columns, some, name, seen[name], whole))
    facts = [replace(f, role="target") if f.name == target else f for f in facts]
    repeats = _repeats(columns)
    times = [c for f in facts if f.type == "time" and (c := _coverage(columns, some, f.name)) is not None]
    # Between columns only the sample speaks; what counts rows there would count the sample's.
    between = found_in(some, [_sampled(f, some) for f in facts], 0, target, [])
    kept = [c for c in between if c.code in ("proportional", "twins", "adds-up", "leak")]
    found = [*counted_in(table, facts, repeats, times), *kept]
    view = view_target(some, [_sampled(f, some) for f in facts], target) if target is not None else None
    if view is not None:
        found = [*view.cautions, *found]
        facts = [replace(f, role="suspect") if f.name in view.suspects else f for f in facts]
    for f in facts:
        table._cache["facts", f.name] = f
    method = (
        f"Too large to load: cells without a value, extremes, repeats and labels were counted in all "
        f"{count(table.rows)} rows; different values of columns of many are estimated (HyperLogLog, mostly within 5%); "
        f"how columns read and go together was seen in {count(some.rows)} rows spread over the files."
    )
    rows = [{**row_of(some, _sampled(f, some)), **_extremes(f, seen[f.name])} for f in facts]
    return Survey(facts, repeats, view, found, times, rows, method)


def _counts(columns: ParquetColumns) -> dict[str, dict[str, Any]]:
    """Known cells, different values, extremes and infinities of each column: one pass."""
    asked = []
    for i, field in enumerate(columns.schema):
        c, known = quote(field.name), is_known(columns, field.name)
        floating = pt.is_floating(field.type)
        some = f" FILTER (WHERE isfinite({c}))" if floating else ""
        asked += [
            f"count_if({known}) AS known{i}",
            f"count({c}) AS cells{i}",
            f"approx_count_distinct({c}) AS unique{i}",
            f"min({c}){some} AS low{i}",
            f"max({c}){some} AS high{i}",
            f"count_if(isinf({c})) AS infinite{i}" if floating else f"0 AS infinite{i}",
        ]
        number = floating or pt.is_integer(field.type) or pt.is_decimal(field.type)
        asked += [f"count_if({c} {sign} 0){some} AS {kind}{i}" if number else f"0 AS {kind}{i}" for kind, sign in SIGNS]
    found = columns.query(f"SELECT {', '.join(asked)} FROM {columns.relation}").to_pylist()[0]
    kinds = ("known", "cells", "unique", "low", "high", "infinite", "zeros", "below")
    return {f.name: {k: found[f"{k}{i}"] for k in kinds} for i, f in enumerate(columns.schema)}


def _by_value(columns: ParquetColumns, name: str) -> tuple[pa.Array, np.ndarray[Any, Any]]:
    """Each different value and its rows, most frequent first."""
    c = quote(name)
    found = columns.query(
        f"SELECT {c} AS v, count(*) AS n FROM {columns.relation} WHERE {c} IS NOT NULL GROUP BY 1 ORDER BY 2 DESC, 1"
    )
    return found.column("v").combine_chunks(), found.column("n").to_numpy()


def _facts(
    columns: ParquetColumns, some: Table, name: str, seen: dict[str, Any], whole: tuple[pa.Array, Any] | None
) -> ColumnFacts:
    """The sample's reading of a column with the counts of all rows."""
    f = some.facts(name)
    rows = columns.num_rows
    missing = rows - int(seen["known"] or 0)
    if not seen["known"]:
        said: Problem = {"code": "empty", "text": f"`{name}` holds no value at all", "count": rows}
        return ColumnFacts(name, "empty", "constant", rows, 0, (said,), {}, 0.0, {})
    unique = int(seen["unique"]) if whole is None else len(whole[0])
    problems = [p for p in map(_unplaced, f.problems) if p["code"] not in SEEN_WHOLE]
    recounted = []
    for p in problems:
        counted = RECOUNTED.get(p["code"])
        recounted.append(_scaled(p, int(seen[counted] or 0) if counted else None, some.rows))
    if f.type in ("number", "integer") and f.role != "id":
        if isinstance(seen["low"], int | float | Decimal):
            recounted += negatives(name, int(seen["below"] or 0), float(seen["low"]), int(seen["known"]))
        named = named_zeros(name, int(seen["zeros"] or 0), int(seen["known"]))
        if named:
            recounted = [*(p for p in recounted if p["code"] != "zero-unlikely"), *named]
        recounted += _outliers(columns, some, name, seen)
    if seen["infinite"]:
        text = f"`{name}` holds {count(seen['infinite'])} infinite values; read as missing"
        recounted.insert(0, {"code": "infinite", "text": text, "count": int(seen["infinite"] or 0)})
    blank = int(seen["cells"] or 0) - int(seen["known"] or 0) - int(seen["infinite"] or 0)
    if blank > 0 and not pt.is_floating(columns.schema.field(name).type):
        text = f"`{name}` holds {count(blank)} blank cells; read as missing"
        recounted.insert(0, {"code": "blank-cells", "text": text, "count": blank})
    levels = dict(f.levels)
    if whole is None and f.type == "category":  # of the few labels of the sample there are many in all
        f, levels = replace(f, type="text", role="text" if f.role == "category" else f.role), {}
    if whole is not None and f.type in ("category", "boolean"):
        from ambidex.data.spelling import spell

        texts = spell(whole[0]).to_pylist()
        levels = {t: int(n) for t, n in zip(texts, whole[1], strict=True) if t is not None and t.strip()}
        unique = len(levels)
    role = f.role
    if role == "constant" and unique > 1:
        role = "category" if f.type in ("category", "boolean") else "feature"
    if role == "id" and f.type == "integer" and unique < 0.05 * rows and not _named(name):
        role = "feature"
    unique = min(unique, int(seen["known"] or 0))
    return replace(f, role=role, missing=missing, unique=unique, problems=tuple(recounted), levels=levels)


def _named(name: str) -> bool:
    from ambidex.data.facts import named_as_key

    return named_as_key(name)


def _unplaced(p: Problem) -> Problem:
    """Without the row of the sample in which it was seen first."""
    return {"code": p["code"], "text": PLACE.sub("", p["text"]), "count": p["count"]}


def _recount(columns: ParquetColumns, name: str, condition: str) -> int:
    found = columns.query(f"SELECT count_if({quote(name)} {condition}) FROM {columns.relation}")
    return int(found.column(0)[0].as_py())


def _outliers(columns: ParquetColumns, some: Table, name: str, seen: dict[str, Any]) -> list[Problem]:
    """Extremes of all rows against the bulk of the sample."""
    size = np.abs(some.number(name))
    size = size[~np.isnan(size)]
    usual = float(np.quantile(size, 0.999)) if len(size) >= 1000 else 0.0
    ends = [float(v) for v in (seen["low"], seen["high"]) if isinstance(v, int | float | Decimal)]
    if not usual or not ends or (most := max(ends, key=abs)) == 0 or abs(most) <= FAR * usual:
        return []
    condition = f"BETWEEN {-FAR * usual!r} AND {FAR * usual!r}"
    rows = int(seen["known"] or 0) - _recount(columns, name, condition) - int(seen["infinite"] or 0)
    if rows > max(5, FEW_FAR * int(seen["known"])) and abs(most) < HUGE * usual:
        return []
    text = (
        f"`{name}` is far out in {count(rows)} row{'' if rows == 1 else 's'}, up to {most:,.6g}, where 99.9% of the "
        f"values are within about {usual:,.6g}"
    ).replace("-", "−")
    return [{"code": "outliers", "text": text, "count": rows}]


def _scaled(p: Problem, rows: int | None, sampled: int) -> Problem:
    """A problem with its count in all rows, or said to be of the sample."""
    if rows is None:
        return {"code": p["code"], "text": f"{p['text']} (in {count(sampled)} rows looked at)", "count": p["count"]}
    text = re.sub(r"in [\d,]+ rows?", f"in {count(rows)} rows", p["text"], count=1)
    return {"code": p["code"], "text": text, "count": rows}


def _repeats(columns: ParquetColumns) -> int:
    """Rows that repeat an earlier one, by a hash of 64 bits of all cells: of 10⁸ rows, .0003 pairs collide."""
    cells = ", ".join(quote(n) for n in columns.column_names)
    found = columns.query(
        f"SELECT count(*) - count(DISTINCT h) FROM (SELECT hash({cells}) AS h FROM {columns.relation})"
    )
    return int(found.column(0)[0].as_py())


def _coverage(columns: ParquetColumns, some: Table, name: str) -> Coverage | None:
    """From rows per day, counted in all rows; for a column of texts, from the sample."""
    kind = columns.schema.field(name).type
    c = quote(name)
    if pt.is_string(kind):  # only the usual way to write them, by day
        found = columns.query(f"SELECT count({c}) AS n, count(TRY_CAST({c} AS TIMESTAMP)) AS t FROM {columns.relation}")
        if found.column("t")[0].as_py() < 0.99 * found.column("n")[0].as_py():
            return None
        c = f"TRY_CAST({c} AS TIMESTAMP)"
    elif not (pt.is_timestamp(kind) or pt.is_date(kind)):
        return None
    found = columns.query(
        f"SELECT {c}::DATE AS d, count(*) AS n FROM {columns.relation} WHERE {c} IS NOT NULL GROUP BY 1 ORDER BY 1"
    )
    days = found.column("d").to_numpy().astype("datetime64[us]")
    return coverage(name, days, found.column("n").to_numpy())


def _sampled(f: ColumnFacts, some: Table) -> ColumnFacts:
    """The facts as the sample alone has them, with the role of all."""
    role = f.role if f.role in ("target", "id") else some.facts(f.name).role
    return replace(some.facts(f.name), role=role)


def _extremes(f: ColumnFacts, seen: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {"missing": f.missing, "unique": f.unique, "role": f.role}
    if f.type in ("number", "integer") and isinstance(seen["low"], int | float):
        out |= {"lowest": float(seen["low"]), "highest": float(seen["high"])}
    elif f.type == "time":
        out |= {"lowest": str(seen["low"])[:19], "highest": str(seen["high"])[:19]}
    return out
