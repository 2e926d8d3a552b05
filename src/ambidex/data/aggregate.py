"""Sums of columns by group, in one pass over files that are never loaded: counts, means, centred cross-products.

Each column is shifted by a mean of a sample before it is squared: raw sums of squares lose every digit of the
variance near 10⁹. A pass first takes every value for known and finite; the sums themselves say where that was wrong
(a count that falls short, a sum that is no number), and only what was wrong is summed again, with care.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as pt

from ambidex.data.lazy import ParquetColumns
from ambidex.data.sql import quote
from ambidex.data.tally import among, constant, is_known, real
from ambidex.stats.summaries import Moments

__all__ = ["Part", "Summed", "Tail", "summarise"]

Floats = npt.NDArray[np.float64]

UNSHIFTED = 1e3
"""A shift that misses a group's mean by more standard deviations than this is replaced by the mean, in another pass:
the variance has lost six digits of sixteen by then."""
TAILS = (0.002, 0.998)
"""Quantiles of the sample beyond which values are kept, for the quantiles .001 and .999 of all."""
TIED = 0.0005
"""A bound that more of the sample equals is only counted, not kept: it may be most of the column."""


@dataclass(frozen=True)
class Part:
    """What is summed together, over rows where all of its ``columns`` are known.

    Attributes:
        key: Name of the part.
        columns: Name -> SQL expression that gives a DOUBLE, or NULL where there is no value.
        beside: The same for columns that may lack values where the others have one.
        total: With units: True if a unit's rows are added up, False if they are averaged.
        tails: Keep the values beyond the quantiles .001 and .999.
    """

    key: str
    columns: Mapping[str, str]
    beside: Mapping[str, str] = field(default_factory=dict)
    total: bool = False
    tails: bool = False


@dataclass(frozen=True, eq=False)
class Tail:
    """The values of a part's first column beyond a bound, one row each.

    Attributes:
        bound: Values farther out than this are kept.
        at: How many equal it and are not kept.
        group: Which group, shape (k,).
        values: Columns, then the columns beside, shape (k, columns); NaN where there is none.
    """

    bound: float
    at: int
    group: npt.NDArray[np.int64]
    values: Floats


@dataclass(frozen=True, eq=False)
class Summed:
    """A part, group by group.

    Attributes:
        moments: Of columns and columns beside (``stand_in`` where one lacks a value) and, once any value is missing,
            for each column beside a column ``NAME missing`` of 0 and 1.
        stand_in: What stands where a column beside lacks a value, by name, group by group.
        least: Least value of the first column, over all groups; NaN unless tails were asked for.
        most: Its greatest; likewise.
        infinite: Infinite values of the part's columns.
        most_rows: Rows of the unit with the most.
        top: Values above; None unless asked for.
        low: Values below; None unless asked for, or where no value is below 0.
    """

    moments: tuple[Moments, ...]
    stand_in: Mapping[str, tuple[float, ...]]
    least: float
    most: float
    infinite: int = 0
    most_rows: int = 1
    top: Tail | None = None
    low: Tail | None = None


def summarise(
    columns: ParquetColumns,
    group: str,
    labels: Sequence[Sequence[Any]],
    parts: Sequence[Part],
    *,
    unit: str | None = None,
) -> dict[str, Summed]:
    """Sums of each part by group.

    Args:
        columns: The files.
        group: The column of the groups.
        labels: For each group the column's values that mean it.
        parts: What is summed.
        unit: Column of the units; their rows are brought together first, and units with two groups left out.
    """
    job = _Job(columns, group, [list(v) for v in labels], unit)
    try:
        job.prepare(parts)
        out = job.first(parts)
        return {p.key: out[p.key] for p in parts}
    finally:
        job.close()


class _Job:
    """One connection, the rows it sums, and what is known about them from a sample."""

    def __init__(self, columns: ParquetColumns, group: str, labels: list[list[Any]], unit: str | None) -> None:
        self.columns, self.group, self.labels, self.unit = columns, group, labels, unit
        self.connection = columns.connect()
        self.relation = columns.relation
        self.value = quote(group)
        self.expressions: dict[str, dict[str, str]] = {}
        self.guards: set[str] = set()

    def close(self) -> None:
        self.connection.close()

    def rows(self, statement: str) -> list[dict[str, Any]]:
        """A result, row by row; lists stay Arrow arrays, since they may be long."""
        found = self.connection.sql(statement).to_arrow_table()
        columns = {
            name: [v.values for v in column] if pt.is_list(column.type) else column.to_pylist()
            for name, column in zip(found.column_names, found.columns, strict=True)
        }
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def prepare(self, parts: Sequence[Part]) -> None:
        """Expressions of each part over the rows, or over the units, which are brought together here."""
        for p in parts:
            self.expressions[p.key] = {**p.columns, **p.beside}
        if self.unit is None:
            return
        u, g = quote(self.unit), self.value
        known = [v for values in self.labels for v in values]
        kept = f"{among(self.group, known)} AND {is_known(self.columns, self.unit)}"
        made = [f"min({g}) AS low_group", f"max({g}) AS high_group"]
        for i, p in enumerate(parts):
            own = {n: _finite(e) for n, e in p.columns.items()}
            there = " AND ".join(f"({e}) IS NOT NULL" for e in own.values())
            how = "sum" if p.total or len(own) > 1 else "avg"
            self.expressions[p.key] = {}
            for j, (name, e) in enumerate(own.items()):
                made.append(f"{how}({e}) FILTER ({there}) AS y{i}_{j}")
                self.expressions[p.key][name] = f"y{i}_{j}"
            made.append(f"count(*) FILTER ({there}) AS rows{i}")
            made.append(f"count_if({' OR '.join(f'isinf({e})' for e in p.columns.values())}) AS infinite{i}")
            for j, (name, e) in enumerate(p.beside.items()):
                made.append(f"avg({_finite(e)}) AS x{i}_{j}")
                self.expressions[p.key][name] = f"x{i}_{j}"
        self.connection.execute(
            f"CREATE TEMP TABLE units AS SELECT {', '.join(made)} FROM {self.relation} WHERE {kept} GROUP BY {u}"
        )
        self.relation = "(SELECT * FROM units WHERE low_group = high_group)"
        self.value = "low_group"

    def first(self, parts: Sequence[Part]) -> dict[str, Summed]:
        """All parts in one pass; what did not come out right again, with care."""
        look = self._look(parts)
        out, again = self._pass(parts, look, careful=False)
        if again:
            chosen = [p for p in parts if p.key in again]
            more, _ = self._pass(chosen, look, careful=True)
            out |= more
        out |= self._recentred([p for p in parts if not out[p.key].infinite], out, look)
        if self.unit is not None:
            asked = ", ".join(f"max(rows{i}) AS m{i}, sum(infinite{i})::BIGINT AS s{i}" for i, _ in enumerate(parts))
            found = self.rows(f"SELECT {asked} FROM {self.relation}")[0]
            for i, p in enumerate(parts):
                out[p.key] = replace(out[p.key], most_rows=found[f"m{i}"] or 0, infinite=found[f"s{i}"] or 0)
        return self._tails_found(parts, out, look)

    def _look(self, parts: Sequence[Part]) -> dict[str, dict[str, Any]]:
        """Shifts and tail bounds from a sample."""
        names = [e for p in parts for e in self.expressions[p.key].values()]
        if self.unit is None:
            wanted = [n for n in self.columns.column_names if any(quote(n) in e for e in names)]
            sample = self.columns.sample(wanted) if wanted else pa.table({"x": [0]})
            self.connection.register("looked_at", sample)
            source = "looked_at"
        else:
            source = "(SELECT * FROM units USING SAMPLE reservoir(32768 ROWS) REPEATABLE (0))"
        out: dict[str, dict[str, Any]] = {}
        every = list(dict.fromkeys(names))
        found = self.connection.sql(
            f"SELECT {', '.join(f'({_finite(e)})::DOUBLE AS c{i}' for i, e in enumerate(every))} FROM {source}"
        ).to_arrow_table()
        for i, e in enumerate(every):
            values = found.column(i).drop_null().to_numpy()
            values = values[np.isfinite(values)]
            if not len(values):
                out[e] = {"shift": 0.0, "top": np.inf, "low": -np.inf, "tied": False, "below": False}
                continue
            shift = float(values[0] + (values - values[0]).mean()) if np.ptp(values) else float(values[0])
            if (values == np.trunc(values)).all():
                shift = float(round(shift))  # sums of whole numbers stay exact
            low, top = np.quantile(values, TAILS, method="lower")
            below = bool(values.min() < 0)
            tied = max(float((values == bound).mean()) for bound in (low, top)) > TIED
            out[e] = {
                "shift": shift,
                "top": float(top),
                "low": float(low),
                "tied": tied,
                "below": below,
            }
        return out

    def _pass(
        self, parts: Sequence[Part], look: Mapping[str, Mapping[str, Any]], *, careful: bool
    ) -> tuple[dict[str, Summed], set[str]]:
        """One statement over all rows."""
        plan = _Statement(self, look, careful)
        for p in parts:
            plan.add(p)
        groups = self._grouped(plan.text())
        out, again = {}, set()
        for p in parts:
            summed, wrong = plan.read(p, groups)
            if wrong and not careful:
                again.add(p.key)
            out[p.key] = summed
        return out, again

    def _grouped(self, statement: str) -> list[list[dict[str, Any]]]:
        """Rows of the result by group; several values may mean one group."""
        place = {_key(v): i for i, values in enumerate(self.labels) for v in values}
        out: list[list[dict[str, Any]]] = [[] for _ in self.labels]
        for row in self.rows(statement):
            at = place.get(_key(row["g"]))
            if at is not None:
                out[at].append(row)
        return out

    def _recentred(
        self, parts: Sequence[Part], out: Mapping[str, Summed], look: dict[str, dict[str, Any]]
    ) -> dict[str, Summed]:
        """Again with each group's own mean for a shift, where the sample's was far from it."""
        far: dict[str, Part] = {}
        for p in parts:
            for k, e in enumerate(self.expressions[p.key].values()):
                means = [float(m.mean[k]) if m.n else 0.0 for m in out[p.key].moments]
                for m, mean in zip(out[p.key].moments, means, strict=True):
                    spread = np.sqrt(max(0.0, m.scatter[k, k]) / m.n) if m.n else 0.0
                    miss = abs(mean - look[e]["shift"]) if m.n else 0.0
                    if miss > UNSHIFTED * spread and miss > 0 and np.isfinite(miss):
                        far[p.key] = replace(p, tails=False)
                        look[e] = {**look[e], "shifts": tuple(means)}
        if not far:
            return {}
        again = self._pass(list(far.values()), look, careful=True)[0]
        return {
            k: replace(v, top=out[k].top, low=out[k].low, least=out[k].least, most=out[k].most)
            for k, v in again.items()
        }

    def _tails_found(
        self, parts: Sequence[Part], out: dict[str, Summed], look: dict[str, dict[str, Any]]
    ) -> dict[str, Summed]:
        """Tails that reach as far in as the quantiles do; by another pass where the sample misled."""
        short = []
        for p in parts:
            summed = out[p.key]
            n = sum(m.n for m in summed.moments)
            if not p.tails or summed.infinite or not n:
                out[p.key] = replace(summed, top=None, low=None)
                continue
            need = n - int(np.floor((n - 1) * 0.999))  # order statistics from the end
            ends = [summed.top, *([summed.low] if summed.least < 0 else [])]
            if any(tail is None or len(tail.values) + tail.at < need for tail in ends):
                short.append(p)
        if short:
            firsts = {p.key: next(iter(self.expressions[p.key].values())) for p in short}
            asked = ", ".join(f"approx_quantile({_finite(e)}, [{TAILS[0]}, {TAILS[1]}])" for e in firsts.values())
            found = self.connection.sql(f"SELECT {asked} FROM {self.relation}").fetchall()[0]
            for (low, top), e in zip(found, firsts.values(), strict=True):
                look[e] = {**look[e], "top": float(top), "low": float(low), "tied": True, "below": True}
            again = self._pass(short, look, careful=True)[0]
            for p in short:
                out[p.key] = replace(out[p.key], top=again[p.key].top, low=again[p.key].low)
        return {p.key: out[p.key] if out[p.key].least < 0 else replace(out[p.key], low=None) for p in parts}


class _Statement:
    """The SELECT of a pass, and how its columns are read back."""

    def __init__(self, job: _Job, look: Mapping[str, Mapping[str, Any]], careful: bool) -> None:
        self.job, self.look, self.careful = job, look, careful
        self.inner: dict[tuple[str, float | tuple[float, ...]], str] = {}
        self.sums: dict[str, str] = {}

    def _column(self, expression: str) -> str:
        """Name of a shifted column of the inner SELECT."""
        key = (expression, self.look[expression].get("shifts") or self.look[expression]["shift"])
        return self.inner.setdefault(key, f"v{len(self.inner)}")

    def _sum(self, expression: str) -> str:
        """Name of an aggregate; the same one is asked for once."""
        return self.sums.setdefault(expression, f"s{len(self.sums)}")

    def shifts(self, p: Part, group: int) -> Floats:
        """Shift of each column in a group."""
        seen = [self.look[e] for e in self.job.expressions[p.key].values()]
        return np.array([v["shifts"][group] if v.get("shifts") else v["shift"] for v in seen])

    def names(self, p: Part) -> tuple[list[str], list[str]]:
        """Inner names of the columns and of those beside."""
        inner = [self._column(e) for e in self.job.expressions[p.key].values()]
        return inner[: len(p.columns)], inner[len(p.columns) :]

    def terms(self, p: Part) -> list[str]:
        """What is multiplied with each other: with care, 0 for what is missing, and a column that says so."""
        own, beside = self.names(p)
        if not self.careful:
            return own + beside
        return [*own, *(f"coalesce({c}, 0)" for c in beside), *(f"({c} IS NULL)::DOUBLE" for c in beside)]

    def where(self, p: Part) -> str:
        """The FILTER of a part: rows where its columns are known."""
        own, _ = self.names(p)
        return " FILTER (" + " AND ".join(f"{c} IS NOT NULL" for c in own) + ")" if self.careful else ""

    def add(self, p: Part) -> None:
        """Ask for a part's sums."""
        own, beside = self.names(p)
        terms, where = self.terms(p), self.where(p)
        for c in own + beside:
            self._sum(f"count({c})")
        self._sum(f"count(*){where}")
        for i, a in enumerate(terms):
            self._sum(f"sum({a}){where}")
            for b in terms[i:]:
                self._sum(f"sum({a} * {b}){where}")
        for text in self._ends(p):
            self._sum(text)
        if p.tails:
            for text in self._tails(p):
                if text != "0":
                    self._sum(text)
        if self.careful:
            for e in list(self.job.expressions[p.key].values())[: len(own)]:
                self.inner.setdefault((f"isinf({e})", 0.0), f"v{len(self.inner)}")

    def _ends(self, p: Part) -> list[str]:
        """Least and greatest value, where they are needed and the tails will not tell them."""
        if not p.tails:
            return []
        first, where = self.names(p)[0][0], self.where(p)
        told = self.look[next(iter(self.job.expressions[p.key].values()))]
        low, top = f"min({first}){where}", f"max({first}){where}"
        if self.careful or not np.isfinite(told["top"]):
            return [low, top]
        return [] if told["below"] else [low]

    def _tails(self, p: Part) -> list[str]:
        own, beside = self.names(p)
        e = next(iter(self.job.expressions[p.key].values()))
        shift = self.look[e]["shift"]
        fields = ", ".join(f"f{i} := {c}" for i, c in enumerate([own[0], *beside]))
        kept = f"struct_pack({fields})" if beside else own[0]
        out = []
        for side, sign in (("top", ">"), ("low", "<")):
            bound = self.look[e][side]
            if not np.isfinite(bound) or (side == "low" and not self.look[e]["below"]):
                continue
            at = real(bound - shift)
            if self.look[e]["tied"]:
                out += [f"list({kept}) FILTER ({own[0]} {sign} {at})", f"count(*) FILTER ({own[0]} = {at})"]
            else:
                out += [f"list({kept}) FILTER ({own[0]} {sign}= {at})", "0"]
        return out

    def _shift(self, shift: float | tuple[float, ...]) -> str:
        if not isinstance(shift, tuple):
            return real(shift)
        pairs = [(v, x) for values, x in zip(self.job.labels, shift, strict=True) for v in values]
        return f"CASE {self.job.value} {' '.join(f'WHEN {constant(v)} THEN {real(x)}' for v, x in pairs)} END"

    def text(self) -> str:
        """The statement."""
        inner = []
        for (e, shift), name in self.inner.items():
            if e.startswith("isinf("):
                inner.append(f"{e} AS {name}")
                continue
            safe = _finite(e) if self.careful else e
            inner.append(f"({safe}) - {self._shift(shift)} AS {name}" if shift else f"{safe} AS {name}")
        outer = [f"{s} AS {name}" for s, name in self.sums.items()]
        outer += [f"count_if({name}) AS i{name}" for (e, _), name in self.inner.items() if e.startswith("isinf(")]
        return (
            f"SELECT g, {', '.join(outer)} FROM (SELECT {self.job.value} AS g, {', '.join(inner)} "
            f"FROM {self.job.relation}) GROUP BY g"
        )

    def read(self, p: Part, groups: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Summed, bool]:
        """A part from the result; and whether values were missing or not finite, so that it must be asked with care."""
        own, beside = self.names(p)
        terms, where = self.terms(p), self.where(p)
        names = tuple(self.job.expressions[p.key])
        if self.careful:
            names += tuple(f"{n} missing" for n in p.beside)
        wrong, moments = False, []
        least, most = [np.nan], [np.nan]
        for g, rows in enumerate(groups):
            whole = Moments.empty(names)
            shifts = np.append(self.shifts(p, g), np.zeros(len(terms) - len(own) - len(beside)))
            for row in rows:
                n = int(row[self.sums[f"count(*){where}"]])
                wrong |= any(row[self.sums[f"count({c})"]] != n for c in own + beside)
                if not n:
                    continue
                for found, text in ((least, f"min({own[0]}){where}"), (most, f"max({own[0]}){where}")):
                    value = row[self.sums[text]] if text in self._ends(p) else None
                    if value is not None:
                        found.append(value + shifts[0])
                sums = np.array([row[self.sums[f"sum({a}){where}"]] for a in terms], dtype=np.float64)
                cross = np.empty((len(terms), len(terms)))
                for i, a in enumerate(terms):
                    for j in range(i, len(terms)):
                        value = row[self.sums[f"sum({a} * {terms[j]}){where}"]]
                        cross[i, j] = cross[j, i] = np.nan if value is None else value
                wrong |= not (np.isfinite(sums).all() and np.isfinite(cross).all())
                with np.errstate(invalid="ignore"):
                    scatter = cross - np.outer(sums, sums) / n
                    part = Moments(names, n, shifts + sums / n, scatter)
                whole = whole + part
            moments.append(whole)
        every = [row for rows in groups for row in rows]
        infinite = (
            sum(int(row[f"i{self.inner[key]}"]) for row in every for key in self._infinite(p)) if self.careful else 0
        )
        places = list(enumerate(self.job.expressions[p.key]))
        top, low = self._read_tails(p, groups)
        for found, tail in ((least, low), (most, top)):
            if tail is not None and (len(tail.values) or tail.at):
                found += [*tail.values[:, 0].tolist(), *([tail.bound] if tail.at else [])]
        # A tail that holds nothing says nothing of its end.
        wrong |= p.tails and (len(least) == 1 or len(most) == 1)
        summed = Summed(
            tuple(moments),
            {name: tuple(self.shifts(p, g)[i] for g, _ in enumerate(groups)) for i, name in places if name in p.beside},
            float(np.fmin.reduce(least)),
            float(np.fmax.reduce(most)),
            infinite,
            top=top,
            low=low,
        )
        return summed, wrong

    def _infinite(self, p: Part) -> list[tuple[str, float]]:
        own = list(self.job.expressions[p.key].values())[: len(p.columns)]
        return [(f"isinf({e})", 0.0) for e in own]

    def _read_tails(self, p: Part, groups: Sequence[Sequence[Mapping[str, Any]]]) -> tuple[Tail | None, Tail | None]:
        if not p.tails:
            return None, None
        e = next(iter(self.job.expressions[p.key].values()))
        shifts = self.shifts(p, 0)
        kept = [0, *range(len(p.columns), len(shifts))]
        texts = self._tails(p)
        found: dict[str, Tail] = {}
        for i in range(0, len(texts), 2):
            side = "top" if " >" in texts[i] else "low"
            group, values, at = [], [], 0
            for g, rows in enumerate(groups):
                for row in rows:
                    at += 0 if texts[i + 1] == "0" else int(row[self.sums[texts[i + 1]]])
                    some = row[self.sums[texts[i]]]
                    if some is not None and len(some):
                        columns = some.flatten() if pt.is_struct(some.type) else [some]
                        values.append(np.column_stack([c.to_numpy(zero_copy_only=False) for c in columns]))
                        group.append(np.full(len(some), g, dtype=np.int64))
            array = np.concatenate(values).astype(np.float64) if values else np.empty((0, len(kept)))
            groups_ = np.concatenate(group) if group else np.empty(0, dtype=np.int64)
            found[side] = Tail(float(self.look[e][side]), at, groups_, array + shifts[kept])
        return found.get("top"), found.get("low")


def _finite(expression: str) -> str:
    """NULL for what is not a number."""
    return f"CASE WHEN isfinite({expression}) THEN {expression} END"


def _key(value: Any) -> Any:
    return ("bool", value) if isinstance(value, bool) else value
