"""Metrics of an experiment: what a SPEC says, and the column's values as numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ambidex.data.numbers import MISSING_WORDS, parse
from ambidex.data.spelling import spell
from ambidex.data.table import Table
from ambidex.data.tally import count_groups
from ambidex.errors import DataError, NotFound, UsageError, did_you_mean

__all__ = [
    "Guardrail", "Metric", "Values", "levels_of", "parse_guardrail", "parse_metric", "read_outcome", "read_values",
]  # fmt: skip

Floats = NDArray[np.float64]
Kind = Literal["mean", "share", "count", "ratio", "trials", "quantile"]

FORMS = "`col`, `col:mean`, `col:share`, `col=LABEL:share`, `col:count`, `col:q90`, `num/den`, `num/den:share`"
QUANTILE = re.compile(r"q(\d{1,2}(?:\.\d{1,3})?)")
YES = ("yes", "y", "true", "t")
NO = ("no", "n", "false", "f")
WORDS = 12
"""Levels of a column of yes and no: two words, in a few spellings, and words for missing."""
NEGATION = re.compile(r"\b(?:not|no|non|never|without|none|un)\b|n't\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Metric:
    """One measured outcome.

    Attributes:
        spec: As given.
        kind: ``mean``, ``share`` (of yes), ``count`` (mean of counts), ``ratio`` (of two sums), ``trials``
            (rows hold counts of yes and of trials) or ``quantile``.
        column: The column, or the numerator.
        per: The denominator of ``ratio`` and ``trials``.
        label: Shown name.
        q: The quantile's share, in (0, 1), for ``quantile``.
        value: Label that counts as yes, for a ``share`` of a column of labels.
    """

    spec: str
    kind: Kind
    column: str
    per: str | None
    label: str
    q: float | None = None
    value: str | None = None

    @property
    def is_share(self) -> bool:
        """True if its values are shares of one, shown in per cent and points."""
        return self.kind in ("share", "trials")


@dataclass(frozen=True, slots=True)
class Guardrail:
    """A metric that must not get worse by more than a margin.

    Attributes:
        metric: What is guarded.
        margin: Below 0: it may fall by no more; above 0: it may rise by no more. In the metric's unit.
    """

    metric: Metric
    margin: float


@dataclass(frozen=True, slots=True)
class Values:
    """A column as numbers.

    Attributes:
        values: Shape (rows,); NaN where missing.
        yes_no: True if the column holds yes and no (true and false, 1 and 0), read as 1 and 0.
        unread: Cells that hold something else than a number and count as missing.
        example: The first of those.
    """

    values: Floats
    yes_no: bool
    unread: int = 0
    example: str = ""


def parse_metric(table: Table, spec: Any, *, option: str = "metric") -> Metric:
    """Read one SPEC against the table.

    Raises:
        UsageError: ``usage.metric`` if it has no form that works, ``usage.type`` if it is no text.
        NotFound: ``data.no-column``.
        DataError: If the column's values do not fit the kind.
    """
    if not isinstance(spec, str):
        raise UsageError(
            "usage.type",
            f"{option} must be text such as 'spend:mean', not {type(spec).__name__} {spec!r:.60}",
            do=f"{option}='COLUMN'",
        )
    if not spec.strip():
        raise UsageError("usage.metric", f"{option} is an empty text", found=f"what works: {FORMS}")
    body, kind = spec, ""
    if spec not in table.columns and ":" in spec:
        body, kind = spec.rsplit(":", 1)
    q = QUANTILE.fullmatch(kind)
    if kind not in ("", "mean", "share", "count") and not (q and 0 < float(q[1]) < 100):
        raise UsageError(
            "usage.metric",
            f"metric `{spec}` ends in `:{kind}`, which is not a kind",
            found=f"what works: {FORMS}",
            do=f"--{option} {body}:mean",
        )
    if body not in table.columns and "/" in body:
        numerator, per = body.split("/", 1)
        if kind not in ("", "share") or not numerator or not per:
            raise UsageError("usage.metric", f"metric `{spec}` is not a ratio that works", found=f"what works: {FORMS}")
        table.require(numerator)
        table.require(per)
        return Metric(spec, "trials" if kind else "ratio", numerator, per, body)
    if body not in table.columns and "=" in body and kind in ("", "share"):
        return _of_label(table, spec, *body.split("=", 1))
    table.require(body)
    if q:
        return Metric(spec, "quantile", body, None, f"{body} ({kind})", float(q[1]) / 100)
    if kind:
        value = _negated(table, body) if kind == "share" else None
        return Metric(spec, kind, body, None, body, value=value)  # type: ignore[arg-type]  # checked above
    return Metric(spec, "share" if _says_yes_no(table, body) else "mean", body, None, body)


def _of_label(table: Table, spec: str, column: str, label: str) -> Metric:
    """``plan=gold:share``."""
    table.require(column)
    labels = sorted(v for v in levels_of(table, column) if v.strip())
    if label not in labels:
        near = did_you_mean(label, labels)
        raise NotFound(
            "data.no-label",
            f"`{column}` has no label {label!r}{near}",
            where=f"{table.name}, column {column}",
            found=", ".join(labels[:8]) + (f", … ({len(labels):,} labels)" if len(labels) > 8 else ""),
            do=f"--metric '{column}={near.split('`')[1] if near else labels[0] if labels else 'LABEL'}:share'",
        )
    return Metric(spec, "share", column, None, f"{column} = {label}", value=label)


def _negated(table: Table, column: str) -> str | None:
    """The yes of two labels of which one negates: ``Purchased`` beside ``Did not purchase``."""
    labels = [v for v in levels_of(table, column, most=12) if not _is_missing(v)]
    if len(labels) != 2:
        return None
    denied = [v for v in labels if NEGATION.search(v)]
    if len(denied) != 1 or any(v.strip().lower() in (*YES, *NO, "0", "1", "0.0", "1.0") for v in labels):
        return None
    return next(v for v in labels if v not in denied)


def levels_of(table: Table, column: str, *, most: int | None = None) -> list[str]:
    """The different values of a column as text; none if there are more than ``most``."""
    if table.is_large:
        levels = [v for v in spell(table.arrow.different(column, most)).to_pylist() if v is not None]
    else:
        levels = table.spelled(column).dictionary_encode().dictionary.to_pylist()
    return [] if most is not None and len(levels) > most else levels


def yes_no_levels(table: Table, column: str) -> dict[Any, float] | None:
    """What each value of a column of yes and no means, without reading the column; None if it says something else."""
    seen = spell(table.arrow.sample([column], places=1, rows=256).column(0)).unique().drop_null().to_pylist()
    if len(seen) > WORDS or (seen and _meaning(seen) is None):
        return None
    raw = table.arrow.different(column, WORDS)
    levels = [(v, t) for v, t in zip(raw.to_pylist(), spell(raw).to_pylist(), strict=True) if t is not None]
    meaning = _meaning([t for _, t in levels]) if len(levels) <= WORDS else None
    return None if meaning is None else {v: m for (v, _), m in zip(levels, meaning, strict=True)}


def labels_mean(table: Table, column: str) -> tuple[dict[str, float], int, int, list[str]]:
    """A column of few texts as numbers, without reading it whole.

    Returns:
        What each text means, NaN for nothing; cells that are no number; cells that are; examples of the first.
    """
    counted = count_groups(table.arrow, column)
    rows = {v: n for v, n in zip(counted.column(0).to_pylist(), counted.column(1).to_pylist(), strict=True) if v}
    levels = list(rows)
    parsed = parse(pa.array(levels, pa.string()))
    if parsed.infinite.any():
        raise _infinite(table, column, int(parsed.infinite.sum()), levels[int(parsed.infinite.argmax())], "")
    words = [v for v, good in zip(levels, parsed.number, strict=True) if not good and not _is_missing(v)]
    found = sum(rows[v] for v, good in zip(levels, parsed.number, strict=True) if good)
    return dict(zip(levels, parsed.values.tolist(), strict=True)), sum(rows[w] for w in words), found, words


def _says_yes_no(table: Table, column: str) -> bool:
    if not table.is_large:
        return read_values(table, column).yes_no
    return yes_no_levels(table, column) is not None


def read_outcome(table: Table, metric: Metric) -> Values:
    """A metric's column as numbers: as ``read_values``, or 1 where the label is the one that counts."""
    if metric.value is None:
        return read_values(table, metric.column)
    codes = table.spelled(metric.column).dictionary_encode()
    meaning = [math.nan if _is_missing(v) else float(v == metric.value) for v in codes.dictionary.to_pylist()]
    lookup = np.array([*meaning, math.nan])
    return Values(lookup[codes.indices.fill_null(len(meaning)).to_numpy(zero_copy_only=False)], True)


def parse_guardrail(table: Table, spec: Any) -> Guardrail:
    """Read ``SPEC:MARGIN``.

    Raises:
        UsageError: ``usage.metric`` without a margin, or with 0.
    """
    text = spec if isinstance(spec, str) else ""
    body, _, margin = text.rpartition(":")
    try:
        size = float(margin)
    except ValueError:
        size = math.nan
    if not body or not math.isfinite(size) or size == 0:
        raise UsageError(
            "usage.metric",
            f"guardrail {spec!r:.80} needs a margin other than 0 at its end",
            found="below 0: may fall by no more than this; above 0: may rise by no more",
            do="--guardrail COLUMN:share:-0.01",
        )
    return Guardrail(parse_metric(table, body, option="guardrail"), size)


def read_values(table: Table, column: str) -> Values:
    """A column as numbers, yes and no as 1 and 0.

    Raises:
        DataError: ``data.all-missing``, ``data.infinite``, or ``data.column-type`` if most of it is no number.
    """
    flags = _yes_no(table, column)
    if flags is not None:
        return flags
    numbers = table.number(column)
    text = table.spelled(column)
    unread = np.isnan(numbers) & text.is_valid().to_numpy(zero_copy_only=False)
    if not unread.any():
        return _some(table, column, Values(numbers, False))
    rows = np.flatnonzero(unread)
    cells = text.take(rows)
    infinite = parse(cells).infinite
    if infinite.any():
        first = int(np.flatnonzero(infinite)[0])
        raise _infinite(table, column, int(infinite.sum()), str(cells[first].as_py()), f", row {int(rows[first]) + 1}")
    words = [(int(r), str(v)) for r, v in zip(rows, cells.to_pylist(), strict=True) if not _is_missing(v)]
    found = int((~np.isnan(numbers)).sum())
    if len(words) > found:
        raise column_type_error(table, column, [w for _, w in words], len(words), found)
    example = f"{words[0][1]!r} in row {words[0][0] + 1}" if words else ""
    return _some(table, column, Values(numbers, False, len(words), example))


def column_type_error(table: Table, column: str, words: Sequence[Any], unread: int, found: int) -> DataError:
    """A column of text has no mean."""
    return DataError(
        "data.column-type",
        f"`{column}` is text, so it has no mean",
        where=f"{table.name}, column {column}",
        found=f"{_sample([str(w) for w in words])} ({unread:,} cells that are not numbers, {found:,} that are)",
        do="name a column of numbers, or one that holds yes and no",
    )


def _infinite(table: Table, column: str, count: int, found: str, row: str) -> DataError:
    return DataError(
        "data.infinite",
        f"`{column}` holds {count:,} infinite value{'' if count == 1 else 's'}",
        where=f"{table.name}{row}",
        found=found,
        do="leave those rows out, or cap them, with a SELECT",
    )


def _some(table: Table, column: str, values: Values) -> Values:
    if np.isnan(values.values).all():
        raise DataError(
            "data.all-missing",
            f"`{column}` holds no value at all",
            where=f"{table.name}, column {column}",
            found=f"{table.rows:,} rows, all missing",
            do=f"ambidex profile {table.source or 'TABLE'}",
        )
    return values


def _yes_no(table: Table, column: str) -> Values | None:
    """Values 1 and 0 if the column says yes and no in one of the usual ways, else None."""
    codes = table.spelled(column).dictionary_encode()
    meaning = _meaning(codes.dictionary.to_pylist()) if len(codes.dictionary) <= WORDS else None
    if meaning is None:
        return None
    lookup = np.array([*meaning, math.nan])
    return Values(lookup[codes.indices.fill_null(len(meaning)).to_numpy(zero_copy_only=False)], True)


def _meaning(levels: Sequence[str]) -> list[float] | None:
    """1 for yes, 0 for no, NaN for a word that stands for missing; None if a level is none of them."""
    meaning, families = [], set()
    for level in levels:
        word = level.strip().lower()
        if _is_missing(level):
            meaning.append(math.nan)
        elif word in YES or word in NO:
            families.add("words")
            meaning.append(float(word in YES))
        elif word in ("0", "1", "0.0", "1.0"):
            families.add("digits")
            meaning.append(float(word))
        else:
            return None
    return meaning if len(families) == 1 else None


def _is_missing(cell: str | None) -> bool:
    return cell is None or cell.strip().lower() in MISSING_WORDS


def _sample(words: Sequence[str]) -> str:
    return ", ".join(repr(w) for w in list(dict.fromkeys(words))[:3])
