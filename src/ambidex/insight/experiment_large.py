"""An experiment on files that are never loaded: the same readings, from sums that DuckDB makes in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow.types as pt
from numpy.typing import NDArray

from ambidex.data.aggregate import Part, Summed, Tail, summarise
from ambidex.data.numbers import MISSING_WORDS, PLAIN
from ambidex.data.spelling import spell
from ambidex.data.table import Table
from ambidex.data.tally import (
    count_cells,
    count_groups,
    count_units,
    indicator_expression,
    label_expression,
    number_expression,
    text_expression,
)
from ambidex.errors import DataError
from ambidex.insight.experiment_covariates import labels_kept, named
from ambidex.insight.experiment_metrics import Metric, column_type_error, labels_mean, levels_of, yes_no_levels
from ambidex.insight.experiment_reading import (
    CAP,
    Capped,
    Reading,
    check_denominators,
    check_sizes,
    check_varies,
    misfit,
    no_share,
    ratio_levels,
    ratio_names,
    trial_levels,
)
from ambidex.insight.experiment_units import Assignment, LargeAssignment, arms_of, one_arm_error
from ambidex.stats.compare import Level, mean_level, share_level
from ambidex.stats.summaries import Moments

__all__ = ["assign_large", "read_large"]

Floats = NDArray[np.float64]

FEW = 64
"""Labels up to this many are read one by one, as a table in memory reads them; more texts by the pattern of numbers."""


@dataclass(frozen=True, eq=False)
class _Column:
    """A column as an expression.

    Attributes:
        sql: Gives a DOUBLE.
        yes_no: Yes and no as 1 and 0.
        unread: Cells that are no numbers, with an example.
    """

    sql: str
    yes_no: bool
    unread: tuple[int, str] = (0, "")


def assign_large(table: Table, group: str, unit: str | None) -> Assignment:
    """Arms of the units, counted in one pass over the columns of arms and units."""
    columns = table.arrow
    found = count_groups(columns, table.require(group))
    texts = spell(found.column("value")).to_pylist()
    rows = found.column("rows").to_pylist()
    values: dict[str, list[Any]] = {}
    total: dict[str, int] = {}
    for text, value, n in zip(texts, found.column("value").to_pylist(), rows, strict=True):
        if text is not None and text.strip():
            values.setdefault(text, []).append(value)
            total[text] = total.get(text, 0) + n
    labels = arms_of(table, group, sorted(total))
    crossed: tuple[str, ...] = ()
    counts = [total[label] for label in labels]
    unassigned = table.rows - sum(counts)
    if unit is not None:
        every = [v for label in labels for v in values[label]]
        units, twice = count_units(columns, group, every, table.require(unit))
        per = dict(zip(spell(units.column("value")).to_pylist(), units.column("units").to_pylist(), strict=True))
        counts = [int(per.get(label, 0)) for label in labels]
        crossed = tuple(sorted(v for v in spell(twice.column("unit")).to_pylist()))
        seen = sum(units.column("rows").to_pylist()) + sum(twice.column("rows").to_pylist())
        unassigned = table.rows - int(seen)
    if sum(n > 0 for n in counts) < 2:
        raise one_arm_error(table, group, labels, counts, crossed)
    kept = [i for i, n in enumerate(counts) if n]
    return LargeAssignment(
        table,
        group,
        unit,
        labels=tuple(labels[i] for i in kept),
        counts=tuple(counts[i] for i in kept),
        unassigned=unassigned,
        crossed=crossed,
        values=tuple(tuple(values[labels[i]]) for i in kept),
    )


def read_large(
    table: Table, metrics: Sequence[Metric], who: LargeAssignment, covariates: Sequence[str]
) -> dict[str, Reading]:
    """Readings of several metrics, by SPEC."""
    wanted = {m.spec: m for m in metrics}
    summed = {s: m for s, m in wanted.items() if m.kind != "quantile"}
    read: dict[str, _Column] = {}
    for m in summed.values():
        for name, value in ((m.column, m.value), (m.per, None)):
            key = _key(name, value)
            if name is not None and key not in read:
                try:
                    read[key] = _column(table, name, value)
                except DataError as e:
                    if m.kind == "share" and e.code == "data.column-type":
                        raise no_share(table, m, np.empty(0)) from e
                    raise
    beside = _beside(table, covariates, who)
    parts = []
    for m in summed.values():
        top = read[_key(m.column, m.value)]
        if m.kind == "share" and not top.yes_no:
            raise no_share(table, m, table.select([m.column]).head(1000).number(m.column))
        own = {m.column: top.sql}
        if m.per is not None:
            own = dict(zip(ratio_names(m), (top.sql, read[_key(m.per, None)].sql), strict=True))
        parts.append(Part(m.spec, own, beside, total=m.kind == "count", tails=m.kind in ("mean", "count")))
    _check_whole(table, list(summed.values()), read)
    sums = summarise(table.arrow, who.group, who.values, parts, unit=who.unit_column) if parts else {}
    out = {}
    for spec, m in wanted.items():
        if m.kind == "quantile":
            from ambidex.insight.experiment_data import read_rows

            out[spec] = read_rows(table, m, who, covariates)
        else:
            out[spec] = _reading(table, m, who, read, sums[spec], tuple(beside))
    return out


def _key(name: str | None, value: str | None) -> str:
    return f"{name}={value!r}"


def _column(table: Table, name: str, value: str | None) -> _Column:
    """A column of a metric as numbers, by the rules of ``read_values``."""
    columns = table.arrow
    kind = columns.schema.field(name).type
    if value is not None:
        gone: dict[str, float | None] = dict.fromkeys(
            v for v in levels_of(table, name) if v.strip().lower() in MISSING_WORDS
        )
        return _Column(label_expression(name, {**gone, value: 1.0}, otherwise=0.0), True)
    if pt.is_boolean(kind):
        return _Column(number_expression(columns, name), True)
    if not pt.is_string(kind):
        if pt.is_temporal(kind):
            raise column_type_error(table, name, table.head(3).text(name).tolist(), table.rows, 0)
        return _Column(number_expression(columns, name), yes_no_levels(table, name) is not None)
    levels = levels_of(table, name, most=FEW)
    words = yes_no_levels(table, name)
    if words is not None:
        return _Column(label_expression(name, words), True)
    if levels:
        meaning, unread, found, examples = labels_mean(table, name)
        if unread > found:
            raise column_type_error(table, name, examples, unread, found)
        return _Column(label_expression(name, meaning), False, (unread, examples[0] if examples else ""))
    sql = text_expression(name, PLAIN)
    quoted = ", ".join(f"'{w}'" for w in MISSING_WORDS)
    counted = columns.query(
        f"SELECT count({sql}) AS found, count_if(({sql}) IS NULL AND lower(trim(x)) NOT IN ({quoted})) AS unread, "
        f"min(x) FILTER (({sql}) IS NULL AND lower(trim(x)) NOT IN ({quoted})) AS example "
        f'FROM (SELECT *, "{name.replace(chr(34), chr(34) * 2)}" AS x FROM {columns.relation})'
    ).to_pylist()[0]
    if counted["unread"] > counted["found"]:
        raise column_type_error(table, name, [counted["example"]], counted["unread"], counted["found"])
    return _Column(sql, False, (counted["unread"], repr(counted["example"]) if counted["unread"] else ""))


def _beside(table: Table, covariates: Sequence[str], who: LargeAssignment) -> dict[str, str]:
    """Covariates as expressions."""
    out: dict[str, str] = {}
    for name in covariates:
        kind = table.arrow.schema.field(table.require(name)).type
        labels = pt.is_string(kind) and yes_no_levels(table, name) is None
        if labels:
            levels = levels_of(table, name, most=FEW)
            labels = not levels or labels_mean(table, name)[2] == 0
        if not labels and not pt.is_temporal(kind):
            out[name] = _column(table, name, None).sql
            continue
        cells = count_cells(table.arrow, who.group, name)
        known = {v for values in who.values for v in values}
        tally: dict[str | None, int] = {}
        raw: dict[str, Any] = {}
        pairs = zip(
            cells.column("value").to_pylist(),
            spell(cells.column("other")).to_pylist(),
            cells.column("other").to_pylist(),
            cells.column("rows").to_pylist(),
            strict=True,
        )
        for value, text, other, n in pairs:
            if value in known:
                label = text if text is not None and text.strip() else None
                tally[label] = tally.get(label, 0) + n
                if label is not None:
                    raw[label] = other
        for label in labels_kept(tally):
            out[named(name, label)] = indicator_expression(table.arrow, name, None if label is None else raw[label])
    return out


def _check_whole(table: Table, metrics: Sequence[Metric], read: Mapping[str, _Column]) -> None:
    """Counts are whole numbers from 0, and no more yes than trials."""
    asked: list[tuple[Metric, str, str]] = []
    for m in metrics:
        top = read[_key(m.column, m.value)].sql
        if m.kind in ("count", "trials"):
            asked.append((m, f"({top}) < 0 OR ({top}) <> floor({top})", "counts are whole numbers from 0"))
        if m.kind == "trials":
            below = read[_key(m.per, None)].sql
            text = "yes and trials are whole numbers, and no more yes than trials"
            asked.append((m, f"({below}) < 0 OR ({below}) <> floor({below}) OR ({top}) > ({below})", text))
    if not asked:
        return
    counted = ", ".join(f"count_if(isfinite({read[_key(m.column, m.value)].sql}) AND ({c}))" for m, c, _ in asked)
    found = table.arrow.query(f"SELECT {counted} FROM {table.arrow.relation}").to_pylist()[0].values()
    for (m, _, text), n in zip(asked, found, strict=True):
        if n:
            raise _misfit(table, m, text)


def _misfit(table: Table, m: Metric, text: str) -> DataError:
    head = table.select([m.column]).head(1000)
    return misfit(head, m, head.number(m.column), text)


def _reading(
    table: Table,
    m: Metric,
    who: LargeAssignment,
    read: Mapping[str, _Column],
    summed: Summed,
    beside: tuple[str, ...],
) -> Reading:
    columns = [read[_key(m.column, m.value)], *([read[_key(m.per, None)]] if m.per is not None else [])]
    if summed.infinite:
        raise DataError(
            "data.infinite",
            f"`{m.column}` holds {summed.infinite:,} infinite value{'' if summed.infinite == 1 else 's'}",
            where=f"{table.name}, column {m.column}",
            found="inf",
            do="leave those rows out, or cap them, with a SELECT",
        )
    if not sum(part.n for part in summed.moments):
        raise DataError(
            "data.all-missing",
            f"`{m.column}` holds no value at all",
            where=f"{table.name}, column {m.column}",
            found=f"{table.rows:,} rows, all missing",
            do=f"ambidex profile {table.source or 'TABLE'}",
        )
    sizes = [part.n for part in summed.moments]
    check_sizes(table, m, who, sizes)
    outcome: tuple[str, ...] = ratio_names(m) if m.per is not None else (m.column,)
    moments, names, fill = _filled(summed, outcome, beside)
    missing = tuple(n - k for n, k in zip(who.counts, sizes, strict=True))
    unread = (sum(c.unread[0] for c in columns), next((c.unread[1] for c in columns if c.unread[1]), ""))
    several = who.unit_column is not None and summed.most_rows > 1
    plain = Reading(m, (), None, (), missing, unread, False, moments, outcome, names)
    if m.per is not None:
        totals = [part.mean_of(outcome[1]) * part.n for part in moments]
        check_denominators(table, m, who, totals)
        if m.kind == "trials" and who.unit_column is None:
            above = [part.mean_of(outcome[0]) * part.n for part in moments]
            yes = tuple((round(a), round(b)) for a, b in zip(above, totals, strict=True))
            return replace(plain, levels=trial_levels(table, m, yes), yes=yes)
        return replace(plain, levels=ratio_levels(table, m, moments))
    least, most = summed.least, summed.most
    if m.kind == "share":  # its ends were not asked for: it varies if it does within an arm or between them
        means = [part.mean_of(m.column) for part in moments]
        varies = any(part.variance(m.column) > 0 for part in moments)
        least, most = (0.0, 1.0) if varies else (min(means), max(means))
    check_varies(table, m, least, most, sum(sizes))
    if m.kind == "share" and not several:
        yes = tuple((round(part.mean_of(m.column) * part.n), part.n) for part in moments)
        return replace(plain, levels=tuple(share_level(x, n) for x, n in yes), yes=yes)
    if m.kind == "share" and all(_is_yes_no(part, m.column) for part in moments):
        yes = tuple((round(part.mean_of(m.column) * part.n), part.n) for part in moments)
        return replace(plain, levels=tuple(share_level(x, n) for x, n in yes), yes=yes, averaged=True)
    levels: tuple[Level, ...] = tuple(mean_level(part, m.column) for part in moments)
    capped = None if summed.top is None else _capped(m, summed, moments, beside, fill)
    return replace(plain, levels=levels, averaged=several and m.kind != "count", capped=capped)


def _is_yes_no(part: Moments, column: str) -> bool:
    """Σx² = Σx over values in [0, 1] only if each is 0 or 1."""
    k = part.names.index(column)
    squares = part.scatter[k, k] + part.n * part.mean[k] ** 2
    return bool(abs(squares - part.n * part.mean[k]) < 1e-9 * max(1.0, squares))


def _filled(
    summed: Summed, outcome: Sequence[str], beside: Sequence[str]
) -> tuple[tuple[Moments, ...], tuple[str, ...], dict[str, float]]:
    """Moments with the pooled mean where a covariate lacks a value.

    The column with its stand-in, plus the column that says where it stands times what the mean has more than it: a
    linear map of columns, so of their moments.
    """
    names, fill = list(outcome), {}
    for name in beside:
        pairs = [
            (m.n, m.mean_of(name), m.mean_of(f"{name} missing") if f"{name} missing" in m.names else 0.0, stand)
            for m, stand in zip(summed.moments, summed.stand_in[name], strict=True)
        ]
        known = sum(n * (1 - share) for n, _, share, _ in pairs)
        if known < 0.5:
            continue  # no unit has a value
        names.append(name)
        if any(share > 0 for _, _, share, _ in pairs):
            about = pairs[0][3]
            fill[name] = (
                about
                + sum(n * ((mean - stand) + (1 - share) * (stand - about)) for n, mean, share, stand in pairs) / known
            )
            names.append(f"{name} missing")
    out = []
    for g, m in enumerate(summed.moments):
        place = {name: i for i, name in enumerate(m.names)}
        turn = np.zeros((len(names), len(m.names)))
        for i, name in enumerate(names):
            turn[i, place[name]] = 1.0
            if name in fill:
                turn[i, place[f"{name} missing"]] = fill[name] - summed.stand_in[name][g]
        out.append(Moments(tuple(names), m.n, turn @ m.mean, turn @ m.scatter @ turn.T))
    return tuple(out), tuple(names[len(outcome) :]), fill


def _capped(
    m: Metric, summed: Summed, moments: Sequence[Moments], beside: Sequence[str], fill: Mapping[str, float]
) -> Capped | None:
    """The same sums with the values beyond the bounds set to them: only those few rows enter anew."""
    n = sum(part.n for part in moments)
    top = _quantile(summed.top, n, CAP, high=True)
    bottom = summed.least if summed.low is None else _quantile(summed.low, n, 1 - CAP, high=False)
    moved = [np.zeros(len(part.names)) for part in moments]  # what cross-products about the old means gain
    total = np.zeros(len(moments))
    beyond = 0
    for tail, bound in ((summed.top, top), (summed.low, bottom)):
        if tail is None:
            continue
        out = tail.values[:, 0] > bound if tail is summed.top else tail.values[:, 0] < bound
        beyond += int(out.sum())
        for g, part in enumerate(moments):
            rows = tail.values[out & (tail.group == g)]
            step = bound - rows[:, 0]
            old = _row_columns(rows, part.names, beside, fill) - part.mean
            moved[g] += step @ old
            moved[g][0] += step @ old[:, 0] + step @ step
            total[g] += step.sum()
    if not beyond:
        return None
    pooled = sum(part.mean_of(m.column) * part.n for part in moments) / n
    largest = max((summed.least, summed.most), key=lambda v: abs(v - pooled))
    return Capped(top, bottom, beyond, largest, tuple(map(_moved, moments, moved, total.tolist())))


def _row_columns(rows: Floats, names: Sequence[str], beside: Sequence[str], fill: Mapping[str, float]) -> Floats:
    """The columns of moments for single rows."""
    columns = {names[0]: rows[:, 0]}
    for i, name in enumerate(beside, start=1):
        absent = np.isnan(rows[:, i])
        columns[name] = np.where(absent, fill.get(name, 0.0), rows[:, i])
        columns[f"{name} missing"] = absent.astype(np.float64)
    return np.column_stack([columns[name] for name in names])


def _moved(part: Moments, moved: Floats, total: float) -> Moments:
    """Moments after the first column moved by ``total`` in all; ``moved`` is about the old means."""
    mean, scatter = part.mean.copy(), part.scatter.copy()
    mean[0] += total / part.n
    scatter[0, 0] += moved[0] - total**2 / part.n
    scatter[0, 1:] += moved[1:]
    scatter[1:, 0] += moved[1:]
    return Moments(part.names, part.n, mean, scatter)


def _quantile(tail: Tail | None, n: int, q: float, *, high: bool) -> float:
    """As ``numpy.quantile``, from the values of one end."""
    assert tail is not None
    place = (n - 1) * q
    low = int(np.floor(place))
    values = np.sort(tail.values[:, 0])

    def at(i: int) -> float:
        k = i - (n - len(values)) if high else i
        return float(values[k]) if 0 <= k < len(values) else tail.bound

    first, second = at(low), at(min(low + 1, n - 1))
    return first + (second - first) * (place - low)
