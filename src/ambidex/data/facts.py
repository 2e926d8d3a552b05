"""What a column is and what is wrong with it. The one place that detects; all others quote it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from ambidex.data.cells import Cells
from ambidex.data.numbers import Parsed
from ambidex.data.problems import Problem, mixed_types, number_problems, text_problems, time_problems

if TYPE_CHECKING:
    from ambidex.data.table import Table

__all__ = ["ColumnFacts", "Role", "Type", "column_facts"]

Type = Literal["number", "integer", "category", "text", "time", "boolean", "empty"]
Role = Literal["id", "feature", "constant", "time", "money", "category", "text", "target-like", "target", "suspect"]

FEW = 20  # so many levels are a category however short the table
MANY = 1000  # more are text or ids
SHARE = 0.2  # of the rows: a category repeats its levels
TIME_SHARE = 0.8  # of the known values read as times make a time column
NUMBER_SHARE = 0.5  # of the known values read as numbers make a number column

KEY_NAME = re.compile(r"(?:^|[_\-. ])(?:id|uid|uuid|guid|key)$|[a-z](?:ID|Id|UUID|Uuid|Key)$", re.ASCII)
SOMEBODY = re.compile(
    r"^(?:user|customer|client|account|session|order|member|visitor|device|person)_?(?:id|no|nr|number)$"
)
MONEY_NAME = re.compile(
    r"price|cost|charge|revenue|spend|spent|amount|amt|salary|income|balance|fee(?:s|$|_)|dollar|turnover"
    r"|payment|(?:^|_)(?:bill|usd|eur|gbp|sales|profit|value|money|limit_bal)(?:_|$|\d)|[$€£]"
)

NOT_MONEY = re.compile(
    r"idx|index|score|ratio|percent|%|(?:^|_)(?:rate|type|flag|count|method|date|days?|month|payments|share)(?:_|$)"
)


ROW_NAMES = frozenset(("id", "uuid", "key", "rownames", "rowname", "row_names", "row_number", "rownum", "unnamed: 0"))
"""What tables call their rows: keys, and what R and pandas write in front of them."""

CODE_NAME = re.compile(
    r"(?:^|[_\-. ])(?:zip|zip_?code|post_?code|postal_?code|plz|area_?code|id)$|(?-i:[a-z](?:ID|Id|Zip|Code)$)", re.I
)
CODES = 20
"""Different values from which whole numbers under such a name are labels of places or things, not amounts."""


OUTCOME_NAME = re.compile(
    r"(?:^|[_. ])(?:churn(?:ed)?|default(?:ed)?|convert(?:ed)?|conversion|survived|fraud|response|responded|target"
    r"|label|outcome|class|y|cancell?ed|purchased?|bought|left|clicked|attrition|exited)(?:$|[_. ])"
)


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """One column, as the profile shows it and as questions use it.

    Attributes:
        name: Column name.
        type: ``number``, ``integer``, ``category``, ``text``, ``time``, ``boolean`` or ``empty``.
        role: ``id``, ``feature`` (a quantity), ``constant``, ``time``, ``money``, ``category`` (labels, and whole
            numbers that are codes, such as zip codes), ``text``,
            ``target-like`` (yes and no under the name of an outcome); ``target`` and ``suspect`` (known only after the
            fact?) are set by the question.
        missing: Cells without a value: empty, blank, and in a number or time column the words that
            stand for missing and whatever else could not be read.
        unique: Different values, missing ones not counted.
        problems: ``{code, text, count}`` each; the text names column and count.
        levels: Label -> rows, most frequent first, for categories and Booleans; else empty.
        numeric_share: Share of the known values that are numbers.
        not_numbers: Text -> rows that could not be read as a number, in a number column.
    """

    name: str
    type: Type
    role: Role
    missing: int
    unique: int
    problems: tuple[Problem, ...]
    levels: dict[str, int]
    numeric_share: float
    not_numbers: dict[str, int]

    @property
    def is_code(self) -> bool:
        """True for whole numbers that name places or things, such as zip codes: labels, not amounts."""
        return self.type == "integer" and self.role == "category"

    def to_dict(self) -> dict[str, Any]:
        """The object of ``columns`` in the JSON contract."""
        return {
            "name": self.name,
            "type": self.type,
            "role": self.role,
            "missing": self.missing,
            "unique": self.unique,
            "problems": [dict(p) for p in self.problems],
        }


def column_facts(table: Table, name: str) -> ColumnFacts:
    """Type, role and problems of a column.

    A column is a number if at least half of its known values read as numbers; what does not read is
    counted and named, never dropped silently.

    Example:
        >>> from ambidex.data.read import read
        >>> facts = read(pa.table({"age": ["41", "two", "3", None]})).facts("age")
        >>> facts.type, facts.missing, facts.not_numbers
        ('integer', 2, {'two': 1})
    """
    found = _facts(table, name)
    said = tuple(Problem(code=p["code"], text=visible(p["text"]), count=p["count"]) for p in found.problems)
    return replace(found, problems=said)


def visible(text: str) -> str:
    """The text with control characters written out, so that a cell cannot steer a terminal.

    >>> visible("a\\x1b[31m")
    'a\\\\x1b[31m'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _facts(table: Table, name: str) -> ColumnFacts:
    kind = table.column(name).type
    if pt.is_boolean(kind):
        return _labels(table, name, table.cells(name), "boolean", 0.0, ())
    if pt.is_timestamp(kind) or pt.is_date(kind):
        return _times(table, name, None)
    if pt.is_integer(kind) or pt.is_floating(kind) or pt.is_decimal(kind):
        return _typed_numbers(table, name)
    return _texts(table, name)


def _texts(table: Table, name: str) -> ColumnFacts:
    cells, parsed = table.cells(name), table.parsed(name)
    numbers_only = bool(len(parsed.number)) and bool(parsed.number.all())
    if not numbers_only and not cells.known:
        problems = text_problems(name, cells, table.first_line, labels=False)
        return _empty(name, problems, table.rows)
    words = np.zeros(len(cells.levels), dtype=bool) if numbers_only else cells.is_word
    unknown = cells.count(words | parsed.blank)
    known = cells.known_rows - unknown
    readable = parsed.number | parsed.infinite
    share = cells.count(readable) / known if known else 0.0
    coded = _coded(cells, parsed)
    compact = share == 1.0 and not coded and _compact_dates(cells, parsed)
    if share >= NUMBER_SHARE and not coded and not compact:
        return _text_numbers(table, name, cells, parsed, share)
    if known and (compact or (share < NUMBER_SHARE and cells.looks_like_time)):
        times = table.times(name)
        if compact or times.read.sum() >= TIME_SHARE * known:
            return _times(table, name, cells)
    folded = set(cells.known_texts(limit=8))
    if folded and folded <= {"true", "false"}:
        return _labels(table, name, cells, "boolean", share, text_problems(name, cells, table.first_line))
    distinct = cells.distinct
    mixed = mixed_types(name, cells, parsed, table.first_line)
    if distinct <= FEW or distinct <= min(MANY, SHARE * known):
        problems = (*text_problems(name, cells, table.first_line), *mixed)
        return _labels(table, name, cells, "category", share, problems)
    problems = (*text_problems(name, cells, table.first_line, labels=False), *mixed)
    missing = cells.rows - cells.known_rows + cells.count(parsed.blank)
    role: Role = "id" if _is_text_id(name, cells, known) else "text"
    return ColumnFacts(name, "text", role, missing, distinct, problems, {}, share, {})


def _text_numbers(table: Table, name: str, cells: Cells, parsed: Parsed, share: float) -> ColumnFacts:
    whole = parsed.number & (np.trunc(parsed.values) == parsed.values)
    integer = bool(whole[parsed.number].all()) and not parsed.pointed[parsed.number].any()
    missing = cells.rows - cells.count(parsed.number)
    words = cells.is_word if not parsed.number.all() else np.zeros(len(parsed.number), dtype=bool)
    odd = ~parsed.number & ~parsed.infinite & ~parsed.blank
    values, counts = parsed.values[parsed.number], cells.counts[parsed.number]
    unique = len(np.unique(values))
    problems = number_problems(
        name,
        values,
        counts,
        cells=cells,
        parsed=parsed,
        words=words,
        first_line=table.first_line,
    )
    role = _number_role(table, name, values, missing)
    kind: Type = "integer" if integer else "number"
    if not unique:
        return _empty(name, problems, table.rows)
    return ColumnFacts(name, kind, role, missing, unique, problems, {}, share, cells.tally(odd))


def _typed_numbers(table: Table, name: str) -> ColumnFacts:
    column = table.column(name)
    integer = pt.is_integer(column.type)
    numbers = table.number(name)
    known = ~np.isnan(numbers)
    values, counts = np.unique(numbers[known], return_counts=True)
    raw = column.cast(pa.float64(), safe=False).to_numpy() if pt.is_floating(column.type) else numbers
    infinite = int(np.isinf(raw).sum())
    missing = table.rows - int(known.sum())
    problems = number_problems(name, values, counts, infinite=infinite)
    if not len(values):
        return _empty(name, problems, table.rows)
    role = _number_role(table, name, values, missing)
    kind: Type = "integer" if integer else "number"
    return ColumnFacts(name, kind, role, missing, len(values), problems, {}, 1.0, {})


def _times(table: Table, name: str, cells: Cells | None) -> ColumnFacts:
    times = table.times(name)
    read = int(times.read.sum())
    unique = len(np.unique(times.values[times.read]))
    if not read:
        return _empty(name, (), table.rows)
    problems = time_problems(name, times, cells, table.first_line)
    role: Role = "constant" if unique == 1 and read == table.rows else "time"
    return ColumnFacts(name, "time", role, table.rows - read, unique, problems, {}, 0.0, {})


def _labels(
    table: Table, name: str, cells: Cells, kind: Type, share: float, problems: tuple[Problem, ...]
) -> ColumnFacts:
    blank = cells.is_blank
    missing = cells.rows - cells.known_rows + cells.count(blank)
    levels = cells.tally(~blank)
    if not levels:
        return _empty(name, problems, cells.rows)
    role: Role = "target-like" if len(levels) == 2 and OUTCOME_NAME.search(_snake(name)) else "category"
    if len(levels) == 1 and not missing:
        role = "constant"
    elif kind == "category" and _is_text_id(name, cells, cells.rows - missing):
        role = "id"
    return ColumnFacts(name, kind, role, missing, len(levels), problems, levels, share, {})


def _empty(name: str, problems: tuple[Problem, ...], rows: int) -> ColumnFacts:
    said: Problem = {"code": "empty", "text": f"`{name}` holds no value at all", "count": rows}
    return ColumnFacts(name, "empty", "constant", rows, 0, (said, *problems), {}, 0.0, {})


def _number_role(table: Table, name: str, values: Any, missing: int) -> Role:
    """``values`` are the different finite values."""
    unique = len(np.unique(values))
    if unique == 1 and not missing:
        return "constant"
    if (values == np.trunc(values)).all() and _is_number_id(table, name, missing, unique):
        return "id"
    if unique >= CODES and (values == np.trunc(values)).all() and code_name(name):
        return "category"
    snake = _snake(name)
    if unique == 2 and OUTCOME_NAME.search(snake):
        return "target-like"
    if unique > 10 and MONEY_NAME.search(snake) and not NOT_MONEY.search(snake):
        return "money"
    return "feature"


def _is_number_id(table: Table, name: str, missing: int, unique: int) -> bool:
    known = table.rows - missing
    named = named_as_key(name)
    if named and unique > 50 and (unique >= 0.05 * known or names_somebody(name)):
        return True
    if unique < known or known < FEW:
        return named and unique == known and known > 1
    numbers = table.number(name)
    numbers = numbers[~np.isnan(numbers)]
    steps = np.diff(numbers)
    if (steps == 1).all() and numbers[0] in (0, 1):  # a row number
        return True
    # Without a key's name: unique, and either in file order or sparse over a wide range, in a table long
    # enough that amounts and ages would have repeated.
    sorted_ = bool((steps > 0).all() or (steps < 0).all())
    return known >= MANY and (sorted_ or bool(np.ptp(numbers) > 20 * known and numbers.min() >= 0))


def _is_text_id(name: str, cells: Cells, known: int) -> bool:
    distinct = cells.distinct
    if known < 2 or distinct < 2:
        return False
    if named_as_key(name):
        return distinct == known or (distinct > 50 and (distinct >= 0.05 * known or names_somebody(name)))
    return known >= FEW and distinct >= 0.99 * known and not cells.mostly_sentences


def named_as_key(name: str) -> bool:
    """True for names that keys have: ``customer_id``, ``customerID``, ``userid``, ``ID``, ``rownames``.

    >>> [n for n in ("customerID", "userid", "user_id", "ID", "paid", "valid", "grid", "width") if named_as_key(n)]
    ['customerID', 'userid', 'user_id', 'ID']
    """
    return bool(KEY_NAME.search(name) or name.lower() in ROW_NAMES or names_somebody(name))


def names_somebody(name: str) -> bool:
    """True for keys of people and the like, however often each comes back: ``customer_id``, ``UserID``."""
    return bool(SOMEBODY.match(name.lower()))


def code_name(name: str) -> bool:
    """True for names of codes: zip codes, post codes, ids of places.

    >>> [n for n in ("zipcode", "PULocationID", "post_code", "price", "paid", "valid") if code_name(n)]
    ['zipcode', 'PULocationID', 'post_code']
    """
    return bool(CODE_NAME.search(name))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _coded(cells: Cells, parsed: Parsed) -> bool:
    """Digits that are a code, not a quantity: leading zeros (``007``, ``02139``), or letters about (``85123A``)."""
    if not parsed.number.any():
        return False
    odd = ~parsed.number & ~parsed.infinite & ~parsed.blank
    if odd.any():
        odd &= ~cells.is_word
    if odd.sum() >= 5 and not parsed.pointed[parsed.number].any():
        lettered = _flags(pc.match_substring_regex(cells.trimmed, r"^(?:[A-Za-z]{1,4}-?[0-9]+|[0-9]+[A-Za-z]{1,4})$"))
        if 2 * cells.count(lettered & odd) > cells.count(odd):
            return True
    zeros = parsed.padded
    if not zeros.any():
        return False
    widths = pc.utf8_length(cells.levels).to_numpy(zero_copy_only=False)[parsed.number]
    return bool((widths == widths[0]).all()) or cells.count(zeros) >= 0.05 * cells.known_rows


def _compact_dates(cells: Cells, parsed: Parsed) -> bool:
    """Integers that are all dates written as YYYYMMDD between 1900 and 2100."""
    values = parsed.values[parsed.number]
    if len(values) < 2 or values.min() < 19000101 or values.max() > 21001231:
        return False
    eight = _flags(
        pc.match_substring_regex(cells.levels, r"^(?:19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])$")
    )
    return bool(eight[parsed.number].all())


def _flags(flags: Any) -> np.ndarray[Any, np.dtype[np.bool_]]:
    out: np.ndarray[Any, np.dtype[np.bool_]] = pc.fill_null(flags, False).to_numpy(zero_copy_only=False)
    return out
